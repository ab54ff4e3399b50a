//! Elements of a 128-bit value.

use std::array::from_fn;

macro_rules! lanes {
    ($($m:ident $t:ident $n:literal;)*) => { $(
        /// Elements of one type. In arrays from `be` element 0 is the leftmost; `map*` treat all elements alike.
        #[allow(dead_code)]
        pub mod $m {
            use super::from_fn;
            type T = $t;
            const N: usize = $n;
            const S: usize = 16 / N;

            #[inline(always)]
            fn get(x: u128) -> [T; N] {
                let b = x.to_le_bytes();
                from_fn(|k| T::from_le_bytes(from_fn(|j| b[k * S + j])))
            }
            #[inline(always)]
            fn put(v: [T; N]) -> u128 {
                let mut b = [0; 16];
                for k in 0..N {
                    b[k * S..][..S].copy_from_slice(&v[k].to_le_bytes());
                }
                u128::from_le_bytes(b)
            }
            #[inline(always)]
            pub fn be(x: u128) -> [T; N] {
                let b = x.to_be_bytes();
                from_fn(|k| T::from_be_bytes(from_fn(|j| b[k * S + j])))
            }
            #[inline(always)]
            pub fn from_be(v: [T; N]) -> u128 {
                let mut b = [0; 16];
                for k in 0..N {
                    b[k * S..][..S].copy_from_slice(&v[k].to_be_bytes());
                }
                u128::from_be_bytes(b)
            }
            #[inline(always)]
            pub fn map1(a: u128, f: impl Fn(T) -> T) -> u128 {
                put(get(a).map(f))
            }
            #[inline(always)]
            pub fn map2(a: u128, b: u128, f: impl Fn(T, T) -> T) -> u128 {
                let (a, b) = (get(a), get(b));
                put(from_fn(|k| f(a[k], b[k])))
            }
            #[inline(always)]
            pub fn map3(a: u128, b: u128, c: u128, f: impl Fn(T, T, T) -> T) -> u128 {
                let (a, b, c) = (get(a), get(b), get(c));
                put(from_fn(|k| f(a[k], b[k], c[k])))
            }
        }
    )* };
}

lanes! {
    ub u8 16;
    sb i8 16;
    uh u16 8;
    sh i16 8;
    uw u32 4;
    sw i32 4;
    ud u64 2;
    sd i64 2;
}

/// The sign bits of bytes.
pub const SIGN_B: u128 = u128::MAX / 0xff * 0x80;
/// The sign bits of halfwords.
pub const SIGN_H: u128 = u128::MAX / 0xffff * 0x8000;

/// Element sums without carry between the elements whose sign bits `h` has.
#[inline(always)]
pub const fn add(a: u128, b: u128, h: u128) -> u128 {
    (a & !h).wrapping_add(b & !h) ^ (a ^ b) & h
}
/// Element differences.
#[inline(always)]
pub const fn sub(a: u128, b: u128, h: u128) -> u128 {
    (a | h).wrapping_sub(b & !h) ^ !(a ^ b) & h
}
/// Sign bits to elements of all ones.
#[inline(always)]
const fn fill(t: u128, h: u128) -> u128 {
    // The least significant bits of the elements are h's bits moved by the element size less one.
    let low = t >> (h.trailing_zeros());
    t.wrapping_sub(low) | t
}
/// All ones where the elements are equal.
#[inline(always)]
pub const fn eq(a: u128, b: u128, h: u128) -> u128 {
    let x = a ^ b;
    fill(!((x & !h).wrapping_add(!h) | x | !h), h)
}
/// All ones where a's element is greater, unsigned.
#[inline(always)]
pub const fn gt(a: u128, b: u128, h: u128) -> u128 {
    // Where b - a borrows.
    let d = sub(b, a, h);
    fill((!b & a | !(b ^ a) & d) & h, h)
}
/// m ? a : b
#[inline(always)]
pub const fn choose(m: u128, a: u128, b: u128) -> u128 {
    b ^ (a ^ b) & m
}
