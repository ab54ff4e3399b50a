//! System parameters (LoPAR 7.3.16).

use super::{Call, Row, row};
use crate::rc::{RtasResult, Status};

pub(super) const ROWS: &[Row] =
    &[row("ibm,get-system-parameter", 3, 1, get), row("ibm,set-system-parameter", 2, 1, set)];

mod parameter {
    /// Characteristics of a shared-processor partition, as text.
    pub const SPLPAR: u32 = 20;
    /// Diagnostics while running: 0 is none.
    pub const DIAGNOSTICS: u32 = 42;
    /// What H_BLOCK_REMOVE removes at once.
    pub const BLOCK_INVALIDATE: u32 = 50;
    /// Identity of the partition.
    pub const UUID: u32 = 48;
    /// Name of the partition.
    pub const NAME: u32 = 55;
}

fn value(c: &Call, parameter: u32) -> Option<Vec<u8>> {
    let config = c.p.config();
    let text = |s: String| {
        let mut bytes = s.into_bytes();
        bytes.push(0);
        bytes
    };
    Some(match parameter {
        parameter::SPLPAR => {
            let (cores, memory) = (config.cores(), config.memory >> 20);
            let (k, l) = (c.p.capacity(), config.limits());
            text(format!(
                "MinEntCap={},MaxEntCap={},DesEntCap={},MinMem={},DesMem={memory},MaxMem={},MinProcs={},\
                 DesProcs={cores},MaxProcs={},MaxPlatProcs={},DesVarCapWt={}",
                l.entitled.0,
                l.entitled.1,
                k.entitled,
                l.memory.0 >> 20,
                l.memory.1 >> 20,
                l.cores.0,
                l.cores.1,
                k.machine,
                k.weight.unwrap_or(0),
            ))
        }
        parameter::DIAGNOSTICS => vec![0],
        // Blocks of 2^3 pages of three sizes: 4 KiB, and by their encodings with the L bit 64 KiB and 16 MiB; no more.
        parameter::BLOCK_INVALIDATE if config.offers_hash() => vec![3, 3, 0x00, 0x81, 0x80, 0],
        parameter::UUID => config.uuid.to_vec(),
        parameter::NAME => text(config.name.clone()),
        _ => return None,
    })
}

/// ( parameter buffer length -- status ): the buffer gets a 16-bit length, then the value, cut if need be.
fn get(c: &mut Call) -> RtasResult {
    let [which, buffer, len] = [0, 1, 2].map(|n| c.arg(n));
    let value = value(c, which).ok_or(Status::NOT_SUPPORTED)?;
    let room = (len as usize).checked_sub(2).ok_or(Status::BAD_BUFFER)?;
    if !c.is_memory(buffer, len) {
        return Err(Status::BAD_BUFFER);
    }
    let mut bytes = (value.len().min(u16::MAX.into()) as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(&value[..value.len().min(room)]);
    c.ram().write(buffer.into(), &bytes)?;
    Ok(())
}

/// ( parameter buffer -- status ): all that exist are for reading.
fn set(c: &mut Call) -> RtasResult {
    let known = value(c, c.arg(0)).is_some();
    Err(if known { Status::NOT_AUTHORIZED } else { Status::NOT_SUPPORTED })
}
