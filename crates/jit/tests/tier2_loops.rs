//! The programs of the other tests with every loop compiled by the second tier when it is first met.
#![allow(clippy::duplicate_mod)] // both bring their own pair of machines

#[path = "carries.rs"]
mod carries;
#[path = "programs.rs"]
mod programs;

use std::sync::atomic::{AtomicBool, Ordering};

use arch::shared::event;
use arch::{Exit, msr};
use programs::pair::{self, Pair, SC1, word};

/// li r5,turns; mtctr r5 (less than 32,768 turns).
fn counted(turns: u32, body: &[u32]) -> Vec<u32> {
    let mut code = vec![14 << 26 | 5 << 21 | turns, 0x7ca9_03a6];
    code.extend(body);
    code.push(16 << 26 | 16 << 21 | (-4 * body.len() as i64) as u32 & 0xfffc);
    code.push(SC1);
    code
}

fn agree(p: &mut Pair, what: &str) {
    let d = p.run(10_000_000).unwrap_or_else(|| panic!("{what}: no end"));
    assert!(d.is_empty(), "{what}: {}", d.join("\n"));
    let s = p.jit.stats();
    assert!(s.regions > 0 && s.region_entries > 0, "{what}: {s:?}");
}

/// lwzx r6,r3,r4; lwz r7,8(r3); lbz r8,13(r3); add r6,r6,r7; xor r6,r6,r8; stw r6,16(r3); stb r7,3(r3);
/// cmpwi cr3,r6,0; addi r3,r3,1020; andis. r9,r3,8 (0x8_0000); beq +8; addi r3,r3,-0x7ff0
const MEMORY: [u32; 12] = [
    0x7cc3_202e,
    0x80e3_0008,
    0x8903_000d,
    0x7cc6_3a14,
    0x7cc6_4278,
    0x90c3_0010,
    0x98e3_0003,
    0x2d86_0000,
    0x3863_03fc,
    0x7469_0008,
    0x4182_0008,
    0x3863_8010,
];

/// Loops whose turns need not look at every page again: one with a way out, and one of vectors.
/// ld r6,8(r3); std r6,0(r4); ldu r7,16(r3); lbzu r9,-1(r5); add r7,r7,r9; xor r12,r12,r7; cmpld r7,r11; beq out;
/// addi r4,r4,16
/// lvx v1,r3,r8; stvx v1,r4,r8; lhau r10,2(r5); stdbrx r10,r4,r8; add r12,r12,r10; xor r12,r12,r7; addi r3,r3,16;
/// addi r4,r4,16
const STRAIGHT: [&[u32]; 2] = [
    &[
        0xe8c3_0008,
        0xf8c4_0000,
        0xe8e3_0011,
        0x8d25_ffff,
        0x7ce7_4a14,
        0x7d8c_3a78,
        0x7c27_5840,
        0x4182_000c,
        0x3884_0010,
    ],
    &[0x7c23_40ce, 0x7c24_41ce, 0xad45_0002, 0x7d44_4528, 0x7d8c_5214, 0x7d8c_3a78, 0x3863_0010, 0x3884_0010],
];

#[test]
fn turns_that_keep_to_their_pages() {
    let machine = |le, code: &[u32], turns, regs: [u64; 3]| {
        let mut p = Pair::new("power9", le);
        p.load(0x1_0f40, &counted(turns, code));
        p.both(|c| {
            c.set_msr(c.st.msr | msr::VEC);
            c.st.gpr[3..6].copy_from_slice(&regs);
            c.st.gpr[8] = 32;
            c.st.gpr[11] = 0x1234_5678_9abc_def0;
            (0x7_0000..0xf_8000)
                .step_by(4)
                .for_each(|a| word(c, a, (a as u32).wrapping_mul(0x9e37_79b9), le));
        });
        p
    };
    for code in STRAIGHT {
        for (le, regs) in [
            (true, [0x7_0f40, 0xb_0000, 0xc_f123]),
            (false, [0x7_0ff3, 0xb_0ffb, 0xc_f000]),
            // What is stored is loaded again.
            (true, [0x7_0f40, 0x7_1f48, 0x9_8001]),
            (false, [0x8_0000, 0x7_fff0, 0x9_0010]),
        ] {
            for turns in [3, 4, 5, 6, 400, 9000] {
                agree(&mut machine(le, code, turns, regs), "straight");
            }
        }
        // Out of memory amid such turns.
        let size = pair::SIZE;
        for regs in [
            [size - 0x1_0008, 0xb_0000, 0xc_f123],
            [0x7_0000, size - 0x2_1003, 0xc_f123],
            [0x7_0000, 0xb_0000, size - 0x2000],
        ] {
            let mut p = machine(true, code, 32_000, regs);
            agree(&mut p, "straight out");
        }
    }
}

#[test]
fn shifts_of_such_turns_are_by_any_number() {
    let x = |op: u32, s: u32, a: u32, b: u32| 31 << 26 | s << 21 | a << 16 | b << 11 | op << 1;
    let (srd, sld, srad, xor) = (539, 27, 794, 316);
    let body = [
        x(srd, 6, 0, 10),
        x(sld, 7, 8, 9),
        // ld r6,8(r3); std r0,0(r4); ldu r7,16(r3)
        0xe8c3_0008,
        0xf804_0000,
        0xe8e3_0011,
        x(srad, 6, 11, 10),
        x(xor, 12, 12, 0),
        x(xor, 12, 12, 8),
        x(xor, 12, 12, 11),
        // addi r4,r4,16
        0x3884_0010,
    ];
    // The number of the last shift is another one each turn.
    let other: Vec<u32> = body.iter().copied().chain([x(srd, 12, 5, 7), x(xor, 12, 12, 5)]).collect();
    // It is one more between the first shift and the last, and the same when the turn ends: addi r10,r10,1; addi r10,r10,-1.
    let between: Vec<u32> =
        [body[0], 0x394a_0001].into_iter().chain(body[1..].iter().copied()).chain([0x394a_ffff]).collect();
    for code in [&body[..], &other, &between] {
        for by in [[8, 56], [0, 64], [64, 0], [70, 3], [127, 64], [1 << 32 | 5, u64::MAX], [63, 128], [1, 63]]
        {
            for turns in [5, 700, 9000] {
                let mut p = Pair::new("power9", true);
                p.load(0x1_0f40, &counted(turns, code));
                p.both(|c| {
                    c.st.gpr[3..5].copy_from_slice(&[0x7_0f40, 0xb_0000]);
                    c.st.gpr[9..11].copy_from_slice(&by);
                    (0x7_0000..0xa_0000)
                        .step_by(4)
                        .for_each(|a| word(c, a, (a as u32).wrapping_mul(0x9e37_79b9), true));
                });
                agree(&mut p, "shifts");
            }
        }
    }
}

#[test]
fn loops_over_many_pages() {
    for le in [false, true] {
        let mut p = Pair::new("power9", le);
        p.load(0x1_0f40, &counted(20_000, &MEMORY));
        p.both(|c| {
            c.st.gpr[3] = 0x7_9000;
            c.st.gpr[4] = 5;
            (0x7_0000..0xf_0000)
                .step_by(4)
                .for_each(|a| word(c, a, (a as u32).wrapping_mul(0x9e37_79b9), le));
        });
        agree(&mut p, "memory");
    }
}

/// ldu r6,8(r3); addi r3,r3,3; ld r7,-4(r3); andi. r8,r6,1; stw r7,0(r9); beq 1f; lwz r8,12(r3); stwu r8,20(r9);
/// xor r7,r7,r8; stb r7,-3(r9); ldu r8,16(r3); add r7,r7,r8; 1: std r7,8(r9); addi r9,r9,13; andis. r8,r9,8; bne 2f; b 3f;
/// 2: lis r9,7; lis r3,9; 3:
const MOVING: [u32; 19] = [
    0xe8c3_0009,
    0x3863_0003,
    0xe8e3_fffc,
    0x70c8_0001,
    0x90e9_0000,
    0x4182_001c,
    0x8103_000c,
    0x9509_0014,
    0x7ce7_4278,
    0x98e9_fffd,
    0xe903_0011,
    0x7ce7_4214,
    0xf8e9_0008,
    0x3929_000d,
    0x7528_0008,
    0x4082_0008,
    0x4800_000c,
    0x3d20_0007,
    0x3c60_0009,
];

#[test]
fn accesses_off_a_register_that_moves_agree() {
    for le in [false, true] {
        let mut p = Pair::new("power9", le);
        p.load(0x1_0f40, &counted(30_000, &MOVING));
        p.both(|c| {
            c.st.gpr[3] = 0x9_0ff0;
            c.st.gpr[9] = 0x7_0ff0;
            (0x7_0000..0xf_0000)
                .step_by(4)
                .for_each(|a| word(c, a, (a as u32).wrapping_mul(0x9e37_79b9), le));
        });
        agree(&mut p, "moving");
    }
    // Out of memory in a block after the one that looks the page up.
    let mut p = Pair::new("power9", true);
    let mut code = MOVING;
    code[15] = 0x6000_0000;
    code[16] = 0x6000_0000;
    code[17] = 0x6000_0000;
    code[18] = 0x6000_0000;
    p.load(0x1_0000, &counted(32_000, &code));
    p.both(|c| {
        c.st.gpr[3] = pair::SIZE - 0x4_0000;
        c.st.gpr[9] = 0x7_0000;
    });
    agree(&mut p, "moving out");
    assert!(p.b.st.srr0 > 0x1_0000 && p.b.st.dar >= pair::SIZE - 0x400, "{:#x}", p.b.st.dar);
}

#[test]
fn accesses_outside_memory_are_met_where_they_are_made() {
    // The same until the address leaves memory: the machine check's registers say where.
    let mut p = Pair::new("power9", true);
    let mut code = MEMORY;
    code[9] = 0x6000_0000;
    code[10] = 0x6000_0000;
    code[11] = 0x3863_0010;
    p.load(0x1_0000, &counted(20_000, &code));
    p.both(|c| c.st.gpr[3] = 0x7_9000);
    agree(&mut p, "outside");
    assert!(p.b.st.srr0 > 0x1_0000 && p.b.st.dar >= pair::SIZE - 0x400, "{:#x}", p.b.st.dar);
}

/// fmadd f1,f2,f3,f1; fadds f4,f4,f5; fmuls f6,f4,f7; fdiv f8,f1,f2; fcmpu cr1,f8,f1; bgt cr1,+8; fsub f1,f1,f9;
/// lfd f10,0(r3); fmadd f1,f10,f11,f1; stfd f1,8(r3); lfs f12,16(r3); fadds f12,f12,f5; stfs f12,16(r3); fctiwz f0,f8
const DOUBLES: [u32; 14] = [
    0xfc22_08fa,
    0xec84_282a,
    0xecc4_01f2,
    0xfd01_1024,
    0xfc88_0800,
    0x4185_0008,
    0xfc21_4828,
    0xc943_0000,
    0xfc2a_0afa,
    0xd823_0008,
    0xc183_0010,
    0xed8c_282a,
    0xd183_0010,
    0xfc00_401e,
];

fn with_numbers(p: &mut Pair) {
    p.both(|c| {
        c.set_msr(c.st.msr | msr::FP);
        c.st.gpr[3] = 0x4_0000;
        for (n, x) in [
            (0, 1.0),
            (1, 0.1),
            (2, 1.1),
            (3, -0.7),
            (4, 0.5f32 as f64),
            (5, 0.3f32 as f64),
            (7, 1.7f32 as f64),
            (9, 3.3),
            (11, 0.01),
        ] {
            c.st.vsr[n] = (f64::to_bits(x) as u128) << 64;
        }
        c.sh.ram.write(0x4_0000, &f64::to_bits(0.125).to_le_bytes()).unwrap();
        c.sh.ram.write(0x4_0010, &f32::to_bits(1.5).to_le_bytes()).unwrap();
    });
}

#[test]
fn loops_of_floating_point() {
    let mut p = Pair::new("power9", true);
    p.load(0x1_0000, &counted(5_000, &DOUBLES));
    with_numbers(&mut p);
    agree(&mut p, "doubles");
}

#[test]
fn a_change_of_the_second_page_is_seen() {
    let mut p = Pair::new("power9", true);
    // addi r3,r3,N stands at the start of the second page.
    let mut body = [0x6000_0000; 12];
    body[11] = 0x3863_0001;
    let code = counted(3_000, &body);
    let at = 0x1_1000 - 4 * 13;
    for n in 0..20u32 {
        p.load(at, &code);
        p.both(|c| {
            word(c, 0x1_1000, 0x3863_0000 | n, true);
            c.st.gpr[3] = 7;
        });
        agree(&mut p, "two pages");
        assert_eq!(p.b.st.gpr[3], 7 + 3_000 * n as u64);
    }
}

/// b or, with `lk`, bl from one address to another.
fn branch(from: u64, to: u64, lk: u32) -> u32 {
    18 << 26 | to.wrapping_sub(from) as u32 & 0x03ff_fffc | lk
}

/// Functions in pages apart: one is called twice and calls another; that returns early, or loops round a third.
fn calling(p: &mut Pair) {
    const F: u64 = 0x3_0010;
    const G: u64 = 0x5_0ff8;
    let at = 0x1_0f40;
    let first = at + 8;
    // addi r3,r3,1; bl F; addi r4,r4,3; bl F; xor r5,r5,r3
    let body = [0x3863_0001, branch(first + 4, F, 1), 0x3884_0003, branch(first + 12, F, 1), 0x7ca5_1a78];
    // mflr r0; add r6,r6,r4; bl G; mtlr r0; addi r7,r7,1; blr
    p.load(F, &[0x7c08_02a6, 0x7cc6_2214, branch(F + 8, G, 1), 0x7c08_03a6, 0x38e7_0001, 0x4e80_0020]);
    // andi. r8,r3,3; beqlr; addi r9,r9,1; addi r8,r8,-1; cmpwi r8,0; bne -12; blr
    p.load(G, &[0x7068_0003, 0x4d82_0020, 0x3929_0001, 0x3908_ffff, 0x2c08_0000, 0x4082_fff4, 0x4e80_0020]);
    p.load(at, &counted(20_000, &body));
}

#[test]
fn calls_are_part_of_a_loop() {
    for le in [false, true] {
        let mut p = Pair::new("power9", le);
        calling(&mut p);
        agree(&mut p, "calls");
        let s = p.jit.stats();
        assert!(s.region_entries < 2_000, "each call leaves the region: {s:?}");
        // A function that goes somewhere else from now on.
        p.load(0x3_0014, &[0x7cc6_2050]);
        p.load(0x1_0f40, &[]);
        agree(&mut p, "after a change of what is called");
    }
}

#[test]
fn computed_calls_are_part_of_a_loop() {
    let mut p = Pair::new("power9", true);
    // Functions 32 bytes apart: addi r4,r4,N; xor r5,r5,r4; blr, and one that is in no page with the others.
    const FUNCTIONS: u64 = 0x5_0f80;
    for n in 0..6u32 {
        let body = [0x3884_0001 + n, 0x7ca5_2278, 0x4e80_0020];
        p.load(FUNCTIONS + 32 * n as u64, &body);
    }
    // andi. r8,r3,3; slwi r8,r8,5; add r9,r10,r8; mtctr r9; bctrl; addi r3,r3,-1; cmpdi r3,0; bne -28; sc
    let slwi = 21 << 26 | 8 << 21 | 8 << 16 | 5 << 11 | 26 << 1;
    p.load(
        0x1_0000,
        &[
            0x7068_0003,
            slwi,
            0x7d2a_4214,
            0x7d29_03a6,
            0x4e80_0421,
            0x3863_ffff,
            0x2c23_0000,
            0x4082_ffe4,
            SC1,
        ],
    );
    for round in 0..2 {
        p.both(|c| {
            c.st.nia = 0x1_0000;
            c.st.gpr[3] = 30_000;
            // The second time round other functions.
            c.st.gpr[10] = FUNCTIONS + 64 * round;
        });
        agree(&mut p, "computed calls");
        let s = p.jit.stats();
        // Five retirements of some 2,000 entries each at most: one for each target that is learnt.
        assert!(s.region_entries < (round + 1) * 16_000, "each call leaves the region: {s:?}");
    }
}

#[test]
fn a_function_that_calls_itself_agrees() {
    // li r3,N; bl fib; sc. fib: cmpwi r3,2; bltlr; mflr r0; std r0,0(r1); std r3,8(r1); addi r1,r1,-32; addi r3,r3,-1;
    // bl fib; addi r1,r1,32; ld r4,8(r1); std r3,8(r1); addi r3,r4,-2; addi r1,r1,-32; bl fib; addi r1,r1,32; ld r4,8(r1);
    // add r3,r3,r4; ld r0,0(r1); mtlr r0; blr
    let at = 0x1_0000;
    let fib = at + 12;
    let mut code = vec![0x3860_0000 | 18, branch(at + 4, fib, 1), SC1];
    code.extend([0x2c03_0002, 0x4d80_0020, 0x7c08_02a6, 0xf801_0000, 0xf861_0008, 0x3821_ffe0, 0x3863_ffff]);
    code.push(branch(at + 4 * code.len() as u64, fib, 1));
    code.extend([0x3821_0020, 0xe881_0008, 0xf861_0008, 0x3864_fffe, 0x3821_ffe0]);
    code.push(branch(at + 4 * code.len() as u64, fib, 1));
    code.extend([0x3821_0020, 0xe881_0008, 0x7c63_2214, 0xe801_0000, 0x7c08_03a6, 0x4e80_0020]);
    let mut p = Pair::new("power9", true);
    p.load(at, &code);
    p.both(|c| c.st.gpr[1] = 0x8_0000);
    agree(&mut p, "fibonacci");
    assert_eq!(p.b.st.gpr[3], 2584);
}

#[test]
fn events_come_between_the_turns_of_a_compiled_loop() {
    let mut p = Pair::new("power9", true);
    p.load(0x1_0000, &counted(32_000, &DOUBLES));
    with_numbers(&mut p);
    p.both(|c| {
        word(c, 0x500, 14 << 26 | 31 << 21 | 31 << 16 | 1, true);
        word(c, 0x504, 0x4c00_0024, true);
        c.set_msr(c.st.msr | msr::EE);
    });
    while p.interp.run(&mut p.a, u64::MAX / 2) != Exit::Stop {}
    let link = p.b.link.clone();
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                link.post(event::EXTERNAL);
                std::thread::yield_now();
                link.clear(event::EXTERNAL);
                link.post(event::TLB_FLUSH);
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        });
        while p.jit.run(&mut p.b, 10_000) != Exit::Stop {}
        done.store(true, Ordering::Relaxed);
    });
    let interrupts = std::mem::take(&mut p.b.st.gpr[31]);
    p.b.retired -= 2 * interrupts;
    p.both(|c| (c.st.srr0, c.st.srr1, c.fault) = (0, 0, arch::Fault::plain(arch::Vector::Program)));
    let d = pair::differences(&p.a, &p.b);
    assert!(d.is_empty(), "{}", d.join("\n"));
    assert!(p.jit.stats().regions > 0);
}

/// A loop of `turns` turns that was entered so many `times`, whose accesses went to and fro by `step`; it was left to do
/// `aside` instructions more while 6,000 times or more were to come. The translator is called once for 10,000 instructions.
fn entered(step: u32, turns: u32, times: u32, aside: u32) -> Pair {
    let mut p = Pair::new("power9", true);
    // li r9,turns; 0: mtctr r9; 1: lwz r7,0(r3); lhz r8,8(r3); add r6,r6,r7; xor r6,r6,r8; stw r6,4(r3);
    // addi r6,r6,1 six times; xori r3,r3,step; cmpwi r4,6000; bge 3f; 2: bdnz 1b; bcl 20,31,.+4; addi r4,r4,-1;
    // cmpwi r4,0; bne 0b; sc; 3: addi r10,r10,1 `aside` times; b 2b
    let mut code = vec![14 << 26 | 9 << 21 | turns, 0x7d29_03a6];
    code.extend([0x80e3_0000, 0xa103_0008, 0x7cc6_3a14, 0x7cc6_4278, 0x90c3_0004]);
    code.extend([0x38c6_0001; 6]);
    code.extend([0x6863_0000 | step, 0x2c04_1770, 0x4080_001c]);
    code.extend([0x4200_ffc8, 0x429f_0005, 0x3884_ffff, 0x2c04_0000, 0x4082_ffb4, SC1]);
    code.extend(vec![0x394a_0001; aside as usize]);
    code.push(0x4800_0000 | (4 * (aside + 6)).wrapping_neg() & 0x03ff_fffc);
    p.load(0x1_0000, &code);
    p.both(|c| {
        c.st.gpr[3] = 0x8_0f00;
        c.st.gpr[4] = times as u64;
    });
    while p.interp.run(&mut p.a, u64::MAX / 2) != Exit::Stop {}
    while p.jit.run(&mut p.b, 10_000) != Exit::Stop {}
    let d = pair::differences(&p.a, &p.b);
    assert!(d.is_empty(), "{}", d.join("\n"));
    p
}

#[test]
fn a_loop_that_misses_its_windows_is_made_without() {
    let s = entered(0x1000, 8, 5990, 0).jit.stats();
    assert!(s.regions == 2 && s.retired_regions == 1 && s.region_entries > 5_000, "{s:?}");
    let s = entered(0x10, 8, 5990, 0).jit.stats();
    assert!(s.regions == 1 && s.retired_regions == 0 && s.region_entries > 5_000, "{s:?}");
    // However seldom it is entered.
    let s = entered(0x1000, 20_000, 6, 0).jit.stats();
    assert!(s.regions == 2 && s.retired_regions == 1 && s.region_entries < 200, "{s:?}");
    let s = entered(0x10, 20_000, 6, 0).jit.stats();
    assert!(s.regions == 1 && s.retired_regions == 0 && s.region_entries < 200, "{s:?}");
}

#[test]
fn a_loop_that_does_little_of_what_it_could_is_given_up() {
    // That with probes of its own for each access, too, and that without windows.
    for (step, aside, retired) in [(0x10, 20, 0), (0x10, 200, 2), (0x1000, 200, 3)] {
        let s = entered(step, 8, 6010, aside).jit.stats();
        assert!(s.region_instructions > aside as u64, "{s:?}");
        assert!(
            s.retired_regions == retired && (s.region_entries < 5_800) == (retired > 0),
            "{aside}: {s:?}"
        );
    }
}

#[test]
fn an_access_that_leaves_its_page_is_not_looked_up_there() {
    // Without windows. What is loaded ends 10 bytes after r3: in the second turn, the region's first, it ends in the last
    // page of memory or behind it.
    let mut p = entered(0x1000, 8, 5990, 0);
    for before in [0x40, 11, 10, 9, 8, 5, 4, 3, 1] {
        let entries = p.jit.stats().region_entries;
        p.both(|c| {
            (c.st.srr0, c.st.srr1, c.fault) = (0, 0, arch::Fault::plain(arch::Vector::Program));
            (c.st.nia, c.st.gpr[3], c.st.gpr[4]) = (0x1_0000, (pair::SIZE - before) ^ 0x1000, 1);
        });
        agree(&mut p, &format!("{before} bytes before the end"));
        assert!(p.jit.stats().region_entries > entries, "{before}");
    }
}

/// Two loops, one in the other, of so many turns, with `more` instructions than three in the inner one.
fn nested(outer: u32, inner: u32, more: u32) -> jit::Stats {
    let mut p = Pair::new("power9", true);
    let tier2 = jit::Tier2Options { threshold: 5000, ..pair::options().tier2 };
    p.jit = jit::Jit::new(&jit::Options { tier2, ..pair::options() }).unwrap();
    // 0: li r9,inner; mtctr r9; 1: add r6,r6,r3; xor r7,r7,r6; addi r8,r8,1 `more` times; bdnz 1b; addi r4,r4,-1;
    // cmpwi r4,0; bne 0b
    let back = |n: u32| (4 * (n + more)).wrapping_neg() & 0xfffc;
    let mut code = vec![14 << 26 | 9 << 21 | inner, 0x7d29_03a6, 0x7cc6_1a14, 0x7ce7_3278];
    code.extend(vec![0x3908_0001; more as usize]);
    code.extend([0x4200_0000 | back(2), 0x3884_ffff, 0x2c04_0000, 0x4082_0000 | back(7), SC1]);
    p.load(0x1_0000, &code);
    p.both(|c| {
        c.st.gpr[3] = 0x1234_5678_9abc_def1;
        c.st.gpr[4] = outer as u64;
    });
    agree(&mut p, "nested loops");
    p.jit.stats()
}

#[test]
fn a_loop_of_few_turns_is_made_with_the_loop_round_it() {
    for (outer, inner, more, alone) in [
        (15_000, 4, 0, false),
        (3_000, 200, 0, true),
        // Ten turns are few unless they are long.
        (9_000, 10, 40, false),
        (6_000, 10, 110, true),
    ] {
        let s = nested(outer, inner, more);
        let as_said =
            if alone { s.region_entries > outer as u64 / 2 } else { s.region_entries < outer as u64 / 2 };
        assert!(as_said && s.retired_regions == !alone as u64, "{inner} turns, {more} more: {s:?}");
    }
}
