//! Operand values worth trying: edges of each format, and numbers near them.

use crate::rng::Rng;

/// How a register's bits are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Int(u32),
    /// Binary floating point: exponent and fraction bits.
    Float(u32, u32),
    /// Doubles that are singles.
    Single,
    /// Decimal in one or two doublewords (both doublewords filled separately in the first case).
    Dec64,
    Dec128,
    /// Packed decimal with a sign, most often valid.
    Bcd,
    /// Zoned decimal and national decimal.
    Zoned,
}

/// Half precision.
pub const F16: Kind = Kind::Float(5, 10);
/// The upper half of a single.
pub const BF16: Kind = Kind::Float(8, 7);
/// Single precision.
pub const F32: Kind = Kind::Float(8, 23);
/// Double precision.
pub const F64: Kind = Kind::Float(11, 52);
/// Quad precision.
pub const F128: Kind = Kind::Float(15, 112);

const ALL: &[Kind] = &[
    Kind::Int(8),
    Kind::Int(16),
    Kind::Int(32),
    Kind::Int(64),
    Kind::Int(128),
    F16,
    BF16,
    F32,
    F64,
    F128,
    Kind::Single,
    Kind::Dec64,
    Kind::Dec128,
    Kind::Bcd,
    Kind::Zoned,
];

/// Any kind.
pub fn any_kind(r: &mut Rng) -> Kind {
    r.pick(ALL)
}

/// An integer of `bits` bits: small, large, powers of two and their neighbours, all ones, random.
pub fn int(r: &mut Rng, bits: u32) -> u128 {
    let mask = u128::MAX >> (128 - bits);
    let v = match r.below(12) {
        0 => 0,
        1 => u128::from(r.below(4)),
        2 => u128::from(r.below(130)),
        3 => u128::MAX,
        4 => u128::MAX - u128::from(r.below(130)),
        5 => 1 << (bits - 1),
        6 => (1 << (bits - 1)) - 1,
        7 => 1 << r.below(u64::from(bits)),
        8 => (1u128 << r.below(u64::from(bits))).wrapping_sub(1),
        9 => !(1u128 << r.below(u64::from(bits))),
        _ => r.wide(),
    };
    v & mask
}

/// A binary floating-point number: zeros, denormals, infinities, quiet and signalling NaNs with payloads, ones and
/// their neighbours, the ends of the range, integers and halves, random.
pub fn float(r: &mut Rng, exp: u32, frac: u32) -> u128 {
    let fmask = (1u128 << frac) - 1;
    let emax = (1u128 << exp) - 1;
    let bias = emax >> 1;
    let sign = u128::from(r.below(2)) << (exp + frac);
    let e = match r.below(18) {
        0 | 1 => 0,
        2 | 3 => emax,
        4 => 1,
        5 => emax - 1,
        6 => u128::from(r.below(u64::from(frac) + 3)),
        7..=10 => bias + u128::from(r.below(5)) - 2,
        11 | 12 => (bias + u128::from(r.below(2 * u64::from(frac) + 8))).min(emax - 1),
        13 => (bias / 2 + u128::from(r.below(5))).saturating_sub(2),
        14 => (bias + bias / 2 + u128::from(r.below(5))).saturating_sub(2).min(emax - 1),
        _ => r.wide() % emax,
    };
    let f = match r.below(9) {
        0 | 1 => 0,
        2 => 1,
        3 => fmask,
        4 => 1 << (frac - 1),
        5 => 1 << r.below(u64::from(frac)),
        6 => (fmask << r.below(u64::from(frac))) & fmask,
        _ => r.wide() & fmask,
    };
    sign | e << frac | f
}

/// A double that a single can hold.
fn single(r: &mut Rng) -> u64 {
    let s = float(r, 8, 23) as u32;
    let (sign, e, f) = (u64::from(s >> 31) << 63, s >> 23 & 0xff, u64::from(s & 0x7f_ffff));
    match (e, f) {
        (0, 0) => sign,
        (255, _) => sign | 0x7ff << 52 | f << 29,
        (0, _) => {
            // Normalized as a double.
            let top = 63 - f.leading_zeros();
            sign | u64::from(top + 1023 - 149) << 52 | (f << (52 - top)) & ((1 << 52) - 1)
        }
        _ => sign | u64::from(e + 1023 - 127) << 52 | f << 29,
    }
}

/// Three decimal digits as a declet (Book I, 5.3; the densely packed decimal of IEEE 754).
pub fn declet(n: u32) -> u32 {
    let d = |k: u32| n / 10u32.pow(k) % 10;
    let (x, y, z) = (d(2), d(1), d(0));
    let low = |v: u32| v & 7;
    match (x > 7, y > 7, z > 7) {
        (false, false, false) => low(x) << 7 | low(y) << 4 | low(z),
        (false, false, true) => low(x) << 7 | low(y) << 4 | 0b1000 | z & 1,
        (false, true, false) => low(x) << 7 | (z & 6) << 4 | (y & 1) << 4 | 0b1010 | z & 1,
        (true, false, false) => (z & 6) << 7 | (x & 1) << 7 | low(y) << 4 | 0b1100 | z & 1,
        (true, true, false) => (z & 6) << 7 | (x & 1) << 7 | (y & 1) << 4 | 0b1110 | z & 1,
        (true, false, true) => (y & 6) << 7 | (x & 1) << 7 | 0b010_0000 | (y & 1) << 4 | 0b1110 | z & 1,
        (false, true, true) => low(x) << 7 | 0b100_0000 | (y & 1) << 4 | 0b1110 | z & 1,
        (true, true, true) => (x & 1) << 7 | 0b110_0000 | (y & 1) << 4 | 0b1110 | z & 1,
    }
}

/// A decimal number of 16 (`wide` false) or 34 digits.
pub fn decimal(r: &mut Rng, wide: bool) -> u128 {
    let (digits, ebits, bias, emax): (u32, u32, u32, u32) =
        if wide { (34, 12, 6176, 12287) } else { (16, 8, 398, 767) };
    let total = if wide { 128 } else { 64 };
    let sign = u128::from(r.below(2)) << (total - 1);
    if r.chance(8) {
        // Infinity, quiet and signalling NaN with any payload.
        let top = r.pick(&[0b11110u128, 0b111110, 0b111111]);
        let shift = if top == 0b11110 { total - 6 } else { total - 7 };
        let rest = if r.chance(2) { 0 } else { r.wide() & ((1 << (shift.min(total - 7))) - 1) };
        return sign | top << shift | rest;
    }
    if r.chance(12) {
        return r.wide() & (u128::MAX >> (128 - total));
    }
    let count = match r.below(5) {
        0 => digits,
        1 => 1,
        2 => 0,
        _ => r.below(u64::from(digits) + 1) as u32,
    };
    let mut c = vec![0u32; digits as usize];
    let style = r.below(6);
    for (k, d) in c.iter_mut().rev().enumerate().take(count as usize) {
        *d = match style {
            0 => 9,
            1 => u32::from(k as u32 + 1 == count),
            2 => 5 * u32::from(k as u32 + 1 == count || k == 0),
            3 => r.pick(&[0, 9]),
            _ => r.below(10) as u32,
        };
    }
    let e = match r.below(8) {
        0 => 0,
        1 => emax,
        2 => r.below(40) as u32,
        3 => emax - r.below(40) as u32,
        4 => r.below(u64::from(emax) + 1) as u32,
        5 => bias,
        _ => bias - 20 + r.below(41) as u32,
    };
    let msd = c[0];
    let mut v = 0u128;
    for t in c[1..].chunks(3) {
        v = v << 10 | u128::from(declet(t[0] * 100 + t[1] * 10 + t[2]));
    }
    let top = e >> ebits;
    let comb = if msd > 7 { 0b11000 | top << 1 | msd & 1 } else { top << 3 | msd };
    sign | u128::from(comb) << (total - 6) | u128::from(e & ((1 << ebits) - 1)) << (total - 6 - ebits) | v
}

fn bcd(r: &mut Rng) -> u128 {
    let count = match r.below(4) {
        0 => 31,
        1 => 0,
        _ => r.below(32),
    };
    let style = r.below(5);
    let mut v = 0u128;
    for k in 0..count {
        let d = match style {
            0 => 9,
            1 => u64::from(k == 0),
            _ => r.below(10),
        };
        v = v << 4 | u128::from(d);
    }
    let sign = r.pick(&[0xcu128, 0xd, 0xf, 0xa, 0xb, 0xe]);
    let v = v << 4 | sign;
    match r.below(12) {
        0 => v ^ 1 << r.below(128),
        1 => v & !15 | u128::from(r.below(16)),
        2 => r.wide(),
        _ => v,
    }
}

fn zoned(r: &mut Rng) -> u128 {
    let mut v = 0u128;
    if r.chance(2) {
        // Zoned: a zone of 3 or F, digits.
        let zone = r.pick(&[3u128, 15]);
        for _ in 0..16 {
            v = v << 8 | zone << 4 | u128::from(r.below(10));
        }
        v = v & !0xf0 | u128::from(r.below(16)) << 4;
    } else {
        for k in 0..8 {
            let d = if k == 7 { r.pick(&[0x2b, 0x2d, 0x2b, 0x30]) } else { 0x30 + u128::from(r.below(10)) };
            v = v << 16 | d;
        }
    }
    if r.chance(8) { v ^ 1 << r.below(128) } else { v }
}

/// A 128-bit register of a kind.
pub fn vector(r: &mut Rng, kind: Kind) -> u128 {
    let lanes = |r: &mut Rng, bits: u32, f: &mut dyn FnMut(&mut Rng) -> u128| -> u128 {
        let same = r.chance(6).then(|| f(r));
        (0..128 / bits).fold(0, |v, _| {
            let x = same.unwrap_or_else(|| f(r));
            if bits == 128 { x } else { v << bits | x }
        })
    };
    match kind {
        Kind::Int(bits) => lanes(r, bits, &mut |r| int(r, bits)),
        Kind::Float(e, f) => lanes(r, e + f + 1, &mut |r| float(r, e, f)),
        Kind::Single => lanes(r, 64, &mut |r| single(r).into()),
        Kind::Dec64 => lanes(r, 64, &mut |r| decimal(r, false)),
        Kind::Dec128 => decimal(r, true),
        Kind::Bcd => bcd(r),
        Kind::Zoned => zoned(r),
    }
}
