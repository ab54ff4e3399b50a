//! Network device (5.1) over a [`Port`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use net::{Gso, MAX_FRAME, Nic, Offload, Port};
use serde::{Deserialize, Serialize};

use super::{Chain, Link, Taken, VirtioDevice, Worker, copy_config};
use crate::lock;

/// Feature bits.
pub mod feature {
    #![allow(missing_docs)]
    pub const CSUM: u64 = 1 << 0;
    pub const GUEST_CSUM: u64 = 1 << 1;
    pub const CTRL_GUEST_OFFLOADS: u64 = 1 << 2;
    pub const MAC: u64 = 1 << 5;
    pub const GUEST_TSO4: u64 = 1 << 7;
    pub const GUEST_TSO6: u64 = 1 << 8;
    pub const HOST_TSO4: u64 = 1 << 11;
    pub const HOST_TSO6: u64 = 1 << 12;
    pub const MRG_RXBUF: u64 = 1 << 15;
    pub const STATUS: u64 = 1 << 16;
    pub const CTRL_VQ: u64 = 1 << 17;
    pub const CTRL_RX: u64 = 1 << 18;
    pub const MQ: u64 = 1 << 22;
    pub const CTRL_MAC_ADDR: u64 = 1 << 23;
    /// What the driver can be sent, as long as it does not say otherwise.
    pub const GUEST: u64 = GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6;
}

/// Bytes of the head of every frame (5.1.6).
const HEAD: usize = 12;
/// Flags in it.
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
/// Kinds of segmentation in it.
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_ECN: u8 = 0x80;

/// Classes and commands of the control queue (5.1.6.5).
mod ctrl {
    pub const RX: u8 = 0;
    pub const RX_PROMISC: u8 = 0;
    pub const RX_ALLMULTI: u8 = 1;
    pub const MAC: u8 = 1;
    pub const MAC_TABLE: u8 = 0;
    pub const MAC_ADDR: u8 = 1;
    pub const MQ: u8 = 4;
    pub const MQ_PAIRS: u8 = 0;
    pub const OFFLOADS: u8 = 5;
    pub const OFFLOADS_SET: u8 = 0;
    /// Answers.
    pub const OK: u8 = 0;
    pub const ERR: u8 = 1;
}

/// Descriptors of a queue for frames, and of the control queue.
const QUEUE_SIZE: u16 = 256;
const CONTROL_SIZE: u16 = 64;
/// Most pairs of queues.
const MAX_PAIRS: u16 = 16;
/// Most addresses in each of the filter's two tables.
const MAX_FILTER: usize = 64;
/// Most bytes of a command.
const MAX_COMMAND: usize = 2048;
/// Most buffers one frame is spread over.
const MAX_BUFFERS: usize = 64;
/// Frames that a processor's thread sends for one notification, and the longest of them.
const AT_ONCE: usize = 4;
const SHORT: u64 = 2048;
/// How often buffers are looked for that the driver is just about to offer.
const TRIES: u32 = 8;
/// Frames the worker sends before it looks at another queue.
const BATCH: usize = 64;

/// An Ethernet address.
type Mac = [u8; 6];

/// The device.
pub struct Net {
    inner: Arc<Inner>,
    worker: Worker,
}

/// What of the state the guest can see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    mac: Mac,
    promiscuous: bool,
    all_multicast: bool,
    unicast: Vec<Mac>,
    multicast: Vec<Mac>,
    /// Pairs of queues in use.
    pairs: u16,
    /// Features of [`feature::GUEST`] that are switched on, once the driver has said so.
    offloads: Option<u64>,
}

struct Inner {
    port: Arc<dyn Port>,
    own_mac: Mac,
    /// Pairs of queues there are.
    pairs: u16,
    link: Mutex<Option<Arc<Link>>>,
    state: Mutex<State>,
    /// Those of [`feature::GUEST`] in force.
    offloads: AtomicU64,
    /// Held by who sends the frames of a pair's queue, with room for one.
    sending: Vec<Mutex<Vec<u8>>>,
    /// Queues with frames whose interrupt is held back.
    held: AtomicU64,
    /// A frame was refused for want of buffers.
    starved: AtomicBool,
}

impl State {
    fn new(mac: Mac) -> Self {
        State {
            mac,
            promiscuous: false,
            all_multicast: true,
            unicast: Vec::new(),
            multicast: Vec::new(),
            pairs: 1,
            offloads: None,
        }
    }

    fn wants(&self, to: Mac) -> bool {
        self.promiscuous
            || to == [0xff; 6]
            || if to[0] & 1 != 0 {
                self.all_multicast || self.multicast.contains(&to)
            } else {
                to == self.mac || self.unicast.contains(&to)
            }
    }
}

impl Net {
    /// An adapter with this address, plugged into `port`, with up to `pairs` pairs of queues.
    pub fn new(port: Arc<dyn Port>, mac: Mac, pairs: u16) -> Self {
        let inner = Arc::new(Inner {
            port,
            own_mac: mac,
            pairs: pairs.clamp(1, MAX_PAIRS),
            link: Mutex::default(),
            state: Mutex::new(State::new(mac)),
            offloads: AtomicU64::new(0),
            sending: (0..pairs.clamp(1, MAX_PAIRS)).map(|_| Mutex::default()).collect(),
            held: AtomicU64::new(0),
            starved: AtomicBool::new(false),
        });
        let (served, plugged) = (inner.clone(), inner.clone());
        let worker = Worker::new("virtio-net", move |bits| served.send_all(bits));
        inner.port.connect(plugged);
        Net { inner, worker }
    }
}

/// The head of a frame for the driver.
fn head(o: &Offload, buffers: u16) -> [u8; HEAD] {
    let mut h = [0; HEAD];
    if let Some((start, offset)) = o.checksum {
        h[0] |= NEEDS_CSUM;
        h[6..8].copy_from_slice(&start.to_le_bytes());
        h[8..10].copy_from_slice(&offset.to_le_bytes());
    }
    if o.checked {
        h[0] |= DATA_VALID;
    }
    h[1] = match o.gso {
        Gso::None => 0,
        Gso::Tcp4 => GSO_TCP4,
        Gso::Tcp6 => GSO_TCP6,
    };
    if o.gso != Gso::None {
        h[2..4].copy_from_slice(&o.header_len.to_le_bytes());
        h[4..6].copy_from_slice(&o.segment.to_le_bytes());
    }
    h[10..].copy_from_slice(&buffers.to_le_bytes());
    h
}

/// What the head of a frame from the driver asks for; `None`: it makes no sense for a frame of this length.
fn offload(h: &[u8; HEAD], len: usize) -> Option<Offload> {
    let word = |at: usize| u16::from_le_bytes([h[at], h[at + 1]]);
    let mut o = Offload::default();
    if h[0] & NEEDS_CSUM != 0 {
        let (start, offset) = (word(6), word(8));
        if start as usize + offset as usize + 2 > len {
            return None;
        }
        o.checksum = Some((start, offset));
    }
    o.gso = match h[1] & !GSO_ECN {
        0 => Gso::None,
        GSO_TCP4 => Gso::Tcp4,
        GSO_TCP6 => Gso::Tcp6,
        _ => return None,
    };
    if o.gso != Gso::None {
        (o.header_len, o.segment) = (word(2), word(4));
        // A segment needs the checksum's place, and has something in it.
        if o.segment == 0 || o.checksum.is_none() {
            return None;
        }
    }
    Some(o)
}

impl Inner {
    fn link(&self) -> Option<Arc<Link>> {
        lock(&self.link).clone()
    }

    /// Number of the control queue, which depends on what was agreed upon.
    fn control(&self, link: &Link) -> usize {
        if link.features() & feature::MQ != 0 { 2 * self.pairs as usize } else { 2 }
    }

    // ---- from the driver ----

    /// The worker's part; a bit for each pair.
    fn send_all(&self, bits: u64) {
        let mut left = bits;
        while left != 0 {
            let pair = left.trailing_zeros() as usize;
            left &= left - 1;
            // The driver may have gone meanwhile.
            let (Some(link), Some(sending)) = (self.link(), self.sending.get(pair)) else { return };
            if self.send(&link, 2 * pair + 1, BATCH, u64::MAX, &mut lock(sending)) {
                left |= 1 << pair;
            }
        }
    }

    /// Sends what waits in a queue, up to so many frames. Answers whether more waits, which it also does before a frame
    /// longer than `longest`.
    fn send(&self, link: &Arc<Link>, queue: usize, most: usize, longest: u64, buffer: &mut Vec<u8>) -> bool {
        let mut sent = 0;
        let more = loop {
            if sent == most {
                // Also when nothing is left: the driver has not been asked to notify of what comes next.
                break link.want_notify(queue);
            }
            match link.pop(queue) {
                Some(chain) if chain.readable.len() > longest => {
                    chain.put_back();
                    break true;
                }
                Some(chain) => {
                    self.send_frame(&chain, buffer);
                    chain.complete_quietly(0);
                    sent += 1;
                }
                None if !link.want_notify(queue) => break false,
                None => {}
            }
        };
        if sent != 0 {
            link.signal(queue);
        }
        more
    }

    fn send_frame(&self, chain: &Chain, buffer: &mut Vec<u8>) {
        let len = chain.readable.len();
        if len <= HEAD as u64 || len > (MAX_FRAME + HEAD) as u64 {
            return;
        }
        buffer.resize(len as usize, 0);
        chain.readable.read(0, buffer);
        let Some((h, frame)) = buffer.split_first_chunk::<HEAD>() else { return };
        if let Some(o) = offload(h, frame.len()) {
            self.port.send(frame, o);
        }
    }

    // ---- to the driver ----

    /// The queue for a frame: frames of one flow take the same one.
    fn queue_for(&self, frame: &[u8], pairs: u16) -> usize {
        if pairs <= 1 {
            return 0;
        }
        let at = |n: usize| frame.get(n).copied().unwrap_or(0) as usize;
        // Addresses and ports, where IPv4 without options and IPv6 have them.
        let (from, to) = if at(12) == 0x86 { (22, 58) } else { (26, 38) };
        let sum = (from..to).fold(0usize, |h, n| h.wrapping_mul(31).wrapping_add(at(n)));
        2 * ((sum ^ sum >> 7) % pairs as usize)
    }

    fn receive(&self, link: &Arc<Link>, frame: &[u8], o: &Offload) -> bool {
        let pairs = {
            let s = lock(&self.state);
            let filtered = link.features() & feature::CTRL_RX != 0;
            let Some(to) = frame.first_chunk::<6>() else { return true };
            if filtered && !s.wants(*to) {
                return true;
            }
            s.pairs
        };
        let queue = self.queue_for(frame, pairs);
        let most = if link.features() & feature::MRG_RXBUF != 0 { MAX_BUFFERS } else { 1 };
        let len = HEAD + frame.len();
        let mut tries = 0;
        let chains = loop {
            match link.take(queue, len as u64, most) {
                Taken::Chains(c) => break c,
                // There will never be more room for it.
                Taken::TooSmall => return true,
                Taken::None if !link.running() => return true,
                Taken::None => {
                    tries += 1;
                    self.starved.store(true, Ordering::SeqCst);
                    if !link.want_more(queue) || tries == TRIES {
                        return false;
                    }
                }
            }
        };
        let h = head(o, chains.len() as u16);
        let mut written = Vec::with_capacity(chains.len());
        let mut rest = frame;
        for (n, c) in chains.iter().enumerate() {
            let begin = if n == 0 { c.writable.write(0, &h) } else { 0 };
            // A head that is split over buffers is no driver's; then the frame has no room either.
            let put = c.writable.write(begin as u64, rest);
            rest = &rest[put..];
            written.push((begin + put) as u32);
        }
        link.complete_together(chains, &written);
        self.held.fetch_or(1 << queue, Ordering::SeqCst);
        true
    }

    // ---- control queue ----

    fn command(&self, link: &Link, chain: Chain) {
        let mut bytes = vec![0; chain.readable.len().min(MAX_COMMAND as u64) as usize];
        let n = chain.readable.read(0, &mut bytes);
        let answer = match bytes[..n] {
            [class, command, ref data @ ..] => self.obey(link, class, command, data),
            _ => None,
        };
        let byte = if answer.is_some() { ctrl::OK } else { ctrl::ERR };
        let written = chain.writable.write(0, &[byte]);
        chain.complete(written as u32);
    }

    /// `None`: refused.
    fn obey(&self, link: &Link, class: u8, command: u8, data: &[u8]) -> Option<()> {
        let mut s = lock(&self.state);
        match (class, command) {
            (ctrl::RX, ctrl::RX_PROMISC) => s.promiscuous = *data.first()? != 0,
            (ctrl::RX, ctrl::RX_ALLMULTI) => s.all_multicast = *data.first()? != 0,
            (ctrl::MAC, ctrl::MAC_TABLE) => {
                let (unicast, rest) = table(data)?;
                let (multicast, _) = table(rest)?;
                (s.unicast, s.multicast) = (unicast, multicast);
            }
            (ctrl::MAC, ctrl::MAC_ADDR) => s.mac = *data.first_chunk()?,
            (ctrl::MQ, ctrl::MQ_PAIRS) => {
                let pairs = u16::from_le_bytes(*data.first_chunk()?);
                if pairs == 0 || pairs > self.pairs || link.features() & feature::MQ == 0 {
                    return None;
                }
                s.pairs = pairs;
            }
            (ctrl::OFFLOADS, ctrl::OFFLOADS_SET) => {
                let wanted = u64::from_le_bytes(*data.first_chunk()?);
                if wanted & !(link.features() & feature::GUEST) != 0 {
                    return None;
                }
                s.offloads = Some(wanted);
                self.offloads.store(wanted, Ordering::SeqCst);
            }
            _ => return None,
        }
        Some(())
    }
}

/// Addresses of one table of the filter, and what follows it. A table too long to be kept lets everything through.
fn table(data: &[u8]) -> Option<(Vec<Mac>, &[u8])> {
    let (count, rest) = data.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    if count > MAX_FILTER || rest.len() < 6 * count {
        return None;
    }
    let (macs, rest) = rest.split_at(6 * count);
    Some((macs.chunks_exact(6).filter_map(|m| m.try_into().ok()).collect(), rest))
}

impl Nic for Inner {
    fn deliver(&self, frame: &[u8], offload: Offload) -> bool {
        let Some(link) = self.link() else { return true };
        if frame.len() > MAX_FRAME || offload.gso != Gso::None && !self.takes_offloads() {
            return true;
        }
        self.receive(&link, frame, &offload)
    }

    fn takes_offloads(&self) -> bool {
        self.offloads.load(Ordering::SeqCst) & feature::GUEST == feature::GUEST
    }

    /// Linux has them in buffers of whole pages that count against the socket's memory: it drops some, and Debian 12's
    /// passt, which knows no selective acknowledgements, then stands still for seconds.
    fn takes_large_segments(&self) -> bool {
        false
    }

    fn done(&self) {
        let mut held = self.held.swap(0, Ordering::SeqCst);
        let Some(link) = self.link() else { return };
        while held != 0 {
            link.signal(held.trailing_zeros() as usize);
            held &= held - 1;
        }
    }

    fn mac(&self) -> Option<Mac> {
        let s = lock(&self.state);
        (!s.promiscuous).then_some(s.mac)
    }
}

impl VirtioDevice for Net {
    fn kind(&self) -> u16 {
        1
    }

    fn class(&self) -> u32 {
        0x02_0000
    }

    fn node_name(&self) -> &'static str {
        "ethernet"
    }

    fn features(&self) -> u64 {
        use feature::*;
        let mq = if self.inner.pairs > 1 { MQ } else { 0 };
        CSUM | GUEST
            | CTRL_GUEST_OFFLOADS
            | MAC
            | HOST_TSO4
            | HOST_TSO6
            | MRG_RXBUF
            | STATUS
            | mq
            | CTRL_VQ
            | CTRL_RX
            | CTRL_MAC_ADDR
    }

    fn queue_sizes(&self) -> Vec<u16> {
        let mut sizes = vec![QUEUE_SIZE; 2 * self.inner.pairs as usize];
        sizes.push(CONTROL_SIZE);
        sizes
    }

    fn read_config(&self, offset: usize, out: &mut [u8]) {
        let mut b = [0; 10];
        b[..6].copy_from_slice(&lock(&self.inner.state).mac);
        // The link is up.
        b[6] = 1;
        b[8..].copy_from_slice(&self.inner.pairs.to_le_bytes());
        copy_config(&b, offset, out);
    }

    fn describe(&self, tree: &mut device::DeviceTree, node: device::NodeId) {
        tree.set_str(node, "device_type", "network");
        tree.set_bytes(node, "local-mac-address", self.inner.own_mac);
        tree.set_bytes(node, "mac-address", self.inner.own_mac);
    }

    fn start(&self, link: &Arc<Link>) {
        let inner = &self.inner;
        {
            let agreed = link.features() & feature::GUEST;
            inner.offloads.store(lock(&inner.state).offloads.unwrap_or(agreed), Ordering::SeqCst);
        }
        *lock(&inner.link) = Some(link.clone());
        for queue in 0..link.queue_count() {
            self.notify(link, queue);
        }
    }

    fn notify(&self, link: &Arc<Link>, queue: usize) {
        let inner = &self.inner;
        if queue == inner.control(link) {
            // A driver sends one at a time.
            for _ in 0..CONTROL_SIZE {
                match link.pop(queue) {
                    Some(chain) => inner.command(link, chain),
                    None => break,
                }
            }
            link.want_notify(queue);
        } else if queue % 2 == 0 {
            if inner.starved.swap(false, Ordering::SeqCst) {
                inner.port.room();
            }
        } else if let Some(sending) = inner.sending.get(queue / 2) {
            // The worker goes on with what is too much, and comes back if it is just about to stop.
            let more = sending.try_lock().map(|mut b| inner.send(link, queue, AT_ONCE, SHORT, &mut b));
            if more.unwrap_or(true) {
                self.worker.kick(queue / 2);
            }
        }
    }

    fn stop(&self) {
        let inner = &self.inner;
        *lock(&inner.link) = None;
        *lock(&inner.state) = State::new(inner.own_mac);
        inner.offloads.store(0, Ordering::SeqCst);
        inner.starved.store(false, Ordering::SeqCst);
    }

    fn save(&self) -> serde_json::Value {
        let Net { inner, worker: _ } = self;
        let Inner {
            port: _,
            own_mac: _,
            pairs: _,
            link: _,
            state,
            offloads: _,
            sending: _,
            held: _,
            starved: _,
        } = &**inner;
        serde_json::to_value(&*lock(state)).unwrap_or_default()
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        let s: State = serde_json::from_value(state).map_err(|e| e.to_string())?;
        if s.unicast.len() > MAX_FILTER
            || s.multicast.len() > MAX_FILTER
            || s.pairs == 0
            || s.pairs > self.inner.pairs
        {
            return Err("an impossible network adapter".into());
        }
        *lock(&self.inner.state) = s;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
