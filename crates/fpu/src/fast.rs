//! Host arithmetic for the common cases: round to nearest, no exception enabled, operands zero or normal, result
//! normal and well inside the range. Everything else is left to the general path by answering `None`.

use isa::fp::{FpForm, FpOp};

/// A result that is a normal number.
pub struct Quick {
    /// In the format of the element.
    pub bits: u64,
    /// Fraction incremented.
    pub fr: bool,
    /// Inexact.
    pub fi: bool,
    /// Result class.
    pub fprf: u8,
}

/// Exponent fields that leave room for error terms on both sides: results from 2 ** -900 to 2 ** 900.
fn in_range(x: f64) -> bool {
    let e = x.to_bits() >> 52 & 0x7ff;
    (123..=1923).contains(&e)
}

/// In range or zero.
fn operand(x: f64) -> bool {
    in_range(x) || x == 0.0
}

fn fprf(negative: bool) -> u8 {
    if negative { 0b01000 } else { 0b00100 }
}

/// From the nearest double `s` of an exact value and the sign of what it lacks.
fn quick(s: f64, error: f64) -> Option<Quick> {
    if !in_range(s) {
        return None;
    }
    let fi = error != 0.0;
    let fr = fi && (error < 0.0) == (s > 0.0);
    Some(Quick { bits: s.to_bits(), fr, fi, fprf: fprf(s < 0.0) })
}

/// s and the error of a + b = s + error (Knuth's two-sum).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let t = s - a;
    (s, (a - (s - t)) + (b - t))
}

/// One double-precision element.
fn double(op: FpOp, a: f64, b: f64) -> Option<Quick> {
    match op {
        FpOp::Add | FpOp::Sub => {
            let b = if op == FpOp::Sub { -b } else { b };
            if !operand(a) || !operand(b) {
                return None;
            }
            let (s, e) = two_sum(a, b);
            quick(s, e)
        }
        FpOp::Mul => {
            if !in_range(a) || !in_range(b) {
                return None;
            }
            let p = a * b;
            if !in_range(p) {
                return None;
            }
            let wide = significand(a) * significand(b);
            // The exact product has 105 or 106 bits; the 53 of `p` are its top ones after rounding.
            let drop = if wide >> 105 != 0 { 53 } else { 52 };
            let rest = wide & ((1 << drop) - 1);
            let kept = (wide >> drop) as u64 & 0x000f_ffff_ffff_ffff;
            let fr = kept != p.to_bits() & 0x000f_ffff_ffff_ffff;
            Some(Quick { bits: p.to_bits(), fr, fi: rest != 0, fprf: fprf(p < 0.0) })
        }
        FpOp::Div => {
            let q = a / b;
            if !in_range(a) || !in_range(b) || !in_range(q) {
                return None;
            }
            // a against q * b, exactly; their quotient is 1 but for rounding, so the shift is 52, 53 or 54.
            let shift = exponent(a) + 52 - exponent(q) - exponent(b);
            Some(against(q, significand(a) << shift.clamp(0, 74), significand(q) * significand(b)))
        }
        FpOp::Sqrt => {
            let q = b.sqrt();
            if !in_range(b) || b < 0.0 {
                return None;
            }
            let shift = exponent(b) + 52 - 2 * exponent(q);
            Some(against(q, significand(b) << shift.clamp(0, 74), significand(q) * significand(q)))
        }
        _ => None,
    }
}

/// The result `q`, whose exact value is to `back` as `want` is.
fn against(q: f64, want: u128, back: u128) -> Quick {
    Quick { bits: q.to_bits(), fr: back > want, fi: back != want, fprf: fprf(q < 0.0) }
}

/// Significand of a normal number as an integer.
fn significand(x: f64) -> u128 {
    (x.to_bits() & 0x000f_ffff_ffff_ffff | 1 << 52) as u128
}

/// Unbiased exponent of a normal number.
fn exponent(x: f64) -> i32 {
    (x.to_bits() >> 52 & 0x7ff) as i32 - 1023
}

/// Normal as a single, with room.
fn single_range(x: f64) -> bool {
    let e = x.to_bits() >> 52 & 0x7ff;
    (1023 - 100..=1023 + 100).contains(&e)
}

fn is_single(x: f64) -> bool {
    x.to_bits() & 0x1fff_ffff == 0 && (single_range(x) || x == 0.0)
}

/// One single-precision result of operands that are singles, as a double.
fn single(op: FpOp, a: f64, b: f64, c: f64) -> Option<Quick> {
    // The double is exact (products) or its own error is known; rounding it again to single is harmless because 53
    // is more than twice 24 bits and two. Sums of products have no such bound and are looked at below.
    let (s, e) = match op {
        FpOp::RoundSp if in_range(b) => (b, 0.0),
        FpOp::Sqrt if is_single(b) && b > 0.0 => {
            let s = (b.sqrt() as f32) as f64;
            return quick(s, b - s * s);
        }
        _ if !is_single(a) || !is_single(b) => return None,
        FpOp::Add => two_sum(a, b),
        FpOp::Sub => two_sum(a, -b),
        FpOp::Mul => (a * b, 0.0),
        FpOp::Div if a != 0.0 && b != 0.0 => {
            let s = ((a / b) as f32) as f64;
            // 24 by 24 bits: exact.
            let back = s * b;
            let low = if b > 0.0 { a - back } else { back - a };
            return if single_range(s) { quick(s, low) } else { None };
        }
        FpOp::Madd | FpOp::Msub | FpOp::Nmadd | FpOp::Nmsub if is_single(c) => {
            let b = if matches!(op, FpOp::Msub | FpOp::Nmsub) { -b } else { b };
            let (s, e) = two_sum(a * c, b);
            if e != 0.0 && s.to_bits() & 0x1fff_ffff == 0x1000_0000 {
                // Half way between singles, but only after rounding.
                return None;
            }
            (s, e)
        }
        _ => return None,
    };
    let r = s as f32 as f64;
    if !single_range(r) {
        return None;
    }
    let q = quick(r, if r == s { e } else { s - r })?;
    if matches!(op, FpOp::Nmadd | FpOp::Nmsub) {
        return Some(Quick { bits: q.bits ^ 1 << 63, fprf: fprf(r > 0.0), ..q });
    }
    Some(q)
}

/// A scalar instruction on doubleword 0.
#[inline(always)]
pub fn scalar(op: FpOp, form: FpForm, a: u64, b: u64, c: u64) -> Option<Quick> {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    match form {
        FpForm::F64 => double(op, x, y),
        FpForm::F32 => single(op, x, y, f64::from_bits(c)),
        _ => None,
    }
}

/// One element of a vector instruction.
#[inline(always)]
pub fn element(op: FpOp, form: FpForm, a: u64, b: u64, c: u64) -> Option<Quick> {
    match form {
        FpForm::V64 => double(op, f64::from_bits(a), f64::from_bits(b)),
        FpForm::V32 => {
            let wide = |x: u64| f32::from_bits(x as u32) as f64;
            let q = single(op, wide(a), wide(b), wide(c))?;
            Some(Quick { bits: (f64::from_bits(q.bits) as f32).to_bits() as u64, ..q })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arith::{Kind, arith},
        fpscr::XX,
        soft::Env,
    };

    /// splitmix64
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Mostly numbers near 1, sparse fractions, now and then anything.
    fn operand(s: &mut u64, single: bool) -> u64 {
        let raw = next(s);
        let mut x = match next(s) % 8 {
            0 => raw,
            1 => raw & 1 << 63,
            n => {
                let exp = 1023 - 30 + next(s) % if n & 1 != 0 { 60 } else { 4 };
                let frac = raw & 0x000f_ffff_ffff_ffff;
                let frac = match n {
                    2 => frac & frac << 20,
                    3 => frac << 32 & 0x000f_ffff_ffff_ffff,
                    4 => 0x000f_ffff_ffff_ffff,
                    5 => frac & 0x000f_ffff_e000_0000,
                    _ => frac,
                };
                raw & 1 << 63 | exp << 52 | frac
            }
        };
        if single {
            x &= !0x1fff_ffff;
        }
        x
    }

    #[test]
    fn agrees_with_the_general_path() {
        let mut s = 99;
        let mut answered = [0u32; 2];
        for n in 0..400_000 {
            let is_single = n & 1 != 0;
            let (a, mut b) = (operand(&mut s, is_single), operand(&mut s, is_single));
            let c = operand(&mut s, is_single);
            if is_single && n % 3 == 0 {
                // An addend whose last place is half a unit of the product, more or less.
                let p = f64::from_bits(a) * f64::from_bits(c);
                let k = 2f64.powi((next(&mut s) % 60) as i32 - 30);
                b = (((p * k) as f32) as f64).to_bits();
            }
            let (form, kind) = if is_single { (FpForm::F32, Kind::F32) } else { (FpForm::F64, Kind::F64) };
            let ops = [FpOp::Add, FpOp::Sub, FpOp::Mul, FpOp::Div, FpOp::Sqrt, FpOp::RoundSp];
            for op in ops.into_iter().chain([FpOp::Madd, FpOp::Msub, FpOp::Nmadd, FpOp::Nmsub]) {
                if let Some(q) = scalar(op, form, a, b, c) {
                    let r = arith(op, kind, Env::DEFAULT, a as u128, b as u128, c as u128);
                    let what = format!("{op:?} {form:?} {a:#x} {b:#x} {c:#x}");
                    assert_eq!(r.bits as u64, q.bits, "{what}");
                    assert_eq!((r.fr, r.fi, r.fprf), (q.fr, q.fi, q.fprf), "{what}");
                    assert_eq!(r.exc, if q.fi { XX } else { 0 }, "{what}");
                    answered[is_single as usize] += 1;
                }
            }
        }
        assert!(answered.iter().all(|&n| n > 300_000), "{answered:?} quick answers");
    }
}
