//! Engine 1: a one-pass translator of guest code to x86-64, and its code cache.
//!
//! [`Jit::run`] drives a processor as `interp::Interpreter::run` does, with the same results. Code is made block by
//! block on first execution: a block starts anywhere, goes on over conditional branches (side exits) and ends where
//! control surely leaves, at the end of its page or after [`MOST`] instructions. Blocks are found by real address and
//! mode, and know addresses only relative to their page, so that all mappings of a page share them. They jump to
//! each other directly: inside a page by a patched jump, across pages behind a check that the TLB still maps the
//! target's page to the memory it was made from; indirect branches look the target up in a table in the emitted code.
//!
//! A page that code was made from is watched as the interpreter's is (`arch::Cpu::mark_code`): when a store
//! drops it, all its blocks are unlinked before the next one is looked up, and translated code that made the store
//! leaves right after it.
//!
//! The processors of a partition share the code ([`CodeCache`]).
//!
//! The crate does something only on x86-64 hosts; elsewhere [`Jit::new`] gives `None`.
#![deny(unsafe_code)]

use arch::Cpu;
use isa::Mode;
use mem::TlbMode;

#[cfg(target_arch = "x86_64")]
#[allow(dead_code)]
mod asm;
#[cfg(target_arch = "x86_64")]
mod buf;
#[cfg(target_arch = "x86_64")]
mod build;
#[cfg(target_arch = "x86_64")]
mod cache;
#[cfg(target_arch = "x86_64")]
mod common;
#[cfg(target_arch = "x86_64")]
mod counts;
#[cfg(target_arch = "x86_64")]
mod emit;
#[cfg(target_arch = "x86_64")]
mod engine;
#[cfg(target_arch = "x86_64")]
mod fp;
#[cfg(target_arch = "x86_64")]
mod group;
#[cfg(not(target_arch = "x86_64"))]
mod none;
mod perf;
#[cfg(target_arch = "x86_64")]
mod regs;
#[cfg(target_arch = "x86_64")]
mod sys;
#[cfg(target_arch = "x86_64")]
mod thunk;
#[cfg(all(target_arch = "x86_64", feature = "tier2"))]
mod tier2;
#[cfg(target_arch = "x86_64")]
mod vec;
#[cfg(target_arch = "x86_64")]
mod xregs;

#[cfg(target_arch = "x86_64")]
pub use common::CodeCache;
#[cfg(target_arch = "x86_64")]
pub use engine::Jit;
#[cfg(not(target_arch = "x86_64"))]
pub use none::{CodeCache, Jit};

/// Entries of the table that indirect branches look their targets up in.
const TABLE: usize = 1 << 18;

/// Most instructions of a block.
pub const MOST: u32 = 64;

/// What a processor's translations depend on besides the instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// Mode bits.
    pub mode: Mode,
    /// TLB table of data accesses.
    pub dmode: TlbMode,
    /// TLB table of instruction fetches.
    pub imode: TlbMode,
}

impl Key {
    /// That of a processor now.
    pub fn of(cpu: &Cpu) -> Self {
        Key { mode: cpu.st.mode, dmode: cpu.dmode, imode: cpu.imode }
    }

    /// As a number of 15 bits.
    pub fn number(self) -> u16 {
        let Mode { sf, le, pr, fp, vec, vsx, fe, level } = self.mode;
        sf as u16
            | (le as u16) << 1
            | (pr as u16) << 2
            | (fp as u16) << 3
            | (vec as u16) << 4
            | (vsx as u16) << 5
            | (fe as u16) << 6
            | (level as u16) << 7
            | (self.imode as u16) << 9
            | (self.dmode as u16) << 12
    }
}

fn key_of(cpu: &Cpu) -> u16 {
    Key::of(cpu).number()
}

/// Options of a translator.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of code kept for a partition; when they are full, everything is made anew. What is not used takes no memory.
    pub code_bytes: usize,
    /// Write `/tmp/perf-PID.map`, so that `perf` can name guest code.
    pub perf_map: bool,
    /// Have that map name the operations that host code is for instead of their addresses.
    pub perf_ops: bool,
    /// Count the instructions that the interpreter carried out by operation.
    pub profile: bool,
    /// The second tier, where it is built in.
    pub tier2: Tier2Options,
}

/// Options of the second tier.
#[derive(Clone, Copy, Debug)]
pub struct Tier2Options {
    /// Times a backward branch is taken before its loop is compiled; 0: never.
    pub threshold: u32,
    /// Compile in place, so that what is compiled when does not depend on time (for tests).
    pub wait: bool,
    /// Compile whatever is executed, at once (for tests).
    pub all: bool,
    /// Have the compiler check what it is given (for tests).
    pub verify: bool,
}

impl Default for Tier2Options {
    fn default() -> Self {
        Tier2Options { threshold: 100_000, wait: false, all: false, verify: false }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            // A compiler of 30 MB with its kernel fills some 150 MiB.
            code_bytes: 512 << 20,
            perf_map: false,
            perf_ops: false,
            profile: false,
            tier2: Tier2Options::default(),
        }
    }
}

/// What a translator did.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Blocks made.
    pub blocks: u64,
    /// Guest instructions in them.
    pub instructions: u64,
    /// Those of them that became calls of the interpreter.
    pub calls: u64,
    /// Bytes of code made.
    pub bytes: u64,
    /// Time spent translating, nanoseconds.
    pub translate_ns: u64,
    /// Times translated code was entered.
    pub entries: u64,
    /// Exits whose target was not linked yet.
    pub links: u64,
    /// Exits to look up a target (indirect branches, interrupts, mode changes, events).
    pub lookups: u64,
    /// Instructions carried out by the interpreter from translated code.
    pub interpreted: u64,
    /// Pages whose code was dropped.
    pub dropped_pages: u64,
    /// Times the whole code cache was emptied.
    pub flushes: u64,
    /// Regions compiled by the second tier.
    pub regions: u64,
    /// Guest instructions in them.
    pub region_instructions: u64,
    /// Bytes of their code.
    pub region_bytes: u64,
    /// Time spent compiling them, nanoseconds of the compiler's thread.
    pub region_ns: u64,
    /// Loops that the second tier did not take.
    pub refused: u64,
    /// Regions that came too late for the code they were made from.
    pub stale: u64,
    /// Times regions were entered.
    pub region_entries: u64,
    /// Regions given up because they were left too soon each time.
    pub retired_regions: u64,
}

impl Stats {
    /// Add another processor's.
    pub fn add(&mut self, other: &Stats) {
        let Stats {
            blocks,
            instructions,
            calls,
            bytes,
            translate_ns,
            entries,
            links,
            lookups,
            interpreted,
            dropped_pages,
            flushes,
            regions,
            region_instructions,
            region_bytes,
            region_ns,
            refused,
            stale,
            region_entries,
            retired_regions,
        } = other;
        self.blocks += blocks;
        self.instructions += instructions;
        self.calls += calls;
        self.bytes += bytes;
        self.translate_ns += translate_ns;
        self.entries += entries;
        self.links += links;
        self.lookups += lookups;
        self.interpreted += interpreted;
        self.dropped_pages += dropped_pages;
        self.flushes += flushes;
        self.regions += regions;
        self.region_instructions += region_instructions;
        self.region_bytes += region_bytes;
        self.region_ns += region_ns;
        self.refused += refused;
        self.stale += stale;
        self.region_entries += region_entries;
        self.retired_regions += retired_regions;
    }
}
