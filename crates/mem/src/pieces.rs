//! Scattered ranges of guest memory as one stretch of bytes: what a device reads or writes for one request.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use crate::{GuestRam, OutOfRange, freeze};

/// Most pieces handed to the host in one system call.
const BATCH: usize = 256;

/// How often a system call that met frozen memory is made again.
const PATIENCE: u32 = 1000;

/// Ranges of one partition's memory, in order, checked to lie inside it when added. Adjacent ranges become one.
#[derive(Clone)]
pub struct Pieces {
    ram: Arc<GuestRam>,
    list: Vec<(u64, u64)>,
    len: u64,
}

impl Pieces {
    /// No bytes yet.
    pub fn new(ram: Arc<GuestRam>) -> Self {
        Pieces { ram, list: Vec::new(), len: 0 }
    }

    /// Appends `len` bytes at the real address `addr`.
    pub fn push(&mut self, addr: u64, len: u64) -> Result<(), OutOfRange> {
        if len > self.ram.size() || addr > self.ram.size() - len {
            return Err(OutOfRange { addr, len });
        }
        if len == 0 {
            return Ok(());
        }
        self.len = self.len.checked_add(len).ok_or(OutOfRange { addr, len })?;
        match self.list.last_mut() {
            Some(last) if last.0 + last.1 == addr => last.1 += len,
            _ => self.list.push((addr, len)),
        }
        Ok(())
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ranges: real address and length.
    pub fn list(&self) -> &[(u64, u64)] {
        &self.list
    }

    /// The memory they lie in.
    pub fn ram(&self) -> &Arc<GuestRam> {
        &self.ram
    }

    /// The `len` bytes from `offset` on; what is beyond the end is left out.
    pub fn slice(&self, offset: u64, len: u64) -> Pieces {
        let mut part = Pieces::new(self.ram.clone());
        let (mut skip, mut left) = (offset, len);
        for &(addr, n) in &self.list {
            if left == 0 {
                break;
            }
            if skip >= n {
                skip -= n;
                continue;
            }
            let take = (n - skip).min(left);
            part.list.push((addr + skip, take));
            part.len += take;
            left -= take;
            skip = 0;
        }
        part
    }

    /// Copies out, from `offset` on; how many bytes there were.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let mut done = 0;
        for &(addr, len) in &self.slice(offset, out.len() as u64).list {
            let len = len as usize;
            if self.ram.read(addr, &mut out[done..done + len]).is_err() {
                break;
            }
            done += len;
        }
        done
    }

    /// Copies in, from `offset` on; how many bytes found room.
    pub fn write(&self, offset: u64, data: &[u8]) -> usize {
        let mut done = 0;
        for &(addr, len) in &self.slice(offset, data.len() as u64).list {
            let len = len as usize;
            if self.ram.write(addr, &data[done..done + len]).is_err() {
                break;
            }
            done += len;
        }
        done
    }

    /// Sets all bytes to `byte`.
    pub fn fill(&self, byte: u8) {
        for &(addr, len) in &self.list {
            // Every range was checked when it was added.
            let _ = self.ram.fill(addr, len, byte);
        }
    }

    fn vectors(&self) -> Vec<libc::iovec> {
        let first = self.list.iter().take(BATCH);
        first
            .map(|&(addr, len)| libc::iovec {
                iov_base: self.ram.host_base().wrapping_add(addr as usize).cast(),
                iov_len: len as usize,
            })
            .collect()
    }

    /// Reads from a file at `offset` until all bytes are there or the file ends; how many came. They go straight into
    /// guest memory, and code made from it is dropped.
    pub fn read_from_file(&self, fd: BorrowedFd, offset: u64) -> std::io::Result<u64> {
        self.transfer(offset, |v, at| {
            // SAFETY: every vector lies inside the guest's mapping, checked when it was added; the mapping lives as
            // long as `self.ram`. What the guest does to these bytes meanwhile harms only the guest.
            unsafe { libc::preadv(fd.as_raw_fd(), v.as_ptr(), v.len() as libc::c_int, at) }
        })
        .inspect(|_| self.list.iter().for_each(|&(addr, len)| self.ram.written(addr, len)))
    }

    /// Reads from a file at `offset` what the host has at hand, without waiting for anything. How many bytes came: all,
    /// or fewer if there would have been something to wait for.
    pub fn read_from_file_at_hand(&self, fd: BorrowedFd, offset: u64) -> std::io::Result<u64> {
        let at = libc::off_t::try_from(offset);
        let at = at.map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        let v = self.vectors();
        // SAFETY: as in `read_from_file`.
        let n = unsafe {
            libc::preadv2(fd.as_raw_fd(), v.as_ptr(), v.len() as libc::c_int, at, libc::RWF_NOWAIT)
        };
        let n = match u64::try_from(n) {
            Ok(n) => n,
            Err(_) => match std::io::Error::last_os_error() {
                e if e.raw_os_error() == Some(libc::EFAULT) => 0,
                e => return Err(e),
            },
        };
        self.slice(0, n).list.iter().for_each(|&(addr, len)| self.ram.written(addr, len));
        Ok(n)
    }

    /// Writes to a file at `offset` until all bytes are there; how many were written (fewer only if the file takes no
    /// more).
    pub fn write_to_file(&self, fd: BorrowedFd, offset: u64) -> std::io::Result<u64> {
        self.transfer(offset, |v, at| {
            // SAFETY: as in `read_from_file`.
            unsafe { libc::pwritev(fd.as_raw_fd(), v.as_ptr(), v.len() as libc::c_int, at) }
        })
    }

    fn transfer(
        &self,
        offset: u64,
        call: impl Fn(&[libc::iovec], libc::off_t) -> isize,
    ) -> std::io::Result<u64> {
        let (mut done, mut frozen) = (0, 0);
        while done < self.len {
            let rest = if done == 0 { self.clone() } else { self.slice(done, self.len - done) };
            let at = offset.checked_add(done).and_then(|at| libc::off_t::try_from(at).ok());
            let at = at.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
            match call(&rest.vectors(), at) {
                0 => break,
                n if n > 0 => done += n as u64,
                _ => {
                    let e = std::io::Error::last_os_error();
                    if e.raw_os_error() == Some(libc::EFAULT) && frozen < PATIENCE {
                        frozen += 1;
                        freeze::wait();
                    } else if e.kind() != std::io::ErrorKind::Interrupted {
                        return Err(e);
                    }
                }
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn ranges_outside_memory_are_refused_and_neighbours_merge() {
        let ram = Arc::new(GuestRam::new(1 << 16).unwrap());
        let mut p = Pieces::new(ram.clone());
        assert!(p.push(u64::MAX, 2).is_err());
        assert!(p.push((1 << 16) - 1, 2).is_err());
        p.push(0x1000, 0x800).unwrap();
        p.push(0x1800, 0x800).unwrap();
        p.push(0x4000, 4).unwrap();
        assert_eq!(p.list(), [(0x1000, 0x1000), (0x4000, 4)]);
        assert_eq!(p.slice(0xffe, 4).list(), [(0x1ffe, 2), (0x4000, 2)]);
        assert_eq!(p.slice(0x1003, 100).len(), 1);
        assert_eq!(p.write(0xfff, &[1, 2, 3]), 3);
        let mut b = [0; 8];
        assert_eq!(p.read(0xffe, &mut b), 6);
        assert_eq!(b, [0, 1, 2, 3, 0, 0, 0, 0]);
    }

    #[test]
    fn files_and_scattered_memory_exchange_bytes_and_code_is_dropped() {
        let ram = Arc::new(GuestRam::new(1 << 16).unwrap());
        let mut p = Pieces::new(ram.clone());
        for n in (0..600u64).rev() {
            p.push(n * 16, 8).unwrap();
        }
        let mut file = tempfile();
        let bytes: Vec<u8> = (0..5000u32).map(|n| (n * 7 % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        ram.mark_code(0);
        let before = ram.code_version(0);
        // The file ends before the pieces do.
        assert_eq!(p.read_from_file(file.as_fd(), 1000).unwrap(), 4000);
        assert_ne!(ram.code_version(0), before);
        // What has just been written is at hand, as far as the host can tell.
        if let Ok(n) = p.slice(0, 64).read_from_file_at_hand(file.as_fd(), 1000) {
            assert!(n <= 64);
        }
        let mut got = vec![0; 4000];
        assert_eq!(p.read(0, &mut got), 4000);
        assert_eq!(got, bytes[1000..]);
        assert_eq!(p.write_to_file(file.as_fd(), 3).unwrap(), 4800);
        file.rewind().unwrap();
        let all = std::io::read_to_string(&mut file).map(|s| s.len()).unwrap_or(5000);
        assert_eq!(all, 5000);
    }

    fn tempfile() -> std::fs::File {
        // SAFETY: a valid C string; the descriptor is ours.
        unsafe {
            use std::os::fd::FromRawFd;
            std::fs::File::from_raw_fd(libc::memfd_create(c"pieces".as_ptr(), libc::MFD_CLOEXEC))
        }
    }
}
