//! VMX counts, bit permutes, masks, strings, cryptography and decimals (Book I, 6.11 to 6.17).
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{
    Builder, Facility, Insn, Op1, Op2,
    vmx::{one, set_vt, two, va, vb, vc, w2i},
    wide::{W1, W2, W3},
};

macro_rules! vmx_bits_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* vmx_bits {
        Vbpermq      "vbpermq"      vx(1356)                      V2_07 "VRT,VRA,VRB" vbpermq;
        Vbpermd      "vbpermd"      vx(1484)                      V3_0  "VRT,VRA,VRB" vbpermd;
        Vpdepd       "vpdepd"       vx(1485)                      V3_1  "VRT,VRA,VRB" vpdepd;
        Vpextd       "vpextd"       vx(1421)                      V3_1  "VRT,VRA,VRB" vpextd;
        Vcfuged      "vcfuged"      vx(1357)                      V3_1  "VRT,VRA,VRB" vcfuged;
        Vclzdm       "vclzdm"       vx(1924)                      V3_1  "VRT,VRA,VRB" vclzdm;
        Vctzdm       "vctzdm"       vx(1988)                      V3_1  "VRT,VRA,VRB" vctzdm;
        Vgbbd        "vgbbd"        vx(1292)                      V2_07 "VRT,VRB" vgbbd;
        Vclzb        "vclzb"        vx(1794)                      V2_07 "VRT,VRB" vclzb;
        Vctzb        "vctzb"        vx_a(1538, 28)                V3_0  "VRT,VRB" vctzb;
        Vpopcntb     "vpopcntb"     vx(1795)                      V2_07 "VRT,VRB" vpopcntb;
        Vclzh        "vclzh"        vx(1858)                      V2_07 "VRT,VRB" vclzh;
        Vctzh        "vctzh"        vx_a(1538, 29)                V3_0  "VRT,VRB" vctzh;
        Vpopcnth     "vpopcnth"     vx(1859)                      V2_07 "VRT,VRB" vpopcnth;
        Vclzw        "vclzw"        vx(1922)                      V2_07 "VRT,VRB" vclzw;
        Vctzw        "vctzw"        vx_a(1538, 30)                V3_0  "VRT,VRB" vctzw;
        Vpopcntw     "vpopcntw"     vx(1923)                      V2_07 "VRT,VRB" vpopcntw;
        Vclzd        "vclzd"        vx(1986)                      V2_07 "VRT,VRB" vclzd;
        Vctzd        "vctzd"        vx_a(1538, 31)                V3_0  "VRT,VRB" vctzd;
        Vpopcntd     "vpopcntd"     vx(1987)                      V2_07 "VRT,VRB" vpopcntd;
        Vexpandbm    "vexpandbm"    vx_a(1602, 0)                 V3_1  "VRT,VRB" vexpandbm;
        Vexpandhm    "vexpandhm"    vx_a(1602, 1)                 V3_1  "VRT,VRB" vexpandhm;
        Vexpandwm    "vexpandwm"    vx_a(1602, 2)                 V3_1  "VRT,VRB" vexpandwm;
        Vexpanddm    "vexpanddm"    vx_a(1602, 3)                 V3_1  "VRT,VRB" vexpanddm;
        Vexpandqm    "vexpandqm"    vx_a(1602, 4)                 V3_1  "VRT,VRB" vexpandqm;
        Vcipher      "vcipher"      vx(1288)                      V2_07 "VRT,VRA,VRB" vcipher;
        Vcipherlast  "vcipherlast"  vx(1289)                      V2_07 "VRT,VRA,VRB" vcipherlast;
        Vncipher     "vncipher"     vx(1352)                      V2_07 "VRT,VRA,VRB" vncipher;
        Vncipherlast "vncipherlast" vx(1353)                      V2_07 "VRT,VRA,VRB" vncipherlast;
        Vpmsumb      "vpmsumb"      vx(1032)                      V2_07 "VRT,VRA,VRB" vpmsumb;
        Vpmsumh      "vpmsumh"      vx(1096)                      V2_07 "VRT,VRA,VRB" vpmsumh;
        Vpmsumw      "vpmsumw"      vx(1160)                      V2_07 "VRT,VRA,VRB" vpmsumw;
        Vpmsumd      "vpmsumd"      vx(1224)                      V2_07 "VRT,VRA,VRB" vpmsumd;
        Vsbox        "vsbox"        vx(1480)                      V2_07 "VRT,VRA" vsbox;
        Vshasigmaw   "vshasigmaw"   vx(1666)                      V2_07 "VRT,VRA,ST,SIX" vshasigmaw;
        Vshasigmad   "vshasigmad"   vx(1730)                      V2_07 "VRT,VRA,ST,SIX" vshasigmad;
        Vpermxor     "vpermxor"     va(45)                        V2_07 "VRT,VRA,VRB,VRC" vpermxor;
        Vgnb         "vgnb"         vx(1228)                      V3_1  "RT,VRB,N" vgnb;
        Vclzlsbb     "vclzlsbb"     vx_a(1538, 0)                 V3_0  "RT,VRB" vclzlsbb;
        Vctzlsbb     "vctzlsbb"     vx_a(1538, 1)                 V3_0  "RT,VRB" vctzlsbb;
        Vextractbm   "vextractbm"   vx_a(1602, 8)                 V3_1  "RT,VRB" vextractbm;
        Vextracthm   "vextracthm"   vx_a(1602, 9)                 V3_1  "RT,VRB" vextracthm;
        Vextractwm   "vextractwm"   vx_a(1602, 10)                V3_1  "RT,VRB" vextractwm;
        Vextractdm   "vextractdm"   vx_a(1602, 11)                V3_1  "RT,VRB" vextractdm;
        Vextractqm   "vextractqm"   vx_a(1602, 12)                V3_1  "RT,VRB" vextractqm;
        Vcntmbb      "vcntmbb"      raw(0xfc1e_07ff, 0x1018_0642) V3_1  "RT,VRB,MP" vcntmbb;
        Vcntmbh      "vcntmbh"      raw(0xfc1e_07ff, 0x101a_0642) V3_1  "RT,VRB,MP" vcntmbh;
        Vcntmbw      "vcntmbw"      raw(0xfc1e_07ff, 0x101c_0642) V3_1  "RT,VRB,MP" vcntmbw;
        Vcntmbd      "vcntmbd"      raw(0xfc1e_07ff, 0x101e_0642) V3_1  "RT,VRB,MP" vcntmbd;
        Vstribl      "vstribl"      raw(0xfc1f_03ff, 0x1000_000d) V3_1  "VRT,VRB" vstribl;
        Vstribr      "vstribr"      raw(0xfc1f_03ff, 0x1001_000d) V3_1  "VRT,VRB" vstribr;
        Vstrihl      "vstrihl"      raw(0xfc1f_03ff, 0x1002_000d) V3_1  "VRT,VRB" vstrihl;
        Vstrihr      "vstrihr"      raw(0xfc1f_03ff, 0x1003_000d) V3_1  "VRT,VRB" vstrihr;
        Bcdcfn       "bcdcfn."      vx_bcd_a(1409, 7)             V3_0  "VRT,VRB,PS" bcdcfn;
        Bcdcfsq      "bcdcfsq."     vx_bcd_a(1409, 2)             V3_0  "VRT,VRB,PS" bcdcfsq;
        Bcdcfz       "bcdcfz."      vx_bcd_a(1409, 6)             V3_0  "VRT,VRB,PS" bcdcfz;
        Bcdcpsgn     "bcdcpsgn."    vx(833)                       V3_0  "VRT,VRA,VRB" bcdcpsgn;
        Bcdctn       "bcdctn."      vx_bcd_a(1409, 5)             V3_0  "VRT,VRB" bcdctn;
        Bcdctsq      "bcdctsq."     vx_bcd_a(1409, 0)             V3_0  "VRT,VRB" bcdctsq;
        Bcdctz       "bcdctz."      vx_bcd_a(1409, 4)             V3_0  "VRT,VRB,PS" bcdctz;
        Bcds         "bcds."        vx_bcd(1217)                  V3_0  "VRT,VRA,VRB,PS" bcds;
        Bcdsetsgn    "bcdsetsgn."   vx_bcd_a(1409, 31)            V3_0  "VRT,VRB,PS" bcdsetsgn;
        Bcdsr        "bcdsr."       vx_bcd(1473)                  V3_0  "VRT,VRA,VRB,PS" bcdsr;
        Bcdtrunc     "bcdtrunc."    vx_bcd(1281)                  V3_0  "VRT,VRA,VRB,PS" bcdtrunc;
        Bcdus        "bcdus."       vx_bcd(1153)                  V3_0  "VRT,VRA,VRB" bcdus;
        Bcdutrunc    "bcdutrunc."   vx_bcd(1345)                  V3_0  "VRT,VRA,VRB" bcdutrunc;
        Bcdadd       "bcdadd."      vx_bcd(1025)                  V2_07 "VRT,VRA,VRB,PS" bcdadd;
        Bcdsub       "bcdsub."      vx_bcd(1089)                  V2_07 "VRT,VRA,VRB,PS" bcdsub;
    } } } };
}
pub(crate) use vmx_bits_rows;

two! {
    vbpermq BitPermQ;
    vbpermd BitPermD;
    vpdepd Deposit;
    vpextd Extract;
    vcfuged Centrifuge;
    vclzdm ClzMaskD;
    vctzdm CtzMaskD;
    vcipher Cipher;
    vcipherlast CipherLast;
    vncipher Ncipher;
    vncipherlast NcipherLast;
    vpmsumb PolyMulB;
    vpmsumh PolyMulH;
    vpmsumw PolyMulW;
    vpmsumd PolyMulD;
}
one! {
    vgbbd Gather;
    vclzb ClzB;
    vctzb CtzB;
    vpopcntb PopB;
    vclzh ClzH;
    vctzh CtzH;
    vpopcnth PopH;
    vclzw ClzW;
    vctzw CtzW;
    vpopcntw PopW;
    vclzd ClzD;
    vctzd CtzD;
    vpopcntd PopD;
    vexpandbm ExpandB;
    vexpandhm ExpandH;
    vexpandwm ExpandW;
    vexpanddm ExpandD;
    vexpandqm ExpandQ;
}

pub fn vsbox<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let x = va(b, i);
    let r = b.w1(W1::Sbox, x);
    set_vt(b, i, r);
    Ok(())
}
#[inline(always)]
fn sigma<B: Builder>(b: &mut B, i: Insn, op: W2) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let x = va(b, i);
    let r = w2i(b, op, x, i.bits(16, 20).into());
    set_vt(b, i, r);
    Ok(())
}
pub fn vshasigmaw<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    sigma(b, i, W2::ShaSigmaW)
}
pub fn vshasigmad<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    sigma(b, i, W2::ShaSigmaD)
}
pub fn vpermxor<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let (x, y, z) = (va(b, i), vb(b, i), vc(b, i));
    let r = b.w3(W3::PermXor, x, y, z);
    set_vt(b, i, r);
    Ok(())
}
pub fn vgnb<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let y = vb(b, i);
    let r = w2i(b, W2::GatherN, y, i.bits(13, 15).into());
    let r = b.w_lo(r);
    b.set_gpr(i.rt(), r);
    Ok(())
}

/// A number computed from a vector.
macro_rules! to_gpr {
    ($($f:ident $op:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let y = vb(b, i);
            let r = b.w1(W1::$op, y);
            let r = b.w_lo(r);
            b.set_gpr(i.rt(), r);
            Ok(())
        }
    )* };
}
to_gpr! {
    vclzlsbb ClzLsb;
    vctzlsbb CtzLsb;
    vextractbm MaskB;
    vextracthm MaskH;
    vextractwm MaskW;
    vextractdm MaskD;
    vextractqm MaskQ;
}

/// The number of elements whose sign bit is MP, at the left end of the GPR.
#[inline(always)]
fn count_mask<B: Builder>(b: &mut B, i: Insn, op: W1, shift: u64) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let mut y = vb(b, i);
    if !i.bit(15) {
        y = b.w1(W1::Not, y);
    }
    let m = b.w1(op, y);
    let m = b.w_lo(m);
    let n = b.op1(Op1::Popcnt64, m);
    let n = b.op2i(Op2::Shl, n, shift);
    b.set_gpr(i.rt(), n);
    Ok(())
}
pub fn vcntmbb<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    count_mask(b, i, W1::MaskB, 56)
}
pub fn vcntmbh<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    count_mask(b, i, W1::MaskH, 57)
}
pub fn vcntmbw<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    count_mask(b, i, W1::MaskW, 58)
}
pub fn vcntmbd<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    count_mask(b, i, W1::MaskD, 59)
}

/// Isolate a string; Rc (bit 21) records in CR6 whether a zero element was there.
#[inline(always)]
fn string<B: Builder>(b: &mut B, i: Insn, op: W1, eq: W2) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let y = vb(b, i);
    let r = b.w1(op, y);
    set_vt(b, i, r);
    if i.bit(21) {
        let z = w2i(b, eq, y, 0);
        let (hi, lo) = (b.w_hi(z), b.w_lo(z));
        let any = b.op2(Op2::Or, hi, lo);
        let zero = b.imm(0);
        let found = b.rel(crate::Rel::Ne, any, zero);
        let found = b.c_value(found);
        let field = b.op2i(Op2::Shl, found, 1);
        b.set_cr_field(6, field);
    }
    Ok(())
}
pub fn vstribl<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    string(b, i, W1::StringBL, W2::EqB)
}
pub fn vstribr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    string(b, i, W1::StringBR, W2::EqB)
}
pub fn vstrihl<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    string(b, i, W1::StringHL, W2::EqH)
}
pub fn vstrihr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    string(b, i, W1::StringHR, W2::EqH)
}

#[inline(always)]
fn decimal_result<B: Builder>(b: &mut B, i: Insn, r: B::W, cr: B::W) -> Result<(), B::Stop> {
    let cr = b.w_lo(cr);
    set_vt(b, i, r);
    b.set_cr_field(6, cr);
    Ok(())
}
/// PS
const fn ps(i: Insn) -> u128 {
    i.bits(22, 22) as u128
}
macro_rules! decimal_b {
    ($($f:ident $op:ident $cr:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let y = vb(b, i);
            let r = w2i(b, W2::$op, y, ps(i));
            let cr = w2i(b, W2::$cr, y, ps(i));
            decimal_result(b, i, r, cr)
        }
    )* };
}
decimal_b! {
    bcdcfn BcdCfn BcdCfnCr;
    bcdcfz BcdCfz BcdCfzCr;
    bcdctz BcdCtz BcdCtzCr;
    bcdcfsq BcdCfsq BcdCfsqCr;
    bcdsetsgn BcdSetSgn BcdSetSgnCr;
}
macro_rules! decimal_one {
    ($($f:ident $op:ident $cr:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let y = vb(b, i);
            let r = b.w1(W1::$op, y);
            let cr = b.w1(W1::$cr, y);
            decimal_result(b, i, r, cr)
        }
    )* };
}
decimal_one! {
    bcdctn BcdCtn BcdCtnCr;
    bcdctsq BcdCtsq BcdCtsqCr;
}
macro_rules! decimal_two {
    ($($f:ident $op:ident $cr:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let (x, y) = (va(b, i), vb(b, i));
            let r = b.w2(W2::$op, x, y);
            let cr = b.w2(W2::$cr, x, y);
            decimal_result(b, i, r, cr)
        }
    )* };
}
decimal_two! {
    bcdcpsgn BcdCpSgn BcdCpSgnCr;
    bcdus BcdUs BcdUsCr;
    bcdutrunc BcdUtrunc BcdUtruncCr;
}
macro_rules! decimal_ps {
    ($($f:ident $op:ident $cr:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let (x, y) = (va(b, i), vb(b, i));
            let ps = b.w_imm(ps(i));
            let r = b.w3(W3::$op, x, y, ps);
            let cr = b.w3(W3::$cr, x, y, ps);
            decimal_result(b, i, r, cr)
        }
    )* };
}
decimal_ps! {
    bcdadd BcdAdd BcdAddCr;
    bcdsub BcdSub BcdSubCr;
    bcds BcdS BcdSCr;
    bcdsr BcdSr BcdSrCr;
    bcdtrunc BcdTrunc BcdTruncCr;
}
