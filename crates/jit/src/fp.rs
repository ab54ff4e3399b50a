//! Floating point inline: the common cases of scalar and vector arithmetic, exact to the last FPSCR bit.
//!
//! The host computes the result, rounding to nearest. It stands when it is normal and not among the smallest normal
//! numbers (one of those may have been tiny before rounding) or an exact zero, while the FPSCR asks for nothing else
//! ([`arch::state::fp_gate`]). Then the only exception is inexact, and while FPSCR[XX] is on it changes nothing; while
//! it is off, a piece behind the block looks into the host's own flag. FR, FI and FPRF are left to be made up for
//! when somebody reads them ([`fpu::Late`]): the operands stay in their registers until the next operation or the
//! end of the block. Whatever else happens, the cold piece has the interpreter carry out the instruction.
//!
//! Single precision is computed in double and rounded again. That is exact for sums, products, quotients and roots of
//! singles; for others, and for fused operations, a double that is half way between two singles takes the cold piece.

use isa::fp::{FpForm, FpInsn, FpOp, IntTy, Rint};

use crate::asm::{Alu, Cc, R, RAX, RBP, RCX, RDX, Sh, X, m};
use crate::emit::{Emit, WarmKind, st};
use crate::thunk::{consts, engine, slot};

/// Bits of a double's fraction that a single does not have, and the first of them.
const BEYOND_SINGLE: i32 = 0x1fff_ffff;
const HALF_WAY: i32 = 0x1000_0000;

/// The host's operation: opcode of the sum, difference, product, quotient or root in map 0F; of the fused ones, which
/// add to their target, in map 0F38.
fn opcode(op: FpOp) -> Option<(bool, u8)> {
    Some(match op {
        FpOp::Add => (false, 0x58),
        FpOp::Sub => (false, 0x5c),
        FpOp::Mul => (false, 0x59),
        FpOp::Div => (false, 0x5e),
        FpOp::Sqrt => (false, 0x51),
        FpOp::Madd | FpOp::Nmadd => (true, 0xb8),
        FpOp::Msub | FpOp::Nmsub => (true, 0xba),
        _ => return None,
    })
}

/// Operands one of which is zero when a zero result is exact; none: it always is.
fn zero_needs(op: FpOp, a: X, b: X, c: X) -> [Option<X>; 2] {
    match op {
        FpOp::Mul => [Some(a), Some(b)],
        FpOp::Div => [Some(a), None],
        FpOp::Madd | FpOp::Msub | FpOp::Nmadd | FpOp::Nmsub => [Some(a), Some(c)],
        _ => [None, None],
    }
}

impl Emit<'_> {
    /// A whole instruction; `None`: not done here.
    pub(crate) fn fp(&mut self, f: FpInsn) -> Option<()> {
        let predicate = matches!(f.op, FpOp::CmpEq | FpOp::CmpGt | FpOp::CmpGe);
        if self.mode.fe || f.rc && !predicate || !self.avx {
            return None;
        }
        match (f.op, f.form) {
            (FpOp::CmpU | FpOp::CmpO, FpForm::F64) => self.fp_compare(f),
            (FpOp::FromInt(ty @ (IntTy::I64 | IntTy::U64)), FpForm::F64 | FpForm::F32) => {
                return self.fp_from_int(f, ty == IntTy::I64);
            }
            (FpOp::ToInt(ty, true), FpForm::F64) => return self.fp_truncate(f, ty, false),
            (FpOp::ToWord(signed, true), FpForm::F64) => {
                return self.fp_truncate(f, if signed { IntTy::I32 } else { IntTy::U32 }, true);
            }
            (FpOp::Rint(r), FpForm::F64) => return self.fp_round(f, r),
            (FpOp::Mffs | FpOp::Mffsl, _) => return self.fp_read(f),
            (FpOp::Max | FpOp::Min, FpForm::F64 | FpForm::V64 | FpForm::V32) => self.fp_max_min(f),
            (_, FpForm::V64 | FpForm::V32) if predicate => self.fp_predicate(f),
            (_, FpForm::F64 | FpForm::F32) => return self.fp_scalar(f),
            (_, FpForm::V64 | FpForm::V32) => return self.fp_vector(f),
            _ => return None,
        }
        Some(())
    }

    /// `mffs`, `mffsl`: when nothing is owed.
    fn fp_read(&mut self, f: FpInsn) -> Option<()> {
        if self.late.is_some() {
            return None;
        }
        self.a.alumi(Alu::Cmp, true, m(RBP, st!(fp_late.code)), 0);
        self.cold(Cc::Ne);
        let v = self.alloc();
        self.a.load(v, m(RBP, st!(fpscr)));
        if f.op == FpOp::Mffsl {
            // FR, FI, FPRF, the enables, NI, RN and DRN (Book I, 4.6.10).
            self.a.movi(RAX, 0x7_0007_f0ff);
            self.a.alu(Alu::And, true, v, RAX);
        }
        let x = self.xalloc();
        self.a.movq_xr(x, v);
        self.set_held(f.t, x, false, false);
        Some(())
    }

    /// Arithmetic on doubleword 0.
    fn fp_scalar(&mut self, f: FpInsn) -> Option<()> {
        let code = fpu::Late::code(f.op, f.form)?;
        let round_only = f.op == FpOp::RoundSp;
        let (fused, op) = if round_only { (false, 0) } else { opcode(f.op)? };
        let single = f.form == FpForm::F32 || round_only;
        let (b, b1) = self.scalar(f.b);
        let one = round_only || f.op == FpOp::Sqrt;
        let (a, a1) = if one { (b, b1) } else { self.scalar(f.a) };
        let (c, c1) = if fused { self.scalar(f.c) } else { (b, b1) };
        let singles = a1 && b1 && c1;
        if single && !singles && matches!(f.op, FpOp::Add | FpOp::Sub) {
            self.a.movq_rx(RAX, a);
            self.a.movq_rx(RCX, b);
            self.a.alu(Alu::Or, false, RAX, RCX);
            self.a.testi(RAX, BEYOND_SINGLE as u32);
            self.cold(Cc::Ne);
        }
        let d = self.xalloc();
        let from = self.a.pos;
        if fused {
            self.a.vmov(d, b);
            self.a.fma(true, op + 1, d, a, c);
        } else if !round_only {
            self.a.v3(0xf2, 0x0f00 | op as u32, d, a, b);
        }
        let wide = if round_only { b } else { d };
        let mut r = d;
        if single {
            r = self.xalloc();
            self.a.v3(0xf2, 0x0f5a, r, wide, wide);
            self.a.v3(0xf3, 0x0f5a, r, r, r);
        }
        self.fp_gate(from);
        if single && (fused || !singles) && !round_only && !matches!(f.op, FpOp::Add | FpOp::Sub) {
            self.a.movq_rx(RAX, wide);
            self.a.alui(Alu::And, false, RAX, BEYOND_SINGLE);
            self.a.alui(Alu::Cmp, false, RAX, HALF_WAY);
            self.cold(Cc::E);
        }
        // Sign, exponent and the first bits of the fraction: exponents from the third on.
        let (low, span) = if single { (898 << 4, 252 << 4) } else { (2 << 4, 0x7fc << 4) };
        self.a.pextrw3(RAX, r);
        self.a.alui(Alu::And, false, RAX, 0x7ff0);
        self.a.alui(Alu::Sub, false, RAX, low);
        self.a.alui(Alu::Cmp, false, RAX, span);
        let before = single.then_some(wide);
        self.warm(Cc::A, WarmKind::Zero { result: r, before, needs: zero_needs(f.op, a, b, c) });
        if matches!(f.op, FpOp::Nmadd | FpOp::Nmsub) {
            let sign = self.consts(consts::SIGN64);
            self.a.vrip(0x66, 0x0f57, r, r, sign);
        }
        self.set_held(f.t, r, false, single);
        let operand = |x: X, used: bool| used.then_some(x);
        self.set_late(code, [operand(a, !one), Some(b), operand(c, fused)]);
        Some(())
    }

    /// The code since `from` computed a result by host arithmetic: it counts when the FPSCR asks for nothing else.
    fn fp_gate(&mut self, from: usize) {
        let to = self.a.pos;
        self.a.alumi4(Alu::Cmp, m(RBP, st!(fp_gate)), 0);
        self.warm(Cc::Ne, WarmKind::Exact { from, to });
    }

    /// Arithmetic on all elements.
    fn fp_vector(&mut self, f: FpInsn) -> Option<()> {
        let (fused, op) = opcode(f.op)?;
        let double = f.form == FpForm::V64;
        let prefix = if double { 0x66 } else { 0 };
        let b = self.full(f.b);
        let a = if f.op == FpOp::Sqrt { b } else { self.full(f.a) };
        let c = if fused { self.full(f.c) } else { b };
        let d = self.xalloc();
        let from = self.a.pos;
        if fused {
            self.a.vmov(d, b);
            self.a.fma(double, op, d, a, c);
        } else {
            // The root has one operand only.
            let v = if f.op == FpOp::Sqrt { X(0) } else { a };
            self.a.v3(prefix, 0x0f00 | op as u32, d, v, b);
        }
        self.fp_gate(from);
        let [abs, low, max] = if double {
            [consts::ABS64, consts::LOW64, consts::MAX64]
        } else {
            [consts::ABS32, consts::LOW32, consts::MAX32]
        }
        .map(|c| self.consts(c));
        let greater = if double { 0x0f3837 } else { 0x0f66 };
        self.a.vrip(0x66, 0x0fdb, X(15), d, abs);
        self.a.vrip(0x66, greater, X(14), X(15), low);
        self.a.vrip(0x66, greater, X(15), X(15), max);
        self.a.v3(0x66, 0x0fdf, X(15), X(15), X(14));
        self.a.vmovmsk(if double { 8 } else { 4 }, RAX, X(15));
        self.a.alui(Alu::Cmp, false, RAX, if double { 3 } else { 15 });
        self.warm(Cc::Ne, WarmKind::Zeros { double, result: d, needs: zero_needs(f.op, a, b, c) });
        if matches!(f.op, FpOp::Nmadd | FpOp::Nmsub) {
            let sign = self.consts(if double { consts::SIGN64 } else { consts::SIGN32 });
            self.a.vrip(0x66, 0x0f57, d, d, sign);
        }
        self.set_held(f.t, d, true, false);
        Some(())
    }

    /// The code of a warm piece, which falls through when the result is good.
    pub(crate) fn warm_code(&mut self, cold: usize, kind: WarmKind) {
        match kind {
            WarmKind::Exact { from, to } => {
                self.a.test_m8(m(RBP, st!(fp_gate)), 1);
                self.chill(cold, Cc::Ne);
                let scratch = engine(slot::SCRATCH);
                // All exceptions masked, none recorded.
                self.a.storei4(scratch, 0x1f80);
                self.a.ldmxcsr(scratch);
                self.a.again(from, to);
                self.a.stmxcsr(scratch);
                self.a.test_m8(scratch, 0x20);
                self.chill(cold, Cc::Ne);
            }
            WarmKind::Zero { result, before, needs } => {
                for x in [Some(result), before].into_iter().flatten() {
                    self.a.movq_rx(RAX, x);
                    self.a.shi(Sh::Shl, true, RAX, 1);
                    self.chill(cold, Cc::Ne);
                }
                if let [Some(x), y] = needs {
                    self.a.movq_rx(RAX, x);
                    self.a.shi(Sh::Shl, true, RAX, 1);
                    if let Some(y) = y {
                        let zero = self.a.jcc(Cc::E);
                        self.a.movq_rx(RAX, y);
                        self.a.shi(Sh::Shl, true, RAX, 1);
                        self.chill(cold, Cc::Ne);
                        self.a.here(zero);
                    } else {
                        self.chill(cold, Cc::Ne);
                    }
                }
            }
            WarmKind::Zeros { double, result, needs } => {
                // eax: elements in range; ecx: zeros that are exact.
                self.zero_mask(double, result, RCX);
                let scratch = engine(slot::SCRATCH);
                if let [Some(x), y] = needs {
                    self.zero_mask(double, x, RDX);
                    if let Some(y) = y {
                        self.a.store(scratch, RDX, 4);
                        self.zero_mask(double, y, RDX);
                        self.a.alum(Alu::Or, false, RDX, scratch);
                    }
                    self.a.alu(Alu::And, false, RCX, RDX);
                }
                self.a.alu(Alu::Or, false, RAX, RCX);
                self.a.alui(Alu::Cmp, false, RAX, if double { 3 } else { 15 });
                self.chill(cold, Cc::Ne);
            }
        }
    }

    /// Which elements are zeros of either sign.
    fn zero_mask(&mut self, double: bool, x: X, d: R) {
        let (abs, equal) = if double { (consts::ABS64, 0x0f3829) } else { (consts::ABS32, 0x0f76) };
        let (abs, zero) = (self.consts(abs), self.consts(consts::ZERO));
        self.a.vrip(0x66, 0x0fdb, X(15), x, abs);
        self.a.vrip(0x66, equal, X(15), X(15), zero);
        self.a.vmovmsk(if double { 8 } else { 4 }, d, X(15));
    }

    /// CR field and FPCC of a compare; NaNs take the cold piece.
    fn fp_compare(&mut self, f: FpInsn) {
        let ((a, _), (b, _)) = (self.scalar(f.a), self.scalar(f.b));
        self.flush_late();
        self.a.movi32(RAX, 8);
        self.a.movi32(RCX, 4);
        self.a.movi32(RDX, 2);
        self.a.vucomi(true, a, b);
        self.cold(Cc::P);
        self.a.cmov(Cc::A, RAX, RCX);
        self.a.cmov(Cc::E, RAX, RDX);
        self.writes();
        self.forget_compare(f.t as u32);
        self.a.store(m(RBP, st!(cr) + (f.t as i32 & 7)), RAX, 1);
        self.a.alui(Alu::Or, false, RAX, 0x80);
        self.a.store(m(RBP, st!(fp_late.fpcc)), RAX, 1);
    }

    /// Compares that make a mask, with CR6 when asked for; NaNs take the cold piece.
    fn fp_predicate(&mut self, f: FpInsn) {
        let double = f.form == FpForm::V64;
        let (a, b) = (self.full(f.a), self.full(f.b));
        self.no_nans(double, true, a, b);
        let d = self.xalloc();
        let (x, y, how) = match f.op {
            FpOp::CmpEq => (a, b, 0),
            FpOp::CmpGt => (b, a, 1),
            _ => (b, a, 2),
        };
        self.a.v3i(if double { 0x66 } else { 0 }, 0x0fc2, d, x, y, how);
        if f.rc {
            self.a.vmovmsk(if double { 8 } else { 4 }, RAX, d);
            self.a.movi32(RCX, 0);
            self.a.movi32(RDX, 8);
            self.a.alui(Alu::Cmp, false, RAX, if double { 3 } else { 15 });
            self.a.cmov(Cc::E, RCX, RDX);
            self.a.movi32(RDX, 2);
            self.a.test(false, RAX, RAX);
            self.a.cmov(Cc::E, RCX, RDX);
            self.writes();
            self.forget_compare(6);
            self.a.store(m(RBP, st!(cr) + 6), RCX, 1);
        }
        self.set_held(f.t, d, true, false);
    }

    /// To the cold piece when an element of `a` or `b` is a NaN.
    fn no_nans(&mut self, double: bool, all: bool, a: X, b: X) {
        if !all {
            self.a.vucomi(true, a, b);
            self.cold(Cc::P);
            return;
        }
        self.a.v3i(if double { 0x66 } else { 0 }, 0x0fc2, X(15), a, b, 3);
        self.a.vmovmsk(if double { 8 } else { 4 }, RAX, X(15));
        self.a.test(false, RAX, RAX);
        self.cold(Cc::Ne);
    }

    /// Maximum and minimum: the host's give the second operand when both are zeros, so both orders are joined.
    fn fp_max_min(&mut self, f: FpInsn) {
        let all = f.form != FpForm::F64;
        let double = f.form != FpForm::V32;
        let (a, b) =
            if all { (self.full(f.a), self.full(f.b)) } else { (self.scalar(f.a).0, self.scalar(f.b).0) };
        self.no_nans(double, all, a, b);
        let d = self.xalloc();
        let (op, join) = if f.op == FpOp::Max { (0x0f5f, 0x0f54) } else { (0x0f5d, 0x0f56) };
        let prefix = if double { 0x66 } else { 0 };
        self.a.v3(prefix, op, X(15), a, b);
        self.a.v3(prefix, op, d, b, a);
        self.a.v3(0, join, d, d, X(15));
        self.set_held(f.t, d, all, false);
    }

    /// From a doubleword integer.
    fn fp_from_int(&mut self, f: FpInsn, signed: bool) -> Option<()> {
        let code = fpu::Late::code(f.op, f.form)?;
        let single = f.form == FpForm::F32;
        let (b, _) = self.scalar(f.b);
        self.a.movq_rx(RAX, b);
        if !signed {
            self.a.test(true, RAX, RAX);
            self.cold(Cc::S);
        }
        let d = self.xalloc();
        let from = self.a.pos;
        self.a.movq_rx(RAX, b);
        self.a.vex(if single { 2 } else { 3 }, 1, true, 0x2a, d.0, b.0, RAX.0);
        if single {
            self.a.v3(0xf3, 0x0f5a, d, d, d);
        }
        self.fp_gate(from);
        self.set_held(f.t, d, false, single);
        self.set_late(code, [None, Some(b), None]);
        Some(())
    }

    /// To an integral value in a given direction.
    fn fp_round(&mut self, f: FpInsn, r: Rint) -> Option<()> {
        let code = fpu::Late::code(f.op, f.form)?;
        let how = match r {
            Rint::Down => 9,
            Rint::Up => 10,
            Rint::Zero => 11,
            _ => return None,
        };
        let (b, _) = self.scalar(f.b);
        self.a.vucomi(true, b, b);
        self.cold(Cc::P);
        let d = self.xalloc();
        self.a.v3i(0x66, 0x0f3a0b, d, b, b, how);
        self.set_held(f.t, d, false, false);
        self.set_late(code, [None, Some(b), None]);
        Some(())
    }

    /// Truncation to an integer; `word`: into the low half of the target.
    fn fp_truncate(&mut self, f: FpInsn, ty: IntTy, word: bool) -> Option<()> {
        let (b, _) = self.scalar(f.b);
        self.flush_late();
        self.a.test_m8(m(RBP, st!(fp_gate)), 1);
        self.cold(Cc::Ne);
        if matches!(ty, IntTy::U32 | IntTy::U64) {
            self.a.movq_rx(RAX, b);
            self.a.test(true, RAX, RAX);
            self.cold(Cc::S);
        }
        let v = self.alloc();
        self.a.cvttsd2si(v, b);
        match ty {
            // What does not fit gives the smallest number.
            IntTy::I64 => {
                self.a.movi(RAX, 1 << 63);
                self.a.alu(Alu::Cmp, true, v, RAX);
                self.cold(Cc::E);
            }
            IntTy::U64 => {
                self.a.test(true, v, v);
                self.cold(Cc::S);
            }
            IntTy::I32 | IntTy::U32 => {
                if ty == IntTy::I32 {
                    self.a.exts(RAX, v, 32);
                } else {
                    self.a.mov32(RAX, v);
                }
                self.a.alu(Alu::Cmp, true, RAX, v);
                self.cold(Cc::Ne);
            }
            _ => return None,
        }
        self.a.v3(0x66, 0x0fef, X(15), X(15), X(15));
        self.a.cvtsi2sd(X(15), v);
        self.a.vucomi(true, X(15), b);
        self.a.setcc(Cc::Ne, RDX);
        self.a.extu(RDX, RDX, 8);
        self.a.test(false, RDX, RDX);
        let exact = self.a.jcc(Cc::E);
        self.a.test_m8(m(RBP, st!(fp_gate)), 2);
        self.cold(Cc::Ne);
        self.a.here(exact);
        self.a.alui(Alu::Or, false, RDX, 0x80);
        self.writes();
        self.a.store(m(RBP, st!(fp_late.frfi)), RDX, 1);
        if matches!(ty, IntTy::I32 | IntTy::U32) && !word {
            // Both words.
            self.a.mov32(v, v);
            self.a.mov(RAX, v);
            self.a.shi(Sh::Shl, true, RAX, 32);
            self.a.alu(Alu::Or, true, v, RAX);
        }
        let d = self.xalloc();
        self.a.movq_xr(d, v);
        self.set_held(f.t, d, false, false);
        Some(())
    }
}
