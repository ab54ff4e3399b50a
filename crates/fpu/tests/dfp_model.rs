//! Decimal arithmetic against a straightforward model of IEEE 754-2008 decimal rules: exact rational results in big
//! integers, rounded by comparing remainders.

use fpu::{
    dfp::{
        arith::{self, Res},
        format::{Class, Decimal, EXTENDED, Format, LONG, SHORT},
        round::{Env, Mode},
    },
    fpscr::{OX, UX, VXCVI, XX},
};
use num_bigint::{BigInt, BigUint};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn coef(&mut self, digits: u32) -> u128 {
        let wide = (self.next() as u128) << 64 | self.next() as u128;
        let power = |n: u64| 10u128.pow(n as u32);
        let n = 1 + self.below(digits as u64);
        match self.below(7) {
            0 => 0,
            1 => wide % 10,
            2 => power(n) - 1,
            3 => power(n - 1),
            4 => (wide % 99) * power(self.below(digits as u64 - 1)),
            5 => 5 * power(n - 1) + wide % 2,
            _ => wide % power(n),
        }
        .min(power(digits as u64) - 1)
    }
    fn number(&mut self, f: &Format) -> Decimal {
        let p = f.digits as u64;
        let exp = match self.below(4) {
            0 => f.qmin() + self.below(p + 3) as i32,
            1 => f.qmax() - self.below(p + 3) as i32,
            2 => self.below(2 * p) as i32 - p as i32,
            _ => f.qmin() + self.below(f.max_biased as u64 + 1) as i32,
        };
        Decimal::number(self.next() & 1 != 0, self.coef(f.digits), exp)
    }
}

const MODES: [Mode; 8] = [
    Mode::HalfEven,
    Mode::Down,
    Mode::Ceiling,
    Mode::Floor,
    Mode::HalfUp,
    Mode::HalfDown,
    Mode::Up,
    Mode::ZeroFive,
];

fn ten(n: i32) -> BigUint {
    BigUint::from(10u32).pow(n.max(0) as u32)
}

/// (num / den) * 10 ** exp, not zero.
#[derive(Clone)]
struct Value {
    negative: bool,
    num: BigUint,
    den: BigUint,
    exp: i32,
}

/// An integer with a unit of 10 ** `q`, and whether it was incremented and is inexact.
fn at(x: &Value, q: i32, mode: Mode) -> (BigUint, bool, bool) {
    let (num, den) = if x.exp >= q {
        (&x.num * ten(x.exp - q), x.den.clone())
    } else {
        (x.num.clone(), &x.den * ten(q - x.exp))
    };
    let (whole, rest) = (&num / &den, &num % &den);
    let zero = BigUint::ZERO;
    if rest == zero {
        return (whole, false, false);
    }
    let twice = &rest * 2u32;
    let last = (&whole % 10u32).to_u32_digits().first().copied().unwrap_or(0);
    let up = match mode {
        Mode::HalfEven => twice > den || twice == den && last % 2 == 1,
        Mode::HalfUp => twice >= den,
        Mode::HalfDown => twice > den,
        Mode::Down => false,
        Mode::Up => true,
        Mode::Ceiling => !x.negative,
        Mode::Floor => x.negative,
        Mode::ZeroFive => last == 0 || last == 5,
    };
    (if up { whole + 1u32 } else { whole }, up, true)
}

/// |x| < 10 ** n
fn below_power(x: &Value, n: i32) -> bool {
    if x.exp >= n { &x.num * ten(x.exp - n) < x.den } else { x.num < &x.den * ten(n - x.exp) }
}

struct Model {
    value: Decimal,
    exc: u32,
    fr: bool,
    fi: bool,
    adjusted: bool,
}

fn narrow(x: &BigUint) -> u128 {
    u128::try_from(x).expect("a significand")
}

/// Round with unbounded exponents above `qmin`; of equal results the exponent nearest to the ideal one up to `qmax`.
fn round_at(f: &Format, mode: Mode, x: &Value, ideal: i32, qmin: i32, qmax: i32) -> (Decimal, bool, bool) {
    let p = f.digits as i32;
    // The smallest exponent with which the whole part has no more than p digits; a first guess by the bit lengths.
    let guess = x.exp + ((x.num.bits() as f64 - x.den.bits() as f64) * std::f64::consts::LOG10_2) as i32 - p;
    let mut q = (guess - 3).max(qmin);
    while !below_power(x, q + p) {
        q += 1;
    }
    let (mut c, up, inexact) = at(x, q, mode);
    if inexact {
        if c == ten(p) {
            c /= 10u32;
            q += 1;
        }
        return (Decimal::number(x.negative, narrow(&c), q), up, true);
    }
    // All members of the cohort.
    let mut best = (narrow(&c), q);
    let (mut c, mut q) = best;
    while c % 10 == 0 && q < qmax.max(best.1) {
        (c, q) = (c / 10, q + 1);
        if (q - ideal).abs() < (best.1 - ideal).abs() || best.1 > qmax {
            best = (c, q);
        }
    }
    (Decimal::number(x.negative, best.0, best.1), false, false)
}

fn model(f: &Format, held: &Format, env: Env, x: &Value, ideal: i32) -> Model {
    let tiny = below_power(x, f.emin());
    let wrapped = |by: i32, exc: u32| {
        let x = Value { exp: x.exp + by, ..x.clone() };
        let (value, fr, fi) = round_at(f, env.mode, &x, ideal + by, held.qmin(), held.qmax());
        Model { value, exc: exc | if fi { XX } else { 0 }, fr, fi, adjusted: true }
    };
    if tiny && env.ue {
        return wrapped(env.wrap, UX);
    }
    let (value, fr, fi) = round_at(f, env.mode, x, ideal, f.qmin(), f.qmax());
    if value.exp > f.qmax() {
        if env.oe {
            return wrapped(-env.wrap, OX);
        }
        let inf = match env.mode {
            Mode::Down | Mode::ZeroFive => false,
            Mode::Ceiling => !x.negative,
            Mode::Floor => x.negative,
            _ => true,
        };
        let largest = Decimal::number(x.negative, f.max_coef(), f.qmax());
        let value = if inf { Decimal::inf(x.negative) } else { largest };
        return Model { value, exc: OX | XX, fr: inf, fi: true, adjusted: false };
    }
    let exc = if !fi {
        0
    } else if tiny {
        UX | XX
    } else {
        XX
    };
    Model { value, exc, fr, fi, adjusted: false }
}

fn check(what: &str, got: Res, want: Model) {
    assert_eq!(
        (got.value, got.exc, got.fr, got.fi, got.adjusted),
        (want.value, want.exc, want.fr, want.fi, want.adjusted),
        "{what}"
    );
}

fn value(d: &Decimal) -> Value {
    Value { negative: d.sign, num: d.coef.into(), den: 1u32.into(), exp: d.exp }
}

fn signed(d: &Decimal, exp: i32) -> BigInt {
    let v = BigInt::from(d.coef) * BigInt::from(ten(d.exp - exp));
    if d.sign { -v } else { v }
}

fn arithmetic(f: &Format, wrap: i32, rounds: usize, seed: u64) {
    let mut rng = Rng(seed);
    for _ in 0..rounds {
        let (a, mut b) = (rng.number(f), rng.number(f));
        if rng.below(3) == 0 {
            // Near each other, so that digits cancel.
            b.exp = (a.exp + rng.below(2 * f.digits as u64 + 6) as i32 - f.digits as i32 - 3)
                .clamp(f.qmin(), f.qmax());
        }
        let flags = rng.next();
        for mode in MODES {
            let env = Env { mode, oe: flags & 1 != 0, ue: flags & 2 != 0, wrap };
            let what = |op: &str| format!("{op} {a:?} {b:?} {env:?}");
            let low = a.exp.min(b.exp);
            for minus in [false, true] {
                let got = arith::add(f, env, a, b, minus);
                let (x, mut y) = (signed(&a, low), signed(&b, low));
                if minus {
                    y = -y;
                }
                let s = x + y;
                let negative = s < BigInt::ZERO;
                let num = s.into_parts().1;
                if num == BigUint::ZERO {
                    let sign = if a.sign == (b.sign ^ minus) { a.sign } else { mode == Mode::Floor };
                    assert_eq!(got.value, Decimal::number(sign, 0, low), "{}", what("add"));
                } else {
                    let x = Value { negative, num, den: 1u32.into(), exp: low };
                    check(&what("add"), got, model(f, f, env, &x, low));
                }
            }
            let negative = a.sign != b.sign;
            let got = arith::mul(f, env, a, b);
            let exp = a.exp + b.exp;
            if a.coef == 0 || b.coef == 0 {
                let exp = exp.clamp(f.qmin(), f.qmax());
                assert_eq!(got.value, Decimal::number(negative, 0, exp), "{}", what("mul"));
            } else {
                let num = BigUint::from(a.coef) * b.coef;
                let x = Value { negative, num, den: 1u32.into(), exp };
                check(&what("mul"), got, model(f, f, env, &x, exp));
            }
            if a.coef != 0 && b.coef != 0 {
                let exp = a.exp - b.exp;
                let x = Value { negative, num: a.coef.into(), den: b.coef.into(), exp };
                check(&what("div"), arith::div(f, env, a, b), model(f, f, env, &x, exp));
            }
        }
        let order = signed(&a, a.exp.min(b.exp)).cmp(&signed(&b, a.exp.min(b.exp)));
        assert_eq!(arith::compare(&a, &b), Some(order), "{a:?} {b:?}");
    }
}

#[test]
fn long_arithmetic() {
    arithmetic(&LONG, 576, 3000, 1);
}

#[test]
fn extended_arithmetic() {
    arithmetic(&EXTENDED, 9216, 400, 2);
}

#[test]
fn conversions_between_formats() {
    let mut rng = Rng(3);
    for (from, to, wrap) in [(&LONG, &SHORT, 192), (&EXTENDED, &LONG, 3072)] {
        for _ in 0..2000 {
            let mut b = rng.number(from);
            if rng.below(2) == 0 {
                // About the ends of the narrower format.
                let ends = [to.qmin(), to.qmax()];
                b.exp = ends[rng.below(2) as usize] + rng.below(40) as i32 - 30;
            }
            let flags = rng.next();
            for mode in MODES {
                let env = Env { mode, oe: flags & 1 != 0, ue: flags & 2 != 0, wrap };
                let got = arith::narrow(from, to, env, true, b);
                if b.coef == 0 {
                    let exp = b.exp.clamp(to.qmin(), to.qmax());
                    assert_eq!((got.value, got.exc), (Decimal::number(b.sign, 0, exp), 0));
                } else {
                    check(&format!("narrow {b:?} {env:?}"), got, model(to, from, env, &value(&b), b.exp));
                }
            }
        }
    }
}

#[test]
fn integers() {
    let mut rng = Rng(4);
    for f in [&LONG, &EXTENDED] {
        for n in 0..3000 {
            let wide = (rng.next() as u128) << 64 | rng.next() as u128;
            let v = (wide as i128) >> rng.below(128);
            let mut b = rng.number(f);
            b.exp = rng.below(60) as i32 - 40;
            if n % 3 == 0 {
                // About the limits.
                let digits = 10u128.pow(f.digits.min(38));
                (b.coef, b.exp) = ([1u128 << 63, 1 << 127, (1 << 63) - 1][n / 3 % 3], 0);
                while b.coef >= digits {
                    (b.coef, b.exp) = (b.coef / 10, b.exp + 1);
                }
                b.coef = (b.coef + rng.below(3) as u128).min(digits - 1);
            }
            for mode in MODES {
                let env = Env { mode, oe: false, ue: false, wrap: 0 };
                let got = arith::from_int(f, env, v);
                if v != 0 {
                    let x = Value { negative: v < 0, num: v.unsigned_abs().into(), den: 1u32.into(), exp: 0 };
                    check(&format!("from {v} {mode:?}"), got, model(f, f, env, &x, 0));
                }
                for bits in [64, 128] {
                    let (i, exc, fr, fi) = arith::to_int(mode, bits, b);
                    let (c, up, inexact) = at(&value(&b), 0, mode);
                    let c = if b.sign { -BigInt::from(c) } else { c.into() };
                    let what = format!("to {bits} {b:?} {mode:?}");
                    let max = i128::MAX >> (128 - bits);
                    if c > max.into() || c < (-max - 1).into() {
                        let limit = if b.sign { -max - 1 } else { max };
                        assert_eq!((i, exc, fr, fi), (limit, VXCVI, false, false), "{what}");
                    } else {
                        assert_eq!(BigInt::from(i), c, "{what}");
                        assert_eq!((exc, fr, fi), (if inexact { XX } else { 0 }, up, inexact), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn quantizing() {
    let mut rng = Rng(5);
    for f in [&LONG, &EXTENDED] {
        let limit = ten(f.digits as i32);
        for _ in 0..3000 {
            let (mut a, b) = (rng.number(f), rng.number(f));
            if rng.below(2) == 0 {
                a.exp = (b.exp + rng.below(80) as i32 - 40).clamp(f.qmin(), f.qmax());
            }
            let k = 1 + rng.below(f.digits as u64) as u32;
            for mode in MODES {
                let what = format!("{a:?} {b:?} {k} {mode:?}");
                // dqua
                let got = arith::quantize(f, mode, a, b);
                let (c, fr, fi) = at(&value(&b), a.exp, mode);
                if c >= limit {
                    assert_eq!((got.value, got.exc), (Decimal::DEFAULT_NAN, VXCVI), "quantize {what}");
                } else {
                    let want = Decimal::number(b.sign, narrow(&c), a.exp);
                    assert_eq!((got.value, got.fr, got.fi), (want, fr, fi), "quantize {what}");
                    assert_eq!(got.exc, if fi { XX } else { 0 });
                }
                // drintx, drintn
                for inexact in [true, false] {
                    let got = arith::rint(f, mode, inexact, b);
                    let (c, fr, fi) = at(&value(&b), b.exp.max(0), mode);
                    let want = Decimal::number(b.sign, narrow(&c), b.exp.max(0));
                    let exc = if fi && inexact { XX } else { 0 };
                    assert_eq!(
                        (got.value, got.exc, got.fr, got.fi),
                        (want, exc, fr && inexact, fi && inexact),
                        "rint {what}"
                    );
                }
                // drrnd
                let got = arith::reround(f, mode, k, b);
                let have = b.coef.checked_ilog10().map_or(0, |n| n + 1);
                if have <= k {
                    assert_eq!((got.value, got.exc), (b, 0), "reround {what}");
                    continue;
                }
                let mut exp = b.exp + (have - k) as i32;
                let (mut c, fr, fi) = at(&value(&b), exp, mode);
                if c == ten(k as i32) {
                    c /= 10u32;
                    exp += 1;
                }
                if exp > f.qmax() {
                    assert_eq!((got.value, got.exc), (Decimal::DEFAULT_NAN, VXCVI), "reround {what}");
                } else {
                    let want = Decimal::number(b.sign, narrow(&c), exp);
                    assert_eq!((got.value, got.fr, got.fi), (want, fr, fi), "reround {what}");
                }
            }
        }
    }
}

#[test]
fn infinity_and_zero() {
    let env = Env { mode: Mode::HalfEven, oe: false, ue: false, wrap: 576 };
    let (inf, one) = (Decimal::inf(true), Decimal::number(false, 1, 0));
    assert_eq!(arith::add(&LONG, env, inf, one, false).value, inf);
    assert_eq!(arith::add(&LONG, env, one, inf, true).value, Decimal::inf(false));
    assert_eq!(arith::mul(&LONG, env, inf, inf).value, Decimal::inf(false));
    assert_eq!(arith::div(&LONG, env, one, inf).value, Decimal::number(true, 0, -398));
    assert_eq!(arith::quantize(&LONG, Mode::Down, one, inf).exc, VXCVI);
    assert_eq!(arith::quantize(&LONG, Mode::Down, one.quiet(), inf).value.class, Class::QNan);
}
