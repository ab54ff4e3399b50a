//! AES rounds (FIPS 197), SHA-2 sigma functions (FIPS 180-4), carry-less products.

use std::array::from_fn;

use super::lanes::{ub, ud, uw};

/// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
const fn gmul(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut r) = (a, b, 0);
    while b != 0 {
        if b & 1 != 0 {
            r ^= a;
        }
        a = a << 1 ^ if a & 0x80 != 0 { 0x1b } else { 0 };
        b >>= 1;
    }
    r
}

const fn sbox_table() -> [u8; 256] {
    let mut t = [0; 256];
    let mut n = 0;
    while n < 256 {
        // The inverse is the 254th power.
        let x = n as u8;
        let (mut inv, mut k) = (1u8, 0);
        while k < 254 {
            inv = gmul(inv, x);
            k += 1;
        }
        t[n] = inv ^ inv.rotate_left(1) ^ inv.rotate_left(2) ^ inv.rotate_left(3) ^ inv.rotate_left(4) ^ 0x63;
        n += 1;
    }
    t
}
const fn inverse(t: &[u8; 256]) -> [u8; 256] {
    let mut r = [0; 256];
    let mut n = 0;
    while n < 256 {
        r[t[n] as usize] = n as u8;
        n += 1;
    }
    r
}
const fn times(m: u8) -> [u8; 256] {
    let mut r = [0; 256];
    let mut n = 0;
    while n < 256 {
        r[n] = gmul(n as u8, m);
        n += 1;
    }
    r
}
static SBOX: [u8; 256] = sbox_table();
static INV_SBOX: [u8; 256] = inverse(&sbox_table());
static X2: [u8; 256] = times(2);
static X9: [u8; 256] = times(9);
static X11: [u8; 256] = times(11);
static X13: [u8; 256] = times(13);
static X14: [u8; 256] = times(14);

/// AES SubBytes.
#[inline(always)]
pub fn sbox(a: u128) -> u128 {
    ub::map1(a, |x| SBOX[x as usize])
}

/// SubBytes and ShiftRows. The state's columns are the words of the register.
#[inline(always)]
fn sub_shift(a: u128) -> [u8; 16] {
    let s = a.to_be_bytes();
    from_fn(|k| SBOX[s[(k + 4 * (k % 4)) % 16] as usize])
}
#[inline(always)]
fn inv_sub_shift(a: u128) -> [u8; 16] {
    let s = a.to_be_bytes();
    from_fn(|k| INV_SBOX[s[(k + 12 * (k % 4)) % 16] as usize])
}

/// One encryption round: SubBytes, ShiftRows, MixColumns, AddRoundKey.
pub fn cipher(a: u128, key: u128) -> u128 {
    let s = sub_shift(a);
    let mixed: [u8; 16] = from_fn(|k| {
        let c = &s[k & 12..][..4];
        let at = |n: usize| c[(k + n) % 4];
        X2[at(0) as usize] ^ X2[at(1) as usize] ^ at(1) ^ at(2) ^ at(3)
    });
    u128::from_be_bytes(mixed) ^ key
}
/// The last encryption round: no MixColumns.
pub fn cipher_last(a: u128, key: u128) -> u128 {
    u128::from_be_bytes(sub_shift(a)) ^ key
}
/// One decryption round: InvShiftRows, InvSubBytes, AddRoundKey, InvMixColumns.
pub fn ncipher(a: u128, key: u128) -> u128 {
    let s = (u128::from_be_bytes(inv_sub_shift(a)) ^ key).to_be_bytes();
    let mixed = from_fn(|k| {
        let c = &s[k & 12..][..4];
        let at = |n: usize| c[(k + n) % 4] as usize;
        X14[at(0)] ^ X11[at(1)] ^ X13[at(2)] ^ X9[at(3)]
    });
    u128::from_be_bytes(mixed)
}
/// The last decryption round: no InvMixColumns.
pub fn ncipher_last(a: u128, key: u128) -> u128 {
    u128::from_be_bytes(inv_sub_shift(a)) ^ key
}

/// SHA-256 sigmas of the words; `sel` = ST (16) and, per word from the left, SIX (8, 4, 2, 1).
pub fn sha_sigma_w(a: u128, sel: u32) -> u128 {
    let a = uw::be(a);
    uw::from_be(from_fn(|k| {
        let x = a[k];
        let r = |n| x.rotate_right(n);
        match (sel & 16 != 0, sel >> (3 - k) & 1 != 0) {
            (false, false) => r(7) ^ r(18) ^ x >> 3,
            (false, true) => r(17) ^ r(19) ^ x >> 10,
            (true, false) => r(2) ^ r(13) ^ r(22),
            (true, true) => r(6) ^ r(11) ^ r(25),
        }
    }))
}
/// SHA-512 sigmas of the doublewords; `sel` = ST (16), SIX (8 for doubleword 0, 2 for doubleword 1).
pub fn sha_sigma_d(a: u128, sel: u32) -> u128 {
    let a = ud::be(a);
    ud::from_be(from_fn(|k| {
        let x = a[k];
        let r = |n| x.rotate_right(n);
        match (sel & 16 != 0, sel >> (3 - 2 * k) & 1 != 0) {
            (false, false) => r(1) ^ r(8) ^ x >> 7,
            (false, true) => r(19) ^ r(61) ^ x >> 6,
            (true, false) => r(28) ^ r(34) ^ r(39),
            (true, true) => r(14) ^ r(18) ^ r(41),
        }
    }))
}

/// Carry-less product of two numbers of up to 64 bits, four bits of b at a time.
#[inline(always)]
fn clmul(a: u128, b: u128, width: u32) -> u128 {
    let mut multiples = [0; 16];
    for n in 1..16 {
        multiples[n] = (multiples[n / 2] << 1) ^ (a * (n as u128 & 1));
    }
    let mut r = 0;
    for at in (0..width).step_by(4).rev() {
        r = r << 4 ^ multiples[(b >> at & 15) as usize];
    }
    r
}

/// Carry-less products of the elements in the right halves of each pair of `width` bits, all at once.
#[inline(always)]
fn clmul_pairs(a: u128, b: u128, width: u32) -> u128 {
    let bit = u128::MAX / (u128::MAX >> (128 - 2 * width));
    let half = bit * ((1 << width) - 1);
    let (a, mut r) = (a & half, 0);
    for k in 0..width {
        let chosen = b >> k & bit;
        r ^= a << k & (chosen << (2 * width)).wrapping_sub(chosen);
    }
    r
}

/// Exclusive or of the carry-less products of the two elements in each pair.
#[inline(always)]
pub fn poly_mul(a: u128, b: u128, width: u32) -> u128 {
    if width <= 16 {
        return clmul_pairs(a, b, width) ^ clmul_pairs(a >> width, b >> width, width);
    }
    let ones = u128::MAX >> (128 - width);
    let mut r = 0;
    for k in 0..64 / width {
        let at = 2 * width * k;
        let pair = |n: u32| clmul(a >> (at + n) & ones, b >> (at + n) & ones, width);
        r |= (pair(0) ^ pair(width)) << at;
    }
    r
}
