//! Bits: masks, counts, gathers, strings, register formats.

/// Ones from bit `mb` through bit `me` of `width` bits (bit 0 leftmost), wrapping around when mb > me.
#[inline(always)]
fn rotate_mask(mb: u32, me: u32, width: u32) -> u128 {
    let all = u128::MAX >> (128 - width);
    let from = all >> mb;
    let to = all << (width - 1 - me) & all;
    if mb <= me { from & to } else { from | to }
}

/// Mask of `vrlwmi`, `vrlwnm`: mb in bits 11..15, me in bits 19..23 of the word.
#[inline(always)]
pub fn mask_w(b: u32) -> u32 {
    rotate_mask(b >> 16 & 31, b >> 8 & 31, 32) as u32
}
/// Mask of `vrldmi`, `vrldnm`: mb in bits 42..47, me in bits 50..55 of the doubleword.
#[inline(always)]
pub fn mask_d(b: u64) -> u64 {
    rotate_mask(b as u32 >> 16 & 63, b as u32 >> 8 & 63, 64) as u64
}
/// Mask of `vrlqmi`, `vrlqnm`: mb in bits 41..47, me in bits 49..55 of doubleword 0.
#[inline(always)]
pub fn mask_q(b: u128) -> u128 {
    let b = (b >> 64) as u32;
    rotate_mask(b >> 16 & 127, b >> 8 & 127, 128)
}

/// Each doubleword's bits transposed as an 8 by 8 matrix.
#[inline(always)]
pub fn gather(a: u128) -> u128 {
    super::ud::map1(a, |x| {
        let mut r = 0;
        for row in 0..8 {
            for col in 0..8 {
                r |= (x >> (row * 8 + col) & 1) << (col * 8 + row);
            }
        }
        r
    })
}

/// Sign bits of the elements of `width` bits, element 0's leftmost.
#[inline(always)]
pub fn sign_mask(a: u128, width: u32) -> u128 {
    let mut r = 0;
    let mut at = width;
    while at <= 128 {
        r |= (a >> (at - 1) & 1) << (at / width - 1);
        at += width;
    }
    r
}

/// Low bits of `a` to elements of all ones.
#[inline(always)]
pub fn unmask(a: u128, width: u32) -> u128 {
    let ones = u128::MAX >> (128 - width);
    let mut r = 0;
    for k in 0..128 / width {
        r |= (a >> k & 1) * ones << (k * width);
    }
    r
}

/// The elements before the first zero one from the left (right), the others zero.
#[inline(always)]
pub fn string(a: u128, width: u32, right: bool) -> u128 {
    let ones = u128::MAX >> (128 - width);
    for k in 0..128 / width {
        let at = if right { k * width } else { 128 - (k + 1) * width };
        if a >> at & ones == 0 {
            return match (right, k) {
                (_, 0) => 0,
                (true, _) => a & !(u128::MAX << at),
                (false, _) => a & (u128::MAX << (at + width)),
            };
        }
    }
    a
}

/// `vbpermq`: sixteen bits of a chosen by the bytes of b, in the low half of doubleword 0.
#[inline(always)]
pub fn bit_perm_q(a: u128, b: u128) -> u128 {
    let mut r = 0;
    for n in b.to_be_bytes() {
        r = r << 1 | if n < 128 { a >> (127 - n) & 1 } else { 0 };
    }
    r << 64
}

/// `vbpermd`: eight bits of each doubleword of a chosen by the bytes of the doubleword of b.
#[inline(always)]
pub fn bit_perm_d(a: u128, b: u128) -> u128 {
    super::ud::map2(a, b, |a, b| {
        let mut r = 0;
        for n in b.to_be_bytes() {
            r = r << 1 | if n < 64 { a >> (63 - n) & 1 } else { 0 };
        }
        r
    })
}

/// Low bits of a to the places of the ones of m.
pub fn deposit(mut a: u64, mut m: u64) -> u64 {
    let mut r = 0;
    while m != 0 {
        let low = m & m.wrapping_neg();
        if a & 1 != 0 {
            r |= low;
        }
        a >>= 1;
        m ^= low;
    }
    r
}

/// Bits of a at the ones of m, packed to the right.
pub fn extract(a: u64, mut m: u64) -> u64 {
    let mut r = 0;
    let mut at = 0;
    while m != 0 {
        let low = m & m.wrapping_neg();
        r |= u64::from(a & low != 0) << at;
        at += 1;
        m ^= low;
    }
    r
}

/// Bits at zeros of m to the left, bits at ones to the right, each in order.
pub fn centrifuge(a: u64, m: u64) -> u64 {
    let right = extract(a, m);
    let left = extract(a, !m);
    match m.count_ones() {
        64 => right,
        n => left << n | right,
    }
}

/// Number of leading bits of a under m that are zero.
#[inline(always)]
pub fn clz_mask(a: u64, m: u64) -> u64 {
    let first = (a & m).leading_zeros();
    // Mask bits left of the first chosen one.
    if first >= 64 { m.count_ones().into() } else { (m & !(u64::MAX >> first)).count_ones().into() }
}

/// Number of trailing bits of a under m that are zero.
#[inline(always)]
pub fn ctz_mask(a: u64, m: u64) -> u64 {
    let first = (a & m).trailing_zeros();
    if first >= 64 { m.count_ones().into() } else { (m & !(u64::MAX << first)).count_ones().into() }
}

/// Every n-th bit of a, left-aligned in doubleword 1.
pub fn gather_n(a: u128, n: u32) -> u128 {
    let n = n.max(2);
    let (mut from, mut to, mut r) = (0, 0, 0u64);
    while from < 128 && to < 64 {
        r |= ((a >> (127 - from) & 1) as u64) << (63 - to);
        from += n;
        to += 1;
    }
    r.into()
}
