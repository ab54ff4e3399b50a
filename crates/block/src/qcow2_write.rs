//! Writes a raw image's contents as a new qcow2 image (QEMU's docs/interop/qcow2.txt, version 3): only what is not
//! zero, in the order of the disk, the tables behind the data.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of a second-level table.
const L2_ENTRIES: u64 = CLUSTER / 8;
/// Counts in a cluster, 16 bits each.
const COUNTS: u64 = CLUSTER / 2;
/// Set in table entries whose cluster is used once.
const COPIED: u64 = 1 << 63;

/// Copies `raw` into the empty file `out`. `progress` hears how many of all bytes have been looked at.
pub fn copy(raw: &File, out: &File, progress: &mut dyn FnMut(u64, u64)) -> io::Result<()> {
    let size = raw.metadata()?.len();
    let l1_entries = size.div_ceil(CLUSTER * L2_ENTRIES).max(1);
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER);
    let mut next = 1 + l1_clusters;
    let mut l2: Vec<Option<Vec<u64>>> = vec![None; l1_entries as usize];
    let mut at = 0;
    let mut buffer = vec![0; CLUSTER as usize];
    while let Some(data) = next_data(raw, at, size)? {
        at = data / CLUSTER * CLUSTER;
        progress(at, size);
        let len = CLUSTER.min(size - at) as usize;
        buffer[len..].fill(0);
        raw.read_exact_at(&mut buffer[..len], at)?;
        if buffer.iter().any(|&b| b != 0) {
            out.write_all_at(&buffer, next * CLUSTER)?;
            let index = at / CLUSTER;
            let table = l2[(index / L2_ENTRIES) as usize].get_or_insert_with(|| vec![0; L2_ENTRIES as usize]);
            table[(index % L2_ENTRIES) as usize] = next * CLUSTER | COPIED;
            next += 1;
        }
        at += CLUSTER;
    }
    let mut l1 = Vec::new();
    for table in &l2 {
        let mut entry = 0u64;
        if let Some(table) = table {
            let bytes: Vec<u8> = table.iter().flat_map(|e| e.to_be_bytes()).collect();
            out.write_all_at(&bytes, next * CLUSTER)?;
            entry = next * CLUSTER | COPIED;
            next += 1;
        }
        l1.extend(entry.to_be_bytes());
    }
    out.write_all_at(&l1, CLUSTER)?;
    // The counts count themselves.
    let (mut blocks, mut table_clusters) = (1, 1);
    loop {
        let all = next + blocks + table_clusters;
        let (b, t) = (all.div_ceil(COUNTS), (all.div_ceil(COUNTS) * 8).div_ceil(CLUSTER));
        if (b, t) == (blocks, table_clusters) {
            break;
        }
        (blocks, table_clusters) = (b, t);
    }
    let all = next + blocks + table_clusters;
    let mut counts = vec![0; (blocks * CLUSTER) as usize];
    counts.chunks_exact_mut(2).take(all as usize).for_each(|c| c[1] = 1);
    out.write_all_at(&counts, next * CLUSTER)?;
    let table_at = (next + blocks) * CLUSTER;
    let mut table = vec![0; (table_clusters * CLUSTER) as usize];
    for (entry, n) in table.chunks_exact_mut(8).zip(0..blocks) {
        entry.copy_from_slice(&((next + n) * CLUSTER).to_be_bytes());
    }
    out.write_all_at(&table, table_at)?;
    let mut header = Vec::new();
    header.extend(b"QFI\xfb");
    header.extend(3u32.to_be_bytes());
    header.extend([0; 12]); // no backing file
    header.extend(CLUSTER_BITS.to_be_bytes());
    header.extend(size.to_be_bytes());
    header.extend(0u32.to_be_bytes()); // not encrypted
    header.extend((l1_entries as u32).to_be_bytes());
    header.extend(CLUSTER.to_be_bytes()); // of the first-level table
    header.extend(table_at.to_be_bytes());
    header.extend((table_clusters as u32).to_be_bytes());
    header.extend([0; 4 + 8 + 24]); // no snapshots, no features
    header.extend(4u32.to_be_bytes()); // counts of 16 bits
    header.extend(104u32.to_be_bytes()); // of this header
    header.extend([0; 8]); // no extensions follow
    out.write_all_at(&header, 0)?;
    out.sync_all()?;
    progress(size, size);
    Ok(())
}

/// The first byte from `at` on that is not in a hole.
fn next_data(raw: &File, at: u64, size: u64) -> io::Result<Option<u64>> {
    if at >= size {
        return Ok(None);
    }
    match seek(raw, SeekFrom::Data(at)) {
        Ok(found) => Ok(Some(found.max(at))),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        // A file system without holes: everything may be data.
        Err(rustix::io::Errno::INVAL) => Ok(Some(at)),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn be64(bytes: &[u8], at: usize) -> u64 {
        u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn contents_can_be_found_by_the_tables() {
        let path = |n: &str| std::env::temp_dir().join(format!("rhyp-qcow2-{}-{n}", std::process::id()));
        let open = |n: &str| {
            let f = File::options().read(true).write(true).create(true).truncate(true).open(path(n)).unwrap();
            std::fs::remove_file(path(n)).unwrap();
            f
        };
        let (raw, out) = (open("raw"), open("out"));
        // More than one second-level table, and an end within a cluster.
        let size = CLUSTER * L2_ENTRIES * 2 + 512;
        raw.set_len(size).unwrap();
        let places = [0, CLUSTER * 3 + 5, CLUSTER * L2_ENTRIES * 2 + 511];
        for (n, &at) in places.iter().enumerate() {
            raw.write_all_at(&[n as u8 + 1], at).unwrap();
        }
        raw.write_all_at(&[0; 4096], CLUSTER * 9).unwrap();
        copy(&raw, &out, &mut |_, _| {}).unwrap();
        let mut image = vec![0; out.metadata().unwrap().len() as usize];
        out.read_exact_at(&mut image, 0).unwrap();
        assert_eq!((be64(&image, 24), image.len() as u64 % CLUSTER), (size, 0));
        for (n, &at) in places.iter().enumerate() {
            let l1 =
                be64(&image, be64(&image, 40) as usize + (at / CLUSTER / L2_ENTRIES) as usize * 8) & !COPIED;
            let l2 = be64(&image, l1 as usize + (at / CLUSTER % L2_ENTRIES) as usize * 8) & !COPIED;
            assert_eq!(image[(l2 + at % CLUSTER) as usize], n as u8 + 1);
        }
        // Header, first level, three data clusters, two tables of the second, counts and their table; each counted once.
        let counts = be64(&image, be64(&image, 48) as usize) as usize;
        let used = image[counts..counts + CLUSTER as usize].chunks(2).filter(|c| c[1] == 1).count();
        assert_eq!((used, image.len() as u64 / CLUSTER), (9, 9));
    }
}
