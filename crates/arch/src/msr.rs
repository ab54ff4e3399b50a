//! Machine state register, LPCR and SRR1 bits (Power ISA Book III, 4.2.1, 2.2, 7.5).
#![allow(missing_docs)] // each constant is the bit of its name

pub const SF: u64 = 1 << 63;
pub const HV: u64 = 1 << 60;
pub const S: u64 = 1 << 22;
pub const VEC: u64 = 1 << 25;
pub const VSX: u64 = 1 << 23;
pub const EE: u64 = 1 << 15;
pub const PR: u64 = 1 << 14;
pub const FP: u64 = 1 << 13;
pub const ME: u64 = 1 << 12;
pub const FE0: u64 = 1 << 11;
pub const SE: u64 = 1 << 10;
pub const BE: u64 = 1 << 9;
pub const FE1: u64 = 1 << 8;
pub const IR: u64 = 1 << 5;
pub const DR: u64 = 1 << 4;
pub const PMM: u64 = 1 << 2;
pub const RI: u64 = 1 << 1;
pub const LE: u64 = 1;

/// The bits a partition may have set; others stay 0.
pub const WRITABLE: u64 = SF | VEC | VSX | EE | PR | FP | ME | FE0 | SE | BE | FE1 | IR | DR | PMM | RI | LE;

/// SRR1 bits set by interrupts, 33..36 and 42..47 of the manual.
pub mod srr1 {
    /// Program: floating-point enabled exception.
    pub const FP_ENABLED: u64 = 1 << 20;
    /// Program: illegal instruction.
    pub const ILLEGAL: u64 = 1 << 19;
    /// Program: privileged instruction.
    pub const PRIVILEGED: u64 = 1 << 18;
    /// Program: trap.
    pub const TRAP: u64 = 1 << 17;
    /// Program: SRR0 is the instruction after the one that caused it (imprecise floating-point modes).
    pub const NEXT: u64 = 1 << 16;
    /// Trace: always on.
    pub const TRACED: u64 = 1 << 30;
    /// Trace: a CIABR match.
    pub const CIABR: u64 = 1 << 20;
    /// All bits an interrupt defines itself.
    pub const DEFINED: u64 = 0x783f_0000;
    /// Prefixed instruction (ISA 3.1).
    pub const PREFIXED: u64 = 1 << 29;
    /// ISI, DSISR: no translation found.
    pub const NO_TRANSLATION: u64 = 1 << 30;
    /// ISI: no-execute or guarded storage.
    pub const NO_EXECUTE: u64 = 1 << 28;
    /// ISI: protection violation.
    pub const PROTECTION: u64 = 1 << 27;
    /// ISI: virtual page class key protection.
    pub const KEY: u64 = 1 << 21;
}

/// DSISR bits (Book III, 7.5.3).
pub mod dsisr {
    /// No translation found.
    pub const NO_TRANSLATION: u64 = 0x4000_0000;
    /// Protection violation.
    pub const PROTECTION: u64 = 0x0800_0000;
    /// The access was a store.
    pub const STORE: u64 = 0x0200_0000;
    /// Data address watchpoint match.
    pub const DAWR: u64 = 0x0040_0000;
    /// Virtual page class key protection.
    pub const KEY: u64 = 0x0020_0000;
    /// Storage attribute not allowed for the instruction (larx, lq to caching-inhibited).
    pub const ATTRIBUTE: u64 = 0x0004_0000 << 8;
    /// Unsupported radix configuration.
    pub const RADIX_CONFIG: u64 = 0x0008_0000;
    /// Reference or change bit could not be set.
    pub const RC: u64 = 0x0004_0000;
    /// A page or process table lies outside the partition's memory.
    pub const TABLE: u64 = 0x0002_0000;
}

/// LPCR bits that a partition's hypervisor sets (Book III, 2.2).
pub mod lpcr {
    /// Virtual page class key mechanism, VRMASD and others live above.
    pub const ILE: u64 = 1 << 25;
    /// AIL field: interrupts with relocation on (3: at 0xc000000000004000).
    pub const AIL_SHIFT: u32 = 23;
    /// Its mask.
    pub const AIL: u64 = 3 << AIL_SHIFT;
    /// Use process table (POWER9).
    pub const UPRT: u64 = 1 << 22;
    /// Host (partition) radix.
    pub const HR: u64 = 1 << 20;
    /// Large decrementer.
    pub const LD: u64 = 1 << 17;
    /// Guest translation shootdown enable: the partition may use tlbie.
    pub const GTSE: u64 = 1 << 10;
    /// Secondary hash table search disabled and others are not modelled.
    pub const VPM1: u64 = 1 << 62;
}
