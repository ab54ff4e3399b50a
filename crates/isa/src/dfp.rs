//! Decimal floating point (Book I, chapter 5). Every instruction is carried out by the engine as a whole; the rows
//! here name the operation, the format and the registers, and refuse register pairs that begin at an odd register.
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{
    Builder, Facility, Insn,
    fp::{FpForm, FpInsn, FpOp},
};

/// Operation of a decimal floating-point instruction; operands as fields of [`FpInsn`]. With [`FpForm::Dec128`]
/// decimal operands stand in pairs of FPRs, the left half in the even one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DfpOp {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b
    Div,
    /// unordered compare of a and b into CR field `t` and FPCC
    CmpU,
    /// ordered compare of a and b into CR field `t` and FPCC
    CmpO,
    /// data class of a against the mask `c`: CR field `t` and FPCC
    TestClass,
    /// data group of a against the mask `c`: CR field `t` and FPCC
    TestGroup,
    /// compare the exponents of a and b into CR field `t` and FPCC
    TestExp,
    /// compare the number of significant digits of b with the one in FPR `a`: CR field `t` and FPCC
    TestSig,
    /// as `TestSig`, the number is `c`
    TestSigImm,
    /// b with the exponent of a; `c` = RMC
    Quantize,
    /// b with the exponent `a` (five bits, signed); `c` = RMC
    QuantizeImm,
    /// b rounded to the number of digits in FPR `a`; `c` = RMC
    Reround,
    /// b rounded to an integral value with the inexact exception; `c` = R << 2 | RMC
    RintX,
    /// b rounded to an integral value without the inexact exception; `c` = R << 2 | RMC
    RintN,
    /// short in the right word of `b` to long
    ShortToLong,
    /// long to extended
    LongToExt,
    /// long to short
    LongToShort,
    /// extended to long (the right register of the target pair becomes 0)
    ExtToLong,
    /// from the signed doubleword in FPR `b`
    FromI64,
    /// to a signed doubleword in FPR `t`
    ToI64,
    /// from the signed quadword in VSR `b`
    FromI128,
    /// to a signed quadword in VSR `t`
    ToI128,
    /// significand of b to packed decimal digits; `c` = SP
    ToBcd,
    /// packed decimal digits to decimal floating point; `c` = S
    FromBcd,
    /// biased exponent of b as a signed doubleword in FPR `t`
    ExtractExp,
    /// b with the biased exponent in FPR `a`
    InsertExp,
    /// significand of a shifted left by `c` digits
    ShiftLeft,
    /// significand of a shifted right by `c` digits
    ShiftRight,
}

macro_rules! dfp_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* dfp {
        Dadd     "dadd"     x(59, 2)        V2_06 "FRT,FRA,FRB"       dadd;
        Daddq    "daddq"    x(63, 2)        V2_06 "FRTp,FRAp,FRBp"    daddq;
        Dsub     "dsub"     x(59, 514)      V2_06 "FRT,FRA,FRB"       dsub;
        Dsubq    "dsubq"    x(63, 514)      V2_06 "FRTp,FRAp,FRBp"    dsubq;
        Dmul     "dmul"     x(59, 34)       V2_06 "FRT,FRA,FRB"       dmul;
        Dmulq    "dmulq"    x(63, 34)       V2_06 "FRTp,FRAp,FRBp"    dmulq;
        Ddiv     "ddiv"     x(59, 546)      V2_06 "FRT,FRA,FRB"       ddiv;
        Ddivq    "ddivq"    x(63, 546)      V2_06 "FRTp,FRAp,FRBp"    ddivq;
        Dcmpu    "dcmpu"    x(59, 642)      V2_06 "BF,FRA,FRB"        dcmpu;
        Dcmpuq   "dcmpuq"   x(63, 642)      V2_06 "BF,FRAp,FRBp"      dcmpuq;
        Dcmpo    "dcmpo"    x(59, 130)      V2_06 "BF,FRA,FRB"        dcmpo;
        Dcmpoq   "dcmpoq"   x(63, 130)      V2_06 "BF,FRAp,FRBp"      dcmpoq;
        Dtstdc   "dtstdc"   z22(59, 194)    V2_06 "BF,FRA,DCM"        dtstdc;
        Dtstdcq  "dtstdcq"  z22(63, 194)    V2_06 "BF,FRAp,DCM"       dtstdcq;
        Dtstdg   "dtstdg"   z22(59, 226)    V2_06 "BF,FRA,DGM"        dtstdg;
        Dtstdgq  "dtstdgq"  z22(63, 226)    V2_06 "BF,FRAp,DGM"       dtstdgq;
        Dtstex   "dtstex"   x(59, 162)      V2_06 "BF,FRA,FRB"        dtstex;
        Dtstexq  "dtstexq"  x(63, 162)      V2_06 "BF,FRAp,FRBp"      dtstexq;
        Dtstsf   "dtstsf"   x(59, 674)      V2_06 "BF,FRA,FRB"        dtstsf;
        Dtstsfq  "dtstsfq"  x(63, 674)      V2_06 "BF,FRA,FRBp"       dtstsfq;
        Dtstsfi  "dtstsfi"  x(59, 675)      V3_0  "BF,UIM,FRB"        dtstsfi;
        Dtstsfiq "dtstsfiq" x(63, 675)      V3_0  "BF,UIM,FRBp"       dtstsfiq;
        Dquai    "dquai"    z23(59, 67)     V2_06 "TE,FRT,FRB,RMC"    dquai;
        Dquaiq   "dquaiq"   z23(63, 67)     V2_06 "TE,FRTp,FRBp,RMC"  dquaiq;
        Dqua     "dqua"     z23(59, 3)      V2_06 "FRT,FRA,FRB,RMC"   dqua;
        Dquaq    "dquaq"    z23(63, 3)      V2_06 "FRTp,FRAp,FRBp,RMC" dquaq;
        Drrnd    "drrnd"    z23(59, 35)     V2_06 "FRT,FRA,FRB,RMC"   drrnd;
        Drrndq   "drrndq"   z23(63, 35)     V2_06 "FRTp,FRA,FRBp,RMC" drrndq;
        Drintx   "drintx"   z23(59, 99)     V2_06 "R,FRT,FRB,RMC"     drintx;
        Drintxq  "drintxq"  z23(63, 99)     V2_06 "R,FRTp,FRBp,RMC"   drintxq;
        Drintn   "drintn"   z23(59, 227)    V2_06 "R,FRT,FRB,RMC"     drintn;
        Drintnq  "drintnq"  z23(63, 227)    V2_06 "R,FRTp,FRBp,RMC"   drintnq;
        Dctdp    "dctdp"    x(59, 258)      V2_06 "FRT,FRB"           dctdp;
        Dctqpq   "dctqpq"   x(63, 258)      V2_06 "FRTp,FRB"          dctqpq;
        Drsp     "drsp"     x(59, 770)      V2_06 "FRT,FRB"           drsp;
        Drdpq    "drdpq"    x(63, 770)      V2_06 "FRTp,FRBp"         drdpq;
        Dcffix   "dcffix"   x(59, 802)      V2_06 "FRT,FRB"           dcffix;
        Dcffixq  "dcffixq"  x(63, 802)      V2_06 "FRTp,FRB"          dcffixq;
        Dcffixqq "dcffixqq" x_a(63, 994, 0) V3_1  "FRTp,VRB"          dcffixqq;
        Dctfix   "dctfix"   x(59, 290)      V2_06 "FRT,FRB"           dctfix;
        Dctfixq  "dctfixq"  x(63, 290)      V2_06 "FRT,FRBp"          dctfixq;
        Dctfixqq "dctfixqq" x_a(63, 994, 1) V3_1  "VRT,FRBp"          dctfixqq;
        Ddedpd   "ddedpd"   x(59, 322)      V2_06 "SP,FRT,FRB"        ddedpd;
        Ddedpdq  "ddedpdq"  x(63, 322)      V2_06 "SP,FRTp,FRBp"      ddedpdq;
        Denbcd   "denbcd"   x(59, 834)      V2_06 "S,FRT,FRB"         denbcd;
        Denbcdq  "denbcdq"  x(63, 834)      V2_06 "S,FRTp,FRBp"       denbcdq;
        Dxex     "dxex"     x(59, 354)      V2_06 "FRT,FRB"           dxex;
        Dxexq    "dxexq"    x(63, 354)      V2_06 "FRT,FRBp"          dxexq;
        Diex     "diex"     x(59, 866)      V2_06 "FRT,FRA,FRB"       diex;
        Diexq    "diexq"    x(63, 866)      V2_06 "FRTp,FRA,FRBp"     diexq;
        Dscli    "dscli"    z22(59, 66)     V2_06 "FRT,FRA,SH"        dscli;
        Dscliq   "dscliq"   z22(63, 66)     V2_06 "FRTp,FRAp,SH"      dscliq;
        Dscri    "dscri"    z22(59, 98)     V2_06 "FRT,FRA,SH"        dscri;
        Dscriq   "dscriq"   z22(63, 98)     V2_06 "FRTp,FRAp,SH"      dscriq;
    } } } };
}
pub(crate) use dfp_rows;

/// The target is a pair of FPRs.
const T: u32 = 1;
/// Operand A is a pair of FPRs.
const A: u32 = 2;
/// Operand B is a pair of FPRs.
const B: u32 = 4;

/// Hand the instruction over, after its pairs have been seen to begin at even registers.
fn run<Bd: Builder>(b: &mut Bd, pairs: u32, f: FpInsn) -> Result<(), Bd::Stop> {
    let odd = (f.t as u32 & 1) * T | (f.a as u32 & 1) * A | (f.b as u32 & 1) * B;
    if odd & pairs != 0 {
        return b.illegal();
    }
    b.need(Facility::Fp)?;
    if matches!(f.op, FpOp::Dfp(DfpOp::FromI128 | DfpOp::ToI128)) {
        b.need(Facility::Vec)?;
    }
    b.fp_insn(f)
}

fn t_ab(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), i.fra(), i.frb(), 0, i.rc())
}
/// Z23-form with RMC.
fn t_ab_rmc(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), i.fra(), i.frb(), i.bits(21, 22), i.rc())
}
/// `drintx`, `drintn`.
fn t_b_r_rmc(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), 0, i.frb(), i.bits(15, 15) << 2 | i.bits(21, 22), i.rc())
}
fn t_b(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), 0, i.frb(), 0, i.rc())
}
fn t_b_sp(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), 0, i.frb(), i.bits(11, 12), i.rc())
}
fn t_b_s(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), 0, i.frb(), i.bits(11, 11), i.rc())
}
fn t_a_sh(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), i.fra(), 0, i.bits(16, 21), i.rc())
}
fn t_vrb(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), 0, i.vrb() + 32, 0, false)
}
fn vrt_b(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.vrt() + 32, 0, i.frb(), 0, false)
}
fn bf_ab(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), i.fra(), i.frb(), 0, false)
}
fn bf_a_mask(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), i.fra(), 0, i.bits(16, 21), false)
}
fn bf_b_uim(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), 0, i.frb(), i.bits(10, 15), false)
}

/// One function per instruction: operand fields, operation, form, pairs.
macro_rules! dfp_fns {
    ($($f:ident: $fields:ident, $op:ident, $form:ident, $pairs:expr;)*) => {$(
        pub fn $f<Bd: Builder>(b: &mut Bd, i: Insn) -> Result<(), Bd::Stop> {
            run(b, $pairs, $fields(i, FpOp::Dfp(DfpOp::$op), FpForm::$form))
        }
    )*};
}

dfp_fns! {
    dadd: t_ab, Add, Dec64, 0;
    daddq: t_ab, Add, Dec128, T | A | B;
    dsub: t_ab, Sub, Dec64, 0;
    dsubq: t_ab, Sub, Dec128, T | A | B;
    dmul: t_ab, Mul, Dec64, 0;
    dmulq: t_ab, Mul, Dec128, T | A | B;
    ddiv: t_ab, Div, Dec64, 0;
    ddivq: t_ab, Div, Dec128, T | A | B;
    dcmpu: bf_ab, CmpU, Dec64, 0;
    dcmpuq: bf_ab, CmpU, Dec128, A | B;
    dcmpo: bf_ab, CmpO, Dec64, 0;
    dcmpoq: bf_ab, CmpO, Dec128, A | B;
    dtstdc: bf_a_mask, TestClass, Dec64, 0;
    dtstdcq: bf_a_mask, TestClass, Dec128, A;
    dtstdg: bf_a_mask, TestGroup, Dec64, 0;
    dtstdgq: bf_a_mask, TestGroup, Dec128, A;
    dtstex: bf_ab, TestExp, Dec64, 0;
    dtstexq: bf_ab, TestExp, Dec128, A | B;
    dtstsf: bf_ab, TestSig, Dec64, 0;
    dtstsfq: bf_ab, TestSig, Dec128, B;
    dtstsfi: bf_b_uim, TestSigImm, Dec64, 0;
    dtstsfiq: bf_b_uim, TestSigImm, Dec128, B;
    dquai: t_ab_rmc, QuantizeImm, Dec64, 0;
    dquaiq: t_ab_rmc, QuantizeImm, Dec128, T | B;
    dqua: t_ab_rmc, Quantize, Dec64, 0;
    dquaq: t_ab_rmc, Quantize, Dec128, T | A | B;
    drrnd: t_ab_rmc, Reround, Dec64, 0;
    drrndq: t_ab_rmc, Reround, Dec128, T | B;
    drintx: t_b_r_rmc, RintX, Dec64, 0;
    drintxq: t_b_r_rmc, RintX, Dec128, T | B;
    drintn: t_b_r_rmc, RintN, Dec64, 0;
    drintnq: t_b_r_rmc, RintN, Dec128, T | B;
    dctdp: t_b, ShortToLong, Dec64, 0;
    dctqpq: t_b, LongToExt, Dec128, T;
    drsp: t_b, LongToShort, Dec64, 0;
    drdpq: t_b, ExtToLong, Dec128, T | B;
    dcffix: t_b, FromI64, Dec64, 0;
    dcffixq: t_b, FromI64, Dec128, T;
    dcffixqq: t_vrb, FromI128, Dec128, T;
    dctfix: t_b, ToI64, Dec64, 0;
    dctfixq: t_b, ToI64, Dec128, B;
    dctfixqq: vrt_b, ToI128, Dec128, B;
    ddedpd: t_b_sp, ToBcd, Dec64, 0;
    ddedpdq: t_b_sp, ToBcd, Dec128, T | B;
    denbcd: t_b_s, FromBcd, Dec64, 0;
    denbcdq: t_b_s, FromBcd, Dec128, T | B;
    dxex: t_b, ExtractExp, Dec64, 0;
    dxexq: t_b, ExtractExp, Dec128, B;
    diex: t_ab, InsertExp, Dec64, 0;
    diexq: t_ab, InsertExp, Dec128, T | B;
    dscli: t_a_sh, ShiftLeft, Dec64, 0;
    dscliq: t_a_sh, ShiftLeft, Dec128, T | A;
    dscri: t_a_sh, ShiftRight, Dec64, 0;
    dscriq: t_a_sh, ShiftRight, Dec128, T | A;
}

#[cfg(test)]
mod tests {
    use crate::ROWS;

    #[test]
    fn every_instruction_of_the_chapter_has_a_row() {
        let names = "\
            dadd dsub dmul ddiv dcmpu dcmpo dtstdc dtstdg dtstex dtstsf dtstsfi dquai dqua drrnd drintx \
            drintn dcffix dctfix ddedpd denbcd dxex diex dscli dscri";
        let quad = names.split_whitespace().map(|n| format!("{n}q"));
        let others = ["dctdp", "dctqpq", "drsp", "drdpq", "dcffixqq", "dctfixqq"];
        let all: Vec<_> =
            names.split_whitespace().map(String::from).chain(quad).chain(others.map(String::from)).collect();
        assert_eq!(all.len(), ROWS.iter().filter(|r| r.chapter == "dfp").count());
        for name in all {
            assert!(ROWS.iter().any(|r| r.mnemonic == name), "{name} has no row");
        }
    }
}
