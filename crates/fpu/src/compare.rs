//! Compares, maximum and minimum, tests: operations without rounding.

use core::cmp::Ordering;

use isa::fp::FpOp;

use crate::{
    arith::{Res, class, double_bits, single_bits},
    fpscr::{VXSNAN, VXVC},
    soft::{Class, DOUBLE, Fmt, Num, compare, pack, unpack},
};

fn signals(a: &Num, b: &Num) -> bool {
    a.class == Class::SNan || b.class == Class::SNan
}

/// Invalid bits of an ordered compare.
fn ordered_exc(a: &Num, b: &Num, ve: bool) -> u32 {
    if signals(a, b) {
        if ve { VXSNAN } else { VXSNAN | VXVC }
    } else if a.is_nan() || b.is_nan() {
        VXVC
    } else {
        0
    }
}

/// FL, FG, FE, FU as a CR field, and the exceptions of `fcmpu` or (`ordered`) `fcmpo`.
pub fn compare_cr(fmt: Fmt, ordered: bool, ve: bool, a: u128, b: u128) -> (u8, u32) {
    let (a, b) = (unpack(fmt, a), unpack(fmt, b));
    if a.is_nan() || b.is_nan() {
        let quiet = if signals(&a, &b) { VXSNAN } else { 0 };
        return (1, if ordered { ordered_exc(&a, &b, ve) } else { quiet });
    }
    let cc = match compare(&a, &b) {
        Ordering::Less => 8,
        Ordering::Greater => 4,
        Ordering::Equal => 2,
    };
    (cc, 0)
}

/// `xscmpexp*`: biased exponents compared.
pub fn compare_exp(fmt: Fmt, a: u128, b: u128) -> u8 {
    if unpack(fmt, a).is_nan() || unpack(fmt, b).is_nan() {
        return 1;
    }
    let e = |x: u128| x >> fmt.frac & ((1 << fmt.exp) - 1);
    match e(a).cmp(&e(b)) {
        Ordering::Less => 8,
        Ordering::Greater => 4,
        Ordering::Equal => 2,
    }
}

/// Whether a = b, a > b or a >= b holds, and the exceptions.
pub fn predicate(op: FpOp, fmt: Fmt, ve: bool, a: u128, b: u128) -> (bool, u32) {
    let (a, b) = (unpack(fmt, a), unpack(fmt, b));
    if a.is_nan() || b.is_nan() {
        let quiet = if signals(&a, &b) { VXSNAN } else { 0 };
        return (false, if op == FpOp::CmpEq { quiet } else { ordered_exc(&a, &b, ve) });
    }
    let o = compare(&a, &b);
    let holds = match op {
        FpOp::CmpEq => o == Ordering::Equal,
        FpOp::CmpGt => o == Ordering::Greater,
        _ => o != Ordering::Less,
    };
    (holds, 0)
}

/// Maximum and minimum of every kind.
pub fn max_min(op: FpOp, fmt: Fmt, a: u128, b: u128) -> Res {
    let (x, y) = (unpack(fmt, a), unpack(fmt, b));
    let exc = if signals(&x, &y) { VXSNAN } else { 0 };
    let max = matches!(op, FpOp::Max | FpOp::MaxC | FpOp::MaxJ);
    let wanted = if max { Ordering::Greater } else { Ordering::Less };
    let bits = match op {
        FpOp::MaxC | FpOp::MinC => {
            if !x.is_nan() && !y.is_nan() && compare(&x, &y) == wanted {
                a
            } else {
                b
            }
        }
        FpOp::MaxJ | FpOp::MinJ if x.is_nan() => a,
        FpOp::MaxJ | FpOp::MinJ if y.is_nan() => b,
        _ if x.is_nan() || y.is_nan() => {
            let n = if x.class == Class::SNan || x.is_nan() && y.is_nan() {
                x.quieted()
            } else if y.class == Class::SNan {
                y.quieted()
            } else if x.is_nan() {
                y
            } else {
                x
            };
            pack(fmt, &n)
        }
        // Zeros are ordered by sign.
        _ if x.class == Class::Zero && y.class == Class::Zero => {
            if x.sign != max {
                a
            } else {
                b
            }
        }
        _ => {
            if compare(&x, &y) == wanted {
                a
            } else {
                b
            }
        }
    };
    Res { bits, exc, fr: false, fi: false, fprf: class(fmt, &unpack(fmt, bits)) }
}

/// Exponent field minus bias.
fn exponent(fmt: Fmt, x: u128) -> i32 {
    (x >> fmt.frac & ((1 << fmt.exp) - 1)) as i32 - fmt.emax()
}

/// FG and FE of `ftdiv` and its vector forms.
pub fn test_div(fmt: Fmt, a: u128, b: u128) -> (bool, bool) {
    let (x, y) = (unpack(fmt, a), unpack(fmt, b));
    if x.class == Class::Inf || matches!(y.class, Class::Inf | Class::Zero) {
        return (true, true);
    }
    let (ea, eb) = (exponent(fmt, a), exponent(fmt, b));
    let (emin, emax) = (fmt.emin(), fmt.emax());
    let a_matters =
        x.class != Class::Zero && (ea - eb >= emax || ea - eb <= emin + 1 || ea <= emin + fmt.frac as i32);
    let fe = x.is_nan() || y.is_nan() || eb <= emin || eb >= emax - 2 || a_matters;
    (y.class == Class::Finite && y.exp < emin, fe)
}

/// FG and FE of `ftsqrt` and its vector forms.
pub fn test_sqrt(fmt: Fmt, b: u128) -> (bool, bool) {
    let y = unpack(fmt, b);
    if matches!(y.class, Class::Inf | Class::Zero) {
        return (true, true);
    }
    let fe = y.is_nan() || y.sign || exponent(fmt, b) <= fmt.emin() + fmt.frac as i32;
    (y.class == Class::Finite && y.exp < fmt.emin(), fe)
}

/// Whether the data class of `b` is in the mask DCMX.
pub fn test_class(fmt: Fmt, b: u128, dcmx: u8) -> bool {
    class_bit(&unpack(fmt, b), fmt.emin()) & dcmx != 0
}

fn class_bit(n: &Num, emin: i32) -> u8 {
    let s = n.sign as u8;
    match n.class {
        Class::QNan | Class::SNan => 0x40,
        Class::Inf => 0x20 >> s,
        Class::Zero => 0x08 >> s,
        Class::Finite if n.exp < emin => 0x02 >> s,
        Class::Finite => 0,
    }
}

/// `xststdcsp`: the class as a single of a double, and whether the double is no single.
pub fn test_class_sp(b: u64, dcmx: u8) -> (bool, bool) {
    let n = unpack(DOUBLE, b as u128);
    let not_sp = double_bits(single_bits(b)) != b;
    (class_bit(&n, crate::soft::SINGLE.emin()) & dcmx != 0, not_sp)
}
