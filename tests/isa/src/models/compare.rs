//! Compares into registers, minima and maxima, tests and fields of numbers, moves from and to the FPSCR (Book I, 4.6
//! and 7.6), and the arithmetic of VMX (6.10).

use std::cmp::Ordering::{Equal, Greater, Less};

use rustc_apfloat::ieee::{Double, Quad, Single};
use rustc_apfloat::{Float, Round};

use super::float::{Op, compute, quiet};
use super::status::{self, *};
use super::{Expected, exact, start};
use crate::state::State;
use crate::vector::Vector;

/// The result of an element: its bits and the exceptions.
type Element = (u128, u64);

/// The format of a mnemonic's end, in bits.
fn width(m: &str) -> Option<(&str, u32)> {
    m.strip_suffix("dp")
        .map(|n| (n, 64))
        .or_else(|| m.strip_suffix("sp").map(|n| (n, 32)))
        .or_else(|| m.strip_suffix("qp").map(|n| (n, 128)))
}

/// Bits of the fraction, by the width of the format.
fn fraction(w: u32) -> u32 {
    match w {
        32 => 23,
        64 => 52,
        _ => 112,
    }
}

/// Ones in the last `n` bits.
fn ones(n: u32) -> u128 {
    if n == 0 { 0 } else { u128::MAX >> (128 - n) }
}

/// A function on each element of two registers.
fn each(w: u32, a: u128, b: u128, mut f: impl FnMut(u128, u128) -> u128) -> u128 {
    (0..128 / w).fold(0, |r, k| r | (f(a >> (k * w) & ones(w), b >> (k * w) & ones(w)) & ones(w)) << (k * w))
}

/// The larger (or smaller) of two numbers; of zeros the positive (negative) one.
fn extreme<F: Float + Copy>(a: F, b: F, max: bool) -> F {
    let first = match a.partial_cmp(&b) {
        Some(Equal) => a.is_negative() != max,
        o => o == Some(if max { Greater } else { Less }),
    };
    if first { a } else { b }
}

/// A compare or an extreme of two elements.
fn binary<F: Float + Copy>(name: &str, x: u128, y: u128, ve: bool) -> Option<Element> {
    let (a, b) = (F::from_bits(x), F::from_bits(y));
    let max = name.starts_with("max");
    let signaling = a.is_signaling() || b.is_signaling();
    let unordered = a.is_nan() || b.is_nan();
    let snan = if signaling { VXSNAN } else { 0 };
    let truth = |t: bool| if t { u128::MAX } else { 0 };
    Some(match name {
        "cmpeq" => (truth(a == b), snan),
        "cmpge" | "cmpgt" => {
            let t = a > b || name == "cmpge" && a == b;
            let vc = unordered && !(signaling && ve);
            (truth(t), snan | if vc { VXVC } else { 0 })
        }
        "max" | "min" => {
            let r = if a.is_signaling() {
                quiet(a)
            } else if a.is_nan() && b.is_nan() {
                a
            } else if b.is_signaling() {
                quiet(b)
            } else if a.is_nan() {
                b
            } else if b.is_nan() {
                a
            } else {
                extreme(a, b, max)
            };
            (r.to_bits(), snan)
        }
        // Those of C: a > b ? a : b.
        "maxc" | "minc" => (if if max { a > b } else { a < b } { x } else { y }, snan),
        // Those of Java: NaNs go on as they are.
        "maxj" | "minj" => {
            let r = if a.is_nan() {
                x
            } else if b.is_nan() {
                y
            } else {
                extreme(a, b, max).to_bits()
            };
            (r, snan)
        }
        _ => return None,
    })
}

fn two(name: &str, w: u32, a: u128, b: u128, ve: bool) -> Option<Element> {
    match w {
        32 => binary::<Single>(name, a, b, ve),
        64 => binary::<Double>(name, a, b, ve),
        _ => binary::<Quad>(name, a, b, ve),
    }
}

/// CR6 of a compare of all elements.
fn cr6(s: &mut State, r: u128) {
    let code = if r == u128::MAX { 8 } else { u64::from(r == 0) * 2 };
    s.cr = s.cr & !0xf0 | code << 4;
}

/// Compares into registers, minima and maxima.
fn compares(v: &Vector) -> Option<Expected> {
    let (i, m) = (v.insn, v.row.mnemonic.trim_end_matches('.'));
    let (name, w) = width(m.get(2..)?)?;
    let ve = v.input.fpscr & VE != 0;
    let get = |n: u32| v.input.vsr[n as usize];
    let (t, bits, exc) = match (&m[..2], w) {
        ("xs", 128) => {
            let (r, exc) = two(name, w, get(32 + i.vra()), get(32 + i.vrb()), ve)?;
            (32 + i.vrt(), r, exc)
        }
        ("xs", 64) => {
            let (r, exc) = two(name, w, get(i.xa()) >> 64, get(i.xb()) >> 64, ve)?;
            (i.xt(), r << 64, exc)
        }
        ("xv", _) => {
            two(name, w, 0, 0, ve)?;
            let mut all = 0;
            let r = each(w, get(i.xa()), get(i.xb()), |a, b| {
                let (r, exc) = two(name, w, a, b, ve).unwrap_or_default();
                all |= exc;
                r
            });
            (i.xt(), r, all)
        }
        _ => return None,
    };
    let record = m.starts_with("xvcmp") && i.bit(21);
    if record && ve && exc != 0 {
        // No result, and CR6 is undefined.
        return None;
    }
    let e = Event { exc, ..Event::default() };
    Some(status::outcome(v, Sort::Elements, e, false, |s| {
        s.vsr[t as usize] = bits;
        if record {
            cr6(s, bits);
        }
    }))
}

/// The classes that the bits of DCMX stand for, the leftmost first.
fn classes<F: Float + Copy>(x: F) -> u32 {
    let n = u32::from(x.is_negative());
    if x.is_nan() {
        64
    } else if x.is_infinite() {
        32 >> n
    } else if x.is_zero() {
        8 >> n
    } else if x.is_denormal() {
        2 >> n
    } else {
        0
    }
}

fn class(w: u32, x: u128) -> u32 {
    match w {
        32 => classes(Single::from_bits(x)),
        64 => classes(Double::from_bits(x)),
        _ => classes(Quad::from_bits(x)),
    }
}

/// FG and FE, in their places in a CR field, of a test for division (`a` is the dividend) or square root.
fn test(w: u32, a: Option<u128>, b: u128) -> u64 {
    let f = fraction(w);
    let bias = if w == 32 { 127 } else { 1023 };
    let exponent = |x: u128| (x >> f & ones(w - 1 - f)) as i32 - bias;
    let (inf, zero, den) = (48, 12, 3);
    let c = class(w, b);
    let eb = exponent(b);
    let (mut fg, mut fe) = (c & (inf | zero | den) != 0, c & (64 | inf | zero) != 0);
    // The exponents below which digits get lost.
    let least = if w == 32 { -103 } else { -970 };
    match a {
        None => fe |= b >> (w - 1) & 1 != 0 || eb <= least,
        Some(a) => {
            let (ca, ea) = (class(w, a), exponent(a));
            fg |= ca & inf != 0;
            fe |= ca & (64 | inf) != 0 || eb <= 1 - bias || eb >= bias - 2;
            let apart = ea - eb >= bias || ea - eb <= 2 - bias || ea <= least;
            fe |= ca & zero == 0 && apart;
        }
    }
    u64::from(fg) << 2 | u64::from(fe) << 1
}

fn set_cr(s: &mut State, field: u32, code: u64) {
    let at = 28 - 4 * field;
    s.cr = s.cr & !(15 << at) | code << at;
}

/// Tests for software division and square root, and of classes.
fn tests(v: &Vector) -> Option<Expected> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let get = |n: u32| v.input.vsr[n as usize];
    let hi = |n: u32| get(n) >> 64;
    let mut out = start(v);
    let code = match m {
        "ftdiv" => test(64, Some(hi(i.fra())), hi(i.frb())),
        "ftsqrt" => test(64, None, hi(i.frb())),
        "xstdivdp" => test(64, Some(hi(i.xa())), hi(i.xb())),
        "xstsqrtdp" => test(64, None, hi(i.xb())),
        "xvtdivdp" | "xvtdivsp" | "xvtsqrtdp" | "xvtsqrtsp" => {
            let (name, w) = width(m)?;
            let mut code = 0;
            each(w, get(i.xa()), get(i.xb()), |a, b| {
                code |= test(w, (name == "xvtdiv").then_some(a), b);
                0
            });
            code
        }
        "xvtstdcdp" | "xvtstdcsp" => {
            let (_, w) = width(m)?;
            let dcmx = i.bits(25, 25) << 6 | i.bits(29, 29) << 5 | i.bits(11, 15);
            out.state.vsr[i.xt() as usize] =
                each(w, 0, get(i.xb()), |_, b| if class(w, b) & dcmx != 0 { u128::MAX } else { 0 });
            return exact(out);
        }
        "xststdcdp" | "xststdcqp" | "xststdcsp" => {
            let x = if m == "xststdcqp" { get(32 + i.vrb()) } else { hi(i.xb()) };
            let w = if m == "xststdcqp" { 128 } else { 64 };
            let mut c = class(w, x);
            let mut other = false;
            if m == "xststdcsp" {
                // The class it would have as a single; a double that is none of them is told in the last bit.
                let e = x >> 52 & 0x7ff;
                if (1..=0x380).contains(&e) {
                    c = 2 >> (x >> 63 & 1);
                }
                let d = f64::from_bits(x as u64);
                other = if d.is_nan() { x & 0x1fff_ffff != 0 } else { f64::from(d as f32) != d };
            }
            let sign = (x >> (w - 1) & 1) as u64;
            let code = sign << 3 | u64::from(c & i.bits(9, 15) != 0) << 1 | u64::from(other);
            let e = Event { fprf: Some(code), ..Event::default() };
            return Some(status::outcome(v, Sort::Compare, e, false, |s| set_cr(s, i.bf(), code)));
        }
        "xscmpexpdp" | "xscmpexpqp" => {
            let quad = m.ends_with("qp");
            let (w, a, b) =
                if quad { (128, get(32 + i.vra()), get(32 + i.vrb())) } else { (64, hi(i.xa()), hi(i.xb())) };
            let e = |x: u128| x >> fraction(w) & ones(w - 1 - fraction(w));
            let code = match e(a).cmp(&e(b)) {
                _ if (class(w, a) | class(w, b)) & 64 != 0 => 1,
                Less => 8,
                Greater => 4,
                Equal => 2,
            };
            let e = Event { fprf: Some(code), ..Event::default() };
            return Some(status::outcome(v, Sort::Compare, e, false, |s| set_cr(s, i.bf(), code)));
        }
        _ => return None,
    };
    set_cr(&mut out.state, i.bf(), 8 | code);
    exact(out)
}

/// Exponents and significands, taken out and put in.
fn fields(v: &Vector) -> Option<Expected> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let (name, w) = width(m)?;
    let get = |n: u32| v.input.vsr[n as usize];
    let f = fraction(w);
    let exponents = ones(w - 1 - f) << f;
    let exponent = |x: u128| (x & exponents) >> f;
    let significand = |x: u128| {
        let e = exponent(x);
        x & ones(f) | u128::from(e != 0 && e != exponents >> f) << f
    };
    let insert = |x: u128, e: u128| x & !exponents | e << f & exponents;
    let (xt, xa, xb) = (i.xt() as usize, get(i.xa()), get(i.xb()));
    let (vt, va, vb) = (32 + i.vrt() as usize, get(32 + i.vra()), get(32 + i.vrb()));
    let mut out = start(v);
    let s = &mut out.state;
    match (name, w) {
        ("xscpsgn", 128) => s.vsr[vt] = va & 1 << 127 | vb & ones(127),
        ("xsiexp", 64) => {
            let (a, b) = (s.gpr[i.ra() as usize], s.gpr[i.rb() as usize]);
            s.vsr[xt] = insert(a.into(), b.into()) << 64;
        }
        ("xsiexp", 128) => s.vsr[vt] = insert(va, vb >> 64),
        ("xviexp", _) => s.vsr[xt] = each(w, xa, xb, insert),
        ("xsxexp", 64) => s.gpr[i.rt() as usize] = exponent(xb >> 64) as u64,
        ("xsxsig", 64) => s.gpr[i.rt() as usize] = significand(xb >> 64) as u64,
        ("xsxexp", 128) => s.vsr[vt] = exponent(vb) << 64,
        ("xsxsig", 128) => s.vsr[vt] = significand(vb),
        ("xvxexp", _) => s.vsr[xt] = each(w, 0, xb, |_, b| exponent(b)),
        ("xvxsig", _) => s.vsr[xt] = each(w, 0, xb, |_, b| significand(b)),
        _ => return None,
    }
    exact(out)
}

/// Moves from and to the FPSCR.
fn registers(v: &Vector) -> Option<Expected> {
    /// The decimal rounding mode.
    const DRN: u64 = 7 << 32;
    /// DRN, the enables, NI and RN.
    const CONTROL: u64 = DRN | 0xff;
    /// Those and FR, FI and FPRF.
    const SHOWN: u64 = CONTROL | 0x7_f000;
    /// The exceptions, each by its bit, and FX.
    const STICKY: u64 = 0x9ff8_0700;
    let (i, m) = (v.insn, v.row.mnemonic);
    let old = v.input.fpscr;
    let b = (v.input.vsr[i.frb() as usize] >> 64) as u64;
    let put = |mask: u64, x: u64| old & !mask | x & mask;
    let field = |n: u32, w: u32| 60 - 4 * (n + 8 * (1 - w));
    let (mut new, mut given, mut cr) = (old, None, None);
    match m {
        "mffs" => given = Some(old),
        "mffsl" => given = Some(old & SHOWN),
        "mffsce" => (new, given) = (old & !0xf8, Some(old)),
        "mffscrn" => (new, given) = (put(3, b), Some(old & CONTROL)),
        "mffscrni" => (new, given) = (put(3, i.bits(19, 20).into()), Some(old & CONTROL)),
        "mffscdrn" => (new, given) = (put(DRN, b), Some(old & CONTROL)),
        "mffscdrni" => {
            (new, given) = (put(DRN, u64::from(i.bits(18, 20)) << 32), Some(old & CONTROL));
        }
        "mcrfs" => {
            let at = 28 - 4 * i.bits(11, 13);
            cr = Some(old >> at & 15);
            new = old & !(15 << at & STICKY);
        }
        "mtfsb0" => new = old & !(1 << (31 - i.bits(6, 10))),
        "mtfsb1" => {
            let bit = 1 << (31 - i.bits(6, 10));
            new = old | bit;
            if bit & STICKY & !old != 0 {
                new |= 1 << 31;
            }
        }
        "mtfsfi" => {
            let at = field(i.bf(), i.bits(15, 15));
            new = put(15 << at, u64::from(i.bits(16, 19)) << at);
        }
        "mtfsf" => {
            let mask = (0..8).filter(|&n| i.bit(7 + n)).fold(0, |r, n| r | 15u64 << field(n, i.bits(15, 15)));
            new = put(if i.bit(6) { u64::MAX } else { mask }, b);
        }
        _ => return None,
    }
    // Bits that do not exist stay zero. FX is not set again; FEX and VX follow from the others.
    let after = Vector { input: State { fpscr: new & 0x7_ffff_f7ff, ..v.input.clone() }, ..v.clone() };
    let rc = !matches!(m, "mcrfs" | "mffsl" | "mffsce") && !m.starts_with("mffsc") && i.rc();
    Some(status::outcome(&after, Sort::Products, Event::default(), rc, |s| {
        if let Some(x) = given {
            s.vsr[i.frt() as usize] = u128::from(x) << 64;
        }
        if let Some(code) = cr {
            set_cr(s, i.bf(), code);
        }
    }))
}

/// VMX: rounding to nearest, no exceptions, and denormal numbers are zero when VSCR[NJ] says so.
fn vmx(v: &Vector) -> Option<Expected> {
    let (i, m) = (v.insn, v.row.mnemonic.trim_end_matches('.'));
    let nj = v.input.vscr >> 16 & 1 != 0;
    let flush = |x: u128| if nj && x & 0x7f80_0000 == 0 { x & 0x8000_0000 } else { x };
    let number = |x: u128| Single::from_bits(flush(x));
    let get = |n: u32| v.input.vsr[32 + n as usize];
    let (ra, rb, rc) = (get(i.vra()), get(i.vrb()), get(i.vrc()));
    let arithmetic = |op: Op, k: u32| {
        let e = |x: u128| number(x >> (32 * k) & ones(32));
        flush(compute(op, e(ra), e(rb), e(rc), Round::NearestTiesToEven).value.to_bits())
    };
    let op = match m {
        "vaddfp" => Some(Op::Add),
        "vsubfp" => Some(Op::Sub),
        "vmaddfp" => Some(Op::Fused { sub: false, neg: false }),
        "vnmsubfp" => Some(Op::Fused { sub: true, neg: true }),
        _ => None,
    };
    let truth = |t: bool| if t { u128::MAX } else { 0 };
    let r = if let Some(op) = op {
        (0..4).fold(0, |r, k| r | arithmetic(op, k) << (32 * k))
    } else {
        if !matches!(m, "vcmpeqfp" | "vcmpgefp" | "vcmpgtfp" | "vcmpbfp" | "vmaxfp" | "vminfp") {
            return None;
        }
        each(32, ra, rb, |x, y| {
            let (a, b) = (number(x), number(y));
            match m {
                "vcmpeqfp" => truth(a == b),
                "vcmpgefp" => truth(a >= b),
                "vcmpgtfp" => truth(a > b),
                "vcmpbfp" => {
                    let above = !matches!(a.partial_cmp(&b), Some(Less | Equal));
                    let below = !matches!(a.partial_cmp(&-b), Some(Greater | Equal));
                    u128::from(above) << 31 | u128::from(below) << 30
                }
                _ if a.is_nan() => quiet(a).to_bits(),
                _ if b.is_nan() => quiet(b).to_bits(),
                _ => extreme(a, b, m == "vmaxfp").to_bits(),
            }
        })
    };
    let mut out = start(v);
    out.state.vsr[32 + i.vrt() as usize] = r;
    if m.starts_with("vcmp") && i.bit(21) {
        if m == "vcmpbfp" {
            set_cr(&mut out.state, 6, u64::from(r == 0) << 1);
        } else {
            cr6(&mut out.state, r);
        }
    }
    exact(out)
}

/// The result of one of these instructions.
pub fn model(v: &Vector) -> Option<Expected> {
    match v.row.chapter {
        "vmx_fp" => vmx(v),
        "fp" => tests(v).or_else(|| registers(v)),
        _ => compares(v).or_else(|| tests(v)).or_else(|| fields(v)),
    }
}
