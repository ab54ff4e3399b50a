//! Host threads that carry out requests, so that virtual processors never wait for a disk.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    running: usize,
    idle: usize,
    /// An idle thread has been woken and is not up yet. It wakes the next one if there is more to do than it takes
    /// itself: so a batch of requests costs whoever brings it one wake-up, and short ones do not get a thread each.
    waking: bool,
    threads: Vec<JoinHandle<()>>,
    closed: bool,
}

struct Inner {
    queue: Mutex<Queue>,
    work: Condvar,
    quiet: Condvar,
    most: usize,
    name: String,
}

/// A pool of at most so many threads, made as they are needed.
pub struct Pool(Arc<Inner>);

impl Pool {
    /// A pool whose threads carry this name.
    pub fn new(name: &str, most: usize) -> Self {
        Pool(Arc::new(Inner {
            queue: Mutex::default(),
            work: Condvar::new(),
            quiet: Condvar::new(),
            most: most.max(1),
            name: name.to_owned(),
        }))
    }

    /// Carries a job out soon, in no promised order.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut q = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        q.jobs.push_back(Box::new(job));
        self.0.more_hands(&mut q);
        if q.threads.is_empty() {
            // The host has no thread for us: the caller does the work itself.
            let job = q.jobs.pop_back();
            drop(q);
            job.into_iter().for_each(|j| j());
        }
    }

    /// Waits until nothing is queued or running.
    pub fn drain(&self) {
        let mut q = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while !q.jobs.is_empty() || q.running > 0 {
            q = self.0.quiet.wait(q).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Inner {
    /// Gets one more thread to work, if there is one or may be one.
    fn more_hands(self: &Arc<Self>, q: &mut Queue) {
        if q.idle > 0 {
            if !std::mem::replace(&mut q.waking, true) {
                self.work.notify_one();
            }
        } else if q.threads.len() < self.most && !q.closed {
            let inner = self.clone();
            let builder = std::thread::Builder::new().name(self.name.clone());
            q.threads.extend(builder.spawn(move || inner.work()));
        }
    }

    fn work(self: &Arc<Self>) {
        let mut q = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = q.jobs.pop_front() {
                q.running += 1;
                if !q.jobs.is_empty() {
                    self.more_hands(&mut q);
                }
                drop(q);
                // A request that panics is lost; the pool goes on.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                q = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                q.running -= 1;
                if q.running == 0 && q.jobs.is_empty() {
                    self.quiet.notify_all();
                }
            } else if q.closed {
                return;
            } else {
                q.idle += 1;
                q = self.work.wait(q).unwrap_or_else(PoisonError::into_inner);
                q.idle -= 1;
                q.waking = false;
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut q = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        q.closed = true;
        let threads = std::mem::take(&mut q.threads);
        drop(q);
        self.0.work.notify_all();
        let me = std::thread::current().id();
        for t in threads.into_iter().filter(|t| t.thread().id() != me) {
            let _ = t.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn jobs_that_wait_for_each_other_all_get_a_thread() {
        let pool = Pool::new("test", 8);
        // Threads that are made for it, and threads that were idle.
        for _ in 0..20 {
            let together = Arc::new(std::sync::Barrier::new(9));
            for _ in 0..8 {
                let together = together.clone();
                pool.run(move || {
                    together.wait();
                });
            }
            together.wait();
            pool.drain();
        }
    }

    #[test]
    fn every_job_runs_once_and_a_panic_stops_nobody() {
        let pool = Pool::new("test", 3);
        let count = Arc::new(AtomicUsize::new(0));
        for n in 0..100 {
            let count = count.clone();
            pool.run(move || {
                assert_ne!(n, 50);
                count.fetch_add(1, Ordering::SeqCst);
            });
        }
        pool.drain();
        assert_eq!(count.load(Ordering::SeqCst), 99);
    }
}
