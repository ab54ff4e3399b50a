//! SCSI host device (5.6) over a [`Target`]: target 0 with as many logical units as it has.

use std::sync::{Arc, Mutex};

use mem::Pieces;
use serde::{Deserialize, Serialize};

use super::{Chain, Link, VirtioDevice, Worker, copy_config};
use crate::lock;
use crate::scsi::{Answer, REPORT_LUNS_WLUN, Target, Task, UnitState};

/// Queues before those for commands: control and events.
const CONTROL: usize = 0;
const FIRST: usize = 2;
/// Descriptors of a queue.
const QUEUE_SIZE: u16 = 256;
/// Most command queues.
const MAX_QUEUES: u16 = 16;
/// Bytes of a command before its command block, and of an answer before its sense data.
const COMMAND_HEAD: u64 = 19;
const ANSWER_HEAD: u64 = 12;
/// Sizes of command block and sense data that drivers begin with, and the largest they may ask for.
const CDB_SIZE: u32 = 32;
const SENSE_SIZE: u32 = 96;
const MAX_CDB: u32 = 256;
const MAX_SENSE: u32 = 252;
/// Most bytes of one command: a chain may name the same memory again and again.
const MAX_TRANSFER: u64 = 256 << 20;
/// Most logical units; their numbers are one byte.
pub const MAX_UNITS: usize = 64;
/// Commands started for one notification; the worker goes on with the rest.
const AT_ONCE: usize = 16;

/// Responses.
mod response {
    pub const OK: u8 = 0;
    pub const BAD_TARGET: u8 = 3;
    pub const FAILURE: u8 = 9;
    /// Of task management: done, refused, no such unit.
    pub const COMPLETE: u8 = 0;
    pub const REJECTED: u8 = 10;
    pub const INCORRECT_LUN: u8 = 12;
}

/// Requests on the control queue.
mod control {
    pub const TASK_MANAGEMENT: u32 = 0;
    pub const QUERY: u32 = 1;
    pub const SUBSCRIBE: u32 = 2;
    /// Task management functions up to this one exist.
    pub const LAST_FUNCTION: u32 = 7;
    pub const LUN_RESET: u32 = 5;
}

/// Address of the `n`-th unit, for [`Target::add`].
pub fn lun(n: u8) -> u64 {
    (n as u64) << 48
}

/// The device.
pub struct Scsi {
    inner: Arc<Inner>,
    queues: u16,
    worker: Worker,
}

struct Inner {
    target: Target,
    link: Mutex<Option<Arc<Link>>>,
    sizes: Mutex<Sizes>,
}

/// What the driver can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sizes {
    cdb: u32,
    sense: u32,
}

const USUAL: Sizes = Sizes { cdb: CDB_SIZE, sense: SENSE_SIZE };

#[derive(Serialize, Deserialize)]
struct ScsiState {
    sizes: Sizes,
    units: Vec<(u64, UnitState)>,
}

/// What a driver's address names: the unit's address, or that there is no such target.
fn address(a: &[u8; 8]) -> Option<u64> {
    match *a {
        [0xc1, 1, ..] => Some(REPORT_LUNS_WLUN),
        [1, 0, high, low, ..] => Some((((high & 0x3f) as u64) << 8 | low as u64) << 48),
        _ => None,
    }
}

impl Scsi {
    /// A device with that many command queues.
    pub fn new(target: Target, queues: u16) -> Self {
        let inner = Arc::new(Inner { target, link: Mutex::default(), sizes: Mutex::new(USUAL) });
        let served = inner.clone();
        let worker = Worker::new("virtio-scsi", move |bits| served.serve_all(bits));
        Scsi { inner, queues: queues.clamp(1, MAX_QUEUES), worker }
    }
}

impl Inner {
    /// The worker's part.
    fn serve_all(&self, bits: u64) {
        for queue in (0..64).filter(|n| bits >> n & 1 != 0) {
            loop {
                // The driver may have gone meanwhile.
                let Some(link) = lock(&self.link).clone() else { return };
                if !self.serve(&link, queue) {
                    break;
                }
            }
        }
    }

    /// Starts what waits in a queue. Answers whether more waits.
    fn serve(&self, link: &Arc<Link>, queue: usize) -> bool {
        for _ in 0..AT_ONCE {
            match link.pop(queue) {
                Some(chain) if queue == CONTROL => self.control(chain),
                Some(chain) => self.command(chain),
                None if !link.want_notify(queue) => return false,
                None => {}
            }
        }
        // Also when nothing is left: the driver has not been asked to notify of what comes next.
        link.want_notify(queue)
    }

    fn command(&self, chain: Chain) {
        let sizes = *lock(&self.sizes);
        let (head, answer) = (COMMAND_HEAD + sizes.cdb as u64, ANSWER_HEAD + sizes.sense as u64);
        let mut bytes = vec![0; head as usize];
        if chain.readable.read(0, &mut bytes) < bytes.len() || chain.writable.len() < answer {
            return chain.complete(0);
        }
        let (into, from) = (rest(&chain.writable, answer), rest(&chain.readable, head));
        let room = into.len() + from.len();
        if room > MAX_TRANSFER {
            return finish(chain, sizes, Err(response::FAILURE), room);
        }
        let mut cdb = [0; 16];
        let n = cdb.len().min(sizes.cdb as usize);
        cdb[..n].copy_from_slice(&bytes[COMMAND_HEAD as usize..][..n]);
        let lun = bytes.first_chunk().and_then(address);
        let Some(lun) = lun else { return finish(chain, sizes, Err(response::BAD_TARGET), room) };
        let done = move |a| finish(chain, sizes, Ok(a), room);
        self.target.execute(lun, Task { cdb, into, from }, Box::new(done));
    }

    /// Task management and notifications; on the worker's thread, which may wait.
    fn control(&self, chain: Chain) {
        let mut b = [0; 24];
        let n = chain.readable.read(0, &mut b);
        let word = |at: usize| u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        let written = match word(0) {
            control::TASK_MANAGEMENT if n == b.len() => {
                let lun = b[8..].first_chunk().and_then(address);
                let answer = match (lun.and_then(|l| self.target.unit(l)), word(4)) {
                    (_, f) if f > control::LAST_FUNCTION => response::REJECTED,
                    (None, _) => response::INCORRECT_LUN,
                    (Some(unit), f) => {
                        // No command is under way any more after this: all have ended by themselves.
                        self.target.drain();
                        if f == control::LUN_RESET {
                            unit.lun_reset();
                        }
                        response::COMPLETE
                    }
                };
                chain.writable.write(0, &[answer])
            }
            // No events are known.
            control::QUERY | control::SUBSCRIBE if n >= 16 => {
                chain.writable.write(0, &[0, 0, 0, 0, response::OK])
            }
            _ => 0,
        };
        chain.complete(written as u32);
    }
}

fn rest(p: &Pieces, from: u64) -> Pieces {
    p.slice(from, p.len() - from)
}

fn finish(chain: Chain, sizes: Sizes, answer: Result<Answer, u8>, room: u64) {
    let mut b = vec![0; (ANSWER_HEAD + sizes.sense as u64) as usize];
    let head = b.len();
    let mut data = 0;
    let residue = match answer {
        Ok(a) => {
            if let Some(sense) = a.sense {
                let sense = sense.bytes();
                let n = sense.len().min(sizes.sense as usize);
                b[..4].copy_from_slice(&(n as u32).to_le_bytes());
                b[ANSWER_HEAD as usize..][..n].copy_from_slice(&sense[..n]);
            }
            b[10] = a.status;
            b[11] = response::OK;
            data = a.read;
            room.saturating_sub(a.read + a.written)
        }
        Err(r) => {
            b[11] = r;
            room
        }
    };
    let residue = u32::try_from(residue);
    if residue.is_err() {
        b[11] = response::FAILURE;
    }
    b[4..8].copy_from_slice(&residue.unwrap_or(u32::MAX).to_le_bytes());
    chain.writable.write(0, &b);
    chain.complete(u32::try_from(head as u64 + data).unwrap_or(u32::MAX));
}

impl VirtioDevice for Scsi {
    fn kind(&self) -> u16 {
        8
    }

    fn class(&self) -> u32 {
        0x01_0000
    }

    fn node_name(&self) -> &'static str {
        "scsi"
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; FIRST + self.queues as usize]
    }

    fn read_config(&self, offset: usize, out: &mut [u8]) {
        let Sizes { cdb, sense } = *lock(&self.inner.sizes);
        let words = [
            self.queues as u32,
            QUEUE_SIZE as u32 - 2,
            // Sectors of one command.
            0x2000,
            QUEUE_SIZE as u32 / 2,
            // Bytes of an event.
            16,
            sense,
            cdb,
            // Channels and targets: one each.
            0,
            MAX_UNITS as u32 - 1,
        ];
        copy_config(&words.map(u32::to_le_bytes).concat(), offset, out);
    }

    fn write_config(&self, _: &Arc<Link>, offset: usize, data: &[u8]) {
        let Some(&word) = data.first_chunk::<4>() else { return };
        let mut s = lock(&self.inner.sizes);
        match (offset, u32::from_le_bytes(word)) {
            (20, n) if n <= MAX_SENSE => s.sense = n,
            (24, n) if n <= MAX_CDB => s.cdb = n,
            _ => {}
        }
    }

    fn start(&self, link: &Arc<Link>) {
        *lock(&self.inner.link) = Some(link.clone());
        self.worker.kick(CONTROL);
        for queue in FIRST..link.queue_count() {
            self.notify(link, queue);
        }
    }

    fn notify(&self, link: &Arc<Link>, queue: usize) {
        if queue == CONTROL || queue >= FIRST && self.inner.serve(link, queue) {
            self.worker.kick(queue);
        }
    }

    fn stop(&self) {
        let Inner { target, link, sizes } = &*self.inner;
        *lock(link) = None;
        *lock(sizes) = USUAL;
        target.reset();
    }

    fn save(&self) -> serde_json::Value {
        let Scsi { inner, queues: _, worker: _ } = self;
        let Inner { target, link: _, sizes } = &**inner;
        let state = ScsiState { sizes: *lock(sizes), units: target.save().into_iter().collect() };
        serde_json::to_value(state).unwrap_or_default()
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        let ScsiState { sizes, units } = serde_json::from_value(state).map_err(|e| e.to_string())?;
        if sizes.cdb > MAX_CDB || sizes.sense > MAX_SENSE {
            return Err("an impossible SCSI host device".into());
        }
        self.inner.target.restore(&units.into_iter().collect())?;
        *lock(&self.inner.sizes) = sizes;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
