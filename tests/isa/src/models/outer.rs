//! Outer products of the matrix-multiply assist (Book I, 7.7): integers as they are, floating point through
//! `rustc_apfloat`; two products of halves are summed in quad precision, rounded to odd where that is not exact.

use rustc_apfloat::ieee::{BFloat, Double, Half, Quad, Single};
use rustc_apfloat::{Float, FloatConvert, Round, StatusAnd};

use super::float::{Done, Op, compute, quiet, rounding};
use super::status::{self, *};
use super::{Expected, start};
use crate::vector::Vector;

/// The masks of rows, columns and products; all ones without a prefix.
fn masks(v: &Vector, rank: u32, columns: u32) -> (u32, u32, u32) {
    let p = v.insn.prefix;
    if p == 0 {
        return (15, (1 << columns) - 1, (1 << rank) - 1);
    }
    (p >> 4 & 15, p >> (4 - columns) & ((1 << columns) - 1), p >> (16 - rank) & ((1 << rank) - 1))
}

/// Element `k` of `n`, the leftmost first, of the row or column that a mask bit stands for.
fn on(mask: u32, n: u32, k: u32) -> bool {
    mask >> (n - 1 - k) & 1 != 0
}

fn integers(v: &Vector, name: &str) -> Option<Expected> {
    let i = v.insn;
    let (bits, rank) = match name.get(..8)? {
        "xvi16ger" => (16, 2),
        _ if name.starts_with("xvi8ger4") => (8, 4),
        _ if name.starts_with("xvi4ger8") => (4, 8),
        _ => return None,
    };
    let form = &name[name.find("ger")? + 4..];
    let (saturate, sum) = (form.starts_with('s'), form.ends_with("pp"));
    let (x, y, p) = masks(v, rank, 4);
    let (a, b) = (v.input.vsr[i.xa() as usize], v.input.vsr[i.xb() as usize]);
    let field = |w: u128, row: u32, k: u32, signed: bool| -> i64 {
        let at = 128 - 32 * row - bits * (k + 1);
        let n = (w >> at & ((1 << bits) - 1)) as i64;
        if signed && n >> (bits - 1) != 0 { n - (1 << bits) } else { n }
    };
    let mut o = start(v);
    let acc = 4 * i.bf() as usize;
    for row in 0..4 {
        let mut out = 0;
        for column in 0..4 {
            let mut n = 0i64;
            if on(x, 4, row) && on(y, 4, column) {
                for k in (0..rank).filter(|&k| on(p, rank, k)) {
                    // Bytes of the second operand are unsigned.
                    n += field(a, row, k, true) * field(b, column, k, bits != 8);
                }
                if sum {
                    n += i64::from((v.input.vsr[acc + row as usize] >> (96 - 32 * column)) as i32);
                }
                if saturate {
                    n = n.clamp(i32::MIN.into(), i32::MAX.into());
                }
            }
            out = out << 32 | u128::from(n as u32);
        }
        o.state.vsr[acc + row as usize] = out;
    }
    // Saturation is recorded; that is left to the other judges.
    Some(Expected { out: o, values_only: saturate, ignore: 0 })
}

/// The letters behind a name: sign of the product and of the accumulator.
fn fused(form: &str) -> Option<Op> {
    Some(match form {
        "" => Op::Mul,
        "pp" => Op::Fused { sub: false, neg: false },
        "pn" => Op::Fused { sub: true, neg: false },
        "np" => Op::Fused { sub: true, neg: true },
        "nn" => Op::Fused { sub: false, neg: true },
        _ => return None,
    })
}

fn one<F: Float + FloatConvert<Quad> + Copy>(op: Op, x: u128, y: u128, z: u128, round: Round) -> (u128, u64) {
    let (x, y, z) = (F::from_bits(x), F::from_bits(y), F::from_bits(z));
    let d = if matches!(op, Op::Mul) { compute(op, x, y, y, round) } else { compute(op, x, z, y, round) };
    (d.value.to_bits(), d.exc)
}

/// A number in quad precision, and the exception of a signalling NaN.
fn widened<F: Float + FloatConvert<Quad> + Copy>(bits: u128) -> (Quad, u64) {
    let x = F::from_bits(bits);
    if x.is_nan() {
        let fraction = bits & ((1 << (F::PRECISION - 2)) - 1);
        let sign = u128::from(x.is_negative()) << 127;
        let q = Quad::from_bits(sign | 0xffff << 111 | fraction << (112 - (F::PRECISION - 1)));
        return (q, if x.is_signaling() { VXSNAN } else { 0 });
    }
    let r: StatusAnd<Quad> = x.convert(&mut false);
    (r.value, 0)
}

/// A quad to a single; a NaN keeps the leftmost part of its fraction.
fn single(q: Quad, round: Round) -> Done<Single> {
    if q.is_nan() {
        let b = q.to_bits();
        let s = (b >> 127 << 31 | 0xff << 23 | b >> (112 - 23) & 0x7f_ffff) as u32;
        return Done::quiet(quiet(Single::from_bits(s.into())), 0);
    }
    Done::rounded(|r| q.convert_r(r, &mut false), round, || q.ilogb() > 127)
}

/// Two products, rounded to single, and their sum with the accumulator.
fn two<F: Float + FloatConvert<Quad> + Copy>(
    form: &str,
    mask: u32,
    x: u128,
    y: u128,
    z: u128,
    round: Round,
) -> (u128, u64) {
    let mut exc = 0;
    let mut part = |w: u128, k: u32| {
        if mask >> (1 - k) & 1 == 0 {
            return Quad::ZERO;
        }
        let (q, e) = widened::<F>(w >> (16 - 16 * k) & 0xffff);
        exc |= e;
        q
    };
    let (a, b, c, d) = (part(x, 0), part(y, 0), part(x, 1), part(y, 1));
    let first = compute(Op::Mul, a, b, b, Round::TowardZero);
    let op = Op::Fused { sub: false, neg: false };
    let sum = compute(op, c, first.value, d, Round::TowardZero);
    exc |= (first.exc | sum.exc) & !XX;
    // The sum of equal numbers of two signs is a zero whose sign the mode decides.
    let mut q = compute(op, c, first.value, d, round).value;
    if !q.is_zero() {
        q = if sum.exc & XX != 0 { Quad::from_bits(sum.value.to_bits() | 1) } else { sum.value };
    }
    let p = single(q, round);
    exc |= p.exc;
    let z = Single::from_bits(z);
    let negated = |s: Single| if s.is_nan() { s } else { -s };
    let (p, z) = match form {
        "" => return (p.value.to_bits(), exc),
        "pp" => (p.value, z),
        "pn" => (p.value, negated(z)),
        "np" => (negated(p.value), z),
        _ => (negated(p.value), negated(z)),
    };
    let r = compute(Op::Add, p, z, z, round);
    (r.value.to_bits(), exc | r.exc)
}

fn floats(v: &Vector, name: &str) -> Option<Expected> {
    let i = v.insn;
    let round = rounding(v);
    let (kind, form) = name.split_once("ger")?;
    let form = form.trim_start_matches('2');
    let op = fused(form)?;
    let (rank, columns) = match kind {
        "xvf64" => (1, 2),
        "xvf32" => (1, 4),
        "xvf16" | "xvbf16" => (2, 4),
        _ => return None,
    };
    let (xm, ym, pm) = if rank == 1 {
        let (x, y, _) = masks(v, 2, columns);
        (x, y, 1)
    } else {
        masks(v, rank, columns)
    };
    let b = v.input.vsr[i.xb() as usize];
    let acc = 4 * i.bf() as usize;
    let (mut rows, mut exc) = ([0u128; 4], 0);
    for row in 0..4u32 {
        let x = if columns == 2 {
            v.input.vsr[(i.xa() + row / 2) as usize] >> (64 - 64 * (row % 2)) & u128::from(u64::MAX)
        } else {
            v.input.vsr[i.xa() as usize] >> (96 - 32 * row) & 0xffff_ffff
        };
        let width = 128 / columns;
        for column in 0..columns {
            let part = |w: u128| w >> (128 - width * (column + 1)) & (u128::MAX >> (128 - width));
            let (y, z) = (part(b), part(v.input.vsr[acc + row as usize]));
            let (r, e) = if !(on(xm, 4, row) && on(ym, columns, column)) {
                (0, 0)
            } else {
                match kind {
                    "xvf64" => one::<Double>(op, x, y, z, round),
                    "xvf32" => one::<Single>(op, x, y, z, round),
                    "xvf16" => two::<Half>(form, pm, x, y, z, round),
                    _ => two::<BFloat>(form, pm, x, y, z, round),
                }
            };
            rows[row as usize] |= r << (128 - width * (column + 1));
            exc |= e;
        }
    }
    let e = Event { exc, ..Event::default() };
    Some(status::outcome(v, Sort::Products, e, false, |s| s.vsr[acc..acc + 4].copy_from_slice(&rows)))
}

/// The result of an outer product, or of a move between accumulator and registers.
pub fn model(v: &Vector) -> Option<Expected> {
    let m = v.row.mnemonic;
    let name = m.strip_prefix("pm").unwrap_or(m);
    match m {
        "xxsetaccz" => {
            let mut out = start(v);
            let acc = 4 * v.insn.bf() as usize;
            out.state.vsr[acc..acc + 4].fill(0);
            Some(Expected { out, values_only: false, ignore: 0 })
        }
        "xxmfacc" | "xxmtacc" => Some(Expected { out: start(v), values_only: false, ignore: 0 }),
        _ if name.starts_with("xvi") => integers(v, name),
        _ => floats(v, name),
    }
}
