//! Unpacked numbers, exact operations on them, and the one rounding function of all formats.

use crate::fpscr::{OX, UX, VXIDI, VXIMZ, VXISI, VXSQRT, VXZDZ, XX, ZX};

/// An IEEE 754 binary format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fmt {
    /// Width of the exponent field.
    pub exp: u32,
    /// Width of the fraction field.
    pub frac: u32,
}

/// binary16
pub const HALF: Fmt = Fmt { exp: 5, frac: 10 };
/// bfloat16
pub const BF16: Fmt = Fmt { exp: 8, frac: 7 };
/// binary32
pub const SINGLE: Fmt = Fmt { exp: 8, frac: 23 };
/// binary64
pub const DOUBLE: Fmt = Fmt { exp: 11, frac: 52 };
/// binary128
pub const QUAD: Fmt = Fmt { exp: 15, frac: 112 };
/// Double-extended precision as a rounding precision (64-bit significand); never a format in a register.
pub const EXTENDED: Fmt = Fmt { exp: 15, frac: 63 };

impl Fmt {
    /// Largest exponent; also the bias.
    pub const fn emax(self) -> i32 {
        (1 << (self.exp - 1)) - 1
    }
    /// Exponent of the smallest normal number.
    pub const fn emin(self) -> i32 {
        1 - self.emax()
    }
    /// Exponent adjustment of results of enabled overflow and underflow exceptions (Book I, 4.4.3 and 4.4.4).
    pub const fn adjust(self) -> i32 {
        3 << (self.exp - 2)
    }
    const fn exp_mask(self) -> u128 {
        (1 << self.exp) - 1
    }
}

/// What an operand is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Zero of either sign.
    Zero,
    /// Normal or denormal number.
    Finite,
    /// Infinity of either sign.
    Inf,
    /// Quiet NaN.
    QNan,
    /// Signalling NaN.
    SNan,
}

/// An unpacked number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Num {
    /// What it is.
    pub class: Class,
    /// Sign bit.
    pub sign: bool,
    /// Finite: exponent of the leading bit.
    pub exp: i32,
    /// Finite: significand, its leading bit at bit 127; bit 0 may be sticky. NaN: fraction, its first bit (quiet) at
    /// bit 126.
    pub sig: u128,
}

/// First fraction bit of a NaN in [`Num::sig`].
pub const QUIET: u128 = 1 << 126;
/// Leading bit of a finite significand.
pub const LEAD: u128 = 1 << 127;

impl Num {
    /// The NaN made by invalid operations.
    pub const DEFAULT_NAN: Num = Num { class: Class::QNan, sign: false, exp: 0, sig: QUIET };
    /// 1.0
    pub const ONE: Num = Num { class: Class::Finite, sign: false, exp: 0, sig: LEAD };

    /// A zero.
    pub const fn zero(sign: bool) -> Num {
        Num { class: Class::Zero, sign, exp: 0, sig: 0 }
    }
    /// An infinity.
    pub const fn inf(sign: bool) -> Num {
        Num { class: Class::Inf, sign, exp: 0, sig: 0 }
    }
    /// `sig` * 2 ** (`exp` - 127), normalized.
    pub fn finite(sign: bool, exp: i32, sig: u128) -> Num {
        if sig == 0 {
            return Num::zero(sign);
        }
        let n = sig.leading_zeros();
        Num { class: Class::Finite, sign, exp: exp - n as i32, sig: sig << n }
    }
    /// Whether it is a NaN.
    pub fn is_nan(self) -> bool {
        matches!(self.class, Class::QNan | Class::SNan)
    }
    /// A signalling NaN made quiet; anything else unchanged.
    pub fn quieted(self) -> Num {
        match self.class {
            Class::SNan => Num { class: Class::QNan, sig: self.sig | QUIET, ..self },
            _ => self,
        }
    }
    /// Sign inverted, NaNs unchanged.
    pub fn negated(self) -> Num {
        if self.is_nan() { self } else { Num { sign: !self.sign, ..self } }
    }
    /// Sign inverted when `c`, NaNs unchanged.
    pub fn negated_if(self, c: bool) -> Num {
        if c { self.negated() } else { self }
    }
}

/// Unpack the low bits of `bits`.
#[inline(always)]
pub fn unpack(fmt: Fmt, bits: u128) -> Num {
    let sign = bits >> (fmt.exp + fmt.frac) & 1 != 0;
    let e = bits >> fmt.frac & fmt.exp_mask();
    let shift = 127 - fmt.frac;
    let f = (bits & ((1 << fmt.frac) - 1)) << shift;
    if e == fmt.exp_mask() {
        if f == 0 {
            Num::inf(sign)
        } else {
            let class = if f & QUIET != 0 { Class::QNan } else { Class::SNan };
            Num { class, sign, exp: 0, sig: f }
        }
    } else if e == 0 {
        Num::finite(sign, fmt.emin(), f)
    } else {
        Num { class: Class::Finite, sign, exp: e as i32 - fmt.emax(), sig: LEAD | f }
    }
}

/// Pack a number that needs no rounding (bits beyond the format are cut off).
#[inline(always)]
pub fn pack(fmt: Fmt, n: &Num) -> u128 {
    let shift = 127 - fmt.frac;
    let (e, f) = match n.class {
        Class::Zero => (0, 0),
        Class::Inf => (fmt.exp_mask(), 0),
        Class::QNan | Class::SNan => (fmt.exp_mask(), (n.sig & !LEAD) >> shift),
        Class::Finite if n.exp < fmt.emin() => {
            let by = shift + (fmt.emin() - n.exp) as u32;
            (0, if by < 128 { n.sig >> by } else { 0 })
        }
        Class::Finite => ((n.exp + fmt.emax()) as u128 & fmt.exp_mask(), (n.sig & !LEAD) >> shift),
    };
    (n.sign as u128) << (fmt.exp + fmt.frac) | e << fmt.frac | f
}

/// Pack a finite number whose exponent was adjusted; one that does not fit is cut to its low bits.
pub fn pack_adjusted(fmt: Fmt, n: &Num) -> u128 {
    let e = (n.exp + fmt.emax()) as u128 & fmt.exp_mask();
    let f = (n.sig & !LEAD) >> (127 - fmt.frac);
    (n.sign as u128) << (fmt.exp + fmt.frac) | e << fmt.frac | f
}

/// Rounding directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rm {
    /// To nearest, ties to even.
    Nearest,
    /// Towards zero.
    Zero,
    /// Towards plus infinity.
    Up,
    /// Towards minus infinity.
    Down,
    /// To nearest, ties away from zero.
    Away,
    /// To odd.
    Odd,
}

/// What rounding depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Env {
    /// Direction.
    pub rm: Rm,
    /// Overflow exceptions are enabled.
    pub oe: bool,
    /// Underflow exceptions are enabled.
    pub ue: bool,
}

impl Env {
    /// To nearest, nothing enabled.
    pub const DEFAULT: Env = Env { rm: Rm::Nearest, oe: false, ue: false };
}

/// A rounded number and what happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rounded {
    /// Representable in the format it was rounded to.
    pub num: Num,
    /// OX, UX, XX.
    pub exc: u32,
    /// The fraction was incremented.
    pub fr: bool,
    /// The result is inexact.
    pub fi: bool,
    /// The exponent was adjusted for an enabled overflow or underflow exception: it may lie outside the format.
    pub adjusted: bool,
}

/// Split off the low `drop` bits: the rest, and whether to add one to it, and whether it was inexact.
#[inline(always)]
fn split(rm: Rm, sign: bool, sig: u128, drop: u32) -> (u128, bool, bool) {
    let (kept, rem, half) = match drop {
        0 => (sig, 0, 1),
        1..128 => (sig >> drop, sig & ((1 << drop) - 1), 1 << (drop - 1)),
        128 => (0, sig, LEAD),
        _ => (0, (sig != 0) as u128, 2),
    };
    let inexact = rem != 0;
    let up = match rm {
        Rm::Nearest => rem > half || rem == half && kept & 1 != 0,
        Rm::Away => rem >= half,
        Rm::Zero => false,
        Rm::Up => inexact && !sign,
        Rm::Down => inexact && sign,
        Rm::Odd => inexact && kept & 1 == 0,
    };
    (kept, up, inexact)
}

/// Round to a format (Book I, 4.3.6 and 7.3.2.6): tininess is detected before rounding.
#[inline(always)]
pub fn round(fmt: Fmt, env: Env, n: Num) -> Rounded {
    match n.class {
        Class::Finite => round_finite(fmt, env, n.sign, n.exp, n.sig),
        Class::QNan | Class::SNan => {
            let sig = n.sig & !(LEAD >> fmt.frac).wrapping_sub(1);
            Rounded { num: Num { sig, ..n }, exc: 0, fr: false, fi: false, adjusted: false }
        }
        _ => Rounded { num: n, exc: 0, fr: false, fi: false, adjusted: false },
    }
}

#[inline(always)]
fn round_finite(fmt: Fmt, env: Env, sign: bool, exp: i32, sig: u128) -> Rounded {
    let mut exc = 0;
    let mut adjusted = false;
    let tiny = exp < fmt.emin();
    let mut drop = 127 - fmt.frac;
    if tiny {
        if env.ue {
            exc |= UX;
            adjusted = true;
        } else {
            drop += (fmt.emin() - exp) as u32;
        }
    }
    let (kept, up, inexact) = split(env.rm, sign, sig, drop);
    let mut num = Num::finite(sign, exp + drop as i32, kept + up as u128);
    let mut fr = up;
    let mut fi = inexact;
    if adjusted {
        num.exp += fmt.adjust();
    } else if num.class == Class::Finite && num.exp > fmt.emax() {
        exc |= OX;
        if env.oe {
            adjusted = true;
            num.exp -= fmt.adjust();
        } else {
            let to_inf = match env.rm {
                Rm::Nearest | Rm::Away => true,
                Rm::Zero | Rm::Odd => false,
                Rm::Up => !sign,
                Rm::Down => sign,
            };
            num = if to_inf {
                Num::inf(sign)
            } else {
                Num { class: Class::Finite, sign, exp: fmt.emax(), sig: u128::MAX << (127 - fmt.frac) }
            };
            fr = to_inf;
            fi = true;
        }
    }
    if fi {
        exc |= XX;
        if tiny {
            exc |= UX;
        }
    }
    Rounded { num, exc, fr, fi, adjusted }
}

/// Round to an integral value: the value, inexact, incremented.
pub fn round_int(rm: Rm, n: Num) -> (Num, bool, bool) {
    if n.class != Class::Finite || n.exp >= 127 {
        return (n, false, false);
    }
    let drop = (127 - n.exp) as u32;
    let (kept, up, inexact) = split(rm, n.sign, n.sig, drop);
    (Num::finite(n.sign, 127, kept + up as u128), inexact, up)
}

/// An unrounded result and its exceptions (VX causes, ZX).
pub type Exact = (Num, u32);

/// 128 x 128 to 256 bits.
fn mul_wide(a: u128, b: u128) -> (u128, u128) {
    let m = u64::MAX as u128;
    let (ah, al, bh, bl) = (a >> 64, a & m, b >> 64, b & m);
    let ll = al * bl;
    let (lh, hl) = (al * bh, ah * bl);
    let mid = (ll >> 64) + (lh & m) + (hl & m);
    (ah * bh + (lh >> 64) + (hl >> 64) + (mid >> 64), mid << 64 | ll & m)
}

/// The product of two significands, at bit 255 downwards as two halves, and what to add to the sum of the exponents.
#[inline(always)]
fn product(a: u128, b: u128) -> (u128, u128, i32) {
    let (hi, lo) = if (a | b) as u64 == 0 { ((a >> 64) * (b >> 64), 0) } else { mul_wide(a, b) };
    if hi & LEAD != 0 { (hi, lo, 1) } else { (hi << 1 | lo >> 127, lo << 1, 0) }
}

/// `x` shifted right, the bits lost or-ed into bit 0.
#[inline(always)]
fn shr_jam(x: u128, by: u32) -> u128 {
    match by {
        0 => x,
        1..128 => x >> by | (x & ((1 << by) - 1) != 0) as u128,
        _ => (x != 0) as u128,
    }
}

fn shr_jam_wide(hi: u128, lo: u128, by: u32) -> (u128, u128) {
    match by {
        0 => (hi, lo),
        1..128 => (hi >> by, hi << (128 - by) | shr_jam(lo, by)),
        128..256 => (0, shr_jam(hi, by - 128) | (lo != 0) as u128),
        _ => (0, (hi | lo != 0) as u128),
    }
}

/// Sum of two nonzero finite numbers, at least two low bits of whose significands are 0.
#[inline(always)]
fn add_finite(a: &Num, b: &Num, rm: Rm) -> Num {
    let (x, y) = if (a.exp, a.sig) >= (b.exp, b.sig) { (a, b) } else { (b, a) };
    let s = x.sig >> 1;
    let t = shr_jam(y.sig >> 1, (x.exp - y.exp) as u32);
    if x.sign == y.sign {
        Num::finite(x.sign, x.exp + 1, s + t)
    } else if s == t {
        Num::zero(rm == Rm::Down)
    } else {
        Num::finite(x.sign, x.exp + 1, s - t)
    }
}

/// As [`add_finite`] for significands of 256 bits; two low bits are 0.
fn add_wide(a: (bool, i32, u128, u128), b: (bool, i32, u128, u128), rm: Rm) -> Num {
    let (x, y) = if (a.1, a.2, a.3) >= (b.1, b.2, b.3) { (a, b) } else { (b, a) };
    let (sh, sl) = shr_jam_wide(x.2, x.3, 1);
    let (th, tl) = shr_jam_wide(y.2, y.3, 1 + (x.1 - y.1) as u32);
    let (hi, lo) = if x.0 == y.0 {
        let (lo, c) = sl.overflowing_add(tl);
        (sh + th + c as u128, lo)
    } else {
        let (lo, c) = sl.overflowing_sub(tl);
        (sh - th - c as u128, lo)
    };
    if hi | lo == 0 {
        return Num::zero(rm == Rm::Down);
    }
    let n = if hi != 0 { hi.leading_zeros() } else { 128 + lo.leading_zeros() };
    let sig = match n {
        0 => hi | (lo != 0) as u128,
        1..128 => hi << n | lo >> (128 - n) | (lo << n != 0) as u128,
        _ => lo << (n - 128),
    };
    Num { class: Class::Finite, sign: x.0, exp: x.1 + 1 - n as i32, sig }
}

/// a + b; neither is a NaN.
#[inline(always)]
pub fn add(a: Num, b: Num, rm: Rm) -> Exact {
    use Class::{Finite, Inf, Zero};
    match (a.class, b.class) {
        (Finite, Finite) => (add_finite(&a, &b, rm), 0),
        (Inf, Inf) if a.sign != b.sign => (Num::DEFAULT_NAN, VXISI),
        (Zero, Zero) => (Num::zero(if a.sign == b.sign { a.sign } else { rm == Rm::Down }), 0),
        (Inf, _) | (_, Zero) => (a, 0),
        _ => (b, 0),
    }
}

/// a * b; neither is a NaN.
#[inline(always)]
pub fn mul(a: Num, b: Num) -> Exact {
    use Class::{Finite, Inf, Zero};
    let sign = a.sign != b.sign;
    match (a.class, b.class) {
        (Finite, Finite) => {
            let (hi, lo, up) = product(a.sig, b.sig);
            let sig = hi | (lo != 0) as u128;
            (Num { class: Finite, sign, exp: a.exp + b.exp + up, sig }, 0)
        }
        (Inf, Zero) | (Zero, Inf) => (Num::DEFAULT_NAN, VXIMZ),
        (Inf, _) | (_, Inf) => (Num::inf(sign), 0),
        _ => (Num::zero(sign), 0),
    }
}

/// a * c + b; none is a NaN. An invalid product goes first.
#[inline(always)]
pub fn mul_add(a: Num, c: Num, b: Num, rm: Rm) -> Exact {
    if a.class == Class::Finite && c.class == Class::Finite && b.class == Class::Finite {
        let sign = a.sign != c.sign;
        let (hi, lo, up) = product(a.sig, c.sig);
        let exp = a.exp + c.exp + up;
        // Doubles and singles, 53 bits each: the product leaves at least 22 low bits free.
        if (a.sig | b.sig | c.sig) << 53 == 0 {
            return (add_finite(&Num { class: Class::Finite, sign, exp, sig: hi }, &b, rm), 0);
        }
        return (add_wide((sign, exp, hi, lo), (b.sign, b.exp, b.sig, 0), rm), 0);
    }
    let (p, exc) = mul(a, c);
    if exc != 0 { (p, exc) } else { add(p, b, rm) }
}

/// Whether a format needs more than 62 good bits.
fn is_wide(fmt: Fmt) -> bool {
    fmt.frac > 60
}

/// a / b, good enough for rounding to `fmt`; neither is a NaN.
#[inline(always)]
pub fn div(fmt: Fmt, a: Num, b: Num) -> Exact {
    use Class::{Finite, Inf, Zero};
    let sign = a.sign != b.sign;
    match (a.class, b.class) {
        (Finite, Finite) => (div_finite(fmt, sign, &a, &b), 0),
        (Inf, Inf) => (Num::DEFAULT_NAN, VXIDI),
        (Zero, Zero) => (Num::DEFAULT_NAN, VXZDZ),
        (Inf, _) => (Num::inf(sign), 0),
        (_, Zero) => (Num::inf(sign), ZX),
        _ => (Num::zero(sign), 0),
    }
}

#[inline(always)]
fn div_finite(fmt: Fmt, sign: bool, a: &Num, b: &Num) -> Num {
    let exp = a.exp - b.exp;
    if !is_wide(fmt) && (a.sig | b.sig) as u64 == 0 {
        let (n, d) = (a.sig >> 1, b.sig >> 64);
        let q = n / d;
        // q is a.sig / b.sig * 2 ** 63.
        return Num::finite(sign, exp, q << 64 | ((q * d != n) as u128) << 1);
    }
    // One quotient bit at a time: 118 bits and a sticky one are enough for every format.
    let (mut rem, mut q) = (a.sig >> 1, 0u128);
    let d = b.sig >> 1;
    for _ in 0..118 {
        q <<= 1;
        if rem >= d {
            rem -= d;
            q |= 1;
        }
        rem <<= 1;
    }
    Num::finite(sign, exp, q << 10 | ((rem != 0) as u128) << 1)
}

/// Square root of `a`, not a NaN, good enough for rounding to `fmt`.
pub fn sqrt(fmt: Fmt, a: Num) -> Exact {
    match a.class {
        Class::Zero => (a, 0),
        _ if a.sign => (Num::DEFAULT_NAN, VXSQRT),
        Class::Finite => {
            let exp = a.exp >> 1;
            // Operand as 1x.xxx or 01.xxx with an even exponent, two bits per step from the top.
            let mut src = if a.exp & 1 != 0 { a.sig } else { a.sig >> 1 };
            if !is_wide(fmt) {
                let root = src.isqrt();
                let sticky = (root * root != src) as u128;
                return (Num::finite(false, exp, root << 64 | sticky << 1), 0);
            }
            let bits = 118;
            let (mut rem, mut root) = (0u128, 0u128);
            for _ in 0..bits {
                rem = rem << 2 | src >> 126;
                src <<= 2;
                let t = root << 2 | 1;
                root <<= 1;
                if rem >= t {
                    rem -= t;
                    root |= 1;
                }
            }
            // The leading bit of the root is that of 2 ** exp.
            let sticky = (rem | src != 0) as u128;
            (Num::finite(false, exp, root << (128 - bits) | sticky << 1), 0)
        }
        _ => (a, 0),
    }
}

/// Order of two numbers that are no NaNs.
#[inline(always)]
pub fn compare(a: &Num, b: &Num) -> core::cmp::Ordering {
    use core::cmp::Ordering::{Equal, Greater, Less};
    let rank = |n: &Num| match n.class {
        Class::Zero => (0u8, 0, 0),
        Class::Inf => (2, 0, 0),
        _ => (1, n.exp, n.sig),
    };
    let (ra, rb) = (rank(a), rank(b));
    if ra.0 == 0 && rb.0 == 0 {
        return Equal;
    }
    match (a.sign, b.sign) {
        (false, true) => Greater,
        (true, false) => Less,
        (false, false) => ra.cmp(&rb),
        (true, true) => rb.cmp(&ra),
    }
}
