//! The performance monitor: what is counted, when it stops, the interrupt and the branch it causes; the same in both
//! engines.

mod pair;

use arch::pmu::{bescr, mmcr0};
use arch::spr::num;
use arch::{Cpu, msr};
use pair::{Pair, SC1, word};

fn addi(rt: u32, ra: u32, si: i16) -> u32 {
    14 << 26 | rt << 21 | ra << 16 | si as u16 as u32
}
fn spr(xo: u32, r: u32, n: u32) -> u32 {
    31 << 26 | r << 21 | (n & 31) << 16 | (n >> 5) << 11 | xo << 1
}
fn mtspr(n: u32, r: u32) -> u32 {
    spr(467, r, n)
}
fn mfspr(r: u32, n: u32) -> u32 {
    spr(339, r, n)
}
const AT: u64 = 0x2000;

fn get(c: &Cpu, n: u32) -> u64 {
    c.st.plain[n as usize]
}

/// Runs `code` on both engines with r10 = `m0`, r11 = `pmc5` and r29 = `turns`, and wants them to agree.
fn run(p: &mut Pair, m0: u64, pmc5: u64, turns: u64, code: &[u32]) {
    p.both(|c| {
        (c.st.gpr[10], c.st.gpr[11], c.st.gpr[29]) = (m0, pmc5, turns);
    });
    p.load(AT, code);
    let d = p.run(10_000_000).expect("an end");
    assert!(d.is_empty(), "{}", d.join("\n"));
}

/// PMC5 is set, the monitor set off, a loop of four instructions a turn, the monitor stopped.
fn counted_loop() -> Vec<u32> {
    let mut code = vec![mtspr(num::PMC5, 11), mtspr(num::MMCR0, 10), mtspr(9, 29)];
    code.extend([addi(3, 3, 1), addi(4, 4, 1), addi(5, 5, 1), 0x4200_fff4]);
    code.extend([addi(12, 0, 0), 0x658c_8000, mtspr(num::MMCR0, 12), SC1]);
    code
}

#[test]
fn pmc5_counts_each_instruction() {
    for turns in [1, 2, 100, 70_000] {
        let mut p = Pair::new("power9", true);
        // PMC6 depends on time, so what is frozen with it is told apart by MMCR2.
        p.both(|c| c.st.plain[num::MMCR2 as usize] = 1 << (63 - 45) | 1 << (62 - 45));
        run(&mut p, 0, 5, turns, &counted_loop());
        // Behind the one that sets it off: mtctr, the loop, two that make the constant, the one that stops it.
        assert_eq!(get(&p.a, num::PMC5), 5 + 1 + 4 * turns + 3);
        assert_eq!(get(&p.a, num::PMC6), 0);
    }
}

#[test]
fn selected_events_count_on_the_first_four() {
    let mut p = Pair::new("power9", true);
    // PMC1: 0xfe, PMC2: 2, PMC3: nothing known, PMC4: 0xfa.
    p.both(|c| c.st.plain[num::MMCR1 as usize] = 0xfe02_77fa);
    run(&mut p, mmcr0::FC56, 7, 10, &counted_loop());
    let all = [num::PMC1, num::PMC1 + 1, num::PMC1 + 2, num::PMC1 + 3, num::PMC5].map(|n| get(&p.a, n));
    assert_eq!(all, [44, 44, 0, 44, 7]);
}

#[test]
fn cycles_follow_the_timebase() {
    let mut p = Pair::new("power9", true);
    p.load(
        AT,
        &[
            mfspr(20, num::TB),
            mtspr(num::MMCR0, 10),
            mtspr(9, 29),
            0x4200_0000,
            mfspr(21, num::PMC6),
            mfspr(22, num::TB),
            SC1,
        ],
    );
    p.both(|c| (c.st.gpr[10], c.st.gpr[29]) = (0, 100_000));
    let _ = p.run(10_000_000).expect("an end");
    for c in [&p.a, &p.b] {
        let [t0, cycles, t1] = [20, 21, 22].map(|n| c.st.gpr[n]);
        assert!(cycles > 0 && cycles <= (t1 - t0 + 1) * 125 / 32, "{cycles} {}", t1 - t0);
    }
}

#[test]
fn cycles_stop_where_they_overflow() {
    let mut p = Pair::new("power9", true);
    p.both(|c| {
        c.st.plain[num::PMC6 as usize] = 0x7fff_ffff;
        c.st.plain[num::MMCR0 as usize] = mmcr0::PMAE | mmcr0::PMCJCE | mmcr0::FCECE;
        c.pmu_due();
        while get(c, num::MMCR0) & mmcr0::PMAO == 0 {
            c.pmu_due();
        }
    });
    for c in [&p.a, &p.b] {
        assert_eq!(get(c, num::PMC6), 0x8000_0000);
        assert_ne!(get(c, num::MMCR0) & mmcr0::FC, 0);
    }
}

#[test]
fn an_overflow_interrupts_when_enabled() {
    for (before, turns) in [(10u64, 1000), (5_000, 20_000), (0, 4)] {
        let mut p = Pair::new("power8", true);
        p.both(|c| c.set_msr(c.st.msr | msr::EE));
        p.both(|c| c.st.plain[num::MMCR2 as usize] = 1 << (63 - 45) | 1 << (62 - 45));
        let m0 = mmcr0::PMAE | mmcr0::PMCJCE | mmcr0::FCECE;
        p.load(AT, &counted_loop());
        p.both(|c| (c.st.gpr[10], c.st.gpr[11], c.st.gpr[29]) = (m0, 0x8000_0000 - before, turns));
        assert!(p.run(10_000_000).is_some());
        for c in [&p.a, &p.b] {
            assert_eq!(c.st.nia, 0xf04, "not at the interrupt");
            let m0 = get(c, num::MMCR0);
            assert_eq!(m0 & (mmcr0::FC | mmcr0::PMAE | mmcr0::PMAO), mmcr0::FC | mmcr0::PMAO);
            // A block's length late at most.
            let pmc5 = get(c, num::PMC5);
            assert!((0x8000_0000..0x8000_0040).contains(&pmc5), "{pmc5:#x}");
            assert_eq!(c.st.srr1 & (msr::EE | 0x783f_0000), msr::EE);
            assert!(c.st.srr0 >= AT && c.st.srr0 <= AT + 44);
            assert!(get(c, num::SIAR) >= AT && get(c, num::SIAR) <= AT + 44);
            assert_eq!(get(c, num::SIER), 1 << 22);
        }
    }
}

#[test]
fn without_msr_ee_or_pmae_there_is_no_interrupt() {
    for (m0, ee, pmao) in [
        (mmcr0::PMAE | mmcr0::PMCJCE, false, true),
        (mmcr0::PMCJCE, true, false),
        (mmcr0::PMAE | mmcr0::PMC1CE, true, false),
    ] {
        let mut p = Pair::new("power8", true);
        p.both(|c| c.st.plain[num::MMCR2 as usize] = 1 << (63 - 45) | 1 << (62 - 45));
        p.both(|c| c.set_msr(c.st.msr | if ee { msr::EE } else { 0 }));
        let mut code = counted_loop();
        // Stop it with all other bits kept.
        let stop = code.len() - 4;
        code[stop] = mfspr(12, num::MMCR0);
        run(&mut p, m0, 0x8000_0000 - 50, 100, &code);
        assert_eq!(get(&p.a, num::MMCR0) & mmcr0::PMAO != 0, pmao, "{m0:#x}");
        assert_eq!(get(&p.a, num::PMC5), 0x8000_0000 - 50 + 404);
        assert_eq!(p.a.st.nia, AT + 4 * code.len() as u64);
    }
}

#[test]
fn states_that_are_frozen_do_not_count() {
    // Problem state does three instructions and a system call, which leads to three in privileged state.
    let user = [addi(3, 0, 1), addi(3, 0, 2), addi(3, 0, 3), 0x4400_0002];
    let system = [addi(3, 0, 4), addi(3, 0, 5), SC1];
    let own = |n: u32, bit: u32| 1u64 << (63 - bit - 9 * n);
    for (m0, mmcr2, want) in [
        (0, 0, 4 + 3),
        (mmcr0::FCS, 0, 4),
        (mmcr0::FCP, 0, 3),
        (mmcr0::FC, 0, 0),
        (0, own(4, 0), 4),
        (0, own(4, 1), 3),
        (mmcr0::FC56, 0, 0),
        (mmcr0::FCM0, 0, 0),
        (mmcr0::FCM1, 0, 7),
    ] {
        let mut p = Pair::new("power9", true);
        p.both(|c| {
            c.set_msr(c.st.msr | msr::PR | msr::EE);
            for (n, w) in system.into_iter().enumerate() {
                word(c, 0xc00 + 4 * n as u64, w, true);
            }
            c.st.plain[num::MMCR0 as usize] = m0;
            c.st.plain[num::MMCR2 as usize] = own(5, 0) | own(5, 1) | mmcr2;
            c.pmu_due();
        });
        run(&mut p, 0, 0, 0, &user);
        assert_eq!(p.a.st.nia, 0xc0c);
        p.both(Cpu::pmu_due);
        assert_eq!(get(&p.a, num::PMC5), want, "{m0:#x} {mmcr2:#x}");
        assert_eq!(get(&p.b, num::PMC5), want, "{m0:#x} {mmcr2:#x}");
    }
}

#[test]
fn problem_state_reads_and_writes_what_pmcc_allows() {
    enum Is {
        Done(u64),
        Illegal,
        Unavailable,
    }
    use Is::*;
    let u = |n: u32| n - 16;
    let pmcc = |n: u64| mmcr0::FC | mmcr0::EBE | n << mmcr0::PMCC_SHIFT;
    for (model, m0, code, want) in [
        ("power9", pmcc(0), mfspr(3, u(num::PMC1)), Done(0x11)),
        ("power9", pmcc(0), mfspr(3, u(num::MMCR0)), Done(mmcr0::FC)),
        ("power9", pmcc(0), mtspr(u(num::PMC1), 4), Illegal),
        ("power9", pmcc(1), mfspr(3, u(num::PMC1)), Unavailable),
        ("power9", pmcc(1), mtspr(u(num::MMCR0), 4), Unavailable),
        ("power9", pmcc(1), mfspr(3, u(num::SIAR)), Done(0x22)),
        ("power9", pmcc(2), mtspr(u(num::PMC1), 4), Done(0x44)),
        ("power9", pmcc(2), mfspr(3, u(num::PMC5)), Done(0)),
        ("power9", pmcc(3), mfspr(3, u(num::PMC5)), Unavailable),
        ("power9", pmcc(3), mtspr(u(num::PMC6), 4), Unavailable),
        ("power9", pmcc(3), mfspr(3, u(num::PMC1)), Done(0x11)),
        ("power9", pmcc(2), mtspr(u(num::SIAR), 4), Illegal),
        ("power9", pmcc(0) | mmcr0::PMCCEXT, mfspr(3, u(num::SIAR)), Done(0x22)),
        ("power10", pmcc(0) | mmcr0::PMCCEXT, mfspr(3, u(num::SIAR)), Unavailable),
        ("power10", pmcc(0) | mmcr0::PMCCEXT, mfspr(3, u(num::PMC1)), Done(0x11)),
        ("power10", pmcc(2) | mmcr0::PMCCEXT, mfspr(3, u(num::SIAR)), Done(0x22)),
    ] {
        let mut p = Pair::new(model, true);
        p.both(|c| {
            c.st.plain[num::MMCR0 as usize] = m0;
            c.st.plain[num::PMC1 as usize] = 0x11;
            c.st.plain[num::SIAR as usize] = 0x22;
            (c.st.gpr[3], c.st.gpr[4]) = (0xbad, 0x44);
            c.set_msr(c.st.msr | msr::PR | msr::EE);
        });
        run(&mut p, 0, 0, 0, &[code, 0x4400_0002]);
        let writes = code >> 1 & 0x3ff == 467;
        match want {
            Done(v) => {
                assert_eq!(p.a.st.nia, 0xc04, "{m0:#x} {code:#x}");
                assert_eq!(if writes { get(&p.a, num::PMC1) } else { p.a.st.gpr[3] }, v, "{m0:#x} {code:#x}");
            }
            Illegal => assert_eq!((p.a.st.nia, p.a.st.srr1 >> 16 & 15), (0x704, 8), "{m0:#x} {code:#x}"),
            Unavailable => assert_eq!((p.a.st.nia, p.a.st.fscr >> 56), (0xf64, 3), "{m0:#x} {code:#x}"),
        }
    }
}

#[test]
fn an_event_based_branch_is_taken_in_problem_state() {
    let mut p = Pair::new("power9", true);
    let m0 = mmcr0::PMAE | mmcr0::PMCJCE | mmcr0::EBE | mmcr0::FCECE | 2 << mmcr0::PMCC_SHIFT;
    p.both(|c| {
        c.st.plain[num::MMCR0 as usize] = mmcr0::FC | m0;
        c.st.plain[num::MMCR2 as usize] = 1 << (63 - 45) | 1 << (62 - 45);
        c.st.plain[num::PMC5 as usize] = 0x7fff_ff00;
        c.st.plain[num::EBBHR as usize] = 0x4000;
        c.st.plain[num::BESCR as usize] = bescr::GE | bescr::PME;
        c.st.fscr = 1 << 7;
        c.set_msr(c.st.msr | msr::PR | msr::EE);
        word(c, 0x4000, mfspr(20, num::EBBRR), true);
        word(c, 0x4004, 0x4400_0002, true);
        (c.st.gpr[10], c.st.gpr[29]) = (mmcr0::PMAE, 1000);
    });
    p.load(AT, &[mtspr(9, 29), mtspr(num::MMCR0 - 16, 10), addi(3, 3, 1), 0x4200_fffc, 0x4400_0002]);
    assert!(p.run(1_000_000).is_some());
    for c in [&p.a, &p.b] {
        assert_eq!((c.st.nia, c.st.srr0), (0xc04, 0x4008));
        assert_eq!(get(c, num::BESCR), bescr::PMEO);
        assert!((AT + 8..AT + 16).contains(&c.st.gpr[20]), "{:#x}", c.st.gpr[20]);
        assert_eq!(get(c, num::MMCR0) & (mmcr0::PMAO | mmcr0::PMAE | mmcr0::FC), mmcr0::PMAO | mmcr0::FC);
        assert!(c.st.gpr[3] > 100 && c.st.gpr[3] < 160);
    }
}

#[test]
fn failures_of_store_conditional_are_counted() {
    let mut p = Pair::new("power9", true);
    p.both(|c| {
        c.st.plain[num::MMCR1 as usize] = 0xe << 60 | 0x58 << 24;
        c.st.gpr[5] = 0x8000;
    });
    // ldarx and stdcx. hit, two more stdcx. miss.
    let (ldarx, stdcx) = (0x7cc0_28a8, 0x7cc0_29ad);
    run(
        &mut p,
        mmcr0::FC56,
        0,
        0,
        &[mtspr(num::MMCR0, 10), ldarx, stdcx, stdcx, stdcx, mfspr(20, num::PMC1), SC1],
    );
    assert_eq!(p.a.st.gpr[20], 2);
}

/// A handler that starts the next short period at once: nobody needs to tell it the time (here nobody does).
#[test]
fn short_periods_of_cycles_end_by_themselves() {
    let mut p = Pair::new("power9", true);
    let m0 = mmcr0::PMAE | mmcr0::PMC1CE | mmcr0::EBE | mmcr0::FCECE | 2 << mmcr0::PMCC_SHIFT;
    p.both(|c| {
        // PMC1 counts cycles.
        c.st.plain[num::MMCR1 as usize] = 0x1e << 24;
        c.st.plain[num::MMCR0 as usize] = mmcr0::FC | m0;
        c.st.plain[num::PMC1 as usize] = 0x7fff_fff0;
        c.st.plain[num::EBBHR as usize] = 0x4000;
        c.st.plain[num::BESCR as usize] = bescr::GE | bescr::PME;
        c.st.fscr = 1 << 7;
        c.set_msr(c.st.msr | msr::PR | msr::EE);
        // 100 times: the counter, the alert, PMEO off, PME on, back with GE.
        let back = 0x4c00_0924;
        let handler = [
            addi(20, 20, 1),
            mtspr(num::PMC1 - 16, 11),
            mtspr(num::MMCR0 - 16, 10),
            mtspr(num::BESCRS + 2, 12),
            mtspr(num::BESCRS, 13),
            0x2c14_0064, // cmpwi r20,100
            0x4182_0008, // beq
            back,
            0x4400_0002,
        ];
        for (n, w) in handler.into_iter().enumerate() {
            word(c, 0x4000 + 4 * n as u64, w, true);
        }
        (c.st.gpr[10], c.st.gpr[11]) = (mmcr0::PMAE, 0x8000_0000 - 5);
        (c.st.gpr[12], c.st.gpr[13], c.st.gpr[20]) = (bescr::PMEO, bescr::PME, 0);
    });
    // The monitor is set off, then a loop without end.
    p.load(AT, &[mtspr(num::MMCR0 - 16, 10), addi(3, 3, 1), 0x4bff_fffc]);
    assert!(p.run(100_000_000).is_some());
    for c in [&p.a, &p.b] {
        assert_eq!((c.st.nia, c.st.gpr[20]), (0xc04, 100));
    }
}
