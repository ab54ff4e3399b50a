//! The run loop, the translation of a block and the links between blocks.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering;
use std::time::Instant;

use arch::{Cpu, Exit};
use interp::Interpreter;
use isa::{Insn, Level, Op, ROWS};

use crate::asm::Asm;
use crate::buf::CodeBuf;
use crate::cache::Cache;
use crate::emit::{Emit, ExitPoint, Lists, Source};
use crate::perf::{Part, PerfMap};
use crate::thunk::{self, Run, Thunks, leave, slot};
use crate::{Key, MOST, Options, Stats};

/// Code bytes that one block never exceeds.
const BLOCK_ROOM: usize = 128 << 10;

/// The translator of one processor.
pub struct Jit {
    pub(crate) buf: CodeBuf,
    pub(crate) pos: usize,
    /// Where pieces that seldom run go, in the buffer's other half.
    cold: usize,
    /// Where blocks begin, behind the common pieces.
    start: usize,
    pub(crate) thunks: Thunks,
    pub(crate) cache: Cache,
    pub(crate) lists: Lists,
    run: Box<Run>,
    pub(crate) stats: Stats,
    /// Code drops obeyed.
    seen: u64,
    /// Code was dropped, or none was there yet, since translated code ran last: nobody may return to what was noted.
    pub(crate) dropped: bool,
    pub(crate) perf: Option<PerfMap>,
    /// The map names operations rather than addresses.
    perf_ops: bool,
    #[cfg(feature = "tier2")]
    pub(crate) tier2: Option<Box<crate::tier2::Regions>>,
    steps: Interpreter,
    pub(crate) bmi2: bool,
    pub(crate) avx: bool,
    pub(crate) crypto: bool,
}

// SAFETY: the pointer in `run` is only used while `Jit::run` is on the stack; the rest are owned values (all clones
// of the reference-counted pages of `steps` move with it).
unsafe impl Send for Jit {}

impl Jit {
    /// A translator with an empty cache; `None` when the host's processor lacks what emitted code needs, or its
    /// kernel refuses the memory.
    pub fn new(o: &Options) -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("sse4.2")
            && std::arch::is_x86_feature_detected!("ssse3")
            && std::arch::is_x86_feature_detected!("popcnt")
            && std::arch::is_x86_feature_detected!("lzcnt")
            && std::arch::is_x86_feature_detected!("bmi1");
        if !has {
            return None;
        }
        let len = o.code_bytes.max(4 * BLOCK_ROOM).next_multiple_of(1 << 16).min(1 << 30);
        let mut buf = match CodeBuf::new(len) {
            Ok(b) => b,
            Err(e) => {
                tracing::warn!("no memory for translated code: {e}");
                return None;
            }
        };
        let mut a = Asm { buf: buf.bytes(), pos: 0 };
        let thunks = thunk::emit(&mut a);
        let start = a.pos;
        let run = Run {
            cpu: std::ptr::null_mut(),
            exit: None,
            panic: None,
            end: 0,
            interpreted: 0,
            by_op: o.profile.then(|| Box::new([0; 4096])),
        };
        Some(Jit {
            cold: buf.cold(),
            buf,
            pos: start,
            start,
            thunks,
            cache: Cache::new(),
            lists: Lists::default(),
            run: Box::new(run),
            stats: Stats::default(),
            seen: 0,
            dropped: true,
            perf: if o.perf_map || o.perf_ops { PerfMap::open() } else { None },
            perf_ops: o.perf_ops,
            #[cfg(feature = "tier2")]
            tier2: crate::tier2::Regions::new(o.tier2).map(Box::new),
            steps: Interpreter::default(),
            bmi2: std::arch::is_x86_feature_detected!("bmi2"),
            avx: std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma"),
            crypto: std::arch::is_x86_feature_detected!("aes")
                && std::arch::is_x86_feature_detected!("pclmulqdq"),
        })
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        #[allow(unused_mut)]
        let mut s = Stats { interpreted: self.run.interpreted, ..self.stats };
        #[cfg(feature = "tier2")]
        if let Some(t) = &self.tier2 {
            s.region_entries = t.entries();
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
        let mut from: Option<u32> = None;
        let mut hot = false;
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
            if cpu.sh.ram.code_drops() != self.seen {
                from = None;
                self.obey_drops(cpu);
            }
            #[cfg(feature = "tier2")]
            self.take_regions(cpu);
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
            let n = match self.cache.find(block_key(ra, key)) {
                Some(n) => n,
                None => match self.translate(cpu, ra, key) {
                    Some(n) => n,
                    // The cache was emptied, or the page changed: look around again.
                    None => {
                        from = None;
                        continue;
                    }
                },
            };
            if std::mem::take(&mut hot) {
                #[cfg(feature = "tier2")]
                self.ask_for_region(cpu, n, ra, key);
            }
            let code = self.buf.address(self.cache.block(n).code as usize);
            match from.take() {
                Some(e) => self.link(e, n, ra & !4095, cpu.sh.ram.host_base() as u64 + (ra & !4095)),
                None => self.cache.publish(n, code),
            }
            let why = self.enter(cpu, code, key, end.min(cpu.pmu.deadline));
            if let Some(p) = self.run.panic.take() {
                std::panic::resume_unwind(p);
            }
            if why == leave::LOOK {
                self.stats.lookups += 1;
                if let Some(e) = self.run.exit.take() {
                    return e;
                }
            } else {
                self.stats.links += 1;
                hot = why & leave::HOT != 0;
                let why = why & !leave::HOT;
                let p = self.cache.exits[why as usize].point;
                let to = cpu.st.engine[slot::BASE].wrapping_add(p.rel as i64 as u64);
                cpu.st.nia = if cpu.st.mode.sf { to } else { to & 0xffff_ffff };
                from = Some(why as u32);
            }
        }
    }

    fn enter(&mut self, cpu: &mut Cpu, code: u64, key: Key, end: u64) -> u64 {
        self.stats.entries += 1;
        self.run.exit = None;
        let left = (end - cpu.retired) as i64;
        let exit_at = thunk::exit_at(cpu);
        if std::mem::take(&mut self.dropped) {
            thunk::forget_returns(cpu);
        }
        let w = &mut cpu.st.engine;
        w[slot::BASE] = cpu.st.nia & !4095;
        w[slot::EXIT] = exit_at;
        w[slot::RUN] = &raw mut *self.run as u64;
        w[slot::TABLE] = self.cache.table();
        w[slot::DROPS] = cpu.sh.ram.code_drops_at() as u64;
        w[slot::SEEN] = self.seen;
        w[slot::HOST] = cpu.sh.ram.host_base() as u64;
        w[slot::EVENTS] = cpu.link.events.as_ptr() as u64;
        thunk::set_mode(cpu);
        debug_assert_eq!(cpu.st.engine[slot::KEY], (key.number() as u64) << 48);
        let p: *mut Cpu = cpu;
        self.run.cpu = p;
        self.run.end = end;
        // SAFETY: `code` is a block of this cache made for the mode and page of `cpu`, found just now; the engine
        // words are set; `cpu` is not used until the return but through `p`.
        let why = unsafe { thunk::enter(self.buf.address(self.thunks.enter), code, p, left) };
        let left = cpu.st.engine[slot::LEFT] as i64;
        cpu.retired = end.wrapping_sub(left as u64);
        why
    }

    // ---- links ----

    /// Let exit `e` jump to block `n` of the page at real address `page`, host address `host`.
    fn link(&mut self, e: u32, n: u32, page: u64, host: u64) {
        let from = &self.cache.exits[e as usize];
        if from.point.page == 0 && from.home() != page {
            // The page is mapped elsewhere by now: this way goes through the look-up.
            return;
        }
        let b = self.cache.block(n);
        if !from.is_in_mode_of(b.tag) {
            return;
        }
        let code = b.code as usize;
        if !self.cache.link(e, n) {
            return;
        }
        let p = self.cache.exits[e as usize].point;
        let mut a = Asm { buf: self.buf.bytes(), pos: 0 };
        a.patch(p.jump as usize, code);
        if p.page != 0 {
            a.pos = p.page as usize;
            a.q(host);
        }
    }

    fn unlink(buf: &mut CodeBuf, p: &ExitPoint) {
        let mut a = Asm { buf: buf.bytes(), pos: 0 };
        a.patch(p.jump as usize, p.stub as usize);
        if p.page != 0 {
            a.pos = p.page as usize;
            a.q(0);
        }
    }

    // ---- pages ----

    fn drop_page(&mut self, page: u64) {
        self.dropped = true;
        let buf = &mut self.buf;
        if self.cache.drop_page(page, |p| Self::unlink(buf, p)) {
            self.stats.dropped_pages += 1;
        }
        #[cfg(feature = "tier2")]
        self.forget_regions(page);
    }

    /// Forget the blocks of all pages whose code was dropped since last time.
    fn obey_drops(&mut self, cpu: &Cpu) {
        let ram = &cpu.sh.ram;
        let now = ram.code_drops();
        let known = now - self.seen < 512;
        let list: Option<Vec<u64>> =
            if known { (self.seen + 1..=now).map(|n| ram.dropped_page(n)).collect() } else { None };
        let list = list.unwrap_or_else(|| {
            let changed = self.cache.pages.iter().filter(|(ra, p)| ram.code_version(**ra) != p.version);
            changed.map(|(ra, _)| *ra).collect()
        });
        for page in list {
            self.drop_page(page);
        }
        self.seen = now;
    }

    fn flush(&mut self) {
        self.dropped = true;
        self.cache.clear();
        self.pos = self.start;
        self.cold = self.buf.cold();
        self.stats.flushes += 1;
        #[cfg(feature = "tier2")]
        if let Some(t) = &mut self.tier2 {
            t.forget(|_| true);
            t.cool();
        }
    }

    /// Forget all code and give its memory back, if it is more than `little` bytes; what still runs is made anew. True
    /// if it was.
    pub fn trim(&mut self, little: usize) -> bool {
        let kept = self.pos - self.start + self.cold - self.buf.cold();
        if kept <= little {
            return false;
        }
        self.flush();
        self.buf.release(self.start);
        self.cache = Cache::new();
        self.steps = Interpreter::default();
        self.lists = Lists::default();
        true
    }

    // ---- translation ----

    /// Make the block at real address `ra`. `None`: look around first.
    fn translate(&mut self, cpu: &mut Cpu, ra: u64, key: Key) -> Option<u32> {
        let page = ra & !4095;
        if self.pos + BLOCK_ROOM > self.buf.cold() || self.cold + BLOCK_ROOM > self.buf.len() {
            self.flush();
            return None;
        }
        match self.cache.pages.get(&page) {
            Some(p) if p.version == cpu.sh.ram.code_version(ra) => {}
            Some(_) => {
                self.drop_page(page);
                return None;
            }
            None => {
                // The mark comes before the version is read, and the version before any word.
                if cpu.sh.ram.mark_code(ra) {
                    cpu.tlb.protect(ra);
                    cpu.shoot_down_writers();
                }
                self.cache.add_page(page, cpu.sh.ram.code_version(ra));
                if cpu.refetch {
                    return None;
                }
            }
        }
        let t0 = Instant::now();
        let code = self.pos;
        let first = (ra & 4095) as u32;
        #[allow(unused_mut)]
        let mut e = Emit::new(
            self.buf.bytes(),
            code,
            self.thunks,
            key,
            Source { ram: &cpu.sh.ram, page },
            self.cache.exits.len(),
            &mut self.lists,
            self.bmi2,
            self.avx,
            self.crypto,
        );
        #[cfg(feature = "tier2")]
        if let Some(t) = &mut self.tier2 {
            e.heat = t.heat();
        }
        let mut marks = if self.perf_ops { Some(Vec::new()) } else { None };
        e.cold = self.cold;
        let ((end, cold), count, calls) = block(e, cpu, page, first, key, &mut marks);
        debug_assert!(end <= self.buf.cold() && cold <= self.buf.len());
        #[cfg(feature = "tier2")]
        if let Some(t) = &mut self.tier2 {
            t.heated(self.lists.counted);
        }
        let (pos, from) = (end.next_multiple_of(16), self.cold);
        self.pos = pos;
        self.cold = cold;
        self.buf.reach(pos);
        self.buf.reach(cold);
        let tag = (cpu.sh.ram.host_base() as u64 + ra) ^ (key.number() as u64) << 48;
        let n = self.cache.add(block_key(ra, key), page, code, tag, &self.lists.exits);
        self.stats.blocks += 1;
        self.stats.instructions += count as u64;
        self.stats.calls += calls as u64;
        self.stats.bytes += (end - code + cold - from) as u64;
        self.stats.translate_ns += t0.elapsed().as_nanos() as u64;
        if let Some(m) = &mut self.perf {
            match marks {
                None => {
                    m.add(self.buf.address(code), end - code, cpu.st.nia, 1);
                    m.add(self.buf.address(from), cold - from, cpu.st.nia, 1);
                }
                Some(v) => {
                    m.add_parts(self.buf.address(0), &v, end);
                    m.add_parts(self.buf.address(0), &[(from, "seldom", key.mode.pr)], cold);
                }
            }
        }
        #[cfg(feature = "tier2")]
        if self.tier2.as_ref().is_some_and(|t| t.all()) {
            self.ask_for_region(cpu, n, ra, key);
        }
        Some(n)
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
