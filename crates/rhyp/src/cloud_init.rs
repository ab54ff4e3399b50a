//! `--cloud-init`: a small read-only disk in memory that cloud-init takes its orders from (data source NoCloud: a file
//! system called `cidata` with the files `user-data` and `meta-data`). It is ISO 9660 with Rock Ridge names.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use partition::block::{Cache, Raw};
use partition::io::{DiskBus, DiskSlot};
use rustix::fs::MemfdFlags;

use crate::disk::words;
use crate::error::Failure;

const SECTOR: usize = 2048;
/// Where things stand, in sectors (ECMA-119, sections 6.2 to 8.4).
const DESCRIPTOR: usize = 16;
const PATHS_LITTLE: usize = 18;
const PATHS_BIG: usize = 19;
const ROOT: usize = 20;
const DATA: usize = 21;
/// Largest file that is taken.
const LARGEST: u64 = 16 << 20;

/// Makes the disk from `FILE[,meta-data=FILE][,network-config=FILE]`. `name` is the partition's.
pub fn open(arg: &str, name: &str) -> Result<DiskSlot, Failure> {
    let wrong = |what: String| Failure::usage(format!("--cloud-init {arg}: {what}"));
    let read = |path: &str| -> Result<Vec<u8>, Failure> {
        let size = std::fs::metadata(path).map(|m| m.len());
        if size.as_ref().is_ok_and(|&s| s > LARGEST) {
            return Err(wrong(format!("{path} is too large")));
        }
        std::fs::read(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => wrong(format!("{path}: there is no such file")),
            _ => wrong(format!("{path}: {e}")),
        })
    };
    let mut words = words(arg).into_iter();
    let user_data = read(&words.next().unwrap_or_default())?;
    let mut meta_data = None;
    let mut files = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some(("meta-data", path)) => meta_data = Some(read(path)?),
            Some((kind @ ("network-config" | "vendor-data"), path)) => {
                files.push((kind.to_owned(), read(path)?))
            }
            _ => {
                let right = "meta-data=FILE, network-config=FILE or vendor-data=FILE";
                return Err(wrong(format!("'{word}' is unknown; right would be {right}")));
            }
        }
    }
    let made_up = || meta_data_of(&user_data, name).into_bytes();
    files.push(("meta-data".into(), meta_data.unwrap_or_else(made_up)));
    files.push(("user-data".into(), user_data));
    let host = |e: std::io::Error| Failure::internal(format!("--cloud-init: no memory for the disk: {e}"));
    let memory = rustix::fs::memfd_create("rhyp-cidata", MemfdFlags::CLOEXEC).map_err(|e| host(e.into()))?;
    let mut file = File::from(memory);
    file.write_all(&image(&files)).map_err(host)?;
    let disk = Raw::with_cache(file, None, true, Cache::Unsafe).map_err(host)?;
    Ok(DiskSlot { disk: Arc::new(disk), bus: DiskBus::Virtio, cdrom: false })
}

/// cloud-init carries orders out once for each instance: other orders are another instance.
fn meta_data_of(user_data: &[u8], name: &str) -> String {
    let hash = user_data
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let host: String = name.chars().map(plain).collect();
    format!("instance-id: rhyp-{hash:016x}\nlocal-hostname: {host}\n")
}

/// A number in both byte orders.
fn both(v: u32) -> [u8; 8] {
    let mut b = [0; 8];
    b[..4].copy_from_slice(&v.to_le_bytes());
    b[4..].copy_from_slice(&v.to_be_bytes());
    b
}

fn both16(v: u16) -> [u8; 4] {
    let (l, b) = (v.to_le_bytes(), v.to_be_bytes());
    [l[0], l[1], b[0], b[1]]
}

/// A directory record (ECMA-119 section 9.1) with what Rock Ridge adds.
fn record(name: &[u8], sector: usize, size: usize, directory: bool, more: &[u8]) -> Vec<u8> {
    let mut r = vec![0, 0];
    r.extend(both(sector as u32));
    r.extend(both(size as u32));
    // The first second of 1980.
    r.extend([80, 1, 1, 0, 0, 0, 0]);
    r.extend([u8::from(directory) * 2, 0, 0]);
    r.extend(both16(1));
    r.push(name.len() as u8);
    r.extend(name);
    if r.len() % 2 == 1 {
        r.push(0);
    }
    r.extend(more);
    if r.len() % 2 == 1 {
        r.push(0);
    }
    r[0] = r.len() as u8;
    r
}

/// File mode and owner (RRIP 1.10 section 4.1.1).
fn mode(mode: u32, links: u32) -> Vec<u8> {
    let mut px = b"PX\x24\x01".to_vec();
    for v in [mode, links, 0, 0] {
        px.extend(both(v));
    }
    px
}

/// The file system with these files in its root.
fn image(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut sector = DATA;
    let mut entries = Vec::new();
    let mut data = Vec::new();
    for (n, (name, content)) in files.iter().enumerate() {
        let mut more = mode(0o100_444, 1);
        more.extend([b'N', b'M', 5 + name.len() as u8, 1, 0]);
        more.extend(name.as_bytes());
        entries.extend(record(format!("FILE{n}.;1").as_bytes(), sector, content.len(), false, &more));
        data.extend(content);
        data.resize(data.len().next_multiple_of(SECTOR), 0);
        sector = DATA + data.len() / SECTOR;
    }
    let directory = mode(0o40_555, 2);
    // The root's own record says that there is more, and what (SUSP 1.12 sections 5.3 and 5.5).
    let first = [b"SP\x07\x01\xbe\xef\x00", &directory[..], b"ER\x12\x01\x0a\x00\x00\x01RRIP_1991A"].concat();
    let mut root = record(&[0], ROOT, SECTOR, true, &first);
    root.extend(record(&[1], ROOT, SECTOR, true, &directory));
    root.extend(entries);

    let mut v = vec![0; DATA * SECTOR];
    let total = (v.len() + data.len()) / SECTOR;
    let d = &mut v[DESCRIPTOR * SECTOR..];
    d[..7].copy_from_slice(b"\x01CD001\x01");
    d[8..72].fill(b' ');
    d[40..46].copy_from_slice(b"cidata");
    d[80..88].copy_from_slice(&both(total as u32));
    for at in [120, 124] {
        d[at..at + 4].copy_from_slice(&both16(1));
    }
    d[128..132].copy_from_slice(&both16(SECTOR as u16));
    d[132..140].copy_from_slice(&both(10));
    d[140..144].copy_from_slice(&(PATHS_LITTLE as u32).to_le_bytes());
    d[148..152].copy_from_slice(&(PATHS_BIG as u32).to_be_bytes());
    let top = record(&[0], ROOT, SECTOR, true, &[]);
    d[156..156 + top.len()].copy_from_slice(&top);
    d[190..813].fill(b' ');
    for at in [813, 830, 847, 864] {
        d[at..at + 16].fill(b'0');
    }
    d[881] = 1;
    d[SECTOR..SECTOR + 7].copy_from_slice(b"\xffCD001\x01");
    v[PATHS_LITTLE * SECTOR..][..8].copy_from_slice(&[1, 0, ROOT as u8, 0, 0, 0, 1, 0]);
    v[PATHS_BIG * SECTOR..][..8].copy_from_slice(&[1, 0, 0, 0, 0, ROOT as u8, 0, 1]);
    v[ROOT * SECTOR..][..root.len()].copy_from_slice(&root);
    v.extend(data);
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files by their Rock Ridge names.
    fn files(v: &[u8]) -> Vec<(String, Vec<u8>)> {
        let word = |at: usize| u32::from_le_bytes(v[at..at + 4].try_into().unwrap()) as usize;
        let d = DESCRIPTOR * SECTOR;
        assert_eq!(&v[d..d + 7], b"\x01CD001\x01");
        assert_eq!(&v[d + 40..d + 47], b"cidata ");
        assert_eq!((word(d + 80) * SECTOR, v.len() % SECTOR), (v.len(), 0));
        let mut at = word(d + 156 + 2) * SECTOR;
        let mut out = Vec::new();
        while v[at] != 0 {
            let r = &v[at..at + v[at] as usize];
            if let Some(n) = r.windows(2).position(|w| w == b"NM") {
                let name = String::from_utf8(r[n + 5..n + r[n + 2] as usize].to_vec()).unwrap();
                let (start, len) = (word(at + 2) * SECTOR, word(at + 10));
                out.push((name, v[start..start + len].to_vec()));
            }
            at += r.len();
        }
        out
    }

    #[test]
    fn what_goes_in_comes_out() {
        let all = vec![
            ("network-config".to_owned(), vec![]),
            ("meta-data".to_owned(), b"instance-id: a\n".to_vec()),
            ("user-data".to_owned(), vec![b'x'; 5000]),
        ];
        assert_eq!(files(&image(&all)), all);
    }

    #[test]
    fn a_disk_is_made_of_a_file() {
        let path = std::env::temp_dir().join(format!("rhyp-user-data-{}", std::process::id()));
        std::fs::write(&path, "#cloud-config\n").unwrap();
        let slot = open(&path.display().to_string(), "my.host").unwrap();
        assert!(slot.disk.read_only());
        let mut bytes = vec![0; slot.disk.size() as usize];
        slot.disk.read_now(0, &mut bytes).unwrap();
        let found = files(&bytes);
        assert_eq!(found[1], ("user-data".into(), b"#cloud-config\n".to_vec()));
        let meta = String::from_utf8(found[0].1.clone()).unwrap();
        assert!(
            meta.starts_with("instance-id: rhyp-") && meta.ends_with("local-hostname: my-host\n"),
            "{meta}"
        );
        let e = open(&format!("{},colour=red", path.display()), "x").err().unwrap();
        assert!(e.status == 2 && e.text.contains("meta-data="), "{}", e.text);
        std::fs::remove_file(&path).unwrap();
        assert!(open("/nonexistent/user-data", "x").err().unwrap().text.contains("no such file"));
    }
}
