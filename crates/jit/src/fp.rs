//! Floating point inline: the common cases of scalar arithmetic, exact to the last FPSCR bit.
//!
//! The host rounds each operation in the four directions (embedded rounding of AVX-512): to nearest for the result,
//! towards zero to see whether that incremented the fraction (FR), up and down to see whether it is inexact (FI).
//! Results that are neither normal nor exact zeros, the first inexact result while FPSCR[XX] is off, other rounding
//! modes, enabled inexact exceptions and NI take the cold piece. Singles are done on singles; an operand that is not
//! one takes the cold piece.

use isa::Mode;
use isa::fp::{FpForm, FpInsn, FpOp, IntTy};

use crate::asm::{Alu, Cc, RAX, RBP, RCX, RDX, Sh, X, m};
use crate::emit::{Emit, st};

/// Embedded rounding: nearest, down, up, towards zero.
const RN: u8 = 0;
const RD: u8 = 1;
const RU: u8 = 2;
const RZ: u8 = 3;

/// The scalar double operation of an opcode in map 1, or a fused one.
fn opcode(op: FpOp) -> Option<(u8, u8)> {
    Some(match op {
        FpOp::Add => (1, 0x58),
        FpOp::Sub => (1, 0x5c),
        FpOp::Mul => (1, 0x59),
        FpOp::Div => (1, 0x5e),
        FpOp::Sqrt => (1, 0x51),
        FpOp::Madd | FpOp::Nmadd => (2, 0xa9),
        FpOp::Msub | FpOp::Nmsub => (2, 0xab),
        _ => return None,
    })
}

impl Emit<'_> {
    fn vsr_at(n: u8) -> crate::asm::M {
        m(RBP, st!(vsr) + 16 * (n as i32 & 63) + 8)
    }

    /// Doubleword 0 of a VSR as a double.
    fn double(&mut self, n: u8) -> X {
        let x = self.xalloc();
        self.a.xm(0xf3, 0x0f7e, x, Self::vsr_at(n));
        x
    }

    /// Doubleword 0 of a VSR as a single; what is none takes the cold piece.
    fn single(&mut self, n: u8) -> X {
        let d = self.double(n);
        let s = self.xalloc();
        self.a.xx(0xf2, 0x0f5a, s, d);
        self.a.xx(0xf3, 0x0f5a, X(15), s);
        self.a.xx(0x66, 0x0f2e, X(15), d);
        self.cold(Cc::P);
        self.cold(Cc::Ne);
        s
    }

    /// A whole instruction; `None`: not done here.
    pub(crate) fn fp(&mut self, f: FpInsn) -> Option<()> {
        let Mode { fe, .. } = self.mode;
        if fe || f.rc || !self.avx512 {
            return None;
        }
        match (f.op, f.form) {
            (FpOp::CmpU | FpOp::CmpO, FpForm::F64) => {
                self.fp_compare(f);
                Some(())
            }
            (FpOp::RoundSp, FpForm::F64 | FpForm::F32) => {
                self.fp_modes();
                let b = self.double(f.b);
                let r = [RN, RZ, RU, RD].map(|mode| {
                    let d = self.xalloc();
                    self.a.evex(3, 1, true, 0x5a, d, b, b, mode);
                    d
                });
                self.fp_result(f.t, r, true, false);
                Some(())
            }
            (FpOp::FromInt(IntTy::I64), FpForm::F64 | FpForm::F32) => {
                let single = f.form == FpForm::F32;
                self.fp_modes();
                self.a.load(RAX, Self::vsr_at(f.b));
                let r = [RN, RZ, RU, RD].map(|mode| {
                    let d = self.xalloc();
                    self.a.evex(if single { 2 } else { 3 }, 1, true, 0x2a, d, d, X(0), mode);
                    d
                });
                self.fp_result(f.t, r, single, false);
                Some(())
            }
            (FpOp::ToInt(IntTy::I64, true), FpForm::F64) => {
                self.fp_truncate(f);
                Some(())
            }
            (FpOp::Mffs | FpOp::Mffsl, _) => {
                let v = self.alloc();
                self.a.load(v, m(RBP, st!(fpscr)));
                if f.op == FpOp::Mffsl {
                    // FR, FI, FPRF, the enables, NI, RN and DRN (Book I, 4.6.10).
                    self.a.movi(RAX, 0x7_0007_f0ff);
                    self.a.alu(Alu::And, true, v, RAX);
                }
                self.writes();
                let at = Self::vsr_at(f.t);
                self.a.store(at, v, 8);
                self.a.storei(m(RBP, at.disp - 8), 0);
                Some(())
            }
            (_, FpForm::F64 | FpForm::F32) => {
                let (map, op) = opcode(f.op)?;
                self.fp_arithmetic(f, map, op);
                Some(())
            }
            _ => None,
        }
    }

    /// To the cold piece unless rounding is to nearest, with XE and NI off.
    fn fp_modes(&mut self) {
        self.a.test_m8(m(RBP, st!(fpscr)), 0x0f);
        self.cold(Cc::Ne);
    }

    fn fp_arithmetic(&mut self, f: FpInsn, map: u8, op: u8) {
        let single = f.form == FpForm::F32;
        self.fp_modes();
        let get = |s: &mut Self, n| if single { s.single(n) } else { s.double(n) };
        let fused = map == 2;
        let b = if f.op == FpOp::Mul { X(0) } else { get(self, f.b) };
        let (a, b) = match f.op {
            FpOp::Sqrt => (b, b),
            FpOp::Mul => (get(self, f.a), get(self, f.b)),
            _ => (get(self, f.a), b),
        };
        let c = if fused { get(self, f.c) } else { b };
        let pp = if fused {
            1
        } else if single {
            2
        } else {
            3
        };
        let r = [RN, RZ, RU, RD].map(|mode| {
            let d = self.xalloc();
            if fused {
                self.a.xx(0x66, 0x0f6f, d, c);
            }
            self.a.evex(pp, map, !single, op, d, a, b, mode);
            d
        });
        self.fp_result(f.t, r, single, matches!(f.op, FpOp::Nmadd | FpOp::Nmsub));
    }

    /// Result, class, FR and FI from the four roundings (nearest, to zero, up, down).
    fn fp_result(&mut self, t: u8, [n, z, u, d]: [X; 4], single: bool, negate: bool) {
        let ucomis = |s: &mut Self, x, y| s.a.xx(if single { 0 } else { 0x66 }, 0x0f2e, x, y);
        // rax: the result as a double; rcx: its exponent less 2.
        let v = self.alloc();
        if single {
            self.a.movd_rx(RCX, n);
            self.a.shi(Sh::Shr, false, RCX, 23);
            self.a.alui(Alu::And, false, RCX, 0xff);
            self.a.xx(0xf3, 0x0f5a, X(15), n);
            self.a.movq_rx(v, X(15));
        } else {
            self.a.movq_rx(v, n);
            self.a.mov(RCX, v);
            self.a.shi(Sh::Shr, true, RCX, 52);
            self.a.alui(Alu::And, false, RCX, 0x7ff);
        }
        self.a.alui(Alu::Sub, false, RCX, 2);
        self.a.alui(Alu::Cmp, false, RCX, if single { 0xfc } else { 0x7fc });
        let normal = self.a.jcc(Cc::Be);
        // An exact zero, or the cold piece.
        self.a.mov(RAX, v);
        self.a.shi(Sh::Shl, true, RAX, 1);
        self.cold(Cc::Ne);
        ucomis(self, u, d);
        self.cold(Cc::P);
        self.cold(Cc::Ne);
        if negate {
            self.a.btc63(v);
        }
        self.a.mov(RDX, v);
        self.a.shi(Sh::Shr, true, RDX, 63);
        self.a.shi(Sh::Shl, false, RDX, 16);
        self.a.alui(Alu::Or, false, RDX, 0x2000);
        let join = self.a.jmp();
        self.a.here(normal);
        ucomis(self, u, d);
        self.a.setcc(Cc::Ne, RCX);
        ucomis(self, n, z);
        self.a.setcc(Cc::Ne, RDX);
        self.a.extu(RCX, RCX, 8);
        self.a.extu(RDX, RDX, 8);
        // The first inexact result sets XX and FX.
        self.a.test(false, RCX, RCX);
        let exact = self.a.jcc(Cc::E);
        self.a.test_m8(m(RBP, st!(fpscr) + 3), 2);
        self.cold(Cc::E);
        self.a.here(exact);
        self.a.lea32(RDX, crate::asm::M { base: RCX, index: Some((RDX, 1)), disp: 0 });
        self.a.shi(Sh::Shl, false, RDX, 17);
        if negate {
            self.a.btc63(v);
        }
        self.a.mov(RAX, v);
        self.a.shi(Sh::Shr, true, RAX, 63);
        self.a.shi(Sh::Shl, false, RAX, 14);
        self.a.lea32(RDX, crate::asm::M { base: RDX, index: Some((RAX, 0)), disp: 0x4000 });
        self.a.here(join);
        self.writes();
        self.a.load32(RCX, m(RBP, st!(fpscr)));
        self.a.alui(Alu::And, false, RCX, !0x7_f000);
        self.a.alu(Alu::Or, false, RCX, RDX);
        self.a.store(m(RBP, st!(fpscr)), RCX, 4);
        let at = Self::vsr_at(t);
        self.a.store(at, v, 8);
        self.a.storei(m(RBP, at.disp - 8), 0);
    }

    /// CR field and FPCC of a compare; NaNs take the cold piece.
    fn fp_compare(&mut self, f: FpInsn) {
        let (a, b) = (self.double(f.a), self.double(f.b));
        self.a.movi32(RAX, 8);
        self.a.movi32(RCX, 4);
        self.a.movi32(RDX, 2);
        self.a.xx(0x66, 0x0f2e, a, b);
        self.cold(Cc::P);
        self.a.cmov(Cc::A, RAX, RCX);
        self.a.cmov(Cc::E, RAX, RDX);
        self.writes();
        self.forget_compare(f.t as u32);
        self.a.store(m(RBP, st!(cr) + (f.t as i32 & 7)), RAX, 1);
        self.a.shi(Sh::Shl, false, RAX, 12);
        self.a.load32(RCX, m(RBP, st!(fpscr)));
        self.a.alui(Alu::And, false, RCX, !0xf000);
        self.a.alu(Alu::Or, false, RCX, RAX);
        self.a.store(m(RBP, st!(fpscr)), RCX, 4);
    }

    /// Truncation to a doubleword integer.
    fn fp_truncate(&mut self, f: FpInsn) {
        self.fp_modes();
        let b = self.double(f.b);
        let v = self.alloc();
        self.a.cvttsd2si(v, b);
        // What does not fit gives the smallest number.
        self.a.movi(RAX, 1 << 63);
        self.a.alu(Alu::Cmp, true, v, RAX);
        self.cold(Cc::E);
        self.a.xx(0x66, 0x0fef, X(15), X(15));
        self.a.cvtsi2sd(X(15), v);
        self.a.xx(0x66, 0x0f2e, X(15), b);
        self.a.setcc(Cc::Ne, RDX);
        self.a.extu(RDX, RDX, 8);
        self.a.test(false, RDX, RDX);
        let exact = self.a.jcc(Cc::E);
        self.a.test_m8(m(RBP, st!(fpscr) + 3), 2);
        self.cold(Cc::E);
        self.a.here(exact);
        self.a.shi(Sh::Shl, false, RDX, 17);
        self.writes();
        self.a.load32(RCX, m(RBP, st!(fpscr)));
        self.a.alui(Alu::And, false, RCX, !0x6_0000);
        self.a.alu(Alu::Or, false, RCX, RDX);
        self.a.store(m(RBP, st!(fpscr)), RCX, 4);
        let at = Self::vsr_at(f.t);
        self.a.store(at, v, 8);
        self.a.storei(m(RBP, at.disp - 8), 0);
    }
}
