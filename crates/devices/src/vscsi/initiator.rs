//! The other end of a virtual SCSI cable, for firmware: a client that logs in to whoever serves and reads its disks (SRP,
//! INCITS 365; messages as LoPAR chapter 17 has them). While it does, it stands in the place of the guest's adapter, with
//! memory of its own.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use device::irq::{IrqKind, IrqSink};
use device::{DmaAccess, DmaFault, DmaSpace, IrqLine, VioDevice};
use mem::{GuestRam, Pieces};

use super::{ENTRY, INIT, IU_LEN, PAYLOAD, SRP, be, be32, be64, srp};
use crate::crq::{Crq, Lent};
use crate::lock;
use crate::scsi::{CHECK_CONDITION, SENSE_LEN};

/// Where things stand in the memory of its own: the queue, an information unit, the data of a command.
const QUEUE: u64 = 0;
const QUEUE_LEN: u64 = 4096;
const IU: u64 = QUEUE_LEN;
const DATA: u64 = 2 * QUEUE_LEN;
/// Most bytes of a command: what H_COPY_RDMA moves at a time.
const MOST: usize = 128 << 10;
const MEMORY: u64 = DATA + MOST as u64;
/// How long it sleeps before it looks whether it is to go on.
const PATIENCE: Duration = Duration::from_millis(100);
/// Most units that are looked at.
const MOST_UNITS: usize = 64;
/// How often a command is given again to a unit that has something to tell first.
const TRIES: u32 = 4;
/// Transport events have this first byte.
const TRANSPORT: u8 = 0xff;
/// What the units of a Linux server expect of the first byte of their addresses: SAM's logical unit addressing.
const LOGICAL_UNIT: u64 = 0x80 << 56;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The server has gone. It is worth trying again with a new connection.
    #[error("the server has gone")]
    Gone,
    /// The server does not do it.
    #[error("the server refuses")]
    Refused,
    /// It was not to go on.
    #[error("given up")]
    GivenUp,
}

/// A disk that is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Served {
    /// Its address, as its node in the device tree has it.
    pub lun: u64,
    /// Whether it is a CD-ROM.
    pub cdrom: bool,
    /// Bytes of a block, a power of two from 512 to 4096.
    pub block_size: u32,
    /// Number of blocks.
    pub blocks: u64,
}

/// Memory that the server reaches: all of it, one to one.
struct Memory(Arc<GuestRam>);

impl DmaSpace for Memory {
    fn map(&self, ioba: u64, len: u64, _: DmaAccess) -> Result<Pieces, DmaFault> {
        let mut pieces = Pieces::new(self.0.clone());
        pieces.push(ioba, len).map_err(|_| DmaFault(ioba))?;
        Ok(pieces)
    }
}

/// Rings when there is something in the queue.
#[derive(Default)]
struct Bell(Mutex<bool>, Condvar);

impl Bell {
    fn wait(&self) {
        let rung = self.1.wait_timeout_while(lock(&self.0), PATIENCE, |rung| !*rung);
        *rung.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

impl IrqSink for Bell {
    fn pulse(&self, _: u32) {
        *lock(&self.0) = true;
        self.1.notify_all();
    }
    fn set_level(&self, _: u32, _: bool) {}
}

/// A connection.
pub struct Initiator {
    end: Lent,
    memory: Memory,
    bell: Arc<Bell>,
    /// The entry of the queue that is filled next.
    next: u64,
    tag: u64,
}

impl Initiator {
    /// Takes the place of a client's adapter, waits for a server and logs in. `go_on` is asked now and then whether that
    /// is still wanted, here and below.
    pub fn connect(adapter: &Arc<Crq>, go_on: &dyn Fn() -> bool) -> Result<Self, NoAnswer> {
        let ram = Arc::new(GuestRam::new(MEMORY).map_err(|_| NoAnswer::Refused)?);
        let bell = Arc::new(Bell::default());
        let line = IrqLine::new(0, IrqKind::Msi, bell.clone());
        let end = Crq::lend(adapter, line, Arc::new(Memory(ram.clone())));
        let mut me = Initiator { end, memory: Memory(ram), bell, next: 0, tag: 0 };
        let queue = me.end.signal(1).and_then(|()| me.end.register_crq(QUEUE, QUEUE_LEN));
        // Nobody there yet: whoever comes says so.
        if queue.is_ok() {
            let _ = me.end.send_crq([u64::from_be_bytes([INIT, 1, 0, 0, 0, 0, 0, 0]), 0]);
        }
        loop {
            let [high, _] = me.receive(go_on)?;
            match high.to_be_bytes() {
                [INIT, 1, ..] => {
                    let reply = [u64::from_be_bytes([INIT, 2, 0, 0, 0, 0, 0, 0]), 0];
                    me.end.send_crq(reply).map_err(|_| NoAnswer::Gone)?;
                    break;
                }
                [INIT, 2, ..] => break,
                _ => {}
            }
        }
        me.log_in(go_on)?;
        Ok(me)
    }

    fn log_in(&mut self, go_on: &dyn Fn() -> bool) -> Result<(), NoAnswer> {
        let mut iu = [0; 64];
        iu[0] = srp::LOGIN_REQ;
        iu[16..20].copy_from_slice(&(IU_LEN as u32).to_be_bytes());
        iu[24..26].copy_from_slice(&srp::FORMATS.to_be_bytes());
        let rsp = self.exchange(&mut iu, go_on)?;
        if rsp[0] == srp::LOGIN_RSP { Ok(()) } else { Err(NoAnswer::Refused) }
    }

    /// The next message that is not about somebody who has gone.
    fn receive(&mut self, go_on: &dyn Fn() -> bool) -> Result<[u64; 2], NoAnswer> {
        loop {
            if !go_on() {
                return Err(NoAnswer::GivenUp);
            }
            let at = QUEUE + self.next * ENTRY;
            let mut bytes = [0; ENTRY as usize];
            self.memory.read(at, &mut bytes).map_err(|_| NoAnswer::Gone)?;
            if bytes[0] != 0 {
                self.memory.write(at, &[0]).map_err(|_| NoAnswer::Gone)?;
                self.next = (self.next + 1) % (QUEUE_LEN / ENTRY);
                if bytes[0] == TRANSPORT {
                    return Err(NoAnswer::Gone);
                }
                return Ok([be64(&bytes, 0), be64(&bytes, 8)]);
            }
            self.bell.wait();
        }
    }

    /// Sends an information unit, whose tag is set here, and waits for the answer to it.
    fn exchange(&mut self, iu: &mut [u8], go_on: &dyn Fn() -> bool) -> Result<[u8; IU_LEN], NoAnswer> {
        self.tag += 1;
        iu[8..16].copy_from_slice(&self.tag.to_be_bytes());
        self.memory.write(IU, iu).map_err(|_| NoAnswer::Gone)?;
        let [a, b] = (iu.len() as u16).to_be_bytes();
        let message = [u64::from_be_bytes([PAYLOAD, SRP, 0, 0, 0, 0, a, b]), IU];
        self.end.send_crq(message).map_err(|_| NoAnswer::Gone)?;
        loop {
            let [high, _] = self.receive(go_on)?;
            let [PAYLOAD, SRP, _, status, ..] = high.to_be_bytes() else { continue };
            let mut rsp = [0; IU_LEN];
            self.memory.read(IU, &mut rsp).map_err(|_| NoAnswer::Gone)?;
            if status != 0 {
                return Err(NoAnswer::Refused);
            }
            if be64(&rsp, 8) == self.tag {
                return Ok(rsp);
            }
        }
    }

    /// Carries out a command that reads `len` bytes at most into [`DATA`].
    fn command(
        &mut self,
        lun: u64,
        cdb: [u8; 16],
        len: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), NoAnswer> {
        for _ in 0..TRIES {
            let mut iu = [0; 64];
            iu[0] = srp::CMD;
            iu[20..28].copy_from_slice(&lun.to_be_bytes());
            iu[32..48].copy_from_slice(&cdb);
            if len != 0 {
                (iu[5], iu[7]) = (srp::DIRECT, 1);
                iu[48..56].copy_from_slice(&DATA.to_be_bytes());
                iu[60..64].copy_from_slice(&(len as u32).to_be_bytes());
            }
            let rsp = self.exchange(&mut iu, go_on)?;
            match (rsp[0], rsp[19]) {
                (srp::RSP, 0) => return Ok(()),
                // Somebody resets, or the medium is new: that is said once.
                (srp::RSP, CHECK_CONDITION) if sense_key(&rsp) == Some(UNIT_ATTENTION) => {}
                _ => return Err(NoAnswer::Refused),
            }
        }
        Err(NoAnswer::Refused)
    }

    /// What a command read.
    fn data<const N: usize>(&self) -> [u8; N] {
        let mut data = [0; N];
        // Its own memory is there.
        let _ = self.memory.read(DATA, &mut data);
        data
    }

    /// The disks and CD-ROMs with a medium that there are, by address.
    pub fn units(&mut self, go_on: &dyn Fn() -> bool) -> Result<Vec<Served>, NoAnswer> {
        const LIST: usize = 8 + 8 * MOST_UNITS;
        let mut cdb = [0; 16];
        cdb[0] = REPORT_LUNS;
        cdb[6..10].copy_from_slice(&(LIST as u32).to_be_bytes());
        self.command(LOGICAL_UNIT, cdb, LIST, go_on)?;
        let list = self.data::<LIST>();
        let count = (be32(&list, 0) as usize / 8).min(MOST_UNITS);
        let mut luns: Vec<u64> = (1..=count).map(|n| be64(&list, 8 * n) | LOGICAL_UNIT).collect();
        luns.sort_unstable();
        luns.dedup();
        let mut units = Vec::new();
        for lun in luns {
            match self.unit(lun, go_on) {
                Ok(unit) => units.extend(unit),
                // Something else than a disk, or one without a medium.
                Err(NoAnswer::Refused) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(units)
    }

    fn unit(&mut self, lun: u64, go_on: &dyn Fn() -> bool) -> Result<Option<Served>, NoAnswer> {
        let mut cdb = [0; 16];
        (cdb[0], cdb[4]) = (INQUIRY, 36);
        self.command(lun, cdb, 36, go_on)?;
        let cdrom = match self.data::<1>()[0] {
            DISK => false,
            CDROM => true,
            _ => return Ok(None),
        };
        let mut cdb = [0; 16];
        cdb[0] = READ_CAPACITY_10;
        self.command(lun, cdb, 8, go_on)?;
        let capacity = self.data::<8>();
        let (mut last, mut block_size) = (u64::from(be32(&capacity, 0)), be32(&capacity, 4));
        if last == u64::from(u32::MAX) {
            let mut cdb = [0; 16];
            (cdb[0], cdb[1], cdb[13]) = (SERVICE_ACTION_IN, READ_CAPACITY_16, 32);
            self.command(lun, cdb, 32, go_on)?;
            let capacity = self.data::<12>();
            (last, block_size) = (be64(&capacity, 0), be32(&capacity, 8));
        }
        let sane = block_size.is_power_of_two() && (512..=4096).contains(&block_size);
        let blocks = last.checked_add(1).filter(|&n| sane && n.checked_mul(block_size.into()).is_some());
        Ok(blocks.map(|blocks| Served { lun, cdrom, block_size, blocks }))
    }

    /// Reads whole blocks from `block` on; `out` has as many bytes.
    pub fn read(
        &mut self,
        unit: &Served,
        block: u64,
        out: &mut [u8],
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), NoAnswer> {
        let size = unit.block_size as usize;
        let mut at = block;
        for part in out.chunks_mut(MOST) {
            let count = part.len() / size;
            let mut cdb = [0; 16];
            cdb[0] = READ_16;
            cdb[2..10].copy_from_slice(&at.to_be_bytes());
            cdb[10..14].copy_from_slice(&(count as u32).to_be_bytes());
            if let Ok(short) = u32::try_from(at) {
                // CD-ROMs know no other.
                cdb = [0; 16];
                cdb[0] = READ_10;
                cdb[2..6].copy_from_slice(&short.to_be_bytes());
                cdb[7..9].copy_from_slice(&(count as u16).to_be_bytes());
            }
            self.command(unit.lun, cdb, part.len(), go_on)?;
            self.memory.read(DATA, part).map_err(|_| NoAnswer::Gone)?;
            at += count as u64;
        }
        Ok(())
    }
}

/// Commands (SPC, SBC, MMC) and what they tell.
const INQUIRY: u8 = 0x12;
const READ_CAPACITY_10: u8 = 0x25;
const READ_10: u8 = 0x28;
const READ_16: u8 = 0x88;
const SERVICE_ACTION_IN: u8 = 0x9e;
const READ_CAPACITY_16: u8 = 0x10;
const REPORT_LUNS: u8 = 0xa0;
const DISK: u8 = 0;
const CDROM: u8 = 5;
const UNIT_ATTENTION: u8 = 6;

/// The sense key in a response, if there is sense data in the fixed format.
fn sense_key(rsp: &[u8; IU_LEN]) -> Option<u8> {
    let sense = be::<SENSE_LEN>(rsp, 36);
    (rsp[18] & srp::SENSE_VALID != 0 && sense[0] & 0x7e == 0x70).then_some(sense[2] & 0xf)
}

#[cfg(test)]
mod tests;
