//! Radix trees.

use super::*;
use crate::mmu::radix::entry;

const TABLE: u64 = 0x1_0000;
const ROOT: u64 = 0x2_0000;

/// A machine whose process table has `root` for every one of its first 16 processes.
fn machine(root: u64) -> Machine {
    let m = Machine::new(Level::V3_0, msr::lpcr::HR | msr::lpcr::UPRT);
    m.sh.prtb.store(TABLE, Ordering::Relaxed);
    for pid in 0..16 {
        m.sh.ram.write_u64_be(TABLE + pid * 16, root).unwrap();
    }
    m
}

/// First doubleword of a process table entry: `rts` is the effective address size minus 31.
fn root(rts: u64, at: u64, bits: u64) -> u64 {
    (rts >> 3) << 61 | (rts & 7) << 5 | at | bits
}

/// The tree Linux makes: 52 bits, levels of 13, 9, 9 and 9.
fn linux() -> Machine {
    machine(root(21, ROOT, 13))
}

/// Map the page of `ea` at `level` (0: 4 KiB, 1: 2 MiB, 2: 1 GiB) in the tree of `linux()`; `leaf` as it stands in the
/// table. Returns the leaf's address.
fn map(m: &Machine, ea: u64, level: u64, leaf: u64) -> u64 {
    let ram = &m.sh.ram;
    let mut at = ROOT + (ea >> 39 & 0x1fff) * 8;
    for (n, shift) in [(2, 30), (1, 21), (0, 12)] {
        let table = 0x10_0000 + n * 0x1000;
        ram.write_u64_be(at, entry::VALID | table | 9).unwrap();
        at = table + (ea >> shift & 511) * 8;
        if n == level {
            ram.write_u64_be(at, leaf).unwrap();
            return at;
        }
    }
    unreachable!()
}

const LEAF: u64 = entry::VALID | entry::LEAF;
const RWX: u64 = entry::READ | entry::WRITE | entry::EXEC;

#[test]
fn every_page_size() {
    let mut m = linux();
    let ea = 0xc00c_1234_5678_9abc;
    for (level, shift) in [(0, 12), (1, 21), (2, 30)] {
        let page = (1u64 << shift) - 1;
        let ra = 0x0012_3456_c000_0000u64;
        map(&m, ea, level, LEAF | ra | entry::R | entry::C | entry::READ | entry::WRITE);
        let t = m.go(ea, Access::Read).unwrap();
        assert_eq!(
            t,
            Translation {
                ra: ra | (ea & page),
                page_shift: shift,
                read: true,
                write: true,
                exec: false,
                ci: false,
                key: Some(0),
                large: level > 0,
            }
        );
    }
}

#[test]
fn the_small_geometry_with_64k_pages() {
    let mut m = linux();
    let at = map(&m, 0x12_3456, 0, 0);
    // The last directory level points to a table of 32 entries.
    let table = 0x20_0000;
    m.sh.ram.write_u64_be(0x10_1000, entry::VALID | table | 5).unwrap();
    m.sh.ram.write_u64_be(at, 0).unwrap();
    m.sh.ram.write_u64_be(table + (0x12_3456 >> 16) * 8, LEAF | 0x7_0000 | RWX).unwrap();
    let t = m.go(0x12_3456, Access::Exec).unwrap();
    assert_eq!((t.ra, t.page_shift), (0x7_3456, 16));
}

#[test]
fn other_geometries_work_and_impossible_ones_are_refused() {
    // 40 bits as 16 and 12.
    let mut m = machine(root(9, ROOT & !0x7_ffff | 0x8_0000, 16));
    m.sh.ram.write_u64_be(0x8_0000 + 8, entry::VALID | 0x20_0000 | 12).unwrap();
    m.sh.ram.write_u64_be(0x20_0000 + 2 * 8, LEAF | 0x5000 | RWX).unwrap();
    assert_eq!(m.go(0x100_2123, Access::Read).unwrap().ra, 0x5123);
    m.segment(1 << 40);
    for bits in [1, 4, 13] {
        m.sh.ram.write_u64_be(0x8_0000 + 8, entry::VALID | 0x20_0000 | bits).unwrap();
        assert_eq!(m.dsi(0x100_2123, Access::Write), 0x0208_0000, "{bits}");
        assert_eq!(m.isi(0x100_2123), 0x0008_0000);
    }
    // A directory that takes all bits but those of a page, then another.
    m.sh.ram.write_u64_be(0x8_0000 + 8, entry::VALID | 0x20_0000 | 12).unwrap();
    m.sh.ram.write_u64_be(0x20_0000 + 2 * 8, entry::VALID | 0x20_0000 | 5).unwrap();
    assert_eq!(m.dsi(0x100_2123, Access::Read), 0x0008_0000);
}

#[test]
fn a_table_is_aligned_to_its_size() {
    let mut m = machine(root(21, ROOT | 0xff00, 13));
    let at = map(&m, 0x12_3456, 1, 0);
    m.sh.ram.write_u64_be(at, entry::VALID | 0x30_0f00 | 9).unwrap();
    m.sh.ram.write_u64_be(0x30_0000 + 0x123 * 8, LEAF | 0x5000 | RWX).unwrap();
    assert_eq!(m.go(0x12_3456, Access::Read).unwrap().ra, 0x5456);
}

#[test]
fn quadrants_and_sizes() {
    let mut m = linux();
    m.segment(0x4000_0000_0000_0000);
    m.segment(0xbfff_ffff_ffff_ffff);
    m.segment(0x0010_0000_0000_0000);
    m.segment(0xe000_0000_0000_0000);
    m.segment(u64::MAX);
    assert_eq!(m.dsi(0x000f_ffff_ffff_ffff, Access::Read), 0x4000_0000);
}

#[test]
fn processes_have_their_own_trees_and_share_the_kernels() {
    let mut m = linux();
    map(&m, 0, 0, LEAF | 0x5000 | RWX);
    m.sh.ram.write_u64_be(TABLE + 16, root(21, 0x4_0000, 13)).unwrap();
    m.st.pidr = 1;
    assert_eq!(m.dsi(0, Access::Read), 0x4000_0000);
    assert_eq!(m.go(0xc000_0000_0000_0000, Access::Read).unwrap().ra, 0x5000);
    m.st.pidr = 2;
    assert_eq!(m.go(0, Access::Read).unwrap().ra, 0x5000);
    // Entry not made, entry behind the table's end (256 of them).
    m.st.pidr = 17;
    assert_eq!(m.dsi(0, Access::Write), 0x4200_0000);
    m.sh.ram.write_u64_be(TABLE + 256 * 16, root(21, ROOT, 13)).unwrap();
    m.st.pidr = 256;
    assert_eq!(m.isi(0), 0x4000_0000);
    m.sh.prtb.store(TABLE | 1, Ordering::Relaxed);
    assert!(m.go(0, Access::Exec).is_ok());
    m.st.pidr = u64::MAX;
    assert_eq!(m.isi(0), 0x4000_0000);
}

#[test]
fn tables_outside_memory() {
    let mut m = linux();
    map(&m, 0, 1, entry::VALID | 0x0fff_ffff_ffff_f000 | 9);
    assert_eq!(m.dsi(0, Access::Read), 0x4002_0000);
    assert_eq!(m.dsi(0, Access::Write), 0x4202_0000);
    assert_eq!(m.isi(0), 0x4002_0000);
    m.sh.ram.write_u64_be(TABLE, root(21, 16 << 20, 13)).unwrap();
    assert_eq!(m.dsi(0, Access::Read), 0x4002_0000);
    m.sh.prtb.store((16 << 20) - 0x1000 | 31, Ordering::Relaxed);
    m.st.pidr = 256;
    assert_eq!(m.dsi(0, Access::Read), 0x4002_0000);
}

#[test]
fn rights() {
    let mut m = linux();
    let ea = 0x1000;
    // rights, problem state: what is allowed of read, write, fetch
    let cases = [
        (0, false, [false, false, false]),
        (entry::READ, false, [true, false, false]),
        (entry::WRITE, false, [true, true, false]),
        (entry::EXEC, false, [false, false, true]),
        (RWX, false, [true, true, true]),
        (RWX, true, [true, true, true]),
        (entry::READ | entry::EXEC, true, [true, false, true]),
        (RWX | entry::PRIVILEGED, false, [true, true, true]),
        (RWX | entry::PRIVILEGED, true, [false, false, false]),
    ];
    for (bits, problem, allowed) in cases {
        m.problem_state(problem);
        map(&m, ea, 0, LEAF | 0x5000 | bits);
        assert_eq!(m.go(ea, Access::Read).is_ok(), allowed[0], "{bits:#x}");
        assert_eq!(m.go(ea, Access::Write).is_ok(), allowed[1], "{bits:#x}");
        let fetched = m.go(ea, Access::Exec);
        assert_eq!(fetched.is_ok(), allowed[2], "{bits:#x}");
        for access in [Access::Read, Access::Write, Access::Exec] {
            if let Ok(t) = m.go(ea, access) {
                assert_eq!([t.read, t.write, t.exec], allowed, "{bits:#x}");
            }
        }
        if !allowed[0] {
            assert_eq!(m.dsi(ea, Access::Read), 0x0800_0000);
        }
        if !allowed[1] {
            assert_eq!(m.dsi(ea, Access::Write), 0x0a00_0000);
        }
        if !allowed[2] {
            assert_eq!(m.isi(ea), 0x1000_0000);
        }
    }
}

#[test]
fn a_refused_access_leaves_reference_and_change_alone() {
    let mut m = linux();
    let leaf = LEAF | 0x5000 | entry::READ;
    let at = map(&m, 0x1000, 0, leaf);
    assert_eq!(m.dsi(0x1000, Access::Write), 0x0a00_0000);
    assert_eq!(m.isi(0x1000), 0x1000_0000);
    assert_eq!(m.sh.ram.read_u64_be(at), Ok(leaf));
}

#[test]
fn reference_and_change_are_set() {
    let mut m = linux();
    let leaf = LEAF | 0x5000 | RWX;
    let at = map(&m, 0x1000, 0, leaf);
    let t = m.go(0x1000, Access::Exec).unwrap();
    assert!(t.read && t.exec && !t.write, "no store may pass before the change bit is set");
    assert_eq!(m.sh.ram.read_u64_be(at), Ok(leaf | entry::R));
    assert!(!m.go(0x1000, Access::Read).unwrap().write);
    assert!(m.go(0x1000, Access::Write).unwrap().write);
    assert_eq!(m.sh.ram.read_u64_be(at), Ok(leaf | entry::R | entry::C));
    assert!(m.go(0x1000, Access::Read).unwrap().write);
}

#[test]
fn key_0_guards_problem_state_pages_from_the_kernel() {
    let mut m = linux();
    let ea = 0x1000;
    map(&m, ea, 0, LEAF | 0x5000 | RWX | entry::C);
    m.st.amr = 3 << 62;
    m.st.iamr = 1 << 62;
    assert_eq!(m.dsi(ea, Access::Read), 0x0800_0000);
    assert_eq!(m.dsi(ea, Access::Write), 0x0a00_0000);
    assert_eq!(m.isi(ea), 0x1000_0000);
    m.st.amr = 2 << 62;
    let t = m.go(ea, Access::Read).unwrap();
    assert_eq!((t.read, t.write, t.exec, t.key), (true, false, false, Some(0)));
    m.st.amr = !(3 << 62);
    m.st.iamr = !(1 << 62);
    let t = m.go(ea, Access::Write).unwrap();
    assert_eq!((t.read, t.write, t.exec, t.key), (true, true, true, Some(0)));
    // Neither problem state nor the kernel's own pages are concerned.
    m.st.amr = u64::MAX;
    m.st.iamr = u64::MAX;
    m.problem_state(true);
    let t = m.go(ea, Access::Write).unwrap();
    assert_eq!((t.read, t.write, t.exec, t.key), (true, true, true, None));
    m.problem_state(false);
    map(&m, ea, 0, LEAF | 0x5000 | RWX | entry::PRIVILEGED);
    let t = m.go(ea, Access::Write).unwrap();
    assert_eq!((t.read, t.write, t.exec, t.key), (true, true, true, None));
}

#[test]
fn storage_attributes() {
    let mut m = linux();
    // normal, strong order, non-idempotent I/O, tolerant I/O
    for (att, ci, fetch) in [(0, false, true), (0x10, false, true), (0x20, true, false), (0x30, true, true)] {
        map(&m, 0x1000, 0, LEAF | 0x0006_0000_0000_5000 | RWX | att);
        let t = m.go(0x1008, Access::Write).unwrap();
        assert_eq!((t.ra, t.ci, t.exec), (0x0006_0000_0000_5008, ci, fetch));
        if fetch {
            assert!(m.go(0x1000, Access::Exec).is_ok());
        } else {
            assert_eq!(m.isi(0x1000), 0x1000_0000);
        }
    }
}

#[test]
fn processors_racing_for_one_entry_lose_no_bit() {
    let m = linux();
    let at = map(&m, 0x1000, 0, LEAF | 0x5000 | RWX);
    let leaf = LEAF | 0x5000 | RWX;
    let walking = AtomicU64::new(2);
    std::thread::scope(|s| {
        for access in [Access::Read, Access::Write] {
            let (m, walking) = (&m, &walking);
            s.spawn(move || {
                let mut cache = MmuCache::new(0);
                let mut lost = 0;
                for _ in 0..20_000 {
                    if let Err(f) = translate(&m.st, &m.sh, &mut cache, 0x1000, access) {
                        // Lost every race of one call: allowed, and named so.
                        let store = if access == Access::Write { 0x0200_0000 } else { 0 };
                        assert_eq!(f.dsisr, Some(0x0004_0000 | store));
                        lost += 1;
                    }
                }
                walking.fetch_sub(1, Ordering::SeqCst);
                assert!(lost < 20_000);
            });
        }
        // A guest that clears the bits and checks that nothing else ever changes.
        while walking.load(Ordering::SeqCst) > 0 {
            let now = m.sh.ram.read_u64_be(at).unwrap();
            assert_eq!(now & !(entry::R | entry::C), leaf);
            let _ = m.sh.ram.cas_le(at, now.swap_bytes(), leaf.swap_bytes(), 8);
        }
    });
}
