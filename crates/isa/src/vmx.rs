//! VMX: vector loads and stores, logical, permute, merge, pack, splat, extract and insert instructions (Book I, 6.7
//! and 6.8). Vector register n is VSR n + 32.
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{
    Acc, Builder, Facility, Helper, Insn, Op1, Op2,
    load_store::ea_x,
    wide::{self, W1, W2, W3},
};

macro_rules! vmx_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* vmx {
        Lvebx      "lvebx"      x(31, 7)                      V2_06 "VRT,RA,RB" lvebx;
        Lvehx      "lvehx"      x(31, 39)                     V2_06 "VRT,RA,RB" lvehx;
        Lvewx      "lvewx"      x(31, 71)                     V2_06 "VRT,RA,RB" lvewx;
        Lvx        "lvx"        x(31, 103)                    V2_06 "VRT,RA,RB" lvx;
        Lvxl       "lvxl"       x(31, 359)                    V2_06 "VRT,RA,RB" lvxl;
        Stvebx     "stvebx"     x(31, 135)                    V2_06 "VRS,RA,RB" stvebx;
        Stvehx     "stvehx"     x(31, 167)                    V2_06 "VRS,RA,RB" stvehx;
        Stvewx     "stvewx"     x(31, 199)                    V2_06 "VRS,RA,RB" stvewx;
        Stvx       "stvx"       x(31, 231)                    V2_06 "VRS,RA,RB" stvx;
        Stvxl      "stvxl"      x(31, 487)                    V2_06 "VRS,RA,RB" stvxl;
        Lvsl       "lvsl"       x(31, 6)                      V2_06 "VRT,RA,RB" lvsl;
        Lvsr       "lvsr"       x(31, 38)                     V2_06 "VRT,RA,RB" lvsr;
        Vand       "vand"       vx(1028)                      V2_06 "VRT,VRA,VRB" vand;
        Vandc      "vandc"      vx(1092)                      V2_06 "VRT,VRA,VRB" vandc;
        Vor        "vor"        vx(1156)                      V2_06 "VRT,VRA,VRB" vor;
        Vxor       "vxor"       vx(1220)                      V2_06 "VRT,VRA,VRB" vxor;
        Vnor       "vnor"       vx(1284)                      V2_06 "VRT,VRA,VRB" vnor;
        Vnand      "vnand"      vx(1412)                      V2_07 "VRT,VRA,VRB" vnand;
        Vorc       "vorc"       vx(1348)                      V2_07 "VRT,VRA,VRB" vorc;
        Veqv       "veqv"       vx(1668)                      V2_07 "VRT,VRA,VRB" veqv;
        Vsel       "vsel"       va(42)                        V2_06 "VRT,VRA,VRB,VRC" vsel;
        Vperm      "vperm"      va(43)                        V2_06 "VRT,VRA,VRB,VRC" vperm;
        Vpermr     "vpermr"     va(59)                        V3_0  "VRT,VRA,VRB,VRC" vpermr;
        Vsldoi     "vsldoi"     va(44)                        V2_06 "VRT,VRA,VRB,SHB" vsldoi;
        Vsldbi     "vsldbi"     raw(0xfc00_063f, 0x1000_0016) V3_1  "VRT,VRA,VRB,SH" vsldbi;
        Vsrdbi     "vsrdbi"     raw(0xfc00_063f, 0x1000_0216) V3_1  "VRT,VRA,VRB,SH" vsrdbi;
        Vspltb     "vspltb"     vx(524)                       V2_06 "VRT,VRB,UIM" vspltb;
        Vsplth     "vsplth"     vx(588)                       V2_06 "VRT,VRB,UIM" vsplth;
        Vspltw     "vspltw"     vx(652)                       V2_06 "VRT,VRB,UIM" vspltw;
        Vspltisb   "vspltisb"   vx(780)                       V2_06 "VRT,SIM" vspltisb;
        Vspltish   "vspltish"   vx(844)                       V2_06 "VRT,SIM" vspltish;
        Vspltisw   "vspltisw"   vx(908)                       V2_06 "VRT,SIM" vspltisw;
        Vmrghb     "vmrghb"     vx(12)                        V2_06 "VRT,VRA,VRB" vmrghb;
        Vmrghh     "vmrghh"     vx(76)                        V2_06 "VRT,VRA,VRB" vmrghh;
        Vmrghw     "vmrghw"     vx(140)                       V2_06 "VRT,VRA,VRB" vmrghw;
        Vmrglb     "vmrglb"     vx(268)                       V2_06 "VRT,VRA,VRB" vmrglb;
        Vmrglh     "vmrglh"     vx(332)                       V2_06 "VRT,VRA,VRB" vmrglh;
        Vmrglw     "vmrglw"     vx(396)                       V2_06 "VRT,VRA,VRB" vmrglw;
        Vmrgew     "vmrgew"     vx(1932)                      V2_07 "VRT,VRA,VRB" vmrgew;
        Vmrgow     "vmrgow"     vx(1676)                      V2_07 "VRT,VRA,VRB" vmrgow;
        Vpkuhum    "vpkuhum"    vx(14)                        V2_06 "VRT,VRA,VRB" vpkuhum;
        Vpkuwum    "vpkuwum"    vx(78)                        V2_06 "VRT,VRA,VRB" vpkuwum;
        Vpkudum    "vpkudum"    vx(1102)                      V2_07 "VRT,VRA,VRB" vpkudum;
        Vpkpx      "vpkpx"      vx(782)                       V2_06 "VRT,VRA,VRB" vpkpx;
        Vpkshss    "vpkshss"    vx(398)                       V2_06 "VRT,VRA,VRB" vpkshss;
        Vpkshus    "vpkshus"    vx(270)                       V2_06 "VRT,VRA,VRB" vpkshus;
        Vpkuhus    "vpkuhus"    vx(142)                       V2_06 "VRT,VRA,VRB" vpkuhus;
        Vpkswss    "vpkswss"    vx(462)                       V2_06 "VRT,VRA,VRB" vpkswss;
        Vpkswus    "vpkswus"    vx(334)                       V2_06 "VRT,VRA,VRB" vpkswus;
        Vpkuwus    "vpkuwus"    vx(206)                       V2_06 "VRT,VRA,VRB" vpkuwus;
        Vpksdss    "vpksdss"    vx(1486)                      V2_07 "VRT,VRA,VRB" vpksdss;
        Vpksdus    "vpksdus"    vx(1358)                      V2_07 "VRT,VRA,VRB" vpksdus;
        Vpkudus    "vpkudus"    vx(1230)                      V2_07 "VRT,VRA,VRB" vpkudus;
        Vupkhsb    "vupkhsb"    vx(526)                       V2_06 "VRT,VRB" vupkhsb;
        Vupkhsh    "vupkhsh"    vx(590)                       V2_06 "VRT,VRB" vupkhsh;
        Vupkhsw    "vupkhsw"    vx(1614)                      V2_07 "VRT,VRB" vupkhsw;
        Vupkhpx    "vupkhpx"    vx(846)                       V2_06 "VRT,VRB" vupkhpx;
        Vupklsb    "vupklsb"    vx(654)                       V2_06 "VRT,VRB" vupklsb;
        Vupklsh    "vupklsh"    vx(718)                       V2_06 "VRT,VRB" vupklsh;
        Vupklsw    "vupklsw"    vx(1742)                      V2_07 "VRT,VRB" vupklsw;
        Vupklpx    "vupklpx"    vx(974)                       V2_06 "VRT,VRB" vupklpx;
        Vextddvlx  "vextddvlx"  va(30)                        V3_1  "VRT,VRA,VRB,RC" vextddvlx;
        Vextddvrx  "vextddvrx"  va(31)                        V3_1  "VRT,VRA,VRB,RC" vextddvrx;
        Vextdubvlx "vextdubvlx" va(24)                        V3_1  "VRT,VRA,VRB,RC" vextdubvlx;
        Vextdubvrx "vextdubvrx" va(25)                        V3_1  "VRT,VRA,VRB,RC" vextdubvrx;
        Vextduhvlx "vextduhvlx" va(26)                        V3_1  "VRT,VRA,VRB,RC" vextduhvlx;
        Vextduhvrx "vextduhvrx" va(27)                        V3_1  "VRT,VRA,VRB,RC" vextduhvrx;
        Vextduwvlx "vextduwvlx" va(28)                        V3_1  "VRT,VRA,VRB,RC" vextduwvlx;
        Vextduwvrx "vextduwvrx" va(29)                        V3_1  "VRT,VRA,VRB,RC" vextduwvrx;
        Vinsblx    "vinsblx"    vx(527)                       V3_1  "VRT,RA,RB" vinsblx;
        Vinsbrx    "vinsbrx"    vx(783)                       V3_1  "VRT,RA,RB" vinsbrx;
        Vinsbvlx   "vinsbvlx"   vx(15)                        V3_1  "VRT,RA,VRB" vinsbvlx;
        Vinsbvrx   "vinsbvrx"   vx(271)                       V3_1  "VRT,RA,VRB" vinsbvrx;
        Vinsd      "vinsd"      vx(463)                       V3_1  "VRT,RB,UIM" vinsd;
        Vinsdlx    "vinsdlx"    vx(719)                       V3_1  "VRT,RA,RB" vinsdlx;
        Vinsdrx    "vinsdrx"    vx(975)                       V3_1  "VRT,RA,RB" vinsdrx;
        Vinshlx    "vinshlx"    vx(591)                       V3_1  "VRT,RA,RB" vinshlx;
        Vinshrx    "vinshrx"    vx(847)                       V3_1  "VRT,RA,RB" vinshrx;
        Vinshvlx   "vinshvlx"   vx(79)                        V3_1  "VRT,RA,VRB" vinshvlx;
        Vinshvrx   "vinshvrx"   vx(335)                       V3_1  "VRT,RA,VRB" vinshvrx;
        Vinsw      "vinsw"      vx(207)                       V3_1  "VRT,RB,UIM" vinsw;
        Vinswlx    "vinswlx"    vx(655)                       V3_1  "VRT,RA,RB" vinswlx;
        Vinswrx    "vinswrx"    vx(911)                       V3_1  "VRT,RA,RB" vinswrx;
        Vinswvlx   "vinswvlx"   vx(143)                       V3_1  "VRT,RA,VRB" vinswvlx;
        Vinswvrx   "vinswvrx"   vx(399)                       V3_1  "VRT,RA,VRB" vinswvrx;
        Vextractd  "vextractd"  vx(717)                       V3_0  "VRT,VRB,UIM" vextractd;
        Vextractub "vextractub" vx(525)                       V3_0  "VRT,VRB,UIM" vextractub;
        Vextractuh "vextractuh" vx(589)                       V3_0  "VRT,VRB,UIM" vextractuh;
        Vextractuw "vextractuw" vx(653)                       V3_0  "VRT,VRB,UIM" vextractuw;
        Vextublx   "vextublx"   vx(1549)                      V3_0  "RT,RA,VRB" vextublx;
        Vextubrx   "vextubrx"   vx(1805)                      V3_0  "RT,RA,VRB" vextubrx;
        Vextuhlx   "vextuhlx"   vx(1613)                      V3_0  "RT,RA,VRB" vextuhlx;
        Vextuhrx   "vextuhrx"   vx(1869)                      V3_0  "RT,RA,VRB" vextuhrx;
        Vextuwlx   "vextuwlx"   vx(1677)                      V3_0  "RT,RA,VRB" vextuwlx;
        Vextuwrx   "vextuwrx"   vx(1933)                      V3_0  "RT,RA,VRB" vextuwrx;
        Vinsertb   "vinsertb"   vx(781)                       V3_0  "VRT,VRB,UIM" vinsertb;
        Vinsertd   "vinsertd"   vx(973)                       V3_0  "VRT,VRB,UIM" vinsertd;
        Vinserth   "vinserth"   vx(845)                       V3_0  "VRT,VRB,UIM" vinserth;
        Vinsertw   "vinsertw"   vx(909)                       V3_0  "VRT,VRB,UIM" vinsertw;
        Mtvsrbm    "mtvsrbm"    vx_a(1602, 16)                V3_1  "VRT,RB" mtvsrbm;
        Mtvsrhm    "mtvsrhm"    vx_a(1602, 17)                V3_1  "VRT,RB" mtvsrhm;
        Mtvsrwm    "mtvsrwm"    vx_a(1602, 18)                V3_1  "VRT,RB" mtvsrwm;
        Mtvsrdm    "mtvsrdm"    vx_a(1602, 19)                V3_1  "VRT,RB" mtvsrdm;
        Mtvsrqm    "mtvsrqm"    vx_a(1602, 20)                V3_1  "VRT,RB" mtvsrqm;
        Mtvsrbmi   "mtvsrbmi"   raw(0xfc00_003e, 0x1000_0014) V3_1  "VRT,bm" mtvsrbmi;
        Mfvscr     "mfvscr"     vx(1540)                      V2_06 "VRT" mfvscr;
        Mtvscr     "mtvscr"     vx(1604)                      V2_06 "VRB" mtvscr;
        Vclrlb     "vclrlb"     vx(397)                       V3_1  "VRT,VRA,RB" vclrlb;
        Vclrrb     "vclrrb"     vx(461)                       V3_1  "VRT,VRA,RB" vclrrb;
    } } } };
}
pub(crate) use vmx_rows;

/// VR operand A.
#[inline(always)]
pub(crate) fn va<B: Builder>(b: &mut B, i: Insn) -> B::W {
    b.vsr(i.vra() + 32)
}
/// VR operand B.
#[inline(always)]
pub(crate) fn vb<B: Builder>(b: &mut B, i: Insn) -> B::W {
    b.vsr(i.vrb() + 32)
}
/// VR operand C.
#[inline(always)]
pub(crate) fn vc<B: Builder>(b: &mut B, i: Insn) -> B::W {
    b.vsr(i.vrc() + 32)
}
/// The target VR as an operand.
#[inline(always)]
pub(crate) fn vt<B: Builder>(b: &mut B, i: Insn) -> B::W {
    b.vsr(i.vrt() + 32)
}
/// Write the target VR.
#[inline(always)]
pub(crate) fn set_vt<B: Builder>(b: &mut B, i: Insn, w: B::W) {
    b.set_vsr(i.vrt() + 32, w);
}
/// Two-operand operation with a constant.
#[inline(always)]
pub(crate) fn w2i<B: Builder>(b: &mut B, op: W2, a: B::W, x: u128) -> B::W {
    let x = b.w_imm(x);
    b.w2(op, a, x)
}
/// A number as a quadword.
#[inline(always)]
pub(crate) fn quad<B: Builder>(b: &mut B, v: B::V) -> B::W {
    let zero = b.imm(0);
    b.w_pair(zero, v)
}
/// A number as doubleword 0, zeros behind.
#[inline(always)]
pub(crate) fn left<B: Builder>(b: &mut B, v: B::V) -> B::W {
    let zero = b.imm(0);
    b.w_pair(v, zero)
}
/// The low `size` bytes of `v`, zero-extended.
#[inline(always)]
pub(crate) fn low_bytes<B: Builder>(b: &mut B, v: B::V, size: u32) -> B::V {
    match size {
        1 => b.op1(Op1::Extu8, v),
        2 => b.op1(Op1::Extu16, v),
        4 => b.op1(Op1::Extu32, v),
        _ => v,
    }
}
const fn ones(size: u32) -> u128 {
    u128::MAX >> (128 - 8 * size)
}

/// How many bits to the left of the register's right end the element of `size` bytes at byte index `index` (counted
/// from the left or from the right) ends.
#[inline(always)]
fn place<B: Builder>(b: &mut B, index: B::V, size: u32, right: bool) -> B::W {
    let n = if right {
        b.op2i(Op2::Shl, index, 3)
    } else {
        let top = b.imm(u64::from(128 - 8 * size));
        let n = b.op2i(Op2::Shl, index, 3);
        b.op2(Op2::Sub, top, n)
    };
    quad(b, n)
}
/// The element that [`place`] found.
#[inline(always)]
fn pick<B: Builder>(b: &mut B, w: B::W, place: B::W, size: u32) -> B::V {
    let w = b.w2(W2::ShrQ, w, place);
    let v = b.w_lo(w);
    low_bytes(b, v, size)
}
/// `w` with the element at `place` replaced by the low bytes of `v`.
#[inline(always)]
fn put<B: Builder>(b: &mut B, w: B::W, place: B::W, size: u32, v: B::V) -> B::W {
    let mask = b.w_imm(ones(size));
    let mask = b.w2(W2::ShlQ, mask, place);
    let v = quad(b, v);
    let v = b.w2(W2::ShlQ, v, place);
    b.w3(W3::Select, w, v, mask)
}

macro_rules! one {
    ($($f:ident $op:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let y = crate::vmx::vb(b, i);
            let r = b.w1(W1::$op, y);
            crate::vmx::set_vt(b, i, r);
            Ok(())
        }
    )* };
}
macro_rules! two {
    (@ $w2:ident $($f:ident $op:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let (x, y) = (crate::vmx::va(b, i), crate::vmx::vb(b, i));
            let r = b.$w2(W2::$op, x, y);
            crate::vmx::set_vt(b, i, r);
            Ok(())
        }
    )* };
    ($($t:tt)*) => { crate::vmx::two! { @ w2 $($t)* } };
}
macro_rules! two_sat {
    ($($t:tt)*) => { crate::vmx::two! { @ w2_sat $($t)* } };
}
macro_rules! three {
    (@ $w3:ident $($f:ident $op:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let (x, y, z) = (crate::vmx::va(b, i), crate::vmx::vb(b, i), crate::vmx::vc(b, i));
            let r = b.$w3(W3::$op, x, y, z);
            crate::vmx::set_vt(b, i, r);
            Ok(())
        }
    )* };
    ($($t:tt)*) => { crate::vmx::three! { @ w3 $($t)* } };
}
macro_rules! three_sat {
    ($($t:tt)*) => { crate::vmx::three! { @ w3_sat $($t)* } };
}
pub(crate) use {one, three, three_sat, two, two_sat};

two! {
    vand And;
    vandc Andc;
    vor Or;
    vxor Xor;
    vnor Nor;
    vnand Nand;
    vorc Orc;
    veqv Eqv;
    vmrghb MergeHiB;
    vmrghh MergeHiH;
    vmrghw MergeHiW;
    vmrglb MergeLoB;
    vmrglh MergeLoH;
    vmrglw MergeLoW;
    vmrgew MergeEvenW;
    vmrgow MergeOddW;
    vpkuhum PackH;
    vpkuwum PackW;
    vpkudum PackD;
    vpkpx PackPx;
}
two_sat! {
    vpkshss PackHSs;
    vpkshus PackHSu;
    vpkuhus PackHUu;
    vpkswss PackWSs;
    vpkswus PackWSu;
    vpkuwus PackWUu;
    vpksdss PackDSs;
    vpksdus PackDSu;
    vpkudus PackDUu;
}
one! {
    vupkhsb UnpackHiB;
    vupkhsh UnpackHiH;
    vupkhsw UnpackHiW;
    vupkhpx UnpackHiPx;
    vupklsb UnpackLoB;
    vupklsh UnpackLoH;
    vupklsw UnpackLoW;
    vupklpx UnpackLoPx;
}
three! {
    vsel Select;
    vperm Perm;
    vpermr PermR;
}

/// The element at the aligned address goes to every element: those that the manual leaves undefined get it too.
#[inline(always)]
fn load_element<B: Builder>(b: &mut B, i: Insn, size: u8, splat: W2) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let ea = ea_x(b, i.ra(), i.rb());
    let ea = b.op2i(Op2::And, ea, !u64::from(size - 1));
    let v = b.load(ea, Acc::u(size))?;
    let w = quad(b, v);
    let w = w2i(b, splat, w, u128::MAX);
    set_vt(b, i, w);
    Ok(())
}
pub fn lvebx<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    load_element(b, i, 1, W2::SplatB)
}
pub fn lvehx<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    load_element(b, i, 2, W2::SplatH)
}
pub fn lvewx<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    load_element(b, i, 4, W2::SplatW)
}
pub fn lvx<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let ea = ea_x(b, i.ra(), i.rb());
    let ea = b.op2i(Op2::And, ea, !15);
    let w = b.load_w(ea, 16)?;
    set_vt(b, i, w);
    Ok(())
}
pub fn lvxl<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    lvx(b, i)
}
/// The element that the address chooses within the register, as the mode's byte order places it.
#[inline(always)]
fn store_element<B: Builder>(b: &mut B, i: Insn, size: u8) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let ea = ea_x(b, i.ra(), i.rb());
    let ea = b.op2i(Op2::And, ea, !u64::from(size - 1));
    let index = b.op2i(Op2::And, ea, 15);
    let right = b.mode().le;
    let at = place(b, index, size.into(), right);
    let w = vt(b, i);
    let v = pick(b, w, at, size.into());
    b.store(ea, v, Acc::u(size))
}
pub fn stvebx<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    store_element(b, i, 1)
}
pub fn stvehx<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    store_element(b, i, 2)
}
pub fn stvewx<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    store_element(b, i, 4)
}
pub fn stvx<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let ea = ea_x(b, i.ra(), i.rb());
    let ea = b.op2i(Op2::And, ea, !15);
    let w = vt(b, i);
    b.store_w(ea, w, 16)
}
pub fn stvxl<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    stvx(b, i)
}
/// `base` plus or minus the low four bits of the address in every byte.
#[inline(always)]
fn shift_control<B: Builder>(b: &mut B, i: Insn, base: u128, op: W2) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let ea = ea_x(b, i.ra(), i.rb());
    let sh = b.op2i(Op2::And, ea, 15);
    let sh = quad(b, sh);
    let sh = w2i(b, W2::SplatB, sh, 15);
    let base = b.w_imm(base);
    let r = b.w2(op, base, sh);
    set_vt(b, i, r);
    Ok(())
}
pub fn lvsl<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_control(b, i, 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f, W2::AddB)
}
pub fn lvsr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_control(b, i, 0x1011_1213_1415_1617_1819_1a1b_1c1d_1e1f, W2::SubB)
}

/// Leftmost quadword of VRA || VRB shifted left by a constant number of bits.
#[inline(always)]
fn shift_pair<B: Builder>(b: &mut B, i: Insn, bits: u32) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let (x, y) = (va(b, i), vb(b, i));
    let n = b.w_imm(bits.into());
    let r = b.w3(W3::ShlDouble, x, y, n);
    set_vt(b, i, r);
    Ok(())
}
pub fn vsldoi<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_pair(b, i, 8 * i.shb())
}
pub fn vsldbi<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_pair(b, i, i.bits(23, 25))
}
pub fn vsrdbi<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_pair(b, i, 128 - i.bits(23, 25))
}

#[inline(always)]
fn splat<B: Builder>(b: &mut B, i: Insn, op: W2) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let y = vb(b, i);
    let r = w2i(b, op, y, i.uim5().into());
    set_vt(b, i, r);
    Ok(())
}
pub fn vspltb<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    splat(b, i, W2::SplatB)
}
pub fn vsplth<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    splat(b, i, W2::SplatH)
}
pub fn vspltw<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    splat(b, i, W2::SplatW)
}
/// The signed immediate in every element of `op`'s size.
#[inline(always)]
fn splat_imm<B: Builder>(b: &mut B, i: Insn, op: W2) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let sim = ((i.uim5() << 27) as i32 >> 27) as u32;
    let r = b.w_imm(wide::eval2(op, sim.into(), u128::MAX));
    set_vt(b, i, r);
    Ok(())
}
pub fn vspltisb<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    splat_imm(b, i, W2::SplatB)
}
pub fn vspltish<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    splat_imm(b, i, W2::SplatH)
}
pub fn vspltisw<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    splat_imm(b, i, W2::SplatW)
}

/// Byte index in bits 12..15.
const fn uim4(i: Insn) -> u64 {
    i.bits(12, 15) as u64
}

macro_rules! extract_imm {
    ($($f:ident $size:literal;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let y = vb(b, i);
            let at = b.imm(uim4(i));
            let at = place(b, at, $size, false);
            let v = pick(b, y, at, $size);
            let r = left(b, v);
            set_vt(b, i, r);
            Ok(())
        }
    )* };
}
extract_imm! {
    vextractub 1;
    vextractuh 2;
    vextractuw 4;
    vextractd 8;
}

macro_rules! extract_gpr {
    ($($f:ident $size:literal $right:literal;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let y = vb(b, i);
            let index = b.gpr(i.ra());
            let index = b.op2i(Op2::And, index, 15);
            let at = place(b, index, $size, $right);
            let v = pick(b, y, at, $size);
            b.set_gpr(i.rt(), v);
            Ok(())
        }
    )* };
}
extract_gpr! {
    vextublx 1 false;
    vextubrx 1 true;
    vextuhlx 2 false;
    vextuhrx 2 true;
    vextuwlx 4 false;
    vextuwrx 4 true;
}

macro_rules! extract_double {
    ($($f:ident $size:literal $right:literal;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let (x, y) = (va(b, i), vb(b, i));
            let index = b.gpr(i.rc_reg());
            let index = b.op2i(Op2::And, index, 31);
            // The element's first byte to the left end.
            let n = if $right {
                let last = b.imm(32 - $size);
                b.op2(Op2::Sub, last, index)
            } else {
                index
            };
            let n = b.op2i(Op2::Shl, n, 3);
            let n = quad(b, n);
            let w = b.w3(W3::ShlDouble, x, y, n);
            let v = b.w_hi(w);
            let v = b.op2i(Op2::Shr, v, 64 - 8 * $size);
            let r = left(b, v);
            set_vt(b, i, r);
            Ok(())
        }
    )* };
}
extract_double! {
    vextdubvlx 1 false;
    vextdubvrx 1 true;
    vextduhvlx 2 false;
    vextduhvrx 2 true;
    vextduwvlx 4 false;
    vextduwvrx 4 true;
    vextddvlx 8 false;
    vextddvrx 8 true;
}

/// Replace the element at an index known at decode time.
#[inline(always)]
fn insert_imm<B: Builder>(b: &mut B, i: Insn, size: u32, v: B::V) -> Result<(), B::Stop> {
    let at = b.imm(uim4(i));
    let at = place(b, at, size, false);
    let t = vt(b, i);
    let r = put(b, t, at, size, v);
    set_vt(b, i, r);
    Ok(())
}
macro_rules! insert_imm {
    ($($f:ident $size:literal;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let y = vb(b, i);
            let v = b.w_hi(y);
            insert_imm(b, i, $size, v)
        }
    )* };
}
insert_imm! {
    vinsertb 1;
    vinserth 2;
    vinsertw 4;
    vinsertd 8;
}
macro_rules! insert_gpr_imm {
    ($($f:ident $size:literal;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let v = b.gpr(i.rb());
            insert_imm(b, i, $size, v)
        }
    )* };
}
insert_gpr_imm! {
    vinsw 4;
    vinsd 8;
}
/// Replace the element at the byte index in GPR RA.
#[inline(always)]
fn insert_at<B: Builder>(b: &mut B, i: Insn, size: u32, right: bool, v: B::V) -> Result<(), B::Stop> {
    let index = b.gpr(i.ra());
    let index = b.op2i(Op2::And, index, 15);
    let at = place(b, index, size, right);
    let t = vt(b, i);
    let r = put(b, t, at, size, v);
    set_vt(b, i, r);
    Ok(())
}
macro_rules! insert_at {
    ($($gpr:ident $vec:ident $size:literal $right:literal;)*) => { $(
        pub fn $gpr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let v = b.gpr(i.rb());
            insert_at(b, i, $size, $right, v)
        }
    )*
    insert_at! { @ $($vec $size $right;)* } };
    (@ $($vec:ident $size:literal $right:literal;)*) => { $(
        pub fn $vec<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let y = vb(b, i);
            let v = b.w_hi(y);
            insert_at(b, i, $size, $right, v)
        }
    )* };
}
insert_at! {
    vinsblx vinsbvlx 1 false;
    vinsbrx vinsbvrx 1 true;
    vinshlx vinshvlx 2 false;
    vinshrx vinshvrx 2 true;
    vinswlx vinswvlx 4 false;
    vinswrx vinswvrx 4 true;
}
macro_rules! insert_double {
    ($($f:ident $right:literal;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let v = b.gpr(i.rb());
            insert_at(b, i, 8, $right, v)
        }
    )* };
}
insert_double! {
    vinsdlx false;
    vinsdrx true;
}

macro_rules! unmask {
    ($($f:ident $op:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let v = b.gpr(i.rb());
            let w = quad(b, v);
            let r = b.w1(W1::$op, w);
            set_vt(b, i, r);
            Ok(())
        }
    )* };
}
unmask! {
    mtvsrbm UnmaskB;
    mtvsrhm UnmaskH;
    mtvsrwm UnmaskW;
    mtvsrdm UnmaskD;
    mtvsrqm UnmaskQ;
}
pub fn mtvsrbmi<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let r = b.w_imm(wide::eval1(W1::UnmaskB, (i.dx() as u16).into()));
    set_vt(b, i, r);
    Ok(())
}
pub fn mfvscr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    b.helper(Helper::Mfvscr, i)
}
pub fn mtvscr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    b.helper(Helper::Mtvscr, i)
}
/// Keep as many bytes of VRA as GPR RB says.
#[inline(always)]
fn keep<B: Builder>(b: &mut B, i: Insn, op: W2) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let x = va(b, i);
    let n = b.gpr(i.rb());
    let n = quad(b, n);
    let r = b.w2(op, x, n);
    set_vt(b, i, r);
    Ok(())
}
pub fn vclrlb<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    keep(b, i, W2::KeepRight)
}
pub fn vclrrb<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    keep(b, i, W2::KeepLeft)
}
