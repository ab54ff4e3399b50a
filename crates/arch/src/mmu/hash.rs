//! Hashed page table translation (Book III, 6.7.7 to 6.7.9).

use mem::Access;

use super::{MmuCache, Translation, segment_fault};
use crate::{CpuState, Fault, Shared};

/// Translate with relocation on, LPCR[HR] = 0.
pub fn translate(
    _st: &CpuState,
    _sh: &Shared,
    _cache: &mut MmuCache,
    ea: u64,
    access: Access,
) -> Result<Translation, Fault> {
    Err(segment_fault(ea, access))
}
