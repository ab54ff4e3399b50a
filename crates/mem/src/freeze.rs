//! Pages of guest memory that nobody may write to for a moment.
//!
//! The mapping becomes read-only; whoever writes meanwhile, on whatever thread, meets a signal, whose handler waits for
//! the end of the moment and lets the store happen again. A system call that was to write there fails with EFAULT and is
//! made again by its caller ([`crate::Pieces`]).

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::{GuestRam, PAGE_SIZE};

/// Host addresses, from and to; nothing if they are equal.
struct Span(AtomicUsize, AtomicUsize);

impl Span {
    const fn none() -> Self {
        Span(AtomicUsize::new(0), AtomicUsize::new(0))
    }
    fn has(&self, at: usize) -> bool {
        self.0.load(SeqCst) <= at && at < self.1.load(SeqCst)
    }
    fn set(&self, r: Range<usize>) {
        // Between the two it holds nothing that it is not to hold.
        self.1.store(0, SeqCst);
        self.0.store(r.start, SeqCst);
        self.1.store(r.end, SeqCst);
    }
}

/// Memories that may be frozen.
static MEMORIES: [Span; 1024] = [const { Span::none() }; 1024];
/// Which of [`MEMORIES`] are taken.
static TAKEN: Mutex<[bool; 1024]> = Mutex::new([false; 1024]);
/// What is frozen.
static FROZEN: Span = Span::none();
/// One moment at a time.
static TURN: Mutex<()> = Mutex::new(());
/// What was there for the signal before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();
static READY: AtomicBool = AtomicBool::new(false);

/// Has stores to frozen pages wait; false if the host refuses.
fn install() -> bool {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if READY.load(SeqCst) {
        return true;
    }
    // SAFETY: the handler only does what is allowed in one; what was there before is kept and called for whatever is
    // not ours. All fields of the zeroed structure are valid.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGSEGV, std::ptr::null(), &mut old) != 0 {
            return false;
        }
        // The handler finds it from its first call on.
        let _ = BEFORE.set(old);
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = on_fault as *const () as usize;
        new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        if libc::sigaction(libc::SIGSEGV, &new, std::ptr::null_mut()) != 0 {
            return false;
        }
    }
    READY.store(true, SeqCst);
    true
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the host gives a handler of this kind a valid structure with the address of the fault.
    let at = unsafe { (*info).si_addr() } as usize;
    // Guest memory that is mapped is writable but while it is frozen.
    if at != 0 && MEMORIES.iter().any(|m| m.has(at)) {
        while FROZEN.has(at) {
            // SAFETY: a plain system call.
            unsafe { libc::sched_yield() };
        }
        return;
    }
    // SAFETY: what was installed before us is called as the host would have called it, or takes our place, and then the
    // instruction faults again.
    unsafe {
        match BEFORE.get() {
            Some(old) if old.sa_sigaction != libc::SIG_DFL && old.sa_sigaction != libc::SIG_IGN => {
                if old.sa_flags & libc::SA_SIGINFO != 0 {
                    type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                    let f: Handler = std::mem::transmute(old.sa_sigaction);
                    f(signal, info, context);
                } else {
                    let f: extern "C" fn(libc::c_int) = std::mem::transmute(old.sa_sigaction);
                    f(signal);
                }
            }
            _ => drop(libc::signal(libc::SIGSEGV, libc::SIG_DFL)),
        }
    }
}

/// A place among [`MEMORIES`], given back when it is dropped.
pub(crate) struct Claim(usize);

impl Claim {
    /// Has stores to the host addresses `r` wait while they are frozen; `None` where that cannot be done, and on hosts
    /// with other pages than ours.
    pub fn new(r: Range<usize>) -> Option<Self> {
        // SAFETY: a plain call.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        if page != PAGE_SIZE as libc::c_long || !install() {
            return None;
        }
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let n = taken.iter().position(|t| !t)?;
        taken[n] = true;
        MEMORIES[n].set(r);
        Some(Claim(n))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        MEMORIES[self.0].set(0..0);
        taken[self.0] = false;
    }
}

/// Waits until what is frozen now no longer is.
pub(crate) fn wait() {
    drop(TURN.lock().unwrap_or_else(PoisonError::into_inner));
}

/// While it lives nobody writes to the pages.
pub(crate) struct Freeze<'a> {
    ram: &'a GuestRam,
    pages: Range<usize>,
    _turn: MutexGuard<'static, ()>,
}

impl<'a> Freeze<'a> {
    /// Freezes pages of memory with a [`Claim`]; `None` if the host refuses.
    pub fn new(ram: &'a GuestRam, pages: Range<usize>) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let f = Freeze { ram, pages, _turn: turn };
        let at = ram.host_base() as usize;
        let page = PAGE_SIZE as usize;
        FROZEN.set(at + f.pages.start * page..at + f.pages.end * page);
        // If that is done by halves, dropping `f` undoes it.
        f.protect(libc::PROT_READ).then_some(f)
    }

    fn protect(&self, prot: libc::c_int) -> bool {
        let page = PAGE_SIZE as usize;
        let (at, len) = (self.ram.host_base().wrapping_add(self.pages.start * page), self.pages.len() * page);
        // SAFETY: whole pages of the partition's mapping, which the caller's range is checked to lie in; reading goes
        // on, and stores wait in the handler.
        unsafe { libc::mprotect(at.cast(), len, prot) == 0 }
    }
}

impl Drop for Freeze<'_> {
    fn drop(&mut self) {
        // A host without memory for its own tables has some a little later.
        for _ in 0..1000 {
            if self.protect(libc::PROT_READ | libc::PROT_WRITE) {
                FROZEN.set(0..0);
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        eprintln!("rhyp: a partition's memory cannot be made writable again");
        std::process::abort();
    }
}
