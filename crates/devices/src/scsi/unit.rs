//! One logical unit: what each command means for a disk or a CD-ROM.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use block::{Disk, IoError, Op};
use serde::{Deserialize, Serialize};

use super::{Answer, Done, GOOD, Sense, Task, Trouble, be16, be32, be64, hand_over};

/// Unit attention after power-on (SPC-4 5.15).
pub(super) const POWER_ON: u16 = 0x2900;
/// Unit attention after a logical unit reset.
pub(super) const UNIT_RESET: u16 = 0x2903;
/// Unit attention after a new medium.
const MEDIUM_CHANGED: u16 = 0x2800;

/// Most descriptors of one UNMAP, told in the block limits.
pub(super) const MAX_UNMAP_DESCRIPTORS: u32 = 256;
/// Most blocks of one WRITE SAME, told in the block limits: one that the host has to write out takes a moment, no more.
pub(super) const MAX_WRITE_SAME: u64 = 0x8000;

/// What a logical unit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A direct-access block device.
    Disk,
    /// A CD/DVD drive.
    Cdrom,
}

/// A logical unit.
pub struct Unit {
    disk: Arc<dyn Disk>,
    pub(super) kind: Kind,
    pub(super) serial: String,
    /// Additional sense code and qualifier that the next command hears of; 0 for none.
    attention: AtomicU16,
    /// The medium lies in the open tray.
    ejected: AtomicBool,
    /// The initiator forbade to take the medium out.
    prevented: AtomicBool,
    trouble: Arc<Trouble>,
}

/// Saved form of a [`Unit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// What the next command hears of.
    pub attention: u16,
    /// The medium lies in the open tray.
    pub ejected: bool,
    /// The initiator forbade to take the medium out.
    pub prevented: bool,
}

/// What a command comes to.
pub(super) enum Plan {
    /// Nothing more to do.
    Nothing,
    /// Data for the initiator, and how many of them it allots.
    Data(Vec<u8>, u64),
    /// Requests of the disk, one after the other.
    Io { first: Op, then: Vec<Op>, read: u64, written: u64 },
}

impl Plan {
    fn io(first: Op) -> Plan {
        let (read, written) = match &first {
            Op::Read { into, .. } => (into.len(), 0),
            Op::Write { from, .. } => (0, from.len()),
            _ => (0, 0),
        };
        Plan::Io { first, then: Vec::new(), read, written }
    }
}

impl Unit {
    /// A unit; `serial` identifies it among all of the partition, at most 20 ASCII characters.
    pub fn new(disk: Arc<dyn Disk>, kind: Kind, serial: &str) -> Self {
        let serial = serial.chars().filter(char::is_ascii_graphic).take(20).collect();
        Unit {
            disk,
            kind,
            serial,
            attention: POWER_ON.into(),
            ejected: AtomicBool::new(false),
            prevented: AtomicBool::new(false),
            trouble: Arc::default(),
        }
    }

    /// What it stores on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u64 {
        match self.kind {
            Kind::Disk => 512,
            Kind::Cdrom => 2048,
        }
    }

    /// Number of blocks.
    pub fn blocks(&self) -> u64 {
        self.disk.size() / self.block_size()
    }

    /// Whether writing is refused.
    pub fn read_only(&self) -> bool {
        self.kind == Kind::Cdrom || self.disk.read_only()
    }

    /// A logical unit reset by the initiator. Commands under way are the transport's business.
    pub fn lun_reset(&self) {
        self.reset(UNIT_RESET);
    }

    pub(super) fn reset(&self, attention: u16) {
        self.attention.store(attention, Ordering::Relaxed);
        self.prevented.store(false, Ordering::Relaxed);
        if attention == POWER_ON {
            self.ejected.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn save(&self) -> UnitState {
        let Unit { disk: _, kind: _, serial: _, attention, ejected, prevented, trouble: _ } = self;
        UnitState {
            attention: attention.load(Ordering::Relaxed),
            ejected: ejected.load(Ordering::Relaxed),
            prevented: prevented.load(Ordering::Relaxed),
        }
    }

    pub(super) fn restore(&self, state: &UnitState) {
        let &UnitState { attention, ejected, prevented } = state;
        self.attention.store(attention, Ordering::Relaxed);
        self.ejected.store(ejected, Ordering::Relaxed);
        self.prevented.store(prevented, Ordering::Relaxed);
    }

    /// Carries a command out. Commands that the disk carries out may overtake each other.
    pub fn execute(&self, task: Task, done: Done) {
        match self.plan(&task) {
            Err(sense) => done(Answer::failed(sense)),
            Ok(Plan::Nothing) => done(Answer { status: GOOD, sense: None, read: 0, written: 0 }),
            Ok(Plan::Data(data, allocation)) => done(hand_over(&task, &data, allocation)),
            Ok(Plan::Io { first, then, read, written }) => {
                let finish = move |r: Result<(), Sense>| match r {
                    Ok(()) => done(Answer { status: GOOD, sense: None, read, written }),
                    Err(sense) => done(Answer::failed(sense)),
                };
                if then.is_empty() {
                    let (reads, trouble) = (read > 0, self.trouble.clone());
                    let done = move |r: Result<(), IoError>| {
                        trouble.tell(&r);
                        finish(r.map_err(|e| sense_of(e, reads)));
                    };
                    self.disk.submit(first, Box::new(done));
                } else {
                    let mut ops = then;
                    ops.reverse();
                    chain(self.disk.clone(), first, ops, Box::new(finish));
                }
            }
        }
    }

    /// Whether there is a medium.
    fn medium(&self) -> Result<(), Sense> {
        if self.ejected.load(Ordering::Relaxed) { Err(Sense::NO_MEDIUM) } else { Ok(()) }
    }

    /// What a command comes to (SPC-4 chapter 6, SBC-3 chapter 5, MMC-6 chapter 6).
    fn plan(&self, task: &Task) -> Result<Plan, Sense> {
        let c = &task.cdb;
        // INQUIRY and REQUEST SENSE do not wait behind a unit attention.
        if !matches!(c[0], 0x12 | 0x03) {
            let code = self.attention.swap(0, Ordering::Relaxed);
            if code != 0 {
                return Err(Sense { key: 6, code });
            }
        }
        match c[0] {
            0x00 => self.medium().map(|()| Plan::Nothing),
            0x03 => {
                let code = self.attention.swap(0, Ordering::Relaxed);
                let sense = if code != 0 { Sense { key: 6, code } } else { Sense::NONE };
                Ok(Plan::Data(sense.bytes().to_vec(), c[4].into()))
            }
            0x12 => self.inquiry(c),
            0x1a => self.mode_sense(c, false),
            0x5a => self.mode_sense(c, true),
            0x15 | 0x55 => self.mode_select(task),
            // RESERVE and RELEASE: there is one initiator.
            0x16 | 0x17 => Ok(Plan::Nothing),
            0x1b => self.start_stop(c),
            0x1d => self.self_test(c),
            0x1e => {
                self.prevented.store(c[4] & 1 != 0, Ordering::Relaxed);
                Ok(Plan::Nothing)
            }
            0x25 => self.read_capacity(),
            0x9e if c[1] & 0x1f == 0x10 => self.read_capacity_16(c),
            0x08 | 0x0a => {
                let address = u64::from(be32(c, 0) & 0x1f_ffff);
                let count = if c[4] == 0 { 256 } else { u64::from(c[4]) };
                self.transfer(task, address, count, c[0] == 0x0a, 0)
            }
            0x28 | 0x2a => self.transfer(task, be32(c, 2).into(), be16(c, 7).into(), c[0] == 0x2a, c[1]),
            0xa8 | 0xaa => self.transfer(task, be32(c, 2).into(), be32(c, 6).into(), c[0] == 0xaa, c[1]),
            0x88 | 0x8a => self.transfer(task, be64(c, 2), be32(c, 10).into(), c[0] == 0x8a, c[1]),
            0x35 | 0x91 => self.medium().map(|()| Plan::io(Op::Flush)),
            0x2f => self.verify(c[1], be32(c, 2).into(), be16(c, 7).into()),
            0xaf => self.verify(c[1], be32(c, 2).into(), be32(c, 6).into()),
            0x8f => self.verify(c[1], be64(c, 2), be32(c, 10).into()),
            // PRE-FETCH, SEEK: nothing to prepare.
            0x34 | 0x90 | 0x2b => self.medium().map(|()| Plan::Nothing),
            0x42 if self.kind == Kind::Disk => self.unmap(task),
            0x41 => self.write_same(task, be32(c, 2).into(), be16(c, 7).into()),
            0x93 => self.write_same(task, be64(c, 2), be32(c, 10).into()),
            _ if self.kind == Kind::Cdrom => self.cdrom(c),
            _ => Err(Sense::BAD_OPCODE),
        }
    }

    /// The byte range of blocks, which must be on the medium.
    fn range(&self, address: u64, count: u64) -> Result<(u64, u64), Sense> {
        self.medium()?;
        let blocks = self.blocks();
        if count > blocks || address > blocks - count {
            return Err(Sense::BAD_ADDRESS);
        }
        Ok((address * self.block_size(), count * self.block_size()))
    }

    fn writable(&self) -> Result<(), Sense> {
        if self.read_only() { Err(Sense::READ_ONLY) } else { Ok(()) }
    }

    /// READ and WRITE of all lengths; `flags` has protection in its top three bits and FUA in bit 3.
    fn transfer(
        &self,
        task: &Task,
        address: u64,
        count: u64,
        writes: bool,
        flags: u8,
    ) -> Result<Plan, Sense> {
        if flags & 0xe0 != 0 {
            return Err(Sense::BAD_FIELD);
        }
        if writes {
            self.writable()?;
        }
        let (offset, len) = self.range(address, count)?;
        let memory = if writes { &task.from } else { &task.into };
        // Whole blocks that the initiator has memory for.
        let len = len.min(memory.len() / self.block_size() * self.block_size());
        if len == 0 {
            return Ok(Plan::Nothing);
        }
        let memory = if memory.len() == len { memory.clone() } else { memory.slice(0, len) };
        if !writes {
            return Ok(Plan::io(Op::Read { offset, into: memory }));
        }
        let mut plan = Plan::io(Op::Write { offset, from: memory });
        if let (Plan::Io { then, .. }, true) = (&mut plan, flags & 8 != 0) {
            then.push(Op::Flush);
        }
        Ok(plan)
    }

    fn verify(&self, flags: u8, address: u64, count: u64) -> Result<Plan, Sense> {
        // Comparing with data is not offered.
        if flags & 0xe6 != 0 {
            return Err(Sense::BAD_FIELD);
        }
        self.range(address, count).map(|_| Plan::Nothing)
    }

    fn unmap(&self, task: &Task) -> Result<Plan, Sense> {
        self.writable()?;
        let len = u64::from(be16(&task.cdb, 7)).min(task.from.len());
        if len == 0 {
            return Ok(Plan::Nothing);
        }
        if len < 8 || task.cdb[1] & 1 != 0 {
            return Err(if len < 8 { Sense::BAD_LIST_LENGTH } else { Sense::BAD_FIELD });
        }
        let mut list = vec![0; len as usize];
        task.from.read(0, &mut list);
        let descriptors = usize::from(be16(&list, 2)).min(list.len() - 8) / 16;
        if descriptors as u32 > MAX_UNMAP_DESCRIPTORS {
            return Err(Sense::BAD_LIST);
        }
        let (mut ops, mut total) = (Vec::new(), 0);
        for d in list[8..].chunks_exact(16).take(descriptors) {
            let (offset, len) = self.range(be64(d, 0), be32(d, 8).into())?;
            total += len;
            if len > 0 {
                ops.push(Op::Discard { offset, len });
            }
        }
        // The same again and again would only keep the host busy.
        if total > self.disk.size() {
            return Err(Sense::BAD_LIST);
        }
        ops.reverse();
        let Some(first) = ops.pop() else { return Ok(Plan::Nothing) };
        ops.reverse();
        Ok(Plan::Io { first, then: ops, read: 0, written: len })
    }

    /// WRITE SAME: one block, many times.
    fn write_same(&self, task: &Task, address: u64, count: u64) -> Result<Plan, Sense> {
        if self.kind == Kind::Cdrom {
            return Err(Sense::BAD_OPCODE);
        }
        self.writable()?;
        let (flags, size) = (task.cdb[1], self.block_size());
        // Protection, and "as many as there are from here on".
        if flags & 0xe6 != 0 || count == 0 || count > MAX_WRITE_SAME {
            return Err(Sense::BAD_FIELD);
        }
        let (offset, len) = self.range(address, count)?;
        let no_data = task.cdb[0] == 0x93 && flags & 1 != 0;
        let mut block = vec![0; size as usize];
        let mut written = 0;
        if !no_data {
            written = task.from.read(0, &mut block) as u64;
            if written < size {
                return Err(Sense::BAD_FIELD);
            }
        }
        let first = if block.iter().all(|&b| b == 0) {
            Op::WriteZeroes { offset, len, unmap: flags & 8 != 0 }
        } else {
            let mut from = mem::Pieces::new(task.from.ram().clone());
            let one = task.from.slice(0, size);
            // A block in many scraps, many times, would take more memory than the request has.
            if count * one.list().len() as u64 > 2 * MAX_WRITE_SAME {
                return Err(Sense::TRANSPORT);
            }
            for _ in 0..count {
                for &(addr, len) in one.list() {
                    from.push(addr, len).map_err(|_| Sense::TRANSPORT)?;
                }
            }
            Op::Write { offset, from }
        };
        Ok(Plan::Io { first, then: Vec::new(), read: 0, written })
    }

    fn self_test(&self, c: &[u8; 16]) -> Result<Plan, Sense> {
        // Only the default test, which is passed.
        if c[1] & 4 != 0 { Ok(Plan::Nothing) } else { Err(Sense::BAD_FIELD) }
    }

    fn start_stop(&self, c: &[u8; 16]) -> Result<Plan, Sense> {
        let (start, load_eject) = (c[4] & 1 != 0, c[4] & 2 != 0);
        if load_eject && self.kind == Kind::Cdrom && c[4] >> 4 == 0 {
            if !start && self.prevented.load(Ordering::Relaxed) {
                return Err(Sense::PREVENTED);
            }
            let was = self.ejected.swap(!start, Ordering::Relaxed);
            if was && start {
                self.attention.store(MEDIUM_CHANGED, Ordering::Relaxed);
            }
        } else if !start && self.kind == Kind::Disk && !self.read_only() {
            // Stopping writes back what is cached.
            return Ok(Plan::io(Op::Flush));
        }
        Ok(Plan::Nothing)
    }

    fn read_capacity(&self) -> Result<Plan, Sense> {
        self.medium()?;
        let last = self.blocks().saturating_sub(1).min(u64::from(u32::MAX)) as u32;
        let mut data = last.to_be_bytes().to_vec();
        data.extend((self.block_size() as u32).to_be_bytes());
        Ok(Plan::Data(data, 8))
    }

    fn read_capacity_16(&self, c: &[u8; 16]) -> Result<Plan, Sense> {
        self.medium()?;
        let mut data = self.blocks().saturating_sub(1).to_be_bytes().to_vec();
        data.extend((self.block_size() as u32).to_be_bytes());
        data.resize(32, 0);
        // Blocks can be unmapped.
        data[14] = if self.read_only() { 0 } else { 0x80 };
        Ok(Plan::Data(data, be32(c, 10).into()))
    }

    /// Whether the tray is open, for the commands of CD-ROMs.
    pub(super) fn tray_open(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    pub(super) fn need_medium(&self) -> Result<(), Sense> {
        self.medium()
    }
}

/// One request after the other; the first that fails ends it. `then` has the next one last.
fn chain(disk: Arc<dyn Disk>, op: Op, mut then: Vec<Op>, done: Box<dyn FnOnce(Result<(), Sense>) + Send>) {
    let again = disk.clone();
    disk.submit(
        op,
        Box::new(move |r| match (r, then.pop()) {
            (Err(e), _) => done(Err(sense_of(e, false))),
            (Ok(()), None) => done(Ok(())),
            (Ok(()), Some(next)) => chain(again, next, then, done),
        }),
    );
}

fn sense_of(e: IoError, reads: bool) -> Sense {
    match e {
        IoError::OutOfRange => Sense::BAD_ADDRESS,
        IoError::ReadOnly => Sense::READ_ONLY,
        IoError::NoSpace => Sense::NO_SPACE,
        IoError::Unsupported => Sense::BAD_OPCODE,
        // Medium error: unrecovered read, write error.
        IoError::Host(_) => Sense { key: 3, code: if reads { 0x1100 } else { 0x0c00 } },
    }
}
