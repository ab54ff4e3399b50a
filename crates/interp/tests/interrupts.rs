//! What each interrupt leaves in SRR0, SRR1, DAR and DSISR, case by case (Power ISA 3.1 Book III, 7.5).

mod flat;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::hpt::Hpt;
use arch::msr::{self, lpcr};
use arch::shared::event;
use flat::Flat;

const AT: u64 = 0x1000;
const SC1: u32 = 0x4400_0022;
/// What of SRR1 an interrupt sets itself.
const OWN: u64 = 0x783f_0000;
/// What DAR and DSISR hold before; an interrupt that does not define one leaves it alone.
const KEPT: u64 = 0x1122_3344;

/// One cause.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    model: &'static str,
    /// Instructions from [`AT`] on.
    code: &'static [u32],
    /// MSR bits besides SF and ME, and those of them to be off.
    msr: u64,
    /// Registers before.
    gpr: &'static [(usize, u64)],
    /// Events posted.
    events: u32,
    vector: u64,
    srr0: u64,
    srr1: u64,
    dar: u64,
    dsisr: u64,
}

const BASE: Case = Case {
    name: "",
    model: "power10",
    code: &[],
    msr: 0,
    gpr: &[],
    events: 0,
    vector: 0,
    srr0: AT,
    srr1: 0,
    dar: KEPT,
    dsisr: KEPT,
};

const NOP: u32 = 0x6000_0000;
const ILLEGAL: u64 = 1 << 19;
const PRIVILEGED: u64 = 1 << 18;
const TRAP: u64 = 1 << 17;
const PREFIXED: u64 = 1 << 29;
const STORE: u64 = 1 << 25;
const MISSING: u64 = 1 << 30;
/// An address of which there is no segment, and one whose segment is in the SLB but whose page is in no table.
const NO_SEGMENT: u64 = 0x5000_0000;
const NO_PAGE: u64 = 0x1_0010;

const CASES: &[Case] = &[
    Case { name: "illegal", code: &[0], vector: 0x700, srr1: ILLEGAL, ..BASE },
    Case {
        name: "privileged mfmsr",
        code: &[0x7c60_00a6],
        msr: msr::PR,
        vector: 0x700,
        srr1: PRIVILEGED,
        ..BASE
    },
    Case {
        name: "mfspr of SRR0 by a program",
        code: &[0x7c7a_02a6],
        msr: msr::PR,
        vector: 0x700,
        srr1: PRIVILEGED,
        ..BASE
    },
    Case {
        name: "mfspr of nothing by a program",
        code: &[0x7c60_a2a6],
        msr: msr::PR,
        vector: 0x700,
        srr1: ILLEGAL,
        ..BASE
    },
    Case { name: "hypervisor's instruction", code: &[0x4c00_0224], vector: 0x700, srr1: PRIVILEGED, ..BASE },
    Case { name: "trap", code: &[0x7fe0_0008], vector: 0x700, srr1: TRAP, ..BASE },
    Case {
        name: "newer than the model",
        model: "power8",
        code: &[0x7c60_05e6],
        vector: 0x700,
        srr1: ILLEGAL,
        ..BASE
    },
    Case {
        name: "prefixed, newer than the model",
        model: "power9",
        code: &[0x0600_0000, 0x3860_0001],
        vector: 0x700,
        srr1: ILLEGAL,
        ..BASE
    },
    Case { name: "transaction on POWER10", code: &[0x7c00_051d], vector: 0x700, srr1: ILLEGAL, ..BASE },
    Case { name: "transaction on POWER9", model: "power9", code: &[0x7c00_051d], vector: 0xf60, ..BASE },
    Case {
        name: "transaction on POWER8",
        model: "power8",
        code: &[0x7c00_051d],
        msr: msr::PR,
        vector: 0xf60,
        ..BASE
    },
    Case {
        name: "transaction on POWER7",
        model: "power7",
        code: &[0x7c00_051d],
        vector: 0x700,
        srr1: ILLEGAL,
        ..BASE
    },
    Case { name: "TAR not enabled", code: &[0x7c6f_caa6], msr: msr::PR, vector: 0xf60, ..BASE },
    Case {
        name: "TAR on POWER7",
        model: "power7",
        code: &[0x7c6f_caa6],
        msr: msr::PR,
        vector: 0x700,
        srr1: ILLEGAL,
        ..BASE
    },
    Case { name: "scv not enabled", code: &[0x4400_0001], msr: msr::PR, vector: 0xf60, ..BASE },
    Case {
        name: "scv before POWER9",
        model: "power8",
        code: &[0x4400_0001],
        msr: msr::PR,
        vector: 0x700,
        srr1: ILLEGAL,
        ..BASE
    },
    Case { name: "floating point off", code: &[0xfc22_182a], vector: 0x800, ..BASE },
    Case { name: "vector off", code: &[0x1022_1800], vector: 0xf20, ..BASE },
    Case { name: "VSX off", code: &[0xf022_1900], vector: 0xf40, ..BASE },
    Case {
        name: "prefixed with floating point off",
        code: &[0x0600_0000, 0xc822_0000],
        vector: 0x800,
        srr1: PREFIXED,
        ..BASE
    },
    Case {
        name: "system call",
        code: &[0x4400_0002],
        msr: msr::PR | msr::EE,
        vector: 0xc00,
        srr0: AT + 4,
        ..BASE
    },
    Case {
        name: "larx not aligned",
        code: &[0x7c60_2028],
        gpr: &[(4, 0x8001)],
        vector: 0x600,
        dar: 0x8001,
        ..BASE
    },
    Case {
        name: "stqcx. not aligned",
        code: &[0x7c80_296d],
        gpr: &[(5, 0x8008)],
        vector: 0x600,
        dar: 0x8008,
        ..BASE
    },
    Case {
        name: "copy not aligned",
        code: &[0x7c20_260c],
        gpr: &[(4, 0x8010)],
        vector: 0x600,
        dar: 0x8010,
        ..BASE
    },
    Case {
        name: "load of multiple in little-endian mode",
        code: &[0xb864_0000],
        msr: msr::LE,
        gpr: &[(4, 0x8000)],
        vector: 0x600,
        dar: 0x8000,
        ..BASE
    },
    Case {
        name: "no segment, load",
        code: &[0x8064_0000],
        msr: msr::DR,
        gpr: &[(4, NO_SEGMENT)],
        vector: 0x380,
        dar: NO_SEGMENT,
        ..BASE
    },
    Case {
        name: "no segment, store",
        code: &[0x9064_0000],
        msr: msr::DR,
        gpr: &[(4, NO_SEGMENT)],
        vector: 0x380,
        dar: NO_SEGMENT,
        ..BASE
    },
    Case {
        name: "no segment, prefixed load",
        code: &[0x0600_0000, 0x8064_0000],
        msr: msr::DR,
        gpr: &[(4, NO_SEGMENT)],
        vector: 0x380,
        srr1: PREFIXED,
        dar: NO_SEGMENT,
        ..BASE
    },
    Case { name: "no segment, fetch", code: &[NOP], msr: msr::IR, vector: 0x480, ..BASE },
    Case {
        name: "no page, load",
        code: &[0x8064_0000],
        msr: msr::DR,
        gpr: &[(4, NO_PAGE)],
        vector: 0x300,
        dar: NO_PAGE,
        dsisr: MISSING,
        ..BASE
    },
    Case {
        name: "no page, store",
        code: &[0x9064_0000],
        msr: msr::DR,
        gpr: &[(4, NO_PAGE)],
        vector: 0x300,
        dar: NO_PAGE,
        dsisr: MISSING | STORE,
        ..BASE
    },
    Case {
        name: "no page, prefixed store",
        code: &[0x0600_0000, 0x9064_0000],
        msr: msr::DR,
        gpr: &[(4, NO_PAGE)],
        vector: 0x300,
        srr1: PREFIXED,
        dar: NO_PAGE,
        dsisr: MISSING | STORE,
        ..BASE
    },
    Case {
        name: "no page, dcbz",
        code: &[0x7c00_27ec],
        msr: msr::DR,
        gpr: &[(4, NO_PAGE)],
        vector: 0x300,
        dar: NO_PAGE,
        dsisr: MISSING | STORE,
        ..BASE
    },
    Case {
        name: "nothing there, load",
        code: &[0x8064_0000],
        gpr: &[(4, 0x4000_0000)],
        vector: 0x200,
        srr1: 1 << 21,
        dar: 0x4000_0000,
        dsisr: 0x8000,
        ..BASE
    },
    Case {
        name: "single step",
        code: &[NOP],
        msr: msr::SE,
        vector: 0xd00,
        srr0: AT + 4,
        srr1: 1 << 30,
        ..BASE
    },
    Case { name: "external", code: &[NOP], msr: msr::EE, events: event::EXTERNAL, vector: 0x500, ..BASE },
    Case {
        name: "decrementer",
        code: &[NOP],
        msr: msr::EE,
        events: event::DECREMENTER,
        vector: 0x900,
        ..BASE
    },
    Case { name: "doorbell", code: &[NOP], msr: msr::EE, events: event::DOORBELL, vector: 0xa00, ..BASE },
    Case {
        name: "performance monitor",
        code: &[NOP],
        msr: msr::EE,
        events: event::PERFORMANCE_MONITOR,
        vector: 0xf00,
        ..BASE
    },
    Case { name: "system reset", code: &[NOP], events: event::SYSTEM_RESET, vector: 0x100, ..BASE },
    Case {
        name: "external before decrementer",
        code: &[NOP],
        msr: msr::EE,
        events: event::EXTERNAL | event::DECREMENTER | event::DOORBELL,
        vector: 0x500,
        ..BASE
    },
    Case {
        name: "decrementer before doorbell",
        code: &[NOP],
        msr: msr::EE,
        events: event::DECREMENTER | event::DOORBELL | event::PERFORMANCE_MONITOR,
        vector: 0x900,
        ..BASE
    },
    // 0 / 0 by fdiv, FPSCR[VE] on: the instruction itself.
    Case {
        name: "enabled exception, precise",
        code: &[0xfc22_1824],
        msr: msr::FP | msr::FE0 | msr::FE1,
        vector: 0x700,
        srr1: 1 << 20,
        ..BASE
    },
    Case {
        name: "enabled exception, imprecise",
        code: &[0xfc22_1824],
        msr: msr::FP | msr::FE1,
        vector: 0x700,
        srr1: 1 << 20,
        ..BASE
    },
];

#[test]
fn each_interrupt_leaves_what_the_manual_says() {
    let mut wrong = Vec::new();
    for case in CASES {
        let little = case.msr & msr::LE != 0;
        let mut f =
            if little { Flat::little(case.model, case.code) } else { Flat::new(case.model, case.code) };
        f.cpu.st.nia = AT;
        let hpt = Hpt::new(18).unwrap();
        drop(Hpt::replace(&f.cpu.sh.hpt, Some(Arc::new(hpt))));
        f.cpu.sh.lpcr.fetch_and(!lpcr::HR, Ordering::SeqCst);
        for v in (0x100..0x1000).step_by(0x20) {
            f.word(v, SC1);
        }
        let st = &mut f.cpu.st;
        // Segment 0 is known, but for fetches, which are by real mode but in one case.
        if case.name != "no segment, fetch" {
            (st.slb[0].esid, st.slb[0].vsid) = (1 << 27, 0x123 << 12);
        }
        (st.dar, st.dsisr) = (KEPT, KEPT as u32);
        case.gpr.iter().for_each(|&(n, v)| st.gpr[n] = v);
        st.fpscr = 1 << 7;
        let on = st.msr | case.msr;
        f.cpu.set_msr(on);
        if case.events != 0 {
            f.cpu.set_dec_expiry(0);
            f.cpu.link.clear(event::DECREMENTER);
            f.cpu.link.post(case.events);
        }
        f.run();
        let st = &f.cpu.st;
        let got = (st.nia - 4, st.srr0, st.srr1 & OWN, st.dar, st.dsisr as u64);
        let want = (case.vector, case.srr0, case.srr1, case.dar, case.dsisr);
        if got != want {
            wrong.push(format!("{}: {got:x?}, wanted {want:x?}", case.name));
        }
        let rest = (st.srr1 ^ on) & !OWN & msr::WRITABLE;
        if rest != 0 {
            wrong.push(format!("{}: SRR1 differs from the MSR in {rest:#x}", case.name));
        }
        let kept = msr::SF | msr::ME;
        if st.msr & !msr::LE != kept {
            wrong.push(format!("{}: new MSR {:#x}", case.name, st.msr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn facility_numbers() {
    for (code, facility, msr) in [
        (0x7c6f_caa6, 8, msr::PR),
        (0x4400_0001, 12, msr::PR),
        (0x7c66_caa6, 7, msr::PR),
        (0x7c63_02a6, 2, msr::PR),
        (0x4c00_0924, 7, 0),
        (0x7c00_051d, 5, 0),
    ] {
        let model = if facility == 5 { "power9" } else { "power10" };
        let mut f = Flat::new(model, &[code]);
        f.word(0xf60, SC1);
        f.cpu.set_msr(f.cpu.st.msr | msr);
        f.run();
        assert_eq!((f.cpu.st.nia, f.cpu.st.fscr >> 56), (0xf64, facility), "{code:#x}");
    }
}
