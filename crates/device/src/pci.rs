//! PCI functions (PCI Local Bus 3.0, chapter 6): configuration space, base address registers, interrupts, and what a
//! host bridge asks of each function.
//!
//! Numbers in configuration space and behind base address registers are little-endian; here they are plain numbers.

mod msix;

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{DeviceTree, IrqLine, NodeId};

pub use msix::{MSI_ADDRESS, Msix, MsixState};

/// Bytes of a function's configuration space.
pub const CONFIG_SIZE: usize = 256;

/// Places in configuration space that all functions have (6.1).
pub mod reg {
    #![allow(missing_docs)]
    pub const VENDOR: usize = 0x00;
    pub const DEVICE: usize = 0x02;
    pub const COMMAND: usize = 0x04;
    pub const STATUS: usize = 0x06;
    pub const REVISION: usize = 0x08;
    pub const CLASS: usize = 0x09;
    pub const CACHE_LINE: usize = 0x0c;
    pub const LATENCY: usize = 0x0d;
    pub const BAR: usize = 0x10;
    pub const SUBSYSTEM_VENDOR: usize = 0x2c;
    pub const SUBSYSTEM: usize = 0x2e;
    pub const CAPABILITIES: usize = 0x34;
    pub const INTERRUPT_LINE: usize = 0x3c;
    pub const INTERRUPT_PIN: usize = 0x3d;
}

/// Bits of the command register.
pub mod command {
    #![allow(missing_docs)]
    pub const IO: u16 = 1;
    pub const MEMORY: u16 = 2;
    pub const MASTER: u16 = 4;
    pub const NO_INTX: u16 = 1 << 10;
    /// Those that can be set.
    pub const WRITABLE: u16 = IO | MEMORY | MASTER | 0x40 | 0x100 | NO_INTX;
}

const STATUS_INTERRUPT: u8 = 1 << 3;
const STATUS_CAPABILITIES: u8 = 1 << 4;
/// Where the first capability goes.
const FIRST_CAPABILITY: usize = 0x40;
/// A base address register that decodes nothing.
const OFF: u64 = u64::MAX;

/// What a function says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Class, subclass and programming interface, 24 bits.
    pub class: u32,
    /// Subsystem vendor.
    pub subsystem_vendor: u16,
    /// Subsystem.
    pub subsystem: u16,
}

/// What a base address register decodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BarKind {
    /// Memory below 4 GiB.
    Memory32,
    /// Memory anywhere, prefetchable; takes two registers.
    Memory64,
}

/// A base address register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// Number, 0 to 5.
    pub index: usize,
    /// What it decodes.
    pub kind: BarKind,
    /// Size in bytes, a power of two and at least 16.
    pub size: u64,
}

impl Bar {
    /// Place of the register in configuration space.
    pub fn place(&self) -> usize {
        reg::BAR + 4 * self.index
    }

    fn flags(&self) -> u32 {
        match self.kind {
            BarKind::Memory32 => 0,
            BarKind::Memory64 => 0b1100,
        }
    }
}

/// A capability: its identity, what follows the two bytes of the list, and which bits of that can be written.
#[derive(Clone, Debug)]
pub struct Capability {
    /// Identity.
    pub id: u8,
    /// Contents.
    pub body: Vec<u8>,
    /// Writable bits; what is missing is read-only.
    pub writable: Vec<u8>,
}

/// A function's configuration space.
pub struct Header {
    initial: [u8; CONFIG_SIZE],
    writable: [u8; CONFIG_SIZE],
    bars: Vec<Bar>,
    places: Vec<(u8, usize)>,
    space: Mutex<[u8; CONFIG_SIZE]>,
    /// Where on the bus each of `bars` is decoded; [`OFF`] if it is not.
    decoded: Vec<AtomicU64>,
}

/// Saved form of a [`Header`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeaderState {
    /// All bytes.
    pub bytes: Vec<u8>,
}

impl Header {
    /// A configuration space with interrupt pin A. Registers and capabilities that do not fit are a mistake of the
    /// caller's, and left out.
    pub fn new(ids: Ids, bars: &[Bar], capabilities: &[Capability]) -> Self {
        let mut b = [0; CONFIG_SIZE];
        let mut w = [0; CONFIG_SIZE];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(reg::VENDOR, &ids.vendor.to_le_bytes());
        put(reg::DEVICE, &ids.device.to_le_bytes());
        put(reg::REVISION, &[ids.revision]);
        put(reg::CLASS, &ids.class.to_le_bytes()[..3]);
        put(reg::SUBSYSTEM_VENDOR, &ids.subsystem_vendor.to_le_bytes());
        put(reg::SUBSYSTEM, &ids.subsystem.to_le_bytes());
        put(reg::INTERRUPT_PIN, &[1]);
        w[reg::COMMAND..reg::COMMAND + 2].copy_from_slice(&command::WRITABLE.to_le_bytes());
        w[reg::CACHE_LINE] = 0xff;
        w[reg::LATENCY] = 0xff;
        w[reg::INTERRUPT_LINE] = 0xff;
        for bar in bars {
            debug_assert!(bar.size.is_power_of_two() && bar.size >= 16 && bar.index < 6);
            let mask = !(bar.size - 1);
            let at = bar.place();
            b[at..at + 4].copy_from_slice(&bar.flags().to_le_bytes());
            w[at..at + 4].copy_from_slice(&(mask as u32).to_le_bytes());
            if bar.kind == BarKind::Memory64 {
                w[at + 4..at + 8].copy_from_slice(&((mask >> 32) as u32).to_le_bytes());
            }
        }
        let mut places = Vec::new();
        let (mut at, mut link) = (FIRST_CAPABILITY, reg::CAPABILITIES);
        for c in capabilities {
            let len = 2 + c.body.len();
            if at + len > CONFIG_SIZE {
                debug_assert!(false, "too many capabilities");
                break;
            }
            b[link] = at as u8;
            b[at] = c.id;
            b[at + 2..at + len].copy_from_slice(&c.body);
            for (n, &bits) in c.writable.iter().enumerate().take(c.body.len()) {
                w[at + 2 + n] = bits;
            }
            places.push((c.id, at));
            link = at + 1;
            at = (at + len).next_multiple_of(4);
            b[reg::STATUS] = STATUS_CAPABILITIES;
        }
        Header {
            initial: b,
            writable: w,
            bars: bars.to_vec(),
            places,
            space: Mutex::new(b),
            decoded: bars.iter().map(|_| AtomicU64::new(OFF)).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, [u8; CONFIG_SIZE]> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The base address registers.
    pub fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// Identity and place of each capability, in the order given.
    pub fn capabilities(&self) -> &[(u8, usize)] {
        &self.places
    }

    /// 1, 2 or 4 bytes at a multiple of that; all ones otherwise, and beyond the end.
    pub fn read(&self, at: usize, size: u8) -> u32 {
        let n = size as usize;
        if !matches!(n, 1 | 2 | 4) || at % n != 0 || at >= CONFIG_SIZE {
            return u32::MAX;
        }
        self.lock()[at..at + n].iter().rev().fold(0, |v, &b| v << 8 | b as u32)
    }

    /// Writes what can be written.
    pub fn write(&self, at: usize, value: u32, size: u8) {
        let n = size as usize;
        if !matches!(n, 1 | 2 | 4) || at % n != 0 || at >= CONFIG_SIZE {
            return;
        }
        let mut space = self.lock();
        for (i, v) in value.to_le_bytes().into_iter().enumerate().take(n) {
            let w = self.writable[at + i];
            space[at + i] = space[at + i] & !w | v & w;
        }
        self.decode(&space);
    }

    /// The command register.
    pub fn command(&self) -> u16 {
        self.read(reg::COMMAND, 2) as u16
    }

    /// What the status register says of the interrupt pin.
    pub fn show_interrupt(&self, asserted: bool) {
        let mut space = self.lock();
        let old = space[reg::STATUS] & !STATUS_INTERRUPT;
        space[reg::STATUS] = old | if asserted { STATUS_INTERRUPT } else { 0 };
    }

    /// Sets bytes whether the guest could or not; for registers whose value is the device's.
    pub fn poke(&self, at: usize, bytes: &[u8]) {
        if let Some(to) = self.lock().get_mut(at..at.saturating_add(bytes.len())) {
            to.copy_from_slice(bytes);
        }
    }

    /// Puts the `n`-th of [`Header::bars`] at a bus address, and has memory decoded.
    pub fn place_bar(&self, n: usize, base: u64) {
        let Some(bar) = self.bars.get(n) else { return };
        self.write(bar.place(), base as u32, 4);
        if bar.kind == BarKind::Memory64 {
            self.write(bar.place() + 4, (base >> 32) as u32, 4);
        }
        self.write(reg::COMMAND, (self.command() | command::MEMORY) as u32, 2);
    }

    /// Where the `n`-th of [`Header::bars`] stands, decoded or not.
    pub fn bar_base(&self, n: usize) -> u64 {
        self.bars.get(n).map_or(OFF, |b| Self::base_in(&self.lock(), b))
    }

    fn base_in(space: &[u8; CONFIG_SIZE], bar: &Bar) -> u64 {
        let word = |at: usize| u32::from_le_bytes([space[at], space[at + 1], space[at + 2], space[at + 3]]);
        let high = if bar.kind == BarKind::Memory64 { word(bar.place() + 4) } else { 0 };
        (high as u64) << 32 | (word(bar.place()) & !0xf) as u64
    }

    fn decode(&self, space: &[u8; CONFIG_SIZE]) {
        let on = space[reg::COMMAND] & command::MEMORY as u8 != 0;
        for (bar, d) in self.bars.iter().zip(&self.decoded) {
            let base = if on { Self::base_in(space, bar) } else { OFF };
            d.store(base, Ordering::Release);
        }
    }

    /// The base address register that decodes `size` bytes at a bus address: its number (as in [`Bar::index`]) and the
    /// offset in it.
    #[inline]
    pub fn find(&self, addr: u64, size: u8) -> Option<(usize, u64)> {
        for (bar, d) in self.bars.iter().zip(&self.decoded) {
            let base = d.load(Ordering::Acquire);
            if base != OFF && addr >= base && addr - base <= bar.size - size as u64 {
                return Some((bar.index, addr - base));
            }
        }
        None
    }

    /// Back to power-on.
    pub fn reset(&self) {
        let mut space = self.lock();
        *space = self.initial;
        self.decode(&space);
    }

    /// The state.
    pub fn save(&self) -> HeaderState {
        HeaderState { bytes: self.lock().to_vec() }
    }

    /// Takes a saved state over; it must be one of a function like this.
    pub fn restore(&self, state: HeaderState) -> Result<(), String> {
        let HeaderState { bytes } = state;
        let bytes: [u8; CONFIG_SIZE] =
            bytes.try_into().map_err(|_| "a configuration space of another size".to_owned())?;
        if bytes[..4] != self.initial[..4] {
            return Err("the configuration space of another function".into());
        }
        let mut space = self.lock();
        for (n, b) in bytes.into_iter().enumerate() {
            let own = if n == reg::STATUS { STATUS_INTERRUPT } else { self.writable[n] };
            space[n] = self.initial[n] & !own | b & own;
        }
        self.decode(&space);
        Ok(())
    }
}

/// A level interrupt that several functions share.
pub struct SharedLine {
    line: IrqLine,
    /// Who asserts it.
    asserted: Mutex<u64>,
}

impl SharedLine {
    /// Shares a line.
    pub fn new(line: IrqLine) -> Arc<Self> {
        Arc::new(SharedLine { line, asserted: Mutex::new(0) })
    }

    /// The line.
    pub fn line(&self) -> &IrqLine {
        &self.line
    }
}

/// A function's interrupt pin: one of up to 64 that drive a [`SharedLine`].
#[derive(Clone)]
pub struct Intx {
    shared: Arc<SharedLine>,
    bit: u64,
}

impl Intx {
    /// The `n`-th driver of a line.
    pub fn new(shared: Arc<SharedLine>, n: u32) -> Self {
        Intx { shared, bit: 1 << (n & 63) }
    }

    /// Drives the pin.
    pub fn set(&self, asserted: bool) {
        let mut all = self.shared.asserted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = if asserted { *all | self.bit } else { *all & !self.bit };
        if (now != 0) != (*all != 0) {
            self.shared.line.set(now != 0);
        }
        *all = now;
    }
}

/// A PCI function. All methods may be called on any virtual processor's thread and must not block for long.
pub trait PciFunction: Any + Send + Sync {
    /// Its configuration space.
    fn header(&self) -> &Header;
    /// Its message-signalled interrupts.
    fn msix(&self) -> Option<&Msix> {
        None
    }
    /// Name of its node in the device tree, without the unit address.
    fn node_name(&self) -> &'static str;
    /// Loads 1, 2, 4 or 8 bytes at an offset of a base address register.
    fn load(&self, bar: usize, offset: u64, size: u8) -> u64;
    /// Stores 1, 2, 4 or 8 bytes.
    fn store(&self, bar: usize, offset: u64, value: u64, size: u8);
    /// Reads configuration space.
    fn read_config(&self, at: usize, size: u8) -> u32 {
        self.header().read(at, size)
    }
    /// Writes configuration space.
    fn write_config(&self, at: usize, value: u32, size: u8) {
        self.header().write(at, value, size);
    }
    /// Adds what the bridge does not know to the function's node.
    fn describe(&self, _tree: &mut DeviceTree, _node: NodeId) {}
    /// Back to the state at power-on: requests under way are dropped or awaited, interrupts off.
    fn reset(&self);
    /// The guest-visible state; requests under way are awaited first.
    fn save(&self) -> serde_json::Value;
    /// Takes a saved state over, or says what does not fit. `line` makes the line of an interrupt source that the
    /// function had been given.
    fn restore(&self, state: serde_json::Value, line: &dyn Fn(u32) -> IrqLine) -> Result<(), String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let ids = Ids {
            vendor: 0x1af4,
            device: 0x1042,
            revision: 1,
            class: 0x01_0000,
            subsystem_vendor: 0x1af4,
            subsystem: 0x40,
        };
        let bars = [
            Bar { index: 1, kind: BarKind::Memory32, size: 0x1000 },
            Bar { index: 4, kind: BarKind::Memory64, size: 0x4000 },
        ];
        let cap = |id: u8, len: usize| Capability { id, body: vec![id; len], writable: vec![0xf0] };
        Header::new(ids, &bars, &[cap(9, 14), cap(0x11, 10)])
    }

    #[test]
    fn fields_stand_where_they_belong_and_only_some_can_be_written() {
        let h = header();
        assert_eq!(h.read(0, 4), 0x1042_1af4);
        assert_eq!(h.read(8, 4), 0x0100_0001);
        assert_eq!(h.read(0x2c, 4), 0x0040_1af4);
        assert_eq!((h.read(0x34, 1), h.read(6, 1), h.read(0x3d, 1)), (0x40, 0x10, 1));
        assert_eq!((h.read(0x40, 2), h.read(0x50, 2)), (0x5009, 0x0011));
        h.write(0, 0, 4);
        h.write(0x40, u32::MAX, 4);
        assert_eq!(h.read(0, 4), 0x1042_1af4);
        assert_eq!(h.read(0x40, 4), 0x09f9_5009);
        for (at, size) in [(1, 2), (2, 4), (256, 1), (254, 4), (4, 3), (4, 8), (usize::MAX, 1)] {
            assert_eq!(h.read(at, size), u32::MAX);
            h.write(at, 0, size);
        }
    }

    #[test]
    fn registers_tell_their_size_and_decode_what_they_are_set_to() {
        let h = header();
        for at in [0x14, 0x20, 0x24, 0x10] {
            h.write(at, u32::MAX, 4);
        }
        let sizes = [0x14, 0x20, 0x24, 0x10].map(|at| h.read(at, 4));
        assert_eq!(sizes, [0xffff_f000, 0xffff_c00c, 0xffff_ffff, 0]);
        h.place_bar(0, 0x8000_0000);
        h.place_bar(1, 0x2100_0000_4000);
        assert_eq!(h.find(0x8000_0ffc, 4), Some((1, 0xffc)));
        assert_eq!(h.find(0x8000_0ffd, 4), None);
        assert_eq!(h.find(0x2100_0000_4008, 8), Some((4, 8)));
        h.write(reg::COMMAND, 0, 2);
        assert_eq!(h.find(0x8000_0000, 1), None);
        let saved = h.save();
        h.reset();
        assert_eq!(h.bar_base(1), 0);
        h.restore(saved.clone()).unwrap();
        assert_eq!(h.bar_base(1), 0x2100_0000_4000);
        assert_eq!(h.save(), saved);
    }

    #[test]
    fn a_shared_line_is_up_while_anybody_asserts_it() {
        let shared = SharedLine::new(IrqLine::unconnected());
        let (a, b) = (Intx::new(shared.clone(), 0), Intx::new(shared.clone(), 1));
        a.set(true);
        b.set(true);
        a.set(false);
        assert_eq!(*shared.asserted.lock().unwrap(), 2);
        b.set(false);
        b.set(false);
        assert_eq!(*shared.asserted.lock().unwrap(), 0);
    }
}
