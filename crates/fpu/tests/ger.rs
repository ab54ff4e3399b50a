//! Outer products of the matrix-multiply assist against recorded results of another implementation.
#![forbid(unsafe_code)]

#[path = "../../isa/tests/common/mod.rs"]
mod common;

use common::Machine;
use fpu::{FpRegs, FpTrap};
use isa::Insn;

const VECTORS: &str = include_str!("../../../tests/insns/mma.vec");

struct Regs {
    vsr: [u128; 64],
    fpscr: u64,
}

impl FpRegs for Regs {
    fn vsr(&self, n: usize) -> u128 {
        self.vsr[n]
    }
    fn set_vsr(&mut self, n: usize, v: u128) {
        self.vsr[n] = v;
    }
    fn fpscr(&self) -> u64 {
        self.fpscr
    }
    fn set_fpscr(&mut self, v: u64) {
        self.fpscr = v;
    }
    fn set_cr_field(&mut self, _: u32, _: u8) {}
    fn vscr(&self) -> u32 {
        0
    }
    fn set_vscr(&mut self, _: u32) {}
    fn msr_fe(&self) -> bool {
        false
    }
}

#[test]
fn recorded_results() {
    let (mut lines, mut bad) = (0, Vec::new());
    for line in VECTORS.lines().filter(|l| !l.starts_with('#')) {
        let (words, rest) = line.split_once(" | ").unwrap();
        let (input, expected) = rest.split_once(" > ").unwrap();
        let words: Vec<u32> = words.split(' ').map(|w| u32::from_str_radix(w, 16).unwrap()).collect();
        let input: Vec<u128> = input.split(' ').map(|w| u128::from_str_radix(w, 16).unwrap()).collect();
        let i = match words[..] {
            [w] => Insn::new(w),
            [p, w] => Insn::prefixed(p, w),
            _ => panic!("{line}"),
        };
        let mut m = Machine::new(true);
        m.run(i).unwrap();
        let mut r = Regs { vsr: [0; 64], fpscr: input[7] as u64 };
        (r.vsr[3], r.vsr[4], r.vsr[36], r.vsr[5]) = (input[0], input[1], input[1], input[2]);
        r.vsr[8..12].copy_from_slice(&input[3..7]);
        assert_eq!(fpu::exec(&mut r, m.fp[0]), FpTrap::None);
        let v = &r.vsr[8..12];
        let got = format!("{:x} {:x} {:x} {:x} {:x}", v[0], v[1], v[2], v[3], r.fpscr);
        lines += 1;
        if got != expected {
            let name = isa::decode(i, isa::Level::V3_1).row().map_or("?", |row| row.mnemonic);
            bad.push(format!("{name} {line}\n  got {got}"));
        }
    }
    assert!(lines > 300, "only {lines} vectors");
    assert!(bad.is_empty(), "{} of {lines} differ:\n{}", bad.len(), bad[..bad.len().min(8)].join("\n"));
}

/// Enabled exceptions are recorded and all results are written.
#[test]
fn enabled_exceptions_complete() {
    // xvf32ger acc2, vs3, vs36: infinity times zero
    let mut m = Machine::new(true);
    m.run(Insn::new(0xed03_20da)).unwrap();
    let mut r = Regs { vsr: [0; 64], fpscr: 0x80 };
    r.vsr[3] = 0x7f80_0000_3f80_0000_3f80_0000_3f80_0000;
    r.vsr[8] = u128::MAX;
    assert_eq!(fpu::exec(&mut r, m.fp[0]), FpTrap::None);
    assert_eq!((r.vsr[8], r.vsr[9]), (0x7fc0_0000_7fc0_0000_7fc0_0000_7fc0_0000, 0));
    // FX, FEX, VX, VXIMZ
    assert_eq!(r.fpscr, 0xe010_0080);
}
