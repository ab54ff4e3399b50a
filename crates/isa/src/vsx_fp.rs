//! VSX floating point (Book I, chapter 7): scalar double and single, vector double and single, quad precision.
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{
    Builder, Facility, Insn, Op1, Op2, Rel,
    fp::{FpForm, FpInsn, FpOp, FpOp::*, IntTy::*, Rint, SIGN, copy_sign, fp_fns},
};

macro_rules! vsx_fp_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* vsx_fp {
        Xsabsdp     "xsabsdp"     xx2(345)             V2_06 "XT,XB"           xsabsdp;
        Xsabsqp     "xsabsqp"     x_a(63, 804, 0)      V3_0  "VRT,VRB"         xsabsqp;
        Xsadddp     "xsadddp"     xx3(32)              V2_06 "XT,XA,XB"        xsadddp;
        Xsaddqp     "xsaddqp"     x_rc(63, 4, 0)       V3_0  "VRT,VRA,VRB"     xsaddqp;
        Xsaddqpo    "xsaddqpo"    x_rc(63, 4, 1)       V3_0  "VRT,VRA,VRB"     xsaddqpo;
        Xsaddsp     "xsaddsp"     xx3(0)               V2_07 "XT,XA,XB"        xsaddsp;
        Xscmpeqdp   "xscmpeqdp"   xx3(3)               V3_0  "XT,XA,XB"        xscmpeqdp;
        Xscmpeqqp   "xscmpeqqp"   x(63, 68)            V3_1  "VRT,VRA,VRB"     xscmpeqqp;
        Xscmpexpdp  "xscmpexpdp"  xx3(59)              V3_0  "BF,XA,XB"        xscmpexpdp;
        Xscmpexpqp  "xscmpexpqp"  x(63, 164)           V3_0  "BF,VRA,VRB"      xscmpexpqp;
        Xscmpgedp   "xscmpgedp"   xx3(19)              V3_0  "XT,XA,XB"        xscmpgedp;
        Xscmpgeqp   "xscmpgeqp"   x(63, 196)           V3_1  "VRT,VRA,VRB"     xscmpgeqp;
        Xscmpgtdp   "xscmpgtdp"   xx3(11)              V3_0  "XT,XA,XB"        xscmpgtdp;
        Xscmpgtqp   "xscmpgtqp"   x(63, 228)           V3_1  "VRT,VRA,VRB"     xscmpgtqp;
        Xscmpodp    "xscmpodp"    xx3(43)              V2_06 "BF,XA,XB"        xscmpodp;
        Xscmpoqp    "xscmpoqp"    x(63, 132)           V3_0  "BF,VRA,VRB"      xscmpoqp;
        Xscmpudp    "xscmpudp"    xx3(35)              V2_06 "BF,XA,XB"        xscmpudp;
        Xscmpuqp    "xscmpuqp"    x(63, 644)           V3_0  "BF,VRA,VRB"      xscmpuqp;
        Xscpsgndp   "xscpsgndp"   xx3(176)             V2_06 "XT,XA,XB"        xscpsgndp;
        Xscpsgnqp   "xscpsgnqp"   x(63, 100)           V3_0  "VRT,VRA,VRB"     xscpsgnqp;
        Xscvdphp    "xscvdphp"    xx2_a(347, 17)       V3_0  "XT,XB"           xscvdphp;
        Xscvdpqp    "xscvdpqp"    x_a(63, 836, 22)     V3_0  "VRT,VRB"         xscvdpqp;
        Xscvdpsp    "xscvdpsp"    xx2(265)             V2_06 "XT,XB"           xscvdpsp;
        Xscvdpspn   "xscvdpspn"   xx2(267)             V2_07 "XT,XB"           xscvdpspn;
        Xscvdpsxds  "xscvdpsxds"  xx2(344)             V2_06 "XT,XB"           xscvdpsxds;
        Xscvdpsxws  "xscvdpsxws"  xx2(88)              V2_06 "XT,XB"           xscvdpsxws;
        Xscvdpuxds  "xscvdpuxds"  xx2(328)             V2_06 "XT,XB"           xscvdpuxds;
        Xscvdpuxws  "xscvdpuxws"  xx2(72)              V2_06 "XT,XB"           xscvdpuxws;
        Xscvhpdp    "xscvhpdp"    xx2_a(347, 16)       V3_0  "XT,XB"           xscvhpdp;
        Xscvqpdp    "xscvqpdp"    raw(0xfc1f07ff, 0xfc140688) V3_0  "VRT,VRB"         xscvqpdp;
        Xscvqpdpo   "xscvqpdpo"   raw(0xfc1f07ff, 0xfc140689) V3_0  "VRT,VRB"         xscvqpdpo;
        Xscvqpsdz   "xscvqpsdz"   x_a(63, 836, 25)     V3_0  "VRT,VRB"         xscvqpsdz;
        Xscvqpsqz   "xscvqpsqz"   x_a(63, 836, 8)      V3_1  "VRT,VRB"         xscvqpsqz;
        Xscvqpswz   "xscvqpswz"   x_a(63, 836, 9)      V3_0  "VRT,VRB"         xscvqpswz;
        Xscvqpudz   "xscvqpudz"   x_a(63, 836, 17)     V3_0  "VRT,VRB"         xscvqpudz;
        Xscvqpuqz   "xscvqpuqz"   x_a(63, 836, 0)      V3_1  "VRT,VRB"         xscvqpuqz;
        Xscvqpuwz   "xscvqpuwz"   x_a(63, 836, 1)      V3_0  "VRT,VRB"         xscvqpuwz;
        Xscvsdqp    "xscvsdqp"    x_a(63, 836, 10)     V3_0  "VRT,VRB"         xscvsdqp;
        Xscvspdp    "xscvspdp"    xx2(329)             V2_06 "XT,XB"           xscvspdp;
        Xscvspdpn   "xscvspdpn"   xx2(331)             V2_07 "XT,XB"           xscvspdpn;
        Xscvsqqp    "xscvsqqp"    x_a(63, 836, 11)     V3_1  "VRT,VRB"         xscvsqqp;
        Xscvsxddp   "xscvsxddp"   xx2(376)             V2_06 "XT,XB"           xscvsxddp;
        Xscvsxdsp   "xscvsxdsp"   xx2(312)             V2_07 "XT,XB"           xscvsxdsp;
        Xscvudqp    "xscvudqp"    x_a(63, 836, 2)      V3_0  "VRT,VRB"         xscvudqp;
        Xscvuqqp    "xscvuqqp"    x_a(63, 836, 3)      V3_1  "VRT,VRB"         xscvuqqp;
        Xscvuxddp   "xscvuxddp"   xx2(360)             V2_06 "XT,XB"           xscvuxddp;
        Xscvuxdsp   "xscvuxdsp"   xx2(296)             V2_07 "XT,XB"           xscvuxdsp;
        Xsdivdp     "xsdivdp"     xx3(56)              V2_06 "XT,XA,XB"        xsdivdp;
        Xsdivqp     "xsdivqp"     x_rc(63, 548, 0)     V3_0  "VRT,VRA,VRB"     xsdivqp;
        Xsdivqpo    "xsdivqpo"    x_rc(63, 548, 1)     V3_0  "VRT,VRA,VRB"     xsdivqpo;
        Xsdivsp     "xsdivsp"     xx3(24)              V2_07 "XT,XA,XB"        xsdivsp;
        Xsiexpdp    "xsiexpdp"    x(60, 918)           V3_0  "XT,RA,RB"        xsiexpdp;
        Xsiexpqp    "xsiexpqp"    x(63, 868)           V3_0  "VRT,VRA,VRB"     xsiexpqp;
        Xsmaddadp   "xsmaddadp"   xx3(33)              V2_06 "XT,XA,XB"        xsmaddadp;
        Xsmaddasp   "xsmaddasp"   xx3(1)               V2_07 "XT,XA,XB"        xsmaddasp;
        Xsmaddmdp   "xsmaddmdp"   xx3(41)              V2_06 "XT,XA,XB"        xsmaddmdp;
        Xsmaddmsp   "xsmaddmsp"   xx3(9)               V2_07 "XT,XA,XB"        xsmaddmsp;
        Xsmaddqp    "xsmaddqp"    x_rc(63, 388, 0)     V3_0  "VRT,VRA,VRB"     xsmaddqp;
        Xsmaddqpo   "xsmaddqpo"   x_rc(63, 388, 1)     V3_0  "VRT,VRA,VRB"     xsmaddqpo;
        Xsmaxcdp    "xsmaxcdp"    xx3(128)             V3_0  "XT,XA,XB"        xsmaxcdp;
        Xsmaxcqp    "xsmaxcqp"    x(63, 676)           V3_1  "VRT,VRA,VRB"     xsmaxcqp;
        Xsmaxdp     "xsmaxdp"     xx3(160)             V2_06 "XT,XA,XB"        xsmaxdp;
        Xsmaxjdp    "xsmaxjdp"    xx3(144)             V3_0  "XT,XA,XB"        xsmaxjdp;
        Xsmincdp    "xsmincdp"    xx3(136)             V3_0  "XT,XA,XB"        xsmincdp;
        Xsmincqp    "xsmincqp"    x(63, 740)           V3_1  "VRT,VRA,VRB"     xsmincqp;
        Xsmindp     "xsmindp"     xx3(168)             V2_06 "XT,XA,XB"        xsmindp;
        Xsminjdp    "xsminjdp"    xx3(152)             V3_0  "XT,XA,XB"        xsminjdp;
        Xsmsubadp   "xsmsubadp"   xx3(49)              V2_06 "XT,XA,XB"        xsmsubadp;
        Xsmsubasp   "xsmsubasp"   xx3(17)              V2_07 "XT,XA,XB"        xsmsubasp;
        Xsmsubmdp   "xsmsubmdp"   xx3(57)              V2_06 "XT,XA,XB"        xsmsubmdp;
        Xsmsubmsp   "xsmsubmsp"   xx3(25)              V2_07 "XT,XA,XB"        xsmsubmsp;
        Xsmsubqp    "xsmsubqp"    x_rc(63, 420, 0)     V3_0  "VRT,VRA,VRB"     xsmsubqp;
        Xsmsubqpo   "xsmsubqpo"   x_rc(63, 420, 1)     V3_0  "VRT,VRA,VRB"     xsmsubqpo;
        Xsmuldp     "xsmuldp"     xx3(48)              V2_06 "XT,XA,XB"        xsmuldp;
        Xsmulqp     "xsmulqp"     x_rc(63, 36, 0)      V3_0  "VRT,VRA,VRB"     xsmulqp;
        Xsmulqpo    "xsmulqpo"    x_rc(63, 36, 1)      V3_0  "VRT,VRA,VRB"     xsmulqpo;
        Xsmulsp     "xsmulsp"     xx3(16)              V2_07 "XT,XA,XB"        xsmulsp;
        Xsnabsdp    "xsnabsdp"    xx2(361)             V2_06 "XT,XB"           xsnabsdp;
        Xsnabsqp    "xsnabsqp"    x_a(63, 804, 8)      V3_0  "VRT,VRB"         xsnabsqp;
        Xsnegdp     "xsnegdp"     xx2(377)             V2_06 "XT,XB"           xsnegdp;
        Xsnegqp     "xsnegqp"     x_a(63, 804, 16)     V3_0  "VRT,VRB"         xsnegqp;
        Xsnmaddadp  "xsnmaddadp"  xx3(161)             V2_06 "XT,XA,XB"        xsnmaddadp;
        Xsnmaddasp  "xsnmaddasp"  xx3(129)             V2_07 "XT,XA,XB"        xsnmaddasp;
        Xsnmaddmdp  "xsnmaddmdp"  xx3(169)             V2_06 "XT,XA,XB"        xsnmaddmdp;
        Xsnmaddmsp  "xsnmaddmsp"  xx3(137)             V2_07 "XT,XA,XB"        xsnmaddmsp;
        Xsnmaddqp   "xsnmaddqp"   x_rc(63, 452, 0)     V3_0  "VRT,VRA,VRB"     xsnmaddqp;
        Xsnmaddqpo  "xsnmaddqpo"  x_rc(63, 452, 1)     V3_0  "VRT,VRA,VRB"     xsnmaddqpo;
        Xsnmsubadp  "xsnmsubadp"  xx3(177)             V2_06 "XT,XA,XB"        xsnmsubadp;
        Xsnmsubasp  "xsnmsubasp"  xx3(145)             V2_07 "XT,XA,XB"        xsnmsubasp;
        Xsnmsubmdp  "xsnmsubmdp"  xx3(185)             V2_06 "XT,XA,XB"        xsnmsubmdp;
        Xsnmsubmsp  "xsnmsubmsp"  xx3(153)             V2_07 "XT,XA,XB"        xsnmsubmsp;
        Xsnmsubqp   "xsnmsubqp"   x_rc(63, 484, 0)     V3_0  "VRT,VRA,VRB"     xsnmsubqp;
        Xsnmsubqpo  "xsnmsubqpo"  x_rc(63, 484, 1)     V3_0  "VRT,VRA,VRB"     xsnmsubqpo;
        Xsrdpi      "xsrdpi"      xx2(73)              V2_06 "XT,XB"           xsrdpi;
        Xsrdpic     "xsrdpic"     xx2(107)             V2_06 "XT,XB"           xsrdpic;
        Xsrdpim     "xsrdpim"     xx2(121)             V2_06 "XT,XB"           xsrdpim;
        Xsrdpip     "xsrdpip"     xx2(105)             V2_06 "XT,XB"           xsrdpip;
        Xsrdpiz     "xsrdpiz"     xx2(89)              V2_06 "XT,XB"           xsrdpiz;
        Xsredp      "xsredp"      xx2(90)              V2_06 "XT,XB"           xsredp;
        Xsresp      "xsresp"      xx2(26)              V2_07 "XT,XB"           xsresp;
        Xsrqpi      "xsrqpi"      raw(0xfc0001ff, 0xfc00000a) V3_0  "R,VRT,VRB,RMC"   xsrqpi;
        Xsrqpix     "xsrqpix"     raw(0xfc0001ff, 0xfc00000b) V3_0  "R,VRT,VRB,RMC"   xsrqpix;
        Xsrqpxp     "xsrqpxp"     z23(63, 37)          V3_0  "R,VRT,VRB,RMC"   xsrqpxp;
        Xsrsp       "xsrsp"       xx2(281)             V2_07 "XT,XB"           xsrsp;
        Xsrsqrtedp  "xsrsqrtedp"  xx2(74)              V2_06 "XT,XB"           xsrsqrtedp;
        Xsrsqrtesp  "xsrsqrtesp"  xx2(10)              V2_07 "XT,XB"           xsrsqrtesp;
        Xssqrtdp    "xssqrtdp"    xx2(75)              V2_06 "XT,XB"           xssqrtdp;
        Xssqrtqp    "xssqrtqp"    raw(0xfc1f07ff, 0xfc1b0648) V3_0  "VRT,VRB"         xssqrtqp;
        Xssqrtqpo   "xssqrtqpo"   raw(0xfc1f07ff, 0xfc1b0649) V3_0  "VRT,VRB"         xssqrtqpo;
        Xssqrtsp    "xssqrtsp"    xx2(11)              V2_07 "XT,XB"           xssqrtsp;
        Xssubdp     "xssubdp"     xx3(40)              V2_06 "XT,XA,XB"        xssubdp;
        Xssubqp     "xssubqp"     x_rc(63, 516, 0)     V3_0  "VRT,VRA,VRB"     xssubqp;
        Xssubqpo    "xssubqpo"    x_rc(63, 516, 1)     V3_0  "VRT,VRA,VRB"     xssubqpo;
        Xssubsp     "xssubsp"     xx3(8)               V2_07 "XT,XA,XB"        xssubsp;
        Xstdivdp    "xstdivdp"    xx3(61)              V2_06 "BF,XA,XB"        xstdivdp;
        Xstsqrtdp   "xstsqrtdp"   xx2(106)             V2_06 "BF,XB"           xstsqrtdp;
        Xststdcdp   "xststdcdp"   xx2(362)             V3_0  "BF,XB,DCMX"      xststdcdp;
        Xststdcqp   "xststdcqp"   x(63, 708)           V3_0  "BF,VRB,DCMX"     xststdcqp;
        Xststdcsp   "xststdcsp"   xx2(298)             V3_0  "BF,XB,DCMX"      xststdcsp;
        Xsxexpdp    "xsxexpdp"    xx2_a(347, 0)        V3_0  "RT,XB"           xsxexpdp;
        Xsxexpqp    "xsxexpqp"    x_a(63, 804, 2)      V3_0  "VRT,VRB"         xsxexpqp;
        Xsxsigdp    "xsxsigdp"    xx2_a(347, 1)        V3_0  "RT,XB"           xsxsigdp;
        Xsxsigqp    "xsxsigqp"    x_a(63, 804, 18)     V3_0  "VRT,VRB"         xsxsigqp;
        Xvabsdp     "xvabsdp"     xx2(473)             V2_06 "XT,XB"           xvabsdp;
        Xvabssp     "xvabssp"     xx2(409)             V2_06 "XT,XB"           xvabssp;
        Xvadddp     "xvadddp"     xx3(96)              V2_06 "XT,XA,XB"        xvadddp;
        Xvaddsp     "xvaddsp"     xx3(64)              V2_06 "XT,XA,XB"        xvaddsp;
        Xvcmpeqdp   "xvcmpeqdp"   xx3_rc(99)           V2_06 "XT,XA,XB"        xvcmpeqdp;
        Xvcmpeqsp   "xvcmpeqsp"   xx3_rc(67)           V2_06 "XT,XA,XB"        xvcmpeqsp;
        Xvcmpgedp   "xvcmpgedp"   xx3_rc(115)          V2_06 "XT,XA,XB"        xvcmpgedp;
        Xvcmpgesp   "xvcmpgesp"   xx3_rc(83)           V2_06 "XT,XA,XB"        xvcmpgesp;
        Xvcmpgtdp   "xvcmpgtdp"   xx3_rc(107)          V2_06 "XT,XA,XB"        xvcmpgtdp;
        Xvcmpgtsp   "xvcmpgtsp"   xx3_rc(75)           V2_06 "XT,XA,XB"        xvcmpgtsp;
        Xvcpsgndp   "xvcpsgndp"   xx3(240)             V2_06 "XT,XA,XB"        xvcpsgndp;
        Xvcpsgnsp   "xvcpsgnsp"   xx3(208)             V2_06 "XT,XA,XB"        xvcpsgnsp;
        Xvcvbf16spn "xvcvbf16spn" xx2_a(475, 16)       V3_1  "XT,XB"           xvcvbf16spn;
        Xvcvdpsp    "xvcvdpsp"    xx2(393)             V2_06 "XT,XB"           xvcvdpsp;
        Xvcvdpsxds  "xvcvdpsxds"  xx2(472)             V2_06 "XT,XB"           xvcvdpsxds;
        Xvcvdpsxws  "xvcvdpsxws"  xx2(216)             V2_06 "XT,XB"           xvcvdpsxws;
        Xvcvdpuxds  "xvcvdpuxds"  xx2(456)             V2_06 "XT,XB"           xvcvdpuxds;
        Xvcvdpuxws  "xvcvdpuxws"  xx2(200)             V2_06 "XT,XB"           xvcvdpuxws;
        Xvcvhpsp    "xvcvhpsp"    xx2_a(475, 24)       V3_0  "XT,XB"           xvcvhpsp;
        Xvcvspbf16  "xvcvspbf16"  xx2_a(475, 17)       V3_1  "XT,XB"           xvcvspbf16;
        Xvcvspdp    "xvcvspdp"    xx2(457)             V2_06 "XT,XB"           xvcvspdp;
        Xvcvsphp    "xvcvsphp"    xx2_a(475, 25)       V3_0  "XT,XB"           xvcvsphp;
        Xvcvspsxds  "xvcvspsxds"  xx2(408)             V2_06 "XT,XB"           xvcvspsxds;
        Xvcvspsxws  "xvcvspsxws"  xx2(152)             V2_06 "XT,XB"           xvcvspsxws;
        Xvcvspuxds  "xvcvspuxds"  xx2(392)             V2_06 "XT,XB"           xvcvspuxds;
        Xvcvspuxws  "xvcvspuxws"  xx2(136)             V2_06 "XT,XB"           xvcvspuxws;
        Xvcvsxddp   "xvcvsxddp"   xx2(504)             V2_06 "XT,XB"           xvcvsxddp;
        Xvcvsxdsp   "xvcvsxdsp"   xx2(440)             V2_06 "XT,XB"           xvcvsxdsp;
        Xvcvsxwdp   "xvcvsxwdp"   xx2(248)             V2_06 "XT,XB"           xvcvsxwdp;
        Xvcvsxwsp   "xvcvsxwsp"   xx2(184)             V2_06 "XT,XB"           xvcvsxwsp;
        Xvcvuxddp   "xvcvuxddp"   xx2(488)             V2_06 "XT,XB"           xvcvuxddp;
        Xvcvuxdsp   "xvcvuxdsp"   xx2(424)             V2_06 "XT,XB"           xvcvuxdsp;
        Xvcvuxwdp   "xvcvuxwdp"   xx2(232)             V2_06 "XT,XB"           xvcvuxwdp;
        Xvcvuxwsp   "xvcvuxwsp"   xx2(168)             V2_06 "XT,XB"           xvcvuxwsp;
        Xvdivdp     "xvdivdp"     xx3(120)             V2_06 "XT,XA,XB"        xvdivdp;
        Xvdivsp     "xvdivsp"     xx3(88)              V2_06 "XT,XA,XB"        xvdivsp;
        Xviexpdp    "xviexpdp"    xx3(248)             V3_0  "XT,XA,XB"        xviexpdp;
        Xviexpsp    "xviexpsp"    xx3(216)             V3_0  "XT,XA,XB"        xviexpsp;
        Xvmaddadp   "xvmaddadp"   xx3(97)              V2_06 "XT,XA,XB"        xvmaddadp;
        Xvmaddasp   "xvmaddasp"   xx3(65)              V2_06 "XT,XA,XB"        xvmaddasp;
        Xvmaddmdp   "xvmaddmdp"   xx3(105)             V2_06 "XT,XA,XB"        xvmaddmdp;
        Xvmaddmsp   "xvmaddmsp"   xx3(73)              V2_06 "XT,XA,XB"        xvmaddmsp;
        Xvmaxdp     "xvmaxdp"     xx3(224)             V2_06 "XT,XA,XB"        xvmaxdp;
        Xvmaxsp     "xvmaxsp"     xx3(192)             V2_06 "XT,XA,XB"        xvmaxsp;
        Xvmindp     "xvmindp"     xx3(232)             V2_06 "XT,XA,XB"        xvmindp;
        Xvminsp     "xvminsp"     xx3(200)             V2_06 "XT,XA,XB"        xvminsp;
        Xvmsubadp   "xvmsubadp"   xx3(113)             V2_06 "XT,XA,XB"        xvmsubadp;
        Xvmsubasp   "xvmsubasp"   xx3(81)              V2_06 "XT,XA,XB"        xvmsubasp;
        Xvmsubmdp   "xvmsubmdp"   xx3(121)             V2_06 "XT,XA,XB"        xvmsubmdp;
        Xvmsubmsp   "xvmsubmsp"   xx3(89)              V2_06 "XT,XA,XB"        xvmsubmsp;
        Xvmuldp     "xvmuldp"     xx3(112)             V2_06 "XT,XA,XB"        xvmuldp;
        Xvmulsp     "xvmulsp"     xx3(80)              V2_06 "XT,XA,XB"        xvmulsp;
        Xvnabsdp    "xvnabsdp"    xx2(489)             V2_06 "XT,XB"           xvnabsdp;
        Xvnabssp    "xvnabssp"    xx2(425)             V2_06 "XT,XB"           xvnabssp;
        Xvnegdp     "xvnegdp"     xx2(505)             V2_06 "XT,XB"           xvnegdp;
        Xvnegsp     "xvnegsp"     xx2(441)             V2_06 "XT,XB"           xvnegsp;
        Xvnmaddadp  "xvnmaddadp"  xx3(225)             V2_06 "XT,XA,XB"        xvnmaddadp;
        Xvnmaddasp  "xvnmaddasp"  xx3(193)             V2_06 "XT,XA,XB"        xvnmaddasp;
        Xvnmaddmdp  "xvnmaddmdp"  xx3(233)             V2_06 "XT,XA,XB"        xvnmaddmdp;
        Xvnmaddmsp  "xvnmaddmsp"  xx3(201)             V2_06 "XT,XA,XB"        xvnmaddmsp;
        Xvnmsubadp  "xvnmsubadp"  xx3(241)             V2_06 "XT,XA,XB"        xvnmsubadp;
        Xvnmsubasp  "xvnmsubasp"  xx3(209)             V2_06 "XT,XA,XB"        xvnmsubasp;
        Xvnmsubmdp  "xvnmsubmdp"  xx3(249)             V2_06 "XT,XA,XB"        xvnmsubmdp;
        Xvnmsubmsp  "xvnmsubmsp"  xx3(217)             V2_06 "XT,XA,XB"        xvnmsubmsp;
        Xvrdpi      "xvrdpi"      xx2(201)             V2_06 "XT,XB"           xvrdpi;
        Xvrdpic     "xvrdpic"     xx2(235)             V2_06 "XT,XB"           xvrdpic;
        Xvrdpim     "xvrdpim"     xx2(249)             V2_06 "XT,XB"           xvrdpim;
        Xvrdpip     "xvrdpip"     xx2(233)             V2_06 "XT,XB"           xvrdpip;
        Xvrdpiz     "xvrdpiz"     xx2(217)             V2_06 "XT,XB"           xvrdpiz;
        Xvredp      "xvredp"      xx2(218)             V2_06 "XT,XB"           xvredp;
        Xvresp      "xvresp"      xx2(154)             V2_06 "XT,XB"           xvresp;
        Xvrspi      "xvrspi"      xx2(137)             V2_06 "XT,XB"           xvrspi;
        Xvrspic     "xvrspic"     xx2(171)             V2_06 "XT,XB"           xvrspic;
        Xvrspim     "xvrspim"     xx2(185)             V2_06 "XT,XB"           xvrspim;
        Xvrspip     "xvrspip"     xx2(169)             V2_06 "XT,XB"           xvrspip;
        Xvrspiz     "xvrspiz"     xx2(153)             V2_06 "XT,XB"           xvrspiz;
        Xvrsqrtedp  "xvrsqrtedp"  xx2(202)             V2_06 "XT,XB"           xvrsqrtedp;
        Xvrsqrtesp  "xvrsqrtesp"  xx2(138)             V2_06 "XT,XB"           xvrsqrtesp;
        Xvsqrtdp    "xvsqrtdp"    xx2(203)             V2_06 "XT,XB"           xvsqrtdp;
        Xvsqrtsp    "xvsqrtsp"    xx2(139)             V2_06 "XT,XB"           xvsqrtsp;
        Xvsubdp     "xvsubdp"     xx3(104)             V2_06 "XT,XA,XB"        xvsubdp;
        Xvsubsp     "xvsubsp"     xx3(72)              V2_06 "XT,XA,XB"        xvsubsp;
        Xvtdivdp    "xvtdivdp"    xx3(125)             V2_06 "BF,XA,XB"        xvtdivdp;
        Xvtdivsp    "xvtdivsp"    xx3(93)              V2_06 "BF,XA,XB"        xvtdivsp;
        Xvtsqrtdp   "xvtsqrtdp"   xx2(234)             V2_06 "BF,XB"           xvtsqrtdp;
        Xvtsqrtsp   "xvtsqrtsp"   xx2(170)             V2_06 "BF,XB"           xvtsqrtsp;
        Xvtstdcdp   "xvtstdcdp"   raw(0xfc0007b8, 0xf00007a8) V3_0  "XT,XB,DCMX"      xvtstdcdp;
        Xvtstdcsp   "xvtstdcsp"   raw(0xfc0007b8, 0xf00006a8) V3_0  "XT,XB,DCMX"      xvtstdcsp;
        Xvxexpdp    "xvxexpdp"    xx2_a(475, 0)        V3_0  "XT,XB"           xvxexpdp;
        Xvxexpsp    "xvxexpsp"    xx2_a(475, 8)        V3_0  "XT,XB"           xvxexpsp;
        Xvxsigdp    "xvxsigdp"    xx2_a(475, 1)        V3_0  "XT,XB"           xvxsigdp;
        Xvxsigsp    "xvxsigsp"    xx2_a(475, 9)        V3_0  "XT,XB"           xvxsigsp;
    } } } };
}
pub(crate) use vsx_fp_rows;

fn x_ab(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.xt(), i.xa(), i.xb(), 0, false)
}
fn x_b(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.xt(), 0, i.xb(), 0, false)
}
/// Type-A multiply-add: XA * XB + XT.
fn x_ma(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.xt(), i.xa(), i.xt(), i.xb(), false)
}
/// Type-M multiply-add: XA * XT + XB.
fn x_mm(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.xt(), i.xa(), i.xb(), i.xt(), false)
}
fn x_cmp(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), i.xa(), i.xb(), 0, false)
}
fn x_cmp_rc(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.xt(), i.xa(), i.xb(), 0, i.bit(21))
}
fn x_class_cr(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), 0, i.xb(), i.bits(9, 15), false)
}
/// DCMX is dc || dm || dx.
fn x_class(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    let dcmx = i.bits(25, 25) << 6 | i.bits(29, 29) << 5 | i.bits(11, 15);
    FpInsn::new(op, form, i.xt(), 0, i.xb(), dcmx, false)
}
fn v_ab(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.vrt() + 32, i.vra() + 32, i.vrb() + 32, 0, false)
}
fn v_b(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.vrt() + 32, 32, i.vrb() + 32, 0, false)
}
fn v_cmp(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), i.vra() + 32, i.vrb() + 32, 0, false)
}
fn v_class_cr(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.bf(), 32, i.vrb() + 32, i.bits(9, 15), false)
}
/// VRA * VRB + VRT.
fn q_madd(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.vrt() + 32, i.vra() + 32, i.vrt() + 32, i.vrb() + 32, false)
}
fn q_round(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    let mode = i.bits(15, 15) << 2 | i.bits(21, 22);
    FpInsn::new(op, form, i.vrt() + 32, 32, i.vrb() + 32, mode, false)
}

fp_fns! {
    xsadddp: Vsx, x_ab, Add, F64;
    xsaddqp: Vsx, v_ab, Add, Quad;
    xsaddqpo: Vsx, v_ab, Add, QuadOdd;
    xsaddsp: Vsx, x_ab, Add, F32;
    xscmpeqdp: Vsx, x_ab, CmpEq, F64;
    xscmpeqqp: Vsx, v_ab, CmpEq, Quad;
    xscmpexpdp: Vsx, x_cmp, CmpExp, F64;
    xscmpexpqp: Vsx, v_cmp, CmpExp, Quad;
    xscmpgedp: Vsx, x_ab, CmpGe, F64;
    xscmpgeqp: Vsx, v_ab, CmpGe, Quad;
    xscmpgtdp: Vsx, x_ab, CmpGt, F64;
    xscmpgtqp: Vsx, v_ab, CmpGt, Quad;
    xscmpodp: Vsx, x_cmp, CmpO, F64;
    xscmpoqp: Vsx, v_cmp, CmpO, Quad;
    xscmpudp: Vsx, x_cmp, CmpU, F64;
    xscmpuqp: Vsx, v_cmp, CmpU, Quad;
    xscvdphp: Vsx, x_b, DpHp, F64;
    xscvdpqp: Vsx, v_b, DpQp, Quad;
    xscvdpsp: Vsx, x_b, DpSp, F64;
    xscvdpspn: Vsx, x_b, DpSpn, F64;
    xscvdpsxds: Vsx, x_b, ToInt(I64, true), F64;
    xscvdpsxws: Vsx, x_b, ToInt(I32, true), F64;
    xscvdpuxds: Vsx, x_b, ToInt(U64, true), F64;
    xscvdpuxws: Vsx, x_b, ToInt(U32, true), F64;
    xscvhpdp: Vsx, x_b, HpDp, F64;
    xscvqpdp: Vsx, v_b, QpDp, Quad;
    xscvqpdpo: Vsx, v_b, QpDp, QuadOdd;
    xscvqpsdz: Vsx, v_b, ToInt(I64, true), Quad;
    xscvqpsqz: Vsx, v_b, ToInt(I128, true), Quad;
    xscvqpswz: Vsx, v_b, ToInt(I32, true), Quad;
    xscvqpudz: Vsx, v_b, ToInt(U64, true), Quad;
    xscvqpuqz: Vsx, v_b, ToInt(U128, true), Quad;
    xscvqpuwz: Vsx, v_b, ToInt(U32, true), Quad;
    xscvsdqp: Vsx, v_b, FromInt(I64), Quad;
    xscvspdp: Vsx, x_b, SpDp, F64;
    xscvspdpn: Vsx, x_b, SpDpn, F64;
    xscvsqqp: Vsx, v_b, FromInt(I128), Quad;
    xscvsxddp: Vsx, x_b, FromInt(I64), F64;
    xscvsxdsp: Vsx, x_b, FromInt(I64), F32;
    xscvudqp: Vsx, v_b, FromInt(U64), Quad;
    xscvuqqp: Vsx, v_b, FromInt(U128), Quad;
    xscvuxddp: Vsx, x_b, FromInt(U64), F64;
    xscvuxdsp: Vsx, x_b, FromInt(U64), F32;
    xsdivdp: Vsx, x_ab, Div, F64;
    xsdivqp: Vsx, v_ab, Div, Quad;
    xsdivqpo: Vsx, v_ab, Div, QuadOdd;
    xsdivsp: Vsx, x_ab, Div, F32;
    xsmaddadp: Vsx, x_ma, Madd, F64;
    xsmaddasp: Vsx, x_ma, Madd, F32;
    xsmaddmdp: Vsx, x_mm, Madd, F64;
    xsmaddmsp: Vsx, x_mm, Madd, F32;
    xsmaddqp: Vsx, q_madd, Madd, Quad;
    xsmaddqpo: Vsx, q_madd, Madd, QuadOdd;
    xsmaxcdp: Vsx, x_ab, MaxC, F64;
    xsmaxcqp: Vsx, v_ab, MaxC, Quad;
    xsmaxdp: Vsx, x_ab, Max, F64;
    xsmaxjdp: Vsx, x_ab, MaxJ, F64;
    xsmincdp: Vsx, x_ab, MinC, F64;
    xsmincqp: Vsx, v_ab, MinC, Quad;
    xsmindp: Vsx, x_ab, Min, F64;
    xsminjdp: Vsx, x_ab, MinJ, F64;
    xsmsubadp: Vsx, x_ma, Msub, F64;
    xsmsubasp: Vsx, x_ma, Msub, F32;
    xsmsubmdp: Vsx, x_mm, Msub, F64;
    xsmsubmsp: Vsx, x_mm, Msub, F32;
    xsmsubqp: Vsx, q_madd, Msub, Quad;
    xsmsubqpo: Vsx, q_madd, Msub, QuadOdd;
    xsmuldp: Vsx, x_ab, Mul, F64;
    xsmulqp: Vsx, v_ab, Mul, Quad;
    xsmulqpo: Vsx, v_ab, Mul, QuadOdd;
    xsmulsp: Vsx, x_ab, Mul, F32;
    xsnmaddadp: Vsx, x_ma, Nmadd, F64;
    xsnmaddasp: Vsx, x_ma, Nmadd, F32;
    xsnmaddmdp: Vsx, x_mm, Nmadd, F64;
    xsnmaddmsp: Vsx, x_mm, Nmadd, F32;
    xsnmaddqp: Vsx, q_madd, Nmadd, Quad;
    xsnmaddqpo: Vsx, q_madd, Nmadd, QuadOdd;
    xsnmsubadp: Vsx, x_ma, Nmsub, F64;
    xsnmsubasp: Vsx, x_ma, Nmsub, F32;
    xsnmsubmdp: Vsx, x_mm, Nmsub, F64;
    xsnmsubmsp: Vsx, x_mm, Nmsub, F32;
    xsnmsubqp: Vsx, q_madd, Nmsub, Quad;
    xsnmsubqpo: Vsx, q_madd, Nmsub, QuadOdd;
    xsrdpi: Vsx, x_b, Rint(Rint::Away), F64;
    xsrdpic: Vsx, x_b, Rint(Rint::Current), F64;
    xsrdpim: Vsx, x_b, Rint(Rint::Down), F64;
    xsrdpip: Vsx, x_b, Rint(Rint::Up), F64;
    xsrdpiz: Vsx, x_b, Rint(Rint::Zero), F64;
    xsredp: Vsx, x_b, Re, F64;
    xsresp: Vsx, x_b, Re, F32;
    xsrqpi: Vsx, q_round, Rqpi, Quad;
    xsrqpix: Vsx, q_round, Rqpix, Quad;
    xsrqpxp: Vsx, q_round, Rqpxp, Quad;
    xsrsp: Vsx, x_b, RoundSp, F32;
    xsrsqrtedp: Vsx, x_b, Rsqrte, F64;
    xsrsqrtesp: Vsx, x_b, Rsqrte, F32;
    xssqrtdp: Vsx, x_b, Sqrt, F64;
    xssqrtqp: Vsx, v_b, Sqrt, Quad;
    xssqrtqpo: Vsx, v_b, Sqrt, QuadOdd;
    xssqrtsp: Vsx, x_b, Sqrt, F32;
    xssubdp: Vsx, x_ab, Sub, F64;
    xssubqp: Vsx, v_ab, Sub, Quad;
    xssubqpo: Vsx, v_ab, Sub, QuadOdd;
    xssubsp: Vsx, x_ab, Sub, F32;
    xstdivdp: Vsx, x_cmp, TestDiv, F64;
    xstsqrtdp: Vsx, x_cmp, TestSqrt, F64;
    xststdcdp: Vsx, x_class_cr, TestClass, F64;
    xststdcqp: Vsx, v_class_cr, TestClass, Quad;
    xststdcsp: Vsx, x_class_cr, TestClass, F32;
    xvadddp: Vsx, x_ab, Add, V64;
    xvaddsp: Vsx, x_ab, Add, V32;
    xvcmpeqdp: Vsx, x_cmp_rc, CmpEq, V64;
    xvcmpeqsp: Vsx, x_cmp_rc, CmpEq, V32;
    xvcmpgedp: Vsx, x_cmp_rc, CmpGe, V64;
    xvcmpgesp: Vsx, x_cmp_rc, CmpGe, V32;
    xvcmpgtdp: Vsx, x_cmp_rc, CmpGt, V64;
    xvcmpgtsp: Vsx, x_cmp_rc, CmpGt, V32;
    xvcvdpsp: Vsx, x_b, DpSp, V64;
    xvcvdpsxds: Vsx, x_b, ToInt(I64, true), V64;
    xvcvdpsxws: Vsx, x_b, ToInt(I32, true), V64;
    xvcvdpuxds: Vsx, x_b, ToInt(U64, true), V64;
    xvcvdpuxws: Vsx, x_b, ToInt(U32, true), V64;
    xvcvhpsp: Vsx, x_b, HpSp, V32;
    xvcvspbf16: Vsx, x_b, SpBf16, V32;
    xvcvspdp: Vsx, x_b, SpDp, V64;
    xvcvsphp: Vsx, x_b, SpHp, V32;
    xvcvspsxds: Vsx, x_b, ToInt(I64, true), V32;
    xvcvspsxws: Vsx, x_b, ToInt(I32, true), V32;
    xvcvspuxds: Vsx, x_b, ToInt(U64, true), V32;
    xvcvspuxws: Vsx, x_b, ToInt(U32, true), V32;
    xvcvsxddp: Vsx, x_b, FromInt(I64), V64;
    xvcvsxdsp: Vsx, x_b, FromInt(I64), V32;
    xvcvsxwdp: Vsx, x_b, FromInt(I32), V64;
    xvcvsxwsp: Vsx, x_b, FromInt(I32), V32;
    xvcvuxddp: Vsx, x_b, FromInt(U64), V64;
    xvcvuxdsp: Vsx, x_b, FromInt(U64), V32;
    xvcvuxwdp: Vsx, x_b, FromInt(U32), V64;
    xvcvuxwsp: Vsx, x_b, FromInt(U32), V32;
    xvdivdp: Vsx, x_ab, Div, V64;
    xvdivsp: Vsx, x_ab, Div, V32;
    xvmaddadp: Vsx, x_ma, Madd, V64;
    xvmaddasp: Vsx, x_ma, Madd, V32;
    xvmaddmdp: Vsx, x_mm, Madd, V64;
    xvmaddmsp: Vsx, x_mm, Madd, V32;
    xvmaxdp: Vsx, x_ab, Max, V64;
    xvmaxsp: Vsx, x_ab, Max, V32;
    xvmindp: Vsx, x_ab, Min, V64;
    xvminsp: Vsx, x_ab, Min, V32;
    xvmsubadp: Vsx, x_ma, Msub, V64;
    xvmsubasp: Vsx, x_ma, Msub, V32;
    xvmsubmdp: Vsx, x_mm, Msub, V64;
    xvmsubmsp: Vsx, x_mm, Msub, V32;
    xvmuldp: Vsx, x_ab, Mul, V64;
    xvmulsp: Vsx, x_ab, Mul, V32;
    xvnmaddadp: Vsx, x_ma, Nmadd, V64;
    xvnmaddasp: Vsx, x_ma, Nmadd, V32;
    xvnmaddmdp: Vsx, x_mm, Nmadd, V64;
    xvnmaddmsp: Vsx, x_mm, Nmadd, V32;
    xvnmsubadp: Vsx, x_ma, Nmsub, V64;
    xvnmsubasp: Vsx, x_ma, Nmsub, V32;
    xvnmsubmdp: Vsx, x_mm, Nmsub, V64;
    xvnmsubmsp: Vsx, x_mm, Nmsub, V32;
    xvrdpi: Vsx, x_b, Rint(Rint::Away), V64;
    xvrdpic: Vsx, x_b, Rint(Rint::Current), V64;
    xvrdpim: Vsx, x_b, Rint(Rint::Down), V64;
    xvrdpip: Vsx, x_b, Rint(Rint::Up), V64;
    xvrdpiz: Vsx, x_b, Rint(Rint::Zero), V64;
    xvredp: Vsx, x_b, Re, V64;
    xvresp: Vsx, x_b, Re, V32;
    xvrspi: Vsx, x_b, Rint(Rint::Away), V32;
    xvrspic: Vsx, x_b, Rint(Rint::Current), V32;
    xvrspim: Vsx, x_b, Rint(Rint::Down), V32;
    xvrspip: Vsx, x_b, Rint(Rint::Up), V32;
    xvrspiz: Vsx, x_b, Rint(Rint::Zero), V32;
    xvrsqrtedp: Vsx, x_b, Rsqrte, V64;
    xvrsqrtesp: Vsx, x_b, Rsqrte, V32;
    xvsqrtdp: Vsx, x_b, Sqrt, V64;
    xvsqrtsp: Vsx, x_b, Sqrt, V32;
    xvsubdp: Vsx, x_ab, Sub, V64;
    xvsubsp: Vsx, x_ab, Sub, V32;
    xvtdivdp: Vsx, x_cmp, TestDiv, V64;
    xvtdivsp: Vsx, x_cmp, TestDiv, V32;
    xvtsqrtdp: Vsx, x_cmp, TestSqrt, V64;
    xvtsqrtsp: Vsx, x_cmp, TestSqrt, V32;
    xvtstdcdp: Vsx, x_class, TestClass, V64;
    xvtstdcsp: Vsx, x_class, TestClass, V32;
}

/// Sign bits of the two singles of a doubleword.
const SIGNS: u64 = 0x8000_0000_8000_0000;

/// Functions of one operation on the sign: of doubleword 0 (scalar), of both (vector), of a quad.
macro_rules! sign_fns {
    ($($f:ident: $shape:ident, $op:ident, $mask:expr;)*) => {$(
        pub fn $f<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
            $shape(b, i, Op2::$op, $mask)
        }
    )*};
}

fn scalar<B: Builder>(b: &mut B, i: Insn, op: Op2, mask: u64) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let v = b.fpr(i.xb());
    let v = b.op2i(op, v, mask);
    b.set_fpr(i.xt(), v);
    Ok(())
}

fn vector<B: Builder>(b: &mut B, i: Insn, op: Op2, mask: u64) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let w = b.vsr(i.xb());
    let (hi, lo) = (b.w_hi(w), b.w_lo(w));
    let hi = b.op2i(op, hi, mask);
    let lo = b.op2i(op, lo, mask);
    let w = b.w_pair(hi, lo);
    b.set_vsr(i.xt(), w);
    Ok(())
}

fn quad<B: Builder>(b: &mut B, i: Insn, op: Op2, mask: u64) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let w = b.vsr(i.vrb() + 32);
    let (hi, lo) = (b.w_hi(w), b.w_lo(w));
    let hi = b.op2i(op, hi, mask);
    let w = b.w_pair(hi, lo);
    b.set_vsr(i.vrt() + 32, w);
    Ok(())
}

sign_fns! {
    xsabsdp: scalar, And, !SIGN;
    xsnabsdp: scalar, Or, SIGN;
    xsnegdp: scalar, Xor, SIGN;
    xvabsdp: vector, And, !SIGN;
    xvnabsdp: vector, Or, SIGN;
    xvnegdp: vector, Xor, SIGN;
    xvabssp: vector, And, !SIGNS;
    xvnabssp: vector, Or, SIGNS;
    xvnegsp: vector, Xor, SIGNS;
    xsabsqp: quad, And, !SIGN;
    xsnabsqp: quad, Or, SIGN;
    xsnegqp: quad, Xor, SIGN;
}

pub fn xscpsgndp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let (x, y) = (b.fpr(i.xa()), b.fpr(i.xb()));
    let v = copy_sign(b, x, y, SIGN);
    b.set_fpr(i.xt(), v);
    Ok(())
}

pub fn xscpsgnqp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let (x, y) = (b.vsr(i.vra() + 32), b.vsr(i.vrb() + 32));
    let (s, m, lo) = (b.w_hi(x), b.w_hi(y), b.w_lo(y));
    let hi = copy_sign(b, s, m, SIGN);
    let w = b.w_pair(hi, lo);
    b.set_vsr(i.vrt() + 32, w);
    Ok(())
}

/// Doubleword by doubleword from XA and XB to XT.
fn pairwise<B: Builder>(b: &mut B, i: Insn, f: impl Fn(&mut B, B::V, B::V) -> B::V) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let (x, y) = (b.vsr(i.xa()), b.vsr(i.xb()));
    let (xh, yh) = (b.w_hi(x), b.w_hi(y));
    let hi = f(b, xh, yh);
    let (xl, yl) = (b.w_lo(x), b.w_lo(y));
    let lo = f(b, xl, yl);
    let w = b.w_pair(hi, lo);
    b.set_vsr(i.xt(), w);
    Ok(())
}

/// Doubleword by doubleword from XB to XT.
fn each<B: Builder>(b: &mut B, i: Insn, f: impl Fn(&mut B, B::V) -> B::V) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let x = b.vsr(i.xb());
    let (hi, lo) = (b.w_hi(x), b.w_lo(x));
    let hi = f(b, hi);
    let lo = f(b, lo);
    let w = b.w_pair(hi, lo);
    b.set_vsr(i.xt(), w);
    Ok(())
}

pub fn xvcpsgndp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    pairwise(b, i, |b, x, y| copy_sign(b, x, y, SIGN))
}

pub fn xvcpsgnsp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    pairwise(b, i, |b, x, y| copy_sign(b, x, y, SIGNS))
}

/// bfloat16 in the right half of each word to single: a shift.
pub fn xvcvbf16spn<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    each(b, i, |b, v| {
        let v = b.op2i(Op2::And, v, 0x0000_ffff_0000_ffff);
        b.op2i(Op2::Shl, v, 16)
    })
}

/// Bits `mask` of `v` after a right shift.
fn field<B: Builder>(b: &mut B, v: B::V, shift: u64, mask: u64) -> B::V {
    let v = b.op2i(Op2::Shr, v, shift);
    b.op2i(Op2::And, v, mask)
}

/// Significand with its implicit bit: `frac` low bits and, when the exponent field `e` is neither 0 nor `max`, the
/// bit above them.
fn significand<B: Builder>(b: &mut B, v: B::V, e: B::V, max: u64, frac: u32) -> B::V {
    let f = b.op2i(Op2::And, v, (1 << frac) - 1);
    let (zero, max) = (b.imm(0), b.imm(max));
    let none = b.rel(Rel::Eq, e, zero);
    let all = b.rel(Rel::Eq, e, max);
    let special = b.c_or(none, all);
    let with = b.op2i(Op2::Or, f, 1 << frac);
    b.select(special, f, with)
}

fn significand_dp<B: Builder>(b: &mut B, v: B::V) -> B::V {
    let e = field(b, v, 52, 0x7ff);
    significand(b, v, e, 0x7ff, 52)
}

pub fn xsxexpdp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let v = b.fpr(i.xb());
    let e = field(b, v, 52, 0x7ff);
    b.set_gpr(i.rt(), e);
    Ok(())
}

pub fn xsxsigdp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let v = b.fpr(i.xb());
    let s = significand_dp(b, v);
    b.set_gpr(i.rt(), s);
    Ok(())
}

/// Sign and fraction of `v` with the exponent field from the low bits of `e`.
fn insert_exp_dp<B: Builder>(b: &mut B, v: B::V, e: B::V) -> B::V {
    let v = b.op2i(Op2::And, v, 0x800f_ffff_ffff_ffff);
    let e = b.op2i(Op2::And, e, 0x7ff);
    let e = b.op2i(Op2::Shl, e, 52);
    b.op2(Op2::Or, v, e)
}

pub fn xsiexpdp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let (v, e) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let v = insert_exp_dp(b, v, e);
    b.set_fpr(i.xt(), v);
    Ok(())
}

pub fn xviexpdp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    pairwise(b, i, insert_exp_dp)
}

pub fn xviexpsp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    pairwise(b, i, |b, v, e| {
        let v = b.op2i(Op2::And, v, 0x807f_ffff_807f_ffff);
        let e = b.op2i(Op2::And, e, 0x0000_00ff_0000_00ff);
        let e = b.op2i(Op2::Shl, e, 23);
        b.op2(Op2::Or, v, e)
    })
}

pub fn xvxexpdp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    each(b, i, |b, v| field(b, v, 52, 0x7ff))
}

pub fn xvxexpsp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    each(b, i, |b, v| field(b, v, 23, 0x0000_00ff_0000_00ff))
}

pub fn xvxsigdp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    each(b, i, significand_dp)
}

pub fn xvxsigsp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    each(b, i, |b, v| {
        let e = field(b, v, 55, 0xff);
        let left = b.op2i(Op2::Shr, v, 32);
        let left = significand(b, left, e, 0xff, 23);
        let e = field(b, v, 23, 0xff);
        let right = b.op1(Op1::Extu32, v);
        let right = significand(b, right, e, 0xff, 23);
        let left = b.op2i(Op2::Shl, left, 32);
        b.op2(Op2::Or, left, right)
    })
}

pub fn xsxexpqp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let w = b.vsr(i.vrb() + 32);
    let hi = b.w_hi(w);
    let e = field(b, hi, 48, 0x7fff);
    let zero = b.imm(0);
    let w = b.w_pair(e, zero);
    b.set_vsr(i.vrt() + 32, w);
    Ok(())
}

pub fn xsxsigqp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let w = b.vsr(i.vrb() + 32);
    let (hi, lo) = (b.w_hi(w), b.w_lo(w));
    let e = field(b, hi, 48, 0x7fff);
    let hi = significand(b, hi, e, 0x7fff, 48);
    let w = b.w_pair(hi, lo);
    b.set_vsr(i.vrt() + 32, w);
    Ok(())
}

pub fn xsiexpqp<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    b.need(Facility::Vsx)?;
    let (x, y) = (b.vsr(i.vra() + 32), b.vsr(i.vrb() + 32));
    let (hi, lo, e) = (b.w_hi(x), b.w_lo(x), b.w_hi(y));
    let hi = b.op2i(Op2::And, hi, 0x8000_ffff_ffff_ffff);
    let e = b.op2i(Op2::And, e, 0x7fff);
    let e = b.op2i(Op2::Shl, e, 48);
    let hi = b.op2(Op2::Or, hi, e);
    let w = b.w_pair(hi, lo);
    b.set_vsr(i.vrt() + 32, w);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::ROWS;

    #[test]
    fn every_instruction_of_the_chapter_has_a_row() {
        let names = "\
            xsabsdp xsabsqp xsadddp xsaddqp xsaddqpo xsaddsp xscmpeqdp xscmpeqqp xscmpexpdp xscmpexpqp \
            xscmpgedp xscmpgeqp xscmpgtdp xscmpgtqp xscmpodp xscmpoqp xscmpudp xscmpuqp xscpsgndp \
            xscpsgnqp xscvdphp xscvdpqp xscvdpsp xscvdpspn xscvdpsxds xscvdpsxws xscvdpuxds xscvdpuxws \
            xscvhpdp xscvqpdp xscvqpdpo xscvqpsdz xscvqpsqz xscvqpswz xscvqpudz xscvqpuqz xscvqpuwz \
            xscvsdqp xscvspdp xscvspdpn xscvsqqp xscvsxddp xscvsxdsp xscvudqp xscvuqqp xscvuxddp \
            xscvuxdsp xsdivdp xsdivqp xsdivqpo xsdivsp xsiexpdp xsiexpqp xsmaddadp xsmaddasp xsmaddmdp \
            xsmaddmsp xsmaddqp xsmaddqpo xsmaxcdp xsmaxcqp xsmaxdp xsmaxjdp xsmincdp xsmincqp xsmindp \
            xsminjdp xsmsubadp xsmsubasp xsmsubmdp xsmsubmsp xsmsubqp xsmsubqpo xsmuldp xsmulqp \
            xsmulqpo xsmulsp xsnabsdp xsnabsqp xsnegdp xsnegqp xsnmaddadp xsnmaddasp xsnmaddmdp \
            xsnmaddmsp xsnmaddqp xsnmaddqpo xsnmsubadp xsnmsubasp xsnmsubmdp xsnmsubmsp xsnmsubqp \
            xsnmsubqpo xsrdpi xsrdpic xsrdpim xsrdpip xsrdpiz xsredp xsresp xsrqpi xsrqpix xsrqpxp \
            xsrsp xsrsqrtedp xsrsqrtesp xssqrtdp xssqrtqp xssqrtqpo xssqrtsp xssubdp xssubqp xssubqpo \
            xssubsp xstdivdp xstsqrtdp xststdcdp xststdcqp xststdcsp xsxexpdp xsxexpqp xsxsigdp \
            xsxsigqp xvabsdp xvabssp xvadddp xvaddsp xvcmpeqdp xvcmpeqsp xvcmpgedp xvcmpgesp xvcmpgtdp \
            xvcmpgtsp xvcpsgndp xvcpsgnsp xvcvbf16spn xvcvdpsp xvcvdpsxds xvcvdpsxws xvcvdpuxds \
            xvcvdpuxws xvcvhpsp xvcvspbf16 xvcvspdp xvcvsphp xvcvspsxds xvcvspsxws xvcvspuxds \
            xvcvspuxws xvcvsxddp xvcvsxdsp xvcvsxwdp xvcvsxwsp xvcvuxddp xvcvuxdsp xvcvuxwdp xvcvuxwsp \
            xvdivdp xvdivsp xviexpdp xviexpsp xvmaddadp xvmaddasp xvmaddmdp xvmaddmsp xvmaxdp xvmaxsp \
            xvmindp xvminsp xvmsubadp xvmsubasp xvmsubmdp xvmsubmsp xvmuldp xvmulsp xvnabsdp xvnabssp \
            xvnegdp xvnegsp xvnmaddadp xvnmaddasp xvnmaddmdp xvnmaddmsp xvnmsubadp xvnmsubasp \
            xvnmsubmdp xvnmsubmsp xvrdpi xvrdpic xvrdpim xvrdpip xvrdpiz xvredp xvresp xvrspi xvrspic \
            xvrspim xvrspip xvrspiz xvrsqrtedp xvrsqrtesp xvsqrtdp xvsqrtsp xvsubdp xvsubsp xvtdivdp \
            xvtdivsp xvtsqrtdp xvtsqrtsp xvtstdcdp xvtstdcsp xvxexpdp xvxexpsp xvxsigdp xvxsigsp";
        for name in names.split_whitespace() {
            assert!(ROWS.iter().any(|r| r.mnemonic == name), "{name} has no row");
        }
    }
}
