//! Binary floating point through `rustc_apfloat` (Book I, 4.6 and 7.6): values, classes and exceptions of arithmetic
//! with exceptions disabled.

use rustc_apfloat::ieee::{Double, Quad, Single};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};

use super::{Expected, start};
use crate::vector::Vector;

/// Rounding mode of FPSCR[RN].
fn rounding(v: &Vector) -> Round {
    [Round::NearestTiesToEven, Round::TowardZero, Round::TowardPositive, Round::TowardNegative]
        [v.input.fpscr as usize & 3]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Sub,
    Mul,
    Div,
    /// a * c + b, and whether the addend or the result is negated.
    Fused {
        sub: bool,
        neg: bool,
    },
}

fn operation(m: &str) -> Option<Op> {
    Some(match m {
        "add" => Op::Add,
        "sub" => Op::Sub,
        "mul" => Op::Mul,
        "div" => Op::Div,
        "madd" => Op::Fused { sub: false, neg: false },
        "msub" => Op::Fused { sub: true, neg: false },
        "nmadd" => Op::Fused { sub: false, neg: true },
        "nmsub" => Op::Fused { sub: true, neg: true },
        _ => return None,
    })
}

/// The result, unless one of the operands or the result is a NaN (the manual's rules for those are another matter).
fn compute<F: Float + Copy>(op: Op, a: F, b: F, c: F, round: Round) -> Option<F> {
    let fused = matches!(op, Op::Fused { .. });
    if a.is_nan() || b.is_nan() || fused && c.is_nan() {
        return None;
    }
    let r: StatusAnd<F> = match op {
        Op::Add => a.add_r(b, round),
        Op::Sub => a.sub_r(b, round),
        Op::Mul => a.mul_r(b, round),
        Op::Div => a.div_r(b, round),
        Op::Fused { sub, neg } => {
            let mut r = a.mul_add_r(c, if sub { -b } else { b }, round);
            if neg && !r.value.is_nan() {
                r.value = -r.value;
            }
            r
        }
    };
    (!r.status.contains(Status::INVALID_OP) && !r.value.is_nan()).then_some(r.value)
}

fn double(x: u64) -> Double {
    Double::from_bits(x.into())
}

/// A result in single precision of operands in double format, rounded once: through quads, which hold every sum of
/// singles' products exactly enough.
fn single_of(op: Op, a: u64, b: u64, c: u64, round: Round) -> Option<u64> {
    let to = |x: u64| -> Option<Single> {
        let r: StatusAnd<Single> = double(x).convert(&mut false);
        r.status.is_empty().then_some(r.value)
    };
    let r = compute(
        op,
        to(a)?,
        to(b)?,
        if matches!(op, Op::Fused { .. }) { to(c)? } else { Single::ZERO },
        round,
    )?;
    let wide: StatusAnd<Double> = r.convert(&mut false);
    Some(wide.value.to_bits() as u64)
}

/// Whether the instruction's exceptions are all disabled.
fn disabled(v: &Vector) -> bool {
    v.input.fpscr & 0xf8 == 0
}

fn scalar(v: &Vector) -> Option<(u32, u64)> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let hi = |n: u32| (v.input.vsr[n as usize] >> 64) as u64;
    let round = rounding(v);
    let (op, single, t, a, b, c) = if v.row.chapter == "fp" {
        let name = m.strip_prefix('f')?;
        let (name, single) = name.strip_suffix('s').map_or((name, false), |n| (n, true));
        let op = operation(name)?;
        let b = if op == Op::Mul { i.frc() } else { i.frb() };
        (op, single, i.frt(), hi(i.fra()), hi(b), hi(i.frc()))
    } else {
        let name = m.strip_prefix("xs")?;
        let (name, single) =
            if let Some(n) = name.strip_suffix("dp") { (n, false) } else { (name.strip_suffix("sp")?, true) };
        let (xt, xa, xb) = (i.xt(), i.xa(), i.xb());
        // The a form adds the target, the m form multiplies by it.
        if let Some(op) = name.strip_suffix('a').and_then(operation) {
            (op, single, xt, hi(xa), hi(xt), hi(xb))
        } else if let Some(op) = name.strip_suffix('m').and_then(operation) {
            (op, single, xt, hi(xa), hi(xb), hi(xt))
        } else {
            (operation(name)?, single, xt, hi(xa), hi(xb), 0)
        }
    };
    let r = if single {
        single_of(op, a, b, c, round)?
    } else {
        compute(op, double(a), double(b), double(c), round)?.to_bits() as u64
    };
    Some((t, r))
}

fn vector(v: &Vector) -> Option<(u32, u128)> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let name = m.strip_prefix("xv")?;
    let (name, single) =
        if let Some(n) = name.strip_suffix("dp") { (n, false) } else { (name.strip_suffix("sp")?, true) };
    let get = |n: u32| v.input.vsr[n as usize];
    let (t, a, b) = (get(i.xt()), get(i.xa()), get(i.xb()));
    let (op, a, b, c) = if let Some(op) = name.strip_suffix('a').and_then(operation) {
        (op, a, t, b)
    } else if let Some(op) = name.strip_suffix('m').and_then(operation) {
        (op, a, b, t)
    } else {
        (operation(name)?, a, b, 0)
    };
    let round = rounding(v);
    let w = if single { 32 } else { 64 };
    let mask = u128::MAX >> (128 - w);
    let mut r = 0;
    for k in 0..128 / w {
        let e = |x: u128| x >> (k * w) & mask;
        let x = if single {
            compute(op, Single::from_bits(e(a)), Single::from_bits(e(b)), Single::from_bits(e(c)), round)?
                .to_bits()
        } else {
            compute(op, Double::from_bits(e(a)), Double::from_bits(e(b)), Double::from_bits(e(c)), round)?
                .to_bits()
        };
        r |= x << (k * w);
    }
    Some((i.xt(), r))
}

fn quad(v: &Vector) -> Option<(u32, u128)> {
    let i = v.insn;
    let name = v.row.mnemonic.strip_prefix("xs")?.strip_suffix("qp")?;
    let op = operation(name)?;
    let get = |n: u32| Quad::from_bits(v.input.vsr[32 + n as usize]);
    let (t, a, b) = (get(i.vrt()), get(i.vra()), get(i.vrb()));
    let r = if matches!(op, Op::Fused { .. }) {
        compute(op, a, t, b, rounding(v))?
    } else {
        compute(op, a, b, b, rounding(v))?
    };
    Some((32 + i.vrt(), r.to_bits()))
}

/// Conversions between formats and moves of the sign.
fn unary(v: &Vector) -> Option<(u32, u128)> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let high = |x: u64| u128::from(x) << 64;
    let sign = 1u64 << 63;
    let (fa, fb) =
        ((v.input.vsr[i.fra() as usize] >> 64) as u64, (v.input.vsr[i.frb() as usize] >> 64) as u64);
    let (xa, xb) = (v.input.vsr[i.xa() as usize], v.input.vsr[i.xb() as usize]);
    let (ha, hb) = ((xa >> 64) as u64, (xb >> 64) as u64);
    let ones = |w: u32| (0..128 / w).fold(0u128, |r, k| r | 1 << (k * w + w - 1));
    Some(match m {
        "fmr" => (i.frt(), high(fb)),
        "fneg" => (i.frt(), high(fb ^ sign)),
        "fabs" => (i.frt(), high(fb & !sign)),
        "fnabs" => (i.frt(), high(fb | sign)),
        "fcpsgn" => (i.frt(), high(fb & !sign | fa & sign)),
        "fsel" => {
            let c = (v.input.vsr[i.frc() as usize] >> 64) as u64;
            let a = f64::from_bits(fa);
            (i.frt(), high(if a >= 0.0 { c } else { fb }))
        }
        "fmrgew" => (i.frt(), high(fa & !0xffff_ffff | fb >> 32)),
        "fmrgow" => (i.frt(), high(fa << 32 | fb & 0xffff_ffff)),
        "xsabsdp" => (i.xt(), high(hb & !sign)),
        "xsnabsdp" => (i.xt(), high(hb | sign)),
        "xsnegdp" => (i.xt(), high(hb ^ sign)),
        "xscpsgndp" => (i.xt(), high(hb & !sign | ha & sign)),
        "xvabsdp" => (i.xt(), xb & !ones(64)),
        "xvabssp" => (i.xt(), xb & !ones(32)),
        "xvnabsdp" => (i.xt(), xb | ones(64)),
        "xvnabssp" => (i.xt(), xb | ones(32)),
        "xvnegdp" => (i.xt(), xb ^ ones(64)),
        "xvnegsp" => (i.xt(), xb ^ ones(32)),
        "xvcpsgndp" => (i.xt(), xb & !ones(64) | xa & ones(64)),
        "xvcpsgnsp" => (i.xt(), xb & !ones(32) | xa & ones(32)),
        "xsabsqp" => (32 + i.vrt(), v.input.vsr[32 + i.vrb() as usize] & !(1 << 127)),
        "xsnabsqp" => (32 + i.vrt(), v.input.vsr[32 + i.vrb() as usize] | 1 << 127),
        "xsnegqp" => (32 + i.vrt(), v.input.vsr[32 + i.vrb() as usize] ^ 1 << 127),
        "xvcvsxwdp" => (
            i.xt(),
            high(f64::from((xb >> 96) as i32).to_bits()) | u128::from(f64::from((xb >> 32) as i32).to_bits()),
        ),
        "xvcvuxwdp" => (
            i.xt(),
            high(f64::from((xb >> 96) as u32).to_bits()) | u128::from(f64::from((xb >> 32) as u32).to_bits()),
        ),
        "fsqrt" | "xssqrtdp" | "fsqrts" | "xssqrtsp" => {
            // The host's square root, to nearest.
            let x = f64::from_bits(if m.starts_with('f') { fb } else { hb });
            let t = if m.starts_with('f') { i.frt() } else { i.xt() };
            if v.input.fpscr & 3 != 0 || x.is_nan() || x < 0.0 {
                return None;
            }
            let single = m.ends_with('s') || m.ends_with("sp");
            let r = if single { f64::from((x as f32).sqrt()) } else { x.sqrt() };
            if single && f64::from(x as f32).to_bits() != x.to_bits() {
                return None;
            }
            (t, high(r.to_bits()))
        }
        "frsp" | "xsrsp" => {
            let x = double(if m == "frsp" { fb } else { hb });
            if x.is_nan() {
                return None;
            }
            let r: StatusAnd<Single> = x.convert_r(rounding(v), &mut false);
            let r: StatusAnd<Double> = r.value.convert(&mut false);
            (if m == "frsp" { i.frt() } else { i.xt() }, high(r.value.to_bits() as u64))
        }
        "fcfid" | "fcfidu" | "fcfids" | "fcfidus" | "xscvsxddp" | "xscvuxddp" | "xscvsxdsp" | "xscvuxdsp" => {
            let fp = m.starts_with('f');
            let (x, t) = if fp { (fb, i.frt()) } else { (hb, i.xt()) };
            let unsigned = m.contains("idu") || m.contains("ux");
            let single = m.ends_with('s') || m.ends_with("sp");
            let n = if unsigned { i128::from(x) } else { i128::from(x as i64) };
            let round = rounding(v);
            let r = if single {
                let r: StatusAnd<Double> = Single::from_i128_r(n, round).value.convert(&mut false);
                r.value
            } else {
                Double::from_i128_r(n, round).value
            };
            (t, high(r.to_bits() as u64))
        }
        _ => return None,
    })
}

/// The value of a floating-point result.
pub fn model(v: &Vector) -> Option<Expected> {
    if !disabled(v) {
        return None;
    }
    let (t, r) = match scalar(v) {
        Some((t, r)) => (t, u128::from(r) << 64),
        None => vector(v).or_else(|| quad(v)).or_else(|| unary(v))?,
    };
    let mut out = start(v);
    out.state.vsr[t as usize] = r;
    Some(Expected { out, values_only: true })
}
