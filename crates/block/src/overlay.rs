//! A disk whose changes go to a temporary file and are forgotten with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mem::Pieces;
use nix::libc;

use crate::pool::Pool;
use crate::{Disk, Done, IoError, Op, Raw, SECTOR, refuse};

/// Sectors whose bits stand in one part of the map: 16 MiB.
const PART: u64 = 1 << 15;
/// Most pieces of a read that are asked for one by one; a read of more scraps is put together on a thread of its own.
const MOST_PIECES: usize = 64;
/// Threads for those.
const THREADS: usize = 4;
/// Bytes they put together at once.
const STEP: usize = 1 << 20;

type Part = Arc<[AtomicU64]>;

/// Which sectors stand in the temporary file, a bit for each; parts of the map are made when they are needed, so that
/// its size is that of what was written, whatever the size that an image claims to have.
#[derive(Default)]
struct Map(RwLock<BTreeMap<u64, Part>>);

fn bit(part: &Part, sector: u64) -> bool {
    part[(sector % PART / 64) as usize].load(Ordering::Acquire) >> (sector % 64) & 1 != 0
}

impl Map {
    fn part(&self, n: u64) -> Option<Part> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&n).cloned()
    }

    /// How many of the sectors from `first` to before `end` are alike, and where they stand (true: temporary file).
    fn run(&self, first: u64, end: u64) -> (bool, u64) {
        let which = self.part(first / PART).is_some_and(|p| bit(&p, first));
        let mut at = first;
        while at < end {
            let stop = (at - at % PART).saturating_add(PART).min(end);
            match self.part(at / PART) {
                Some(part) => at += (at..stop).take_while(|&s| bit(&part, s) == which).count() as u64,
                None if which => break,
                None => at = stop,
            }
            if at < stop {
                break;
            }
        }
        (which, at - first)
    }

    fn add(&self, first: u64, end: u64) {
        let mut at = first;
        while at < end {
            let stop = (at - at % PART).saturating_add(PART).min(end);
            let part = self.part(at / PART).unwrap_or_else(|| {
                let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
                let fresh = || (0..PART / 64).map(|_| AtomicU64::new(0)).collect();
                all.entry(at / PART).or_insert_with(fresh).clone()
            });
            for s in at..stop {
                part[(s % PART / 64) as usize].fetch_or(1 << (s % 64), Ordering::AcqRel);
            }
            at = stop;
        }
    }
}

/// One request made of several, as far as they are not done.
struct Join {
    left: AtomicUsize,
    outcome: Mutex<(Result<(), IoError>, Option<Done>)>,
}

impl Join {
    fn new(parts: usize, done: Done) -> Arc<Self> {
        Arc::new(Join { left: AtomicUsize::new(parts), outcome: Mutex::new((Ok(()), Some(done))) })
    }

    fn part(self: &Arc<Self>) -> Done {
        let join = self.clone();
        Box::new(move |r| {
            let mut o = join.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            o.0 = o.0.and(r);
            if join.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                let (result, done) = (o.0, o.1.take());
                drop(o);
                done.into_iter().for_each(|d| d(result));
            }
        })
    }
}

/// What is below, what is above, and which of them holds a sector.
struct Layers {
    base: Arc<dyn Disk>,
    top: Raw,
    map: Arc<Map>,
}

impl Layers {
    fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        let end = offset.checked_add(out.len() as u64).ok_or(IoError::OutOfRange)?;
        let mut at = 0;
        while at < out.len() {
            let here = offset + at as u64;
            let (top, n) = self.map.run(here / SECTOR, end.div_ceil(SECTOR));
            let stop = (here / SECTOR + n).saturating_mul(SECTOR).min(end);
            let part = &mut out[at..(stop - offset) as usize];
            if top {
                self.top.read_now(here, part)?
            } else {
                self.base.read_now(here, part)?
            }
            at = (stop - offset) as usize;
        }
        Ok(())
    }

    /// A read of many scraps.
    fn put_together(&self, offset: u64, into: &Pieces) -> Result<(), IoError> {
        let mut buffer = vec![0; STEP.min(into.len() as usize)];
        let mut done = 0;
        while done < into.len() {
            let n = (into.len() - done).min(buffer.len() as u64);
            let part = &mut buffer[..n as usize];
            self.read_now(offset + done, part)?;
            into.write(done, part);
            done += n;
        }
        Ok(())
    }
}

/// A disk over another one, which is only read.
pub struct Overlay {
    layers: Arc<Layers>,
    pool: Pool,
}

impl Overlay {
    /// A disk that starts with what `base` holds. Its changes go to a nameless file in `$TMPDIR`, else `/var/tmp`.
    pub fn new(base: Arc<dyn Disk>) -> std::io::Result<Self> {
        let file = nameless()?;
        file.set_len(base.size())?;
        let layers = Layers { top: Raw::new(file, false)?, map: Arc::default(), base };
        Ok(Overlay { layers: Arc::new(layers), pool: Pool::new("overlay", THREADS) })
    }
}

/// A temporary file without a name.
fn nameless() -> std::io::Result<File> {
    let given = std::env::var_os("TMPDIR").map(PathBuf::from);
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for dir in given.into_iter().chain(["/var/tmp".into(), "/tmp".into()]) {
        match File::options().read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(&dir) {
            Ok(f) => return Ok(f),
            Err(e) => last = e,
        }
        // Not every file system has nameless files.
        let name = dir.join(format!("rhyp-{}-{:p}", std::process::id(), &last));
        if let Ok(f) = File::options().read(true).write(true).mode(0o600).create_new(true).open(&name) {
            std::fs::remove_file(&name)?;
            return Ok(f);
        }
    }
    Err(last)
}

impl Disk for Overlay {
    fn size(&self) -> u64 {
        self.layers.base.size()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn submit(&self, op: Op, done: Done) {
        if let Err(e) = refuse(&op, self.size(), false) {
            return done(Err(e));
        }
        let sectors = |offset: u64, len: u64| (offset / SECTOR, (offset + len) / SECTOR);
        let Layers { base, top, map } = &*self.layers;
        match op {
            Op::Read { offset, into } => {
                let (first, end) = sectors(offset, into.len());
                let mut parts = Vec::new();
                let mut at = first;
                while at < end && parts.len() < MOST_PIECES {
                    let (top, n) = map.run(at, end);
                    parts.push((top, at, n));
                    at += n;
                }
                if at < end {
                    let layers = self.layers.clone();
                    let read = move || layers.put_together(offset, &into);
                    return self.pool.run(move || {
                        // An image may be damaged in a way that surprises whoever reads it.
                        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
                        done(result.unwrap_or(Err(IoError::Host(libc::EIO))));
                    });
                }
                if parts.is_empty() {
                    return done(Ok(()));
                }
                let join = Join::new(parts.len(), done);
                for (above, at, n) in parts {
                    let into = into.slice((at - first) * SECTOR, n * SECTOR);
                    let op = Op::Read { offset: at * SECTOR, into };
                    if above { top.submit(op, join.part()) } else { base.submit(op, join.part()) }
                }
            }
            Op::Write { offset, ref from } => {
                let (map, (first, end)) = (map.clone(), sectors(offset, from.len()));
                top.submit(
                    op,
                    Box::new(move |r| {
                        if r.is_ok() {
                            map.add(first, end);
                        }
                        done(r);
                    }),
                );
            }
            Op::WriteZeroes { offset, len, .. } => {
                let (map, (first, end)) = (map.clone(), sectors(offset, len));
                top.submit(
                    Op::WriteZeroes { offset, len, unmap: true },
                    Box::new(move |r| {
                        if r.is_ok() {
                            map.add(first, end);
                        }
                        done(r);
                    }),
                );
            }
            // Nothing of it outlives the partition.
            Op::Flush | Op::Discard { .. } => done(Ok(())),
        }
    }

    fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        self.layers.read_now(offset, out)
    }

    fn drain(&self) {
        self.pool.drain();
        self.layers.base.drain();
        self.layers.top.drain();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Model, memory, wait};

    /// A disk of zeros, as large as an image may say it is.
    struct Huge(AtomicUsize);

    impl Disk for Huge {
        fn size(&self) -> u64 {
            1 << 42
        }
        fn read_only(&self) -> bool {
            true
        }
        fn submit(&self, op: Op, done: Done) {
            self.0.fetch_add(1, Ordering::Relaxed);
            if let Op::Read { into, .. } = op {
                into.fill(0);
            }
            done(Ok(()));
        }
        fn read_now(&self, _: u64, out: &mut [u8]) -> Result<(), IoError> {
            out.fill(0);
            Ok(())
        }
        fn drain(&self) {}
    }

    #[test]
    fn scraps_are_not_asked_for_one_by_one_and_the_map_grows_with_what_is_written() {
        let (ram, base) = (memory(), Arc::new(Huge(AtomicUsize::new(0))));
        let disk = Overlay::new(base.clone()).unwrap();
        const START: u64 = (1 << 41) - 512 * SECTOR;
        let pieces = |at: u64, len: u64| {
            let mut p = Pieces::new(ram.clone());
            p.push(at, len).unwrap();
            p
        };
        pieces(0, SECTOR).fill(0x5a);
        for n in (0..1024).step_by(2) {
            wait(&disk, Op::Write { offset: START + n * SECTOR, from: pieces(0, SECTOR) }).unwrap();
        }
        assert_eq!(disk.layers.map.0.read().unwrap().len(), 2);
        let into = pieces(1 << 20, 1024 * SECTOR);
        into.fill(0xee);
        wait(&disk, Op::Read { offset: START, into: into.clone() }).unwrap();
        let mut got = vec![0; 1024 * SECTOR as usize];
        into.read(0, &mut got);
        assert!(got.chunks(512).enumerate().all(|(n, c)| c.iter().all(|&b| b == [0x5a, 0][n % 2])));
        assert_eq!(base.0.load(Ordering::Relaxed), 0);
        // Any bytes, not only whole sectors.
        let mut few = [1; 600];
        disk.read_now(START + 500, &mut few).unwrap();
        assert!(few[..12] == [0x5a; 12] && few[12..524] == [0; 512] && few[524..] == [0x5a; 76]);
        assert!(disk.read_now(u64::MAX - 5, &mut few).is_err());
    }

    #[test]
    fn changes_are_seen_and_the_base_stays() {
        let (ram, base) = (memory(), Arc::new(Raw::new(nameless().unwrap(), true).unwrap()));
        assert_eq!(base.size(), 0);
        let file = nameless().unwrap();
        let bytes: Vec<u8> = (0..64 * 512u32).map(|n| (n / 512 + 1) as u8).collect();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        let base: Arc<dyn Disk> = Arc::new(Raw::new(file, true).unwrap());
        let disk = Overlay::new(base.clone()).unwrap();
        Model::new(&disk, &ram, bytes.clone()).work(400, 1);
        let mut now = vec![0; bytes.len()];
        base.read_now(0, &mut now).unwrap();
        assert!(now == bytes);
    }
}
