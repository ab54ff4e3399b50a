//! Firmware-assisted non-maskable interrupts (LoPAR 7.3.14).

use arch::{Cpu, Vector};
use firmware::stub;
use serde::{Deserialize, Serialize};

use super::{Call, Row, events, row};
use crate::lock;
use crate::platform::Platform;
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

/// Where r3 is kept for each processor, behind the error log, by offset from RTAS; 16 bytes each.
const SAVE_AREAS: u64 = stub::RTAS_ERROR_LOG_OFFSET + stub::RTAS_ERROR_LOG_SIZE;
/// Processors that have one of their own.
const SAVE_AREA_COUNT: u64 = (stub::RTAS_SIZE as u64 - SAVE_AREAS) / 16 - 1;

/// SRR1 of a machine check: a load or store was the cause.
const SRR1_LOAD_STORE: u64 = 1 << 21;

/// Summary of a machine check's error log: version 6; severity error, synchronous; not recovered; initiator processor,
/// target memory; uncorrectable memory error. With and without further sections.
const SUMMARY: u32 = 0x0674_1409;
const SUMMARY_ALONE: u32 = 0x0670_1409;

/// Sends a processor that takes a system reset or machine check to the handler that the guest has registered, as
/// firmware would: r3 is kept in the memory of RTAS and its real address handed over in r3; behind it, for a machine
/// check, stands the error log (LoPAR 7.3.14.1).
pub fn deliver(p: &dyn Platform, cpu: &mut Cpu, vector: Vector) {
    let base = p.papr().rtas_base();
    let mut nmi = lock(&p.papr().nmi);
    let Some((reset, check)) = nmi.handlers.filter(|_| base != 0) else { return };
    let own = base + SAVE_AREAS + 16 * (cpu.index as u64).min(SAVE_AREA_COUNT - 1);
    let (handler, area, log) = match vector {
        Vector::MachineCheck if nmi.holder.is_none() => {
            nmi.holder = Some(cpu.index as u32);
            (check, base + stub::RTAS_ERROR_LOG_OFFSET, machine_check_log(cpu))
        }
        // The log is in use: only its summary, in the processor's own place.
        Vector::MachineCheck => (check, own, [SUMMARY_ALONE.to_be_bytes(), [0; 4]].concat()),
        _ => (reset, own, Vec::new()),
    };
    let mut bytes = cpu.st.gpr[3].to_be_bytes().to_vec();
    bytes.extend(log);
    // If the guest has put RTAS where there is no memory, it gets the plain interrupt.
    if p.shared().ram.write(area, &bytes).is_ok() {
        cpu.st.gpr[3] = area;
        cpu.st.nia = handler.into();
    }
}

fn machine_check_log(cpu: &Cpu) -> Vec<u8> {
    /// Of the section's flags: the effective address is given.
    const EFFECTIVE: u8 = 0x40;
    let (kind, ea) = match cpu.st.srr1 & SRR1_LOAD_STORE {
        0 => (1, cpu.st.srr0),
        _ => (3, cpu.st.dar),
    };
    let mut data = [0; 32];
    data[4..8].copy_from_slice(&(cpu.index as u32).to_be_bytes());
    // Error type 0: uncorrectable error.
    data[9] = EFFECTIVE | kind;
    data[16..24].copy_from_slice(&ea.to_be_bytes());
    events::error_log(SUMMARY, &[events::section(b"MC", &data)])
}
