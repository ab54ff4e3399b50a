//! Hashed page table translation (Book III, 6.7.7 to 6.7.9 and 6.7.14): effective to virtual by the SLB, virtual to
//! real by the table.

use std::sync::atomic::Ordering;

use mem::Access;

use super::{MmuCache, Translation, segment_fault, slb, storage_fault};
use crate::hpt::{self, Hpt, page_shifts, pteh, ptel};
use crate::msr::{self, dsisr, srr1};
use crate::{CpuState, Fault, Shared, SlbEntry};

/// Searches that met a change of the entry they found are begun again. Each new beginning means that another processor
/// got on with its work; a guest whose processors do nothing else sees "not found" in the end.
const TRIES: u32 = 1000;

/// What of an entry's first doubleword a search compares.
const COMPARED: u64 = pteh::B | pteh::AVPN | pteh::H | pteh::V;

/// Translate with relocation on, LPCR[HR] = 0.
pub fn translate(
    st: &CpuState,
    sh: &Shared,
    cache: &mut MmuCache,
    ea: u64,
    access: Access,
) -> Result<Translation, Fault> {
    let segment = slb::lookup(st, ea).ok_or_else(|| segment_fault(ea, access))?;
    let base = segment.base_page_shift().ok_or_else(|| segment_fault(ea, access))?;
    if access == Access::Exec && segment.vsid & slb::VSID_N != 0 {
        return Err(storage_fault(ea, access, srr1::NO_EXECUTE));
    }
    let cpu = cache.cpu;
    let Some(hpt) = cache.hpt(sh) else {
        return Err(storage_fault(ea, access, dsisr::NO_TRANSLATION));
    };
    for _ in 0..TRIES {
        let Some((index, h, l)) = search(hpt, segment, ea, base) else { break };
        if let Some(t) = check(st, hpt, segment, cpu, (index, h, l), ea, access)? {
            return Ok(t);
        }
    }
    Err(storage_fault(ea, access, dsisr::NO_TRANSLATION))
}

/// Find the entry for `ea`: its index and both doublewords, as they were together.
#[inline]
fn search(hpt: &Hpt, segment: &SlbEntry, ea: u64, base: u32) -> Option<(u64, u64, u64)> {
    let segment_shift = segment.segment_shift();
    let offset = ea & ((1 << segment_shift) - 1);
    let page = offset >> base;
    let hash = hpt::segment_hash(segment_shift, segment.vsid_number()) ^ page;
    // The virtual segment id stands at the same place in the SLB and in the entry; the offset's bits from 8 MiB up
    // follow it.
    let avpn = page << base >> 23 << 7;
    let want = segment.vsid & (slb::VSID_B | slb::VSID) | avpn | pteh::V;
    let compared = COMPARED & !(((1 << base.saturating_sub(23)) - 1) << 7);
    for (hash, second) in [(hash, 0), (!hash, pteh::H)] {
        let number = hpt.group_number(hash);
        for (n, (high, low)) in (number * hpt::GROUP..).zip(hpt.group(number).entries()) {
            let h = high.load(Ordering::Acquire);
            if (h ^ (want | second)) & compared != 0 {
                continue;
            }
            let l = low.load(Ordering::Acquire);
            if (high.load(Ordering::Relaxed) ^ h) & !pteh::LOCK != 0 {
                continue;
            }
            if page_shifts(h, l).is_some_and(|(b, _)| b == base) {
                return Some((n, h, l));
            }
        }
    }
    None
}

/// Check the rights of an entry, set its reference and change bits and note its user; `None` when it changed meanwhile.
#[inline]
fn check(
    st: &CpuState,
    hpt: &Hpt,
    segment: &SlbEntry,
    cpu: u16,
    (index, h, l): (u64, u64, u64),
    ea: u64,
    access: Access,
) -> Result<Option<Translation>, Fault> {
    let storage_key = if st.msr & msr::PR != 0 { slb::VSID_KP } else { slb::VSID_KS };
    let (pp_read, pp_write) = hpt::allowed(l, segment.vsid & storage_key != 0);
    let key = (l >> 57 & 0x18 | l >> 9 & 7) as u8;
    let key_shift = 2 * (31 - key as u32);
    let (amr, iamr) = (st.amr >> key_shift, st.iamr >> key_shift);
    let no_execute = segment.vsid & slb::VSID_N != 0 || l & (ptel::N | ptel::G) != 0;
    let read = pp_read && amr & 1 == 0;
    let write = pp_write && amr & 2 == 0;
    let exec = pp_read && !no_execute && iamr & 1 == 0;

    let bit = |on: bool, bits: u64| if on { bits } else { 0 };
    let denied = match access {
        Access::Read => bit(!pp_read, dsisr::PROTECTION) | bit(amr & 1 != 0, dsisr::KEY),
        Access::Write => bit(!pp_write, dsisr::PROTECTION) | bit(amr & 2 != 0, dsisr::KEY),
        Access::Exec => {
            let which = if no_execute { srr1::NO_EXECUTE } else { bit(!pp_read, srr1::PROTECTION) };
            which | bit(iamr & 1 != 0, srr1::KEY)
        }
    };
    if denied != 0 {
        return Err(storage_fault(ea, access, denied));
    }

    // See the module `hpt` for why this order is right.
    let noted = hpt.note_user(index, cpu);
    let now = l | if access == Access::Write { ptel::R | ptel::C } else { ptel::R };
    let low = hpt.low(index);
    if now != l {
        if low.compare_exchange(l, now, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return Ok(None);
        }
    } else if noted && low.load(Ordering::SeqCst) != l {
        return Ok(None);
    }
    if (noted || now != l) && (hpt.high(index).load(Ordering::SeqCst) ^ h) & !pteh::LOCK != 0 {
        return Ok(None);
    }
    // The search made sure that the sizes are known ones.
    let shift = page_shifts(h, l).map_or(mem::PAGE_SHIFT, |(_, actual)| actual);
    let page = (1u64 << shift) - 1;
    Ok(Some(Translation {
        ra: (l & ptel::RPN & !page) | (ea & page),
        page_shift: shift,
        read,
        write: write && now & ptel::C != 0,
        exec,
        ci: l & ptel::I != 0,
        key: Some(key),
        large: false,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpt::flag;
    use mem::GuestRam;

    /// What `check` says of an entry found as `then` when it is `now`, with `note` saying whether the processor was
    /// noted as its user before.
    fn recheck(then: (u64, u64), now: (u64, u64), noted: bool) -> Option<Translation> {
        let (ram, hpt) = (GuestRam::new(1 << 20).unwrap(), Hpt::new(18).unwrap());
        let st = CpuState::new(isa::Level::V2_07, 0, 0);
        hpt.enter(&ram, flag::EXACT, 0, now.0, now.1).unwrap();
        if noted {
            assert!(hpt.note_user(0, 3));
        }
        let found = (0, then.0 | pteh::V, then.1);
        check(&st, &hpt, &SlbEntry::default(), 3, found, 0, Access::Write).unwrap()
    }

    #[test]
    fn an_entry_that_changed_since_it_was_found_is_not_used() {
        let both = ptel::R | ptel::C;
        let l = ptel::M | 2;
        for noted in [false, true] {
            assert!(recheck((0, l), (0, l), noted).is_some());
            assert!(recheck((0, l | both), (0, l | both), noted).is_some());
            // The second doubleword, with and without a bit to set.
            assert_eq!(recheck((0, l), (0, l | 1), noted), None);
            // The first one.
            assert_eq!(recheck((0, l), (1 << 20, l), noted), None);
        }
        // A processor noted before is among those flushed; one that was not looks again.
        assert_eq!(recheck((0, l | both), (0, l | both | 1), false), None);
        assert_eq!(recheck((0, l | both), (1 << 20, l | both), false), None);
    }
}
