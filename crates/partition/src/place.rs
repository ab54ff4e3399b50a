//! Where on the host a virtual processor goes on when another hands it its turn.

use std::sync::{Mutex, PoisonError};

use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// The host thread of a virtual processor, and how it is brought to another's host processor.
///
/// Linux wakes a thread on an idle processor, if there is one. That takes several times as long as going on where another
/// thread is about to sleep, and what the two share (locks, and what they protect) is in the caches there.
#[derive(Debug, Default)]
pub struct Place(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    thread: Option<Pid>,
    /// Where it may run, while it is kept to one processor of the host.
    everywhere: Option<CpuSet>,
}

impl Place {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calling thread is the one.
    pub fn take(&self) {
        self.lock().thread = Some(gettid());
    }

    /// The thread ends.
    pub fn give_up(&self) {
        *self.lock() = Inner::default();
    }

    /// The thread, which sleeps, will wake where the calling thread is now, if it may run there.
    pub fn bring(&self) {
        let mut inner = self.lock();
        let (Some(thread), None) = (inner.thread, &inner.everywhere) else { return };
        let Ok(everywhere) = sched_getaffinity(Some(thread)) else { return };
        let here = sched_getcpu();
        if here >= CpuSet::MAX_CPU || !everywhere.is_set(here) || everywhere.count() < 2 {
            return;
        }
        let mut only = CpuSet::new();
        only.set(here);
        if sched_setaffinity(Some(thread), &only).is_ok() {
            inner.everywhere = Some(everywhere);
        }
    }

    /// The calling thread, which is the one, is awake and goes wherever it may again.
    pub fn settle(&self) {
        if let Some(everywhere) = self.lock().everywhere.take() {
            let _ = sched_setaffinity(None, &everywhere);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Barrier, OnceLock};

    #[test]
    fn a_thread_comes_where_another_is_and_may_go_anywhere_afterwards() {
        let (place, meeting, id) = (Place::default(), Barrier::new(2), OnceLock::new());
        let before = sched_getaffinity(None).unwrap();
        place.bring();
        std::thread::scope(|s| {
            let thread = s.spawn(|| {
                place.take();
                id.set(gettid()).unwrap();
                meeting.wait();
                meeting.wait();
                place.settle();
                let after = sched_getaffinity(None).unwrap();
                place.give_up();
                after
            });
            meeting.wait();
            // Twice: it comes to one of the places at which it was asked to.
            place.bring();
            place.bring();
            let kept = sched_getaffinity(id.get().copied()).unwrap();
            assert_eq!(kept.count(), 1);
            assert!((0..CpuSet::MAX_CPU).all(|n| before.is_set(n) || !kept.is_set(n)));
            meeting.wait();
            let after = thread.join().unwrap();
            assert!((0..CpuSet::MAX_CPU).all(|n| before.is_set(n) == after.is_set(n)));
        });
        place.bring();
        assert!(place.lock().everywhere.is_none(), "nobody to bring");
    }
}
