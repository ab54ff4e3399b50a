//! What floating-point instructions do besides their result (Book I, 4.2.2, 4.4 and 7.2.2): the FPSCR, CR1, the
//! interrupt of an enabled exception, and the target it leaves alone.

use super::{Expected, start};
use crate::state::End;
use crate::vector::Vector;

/// Bits of the FPSCR.
pub const OX: u64 = 1 << 28;
pub const UX: u64 = 1 << 27;
pub const ZX: u64 = 1 << 26;
pub const XX: u64 = 1 << 25;
pub const VXSNAN: u64 = 1 << 24;
pub const VXISI: u64 = 1 << 23;
pub const VXIDI: u64 = 1 << 22;
pub const VXZDZ: u64 = 1 << 21;
pub const VXIMZ: u64 = 1 << 20;
pub const VXVC: u64 = 1 << 19;
pub const VXSQRT: u64 = 1 << 9;
pub const VXCVI: u64 = 1 << 8;
const VX: u64 = VXSNAN | VXISI | VXIDI | VXZDZ | VXIMZ | VXVC | 1 << 10 | VXSQRT | VXCVI;
pub const VE: u64 = 1 << 7;
const OE: u64 = 1 << 6;
const UE: u64 = 1 << 5;
const ZE: u64 = 1 << 4;
const XE: u64 = 1 << 3;

/// Which of the exceptions `exc` are enabled.
fn enabled(fpscr: u64, exc: u64) -> bool {
    [(VE, VX), (OE, OX), (UE, UX), (ZE, ZX), (XE, XX)].iter().any(|&(e, x)| fpscr & e != 0 && exc & x != 0)
}

/// An overflow or underflow that is enabled scales the result; models that do not compute that leave the vector alone.
pub fn scales(v: &Vector, exc: u64) -> bool {
    let f = v.input.fpscr;
    f & OE != 0 && exc & OX != 0 || f & UE != 0 && exc & UX != 0
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    /// Exceptions, as bits of the FPSCR.
    pub exc: u64,
    /// The significand was incremented; `None`: the manual leaves FR undefined.
    pub fr: Option<bool>,
    /// The result is not exact.
    pub fi: bool,
    /// FPRF of a scalar result, or (only the four lower bits) FPCC of a compare.
    pub fprf: Option<u64>,
}

/// How an instruction uses the FPSCR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// FPRF, FR and FI are set.
    Scalar,
    /// FPCC is set; FR and FI stay, and nothing suppresses the result.
    Compare,
    /// Exceptions only, and any that is enabled leaves the target.
    Elements,
    /// Exceptions only, and the target is written in any case.
    Products,
}

/// The outcome of an instruction with the Rc bit `rc`; `write` puts the result into a state when it is not suppressed.
pub fn outcome(
    v: &Vector,
    sort: Sort,
    e: Event,
    rc: bool,
    write: impl FnOnce(&mut crate::state::State),
) -> Expected {
    let mut o = start(v);
    let old = v.input.fpscr;
    let mut f = old;
    let held = match sort {
        Sort::Scalar => e.exc & VX != 0 && old & VE != 0 || e.exc & ZX != 0 && old & ZE != 0,
        Sort::Compare | Sort::Products => false,
        Sort::Elements => enabled(old, e.exc),
    };
    match (sort, e.fprf) {
        (Sort::Scalar, class) => {
            f &= !0x6_0000;
            if !held {
                f |= u64::from(e.fr.unwrap_or(false)) << 18 | u64::from(e.fi) << 17;
                if let Some(c) = class {
                    f = f & !0x1_f000 | c << 12;
                }
            }
        }
        (Sort::Compare, Some(c)) => f = f & !0xf000 | c << 12,
        _ => {}
    }
    f |= e.exc;
    if e.exc & !old != 0 {
        f |= 1 << 31;
    }
    f &= !(3 << 29);
    if f & VX != 0 {
        f |= 1 << 29;
    }
    if enabled(f, f) {
        f |= 1 << 30;
    }
    o.state.fpscr = f;
    if !held {
        write(&mut o.state);
    }
    if rc {
        o.state.cr = o.state.cr & !0x0f00_0000 | (f >> 28 & 15) << 24;
    }
    if f >> 30 & 1 != 0 {
        o.end = End::FpEnabled;
    }
    let ignore = if e.fr.is_none() && !held { 1 << 18 } else { 0 };
    Expected { out: o, values_only: false, ignore }
}
