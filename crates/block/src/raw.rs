//! Raw images and block devices: byte for byte.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::FallocateFlags;

use crate::pool::Pool;
use crate::{Disk, Done, IoError, Op, SECTOR, check_range};

/// Threads a disk has at most: as many requests are with the host at once.
const THREADS: usize = 16;

/// A raw image.
pub struct Raw {
    file: Arc<File>,
    size: u64,
    read_only: bool,
    pool: Pool,
}

impl Raw {
    /// A disk of what the file holds now; a last part of a sector is left out.
    pub fn new(file: File, read_only: bool) -> std::io::Result<Self> {
        use std::io::{Seek, SeekFrom};
        let size = (&file).seek(SeekFrom::End(0))? / SECTOR * SECTOR;
        Ok(Raw { file: Arc::new(file), size, read_only, pool: Pool::new("disk", THREADS) })
    }
}

fn carry_out(file: &File, op: Op) -> Result<(), IoError> {
    let space = |flags, offset, len| rustix::fs::fallocate(file, flags, offset, len);
    match op {
        Op::Read { offset, into } => {
            let len = into.read_from_file(file.as_fd(), offset)?;
            // The file was made shorter behind our back.
            into.slice(len, into.len() - len).fill(0);
            Ok(())
        }
        Op::Write { offset, from } => {
            let len = from.write_to_file(file.as_fd(), offset)?;
            if len == from.len() { Ok(()) } else { Err(IoError::NoSpace) }
        }
        Op::Flush => Ok(file.sync_data()?),
        Op::Discard { offset, len } => {
            // Only advice: a file system that cannot is no failure.
            let _ = space(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len);
            Ok(())
        }
        Op::WriteZeroes { offset, len, unmap } => {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let zero = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
            if unmap && space(hole, offset, len).is_ok() || space(zero, offset, len).is_ok() {
                return Ok(());
            }
            let zeros = vec![0; len.min(1 << 20) as usize];
            let mut done = 0;
            while done < len {
                let n = (len - done).min(zeros.len() as u64);
                file.write_all_at(&zeros[..n as usize], offset + done)?;
                done += n;
            }
            Ok(())
        }
    }
}

impl Disk for Raw {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn submit(&self, op: Op, done: Done) {
        let (range, writes) = match &op {
            Op::Read { offset, into } => ((*offset, into.len()), false),
            Op::Write { offset, from } => ((*offset, from.len()), true),
            Op::Flush => ((0, 0), false),
            Op::Discard { offset, len } | Op::WriteZeroes { offset, len, .. } => ((*offset, *len), true),
        };
        let refused = if writes && self.read_only {
            Err(IoError::ReadOnly)
        } else {
            check_range(self.size, range.0, range.1)
        };
        if refused.is_err() {
            return done(refused);
        }
        let file = self.file.clone();
        self.pool.run(move || done(carry_out(&file, op)));
    }

    fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        if out.len() as u64 > self.size || offset > self.size - out.len() as u64 {
            return Err(IoError::OutOfRange);
        }
        Ok(self.file.read_exact_at(out, offset)?)
    }

    fn drain(&self) {
        self.pool.drain();
    }
}
