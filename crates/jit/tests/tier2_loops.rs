//! The programs of the other tests with every loop compiled by the second tier when it is first met.

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
