//! ISO 9660 (ECMA-119).

use super::{MAX_ENTRIES, MAX_FILE, Volume, le32};

const SECTOR: u64 = 2048;
/// Sector of the primary volume descriptor.
const PRIMARY: u64 = 16;

struct Record {
    sector: u64,
    size: usize,
    directory: bool,
}

/// Reads the file at a path.
pub(super) fn read(volume: &mut Volume<'_, '_>, path: &[&str]) -> Option<Vec<u8>> {
    let descriptor = volume.read(PRIMARY * SECTOR, SECTOR as usize)?;
    if !descriptor.starts_with(b"\x01CD001") {
        return None;
    }
    let mut at = record(&descriptor[156..])?;
    for name in path {
        if !at.directory {
            return None;
        }
        at = find(volume, &at, name)?;
    }
    if at.directory {
        return None;
    }
    volume.read(at.sector * SECTOR, at.size)
}

fn find(volume: &mut Volume<'_, '_>, directory: &Record, name: &str) -> Option<Record> {
    let bytes = volume.read(directory.sector * SECTOR, directory.size)?;
    let mut at = 0;
    for _ in 0..MAX_ENTRIES {
        let len = usize::from(*bytes.get(at)?);
        if len == 0 {
            // Records do not straddle sectors.
            at = at.checked_add(1)?.checked_next_multiple_of(SECTOR as usize)?;
            continue;
        }
        let entry = bytes.get(at..at.checked_add(len)?)?;
        let own = entry.get(33..33 + usize::from(*entry.get(32)?))?;
        if same_name(own, name.as_bytes()) {
            return record(entry);
        }
        at += len;
    }
    None
}

/// Names end in a version, and in a dot if they have no extension.
fn same_name(own: &[u8], name: &[u8]) -> bool {
    let end = own.iter().position(|&b| b == b';').unwrap_or(own.len());
    let own = &own[..end];
    own.strip_suffix(b".").unwrap_or(own).eq_ignore_ascii_case(name)
}

fn record(bytes: &[u8]) -> Option<Record> {
    let size = le32(bytes, 10)? as usize;
    if size > MAX_FILE {
        return None;
    }
    Some(Record { sector: le32(bytes, 2)?.into(), size, directory: bytes.get(25)? & 2 != 0 })
}
