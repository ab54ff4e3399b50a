//! The smallest engine that runs floating-point instructions: registers and the builder primitives they use.

use fpu::{FpRegs, FpTrap, exec};
use isa::{
    Acc, Barrier, Builder, CarryIn, Facility, Helper, Insn, Lane, Level, Mode, Op1, Op2, Program, Rel,
    builder::Rare2,
    fp::FpInsn,
    wide::{W1, W2, W3},
};

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
    /// Decode and run one word; false when it is no instruction.
    pub fn run(&mut self, word: u32) -> bool {
        let i = Insn::new(word);
        let op = isa::decode(i, Level::V3_1);
        isa::exec(op, self, i).is_ok()
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

impl Builder for Machine {
    type V = u64;
    type W = u128;
    type C = bool;
    type Stop = ();

    fn mode(&self) -> Mode {
        Mode { sf: true, le: true, fp: true, vec: true, vsx: true, level: Level::V3_1, ..Mode::default() }
    }
    fn cia(&self) -> u64 {
        0
    }
    fn program(&mut self, _why: Program) {}
    fn unavailable(&mut self, _f: Facility) -> () {
        unreachable!()
    }
    fn alignment(&mut self, _ea: u64) -> () {
        unreachable!()
    }
    fn absent(&mut self, _i: Insn) -> () {
        unreachable!()
    }
    fn trap_if(&mut self, _c: bool) -> Result<(), ()> {
        unreachable!()
    }
    fn imm(&mut self, x: u64) -> u64 {
        x
    }
    fn op1(&mut self, op: Op1, a: u64) -> u64 {
        match op {
            Op1::Extu32 => a & 0xffff_ffff,
            _ => unreachable!("{op:?}"),
        }
    }
    fn op2(&mut self, op: Op2, a: u64, b: u64) -> u64 {
        match op {
            Op2::And => a & b,
            Op2::Or => a | b,
            Op2::Xor => a ^ b,
            Op2::Shl => a << (b & 63),
            Op2::Shr => a >> (b & 63),
            _ => unreachable!("{op:?}"),
        }
    }
    fn rare2(&mut self, _op: Rare2, _a: u64, _b: u64) -> u64 {
        unreachable!()
    }
    fn divide_ext(&mut self, _a: u64, _b: u64, _signed: bool) -> (u64, bool) {
        unreachable!()
    }
    fn rel(&mut self, r: Rel, a: u64, b: u64) -> bool {
        match r {
            Rel::Eq => a == b,
            Rel::Ne => a != b,
            Rel::Lts => (a as i64) < b as i64,
            Rel::Gts => (a as i64) > b as i64,
            Rel::Ltu => a < b,
            Rel::Gtu => a > b,
        }
    }
    fn test_bit(&mut self, _a: u64, _n: u32) -> bool {
        unreachable!()
    }
    fn select(&mut self, c: bool, a: u64, b: u64) -> u64 {
        if c { a } else { b }
    }
    fn c_value(&mut self, c: bool) -> u64 {
        c as u64
    }
    fn c_const(&mut self, c: bool) -> bool {
        c
    }
    fn c_and(&mut self, a: bool, b: bool) -> bool {
        a && b
    }
    fn c_or(&mut self, a: bool, b: bool) -> bool {
        a || b
    }
    fn c_xor(&mut self, a: bool, b: bool) -> bool {
        a != b
    }
    fn c_not(&mut self, a: bool) -> bool {
        !a
    }
    fn gpr(&mut self, n: u32) -> u64 {
        self.gpr[n as usize]
    }
    fn set_gpr(&mut self, n: u32, v: u64) {
        self.gpr[n as usize] = v;
    }
    fn lr(&mut self) -> u64 {
        unreachable!()
    }
    fn set_lr(&mut self, _v: u64) {
        unreachable!()
    }
    fn ctr(&mut self) -> u64 {
        unreachable!()
    }
    fn set_ctr(&mut self, _v: u64) {
        unreachable!()
    }
    fn tar(&mut self) -> Result<u64, ()> {
        unreachable!()
    }
    fn cr_field(&mut self, _n: u32) -> u64 {
        unreachable!()
    }
    fn set_cr_field(&mut self, _n: u32, _v: u64) {
        unreachable!()
    }
    fn cr_bit(&mut self, _n: u32) -> bool {
        unreachable!()
    }
    fn set_cr_bit(&mut self, _n: u32, _c: bool) {
        unreachable!()
    }
    fn cr_compare(&mut self, _n: u32, _signed: bool, _wide: bool, _a: u64, _b: u64) {
        unreachable!()
    }
    fn cr(&mut self) -> u64 {
        unreachable!()
    }
    fn xer(&mut self) -> u64 {
        unreachable!()
    }
    fn set_xer(&mut self, _v: u64) {
        unreachable!()
    }
    fn so(&mut self) -> bool {
        unreachable!()
    }
    fn ca(&mut self) -> bool {
        unreachable!()
    }
    fn set_ov(&mut self, _ov: bool, _ov32: bool) {
        unreachable!()
    }
    fn set_ca(&mut self, _ca: bool, _ca32: bool) {
        unreachable!()
    }
    fn add_xer(&mut self, _a: u64, _b: u64, _cin: CarryIn, _ca: bool, _ov: bool) -> u64 {
        unreachable!()
    }
    fn jump(&mut self, _target: u64) {
        unreachable!()
    }
    fn jump_if(&mut self, _c: bool, _target: u64) {
        unreachable!()
    }
    fn jump_to(&mut self, _c: Option<bool>, _v: u64) {
        unreachable!()
    }
    fn load(&mut self, _ea: u64, _acc: Acc) -> Result<u64, ()> {
        unreachable!()
    }
    fn store(&mut self, _ea: u64, _v: u64, _acc: Acc) -> Result<(), ()> {
        unreachable!()
    }
    fn load_w(&mut self, _ea: u64, _lane: Lane) -> Result<u128, ()> {
        unreachable!()
    }
    fn store_w(&mut self, _ea: u64, _v: u128, _lane: Lane) -> Result<(), ()> {
        unreachable!()
    }
    fn load_q(&mut self, _ea: u64) -> Result<u128, ()> {
        unreachable!()
    }
    fn store_q(&mut self, _ea: u64, _v: u128) -> Result<(), ()> {
        unreachable!()
    }
    fn load_part(&mut self, _ea: u64, _n: u64, _lane: Lane) -> Result<u128, ()> {
        unreachable!()
    }
    fn store_part(&mut self, _ea: u64, _v: u128, _n: u64, _lane: Lane) -> Result<(), ()> {
        unreachable!()
    }
    fn larx(&mut self, _ea: u64, _size: u8) -> Result<u64, ()> {
        unreachable!()
    }
    fn stcx(&mut self, _ea: u64, _v: u64, _size: u8) -> Result<bool, ()> {
        unreachable!()
    }
    fn lqarx(&mut self, _ea: u64) -> Result<u128, ()> {
        unreachable!()
    }
    fn stqcx(&mut self, _ea: u64, _v: u128) -> Result<bool, ()> {
        unreachable!()
    }
    fn dcbz(&mut self, _ea: u64) -> Result<(), ()> {
        unreachable!()
    }
    fn barrier(&mut self, _k: Barrier) {
        unreachable!()
    }
    fn fpr(&mut self, n: u32) -> u64 {
        (self.vsr[n as usize] >> 64) as u64
    }
    fn set_fpr(&mut self, n: u32, v: u64) {
        self.vsr[n as usize] = (v as u128) << 64;
    }
    fn vsr(&mut self, n: u32) -> u128 {
        self.vsr[n as usize]
    }
    fn set_vsr(&mut self, n: u32, w: u128) {
        self.vsr[n as usize] = w;
    }
    fn single_to_double(&mut self, v: u64) -> u64 {
        fpu::double_bits(v as u32)
    }
    fn double_to_single(&mut self, v: u64) -> u64 {
        fpu::single_bits(v) as u64
    }
    fn w_imm(&mut self, x: u128) -> u128 {
        x
    }
    fn w_pair(&mut self, hi: u64, lo: u64) -> u128 {
        (hi as u128) << 64 | lo as u128
    }
    fn w_hi(&mut self, w: u128) -> u64 {
        (w >> 64) as u64
    }
    fn w_lo(&mut self, w: u128) -> u64 {
        w as u64
    }
    fn w1(&mut self, _op: W1, _a: u128) -> u128 {
        unreachable!()
    }
    fn w2(&mut self, _op: W2, _a: u128, _b: u128) -> u128 {
        unreachable!()
    }
    fn w3(&mut self, _op: W3, _a: u128, _b: u128, _c: u128) -> u128 {
        unreachable!()
    }
    fn w2_sat(&mut self, _op: W2, _a: u128, _b: u128) -> u128 {
        unreachable!()
    }
    fn w3_sat(&mut self, _op: W3, _a: u128, _b: u128, _c: u128) -> u128 {
        unreachable!()
    }
    fn fp_insn(&mut self, f: FpInsn) -> Result<(), ()> {
        self.trapped = exec(self, f) == FpTrap::Enabled;
        Ok(())
    }
    fn helper(&mut self, _h: Helper, _i: Insn) -> Result<(), ()> {
        unreachable!()
    }
}
