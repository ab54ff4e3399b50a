//! Regions in the code cache: what is asked for, what is there, and the pieces of code round it.

use std::collections::{BTreeSet, HashMap};

use arch::Cpu;

use super::places::{CALLED, HOME, HOME_SLOT, SLOTS, SPAN};
use super::{Answer, Code, Exit, Other, Refusal, Request, Targets, Ticket, Tier2};
use crate::asm::{Alu, Cc, M, R14, R15, RAX, RBP, RCX, RDI, RDX, RSI, m};
use crate::common::Common;
use crate::counts::{Counts, HEATS, REGIONS, WENT, region};
use crate::emit::{Emit, Source, st};
use crate::engine::{Jit, block_key};
use crate::thunk::{engine, slot};
use crate::{Key, Tier2Options};

/// Most regions asked for and not answered.
const PENDING: usize = 64;

/// How often more pages may be asked for.
const ROUNDS: u32 = 3;

/// How often a loop that is too large for a region is to be asked for again to get one nevertheless.
const INSISTS: u32 = 30;

/// Entries after which a region is judged, each time.
const TRIAL: u64 = region::ENTRIES_UNTIL;

/// Instructions that a region must do in each entry on average, besides half of those that it has: the more there are, the
/// more registers have a place in it that is filled on the way in.
const WORTH: u64 = 40;

/// The same of one that is an inner loop alone, at least and at most: in between, what it does in [`TURNS`]. With the loop
/// round it, it is entered less often; but a compiler has to find registers for more, which each turn pays for.
const LONG: [u64; 2] = [300, 1000];

/// With so many turns ways into and out of a region are a small part.
const TURNS: u64 = 16;

/// Accesses of a region for each one that looks up another page than its window showed, on average. With less, to look up
/// the page each time is less work than to look at the windows and have them show others.
const HITS: u64 = 16;

/// Room for the code round a region and for each of its exits.
const ROOM: usize = 512;

/// What a block's region is.
enum State {
    /// Asked for.
    Asked,
    /// There is none and will be none.
    None,
    /// It would be a large one; how often it was asked for since.
    Large(u32),
    /// Installed.
    There(Box<Installed>),
}

struct Installed {
    /// Number of its counters, see [`Counts`].
    uses: u32,
    /// Offset of tier 1's code of the head.
    tier1: usize,
    grouped: bool,
    inner: bool,
    large: bool,
    /// It has windows.
    windowed: bool,
    moved: bool,
    /// Guest instructions in it.
    instructions: u32,
    /// Loads and stores in it.
    accesses: u32,
    /// The one that takes its place was asked for.
    asked: bool,
    targets: Targets,
    /// Real addresses of the other pages that it was made from.
    others: [Option<u64>; SLOTS],
}

impl Installed {
    /// It does enough in each entry, on average, to be a region of its own in a loop round it.
    fn stays(&self, counts: &Counts) -> bool {
        let [entries, done] = [region::ENTRIES, region::INSTRUCTIONS].map(|w| counts.region(self.uses, w));
        done >= entries * (TURNS * u64::from(self.instructions)).clamp(LONG[0], LONG[1])
    }
}

/// How a region is to be made: parts of a [`Ticket`].
#[derive(Clone, Copy)]
struct How {
    grouped: bool,
    inner: bool,
    large: bool,
    windowed: bool,
    moved: bool,
    rounds: u32,
    targets: Targets,
}

/// Everything about regions that an engine keeps.
pub struct Regions {
    options: Tier2Options,
    tier2: Tier2,
    /// By block key.
    states: HashMap<u64, State>,
    asked: usize,
    /// Counters of backward branches that are in use.
    counting: usize,
    /// Counters of regions in use.
    uses: u32,
    /// The last request's number.
    number: u32,
}

impl Regions {
    /// Nothing asked for yet; `None` when the second tier is off.
    pub fn new(options: Tier2Options) -> Option<Self> {
        if options.threshold == 0 && !options.all {
            return None;
        }
        Some(Regions {
            options,
            tier2: Tier2::new(options.wait || options.all, options.verify),
            states: HashMap::new(),
            asked: 0,
            counting: 0,
            uses: 0,
            number: 0,
        })
    }

    /// Whether every block is to be compiled.
    pub fn all(&self) -> bool {
        self.options.all
    }

    /// The first counter of branches that is free, and where they begin.
    pub fn heat(&self) -> (usize, u32) {
        (self.counting, self.options.threshold.max(1))
    }

    /// So many of these are in use from now on.
    pub fn heated(&mut self, n: usize) {
        self.counting = (self.counting + n).min(HEATS);
    }

    /// Have a processor's counters begin where those in use do.
    pub fn begin(&self, counts: &mut Counts) {
        counts.begin(self.counting, self.options.threshold.max(1), self.uses);
    }

    /// All code is gone: so are the counters in use.
    pub fn cool(&mut self) {
        self.counting = 0;
        self.uses = 0;
    }

    /// Forget the regions of pages for which `gone`; those that are in such a page besides their own are given.
    pub fn forget(&mut self, gone: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut beside = Vec::new();
        self.states.retain(|&key, s| {
            let keep = !gone(key & 0xffff_ffff_f000);
            if let State::There(i) = s
                && keep
                && i.others.iter().flatten().any(|&p| gone(p))
            {
                beside.push(key);
            }
            keep
        });
        beside
    }

    /// What was asked for a block is not to be had, now or (`ever`) at all. A region that it has stays.
    fn give_up(&mut self, block: u64, ever: bool) {
        if matches!(self.states.get(&block), Some(State::There(_))) {
            return;
        }
        if ever {
            self.states.insert(block, State::None);
        } else {
            self.states.remove(&block);
        }
    }
}

impl Jit {
    /// The loop whose head is block `n` at real address `ra` runs often.
    pub(crate) fn ask_for_region(&mut self, c: &mut Common, cpu: &mut Cpu, n: u32, ra: u64, key: Key) {
        let block = block_key(ra, key);
        let ea = cpu.st.nia;
        let (mut grouped, mut inner, mut large, mut windowed, mut moved) = (true, true, false, true, false);
        let mut targets = Targets::default();
        // If the loop calls through the count register, that may still hold the address.
        targets.add(cpu.st.ctr.wrapping_sub(ea & !4095) as i64);
        let Some(t) = &mut c.tier2 else { return };
        match t.states.get_mut(&block) {
            None => {}
            Some(State::Large(asked)) => {
                *asked += 1;
                if *asked < INSISTS {
                    return;
                }
                large = true;
            }
            Some(State::There(i)) => {
                let counts = &self.counts;
                let [entries, instructions, computed, missed] =
                    [region::ENTRIES, region::INSTRUCTIONS, region::COMPUTED, region::MISSED]
                        .map(|w| counts.region(i.uses, w));
                let tried = entries >= TRIAL;
                let short = i.inner && tried && !i.stays(counts);
                let left = computed > TRIAL / 2 && computed > entries / 4;
                let accesses = instructions / u64::from(i.instructions.max(1)) * u64::from(i.accesses);
                let often = tried || missed >= region::MISSED_UNTIL.into();
                let misses = i.windowed && often && accesses < HITS * missed;
                let worth = WORTH + u64::from(i.instructions) / 2;
                let vain = tried && instructions < worth * entries;
                if i.asked || !(vain || left || short || misses) || t.options.all {
                    return;
                }
                let known = i.targets.all().len();
                targets = i.targets;
                if left {
                    counts.went(i.uses).for_each(|w| targets.add(w.wrapping_sub(ea & !4095) as i64));
                }
                let was = i.grouped;
                inner = i.inner && !short;
                (large, moved) = (i.large, i.moved);
                windowed = i.windowed && (short || !misses);
                // A short inner loop's is good enough until that of the loop round it is there; so is one
                // with windows.
                let good = short || misses && !vain && !left;
                if !good {
                    self.retire_region(c, n, block);
                }
                // With more targets it may be left less often; or it is left because what shares a probe straddles
                // pages.
                grouped = was && (good || targets.all().len() > known);
                if !was && !grouped && !good {
                    return;
                }
            }
            Some(_) => return,
        }
        let how = How { grouped, inner, large, windowed, moved, rounds: ROUNDS, targets };
        self.request_region(c, cpu, ra, ea, key, how, &[]);
        if c.tier2.as_ref().is_some_and(|t| t.options.all || t.options.wait) {
            self.take_regions(c, cpu);
        }
    }

    /// Have the region of the block at real address `ra` made, which is at `ea`; `called`: pages of functions that it
    /// calls, counted from its own, as far as they were asked for; `rounds`: how often more may be.
    fn request_region(
        &self,
        c: &mut Common,
        cpu: &Cpu,
        ra: u64,
        ea: u64,
        key: Key,
        how: How,
        called: &[i32],
    ) {
        let block = block_key(ra, key);
        let How { grouped, inner, large, windowed, moved, rounds, targets } = how;
        let Some(t) = &mut c.tier2 else { return };
        // No number comes twice: windows of one region would be taken for another's.
        if t.asked >= PENDING || t.number == i32::MAX as u32 {
            return;
        }
        let page = ra & !4095;
        let Some(version) = c.cache.pages.get(&page).map(|p| p.version) else { return };
        let mut words = Box::new([0u8; SPAN as usize]);
        let home = HOME as usize;
        if cpu.sh.ram.read(page, &mut words[home..home + 4096]).is_err() {
            return;
        }
        let mut other = |slot: usize, delta: i32| {
            let ea = (ea & !4095).checked_add_signed(4096 * delta as i64)?;
            if !key.mode.sf {
                return None;
            }
            let page = cpu.tlb.real(key.imode, ea, mem::Access::Exec)?;
            let version = c.cache.pages.get(&page)?.version;
            let at = 4096 * slot;
            cpu.sh.ram.read(page, &mut words[at..at + 4096]).ok()?;
            Some(Other { delta, page, host: cpu.sh.ram.host_base() as u64 + page, version })
        };
        let mut others = [None; SLOTS];
        for slot in [HOME_SLOT - 1, HOME_SLOT + 1] {
            others[slot] = other(slot, slot as i32 - HOME_SLOT as i32);
        }
        for (slot, &delta) in (CALLED..SLOTS).zip(called) {
            others[slot] = other(slot, delta);
        }
        let mut begun = Box::new([false; SPAN as usize / 4]);
        let home = (HOME_SLOT, page);
        let slots = others.iter().enumerate().filter_map(|(n, o)| o.map(|o| (n, o.page)));
        let mut own = BTreeSet::new();
        for (slot, page) in slots.chain([home]) {
            for at in c.cache.pages.get(&page).into_iter().flat_map(|p| p.begun()) {
                begun[1024 * slot + at] = true;
                if let Some(State::There(i)) = t.states.get(&block_key(page + 4 * at as u64, key))
                    && self.counts.region(i.uses, region::ENTRIES) >= TRIAL / 20
                    && i.stays(&self.counts)
                {
                    own.insert((4096 * slot + 4 * at) as u32);
                }
            }
        }
        let table = |access| mem::table_offset(key.dmode, access) as i32;
        t.number += 1;
        let request = Request {
            number: t.number,
            link: cpu.link.clone(),
            ticket: Ticket {
                block,
                page,
                version,
                others,
                key,
                ea,
                grouped,
                inner,
                large,
                windowed,
                moved,
                rounds,
                targets,
            },
            head: HOME + (ra & 4095) as u32,
            key,
            words,
            tables: [table(mem::Access::Read), table(mem::Access::Write)],
            exec_table: mem::table_offset(key.imode, mem::Access::Exec) as i32,
            window: c.buf.address(c.thunks.window),
            pieces: c.thunks.pieces.map(|p| if p == 0 { 0 } else { c.buf.address(p) }),
            begun,
            all: t.options.all,
            own,
            grouped,
        };
        match t.states.get_mut(&block) {
            Some(State::There(i)) => i.asked = true,
            _ => {
                t.states.insert(block, State::Asked);
            }
        }
        t.asked += 1;
        t.tier2.request(request);
    }

    /// Install what has been compiled since last time.
    #[inline]
    pub(crate) fn take_regions(&mut self, c: &mut Common, cpu: &Cpu) {
        while let Some(a) = c.tier2.as_mut().and_then(|t| t.tier2.take()) {
            self.take_region(c, cpu, a);
        }
    }

    fn take_region(&mut self, c: &mut Common, cpu: &Cpu, a: Answer) {
        let Some(t) = &mut c.tier2 else { return };
        let Answer { ticket, code, ns } = a;
        t.asked = t.asked.saturating_sub(1);
        self.stats.region_ns += ns;
        let asked = match t.states.get(&ticket.block) {
            Some(State::There(i)) => i.asked,
            state => matches!(state, Some(State::Asked)),
        };
        let fresh = asked
            && c.cache.pages.get(&ticket.page).is_some_and(|p| p.version == ticket.version)
            && cpu.sh.ram.code_version(ticket.page) == ticket.version;
        if !fresh {
            self.stats.stale += 1;
            t.give_up(ticket.block, false);
            return;
        }
        let fresh = |o: &Option<Other>| {
            o.is_none_or(|o| {
                c.cache.pages.get(&o.page).is_some_and(|p| p.version == o.version)
                    && cpu.sh.ram.code_version(o.page) == o.version
            })
        };
        match code {
            Ok(made) if made.pages.iter().zip(&ticket.others).any(|(&used, o)| used && !fresh(o)) => {
                self.stats.stale += 1;
                t.give_up(ticket.block, false);
            }
            Ok(code) => match c.cache.find(ticket.block) {
                Some(n)
                    if c.pos + code.bytes.len() + (code.exits.len() + 2) * ROOM < c.buf.cold()
                        && (t.uses as usize) < REGIONS =>
                {
                    if matches!(t.states.get(&ticket.block), Some(State::There(_))) {
                        self.retire_region(c, n, ticket.block);
                    }
                    self.install(c, cpu, &ticket, &code, n)
                }
                _ => {
                    self.stats.stale += 1;
                    t.give_up(ticket.block, false);
                }
            },
            Err(Refusal::More(called)) => {
                t.give_up(ticket.block, false);
                let ra = ticket.page | ticket.block & 4095;
                let Ticket { grouped, inner, large, windowed, moved, rounds, targets, .. } = ticket;
                let rounds = rounds.saturating_sub(1);
                let how = How { grouped, inner, large, windowed, moved, rounds, targets };
                self.request_region(c, cpu, ra, ticket.ea, ticket.key, how, &called);
            }
            Err(Refusal::Entry(off)) => {
                t.give_up(ticket.block, true);
                let (ra, ea) = [ticket.page, ticket.ea & !4095].map(|at| at | u64::from(off) & 4095).into();
                let block = block_key(ra, ticket.key);
                if !t.states.contains_key(&block) && c.cache.find(block).is_some() {
                    let Ticket { grouped, inner, large, windowed, targets, .. } = ticket;
                    let (moved, rounds) = (true, ROUNDS);
                    let how = How { grouped, inner, large, windowed, moved, rounds, targets };
                    self.request_region(c, cpu, ra, ea, ticket.key, how, &[]);
                }
            }
            Err(Refusal::TooLarge) if !ticket.large => {
                self.stats.refused += 1;
                t.give_up(ticket.block, true);
                if let Some(s @ State::None) = t.states.get_mut(&ticket.block) {
                    *s = State::Large(0);
                }
            }
            Err(why) => {
                tracing::trace!(?why, ea = ticket.ea, "no region");
                self.stats.refused += 1;
                t.give_up(ticket.block, true);
            }
        }
    }

    fn install(&mut self, c: &mut Common, cpu: &Cpu, ticket: &Ticket, made: &Code, n: u32) {
        let Some(t) = &mut c.tier2 else { return };
        let number = t.uses;
        t.uses += 1;
        let uses = Counts::region_at(number);
        let counter = |which| m(RCX, uses + which);
        let tier1 = c.cache.block(n).code as usize;
        let others = std::array::from_fn(|k| ticket.others[k].filter(|_| made.pages[k]).map(|o| o.page));
        let installed = Box::new(Installed {
            uses: number,
            tier1,
            grouped: ticket.grouped,
            inner: made.inner,
            large: ticket.large,
            windowed: made.windowed,
            instructions: made.instructions,
            accesses: made.accesses,
            moved: ticket.moved,
            asked: false,
            targets: ticket.targets,
            others,
        });
        let code = c.pos.next_multiple_of(64);
        let address = c.buf.address(0);
        let bytes = c.buf.bytes();
        bytes[code..code + made.bytes.len()].copy_from_slice(&made.bytes);
        let table = (code + made.bytes.len()).next_multiple_of(16);
        let entry = (table + 8 * made.exits.len()).next_multiple_of(16);
        let mut e = Emit::new(
            bytes,
            entry,
            c.thunks,
            ticket.key,
            Source { ram: &cpu.sh.ram, page: ticket.page },
            c.cache.exits.len(),
            &mut c.lists,
            c.host,
        );
        e.a.load(RCX, engine(slot::COUNTS));
        e.a.alumi(Alu::Add, true, counter(region::ENTRIES), 1);
        if made.windowed {
            e.a.lea(RAX, m(RCX, uses));
            e.a.store(engine(slot::USES), RAX, 8);
        }
        e.a.alumi(Alu::Add, false, counter(region::TRIAL), region::STEP);
        let judged = e.a.jcc(Cc::B);
        e.a.mov(RDI, RBP);
        e.a.mov(RSI, R15);
        e.a.mov(RDX, R14);
        e.a.call_to(code);
        e.a.load(RCX, engine(slot::COUNTS));
        e.a.alu(Alu::Sub, true, R14, RDX);
        e.a.alum(Alu::Add, true, R14, counter(region::INSTRUCTIONS));
        e.a.store(counter(region::INSTRUCTIONS), R14, 8);
        e.a.mov(R14, RDX);
        e.a.movi(RCX, address + table as u64);
        e.a.jmp_m(M { base: RCX, index: Some((RAX, 3)), disp: 0 });
        for (k, exit) in made.exits.iter().enumerate() {
            let at = e.a.pos;
            match exit {
                Exit::Go(rel) => e.exit(*rel, 0, true),
                Exit::Head => e.a.jmp_to(tier1),
                Exit::Guard => {
                    e.a.load(RCX, engine(slot::COUNTS));
                    e.a.alumi(Alu::Sub, true, counter(region::ENTRIES), 1);
                    e.a.jmp_to(tier1);
                }
                Exit::Computed => {
                    e.a.load(RCX, engine(slot::COUNTS));
                    e.a.load(RAX, counter(region::COMPUTED));
                    e.a.alumi(Alu::Add, true, counter(region::COMPUTED), 1);
                    e.a.alui(Alu::And, false, RAX, WENT as i32 - 1);
                    e.a.load(RDX, m(RBP, st!(nia)));
                    e.a.store(M { index: Some((RAX, 3)), ..counter(region::WENT) }, RDX, 8);
                    e.a.mov(RAX, RDX);
                    e.go_indirect(0, false);
                }
                Exit::Indirect => {
                    e.a.load(RAX, m(RBP, st!(nia)));
                    e.go_indirect(0, true);
                }
            }
            let end = e.a.pos;
            e.a.pos = table + 8 * k;
            e.a.q(address + at as u64);
            e.a.pos = end;
        }
        e.hot_exit(judged, (ticket.block & 4095) as i64);
        e.stubs();
        let end = e.a.pos;
        c.pos = end.next_multiple_of(16);
        c.buf.reach(c.pos);
        c.cache.add_exits(ticket.page, ticket.key.number(), &c.lists.exits);
        c.point_at(n, entry);
        self.stats.regions += 1;
        self.stats.region_instructions += made.instructions as u64;
        self.stats.region_bytes += (end - code) as u64;
        if let Some(m) = &mut c.perf {
            m.add(address + code as u64, end - code, ticket.ea, 2);
        }
        tracing::debug!(ea = ticket.ea, blocks = made.blocks, insns = made.instructions, "region");
        if let Some(t) = &mut c.tier2 {
            t.states.insert(ticket.block, State::There(installed));
        }
    }

    /// A region that is left too soon each time.
    fn retire_region(&mut self, c: &mut Common, n: u32, block: u64) {
        self.stats.retired_regions += 1;
        c.take_back(n, block);
    }
}

impl Common {
    /// The code of a page is gone: so are the regions made from it.
    pub(crate) fn forget_regions(&mut self, page: u64) {
        let Some(t) = &mut self.tier2 else { return };
        for key in t.forget(|p| p == page) {
            if let Some(n) = self.cache.find(key) {
                self.take_back(n, key);
            }
            if let Some(t) = &mut self.tier2 {
                t.states.remove(&key);
            }
        }
    }

    /// Back to tier 1.
    fn take_back(&mut self, n: u32, block: u64) {
        let Some(t) = &mut self.tier2 else { return };
        if let Some(State::There(i)) = t.states.insert(block, State::None) {
            self.point_at(n, i.tier1);
        }
    }
}
