//! VMX integer arithmetic: sums, products, quotients, comparisons, rotates and shifts (Book I, 6.9).
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{
    Builder, Facility, Insn,
    vmx::{one, set_vt, three, three_sat, two, two_sat, va, vb, vt, w2i},
    wide::{W1, W2, W3},
};

macro_rules! vmx_int_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* vmx_int {
        Vaddubm    "vaddubm"    vx(0)          V2_06 "VRT,VRA,VRB" vaddubm;
        Vsububm    "vsububm"    vx(1024)       V2_06 "VRT,VRA,VRB" vsububm;
        Vadduhm    "vadduhm"    vx(64)         V2_06 "VRT,VRA,VRB" vadduhm;
        Vsubuhm    "vsubuhm"    vx(1088)       V2_06 "VRT,VRA,VRB" vsubuhm;
        Vadduwm    "vadduwm"    vx(128)        V2_06 "VRT,VRA,VRB" vadduwm;
        Vsubuwm    "vsubuwm"    vx(1152)       V2_06 "VRT,VRA,VRB" vsubuwm;
        Vaddudm    "vaddudm"    vx(192)        V2_07 "VRT,VRA,VRB" vaddudm;
        Vsubudm    "vsubudm"    vx(1216)       V2_07 "VRT,VRA,VRB" vsubudm;
        Vadduqm    "vadduqm"    vx(256)        V2_07 "VRT,VRA,VRB" vadduqm;
        Vsubuqm    "vsubuqm"    vx(1280)       V2_07 "VRT,VRA,VRB" vsubuqm;
        Vaddcuw    "vaddcuw"    vx(384)        V2_06 "VRT,VRA,VRB" vaddcuw;
        Vaddcuq    "vaddcuq"    vx(320)        V2_07 "VRT,VRA,VRB" vaddcuq;
        Vsubcuw    "vsubcuw"    vx(1408)       V2_06 "VRT,VRA,VRB" vsubcuw;
        Vsubcuq    "vsubcuq"    vx(1344)       V2_07 "VRT,VRA,VRB" vsubcuq;
        Vavgsb     "vavgsb"     vx(1282)       V2_06 "VRT,VRA,VRB" vavgsb;
        Vavgub     "vavgub"     vx(1026)       V2_06 "VRT,VRA,VRB" vavgub;
        Vabsdub    "vabsdub"    vx(1027)       V3_0  "VRT,VRA,VRB" vabsdub;
        Vavgsh     "vavgsh"     vx(1346)       V2_06 "VRT,VRA,VRB" vavgsh;
        Vavguh     "vavguh"     vx(1090)       V2_06 "VRT,VRA,VRB" vavguh;
        Vabsduh    "vabsduh"    vx(1091)       V3_0  "VRT,VRA,VRB" vabsduh;
        Vavgsw     "vavgsw"     vx(1410)       V2_06 "VRT,VRA,VRB" vavgsw;
        Vavguw     "vavguw"     vx(1154)       V2_06 "VRT,VRA,VRB" vavguw;
        Vabsduw    "vabsduw"    vx(1155)       V3_0  "VRT,VRA,VRB" vabsduw;
        Vmaxsb     "vmaxsb"     vx(258)        V2_06 "VRT,VRA,VRB" vmaxsb;
        Vmaxub     "vmaxub"     vx(2)          V2_06 "VRT,VRA,VRB" vmaxub;
        Vminsb     "vminsb"     vx(770)        V2_06 "VRT,VRA,VRB" vminsb;
        Vminub     "vminub"     vx(514)        V2_06 "VRT,VRA,VRB" vminub;
        Vmulesb    "vmulesb"    vx(776)        V2_06 "VRT,VRA,VRB" vmulesb;
        Vmulosb    "vmulosb"    vx(264)        V2_06 "VRT,VRA,VRB" vmulosb;
        Vmuleub    "vmuleub"    vx(520)        V2_06 "VRT,VRA,VRB" vmuleub;
        Vmuloub    "vmuloub"    vx(8)          V2_06 "VRT,VRA,VRB" vmuloub;
        Vmaxsh     "vmaxsh"     vx(322)        V2_06 "VRT,VRA,VRB" vmaxsh;
        Vmaxuh     "vmaxuh"     vx(66)         V2_06 "VRT,VRA,VRB" vmaxuh;
        Vminsh     "vminsh"     vx(834)        V2_06 "VRT,VRA,VRB" vminsh;
        Vminuh     "vminuh"     vx(578)        V2_06 "VRT,VRA,VRB" vminuh;
        Vmulesh    "vmulesh"    vx(840)        V2_06 "VRT,VRA,VRB" vmulesh;
        Vmulosh    "vmulosh"    vx(328)        V2_06 "VRT,VRA,VRB" vmulosh;
        Vmuleuh    "vmuleuh"    vx(584)        V2_06 "VRT,VRA,VRB" vmuleuh;
        Vmulouh    "vmulouh"    vx(72)         V2_06 "VRT,VRA,VRB" vmulouh;
        Vmaxsw     "vmaxsw"     vx(386)        V2_06 "VRT,VRA,VRB" vmaxsw;
        Vmaxuw     "vmaxuw"     vx(130)        V2_06 "VRT,VRA,VRB" vmaxuw;
        Vminsw     "vminsw"     vx(898)        V2_06 "VRT,VRA,VRB" vminsw;
        Vminuw     "vminuw"     vx(642)        V2_06 "VRT,VRA,VRB" vminuw;
        Vmulesw    "vmulesw"    vx(904)        V2_07 "VRT,VRA,VRB" vmulesw;
        Vmulosw    "vmulosw"    vx(392)        V2_07 "VRT,VRA,VRB" vmulosw;
        Vmuleuw    "vmuleuw"    vx(648)        V2_07 "VRT,VRA,VRB" vmuleuw;
        Vmulouw    "vmulouw"    vx(136)        V2_07 "VRT,VRA,VRB" vmulouw;
        Vmaxsd     "vmaxsd"     vx(450)        V2_07 "VRT,VRA,VRB" vmaxsd;
        Vmaxud     "vmaxud"     vx(194)        V2_07 "VRT,VRA,VRB" vmaxud;
        Vminsd     "vminsd"     vx(962)        V2_07 "VRT,VRA,VRB" vminsd;
        Vminud     "vminud"     vx(706)        V2_07 "VRT,VRA,VRB" vminud;
        Vmulesd    "vmulesd"    vx(968)        V3_1  "VRT,VRA,VRB" vmulesd;
        Vmulosd    "vmulosd"    vx(456)        V3_1  "VRT,VRA,VRB" vmulosd;
        Vmuleud    "vmuleud"    vx(712)        V3_1  "VRT,VRA,VRB" vmuleud;
        Vmuloud    "vmuloud"    vx(200)        V3_1  "VRT,VRA,VRB" vmuloud;
        Vmuluwm    "vmuluwm"    vx(137)        V2_07 "VRT,VRA,VRB" vmuluwm;
        Vmulld     "vmulld"     vx(457)        V3_1  "VRT,VRA,VRB" vmulld;
        Vmulhsw    "vmulhsw"    vx(905)        V3_1  "VRT,VRA,VRB" vmulhsw;
        Vmulhuw    "vmulhuw"    vx(649)        V3_1  "VRT,VRA,VRB" vmulhuw;
        Vmulhsd    "vmulhsd"    vx(969)        V3_1  "VRT,VRA,VRB" vmulhsd;
        Vmulhud    "vmulhud"    vx(713)        V3_1  "VRT,VRA,VRB" vmulhud;
        Vdivsw     "vdivsw"     vx(395)        V3_1  "VRT,VRA,VRB" vdivsw;
        Vdivesw    "vdivesw"    vx(907)        V3_1  "VRT,VRA,VRB" vdivesw;
        Vmodsw     "vmodsw"     vx(1931)       V3_1  "VRT,VRA,VRB" vmodsw;
        Vdivuw     "vdivuw"     vx(139)        V3_1  "VRT,VRA,VRB" vdivuw;
        Vdiveuw    "vdiveuw"    vx(651)        V3_1  "VRT,VRA,VRB" vdiveuw;
        Vmoduw     "vmoduw"     vx(1675)       V3_1  "VRT,VRA,VRB" vmoduw;
        Vdivsd     "vdivsd"     vx(459)        V3_1  "VRT,VRA,VRB" vdivsd;
        Vdivesd    "vdivesd"    vx(971)        V3_1  "VRT,VRA,VRB" vdivesd;
        Vmodsd     "vmodsd"     vx(1995)       V3_1  "VRT,VRA,VRB" vmodsd;
        Vdivud     "vdivud"     vx(203)        V3_1  "VRT,VRA,VRB" vdivud;
        Vdiveud    "vdiveud"    vx(715)        V3_1  "VRT,VRA,VRB" vdiveud;
        Vmodud     "vmodud"     vx(1739)       V3_1  "VRT,VRA,VRB" vmodud;
        Vdivsq     "vdivsq"     vx(267)        V3_1  "VRT,VRA,VRB" vdivsq;
        Vdivesq    "vdivesq"    vx(779)        V3_1  "VRT,VRA,VRB" vdivesq;
        Vmodsq     "vmodsq"     vx(1803)       V3_1  "VRT,VRA,VRB" vmodsq;
        Vdivuq     "vdivuq"     vx(11)         V3_1  "VRT,VRA,VRB" vdivuq;
        Vdiveuq    "vdiveuq"    vx(523)        V3_1  "VRT,VRA,VRB" vdiveuq;
        Vmoduq     "vmoduq"     vx(1547)       V3_1  "VRT,VRA,VRB" vmoduq;
        Vmul10euq  "vmul10euq"  vx(577)        V3_0  "VRT,VRA,VRB" vmul10euq;
        Vmul10ecuq "vmul10ecuq" vx(65)         V3_0  "VRT,VRA,VRB" vmul10ecuq;
        Vaddsbs    "vaddsbs"    vx(768)        V2_06 "VRT,VRA,VRB" vaddsbs;
        Vaddubs    "vaddubs"    vx(512)        V2_06 "VRT,VRA,VRB" vaddubs;
        Vsubsbs    "vsubsbs"    vx(1792)       V2_06 "VRT,VRA,VRB" vsubsbs;
        Vsububs    "vsububs"    vx(1536)       V2_06 "VRT,VRA,VRB" vsububs;
        Vaddshs    "vaddshs"    vx(832)        V2_06 "VRT,VRA,VRB" vaddshs;
        Vadduhs    "vadduhs"    vx(576)        V2_06 "VRT,VRA,VRB" vadduhs;
        Vsubshs    "vsubshs"    vx(1856)       V2_06 "VRT,VRA,VRB" vsubshs;
        Vsubuhs    "vsubuhs"    vx(1600)       V2_06 "VRT,VRA,VRB" vsubuhs;
        Vaddsws    "vaddsws"    vx(896)        V2_06 "VRT,VRA,VRB" vaddsws;
        Vadduws    "vadduws"    vx(640)        V2_06 "VRT,VRA,VRB" vadduws;
        Vsubsws    "vsubsws"    vx(1920)       V2_06 "VRT,VRA,VRB" vsubsws;
        Vsubuws    "vsubuws"    vx(1664)       V2_06 "VRT,VRA,VRB" vsubuws;
        Vsum4sbs   "vsum4sbs"   vx(1800)       V2_06 "VRT,VRA,VRB" vsum4sbs;
        Vsum4shs   "vsum4shs"   vx(1608)       V2_06 "VRT,VRA,VRB" vsum4shs;
        Vsum4ubs   "vsum4ubs"   vx(1544)       V2_06 "VRT,VRA,VRB" vsum4ubs;
        Vsum2sws   "vsum2sws"   vx(1672)       V2_06 "VRT,VRA,VRB" vsum2sws;
        Vsumsws    "vsumsws"    vx(1928)       V2_06 "VRT,VRA,VRB" vsumsws;
        Vcmpequb   "vcmpequb"   vc(6)          V2_06 "VRT,VRA,VRB" vcmpequb;
        Vcmpgtsb   "vcmpgtsb"   vc(774)        V2_06 "VRT,VRA,VRB" vcmpgtsb;
        Vcmpgtub   "vcmpgtub"   vc(518)        V2_06 "VRT,VRA,VRB" vcmpgtub;
        Vcmpequh   "vcmpequh"   vc(70)         V2_06 "VRT,VRA,VRB" vcmpequh;
        Vcmpgtsh   "vcmpgtsh"   vc(838)        V2_06 "VRT,VRA,VRB" vcmpgtsh;
        Vcmpgtuh   "vcmpgtuh"   vc(582)        V2_06 "VRT,VRA,VRB" vcmpgtuh;
        Vcmpequw   "vcmpequw"   vc(134)        V2_06 "VRT,VRA,VRB" vcmpequw;
        Vcmpgtsw   "vcmpgtsw"   vc(902)        V2_06 "VRT,VRA,VRB" vcmpgtsw;
        Vcmpgtuw   "vcmpgtuw"   vc(646)        V2_06 "VRT,VRA,VRB" vcmpgtuw;
        Vcmpequd   "vcmpequd"   vc(199)        V2_07 "VRT,VRA,VRB" vcmpequd;
        Vcmpgtsd   "vcmpgtsd"   vc(967)        V2_07 "VRT,VRA,VRB" vcmpgtsd;
        Vcmpgtud   "vcmpgtud"   vc(711)        V2_07 "VRT,VRA,VRB" vcmpgtud;
        Vcmpequq   "vcmpequq"   vc(455)        V3_1  "VRT,VRA,VRB" vcmpequq;
        Vcmpgtsq   "vcmpgtsq"   vc(903)        V3_1  "VRT,VRA,VRB" vcmpgtsq;
        Vcmpgtuq   "vcmpgtuq"   vc(647)        V3_1  "VRT,VRA,VRB" vcmpgtuq;
        Vcmpneb    "vcmpneb"    vc(7)          V3_0  "VRT,VRA,VRB" vcmpneb;
        Vcmpnezb   "vcmpnezb"   vc(263)        V3_0  "VRT,VRA,VRB" vcmpnezb;
        Vcmpneh    "vcmpneh"    vc(71)         V3_0  "VRT,VRA,VRB" vcmpneh;
        Vcmpnezh   "vcmpnezh"   vc(327)        V3_0  "VRT,VRA,VRB" vcmpnezh;
        Vcmpnew    "vcmpnew"    vc(135)        V3_0  "VRT,VRA,VRB" vcmpnew;
        Vcmpnezw   "vcmpnezw"   vc(391)        V3_0  "VRT,VRA,VRB" vcmpnezw;
        Vnegw      "vnegw"      vx_a(1538, 6)  V3_0  "VRT,VRB" vnegw;
        Vnegd      "vnegd"      vx_a(1538, 7)  V3_0  "VRT,VRB" vnegd;
        Vprtybw    "vprtybw"    vx_a(1538, 8)  V3_0  "VRT,VRB" vprtybw;
        Vprtybd    "vprtybd"    vx_a(1538, 9)  V3_0  "VRT,VRB" vprtybd;
        Vprtybq    "vprtybq"    vx_a(1538, 10) V3_0  "VRT,VRB" vprtybq;
        Vextsb2w   "vextsb2w"   vx_a(1538, 16) V3_0  "VRT,VRB" vextsb2w;
        Vextsh2w   "vextsh2w"   vx_a(1538, 17) V3_0  "VRT,VRB" vextsh2w;
        Vextsb2d   "vextsb2d"   vx_a(1538, 24) V3_0  "VRT,VRB" vextsb2d;
        Vextsh2d   "vextsh2d"   vx_a(1538, 25) V3_0  "VRT,VRB" vextsh2d;
        Vextsw2d   "vextsw2d"   vx_a(1538, 26) V3_0  "VRT,VRB" vextsw2d;
        Vextsd2q   "vextsd2q"   vx_a(1538, 27) V3_1  "VRT,VRB" vextsd2q;
        Vaddeuqm   "vaddeuqm"   va(60)         V2_07 "VRT,VRA,VRB,VRC" vaddeuqm;
        Vaddecuq   "vaddecuq"   va(61)         V2_07 "VRT,VRA,VRB,VRC" vaddecuq;
        Vsubeuqm   "vsubeuqm"   va(62)         V2_07 "VRT,VRA,VRB,VRC" vsubeuqm;
        Vsubecuq   "vsubecuq"   va(63)         V2_07 "VRT,VRA,VRB,VRC" vsubecuq;
        Vmsumubm   "vmsumubm"   va(36)         V2_06 "VRT,VRA,VRB,VRC" vmsumubm;
        Vmsummbm   "vmsummbm"   va(37)         V2_06 "VRT,VRA,VRB,VRC" vmsummbm;
        Vmsumshm   "vmsumshm"   va(40)         V2_06 "VRT,VRA,VRB,VRC" vmsumshm;
        Vmsumuhm   "vmsumuhm"   va(38)         V2_06 "VRT,VRA,VRB,VRC" vmsumuhm;
        Vmsumudm   "vmsumudm"   va(35)         V3_0  "VRT,VRA,VRB,VRC" vmsumudm;
        Vmsumcud   "vmsumcud"   va(23)         V3_1  "VRT,VRA,VRB,VRC" vmsumcud;
        Vmladduhm  "vmladduhm"  va(34)         V2_06 "VRT,VRA,VRB,VRC" vmladduhm;
        Vmsumshs   "vmsumshs"   va(41)         V2_06 "VRT,VRA,VRB,VRC" vmsumshs;
        Vmsumuhs   "vmsumuhs"   va(39)         V2_06 "VRT,VRA,VRB,VRC" vmsumuhs;
        Vmhaddshs  "vmhaddshs"  va(32)         V2_06 "VRT,VRA,VRB,VRC" vmhaddshs;
        Vmhraddshs "vmhraddshs" va(33)         V2_06 "VRT,VRA,VRB,VRC" vmhraddshs;
        Vrlb       "vrlb"       vx(4)          V2_06 "VRT,VRA,VRB" vrlb;
        Vslb       "vslb"       vx(260)        V2_06 "VRT,VRA,VRB" vslb;
        Vsrb       "vsrb"       vx(516)        V2_06 "VRT,VRA,VRB" vsrb;
        Vsrab      "vsrab"      vx(772)        V2_06 "VRT,VRA,VRB" vsrab;
        Vrlh       "vrlh"       vx(68)         V2_06 "VRT,VRA,VRB" vrlh;
        Vslh       "vslh"       vx(324)        V2_06 "VRT,VRA,VRB" vslh;
        Vsrh       "vsrh"       vx(580)        V2_06 "VRT,VRA,VRB" vsrh;
        Vsrah      "vsrah"      vx(836)        V2_06 "VRT,VRA,VRB" vsrah;
        Vrlw       "vrlw"       vx(132)        V2_06 "VRT,VRA,VRB" vrlw;
        Vslw       "vslw"       vx(388)        V2_06 "VRT,VRA,VRB" vslw;
        Vsrw       "vsrw"       vx(644)        V2_06 "VRT,VRA,VRB" vsrw;
        Vsraw      "vsraw"      vx(900)        V2_06 "VRT,VRA,VRB" vsraw;
        Vrld       "vrld"       vx(196)        V2_07 "VRT,VRA,VRB" vrld;
        Vsld       "vsld"       vx(1476)       V2_07 "VRT,VRA,VRB" vsld;
        Vsrd       "vsrd"       vx(1732)       V2_07 "VRT,VRA,VRB" vsrd;
        Vsrad      "vsrad"      vx(964)        V2_07 "VRT,VRA,VRB" vsrad;
        Vslv       "vslv"       vx(1860)       V3_0  "VRT,VRA,VRB" vslv;
        Vsrv       "vsrv"       vx(1796)       V3_0  "VRT,VRA,VRB" vsrv;
        Vrlwnm     "vrlwnm"     vx(389)        V3_0  "VRT,VRA,VRB" vrlwnm;
        Vrldnm     "vrldnm"     vx(453)        V3_0  "VRT,VRA,VRB" vrldnm;
        Vrlqnm     "vrlqnm"     vx(325)        V3_1  "VRT,VRA,VRB" vrlqnm;
        Vcmpsq     "vcmpsq"     vx(321)        V3_1  "BF,VRA,VRB" vcmpsq;
        Vcmpuq     "vcmpuq"     vx(257)        V3_1  "BF,VRA,VRB" vcmpuq;
        Vmul10uq   "vmul10uq"   vx(513)        V3_0  "VRT,VRA" vmul10uq;
        Vmul10cuq  "vmul10cuq"  vx(1)          V3_0  "VRT,VRA" vmul10cuq;
        Vsl        "vsl"        vx(452)        V2_06 "VRT,VRA,VRB" vsl;
        Vsr        "vsr"        vx(708)        V2_06 "VRT,VRA,VRB" vsr;
        Vslo       "vslo"       vx(1036)       V2_06 "VRT,VRA,VRB" vslo;
        Vsro       "vsro"       vx(1100)       V2_06 "VRT,VRA,VRB" vsro;
        Vslq       "vslq"       vx(261)        V3_1  "VRT,VRA,VRB" vslq;
        Vsrq       "vsrq"       vx(517)        V3_1  "VRT,VRA,VRB" vsrq;
        Vsraq      "vsraq"      vx(773)        V3_1  "VRT,VRA,VRB" vsraq;
        Vrlq       "vrlq"       vx(5)          V3_1  "VRT,VRA,VRB" vrlq;
        Vrlwmi     "vrlwmi"     vx(133)        V3_0  "VRT,VRA,VRB" vrlwmi;
        Vrldmi     "vrldmi"     vx(197)        V3_0  "VRT,VRA,VRB" vrldmi;
        Vrlqmi     "vrlqmi"     vx(69)         V3_1  "VRT,VRA,VRB" vrlqmi;
    } } } };
}
pub(crate) use vmx_int_rows;

/// Comparisons; Rc (bit 21) records in CR6 whether all or no elements matched.
macro_rules! compare {
    ($($f:ident $op:ident;)*) => { $(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            b.need(Facility::Vec)?;
            let (x, y) = (va(b, i), vb(b, i));
            let r = b.w2(W2::$op, x, y);
            set_vt(b, i, r);
            if i.bit(21) {
                b.cr6_from_mask(r);
            }
            Ok(())
        }
    )* };
}

two! {
    vaddubm AddB;
    vsububm SubB;
    vadduhm AddH;
    vsubuhm SubH;
    vadduwm AddW;
    vsubuwm SubW;
    vaddudm AddD;
    vsubudm SubD;
    vadduqm AddQ;
    vsubuqm SubQ;
    vaddcuw AddCW;
    vaddcuq AddCQ;
    vsubcuw SubCW;
    vsubcuq SubCQ;
    vavgsb AvgSB;
    vavgub AvgUB;
    vabsdub AbsDiffUB;
    vavgsh AvgSH;
    vavguh AvgUH;
    vabsduh AbsDiffUH;
    vavgsw AvgSW;
    vavguw AvgUW;
    vabsduw AbsDiffUW;
    vmaxsb MaxSB;
    vmaxub MaxUB;
    vminsb MinSB;
    vminub MinUB;
    vmulesb MulEvenSB;
    vmulosb MulOddSB;
    vmuleub MulEvenUB;
    vmuloub MulOddUB;
    vmaxsh MaxSH;
    vmaxuh MaxUH;
    vminsh MinSH;
    vminuh MinUH;
    vmulesh MulEvenSH;
    vmulosh MulOddSH;
    vmuleuh MulEvenUH;
    vmulouh MulOddUH;
    vmaxsw MaxSW;
    vmaxuw MaxUW;
    vminsw MinSW;
    vminuw MinUW;
    vmulesw MulEvenSW;
    vmulosw MulOddSW;
    vmuleuw MulEvenUW;
    vmulouw MulOddUW;
    vmaxsd MaxSD;
    vmaxud MaxUD;
    vminsd MinSD;
    vminud MinUD;
    vmulesd MulEvenSD;
    vmulosd MulOddSD;
    vmuleud MulEvenUD;
    vmuloud MulOddUD;
    vmuluwm MulW;
    vmulld MulD;
    vmulhsw MulHighSW;
    vmulhuw MulHighUW;
    vmulhsd MulHighSD;
    vmulhud MulHighUD;
    vdivsw DivSW;
    vdivesw DiveSW;
    vmodsw ModSW;
    vdivuw DivUW;
    vdiveuw DiveUW;
    vmoduw ModUW;
    vdivsd DivSD;
    vdivesd DiveSD;
    vmodsd ModSD;
    vdivud DivUD;
    vdiveud DiveUD;
    vmodud ModUD;
    vdivsq DivSQ;
    vdivesq DiveSQ;
    vmodsq ModSQ;
    vdivuq DivUQ;
    vdiveuq DiveUQ;
    vmoduq ModUQ;
    vmul10euq Mul10E;
    vmul10ecuq Mul10EC;
    vrlb RotB;
    vslb ShlB;
    vsrb ShrB;
    vsrab SarB;
    vrlh RotH;
    vslh ShlH;
    vsrh ShrH;
    vsrah SarH;
    vrlw RotW;
    vslw ShlW;
    vsrw ShrW;
    vsraw SarW;
    vrld RotD;
    vsld ShlD;
    vsrd ShrD;
    vsrad SarD;
    vslv ShlVar;
    vsrv ShrVar;
    vrlwnm RotMaskW;
    vrldnm RotMaskD;
    vrlqnm RotMaskQ;
}
two_sat! {
    vaddsbs AddSatSB;
    vaddubs AddSatUB;
    vsubsbs SubSatSB;
    vsububs SubSatUB;
    vaddshs AddSatSH;
    vadduhs AddSatUH;
    vsubshs SubSatSH;
    vsubuhs SubSatUH;
    vaddsws AddSatSW;
    vadduws AddSatUW;
    vsubsws SubSatSW;
    vsubuws SubSatUW;
    vsum4sbs Sum4SatSB;
    vsum4shs Sum4SatSH;
    vsum4ubs Sum4SatUB;
    vsum2sws Sum2SatSW;
    vsumsws SumSatSW;
}
compare! {
    vcmpequb EqB;
    vcmpgtsb GtSB;
    vcmpgtub GtUB;
    vcmpequh EqH;
    vcmpgtsh GtSH;
    vcmpgtuh GtUH;
    vcmpequw EqW;
    vcmpgtsw GtSW;
    vcmpgtuw GtUW;
    vcmpequd EqD;
    vcmpgtsd GtSD;
    vcmpgtud GtUD;
    vcmpequq EqQ;
    vcmpgtsq GtSQ;
    vcmpgtuq GtUQ;
    vcmpneb NeB;
    vcmpnezb NezB;
    vcmpneh NeH;
    vcmpnezh NezH;
    vcmpnew NeW;
    vcmpnezw NezW;
}
one! {
    vnegw NegW;
    vnegd NegD;
    vprtybw ParityW;
    vprtybd ParityD;
    vprtybq ParityQ;
    vextsb2w ExtBW;
    vextsh2w ExtHW;
    vextsb2d ExtBD;
    vextsh2d ExtHD;
    vextsw2d ExtWD;
    vextsd2q ExtDQ;
}
three! {
    vaddeuqm AddEQ;
    vaddecuq AddECQ;
    vsubeuqm SubEQ;
    vsubecuq SubECQ;
    vmsumubm MulSumUB;
    vmsummbm MulSumMB;
    vmsumshm MulSumSH;
    vmsumuhm MulSumUH;
    vmsumudm MulSumUD;
    vmsumcud MulSumCUD;
    vmladduhm MulLowAddUH;
}
three_sat! {
    vmsumshs MulSumSatSH;
    vmsumuhs MulSumSatUH;
    vmhaddshs MulHighAddSatSH;
    vmhraddshs MulHighRoundAddSatSH;
}

/// Quadwords compared into a CR field.
#[inline(always)]
fn compare_quad<B: Builder>(b: &mut B, i: Insn, gt: W2) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let (x, y) = (va(b, i), vb(b, i));
    let mut bit = |op, x, y, n: u64| {
        let m = b.w2(op, x, y);
        let m = b.w_lo(m);
        b.op2i(crate::Op2::And, m, n)
    };
    let (lt, gt, eq) = (bit(gt, y, x, 8), bit(gt, x, y, 4), bit(W2::EqQ, x, y, 2));
    let r = b.op2(crate::Op2::Or, lt, gt);
    let r = b.op2(crate::Op2::Or, r, eq);
    b.set_cr_field(i.bf(), r);
    Ok(())
}
pub fn vcmpsq<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    compare_quad(b, i, W2::GtSQ)
}
pub fn vcmpuq<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    compare_quad(b, i, W2::GtUQ)
}

#[inline(always)]
fn one_a<B: Builder>(b: &mut B, i: Insn, op: W1) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let x = va(b, i);
    let r = b.w1(op, x);
    set_vt(b, i, r);
    Ok(())
}
pub fn vmul10uq<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    one_a(b, i, W1::Mul10)
}
pub fn vmul10cuq<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    one_a(b, i, W1::Mul10C)
}

/// Shift the quadword by the bits of VRB's last byte that `mask` keeps.
#[inline(always)]
fn shift_quad<B: Builder>(b: &mut B, i: Insn, op: W2, mask: u128) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let (x, y) = (va(b, i), vb(b, i));
    let n = w2i(b, W2::And, y, mask);
    let r = b.w2(op, x, n);
    set_vt(b, i, r);
    Ok(())
}
pub fn vsl<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_quad(b, i, W2::ShlQ, 7)
}
pub fn vsr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_quad(b, i, W2::ShrQ, 7)
}
pub fn vslo<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_quad(b, i, W2::ShlQ, 0x78)
}
pub fn vsro<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_quad(b, i, W2::ShrQ, 0x78)
}
/// Shift the quadword by bits 57..63 of VRB.
#[inline(always)]
fn shift_by_left<B: Builder>(b: &mut B, i: Insn, op: W2) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let (x, y) = (va(b, i), vb(b, i));
    let n = w2i(b, W2::ShrQ, y, 64);
    let r = b.w2(op, x, n);
    set_vt(b, i, r);
    Ok(())
}
pub fn vslq<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_by_left(b, i, W2::ShlQ)
}
pub fn vsrq<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_by_left(b, i, W2::ShrQ)
}
pub fn vsraq<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_by_left(b, i, W2::SarQ)
}
pub fn vrlq<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    shift_by_left(b, i, W2::RotQ)
}
/// Rotate VRA and insert into the target under the mask in VRB.
#[inline(always)]
fn rotate_insert<B: Builder>(b: &mut B, i: Insn, op: W3) -> Result<(), B::Stop> {
    b.need(Facility::Vec)?;
    let (x, y, t) = (va(b, i), vb(b, i), vt(b, i));
    let r = b.w3(op, x, y, t);
    set_vt(b, i, r);
    Ok(())
}
pub fn vrlwmi<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    rotate_insert(b, i, W3::RotInsW)
}
pub fn vrldmi<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    rotate_insert(b, i, W3::RotInsD)
}
pub fn vrlqmi<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    rotate_insert(b, i, W3::RotInsQ)
}
