//! Accesses off one base register within a few hundred bytes share one TLB probe.

use std::collections::HashMap;

use cranelift_codegen::ir::Value;
use isa::audit::audit;
use isa::{Insn, Mode, Op};

use super::region::Block;

/// Most bytes that a group spans.
const SPAN: i64 = 512;

/// Accesses that share a probe.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Displacement of the lowest byte.
    pub lo: i64,
    /// Displacement after the highest byte.
    pub hi: i64,
    /// Host address of the base, once probed.
    pub host: Option<Value>,
    members: u32,
}

/// The groups of a block.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
    /// By offset of the instruction: its group and displacement.
    of: HashMap<u32, (usize, i64)>,
}

/// Base register, displacement, size and whether it stores, of an access with a displacement.
fn access(op: Op, i: Insn) -> Option<(u32, i64, i64, bool)> {
    let (d, size, store) = match op {
        Op::Lbz => (i.si(), 1, false),
        Op::Lhz | Op::Lha => (i.si(), 2, false),
        Op::Lwz | Op::Lfs => (i.si(), 4, false),
        Op::Lwa => (i.ds(), 4, false),
        Op::Ld => (i.ds(), 8, false),
        Op::Lfd => (i.si(), 8, false),
        Op::Stb => (i.si(), 1, true),
        Op::Sth => (i.si(), 2, true),
        Op::Stw | Op::Stfs => (i.si(), 4, true),
        Op::Std => (i.ds(), 8, true),
        Op::Stfd => (i.si(), 8, true),
        _ => return None,
    };
    (i.ra() != 0 && i.prefix == 0).then_some((i.ra(), d, size, store))
}

impl Groups {
    /// Those of a block.
    pub fn of(b: &Block, mode: Mode) -> Self {
        let mut g = Groups::default();
        if !mode.sf {
            return g;
        }
        let mut open: HashMap<(u32, bool), usize> = HashMap::new();
        for i in &b.items {
            if let Some((base, d, size, store)) = access(i.op, i.insn) {
                let fits = |x: &Group| x.hi.max(d + size) - x.lo.min(d) <= SPAN;
                let n = match open.get(&(base, store)) {
                    Some(&n) if fits(&g.groups[n]) => n,
                    _ => {
                        g.groups.push(Group { lo: d, hi: d + size, host: None, members: 0 });
                        g.groups.len() - 1
                    }
                };
                open.insert((base, store), n);
                let x = &mut g.groups[n];
                x.lo = x.lo.min(d);
                x.hi = x.hi.max(d + size);
                x.members += 1;
                g.of.insert(i.off, (n, d));
            }
            let written = audit(i.op, i.insn, mode).write.gpr;
            open.retain(|&(base, _), _| written >> base & 1 == 0);
        }
        let groups = &g.groups;
        g.of.retain(|_, (n, _)| groups[*n].members > 1);
        g
    }

    /// The group of the instruction at `off`, and its displacement.
    pub fn get(&mut self, off: u32) -> Option<(&mut Group, i64)> {
        let &(n, d) = self.of.get(&off)?;
        Some((&mut self.groups[n], d))
    }
}
