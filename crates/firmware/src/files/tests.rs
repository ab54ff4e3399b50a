use super::*;

/// A FAT16 volume of 4 MiB with files `(path of at most one directory, data)`.
pub(crate) fn fat16(files: &[(&str, &[u8])]) -> Vec<u8> {
    const SECTOR: usize = 512;
    let sectors = 8192;
    let mut v = vec![0; sectors * SECTOR];
    let (reserved, fat_sectors, root_entries) = (1, 32, 32);
    v[11..13].copy_from_slice(&512u16.to_le_bytes());
    v[13] = 1;
    v[14] = reserved as u8;
    v[16] = 1;
    v[17..19].copy_from_slice(&(root_entries as u16).to_le_bytes());
    v[19..21].copy_from_slice(&(sectors as u16).to_le_bytes());
    v[22..24].copy_from_slice(&(fat_sectors as u16).to_le_bytes());
    let root = (reserved + fat_sectors) * SECTOR;
    let data = root + root_entries * 32;
    let mut next = 2usize;
    let mut store = |v: &mut Vec<u8>, bytes: &[u8]| {
        let first = next;
        for (i, piece) in bytes.chunks(SECTOR).enumerate() {
            let last = (i + 1) * SECTOR >= bytes.len();
            let link = if last { 0xFFFF } else { next as u16 + 1 };
            v[reserved * SECTOR + next * 2..][..2].copy_from_slice(&link.to_le_bytes());
            v[data + (next - 2) * SECTOR..][..piece.len()].copy_from_slice(piece);
            next += 1;
        }
        first
    };
    let entry = |name: &str, start: usize, size: usize, flags: u8| {
        let mut e = vec![b' '; 11];
        let (base, ext) = name.split_once('.').unwrap_or((name, ""));
        e[..base.len()].copy_from_slice(base.to_uppercase().as_bytes());
        e[8..8 + ext.len()].copy_from_slice(ext.to_uppercase().as_bytes());
        e.push(flags);
        e.extend([0; 14]);
        e.extend((start as u16).to_le_bytes());
        e.extend((size as u32).to_le_bytes());
        e
    };
    let mut top = entry("label", 0, 0, 0x08);
    let mut directories: Vec<(&str, Vec<u8>)> = Vec::new();
    for (path, bytes) in files {
        let (directory, name) = path.split_once('/').unwrap_or(("", path));
        let start = store(&mut v, bytes);
        let e = entry(name, start, bytes.len(), 0x20);
        match directories.iter_mut().find(|(d, _)| *d == directory) {
            Some((_, list)) => list.extend(e),
            None if directory.is_empty() => top.extend(e),
            None => directories.push((directory, e)),
        }
    }
    for (name, list) in directories {
        let start = store(&mut v, &list);
        top.extend(entry(name, start, 0, 0x10));
    }
    v[root..root + top.len()].copy_from_slice(&top);
    v
}

/// An ISO 9660 volume with files in directories of the root.
pub(crate) fn iso(files: &[(&str, &str, &[u8])]) -> Vec<u8> {
    const SECTOR: usize = 2048;
    let mut v = vec![0; 64 * SECTOR];
    let record = |name: &[u8], sector: usize, size: usize, directory: bool| {
        let mut r = vec![0; 33];
        r[2..6].copy_from_slice(&(sector as u32).to_le_bytes());
        r[10..14].copy_from_slice(&(size as u32).to_le_bytes());
        r[25] = u8::from(directory) * 2;
        r[32] = name.len() as u8;
        r.extend(name);
        if r.len() % 2 == 1 {
            r.push(0);
        }
        r[0] = r.len() as u8;
        r
    };
    v[16 * SECTOR..][..6].copy_from_slice(b"\x01CD001");
    let top = record(&[0], 18, SECTOR, true);
    v[16 * SECTOR + 156..][..top.len()].copy_from_slice(&top);
    let (mut root, mut next) = (top, 19);
    // The second sector of a directory must be found, too.
    for (directory, name, data) in files {
        let own = record(
            format!("{}.;1", name.to_uppercase()).replace("F.;", "F;").as_bytes(),
            next + 1,
            data.len(),
            false,
        );
        v[next * SECTOR..][..own.len()].copy_from_slice(&own);
        v[(next + 1) * SECTOR..][..data.len()].copy_from_slice(data);
        root.extend(record(directory.to_uppercase().as_bytes(), next, SECTOR, true));
        next += 2 + data.len() / SECTOR;
    }
    v[18 * SECTOR..][..root.len()].copy_from_slice(&root);
    v
}

pub(crate) fn on_disk<R>(bytes: &[u8], what: impl FnOnce(&mut Disk<'_>) -> R) -> R {
    let mut read = |offset: u64, buf: &mut [u8]| {
        buf.copy_from_slice(&bytes[offset as usize..][..buf.len()]);
        true
    };
    what(&mut Disk { block_size: 512, blocks: bytes.len() as u64 / 512, read: &mut read })
}

fn get(bytes: &[u8], path: &str) -> Option<Vec<u8>> {
    on_disk(bytes, |d| read(d, Extent { start: 0, size: bytes.len() as u64 }, path))
}

#[test]
fn fat() {
    let long = vec![7; 1300];
    let v = fat16(&[("ppc/bootinfo.txt", b"hello"), ("core.elf", &long)]);
    assert_eq!(get(&v, "\\ppc\\bootinfo.txt").unwrap(), b"hello");
    assert_eq!(get(&v, "/CORE.ELF").unwrap(), long);
    for missing in ["\\ppc", "\\ppc\\x", "core.elf\\x", "label", "a.long.name", ""] {
        assert_eq!(get(&v, missing), None, "{missing}");
    }
    // A chain that ends early, and one that bites its tail.
    let mut cut = v.clone();
    let second = 512 + 3 * 2;
    cut[second..second + 2].copy_from_slice(&0xFFFFu16.to_le_bytes());
    assert_eq!(get(&cut, "core.elf"), None);
    cut[second..second + 2].copy_from_slice(&3u16.to_le_bytes());
    assert_eq!(get(&cut, "core.elf").unwrap().len(), 1300);
}

#[test]
fn iso9660() {
    let v = iso(&[("ppc", "bootinfo.txt", b"hi"), ("boot", "core.elf", &[1; 3000])]);
    let name = "\\ppc\\bootinfo.txt.";
    assert_eq!(get(&v, name).or_else(|| get(&v, "\\ppc\\bootinfo.txt")).unwrap(), b"hi");
    assert_eq!(get(&v, "boot/CORE.ELF").unwrap(), [1; 3000]);
    assert_eq!((get(&v, "\\ppc"), get(&v, "\\ppc\\bootinfo.txt\\x"), get(&v, "\\x")), (None, None, None));
}

#[test]
fn random_damage_does_no_harm() {
    let images = [fat16(&[("ppc/bootinfo.txt", b"hello")]), iso(&[("ppc", "bootinfo.txt", b"hi")])];
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut found = 0;
    for round in 0..4_000 {
        let mut v = images[round % 2].clone();
        for _ in 0..4 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = match round % 2 {
                0 => [0, 512, 33 * 512][round % 3] + (seed >> 40) as usize % 96,
                _ => [16 * 2048 + 156, 18 * 2048, 19 * 2048][round % 3] + (seed >> 40) as usize % 80,
            };
            v[at] = (seed >> 8) as u8;
        }
        found += usize::from(get(&v, "\\ppc\\bootinfo.txt").is_some());
    }
    assert!(found > 500, "{found}");
}
