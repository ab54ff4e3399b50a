//! The PCI host bridge of a partition, `IBM,Logical_PHB` (LoPAR chapters 7.3.1, 7.3.10.5 and appendix B.6).
//!
//! One bus of 32 slots with one function each. Configuration space is reached by RTAS, memory behind base address
//! registers by loads and stores to the bridge's windows.

use std::collections::BTreeMap;
use std::sync::Arc;

use device::irq::lisn;
use device::pci::{BarKind, Intx, MSI_ADDRESS, PciFunction, SharedLine, command, reg};
use device::{DeviceTree, IrqController, IrqError, IrqKind, NodeId};
use serde::{Deserialize, Serialize};

use crate::intc::INTC_PHANDLE;

/// Unit identity of the bridge, which RTAS calls name it by.
pub const BUID: u64 = 0x0800_0000_2000_0000;
/// Logical bus number of its first DMA window: 1 GiB from I/O address 0.
pub const LIOBN: u32 = 0x8000_0000;
/// Size of that window.
pub const WINDOW: u64 = 1 << 30;
/// Logical bus number of the window that may be made as well.
pub const DYNAMIC_LIOBN: u32 = 0x8000_0001;
/// Its first I/O address.
pub const DYNAMIC_START: u64 = 0x0800_0000_0000_0000;

/// Real address of the 64 KiB of I/O space; there are no functions in it.
const IO_AT: u64 = 0x2000_0000_0000;
const IO_SIZE: u64 = 0x1_0000;
/// Real address of memory below 4 GiB, and where on the bus that is.
const MEM32_AT: u64 = 0x2000_8000_0000;
const MEM32_BUS: u64 = 0x8000_0000;
const MEM32_SIZE: u64 = 0x8000_0000;
/// Real and bus address of other memory.
const MEM64_AT: u64 = 0x2100_0000_0000;
const MEM64_SIZE: u64 = 0x100_0000_0000;

/// Slots of the bus.
pub const SLOTS: usize = 32;

/// The bridge, when all its slots have been filled.
pub struct Phb {
    intc: Arc<dyn IrqController>,
    lines: [Arc<SharedLine>; 4],
    slots: Vec<Arc<dyn PciFunction>>,
}

/// Saved form of a [`Phb`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PhbState {
    /// State of the functions by slot.
    pub functions: BTreeMap<u32, serde_json::Value>,
}

/// Why interrupts were not given to a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MsiError {
    /// It has no MSI-X.
    None,
    /// There are no numbers left.
    Exhausted,
}

/// The slot a configuration address (bus, device, function and register as in LoPAR 7.3.1) names.
fn slot_of(address: u32) -> Option<usize> {
    let (bus, devfn) = (address >> 16 & 0xff, address >> 8 & 0xff);
    (bus == 0 && devfn & 7 == 0).then_some((devfn >> 3) as usize)
}

impl Phb {
    /// A bridge with nothing in its slots.
    pub fn new(intc: Arc<dyn IrqController>) -> Result<Self, IrqError> {
        let line = |n| intc.claim(lisn::LSI.start + n, IrqKind::Lsi).map(SharedLine::new);
        let lines = [line(0)?, line(1)?, line(2)?, line(3)?];
        Ok(Phb { intc, lines, slots: Vec::new() })
    }

    /// The number of the next free slot and its interrupt pin; `None` when all are taken.
    pub fn next_slot(&self) -> Option<(usize, Intx)> {
        let n = self.slots.len();
        (n < SLOTS).then(|| (n, Intx::new(self.lines[n % 4].clone(), n as u32)))
    }

    /// Fills the next slot.
    pub fn plug(&mut self, function: Arc<dyn PciFunction>) {
        assert!(self.slots.len() < SLOTS, "the caller asked for a slot");
        self.slots.push(function);
        self.place();
    }

    /// Path of the node that a function in a slot has.
    pub fn path(slot: usize, f: &dyn PciFunction) -> String {
        format!("/pci@{BUID:x}/{}@{slot:x}", f.node_name())
    }

    /// The functions, by slot.
    pub fn functions(&self) -> &[Arc<dyn PciFunction>] {
        &self.slots
    }

    /// The function at a configuration address.
    pub fn function(&self, address: u32) -> Option<&Arc<dyn PciFunction>> {
        self.slots.get(slot_of(address)?)
    }

    /// Gives every base address register a place, so that neither firmware nor a kernel has to.
    fn place(&self) {
        let (mut low, mut high) = (MEM32_BUS, MEM64_AT);
        for f in &self.slots {
            let h = f.header();
            for (n, bar) in h.bars().iter().enumerate() {
                let next = match bar.kind {
                    BarKind::Memory32 => &mut low,
                    BarKind::Memory64 => &mut high,
                };
                let at = next.next_multiple_of(bar.size.max(0x1000));
                *next = at + bar.size;
                h.place_bar(n, at);
            }
            h.write(reg::COMMAND, (h.command() | command::MASTER) as u32, 2);
        }
    }

    // ---- configuration space ----

    /// `ibm,read-pci-config`; `None`: nobody is there.
    pub fn read_config(&self, address: u32, size: u8) -> Option<u32> {
        let f = self.function(address)?;
        Some(f.read_config(register(address), size))
    }

    /// `ibm,write-pci-config`.
    pub fn write_config(&self, address: u32, value: u32, size: u8) -> Option<()> {
        let f = self.function(address)?;
        f.write_config(register(address), value, size);
        Some(())
    }

    // ---- loads and stores ----

    /// What is on the bus for a real address; `None` outside of the windows.
    #[inline]
    fn bus_address(ra: u64) -> Option<u64> {
        if ra.wrapping_sub(MEM64_AT) < MEM64_SIZE {
            Some(ra)
        } else if ra.wrapping_sub(MEM32_AT) < MEM32_SIZE {
            Some(ra - MEM32_AT + MEM32_BUS)
        } else {
            None
        }
    }

    #[inline]
    fn find(&self, addr: u64, size: u8) -> Option<(&dyn PciFunction, usize, u64)> {
        self.slots.iter().find_map(|f| {
            let (bar, offset) = f.header().find(addr, size)?;
            Some((&**f, bar, offset))
        })
    }

    /// Load by a processor: a little-endian number. `None` outside of the bridge's windows; all ones where nobody
    /// answers. Takes no lock.
    pub fn load(&self, ra: u64, size: u8) -> Option<u64> {
        let ones = u64::MAX >> (64 - 8 * size as u32);
        match Self::bus_address(ra) {
            Some(addr) => {
                Some(self.find(addr, size).map_or(ones, |(f, bar, at)| f.load(bar, at, size) & ones))
            }
            None => (ra.wrapping_sub(IO_AT) < IO_SIZE).then_some(ones),
        }
    }

    /// Store by a processor. False outside of the bridge's windows.
    pub fn store(&self, ra: u64, value: u64, size: u8) -> bool {
        let Some(addr) = Self::bus_address(ra) else { return ra.wrapping_sub(IO_AT) < IO_SIZE };
        if let Some((f, bar, at)) = self.find(addr, size) {
            f.store(bar, at, value, size);
        }
        true
    }

    // ---- interrupts ----

    /// `ibm,change-msi`: gives a function that many message interrupts, or as many as it has vectors or there are;
    /// answers how many. 0 takes all away.
    pub fn set_messages(&self, f: &dyn PciFunction, count: u32) -> Result<u32, MsiError> {
        let msix = f.msix().ok_or(MsiError::None)?;
        for line in msix.connect(Vec::new()) {
            self.intc.free(line.lisn());
        }
        let mut n = count.min(msix.vectors() as u32);
        if n == 0 {
            return Ok(0);
        }
        loop {
            match self.intc.claim_msis(n, 1) {
                Ok(lines) => {
                    // Another processor may have been given some meanwhile.
                    for line in msix.connect(lines) {
                        self.intc.free(line.lisn());
                    }
                    return Ok(n);
                }
                Err(_) if n > 1 => n /= 2,
                Err(_) => return Err(MsiError::Exhausted),
            }
        }
    }

    /// One function back to power-on, except that its registers keep their places.
    pub fn reset_function(&self, f: &dyn PciFunction) {
        let h = f.header();
        let places: Vec<u64> = (0..h.bars().len()).map(|n| h.bar_base(n)).collect();
        self.power_on(f);
        places.into_iter().enumerate().for_each(|(n, base)| h.place_bar(n, base));
    }

    fn power_on(&self, f: &dyn PciFunction) {
        f.reset();
        f.header().reset();
        if let Some(msix) = f.msix() {
            for line in msix.reset() {
                self.intc.free(line.lisn());
            }
        }
    }

    /// Everything back to power-on.
    pub fn reset(&self) {
        let Phb { intc: _, lines: _, slots } = self;
        slots.iter().for_each(|f| self.power_on(&**f));
        self.place();
    }

    /// The state of all functions.
    pub fn save(&self) -> PhbState {
        let Phb { intc: _, lines: _, slots } = self;
        PhbState { functions: (0..).zip(slots).map(|(n, f)| (n, f.save())).collect() }
    }

    /// Takes a saved state over; the interrupt controller has taken its own over before.
    pub fn restore(&self, state: PhbState) -> Result<(), String> {
        let PhbState { mut functions } = state;
        for (n, f) in self.slots.iter().enumerate() {
            let saved = functions.remove(&(n as u32));
            let saved = saved.ok_or_else(|| format!("no saved state for PCI slot {n}"))?;
            f.restore(saved, &|number| self.intc.message_line(number))?;
        }
        match functions.keys().next() {
            Some(n) => Err(format!("saved state for PCI slot {n}, which is empty")),
            None => Ok(()),
        }
    }

    // ---- device tree ----

    /// Adds the bridge and its functions. `ddw` are the RTAS tokens of query, create, remove and reset of DMA windows.
    pub fn describe(&self, tree: &mut DeviceTree, ddw: [u32; 4]) -> NodeId {
        let node = tree.ensure_node(DeviceTree::ROOT, &format!("pci@{BUID:x}"));
        tree.set_str(node, "device_type", "pci");
        tree.set_str(node, "compatible", "IBM,Logical_PHB");
        tree.set_u64s(node, "reg", &[BUID, 0]);
        tree.set_u32(node, "#address-cells", 3);
        tree.set_u32(node, "#size-cells", 2);
        tree.set_u32(node, "#interrupt-cells", 1);
        tree.set_u32s(node, "bus-range", &[0, 0xff]);
        tree.set_empty(node, "used-by-rtas");
        let pair = |v: u64| [(v >> 32) as u32, v as u32];
        let mut ranges = Vec::new();
        for (space, bus, at, size) in [
            (1, 0, IO_AT, IO_SIZE),
            (2, MEM32_BUS, MEM32_AT, MEM32_SIZE),
            (3, MEM64_AT, MEM64_AT, MEM64_SIZE),
        ] {
            ranges.push(space << 24);
            ranges.extend([bus, at, size].into_iter().flat_map(pair));
        }
        tree.set_u32s(node, "ranges", &ranges);
        tree.set_u32(node, "ibm,pci-config-space-type", 1);
        tree.set_u32(node, "ibm,pe-total-#msi", lisn::MSI.end - lisn::MSI.start);
        tree.set_u32s(node, "ibm,dma-window", &[LIOBN, 0, 0, 0, WINDOW as u32]);
        tree.set_u32(node, "ibm,#dma-address-cells", 2);
        tree.set_u32(node, "ibm,#dma-size-cells", 2);
        let [query, create, remove, reset] = ddw;
        tree.set_u32s(node, "ibm,ddw-applicable", &[query, create, remove]);
        // Two extensions: the reset token, and a sixth result of the query.
        tree.set_u32s(node, "ibm,ddw-extensions", &[2, reset, 1]);
        tree.set_u32s(node, "interrupt-map-mask", &[0xf800, 0, 0, u32::MAX]);
        let mut map = Vec::new();
        for slot in 0..SLOTS as u32 {
            for pin in 0..4 {
                let line = &self.lines[((slot + pin) % 4) as usize];
                let [number, sense] = line.line().cells();
                map.extend([slot << 11, 0, 0, pin + 1, INTC_PHANDLE, number, sense]);
            }
        }
        tree.set_u32s(node, "interrupt-map", &map);
        tree.set_u32s(node, "ibm,associativity", &[4, 0, 0, 0, 0]);
        for (slot, f) in self.slots.iter().enumerate() {
            Self::describe_function(tree, node, slot as u32, &**f);
        }
        node
    }

    fn describe_function(tree: &mut DeviceTree, bridge: NodeId, slot: u32, f: &dyn PciFunction) {
        let node = tree.ensure_node(bridge, &format!("{}@{slot:x}", f.node_name()));
        let h = f.header();
        for (name, at, size) in [
            ("vendor-id", reg::VENDOR, 2),
            ("device-id", reg::DEVICE, 2),
            ("revision-id", reg::REVISION, 1),
            ("subsystem-vendor-id", reg::SUBSYSTEM_VENDOR, 2),
            ("subsystem-id", reg::SUBSYSTEM, 2),
            ("cache-line-size", reg::CACHE_LINE, 1),
            ("interrupts", reg::INTERRUPT_PIN, 1),
        ] {
            tree.set_u32(node, name, h.read(at, size));
        }
        tree.set_u32(node, "class-code", h.read(reg::REVISION, 4) >> 8);
        for name in ["min-grant", "max-latency", "devsel-speed"] {
            tree.set_u32(node, name, 0);
        }
        let devfn = slot << 11;
        let (mut reg, mut assigned) = (vec![devfn, 0, 0, 0, 0], Vec::new());
        for (n, bar) in h.bars().iter().enumerate() {
            let space = match bar.kind {
                BarKind::Memory32 => 2 << 24,
                BarKind::Memory64 => 3 << 24 | 1 << 30,
            };
            let (high, place) = (devfn | space | bar.place() as u32, h.bar_base(n));
            let size = [(bar.size >> 32) as u32, bar.size as u32];
            reg.extend([high, 0, 0, size[0], size[1]]);
            assigned.extend([high | 1 << 31, (place >> 32) as u32, place as u32, size[0], size[1]]);
        }
        tree.set_u32s(node, "reg", &reg);
        tree.set_u32s(node, "assigned-addresses", &assigned);
        tree.set_str(node, "ibm,loc-code", &format!("U78AE.001.RHYP000-P1-C{}", slot + 1));
        if let Some(msix) = f.msix() {
            tree.set_u32(node, "ibm,req#msi-x", msix.vectors() as u32);
        }
        f.describe(tree, node);
    }
}

/// The register of a configuration address.
fn register(address: u32) -> usize {
    (address & 0xff | address >> 28 << 8) as usize
}

// Where messages go is no memory of a function.
const _: () = assert!(MSI_ADDRESS < IO_AT);
