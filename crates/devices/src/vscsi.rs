//! `IBM,v-scsi`, the virtual SCSI client adapter (LoPAR chapter 17, "Virtual SCSI"): SCSI commands in information units
//! of the SCSI RDMA protocol (SRP, INCITS 365), announced through a command/response queue (CRQ). The server at the
//! other end is played here, over a [`Target`].
//!
//! All numbers in messages and information units are big-endian.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use device::vio::{H_PARAMETER, Rc};
use device::{DeviceTree, DmaAccess, DmaSpace, IrqLine, NodeId, VioDevice, VioWindow};
use mem::{GuestRam, Pieces};
use serde::{Deserialize, Serialize};

use crate::lock;
use crate::scsi::{Answer, CHECK_CONDITION, SENSE_LEN, Sense, Target, Task, UnitState};

pub mod initiator;

/// Unit address of the partition's first adapter.
pub const UNIT: u32 = 0x7100_2000;
/// Most logical units of an adapter.
pub const MAX_UNITS: usize = 64;
/// Size of the DMA window in bytes.
const WINDOW: u64 = 256 << 20;

/// Commands a client may have under way, told at login. Every answer takes an entry of the client's queue, which has
/// at least 256.
const CREDITS: u32 = 128;
/// Messages under way that are taken at all.
const MOST_UNDER_WAY: usize = 240;
/// Bytes of an information unit.
const IU_LEN: usize = 256;
/// Most bytes of one command, told to the client.
const MAX_TRANSFER: u32 = 4 << 20;
/// Most bytes of one command that are taken.
const TRANSFER_LIMIT: u64 = 16 << 20;
/// Most memory descriptors of one command that are taken.
const MAX_DESCRIPTORS: usize = 1024;

const H_BUSY: Rc = 1;
const H_CLOSED: Rc = 2;
const H_DROPPED: Rc = 3;
const H_RESOURCE: Rc = -16;

/// Bytes of a queue entry.
const ENTRY: u64 = 16;
/// First byte of an entry: initialization, payload.
const INIT: u8 = 0xc0;
const PAYLOAD: u8 = 0x80;
/// Second byte: what a payload is.
const SRP: u8 = 1;
const MAD: u8 = 2;
/// Fourth byte of an answer: it went wrong below SCSI.
const ADAPTER_FAIL: u8 = 0x10;

/// Operation codes of information units.
mod srp {
    pub const LOGIN_REQ: u8 = 0x00;
    pub const TSK_MGMT: u8 = 0x01;
    pub const CMD: u8 = 0x02;
    pub const I_LOGOUT: u8 = 0x03;
    pub const LOGIN_RSP: u8 = 0xc0;
    pub const RSP: u8 = 0xc1;
    pub const LOGIN_REJ: u8 = 0xc2;
    /// Formats of memory descriptors.
    pub const DIRECT: u8 = 1;
    pub const INDIRECT: u8 = 2;
    /// Both, as login names them.
    pub const FORMATS: u16 = 2 | 4;
    /// Task management.
    pub const ABORT_TASK: u8 = 1;
    pub const ABORT_TASK_SET: u8 = 2;
    pub const CLEAR_TASK_SET: u8 = 4;
    pub const LUN_RESET: u8 = 8;
    /// Response codes.
    pub const COMPLETE: u8 = 0;
    pub const BAD_FIELDS: u8 = 2;
    pub const NOT_SUPPORTED: u8 = 4;
    /// Flags of a response.
    pub const RESPONSE_VALID: u8 = 1;
    pub const SENSE_VALID: u8 = 2;
    pub const OUT_RESIDUAL: u8 = 4;
    pub const IN_RESIDUAL: u8 = 16;
}

/// Management datagrams.
mod mad {
    pub const ADAPTER_INFO: u32 = 3;
    pub const CAPABILITIES: u32 = 5;
    pub const FAST_FAIL: u32 = 8;
    pub const NOT_SUPPORTED: u16 = 0xf1;
    pub const FAILED: u16 = 0xf7;
}

/// The client's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Queue {
    /// I/O address.
    at: u64,
    /// Number of entries.
    entries: u64,
    /// The entry that is filled next.
    next: u64,
}

/// Where a request came from and where its answer goes.
#[derive(Clone, Copy)]
struct Origin {
    /// I/O address of the information unit.
    iu: u64,
    /// SRP or MAD.
    format: u8,
    timeout: u16,
    tag: u64,
}

struct Command {
    lun: u64,
    tag: u64,
    /// Its answer is not to be sent.
    aborted: bool,
}

/// A task management function that waits for commands it aborted.
struct Wait {
    left: Vec<u64>,
    origin: Origin,
}

#[derive(Default)]
struct State {
    queue: Option<Queue>,
    signal: bool,
    next_id: u64,
    commands: BTreeMap<u64, Command>,
    waits: Vec<Wait>,
    /// Answers for which the queue had no room.
    backlog: VecDeque<[u64; 2]>,
}

struct Inner {
    unit: u32,
    line: IrqLine,
    dma: Arc<dyn DmaSpace>,
    ram: Arc<GuestRam>,
    target: Target,
    state: Mutex<State>,
    idle: Condvar,
}

/// The adapter.
pub struct Vscsi(Arc<Inner>);

/// The address of the unit with this number, 0 to 63: SAM's logical unit addressing, bus 0, target `number`, LUN 0.
pub fn lun(number: u8) -> u64 {
    (0x80 | u64::from(number & 0x3f)) << 56
}

/// The window that an adapter at a unit address needs.
pub fn window(unit: u32) -> VioWindow {
    VioWindow { liobn: unit, size: WINDOW }
}

impl Vscsi {
    /// An adapter at a unit address, whose window is [`window`]. The target's units stand at the addresses that [`lun`]
    /// gives.
    pub fn new(unit: u32, line: IrqLine, dma: Arc<dyn DmaSpace>, ram: Arc<GuestRam>, target: Target) -> Self {
        let (state, idle) = Default::default();
        Vscsi(Arc::new(Inner { unit, line, dma, ram, target, state, idle }))
    }

    /// Its logical units.
    pub fn target(&self) -> &Target {
        &self.0.target
    }
}

fn be<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    b.get(at..).and_then(|b| b.first_chunk()).copied().unwrap_or([0; N])
}

fn be32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(be(b, at))
}

fn be64(b: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(be(b, at))
}

/// A message about a payload: the answer to `o`.
fn message(o: Origin, status: u8, len: usize) -> [u64; 2] {
    let word = [PAYLOAD, o.format, 0, status];
    let high = u64::from(u32::from_be_bytes(word)) << 32 | u64::from(o.timeout) << 16 | len as u64;
    [high, o.tag]
}

impl Inner {
    /// Puts a message into the client's queue, behind those that wait.
    fn post(&self, s: &mut State, message: [u64; 2]) {
        s.backlog.push_back(message);
        self.deliver(s);
    }

    /// Delivers messages as long as there is room, and signals.
    fn deliver(&self, s: &mut State) {
        let State { queue: Some(q), signal, backlog, .. } = s else {
            s.backlog.clear();
            return;
        };
        let mut any = false;
        while let Some([high, low]) = backlog.front().copied() {
            let at = q.at + q.next * ENTRY;
            let mut valid = [0xff];
            if self.dma.read(at, &mut valid).is_ok() && valid[0] != 0 {
                break;
            }
            // The first byte makes the entry the client's: it goes last.
            let mut bytes = [0; ENTRY as usize];
            bytes[..8].copy_from_slice(&high.to_be_bytes());
            bytes[8..].copy_from_slice(&low.to_be_bytes());
            let whole = self.dma.write(at + 1, &bytes[1..]).is_ok();
            fence(Ordering::SeqCst);
            // A queue that is not mapped loses what is sent to it.
            any |= whole && self.dma.write(at, &bytes[..1]).is_ok();
            q.next = (q.next + 1) % q.entries;
            backlog.pop_front();
        }
        if any && *signal {
            self.line.pulse();
        }
    }

    /// Whether the client has not yet taken the last message there is.
    fn unread(&self, s: &State) -> bool {
        let Some(q) = s.queue else { return false };
        let last = (q.next + q.entries - 1) % q.entries;
        let mut valid = [0];
        self.dma.read(q.at + last * ENTRY, &mut valid).is_ok() && valid[0] != 0
    }

    /// Writes an answer's information unit and sends the message about it.
    fn answer(&self, s: &mut State, o: Origin, iu: &[u8]) {
        let status = if self.dma.write(o.iu, iu).is_ok() { 0 } else { ADAPTER_FAIL };
        self.post(s, message(o, status, iu.len()));
    }

    /// SRP_RSP to a command (SRP 6.9).
    fn respond(&self, s: &mut State, o: Origin, room: (u64, u64), a: &Answer) {
        let mut iu = [0; 36 + SENSE_LEN];
        let mut len = 36;
        iu[0] = srp::RSP;
        iu[4..8].copy_from_slice(&1u32.to_be_bytes());
        iu[8..16].copy_from_slice(&o.tag.to_be_bytes());
        iu[19] = a.status;
        if a.status == CHECK_CONDITION {
            iu[18] = srp::SENSE_VALID;
            iu[28..32].copy_from_slice(&(SENSE_LEN as u32).to_be_bytes());
            iu[36..].copy_from_slice(&a.sense.unwrap_or(Sense::NONE).bytes());
            len = iu.len();
        } else {
            // What was not moved. Clients look for it under the flags that the standard calls "overflow".
            let (out, into) = (room.0.saturating_sub(a.written), room.1.saturating_sub(a.read));
            iu[20..24].copy_from_slice(&(out as u32).to_be_bytes());
            iu[24..28].copy_from_slice(&(into as u32).to_be_bytes());
            iu[18] =
                if out > 0 { srp::OUT_RESIDUAL } else { 0 } | if into > 0 { srp::IN_RESIDUAL } else { 0 };
        }
        self.answer(s, o, &iu[..len]);
    }

    /// SRP_RSP to a task management function: a response code in four bytes of response data.
    fn respond_management(&self, s: &mut State, o: Origin, code: u8) {
        let mut iu = [0; 40];
        iu[0] = srp::RSP;
        iu[4..8].copy_from_slice(&1u32.to_be_bytes());
        iu[8..16].copy_from_slice(&o.tag.to_be_bytes());
        iu[18] = srp::RESPONSE_VALID;
        iu[32..36].copy_from_slice(&4u32.to_be_bytes());
        iu[39] = code;
        self.answer(s, o, &iu);
    }

    /// A command has ended.
    fn finish(&self, id: u64, o: Origin, room: (u64, u64), a: &Answer) {
        let mut s = lock(&self.state);
        let Some(command) = s.commands.remove(&id) else { return };
        if !command.aborted {
            self.respond(&mut s, o, room, a);
        } else {
            let mut ready = Vec::new();
            s.waits.retain_mut(|w| {
                w.left.retain(|&other| other != id);
                let done = w.left.is_empty();
                if done {
                    ready.push(w.origin);
                }
                !done
            });
            ready.into_iter().for_each(|o| self.respond_management(&mut s, o, srp::COMPLETE));
        }
        if s.commands.is_empty() {
            self.idle.notify_all();
        }
    }

    /// Waits until no command is under way.
    fn quiesce(&self) {
        let mut s = lock(&self.state);
        while !s.commands.is_empty() {
            s = self.idle.wait(s).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An information unit that speaks SRP.
    fn srp(self: &Arc<Self>, o: Origin, iu: &[u8]) {
        match iu[0] {
            srp::LOGIN_REQ => self.login(o, iu),
            srp::CMD => self.command(o, iu),
            srp::TSK_MGMT => self.manage(o, iu),
            // Commands under way are answered all the same.
            srp::I_LOGOUT => {}
            // Nothing else comes from a client.
            _ => self.respond_management(&mut lock(&self.state), o, srp::BAD_FIELDS),
        }
    }

    fn login(&self, o: Origin, iu: &[u8]) {
        let formats = u16::from_be_bytes(be(iu, 24));
        let mut s = lock(&self.state);
        let mut rsp = [0; 52];
        rsp[8..16].copy_from_slice(&o.tag.to_be_bytes());
        if formats & !srp::FORMATS != 0 {
            rsp[0] = srp::LOGIN_REJ;
            // Descriptor formats are not all supported.
            rsp[4..8].copy_from_slice(&0x0001_0004u32.to_be_bytes());
            rsp[24..26].copy_from_slice(&srp::FORMATS.to_be_bytes());
            return self.answer(&mut s, o, &rsp[..32]);
        }
        rsp[0] = srp::LOGIN_RSP;
        rsp[4..8].copy_from_slice(&CREDITS.to_be_bytes());
        rsp[16..20].copy_from_slice(&(IU_LEN as u32).to_be_bytes());
        rsp[20..24].copy_from_slice(&(IU_LEN as u32).to_be_bytes());
        rsp[24..26].copy_from_slice(&srp::FORMATS.to_be_bytes());
        self.answer(&mut s, o, &rsp);
    }

    fn command(self: &Arc<Self>, o: Origin, iu: &[u8]) {
        let lun = be64(iu, 20);
        let id = {
            let mut s = lock(&self.state);
            s.next_id += 1;
            let id = s.next_id;
            s.commands.insert(id, Command { lun, tag: o.tag, aborted: false });
            id
        };
        match self.memory(iu) {
            Ok([from, into]) => {
                let room = (from.len(), into.len());
                let task = Task { cdb: be(iu, 32), into, from };
                let inner = self.clone();
                self.target.execute(lun, task, Box::new(move |a| inner.finish(id, o, room, &a)));
            }
            Err(sense) => self.finish(id, o, (0, 0), &Answer::failed(sense)),
        }
    }

    /// The memory of a command: data out, data in (SRP 5.5).
    fn memory(&self, iu: &[u8]) -> Result<[Pieces; 2], Sense> {
        let (formats, counts) = (iu[5], [iu[6], iu[7]]);
        // Behind the fixed part stand the rest of a long command block, and the descriptors.
        let mut at = 48 + usize::from(iu[31] & !3);
        let mut both = [Pieces::new(self.ram.clone()), Pieces::new(self.ram.clone())];
        for (n, (format, access)) in
            [(formats >> 4, DmaAccess::Read), (formats & 0xf, DmaAccess::Write)].into_iter().enumerate()
        {
            match format {
                0 => {}
                srp::DIRECT => {
                    self.add(&mut both[n], iu, at, 1, access)?;
                    at += 16;
                }
                srp::INDIRECT => {
                    let (table, len) = (be64(iu, at), be32(iu, at + 12) as usize);
                    let (here, count) = (usize::from(counts[n]), len / 16);
                    if count > MAX_DESCRIPTORS {
                        return Err(Sense::TRANSPORT);
                    }
                    if count <= here {
                        self.add(&mut both[n], iu, at + 20, count, access)?;
                    } else {
                        let mut list = vec![0; count * 16];
                        self.dma.read(table, &mut list).map_err(|_| Sense::TRANSPORT)?;
                        self.add(&mut both[n], &list, 0, count, access)?;
                    }
                    at += 20 + here * 16;
                }
                _ => return Err(Sense::BAD_FIELD),
            }
        }
        Ok(both)
    }

    /// Adds what `count` direct descriptors describe.
    fn add(
        &self,
        to: &mut Pieces,
        list: &[u8],
        at: usize,
        count: usize,
        access: DmaAccess,
    ) -> Result<(), Sense> {
        let list = list.get(at..at + count * 16).ok_or(Sense::TRANSPORT)?;
        for d in list.chunks_exact(16) {
            let (ioba, len) = (be64(d, 0), u64::from(be32(d, 12)));
            if to.len() + len > TRANSFER_LIMIT {
                return Err(Sense::TRANSPORT);
            }
            let memory = self.dma.map(ioba, len, access).map_err(|_| Sense::TRANSPORT)?;
            if to.is_empty() {
                *to = memory;
                continue;
            }
            for &(addr, len) in memory.list() {
                to.push(addr, len).map_err(|_| Sense::TRANSPORT)?;
            }
        }
        Ok(())
    }

    /// SRP_TSK_MGMT (SRP 6.7). Answered when what was aborted no longer touches memory.
    fn manage(&self, o: Origin, iu: &[u8]) {
        let (lun, function, tag) = (be64(iu, 20), iu[30], be64(iu, 32));
        let mut s = lock(&self.state);
        let Some(unit) = self.target.unit(lun) else {
            return self.respond_management(&mut s, o, srp::BAD_FIELDS);
        };
        let one = match function {
            srp::ABORT_TASK => true,
            srp::ABORT_TASK_SET | srp::CLEAR_TASK_SET | srp::LUN_RESET => false,
            _ => return self.respond_management(&mut s, o, srp::NOT_SUPPORTED),
        };
        if function == srp::LUN_RESET {
            unit.lun_reset();
        }
        let mut left = Vec::new();
        for (&id, c) in &mut s.commands {
            if c.lun == lun && (!one || c.tag == tag) {
                c.aborted = true;
                left.push(id);
            }
        }
        if left.is_empty() {
            self.respond_management(&mut s, o, srp::COMPLETE);
        } else {
            s.waits.push(Wait { left, origin: o });
        }
    }

    /// A management datagram.
    fn mad(&self, o: Origin, iu: &[u8]) {
        let (kind, len, buffer) = (be32(iu, 0), u16::from_be_bytes(be(iu, 6)), be64(iu, 16));
        let status = match kind {
            mad::ADAPTER_INFO => self.adapter_info(buffer, len.into()),
            mad::CAPABILITIES => self.capabilities(buffer, len.into()),
            mad::FAST_FAIL => Ok(()),
            _ => Err(mad::NOT_SUPPORTED),
        };
        let mut answer = [0; 16];
        answer.copy_from_slice(&iu[..16]);
        answer[4..6].copy_from_slice(&status.err().unwrap_or(0).to_be_bytes());
        self.answer(&mut lock(&self.state), o, &answer);
    }

    /// Who is at the other end.
    fn adapter_info(&self, buffer: u64, len: usize) -> Result<(), u16> {
        let mut d = [0; 148];
        d[..4].copy_from_slice(b"16.a");
        d[8..12].copy_from_slice(b"rhyp");
        d[108..112].copy_from_slice(&1u32.to_be_bytes()); // version of these data
        d[112..116].copy_from_slice(&2u32.to_be_bytes()); // what a Linux server says it is
        d[116..120].copy_from_slice(&MAX_TRANSFER.to_be_bytes()); // of port 0
        self.dma.write(buffer, &d[..len.min(d.len())]).map_err(|_| mad::FAILED)
    }

    /// What of the client's list of capabilities is there: reservations, but no migration.
    fn capabilities(&self, buffer: u64, len: usize) -> Result<(), u16> {
        let mut d = [0; 92];
        let d = d.get_mut(..len).ok_or(mad::FAILED)?;
        self.dma.read(buffer, d).map_err(|_| mad::FAILED)?;
        for (at, there) in [(68, 0u16), (80, 1)] {
            if let Some(support) = d.get_mut(at + 6..at + 8) {
                support.copy_from_slice(&there.to_be_bytes());
            }
        }
        self.dma.write(buffer, d).map_err(|_| mad::FAILED)
    }
}

/// Saved state of a [`Vscsi`]. Commands under way are awaited before it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VscsiState {
    queue: Option<Queue>,
    signal: bool,
    backlog: Vec<[u64; 2]>,
    units: BTreeMap<u64, UnitState>,
}

impl VioDevice for Vscsi {
    fn unit(&self) -> u32 {
        self.0.unit
    }

    fn describe(&self, tree: &mut DeviceTree, vdevice: NodeId) -> NodeId {
        let unit = self.0.unit;
        let node = tree.ensure_node(vdevice, &format!("v-scsi@{unit:x}"));
        tree.set_str(node, "device_type", "vscsi");
        tree.set_str(node, "compatible", "IBM,v-scsi");
        tree.set_u32(node, "reg", unit);
        tree.set_u32s(node, "interrupts", &self.0.line.cells());
        tree.set_u32(node, "ibm,my-drc-index", unit);
        tree.set_str(node, "ibm,loc-code", &format!("V1-C{}", unit & 0xffff));
        let VioWindow { liobn, size } = window(unit);
        let window = [liobn, 0, 0, (size >> 32) as u32, size as u32];
        tree.set_u32s(node, "ibm,my-dma-window", &window);
        tree.set_u32(node, "ibm,#dma-address-cells", 2);
        tree.set_u32(node, "ibm,#dma-size-cells", 2);
        // Disks below it are addressed by 8-byte LUNs.
        tree.set_u32(node, "#address-cells", 2);
        tree.set_u32(node, "#size-cells", 0);
        node
    }

    fn reset(&self) {
        self.0.quiesce();
        *lock(&self.0.state) = State::default();
        self.0.target.reset();
    }

    fn save(&self) -> serde_json::Value {
        self.0.quiesce();
        let Inner { unit: _, line: _, dma: _, ram: _, target, state, idle: _ } = &*self.0;
        let State { queue, signal, next_id: _, commands: _, waits: _, backlog } = &*lock(state);
        let state = VscsiState {
            queue: *queue,
            signal: *signal,
            backlog: backlog.iter().copied().collect(),
            units: target.save(),
        };
        serde_json::to_value(state).unwrap_or_default()
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        let state: VscsiState = serde_json::from_value(state).map_err(|e| e.to_string())?;
        let VscsiState { queue, signal, backlog, units } = state;
        // A message may be on its way past the limit on each processor.
        if backlog.len() > 2 * MOST_UNDER_WAY {
            return Err("too many answers wait".into());
        }
        if queue.is_some_and(|q| !queue_fits(q.at, q.entries.saturating_mul(ENTRY)) || q.next >= q.entries) {
            return Err("an impossible queue".into());
        }
        self.0.target.restore(&units)?;
        let backlog = backlog.into();
        *lock(&self.0.state) = State { queue, signal, backlog, ..State::default() };
        Ok(())
    }

    fn signal(&self, mode: u64) -> Result<(), Rc> {
        let mut s = lock(&self.0.state);
        match mode {
            0 => s.signal = false,
            1 => {
                s.signal = true;
                if !s.backlog.is_empty() {
                    self.0.deliver(&mut s);
                } else if self.0.unread(&s) {
                    self.0.line.pulse();
                }
            }
            _ => return Err(H_PARAMETER),
        }
        Ok(())
    }

    fn register_crq(&self, queue: u64, len: u64) -> Result<(), Rc> {
        let mut s = lock(&self.0.state);
        if s.queue.is_some() {
            return Err(H_RESOURCE);
        }
        if !queue_fits(queue, len) || self.0.dma.map(queue, len, DmaAccess::Write).is_err() {
            return Err(H_PARAMETER);
        }
        s.queue = Some(Queue { at: queue, entries: len / ENTRY, next: 0 });
        s.backlog.clear();
        Ok(())
    }

    fn free_crq(&self) -> Result<(), Rc> {
        let mut s = lock(&self.0.state);
        // What is under way still uses the client's memory.
        if !s.commands.is_empty() {
            return Err(H_BUSY);
        }
        s.queue = None;
        s.signal = false;
        s.backlog.clear();
        Ok(())
    }

    fn send_crq(&self, [high, low]: [u64; 2]) -> Result<(), Rc> {
        let inner = &self.0;
        let b = high.to_be_bytes();
        {
            let mut s = lock(&inner.state);
            if s.queue.is_none() {
                return Err(H_CLOSED);
            }
            if s.commands.len() + s.waits.len() + s.backlog.len() >= MOST_UNDER_WAY {
                return Err(H_DROPPED);
            }
            match (b[0], b[1]) {
                (INIT, 1) => {
                    inner.post(&mut s, [u64::from_be_bytes([INIT, 2, 0, 0, 0, 0, 0, 0]), 0]);
                    return Ok(());
                }
                (INIT, 2) => return Ok(()),
                (PAYLOAD, SRP | MAD) => {}
                _ => return Err(H_PARAMETER),
            }
        }
        // The unit, as long as it says it is.
        let len = usize::from(u16::from_be_bytes([b[6], b[7]])).min(IU_LEN);
        let mut iu = [0; IU_LEN];
        let timeout = u16::from_be_bytes([b[4], b[5]]);
        let mut o = Origin { iu: low, format: b[1], timeout, tag: 0 };
        if inner.dma.read(low, &mut iu[..len]).is_err() {
            inner.post(&mut lock(&inner.state), message(o, ADAPTER_FAIL, 0));
            return Ok(());
        }
        o.tag = be64(&iu, 8);
        if o.format == SRP {
            inner.srp(o, &iu)
        } else {
            inner.mad(o, &iu)
        }
        Ok(())
    }

    fn enable_crq(&self) -> Result<(), Rc> {
        // The other end is always there.
        if lock(&self.0.state).queue.is_some() { Ok(()) } else { Err(H_PARAMETER) }
    }
}

/// Whether these bytes can be a queue: whole pages at a page's start, not many.
fn queue_fits(at: u64, len: u64) -> bool {
    at % 4096 == 0 && len % 4096 == 0 && (4096..=1 << 20).contains(&len) && at <= u64::MAX - len
}

#[cfg(test)]
mod tests;
