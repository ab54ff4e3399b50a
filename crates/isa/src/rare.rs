//! Fixed-point operations seldom met, as pure functions.

use crate::builder::{Op1, Op2, Rare2, Rel};

/// `Rare2` by the manual's definitions.
pub fn eval(op: Rare2, a: u64, b: u64) -> u64 {
    match op {
        Rare2::Cntlzdm => {
            let mut n = 0;
            for bit in (0..64).rev().filter(|&k| b >> k & 1 != 0) {
                if a >> bit & 1 != 0 {
                    break;
                }
                n += 1;
            }
            n
        }
        Rare2::Cnttzdm => {
            let mut n = 0;
            for bit in (0..64).filter(|&k| b >> k & 1 != 0) {
                if a >> bit & 1 != 0 {
                    break;
                }
                n += 1;
            }
            n
        }
        Rare2::Cfuged => {
            // Bits whose mask bit is 0 go left, those whose mask bit is 1 go right, each in order.
            let (mut left, mut right) = (0u64, 0u64);
            for k in (0..64).rev() {
                let bit = a >> k & 1;
                if b >> k & 1 == 0 {
                    left = left << 1 | bit;
                } else {
                    right = right << 1 | bit;
                }
            }
            let ones = b.count_ones();
            if ones == 64 { right } else { left << ones | right }
        }
        Rare2::Pdepd => {
            let (mut v, mut n) = (0, 0);
            for k in (0..64).filter(|&k| b >> k & 1 != 0) {
                v |= (a >> n & 1) << k;
                n += 1;
            }
            v
        }
        Rare2::Pextd => {
            let (mut v, mut n) = (0, 0);
            for k in (0..64).filter(|&k| b >> k & 1 != 0) {
                v |= (a >> k & 1) << n;
                n += 1;
            }
            v
        }
        Rare2::Addg6s => {
            // Six in every digit whose sum carried nothing out.
            let mut v = 0;
            let mut carry = 0;
            for d in 0..16 {
                let s = (a >> (4 * d) & 15) + (b >> (4 * d) & 15) + carry;
                carry = s >> 4;
                if carry == 0 {
                    v |= 6 << (4 * d);
                }
            }
            v
        }
        Rare2::Cdtbcd => declets(a, 20, |w, n| dpd_to_bcd((w >> (10 * n)) as u16 & 0x3ff) << (12 * n)),
        Rare2::Cbcdtd => {
            declets(a, 24, |w, n| (bcd_to_dpd((w >> (12 * n)) as u16 & 0xfff) as u32) << (10 * n))
        }
    }
}

/// Apply a conversion of two declets to each word.
fn declets(a: u64, bits: u32, f: impl Fn(u32, u32) -> u32) -> u64 {
    let word = |w: u32| {
        let w = w & ((1u32 << bits) - 1);
        (f(w, 0) | f(w, 1)) as u64
    };
    word((a >> 32) as u32) << 32 | word(a as u32)
}

/// A ten-bit declet to three BCD digits (Book I, appendix B).
pub fn dpd_to_bcd(d: u16) -> u32 {
    let bit = |n: u32| (d >> (9 - n)) as u32 & 1;
    let (p, q, r, s, t, u, v, w, x, y) =
        (bit(0), bit(1), bit(2), bit(3), bit(4), bit(5), bit(6), bit(7), bit(8), bit(9));
    let three = |a: u32, b: u32, c: u32| a << 2 | b << 1 | c;
    let (h, m, l) = if v == 0 {
        (three(p, q, r), three(s, t, u), three(w, x, y))
    } else {
        match (w, x) {
            (0, 0) => (three(p, q, r), three(s, t, u), 8 | y),
            (0, 1) => (three(p, q, r), 8 | u, three(s, t, y)),
            (1, 0) => (8 | r, three(s, t, u), three(p, q, y)),
            _ => match (s, t) {
                (0, 0) => (8 | r, 8 | u, three(p, q, y)),
                (0, 1) => (8 | r, three(p, q, u), 8 | y),
                (1, 0) => (three(p, q, r), 8 | u, 8 | y),
                _ => (8 | r, 8 | u, 8 | y),
            },
        }
    };
    h << 8 | m << 4 | l
}

/// Three BCD digits to a declet (Book I, appendix B); digits over 9 give what the equations give.
pub fn bcd_to_dpd(d: u16) -> u16 {
    let bit = |n: u32| d >> (11 - n) & 1;
    let (a, b, c, dd, e, f, g, h, i, j, k, m) =
        (bit(0), bit(1), bit(2), bit(3), bit(4), bit(5), bit(6), bit(7), bit(8), bit(9), bit(10), bit(11));
    let n = |x: u16| x ^ 1;
    let p = b | (a & j) | (a & f & i);
    let q = c | (a & k) | (a & g & i);
    let r = dd;
    let s = (f & (n(a) | n(i))) | (n(a) & e & j) | (e & i);
    let t = g | (n(a) & e & k) | (a & i);
    let u = h;
    let v = a | e | i;
    let w = a | (e & i) | (n(e) & j);
    let x = e | (a & i) | (n(a) & k);
    let y = m;
    p << 9 | q << 8 | r << 7 | s << 6 | t << 5 | u << 4 | v << 3 | w << 2 | x << 1 | y
}

/// `divde`, `divdeu`: quotient of `a || 0` by `b`, and whether it is not representable.
pub fn divide_ext(a: u64, b: u64, signed: bool) -> (u64, bool) {
    if b == 0 {
        return (0, true);
    }
    if signed {
        let q = ((a as i64 as i128) << 64).checked_div(b as i64 as i128);
        match q.and_then(|q| i64::try_from(q).ok()) {
            Some(q) => (q as u64, false),
            None => (0, true),
        }
    } else {
        match u64::try_from(((a as u128) << 64) / b as u128) {
            Ok(q) => (q, false),
            Err(_) => (0, true),
        }
    }
}

/// [`Op1`] on numbers.
#[inline(always)]
pub fn op1(op: Op1, a: u64) -> u64 {
    match op {
        Op1::Not => !a,
        Op1::Neg => a.wrapping_neg(),
        Op1::Exts8 => a as i8 as u64,
        Op1::Exts16 => a as i16 as u64,
        Op1::Exts32 => a as i32 as u64,
        Op1::Extu8 => a as u8 as u64,
        Op1::Extu16 => a as u16 as u64,
        Op1::Extu32 => a as u32 as u64,
        Op1::Clz64 => a.leading_zeros() as u64,
        Op1::Clz32 => (a as u32).leading_zeros() as u64,
        Op1::Ctz64 => a.trailing_zeros() as u64,
        Op1::Ctz32 => (a as u32).trailing_zeros() as u64,
        Op1::Popcnt8 => u64::from_le_bytes(a.to_le_bytes().map(|x| x.count_ones() as u8)),
        Op1::Popcnt32 => ((a >> 32).count_ones() as u64) << 32 | (a as u32).count_ones() as u64,
        Op1::Popcnt64 => a.count_ones() as u64,
        Op1::Bswap64 => a.swap_bytes(),
        Op1::Bswap32 => a.swap_bytes().rotate_left(32),
        Op1::Bswap16 => (a & 0x00ff_00ff_00ff_00ff) << 8 | (a >> 8) & 0x00ff_00ff_00ff_00ff,
    }
}

/// [`Op2`] on numbers.
#[inline(always)]
pub fn op2(op: Op2, a: u64, b: u64) -> u64 {
    match op {
        Op2::Add => a.wrapping_add(b),
        Op2::Sub => a.wrapping_sub(b),
        Op2::Mul => a.wrapping_mul(b),
        Op2::Mulhs => ((a as i64 as i128).wrapping_mul(b as i64 as i128) >> 64) as u64,
        Op2::Mulhu => ((a as u128 * b as u128) >> 64) as u64,
        Op2::Divs => (a as i64).checked_div(b as i64).unwrap_or(0) as u64,
        Op2::Divu => a.checked_div(b).unwrap_or(0),
        Op2::DivsW => (a as i32).checked_div(b as i32).unwrap_or(0) as u32 as u64,
        Op2::DivuW => (a as u32).checked_div(b as u32).unwrap_or(0) as u64,
        Op2::Rems => (a as i64).checked_rem(b as i64).unwrap_or(0) as u64,
        Op2::Remu => a.checked_rem(b).unwrap_or(0),
        Op2::RemsW => (a as i32).checked_rem(b as i32).unwrap_or(0) as u64,
        Op2::RemuW => (a as u32).checked_rem(b as u32).unwrap_or(0) as u64,
        Op2::And => a & b,
        Op2::Or => a | b,
        Op2::Xor => a ^ b,
        Op2::Andc => a & !b,
        Op2::Orc => a | !b,
        Op2::Nand => !(a & b),
        Op2::Nor => !(a | b),
        Op2::Eqv => !(a ^ b),
        Op2::Shl => a << (b & 63),
        Op2::Shr => a >> (b & 63),
        Op2::Sar => ((a as i64) >> (b & 63)) as u64,
        Op2::Rotl => a.rotate_left(b as u32 & 63),
        Op2::RotlW => (a as u32).rotate_left(b as u32 & 31) as u64,
    }
}

/// [`Rel`] on numbers.
#[inline(always)]
pub fn rel(r: Rel, a: u64, b: u64) -> bool {
    match r {
        Rel::Eq => a == b,
        Rel::Ne => a != b,
        Rel::Lts => (a as i64) < b as i64,
        Rel::Gts => (a as i64) > b as i64,
        Rel::Ltu => a < b,
        Rel::Gtu => a > b,
    }
}

/// DOUBLE of the manual (Book I, 4.6.2).
#[inline(always)]
pub fn single_to_double(w: u32) -> u64 {
    let sign = ((w & 0x8000_0000) as u64) << 32;
    let exp = w >> 23 & 0xff;
    let frac = w & 0x007f_ffff;
    if exp == 0 {
        if frac == 0 {
            return sign;
        }
        // Denormal: normalise.
        let shift = frac.leading_zeros() - 8;
        let frac = ((frac << shift) & 0x007f_ffff) as u64;
        return sign | ((897 - shift) as u64) << 52 | frac << 29;
    }
    let exp = if exp == 0xff { 0x7ff } else { exp as u64 + 896 };
    sign | exp << 52 | (frac as u64) << 29
}

/// SINGLE of the manual (Book I, 4.6.3).
#[inline(always)]
pub fn double_to_single(d: u64) -> u32 {
    let exp = (d >> 52) as u32 & 0x7ff;
    if exp > 896 || d << 1 == 0 {
        ((d >> 32) as u32 & 0xc000_0000) | ((d >> 29) as u32 & 0x3fff_ffff)
    } else if exp >= 874 {
        let frac = 1 << 52 | (d & 0x000f_ffff_ffff_ffff);
        ((d >> 32) as u32 & 0x8000_0000) | (frac >> (29 + 897 - exp)) as u32
    } else {
        // Undefined by the manual: zero of the same sign.
        (d >> 32) as u32 & 0x8000_0000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declets_round_trip() {
        for n in 0..1000u32 {
            let bcd = (n / 100) << 8 | (n / 10 % 10) << 4 | n % 10;
            assert_eq!(dpd_to_bcd(bcd_to_dpd(bcd as u16)), bcd);
        }
    }

    #[test]
    fn extended_divides() {
        assert_eq!(divide_ext(1, 2, false), (1 << 63, false));
        assert_eq!(divide_ext(2, 2, false), (0, true));
        assert_eq!(divide_ext(1, 0, true), (0, true));
        assert_eq!(divide_ext(u64::MAX, 2, true), ((1u64 << 63), false));
        assert_eq!(divide_ext(1 << 63, u64::MAX, true), (0, true));
    }

    #[test]
    fn single_and_double_formats() {
        for w in [0, 1, 0x7f_ffff, 0x80_0000, 0x3f80_0000, 0x7f80_0000, 0x7fa0_0001, 0xffc0_0000, 0x8000_0001]
        {
            let d = single_to_double(w);
            assert_eq!(double_to_single(d), w, "{w:#x}");
            if !f32::from_bits(w).is_nan() {
                assert_eq!(d, (f32::from_bits(w) as f64).to_bits());
            }
        }
    }

    #[test]
    fn bit_gathers() {
        assert_eq!(eval(Rare2::Pextd, 0xf0f0, 0xff00), 0xf0);
        assert_eq!(eval(Rare2::Pdepd, 0xf0, 0xff00), 0xf000);
        assert_eq!(eval(Rare2::Cfuged, 0xabcd, u64::MAX), 0xabcd);
        assert_eq!(eval(Rare2::Cfuged, 1, 1), 1);
        assert_eq!(eval(Rare2::Cntlzdm, 1, 0xff), 7);
        assert_eq!(eval(Rare2::Cnttzdm, 0, 0xff), 8);
    }
}
