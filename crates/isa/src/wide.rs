//! 128-bit vector operations as pure functions on values (Book I, chapters 6 and 7); byte 0 of a register is the most
//! significant byte of the number, element 0 of any size the most significant element.
//!
//! An operation is a value of [`W1`], [`W2`] or [`W3`] by its number of operands; [`eval1`], [`eval2`] and [`eval3`]
//! compute it. A decode-time immediate is an ordinary operand holding a constant. Names end in the element size
//! (`B` 8, `H` 16, `W` 32, `D` 64, `Q` 128 bits), before it `S` signed or `U` unsigned where that matters.
//! Operations with `Sat` or `Ss`/`Us` in their name saturate; [`eval2_sat`] and [`eval3_sat`] also say whether an
//! element did (VSCR[SAT]).

mod bcd;
mod bits;
mod crypto;
mod lanes;
mod multiply;
mod permute;

use lanes::{SIGN_B, SIGN_H, sb, sd, sh, sw, ub, ud, uh, uw};

macro_rules! ops {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $v:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum $name { $($(#[$vdoc])* $v,)* }
        impl $name {
            /// Every operation, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$v,)*];
        }
    };
}

ops! {
    /// One-operand vector operations.
    W1 {
        Not,
        NegW, NegD,
        ClzB, ClzH, ClzW, ClzD,
        CtzB, CtzH, CtzW, CtzD,
        PopB, PopH, PopW, PopD,
        /// Parity of the least significant bits of the bytes of each element.
        ParityW, ParityD, ParityQ,
        /// Bytes of each element reversed.
        SwapH, SwapW, SwapD, SwapQ,
        /// Sign-extend the rightmost part of each element.
        ExtBW, ExtHW, ExtBD, ExtHD, ExtWD, ExtDQ,
        /// Sign-extend the elements of the left (`Hi`) or right half; `Px`: 1-5-5-5 pixels.
        UnpackHiB, UnpackHiH, UnpackHiW, UnpackHiPx,
        UnpackLoB, UnpackLoH, UnpackLoW, UnpackLoPx,
        /// Bits of each doubleword as an 8 by 8 matrix transposed.
        Gather,
        /// All ones where the element's sign bit is 1, else zeros.
        ExpandB, ExpandH, ExpandW, ExpandD, ExpandQ,
        /// Sign bits of all elements as a number (result in doubleword 1).
        MaskB, MaskH, MaskW, MaskD, MaskQ,
        /// The reverse of `Mask*`: low bits of doubleword 1 to elements of all ones.
        UnmaskB, UnmaskH, UnmaskW, UnmaskD, UnmaskQ,
        /// Number of leading (trailing) bytes whose least significant bit is 0 (result in doubleword 1).
        ClzLsb, CtzLsb,
        /// Times ten; `C`: what exceeds 128 bits.
        Mul10, Mul10C,
        /// The string up to the first zero element from the left (`L`) or right (`R`), zeros behind.
        StringBL, StringBR, StringHL, StringHR,
        /// AES SubBytes.
        Sbox,
        /// Zoned and national decimals, see `W2::Bcd*`.
        BcdCtn, BcdCtnCr,
        BcdCtsq, BcdCtsqCr,
    }
}

ops! {
    /// Two-operand vector operations.
    W2 {
        And, Or, Xor, Andc, Orc, Nand, Nor, Eqv,
        AddB, AddH, AddW, AddD, AddQ,
        SubB, SubH, SubW, SubD, SubQ,
        /// Carry out of the sum; carry (no borrow) of the difference: 0 or 1 per element.
        AddCW, AddCQ, SubCW, SubCQ,
        AddSatSB, AddSatSH, AddSatSW, AddSatUB, AddSatUH, AddSatUW,
        SubSatSB, SubSatSH, SubSatSW, SubSatUB, SubSatUH, SubSatUW,
        AvgSB, AvgSH, AvgSW, AvgUB, AvgUH, AvgUW,
        /// |a - b|
        AbsDiffUB, AbsDiffUH, AbsDiffUW,
        MaxSB, MaxSH, MaxSW, MaxSD, MaxUB, MaxUH, MaxUW, MaxUD,
        MinSB, MinSH, MinSW, MinSD, MinUB, MinUH, MinUW, MinUD,
        /// Comparisons: all ones where true.
        EqB, EqH, EqW, EqD, EqQ,
        GtSB, GtSH, GtSW, GtSD, GtSQ,
        GtUB, GtUH, GtUW, GtUD, GtUQ,
        NeB, NeH, NeW,
        /// Different, or either is zero.
        NezB, NezH, NezW,
        /// Products of even-numbered elements, twice as wide.
        MulEvenSB, MulEvenSH, MulEvenSW, MulEvenSD, MulEvenUB, MulEvenUH, MulEvenUW, MulEvenUD,
        /// Products of odd-numbered elements, twice as wide.
        MulOddSB, MulOddSH, MulOddSW, MulOddSD, MulOddUB, MulOddUH, MulOddUW, MulOddUD,
        /// Low half of the product.
        MulW, MulD,
        /// High half of the product.
        MulHighSW, MulHighSD, MulHighUW, MulHighUD,
        /// Quotients, remainders; `Dive`: of the element followed by as many zeros. 0 where undefined.
        DivSW, DivSD, DivSQ, DivUW, DivUD, DivUQ,
        DiveSW, DiveSD, DiveSQ, DiveUW, DiveUD, DiveUQ,
        ModSW, ModSD, ModSQ, ModUW, ModUD, ModUQ,
        /// Ten times a plus the low digit of b; `C`: what exceeds 128 bits.
        Mul10E, Mul10EC,
        /// Sums across, saturating: `vsum4sbs`, `vsum4shs`, `vsum4ubs`, `vsum2sws`, `vsumsws`.
        Sum4SatSB, Sum4SatSH, Sum4SatUB, Sum2SatSW, SumSatSW,
        MergeHiB, MergeHiH, MergeHiW, MergeLoB, MergeLoH, MergeLoW, MergeEvenW, MergeOddW,
        /// Low halves of the elements of a, then of b.
        PackH, PackW, PackD, PackPx,
        /// Packs from signed to signed, signed to unsigned, unsigned to unsigned, saturating.
        PackHSs, PackHSu, PackHUu, PackWSs, PackWSu, PackWUu, PackDSs, PackDSu, PackDUu,
        /// Rotates and shifts of elements by the elements of b modulo their width; `Q`: by the low 7 bits of b.
        RotB, RotH, RotW, RotD, RotQ,
        ShlB, ShlH, ShlW, ShlD, ShlQ,
        ShrB, ShrH, ShrW, ShrD, ShrQ,
        SarB, SarH, SarW, SarD, SarQ,
        /// Rotate left, then AND with the mask that b describes; `Q`: b's fields in doubleword 0.
        RotMaskW, RotMaskD, RotMaskQ,
        /// Bytes shifted left (right) by the low 3 bits of b's bytes, filled from the next (previous) byte.
        ShlVar, ShrVar,
        /// Element number b (low bits) of a, everywhere.
        SplatB, SplatH, SplatW,
        /// `vbpermq`, `vbpermd`: bits of a selected by the bytes of b.
        BitPermQ, BitPermD,
        /// Bit deposit, extract, centrifuge of doublewords of a under masks b.
        Deposit, Extract, Centrifuge,
        /// Leading (trailing) zeros of doublewords of a under masks b.
        ClzMaskD, CtzMaskD,
        /// Every b-th bit of a, from bit 0 on (result in doubleword 1, left-aligned).
        GatherN,
        /// Keep the rightmost (leftmost) b bytes, b a number in doubleword 1.
        KeepRight, KeepLeft,
        /// `xxgenpcv*m`: permute control from the sign bits of a; b = element size in bytes * 4 + IMM.
        PermControl,
        Cipher, CipherLast, Ncipher, NcipherLast,
        /// b = ST * 16 + SIX.
        ShaSigmaW, ShaSigmaD,
        /// Sums of carry-less products of element pairs.
        PolyMulB, PolyMulH, PolyMulW, PolyMulD,
        /// Decimal operations of one register; b = PS. `Cr`: the CR6 value instead of the result.
        BcdCfn, BcdCfnCr, BcdCfz, BcdCfzCr, BcdCtz, BcdCtzCr, BcdCfsq, BcdCfsqCr, BcdSetSgn, BcdSetSgnCr,
        BcdCpSgn, BcdCpSgnCr,
        BcdUs, BcdUsCr, BcdUtrunc, BcdUtruncCr,
    }
}

ops! {
    /// Three-operand vector operations.
    W3 {
        /// c ? b : a, bit by bit.
        Select,
        /// Bytes of a || b chosen by the low 5 bits of c's bytes; `R`: counted from the right.
        Perm, PermR,
        /// `vpermxor`
        PermXor,
        /// Leftmost 128 bits of (a || b) shifted left by c & 255 bits.
        ShlDouble,
        /// a + b + (c & 1), its carry; a + !b + (c & 1), its carry.
        AddEQ, AddECQ, SubEQ, SubECQ,
        /// Sums of products added to c.
        MulSumUB, MulSumMB, MulSumSH, MulSumUH, MulSumUD, MulSumCUD,
        MulSumSatSH, MulSumSatUH,
        /// `vmhaddshs`, `vmhraddshs`, `vmladduhm`
        MulHighAddSatSH, MulHighRoundAddSatSH, MulLowAddUH,
        /// Rotate a left and insert into c under the mask that b describes.
        RotInsW, RotInsD, RotInsQ,
        /// Decimal operations of two registers, c = PS. `Cr`: the CR6 value instead of the result.
        BcdAdd, BcdAddCr, BcdSub, BcdSubCr, BcdS, BcdSCr, BcdSr, BcdSrCr, BcdTrunc, BcdTruncCr,
        /// c's words plus inner products of the words of a and b as 8 x 4, 4 x 8, 2 x 16 bits (outer product rows).
        /// `B`: a's bytes are signed, b's unsigned.
        DotN, DotB, DotH, DotSatB, DotSatH,
    }
}

#[inline(always)]
const fn mask(c: bool) -> u128 {
    if c { u128::MAX } else { 0 }
}

/// Computes a one-operand operation.
#[inline(always)]
pub fn eval1(op: W1, a: u128) -> u128 {
    match op {
        W1::Not => !a,
        W1::NegW => sw::map1(a, i32::wrapping_neg),
        W1::NegD => sd::map1(a, i64::wrapping_neg),
        W1::ClzB => ub::map1(a, |x| x.leading_zeros() as u8),
        W1::ClzH => uh::map1(a, |x| x.leading_zeros() as u16),
        W1::ClzW => uw::map1(a, |x| x.leading_zeros()),
        W1::ClzD => ud::map1(a, |x| x.leading_zeros().into()),
        W1::CtzB => ub::map1(a, |x| x.trailing_zeros() as u8),
        W1::CtzH => uh::map1(a, |x| x.trailing_zeros() as u16),
        W1::CtzW => uw::map1(a, |x| x.trailing_zeros()),
        W1::CtzD => ud::map1(a, |x| x.trailing_zeros().into()),
        W1::PopB => ub::map1(a, |x| x.count_ones() as u8),
        W1::PopH => uh::map1(a, |x| x.count_ones() as u16),
        W1::PopW => uw::map1(a, |x| x.count_ones()),
        W1::PopD => ud::map1(a, |x| x.count_ones().into()),
        W1::ParityW => uw::map1(a, |x| (x & 0x0101_0101).count_ones() & 1),
        W1::ParityD => ud::map1(a, |x| ((x & 0x0101_0101_0101_0101).count_ones() & 1).into()),
        W1::ParityQ => ((a & (u128::MAX / 255)).count_ones() & 1).into(),
        W1::SwapH => uh::map1(a, u16::swap_bytes),
        W1::SwapW => uw::map1(a, u32::swap_bytes),
        W1::SwapD => ud::map1(a, u64::swap_bytes),
        W1::SwapQ => a.swap_bytes(),
        W1::ExtBW => sw::map1(a, |x| (x as i8).into()),
        W1::ExtHW => sw::map1(a, |x| (x as i16).into()),
        W1::ExtBD => sd::map1(a, |x| (x as i8).into()),
        W1::ExtHD => sd::map1(a, |x| (x as i16).into()),
        W1::ExtWD => sd::map1(a, |x| (x as i32).into()),
        W1::ExtDQ => a as i64 as i128 as u128,
        W1::UnpackHiB => permute::unpack_b(a, 0),
        W1::UnpackHiH => permute::unpack_h(a, 0),
        W1::UnpackHiW => permute::unpack_w(a, 0),
        W1::UnpackHiPx => permute::unpack_px(a, 0),
        W1::UnpackLoB => permute::unpack_b(a, 8),
        W1::UnpackLoH => permute::unpack_h(a, 4),
        W1::UnpackLoW => permute::unpack_w(a, 2),
        W1::UnpackLoPx => permute::unpack_px(a, 4),
        W1::Gather => bits::gather(a),
        W1::ExpandB => sb::map1(a, |x| x >> 7),
        W1::ExpandH => sh::map1(a, |x| x >> 15),
        W1::ExpandW => sw::map1(a, |x| x >> 31),
        W1::ExpandD => sd::map1(a, |x| x >> 63),
        W1::ExpandQ => ((a as i128) >> 127) as u128,
        W1::MaskB => bits::sign_mask(a, 8),
        W1::MaskH => bits::sign_mask(a, 16),
        W1::MaskW => bits::sign_mask(a, 32),
        W1::MaskD => bits::sign_mask(a, 64),
        W1::MaskQ => a >> 127,
        W1::UnmaskB => bits::unmask(a, 8),
        W1::UnmaskH => bits::unmask(a, 16),
        W1::UnmaskW => bits::unmask(a, 32),
        W1::UnmaskD => bits::unmask(a, 64),
        W1::UnmaskQ => mask(a & 1 != 0),
        W1::ClzLsb => ((a & (u128::MAX / 255)) << 7).leading_zeros() as u128 / 8,
        W1::CtzLsb => (a & (u128::MAX / 255)).trailing_zeros() as u128 / 8,
        W1::Mul10 => a.wrapping_mul(10),
        W1::Mul10C => multiply::mul10(a, 0).1,
        W1::StringBL => bits::string(a, 8, false),
        W1::StringBR => bits::string(a, 8, true),
        W1::StringHL => bits::string(a, 16, false),
        W1::StringHR => bits::string(a, 16, true),
        W1::Sbox => crypto::sbox(a),
        W1::BcdCtn => bcd::to_national(a).0,
        W1::BcdCtnCr => bcd::to_national(a).1.into(),
        W1::BcdCtsq => bcd::to_binary(a).0,
        W1::BcdCtsqCr => bcd::to_binary(a).1.into(),
    }
}

/// Computes a two-operand operation.
#[inline(always)]
pub fn eval2(op: W2, a: u128, b: u128) -> u128 {
    eval2_sat(op, a, b).0
}

/// Computes a two-operand operation and tells whether an element saturated (false for operations that do not
/// saturate).
#[inline(always)]
pub fn eval2_sat(op: W2, a: u128, b: u128) -> (u128, bool) {
    let r = match op {
        W2::AddSatSB => return sat2(a, b, |a, b| sb::map2(a, b, i8::saturating_add), W2::AddB),
        W2::AddSatSH => return sat2(a, b, |a, b| sh::map2(a, b, i16::saturating_add), W2::AddH),
        W2::AddSatSW => return sat2(a, b, |a, b| sw::map2(a, b, i32::saturating_add), W2::AddW),
        W2::AddSatUB => return sat2(a, b, |a, b| ub::map2(a, b, u8::saturating_add), W2::AddB),
        W2::AddSatUH => return sat2(a, b, |a, b| uh::map2(a, b, u16::saturating_add), W2::AddH),
        W2::AddSatUW => return sat2(a, b, |a, b| uw::map2(a, b, u32::saturating_add), W2::AddW),
        W2::SubSatSB => return sat2(a, b, |a, b| sb::map2(a, b, i8::saturating_sub), W2::SubB),
        W2::SubSatSH => return sat2(a, b, |a, b| sh::map2(a, b, i16::saturating_sub), W2::SubH),
        W2::SubSatSW => return sat2(a, b, |a, b| sw::map2(a, b, i32::saturating_sub), W2::SubW),
        W2::SubSatUB => return sat2(a, b, |a, b| ub::map2(a, b, u8::saturating_sub), W2::SubB),
        W2::SubSatUH => return sat2(a, b, |a, b| uh::map2(a, b, u16::saturating_sub), W2::SubH),
        W2::SubSatUW => return sat2(a, b, |a, b| uw::map2(a, b, u32::saturating_sub), W2::SubW),
        W2::Sum4SatSB => return multiply::sum4sbs(a, b),
        W2::Sum4SatSH => return multiply::sum4shs(a, b),
        W2::Sum4SatUB => return multiply::sum4ubs(a, b),
        W2::Sum2SatSW => return multiply::sum2sws(a, b),
        W2::SumSatSW => return multiply::sumsws(a, b),
        W2::PackHSs => return permute::pack_h(a, b, |x| x.clamp(-0x80, 0x7f), true),
        W2::PackHSu => return permute::pack_h(a, b, |x| x.clamp(0, 0xff), true),
        W2::PackHUu => return permute::pack_h(a, b, |x| x.clamp(0, 0xff), false),
        W2::PackWSs => return permute::pack_w(a, b, |x| x.clamp(-0x8000, 0x7fff), true),
        W2::PackWSu => return permute::pack_w(a, b, |x| x.clamp(0, 0xffff), true),
        W2::PackWUu => return permute::pack_w(a, b, |x| x.clamp(0, 0xffff), false),
        W2::PackDSs => return permute::pack_d(a, b, |x| x.clamp(i32::MIN.into(), i32::MAX.into()), true),
        W2::PackDSu => return permute::pack_d(a, b, |x| x.clamp(0, u32::MAX.into()), true),
        W2::PackDUu => return permute::pack_d(a, b, |x| x.clamp(0, u32::MAX.into()), false),
        _ => plain2(op, a, b),
    };
    (r, false)
}

/// A saturating operation next to the modular one: they differ where an element saturated.
#[inline(always)]
fn sat2(a: u128, b: u128, f: impl Fn(u128, u128) -> u128, modular: W2) -> (u128, bool) {
    let r = f(a, b);
    (r, r != plain2(modular, a, b))
}

/// The two-operand operations that do not saturate; 0 for the others.
#[inline(always)]
fn plain2(op: W2, a: u128, b: u128) -> u128 {
    match op {
        W2::And => a & b,
        W2::Or => a | b,
        W2::Xor => a ^ b,
        W2::Andc => a & !b,
        W2::Orc => a | !b,
        W2::Nand => !(a & b),
        W2::Nor => !(a | b),
        W2::Eqv => !(a ^ b),
        W2::AddB => lanes::add(a, b, SIGN_B),
        W2::AddH => lanes::add(a, b, SIGN_H),
        W2::AddW => uw::map2(a, b, u32::wrapping_add),
        W2::AddD => ud::map2(a, b, u64::wrapping_add),
        W2::AddQ => a.wrapping_add(b),
        W2::SubB => lanes::sub(a, b, SIGN_B),
        W2::SubH => lanes::sub(a, b, SIGN_H),
        W2::SubW => uw::map2(a, b, u32::wrapping_sub),
        W2::SubD => ud::map2(a, b, u64::wrapping_sub),
        W2::SubQ => a.wrapping_sub(b),
        W2::AddCW => uw::map2(a, b, |x, y| x.overflowing_add(y).1.into()),
        W2::AddCQ => a.overflowing_add(b).1.into(),
        W2::SubCW => uw::map2(a, b, |x, y| (x >= y).into()),
        W2::SubCQ => (a >= b).into(),
        W2::AvgSB => sb::map2(a, b, |x, y| ((x as i16 + y as i16 + 1) >> 1) as i8),
        W2::AvgSH => sh::map2(a, b, |x, y| ((x as i32 + y as i32 + 1) >> 1) as i16),
        W2::AvgSW => sw::map2(a, b, |x, y| ((x as i64 + y as i64 + 1) >> 1) as i32),
        W2::AvgUB => ub::map2(a, b, |x, y| ((x as u16 + y as u16 + 1) >> 1) as u8),
        W2::AvgUH => uh::map2(a, b, |x, y| ((x as u32 + y as u32 + 1) >> 1) as u16),
        W2::AvgUW => uw::map2(a, b, |x, y| ((x as u64 + y as u64 + 1) >> 1) as u32),
        W2::AbsDiffUB => ub::map2(a, b, u8::abs_diff),
        W2::AbsDiffUH => uh::map2(a, b, u16::abs_diff),
        W2::AbsDiffUW => uw::map2(a, b, u32::abs_diff),
        W2::MaxSB => lanes::choose(lanes::gt(a ^ SIGN_B, b ^ SIGN_B, SIGN_B), a, b),
        W2::MaxSH => lanes::choose(lanes::gt(a ^ SIGN_H, b ^ SIGN_H, SIGN_H), a, b),
        W2::MaxSW => sw::map2(a, b, Ord::max),
        W2::MaxSD => sd::map2(a, b, Ord::max),
        W2::MaxUB => lanes::choose(lanes::gt(a, b, SIGN_B), a, b),
        W2::MaxUH => lanes::choose(lanes::gt(a, b, SIGN_H), a, b),
        W2::MaxUW => uw::map2(a, b, Ord::max),
        W2::MaxUD => ud::map2(a, b, Ord::max),
        W2::MinSB => lanes::choose(lanes::gt(a ^ SIGN_B, b ^ SIGN_B, SIGN_B), b, a),
        W2::MinSH => lanes::choose(lanes::gt(a ^ SIGN_H, b ^ SIGN_H, SIGN_H), b, a),
        W2::MinSW => sw::map2(a, b, Ord::min),
        W2::MinSD => sd::map2(a, b, Ord::min),
        W2::MinUB => lanes::choose(lanes::gt(a, b, SIGN_B), b, a),
        W2::MinUH => lanes::choose(lanes::gt(a, b, SIGN_H), b, a),
        W2::MinUW => uw::map2(a, b, Ord::min),
        W2::MinUD => ud::map2(a, b, Ord::min),
        W2::EqB => lanes::eq(a, b, SIGN_B),
        W2::EqH => lanes::eq(a, b, SIGN_H),
        W2::EqW => sw::map2(a, b, |x, y| -((x == y) as i32)),
        W2::EqD => sd::map2(a, b, |x, y| -((x == y) as i64)),
        W2::EqQ => mask(a == b),
        W2::GtSB => lanes::gt(a ^ SIGN_B, b ^ SIGN_B, SIGN_B),
        W2::GtSH => lanes::gt(a ^ SIGN_H, b ^ SIGN_H, SIGN_H),
        W2::GtSW => sw::map2(a, b, |x, y| -((x > y) as i32)),
        W2::GtSD => sd::map2(a, b, |x, y| -((x > y) as i64)),
        W2::GtSQ => mask(a as i128 > b as i128),
        W2::GtUB => lanes::gt(a, b, SIGN_B),
        W2::GtUH => lanes::gt(a, b, SIGN_H),
        W2::GtUW => uw::map2(a, b, |x, y| 0u32.wrapping_sub((x > y) as u32)),
        W2::GtUD => ud::map2(a, b, |x, y| 0u64.wrapping_sub((x > y) as u64)),
        W2::GtUQ => mask(a > b),
        W2::NeB => !lanes::eq(a, b, SIGN_B),
        W2::NeH => !lanes::eq(a, b, SIGN_H),
        W2::NeW => sw::map2(a, b, |x, y| -((x != y) as i32)),
        W2::NezB => !lanes::eq(a, b, SIGN_B) | lanes::eq(a, 0, SIGN_B),
        W2::NezH => !lanes::eq(a, b, SIGN_H) | lanes::eq(a, 0, SIGN_H),
        W2::NezW => sw::map2(a, b, |x, y| -((x != y || x == 0) as i32)),
        W2::MergeHiB => permute::merge(a, b, 8, 0, 1),
        W2::MergeHiH => permute::merge(a, b, 16, 0, 1),
        W2::MergeHiW => permute::merge(a, b, 32, 0, 1),
        W2::MergeLoB => permute::merge(a, b, 8, 8, 1),
        W2::MergeLoH => permute::merge(a, b, 16, 4, 1),
        W2::MergeLoW => permute::merge(a, b, 32, 2, 1),
        W2::MergeEvenW => permute::merge(a, b, 32, 0, 2),
        W2::MergeOddW => permute::merge(a, b, 32, 1, 2),
        W2::PackH => permute::pack_h(a, b, |x| x & 0xff, false).0,
        W2::PackW => permute::pack_w(a, b, |x| x & 0xffff, false).0,
        W2::PackD => permute::pack_d(a, b, |x| x & 0xffff_ffff, false).0,
        W2::PackPx => permute::pack_px(a, b),
        W2::SplatB => (a >> (8 * (!b & 15)) & 0xff) * (u128::MAX / 0xff),
        W2::SplatH => (a >> (16 * (!b & 7)) & 0xffff) * (u128::MAX / 0xffff),
        W2::SplatW => (a >> (32 * (!b & 3)) & 0xffff_ffff) * (u128::MAX / 0xffff_ffff),
        W2::KeepRight => a & permute::right_bytes(b as u64),
        W2::KeepLeft => a & !permute::right_bytes(16u64.saturating_sub(b as u64)),
        W2::PermControl => permute::control(a, b as u32),
        _ => plain2_more(op, a, b),
    }
}

/// Second part of [`plain2`]: multiplication, shifts, bits, crypto, decimal.
#[inline(always)]
fn plain2_more(op: W2, a: u128, b: u128) -> u128 {
    match op {
        W2::RotB => ub::map2(a, b, |x, n| x.rotate_left(n as u32 & 7)),
        W2::RotH => uh::map2(a, b, |x, n| x.rotate_left(n as u32 & 15)),
        W2::RotW => uw::map2(a, b, |x, n| x.rotate_left(n & 31)),
        W2::RotD => ud::map2(a, b, |x, n| x.rotate_left(n as u32 & 63)),
        W2::RotQ => a.rotate_left(b as u32 & 127),
        W2::ShlB => ub::map2(a, b, |x, n| x << (n & 7)),
        W2::ShlH => uh::map2(a, b, |x, n| x << (n & 15)),
        W2::ShlW => uw::map2(a, b, |x, n| x << (n & 31)),
        W2::ShlD => ud::map2(a, b, |x, n| x << (n & 63)),
        W2::ShlQ => a << (b & 127),
        W2::ShrB => ub::map2(a, b, |x, n| x >> (n & 7)),
        W2::ShrH => uh::map2(a, b, |x, n| x >> (n & 15)),
        W2::ShrW => uw::map2(a, b, |x, n| x >> (n & 31)),
        W2::ShrD => ud::map2(a, b, |x, n| x >> (n & 63)),
        W2::ShrQ => a >> (b & 127),
        W2::SarB => sb::map2(a, b, |x, n| x >> (n & 7)),
        W2::SarH => sh::map2(a, b, |x, n| x >> (n & 15)),
        W2::SarW => sw::map2(a, b, |x, n| x >> (n & 31)),
        W2::SarD => sd::map2(a, b, |x, n| x >> (n & 63)),
        W2::SarQ => ((a as i128) >> (b & 127)) as u128,
        W2::RotMaskW => uw::map2(a, b, |x, y| x.rotate_left(y & 31) & bits::mask_w(y)),
        W2::RotMaskD => ud::map2(a, b, |x, y| x.rotate_left(y as u32 & 63) & bits::mask_d(y)),
        W2::RotMaskQ => a.rotate_left((b >> 64) as u32 & 127) & bits::mask_q(b),
        W2::ShlVar => permute::shl_var(a, b),
        W2::ShrVar => permute::shr_var(a, b),
        W2::MulEvenSB => multiply::even_sb(a, b, 0),
        W2::MulEvenSH => multiply::even_sh(a, b, 0),
        W2::MulEvenSW => multiply::even_sw(a, b, 0),
        W2::MulEvenSD => ((a >> 64) as i64 as i128).wrapping_mul((b >> 64) as i64 as i128) as u128,
        W2::MulEvenUB => multiply::even_ub(a, b, 0),
        W2::MulEvenUH => multiply::even_uh(a, b, 0),
        W2::MulEvenUW => multiply::even_uw(a, b, 0),
        W2::MulEvenUD => (a >> 64).wrapping_mul(b >> 64),
        W2::MulOddSB => multiply::even_sb(a, b, 1),
        W2::MulOddSH => multiply::even_sh(a, b, 1),
        W2::MulOddSW => multiply::even_sw(a, b, 1),
        W2::MulOddSD => (a as i64 as i128).wrapping_mul(b as i64 as i128) as u128,
        W2::MulOddUB => multiply::even_ub(a, b, 1),
        W2::MulOddUH => multiply::even_uh(a, b, 1),
        W2::MulOddUW => multiply::even_uw(a, b, 1),
        W2::MulOddUD => (a as u64 as u128).wrapping_mul(b as u64 as u128),
        W2::MulW => uw::map2(a, b, u32::wrapping_mul),
        W2::MulD => ud::map2(a, b, u64::wrapping_mul),
        W2::MulHighSW => sw::map2(a, b, |x, y| ((x as i64 * y as i64) >> 32) as i32),
        W2::MulHighSD => sd::map2(a, b, |x, y| ((x as i128 * y as i128) >> 64) as i64),
        W2::MulHighUW => uw::map2(a, b, |x, y| ((x as u64 * y as u64) >> 32) as u32),
        W2::MulHighUD => ud::map2(a, b, |x, y| ((x as u128 * y as u128) >> 64) as u64),
        W2::DivSW => sw::map2(a, b, |x, y| x.checked_div(y).unwrap_or(0)),
        W2::DivSD => sd::map2(a, b, |x, y| x.checked_div(y).unwrap_or(0)),
        W2::DivSQ => (a as i128).checked_div(b as i128).unwrap_or(0) as u128,
        W2::DivUW => uw::map2(a, b, |x, y| x.checked_div(y).unwrap_or(0)),
        W2::DivUD => ud::map2(a, b, |x, y| x.checked_div(y).unwrap_or(0)),
        W2::DivUQ => a.checked_div(b).unwrap_or(0),
        W2::ModSW => sw::map2(a, b, |x, y| x.checked_rem(y).unwrap_or(0)),
        W2::ModSD => sd::map2(a, b, |x, y| x.checked_rem(y).unwrap_or(0)),
        W2::ModSQ => (a as i128).checked_rem(b as i128).unwrap_or(0) as u128,
        W2::ModUW => uw::map2(a, b, |x, y| x.checked_rem(y).unwrap_or(0)),
        W2::ModUD => ud::map2(a, b, |x, y| x.checked_rem(y).unwrap_or(0)),
        W2::ModUQ => a.checked_rem(b).unwrap_or(0),
        W2::DiveSW => sw::map2(a, b, multiply::dive_sw),
        W2::DiveSD => sd::map2(a, b, multiply::dive_sd),
        W2::DiveSQ => multiply::dive_sq(a as i128, b as i128) as u128,
        W2::DiveUW => uw::map2(a, b, multiply::dive_uw),
        W2::DiveUD => ud::map2(a, b, multiply::dive_ud),
        W2::DiveUQ => multiply::dive_uq(a, b),
        W2::Mul10E => multiply::mul10(a, b & 15).0,
        W2::Mul10EC => multiply::mul10(a, b & 15).1,
        W2::BitPermQ => bits::bit_perm_q(a, b),
        W2::BitPermD => bits::bit_perm_d(a, b),
        W2::Deposit => ud::map2(a, b, bits::deposit),
        W2::Extract => ud::map2(a, b, bits::extract),
        W2::Centrifuge => ud::map2(a, b, bits::centrifuge),
        W2::ClzMaskD => ud::map2(a, b, bits::clz_mask),
        W2::CtzMaskD => ud::map2(a, b, bits::ctz_mask),
        W2::GatherN => bits::gather_n(a, b as u32),
        W2::Cipher => crypto::cipher(a, b),
        W2::CipherLast => crypto::cipher_last(a, b),
        W2::Ncipher => crypto::ncipher(a, b),
        W2::NcipherLast => crypto::ncipher_last(a, b),
        W2::ShaSigmaW => crypto::sha_sigma_w(a, b as u32),
        W2::ShaSigmaD => crypto::sha_sigma_d(a, b as u32),
        W2::PolyMulB => crypto::poly_mul(a, b, 8),
        W2::PolyMulH => crypto::poly_mul(a, b, 16),
        W2::PolyMulW => crypto::poly_mul(a, b, 32),
        W2::PolyMulD => crypto::poly_mul(a, b, 64),
        W2::BcdCfn => bcd::from_national(a, b as u32).0,
        W2::BcdCfnCr => bcd::from_national(a, b as u32).1.into(),
        W2::BcdCfz => bcd::from_zoned(a, b as u32).0,
        W2::BcdCfzCr => bcd::from_zoned(a, b as u32).1.into(),
        W2::BcdCtz => bcd::to_zoned(a, b as u32).0,
        W2::BcdCtzCr => bcd::to_zoned(a, b as u32).1.into(),
        W2::BcdCfsq => bcd::from_binary(a, b as u32).0,
        W2::BcdCfsqCr => bcd::from_binary(a, b as u32).1.into(),
        W2::BcdSetSgn => bcd::set_sign(a, b as u32).0,
        W2::BcdSetSgnCr => bcd::set_sign(a, b as u32).1.into(),
        W2::BcdCpSgn => bcd::copy_sign(a, b).0,
        W2::BcdCpSgnCr => bcd::copy_sign(a, b).1.into(),
        W2::BcdUs => bcd::unsigned_shift(a, b).0,
        W2::BcdUsCr => bcd::unsigned_shift(a, b).1.into(),
        W2::BcdUtrunc => bcd::unsigned_truncate(a, b).0,
        W2::BcdUtruncCr => bcd::unsigned_truncate(a, b).1.into(),
        _ => 0,
    }
}

/// Computes a three-operand operation.
#[inline(always)]
pub fn eval3(op: W3, a: u128, b: u128, c: u128) -> u128 {
    eval3_sat(op, a, b, c).0
}

/// Computes a three-operand operation and tells whether an element saturated (false for operations that do not
/// saturate).
#[inline(always)]
pub fn eval3_sat(op: W3, a: u128, b: u128, c: u128) -> (u128, bool) {
    let r = match op {
        W3::Select => a & !c | b & c,
        W3::Perm => permute::perm(a, b, c),
        W3::PermR => permute::perm(a, b, !c),
        W3::PermXor => permute::perm_xor(a, b, c),
        W3::ShlDouble => permute::shl_double(a, b, c as u32 & 255),
        W3::AddEQ => a.wrapping_add(b).wrapping_add(c & 1),
        W3::AddECQ => multiply::carry(a, b, c & 1),
        W3::SubEQ => a.wrapping_add(!b).wrapping_add(c & 1),
        W3::SubECQ => multiply::carry(a, !b, c & 1),
        W3::MulSumUB => multiply::msum_ub(a, b, c),
        W3::MulSumMB => multiply::msum_mb(a, b, c),
        W3::MulSumSH => multiply::msum_sh(a, b, c),
        W3::MulSumUH => multiply::msum_uh(a, b, c),
        W3::MulSumUD => multiply::msum_ud(a, b, c).0,
        W3::MulSumCUD => multiply::msum_ud(a, b, c).1,
        W3::MulSumSatSH => return multiply::msum_shs(a, b, c),
        W3::MulSumSatUH => return multiply::msum_uhs(a, b, c),
        W3::MulHighAddSatSH => return multiply::mhadd(a, b, c, 0),
        W3::MulHighRoundAddSatSH => return multiply::mhadd(a, b, c, 0x4000),
        W3::MulLowAddUH => uh::map3(a, b, c, |x, y, z| x.wrapping_mul(y).wrapping_add(z)),
        W3::RotInsW => uw::map3(a, b, c, |x, y, z| {
            let m = bits::mask_w(y);
            x.rotate_left(y & 31) & m | z & !m
        }),
        W3::RotInsD => ud::map3(a, b, c, |x, y, z| {
            let m = bits::mask_d(y);
            x.rotate_left(y as u32 & 63) & m | z & !m
        }),
        W3::RotInsQ => {
            let m = bits::mask_q(b);
            a.rotate_left((b >> 64) as u32 & 127) & m | c & !m
        }
        W3::BcdAdd => bcd::add(a, b, c as u32).0,
        W3::BcdAddCr => bcd::add(a, b, c as u32).1.into(),
        W3::BcdSub => bcd::sub(a, b, c as u32).0,
        W3::BcdSubCr => bcd::sub(a, b, c as u32).1.into(),
        W3::BcdS => bcd::shift(a, b, c as u32, false).0,
        W3::BcdSCr => bcd::shift(a, b, c as u32, false).1.into(),
        W3::BcdSr => bcd::shift(a, b, c as u32, true).0,
        W3::BcdSrCr => bcd::shift(a, b, c as u32, true).1.into(),
        W3::BcdTrunc => bcd::truncate(a, b, c as u32).0,
        W3::BcdTruncCr => bcd::truncate(a, b, c as u32).1.into(),
        W3::DotN => multiply::dot(a, b, c, multiply::dot_nibbles).0,
        W3::DotB => multiply::dot(a, b, c, multiply::dot_bytes).0,
        W3::DotH => multiply::dot(a, b, c, multiply::dot_halves).0,
        W3::DotSatB => return multiply::dot_sat(a, b, c, multiply::dot_bytes),
        W3::DotSatH => return multiply::dot_sat(a, b, c, multiply::dot_halves),
    };
    (r, false)
}
