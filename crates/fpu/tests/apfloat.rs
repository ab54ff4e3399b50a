//! The arithmetic against `rustc_apfloat`, an independent implementation, and against the host's own arithmetic.

use fpu::{
    arith::{Kind, arith, from_int, to_int},
    fpscr::{OX, UX, VX_ALL, VXCVI, VXSNAN, XX, ZX},
    soft::{BF16, DOUBLE, Env, Fmt, HALF, QUAD, Rm, SINGLE},
};
use isa::fp::{FpOp, IntTy};
use rustc_apfloat::{
    Float, FloatConvert, Round, Status, StatusAnd,
    ieee::{BFloat, Double, Half, Quad, Single},
};

/// A small reproducible generator (splitmix64).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    fn wide(&mut self) -> u128 {
        (self.next() as u128) << 64 | self.next() as u128
    }
    /// Operands of a format: edges, sparse fractions, exponents near the ends and near each other.
    fn operand(&mut self, fmt: Fmt) -> u128 {
        let bits = fmt.exp + fmt.frac + 1;
        let frac_mask = (1u128 << fmt.frac) - 1;
        let emax = (1u128 << fmt.exp) - 1;
        let bias = emax >> 1;
        let sign = ((self.next() & 1) as u128) << (bits - 1);
        let exp = match self.next() % 16 {
            0 => 0,
            1 => emax,
            2 => 1,
            3 => emax - 1,
            4 => self.next() as u128 % (fmt.frac as u128 + 4),
            5..10 => bias + self.next() as u128 % 8 - 4,
            10..12 => (bias + self.next() as u128 % (2 * fmt.frac as u128 + 8)).min(emax - 1),
            12 => bias / 2 + self.next() as u128 % 9 - 4,
            _ => self.wide() % emax,
        };
        let frac = match self.next() % 8 {
            0 => 0,
            1 => 1,
            2 => frac_mask,
            3 => frac_mask & !1,
            4 => 1 << (self.next() % fmt.frac as u64),
            5 => (frac_mask << (self.next() % fmt.frac as u64)) & frac_mask,
            _ => self.wide() & frac_mask,
        };
        sign | exp << fmt.frac | frac
    }
}

const MODES: [(Rm, Round); 5] = [
    (Rm::Nearest, Round::NearestTiesToEven),
    (Rm::Zero, Round::TowardZero),
    (Rm::Up, Round::TowardPositive),
    (Rm::Down, Round::TowardNegative),
    (Rm::Away, Round::NearestTiesToAway),
];

fn env(rm: Rm) -> Env {
    Env { rm, oe: false, ue: false }
}

/// Compare a result; apfloat detects underflow its own way, so UX is only required where it is certain.
fn check<F: Float>(what: &str, fmt: Fmt, want: StatusAnd<F>, got: fpu::arith::Res) {
    let bits = got.bits;
    if want.value.is_nan() {
        let quiet = ((1u128 << (fmt.exp + 1)) - 1) << (fmt.frac - 1);
        assert_eq!(bits & quiet, quiet, "{what}: no quiet NaN: {bits:#x}");
    } else {
        assert_eq!(bits, want.value.to_bits(), "{what}: {bits:#x}, not {:#x}", want.value.to_bits());
    }
    let invalid = want.status.contains(Status::INVALID_OP);
    assert_eq!(got.exc & VX_ALL & !VXSNAN != 0 || got.exc & VXSNAN != 0, invalid, "{what}: invalid");
    assert_eq!(got.exc & ZX != 0, want.status.contains(Status::DIV_BY_ZERO), "{what}: zero divide");
    // apfloat calls a result cut to the largest number inexact only.
    let largest = want.value.is_largest() && got.fi;
    assert!(largest || (got.exc & OX != 0) == want.status.contains(Status::OVERFLOW), "{what}: overflow");
    let inexact = want.status.contains(Status::INEXACT);
    assert_eq!(got.exc & XX != 0, inexact, "{what}: inexact");
    assert_eq!(got.fi, inexact, "{what}: FI");
    let denormal = want.value.is_denormal() || want.value.is_zero();
    if denormal && inexact {
        assert!(got.exc & UX != 0, "{what}: underflow missing");
    } else if !inexact || bits & ((1 << (fmt.exp + fmt.frac)) - 1) != 1 << fmt.frac {
        assert!(got.exc & UX == 0, "{what}: underflow");
    }
}

fn arithmetic<F: Float>(kind: Kind, rounds: usize, seed: u64) {
    let fmt = kind.src;
    let mut rng = Rng(seed);
    for n in 0..rounds {
        let (a, b, c) = (rng.operand(fmt), rng.operand(fmt), rng.operand(fmt));
        // Now and then an addend that nearly cancels the product.
        let b2 = if n % 3 == 0 {
            let p = arith(FpOp::Mul, kind, env(Rm::Nearest), a, c, 0).bits;
            p ^ 1 << (fmt.exp + fmt.frac) ^ (rng.next() & 1) as u128
        } else {
            b
        };
        let f = F::from_bits;
        let magnitude = (1u128 << (fmt.exp + fmt.frac)) - 1;
        // FR says that the result is larger in magnitude than the exact value, that is than the truncated one.
        for (op, b) in [(FpOp::Add, b), (FpOp::Mul, b), (FpOp::Div, b), (FpOp::Sqrt, b), (FpOp::Madd, b2)] {
            for rm in [Rm::Nearest, Rm::Up, Rm::Down] {
                let got = arith(op, kind, env(rm), a, b, c);
                let cut = arith(op, kind, env(Rm::Zero), a, b, c);
                if got.exc & OX == 0 {
                    assert_eq!(
                        got.fr,
                        (got.bits ^ cut.bits) & magnitude != 0,
                        "FR of {op:?} {a:#x} {b:#x} {c:#x} {rm:?}"
                    );
                }
            }
        }
        for (rm, round) in MODES {
            let say = |op: &str| format!("{op} {a:#x} {b:#x} {c:#x} {rm:?}");
            let run = |op, a, b, c| arith(op, kind, env(rm), a, b, c);
            check(&say("add"), fmt, f(a).add_r(f(b), round), run(FpOp::Add, a, b, 0));
            check(&say("sub"), fmt, f(a).sub_r(f(b), round), run(FpOp::Sub, a, b, 0));
            check(&say("mul"), fmt, f(a).mul_r(f(b), round), run(FpOp::Mul, a, b, 0));
            check(&say("div"), fmt, f(a).div_r(f(b), round), run(FpOp::Div, a, b, 0));
            // apfloat and Power differ in whether infinity * 0 + NaN is invalid.
            if !f(b2).is_nan() {
                let what = format!("madd {a:#x} * {c:#x} + {b2:#x} {rm:?}");
                check(&what, fmt, f(a).mul_add_r(f(c), f(b2), round), run(FpOp::Madd, a, b2, c));
            }
        }
    }
}

#[test]
fn single_arithmetic() {
    arithmetic::<Single>(Kind::V32, 30_000, 1);
}

#[test]
fn double_arithmetic() {
    arithmetic::<Double>(Kind::F64, 30_000, 2);
}

#[test]
fn quad_arithmetic() {
    arithmetic::<Quad>(Kind::QUAD, 20_000, 3);
}

/// A product of quads whose fractions end in zeros still has more bits than 106.
#[test]
fn quad_product_keeps_its_last_bit() {
    let a = 0x3ffd_ffff_ffff_ffff_fffe_0000_0000_0000;
    let b = 0x3ffc_ffff_ffff_ffff_fffc_0000_0000_0000;
    let odd = arith(FpOp::Madd, Kind::QUAD, env(Rm::Odd), a, b, a);
    assert_eq!(odd.bits, 0x3ffd_ffff_ffff_ffff_fffc_0000_0000_0001);
    assert!(odd.fi);
}

fn conversion<S: Float + FloatConvert<D>, D: Float>(src: Fmt, dst: Fmt, seed: u64) {
    let mut rng = Rng(seed);
    for _ in 0..20_000 {
        let a = rng.operand(src);
        for (rm, round) in MODES {
            let want = S::from_bits(a).convert_r(round, &mut false);
            let got = arith(FpOp::RoundSp, Kind::convert(src, dst), env(rm), 0, a, 0);
            check(&format!("convert {a:#x} {src:?} to {dst:?} {rm:?}"), dst, want, got);
        }
    }
}

#[test]
fn conversions() {
    conversion::<Double, Single>(DOUBLE, SINGLE, 4);
    conversion::<Single, Double>(SINGLE, DOUBLE, 5);
    conversion::<Double, Half>(DOUBLE, HALF, 6);
    conversion::<Half, Double>(HALF, DOUBLE, 7);
    conversion::<Single, Half>(SINGLE, HALF, 8);
    conversion::<Half, Single>(HALF, SINGLE, 9);
    conversion::<Single, BFloat>(SINGLE, BF16, 10);
    conversion::<Quad, Double>(QUAD, DOUBLE, 11);
    conversion::<Double, Quad>(DOUBLE, QUAD, 12);
}

fn integers<F: Float>(kind: Kind, seed: u64) {
    let fmt = kind.src;
    let types = [
        (IntTy::I32, 32, true),
        (IntTy::U32, 32, false),
        (IntTy::I64, 64, true),
        (IntTy::U64, 64, false),
        (IntTy::I128, 128, true),
        (IntTy::U128, 128, false),
    ];
    let mut rng = Rng(seed);
    for _ in 0..20_000 {
        let a = rng.operand(fmt);
        let v = rng.wide() >> (rng.next() % 128) ^ if rng.next() & 1 != 0 { u128::MAX } else { 0 };
        for (rm, round) in MODES {
            for (ty, width, signed) in types {
                let what = format!("{a:#x} to {ty:?} {rm:?}");
                let got = to_int(fmt, ty, rm, a);
                let (want, status) = if signed {
                    let s = F::from_bits(a).to_i128_r(width, round, &mut false);
                    (s.value as u128, s.status)
                } else {
                    let s = F::from_bits(a).to_u128_r(width, round, &mut false);
                    (s.value, s.status)
                };
                assert_eq!(got.exc & VXCVI != 0, status.contains(Status::INVALID_OP), "{what}");
                assert_eq!(got.fi, status.contains(Status::INEXACT), "{what}");
                let mask = u128::MAX >> (128 - width);
                if !F::from_bits(a).is_nan() {
                    assert_eq!(got.bits & mask, want & mask, "{what}");
                }
                let cut = v & mask;
                let want = if signed {
                    F::from_i128_r(((cut << (128 - width)) as i128) >> (128 - width), round)
                } else {
                    F::from_u128_r(cut, round)
                };
                check(&format!("{v:#x} from {ty:?} {rm:?}"), fmt, want, from_int(kind, ty, env(rm), v));
            }
        }
    }
}

#[test]
fn integer_conversions() {
    integers::<Single>(Kind::V32, 13);
    integers::<Double>(Kind::F64, 14);
    integers::<Quad>(Kind::QUAD, 15);
}

/// Single results of double operands are rounded once.
#[test]
fn single_results_of_doubles() {
    let mut rng = Rng(16);
    for _ in 0..50_000 {
        let (a, b) = (rng.operand(DOUBLE), rng.operand(DOUBLE));
        let (x, y) = (Double::from_bits(a), Double::from_bits(b));
        let wide = |d: Double| -> Quad { d.convert(&mut false).value };
        // A product of doubles is exact as a quad.
        let product = wide(x).mul_r(wide(y), Round::NearestTiesToEven).value;
        let want: StatusAnd<Single> = product.convert_r(Round::NearestTiesToEven, &mut false);
        let got = arith(FpOp::Mul, Kind::F32, Env::DEFAULT, a, b, 0);
        if !want.value.is_nan() {
            let held: StatusAnd<Double> = want.value.convert(&mut false);
            assert_eq!(got.bits, held.value.to_bits(), "{a:#x} * {b:#x}");
        }
    }
}

/// The host's arithmetic as a second witness, square roots included.
#[test]
fn host_arithmetic() {
    let mut rng = Rng(17);
    for _ in 0..200_000 {
        let (a, b) = (rng.operand(DOUBLE) as u64, rng.operand(DOUBLE) as u64);
        let (x, y) = (f64::from_bits(a), f64::from_bits(b));
        let run = |op| arith(op, Kind::F64, Env::DEFAULT, a as u128, b as u128, 0).bits as u64;
        for (op, want) in [(FpOp::Add, x + y), (FpOp::Mul, x * y), (FpOp::Div, x / y), (FpOp::Sqrt, y.sqrt())]
        {
            if !want.is_nan() {
                assert_eq!(run(op), want.to_bits(), "{op:?} {a:#x} {b:#x}");
            }
        }
        let (s, t) = (rng.operand(SINGLE) as u32, f32::from_bits(rng.operand(SINGLE) as u32));
        let root = arith(FpOp::Sqrt, Kind::V32, Env::DEFAULT, 0, t.to_bits() as u128, 0).bits as u32;
        if !t.sqrt().is_nan() {
            assert_eq!(root, t.sqrt().to_bits(), "{s:#x}");
        }
    }
}

/// A quad's root is the largest one whose square does not exceed it, and is exact when the square is.
#[test]
fn quad_square_root() {
    let mut rng = Rng(18);
    for _ in 0..20_000 {
        let a = rng.operand(QUAD) & !(1 << 127);
        let x = Quad::from_bits(a);
        if x.is_nan() || x.is_infinite() {
            continue;
        }
        let res = arith(FpOp::Sqrt, Kind::QUAD, env(Rm::Zero), 0, a, 0);
        let r = Quad::from_bits(res.bits);
        let next = Quad::from_bits(res.bits + 1);
        let square = |q: Quad, mode| q.mul_r(q, mode);
        assert!(square(r, Round::TowardZero).value <= x, "{a:#x}");
        assert_eq!(
            res.fi,
            square(r, Round::TowardZero).status != Status::OK || square(r, Round::TowardZero).value != x
        );
        assert!(square(next, Round::TowardPositive).value > x, "{a:#x}");
    }
}
