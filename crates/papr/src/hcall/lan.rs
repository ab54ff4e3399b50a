//! The interpartition logical LAN, virtual Ethernet (LoPAR 17.4).

use device::LogicalLan;

use super::{Ctx, Row, row};
use crate::rc::{HResult, Rc};

const LAN: &str = "17.4";

pub(super) const ROWS: &[Row] = &[
    row(0x114, "H_REGISTER_LOGICAL_LAN", 5, LAN, register),
    row(0x118, "H_FREE_LOGICAL_LAN", 1, LAN, free),
    row(0x11c, "H_ADD_LOGICAL_LAN_BUFFER", 2, LAN, add_buffer),
    row(0x120, "H_SEND_LOGICAL_LAN", 9, LAN, send),
    row(0x130, "H_MULTICAST_CTRL", 3, LAN, multicast),
    row(0x14c, "H_CHANGE_LOGICAL_LAN_MAC", 2, LAN, change_mac),
    row(0x1d4, "H_FREE_LOGICAL_LAN_BUFFER", 2, LAN, free_buffer),
    row(0x244, "H_ILLAN_ATTRIBUTES", 3, LAN, attributes),
    row(0x248, "H_ADD_LOGICAL_LAN_BUFFERS", 9, LAN, add_buffers),
];

/// What an adapter answers; H_PARAMETER if the unit address is none of a logical LAN.
fn lan<T>(c: &Ctx, what: impl FnOnce(&dyn LogicalLan) -> Result<T, device::vio::Rc>) -> Result<T, Rc> {
    let device = c.p.vio().find(c.arg(0))?;
    what(device.lan().ok_or(Rc::PARAMETER)?).map_err(Rc)
}

/// ( unit buffer-list receive-queue filter-list mac -- )
fn register(c: &mut Ctx) -> HResult {
    lan(c, |l| l.register(c.arg(1), c.arg(2), c.arg(3), c.arg(4)))
}

/// ( unit -- )
fn free(c: &mut Ctx) -> HResult {
    lan(c, |l| l.free())
}

/// ( unit descriptor -- )
fn add_buffer(c: &mut Ctx) -> HResult {
    lan(c, |l| l.add_buffers(&[c.arg(1)]))
}

/// ( unit descriptor*8 -- )
fn add_buffers(c: &mut Ctx) -> HResult {
    let list: [u64; 8] = std::array::from_fn(|n| c.arg(1 + n));
    lan(c, |l| l.add_buffers(&list))
}

/// ( unit size -- )
fn free_buffer(c: &mut Ctx) -> HResult {
    lan(c, |l| l.free_buffer(c.arg(1)))
}

/// ( unit descriptor*6 continue-token segment-size -- continue-token ). Every call is done when it returns, so that no
/// token is ever given out.
fn send(c: &mut Ctx) -> HResult {
    let (token, segment) = (c.arg(7), c.arg(8));
    if token != 0 {
        return Err(Rc::PARAMETER);
    }
    let list: [u64; 6] = std::array::from_fn(|n| c.arg(1 + n));
    lan(c, |l| l.send(list, segment))?;
    c.set(0, 0);
    Ok(())
}

/// ( unit flags mac -- )
fn multicast(c: &mut Ctx) -> HResult {
    lan(c, |l| l.multicast(c.arg(1), c.arg(2)))
}

/// ( unit mac -- )
fn change_mac(c: &mut Ctx) -> HResult {
    lan(c, |l| l.change_mac(c.arg(1)))
}

/// ( unit clear set -- attributes )
fn attributes(c: &mut Ctx) -> HResult {
    let all = lan(c, |l| l.attributes(c.arg(1), c.arg(2)))?;
    c.set(0, all);
    Ok(())
}
