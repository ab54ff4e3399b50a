//! The builder that makes intermediate code: state of one region in the making.
//!
//! Guest registers are variables of the function; memory is brought up to date in cold blocks on the way out. An
//! instruction that the compiler does not do makes [`Lower::failed`] true: the region is then formed anew without it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arch::SO_OWED;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{self, AliasRegion, InstBuilder, MemFlagsData, Type, Value};
use cranelift_frontend::{FunctionBuilder, Variable};

use isa::audit::{CA, OV, Regs, SO};
use isa::{Mode, Rel};

use super::group::Groups;
use super::places::Places;
use super::region::{Item, whole};
use super::strip::{Fast, Seen};
use super::{Exit, Targets};
use crate::counts::region;
use crate::thunk::{Ask, slot};

/// A condition, perhaps to be complemented.
#[derive(Clone, Copy, Debug)]
pub struct C {
    pub(super) v: Value,
    pub(super) not: bool,
}

/// What is known of a CR field.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    /// The result of a comparison of these, as wide as said.
    Compare { signed: bool, wide: bool, a: Value, b: Value },
    /// The result of a comparison of these doubles, neither of them a NaN; and the four bits.
    Floats { a: Value, b: Value, bits: Value },
    /// These four bits of a vector comparison whose result has these bytes' signs.
    Mask { m: Value, bits: Value },
    /// These four bits.
    Raw(Value),
}

/// Where guest registers that are variables live.
#[derive(Clone, Copy)]
pub struct Vars {
    pub gpr: [Variable; 32],
    pub lr: Variable,
    pub ctr: Variable,
    /// CR fields.
    pub cr: [CrVars; 8],
    /// SO, OV, CA, OV32; and a doubleword whose bit 32, counted from the right, is CA32 ([`Lower::ca32`]).
    pub xer: [Variable; 5],
    /// Doublewords 0 of the VSRs, as doubles.
    pub fpr: [Variable; 64],
    /// The same as singles, of [`Lower::only_singles`].
    pub single: [Variable; 64],
    /// Doublewords 1, of those VSRs where it may be other than zero when they are written.
    pub lo: [Variable; 64],
    /// VSRs that are vectors: [`Lower::wide`].
    pub vec: [Variable; 64],
    /// The last floating-point operation: its number, and its operands.
    pub last: (Variable, [Variable; 3]),
    /// What happened to FPCC, FI and FR since then.
    pub after: Variable,
    /// Budget left, and [`Lower::spent`] of it.
    pub left: Variable,
    /// Turns that a copy of a loop has still to do, the present one included.
    pub turns: Variable,
}

/// The variables of a CR field: what was compared last, for whoever wants to know the result. Most never do.
#[derive(Clone, Copy)]
pub struct CrVars {
    /// The numbers compared, or the four bits and nothing.
    pub of: [Variable; 2],
    /// Which of [`Kind`].
    pub kind: Variable,
    /// XER[SO] as it was then, where the region changes that.
    pub so: Variable,
}

/// What the numbers of a CR field are.
#[derive(Clone, Copy)]
enum Kind {
    Signed,
    Unsigned,
    Bits,
}

/// A block on the way to a place.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    block: ir::Block,
    /// The place, relative to the head's page.
    rel: i64,
    /// The block there, if it is in the region, and what is spent there.
    to: Option<(ir::Block, i64)>,
    /// A loop turns there.
    turns: bool,
}

/// A TLB probe's tables.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Displacements of the tables for loads and stores.
    pub data: [i32; 2],
    /// Address of [`crate::thunk::Thunks::window`].
    pub window: u64,
}

/// The page where an access found its bytes last time. The same page needs no look-up, and where its bytes are does
/// not wait for one. Windows are closed when a region is entered and the TLB forgot anything since it had them, or
/// another region has them; and nothing invalidates the TLB until it is left.
/// They are words of the state: as variables they would drive the guest's registers to memory.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its first word.
    word: usize,
    /// Effective address of the page.
    pub(super) page: i32,
    /// Host address less effective address.
    pub(super) addend: i32,
    /// How far the first byte may be into the page, exclusive; 0: there is no page.
    pub(super) limit: i32,
}

/// The windows of a region.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    /// Those that nobody has yet.
    free: Vec<Window>,
    /// There are too few: accesses off one register share one.
    shared: bool,
    of: HashMap<(u32, bool), Window>,
}

impl Windows {
    /// One for an access of `len` bytes off register `base`, and its limit.
    fn take(&mut self, base: u32, len: i64, write: bool) -> Option<(Window, u32)> {
        if !self.shared || len > 16 {
            return Some((self.free.pop()?, 4097 - len as u32));
        }
        let w = match self.of.get(&(base, write)) {
            Some(&w) => w,
            None => *self.of.entry((base, write)).or_insert(self.free.pop()?),
        };
        Some((w, 4097 - 16))
    }
}

/// A region in the making.
pub struct Lower<'f> {
    pub(super) f: FunctionBuilder<'f>,
    pub(super) mode: Mode,
    pub(super) tables: Tables,
    pub(super) vars: Vars,
    /// The function's parameter: the processor's registers.
    pub(super) st: Value,
    pub(super) tlb: Value,
    /// Effective address of the head's page.
    pub(super) base: Value,
    pub(super) state_region: Option<AliasRegion>,
    pub(super) tlb_region: Option<AliasRegion>,
    pub(super) guest_region: Option<AliasRegion>,
    pub(super) window_sig: ir::SigRef,
    /// Addresses of [`crate::thunk::piece`]s.
    pub(super) pieces: [u64; crate::thunk::piece::ALL.len()],
    pub(super) piece_sig: ir::SigRef,
    /// The region's blocks.
    pub(super) blocks: BTreeMap<u32, ir::Block>,
    /// 0, 1 and 2: with one value for each, variables that hold the same need not be joined.
    pub(super) small: [Value; 3],
    /// Blocks on the way to a place, to be filled.
    pub(super) ways: Vec<Way>,
    /// What each exit is.
    pub exits: Vec<Exit>,
    /// The block on the way out from blocks of which one leads to the next.
    pub(super) gate: Option<ir::Block>,
    /// All of those.
    pub(super) gates: Vec<ir::Block>,
    pub(super) head: u32,
    pub(super) places: Places,
    /// Calls are followed.
    pub(super) follows: bool,
    /// Where branches to the count register may go.
    pub(super) targets: Targets,
    /// Where the block may return to in the region.
    pub(super) returns: Vec<u32>,
    /// The region does arithmetic on floating-point numbers.
    pub(super) has_fp: bool,
    /// VSRs that are written with something in doubleword 1.
    pub(super) pairs: u64,
    /// VSRs that turned out to be so.
    pub(super) more_pairs: u64,
    /// VSRs that are vectors.
    pub(super) wide: u64,
    /// VSRs that had better be.
    pub(super) more_wide: u64,
    /// Registers that the region writes.
    pub(super) written: Regs,
    /// The last condition made of one bit: its value, whose bit, and which.
    pub(super) tested: Option<(Value, Value, u32)>,
    pub(super) windows: Windows,
    /// Which accesses share a probe.
    pub(super) groups: Groups,
    /// Windows that accesses look at.
    pub(super) seen: HashMap<u32, Seen>,
    /// Blocks where loops turn back, by head.
    pub(super) plans: BTreeMap<u32, ir::Block>,
    /// What is made now is the copy of a loop that looks at no windows.
    pub(super) fast: Option<Fast>,
    /// Masks of shuffles.
    pub(super) masks: HashMap<[u8; 16], ir::Immediate>,
    /// VSRs that only ever hold singles, and are kept so.
    pub(super) only_singles: u64,
    /// Doubles that are singles.
    pub(super) singles: HashMap<Value, Value>,
    /// Registers that may be unlike memory now.
    pub(super) dirty: Regs,
    pub(super) fields: [Option<Field>; 8],
    /// What is spent where blocks begin, see [`Region::spent`].
    pub(super) spends: BTreeMap<u32, i64>,
    /// Instructions done that were not taken off the budget yet, but for [`Lower::done`].
    pub(super) spent: i64,
    /// From where to where the region turns, by offsets of blocks.
    pub(super) turns: BTreeSet<(u32, u32)>,
    /// Offset of the block.
    pub(super) block: u32,
    pub(super) item: Item,
    /// Instructions of the block that are complete.
    pub(super) done: u32,
    /// The block's last instruction is emitted.
    pub(super) ended: bool,
    /// This instruction can not be done.
    pub(super) failed: bool,
}

macro_rules! st {
    ($($f:tt)*) => { $crate::thunk::field(std::mem::offset_of!(arch::CpuState, $($f)*)) };
}
pub(super) use st;

/// Instructions of the budget that a region takes at a time. It looks whether it is to leave when they are used up: a
/// microsecond at most.
const PART: i64 = 2048;

const ENTRY: u32 = std::mem::size_of::<mem::TlbEntry>() as u32;

impl Lower<'_> {
    // ---- small pieces ----

    pub(super) fn iconst(&mut self, x: u64) -> Value {
        self.f.ins().iconst(I64, x as i64)
    }

    /// The constant that `v` is.
    pub(super) fn known(&self, v: Value) -> Option<u64> {
        let dfg = &self.f.func.dfg;
        let i = dfg.value_def(dfg.resolve_aliases(v)).inst()?;
        match dfg.insts[i] {
            ir::InstructionData::UnaryImm { opcode: ir::Opcode::Iconst, imm } => Some(imm.bits() as u64),
            _ => None,
        }
    }

    pub(super) fn state_flags(&self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(self.state_region)
    }

    pub(super) fn guest_flags(&self) -> MemFlagsData {
        MemFlagsData::new().with_notrap().with_alias_region(self.guest_region)
    }

    fn tlb_flags(&self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(self.tlb_region)
    }

    pub(super) fn state_load(&mut self, ty: Type, at: i32) -> Value {
        let (flags, st) = (self.state_flags(), self.st);
        self.f.ins().load(ty, flags, st, at)
    }

    /// A byte of the state as a number.
    pub(super) fn state_load8(&mut self, at: i32) -> Value {
        let (flags, st) = (self.state_flags(), self.st);
        self.f.ins().uload8(I64, flags, st, at)
    }

    pub(super) fn state_store(&mut self, at: i32, v: Value) {
        let (flags, st) = (self.state_flags(), self.st);
        self.f.ins().store(flags, v, st, at);
    }

    pub(super) fn state_store8(&mut self, at: i32, v: Value) {
        let (flags, st) = (self.state_flags(), self.st);
        self.f.ins().istore8(flags, v, st, at);
    }

    pub(super) fn engine_at(n: usize) -> i32 {
        st!(engine) + 8 * n as i32
    }

    pub(super) fn write(&mut self, r: Regs) {
        self.dirty = self.dirty.union(whole(r));
    }

    pub(super) fn fail(&mut self) -> Value {
        self.failed = true;
        self.iconst(0)
    }

    pub(super) fn low(&mut self, v: Value) -> Value {
        self.f.ins().ireduce(I32, v)
    }

    pub(super) fn ext(&mut self, ty: Type, v: Value, signed: bool) -> Value {
        let n = self.f.ins().ireduce(ty, v);
        if signed { self.f.ins().sextend(I64, n) } else { self.f.ins().uextend(I64, n) }
    }

    /// A condition as 0 or 1, 8 bits.
    pub(super) fn flag(&mut self, c: C) -> Value {
        if c.not { self.f.ins().icmp_imm_u(IntCC::Equal, c.v, 0) } else { c.v }
    }

    /// A condition as 0 or 1.
    pub(super) fn number(&mut self, c: C) -> Value {
        let v = self.flag(c);
        self.f.ins().uextend(I64, v)
    }

    pub(super) fn cond(v: Value) -> C {
        C { v, not: false }
    }

    /// What a condition is, when that is known.
    pub(super) fn sure(&self, c: C) -> Option<bool> {
        self.known(c.v).map(|x| (x != 0) != c.not)
    }

    pub(super) fn choose(&mut self, c: C, a: Value, b: Value) -> Value {
        let (x, y) = if c.not { (b, a) } else { (a, b) };
        self.f.ins().select(c.v, x, y)
    }

    /// Branch to `yes` or `no`.
    pub(super) fn brif(&mut self, c: C, yes: ir::Block, no: ir::Block) {
        let (y, n) = if c.not { (no, yes) } else { (yes, no) };
        self.f.ins().brif(c.v, y, &[], n, &[]);
    }

    pub(super) fn rel_code(r: Rel) -> IntCC {
        match r {
            Rel::Eq => IntCC::Equal,
            Rel::Ne => IntCC::NotEqual,
            Rel::Lts => IntCC::SignedLessThan,
            Rel::Gts => IntCC::SignedGreaterThan,
            Rel::Ltu => IntCC::UnsignedLessThan,
            Rel::Gtu => IntCC::UnsignedGreaterThan,
        }
    }

    // ---- leaving ----

    fn exit_number(&mut self, e: Exit) -> u32 {
        match self.exits.iter().position(|&x| x == e) {
            Some(n) => n as u32,
            None => {
                self.exits.push(e);
                self.exits.len() as u32 - 1
            }
        }
    }

    /// Leave in the present block, with `done` of its instructions complete.
    pub(super) fn leave(&mut self, e: Exit, done: u32) {
        let n = self.exit_number(e);
        let left = self.left(done);
        let n = self.iconst(n as u64);
        if self.dirty == Regs::NONE {
            let left = self.with_rest(left);
            self.f.ins().return_(&[n, left]);
            return;
        }
        let gate = match self.gate {
            Some(b) => b,
            None => {
                let b = self.way_out();
                self.gates.push(b);
                *self.gate.insert(b)
            }
        };
        self.f.ins().jump(gate, &[n.into(), left.into()]);
    }

    /// A block with an exit's number and the budget left as its parameters.
    fn way_out(&mut self) -> ir::Block {
        let b = self.cold_exit();
        self.f.append_block_param(b, I64);
        self.f.append_block_param(b, I64);
        b
    }

    /// Fill the block that all ways out share. One for each would be most of a region. Most registers are the same on
    /// all ways from some blocks: these go through one, where the others become parameters.
    pub(super) fn fill_out(&mut self) {
        if self.gates.is_empty() {
            return;
        }
        let out = self.way_out();
        for gate in std::mem::take(&mut self.gates) {
            self.f.switch_to_block(gate);
            let args: Vec<_> = self.f.block_params(gate).iter().map(|&v| v.into()).collect();
            self.f.ins().jump(out, &args);
        }
        self.f.switch_to_block(out);
        self.dirty = whole(self.written);
        self.fields = [None; 8];
        self.singles.clear();
        // Registers become more parameters.
        let mut answer = self.f.block_params(out).to_vec();
        self.write_back();
        if let Some(left) = answer.last_mut() {
            *left = self.with_rest(*left);
        }
        self.f.ins().return_(&answer);
    }

    /// Take a part of the budget, and what is `spent`.
    pub(super) fn take_budget(&mut self, all: Value, spent: i64) {
        let most = self.iconst(PART as u64);
        let part = self.f.ins().smin(all, most);
        let rest = self.f.ins().isub(all, part);
        self.state_store(Self::engine_at(slot::REST), rest);
        let part = self.plus(part, spent);
        self.f.def_var(self.vars.left, part);
    }

    /// `left` and what of the budget was not taken.
    fn with_rest(&mut self, left: Value) -> Value {
        let rest = self.state_load(I64, Self::engine_at(slot::REST));
        self.f.ins().iadd(left, rest)
    }

    fn left(&mut self, done: u32) -> Value {
        if let Some(Fast { stop, len, spent, .. }) = self.fast {
            let turns = self.f.use_var(self.vars.turns);
            let more = self.f.ins().imul_imm_s(turns, len);
            let left = self.f.ins().iadd(stop, more);
            return self.f.ins().iadd_imm_s(left, -((spent + done) as i64));
        }
        let left = self.f.use_var(self.vars.left);
        self.plus(left, -(self.spent + done as i64))
    }

    fn plus(&mut self, v: Value, n: i64) -> Value {
        if n == 0 { v } else { self.f.ins().iadd_imm_s(v, n) }
    }

    fn write_back(&mut self) {
        let d = self.dirty;
        for n in (0..32).filter(|n| d.gpr >> n & 1 != 0) {
            let v = self.f.use_var(self.vars.gpr[n]);
            self.state_store(st!(gpr) + 8 * n as i32, v);
        }
        if d.lr {
            let v = self.f.use_var(self.vars.lr);
            self.state_store(st!(lr), v);
        }
        if d.ctr {
            let v = self.f.use_var(self.vars.ctr);
            self.state_store(st!(ctr), v);
        }
        for n in (0..8).filter(|&n| d.cr & Regs::cr_field(n).cr != 0) {
            let v = self.field_value(n);
            self.state_store8(st!(cr) + n as i32, v);
        }
        for (k, at) in
            [st!(xer_so), st!(xer_ov), st!(xer_ca), st!(xer_ov32), st!(xer_ca32)].into_iter().enumerate()
        {
            let bit = [SO, OV, CA, OV, CA][k];
            if d.xer & bit != 0 {
                let v = self.f.use_var(self.vars.xer[k]);
                let v = if k == 4 { self.ca32(v) } else { v };
                self.state_store8(at, v);
            }
        }
        self.leave_fp();
    }

    /// CA32 of what its variable holds: of the exclusive or of a sum and what was added, whose bits are the carries into
    /// each place. Most are never looked at.
    pub(super) fn ca32(&mut self, v: Value) -> Value {
        let v = self.f.ins().ushr_imm_u(v, 32);
        self.f.ins().band_imm_u(v, 1)
    }

    /// In a cold block of its own: have this instruction carried out by tier 1.
    pub(super) fn cold_exit(&mut self) -> ir::Block {
        let b = self.f.create_block();
        self.f.set_cold_block(b);
        b
    }

    /// Fill a block made by [`Lower::cold_exit`].
    pub(super) fn fill_cold(&mut self, b: ir::Block) {
        self.f.switch_to_block(b);
        let e = self.again();
        self.leave(e, self.done);
    }

    /// The exit that has tier 1 carry out this instruction.
    fn again(&self) -> Exit {
        let off = self.item.off;
        if off == self.head && self.done == 0 { Exit::Head } else { Exit::Go(self.here()) }
    }

    /// Where this instruction is, relative to the head's page.
    pub(super) fn here(&self) -> i64 {
        self.places.rel(self.item.off)
    }

    /// Where the next one is.
    fn next(&self) -> i64 {
        self.here() + self.item.insn.len() as i64
    }

    /// To tier 1 at this instruction when `c`, before anything is written.
    pub(super) fn leave_if(&mut self, c: C) {
        match self.sure(c) {
            Some(false) => return,
            Some(true) => {
                self.failed = true;
                return;
            }
            None => {}
        }
        let cold = self.cold_exit();
        let on = self.f.create_block();
        self.brif(c, cold, on);
        self.fill_cold(cold);
        self.f.switch_to_block(on);
    }

    /// The block of instructions is complete, with `last` one that is not counted yet.
    fn settle(&mut self, last: u32) {
        let done = std::mem::take(&mut self.done) + last;
        match &mut self.fast {
            Some(fast) => fast.spent += done,
            None => self.spent += done as i64,
        }
    }

    /// A block that goes on at `rel`; the budget is settled. What is new is filled by [`Lower::fill_ways`].
    fn way(&mut self, rel: i64) -> ir::Block {
        let linked = super::links(&self.item) || super::calls(&self.item) && !self.follows;
        let off = self.places.place(rel).filter(|_| !linked);
        let mut to = off.and_then(|o| self.blocks.get(&o).copied());
        let mut turns = false;
        if let Some(o) = off {
            if let Some(b) = self.in_copy(o) {
                return b;
            }
            let plan = self.plans.get(&o).copied().filter(|_| o <= self.item.off);
            turns = plan.is_some() || self.turns.contains(&(self.block, o));
            to = plan.or(to);
        }
        self.way_to(rel, to, turns)
    }

    /// The block after a branch that is not taken.
    fn straight(&mut self, rel: i64) -> ir::Block {
        let off = self.places.place(rel);
        if let Some(b) = off.and_then(|o| self.in_copy(o)) {
            return b;
        }
        let to = off.and_then(|o| self.blocks.get(&o).copied());
        let turns = off.is_some_and(|o| self.turns.contains(&(self.block, o)));
        self.way_to(rel, to, turns)
    }

    /// Where the copy of a loop goes on in it at `off`.
    fn in_copy(&self, off: u32) -> Option<ir::Block> {
        let fast = self.fast.as_ref()?;
        if off == fast.head { Some(fast.latch) } else { fast.next.filter(|n| n.0 == off).map(|n| n.1) }
    }

    fn way_to(&mut self, rel: i64, to: Option<ir::Block>, turns: bool) -> ir::Block {
        let to = to.map(|t| (t, self.spent_at(rel)));
        // Out of the copy of a loop the budget is to be worked out.
        if let (Some((t, spent)), false, None) = (to, turns, &self.fast)
            && spent == self.spent
        {
            return t;
        }
        let block = self.f.create_block();
        self.ways.push(Way { block, rel, to, turns });
        block
    }

    /// What is spent at the beginning of the region's block at `rel`.
    pub(super) fn spent_at(&self, rel: i64) -> i64 {
        self.places.place(rel).and_then(|o| self.spends.get(&o)).copied().unwrap_or(0)
    }

    /// The branch is there: fill the blocks it goes through.
    pub(super) fn fill_ways(&mut self) {
        while let Some(Way { block, rel, to, turns }) = self.ways.pop() {
            self.f.switch_to_block(block);
            let Some((t, spent)) = to else {
                self.f.set_cold_block(block);
                self.leave(Exit::Go(rel), 0);
                continue;
            };
            if self.fast.is_some() {
                let left = self.left(0);
                let left = self.plus(left, spent);
                self.f.def_var(self.vars.left, left);
            } else if spent != self.spent {
                let left = self.f.use_var(self.vars.left);
                let left = self.plus(left, spent - self.spent);
                self.f.def_var(self.vars.left, left);
            }
            if !turns {
                self.f.ins().jump(t, &[]);
                continue;
            }
            // Loads of the next turn are not those of this one.
            self.f.ins().sequence_point();
            let (more, out) = (self.cold_exit(), self.cold_exit());
            let left = self.f.use_var(self.vars.left);
            let over = self.f.ins().icmp_imm_s(IntCC::SignedLessThan, left, spent);
            self.f.ins().brif(over, more, &[], t, &[]);
            self.f.switch_to_block(more);
            let left = self.plus(left, -spent);
            let all = self.with_rest(left);
            self.take_budget(all, spent);
            let flags = MemFlagsData::trusted();
            let exit_at = self.state_load(I64, Self::engine_at(slot::EXIT));
            let x = self.f.ins().load(I32, flags, exit_at, 0);
            let stop = self.f.ins().icmp_imm_u(IntCC::NotEqual, x, 0);
            let over = self.f.ins().icmp_imm_s(IntCC::SignedLessThan, all, 0);
            let stop = self.f.ins().bor(stop, over);
            self.f.ins().brif(stop, out, &[], t, &[]);
            self.f.switch_to_block(out);
            let here = (self.fast.take(), std::mem::replace(&mut self.spent, spent));
            self.leave(Exit::Go(rel), 0);
            (self.fast, self.spent) = here;
        }
    }

    /// Block `b` goes on at block `t`, a turn of the loop whose head is at `off`, with a budget of `left`.
    pub(super) fn turn(&mut self, b: ir::Block, off: u32, t: ir::Block, left: Value) {
        self.f.def_var(self.vars.left, left);
        self.spent = 0;
        let rel = self.places.rel(off);
        self.ways.push(Way { block: b, rel, to: Some((t, self.spent_at(rel))), turns: true });
        self.fill_ways();
    }

    /// Go on at `rel`.
    pub(super) fn go(&mut self, rel: i64) {
        self.settle(1);
        let b = self.way(rel);
        self.f.ins().jump(b, &[]);
        self.fill_ways();
        self.ended = true;
    }

    /// Go on at `rel` when `c`, else after this instruction.
    pub(super) fn go_if(&mut self, c: C, rel: i64) {
        let next = self.next();
        match self.sure(c) {
            Some(true) => return self.go(rel),
            Some(false) => return self.go_on(next, 1),
            None => {}
        }
        self.settle(1);
        let yes = self.way(rel);
        let no = self.straight(next);
        // What a branch names first comes after all that the other one leads to, for the compiler: let the end of a loop
        // stay with the loop.
        let turns = |w: &Way| w.block == yes && w.turns;
        if !self.has_fp && (self.fast.as_ref().is_some_and(|f| f.latch == yes) || self.ways.iter().any(turns))
        {
            let c = self.flag(C { not: !c.not, ..c });
            self.brif(Self::cond(c), no, yes);
        } else {
            self.brif(c, yes, no);
        }
        self.fill_ways();
        self.ended = true;
    }

    /// Go on in sequence at `rel`, after `last` instructions that are not counted yet.
    pub(super) fn go_on(&mut self, rel: i64, last: u32) {
        self.settle(last);
        let b = self.straight(rel);
        self.f.ins().jump(b, &[]);
        self.fill_ways();
        self.ended = true;
    }

    /// Go on at the address in `v` when `c` (always when `None`).
    pub(super) fn go_indirect(&mut self, c: Option<C>, v: Value) {
        let next = self.next();
        self.settle(1);
        if let Some(c) = c {
            let out = self.cold_exit();
            let no = self.straight(next);
            self.brif(c, out, no);
            self.f.switch_to_block(out);
        }
        if super::returns(&self.item) && self.mode.sf {
            self.go_back(v);
        }
        let computed = super::computed(&self.item) && self.follows;
        if computed {
            self.go_computed(v);
        }
        let to = self.f.ins().band_imm_s(v, -4);
        let to = if self.mode.sf { to } else { self.ext(I32, to, false) };
        self.state_store(st!(nia), to);
        self.leave(if computed { Exit::Computed } else { Exit::Indirect }, 0);
        self.fill_ways();
        self.ended = true;
    }

    /// Go on after the call in the region that the address in `v` is after, if any.
    fn go_back(&mut self, v: Value) {
        for n in 0..self.returns.len() {
            self.go_where(v, self.places.rel(self.returns[n]));
        }
    }

    /// Go on at the place in the region that is the address in `v`, if it is a known one.
    fn go_computed(&mut self, v: Value) {
        let targets = self.targets;
        for &rel in targets.all() {
            if self.places.place(rel).is_some_and(|o| self.blocks.contains_key(&o)) {
                self.go_where(v, rel);
            }
        }
    }

    fn go_where(&mut self, v: Value, rel: i64) {
        let base = self.base;
        let there = self.f.ins().iadd_imm_s(base, rel);
        let same = self.f.ins().icmp(IntCC::Equal, v, there);
        let (yes, no) = (self.way(rel), self.f.create_block());
        self.f.ins().brif(same, yes, &[], no, &[]);
        self.f.switch_to_block(no);
    }

    // ---- condition register ----

    /// The four bits of field `n`.
    pub(super) fn field_value(&mut self, n: u32) -> Value {
        let n = n as usize & 7;
        if let Some(Field::Raw(v) | Field::Floats { bits: v, .. } | Field::Mask { bits: v, .. }) =
            self.fields[n]
        {
            return v;
        }
        let (lt, gt) = match self.fields[n] {
            Some(Field::Compare { signed, wide, a, b }) => {
                let (a, b) = if wide { (a, b) } else { (self.low(a), self.low(b)) };
                let [lt, gt] = Self::orders(signed);
                (self.f.ins().icmp(lt, a, b), self.f.ins().icmp(gt, a, b))
            }
            _ => (self.unknown_bit(n, 0), self.unknown_bit(n, 1)),
        };
        let [n8, n4, n2] = [8, 4, 2].map(|x| self.iconst(x));
        let v = self.f.ins().select(gt, n4, n2);
        let v = self.f.ins().select(lt, n8, v);
        let so = self.field_so(n);
        let v = self.f.ins().bor(v, so);
        if self.fields[n].is_some() {
            return v;
        }
        let bits = self.f.use_var(self.vars.cr[n].of[0]);
        let is_bits = self.is_kind(n, Kind::Bits);
        self.f.ins().select(is_bits, bits, v)
    }

    /// Less, and greater.
    fn orders(signed: bool) -> [IntCC; 2] {
        if signed {
            [IntCC::SignedLessThan, IntCC::SignedGreaterThan]
        } else {
            [IntCC::UnsignedLessThan, IntCC::UnsignedGreaterThan]
        }
    }

    fn is_kind(&mut self, n: usize, kind: Kind) -> Value {
        let v = self.f.use_var(self.vars.cr[n].kind);
        self.f.ins().icmp_imm_u(IntCC::Equal, v, kind as i64)
    }

    /// The SO bit of a comparison.
    fn field_so(&mut self, n: usize) -> Value {
        let var = if self.written.xer & SO != 0 { self.vars.cr[n].so } else { self.vars.xer[0] };
        self.f.use_var(var)
    }

    /// Bit `k`, no more than 2, of field `n` if that is the result of some comparison.
    fn unknown_bit(&mut self, n: usize, k: usize) -> Value {
        let [a, b] = self.vars.cr[n].of.map(|v| self.f.use_var(v));
        if k == 2 {
            return self.f.ins().icmp(IntCC::Equal, a, b);
        }
        let s = self.f.ins().icmp(Self::orders(true)[k], a, b);
        let u = self.f.ins().icmp(Self::orders(false)[k], a, b);
        let unsigned = self.is_kind(n, Kind::Unsigned);
        self.f.ins().select(unsigned, u, s)
    }

    fn def_field(&mut self, n: usize, kind: Kind, of: [Value; 2]) {
        let vars = self.vars.cr[n];
        for (var, v) in vars.of.into_iter().zip(of) {
            self.f.def_var(var, v);
        }
        self.f.def_var(vars.kind, self.small[kind as usize]);
        if self.written.xer & SO != 0 {
            let so = self.f.use_var(self.vars.xer[0]);
            self.f.def_var(vars.so, so);
        }
        self.write(Regs::cr_field(n as u32));
    }

    /// Write the four bits of field `n`.
    pub(super) fn set_field(&mut self, n: u32, v: Value) {
        let n = n as usize & 7;
        let v = self.f.ins().band_imm_u(v, 15);
        self.def_field(n, Kind::Bits, [v, self.small[0]]);
        self.fields[n] = Some(Field::Raw(v));
    }

    pub(super) fn compare(&mut self, n: u32, signed: bool, wide: bool, a: Value, b: Value) {
        let n = n as usize & 7;
        let kind = if signed || !wide { Kind::Signed } else { Kind::Unsigned };
        let zero = self.known(b) == Some(0);
        let of = match wide {
            true if zero => [a, self.small[0]],
            true => [a, b],
            // The difference of two numbers of 32 bits is one of 64.
            false => {
                let x = self.ext(I32, a, signed);
                let x = if zero {
                    x
                } else {
                    let y = self.ext(I32, b, signed);
                    self.f.ins().isub(x, y)
                };
                [x, self.small[0]]
            }
        };
        self.def_field(n, kind, of);
        self.fields[n] = Some(Field::Compare { signed, wide, a, b });
    }

    /// Bit `n` of the CR.
    pub(super) fn bit(&mut self, n: u32) -> C {
        let (f, k) = (n as usize >> 2 & 7, n & 3);
        match self.fields[f] {
            Some(Field::Compare { signed, wide, a, b }) if k < 3 => {
                let code = match (k, signed) {
                    (0, true) => IntCC::SignedLessThan,
                    (0, false) => IntCC::UnsignedLessThan,
                    (1, true) => IntCC::SignedGreaterThan,
                    (1, false) => IntCC::UnsignedGreaterThan,
                    _ => IntCC::Equal,
                };
                let (a, b) = if wide { (a, b) } else { (self.low(a), self.low(b)) };
                Self::cond(self.f.ins().icmp(code, a, b))
            }
            Some(Field::Floats { a, b, .. }) if k < 3 => self.float_bit(k, a, b),
            Some(Field::Mask { m, .. }) if k & 1 == 0 => {
                let to = if k == 0 { 0xffff } else { 0 };
                Self::cond(self.f.ins().icmp_imm_u(IntCC::Equal, m, to))
            }
            Some(Field::Raw(v) | Field::Floats { bits: v, .. } | Field::Mask { bits: v, .. }) => {
                let v = self.f.ins().band_imm_u(v, 8 >> k);
                Self::cond(self.f.ins().icmp_imm_u(IntCC::NotEqual, v, 0))
            }
            Some(_) => {
                let so = self.field_so(f);
                Self::cond(self.f.ins().icmp_imm_u(IntCC::NotEqual, so, 0))
            }
            None => {
                let c = if k < 3 {
                    self.unknown_bit(f, k as usize)
                } else {
                    let so = self.field_so(f);
                    self.f.ins().icmp_imm_u(IntCC::NotEqual, so, 0)
                };
                let bits = self.f.use_var(self.vars.cr[f].of[0]);
                let bit = self.f.ins().band_imm_u(bits, 8 >> k);
                let bit = self.f.ins().icmp_imm_u(IntCC::NotEqual, bit, 0);
                let is_bits = self.is_kind(f, Kind::Bits);
                Self::cond(self.f.ins().select(is_bits, bit, c))
            }
        }
    }

    // ---- memory ----

    /// Host address of `size` bytes at `ea`, and a displacement.
    pub(super) fn probe(&mut self, ea: Value, size: u8, write: bool) -> (Value, i32) {
        let off = self.item.off;
        let Some((g, d)) = self.groups.get(off) else {
            let addend = self.probe_range(ea, size as i64, write, 0);
            return (self.f.ins().iadd(ea, addend), 0);
        };
        let (lo, hi, host) = (g.lo, g.hi, g.host);
        let host = match host {
            Some(h) => h,
            None => {
                let first = self.f.ins().iadd_imm_s(ea, lo - d);
                let addend = self.probe_range(first, hi - lo, write, lo - d);
                let base = self.f.use_var(self.vars.gpr[self.item.insn.ra() as usize & 31]);
                let h = self.f.ins().iadd(base, addend);
                if let Some((g, _)) = self.groups.get(off) {
                    g.host = Some(h);
                }
                h
            }
        };
        (host, d as i32)
    }

    /// Host address less effective address of the `len` bytes from `first` on, all in one page.
    fn probe_range(&mut self, first: Value, len: i64, write: bool, from: i64) -> Value {
        let i = self.item.insn;
        let base = if i.ra() != 0 { i.ra() } else { i.rb() };
        let off = self.item.off;
        if let Some(&addend) = self.fast.as_ref().and_then(|f| f.addends.get(&off)) {
            return addend;
        }
        let seen = self.seen.get(&off).map(|s| (s.window, s.limit));
        let Some((w, limit)) = seen.or_else(|| self.windows.take(base, len, write)) else {
            let entry = self.look_up(first, len, write);
            let at = self.tables.data[write as usize] + std::mem::offset_of!(mem::TlbEntry, addend) as i32;
            let flags = self.tlb_flags();
            return self.f.ins().load(I64, flags, entry, at);
        };
        self.seen.insert(off, Seen { window: w, limit, from });
        // The load next to the branch is an operand of the subtraction.
        let most = self.state_load(I64, w.limit);
        let page = self.state_load(I64, w.page);
        let off = self.f.ins().isub(first, page);
        let inside = self.f.ins().icmp(IntCC::UnsignedLessThan, off, most);
        let (on, outside, out) = (self.f.create_block(), self.cold_exit(), self.cold_exit());
        let (found, miss) = (self.cold_exit(), self.cold_exit());
        self.f.ins().brif(inside, on, &[], outside, &[]);
        self.f.switch_to_block(outside);
        // With as few registers as can be: what the loop holds would make room for them.
        let table = self.state_load(I64, Self::engine_at(slot::DATA[write as usize]));
        let page = self.f.ins().ushr_imm_u(first, (mem::PAGE_SHIFT - ENTRY.trailing_zeros()) as i64);
        let index = self.f.ins().band_imm_u(page, (((1u32 << mem::TLB_BITS) - 1) * ENTRY) as i64);
        let entry = self.f.ins().iadd(index, table);
        let last = if len == 1 { first } else { self.f.ins().iadd_imm_s(first, len - 1) };
        let page = self.f.ins().band_imm_s(last, -4096);
        let flags = self.tlb_flags();
        let tag = self.f.ins().load(I64, flags, entry, std::mem::offset_of!(mem::TlbEntry, tag) as i32);
        let hit = self.f.ins().icmp(IntCC::Equal, tag, page);
        self.f.ins().brif(hit, found, &[], miss, &[]);
        self.f.switch_to_block(found);
        let uses = self.state_load(I64, Self::engine_at(slot::USES));
        let trusted = MemFlagsData::trusted();
        let missed = self.f.ins().load(I64, trusted, uses, region::MISSED);
        let missed = self.f.ins().iadd_imm_s(missed, 1);
        self.f.ins().store(trusted, missed, uses, region::MISSED);
        self.state_store(w.page, page);
        let addend = self.f.ins().load(I64, flags, entry, std::mem::offset_of!(mem::TlbEntry, addend) as i32);
        self.state_store(w.addend, addend);
        let most = self.iconst(limit as u64);
        self.state_store(w.limit, most);
        self.f.ins().jump(on, &[]);
        self.f.switch_to_block(miss);
        self.ask(first, Ask { len: len as u32, write, word: w.word as u32, limit });
        let found = self.state_load(I64, w.limit);
        self.f.ins().brif(found, on, &[], out, &[]);
        self.fill_cold(out);
        self.f.switch_to_block(on);
        self.state_load(I64, w.addend)
    }

    /// Have the page of `first` entered into the TLB, and shown by a window. What is asked is in memory: registers that
    /// a call prescribes would be those of nothing else in the loop round it.
    fn ask(&mut self, first: Value, ask: Ask) {
        self.state_store(Self::engine_at(slot::ASKED), first);
        let ask = self.iconst(ask.packed() as i32 as u64);
        self.state_store(Self::engine_at(slot::SCRATCH), ask);
        let at = self.iconst(self.tables.window);
        let (sig, st) = (self.window_sig, self.st);
        self.f.ins().call_indirect(sig, at, &[st]);
    }

    /// Look up the page of the `len` bytes from `first` on, or leave if there is none: its TLB entry, less the table's
    /// displacement.
    fn look_up(&mut self, first: Value, len: i64, write: bool) -> Value {
        let page = self.f.ins().ushr_imm_u(first, (mem::PAGE_SHIFT - ENTRY.trailing_zeros()) as i64);
        let index = self.f.ins().band_imm_u(page, (((1u32 << mem::TLB_BITS) - 1) * ENTRY) as i64);
        let entry = self.f.ins().iadd(self.tlb, index);
        let tag_at = self.tables.data[write as usize] + std::mem::offset_of!(mem::TlbEntry, tag) as i32;
        let hit = self.is_page(entry, tag_at, first, len);
        let (on, miss, out) = (self.f.create_block(), self.cold_exit(), self.cold_exit());
        self.f.ins().brif(hit, on, &[], miss, &[]);
        self.f.switch_to_block(miss);
        self.ask(first, Ask { len: len as u32, write, word: 0, limit: 0 });
        let hit = self.is_page(entry, tag_at, first, len);
        self.f.ins().brif(hit, on, &[], out, &[]);
        self.fill_cold(out);
        self.f.switch_to_block(on);
        entry
    }

    /// Whether an entry is that of the page of the `len` bytes from `first` on: then nothing but bits of places in the page
    /// differ.
    fn is_page(&mut self, entry: Value, tag_at: i32, first: Value, len: i64) -> Value {
        let flags = self.tlb_flags();
        let tag = self.f.ins().load(I64, flags, entry, tag_at);
        let into = self.f.ins().bxor(first, tag);
        self.f.ins().icmp_imm_u(IntCC::UnsignedLessThan, into, 4097 - len)
    }

    /// In the entry block of region `number` with so many accesses: no window shows a page yet, unless this region had its
    /// bank last.
    pub(super) fn close_windows(&mut self, number: u32, accesses: usize) {
        if accesses == 0 {
            return;
        }
        let zero = self.iconst(0);
        let bank = number as usize % slot::BANKS;
        let owner_at = Self::engine_at(slot::OWNERS + bank);
        let (close, on) = (self.cold_exit(), self.f.create_block());
        let owner = self.state_load(I64, owner_at);
        let own = self.f.ins().icmp_imm_u(IntCC::Equal, owner, number as i64);
        self.f.ins().brif(own, on, &[], close, &[]);
        self.f.switch_to_block(close);
        let number = self.iconst(number as u64);
        self.state_store(owner_at, number);
        self.windows.shared = accesses > slot::WINDOW_COUNT;
        for n in 0..accesses.min(slot::WINDOW_COUNT) {
            let first = slot::WINDOWS + 3 * (bank * slot::WINDOW_COUNT + n);
            let word = |k: usize| Self::engine_at(first + k);
            let w = Window { word: first, page: word(0), addend: word(1), limit: word(2) };
            self.state_store(w.limit, zero);
            self.windows.free.push(w);
        }
        self.f.ins().jump(on, &[]);
        self.f.switch_to_block(on);
    }

    /// In the entry block: leave unless the page at `off` is where it was when the region was made.
    pub(super) fn check_page(&mut self, off: i64, host: u64, table: i32) {
        let page = self.f.ins().iadd_imm_s(self.base, off);
        let index = self.f.ins().ushr_imm_u(page, (mem::PAGE_SHIFT - ENTRY.trailing_zeros()) as i64);
        let index = self.f.ins().band_imm_u(index, (((1u32 << mem::TLB_BITS) - 1) * ENTRY) as i64);
        let entry = self.f.ins().iadd(self.tlb, index);
        let flags = self.tlb_flags();
        let tag =
            self.f.ins().load(I64, flags, entry, table + std::mem::offset_of!(mem::TlbEntry, tag) as i32);
        let add =
            self.f.ins().load(I64, flags, entry, table + std::mem::offset_of!(mem::TlbEntry, addend) as i32);
        let at = self.f.ins().iadd(page, add);
        let host = self.iconst(host);
        let x = self.f.ins().bxor(tag, page);
        let y = self.f.ins().bxor(at, host);
        let bad = self.f.ins().bor(x, y);
        let out = self.cold_exit();
        let on = self.f.create_block();
        self.f.ins().brif(bad, out, &[], on, &[]);
        self.f.switch_to_block(out);
        let fp = std::mem::replace(&mut self.has_fp, false);
        self.leave(Exit::Guard, 0);
        self.has_fp = fp;
        self.f.switch_to_block(on);
    }

    pub(super) fn scalar(size: u8) -> Type {
        match size {
            1 => I8,
            2 => I16,
            4 => I32,
            _ => I64,
        }
    }

    /// CR fields as memory holds them, one to a byte, with their own SO; `ones`: a 1 for each.
    fn own_so(&mut self, v: Value, ones: u64) -> Value {
        let so = self.f.use_var(self.vars.xer[0]);
        let owed = self.f.ins().ushr_imm_u(v, i64::from(SO_OWED.trailing_zeros()));
        let owed = self.f.ins().band_imm_u(owed, ones as i64);
        let so = self.f.ins().imul(owed, so);
        let v = self.f.ins().bor(v, so);
        self.f.ins().band_imm_u(v, (ones * 15) as i64)
    }

    /// Load the variables of `touched` in the entry block.
    pub(super) fn load_variables(&mut self, touched: Regs) {
        let t = touched;
        for n in (0..32).filter(|n| t.gpr >> n & 1 != 0) {
            let v = self.state_load(I64, st!(gpr) + 8 * n as i32);
            self.f.def_var(self.vars.gpr[n], v);
        }
        if t.lr {
            let v = self.state_load(I64, st!(lr));
            self.f.def_var(self.vars.lr, v);
        }
        if t.ctr {
            let v = self.state_load(I64, st!(ctr));
            self.f.def_var(self.vars.ctr, v);
        }
        for (k, at) in
            [st!(xer_so), st!(xer_ov), st!(xer_ca), st!(xer_ov32), st!(xer_ca32)].into_iter().enumerate()
        {
            let bit = [SO, OV, CA, OV, CA][k];
            if t.xer & bit != 0 || bit == SO && t.cr != 0 {
                let v = self.state_load8(at);
                let v = if k == 4 { self.f.ins().ishl_imm_u(v, 32) } else { v };
                self.f.def_var(self.vars.xer[k], v);
            }
        }
        // Fields that stay in memory have to hold their own SO where it may change.
        if self.written.xer & SO != 0 {
            let v = self.state_load(I64, st!(cr));
            let v = self.own_so(v, u64::from_ne_bytes([1; 8]));
            self.state_store(st!(cr), v);
        }
        for n in (0..8).filter(|&n| t.cr & Regs::cr_field(n).cr != 0) {
            let v = self.state_load8(st!(cr) + n as i32);
            let v = self.own_so(v, 1);
            self.def_field(n as usize, Kind::Bits, [v, self.small[0]]);
        }
        self.dirty = Regs::NONE;
    }
}

/// The engine word with the address of the head's page.
pub(super) const BASE: usize = slot::BASE;
