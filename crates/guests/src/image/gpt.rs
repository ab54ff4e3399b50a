//! Writes the partition table of a new disk: GPT (UEFI specification chapter 5) with a protective PC table.

use flate2::Crc;

/// Bytes of a block.
pub const BLOCK: u64 = 512;
/// Partitions start and end at multiples of this, in bytes.
pub const ALIGN: u64 = 1 << 20;
/// Type of a partition that firmware starts as a Power boot program.
pub const PREP: [u8; 16] = guid(0x9E1A_2D38, 0xC612, 0x4316, 0xAA26_8B49_521E_5A8B);
/// Type of a Linux file system.
pub const LINUX: [u8; 16] = guid(0x0FC6_3DAF, 0x8483, 0x4772, 0x8E79_3D69_D847_7DE4);

const ENTRIES: u64 = 128;
const ENTRY_SIZE: u64 = 128;
/// Blocks of the table of entries.
const TABLE: u64 = ENTRIES * ENTRY_SIZE / BLOCK;

/// One partition to be. Start and size in bytes, multiples of [`ALIGN`].
#[derive(Clone, Debug)]
pub struct Part {
    /// Type.
    pub kind: [u8; 16],
    /// Its own identity.
    pub id: [u8; 16],
    /// First byte.
    pub start: u64,
    /// Length.
    pub size: u64,
    /// Name, for people.
    pub name: &'static str,
}

/// The bytes of a GUID from its text's parts: the first three are stored little-endian.
const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// What stands at the start and at the end of a disk of `size` bytes (a multiple of [`ALIGN`]): pairs of a byte offset
/// and the bytes there. `disk` is the disk's identity.
pub fn table(size: u64, disk: [u8; 16], parts: &[Part]) -> [(u64, Vec<u8>); 2] {
    let blocks = size / BLOCK;
    let mut entries = vec![0; (TABLE * BLOCK) as usize];
    for (entry, part) in entries.chunks_exact_mut(ENTRY_SIZE as usize).zip(parts) {
        entry[..16].copy_from_slice(&part.kind);
        entry[16..32].copy_from_slice(&part.id);
        entry[32..40].copy_from_slice(&(part.start / BLOCK).to_le_bytes());
        entry[40..48].copy_from_slice(&((part.start + part.size) / BLOCK - 1).to_le_bytes());
        for (cell, unit) in entry[56..].chunks_exact_mut(2).zip(part.name.encode_utf16()) {
            cell.copy_from_slice(&unit.to_le_bytes());
        }
    }
    let header = |own: u64, other: u64, table: u64| {
        let mut h = vec![0; BLOCK as usize];
        h[..8].copy_from_slice(b"EFI PART");
        h[8..12].copy_from_slice(&0x1_0000u32.to_le_bytes());
        h[12..16].copy_from_slice(&92u32.to_le_bytes());
        for (at, value) in [(24, own), (32, other), (40, 2 + TABLE), (48, blocks - TABLE - 2), (72, table)] {
            h[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        h[56..72].copy_from_slice(&disk);
        h[80..84].copy_from_slice(&(ENTRIES as u32).to_le_bytes());
        h[84..88].copy_from_slice(&(ENTRY_SIZE as u32).to_le_bytes());
        h[88..92].copy_from_slice(&crc(&entries).to_le_bytes());
        let sum = crc(&h[..92]);
        h[16..20].copy_from_slice(&sum.to_le_bytes());
        h
    };
    let mut start = vec![0; BLOCK as usize];
    start[446 + 2] = 2;
    start[446 + 4] = 0xEE;
    start[446 + 5..446 + 8].fill(0xFF);
    start[446 + 8..446 + 12].copy_from_slice(&1u32.to_le_bytes());
    let count = u32::try_from(blocks - 1).unwrap_or(u32::MAX);
    start[446 + 12..446 + 16].copy_from_slice(&count.to_le_bytes());
    start[510..].copy_from_slice(&[0x55, 0xAA]);
    start.extend(header(1, blocks - 1, 2));
    start.extend(&entries);
    let mut end = entries.clone();
    end.extend(header(blocks - 1, 1, blocks - 1 - TABLE));
    [(0, start), ((blocks - 1 - TABLE) * BLOCK, end)]
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_checks_out() {
        let part = Part { kind: PREP, id: [7; 16], start: ALIGN, size: 8 * ALIGN, name: "PReP" };
        let size = 64 * ALIGN;
        let [(at, start), (end_at, end)] = table(size, [9; 16], &[part]);
        assert_eq!((at, end_at + end.len() as u64), (0, size));
        let word = |b: &[u8], at: usize| u64::from_le_bytes(b[at..at + 8].try_into().unwrap());
        let header = &start[512..1024];
        // The text form of the type, as tools print it, begins with the bytes reversed.
        assert_eq!(start[1024..1028], [0x38, 0x2D, 0x1A, 0x9E]);
        assert_eq!((word(&start, 1024 + 32), word(&start, 1024 + 40)), (2048, 2048 * 9 - 1));
        assert_eq!((word(header, 24), word(header, 32)), (1, size / 512 - 1));
        let backup = &end[end.len() - 512..];
        assert_eq!(word(backup, 72) * 512, end_at);
        for h in [header, backup] {
            let mut clean = h[..92].to_vec();
            clean[16..20].fill(0);
            assert_eq!(h[16..20], crc(&clean).to_le_bytes());
        }
        assert_eq!(crc(b"123456789"), 0xCBF4_3926);
    }
}
