//! Block device (5.2) over a [`Disk`].

use std::sync::{Arc, Mutex};

use block::{Disk, IoError, Op, SECTOR};

use super::{Chain, Link, VirtioDevice, Worker, copy_config};
use crate::lock;
use crate::scsi::Trouble;

/// Feature bits.
mod feature {
    pub const SEG_MAX: u64 = 1 << 2;
    pub const RO: u64 = 1 << 5;
    pub const BLK_SIZE: u64 = 1 << 6;
    pub const FLUSH: u64 = 1 << 9;
    pub const TOPOLOGY: u64 = 1 << 10;
    pub const MQ: u64 = 1 << 12;
    pub const DISCARD: u64 = 1 << 13;
    pub const WRITE_ZEROES: u64 = 1 << 14;
}

/// Request types.
mod request {
    pub const IN: u32 = 0;
    pub const OUT: u32 = 1;
    pub const FLUSH: u32 = 4;
    pub const GET_ID: u32 = 8;
    pub const DISCARD: u32 = 11;
    pub const WRITE_ZEROES: u32 = 13;
    /// A bit that drivers of old set in the type (SLOF's still does); it means nothing.
    pub const BARRIER: u32 = 1 << 31;
}

/// Status bytes.
const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

/// Descriptors of a queue.
const QUEUE_SIZE: u16 = 256;
/// Most queues.
const MAX_QUEUES: u16 = 16;
/// Bytes of a request's head, and of a range of discard and write-zeroes.
const HEAD: u64 = 16;
const RANGE: u64 = 16;
/// Bytes of the answer to GET_ID.
const ID_LEN: usize = 20;
/// Most sectors of one discard or write-zeroes.
const MAX_RANGE: u32 = 0x40_0000;
/// Most bytes of one read or write: a chain may name the same memory again and again.
const MAX_TRANSFER: u64 = 256 << 20;
/// Flag of write-zeroes: the range may become a hole.
const UNMAP: u32 = 1;

/// Requests that a processor's thread starts for one notification; the worker goes on with the rest.
const AT_ONCE: usize = 16;

/// The device.
pub struct Blk {
    inner: Arc<Inner>,
    queues: u16,
    worker: Worker,
}

struct Inner {
    disk: Arc<dyn Disk>,
    serial: String,
    link: Mutex<Option<Arc<Link>>>,
    trouble: Arc<Trouble>,
}

impl Blk {
    /// A device with that many queues; `serial` is what it calls itself, 20 bytes at most.
    pub fn new(disk: Arc<dyn Disk>, queues: u16, serial: &str) -> Self {
        let inner = Arc::new(Inner {
            disk,
            serial: serial.to_owned(),
            link: Mutex::default(),
            trouble: Arc::default(),
        });
        let served = inner.clone();
        let worker = Worker::new("virtio-blk", move |bits| served.serve_all(bits));
        Blk { inner, queues: queues.clamp(1, MAX_QUEUES), worker }
    }

    fn config(&self) -> [u8; 60] {
        let mut b = [0; 60];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &(self.inner.disk.size() / SECTOR).to_le_bytes());
        // With an indirect table a request has as many segments as the queue has descriptors, but head and status.
        put(12, &(QUEUE_SIZE as u32 - 2).to_le_bytes());
        put(20, &(SECTOR as u32).to_le_bytes());
        // A physical block is 8 logical ones.
        put(24, &[3, 0]);
        put(34, &self.queues.to_le_bytes());
        put(36, &MAX_RANGE.to_le_bytes());
        put(40, &1u32.to_le_bytes());
        put(44, &8u32.to_le_bytes());
        put(48, &MAX_RANGE.to_le_bytes());
        put(52, &1u32.to_le_bytes());
        put(56, &[1]);
        b
    }
}

impl Inner {
    /// The worker's part.
    fn serve_all(&self, bits: u64) {
        for queue in (0..MAX_QUEUES as usize).filter(|n| bits >> n & 1 != 0) {
            loop {
                // The driver may have gone meanwhile.
                let Some(link) = lock(&self.link).clone() else { return };
                if !self.serve(&link, queue, AT_ONCE) {
                    break;
                }
            }
        }
    }

    /// Starts what waits in a queue, up to so many requests. Answers whether more waits.
    fn serve(&self, link: &Arc<Link>, queue: usize, most: usize) -> bool {
        for _ in 0..most {
            match link.pop(queue) {
                Some(chain) => self.request(chain),
                None if !link.want_notify(queue) => return false,
                None => {}
            }
        }
        // Also when nothing is left: the driver has not been asked to notify of what comes next.
        link.want_notify(queue)
    }

    /// Starts one request.
    fn request(&self, chain: Chain) {
        let mut head = [0; HEAD as usize];
        let room = chain.writable.len();
        if chain.readable.read(0, &mut head) < head.len() || room == 0 {
            // Without a head and a status byte there is nothing to answer.
            return chain.complete(0);
        }
        if room > MAX_TRANSFER || chain.readable.len() > MAX_TRANSFER {
            return finish(chain, IOERR);
        }
        let [k0, k1, k2, k3, _, _, _, _, s @ ..] = head;
        let offset = u64::from_le_bytes(s).checked_mul(SECTOR);
        let op = match (u32::from_le_bytes([k0, k1, k2, k3]) & !request::BARRIER, offset) {
            (request::IN, Some(offset)) => Ok(Op::Read { offset, into: chain.writable.slice(0, room - 1) }),
            (request::OUT, Some(offset)) => {
                let len = chain.readable.len() - HEAD;
                Ok(Op::Write { offset, from: chain.readable.slice(HEAD, len) })
            }
            (request::IN | request::OUT, None) => Err(IOERR),
            (request::FLUSH, _) => Ok(Op::Flush),
            (request::GET_ID, _) => {
                let mut id = [0; ID_LEN];
                let n = self.serial.len().min(ID_LEN);
                id[..n].copy_from_slice(&self.serial.as_bytes()[..n]);
                chain.writable.slice(0, room - 1).write(0, &id);
                Err(OK)
            }
            (request::DISCARD, _) => range(&chain).map(|(offset, len, _)| Op::Discard { offset, len }),
            (request::WRITE_ZEROES, _) => range(&chain).map(|(offset, len, flags)| Op::WriteZeroes {
                offset,
                len,
                unmap: flags & UNMAP != 0,
            }),
            _ => Err(UNSUPP),
        };
        match op {
            Ok(op) => {
                let trouble = self.trouble.clone();
                let done = move |result: Result<(), IoError>| {
                    trouble.tell(&result);
                    finish(chain, status_of(result));
                };
                self.disk.submit(op, Box::new(done));
            }
            Err(status) => finish(chain, status),
        }
    }
}

fn status_of(result: Result<(), IoError>) -> u8 {
    match result {
        Ok(()) => OK,
        Err(IoError::Unsupported) => UNSUPP,
        Err(_) => IOERR,
    }
}

/// The one range of a discard or write-zeroes: offset and length in bytes, flags.
fn range(chain: &Chain) -> Result<(u64, u64, u32), u8> {
    let mut r = [0; RANGE as usize];
    // One range was offered, so there must be one.
    if chain.readable.len() != HEAD + RANGE || chain.readable.read(HEAD, &mut r) < r.len() {
        return Err(IOERR);
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, f @ ..] = r;
    let offset = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]).checked_mul(SECTOR).ok_or(IOERR)?;
    let sectors = u32::from_le_bytes([n0, n1, n2, n3]);
    let flags = u32::from_le_bytes(f);
    if sectors > MAX_RANGE {
        return Err(IOERR);
    }
    if flags & !UNMAP != 0 {
        return Err(UNSUPP);
    }
    Ok((offset, sectors as u64 * SECTOR, flags))
}

fn finish(chain: Chain, status: u8) {
    let len = chain.writable.len();
    chain.writable.slice(len - 1, 1).write(0, &[status]);
    chain.complete(u32::try_from(len).unwrap_or(u32::MAX));
}

impl VirtioDevice for Blk {
    fn kind(&self) -> u16 {
        2
    }

    fn class(&self) -> u32 {
        0x01_0000
    }

    fn node_name(&self) -> &'static str {
        "scsi"
    }

    fn features(&self) -> u64 {
        use feature::*;
        let ro = if self.inner.disk.read_only() { RO } else { DISCARD | WRITE_ZEROES };
        SEG_MAX | BLK_SIZE | FLUSH | TOPOLOGY | MQ | ro
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; self.queues as usize]
    }

    fn read_config(&self, offset: usize, out: &mut [u8]) {
        copy_config(&self.config(), offset, out);
    }

    fn start(&self, link: &Arc<Link>) {
        *lock(&self.inner.link) = Some(link.clone());
        for queue in 0..self.queues as usize {
            self.notify(link, queue);
        }
    }

    fn notify(&self, link: &Arc<Link>, queue: usize) {
        if self.inner.serve(link, queue, AT_ONCE) {
            self.worker.kick(queue);
        }
    }

    fn stop(&self) {
        *lock(&self.inner.link) = None;
    }

    fn save(&self) -> serde_json::Value {
        let Blk { inner, queues: _, worker: _ } = self;
        let Inner { disk: _, serial: _, link: _, trouble: _ } = &**inner;
        serde_json::Value::Null
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        if state.is_null() { Ok(()) } else { Err("a block device has no state of its own".into()) }
    }
}

#[cfg(test)]
mod tests;
