//! Fixed-point storage access, atomic, cache and barrier instructions (Book I 3.3.2 to 3.3.8, Book II chapter 4).
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{Acc, Barrier, Builder, Helper, Insn, Op1, Op2};

macro_rules! load_store_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* load_store {
        Lbz    "lbz"    d(34)       V2_06 "RT,D(RA)"  lbz;
        Lbzu   "lbzu"   d(35)       V2_06 "RT,D(RA)"  lbzu;
        Lbzx   "lbzx"   x(31, 87)   V2_06 "RT,RA,RB"  lbzx;
        Lbzux  "lbzux"  x(31, 119)  V2_06 "RT,RA,RB"  lbzux;
        Lhz    "lhz"    d(40)       V2_06 "RT,D(RA)"  lhz;
        Lhzu   "lhzu"   d(41)       V2_06 "RT,D(RA)"  lhzu;
        Lhzx   "lhzx"   x(31, 279)  V2_06 "RT,RA,RB"  lhzx;
        Lhzux  "lhzux"  x(31, 311)  V2_06 "RT,RA,RB"  lhzux;
        Lha    "lha"    d(42)       V2_06 "RT,D(RA)"  lha;
        Lhau   "lhau"   d(43)       V2_06 "RT,D(RA)"  lhau;
        Lhax   "lhax"   x(31, 343)  V2_06 "RT,RA,RB"  lhax;
        Lhaux  "lhaux"  x(31, 375)  V2_06 "RT,RA,RB"  lhaux;
        Lwz    "lwz"    d(32)       V2_06 "RT,D(RA)"  lwz;
        Lwzu   "lwzu"   d(33)       V2_06 "RT,D(RA)"  lwzu;
        Lwzx   "lwzx"   x(31, 23)   V2_06 "RT,RA,RB"  lwzx;
        Lwzux  "lwzux"  x(31, 55)   V2_06 "RT,RA,RB"  lwzux;
        Lwa    "lwa"    ds(58, 2)   V2_06 "RT,DS(RA)" lwa;
        Lwax   "lwax"   x(31, 341)  V2_06 "RT,RA,RB"  lwax;
        Lwaux  "lwaux"  x(31, 373)  V2_06 "RT,RA,RB"  lwaux;
        Ld     "ld"     ds(58, 0)   V2_06 "RT,DS(RA)" ld;
        Ldu    "ldu"    ds(58, 1)   V2_06 "RT,DS(RA)" ldu;
        Ldx    "ldx"    x(31, 21)   V2_06 "RT,RA,RB"  ldx;
        Ldux   "ldux"   x(31, 53)   V2_06 "RT,RA,RB"  ldux;
        Stb    "stb"    d(38)       V2_06 "RS,D(RA)"  stb;
        Stbu   "stbu"   d(39)       V2_06 "RS,D(RA)"  stbu;
        Stbx   "stbx"   x(31, 215)  V2_06 "RS,RA,RB"  stbx;
        Stbux  "stbux"  x(31, 247)  V2_06 "RS,RA,RB"  stbux;
        Sth    "sth"    d(44)       V2_06 "RS,D(RA)"  sth;
        Sthu   "sthu"   d(45)       V2_06 "RS,D(RA)"  sthu;
        Sthx   "sthx"   x(31, 407)  V2_06 "RS,RA,RB"  sthx;
        Sthux  "sthux"  x(31, 439)  V2_06 "RS,RA,RB"  sthux;
        Stw    "stw"    d(36)       V2_06 "RS,D(RA)"  stw;
        Stwu   "stwu"   d(37)       V2_06 "RS,D(RA)"  stwu;
        Stwx   "stwx"   x(31, 151)  V2_06 "RS,RA,RB"  stwx;
        Stwux  "stwux"  x(31, 183)  V2_06 "RS,RA,RB"  stwux;
        Std    "std"    ds(62, 0)   V2_06 "RS,DS(RA)" std;
        Stdu   "stdu"   ds(62, 1)   V2_06 "RS,DS(RA)" stdu;
        Stdx   "stdx"   x(31, 149)  V2_06 "RS,RA,RB"  stdx;
        Stdux  "stdux"  x(31, 181)  V2_06 "RS,RA,RB"  stdux;
        Lq     "lq"     d(56)       V2_06 "RTp,DQ(RA)" lq;
        Stq    "stq"    ds(62, 2)   V2_06 "RSp,DS(RA)" stq;
        Lhbrx  "lhbrx"  x(31, 790)  V2_06 "RT,RA,RB"  lhbrx;
        Lwbrx  "lwbrx"  x(31, 534)  V2_06 "RT,RA,RB"  lwbrx;
        Ldbrx  "ldbrx"  x(31, 532)  V2_06 "RT,RA,RB"  ldbrx;
        Sthbrx "sthbrx" x(31, 918)  V2_06 "RS,RA,RB"  sthbrx;
        Stwbrx "stwbrx" x(31, 662)  V2_06 "RS,RA,RB"  stwbrx;
        Stdbrx "stdbrx" x(31, 660)  V2_06 "RS,RA,RB"  stdbrx;
        Lmw    "lmw"    d(46)       V2_06 "RT,D(RA)"  lmw;
        Stmw   "stmw"   d(47)       V2_06 "RS,D(RA)"  stmw;
        Lswi   "lswi"   x(31, 597)  V2_06 "RT,RA,NB"  lswi;
        Lswx   "lswx"   x(31, 533)  V2_06 "RT,RA,RB"  lswx;
        Stswi  "stswi"  x(31, 725)  V2_06 "RS,RA,NB"  stswi;
        Stswx  "stswx"  x(31, 661)  V2_06 "RS,RA,RB"  stswx;
        Plbz   "plbz"   prefixed(2, 8, 0, crate::encoding::d(34)) V3_1 "RT,D(RA),R" plbz;
        Plhz   "plhz"   prefixed(2, 8, 0, crate::encoding::d(40)) V3_1 "RT,D(RA),R" plhz;
        Plha   "plha"   prefixed(2, 8, 0, crate::encoding::d(42)) V3_1 "RT,D(RA),R" plha;
        Plwz   "plwz"   prefixed(2, 8, 0, crate::encoding::d(32)) V3_1 "RT,D(RA),R" plwz;
        Plwa   "plwa"   prefixed(0, 8, 0, crate::encoding::d(41)) V3_1 "RT,D(RA),R" plwa;
        Pld    "pld"    prefixed(0, 8, 0, crate::encoding::d(57)) V3_1 "RT,D(RA),R" pld;
        Plq    "plq"    prefixed(0, 8, 0, crate::encoding::d(56)) V3_1 "RTp,D(RA),R" plq;
        Pstb   "pstb"   prefixed(2, 8, 0, crate::encoding::d(38)) V3_1 "RS,D(RA),R" pstb;
        Psth   "psth"   prefixed(2, 8, 0, crate::encoding::d(44)) V3_1 "RS,D(RA),R" psth;
        Pstw   "pstw"   prefixed(2, 8, 0, crate::encoding::d(36)) V3_1 "RS,D(RA),R" pstw;
        Pstd   "pstd"   prefixed(0, 8, 0, crate::encoding::d(61)) V3_1 "RS,D(RA),R" pstd;
        Pstq   "pstq"   prefixed(0, 8, 0, crate::encoding::d(60)) V3_1 "RSp,D(RA),R" pstq;
        Lfs    "lfs"    d(48)       V2_06 "FRT,D(RA)"  lfs;
        Lfsu   "lfsu"   d(49)       V2_06 "FRT,D(RA)"  lfsu;
        Lfsx   "lfsx"   x(31, 535)  V2_06 "FRT,RA,RB"  lfsx;
        Lfsux  "lfsux"  x(31, 567)  V2_06 "FRT,RA,RB"  lfsux;
        Lfd    "lfd"    d(50)       V2_06 "FRT,D(RA)"  lfd;
        Lfdu   "lfdu"   d(51)       V2_06 "FRT,D(RA)"  lfdu;
        Lfdx   "lfdx"   x(31, 599)  V2_06 "FRT,RA,RB"  lfdx;
        Lfdux  "lfdux"  x(31, 631)  V2_06 "FRT,RA,RB"  lfdux;
        Lfiwax "lfiwax" x(31, 855)  V2_06 "FRT,RA,RB"  lfiwax;
        Lfiwzx "lfiwzx" x(31, 887)  V2_06 "FRT,RA,RB"  lfiwzx;
        Lfdp   "lfdp"   ds(57, 0)   V2_06 "FRTp,DS(RA)" lfdp;
        Lfdpx  "lfdpx"  x(31, 791)  V2_06 "FRTp,RA,RB" lfdpx;
        Stfs   "stfs"   d(52)       V2_06 "FRS,D(RA)"  stfs;
        Stfsu  "stfsu"  d(53)       V2_06 "FRS,D(RA)"  stfsu;
        Stfsx  "stfsx"  x(31, 663)  V2_06 "FRS,RA,RB"  stfsx;
        Stfsux "stfsux" x(31, 695)  V2_06 "FRS,RA,RB"  stfsux;
        Stfd   "stfd"   d(54)       V2_06 "FRS,D(RA)"  stfd;
        Stfdu  "stfdu"  d(55)       V2_06 "FRS,D(RA)"  stfdu;
        Stfdx  "stfdx"  x(31, 727)  V2_06 "FRS,RA,RB"  stfdx;
        Stfdux "stfdux" x(31, 759)  V2_06 "FRS,RA,RB"  stfdux;
        Stfiwx "stfiwx" x(31, 983)  V2_06 "FRS,RA,RB"  stfiwx;
        Stfdp  "stfdp"  ds(61, 0)   V2_06 "FRSp,DS(RA)" stfdp;
        Stfdpx "stfdpx" x(31, 919)  V2_06 "FRSp,RA,RB" stfdpx;
        Plfs   "plfs"   prefixed(2, 8, 0, crate::encoding::d(48)) V3_1 "FRT,D(RA),R" plfs;
        Plfd   "plfd"   prefixed(2, 8, 0, crate::encoding::d(50)) V3_1 "FRT,D(RA),R" plfd;
        Pstfs  "pstfs"  prefixed(2, 8, 0, crate::encoding::d(52)) V3_1 "FRS,D(RA),R" pstfs;
        Pstfd  "pstfd"  prefixed(2, 8, 0, crate::encoding::d(54)) V3_1 "FRS,D(RA),R" pstfd;
        Lbarx  "lbarx"  x(31, 52)   V2_06 "RT,RA,RB,EH" lbarx;
        Lharx  "lharx"  x(31, 116)  V2_06 "RT,RA,RB,EH" lharx;
        Lwarx  "lwarx"  x(31, 20)   V2_06 "RT,RA,RB,EH" lwarx;
        Ldarx  "ldarx"  x(31, 84)   V2_06 "RT,RA,RB,EH" ldarx;
        Lqarx  "lqarx"  x(31, 276)  V2_07 "RTp,RA,RB,EH" lqarx;
        Stbcx  "stbcx." x_rc(31, 694, 1) V2_06 "RS,RA,RB" stbcx;
        Sthcx  "sthcx." x_rc(31, 726, 1) V2_06 "RS,RA,RB" sthcx;
        Stwcx  "stwcx." x_rc(31, 150, 1) V2_06 "RS,RA,RB" stwcx;
        Stdcx  "stdcx." x_rc(31, 214, 1) V2_06 "RS,RA,RB" stdcx;
        Stqcx  "stqcx." x_rc(31, 182, 1) V2_07 "RSp,RA,RB" stqcx;
        Lwat   "lwat"   x(31, 582)  V3_0  "RT,RA,FC"   amo;
        Ldat   "ldat"   x(31, 614)  V3_0  "RT,RA,FC"   amo;
        Stwat  "stwat"  x(31, 710)  V3_0  "RS,RA,FC"   amo;
        Stdat  "stdat"  x(31, 742)  V3_0  "RS,RA,FC"   amo;
        Sync   "sync"   x(31, 598)  V2_06 "L,SC"       sync;
        Eieio  "eieio"  x(31, 854)  V2_06 ""           eieio;
        Isync  "isync"  x(19, 150)  V2_06 ""           isync;
        Dcbt   "dcbt"   x(31, 278)  V2_06 "RA,RB,TH"   hint;
        Dcbtst "dcbtst" x(31, 246)  V2_06 "RA,RB,TH"   hint;
        Dst    "dst"    x(31, 342)  V2_06 "RA,RB,STRM" hint;
        Dstst  "dstst"  x(31, 374)  V2_06 "RA,RB,STRM" hint;
        Dss    "dss"    x(31, 822)  V2_06 "STRM"       hint;
        Dcbst  "dcbst"  x(31, 54)   V2_06 "RA,RB"      touch;
        Dcbf   "dcbf"   x(31, 86)   V2_06 "RA,RB,L"    touch;
        Dcbz   "dcbz"   x(31, 1014) V2_06 "RA,RB"      dcbz;
        Icbi   "icbi"   x(31, 982)  V2_06 "RA,RB"      icbi;
        Icbt   "icbt"   x(31, 22)   V2_07 "CT,RA,RB"   hint;
        HashSt  "hashst"   x(31, 722) V3_1 "RB,D(RA)"  hashst;
        HashChk "hashchk"  x(31, 754) V3_1 "RB,D(RA)"  hashchk;
        HashStP  "hashstp" x(31, 658) V3_1 "RB,D(RA)"  hashstp;
        HashChkP "hashchkp" x(31, 690) V3_1 "RB,D(RA)" hashchkp;
        Copy    "copy"     x(31, 774) V3_0 "RA,RB"     copy;
        Paste   "paste."   x(31, 902) V3_0 "RA,RB,L"   paste;
        CpAbort "cpabort"  x(31, 838) V3_0 ""          cpabort;
        Pnop    "pnop"     prefixed(3, 15, 0, crate::encoding::raw(0, 0)) V3_1 "" pnop;
    } } } };
}
pub(crate) use load_store_rows;

type R<B> = Result<(), <B as Builder>::Stop>;

/// Truncate an address in 32-bit mode.
#[inline(always)]
pub fn ea_mode<B: Builder>(b: &mut B, ea: B::V) -> B::V {
    if b.mode().sf { ea } else { b.op1(Op1::Extu32, ea) }
}

/// (RA|0) + displacement.
#[inline(always)]
pub fn ea_d<B: Builder>(b: &mut B, ra: u32, disp: i64) -> B::V {
    let ea = if ra == 0 {
        b.imm(disp as u64)
    } else {
        let a = b.gpr(ra);
        if disp == 0 { a } else { b.op2i(Op2::Add, a, disp as u64) }
    };
    ea_mode(b, ea)
}

/// (RA|0) + (RB).
#[inline(always)]
pub fn ea_x<B: Builder>(b: &mut B, ra: u32, rb: u32) -> B::V {
    let y = b.gpr(rb);
    let ea = if ra == 0 {
        y
    } else {
        let a = b.gpr(ra);
        b.op2(Op2::Add, a, y)
    };
    ea_mode(b, ea)
}

/// The address of a prefixed access: (RA|0) + d34, or relative to the instruction. `Err` for R = 1 with RA != 0.
#[inline(always)]
pub fn ea_p<B: Builder>(b: &mut B, i: Insn) -> Result<B::V, B::Stop> {
    if i.pcrel() {
        if i.ra() != 0 {
            b.illegal()?;
        }
        let ea = b.cia_plus(i.d34());
        Ok(ea_mode(b, ea))
    } else {
        Ok(ea_d(b, i.ra(), i.d34()))
    }
}

/// An address `n` bytes further on.
#[inline(always)]
pub fn ea_next<B: Builder>(b: &mut B, ea: B::V, n: u64) -> B::V {
    let ea = b.op2i(Op2::Add, ea, n);
    ea_mode(b, ea)
}

macro_rules! loads {
    ($($name:ident $acc:expr, $form:ident $($update:ident)?;)*) => { $(
        #[inline(always)]
        pub fn $name<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            let ea = loads!(@ea b i $form);
            let v = b.load(ea, $acc)?;
            $(let _ = stringify!($update); b.set_gpr(i.ra(), ea);)?
            b.set_gpr(i.rt(), v);
            Ok(())
        }
    )* };
    (@ea $b:ident $i:ident d) => { ea_d($b, $i.ra(), $i.si()) };
    (@ea $b:ident $i:ident ds) => { ea_d($b, $i.ra(), $i.ds()) };
    (@ea $b:ident $i:ident x) => { ea_x($b, $i.ra(), $i.rb()) };
    (@ea $b:ident $i:ident p) => { ea_p($b, $i)? };
}
loads! {
    lbz Acc::u(1), d; lbzu Acc::u(1), d update; lbzx Acc::u(1), x; lbzux Acc::u(1), x update; plbz Acc::u(1), p;
    lhz Acc::u(2), d; lhzu Acc::u(2), d update; lhzx Acc::u(2), x; lhzux Acc::u(2), x update; plhz Acc::u(2), p;
    lha Acc::s(2), d; lhau Acc::s(2), d update; lhax Acc::s(2), x; lhaux Acc::s(2), x update; plha Acc::s(2), p;
    lwz Acc::u(4), d; lwzu Acc::u(4), d update; lwzx Acc::u(4), x; lwzux Acc::u(4), x update; plwz Acc::u(4), p;
    lwa Acc::s(4), ds; lwax Acc::s(4), x; lwaux Acc::s(4), x update; plwa Acc::s(4), p;
    ld Acc::u(8), ds; ldu Acc::u(8), ds update; ldx Acc::u(8), x; ldux Acc::u(8), x update; pld Acc::u(8), p;
    lhbrx Acc::r(2), x; lwbrx Acc::r(4), x; ldbrx Acc::r(8), x;
}

macro_rules! stores {
    ($($name:ident $acc:expr, $form:ident $($update:ident)?;)*) => { $(
        #[inline(always)]
        pub fn $name<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            let ea = loads!(@ea b i $form);
            let v = b.gpr(i.rs());
            b.store(ea, v, $acc)?;
            $(let _ = stringify!($update); b.set_gpr(i.ra(), ea);)?
            Ok(())
        }
    )* };
}
stores! {
    stb Acc::u(1), d; stbu Acc::u(1), d update; stbx Acc::u(1), x; stbux Acc::u(1), x update; pstb Acc::u(1), p;
    sth Acc::u(2), d; sthu Acc::u(2), d update; sthx Acc::u(2), x; sthux Acc::u(2), x update; psth Acc::u(2), p;
    stw Acc::u(4), d; stwu Acc::u(4), d update; stwx Acc::u(4), x; stwux Acc::u(4), x update; pstw Acc::u(4), p;
    std Acc::u(8), ds; stdu Acc::u(8), ds update; stdx Acc::u(8), x; stdux Acc::u(8), x update; pstd Acc::u(8), p;
    sthbrx Acc::r(2), x; stwbrx Acc::r(4), x; stdbrx Acc::r(8), x;
}

// ---- quadwords, multiples and strings ----

/// GPR pairs hold the more significant doubleword of the quadword in RTp in big-endian mode; in little-endian mode
/// the doubleword at the lower address is the less significant one and goes to RTp+1 (Book I, 3.3.4).
fn load_quad<B: Builder>(b: &mut B, i: Insn, ea: B::V) -> R<B> {
    if i.rt() & 1 != 0 || i.rt() == i.ra() {
        return b.illegal();
    }
    let w = b.load_q(ea)?;
    let (hi, lo) = (b.w_hi(w), b.w_lo(w));
    b.set_gpr(i.rt(), hi);
    b.set_gpr(i.rt() | 1, lo);
    Ok(())
}
fn store_quad<B: Builder>(b: &mut B, i: Insn, ea: B::V) -> R<B> {
    if i.rs() & 1 != 0 {
        return b.illegal();
    }
    let (hi, lo) = (b.gpr(i.rs()), b.gpr(i.rs() | 1));
    let w = b.w_pair(hi, lo);
    b.store_q(ea, w)
}
fn quad_privilege<B: Builder>(b: &mut B) -> R<B> {
    if b.mode().level < crate::Level::V2_07 { b.need_privilege() } else { Ok(()) }
}
pub fn lq<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    quad_privilege(b)?;
    let ea = ea_d(b, i.ra(), i.dq());
    load_quad(b, i, ea)
}
pub fn stq<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    quad_privilege(b)?;
    let ea = ea_d(b, i.ra(), i.ds());
    store_quad(b, i, ea)
}
/// `plq` and `pstq` pair the registers the other way in little-endian mode (Book I, 3.3.4).
pub fn plq<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    if i.rt() & 1 != 0 || i.rt() == i.ra() {
        return b.illegal();
    }
    let ea = ea_p(b, i)?;
    let w = b.load_q(ea)?;
    let (hi, lo) = (b.w_hi(w), b.w_lo(w));
    let (first, second) = if b.mode().le { (lo, hi) } else { (hi, lo) };
    b.set_gpr(i.rt(), first);
    b.set_gpr(i.rt() | 1, second);
    Ok(())
}
pub fn pstq<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    if i.rs() & 1 != 0 {
        return b.illegal();
    }
    let ea = ea_p(b, i)?;
    let (first, second) = (b.gpr(i.rs()), b.gpr(i.rs() | 1));
    let w = if b.mode().le { b.w_pair(second, first) } else { b.w_pair(first, second) };
    b.store_q(ea, w)
}

/// Multiple and string accesses in little-endian mode interrupt with an alignment interrupt (Book I, 3.3.5).
fn no_little_endian<B: Builder>(b: &mut B, ea: B::V) -> R<B> {
    if b.mode().le { Err(b.alignment(ea)) } else { Ok(()) }
}
pub fn lmw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let ea = ea_d(b, i.ra(), i.si());
    no_little_endian(b, ea)?;
    let count = 32 - i.rt();
    let first = b.imm(0);
    let mut vals = [first; 32];
    for n in 0..count {
        let at = ea_next(b, ea, 4 * n as u64);
        vals[n as usize] = b.load(at, Acc::u(4))?;
    }
    for n in 0..count {
        b.set_gpr(i.rt() + n, vals[n as usize]);
    }
    Ok(())
}
pub fn stmw<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let ea = ea_d(b, i.ra(), i.si());
    no_little_endian(b, ea)?;
    for n in 0..32 - i.rs() {
        let at = ea_next(b, ea, 4 * n as u64);
        let v = b.gpr(i.rs() + n);
        b.store(at, v, Acc::u(4))?;
    }
    Ok(())
}

/// Bytes of an immediate string instruction: NB, 0 meaning 32.
fn string_len(i: Insn) -> u32 {
    if i.nb() == 0 { 32 } else { i.nb() }
}
pub fn lswi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let ea = ea_d(b, i.ra(), 0);
    no_little_endian(b, ea)?;
    let n = string_len(i);
    let zero = b.imm(0);
    let mut regs = [zero; 8];
    for k in 0..n {
        let at = ea_next(b, ea, k as u64);
        let v = b.load(at, Acc::u(1))?;
        let v = b.op2i(Op2::Shl, v, 24 - 8 * (k as u64 % 4));
        regs[k as usize / 4] = b.op2(Op2::Or, regs[k as usize / 4], v);
    }
    // With RA among the registers to be loaded the form is invalid (Book I, 3.3.6); RA is left as it was, as processors do.
    for k in (0..n.div_ceil(4)).filter(|k| (i.rt() + k) % 32 != i.ra()) {
        b.set_gpr((i.rt() + k) % 32, regs[k as usize]);
    }
    Ok(())
}
pub fn stswi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let ea = ea_d(b, i.ra(), 0);
    no_little_endian(b, ea)?;
    for k in 0..string_len(i) {
        let at = ea_next(b, ea, k as u64);
        let v = b.gpr((i.rs() + k / 4) % 32);
        let v = b.op2i(Op2::Shr, v, 24 - 8 * (k as u64 % 4));
        b.store(at, v, Acc::u(1))?;
    }
    Ok(())
}
pub fn lswx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::Lswx, i)
}
pub fn stswx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::Stswx, i)
}

// ---- floating-point loads and stores ----

macro_rules! fp_loads {
    ($($name:ident $kind:ident $form:ident $($update:ident)?;)*) => { $(
        #[inline(always)]
        pub fn $name<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(crate::Facility::Fp)?;
            let ea = loads!(@ea b i $form);
            let v = fp_loads!(@load b ea $kind);
            $(let _ = stringify!($update); b.set_gpr(i.ra(), ea);)?
            b.set_fpr(i.frt(), v);
            Ok(())
        }
    )* };
    (@load $b:ident $ea:ident single) => {{ let v = $b.load($ea, Acc::u(4))?; $b.single_to_double(v) }};
    (@load $b:ident $ea:ident double) => { $b.load($ea, Acc::u(8))? };
    (@load $b:ident $ea:ident signed) => { $b.load($ea, Acc::s(4))? };
    (@load $b:ident $ea:ident word) => { $b.load($ea, Acc::u(4))? };
}
fp_loads! {
    lfs single d; lfsu single d update; lfsx single x; lfsux single x update; plfs single p;
    lfd double d; lfdu double d update; lfdx double x; lfdux double x update; plfd double p;
    lfiwax signed x; lfiwzx word x;
}

macro_rules! fp_stores {
    ($($name:ident $kind:ident $form:ident $($update:ident)?;)*) => { $(
        #[inline(always)]
        pub fn $name<B: Builder>(b: &mut B, i: Insn) -> R<B> {
            b.need(crate::Facility::Fp)?;
            let ea = loads!(@ea b i $form);
            let v = b.fpr(i.frt());
            fp_stores!(@store b ea v $kind);
            $(let _ = stringify!($update); b.set_gpr(i.ra(), ea);)?
            Ok(())
        }
    )* };
    (@store $b:ident $ea:ident $v:ident single) => {{ let s = $b.double_to_single($v); $b.store($ea, s, Acc::u(4))? }};
    (@store $b:ident $ea:ident $v:ident double) => { $b.store($ea, $v, Acc::u(8))? };
    (@store $b:ident $ea:ident $v:ident word) => { $b.store($ea, $v, Acc::u(4))? };
}
fp_stores! {
    stfs single d; stfsu single d update; stfsx single x; stfsux single x update; pstfs single p;
    stfd double d; stfdu double d update; stfdx double x; stfdux double x update; pstfd double p;
    stfiwx word x;
}

/// Pairs: FRTp holds the doubleword at the lower address in both byte orders... of big-endian storage; in
/// little-endian mode the pair is exchanged (Book I, 4.6.2: the 16 bytes are one quadword).
fn fp_pair_load<B: Builder>(b: &mut B, i: Insn, ea: B::V) -> R<B> {
    if i.frt() & 1 != 0 {
        return b.illegal();
    }
    let w = b.load_w(ea, 16)?;
    let (hi, lo) = (b.w_hi(w), b.w_lo(w));
    b.set_fpr(i.frt(), hi);
    b.set_fpr(i.frt() | 1, lo);
    Ok(())
}
fn fp_pair_store<B: Builder>(b: &mut B, i: Insn, ea: B::V) -> R<B> {
    if i.frt() & 1 != 0 {
        return b.illegal();
    }
    let (hi, lo) = (b.fpr(i.frt()), b.fpr(i.frt() | 1));
    let w = b.w_pair(hi, lo);
    b.store_w(ea, w, 16)
}
pub fn lfdp<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(crate::Facility::Fp)?;
    let ea = ea_d(b, i.ra(), i.ds());
    fp_pair_load(b, i, ea)
}
pub fn lfdpx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(crate::Facility::Fp)?;
    let ea = ea_x(b, i.ra(), i.rb());
    fp_pair_load(b, i, ea)
}
pub fn stfdp<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(crate::Facility::Fp)?;
    let ea = ea_d(b, i.ra(), i.ds());
    fp_pair_store(b, i, ea)
}
pub fn stfdpx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need(crate::Facility::Fp)?;
    let ea = ea_x(b, i.ra(), i.rb());
    fp_pair_store(b, i, ea)
}

// ---- atomics ----

fn load_reserve<B: Builder>(b: &mut B, i: Insn, size: u8) -> R<B> {
    let ea = ea_x(b, i.ra(), i.rb());
    let v = b.larx(ea, size)?;
    b.set_gpr(i.rt(), v);
    Ok(())
}
pub fn lbarx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    load_reserve(b, i, 1)
}
pub fn lharx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    load_reserve(b, i, 2)
}
pub fn lwarx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    load_reserve(b, i, 4)
}
pub fn ldarx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    load_reserve(b, i, 8)
}
pub fn lqarx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    if i.rt() & 1 != 0 || i.rt() == i.ra() || i.rt() == i.rb() {
        return b.illegal();
    }
    let ea = ea_x(b, i.ra(), i.rb());
    let w = b.lqarx(ea)?;
    let (hi, lo) = (b.w_hi(w), b.w_lo(w));
    b.set_gpr(i.rt(), hi);
    b.set_gpr(i.rt() | 1, lo);
    Ok(())
}

/// CR0 = 0b00 || stored || XER[SO].
fn stored<B: Builder>(b: &mut B, c: B::C) {
    let v = b.c_value(c);
    let v = b.op2i(Op2::Shl, v, 1);
    let so = b.so();
    let so = b.c_value(so);
    let v = b.op2(Op2::Or, v, so);
    b.set_cr_field(0, v);
}
fn store_conditional<B: Builder>(b: &mut B, i: Insn, size: u8) -> R<B> {
    let ea = ea_x(b, i.ra(), i.rb());
    let v = b.gpr(i.rs());
    let c = b.stcx(ea, v, size)?;
    stored(b, c);
    Ok(())
}
pub fn stbcx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    store_conditional(b, i, 1)
}
pub fn sthcx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    store_conditional(b, i, 2)
}
pub fn stwcx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    store_conditional(b, i, 4)
}
pub fn stdcx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    store_conditional(b, i, 8)
}
pub fn stqcx<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    if i.rs() & 1 != 0 {
        return b.illegal();
    }
    let ea = ea_x(b, i.ra(), i.rb());
    let (hi, lo) = (b.gpr(i.rs()), b.gpr(i.rs() | 1));
    let w = b.w_pair(hi, lo);
    let c = b.stqcx(ea, w)?;
    stored(b, c);
    Ok(())
}
pub fn amo<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::Amo, i)
}

// ---- barriers and caches ----

pub fn sync<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    // L: 0 hwsync, 1 lwsync, 2 ptesync (privileged), 4 and 5 persistence (ISA 3.1, hwsync is stronger).
    match i.bits(8, 10) {
        1 => b.barrier(Barrier::Light),
        2 => {
            b.need_privilege()?;
            b.barrier(Barrier::Full);
        }
        _ => b.barrier(Barrier::Full),
    }
    Ok(())
}
pub fn eieio<B: Builder>(b: &mut B, _: Insn) -> R<B> {
    b.barrier(Barrier::Io);
    Ok(())
}
pub fn isync<B: Builder>(b: &mut B, _: Insn) -> R<B> {
    b.barrier(Barrier::Instruction);
    Ok(())
}
/// Touches and hints: no access is made, so none can interrupt. The data streams of old VMX (`dst`, `dstst`, `dss`,
/// gone from the ISA since 2.03) are still accepted by every processor, and Linux issues `dssall`.
pub fn hint<B: Builder>(_: &mut B, _: Insn) -> R<B> {
    Ok(())
}
/// `dcbst`, `dcbf`: caches are coherent, what is left is the access check of a load.
pub fn touch<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let ea = ea_x(b, i.ra(), i.rb());
    b.load(ea, Acc::u(1))?;
    Ok(())
}
pub fn dcbz<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    let ea = ea_x(b, i.ra(), i.rb());
    b.dcbz(ea)
}
pub fn icbi<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::Icbi, i)
}
pub fn hashst<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::HashSt, i)
}
pub fn hashchk<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::HashChk, i)
}
pub fn hashstp<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need_privilege()?;
    b.helper(Helper::HashStP, i)
}
pub fn hashchkp<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.need_privilege()?;
    b.helper(Helper::HashChkP, i)
}
pub fn copy<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::Copy, i)
}
pub fn paste<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::Paste, i)
}
pub fn cpabort<B: Builder>(b: &mut B, i: Insn) -> R<B> {
    b.helper(Helper::CpAbort, i)
}
pub fn pnop<B: Builder>(_: &mut B, _: Insn) -> R<B> {
    Ok(())
}
