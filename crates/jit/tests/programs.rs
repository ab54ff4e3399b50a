//! Loops, self-modifying code, events and a full cache: the translator against the interpreter.

pub(crate) mod pair;

use std::sync::atomic::{AtomicBool, Ordering};

use arch::shared::event;
use arch::{Exit, msr};
use isa::ROWS;
use jit::{Jit, Options};
use pair::{Pair, Rng, SC1, word};

const BLR: u32 = 0x4e80_0020;
const NOP: u32 = 0x6000_0000;

fn addi(rt: u32, ra: u32, si: i16) -> u32 {
    14 << 26 | rt << 21 | ra << 16 | si as u16 as u32
}

fn branch(from: u64, to: u64, link: bool) -> u32 {
    18 << 26 | (to.wrapping_sub(from) as u32 & 0x03ff_fffc) | link as u32
}

/// `li rt,hi; ori` of a 32-bit constant.
fn constant(rt: u32, x: u32) -> [u32; 2] {
    [15 << 26 | rt << 21 | x >> 16, 24 << 26 | rt << 21 | rt << 16 | x & 0xffff]
}

fn agree(p: &mut Pair, what: &str) {
    let d = p.run(1_000_000).unwrap_or_else(|| panic!("{what}: no end"));
    assert!(d.is_empty(), "{what}: {}", d.join("\n"));
}

#[test]
fn loops_of_random_instructions() {
    let rows: Vec<_> = ROWS.iter().filter(|r| r.chapter == "fixed" && r.enc.pmask == 0).collect();
    for seed in 0..300u64 {
        let mut r = Rng(0x100_0000 + seed);
        let mut p = Pair::new("power9", seed % 2 == 0);
        // Every third one is cut by the end of a page.
        let end = if seed % 3 == 0 { 24 } else { 1024 };
        let at = 0x1_1000 - 4 * (1 + r.below(end));
        // mtctr r29 with 200 turns, a body with forward branches, bdnz.
        let mut code = vec![addi(29, 0, 200), 0x7fa9_03a6];
        let len = 2 + r.below(20);
        for n in 0..len {
            let left = len - n;
            if r.chance(5) {
                // bc on a CR bit, some words on.
                let skip = 4 * (1 + r.below(left) as u32);
                code.push(16 << 26 | [4, 12][r.below(2) as usize] << 21 | (r.below(32) as u32) << 16 | skip);
                continue;
            }
            let row = rows[r.below(rows.len() as u64) as usize];
            if matches!(row.op, isa::Op::Tw | isa::Op::Td | isa::Op::Twi | isa::Op::Tdi) {
                code.push(NOP);
                continue;
            }
            code.push(row.enc.value | r.next() as u32 & !row.enc.mask);
        }
        code.push(16 << 26 | 16 << 21 | (-4 * len as i64) as u32 & 0xfffc);
        code.push(SC1);
        p.both(|c| {
            let mut r = Rng(seed);
            c.st.gpr.iter_mut().for_each(|g| *g = r.next() >> r.below(64));
        });
        p.load(at, &code);
        agree(&mut p, &format!("seed {seed}"));
    }
}

#[test]
fn calls_across_pages_follow_changes_of_the_callee() {
    let mut p = Pair::new("power9", true);
    // r31 = 50 turns: bl to another page; the callee is replaced from outside between runs.
    let at = 0x1_0f00;
    let mut code = vec![addi(31, 0, 50), 0x7fe9_03a6];
    code.push(branch(at + 8, 0x1_3004, true));
    code.extend([0x4200_fffc, SC1]);
    p.load(at, &code);
    for n in 0..40i16 {
        p.both(|c| {
            word(c, 0x1_3004, addi(3, 3, n), true);
            word(c, 0x1_3008, BLR, true);
            c.st.nia = at;
            c.st.gpr[3] = 0x1000;
        });
        agree(&mut p, "callee");
        assert_eq!(p.b.st.gpr[3], 0x1000 + 50 * n as u64);
    }
    assert!(p.jit.stats().dropped_pages >= 39);
}

/// Functions in pages of their own, by number; `at`: where one begins.
fn function(kind: u64, at: impl Fn(u64) -> u64) -> Vec<u32> {
    let mflr = |r: u32| 0x7c08_02a6 | r << 21;
    let mtlr = |r: u32| 0x7c08_03a6 | r << 21;
    let call = |n: u32, to| branch(at(kind) + 4 * n as u64, at(to), true);
    match kind {
        0 => vec![addi(5, 5, 1), BLR],
        // Returns a word further.
        1 => vec![mflr(12), addi(12, 12, 4), mtlr(12), BLR],
        2 => vec![mflr(20), call(1, 0), mtlr(20), BLR],
        // Replaces the word that it returns to every fourth time: r10, changed by r11 then.
        3 => vec![
            mflr(21),
            addi(8, 8, 1),
            0x7109_0003,
            0x4082_001c,
            0x7d4a_5a78,
            0x9155_0000,
            0x7c00_a86c,
            0x7c00_04ac,
            0x7c00_afac,
            0x4c00_012c,
            mtlr(21),
            BLR,
        ],
        // Returns in another mode every fourth time: MSR[FP] changed.
        4 => vec![
            addi(18, 18, 1),
            0x7253_0003,
            0x4082_0010,
            0x7d80_00a6,
            26 << 26 | 12 << 21 | 12 << 16 | 0x2000,
            0x7d80_0164,
            BLR,
        ],
        // Calls itself until r7 is 0, more often than calls are noted.
        5 => vec![
            0x2c27_0000,
            0x4182_0020,
            mflr(0),
            0xf801_0000,
            addi(1, 1, 8),
            addi(7, 7, -1),
            call(6, 5),
            addi(1, 1, -8),
            0xe801_0000,
            mtlr(0),
            BLR,
        ],
        // Its callee returns to the caller's caller.
        6 => vec![mflr(22), call(1, 7), addi(3, 3, 99), BLR],
        _ => vec![mtlr(22), BLR],
    }
}

#[test]
fn calls_come_back_to_what_is_there_by_then() {
    for seed in 0..120u64 {
        let mut r = Rng(0x700_0000 + seed);
        let mut p = Pair::new("power9", seed % 2 == 0);
        let at = |kind: u64| 0x1_3f00 + 0x1000 * kind + 16 * (seed + 3 * kind) % 0xc0;
        for kind in 0..8 {
            p.load(at(kind), &function(kind, at));
        }
        // 40 turns of some calls, of which one may be the last word of a page.
        let start = 0x1_1000 - 4 * r.below(12);
        let mut code = vec![addi(29, 0, 40), 0x7fa9_03a6];
        for _ in 0..2 + r.below(6) {
            let here = start + 4 * code.len() as u64;
            let call = branch(here + 4, at(r.below(7)), true);
            code.extend([addi(7, 0, 30), call, addi(3, 3, 1), addi(4, 4, 1)]);
            code.extend(r.chance(3).then_some(0xfc20_1090));
        }
        let back = (8i64 - 4 * code.len() as i64) as u32 & 0xfffc;
        code.extend([16 << 26 | 16 << 21 | back, SC1]);
        // Where floating point is off, it is turned on and noticed.
        p.load(0x800, &[addi(14, 14, 1), 0x7dbb_02a6, 0x61ad_2000, 0x7dbb_03a6, 0x4c00_0024]);
        p.load(start, &code);
        p.both(|c| {
            c.st.gpr[1] = 0x3_0000;
            c.st.gpr[18] = seed;
            c.st.gpr[10] = addi(3, 3, 1) as u64;
            c.st.gpr[11] = (addi(3, 3, 1) ^ addi(3, 3, 7)) as u64;
        });
        agree(&mut p, &format!("seed {seed}"));
    }
}

#[test]
fn code_that_writes_itself_is_seen() {
    // The store goes into the block that runs, some instructions ahead; what follows isync is the new one.
    for with_icbi in [false, true] {
        for distance in [2u64, 3, 7] {
            let mut p = Pair::new("power9", false);
            let at = 0x1_0000;
            let mut code = vec![];
            code.extend(constant(4, addi(5, 5, 100)));
            code.extend(constant(6, 0));
            code.extend([0x9086_0000, if with_icbi { 0x7c00_37ac } else { NOP }, 0x4c00_012c]);
            code.extend(vec![NOP; distance as usize - 1]);
            code.push(addi(5, 5, 1));
            let target = at + 4 * (code.len() as u64 - 1);
            code[2..4].copy_from_slice(&constant(6, target as u32));
            code.push(SC1);
            p.load(at, &code);
            agree(&mut p, "first run");
            assert_eq!(p.b.st.gpr[5], 100);
            // Again, with the old instruction put back by a store of the machine's.
            p.both(|c| {
                word(c, target, addi(5, 5, 1), false);
                c.st.nia = at;
            });
            agree(&mut p, "second run");
            assert_eq!(p.b.st.gpr[5], 200);
        }
    }
}

#[test]
fn a_page_that_is_stored_to_and_becomes_code_is_watched() {
    // stw r4,0(r1); isync; bl to where it was stored; addi r4,r4,1; bdnz to the first; sc
    let (at, callee) = (0x1_0000u64, 0x2_0100u64);
    let mut p = Pair::new("power9", false);
    let mut code = constant(1, callee as u32).to_vec();
    // Stores before it is code: stw r4,16(r1); bdnz
    code.extend([addi(7, 0, 5), 0x7ce9_03a6, 0x9081_0010, 0x4200_fffc, addi(7, 0, 20), 0x7ce9_03a6]);
    code.extend(constant(4, addi(5, 5, 100)));
    let top = at + 4 * code.len() as u64;
    code.extend([0x9081_0000, 0x4c00_012c, branch(top + 8, callee, true), addi(4, 4, 1), 0x4200_fff0, SC1]);
    p.load(at, &code);
    p.both(|c| word(c, callee + 4, 0x4e80_0020, false));
    agree(&mut p, "calls");
    assert_eq!(p.b.st.gpr[5], 20 * 100 + 19 * 20 / 2);
}

#[test]
fn a_result_that_an_enabled_exception_suppresses_leaves_its_register_whole() {
    // The rare case of the first instruction of each pair writes nothing; the second reads what was there.
    for (name, code) in [
        // xscvdpuxws vs33,vs30 of a NaN; vsubuhm v15,v1,v25
        ("both doublewords", [0xf020_f121, 0x11e1_cc40, SC1]),
        // fsubs f4,f5,f5 of an infinity; fadds f7,f4,f6, where f4 is no single
        ("a double", [0xec85_2828, 0xece4_302a, SC1]),
    ] {
        let mut p = Pair::new("power9", true);
        p.load(0x1_0000, &code);
        p.both(|c| {
            c.set_msr(c.st.msr | 1 << 13 | 1 << 25 | 1 << 23);
            c.st.vsr[30] = 0x7ff8_0000_0000_0000 << 64;
            c.st.vsr[33] = 0xf270_0000_0000_0000_0000_ca86_5b79_6fe1;
            c.st.vsr[4] = (f64::to_bits(0.1) as u128) << 64 | 7;
            c.st.vsr[5] = (f64::to_bits(f64::INFINITY) as u128) << 64;
            c.st.vsr[6] = (f64::to_bits(2.5) as u128) << 64;
            // FPSCR[VE]
            fpu::FpRegs::set_fpscr(&mut *c.st, 0x80);
        });
        agree(&mut p, name);
    }
}

#[test]
fn a_loop_that_patches_its_own_body() {
    // r5 += n in turn n: the immediate of the addi at `target` is rewritten in each turn (sth), then isync.
    let mut p = Pair::new("power8", false);
    let at = 0x1_0000;
    let target = at + 4 * 6;
    let mut code = vec![addi(7, 0, 60), 0x7ce9_03a6];
    code.extend(constant(6, target as u32 + 2));
    // sth r7,0(r6); isync; addi r5,r5,0; addi r7,r7,-1; bdnz -4 words; sc
    code.extend([0xb0e6_0000, 0x4c00_012c, addi(5, 5, 0), addi(7, 7, -1), 0x4200_fff0, SC1]);
    p.load(at, &code);
    agree(&mut p, "patching loop");
    assert_eq!(p.b.st.gpr[5], 60 * 61 / 2);
}

/// A loop that runs for a while, with calls, memory and a conditional branch.
fn long_loop(turns: u32) -> (u64, Vec<u32>) {
    let at = 0x1_0ff0;
    let mut code = constant(9, turns).to_vec();
    code.push(0x7d29_03a6);
    let head = at + 12;
    // head: bl f; add r3,r3,r4; stw r3,0x100(r10); lwz r5,0x100(r10); cmpw r5,r4; bgt +8; addi r4,r4,3; bdnz head; sc
    code.push(branch(head, head + 0x40, true));
    code.extend([0x7c63_2214, 0x906a_0100, 0x80aa_0100, 0x7c05_2000, 0x4181_0008, addi(4, 4, 3)]);
    code.push(16 << 26 | 16 << 21 | (-4i32 * 7) as u32 & 0xfffc);
    code.push(SC1);
    while (code.len() as u64) < 3 + 16 {
        code.push(NOP);
    }
    code.extend([addi(4, 4, 1), 0x7c84_1a78, BLR]);
    (at, code)
}

#[test]
fn events_come_between_any_two_instructions() {
    let (at, code) = long_loop(3_000_000);
    let mut p = Pair::new("power9", true);
    p.load(at, &code);
    p.both(|c| {
        c.st.gpr[10] = 0x4_0000;
        // addi r31,r31,1; rfid
        word(c, 0x500, addi(31, 31, 1), true);
        word(c, 0x504, 0x4c00_0024, true);
        c.set_msr(c.st.msr | msr::EE);
    });
    while p.interp.run(&mut p.a, u64::MAX / 2) != Exit::Stop {}
    let link = p.b.link.clone();
    let done = AtomicBool::new(false);
    let mut left = 0;
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut n = 0u32;
            while !done.load(Ordering::Relaxed) {
                n += 1;
                match n % 3 {
                    0 => link.post(event::LEAVE),
                    1 => link.post(event::TLB_FLUSH),
                    _ => {
                        link.post(event::EXTERNAL);
                        std::thread::yield_now();
                        link.clear(event::EXTERNAL);
                    }
                }
                std::thread::sleep(std::time::Duration::from_micros(30));
            }
        });
        loop {
            match p.jit.run(&mut p.b, u64::MAX / 2) {
                Exit::Stop => break,
                Exit::Leave => {
                    p.b.link.clear(event::LEAVE);
                    left += 1;
                }
                e => panic!("{e:?}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(left > 0, "events arrived");
    let interrupts = std::mem::take(&mut p.b.st.gpr[31]);
    p.b.retired -= 2 * interrupts;
    p.both(|c| (c.st.srr0, c.st.srr1, c.fault) = (0, 0, arch::Fault::plain(arch::Vector::Program)));
    let d = pair::differences(&p.a, &p.b);
    assert!(d.is_empty(), "{}", d.join("\n"));
}

#[test]
fn a_budget_ends_a_loop_and_nothing_is_lost() {
    let (at, code) = long_loop(2000);
    let mut p = Pair::new("power9", false);
    p.load(at, &code);
    p.both(|c| c.st.gpr[10] = 0x4_0000);
    let mut exits = 0;
    while p.jit.run(&mut p.b, 7) != Exit::Stop {
        exits += 1;
    }
    assert!(exits > 1000, "the budget is looked at in every turn");
    while p.interp.run(&mut p.a, u64::MAX / 2) != Exit::Stop {}
    let d = pair::differences(&p.a, &p.b);
    assert!(d.is_empty(), "{}", d.join("\n"));
}

/// Code that only ever goes forward, by an address space of which every page is the same one, or around that of 32 bits:
/// it can be interrupted all the same, whether the TLB knows its pages or not.
#[test]
fn who_only_goes_forward_is_interrupted() {
    for (sf, step) in [(true, 4096), (true, 0x1ff_f000), (false, 0x1ff_0000), (false, 0x100_0000)] {
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut cpu = pair::machine("power9", true);
            let put = |at: u64, v: u64| cpu.sh.ram.write_u64_be(at, v).unwrap();
            // A tree of 52 bits: process table, directories of 13, 9 and 9 bits, a table of 9 bits. All valid.
            put(0x1_0000, 2 << 61 | 5 << 5 | 0x2_0000 | 13);
            (0..1 << 13).for_each(|n| put(0x2_0000 + 8 * n, 1 << 63 | 0x4_0000 | 9));
            for n in 0..512 {
                put(0x4_0000 + 8 * n, 1 << 63 | 0x4_1000 | 9);
                put(0x4_1000 + 8 * n, 1 << 63 | 0x4_2000 | 9);
                // Leaf, referenced, changed, privileged, all accesses.
                put(0x4_2000 + 8 * n, 3 << 62 | 0x5_0000 | 0x18f);
            }
            word(&cpu, 0x5_0000, branch(0, step, false), true);
            cpu.sh.prtb.store(0x1_0000, Ordering::Relaxed);
            cpu.sh.lpcr.fetch_or(msr::lpcr::HR | msr::lpcr::UPRT, Ordering::Relaxed);
            let mode = cpu.st.msr & !msr::SF | if sf { msr::SF } else { 0 };
            cpu.set_msr(mode | msr::IR | msr::DR);
            let mut jit = Jit::new(&pair::options()).unwrap();
            let exits = [40_000, 40_000].map(|budget| jit.run(&mut cpu, budget));
            let _ = done.send((exits, cpu.retired));
        });
        let (exits, retired) = ended
            .recv_timeout(std::time::Duration::from_secs(60))
            .unwrap_or_else(|_| panic!("64 bits: {sf}, {step:#x}: it never ends"));
        assert_eq!(exits, [Exit::Budget; 2], "64 bits: {sf}, {step:#x}");
        assert!((80_000..120_000).contains(&retired), "64 bits: {sf}, {step:#x}: {retired}");
    }
}

/// A loop that says that it waits, by low priority or by `wait`, lets others run after so many turns where that is wanted;
/// otherwise, and with other priorities, it goes on.
#[test]
fn a_loop_that_waits_lets_others_run() {
    const TURNS: u32 = 400;
    let or = |n: u32| 31 << 26 | n << 21 | n << 16 | n << 11 | 444 << 1;
    let wait = 31 << 26 | 2 << 21 | 30 << 1;
    let hints =
        [(or(1), true), (or(31), true), (wait, true), (or(2), false), (or(6), false), (or(1) | 1, false)];
    for (hint, waits) in hints {
        for patience in [None, Some(1), Some(8)] {
            let mut p = Pair::new("power10", true);
            let mut code = constant(9, TURNS).to_vec();
            code.extend([
                0x7d29_03a6,
                hint,
                addi(3, 3, 1),
                16 << 26 | 16 << 21 | (-8i32 as u32) & 0xfffc,
                SC1,
            ]);
            p.load(0x1_0000, &code);
            p.both(|c| c.patience = patience);
            let mut left = 0;
            loop {
                let exits = (p.interp.run(&mut p.a, 1 << 20), p.jit.run(&mut p.b, 1 << 20));
                let d = pair::differences(&p.a, &p.b);
                assert!(d.is_empty(), "{hint:#x}: {}", d.join("\n"));
                match exits {
                    (Exit::Confer(None), Exit::Confer(None)) => left += 1,
                    (Exit::Stop, Exit::Stop) => break,
                    other => panic!("{hint:#x}: {other:?}"),
                }
            }
            assert_eq!(p.b.st.gpr[3], TURNS as u64);
            let expected = patience.filter(|_| waits).map_or(0, |n| TURNS / n);
            assert_eq!(left, expected, "{hint:#x}, {patience:?}");
        }
    }
}

#[test]
fn a_full_cache_is_emptied() {
    let mut p = Pair::new("power9", false);
    p.jit = Jit::new(&Options { code_bytes: 1, ..pair::options() }).unwrap();
    // Long stretches of loads, jumped through again and again.
    let mut code = vec![];
    for page in 0..100u64 {
        let at = 0x1_0000 + page * 0x1000;
        code.extend(std::iter::repeat_n(0x806a_0000, 200));
        let from = at + 4 * 200;
        let to = if page == 99 { 0x8_0000 } else { at + 0x1000 };
        code.push(branch(from, to, false));
        code.resize(1024 * (page as usize + 1), NOP);
    }
    p.load(0x1_0000, &code);
    // addi r29,r29,-1; cmpdi r29,0; bne 0x10000; sc 1
    let tail = [addi(29, 29, -1), 0x2c3d_0000, 0x4182_0008, branch(0x8_000c, 0x1_0000, false), SC1];
    p.load(0x8_0000, &tail);
    p.both(|c| {
        c.st.nia = 0x1_0000;
        c.st.gpr[10] = 0x100;
        c.st.gpr[29] = 5;
    });
    agree(&mut p, "many pages");
    assert!(p.jit.stats().flushes > 0, "{:?}", p.jit.stats());
}

#[test]
fn what_was_thrown_away_is_made_anew() {
    let (at, code) = long_loop(2000);
    let mut p = Pair::new("power9", false);
    p.load(at, &code);
    p.both(|c| c.st.gpr[10] = 0x4_0000);
    assert!(!p.jit.trim(0), "there is none yet");
    let (mut exits, mut trims) = (0, 0);
    while p.jit.run(&mut p.b, 70) != Exit::Stop {
        exits += 1;
        if exits % 20 == 0 {
            assert!(!p.jit.trim(1 << 20) && p.jit.trim(0));
            p.b.tlb.trim();
            trims += 1;
        }
    }
    assert!(trims > 3, "{trims}");
    while p.interp.run(&mut p.a, u64::MAX / 2) != Exit::Stop {}
    let d = pair::differences(&p.a, &p.b);
    assert!(d.is_empty(), "{}", d.join("\n"));
}

#[test]
fn single_steps_are_taken_one_by_one() {
    let (at, code) = long_loop(20);
    let mut p = Pair::new("power9", false);
    p.load(at, &code);
    p.both(|c| {
        c.st.gpr[10] = 0x4_0000;
        // The trace handler counts and goes on.
        word(c, 0xd00, addi(31, 31, 1), false);
        word(c, 0xd04, 0x4c00_0024, false);
        c.set_msr(c.st.msr | msr::SE);
    });
    agree(&mut p, "trace");
    assert!(p.b.st.gpr[31] > 100);
}
