//! Scalar floating point (Book I, chapter 4), and [`FpInsn`]: the description of one floating-point instruction of
//! any chapter (FPR, VSX scalar, VSX vector, quad precision, VMX) that is handed to the engine.
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{Builder, Facility, Insn, Op1, Op2, Rel, dfp::DfpOp};

/// Integer operand or result of a conversion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IntTy {
    I32,
    U32,
    I64,
    U64,
    I128,
    U128,
}

/// How `Rint` rounds to an integral value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rint {
    /// To nearest, ties away from zero.
    Away,
    /// Towards zero.
    Zero,
    /// Towards plus infinity.
    Up,
    /// Towards minus infinity.
    Down,
    /// As FPSCR[RN] says, with the inexact exception.
    Current,
    /// To nearest, ties to even.
    Even,
}

/// Formats of operands and results, and where they stand in the registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FpForm {
    /// Scalar: double in doubleword 0; doubleword 1 of the target becomes 0.
    F64,
    /// Scalar: doubles in doubleword 0, the result rounded to single precision and held as a double.
    F32,
    /// Two doubles.
    V64,
    /// Four singles.
    V32,
    /// Quad precision.
    Quad,
    /// Quad precision rounded to odd.
    QuadOdd,
    /// Four singles under VMX rules: no FPSCR, round to nearest, VSCR[NJ] (Book I, 6.6).
    Vmx,
    /// Decimal long in doubleword 0 (with [`FpOp::Dfp`]).
    Dec64,
    /// Decimal extended in doubleword 0 of two registers (with [`FpOp::Dfp`]).
    Dec128,
}

/// Elements of the operands of an outer product; results are singles, of doubles doubles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GerElem {
    /// Four doubles (two VSRs from `a` on) by two.
    F64,
    /// Four singles by four.
    F32,
    /// Pairs of half-precision numbers: sums of two products.
    F16,
    /// Pairs of bfloat16 numbers: sums of two products.
    Bf16,
}

/// What an outer product does with the accumulator: signs of the product, then of the accumulator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GerSum {
    /// Replaces it.
    None,
    /// product + accumulator
    Pp,
    /// product - accumulator
    Pn,
    /// -product + accumulator
    Np,
    /// -product - accumulator
    Nn,
}

/// Operation of a floating-point instruction, operands named as fields of [`FpInsn`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FpOp {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b
    Div,
    /// square root of b
    Sqrt,
    /// a * c + b
    Madd,
    /// a * c - b
    Msub,
    /// -(a * c + b), negated after rounding
    Nmadd,
    /// -(a * c - b), negated after rounding
    Nmsub,
    /// estimate of 1 / b
    Re,
    /// estimate of 1 / sqrt(b)
    Rsqrte,
    /// VMX: estimate of 2 ** b
    Exp2e,
    /// VMX: estimate of log2(b)
    Log2e,
    /// b rounded to an integral value
    Rint(Rint),
    /// quad: b rounded to an integral value without inexact; `c` = R << 2 | RMC
    Rqpi,
    /// as `Rqpi`, with inexact
    Rqpix,
    /// quad: b rounded to double-extended precision; `c` = R << 2 | RMC
    Rqpxp,
    /// IEEE maximumNumber with Power's operand rules
    Max,
    /// IEEE minimumNumber with Power's operand rules
    Min,
    /// C: a > b ? a : b
    MaxC,
    /// C: a < b ? a : b
    MinC,
    /// Java Math.max
    MaxJ,
    /// Java Math.min
    MinJ,
    /// unordered compare into CR field `t` and FPCC
    CmpU,
    /// ordered compare into CR field `t` and FPCC
    CmpO,
    /// compare exponents into CR field `t` and FPCC
    CmpExp,
    /// all ones where a = b; `rc`: CR6
    CmpEq,
    /// all ones where a > b; `rc`: CR6
    CmpGt,
    /// all ones where a >= b; `rc`: CR6
    CmpGe,
    /// VMX: a within -b..=b; `rc`: CR6
    CmpB,
    /// test for software divide of a by b into CR field `t`
    TestDiv,
    /// test for software square root of b into CR field `t`
    TestSqrt,
    /// data class of b against the mask `c` (DCMX): CR field `t` and FPCC, for vectors a mask in VSR `t`
    TestClass,
    /// b rounded to single precision, held as a double
    RoundSp,
    /// double to single in word 0 of each doubleword (and the same in word 1)
    DpSp,
    /// single in word 0 of each doubleword to double
    SpDp,
    /// as `DpSp` for a double that is a single, no exceptions
    DpSpn,
    /// as `SpDp`, no exceptions
    SpDpn,
    /// half precision in halfword 3 to double
    HpDp,
    /// double to half precision in halfword 3
    DpHp,
    /// half precision in the right half of each word to single
    HpSp,
    /// single to half precision in the right half of each word
    SpHp,
    /// single to bfloat16 in the right half of each word
    SpBf16,
    /// double in doubleword 0 to quad
    DpQp,
    /// quad to double in doubleword 0
    QpDp,
    /// to an integer, truncating if the flag is set, else as FPSCR[RN] says (VMX: times 2 ** `c`, saturating)
    ToInt(IntTy, bool),
    /// FPR: to a word in the low half of `t`; flags: signed, truncating
    ToWord(bool, bool),
    /// from an integer (VMX: divided by 2 ** `c`)
    FromInt(IntTy),
    /// outer product of `a` and `b` into the accumulator in VSRs `t` to `t` + 3; `c` = XMSK << 4 | YMSK (of doubles in
    /// its left two bits); the number is PMSK. Exceptions are recorded as if none were enabled
    Ger(GerElem, GerSum, u8),
    /// decimal floating point, on `Dec64` or `Dec128`
    Dfp(DfpOp),
    /// copy FPSCR[FX,FEX,VX,OX] to CR1
    Cr1,
    Mffs,
    Mffsce,
    Mffsl,
    /// FPR `b` gives DRN
    Mffscdrn,
    /// `c` is DRN
    Mffscdrni,
    /// FPR `b` gives RN
    Mffscrn,
    /// `c` is RN
    Mffscrni,
    /// FPSCR field `a` to CR field `t`
    Mcrfs,
    /// FPSCR bit 32 + `t`
    Mtfsb0,
    /// FPSCR bit 32 + `t`
    Mtfsb1,
    /// `c` = FLM, `a` = L << 1 | W
    Mtfsf,
    /// field `t`, `c` = U, `a` = W
    Mtfsfi,
}

/// One floating-point instruction: operation, format and register numbers (VSR numbers; FPR n is VSR n, VR n is
/// VSR n + 32).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FpInsn {
    /// What to compute.
    pub op: FpOp,
    /// On which formats.
    pub form: FpForm,
    /// Target VSR, CR field or FPSCR bit or field.
    pub t: u8,
    /// Operand VSR A.
    pub a: u8,
    /// Operand VSR B.
    pub b: u8,
    /// Operand VSR C, or the immediate named at the operation.
    pub c: u8,
    /// The record bit: CR1 of FPR instructions, CR6 of vector compares.
    pub rc: bool,
}

macro_rules! fp_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* fp {
        Fabs      "fabs"      x(63, 264)           V2_06 "FRT,FRB"         fabs;
        Fadd      "fadd"      a(63, 21)            V2_06 "FRT,FRA,FRB"     fadd;
        Fadds     "fadds"     a(59, 21)            V2_06 "FRT,FRA,FRB"     fadds;
        Fcfid     "fcfid"     x(63, 846)           V2_06 "FRT,FRB"         fcfid;
        Fcfids    "fcfids"    x(59, 846)           V2_06 "FRT,FRB"         fcfids;
        Fcfidu    "fcfidu"    x(63, 974)           V2_06 "FRT,FRB"         fcfidu;
        Fcfidus   "fcfidus"   x(59, 974)           V2_06 "FRT,FRB"         fcfidus;
        Fcmpo     "fcmpo"     x(63, 32)            V2_06 "BF,FRA,FRB"      fcmpo;
        Fcmpu     "fcmpu"     x(63, 0)             V2_06 "BF,FRA,FRB"      fcmpu;
        Fcpsgn    "fcpsgn"    x(63, 8)             V2_06 "FRT,FRA,FRB"     fcpsgn;
        Fctid     "fctid"     x(63, 814)           V2_06 "FRT,FRB"         fctid;
        Fctidu    "fctidu"    x(63, 942)           V2_06 "FRT,FRB"         fctidu;
        Fctiduz   "fctiduz"   x(63, 943)           V2_06 "FRT,FRB"         fctiduz;
        Fctidz    "fctidz"    x(63, 815)           V2_06 "FRT,FRB"         fctidz;
        Fctiw     "fctiw"     x(63, 14)            V2_06 "FRT,FRB"         fctiw;
        Fctiwu    "fctiwu"    x(63, 142)           V2_06 "FRT,FRB"         fctiwu;
        Fctiwuz   "fctiwuz"   x(63, 143)           V2_06 "FRT,FRB"         fctiwuz;
        Fctiwz    "fctiwz"    x(63, 15)            V2_06 "FRT,FRB"         fctiwz;
        Fdiv      "fdiv"      a(63, 18)            V2_06 "FRT,FRA,FRB"     fdiv;
        Fdivs     "fdivs"     a(59, 18)            V2_06 "FRT,FRA,FRB"     fdivs;
        Fmadd     "fmadd"     a(63, 29)            V2_06 "FRT,FRA,FRC,FRB" fmadd;
        Fmadds    "fmadds"    a(59, 29)            V2_06 "FRT,FRA,FRC,FRB" fmadds;
        Fmr       "fmr"       x(63, 72)            V2_06 "FRT,FRB"         fmr;
        Fmrgew    "fmrgew"    x(63, 966)           V2_07 "FRT,FRA,FRB"     fmrgew;
        Fmrgow    "fmrgow"    x(63, 838)           V2_07 "FRT,FRA,FRB"     fmrgow;
        Fmsub     "fmsub"     a(63, 28)            V2_06 "FRT,FRA,FRC,FRB" fmsub;
        Fmsubs    "fmsubs"    a(59, 28)            V2_06 "FRT,FRA,FRC,FRB" fmsubs;
        Fmul      "fmul"      a(63, 25)            V2_06 "FRT,FRA,FRC"     fmul;
        Fmuls     "fmuls"     a(59, 25)            V2_06 "FRT,FRA,FRC"     fmuls;
        Fnabs     "fnabs"     x(63, 136)           V2_06 "FRT,FRB"         fnabs;
        Fneg      "fneg"      x(63, 40)            V2_06 "FRT,FRB"         fneg;
        Fnmadd    "fnmadd"    a(63, 31)            V2_06 "FRT,FRA,FRC,FRB" fnmadd;
        Fnmadds   "fnmadds"   a(59, 31)            V2_06 "FRT,FRA,FRC,FRB" fnmadds;
        Fnmsub    "fnmsub"    a(63, 30)            V2_06 "FRT,FRA,FRC,FRB" fnmsub;
        Fnmsubs   "fnmsubs"   a(59, 30)            V2_06 "FRT,FRA,FRC,FRB" fnmsubs;
        Fre       "fre"       a(63, 24)            V2_06 "FRT,FRB"         fre;
        Fres      "fres"      a(59, 24)            V2_06 "FRT,FRB"         fres;
        Frim      "frim"      x(63, 488)           V2_06 "FRT,FRB"         frim;
        Frin      "frin"      x(63, 392)           V2_06 "FRT,FRB"         frin;
        Frip      "frip"      x(63, 456)           V2_06 "FRT,FRB"         frip;
        Friz      "friz"      x(63, 424)           V2_06 "FRT,FRB"         friz;
        Frsp      "frsp"      x(63, 12)            V2_06 "FRT,FRB"         frsp;
        Frsqrte   "frsqrte"   a(63, 26)            V2_06 "FRT,FRB"         frsqrte;
        Frsqrtes  "frsqrtes"  a(59, 26)            V2_06 "FRT,FRB"         frsqrtes;
        Fsel      "fsel"      a(63, 23)            V2_06 "FRT,FRA,FRC,FRB" fsel;
        Fsqrt     "fsqrt"     a(63, 22)            V2_06 "FRT,FRB"         fsqrt;
        Fsqrts    "fsqrts"    a(59, 22)            V2_06 "FRT,FRB"         fsqrts;
        Fsub      "fsub"      a(63, 20)            V2_06 "FRT,FRA,FRB"     fsub;
        Fsubs     "fsubs"     a(59, 20)            V2_06 "FRT,FRA,FRB"     fsubs;
        Ftdiv     "ftdiv"     x(63, 128)           V2_06 "BF,FRA,FRB"      ftdiv;
        Ftsqrt    "ftsqrt"    x(63, 160)           V2_06 "BF,FRB"          ftsqrt;
        Mcrfs     "mcrfs"     x(63, 64)            V2_06 "BF,BFA"          mcrfs;
        Mffs      "mffs"      x(63, 583)           V2_06 "FRT"             mffs;
        Mffscdrn  "mffscdrn"  x_a(63, 583, 20)     V3_0  "FRT,FRB"         mffscdrn;
        Mffscdrni "mffscdrni" x_a(63, 583, 21)     V3_0  "FRT,DRM"         mffscdrni;
        Mffsce    "mffsce"    x_a(63, 583, 1)      V3_0  "FRT"             mffsce;
        Mffscrn   "mffscrn"   x_a(63, 583, 22)     V3_0  "FRT,FRB"         mffscrn;
        Mffscrni  "mffscrni"  x_a(63, 583, 23)     V3_0  "FRT,RM"          mffscrni;
        Mffsl     "mffsl"     x_a(63, 583, 24)     V3_0  "FRT"             mffsl;
        Mtfsb0    "mtfsb0"    x(63, 70)            V2_06 "BT"              mtfsb0;
        Mtfsb1    "mtfsb1"    x(63, 38)            V2_06 "BT"              mtfsb1;
        Mtfsf     "mtfsf"     x(63, 711)           V2_06 "FLM,FRB,L,W"     mtfsf;
        Mtfsfi    "mtfsfi"    x(63, 134)           V2_06 "BF,U,W"          mtfsfi;
    } } } };
}
pub(crate) use fp_rows;

/// Functions that hand a whole instruction to the engine: name, facility, operand fields, operation, formats.
macro_rules! fp_fns {
    ($($f:ident: $fac:ident, $fields:ident, $op:expr, $form:ident;)*) => {$(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::$fac)?;
            b.fp_insn($fields(i, $op, FpForm::$form))
        }
    )*};
}
pub(crate) use fp_fns;

impl FpInsn {
    pub(crate) const fn new(op: FpOp, form: FpForm, t: u32, a: u32, b: u32, c: u32, rc: bool) -> Self {
        FpInsn { op, form, t: t as u8, a: a as u8, b: b as u8, c: c as u8, rc }
    }
}

fn fr_ab(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), i.fra(), i.frb(), 0, i.rc())
}
fn fr_ac(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), i.fra(), i.frc(), 0, i.rc())
}
fn fr_acb(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), i.fra(), i.frb(), i.frc(), i.rc())
}
fn fr_b(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), 0, i.frb(), 0, i.rc())
}
/// No Rc in the manual's form.
fn fr_b_only(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), 0, i.frb(), 0, false)
}
fn fr_cmp(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), i.fra(), i.frb(), 0, false)
}
fn fr_drn(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), 0, 0, i.bits(18, 20), false)
}
fn fr_rn(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.frt(), 0, 0, i.bits(19, 20), false)
}
fn mcrfs_ops(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), i.bfa(), 0, 0, false)
}
fn mtfsf_ops(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, 0, i.bits(6, 6) << 1 | i.bits(15, 15), i.frb(), i.flm(), i.rc())
}
fn mtfsfi_ops(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), i.bits(15, 15), 0, i.u4(), i.rc())
}

use FpOp::*;
use IntTy::*;

fp_fns! {
    fadd: Fp, fr_ab, Add, F64;
    fadds: Fp, fr_ab, Add, F32;
    fcfid: Fp, fr_b, FromInt(I64), F64;
    fcfids: Fp, fr_b, FromInt(I64), F32;
    fcfidu: Fp, fr_b, FromInt(U64), F64;
    fcfidus: Fp, fr_b, FromInt(U64), F32;
    fcmpo: Fp, fr_cmp, CmpO, F64;
    fcmpu: Fp, fr_cmp, CmpU, F64;
    fctid: Fp, fr_b, ToInt(I64, false), F64;
    fctidu: Fp, fr_b, ToInt(U64, false), F64;
    fctiduz: Fp, fr_b, ToInt(U64, true), F64;
    fctidz: Fp, fr_b, ToInt(I64, true), F64;
    fctiw: Fp, fr_b, ToWord(true, false), F64;
    fctiwu: Fp, fr_b, ToWord(false, false), F64;
    fctiwuz: Fp, fr_b, ToWord(false, true), F64;
    fctiwz: Fp, fr_b, ToWord(true, true), F64;
    fdiv: Fp, fr_ab, Div, F64;
    fdivs: Fp, fr_ab, Div, F32;
    fmadd: Fp, fr_acb, Madd, F64;
    fmadds: Fp, fr_acb, Madd, F32;
    fmsub: Fp, fr_acb, Msub, F64;
    fmsubs: Fp, fr_acb, Msub, F32;
    fmul: Fp, fr_ac, Mul, F64;
    fmuls: Fp, fr_ac, Mul, F32;
    fnmadd: Fp, fr_acb, Nmadd, F64;
    fnmadds: Fp, fr_acb, Nmadd, F32;
    fnmsub: Fp, fr_acb, Nmsub, F64;
    fnmsubs: Fp, fr_acb, Nmsub, F32;
    fre: Fp, fr_b, Re, F64;
    fres: Fp, fr_b, Re, F32;
    frim: Fp, fr_b, Rint(Rint::Down), F64;
    frin: Fp, fr_b, Rint(Rint::Away), F64;
    frip: Fp, fr_b, Rint(Rint::Up), F64;
    friz: Fp, fr_b, Rint(Rint::Zero), F64;
    frsp: Fp, fr_b, RoundSp, F32;
    frsqrte: Fp, fr_b, Rsqrte, F64;
    frsqrtes: Fp, fr_b, Rsqrte, F32;
    fsqrt: Fp, fr_b, Sqrt, F64;
    fsqrts: Fp, fr_b, Sqrt, F32;
    fsub: Fp, fr_ab, Sub, F64;
    fsubs: Fp, fr_ab, Sub, F32;
    ftdiv: Fp, fr_cmp, TestDiv, F64;
    ftsqrt: Fp, fr_cmp, TestSqrt, F64;
    mcrfs: Fp, mcrfs_ops, Mcrfs, F64;
    mffs: Fp, fr_b, Mffs, F64;
    mffscdrn: Fp, fr_b_only, Mffscdrn, F64;
    mffscdrni: Fp, fr_drn, Mffscdrni, F64;
    mffsce: Fp, fr_b_only, Mffsce, F64;
    mffscrn: Fp, fr_b_only, Mffscrn, F64;
    mffscrni: Fp, fr_rn, Mffscrni, F64;
    mffsl: Fp, fr_b_only, Mffsl, F64;
    mtfsb0: Fp, fr_b, Mtfsb0, F64;
    mtfsb1: Fp, fr_b, Mtfsb1, F64;
    mtfsf: Fp, mtfsf_ops, Mtfsf, F64;
    mtfsfi: Fp, mtfsfi_ops, Mtfsfi, F64;
}

/// Sign bit of a double.
pub(crate) const SIGN: u64 = 1 << 63;

/// CR1 of an instruction that leaves the FPSCR alone: the first write, after which only the target is written.
fn record<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    if i.rc() { b.fp_insn(FpInsn::new(Cr1, FpForm::F64, 0, 0, 0, 0, true)) } else { Ok(()) }
}

/// A move from FRB with one integer operation on the way.
fn sign_move<B: Builder>(b: &mut B, i: Insn, op: Op2, mask: u64) -> Result<(), B::Stop> {
    b.need(Facility::Fp)?;
    let v = b.fpr(i.frb());
    let v = b.op2i(op, v, mask);
    record(b, i)?;
    b.set_fpr(i.frt(), v);
    Ok(())
}

pub fn fmr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Fp)?;
    let v = b.fpr(i.frb());
    record(b, i)?;
    b.set_fpr(i.frt(), v);
    Ok(())
}

pub fn fneg<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    sign_move(b, i, Op2::Xor, SIGN)
}

pub fn fabs<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    sign_move(b, i, Op2::And, !SIGN)
}

pub fn fnabs<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    sign_move(b, i, Op2::Or, SIGN)
}

/// The sign of `a` on the magnitude of `m`, signs given by `mask`.
pub(crate) fn copy_sign<B: Builder>(b: &mut B, a: B::V, m: B::V, mask: u64) -> B::V {
    let s = b.op2i(Op2::And, a, mask);
    let m = b.op2i(Op2::And, m, !mask);
    b.op2(Op2::Or, s, m)
}

pub fn fcpsgn<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Fp)?;
    let (x, y) = (b.fpr(i.fra()), b.fpr(i.frb()));
    let v = copy_sign(b, x, y, SIGN);
    record(b, i)?;
    b.set_fpr(i.frt(), v);
    Ok(())
}

pub fn fsel<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Fp)?;
    let (x, y, z) = (b.fpr(i.fra()), b.fpr(i.frb()), b.fpr(i.frc()));
    // Not below zero: +0 to +infinity as bit patterns, or -0.
    let inf = b.imm(0x7ff0_0000_0000_0000);
    let minus_zero = b.imm(SIGN);
    let beyond = b.rel(Rel::Gtu, x, inf);
    let is_minus_zero = b.rel(Rel::Eq, x, minus_zero);
    let positive = b.c_not(beyond);
    let c = b.c_or(positive, is_minus_zero);
    let v = b.select(c, z, y);
    record(b, i)?;
    b.set_fpr(i.frt(), v);
    Ok(())
}

pub fn fmrgew<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Fp)?;
    let (x, y) = (b.fpr(i.fra()), b.fpr(i.frb()));
    let hi = b.op2i(Op2::And, x, 0xffff_ffff_0000_0000);
    let lo = b.op2i(Op2::Shr, y, 32);
    let v = b.op2(Op2::Or, hi, lo);
    b.set_fpr(i.frt(), v);
    Ok(())
}

pub fn fmrgow<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Fp)?;
    let (x, y) = (b.fpr(i.fra()), b.fpr(i.frb()));
    let hi = b.op2i(Op2::Shl, x, 32);
    let lo = b.op1(Op1::Extu32, y);
    let v = b.op2(Op2::Or, hi, lo);
    b.set_fpr(i.frt(), v);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::ROWS;

    #[test]
    fn every_instruction_of_the_chapter_has_a_row() {
        let names = "\
            fabs fadd fadds fcfid fcfids fcfidu fcfidus fcmpo fcmpu fcpsgn fctid fctidu fctiduz fctidz \
            fctiw fctiwu fctiwuz fctiwz fdiv fdivs fmadd fmadds fmr fmrgew fmrgow fmsub fmsubs fmul \
            fmuls fnabs fneg fnmadd fnmadds fnmsub fnmsubs fre fres frim frin frip friz frsp frsqrte \
            frsqrtes fsel fsqrt fsqrts fsub fsubs ftdiv ftsqrt mcrfs mffs mffscdrn mffscdrni mffsce \
            mffscrn mffscrni mffsl mtfsb0 mtfsb1 mtfsf mtfsfi";
        for name in names.split_whitespace() {
            assert!(ROWS.iter().any(|r| r.mnemonic == name), "{name} has no row");
        }
    }
}
