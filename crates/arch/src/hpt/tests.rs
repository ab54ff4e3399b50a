//! The hypercalls against a model, by several threads, and their corner cases.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use mem::GuestRam;

use super::*;

const MEMORY: u64 = 32 << 20;
/// Second doubleword of an ordinary page at 0.
const PAGE: u64 = ptel::M | 2 | ptel::R;

fn ram() -> GuestRam {
    GuestRam::new(MEMORY).unwrap()
}

fn table() -> Hpt {
    Hpt::new(18).unwrap()
}

/// A small generator of pseudo-random numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }
}

fn avpn(n: u64) -> u64 {
    n << 7
}

#[test]
fn sizes() {
    assert_eq!(Hpt::new(17).err(), Some(HpteError::Parameter));
    assert_eq!(Hpt::new(47).err(), Some(HpteError::Parameter));
    let h = Hpt::new(19).unwrap();
    assert_eq!((h.shift(), h.entries(), h.count_valid()), (19, 1 << 15, 0));
}

#[test]
fn codes_are_paprs() {
    let codes = [
        HpteError::Parameter,
        HpteError::PtegFull,
        HpteError::NotFound,
        HpteError::Resource,
        HpteError::Closed,
        HpteError::Partial,
    ];
    assert_eq!(codes.map(HpteError::code), [-4, -6, -7, -16, 2, 5]);
}

#[test]
fn enter_checks_its_arguments() {
    let (ram, t) = (ram(), table());
    let enter = |index, h, l| t.enter(&ram, 0, index, h, l);
    let bad = Err(HpteError::Parameter);
    assert_eq!(enter(t.entries(), 0, PAGE), bad, "index");
    assert_eq!(enter(u64::MAX, 0, PAGE), bad);
    assert_eq!(enter(0, 2 << 62, PAGE), bad, "segment size");
    assert_eq!(enter(0, pteh::L, PAGE | 2 << 12), bad, "page size");
    assert_eq!(enter(0, pteh::L, PAGE | 0x28 << 12), bad, "half a 16 MiB encoding");
    for wimg in [0, ptel::I, ptel::I | ptel::G, ptel::M | ptel::G, ptel::W | ptel::M, ptel::M | ptel::I] {
        assert_eq!(enter(0, 0, wimg | 2), bad, "memory, {wimg:#x}");
    }
    for wimg in [0, ptel::M, ptel::W | ptel::I, ptel::W] {
        assert_eq!(enter(0, 0, MEMORY | wimg | 2), bad, "I/O, {wimg:#x}");
    }
    for (n, wimg) in
        [ptel::I, ptel::I | ptel::G, ptel::I | ptel::M, ptel::I | ptel::M | ptel::G].into_iter().enumerate()
    {
        assert_eq!(enter(0, 0, MEMORY | wimg | 2), Ok(n as u64));
        assert_eq!(enter(0, 0, ptel::RPN | wimg | 2).is_ok(), n < 4);
        t.clear_all();
        for _ in 0..n + 1 {
            enter(0, 0, PAGE).unwrap();
        }
    }
    t.clear_all();
    assert_eq!(enter(0, 0, ptel::W | ptel::I | ptel::M), Ok(0), "strong access ordering");
    // A page that begins in memory and ends behind it.
    let small = GuestRam::new(MEMORY - (1 << 16)).unwrap();
    let last = (MEMORY - (16 << 20)) | PAGE;
    assert_eq!(t.enter(&small, 0, 0, pteh::L, last), bad);
    assert_eq!(t.enter(&ram, 0, 0, pteh::L, last), Ok(1));
}

#[test]
fn a_group_fills_up() {
    let (ram, t) = (ram(), table());
    for n in 0..8 {
        assert_eq!(t.enter(&ram, 0, 8 + n, avpn(n), PAGE), Ok(8 + n));
    }
    assert_eq!(t.enter(&ram, 0, 8, avpn(9), PAGE), Err(HpteError::PtegFull));
    assert_eq!(t.enter(&ram, flag::EXACT, 11, avpn(9), PAGE), Err(HpteError::PtegFull));
    t.remove(0, 13, 0).unwrap();
    assert_eq!(t.enter(&ram, flag::EXACT, 11, avpn(9), PAGE), Err(HpteError::PtegFull));
    assert_eq!(t.enter(&ram, 0, 8, avpn(9), PAGE), Ok(13));
    assert_eq!(t.enter(&ram, flag::EXACT, 21, avpn(9), PAGE), Ok(21));
    assert_eq!(t.count_valid(), 9);
}

#[test]
fn the_guest_sees_what_it_entered_but_for_the_hypervisors_bits() {
    let (ram, t) = (ram(), table());
    let h = 0x7fff_ffff_ffff_ffff & !pteh::L;
    let l = 0xffff_ffff_ffff_ffff & !(ptel::W | ptel::G);
    let index = t.enter(&ram, 0, 0, h, l).unwrap();
    let mut out = [1; 8];
    assert_eq!(t.read(0, index, &mut out), Ok(2));
    assert_eq!(out[..2], [h & !0x60, l & !(1 << 62)]);
    let r = t.remove(0, index, 0).unwrap();
    assert_eq!((r.pteh, r.ptel), (out[0], out[1]));
    t.read(0, index, &mut out).unwrap();
    assert_eq!(out[..2], [0, 0]);
}

#[test]
fn a_page_is_zeroed_when_asked() {
    let (ram, t) = (ram(), table());
    ram.fill(0x1_0000, 0x3_0000, 0xee).unwrap();
    t.enter(&ram, flag::ZERO_PAGE, 0, pteh::L, 0x2_0000 | 1 << 12 | PAGE).unwrap();
    for (at, byte) in [(0x1_ffff, 0xee), (0x2_0000, 0), (0x2_ffff, 0), (0x3_0000, 0xee)] {
        assert_eq!(ram.load_le(at, 1), Ok(byte));
    }
    t.enter(&ram, flag::ZERO_PAGE, 0, 0, 0x10_0000_0000 | ptel::I).unwrap();
    // Nothing is zeroed when there is no room.
    for _ in 0..6 {
        t.enter(&ram, 0, 0, 0, PAGE).unwrap();
    }
    assert_eq!(t.enter(&ram, flag::ZERO_PAGE, 0, 0, 0x1_0000 | PAGE), Err(HpteError::PtegFull));
    assert_eq!(ram.load_le(0x1_0000, 1), Ok(0xee));
}

#[test]
fn remove_by_its_conditions() {
    let (ram, t) = (ram(), table());
    let h = avpn(0x1234) | pteh::BOLTED;
    let index = t.enter(&ram, 0, 40, h, PAGE).unwrap();
    let not_found = Err(HpteError::NotFound);
    assert_eq!(t.remove(flag::AVPN, index, avpn(0x1235)), not_found);
    assert_eq!(t.remove(flag::ANDCOND, index, pteh::BOLTED), not_found);
    assert_eq!(t.remove(flag::ANDCOND, index, pteh::V), not_found);
    assert_eq!(t.remove(0, index + 1, 0), not_found);
    assert_eq!(t.remove(0, t.entries(), 0), Err(HpteError::Parameter));
    let r = t.remove(flag::AVPN, index, avpn(0x1234)).unwrap();
    assert_eq!((r.pteh, r.ptel), (h | pteh::V, PAGE));
    t.enter(&ram, 0, 40, h, PAGE).unwrap();
    assert!(t.remove(flag::ANDCOND, index, 0x8).is_ok());
}

#[test]
fn protect_changes_pp_n_and_key() {
    let (ram, t) = (ram(), table());
    let index = t.enter(&ram, 0, 0, avpn(5), 0x3000 | PAGE).unwrap();
    let all = 1 << 8 | 3 << 12 | 7 << 9 | 4 | 3;
    let not_found = Err(HpteError::NotFound);
    assert_eq!(t.protect(all | flag::AVPN, index, avpn(6)), not_found);
    assert_eq!(t.protect(all, index + 1, 0), not_found);
    assert_eq!(t.protect(all, t.entries(), 0), Err(HpteError::Parameter));
    let mut out = [0; 8];
    // ANDCOND is not one of this call's flags.
    t.protect(all | flag::AVPN | flag::ANDCOND, index, avpn(5)).unwrap();
    t.read(0, index, &mut out).unwrap();
    assert_eq!(out[1], 0xb000_0000_0000_0000 | 0xe00 | 0x3000 | ptel::M | ptel::R | 7);
    t.protect(0, index, 0).unwrap();
    t.read(0, index, &mut out).unwrap();
    assert_eq!(out[1], 0x3000 | ptel::M | ptel::R);
}

#[test]
fn read_one_or_four() {
    let (ram, t) = (ram(), table());
    for n in 0..8 {
        t.enter(&ram, flag::EXACT, 16 + n, avpn(n), n << 12 | PAGE).unwrap();
    }
    let mut out = [0; 8];
    assert_eq!(t.read(flag::READ_4, 22, &mut out), Ok(8));
    for n in 0..4 {
        let i = n as usize * 2;
        assert_eq!(out[i..i + 2], [avpn(4 + n) | 1, (4 + n) << 12 | PAGE]);
    }
    assert_eq!(t.read(0, 17, &mut out), Ok(2));
    assert_eq!(out[0], avpn(1) | 1);
    assert_eq!(t.read(flag::READ_4, t.entries(), &mut out), Err(HpteError::Parameter));
}

#[test]
fn bulk_remove() {
    let (ram, t) = (ram(), table());
    for n in 0..8 {
        let c = if n == 1 { ptel::C } else { 0 };
        t.enter(&ram, flag::EXACT, n, avpn(n) | pteh::BOLTED, PAGE | c).unwrap();
    }
    const REQUEST: u64 = 1 << 62;
    let mut flushes = Vec::new();
    // Absolute, by AVPN, by ANDCOND (bolted: no), by the wrong AVPN.
    let mut a = [REQUEST, 0, REQUEST | 2 << 56 | 1, avpn(1), REQUEST | 1 << 56 | 2, pteh::BOLTED];
    let mut args = [a[0], a[1], a[2], a[3], a[4], a[5], REQUEST | 2 << 56 | 3, avpn(9)];
    assert_eq!(t.bulk_remove(&mut args, |f| flushes.push(f)), Ok(()));
    assert_eq!(
        args,
        [
            0x8800_0000_0000_0000,
            0,
            0x8e00_0000_0000_0001,
            avpn(1),
            0x9100_0000_0000_0002,
            pteh::BOLTED,
            0x9200_0000_0000_0003,
            avpn(9)
        ]
    );
    assert_eq!(t.count_valid(), 6);
    assert!(flushes.is_empty(), "nobody used them");
    // The end mark stops it; what follows stays.
    a = [REQUEST | 4, 0, 3 << 62, 0, REQUEST | 5, 0];
    assert_eq!(t.bulk_remove(&mut a, |_| ()), Ok(()));
    assert_eq!(a, [0x8800_0000_0000_0004, 0, 3 << 62, 0, REQUEST | 5, 0]);
    // Both conditions, an index too large, a word that is not a request.
    for bad in [REQUEST | 3 << 56 | 5, REQUEST | t.entries(), 5, 2 << 62 | 5] {
        a = [REQUEST | 7, 0, bad, 0, REQUEST | 5, 0];
        let left = t.count_valid();
        t.enter(&ram, flag::EXACT, 7, 0, PAGE).ok();
        assert_eq!(t.bulk_remove(&mut a, |_| ()), Err(HpteError::Parameter));
        assert_eq!(a[0] >> 56, 0x88, "done before the bad one");
        assert_eq!(a[2], 2 << 62 | 2 << 60 | bad & 0x03ff_ffff_ffff_ffff);
        assert_eq!(a[4], REQUEST | 5);
        assert!(t.count_valid() <= left);
    }
    let (_, flush) = (t.users[5].store(SEVERAL, Ordering::SeqCst), &mut flushes);
    t.bulk_remove(&mut [REQUEST | 5, 0], |f| flush.push(f)).unwrap();
    assert!(matches!(flushes[..], [Flush::Page(_, Users::Many)]));
}

#[test]
fn block_remove() {
    let (ram, t) = (ram(), table());
    const REQUEST: u64 = 1 << 62 | 1 << 56;
    for n in 0..6 {
        t.enter(&ram, flag::EXACT, 8 * n, avpn(7), PAGE | ptel::C).unwrap();
    }
    t.enter(&ram, flag::EXACT, 64, avpn(8), PAGE).unwrap();
    let mut words = [REQUEST, REQUEST | 8, REQUEST | 16, 3 << 62, REQUEST | 24, 0, 0, 0];
    assert_eq!(t.block_remove(avpn(7), &mut words, |_| ()), Ok(()));
    let done = 0x8600_0000_0000_0000;
    assert_eq!(words, [done, done | 8, done | 16, 3 << 62, REQUEST | 24, 0, 0, 0]);
    assert_eq!(t.count_valid(), 4);
    let mut words = [REQUEST | 24, REQUEST | 16, REQUEST | 64, 3 << 62];
    assert_eq!(t.block_remove(avpn(7), &mut words, |_| ()), Err(HpteError::Partial));
    let missed = 0x8800_0000_0000_0000;
    assert_eq!(words, [done | 24, missed | 16, missed | 64, 3 << 62]);
    for bad in [REQUEST | t.entries(), 0, 2 << 62] {
        let mut words = [bad, REQUEST | 64];
        assert_eq!(t.block_remove(avpn(8), &mut words, |_| ()), Err(HpteError::Parameter));
        assert_eq!(words, [0x9000_0000_0000_0000 | bad & !(0xff << 56), REQUEST | 64]);
    }
    // Eight pages of 16 MiB: 128 MiB, so sixteen AVPNs.
    for n in 0..8 {
        t.enter(&ram, flag::EXACT, 80 + n, avpn(32 + 2 * n) | pteh::L, PAGE).unwrap();
    }
    let mut words: [u64; 8] = std::array::from_fn(|n| REQUEST | (80 + n as u64));
    assert_eq!(t.block_remove(avpn(34), &mut words, |_| ()), Ok(()));
}

#[test]
fn clear_all() {
    let (ram, t) = (ram(), table());
    for n in 0..100 {
        t.enter(&ram, 0, n * 8, avpn(n), PAGE).unwrap();
    }
    assert_eq!(t.clear_all(), Flush::All);
    assert_eq!(t.count_valid(), 0);
    assert_eq!(t.enter(&ram, 0, 0, 0, PAGE), Ok(0));
}

#[test]
fn save_and_restore() {
    let (ram, t) = (ram(), table());
    for n in [0, 1, 2, 50, 51, t.entries() - 1] {
        t.enter(&ram, flag::EXACT, n, avpn(n), n % 8 << 12 | PAGE).unwrap();
    }
    let state = t.save();
    let runs: Vec<_> = state.runs.iter().map(|r| (r.first, r.entries.len())).collect();
    assert_eq!(runs, [(0, 3), (50, 2), (t.entries() - 1, 1)]);
    let again = Hpt::restore(&state, 18).unwrap();
    assert_eq!(again.save(), state);
    assert_eq!(Hpt::restore(&state, 17).err(), Some(HpteError::Resource));
    for run in [
        Run { first: t.entries(), entries: vec![(1, 0)] },
        Run { first: t.entries() - 1, entries: vec![(1, 0), (1, 0)] },
        Run { first: u64::MAX, entries: vec![(1, 0), (1, 0)] },
        Run { first: 0, entries: vec![(3 << 62 | 1, 0)] },
    ] {
        let bad = HptState { shift: 18, runs: vec![run] };
        assert_eq!(Hpt::restore(&bad, 18).err(), Some(HpteError::Parameter));
    }
}

/// What a guest computes for a page: first entry of its group and first doubleword.
fn place(t: &Hpt, segment: u32, vsid: u64, offset: u64, base: u32, second: bool) -> (u64, u64) {
    let hash = if segment == 40 { vsid ^ vsid << 25 } else { vsid } ^ offset >> base;
    let hash = if second { !hash } else { hash };
    let va = (vsid as u128) << segment | offset as u128;
    let v = (va >> 23) as u64 >> base.saturating_sub(23) << base.saturating_sub(23) << 7;
    let b = if segment == 40 { 1 << 62 } else { 0 };
    (t.group_number(hash) * 8, v | b | if second { pteh::H } else { 0 } | pteh::V)
}

#[test]
fn resizing_keeps_what_the_guest_can_find() {
    let ram = ram();
    let sizes = [(12, 0, 0), (12, 16, 7), (12, 24, 0x38), (16, 16, 1), (16, 24, 8), (24, 24, 0)]
        .map(|(b, a, e)| (b, a, e));
    let mut random = Random(5);
    for (from, to) in [(18, 20), (21, 18), (19, 19)] {
        let slot = RwLock::new(Some(Arc::new(Hpt::new(from).unwrap())));
        let old = slot.read().unwrap().clone().unwrap();
        let mut pages = Vec::new();
        for _ in 0..300 {
            let (base, actual, encoding) = sizes[random.below(6) as usize];
            let segment = if random.below(2) == 0 { 28 } else { 40 };
            let vsid = random.below(1 << 38);
            let offset = random.below(1 << segment) >> base << base;
            let second = random.below(4) == 0;
            let (index, h) = place(&old, segment, vsid, offset, base, second);
            let (h, l) = if actual == 0 { (h, PAGE) } else { (h | pteh::L, PAGE | encoding << 12) };
            let at = index + random.below(8);
            if old.enter(&ram, flag::EXACT, at, h | pteh::BOLTED, l).is_ok() {
                pages.push((segment, vsid, offset, base, second, at % 8, h | pteh::BOLTED, l));
            }
        }
        let mut resize = Resize::default();
        resize.prepare(0, to, 22).unwrap();
        assert_eq!(resize.commit(0, to, &slot), Ok(Flush::All));
        let new = slot.read().unwrap().clone().unwrap();
        assert!(old.is_retired() && !new.is_retired());
        assert_eq!((new.shift() as u64, new.count_valid()), (to, pages.len() as u64));
        for (segment, vsid, offset, base, second, n, h, l) in pages {
            let (index, _) = place(&new, segment, vsid, offset, base, second);
            assert_eq!(new.pair(index + n), (h, l), "{base} {segment}");
        }
    }
}

#[test]
fn resizing_when_entries_meet() {
    let ram = ram();
    // Groups 1 and 1 + 2^11 of the larger table are one in the smaller.
    for (first, second, result, left) in [
        (0, 0, Ok(Flush::All), avpn(0)),
        (0, pteh::BOLTED, Ok(Flush::All), avpn(1 << 6) | pteh::BOLTED),
        (pteh::BOLTED, 0, Ok(Flush::All), avpn(0) | pteh::BOLTED),
        (pteh::BOLTED, pteh::BOLTED, Err(HpteError::PtegFull), 0),
    ] {
        let slot = RwLock::new(Some(Arc::new(Hpt::new(19).unwrap())));
        let old = slot.read().unwrap().clone().unwrap();
        // Segment 0, page 1, and segment 2^11, page 1.
        let (a, h) = place(&old, 28, 0, 0x1000, 12, false);
        old.enter(&ram, flag::EXACT, a, h | first, PAGE).unwrap();
        let (b, h) = place(&old, 28, 1 << 11, 0x1000, 12, false);
        old.enter(&ram, flag::EXACT, b, h | second, PAGE).unwrap();
        assert_ne!(a, b);
        let mut resize = Resize::default();
        resize.prepare(0, 18, 22).unwrap();
        assert_eq!(resize.commit(0, 18, &slot), result);
        let now = slot.read().unwrap().clone().unwrap();
        if result.is_ok() {
            assert_eq!(now.count_valid(), 1);
            let expected = if left & !0x7f == 0 { left } else { (1 << 11) << 12 | pteh::BOLTED };
            assert_eq!(now.pair(8).0, expected | pteh::V);
        } else {
            assert!(Arc::ptr_eq(&now, &old) && !old.is_retired());
            assert_eq!(now.count_valid(), 2);
        }
    }
}

#[test]
fn resize_arguments() {
    let slot = RwLock::new(Some(Arc::new(table())));
    let mut r = Resize::default();
    assert_eq!(r.prepare(1, 18, 20), Err(HpteError::Parameter));
    assert_eq!(r.prepare(0, 17, 20), Err(HpteError::Parameter));
    assert_eq!(r.prepare(0, 47, 20), Err(HpteError::Parameter));
    assert_eq!(r.prepare(0, 1 << 32 | 19, 20), Err(HpteError::Parameter));
    assert_eq!(r.prepare(0, 21, 20), Err(HpteError::Resource));
    assert_eq!(r.commit(0, 19, &slot), Err(HpteError::Closed));
    r.prepare(0, 19, 20).unwrap();
    assert_eq!(r.commit(1, 19, &slot), Err(HpteError::Parameter));
    assert_eq!(r.commit(0, 20, &slot), Err(HpteError::Closed));
    r.prepare(0, 0, 20).unwrap();
    assert_eq!(r.commit(0, 19, &slot), Err(HpteError::Closed), "cancelled");
    r.prepare(0, 19, 20).unwrap();
    assert_eq!(r.commit(0, 19, &slot), Ok(Flush::All));
    assert_eq!(r.commit(0, 19, &slot), Err(HpteError::Closed), "used up");
}

/// Random calls on a few groups, beside a map that does the same in the plainest way.
#[test]
fn calls_agree_with_a_model() {
    let (ram, t) = (ram(), table());
    let mut model: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut random = Random(0x1234_5678_9abc_def1);
    for step in 0..200_000 {
        let index = random.below(32);
        let a = avpn(random.below(4));
        let flags = [0, flag::AVPN, flag::ANDCOND, flag::AVPN | flag::ANDCOND][random.below(4) as usize];
        match random.below(8) {
            0..=2 => {
                let h = a | if random.below(2) == 0 { pteh::BOLTED } else { 0 };
                let l = random.below(64) << 12 | ptel::M | random.below(8);
                let exact = random.below(2) == 0;
                let group = index & !7;
                let expected = if exact {
                    (!model.contains_key(&index)).then_some(index)
                } else {
                    (group..group + 8).find(|n| !model.contains_key(n))
                };
                let got = t.enter(&ram, if exact { flag::EXACT } else { 0 }, index, h, l);
                assert_eq!(got.ok(), expected, "{step}");
                if let Some(n) = expected {
                    model.insert(n, (h | 1, l));
                }
            }
            3 | 4 => {
                let meant = model.get(&index).is_some_and(|&(h, _)| {
                    (flags & flag::AVPN == 0 || h & !0x7f == a) && (flags & flag::ANDCOND == 0 || h & a == 0)
                });
                let got = t.remove(flags, index, a);
                if meant {
                    let (pteh, ptel) = model.remove(&index).unwrap();
                    assert_eq!(got, Ok(Removed { pteh, ptel, flush: Flush::None }), "{step}");
                } else {
                    assert_eq!(got, Err(HpteError::NotFound), "{step}");
                }
            }
            5 => {
                let bits = random.below(8);
                let meant = model.get_mut(&index).filter(|e| flags & flag::AVPN == 0 || e.0 & !0x7f == a);
                let got = t.protect(flags | bits, index, a);
                assert_eq!(got.is_ok(), meant.is_some(), "{step}");
                if let Some(e) = meant {
                    e.1 = e.1 & !7 | bits;
                }
            }
            6 => {
                let mut out = [0; 8];
                assert_eq!(t.read(flag::READ_4, index, &mut out), Ok(8));
                for n in 0..4 {
                    let expected = model.get(&((index & !3) + n)).copied().unwrap_or((0, 0));
                    assert_eq!((out[2 * n as usize], out[2 * n as usize + 1]), expected, "{step}");
                }
            }
            _ => {
                let mut args = [1 << 62 | index, 0, 1 << 62 | 2 << 56 | (index ^ 1), a];
                let mut expected = args;
                for (n, condition) in [(0, 0), (2, flag::AVPN)] {
                    let i = args[n] & 0xff;
                    let there = model.get(&i).is_some_and(|e| condition == 0 || e.0 & !0x7f == a);
                    if there {
                        model.remove(&i);
                    }
                    expected[n] ^= 3 << 62 | if there { 0 } else { 1 << 60 };
                }
                assert_eq!(t.bulk_remove(&mut args, |_| ()), Ok(()));
                assert_eq!(args, expected, "{step}");
            }
        }
    }
    assert_eq!(t.count_valid(), model.len() as u64);
}

/// Several threads on one group: every entry that was made is removed exactly once, whole, by somebody.
#[test]
fn threads_on_one_group() {
    const THREADS: u64 = 4;
    const TURNS: u64 = 60_000;
    let (ram, t) = (ram(), table());
    let sums: Vec<(u64, u64, u64)> = std::thread::scope(|s| {
        let run = |id: u64| {
            let (ram, t) = (&ram, &t);
            move || {
                let mut random = Random(id + 1);
                let (mut entered, mut removed, mut full) = (0u64, 0u64, 0u64);
                let mut took = |r: Removed| {
                    // Both halves carry the same number: never a mixture of two entries.
                    let number = r.ptel >> 12 & 0xfff;
                    assert_eq!(r.pteh >> 12 & 0xfff, number);
                    removed = removed.wrapping_add(number);
                };
                for _ in 0..TURNS {
                    let index = random.below(2);
                    match random.below(5) {
                        0 | 1 => {
                            let number = random.below(0xfff) + 1;
                            let exact = if random.below(2) == 0 { flag::EXACT } else { 0 };
                            match t.enter(ram, exact, index, number << 12, number << 12 | ptel::M) {
                                Ok(_) => entered = entered.wrapping_add(number),
                                Err(e) => {
                                    assert_eq!(e, HpteError::PtegFull);
                                    full += 1;
                                }
                            }
                        }
                        2 => {
                            if let Ok(r) = t.remove(0, index, 0) {
                                took(r);
                            }
                        }
                        3 => {
                            let _ = t.protect(random.below(8), index, 0);
                            let _ = t.clear_ref(index);
                        }
                        _ => {
                            let mut out = [0; 8];
                            t.read(flag::READ_4, index, &mut out).unwrap();
                            for e in out.chunks_exact(2).filter(|e| e[0] & 1 != 0) {
                                assert_eq!(e[0] >> 12 & 0xfff, e[1] >> 12 & 0xfff);
                                assert_eq!(e[0] & 0x60, 0);
                            }
                        }
                    }
                }
                (entered, removed, full)
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|id| s.spawn(run(id))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let mut left = 0u64;
    for index in 0..8 {
        if let Ok(r) = t.remove(0, index, 0) {
            left += r.ptel >> 12;
        }
    }
    let entered: u64 = sums.iter().map(|s| s.0).sum();
    let removed: u64 = sums.iter().map(|s| s.1).sum();
    assert_eq!(entered, removed + left);
    assert_eq!(t.count_valid(), 0);
}
