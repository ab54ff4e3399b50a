//! FAT with 12, 16 and 32 bit entries; short names only.

use super::{MAX_ENTRIES, MAX_FILE, Volume, le16, le32};

/// Bytes of a directory entry.
const ENTRY: usize = 32;
const DIRECTORY: u8 = 0x10;
/// Attributes of a volume's name and of the pieces of long names.
const VOLUME_NAME: u8 = 0x08;

#[derive(Clone, Copy)]
enum Width {
    Bits12,
    Bits16,
    Bits32,
}

struct Fat {
    /// The table itself.
    table: Vec<u8>,
    width: Width,
    /// Bytes of a cluster.
    cluster: usize,
    /// Where cluster 2 begins.
    data: u64,
    clusters: u32,
}

/// Reads the file at a path.
pub(super) fn read(volume: &mut Volume<'_, '_>, path: &[&str]) -> Option<Vec<u8>> {
    let boot = volume.read(0, 512)?;
    let sector = u64::from(le16(&boot, 11)?);
    let per_cluster = u64::from(boot[13]);
    if !(512..=4096).contains(&sector) || !sector.is_power_of_two() || !per_cluster.is_power_of_two() {
        return None;
    }
    let reserved = u64::from(le16(&boot, 14)?);
    let fats = u64::from(boot[16]);
    let root_entries = u64::from(le16(&boot, 17)?);
    let sectors = match le16(&boot, 19)? {
        0 => u64::from(le32(&boot, 32)?),
        n => n.into(),
    };
    let fat_size = match le16(&boot, 22)? {
        0 => u64::from(le32(&boot, 36)?),
        n => n.into(),
    };
    let root = reserved + fats * fat_size;
    let root_sectors = (root_entries * ENTRY as u64).div_ceil(sector);
    let first = root + root_sectors;
    let clusters = u32::try_from(sectors.checked_sub(first)? / per_cluster).ok()?;
    let width = match clusters {
        0 => return None,
        1..4085 => Width::Bits12,
        4085..65525 => Width::Bits16,
        _ => Width::Bits32,
    };
    if fats == 0 || fat_size == 0 || fat_size * sector > MAX_FILE as u64 {
        return None;
    }
    let table = volume.read(reserved * sector, (fat_size * sector) as usize)?;
    let fat = Fat { table, width, cluster: (per_cluster * sector) as usize, data: first * sector, clusters };
    let mut directory = match width {
        Width::Bits32 => fat.chain(volume, le32(&boot, 44)?, usize::MAX)?,
        _ => volume.read(root * sector, (root_entries as usize).min(MAX_ENTRIES) * ENTRY)?,
    };
    let (last, parents) = path.split_last()?;
    for name in parents {
        let (start, _, is_directory) = find(&directory, name)?;
        if !is_directory {
            return None;
        }
        directory = fat.chain(volume, start, usize::MAX)?;
    }
    let (start, size, is_directory) = find(&directory, last)?;
    if is_directory {
        return None;
    }
    let mut bytes = fat.chain(volume, start, size)?;
    bytes.truncate(size);
    (bytes.len() == size).then_some(bytes)
}

impl Fat {
    fn next(&self, cluster: u32) -> Option<u32> {
        let n = cluster as usize;
        match self.width {
            Width::Bits12 => {
                let pair = le16(&self.table, n + n / 2)?;
                Some(u32::from(if n % 2 == 0 { pair & 0xFFF } else { pair >> 4 }))
            }
            Width::Bits16 => le16(&self.table, n * 2).map(u32::from),
            Width::Bits32 => Some(le32(&self.table, n * 4)? & 0x0FFF_FFFF),
        }
    }

    /// The bytes of a chain of clusters, as many as there are but no more than it takes for `most`. A chain that bites
    /// its tail ends at the size limits.
    fn chain(&self, volume: &mut Volume<'_, '_>, start: u32, most: usize) -> Option<Vec<u8>> {
        // A directory without end is cut; a file has its size.
        let limit = if most == usize::MAX { MAX_ENTRIES * ENTRY } else { most };
        if limit > MAX_FILE {
            return None;
        }
        let (mut out, mut at) = (Vec::new(), start);
        while out.len() < limit && at >= 2 && at - 2 < self.clusters {
            let offset = self.data.checked_add(u64::from(at - 2) * self.cluster as u64)?;
            out.extend(volume.read(offset, self.cluster)?);
            at = self.next(at)?;
        }
        Some(out)
    }
}

/// First cluster, size and kind of a directory's entry.
fn find(directory: &[u8], name: &str) -> Option<(u32, usize, bool)> {
    let wanted = short_name(name)?;
    for entry in directory.chunks_exact(ENTRY).take(MAX_ENTRIES) {
        if entry[0] == 0 {
            return None;
        }
        let flags = entry[11];
        if flags & VOLUME_NAME == 0 && entry[..11] == wanted {
            let start = u32::from(le16(entry, 20)?) << 16 | u32::from(le16(entry, 26)?);
            return Some((start, le32(entry, 28)? as usize, flags & DIRECTORY != 0));
        }
    }
    None
}

/// A name as directories have it: eight and three letters, filled up.
fn short_name(name: &str) -> Option<[u8; 11]> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    if base.len() > 8 || extension.len() > 3 {
        return None;
    }
    let mut out = [b' '; 11];
    out[..base.len()].copy_from_slice(base.to_ascii_uppercase().as_bytes());
    out[8..8 + extension.len()].copy_from_slice(extension.to_ascii_uppercase().as_bytes());
    Some(out)
}
