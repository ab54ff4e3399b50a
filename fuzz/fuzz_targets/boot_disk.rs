//! What firmware reads from a disk before anything runs: partition tables, ISO 9660, FAT, boot scripts, boot variables.
//!
//! The input's first byte says how large blocks are and how the rest lies on the disk; what is not given is zero.
#![no_main]

use firmware::boot::{self, BootOrder, BootPlace};
use firmware::partition_table::Disk;
use libfuzzer_sys::fuzz_target;

/// Offsets that matter, so that they need not be reached byte by byte: the tables, and ISO 9660's descriptor.
const PLACES: [u64; 4] = [0, 512, 16 * 2048, 18 * 2048];

fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else { return };
    let _ = BootOrder::from_nvram(rest);
    let block_size = if how & 1 == 0 { 512 } else { 2048 };
    let start = PLACES[usize::from(how >> 1 & 3)];
    let mut sectors = 0_u64;
    let mut read = |offset: u64, out: &mut [u8]| {
        sectors += 1;
        for (at, byte) in (offset..).zip(out) {
            *byte = at.checked_sub(start).and_then(|n| rest.get(n as usize)).copied().unwrap_or(0);
        }
        true
    };
    let mut disk = Disk { block_size, blocks: 1 << 14, read: &mut read };
    for place in ["", "1", "2,\\boot\\grub\\core.elf"] {
        if let Some(found) = boot::find(&mut disk, &BootPlace::parse(place)) {
            assert!(found.image.starts_with(b"\x7FELF"));
        }
    }
});
