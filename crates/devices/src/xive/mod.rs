//! The XIVE interrupt controller in exploitation mode, as a PAPR guest sees it (LoPAR, "External Interrupt
//! Virtualization Engine" and the H_INT family of hypercalls).
//!
//! - A *source* ([`source`]) has two state bits P (sent, not yet ended) and Q (came again meanwhile) that
//!   the guest handles through the source's two 64 KiB ESB pages, and an assignment to a queue.
//! - A *queue* ([`queue`], "END") belongs to a server and a priority. It writes the event's number into a
//!   ring in guest memory and notifies the thread.
//! - A *thread* ([`thread`], "TIMA") holds the pending priorities of a virtual processor and its current
//!   priority and drives the processor's external interrupt line. Guests handle it by loads and stores.
//!
//! The tables are ours, the guest configures them by hypercalls ([`hcall`]); end of interrupt and
//! inter-processor interrupts need none. Under PAPR there are no groups and no escalations to be set up:
//! those parts of the architecture stay in their reset state.
//!
//! An event goes through the three under their locks, taken in the order source, queue, thread. So when
//! a hypercall that changes a source or a queue returns, no event is on its way along the old route.
//!
//! Loads and stores carry numbers whose most significant byte is the one at the lowest address.

mod hcall;
mod queue;
mod source;
mod state;
mod thread;

pub use hcall::{QueueConfig, SourceInfo};
pub use source::{PQ_OFF, PQ_PENDING, PQ_QUEUED, PQ_RESET};
pub use state::{QueueState, SourceState, ThreadState, XiveState};

use crate::lock;
use crate::servers::ServerMap;
use device::irq::{IrqError, IrqKind, VcpuLines, lisn};
use device::{DeviceTree, NodeId};
use queue::Queue;
use source::Source;
use std::sync::{Arc, Mutex};
use thread::Thread;

/// Real address of the first source's ESB pages.
pub const ESB_BASE: u64 = 0x6_0100_0000_0000;
/// Bytes from [`ESB_BASE`] that belong to sources. The ESB pages of the queues follow.
pub const SOURCE_ESB_SIZE: u64 = (lisn::END as u64) << ESB_SHIFT;
/// Real address of the thread interrupt management area: four pages of 64 KiB, of which the guest may use
/// the third (OS) and the fourth (user).
pub const TIMA_BASE: u64 = 0x6_0302_0318_0000;
/// Size of the thread interrupt management area in bytes.
pub const TIMA_SIZE: u64 = 4 << PAGE_SHIFT;
/// Real address of the operating system's page of the management area.
pub const TIMA_OS: u64 = TIMA_BASE + (2 << PAGE_SHIFT);
/// Real address of the user page of the management area.
pub const TIMA_USER: u64 = TIMA_BASE + (3 << PAGE_SHIFT);
/// The first priority that the guest may not use; less favoured ones are reserved, too.
pub const RESERVED_PRIORITY: u8 = 7;

/// log2 of the size of ESB and management pages.
const PAGE_SHIFT: u32 = 16;
/// log2 of the distance between sources: a trigger page and a management page.
const ESB_SHIFT: u32 = PAGE_SHIFT + 1;
/// Queues of a server, one per priority.
const PRIORITIES: usize = 8;

/// The memory of the partition, as far as event queues need it.
pub trait GuestMemory: Send + Sync {
    /// Whether all `len` bytes from the real address `addr` are memory of the partition.
    fn contains(&self, addr: u64, len: u64) -> bool;
    /// Stores a big-endian 32-bit number at the real address `addr`, a multiple of 4. The store is not torn
    /// and is visible before whatever the caller publishes next.
    fn write_u32_be(&self, addr: u64, value: u32) -> Result<(), NotMemory>;
}

/// No memory of the partition is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not partition memory")]
pub struct NotMemory;

/// The XIVE of a partition.
pub struct Xive {
    lines: Arc<dyn VcpuLines>,
    memory: Arc<dyn GuestMemory>,
    servers: ServerMap,
    sources: Box<[Mutex<Source>]>,
    /// [`PRIORITIES`] per server.
    queues: Box<[Mutex<Queue>]>,
    threads: Box<[Mutex<Thread>]>,
}

impl Xive {
    /// A controller for these servers: all sources masked, no queues, all threads at priority 0 (nothing
    /// gets through). There are as many inter-processor interrupts as server numbers.
    pub fn new(servers: ServerMap, lines: Arc<dyn VcpuLines>, memory: Arc<dyn GuestMemory>) -> Self {
        let ipis = ipi_count(&servers);
        let source = |n| Mutex::new(if n < ipis { Source::claimed(n, IrqKind::Msi) } else { Source::FREE });
        Xive {
            lines,
            memory,
            sources: (0..lisn::END).map(source).collect(),
            queues: (0..servers.len() * PRIORITIES).map(|_| Mutex::new(Queue::RESET)).collect(),
            threads: (0..servers.len()).map(|_| Mutex::new(Thread::new())).collect(),
            servers,
        }
    }

    /// Back to power-on, but claims and the levels of level sources stay.
    pub fn reset(&self) {
        self.reset_routes();
        for place in 0..self.threads.len() {
            self.with_thread(place, |t| *t = Thread { line: t.line, ..Thread::new() });
        }
    }

    /// Masks all sources and takes all queues away; threads keep their priority and lose what is pending.
    fn reset_routes(&self) {
        for (n, source) in std::iter::zip(0.., &self.sources) {
            let mut s = lock(source);
            if let Some(kind) = s.kind {
                *s = Source { asserted: s.asserted, ..Source::claimed(n, kind) };
            }
        }
        for queue in &self.queues {
            *lock(queue) = Queue::RESET;
        }
        for place in 0..self.threads.len() {
            self.with_thread(place, |t| t.ipb = 0);
        }
    }

    // ---- devices ---------------------------------------------------------------------------------

    /// Claims a source for a device.
    pub fn claim(&self, number: u32, kind: IrqKind) -> Result<(), IrqError> {
        let source = self.sources.get(number as usize).filter(|_| number >= lisn::DEVICES);
        let mut s = lock(source.ok_or(IrqError::OutOfRange(number))?);
        if s.kind.is_some() {
            return Err(IrqError::InUse(number));
        }
        *s = Source::claimed(number, kind);
        Ok(())
    }

    /// Gives a device's source back. Events that are in a queue stay there.
    pub fn free(&self, number: u32) {
        if let Some(source) = self.sources.get(number as usize).filter(|_| number >= lisn::DEVICES) {
            *lock(source) = Source::FREE;
        }
    }

    /// An event on an edge source.
    pub fn pulse(&self, number: u32) {
        let Some(source) = self.sources.get(number as usize) else { return };
        let mut s = lock(source);
        if s.kind == Some(IrqKind::Msi) && s.trigger() {
            self.route(&s);
        }
    }

    /// The level of a level source.
    pub fn set_level(&self, number: u32, asserted: bool) {
        let Some(source) = self.sources.get(number as usize) else { return };
        let mut s = lock(source);
        if s.kind == Some(IrqKind::Lsi) {
            s.asserted = asserted;
            if s.sample() {
                self.route(&s);
            }
        }
    }

    // ---- loads and stores ------------------------------------------------------------------------

    /// Bytes from [`ESB_BASE`] that are ESB pages, those of the queues included.
    pub fn esb_size(&self) -> u64 {
        SOURCE_ESB_SIZE + ((self.queues.len() as u64) << ESB_SHIFT)
    }

    /// A load of `size` bytes at `offset` bytes from [`ESB_BASE`]. Of a source's two pages the first is
    /// for stores only; of a queue's the first is the notification's state, the second the escalation's.
    /// What cannot be loaded reads as all ones.
    pub fn esb_load(&self, offset: u64, size: u32) -> u64 {
        let value = if offset < SOURCE_ESB_SIZE {
            let is_management = offset >> PAGE_SHIFT & 1 != 0;
            let number = (offset >> ESB_SHIFT) as u32;
            is_management.then(|| self.management_load(number, offset)).flatten()
        } else {
            self.queue_esb_load(offset - SOURCE_ESB_SIZE)
        };
        value.unwrap_or(u64::MAX) & ones(size)
    }

    /// A store at `offset` bytes from [`ESB_BASE`]. The value has no meaning; what cannot be stored to is
    /// ignored.
    pub fn esb_store(&self, offset: u64, _size: u32, _value: u64) {
        if offset < SOURCE_ESB_SIZE {
            let number = (offset >> ESB_SHIFT) as u32;
            if offset >> PAGE_SHIFT & 1 == 0 {
                self.pulse(number);
            } else {
                self.management_store(number, offset);
            }
        }
    }

    /// A load of `size` bytes at `offset` bytes from [`TIMA_BASE`] by the processor that is `server`. What
    /// cannot be loaded reads as all ones.
    pub fn tima_load(&self, server: u32, offset: u64, size: u32) -> u64 {
        let value = self
            .servers
            .place(server as u64)
            .filter(|_| offset >> PAGE_SHIFT == 2)
            .and_then(|place| self.with_thread(place, |t| t.load(offset, size)));
        value.unwrap_or(u64::MAX) & ones(size)
    }

    /// A store of the low `size` bytes of `value` at `offset` bytes from [`TIMA_BASE`] by the processor
    /// that is `server`. What cannot be stored to is ignored.
    pub fn tima_store(&self, server: u32, offset: u64, size: u32, value: u64) {
        let Some(place) = self.servers.place(server as u64) else { return };
        if offset >> PAGE_SHIFT != 2 || size != 1 {
            return;
        }
        match offset & thread::OPERATION_MASK {
            thread::CPPR => self.with_thread(place, |t| t.set_cppr(value as u8)),
            thread::SET_PENDING => self.with_thread(place, |t| t.set_pending(value as u8)),
            thread::ACK_TO_LINE => {
                let (report, words) = self.with_thread(place, |t| (t.report, t.acknowledge_to_line()));
                if let Some(addr) = report {
                    for (i, word) in words.into_iter().enumerate() {
                        // The guest may have lost that memory since; then it gets no report.
                        let _ = self.memory.write_u32_be(addr.wrapping_add(i as u64 * 4), word);
                    }
                }
            }
            _ => {}
        }
    }

    /// A load from a real address by the processor that is `server`; `None` if the address is in neither
    /// the ESB pages nor the management area.
    pub fn load(&self, server: u32, addr: u64, size: u32) -> Option<u64> {
        if let Some(offset) = within(addr, ESB_BASE, self.esb_size()) {
            return Some(self.esb_load(offset, size));
        }
        within(addr, TIMA_BASE, TIMA_SIZE).map(|offset| self.tima_load(server, offset, size))
    }

    /// A store to a real address by the processor that is `server`; answers whether the address is ours,
    /// as for [`Self::load`].
    pub fn store(&self, server: u32, addr: u64, size: u32, value: u64) -> bool {
        if let Some(offset) = within(addr, ESB_BASE, self.esb_size()) {
            self.esb_store(offset, size, value);
        } else if let Some(offset) = within(addr, TIMA_BASE, TIMA_SIZE) {
            self.tima_store(server, offset, size, value);
        } else {
            return false;
        }
        true
    }

    fn management_load(&self, number: u32, offset: u64) -> Option<u64> {
        let mut s = lock(self.sources.get(number as usize)?);
        s.kind?;
        let (value, notify) = s.load(offset)?;
        if notify {
            self.route(&s);
        }
        Some(value)
    }

    fn management_store(&self, number: u32, offset: u64) {
        let Some(source) = self.sources.get(number as usize) else { return };
        let mut s = lock(source);
        if s.kind.is_some() && s.store(offset) {
            self.route(&s);
        }
    }

    fn queue_esb_load(&self, offset: u64) -> Option<u64> {
        let at = usize::try_from(offset >> ESB_SHIFT).ok()?;
        let mut q = lock(self.queues.get(at)?);
        let (value, notify) = q.load(offset)?;
        if notify {
            self.notify(at);
        }
        Some(value)
    }

    // ---- the way of an event ---------------------------------------------------------------------

    /// Sends a source's event to its queue. The source's lock is held.
    fn route(&self, s: &Source) {
        if s.masked {
            return;
        }
        let at = s.place as usize * PRIORITIES + s.priority as usize;
        if let Some(queue) = self.queues.get(at) {
            if lock(queue).accept(s.eisn, &*self.memory) {
                self.notify(at);
            }
        }
    }

    /// Tells a queue's thread.
    fn notify(&self, at: usize) {
        self.with_thread(at / PRIORITIES, |t| t.set_pending((at % PRIORITIES) as u8));
    }

    /// Works on a thread, then brings what follows from its registers up to date: PIPR, NSR, the
    /// processor's line.
    fn with_thread<R>(&self, place: usize, work: impl FnOnce(&mut Thread) -> R) -> R {
        let mut t = lock(&self.threads[place]);
        let result = work(&mut t);
        let level = t.signals();
        if t.line != level {
            t.line = level;
            self.lines.set_external(self.servers.numbers()[place], level);
        }
        result
    }

    /// Adds the node `/interrupt-controller@...` (`ibm,power-ivpe`), with this phandle if it is free, and
    /// `ibm,plat-res-int-priorities` of the root.
    pub fn describe(&self, tree: &mut DeviceTree, phandle: u32) -> NodeId {
        describe_xive(tree, ipi_count(&self.servers), phandle)
    }
}

/// How many inter-processor interrupts there are.
fn ipi_count(servers: &ServerMap) -> u32 {
    servers.limit().min(lisn::IPIS.end)
}

/// How far an address is into an area.
fn within(addr: u64, base: u64, size: u64) -> Option<u64> {
    addr.checked_sub(base).filter(|&offset| offset < size)
}

/// All ones in `size` bytes.
fn ones(size: u32) -> u64 {
    u64::MAX.checked_shr(64u32.saturating_sub(size.saturating_mul(8))).unwrap_or(0)
}

/// Adds the node of a XIVE with that many inter-processor interrupts for the guest to allot (LoPAR,
/// "Interrupt controller node, XIVE exploitation mode"), with this phandle if it is free, and the root's
/// `ibm,plat-res-int-priorities`.
pub fn describe_xive(tree: &mut DeviceTree, ipis: u32, phandle: u32) -> NodeId {
    let node = tree.ensure_node(DeviceTree::ROOT, &format!("interrupt-controller@{TIMA_USER:x}"));
    let page = 1 << PAGE_SHIFT;
    tree.set_str(node, "device_type", "power-ivpe");
    tree.set_u64s(node, "reg", &[TIMA_USER, page, TIMA_OS, page]);
    tree.set_str(node, "compatible", "ibm,power-ivpe");
    tree.set_u32s(node, "ibm,xive-eq-sizes", &[16]);
    tree.set_u32s(node, "ibm,xive-lisn-ranges", &[lisn::IPIS.start, ipis]);
    tree.set_empty(node, "interrupt-controller");
    tree.set_u32(node, "#interrupt-cells", 2);
    tree.set_phandle(node, phandle);
    let reserved = RESERVED_PRIORITY as u32;
    tree.set_u32s(DeviceTree::ROOT, "ibm,plat-res-int-priorities", &[reserved, 0xff - reserved]);
    node
}

#[cfg(test)]
mod tests;
