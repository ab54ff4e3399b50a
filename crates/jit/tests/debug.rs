//! Watchpoints and breakpoints, the same in both engines.

mod pair;

use arch::debug::dawrx::{DR, DW, MRD_SHIFT, PRIVILEGED, PROBLEM, WT, WTI};
use arch::msr::{self, dsisr};
use pair::{Pair, SC1};

const AT: u64 = 0x2000;
const ANY: u64 = PRIVILEGED | PROBLEM | WTI;

fn addi(rt: u32, ra: u32, si: i16) -> u32 {
    14 << 26 | rt << 21 | ra << 16 | si as u16 as u32
}
fn d(op: u32, rt: u32, ra: u32, at: i16) -> u32 {
    op << 26 | rt << 21 | ra << 16 | at as u16 as u32
}
fn x(xo: u32, rt: u32, ra: u32, rb: u32) -> u32 {
    31 << 26 | rt << 21 | ra << 16 | rb << 11 | xo << 1
}

/// Runs `access` with r5 = `base`; whether it was stopped by a watchpoint at 0x8010, and where and how.
fn stopped(le: bool, base: u64, control: u64, msr: u64, access: u32) -> Option<(u64, u64)> {
    let mut p = Pair::new("power10", le);
    p.both(|c| {
        c.set_msr(c.st.msr | msr | msr::VEC | msr::VSX | msr::FP);
        (c.st.gpr[5], c.st.gpr[6]) = (base, 0);
        c.set_watchpoint(0, 0x8010, control);
        (c.st.dar, c.st.dsisr) = (0, 0);
    });
    // The page is used before, in the ways that do not match.
    p.load(AT, &[d(36, 3, 5, 0x100), d(32, 4, 5, 0x100), access, SC1]);
    let differences = p.run(1000).unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    match p.a.st.nia {
        0x304 => {
            assert_eq!((p.a.st.srr0, p.a.st.srr1 & 0x783f_0000), (AT + 8, 0));
            Some((p.a.st.dar, p.a.st.dsisr as u64))
        }
        0x2010 => None,
        other => panic!("at {other:#x}"),
    }
}

#[test]
fn accesses_that_match() {
    let (read, write) = (dsisr::DAWR, dsisr::DAWR | dsisr::STORE);
    let three = 2 << MRD_SHIFT;
    let no = None;
    for (base, control, access, want) in [
        (0x8010, ANY | DR, d(32, 7, 5, 0), Some((0x8010, read))),
        (0x8010, ANY | DR, d(36, 7, 5, 0), no),
        (0x8010, ANY | DW, d(36, 7, 5, 0), Some((0x8010, write))),
        (0x8010, ANY | DW, d(32, 7, 5, 0), no),
        (0x8017, ANY | DW, d(38, 7, 5, 0), Some((0x8017, write))),
        (0x8018, ANY | DW, d(38, 7, 5, 0), no),
        (0x800f, ANY | DW, d(38, 7, 5, 0), no),
        (0x800e, ANY | DW, d(36, 7, 5, 0), Some((0x800e, write))),
        (0x8027, ANY | DW | three, d(38, 7, 5, 0), Some((0x8027, write))),
        (0x8028, ANY | DW | three, d(38, 7, 5, 0), no),
        (0x8010, PROBLEM | WTI | DW, d(36, 7, 5, 0), no),
        (0x8010, PRIVILEGED | WT | DW, d(36, 7, 5, 0), no),
        (0x8010, PRIVILEGED | DW, d(36, 7, 5, 0), Some((0x8010, write))),
        (0x8010, ANY, d(36, 7, 5, 0), no),
        // lvx and stvx, lxvd2x, ldarx and stdcx., dcbz, lmw, lwbrx
        (0x8010, ANY | DR, x(103, 7, 6, 5), Some((0x8010, read))),
        (0x8000, ANY | DR, x(103, 7, 6, 5), no),
        (0x8010, ANY | DW, x(231, 7, 6, 5), Some((0x8010, write))),
        (0x8008, ANY | DR, x(844, 7, 6, 5), Some((0x8008, read))),
        (0x8010, ANY | DR, x(84, 7, 6, 5), Some((0x8010, read))),
        (0x8010, ANY | DW, x(214, 7, 6, 5) | 1, Some((0x8010, write))),
        (0x8020, ANY | DW, x(1014, 0, 6, 5), Some((0x8000, write))),
        (0x8010, ANY | DR, x(1014, 0, 6, 5), no),
        (0x8010, ANY | DR, x(534, 7, 6, 5), Some((0x8010, read))),
    ] {
        for le in [false, true] {
            assert_eq!(stopped(le, base, control, 0, access), want, "{base:#x} {control:#x} {access:#x}");
        }
    }
}

#[test]
fn a_watched_store_does_nothing() {
    let mut p = Pair::new("power8", true);
    p.both(|c| {
        (c.st.gpr[5], c.st.gpr[7]) = (0x8ffc, u64::MAX);
        c.set_watchpoint(0, 0x9000, ANY | DW);
    });
    // std across pages
    p.load(AT, &[d(62, 7, 5, 0), SC1]);
    assert_eq!(p.run(100).unwrap(), Vec::<String>::new());
    assert_eq!((p.a.st.nia, p.a.sh.ram.load_le(0x8ffc, 8).unwrap()), (0x304, 0));
}

#[test]
fn unarmed_it_is_gone() {
    let mut p = Pair::new("power8", true);
    p.both(|c| {
        c.st.gpr[5] = 0x8010;
        c.set_watchpoint(0, 0x8010, ANY | DW | DR);
        c.set_watchpoint(0, 0, 0);
    });
    p.load(AT, &[d(36, 7, 5, 0), d(32, 7, 5, 0), SC1]);
    assert_eq!(p.run(100).unwrap(), Vec::<String>::new());
    assert_eq!(p.a.st.nia, AT + 12);
}

#[test]
fn a_started_processor_has_nothing_armed() {
    let mut p = Pair::new("power10", true);
    p.both(|c| {
        c.st.gpr[5] = 0x8010;
        c.set_watchpoint(0, 0x8010, ANY | DW | DR);
        c.set_watchpoint(1, 0x8010, ANY | DW | DR);
        c.set_ciabr(AT + 4 | 2);
        c.monitors_off();
    });
    // stw, lwz; mfspr r8,MMCR0
    p.load(AT, &[d(36, 7, 5, 0), d(32, 7, 5, 0), 0x7d0b_c2a6 | (795 & 31) << 16, SC1]);
    p.b.st.gpr[8] = 0;
    assert_eq!(p.run(100).unwrap(), Vec::<String>::new());
    assert_eq!((p.a.st.nia, p.a.st.gpr[8]), (AT + 16, 0x8000_0000));
}

#[test]
fn the_second_watchpoint_of_power10() {
    let mut p = Pair::new("power10", true);
    p.both(|c| {
        c.st.gpr[5] = 0x9010;
        c.set_watchpoint(0, 0x8010, ANY | DW);
        c.set_watchpoint(1, 0x9010, ANY | DW);
    });
    p.load(AT, &[d(36, 7, 5, 0), SC1]);
    assert_eq!(p.run(100).unwrap(), Vec::<String>::new());
    assert_eq!((p.a.st.nia, p.a.st.dar), (0x304, 0x9010));
}

#[test]
fn a_breakpoint_interrupts_behind_its_instruction() {
    // A loop; the breakpoint is at its second instruction, for privileged state or for problem state.
    for (ciabr, state, hit) in [
        (AT + 4 + 2, 0, true),
        (AT + 4 + 1, 0, false),
        (AT + 4 + 1, msr::PR, true),
        (AT + 4 + 2, msr::PR, false),
        (AT + 4 + 3, 0, false),
        (AT + 4, 0, false),
        (AT + 0x400 + 2, 0, false),
    ] {
        let mut p = Pair::new("power9", true);
        p.both(|c| {
            c.set_msr(c.st.msr | state);
            c.st.gpr[4] = 0;
            c.set_ciabr(ciabr);
        });
        p.load(
            AT,
            &[addi(3, 0, 1), addi(4, 4, 2), addi(5, 0, 3), if state == 0 { SC1 } else { 0x4400_0002 }],
        );
        assert_eq!(p.run(100).unwrap(), Vec::<String>::new());
        if hit {
            assert_eq!((p.a.st.nia, p.a.st.srr0, p.a.st.gpr[4]), (0xd04, AT + 8, 2));
            assert_eq!(p.a.st.srr1 & 0x783f_0000, 1 << 30 | 1 << 20);
        } else {
            assert_eq!(p.a.st.nia, if state == 0 { AT + 16 } else { 0xc04 });
        }
    }
}

#[test]
fn a_breakpoint_is_met_in_a_loop_that_was_translated_before() {
    let mut p = Pair::new("power9", true);
    let body = [addi(3, 3, 1), addi(4, 4, 1), 0x4200_fff8, SC1];
    p.both(|c| c.st.ctr = 1000);
    p.load(AT, &body);
    assert_eq!(p.run(100_000).unwrap(), Vec::<String>::new());
    p.both(|c| {
        (c.st.nia, c.st.ctr, c.st.gpr[3]) = (AT, 1000, 0);
        c.set_ciabr(AT + 2);
    });
    assert_eq!(p.run(100_000).unwrap(), Vec::<String>::new());
    assert_eq!((p.a.st.nia, p.a.st.srr0, p.a.st.gpr[3]), (0xd04, AT + 4, 1));
}
