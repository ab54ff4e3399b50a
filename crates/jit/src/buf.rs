//! Executable memory: one memfd mapped twice, writable here, executable there, never both in one place.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The code cache's memory.
pub struct CodeBuf {
    rw: *mut u8,
    rx: *const u8,
    len: usize,
}

// SAFETY: the mappings belong to this value alone and are reached through `&mut self` only (executing them is up to
// `thunk`), so it may move between threads.
unsafe impl Send for CodeBuf {}

impl CodeBuf {
    /// Map `len` bytes (a multiple of the page size) twice.
    pub fn new(len: usize) -> std::io::Result<Self> {
        // SAFETY: plain system calls on a new descriptor that is ours alone; the kernel chooses fresh addresses.
        unsafe {
            let fd = libc::memfd_create(c"rhyp-code".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return Err(std::io::Error::last_os_error());
            }
            let fd = OwnedFd::from_raw_fd(fd);
            if libc::ftruncate(fd.as_raw_fd(), len as libc::off_t) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            let map = |prot| libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd.as_raw_fd(), 0);
            let rw = map(libc::PROT_READ | libc::PROT_WRITE);
            if rw == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error());
            }
            let rx = map(libc::PROT_READ | libc::PROT_EXEC);
            if rx == libc::MAP_FAILED {
                let e = std::io::Error::last_os_error();
                libc::munmap(rw, len);
                return Err(e);
            }
            Ok(CodeBuf { rw: rw.cast(), rx: rx.cast(), len })
        }
    }

    /// The bytes, for writing. Whoever executes the code must not do so meanwhile on another thread.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: our own mapping of `len` bytes; the executable alias is only read by the processor's fetch.
        unsafe { std::slice::from_raw_parts_mut(self.rw, self.len) }
    }

    /// Where the byte at `offset` is executed.
    pub fn address(&self, offset: usize) -> u64 {
        self.rx as u64 + offset as u64
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for CodeBuf {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, used by nobody else.
        unsafe {
            libc::munmap(self.rw.cast(), self.len);
            libc::munmap(self.rx as *mut libc::c_void, self.len);
        }
    }
}
