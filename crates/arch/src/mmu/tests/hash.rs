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
    assert_ne!(hpt(&m).protect(3, index, 0).unwrap(), Flush::None);
    assert_ne!(hpt(&m).protect(1 << 8 | 2, index, 0).unwrap(), Flush::None, "loads are lost");
    assert_eq!(hpt(&m).protect(2, index, 0).unwrap(), Flush::None);
    assert_ne!(hpt(&m).protect(2 | 4, index, 0).unwrap(), Flush::None);
    assert_ne!(hpt(&m).protect(2 | 4 | 1 << 9, index, 0).unwrap(), Flush::None, "another key");
    m.go(EA, Access::Read).unwrap();
    assert_eq!(users(hpt(&m).remove(0, index, 0).unwrap().flush), Users::Many);
}

#[test]
fn an_entry_of_a_16_mib_segment_matches_without_its_8_mib_bit() {
    let mut m = machine(0x100);
    let (index, h) = place(&m, EA, VSID, 28, 24, false);
    enter(&m, index, h | 1 << 7 | pteh::L, 0x80_0000_0000 | ptel::I | 2);
    assert_eq!(m.go(EA | 0xff_ffff, Access::Read).unwrap().ra, 0x80_00ff_ffff);
}

/// A processor that translates `EA` for storing all the time, as a processor with a TLB would: what it got it uses
/// until it next obeys a flush. And the other side, which changes the table.
struct Race {
    m: Machine,
    /// Flushes asked for and obeyed.
    asked: AtomicU64,
    obeyed: AtomicU64,
    stop: std::sync::atomic::AtomicBool,
    /// How often the translator got through.
    got: AtomicU64,
    start: std::time::Instant,
}

impl Race {
    fn new() -> Self {
        Race {
            m: machine(VSID_KS),
            asked: AtomicU64::new(0),
            obeyed: AtomicU64::new(0),
            stop: Default::default(),
            got: AtomicU64::new(0),
            start: std::time::Instant::now(),
        }
    }

    /// `used` is called with what was got, before any flush is obeyed.
    fn translator(&self, used: impl Fn(Translation)) {
        let mut cache = MmuCache::new(1);
        while !self.stop.load(Ordering::SeqCst) {
            self.obeyed.store(self.asked.load(Ordering::SeqCst), Ordering::SeqCst);
            match translate(&self.m.st, &self.m.sh, &mut cache, EA, Access::Write) {
                Ok(t) => {
                    used(t);
                    self.got.fetch_add(1, Ordering::Relaxed);
                }
                Err(f) => assert_eq!(f.dsisr, Some(0x4200_0000)),
            }
        }
        self.obeyed.store(u64::MAX, Ordering::SeqCst);
    }

    /// Remove the entry and have the flush done.
    fn remove(&self, hpt: &Hpt, index: u64) -> u64 {
        let r = hpt.remove(0, index, 0).unwrap();
        if r.flush != Flush::None {
            let n = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            while self.obeyed.load(Ordering::SeqCst) < n {
                std::thread::yield_now();
            }
        }
        r.ptel
    }

    /// Whether the other side should go on after turn `n`.
    fn goes_on(&self, n: u64) -> bool {
        if n % 512 == 0 {
            std::thread::yield_now();
        }
        // A busy host makes each flush wait for its time slice: enough is enough.
        let soon = n < 20_000 && self.start.elapsed() < std::time::Duration::from_millis(500);
        let on = soon || self.got.load(Ordering::Relaxed) < 20 && n < 5_000_000;
        if !on {
            self.stop.store(true, Ordering::SeqCst);
        }
        on
    }
}

/// Stops the other side when one side fails, so that the test ends.
struct StopOnDrop<'a>(&'a Race);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
        self.0.obeyed.store(u64::MAX, Ordering::SeqCst);
    }
}

#[test]
fn nobody_uses_what_was_removed() {
    let race = Race::new();
    // Page numbers up to this one are gone for good.
    let gone = AtomicU64::new(0);
    std::thread::scope(|s| {
        s.spawn(|| {
            let _end = StopOnDrop(&race);
            race.translator(|t| assert!(t.ra >> 12 & 0xffff_ffff > gone.load(Ordering::SeqCst)));
        });
        let hpt = hpt(&race.m);
        let (index, h) = place(&race.m, EA, VSID, 28, 12, false);
        let mut n = 0;
        while race.goes_on(n) {
            n += 1;
            let l = 1 << 50 | n << 12 | ptel::I | 2;
            hpt.enter(&race.m.sh.ram, flag::EXACT, index, h, l).unwrap();
            if n % 4 == 0 {
                std::thread::yield_now();
            }
            race.remove(&hpt, index);
            gone.store(n, Ordering::SeqCst);
        }
        assert!(race.got.load(Ordering::Relaxed) > 0, "the two never met");
    });
}

/// Another page's entry in the same place, once with the same second doubleword, once with one that forbids all.
#[test]
fn nobody_takes_one_page_for_another() {
    for other in [1 << 50 | ptel::I | 2 | ptel::R | ptel::C, 1 << 50 | ptel::I | 0x1000] {
        let race = Race::new();
        let elsewhere = AtomicU64::new(0);
        std::thread::scope(|s| {
            s.spawn(|| {
                let _end = StopOnDrop(&race);
                race.translator(|_| assert_eq!(elsewhere.load(Ordering::SeqCst) & 1, 0));
            });
            let hpt = hpt(&race.m);
            let (index, h) = place(&race.m, EA, VSID, 28, 12, false);
            let l = 1 << 50 | ptel::I | 2 | ptel::R | ptel::C;
            let mut n = 0;
            while race.goes_on(n) {
                n += 1;
                hpt.enter(&race.m.sh.ram, flag::EXACT, index, h, l).unwrap();
                if n % 4 == 0 {
                    std::thread::yield_now();
                }
                race.remove(&hpt, index);
                elsewhere.fetch_add(1, Ordering::SeqCst);
                hpt.enter(&race.m.sh.ram, flag::EXACT, index, h ^ 1 << 40, other).unwrap();
                assert_eq!(race.remove(&hpt, index) >> 12, other >> 12);
                elsewhere.fetch_add(1, Ordering::SeqCst);
            }
            assert!(race.got.load(Ordering::Relaxed) > 0, "the two never met");
        });
    }
}

/// Bits set by a translator are in what the removal returns.
#[test]
fn no_change_bit_is_lost() {
    let race = Race::new();
    let stored = AtomicU64::new(0);
    std::thread::scope(|s| {
        s.spawn(|| {
            let _end = StopOnDrop(&race);
            race.translator(|t| {
                assert!(t.write);
                stored.store(t.ra >> 12 & 0xffff_ffff, Ordering::SeqCst);
            });
        });
        let hpt = hpt(&race.m);
        let (index, h) = place(&race.m, EA, VSID, 28, 12, false);
        let mut n = 0;
        while race.goes_on(n) {
            n += 1;
            hpt.enter(&race.m.sh.ram, flag::EXACT, index, h, 1 << 50 | n << 12 | ptel::I | 2).unwrap();
            if n % 4 == 0 {
                std::thread::yield_now();
            }
            let l = race.remove(&hpt, index);
            if stored.load(Ordering::SeqCst) == n {
                assert_eq!(l & ptel::C, ptel::C);
            }
        }
    });
}

/// Rights taken away while a translator is on its way are not used afterwards.
#[test]
fn nobody_stores_after_protect() {
    let race = Race::new();
    let readonly = AtomicU64::new(0);
    let m = &race.m;
    let hpt = hpt(m);
    let (index, h) = place(m, EA, VSID, 28, 12, false);
    hpt.enter(&m.sh.ram, flag::EXACT, index, h, 1 << 50 | ptel::I | 2).unwrap();
    std::thread::scope(|s| {
        s.spawn(|| {
            let _end = StopOnDrop(&race);
            let mut cache = MmuCache::new(1);
            while !race.stop.load(Ordering::SeqCst) {
                race.obeyed.store(race.asked.load(Ordering::SeqCst), Ordering::SeqCst);
                match translate(&m.st, &m.sh, &mut cache, EA, Access::Write) {
                    Ok(_) => {
                        assert_eq!(readonly.load(Ordering::SeqCst) & 1, 0);
                        race.got.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(f) => assert_eq!(f.dsisr, Some(0x0a00_0000)),
                }
            }
        });
        let mut n = 0;
        while race.goes_on(n) {
            n += 1;
            if n % 4 == 0 {
                std::thread::yield_now();
            }
            let flush = hpt.protect(3, index, 0).unwrap();
            if flush != Flush::None {
                let asked = race.asked.fetch_add(1, Ordering::SeqCst) + 1;
                while race.obeyed.load(Ordering::SeqCst) < asked {
                    std::thread::yield_now();
                }
            }
            readonly.fetch_add(1, Ordering::SeqCst);
            std::hint::spin_loop();
            readonly.fetch_add(1, Ordering::SeqCst);
            hpt.protect(2, index, 0).unwrap();
        }
        assert!(race.got.load(Ordering::Relaxed) > 0, "the two never met");
    });
}
