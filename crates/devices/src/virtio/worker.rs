//! A host thread that goes on with what a processor's thread has no time for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::lock;

struct Inner {
    /// What waits: a bit each.
    bits: AtomicU64,
    sleeping: Mutex<Sleep>,
    wake: Condvar,
    job: Box<dyn Fn(u64) + Send + Sync>,
    name: String,
}

#[derive(Default)]
struct Sleep {
    quit: bool,
    thread: Option<JoinHandle<()>>,
}

/// The thread; it is made when it is needed first.
pub struct Worker(Arc<Inner>);

/// The bit that says "end".
const QUIT: u64 = 1 << 63;

impl Worker {
    /// A worker that calls `job` with the bits it was kicked with, 0 to 62. The job must not own what owns the worker.
    pub fn new(name: &str, job: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Worker(Arc::new(Inner {
            bits: AtomicU64::new(0),
            sleeping: Mutex::default(),
            wake: Condvar::new(),
            job: Box::new(job),
            name: name.to_owned(),
        }))
    }

    /// Has the job called with this bit (0 to 62) soon.
    pub fn kick(&self, bit: usize) {
        self.set(1 << (bit & 63) & !QUIT);
    }

    fn set(&self, bits: u64) {
        if self.0.bits.fetch_or(bits, Ordering::SeqCst) != 0 {
            // Whoever set the first bit wakes the thread, and it will see this one too.
            return;
        }
        let mut s = lock(&self.0.sleeping);
        if s.thread.is_none() && !s.quit {
            let inner = self.0.clone();
            let builder = std::thread::Builder::new().name(self.0.name.clone());
            match builder.spawn(move || inner.work()) {
                Ok(t) => s.thread = Some(t),
                // The host has no thread for us: the caller does the work itself.
                Err(_) => {
                    drop(s);
                    (self.0.job)(self.0.bits.swap(0, Ordering::SeqCst));
                    return;
                }
            }
        }
        drop(s);
        self.0.wake.notify_one();
    }
}

impl Inner {
    fn work(&self) {
        loop {
            let bits = self.bits.swap(0, Ordering::SeqCst);
            if bits & QUIT != 0 {
                return;
            }
            if bits != 0 {
                // A job that panics is lost; the worker goes on.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.job)(bits)));
                continue;
            }
            let mut s = lock(&self.sleeping);
            while self.bits.load(Ordering::SeqCst) == 0 {
                s = self.wake.wait(s).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let thread = {
            let mut s = lock(&self.0.sleeping);
            s.quit = true;
            s.thread.take()
        };
        if let Some(t) = thread {
            self.0.bits.fetch_or(QUIT, Ordering::SeqCst);
            drop(lock(&self.0.sleeping));
            self.0.wake.notify_one();
            if t.thread().id() != std::thread::current().id() {
                let _ = t.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kick_is_heard_and_a_panic_stops_nobody() {
        let (tx, rx) = std::sync::mpsc::channel();
        let tx = Mutex::new(tx);
        let w = Worker::new("test", move |bits| {
            tx.lock().unwrap_or_else(PoisonError::into_inner).send(bits).unwrap();
            assert_ne!(bits, 4);
        });
        for bit in [0, 2, 1, 5] {
            w.kick(bit);
            assert_eq!(rx.recv().unwrap(), 1 << bit);
        }
        drop(w);
        assert!(rx.recv().is_err());
    }
}
