//! What the processors of one partition share, and the word by which anybody reaches a running processor.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};

use mem::GuestRam;

use crate::mmu::tlbie::TlbInvalidate;
use crate::time::Timebase;

/// Events that may wait for a processor, as bits of [`VcpuLink::events`].
pub mod event {
    /// External interrupt line asserted (level: stays while the controller asserts it).
    pub const EXTERNAL: u32 = 1;
    /// The decrementer's time may have come.
    pub const DECREMENTER: u32 = 2;
    /// A directed privileged doorbell arrived.
    pub const DOORBELL: u32 = 4;
    /// TLB entries must be dropped before the next translated access.
    pub const TLB_FLUSH: u32 = 8;
    /// System reset interrupt (H_SIGNAL_SYS_RESET).
    pub const SYSTEM_RESET: u32 = 16;
    /// Leave the run loop: pause, power-off, reboot, start/stop requests.
    pub const LEAVE: u32 = 32;
    /// H_PROD: wake from H_CEDE (sticky until the next cede).
    pub const PROD: u32 = 64;
    /// MMCR0[PMAO] is on: a performance monitor interrupt waits.
    pub const PERFORMANCE_MONITOR: u32 = 128;
    /// An event-based branch waits for problem state.
    pub const EVENT_BRANCH: u32 = 256;
    /// The virtual processor was given a host processor (where they are shared).
    pub const DISPATCH: u32 = 512;
}

/// What a processor's TLB may hold, as bits of [`VcpuLink::holds`].
pub mod holds {
    /// Entries of real mode.
    pub const REAL: u32 = 1;
    /// Translated entries.
    pub const TRANSLATED: u32 = 2;
}

/// The cross-thread side of one virtual processor.
#[derive(Debug, Default)]
pub struct VcpuLink {
    /// Non-zero: leave translated code (or the interpreter's fast loop) and look at `events`.
    pub exit: AtomicU32,
    /// See [`event`].
    pub events: AtomicU32,
    /// Newest TLB epoch this processor has obeyed.
    pub tlb_seen: AtomicU64,
    /// Whether the processor is executing guest instructions (then a flush must be waited for).
    pub running: AtomicBool,
    /// What its TLB may hold since it last dropped everything: [`holds`].
    pub holds: AtomicU32,
    /// What a [`event::TLB_FLUSH`] is about.
    asked: Mutex<Asked>,
    sleep: Mutex<()>,
    wake: Condvar,
    /// Processors that sleep until this one has dropped its TLB.
    flush_waiters: AtomicU32,
    flushed: Condvar,
}

/// Invalidations that others want a processor to carry out.
#[derive(Debug, Default)]
pub struct Asked {
    /// These, one by one.
    pub list: Vec<TlbInvalidate>,
    /// Everything, real mode too.
    pub all: bool,
}

/// Most invalidations that wait one by one; more become one of all they name. Whoever shares a processor has not run for
/// a while when it gets to them.
const MOST_ASKED: usize = 32;

impl VcpuLink {
    /// Ask for an invalidation (`None`: of everything), before a shoot-down that waits for it.
    pub fn ask_flush(&self, what: Option<TlbInvalidate>) {
        let mut a = self.asked.lock().unwrap_or_else(|e| e.into_inner());
        match what {
            Some(w) if a.list.iter().any(|&l| l.join(w) == l) => {}
            Some(w) if a.list.len() < MOST_ASKED => a.list.push(w),
            Some(w) => {
                let joined = a.list.drain(..).fold(w, TlbInvalidate::join);
                a.list.push(joined);
            }
            None => a.all = true,
        }
    }

    /// Take what was asked for.
    pub fn take_asked(&self) -> Asked {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(|e| e.into_inner()))
    }

    /// Post events and make the processor look.
    pub fn post(&self, bits: u32) {
        self.events.fetch_or(bits, Ordering::SeqCst);
        self.exit.store(1, Ordering::SeqCst);
        // The lock orders this wake-up after a sleeper's last look at `events`.
        drop(self.sleep.lock().unwrap_or_else(|e| e.into_inner()));
        self.wake.notify_all();
    }

    /// Take events back.
    pub fn clear(&self, bits: u32) {
        self.events.fetch_and(!bits, Ordering::SeqCst);
    }

    /// Events now.
    pub fn pending(&self) -> u32 {
        self.events.load(Ordering::SeqCst)
    }

    /// Note, before a translation is looked up, that the TLB will hold it. A shoot-down changes the tables first and
    /// looks at this note afterwards, so it either finds the note or the look-up finds the change.
    #[inline]
    pub fn note_fill(&self, what: u32) {
        if self.holds.load(Ordering::Relaxed) & what == 0 {
            self.holds.fetch_or(what, Ordering::SeqCst);
        }
    }

    /// Whether this processor can no longer use what was flushed at `epoch`.
    fn is_flushed(&self, epoch: u64) -> bool {
        !self.running.load(Ordering::SeqCst) || self.tlb_seen.load(Ordering::SeqCst) >= epoch
    }

    /// Wait until this processor has obeyed the flush of `epoch` or is out of the guest. Sleeps after a short while,
    /// so that a host with fewer processors than the partition runs the one that is waited for.
    pub fn wait_flushed(&self, epoch: u64) {
        for _ in 0..200 {
            if self.is_flushed(epoch) {
                return;
            }
            std::hint::spin_loop();
        }
        self.flush_waiters.fetch_add(1, Ordering::SeqCst);
        let mut g = self.sleep.lock().unwrap_or_else(|e| e.into_inner());
        while !self.is_flushed(epoch) {
            g = self.flushed.wait(g).unwrap_or_else(|e| e.into_inner());
        }
        drop(g);
        self.flush_waiters.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wake those that wait in [`VcpuLink::wait_flushed`]; called after `running` or `tlb_seen` changed.
    pub fn note_flushed(&self) {
        if self.flush_waiters.load(Ordering::SeqCst) != 0 {
            drop(self.sleep.lock().unwrap_or_else(|e| e.into_inner()));
            self.flushed.notify_all();
        }
    }

    /// Sleep until one of `bits` is posted or the time is over.
    pub fn wait(&self, bits: u32, timeout: Option<std::time::Duration>) {
        let deadline = timeout.map(|t| std::time::Instant::now() + t);
        let mut g = self.sleep.lock().unwrap_or_else(|e| e.into_inner());
        while self.pending() & bits == 0 {
            match deadline {
                None => g = self.wake.wait(g).unwrap_or_else(|e| e.into_inner()),
                Some(d) => {
                    let left = d.saturating_duration_since(std::time::Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    g = self.wake.wait_timeout(g, left).unwrap_or_else(|e| e.into_inner()).0;
                }
            }
        }
    }
}

/// Partition-wide processor state.
pub struct Shared {
    /// Memory of the partition.
    pub ram: Arc<GuestRam>,
    /// LPCR as the hypervisor set it for all processors (H_SET_MODE, H_REGISTER_PROC_TBL).
    pub lpcr: AtomicU64,
    /// Process table base and size (H_REGISTER_PROC_TBL): PRTB as in the partition table's second doubleword.
    pub prtb: AtomicU64,
    /// The clock.
    pub tb: Timebase,
    /// Processors by index.
    pub vcpus: Vec<Arc<VcpuLink>>,
    /// Counts TLB shoot-downs.
    pub tlb_epoch: AtomicU64,
    /// The hashed page table, when the partition has one.
    pub hpt: RwLock<Option<Arc<crate::hpt::Hpt>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_invalidations_than_wait_one_by_one_become_one() {
        let link = VcpuLink::default();
        let what = |n| TlbInvalidate::Page { ea: n << 12, shift: 12, pid: 3 };
        link.ask_flush(Some(what(1)));
        link.ask_flush(Some(what(1)));
        let asked = link.take_asked();
        assert_eq!((asked.list.as_slice(), asked.all), ([what(1)].as_slice(), false));
        assert!(link.take_asked().list.is_empty());
        let most = MOST_ASKED as u64;
        (0..most).for_each(|n| link.ask_flush(Some(what(n))));
        let asked = link.take_asked();
        assert!(asked.list.iter().copied().eq((0..most).map(what)) && !asked.all);
        (0..3 * most).for_each(|n| link.ask_flush(Some(what(n))));
        let asked = link.take_asked();
        assert_eq!((asked.list.as_slice(), asked.all), ([TlbInvalidate::Pid(3)].as_slice(), false));
        (0..=most).for_each(|n| link.ask_flush(Some(TlbInvalidate::Pid(n))));
        assert_eq!(link.take_asked().list, [TlbInvalidate::All], "0 is the kernel");
        link.ask_flush(None);
        assert!(link.take_asked().all);
        assert!(!link.take_asked().all);
    }
}
