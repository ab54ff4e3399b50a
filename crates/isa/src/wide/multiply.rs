//! Products, sums of products, sums across, extended quotients.

use std::array::from_fn;

use super::lanes::{sb, sd, sh, sw, ub, ud, uh, uw};

macro_rules! even {
    ($($f:ident $from:ident $to:ident $wide:ident;)*) => { $(
        /// Products of elements `odd`, `odd + 2`, ...
        #[inline(always)]
        pub fn $f(a: u128, b: u128, odd: usize) -> u128 {
            let (a, b) = ($from::be(a), $from::be(b));
            $to::from_be(from_fn(|k| $wide::from(a[2 * k + odd]).wrapping_mul($wide::from(b[2 * k + odd]))))
        }
    )* };
}
even! {
    even_sb sb sh i16;
    even_sh sh sw i32;
    even_sw sw sd i64;
    even_ub ub uh u16;
    even_uh uh uw u32;
    even_uw uw ud u64;
}

#[inline(always)]
fn clamp_s(x: i64, sat: &mut bool) -> i32 {
    let y = x.clamp(i32::MIN.into(), i32::MAX.into());
    *sat |= x != y;
    y as i32
}
#[inline(always)]
fn clamp_u(x: u64, sat: &mut bool) -> u32 {
    let y = x.min(u32::MAX.into());
    *sat |= x != y;
    y as u32
}

#[inline(always)]
pub fn sum4sbs(a: u128, b: u128) -> (u128, bool) {
    let (a, b) = (sb::be(a), sw::be(b));
    let mut sat = false;
    let r = from_fn(|k| {
        let s: i64 = a[4 * k..][..4].iter().map(|&x| i64::from(x)).sum();
        clamp_s(s + i64::from(b[k]), &mut sat)
    });
    (sw::from_be(r), sat)
}
#[inline(always)]
pub fn sum4shs(a: u128, b: u128) -> (u128, bool) {
    let (a, b) = (sh::be(a), sw::be(b));
    let mut sat = false;
    let r = from_fn(|k| clamp_s(i64::from(a[2 * k]) + i64::from(a[2 * k + 1]) + i64::from(b[k]), &mut sat));
    (sw::from_be(r), sat)
}
#[inline(always)]
pub fn sum4ubs(a: u128, b: u128) -> (u128, bool) {
    let (a, b) = (ub::be(a), uw::be(b));
    let mut sat = false;
    let r = from_fn(|k| {
        let s: u64 = a[4 * k..][..4].iter().map(|&x| u64::from(x)).sum();
        clamp_u(s + u64::from(b[k]), &mut sat)
    });
    (uw::from_be(r), sat)
}
#[inline(always)]
pub fn sum2sws(a: u128, b: u128) -> (u128, bool) {
    let (a, b) = (sw::be(a), sw::be(b));
    let mut sat = false;
    let mut at = |k: usize| clamp_s(i64::from(a[k - 1]) + i64::from(a[k]) + i64::from(b[k]), &mut sat);
    let r = [0, at(1), 0, at(3)];
    (sw::from_be(r), sat)
}
#[inline(always)]
pub fn sumsws(a: u128, b: u128) -> (u128, bool) {
    let mut sat = false;
    let s: i64 = sw::be(a).iter().map(|&x| i64::from(x)).sum();
    let r = clamp_s(s + i64::from(b as i32), &mut sat);
    ((r as u32).into(), sat)
}

#[inline(always)]
pub fn msum_ub(a: u128, b: u128, c: u128) -> u128 {
    uw::map3(a, b, c, |x, y, z| {
        let (x, y) = (x.to_le_bytes(), y.to_le_bytes());
        (0..4).fold(z, |s, k| s.wrapping_add(u32::from(x[k]) * u32::from(y[k])))
    })
}
/// Signed bytes of a, unsigned bytes of b.
#[inline(always)]
pub fn msum_mb(a: u128, b: u128, c: u128) -> u128 {
    sw::map3(a, b, c, |x, y, z| {
        let (x, y) = (x.to_le_bytes(), y.to_le_bytes());
        (0..4).fold(z, |s, k| s.wrapping_add(i32::from(x[k] as i8) * i32::from(y[k])))
    })
}
#[inline(always)]
fn halves_s(x: i32, y: i32) -> i64 {
    i64::from(x as i16) * i64::from(y as i16) + i64::from(x >> 16) * i64::from(y >> 16)
}
#[inline(always)]
fn halves_u(x: u32, y: u32) -> u64 {
    u64::from(x as u16) * u64::from(y as u16) + u64::from(x >> 16) * u64::from(y >> 16)
}
#[inline(always)]
pub fn msum_sh(a: u128, b: u128, c: u128) -> u128 {
    sw::map3(a, b, c, |x, y, z| z.wrapping_add(halves_s(x, y) as i32))
}
#[inline(always)]
pub fn msum_uh(a: u128, b: u128, c: u128) -> u128 {
    uw::map3(a, b, c, |x, y, z| z.wrapping_add(halves_u(x, y) as u32))
}
#[inline(always)]
pub fn msum_shs(a: u128, b: u128, c: u128) -> (u128, bool) {
    let (a, b, c) = (sw::be(a), sw::be(b), sw::be(c));
    let mut sat = false;
    let r = from_fn(|k| clamp_s(halves_s(a[k], b[k]) + i64::from(c[k]), &mut sat));
    (sw::from_be(r), sat)
}
#[inline(always)]
pub fn msum_uhs(a: u128, b: u128, c: u128) -> (u128, bool) {
    let (a, b, c) = (uw::be(a), uw::be(b), uw::be(c));
    let mut sat = false;
    let r = from_fn(|k| clamp_u(halves_u(a[k], b[k]) + u64::from(c[k]), &mut sat));
    (uw::from_be(r), sat)
}
/// Sum of the two doubleword products and c: low 128 bits and the rest.
#[inline(always)]
pub fn msum_ud(a: u128, b: u128, c: u128) -> (u128, u128) {
    let even = (a >> 64) * (b >> 64);
    let odd = u128::from(a as u64) * u128::from(b as u64);
    let (s, c1) = even.overflowing_add(odd);
    let (s, c2) = s.overflowing_add(c);
    (s, u128::from(c1) + u128::from(c2))
}
/// High half of twice the product (after adding `round`), plus c, saturated.
#[inline(always)]
pub fn mhadd(a: u128, b: u128, c: u128, round: i32) -> (u128, bool) {
    let (a, b, c) = (sh::be(a), sh::be(b), sh::be(c));
    let mut sat = false;
    let r = from_fn(|k| {
        let x = ((i32::from(a[k]) * i32::from(b[k]) + round) >> 15) + i32::from(c[k]);
        let y = x.clamp(i16::MIN.into(), i16::MAX.into());
        sat |= x != y;
        y as i16
    });
    (sh::from_be(r), sat)
}

/// Carry out of a + b + c.
#[inline(always)]
pub fn carry(a: u128, b: u128, c: u128) -> u128 {
    let (s, x) = a.overflowing_add(b);
    u128::from(x | s.overflowing_add(c).1)
}

/// Ten times a plus a digit: low 128 bits and the rest.
#[inline(always)]
pub fn mul10(a: u128, digit: u128) -> (u128, u128) {
    let low = (a as u64 as u128) * 10 + digit;
    let high = (a >> 64) * 10 + (low >> 64);
    (high << 64 | low & u128::from(u64::MAX), high >> 64)
}

#[inline(always)]
pub fn dive_uw(x: u32, y: u32) -> u32 {
    (u64::from(x) << 32).checked_div(y.into()).and_then(|q| q.try_into().ok()).unwrap_or(0)
}
#[inline(always)]
pub fn dive_sw(x: i32, y: i32) -> i32 {
    (i64::from(x) << 32).checked_div(y.into()).and_then(|q| q.try_into().ok()).unwrap_or(0)
}
#[inline(always)]
pub fn dive_ud(x: u64, y: u64) -> u64 {
    (u128::from(x) << 64).checked_div(y.into()).and_then(|q| q.try_into().ok()).unwrap_or(0)
}
#[inline(always)]
pub fn dive_sd(x: i64, y: i64) -> i64 {
    (i128::from(x) << 64).checked_div(y.into()).and_then(|q| q.try_into().ok()).unwrap_or(0)
}
/// (x << 128) / y; 0 where the quotient needs more than 128 bits.
pub fn dive_uq(x: u128, y: u128) -> u128 {
    if x >= y {
        return 0;
    }
    let (mut rem, mut q) = (x, 0u128);
    for _ in 0..128 {
        let out = rem >> 127 != 0;
        rem <<= 1;
        q <<= 1;
        if out || rem >= y {
            rem = rem.wrapping_sub(y);
            q |= 1;
        }
    }
    q
}
pub fn dive_sq(x: i128, y: i128) -> i128 {
    let negative = (x < 0) != (y < 0);
    if x.unsigned_abs() >= y.unsigned_abs() {
        return 0;
    }
    let q = dive_uq(x.unsigned_abs(), y.unsigned_abs());
    match (negative, q) {
        (false, q) => q.try_into().unwrap_or(0),
        (true, q) if q <= 1 << 127 => (q as i128).wrapping_neg(),
        _ => 0,
    }
}

/// Eight products of signed nibbles.
#[inline(always)]
pub fn dot_nibbles(x: u32, y: u32) -> i64 {
    let nibble = |w: u32, k: u32| i64::from((w << (28 - 4 * k)) as i32 >> 28);
    (0..8).map(|k| nibble(x, k) * nibble(y, k)).sum()
}
/// Four products of a signed byte of x and an unsigned byte of y.
#[inline(always)]
pub fn dot_bytes(x: u32, y: u32) -> i64 {
    let (x, y) = (x.to_le_bytes(), y.to_le_bytes());
    (0..4).map(|k| i64::from(x[k] as i8) * i64::from(y[k])).sum()
}
/// Two products of signed halfwords.
#[inline(always)]
pub fn dot_halves(x: u32, y: u32) -> i64 {
    halves_s(x as i32, y as i32)
}
/// c's words plus the inner products, modulo.
#[inline(always)]
pub fn dot(a: u128, b: u128, c: u128, f: impl Fn(u32, u32) -> i64) -> (u128, bool) {
    (uw::map3(a, b, c, |x, y, z| z.wrapping_add(f(x, y) as u32)), false)
}
/// c's words plus the inner products, saturated.
#[inline(always)]
pub fn dot_sat(a: u128, b: u128, c: u128, f: impl Fn(u32, u32) -> i64) -> (u128, bool) {
    let (a, b, c) = (uw::be(a), uw::be(b), sw::be(c));
    let mut sat = false;
    let r = from_fn(|k| clamp_s(f(a[k], b[k]) + i64::from(c[k]), &mut sat));
    (sw::from_be(r), sat)
}
