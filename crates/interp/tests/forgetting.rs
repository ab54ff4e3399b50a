//! What `tlbie`, `tlbiel` and `slbia` make a processor forget under a radix tree.

mod flat;

use std::sync::atomic::Ordering;

use arch::Cpu;
use arch::mmu::radix::entry;
use arch::mmu::tlbie::TlbInvalidate;
use arch::msr::{self, lpcr};
use flat::Flat;
use mem::{Access, TlbMode};

const SC1: u32 = 0x4400_0022;
const PROCESSES: u64 = 0x1_0000;
const ROOT: u64 = 0x2_0000;
const TABLES: u64 = 0x4_0000;
const PID: u64 = 5;
/// One page of the process, two of the kernel.
const USER: u64 = 0x80_1000_3000;
const KERNEL: u64 = 0xc000_0000_0000_6000;
const STACK: u64 = 0xc008_0000_0000_7000;
const LEAF: u64 = entry::VALID | entry::LEAF | entry::R | entry::C | entry::READ | entry::WRITE;

/// A page of 2 MiB, and one next to it: in the memory of 2 MiB there is, the same.
const LARGE: u64 = 0xc000_0000_4020_5000;
const NEXT: u64 = LARGE + 0x20_0000;

/// The leaf for the page of `ea` is `pte`, in a tree of levels of 13, 9, 9 and 9 bits.
fn map(f: &Flat, ea: u64, pte: u64) {
    map_at(f, ea, 12, pte);
}

/// The same for a page of `1 << size` bytes.
fn map_at(f: &Flat, ea: u64, size: u32, pte: u64) {
    let write = |at, v| f.cpu.sh.ram.write_u64_be(at, v).unwrap();
    // Each of the three pages has tables of its own.
    let mut table = TABLES + (ea >> 12 & 7) * 0x4000;
    let mut at = ROOT + (ea >> 39 & 0x1fff) * 8;
    for shift in [30, 21, 12] {
        write(at, entry::VALID | table | 9);
        at = table + (ea >> shift & 511) * 8;
        table += 0x1000;
        if shift == size {
            break;
        }
    }
    write(at, pte);
}

/// A processor whose TLB has all three pages.
fn filled(code: u32) -> Flat {
    let mut f = Flat::new("power9", &[code, SC1]);
    f.cpu.sh.lpcr.store(lpcr::HR | lpcr::UPRT, Ordering::Relaxed);
    f.cpu.sh.prtb.store(PROCESSES, Ordering::Relaxed);
    f.cpu.st.pidr = PID;
    for pid in [0, PID] {
        let root = 2 << 61 | 5 << 5 | ROOT | 13;
        f.cpu.sh.ram.write_u64_be(PROCESSES + pid * 16, root).unwrap();
    }
    map(&f, USER, LEAF | entry::PRIVILEGED | 0x8000);
    map(&f, KERNEL, LEAF | entry::PRIVILEGED | 0x9000);
    map(&f, STACK, LEAF | entry::PRIVILEGED | 0xa000);
    let real = f.cpu.st.msr;
    f.cpu.set_msr(real | msr::DR);
    for (ea, ra) in [(USER, 0x8000), (KERNEL, 0x9000), (STACK, 0xa000)] {
        assert_eq!(f.cpu.real_of(ea, Access::Write), Ok((ra, true)));
    }
    f.cpu.set_msr(real);
    f
}

/// Which of the three pages the TLB has after the instruction.
fn kept(mut f: Flat, rb: u64, rs: u64) -> [bool; 3] {
    (f.cpu.st.gpr[4], f.cpu.st.gpr[5]) = (rb, rs);
    f.run();
    [USER, KERNEL, STACK].map(|ea| f.cpu.tlb.load(TlbMode::Kernel, ea, 8).is_some())
}

/// `tlbie` or `tlbiel` with a radix tree, process-scoped, RB = r4 and RS = r5.
const fn tlb(global: bool, ric: u32) -> u32 {
    31 << 26 | 5 << 21 | ric << 18 | 3 << 16 | 4 << 11 | (if global { 306 } else { 274 }) << 1
}

const fn slbia(ih: u32) -> u32 {
    31 << 26 | ih << 21 | 498 << 1
}

const PROCESS: u64 = 1 << 10;
const CLASS: u64 = 1 << 12;

#[test]
fn all_is_in_the_first_congruence_class() {
    assert_eq!(kept(filled(tlb(false, 0)), PROCESS | CLASS, PID << 32), [true, true, true]);
    assert_eq!(kept(filled(tlb(true, 0)), PROCESS | CLASS, PID << 32), [false, true, true], "tlbie has none");
    assert_eq!(kept(filled(tlb(false, 2)), PROCESS, PID << 32), [false, true, true], "the first");
}

#[test]
fn a_radix_tree_has_no_segments() {
    for ih in [0, 3, 7] {
        assert_eq!(kept(filled(slbia(ih)), 0, 0), [true, true, true]);
        let f = filled(slbia(ih));
        f.cpu.sh.lpcr.store(0, Ordering::Relaxed);
        assert_eq!(kept(f, 0, 0), [false, false, false], "hashed");
    }
}

/// With the kernel's large pages in the TLB, too.
fn with_large(code: u32) -> Flat {
    let mut f = filled(code);
    let real = f.cpu.st.msr;
    for ea in [LARGE, NEXT] {
        map_at(&f, ea, 21, LEAF | entry::PRIVILEGED);
        f.cpu.set_msr(real | msr::DR);
        assert_eq!(f.cpu.real_of(ea, Access::Write), Ok((0x5000, true)));
        f.cpu.set_msr(real);
    }
    f
}

/// Where the kernel finds a page after the instruction without a look at the tables.
fn found(f: &Flat) -> [Option<u64>; 5] {
    [USER, KERNEL, STACK, LARGE, NEXT].map(|ea| f.cpu.tlb.real(TlbMode::Kernel, ea, Access::Read))
}

/// Process 0 is forgotten by one instruction, after `change`.
fn kernel_forgotten(rb: u64, pid: u64, change: impl Fn(&mut Flat)) -> Flat {
    let mut f = with_large(tlb(true, 0));
    change(&mut f);
    (f.cpu.st.gpr[4], f.cpu.st.gpr[5]) = (rb, pid << 32);
    f.run();
    f
}

/// `tlbie` of all processes.
const ALL: u64 = 2 << 10;

#[test]
fn large_pages_of_the_kernel_are_kept_as_long_as_the_tables_say_the_same() {
    let (user, large) = (Some(0x8000), Some(0x5000));
    let nothing = |_: &mut Flat| {};
    assert_eq!(found(&kernel_forgotten(PROCESS, 0, nothing)), [user, None, None, large, large]);
    assert_eq!(found(&kernel_forgotten(ALL, 0, nothing)), [None, None, None, large, large]);
    // Pages of quadrant 0 are process 0's while it runs.
    assert_eq!(found(&kernel_forgotten(PROCESS, 0, |f| f.cpu.st.pidr = 0)), [None, None, None, large, large]);
}

#[test]
fn large_pages_of_the_kernel_are_forgotten_when_the_tables_changed() {
    type Change = fn(&mut Flat);
    let changes: [(&str, Change); 6] = [
        ("gone", |f| map_at(f, NEXT, 21, 0)),
        ("fewer rights", |f| map_at(f, NEXT, 21, LEAF & !entry::WRITE | entry::PRIVILEGED)),
        ("small pages", |f| map(f, NEXT, LEAF | entry::PRIVILEGED | 0x5000)),
        ("elsewhere", |f| map_at(f, LARGE, 21, LEAF | entry::PRIVILEGED | 0x20_0000)),
        ("another tree", |f| f.cpu.sh.ram.write_u64_be(PROCESSES, 2 << 61 | 5 << 5 | 0x8_0000 | 13).unwrap()),
        ("another table of processes", |f| f.cpu.sh.prtb.store(0x8_0000, Ordering::Relaxed)),
    ];
    for (what, change) in changes {
        for (rb, user) in [(PROCESS, Some(0x8000)), (ALL, None)] {
            assert_eq!(found(&kernel_forgotten(rb, 0, change)), [user, None, None, None, None], "{what}");
        }
    }
}

#[test]
fn what_was_entered_of_a_page_before_it_changed_is_forgotten_even_if_it_changed_back() {
    let f = kernel_forgotten(PROCESS, 0, |f| {
        map_at(f, LARGE, 21, LEAF | entry::PRIVILEGED | entry::EXEC);
        let real = f.cpu.st.msr;
        f.cpu.set_msr(real | msr::DR);
        // Another of its pages: the first is still in the TLB.
        assert_eq!(f.cpu.real_of(LARGE + 0x1000, Access::Write), Ok((0x6000, true)));
        f.cpu.set_msr(real);
        map_at(f, LARGE, 21, LEAF | entry::PRIVILEGED);
    });
    assert_eq!(found(&f), [Some(0x8000), None, None, None, None]);
    assert_eq!(f.cpu.tlb.real(TlbMode::Kernel, LARGE + 0x1000, Access::Read), None);
}

#[test]
fn what_was_entered_while_a_table_had_another_shape_is_forgotten() {
    // 32 MiB pages, of a table of 32 entries where that of 512 is.
    const OTHER: u64 = LARGE - 0x20_0000 + (5 << 25);
    let tables = TABLES + (LARGE >> 12 & 7) * 0x4000;
    let (directory, table) = (tables + (LARGE >> 30 & 511) * 8, tables + 0x1000);
    let f = kernel_forgotten(PROCESS, 0, |f| {
        map_at(f, LARGE, 21, LEAF | entry::PRIVILEGED);
        let write = |f: &Flat, at, v| f.cpu.sh.ram.write_u64_be(at, v).unwrap();
        write(f, table + 5 * 8, LEAF | entry::PRIVILEGED);
        write(f, directory, entry::VALID | table | 5);
        let real = f.cpu.st.msr;
        f.cpu.set_msr(real | msr::DR);
        assert_eq!(f.cpu.real_of(OTHER, Access::Write), Ok((0x5000, true)));
        f.cpu.set_msr(real);
        write(f, directory, entry::VALID | table | 9);
    });
    assert_eq!(f.cpu.tlb.real(TlbMode::Kernel, OTHER, Access::Read), None);
}

#[test]
fn invalidations_of_a_large_page_or_of_another_process_do_as_they_say() {
    let small = [Some(0x8000), Some(0x9000), Some(0xa000)];
    let of_2m = 1 << 5;
    let f = kernel_forgotten(LARGE >> 21 << 21 | of_2m, 0, |_| {});
    assert_eq!(found(&f), [small[0], small[1], small[2], None, Some(0x5000)]);
    let f = kernel_forgotten(PROCESS, PID, |_| {});
    assert_eq!(found(&f), [None, small[1], small[2], Some(0x5000), Some(0x5000)]);
}

/// What another processor, whose TLB had all three pages, has left of them when it enters the guest again after `meanwhile`.
fn left_to_another(meanwhile: impl FnOnce(&mut Cpu, &mut Cpu)) -> [bool; 3] {
    let mut f = filled(SC1);
    let mut other = f.another();
    other.st.pidr = PID;
    let real = other.st.msr;
    let fill = |c: &mut Cpu| {
        c.enter_guest();
        c.take_events();
        c.set_msr(real | msr::DR);
        for (ea, ra) in [(USER, 0x8000), (KERNEL, 0x9000), (STACK, 0xa000)] {
            assert_eq!(c.real_of(ea, Access::Write), Ok((ra, true)));
        }
        c.set_msr(real);
        c.leave_guest();
    };
    fill(&mut other);
    meanwhile(&mut f.cpu, &mut other);
    other.enter_guest();
    assert_eq!(other.take_events(), None);
    [USER, KERNEL, STACK].map(|ea| other.tlb.load(TlbMode::Kernel, ea, 8).is_some())
}

#[test]
fn who_was_out_of_the_guest_drops_what_was_invalidated_meanwhile() {
    let page = |ea, pid| TlbInvalidate::Page { ea, shift: 12, pid };
    let far = |n: u64| page(USER + (n << 20), PID);
    assert_eq!(left_to_another(|_, _| {}), [true; 3]);
    assert_eq!(left_to_another(|c, _| c.shoot_down_named(page(USER, PID))), [false, true, true]);
    assert_eq!(left_to_another(|c, _| c.shoot_down_named(page(KERNEL, 0))), [true, false, true]);
    assert_eq!(
        left_to_another(|c, _| (1..30).for_each(|n| c.shoot_down_named(far(n)))),
        [true; 3],
        "told one by one"
    );
    assert_eq!(
        left_to_another(|c, _| (0..300).for_each(|n| c.shoot_down_named(far(n)))),
        [false, true, true]
    );
    let many = |c: &mut Cpu, _: &mut Cpu| (0..10_000).for_each(|n| c.shoot_down_named(far(n)));
    assert_eq!(left_to_another(many), [false; 3], "more than anybody remembers");
    assert_eq!(left_to_another(|c, _| c.shoot_down_writers()), [false; 3]);
    assert_eq!(left_to_another(|c, _| c.shoot_down_others()), [false; 3]);
}

#[test]
fn who_has_others_drop_something_still_drops_what_others_wanted_before() {
    let page = |ea, pid| TlbInvalidate::Page { ea, shift: 12, pid };
    let both = |c: &mut Cpu, other: &mut Cpu| {
        c.shoot_down_named(page(USER, PID));
        // It was asked to drop the page, has not done so yet, and asks for something itself.
        other.shoot_down_named(page(STACK + 0x1000, 0));
        other.leave_guest();
    };
    assert_eq!(left_to_another(both), [false, true, true]);
}
