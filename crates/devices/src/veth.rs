//! Virtual Ethernet, `IBM,l-lan` (LoPAR 17.4, the interpartition logical LAN).
//!
//! The guest hands over receive buffers of whatever sizes; a frame goes into the smallest that holds it, behind eight
//! bytes that the guest keeps its own handle in, and an entry of the receive queue says so. Entries carry a toggle bit
//! that changes with every round through the queue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use device::vio::Rc;
use device::{DeviceTree, DmaAccess, DmaSpace, IrqLine, LogicalLan, NodeId, VioDevice, VioWindow};
use net::finish::{TCP, finish, layers, prepare_checksum};
use net::{Gso, Nic, Offload, Port};
use serde::{Deserialize, Serialize};

use crate::lock;

/// Size of the DMA window.
pub const WINDOW: u64 = 256 << 20;
/// Bytes of the buffer list and filter list pages.
const PAGE: u64 = 4096;
/// Where in the buffer list the number of frames stands that found no buffer.
const NO_BUFFER: u64 = PAGE - 8;
/// Bytes of an entry of the receive queue.
const ENTRY: u32 = 16;
/// Most sizes of buffers, and buffers in all, that are kept.
const MAX_SIZES: usize = 32;
const MAX_BUFFERS: usize = 1 << 14;
/// Multicast addresses that can be asked for.
const MAX_FILTERS: usize = 255;
/// Longest frame that can be sent.
const MAX_SEND: usize = 65536 + 18;
/// How long a frame waits for a large buffer before it is cut or dropped.
const PATIENCE: Duration = Duration::from_millis(50);

const H_PARAMETER: Rc = device::vio::H_PARAMETER;
const H_NOT_FOUND: Rc = -7;
const H_DROPPED: Rc = -12;
const H_RESOURCE: Rc = -16;

/// Flags of a buffer descriptor.
mod desc {
    pub const VALID: u64 = 1 << 63;
    pub const LARGE: u64 = 0x0400_0000 << 32;
    pub const NO_CHECKSUM: u64 = 0x0200_0000 << 32;
    pub const LENGTH: u64 = 0x00ff_ffff;
}

/// Flags of a receive queue entry.
mod entry {
    pub const TOGGLE: u32 = 0x8000_0000;
    pub const VALID: u32 = 0x4000_0000;
    pub const LARGE: u32 = 0x0400_0000;
    pub const NO_CHECKSUM: u32 = 0x0200_0000;
    pub const CHECKSUM_GOOD: u32 = 0x0100_0000;
}

/// Attributes (H_ILLAN_ATTRIBUTES).
mod attr {
    pub const ACTIVE_TRUNK: u64 = 0x1;
    pub const IPV4_CHECKSUM: u64 = 0x2;
    pub const IPV6_CHECKSUM: u64 = 0x4;
    pub const TRUNK_PRIORITY: u32 = 8;
    pub const PADDED_CHECKSUM: u64 = 0x2000;
    pub const LARGE_SEND: u64 = 0x8000;
    pub const LARGE_ENABLED: u64 = 0x1_0000;
    pub const MANY_BUFFERS: u64 = 0x4_0000;
    /// What the guest may change.
    pub const CHANGEABLE: u64 = IPV4_CHECKSUM | IPV6_CHECKSUM | LARGE_ENABLED;
}

/// Flags of H_MULTICAST_CTRL.
mod mcast {
    pub const RECEIVE_MODIFY: u64 = 0x8_0000;
    pub const RECEIVE_ENABLE: u64 = 0x2_0000;
    pub const FILTER_MODIFY: u64 = 0x4_0000;
    pub const FILTER_ENABLE: u64 = 0x1_0000;
    pub const COMMAND: u64 = 3;
    pub const ADD: u64 = 1;
    pub const REMOVE: u64 = 2;
    pub const CLEAR: u64 = 3;
}

/// A virtual Ethernet adapter.
pub struct Veth {
    unit: u32,
    line: IrqLine,
    window: VioWindow,
    space: Arc<dyn DmaSpace>,
    port: Arc<dyn Port>,
    /// The address it was made with.
    own: [u8; 6],
    /// The address it has now, as a number.
    mac: AtomicU64,
    /// What the guest has chosen of [`attr::CHANGEABLE`].
    attributes: AtomicU64,
    rx: Mutex<Rx>,
    /// Buffers for frames on their way out, used again.
    spare: Mutex<Vec<Vec<u8>>>,
}

#[derive(Default)]
struct Rx {
    state: VethRx,
    /// Something was put in the queue since the guest was last interrupted.
    pending: bool,
    /// A frame has been refused, since when.
    refused: Option<Instant>,
}

/// The receiving half's part of the saved state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VethRx {
    /// What H_REGISTER_LOGICAL_LAN told.
    pub open: Option<VethOpen>,
    /// The interrupt is enabled.
    pub signal: bool,
    /// Multicast frames are wanted.
    pub multicast: bool,
    /// Only those in the filter.
    pub filtering: bool,
    /// The multicast filter.
    pub filters: BTreeSet<[u8; 6]>,
}

/// A registered adapter's queue and buffers; I/O addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VethOpen {
    /// The buffer list page.
    pub list: u64,
    /// The receive queue.
    pub queue: u32,
    /// Its size in bytes, a multiple of 16.
    pub queue_len: u32,
    /// Offset of the next entry.
    pub next: u32,
    /// The toggle bit of the next entry.
    pub toggle: bool,
    /// Free buffers by their sizes.
    pub pools: BTreeMap<u32, Vec<u32>>,
    /// Largest buffer that there was.
    pub largest: u32,
    /// Frames that found no buffer.
    pub dropped: u64,
}

/// Saved state of a [`Veth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VethState {
    /// Format, [`VethState::VERSION`].
    pub version: u32,
    /// The address.
    pub mac: u64,
    /// The chosen attributes.
    pub attributes: u64,
    /// The receiving half.
    pub rx: VethRx,
}

impl VethState {
    /// The present format.
    pub const VERSION: u32 = 1;
}

fn number(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |v, &b| v << 8 | u64::from(b))
}

fn address(mac: u64) -> [u8; 6] {
    let [_, _, mac @ ..] = mac.to_be_bytes();
    mac
}

/// A station's own address: neither a group's nor nobody's.
fn unicast(mac: u64) -> bool {
    mac >> 48 == 0 && mac != 0 && mac >> 40 & 1 == 0
}

impl Veth {
    /// An adapter on `port`. `space` is what `window` says.
    pub fn new(
        unit: u32,
        line: IrqLine,
        window: VioWindow,
        space: Arc<dyn DmaSpace>,
        port: Arc<dyn Port>,
        mac: [u8; 6],
    ) -> Veth {
        Veth {
            unit,
            line,
            window,
            space,
            port,
            own: mac,
            mac: AtomicU64::new(number(mac)),
            attributes: AtomicU64::new(0),
            rx: Mutex::default(),
            spare: Mutex::default(),
        }
    }

    fn has(&self, bits: u64) -> bool {
        self.attributes.load(Ordering::Relaxed) & bits == bits
    }

    /// Puts a frame in a buffer and an entry in the queue.
    fn place(&self, open: &mut VethOpen, frame: &[u8], offload: Offload) -> Result<(), NoBuffer> {
        let large = offload.gso != Gso::None;
        let offset = if large { 16 } else { 8 };
        let need = frame.len() + offset as usize;
        let mut flags = entry::VALID;
        let mut clear = None;
        if large {
            flags |= entry::LARGE;
        }
        if let Some((start, at)) = offload.checksum {
            // The driver takes a TCP checksum of 0 for one that is left to do.
            flags |= entry::NO_CHECKSUM | entry::CHECKSUM_GOOD;
            clear = Some(u64::from(start) + u64::from(at));
        } else if offload.checked {
            flags |= entry::CHECKSUM_GOOD;
        }
        // A buffer that is not mapped any more is the guest's fault and lost; not all of them in one go.
        for _ in 0..8 {
            let (addr, handle) = self.take(open, need as u64)?;
            let write = || {
                let data = u64::from(addr) + u64::from(offset);
                self.space.write(data, frame)?;
                if large {
                    self.space.write(u64::from(addr) + 8, &u64::from(offload.segment).to_be_bytes())?;
                }
                match clear {
                    Some(at) if at + 2 <= frame.len() as u64 => self.space.write(data + at, &[0; 2]),
                    _ => Ok(()),
                }
            };
            if write().is_ok() {
                self.enqueue(open, flags | offset, frame.len() as u32, handle);
                return Ok(());
            }
        }
        Err(NoBuffer)
    }

    /// The smallest free buffer of at least that size, and the guest's handle from its start.
    fn take(&self, open: &mut VethOpen, need: u64) -> Result<(u32, [u8; 8]), NoBuffer> {
        let need = u32::try_from(need).map_err(|_| NoBuffer)?;
        for _ in 0..8 {
            let pool = open.pools.range_mut(need..).map(|(_, list)| list).find(|list| !list.is_empty());
            let addr = pool.and_then(Vec::pop).ok_or(NoBuffer)?;
            let mut handle = [0; 8];
            if self.space.read(addr.into(), &mut handle).is_ok() {
                return Ok((addr, handle));
            }
        }
        Err(NoBuffer)
    }

    fn enqueue(&self, open: &mut VethOpen, flags: u32, len: u32, handle: [u8; 8]) {
        let at = u64::from(open.queue) + u64::from(open.next);
        let mut rest = [0; 12];
        rest[..4].copy_from_slice(&len.to_be_bytes());
        rest[4..].copy_from_slice(&handle);
        // A queue that is not mapped any more gets nothing.
        let _ = self.space.write(at + 4, &rest);
        fence(Ordering::Release);
        let flags = flags | if open.toggle { entry::TOGGLE } else { 0 };
        let _ = self.space.write(at, &flags.to_be_bytes());
        open.next += ENTRY;
        if open.next >= open.queue_len {
            open.next = 0;
            open.toggle = !open.toggle;
        }
    }

    /// A frame is lost for want of a buffer; the guest can count these.
    fn count_dropped(&self, open: &mut VethOpen) {
        open.dropped = open.dropped.wrapping_add(1);
        let _ = self.space.write(open.list + NO_BUFFER, &open.dropped.to_be_bytes());
    }

    /// Does what is left to do to a frame as far as the guest did not ask for it to be left.
    fn arrives(&self, rx: &mut Rx, frame: &[u8], offload: Offload) -> bool {
        let Some(open) = &mut rx.state.open else { return true };
        let checksums = self.has(attr::IPV4_CHECKSUM | attr::IPV6_CHECKSUM);
        let udp = || layers(frame).is_none_or(|l| l.protocol != TCP);
        let whole = offload.checksum.is_some() && (!checksums || udp());
        let cut = offload.gso != Gso::None
            && (!self.has(attr::LARGE_ENABLED) || frame.len() + 16 > open.largest as usize);
        if whole || cut || wasteful(open, frame, offload) {
            return self.arrives_finished(rx, frame, offload);
        }
        match self.place(open, frame, offload) {
            Ok(()) => {
                rx.pending = true;
                true
            }
            Err(NoBuffer) if frame.len() + 16 <= open.largest as usize => {
                let since = rx.refused.get_or_insert_with(Instant::now);
                if since.elapsed() < PATIENCE {
                    return false;
                }
                if offload.gso != Gso::None {
                    return self.arrives_finished(rx, frame, offload);
                }
                self.count_dropped(open);
                true
            }
            Err(NoBuffer) => {
                self.count_dropped(open);
                true
            }
        }
    }

    fn arrives_finished(&self, rx: &mut Rx, frame: &[u8], offload: Offload) -> bool {
        let Some(open) = &mut rx.state.open else { return true };
        let checked = Offload { checked: true, ..Offload::default() };
        let mut placed = false;
        finish(frame, offload, &mut |f| match self.place(open, f, checked) {
            Ok(()) => placed = true,
            Err(NoBuffer) => self.count_dropped(open),
        });
        rx.pending |= placed;
        true
    }

    /// What the flags of a frame's first descriptor leave to do.
    fn left_to_do(&self, frame: &mut [u8], first: u64, segment: u64) -> Option<Offload> {
        if first & desc::NO_CHECKSUM == 0 {
            return Some(Offload::default());
        }
        let mut offload = Offload::default();
        let l = layers(frame)?;
        let header = l.tcp_header(frame);
        let mut size = segment;
        let mut large = first & desc::LARGE != 0;
        if let (false, false, Some(_)) = (large, l.v6, header) {
            // Before large send was an attribute, the IP checksum said so and the TCP checksum told the size.
            if frame.get(l.ip + 10..l.ip + 12) == Some(&[0xff, 0xff]) {
                large = true;
                size = u64::from(u16::from_be_bytes([frame[l.payload + 16], frame[l.payload + 17]]));
                frame[l.ip + 10..l.ip + 12].fill(0);
                let c = !net::finish::fold(net::finish::sum(&frame[l.ip..l.payload]));
                frame[l.ip + 10..l.ip + 12].copy_from_slice(&c.to_be_bytes());
            }
        }
        offload.checksum = prepare_checksum(frame);
        if large {
            let header = l.payload + header?;
            offload.gso = if l.v6 { Gso::Tcp6 } else { Gso::Tcp4 };
            offload.header_len = u16::try_from(header).ok()?;
            offload.segment = u16::try_from(size).ok().filter(|&s| s != 0)?;
        }
        Some(offload)
    }
}

struct NoBuffer;

/// Whether a frame left to cut would fill less than half of its buffer, while there are buffers for its segments. The
/// guest's TCP is charged for the whole buffer, and decides by a connection's first frames how much of its memory
/// becomes window: with 14 KiB in 64 KiB the window stays at what it began with.
fn wasteful(open: &VethOpen, frame: &[u8], offload: Offload) -> bool {
    if offload.gso == Gso::None {
        return false;
    }
    let fit = |need: usize| {
        let need = u32::try_from(need).unwrap_or(u32::MAX);
        open.pools.range(need..).find(|(_, list)| !list.is_empty()).map(|(&size, list)| (size, list.len()))
    };
    let (header, segment) = (usize::from(offload.header_len), usize::from(offload.segment));
    let count = frame.len().div_ceil(segment.max(1));
    let Some((size, _)) = fit(frame.len() + 16) else { return false };
    frame.len() < size as usize / 2
        && fit(header + segment + 8).is_some_and(|(small, free)| small < size && count <= free)
}

impl Nic for Veth {
    fn deliver(&self, frame: &[u8], offload: Offload) -> bool {
        let Some(to) = frame.first_chunk::<6>() else { return true };
        let mut rx = lock(&self.rx);
        let s = &rx.state;
        let group = to[0] & 1 != 0 && *to != [0xff; 6];
        if group && (!s.multicast || s.filtering && !s.filters.contains(to)) {
            return true;
        }
        self.arrives(&mut rx, frame, offload)
    }

    fn takes_offloads(&self) -> bool {
        self.has(attr::IPV4_CHECKSUM | attr::IPV6_CHECKSUM | attr::LARGE_ENABLED)
    }

    fn takes_large_segments(&self) -> bool {
        self.takes_offloads()
    }

    fn done(&self) {
        let mut rx = lock(&self.rx);
        let pulse = std::mem::take(&mut rx.pending) && rx.state.signal;
        drop(rx);
        if pulse {
            self.line.pulse();
        }
    }

    fn mac(&self) -> Option<[u8; 6]> {
        Some(address(self.mac.load(Ordering::Relaxed)))
    }
}

impl LogicalLan for Veth {
    fn register(&self, buffers: u64, queue: u64, filters: u64, mac: u64) -> Result<(), Rc> {
        let mut rx = lock(&self.rx);
        if rx.state.open.is_some() {
            return Err(H_RESOURCE);
        }
        let page = |at: u64| at % PAGE == 0 && at >> 32 == 0 && self.space.allows(at, PAGE, DmaAccess::Write);
        let (len, at) = ((queue >> 32 & desc::LENGTH) as u32, queue as u32);
        let queue_fits = queue & desc::VALID != 0
            && at % ENTRY == 0
            && len % ENTRY == 0
            && len != 0
            && self.space.allows(at.into(), len.into(), DmaAccess::Write);
        if !page(buffers) || !page(filters) || !queue_fits {
            return Err(H_PARAMETER);
        }
        if mac != 0 {
            if !unicast(mac) {
                return Err(H_PARAMETER);
            }
            self.mac.store(mac, Ordering::Relaxed);
        }
        let open = VethOpen {
            list: buffers,
            queue: at,
            queue_len: len,
            next: 0,
            toggle: true,
            pools: BTreeMap::new(),
            largest: 0,
            dropped: 0,
        };
        let _ = self.space.write(buffers + NO_BUFFER, &[0; 8]);
        *rx = Rx { state: VethRx { open: Some(open), ..VethRx::default() }, ..Rx::default() };
        Ok(())
    }

    fn free(&self) -> Result<(), Rc> {
        let mut rx = lock(&self.rx);
        if rx.state.open.is_none() {
            return Err(H_RESOURCE);
        }
        *rx = Rx::default();
        drop(rx);
        self.port.room();
        Ok(())
    }

    fn add_buffers(&self, descriptors: &[u64]) -> Result<(), Rc> {
        let count = descriptors.iter().take_while(|&&d| d & desc::VALID != 0).count();
        let list = descriptors.get(..count.max(1)).ok_or(H_PARAMETER)?;
        let parts = |d: u64| ((d >> 32 & desc::LENGTH) as u32, d as u32);
        let good = |&d: &u64| {
            let (len, at) = parts(d);
            d & desc::VALID != 0
                && len >= 16
                && at % 4 == 0
                && self.space.allows(at.into(), len.into(), DmaAccess::Write)
        };
        if !list.iter().all(good) {
            return Err(H_PARAMETER);
        }
        let mut rx = lock(&self.rx);
        let Some(open) = &mut rx.state.open else { return Err(H_RESOURCE) };
        let held: usize = open.pools.values().map(Vec::len).sum();
        if held + list.len() > MAX_BUFFERS {
            return Err(H_RESOURCE);
        }
        for &d in list {
            let (len, at) = parts(d);
            if open.pools.len() >= MAX_SIZES && !open.pools.contains_key(&len) {
                open.pools.retain(|_, list| !list.is_empty());
                if open.pools.len() >= MAX_SIZES {
                    return Err(H_RESOURCE);
                }
            }
            open.pools.entry(len).or_default().push(at);
            open.largest = open.largest.max(len);
        }
        let waiting = rx.refused.take().is_some();
        drop(rx);
        if waiting {
            self.port.room();
        }
        Ok(())
    }

    fn free_buffer(&self, size: u64) -> Result<(), Rc> {
        let mut rx = lock(&self.rx);
        let Some(open) = &mut rx.state.open else { return Err(H_RESOURCE) };
        let pool = u32::try_from(size).ok().and_then(|s| open.pools.get_mut(&s));
        let addr = pool.and_then(Vec::pop).ok_or(H_NOT_FOUND)?;
        let mut handle = [0; 8];
        self.space.read(addr.into(), &mut handle).map_err(|_| H_PARAMETER)?;
        // An entry that is not valid: its handle comes back, no frame.
        self.enqueue(open, 0, 0, handle);
        Ok(())
    }

    fn send(&self, descriptors: [u64; 6], segment: u64) -> Result<(), Rc> {
        if lock(&self.rx).state.open.is_none() {
            return Err(H_DROPPED);
        }
        let list = || descriptors.iter().take_while(|&&d| d & desc::VALID != 0);
        let part = |d: u64| ((d >> 32 & desc::LENGTH) as usize, d & 0xffff_ffff);
        let total: usize = list().map(|&d| part(d).0).sum();
        if !(14..=MAX_SEND).contains(&total) {
            return Err(H_PARAMETER);
        }
        let mut frame = lock(&self.spare).pop().unwrap_or_default();
        if frame.len() < total {
            frame.resize(total, 0);
        }
        let mut at = 0;
        let mut gathered = Ok(());
        for &d in list() {
            let (len, from) = part(d);
            gathered = gathered.and_then(|()| self.space.read(from, &mut frame[at..at + len]));
            at += len;
        }
        let result = gathered.map_err(|_| H_PARAMETER).and_then(|()| {
            let offload = self.left_to_do(&mut frame[..total], descriptors[0], segment).ok_or(H_PARAMETER)?;
            self.port.send(&frame[..total], offload);
            Ok(())
        });
        let mut spare = lock(&self.spare);
        if spare.len() < 8 {
            spare.push(frame);
        }
        result
    }

    fn multicast(&self, flags: u64, mac: u64) -> Result<(), Rc> {
        let mut rx = lock(&self.rx);
        let s = &mut rx.state;
        if s.open.is_none() {
            return Err(H_RESOURCE);
        }
        let group = mac >> 48 == 0 && mac >> 40 & 1 != 0;
        match flags & mcast::COMMAND {
            mcast::ADD if !group => return Err(H_PARAMETER),
            mcast::ADD if s.filters.len() >= MAX_FILTERS && !s.filters.contains(&address(mac)) => {
                return Err(H_RESOURCE);
            }
            mcast::ADD => drop(s.filters.insert(address(mac))),
            mcast::REMOVE if !s.filters.remove(&address(mac)) => return Err(H_PARAMETER),
            mcast::CLEAR => s.filters.clear(),
            _ => {}
        }
        if flags & mcast::RECEIVE_MODIFY != 0 {
            s.multicast = flags & mcast::RECEIVE_ENABLE != 0;
        }
        if flags & mcast::FILTER_MODIFY != 0 {
            s.filtering = flags & mcast::FILTER_ENABLE != 0;
        }
        Ok(())
    }

    fn change_mac(&self, mac: u64) -> Result<(), Rc> {
        if !unicast(mac) {
            return Err(H_PARAMETER);
        }
        self.mac.store(mac, Ordering::Relaxed);
        Ok(())
    }

    fn attributes(&self, clear: u64, set: u64) -> Result<u64, Rc> {
        if (clear | set) & !attr::CHANGEABLE != 0 || clear & set != 0 {
            return Err(H_PARAMETER);
        }
        let change = |old| Some(old & !clear | set);
        let old = match self.attributes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change) {
            Ok(old) | Err(old) => old,
        };
        let trunk =
            self.port.trunk().map_or(0, |p| attr::ACTIVE_TRUNK | u64::from(p & 15) << attr::TRUNK_PRIORITY);
        let fixed = attr::PADDED_CHECKSUM | attr::LARGE_SEND | attr::MANY_BUFFERS;
        Ok(old & !clear | set | fixed | trunk)
    }
}

impl VioDevice for Veth {
    fn unit(&self) -> u32 {
        self.unit
    }

    fn describe(&self, tree: &mut DeviceTree, vdevice: NodeId) -> NodeId {
        let node = tree.ensure_node(vdevice, &format!("l-lan@{:x}", self.unit));
        tree.set_str(node, "device_type", "network");
        tree.set_str(node, "compatible", "IBM,l-lan");
        tree.set_u32(node, "reg", self.unit);
        // Eight bytes, the address in the last six: drivers that guess the form by the first byte are right then too.
        let mac = self.own;
        let padded = [0, 0, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]];
        tree.set_bytes(node, "local-mac-address", padded);
        tree.set_u32(node, "ibm,mac-address-filters", MAX_FILTERS as u32);
        tree.set_u32(node, "ibm,illan-options", 0);
        tree.set_u32(node, "address-bits", 48);
        tree.set_u32(node, "max-frame-size", 65535);
        tree.set_strs(node, "supported-network-types", &["ethernet,1000,rj45,full"]);
        if let Some(priority) = self.port.trunk() {
            tree.set_u32(node, "ibm,trunk-adapter", priority.into());
        }
        self.window.describe(tree, node);
        tree.set_u32s(node, "interrupts", &self.line.cells());
        node
    }

    fn reset(&self) {
        let Veth { unit: _, line: _, window: _, space: _, port, own, mac, attributes, rx, spare: _ } = self;
        *lock(rx) = Rx::default();
        mac.store(number(*own), Ordering::Relaxed);
        attributes.store(0, Ordering::Relaxed);
        port.room();
    }

    fn save(&self) -> serde_json::Value {
        let Veth { unit: _, line: _, window: _, space: _, port: _, own: _, mac, attributes, rx, spare: _ } =
            self;
        let Rx { state, pending: _, refused: _ } = &*lock(rx);
        let state = VethState {
            version: VethState::VERSION,
            mac: mac.load(Ordering::Relaxed),
            attributes: attributes.load(Ordering::Relaxed),
            rx: state.clone(),
        };
        serde_json::to_value(state).unwrap_or_default()
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        let state: VethState = serde_json::from_value(state).map_err(|e| format!("virtual Ethernet: {e}"))?;
        let VethState { version, mac, attributes, rx } = state;
        let sound = |o: &VethOpen| {
            o.queue_len % ENTRY == 0
                && o.next % ENTRY == 0
                && o.next < o.queue_len
                && o.list >> 32 == 0
                && o.pools.len() <= MAX_SIZES
                && o.pools.values().map(Vec::len).sum::<usize>() <= MAX_BUFFERS
        };
        if version != VethState::VERSION
            || !unicast(mac)
            || attributes & !attr::CHANGEABLE != 0
            || rx.filters.len() > MAX_FILTERS
            || !rx.open.as_ref().is_none_or(sound)
        {
            return Err("virtual Ethernet: the saved state contradicts itself".into());
        }
        self.mac.store(mac, Ordering::Relaxed);
        self.attributes.store(attributes, Ordering::Relaxed);
        // Whoever waits for an interrupt that was not delivered gets one with the next frame at the latest.
        *lock(&self.rx) = Rx { state: rx, pending: true, refused: None };
        self.port.room();
        Ok(())
    }

    fn signal(&self, mode: u64) -> Result<(), Rc> {
        if mode > 1 {
            return Err(H_PARAMETER);
        }
        lock(&self.rx).state.signal = mode == 1;
        Ok(())
    }

    fn lan(&self) -> Option<&dyn LogicalLan> {
        Some(self)
    }
}

#[cfg(test)]
mod tests;
