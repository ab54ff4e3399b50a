//! The hashed page table.

use super::*;
use crate::hpt::{Flush, Hpt, Users, VirtualPage, flag, pteh, ptel};
use crate::mmu::slb::{self, ESID_V, VSID_B_1T, VSID_KP, VSID_KS, VSID_N};

const EA: u64 = 0x1000_0000;
const VSID: u64 = 0x1_2345_6789;
/// Second doubleword of an ordinary page: coherent memory, PP 10, reference and change set.
const PAGE: u64 = ptel::M | 2 | ptel::R | ptel::C;

/// A machine with a table and one segment at `EA`; `bits` are those of the SLB entry besides the VSID.
fn machine(bits: u64) -> Machine {
    let mut m = Machine::new(Level::V2_07, 0);
    Hpt::replace(&m.sh.hpt, Some(Arc::new(Hpt::new(18).unwrap())));
    let shift = if bits & VSID_B_1T != 0 { 24 } else { 12 };
    slb::slbmte(&mut m.st, EA | ESID_V | 3, VSID << shift | bits);
    m
}

/// What a guest computes for a page: the group's first entry, and its first doubleword.
fn place(m: &Machine, ea: u64, vsid: u64, segment_shift: u32, base: u32, second: bool) -> (u64, u64) {
    let groups = 1u64 << (m.sh.hpt.read().unwrap().as_ref().unwrap().shift() - 7);
    let offset = ea & ((1 << segment_shift) - 1);
    let va = (vsid as u128) << segment_shift | offset as u128;
    let mut hash = if segment_shift == 40 { vsid ^ vsid << 25 } else { vsid } ^ offset >> base;
    if second {
        hash = !hash;
    }
    let avpn = (va >> 23) as u64 & !((1 << base.max(23) - 23) - 1);
    let b = if segment_shift == 40 { VSID_B_1T } else { 0 };
    ((hash & (groups - 1)) * 8, b | avpn << 7 | pteh::V | if second { pteh::H } else { 0 })
}

fn enter(m: &Machine, index: u64, h: u64, l: u64) -> u64 {
    let hpt = m.sh.hpt.read().unwrap().clone().unwrap();
    hpt.enter(&m.sh.ram, 0, index, h, l).unwrap()
}

/// Map the 4 KiB page at `ea` of the segment of `machine(0)`.
fn map(m: &Machine, ea: u64, l: u64) -> u64 {
    let (index, h) = place(m, ea, VSID, 28, 12, false);
    enter(m, index, h, l)
}

fn hpt(m: &Machine) -> Arc<Hpt> {
    m.sh.hpt.read().unwrap().clone().unwrap()
}

#[test]
fn every_base_and_actual_page_size_in_both_segment_sizes() {
    // base, L and LP of the SLB, actual, encoding in the entry
    let sizes = [
        (12, 0, 12, None),
        (12, 0, 16, Some(7)),
        (12, 0, 24, Some(0x38)),
        (16, 0x110, 16, Some(1)),
        (16, 0x110, 24, Some(8)),
        (24, 0x100, 24, Some(0)),
    ];
    for segment in [28, 40] {
        for (base, llp, actual, encoding) in sizes {
            for second in [false, true] {
                let mut m = machine(llp | VSID_KP | if segment == 40 { VSID_B_1T } else { 0 });
                let ea = (EA | 0x0bcd_e678) & ((1 << segment) - 1) | EA;
                let (index, h) = place(&m, ea, VSID, segment, base, second);
                let large = if encoding.is_some() { pteh::L } else { 0 };
                // Real addresses above memory: inhibited.
                let ra = 0x5_4321_0000_0000u64;
                let l = ra | encoding.unwrap_or(0) << 12 | ptel::I | 2 | ptel::R | ptel::C;
                let at = enter(&m, index + 5, h | large, l);
                assert_eq!(at, index);
                let t = m.go(ea, Access::Write).unwrap();
                let page = (1u64 << actual) - 1;
                assert_eq!((t.ra, t.page_shift, t.ci), (ra | ea & page, actual, true));
                let page = VirtualPage {
                    segment_shift: segment,
                    vsid: VSID & (u64::MAX >> (64 - (78 - segment).min(50))),
                    offset: ea & ((1 << segment) - 1) & !page,
                    shift: actual,
                };
                let removed = hpt(&m).remove(flag::AVPN, at, h & !0x7f).unwrap();
                assert_eq!(removed.flush, Flush::Page(page, Users::One(0)), "{base} {actual}");
                assert_eq!(removed.ptel, l);
                assert_eq!(m.dsi(ea, Access::Write), 0x4200_0000);
                if second {
                    assert_eq!(slb::effective(&m.st, &page).collect::<Vec<_>>(), [ea & !((1 << actual) - 1)]);
                }
            }
        }
    }
}

#[test]
fn a_base_page_size_must_match() {
    let mut m = machine(0x110);
    let (index, h) = place(&m, EA, VSID, 28, 16, false);
    // An entry of a 4 KiB segment in the right group is not taken.
    enter(&m, index, h, 0x5000 | PAGE);
    enter(&m, index, h | pteh::L, 0x7 << 12 | PAGE);
    assert_eq!(m.dsi(EA, Access::Read), 0x4000_0000);
    enter(&m, index, h | pteh::L, 0x3_0000 | 1 << 12 | PAGE);
    assert_eq!(m.go(EA | 0xffff, Access::Read).unwrap().ra, 0x3_ffff);
}

#[test]
fn without_segment_or_entry_or_table() {
    let mut m = machine(0);
    m.segment(0x2000_0000);
    m.segment(u64::MAX);
    assert_eq!(m.dsi(EA, Access::Read), 0x4000_0000);
    assert_eq!(m.dsi(EA, Access::Write), 0x4200_0000);
    assert_eq!(m.isi(EA), 0x4000_0000);
    Hpt::replace(&m.sh.hpt, None);
    assert_eq!(m.dsi(EA, Access::Read), 0x4000_0000);
    m.segment(0x2000_0000);
}

#[test]
fn a_new_table_is_noticed() {
    let mut m = machine(0);
    map(&m, EA, 0x5000 | PAGE);
    assert!(m.go(EA, Access::Read).is_ok());
    Hpt::replace(&m.sh.hpt, Some(Arc::new(Hpt::new(20).unwrap())));
    assert_eq!(m.dsi(EA, Access::Read), 0x4000_0000);
    map(&m, EA, 0x6000 | PAGE);
    assert_eq!(m.go(EA, Access::Read).unwrap().ra, 0x6000);
}

#[test]
fn protection() {
    // PP, storage key: read, write
    let cases = [
        (0, false, true, true),
        (0, true, false, false),
        (1, false, true, true),
        (1, true, true, false),
        (2, false, true, true),
        (2, true, true, true),
        (3, false, true, false),
        (3, true, true, false),
        (ptel::PP0, false, false, false),
        (ptel::PP0 | 2, false, true, false),
        (ptel::PP0 | 2, true, false, false),
        (ptel::PP0 | 3, true, false, false),
    ];
    for (pp, key, read, write) in cases {
        for problem in [false, true] {
            // Only the key of the state the processor is in counts.
            let mut m = machine(match (key, problem) {
                (true, true) | (false, false) => VSID_KP,
                _ => VSID_KS,
            });
            m.problem_state(problem);
            map(&m, EA, 0x5000 | ptel::M | ptel::C | pp);
            assert_eq!(m.go(EA, Access::Read).is_ok(), read, "{pp:#x} {key}");
            assert_eq!(m.go(EA, Access::Write).is_ok(), write, "{pp:#x} {key}");
            assert_eq!(m.go(EA, Access::Exec).is_ok(), read, "{pp:#x} {key}");
            if !read {
                assert_eq!(m.dsi(EA, Access::Read), 0x0800_0000);
                assert_eq!(m.isi(EA), 0x0800_0000);
            }
            if !write {
                assert_eq!(m.dsi(EA, Access::Write), 0x0a00_0000);
            }
            if let Ok(t) = m.go(EA, Access::Read) {
                assert_eq!((t.read, t.write, t.exec), (read, write, read));
            }
        }
    }
}

#[test]
fn no_execute() {
    let mut m = machine(VSID_N);
    assert_eq!(m.isi(EA), 0x1000_0000, "the segment, before the table is looked at");
    map(&m, EA, 0x5000 | PAGE);
    assert!(!m.go(EA, Access::Read).unwrap().exec);
    let mut m = machine(0);
    map(&m, EA, 0x5000 | PAGE | ptel::N);
    map(&m, EA | 0x1000, 0x10_0000_0000 | ptel::I | ptel::G | 2);
    for ea in [EA, EA | 0x1000] {
        assert_eq!(m.isi(ea), 0x1000_0000);
        assert!(!m.go(ea, Access::Read).unwrap().exec);
    }
    let mut m = machine(VSID_KS);
    map(&m, EA, 0x5000 | ptel::M | ptel::N);
    assert_eq!(m.isi(EA), 0x1000_0000, "no execute goes first");
}

#[test]
fn virtual_page_class_keys() {
    for key in [0u64, 1, 7, 8, 24, 31] {
        let mut m = machine(VSID_KP);
        map(&m, EA, 0x5000 | PAGE | key >> 3 << 60 | (key & 7) << 9);
        let shift = 62 - 2 * key;
        m.st.amr = !(3 << shift);
        m.st.iamr = !(3 << shift);
        let t = m.go(EA, Access::Write).unwrap();
        assert_eq!((t.read, t.write, t.exec, t.key), (true, true, true, Some(key as u8)));
        m.st.amr = 2 << shift;
        m.st.iamr = 1 << shift;
        assert_eq!(m.dsi(EA, Access::Write), 0x0220_0000);
        assert_eq!(m.isi(EA), 0x0020_0000);
        let t = m.go(EA, Access::Read).unwrap();
        assert_eq!((t.read, t.write, t.exec), (true, false, false));
        m.st.amr = 1 << shift;
        assert_eq!(m.dsi(EA, Access::Read), 0x0020_0000);
        assert!(m.go(EA, Access::Write).is_ok());
        // Both reasons at once.
        let hpt = hpt(&m);
        let (index, _) = place(&m, EA, VSID, 28, 12, false);
        hpt.protect((key >> 3) << 12 | (key & 7) << 9, index, 0).unwrap();
        m.problem_state(true);
        assert_eq!(m.dsi(EA, Access::Read), 0x0820_0000);
        assert_eq!(m.isi(EA), 0x0820_0000);
    }
}

#[test]
fn reference_and_change() {
    let mut m = machine(0);
    let index = map(&m, EA, 0x5000 | ptel::M | 2);
    let low = |m: &Machine| {
        let mut out = [0; 8];
        hpt(m).read(0, index, &mut out).unwrap();
        out[1] & (ptel::R | ptel::C)
    };
    assert_eq!(low(&m), 0);
    assert!(!m.go(EA, Access::Exec).unwrap().write);
    assert_eq!(low(&m), ptel::R);
    assert!(m.go(EA, Access::Write).unwrap().write);
    assert_eq!(low(&m), ptel::R | ptel::C);
    assert!(m.go(EA, Access::Read).unwrap().write);
    let (old, flush) = hpt(&m).clear_mod(index).unwrap();
    assert_eq!(old, 0x5000 | PAGE);
    assert!(matches!(flush, Flush::Page(_, Users::One(0))));
    assert!(!m.go(EA, Access::Read).unwrap().write);
    assert_eq!(hpt(&m).clear_mod(index).unwrap().1, Flush::None, "nobody may store");
    let (old, flush) = hpt(&m).clear_ref(index).unwrap();
    assert_eq!(old & (ptel::R | ptel::C), ptel::R);
    assert_ne!(flush, Flush::None);
    assert_eq!(low(&m), 0);
}

#[test]
fn those_who_used_an_entry_are_told() {
    let mut m = machine(0);
    let index = map(&m, EA, 0x5000 | PAGE);
    assert_eq!(hpt(&m).remove(0, index, 0).unwrap().flush, Flush::None, "entered but never used");
    map(&m, EA, 0x5000 | PAGE);
    m.go(EA, Access::Read).unwrap();
    m.go(EA, Access::Write).unwrap();
    let users = |f| match f {
        Flush::Page(_, users) => users,
        other => panic!("{other:?}"),
    };
    assert_eq!(users(hpt(&m).remove(0, index, 0).unwrap().flush), Users::One(0));
    map(&m, EA, 0x5000 | PAGE);
    let mut other = MmuCache::new(5);
    translate(&m.st, &m.sh, &mut other, EA, Access::Read).unwrap();
    // Rights taken away matter, rights given do not.
    assert_eq!(users(hpt(&m).protect(3, index, 0).unwrap()), Users::One(5));
    assert_eq!(hpt(&m).protect(2, index, 0).unwrap(), Flush::None);
    assert_ne!(hpt(&m).protect(2 | 4, index, 0).unwrap(), Flush::None);
    assert_ne!(hpt(&m).protect(2 | 4 | 1 << 9, index, 0).unwrap(), Flush::None, "another key");
    m.go(EA, Access::Read).unwrap();
    assert_eq!(users(hpt(&m).remove(0, index, 0).unwrap().flush), Users::Many);
}

/// One processor translates by an entry all the time while another enters, protects and removes it. Whatever the first
/// gets by must be what was entered, and whoever takes the entry away must be told of the first when it got something.
#[test]
fn translating_against_changes() {
    use std::sync::atomic::AtomicU8;
    let m = machine(0);
    // 0: not mapped, n: may be mapped to page n; the translator reports what it got.
    let got = AtomicU8::new(0);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut cache = MmuCache::new(1);
            while !stop.load(Ordering::SeqCst) {
                match translate(&m.st, &m.sh, &mut cache, EA, Access::Write) {
                    Ok(t) => {
                        assert!(t.write && t.ra >> 12 <= 200 && t.ra & 0xfff == 0);
                        got.store((t.ra >> 12) as u8, Ordering::SeqCst);
                    }
                    Err(f) => assert!([0x4200_0000, 0x0a00_0000].contains(&f.dsisr.unwrap())),
                }
            }
        });
        let hpt = hpt(&m);
        let (index, h) = place(&m, EA, VSID, 28, 12, false);
        let mut told = 0;
        let mut n = 0u64;
        while n < 20_000 || told == 0 && n < 5_000_000 {
            n += 1;
            let page = n % 200 + 1;
            let before = got.swap(0, Ordering::SeqCst);
            hpt.enter(&m.sh.ram, flag::EXACT, index, h, page << 12 | ptel::M | 2).unwrap();
            if n % 64 == 0 {
                std::thread::yield_now();
            }
            if n % 2 == 0 {
                hpt.protect(3, index, 0).unwrap();
            }
            let saw = got.load(Ordering::SeqCst);
            let r = hpt.remove(0, index, 0).unwrap();
            assert_eq!(r.ptel >> 12, page);
            if saw as u64 == page && before as u64 != page {
                assert_ne!(r.flush, Flush::None, "the translator got page {page}");
                assert_eq!(r.ptel & (ptel::R | ptel::C), ptel::R | ptel::C);
                told += 1;
            }
        }
        stop.store(true, Ordering::SeqCst);
        assert!(told > 0, "the two never met");
    });
}
