//! A driver for tests: what a guest does with a virtio function, over its base address registers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use device::IrqLine;
use device::irq::{IrqKind, IrqSink};
use device::pci::{Intx, PciFunction, SharedLine};
use mem::GuestRam;

use super::{VirtioDevice, VirtioPci, feature, status};

/// Base address register of everything but interrupt vectors.
const MAIN: usize = 4;
/// Offsets in it.
const CONFIG: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;
/// Descriptors of every queue the driver makes.
pub const SIZE: u16 = 16;
/// Where queues stand in memory, 64 KiB each, and where buffers do.
const QUEUES: u64 = 0x10_0000;
pub const BUFFERS: u64 = 0x8_0000;
pub const MEMORY: u64 = 4 << 20;

/// Counts what an interrupt line hears.
#[derive(Default)]
pub struct Ear(pub AtomicU32);

impl IrqSink for Ear {
    fn pulse(&self, _: u32) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn set_level(&self, _: u32, up: bool) {
        self.0.fetch_add(u32::from(up), Ordering::SeqCst);
    }
}

/// A buffer of a request: address, length, whether the device writes.
pub type Piece = (u64, u32, bool);

pub struct Driver {
    pub ram: Arc<GuestRam>,
    pub f: VirtioPci,
    pub ear: Arc<Ear>,
    avail: Vec<u16>,
    seen: Vec<u16>,
}

impl Driver {
    /// A function nobody has touched.
    pub fn new(device: Arc<dyn VirtioDevice>) -> Self {
        let ram = Arc::new(GuestRam::new(MEMORY).unwrap());
        let ear = Arc::new(Ear::default());
        let line = IrqLine::new(0x1200, IrqKind::Lsi, ear.clone());
        let pin = Intx::new(SharedLine::new(line), 0);
        let queues = device.queue_sizes().len();
        let f = VirtioPci::new(device, ram.clone(), pin);
        Driver { ram, f, ear, avail: vec![0; queues], seen: vec![0; queues] }
    }

    /// A driver that has come up with these features of the device's kind.
    pub fn up(device: Arc<dyn VirtioDevice>, features: u64) -> Self {
        let mut d = Driver::new(device);
        d.start(features);
        d
    }

    pub fn set(&self, at: u64, value: u64, size: u8) {
        self.f.store(MAIN, at, value, size);
    }

    pub fn get(&self, at: u64, size: u8) -> u64 {
        self.f.load(MAIN, at, size)
    }

    pub fn config(&self, at: u64, size: u8) -> u64 {
        self.get(CONFIG + at, size)
    }

    pub fn status(&self) -> u8 {
        self.get(20, 1) as u8
    }

    /// Resets and initialises the device.
    pub fn start(&mut self, features: u64) {
        self.set(20, 0, 1);
        let begin = Instant::now();
        while self.status() != 0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "no end of the reset");
            std::thread::sleep(Duration::from_micros(50));
        }
        self.set(20, (status::ACKNOWLEDGE | status::DRIVER) as u64, 1);
        let wanted = features | feature::VERSION_1;
        for half in 0..2 {
            self.set(0, half, 4);
            let offered = self.get(4, 4);
            let want = wanted >> (32 * half) & 0xffff_ffff;
            assert_eq!(offered & want, want, "the device does not offer all of {wanted:#x}");
            self.set(8, half, 4);
            self.set(12, want, 4);
        }
        let agreed = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
        self.set(20, agreed as u64, 1);
        assert_eq!(self.status(), agreed);
        for n in 0..self.avail.len() {
            (self.avail[n], self.seen[n]) = (0, 0);
            let base = QUEUES + n as u64 * 0x1_0000;
            self.ram.fill(base, 0x1_0000, 0).unwrap();
            self.set(22, n as u64, 2);
            if self.get(24, 2) > SIZE as u64 {
                self.set(24, SIZE as u64, 2);
            }
            for (reg, at) in [(32, base), (40, base + 0x4000), (48, base + 0x8000)] {
                self.set(reg, at, 8);
            }
            self.set(28, 1, 2);
            assert_eq!(self.get(28, 2), 1);
        }
        self.set(20, (agreed | status::DRIVER_OK) as u64, 1);
        self.f.settle();
    }

    fn base(queue: usize) -> u64 {
        QUEUES + queue as u64 * 0x1_0000
    }

    /// Writes one descriptor.
    pub fn descriptor(&self, queue: usize, n: u16, addr: u64, len: u32, flags: u16, next: u16) {
        let at = Self::base(queue) + 16 * n as u64;
        self.ram.store_le(at, addr, 8).unwrap();
        self.ram.store_le(at + 8, len as u64 | (flags as u64) << 32 | (next as u64) << 48, 8).unwrap();
    }

    /// Puts a chain of pieces into a queue at descriptor `first`, without telling.
    pub fn offer(&mut self, queue: usize, first: u16, pieces: &[Piece]) {
        for (i, &(addr, len, write)) in pieces.iter().enumerate() {
            let n = first + i as u16;
            let more = i + 1 < pieces.len();
            self.descriptor(queue, n, addr, len, u16::from(more) | u16::from(write) << 1, n + 1);
        }
        self.make_available(queue, first);
    }

    pub fn make_available(&mut self, queue: usize, head: u16) {
        let ring = Self::base(queue) + 0x4000;
        let n = self.avail[queue];
        self.ram.store_le(ring + 4 + 2 * (n % SIZE) as u64, head as u64, 2).unwrap();
        self.avail[queue] = n.wrapping_add(1);
        self.ram.store_le(ring + 2, self.avail[queue] as u64, 2).unwrap();
    }

    pub fn notify(&self, queue: usize) {
        self.set(NOTIFY + 4 * queue as u64, queue as u64, 2);
    }

    /// Whether the device asked to be notified of the chain made available last: the index it wrote behind the used ring,
    /// with VIRTIO_F_EVENT_IDX.
    pub fn event_is(&self, queue: usize) -> bool {
        let at = Self::base(queue) + 0x8000 + 4 + 8 * SIZE as u64;
        self.ram.load_le(at, 2).unwrap() as u16 == self.avail[queue]
    }

    /// What the device has given back, if it has: head and bytes written.
    pub fn used(&mut self, queue: usize) -> Option<(u32, u32)> {
        let ring = Self::base(queue) + 0x8000;
        let n = self.seen[queue];
        if self.ram.load_le(ring + 2, 2).unwrap() as u16 == n {
            return None;
        }
        self.seen[queue] = n.wrapping_add(1);
        let e = self.ram.load_le(ring + 4 + 8 * (n % SIZE) as u64, 8).unwrap();
        Some((e as u32, (e >> 32) as u32))
    }

    /// Waits for it.
    pub fn wait(&mut self, queue: usize) -> (u32, u32) {
        let begin = Instant::now();
        loop {
            if let Some(u) = self.used(queue) {
                return u;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "the device does not answer");
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Puts a chain into a queue, tells the device, waits for it; bytes written.
    pub fn exchange(&mut self, queue: usize, pieces: &[Piece]) -> u32 {
        self.offer(queue, 0, pieces);
        self.notify(queue);
        self.wait(queue).1
    }

    pub fn bytes(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut b = vec![0; len];
        self.ram.read(addr, &mut b).unwrap();
        b
    }
}

/// What every device has to stand: random registers, random descriptors, reset in between, and afterwards it works
/// as before, which `works` sees to; then a state that is saved and restored.
pub fn battery(make: &dyn Fn() -> Arc<dyn VirtioDevice>, works: &dyn Fn(&mut Driver)) {
    let mut d = Driver::up(make(), 0);
    works(&mut d);
    let mut rng = crate::testing::Rng::new(7);
    for round in 0..30 {
        d.start(if round % 2 == 0 { 0 } else { feature::INDIRECT_DESC | feature::EVENT_IDX });
        for _ in 0..60 {
            torment(&mut d, &mut rng);
        }
        // Configuration space, anywhere but where the registers are.
        for _ in 0..20 {
            let at = rng.below(64) as usize * 4;
            d.f.read_config(at, 4);
            if at >= 0x40 {
                d.f.write_config(at, rng.next() as u32, 4);
            }
            d.set(rng.below(0x3000) & !7, rng.next(), 1 << rng.below(4));
            d.get(rng.below(0x4000) & !7, 1 << rng.below(4));
        }
    }
    d.f.reset();
    d.f.header().reset();
    let _ = d.f.msix().unwrap().reset();
    d.start(0);
    works(&mut d);
    // The other one goes on where this one was.
    let line = |_: u32| IrqLine::unconnected();
    let saved = d.f.save();
    let fresh = Driver::new(make());
    fresh.ram.write(0, &d.bytes(0, MEMORY as usize)).unwrap();
    fresh.f.restore(saved.clone(), &line).unwrap();
    assert_eq!(fresh.f.save(), saved);
    d.f.restore(saved, &line).unwrap();
    works(&mut d);
    let other = serde_json::json!({ "header": 1 });
    assert!(d.f.restore(other, &line).is_err());
}

/// One descriptor, chain or notification that no driver would make.
fn torment(d: &mut Driver, rng: &mut crate::testing::Rng) {
    let queues = d.avail.len() as u64;
    let queue = rng.below(queues) as usize;
    let addr = match rng.below(4) {
        0 => rng.next(),
        1 => MEMORY - rng.below(64),
        // Never the queues themselves: what the device does to those is the guest's loss.
        _ => BUFFERS + rng.below(0x4_0000),
    };
    let len = match rng.below(4) {
        0 => rng.next() as u32,
        1 => 0,
        _ => rng.below(0x4000) as u32,
    };
    let len = if addr < QUEUES { len.min((QUEUES - addr) as u32) } else { len };
    let n = rng.below(SIZE as u64) as u16;
    let flags = if rng.below(8) == 0 { rng.next() as u16 } else { rng.below(4) as u16 };
    // A head that some device understands.
    if addr < QUEUES - 16 {
        d.ram.store_le(addr & !7, rng.below(16), 8).unwrap();
        d.ram.store_le((addr & !7) + 8, rng.below(200), 8).unwrap();
    }
    d.descriptor(queue, n, addr, len, flags, rng.below(SIZE as u64 + 1) as u16);
    match rng.below(6) {
        0 => {
            let at = Driver::base(queue) + 0x4002;
            d.ram.store_le(at, rng.next() & 0xffff, 2).unwrap();
        }
        1 | 2 => d.make_available(queue, rng.below(SIZE as u64 + 1) as u16),
        _ => d.notify(queue),
    }
}
