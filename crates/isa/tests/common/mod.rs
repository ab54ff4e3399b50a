//! A machine of registers and 128 bytes of memory that computes what the rows say.

use isa::{
    Acc, Barrier, Builder, CarryIn, Facility, Helper, Insn, Lane, Level, Mode, Op1, Op2, Program, Rel,
    builder::Rare2,
    fp, rare,
    wide::{self, W1, W2, W3},
};

/// Why an instruction did not complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    Program(Program),
    Unavailable(Facility),
    Absent,
    Memory,
}

/// Where memory begins.
pub const BASE: u64 = 0x2000_0000;

pub struct Machine {
    pub mode: Mode,
    pub gpr: [u64; 32],
    pub vsr: [u128; 64],
    pub cr: u32,
    pub sat: bool,
    pub cia: u64,
    /// Floating-point instructions met, for someone else to carry out.
    pub fp: Vec<fp::FpInsn>,
    /// Memory from address `BASE` on.
    pub mem: [u8; 128],
}

impl Machine {
    pub fn new(le: bool) -> Self {
        let mode =
            Mode { sf: true, le, pr: false, fp: true, vec: true, vsx: true, fe: false, level: Level::V3_1 };
        Machine { mode, gpr: [0; 32], vsr: [0; 64], cr: 0, sat: false, cia: 0, fp: Vec::new(), mem: [0; 128] }
    }
    /// Decode and run one instruction.
    pub fn run(&mut self, i: Insn) -> Result<(), Stop> {
        isa::exec(isa::decode(i, self.mode.level), self, i)
    }
    fn span(&mut self, ea: u64, n: usize) -> Result<&mut [u8], Stop> {
        let at: usize = ea.checked_sub(BASE).and_then(|at| at.try_into().ok()).ok_or(Stop::Memory)?;
        self.mem.get_mut(at..).and_then(|m| m.get_mut(..n)).ok_or(Stop::Memory)
    }
    /// Swap the bytes of each element where memory order differs from register order.
    fn order(&self, bytes: &mut [u8], lane: usize) {
        if self.mode.le {
            bytes.chunks_mut(lane).for_each(<[u8]>::reverse);
        }
    }
}

impl Builder for Machine {
    type V = u64;
    type W = u128;
    type C = bool;
    type Stop = Stop;

    fn mode(&self) -> Mode {
        self.mode
    }
    fn cia(&self) -> u64 {
        self.cia
    }
    fn program(&mut self, why: Program) -> Stop {
        Stop::Program(why)
    }
    fn unavailable(&mut self, f: Facility) -> Stop {
        Stop::Unavailable(f)
    }
    fn alignment(&mut self, _: u64) -> Stop {
        Stop::Memory
    }
    fn absent(&mut self, _: Insn) -> Stop {
        Stop::Absent
    }
    fn trap_if(&mut self, c: bool) -> Result<(), Stop> {
        if c { Err(Stop::Program(Program::Trap)) } else { Ok(()) }
    }
    fn imm(&mut self, x: u64) -> u64 {
        x
    }
    fn op1(&mut self, op: Op1, a: u64) -> u64 {
        rare::op1(op, a)
    }
    fn op2(&mut self, op: Op2, a: u64, b: u64) -> u64 {
        rare::op2(op, a, b)
    }
    fn rare2(&mut self, op: Rare2, a: u64, b: u64) -> u64 {
        rare::eval(op, a, b)
    }
    fn divide_ext(&mut self, a: u64, b: u64, signed: bool) -> (u64, bool) {
        rare::divide_ext(a, b, signed)
    }
    fn rel(&mut self, r: Rel, a: u64, b: u64) -> bool {
        rare::rel(r, a, b)
    }
    fn test_bit(&mut self, a: u64, n: u32) -> bool {
        a >> n & 1 != 0
    }
    fn select(&mut self, c: bool, a: u64, b: u64) -> u64 {
        if c { a } else { b }
    }
    fn c_value(&mut self, c: bool) -> u64 {
        c.into()
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
        0
    }
    fn set_lr(&mut self, _: u64) {}
    fn ctr(&mut self) -> u64 {
        0
    }
    fn set_ctr(&mut self, _: u64) {}
    fn tar(&mut self) -> Result<u64, Stop> {
        Ok(0)
    }
    fn cr_field(&mut self, n: u32) -> u64 {
        (self.cr >> (28 - 4 * n) & 15).into()
    }
    fn set_cr_field(&mut self, n: u32, v: u64) {
        let at = 28 - 4 * n;
        self.cr = self.cr & !(15 << at) | (v as u32 & 15) << at;
    }
    fn cr_bit(&mut self, n: u32) -> bool {
        self.cr >> (31 - n) & 1 != 0
    }
    fn set_cr_bit(&mut self, n: u32, c: bool) {
        self.cr = self.cr & !(1 << (31 - n)) | u32::from(c) << (31 - n);
    }
    fn cr_compare(&mut self, _: u32, _: bool, _: bool, _: u64, _: u64) {}
    fn cr(&mut self) -> u64 {
        self.cr.into()
    }
    fn xer(&mut self) -> u64 {
        0
    }
    fn set_xer(&mut self, _: u64) {}
    fn so(&mut self) -> bool {
        false
    }
    fn ca(&mut self) -> bool {
        false
    }
    fn set_ov(&mut self, _: bool, _: bool) {}
    fn set_ca(&mut self, _: bool, _: bool) {}
    fn add_xer(&mut self, a: u64, b: u64, _: CarryIn, _: bool, _: bool) -> u64 {
        a.wrapping_add(b)
    }
    fn jump(&mut self, _: u64) {}
    fn jump_if(&mut self, _: bool, _: u64) {}
    fn jump_to(&mut self, _: Option<bool>, _: u64) {}
    fn load(&mut self, ea: u64, acc: Acc) -> Result<u64, Stop> {
        let size = acc.size as usize;
        let mut b = [0; 8];
        b[8 - size..].copy_from_slice(self.span(ea, size)?);
        if self.mode.le != acc.rev {
            b[8 - size..].reverse();
        }
        let v = u64::from_be_bytes(b);
        let unused = 64 - 8 * size as u32;
        Ok(if acc.signed { ((v << unused) as i64 >> unused) as u64 } else { v })
    }
    fn store(&mut self, ea: u64, v: u64, acc: Acc) -> Result<(), Stop> {
        let size = acc.size as usize;
        let mut b = v.to_be_bytes();
        if self.mode.le != acc.rev {
            b[8 - size..].reverse();
        }
        self.span(ea, size)?.copy_from_slice(&b[8 - size..]);
        Ok(())
    }
    fn load_w(&mut self, ea: u64, lane: Lane) -> Result<u128, Stop> {
        let mut b = [0; 16];
        b.copy_from_slice(self.span(ea, 16)?);
        self.order(&mut b, lane.into());
        Ok(u128::from_be_bytes(b))
    }
    fn store_w(&mut self, ea: u64, v: u128, lane: Lane) -> Result<(), Stop> {
        let mut b = v.to_be_bytes();
        self.order(&mut b, lane.into());
        self.span(ea, 16)?.copy_from_slice(&b);
        Ok(())
    }
    fn load_q(&mut self, ea: u64) -> Result<u128, Stop> {
        self.load_w(ea, 16)
    }
    fn store_q(&mut self, ea: u64, v: u128) -> Result<(), Stop> {
        self.store_w(ea, v, 16)
    }
    fn load_part(&mut self, ea: u64, n: u64, lane: Lane) -> Result<u128, Stop> {
        let mut b = [0; 16];
        b[..n as usize].copy_from_slice(self.span(ea, n as usize)?);
        self.order(&mut b, lane.into());
        Ok(u128::from_be_bytes(b))
    }
    fn store_part(&mut self, ea: u64, v: u128, n: u64, lane: Lane) -> Result<(), Stop> {
        let mut b = v.to_be_bytes();
        self.order(&mut b, lane.into());
        self.span(ea, n as usize)?.copy_from_slice(&b[..n as usize]);
        Ok(())
    }
    fn larx(&mut self, ea: u64, size: u8) -> Result<u64, Stop> {
        self.load(ea, Acc::u(size))
    }
    fn stcx(&mut self, _: u64, _: u64, _: u8) -> Result<bool, Stop> {
        Ok(false)
    }
    fn lqarx(&mut self, ea: u64) -> Result<u128, Stop> {
        self.load_w(ea, 16)
    }
    fn stqcx(&mut self, _: u64, _: u128) -> Result<bool, Stop> {
        Ok(false)
    }
    fn dcbz(&mut self, _: u64) -> Result<(), Stop> {
        Ok(())
    }
    fn barrier(&mut self, _: Barrier) {}
    fn fpr(&mut self, n: u32) -> u64 {
        (self.vsr[n as usize] >> 64) as u64
    }
    fn set_fpr(&mut self, n: u32, v: u64) {
        self.vsr[n as usize] = u128::from(v) << 64;
    }
    fn vsr(&mut self, n: u32) -> u128 {
        self.vsr[n as usize]
    }
    fn set_vsr(&mut self, n: u32, w: u128) {
        self.vsr[n as usize] = w;
    }
    fn single_to_double(&mut self, v: u64) -> u64 {
        rare::single_to_double(v as u32)
    }
    fn double_to_single(&mut self, v: u64) -> u64 {
        rare::double_to_single(v).into()
    }
    fn w_imm(&mut self, x: u128) -> u128 {
        x
    }
    fn w_pair(&mut self, hi: u64, lo: u64) -> u128 {
        u128::from(hi) << 64 | u128::from(lo)
    }
    fn w_hi(&mut self, w: u128) -> u64 {
        (w >> 64) as u64
    }
    fn w_lo(&mut self, w: u128) -> u64 {
        w as u64
    }
    fn w1(&mut self, op: W1, a: u128) -> u128 {
        wide::eval1(op, a)
    }
    fn w2(&mut self, op: W2, a: u128, b: u128) -> u128 {
        wide::eval2(op, a, b)
    }
    fn w3(&mut self, op: W3, a: u128, b: u128, c: u128) -> u128 {
        wide::eval3(op, a, b, c)
    }
    fn w2_sat(&mut self, op: W2, a: u128, b: u128) -> u128 {
        let (r, sat) = wide::eval2_sat(op, a, b);
        self.sat |= sat;
        r
    }
    fn w3_sat(&mut self, op: W3, a: u128, b: u128, c: u128) -> u128 {
        let (r, sat) = wide::eval3_sat(op, a, b, c);
        self.sat |= sat;
        r
    }
    fn fp_insn(&mut self, f: fp::FpInsn) -> Result<(), Stop> {
        self.fp.push(f);
        Ok(())
    }
    fn helper(&mut self, h: Helper, i: Insn) -> Result<(), Stop> {
        match h {
            Helper::Mfvscr => self.vsr[i.vrt() as usize + 32] = self.sat.into(),
            Helper::Mtvscr => self.sat = self.vsr[i.vrb() as usize + 32] & 1 != 0,
            _ => return Err(Stop::Absent),
        }
        Ok(())
    }
}
