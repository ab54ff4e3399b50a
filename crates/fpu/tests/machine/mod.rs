//! The smallest machine that runs floating-point instructions: registers, the semantics of `isa` for what it says
//! itself, `fpu` for what it hands on.

#[path = "../../../isa/tests/common/mod.rs"]
mod common;

use fpu::{FpRegs, FpTrap, exec};
use isa::Insn;

/// Registers.
pub struct Machine {
    pub vsr: [u128; 64],
    pub gpr: [u64; 32],
    pub fpscr: u64,
    pub cr: [u8; 8],
    pub vscr: u32,
    /// MSR[FE0] or MSR[FE1].
    pub fe: bool,
    /// The last instruction ended in an enabled-exception interrupt.
    pub trapped: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Machine { vsr: [0; 64], gpr: [0; 32], fpscr: 0, cr: [0; 8], vscr: 0, fe: true, trapped: false }
    }
}

impl Machine {
    /// Decode and run one word; false when it left the instruction.
    pub fn run(&mut self, word: u32) -> bool {
        let mut m = common::Machine::new(true);
        (m.vsr, m.gpr) = (self.vsr, self.gpr);
        if m.run(Insn::new(word)).is_err() {
            return false;
        }
        (self.vsr, self.gpr) = (m.vsr, m.gpr);
        self.trapped = false;
        for f in m.fp {
            self.trapped |= exec(self, f) == FpTrap::Enabled;
        }
        true
    }

    /// The condition register.
    pub fn cr(&self) -> u32 {
        self.cr.iter().fold(0, |w, &f| w << 4 | f as u32)
    }
}

impl FpRegs for Machine {
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
    fn set_cr_field(&mut self, n: u32, v: u8) {
        self.cr[n as usize] = v;
    }
    fn vscr(&self) -> u32 {
        self.vscr
    }
    fn set_vscr(&mut self, v: u32) {
        self.vscr = v;
    }
    fn msr_fe(&self) -> bool {
        self.fe
    }
}
