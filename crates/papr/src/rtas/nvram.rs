//! Non-volatile memory (LoPAR 7.3.2).

use super::{Call, Row, row};
use crate::rc::{RtasResult, Status};

pub(super) const ROWS: &[Row] = &[row("nvram-fetch", 3, 2, fetch), row("nvram-store", 3, 2, store)];

/// ( offset buffer length -- status length )
fn fetch(c: &mut Call) -> RtasResult {
    let [offset, buffer, len] = [0, 1, 2].map(|n| c.arg(n));
    if !c.is_memory(buffer, len) {
        return Err(Status::PARAMETER);
    }
    let bytes = c.p.nvram().fetch(offset, len)?;
    c.ram().write(buffer.into(), &bytes)?;
    c.set(1, len);
    Ok(())
}

/// ( offset buffer length -- status length )
fn store(c: &mut Call) -> RtasResult {
    let [offset, buffer, len] = [0, 1, 2].map(|n| c.arg(n));
    // Bounded by the memory's size before anything is allocated.
    if !c.p.nvram().in_range(offset, len) || !c.is_memory(buffer, len) {
        return Err(Status::PARAMETER);
    }
    let mut bytes = vec![0; len as usize];
    c.ram().read(buffer.into(), &mut bytes)?;
    c.p.nvram().store(offset, &bytes)?;
    c.set(1, len);
    Ok(())
}
