//! Conversions between formats and integers, and roundings to integers, of vector elements and of the scalars that
//! [`super::float`] leaves out (Book I, 6.10.2 and 7.6.3).

use rustc_apfloat::ieee::{BFloat, Double, Half, Quad, Single, X87DoubleExtended};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};

use super::float::{Done, event, quiet, rounding, to_double, to_single};
use super::status::{self, *};
use super::{Expected, exact, start};
use crate::vector::Vector;

/// What a NaN alone raises.
fn signals<F: Float>(x: &F) -> u64 {
    if x.is_signaling() { VXSNAN } else { 0 }
}

/// A NaN in another format: the leftmost bits of its fraction, unchanged.
fn nan<A: Float, B: Float>(x: A) -> B {
    let (from, to) = (A::PRECISION - 1, B::PRECISION - 1);
    let fraction = x.to_bits() & ((1 << from) - 1);
    let fraction = if to >= from { fraction << (to - from) } else { fraction >> (from - to) };
    B::from_bits(B::INFINITY.to_bits() | u128::from(x.is_negative()) << (B::BITS - 1) | fraction)
}

/// From one format to another.
fn convert<A: FloatConvert<B> + Copy, B: Float + Copy>(x: A, round: Round) -> Done<B> {
    if x.is_nan() {
        return Done::quiet(quiet(nan(quiet(x))), signals(&x));
    }
    let run = |r: Round| -> StatusAnd<B> { x.convert_r(r, &mut false) };
    Done::rounded(run, round, || x.ilogb() > B::MAX_EXP)
}

/// An integral value in the same format; `tell` whether it is inexact.
fn integral<F: Float + Copy>(x: F, round: Round, tell: bool) -> Done<F> {
    if x.is_nan() {
        return Done::quiet(quiet(x), signals(&x));
    }
    let value = x.round_to_integral(round).value;
    let fi = tell && value != x;
    let fr = fi && value.abs().to_bits() > x.abs().to_bits();
    Done { value, exc: if fi { XX } else { 0 }, fr: Some(fr), fi }
}

/// The form of an integer.
#[derive(Clone, Copy)]
struct Integer {
    width: usize,
    signed: bool,
}

impl Integer {
    /// The truncated number as an integer, saturated, and the exceptions; NaNs are the smallest.
    fn of<F: Float>(self, x: F) -> (u128, u64) {
        let mask = u128::MAX >> (128 - self.width);
        let top = 1u128 << (self.width - 1);
        let (min, max) = if self.signed { (top, top - 1) } else { (0, mask) };
        if x.is_nan() {
            return (min, VXCVI | signals(&x));
        }
        let zero = Round::TowardZero;
        let (n, status) = if self.signed {
            let r = x.to_i128_r(self.width, zero, &mut false);
            (r.value as u128 & mask, r.status)
        } else {
            let r = x.to_u128_r(self.width, zero, &mut false);
            (r.value, r.status)
        };
        if status.contains(Status::INVALID_OP) {
            (if x.is_negative() { min } else { max }, VXCVI)
        } else {
            (n, if status.contains(Status::INEXACT) { XX } else { 0 })
        }
    }

    /// The integer in the low bits of `x` as a number.
    fn number<F: Float + Copy>(self, x: u128, round: Round) -> Done<F> {
        let up = 128 - self.width;
        let run = |r: Round| {
            if self.signed {
                F::from_i128_r((x << up) as i128 >> up, r)
            } else {
                F::from_u128_r(x << up >> up, r)
            }
        };
        Done::rounded(run, round, || false)
    }
}

/// `sxd`, `uxd`, `sxw`, `uxw`, and with quads `sd`, `ud`, `sq`, `uq`, `sw`, `uw`.
fn integer(name: &str) -> Option<Integer> {
    let signed = match name.as_bytes().first()? {
        b's' => true,
        b'u' => false,
        _ => return None,
    };
    let width = match name.get(1..)? {
        "xw" | "w" => 32,
        "xd" | "d" => 64,
        "q" => 128,
        _ => return None,
    };
    Some(Integer { width, signed })
}

fn double(x: u128) -> Double {
    Double::from_bits(x & u128::from(u64::MAX))
}

fn single(x: u128) -> Single {
    Single::from_bits(x & 0xffff_ffff)
}

fn half(x: u128) -> Half {
    Half::from_bits(x & 0xffff)
}

/// A scalar's register, bits, and what happened.
type Scalar = (u32, u128, Event);

/// Scalars of VSX registers: the result is in doubleword 0.
fn scalar(v: &Vector) -> Option<Scalar> {
    let i = v.insn;
    let b = v.input.vsr[i.xb() as usize];
    let round = rounding(v);
    let (bits, e) = match v.row.mnemonic {
        "xscvdphp" => {
            let d = convert::<Double, Half>(double(b >> 64), round);
            (d.value.to_bits(), event(&d))
        }
        "xscvdpsp" => {
            let d = convert::<Double, Single>(double(b >> 64), round);
            (d.value.to_bits() << 32 | d.value.to_bits(), event(&d))
        }
        "xscvhpdp" => {
            let d = convert::<Half, Double>(half(b >> 64), round);
            (d.value.to_bits(), event(&d))
        }
        "xscvspdp" => {
            let d = convert::<Single, Double>(single(b >> 96), round);
            (d.value.to_bits(), event(&d))
        }
        _ => return None,
    };
    Some((i.xt(), bits << 64, e))
}

/// Quads, in vector registers; what is narrower is in doubleword 0.
fn quad(v: &Vector) -> Option<Scalar> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let b = v.input.vsr[32 + i.vrb() as usize];
    let q = Quad::from_bits(b);
    let round = rounding(v);
    let t = 32 + i.vrt();
    let whole = |d: Done<Quad>| Some((t, d.value.to_bits(), event(&d)));
    // R and RMC.
    let given = match (i.bits(15, 15), i.bits(21, 22)) {
        (0, 0) => Some(Round::NearestTiesToAway),
        (0, 3) => Some(round),
        (0, _) => None,
        (_, 0) => Some(Round::NearestTiesToEven),
        (_, 1) => Some(Round::TowardZero),
        (_, 2) => Some(Round::TowardPositive),
        _ => Some(Round::TowardNegative),
    };
    match m {
        "xscvdpqp" => return whole(convert::<Double, Quad>(double(b >> 64), round)),
        "xscvqpdp" => {
            let d = convert::<Quad, Double>(q, round);
            return Some((t, d.value.to_bits() << 64, event(&d)));
        }
        "xscvqpdpo" => {
            // To odd: what is cut off sets the last bit.
            let mut d = convert::<Quad, Double>(q, Round::TowardZero);
            if d.fi {
                let odd = Double::from_bits(d.value.to_bits() | 1);
                d.fr = d.fr.map(|_| odd != d.value);
                d.value = odd;
            }
            return Some((t, d.value.to_bits() << 64, event(&d)));
        }
        "xsrqpi" => return whole(integral(q, given?, false)),
        "xsrqpix" => return whole(integral(q, given?, true)),
        "xsrqpxp" if q.is_nan() => {
            // 63 bits of the fraction remain.
            let cut = quiet(q).to_bits() >> 49 << 49;
            return whole(Done::quiet(Quad::from_bits(cut), signals(&q)));
        }
        "xsrqpxp" => {
            let run = |r: Round| -> StatusAnd<Quad> {
                let x: StatusAnd<X87DoubleExtended> = q.convert_r(r, &mut false);
                let back: StatusAnd<Quad> = x.value.convert(&mut false);
                StatusAnd { value: back.value, status: x.status }
            };
            let d = Done::rounded(run, given?, || false);
            // Whether it tells of underflow is left open here.
            return if d.exc & UX != 0 { None } else { whole(d) };
        }
        _ => {}
    }
    let name = m.strip_prefix("xscv")?;
    if let Some(name) = name.strip_suffix("qp") {
        let int = integer(name)?;
        return whole(int.number(b >> (128 - int.width), round));
    }
    let int = integer(name.strip_prefix("qp")?.strip_suffix('z')?)?;
    let (n, exc) = int.of(q);
    let bits = match int {
        Integer { width: 128, .. } => n,
        // Words are extended to doublewords.
        Integer { width: 32, signed: true } => u128::from(i64::from(n as u32 as i32) as u64) << 64,
        _ => n << 64,
    };
    Some((t, bits, Event { exc, fr: Some(false), fi: exc & XX != 0, fprf: None }))
}

/// `count` elements of a vector, each by itself, with all exceptions.
fn each(x: u128, count: usize, f: impl Fn(u128) -> (u128, u64)) -> (u128, u64) {
    let width = 128 / count;
    (0..count).fold((0, 0), |(bits, exc), k| {
        let (r, e) = f(x >> (k * width) & u128::MAX >> (128 - width));
        (bits | r << (k * width), exc | e)
    })
}

/// The bits and exceptions of a result.
fn parts<F: Float>(d: Done<F>) -> (u128, u64) {
    (d.value.to_bits(), d.exc)
}

/// Elements of VSX registers. Words of doublewords are the left ones, halfwords of words the right ones.
fn vector(v: &Vector) -> Option<(u128, u64)> {
    let m = v.row.mnemonic;
    let b = v.input.vsr[v.insn.xb() as usize];
    let round = rounding(v);
    // Both words, of which the right one is a copy or undefined.
    let twice = |(r, e): (u128, u64)| (r << 32 | r, e);
    match m {
        "xvcvdpsp" => return Some(each(b, 2, |x| twice(parts(convert::<_, Single>(double(x), round))))),
        "xvcvspdp" => return Some(each(b, 2, |x| parts(convert::<_, Double>(single(x >> 32), round)))),
        "xvcvhpsp" => return Some(each(b, 4, |x| parts(convert::<_, Single>(half(x), round)))),
        "xvcvsphp" => return Some(each(b, 4, |x| parts(convert::<_, Half>(single(x), round)))),
        "xvcvspbf16" => return Some(each(b, 4, |x| parts(convert::<_, BFloat>(single(x), round)))),
        _ => {}
    }
    let name = m.strip_prefix("xv")?;
    if let Some(name) = name.strip_prefix('r') {
        let doubles = name.starts_with("dp");
        let tell = name.ends_with('c');
        let round = match name.strip_prefix("dp").or_else(|| name.strip_prefix("sp"))? {
            "i" => Round::NearestTiesToAway,
            "ic" => round,
            "im" => Round::TowardNegative,
            "ip" => Round::TowardPositive,
            "iz" => Round::TowardZero,
            _ => return None,
        };
        return Some(if doubles {
            each(b, 2, |x| parts(integral(double(x), round, tell)))
        } else {
            each(b, 4, |x| parts(integral(single(x), round, tell)))
        });
    }
    let name = name.strip_prefix("cv")?;
    if let Some(int) = name.strip_prefix("dp").and_then(|n| integer(n.strip_suffix('s')?)) {
        return Some(each(b, 2, |x| {
            let r = int.of(double(x));
            if int.width == 32 { twice(r) } else { r }
        }));
    }
    if let Some(int) = name.strip_prefix("sp").and_then(|n| integer(n.strip_suffix('s')?)) {
        return Some(match int.width {
            32 => each(b, 4, |x| int.of(single(x))),
            _ => each(b, 2, |x| int.of(single(x >> 32))),
        });
    }
    if let Some(int) = name.strip_suffix("dp").and_then(integer) {
        return Some(each(b, 2, |x| parts(int.number::<Double>(x >> (64 - int.width), round))));
    }
    let int = name.strip_suffix("sp").and_then(integer)?;
    Some(match int.width {
        32 => each(b, 4, |x| parts(int.number::<Single>(x, round))),
        _ => each(b, 2, |x| twice(parts(int.number::<Single>(x, round)))),
    })
}

/// What has nothing to do with the FPSCR: formats without rounding and VMX.
fn plain(v: &Vector) -> Option<Expected> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let b = v.input.vsr[i.xb() as usize];
    let vb = v.input.vsr[32 + i.vrb() as usize];
    let mut out = start(v);
    let moved = match m {
        "xscvdpspn" => {
            // Undefined when it is not a single.
            let s = to_single((b >> 64) as u64)?.to_bits();
            Some(s << 96 | s << 64)
        }
        "xscvspdpn" => Some(u128::from(to_double(single(b >> 96))) << 64),
        "xvcvbf16spn" => Some(each(b, 4, |x| (x << 16 & 0xffff_ffff, 0)).0),
        _ => None,
    };
    if let Some(bits) = moved {
        out.state.vsr[i.xt() as usize] = bits;
        return exact(out);
    }
    let scale = i.bits(11, 15) as i32;
    let near = Round::NearestTiesToEven;
    let to_word = |signed: bool| {
        let int = Integer { width: 32, signed };
        // NaNs are zero and do not saturate.
        each(vb, 4, |x| {
            let s = single(x);
            if s.is_nan() { (0, 0) } else { int.of(s.scalbn(scale)) }
        })
    };
    let from_word = |signed: bool| {
        let int = Integer { width: 32, signed };
        each(vb, 4, |x| (int.number::<Single>(x, near).value.scalbn(-scale).to_bits(), 0))
    };
    let flush = v.input.vscr >> 16 & 1 != 0;
    let whole = |round: Round| {
        each(vb, 4, |x| {
            let s = single(x);
            // VSCR[NJ]: denormal operands are zeros.
            let s = if flush && s.is_denormal() { Single::ZERO.copy_sign(s) } else { s };
            (integral(s, round, false).value.to_bits(), 0)
        })
    };
    let (bits, exc) = match m {
        "vctsxs" => to_word(true),
        "vctuxs" => to_word(false),
        "vcfsx" => from_word(true),
        "vcfux" => from_word(false),
        "vrfin" => whole(near),
        "vrfiz" => whole(Round::TowardZero),
        "vrfip" => whole(Round::TowardPositive),
        "vrfim" => whole(Round::TowardNegative),
        _ => return None,
    };
    out.state.vsr[32 + i.vrt() as usize] = bits;
    if exc & VXCVI != 0 {
        // VSCR[SAT].
        out.state.vscr |= 1;
    }
    exact(out)
}

/// The result of a conversion or rounding.
pub fn model(v: &Vector) -> Option<Expected> {
    if let Some(e) = plain(v) {
        return Some(e);
    }
    // Underflows that are enabled are found without loss, too: no model for them.
    let underflow = v.input.fpscr & 0x20 != 0;
    if let Some((t, bits, e)) = scalar(v).or_else(|| quad(v)) {
        let tiny = e.fprf.is_some_and(|c| c == 0b11000 || c == 0b10100);
        if status::scales(v, e.exc) || tiny && underflow {
            return None;
        }
        return Some(status::outcome(v, Sort::Scalar, e, false, |s| s.vsr[t as usize] = bits));
    }
    let (bits, exc) = vector(v)?;
    if underflow {
        return None;
    }
    let e = Event { exc, ..Event::default() };
    Some(status::outcome(v, Sort::Elements, e, false, |s| s.vsr[v.insn.xt() as usize] = bits))
}
