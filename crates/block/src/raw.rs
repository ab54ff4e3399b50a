//! Raw images and block devices: byte for byte.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;

use crate::pool::Pool;
use crate::{Cache, Disk, Done, IoError, Op, SECTOR, image, refuse};

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
    /// The first sector must not come to look like another format.
    guarded: bool,
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
        let files = Arc::new(Files { guarded: false, file, direct, cache, at_hand: AtomicBool::new(true) });
        Ok(Raw { files, size, read_only, pool: Pool::new("disk", THREADS) })
    }

    /// Refuses writes that make the image look like one of another format: for images that are taken to be raw because
    /// they look like nothing else, lest a guest have a file of its choice opened as a backing file the next time.
    #[must_use]
    pub fn guarded(self) -> Self {
        let Raw { files, size, read_only, pool } = self;
        let files = match Arc::try_unwrap(files) {
            Ok(f) => Arc::new(Files { guarded: true, ..f }),
            Err(shared) => shared,
        };
        Raw { files, size, read_only, pool }
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
                let (mut offset, mut from) = (offset, from);
                if self.guarded && offset == 0 {
                    // What is looked at is what is written, whatever the guest does to its memory meanwhile.
                    let mut head = [0; SECTOR as usize];
                    let n = from.read(0, &mut head);
                    if image::looks_foreign(&head[..n]) {
                        return Err(IoError::Host(rustix::io::Errno::PERM.raw_os_error()));
                    }
                    file.write_all_at(&head[..n], 0)?;
                    (offset, from) = (n as u64, from.slice(n as u64, from.len() - n as u64));
                }
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;
    use crate::testing::{Model, memory, wait};

    #[test]
    fn all_ways_of_caching_keep_what_is_written() {
        let path = std::env::temp_dir().join(format!("rhyp-raw-{}", std::process::id()));
        let bytes: Vec<u8> = (0..300 * 512u32).map(|n| (n / 512) as u8).collect();
        for (n, cache) in
            [Cache::Writeback, Cache::Writethrough, Cache::None, Cache::Unsafe].iter().enumerate()
        {
            // A last part of a sector does not count.
            File::create(&path).unwrap().write_all(&[&bytes[..], &[7; 100]].concat()).unwrap();
            let open = |flags| File::options().read(true).write(true).custom_flags(flags).open(&path);
            let direct = if *cache == Cache::None { open(nix::libc::O_DIRECT).ok() } else { None };
            let disk = Raw::with_cache(open(0).unwrap(), direct, false, *cache).unwrap();
            let ram = memory();
            Model::new(&disk, &ram, bytes.clone()).work(300, n as u64 + 1);
            let read_only = Raw::new(open(0).unwrap(), true).unwrap();
            let op = Op::WriteZeroes { offset: 0, len: 512, unmap: false };
            assert_eq!(wait(&read_only, op), Err(IoError::ReadOnly));
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_guest_cannot_make_a_raw_image_look_like_another() {
        let path = std::env::temp_dir().join(format!("rhyp-guard-{}", std::process::id()));
        File::create(&path).unwrap().set_len(4096).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let disk = Raw::new(file, false).unwrap().guarded();
        let ram = memory();
        for (first, allowed) in [(&b"QFI\xfb"[..], false), (b"QFI\xfa", true), (b"KDMV", false)] {
            let mut from = mem::Pieces::new(ram.clone());
            from.push(100, 512).unwrap();
            from.write(0, first);
            assert_eq!(wait(&disk, Op::Write { offset: 512, from: from.clone() }), Ok(()));
            assert_eq!(wait(&disk, Op::Write { offset: 0, from }).is_ok(), allowed);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
