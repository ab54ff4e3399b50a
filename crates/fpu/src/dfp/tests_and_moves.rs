//! Compares and tests, packed decimal conversions, parts of numbers: operations without rounding (Book I, 5.6.2,
//! 5.6.3, 5.6.6).

use core::cmp::Ordering;

use isa::{dfp::DfpOp, fp::FpInsn};

use super::{
    arith::{self, Res},
    finish,
    format::{Class, Decimal, Format, POW10, digits, pack},
    format_of, fpr, operand, set_fpr, set_target,
};
use crate::{
    FpRegs, FpTrap,
    fpscr::{self, FPCC, FPRF_SHIFT, VE, VXCVI, VXSNAN, VXVC},
};

/// LT, GT, EQ of a CR field.
fn cr_of(o: Ordering) -> u8 {
    match o {
        Ordering::Less => 8,
        Ordering::Greater => 4,
        Ordering::Equal => 2,
    }
}

/// Carry out one instruction.
pub(super) fn exec<R: FpRegs>(r: &mut R, f: FpInsn, op: DfpOp) -> FpTrap {
    let fmt = format_of(f);
    let a = |r: &R| operand(r, f, f.a);
    let b = |r: &R| operand(r, f, f.b);
    let ve = r.fpscr() & VE as u64 != 0;
    let (cc, exc) = match op {
        DfpOp::CmpU | DfpOp::CmpO => compare(&a(r), &b(r), op == DfpOp::CmpO, ve),
        DfpOp::TestClass => (test_class(fmt, &a(r), f.c), 0),
        DfpOp::TestGroup => (test_group(fmt, &a(r), f.c), 0),
        DfpOp::TestExp => (test_exponent(&a(r), &b(r)), 0),
        DfpOp::TestSig => (test_significance(fpr(r, f.a) as u32 & 63, &b(r)), 0),
        DfpOp::TestSigImm => (test_significance(f.c as u32 & 63, &b(r)), 0),
        _ => {
            part(r, f, op, fmt);
            if f.rc {
                fpscr::record_cr1(r);
            }
            return FpTrap::None;
        }
    };
    let v = r.fpscr() & !(FPCC as u64) | (cc as u64) << FPRF_SHIFT;
    r.set_fpscr(fpscr::raise(v, exc));
    r.set_cr_field(f.t as u32 & 7, cc);
    if matches!(op, DfpOp::CmpU | DfpOp::CmpO) { finish(r, f) } else { FpTrap::None }
}

/// The instructions that take numbers apart and put them together; the FPSCR stays.
fn part<R: FpRegs>(r: &mut R, f: FpInsn, op: DfpOp, fmt: &Format) {
    let n = operand(r, f, if matches!(op, DfpOp::ShiftLeft | DfpOp::ShiftRight) { f.a } else { f.b });
    match op {
        DfpOp::ToBcd => {
            let v = to_bcd(fmt, f.c, &n);
            set_target(r, f, v);
        }
        DfpOp::ExtractExp => {
            let v = match n.class {
                Class::Finite => (n.exp + fmt.bias) as i64,
                Class::Inf => -1,
                Class::QNan => -2,
                Class::SNan => -3,
            };
            set_fpr(r, f.t, v as u64);
        }
        DfpOp::InsertExp => {
            let v = insert_exponent(fmt, fpr(r, f.a) as i64, &n);
            set_target(r, f, pack(fmt, &v));
        }
        _ => {
            // The digits of an infinity or a NaN are those of the trailing significand.
            let room = if n.class == Class::Finite { fmt.digits } else { fmt.digits - 1 };
            let coef = match f.c as u32 & 63 {
                sh if sh >= room => 0,
                sh if op == DfpOp::ShiftRight => n.coef / POW10[sh as usize],
                sh => n.coef % POW10[(room - sh) as usize] * POW10[sh as usize],
            };
            set_target(r, f, pack(fmt, &Decimal { coef, ..n }));
        }
    }
}

/// `dcmpu` and `dcmpo`: FL, FG, FE, FU, and the exceptions.
fn compare(a: &Decimal, b: &Decimal, ordered: bool, ve: bool) -> (u8, u32) {
    if let Some(o) = arith::compare(a, b) {
        return (cr_of(o), 0);
    }
    let exc = match (a.is_snan() || b.is_snan(), ordered) {
        (true, true) if !ve => VXSNAN | VXVC,
        (true, _) => VXSNAN,
        (false, true) => VXVC,
        _ => 0,
    };
    (1, exc)
}

/// Sign and match of the data tests.
fn matched(sign: bool, hit: bool) -> u8 {
    (sign as u8) << 3 | (hit as u8) << 1
}

/// `dtstdc`: zero, subnormal, normal, infinity, quiet NaN, signalling NaN.
fn test_class(fmt: &Format, a: &Decimal, mask: u8) -> u8 {
    let bit = match a.class {
        Class::Finite if a.coef == 0 => 0,
        Class::Finite if a.is_subnormal(fmt) => 1,
        Class::Finite => 2,
        Class::Inf => 3,
        Class::QNan => 4,
        Class::SNan => 5,
    };
    matched(a.sign, mask << bit & 0x20 != 0)
}

/// `dtstdg`: zero, zero with an extreme exponent, subnormal or normal with an extreme exponent, normal with leftmost
/// digit zero, normal with another, no number.
fn test_group(fmt: &Format, a: &Decimal, mask: u8) -> u8 {
    let extreme = a.exp == fmt.qmin() || a.exp == fmt.qmax();
    let bit = match a.class {
        Class::Finite if a.coef == 0 => extreme as u32,
        Class::Finite if extreme || a.is_subnormal(fmt) => 2,
        Class::Finite if digits(a.coef) < fmt.digits => 3,
        Class::Finite => 4,
        _ => 5,
    };
    matched(a.sign, mask << bit & 0x20 != 0)
}

/// `dtstex`.
fn test_exponent(a: &Decimal, b: &Decimal) -> u8 {
    match (a.class, b.class) {
        (Class::Finite, Class::Finite) => cr_of(a.exp.cmp(&b.exp)),
        (Class::Inf, Class::Inf) => 2,
        _ if a.is_nan() && b.is_nan() => 2,
        _ => 1,
    }
}

/// `dtstsf`: the number of digits against that of `b`, which 0 has none of; 0 is larger than all.
fn test_significance(k: u32, b: &Decimal) -> u8 {
    match b.class {
        Class::Finite if k == 0 => 4,
        Class::Finite => cr_of(k.cmp(&digits(b.coef))),
        _ => 1,
    }
}

/// `ddedpd`: the rightmost digits, of extended numbers 32; `sp`: with a sign in the last place, and 0b1111 for plus.
fn to_bcd(fmt: &Format, sp: u8, b: &Decimal) -> u128 {
    let places = if fmt.digits == 16 { 16 } else { 32 };
    let signed = sp & 2 != 0;
    let mut coef = b.coef;
    let mut v = 0u128;
    for n in signed as u32..places {
        v |= (coef % 10) << (4 * n);
        coef /= 10;
    }
    match (signed, b.sign, sp & 1 != 0) {
        (false, ..) => v,
        (_, true, _) => v | 0xd,
        (_, _, true) => v | 0xf,
        _ => v | 0xc,
    }
}

/// `denbcd`: digits, with a sign in the last place when `signed`, to an integral number with exponent 0.
pub(super) fn from_bcd(fmt: &Format, signed: bool, v: u128) -> Res {
    let places = if fmt.digits == 16 { 16 } else { 32 };
    let sign = v as u8 & 15;
    let mut valid = !signed || sign > 9;
    let mut coef = 0u128;
    for n in (signed as u32..places).rev() {
        let d = v >> (4 * n) & 15;
        valid &= d < 10;
        coef = coef * 10 + d;
    }
    if !valid {
        return Res::exact(fmt, Decimal::DEFAULT_NAN, VXCVI);
    }
    let negative = signed && (sign == 0xb || sign == 0xd);
    Res::exact(fmt, Decimal::number(negative, coef, 0), 0)
}

/// `diex`: biased exponents from 0 on, -1 infinity, -3 signalling NaN, all others quiet NaN; sign and trailing
/// significand of `b`.
fn insert_exponent(fmt: &Format, exp: i64, b: &Decimal) -> Decimal {
    if (0..=fmt.max_biased as i64).contains(&exp) {
        return Decimal::number(b.sign, b.coef, exp as i32 - fmt.bias);
    }
    let class = match exp {
        -1 => Class::Inf,
        -3 => Class::SNan,
        _ => Class::QNan,
    };
    Decimal { class, sign: b.sign, coef: b.coef % POW10[fmt.digits as usize - 1], exp: 0 }
}
