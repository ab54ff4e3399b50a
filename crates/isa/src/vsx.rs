//! VSX: loads, stores, moves, logical, permute, splat, extract and insert instructions, and their prefixed forms
//! (Book I, 7.6).
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{
    Acc, Builder, Facility, Insn, Lane, Op1, Op2, Rel,
    load_store::{ea_d, ea_mode, ea_next, ea_p, ea_x},
    rare,
    vmx::{left, quad, w2i},
    wide::{W1, W2, W3},
};

macro_rules! vsx_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* vsx {
        Lxsd        "lxsd"        ds(57, 2)                                                          V3_0  "VRT,DS(RA)" lxsd;
        Lxsdx       "lxsdx"       x(31, 588)                                                         V2_06 "XT,RA,RB" lxsdx;
        Lxsibzx     "lxsibzx"     x(31, 781)                                                         V3_0  "XT,RA,RB" lxsibzx;
        Lxsihzx     "lxsihzx"     x(31, 813)                                                         V3_0  "XT,RA,RB" lxsihzx;
        Lxsiwax     "lxsiwax"     x(31, 76)                                                          V2_07 "XT,RA,RB" lxsiwax;
        Lxsiwzx     "lxsiwzx"     x(31, 12)                                                          V2_07 "XT,RA,RB" lxsiwzx;
        Lxssp       "lxssp"       ds(57, 3)                                                          V3_0  "VRT,DS(RA)" lxssp;
        Lxsspx      "lxsspx"      x(31, 524)                                                         V2_07 "XT,RA,RB" lxsspx;
        Lxv         "lxv"         dq(61, 1)                                                          V3_0  "XT,DQ(RA)" lxv;
        Lxvx        "lxvx"        raw(0xfc00_07be, 0x7c00_0218)                                      V3_0  "XT,RA,RB" lxvx;
        Lxvb16x     "lxvb16x"     x(31, 876)                                                         V3_0  "XT,RA,RB" lxvb16x;
        Lxvd2x      "lxvd2x"      x(31, 844)                                                         V2_06 "XT,RA,RB" lxvd2x;
        Lxvdsx      "lxvdsx"      x(31, 332)                                                         V2_06 "XT,RA,RB" lxvdsx;
        Lxvh8x      "lxvh8x"      x(31, 812)                                                         V3_0  "XT,RA,RB" lxvh8x;
        Lxvw4x      "lxvw4x"      x(31, 780)                                                         V2_06 "XT,RA,RB" lxvw4x;
        Lxvwsx      "lxvwsx"      x(31, 364)                                                         V3_0  "XT,RA,RB" lxvwsx;
        Lxvl        "lxvl"        x(31, 269)                                                         V3_0  "XT,RA,RB" lxvl;
        Lxvll       "lxvll"       x(31, 301)                                                         V3_0  "XT,RA,RB" lxvll;
        Lxvp        "lxvp"        raw(0xfc00_000f, 0x1800_0000)                                      V3_1  "XTp,DQ(RA)" lxvp;
        Lxvpx       "lxvpx"       x(31, 333)                                                         V3_1  "XTp,RA,RB" lxvpx;
        Lxvrbx      "lxvrbx"      x(31, 13)                                                          V3_1  "XT,RA,RB" lxvrbx;
        Lxvrhx      "lxvrhx"      x(31, 45)                                                          V3_1  "XT,RA,RB" lxvrhx;
        Lxvrwx      "lxvrwx"      x(31, 77)                                                          V3_1  "XT,RA,RB" lxvrwx;
        Lxvrdx      "lxvrdx"      x(31, 109)                                                         V3_1  "XT,RA,RB" lxvrdx;
        Lxvkq       "lxvkq"       x_a(60, 360, 31)                                                   V3_1  "XT,UIM" lxvkq;
        Stxsd       "stxsd"       ds(61, 2)                                                          V3_0  "VRS,DS(RA)" stxsd;
        Stxsdx      "stxsdx"      x(31, 716)                                                         V2_06 "XS,RA,RB" stxsdx;
        Stxsibx     "stxsibx"     x(31, 909)                                                         V3_0  "XS,RA,RB" stxsibx;
        Stxsihx     "stxsihx"     x(31, 941)                                                         V3_0  "XS,RA,RB" stxsihx;
        Stxsiwx     "stxsiwx"     x(31, 140)                                                         V2_07 "XS,RA,RB" stxsiwx;
        Stxssp      "stxssp"      ds(61, 3)                                                          V3_0  "VRS,DS(RA)" stxssp;
        Stxsspx     "stxsspx"     x(31, 652)                                                         V2_07 "XS,RA,RB" stxsspx;
        Stxv        "stxv"        dq(61, 5)                                                          V3_0  "XS,DQ(RA)" stxv;
        Stxvx       "stxvx"       x(31, 396)                                                         V3_0  "XS,RA,RB" stxvx;
        Stxvb16x    "stxvb16x"    x(31, 1004)                                                        V3_0  "XS,RA,RB" stxvb16x;
        Stxvd2x     "stxvd2x"     x(31, 972)                                                         V2_06 "XS,RA,RB" stxvd2x;
        Stxvh8x     "stxvh8x"     x(31, 940)                                                         V3_0  "XS,RA,RB" stxvh8x;
        Stxvw4x     "stxvw4x"     x(31, 908)                                                         V2_06 "XS,RA,RB" stxvw4x;
        Stxvl       "stxvl"       x(31, 397)                                                         V3_0  "XS,RA,RB" stxvl;
        Stxvll      "stxvll"      x(31, 429)                                                         V3_0  "XS,RA,RB" stxvll;
        Stxvp       "stxvp"       raw(0xfc00_000f, 0x1800_0001)                                      V3_1  "XSp,DQ(RA)" stxvp;
        Stxvpx      "stxvpx"      x(31, 461)                                                         V3_1  "XSp,RA,RB" stxvpx;
        Stxvrbx     "stxvrbx"     x(31, 141)                                                         V3_1  "XS,RA,RB" stxvrbx;
        Stxvrhx     "stxvrhx"     x(31, 173)                                                         V3_1  "XS,RA,RB" stxvrhx;
        Stxvrwx     "stxvrwx"     x(31, 205)                                                         V3_1  "XS,RA,RB" stxvrwx;
        Stxvrdx     "stxvrdx"     x(31, 237)                                                         V3_1  "XS,RA,RB" stxvrdx;
        Mfvsrd      "mfvsrd"      x(31, 51)                                                          V2_07 "RA,XS" mfvsrd;
        Mfvsrld     "mfvsrld"     x(31, 307)                                                         V3_0  "RA,XS" mfvsrld;
        Mfvsrwz     "mfvsrwz"     x(31, 115)                                                         V2_07 "RA,XS" mfvsrwz;
        Mtvsrd      "mtvsrd"      x(31, 179)                                                         V2_07 "XT,RA" mtvsrd;
        Mtvsrwa     "mtvsrwa"     x(31, 211)                                                         V2_07 "XT,RA" mtvsrwa;
        Mtvsrwz     "mtvsrwz"     x(31, 243)                                                         V2_07 "XT,RA" mtvsrwz;
        Mtvsrdd     "mtvsrdd"     x(31, 435)                                                         V3_0  "XT,RA,RB" mtvsrdd;
        Mtvsrws     "mtvsrws"     x(31, 403)                                                         V3_0  "XT,RA" mtvsrws;
        Xxland      "xxland"      xx3(130)                                                           V2_06 "XT,XA,XB" xxland;
        Xxlandc     "xxlandc"     xx3(138)                                                           V2_06 "XT,XA,XB" xxlandc;
        Xxlor       "xxlor"       xx3(146)                                                           V2_06 "XT,XA,XB" xxlor;
        Xxlxor      "xxlxor"      xx3(154)                                                           V2_06 "XT,XA,XB" xxlxor;
        Xxlnor      "xxlnor"      xx3(162)                                                           V2_06 "XT,XA,XB" xxlnor;
        Xxlnand     "xxlnand"     xx3(178)                                                           V2_07 "XT,XA,XB" xxlnand;
        Xxlorc      "xxlorc"      xx3(170)                                                           V2_07 "XT,XA,XB" xxlorc;
        Xxleqv      "xxleqv"      xx3(186)                                                           V2_07 "XT,XA,XB" xxleqv;
        Xxmrghw     "xxmrghw"     xx3(18)                                                            V2_06 "XT,XA,XB" xxmrghw;
        Xxmrglw     "xxmrglw"     xx3(50)                                                            V2_06 "XT,XA,XB" xxmrglw;
        Xxbrh       "xxbrh"       xx2_a(475, 7)                                                      V3_0  "XT,XB" xxbrh;
        Xxbrw       "xxbrw"       xx2_a(475, 15)                                                     V3_0  "XT,XB" xxbrw;
        Xxbrd       "xxbrd"       xx2_a(475, 23)                                                     V3_0  "XT,XB" xxbrd;
        Xxbrq       "xxbrq"       xx2_a(475, 31)                                                     V3_0  "XT,XB" xxbrq;
        Xxsel       "xxsel"       xx4(3)                                                             V2_06 "XT,XA,XB,XC" xxsel;
        Xxperm      "xxperm"      xx3(26)                                                            V3_0  "XT,XA,XB" xxperm;
        Xxpermr     "xxpermr"     xx3(58)                                                            V3_0  "XT,XA,XB" xxpermr;
        Xxpermdi    "xxpermdi"    xx3_dm(10)                                                         V2_06 "XT,XA,XB,DM" xxpermdi;
        Xxsldwi     "xxsldwi"     xx3_dm(2)                                                          V2_06 "XT,XA,XB,SHW" xxsldwi;
        Xxspltw     "xxspltw"     xx2(164)                                                           V2_06 "XT,XB,UIM" xxspltw;
        Xxspltib    "xxspltib"    raw(0xfc18_07fe, 0xf000_02d0)                                      V3_0  "XT,IMM8" xxspltib;
        Xxextractuw "xxextractuw" xx2(165)                                                           V3_0  "XT,XB,UIM" xxextractuw;
        Xxinsertw   "xxinsertw"   xx2(181)                                                           V3_0  "XT,XB,UIM" xxinsertw;
        Xvtlsbb     "xvtlsbb"     xx2_a(475, 2)                                                      V3_1  "BF,XB" xvtlsbb;
        Xxgenpcvbm  "xxgenpcvbm"  x(60, 916)                                                         V3_1  "XT,VRB,IMM" xxgenpcvbm;
        Xxgenpcvhm  "xxgenpcvhm"  x(60, 917)                                                         V3_1  "XT,VRB,IMM" xxgenpcvhm;
        Xxgenpcvwm  "xxgenpcvwm"  x(60, 948)                                                         V3_1  "XT,VRB,IMM" xxgenpcvwm;
        Xxgenpcvdm  "xxgenpcvdm"  x(60, 949)                                                         V3_1  "XT,VRB,IMM" xxgenpcvdm;
        Plxsd       "plxsd"       prefixed(0, 8, 0, crate::encoding::d(42))                          V3_1  "VRT,D(RA),R" plxsd;
        Plxssp      "plxssp"      prefixed(0, 8, 0, crate::encoding::d(43))                          V3_1  "VRT,D(RA),R" plxssp;
        Plxv        "plxv"        prefixed(0, 8, 0, crate::encoding::raw(0xf800_0000, 0xc800_0000))  V3_1  "XT,D(RA),R" plxv;
        Plxvp       "plxvp"       prefixed(0, 8, 0, crate::encoding::d(58))                          V3_1  "XTp,D(RA),R" plxvp;
        Pstxsd      "pstxsd"      prefixed(0, 8, 0, crate::encoding::d(46))                          V3_1  "VRS,D(RA),R" pstxsd;
        Pstxssp     "pstxssp"     prefixed(0, 8, 0, crate::encoding::d(47))                          V3_1  "VRS,D(RA),R" pstxssp;
        Pstxv       "pstxv"       prefixed(0, 8, 0, crate::encoding::raw(0xf800_0000, 0xd800_0000))  V3_1  "XS,D(RA),R" pstxv;
        Pstxvp      "pstxvp"      prefixed(0, 8, 0, crate::encoding::d(62))                          V3_1  "XSp,D(RA),R" pstxvp;
        Xxsplti32dx "xxsplti32dx" prefixed(1, 15, 0, crate::encoding::raw(0xfc1c_0000, 0x8000_0000)) V3_1  "XT,IX,IMM32" xxsplti32dx;
        Xxspltidp   "xxspltidp"   prefixed(1, 15, 0, crate::encoding::raw(0xfc1e_0000, 0x8004_0000)) V3_1  "XT,IMM32" xxspltidp;
        Xxspltiw    "xxspltiw"    prefixed(1, 15, 0, crate::encoding::raw(0xfc1e_0000, 0x8006_0000)) V3_1  "XT,IMM32" xxspltiw;
        Xxblendvb   "xxblendvb"   prefixed(1, 15, 0, crate::encoding::raw(0xfc00_0030, 0x8400_0000)) V3_1  "XT,XA,XB,XC" xxblendvb;
        Xxblendvh   "xxblendvh"   prefixed(1, 15, 0, crate::encoding::raw(0xfc00_0030, 0x8400_0010)) V3_1  "XT,XA,XB,XC" xxblendvh;
        Xxblendvw   "xxblendvw"   prefixed(1, 15, 0, crate::encoding::raw(0xfc00_0030, 0x8400_0020)) V3_1  "XT,XA,XB,XC" xxblendvw;
        Xxblendvd   "xxblendvd"   prefixed(1, 15, 0, crate::encoding::raw(0xfc00_0030, 0x8400_0030)) V3_1  "XT,XA,XB,XC" xxblendvd;
        Xxpermx     "xxpermx"     prefixed(1, 15, 0, crate::encoding::raw(0xfc00_0030, 0x8800_0000)) V3_1  "XT,XA,XB,XC,UIM" xxpermx;
        Xxeval      "xxeval"      prefixed(1, 15, 0, crate::encoding::raw(0xfc00_0030, 0x8800_0010)) V3_1  "XT,XA,XB,XC,IMM" xxeval;
    } } } };
}
pub(crate) use vsx_rows;

type R<B> = Result<(), <B as Builder>::Stop>;

/// The facility that instructions added by version 3.0 ask for: VSX for VSR 0..31, else Vector.
#[inline(always)]
fn need_either<B: Builder>(b: &mut B, t: u32) -> R<B> {
    b.need(if t < 32 { Facility::Vsx } else { Facility::Vec })
}
/// The facility that moves between GPR and VSR ask for: Floating-Point for VSR 0..31, else Vector.
#[inline(always)]
fn need_fp_or_vec<B: Builder>(b: &mut B, t: u32) -> R<B> {
    b.need(if t < 32 { Facility::Fp } else { Facility::Vec })
}
/// First VSR of a pair: TX in bit 10, Tp in bits 6..9.
const fn pair(i: Insn) -> u32 {
    i.bits(10, 10) << 5 | i.bits(6, 9) << 1
}

// ---- scalars ----

/// Load a scalar into doubleword 0 of VSR `t`; doubleword 1 becomes zero.
#[inline(always)]
fn load_scalar<B: Builder>(b: &mut B, ea: B::V, t: u32, acc: Acc) -> R<B> {
    let v = b.load(ea, acc)?;
    let w = left(b, v);
    b.set_vsr(t, w);
    Ok(())
}
/// Load a single, converted to double format.
#[inline(always)]
fn load_single<B: Builder>(b: &mut B, ea: B::V, t: u32) -> R<B> {
    let v = b.load(ea, Acc::u(4))?;
    let v = b.single_to_double(v);
    let w = left(b, v);
    b.set_vsr(t, w);
    Ok(())
}
/// Store from doubleword 0.
#[inline(always)]
fn store_scalar<B: Builder>(b: &mut B, ea: B::V, t: u32, acc: Acc) -> R<B> {
    let w = b.vsr(t);
    let v = b.w_hi(w);
    b.store(ea, v, acc)
}
/// Store doubleword 0 in single format.
#[inline(always)]
fn store_single<B: Builder>(b: &mut B, ea: B::V, t: u32) -> R<B> {
    let w = b.vsr(t);
    let v = b.w_hi(w);
    let v = b.double_to_single(v);
    b.store(ea, v, Acc::u(4))
}

macro_rules! scalar_indexed {
    ($($f:ident $via:ident $acc:expr;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(Facility::Vsx)?;
            let ea = ea_x(b, i.ra(), i.rb());
            $via(b, ea, i.xt(), $acc)
        }
    )* };
}
scalar_indexed! {
    lxsdx load_scalar Acc::u(8);
    lxsibzx load_scalar Acc::u(1);
    lxsihzx load_scalar Acc::u(2);
    lxsiwax load_scalar Acc::s(4);
    lxsiwzx load_scalar Acc::u(4);
    stxsdx store_scalar Acc::u(8);
    stxsibx store_scalar Acc::u(1);
    stxsihx store_scalar Acc::u(2);
    stxsiwx store_scalar Acc::u(4);
}
pub fn lxsspx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let ea = ea_x(b, i.ra(), i.rb());
    load_single(b, ea, i.xt())
}
pub fn stxsspx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let ea = ea_x(b, i.ra(), i.rb());
    store_single(b, ea, i.xt())
}

/// Scalars of the vector registers, with a displacement.
macro_rules! scalar_vr {
    ($($f:ident $pf:ident $via:ident ($($acc:expr)?);)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(Facility::Vec)?;
            let ea = ea_d(b, i.ra(), i.ds());
            $via(b, ea, i.vrt() + 32 $(, $acc)?)
        }
        pub fn $pf<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(Facility::Vec)?;
            let ea = ea_p(b, i)?;
            $via(b, ea, i.vrt() + 32 $(, $acc)?)
        }
    )* };
}
scalar_vr! {
    lxsd plxsd load_scalar (Acc::u(8));
    stxsd pstxsd store_scalar (Acc::u(8));
    lxssp plxssp load_single ();
    stxssp pstxssp store_single ();
}

// ---- vectors ----

#[inline(always)]
fn load_vector<B: Builder>(b: &mut B, ea: B::V, t: u32, lane: Lane) -> R<B> {
    let w = b.load_w(ea, lane)?;
    b.set_vsr(t, w);
    Ok(())
}
#[inline(always)]
fn store_vector<B: Builder>(b: &mut B, ea: B::V, t: u32, lane: Lane) -> R<B> {
    let w = b.vsr(t);
    b.store_w(ea, w, lane)
}
macro_rules! vector_indexed {
    ($($f:ident $via:ident $lane:literal $need:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            vector_indexed!(@ $need b i);
            let ea = ea_x(b, i.ra(), i.rb());
            $via(b, ea, i.xt(), $lane)
        }
    )* };
    (@ vsx $b:ident $i:ident) => { $b.need(Facility::Vsx)? };
    (@ either $b:ident $i:ident) => { need_either($b, $i.xt())? };
}
vector_indexed! {
    lxvx load_vector 16 either;
    lxvd2x load_vector 8 vsx;
    lxvw4x load_vector 4 vsx;
    lxvh8x load_vector 2 either;
    lxvb16x load_vector 1 either;
    stxvx store_vector 16 either;
    stxvd2x store_vector 8 vsx;
    stxvw4x store_vector 4 vsx;
    stxvh8x store_vector 2 either;
    stxvb16x store_vector 1 either;
}
pub fn lxv<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_either(b, i.xt_dq())?;
    let ea = ea_d(b, i.ra(), i.dq());
    load_vector(b, ea, i.xt_dq(), 16)
}
pub fn stxv<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_either(b, i.xt_dq())?;
    let ea = ea_d(b, i.ra(), i.dq());
    store_vector(b, ea, i.xt_dq(), 16)
}
/// VSR of `plxv`, `pstxv`: TX in bit 5.
const fn xt_p(i: Insn) -> u32 {
    i.bits(5, 5) << 5 | i.bits(6, 10)
}
pub fn plxv<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_either(b, xt_p(i))?;
    let ea = ea_p(b, i)?;
    load_vector(b, ea, xt_p(i), 16)
}
pub fn pstxv<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_either(b, xt_p(i))?;
    let ea = ea_p(b, i)?;
    store_vector(b, ea, xt_p(i), 16)
}
pub fn lxvdsx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let ea = ea_x(b, i.ra(), i.rb());
    let v = b.load(ea, Acc::u(8))?;
    let w = b.w_pair(v, v);
    b.set_vsr(i.xt(), w);
    Ok(())
}
pub fn lxvwsx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_either(b, i.xt())?;
    let ea = ea_x(b, i.ra(), i.rb());
    let v = b.load(ea, Acc::u(4))?;
    let w = quad(b, v);
    let w = w2i(b, W2::SplatW, w, 3);
    b.set_vsr(i.xt(), w);
    Ok(())
}

/// The byte count of `lxvl` and its like: bits 0..7 of RB, at most 16.
#[inline(always)]
fn length<B: Builder>(b: &mut B, i: Insn) -> B::V {
    let n = b.gpr(i.rb());
    let n = b.op2i(Op2::Shr, n, 56);
    let most = b.imm(16);
    let over = b.rel(Rel::Gtu, n, most);
    b.select(over, most, n)
}
/// (RA|0)
#[inline(always)]
fn ea_a<B: Builder>(b: &mut B, i: Insn) -> B::V {
    if i.ra() == 0 {
        b.imm(0)
    } else {
        let a = b.gpr(i.ra());
        ea_mode(b, a)
    }
}
#[inline(always)]
fn load_length<B: Builder>(b: &mut B, i: Insn, lane: Lane) -> R<B> {
    need_either(b, i.xt())?;
    let ea = ea_a(b, i);
    let n = length(b, i);
    let w = b.load_part(ea, n, lane)?;
    b.set_vsr(i.xt(), w);
    Ok(())
}
#[inline(always)]
fn store_length<B: Builder>(b: &mut B, i: Insn, lane: Lane) -> R<B> {
    need_either(b, i.xt())?;
    let ea = ea_a(b, i);
    let n = length(b, i);
    let w = b.vsr(i.xt());
    b.store_part(ea, w, n, lane)
}
pub fn lxvl<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    load_length(b, i, 16)
}
pub fn lxvll<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    load_length(b, i, 1)
}
pub fn stxvl<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    store_length(b, i, 16)
}
pub fn stxvll<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    store_length(b, i, 1)
}

/// Two quadwords; in little-endian mode the second register stands first in memory.
#[inline(always)]
fn load_pair<B: Builder>(b: &mut B, ea: B::V, t: u32) -> R<B> {
    let first = b.load_w(ea, 16)?;
    let ea = ea_next(b, ea, 16);
    let second = b.load_w(ea, 16)?;
    let le = u32::from(b.mode().le);
    b.set_vsr(t + le, first);
    b.set_vsr(t + 1 - le, second);
    Ok(())
}
#[inline(always)]
fn store_pair<B: Builder>(b: &mut B, ea: B::V, t: u32) -> R<B> {
    let le = u32::from(b.mode().le);
    let (first, second) = (b.vsr(t + le), b.vsr(t + 1 - le));
    b.store_w(ea, first, 16)?;
    let ea = ea_next(b, ea, 16);
    b.store_w(ea, second, 16)
}
macro_rules! pairs {
    ($($via:ident $d:ident $x:ident $p:ident;)*) => { $(
        pub fn $d<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(Facility::Vsx)?;
            let ea = ea_d(b, i.ra(), i.dq());
            $via(b, ea, pair(i))
        }
        pub fn $x<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(Facility::Vsx)?;
            let ea = ea_x(b, i.ra(), i.rb());
            $via(b, ea, pair(i))
        }
        pub fn $p<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(Facility::Vsx)?;
            let ea = ea_p(b, i)?;
            $via(b, ea, pair(i))
        }
    )* };
}
pairs! {
    load_pair lxvp lxvpx plxvp;
    store_pair stxvp stxvpx pstxvp;
}

/// The rightmost element, zeros before it.
macro_rules! rightmost {
    ($($load:ident $store:ident $size:literal;)*) => { $(
        pub fn $load<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            need_either(b, i.xt())?;
            let ea = ea_x(b, i.ra(), i.rb());
            let v = b.load(ea, Acc::u($size))?;
            let w = quad(b, v);
            b.set_vsr(i.xt(), w);
            Ok(())
        }
        pub fn $store<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            need_either(b, i.xt())?;
            let ea = ea_x(b, i.ra(), i.rb());
            let w = b.vsr(i.xt());
            let v = b.w_lo(w);
            b.store(ea, v, Acc::u($size))
        }
    )* };
}
rightmost! {
    lxvrbx stxvrbx 1;
    lxvrhx stxvrhx 2;
    lxvrwx stxvrwx 4;
    lxvrdx stxvrdx 8;
}

/// Quad-precision constants: 1 to 7, infinity, the default NaN; from 16 on with the sign.
pub fn lxvkq<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let n = i.bits(16, 20);
    let magnitude = match n & 15 {
        0 if n == 16 => 0,
        k @ 1..=7 => {
            let log = 31 - k.leading_zeros();
            (16383 + log) << 16 | (k << (16 - log)) & 0xffff
        }
        8 => 0x7fff_0000,
        9 if n == 9 => 0x7fff_8000,
        _ => return b.illegal(),
    };
    let top = u128::from(magnitude | (n >> 4) << 31);
    let w = b.w_imm(top << 96);
    b.set_vsr(i.xt(), w);
    Ok(())
}

// ---- moves ----

pub fn mfvsrd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_fp_or_vec(b, i.xt())?;
    let w = b.vsr(i.xt());
    let v = b.w_hi(w);
    b.set_gpr(i.ra(), v);
    Ok(())
}
pub fn mfvsrwz<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_fp_or_vec(b, i.xt())?;
    let w = b.vsr(i.xt());
    let v = b.w_hi(w);
    let v = b.op1(Op1::Extu32, v);
    b.set_gpr(i.ra(), v);
    Ok(())
}
pub fn mfvsrld<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_either(b, i.xt())?;
    let w = b.vsr(i.xt());
    let v = b.w_lo(w);
    b.set_gpr(i.ra(), v);
    Ok(())
}
/// Doubleword 1, which the manual leaves undefined, becomes zero.
#[inline(always)]
fn move_to<B: Builder>(b: &mut B, i: Insn, extend: Option<Op1>) -> R<B> {
    need_fp_or_vec(b, i.xt())?;
    let v = b.gpr(i.ra());
    let v = match extend {
        Some(op) => b.op1(op, v),
        None => v,
    };
    let w = left(b, v);
    b.set_vsr(i.xt(), w);
    Ok(())
}
pub fn mtvsrd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    move_to(b, i, None)
}
pub fn mtvsrwa<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    move_to(b, i, Some(Op1::Exts32))
}
pub fn mtvsrwz<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    move_to(b, i, Some(Op1::Extu32))
}
pub fn mtvsrdd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_either(b, i.xt())?;
    let hi = if i.ra() == 0 { b.imm(0) } else { b.gpr(i.ra()) };
    let lo = b.gpr(i.rb());
    let w = b.w_pair(hi, lo);
    b.set_vsr(i.xt(), w);
    Ok(())
}
pub fn mtvsrws<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_either(b, i.xt())?;
    let v = b.gpr(i.ra());
    let w = quad(b, v);
    let w = w2i(b, W2::SplatW, w, 3);
    b.set_vsr(i.xt(), w);
    Ok(())
}

// ---- logical, permute, splat ----

macro_rules! two {
    ($($f:ident $op:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(Facility::Vsx)?;
            let (x, y) = (b.vsr(i.xa()), b.vsr(i.xb()));
            let r = b.w2(W2::$op, x, y);
            b.set_vsr(i.xt(), r);
            Ok(())
        }
    )* };
}
macro_rules! one {
    ($($f:ident $op:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(Facility::Vsx)?;
            let y = b.vsr(i.xb());
            let r = b.w1(W1::$op, y);
            b.set_vsr(i.xt(), r);
            Ok(())
        }
    )* };
}
two! {
    xxland And;
    xxlandc Andc;
    xxlor Or;
    xxlxor Xor;
    xxlnor Nor;
    xxlnand Nand;
    xxlorc Orc;
    xxleqv Eqv;
    xxmrghw MergeHiW;
    xxmrglw MergeLoW;
}
one! {
    xxbrh SwapH;
    xxbrw SwapW;
    xxbrd SwapD;
    xxbrq SwapQ;
}
#[inline(always)]
fn abc<B: Builder>(b: &mut B, i: Insn) -> (B::W, B::W, B::W) {
    (b.vsr(i.xa()), b.vsr(i.xb()), b.vsr(i.xc()))
}
pub fn xxsel<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let (x, y, z) = abc(b, i);
    let r = b.w3(W3::Select, x, y, z);
    b.set_vsr(i.xt(), r);
    Ok(())
}
/// The target's old value is the second half of the table.
#[inline(always)]
fn permute<B: Builder>(b: &mut B, i: Insn, op: W3) -> R<B> {
    b.need(Facility::Vsx)?;
    let (x, t, control) = (b.vsr(i.xa()), b.vsr(i.xt()), b.vsr(i.xb()));
    let r = b.w3(op, x, t, control);
    b.set_vsr(i.xt(), r);
    Ok(())
}
pub fn xxperm<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    permute(b, i, W3::Perm)
}
pub fn xxpermr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    permute(b, i, W3::PermR)
}
pub fn xxpermdi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let (x, y) = (b.vsr(i.xa()), b.vsr(i.xb()));
    let hi = if i.bit(22) { b.w_lo(x) } else { b.w_hi(x) };
    let lo = if i.bit(23) { b.w_lo(y) } else { b.w_hi(y) };
    let r = b.w_pair(hi, lo);
    b.set_vsr(i.xt(), r);
    Ok(())
}
pub fn xxsldwi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let (x, y) = (b.vsr(i.xa()), b.vsr(i.xb()));
    let n = b.w_imm((32 * i.bits(22, 23)).into());
    let r = b.w3(W3::ShlDouble, x, y, n);
    b.set_vsr(i.xt(), r);
    Ok(())
}
pub fn xxspltw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let y = b.vsr(i.xb());
    let r = w2i(b, W2::SplatW, y, i.bits(14, 15).into());
    b.set_vsr(i.xt(), r);
    Ok(())
}
pub fn xxspltib<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    need_either(b, i.xt())?;
    let r = b.w_imm(u128::from(i.bits(13, 20)) * (u128::MAX / 0xff));
    b.set_vsr(i.xt(), r);
    Ok(())
}
/// The word at byte index UIM, rotating around the end, to word 1.
pub fn xxextractuw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let y = b.vsr(i.xb());
    let y = w2i(b, W2::RotQ, y, (8 * i.bits(12, 15)).into());
    let v = b.w_hi(y);
    let v = b.op2i(Op2::Shr, v, 32);
    let r = left(b, v);
    b.set_vsr(i.xt(), r);
    Ok(())
}
/// Word 1 to byte index UIM.
pub fn xxinsertw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let (t, y) = (b.vsr(i.xt()), b.vsr(i.xb()));
    let n = 8 * i.bits(12, 15);
    let mask = 0xffff_ffffu128 << 96;
    let word = w2i(b, W2::ShlQ, y, 32);
    let word = w2i(b, W2::ShrQ, word, n.into());
    let mask = b.w_imm(mask >> n);
    let r = b.w3(W3::Select, t, word, mask);
    b.set_vsr(i.xt(), r);
    Ok(())
}
/// Whether the least significant bits of all bytes are 1 (LT), are 0 (EQ).
pub fn xvtlsbb<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let y = b.vsr(i.xb());
    let (hi, lo) = (b.w_hi(y), b.w_lo(y));
    let low_bits = 0x0101_0101_0101_0101;
    let (all, any) = (b.op2(Op2::And, hi, lo), b.op2(Op2::Or, hi, lo));
    let (all, any) = (b.op2i(Op2::And, all, low_bits), b.op2i(Op2::And, any, low_bits));
    let (ones, zero) = (b.imm(low_bits), b.imm(0));
    let (all, none) = (b.rel(Rel::Eq, all, ones), b.rel(Rel::Eq, any, zero));
    let (all, none) = (b.c_value(all), b.c_value(none));
    let (all, none) = (b.op2i(Op2::Shl, all, 3), b.op2i(Op2::Shl, none, 1));
    let r = b.op2(Op2::Or, all, none);
    b.set_cr_field(i.bf(), r);
    Ok(())
}
/// Permute control vectors from the element masks in VRB.
#[inline(always)]
fn control<B: Builder>(b: &mut B, i: Insn, size: u32) -> R<B> {
    b.need(Facility::Vsx)?;
    if i.uim5() > 3 {
        return b.illegal();
    }
    let y = b.vsr(i.vrb() + 32);
    let r = w2i(b, W2::PermControl, y, (size * 4 + i.uim5()).into());
    b.set_vsr(i.xt(), r);
    Ok(())
}
pub fn xxgenpcvbm<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    control(b, i, 1)
}
pub fn xxgenpcvhm<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    control(b, i, 2)
}
pub fn xxgenpcvwm<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    control(b, i, 4)
}
pub fn xxgenpcvdm<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    control(b, i, 8)
}

// ---- prefixed ----

/// Target of 8RR:D-form: TX in bit 15.
const fn xt_8rr(i: Insn) -> u32 {
    i.bits(15, 15) << 5 | i.bits(6, 10)
}
pub fn xxspltiw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let r = b.w_imm(u128::from(i.imm32()) * (u128::MAX / 0xffff_ffff));
    b.set_vsr(xt_8rr(i), r);
    Ok(())
}
pub fn xxspltidp<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let d = rare::single_to_double(i.imm32());
    let r = b.w_imm(u128::from(d) << 64 | u128::from(d));
    b.set_vsr(xt_8rr(i), r);
    Ok(())
}
/// Word IX of both doublewords.
pub fn xxsplti32dx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let shift = if i.bit(14) { 0 } else { 32 };
    let both = |x: u64| u128::from(x << shift) << 64 | u128::from(x << shift);
    let t = b.vsr(xt_8rr(i));
    let t = w2i(b, W2::Andc, t, both(0xffff_ffff));
    let r = w2i(b, W2::Or, t, both(i.imm32().into()));
    b.set_vsr(xt_8rr(i), r);
    Ok(())
}
/// B where C's element is negative, else A.
#[inline(always)]
fn blend<B: Builder>(b: &mut B, i: Insn, expand: W1) -> R<B> {
    b.need(Facility::Vsx)?;
    let (x, y, z) = abc(b, i);
    let m = b.w1(expand, z);
    let r = b.w3(W3::Select, x, y, m);
    b.set_vsr(i.xt(), r);
    Ok(())
}
pub fn xxblendvb<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    blend(b, i, W1::ExpandB)
}
pub fn xxblendvh<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    blend(b, i, W1::ExpandH)
}
pub fn xxblendvw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    blend(b, i, W1::ExpandW)
}
pub fn xxblendvd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    blend(b, i, W1::ExpandD)
}
/// A permute of 256 bytes, of which A and B are section UIM; bytes from other sections become zero.
pub fn xxpermx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let (x, y, z) = abc(b, i);
    let every = u128::MAX / 0xff;
    let section = w2i(b, W2::And, z, 0xe0 * every);
    let here = w2i(b, W2::EqB, section, u128::from(i.pbits(29, 31) << 5) * every);
    let r = b.w3(W3::Perm, x, y, z);
    let r = b.w2(W2::And, r, here);
    b.set_vsr(i.xt(), r);
    Ok(())
}
/// One of the sixteen functions of two operands, by its truth table (bit 3: both 0, bit 0: both 1).
#[inline(always)]
fn truth_table<B: Builder>(b: &mut B, table: u32, x: B::W, y: B::W) -> B::W {
    match table {
        0 => b.w_imm(0),
        0b0001 => b.w2(W2::And, x, y),
        0b0010 => b.w2(W2::Andc, x, y),
        0b0011 => x,
        0b0100 => b.w2(W2::Andc, y, x),
        0b0101 => y,
        0b0110 => b.w2(W2::Xor, x, y),
        0b0111 => b.w2(W2::Or, x, y),
        0b1000 => b.w2(W2::Nor, x, y),
        0b1001 => b.w2(W2::Eqv, x, y),
        0b1010 => b.w1(W1::Not, y),
        0b1011 => b.w2(W2::Orc, x, y),
        0b1100 => b.w1(W1::Not, x),
        0b1101 => b.w2(W2::Orc, y, x),
        0b1110 => b.w2(W2::Nand, x, y),
        _ => b.w_imm(u128::MAX),
    }
}
/// Any function of three operands: IMM is its truth table, the result for A, B, C all 0 in the leftmost bit.
pub fn xxeval<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(Facility::Vsx)?;
    let (x, y, z) = abc(b, i);
    let imm = i.pbits(24, 31);
    let (zero, one) = (imm >> 4, imm & 15);
    let r = if zero == one {
        truth_table(b, zero, y, z)
    } else {
        let (zero, one) = (truth_table(b, zero, y, z), truth_table(b, one, y, z));
        b.w3(W3::Select, zero, one, x)
    };
    b.set_vsr(i.xt(), r);
    Ok(())
}
