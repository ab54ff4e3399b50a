//! qcow2 images with arbitrary headers and tables: opening, reading and writing them must fail or work, nothing else.
//! A panic in the library that reads them counts as a failure that was caught, so the hook that ends the process at
//! each is taken out; a request without an answer is a finding.
//!
//! The first byte chooses: an image of nothing but the input, or a good one that the input's pieces are written over:
//! each of two bytes that say where, one that says how many, and so many.
#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, mpsc};

use block::{Cache, Disk, Op, Qcow2};
use libfuzzer_sys::fuzz_target;
use mem::{GuestRam, Pieces};

/// Where the name of a backing file stands in the header, and its length: such files are not for fuzzing.
const BACKING: std::ops::Range<usize> = 8..20;
const CLUSTER: usize = 512;

/// Header, table of counts, a block of them, first and second level, three clusters of data.
fn good() -> Vec<u8> {
    let mut b = vec![0; 8 * CLUSTER];
    let mut put = |at: usize, v: &[u8]| b[at..at + v.len()].copy_from_slice(v);
    let at = |cluster: usize| ((cluster * CLUSTER) as u64).to_be_bytes();
    put(0, b"QFI\xfb\0\0\0\x03");
    put(20, &9u32.to_be_bytes());
    put(24, &(64u64 << 10).to_be_bytes());
    put(36, &2u32.to_be_bytes());
    put(40, &at(3));
    put(48, &at(1));
    put(56, &1u32.to_be_bytes());
    put(96, &4u32.to_be_bytes());
    put(100, &104u32.to_be_bytes());
    put(CLUSTER, &at(2));
    (0..8).for_each(|n| put(2 * CLUSTER + 2 * n, &[0, 1]));
    put(3 * CLUSTER, &at(4));
    (0..3).for_each(|n| put(4 * CLUSTER + 8 * n, &at(5 + n)));
    for entry in [3 * CLUSTER, 4 * CLUSTER, 4 * CLUSTER + 8, 4 * CLUSTER + 16] {
        b[entry] |= 0x80;
    }
    b
}

fn image(data: &[u8]) -> Vec<u8> {
    let Some((how, mut rest)) = data.split_first() else { return Vec::new() };
    if how & 1 == 0 {
        let mut image = rest.to_vec();
        image.resize(image.len().max(1 << 16), 0);
        image[..4].copy_from_slice(b"QFI\xfb");
        return image;
    }
    let mut image = good();
    while let [high, low, len, tail @ ..] = rest {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % image.len();
        let n = usize::from(*len % 16).min(tail.len()).min(image.len() - at);
        image[at..at + n].copy_from_slice(&tail[..n]);
        rest = &tail[n..];
    }
    image
}

fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| {
    let path = std::env::temp_dir().join(format!("rhyp-fuzz-{}", std::process::id()));
    let Ok(file) = File::options().read(true).write(true).create(true).truncate(true).open(&path) else {
        return;
    };
    let mut image = image(data);
    image.iter_mut().skip(BACKING.start).take(BACKING.len()).for_each(|b| *b = 0);
    let _ = file.write_all_at(&image, 0);
    work(file, &path);
    let _ = std::fs::remove_file(&path);
});

fn work(file: File, path: &Path) {
    let read_only = file.try_clone().and_then(|f| Qcow2::open(f, path, true, Cache::Writeback));
    let writable = Qcow2::open(file, path, false, Cache::Writeback);
    for disk in [read_only, writable].into_iter().flatten() {
        exercise(&disk);
    }
}

fn exercise(disk: &Qcow2) {
    let ram = Arc::new(GuestRam::new(1 << 16).expect("memory"));
    let (tell, hear) = mpsc::channel();
    let last = disk.size().saturating_sub(1 << 14);
    let _ = disk.read_now(0, &mut [0; 700]);
    for at in [0, 4096, disk.size() / 2 / 512 * 512, last / 512 * 512] {
        let memory = || {
            let mut p = Pieces::new(ram.clone());
            p.push(0, 1 << 14).expect("inside");
            p
        };
        for op in [
            Op::Read { offset: at, into: memory() },
            Op::Write { offset: at, from: memory() },
            Op::Flush,
            Op::Discard { offset: at, len: 1 << 14 },
            Op::WriteZeroes { offset: at, len: 1 << 14, unmap: true },
            Op::Read { offset: at, into: memory() },
        ] {
            let tell = tell.clone();
            disk.submit(op, Box::new(move |r| tell.send(r).unwrap_or_default()));
            if hear.recv_timeout(std::time::Duration::from_secs(20)).is_err() {
                std::process::abort();
            }
        }
    }
}
