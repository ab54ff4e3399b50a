//! Reads a file from a boot medium: ISO 9660 and FAT, as the CHRP binding asks of firmware (section 11.1). Names are
//! compared without regard to case. The medium is not trusted.

mod fat;
mod iso9660;

use crate::partition_table::{Disk, Extent};

/// Largest file that is read, in bytes.
pub const MAX_FILE: usize = 64 << 20;
/// Most entries of a directory that are looked at.
const MAX_ENTRIES: usize = 16 << 10;
/// Deepest path.
const MAX_DEPTH: usize = 16;

/// A part of a disk as bytes.
struct Volume<'a, 'b> {
    disk: &'a mut Disk<'b>,
    extent: Extent,
}

impl Volume<'_, '_> {
    /// Reads at an offset; `None` beyond the end or if the disk fails.
    fn read(&mut self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let end = offset.checked_add(len as u64)?;
        if end > self.extent.size || len > MAX_FILE {
            return None;
        }
        self.disk.bytes(self.extent.start.checked_add(offset)?, len)
    }
}

/// Reads the file at a path, its parts separated by `\` or `/`, from the file system in a part of a disk.
pub fn read(disk: &mut Disk<'_>, extent: Extent, path: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = path.split(['\\', '/']).filter(|p| !p.is_empty()).collect();
    if parts.is_empty() || parts.len() > MAX_DEPTH {
        return None;
    }
    let mut volume = Volume { disk, extent };
    iso9660::read(&mut volume, &parts).or_else(|| fat::read(&mut volume, &parts))
}

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
pub(crate) mod tests;
