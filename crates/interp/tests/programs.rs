//! Small programs in real mode, to their last register.

mod flat;

use flat::Flat;

#[test]
fn a_counting_loop() {
    // li r3,0; li r4,1000; mtctr r4; 1: addi r3,r3,3; bdnz 1b; li r5,7; sc 1
    let mut f = Flat::new(
        "power9",
        &[0x38600000, 0x388003e8, 0x7c8903a6, 0x38630003, 0x4200fffc, 0x38a00007, 0x44000022],
    );
    f.run();
    assert_eq!(f.cpu.st.gpr[3], 3000);
    assert_eq!(f.cpu.st.gpr[5], 7);
    assert_eq!(f.cpu.retired, 3 + 2 * 1000 + 2);
}

#[test]
fn carries_overflow_and_cr0() {
    // addco. r5,r3,r4; adde r6,r7,r8; mfxer r9; mfcr r10; sc 1
    let mut f = Flat::new("power9", &[0x7ca32415, 0x7cc74114, 0x7d2102a6, 0x7d400026, 0x44000022]);
    f.cpu.st.gpr[3] = u64::MAX;
    f.cpu.st.gpr[4] = 1;
    f.cpu.st.gpr[7] = 1;
    f.cpu.st.gpr[8] = 2;
    f.run();
    assert_eq!(f.cpu.st.gpr[5], 0);
    assert_eq!(f.cpu.st.gpr[6], 4);
    assert_eq!(f.cpu.st.gpr[10] >> 28, 2, "equal");
    // adde leaves CA = 0, CA32 = 0; OV is off.
    assert_eq!(f.cpu.st.gpr[9], 0);
}

#[test]
fn store_and_load_in_both_byte_orders() {
    // li r3,0x4000; lis r4,0x1234; ori r4,r4,0x5678; stw r4,0(r3); lwbrx r5,0,r3; lhz r6,2(r3); sc 1
    let code = [0x38604000, 0x3c801234, 0x60845678, 0x90830000, 0x7ca01c2c, 0xa0c30002, 0x44000022];
    let mut f = Flat::new("power8", &code);
    f.run();
    assert_eq!((f.cpu.st.gpr[5], f.cpu.st.gpr[6]), (0x78563412, 0x5678));
    let mut f = Flat::little("power8", &code);
    f.run();
    assert_eq!((f.cpu.st.gpr[5], f.cpu.st.gpr[6]), (0x78563412, 0x1234));
}

#[test]
fn code_that_writes_itself_is_seen() {
    // li r3,0x1014; lis r4,0x3860; ori r4,r4,42 (li r3,42); bl-free: run the target once, patch, run again
    // 1000: mflr r9 (dead); 1004: li r7,0; 1008: lis r4,0x38a0; 100c: ori r4,r4,42; 1010: li r6,0x1014
    // 1014: li r5,1 ; 1018: cmpwi r7,1; 101c: beq +24; 1020: li r7,1; 1024: stw r4,0(r6); 1028: dcbst 0,r6
    // 102c: sync; 1030: icbi 0,r6; 1034: isync -> b 1014 ; sc
    let code = [
        0x7d2802a6, 0x38e00000, 0x3c8038a0, 0x6084002a, 0x38c01014, 0x38a00001, 0x2c070001, 0x41820020,
        0x38e00001, 0x90860000, 0x7c00306c, 0x7c0004ac, 0x7c0037ac, 0x4c00012c, 0x4bffffdc, 0x44000022,
    ];
    let mut f = Flat::new("power9", &code);
    f.run();
    assert_eq!(f.cpu.st.gpr[5], 42);
}

#[test]
fn reservations() {
    // li r3,0x4000; li r5,9; lwarx r4,0,r3; stwcx. r5,0,r3; mfcr r6; stwcx. r5,0,r3; mfcr r7; lwz r8,0(r3); sc 1
    let code = [
        0x38604000, 0x38a00009, 0x7c801828, 0x7ca0192d, 0x7cc00026, 0x7ca0192d, 0x7ce00026, 0x81030000,
        0x44000022,
    ];
    let mut f = Flat::new("power9", &code);
    f.run();
    assert_eq!(f.cpu.st.gpr[6] >> 28, 2, "stored");
    assert_eq!(f.cpu.st.gpr[7] >> 28, 0, "no reservation left");
    assert_eq!(f.cpu.st.gpr[8], 9);
}

#[test]
fn interrupts_save_and_enter() {
    // 1000: tdi-trap (trap), vector 0x700 holds sc 1
    let mut f = Flat::new("power9", &[0x7fe00008]);
    f.word(0x700, 0x44000022);
    f.run();
    assert_eq!(f.cpu.st.srr0, 0x1000);
    assert_eq!(f.cpu.st.srr1 & 0x783f_0000, 1 << 17);
    // An undefined word.
    let mut f = Flat::new("power9", &[0]);
    f.word(0x700, 0x44000022);
    f.run();
    assert_eq!(f.cpu.st.srr1 & 0x783f_0000, 1 << 19);
    // Floating point while MSR[FP] is off.
    let mut f = Flat::new("power9", &[0xfc20102a]);
    f.word(0x800, 0x44000022);
    f.run();
    assert_eq!((f.cpu.st.srr0, f.cpu.st.nia), (0x1000, 0x804));
}

#[test]
fn prefixed_instructions_are_eight_bytes_and_stay_in_their_block() {
    // 1000: paddi r3,0,0x12345678a ; sc 1
    let mut f = Flat::new("power10", &[0x06001234, 0x38600000 | 0x5678, 0x44000022]);
    f.run();
    assert_eq!(f.cpu.st.gpr[3], 0x1234_5678);
    assert_eq!(f.cpu.st.nia, 0x100c);
    // The same across a 64-byte boundary: alignment interrupt.
    let mut f = Flat::at("power10", 0x103c, &[0x06001234, 0x38605678]);
    f.word(0x600, 0x44000022);
    f.run();
    assert_eq!(f.cpu.st.srr0, 0x103c);
    // Not there before ISA 3.1.
    let mut f = Flat::new("power9", &[0x06001234, 0x38605678]);
    f.word(0x700, 0x44000022);
    f.run();
    assert_eq!(f.cpu.st.srr1 & 0x783f_0000, 1 << 19);
}

#[test]
fn single_step_and_branch_trace() {
    // nop; b .+8; nop; li r3,1 with MSR[SE]: the vector returns after each instruction and counts in r10.
    let run = |bit: u64| {
        let mut f = Flat::new("power9", &[0x60000000, 0x48000008, 0x60000000, 0x38600001, 0x44000022]);
        // d00: addi r10,r10,1; mfspr r11,SIAR; rfid
        for (n, w) in [0x394a0001, 0x7d7cc2a6, 0x4c000024].into_iter().enumerate() {
            f.word(0xd00 + 4 * n as u64, w);
        }
        f.cpu.set_msr(f.cpu.st.msr | bit);
        f.run();
        (f.cpu.st.gpr[10], f.cpu.st.gpr[11], f.cpu.st.gpr[3])
    };
    assert_eq!(run(arch::msr::SE), (3, 0x100c, 1), "nop, b, li");
    assert_eq!(run(arch::msr::BE), (1, 0x1004, 1), "the branch alone");
}

#[test]
fn string_loads_leave_their_address_registers_alone() {
    // li r3,0x4000; lswi r31,r3,32 (r31, r0..r6: r3 stays); li r4,12; mtxer r4; li r5,0x4000; lswx r3,0,r5 (r3, r4, r5: r5
    // stays); sc 1
    let code = [0x38604000, 0x7fe304aa, 0x3880000c, 0x7c8103a6, 0x38a04000, 0x7c602c2a, 0x44000022];
    let mut f = Flat::new("power9", &code);
    for n in 0..8u64 {
        f.cpu.sh.ram.write_u32_be(0x4000 + 4 * n, 0x100 + n as u32).unwrap();
    }
    f.run();
    let g = f.cpu.st.gpr;
    assert_eq!((g[31], g[0], g[2], g[6]), (0x100, 0x101, 0x103, 0x107));
    assert_eq!((g[3], g[4], g[5]), (0x100, 0x101, 0x4000));
}

#[test]
fn non_ieee_mode_changes_no_result() {
    // FPSCR[NI] allows results that IEEE 754 does not; like POWER8 and later processors, this one makes no use of it:
    // a denormal product stays one, and the bit is given back.
    let fmul = 63 << 26 | 1 << 21 | 2 << 16 | 3 << 6 | 25 << 1;
    let mffs = 63 << 26 | 4 << 21 | 583 << 1;
    let mut results = Vec::new();
    for ni in [0, 4] {
        let mut f = Flat::new("power9", &[fmul, mffs, 0x4400_0022]);
        f.cpu.set_msr(f.cpu.st.msr | arch::msr::FP);
        f.cpu.st.vsr[2] = (1e-300f64.to_bits() as u128) << 64;
        f.cpu.st.vsr[3] = (1e-10f64.to_bits() as u128) << 64;
        f.cpu.st.fpscr = ni;
        f.run();
        let [product, fpscr] = [1, 4].map(|n| (f.cpu.st.vsr[n] >> 64) as u64);
        assert_eq!(fpscr & 4, ni);
        results.push((product, fpscr & !4));
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0].0, (1e-300f64 * 1e-10).to_bits());
}
