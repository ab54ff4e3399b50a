//! Starting and stopping processors (LoPAR 7.3.6).

use super::{Call, Row, row};
use crate::platform::HcallFlow;
use crate::rc::{RtasResult, Status};
use crate::state::StartRequest;

pub(super) const ROWS: &[Row] = &[
    row("query-cpu-stopped-state", 1, 2, query),
    row("start-cpu", 3, 1, start),
    row("stop-self", 0, 0, stop_self),
];

/// ( processor -- status state ): 0 stopped, 2 not stopped.
fn query(c: &mut Call) -> RtasResult {
    let vcpu = c.papr().vcpu_of(c.arg(0).into()).ok_or(Status::PARAMETER)?;
    let state = if c.papr().is_running(vcpu) { 2 } else { 0 };
    c.set(1, state);
    Ok(())
}

/// ( processor entry r3 -- status )
fn start(c: &mut Call) -> RtasResult {
    let vcpu = c.papr().vcpu_of(c.arg(0).into()).ok_or(Status::PARAMETER)?;
    let request = StartRequest { entry: c.arg(1).into(), r3: c.arg(2).into() };
    if c.papr().start(c.shared(), vcpu, request) { Ok(()) } else { Err(Status::HARDWARE) }
}

fn stop_self(c: &mut Call) -> RtasResult {
    c.papr().stop(c.shared(), c.cpu.index);
    c.flow = HcallFlow::Stop;
    Ok(())
}
