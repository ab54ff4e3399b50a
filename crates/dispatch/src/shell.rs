//! The scheduler with the host's clock: a thread that looks when something is due, and a seat for each partition.
//!
//! Processors are not host threads here: each virtual processor has its own, and of those only as many run as there
//! are processors. An order to leave reaches a virtual processor at its next look at its mailbox; until it says that it
//! has left, its time counts, and its successor waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::core::{Dispatcher, Ns, Order, PartId, PoolUsage, Refused, Share, Thread, Usage};

/// The host thread of a virtual processor, as orders reach it. Neither call may wait, nor call the shell.
pub trait Runner: Send + Sync {
    /// It may run: it looks at [`Seat::may_run`]. `here`: the calling thread, of a virtual processor of the same
    /// partition, gave its turn away and is about to sleep.
    fn run(&self, here: bool);
    /// It has to leave the guest and say so by [`Seat::left`].
    fn leave(&self);
}

struct State {
    dispatcher: Dispatcher,
    runners: BTreeMap<Thread, Arc<dyn Runner>>,
    /// When the thread looks next.
    planned: Ns,
    quit: bool,
}

/// The scheduler of a node at work.
pub struct Shell {
    state: Mutex<State>,
    changed: Condvar,
    start: Instant,
}

impl Shell {
    /// With this many processors. Nothing is due until [`Shell::run`] is called, on a thread of its own.
    pub fn new(processors: u32) -> Arc<Self> {
        let dispatcher = Dispatcher::new(processors, 0);
        let state = State { dispatcher, runners: BTreeMap::new(), planned: 0, quit: false };
        Arc::new(Shell { state: Mutex::new(state), changed: Condvar::new(), start: Instant::now() })
    }

    fn now(&self) -> Ns {
        self.start.elapsed().as_nanos() as Ns
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the scheduler and carries out what follows from it.
    fn with<R>(&self, f: impl FnOnce(&mut Dispatcher, Ns) -> R) -> R {
        self.with_leave(None, f)
    }

    /// The same for a virtual processor of `giver` that gives its turn away.
    fn with_leave<R>(&self, giver: Option<PartId>, f: impl FnOnce(&mut Dispatcher, Ns) -> R) -> R {
        let mut s = self.lock();
        let result = f(&mut s.dispatcher, self.now());
        let orders = s.take_orders();
        let next = s.dispatcher.next_event();
        let sooner = next < s.planned;
        if sooner {
            s.planned = next;
        }
        // Who is woken may run at once, and instead of the calling thread: not before the lock is free.
        drop(s);
        deliver(orders, giver);
        if sooner {
            self.changed.notify_one();
        }
        result
    }

    /// Serves until [`Shell::quit`].
    pub fn run(&self) {
        let mut s = self.lock();
        while !s.quit {
            let now = self.now();
            s.dispatcher.advance(now);
            let orders = s.take_orders();
            if !orders.is_empty() {
                drop(s);
                deliver(orders, None);
                s = self.lock();
                // Who called meanwhile found nobody waiting.
                continue;
            }
            s.planned = if s.dispatcher.is_idle() { Ns::MAX } else { s.dispatcher.next_event() };
            // Where all sleep nothing happens by itself.
            let left = match s.dispatcher.is_idle() {
                true => Duration::from_secs(3600),
                false => Duration::from_nanos(s.planned.saturating_sub(self.now())),
            };
            s = self.changed.wait_timeout(s, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes [`Shell::run`] return.
    pub fn quit(&self) {
        self.lock().quit = true;
        self.changed.notify_one();
    }

    /// Adds a partition with a runner for each thread, by number.
    pub fn seat(self: &Arc<Self>, share: Share, runners: Vec<Arc<dyn Runner>>) -> Result<Seat, Refused> {
        let mut s = self.lock();
        let part = s.dispatcher.add(self.now(), share)?;
        for (n, r) in runners.into_iter().enumerate() {
            s.runners.insert(Thread { part, index: n as u32 }, r);
        }
        s.planned = 0;
        drop(s);
        self.changed.notify_one();
        Ok(Seat { shell: self.clone(), part })
    }

    /// The pool now.
    pub fn pool(&self) -> PoolUsage {
        self.with(|d, now| {
            d.advance(now);
            d.pool()
        })
    }
}

impl State {
    fn take_orders(&mut self) -> Vec<(Order, Arc<dyn Runner>)> {
        let orders = self.dispatcher.take_orders();
        let runners = &self.runners;
        orders.into_iter().filter_map(|o| Some((o, runners.get(&o.thread())?.clone()))).collect()
    }
}

/// Orders of two calls may arrive in another order than they were given in: a runner asks [`Seat::may_run`] after each.
fn deliver(orders: Vec<(Order, Arc<dyn Runner>)>, giver: Option<PartId>) {
    for (order, runner) in orders {
        match order {
            Order::Run(t) => runner.run(giver == Some(t.part)),
            Order::Leave(_) => runner.leave(),
        }
    }
}

/// A partition's place in the scheduler; given up when dropped.
pub struct Seat {
    shell: Arc<Shell>,
    part: PartId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let part = self.part;
        self.shell.with(|d, now| d.remove(now, part));
        self.shell.lock().runners.retain(|t, _| t.part != part);
    }
}

impl Seat {
    fn thread(&self, index: usize) -> Thread {
        Thread { part: self.part, index: index as u32 }
    }

    /// The virtual processor has something to do.
    pub fn wake(&self, index: usize) {
        let t = self.thread(index);
        self.shell.with(|d, now| d.wake(now, t));
    }

    /// It has nothing to do until [`Seat::wake`]. It is out of the guest.
    pub fn cede(&self, index: usize) {
        let t = self.thread(index);
        self.shell.with_leave(Some(t.part), |d, now| d.cede(now, t));
    }

    /// It is out of the guest, and lets another go first, or all others. `false`: it may go on.
    pub fn confer(&self, index: usize, to: Option<usize>) -> bool {
        let t = self.thread(index);
        self.shell.with_leave(Some(t.part), |d, now| d.confer(now, t, to.map(|n| n as u32)))
    }

    /// It is out of the guest and wants in again.
    pub fn left(&self, index: usize) {
        let t = self.thread(index);
        self.shell.with(|d, now| d.left(now, t));
    }

    /// Whether it may enter the guest. If it has to leave without having entered, that is done.
    pub fn may_run(&self, index: usize) -> bool {
        let t = self.thread(index);
        self.shell.with(|d, now| {
            if !d.may_run(t) && d.is_inside(t) {
                d.left(now, t);
            }
            d.may_run(t)
        })
    }

    /// Nanoseconds that a virtual processor was charged with until now, and those for which it had something to do but
    /// no processor.
    pub fn times(&self, index: usize) -> (Ns, Ns) {
        let t = self.thread(index);
        self.shell.with(|d, now| {
            d.advance(now);
            (d.thread_consumed(t), d.thread_waited(t))
        })
    }

    /// What the partition has had until now.
    pub fn usage(&self) -> Usage {
        self.shell.with(|d, now| {
            d.advance(now);
            d.usage(self.part)
        })
    }

    /// What it is given.
    pub fn share(&self) -> Option<Share> {
        self.shell.lock().dispatcher.share(self.part)
    }

    /// Another entitlement and weight, from the next window on.
    pub fn change(&self, entitled: u32, weight: Option<u8>) -> Result<(), Refused> {
        self.shell.with(|d, now| d.change(now, self.part, entitled, weight))
    }

    /// The pool it is in.
    pub fn pool(&self) -> PoolUsage {
        self.shell.pool()
    }

    /// Processors of the node.
    pub fn processors(&self) -> u32 {
        self.shell.lock().dispatcher.processors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Sharing;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// A virtual processor that is told by flags.
    #[derive(Default)]
    struct Flags {
        look: Mutex<bool>,
        changed: Condvar,
        leave: AtomicBool,
    }

    impl Runner for Flags {
        fn run(&self, _here: bool) {
            *self.look.lock().unwrap() = true;
            self.changed.notify_all();
        }
        fn leave(&self) {
            self.leave.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn of_three_threads_one_runs_at_a_time_and_all_do() {
        let shell = Shell::new(1);
        let inside = AtomicUsize::new(0);
        let quit = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| shell.run());
            let mut threads = Vec::new();
            for entitled in [50, 30, 20] {
                let (shell, inside, quit) = (shell.clone(), &inside, &quit);
                threads.push(s.spawn(move || {
                    let flags = Arc::new(Flags::default());
                    let share =
                        Share { cores: 1, threads: 1, sharing: Sharing::Shared { entitled, weight: None } };
                    let seat = shell.seat(share, vec![flags.clone()]).unwrap();
                    seat.wake(0);
                    let mut turns = 0;
                    while turns < 20 && !quit.load(Ordering::SeqCst) {
                        let mut look = flags.look.lock().unwrap();
                        while !*look {
                            look = flags.changed.wait(look).unwrap();
                        }
                        *look = false;
                        drop(look);
                        if !seat.may_run(0) {
                            continue;
                        }
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        while !flags.leave.swap(false, Ordering::SeqCst) {
                            std::hint::spin_loop();
                        }
                        inside.fetch_sub(1, Ordering::SeqCst);
                        turns += 1;
                        if turns % 5 == 0 {
                            seat.cede(0);
                            seat.wake(0);
                        } else {
                            seat.left(0);
                        }
                    }
                    assert!(seat.usage().consumed > 0 && seat.usage().dispatches >= 20);
                    turns
                }));
            }
            for t in threads {
                assert_eq!(t.join().unwrap(), 20);
            }
            assert_eq!(shell.pool().free, 100);
            shell.quit();
        });
    }
}
