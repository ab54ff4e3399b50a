//! VMX floating point (Book I, 6.10): singles, round to nearest, no FPSCR; with VSCR[NJ] denormals are zeros.

use isa::fp::{FpForm, FpInsn, FpOp, IntTy};

use crate::{
    FpRegs,
    arith::{Kind, arith, int_value},
    compare, fast,
    soft::{Class, Env, Num, Rm, SINGLE, pack, round, round_int, unpack},
};

/// VSCR[NJ].
const NJ: u32 = 1 << 16;
/// VSCR[SAT].
const SAT: u32 = 1;

/// A denormal made a zero.
fn flush(bits: u32) -> u32 {
    if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits }
}

/// One instruction.
pub fn exec<R: FpRegs>(r: &mut R, f: FpInsn) {
    let vscr = r.vscr();
    let nj = vscr & NJ != 0;
    let words = |r: &R, n: u8| {
        let w = r.vsr(n as usize & 63);
        [0, 1, 2, 3].map(|i| (w >> (96 - 32 * i)) as u32).map(|x| if nj { flush(x) } else { x })
    };
    let (a, c) = (words(r, f.a), words(r, f.c));
    let b = if let FpOp::FromInt(_) = f.op {
        let w = r.vsr(f.b as usize & 63);
        [0, 1, 2, 3].map(|i| (w >> (96 - 32 * i)) as u32)
    } else {
        words(r, f.b)
    };
    let mut out = [0u32; 4];
    let mut sat = false;
    for n in 0..4 {
        let x = element(f, a[n], b[n], c[n], &mut sat);
        let bits_are_float =
            !matches!(f.op, FpOp::ToInt(..) | FpOp::CmpB | FpOp::CmpEq | FpOp::CmpGt | FpOp::CmpGe);
        out[n] = if nj && bits_are_float { flush(x) } else { x };
    }
    r.set_vsr(f.t as usize & 63, out.iter().fold(0, |w, &x| w << 32 | x as u128));
    if sat {
        r.set_vscr(vscr | SAT);
    }
    if f.rc {
        let all = |v: u32| out.iter().all(|&x| x == v);
        let cr = match f.op {
            FpOp::CmpB => (all(0) as u8) << 1,
            _ => (all(u32::MAX) as u8) << 3 | (all(0) as u8) << 1,
        };
        r.set_cr_field(6, cr);
    }
}

fn element(f: FpInsn, a: u32, b: u32, c: u32, sat: &mut bool) -> u32 {
    let (wa, wb, wc) = (a as u128, b as u128, c as u128);
    match f.op {
        FpOp::CmpEq | FpOp::CmpGt | FpOp::CmpGe => {
            if compare::predicate(f.op, SINGLE, false, wa, wb).0 {
                u32::MAX
            } else {
                0
            }
        }
        FpOp::CmpB => {
            let high = !compare::predicate(FpOp::CmpGe, SINGLE, false, wb, wa).0;
            let low = !compare::predicate(FpOp::CmpGe, SINGLE, false, wa, wb ^ 0x8000_0000).0;
            (high as u32) << 31 | (low as u32) << 30
        }
        FpOp::Max | FpOp::Min => {
            let (x, y) = (unpack(SINGLE, wa), unpack(SINGLE, wb));
            if x.is_nan() {
                pack(SINGLE, &x.quieted()) as u32
            } else if y.is_nan() {
                pack(SINGLE, &y.quieted()) as u32
            } else {
                compare::max_min(f.op, SINGLE, wa, wb).bits as u32
            }
        }
        FpOp::ToInt(ty, _) => to_int(b, ty, f.c, sat),
        FpOp::FromInt(ty) => {
            let mut n = int_value(ty, wb);
            n.exp -= (f.c & 31) as i32;
            pack(SINGLE, &round(SINGLE, Env::DEFAULT, n).num) as u32
        }
        FpOp::Exp2e => estimate(b, exp2),
        FpOp::Log2e => estimate(b, log2),
        _ => match fast::element(f.op, FpForm::V32, a as u64, b as u64, c as u64) {
            Some(q) => q.bits as u32,
            None => arith(f.op, Kind::V32, Env::DEFAULT, wa, wb, wc).bits as u32,
        },
    }
}

/// b * 2 ** `scale` truncated, saturating; NaN gives 0.
fn to_int(b: u32, ty: IntTy, scale: u8, sat: &mut bool) -> u32 {
    let mut n = unpack(SINGLE, b as u128);
    n.exp += (scale & 31) as i32;
    let (max, min) = match ty {
        IntTy::U32 => (u32::MAX, 0),
        _ => (i32::MAX as u32, i32::MIN as u32),
    };
    if n.is_nan() {
        return 0;
    }
    let (i, ..) = round_int(Rm::Zero, n);
    let limit = if n.sign { min.wrapping_neg() } else { max };
    let magnitude = match i.class {
        Class::Zero => Some(0),
        Class::Finite if i.exp < 32 => Some((i.sig >> (127 - i.exp)) as u32).filter(|&m| m <= limit),
        _ => None,
    };
    match magnitude {
        Some(m) if n.sign => m.wrapping_neg(),
        Some(m) => m,
        None => {
            *sat = true;
            if n.sign { min } else { max }
        }
    }
}

/// NaNs aside, `f`.
fn estimate(b: u32, f: fn(Num, f64) -> f64) -> u32 {
    let n = unpack(SINGLE, b as u128);
    if n.is_nan() {
        return pack(SINGLE, &n.quieted()) as u32;
    }
    let y = f(n, f32::from_bits(b) as f64) as f32;
    if y.is_nan() { 0x7fc0_0000 } else { y.to_bits() }
}

/// ln 2
const LN2: f64 = core::f64::consts::LN_2;

/// 2 ** x, exact for integers; the relative error is far below that of a single.
fn exp2(n: Num, x: f64) -> f64 {
    if n.class == Class::Inf || x.abs() >= 200.0 {
        return if n.sign { 0.0 } else { f64::INFINITY };
    }
    let whole = x.floor();
    let t = (x - whole) * LN2;
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..16 {
        term *= t / k as f64;
        sum += term;
    }
    sum * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// log2 x, exact for powers of two.
fn log2(n: Num, x: f64) -> f64 {
    if n.class == Class::Zero {
        return f64::NEG_INFINITY;
    }
    if n.sign {
        return f64::NAN;
    }
    if n.class == Class::Inf {
        return x;
    }
    // x = 2 ** e * m with m around 1; log m = 2 atanh((m - 1) / (m + 1)).
    let mut e = n.exp;
    let mut m = f64::from_bits(1023 << 52 | (n.sig << 1 >> 76) as u64);
    if m > core::f64::consts::SQRT_2 {
        m *= 0.5;
        e += 1;
    }
    let z = (m - 1.0) / (m + 1.0);
    let (mut sum, mut power) = (0.0, z);
    for k in 0..14 {
        sum += power / (2 * k + 1) as f64;
        power *= z * z;
    }
    e as f64 + 2.0 * sum / LN2
}
