//! Loops that are one path through, with ways out: while their accesses stay in the pages that their windows show, turns
//! go without a look at these. How many they are is worked out where the loop turns back; the loop is there twice.

use std::collections::{BTreeSet, HashMap, HashSet};

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, InstBuilder, Value};
use isa::audit::audit;
use isa::{Insn, Mode, Op};

use super::group::{access, moved};
use super::lower::{Lower, Window};
use super::places::Places;
use super::region::{Block, Item, Region};

/// Most instructions of such a loop.
const MOST: usize = 64;

/// Most windows that it keeps to: each is a register more.
const WINDOWS: usize = 4;

/// Division by a turn's instructions is multiplication by so many bits of the reciprocal.
const SHARE: u32 = 16;

/// Turns that are worth it.
const TURNS: i64 = 3;

/// Where an access is.
#[derive(Clone, Copy, Debug)]
pub struct Where {
    /// The registers that are added.
    regs: [Option<u32>; 2],
    /// What is added to them as they are when a turn begins.
    add: i64,
    /// The address is rounded down to 16.
    round: bool,
    /// How far the next turn's is on.
    stride: i64,
}

/// A loop.
#[derive(Clone, Debug, Default)]
pub struct Strip {
    /// Its blocks, the head first.
    pub chain: Vec<u32>,
    /// Its accesses whose addresses are known a turn before.
    pub at: HashMap<u32, Where>,
    /// Registers that no turn changes and shifts of doublewords take their number from, by instruction.
    shifts: Vec<(u32, u32)>,
    /// Instructions of a turn.
    pub len: i64,
}

/// The copy that looks at no windows, in the making.
#[derive(Clone, Debug)]
pub struct Fast {
    /// Offset of the head.
    pub head: u32,
    /// Where it turns back.
    pub latch: ir::Block,
    /// The block that the present one goes on in.
    pub next: Option<(u32, ir::Block)>,
    /// Host addresses less effective addresses, by instruction.
    pub addends: HashMap<u32, Value>,
    /// Shifts of doublewords by less than 64.
    pub short: HashSet<u32>,
    /// Budget left when all turns are done.
    pub stop: Value,
    /// Instructions of a turn.
    pub len: i64,
    /// Those of blocks of this turn that are complete.
    pub spent: u32,
}

/// Registers added, and displacement, of an access; and whether its address is rounded.
fn operands(op: Op, i: Insn) -> Option<([Option<u32>; 2], i64, bool)> {
    use Op::*;
    if i.prefix != 0 {
        return None;
    }
    let ra = Some(i.ra()).filter(|&r| r != 0);
    match op {
        Lxv | Stxv => Some(([ra, None], i.dq(), false)),
        Lbzx | Lhzx | Lhax | Lwzx | Lwax | Ldx | Stbx | Sthx | Stwx | Stdx | Lhbrx | Lwbrx | Ldbrx
        | Sthbrx | Stwbrx | Stdbrx | Lfsx | Lfdx | Stfsx | Stfdx | Lxvx | Lxvb16x | Lxvd2x | Lxvh8x
        | Lxvw4x | Stxvx | Stxvb16x | Stxvd2x | Stxvh8x | Stxvw4x => Some(([ra, Some(i.rb())], 0, false)),
        Lvx | Stvx => Some(([ra, Some(i.rb())], 0, true)),
        _ => access(op, i).map(|(base, d, ..)| ([Some(base), None], d, false)),
    }
}

impl Strip {
    /// The loop at `head`, if it is such a one.
    fn at(head: &Block, r: &Region, places: &Places, mode: Mode) -> Option<Strip> {
        let mut s = Strip::default();
        let mut b = head;
        let mut added = [Some(0i64); 32];
        let mut seen: Vec<(u32, [Option<u32>; 2], i64, bool)> = Vec::new();
        loop {
            s.chain.push(b.off);
            s.len += b.items.len() as i64;
            let last = b.items.last()?;
            let plain = match last.op {
                Op::B => !last.insn.lk() && !last.insn.aa(),
                Op::Bc => !last.insn.lk() && !last.insn.aa(),
                _ => true,
            };
            let others = b.items.iter().any(|i| matches!(i.op, Op::Bclr | Op::Bcctr | Op::Sync));
            if !plain || others || s.len > MOST as i64 {
                return None;
            }
            b.items.iter().for_each(|i| follow(i, &mut added, &mut seen, mode));
            if b.next.contains(&head.off) {
                break;
            }
            let after = places.after(last.off, last.insn.len() as i64)?;
            b = r.blocks.get(&after).filter(|n| b.next.contains(&after) && n.from[..] == [b.off])?;
        }
        let written = s.chain.iter().fold(0, |w, k| w | r.blocks[k].write.gpr);
        let shifts = s.chain.iter().flat_map(|k| &r.blocks[k].items);
        let shifts = shifts.filter(|i| matches!(i.op, Op::Sld | Op::Srd | Op::Srad));
        let shifts = shifts.filter(|i| written >> i.insn.rb() & 1 == 0);
        s.shifts = shifts.map(|i| (i.off, i.insn.rb())).collect();
        for (off, regs, add, round) in seen {
            let stride = regs.iter().flatten().try_fold(0i64, |n, &r| Some(n + added[r as usize & 31]?));
            if let Some(stride) = stride
                && (stride == 0 || stride.unsigned_abs().is_power_of_two() && stride.unsigned_abs() <= 512)
                && !(round && stride % 16 != 0)
            {
                s.at.insert(off, Where { regs, add, round, stride });
            }
        }
        (!s.at.is_empty()).then_some(s)
    }

    /// All of a region.
    pub fn all(r: &Region, places: &Places, mode: Mode) -> Vec<Strip> {
        if !mode.sf {
            return Vec::new();
        }
        let heads = r.blocks.values().filter(|b| b.from.iter().any(|&f| f >= b.off));
        heads.filter_map(|b| Strip::at(b, r, places, mode)).collect()
    }
}

/// Note what an instruction accesses, and what it adds to registers.
fn follow(
    i: &Item,
    added: &mut [Option<i64>; 32],
    seen: &mut Vec<(u32, [Option<u32>; 2], i64, bool)>,
    mode: Mode,
) {
    if let Some((regs, d, round)) = operands(i.op, i.insn) {
        let add = regs.iter().flatten().try_fold(d, |n, &r| Some(n + added[r as usize & 31]?));
        if let Some(add) = add {
            seen.push((i.off, regs, add, round));
        }
    }
    let moved = moved(i);
    let written = audit(i.op, i.insn, mode).write.gpr;
    for (r, a) in added.iter_mut().enumerate() {
        match moved {
            Some((m, d)) if m as usize == r => *a = a.map(|a| a + d),
            _ if written >> r & 1 != 0 => *a = None,
            _ => {}
        }
    }
}

/// The window of an access that looked at it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// It.
    pub window: Window,
    /// Its limit.
    pub limit: u32,
    /// How far the first byte is from the instruction's own.
    pub from: i64,
}

impl Lower<'_> {
    /// In the block where the loop at `strip` turns back: go on in the copy that looks at no windows if that is worth it.
    /// Gives that copy.
    pub(super) fn plan(&mut self, strip: &Strip, head: ir::Block) -> Option<(Fast, ir::Block)> {
        let mut at: Vec<(u32, Where, Seen)> = Vec::new();
        for (&off, &w) in &strip.at {
            if let Some(&seen) = self.seen.get(&off) {
                at.push((off, w, seen));
            }
        }
        at.sort_by_key(|x| x.0);
        if at.is_empty() || at.len() > WINDOWS {
            self.f.ins().jump(head, &[]);
            return None;
        }
        let mut addends = HashMap::new();
        let zero = self.iconst(0);
        let mut turns = self.iconst(4096);
        for (off, w, seen) in at {
            let mut first = self.iconst(0);
            for r in w.regs.into_iter().flatten() {
                let v = self.f.use_var(self.vars.gpr[r as usize & 31]);
                first = self.f.ins().iadd(first, v);
            }
            first = self.f.ins().iadd_imm_s(first, w.add);
            if w.round {
                first = self.f.ins().band_imm_s(first, -16);
            }
            first = self.f.ins().iadd_imm_s(first, seen.from);
            let page = self.state_load(I64, seen.window.page);
            let into = self.f.ins().isub(first, page);
            let limit = self.state_load(I64, seen.window.limit);
            let inside = self.f.ins().icmp(IntCC::UnsignedLessThan, into, limit);
            let room = if w.stride > 0 {
                let room = self.f.ins().isub(limit, into);
                self.f.ins().iadd_imm_s(room, -1)
            } else {
                into
            };
            let by = w.stride.unsigned_abs().trailing_zeros();
            let room =
                if w.stride == 0 { self.iconst(4095) } else { self.f.ins().ushr_imm_u(room, by as i64) };
            let room = self.f.ins().iadd_imm_s(room, 1);
            let room = self.f.ins().select(inside, room, zero);
            turns = self.f.ins().umin(turns, room);
            addends.insert(off, self.state_load(I64, seen.window.addend));
        }
        if !strip.shifts.is_empty() {
            let mut all = zero;
            let regs: BTreeSet<u32> = strip.shifts.iter().map(|&(_, r)| r).collect();
            for r in regs {
                let v = self.f.use_var(self.vars.gpr[r as usize & 31]);
                all = self.f.ins().bor(all, v);
            }
            let long = self.f.ins().band_imm_u(all, 64);
            let long = self.f.ins().icmp_imm_u(IntCC::NotEqual, long, 0);
            turns = self.f.ins().select(long, zero, turns);
        }
        // No more than the budget is enough for: the last turn may use it up.
        let left = self.f.use_var(self.vars.left);
        let spent = self.spent_at(self.places.rel(strip.chain[0]));
        let left = self.f.ins().iadd_imm_s(left, -spent);
        let share = self.f.ins().imul_imm_s(left, (1 << SHARE) / strip.len);
        let share = self.f.ins().sshr_imm_u(share, SHARE as i64);
        let share = self.f.ins().iadd_imm_s(share, 1);
        let turns = self.f.ins().umin(turns, share);
        let all = self.f.ins().imul_imm_s(turns, strip.len);
        let stop = self.f.ins().isub(left, all);
        self.f.def_var(self.vars.turns, turns);
        let (fast, latch) = (self.f.create_block(), self.f.create_block());
        let few = self.f.ins().icmp_imm_s(IntCC::SignedLessThan, turns, TURNS);
        self.f.ins().brif(few, head, &[], fast, &[]);
        let short = strip.shifts.iter().map(|&(off, _)| off).collect();
        let head = strip.chain[0];
        Some((Fast { head, latch, next: None, addends, short, stop, len: strip.len, spent: 0 }, fast))
    }
}
