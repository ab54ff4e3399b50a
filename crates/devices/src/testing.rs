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
    pub rises: AtomicU64,
}

impl Lines {
    pub fn new(count: usize) -> Self {
        let levels = (0..count).map(|_| (Mutex::new(false), Condvar::new())).collect();
        Lines { levels, over: AtomicBool::new(false), rises: AtomicU64::new(0) }
    }

    pub fn level(&self, server: u32) -> bool {
        *self.levels[server as usize].0.lock().unwrap()
    }

    /// Waits until the line is up; `false` once all is over. A line that stays down for a minute is taken
    /// as an interrupt lost.
    pub fn wait(&self, server: u32) -> bool {
        let (level, changed) = &self.levels[server as usize];
        let waiting = |up: &mut bool| !*up && !self.over.load(Ordering::SeqCst);
        let (up, timeout) =
            changed.wait_timeout_while(level.lock().unwrap(), Duration::from_secs(60), waiting).unwrap();
        assert!(!timeout.timed_out(), "an interrupt was lost");
        *up
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
            self.rises.fetch_add(1, Ordering::Relaxed);
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
