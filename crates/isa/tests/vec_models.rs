//! Vector operations against per-element models, other implementations of AES and SHA-2, and each other.
#![forbid(unsafe_code)]

use aes::hazmat;
use isa::wide::{W1, W2, W3, eval1, eval2, eval2_sat, eval3};
use sha2::{Digest, Sha256, Sha512};

struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    /// A value whose elements are often extreme.
    fn wide(&mut self) -> u128 {
        let x = u128::from(self.next()) << 64 | u128::from(self.next());
        match self.next() % 10 {
            0 => u128::MAX,
            1 => 0,
            2 => u128::MAX / 0xff * 0x80,
            3 => u128::MAX / 0xffff * 0x7fff,
            4 => x & u128::MAX / 0xffff_ffff * 0x8000_0001,
            5 => x & u128::MAX / 0xf * 0x1,
            _ => x,
        }
    }
}

/// Element `k` from the left of `width` bits as a number.
fn element(x: u128, width: u32, signed: bool, k: u32) -> i128 {
    let v = x << (width * k) >> (128 - width);
    if signed { (v << (128 - width)) as i128 >> (128 - width) } else { v as i128 }
}
fn assemble(width: u32, f: impl Fn(u32) -> i128) -> u128 {
    (0..128 / width).fold(0, |r, k| {
        let low = f(k) as u128 & (u128::MAX >> (128 - width));
        if width == 128 { low } else { r << width | low }
    })
}
fn range(width: u32, signed: bool) -> (i128, i128) {
    if signed { (-(1 << (width - 1)), (1 << (width - 1)) - 1) } else { (0, (1 << width) - 1) }
}

type Model = fn(i128, i128, u32) -> i128;

/// Operations that treat each pair of elements alike: width, signedness, model on numbers, whether it saturates.
const ELEMENTWISE: &[(W2, u32, bool, Model, bool)] = {
    const ADD: Model = |x, y, _| x + y;
    const SUB: Model = |x, y, _| x - y;
    const AVG: Model = |x, y, _| (x + y + 1) >> 1;
    const MAX: Model = |x, y, _| if x > y { x } else { y };
    const MIN: Model = |x, y, _| if x < y { x } else { y };
    const EQ: Model = |x, y, _| if x == y { -1 } else { 0 };
    const GT: Model = |x, y, _| if x > y { -1 } else { 0 };
    const NE: Model = |x, y, _| if x != y { -1 } else { 0 };
    const NEZ: Model = |x, y, _| if x != y || x == 0 || y == 0 { -1 } else { 0 };
    const DIFF: Model = |x, y, _| (x - y).abs();
    const MUL: Model = |x, y, _| x.wrapping_mul(y);
    const HIGH: Model = |x, y, w| (x * y) >> w;
    const SHL: Model = |x, y, w| x << y.rem_euclid(w as i128);
    const SHR: Model = |x, y, w| x >> y.rem_euclid(w as i128);
    const ROT: Model = |x, y, w| {
        let n = y.rem_euclid(w as i128);
        x << n | x >> ((w as i128 - n) % w as i128)
    };
    const CARRY: Model = |x, y, w| (x + y) >> w;
    const NO_BORROW: Model = |x, y, _| if x >= y { 1 } else { 0 };
    const DIV: Model = |x, y, w| if y == 0 || y == -1 && x == -(1 << (w - 1)) { 0 } else { x / y };
    const MOD: Model = |x, y, w| if y == 0 || y == -1 && x == -(1 << (w - 1)) { 0 } else { x % y };
    const DIVE_S: Model = |x, y, w| match (x << w).checked_div(y) {
        Some(q) if q >= -(1 << (w - 1)) && q < 1 << (w - 1) => q,
        _ => 0,
    };
    const DIVE_U: Model = |x, y, w| match ((x as u128) << w).checked_div(y as u128) {
        Some(q) if q < 1 << w => q as i128,
        _ => 0,
    };
    &[
        (W2::AddB, 8, false, ADD, false),
        (W2::AddH, 16, false, ADD, false),
        (W2::AddW, 32, false, ADD, false),
        (W2::AddD, 64, false, ADD, false),
        (W2::SubB, 8, false, SUB, false),
        (W2::SubH, 16, false, SUB, false),
        (W2::SubW, 32, false, SUB, false),
        (W2::SubD, 64, false, SUB, false),
        (W2::AddSatSB, 8, true, ADD, true),
        (W2::AddSatSH, 16, true, ADD, true),
        (W2::AddSatSW, 32, true, ADD, true),
        (W2::AddSatUB, 8, false, ADD, true),
        (W2::AddSatUH, 16, false, ADD, true),
        (W2::AddSatUW, 32, false, ADD, true),
        (W2::SubSatSB, 8, true, SUB, true),
        (W2::SubSatSH, 16, true, SUB, true),
        (W2::SubSatSW, 32, true, SUB, true),
        (W2::SubSatUB, 8, false, SUB, true),
        (W2::SubSatUH, 16, false, SUB, true),
        (W2::SubSatUW, 32, false, SUB, true),
        (W2::AddCW, 32, false, CARRY, false),
        (W2::SubCW, 32, false, NO_BORROW, false),
        (W2::AvgSB, 8, true, AVG, false),
        (W2::AvgSH, 16, true, AVG, false),
        (W2::AvgSW, 32, true, AVG, false),
        (W2::AvgUB, 8, false, AVG, false),
        (W2::AvgUH, 16, false, AVG, false),
        (W2::AvgUW, 32, false, AVG, false),
        (W2::AbsDiffUB, 8, false, DIFF, false),
        (W2::AbsDiffUH, 16, false, DIFF, false),
        (W2::AbsDiffUW, 32, false, DIFF, false),
        (W2::MaxSB, 8, true, MAX, false),
        (W2::MaxSH, 16, true, MAX, false),
        (W2::MaxSW, 32, true, MAX, false),
        (W2::MaxSD, 64, true, MAX, false),
        (W2::MaxUB, 8, false, MAX, false),
        (W2::MaxUH, 16, false, MAX, false),
        (W2::MaxUW, 32, false, MAX, false),
        (W2::MaxUD, 64, false, MAX, false),
        (W2::MinSB, 8, true, MIN, false),
        (W2::MinSH, 16, true, MIN, false),
        (W2::MinSW, 32, true, MIN, false),
        (W2::MinSD, 64, true, MIN, false),
        (W2::MinUB, 8, false, MIN, false),
        (W2::MinUH, 16, false, MIN, false),
        (W2::MinUW, 32, false, MIN, false),
        (W2::MinUD, 64, false, MIN, false),
        (W2::EqB, 8, false, EQ, false),
        (W2::EqH, 16, false, EQ, false),
        (W2::EqW, 32, false, EQ, false),
        (W2::EqD, 64, false, EQ, false),
        (W2::GtSB, 8, true, GT, false),
        (W2::GtSH, 16, true, GT, false),
        (W2::GtSW, 32, true, GT, false),
        (W2::GtSD, 64, true, GT, false),
        (W2::GtUB, 8, false, GT, false),
        (W2::GtUH, 16, false, GT, false),
        (W2::GtUW, 32, false, GT, false),
        (W2::GtUD, 64, false, GT, false),
        (W2::NeB, 8, false, NE, false),
        (W2::NeH, 16, false, NE, false),
        (W2::NeW, 32, false, NE, false),
        (W2::NezB, 8, false, NEZ, false),
        (W2::NezH, 16, false, NEZ, false),
        (W2::NezW, 32, false, NEZ, false),
        (W2::MulW, 32, false, MUL, false),
        (W2::MulD, 64, false, MUL, false),
        (W2::MulHighSW, 32, true, HIGH, false),
        (W2::MulHighSD, 64, true, HIGH, false),
        (W2::MulHighUW, 32, false, HIGH, false),
        (W2::ShlB, 8, false, SHL, false),
        (W2::ShlH, 16, false, SHL, false),
        (W2::ShlW, 32, false, SHL, false),
        (W2::ShlD, 64, false, SHL, false),
        (W2::ShrB, 8, false, SHR, false),
        (W2::ShrH, 16, false, SHR, false),
        (W2::ShrW, 32, false, SHR, false),
        (W2::ShrD, 64, false, SHR, false),
        (W2::SarB, 8, true, SHR, false),
        (W2::SarH, 16, true, SHR, false),
        (W2::SarW, 32, true, SHR, false),
        (W2::SarD, 64, true, SHR, false),
        (W2::RotB, 8, false, ROT, false),
        (W2::RotH, 16, false, ROT, false),
        (W2::RotW, 32, false, ROT, false),
        (W2::RotD, 64, false, ROT, false),
        (W2::DivSW, 32, true, DIV, false),
        (W2::DivSD, 64, true, DIV, false),
        (W2::DivUW, 32, false, DIV, false),
        (W2::DivUD, 64, false, DIV, false),
        (W2::ModSW, 32, true, MOD, false),
        (W2::ModSD, 64, true, MOD, false),
        (W2::ModUW, 32, false, MOD, false),
        (W2::ModUD, 64, false, MOD, false),
        (W2::DiveSW, 32, true, DIVE_S, false),
        (W2::DiveSD, 64, true, DIVE_S, false),
        (W2::DiveUW, 32, false, DIVE_U, false),
        (W2::DiveUD, 64, false, DIVE_U, false),
    ]
};

#[test]
fn elementwise_operations() {
    let mut r = Rng(0x9e37_79b9_7f4a_7c15);
    for &(op, width, signed, model, saturates) in ELEMENTWISE {
        let (low, high) = range(width, signed);
        for _ in 0..400 {
            let (a, b) = (r.wide(), r.wide());
            let exact = |k| model(element(a, width, signed, k), element(b, width, signed, k), width);
            let expected = assemble(width, |k| if saturates { exact(k).clamp(low, high) } else { exact(k) });
            let sat = saturates && (0..128 / width).any(|k| !(low..=high).contains(&exact(k)));
            assert_eq!(eval2_sat(op, a, b), (expected, sat), "{op:?} {a:032x} {b:032x}");
        }
    }
}

/// Even and odd products, packs, unpacks and merges by element numbers.
#[test]
fn elements_that_move() {
    let mut r = Rng(0x0123_4567_89ab_cdef);
    let products = [
        (W2::MulEvenSB, W2::MulOddSB, 8, true),
        (W2::MulEvenSH, W2::MulOddSH, 16, true),
        (W2::MulEvenSW, W2::MulOddSW, 32, true),
        (W2::MulEvenUB, W2::MulOddUB, 8, false),
        (W2::MulEvenUH, W2::MulOddUH, 16, false),
        (W2::MulEvenUW, W2::MulOddUW, 32, false),
    ];
    let packs = [
        (W2::PackHSs, 16, true, true),
        (W2::PackHSu, 16, true, false),
        (W2::PackHUu, 16, false, false),
        (W2::PackWSs, 32, true, true),
        (W2::PackWSu, 32, true, false),
        (W2::PackWUu, 32, false, false),
        (W2::PackDSs, 64, true, true),
        (W2::PackDSu, 64, true, false),
        (W2::PackDUu, 64, false, false),
    ];
    let unpacks = [
        (W1::UnpackHiB, W1::UnpackLoB, 8),
        (W1::UnpackHiH, W1::UnpackLoH, 16),
        (W1::UnpackHiW, W1::UnpackLoW, 32),
    ];
    let merges =
        [(W2::MergeHiB, W2::MergeLoB, 8), (W2::MergeHiH, W2::MergeLoH, 16), (W2::MergeHiW, W2::MergeLoW, 32)];
    for _ in 0..400 {
        let (a, b) = (r.wide(), r.wide());
        for (even, odd, w, s) in products {
            let model = |n| assemble(2 * w, |k| element(a, w, s, 2 * k + n) * element(b, w, s, 2 * k + n));
            assert_eq!((eval2(even, a, b), eval2(odd, a, b)), (model(0), model(1)), "{even:?}");
        }
        for (op, w, s, to_signed) in packs {
            let n = 128 / w;
            let from = |k| if k < n { element(a, w, s, k) } else { element(b, w, s, k - n) };
            let (low, high) = range(w / 2, to_signed);
            let sat = (0..2 * n).any(|k| !(low..=high).contains(&from(k)));
            assert_eq!(eval2_sat(op, a, b), (assemble(w / 2, |k| from(k).clamp(low, high)), sat), "{op:?}");
        }
        for (hi, lo, w) in unpacks {
            assert_eq!(eval1(hi, a), assemble(2 * w, |k| element(a, w, true, k)), "{hi:?}");
            assert_eq!(eval1(lo, a), assemble(2 * w, |k| element(a, w, true, k + 64 / w)), "{lo:?}");
        }
        for (hi, lo, w) in merges {
            let turn = |k: u32, from| element(if k % 2 == 0 { a } else { b }, w, false, from + k / 2);
            assert_eq!(eval2(hi, a, b), assemble(w, |k| turn(k, 0)), "{hi:?}");
            assert_eq!(eval2(lo, a, b), assemble(w, |k| turn(k, 64 / w)), "{lo:?}");
        }
        for shift in 0..=255u32 {
            // The pair as 256 bits, one by one.
            let bit = |n: u32| match n {
                0..128 => a >> (127 - n) & 1,
                128..256 => b >> (255 - n) & 1,
                _ => 0,
            };
            let model = (0..128).fold(0, |x, n| x << 1 | bit(n + shift));
            assert_eq!(eval3(W3::ShlDouble, a, b, shift.into()), model, "{shift}");
        }
    }
}

/// Rotate and insert under mask, bit by bit.
#[test]
fn rotates_under_mask() {
    let mut r = Rng(77);
    for _ in 0..2000 {
        let (a, b, t) = (r.wide(), r.wide(), r.wide());
        for (op, masked, w) in [
            (W3::RotInsW, W2::RotMaskW, 32),
            (W3::RotInsD, W2::RotMaskD, 64),
            (W3::RotInsQ, W2::RotMaskQ, 128),
        ] {
            let model = |t: u128| {
                assemble(w, |k| {
                    let (x, old) = (element(a, w, false, k) as u128, element(t, w, false, k) as u128);
                    let control = if w == 128 { b >> 64 } else { element(b, w, false, k) as u128 };
                    let field = |at: u32| (control >> at) as u32 & (w - 1);
                    let (n, me, mb) = (field(0), field(8), field(16));
                    let mut out = 0;
                    for bit in 0..w {
                        let inside = if mb <= me { mb <= bit && bit <= me } else { bit >= mb || bit <= me };
                        let from = if inside { x >> (w - 1 - (bit + n) % w) } else { old >> (w - 1 - bit) };
                        out |= (from & 1) << (w - 1 - bit);
                    }
                    out as i128
                })
            };
            assert_eq!(eval3(op, a, b, t), model(t), "{op:?} {a:032x} {b:032x} {t:032x}");
            assert_eq!(eval2(masked, a, b), model(0), "{masked:?}");
        }
    }
}

/// 128-bit sums with carry in and out, ten-fold, and division of quadwords as the inverse of multiplication.
#[test]
fn quadwords() {
    let mut r = Rng(5);
    for _ in 0..2000 {
        let (a, b, c) = (r.wide(), r.wide(), r.wide());
        // Sums of 64-bit halves, carries by hand.
        let add = |a: u128, b: u128, c: u128| {
            let low = (a as u64 as u128) + (b as u64 as u128) + (c & 1);
            let high = (a >> 64) + (b >> 64) + (low >> 64);
            (high << 64 | low as u64 as u128, high >> 64)
        };
        assert_eq!((eval3(W3::AddEQ, a, b, c), eval3(W3::AddECQ, a, b, c)), add(a, b, c));
        assert_eq!((eval3(W3::SubEQ, a, b, c), eval3(W3::SubECQ, a, b, c)), add(a, !b, c));
        assert_eq!((eval2(W2::AddQ, a, b), eval2(W2::AddCQ, a, b)), add(a, b, 0));
        assert_eq!((eval2(W2::SubQ, a, b), eval2(W2::SubCQ, a, b)), add(a, !b, 1));
        // q = (a << 128) / b: q * b <= a << 128 < (q + 1) * b, in 32-bit digits.
        if a < b {
            let q = eval2(W2::DiveUQ, a, b);
            let digits = |x: u128| [x as u32, (x >> 32) as u32, (x >> 64) as u32, (x >> 96) as u32];
            let mut p = [0u64; 8];
            for (i, x) in digits(q).into_iter().enumerate() {
                let mut carry = 0;
                for (j, y) in digits(b).into_iter().enumerate() {
                    let s = p[i + j] + u64::from(x) * u64::from(y) + carry;
                    (p[i + j], carry) = (s & 0xffff_ffff, s >> 32);
                }
                p[i + 4] = carry;
            }
            let half = |k: usize| (0..4).fold(0u128, |v, n| v | u128::from(p[k + n]) << (32 * n));
            let (low, high) = (half(0), half(4));
            // The remainder (a << 128) - q * b is less than b.
            let (rem, borrow) = 0u128.overflowing_sub(low);
            assert_eq!(a - high - u128::from(borrow), 0, "{a:x} {b:x}");
            assert!(rem < b);
        }
        if b != 0 {
            assert_eq!(eval2(W2::DivUQ, a, b) * b + eval2(W2::ModUQ, a, b), a);
        }
    }
    for (a, digit) in [(u128::MAX, 9), (0, 3), (1 << 125, 0), (12345, 7)] {
        let (low, high) = (eval2(W2::Mul10E, a, digit), eval2(W2::Mul10EC, a, digit));
        assert_eq!(low, a.wrapping_mul(10).wrapping_add(digit));
        assert_eq!(high, (a >> 64) * 10 + (((a as u64 as u128) * 10 + digit) >> 64) >> 64);
    }
}

#[test]
fn aes_rounds() {
    let mut r = Rng(42);
    for _ in 0..300 {
        let (state, key) = (r.wide(), r.wide());
        let block = |x: u128| aes::Block::from(x.to_be_bytes());
        let mut b = block(state);
        hazmat::cipher_round(&mut b, &block(key));
        assert_eq!(eval2(W2::Cipher, state, key).to_be_bytes(), b[..]);
        // The other crate's decryption round adds a transformed key last.
        let mut k = block(key);
        hazmat::inv_mix_columns(&mut k);
        let mut b = block(state);
        hazmat::equiv_inv_cipher_round(&mut b, &k);
        assert_eq!(eval2(W2::Ncipher, state, key).to_be_bytes(), b[..]);
        // The last rounds are the rounds without MixColumns.
        let mut last = block(eval2(W2::CipherLast, state, 0));
        hazmat::mix_columns(&mut last);
        assert_eq!(eval2(W2::Cipher, state, 0).to_be_bytes(), last[..]);
        assert_eq!(eval2(W2::NcipherLast, eval2(W2::CipherLast, state, 0), key), state ^ key);
        // Equal bytes do not notice ShiftRows.
        let equal = (state & 0xff) * (u128::MAX / 0xff);
        assert_eq!(eval1(W1::Sbox, equal), eval2(W2::CipherLast, equal, 0));
    }
}

fn sigma_w(x: u32, select: u128) -> u32 {
    eval2(W2::ShaSigmaW, x.into(), select) as u32
}
fn sigma_d(x: u64, select: u128) -> u64 {
    eval2(W2::ShaSigmaD, x.into(), select) as u64
}

/// First bits of the fractional part of the n-th root (2 or 3) of a prime, as FIPS 180-4 derives its constants.
fn fraction(prime: u64, root: u32, bits: u32) -> u64 {
    // The largest x with x^root <= prime << (root * bits), by bits.
    let le = |x: u128| match root {
        2 => mul_le(&[x, x], prime, 2 * bits),
        _ => mul_le(&[x, x, x], prime, 3 * bits),
    };
    let mut x = 0u128;
    for bit in (0..bits + 6).rev() {
        if le(x | 1 << bit) {
            x |= 1 << bit;
        }
    }
    (x & ((1 << bits) - 1)) as u64
}
/// Whether the product of the factors is at most prime << shift, in 32-bit digits.
fn mul_le(factors: &[u128], prime: u64, shift: u32) -> bool {
    let mut p = vec![1u64];
    for &f in factors {
        let mut next = vec![0u64; p.len() + 4];
        for (i, x) in p.iter().enumerate() {
            let mut carry = 0;
            for j in 0..4 {
                let s = next[i + j] + x * u64::from((f >> (32 * j)) as u32) + carry;
                (next[i + j], carry) = (s & 0xffff_ffff, s >> 32);
            }
            next[i + 4] = carry;
        }
        p = next;
    }
    let mut q = vec![0u64; p.len().max(shift as usize / 32 + 3)];
    let at = shift as usize / 32;
    let wide = u128::from(prime) << (shift % 32);
    for j in 0..3 {
        q[at + j] = (wide >> (32 * j)) as u64 & 0xffff_ffff;
    }
    p.resize(q.len(), 0);
    p.iter().rev().le(q.iter().rev())
}
fn primes() -> impl Iterator<Item = u64> {
    (2..).filter(|&n: &u64| (2..n).all(|d| n % d != 0))
}

/// One-block SHA-256 and SHA-512 with the sigma operations.
#[test]
fn sha2_digests() {
    for text in ["", "abc", "The quick brown fox jumps over the lazy dog"] {
        let mut block = text.as_bytes().to_vec();
        block.push(0x80);
        block.resize(56, 0);
        block.extend((8 * text.len() as u64).to_be_bytes());
        let mut w: Vec<u32> = block.chunks(4).map(|c| u32::from_be_bytes(c.try_into().unwrap())).collect();
        for t in 16..64 {
            let s = sigma_w(w[t - 2], 15).wrapping_add(w[t - 7]).wrapping_add(sigma_w(w[t - 15], 0));
            w.push(s.wrapping_add(w[t - 16]));
        }
        let start: Vec<u32> = primes().take(8).map(|p| fraction(p, 2, 32) as u32).collect();
        let mut v = start.clone();
        for (t, p) in primes().take(64).enumerate() {
            let choose = v[4] & v[5] ^ !v[4] & v[6];
            let majority = v[0] & v[1] ^ v[0] & v[2] ^ v[1] & v[2];
            let t1 = [sigma_w(v[4], 31), choose, fraction(p, 3, 32) as u32, w[t]]
                .iter()
                .fold(v[7], |s, x| s.wrapping_add(*x));
            let t2 = sigma_w(v[0], 16).wrapping_add(majority);
            v[3] = v[3].wrapping_add(t1);
            v.rotate_right(1);
            v[0] = t1.wrapping_add(t2);
        }
        let digest: Vec<u8> =
            v.iter().zip(&start).flat_map(|(x, y)| x.wrapping_add(*y).to_be_bytes()).collect();
        assert_eq!(digest, Sha256::digest(text).to_vec());

        let mut block = text.as_bytes().to_vec();
        block.push(0x80);
        block.resize(112, 0);
        block.extend((8 * text.len() as u128).to_be_bytes());
        let mut w: Vec<u64> = block.chunks(8).map(|c| u64::from_be_bytes(c.try_into().unwrap())).collect();
        for t in 16..80 {
            let s = sigma_d(w[t - 2], 15).wrapping_add(w[t - 7]).wrapping_add(sigma_d(w[t - 15], 0));
            w.push(s.wrapping_add(w[t - 16]));
        }
        let start: Vec<u64> = primes().take(8).map(|p| fraction(p, 2, 64)).collect();
        let mut v = start.clone();
        for (t, p) in primes().take(80).enumerate() {
            let choose = v[4] & v[5] ^ !v[4] & v[6];
            let majority = v[0] & v[1] ^ v[0] & v[2] ^ v[1] & v[2];
            let t1 = [sigma_d(v[4], 31), choose, fraction(p, 3, 64), w[t]]
                .iter()
                .fold(v[7], |s, x| s.wrapping_add(*x));
            let t2 = sigma_d(v[0], 16).wrapping_add(majority);
            v[3] = v[3].wrapping_add(t1);
            v.rotate_right(1);
            v[0] = t1.wrapping_add(t2);
        }
        let digest: Vec<u8> =
            v.iter().zip(&start).flat_map(|(x, y)| x.wrapping_add(*y).to_be_bytes()).collect();
        assert_eq!(digest, Sha512::digest(text).to_vec());
    }
    // Each element obeys its own bit of SIX.
    let x = 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978;
    for six in 0..16 {
        let words = assemble(32, |k| {
            let one = if six >> (3 - k) & 1 != 0 { 15 } else { 0 };
            sigma_w(element(x, 32, false, k) as u32, one).into()
        });
        assert_eq!(eval2(W2::ShaSigmaW, x, six), words);
        let doublewords = assemble(64, |k| {
            let one = if six >> (3 - 2 * k) & 1 != 0 { 15 } else { 0 };
            sigma_d(element(x, 64, false, k) as u64, one).into()
        });
        assert_eq!(eval2(W2::ShaSigmaD, x, six), doublewords);
    }
}

/// Carry-less products, bit by bit.
#[test]
fn polynomials() {
    let mut r = Rng(64);
    for _ in 0..300 {
        let (a, b) = (r.wide(), r.wide());
        for (op, w) in [(W2::PolyMulB, 8), (W2::PolyMulH, 16), (W2::PolyMulW, 32), (W2::PolyMulD, 64)] {
            let product = |k: u32| {
                let (x, y) = (element(a, w, false, k) as u128, element(b, w, false, k) as u128);
                (0..w).filter(|n| y >> n & 1 != 0).fold(0, |s, n| s ^ x << n)
            };
            let model = assemble(2 * w, |k| (product(2 * k) ^ product(2 * k + 1)) as i128);
            assert_eq!(eval2(op, a, b), model, "{op:?} {a:032x} {b:032x}");
        }
    }
}

/// Decimal sums against sums of numbers.
#[test]
fn decimals() {
    let mut r = Rng(31);
    for _ in 0..2000 {
        let limit = 10u128.pow((r.next() % 32) as u32);
        let mut number = || {
            let v = (r.wide() % limit) as i128;
            if r.next() % 2 == 0 { v } else { -v }
        };
        let (x, y) = (number(), number());
        let bcd = |v: i128| eval2(W2::BcdCfsq, v as u128, 0);
        assert_eq!(eval1(W1::BcdCtsq, bcd(x)) as i128, x);
        assert_eq!(
            bcd(x),
            u128::from_str_radix(&format!("{}{}", x.abs(), if x < 0 { 'd' } else { 'c' }), 16).unwrap()
        );
        for (op, cr, sum) in [(W3::BcdAdd, W3::BcdAddCr, x + y), (W3::BcdSub, W3::BcdSubCr, x - y)] {
            let fits = sum.unsigned_abs() < 10u128.pow(31);
            let sign = match sum {
                0 => 2,
                1.. => 4,
                _ => 8,
            };
            assert_eq!(eval3(cr, bcd(x), bcd(y), 0), sign | u128::from(!fits), "{x} {y}");
            if fits {
                assert_eq!(eval3(op, bcd(x), bcd(y), 0), bcd(sum), "{x} {y}");
            }
        }
        // Shifts by n digits multiply by powers of ten, rounding up from five.
        let n = (r.next() % 30) as i8;
        let right = eval3(W3::BcdSr, u128::from((-n) as u8) << 64, bcd(x), 0);
        let power = 10u128.pow(n as u32);
        let rounded = ((x.unsigned_abs() + power / 2) / power) as i128;
        assert_eq!(right >> 4, bcd(rounded) >> 4, "{x} {n}");
    }
    // A digit that is none, a sign that is none.
    for bad in [0xac, 5u128] {
        assert_eq!(eval3(W3::BcdAddCr, bad, 0xc, 0), 1);
        assert_eq!(eval2(W2::BcdSetSgnCr, bad, 0), 1);
    }
}

/// Every operation gives a value on any operands, in any numbering order.
#[test]
fn operations_are_total() {
    let mut r = Rng(99);
    for _ in 0..100 {
        let (a, b, c) = (r.wide(), r.wide(), r.wide());
        for (n, &op) in W1::ALL.iter().enumerate() {
            assert_eq!(op as usize, n);
            eval1(op, a);
        }
        for (n, &op) in W2::ALL.iter().enumerate() {
            assert_eq!(op as usize, n);
            eval2(op, a, b);
        }
        for (n, &op) in W3::ALL.iter().enumerate() {
            assert_eq!(op as usize, n);
            eval3(op, a, b, c);
        }
    }
}
