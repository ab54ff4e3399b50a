//! Dynamic reconfiguration: indicators, sensors, power, connectors (LoPAR 7.3.7, 7.3.8, 13.5.3).

use super::{Call, Row, row};
use crate::drc::indicator;
use crate::lock;
use crate::rc::{RtasResult, Status};

pub(super) const ROWS: &[Row] = &[
    row("set-indicator", 3, 1, set_indicator),
    row("set-power-level", 2, 2, set_power_level),
    row("get-power-level", 1, 2, get_power_level),
    row("get-sensor-state", 2, 2, get_sensor_state),
    row("ibm,configure-connector", 2, 1, configure_connector),
];

/// The only power level: on.
const FULL_POWER: u32 = 100;
/// The only power domain: that of what has no supply of its own.
const LIVE_INSERTION: u32 = u32::MAX;

/// ( indicator index value -- status )
fn set_indicator(c: &mut Call) -> RtasResult {
    let [which, index, value] = [0, 1, 2].map(|n| c.arg(n));
    match which {
        indicator::ISOLATION | indicator::DR | indicator::ALLOCATION => {
            lock(&c.papr().drcs).set(which, index, value)
        }
        _ => Err(Status::NOT_SUPPORTED),
    }
}

/// ( sensor index -- status state )
fn get_sensor_state(c: &mut Call) -> RtasResult {
    let [which, index] = [0, 1].map(|n| c.arg(n));
    if which != indicator::ENTITY_SENSE {
        return Err(Status::NOT_SUPPORTED);
    }
    let state = lock(&c.papr().drcs).sense(index)?;
    c.set(1, state);
    Ok(())
}

/// ( domain level -- status level )
fn set_power_level(c: &mut Call) -> RtasResult {
    get_power_level(c)
}

/// ( domain -- status level )
fn get_power_level(c: &mut Call) -> RtasResult {
    if c.arg(0) != LIVE_INSERTION {
        return Err(Status::PARAMETER);
    }
    c.set(1, FULL_POWER);
    Ok(())
}

/// Size of the work area, the connector's index in its first word.
const WORK_AREA: u32 = 4096;

/// ( work-area memory-extent -- status ): hands out the node of what was added, piece by piece. Nothing is ever
/// added, so for a connector that is in use the walk is over at once.
fn configure_connector(c: &mut Call) -> RtasResult {
    let area = c.arg(0);
    if !c.is_memory(area, WORK_AREA) {
        return Err(Status::PARAMETER);
    }
    let index = c.ram().read_u32_be(area.into())?;
    lock(&c.papr().drcs).configurable(index)
}
