//! The segment look-aside buffer and its instructions (Book III, 6.7.8.1 and 6.9.3.1).

use super::tlbie::TlbInvalidate;
use crate::hpt::{PAGE_SIZES, VirtualPage};
use crate::state::SLB_SIZE;
use crate::{CpuState, SlbEntry};

/// Valid bit of [`SlbEntry::esid`].
pub const ESID_V: u64 = 1 << 27;
/// Effective segment id of [`SlbEntry::esid`].
pub const ESID: u64 = u64::MAX << 28;
/// Segment size field B of [`SlbEntry::vsid`].
pub const VSID_B: u64 = 3 << 62;
/// B of a 1 TiB segment.
pub const VSID_B_1T: u64 = 1 << 62;
/// Virtual segment id of a 256 MiB segment, in place; that of a 1 TiB segment ends 12 bits higher.
pub const VSID: u64 = 0x3fff_ffff_ffff_f000;
/// Storage key of privileged accesses.
pub const VSID_KS: u64 = 0x800;
/// Storage key of problem-state accesses.
pub const VSID_KP: u64 = 0x400;
/// No-execute segment.
pub const VSID_N: u64 = 0x200;
/// Class.
pub const VSID_C: u64 = 0x80;
/// Base page size: L and LP.
pub const VSID_LLP: u64 = 0x130;

impl SlbEntry {
    /// log2 of the segment's size.
    #[inline]
    pub fn segment_shift(&self) -> u32 {
        if self.vsid & VSID_B == VSID_B_1T { 40 } else { 28 }
    }

    /// Whether the entry is valid.
    #[inline]
    pub fn is_valid(&self) -> bool {
        self.esid & ESID_V != 0
    }

    /// Whether the entry is valid and translates `ea`.
    #[inline]
    pub fn covers(&self, ea: u64) -> bool {
        self.is_valid() && (self.esid ^ ea) >> self.segment_shift() == 0
    }

    /// log2 of the segment's base page size; `None` for a reserved encoding.
    #[inline]
    pub fn base_page_shift(&self) -> Option<u32> {
        let llp = self.vsid & VSID_LLP;
        PAGE_SIZES.iter().find(|p| p.slb == llp).map(|p| p.shift)
    }

    /// The virtual segment id as a number.
    #[inline]
    pub fn vsid_number(&self) -> u64 {
        (self.vsid & VSID) >> (self.segment_shift() - 16)
    }
}

/// The entry that translates `ea`.
#[inline]
pub fn lookup(st: &CpuState, ea: u64) -> Option<&SlbEntry> {
    st.slb.iter().find(|e| e.covers(ea))
}

/// Effective addresses at which the processor's present SLB shows a virtual page.
///
/// A software TLB can also hold pages of segments that [`slbmte`] displaced: see there.
pub fn effective<'a>(st: &'a CpuState, page: &'a VirtualPage) -> impl Iterator<Item = u64> + 'a {
    st.slb.iter().filter_map(|e| {
        let same = e.is_valid() && e.segment_shift() == page.segment_shift && e.vsid_number() == page.vsid;
        same.then(|| (e.esid & ESID & (u64::MAX << page.segment_shift)) | page.offset)
    })
}

/// `slbmte`: set the entry that RB names. An index beyond the buffer does nothing, a reserved segment or page size
/// makes the entry invalid.
///
/// True when a valid entry for another segment was displaced. No TLB entry need be dropped (the instruction leaves
/// look-aside information alone), but until the next full flush of the translated modes [`effective`] does not find
/// all pages the TLB may hold.
pub fn slbmte(st: &mut CpuState, rb: u64, rs: u64) -> bool {
    let Some(slot) = st.slb.get_mut((rb & 0xfff) as usize) else { return false };
    let mut new = SlbEntry { esid: rb & (ESID | ESID_V), vsid: rs & (VSID_B | VSID | 0xfb0) };
    if new.vsid & VSID_B > VSID_B_1T || new.base_page_shift().is_none() {
        new.esid &= !ESID_V;
    }
    if new.segment_shift() == 40 {
        new.vsid &= !0xff_f000;
    }
    let old = std::mem::replace(slot, new);
    let same = old.segment_shift() == new.segment_shift()
        && (old.esid ^ new.esid) >> old.segment_shift() == 0
        && old.vsid_number() == new.vsid_number();
    old.is_valid() && !(new.is_valid() && same)
}

/// `slbie`: invalidate the entry for the segment that RB names. The class and size given with it are not compared:
/// software must give those of the entry. What is to be dropped is the larger of the segment given and the one found.
pub fn slbie(st: &mut CpuState, rb: u64) -> TlbInvalidate {
    let mut shift = if rb >> 25 & 3 == 1 { 40 } else { 28 };
    for e in st.slb.iter_mut() {
        if e.covers(rb) {
            e.esid &= !ESID_V;
            shift = shift.max(e.segment_shift());
        }
    }
    TlbInvalidate::Segment { ea: rb & (u64::MAX << shift), shift }
}

/// `slbia` with its IH field. The look-aside information that IH may spare is dropped all the same.
pub fn slbia(st: &mut CpuState, ih: u32) -> TlbInvalidate {
    let v3 = st.level >= isa::Level::V3_0;
    let (first, class1_only) = match ih & 7 {
        7 if v3 => (SLB_SIZE, false),
        3 if v3 => (0, true),
        4 if v3 => (0, false),
        _ => (1, false),
    };
    for e in st.slb.iter_mut().skip(first) {
        if !class1_only || e.vsid & VSID_C != 0 {
            e.esid &= !ESID_V;
        }
    }
    TlbInvalidate::All
}

/// `slbieg`: entries of a process in every processor's SLB. It concerns entries made from segment tables, which are not
/// offered: nothing to do. RS and RB are accepted as they are.
pub fn slbieg(_rs: u64, _rb: u64) -> TlbInvalidate {
    TlbInvalidate::None
}

/// `slbiag`: like [`slbieg`], for all entries.
pub fn slbiag(_rs: u64) -> TlbInvalidate {
    TlbInvalidate::None
}

/// `slbsync`: waits for `slbieg`s, of which there is nothing to wait for.
pub fn slbsync() {}

/// `slbmfee`: the entry's effective segment id and valid bit; 0 when it is not valid or there is none.
pub fn slbmfee(st: &CpuState, rb: u64) -> u64 {
    entry(st, rb).map_or(0, |e| e.esid)
}

/// `slbmfev`: the entry's virtual half as `slbmte` takes it; 0 when it is not valid or there is none.
pub fn slbmfev(st: &CpuState, rb: u64) -> u64 {
    entry(st, rb).map_or(0, |e| e.vsid)
}

/// `slbfee.`: the virtual half of the entry that translates RB; CR0 is 0b001 || SO when there is one (then `Some`) and
/// 0b000 || SO when not (RT is then 0).
pub fn slbfee(st: &CpuState, rb: u64) -> Option<u64> {
    lookup(st, rb).map(|e| e.vsid)
}

fn entry(st: &CpuState, rb: u64) -> Option<&SlbEntry> {
    st.slb.get((rb & 0xfff) as usize).filter(|e| e.is_valid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use isa::Level;

    const KERNEL: u64 = 0xc000_0000_0000_0000;

    fn cpu(level: Level) -> Box<CpuState> {
        CpuState::new(level, 0, 0)
    }

    /// Entry `n` for the 256 MiB segment at `ea`, class `c`.
    fn put(st: &mut CpuState, n: u64, ea: u64, vsid: u64, c: u64) -> bool {
        slbmte(st, (ea & ESID) | ESID_V | n, vsid << 12 | VSID_KP | c)
    }

    fn valid(st: &CpuState) -> Vec<usize> {
        (0..SLB_SIZE).filter(|&n| st.slb[n].is_valid()).collect()
    }

    #[test]
    fn entries_read_back() {
        let mut st = cpu(Level::V2_07);
        put(&mut st, 3, KERNEL | 0x1fff_ffff, 0x1234, VSID_C);
        assert_eq!(slbmfee(&st, 3), 0xc000_0000_1800_0000);
        assert_eq!(slbmfev(&st, 3), 0x0123_4480 | VSID_KP);
        assert_eq!((slbmfee(&st, 4), slbmfev(&st, 4)), (0, 0));
        assert_eq!((slbmfee(&st, 32), slbmfev(&st, 0xfff)), (0, 0), "beyond the buffer");
        assert_eq!(slbfee(&st, KERNEL | 0x1000_0000), Some(0x0123_4480 | VSID_KP));
        assert_eq!(slbfee(&st, KERNEL | 0x2000_0000), None);
        slbmte(&mut st, KERNEL | 3, 0x123_4480);
        assert_eq!((slbmfee(&st, 3), slbmfev(&st, 3)), (0, 0), "made invalid");
    }

    #[test]
    fn segment_sizes() {
        let mut st = cpu(Level::V3_0);
        slbmte(&mut st, KERNEL | ESID_V | 1, VSID_B_1T | 0x42 << 24 | 0xabc << 12);
        let e = lookup(&st, KERNEL | 0xff_ffff_ffff).unwrap();
        assert_eq!((e.segment_shift(), e.vsid_number()), (40, 0x42));
        assert_eq!(slbmfev(&st, 1), VSID_B_1T | 0x42 << 24, "bits below a 1 TiB segment's id are none");
        assert!(lookup(&st, KERNEL | 0x100_0000_0000).is_none());
        put(&mut st, 2, 0x3000_0000, 0x3_ffff_ffff_ffff, 0);
        let e = lookup(&st, 0x3fff_ffff).unwrap();
        assert_eq!((e.segment_shift(), e.vsid_number()), (28, 0x3_ffff_ffff_ffff));
    }

    #[test]
    fn reserved_sizes_and_indices_make_nothing_valid() {
        let mut st = cpu(Level::V3_0);
        slbmte(&mut st, KERNEL | ESID_V | 1, 2 << 62);
        slbmte(&mut st, KERNEL | ESID_V | 2, 3 << 62);
        slbmte(&mut st, KERNEL | ESID_V | 3, 0x10);
        slbmte(&mut st, KERNEL | ESID_V | 4, 0x130);
        slbmte(&mut st, KERNEL | ESID_V | 32, 0x110);
        slbmte(&mut st, KERNEL | ESID_V | 0xfff, 0x110);
        assert_eq!(valid(&st), []);
        for (llp, shift) in [(0, 12), (0x110, 16), (0x100, 24)] {
            slbmte(&mut st, KERNEL | ESID_V | 1, llp);
            assert_eq!(st.slb[1].base_page_shift(), Some(shift));
            assert_eq!(valid(&st), [1]);
        }
    }

    #[test]
    fn displaced_entries_are_told() {
        let mut st = cpu(Level::V3_0);
        assert!(!put(&mut st, 1, 0x1000_0000, 1, 0), "the slot was free");
        assert!(!put(&mut st, 1, 0x1000_0000, 1, VSID_C), "the same segment");
        assert!(put(&mut st, 1, 0x1000_0000, 2, 0), "another virtual segment");
        assert!(put(&mut st, 1, 0x2000_0000, 2, 0), "another effective segment");
        assert!(slbmte(&mut st, 1, 0), "made invalid");
        assert!(!put(&mut st, 1, 0x2000_0000, 2, 0));
    }

    #[test]
    fn slbie_takes_one_segment() {
        let mut st = cpu(Level::V3_0);
        put(&mut st, 1, 0x1000_0000, 1, 0);
        put(&mut st, 2, 0x2000_0000, 2, VSID_C);
        let segment = |ea, shift| TlbInvalidate::Segment { ea, shift };
        assert_eq!(slbie(&mut st, 0x2000_0000 | 1 << 27), segment(0x2000_0000, 28));
        assert_eq!(valid(&st), [1]);
        slbmte(&mut st, KERNEL | ESID_V | 5, VSID_B_1T | 7 << 24);
        assert_eq!(slbie(&mut st, KERNEL | 1 << 28 | 1 << 25), segment(KERNEL, 40));
        assert_eq!(valid(&st), [1]);
        slbmte(&mut st, KERNEL | ESID_V | 5, VSID_B_1T | 7 << 24);
        assert_eq!(slbie(&mut st, KERNEL | 1 << 28), segment(KERNEL, 40), "the wrong size given");
        assert_eq!(slbie(&mut st, KERNEL | 1 << 28 | 1 << 25), segment(KERNEL, 40), "nothing there");
    }

    #[test]
    fn slbia_by_its_hint() {
        // hint, ISA 3.0 or later, entries left of 0 (class 0), 1 (class 1), 2 (class 0)
        let cases: &[(u32, bool, &[usize])] = &[
            (0, true, &[0]),
            (1, true, &[0]),
            (2, true, &[0]),
            (3, true, &[0, 2]),
            (4, true, &[]),
            (6, true, &[0]),
            (7, true, &[0, 1, 2]),
            (3, false, &[0]),
            (7, false, &[0]),
        ];
        for &(ih, v3, left) in cases {
            let mut st = cpu(if v3 { Level::V3_0 } else { Level::V2_07 });
            put(&mut st, 0, 0x1000_0000, 1, 0);
            put(&mut st, 1, 0x2000_0000, 2, VSID_C);
            put(&mut st, 2, 0x3000_0000, 3, 0);
            assert_eq!(slbia(&mut st, ih), TlbInvalidate::All);
            assert_eq!(valid(&st), left, "{ih} {v3}");
        }
        let mut st = cpu(Level::V3_0);
        put(&mut st, 0, 0x1000_0000, 1, VSID_C);
        slbia(&mut st, 3);
        assert_eq!(valid(&st), [], "class 1 in entry 0");
    }

    #[test]
    fn effective_addresses_of_a_virtual_page() {
        let mut st = cpu(Level::V3_0);
        put(&mut st, 1, 0x1000_0000, 5, 0);
        put(&mut st, 2, KERNEL, 5, 0);
        put(&mut st, 3, 0x2000_0000, 6, 0);
        slbmte(&mut st, 0x100_0000_0000 | ESID_V | 4, VSID_B_1T | 5 << 24);
        let page = VirtualPage { segment_shift: 28, vsid: 5, offset: 0x12_3000, shift: 12 };
        assert_eq!(effective(&st, &page).collect::<Vec<_>>(), [0x1012_3000, KERNEL | 0x12_3000]);
        let page = VirtualPage { segment_shift: 40, vsid: 5, offset: 0x30_0012_3000, shift: 12 };
        assert_eq!(effective(&st, &page).collect::<Vec<_>>(), [0x130_0012_3000]);
    }
}
