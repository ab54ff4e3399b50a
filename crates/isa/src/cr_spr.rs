//! Condition register logical and move to/from system register instructions (Book I 2.5, 3.3.17; Book III 5.4).
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{Builder, Helper, Insn, Op1, Op2};

macro_rules! cr_spr_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* cr_spr {
        Crand    "crand"   x(19, 257) V2_06 "BT,BA,BB"  crand;
        Cror     "cror"    x(19, 449) V2_06 "BT,BA,BB"  cror;
        Crxor    "crxor"   x(19, 193) V2_06 "BT,BA,BB"  crxor;
        Crnand   "crnand"  x(19, 225) V2_06 "BT,BA,BB"  crnand;
        Crnor    "crnor"   x(19, 33)  V2_06 "BT,BA,BB"  crnor;
        Creqv    "creqv"   x(19, 289) V2_06 "BT,BA,BB"  creqv;
        Crandc   "crandc"  x(19, 129) V2_06 "BT,BA,BB"  crandc;
        Crorc    "crorc"   x(19, 417) V2_06 "BT,BA,BB"  crorc;
        Mcrf     "mcrf"    x(19, 0)   V2_06 "BF,BFA"    mcrf;
        Mcrxrx   "mcrxrx"  x(31, 576) V3_0  "BF"        mcrxrx;
        Mtcrf    "mtcrf"   raw(0xfc10_07fe, 31 << 26 | 144 << 1)           V2_06 "FXM,RS" mtcrf;
        Mtocrf   "mtocrf"  raw(0xfc10_07fe, 31 << 26 | 1 << 20 | 144 << 1) V2_06 "FXM,RS" mtcrf;
        Mfcr     "mfcr"    raw(0xfc10_07fe, 31 << 26 | 19 << 1)            V2_06 "RT"     mfcr;
        Mfocrf   "mfocrf"  raw(0xfc10_07fe, 31 << 26 | 1 << 20 | 19 << 1)  V2_06 "RT,FXM" mfcr;
        Setb     "setb"    x(31, 128) V3_0  "RT,BFA"    setb;
        Setbc    "setbc"   x(31, 384) V3_1  "RT,BI"     setbc;
        Setbcr   "setbcr"  x(31, 416) V3_1  "RT,BI"     setbcr;
        Setnbc   "setnbc"  x(31, 448) V3_1  "RT,BI"     setnbc;
        Setnbcr  "setnbcr" x(31, 480) V3_1  "RT,BI"     setnbcr;
        Mfspr    "mfspr"   x(31, 339) V2_06 "RT,SPR"    mfspr;
        Mtspr    "mtspr"   x(31, 467) V2_06 "SPR,RS"    mtspr;
        Mftb     "mftb"    x(31, 371) V2_06 "RT,TBR"    mftb;
        Mfmsr    "mfmsr"   x(31, 83)  V2_06 "RT"        mfmsr;
        Mtmsr    "mtmsr"   x(31, 146) V2_06 "RS,L"      mtmsr;
        Mtmsrd   "mtmsrd"  x(31, 178) V2_06 "RS,L"      mtmsrd;
    } } } };
}
pub(crate) use cr_spr_rows;

type R<B> = Result<(), <B as Builder>::Stop>;

macro_rules! cr_logical {
    ($($name:ident |$b:ident, $x:ident, $y:ident| $e:expr;)*) => { $(
        pub fn $name<B: Builder>($b: &mut B, i: Insn) -> R<B> {
            let ($x, $y) = ($b.cr_bit(i.ba()), $b.cr_bit(i.bb()));
            let c = $e;
            $b.set_cr_bit(i.bt(), c);
            Ok(())
        }
    )* };
}
cr_logical! {
    crand |b, x, y| b.c_and(x, y);
    cror |b, x, y| b.c_or(x, y);
    crxor |b, x, y| b.c_xor(x, y);
    crnand |b, x, y| { let c = b.c_and(x, y); b.c_not(c) };
    crnor |b, x, y| { let c = b.c_or(x, y); b.c_not(c) };
    creqv |b, x, y| { let c = b.c_xor(x, y); b.c_not(c) };
    crandc |b, x, y| { let n = b.c_not(y); b.c_and(x, n) };
    crorc |b, x, y| { let n = b.c_not(y); b.c_or(x, n) };
}

pub fn mcrf<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let v = b.cr_field(i.bfa());
    b.set_cr_field(i.bf(), v);
    Ok(())
}

/// OV, OV32, CA, CA32 into a CR field.
pub fn mcrxrx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let x = b.xer();
    let mut v = b.imm(0);
    for (from, to) in [(30, 3), (19, 2), (29, 1), (18, 0)] {
        let t = b.op2i(Op2::Shr, x, from);
        let t = b.op2i(Op2::And, t, 1);
        let t = b.op2i(Op2::Shl, t, to);
        v = b.op2(Op2::Or, v, t);
    }
    b.set_cr_field(i.bf(), v);
    Ok(())
}

pub fn mtcrf<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let s = b.gpr(i.rs());
    for n in (0..8).filter(|n| i.fxm() >> (7 - n) & 1 != 0) {
        let v = b.op2i(Op2::Shr, s, 28 - 4 * n as u64);
        let v = b.op2i(Op2::And, v, 15);
        b.set_cr_field(n, v);
    }
    Ok(())
}

/// `mfcr`, and `mfocrf` whose other fields are undefined: the whole CR is as good.
pub fn mfcr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let v = b.cr();
    let v = if i.bit(11) && i.fxm().count_ones() == 1 {
        // The fields not asked for read as zero.
        let n = 7 - i.fxm().trailing_zeros();
        b.op2i(Op2::And, v, 15 << (28 - 4 * n))
    } else {
        v
    };
    b.set_gpr(i.rt(), v);
    Ok(())
}

pub fn setb<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (lt, gt) = (b.cr_bit(4 * i.bfa()), b.cr_bit(4 * i.bfa() + 1));
    let gt = b.c_value(gt);
    let minus = b.imm(u64::MAX);
    let v = b.select(lt, minus, gt);
    b.set_gpr(i.rt(), v);
    Ok(())
}

fn set_bool<B: Builder>(b: &mut B, i: Insn, reverse: bool, negative: bool) -> R<B> {
    let mut c = b.cr_bit(i.bi());
    if reverse {
        c = b.c_not(c);
    }
    let mut v = b.c_value(c);
    if negative {
        v = b.op1(Op1::Neg, v);
    }
    b.set_gpr(i.rt(), v);
    Ok(())
}
pub fn setbc<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    set_bool(b, i, false, false)
}
pub fn setbcr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    set_bool(b, i, true, false)
}
pub fn setnbc<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    set_bool(b, i, false, true)
}
pub fn setnbcr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    set_bool(b, i, true, true)
}

#[inline(always)]
pub fn mfspr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let v = match i.spr() {
        1 => b.xer(),
        8 => b.lr(),
        9 => b.ctr(),
        _ => return b.helper(Helper::Mfspr, i),
    };
    b.set_gpr(i.rt(), v);
    Ok(())
}

#[inline(always)]
pub fn mtspr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let v = b.gpr(i.rs());
    match i.spr() {
        1 => b.set_xer(v),
        8 => b.set_lr(v),
        9 => b.set_ctr(v),
        _ => return b.helper(Helper::Mtspr, i),
    }
    Ok(())
}

pub fn mftb<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::Mftb, i)
}
pub fn mfmsr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need_privilege()?;
    b.helper(Helper::Mfmsr, i)
}
pub fn mtmsr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need_privilege()?;
    b.helper(Helper::Mtmsr, i)
}
pub fn mtmsrd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need_privilege()?;
    b.helper(Helper::Mtmsrd, i)
}
