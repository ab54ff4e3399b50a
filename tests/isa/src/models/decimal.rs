//! Decimal floating point through decNumber (Book I, chapter 5): its `decDouble` and `decQuad` for the formats, its
//! numbers of arbitrary size for results whose exponent is adjusted.

use dec::{Class, Context, Decimal, Decimal32, Decimal64, Decimal128, Rounding, Status};

use super::Expected;
use super::status::{self, *};
use crate::vector::Vector;

/// What one instruction gave.
struct Done {
    bits: u128,
    event: Event,
}

fn rounding(n: u64) -> Rounding {
    [
        Rounding::HalfEven,
        Rounding::Down,
        Rounding::Ceiling,
        Rounding::Floor,
        Rounding::HalfUp,
        Rounding::HalfDown,
        Rounding::Up,
        Rounding::ZeroFiveUp,
    ][n as usize & 7]
}

/// FPSCR[DRN].
fn current(v: &Vector) -> Rounding {
    rounding(v.input.fpscr >> 32)
}

/// RMC, with R before it (Book I, 5.5.2).
fn chosen(v: &Vector, r_rmc: u32) -> Rounding {
    match r_rmc & 7 {
        0 => Rounding::HalfEven,
        1 => Rounding::Down,
        2 => Rounding::HalfUp,
        3 => current(v),
        4 => Rounding::Ceiling,
        5 => Rounding::Floor,
        6 => Rounding::Up,
        _ => Rounding::HalfDown,
    }
}

/// FPRF of a class (Book I, figure of FPRF for DFP).
fn class(c: Class) -> u64 {
    match c {
        Class::SignalingNan => 0b00001,
        Class::QuietNan => 0b10001,
        Class::NegInfinity => 0b01001,
        Class::NegNormal => 0b01000,
        Class::NegSubnormal => 0b11000,
        Class::NegZero => 0b10010,
        Class::PosZero => 0b00010,
        Class::PosSubnormal => 0b10100,
        Class::PosNormal => 0b00100,
        Class::PosInfinity => 0b00101,
    }
}

fn exceptions(s: Status) -> u64 {
    [(s.overflow(), OX), (s.underflow(), UX), (s.inexact(), XX)]
        .iter()
        .fold(0, |e, &(yes, bit)| if yes { e | bit } else { e })
}

/// FPR `n`.
fn fpr(v: &Vector, n: u32) -> u64 {
    (v.input.vsr[n as usize & 31] >> 64) as u64
}

/// The functions of one format.
macro_rules! of_format {
    ($module:ident, $D:ident, $int:ty, $wrap:expr, $digits:expr) => {
        mod $module {
            use super::*;

            pub const DIGITS: u32 = $digits;

            pub fn number(bits: u128) -> $D {
                $D::from_be_bytes((bits as $int).to_be_bytes())
            }

            pub fn bits(d: $D) -> u128 {
                <$int>::from_be_bytes(d.to_be_bytes()).into()
            }

            pub fn context(r: Rounding) -> Context<$D> {
                let mut c = Context::<$D>::default();
                c.set_rounding(r);
                c
            }

            /// A number of a sign, digits and an exponent that fit.
            pub fn build(negative: bool, coefficient: u128, exponent: i32) -> $D {
                let sign = if negative { "-" } else { "" };
                let text = format!("{sign}{coefficient}E{exponent}");
                context(Rounding::HalfEven).parse(text.as_str()).expect("a number")
            }

            /// The significand of a finite number.
            pub fn coefficient(d: $D) -> u128 {
                d.coefficient_digits().iter().fold(0, |n, &d| n * 10 + u128::from(d))
            }

            /// The result of an operation under the rounding mode, with its exceptions; FR is whether cutting off would
            /// have given another number.
            pub fn done(r: Rounding, f: impl Fn(&mut Context<$D>) -> $D) -> Done {
                let mut c = context(r);
                let value = f(&mut c);
                let exc = exceptions(c.status());
                let mut c = context(Rounding::Down);
                let down = f(&mut c);
                let fi = exc & XX != 0;
                let fr = if exc & OX != 0 {
                    None
                } else {
                    Some(fi && context(r).partial_cmp(value, down) != Some(std::cmp::Ordering::Equal))
                };
                let event = Event { exc, fr, fi, fprf: Some(class(value.class())) };
                Done { bits: bits(value), event }
            }

            /// A number as it is, in the preferred encoding.
            pub fn plain(d: $D) -> Done {
                let d = d.canonical();
                let event = Event { exc: 0, fr: Some(false), fi: false, fprf: Some(class(d.class())) };
                Done { bits: bits(d), event }
            }

            pub fn invalid(exc: u64) -> Done {
                let nan = $D::NAN;
                Done { event: Event { exc, ..plain(nan).event }, ..plain(nan) }
            }

            /// An enabled overflow or underflow: rounded without bounds, the exponent moved into the format.
            fn scaled(v: &Vector, op: &str, a: $D, b: $D, exc: u64) -> Option<Done> {
                let wide = |r: Rounding| {
                    let mut c = Context::<Decimal<36>>::default();
                    c.set_precision(DIGITS as usize).ok()?;
                    c.set_rounding(r);
                    let (mut x, y) = (Decimal::<36>::from(a), Decimal::<36>::from(b));
                    match op {
                        "dmul" => c.mul(&mut x, &y),
                        "ddiv" => c.div(&mut x, &y),
                        "dadd" => c.add(&mut x, &y),
                        "dsub" => c.sub(&mut x, &y),
                        _ => return None,
                    }
                    Some((x, c.status().inexact()))
                };
                let (mut x, fi) = wide(current(v))?;
                let (down, _) = wide(Rounding::Down)?;
                let by: i32 = if exc & OX != 0 { -$wrap } else { $wrap };
                let fr = fi && x != down;
                x.set_exponent(x.exponent() + by);
                let value = context(Rounding::HalfEven).from_decimal(&x);
                let exc = exc & !XX | if fi { XX } else { 0 };
                let fprf = if value.is_negative() { 0b01000 } else { 0b00100 };
                Some(Done { bits: bits(value), event: Event { exc, fr: Some(fr), fi, fprf: Some(fprf) } })
            }

            pub fn arithmetic(v: &Vector, op: &str, a: $D, b: $D) -> Option<Done> {
                let mut exc = if a.is_signaling_nan() || b.is_signaling_nan() { VXSNAN } else { 0 };
                if !a.is_nan() && !b.is_nan() {
                    let differ = a.is_negative() != b.is_negative();
                    exc = match op {
                        "dadd" if a.is_infinite() && b.is_infinite() && differ => VXISI,
                        "dsub" if a.is_infinite() && b.is_infinite() && !differ => VXISI,
                        "dmul" if a.is_infinite() && b.is_zero() || a.is_zero() && b.is_infinite() => VXIMZ,
                        "ddiv" if a.is_infinite() && b.is_infinite() => VXIDI,
                        "ddiv" if a.is_zero() && b.is_zero() => VXZDZ,
                        "ddiv" if b.is_zero() && a.is_finite() => ZX,
                        _ => 0,
                    };
                }
                let mut d = done(current(v), |c| match op {
                    "dadd" => c.add(a, b),
                    "dsub" => c.sub(a, b),
                    "dmul" => c.mul(a, b),
                    _ => c.div(a, b),
                });
                d.event.exc |= exc;
                // Tiny results without loss, too, are an enabled exception.
                let x = number(d.bits);
                let tiny = x.is_subnormal() || d.event.exc & UX != 0;
                let ux = if tiny { UX } else { 0 };
                if status::scales(v, d.event.exc | ux) {
                    return scaled(v, op, a, b, d.event.exc & (OX | XX) | ux);
                }
                Some(d)
            }

            pub fn compare(v: &Vector, a: $D, b: $D, ordered: bool) -> Event {
                let snan = a.is_signaling_nan() || b.is_signaling_nan();
                let (code, exc) = match context(Rounding::HalfEven).partial_cmp(a, b) {
                    Some(o) => ([8, 2, 4][(o as i8 + 1) as usize], 0),
                    None => {
                        let vc = ordered && (!snan || v.input.fpscr & VE == 0);
                        (1, if snan { VXSNAN } else { 0 } | if vc { VXVC } else { 0 })
                    }
                };
                Event { exc, fprf: Some(code), ..Event::default() }
            }

            /// To the exponent of another number; `None` for operands that are no numbers.
            pub fn quantize(r: Rounding, b: $D, exponent: $D) -> Option<Done> {
                if !b.is_finite() || !exponent.is_finite() {
                    return None;
                }
                let mut d = done(r, |c| c.quantize(b, exponent));
                if number(d.bits).is_nan() {
                    d = invalid(VXCVI);
                }
                Some(d)
            }

            /// To at most `digits` digits.
            pub fn reround(r: Rounding, b: $D, digits: u32) -> Option<Done> {
                if !b.is_finite() {
                    return None;
                }
                if digits == 0 || b.digits() <= digits {
                    return Some(plain(b));
                }
                let cut = |r: Rounding| {
                    let mut c = Context::<Decimal<36>>::default();
                    c.set_precision(digits as usize).ok()?;
                    c.set_rounding(r);
                    let mut x = Decimal::<36>::from(b);
                    c.plus(&mut x);
                    Some((x, c.status().inexact()))
                };
                let ((x, fi), (down, _)) = (cut(r)?, cut(Rounding::Down)?);
                if x.exponent() > build(false, 0, 99999).exponent() {
                    return Some(invalid(VXCVI));
                }
                let mut d = plain(context(r).from_decimal(&x));
                d.event.exc = if fi { XX } else { 0 };
                (d.event.fi, d.event.fr) = (fi, Some(fi && x != down));
                Some(d)
            }

            /// To an integer of `width` bits.
            pub fn to_integer(r: Rounding, b: $D, width: u32) -> Done {
                let (min, max) = (i128::MIN >> (128 - width), i128::MAX >> (128 - width));
                let event = |exc, fr, fi| Event { exc, fr: Some(fr), fi, fprf: None };
                let wrong = |n: i128, exc| Done { bits: n as u128, event: event(exc, false, false) };
                if b.is_nan() {
                    let snan = if b.is_signaling_nan() { VXSNAN } else { 0 };
                    return wrong(min, VXCVI | snan);
                }
                let end = wrong(if b.is_negative() { min } else { max }, VXCVI);
                if b.is_infinite() {
                    return end;
                }
                let whole = if b.exponent() < 0 {
                    let mut d = quantize(r, b, build(false, 0, 0)).expect("digits go away only");
                    d.event.fprf = None;
                    d
                } else {
                    plain(b)
                };
                let n = number(whole.bits);
                let scale = 10i128.checked_pow(n.exponent().max(0) as u32);
                let c = coefficient(n) as i128;
                let c = if n.is_negative() { -c } else { c };
                let value = if c == 0 { Some(0) } else { scale.and_then(|s| c.checked_mul(s)) };
                match value {
                    Some(x) if (min..=max).contains(&x) => Done {
                        bits: x as u128,
                        event: event(whole.event.exc, whole.event.fr == Some(true), whole.event.fi),
                    },
                    _ => end,
                }
            }

            /// The tests: a CR field.
            pub fn test(v: &Vector, op: &str, a: $D, b: $D, k: u32) -> Option<u64> {
                let i = v.insn;
                let mask = i.bits(16, 21);
                let matched =
                    |x: $D, bit: u32| u64::from(x.is_signed()) << 3 | u64::from(mask << bit & 0x20 != 0) << 1;
                let (low, high) = (build(false, 0, -99999).exponent(), build(false, 0, 99999).exponent());
                Some(match op {
                    "dtstdc" => matched(
                        a,
                        match a.class() {
                            Class::PosZero | Class::NegZero => 0,
                            Class::PosSubnormal | Class::NegSubnormal => 1,
                            Class::PosNormal | Class::NegNormal => 2,
                            Class::PosInfinity | Class::NegInfinity => 3,
                            Class::QuietNan => 4,
                            Class::SignalingNan => 5,
                        },
                    ),
                    "dtstdg" => {
                        let extreme = a.is_finite() && (a.exponent() == low || a.exponent() == high);
                        matched(
                            a,
                            if !a.is_finite() {
                                5
                            } else if a.is_zero() {
                                u32::from(extreme)
                            } else if extreme || a.is_subnormal() {
                                2
                            } else if a.digits() < DIGITS {
                                3
                            } else {
                                4
                            },
                        )
                    }
                    "dtstex" => match (a.is_finite(), b.is_finite()) {
                        (true, true) => [8, 2, 4][(a.exponent().cmp(&b.exponent()) as i8 + 1) as usize],
                        (false, false) if a.is_nan() == b.is_nan() => 2,
                        _ => 1,
                    },
                    _ => {
                        if !b.is_finite() {
                            1
                        } else if k == 0 {
                            4
                        } else {
                            let n = if b.is_zero() { 0 } else { b.digits() };
                            [8, 2, 4][(k.cmp(&n) as i8 + 1) as usize]
                        }
                    }
                })
            }

            /// Digits shifted, packed, and exponents moved about: no change of the FPSCR. Finite numbers only.
            pub fn part(v: &Vector, op: &str, a: $D, b: $D) -> Option<u128> {
                let i = v.insn;
                let bias = -build(false, 0, -99999).exponent();
                let shift = i.bits(16, 21);
                let ten = |n: u32| 10u128.pow(n);
                match op {
                    "dscli" | "dscri" if a.is_finite() => {
                        let c = coefficient(a);
                        let c = match shift {
                            s if s >= DIGITS => 0,
                            s if op == "dscri" => c / ten(s),
                            s => c % ten(DIGITS - s) * ten(s),
                        };
                        Some(bits(build(a.is_signed(), c, a.exponent())))
                    }
                    "dxex" => Some(if b.is_finite() {
                        (b.exponent() + bias) as u128
                    } else if b.is_infinite() {
                        u64::MAX.into()
                    } else {
                        u128::from(u64::MAX) - if b.is_signaling_nan() { 2 } else { 1 }
                    }),
                    "diex" if b.is_finite() => {
                        let e = fpr(v, i.fra()) as i64;
                        let top = build(false, 0, 99999).exponent() + bias;
                        (0..=i64::from(top))
                            .contains(&e)
                            .then(|| bits(build(b.is_signed(), coefficient(b), e as i32 - bias)))
                    }
                    "ddedpd" if b.is_finite() => {
                        let sp = i.bits(11, 12);
                        let places = DIGITS.min(32);
                        let (mut c, mut out, mut at) = (coefficient(b), 0u128, 0);
                        if sp & 2 != 0 {
                            out = if b.is_signed() { 0xd } else { 0xc | u128::from(sp & 1) * 3 };
                            at = 1;
                        }
                        for k in at..places {
                            out |= (c % 10) << (4 * k);
                            c /= 10;
                        }
                        Some(out)
                    }
                    _ => None,
                }
            }

            /// Packed digits to a number.
            pub fn from_packed(x: u128, signed: bool) -> Done {
                let places = DIGITS.min(32);
                let digits = (u32::from(signed)..places).rev().map(|k| x >> (4 * k) & 15);
                let sign = x & 15;
                if digits.clone().any(|d| d > 9) || signed && sign < 10 {
                    return invalid(VXCVI);
                }
                let c = digits.fold(0, |n, d| n * 10 + d);
                plain(build(signed && (sign == 11 || sign == 13), c, 0))
            }
        }
    };
}

of_format!(long, Decimal64, u64, 576, 16);
of_format!(extended, Decimal128, u128, 9216, 34);

/// A narrower format: value and exceptions under each rounding mode.
fn narrowed(v: &Vector, convert: impl Fn(Rounding) -> (u128, u64, Class)) -> Option<Done> {
    let (bits, exc, c) = convert(current(v));
    let (down, ..) = convert(Rounding::Down);
    if v.input.fpscr & 0x60 != 0
        && (exc & (OX | UX) != 0 || matches!(c, Class::PosSubnormal | Class::NegSubnormal))
    {
        return None;
    }
    let fi = exc & XX != 0;
    let fr = if exc & OX != 0 { None } else { Some(fi && bits != down) };
    Some(Done { bits, event: Event { exc, fr, fi, fprf: Some(class(c)) } })
}

/// The class of a number of 7 digits: below 10^-95 it is subnormal.
fn short_class(x: Decimal32) -> Class {
    let wide = Decimal64::from(x);
    let small = wide.exponent() + wide.digits() as i32 - 1 < -95;
    match wide.class() {
        Class::PosNormal if small => Class::PosSubnormal,
        Class::NegNormal if small => Class::NegSubnormal,
        c => c,
    }
}

fn conversion(v: &Vector, m: &str) -> Option<Done> {
    let i = v.insn;
    let b64 = fpr(v, i.frb());
    let b = long::number(b64.into());
    let pair = u128::from(b64) << 64 | u128::from(fpr(v, i.frb() | 1));
    match m {
        "dctdp" => Some(long::plain(Decimal64::from(Decimal32::from_be_bytes((b64 as u32).to_be_bytes())))),
        "dctqpq" if !b.is_nan() => Some(extended::plain(Decimal128::from(b))),
        "drsp" if b.is_finite() => narrowed(v, |r| {
            let mut c = Context::<Decimal32>::default();
            c.set_rounding(r);
            let x = c.from_decimal64(b);
            (u32::from_be_bytes(x.to_be_bytes()).into(), exceptions(c.status()), short_class(x))
        }),
        "drdpq" if extended::number(pair).is_finite() => narrowed(v, |r| {
            let mut c = long::context(r);
            let x = c.from_decimal128(extended::number(pair));
            (long::bits(x) << 64, exceptions(c.status()), x.class())
        }),
        "dcffix" => {
            let n = extended::context(Rounding::HalfEven).from_i128((b64 as i64).into());
            Some(long::done(current(v), |c| c.from_decimal128(n)))
        }
        "dcffixq" => {
            Some(extended::plain(extended::context(Rounding::HalfEven).from_i128((b64 as i64).into())))
        }
        "dcffixqq" => {
            let n = v.input.vsr[32 + i.vrb() as usize] as i128;
            Some(extended::done(current(v), |c| {
                let mut d = Context::<Decimal<15>>::default();
                let wide = d.parse(n.to_string()).expect("a number");
                c.from_decimal(&wide)
            }))
        }
        _ => None,
    }
}

/// The result of a decimal instruction.
pub fn model(v: &Vector) -> Option<Expected> {
    let i = v.insn;
    let rc = i.rc() && !v.row.operands.starts_with("BF") && !v.row.operands.contains("VR");
    let mnemonic = v.row.mnemonic;
    let op = mnemonic.strip_suffix('q').unwrap_or(mnemonic);
    let wide = op.len() < mnemonic.len();
    let get = |n: u32| {
        if wide { u128::from(fpr(v, n & !1)) << 64 | u128::from(fpr(v, n | 1)) } else { fpr(v, n).into() }
    };
    let (a, b) = (get(i.fra()), get(i.frb()));
    let pair = v.row.operands.contains("FRTp");
    let put = |s: &mut crate::state::State, bits: u128| {
        let t = i.frt() as usize;
        if pair {
            s.vsr[t & !1] = bits >> 64 << 64;
            s.vsr[t | 1] = bits << 64;
        } else {
            s.vsr[t] = bits << 64;
        }
    };
    macro_rules! either {
        ($f:ident($($arg:expr),*), $x:ident => $($rest:expr),*) => {
            if wide {
                let $x = extended::number;
                extended::$f($($arg,)* $($rest),*)
            } else {
                let $x = long::number;
                long::$f($($arg,)* $($rest),*)
            }
        };
    }
    let done = match op {
        "dadd" | "dsub" | "dmul" | "ddiv" => either!(arithmetic(v, op), n => n(a), n(b))?,
        "dcmpu" | "dcmpo" => {
            let e = either!(compare(v), n => n(a), n(b), op == "dcmpo");
            return Some(status::outcome(v, Sort::Compare, e, false, |s| {
                s.cr = set_field(s.cr, i.bf(), e.fprf.unwrap_or(0));
            }));
        }
        "dtstdc" | "dtstdg" | "dtstex" | "dtstsf" | "dtstsfi" => {
            let k = if op == "dtstsf" { fpr(v, i.fra()) as u32 & 63 } else { i.bits(10, 15) };
            let code = either!(test(v, op), n => n(a), n(b), k)?;
            let e = Event { fprf: Some(code), ..Event::default() };
            return Some(status::outcome(v, Sort::Compare, e, false, |s| {
                s.cr = set_field(s.cr, i.bf(), code)
            }));
        }
        "dscli" | "dscri" | "dxex" | "diex" | "ddedpd" => {
            let bits = either!(part(v, op), n => n(a), n(b))?;
            let mut e = status::outcome(v, Sort::Elements, Event::default(), rc, |_| {});
            put(&mut e.out.state, bits);
            return Some(e);
        }
        "dqua" => either!(quantize(chosen(v, i.bits(21, 22))), n => n(b), n(a))?,
        "dquai" => {
            let e = ((i.bits(11, 15) << 3) as i8) >> 3;
            let r = chosen(v, i.bits(21, 22));
            if wide {
                extended::quantize(r, extended::number(b), extended::build(false, 0, e.into()))?
            } else {
                long::quantize(r, long::number(b), long::build(false, 0, e.into()))?
            }
        }
        "drrnd" => {
            let k = fpr(v, i.fra()) as u32 & 63;
            either!(reround(chosen(v, i.bits(21, 22))), n => n(b), k)?
        }
        "drintx" | "drintn" => {
            let r = chosen(v, i.bits(15, 15) << 2 | i.bits(21, 22));
            let zero = |e: i32| e >= 0;
            let mut d = if wide {
                let x = extended::number(b);
                if x.is_finite() && zero(x.exponent()) {
                    extended::plain(x)
                } else {
                    extended::quantize(r, x, extended::build(false, 0, 0))?
                }
            } else {
                let x = long::number(b);
                if x.is_finite() && zero(x.exponent()) {
                    long::plain(x)
                } else {
                    long::quantize(r, x, long::build(false, 0, 0))?
                }
            };
            if op == "drintn" {
                (d.event.exc, d.event.fr, d.event.fi) = (0, Some(false), false);
            }
            d
        }
        "denbcd" => either!(from_packed(b, i.bits(11, 11) != 0), _n => ),
        "dctfix" => either!(to_integer(current(v)), n => n(b), 64),
        _ if mnemonic == "dctfixqq" => {
            let x = u128::from(fpr(v, i.frb() & !1)) << 64 | u128::from(fpr(v, i.frb() | 1));
            let d = extended::to_integer(current(v), extended::number(x), 128);
            return Some(status::outcome(v, Sort::Scalar, d.event, false, |s| {
                s.vsr[32 + i.vrt() as usize] = d.bits;
            }));
        }
        _ => conversion(v, mnemonic)?,
    };
    let bits = if op == "dctfix" { u128::from(done.bits as u64) } else { done.bits };
    Some(status::outcome(v, Sort::Scalar, done.event, rc, |s| put(s, bits)))
}

fn set_field(cr: u64, field: u32, value: u64) -> u64 {
    let at = 28 - 4 * field;
    cr & !(15 << at) | value << at
}
