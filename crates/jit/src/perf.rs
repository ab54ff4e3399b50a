//! The map that tells `perf` the names of translated code.

use std::fs::File;
use std::io::{BufWriter, Write};

/// `/tmp/perf-PID.map`, one line a block.
pub struct PerfMap {
    out: BufWriter<File>,
}

impl PerfMap {
    /// Open the map of this process; processors share it.
    pub fn open() -> Option<Self> {
        let path = format!("/tmp/perf-{}.map", std::process::id());
        let out = File::options().append(true).create(true).open(path).ok()?;
        Some(PerfMap { out: BufWriter::new(out) })
    }

    /// Code of `len` bytes at `at` was made from the guest's effective address `ea`.
    pub fn add(&mut self, at: u64, len: usize, ea: u64) {
        // A map that can not be written only costs names.
        let _ = writeln!(self.out, "{at:x} {len:x} guest:{ea:016x}");
        let _ = self.out.flush();
    }
}
