//! A disk whose changes go to a temporary file and are forgotten with it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::libc;

use crate::{Disk, Done, IoError, Op, Raw, SECTOR, refuse};

/// Sectors whose bits stand in one part of the map: 16 MiB.
const PART: u64 = 1 << 15;

/// Which sectors stand in the temporary file, a bit for each; parts of the map are made when they are needed.
struct Map(Vec<OnceLock<Box<[AtomicU64]>>>);

impl Map {
    fn new(sectors: u64) -> Self {
        Map((0..sectors.div_ceil(PART)).map(|_| OnceLock::new()).collect())
    }

    fn has(&self, sector: u64) -> bool {
        let words = self.0.get((sector / PART) as usize).and_then(|p| p.get());
        words.is_some_and(|w| {
            w[(sector % PART / 64) as usize].load(Ordering::Acquire) >> (sector % 64) & 1 != 0
        })
    }

    /// How many of the sectors from `first` to before `end` are alike, and where they stand (true: temporary file).
    fn run(&self, first: u64, end: u64) -> (bool, u64) {
        let which = self.has(first);
        (which, (first..end).take_while(|&s| self.has(s) == which).count() as u64)
    }

    fn add(&self, first: u64, end: u64) {
        for s in first..end {
            if let Some(part) = self.0.get((s / PART) as usize) {
                let words = part.get_or_init(|| (0..PART / 64).map(|_| AtomicU64::new(0)).collect());
                words[(s % PART / 64) as usize].fetch_or(1 << (s % 64), Ordering::AcqRel);
            }
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

/// A disk over another one, which is only read.
pub struct Overlay {
    base: Arc<dyn Disk>,
    top: Raw,
    map: Arc<Map>,
}

impl Overlay {
    /// A disk that starts with what `base` holds. Its changes go to a nameless file in `$TMPDIR`, else `/var/tmp`.
    pub fn new(base: Arc<dyn Disk>) -> std::io::Result<Self> {
        let file = nameless()?;
        file.set_len(base.size())?;
        let map = Arc::new(Map::new(base.size() / SECTOR));
        Ok(Overlay { top: Raw::new(file, false)?, map, base })
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
        self.base.size()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn submit(&self, op: Op, done: Done) {
        if let Err(e) = refuse(&op, self.size(), false) {
            return done(Err(e));
        }
        let sectors = |offset: u64, len: u64| (offset / SECTOR, (offset + len) / SECTOR);
        match op {
            Op::Read { offset, into } => {
                let (first, end) = sectors(offset, into.len());
                let mut parts = Vec::new();
                let mut at = first;
                while at < end {
                    let (top, n) = self.map.run(at, end);
                    let piece = into.slice((at - first) * SECTOR, n * SECTOR);
                    parts.push((top, Op::Read { offset: at * SECTOR, into: piece }));
                    at += n;
                }
                if parts.is_empty() {
                    return done(Ok(()));
                }
                let join = Join::new(parts.len(), done);
                for (top, op) in parts {
                    if top { self.top.submit(op, join.part()) } else { self.base.submit(op, join.part()) }
                }
            }
            Op::Write { offset, ref from } => {
                let (map, (first, end)) = (self.map.clone(), sectors(offset, from.len()));
                self.top.submit(
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
                let (map, (first, end)) = (self.map.clone(), sectors(offset, len));
                self.top.submit(
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
        let mut at = 0;
        while at < out.len() {
            let here = offset + at as u64;
            let n = (SECTOR - here % SECTOR).min((out.len() - at) as u64) as usize;
            let part = &mut out[at..at + n];
            if self.map.has(here / SECTOR) {
                self.top.read_now(here, part)?
            } else {
                self.base.read_now(here, part)?
            }
            at += n;
        }
        Ok(())
    }

    fn drain(&self) {
        self.base.drain();
        self.top.drain();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Model, memory};

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
