//! Sources of the XICS interrupt controller (LoPAR 7.3.10.1).

use super::{Call, Row, row};
use crate::rc::RtasResult;

pub(super) const ROWS: &[Row] = &[
    row("ibm,set-xive", 3, 1, set_xive),
    row("ibm,get-xive", 1, 3, get_xive),
    row("ibm,int-off", 1, 1, int_off),
    row("ibm,int-on", 1, 1, int_on),
];

/// ( source server priority -- status )
fn set_xive(c: &mut Call) -> RtasResult {
    Ok(c.p.intc().xics_rtas()?.set_xive(c.arg(0), c.arg(1), c.arg(2))?)
}

/// ( source -- status server priority )
fn get_xive(c: &mut Call) -> RtasResult {
    let (server, priority) = c.p.intc().xics_rtas()?.get_xive(c.arg(0))?;
    c.set(1, server);
    c.set(2, priority);
    Ok(())
}

/// ( source -- status )
fn int_off(c: &mut Call) -> RtasResult {
    Ok(c.p.intc().xics_rtas()?.int_off(c.arg(0))?)
}

/// ( source -- status )
fn int_on(c: &mut Call) -> RtasResult {
    Ok(c.p.intc().xics_rtas()?.int_on(c.arg(0))?)
}
