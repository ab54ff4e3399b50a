//! What the processors of one partition share, and the word by which anybody reaches a running processor.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};

use mem::GuestRam;

use crate::invalidations::Invalidations;
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

/// Tells whoever shares out processors that one has something to do.
#[derive(Default)]
struct Rouse(Mutex<Option<Arc<dyn Fn() + Send + Sync>>>);

impl std::fmt::Debug for Rouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rouse")
    }
}

/// The cross-thread side of one virtual processor.
#[derive(Debug, Default)]
pub struct VcpuLink {
    /// Non-zero: leave translated code (or the interpreter's fast loop) and look at `events`.
    pub exit: AtomicU32,
    /// See [`event`].
    pub events: AtomicU32,
    /// Newest epoch of [`Shared::invalidations`] this processor has obeyed.
    pub tlb_seen: AtomicU64,
    /// Whether the processor is executing guest instructions (then a flush must be waited for).
    pub running: AtomicBool,
    /// What its TLB may hold since it last dropped everything: [`holds`].
    pub holds: AtomicU32,
    sleep: Mutex<()>,
    wake: Condvar,
    /// Events that rouse it from a sleep during which others have its processor.
    dozing: AtomicU32,
    rouse: Rouse,
    /// Processors that sleep until this one has dropped its TLB.
    flush_waiters: AtomicU32,
    flushed: Condvar,
}

impl VcpuLink {
    /// Post events and make the processor look.
    pub fn post(&self, bits: u32) {
        self.events.fetch_or(bits, Ordering::SeqCst);
        self.exit.store(1, Ordering::SeqCst);
        let dozing = self.dozing.load(Ordering::SeqCst);
        let relaxed = Ordering::Relaxed;
        if dozing & bits != 0 && self.dozing.compare_exchange(dozing, 0, Ordering::SeqCst, relaxed).is_ok() {
            let rouse = self.rouse.0.lock().unwrap_or_else(|e| e.into_inner()).clone();
            if let Some(rouse) = rouse {
                return rouse();
            }
        }
        // The lock orders this wake-up after a sleeper's last look at `events`.
        drop(self.sleep.lock().unwrap_or_else(|e| e.into_inner()));
        self.wake.notify_all();
    }

    /// What [`VcpuLink::post`] calls if it rouses the processor from a [`VcpuLink::doze`].
    pub fn on_rouse(&self, rouse: Option<Arc<dyn Fn() + Send + Sync>>) {
        let old = std::mem::replace(&mut *self.rouse.0.lock().unwrap_or_else(|e| e.into_inner()), rouse);
        // It may be the last that holds something which posts events when it ends: not under the lock.
        drop(old);
    }

    /// From now on whoever posts one of these events does not wake the processor's thread, which could not do anything
    /// yet, but says that it wants a processor of the host ([`VcpuLink::on_rouse`]): once.
    pub fn doze(&self, until: u32) {
        self.dozing.store(until, Ordering::SeqCst);
    }

    /// Whether nobody has roused it.
    pub fn dozes(&self) -> bool {
        self.dozing.load(Ordering::SeqCst) != 0
    }

    /// Ends [`VcpuLink::doze`]. `false`: somebody has roused it.
    pub fn stop_dozing(&self) -> bool {
        self.dozing.swap(0, Ordering::SeqCst) != 0
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
    /// What was invalidated lately in TLBs.
    pub invalidations: Invalidations,
    /// The hashed page table, when the partition has one.
    pub hpt: RwLock<Option<Arc<crate::hpt::Hpt>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dozes_is_roused_once_and_by_what_it_dozes_until() {
        let link = VcpuLink::default();
        let roused = Arc::new(AtomicU32::new(0));
        let count = roused.clone();
        let rouse = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        link.on_rouse(Some(Arc::new(rouse)));
        link.post(event::PROD);
        assert_eq!(roused.load(Ordering::SeqCst), 0, "it is awake");
        link.doze(event::PROD | event::EXTERNAL);
        link.post(event::LEAVE);
        assert!(link.dozes() && roused.load(Ordering::SeqCst) == 0, "not by this");
        link.post(event::EXTERNAL);
        link.post(event::PROD);
        assert_eq!(roused.load(Ordering::SeqCst), 1, "the first is enough");
        assert!(!link.dozes() && !link.stop_dozing());
        assert_eq!(link.pending(), event::PROD | event::LEAVE | event::EXTERNAL);
        link.doze(event::PROD);
        assert!(link.stop_dozing(), "by itself");
        link.post(event::PROD);
        link.on_rouse(None);
        link.doze(event::PROD);
        link.post(event::PROD);
        assert_eq!(roused.load(Ordering::SeqCst), 1);
    }
}
