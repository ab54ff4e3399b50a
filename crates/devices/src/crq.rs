//! Pairs of command/response queues (CRQ) between partitions (LoPAR 17.2.3.1): a cable with a virtual SCSI client in one
//! partition (`IBM,v-scsi`) and a server in another (`IBM,v-scsi-host`). Messages of 16 bytes go from either end into the
//! other's queue; their meaning is the partitions' own business. The server reaches the memory that the client has mapped
//! for its adapter by H_COPY_RDMA.
//!
//! A server learns at once that its client has gone. A client whose server has gone is told when the server is back:
//! until then H_SEND_CRQ answers H_CLOSED, on which clients wait, and nothing of theirs fails because a server restarts.
//! The client's queue then takes nothing but that event until the client has registered it anew.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use device::vio::{H_NOT_FOUND, H_PARAMETER, Rc, RemoteWindow};
use device::{DeviceTree, DmaAccess, DmaSpace, IrqLine, NodeId, VioDevice, VioWindow};
use serde::{Deserialize, Serialize};

use crate::lock;

const H_CLOSED: Rc = 2;
const H_PERMISSION: Rc = -11;
const H_DROPPED: Rc = -12;
const H_RESOURCE: Rc = -16;

/// Bytes of an entry.
const ENTRY: u64 = 16;
/// Largest queue in bytes.
const LARGEST: u64 = 1 << 20;
/// First byte of a transport event, and which it is.
const TRANSPORT: u8 = 0xff;
const PARTNER_FAILED: u8 = 1;
const PARTNER_DEREGISTERED: u8 = 2;
const MIGRATED: u8 = 6;
/// Most events that wait for room in a queue.
const MOST_EVENTS: usize = 4;
/// H_VIOCTL: who the partner is.
const GET_PARTNER_INFO: u64 = 8;
/// Sizes of the windows in bytes.
const WINDOW: u64 = 256 << 20;

/// Unit addresses of the first client and the first server.
const CLIENT_UNIT: u32 = 0x7100_3000;
const SERVER_UNIT: u32 = 0x7100_4000;
/// Added to a unit address: the partner's window.
const REMOTE: u32 = 0x8000_0000;

/// Which end of a cable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Sends commands.
    Client,
    /// Carries them out.
    Server,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// Unit address of the `n`-th adapter of its kind in a partition.
    pub fn unit(self, n: u32) -> u32 {
        match self {
            Side::Client => CLIENT_UNIT + n,
            Side::Server => SERVER_UNIT + n,
        }
    }
}

/// Who an adapter belongs to, as its partner is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Number of the partition.
    pub number: u32,
    /// Its name.
    pub name: String,
}

/// What joins two adapters; it stays when partitions come and go.
#[derive(Default)]
pub struct Cable {
    client: RwLock<Option<Arc<Plug>>>,
    server: RwLock<Option<Arc<Plug>>>,
}

impl Cable {
    fn socket(&self, side: Side) -> &RwLock<Option<Arc<Plug>>> {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn plug(&self, side: Side) -> Option<Arc<Plug>> {
        self.socket(side).read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The queue of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Queue {
    /// I/O address.
    at: u64,
    /// Number of entries.
    entries: u64,
    /// The entry that is filled next.
    next: u64,
}

#[derive(Default)]
struct State {
    queue: Option<Queue>,
    signal: bool,
    /// Nothing but events goes in until it is registered anew.
    lost: bool,
    /// What the partner's return will be told as.
    owed: Option<u8>,
    /// Events for which the queue had no room.
    events: VecDeque<u8>,
}

/// One end: what the other one needs of it.
struct Plug {
    owner: Owner,
    unit: u32,
    line: IrqLine,
    dma: Arc<dyn DmaSpace>,
    state: Mutex<State>,
    /// The partner may reach its memory. Held while that is done, so that memory is not taken away meanwhile.
    open: RwLock<bool>,
}

impl Plug {
    fn reach(&self) -> RwLockReadGuard<'_, bool> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_open(&self, open: bool) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = open;
    }

    /// Writes an entry if there is room for it.
    fn write(&self, q: &mut Queue, message: [u64; 2]) -> bool {
        let at = q.at + q.next * ENTRY;
        let mut valid = [0xff];
        if self.dma.read(at, &mut valid).is_err() || valid[0] != 0 {
            return false;
        }
        // The first byte makes the entry the guest's: it goes last.
        let mut bytes = [0; ENTRY as usize];
        bytes[..8].copy_from_slice(&message[0].to_be_bytes());
        bytes[8..].copy_from_slice(&message[1].to_be_bytes());
        let whole = self.dma.write(at + 1, &bytes[1..]).is_ok();
        fence(Ordering::SeqCst);
        if !whole || self.dma.write(at, &bytes[..1]).is_err() {
            return false;
        }
        q.next = (q.next + 1) % q.entries;
        true
    }

    /// Writes the events that wait; whether any was.
    fn drain(&self, s: &mut State) -> bool {
        let State { queue: Some(q), events, .. } = s else {
            s.events.clear();
            return false;
        };
        let mut any = false;
        while let Some(&format) = events.front() {
            if !self.write(q, [u64::from_be_bytes([TRANSPORT, format, 0, 0, 0, 0, 0, 0]), 0]) {
                break;
            }
            events.pop_front();
            any = true;
        }
        any
    }

    fn pulse(&self, s: &State, any: bool) {
        if any && s.signal {
            self.line.pulse();
        }
    }

    /// A message from the partner.
    fn post(&self, message: [u64; 2]) -> Result<(), Rc> {
        let mut s = lock(&self.state);
        if s.queue.is_none() || s.lost {
            return Err(H_CLOSED);
        }
        let mut any = self.drain(&mut s);
        let mut sent = false;
        if s.events.is_empty() {
            if let Some(q) = &mut s.queue {
                sent = self.write(q, message);
            }
        }
        any |= sent;
        self.pulse(&s, any);
        if sent { Ok(()) } else { Err(H_DROPPED) }
    }

    /// A transport event.
    fn event(&self, s: &mut State, format: u8) {
        if s.queue.is_some() && s.events.len() < MOST_EVENTS {
            s.events.push_back(format);
        }
        let any = self.drain(s);
        self.pulse(s, any);
    }

    /// Whether the guest has not yet taken the last entry there is.
    fn unread(&self, s: &State) -> bool {
        let Some(q) = s.queue else { return false };
        let last = (q.next + q.entries - 1) % q.entries;
        let mut valid = [0];
        self.dma.read(q.at + last * ENTRY, &mut valid).is_ok() && valid[0] != 0
    }

    fn is_open(&self) -> bool {
        let s = lock(&self.state);
        s.queue.is_some() && !s.lost
    }
}

/// An adapter at one end of a cable.
pub struct Crq {
    side: Side,
    cable: Arc<Cable>,
    plug: Arc<Plug>,
    /// The window of its own.
    window: VioWindow,
}

impl Crq {
    /// An adapter at a unit address, plugged into its end of the cable; what was there before is unplugged. Its window
    /// is [`window`].
    pub fn new(
        side: Side,
        unit: u32,
        owner: Owner,
        cable: Arc<Cable>,
        line: IrqLine,
        dma: Arc<dyn DmaSpace>,
    ) -> Self {
        let (state, open) = (Mutex::default(), RwLock::new(false));
        let plug = Arc::new(Plug { owner, unit, line, dma, state, open });
        let socket = cable.socket(side);
        *socket.write().unwrap_or_else(PoisonError::into_inner) = Some(plug.clone());
        Crq { side, cable, plug, window: window(unit) }
    }

    /// Another end in the place of this one's, with its own line and memory, for firmware. The adapter has its place back
    /// when that is dropped, or when the guest registers a queue.
    pub fn lend(adapter: &Arc<Crq>, line: IrqLine, dma: Arc<dyn DmaSpace>) -> Lent {
        let Plug { owner, unit, .. } = &*adapter.plug;
        let end = Crq::new(adapter.side, *unit, owner.clone(), adapter.cable.clone(), line, dma);
        Lent { end, adapter: adapter.clone() }
    }

    /// Has its place back from whoever it was lent to.
    fn retake(&self) {
        let other = {
            let mut socket = self.cable.socket(self.side).write().unwrap_or_else(PoisonError::into_inner);
            match &mut *socket {
                Some(p) if !Arc::ptr_eq(p, &self.plug) => Some(std::mem::replace(p, self.plug.clone())),
                _ => None,
            }
        };
        if let Some(other) = other {
            self.close(&other, PARTNER_DEREGISTERED);
        }
    }

    fn partner(&self) -> Option<Arc<Plug>> {
        self.cable.plug(self.side.other())
    }

    /// The queue of a plug at this end goes, and the partner is told in its way.
    fn close(&self, plug: &Plug, format: u8) {
        // Whoever is at work in this memory finishes first.
        plug.set_open(false);
        let s = std::mem::take(&mut *lock(&plug.state));
        // A lost queue was no longer connected to anybody.
        if s.queue.is_none() || s.lost {
            return;
        }
        let Some(partner) = self.partner() else { return };
        let was_reachable = partner.is_open();
        match self.side {
            Side::Client if was_reachable => partner.event(&mut lock(&partner.state), format),
            Side::Server if was_reachable => {
                partner.set_open(false);
                let mut s = lock(&partner.state);
                (s.lost, s.owed) = (true, Some(format));
            }
            _ => {}
        }
    }

    /// The queue is there: the partner, if it waits, is told what happened before.
    fn opened(&self) -> Result<(), Rc> {
        self.plug.set_open(true);
        let partner = self.partner().ok_or(H_CLOSED)?;
        let mut s = lock(&partner.state);
        if let Some(format) = s.owed.take() {
            partner.event(&mut s, format);
        }
        if s.queue.is_some() && !s.lost { Ok(()) } else { Err(H_CLOSED) }
    }
}

impl Drop for Crq {
    fn drop(&mut self) {
        self.close(&self.plug, PARTNER_FAILED);
        let mut socket = self.cable.socket(self.side).write().unwrap_or_else(PoisonError::into_inner);
        if socket.as_ref().is_some_and(|p| Arc::ptr_eq(p, &self.plug)) {
            *socket = None;
        }
    }
}

/// An end that stands in the place of an adapter.
pub struct Lent {
    end: Crq,
    adapter: Arc<Crq>,
}

impl Deref for Lent {
    type Target = Crq;

    fn deref(&self) -> &Crq {
        &self.end
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.adapter.retake();
    }
}

/// The window that an adapter at a unit address needs.
pub fn window(unit: u32) -> VioWindow {
    VioWindow { liobn: unit, size: WINDOW }
}

/// Saved state of a [`Crq`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrqState {
    queue: Option<Queue>,
    signal: bool,
    lost: bool,
    owed: Option<u8>,
    events: Vec<u8>,
}

impl VioDevice for Crq {
    fn unit(&self) -> u32 {
        self.plug.unit
    }

    fn describe(&self, tree: &mut DeviceTree, vdevice: NodeId) -> NodeId {
        let unit = self.plug.unit;
        let (name, kind, compatible) = match self.side {
            Side::Client => ("v-scsi", "vscsi", "IBM,v-scsi"),
            Side::Server => ("v-scsi-host", "v-scsi-host", "IBM,v-scsi-host"),
        };
        let node = tree.ensure_node(vdevice, &format!("{name}@{unit:x}"));
        tree.set_str(node, "device_type", kind);
        tree.set_str(node, "compatible", compatible);
        tree.set_u32(node, "reg", unit);
        tree.set_u32s(node, "interrupts", &self.plug.line.cells());
        tree.set_u32(node, "ibm,my-drc-index", unit);
        tree.set_str(node, "ibm,loc-code", &format!("V1-C{}", unit & 0xffff));
        self.window.describe(tree, node);
        let VioWindow { liobn, size } = self.window;
        if self.side == Side::Server {
            // Its own window and the partner's.
            let size = [(size >> 32) as u32, size as u32];
            let own = [liobn, 0, 0, size[0], size[1]];
            let remote = [liobn | REMOTE, 0, 0, size[0], size[1]];
            tree.set_u32s(node, "ibm,my-dma-window", &[own, remote].concat());
        }
        node
    }

    fn reset(&self) {
        self.close(&self.plug, PARTNER_FAILED);
    }

    fn save(&self) -> serde_json::Value {
        let Plug { owner: _, unit: _, line: _, dma: _, state, open: _ } = &*self.plug;
        let State { queue, signal, lost, owed, events } = &*lock(state);
        let events = events.iter().copied().collect();
        let state = CrqState { queue: *queue, signal: *signal, lost: *lost, owed: *owed, events };
        serde_json::to_value(state).unwrap_or_default()
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        let state: CrqState = serde_json::from_value(state).map_err(|e| e.to_string())?;
        let CrqState { queue, signal, lost: _, owed: _, events } = state;
        if events.len() > MOST_EVENTS {
            return Err("too many events wait".into());
        }
        if queue.is_some_and(|q| !queue_fits(q.at, q.entries.saturating_mul(ENTRY)) || q.next >= q.entries) {
            return Err("an impossible queue".into());
        }
        // The partner is another one now, or this partition is elsewhere: a client has to enable its queue.
        let lost = queue.is_some() && self.side == Side::Client;
        {
            let mut s = lock(&self.plug.state);
            *s = State { queue, signal, lost, owed: None, events: events.into() };
            self.plug.event(&mut s, MIGRATED);
        }
        if queue.is_some() && !lost {
            // That nobody is there yet is no mistake.
            let _ = self.opened();
        }
        Ok(())
    }

    fn signal(&self, mode: u64) -> Result<(), Rc> {
        let mut s = lock(&self.plug.state);
        match mode {
            0 => s.signal = false,
            1 => {
                s.signal = true;
                if self.plug.drain(&mut s) || self.plug.unread(&s) {
                    self.plug.line.pulse();
                }
            }
            _ => return Err(H_PARAMETER),
        }
        Ok(())
    }

    fn register_crq(&self, queue: u64, len: u64) -> Result<(), Rc> {
        self.retake();
        {
            let mut s = lock(&self.plug.state);
            if s.queue.is_some() {
                return Err(H_RESOURCE);
            }
            if !queue_fits(queue, len) || self.plug.dma.map(queue, len, DmaAccess::Write).is_err() {
                return Err(H_PARAMETER);
            }
            let queue = Some(Queue { at: queue, entries: len / ENTRY, next: 0 });
            *s = State { queue, ..State::default() };
        }
        self.opened()
    }

    fn free_crq(&self) -> Result<(), Rc> {
        self.close(&self.plug, PARTNER_DEREGISTERED);
        Ok(())
    }

    fn send_crq(&self, message: [u64; 2]) -> Result<(), Rc> {
        // Events are the hypervisor's alone.
        let valid = (message[0] >> 56) as u8;
        if valid & 0x80 == 0 || valid == TRANSPORT {
            return Err(H_PARAMETER);
        }
        if !self.plug.is_open() {
            return Err(H_CLOSED);
        }
        self.partner().ok_or(H_CLOSED)?.post(message)
    }

    fn enable_crq(&self) -> Result<(), Rc> {
        {
            let mut s = lock(&self.plug.state);
            if s.queue.is_none() {
                return Err(H_PARAMETER);
            }
            (s.lost, s.owed) = (false, None);
        }
        // As after registering; a partner that is not there yet will say so itself.
        match self.opened() {
            Err(H_CLOSED) => Ok(()),
            other => other,
        }
    }

    fn control(&self, function: u64, [buffer, _]: [u64; 2]) -> Result<(), Rc> {
        if function != GET_PARTNER_INFO {
            return Err(H_NOT_FOUND);
        }
        let partner = self.partner().ok_or(H_CLOSED)?;
        let (at, room) = (buffer & 0xffff_ffff, (buffer >> 32) as usize);
        let mut info = Vec::new();
        info.extend(u64::from(partner.owner.number).to_be_bytes());
        info.extend(u64::from(partner.unit).to_be_bytes());
        info.extend(partner.owner.name.bytes());
        info.push(0);
        info.truncate(room);
        self.plug.dma.write(at, &info).map_err(|_| H_PARAMETER)
    }

    fn may_bypass(&self) -> bool {
        false
    }

    fn remote(&self) -> Option<&dyn RemoteWindow> {
        (self.side == Side::Server).then_some(self)
    }
}

impl RemoteWindow for Crq {
    fn liobn(&self) -> u32 {
        self.window.liobn | REMOTE
    }

    fn with(&self, work: &mut dyn FnMut(&dyn DmaSpace) -> Result<(), Rc>) -> Result<(), Rc> {
        let partner = self.partner().ok_or(H_PERMISSION)?;
        let open = partner.reach();
        if !*open || !self.plug.is_open() {
            return Err(H_PERMISSION);
        }
        work(&*partner.dma)
    }
}

/// Whether these bytes can be a queue: whole pages at a page's start, not many.
fn queue_fits(at: u64, len: u64) -> bool {
    at % 4096 == 0 && len % 4096 == 0 && (4096..=LARGEST).contains(&len) && at <= u64::MAX - len
}

#[cfg(test)]
mod tests;
