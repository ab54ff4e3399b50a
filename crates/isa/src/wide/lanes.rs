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
