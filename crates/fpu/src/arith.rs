//! Arithmetic, rounding and format conversion of one element: NaN rules, exceptions, result class.

use isa::fp::{FpOp, IntTy, Rint};

use crate::{
    fpscr::{VXCVI, VXSNAN, XX},
    soft::{
        Class, DOUBLE, EXTENDED, Env, Exact, Fmt, Num, Rm, Rounded, SINGLE, add, div, mul, mul_add, pack,
        pack_adjusted, round, round_int, sqrt, unpack,
    },
};

/// Result of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Res {
    /// In the format of the element.
    pub bits: u128,
    /// Exception bits of the FPSCR.
    pub exc: u32,
    /// Fraction incremented.
    pub fr: bool,
    /// Inexact.
    pub fi: bool,
    /// Result class FPRF.
    pub fprf: u8,
}

/// Operand format, precision of rounding and format that holds the result.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Format of the operands.
    pub src: Fmt,
    /// Precision and range the result is rounded to.
    pub dst: Fmt,
    /// Format of the result.
    pub held: Fmt,
}

impl Kind {
    /// Doubles.
    pub const F64: Kind = Kind { src: DOUBLE, dst: DOUBLE, held: DOUBLE };
    /// Doubles, the result rounded to single and held as a double.
    pub const F32: Kind = Kind { src: DOUBLE, dst: SINGLE, held: DOUBLE };
    /// Singles.
    pub const V32: Kind = Kind { src: SINGLE, dst: SINGLE, held: SINGLE };
    /// Quads.
    pub const QUAD: Kind = Kind { src: crate::soft::QUAD, dst: crate::soft::QUAD, held: crate::soft::QUAD };

    /// Source and result formats of a conversion.
    pub const fn convert(src: Fmt, dst: Fmt) -> Kind {
        Kind { src, dst, held: dst }
    }
}

/// FPRF of a value in a format (Book I, figure 47).
pub fn class(fmt: Fmt, n: &Num) -> u8 {
    match (n.class, n.sign) {
        (Class::QNan | Class::SNan, _) => 0b10001,
        (Class::Inf, true) => 0b01001,
        (Class::Inf, false) => 0b00101,
        (Class::Zero, true) => 0b10010,
        (Class::Zero, false) => 0b00010,
        (Class::Finite, true) => {
            if n.exp < fmt.emin() {
                0b11000
            } else {
                0b01000
            }
        }
        (Class::Finite, false) => {
            if n.exp < fmt.emin() {
                0b10100
            } else {
                0b00100
            }
        }
    }
}

/// VXSNAN when one of the operands signals.
fn snan(ops: &[Num]) -> u32 {
    if ops.iter().any(|n| n.class == Class::SNan) { VXSNAN } else { 0 }
}

/// The first NaN of the operands, made quiet.
fn first_nan(ops: &[Num]) -> Option<Num> {
    ops.iter().find(|n| n.is_nan()).map(|n| n.quieted())
}

/// Combine rounding with what came before it.
fn finish(k: Kind, exact: Exact, r: Rounded) -> Res {
    let (bits, fprf) = if r.adjusted {
        (pack_adjusted(k.held, &r.num), if r.num.sign { 0b01000 } else { 0b00100 })
    } else {
        (pack(k.held, &r.num), class(k.dst, &r.num))
    };
    Res { bits, exc: exact.1 | r.exc, fr: r.fr, fi: r.fi, fprf }
}

/// One element of an arithmetic instruction; operands as in [`FpOp`].
#[inline(always)]
pub fn arith(op: FpOp, k: Kind, env: Env, a: u128, b: u128, c: u128) -> Res {
    let un = |x| unpack(k.src, x);
    let rm = env.rm;
    let exact = match op {
        FpOp::Add | FpOp::Sub | FpOp::Mul | FpOp::Div => two(op, k.dst, un(a), un(b), rm),
        FpOp::Madd | FpOp::Msub | FpOp::Nmadd | FpOp::Nmsub => {
            let minus = matches!(op, FpOp::Msub | FpOp::Nmsub);
            three(un(a), un(b).negated_if(minus), un(c), rm)
        }
        FpOp::Sqrt => one(un(b), |n| sqrt(k.dst, n)),
        FpOp::Re => one(un(b), |n| div(k.dst, Num::ONE, n)),
        FpOp::Rsqrte => return rsqrte(k, env, un(b)),
        FpOp::Rint(how) => return rint(k, rm, how, un(b)),
        _ => one(un(b), |n| (n, 0)),
    };
    let mut r = round(k.dst, env, exact.0);
    if matches!(op, FpOp::Nmadd | FpOp::Nmsub) {
        r.num = r.num.negated();
    }
    finish(k, exact, r)
}

/// NaNs aside, `f`.
fn one(b: Num, f: impl Fn(Num) -> Exact) -> Exact {
    if b.is_nan() { (b.quieted(), snan(&[b])) } else { f(b) }
}

#[inline(always)]
fn two(op: FpOp, fmt: Fmt, a: Num, b: Num, rm: Rm) -> Exact {
    if a.is_nan() || b.is_nan() {
        return (first_nan(&[a, b]).unwrap_or(Num::DEFAULT_NAN), snan(&[a, b]));
    }
    match op {
        FpOp::Add => add(a, b, rm),
        FpOp::Sub => add(a, b.negated(), rm),
        FpOp::Mul => mul(a, b),
        _ => div(fmt, a, b),
    }
}

/// a * c + b. NaNs come first in the order A, B, C; an invalid product sets its bit beside a NaN addend.
#[inline(always)]
fn three(a: Num, b: Num, c: Num, rm: Rm) -> Exact {
    if a.is_nan() || b.is_nan() || c.is_nan() {
        let product = if a.is_nan() || c.is_nan() { 0 } else { mul(a, c).1 };
        return (first_nan(&[a, b, c]).unwrap_or(Num::DEFAULT_NAN), snan(&[a, b, c]) | product);
    }
    mul_add(a, c, b, rm)
}

/// The estimate is the rounded square root's rounded reciprocal, far inside the tolerance of the architecture.
fn rsqrte(k: Kind, env: Env, b: Num) -> Res {
    let inner = if k.src == DOUBLE { DOUBLE } else { k.dst };
    let root = one(b, |n| sqrt(inner, n));
    let r = round(inner, env, root.0);
    let exact = if r.num.is_nan() { (r.num, 0) } else { div(k.dst, Num::ONE, r.num) };
    let out = round(k.dst, env, exact.0);
    let mut res = finish(k, (exact.0, exact.1 | root.1), out);
    res.exc |= r.exc & XX;
    res.fi |= r.fi;
    res
}

/// Round to an integral value in the same format.
fn rint(k: Kind, rm: Rm, how: Rint, b: Num) -> Res {
    let mode = match how {
        Rint::Away => Rm::Away,
        Rint::Zero => Rm::Zero,
        Rint::Up => Rm::Up,
        Rint::Down => Rm::Down,
        Rint::Even => Rm::Nearest,
        Rint::Current => rm,
    };
    if b.is_nan() {
        let n = b.quieted();
        return Res { bits: pack(k.held, &n), exc: snan(&[b]), fr: false, fi: false, fprf: class(k.dst, &n) };
    }
    let (n, inexact, inc) = round_int(mode, b);
    let told = how == Rint::Current;
    Res {
        bits: pack(k.held, &n),
        exc: if told && inexact { XX } else { 0 },
        fr: told && inc,
        fi: told && inexact,
        fprf: class(k.dst, &n),
    }
}

/// `xsrqpi[x]`: quad to an integral value.
pub fn rint_quad(b: u128, rm: Rm, told: bool) -> Res {
    let mut r = rint(Kind::QUAD, rm, Rint::Current, unpack(Kind::QUAD.src, b));
    if !told {
        r.exc &= !XX;
        r.fi = false;
        r.fr = false;
    }
    r
}

/// `xsrqpxp`: quad rounded to the 64-bit significand of double-extended precision.
pub fn round_extended(b: u128, env: Env) -> Res {
    let exact = one(unpack(Kind::QUAD.src, b), |n| (n, 0));
    let mut r = round(EXTENDED, Env { ue: false, ..env }, exact.0);
    // The manual lists no underflow for this instruction.
    r.exc &= !crate::fpscr::UX;
    finish(Kind::QUAD, exact, r)
}

impl Kind {
    /// Bits of the widest integers a type has: width, signed.
    fn int(ty: IntTy) -> (u32, bool) {
        match ty {
            IntTy::I32 => (32, true),
            IntTy::U32 => (32, false),
            IntTy::I64 => (64, true),
            IntTy::U64 => (64, false),
            IntTy::I128 => (128, true),
            IntTy::U128 => (128, false),
        }
    }
}

/// To an integer, saturating, NaN as the smallest; the result is in the low bits, sign-extended to 128.
pub fn to_int(src: Fmt, ty: IntTy, rm: Rm, bits: u128) -> Res {
    let (width, signed) = Kind::int(ty);
    let n = unpack(src, bits);
    let max = if signed { u128::MAX >> (129 - width) } else { u128::MAX >> (128 - width) };
    let min = if signed { !max } else { 0 };
    let bad = |v: u128, exc: u32| Res { bits: v, exc: exc | VXCVI, fr: false, fi: false, fprf: 0 };
    let (i, inexact, inc) = match n.class {
        Class::QNan | Class::SNan => return bad(min, snan(&[n])),
        Class::Inf => return bad(if n.sign { min } else { max }, 0),
        _ => round_int(rm, n),
    };
    let magnitude = match i.class {
        Class::Zero => Some(0),
        _ if i.exp > 127 => None,
        _ => Some(i.sig >> (127 - i.exp)),
    };
    let limit = if n.sign { min.wrapping_neg() } else { max };
    match magnitude {
        Some(m) if m <= limit => Res {
            bits: if n.sign { m.wrapping_neg() } else { m },
            exc: if inexact { XX } else { 0 },
            fr: inc,
            fi: inexact,
            fprf: 0,
        },
        _ => bad(if n.sign { min } else { max }, 0),
    }
}

/// From an integer in the low bits of `v`.
pub fn from_int(k: Kind, ty: IntTy, env: Env, v: u128) -> Res {
    let n = int_value(ty, v);
    let exact = (n, 0);
    finish(k, exact, round(k.dst, env, n))
}

/// The number that an integer is.
pub fn int_value(ty: IntTy, v: u128) -> Num {
    let (width, signed) = Kind::int(ty);
    let up = v << (128 - width);
    let sign = signed && up >> 127 != 0;
    let magnitude =
        if sign { (((up as i128) >> (128 - width)) as u128).wrapping_neg() } else { up >> (128 - width) };
    // A significand of 128 bits has no room for a sticky bit, and needs none: it is exact.
    Num::finite(sign, 127, magnitude)
}

/// A double's single-precision bits without rounding or exceptions, as `stfs` stores it (Book I, 4.6.3).
pub fn single_bits(d: u64) -> u32 {
    let exp = (d >> 52) as u32 & 0x7ff;
    let sign = (d >> 32) as u32 & 0x8000_0000;
    if exp > 896 || d << 1 == 0 {
        ((d >> 32) as u32 & 0xc000_0000) | ((d >> 29) as u32 & 0x3fff_ffff)
    } else {
        // Denormal as a single; below 874 nothing is left.
        let frac = 1 << 52 | d & 0x000f_ffff_ffff_ffff;
        let frac = if exp == 0 { 0 } else { frac };
        sign | frac.checked_shr(29 + 897 - exp).unwrap_or(0) as u32
    }
}

/// A single as a double without exceptions, as `lfs` loads it (Book I, 4.6.2).
pub fn double_bits(s: u32) -> u64 {
    pack(DOUBLE, &unpack(SINGLE, s as u128)) as u64
}
