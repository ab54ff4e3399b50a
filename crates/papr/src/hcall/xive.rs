//! The XIVE interrupt controller in exploitation mode (LoPAR 14.5.4.11, the H_INT calls).

use super::{Ctx, Row, row};
use crate::rc::HResult;

const SECTION: &str = "14.5.4.11";

pub(super) const ROWS: &[Row] = &[
    row(0x3a8, "H_INT_GET_SOURCE_INFO", 2, SECTION, get_source_info),
    row(0x3ac, "H_INT_SET_SOURCE_CONFIG", 5, SECTION, set_source_config),
    row(0x3b0, "H_INT_GET_SOURCE_CONFIG", 2, SECTION, get_source_config),
    row(0x3b4, "H_INT_GET_QUEUE_INFO", 3, SECTION, get_queue_info),
    row(0x3b8, "H_INT_SET_QUEUE_CONFIG", 5, SECTION, set_queue_config),
    row(0x3bc, "H_INT_GET_QUEUE_CONFIG", 3, SECTION, get_queue_config),
    row(0x3c0, "H_INT_SET_OS_REPORTING_LINE", 2, SECTION, set_os_reporting_line),
    row(0x3c4, "H_INT_GET_OS_REPORTING_LINE", 2, SECTION, get_os_reporting_line),
    row(0x3c8, "H_INT_ESB", 4, SECTION, esb),
    row(0x3cc, "H_INT_SYNC", 2, SECTION, sync),
    row(0x3d0, "H_INT_RESET", 1, SECTION, reset),
];

/// ( flags lisn -- flags management-page trigger-page page-shift )
fn get_source_info(c: &mut Ctx) -> HResult {
    let i = c.p.intc().xive()?.get_source_info(c.arg(0), c.arg(1))?;
    c.set(0, i.flags);
    c.set(1, i.management_page);
    c.set(2, i.trigger_page);
    c.set(3, i.page_shift);
    Ok(())
}

/// ( flags lisn target priority eisn -- )
fn set_source_config(c: &mut Ctx) -> HResult {
    Ok(c.p.intc().xive()?.set_source_config(c.arg(0), c.arg(1), c.arg(2), c.arg(3), c.arg(4))?)
}

/// ( flags lisn -- target priority eisn )
fn get_source_config(c: &mut Ctx) -> HResult {
    let (target, priority, eisn) = c.p.intc().xive()?.get_source_config(c.arg(0), c.arg(1))?;
    c.set(0, target);
    c.set(1, priority);
    c.set(2, eisn);
    Ok(())
}

/// ( flags target priority -- notification-page page-shift )
fn get_queue_info(c: &mut Ctx) -> HResult {
    let (page, shift) = c.p.intc().xive()?.get_queue_info(c.arg(0), c.arg(1), c.arg(2))?;
    c.set(0, page);
    c.set(1, shift);
    Ok(())
}

/// ( flags target priority ring shift -- )
fn set_queue_config(c: &mut Ctx) -> HResult {
    Ok(c.p.intc().xive()?.set_queue_config(c.arg(0), c.arg(1), c.arg(2), c.arg(3), c.arg(4))?)
}

/// ( flags target priority -- flags ring shift index )
fn get_queue_config(c: &mut Ctx) -> HResult {
    let q = c.p.intc().xive()?.get_queue_config(c.arg(0), c.arg(1), c.arg(2))?;
    c.set(0, q.flags);
    c.set(1, q.addr);
    c.set(2, q.shift);
    c.set(3, q.index);
    Ok(())
}

/// ( flags line -- )
fn set_os_reporting_line(c: &mut Ctx) -> HResult {
    Ok(c.p.intc().xive()?.set_os_reporting_line(c.server(), c.arg(0), c.arg(1))?)
}

/// ( flags target -- line )
fn get_os_reporting_line(c: &mut Ctx) -> HResult {
    let line = c.p.intc().xive()?.get_os_reporting_line(c.arg(0), c.arg(1))?;
    c.set(0, line);
    Ok(())
}

/// ( flags lisn offset data -- data )
fn esb(c: &mut Ctx) -> HResult {
    let v = c.p.intc().xive()?.esb(c.arg(0), c.arg(1), c.arg(2), c.arg(3))?;
    c.set(0, v);
    Ok(())
}

/// ( flags lisn -- )
fn sync(c: &mut Ctx) -> HResult {
    Ok(c.p.intc().xive()?.sync(c.arg(0), c.arg(1))?)
}

/// ( flags -- )
fn reset(c: &mut Ctx) -> HResult {
    Ok(c.p.intc().xive()?.int_reset(c.arg(0))?)
}
