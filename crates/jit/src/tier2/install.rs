//! Regions in the code cache: what is asked for, what is there, and the pieces of code round it.

use std::collections::{BTreeSet, HashMap};

use arch::Cpu;

use super::places::{CALLED, HOME, HOME_SLOT, SLOTS, SPAN};
use super::{Answer, Code, Exit, Other, Refusal, Request, Targets, Ticket, Tier2};
use crate::asm::{Alu, Cc, M, R14, R15, RAX, RBP, RCX, RDI, RDX, RSI, m};
use crate::emit::{Emit, Source, st};
use crate::engine::{Jit, block_key};
use crate::{Key, Tier2Options};

/// Most exits that count.
const COUNTERS: usize = 1 << 19;

/// Most regions asked for and not answered.
const PENDING: usize = 64;

/// How often more pages may be asked for.
const ROUNDS: u32 = 3;

/// Entries after which a region is judged.
const TRIAL: u64 = 2000;

/// Instructions that a region must do in each entry on average.
const WORTH: u64 = 40;

/// The same of one that is an inner loop alone. With the loop round it, it is entered less often; but a compiler has to
/// find registers for more.
const LONG: u64 = 300;

/// Room for the code round a region and for each of its exits.
const ROOM: usize = 512;

/// What a block's region is.
enum State {
    /// Asked for.
    Asked,
    /// There is none and will be none.
    None,
    /// Installed.
    There(Box<Installed>),
}

/// Counters of a region that its code writes.
#[repr(C)]
struct Use {
    entries: u64,
    instructions: u64,
    /// Entries until an inner loop is judged.
    trial: u64,
    /// Exits by branches to the count register, and where the last ones went.
    computed: u64,
    went: [u64; WENT],
}

/// Targets kept of those.
const WENT: usize = 32;

struct Installed {
    uses: Use,
    /// Offset of tier 1's code of the head.
    tier1: usize,
    grouped: bool,
    inner: bool,
    /// The one that takes its place was asked for.
    asked: bool,
    targets: Targets,
    /// Real addresses of the other pages that it was made from.
    others: [Option<u64>; SLOTS],
}

/// Everything about regions that an engine keeps.
pub struct Regions {
    options: Tier2Options,
    tier2: Tier2,
    /// By block key.
    states: HashMap<u64, State>,
    asked: usize,
    /// Counts of backward branches, down to zero. Translated code has their addresses.
    counters: Box<[u32]>,
    /// How many of them are in use.
    counting: usize,
    /// Entries of regions that are gone.
    entries: u64,
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
            counters: vec![0; COUNTERS].into(),
            counting: 0,
            entries: 0,
            number: 0,
        })
    }

    /// Whether every block is to be compiled.
    pub fn all(&self) -> bool {
        self.options.all
    }

    /// The counters that are free, and where they begin.
    pub fn heat(&mut self) -> (&mut [u32], u32) {
        (&mut self.counters[self.counting..], self.options.threshold.max(1))
    }

    /// So many of these are in use from now on.
    pub fn heated(&mut self, n: usize) {
        self.counting = (self.counting + n).min(self.counters.len());
    }

    /// All code is gone: so are the counters in use.
    pub fn cool(&mut self) {
        self.counting = 0;
    }

    /// Forget the regions of pages for which `gone`; those that are in such a page besides their own are given.
    pub fn forget(&mut self, gone: impl Fn(u64) -> bool) -> Vec<u64> {
        let entries = &mut self.entries;
        let mut beside = Vec::new();
        self.states.retain(|&key, s| {
            let keep = !gone(key & 0xffff_ffff_f000);
            if let State::There(i) = s {
                if !keep {
                    *entries += i.uses.entries;
                } else if i.others.iter().flatten().any(|&p| gone(p)) {
                    beside.push(key);
                }
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

    /// Times regions were entered.
    pub fn entries(&self) -> u64 {
        let there = self.states.values().filter_map(|s| if let State::There(i) = s { Some(i) } else { None });
        self.entries + there.map(|i| i.uses.entries).sum::<u64>()
    }
}

impl Jit {
    /// The loop whose head is block `n` at real address `ra` runs often.
    pub(crate) fn ask_for_region(&mut self, cpu: &mut Cpu, n: u32, ra: u64, key: Key) {
        let block = block_key(ra, key);
        let ea = cpu.st.nia;
        let (mut grouped, mut inner) = (true, true);
        let mut targets = Targets::default();
        // If the loop calls through the count register, that may still hold the address.
        targets.add(cpu.st.ctr.wrapping_sub(ea & !4095) as i64);
        let Some(t) = &mut self.tier2 else { return };
        match t.states.get(&block) {
            None => {}
            Some(State::There(i)) => {
                let u = &i.uses;
                let short = i.inner && u.entries >= TRIAL && u.instructions < LONG * u.entries;
                let left = u.computed > TRIAL / 2 && u.computed > u.entries / 4;
                if i.asked
                    || u.entries < TRIAL
                    || u.instructions >= WORTH * u.entries && !left && !short
                    || t.options.all
                {
                    return;
                }
                let known = i.targets.all().len();
                targets = i.targets;
                if left {
                    u.went.iter().for_each(|w| targets.add(w.wrapping_sub(ea & !4095) as i64));
                }
                let was = i.grouped;
                inner = i.inner && !short;
                // A short inner loop's is good enough until that of the loop round it is there.
                if !short {
                    self.retire_region(n, block);
                }
                // With more targets it may be left less often; or it is left because what shares a probe straddles
                // pages.
                grouped = was && (short || targets.all().len() > known);
                if !was && !grouped && !short {
                    return;
                }
            }
            Some(_) => return,
        }
        self.request_region(cpu, ra, ea, key, (grouped, inner, ROUNDS, targets), &[]);
        if self.tier2.as_ref().is_some_and(|t| t.options.all || t.options.wait) {
            self.take_regions(cpu);
        }
    }

    /// Have the region of the block at real address `ra` made, which is at `ea`; `called`: pages of functions that it
    /// calls, counted from its own, as far as they were asked for; `rounds`: how often more may be.
    fn request_region(
        &mut self,
        cpu: &Cpu,
        ra: u64,
        ea: u64,
        key: Key,
        (grouped, inner, rounds, targets): (bool, bool, u32, Targets),
        called: &[i32],
    ) {
        let block = block_key(ra, key);
        let Some(t) = &mut self.tier2 else { return };
        // No number comes twice: windows of one region would be taken for another's.
        if t.asked >= PENDING || t.number == i32::MAX as u32 {
            return;
        }
        let page = ra & !4095;
        let Some(version) = self.cache.pages.get(&page).map(|p| p.version) else { return };
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
            let version = self.cache.pages.get(&page)?.version;
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
            for at in self.cache.pages.get(&page).into_iter().flat_map(|p| p.begun()) {
                begun[1024 * slot + at] = true;
                if let Some(State::There(i)) = t.states.get(&block_key(page + 4 * at as u64, key))
                    && i.uses.entries >= TRIAL / 20
                    && i.uses.instructions >= LONG * i.uses.entries
                {
                    own.insert((4096 * slot + 4 * at) as u32);
                }
            }
        }
        let table = |access| mem::table_offset(key.dmode, access) as i32;
        t.number += 1;
        let request = Request {
            number: t.number,
            ticket: Ticket { block, page, version, others, key, ea, grouped, inner, rounds, targets },
            head: HOME + (ra & 4095) as u32,
            key,
            words,
            tables: [table(mem::Access::Read), table(mem::Access::Write)],
            exec_table: mem::table_offset(key.imode, mem::Access::Exec) as i32,
            window: self.buf.address(self.thunks.window),
            pieces: self.thunks.pieces.map(|p| if p == 0 { 0 } else { self.buf.address(p) }),
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
        t.tier2.request(request, &cpu.link);
    }

    /// Install what has been compiled since last time.
    #[inline]
    pub(crate) fn take_regions(&mut self, cpu: &Cpu) {
        while let Some(a) = self.tier2.as_mut().and_then(|t| t.tier2.take()) {
            self.take_region(cpu, a);
        }
    }

    fn take_region(&mut self, cpu: &Cpu, a: Answer) {
        let Some(t) = &mut self.tier2 else { return };
        let Answer { ticket, code, ns } = a;
        t.asked = t.asked.saturating_sub(1);
        self.stats.region_ns += ns;
        let asked = match t.states.get(&ticket.block) {
            Some(State::There(i)) => i.asked,
            state => matches!(state, Some(State::Asked)),
        };
        let fresh = asked
            && self.cache.pages.get(&ticket.page).is_some_and(|p| p.version == ticket.version)
            && cpu.sh.ram.code_version(ticket.page) == ticket.version;
        if !fresh {
            self.stats.stale += 1;
            t.give_up(ticket.block, false);
            return;
        }
        let fresh = |o: &Option<Other>| {
            o.is_none_or(|o| {
                self.cache.pages.get(&o.page).is_some_and(|p| p.version == o.version)
                    && cpu.sh.ram.code_version(o.page) == o.version
            })
        };
        match code {
            Ok(c) if c.pages.iter().zip(&ticket.others).any(|(&used, o)| used && !fresh(o)) => {
                self.stats.stale += 1;
                t.give_up(ticket.block, false);
            }
            Ok(code) => match self.cache.find(ticket.block) {
                Some(n) if self.pos + code.bytes.len() + (code.exits.len() + 2) * ROOM < self.buf.cold() => {
                    if matches!(t.states.get(&ticket.block), Some(State::There(_))) {
                        self.retire_region(n, ticket.block);
                    }
                    self.install(cpu, &ticket, &code, n)
                }
                _ => {
                    self.stats.stale += 1;
                    t.give_up(ticket.block, false);
                }
            },
            Err(Refusal::More(called)) => {
                t.give_up(ticket.block, false);
                let ra = ticket.page | ticket.block & 4095;
                let how = (ticket.grouped, ticket.inner, ticket.rounds.saturating_sub(1), ticket.targets);
                self.request_region(cpu, ra, ticket.ea, ticket.key, how, &called);
            }
            Err(why) => {
                tracing::trace!(?why, ea = ticket.ea, "no region");
                self.stats.refused += 1;
                t.give_up(ticket.block, true);
            }
        }
    }

    fn install(&mut self, cpu: &Cpu, ticket: &Ticket, c: &Code, n: u32) {
        let tier1 = self.cache.block(n).code as usize;
        let others = std::array::from_fn(|k| ticket.others[k].filter(|_| c.pages[k]).map(|o| o.page));
        let mut installed = Box::new(Installed {
            uses: Use { entries: 0, instructions: 0, trial: TRIAL, computed: 0, went: [0; WENT] },
            tier1,
            grouped: ticket.grouped,
            inner: c.inner,
            asked: false,
            targets: ticket.targets,
            others,
        });
        let uses = &raw mut installed.uses as u64;
        let code = self.pos.next_multiple_of(64);
        let address = self.buf.address(0);
        let bytes = self.buf.bytes();
        bytes[code..code + c.bytes.len()].copy_from_slice(&c.bytes);
        let table = (code + c.bytes.len()).next_multiple_of(16);
        let entry = (table + 8 * c.exits.len()).next_multiple_of(16);
        let mut e = Emit::new(
            bytes,
            entry,
            self.thunks,
            ticket.key,
            Source { ram: &cpu.sh.ram, page: ticket.page },
            self.cache.exits.len(),
            &mut self.lists,
            self.bmi2,
            self.avx,
            self.crypto,
        );
        e.a.movi(RCX, uses);
        e.a.alumi(Alu::Add, true, m(RCX, 0), 1);
        let judged = c.inner.then(|| {
            e.a.alumi(Alu::Sub, true, m(RCX, std::mem::offset_of!(Use, trial) as i32), 1);
            e.a.jcc(Cc::E)
        });
        e.a.mov(RDI, RBP);
        e.a.mov(RSI, R15);
        e.a.mov(RDX, R14);
        e.a.call_to(code);
        e.a.movi(RCX, uses + 8);
        e.a.alu(Alu::Sub, true, R14, RDX);
        e.a.alum(Alu::Add, true, R14, m(RCX, 0));
        e.a.store(m(RCX, 0), R14, 8);
        e.a.mov(R14, RDX);
        e.a.movi(RCX, address + table as u64);
        e.a.jmp_m(M { base: RCX, index: Some((RAX, 3)), disp: 0 });
        for (k, exit) in c.exits.iter().enumerate() {
            let at = e.a.pos;
            match exit {
                Exit::Go(rel) => e.exit(*rel, 0, true),
                Exit::Head => e.a.jmp_to(tier1),
                Exit::Guard => {
                    e.a.movi(RCX, uses);
                    e.a.alumi(Alu::Sub, true, m(RCX, 0), 1);
                    e.a.jmp_to(tier1);
                }
                Exit::Computed => {
                    const WENT_AT: i32 = std::mem::offset_of!(Use, went) as i32;
                    e.a.movi(RCX, uses);
                    e.a.load(RAX, m(RCX, std::mem::offset_of!(Use, computed) as i32));
                    e.a.alumi(Alu::Add, true, m(RCX, std::mem::offset_of!(Use, computed) as i32), 1);
                    e.a.alui(Alu::And, false, RAX, WENT as i32 - 1);
                    e.a.load(RDX, m(RBP, st!(nia)));
                    e.a.store(M { base: RCX, index: Some((RAX, 3)), disp: WENT_AT }, RDX, 8);
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
        if let Some(site) = judged {
            e.hot_exit(site, (ticket.block & 4095) as i64);
        }
        e.stubs();
        let end = e.a.pos;
        self.pos = end.next_multiple_of(16);
        self.buf.reach(self.pos);
        self.cache.add_exits(ticket.page, ticket.key.number(), &self.lists.exits);
        self.point_at(n, entry);
        self.stats.regions += 1;
        self.stats.region_instructions += c.instructions as u64;
        self.stats.region_bytes += (end - code) as u64;
        if let Some(m) = &mut self.perf {
            m.add(address + code as u64, end - code, ticket.ea, 2);
        }
        tracing::debug!(ea = ticket.ea, blocks = c.blocks, insns = c.instructions, "region");
        if let Some(t) = &mut self.tier2 {
            t.states.insert(ticket.block, State::There(installed));
        }
    }

    /// Let all ways to block `n` go to the code at `offset`.
    fn point_at(&mut self, n: u32, offset: usize) {
        self.dropped = true;
        let address = self.buf.address(offset);
        let mut a = crate::asm::Asm { buf: self.buf.bytes(), pos: 0 };
        self.cache.replace(n, offset, address, |p| a.patch(p.jump as usize, offset));
    }

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

    /// A region that is left too soon each time.
    fn retire_region(&mut self, n: u32, block: u64) {
        self.stats.retired_regions += 1;
        self.take_back(n, block);
    }

    /// Back to tier 1.
    fn take_back(&mut self, n: u32, block: u64) {
        let Some(t) = &mut self.tier2 else { return };
        if let Some(State::There(i)) = t.states.insert(block, State::None) {
            t.entries += i.uses.entries;
            let tier1 = i.tier1;
            self.point_at(n, tier1);
        }
    }
}
