//! What `tlbie`, `tlbiel` and `slbia` make a processor forget under a radix tree.

mod flat;

use std::sync::atomic::Ordering;

use arch::mmu::radix::entry;
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

/// The leaf for the page of `ea` is `pte`, in a tree of levels of 13, 9, 9 and 9 bits.
fn map(f: &Flat, ea: u64, pte: u64) {
    let write = |at, v| f.cpu.sh.ram.write_u64_be(at, v).unwrap();
    // Each of the three pages has tables of its own.
    let mut table = TABLES + (ea >> 12 & 7) * 0x4000;
    let mut at = ROOT + (ea >> 39 & 0x1fff) * 8;
    for shift in [30, 21, 12] {
        write(at, entry::VALID | table | 9);
        at = table + (ea >> shift & 511) * 8;
        table += 0x1000;
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
