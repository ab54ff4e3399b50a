//! Decimal floating point (Book I, chapter 5): from registers to registers.
//!
//! Significands are integers of up to 34 digits in a `u128`, intermediate results [`wide::Wide`] of up to 68; the
//! densely packed form exists only in registers.

pub mod arith;
pub mod format;
pub mod round;
mod tests_and_moves;
pub mod wide;

use isa::{
    dfp::DfpOp,
    fp::{FpForm, FpInsn},
};

use crate::{
    FpRegs, FpTrap,
    fpscr::{self, FI, FPRF, FPRF_SHIFT, FR, OE, UE, VE, VX_ALL, XX, ZE, ZX},
};
use arith::Res;
use format::{Decimal, EXTENDED, Format, LONG, SHORT, pack, unpack};
use round::{Env, Mode};

/// The format of an instruction.
fn format_of(f: FpInsn) -> &'static Format {
    if f.form == FpForm::Dec128 { &EXTENDED } else { &LONG }
}

/// FPR `n`.
fn fpr<R: FpRegs>(r: &R, n: u8) -> u64 {
    (r.vsr(n as usize & 31) >> 64) as u64
}

/// The operand in FPR `n`, or in the pair that begins there.
fn bits<R: FpRegs>(r: &R, f: FpInsn, n: u8) -> u128 {
    if f.form == FpForm::Dec128 {
        (fpr(r, n & !1) as u128) << 64 | fpr(r, n | 1) as u128
    } else {
        fpr(r, n).into()
    }
}

fn operand<R: FpRegs>(r: &R, f: FpInsn, n: u8) -> Decimal {
    unpack(format_of(f), bits(r, f, n))
}

/// Write FPR `n`.
fn set_fpr<R: FpRegs>(r: &mut R, n: u8, v: u64) {
    r.set_vsr(n as usize & 31, (v as u128) << 64);
}

/// Write FPR `t`, or the pair that begins there.
fn set_target<R: FpRegs>(r: &mut R, f: FpInsn, v: u128) {
    if f.form == FpForm::Dec128 {
        set_fpr(r, f.t & !1, (v >> 64) as u64);
        set_fpr(r, f.t | 1, v as u64);
    } else {
        set_fpr(r, f.t, v as u64);
    }
}

/// What goes into the FPSCR besides exceptions.
struct Flags {
    exc: u32,
    fr: bool,
    fi: bool,
    fprf: Option<u8>,
}

/// Update the FPSCR; false when the target keeps its value because an enabled exception has suppressed the operation.
fn conclude<R: FpRegs>(r: &mut R, x: Flags) -> bool {
    let old = r.fpscr();
    let held = (x.exc & VX_ALL != 0 && old & VE as u64 != 0) || (x.exc & ZX != 0 && old & ZE as u64 != 0);
    let mut v = old & !((FR | FI) as u64);
    if !held {
        if let Some(class) = x.fprf {
            v = v & !(FPRF as u64) | (class as u64) << FPRF_SHIFT;
        }
        v |= if x.fr { FR as u64 } else { 0 } | if x.fi { FI as u64 } else { 0 };
    }
    r.set_fpscr(fpscr::raise(v, x.exc));
    !held
}

/// End of an instruction with a decimal result of the format `fmt`.
fn put<R: FpRegs>(r: &mut R, f: FpInsn, fmt: &Format, res: Res) {
    if conclude(r, Flags { exc: res.exc, fr: res.fr, fi: res.fi, fprf: Some(res.fprf) }) {
        set_target(r, f, pack(fmt, &res.value));
    }
}

/// Carry out one instruction.
pub(crate) fn exec<R: FpRegs>(r: &mut R, f: FpInsn, op: DfpOp) -> FpTrap {
    let fmt = format_of(f);
    let fpscr = r.fpscr();
    let current = Mode::current(fpscr);
    let wrap = if f.form == FpForm::Dec128 { 9216 } else { 576 };
    let env = Env { mode: current, oe: fpscr & OE as u64 != 0, ue: fpscr & UE as u64 != 0, wrap };
    let immediate = Mode::immediate(f.c, current);
    let a = |r: &R| operand(r, f, f.a);
    let b = |r: &R| operand(r, f, f.b);
    let res = match op {
        DfpOp::Add => arith::add(fmt, env, a(r), b(r), false),
        DfpOp::Sub => arith::add(fmt, env, a(r), b(r), true),
        DfpOp::Mul => arith::mul(fmt, env, a(r), b(r)),
        DfpOp::Div => arith::div(fmt, env, a(r), b(r)),
        DfpOp::Quantize => arith::quantize(fmt, immediate, a(r), b(r)),
        DfpOp::QuantizeImm => {
            // Five bits, signed.
            let exp = ((f.a << 3) as i8 >> 3) as i32;
            arith::quantize_imm(fmt, immediate, exp, b(r))
        }
        DfpOp::Reround => arith::reround(fmt, immediate, fpr(r, f.a) as u32 & 63, b(r)),
        DfpOp::RintX => arith::rint(fmt, immediate, true, b(r)),
        DfpOp::RintN => arith::rint(fmt, immediate, false, b(r)),
        DfpOp::ShortToLong => {
            let short = unpack(&SHORT, fpr(r, f.b) as u128 & 0xffff_ffff);
            arith::widen(fmt, false, short)
        }
        DfpOp::LongToExt => arith::widen(fmt, true, unpack(&LONG, fpr(r, f.b) as u128)),
        DfpOp::LongToShort | DfpOp::ExtToLong => return narrow(r, f, env),
        DfpOp::FromI64 => arith::from_int(fmt, env, fpr(r, f.b) as i64 as i128),
        DfpOp::FromI128 => arith::from_int(fmt, env, r.vsr(f.b as usize & 63) as i128),
        DfpOp::FromBcd => tests_and_moves::from_bcd(fmt, f.c & 1 != 0, bits(r, f, f.b)),
        DfpOp::ToI64 | DfpOp::ToI128 => return to_int(r, f, op, current),
        _ => return tests_and_moves::exec(r, f, op),
    };
    put(r, f, fmt, res);
    finish(r, f)
}

/// CR1 and the interrupt.
fn finish<R: FpRegs>(r: &mut R, f: FpInsn) -> FpTrap {
    if f.rc {
        fpscr::record_cr1(r);
    }
    fpscr::trap(r)
}

/// `drsp` and `drdpq`. The exponent adjustment goes by the source format, and an adjusted result is in that format.
fn narrow<R: FpRegs>(r: &mut R, f: FpInsn, env: Env) -> FpTrap {
    let b = operand(r, f, f.b);
    let source = format_of(f);
    let (to, wrap, signals) =
        if f.form == FpForm::Dec128 { (&LONG, 3072, true) } else { (&SHORT, 192, false) };
    let res = arith::narrow(source, to, Env { wrap, ..env }, signals, b);
    if conclude(r, Flags { exc: res.exc, fr: res.fr, fi: res.fi, fprf: Some(res.fprf) }) {
        let v = match (res.adjusted, f.form) {
            (true, _) => pack(source, &res.value),
            (false, FpForm::Dec128) => pack(to, &res.value) << 64,
            (false, _) => pack(to, &res.value),
        };
        set_target(r, f, v);
    }
    finish(r, f)
}

/// `dctfix`, `dctfixq`, `dctfixqq`: FPRF stays as it is.
fn to_int<R: FpRegs>(r: &mut R, f: FpInsn, op: DfpOp, mode: Mode) -> FpTrap {
    let b = operand(r, f, f.b);
    let wide = op == DfpOp::ToI128;
    let (v, exc, fr, fi) = arith::to_int(mode, if wide { 128 } else { 64 }, b);
    debug_assert!(exc & (VX_ALL | XX) == exc);
    if conclude(r, Flags { exc, fr, fi, fprf: None }) {
        if wide {
            r.set_vsr(f.t as usize & 63, v as u128);
        } else {
            set_fpr(r, f.t, v as u64);
        }
    }
    finish(r, f)
}
