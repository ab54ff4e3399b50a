//! Looks through the tables of a qcow2 image (QEMU's docs/interop/qcow2.txt) before it is written to: every cluster that
//! is used must be counted, and none that holds tables may be used a second time. Where that is not so the library
//! would take clusters for free that are not, and lose data or itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;

/// Bytes of the longest header that matters.
const HEADER: usize = 104;
/// Bytes in the tables' entries that are an offset.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// Set in entries of the second level: the cluster is compressed.
const COMPRESSED: u64 = 1 << 62;
/// Incompatible features: refused for writing, data in another file, entries of 16 bytes.
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const LONG_ENTRIES: u64 = 1 << 4;
/// Largest tables, as QEMU has them: first level, counts.
const MAX_L1: u64 = 32 << 20;
const MAX_TABLE: u64 = 8 << 20;
/// Images with more clusters or more bytes in tables are not looked through: it would take too long.
const MAX_CLUSTERS: u64 = 1 << 28;
const MAX_BYTES: u64 = 2 << 30;
/// Most clusters in use behind the end of the file.
const MAX_BEYOND: usize = 1 << 20;
/// What a cluster is used for that holds tables.
const TABLE: u8 = u8::MAX;

fn damaged(what: impl std::fmt::Display) -> Error {
    let help = "'qemu-img check -r all' may repair it";
    Error::new(ErrorKind::InvalidData, format!("its tables contradict each other: {what}; {help}"))
}

/// How often each cluster is used.
struct Uses {
    bits: u32,
    inside: Vec<u8>,
    beyond: BTreeMap<u64, u8>,
}

impl Uses {
    fn place(&mut self, cluster: u64) -> Result<&mut u8> {
        if let Some(place) = usize::try_from(cluster).ok().filter(|&n| n < self.inside.len()) {
            return Ok(&mut self.inside[place]);
        }
        if self.beyond.len() >= MAX_BEYOND {
            return Err(damaged("too many clusters are behind the end of the file"));
        }
        Ok(self.beyond.entry(cluster).or_default())
    }

    /// Clusters with tables in them.
    fn tables(&mut self, offset: u64, len: u64, what: &str) -> Result<()> {
        let cluster = 1 << self.bits;
        if offset % cluster != 0 || offset.checked_add(len).is_none_or(|end| end > OFFSET) {
            return Err(damaged(format_args!("{what} is at {offset:#x}")));
        }
        for n in offset >> self.bits..(offset + len).div_ceil(cluster) {
            let place = self.place(n)?;
            if *place != 0 {
                return Err(damaged(format_args!("cluster {n} holds {what} and something else")));
            }
            *place = TABLE;
        }
        Ok(())
    }

    fn data(&mut self, first: u64, last: u64) -> Result<()> {
        for n in first..=last {
            let place = self.place(n)?;
            if *place == TABLE {
                return Err(damaged(format_args!("cluster {n} holds a table and data")));
            }
            *place = (*place + 1).min(TABLE - 1);
        }
        Ok(())
    }
}

struct Image<'a> {
    file: &'a File,
    bits: u32,
    len: u64,
}

impl Image<'_> {
    /// A table; what is behind the end of the file is zero.
    fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        let there = self.len.saturating_sub(offset).min(len) as usize;
        self.file.read_exact_at(&mut bytes[..there], offset)?;
        Ok(bytes)
    }

    fn entries(&self, offset: u64, len: u64) -> Result<Vec<u64>> {
        let bytes = self.bytes(offset, len)?;
        Ok(bytes.chunks_exact(8).map(|b| be64(b, 0)).collect())
    }
}

fn be32(b: &[u8], at: usize) -> u32 {
    b.get(at..at + 4).map_or(0, |s| s.iter().fold(0, |v, &x| v << 8 | u32::from(x)))
}

fn be64(b: &[u8], at: usize) -> u64 {
    u64::from(be32(b, at)) << 32 | u64::from(be32(b, at + 4))
}

/// Count `n` of a block, each of 2^`order` bits.
fn count(block: &[u8], n: usize, order: u32) -> u64 {
    match order {
        0..3 => {
            let per_byte = 8 >> order;
            let byte = block.get(n / per_byte).copied().unwrap_or(0);
            u64::from(byte >> ((n % per_byte) << order)) & ((1 << (1 << order)) - 1)
        }
        _ => {
            let size = 1 << (order - 3);
            let bytes = block.get(n * size..(n + 1) * size).unwrap_or(&[]);
            bytes.iter().fold(0, |v, &b| v << 8 | u64::from(b))
        }
    }
}

/// Looks an image through that is to be written. What its header alone shows to be wrong is left to the library.
pub fn check(file: &File) -> Result<()> {
    let len = file.metadata()?.len();
    let header = Image { file, bits: 0, len }.bytes(0, HEADER as u64)?;
    let version = be32(&header, 4);
    let (features, order) = if version < 3 { (0, 4) } else { (be64(&header, 72), be32(&header, 96)) };
    let bits = be32(&header, 20);
    if !(9..=21).contains(&bits) || order > 6 || features & LONG_ENTRIES != 0 {
        return Ok(());
    }
    if features & CORRUPT != 0 {
        return Err(damaged("it is marked as damaged"));
    }
    let image = Image { file, bits, len };
    let cluster = 1u64 << bits;
    if len.div_ceil(cluster) > MAX_CLUSTERS {
        return Ok(());
    }
    let l1_len = u64::from(be32(&header, 36)) * 8;
    let table_len = u64::from(be32(&header, 56)) * cluster;
    if l1_len > MAX_L1 || table_len > MAX_TABLE {
        return Err(damaged("a table is too large"));
    }
    let mut uses = Uses { bits, inside: vec![0; len.div_ceil(cluster) as usize], beyond: BTreeMap::new() };
    uses.tables(0, cluster, "the header")?;
    let (l1_at, table_at) = (be64(&header, 40), be64(&header, 48));
    uses.tables(table_at, table_len, "the table of counts")?;
    let blocks = image.entries(table_at, table_len)?;
    for &block in blocks.iter().filter(|&&b| b != 0) {
        uses.tables(block, cluster, "a block of counts")?;
    }
    uses.tables(l1_at, l1_len, "the first level")?;
    let mut read = 0;
    for entry in image.entries(l1_at, l1_len)? {
        let at = entry & OFFSET;
        if at == 0 {
            continue;
        }
        uses.tables(at, cluster, "a second level")?;
        read += cluster;
        if read > MAX_BYTES {
            return Ok(());
        }
        if features & EXTERNAL_DATA == 0 {
            second_level(&image, at, &mut uses)?;
        }
    }
    compare(&image, &uses, &blocks, order)
}

/// Counts the clusters that a table of the second level names.
fn second_level(image: &Image, at: u64, uses: &mut Uses) -> Result<()> {
    for entry in image.entries(at, 1 << image.bits)? {
        if entry & COMPRESSED != 0 {
            // An offset in bytes, and above it how many sectors follow the first.
            let width = 62 - (image.bits - 8);
            let offset = entry & ((1 << width) - 1);
            let sectors = (entry & (COMPRESSED - 1)) >> width;
            let last = (offset & !511).saturating_add((sectors + 1) * 512 - 1);
            uses.data(offset >> image.bits, last >> image.bits)?;
        } else if entry & OFFSET != 0 {
            let offset = entry & OFFSET;
            if offset % (1 << image.bits) != 0 {
                return Err(damaged(format_args!("a cluster is at {offset:#x}")));
            }
            uses.data(offset >> image.bits, offset >> image.bits)?;
        }
    }
    Ok(())
}

/// No cluster is used more often than it is counted.
fn compare(image: &Image, uses: &Uses, blocks: &[u64], order: u32) -> Result<()> {
    let per_block = (8u64 << image.bits) >> order;
    let uncounted = |n: u64| damaged(format_args!("cluster {n} is used more often than counted"));
    let wanted = |n: u8| if n == TABLE { 1 } else { u64::from(n) };
    let look = |first: u64, used: &mut dyn Iterator<Item = (u64, u8)>| {
        let block = usize::try_from(first / per_block).ok().and_then(|n| blocks.get(n)).copied();
        let mut counts = None;
        for (n, uses) in used.filter(|u| u.1 != 0) {
            let at = block.filter(|&b| b != 0).ok_or_else(|| uncounted(n))?;
            if counts.is_none() {
                counts = Some(image.bytes(at, 1 << image.bits)?);
            }
            let counts = counts.as_deref().unwrap_or(&[]);
            if count(counts, (n % per_block) as usize, order) < wanted(uses) {
                return Err(uncounted(n));
            }
        }
        Ok(())
    };
    for (part, first) in uses.inside.chunks(per_block as usize).zip((0..).step_by(per_block as usize)) {
        look(first, &mut (first..).zip(part.iter().copied()))?;
    }
    for (&n, &used) in &uses.beyond {
        look(n, &mut std::iter::once((n, used)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: usize = 512;

    /// An image of seven clusters: header, table of counts, a block of them, first and second level, two of data.
    fn image(order: u32) -> Vec<u8> {
        let mut b = vec![0; 7 * CLUSTER];
        let mut put = |at: usize, v: &[u8]| b[at..at + v.len()].copy_from_slice(v);
        put(0, b"QFI\xfb\0\0\0\x03");
        put(20, &9u32.to_be_bytes());
        put(24, &(16u64 << 10).to_be_bytes());
        put(36, &1u32.to_be_bytes());
        put(40, &(3 * CLUSTER as u64).to_be_bytes());
        put(48, &(CLUSTER as u64).to_be_bytes());
        put(56, &1u32.to_be_bytes());
        put(96, &order.to_be_bytes());
        put(100, &104u32.to_be_bytes());
        put(CLUSTER, &(2 * CLUSTER as u64).to_be_bytes());
        put(3 * CLUSTER, &(4 * CLUSTER as u64 | 1 << 63).to_be_bytes());
        for n in 0..2 {
            put(4 * CLUSTER + 8 * n, &((5 + n) as u64 * CLUSTER as u64 | 1 << 63).to_be_bytes());
        }
        match order {
            0 => put(2 * CLUSTER, &[0x7f]),
            1 => put(2 * CLUSTER, &[0x55, 0x15]),
            _ => (0..7).for_each(|n| put(2 * CLUSTER + ((n + 1) << (order - 3)) - 1, &[1])),
        }
        b
    }

    fn result(bytes: &[u8]) -> std::result::Result<(), String> {
        let fd = rustix::fs::memfd_create("image", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(fd);
        file.write_all_at(bytes, 0).unwrap();
        check(&file).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_used_must_be_counted() {
        for order in [0, 1, 3, 4, 6] {
            assert_eq!(result(&image(order)), Ok(()), "order {order}");
        }
        let damage = |at: usize, v: &[u8]| {
            let mut b = image(4);
            b[at..at + v.len()].copy_from_slice(v);
            result(&b).unwrap_err()
        };
        for n in 0..7 {
            assert!(damage(2 * CLUSTER + 2 * n, &[0, 0]).contains(&format!("cluster {n} is used")));
        }
        assert!(damage(CLUSTER, &[0; 8]).contains("than counted"), "no block of counts");
        assert!(damage(56, &[0; 4]).contains("than counted"), "no table of counts");
        assert!(damage(4 * CLUSTER + 6, &[8]).contains("a table and data"));
        assert!(damage(3 * CLUSTER, &[0x80, 0, 0, 0, 0, 0, 6, 0]).contains("something else"));
        assert!(damage(40, &7u64.to_be_bytes()).contains("first level is at"));
        assert!(
            damage(4 * CLUSTER, &[0x80, 0x7f, 0, 0, 0, 0, 0, 0]).contains("than counted"),
            "beyond the file"
        );
        // Compressed, two sectors long, beyond what is counted.
        assert!(damage(4 * CLUSTER, &[0x60, 0, 0, 0, 0, 0, 0x0e, 0]).contains("cluster 7"));
        assert!(damage(72, &2u64.to_be_bytes()).contains("marked"));
        assert!(damage(36, &u32::MAX.to_be_bytes()).contains("too large"));
        assert!(!damage(36, &u32::MAX.to_be_bytes()).contains('\n'));
    }
}
