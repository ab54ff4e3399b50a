//! Radix tree translation, process-scoped (Book III, 6.7.10 and 6.7.11). The partition-scoped half is the identity:
//! a partition's real addresses are its memory's.

use std::sync::atomic::Ordering;

use mem::Access;

use super::{Translation, segment_fault, storage_fault};
use crate::msr::dsisr;
use crate::{CpuState, Fault, Shared, msr};

/// Fields of the table entries (Book III, 6.7.6.2, 6.7.10.2 and 6.7.10.3); all tables are big-endian in memory.
pub mod entry {
    /// PRTB of [`crate::Shared::prtb`]: real address of the process table.
    pub const TABLE_BASE: u64 = 0x0fff_ffff_ffff_f000;
    /// PRTS: log2 of the process table's size in bytes, minus 12.
    pub const TABLE_SIZE: u64 = 0x1f;
    /// Process table entry, and directory entry: real address of the next directory or table.
    pub const NEXT: u64 = 0x0fff_ffff_ffff_ff00;
    /// RPDS or NLS: log2 of that directory's number of entries.
    pub const NEXT_SIZE: u64 = 0x1f;
    /// Directory and page table entries: valid.
    pub const VALID: u64 = 1 << 63;
    /// Leaf.
    pub const LEAF: u64 = 1 << 62;
    /// Real page number.
    pub const RPN: u64 = 0x01ff_ffff_ffff_f000;
    /// Reference.
    pub const R: u64 = 0x100;
    /// Change.
    pub const C: u64 = 0x80;
    /// Attribute field.
    pub const ATT: u64 = 0x30;
    /// Attribute bit of both kinds of I/O: caching inhibited.
    pub const ATT_IO: u64 = 0x20;
    /// Attribute: non-idempotent I/O, which is also guarded.
    pub const ATT_GUARDED: u64 = 0x20;
    /// Encoded access authority: privileged.
    pub const PRIVILEGED: u64 = 8;
    /// Read.
    pub const READ: u64 = 4;
    /// Read and write.
    pub const WRITE: u64 = 2;
    /// Execute.
    pub const EXEC: u64 = 1;
}

/// Walks that lost a race for a page table entry are begun again; a guest that changes the entry this often meanwhile
/// gets the "could not be set" fault.
const TRIES: u32 = 64;

/// Smallest directory or page table, as a log2 of its entries.
const MIN_BITS: u32 = 5;

/// Translate with relocation on, LPCR[HR] = 1.
pub fn translate(st: &CpuState, sh: &Shared, ea: u64, access: Access) -> Result<Translation, Fault> {
    let pid = match ea >> 62 {
        0 => st.pidr & 0xffff_ffff,
        3 => 0,
        // The middle quadrants are the hypervisor's own.
        _ => return Err(segment_fault(ea, access)),
    };
    // Bits 2 to 11 of the address take no part in any tree (Book III, 6.7.10).
    if ea & 0x3ff0_0000_0000_0000 != 0 {
        return Err(segment_fault(ea, access));
    }
    for _ in 0..TRIES {
        let (at, pte, shift) = find(sh, ea, access, pid)?;
        if let Some(t) = check(st, sh, ea, access, at, pte, shift)? {
            return Ok(t);
        }
    }
    Err(storage_fault(ea, access, dsisr::RC))
}

/// Real address and value of the leaf for `ea`, and the log2 of its page's size.
#[inline]
fn find(sh: &Shared, ea: u64, access: Access, pid: u64) -> Result<(u64, u64, u32), Fault> {
    let fault = |bits| storage_fault(ea, access, bits);
    let load = |at: u64| sh.ram.read_u64_be(at).map_err(|_| fault(dsisr::NO_TRANSLATION | dsisr::TABLE));

    let prtb = sh.prtb.load(Ordering::Relaxed);
    if pid >> ((prtb & entry::TABLE_SIZE) + 8) != 0 {
        return Err(fault(dsisr::NO_TRANSLATION));
    }
    let root = load((prtb & entry::TABLE_BASE) + pid * 16)?;
    let size = ((root >> 61 & 3) << 3 | root >> 5 & 7) as u32 + 31;
    let mut bits = (root & entry::NEXT_SIZE) as u32;
    if bits == 0 {
        return Err(fault(dsisr::NO_TRANSLATION));
    }
    let offset = ea & (u64::MAX >> 2);
    if offset >> size != 0 {
        return Err(segment_fault(ea, access));
    }
    let mut next = root & entry::NEXT;
    let mut left = size;
    loop {
        // Each level takes at least five of at most 62 bits, so the loop ends.
        if bits < MIN_BITS || bits + mem::PAGE_SHIFT > left {
            return Err(fault(dsisr::RADIX_CONFIG));
        }
        left -= bits;
        let index = offset >> left & ((1 << bits) - 1);
        let at = (next & !((8 << bits) - 1)) + index * 8;
        let e = load(at)?;
        if e & entry::VALID == 0 {
            return Err(fault(dsisr::NO_TRANSLATION));
        }
        if e & entry::LEAF != 0 {
            return Ok((at, e, left));
        }
        next = e & entry::NEXT;
        bits = (e & entry::NEXT_SIZE) as u32;
    }
}

/// Check the rights of a leaf and set its reference and change bits; `None` when it changed meanwhile.
#[inline]
fn check(
    st: &CpuState,
    sh: &Shared,
    ea: u64,
    access: Access,
    at: u64,
    pte: u64,
    shift: u32,
) -> Result<Option<Translation>, Fault> {
    let problem = st.msr & msr::PR != 0;
    let privileged = pte & entry::PRIVILEGED != 0;
    let mut read = pte & (entry::READ | entry::WRITE) != 0;
    let mut write = pte & entry::WRITE != 0;
    let mut exec = pte & entry::EXEC != 0 && pte & entry::ATT != entry::ATT_GUARDED;
    let mut key = None;
    if problem && privileged {
        (read, write, exec) = (false, false, false);
    } else if !problem && !privileged {
        // Privileged accesses to problem-state pages obey key 0 (Book III, 6.7.14.3).
        key = Some(0);
        read &= st.amr >> 62 & 1 == 0;
        write &= st.amr >> 63 == 0;
        exec &= st.iamr >> 62 & 1 == 0;
    }
    let (allowed, bits) = match access {
        Access::Read => (read, dsisr::PROTECTION),
        Access::Write => (write, dsisr::PROTECTION),
        Access::Exec => (exec, msr::srr1::NO_EXECUTE),
    };
    if !allowed {
        return Err(storage_fault(ea, access, bits));
    }
    let set = if access == Access::Write { entry::R | entry::C } else { entry::R };
    let now = pte | set;
    // The tables are big-endian, the compare takes numbers of little-endian memory.
    if now != pte && sh.ram.cas_le(at, pte.swap_bytes(), now.swap_bytes(), 8) != Ok(true) {
        return Ok(None);
    }
    let page = (1u64 << shift) - 1;
    Ok(Some(Translation {
        ra: (pte & entry::RPN & !page) | (ea & page),
        page_shift: shift,
        read,
        write: write && now & entry::C != 0,
        exec,
        ci: pte & entry::ATT_IO != 0,
        key,
    }))
}
