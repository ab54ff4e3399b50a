//! A SCSI target: logical units (disks and CD-ROMs) behind any transport (SPC-4, SBC-3, MMC-6, SAM-5).
//!
//! A transport makes a [`Target`] of [`Unit`]s, hands it command blocks with the guest's memory for data in and out,
//! and gets an [`Answer`] when the command has ended: a status, sense data, and how many bytes went each way.

mod inquiry;
mod mmc;
#[cfg(test)]
pub(crate) mod tests;
mod unit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use block::IoError;
use mem::Pieces;

pub use unit::{Kind, Unit, UnitState};

/// Status: the command was carried out.
pub const GOOD: u8 = 0x00;
/// Status: it was not, and the sense data say why.
pub const CHECK_CONDITION: u8 = 0x02;

/// Bytes of sense data in the fixed format.
pub const SENSE_LEN: usize = 18;

/// The well-known logical unit that answers REPORT LUNS (SAM-5 4.7.7.5).
pub const REPORT_LUNS_WLUN: u64 = 0xc101 << 48;

/// Why a command failed: sense key, additional sense code and its qualifier (SPC-4 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sense {
    /// Sense key, 4 bits.
    pub key: u8,
    /// Additional sense code in the high byte, its qualifier in the low one.
    pub code: u16,
}

impl Sense {
    /// Nothing to tell.
    pub const NONE: Sense = Sense { key: 0, code: 0 };
    /// Not ready: no medium.
    pub const NO_MEDIUM: Sense = Sense { key: 2, code: 0x3a00 };
    /// Hardware error: the transport could not reach the guest's memory.
    pub const TRANSPORT: Sense = Sense { key: 4, code: 0x4400 };
    /// Illegal request: operation code.
    pub const BAD_OPCODE: Sense = Sense { key: 5, code: 0x2000 };
    /// Illegal request: address out of range.
    pub const BAD_ADDRESS: Sense = Sense { key: 5, code: 0x2100 };
    /// Illegal request: field in the command block.
    pub const BAD_FIELD: Sense = Sense { key: 5, code: 0x2400 };
    /// Illegal request: no such logical unit.
    pub const NO_UNIT: Sense = Sense { key: 5, code: 0x2500 };
    /// Illegal request: length of a parameter list.
    pub const BAD_LIST_LENGTH: Sense = Sense { key: 5, code: 0x1a00 };
    /// Illegal request: field in a parameter list.
    pub const BAD_LIST: Sense = Sense { key: 5, code: 0x2600 };
    /// Illegal request: removal of the medium is prevented.
    pub const PREVENTED: Sense = Sense { key: 5, code: 0x5302 };
    /// Data protect: cannot be written.
    pub const READ_ONLY: Sense = Sense { key: 7, code: 0x2700 };
    /// Data protect: the host has no room.
    pub const NO_SPACE: Sense = Sense { key: 7, code: 0x2707 };

    /// As fixed-format sense data of a current error (SPC-4 4.5.3).
    pub fn bytes(self) -> [u8; SENSE_LEN] {
        let mut b = [0; SENSE_LEN];
        b[0] = 0x70;
        b[2] = self.key;
        b[7] = (SENSE_LEN - 8) as u8;
        b[12..14].copy_from_slice(&self.code.to_be_bytes());
        b
    }
}

/// Tells the user once that the host failed a disk's request; the guest hears of each.
#[derive(Default)]
pub struct Trouble(AtomicBool);

impl Trouble {
    /// A request has ended like this.
    pub fn tell(&self, result: &Result<(), IoError>) {
        if let Err(e @ (IoError::NoSpace | IoError::Host(_))) = result
            && !self.0.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("a disk's request failed: {e}");
        }
    }
}

/// A command on its way to a logical unit.
pub struct Task {
    /// The command descriptor block, padded with zeros.
    pub cdb: [u8; 16],
    /// Where data for the initiator go; empty for none.
    pub into: Pieces,
    /// Where data from the initiator are; empty for none.
    pub from: Pieces,
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// [`GOOD`] or [`CHECK_CONDITION`].
    pub status: u8,
    /// Why it failed, with [`CHECK_CONDITION`].
    pub sense: Option<Sense>,
    /// Bytes put into [`Task::into`].
    pub read: u64,
    /// Bytes taken from [`Task::from`].
    pub written: u64,
}

impl Answer {
    /// It failed.
    pub fn failed(sense: Sense) -> Self {
        Answer { status: CHECK_CONDITION, sense: Some(sense), read: 0, written: 0 }
    }
}

/// Called once when a command has ended, perhaps before `execute` returns.
pub type Done = Box<dyn FnOnce(Answer) + Send>;

/// The logical units that an initiator reaches through one transport, by their 8-byte addresses.
#[derive(Default)]
pub struct Target {
    units: BTreeMap<u64, Arc<Unit>>,
}

impl Target {
    /// Adds a unit at an address as the transport and REPORT LUNS write it.
    pub fn add(&mut self, lun: u64, unit: Unit) {
        self.units.insert(lun, Arc::new(unit));
    }

    /// The units and their addresses.
    pub fn units(&self) -> impl Iterator<Item = (u64, &Arc<Unit>)> {
        self.units.iter().map(|(&lun, u)| (lun, u))
    }

    /// The unit at an address.
    pub fn unit(&self, lun: u64) -> Option<&Arc<Unit>> {
        self.units.get(&lun)
    }

    /// Carries a command out. LUN 0 and the well-known unit answer REPORT LUNS with all units, even if no unit is there;
    /// any other unit answers for itself, as LUN 0 of a target of its own: initiators that take a part of the address
    /// for the target's number count LUNs from there.
    pub fn execute(&self, lun: u64, task: Task, done: Done) {
        const REPORT_LUNS: u8 = 0xa0;
        let unit = self.unit(lun);
        if task.cdb[0] == REPORT_LUNS && (unit.is_some() || lun == 0 || lun == REPORT_LUNS_WLUN) {
            let all = lun == 0 || lun == REPORT_LUNS_WLUN;
            return done(
                self.report_luns(&task, if all { self.units.keys().copied().collect() } else { vec![0] }),
            );
        }
        match unit {
            Some(unit) => unit.execute(task, done),
            None => done(Answer::failed(Sense::NO_UNIT)),
        }
    }

    fn report_luns(&self, task: &Task, mut list: Vec<u64>) -> Answer {
        let allocation = u32::from_be_bytes([task.cdb[6], task.cdb[7], task.cdb[8], task.cdb[9]]);
        if task.cdb[2] > 2 {
            return Answer::failed(Sense::BAD_FIELD);
        }
        match task.cdb[2] {
            1 => list.clear(),
            // A list must name LUN 0.
            _ if list.is_empty() => list.push(0),
            _ => {}
        }
        let mut data = (list.len() as u32 * 8).to_be_bytes().to_vec();
        data.extend([0; 4]);
        data.extend(list.iter().flat_map(|l| l.to_be_bytes()));
        hand_over(task, &data, u64::from(allocation))
    }

    /// All units back to power-on. No command may be under way.
    pub fn reset(&self) {
        self.units.values().for_each(|u| u.reset(unit::POWER_ON));
    }

    /// Waits until no command is under way.
    pub fn drain(&self) {
        self.units.values().for_each(|u| u.disk().drain());
    }

    /// State of all units.
    pub fn save(&self) -> BTreeMap<u64, UnitState> {
        self.units.iter().map(|(&lun, u)| (lun, u.save())).collect()
    }

    /// Takes saved states over; they must be of these units.
    pub fn restore(&self, states: &BTreeMap<u64, UnitState>) -> Result<(), String> {
        if !states.keys().eq(self.units.keys()) {
            return Err("saved logical units are not those there are".into());
        }
        self.units.values().zip(states.values()).for_each(|(u, s)| u.restore(s));
        Ok(())
    }
}

/// Gives the initiator as much of `data` as it allots and has room for.
fn hand_over(task: &Task, data: &[u8], allocation: u64) -> Answer {
    let len = (data.len() as u64).min(allocation);
    let read = task.into.write(0, &data[..len as usize]) as u64;
    Answer { status: GOOD, sense: None, read, written: 0 }
}

/// Big-endian numbers in command blocks.
fn be16(b: &[u8], at: usize) -> u16 {
    b.get(at..at + 2).map_or(0, |s| s.iter().fold(0, |v, &x| v << 8 | u16::from(x)))
}
fn be32(b: &[u8], at: usize) -> u32 {
    b.get(at..at + 4).map_or(0, |s| s.iter().fold(0, |v, &x| v << 8 | u32::from(x)))
}
fn be64(b: &[u8], at: usize) -> u64 {
    b.get(at..at + 8).map_or(0, |s| s.iter().fold(0, |v, &x| v << 8 | u64::from(x)))
}
