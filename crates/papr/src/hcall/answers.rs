//! What each hypercall about processors and memory answers to good and bad arguments, as a table: calls are made one
//! after the other on one processor of one partition.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use arch::msr;

use super::*;
use crate::config::MmuChoice;
use crate::testing::{MEMORY, MMIO, TestPlatform, config};

const BUSY: i64 = 1;
const CLOSED: i64 = 2;
const PARTIAL: i64 = 5;
const CONTINUE: i64 = 18;
const HARDWARE: i64 = -1;
const FUNCTION: i64 = -2;
const PARAMETER: i64 = -4;
const BAD_MODE: i64 = -5;
const PTEG_FULL: i64 = -6;
const NOT_FOUND: i64 = -7;
const AUTHORITY: i64 = -10;
const RESOURCE: i64 = -16;
const P2: i64 = -55;
const P3: i64 = -56;
const P4: i64 = -57;
const P5: i64 = -58;
const UNSUPPORTED_FLAG: i64 = -256;

/// One step: what is done and what comes of it.
enum Step {
    /// A call by its name, its arguments, the return code.
    Call(&'static str, &'static [u64], i64),
    /// The same, and results from r4 on.
    Gives(&'static str, &'static [u64], &'static [u64]),
    /// The same, and what comes next.
    Flow(&'static str, &'static [u64], i64, HcallFlow),
    /// Stores 8 bytes to memory, big-endian.
    Store(u64, u64),
    /// What memory must hold.
    Holds(u64, u64),
    /// Sets the MSR.
    Msr(u64),
    /// Input for the console.
    Input(&'static [u8]),
}

use Step::{Call, Flow, Gives, Holds, Input, Msr, Store};

/// A bit by its number in the manual.
const fn bit(n: u32) -> u64 {
    1 << (63 - n)
}

const ALL: u64 = u64::MAX;
/// Flags of the calls on the page table.
const READ_4: u64 = bit(26);
const EXACT: u64 = bit(24);
const AVPN: u64 = bit(32);
const ANDCOND: u64 = bit(33);
const ZERO_PAGE: u64 = bit(48);
/// A request of H_BULK_REMOVE and H_BLOCK_REMOVE, their end, and an answer.
const REQUEST: u64 = 1 << 62;
const END: u64 = 3 << 62;
const DONE: u64 = 2 << 62;
/// Entries that are not in a table of any size.
const BEYOND: u64 = 1 << 44;
/// First and second doubleword of an entry for 4 KiB at 0x5000: coherent, read and write.
const H: u64 = 0x77 << 7;
const L: u64 = 0x5000 | M | 2;
const M: u64 = 0x10;
const I: u64 = 0x20;
const G: u64 = 8;
const N: u64 = 4;
const R: u64 = 0x100;
const C: u64 = 0x80;
/// A large page.
const LARGE: u64 = 4;

const HASHED: &[Step] = &[
    // H_ENTER
    Gives("H_ENTER", &[0, 8, H, L], &[8]),
    Gives("H_ENTER", &[0, 12, H, L], &[9]),
    Gives("H_ENTER", &[EXACT, 11, H, L | R | C], &[11]),
    Call("H_ENTER", &[EXACT, 11, H, L], PTEG_FULL),
    Gives("H_ENTER", &[0, 8, H, L], &[10]),
    Gives("H_ENTER", &[0, 8, H, L], &[12]),
    Gives("H_ENTER", &[0, 8, H, L], &[13]),
    Gives("H_ENTER", &[0, 8, H, L], &[14]),
    Gives("H_ENTER", &[0, 8, H, L], &[15]),
    Call("H_ENTER", &[0, 8, H, L], PTEG_FULL),
    Call("H_ENTER", &[0, BEYOND, H, L], PARAMETER),
    Call("H_ENTER", &[0, ALL, H, L], PARAMETER),
    // A page size that is not offered, a segment size that there is not.
    Call("H_ENTER", &[0, 16, H | LARGE, 0x3_f000 | M | 2], PARAMETER),
    Call("H_ENTER", &[0, 16, H | 1 << 63, L], PARAMETER),
    // Memory is coherent and not guarded, I/O inhibits caching; a page lies in one of them.
    Call("H_ENTER", &[0, 16, H, L & !M], PARAMETER),
    Call("H_ENTER", &[0, 16, H, L | I], PARAMETER),
    Call("H_ENTER", &[0, 16, H, L | G], PARAMETER),
    Call("H_ENTER", &[0, 16, H, MEMORY | M | 2], PARAMETER),
    Gives("H_ENTER", &[0, 16, H, MEMORY | I | G | 2], &[16]),
    Gives("H_ENTER", &[0, 16, H | LARGE, (MEMORY - 0x1_0000) | 0x1000 | M | 2], &[17]),
    Store(0x5ff8, 1),
    Gives("H_ENTER", &[ZERO_PAGE | EXACT, 24, H, L], &[24]),
    Holds(0x5ff8, 0),
    // H_READ
    Gives("H_READ", &[0, 11], &[H | 1, L | R | C]),
    Gives("H_READ", &[READ_4, 11], &[H | 1, L, H | 1, L, H | 1, L, H | 1, L | R | C]),
    Gives("H_READ", &[0, 1000], &[0, 0]),
    Call("H_READ", &[0, BEYOND], PARAMETER),
    Call("H_READ", &[READ_4, ALL], PARAMETER),
    // H_CLEAR_REF and H_CLEAR_MOD answer with the entry as it was.
    Gives("H_CLEAR_REF", &[0, 11], &[L | R | C]),
    Gives("H_CLEAR_MOD", &[0, 11], &[L | C]),
    Gives("H_CLEAR_MOD", &[0, 11], &[L]),
    Call("H_CLEAR_REF", &[0, 1000], NOT_FOUND),
    Call("H_CLEAR_MOD", &[0, 1000], NOT_FOUND),
    Call("H_CLEAR_REF", &[0, BEYOND], PARAMETER),
    Call("H_CLEAR_MOD", &[0, BEYOND], PARAMETER),
    // H_PROTECT: protection, no-execute and key of the flags.
    Call("H_PROTECT", &[AVPN | 1 | N | bit(54), 11, H], 0),
    Gives("H_READ", &[0, 11], &[H | 1, L & !3 | 1 | N | 0x200]),
    Call("H_PROTECT", &[AVPN | 1, 11, H + 0x80], NOT_FOUND),
    Call("H_PROTECT", &[1, 11, H + 0x80], 0),
    Call("H_PROTECT", &[1, 1000, 0], NOT_FOUND),
    Call("H_PROTECT", &[1, BEYOND, 0], PARAMETER),
    // H_REMOVE
    Call("H_REMOVE", &[AVPN, 11, H + 0x80], NOT_FOUND),
    Call("H_REMOVE", &[ANDCOND, 11, H], NOT_FOUND),
    Gives("H_REMOVE", &[ANDCOND, 11, 0x80 << 40], &[H | 1, L & !3 | 1]),
    Gives("H_REMOVE", &[AVPN, 10, H], &[H | 1, L]),
    Call("H_REMOVE", &[0, 10, 0], NOT_FOUND),
    Call("H_REMOVE", &[0, BEYOND, 0], PARAMETER),
    // H_BULK_REMOVE: each request has its answer; a request of an unknown kind ends the call.
    Gives(
        "H_BULK_REMOVE",
        &[REQUEST | 8, 0, REQUEST | 10, 0, REQUEST | 2 << 56 | 9, H, END, 0],
        &[DONE | 8, 0, DONE | 1 << 60 | 10, 0, DONE | 2 << 56 | 9, H, END, 0],
    ),
    Gives(
        "H_BULK_REMOVE",
        &[REQUEST | 2 << 56 | 12, H + 0x80, REQUEST | 1 << 56 | 12, H, END, 0, 0, 0],
        &[DONE | 2 << 56 | 1 << 60 | 12, H + 0x80, DONE | 1 << 56 | 1 << 60 | 12, H],
    ),
    Call("H_BULK_REMOVE", &[END, 0, 0, 0, 0, 0, 0, 0], 0),
    Call("H_BULK_REMOVE", &[0, 0, END, 0, 0, 0, 0, 0], PARAMETER),
    Call("H_BULK_REMOVE", &[REQUEST | 3 << 56 | 12, 0, END, 0, 0, 0, 0, 0], PARAMETER),
    Call("H_BULK_REMOVE", &[REQUEST | BEYOND, 0, END, 0, 0, 0, 0, 0], PARAMETER),
    // H_BLOCK_REMOVE
    Gives(
        "H_BLOCK_REMOVE",
        &[H, REQUEST | 12, REQUEST | 13, END, 0, 0, 0, 0, 0],
        &[DONE | 12, DONE | 13, END],
    ),
    Call("H_BLOCK_REMOVE", &[H, REQUEST | 12, REQUEST | 14, END, 0, 0, 0, 0, 0], PARTIAL),
    Call("H_BLOCK_REMOVE", &[0, REQUEST | 1 << 56 | 15, END, 0, 0, 0, 0, 0, 0], PARTIAL),
    Call("H_BLOCK_REMOVE", &[H, 0, 0, 0, 0, 0, 0, 0, 0], PARAMETER),
    Call("H_BLOCK_REMOVE", &[H, REQUEST | BEYOND, 0, 0, 0, 0, 0, 0, 0], PARAMETER),
    Call("H_BLOCK_REMOVE", &[H, END, 0, 0, 0, 0, 0, 0, 0], 0),
    // The table's size: flags, size, what was prepared.
    Call("H_RESIZE_HPT_COMMIT", &[0, 20], CLOSED),
    Call("H_RESIZE_HPT_PREPARE", &[1, 20], PARAMETER),
    Call("H_RESIZE_HPT_PREPARE", &[0, 17], PARAMETER),
    Call("H_RESIZE_HPT_PREPARE", &[0, 47], PARAMETER),
    Call("H_RESIZE_HPT_PREPARE", &[0, ALL], PARAMETER),
    Call("H_RESIZE_HPT_PREPARE", &[0, 46], RESOURCE),
    Call("H_RESIZE_HPT_PREPARE", &[0, 20], 0),
    Call("H_RESIZE_HPT_PREPARE", &[0, 20], 0),
    Call("H_RESIZE_HPT_COMMIT", &[1, 20], PARAMETER),
    Call("H_RESIZE_HPT_COMMIT", &[0, 21], CLOSED),
    Call("H_RESIZE_HPT_PREPARE", &[0, 0], 0),
    Call("H_RESIZE_HPT_COMMIT", &[0, 20], CLOSED),
    Call("H_RESIZE_HPT_PREPARE", &[0, 20], 0),
    Call("H_RESIZE_HPT_COMMIT", &[0, 20], 0),
    Call("H_RESIZE_HPT_COMMIT", &[0, 20], CLOSED),
    Call("H_READ", &[0, (1 << 16) - 1], 0),
    Call("H_READ", &[0, 1 << 16], PARAMETER),
    Call("H_CLEAR_HPT", &[], 0),
    Call("H_REMOVE", &[0, 15, 0], NOT_FOUND),
    Call("H_CLEAN_SLB", &[0, 0, 0], 0),
    Call("H_INVALIDATE_PID", &[0], 0),
    // Calls of radix tables on a processor without.
    Call("H_REGISTER_PROC_TBL", &[0, 0, 0, 0], FUNCTION),
    Call("H_RPT_INVALIDATE", &[1, 1, 2, 1, 0, 0x1000], FUNCTION),
];

/// A partition that may choose between both kinds of tables and begins with radix.
const RADIX: &[Step] = &[
    Call("H_ENTER", &[0, 8, H, L], FUNCTION),
    Call("H_REMOVE", &[0, 8, 0], FUNCTION),
    Call("H_READ", &[0, 8], FUNCTION),
    Call("H_PROTECT", &[0, 8, 0], FUNCTION),
    Call("H_CLEAR_REF", &[0, 8], FUNCTION),
    Call("H_CLEAR_MOD", &[0, 8], FUNCTION),
    Call("H_BULK_REMOVE", &[END, 0, 0, 0, 0, 0, 0, 0], FUNCTION),
    Call("H_BLOCK_REMOVE", &[0, END, 0, 0, 0, 0, 0, 0, 0], FUNCTION),
    Call("H_CLEAR_HPT", &[], FUNCTION),
    Call("H_RESIZE_HPT_PREPARE", &[0, 20], FUNCTION),
    Call("H_RESIZE_HPT_COMMIT", &[0, 20], FUNCTION),
    // H_REGISTER_PROC_TBL: flags, address, page size, size.
    Call("H_REGISTER_PROC_TBL", &[0x1d, 0x1_0000, 0, 4], 0),
    Call("H_REGISTER_PROC_TBL", &[0x1c, 0x1_0000, 0, 24], 0),
    Call("H_REGISTER_PROC_TBL", &[0x3d, 0x1_0000, 0, 4], PARAMETER),
    Call("H_REGISTER_PROC_TBL", &[0x1f, 0x1_0000, 0, 4], PARAMETER),
    Call("H_REGISTER_PROC_TBL", &[ALL, ALL, ALL, ALL], PARAMETER),
    Call("H_REGISTER_PROC_TBL", &[0x1d, 0x1_0001, 0, 4], P2),
    Call("H_REGISTER_PROC_TBL", &[0x1d, bit(3), 0, 4], P2),
    Call("H_REGISTER_PROC_TBL", &[0x1d, 0x1_0000, 5, 4], P3),
    Call("H_REGISTER_PROC_TBL", &[0x1d, 0x1_0000, 0, 25], P4),
    Call("H_REGISTER_PROC_TBL", &[0x18, 1 << 38, 0, 4], P2),
    Call("H_REGISTER_PROC_TBL", &[0x18, 0, 8, 4], P3),
    Call("H_REGISTER_PROC_TBL", &[0x18, 0, 0, 25], P4),
    // Not changing it takes the kind that is in force.
    Call("H_REGISTER_PROC_TBL", &[0, 0, 0, 0], PARAMETER),
    Call("H_REGISTER_PROC_TBL", &[4, 0, 0, 0], 0),
    Call("H_REGISTER_PROC_TBL", &[0x14, 0, 0, 0], 0),
    // H_RPT_INVALIDATE: process, target, types, page sizes, range.
    Call("H_RPT_INVALIDATE", &[1, 1, 2, 1, 0x1000, 0x3000], 0),
    Call("H_RPT_INVALIDATE", &[1, 1, 0xe, ALL, 0, ALL], 0),
    Call("H_RPT_INVALIDATE", &[1, 2, 2, 8, 0, ALL], 0),
    Call("H_RPT_INVALIDATE", &[1, 5, 2, 3, 0, 0x1000], 0),
    Call("H_RPT_INVALIDATE", &[1, 1, 0, 0, 0, 0], 0),
    Call("H_RPT_INVALIDATE", &[1 << 32, 1, 2, 1, 0, 0x1000], PARAMETER),
    Call("H_RPT_INVALIDATE", &[1, 0, 2, 1, 0, 0x1000], P2),
    Call("H_RPT_INVALIDATE", &[1, 4, 2, 1, 0, 0x1000], P2),
    Call("H_RPT_INVALIDATE", &[1, 9, 2, 1, 0, 0x1000], P2),
    Call("H_RPT_INVALIDATE", &[1, 1, 1, 1, 0, 0x1000], P3),
    Call("H_RPT_INVALIDATE", &[1, 1, 0x10, 1, 0, 0x1000], P3),
    Call("H_RPT_INVALIDATE", &[1, 1, 2, 1, 0x1000, 0xfff], P5),
    Call("H_CLEAN_SLB", &[0, 0, 0], 0),
    Call("H_INVALIDATE_PID", &[ALL], 0),
    // To hashed tables, where the calls on radix ones do not exist.
    Call("H_REGISTER_PROC_TBL", &[0x10, 0, 0, 0], 0),
    Call("H_RPT_INVALIDATE", &[1, 1, 2, 1, 0, 0x1000], FUNCTION),
    Gives("H_ENTER", &[0, 8, H, L], &[8]),
];

const ONLY_RADIX: &[Step] = &[
    Call("H_REGISTER_PROC_TBL", &[0x10, 0, 0, 0], PARAMETER),
    Call("H_REGISTER_PROC_TBL", &[0x1d, 0x1_0000, 0, 4], 0),
];

/// Registers of the hypervisor, on POWER9.
const MODES: &[Step] = &[
    Call("H_SET_SPRG0", &[ALL], 0),
    Call("H_SET_DABR", &[0x5007], 0),
    Call("H_SET_DABR", &[0], 0),
    Call("H_SET_XDABR", &[0x5007, 3], 0),
    Call("H_SET_XDABR", &[0x5007, 0xb], 0),
    Call("H_SET_XDABR", &[0x5007, 0], PARAMETER),
    Call("H_SET_XDABR", &[0x5007, 7], PARAMETER),
    Call("H_SET_XDABR", &[0x5007, 0x13], PARAMETER),
    Call("H_SET_XDABR", &[0x5007, ALL], PARAMETER),
    // H_SET_MODE: flags, resource, two values. 1: CIABR.
    Call("H_SET_MODE", &[0, 1, 0x1000, 0], 0),
    Call("H_SET_MODE", &[0, 1, 0x1001, 0], 0),
    Call("H_SET_MODE", &[0, 1, 0x1002, 0], 0),
    Call("H_SET_MODE", &[0, 1, 0x1003, 0], P3),
    Call("H_SET_MODE", &[0, 1, 0x1001, 1], P4),
    Call("H_SET_MODE", &[1, 1, 0x1001, 0], UNSUPPORTED_FLAG),
    // 2: DAWR0
    Call("H_SET_MODE", &[0, 2, 0x1000, 0x33], 0),
    Call("H_SET_MODE", &[0, 2, 0, 0], 0),
    Call("H_SET_MODE", &[0, 2, 0x1000, 0x37], P4),
    Call("H_SET_MODE", &[bit(0), 2, 0x1000, 0x33], UNSUPPORTED_FLAG),
    // 3: where interrupts are taken
    Call("H_SET_MODE", &[0, 3, 0, 0], 0),
    Call("H_SET_MODE", &[2, 3, 0, 0], 0),
    Call("H_SET_MODE", &[3, 3, 0, 0], 0),
    Call("H_SET_MODE", &[1, 3, 0, 0], UNSUPPORTED_FLAG),
    Call("H_SET_MODE", &[4, 3, 0, 0], UNSUPPORTED_FLAG),
    Call("H_SET_MODE", &[3, 3, 1, 0], P3),
    Call("H_SET_MODE", &[3, 3, 0, 1], P4),
    // 4: their byte order
    Call("H_SET_MODE", &[1, 4, 0, 0], 0),
    Call("H_SET_MODE", &[0, 4, 0, 0], 0),
    Call("H_SET_MODE", &[2, 4, 0, 0], UNSUPPORTED_FLAG),
    Call("H_SET_MODE", &[1, 4, 1, 0], P3),
    Call("H_SET_MODE", &[1, 4, 0, 1], P4),
    // 5: DAWR1 came with ISA 3.1.
    Call("H_SET_MODE", &[0, 5, 0x1000, 0x33], P2),
    Call("H_SET_MODE", &[0, 0, 0, 0], P2),
    Call("H_SET_MODE", &[0, 6, 0, 0], P2),
    Call("H_SET_MODE", &[0, ALL, 0, 0], P2),
];

const MODES_POWER10: &[Step] = &[
    Call("H_SET_MODE", &[0, 5, 0x1000, 0x33], 0),
    Call("H_SET_MODE", &[0, 5, 0x1000, 0x37], P4),
    Call("H_SET_MODE", &[1, 5, 0x1000, 0x33], UNSUPPORTED_FLAG),
    Call("H_SET_MODE", &[2, 3, 0, 0], UNSUPPORTED_FLAG),
];

const MODES_POWER7: &[Step] = &[
    Call("H_SET_MODE", &[1, 4, 0, 0], 0),
    Call("H_SET_MODE", &[0, 1, 0x1000, 0], P2),
    Call("H_SET_MODE", &[0, 2, 0x1000, 0x33], P2),
    Call("H_SET_MODE", &[3, 3, 0, 0], P2),
    Call("H_SET_XDABR", &[0x5007, 3], 0),
];

/// Subfunctions of H_REGISTER_VPA.
const VPA: u64 = 1 << 45;
const DTL: u64 = 2 << 45;
const SHADOW: u64 = 3 << 45;
const NO_VPA: u64 = 5 << 45;
const NO_DTL: u64 = 6 << 45;
const NO_SHADOW: u64 = 7 << 45;

/// The areas: their sizes stand in them, 16 bits in the VPA, 32 in the others.
const AREAS: &[Step] = &[
    Store(0x4000, 640 << 16),
    Store(0x5000, 48),
    Store(0x6000, 0x280),
    Call("H_REGISTER_VPA", &[DTL, 0, 0x5000], RESOURCE),
    Call("H_REGISTER_VPA", &[SHADOW, 0, 0x6000], RESOURCE),
    Call("H_REGISTER_VPA", &[VPA, 0, 0], HARDWARE),
    Call("H_REGISTER_VPA", &[VPA, 4, 0x4000], PARAMETER),
    Call("H_REGISTER_VPA", &[VPA, ALL, 0x4000], PARAMETER),
    Call("H_REGISTER_VPA", &[0, 0, 0x4000], PARAMETER),
    Call("H_REGISTER_VPA", &[4 << 45, 0, 0x4000], PARAMETER),
    Call("H_REGISTER_VPA", &[VPA | 1, 0, 0x4000], PARAMETER),
    Call("H_REGISTER_VPA", &[VPA | bit(0), 0, 0x4000], PARAMETER),
    Call("H_REGISTER_VPA", &[VPA, 0, 0x4010], PARAMETER),
    Call("H_REGISTER_VPA", &[VPA, 0, MEMORY], PARAMETER),
    Call("H_REGISTER_VPA", &[VPA, 0, ALL & !127], PARAMETER),
    Call("H_REGISTER_VPA", &[VPA, 0, 0x7000], PARAMETER),
    Store(0x7d80, 641 << 16),
    Call("H_REGISTER_VPA", &[VPA, 0, 0x7d80], PARAMETER),
    Store(0x4100, 5 << 32),
    Call("H_REGISTER_VPA", &[VPA, 0, 0x4000], 0),
    // Even while dispatched, odd when the area is gone.
    Holds(0x4100, 6 << 32),
    Call("H_REGISTER_VPA", &[VPA, 0, 0x4000], 0),
    Holds(0x4100, 6 << 32),
    Call("H_REGISTER_VPA", &[DTL, 0, 0], HARDWARE),
    Call("H_REGISTER_VPA", &[DTL, 0, MEMORY], PARAMETER),
    Call("H_REGISTER_VPA", &[DTL, 0, ALL], PARAMETER),
    Call("H_REGISTER_VPA", &[DTL, 0, 0x7000], PARAMETER),
    Call("H_REGISTER_VPA", &[DTL, 1, 0x5000], RESOURCE),
    Call("H_REGISTER_VPA", &[DTL, 0, 0x5000], 0),
    Call("H_REGISTER_VPA", &[SHADOW, 0, 0], HARDWARE),
    Call("H_REGISTER_VPA", &[SHADOW, 0, MEMORY - 4], PARAMETER),
    Call("H_REGISTER_VPA", &[SHADOW, 0, 0x7000], PARAMETER),
    Store(0x7f80, 0x81),
    Call("H_REGISTER_VPA", &[SHADOW, 0, 0x7f80], PARAMETER),
    Call("H_REGISTER_VPA", &[SHADOW, 0, 0x6000], 0),
    Call("H_REGISTER_VPA", &[NO_VPA, 0, 0], RESOURCE),
    Call("H_REGISTER_VPA", &[NO_DTL, 0, 0], 0),
    Call("H_REGISTER_VPA", &[NO_VPA, 0, 0], RESOURCE),
    Call("H_REGISTER_VPA", &[NO_SHADOW, 0, 0], 0),
    Call("H_REGISTER_VPA", &[NO_VPA, 0, 0], 0),
    Holds(0x4100, 7 << 32),
    Call("H_REGISTER_VPA", &[NO_VPA, 0, 0], 0),
    Holds(0x4100, 7 << 32),
    Call("H_REGISTER_VPA", &[NO_VPA, 4, 0], PARAMETER),
];

/// Processors of which 0 is the only one that was started.
const SHARING: &[Step] = &[
    Flow("H_CEDE", &[], 0, HcallFlow::Cede),
    Flow("H_CONFER", &[ALL, 0], 0, HcallFlow::Confer(None)),
    Flow("H_CONFER", &[1, 0], 0, HcallFlow::Confer(Some(1))),
    Flow("H_CONFER", &[0, 0], 0, HcallFlow::WaitProd),
    Call("H_CONFER", &[4, 0], PARAMETER),
    Call("H_CONFER", &[ALL - 1, 0], PARAMETER),
    Call("H_PROD", &[1], 0),
    Call("H_PROD", &[0], 0),
    Call("H_PROD", &[4], PARAMETER),
    Call("H_PROD", &[ALL], PARAMETER),
    // Prodded before it waited.
    Flow("H_CONFER", &[0, 0], 0, HcallFlow::Continue),
    Msr(msr::SF | msr::EE),
    Call("H_JOIN", &[], BAD_MODE),
    Msr(msr::SF),
    // Alone, it goes on.
    Flow("H_JOIN", &[], CONTINUE, HcallFlow::Continue),
    Call("H_PROD", &[0], 0),
    Flow("H_JOIN", &[], 0, HcallFlow::Continue),
    Call("H_SIGNAL_SYS_RESET", &[0], 0),
    Call("H_SIGNAL_SYS_RESET", &[3], 0),
    Call("H_SIGNAL_SYS_RESET", &[ALL], 0),
    Call("H_SIGNAL_SYS_RESET", &[ALL - 1], 0),
    Call("H_SIGNAL_SYS_RESET", &[ALL - 2], PARAMETER),
    Call("H_SIGNAL_SYS_RESET", &[4], PARAMETER),
    // Dedicated processors.
    Gives("H_GET_PPP", &[], &[200, 0]),
    Call("H_SET_PPP", &[200, 0], AUTHORITY),
    Call("H_SET_PPP", &[0, 0], PARAMETER),
    Call("H_SET_PPP", &[200, 256], PARAMETER),
    Call("H_SET_PPP", &[1 << 32, 0], PARAMETER),
    Call("H_PIC", &[], AUTHORITY),
    Call("H_PURR", &[], 0),
    Gives("H_GET_MPP", &[], &[MEMORY, MEMORY]),
];

const TERMINAL: u64 = 0x7100_0000;

const TERMINALS: &[Step] = &[
    Gives("H_GET_TERM_CHAR", &[TERMINAL], &[0, 0, 0]),
    Input(b"0123456789abcdefXYZ"),
    Gives("H_GET_TERM_CHAR", &[TERMINAL], &[16, 0x3031_3233_3435_3637, 0x3839_6162_6364_6566]),
    // The console is also reached as 0.
    Gives("H_GET_TERM_CHAR", &[0], &[3, 0x5859_5a00_0000_0000, 0]),
    Gives("H_GET_TERM_CHAR", &[0], &[0, 0, 0]),
    Call("H_GET_TERM_CHAR", &[1], PARAMETER),
    Call("H_GET_TERM_CHAR", &[1 << 32 | TERMINAL], PARAMETER),
    Call("H_GET_TERM_CHAR", &[ALL], PARAMETER),
    Call("H_PUT_TERM_CHAR", &[TERMINAL, 0, 0, 0], 0),
    Call("H_PUT_TERM_CHAR", &[TERMINAL, 16, 0x3031_3233_3435_3637, 0x3839_6162_6364_6566], 0),
    Call("H_PUT_TERM_CHAR", &[TERMINAL, 17, 0, 0], PARAMETER),
    Call("H_PUT_TERM_CHAR", &[TERMINAL, ALL, 0, 0], PARAMETER),
    Call("H_PUT_TERM_CHAR", &[TERMINAL + 1, 1, 0, 0], PARAMETER),
    // The console is no server of others' terminals.
    Call("H_VTERM_PARTNER_INFO", &[TERMINAL, ALL, ALL, 0x4000], PARAMETER),
    Call("H_VTERM_PARTNER_INFO", &[TERMINAL, ALL, ALL, 0x4001], PARAMETER),
    Call("H_VTERM_PARTNER_INFO", &[TERMINAL, ALL, ALL, MEMORY], PARAMETER),
    Call("H_REGISTER_VTERM", &[TERMINAL, 1, TERMINAL], PARAMETER),
    Call("H_FREE_VTERM", &[TERMINAL], PARAMETER),
];

const MISCELLANEOUS: &[Step] = &[
    // H_PAGE_INIT: flags, destination, source.
    Store(0x5000, 1),
    Store(0x6000, 2),
    Call("H_PAGE_INIT", &[bit(48), 0x5000, 0], 0),
    Holds(0x5000, 0),
    Call("H_PAGE_INIT", &[bit(49), 0x5000, 0x6000], 0),
    Holds(0x5000, 2),
    Call("H_PAGE_INIT", &[bit(40) | bit(41), 0x5000, ALL], 0),
    Call("H_PAGE_INIT", &[bit(48), 0x5001, 0], PARAMETER),
    Call("H_PAGE_INIT", &[bit(48), MEMORY, 0], PARAMETER),
    Call("H_PAGE_INIT", &[bit(49), 0x5000, 0x6008], PARAMETER),
    Call("H_PAGE_INIT", &[bit(49), 0x5000, MEMORY], PARAMETER),
    Call("H_PAGE_INIT", &[bit(49), 0x5000, ALL & !4095], PARAMETER),
    Call("H_PAGE_INIT", &[1, 0x5000, 0x6000], PARAMETER),
    // Accesses with caching inhibited: size, address, value.
    Gives("H_LOGICAL_CI_LOAD", &[8, 0x6000], &[2]),
    Gives("H_LOGICAL_CI_LOAD", &[1, 0x6007], &[2]),
    Call("H_LOGICAL_CI_STORE", &[4, MMIO, 0x1234_5678], 0),
    Gives("H_LOGICAL_CI_LOAD", &[4, MMIO], &[0x1234_5678]),
    Call("H_LOGICAL_CI_LOAD", &[3, 0x6000], PARAMETER),
    Call("H_LOGICAL_CI_LOAD", &[0, 0x6000], PARAMETER),
    Call("H_LOGICAL_CI_LOAD", &[4, 0x6002], PARAMETER),
    Call("H_LOGICAL_CI_LOAD", &[4, MEMORY], PARAMETER),
    Call("H_LOGICAL_CI_LOAD", &[8, ALL - 7], PARAMETER),
    Call("H_LOGICAL_CI_STORE", &[16, 0x6000, 0], PARAMETER),
    Call("H_LOGICAL_CI_STORE", &[2, 0x6001, 0], PARAMETER),
    Call("H_LOGICAL_CI_STORE", &[8, MEMORY, 0], PARAMETER),
    Holds(0x6000, 2),
    // Cached ones reach memory only.
    Call("H_LOGICAL_CACHE_STORE", &[2, 0x6000, 0xffff_0102], 0),
    Holds(0x6000, 0x0102_0000_0000_0002),
    Gives("H_LOGICAL_CACHE_LOAD", &[2, 0x6000], &[0x0102]),
    Call("H_LOGICAL_CACHE_LOAD", &[4, MMIO], PARAMETER),
    Call("H_LOGICAL_CACHE_LOAD", &[5, 0x6000], PARAMETER),
    Call("H_LOGICAL_CACHE_STORE", &[4, MMIO, 0], PARAMETER),
    Call("H_LOGICAL_CACHE_STORE", &[4, 0x6001, 0], PARAMETER),
    Call("H_LOGICAL_ICBI", &[0x6000], 0),
    Call("H_LOGICAL_ICBI", &[ALL], 0),
    Call("H_LOGICAL_DCBF", &[0x6000], 0),
    Call("H_LOGICAL_DCBF", &[ALL], 0),
    // Bytes moved by firmware: destination, source, log2 of the size, count, operation.
    Call("H_LOGICAL_MEMOP", &[0x7000, 0x6000, 3, 1, 0], 0),
    Holds(0x7000, 0x0102_0000_0000_0002),
    Call("H_LOGICAL_MEMOP", &[0x7000, 0x6000, 4, 1, 0], PARAMETER),
    Call("H_LOGICAL_MEMOP", &[0x7000, 0x6000, 0, 1, 2], PARAMETER),
    Call("H_LOGICAL_MEMOP", &[0x7001, 0x6000, 1, 1, 0], PARAMETER),
    Call("H_LOGICAL_MEMOP", &[0x7000, 0x6000, 0, ALL, 0], PARAMETER),
    Call("H_LOGICAL_MEMOP", &[MEMORY, 0x6000, 0, 1, 0], PARAMETER),
    // What Linux asks at its start.
    Gives("H_GET_CPU_CHARACTERISTICS", &[], &[bit(1), bit(0) | bit(7) | bit(8) | bit(9)]),
    Gives("H_HOME_NODE_ASSOCIATIVITY", &[1, 3], &[0, 0, 3 << 32 | 0xffff_ffff, ALL, ALL, ALL]),
    Call("H_HOME_NODE_ASSOCIATIVITY", &[1, 4], P2),
    Call("H_HOME_NODE_ASSOCIATIVITY", &[1, ALL], P2),
    Call("H_HOME_NODE_ASSOCIATIVITY", &[0, 0], FUNCTION),
    Call("H_HOME_NODE_ASSOCIATIVITY", &[2, 0], FUNCTION),
    Gives("H_RANDOM", &[], &[0x0123_4567_89ab_cdef]),
];

/// Calls that this machine does not offer, by number: Linux makes them only where the device tree offers them.
const REFUSED: &[(u64, &str)] = &[
    (0x30, "H_SET_ASR"),
    (0x34, "H_ASR_ON"),
    (0x38, "H_ASR_OFF"),
    (0x60, "H_HYPERVISOR_DATA"),
    (0x78, "H_MIGRATE_DMA"),
    (0x7c, "H_PERFMON"),
    (0x278, "H_DONOR_OPERATION"),
    (0x2a0, "H_VASI_SIGNAL"),
    (0x2a4, "H_VASI_STATE"),
    (0x2b8, "H_GET_EM_PARMS"),
    (0x2d0, "H_SET_MPP"),
    (0x2f4, "H_BEST_ENERGY"),
    (0x304, "H_COP_OP"),
    (0x308, "H_STOP_COP_OP"),
    (0x314, "H_GET_MPP_X"),
    (0x388, "H_ALLOCATE_VAS_WINDOW"),
    (0x3ec, "H_SCM_READ_METADATA"),
    (0x44c, "H_SCM_FLUSH"),
    (0x450, "H_GET_ENERGY_SCALE_INFO"),
    (0x45c, "H_WATCHDOG"),
    (0x460, "H_GUEST_GET_CAPABILITIES"),
    (0x46c, "H_GUEST_CREATE"),
];

/// Calls that no argument makes fail on a processor that has them.
const NEVER_FAIL: &[&str] = &[
    "H_CLEAN_SLB",
    "H_INVALIDATE_PID",
    "H_SET_SPRG0",
    "H_SET_DABR",
    "H_CEDE",
    "H_GET_PPP",
    "H_PURR",
    "H_GET_MPP",
    "H_LOGICAL_ICBI",
    "H_LOGICAL_DCBF",
    "H_GET_CPU_CHARACTERISTICS",
    "H_RANDOM",
];

/// Calls that no argument makes succeed on dedicated processors, or without a vty-server.
const NEVER_DONE: &[&str] =
    &["H_SET_PPP", "H_PIC", "H_VTERM_PARTNER_INFO", "H_REGISTER_VTERM", "H_FREE_VTERM"];

/// Model and kind of tables, and what is done there.
const PARTITIONS: &[(&str, MmuChoice, &[Step])] = &[
    ("power8", MmuChoice::Any, HASHED),
    ("power9", MmuChoice::Any, RADIX),
    ("power9", MmuChoice::Radix, ONLY_RADIX),
    ("power9", MmuChoice::Any, MODES),
    ("power10", MmuChoice::Any, MODES_POWER10),
    ("power7", MmuChoice::Any, MODES_POWER7),
    ("power9", MmuChoice::Any, AREAS),
    ("power9", MmuChoice::Any, SHARING),
    ("power9", MmuChoice::Any, TERMINALS),
    ("power9", MmuChoice::Any, MISCELLANEOUS),
];

fn number(name: &str) -> u64 {
    TABLE.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name}")).number
}

fn partition(model: &str, mmu: MmuChoice) -> TestPlatform {
    let mut c = config(model);
    c.mmu = mmu;
    TestPlatform::new(c)
}

/// Makes the calls of one partition.
fn run(p: &TestPlatform, cpu: &mut Cpu, steps: &[Step]) {
    for (n, step) in steps.iter().enumerate() {
        let mut call = |name: &str, args: &[u64]| {
            // What a call does not give stays.
            cpu.st.gpr[4..13].fill(0);
            let (rc, flow) = p.hcall_flow(cpu, number(name), args);
            let results: Vec<u64> = cpu.st.gpr[4..13].to_vec();
            (rc, flow, results, format!("step {n}: {name} {args:x?}"))
        };
        match *step {
            Call(name, args, want) => {
                let (rc, _, _, what) = call(name, args);
                assert_eq!(rc, want, "{what}");
            }
            Gives(name, args, want) => {
                let (rc, _, results, what) = call(name, args);
                assert_eq!(rc, 0, "{what}");
                assert_eq!(results[..want.len()], *want, "{what}: {results:x?} not {want:x?}");
            }
            Flow(name, args, want, next) => {
                let (rc, flow, _, what) = call(name, args);
                assert_eq!((rc, flow), (want, next), "{what}");
            }
            Store(at, value) => p.shared.ram.write_u64_be(at, value).unwrap(),
            Holds(at, want) => assert_eq!(p.shared.ram.read_u64_be(at).unwrap(), want, "step {n}: {at:#x}"),
            Msr(value) => cpu.set_msr(value),
            Input(bytes) => assert_eq!(p.terminals.find(0).unwrap().input(bytes), bytes.len()),
        }
    }
}

#[test]
fn calls_answer_as_the_platform_says() {
    for &(model, mmu, steps) in PARTITIONS {
        let p = partition(model, mmu);
        run(&p, &mut p.cpu(0), steps);
    }
}

#[test]
fn calls_that_are_not_offered() {
    for model in ["power7", "power8", "power9", "power10"] {
        let p = partition(model, MmuChoice::Any);
        let mut cpu = p.cpu(0);
        for &(number, name) in REFUSED {
            assert_eq!(p.hcall(&mut cpu, number, &[0; 9]), FUNCTION, "{name}");
            assert_eq!(p.hcall(&mut cpu, number, &[ALL; 9]), FUNCTION, "{name}");
        }
        // An adapter that there is not.
        assert!(p.hcall(&mut cpu, 0x2a8, &[0x3000_0000, 1, 0, 0, 0, 0]) < 0, "H_VIOCTL");
    }
}

/// Each call of these families is in the table, with arguments it takes and with arguments it refuses.
#[test]
fn no_call_is_left_out() {
    let mut seen: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for step in PARTITIONS.iter().flat_map(|p| p.2) {
        let (name, rc) = match *step {
            Call(name, _, rc) | Flow(name, _, rc, _) => (name, rc),
            Gives(name, ..) => (name, 0),
            _ => continue,
        };
        let e = seen.entry(name).or_default();
        e.0 |= rc >= 0;
        e.1 |= rc != 0 && rc != FUNCTION || rc == FUNCTION && name == "H_CLEAR_HPT";
    }
    for row in [mmu::ROWS, mode::ROWS, sched::ROWS, vpa::ROWS, term::ROWS, misc::ROWS].into_iter().flatten() {
        let (good, bad) = seen.get(row.name).copied().unwrap_or_default();
        assert_eq!(good, !NEVER_DONE.contains(&row.name), "{}: good arguments", row.name);
        assert_eq!(bad, !NEVER_FAIL.contains(&row.name), "{}: bad arguments", row.name);
    }
}

/// Problem state makes none of them, whatever the arguments; nothing changes but r3.
#[test]
fn problem_state_may_not_call() {
    let p = partition("power9", MmuChoice::Any);
    let mut cpu = p.cpu(0);
    cpu.set_msr(msr::SF | msr::PR);
    let before = p.shared.lpcr.load(Ordering::SeqCst);
    for row in &TABLE {
        let args = [0x1d, 4, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(p.hcall_flow(&mut cpu, row.number, &args), (-3, HcallFlow::Continue), "{}", row.name);
        assert_eq!(cpu.st.gpr[4..13], args, "{}", row.name);
    }
    assert_eq!(p.shared.lpcr.load(Ordering::SeqCst), before);
}

/// A terminal without room takes nothing, and one whose guest does not read keeps what it has.
#[test]
fn terminals_that_are_full() {
    use device::irq::{IrqController, IrqKind};
    use devices::vterm::{CharBackend, INPUT_LIMIT, Vterm};
    struct Full;
    impl CharBackend for Full {
        fn write(&self, _: &[u8]) -> bool {
            false
        }
        fn input_room(&self) {}
    }
    let mut p = partition("power9", MmuChoice::Any);
    let line = p.intc.claim(device::irq::lisn::VIO.start + 1, IrqKind::Msi).unwrap();
    p.terminals.add(std::sync::Arc::new(Vterm::new(0x7100_0001, line, std::sync::Arc::new(Full))));
    let mut cpu = p.cpu(0);
    let [get, put] = ["H_GET_TERM_CHAR", "H_PUT_TERM_CHAR"].map(number);
    assert_eq!(p.hcall(&mut cpu, put, &[0x7100_0001, 1, 0, 0]), BUSY);
    assert_eq!(p.hcall(&mut cpu, put, &[0x7100_0001, 0, 0, 0]), 0, "nothing needs no room");
    let terminal = p.terminals.find(0x7100_0001).unwrap();
    assert_eq!(terminal.input(&vec![b'x'; INPUT_LIMIT + 9]), INPUT_LIMIT);
    for _ in 0..INPUT_LIMIT / 16 {
        assert_eq!(p.hcall(&mut cpu, get, &[0x7100_0001]), 0);
        assert_eq!(cpu.st.gpr[4], 16);
    }
    assert_eq!(p.hcall(&mut cpu, get, &[0x7100_0001]), 0);
    assert_eq!(cpu.st.gpr[4], 0);
}
