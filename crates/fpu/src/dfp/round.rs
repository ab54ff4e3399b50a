//! Rounding, the choice among equal representations, overflow and underflow (Book I, 5.5.10 to 5.5.12).

use super::{
    format::{Decimal, Format, POW10, digits},
    wide::{Rest, Wide},
};
use crate::fpscr::{OX, UX, XX};

/// Rounding modes, numbered as FPSCR[DRN].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// To nearest, ties to even.
    HalfEven,
    /// Towards zero.
    Down,
    /// Towards plus infinity.
    Ceiling,
    /// Towards minus infinity.
    Floor,
    /// To nearest, ties away from zero.
    HalfUp,
    /// To nearest, ties towards zero.
    HalfDown,
    /// Away from zero.
    Up,
    /// To prepare for shorter precision: away from zero when the last digit is 0 or 5.
    ZeroFive,
}

impl Mode {
    /// FPSCR[DRN].
    pub fn current(fpscr: u64) -> Mode {
        Mode::of(fpscr >> 32 & 7)
    }

    fn of(n: u64) -> Mode {
        [
            Mode::HalfEven,
            Mode::Down,
            Mode::Ceiling,
            Mode::Floor,
            Mode::HalfUp,
            Mode::HalfDown,
            Mode::Up,
            Mode::ZeroFive,
        ][n as usize & 7]
    }

    /// R << 2 | RMC of an instruction; `current` where it says so.
    pub fn immediate(c: u8, current: Mode) -> Mode {
        match c & 7 {
            0 => Mode::HalfEven,
            1 => Mode::Down,
            2 => Mode::HalfUp,
            3 => current,
            4 => Mode::Ceiling,
            5 => Mode::Floor,
            6 => Mode::Up,
            _ => Mode::HalfDown,
        }
    }

    /// Whether the digits kept are incremented.
    pub fn increments(self, sign: bool, last: u32, rest: Rest) -> bool {
        if rest == Rest::Exact {
            return false;
        }
        match self {
            Mode::HalfEven => rest == Rest::Above || rest == Rest::Half && last & 1 != 0,
            Mode::Down => false,
            Mode::Ceiling => !sign,
            Mode::Floor => sign,
            Mode::HalfUp => rest >= Rest::Half,
            Mode::HalfDown => rest == Rest::Above,
            Mode::Up => true,
            Mode::ZeroFive => last == 0 || last == 5,
        }
    }

    /// Whether an overflow gives infinity.
    fn overflows(self, sign: bool) -> bool {
        match self {
            Mode::Down | Mode::ZeroFive => false,
            Mode::Ceiling => !sign,
            Mode::Floor => sign,
            _ => true,
        }
    }
}

/// What rounding depends on.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    /// Direction.
    pub mode: Mode,
    /// Overflow exceptions are enabled.
    pub oe: bool,
    /// Underflow exceptions are enabled.
    pub ue: bool,
    /// Exponent adjustment of an enabled overflow or underflow.
    pub wrap: i32,
}

/// An infinitely precise intermediate result.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    /// Negative.
    pub sign: bool,
    /// Significand.
    pub coef: Wide,
    /// Exponent of its last digit.
    pub exp: i32,
    /// Something not zero follows the last digit; there are then more digits than any format has.
    pub sticky: bool,
    /// Ideal exponent.
    pub ideal: i32,
}

/// A rounded result and what happened.
#[derive(Clone, Copy, Debug)]
pub struct Rounded {
    /// The result.
    pub value: Decimal,
    /// OX, UX, XX.
    pub exc: u32,
    /// The significand was incremented.
    pub fr: bool,
    /// Inexact.
    pub fi: bool,
    /// The exponent was adjusted: the result is in the format `held`.
    pub adjusted: bool,
}

/// Round to `digits` digits and exponents from `low` on; among equal results the one whose exponent is nearest to the
/// ideal one (brought into `low..=high`), of an inexact one that with the smallest. Incremented, inexact.
fn fit(f: &Format, low: i32, high: i32, mode: Mode, x: &Exact) -> (Decimal, bool, bool) {
    let many = x.coef.digits().saturating_sub(f.digits);
    let drop = many.max(low.saturating_sub(x.exp).max(0) as u32);
    let (kept, rest) = x.coef.cut(drop, x.sticky);
    // No more digits than a format has.
    let mut coef = kept.to_u128().unwrap_or(0);
    let mut exp = x.exp.saturating_add(drop as i32);
    if rest != Rest::Exact {
        let up = mode.increments(x.sign, (coef % 10) as u32, rest);
        coef += up as u128;
        if coef > f.max_coef() {
            (coef, exp) = (coef / 10, exp + 1);
        }
        return (Decimal::number(x.sign, coef, exp), up, true);
    }
    let target = x.ideal.clamp(low, high);
    if exp > target {
        let by = (exp - target).min((f.digits - digits(coef)) as i32);
        (coef, exp) = (coef * POW10[by as usize], exp - by);
    }
    while exp < target && coef % 10 == 0 {
        (coef, exp) = (coef / 10, exp + 1);
    }
    (Decimal::number(x.sign, coef, exp), false, false)
}

/// Round to the format `f`. Tininess is detected before rounding. A result whose exponent was adjusted is in the
/// format `held`.
pub fn round(f: &Format, held: &Format, env: Env, x: Exact) -> Rounded {
    if x.coef.is_zero() && !x.sticky {
        let value = Decimal::number(x.sign, 0, x.ideal.clamp(f.qmin(), f.qmax()));
        return Rounded { value, exc: 0, fr: false, fi: false, adjusted: false };
    }
    let tiny = x.exp + (x.coef.digits() as i32) - 1 < f.emin();
    let wrapped = |by: i32, exc: u32| {
        let x = Exact { exp: x.exp + by, ideal: x.ideal + by, ..x };
        let (value, fr, fi) = fit(f, held.qmin(), held.qmax(), env.mode, &x);
        Rounded { value, exc: exc | if fi { XX } else { 0 }, fr, fi, adjusted: true }
    };
    if tiny && env.ue {
        return wrapped(env.wrap, UX);
    }
    let (value, fr, fi) = fit(f, f.qmin(), f.qmax(), env.mode, &x);
    if value.exp > f.qmax() {
        if env.oe {
            return wrapped(-env.wrap, OX);
        }
        let to_inf = env.mode.overflows(x.sign);
        let value =
            if to_inf { Decimal::inf(x.sign) } else { Decimal::number(x.sign, f.max_coef(), f.qmax()) };
        return Rounded { value, exc: OX | XX, fr: to_inf, fi: true, adjusted: false };
    }
    let exc = match (fi, tiny) {
        (true, true) => UX | XX,
        (true, false) => XX,
        _ => 0,
    };
    Rounded { value, exc, fr, fi, adjusted: false }
}
