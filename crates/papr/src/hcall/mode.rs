//! Registers that belong to the hypervisor (LoPAR 14.5.4.3) and the modes of H_SET_MODE.

use std::sync::atomic::Ordering;

use arch::msr::lpcr;
use isa::Level;

use super::{Ctx, Row, row};
use crate::rc::{HResult, Rc};

pub(super) const ROWS: &[Row] = &[
    row(0x24, "H_SET_SPRG0", 1, "14.5.4.3.1", set_sprg0),
    row(0x28, "H_SET_DABR", 1, "14.5.4.3.2", set_dabr),
    row(0x134, "H_SET_XDABR", 2, "14.5.4.3.3", set_xdabr),
    row(0x31c, "H_SET_MODE", 4, "14.5.4.3.5", set_mode),
];

/// What H_SET_MODE sets.
mod resource {
    pub const CIABR: u64 = 1;
    pub const DAWR0: u64 = 2;
    pub const ADDRESS_TRANSLATION_MODE: u64 = 3;
    pub const LITTLE_ENDIAN: u64 = 4;
    pub const DAWR1: u64 = 5;
}

/// CIABR and DAWRX: privilege states of a match. A partition may not ask for the hypervisor's.
const CIABR_PRIV: u64 = 3;
const DAWRX_HYPERVISOR: u64 = 4;

fn set_sprg0(c: &mut Ctx) -> HResult {
    c.cpu.st.sprg[0] = c.arg(0);
    Ok(())
}

/// DABR and DABRX bits.
mod dabr {
    pub const READ: u64 = 1;
    pub const WRITE: u64 = 2;
    pub const TRANSLATION: u64 = 4;
    /// DABRX: any translation matches.
    pub const ANY_TRANSLATION: u64 = 8;
    pub const HYPERVISOR: u64 = 4;
    pub const PRIVILEGED_OR_PROBLEM: u64 = 3;
}

/// Sets the data address breakpoint of older processors by means of DAWR0, which all models have.
fn set_breakpoint(c: &mut Ctx, address: u64, states: u64) {
    let move_bit = |from: u64, to: u64| if address & from != 0 { to } else { 0 };
    let any = if states & dabr::ANY_TRANSLATION != 0 { 1 << 3 } else { 0 };
    let control = states & dabr::PRIVILEGED_OR_PROBLEM
        | any
        | move_bit(dabr::TRANSLATION, 1 << 4)
        | move_bit(dabr::READ, 1 << 5)
        | move_bit(dabr::WRITE, 1 << 6);
    c.cpu.set_watchpoint(0, address & !7, control);
}

fn set_dabr(c: &mut Ctx) -> HResult {
    let address = c.arg(0);
    set_breakpoint(c, address, dabr::PRIVILEGED_OR_PROBLEM);
    Ok(())
}

fn set_xdabr(c: &mut Ctx) -> HResult {
    let (address, states) = (c.arg(0), c.arg(1));
    if states & !0xf != 0 || states & dabr::HYPERVISOR != 0 || states & dabr::PRIVILEGED_OR_PROBLEM == 0 {
        return Err(Rc::PARAMETER);
    }
    set_breakpoint(c, address, states);
    Ok(())
}

/// ( flags resource value1 value2 -- )
fn set_mode(c: &mut Ctx) -> HResult {
    let [flags, resource, value1, value2] = [0, 1, 2, 3].map(|n| c.arg(n));
    let level = c.cpu.st.level;
    match resource {
        resource::CIABR if level >= Level::V2_07 => {
            no_flags(flags)?;
            if value2 != 0 {
                return Err(Rc::P4);
            }
            if value1 & CIABR_PRIV == CIABR_PRIV {
                return Err(Rc::P3);
            }
            c.cpu.set_ciabr(value1);
        }
        resource::DAWR0 if level >= Level::V2_07 => set_dawr(c, 0, flags, value1, value2)?,
        resource::DAWR1 if level >= Level::V3_1 => set_dawr(c, 1, flags, value1, value2)?,
        resource::ADDRESS_TRANSLATION_MODE if level >= Level::V2_07 => {
            no_values(value1, value2)?;
            // 1 is reserved; with ISA 3.1 so is 2.
            let good = flags == 0 || flags == 3 || flags == 2 && level < Level::V3_1;
            if !good {
                return Err(Rc::UNSUPPORTED_FLAG);
            }
            change_lpcr(c, lpcr::AIL, flags << lpcr::AIL_SHIFT);
        }
        resource::LITTLE_ENDIAN => {
            no_values(value1, value2)?;
            if flags > 1 {
                return Err(Rc::UNSUPPORTED_FLAG);
            }
            change_lpcr(c, lpcr::ILE, if flags == 1 { lpcr::ILE } else { 0 });
        }
        _ => return Err(Rc::P2),
    }
    Ok(())
}

fn set_dawr(c: &mut Ctx, n: usize, flags: u64, address: u64, control: u64) -> HResult {
    no_flags(flags)?;
    if control & DAWRX_HYPERVISOR != 0 {
        return Err(Rc::P4);
    }
    c.cpu.set_watchpoint(n, address, control);
    Ok(())
}

fn no_flags(flags: u64) -> HResult {
    if flags == 0 { Ok(()) } else { Err(Rc::UNSUPPORTED_FLAG) }
}

fn no_values(value1: u64, value2: u64) -> HResult {
    match (value1, value2) {
        (0, 0) => Ok(()),
        (0, _) => Err(Rc::P4),
        _ => Err(Rc::P3),
    }
}

/// Sets the bits of `mask` in all processors' LPCR to those of `value`.
pub(super) fn change_lpcr(c: &Ctx, mask: u64, value: u64) {
    let change = |old| Some(old & !mask | value & mask);
    let _ = c.shared().lpcr.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
}
