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

/// Most parts with bits, 256 MiB of them: more than that a guest gets only by touching a huge image everywhere.
const MOST_PARTS: usize = 1 << 16;
/// Most runs of whole parts.
const MOST_RUNS: usize = 1 << 18;

/// Which sectors stand in the temporary file. Parts of the map are made when they are needed and come to an end at a
/// limit, so that its size is that of what was written, whatever the size that an image claims to have.
struct Map {
    known: RwLock<Known>,
    most_parts: usize,
}

#[derive(Default)]
struct Known {
    /// Parts all of whose sectors are in the file: first ones and ends of runs that do not touch each other.
    whole: BTreeMap<u64, u64>,
    /// Other parts, with a bit for each sector.
    mixed: BTreeMap<u64, Part>,
}

/// What is known of a part.
enum About {
    /// This part and those up to here are in the file.
    Whole(u64),
    Mixed(Part),
    Nothing,
}

fn bit(part: &Part, sector: u64) -> bool {
    part[(sector % PART / 64) as usize].load(Ordering::Acquire) >> (sector % 64) & 1 != 0
}

impl Known {
    fn about(&self, n: u64) -> About {
        if let Some((_, &end)) = self.whole.range(..=n).next_back().filter(|r| n < *r.1) {
            return About::Whole(end);
        }
        self.mixed.get(&n).map_or(About::Nothing, |p| About::Mixed(p.clone()))
    }

    fn add_whole(&mut self, mut first: u64, mut end: u64) {
        // Runs that overlap this one or touch it become part of it.
        while let Some((&a, &b)) = self.whole.range(..=end).next_back().filter(|r| *r.1 >= first) {
            (first, end) = (first.min(a), end.max(b));
            self.whole.remove(&a);
        }
        self.whole.insert(first, end);
        let mut behind = self.mixed.split_off(&first);
        self.mixed.append(&mut behind.split_off(&end));
    }
}

impl Default for Map {
    fn default() -> Self {
        Map { known: RwLock::default(), most_parts: MOST_PARTS }
    }
}

impl Map {
    fn about(&self, n: u64) -> About {
        self.known.read().unwrap_or_else(PoisonError::into_inner).about(n)
    }

    fn known(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of the sectors from `first` to before `end` are alike, and where they stand (true: temporary file).
    fn run(&self, first: u64, end: u64) -> (bool, u64) {
        let mut which = None;
        let mut at = first;
        while at < end {
            let about = self.about(at / PART);
            let here = match &about {
                About::Whole(_) => true,
                About::Mixed(part) => bit(part, at),
                About::Nothing => false,
            };
            if *which.get_or_insert(here) != here {
                break;
            }
            let next = (at - at % PART).saturating_add(PART).min(end);
            match about {
                About::Whole(parts) => at = parts.saturating_mul(PART).min(end),
                About::Nothing => at = next,
                About::Mixed(part) => {
                    at += (at..next).take_while(|&s| bit(&part, s) == here).count() as u64;
                    if at < next {
                        break;
                    }
                }
            }
        }
        (which.unwrap_or(false), at - first)
    }

    /// The parts that sectors from `first` to before `end` fill.
    fn filled(first: u64, end: u64) -> std::ops::Range<u64> {
        first.div_ceil(PART)..end / PART
    }

    /// The parts that they share with others, at most two.
    fn shared(first: u64, end: u64) -> impl Iterator<Item = u64> {
        let filled = Self::filled(first, end);
        let (a, b) = (first / PART, end.saturating_sub(1) / PART);
        [Some(a), (b != a).then_some(b)]
            .into_iter()
            .flatten()
            .filter(move |n| first < end && !filled.contains(n))
    }

    /// Makes room for sectors that are to be written.
    fn reserve(&self, first: u64, end: u64) -> Result<(), IoError> {
        let missing = Self::shared(first, end).any(|n| matches!(self.about(n), About::Nothing));
        let filled = Self::filled(first, end);
        if !missing && filled.is_empty() {
            return Ok(());
        }
        let mut known = self.known();
        if !filled.is_empty() && known.whole.len() >= MOST_RUNS {
            return Err(IoError::NoSpace);
        }
        for n in Self::shared(first, end) {
            if matches!(known.about(n), About::Nothing) {
                if known.mixed.len() >= self.most_parts {
                    return Err(IoError::NoSpace);
                }
                known.mixed.insert(n, (0..PART / 64).map(|_| AtomicU64::new(0)).collect());
            }
        }
        Ok(())
    }

    /// Sectors for which room was made stand in the temporary file now.
    fn add(&self, first: u64, end: u64) {
        for n in Self::shared(first, end) {
            // If somebody has filled it meanwhile, nothing is left to do.
            let About::Mixed(part) = self.about(n) else { continue };
            let start = n * PART;
            for s in first.max(start)..end.min(start.saturating_add(PART)) {
                part[(s % PART / 64) as usize].fetch_or(1 << (s % 64), Ordering::AcqRel);
            }
            // Whoever writes one after another fills a part at its end.
            let full = |w: &AtomicU64| w.load(Ordering::Acquire) == u64::MAX;
            if end == start + PART && part.iter().all(full) {
                self.known().add_whole(n, n + 1);
            }
        }
        let filled = Self::filled(first, end);
        if !filled.is_empty() {
            self.known().add_whole(filled.start, filled.end);
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
                if let Err(e) = map.reserve(first, end) {
                    return done(Err(e));
                }
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
                if let Err(e) = map.reserve(first, end) {
                    return done(Err(e));
                }
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
        assert_eq!(disk.layers.map.known().mixed.len(), 2);
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
    fn a_huge_image_costs_little_however_it_is_written_to() {
        let (ram, base) = (memory(), Arc::new(Huge(AtomicUsize::new(0))));
        let disk = Overlay::new(base.clone()).unwrap();
        let sectors = disk.size() / SECTOR;
        let zeros = |first: u64, end: u64| {
            let (offset, len) = (first * SECTOR, (end - first) * SECTOR);
            wait(&disk, Op::WriteZeroes { offset, len, unmap: true })
        };
        // All of it but a sector at either end, in three requests of which the last joins the others.
        zeros(1, sectors / 4).unwrap();
        zeros(sectors / 2, sectors - 1).unwrap();
        zeros(sectors / 4 - 5, sectors / 2 + 5).unwrap();
        {
            let known = disk.layers.map.known();
            assert_eq!(known.whole, BTreeMap::from([(1, sectors / PART - 1)]));
            assert_eq!(known.mixed.keys().copied().collect::<Vec<_>>(), [0, sectors / PART - 1]);
        }
        let map = &disk.layers.map;
        assert_eq!(map.run(0, sectors), (false, 1));
        assert_eq!(map.run(1, sectors), (true, sectors - 2));
        assert_eq!(map.run(sectors - 1, sectors), (false, 1));
        let mut p = Pieces::new(ram.clone());
        p.push(0, 3 * SECTOR).unwrap();
        wait(&disk, Op::Read { offset: 0, into: p.clone() }).unwrap();
        assert_eq!(base.0.load(Ordering::Relaxed), 1);
        // The last sectors of a part, written one after another.
        wait(&disk, Op::Write { offset: 0, from: p }).unwrap();
        zeros(PART / 2, PART).unwrap();
        assert_eq!(disk.layers.map.known().whole, BTreeMap::from([(0, sectors / PART - 1)]));
    }

    #[test]
    fn the_map_ends_at_a_limit() {
        let map = Map { most_parts: 3, ..Map::default() };
        for n in 0..3 {
            map.reserve(2 * n * PART, 2 * n * PART + 1).unwrap();
            map.add(2 * n * PART, 2 * n * PART + 1);
        }
        assert_eq!(map.reserve(PART + 7, PART + 8), Err(IoError::NoSpace));
        // What is known already can be written again, and whole parts take no more than the ends of their run.
        map.reserve(5, 9).unwrap();
        map.add(5, 9);
        map.reserve(PART, 1 << 40).unwrap();
        map.add(PART, 1 << 40);
        let known = map.known();
        assert_eq!((known.whole.len(), known.mixed.len()), (1, 1));
        drop(known);
        assert_eq!((map.run(5, 1 << 40), map.run(9, 1 << 40)), ((true, 4), (false, PART - 9)));
        map.reserve(PART + 7, PART + 8).unwrap();
        assert!(map.reserve(1 << 40, (1 << 40) + 1).is_ok());
        map.reserve(1 << 41, (1 << 41) + 1).unwrap();
        assert_eq!(map.reserve(1 << 42, (1 << 42) + 1), Err(IoError::NoSpace));
    }

    /// Bits, the simple way.
    #[test]
    fn the_map_agrees_with_a_list_of_sectors() {
        let mut rng = crate::testing::Rng::new(3);
        for _ in 0..20 {
            let map = Map::default();
            let mut plain = vec![false; 5 * PART as usize];
            for _ in 0..40 {
                let edge = |r: &mut crate::testing::Rng| match r.below(3) {
                    0 => r.below(6) * PART,
                    1 => (r.below(5) * PART + r.below(3)).min(5 * PART),
                    _ => r.below(5 * PART),
                };
                let (a, b) = (edge(&mut rng), edge(&mut rng));
                let (first, end) = (a.min(b), (a.max(b)).min(a.min(b) + 2 * PART));
                map.reserve(first, end).unwrap();
                map.add(first, end);
                plain[first as usize..end as usize].fill(true);
                let from = rng.below(5 * PART);
                let (which, n) = map.run(from, 5 * PART);
                let rest = &plain[from as usize..];
                assert_eq!(which, rest[0]);
                assert_eq!(n as usize, rest.iter().take_while(|&&x| x == which).count());
            }
        }
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
