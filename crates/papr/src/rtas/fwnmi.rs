//! Firmware-assisted non-maskable interrupts (LoPAR 7.3.14).

use serde::{Deserialize, Serialize};

use super::{Call, Row, row};
use crate::lock;
use crate::rc::{RtasResult, Status};

pub(super) const ROWS: &[Row] =
    &[row("ibm,nmi-register", 2, 1, register), row("ibm,nmi-interlock", 0, 1, interlock)];

/// What the guest has registered.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Nmi {
    /// Real addresses of the handlers for system reset and machine check.
    pub handlers: Option<(u32, u32)>,
    /// The virtual processor that handles a machine check and has not let go of the error log yet.
    pub holder: Option<u32>,
}

/// ( system-reset machine-check -- status )
fn register(c: &mut Call) -> RtasResult {
    // The error log stands in the memory of RTAS.
    if c.papr().rtas_base() == 0 {
        return Err(Status::NOT_SUPPORTED);
    }
    let handlers = (c.arg(0), c.arg(1));
    // Handlers are entered with translation off and must lie below 32 MiB.
    if handlers.0 >= 32 << 20 || handlers.1 >= 32 << 20 {
        return Err(Status::PARAMETER);
    }
    *lock(&c.papr().nmi) = Nmi { handlers: Some(handlers), holder: None };
    Ok(())
}

/// ( -- status ): the error log may be used again.
fn interlock(c: &mut Call) -> RtasResult {
    let mut nmi = lock(&c.papr().nmi);
    if nmi.handlers.is_none() || nmi.holder != Some(c.cpu.index as u32) {
        return Err(Status::PARAMETER);
    }
    nmi.holder = None;
    Ok(())
}
