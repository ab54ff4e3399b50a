//! The XICS interrupt controller (LoPAR 14.5.4.7).

use super::{Ctx, Row, row};
use crate::rc::HResult;

const SECTION: &str = "14.5.4.7";

pub(super) const ROWS: &[Row] = &[
    row(0x64, "H_EOI", 1, SECTION, eoi),
    row(0x68, "H_CPPR", 1, SECTION, cppr),
    row(0x6c, "H_IPI", 2, SECTION, ipi),
    row(0x70, "H_IPOLL", 1, SECTION, ipoll),
    row(0x74, "H_XIRR", 0, SECTION, xirr),
    row(0x2fc, "H_XIRR_X", 1, SECTION, xirr_x),
];

fn eoi(c: &mut Ctx) -> HResult {
    Ok(c.p.intc().xics()?.h_eoi(c.server(), c.arg(0))?)
}

fn cppr(c: &mut Ctx) -> HResult {
    Ok(c.p.intc().xics()?.h_cppr(c.server(), c.arg(0))?)
}

fn ipi(c: &mut Ctx) -> HResult {
    Ok(c.p.intc().xics()?.h_ipi(c.arg(0), c.arg(1))?)
}

/// ( server -- xirr mfrr )
fn ipoll(c: &mut Ctx) -> HResult {
    let (xirr, mfrr) = c.p.intc().xics()?.h_ipoll(c.arg(0))?;
    c.set(0, xirr);
    c.set(1, mfrr);
    Ok(())
}

fn xirr(c: &mut Ctx) -> HResult {
    let xirr = c.p.intc().xics()?.h_xirr(c.server())?;
    c.set(0, xirr);
    Ok(())
}

/// ( cppr -- xirr timebase ); the priority is a hint.
fn xirr_x(c: &mut Ctx) -> HResult {
    xirr(c)?;
    let now = c.shared().tb.now();
    c.set(1, now);
    Ok(())
}
