//! Scalar floating point in regions, exact to the last FPSCR bit.
//!
//! A region with arithmetic is entered only while FPSCR[XX] is on, rounding is to nearest and XE and NI are off; results
//! that are not normal, or not surely exact zeros, leave for tier 1 before anything is written. So no exception bit
//! can change, and what is left is FPRF, FR and FI, which are the last operation's: it is left to the processor's
//! record ([`fpu::Late`]) on the way out. Singles are computed as singles;
//! an operand that is none leaves.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, F64X2, I8X16, I32, I64, I64X2};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Value};

use fpu::Late;
use isa::Op;
use isa::audit::Regs;
use isa::fp::{FpForm, FpInsn, FpOp, IntTy};

use super::Exit;
use super::lower::{C, Field, Lower, st};
use super::vec::W;

/// What happened since the last operation, as in [`fpu::Late`]: a comparison's result in the low four bits, ...
const COMPARED: i64 = 0x80;
/// ... a conversion to an integer, inexact with the lowest bit.
const CONVERTED: i64 = 0x8000;
const INEXACT_SHIFT: i64 = 8;

/// The VSRs that an instruction reads, as a set.
pub fn operands(f: &FpInsn) -> u64 {
    use FpOp::*;
    let (a, b, c) = match f.op {
        Add | Sub | Div | CmpU | CmpO => (true, true, false),
        Mul => (true, true, false),
        Madd | Msub | Nmadd | Nmsub => (true, true, true),
        Sqrt | RoundSp | FromInt(_) | ToInt(..) | ToWord(..) => (false, true, false),
        _ => (true, true, true),
    };
    let one = |on: bool, n: u8| (on as u64) << (n & 63);
    one(a, f.a) | one(b, f.b) | one(c, f.c)
}

/// Whether a load of this instruction is one of a double or single for a floating-point register.
pub fn loads_double(op: Op) -> bool {
    matches!(op, Op::Lfd | Op::Lfdu | Op::Lfdx | Op::Lfdux | Op::Lxsdx | Op::Lxsd)
}

/// The same of singles.
pub fn loads_single(op: Op) -> bool {
    matches!(op, Op::Lfs | Op::Lfsu | Op::Lfsx | Op::Lfsux | Op::Lxsspx | Op::Lxssp)
}

/// What is known of the result of an operation when it is normal, infinite or a NaN.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tiny {
    /// Tiny results are exact.
    Exact,
    /// Tiny results may not be; zero is exact when this holds.
    UnlessZero(Value),
}

impl Lower<'_> {
    // ---- registers ----

    pub(super) fn double_of(&mut self, v: Value) -> Value {
        let dfg = &self.f.func.dfg;
        if let Some(i) = dfg.value_def(dfg.resolve_aliases(v)).inst()
            && dfg.insts[i].opcode() == ir::Opcode::Bitcast
        {
            let from = dfg.inst_args(i)[0];
            if dfg.value_type(from) == F64 {
                return from;
            }
        }
        self.f.ins().bitcast(F64, MemFlagsData::new(), v)
    }

    /// The value before it was extended to a number, of the type said.
    pub(super) fn unextended(&self, v: Value, ty: ir::Type) -> Option<Value> {
        let dfg = &self.f.func.dfg;
        let i = dfg.value_def(dfg.resolve_aliases(v)).inst()?;
        if dfg.insts[i].opcode() != ir::Opcode::Uextend {
            return None;
        }
        let word = dfg.resolve_aliases(dfg.inst_args(i)[0]);
        if dfg.value_type(word) == ty {
            return Some(word);
        }
        let i = dfg.value_def(word).inst()?;
        let from = (dfg.insts[i].opcode() == ir::Opcode::Bitcast).then(|| dfg.inst_args(i)[0])?;
        (dfg.value_type(from) == ty).then_some(from)
    }

    pub(super) fn bits(&mut self, d: Value) -> Value {
        self.f.ins().bitcast(I64, MemFlagsData::new(), d)
    }

    pub(super) fn fp_get(&mut self, n: u8) -> Value {
        let n = n as usize & 63;
        if self.wide >> n & 1 != 0 {
            let v = self.f.use_var(self.vars.vec[n]);
            return self.double_in(v);
        }
        if self.only_singles >> n & 1 == 0 {
            return self.f.use_var(self.vars.fpr[n]);
        }
        let s = self.f.use_var(self.vars.single[n]);
        let d = self.f.ins().fpromote(F64, s);
        self.singles.insert(d, s);
        d
    }

    pub(super) fn fp_set(&mut self, n: u8, d: Value) {
        let n = n as usize & 63;
        if self.wide >> n & 1 != 0 {
            let v = self.of_double(d);
            self.f.def_var(self.vars.vec[n], v);
        } else if self.only_singles >> n & 1 == 0 {
            self.f.def_var(self.vars.fpr[n], d);
        } else {
            let s = match self.singles.get(&d) {
                Some(&s) => s,
                None => self.f.ins().fdemote(F32, d),
            };
            self.f.def_var(self.vars.single[n], s);
        }
        if self.pairs >> n & 1 != 0 {
            let zero = self.iconst(0);
            self.f.def_var(self.vars.lo[n], zero);
        }
        self.write(Regs::vsrs(n as u32, 1));
    }

    /// Doubleword 1 of a VSR: zero where it must be when only scalars are written.
    pub(super) fn low_half(&mut self, n: u32) -> Value {
        let n = n as usize & 63;
        if self.wide >> n & 1 != 0 {
            let v = self.f.use_var(self.vars.vec[n]);
            self.half_of(v, 0)
        } else if self.pairs >> n & 1 != 0 {
            self.f.use_var(self.vars.lo[n])
        } else if self.written.vsr >> n & 1 != 0 {
            self.iconst(0)
        } else {
            self.state_load(I64, st!(vsr) + 16 * n as i32)
        }
    }

    pub(super) fn set_whole(&mut self, n: u32, w: W) {
        let at = n as usize & 63;
        if self.wide >> at & 1 != 0 {
            let v = self.vector(w);
            self.f.def_var(self.vars.vec[at], v);
            self.write(Regs::vsrs(n, 1));
            return;
        }
        let (hi, lo) = self.halves(w);
        let hi = self.double_of(hi);
        self.fp_set(n as u8, hi);
        if self.pairs >> at & 1 != 0 {
            self.f.def_var(self.vars.lo[at], lo);
        } else if self.known(lo) != Some(0) {
            self.more_pairs |= 1 << at;
        }
    }

    /// Arithmetic on two doubles: nothing of the FPSCR changes.
    fn fp_vector(&mut self, f: FpInsn) -> Option<()> {
        if Late::code(f.op, FpForm::F64).is_none() || matches!(f.op, FpOp::RoundSp | FpOp::FromInt(_)) {
            return None;
        }
        let all = operands(&f) | 1 << (f.t & 63);
        if self.wide & all == all {
            return self.fp_whole(f);
        }
        self.more_wide |= all & !self.wide;
        let mut get = |n: u8| {
            let lo = self.low_half(n as u32);
            (self.fp_get(n), self.double_of(lo))
        };
        let (a, b, c) = (get(f.a), get(f.b), get(f.c));
        let hi = self.checked_double(f.op, a.0, b.0, c.0)?;
        let lo = self.checked_double(f.op, a.1, b.1, c.1)?;
        let w = W::Pair(self.bits(hi), self.bits(lo));
        self.set_whole(f.t as u32, w);
        Some(())
    }

    /// The same on vectors.
    fn fp_whole(&mut self, f: FpInsn) -> Option<()> {
        // Those that are no operands may be no vectors.
        let [a, b, c] = [f.a, f.b, f.c].map(|n| {
            let n = if self.wide >> (n & 63) & 1 != 0 { n } else { f.b };
            let v = self.f.use_var(self.vars.vec[n as usize & 63]);
            self.as_type(F64X2, v)
        });
        let (r, negate) = self.arithmetic(f.op, a, b, c)?;
        let splat = |s: &mut Self, x: u64| {
            let v = s.constant((x as u128) << 64 | x as u128);
            s.as_type(I64X2, v)
        };
        let exact = matches!(f.op, FpOp::Add | FpOp::Sub | FpOp::Sqrt);
        let (low, high) = (if exact { 0 } else { 2 << 53 }, 0x7ff << 53);
        let bits = self.as_type(I64X2, r);
        let twice = self.f.ins().iadd(bits, bits);
        // Unsigned comparisons by signed ones.
        let (from, span) = (splat(self, (1u64 << 63).wrapping_sub(low)), splat(self, (high - low) ^ 1 << 63));
        let off = self.f.ins().iadd(twice, from);
        let good = self.f.ins().icmp(IntCC::SignedGreaterThan, span, off);
        let mask = self.f.ins().vhigh_bits(I32, good);
        let fine = self.f.ins().icmp_imm_u(IntCC::Equal, mask, 3);
        if exact {
            self.leave_if(C { v: fine, not: true });
        } else {
            let (on, odd, out) = (self.f.create_block(), self.cold_exit(), self.cold_exit());
            self.f.ins().brif(fine, on, &[], odd, &[]);
            self.f.switch_to_block(odd);
            let nothing = splat(self, 0);
            let zero = self.f.ins().icmp(IntCC::Equal, twice, nothing);
            let none = self.as_type(F64X2, nothing);
            let mut product = self.f.ins().fcmp(FloatCC::Equal, a, none);
            if f.op != FpOp::Div {
                let other = if f.op == FpOp::Mul { b } else { c };
                let other = self.f.ins().fcmp(FloatCC::Equal, other, none);
                product = self.f.ins().bor(product, other);
            }
            let zero = self.f.ins().band(zero, product);
            let all = self.f.ins().bor(good, zero);
            let mask = self.f.ins().vhigh_bits(I32, all);
            let fine = self.f.ins().icmp_imm_u(IntCC::Equal, mask, 3);
            self.f.ins().brif(fine, on, &[], out, &[]);
            self.fill_cold(out);
            self.f.switch_to_block(on);
        }
        let r = if negate { self.f.ins().fneg(r) } else { r };
        self.set_whole(f.t as u32, W::Vec(r));
        Some(())
    }

    /// The result of an operation on doubles, if it is an ordinary one.
    fn checked_double(&mut self, op: FpOp, a: Value, b: Value, c: Value) -> Option<Value> {
        let (r, negate) = self.arithmetic(op, a, b, c)?;
        let zero = self.f.ins().f64const(0.0);
        let tiny = self.tiny(op, a, if op == FpOp::Mul { b } else { c }, zero);
        let bits = self.bits(r);
        let twice = self.f.ins().iadd(bits, bits);
        self.check(twice, 2 << 53, 0x7ff << 53, tiny);
        Some(if negate { self.f.ins().fneg(r) } else { r })
    }

    /// A register as a single; what is none leaves.
    fn single(&mut self, n: u8) -> Value {
        let d = self.fp_get(n);
        if let Some(&s) = self.singles.get(&d) {
            return s;
        }
        let s = self.f.ins().fdemote(F32, d);
        let p = self.f.ins().fpromote(F64, s);
        let other = self.f.ins().fcmp(FloatCC::NotEqual, p, d);
        self.leave_if(Self::cond(other));
        self.singles.insert(d, s);
        s
    }

    // ---- state on entry and exit ----

    /// In the entry block: leave unless the region's assumptions hold; then load its registers.
    pub(super) fn enter_fp(&mut self, touched: Regs, written: Regs) {
        if touched.vsr == 0 && !self.has_fp {
            return;
        }
        let mut bad = self.iconst(0);
        let (pairs, wide) = (self.pairs & !self.wide, self.wide);
        for n in (0..64).filter(|n| (written.vsr & !pairs & !wide) >> n & 1 != 0) {
            // What the other half is, it stays: zero.
            let lo = self.state_load(I64, st!(vsr) + 16 * n);
            bad = self.f.ins().bor(bad, lo);
        }
        if self.has_fp {
            let v = self.state_load(I64, st!(fpscr));
            let v = self.f.ins().band_imm_u(v, 0x0200_000f);
            let v = self.f.ins().bxor_imm_u(v, 0x0200_0000);
            bad = self.f.ins().bor(bad, v);
        }
        for n in (0..64usize).filter(|n| touched.vsr >> n & 1 != 0) {
            if wide >> n & 1 != 0 {
                let v = self.state_load(I8X16, st!(vsr) + 16 * n as i32);
                self.f.def_var(self.vars.vec[n], v);
                continue;
            }
            let v = self.state_load(F64, st!(vsr) + 16 * n as i32 + 8);
            if self.only_singles >> n & 1 == 0 {
                self.f.def_var(self.vars.fpr[n], v);
                continue;
            }
            let s = self.f.ins().fdemote(F32, v);
            let p = self.f.ins().fpromote(F64, s);
            let other = self.f.ins().fcmp(FloatCC::NotEqual, p, v);
            let other = self.f.ins().uextend(I64, other);
            bad = self.f.ins().bor(bad, other);
            self.f.def_var(self.vars.single[n], s);
        }
        let out = self.cold_exit();
        let on = self.f.create_block();
        self.f.ins().brif(bad, out, &[], on, &[]);
        self.f.switch_to_block(out);
        let fp = std::mem::replace(&mut self.has_fp, false);
        self.leave(Exit::Guard, 0);
        self.has_fp = fp;
        self.f.switch_to_block(on);
        for n in (0..64).filter(|n| pairs >> n & 1 != 0) {
            let v = self.state_load(I64, st!(vsr) + 16 * n as i32);
            self.f.def_var(self.vars.lo[n], v);
        }
        let flags = self.state_flags();
        let op = self.f.ins().uload32(flags, self.st, st!(fp_late.code));
        self.f.def_var(self.vars.last.0, op);
        let after = self.f.ins().uload16(I64, flags, self.st, st!(fp_late.fpcc));
        self.f.def_var(self.vars.after, after);
        for (k, at) in [st!(fp_late.a), st!(fp_late.b), st!(fp_late.c)].into_iter().enumerate() {
            let v = self.state_load(F64, at);
            self.f.def_var(self.vars.last.1[k], v);
        }
    }

    /// In an exit: the registers, and the record of the last operation.
    pub(super) fn leave_fp(&mut self) {
        let dirty = self.dirty.vsr;
        for n in (0..64).filter(|n| dirty >> n & 1 != 0) {
            if self.wide >> n & 1 != 0 {
                let v = self.f.use_var(self.vars.vec[n]);
                self.state_store(st!(vsr) + 16 * n as i32, v);
                continue;
            }
            let v = self.fp_get(n as u8);
            self.state_store(st!(vsr) + 16 * n as i32 + 8, v);
            if self.pairs >> n & 1 != 0 {
                let v = self.f.use_var(self.vars.lo[n]);
                self.state_store(st!(vsr) + 16 * n as i32, v);
            }
        }
        if !self.has_fp {
            return;
        }
        let (op, abc, after) = (self.vars.last.0, self.vars.last.1, self.vars.after);
        let flags = self.state_flags();
        let op = self.f.use_var(op);
        self.f.ins().istore32(flags, op, self.st, st!(fp_late.code));
        let after = self.f.use_var(after);
        self.f.ins().istore16(flags, after, self.st, st!(fp_late.fpcc));
        for (var, at) in abc.into_iter().zip([st!(fp_late.a), st!(fp_late.b), st!(fp_late.c)]) {
            let v = self.f.use_var(var);
            self.state_store(at, v);
        }
    }

    fn remember(&mut self, f: &FpInsn, [a, b, c]: [Value; 3]) {
        let n = self.iconst(Late::code(f.op, f.form).unwrap_or(0) as u64);
        let zero = self.iconst(0);
        self.f.def_var(self.vars.last.0, n);
        for (var, v) in self.vars.last.1.into_iter().zip([a, b, c]) {
            self.f.def_var(var, v);
        }
        self.f.def_var(self.vars.after, zero);
    }

    // ---- instructions ----

    /// A whole instruction; `None`: not done here.
    pub(super) fn fp(&mut self, f: FpInsn) -> Option<()> {
        if self.mode.fe || f.rc {
            return None;
        }
        match (f.op, f.form) {
            (FpOp::CmpU | FpOp::CmpO, FpForm::F64) => self.fp_compare(f),
            (FpOp::ToInt(IntTy::I64, true), FpForm::F64) => self.fp_truncate(f, false),
            (FpOp::ToWord(true, true), FpForm::F64) => self.fp_truncate(f, true),
            (_, FpForm::V64) => self.fp_vector(f)?,
            (_, FpForm::F64) => self.fp_double(f)?,
            (_, FpForm::F32) => self.fp_single(f)?,
            _ => return None,
        }
        Some(())
    }

    fn fp_double(&mut self, f: FpInsn) -> Option<()> {
        Late::code(f.op, f.form)?;
        let (a, b, c) = (self.fp_get(f.a), self.fp_get(f.b), self.fp_get(f.c));
        if f.op == FpOp::RoundSp {
            return self.fp_round(f, b);
        }
        if let FpOp::FromInt(ty) = f.op {
            let x = self.bits(b);
            let d = match ty {
                IntTy::I64 => self.f.ins().fcvt_from_sint(F64, x),
                _ => self.f.ins().fcvt_from_uint(F64, x),
            };
            self.remember(&f, [b; 3]);
            self.fp_set(f.t, d);
            return Some(());
        }
        let r = self.checked_double(f.op, a, b, c)?;
        self.remember(&f, [a, b, c]);
        self.fp_set(f.t, r);
        Some(())
    }

    fn fp_single(&mut self, f: FpInsn) -> Option<()> {
        Late::code(f.op, f.form)?;
        let (da, db, dc) = (self.fp_get(f.a), self.fp_get(f.b), self.fp_get(f.c));
        if f.op == FpOp::RoundSp {
            return self.fp_round(f, db);
        }
        let (r, negate) = if let FpOp::FromInt(ty) = f.op {
            let x = self.bits(db);
            let r = match ty {
                IntTy::I64 => self.f.ins().fcvt_from_sint(F32, x),
                _ => self.f.ins().fcvt_from_uint(F32, x),
            };
            (r, false)
        } else {
            use FpOp::*;
            let fused = matches!(f.op, Madd | Msub | Nmadd | Nmsub);
            let b = self.single(f.b);
            let a = if f.op == Sqrt { b } else { self.single(f.a) };
            let c = if fused { self.single(f.c) } else { b };
            let (r, negate) = self.arithmetic(f.op, a, b, c)?;
            let zero = self.f.ins().f32const(0.0);
            let tiny = self.tiny(f.op, a, c, zero);
            let bits = self.f.ins().bitcast(I32, MemFlagsData::new(), r);
            let twice = self.f.ins().iadd(bits, bits);
            self.check(twice, 2 << 24, 0xff << 24, tiny);
            (r, negate)
        };
        self.remember(&f, [da, db, dc]);
        let r = if negate { self.f.ins().fneg(r) } else { r };
        self.set_single(f.t, r);
        Some(())
    }

    fn set_single(&mut self, t: u8, r: Value) {
        let d = self.f.ins().fpromote(F64, r);
        self.singles.insert(d, r);
        self.fp_set(t, d);
    }

    /// `frsp`
    fn fp_round(&mut self, f: FpInsn, b: Value) -> Option<()> {
        let r = self.f.ins().fdemote(F32, b);
        let zero = self.f.ins().f64const(0.0);
        let exact = self.f.ins().fcmp(FloatCC::Equal, b, zero);
        let bits = self.f.ins().bitcast(I32, MemFlagsData::new(), r);
        let twice = self.f.ins().iadd(bits, bits);
        self.check(twice, 2 << 24, 0xff << 24, Tiny::UnlessZero(exact));
        self.remember(&f, [b; 3]);
        self.set_single(f.t, r);
        Some(())
    }

    /// The result before it is negated, and whether it is to be.
    fn arithmetic(&mut self, op: FpOp, a: Value, b: Value, c: Value) -> Option<(Value, bool)> {
        use FpOp::*;
        let r = match op {
            Add => self.f.ins().fadd(a, b),
            Sub => self.f.ins().fsub(a, b),
            Mul => self.f.ins().fmul(a, b),
            Div => self.f.ins().fdiv(a, b),
            Sqrt => self.f.ins().sqrt(b),
            Madd | Nmadd => self.f.ins().fma(a, c, b),
            Msub | Nmsub => {
                let n = self.f.ins().fneg(b);
                self.f.ins().fma(a, c, n)
            }
            _ => return None,
        };
        Some((r, matches!(op, Nmadd | Nmsub)))
    }

    /// When a zero that is the result of `op` is exact.
    fn tiny(&mut self, op: FpOp, a: Value, c: Value, zero: Value) -> Tiny {
        use FpOp::*;
        if matches!(op, Add | Sub | Sqrt) {
            return Tiny::Exact;
        }
        let x = self.f.ins().fcmp(FloatCC::Equal, a, zero);
        if op == Div {
            return Tiny::UnlessZero(x);
        }
        let y = self.f.ins().fcmp(FloatCC::Equal, c, zero);
        Tiny::UnlessZero(self.f.ins().bor(x, y))
    }

    /// Leave unless the result whose bits, shifted left by one, are `twice` can be taken as it is: from `low` to
    /// `high`, or an exact zero.
    fn check(&mut self, twice: Value, low: u64, high: u64, tiny: Tiny) {
        let ty = self.f.func.dfg.value_type(twice);
        let word = |x: u64| if ty == I32 { x as u32 as i64 } else { x as i64 };
        match tiny {
            Tiny::Exact => {
                let high = self.f.ins().iconst(ty, word(high));
                let bad = self.f.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, twice, high);
                self.leave_if(Self::cond(bad));
            }
            Tiny::UnlessZero(exact) => {
                let from = self.f.ins().iconst(ty, word(low));
                let span = self.f.ins().iconst(ty, word(high - low));
                let off = self.f.ins().isub(twice, from);
                let good = self.f.ins().icmp(IntCC::UnsignedLessThan, off, span);
                let (on, odd, out) = (self.f.create_block(), self.cold_exit(), self.cold_exit());
                self.f.ins().brif(good, on, &[], odd, &[]);
                self.f.switch_to_block(odd);
                let zero = self.f.ins().icmp_imm_u(IntCC::Equal, twice, 0);
                let fine = self.f.ins().band(zero, exact);
                self.f.ins().brif(fine, on, &[], out, &[]);
                self.fill_cold(out);
                self.f.switch_to_block(on);
            }
        }
    }

    /// CR field and FPCC of a compare; NaNs leave.
    fn fp_compare(&mut self, f: FpInsn) {
        let (a, b) = (self.fp_get(f.a), self.fp_get(f.b));
        let nan = self.f.ins().fcmp(FloatCC::Unordered, a, b);
        self.leave_if(Self::cond(nan));
        let lt = self.f.ins().fcmp(FloatCC::LessThan, a, b);
        let gt = self.f.ins().fcmp(FloatCC::GreaterThan, a, b);
        let (l, g, e) = (self.iconst(8), self.iconst(4), self.iconst(2));
        let v = self.f.ins().select(gt, g, e);
        let v = self.f.ins().select(lt, l, v);
        self.set_field(f.t as u32, v);
        self.fields[f.t as usize & 7] = Some(Field::Floats { a, b, bits: v });
        let old = self.f.use_var(self.vars.after);
        let old = self.f.ins().band_imm_u(old, 0xff00);
        let now = self.f.ins().bor_imm_u(v, COMPARED);
        let now = self.f.ins().bor(old, now);
        self.f.def_var(self.vars.after, now);
    }

    /// A bit of a field that is the result of comparing `a` and `b`, neither of them a NaN.
    pub(super) fn float_bit(&mut self, k: u32, a: Value, b: Value) -> C {
        let code = match k {
            0 => FloatCC::LessThan,
            1 => FloatCC::GreaterThan,
            _ => FloatCC::UnorderedOrEqual,
        };
        Self::cond(self.f.ins().fcmp(code, a, b))
    }

    /// Truncation to a doubleword integer, or to a word.
    fn fp_truncate(&mut self, f: FpInsn, word: bool) {
        let b = self.fp_get(f.b);
        let size = self.f.ins().fabs(b);
        let most = self.f.ins().f64const(if word { 2147483648.0 } else { 9223372036854775808.0 });
        let inside = self.f.ins().fcmp(FloatCC::LessThan, size, most);
        self.leave_if(C { v: inside, not: true });
        let v = self.f.ins().fcvt_to_sint_sat(I64, b);
        let back = self.f.ins().fcvt_from_sint(F64, v);
        let inexact = self.f.ins().fcmp(FloatCC::NotEqual, back, b);
        let inexact = self.f.ins().uextend(I64, inexact);
        let inexact = self.f.ins().ishl_imm_u(inexact, INEXACT_SHIFT);
        let old = self.f.use_var(self.vars.after);
        let old = self.f.ins().band_imm_u(old, 0xff);
        let now = self.f.ins().bor_imm_u(old, CONVERTED);
        let now = self.f.ins().bor(now, inexact);
        self.f.def_var(self.vars.after, now);
        let d = self.double_of(v);
        self.fp_set(f.t, d);
    }

    /// DOUBLE of the manual: the single in the low word to double format, changing no NaN.
    pub(super) fn widen(&mut self, v: Value) -> Value {
        let s = match self.unextended(v, F32) {
            Some(s) => s,
            None => {
                let w = self.low(v);
                self.f.ins().bitcast(F32, MemFlagsData::new(), w)
            }
        };
        // A NaN would be made quiet.
        let nan = self.f.ins().fcmp(FloatCC::Unordered, s, s);
        self.leave_if(Self::cond(nan));
        let d = self.f.ins().fpromote(F64, s);
        self.singles.insert(d, s);
        self.bits(d)
    }

    /// SINGLE of the manual: a double to single format for storing, without rounding.
    pub(super) fn narrow(&mut self, v: Value) -> Value {
        let d = self.double_of(v);
        if let Some(&s) = self.singles.get(&d) {
            let w = self.f.ins().bitcast(I32, MemFlagsData::new(), s);
            return self.f.ins().uextend(I64, w);
        }
        // Exponents of single denormals are tier 1's, zero is not.
        let twice = self.f.ins().iadd(v, v);
        let exponent = self.f.ins().ushr_imm_u(twice, 53);
        let small = self.f.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, exponent, 896);
        let nonzero = self.f.ins().icmp_imm_u(IntCC::NotEqual, twice, 0);
        let bad = self.f.ins().band(small, nonzero);
        self.leave_if(Self::cond(bad));
        let hi = self.f.ins().ushr_imm_u(v, 32);
        let hi = self.f.ins().band_imm_u(hi, 0xc000_0000);
        let lo = self.f.ins().ushr_imm_u(v, 29);
        let lo = self.f.ins().band_imm_u(lo, 0x3fff_ffff);
        self.f.ins().bor(hi, lo)
    }
}
