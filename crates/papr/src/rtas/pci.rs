//! Configuration space of PCI functions (LoPAR 7.3.1). There is no host bridge yet, so nobody answers.

use super::{Call, Row, row};
use crate::rc::{RtasResult, Status};

pub(super) const ROWS: &[Row] =
    &[row("ibm,read-pci-config", 4, 2, read_config), row("ibm,write-pci-config", 5, 1, write_config)];

/// ( address bridge-high bridge-low size -- status value )
fn read_config(c: &mut Call) -> RtasResult {
    c.set(1, u32::MAX);
    Err(Status::HARDWARE)
}

/// ( address bridge-high bridge-low size value -- status )
fn write_config(_: &mut Call) -> RtasResult {
    Err(Status::HARDWARE)
}
