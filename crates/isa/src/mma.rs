//! Matrix-multiply assist (Book I, 7.7): outer products into accumulators. Accumulator n is VSRs 4n to 4n + 3, its rows,
//! as in implementations that keep accumulators in those registers.
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{
    Builder, Facility, Insn,
    fp::{FpForm, FpInsn, FpOp, GerElem, GerSum},
    vmx::w2i,
    wide::{W2, W3},
};

macro_rules! mma_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* mma {
        Xvbf16ger2     "xvbf16ger2"     raw(0xfc00_07f8, 0xec00_0198)                                      V3_1 "AT,XA,XB" xvbf16ger2;
        Xvbf16ger2nn   "xvbf16ger2nn"   raw(0xfc00_07f8, 0xec00_0790)                                      V3_1 "AT,XA,XB" xvbf16ger2nn;
        Xvbf16ger2np   "xvbf16ger2np"   raw(0xfc00_07f8, 0xec00_0390)                                      V3_1 "AT,XA,XB" xvbf16ger2np;
        Xvbf16ger2pn   "xvbf16ger2pn"   raw(0xfc00_07f8, 0xec00_0590)                                      V3_1 "AT,XA,XB" xvbf16ger2pn;
        Xvbf16ger2pp   "xvbf16ger2pp"   raw(0xfc00_07f8, 0xec00_0190)                                      V3_1 "AT,XA,XB" xvbf16ger2pp;
        Xvf16ger2      "xvf16ger2"      raw(0xfc00_07f8, 0xec00_0098)                                      V3_1 "AT,XA,XB" xvf16ger2;
        Xvf16ger2nn    "xvf16ger2nn"    raw(0xfc00_07f8, 0xec00_0690)                                      V3_1 "AT,XA,XB" xvf16ger2nn;
        Xvf16ger2np    "xvf16ger2np"    raw(0xfc00_07f8, 0xec00_0290)                                      V3_1 "AT,XA,XB" xvf16ger2np;
        Xvf16ger2pn    "xvf16ger2pn"    raw(0xfc00_07f8, 0xec00_0490)                                      V3_1 "AT,XA,XB" xvf16ger2pn;
        Xvf16ger2pp    "xvf16ger2pp"    raw(0xfc00_07f8, 0xec00_0090)                                      V3_1 "AT,XA,XB" xvf16ger2pp;
        Xvf32ger       "xvf32ger"       raw(0xfc00_07f8, 0xec00_00d8)                                      V3_1 "AT,XA,XB" xvf32ger;
        Xvf32gernn     "xvf32gernn"     raw(0xfc00_07f8, 0xec00_06d0)                                      V3_1 "AT,XA,XB" xvf32gernn;
        Xvf32gernp     "xvf32gernp"     raw(0xfc00_07f8, 0xec00_02d0)                                      V3_1 "AT,XA,XB" xvf32gernp;
        Xvf32gerpn     "xvf32gerpn"     raw(0xfc00_07f8, 0xec00_04d0)                                      V3_1 "AT,XA,XB" xvf32gerpn;
        Xvf32gerpp     "xvf32gerpp"     raw(0xfc00_07f8, 0xec00_00d0)                                      V3_1 "AT,XA,XB" xvf32gerpp;
        Xvf64ger       "xvf64ger"       raw(0xfc00_07f8, 0xec00_01d8)                                      V3_1 "AT,XAp,XB" xvf64ger;
        Xvf64gernn     "xvf64gernn"     raw(0xfc00_07f8, 0xec00_07d0)                                      V3_1 "AT,XAp,XB" xvf64gernn;
        Xvf64gernp     "xvf64gernp"     raw(0xfc00_07f8, 0xec00_03d0)                                      V3_1 "AT,XAp,XB" xvf64gernp;
        Xvf64gerpn     "xvf64gerpn"     raw(0xfc00_07f8, 0xec00_05d0)                                      V3_1 "AT,XAp,XB" xvf64gerpn;
        Xvf64gerpp     "xvf64gerpp"     raw(0xfc00_07f8, 0xec00_01d0)                                      V3_1 "AT,XAp,XB" xvf64gerpp;
        Xvi16ger2      "xvi16ger2"      raw(0xfc00_07f8, 0xec00_0258)                                      V3_1 "AT,XA,XB" xvi16ger2;
        Xvi16ger2pp    "xvi16ger2pp"    raw(0xfc00_07f8, 0xec00_0358)                                      V3_1 "AT,XA,XB" xvi16ger2pp;
        Xvi16ger2s     "xvi16ger2s"     raw(0xfc00_07f8, 0xec00_0158)                                      V3_1 "AT,XA,XB" xvi16ger2s;
        Xvi16ger2spp   "xvi16ger2spp"   raw(0xfc00_07f8, 0xec00_0150)                                      V3_1 "AT,XA,XB" xvi16ger2spp;
        Xvi4ger8       "xvi4ger8"       raw(0xfc00_07f8, 0xec00_0118)                                      V3_1 "AT,XA,XB" xvi4ger8;
        Xvi4ger8pp     "xvi4ger8pp"     raw(0xfc00_07f8, 0xec00_0110)                                      V3_1 "AT,XA,XB" xvi4ger8pp;
        Xvi8ger4       "xvi8ger4"       raw(0xfc00_07f8, 0xec00_0018)                                      V3_1 "AT,XA,XB" xvi8ger4;
        Xvi8ger4pp     "xvi8ger4pp"     raw(0xfc00_07f8, 0xec00_0010)                                      V3_1 "AT,XA,XB" xvi8ger4pp;
        Xvi8ger4spp    "xvi8ger4spp"    raw(0xfc00_07f8, 0xec00_0318)                                      V3_1 "AT,XA,XB" xvi8ger4spp;
        Xxmfacc        "xxmfacc"        x_a(31, 177, 0)                                                    V3_1 "AS" xxmfacc;
        Xxmtacc        "xxmtacc"        x_a(31, 177, 1)                                                    V3_1 "AT" xxmtacc;
        Xxsetaccz      "xxsetaccz"      x_a(31, 177, 3)                                                    V3_1 "AT" xxsetaccz;
        Pmxvbf16ger2   "pmxvbf16ger2"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0198)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvbf16ger2;
        Pmxvbf16ger2nn "pmxvbf16ger2nn" prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0790)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvbf16ger2nn;
        Pmxvbf16ger2np "pmxvbf16ger2np" prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0390)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvbf16ger2np;
        Pmxvbf16ger2pn "pmxvbf16ger2pn" prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0590)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvbf16ger2pn;
        Pmxvbf16ger2pp "pmxvbf16ger2pp" prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0190)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvbf16ger2pp;
        Pmxvf16ger2    "pmxvf16ger2"    prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0098)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvf16ger2;
        Pmxvf16ger2nn  "pmxvf16ger2nn"  prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0690)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvf16ger2nn;
        Pmxvf16ger2np  "pmxvf16ger2np"  prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0290)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvf16ger2np;
        Pmxvf16ger2pn  "pmxvf16ger2pn"  prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0490)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvf16ger2pn;
        Pmxvf16ger2pp  "pmxvf16ger2pp"  prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0090)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvf16ger2pp;
        Pmxvf32ger     "pmxvf32ger"     prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_00d8)) V3_1 "AT,XA,XB,XMSK,YMSK" pmxvf32ger;
        Pmxvf32gernn   "pmxvf32gernn"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_06d0)) V3_1 "AT,XA,XB,XMSK,YMSK" pmxvf32gernn;
        Pmxvf32gernp   "pmxvf32gernp"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_02d0)) V3_1 "AT,XA,XB,XMSK,YMSK" pmxvf32gernp;
        Pmxvf32gerpn   "pmxvf32gerpn"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_04d0)) V3_1 "AT,XA,XB,XMSK,YMSK" pmxvf32gerpn;
        Pmxvf32gerpp   "pmxvf32gerpp"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_00d0)) V3_1 "AT,XA,XB,XMSK,YMSK" pmxvf32gerpp;
        Pmxvf64ger     "pmxvf64ger"     prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_01d8)) V3_1 "AT,XAp,XB,XMSK,YMSK" pmxvf64ger;
        Pmxvf64gernn   "pmxvf64gernn"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_07d0)) V3_1 "AT,XAp,XB,XMSK,YMSK" pmxvf64gernn;
        Pmxvf64gernp   "pmxvf64gernp"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_03d0)) V3_1 "AT,XAp,XB,XMSK,YMSK" pmxvf64gernp;
        Pmxvf64gerpn   "pmxvf64gerpn"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_05d0)) V3_1 "AT,XAp,XB,XMSK,YMSK" pmxvf64gerpn;
        Pmxvf64gerpp   "pmxvf64gerpp"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_01d0)) V3_1 "AT,XAp,XB,XMSK,YMSK" pmxvf64gerpp;
        Pmxvi16ger2    "pmxvi16ger2"    prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0258)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvi16ger2;
        Pmxvi16ger2pp  "pmxvi16ger2pp"  prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0358)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvi16ger2pp;
        Pmxvi16ger2s   "pmxvi16ger2s"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0158)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvi16ger2s;
        Pmxvi16ger2spp "pmxvi16ger2spp" prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0150)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvi16ger2spp;
        Pmxvi4ger8     "pmxvi4ger8"     prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0118)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvi4ger8;
        Pmxvi4ger8pp   "pmxvi4ger8pp"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0110)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvi4ger8pp;
        Pmxvi8ger4     "pmxvi8ger4"     prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0018)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvi8ger4;
        Pmxvi8ger4pp   "pmxvi8ger4pp"   prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0010)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvi8ger4pp;
        Pmxvi8ger4spp  "pmxvi8ger4spp"  prefixed(3, 15, 9, crate::encoding::raw(0xfc00_07f8, 0xec00_0318)) V3_1 "AT,XA,XB,XMSK,YMSK,PMSK" pmxvi8ger4spp;
    } } } };
}
pub(crate) use mma_rows;

type R<B> = Result<(), <B as Builder>::Stop>;

/// First VSR of the accumulator AT or AS.
const fn acc(i: Insn) -> u32 {
    i.bits(6, 8) << 2
}

/// Accumulators stand in their VSRs all the time: nothing moves.
pub fn xxmfacc<B: Builder>(b: &mut B, _: Insn) -> R<B> {
    b.need(Facility::Vsx)
}
pub fn xxmtacc<B: Builder>(b: &mut B, _: Insn) -> R<B> {
    b.need(Facility::Vsx)
}
pub fn xxsetaccz<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let zero = b.w_imm(0);
    for row in 0..4 {
        b.set_vsr(acc(i) + row, zero);
    }
    Ok(())
}

/// Masks of an outer product: rows, columns, and products within an element pair, first in the most significant bit.
#[derive(Clone, Copy)]
struct Masks {
    x: u32,
    y: u32,
    /// As many bits as products.
    p: u32,
}

/// The masks of a prefix (MMIRR), or all ones without prefix; `rank` products per element.
const fn masks(i: Insn, rank: u32) -> Masks {
    if i.prefix == 0 {
        Masks { x: 15, y: 15, p: (1 << rank) - 1 }
    } else {
        Masks { x: i.pbits(24, 27), y: i.pbits(28, 31), p: i.pbits(16, 15 + rank) }
    }
}

/// All ones in the elements of `width` bits whose bit (of `n`, first leftmost) is set.
const fn spread(bits: u32, n: u32, width: u32) -> u128 {
    let mut r = 0;
    let mut k = 0;
    while k < n {
        if bits >> k & 1 != 0 {
            r |= (u128::MAX >> (128 - width)) << (k * width);
        }
        k += 1;
    }
    r
}

/// The words that the column mask keeps.
#[inline(always)]
fn keep<B: Builder>(b: &mut B, y: u32, w: B::W) -> B::W {
    if y == 15 { w } else { w2i(b, W2::And, w, spread(y, 4, 32)) }
}

/// An integer outer product: row k of the accumulator is (zero or itself) plus, in each word, the inner product of word
/// k of A and that word of B. Masked-out words become zero.
#[inline(always)]
fn integer<B: Builder>(b: &mut B, i: Insn, op: W3, rank: u32, sat: bool, accumulate: bool) -> R<B> {
    b.need(Facility::Vsx)?;
    // Sources that overlap the accumulator are an invalid form.
    if i.xa() >> 2 == acc(i) >> 2 || i.xb() >> 2 == acc(i) >> 2 {
        return b.illegal();
    }
    let m = masks(i, rank);
    let (mut x, y) = (b.vsr(i.xa()), b.vsr(i.xb()));
    // A product left out is a product with zero.
    let word = spread(m.p, rank, 32 / rank) & 0xffff_ffff;
    if m.p != (1 << rank) - 1 {
        x = w2i(b, W2::And, x, word * (u128::MAX / 0xffff_ffff));
    }
    let used = |row: u32| m.x >> (3 - row) & 1 != 0;
    let old: [Option<B::W>; 4] =
        core::array::from_fn(|row| (accumulate && used(row as u32)).then(|| b.vsr(acc(i) + row as u32)));
    for (row, old) in (0..4).zip(old) {
        let new = if used(row) {
            let word = w2i(b, W2::SplatW, x, row.into());
            let old = old.unwrap_or_else(|| b.w_imm(0));
            let old = keep(b, m.y, old);
            let y = keep(b, m.y, y);
            if sat { b.w3_sat(op, word, y, old) } else { b.w3(op, word, y, old) }
        } else {
            b.w_imm(0)
        };
        b.set_vsr(acc(i) + row, new);
    }
    Ok(())
}

macro_rules! integer {
    ($($f:ident $pf:ident $op:ident $rank:literal $sat:literal $acc:literal;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            integer(b, i, W3::$op, $rank, $sat, $acc)
        }
        pub fn $pf<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            integer(b, i, W3::$op, $rank, $sat, $acc)
        }
    )* };
}
integer! {
    xvi4ger8 pmxvi4ger8 DotN 8 false false;
    xvi4ger8pp pmxvi4ger8pp DotN 8 false true;
    xvi8ger4 pmxvi8ger4 DotB 4 false false;
    xvi8ger4pp pmxvi8ger4pp DotB 4 false true;
    xvi8ger4spp pmxvi8ger4spp DotSatB 4 true true;
    xvi16ger2 pmxvi16ger2 DotH 2 false false;
    xvi16ger2pp pmxvi16ger2pp DotH 2 false true;
    xvi16ger2s pmxvi16ger2s DotSatH 2 true false;
    xvi16ger2spp pmxvi16ger2spp DotSatH 2 true true;
}

/// A floating-point outer product.
#[inline(always)]
fn floating<B: Builder>(b: &mut B, i: Insn, elem: GerElem, sum: GerSum) -> R<B> {
    b.need(Facility::Vsx)?;
    if i.xa() >> 2 == acc(i) >> 2 || i.xb() >> 2 == acc(i) >> 2 {
        return b.illegal();
    }
    let m = masks(i, 2);
    let (form, a) = match elem {
        GerElem::F64 => (FpForm::V64, i.xa() & !1),
        _ => (FpForm::V32, i.xa()),
    };
    b.fp_insn(FpInsn::new(FpOp::Ger(elem, sum, m.p as u8), form, acc(i), a, i.xb(), m.x << 4 | m.y, false))
}
macro_rules! floating {
    ($($elem:ident { $($f:ident $pf:ident $sum:ident;)* })*) => { $($(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            floating(b, i, GerElem::$elem, GerSum::$sum)
        }
        pub fn $pf<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            floating(b, i, GerElem::$elem, GerSum::$sum)
        }
    )*)* };
}
floating! {
    F64 {
        xvf64ger pmxvf64ger None;
        xvf64gerpp pmxvf64gerpp Pp;
        xvf64gerpn pmxvf64gerpn Pn;
        xvf64gernp pmxvf64gernp Np;
        xvf64gernn pmxvf64gernn Nn;
    }
    F32 {
        xvf32ger pmxvf32ger None;
        xvf32gerpp pmxvf32gerpp Pp;
        xvf32gerpn pmxvf32gerpn Pn;
        xvf32gernp pmxvf32gernp Np;
        xvf32gernn pmxvf32gernn Nn;
    }
    F16 {
        xvf16ger2 pmxvf16ger2 None;
        xvf16ger2pp pmxvf16ger2pp Pp;
        xvf16ger2pn pmxvf16ger2pn Pn;
        xvf16ger2np pmxvf16ger2np Np;
        xvf16ger2nn pmxvf16ger2nn Nn;
    }
    Bf16 {
        xvbf16ger2 pmxvbf16ger2 None;
        xvbf16ger2pp pmxvbf16ger2pp Pp;
        xvbf16ger2pn pmxvbf16ger2pn Pn;
        xvbf16ger2np pmxvbf16ger2np Np;
        xvbf16ger2nn pmxvbf16ger2nn Nn;
    }
}
