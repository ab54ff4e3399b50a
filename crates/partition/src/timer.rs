//! The thread that tells processors when their decrementers pass zero.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use arch::Shared;
use arch::shared::event;

/// Times at which processors want to be told.
pub struct Timer {
    sh: Arc<Shared>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Timebase values by processor.
    due: Vec<Option<u64>>,
    /// When the thread will look again.
    next: Option<u64>,
    quit: bool,
}

impl Timer {
    /// For the processors of `sh`; nothing happens until [`Timer::run`].
    pub fn new(sh: Arc<Shared>) -> Self {
        let due = vec![None; sh.vcpus.len()];
        Timer { sh, state: Mutex::new(State { due, next: None, quit: false }), changed: Condvar::new() }
    }

    /// Post [`event::DECREMENTER`] to the processor at timebase `expiry`, instead of what was asked before.
    pub fn set(&self, vcpu: usize, expiry: u64) {
        let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        s.due[vcpu] = Some(expiry);
        if s.next.is_none_or(|n| (expiry.wrapping_sub(n) as i64) < 0) {
            s.next = Some(expiry);
            drop(s);
            self.changed.notify_one();
        }
    }

    /// Serve until [`Timer::quit`].
    pub fn run(&self) {
        let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !s.quit {
            let now = self.sh.tb.now();
            let mut next: Option<u64> = None;
            for (n, due) in s.due.iter_mut().enumerate() {
                let Some(t) = *due else { continue };
                if now.wrapping_sub(t) as i64 >= 0 {
                    *due = None;
                    self.sh.vcpus[n].post(event::DECREMENTER);
                } else if next.is_none_or(|x| (t.wrapping_sub(x) as i64) < 0) {
                    next = Some(t);
                }
            }
            s.next = next;
            s = match next {
                None => self.changed.wait(s).unwrap_or_else(PoisonError::into_inner),
                Some(t) => {
                    let left = self.sh.tb.until(t).min(std::time::Duration::from_secs(3600));
                    self.changed.wait_timeout(s, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Make [`Timer::run`] return.
    pub fn quit(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).quit = true;
        self.changed.notify_one();
    }

    /// Forget all times and be ready to run again.
    pub fn reset(&self) {
        let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        s.due.fill(None);
        s.next = None;
        s.quit = false;
    }
}
