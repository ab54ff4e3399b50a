//! Which instructions a region is made of: the blocks that a loop runs through, functions it calls among them, in the
//! pages of [`Places`].

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};

use isa::audit::{Regs, audit};
use isa::fp::{FpForm, FpOp};
use isa::{Insn, Level, Mode, Op};

use super::Targets;
use super::places::{FAR, Places, SLOTS, SPAN};

/// How much is looked at, and how large a region may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most blocks looked at.
    blocks: usize,
    /// Most instructions looked at.
    instructions: usize,
    /// Most instructions of a region.
    region: usize,
}

impl Limits {
    /// Those of most regions.
    pub const USUAL: Limits = Limits { blocks: 128, instructions: 1000, region: 400 };
    /// Those of regions that are worth a compiler's time.
    pub const LARGE: Limits = Limits { blocks: 320, instructions: 2500, region: 1000 };
}

/// Most instructions of a block looked at outside of a loop.
const MOST_STRAIGHT: usize = 200;

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Its offset in the page.
    pub off: u32,
    /// What it is.
    pub op: Op,
    /// Its word or words.
    pub insn: Insn,
}

/// A straight run of instructions.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Offset of the first one.
    pub off: u32,
    /// Instructions; the last may be a branch.
    pub items: Vec<Item>,
    /// Where control may go inside the page.
    pub next: Vec<u32>,
    /// Where it goes on in sequence when the last instruction is no branch, relative to the head's page.
    pub end: i64,
    /// Registers written.
    pub write: Regs,
    /// Registers read.
    pub read: Regs,
    /// Registers that may be unlike memory when the block begins.
    pub dirty: Regs,
    /// Blocks of the region that go on here.
    pub from: Vec<u32>,
    /// Scalar halves of VSRs read before they are written.
    exposed: u64,
    /// The same that operations on singles read.
    as_single: u64,
    /// Those written whose value may be no single.
    other_write: u64,
}

/// A region: blocks by offset.
#[derive(Clone, Debug, Default)]
pub struct Region {
    /// Offset of the head.
    pub head: u32,
    /// All blocks.
    pub blocks: BTreeMap<u32, Block>,
    /// Loads and stores in it.
    pub accesses: usize,
    /// Where calls in it return to.
    pub returns: BTreeSet<u32>,
    /// From where to where it turns: all that goes round in it goes one of these ways.
    pub turns: BTreeSet<(u32, u32)>,
}

impl Region {
    /// The ways back to where a search comes from.
    fn find_turns(&mut self) {
        let mut seen = BTreeSet::from([self.head]);
        // Where the search is, and how many ways it took from there.
        let mut path = vec![(self.head, 0)];
        while let Some((at, taken)) = path.last_mut() {
            match self.blocks.get(at).and_then(|b| b.next.get(*taken)) {
                Some(&to) => {
                    *taken += 1;
                    let at = *at;
                    if seen.insert(to) {
                        path.push((to, 0));
                    } else if path.iter().any(|&(p, _)| p == to) {
                        self.turns.insert((at, to));
                    }
                }
                None => drop(path.pop()),
            }
        }
    }

    /// Instructions that are done and not yet taken off the budget where each block begins. Where ways of different
    /// lengths meet, what one is longer than another is taken off on the way, as it is where the region turns: most blocks
    /// have nothing to take off.
    pub fn spent(&self) -> BTreeMap<u32, i64> {
        let ahead = |b: &Block, to: u32| !self.turns.contains(&(b.off, to));
        // Each after all that lead to it.
        let mut order = Vec::new();
        let mut seen = BTreeSet::from([self.head]);
        let mut path = vec![(self.head, 0)];
        while let Some((at, taken)) = path.last_mut() {
            match self.blocks.get(at).and_then(|b| Some((b, *b.next.get(*taken)?))) {
                Some((b, to)) => {
                    *taken += 1;
                    if ahead(b, to) && seen.insert(to) {
                        path.push((to, 0));
                    }
                }
                None => order.extend(path.pop().map(|(at, _)| at)),
            }
        }
        let mut spent = BTreeMap::from([(self.head, 0)]);
        for off in order.into_iter().rev().filter(|&o| o != self.head) {
            let Some(b) = self.blocks.get(&off) else { continue };
            // A call goes to the function, if that is here, which comes back.
            let calls = |f: &Block| f.next.len() > 1 && f.items.last().is_some_and(|i| i.insn.lk());
            let comes = |f: &&Block| ahead(f, off) && !(self.returns.contains(&off) && calls(f));
            let before = b.from.iter().filter_map(|f| self.blocks.get(f)).filter(comes);
            // A block with another way to go would need a block more to take something off.
            let at = before
                .filter_map(|f| Some((f.next.len() > 1, spent.get(&f.off)? + f.items.len() as i64)))
                .max();
            spent.insert(off, at.map_or(0, |x| x.1));
        }
        spent
    }

    /// Instructions in it.
    pub fn len(&self) -> usize {
        self.blocks.values().map(|b| b.items.len()).sum()
    }

    /// Whether more than a quarter of it takes a carry from the instruction before. The compiler has each in a register
    /// of its own.
    pub fn carries(&self) -> bool {
        use Op::*;
        let takes = |i: &&Item| matches!(i.op, Adde | Addze | Addme | Subfe | Subfze | Subfme);
        4 * self.blocks.values().flat_map(|b| &b.items).filter(takes).count() > self.len()
    }

    /// Which slots' pages it is in.
    pub fn pages(&self) -> [bool; SLOTS] {
        let mut p = [false; SLOTS];
        for i in self.blocks.values().flat_map(|b| &b.items) {
            p[(i.off as usize / 4096).min(SLOTS - 1)] = true;
        }
        p
    }

    /// VSRs that are operands of operations on singles when the head begins, and that hold nothing but singles if they
    /// do so then.
    pub fn only_singles(&self) -> u64 {
        let mut live: BTreeMap<u32, u64> = self.blocks.keys().map(|&k| (k, 0)).collect();
        loop {
            let mut changed = false;
            for b in self.blocks.values().rev() {
                let out = b.next.iter().filter_map(|n| live.get(n)).fold(0, |x, y| x | y);
                let now = b.exposed | out & !b.write.vsr;
                changed |= live.insert(b.off, now) != Some(now);
            }
            if !changed {
                break;
            }
        }
        let (single, other) =
            self.blocks.values().fold((0, 0), |(s, o), b| (s | b.as_single, o | b.other_write));
        live.get(&self.head).copied().unwrap_or(0) & single & !other
    }

    /// Registers written.
    pub fn written(&self) -> Regs {
        self.blocks.values().fold(Regs::NONE, |r, b| r.union(b.write))
    }

    /// Registers read or written.
    pub fn touched(&self) -> Regs {
        self.blocks.values().fold(Regs::NONE, |r, b| r.union(b.read).union(b.write))
    }
}

/// Pages of instructions.
pub struct Page<'a> {
    /// Their bytes, slot by slot.
    pub bytes: &'a [u8; SPAN as usize],
    /// Which they are.
    pub places: Places,
    /// Mode that they are read in.
    pub mode: Mode,
    /// Offsets of instructions that the compiler left out.
    pub left_out: &'a BTreeSet<u32>,
    /// Where control came to so far, unless everything is taken. Calls that nobody made so far are left to tier 1.
    pub begun: Option<&'a [bool; SPAN as usize / 4]>,
    /// So are all other ways that nobody went.
    pub narrow: bool,
    /// Follow calls.
    pub calls: bool,
    /// Offsets of loops that have regions of their own and stay in them for long: they are left to those.
    pub own: &'a BTreeSet<u32>,
    /// Where branches to the count register may go.
    pub targets: Targets,
    /// How much to look at.
    pub limits: Limits,
    /// Whether that was too little.
    pub too_large: Cell<bool>,
    /// What follows the head, once that was looked for.
    pub found: OnceCell<BTreeMap<u32, Block>>,
}

impl Page<'_> {
    fn word(&self, off: u32) -> u32 {
        let Some(b) = self.bytes.get(off as usize..off as usize + 4) else { return 0 };
        let w = [b[0], b[1], b[2], b[3]];
        if self.mode.le { u32::from_le_bytes(w) } else { u32::from_be_bytes(w) }
    }

    fn item(&self, off: u32) -> Item {
        let raw = self.word(off);
        let insn = if raw >> 26 == 1 && self.mode.level >= Level::V3_1 {
            Insn::prefixed(raw, self.word(off + 4))
        } else {
            Insn::new(raw)
        };
        Item { off, op: isa::decode(insn, self.mode.level), insn }
    }

    /// Offsets that a branch may go to as far as their pages are known, the one after itself last; `None`: no branch.
    /// A call that is followed goes to the function and, by way of its return, to what is after it.
    fn branch(&self, i: &Item) -> Option<Vec<u32>> {
        let inside = |n: i64| self.places.after(i.off, n);
        let next = inside(4);
        let v: Vec<Option<u32>> = match i.op {
            Op::B if super::calls(i) && self.follows() => match inside(i.insn.li()) {
                Some(to) => vec![Some(to), next],
                None => vec![],
            },
            // What is called comes back, if it does, to tier 1.
            Op::B if i.insn.aa() || i.insn.lk() => vec![],
            Op::B => vec![inside(i.insn.li())],
            Op::Bc if i.insn.bo() & 0b10100 == 0b10100 && i.insn.lk() => vec![],
            Op::Bc if i.insn.aa() || i.insn.lk() => vec![next],
            Op::Bc if i.insn.bo() & 0b10100 == 0b10100 => vec![inside(i.insn.bd())],
            Op::Bc => vec![inside(i.insn.bd()), next],
            Op::Bcctr if super::computed(i) && self.follows() => {
                let mut v: Vec<_> = self.targets.all().iter().map(|&t| self.places.place(t)).collect();
                v.retain(|t| t.is_some());
                // Where a call goes that is not known yet shows when the region is left there.
                if i.insn.lk() {
                    v.push(next);
                }
                v
            }
            Op::Bclr | Op::Bcctr | Op::Bctar => {
                if i.insn.bo() & 0b10100 == 0b10100 {
                    vec![]
                } else {
                    vec![next]
                }
            }
            _ => return None,
        };
        Some(v.into_iter().flatten().collect())
    }

    /// Whether calls are followed.
    pub fn follows(&self) -> bool {
        self.calls && self.mode.sf
    }

    fn knows(&self, off: u32) -> bool {
        self.places.0.get(off as usize / 4096).is_some_and(|p| p.is_some())
    }

    /// Pages that are not known and that `region` calls, branches or runs into, counted from the head's, or what it calls
    /// does; without one, all that follows `head`.
    pub fn called(&self, head: u32, region: Option<&Region>) -> BTreeSet<i32> {
        let mut blocks = self.explore(head);
        if let Some(r) = region {
            // What is called may not come back as far as is known.
            let keys: BTreeSet<u32> = blocks.keys().copied().collect();
            let edges = blocks.iter().map(|(&k, b)| (k, b.next.clone())).collect();
            let calls = r.blocks.keys().filter_map(|k| self.call(blocks.get(k)?));
            let callees = calls.flat_map(|(to, _)| to).collect::<BTreeSet<u32>>();
            let mut parts: BTreeSet<u32> = r.blocks.keys().copied().collect();
            for f in callees {
                parts.insert(f);
                parts.extend(reached(f, &keys, &edges));
            }
            blocks.retain(|k, _| parts.contains(k));
        }
        let blocks = blocks.values();
        let to = |i: &Item| {
            let n = match i.op {
                Op::B if !i.insn.aa() => i.insn.li(),
                Op::Bc if !i.insn.aa() && !i.insn.lk() => i.insn.bd(),
                _ => return None,
            };
            Some(self.places.rel(i.off) + n)
        };
        let ways = blocks.clone().flat_map(|b| b.items.iter().filter_map(to).chain([b.end]));
        let computed = blocks.flat_map(|b| &b.items).any(super::computed);
        let targets = self.targets.all().iter().filter(|_| computed);
        ways.chain(targets.copied())
            .filter(|&t| t.abs() < 4096 * FAR && self.places.place(t).is_none())
            .filter_map(|t| i32::try_from(t.div_euclid(4096)).ok())
            .collect()
    }

    fn stops(&self, i: &Item) -> bool {
        self.left_out.contains(&i.off)
            || i.op == Op::Invalid
            || matches!(i.op, Op::Rfid | Op::Rfscv | Op::Scv | Op::Sc | Op::Rfebb)
            || (i.insn.prefix != 0 && (i.off & 63 == 60 || i.off & 4095 > 4088))
    }

    /// All that is reachable from `head`, bounded. It is always the same head.
    fn explore(&self, head: u32) -> BTreeMap<u32, Block> {
        self.found.get_or_init(|| self.find(head)).clone()
    }

    fn find(&self, head: u32) -> BTreeMap<u32, Block> {
        let mut starts: BTreeSet<u32> = BTreeSet::from([head]);
        let mut todo = std::collections::VecDeque::from([head]);
        let mut seen: BTreeMap<u32, (Item, Option<Vec<u32>>)> = BTreeMap::new();
        while let Some(mut off) = todo.pop_front() {
            loop {
                if seen.contains_key(&off) || !self.knows(off) {
                    break;
                }
                if seen.len() >= self.limits.instructions {
                    self.too_large.set(true);
                    break;
                }
                let i = self.item(off);
                if self.stops(&i) {
                    break;
                }
                let b = self.branch(&i);
                seen.insert(off, (i, b.clone()));
                if let Some(next) = b {
                    let after = self.places.after(off, 4);
                    for n in next {
                        let gone = self.begun.is_none_or(|b| b.get(n as usize / 4).is_none_or(|&b| b));
                        // Nobody notes whether a branch was ever not taken.
                        let taken = gone || !i.insn.lk() && (!self.narrow || Some(n) == after);
                        if !taken || self.owned(n, head) {
                            continue;
                        }
                        if starts.contains(&n) {
                            continue;
                        }
                        if starts.len() < self.limits.blocks {
                            starts.insert(n);
                            todo.push_back(n);
                        } else {
                            self.too_large.set(true);
                        }
                    }
                    break;
                }
                match self.places.after(off, i.insn.len() as i64).filter(|&n| !self.owned(n, head)) {
                    Some(next) => off = next,
                    None => break,
                }
            }
        }
        let mut blocks = BTreeMap::new();
        for &first in &starts {
            let mut b = Block { off: first, ..Block::default() };
            let mut at = Some(first);
            while let Some((off, (i, next))) = at.and_then(|off| Some((off, seen.get(&off)?))) {
                if off != first && starts.contains(&off) {
                    break;
                }
                b.items.push(*i);
                b.end = self.places.rel(off) + i.insn.len() as i64;
                at = self.places.place(b.end);
                if let Some(next) = next {
                    b.next = next.clone();
                    break;
                }
            }
            let branches = b.items.last().is_some_and(|i| self.branch(i).is_some());
            if !branches {
                b.next = at.into_iter().collect();
            }
            if !b.items.is_empty() {
                blocks.insert(first, b);
            }
        }
        blocks
    }

    /// Whether the code at `off` is another region's.
    fn owned(&self, off: u32, head: u32) -> bool {
        off != head && self.own.contains(&off)
    }

    /// Of a loop, the blocks of the innermost loop that `head` is in.
    fn innermost(
        &self,
        head: u32,
        blocks: &BTreeMap<u32, Block>,
        edges: [&BTreeMap<u32, Vec<u32>>; 2],
    ) -> BTreeSet<u32> {
        let mut round: BTreeSet<u32> = blocks.keys().copied().collect();
        // Where the outermost one is entered is not known: where a branch back over the head goes.
        let back = |b: &Block| {
            let i = b.items.last().filter(|i| matches!(i.op, Op::B | Op::Bc) && !i.insn.lk())?;
            let (here, at) = (self.places.rel(head), self.places.rel(i.off));
            b.next
                .iter()
                .copied()
                .filter(|&n| self.places.rel(n) <= here && here <= at)
                .min_by_key(|&n| self.places.rel(n))
        };
        let mut entry = blocks.values().filter_map(back).min_by_key(|&n| self.places.rel(n));
        while let Some(e) = entry.filter(|&e| e != head) {
            let mut less = round.clone();
            less.remove(&e);
            let [down, up] = edges.map(|edges| reached(head, &less, edges));
            if !down.contains(&head) {
                break;
            }
            round = down.intersection(&up).copied().collect();
            let outside = |k: &u32| edges[1].get(k).into_iter().flatten().any(|f| !round.contains(f));
            let entries: Vec<u32> = round.iter().copied().filter(outside).collect();
            entry = if entries.contains(&head) {
                None
            } else {
                entries.first().copied().filter(|_| entries.len() == 1)
            };
        }
        round
    }

    /// What `b` calls, and where that returns to.
    fn call(&self, b: &Block) -> Option<(Vec<u32>, u32)> {
        let i = b.items.last()?;
        let call = i.insn.lk() && (super::calls(i) || super::computed(i)) && self.follows();
        // The last one is what follows; alone, it is the called function.
        let (&back, to) = b.next.split_last()?;
        (call && !to.is_empty()).then(|| (to.to_vec(), back))
    }

    /// Let what is called go on after the calls. Gives where that is.
    fn link_returns(&self, blocks: &mut BTreeMap<u32, Block>) -> BTreeSet<u32> {
        let calls: BTreeMap<u32, _> = blocks.iter().filter_map(|(&k, b)| Some((k, self.call(b)?))).collect();
        let keys: BTreeSet<u32> = blocks.keys().copied().collect();
        let inside: BTreeMap<u32, Vec<u32>> = blocks
            .iter()
            .map(|(&k, b)| (k, calls.get(&k).map_or_else(|| b.next.clone(), |&(_, back)| vec![back])))
            .collect();
        let mut of: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for (to, back) in calls.values() {
            for &f in to {
                of.entry(f).or_default().insert(*back);
            }
        }
        for (f, backs) in of {
            for k in reached(f, &keys, &inside).into_iter().chain([f]) {
                if let Some(b) = blocks.get_mut(&k).filter(|b| b.items.last().is_some_and(super::returns)) {
                    let new = backs.iter().copied().filter(|n| !b.next.contains(n)).collect::<Vec<_>>();
                    b.next.extend(new);
                }
            }
        }
        calls.into_values().map(|(_, back)| back).collect()
    }

    /// The region of `head`: the blocks that may come back to it, or with `all` everything that follows; with `inner` those
    /// of the innermost loop alone.
    pub fn region(&self, head: u32, all: bool, inner: bool) -> Option<Region> {
        let mut blocks = self.explore(head);
        let returns = self.link_returns(&mut blocks);
        let keys: BTreeSet<u32> = blocks.keys().copied().collect();
        let forward: BTreeMap<u32, Vec<u32>> = blocks
            .iter()
            .map(|(&k, b)| {
                // What is behind a loop with a region of its own may come back.
                let next = b.next.iter().map(|&n| if self.owned(n, head) { head } else { n });
                (k, next.filter(|n| keys.contains(n)).collect())
            })
            .collect();
        let mut back: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (&k, v) in &forward {
            v.iter().for_each(|&n| back.entry(n).or_default().push(k));
        }
        let down = reached(head, &keys, &forward);
        if !all {
            if !down.contains(&head) {
                return None;
            }
            let up = reached(head, &keys, &back);
            blocks.retain(|k, _| down.contains(k) && up.contains(k));
            if inner {
                let round = self.innermost(head, &blocks, [&forward, &back]);
                blocks.retain(|k, _| round.contains(k));
            }
        } else {
            blocks.retain(|&k, _| k == head || down.contains(&k));
        }
        if !blocks.contains_key(&head) {
            return None;
        }
        let keys: BTreeSet<u32> = blocks.keys().copied().collect();
        for b in blocks.values_mut() {
            b.next.retain(|n| keys.contains(n));
        }
        let returns = returns.into_iter().filter(|r| blocks.contains_key(r)).collect();
        let mut r = Region { head, blocks, returns, ..Region::default() };
        if r.len() > self.limits.region {
            self.too_large.set(true);
            return None;
        }
        r.find_turns();
        self.registers(&mut r);
        Some(r)
    }

    /// Where code outside of the loop `r` enters it, when that is one place and not the head: a loop that is entered at its
    /// condition. The head's code would be entered one turn late each time.
    pub fn entry(&self, r: &Region) -> Option<u32> {
        let turns = r.turns.iter().filter(|t| t.1 == r.head);
        let last = turns.filter_map(|t| r.blocks.get(&t.0)?.items.last()).map(|i| i.off).max();
        let last = last.filter(|&n| n > r.head)?;
        let inside: BTreeSet<u32> = r.blocks.values().flat_map(|b| &b.items).map(|i| i.off).collect();
        let mut entries = BTreeSet::new();
        let begun = self.begun?;
        let starts = begun.iter().enumerate().filter(|b| *b.1).map(|b| 4 * b.0 as u32);
        for from in starts.filter(|off| !inside.contains(off)) {
            let mut at = Some(from);
            for _ in 0..MOST_STRAIGHT {
                let Some(off) = at.filter(|&off| self.knows(off)) else { break };
                if inside.contains(&off) {
                    entries.insert(off);
                    break;
                }
                let i = self.item(off);
                if self.stops(&i) {
                    break;
                }
                at = self.places.after(off, i.insn.len() as i64);
                if let Some(to) = self.branch(&i).filter(|_| !i.insn.lk()) {
                    // Where nobody went so far is no way in.
                    let taken = |&t: &u32| Some(t) != at && begun[t as usize / 4] && inside.contains(&t);
                    entries.extend(to.iter().copied().filter(taken));
                    at = at.filter(|n| to.contains(n));
                }
            }
        }
        let mut entries = entries.range(r.head..=last);
        let &first = entries.next().filter(|&&n| n > r.head && n / 4096 == r.head / 4096)?;
        entries.next().is_none().then_some(first)
    }

    fn registers(&self, r: &mut Region) {
        for b in r.blocks.values_mut() {
            for i in &b.items {
                let t = audit(i.op, i.insn, self.mode);
                r.accesses += (t.load || t.store) as usize;
                let (read, single) = match t.fp {
                    Some(f) => (super::fp::operands(&f), f.form == FpForm::F32),
                    None => (t.read.vsr, false),
                };
                b.exposed |= read & !b.write.vsr;
                if single && !matches!(t.fp.map(|f| f.op), Some(FpOp::RoundSp | FpOp::FromInt(_))) {
                    b.as_single |= read;
                }
                if !single && !super::fp::loads_single(i.op) {
                    b.other_write |= t.write.vsr;
                }
                b.read = b.read.union(t.read);
                b.write = b.write.union(whole(t.write));
            }
        }
        let edges: Vec<(u32, u32)> =
            r.blocks.values().flat_map(|b| b.next.iter().map(move |&n| (b.off, n))).collect();
        loop {
            let mut changed = false;
            for &(from, to) in &edges {
                let f = &r.blocks[&from];
                let out = f.dirty.union(f.write);
                if let Some(t) = r.blocks.get_mut(&to)
                    && !t.dirty.contains(out)
                {
                    t.dirty = t.dirty.union(out);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        for (from, to) in edges {
            if let Some(t) = r.blocks.get_mut(&to) {
                t.from.push(from);
            }
        }
    }
}

/// The blocks of `set` that are reached from `n` along `edges` inside it, with one step at least.
fn reached(n: u32, set: &BTreeSet<u32>, edges: &BTreeMap<u32, Vec<u32>>) -> BTreeSet<u32> {
    let mut seen = BTreeSet::new();
    let mut todo = vec![n];
    while let Some(n) = todo.pop() {
        for &x in edges.get(&n).into_iter().flatten() {
            if set.contains(&x) && seen.insert(x) {
                todo.push(x);
            }
        }
    }
    seen
}

/// Registers that are written as a whole: the fields of the CR, and the 32-bit twins of XER's bits.
pub fn whole(mut r: Regs) -> Regs {
    use isa::audit::{CA, CA32, OV, OV32, SO};
    for n in 0..8 {
        let field = Regs::cr_field(n);
        if r.cr & field.cr != 0 {
            r.cr |= field.cr;
        }
    }
    if r.xer & (CA | CA32) != 0 {
        r.xer |= CA | CA32;
    }
    if r.xer & (OV | OV32) != 0 {
        r.xer |= OV | OV32 | SO;
    }
    r
}

#[cfg(test)]
mod tests {
    use super::super::places::HOME;
    use super::*;

    /// A loop that calls a function, and what follows it: bl F; bdnz -4; blr. F: cmpwi r3,0; beq +8; addi r4,r4,1; blr.
    const CODE: [(u32, u32); 7] = [
        (0, 0x4800_0041),
        (4, 0x4200_fffc),
        (8, 0x4e80_0020),
        (0x40, 0x2c03_0000),
        (0x44, 0x4182_0008),
        (0x48, 0x3884_0001),
        (0x4c, 0x4e80_0020),
    ];

    fn with_page(begun: &[u32], narrow: bool, check: impl Fn(&Page)) {
        with_code(&CODE, begun, narrow, check);
    }

    fn with_code(code: &[(u32, u32)], begun: &[u32], narrow: bool, check: impl Fn(&Page)) {
        let mut bytes = [0; SPAN as usize];
        for &(at, w) in code {
            let at = (HOME + at) as usize;
            bytes[at..at + 4].copy_from_slice(&w.to_le_bytes());
        }
        let mut places = [None; SLOTS];
        places[1] = Some(0);
        let mut map = [false; SPAN as usize / 4];
        begun.iter().for_each(|at| map[(HOME + at) as usize / 4] = true);
        check(&Page {
            bytes: &bytes,
            places: Places(places),
            mode: Mode {
                sf: true,
                le: true,
                pr: true,
                fp: false,
                vec: false,
                vsx: false,
                fe: false,
                level: Level::V3_1,
            },
            left_out: &BTreeSet::new(),
            begun: Some(&map),
            narrow,
            calls: true,
            own: &BTreeSet::new(),
            targets: Targets::default(),
            limits: Limits::USUAL,
            too_large: Cell::default(),
            found: OnceCell::new(),
        });
    }

    fn offsets(r: &Region) -> Vec<u32> {
        r.blocks.keys().map(|k| k - HOME).collect()
    }

    #[test]
    fn a_function_returns_to_who_called_it() {
        with_page(&[0, 4, 0x40, 0x4c], false, |p| {
            let r = p.region(HOME, false, false).expect("a loop");
            assert_eq!(offsets(&r), [0, 4, 0x40, 0x48, 0x4c], "what follows the loop returns to others");
            assert_eq!(r.blocks[&(HOME + 0x4c)].next, [HOME + 4]);
            assert_eq!(r.turns, BTreeSet::from([(HOME + 4, HOME)]), "calls and returns do not go round");
        });
    }

    #[test]
    fn the_shorter_way_counts_where_a_longer_one_can_make_up_for_it() {
        with_page(&[0, 4, 0x40, 0x48, 0x4c], false, |p| {
            let r = p.region(HOME, false, false).expect("a loop");
            let spent: Vec<_> = r.spent().into_iter().map(|(at, n)| (at - HOME, n)).collect();
            // The last of the function comes after the third instruction, or the fourth, which goes there only and takes
            // the one more off; what is behind the call comes after the function.
            assert_eq!(spent, [(0, 0), (4, 4), (0x40, 1), (0x48, 3), (0x4c, 3)]);
        });
    }

    /// cmpdi r4,0; beq L; b C; H: addi r3,r3,1; C: cmpwi r3,0; bne H; L: blr.
    const ROTATED: [(u32, u32); 7] = [
        (0, 0x2c24_0000),
        (4, 0x4182_0014),
        (8, 0x4800_0008),
        (0xc, 0x3863_0001),
        (0x10, 0x2c03_0000),
        (0x14, 0x4082_fff8),
        (0x18, 0x4e80_0020),
    ];

    #[test]
    fn a_loop_begins_where_it_is_entered() {
        let entry = |begun: &[u32], expected: Option<u32>| {
            with_code(&ROTATED, begun, false, |p| {
                let r = p.region(HOME + 0xc, false, false).expect("a loop");
                assert_eq!(offsets(&r), [0xc]);
                assert_eq!(p.entry(&r), expected.map(|n| HOME + n));
            });
        };
        entry(&[0, 0xc, 0x10, 0x18], Some(0x10));
        with_code(&ROTATED, &[0, 0xc, 0x10, 0x18], false, |p| {
            let r = p.region(HOME + 0x10, false, false).expect("the same loop");
            assert_eq!(offsets(&r), [0xc, 0x10]);
            assert_eq!(p.entry(&r), None);
        });
        // It is not known how.
        entry(&[0xc, 0x10], None);
        // Code before runs into the head.
        entry(&[0, 8, 0xc], None);
    }

    #[test]
    fn what_is_too_large_is_told_from_what_is_no_loop() {
        // addi r3,r3,1, and at the end a branch to the first of them.
        for (len, large, found, told) in [
            (400, false, true, false),
            (401, false, false, true),
            (401, true, true, false),
            (1001, true, false, true),
        ] {
            let branch = 0x4800_0000 | (4 - 4 * len) as u32 & 0x03ff_fffc;
            let code: Vec<_> =
                (0..len).map(|n| (4 * n as u32, if n + 1 < len { 0x3863_0001 } else { branch })).collect();
            with_code(&code, &[0], false, |p| {
                let limits = if large { Limits::LARGE } else { Limits::USUAL };
                let p = Page { limits, too_large: Cell::default(), found: OnceCell::new(), ..*p };
                assert_eq!(p.region(HOME, false, false).is_some(), found, "{len} {large}");
                assert_eq!(p.too_large.get(), told, "{len} {large}");
            });
        }
        with_page(&[0, 4, 8], false, |p| {
            assert!(p.region(HOME + 8, false, false).is_none());
            assert!(!p.too_large.get());
        });
    }

    #[test]
    fn ways_that_nobody_went_are_left_out() {
        // The branch was never taken.
        with_page(&[0, 4, 0x40], true, |p| {
            let r = p.region(HOME, false, false).expect("a loop");
            assert_eq!(offsets(&r), [0, 4, 0x40, 0x48]);
        });
        // Nobody called the function.
        with_page(&[0, 4], false, |p| assert!(p.region(HOME, false, false).is_none_or(|r| r.len() == 2)));
    }
}
