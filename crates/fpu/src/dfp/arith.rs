//! Arithmetic, quantizing, rounding to integral values, conversions (Book I, 5.6).

use core::cmp::Ordering;

use super::{
    format::{Class, Decimal, Format, POW10, class_code, digits},
    round::{Env, Exact, Mode, Rounded, round},
    wide::{Rest, Wide},
};
use crate::fpscr::{VXCVI, VXIDI, VXIMZ, VXISI, VXSNAN, VXZDZ, XX, ZX};

/// A result, as [`super::put`] stores it.
#[derive(Clone, Copy, Debug)]
pub struct Res {
    /// The result; a number whose exponent was adjusted stands in the wider format of a narrowing conversion.
    pub value: Decimal,
    /// Exceptions.
    pub exc: u32,
    /// FR.
    pub fr: bool,
    /// FI.
    pub fi: bool,
    /// FPRF.
    pub fprf: u8,
    /// The exponent was adjusted.
    pub adjusted: bool,
}

impl Res {
    /// A result that needs no rounding.
    pub fn exact(f: &Format, value: Decimal, exc: u32) -> Res {
        Res { value, exc, fr: false, fi: false, fprf: class_code(f, &value), adjusted: false }
    }

    fn invalid(f: &Format, exc: u32) -> Res {
        Res::exact(f, Decimal::DEFAULT_NAN, exc)
    }

    fn rounded(f: &Format, r: Rounded) -> Res {
        let fprf = match (r.adjusted, r.value.sign) {
            (true, true) => 0b01000,
            (true, false) => 0b00100,
            _ => class_code(f, &r.value),
        };
        Res { value: r.value, exc: r.exc, fr: r.fr, fi: r.fi, fprf, adjusted: r.adjusted }
    }

    /// Rounded without overflow and underflow.
    fn cut(f: &Format, value: Decimal, fr: bool, fi: bool) -> Res {
        Res { fr, fi, ..Res::exact(f, value, if fi { XX } else { 0 }) }
    }
}

/// The NaN that goes on: a signalling one first, then a first one.
fn nan(f: &Format, a: &Decimal, b: &Decimal) -> Option<Res> {
    if let Some(n) = [a, b].into_iter().find(|n| n.is_snan()) {
        return Some(Res::exact(f, n.quiet(), VXSNAN));
    }
    [a, b].into_iter().find(|n| n.is_nan()).map(|n| Res::exact(f, *n, 0))
}

/// One operand that is no number: infinity or a NaN.
fn special(f: &Format, b: &Decimal) -> Option<Res> {
    match b.class {
        Class::Finite => None,
        Class::Inf => Some(Res::exact(f, Decimal::inf(b.sign), 0)),
        Class::QNan => Some(Res::exact(f, *b, 0)),
        Class::SNan => Some(Res::exact(f, b.quiet(), VXSNAN)),
    }
}

/// a + b, or a - b.
pub fn add(f: &Format, env: Env, a: Decimal, b: Decimal, minus: bool) -> Res {
    if let Some(r) = nan(f, &a, &b) {
        return r;
    }
    let b = Decimal { sign: b.sign ^ minus, ..b };
    match (a.class == Class::Inf, b.class == Class::Inf) {
        (true, true) if a.sign != b.sign => return Res::invalid(f, VXISI),
        (true, _) => return Res::exact(f, Decimal::inf(a.sign), 0),
        (_, true) => return Res::exact(f, Decimal::inf(b.sign), 0),
        _ => {}
    }
    let ideal = a.exp.min(b.exp);
    let (high, low) = if a.exp >= b.exp { (a, b) } else { (b, a) };
    let alone =
        |x: Decimal| Exact { sign: x.sign, coef: Wide::new(x.coef), exp: x.exp, sticky: false, ideal };
    let mut x = match (high.coef, low.coef) {
        (0, 0) => {
            Exact { sign: a.sign && b.sign || a.sign != b.sign && env.mode == Mode::Floor, ..alone(low) }
        }
        (0, _) => alone(low),
        (_, 0) => alone(high),
        _ => sum(high, low),
    };
    if x.coef.is_zero() && a.sign != b.sign {
        x.sign = env.mode == Mode::Floor;
    }
    Res::rounded(f, round(f, f, env, Exact { ideal, ..x }))
}

/// The sum of numbers that are not zero; `high` has the larger exponent.
fn sum(high: Decimal, low: Decimal) -> Exact {
    let apart = (high.exp - low.exp) as u32;
    // One digit is left for the carry.
    let up = apart.min(Wide::DIGITS - 1 - digits(high.coef));
    let h = Wide::new(high.coef).left(up);
    let (l, lost) = Wide::new(low.coef).right(apart - up);
    let sticky = !lost.is_zero();
    let (sign, coef) = if high.sign == low.sign {
        (high.sign, h.plus(l))
    } else if h >= l {
        // Digits of `low` are lost only when `high` fills its 67 digits.
        let d = h.minus(l);
        (high.sign, if sticky { d.minus(Wide::new(1)) } else { d })
    } else {
        (low.sign, l.minus(h))
    };
    Exact { sign, coef, exp: high.exp - up as i32, sticky, ideal: low.exp }
}

/// a * b.
pub fn mul(f: &Format, env: Env, a: Decimal, b: Decimal) -> Res {
    if let Some(r) = nan(f, &a, &b) {
        return r;
    }
    let sign = a.sign != b.sign;
    if a.class == Class::Inf || b.class == Class::Inf {
        if a.is_zero() || b.is_zero() {
            return Res::invalid(f, VXIMZ);
        }
        return Res::exact(f, Decimal::inf(sign), 0);
    }
    let exp = a.exp + b.exp;
    let x = Exact { sign, coef: Wide::mul(a.coef, b.coef), exp, sticky: false, ideal: exp };
    Res::rounded(f, round(f, f, env, x))
}

/// a / b.
pub fn div(f: &Format, env: Env, a: Decimal, b: Decimal) -> Res {
    if let Some(r) = nan(f, &a, &b) {
        return r;
    }
    let sign = a.sign != b.sign;
    match (a.class == Class::Inf, b.class == Class::Inf) {
        (true, true) => return Res::invalid(f, VXIDI),
        (true, false) => return Res::exact(f, Decimal::inf(sign), 0),
        (false, true) => {
            // Zero with the smallest exponent.
            return Res::exact(f, Decimal::number(sign, 0, f.qmin()), 0);
        }
        _ => {}
    }
    if b.coef == 0 {
        return if a.coef == 0 { Res::invalid(f, VXZDZ) } else { Res::exact(f, Decimal::inf(sign), ZX) };
    }
    let ideal = a.exp - b.exp;
    let (mut q, mut rest, mut exp) = (Wide::new(a.coef / b.coef), a.coef % b.coef, ideal);
    // Four digits at a time: a remainder has at most 34.
    while rest != 0 && q.digits() < f.digits + 2 {
        rest *= 10_000;
        q = q.left(4).plus(Wide::new(rest / b.coef));
        rest %= b.coef;
        exp -= 4;
    }
    let x = Exact { sign, coef: q, exp, sticky: rest != 0, ideal };
    Res::rounded(f, round(f, f, env, x))
}

/// Order of two values; `None` when one is a NaN.
pub fn compare(a: &Decimal, b: &Decimal) -> Option<Ordering> {
    if a.is_nan() || b.is_nan() {
        return None;
    }
    let magnitude = |x: &Decimal, y: &Decimal| {
        if x.class == Class::Inf || y.class == Class::Inf {
            return (x.class == Class::Inf).cmp(&(y.class == Class::Inf));
        }
        match x.adjusted().cmp(&y.adjusted()) {
            Ordering::Equal => {}
            other => return other,
        }
        // The same first digit: the shorter significand has the larger exponent.
        let low = x.exp.min(y.exp);
        let scaled = |n: &Decimal| n.coef * POW10[(n.exp - low) as usize];
        scaled(x).cmp(&scaled(y))
    };
    Some(match (a.is_zero(), b.is_zero()) {
        (true, true) => Ordering::Equal,
        (true, false) if b.sign => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, true) if a.sign => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => match (a.sign, b.sign) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => magnitude(a, b),
            (true, true) => magnitude(b, a),
        },
    })
}

/// `b` with the exponent `exp`; `None` when it has too many digits. Incremented, inexact.
fn quantized(f: &Format, mode: Mode, exp: i32, b: &Decimal) -> Option<(Decimal, bool, bool)> {
    let done = |coef, fr, fi| Some((Decimal::number(b.sign, coef, exp), fr, fi));
    if b.coef == 0 {
        return done(0, false, false);
    }
    if b.exp >= exp {
        let up = (b.exp - exp) as u32;
        let room = f.digits - digits(b.coef);
        return if up <= room { done(b.coef * POW10[up as usize], false, false) } else { None };
    }
    let (kept, rest) = Wide::new(b.coef).cut((exp - b.exp) as u32, false);
    let coef = kept.to_u128().unwrap_or(0);
    let up = mode.increments(b.sign, (coef % 10) as u32, rest);
    done(coef + up as u128, up, rest != Rest::Exact)
}

/// `dquai`: to an exponent. Infinity has too many digits for every exponent.
pub fn quantize_imm(f: &Format, mode: Mode, exp: i32, b: Decimal) -> Res {
    match special(f, &b) {
        Some(_) if b.class == Class::Inf => return Res::invalid(f, VXCVI),
        Some(r) => return r,
        None => {}
    }
    match quantized(f, mode, exp, &b) {
        Some((v, fr, fi)) => Res::cut(f, v, fr, fi),
        None => Res::invalid(f, VXCVI),
    }
}

/// `dqua`: to the exponent of `a`.
pub fn quantize(f: &Format, mode: Mode, a: Decimal, b: Decimal) -> Res {
    if let Some(r) = nan(f, &a, &b) {
        return r;
    }
    match (a.class == Class::Inf, b.class == Class::Inf) {
        (true, true) => Res::exact(f, Decimal::inf(b.sign), 0),
        (false, false) => quantize_imm(f, mode, a.exp, b),
        _ => Res::invalid(f, VXCVI),
    }
}

/// `drrnd`: to `k` digits.
pub fn reround(f: &Format, mode: Mode, k: u32, b: Decimal) -> Res {
    if let Some(r) = special(f, &b) {
        return r;
    }
    let have = digits(b.coef);
    if k == 0 || have <= k {
        return Res::exact(f, b, 0);
    }
    let (kept, rest) = Wide::new(b.coef).cut(have - k, false);
    let mut coef = kept.to_u128().unwrap_or(0);
    let mut exp = b.exp + (have - k) as i32;
    let up = mode.increments(b.sign, (coef % 10) as u32, rest);
    coef += up as u128;
    if digits(coef) > k {
        (coef, exp) = (coef / 10, exp + 1);
    }
    if exp > f.qmax() {
        return Res::invalid(f, VXCVI);
    }
    Res::cut(f, Decimal::number(b.sign, coef, exp), up, rest != Rest::Exact)
}

/// `drintx`, `drintn`: to an integral value.
pub fn rint(f: &Format, mode: Mode, inexact: bool, b: Decimal) -> Res {
    if let Some(r) = special(f, &b) {
        return r;
    }
    if b.exp >= 0 {
        return Res::exact(f, b, 0);
    }
    // Digits are only taken away.
    let (v, fr, fi) = quantized(f, mode, 0, &b).unwrap_or((b, false, false));
    if inexact { Res::cut(f, v, fr, fi) } else { Res::exact(f, v, 0) }
}

/// To a narrower format (`to`) from a wider one (`from`). A NaN keeps its last digits; only in extended sources it
/// signals.
pub fn narrow(from: &Format, to: &Format, env: Env, signals: bool, b: Decimal) -> Res {
    let payload = b.coef % POW10[to.digits as usize - 1];
    match b.class {
        Class::Finite => {
            let coef = Wide::new(b.coef);
            let x = Exact { sign: b.sign, coef, exp: b.exp, sticky: false, ideal: b.exp };
            Res::rounded(to, round(to, from, env, x))
        }
        Class::SNan if !signals => Res::exact(to, Decimal { coef: payload, ..b }, 0),
        Class::Inf => Res::exact(to, Decimal::inf(b.sign), 0),
        _ => special(to, &Decimal { coef: payload, ..b }).unwrap_or(Res::invalid(to, 0)),
    }
}

/// To a wider format: exact.
pub fn widen(to: &Format, signals: bool, b: Decimal) -> Res {
    match b.class {
        Class::SNan if !signals => Res::exact(to, b, 0),
        _ => special(to, &b).unwrap_or(Res::exact(to, b, 0)),
    }
}

/// From a signed integer.
pub fn from_int(f: &Format, env: Env, v: i128) -> Res {
    let x = Exact { sign: v < 0, coef: Wide::new(v.unsigned_abs()), exp: 0, sticky: false, ideal: 0 };
    Res::rounded(f, round(f, f, env, x))
}

/// To a signed integer of `bits` bits: the integer, exceptions, incremented, inexact.
pub fn to_int(mode: Mode, bits: u32, b: Decimal) -> (i128, u32, bool, bool) {
    let (min, max) = (i128::MIN >> (128 - bits), i128::MAX >> (128 - bits));
    let limit = if b.sign { min } else { max };
    let out = (limit, VXCVI, false, false);
    match b.class {
        Class::SNan => return (min, VXCVI | VXSNAN, false, false),
        Class::QNan => return (min, VXCVI, false, false),
        Class::Inf => return out,
        Class::Finite if b.coef == 0 => return (0, 0, false, false),
        _ => {}
    }
    // 2 ** 127 has 39 digits.
    if b.exp > 0 && b.exp as u32 + digits(b.coef) > 39 {
        return out;
    }
    let (kept, rest) = if b.exp >= 0 {
        (Wide::new(b.coef).left(b.exp as u32), Rest::Exact)
    } else {
        Wide::new(b.coef).cut(b.exp.unsigned_abs(), false)
    };
    let Some(kept) = kept.to_u128() else { return out };
    let up = mode.increments(b.sign, (kept % 10) as u32, rest);
    let Some(v) = kept.checked_add(up as u128) else { return out };
    if v > limit.unsigned_abs() {
        return out;
    }
    let v = if b.sign { (v as i128).wrapping_neg() } else { v as i128 };
    let fi = rest != Rest::Exact;
    (v, if fi { XX } else { 0 }, up, fi)
}
