//! The run loop of a processor, and the translation of a block.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arch::{Cpu, Exit};
use interp::Interpreter;
use isa::{Insn, Level, Op, ROWS};

use crate::cache::Table;
use crate::common::{CodeCache, Common};
use crate::counts::Counts;
use crate::emit::{Emit, Source};
use crate::perf::Part;
use crate::thunk::{self, Run, leave, slot};
use crate::{Key, MOST, Options, Stats};

/// How long a processor sleeps until it looks again whether others have left code that is to be forgotten.
const QUIET: Duration = Duration::from_micros(20);

/// The translator of one processor.
pub struct Jit {
    shared: Arc<CodeCache>,
    /// This processor is inside of code, or will look into what is known about it.
    inside: Arc<AtomicBool>,
    table: Table,
    /// See [`slot::JUMPS`].
    jumps: Box<[[u64; 2]]>,
    pub(crate) counts: Counts,
    run: Box<Run>,
    pub(crate) stats: Stats,
    /// Code drops obeyed.
    seen: u64,
    /// Changes of code followed, and the generation of code they belong to.
    followed: u64,
    generation: u64,
    /// Code was dropped, or none was there yet, since translated code ran last: nobody may return to what was noted.
    dropped: bool,
    steps: Interpreter,
}

// SAFETY: the pointer in `run` is only used while `Jit::run` is on the stack; the rest are owned values (all clones
// of the reference-counted pages of `steps` move with it).
unsafe impl Send for Jit {}

impl Drop for Jit {
    fn drop(&mut self) {
        // Also on the way of a panic: others may wait until nobody is inside.
        self.inside.store(false, Ordering::Release);
    }
}

/// Why there is no block yet.
enum Lack {
    /// The page is to be marked as one of code first.
    Mark,
    /// There is no room.
    Room,
}

impl Jit {
    /// A translator with a cache of its own; `None` when the host's processor lacks what emitted code needs, or its
    /// kernel refuses the memory.
    pub fn new(o: &Options) -> Option<Self> {
        CodeCache::new(o).map(Jit::with)
    }

    /// A translator for one more processor of the partition that `shared` is for.
    pub fn with(shared: Arc<CodeCache>) -> Self {
        let mut c = shared.lock();
        let run = Run {
            cpu: std::ptr::null_mut(),
            exit: None,
            panic: None,
            end: 0,
            interpreted: 0,
            by_op: c.options.profile.then(|| Box::new([0; 4096])),
        };
        let (inside, followed, generation) = (c.join(), c.changes(), c.generation);
        drop(c);
        Jit {
            shared,
            inside,
            table: Table::new(),
            jumps: vec![[thunk::NOWHERE, 0]; thunk::JUMPS].into(),
            counts: Counts::new(),
            run: Box::new(run),
            stats: Stats::default(),
            seen: 0,
            followed,
            generation,
            dropped: true,
            steps: Interpreter::default(),
        }
    }

    /// Counters of what this processor did.
    pub fn stats(&self) -> Stats {
        #[allow(unused_mut)]
        let mut s = Stats { interpreted: self.run.interpreted, ..self.stats };
        #[cfg(feature = "tier2")]
        {
            s.region_entries += self.counts.entries();
        }
        s
    }

    /// The operations carried out by the interpreter, most frequent first (with [`Options::profile`]).
    pub fn profile(&self) -> Vec<(&'static str, u64)> {
        let Some(t) = &self.run.by_op else { return Vec::new() };
        let mut v: Vec<_> =
            ROWS.iter().map(|r| (r.mnemonic, t[r.op as usize & 4095])).filter(|x| x.1 != 0).collect();
        v.sort_by_key(|x| std::cmp::Reverse(x.1));
        v
    }

    /// Run until something must be done outside, or about `budget` instructions are done.
    pub fn run(&mut self, cpu: &mut Cpu, budget: u64) -> Exit {
        let end = cpu.retired.saturating_add(budget.min(i64::MAX as u64));
        let shared = self.shared.clone();
        // The exit that is to be linked, and how it was left for.
        let mut from: Option<u32> = None;
        let mut hot = false;
        let mut marked: Option<(u64, u32)> = None;
        loop {
            if cpu.link.exit.load(Ordering::Relaxed) != 0 {
                from = None;
                if let Some(e) = cpu.take_events() {
                    return e;
                }
            }
            if cpu.retired >= end {
                return Exit::Budget;
            }
            if cpu.retired >= cpu.pmu.deadline {
                cpu.pmu_due();
                continue;
            }
            if cpu.stepping() {
                // Such code is interpreted, an instruction (or a little more) at a time.
                from = None;
                match self.steps.run(cpu, 1) {
                    Exit::Budget => continue,
                    e => return e,
                }
            }
            cpu.refetch = false;
            let cia = cpu.st.nia;
            let ra = match cpu.fetch_real(cia) {
                Ok(ra) => ra,
                Err(s) => {
                    from = None;
                    if let Some(e) = cpu.handle_stop(s, cia, cia.wrapping_add(4)) {
                        return e;
                    }
                    continue;
                }
            };
            let key = Key::of(cpu);
            let mut c = shared.lock();
            if c.full.is_some() {
                if !c.forget() {
                    drop(c);
                    from = None;
                    Self::wait_for_others(cpu);
                    continue;
                }
                self.stats.flushes += 1;
            }
            if c.generation != self.generation {
                (from, hot) = (None, false);
                self.renew(&c);
            }
            if cpu.sh.ram.code_drops() != self.seen {
                from = None;
                self.obey_drops(&mut c, cpu);
            }
            #[cfg(feature = "tier2")]
            self.take_regions(&mut c, cpu);
            let n = match c.cache.find(block_key(ra, key)) {
                Some(n) => n,
                None => match self.translate(&mut c, cpu, ra, key, marked) {
                    Ok(n) => n,
                    Err(Lack::Mark) => {
                        drop(c);
                        // A page that somebody keeps storing to: get on with it all the same.
                        if marked.is_some_and(|m| m.0 == ra & !4095) {
                            (from, marked) = (None, None);
                            match self.steps.run(cpu, 16) {
                                Exit::Budget => continue,
                                e => return e,
                            }
                        }
                        marked = Some(Self::mark(cpu, ra & !4095));
                        continue;
                    }
                    Err(Lack::Room) => {
                        c.full.get_or_insert(false);
                        continue;
                    }
                },
            };
            marked = None;
            if std::mem::take(&mut hot) {
                #[cfg(feature = "tier2")]
                self.ask_for_region(&mut c, cpu, n, ra, key);
            }
            self.follow(&c);
            let block = c.cache.block(n);
            let (tag, code) = (block.tag, c.buf.address(block.code as usize));
            match from.take() {
                Some(e) => c.link(e, n, ra & !4095, cpu.sh.ram.host_base() as u64 + (ra & !4095)),
                None => self.table.publish(tag, code),
            }
            #[cfg(feature = "tier2")]
            if let Some(t) = &c.tier2 {
                t.begin(&mut self.counts);
            }
            let way_in = c.buf.address(c.thunks.enter);
            self.inside.store(true, Ordering::Relaxed);
            drop(c);
            let why = self.enter(cpu, way_in, code, key, end.min(cpu.pmu.deadline));
            if why == leave::LOOK || self.run.panic.is_some() {
                self.inside.store(false, Ordering::Release);
                if let Some(p) = self.run.panic.take() {
                    std::panic::resume_unwind(p);
                }
                self.stats.lookups += 1;
                if let Some(e) = self.run.exit.take() {
                    return e;
                }
            } else {
                self.stats.links += 1;
                hot = why & leave::HOT != 0;
                let why = why & !leave::HOT;
                let p = shared.lock().cache.exits[why as usize].point;
                self.inside.store(false, Ordering::Release);
                let to = cpu.st.engine[slot::BASE].wrapping_add(p.rel as i64 as u64);
                cpu.st.nia = if cpu.st.mode.sf { to } else { to & 0xffff_ffff };
                from = Some(why as u32);
            }
        }
    }

    fn enter(&mut self, cpu: &mut Cpu, way_in: u64, code: u64, key: Key, end: u64) -> u64 {
        self.stats.entries += 1;
        self.run.exit = None;
        let left = (end - cpu.retired) as i64;
        let exit_at = thunk::exit_at(cpu);
        let jumps = self.jumps.as_mut_ptr() as u64;
        if std::mem::replace(&mut cpu.st.engine[slot::JUMPS], jumps) != jumps {
            cpu.st.engine[slot::JUMPS_USED] = 1;
            self.dropped = true;
        }
        if std::mem::take(&mut self.dropped) {
            thunk::forget_returns(cpu);
            thunk::forget_jumps(cpu);
        }
        let w = &mut cpu.st.engine;
        w[slot::BASE] = cpu.st.nia & !4095;
        w[slot::EXIT] = exit_at;
        w[slot::RUN] = &raw mut *self.run as u64;
        w[slot::TABLE] = self.table.address();
        w[slot::COUNTS] = self.counts.address();
        w[slot::DROPS] = cpu.sh.ram.code_drops_at() as u64;
        w[slot::SEEN] = self.seen;
        w[slot::HOST] = cpu.sh.ram.host_base() as u64;
        w[slot::EVENTS] = cpu.link.events.as_ptr() as u64;
        thunk::set_mode(cpu);
        debug_assert_eq!(cpu.st.engine[slot::KEY], (key.number() as u64) << 48);
        let p: *mut Cpu = cpu;
        self.run.cpu = p;
        self.run.end = end;
        // SAFETY: `code` is a block of the shared cache made for the mode and page of `cpu`, found while it was locked;
        // since then `inside` keeps its memory; the engine words are set; `cpu` is not used until the return but
        // through `p`.
        let why = unsafe { thunk::enter(way_in, code, p, left) };
        #[cfg(feature = "tier2")]
        self.counts.look_at(cpu.st.engine[slot::USES]);
        let left = cpu.st.engine[slot::LEFT] as i64;
        cpu.retired = end.wrapping_sub(left as u64);
        why
    }

    // ---- what others did ----

    /// Code is to be forgotten, and others are inside of it: have them leave.
    fn wait_for_others(cpu: &Cpu) {
        for (n, v) in cpu.sh.vcpus.iter().enumerate() {
            if n != cpu.index {
                v.exit.store(1, Ordering::SeqCst);
            }
        }
        std::thread::sleep(QUIET);
    }

    /// Everything was forgotten.
    fn renew(&mut self, c: &Common) {
        #[cfg(feature = "tier2")]
        {
            self.stats.region_entries += self.counts.entries();
        }
        self.counts = Counts::new();
        self.table = Table::new();
        self.followed = c.changes();
        self.generation = c.generation;
        self.dropped = true;
    }

    /// Have the table say where blocks begin now.
    fn follow(&mut self, c: &Common) {
        if self.followed == c.changes() {
            return;
        }
        match c.changes_from(self.followed) {
            Some(list) => list.for_each(|(tag, code)| self.table.change(tag, code)),
            None => self.table = Table::new(),
        }
        self.followed = c.changes();
        self.dropped = true;
    }

    /// Forget the blocks of all pages whose code was dropped since last time.
    fn obey_drops(&mut self, c: &mut Common, cpu: &Cpu) {
        let ram = &cpu.sh.ram;
        let now = ram.code_drops();
        let known = now.wrapping_sub(self.seen) < 512;
        let list: Option<Vec<u64>> =
            if known { (self.seen + 1..=now).map(|n| ram.dropped_page(n)).collect() } else { None };
        let list = list.unwrap_or_else(|| c.cache.pages.keys().copied().collect());
        for page in list {
            // Another processor may have obeyed, and what is there is new.
            if c.cache.pages.get(&page).is_some_and(|p| p.version != ram.code_version(page)) {
                self.stats.dropped_pages += 1;
                c.drop_page(page);
            }
        }
        self.seen = now;
        self.dropped = true;
    }

    /// Forget all code and give its memory back, if it is more than `little` bytes; what still runs is made anew. True
    /// if it was, by this processor or another since this one ran last.
    pub fn trim(&mut self, little: usize) -> bool {
        let shared = self.shared.clone();
        let mut c = shared.lock();
        if c.kept() > little {
            // If others are inside of code, it happens as soon as one wants to enter.
            c.full = Some(true);
            self.stats.flushes += c.forget() as u64;
        }
        let much = c.generation != self.generation || c.full.is_some();
        if c.generation != self.generation {
            self.renew(&c);
            self.steps = Interpreter::default();
        }
        much
    }

    /// Mark a page as one of code, before any instruction of it is read: the page, and the version that what is read from
    /// now on belongs to.
    fn mark(cpu: &mut Cpu, page: u64) -> (u64, u32) {
        // A store that is noticed from here on makes another version.
        let version = cpu.sh.ram.code_version(page);
        cpu.mark_code(page);
        (page, version)
    }

    // ---- translation ----

    /// Make the block at real address `ra`. `marked`: a page that was marked just now.
    fn translate(
        &mut self,
        c: &mut Common,
        cpu: &mut Cpu,
        ra: u64,
        key: Key,
        marked: Option<(u64, u32)>,
    ) -> Result<u32, Lack> {
        let page = ra & !4095;
        if !c.has_room() {
            return Err(Lack::Room);
        }
        let version = cpu.sh.ram.code_version(page);
        if c.cache.pages.get(&page).is_some_and(|p| p.version != version) {
            c.drop_page(page);
        }
        if !c.cache.pages.contains_key(&page) {
            if marked != Some((page, version)) {
                return Err(Lack::Mark);
            }
            c.cache.add_page(page, version);
        }
        let t0 = Instant::now();
        let code = c.pos;
        let first = (ra & 4095) as u32;
        #[allow(unused_mut)]
        let mut e = Emit::new(
            c.buf.bytes(),
            code,
            c.thunks,
            key,
            Source { ram: &cpu.sh.ram, page },
            c.cache.exits.len(),
            &mut c.lists,
            c.host,
        );
        #[cfg(feature = "tier2")]
        if let Some(t) = &c.tier2 {
            e.heat = t.heat();
        }
        let mut marks = if c.options.perf_ops { Some(Vec::new()) } else { None };
        e.cold = c.cold;
        let ((end, cold), count, calls) = block(e, cpu, page, first, key, &mut marks);
        debug_assert!(end <= c.buf.cold() && cold <= c.buf.len());
        #[cfg(feature = "tier2")]
        if let Some(t) = &mut c.tier2 {
            t.heated(c.lists.counted);
        }
        let (pos, from) = (end.next_multiple_of(16), c.cold);
        c.pos = pos;
        c.cold = cold;
        c.buf.reach(pos);
        c.buf.reach(cold);
        let tag = (cpu.sh.ram.host_base() as u64 + ra) ^ (key.number() as u64) << 48;
        let n = c.cache.add(block_key(ra, key), page, code, tag, &c.lists.exits);
        self.stats.blocks += 1;
        self.stats.instructions += count as u64;
        self.stats.calls += calls as u64;
        self.stats.bytes += (end - code + cold - from) as u64;
        self.stats.translate_ns += t0.elapsed().as_nanos() as u64;
        if let Some(m) = &mut c.perf {
            match marks {
                None => {
                    m.add(c.buf.address(code), end - code, cpu.st.nia, 1);
                    m.add(c.buf.address(from), cold - from, cpu.st.nia, 1);
                }
                Some(v) => {
                    m.add_parts(c.buf.address(0), &v, end);
                    m.add_parts(c.buf.address(0), &[(from, "seldom", key.mode.pr)], cold);
                }
            }
        }
        #[cfg(feature = "tier2")]
        if c.tier2.as_ref().is_some_and(|t| t.all()) {
            self.ask_for_region(c, cpu, n, ra, key);
        }
        Ok(n)
    }
}

pub(crate) fn block_key(ra: u64, key: Key) -> u64 {
    ra | (key.number() as u64) << 48
}

/// Emit the block that starts at `first` of the page: ends of its code and of its seldom pieces, instructions, calls.
fn block(
    mut e: Emit,
    cpu: &Cpu,
    page: u64,
    first: u32,
    key: Key,
    marks: &mut Option<Vec<Part>>,
) -> ((usize, usize), u32, u32) {
    let ram = &cpu.sh.ram;
    let word = |off: u32| {
        if off >= 4096 {
            return 0;
        }
        let w = ram.load_le(page + off as u64, 4).unwrap_or(0) as u32;
        if key.mode.le { w } else { w.swap_bytes() }
    };
    let (mut off, mut count, mut calls) = (first, 0, 0);
    loop {
        let raw = word(off);
        let i = if raw >> 26 == 1 && key.mode.level >= Level::V3_1 {
            Insn::prefixed(raw, word(off + 4))
        } else {
            Insn::new(raw)
        };
        let op = isa::decode(i, key.mode.level);
        if let Some(v) = marks {
            v.push((e.a.pos, op.row().map_or("?", |r| r.mnemonic), key.mode.pr));
        }
        if !e.instruction(op, i, off) {
            calls += 1;
        }
        count += 1;
        off += i.len() as u32;
        if e.ended || off >= 4096 || count >= MOST || ends(op) {
            break;
        }
    }
    if let Some(v) = marks {
        v.push((e.a.pos, "behind", key.mode.pr));
    }
    e.finish(off);
    ((e.a.pos, e.cold), count, calls)
}

/// Instructions that leave for good.
fn ends(op: Op) -> bool {
    matches!(op, Op::Invalid | Op::Rfid | Op::Rfscv | Op::Scv | Op::Sc | Op::Rfebb)
}
