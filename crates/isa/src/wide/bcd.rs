//! Packed, zoned and national decimals (Book I, 6.17): 31 digits and a sign, the sign in the rightmost four bits.
//!
//! Each function gives the result and the value of CR6: 8 negative, 4 positive, 2 zero, and 1 for an overflow; 1
//! alone for an invalid operand (the result, undefined by the manual, is then zero).

type Decimal = (u128, u8);

const INVALID: Decimal = (0, 1);
/// 10^31
const LIMIT: u128 = 10u128.pow(31);

/// Whether the `n` rightmost nibbles of `x` are decimal digits.
fn digits_ok(x: u128, n: u32) -> bool {
    (0..n).all(|k| x >> (4 * k) & 15 <= 9)
}

/// Whether the sign code means a negative number; `None`: no sign code.
fn negative(x: u128) -> Option<bool> {
    match x & 15 {
        0xb | 0xd => Some(true),
        0xa | 0xc | 0xe | 0xf => Some(false),
        _ => None,
    }
}

/// Digits (without sign) and negativity of a valid packed decimal.
fn parse(x: u128) -> Option<(u128, bool)> {
    let neg = negative(x)?;
    digits_ok(x >> 4, 31).then_some((x >> 4, neg))
}

/// Preferred sign code.
fn sign_code(neg: bool, ps: u32) -> u128 {
    match (neg, ps & 1) {
        (true, _) => 0xd,
        (false, 0) => 0xc,
        (false, _) => 0xf,
    }
}

/// CR6 of a valid outcome.
fn relation(digits: u128, neg: bool, overflow: bool) -> u8 {
    let sign = match (digits, neg) {
        (0, _) => 2,
        (_, true) => 8,
        (_, false) => 4,
    };
    sign | u8::from(overflow)
}

/// A packed result with preferred sign.
fn packed(digits: u128, neg: bool, ps: u32, overflow: bool) -> Decimal {
    (digits << 4 | sign_code(neg, ps), relation(digits, neg, overflow))
}

/// Decimal digits (up to 32) to a number.
fn value(mut digits: u128) -> u128 {
    let mut v = 0;
    for _ in 0..32 {
        digits = digits.rotate_left(4);
        v = v * 10 + (digits & 15);
    }
    v
}
/// A number to its 32 low decimal digits.
fn to_digits(mut v: u128) -> u128 {
    let mut r = 0;
    for k in 0..32 {
        r |= (v % 10) << (4 * k);
        v /= 10;
    }
    r
}

fn sum(a: (u128, bool), b: (u128, bool), ps: u32) -> Decimal {
    let signed = |(digits, neg): (u128, bool)| {
        let v = value(digits) as i128; // below 10^31
        if neg { -v } else { v }
    };
    let s = signed(a) + signed(b);
    let (mag, neg) = (s.unsigned_abs(), s < 0);
    let (_, cr) = packed(mag, neg, ps, mag >= LIMIT);
    (to_digits(mag % LIMIT) << 4 | sign_code(neg, ps), cr)
}

/// `bcdadd.`
pub fn add(a: u128, b: u128, ps: u32) -> Decimal {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => sum(a, b, ps),
        _ => INVALID,
    }
}
/// `bcdsub.`
pub fn sub(a: u128, b: u128, ps: u32) -> Decimal {
    match (parse(a), parse(b)) {
        (Some(a), Some((digits, neg))) => sum(a, (digits, !neg), ps),
        _ => INVALID,
    }
}

/// `bcdcfn.`: from seven national digits (0x0030 to 0x0039) and a sign (0x002B, 0x002D).
pub fn from_national(b: u128, ps: u32) -> Decimal {
    let neg = match b & 0xffff {
        0x2b => false,
        0x2d => true,
        _ => return INVALID,
    };
    let mut digits = 0;
    for k in (1..8).rev() {
        match b >> (16 * k) & 0xffff {
            h @ 0x30..=0x39 => digits = digits << 4 | h & 15,
            _ => return INVALID,
        }
    }
    packed(digits, neg, ps, false)
}

/// `bcdctn.`
pub fn to_national(b: u128) -> Decimal {
    let Some((digits, neg)) = parse(b) else { return INVALID };
    let mut r = if neg { 0x2d } else { 0x2b };
    for k in 1..8 {
        r |= (0x30 | digits >> (4 * (k - 1)) & 15) << (16 * k);
    }
    (r, relation(digits, neg, digits >> 28 != 0))
}

/// `bcdcfz.`: from sixteen zoned digits; PS chooses the zones 0x3 or 0xF.
pub fn from_zoned(b: u128, ps: u32) -> Decimal {
    let lead = if ps & 1 != 0 { 0xf } else { 3 };
    let sign = b >> 4 & 15;
    if ps & 1 != 0 && sign < 10 {
        return INVALID;
    }
    let mut digits = 0;
    for k in (0..16).rev() {
        let byte = b >> (8 * k);
        if byte & 15 > 9 || k > 0 && byte >> 4 & 15 != lead {
            return INVALID;
        }
        digits = digits << 4 | byte & 15;
    }
    let neg = if ps & 1 != 0 { sign == 0xb || sign == 0xd } else { sign & 4 != 0 };
    packed(digits, neg, 0, false)
}

/// `bcdctz.`
pub fn to_zoned(b: u128, ps: u32) -> Decimal {
    let Some((digits, neg)) = parse(b) else { return INVALID };
    let (lead, sign) = match (ps & 1 != 0, neg) {
        (false, false) => (3, 3),
        (false, true) => (3, 7),
        (true, false) => (0xf, 0xc),
        (true, true) => (0xf, 0xd),
    };
    let mut r = 0;
    for k in 0..16 {
        let zone: u128 = if k == 0 { sign } else { lead };
        r |= (zone << 4 | digits >> (4 * k) & 15) << (8 * k);
    }
    (r, relation(digits, neg, digits >> 64 != 0))
}

/// `bcdcfsq.`: from a signed quadword.
pub fn from_binary(b: u128, ps: u32) -> Decimal {
    let (mag, neg) = ((b as i128).unsigned_abs(), (b as i128) < 0);
    let (r, _) = packed(to_digits(mag % LIMIT), neg, ps, false);
    (r, relation(mag, neg, mag >= LIMIT))
}
/// `bcdctsq.`
pub fn to_binary(b: u128) -> Decimal {
    let Some((digits, neg)) = parse(b) else { return INVALID };
    let v = value(digits);
    (if neg { v.wrapping_neg() } else { v }, relation(digits, neg, false))
}

/// `bcdsetsgn.`
pub fn set_sign(b: u128, ps: u32) -> Decimal {
    match parse(b) {
        Some((digits, neg)) => packed(digits, neg, ps, false),
        None => INVALID,
    }
}
/// `bcdcpsgn.`: digits of a, sign code of b.
pub fn copy_sign(a: u128, b: u128) -> Decimal {
    match (parse(a), parse(b)) {
        (Some((digits, _)), Some((_, neg))) => (digits << 4 | b & 15, relation(digits, neg, false)),
        _ => INVALID,
    }
}

/// Digits (of `width` in all) shifted left by `n`, right when negative: result, lost on the left, last digit lost on
/// the right.
fn shift_digits(digits: u128, n: i8, width: u32) -> (u128, bool, u128) {
    let all = u128::MAX >> (128 - 4 * width);
    let by = u32::from(n.unsigned_abs());
    match (n >= 0, by) {
        (_, 0) => (digits, false, 0),
        (true, by) if by >= width => (0, digits != 0, 0),
        (true, by) => (digits << (4 * by) & all, digits >> (4 * (width - by)) != 0, 0),
        (false, by) if by > width => (0, false, 0),
        (false, by) => {
            let last = digits >> (4 * (by - 1)) & 15;
            (if by == 32 { 0 } else { digits >> (4 * by) }, false, last)
        }
    }
}

/// `bcds.`, and with `round` `bcdsr.`: b's digits shifted by the signed byte 7 of a.
pub fn shift(a: u128, b: u128, ps: u32, round: bool) -> Decimal {
    let Some((digits, neg)) = parse(b) else { return INVALID };
    let (digits, lost, last) = shift_digits(digits, (a >> 64) as i8, 31);
    let digits = if round && last >= 5 { to_digits(value(digits) + 1) } else { digits };
    packed(digits, neg, ps, lost)
}
/// `bcdus.`: 32 digits without sign.
pub fn unsigned_shift(a: u128, b: u128) -> Decimal {
    if !digits_ok(b, 32) {
        return INVALID;
    }
    let (digits, lost, _) = shift_digits(b, (a >> 64) as i8, 32);
    (digits, relation(digits, false, lost))
}

/// `bcdtrunc.`: the number of digits in halfword 3 of a.
pub fn truncate(a: u128, b: u128, ps: u32) -> Decimal {
    let Some((digits, neg)) = parse(b) else { return INVALID };
    let n = (a >> 64) as u16;
    let kept = if n >= 31 { digits } else { digits & !(u128::MAX << (4 * n)) };
    packed(kept, neg, ps, kept != digits)
}
/// `bcdutrunc.`
pub fn unsigned_truncate(a: u128, b: u128) -> Decimal {
    if !digits_ok(b, 32) {
        return INVALID;
    }
    let n = (a >> 64) as u16;
    let kept = if n >= 32 { b } else { b & !(u128::MAX << (4 * n)) };
    (kept, relation(kept, false, kept != b))
}
