//! Power floating point, bit exact: one call of [`exec`] carries out one instruction described by
//! [`isa::fp::FpInsn`], from registers to registers, with everything it does to the FPSCR, the condition register
//! and the target under enabled exceptions (Power ISA 3.1B, Book I, chapters 4, 5, 6.10 and 7).
//!
//! All binary formats share one unpacked form and one rounding function ([`soft`]); [`fast`] answers the common double and
//! single cases with host arithmetic where that is provably the same in every bit, FR and FI included.
#![forbid(unsafe_code)]

pub mod arith;
mod compare;
pub mod dfp;
mod fast;
pub mod fpscr;
mod ger;
mod late;
pub mod soft;
mod vmx;

use isa::fp::{FpForm, FpInsn, FpOp, IntTy};

pub use arith::{double_bits, single_bits};
pub use late::Late;

use arith::{Kind, Res};
use fpscr::{ENABLES, FI, FPCC, FPRF, FPRF_SHIFT, FR, OE, OX, UE, UX, VE, VX_ALL, XE, XX, ZE, ZX};
use soft::{BF16, DOUBLE, Env, Fmt, HALF, QUAD, Rm, SINGLE};

/// The registers that floating-point instructions read and write.
pub trait FpRegs {
    /// VSR `n` (0..64); byte 0 is the most significant.
    fn vsr(&self, n: usize) -> u128;
    /// Write VSR `n`.
    fn set_vsr(&mut self, n: usize, v: u128);
    /// The FPSCR.
    fn fpscr(&self) -> u64;
    /// Write the FPSCR (FEX and VX are already right in `v`).
    fn set_fpscr(&mut self, v: u64);
    /// Write CR field `n` from the low four bits: LT, GT, EQ, SO.
    fn set_cr_field(&mut self, n: u32, v: u8);
    /// The VSCR.
    fn vscr(&self) -> u32;
    /// Write the VSCR.
    fn set_vscr(&mut self, v: u32);
    /// MSR[FE0] or MSR[FE1].
    fn msr_fe(&self) -> bool;
}

/// What follows an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum FpTrap {
    /// The next instruction.
    None,
    /// A floating-point enabled exception type program interrupt (SRR1[43]); the instruction has completed.
    Enabled,
}

/// Carry out one instruction.
pub fn exec<R: FpRegs>(r: &mut R, f: FpInsn) -> FpTrap {
    if f.form == FpForm::Vmx {
        vmx::exec(r, f);
        return FpTrap::None;
    }
    match f.op {
        FpOp::Mffs
        | FpOp::Mffsce
        | FpOp::Mffsl
        | FpOp::Mffscdrn
        | FpOp::Mffscdrni
        | FpOp::Mffscrn
        | FpOp::Mffscrni
        | FpOp::Mcrfs
        | FpOp::Mtfsb0
        | FpOp::Mtfsb1
        | FpOp::Mtfsf
        | FpOp::Mtfsfi
        | FpOp::Cr1 => return fpscr::exec_move(r, f),
        FpOp::Dfp(op) => return dfp::exec(r, f, op),
        FpOp::CmpU | FpOp::CmpO | FpOp::CmpExp => compare_to_cr(r, f),
        FpOp::TestDiv | FpOp::TestSqrt => return test_to_cr(r, f),
        FpOp::TestClass => return test_class(r, f),
        FpOp::Ger(elem, sum, products) => ger::exec(r, f, elem, sum, products),
        FpOp::CmpEq | FpOp::CmpGt | FpOp::CmpGe => predicate(r, f),
        FpOp::Max | FpOp::Min | FpOp::MaxC | FpOp::MinC | FpOp::MaxJ | FpOp::MinJ => max_min(r, f),
        FpOp::DpSpn | FpOp::SpDpn => return convert_silent(r, f),
        FpOp::HpSp | FpOp::SpHp | FpOp::SpBf16 => convert_words(r, f),
        FpOp::DpSp | FpOp::SpDp if f.form == FpForm::V64 => convert_pair(r, f),
        FpOp::DpSp | FpOp::SpDp | FpOp::HpDp | FpOp::DpHp | FpOp::DpQp | FpOp::QpDp => convert_scalar(r, f),
        FpOp::ToInt(ty, trunc) => to_int(r, f, ty, trunc),
        FpOp::ToWord(signed, trunc) => to_int(r, f, if signed { IntTy::I32 } else { IntTy::U32 }, trunc),
        FpOp::FromInt(ty) => from_int(r, f, ty),
        FpOp::Rqpi | FpOp::Rqpix | FpOp::Rqpxp => round_quad(r, f),
        _ => match f.form {
            FpForm::F64 | FpForm::F32 => scalar(r, f),
            FpForm::Quad | FpForm::QuadOdd => quad(r, f),
            FpForm::V64 | FpForm::V32 => vector(r, f),
            FpForm::Vmx | FpForm::Dec64 | FpForm::Dec128 => {}
        },
    }
    if f.rc && matches!(f.form, FpForm::F64 | FpForm::F32) {
        fpscr::record_cr1(r);
    }
    fpscr::trap(r)
}

/// Rounding and enables in force.
fn env(fpscr: u64) -> Env {
    Env { rm: fpscr::rounding(fpscr), oe: fpscr & OE as u64 != 0, ue: fpscr & UE as u64 != 0 }
}

fn reg<R: FpRegs>(r: &R, n: u8) -> u128 {
    r.vsr(n as usize & 63)
}

/// The element format of a form.
fn format_of(form: FpForm) -> Fmt {
    match form {
        FpForm::F64 | FpForm::F32 | FpForm::V64 => DOUBLE,
        FpForm::V32 | FpForm::Vmx => SINGLE,
        FpForm::Quad | FpForm::QuadOdd => QUAD,
        // Decimal instructions do not come here.
        FpForm::Dec64 | FpForm::Dec128 => DOUBLE,
    }
}

/// End of a scalar instruction that has a result: exceptions, FR, FI, FPRF (when `set_class`), target (`value` as
/// the whole VSR). Enabled invalid operation and zero divide keep the target.
fn put_scalar<R: FpRegs>(r: &mut R, t: u8, value: u128, res: &Res, set_class: bool) {
    let old = r.fpscr();
    let held = (res.exc & VX_ALL != 0 && old & VE as u64 != 0) || (res.exc & ZX != 0 && old & ZE as u64 != 0);
    let mut v = old & !((FR | FI) as u64);
    if held {
        // The overflow, underflow and inexact of an operation that has no result do not exist.
        v = fpscr::raise(v, res.exc & (VX_ALL | ZX));
    } else {
        if set_class {
            v = v & !(FPRF as u64) | (res.fprf as u64) << FPRF_SHIFT;
        }
        if res.fr {
            v |= FR as u64;
        }
        if res.fi {
            v |= FI as u64;
        }
        v = fpscr::raise(v, res.exc);
        r.set_vsr(t as usize & 63, value);
    }
    r.set_fpscr(v);
}

/// End of a vector instruction: exceptions; the target only when none of them is enabled.
fn put_vector<R: FpRegs>(r: &mut R, t: u8, value: u128, exc: u32) {
    let v = fpscr::raise(r.fpscr(), exc);
    r.set_fpscr(v);
    if !enabled(exc, v) {
        r.set_vsr(t as usize & 63, value);
    }
}

/// Whether one of the exceptions is enabled.
fn enabled(exc: u32, fpscr: u64) -> bool {
    if fpscr as u32 & ENABLES == 0 {
        return false;
    }
    let on = |bits: u32, enable: u32| exc & bits != 0 && fpscr & enable as u64 != 0;
    on(VX_ALL, VE) || on(OX, OE) || on(UX, UE) || on(ZX, ZE) || on(XX, XE)
}

/// Scalar arithmetic in doubleword 0.
fn scalar<R: FpRegs>(r: &mut R, f: FpInsn) {
    let hi = |x: u128| x >> 64;
    let (a, b, c) = (hi(reg(r, f.a)), hi(reg(r, f.b)), hi(reg(r, f.c)));
    let k = if f.form == FpForm::F32 { Kind::F32 } else { Kind::F64 };
    let v = r.fpscr();
    if v as u32 & (ENABLES | 3) == 0 {
        if let Some(x) = fast::scalar(f.op, f.form, a as u64, b as u64, c as u64) {
            let mut w = v & !((FR | FI | FPRF) as u64) | (x.fprf as u64) << FPRF_SHIFT;
            if x.fi {
                w |= if x.fr { (FR | FI) as u64 } else { FI as u64 };
                w = fpscr::raise(w, XX);
            }
            r.set_fpscr(w);
            r.set_vsr(f.t as usize & 63, (x.bits as u128) << 64);
            return;
        }
    }
    let res = arith::arith(f.op, k, env(v), a, b, c);
    put_scalar(r, f.t, res.bits << 64, &res, true);
}

/// Quad-precision arithmetic.
fn quad<R: FpRegs>(r: &mut R, f: FpInsn) {
    let (a, b, c) = (reg(r, f.a), reg(r, f.b), reg(r, f.c));
    let res = arith::arith(f.op, Kind::QUAD, quad_env(r, f), a, b, c);
    put_scalar(r, f.t, res.bits, &res, true);
}

/// Rounding of a quad instruction: its RO bit or the FPSCR.
fn quad_env<R: FpRegs>(r: &R, f: FpInsn) -> Env {
    let e = env(r.fpscr());
    if f.form == FpForm::QuadOdd { Env { rm: Rm::Odd, ..e } } else { e }
}

/// `xsrqpi`, `xsrqpix`, `xsrqpxp`.
fn round_quad<R: FpRegs>(r: &mut R, f: FpInsn) {
    let e = env(r.fpscr());
    let rm = match f.c {
        0b000 => Rm::Away,
        0b100 => Rm::Nearest,
        0b101 => Rm::Zero,
        0b110 => Rm::Up,
        0b111 => Rm::Down,
        _ => e.rm,
    };
    let b = reg(r, f.b);
    let res = match f.op {
        FpOp::Rqpxp => arith::round_extended(b, Env { rm, ..e }),
        _ => arith::rint_quad(b, rm, f.op == FpOp::Rqpix),
    };
    put_scalar(r, f.t, res.bits, &res, true);
}

/// Element `n` of `width` bits, 0 leftmost.
fn element(x: u128, width: u32, n: u32) -> u128 {
    x << (width * n) >> (128 - width)
}

/// Vector arithmetic on two doubles or four singles.
fn vector<R: FpRegs>(r: &mut R, f: FpInsn) {
    let (a, b, c) = (reg(r, f.a), reg(r, f.b), reg(r, f.c));
    let v = r.fpscr();
    let (k, width) = if f.form == FpForm::V64 { (Kind::F64, 64) } else { (Kind::V32, 32) };
    let quick = v as u32 & (ENABLES | 3) == 0;
    let e = env(v);
    let (mut out, mut exc) = (0u128, 0);
    for n in 0..128 / width {
        let at = |x| element(x, width, n);
        let (x, y, z) = (at(a), at(b), at(c));
        if quick && let Some(q) = fast::element(f.op, f.form, x as u64, y as u64, z as u64) {
            out = out << width | q.bits as u128;
            exc |= if q.fi { XX } else { 0 };
        } else {
            let res = arith::arith(f.op, k, e, x, y, z);
            out = out << width | res.bits;
            exc |= res.exc;
        }
    }
    put_vector(r, f.t, out, exc);
}

/// Compare into a CR field and FPCC.
fn compare_to_cr<R: FpRegs>(r: &mut R, f: FpInsn) {
    let (mut a, mut b) = (reg(r, f.a), reg(r, f.b));
    let fmt = format_of(f.form);
    if fmt == DOUBLE {
        (a, b) = (a >> 64, b >> 64);
    }
    let old = r.fpscr();
    let (cc, exc) = match f.op {
        FpOp::CmpExp => (compare::compare_exp(fmt, a, b), 0),
        _ => compare::compare_cr(fmt, f.op == FpOp::CmpO, old & VE as u64 != 0, a, b),
    };
    let v = old & !(FPCC as u64) | (cc as u64) << FPRF_SHIFT;
    r.set_fpscr(fpscr::raise(v, exc));
    r.set_cr_field(f.t as u32 & 7, cc);
}

/// `ftdiv`, `ftsqrt` and their VSX forms.
fn test_to_cr<R: FpRegs>(r: &mut R, f: FpInsn) -> FpTrap {
    let (a, b) = (reg(r, f.a), reg(r, f.b));
    let fmt = format_of(f.form);
    let (width, count) = match f.form {
        FpForm::V32 => (32, 4),
        FpForm::V64 => (64, 2),
        _ => (64, 1),
    };
    let (mut fg, mut fe) = (false, false);
    for n in 0..count {
        let (x, y) = (element(a, width, n), element(b, width, n));
        let one =
            if f.op == FpOp::TestDiv { compare::test_div(fmt, x, y) } else { compare::test_sqrt(fmt, y) };
        fg |= one.0;
        fe |= one.1;
    }
    r.set_cr_field(f.t as u32 & 7, 8 | (fg as u8) << 2 | (fe as u8) << 1);
    FpTrap::None
}

/// `xststdc*` and `xvtstdc*`.
fn test_class<R: FpRegs>(r: &mut R, f: FpInsn) -> FpTrap {
    let b = reg(r, f.b);
    let (bits, fmt) = match f.form {
        FpForm::V32 | FpForm::V64 => {
            let (fmt, width) = if f.form == FpForm::V32 { (SINGLE, 32) } else { (DOUBLE, 64) };
            let mut out = 0u128;
            for n in 0..128 / width {
                let hit = compare::test_class(fmt, element(b, width, n), f.c);
                out = out << width | if hit { u128::MAX >> (128 - width) } else { 0 };
            }
            r.set_vsr(f.t as usize & 63, out);
            return FpTrap::None;
        }
        FpForm::Quad | FpForm::QuadOdd => (b, QUAD),
        _ => (b >> 64, DOUBLE),
    };
    let (hit, not_sp) = if f.form == FpForm::F32 {
        compare::test_class_sp(bits as u64, f.c)
    } else {
        (compare::test_class(fmt, bits, f.c), false)
    };
    let cc = ((b >> 127) as u8) << 3 | (hit as u8) << 1 | not_sp as u8;
    r.set_fpscr(r.fpscr() & !(FPCC as u64) | (cc as u64) << FPRF_SHIFT);
    r.set_cr_field(f.t as u32 & 7, cc);
    FpTrap::None
}

/// Compares that make a mask.
fn predicate<R: FpRegs>(r: &mut R, f: FpInsn) {
    let (a, b) = (reg(r, f.a), reg(r, f.b));
    let fmt = format_of(f.form);
    let (width, count) = match f.form {
        FpForm::V32 => (32, 4),
        FpForm::Quad | FpForm::QuadOdd => (128, 1),
        FpForm::V64 => (64, 2),
        _ => (64, 1),
    };
    let ve = r.fpscr() & VE as u64 != 0;
    let (mut out, mut exc, mut all, mut any) = (0u128, 0, true, false);
    for n in 0..count {
        let (hit, e) = compare::predicate(f.op, fmt, ve, element(a, width, n), element(b, width, n));
        if hit {
            out |= u128::MAX << (128 - width) >> (width * n);
        }
        exc |= e;
        all &= hit;
        any |= hit;
    }
    put_vector(r, f.t, out, exc);
    if f.rc {
        r.set_cr_field(6, (all as u8) << 3 | (!any as u8) << 1);
    }
}

/// Maximum and minimum, scalar and vector: FR, FI and FPRF stay.
fn max_min<R: FpRegs>(r: &mut R, f: FpInsn) {
    let (a, b) = (reg(r, f.a), reg(r, f.b));
    let fmt = format_of(f.form);
    let (width, count) = match f.form {
        FpForm::V32 => (32, 4),
        FpForm::Quad | FpForm::QuadOdd => (128, 1),
        FpForm::V64 => (64, 2),
        _ => (64, 1),
    };
    let (mut out, mut exc) = (0u128, 0);
    for n in 0..count {
        let res = compare::max_min(f.op, fmt, element(a, width, n), element(b, width, n));
        out |= res.bits << (128 - width) >> (width * n);
        exc |= res.exc;
    }
    put_vector(r, f.t, out, exc);
}

/// Conversions between formats in doubleword 0 (or from and to quad), with FPRF.
fn convert_scalar<R: FpRegs>(r: &mut R, f: FpInsn) {
    let b = reg(r, f.b);
    let e = quad_env(r, f);
    let conv = |src, dst, bits| arith::arith(f.op, Kind::convert(src, dst), e, 0, bits, 0);
    let (res, value) = match f.op {
        FpOp::DpSp => {
            let x = conv(DOUBLE, SINGLE, b >> 64);
            (x, x.bits << 96 | x.bits << 64)
        }
        FpOp::SpDp => {
            let x = conv(SINGLE, DOUBLE, b >> 96);
            (x, x.bits << 64)
        }
        FpOp::HpDp => {
            let x = conv(HALF, DOUBLE, b >> 64 & 0xffff);
            (x, x.bits << 64)
        }
        FpOp::DpHp => {
            let x = conv(DOUBLE, HALF, b >> 64);
            (x, x.bits << 64)
        }
        FpOp::DpQp => {
            let x = conv(DOUBLE, QUAD, b >> 64);
            (x, x.bits)
        }
        _ => {
            let x = conv(QUAD, DOUBLE, b);
            (x, x.bits << 64)
        }
    };
    put_scalar(r, f.t, value, &res, true);
}

/// `xvcvdpsp`, `xvcvspdp`: singles in words 0 and 2.
fn convert_pair<R: FpRegs>(r: &mut R, f: FpInsn) {
    let b = reg(r, f.b);
    let e = env(r.fpscr());
    let (mut out, mut exc) = (0u128, 0);
    for n in 0..2 {
        let x = element(b, 64, n);
        let (res, value) = if f.op == FpOp::DpSp {
            let res = arith::arith(f.op, Kind::convert(DOUBLE, SINGLE), e, 0, x, 0);
            (res, res.bits << 32 | res.bits)
        } else {
            let res = arith::arith(f.op, Kind::convert(SINGLE, DOUBLE), e, 0, x >> 32, 0);
            (res, res.bits)
        };
        out = out << 64 | value;
        exc |= res.exc;
    }
    put_vector(r, f.t, out, exc);
}

/// Conversions between a single and 16 bits in the right half of each word.
fn convert_words<R: FpRegs>(r: &mut R, f: FpInsn) {
    let b = reg(r, f.b);
    let e = env(r.fpscr());
    let k = match f.op {
        FpOp::HpSp => Kind::convert(HALF, SINGLE),
        FpOp::SpHp => Kind::convert(SINGLE, HALF),
        _ => Kind::convert(SINGLE, BF16),
    };
    let (mut out, mut exc) = (0u128, 0);
    for n in 0..4 {
        let res = arith::arith(f.op, k, e, 0, element(b, 32, n), 0);
        out = out << 32 | res.bits;
        exc |= res.exc;
    }
    put_vector(r, f.t, out, exc);
}

/// `xscvdpspn`, `xscvspdpn`: bits moved, nothing else.
fn convert_silent<R: FpRegs>(r: &mut R, f: FpInsn) -> FpTrap {
    let b = reg(r, f.b);
    let value = if f.op == FpOp::DpSpn {
        let s = single_bits((b >> 64) as u64) as u128;
        s << 96 | s << 64
    } else {
        (double_bits((b >> 96) as u32) as u128) << 64
    };
    r.set_vsr(f.t as usize & 63, value);
    FpTrap::None
}

/// To integers. Words of a doubleword source stand in both halves of the doubleword; a word made by an FPR
/// instruction is sign-extended, or zero-extended from a NaN (the manual leaves the other word undefined).
fn to_int<R: FpRegs>(r: &mut R, f: FpInsn, ty: IntTy, trunc: bool) {
    let b = reg(r, f.b);
    let rm = if trunc { Rm::Zero } else { fpscr::rounding(r.fpscr()) };
    let low = u64::MAX as u128;
    let word = |x: u128| (x & 0xffff_ffff) << 32 | (x & 0xffff_ffff);
    match f.form {
        FpForm::V64 | FpForm::V32 => {
            let is_word = matches!(ty, IntTy::I32 | IntTy::U32);
            let (mut out, mut exc) = (0u128, 0);
            let all_words = f.form == FpForm::V32 && is_word;
            for n in 0..if all_words { 4 } else { 2 } {
                let (src, x) = match f.form {
                    FpForm::V64 => (DOUBLE, element(b, 64, n)),
                    _ if is_word => (SINGLE, element(b, 32, n)),
                    _ => (SINGLE, element(b, 32, 2 * n)),
                };
                let res = arith::to_int(src, ty, rm, x);
                out = match (all_words, is_word) {
                    (true, _) => out << 32 | res.bits & 0xffff_ffff,
                    (_, true) => out << 64 | word(res.bits),
                    _ => out << 64 | res.bits & low,
                };
                exc |= res.exc;
            }
            put_vector(r, f.t, out, exc);
        }
        FpForm::Quad | FpForm::QuadOdd => {
            let res = arith::to_int(QUAD, ty, rm, b);
            let wide = matches!(ty, IntTy::I128 | IntTy::U128);
            let value = if wide { res.bits } else { (res.bits & low) << 64 };
            put_scalar(r, f.t, value, &res, false);
        }
        _ => {
            let res = arith::to_int(DOUBLE, ty, rm, b >> 64);
            let value = match (f.op, ty) {
                (FpOp::ToWord(..), _) if soft::unpack(DOUBLE, b >> 64).is_nan() => res.bits & 0xffff_ffff,
                (FpOp::ToWord(..), _) => res.bits & low,
                (_, IntTy::I32 | IntTy::U32) => word(res.bits),
                _ => res.bits & low,
            };
            put_scalar(r, f.t, value << 64, &res, false);
        }
    }
}

/// From integers.
fn from_int<R: FpRegs>(r: &mut R, f: FpInsn, ty: IntTy) {
    let b = reg(r, f.b);
    let e = env(r.fpscr());
    let is_word = matches!(ty, IntTy::I32 | IntTy::U32);
    match f.form {
        FpForm::V64 | FpForm::V32 => {
            let (mut out, mut exc) = (0u128, 0);
            let all_words = f.form == FpForm::V32 && is_word;
            for n in 0..if all_words { 4 } else { 2 } {
                let k = if f.form == FpForm::V64 { Kind::F64 } else { Kind::V32 };
                let x = match (all_words, is_word) {
                    (true, _) => element(b, 32, n),
                    (_, true) => element(b, 32, 2 * n),
                    _ => element(b, 64, n),
                };
                let res = arith::from_int(k, ty, e, x);
                out = match f.form {
                    FpForm::V64 => out << 64 | res.bits,
                    _ if is_word => out << 32 | res.bits,
                    _ => out << 64 | res.bits << 32 | res.bits,
                };
                exc |= res.exc;
            }
            put_vector(r, f.t, out, exc);
        }
        FpForm::Quad | FpForm::QuadOdd => {
            let x = if matches!(ty, IntTy::I128 | IntTy::U128) { b } else { b >> 64 };
            let res = arith::from_int(Kind::QUAD, ty, e, x);
            put_scalar(r, f.t, res.bits, &res, true);
        }
        _ => {
            let k = if f.form == FpForm::F32 { Kind::F32 } else { Kind::F64 };
            let res = arith::from_int(k, ty, e, b >> 64);
            put_scalar(r, f.t, res.bits << 64, &res, true);
        }
    }
}
