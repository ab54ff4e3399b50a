//! The floating-point unit on the processor's registers.

use fpu::{FpRegs, FpTrap};
use isa::fp::FpInsn;

use crate::cpu::{Cpu, Stop};
use crate::msr::srr1;
use crate::{CpuState, Fault};

impl FpRegs for CpuState {
    fn vsr(&self, n: usize) -> u128 {
        self.vsr[n & 63]
    }
    fn set_vsr(&mut self, n: usize, v: u128) {
        self.vsr[n & 63] = v;
    }
    fn fpscr(&self) -> u64 {
        if self.fp_late.is_none() { self.fpscr } else { self.fp_late.apply(self.fpscr) }
    }
    fn set_fpscr(&mut self, v: u64) {
        self.fpscr = v;
        self.fp_late = fpu::Late::default();
        self.fp_gate = crate::state::fp_gate(v);
    }
    fn set_cr_field(&mut self, n: u32, v: u8) {
        self.cr[n as usize & 7] = v & 15;
    }
    fn vscr(&self) -> u32 {
        self.vscr
    }
    fn set_vscr(&mut self, v: u32) {
        self.vscr = v;
    }
    fn msr_fe(&self) -> bool {
        self.mode.fe
    }
}

impl Cpu {
    /// A whole floating-point instruction. The enabled-exception interrupt is precise: SRR0 is the instruction.
    #[inline]
    pub fn fp_insn(&mut self, f: FpInsn) -> Result<(), Stop> {
        if !self.st.fp_late.is_none() {
            let v = self.st.fpscr();
            self.st.set_fpscr(v);
        }
        match fpu::exec(&mut *self.st, f) {
            FpTrap::None => Ok(()),
            FpTrap::Enabled => Err(self.raise(Fault::program(srr1::FP_ENABLED))),
        }
    }
}
