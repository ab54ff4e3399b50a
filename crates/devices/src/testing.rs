//! What the tests of several devices share.

use crate::xive::{GuestMemory, NotMemory};
use device::irq::{IrqKind, IrqLine, IrqSink, VcpuLines};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Processor lines that can be looked at and waited for.
pub struct Lines {
    levels: Vec<(Mutex<bool>, Condvar)>,
    over: AtomicBool,
}

impl Lines {
    pub fn new(count: usize) -> Self {
        let levels = (0..count).map(|_| (Mutex::new(false), Condvar::new())).collect();
        Lines { levels, over: AtomicBool::new(false) }
    }

    pub fn level(&self, server: u32) -> bool {
        *self.levels[server as usize].0.lock().unwrap()
    }

    /// Waits until the line is up; `false` once all is over.
    pub fn wait(&self, server: u32) -> bool {
        let (level, changed) = &self.levels[server as usize];
        let waiting = |up: &mut bool| !*up && !self.over.load(Ordering::SeqCst);
        *changed.wait_while(level.lock().unwrap(), waiting).unwrap()
    }

    /// Lets all waiters go.
    pub fn finish(&self) {
        self.over.store(true, Ordering::SeqCst);
        for (level, changed) in &self.levels {
            drop(level.lock().unwrap());
            changed.notify_all();
        }
    }
}

impl VcpuLines for Lines {
    fn set_external(&self, server: u32, asserted: bool) {
        let (level, changed) = &self.levels[server as usize];
        let mut level = level.lock().unwrap();
        assert_ne!(*level, asserted, "a line is told the level it has");
        *level = asserted;
        if asserted {
            changed.notify_all();
        }
    }
}

/// Small deterministic random numbers (xorshift64*).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Values at and around the edges more often than chance would have it.
    pub fn odd(&mut self) -> u64 {
        match self.below(6) {
            0 => self.below(8),
            1 => 0x1000 + self.below(0x1100),
            2 => u64::MAX - self.below(4),
            3 => 1 << self.below(64),
            4 => self.below(0x300),
            _ => self.next(),
        }
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A little partition memory from address 0.
pub struct Ring(Vec<AtomicU32>);

impl Ring {
    pub fn new(bytes: usize) -> Self {
        Ring((0..bytes / 4).map(|_| AtomicU32::new(0)).collect())
    }

    pub fn read(&self, addr: u64) -> u32 {
        self.0[addr as usize / 4].load(Ordering::Acquire)
    }
}

impl GuestMemory for Ring {
    fn contains(&self, addr: u64, len: u64) -> bool {
        addr.checked_add(len).is_some_and(|end| end <= self.0.len() as u64 * 4)
    }

    fn write_u32_be(&self, addr: u64, value: u32) -> Result<(), NotMemory> {
        assert_eq!(addr % 4, 0);
        self.0.get((addr / 4) as usize).ok_or(NotMemory)?.store(value, Ordering::Release);
        Ok(())
    }
}

/// Counts the pulses of the lines that end here.
#[derive(Default)]
pub struct Pulses(AtomicU64);

impl Pulses {
    pub fn line(self: &Arc<Self>, lisn: u32) -> IrqLine {
        IrqLine::new(lisn, IrqKind::Msi, self.clone())
    }

    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl IrqSink for Pulses {
    fn pulse(&self, _: u32) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn set_level(&self, _: u32, _: bool) {}
}

/// Servers of the stress test.
pub const STRESS_SERVERS: u32 = 4;
/// Edge sources of the stress test.
pub const STRESS_EDGES: usize = 2;

/// What interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Ipi,
    Edge(usize),
    Level,
}

/// An interrupt controller with [`STRESS_SERVERS`] servers that let everything through, [`STRESS_EDGES`]
/// edge sources and a level source, and what a guest does with it.
pub trait Stressed: Sync {
    fn lines(&self) -> &Lines;
    fn send_ipi(&self, to: u32);
    fn pulse(&self, edge: usize);
    fn set_level(&self, asserted: bool);
    /// Sends one of the device sources to another server.
    fn reroute(&self, random: &mut Rng);
    /// Accepts what interrupts a server, lets `handle` see each event, and ends it.
    fn take(&self, me: u32, handle: &mut dyn FnMut(Event));
}

/// Counters of what was posted and not yet seen.
#[derive(Default)]
struct Posted {
    mail: [AtomicU64; STRESS_SERVERS as usize],
    edges: [AtomicU64; STRESS_EDGES],
    level: AtomicU64,
    hops: AtomicU64,
}

impl Posted {
    fn open(&self) -> u64 {
        let all = self.mail.iter().chain(&self.edges).chain([&self.level, &self.hops]);
        all.map(|c| c.load(Ordering::SeqCst)).sum()
    }
}

/// Each server is a thread. Again and again some interrupts are sent at once, between the servers or
/// from a device whose sources move about; then all is quiet until each of them was handled. One that got
/// lost stays lost, as nothing comes after it.
pub fn stress(rounds: u32, s: &impl Stressed) {
    /// Lets the servers go when the test ends, also when it fails.
    struct Finish<'a>(&'a Lines);
    impl Drop for Finish<'_> {
        fn drop(&mut self) {
            self.0.finish();
        }
    }

    let posted = Posted::default();
    std::thread::scope(|scope| {
        let _finish = Finish(s.lines());
        for me in 0..STRESS_SERVERS {
            let posted = &posted;
            scope.spawn(move || {
                let mut r = Rng::new(me as u64 + 1);
                let mut handle = |event| match event {
                    Event::Ipi => {
                        for _ in 0..posted.mail[me as usize].swap(0, Ordering::SeqCst) {
                            // Each hop still owed is sent on as another message.
                            let left = |h: u64| h.checked_sub(1);
                            let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
                            if posted.hops.fetch_update(set, fetch, left).is_ok() {
                                let to = r.below(STRESS_SERVERS as u64) as u32;
                                posted.mail[to as usize].fetch_add(1, Ordering::SeqCst);
                                s.send_ipi(to);
                            }
                        }
                    }
                    Event::Edge(i) => drop(posted.edges[i].swap(0, Ordering::SeqCst)),
                    Event::Level => {
                        s.set_level(false);
                        posted.level.swap(0, Ordering::SeqCst);
                    }
                };
                while s.lines().wait(me) {
                    s.take(me, &mut handle);
                }
            });
        }
        let mut r = Rng::new(99);
        for round in 0..rounds {
            if round % 2 == 0 {
                posted.hops.store(r.below(20), Ordering::SeqCst);
                for _ in 0..3 {
                    let to = r.below(STRESS_SERVERS as u64) as u32;
                    posted.mail[to as usize].fetch_add(1, Ordering::SeqCst);
                    s.send_ipi(to);
                }
            } else {
                posted.level.store(1, Ordering::SeqCst);
                s.set_level(true);
                for _ in 0..=r.below(8) {
                    let edge = r.below(STRESS_EDGES as u64) as usize;
                    posted.edges[edge].fetch_add(1, Ordering::SeqCst);
                    s.pulse(edge);
                    match r.below(4) {
                        0 => s.reroute(&mut r),
                        1 => std::thread::yield_now(),
                        _ => {}
                    }
                }
            }
            let start = std::time::Instant::now();
            while posted.open() > 0 {
                assert!(start.elapsed() < Duration::from_secs(30), "an interrupt was lost");
                std::thread::yield_now();
            }
        }
    });
}
