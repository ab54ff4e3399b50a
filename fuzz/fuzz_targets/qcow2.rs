//! qcow2 images with arbitrary headers and tables: opening, reading and writing them must fail or work, nothing else.
//! A panic in the library that reads them counts as a failure that was caught, so the hook that ends the process at
//! each is taken out; a request without an answer is a finding.
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

fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| {
    let path = std::env::temp_dir().join(format!("rhyp-fuzz-{}", std::process::id()));
    let Ok(file) = File::options().read(true).write(true).create(true).truncate(true).open(&path) else {
        return;
    };
    let mut image = data.to_vec();
    if image.len() < 1 << 16 {
        image.resize(1 << 16, 0);
    }
    image[..4].copy_from_slice(b"QFI\xfb");
    image[BACKING].fill(0);
    let _ = file.write_all_at(&image, 0);
    work(file, &path);
    let _ = std::fs::remove_file(&path);
});

fn work(file: File, path: &Path) {
    let Ok(disk) = Qcow2::open(file, path, false, Cache::Writeback) else { return };
    let ram = Arc::new(GuestRam::new(1 << 16).expect("memory"));
    let (tell, hear) = mpsc::channel();
    let last = disk.size().saturating_sub(1 << 16);
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
