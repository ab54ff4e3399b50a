//! The end of the partition (LoPAR 7.3.4, 7.3.9).

use super::{Call, Row, row};
use crate::platform::{End, HcallFlow};
use crate::rc::RtasResult;

pub(super) const ROWS: &[Row] = &[
    row("power-off", 0, 1, power_off),
    row("system-reboot", 0, 1, reboot),
    row("ibm,os-term", 1, 1, os_term),
    row("quiesce", 0, 0, quiesce),
];

/// Most bytes of last words.
const MAX_WORDS: u64 = 1024;

/// ( mask-high mask-low -- status ): what may switch the partition on again does not matter here.
fn power_off(c: &mut Call) -> RtasResult {
    c.p.end(End::PowerOff);
    c.flow = HcallFlow::Leave;
    Ok(())
}

fn reboot(c: &mut Call) -> RtasResult {
    c.p.end(End::Reboot);
    c.flow = HcallFlow::Leave;
    Ok(())
}

/// ( string -- status )
fn os_term(c: &mut Call) -> RtasResult {
    let mut words = Vec::new();
    let start = c.arg(0) as u64;
    let mut b = [0];
    for at in start..start + MAX_WORDS {
        if c.ram().read(at, &mut b).is_err() || b[0] == 0 {
            break;
        }
        words.push(b[0]);
    }
    c.p.end(End::OsTerm(String::from_utf8_lossy(&words).into_owned()));
    c.flow = HcallFlow::Leave;
    Ok(())
}

/// Firmware is done with devices: what it set up of them is undone. (QEMU's number for it has no result.)
fn quiesce(c: &mut Call) -> RtasResult {
    c.papr().tces.end_bypasses();
    Ok(())
}
