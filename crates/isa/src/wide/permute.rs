//! Moving elements: permute, merge, pack, unpack, octet shifts.

use std::array::from_fn;

use super::lanes::{sb, sd, sh, sw, ub, ud, uh, uw};

/// Bytes of a || b chosen by the low five bits of the bytes of c.
#[inline(always)]
pub fn perm(a: u128, b: u128, c: u128) -> u128 {
    let mut table = [0; 32];
    table[..16].copy_from_slice(&a.to_be_bytes());
    table[16..].copy_from_slice(&b.to_be_bytes());
    ub::map1(c, |n| table[(n & 31) as usize])
}

#[inline(always)]
pub fn perm_xor(a: u128, b: u128, c: u128) -> u128 {
    let (a, b) = (a.to_be_bytes(), b.to_be_bytes());
    ub::map1(c, |n| a[(n >> 4) as usize] ^ b[(n & 15) as usize])
}

/// Leftmost 128 bits of (a || b) << n, n < 256.
#[inline(always)]
pub fn shl_double(a: u128, b: u128, n: u32) -> u128 {
    match n {
        0 => a,
        1..128 => a << n | b >> (128 - n),
        _ => b << (n & 127),
    }
}

/// Elements of `width` bits `first`, `first + step`, ... of a and b by turns.
#[inline(always)]
pub fn merge(a: u128, b: u128, width: u32, first: u32, step: u32) -> u128 {
    let n = 128 / width;
    let ones = u128::MAX >> (128 - width);
    let mut r = 0;
    for k in 0..n / 2 {
        let from = 128 - width * (first + k * step + 1);
        let to = 128 - width * (2 * k + 1);
        r |= (a >> from & ones) << to | (b >> from & ones) << (to - width);
    }
    r
}

#[inline(always)]
pub fn unpack_b(a: u128, first: usize) -> u128 {
    let a = sb::be(a);
    sh::from_be(from_fn(|k| a[first + k].into()))
}
#[inline(always)]
pub fn unpack_h(a: u128, first: usize) -> u128 {
    let a = sh::be(a);
    sw::from_be(from_fn(|k| a[first + k].into()))
}
#[inline(always)]
pub fn unpack_w(a: u128, first: usize) -> u128 {
    let a = sw::be(a);
    sd::from_be(from_fn(|k| a[first + k].into()))
}
#[inline(always)]
pub fn unpack_px(a: u128, first: usize) -> u128 {
    let a = uh::be(a);
    uw::from_be(from_fn(|k| {
        let h = a[first + k] as u32;
        (h >> 15) * 0xff00_0000 | (h >> 10 & 31) << 16 | (h >> 5 & 31) << 8 | h & 31
    }))
}

/// Halfwords of a and b to bytes by `f`; true when `f` changed one.
#[inline(always)]
pub fn pack_h(a: u128, b: u128, f: impl Fn(i32) -> i32, signed: bool) -> (u128, bool) {
    let (a, b) = (uh::be(a), uh::be(b));
    let mut sat = false;
    let r = ub::from_be(from_fn(|k| {
        let x = if k < 8 { a[k] } else { b[k - 8] };
        let x = if signed { x as i16 as i32 } else { x as i32 };
        let y = f(x);
        sat |= x != y;
        y as u8
    }));
    (r, sat)
}
/// Words of a and b to halfwords.
#[inline(always)]
pub fn pack_w(a: u128, b: u128, f: impl Fn(i64) -> i64, signed: bool) -> (u128, bool) {
    let (a, b) = (uw::be(a), uw::be(b));
    let mut sat = false;
    let r = uh::from_be(from_fn(|k| {
        let x = if k < 4 { a[k] } else { b[k - 4] };
        let x = if signed { x as i32 as i64 } else { x as i64 };
        let y = f(x);
        sat |= x != y;
        y as u16
    }));
    (r, sat)
}
/// Doublewords of a and b to words.
#[inline(always)]
pub fn pack_d(a: u128, b: u128, f: impl Fn(i128) -> i128, signed: bool) -> (u128, bool) {
    let (a, b) = (ud::be(a), ud::be(b));
    let mut sat = false;
    let r = uw::from_be(from_fn(|k| {
        let x = if k < 2 { a[k] } else { b[k - 2] };
        let x = if signed { x as i64 as i128 } else { x as i128 };
        let y = f(x);
        sat |= x != y;
        y as u32
    }));
    (r, sat)
}
/// Words (8-8-8-8) of a and b to pixels (1-5-5-5).
#[inline(always)]
pub fn pack_px(a: u128, b: u128) -> u128 {
    let (a, b) = (uw::be(a), uw::be(b));
    uh::from_be(from_fn(|k| {
        let w = if k < 4 { a[k] } else { b[k - 4] };
        ((w >> 24 & 1) << 15 | (w >> 19 & 31) << 10 | (w >> 11 & 31) << 5 | w >> 3 & 31) as u16
    }))
}

/// Ones in the rightmost `n` bytes.
#[inline(always)]
pub fn right_bytes(n: u64) -> u128 {
    if n >= 16 { u128::MAX } else { !(u128::MAX << (8 * n)) }
}

#[inline(always)]
pub fn shl_var(a: u128, b: u128) -> u128 {
    ub::map3(a, a << 8, b, |x, next, n| {
        ((x as u16) << 8 | next as u16).wrapping_shl((n & 7).into()).to_be_bytes()[0]
    })
}
#[inline(always)]
pub fn shr_var(a: u128, b: u128) -> u128 {
    ub::map3(a, a >> 8, b, |x, prev, n| (((prev as u16) << 8 | x as u16) >> (n & 7)) as u8)
}

/// `xxgenpcv*m` for `code` = element size in bytes * 4 + IMM (0 expand, 1 compress, +2 little-endian).
pub fn control(a: u128, code: u32) -> u128 {
    let size = (code >> 2).clamp(1, 8) as usize;
    let (compress, le) = (code & 1 != 0, code & 2 != 0);
    let a = a.to_be_bytes();
    let mut r = [0u8; 16];
    let mut j = 0;
    for i in 0..16 / size {
        // Element i counted from the side that the byte order calls first.
        let at = |n: usize, k: usize| if le { 15 - (n * size + k) } else { n * size + k };
        let first = if le { 16 - (i + 1) * size } else { i * size };
        let chosen = a[first] & 0x80 != 0;
        for k in 0..size {
            match (compress, chosen) {
                (false, true) => r[at(i, k)] = (j * size + k) as u8,
                (false, false) => r[at(i, k)] = (i * size + k + 16) as u8,
                (true, true) => r[at(j, k)] = (i * size + k) as u8,
                (true, false) => {}
            }
        }
        j += chosen as usize;
    }
    u128::from_be_bytes(r)
}
