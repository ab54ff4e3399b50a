//! A disk's judge: requests at random, compared with bytes in memory.

use std::sync::{Arc, mpsc};

use mem::{GuestRam, Pieces};

use crate::{Disk, IoError, Op, SECTOR};

/// Guest memory for requests.
pub(crate) fn memory() -> Arc<GuestRam> {
    Arc::new(GuestRam::new(4 << 20).unwrap())
}

/// Carries a request out and waits for its end.
pub(crate) fn wait(disk: &dyn Disk, op: Op) -> Result<(), IoError> {
    let (tell, hear) = mpsc::channel();
    disk.submit(op, Box::new(move |r| tell.send(r).unwrap()));
    hear.recv().unwrap()
}

/// Random numbers, the same in each run.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A disk and what must be on it.
pub(crate) struct Model<'a> {
    disk: &'a dyn Disk,
    ram: &'a Arc<GuestRam>,
    pub(crate) bytes: Vec<u8>,
}

impl<'a> Model<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, ram: &'a Arc<GuestRam>, bytes: Vec<u8>) -> Self {
        assert_eq!(disk.size(), bytes.len() as u64);
        Model { disk, ram, bytes }
    }

    fn pieces(&self, rng: &mut Rng, len: u64) -> Pieces {
        let mut p = Pieces::new(self.ram.clone());
        let (mut at, mut left) = (rng.below(4096), len);
        while left > 0 {
            let n = (1 + rng.below(9000)).min(left);
            p.push(at, n).unwrap();
            at += n + rng.below(2) * 64;
            left -= n;
        }
        p
    }

    /// Some requests, each followed by a look at what it did.
    pub(crate) fn work(&mut self, requests: u32, seed: u64) {
        let mut rng = Rng::new(seed);
        let sectors = self.disk.size() / SECTOR;
        for n in 0..requests {
            let first = rng.below(sectors);
            let count = 1 + rng.below((sectors - first).min(200));
            let (offset, len) = (first * SECTOR, count * SECTOR);
            let range = offset as usize..(offset + len) as usize;
            match rng.below(8) {
                0..4 => {
                    let from = self.pieces(&mut rng, len);
                    let data: Vec<u8> = (0..len).map(|i| (i * 7 + n as u64 * 13 + i / 512) as u8).collect();
                    from.write(0, &data);
                    wait(self.disk, Op::Write { offset, from }).unwrap();
                    self.bytes[range].copy_from_slice(&data);
                }
                4 => {
                    let unmap = rng.below(2) != 0;
                    wait(self.disk, Op::WriteZeroes { offset, len, unmap }).unwrap();
                    self.bytes[range].fill(0);
                }
                5 => {
                    wait(self.disk, Op::Discard { offset, len }).unwrap();
                    // As before or zeros: ask.
                    let mut now = vec![1; len as usize];
                    self.disk.read_now(offset, &mut now).unwrap();
                    for (new, old) in now.iter().zip(&mut self.bytes[range]) {
                        assert!(*new == 0 || new == old);
                        *old = *new;
                    }
                }
                6 => wait(self.disk, Op::Flush).unwrap(),
                _ => {
                    let into = self.pieces(&mut rng, len);
                    into.fill(0xee);
                    wait(self.disk, Op::Read { offset, into: into.clone() }).unwrap();
                    let mut got = vec![0; len as usize];
                    into.read(0, &mut got);
                    assert!(got == self.bytes[range], "request {n}: sectors {first}+{count}");
                }
            }
        }
        let mut all = vec![0; self.bytes.len()];
        self.disk.read_now(0, &mut all).unwrap();
        assert!(all == self.bytes);
        let into = self.pieces(&mut rng, SECTOR);
        let beyond = Op::Read { offset: self.disk.size(), into };
        assert_eq!(wait(self.disk, beyond), Err(IoError::OutOfRange));
    }
}
