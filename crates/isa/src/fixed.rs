//! Fixed-point arithmetic, logical, compare, trap, rotate and shift instructions (Book I, chapters 3.3.9 to 3.3.15).
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{Builder, CarryIn, Insn, Op1, Op2, Rel};

macro_rules! fixed_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* fixed {
        Addi     "addi"     d(14)       V2_06 "RT,RA,SI"     addi;
        Addis    "addis"    d(15)       V2_06 "RT,RA,SI"     addis;
        Addpcis  "addpcis"  dx(19, 2)   V3_0  "RT,D"         addpcis;
        Addic    "addic"    d(12)       V2_06 "RT,RA,SI"     addic;
        AddicRc  "addic."   d(13)       V2_06 "RT,RA,SI"     addic_rc;
        Subfic   "subfic"   d(8)        V2_06 "RT,RA,SI"     subfic;
        Mulli    "mulli"    d(7)        V2_06 "RT,RA,SI"     mulli;
        Add      "add"      xo(31, 266) V2_06 "RT,RA,RB"     add;
        Subf     "subf"     xo(31, 40)  V2_06 "RT,RA,RB"     subf;
        Addc     "addc"     xo(31, 10)  V2_06 "RT,RA,RB"     addc;
        Subfc    "subfc"    xo(31, 8)   V2_06 "RT,RA,RB"     subfc;
        Adde     "adde"     xo(31, 138) V2_06 "RT,RA,RB"     adde;
        Subfe    "subfe"    xo(31, 136) V2_06 "RT,RA,RB"     subfe;
        Addme    "addme"    xo(31, 234) V2_06 "RT,RA"        addme;
        Subfme   "subfme"   xo(31, 232) V2_06 "RT,RA"        subfme;
        Addze    "addze"    xo(31, 202) V2_06 "RT,RA"        addze;
        Subfze   "subfze"   xo(31, 200) V2_06 "RT,RA"        subfze;
        Addex    "addex"    z23(31, 170) V3_0 "RT,RA,RB,CY"  addex;
        Neg      "neg"      xo(31, 104) V2_06 "RT,RA"        neg;
        Mullw    "mullw"    xo(31, 235) V2_06 "RT,RA,RB"     mullw;
        Mulld    "mulld"    xo(31, 233) V2_06 "RT,RA,RB"     mulld;
        Mulhw    "mulhw"    xo(31, 75)  V2_06 "RT,RA,RB"     mulhw;
        Mulhwu   "mulhwu"   xo(31, 11)  V2_06 "RT,RA,RB"     mulhwu;
        Mulhd    "mulhd"    xo(31, 73)  V2_06 "RT,RA,RB"     mulhd;
        Mulhdu   "mulhdu"   xo(31, 9)   V2_06 "RT,RA,RB"     mulhdu;
        Maddhd   "maddhd"   va(48)      V3_0  "RT,RA,RB,RC"  maddhd;
        Maddhdu  "maddhdu"  va(49)      V3_0  "RT,RA,RB,RC"  maddhdu;
        Maddld   "maddld"   va(51)      V3_0  "RT,RA,RB,RC"  maddld;
        Divw     "divw"     xo(31, 491) V2_06 "RT,RA,RB"     divw;
        Divwu    "divwu"    xo(31, 459) V2_06 "RT,RA,RB"     divwu;
        Divd     "divd"     xo(31, 489) V2_06 "RT,RA,RB"     divd;
        Divdu    "divdu"    xo(31, 457) V2_06 "RT,RA,RB"     divdu;
        Divwe    "divwe"    xo(31, 427) V2_06 "RT,RA,RB"     divwe;
        Divweu   "divweu"   xo(31, 395) V2_06 "RT,RA,RB"     divweu;
        Divde    "divde"    xo(31, 425) V2_06 "RT,RA,RB"     divde;
        Divdeu   "divdeu"   xo(31, 393) V2_06 "RT,RA,RB"     divdeu;
        Modsw    "modsw"    x(31, 779)  V3_0  "RT,RA,RB"     modsw;
        Moduw    "moduw"    x(31, 267)  V3_0  "RT,RA,RB"     moduw;
        Modsd    "modsd"    x(31, 777)  V3_0  "RT,RA,RB"     modsd;
        Modud    "modud"    x(31, 265)  V3_0  "RT,RA,RB"     modud;
        Cmpi     "cmpi"     d(11)       V2_06 "BF,L,RA,SI"   cmpi;
        Cmpli    "cmpli"    d(10)       V2_06 "BF,L,RA,UI"   cmpli;
        Cmp      "cmp"      x(31, 0)    V2_06 "BF,L,RA,RB"   cmp;
        Cmpl     "cmpl"     x(31, 32)   V2_06 "BF,L,RA,RB"   cmpl;
        Cmprb    "cmprb"    x(31, 192)  V3_0  "BF,L,RA,RB"   cmprb;
        Cmpeqb   "cmpeqb"   x(31, 224)  V3_0  "BF,RA,RB"     cmpeqb;
        Twi      "twi"      d(3)        V2_06 "TO,RA,SI"     twi;
        Tdi      "tdi"      d(2)        V2_06 "TO,RA,SI"     tdi;
        Tw       "tw"       x(31, 4)    V2_06 "TO,RA,RB"     tw;
        Td       "td"       x(31, 68)   V2_06 "TO,RA,RB"     td;
        Isel     "isel"     a(31, 15)   V2_06 "RT,RA,RB,BC"  isel;
        Andi     "andi."    d(28)       V2_06 "RA,RS,UI"     andi;
        Andis    "andis."   d(29)       V2_06 "RA,RS,UI"     andis;
        Ori      "ori"      d(24)       V2_06 "RA,RS,UI"     ori;
        Oris     "oris"     d(25)       V2_06 "RA,RS,UI"     oris;
        Xori     "xori"     d(26)       V2_06 "RA,RS,UI"     xori;
        Xoris    "xoris"    d(27)       V2_06 "RA,RS,UI"     xoris;
        And      "and"      x(31, 28)   V2_06 "RA,RS,RB"     and;
        Or       "or"       x(31, 444)  V2_06 "RA,RS,RB"     or;
        Xor      "xor"      x(31, 316)  V2_06 "RA,RS,RB"     xor;
        Nand     "nand"     x(31, 476)  V2_06 "RA,RS,RB"     nand;
        Nor      "nor"      x(31, 124)  V2_06 "RA,RS,RB"     nor;
        Eqv      "eqv"      x(31, 284)  V2_06 "RA,RS,RB"     eqv;
        Andc     "andc"     x(31, 60)   V2_06 "RA,RS,RB"     andc;
        Orc      "orc"      x(31, 412)  V2_06 "RA,RS,RB"     orc;
        Extsb    "extsb"    x(31, 954)  V2_06 "RA,RS"        extsb;
        Extsh    "extsh"    x(31, 922)  V2_06 "RA,RS"        extsh;
        Extsw    "extsw"    x(31, 986)  V2_06 "RA,RS"        extsw;
        Cntlzw   "cntlzw"   x(31, 26)   V2_06 "RA,RS"        cntlzw;
        Cntlzd   "cntlzd"   x(31, 58)   V2_06 "RA,RS"        cntlzd;
        Cnttzw   "cnttzw"   x(31, 538)  V3_0  "RA,RS"        cnttzw;
        Cnttzd   "cnttzd"   x(31, 570)  V3_0  "RA,RS"        cnttzd;
        Cntlzdm  "cntlzdm"  x(31, 59)   V3_1  "RA,RS,RB"     cntlzdm;
        Cnttzdm  "cnttzdm"  x(31, 571)  V3_1  "RA,RS,RB"     cnttzdm;
        Popcntb  "popcntb"  x(31, 122)  V2_06 "RA,RS"        popcntb;
        Popcntw  "popcntw"  x(31, 378)  V2_06 "RA,RS"        popcntw;
        Popcntd  "popcntd"  x(31, 506)  V2_06 "RA,RS"        popcntd;
        Prtyw    "prtyw"    x(31, 154)  V2_06 "RA,RS"        prtyw;
        Prtyd    "prtyd"    x(31, 186)  V2_06 "RA,RS"        prtyd;
        Cmpb     "cmpb"     x(31, 508)  V2_06 "RA,RS,RB"     cmpb;
        Bpermd   "bpermd"   x(31, 252)  V2_06 "RA,RS,RB"     bpermd;
        Cfuged   "cfuged"   x(31, 220)  V3_1  "RA,RS,RB"     cfuged;
        Pdepd    "pdepd"    x(31, 156)  V3_1  "RA,RS,RB"     pdepd;
        Pextd    "pextd"    x(31, 188)  V3_1  "RA,RS,RB"     pextd;
        Brh      "brh"      x(31, 219)  V3_1  "RA,RS"        brh;
        Brw      "brw"      x(31, 155)  V3_1  "RA,RS"        brw;
        Brd      "brd"      x(31, 187)  V3_1  "RA,RS"        brd;
        Addg6s   "addg6s"   xo(31, 74)  V2_06 "RT,RA,RB"     addg6s;
        Cdtbcd   "cdtbcd"   x(31, 282)  V2_06 "RA,RS"        cdtbcd;
        Cbcdtd   "cbcdtd"   x(31, 314)  V2_06 "RA,RS"        cbcdtd;
        Rlwinm   "rlwinm"   d(21)       V2_06 "RA,RS,SH,MB,ME" rlwinm;
        Rlwnm    "rlwnm"    d(23)       V2_06 "RA,RS,RB,MB,ME" rlwnm;
        Rlwimi   "rlwimi"   d(20)       V2_06 "RA,RS,SH,MB,ME" rlwimi;
        Rldicl   "rldicl"   md(30, 0)   V2_06 "RA,RS,SH,MB"  rldicl;
        Rldicr   "rldicr"   md(30, 1)   V2_06 "RA,RS,SH,ME"  rldicr;
        Rldic    "rldic"    md(30, 2)   V2_06 "RA,RS,SH,MB"  rldic;
        Rldimi   "rldimi"   md(30, 3)   V2_06 "RA,RS,SH,MB"  rldimi;
        Rldcl    "rldcl"    mds(30, 8)  V2_06 "RA,RS,RB,MB"  rldcl;
        Rldcr    "rldcr"    mds(30, 9)  V2_06 "RA,RS,RB,ME"  rldcr;
        Slw      "slw"      x(31, 24)   V2_06 "RA,RS,RB"     slw;
        Srw      "srw"      x(31, 536)  V2_06 "RA,RS,RB"     srw;
        Srawi    "srawi"    x(31, 824)  V2_06 "RA,RS,SH"     srawi;
        Sraw     "sraw"     x(31, 792)  V2_06 "RA,RS,RB"     sraw;
        Sld      "sld"      x(31, 27)   V2_06 "RA,RS,RB"     sld;
        Srd      "srd"      x(31, 539)  V2_06 "RA,RS,RB"     srd;
        Sradi    "sradi"    xs(31, 413) V2_06 "RA,RS,SH"     sradi;
        Srad     "srad"     x(31, 794)  V2_06 "RA,RS,RB"     srad;
        Extswsli "extswsli" xs(31, 445) V3_0  "RA,RS,SH"     extswsli;
        Paddi    "paddi"    prefixed(2, 8, 0, crate::encoding::d(14)) V3_1 "RT,RA,SI,R" paddi;
    } } } };
}
pub(crate) use fixed_rows;

type R<B> = Result<(), <B as Builder>::Stop>;

/// RA, or 0 when the field is 0.
#[inline(always)]
pub(crate) fn ra_or_0<B: Builder>(b: &mut B, n: u32) -> B::V {
    if n == 0 { b.imm(0) } else { b.gpr(n) }
}

/// Write a result to RT and CR0 when Rc.
#[inline(always)]
fn put<B: Builder>(b: &mut B, reg: u32, v: B::V, rc: bool) {
    b.set_gpr(reg, v);
    if rc {
        b.cr0(v);
    }
}

// ---- arithmetic ----

#[inline(always)]
pub fn addi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let v = if i.ra() == 0 {
        b.imm(i.si() as u64)
    } else {
        let a = b.gpr(i.ra());
        b.op2i(Op2::Add, a, i.si() as u64)
    };
    b.set_gpr(i.rt(), v);
    Ok(())
}

#[inline(always)]
pub fn addis<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let imm = (i.si() << 16) as u64;
    let v = if i.ra() == 0 {
        b.imm(imm)
    } else {
        let a = b.gpr(i.ra());
        b.op2i(Op2::Add, a, imm)
    };
    b.set_gpr(i.rt(), v);
    Ok(())
}

pub fn paddi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let v = if i.pcrel() {
        if i.ra() != 0 {
            return b.illegal();
        }
        b.cia_plus(i.d34())
    } else {
        let a = ra_or_0(b, i.ra());
        b.op2i(Op2::Add, a, i.d34() as u64)
    };
    b.set_gpr(i.rt(), v);
    Ok(())
}

pub fn addpcis<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let v = b.cia_plus(4 + (i.dx() << 16));
    b.set_gpr(i.rt(), v);
    Ok(())
}

fn carrying<B: Builder>(b: &mut B, i: Insn, a: B::V, y: B::V, cin: CarryIn, ov: bool, rc: bool) -> R<B> {
    let v = b.add_xer(a, y, cin, true, ov);
    put(b, i.rt(), v, rc);
    Ok(())
}

pub fn addic<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.imm(i.si() as u64));
    carrying(b, i, a, y, CarryIn::Zero, false, false)
}
pub fn addic_rc<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.imm(i.si() as u64));
    carrying(b, i, a, y, CarryIn::Zero, false, true)
}
pub fn subfic<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let a = b.gpr(i.ra());
    let (a, y) = (b.op1(Op1::Not, a), b.imm(i.si() as u64));
    carrying(b, i, a, y, CarryIn::One, false, false)
}
pub fn addc<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    carrying(b, i, a, y, CarryIn::Zero, i.oe(), i.rc())
}
pub fn subfc<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let a = b.op1(Op1::Not, a);
    carrying(b, i, a, y, CarryIn::One, i.oe(), i.rc())
}
pub fn adde<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    carrying(b, i, a, y, CarryIn::Ca, i.oe(), i.rc())
}
pub fn subfe<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let a = b.op1(Op1::Not, a);
    carrying(b, i, a, y, CarryIn::Ca, i.oe(), i.rc())
}
pub fn addme<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.imm(u64::MAX));
    carrying(b, i, a, y, CarryIn::Ca, i.oe(), i.rc())
}
pub fn subfme<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let a = b.gpr(i.ra());
    let (a, y) = (b.op1(Op1::Not, a), b.imm(u64::MAX));
    carrying(b, i, a, y, CarryIn::Ca, i.oe(), i.rc())
}
pub fn addze<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.imm(0));
    carrying(b, i, a, y, CarryIn::Ca, i.oe(), i.rc())
}
pub fn subfze<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let a = b.gpr(i.ra());
    let (a, y) = (b.op1(Op1::Not, a), b.imm(0));
    carrying(b, i, a, y, CarryIn::Ca, i.oe(), i.rc())
}

/// `addex` carries through OV instead of CA (CY = 0; other values are reserved and treated alike).
pub fn addex<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let xer = b.xer();
    let ov = b.op2i(Op2::Shr, xer, 30);
    let ov = b.op2i(Op2::And, ov, 1);
    let s = b.op2(Op2::Add, a, y);
    let c1 = b.rel(Rel::Ltu, s, a);
    let v = b.op2(Op2::Add, s, ov);
    let c2 = b.rel(Rel::Ltu, v, s);
    let c = b.c_or(c1, c2);
    let al = b.op1(Op1::Extu32, a);
    let yl = b.op1(Op1::Extu32, y);
    let sl = b.op2(Op2::Add, al, yl);
    let sl = b.op2(Op2::Add, sl, ov);
    let c32 = b.test_bit(sl, 32);
    // OV and OV32 take the carries; SO is not changed.
    let bit = if b.mode().sf { c } else { c32 };
    let keep = b.op2i(Op2::And, xer, !(1 << 30 | 1 << 19));
    let ovb = b.c_value(bit);
    let ovb = b.op2i(Op2::Shl, ovb, 30);
    let ov32 = b.c_value(c32);
    let ov32 = b.op2i(Op2::Shl, ov32, 19);
    let x = b.op2(Op2::Or, keep, ovb);
    let x = b.op2(Op2::Or, x, ov32);
    b.set_xer(x);
    b.set_gpr(i.rt(), v);
    Ok(())
}

#[inline(always)]
pub fn add<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let v = if i.oe() { b.add_xer(a, y, CarryIn::Zero, false, true) } else { b.op2(Op2::Add, a, y) };
    put(b, i.rt(), v, i.rc());
    Ok(())
}

#[inline(always)]
pub fn subf<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let v = if i.oe() {
        let a = b.op1(Op1::Not, a);
        b.add_xer(a, y, CarryIn::One, false, true)
    } else {
        b.op2(Op2::Sub, y, a)
    };
    put(b, i.rt(), v, i.rc());
    Ok(())
}

pub fn neg<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let a = b.gpr(i.ra());
    let v = if i.oe() {
        let (a, zero) = (b.op1(Op1::Not, a), b.imm(0));
        b.add_xer(a, zero, CarryIn::One, false, true)
    } else {
        b.op1(Op1::Neg, a)
    };
    put(b, i.rt(), v, i.rc());
    Ok(())
}

#[inline(always)]
pub fn mulli<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let a = b.gpr(i.ra());
    let v = b.op2i(Op2::Mul, a, i.si() as u64);
    b.set_gpr(i.rt(), v);
    Ok(())
}

#[inline(always)]
pub fn mullw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let (a, y) = (b.op1(Op1::Exts32, a), b.op1(Op1::Exts32, y));
    let v = b.op2(Op2::Mul, a, y);
    if i.oe() {
        let w = b.op1(Op1::Exts32, v);
        let ov = b.rel(Rel::Ne, v, w);
        b.set_ov(ov, ov);
    }
    put(b, i.rt(), v, i.rc());
    Ok(())
}

#[inline(always)]
pub fn mulld<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let v = b.op2(Op2::Mul, a, y);
    if i.oe() {
        let hi = b.op2(Op2::Mulhs, a, y);
        let sign = b.op2i(Op2::Sar, v, 63);
        let ov = b.rel(Rel::Ne, hi, sign);
        b.set_ov(ov, ov);
    }
    put(b, i.rt(), v, i.rc());
    Ok(())
}

/// High words of products: RT[0:31] is undefined; this program leaves the sign or zero extension there.
fn mulh_w<B: Builder>(b: &mut B, i: Insn, ext: Op1, sh: Op2) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let (a, y) = (b.op1(ext, a), b.op1(ext, y));
    let v = b.op2(Op2::Mul, a, y);
    let v = b.op2i(sh, v, 32);
    b.set_gpr(i.rt(), v);
    if i.rc() {
        // The result's width is a word, in either mode.
        let zero = b.imm(0);
        b.cr_compare(0, true, false, v, zero);
    }
    Ok(())
}
pub fn mulhw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    mulh_w(b, i, Op1::Exts32, Op2::Sar)
}
pub fn mulhwu<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    mulh_w(b, i, Op1::Extu32, Op2::Shr)
}
pub fn mulhd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let v = b.op2(Op2::Mulhs, a, y);
    put(b, i.rt(), v, i.rc());
    Ok(())
}
pub fn mulhdu<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let v = b.op2(Op2::Mulhu, a, y);
    put(b, i.rt(), v, i.rc());
    Ok(())
}

fn maddh<B: Builder>(b: &mut B, i: Insn, signed: bool) -> R<B> {
    let (a, y, c) = (b.gpr(i.ra()), b.gpr(i.rb()), b.gpr(i.rc_reg()));
    let lo = b.op2(Op2::Mul, a, y);
    let hi = b.op2(if signed { Op2::Mulhs } else { Op2::Mulhu }, a, y);
    let sum = b.op2(Op2::Add, lo, c);
    let carry = b.rel(Rel::Ltu, sum, lo);
    let carry = b.c_value(carry);
    let mut v = b.op2(Op2::Add, hi, carry);
    if signed {
        let sign = b.op2i(Op2::Sar, c, 63);
        v = b.op2(Op2::Add, v, sign);
    }
    b.set_gpr(i.rt(), v);
    Ok(())
}
pub fn maddhd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    maddh(b, i, true)
}
pub fn maddhdu<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    maddh(b, i, false)
}
pub fn maddld<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y, c) = (b.gpr(i.ra()), b.gpr(i.rb()), b.gpr(i.rc_reg()));
    let lo = b.op2(Op2::Mul, a, y);
    let v = b.op2(Op2::Add, lo, c);
    b.set_gpr(i.rt(), v);
    Ok(())
}

/// Divisor zero, or (signed) the most negative number by -1, both in the width at hand.
fn div_overflow<B: Builder>(b: &mut B, a: B::V, y: B::V, signed: bool, min: u64) -> B::C {
    let zero = b.imm(0);
    let by_zero = b.rel(Rel::Eq, y, zero);
    if !signed {
        return by_zero;
    }
    let (min, minus_one) = (b.imm(min), b.imm(u64::MAX));
    let (x, z) = (b.rel(Rel::Eq, a, min), b.rel(Rel::Eq, y, minus_one));
    let xz = b.c_and(x, z);
    b.c_or(by_zero, xz)
}

fn divide<B: Builder>(b: &mut B, i: Insn, op: Op2, signed: bool, word: bool) -> R<B> {
    let (mut a, mut y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    if word {
        let ext = if signed { Op1::Exts32 } else { Op1::Extu32 };
        (a, y) = (b.op1(ext, a), b.op1(ext, y));
    }
    let v = b.op2(op, a, y);
    if i.oe() {
        let min = if word { i32::MIN as i64 as u64 } else { 1 << 63 };
        let ov = div_overflow(b, a, y, signed, min);
        b.set_ov(ov, ov);
    }
    b.set_gpr(i.rt(), v);
    if i.rc() {
        if word {
            let zero = b.imm(0);
            b.cr_compare(0, true, false, v, zero);
        } else {
            b.cr0(v);
        }
    }
    Ok(())
}
pub fn divw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    divide(b, i, Op2::DivsW, true, true)
}
pub fn divwu<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    divide(b, i, Op2::DivuW, false, true)
}
pub fn divd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    divide(b, i, Op2::Divs, true, false)
}
pub fn divdu<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    divide(b, i, Op2::Divu, false, false)
}

/// Word extended divides: the dividend is RA's low word followed by 32 zeros; the quotient must fit a word.
fn divide_ext_w<B: Builder>(b: &mut B, i: Insn, signed: bool) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let ext = if signed { Op1::Exts32 } else { Op1::Extu32 };
    let a = b.op2i(Op2::Shl, a, 32);
    let y = b.op1(ext, y);
    let q = b.op2(if signed { Op2::Divs } else { Op2::Divu }, a, y);
    let fit = b.op1(ext, q);
    let unfit = b.rel(Rel::Ne, q, fit);
    let bad = div_overflow(b, a, y, signed, 1 << 63);
    let ov = b.c_or(unfit, bad);
    let zero = b.imm(0);
    let word = b.op1(Op1::Extu32, q);
    let v = b.select(ov, zero, word);
    if i.oe() {
        b.set_ov(ov, ov);
    }
    b.set_gpr(i.rt(), v);
    if i.rc() {
        b.cr_compare(0, true, false, v, zero);
    }
    Ok(())
}
pub fn divwe<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    divide_ext_w(b, i, true)
}
pub fn divweu<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    divide_ext_w(b, i, false)
}

fn divide_ext_d<B: Builder>(b: &mut B, i: Insn, signed: bool) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let (v, ov) = b.divide_ext(a, y, signed);
    if i.oe() {
        b.set_ov(ov, ov);
    }
    put(b, i.rt(), v, i.rc());
    Ok(())
}
pub fn divde<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    divide_ext_d(b, i, true)
}
pub fn divdeu<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    divide_ext_d(b, i, false)
}

fn modulo<B: Builder>(b: &mut B, i: Insn, op: Op2) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let v = b.op2(op, a, y);
    b.set_gpr(i.rt(), v);
    Ok(())
}
pub fn modsw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    modulo(b, i, Op2::RemsW)
}
pub fn moduw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    modulo(b, i, Op2::RemuW)
}
pub fn modsd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    modulo(b, i, Op2::Rems)
}
pub fn modud<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    modulo(b, i, Op2::Remu)
}

// ---- compares and traps ----

#[inline(always)]
pub fn cmpi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.imm(i.si() as u64));
    b.cr_compare(i.bf(), true, i.l(), a, y);
    Ok(())
}
#[inline(always)]
pub fn cmpli<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.imm(i.ui() as u64));
    b.cr_compare(i.bf(), false, i.l(), a, y);
    Ok(())
}
#[inline(always)]
pub fn cmp<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    b.cr_compare(i.bf(), true, i.l(), a, y);
    Ok(())
}
#[inline(always)]
pub fn cmpl<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    b.cr_compare(i.bf(), false, i.l(), a, y);
    Ok(())
}

fn byte<B: Builder>(b: &mut B, v: B::V, n: u32) -> B::V {
    let v = b.op2i(Op2::Shr, v, 8 * n as u64);
    b.op1(Op1::Extu8, v)
}

fn in_range<B: Builder>(b: &mut B, x: B::V, ranges: B::V, lo: u32) -> B::C {
    let (l, h) = (byte(b, ranges, lo), byte(b, ranges, lo + 1));
    let (below, above) = (b.rel(Rel::Ltu, x, l), b.rel(Rel::Gtu, x, h));
    let out = b.c_or(below, above);
    b.c_not(out)
}

pub fn cmprb<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let x = b.op1(Op1::Extu8, a);
    let mut hit = in_range(b, x, y, 0);
    if i.l() {
        let other = in_range(b, x, y, 2);
        hit = b.c_or(hit, other);
    }
    let v = b.c_value(hit);
    let v = b.op2i(Op2::Shl, v, 2);
    b.set_cr_field(i.bf(), v);
    Ok(())
}

pub fn cmpeqb<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    // A zero byte in y ^ (byte replicated) marks a match.
    let x = b.op1(Op1::Extu8, a);
    let x = b.op2i(Op2::Mul, x, 0x0101_0101_0101_0101);
    let z = b.op2(Op2::Xor, x, y);
    let m = b.op2i(Op2::Sub, z, 0x0101_0101_0101_0101);
    let m = b.op2(Op2::Andc, m, z);
    let m = b.op2i(Op2::And, m, 0x8080_8080_8080_8080);
    let zero = b.imm(0);
    let hit = b.rel(Rel::Ne, m, zero);
    let v = b.c_value(hit);
    let v = b.op2i(Op2::Shl, v, 2);
    b.set_cr_field(i.bf(), v);
    Ok(())
}

fn trap<B: Builder>(b: &mut B, to: u32, a: B::V, y: B::V) -> R<B> {
    let mut c = b.c_const(false);
    for (bit, rel) in [(16, Rel::Lts), (8, Rel::Gts), (4, Rel::Eq), (2, Rel::Ltu), (1, Rel::Gtu)] {
        if to & bit != 0 {
            let t = b.rel(rel, a, y);
            c = b.c_or(c, t);
        }
    }
    b.trap_if(c)
}
pub fn twi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let a = b.gpr(i.ra());
    let (a, y) = (b.op1(Op1::Exts32, a), b.imm(i.si() as u64));
    trap(b, i.to(), a, y)
}
pub fn tdi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.imm(i.si() as u64));
    trap(b, i.to(), a, y)
}
pub fn tw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let (a, y) = (b.op1(Op1::Exts32, a), b.op1(Op1::Exts32, y));
    trap(b, i.to(), a, y)
}
pub fn td<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    trap(b, i.to(), a, y)
}

#[inline(always)]
pub fn isel<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let c = b.cr_bit(i.rc_reg());
    let (a, y) = (ra_or_0(b, i.ra()), b.gpr(i.rb()));
    let v = b.select(c, a, y);
    b.set_gpr(i.rt(), v);
    Ok(())
}

// ---- logical ----

#[inline(always)]
fn logical_imm<B: Builder>(b: &mut B, i: Insn, op: Op2, imm: u64, rc: bool) -> R<B> {
    let s = b.gpr(i.rs());
    let v = b.op2i(op, s, imm);
    put(b, i.ra(), v, rc);
    Ok(())
}
#[inline(always)]
pub fn andi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical_imm(b, i, Op2::And, i.ui() as u64, true)
}
#[inline(always)]
pub fn andis<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical_imm(b, i, Op2::And, (i.ui() as u64) << 16, true)
}
#[inline(always)]
pub fn ori<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical_imm(b, i, Op2::Or, i.ui() as u64, false)
}
#[inline(always)]
pub fn oris<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical_imm(b, i, Op2::Or, (i.ui() as u64) << 16, false)
}
#[inline(always)]
pub fn xori<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical_imm(b, i, Op2::Xor, i.ui() as u64, false)
}
#[inline(always)]
pub fn xoris<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical_imm(b, i, Op2::Xor, (i.ui() as u64) << 16, false)
}

#[inline(always)]
fn logical<B: Builder>(b: &mut B, i: Insn, op: Op2) -> R<B> {
    let (s, y) = (b.gpr(i.rs()), b.gpr(i.rb()));
    let v = b.op2(op, s, y);
    put(b, i.ra(), v, i.rc());
    Ok(())
}
#[inline(always)]
pub fn and<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical(b, i, Op2::And)
}
#[inline(always)]
pub fn or<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    if i.rs() == i.rb() {
        // Low and very low priority (Book II, 4.3): what is looked for is not there yet.
        if i.ra() == i.rs() && matches!(i.ra(), 1 | 31) && !i.rc() {
            return b.helper(crate::Helper::Pause, i);
        }
        // mr; also the other priorities, or 2,2,2 and kin, which change nothing else.
        let v = b.gpr(i.rs());
        put(b, i.ra(), v, i.rc());
        return Ok(());
    }
    logical(b, i, Op2::Or)
}
#[inline(always)]
pub fn xor<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical(b, i, Op2::Xor)
}
pub fn nand<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical(b, i, Op2::Nand)
}
#[inline(always)]
pub fn nor<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical(b, i, Op2::Nor)
}
pub fn eqv<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical(b, i, Op2::Eqv)
}
#[inline(always)]
pub fn andc<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical(b, i, Op2::Andc)
}
pub fn orc<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    logical(b, i, Op2::Orc)
}

#[inline(always)]
fn unary<B: Builder>(b: &mut B, i: Insn, op: Op1, rc: bool) -> R<B> {
    let s = b.gpr(i.rs());
    let v = b.op1(op, s);
    put(b, i.ra(), v, rc);
    Ok(())
}
#[inline(always)]
pub fn extsb<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Exts8, i.rc())
}
#[inline(always)]
pub fn extsh<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Exts16, i.rc())
}
#[inline(always)]
pub fn extsw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Exts32, i.rc())
}
pub fn cntlzw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Clz32, i.rc())
}
pub fn cntlzd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Clz64, i.rc())
}
pub fn cnttzw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Ctz32, i.rc())
}
pub fn cnttzd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Ctz64, i.rc())
}
pub fn popcntb<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Popcnt8, false)
}
pub fn popcntw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Popcnt32, false)
}
pub fn popcntd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Popcnt64, false)
}
pub fn brh<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Bswap16, false)
}
pub fn brw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Bswap32, false)
}
pub fn brd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    unary(b, i, Op1::Bswap64, false)
}

/// Parity of the low bits of the bytes of each word.
pub fn prtyw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let s = b.gpr(i.rs());
    let t = b.op2i(Op2::Shr, s, 16);
    let s = b.op2(Op2::Xor, s, t);
    let t = b.op2i(Op2::Shr, s, 8);
    let s = b.op2(Op2::Xor, s, t);
    let v = b.op2i(Op2::And, s, 0x0000_0001_0000_0001);
    b.set_gpr(i.ra(), v);
    Ok(())
}
pub fn prtyd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let mut s = b.gpr(i.rs());
    for sh in [32, 16, 8] {
        let t = b.op2i(Op2::Shr, s, sh);
        s = b.op2(Op2::Xor, s, t);
    }
    let v = b.op2i(Op2::And, s, 1);
    b.set_gpr(i.ra(), v);
    Ok(())
}

pub fn cmpb<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, y) = (b.gpr(i.rs()), b.gpr(i.rb()));
    let z = b.op2(Op2::Xor, s, y);
    // Top bit of each byte that is zero, exactly: ~(((z & 7f) + 7f) | z | 7f).
    const LOW7: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let t = b.op2i(Op2::And, z, LOW7);
    let t = b.op2i(Op2::Add, t, LOW7);
    let t = b.op2(Op2::Or, t, z);
    let t = b.op2i(Op2::Nor, t, LOW7);
    let t = b.op2i(Op2::Shr, t, 7);
    let v = b.op2i(Op2::Mul, t, 0xff);
    b.set_gpr(i.ra(), v);
    Ok(())
}

pub fn bpermd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, y) = (b.gpr(i.rs()), b.gpr(i.rb()));
    let mut v = b.imm(0);
    let limit = b.imm(64);
    let zero = b.imm(0);
    for n in 0..8u32 {
        let ix = byte(b, s, n);
        let inside = b.rel(Rel::Ltu, ix, limit);
        let at = b.op2i(Op2::Xor, ix, 63);
        let bit = b.op2(Op2::Shr, y, at);
        let bit = b.op2i(Op2::And, bit, 1);
        let bit = b.select(inside, bit, zero);
        let bit = b.op2i(Op2::Shl, bit, n as u64);
        v = b.op2(Op2::Or, v, bit);
    }
    b.set_gpr(i.ra(), v);
    Ok(())
}

macro_rules! bit_gather {
    ($($name:ident $op:ident)*) => { $(
        pub fn $name<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            let (s, y) = (b.gpr(i.rs()), b.gpr(i.rb()));
            let v = b.rare2(crate::builder::Rare2::$op, s, y);
            b.set_gpr(i.ra(), v);
            Ok(())
        }
    )* };
}
bit_gather! { cntlzdm Cntlzdm cnttzdm Cnttzdm cfuged Cfuged pdepd Pdepd pextd Pextd }

pub fn addg6s<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (a, y) = (b.gpr(i.ra()), b.gpr(i.rb()));
    let v = b.rare2(crate::builder::Rare2::Addg6s, a, y);
    b.set_gpr(i.rt(), v);
    Ok(())
}
pub fn cdtbcd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let s = b.gpr(i.rs());
    let v = b.rare2(crate::builder::Rare2::Cdtbcd, s, s);
    b.set_gpr(i.ra(), v);
    Ok(())
}
pub fn cbcdtd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let s = b.gpr(i.rs());
    let v = b.rare2(crate::builder::Rare2::Cbcdtd, s, s);
    b.set_gpr(i.ra(), v);
    Ok(())
}

// ---- rotates and shifts ----

/// MASK(mb, me) of the manual: ones from bit `mb` through `me`, wrapping.
pub const fn mask(mb: u32, me: u32) -> u64 {
    let from = u64::MAX >> mb;
    let to = u64::MAX << (63 - me);
    if mb <= me { from & to } else { from | to }
}

/// ROTL32 of the manual: the word rotated, in both halves. Only the low half where `m` asks for no more.
fn rotl32<B: Builder>(b: &mut B, s: B::V, n: B::V, m: u64) -> B::V {
    let w = b.op2(Op2::RotlW, s, n);
    if m >> 32 == 0 {
        return w;
    }
    let hi = b.op2i(Op2::Shl, w, 32);
    b.op2(Op2::Or, w, hi)
}

#[inline(always)]
pub fn rlwinm<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let s = b.gpr(i.rs());
    let (sh, mb, me) = (i.sh32(), i.mb32(), i.me32());
    let m = mask(mb + 32, me + 32);
    let v = if mb == 0 && me == 31 - sh {
        // slwi
        let v = b.op1(Op1::Extu32, s);
        let v = b.op2i(Op2::Shl, v, sh as u64);
        b.op1(Op1::Extu32, v)
    } else if me == 31 && sh == (32 - mb) & 31 {
        // srwi, clrlwi
        let v = b.op1(Op1::Extu32, s);
        b.op2i(Op2::Shr, v, mb as u64)
    } else if sh == 0 && mb <= me {
        b.op2i(Op2::And, s, m)
    } else {
        let n = b.imm(sh as u64);
        let v = rotl32(b, s, n, m);
        b.op2i(Op2::And, v, m)
    };
    put(b, i.ra(), v, i.rc());
    Ok(())
}
pub fn rlwnm<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, n) = (b.gpr(i.rs()), b.gpr(i.rb()));
    let m = mask(i.mb32() + 32, i.me32() + 32);
    let v = rotl32(b, s, n, m);
    let v = b.op2i(Op2::And, v, m);
    put(b, i.ra(), v, i.rc());
    Ok(())
}
#[inline(always)]
pub fn rlwimi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, old) = (b.gpr(i.rs()), b.gpr(i.ra()));
    let m = mask(i.mb32() + 32, i.me32() + 32);
    let n = b.imm(i.sh32() as u64);
    let v = rotl32(b, s, n, m);
    let v = b.op2i(Op2::And, v, m);
    let keep = b.op2i(Op2::And, old, !m);
    let v = b.op2(Op2::Or, v, keep);
    put(b, i.ra(), v, i.rc());
    Ok(())
}

#[inline(always)]
fn rotate64<B: Builder>(b: &mut B, i: Insn, m: u64) -> R<B> {
    let s = b.gpr(i.rs());
    let sh = i.sh64() as u64;
    let v = if sh == 0 {
        b.op2i(Op2::And, s, m)
    } else if m == u64::MAX << sh {
        b.op2i(Op2::Shl, s, sh)
    } else if m == u64::MAX >> (64 - sh) {
        b.op2i(Op2::Shr, s, 64 - sh)
    } else if m & !(u64::MAX << sh) == 0 && m <= 0xffff_ffff << sh {
        // clrlsldi of half a register or less: a small mask
        let v = b.op2i(Op2::And, s, m >> sh);
        b.op2i(Op2::Shl, v, sh)
    } else {
        let v = b.op2i(Op2::Rotl, s, sh);
        if m == u64::MAX { v } else { b.op2i(Op2::And, v, m) }
    };
    put(b, i.ra(), v, i.rc());
    Ok(())
}
#[inline(always)]
pub fn rldicl<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    rotate64(b, i, mask(i.mb64(), 63))
}
#[inline(always)]
pub fn rldicr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    rotate64(b, i, mask(0, i.mb64()))
}
#[inline(always)]
pub fn rldic<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    rotate64(b, i, mask(i.mb64(), 63 - i.sh64()))
}
#[inline(always)]
pub fn rldimi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, old) = (b.gpr(i.rs()), b.gpr(i.ra()));
    let m = mask(i.mb64(), 63 - i.sh64());
    let v = b.op2i(Op2::Rotl, s, i.sh64() as u64);
    let v = b.op2i(Op2::And, v, m);
    let keep = b.op2i(Op2::And, old, !m);
    let v = b.op2(Op2::Or, v, keep);
    put(b, i.ra(), v, i.rc());
    Ok(())
}
fn rotate_reg<B: Builder>(b: &mut B, i: Insn, m: u64) -> R<B> {
    let (s, n) = (b.gpr(i.rs()), b.gpr(i.rb()));
    let v = b.op2(Op2::Rotl, s, n);
    let v = b.op2i(Op2::And, v, m);
    put(b, i.ra(), v, i.rc());
    Ok(())
}
pub fn rldcl<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    rotate_reg(b, i, mask(i.mb64(), 63))
}
pub fn rldcr<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    rotate_reg(b, i, mask(0, i.mb64()))
}

#[inline(always)]
pub fn sld<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    shift64(b, i, Op2::Shl)
}
#[inline(always)]
pub fn srd<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    shift64(b, i, Op2::Shr)
}
#[inline(always)]
fn shift64<B: Builder>(b: &mut B, i: Insn, op: Op2) -> R<B> {
    let (s, n) = (b.gpr(i.rs()), b.gpr(i.rb()));
    let v = b.op2(op, s, n);
    let far = b.test_bit(n, 6);
    let zero = b.imm(0);
    let v = b.select(far, zero, v);
    put(b, i.ra(), v, i.rc());
    Ok(())
}
#[inline(always)]
pub fn slw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, n) = (b.gpr(i.rs()), b.gpr(i.rb()));
    let s = b.op1(Op1::Extu32, s);
    let n = b.op2i(Op2::And, n, 63); // 32 and more shift everything out of the word
    let v = b.op2(Op2::Shl, s, n);
    let v = b.op1(Op1::Extu32, v);
    put(b, i.ra(), v, i.rc());
    Ok(())
}
#[inline(always)]
pub fn srw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, n) = (b.gpr(i.rs()), b.gpr(i.rb()));
    let s = b.op1(Op1::Extu32, s);
    let n = b.op2i(Op2::And, n, 63);
    let v = b.op2(Op2::Shr, s, n);
    put(b, i.ra(), v, i.rc());
    Ok(())
}

/// CA (and CA32) of an algebraic right shift: the operand is negative and a one was shifted out.
fn sra_carry<B: Builder>(b: &mut B, s: B::V, v: B::V, n: B::V) {
    let back = b.op2(Op2::Shl, v, n);
    let lost = b.rel(Rel::Ne, back, s);
    let zero = b.imm(0);
    let neg = b.rel(Rel::Lts, s, zero);
    let ca = b.c_and(lost, neg);
    b.set_ca(ca, ca);
}

/// Shift by 0..=63 with the sign-extended operand, so that amounts of 32..63 of a word need no case of their own.
fn sra<B: Builder>(b: &mut B, i: Insn, s: B::V, n: B::V) -> R<B> {
    let v = b.op2(Op2::Sar, s, n);
    sra_carry(b, s, v, n);
    put(b, i.ra(), v, i.rc());
    Ok(())
}
#[inline(always)]
pub fn srawi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let s = b.gpr(i.rs());
    let (s, n) = (b.op1(Op1::Exts32, s), b.imm(i.sh32() as u64));
    sra(b, i, s, n)
}
pub fn sraw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, n) = (b.gpr(i.rs()), b.gpr(i.rb()));
    let (s, n) = (b.op1(Op1::Exts32, s), b.op2i(Op2::And, n, 63));
    sra(b, i, s, n)
}
#[inline(always)]
pub fn sradi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, n) = (b.gpr(i.rs()), b.imm(i.sh64() as u64));
    sra(b, i, s, n)
}
pub fn srad<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let (s, n) = (b.gpr(i.rs()), b.gpr(i.rb()));
    // 64..127 leave the sign everywhere: shift by 63 twice gives that, with the carry found from the first.
    let far = b.test_bit(n, 6);
    let n63 = b.imm(63);
    let low = b.op2i(Op2::And, n, 63);
    let m = b.select(far, n63, low);
    let v = b.op2(Op2::Sar, s, m);
    let back = b.op2(Op2::Shl, v, m);
    let lost = b.rel(Rel::Ne, back, s);
    let lost = b.c_or(lost, far);
    let zero = b.imm(0);
    let neg = b.rel(Rel::Lts, s, zero);
    let ca = b.c_and(lost, neg);
    b.set_ca(ca, ca);
    put(b, i.ra(), v, i.rc());
    Ok(())
}
pub fn extswsli<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let s = b.gpr(i.rs());
    let s = b.op1(Op1::Exts32, s);
    let v = b.op2i(Op2::Shl, s, i.sh64() as u64);
    put(b, i.ra(), v, i.rc());
    Ok(())
}
