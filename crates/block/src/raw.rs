//! Raw images and block devices: byte for byte.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;

use crate::pool::Pool;
use crate::{Cache, Disk, Done, IoError, Op, SECTOR, refuse};

/// Threads a disk has at most: as many requests are with the host at once.
const THREADS: usize = 16;
/// Longest read that is done at once if the host's page cache has it all.
const AT_HAND: u64 = 64 << 10;

/// A raw image.
pub struct Raw {
    files: Arc<Files>,
    size: u64,
    read_only: bool,
    pool: Pool,
}

struct Files {
    file: File,
    /// The same, past the host's page cache.
    direct: Option<File>,
    cache: Cache,
    /// Whether the host can read without waiting.
    at_hand: AtomicBool,
}

impl Raw {
    /// A disk of what the file holds now; a last part of a sector is left out.
    pub fn new(file: File, read_only: bool) -> std::io::Result<Self> {
        Raw::with_cache(file, None, read_only, Cache::Writeback)
    }

    /// The same with a choice of caching. `direct` is the same file opened with `O_DIRECT`; requests that are not
    /// aligned as the host wants it go through the page cache all the same.
    pub fn with_cache(
        file: File,
        direct: Option<File>,
        read_only: bool,
        cache: Cache,
    ) -> std::io::Result<Self> {
        use std::io::{Seek, SeekFrom};
        let size = (&file).seek(SeekFrom::End(0))? / SECTOR * SECTOR;
        let files = Arc::new(Files { file, direct, cache, at_hand: AtomicBool::new(true) });
        Ok(Raw { files, size, read_only, pool: Pool::new("disk", THREADS) })
    }
}

impl Files {
    /// Whether a read could be done without waiting for anything.
    fn read_at_hand(&self, op: &Op) -> bool {
        let Op::Read { offset, into } = op else { return false };
        if into.len() > AT_HAND || self.direct.is_some() || !self.at_hand.load(Ordering::Relaxed) {
            return false;
        }
        match into.read_from_file_at_hand(self.file.as_fd(), *offset) {
            Ok(n) => n == into.len(),
            Err(e) => {
                if e.kind() != std::io::ErrorKind::WouldBlock {
                    self.at_hand.store(false, Ordering::Relaxed);
                }
                false
            }
        }
    }

    /// Tries past the page cache first if that was asked for.
    fn transfer(&self, call: impl Fn(&File) -> std::io::Result<u64>) -> std::io::Result<u64> {
        match self.direct.as_ref().map(&call) {
            Some(Err(e)) if e.kind() == std::io::ErrorKind::InvalidInput => call(&self.file),
            Some(r) => r,
            None => call(&self.file),
        }
    }

    fn carry_out(&self, op: Op) -> Result<(), IoError> {
        let file = &self.file;
        let space = |flags, offset, len| rustix::fs::fallocate(file, flags, offset, len);
        let changes = matches!(op, Op::Write { .. } | Op::WriteZeroes { .. });
        match op {
            Op::Read { offset, into } => {
                let len = self.transfer(|f| into.read_from_file(f.as_fd(), offset))?;
                // The file was made shorter behind our back.
                into.slice(len, into.len() - len).fill(0);
            }
            Op::Write { offset, from } => {
                let len = self.transfer(|f| from.write_to_file(f.as_fd(), offset))?;
                if len != from.len() {
                    return Err(IoError::NoSpace);
                }
            }
            Op::Flush if self.cache == Cache::Unsafe => {}
            Op::Flush => file.sync_data()?,
            Op::Discard { offset, len } => {
                // Only advice: a file system that cannot is no failure.
                let _ = space(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len);
            }
            Op::WriteZeroes { offset, len, unmap } => {
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let zero = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
                if !(unmap && space(hole, offset, len).is_ok() || space(zero, offset, len).is_ok()) {
                    write_zeros(file, offset, len)?;
                }
            }
        }
        if changes && self.cache == Cache::Writethrough {
            file.sync_data()?;
        }
        Ok(())
    }
}

fn write_zeros(file: &File, offset: u64, len: u64) -> std::io::Result<()> {
    let zeros = vec![0; len.min(1 << 20) as usize];
    let mut done = 0;
    while done < len {
        let n = (len - done).min(zeros.len() as u64);
        file.write_all_at(&zeros[..n as usize], offset + done)?;
        done += n;
    }
    Ok(())
}

impl Disk for Raw {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn submit(&self, op: Op, done: Done) {
        if let Err(e) = refuse(&op, self.size, self.read_only) {
            return done(Err(e));
        }
        if self.files.read_at_hand(&op) {
            return done(Ok(()));
        }
        let files = self.files.clone();
        self.pool.run(move || done(files.carry_out(op)));
    }

    fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        if out.len() as u64 > self.size || offset > self.size - out.len() as u64 {
            return Err(IoError::OutOfRange);
        }
        Ok(self.files.file.read_exact_at(out, offset)?)
    }

    fn drain(&self) {
        self.pool.drain();
    }
}
