//! Where a numbered partition lies on a disk: for device paths like `disk:2` (CHRP binding section 11.1).
//!
//! Understands the PC partition table with logical partitions, and GPT (UEFI specification chapter 5). The
//! disk's contents are not trusted.

use serde::{Deserialize, Serialize};

/// Most logical partitions that are followed.
const MAX_LOGICAL: u32 = 128;
/// Most entries of a GPT.
const MAX_GPT: u32 = 1024;
/// Type of a PReP boot partition in a PC table.
const PREP: u8 = 0x41;
/// Its type in a GPT: 9E1A2D38-C612-4316-AA26-8B49521E5A8B as it is stored.
const PREP_GUID: [u8; 16] =
    [0x38, 0x2D, 0x1A, 0x9E, 0x12, 0xC6, 0x16, 0x43, 0xAA, 0x26, 0x8B, 0x49, 0x52, 0x1E, 0x5A, 0x8B];
/// Largest block of a disk, in bytes.
pub const MAX_BLOCK_SIZE: u32 = 1 << 16;

/// A part of a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// Length; the end does not overflow.
    pub size: u64,
}

/// A disk to look at.
pub struct Disk<'a> {
    /// Bytes in a block, a power of two from 512 to [`MAX_BLOCK_SIZE`].
    pub block_size: u32,
    /// Number of blocks.
    pub blocks: u64,
    /// Reads at a byte offset; `false` if that failed.
    pub read: &'a mut dyn FnMut(u64, &mut [u8]) -> bool,
}

impl Disk<'_> {
    /// Finds partition `number`, counted from 1; 0 is the whole disk.
    pub fn partition(&mut self, number: u32) -> Option<Extent> {
        if !(512..=MAX_BLOCK_SIZE).contains(&self.block_size) || !self.block_size.is_power_of_two() {
            return None;
        }
        if number == 0 {
            return Some(Extent { start: 0, size: self.blocks.saturating_mul(self.block_size.into()) });
        }
        let table = self.pc_table(0)?;
        if table.iter().any(|e| e.kind == 0xEE) {
            return self.gpt(number);
        }
        match table.get(number as usize - 1) {
            Some(e) if e.kind != 0 && !e.is_extended() => self.extent(e.start, e.count),
            Some(_) => None,
            None => self.logical(table.iter().find(|e| e.is_extended())?.start, number - 5),
        }
    }

    /// Whether partition `number` is one for a Power boot program (type 0x41, or the GUID for it).
    pub fn is_prep(&mut self, number: u32) -> bool {
        let Some(table) = number.checked_sub(1).and_then(|_| self.pc_table(0)) else { return false };
        if table.iter().any(|e| e.kind == 0xEE) {
            return self.gpt_entry(number).is_some_and(|e| e.starts_with(&PREP_GUID));
        }
        table.get(number as usize - 1).is_some_and(|e| e.kind == PREP)
    }

    /// Bytes at an offset, whatever the blocks.
    pub fn bytes(&mut self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let size = u64::from(self.block_size);
        let first = offset / size * size;
        let end = offset.checked_add(len as u64)?.checked_next_multiple_of(size)?;
        if end > self.blocks.checked_mul(size)? {
            return None;
        }
        let mut bytes = vec![0; (end - first) as usize];
        if !(self.read)(first, &mut bytes) {
            return None;
        }
        let mut bytes = bytes.split_off((offset - first) as usize);
        bytes.truncate(len);
        Some(bytes)
    }

    /// Logical partition `index`, counted from 0, of the extended partition at a block.
    fn logical(&mut self, extended: u64, index: u32) -> Option<Extent> {
        if index >= MAX_LOGICAL {
            return None;
        }
        let mut at = extended;
        for _ in 0..index {
            let table = self.pc_table(at)?;
            at = table.get(1).filter(|e| e.is_extended())?.start.checked_add(extended)?;
        }
        let own = self.pc_table(at)?.into_iter().next().filter(|e| e.kind != 0)?;
        self.extent(own.start.checked_add(at)?, own.count)
    }

    fn gpt(&mut self, number: u32) -> Option<Extent> {
        let entry = self.gpt_entry(number)?;
        let (first, last) = (le64(&entry, 32)?, le64(&entry, 40)?);
        self.extent(first, last.checked_sub(first)?.checked_add(1)?)
    }

    /// A GPT's entry, if it is in use.
    fn gpt_entry(&mut self, number: u32) -> Option<Vec<u8>> {
        let header = self.block(1)?;
        if !header.starts_with(b"EFI PART") {
            return None;
        }
        let (entries, count, size) = (le64(&header, 72)?, le32(&header, 80)?, le32(&header, 84)?);
        if !(128..=4096).contains(&size) || number == 0 || number > count.min(MAX_GPT) {
            return None;
        }
        let offset = entries.checked_mul(self.block_size.into())?;
        let offset = offset.checked_add(u64::from(number - 1) * u64::from(size))?;
        let block = self.block_size as usize;
        let mut bytes = self.block(offset / u64::from(self.block_size))?;
        // An entry is smaller than a block or begins with one, as far as it matters.
        let entry = bytes.split_off(offset as usize % block);
        if entry.iter().take(16).all(|&b| b == 0) { None } else { Some(entry) }
    }

    /// The extent of so many blocks, if the disk has them.
    fn extent(&self, start: u64, count: u64) -> Option<Extent> {
        let end = start.checked_add(count)?;
        if count == 0 || end > self.blocks {
            return None;
        }
        let size = u64::from(self.block_size);
        end.checked_mul(size)?;
        Some(Extent { start: start * size, size: count * size })
    }

    fn block(&mut self, number: u64) -> Option<Vec<u8>> {
        if number >= self.blocks {
            return None;
        }
        let mut bytes = vec![0; self.block_size as usize];
        (self.read)(number.checked_mul(self.block_size.into())?, &mut bytes).then_some(bytes)
    }

    /// The four entries of a PC partition table in a block.
    fn pc_table(&mut self, block: u64) -> Option<Vec<PcEntry>> {
        let bytes = self.block(block)?;
        if bytes.get(510..512)? != [0x55, 0xAA] {
            return None;
        }
        (0..4)
            .map(|i| {
                let at = 446 + i * 16;
                Some(PcEntry {
                    kind: *bytes.get(at + 4)?,
                    start: le32(&bytes, at + 8)?.into(),
                    count: le32(&bytes, at + 12)?.into(),
                })
            })
            .collect()
    }
}

struct PcEntry {
    kind: u8,
    start: u64,
    count: u64,
}

impl PcEntry {
    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0F | 0x85)
    }
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const BLOCKS: u64 = 1000;

    /// Puts an entry into a PC partition table.
    pub(crate) fn put_entry(disk: &mut [u8], block: usize, index: usize, kind: u8, start: u32, count: u32) {
        let table = &mut disk[block * 512..][..512];
        table[510..].copy_from_slice(&[0x55, 0xAA]);
        let entry = &mut table[446 + index * 16..][..16];
        entry[4] = kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..].copy_from_slice(&count.to_le_bytes());
    }

    fn find(disk: &[u8], number: u32) -> Option<(u64, u64)> {
        let mut read = |offset: u64, buf: &mut [u8]| {
            buf.copy_from_slice(&disk[offset as usize..][..buf.len()]);
            true
        };
        let extent = Disk { block_size: 512, blocks: BLOCKS, read: &mut read }.partition(number)?;
        assert!(extent.start + extent.size <= BLOCKS * 512);
        Some((extent.start / 512, extent.size / 512))
    }

    fn pc_disk() -> Vec<u8> {
        let mut disk = vec![0; BLOCKS as usize * 512];
        put_entry(&mut disk, 0, 0, 0x41, 1, 9);
        put_entry(&mut disk, 0, 1, 0x83, 10, 990);
        put_entry(&mut disk, 0, 2, 0x05, 100, 200);
        put_entry(&mut disk, 0, 3, 0x83, 999, 2);
        put_entry(&mut disk, 100, 0, 0x83, 1, 10);
        put_entry(&mut disk, 100, 1, 0x05, 50, 20);
        put_entry(&mut disk, 150, 0, 0x83, 2, 5);
        // The chain bites its tail.
        put_entry(&mut disk, 150, 1, 0x05, 0, 20);
        disk
    }

    #[test]
    fn pc_table() {
        let mut disk = pc_disk();
        assert_eq!(find(&disk, 0), Some((0, 1000)));
        assert_eq!((find(&disk, 1), find(&disk, 2)), (Some((1, 9)), Some((10, 990))));
        assert_eq!((find(&disk, 3), find(&disk, 4)), (None, None), "extended; beyond the end");
        assert_eq!((find(&disk, 5), find(&disk, 6)), (Some((101, 10)), Some((152, 5))));
        assert_eq!(find(&disk, 7), Some((101, 10)));
        assert_eq!((find(&disk, 5 + MAX_LOGICAL), find(&disk, u32::MAX)), (None, None));
        disk[510] = 0;
        assert_eq!(find(&disk, 1), None);
    }

    #[test]
    fn gpt() {
        let mut disk = vec![0; BLOCKS as usize * 512];
        put_entry(&mut disk, 0, 0, 0xEE, 1, 999);
        assert_eq!(find(&disk, 1), None);
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[584] = 2;
        disk[592] = 128;
        disk[596] = 128;
        let entry = &mut disk[1024 + 5 * 128..];
        entry[0] = 7;
        entry[32] = 40;
        entry[40] = 59;
        assert_eq!((find(&disk, 6), find(&disk, 1)), (Some((40, 20)), None));
        assert_eq!((find(&disk, 129), find(&disk, 128)), (None, None));
        disk[1024 + 5 * 128 + 41] = 0xff;
        assert_eq!(find(&disk, 6), None, "ends beyond the disk");
        disk[584 + 7] = 0xff;
        assert_eq!(find(&disk, 6), None);
    }

    #[test]
    fn random_tables_do_no_harm() {
        let mut seed = 88_172_645_463_325_252_u64;
        let mut found = 0;
        for round in 0..5_000 {
            let mut disk = pc_disk();
            for _ in 0..3 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let at = [446, 100 * 512 + 446, 512 + 64][round % 3] + (seed >> 40) as usize % 66;
                disk[at] = (seed >> 8) as u8;
            }
            found += (0..12).filter(|&n| find(&disk, n).is_some()).count();
        }
        assert!(found > 5_000);
    }
}
