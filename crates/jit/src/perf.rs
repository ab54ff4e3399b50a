//! The map that tells `perf` the names of translated code.

use std::fs::File;
use std::io::{BufWriter, Write};

/// Where a part of a block begins, the operation it is for, and whether it is problem-state code.
pub type Part = (usize, &'static str, bool);

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

    /// Name the parts of a block that ends at `end` by their operations; offsets count from the address `base`.
    pub fn add_parts(&mut self, base: u64, parts: &[Part], end: usize) {
        for (n, &(at, op, pr)) in parts.iter().enumerate() {
            let next = parts.get(n + 1).map_or(end, |p| p.0);
            let who = if pr { 'u' } else { 'k' };
            let _ = writeln!(self.out, "{:x} {:x} {who}:{op}", base + at as u64, next.saturating_sub(at));
        }
        let _ = self.out.flush();
    }

    /// Code of `len` bytes at `at` is a common piece.
    pub fn add_piece(&mut self, at: u64, len: usize, name: &str) {
        let _ = writeln!(self.out, "{at:x} {len:x} piece:{name}");
        let _ = self.out.flush();
    }

    /// Code of `len` bytes at `at` was made by tier `tier` from the guest's effective address `ea`.
    pub fn add(&mut self, at: u64, len: usize, ea: u64, tier: u32) {
        let kind = if tier == 1 { "guest" } else { "region" };
        // A map that can not be written only costs names.
        let _ = writeln!(self.out, "{at:x} {len:x} {kind}:{ea:016x}");
        let _ = self.out.flush();
    }
}
