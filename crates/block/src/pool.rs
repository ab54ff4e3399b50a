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
        if q.idle == 0 && q.threads.len() < self.0.most {
            let inner = self.0.clone();
            let builder = std::thread::Builder::new().name(self.0.name.clone());
            match builder.spawn(move || inner.work()) {
                Ok(t) => q.threads.push(t),
                // The host has no thread for us: the caller does the work itself.
                Err(_) if q.threads.is_empty() => {
                    let job = q.jobs.pop_back();
                    drop(q);
                    job.into_iter().for_each(|j| j());
                    return;
                }
                Err(_) => {}
            }
        }
        drop(q);
        self.0.work.notify_one();
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
    fn work(&self) {
        let mut q = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = q.jobs.pop_front() {
                q.running += 1;
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
