//! Address translation (Book III, chapter 6 "Storage Control"): effective to real addresses, as values.
//!
//! [`translate`] walks whatever tables are in force for one access and answers with a [`Translation`] or the [`Fault`]
//! to deliver. It runs at every miss of a processor's software TLB, takes no lock, and keeps nothing of its own but a
//! reference to the hashed page table and a note of large pages ([`MmuCache`]).

pub mod hash;
pub mod radix;
pub mod slb;
pub mod tlbie;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mem::Access;

use crate::hpt::Hpt;
use crate::msr::{dsisr, lpcr};
use crate::{CpuState, Fault, Shared, Vector, msr};

/// Real mode ignores the top four bits of an effective address (Book III, 6.7.3).
const REAL_MASK: u64 = 0x0fff_ffff_ffff_ffff;

/// Where an access goes and what a software TLB entry for its 4 KiB page may allow, in this MSR mode, without asking
/// again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// Real address of the byte accessed. It need not be memory: the caller looks it up.
    pub ra: u64,
    /// log2 of the size of the page the tables map here, in bytes.
    pub page_shift: u32,
    /// Loads are allowed.
    pub read: bool,
    /// Stores are allowed and the change bit is already set.
    pub write: bool,
    /// Instruction fetch is allowed.
    pub exec: bool,
    /// Caching inhibited.
    pub ci: bool,
    /// The virtual page class key that took part: rights must be asked anew when AMR or IAMR change the two bits of
    /// this key (0..31). `None` when those registers have no say.
    pub key: Option<u8>,
    /// It comes of a page that [`radix::LargePages`] has noted.
    pub large: bool,
}

/// What one processor keeps between translations: a way to the hashed page table without taking a lock, and what its TLB
/// has of large pages.
#[derive(Default)]
pub struct MmuCache {
    cpu: u16,
    hpt: Option<Arc<Hpt>>,
    /// Large pages of process 0.
    pub large: radix::LargePages,
}

impl MmuCache {
    /// Cache of the processor with index `cpu` in [`Shared::vcpus`]. The index is told to the hashed page table, so
    /// that whoever removes an entry knows whose TLBs can hold it (see [`crate::hpt::Users`]).
    pub fn new(cpu: u16) -> Self {
        MmuCache { cpu, ..Self::default() }
    }

    /// The partition's hashed page table in force now.
    #[inline]
    pub fn hpt(&mut self, sh: &Shared) -> Option<&Arc<Hpt>> {
        if self.hpt.as_ref().is_none_or(|h| h.is_retired()) {
            self.refresh(sh);
        }
        self.hpt.as_ref()
    }

    #[cold]
    fn refresh(&mut self, sh: &Shared) {
        self.hpt = sh.hpt.read().unwrap_or_else(|e| e.into_inner()).clone();
    }
}

/// Translate one access of the processor `st` at effective address `ea` (already cut to 32 bits where MSR[SF] is 0).
///
/// Reference and change bits of the tables are set as the access needs them. With relocation off the answer is the
/// effective address without its top four bits and the caller checks the real mode area's limit. Faults carry DSISR or
/// SRR1 bits as Book III 7.5.3 to 7.5.6 define them, and DAR for data.
pub fn translate(
    st: &CpuState,
    sh: &Shared,
    cache: &mut MmuCache,
    ea: u64,
    access: Access,
) -> Result<Translation, Fault> {
    let relocate = if access == Access::Exec { msr::IR } else { msr::DR };
    if st.msr & relocate == 0 {
        let all = Translation {
            ra: ea & REAL_MASK,
            page_shift: mem::PAGE_SHIFT,
            read: true,
            write: true,
            exec: true,
            ci: false,
            key: None,
            large: false,
        };
        return Ok(all);
    }
    if sh.lpcr.load(Ordering::Relaxed) & lpcr::HR != 0 {
        radix::translate(st, sh, &mut cache.large, ea, access)
    } else {
        hash::translate(st, sh, cache, ea, access)
    }
}

/// A data or instruction storage interrupt. `bits` stand at the same places in DSISR and SRR1 (Book III, 7.5.3, 7.5.5);
/// the store bit is added here.
#[cold]
pub(crate) fn storage_fault(ea: u64, access: Access, bits: u64) -> Fault {
    match access {
        Access::Exec => {
            Fault { vector: Vector::Isi, srr1: bits & msr::srr1::DEFINED, dar: None, dsisr: None }
        }
        Access::Read => Fault { vector: Vector::Dsi, srr1: 0, dar: Some(ea), dsisr: Some(bits as u32) },
        Access::Write => {
            Fault { vector: Vector::Dsi, srr1: 0, dar: Some(ea), dsisr: Some((bits | dsisr::STORE) as u32) }
        }
    }
}

/// A data or instruction segment interrupt (Book III, 7.5.4, 7.5.6).
#[cold]
pub(crate) fn segment_fault(ea: u64, access: Access) -> Fault {
    match access {
        Access::Exec => Fault::plain(Vector::InstructionSegment),
        _ => Fault { dar: Some(ea), ..Fault::plain(Vector::DataSegment) },
    }
}
