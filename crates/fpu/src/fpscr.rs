//! The floating-point status and control register (Book I, 4.2.2), its low word as bit masks, and the instructions
//! that move it.

use isa::fp::{FpInsn, FpOp};

use crate::{FpRegs, FpTrap, soft::Rm};

/// Exception summary.
pub const FX: u32 = 1 << 31;
/// Enabled exception summary.
pub const FEX: u32 = 1 << 30;
/// Invalid operation summary.
pub const VX: u32 = 1 << 29;
/// Overflow.
pub const OX: u32 = 1 << 28;
/// Underflow.
pub const UX: u32 = 1 << 27;
/// Zero divide.
pub const ZX: u32 = 1 << 26;
/// Inexact.
pub const XX: u32 = 1 << 25;
/// Invalid: signalling NaN.
pub const VXSNAN: u32 = 1 << 24;
/// Invalid: infinity - infinity.
pub const VXISI: u32 = 1 << 23;
/// Invalid: infinity / infinity.
pub const VXIDI: u32 = 1 << 22;
/// Invalid: 0 / 0.
pub const VXZDZ: u32 = 1 << 21;
/// Invalid: infinity * 0.
pub const VXIMZ: u32 = 1 << 20;
/// Invalid: compare.
pub const VXVC: u32 = 1 << 19;
/// Fraction rounded.
pub const FR: u32 = 1 << 18;
/// Fraction inexact.
pub const FI: u32 = 1 << 17;
/// Shift of the result class and condition FPRF.
pub const FPRF_SHIFT: u32 = 12;
/// Result class and condition.
pub const FPRF: u32 = 0x1f << FPRF_SHIFT;
/// Condition part of FPRF.
pub const FPCC: u32 = 0xf << FPRF_SHIFT;
/// Invalid: software request.
pub const VXSOFT: u32 = 1 << 10;
/// Invalid: square root.
pub const VXSQRT: u32 = 1 << 9;
/// Invalid: integer conversion.
pub const VXCVI: u32 = 1 << 8;
/// Enable of VX.
pub const VE: u32 = 1 << 7;
/// Enable of OX.
pub const OE: u32 = 1 << 6;
/// Enable of UX.
pub const UE: u32 = 1 << 5;
/// Enable of ZX.
pub const ZE: u32 = 1 << 4;
/// Enable of XX.
pub const XE: u32 = 1 << 3;
/// All enables.
pub const ENABLES: u32 = VE | OE | UE | ZE | XE;
/// Rounding control.
pub const RN: u32 = 3;

/// Every cause of VX.
pub const VX_ALL: u32 = VXSNAN | VXISI | VXIDI | VXZDZ | VXIMZ | VXVC | VXSOFT | VXSQRT | VXCVI;
/// Every exception bit (not the summaries).
pub const EXC_ALL: u32 = OX | UX | ZX | XX | VX_ALL;

/// Bits that exist and are not computed from others: DRN in the high word; FEX, VX and bit 52 are left out.
const WRITABLE: u64 = 7 << 32 | (!(FEX | VX | 1 << 11)) as u64;

/// FEX and VX made to agree with the other bits.
#[inline(always)]
pub fn summarize(v: u64) -> u64 {
    let w = v as u32;
    let vx = w & VX_ALL != 0;
    let en = (vx && w & VE != 0) as u32 * VE | (w >> 22) & (OE | UE | ZE | XE);
    let mut r = v & !((FEX | VX) as u64);
    if vx {
        r |= VX as u64;
    }
    if w & en != 0 {
        r |= FEX as u64;
    }
    r
}

/// Set exception bits; FX when one of them was 0.
#[inline(always)]
pub fn raise(v: u64, exc: u32) -> u64 {
    if exc as u64 & !v == 0 {
        return v;
    }
    summarize(v | exc as u64 | FX as u64)
}

/// FPSCR[RN].
pub fn rounding(v: u64) -> Rm {
    match v & 3 {
        0 => Rm::Nearest,
        1 => Rm::Zero,
        2 => Rm::Up,
        _ => Rm::Down,
    }
}

/// FPSCR[FX,FEX,VX,OX] to CR1.
pub fn record_cr1<R: FpRegs>(r: &mut R) {
    let v = (r.fpscr() >> 28) as u8 & 0xf;
    r.set_cr_field(1, v);
}

/// The interrupt after an instruction that wrote the FPSCR.
pub fn trap<R: FpRegs>(r: &R) -> FpTrap {
    if r.fpscr() & FEX as u64 != 0 && r.msr_fe() { FpTrap::Enabled } else { FpTrap::None }
}

/// The instructions of Book I, 4.6.10.
pub(crate) fn exec_move<R: FpRegs>(r: &mut R, f: FpInsn) -> FpTrap {
    let old = r.fpscr();
    let target = |r: &mut R, v: u64| r.set_vsr(f.t as usize & 63, (v as u128) << 64);
    let source = |r: &R| (r.vsr(f.b as usize & 63) >> 64) as u64;
    // The parts of the FPSCR that the partial forms of mffs give.
    let control = 7u64 << 32 | (ENABLES | 4 | RN) as u64;
    let mut written = true;
    match f.op {
        FpOp::Mffs => {
            target(r, old);
            written = false;
        }
        FpOp::Mffsl => {
            target(r, old & (control | (FR | FI | FPRF) as u64));
            written = false;
        }
        FpOp::Mffsce => {
            target(r, old);
            r.set_fpscr(summarize(old & !(ENABLES as u64)));
        }
        FpOp::Mffscdrn | FpOp::Mffscdrni => {
            let drn = if f.op == FpOp::Mffscdrn { source(r) >> 32 & 7 } else { f.c as u64 & 7 };
            target(r, old & control);
            r.set_fpscr(old & !(7 << 32) | drn << 32);
        }
        FpOp::Mffscrn | FpOp::Mffscrni => {
            let rn = if f.op == FpOp::Mffscrn { source(r) & 3 } else { f.c as u64 & 3 };
            target(r, old & control);
            r.set_fpscr(old & !3 | rn);
        }
        FpOp::Mcrfs => {
            let shift = 28 - 4 * (f.a as u32 & 7);
            r.set_cr_field(f.t as u32 & 7, (old >> shift) as u8 & 0xf);
            let clear = (0xf << shift) & (EXC_ALL | FX);
            r.set_fpscr(summarize(old & !(clear as u64)));
        }
        FpOp::Mtfsb0 | FpOp::Mtfsb1 => {
            let bit = (1u64 << (31 - (f.t & 31))) & WRITABLE;
            let new = if f.op == FpOp::Mtfsb0 {
                summarize(old & !bit)
            } else {
                summarize(raise(old, bit as u32 & EXC_ALL) | bit)
            };
            r.set_fpscr(new);
        }
        FpOp::Mtfsf => {
            let v = source(r);
            let mask = if f.a & 2 != 0 {
                u64::MAX
            } else {
                let word = (0..8).filter(|n| f.c >> n & 1 != 0).fold(0u64, |m, n| m | 0xf << (4 * n));
                if f.a & 1 != 0 { word << 32 } else { word }
            } & WRITABLE;
            r.set_fpscr(summarize(old & !mask | v & mask));
        }
        FpOp::Mtfsfi => {
            let shift = 28 - 4 * (f.t as u32 & 7) + if f.a & 1 != 0 { 32 } else { 0 };
            let mask = (0xf << shift) & WRITABLE;
            let v = (f.c as u64 & 0xf) << shift;
            r.set_fpscr(summarize(old & !mask | v & mask));
        }
        _ => written = false,
    }
    if f.rc || f.op == FpOp::Cr1 {
        record_cr1(r);
    }
    if written { trap(r) } else { FpTrap::None }
}
