//! Pages that several partitions have, kept once.
//!
//! A [`Scan`] looks through the memory of a partition that has little to do. Pages of zeroes go back to the host; a page
//! whose bytes are in the [`Pool`] already, or were seen elsewhere, becomes a private mapping of the pool's page: the
//! host gives whoever writes to it a copy. Between the comparison and the new mapping nobody may write, so the pages are
//! read-only for that moment (see [`crate::freeze`]).

use std::collections::HashMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::freeze::{Claim, Freeze};
use crate::{GuestRam, PAGE_SHIFT, PAGE_SIZE};

/// A page that is the partition's own.
const OWN: u32 = u32::MAX;

/// Pages of a step of a [`Scan`].
const STEP: usize = 512;

/// Most pages of a pool: 16 GiB.
const MOST: usize = 1 << 22;

/// log2 of the entries of the table of hashes that were seen once.
const ONCE_BITS: u32 = 20;

const PAGE: usize = PAGE_SIZE as usize;
type Page = [u8; PAGE];

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for the bytes of a page. Equal numbers only make it worth comparing pages.
fn hash(page: &Page) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut lanes = [1u64, 2, 3, 4];
    for piece in page.chunks_exact(32) {
        for (lane, word) in lanes.iter_mut().zip(piece.chunks_exact(8)) {
            let w = u64::from_le_bytes(word.try_into().unwrap_or_default());
            *lane = (*lane ^ w).wrapping_mul(K).rotate_left(29);
        }
    }
    lanes.iter().fold(0, |h, l| (h ^ l ^ l >> 31).wrapping_mul(K).rotate_left(31))
}

/// The pages that partitions share.
pub struct Pool {
    file: std::fs::File,
    state: Mutex<State>,
    /// Mappings of the host beyond which nothing more is shared.
    most_maps: usize,
}

#[derive(Default)]
struct State {
    /// How many guest pages are mappings of each page; 0: it is free.
    uses: Vec<u32>,
    hashes: Vec<u64>,
    free: Vec<u32>,
    by_hash: HashMap<u64, u32>,
    /// Hashes that were seen in this round, by their low bits.
    once: Vec<u32>,
    /// Mappings of the host that sharing made.
    maps: usize,
    shared: Shared,
}

/// What a pool holds, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// Pages kept.
    pub kept: u64,
    /// Guest pages that are mappings of them.
    pub mapped: u64,
}

impl Pool {
    /// An empty pool.
    pub fn new() -> std::io::Result<Arc<Self>> {
        // SAFETY: memfd_create with a valid C string; the returned descriptor is owned by us alone.
        let fd = unsafe {
            let fd = libc::memfd_create(c"rhyp-shared".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return Err(std::io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let file = std::fs::File::from(fd);
        file.set_len((MOST * PAGE) as u64)?;
        let most = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let most: usize = most.ok().and_then(|s| s.trim().parse().ok()).unwrap_or(1 << 16);
        Ok(Arc::new(Pool { file, state: Mutex::default(), most_maps: most / 2 }))
    }

    /// What it holds.
    pub fn shared(&self) -> Shared {
        lock(&self.state).shared
    }

    /// A round through all partitions begins: what was seen once in the last one does not count any more.
    pub fn new_round(&self) {
        lock(&self.state).once = vec![0; 1 << ONCE_BITS];
    }

    fn punch(&self, page: u32) {
        let flags = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let at = libc::off_t::from(page) << PAGE_SHIFT;
        // SAFETY: our own descriptor; nobody maps the page any more.
        unsafe { libc::fallocate(self.file.as_raw_fd(), flags, at, PAGE as libc::off_t) };
    }

    /// Keeps a page, for one guest page; `None` when there is no room.
    fn add(&self, page: &Page, hash: u64) -> Option<u32> {
        let mut s = lock(&self.state);
        let n = match s.free.pop() {
            Some(n) => n,
            None if s.uses.len() < MOST => {
                s.uses.push(0);
                s.hashes.push(0);
                s.uses.len() as u32 - 1
            }
            None => return None,
        };
        if self.file.write_all_at(page, u64::from(n) << PAGE_SHIFT).is_err() {
            s.free.push(n);
            return None;
        }
        s.uses[n as usize] = 1;
        s.shared = Shared { kept: s.shared.kept + 1, mapped: s.shared.mapped + 1 };
        s.hashes[n as usize] = hash;
        s.by_hash.insert(hash, n);
        Some(n)
    }

    /// The page with these bytes, for one guest page more.
    fn find(&self, page: &Page, hash: u64) -> Option<u32> {
        let n = {
            let mut s = lock(&self.state);
            let n = s.by_hash.get(&hash).copied()?;
            s.uses[n as usize] += 1;
            s.shared.mapped += 1;
            n
        };
        // Nobody frees it now.
        let mut there = [0; PAGE];
        if self.file.read_exact_at(&mut there, u64::from(n) << PAGE_SHIFT).is_ok() && there == *page {
            return Some(n);
        }
        self.release(n);
        None
    }

    /// One guest page fewer is a mapping of a page. What nobody maps is gone.
    fn release(&self, page: u32) {
        let mut s = lock(&self.state);
        s.shared.mapped -= 1;
        s.uses[page as usize] -= 1;
        if s.uses[page as usize] == 0 {
            s.shared.kept -= 1;
            let hash = s.hashes[page as usize];
            if s.by_hash.get(&hash) == Some(&page) {
                s.by_hash.remove(&hash);
            }
            // Nobody takes it anew before it is empty.
            self.punch(page);
            s.free.push(page);
        }
    }
}

impl State {
    /// Whether the hash was seen in this round already; now it was.
    fn seen(&mut self, hash: u64) -> bool {
        let mark = (hash >> 32) as u32 | 1;
        let slot = self.once.get_mut(hash as usize & ((1 << ONCE_BITS) - 1));
        slot.is_some_and(|s| std::mem::replace(s, mark) == mark)
    }
}

/// What of a partition's memory is in a pool.
#[derive(Default)]
pub(crate) struct Places {
    pool: Option<Arc<Pool>>,
    /// The pool's page for each of the partition's, or [`OWN`]; empty: all are its own.
    of: Vec<u32>,
    /// Somebody outside maps the memory: everything stays in its file.
    lent: bool,
    /// Stores wait while pages are frozen.
    claim: Option<Claim>,
}

impl Places {
    /// How often one mapping ends and the next one begins.
    fn maps(of: &[u32]) -> usize {
        let ends = |w: &&[u32]| (w[0] != OWN || w[1] != OWN) && w[1] != w[0].wrapping_add(1);
        of.windows(2).filter(ends).count()
    }

    /// Note that a page is where it is; `place` was counted already.
    fn set(&mut self, page: usize, place: u32) {
        let old = std::mem::replace(&mut self.of[page], place);
        if let Some(pool) = self.pool.as_ref().filter(|_| old != OWN) {
            pool.release(old);
        }
    }

    fn is_shared(&self, page: usize) -> bool {
        self.of.get(page).is_some_and(|p| *p != OWN)
    }
}

impl GuestRam {
    /// Map the file again over `pages`, all of whose bytes it has.
    fn map_file(&self, pages: std::ops::Range<usize>, prot: libc::c_int) {
        let (at, len) = (pages.start * PAGE, pages.len() * PAGE);
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: whole pages inside our own mapping are replaced by the same pages of the file that was there first.
        let m = unsafe {
            libc::mmap(self.base.add(at).cast(), len, prot, flags, self.fd.as_raw_fd(), at as libc::off_t)
        };
        if m == libc::MAP_FAILED {
            // Memory that a guest has cannot go missing: there is no way on.
            give_up("a partition's memory cannot be mapped");
        }
    }

    fn punch(&self, pages: std::ops::Range<usize>) {
        let flags = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (at, len) = (pages.start * PAGE, pages.len() * PAGE);
        // SAFETY: our own descriptor; a host that cannot keeps the pages, which are not reached any more or zero.
        unsafe {
            libc::fallocate(self.fd.as_raw_fd(), flags, at as libc::off_t, len as libc::off_t);
        }
    }

    /// Writes what the guest has in a shared page to the file, and maps that; false if the host has no room.
    fn take_back(&self, places: &mut Places, page: usize, bytes: &Page, prot: libc::c_int) -> bool {
        let at = (page * PAGE) as libc::off_t;
        // SAFETY: a write of a local array to our own descriptor.
        let n = unsafe { libc::pwrite(self.fd.as_raw_fd(), bytes.as_ptr().cast(), PAGE, at) };
        let whole = n == PAGE as isize;
        if whole {
            self.map_file(page..page + 1, prot);
            places.set(page, OWN);
        }
        whole
    }

    /// Before a range is given back or the whole memory is cleared: none of it is shared any more, and what was
    /// shared reads as zeroes. True if something was.
    pub(crate) fn forget_shared(&self, addr: u64, len: u64) -> bool {
        let mut any = false;
        let mut places = lock(&self.places);
        let pages = (addr >> PAGE_SHIFT) as usize..((addr + len) >> PAGE_SHIFT) as usize;
        for page in pages {
            if places.is_shared(page) {
                self.map_file(page..page + 1, libc::PROT_READ | libc::PROT_WRITE);
                places.set(page, OWN);
                any = true;
            }
        }
        any
    }

    /// Somebody outside is about to map the memory: all of it is in its file from here on.
    pub(crate) fn lend(&self) {
        let mut places = lock(&self.places);
        places.lent = true;
        let shared: Vec<usize> = (0..places.of.len()).filter(|&n| places.is_shared(n)).collect();
        for page in shared {
            let Some(_frozen) = Freeze::new(self, page..page + 1) else { continue };
            let mut bytes = [0; PAGE];
            if self.read((page * PAGE) as u64, &mut bytes).is_ok() {
                self.take_back(&mut places, page, &bytes, libc::PROT_READ);
            }
        }
    }

    /// The next bytes of the file from `page` on that are no hole, in pages.
    fn data(&self, page: usize) -> std::ops::Range<usize> {
        let fd = self.fd.as_raw_fd();
        // SAFETY: plain system calls on our own descriptor, whose offset nobody uses.
        let (from, to) = unsafe {
            let from = libc::lseek(fd, (page * PAGE) as libc::off_t, libc::SEEK_DATA);
            if from < 0 {
                return usize::MAX..usize::MAX;
            }
            (from, libc::lseek(fd, from, libc::SEEK_HOLE))
        };
        let to = if to < 0 { from + PAGE as libc::off_t } else { to };
        from as usize / PAGE..(to as usize).div_ceil(PAGE)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for n in 0..self.of.len() {
            self.set(n, OWN);
        }
    }
}

/// What is to be done with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    /// It is zero.
    Release,
    /// The pool has one of that hash.
    Share(u64),
    /// One of that hash was seen elsewhere.
    Keep(u64),
    /// It was shared and was written to.
    TakeBack,
}

/// What a step of a [`Scan`] did, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Looked at.
    pub looked: u64,
    /// Of zeroes, given back.
    pub released: u64,
    /// Shared from now on.
    pub shared: u64,
    /// The scan came to the end of the memory; the next step begins anew.
    pub end: bool,
}

/// A way through one partition's memory, again and again.
pub struct Scan {
    ram: Arc<GuestRam>,
    pool: Arc<Pool>,
    next: usize,
    /// Hashes of the last time round, to tell pages that stay as they are.
    hashes: Vec<u32>,
}

impl Scan {
    /// Begins; `None` if the memory cannot be shared.
    pub fn new(ram: Arc<GuestRam>, pool: Arc<Pool>) -> Option<Self> {
        let pages = (ram.size() >> PAGE_SHIFT) as usize;
        let mut places = lock(&ram.places);
        let ready = !places.lent && places.pool.is_none();
        if ready && places.claim.is_none() {
            let at = ram.host_base() as usize;
            places.claim = Claim::new(at..at + ram.size() as usize);
        }
        let ready = ready && places.claim.is_some();
        if ready {
            places.pool = Some(pool.clone());
            places.of = vec![OWN; pages];
        }
        drop(places);
        ready.then(|| Scan { ram, pool, next: 0, hashes: vec![0; pages] })
    }

    /// Looks at the next pages.
    pub fn step(&mut self) -> Step {
        let ram = self.ram.clone();
        let mut places = lock(&ram.places);
        let first = self.next;
        let last = (first + STEP).min(self.hashes.len());
        self.next = if last == self.hashes.len() { 0 } else { last };
        let mut done = Step { end: self.next == 0, ..Step::default() };
        if places.lent {
            return done;
        }
        ram.huge.calm_down(first as u64 * PAGE_SIZE);
        let plans = self.look(&places, first..last, &mut done);
        let (Some(from), Some(to)) = (plans.first(), plans.last()) else { return done };
        let range = from.0..to.0 + 1;
        let around = range.start.saturating_sub(1)..(range.end + 1).min(places.of.len());
        let before = Places::maps(&places.of[around.clone()]);
        if let Some(_frozen) = Freeze::new(&ram, range) {
            self.carry_out(&mut places, &plans, &mut done);
        }
        let after = Places::maps(&places.of[around]);
        let mut s = lock(&self.pool.state);
        s.maps = (s.maps + after).saturating_sub(before);
        done
    }

    /// What there is to do. Nothing is certain yet: the guest may run.
    fn look(
        &mut self,
        places: &Places,
        pages: std::ops::Range<usize>,
        done: &mut Step,
    ) -> Vec<(usize, Plan)> {
        let mut plans = Vec::new();
        let mut data = 0..0;
        let mut bytes = [0; PAGE];
        let mut page = pages.start;
        while page < pages.end {
            let n = page;
            let place = places.of[n];
            if place == OWN && n >= data.end {
                // A hole would be filled by being looked at.
                data = self.ram.data(n);
            }
            if place == OWN && n < data.start {
                self.hashes[n] = 0;
                page += 1;
                continue;
            }
            page += 1;
            done.looked += 1;
            if self.ram.read((n * PAGE) as u64, &mut bytes).is_err() {
                break;
            }
            if bytes == [0; PAGE] {
                plans.push((n, Plan::Release));
                continue;
            }
            let h = hash(&bytes);
            let mut pool = lock(&self.pool.state);
            if place != OWN && pool.hashes[place as usize] == h {
                continue;
            }
            let mark = h as u32 | 1;
            let stable = std::mem::replace(&mut self.hashes[n], mark) == mark;
            let room = pool.maps < self.pool.most_maps;
            let plan = match pool.by_hash.contains_key(&h) {
                _ if !stable || !room => None,
                true => Some(Plan::Share(h)),
                false => pool.seen(h).then_some(Plan::Keep(h)),
            };
            plans.extend(plan.or((place != OWN).then_some(Plan::TakeBack)).map(|p| (n, p)));
        }
        plans
    }

    /// Does it, where it is still right: nobody writes now.
    fn carry_out(&self, places: &mut Places, plans: &[(usize, Plan)], done: &mut Step) {
        let mut bytes = [0; PAGE];
        // Neighbours are done at once: pages of zeroes; first page, first page of the pool, count.
        let mut zeroes = 0..0;
        let mut run: (usize, u32, usize) = (0, 0, 0);
        for &(n, plan) in plans {
            if self.ram.read((n * PAGE) as u64, &mut bytes).is_err() {
                break;
            }
            if plan == Plan::Release && bytes == [0; PAGE] {
                if zeroes.end != n {
                    self.release(places, zeroes, done);
                    zeroes = n..n;
                }
                zeroes.end = n + 1;
                continue;
            }
            if places.is_shared(n) && !self.ram.take_back(places, n, &bytes, libc::PROT_READ) {
                continue;
            }
            let h = hash(&bytes);
            let place = match plan {
                Plan::Share(expected) if h == expected => self.pool.find(&bytes, h),
                Plan::Keep(expected) if h == expected => {
                    self.pool.find(&bytes, h).or_else(|| self.pool.add(&bytes, h))
                }
                _ => None,
            };
            let Some(q) = place else { continue };
            places.set(n, q);
            if run.0 + run.2 != n || run.1 + run.2 as u32 != q {
                self.share(places, run, done);
                run = (n, q, 0);
            }
            run.2 += 1;
        }
        self.share(places, run, done);
        self.release(places, zeroes, done);
    }

    fn release(&self, places: &mut Places, pages: std::ops::Range<usize>, done: &mut Step) {
        if pages.is_empty() {
            return;
        }
        done.released += pages.len() as u64;
        if pages.clone().any(|n| places.is_shared(n)) {
            self.ram.map_file(pages.clone(), libc::PROT_READ);
            pages.clone().for_each(|n| places.set(n, OWN));
        }
        self.ram.punch(pages);
    }

    /// Maps pages of the pool over pages that have the same bytes, and are noted as shared already.
    fn share(&self, places: &mut Places, (first, from, count): (usize, u32, usize), done: &mut Step) {
        if count == 0 {
            return;
        }
        let (len, at) = (count * PAGE, libc::off_t::from(from) << PAGE_SHIFT);
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // Writable at once: a host that allows no more private memory of that kind says so here, where there is another
        // way, and not when the pages are made writable again.
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: whole pages inside the partition's mapping, frozen, are replaced by pages of the same bytes; whoever
        // writes to them from now on gets a copy from the host.
        let m = unsafe {
            let to = self.ram.base.add(first * PAGE).cast();
            libc::mmap(to, len, prot, flags, self.pool.file.as_raw_fd(), at)
        };
        if m == libc::MAP_FAILED {
            self.ram.map_file(first..first + count, libc::PROT_READ);
            (first..first + count).for_each(|n| places.set(n, OWN));
            return;
        }
        done.shared += count as u64;
        self.ram.punch(first..first + count);
    }
}

/// Ends the process with its reason.
fn give_up(why: &str) -> ! {
    eprintln!("rhyp: {why}: {}", std::io::Error::last_os_error());
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::Pieces;

    const PAGES: usize = 1100;
    const SIZE: u64 = (PAGES as u64 * PAGE_SIZE).next_multiple_of(1 << 16);

    fn ram() -> Arc<GuestRam> {
        Arc::new(GuestRam::new(SIZE).unwrap())
    }

    /// Bytes that the host keeps for a memory's own file.
    fn kept(ram: &GuestRam) -> u64 {
        // SAFETY: a zeroed structure is a valid one to be filled.
        let s = unsafe {
            let mut s: libc::stat = std::mem::zeroed();
            assert_eq!(libc::fstat(ram.fd.as_raw_fd(), &mut s), 0);
            s
        };
        s.st_blocks as u64 * 512
    }

    fn rounds(pool: &Arc<Pool>, scans: &mut [Scan], n: usize) -> Step {
        let mut sum = Step::default();
        for _ in 0..n {
            pool.new_round();
            for s in scans.iter_mut() {
                loop {
                    let d = s.step();
                    (sum.released, sum.shared) = (sum.released + d.released, sum.shared + d.shared);
                    if d.end {
                        break;
                    }
                }
            }
        }
        sum
    }

    fn bytes(ram: &GuestRam) -> Vec<u8> {
        let mut v = vec![0; SIZE as usize];
        ram.read(0, &mut v).unwrap();
        v
    }

    /// A small generator of numbers.
    struct Dice(u64);
    impl Dice {
        fn roll(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) % n
        }
    }

    #[test]
    fn what_is_alike_is_kept_once_and_stays_what_it_is() {
        let pool = Pool::new().unwrap();
        let rams = [ram(), ram(), ram()];
        for (k, r) in rams.iter().enumerate() {
            for n in 0..600u64 {
                r.fill(n * PAGE_SIZE, PAGE_SIZE, 1).unwrap();
                r.store_le(n * PAGE_SIZE + 8, n, 8).unwrap();
            }
            r.fill(600 * PAGE_SIZE, 100 * PAGE_SIZE, 0).unwrap();
            r.fill(1000 * PAGE_SIZE, PAGE_SIZE, k as u8 + 5).unwrap();
        }
        let before: Vec<_> = rams.iter().map(|r| bytes(r)).collect();
        let mut scans: Vec<_> = rams.iter().map(|r| Scan::new(r.clone(), pool.clone()).unwrap()).collect();
        assert!(Scan::new(rams[0].clone(), pool.clone()).is_none(), "one scan a memory");
        // Looking at holes fills them.
        rounds(&pool, &mut scans, 1);
        let done = rounds(&pool, &mut scans, 2);
        assert_eq!(done.shared, 3 * 600);
        assert_eq!(pool.shared(), Shared { kept: 600, mapped: 1800 });
        for (r, b) in rams.iter().zip(&before) {
            assert_eq!(kept(r), PAGE_SIZE, "the page that only it has");
            assert!(bytes(r) == *b);
        }
        rounds(&pool, &mut scans, 1);
        let maps = lock(&pool.state).maps;
        assert!((3..12).contains(&maps), "{maps} mappings");
        // Who writes has a page of its own.
        rams[1].store_le(5 * PAGE_SIZE + 8, 77, 8).unwrap();
        assert_eq!(rams[0].load_le(5 * PAGE_SIZE + 8, 8), Ok(5));
        assert_eq!(rams[1].load_le(5 * PAGE_SIZE + 8, 8), Ok(77));
        rounds(&pool, &mut scans, 1);
        assert_eq!(pool.shared(), Shared { kept: 600, mapped: 1799 });
        assert_eq!(rams[1].load_le(5 * PAGE_SIZE + 8, 8), Ok(77));
        // What was written back to what it was is shared again.
        rams[1].store_le(5 * PAGE_SIZE + 8, 5, 8).unwrap();
        rounds(&pool, &mut scans, 2);
        assert_eq!(pool.shared(), Shared { kept: 600, mapped: 1800 });
        // What is given back, cleared or lent is no longer shared.
        rams[0].discard(0, 1 << 16).unwrap();
        assert!(bytes(&rams[0])[..1 << 16].iter().all(|b| *b == 0));
        rams[1].clear();
        assert!(bytes(&rams[1]).iter().all(|b| *b == 0));
        assert_eq!(pool.shared(), Shared { kept: 600, mapped: 1184 });
        rams[2].fd();
        assert!(bytes(&rams[2]) == before[2]);
        assert!(kept(&rams[2]) >= 601 * PAGE_SIZE);
        assert_eq!(pool.shared(), Shared { kept: 584, mapped: 584 });
        assert_eq!(scans[2].step().looked, 0);
        drop((scans, rams));
        assert_eq!(pool.shared(), Shared::default());
    }

    /// The host counts private pages that may be written. One that allows no more of them gets fewer shared pages, and no
    /// partition loses any. In a process of its own: the limit would hit other tests.
    #[test]
    fn a_host_that_allows_no_more_private_memory_shares_less() {
        const INSIDE: &str = "RHYP_TEST_LITTLE_PRIVATE_MEMORY";
        if std::env::var_os(INSIDE).is_none() {
            let name = "share::tests::a_host_that_allows_no_more_private_memory_shares_less";
            let mut inside = std::process::Command::new(std::env::current_exe().unwrap());
            let out = inside.args(["--exact", name, "--test-threads=1"]).env(INSIDE, "1").output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            return;
        }
        let pool = Pool::new().unwrap();
        let rams = [ram(), ram()];
        for r in &rams {
            (0..PAGES as u64).for_each(|n| r.store_le(n * PAGE_SIZE, 1 + n, 8).unwrap());
        }
        let before: Vec<_> = rams.iter().map(|r| bytes(r)).collect();
        let mut scans: Vec<_> = rams.iter().map(|r| Scan::new(r.clone(), pool.clone()).unwrap()).collect();
        rounds(&pool, &mut scans, 1);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmData:")).unwrap();
        let used: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        let limit = libc::rlimit { rlim_cur: (used + 1024) << 10, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: a plain call with a valid structure.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) }, 0);
        // Not with a new round, whose table is larger than what is left.
        (0..3).for_each(|_| scans.iter_mut().for_each(|s| while !s.step().end {}));
        // SAFETY: as above.
        unsafe {
            libc::setrlimit(libc::RLIMIT_DATA, &libc::rlimit { rlim_cur: libc::RLIM_INFINITY, ..limit })
        };
        let shared = pool.shared().mapped;
        assert!(shared < 2 * PAGES as u64, "{shared} pages are shared in spite of the limit");
        for (r, b) in rams.iter().zip(&before) {
            assert!(bytes(r) == *b);
            (0..PAGES as u64).for_each(|n| r.store_le(n * PAGE_SIZE, 7, 8).unwrap());
        }
    }

    #[test]
    fn many_mappings_are_never_made() {
        let pool = Arc::new(Pool { most_maps: 10, ..Arc::into_inner(Pool::new().unwrap()).unwrap() });
        let rams = [ram(), ram()];
        for (r, step) in rams.iter().zip([7u64, 11]) {
            for n in 0..1000u64 {
                r.store_le(n * PAGE_SIZE, n * step % 1000 + 1, 8).unwrap();
            }
        }
        let before: Vec<_> = rams.iter().map(|r| bytes(r)).collect();
        let mut scans: Vec<_> = rams.iter().map(|r| Scan::new(r.clone(), pool.clone()).unwrap()).collect();
        rounds(&pool, &mut scans, 4);
        let maps = lock(&pool.state).maps;
        assert!(maps > 10 && maps <= 10 + 2 * STEP, "{maps}: a step ends what it began");
        assert!(rams.iter().zip(&before).all(|(r, b)| bytes(r) == *b));
    }

    /// Stores of all kinds go on while everything is being shared: none is lost, and none is seen elsewhere.
    #[test]
    fn writers_notice_nothing() {
        const EACH: usize = 6000;
        let pool = Pool::new().unwrap();
        let rams = [ram(), ram()];
        for r in &rams {
            for n in 0..PAGES as u64 {
                r.store_le(n * PAGE_SIZE + 2048, 1 + n / 3, 8).unwrap();
            }
        }
        let mut scans: Vec<_> = rams.iter().map(|r| Scan::new(r.clone(), pool.clone()).unwrap()).collect();
        let stop = AtomicBool::new(false);
        let file = tempfile();
        let shared = std::thread::scope(|s| {
            let scanner = s.spawn(|| {
                let mut most = 0;
                while !stop.load(Ordering::SeqCst) {
                    rounds(&pool, &mut scans, 1);
                    most = most.max(pool.shared().mapped);
                }
                most
            });
            let writers: Vec<_> = (0..4usize)
                .map(|k| {
                    let (ram, file) = (&rams[k % 2], &file);
                    // Two writers a memory, each with words of its own in every page.
                    let word = 64 * (k as u64 / 2);
                    s.spawn(move || {
                        let mut model = vec![0u64; PAGES];
                        let mut dice = Dice(k as u64);
                        for turn in 0..EACH {
                            let page = dice.roll(PAGES as u64);
                            let at = page * PAGE_SIZE + word;
                            let old = model[page as usize];
                            assert_eq!(ram.load_le(at, 8), Ok(old), "turn {turn} of writer {k}");
                            // Mostly back to what makes the page like others.
                            let new = if old == 0 { dice.roll(3) } else { 0 };
                            match dice.roll(3) {
                                0 => ram.store_le(at, new, 8).unwrap(),
                                1 => assert_eq!(ram.cas_le(at, old, new, 8), Ok(true)),
                                _ => {
                                    let mut p = Pieces::new(ram.clone());
                                    p.push(at, 8).unwrap();
                                    let n =
                                        p.read_from_file(std::os::fd::AsFd::as_fd(file), 8 * new).unwrap();
                                    assert_eq!(n, 8);
                                }
                            }
                            model[page as usize] = new;
                        }
                        model
                    })
                })
                .collect();
            let models: Vec<_> = writers.into_iter().map(|w| w.join().unwrap()).collect();
            stop.store(true, Ordering::SeqCst);
            let most = scanner.join().unwrap();
            for (k, model) in models.iter().enumerate() {
                for (n, v) in model.iter().enumerate() {
                    let at = n as u64 * PAGE_SIZE + 64 * (k as u64 / 2);
                    assert_eq!(rams[k % 2].load_le(at, 8), Ok(*v));
                }
            }
            most
        });
        for r in &rams {
            for n in 0..PAGES as u64 {
                assert_eq!(r.load_le(n * PAGE_SIZE + 2048, 8), Ok(1 + n / 3));
            }
        }
        // Those that are quiet now are alike but for the few words that differ.
        rounds(&pool, &mut scans, 3);
        assert!(pool.shared().mapped.max(shared) > 1000, "{:?} after {shared}", pool.shared());
    }

    /// A file of the numbers 0, 1, 2.
    fn tempfile() -> std::fs::File {
        // SAFETY: memfd_create with a valid C string; the returned descriptor is owned by us alone.
        let fd = unsafe { libc::memfd_create(c"numbers".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: as above.
        let file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        for n in 0..3u64 {
            file.write_all_at(&n.to_le_bytes(), 8 * n).unwrap();
        }
        file
    }
}
