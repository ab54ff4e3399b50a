//! Binary floating point through `rustc_apfloat` (Book I, 4.6 and 7.6): values, and for arithmetic, square roots,
//! conversions, rounding to integers and compares all that happens to the FPSCR and the exceptions that are enabled.

use rustc_apfloat::ieee::{Double, Quad, Single};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};

use super::status::{self, *};
use super::{Expected, start};
use crate::vector::Vector;

/// Rounding mode of FPSCR[RN].
pub fn rounding(v: &Vector) -> Round {
    [Round::NearestTiesToEven, Round::TowardZero, Round::TowardPositive, Round::TowardNegative]
        [v.input.fpscr as usize & 3]
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Op {
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

/// A result and what happened.
#[derive(Clone, Copy)]
pub struct Done<F> {
    pub value: F,
    pub exc: u64,
    /// The rounded magnitude is larger; `None` after overflow.
    pub fr: Option<bool>,
    pub fi: bool,
}

impl<F: Float + Copy> Done<F> {
    pub fn quiet(value: F, exc: u64) -> Self {
        Done { value, exc, fr: Some(false), fi: false }
    }

    /// What the rounded result and the one cut off say; `beyond` is whether the exact magnitude is a power of two or
    /// more above the largest number, in case it matters. Power finds results tiny before rounding.
    pub fn rounded(run: impl Fn(Round) -> StatusAnd<F>, round: Round, beyond: impl Fn() -> bool) -> Self {
        let (r, cut) = (run(round), run(Round::TowardZero));
        let fi = r.status.contains(Status::INEXACT);
        // The library tells of an overflow only when the result is an infinity.
        let largest = fi && r.value.abs().bitwise_eq(F::largest());
        let over = r.status.contains(Status::OVERFLOW) || largest && beyond();
        let tiny = !cut.value.is_normal() || cut.value.is_denormal();
        let mut exc = if fi { XX } else { 0 };
        if over {
            exc |= OX;
        } else if fi && tiny && cut.value.is_finite() {
            exc |= UX;
        }
        if r.status.contains(Status::DIV_BY_ZERO) {
            exc |= ZX;
        }
        let larger = r.value.abs().to_bits() > cut.value.abs().to_bits();
        Done { value: r.value, exc, fr: (!over).then_some(fi && larger), fi }
    }

    /// FPRF.
    fn class(&self) -> u64 {
        class(&self.value)
    }
}

/// FPRF of a value in its own format.
fn class<F: Float + Copy>(x: &F) -> u64 {
    match (x.is_nan(), x.is_negative()) {
        (true, _) => 0b10001,
        (_, true) if x.is_infinite() => 0b01001,
        (_, false) if x.is_infinite() => 0b00101,
        (_, true) if x.is_zero() => 0b10010,
        (_, false) if x.is_zero() => 0b00010,
        (_, true) if x.is_denormal() => 0b11000,
        (_, false) if x.is_denormal() => 0b10100,
        (_, true) => 0b01000,
        _ => 0b00100,
    }
}

/// The quiet NaN of a NaN: the leftmost bit of its fraction set.
pub fn quiet<F: Float + Copy>(x: F) -> F {
    F::from_bits(x.to_bits() | 1 << (F::PRECISION - 2))
}

/// The positive quiet NaN without payload.
fn default_nan<F: Float + Copy>() -> F {
    F::from_bits(F::INFINITY.to_bits() | 1 << (F::PRECISION - 2))
}

/// One operation. The NaN that goes on is the first of a, b (of fused operations the addend) and c.
pub fn compute<F: Float + FloatConvert<Quad> + Copy>(op: Op, a: F, b: F, c: F, round: Round) -> Done<F> {
    let fused = matches!(op, Op::Fused { .. });
    let mut exc = 0;
    if [a, b].iter().chain(fused.then_some(&c)).any(|x| x.is_signaling()) {
        exc |= VXSNAN;
    }
    let inf_by_zero = |x: F, y: F| x.is_infinite() && y.is_zero() || x.is_zero() && y.is_infinite();
    let (product, factors) = match op {
        Op::Mul => (inf_by_zero(a, b), true),
        Op::Fused { .. } => (inf_by_zero(a, c), true),
        _ => (false, false),
    };
    if factors && product {
        exc |= VXIMZ;
    }
    if let Some(&n) = [a, b].iter().chain(fused.then_some(&c)).find(|x| x.is_nan()) {
        return Done::quiet(quiet(n), exc);
    }
    if exc != 0 {
        return Done::quiet(default_nan(), exc);
    }
    let run = |round: Round| -> StatusAnd<F> {
        match op {
            Op::Add => a.add_r(b, round),
            Op::Sub => a.sub_r(b, round),
            Op::Mul => a.mul_r(b, round),
            Op::Div => a.div_r(b, round),
            Op::Fused { sub, .. } => a.mul_add_r(c, if sub { -b } else { b }, round),
        }
    };
    let r = run(round);
    if r.value.is_nan() {
        let exc = match op {
            Op::Div if a.is_infinite() => VXIDI,
            Op::Div => VXZDZ,
            _ => VXISI,
        };
        return Done::quiet(default_nan(), exc);
    }
    let beyond = || {
        if F::PRECISION == Quad::PRECISION {
            return run(Round::NearestTiesToEven).status.contains(Status::OVERFLOW);
        }
        // Quads hold what singles and doubles give, but for a last bit that does not matter here.
        let [a, b, c] = [a, b, c].map(|x| -> Quad { x.convert(&mut false).value });
        let zero = Round::TowardZero;
        let q = match op {
            Op::Add => a.add_r(b, zero),
            Op::Sub => a.sub_r(b, zero),
            Op::Mul => a.mul_r(b, zero),
            Op::Div => a.div_r(b, zero),
            Op::Fused { sub, .. } => a.mul_add_r(c, if sub { -b } else { b }, zero),
        };
        q.value.ilogb() > F::MAX_EXP
    };
    let mut d = Done::rounded(run, round, beyond);
    if matches!(op, Op::Div) && b.is_zero() && a.is_finite() {
        d = Done::quiet(d.value, ZX);
    }
    if let Op::Fused { neg: true, .. } = op {
        d.value = -d.value;
    }
    d
}

fn double(x: u64) -> Double {
    Double::from_bits(x.into())
}

/// A single in the format of doubles; a NaN keeps its fraction.
pub fn to_double(x: Single) -> u64 {
    if x.is_nan() {
        let b = x.to_bits() as u64;
        return b >> 31 << 63 | 0x7ff << 52 | (b & 0x7f_ffff) << 29;
    }
    let r: StatusAnd<Double> = x.convert(&mut false);
    r.value.to_bits() as u64
}

/// A double that is a single.
pub fn to_single(x: u64) -> Option<Single> {
    let d = double(x);
    let s = if d.is_nan() {
        Single::from_bits(u128::from(x >> 63 << 31 | 0xff << 23 | x >> 29 & 0x7f_ffff))
    } else {
        let r: StatusAnd<Single> = d.convert(&mut false);
        r.value
    };
    (to_double(s) == x).then_some(s)
}

/// A root to nearest or another mode, by integers: the root of `x` scaled to an even exponent.
fn root<F: Float + Copy>(x: F, round: Round) -> Done<F> {
    if x.is_nan() {
        return Done::quiet(quiet(x), if x.is_signaling() { VXSNAN } else { 0 });
    }
    if x.is_zero() {
        return Done::quiet(x, 0);
    }
    if x.is_negative() {
        return Done::quiet(default_nan(), VXSQRT);
    }
    if x.is_infinite() {
        return Done::quiet(x, 0);
    }
    // x = m * 2^e with m of 53 bits or less, exactly.
    let e = x.ilogb() - F::PRECISION as i32 + 1;
    let m = x.scalbn(-e).to_u128(128).value;
    let up = if (e - 64) & 1 == 0 { 64 } else { 65 };
    let wide = m << up;
    let mut r = 0u128;
    for k in (0..64).rev() {
        let t = r | 1 << k;
        if t * t <= wide {
            r = t;
        }
    }
    // One more bit says that something is left.
    let r = r << 1 | u128::from(r * r != wide);
    let scale = (e - up) / 2 - 1;
    let run = |round: Round| {
        let s: StatusAnd<F> = F::from_u128_r(r, round);
        StatusAnd { value: s.value.scalbn(scale), status: s.status }
    };
    Done::rounded(run, round, || false)
}

/// A scalar result: register, bits, and what happened.
struct Scalar {
    t: u32,
    bits: u128,
    event: Event,
}

pub fn event<F: Float + Copy>(d: &Done<F>) -> Event {
    Event { exc: d.exc, fr: d.fr, fi: d.fi, fprf: Some(d.class()) }
}

/// Whether the instruction's exceptions are all disabled.
fn disabled(v: &Vector) -> bool {
    v.input.fpscr & 0xf8 == 0
}

/// Arithmetic and roots of scalars.
fn scalar(v: &Vector) -> Option<Scalar> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let hi = |n: u32| (v.input.vsr[n as usize] >> 64) as u64;
    let round = rounding(v);
    let fp = v.row.chapter == "fp";
    let (name, single) = if fp {
        let name = m.strip_prefix('f')?;
        name.strip_suffix('s').map_or((name, false), |n| (n, true))
    } else {
        let name = m.strip_prefix("xs")?;
        if let Some(n) = name.strip_suffix("dp") { (n, false) } else { (name.strip_suffix("sp")?, true) }
    };
    let done = |t: u32, single: Option<Done<Single>>, double: Option<Done<Double>>| {
        if let Some(d) = single {
            return Some(Scalar { t, bits: u128::from(to_double(d.value)) << 64, event: event(&d) });
        }
        double.map(|d| Scalar { t, bits: d.value.to_bits() << 64, event: event(&d) })
    };
    if name == "sqrt" {
        let (t, x) = if fp { (i.frt(), hi(i.frb())) } else { (i.xt(), hi(i.xb())) };
        return if single {
            done(t, Some(root(to_single(x)?, round)), None)
        } else {
            done(t, None, Some(root(double(x), round)))
        };
    }
    let (op, t, a, b, c) = if fp {
        let op = operation(name)?;
        let b = if op == Op::Mul { i.frc() } else { i.frb() };
        (op, i.frt(), hi(i.fra()), hi(b), hi(i.frc()))
    } else {
        let (xt, xa, xb) = (i.xt(), i.xa(), i.xb());
        // The a form adds the target, the m form multiplies by it.
        if let Some(op) = name.strip_suffix('a').and_then(operation) {
            (op, xt, hi(xa), hi(xt), hi(xb))
        } else if let Some(op) = name.strip_suffix('m').and_then(operation) {
            (op, xt, hi(xa), hi(xb), hi(xt))
        } else {
            (operation(name)?, xt, hi(xa), hi(xb), 0)
        }
    };
    if single {
        let c = if matches!(op, Op::Fused { .. }) { to_single(c)? } else { Single::ZERO };
        done(t, Some(compute(op, to_single(a)?, to_single(b)?, c, round)), None)
    } else {
        done(t, None, Some(compute(op, double(a), double(b), double(c), round)))
    }
}

/// Arithmetic and roots of elements: the result and all exceptions.
fn vector(v: &Vector) -> Option<Scalar> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let name = m.strip_prefix("xv")?;
    let (name, single) =
        if let Some(n) = name.strip_suffix("dp") { (n, false) } else { (name.strip_suffix("sp")?, true) };
    let get = |n: u32| v.input.vsr[n as usize];
    let (t, a, b) = (get(i.xt()), get(i.xa()), get(i.xb()));
    let (op, a, b, c) = if name == "sqrt" {
        (None, b, 0, 0)
    } else if let Some(op) = name.strip_suffix('a').and_then(operation) {
        (Some(op), a, t, b)
    } else if let Some(op) = name.strip_suffix('m').and_then(operation) {
        (Some(op), a, b, t)
    } else {
        (Some(operation(name)?), a, b, 0)
    };
    let round = rounding(v);
    let w = if single { 32 } else { 64 };
    let mask = u128::MAX >> (128 - w);
    let (mut bits, mut exc) = (0, 0);
    for k in 0..128 / w {
        let e = |x: u128| x >> (k * w) & mask;
        fn element<F: Float + FloatConvert<Quad> + Copy>(
            op: Option<Op>,
            x: [u128; 3],
            round: Round,
        ) -> (u128, u64) {
            let [a, b, c] = x.map(F::from_bits);
            let d = op.map_or_else(|| root(a, round), |op| compute(op, a, b, c, round));
            (d.value.to_bits(), d.exc)
        }
        let x = [e(a), e(b), e(c)];
        let (r, x) = if single { element::<Single>(op, x, round) } else { element::<Double>(op, x, round) };
        bits |= r << (k * w);
        exc |= x;
    }
    Some(Scalar { t: i.xt(), bits, event: Event { exc, ..Event::default() } })
}

/// Quad precision; RO in the record bit's place rounds to odd.
fn quad(v: &Vector) -> Option<Scalar> {
    let i = v.insn;
    let name = v.row.mnemonic.strip_prefix("xs")?.strip_suffix("qp")?;
    let op = operation(name)?;
    let get = |n: u32| Quad::from_bits(v.input.vsr[32 + n as usize]);
    let (t, a, b) = (get(i.vrt()), get(i.vra()), get(i.vrb()));
    let d = if matches!(op, Op::Fused { .. }) {
        compute(op, a, t, b, rounding(v))
    } else {
        compute(op, a, b, b, rounding(v))
    };
    Some(Scalar { t: 32 + i.vrt(), bits: d.value.to_bits(), event: event(&d) })
}

/// Doubles to integers: the field of the result in the register.
fn to_integer(v: &Vector) -> Option<Scalar> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let fp = v.row.chapter == "fp";
    // Width, signed, whether towards zero.
    let (width, signed, zero) = match m.trim_end_matches('z') {
        "fctid" => (64, true, m.ends_with('z')),
        "fctidu" => (64, false, m.ends_with('z')),
        "fctiw" => (32, true, m.ends_with('z')),
        "fctiwu" => (32, false, m.ends_with('z')),
        "xscvdpsxds" => (64, true, true),
        "xscvdpuxds" => (64, false, true),
        "xscvdpsxws" => (32, true, true),
        "xscvdpuxws" => (32, false, true),
        _ => return None,
    };
    let source = if fp { i.frb() } else { i.xb() };
    let x = double((v.input.vsr[source as usize] >> 64) as u64);
    let round = if zero { Round::TowardZero } else { rounding(v) };
    let whole = x.round_to_integral(round);
    let (min, max) = if signed {
        (i128::MIN >> (128 - width), i128::MAX >> (128 - width))
    } else {
        (0, (1i128 << width) - 1)
    };
    let (n, exc) = if x.is_nan() {
        (min, VXCVI | if x.is_signaling() { VXSNAN } else { 0 })
    } else {
        let n = whole.value.to_i128(128);
        let fits = !n.status.contains(Status::INVALID_OP) && (min..=max).contains(&n.value);
        if fits {
            (n.value, if whole.value == x { 0 } else { XX })
        } else {
            (if x.is_negative() { min } else { max }, VXCVI)
        }
    };
    let fi = exc & XX != 0;
    let larger = whole.value.abs().to_bits() > x.abs().to_bits();
    let bits = (n as u128) << (128 - width) >> (128 - width);
    // Words stand in the right half of the doubleword; what is beside them is undefined or a copy.
    let bits = if width == 32 && !fp { bits << 32 | bits } else { bits };
    let t = if fp { i.frt() } else { i.xt() };
    Some(Scalar { t, bits: bits << 64, event: Event { exc, fr: Some(fi && larger), fi, fprf: None } })
}

/// Doubles rounded to integers in the format, singles of doubles, integers to numbers.
fn rounded(v: &Vector) -> Option<Scalar> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let fp = v.row.chapter == "fp";
    let (t, source) = if fp { (i.frt(), i.frb()) } else { (i.xt(), i.xb()) };
    let x = (v.input.vsr[source as usize] >> 64) as u64;
    let d = double(x);
    let nan = |d: Double| Done::quiet(quiet(d), if d.is_signaling() { VXSNAN } else { 0 });
    let done = |d: Done<Double>| Some(Scalar { t, bits: d.value.to_bits() << 64, event: event(&d) });
    let round = match m {
        "frin" | "xsrdpi" => Some(Round::NearestTiesToAway),
        "friz" | "xsrdpiz" => Some(Round::TowardZero),
        "frip" | "xsrdpip" => Some(Round::TowardPositive),
        "frim" | "xsrdpim" => Some(Round::TowardNegative),
        "xsrdpic" => Some(rounding(v)),
        _ => None,
    };
    if let Some(round) = round {
        if d.is_nan() {
            return done(nan(d));
        }
        let r = d.round_to_integral(round).value;
        let fi = m == "xsrdpic" && r != d;
        let fr = fi && r.abs().to_bits() > d.abs().to_bits();
        return done(Done { value: r, exc: if fi { XX } else { 0 }, fr: Some(fr), fi });
    }
    let from_integer = matches!(
        m,
        "fcfid" | "fcfidu" | "fcfids" | "fcfidus" | "xscvsxddp" | "xscvuxddp" | "xscvsxdsp" | "xscvuxdsp"
    );
    let single =
        m.ends_with("ids") || m.ends_with("idus") || m.ends_with("dsp") || m == "frsp" || m == "xsrsp";
    if from_integer {
        let unsigned = m.contains("idu") || m.contains("ux");
        let n = if unsigned { i128::from(x) } else { i128::from(x as i64) };
        if single {
            let run = |r: Round| Single::from_i128_r(n, r);
            let s = Done::rounded(run, rounding(v), || false);
            return Some(Scalar { t, bits: u128::from(to_double(s.value)) << 64, event: event(&s) });
        }
        let run = |r: Round| Double::from_i128_r(n, r);
        return done(Done::rounded(run, rounding(v), || false));
    }
    if m == "frsp" || m == "xsrsp" {
        if d.is_nan() {
            // The fraction is cut to that of a single.
            let q = nan(Double::from_bits(u128::from(x & !0x1fff_ffff)));
            let exc = if d.is_signaling() { VXSNAN } else { 0 };
            return done(Done::quiet(quiet(q.value), exc));
        }
        let run = |r: Round| -> StatusAnd<Single> { d.convert_r(r, &mut false) };
        let s = Done::rounded(run, rounding(v), || d.ilogb() > 127);
        return Some(Scalar { t, bits: u128::from(to_double(s.value)) << 64, event: event(&s) });
    }
    None
}

/// Compares into a CR field and FPCC.
fn compare(v: &Vector) -> Option<Expected> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let hi = |n: u32| double((v.input.vsr[n as usize] >> 64) as u64);
    fn code<F: Float + Copy>(a: F, b: F, ordered: bool, ve: bool) -> (u64, u64) {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let snan = a.is_signaling() || b.is_signaling();
        match a.partial_cmp(&b) {
            Some(Less) => (8, 0),
            Some(Greater) => (4, 0),
            Some(Equal) => (2, 0),
            None => {
                let vc = ordered && (!snan || !ve);
                (1, if snan { VXSNAN } else { 0 } | if vc { VXVC } else { 0 })
            }
        }
    }
    let ve = v.input.fpscr & VE != 0;
    let (code, exc) = match m {
        "fcmpu" | "fcmpo" => code(hi(i.fra()), hi(i.frb()), m == "fcmpo", ve),
        "xscmpudp" | "xscmpodp" => code(hi(i.xa()), hi(i.xb()), m == "xscmpodp", ve),
        "xscmpuqp" | "xscmpoqp" => {
            let get = |n: u32| Quad::from_bits(v.input.vsr[32 + n as usize]);
            code(get(i.vra()), get(i.vrb()), m == "xscmpoqp", ve)
        }
        _ => return None,
    };
    let e = Event { exc, fprf: Some(code), ..Event::default() };
    Some(status::outcome(v, Sort::Compare, e, false, |s| {
        let at = 28 - 4 * i.bf();
        s.cr = s.cr & !(15 << at) | code << at;
    }))
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
        _ => return None,
    })
}

/// The result of a floating-point instruction.
pub fn model(v: &Vector) -> Option<Expected> {
    if let Some(e) = compare(v) {
        return Some(e);
    }
    let fp = v.row.chapter == "fp";
    let found = scalar(v).or_else(|| quad(v)).or_else(|| to_integer(v)).or_else(|| rounded(v));
    let (sort, found) = match found {
        Some(r) => (Sort::Scalar, Some(r)),
        None => (Sort::Elements, vector(v)),
    };
    if let Some(r) = found {
        // A tiny result without loss is an underflow, too, when that is enabled: no model for it.
        let tiny = v.input.fpscr & 0x20 != 0 && r.event.fprf.is_some_and(|c| c == 0b11000 || c == 0b10100);
        if status::scales(v, r.event.exc) || tiny || sort == Sort::Elements && v.input.fpscr & 0x20 != 0 {
            return None;
        }
        let rc = fp && v.insn.rc();
        return Some(status::outcome(v, sort, r.event, rc, |s| s.vsr[r.t as usize] = r.bits));
    }
    if !disabled(v) {
        return None;
    }
    let (t, r) = unary(v)?;
    let mut out = start(v);
    out.state.vsr[t as usize] = r;
    Some(Expected { out, values_only: true, ignore: 0 })
}
