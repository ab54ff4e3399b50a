//! Accesses off one base register within a few hundred bytes share one TLB probe: in a block and those that only it goes
//! on in, over additions of constants to the register too.

use std::collections::HashMap;

use cranelift_codegen::ir::Value;
use isa::audit::audit;
use isa::{Insn, Mode, Op};

use super::region::{Item, Region};

/// Most bytes that a group spans.
const SPAN: i64 = 512;

/// Accesses that share a probe.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Displacement of the lowest byte.
    pub lo: i64,
    /// Displacement after the highest byte.
    pub hi: i64,
    /// Host address of the base as it was at the first access, once probed.
    pub host: Option<Value>,
    members: u32,
}

/// Open groups by base register and whether they store, and what was added to the register since they began.
type Open = HashMap<(u32, bool), (usize, i64)>;

/// The groups of a region.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
    /// By offset of the instruction: its group and displacement.
    of: HashMap<u32, (usize, i64)>,
}

/// Base register, displacement, size and whether it stores, of an access with a displacement.
pub fn access(op: Op, i: Insn) -> Option<(u32, i64, i64, bool)> {
    let (d, size, store) = match op {
        Op::Lbz | Op::Lbzu => (i.si(), 1, false),
        Op::Lhz | Op::Lha | Op::Lhzu | Op::Lhau => (i.si(), 2, false),
        Op::Lwz | Op::Lfs | Op::Lwzu | Op::Lfsu => (i.si(), 4, false),
        Op::Lwa => (i.ds(), 4, false),
        Op::Ld | Op::Ldu => (i.ds(), 8, false),
        Op::Lfd | Op::Lfdu => (i.si(), 8, false),
        Op::Stb | Op::Stbu => (i.si(), 1, true),
        Op::Sth | Op::Sthu => (i.si(), 2, true),
        Op::Stw | Op::Stfs | Op::Stwu | Op::Stfsu => (i.si(), 4, true),
        Op::Std | Op::Stdu => (i.ds(), 8, true),
        Op::Stfd | Op::Stfdu => (i.si(), 8, true),
        _ => return None,
    };
    (i.ra() != 0 && i.prefix == 0).then_some((i.ra(), d, size, store))
}

/// The register that `i` only adds a constant to, and that.
pub fn moved(i: &Item) -> Option<(u32, i64)> {
    use Op::*;
    match i.op {
        Addi if i.insn.prefix == 0 && i.insn.ra() != 0 && i.insn.ra() == i.insn.rt() => {
            Some((i.insn.ra(), i.insn.si()))
        }
        Lbzu | Lhzu | Lhau | Lwzu | Ldu | Lfsu | Lfdu | Stbu | Sthu | Stwu | Stdu | Stfsu | Stfdu => {
            let loads = matches!(i.op, Lbzu | Lhzu | Lhau | Lwzu | Ldu);
            access(i.op, i.insn)
                .map(|(base, d, ..)| (base, d))
                .filter(|&(base, _)| !loads || base != i.insn.rt())
        }
        _ => None,
    }
}

impl Groups {
    /// Those of a region. Where a block is `apart` from the only one before it, there is another way to it.
    pub fn of(r: &Region, apart: impl Fn(u32, u32) -> bool, mode: Mode) -> Self {
        let mut g = Groups::default();
        if !mode.sf {
            return g;
        }
        let mut ends: HashMap<u32, Open> = HashMap::new();
        for b in r.blocks.values() {
            let mut open = match b.from[..] {
                [from] if b.off != r.head && !apart(from, b.off) => {
                    ends.get(&from).cloned().unwrap_or_default()
                }
                _ => Open::new(),
            };
            b.items.iter().for_each(|i| g.add(i, &mut open, mode));
            ends.insert(b.off, open);
        }
        let groups = &g.groups;
        g.of.retain(|_, (n, _)| groups[*n].members > 1);
        g
    }

    fn add(&mut self, i: &Item, open: &mut Open, mode: Mode) {
        if let Some((base, d, size, store)) = access(i.op, i.insn) {
            let fits = |x: &Group, d: i64| x.hi.max(d + size) - x.lo.min(d) <= SPAN;
            let (n, added) = match open.get(&(base, store)) {
                Some(&(n, added)) if fits(&self.groups[n], d + added) => (n, added),
                _ => {
                    self.groups.push(Group { lo: d, hi: d + size, host: None, members: 0 });
                    (self.groups.len() - 1, 0)
                }
            };
            open.insert((base, store), (n, added));
            let (x, d) = (&mut self.groups[n], d + added);
            x.lo = x.lo.min(d);
            x.hi = x.hi.max(d + size);
            x.members += 1;
            self.of.insert(i.off, (n, d));
        }
        let moved = moved(i);
        let written = audit(i.op, i.insn, mode).write.gpr;
        open.retain(|&(base, _), (_, added)| match moved {
            Some((r, d)) if r == base => {
                *added += d;
                true
            }
            _ => written >> base & 1 == 0,
        });
    }

    /// Nothing is probed yet.
    pub fn forget(&mut self) {
        self.groups.iter_mut().for_each(|g| g.host = None);
    }

    /// The group of the instruction at `off`, and its displacement.
    pub fn get(&mut self, off: u32) -> Option<(&mut Group, i64)> {
        let &(n, d) = self.of.get(&off)?;
        Some((&mut self.groups[n], d))
    }
}
