//! Executable memory: shared anonymous pages mapped twice, writable here, executable there, never both in one place.
//! (Profilers know such pages as memory whose symbols stand in `/tmp/perf-PID.map`; a memfd they take for a file.)
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The code cache's memory.
pub struct CodeBuf {
    rw: *mut u8,
    rx: *const u8,
    len: usize,
    /// Its two halves: what runs often, and what seldom does.
    halves: [Half; 2],
}

/// A half that fills from its start.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    start: usize,
    /// Up to where huge pages were asked for; the first piece has none.
    huge: usize,
    /// Up to where it was dropped from the writable mapping.
    dropped: usize,
}

impl Half {
    fn at(start: usize) -> Self {
        Half { start, huge: start + HUGE, dropped: start }
    }
}

/// Size of the host's huge pages.
const HUGE: usize = 2 << 20;

/// Bytes of code that are dropped from the writable mapping at a time.
const DROP: usize = 2 << 20;

// SAFETY: the mappings belong to this value alone and are reached through `&mut self` only (executing them is up to
// `thunk`), so it may move between threads.
unsafe impl Send for CodeBuf {}

impl CodeBuf {
    /// Map `len` bytes (a multiple of the page size) twice.
    pub fn new(len: usize) -> std::io::Result<Self> {
        // SAFETY: plain system calls that make new mappings at addresses of the kernel's choice; `mremap` of a shared
        // mapping with an old length of 0 makes a second mapping of the same pages and leaves the first.
        unsafe {
            let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let rw = libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if rw == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error());
            }
            let rx = libc::mremap(rw, 0, len, libc::MREMAP_MAYMOVE);
            if rx == libc::MAP_FAILED {
                let e = std::io::Error::last_os_error();
                libc::munmap(rw, len);
                return Err(e);
            }
            let buf = CodeBuf {
                rw: rw.cast(),
                rx: rx.cast(),
                len,
                halves: [Half::at(0), Half::at(Self::middle(len))],
            };
            // Nothing is in it yet; from here on no mapping is both writable and executable.
            if libc::mprotect(rx, len, libc::PROT_READ | libc::PROT_EXEC) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(buf)
        }
    }

    /// The bytes, for writing. What is code already that some thread may execute is not to be written this way.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: our own mapping of `len` bytes; the executable alias is only read by the processor's fetch.
        unsafe { std::slice::from_raw_parts_mut(self.rw, self.len) }
    }

    /// Point the displacement at `site`, a multiple of 4, to `target`, at once for whoever executes it meanwhile.
    pub fn point(&mut self, site: usize, target: usize) {
        let rel = (target as i64 - (site as i64 + 4)) as i32;
        assert!(site % 4 == 0 && site + 4 <= self.len);
        // SAFETY: an aligned word of our own mapping; `&mut` keeps other writers away, and the processor's fetch sees
        // the word before or after.
        unsafe { AtomicU32::from_ptr(self.rw.add(site).cast()) }.store(rel as u32, Ordering::Release);
    }

    /// Put the doubleword at `at`, a multiple of 8, at once for code that reads it meanwhile.
    pub fn put(&mut self, at: usize, v: u64) {
        assert!(at % 8 == 0 && at + 8 <= self.len);
        // SAFETY: as in `point`.
        unsafe { AtomicU64::from_ptr(self.rw.add(at).cast()) }.store(v, Ordering::Release);
    }

    fn middle(len: usize) -> usize {
        if len >= 4 * HUGE { (len / 2).next_multiple_of(HUGE) } else { len / 2 }
    }

    /// Where the half for what seldom runs begins.
    pub fn cold(&self) -> usize {
        self.halves[1].start
    }

    /// Code is written up to `end` of one half: have the host keep it well.
    ///
    /// What was written, or changed later, is dropped from the writable mapping now and then, where every page would count as
    /// resident a second time. A huge page is asked for when the first bytes are there that belong in it: once they were many they
    /// would be copied.
    pub fn reach(&mut self, end: usize) {
        let n = (end > self.halves[1].start) as usize;
        let limit = if n == 0 { self.halves[1].start } else { self.len };
        let h = &mut self.halves[n];
        if end >= h.dropped + DROP {
            h.dropped = end & !4095;
            // SAFETY: a part of our own shared mapping, whose pages stay in the other one and come back when written.
            unsafe {
                let len = h.dropped - h.start;
                libc::madvise(self.rw.add(h.start).cast(), len, libc::MADV_DONTNEED);
            }
        }
        if h.huge < end {
            if h.huge + HUGE <= limit {
                // SAFETY: advice about a part of our own mappings, whose contents stay as they are. A huge page needs one
                // small page that is there. What the host refuses only costs time.
                unsafe {
                    let at = self.rw.add(h.huge);
                    at.write_volatile(at.read_volatile());
                    libc::madvise(at.cast(), HUGE, libc::MADV_COLLAPSE);
                }
            }
            h.huge += HUGE;
        }
    }

    /// Nothing from `start` on is needed any more: its memory goes back to the host.
    pub fn release(&mut self, start: usize) {
        let from = start.next_multiple_of(1 << 16);
        // SAFETY: a part of our own shared mapping, which nobody executes; it is zero in both when it is touched next.
        // A host that refuses keeps it, and all of it is written before it is used again.
        unsafe { libc::madvise(self.rw.add(from).cast(), self.len - from, libc::MADV_REMOVE) };
        self.halves = [Half::at(0), Half::at(Self::middle(self.len))];
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

/// Let the calling thread have what processor time others leave.
#[cfg(feature = "tier2")]
pub fn be_nice() {
    // SAFETY: plain system calls that change this thread's priority; one that fails changes nothing.
    unsafe {
        let me = libc::syscall(libc::SYS_gettid) as libc::id_t;
        let now = libc::getpriority(libc::PRIO_PROCESS, me);
        libc::setpriority(libc::PRIO_PROCESS, me, now + 5);
    }
}

/// Give memory that was freed back to the host, where the C library can be asked for that.
#[cfg(feature = "tier2")]
pub fn give_back() {
    // SAFETY: a plain call that only touches what was freed.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
