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

/// A leaf where a walk found it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Real address of the page table entry.
    at: u64,
    /// The entry.
    pte: u64,
    /// log2 of the page's size in bytes.
    shift: u32,
    /// log2 of the entries of its table.
    bits: u32,
}

/// Translate with relocation on, LPCR[HR] = 1. Large pages of process 0 are noted in `pages`.
#[inline]
pub fn translate(
    st: &CpuState,
    sh: &Shared,
    pages: &mut LargePages,
    ea: u64,
    access: Access,
) -> Result<Translation, Fault> {
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
        let leaf = find(sh, ea, access, pid)?;
        if let Some((mut t, pte)) = check(st, sh, ea, access, leaf)? {
            t.large = ea >> 62 == 3 && leaf.shift >= PIECE && pages.note(ea, Leaf { pte, ..leaf });
            return Ok(t);
        }
    }
    Err(storage_fault(ea, access, dsisr::RC))
}

/// The leaf for `ea`.
#[inline]
fn find(sh: &Shared, ea: u64, access: Access, pid: u64) -> Result<Leaf, Fault> {
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
            return Ok(Leaf { at, pte: e, shift: left, bits });
        }
        next = e & entry::NEXT;
        bits = (e & entry::NEXT_SIZE) as u32;
    }
}

/// Check the rights of a leaf and set its reference and change bits: the entry as it is now; `None` when it changed
/// meanwhile.
#[inline]
fn check(
    st: &CpuState,
    sh: &Shared,
    ea: u64,
    access: Access,
    Leaf { at, pte, shift, bits: _ }: Leaf,
) -> Result<Option<(Translation, u64)>, Fault> {
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
    let t = Translation {
        ra: (pte & entry::RPN & !page) | (ea & page),
        page_shift: shift,
        read,
        write: write && now & entry::C != 0,
        exec,
        ci: pte & entry::ATT_IO != 0,
        key,
        large: false,
    };
    Ok(Some((t, now)))
}

/// log2 of the pieces that large pages are noted in, in bytes.
const PIECE: u32 = 21;
/// Most pieces that are noted: 4 GiB.
const PIECES: usize = 2048;

/// Large pages of process 0 that a processor's TLB has entries of.
///
/// `tlbie` with PID = 0 invalidates all entries of the kernel, which maps all memory by a few hundred large pages and hardly
/// ever changes one: what is entered again says what was there before. Linux does it on POWER9 whenever it invalidates a
/// process on all processors, for the sake of their ERATs. Entries of large pages may stay if a walk still finds the page
/// table entries that they were made of: a TLB may hold whatever the tables say (Book III, 6.10.1).
#[derive(Default)]
pub struct LargePages {
    /// By number of the piece, modulo [`PIECES`]; none at all before the first is noted.
    pieces: Vec<Option<Piece>>,
    /// Those that are there.
    used: Vec<u16>,
    /// A page was found changed: there may be entries of what it was before.
    changed: bool,
}

/// A piece of a large page.
#[derive(Clone, Copy)]
struct Piece {
    ea: u64,
    leaf: Leaf,
}

impl LargePages {
    /// Note the leaf that translates `ea`. False if there is no room for it.
    #[inline]
    fn note(&mut self, ea: u64, leaf: Leaf) -> bool {
        let ea = ea >> PIECE << PIECE;
        match self.pieces.get((ea >> PIECE) as usize % PIECES) {
            Some(Some(p)) if p.ea == ea => {
                self.changed |= p.leaf != leaf;
                true
            }
            Some(Some(_)) => false,
            _ => {
                self.add(Piece { ea, leaf });
                true
            }
        }
    }

    #[cold]
    fn add(&mut self, piece: Piece) {
        let n = (piece.ea >> PIECE) as usize % PIECES;
        self.pieces.resize(PIECES, None);
        self.pieces[n] = Some(piece);
        self.used.push(n as u16);
    }

    /// Whether all of them are still what they were when they were noted. If not, none is noted any more.
    pub fn unchanged(&mut self, sh: &Shared) -> bool {
        let same = !self.changed && self.are_there(sh);
        if !same {
            *self = LargePages::default();
        }
        same
    }

    fn are_there(&self, sh: &Shared) -> bool {
        // The table that the piece before is in: what is above its entries in an address, where it begins, and its shape.
        // The walk to it is the same for all of its pieces.
        let mut table = None;
        self.used.iter().filter_map(|&n| self.pieces[n as usize]).all(|Piece { ea, leaf }| {
            let index = ea >> leaf.shift & ((1 << leaf.bits) - 1);
            let of = Some((ea >> leaf.shift >> leaf.bits, leaf.at - 8 * index, leaf.shift, leaf.bits));
            if of == table {
                return sh.ram.read_u64_be(leaf.at) == Ok(leaf.pte);
            }
            table = of;
            find(sh, ea, Access::Read, 0) == Ok(leaf)
        })
    }
}
