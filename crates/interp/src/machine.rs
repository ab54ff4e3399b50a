//! The builder over concrete values: what the semantics of an instruction do to a processor, now.

use arch::msr::srr1;
use arch::{Cpu, Fault, Stop, Vector};
use isa::builder::Rare2;
use isa::fp::FpInsn;
use isa::wide::{self, W1, W2, W3};
use isa::{
    Acc, Barrier, Builder, CarryIn, Facility, Helper, Insn, Lane, Level, Mode, Op1, Op2, Program, Rel, rare,
};

/// A processor in the middle of an instruction.
pub struct Machine<'a> {
    /// The processor.
    pub cpu: &'a mut Cpu,
    /// Address of this instruction.
    pub cia: u64,
    /// Address of the next one, so far.
    pub nia: u64,
    /// A branch was taken.
    pub branched: bool,
}

/// Turn a little-endian number of 16 bytes in memory into a register: elements of `lane` bytes, each in the byte
/// order `le`, element 0 at the lowest address and leftmost.
#[inline(always)]
fn elements(raw: u128, lane: Lane, le: bool) -> u128 {
    let be = raw.swap_bytes(); // big-endian: memory order is register order
    if !le {
        return be;
    }
    match lane {
        16 => raw,
        8 => raw.rotate_left(64),
        4 => {
            let x = raw.rotate_left(64);
            (x & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff) << 32
                | (x >> 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff
        }
        2 => {
            const M: u128 = 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
            (be & M) << 8 | (be >> 8) & M
        }
        _ => be,
    }
}

impl Machine<'_> {
    #[inline(always)]
    fn swap(&self, v: u64, acc: Acc) -> u64 {
        if self.cpu.st.mode.le != acc.rev { v } else { v.swap_bytes() >> (64 - 8 * acc.size as u32) }
    }

    #[inline(always)]
    fn swap16(&self, v: u128) -> u128 {
        if self.cpu.st.mode.le { v } else { v.swap_bytes() }
    }
}

impl Builder for Machine<'_> {
    type V = u64;
    type W = u128;
    type C = bool;
    type Stop = Stop;

    #[inline(always)]
    fn mode(&self) -> Mode {
        self.cpu.st.mode
    }
    #[inline(always)]
    fn cia(&self) -> u64 {
        self.cia
    }

    #[cold]
    fn program(&mut self, why: Program) -> Stop {
        self.cpu.raise(Fault::program(match why {
            Program::Illegal => srr1::ILLEGAL,
            Program::Privileged => srr1::PRIVILEGED,
            Program::Trap => srr1::TRAP,
        }))
    }
    #[cold]
    fn unavailable(&mut self, f: Facility) -> Stop {
        self.cpu.raise(Fault::plain(match f {
            Facility::Fp => Vector::FpUnavailable,
            Facility::Vec => Vector::VectorUnavailable,
            Facility::Vsx => Vector::VsxUnavailable,
        }))
    }
    #[cold]
    fn alignment(&mut self, ea: u64) -> Stop {
        self.cpu.alignment(ea)
    }
    #[cold]
    fn absent(&mut self, i: Insn) -> Stop {
        let op = isa::decode(i, self.cpu.st.level);
        self.cpu.env.absent(op.row().map_or("?", |r| r.mnemonic), i.raw);
        self.program(Program::Illegal)
    }
    #[inline(always)]
    fn trap_if(&mut self, c: bool) -> Result<(), Stop> {
        if c { Err(self.program(Program::Trap)) } else { Ok(()) }
    }

    #[inline(always)]
    fn imm(&mut self, x: u64) -> u64 {
        x
    }
    #[inline(always)]
    fn op1(&mut self, op: Op1, a: u64) -> u64 {
        rare::op1(op, a)
    }
    #[inline(always)]
    fn op2(&mut self, op: Op2, a: u64, b: u64) -> u64 {
        rare::op2(op, a, b)
    }
    fn rare2(&mut self, op: Rare2, a: u64, b: u64) -> u64 {
        rare::eval(op, a, b)
    }
    fn divide_ext(&mut self, a: u64, b: u64, signed: bool) -> (u64, bool) {
        rare::divide_ext(a, b, signed)
    }
    #[inline(always)]
    fn rel(&mut self, r: Rel, a: u64, b: u64) -> bool {
        rare::rel(r, a, b)
    }
    #[inline(always)]
    fn test_bit(&mut self, a: u64, n: u32) -> bool {
        a >> n & 1 != 0
    }
    #[inline(always)]
    fn select(&mut self, c: bool, a: u64, b: u64) -> u64 {
        if c { a } else { b }
    }
    #[inline(always)]
    fn c_value(&mut self, c: bool) -> u64 {
        c as u64
    }
    #[inline(always)]
    fn c_const(&mut self, c: bool) -> bool {
        c
    }
    #[inline(always)]
    fn c_and(&mut self, a: bool, b: bool) -> bool {
        a & b
    }
    #[inline(always)]
    fn c_or(&mut self, a: bool, b: bool) -> bool {
        a | b
    }
    #[inline(always)]
    fn c_xor(&mut self, a: bool, b: bool) -> bool {
        a ^ b
    }
    #[inline(always)]
    fn c_not(&mut self, a: bool) -> bool {
        !a
    }

    #[inline(always)]
    fn gpr(&mut self, n: u32) -> u64 {
        self.cpu.st.gpr[n as usize & 31]
    }
    #[inline(always)]
    fn set_gpr(&mut self, n: u32, v: u64) {
        self.cpu.st.gpr[n as usize & 31] = v;
    }
    #[inline(always)]
    fn lr(&mut self) -> u64 {
        self.cpu.st.lr
    }
    #[inline(always)]
    fn set_lr(&mut self, v: u64) {
        self.cpu.st.lr = v;
    }
    #[inline(always)]
    fn ctr(&mut self) -> u64 {
        self.cpu.st.ctr
    }
    #[inline(always)]
    fn set_ctr(&mut self, v: u64) {
        self.cpu.st.ctr = v;
    }
    fn tar(&mut self) -> Result<u64, Stop> {
        self.cpu.tar()
    }

    #[inline(always)]
    fn cr_field(&mut self, n: u32) -> u64 {
        self.cpu.st.cr_field(n as usize & 7).into()
    }
    #[inline(always)]
    fn set_cr_field(&mut self, n: u32, v: u64) {
        self.cpu.st.cr[n as usize & 7] = v as u8 & 15;
    }
    #[inline(always)]
    fn cr_bit(&mut self, n: u32) -> bool {
        self.cpu.st.cr_field(n as usize >> 2 & 7) >> (3 - (n & 3)) & 1 != 0
    }
    #[inline(always)]
    fn set_cr_bit(&mut self, n: u32, c: bool) {
        let (f, bit) = (n as usize >> 2 & 7, 3 - (n & 3));
        self.cpu.st.cr[f] = self.cpu.st.cr_field(f) & !(1 << bit) | (c as u8) << bit;
    }
    #[inline(always)]
    fn cr_compare(&mut self, n: u32, signed: bool, wide: bool, a: u64, b: u64) {
        let order = match (signed, wide) {
            (true, true) => (a as i64).cmp(&(b as i64)),
            (true, false) => (a as i32).cmp(&(b as i32)),
            (false, true) => a.cmp(&b),
            (false, false) => (a as u32).cmp(&(b as u32)),
        };
        let f = match order {
            std::cmp::Ordering::Less => 8,
            std::cmp::Ordering::Greater => 4,
            std::cmp::Ordering::Equal => 2,
        };
        self.cpu.st.cr[n as usize & 7] = f | self.cpu.st.xer_so;
    }
    #[inline(always)]
    fn cr(&mut self) -> u64 {
        self.cpu.st.cr_word() as u64
    }

    fn xer(&mut self) -> u64 {
        self.cpu.st.xer()
    }
    fn set_xer(&mut self, v: u64) {
        self.cpu.st.set_xer(v);
    }
    #[inline(always)]
    fn so(&mut self) -> bool {
        self.cpu.st.xer_so != 0
    }
    #[inline(always)]
    fn ca(&mut self) -> bool {
        self.cpu.st.xer_ca != 0
    }
    #[inline(always)]
    fn set_ov(&mut self, ov: bool, ov32: bool) {
        let st = &mut *self.cpu.st;
        st.xer_ov = ov as u8;
        st.xer_ov32 = ov32 as u8;
        if ov {
            st.settle_so();
            st.xer_so = 1;
        }
    }
    #[inline(always)]
    fn set_ca(&mut self, ca: bool, ca32: bool) {
        let st = &mut *self.cpu.st;
        st.xer_ca = ca as u8;
        st.xer_ca32 = ca32 as u8;
    }
    #[inline(always)]
    fn add_xer(&mut self, a: u64, b: u64, cin: CarryIn, ca: bool, ov: bool) -> u64 {
        let c = match cin {
            CarryIn::Zero => 0,
            CarryIn::One => 1,
            CarryIn::Ca => self.cpu.st.xer_ca as u64,
        };
        let (s, c1) = a.overflowing_add(b);
        let (s, c2) = s.overflowing_add(c);
        // Carries into each bit are a ^ b ^ s; the one out of bit 31 (counted from the right) goes into bit 32.
        let c32 = (a ^ b ^ s) >> 32 & 1 != 0;
        let o64 = ((a ^ s) & (b ^ s)) >> 63 != 0;
        let o32 = ((a ^ s) & (b ^ s)) >> 31 & 1 != 0;
        let sf = self.cpu.st.mode.sf;
        if ca {
            self.set_ca(if sf { c1 | c2 } else { c32 }, c32);
        }
        if ov {
            self.set_ov(if sf { o64 } else { o32 }, o32);
        }
        s
    }

    #[inline(always)]
    fn jump(&mut self, target: u64) {
        self.nia = target;
        self.branched = true;
    }
    #[inline(always)]
    fn jump_if(&mut self, c: bool, target: u64) {
        if c {
            self.nia = target;
            self.branched = true;
        }
    }
    #[inline(always)]
    fn jump_to(&mut self, c: Option<bool>, v: u64) {
        if c.unwrap_or(true) {
            self.nia = v & !3;
            self.branched = true;
        }
    }

    #[inline(always)]
    fn load(&mut self, ea: u64, acc: Acc) -> Result<u64, Stop> {
        let v = self.cpu.load(ea, acc.size)?;
        let v = self.swap(v, acc);
        Ok(if acc.signed {
            let sh = 64 - 8 * acc.size as u32;
            ((v << sh) as i64 >> sh) as u64
        } else {
            v
        })
    }
    #[inline(always)]
    fn store(&mut self, ea: u64, v: u64, acc: Acc) -> Result<(), Stop> {
        // Bytes above the access's size do not matter to the store; swapping brings the low ones into place.
        let v = if self.cpu.st.mode.le != acc.rev { v } else { v.swap_bytes() >> (64 - 8 * acc.size as u32) };
        self.cpu.store(ea, v, acc.size)
    }
    #[inline(always)]
    fn load_w(&mut self, ea: u64, lane: Lane) -> Result<u128, Stop> {
        let v = self.cpu.load16(ea)?;
        Ok(elements(v, lane, self.cpu.st.mode.le))
    }
    #[inline(always)]
    fn store_w(&mut self, ea: u64, v: u128, lane: Lane) -> Result<(), Stop> {
        let v = unelements(v, lane, self.cpu.st.mode.le);
        self.cpu.store16(ea, v)
    }
    fn load_part(&mut self, ea: u64, n: u64, lane: Lane) -> Result<u128, Stop> {
        let n = n.min(16);
        let number = lane == 16 && self.cpu.st.mode.le;
        let mut w = 0u128;
        for k in 0..n {
            let at = self.wrap(ea.wrapping_add(k));
            let b = self.cpu.load(at, 1)? as u128;
            w |= if number { b << (8 * k) } else { b << (120 - 8 * k) };
        }
        Ok(w)
    }
    fn store_part(&mut self, ea: u64, v: u128, n: u64, lane: Lane) -> Result<(), Stop> {
        let n = n.min(16);
        let number = lane == 16 && self.cpu.st.mode.le;
        if n > 0 {
            // Both ends are reached before any byte is written.
            for at in [ea, self.wrap(ea.wrapping_add(n - 1))] {
                self.cpu.real_of(at, mem::Access::Write)?;
            }
        }
        for k in 0..n {
            let at = self.wrap(ea.wrapping_add(k));
            let b = if number { v >> (8 * k) } else { v >> (120 - 8 * k) };
            self.cpu.store(at, b as u64 & 0xff, 1)?;
        }
        Ok(())
    }
    fn load_q(&mut self, ea: u64) -> Result<u128, Stop> {
        let v = self.cpu.load_quad(ea)?;
        Ok(self.swap16(v))
    }
    fn store_q(&mut self, ea: u64, v: u128) -> Result<(), Stop> {
        let v = self.swap16(v);
        self.cpu.store_quad(ea, v)
    }
    fn larx(&mut self, ea: u64, size: u8) -> Result<u64, Stop> {
        let v = self.cpu.larx(ea, size)?;
        Ok(self.swap(v, Acc::u(size)))
    }
    fn stcx(&mut self, ea: u64, v: u64, size: u8) -> Result<bool, Stop> {
        let v = self.swap(v, Acc::u(size));
        self.cpu.stcx(ea, v, size)
    }
    fn lqarx(&mut self, ea: u64) -> Result<u128, Stop> {
        let v = self.cpu.lqarx(ea)?;
        Ok(self.swap16(v))
    }
    fn stqcx(&mut self, ea: u64, v: u128) -> Result<bool, Stop> {
        let v = self.swap16(v);
        self.cpu.stqcx(ea, v)
    }
    fn dcbz(&mut self, ea: u64) -> Result<(), Stop> {
        self.cpu.dcbz(ea)
    }
    fn barrier(&mut self, k: Barrier) {
        match k {
            Barrier::Full => self.cpu.barrier(),
            // The host orders loads with loads, loads with stores and stores with stores (x86-64), or is asked to.
            Barrier::Light | Barrier::Io => {
                if cfg!(target_arch = "x86_64") {
                    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::AcqRel);
                } else {
                    self.cpu.barrier();
                }
            }
            Barrier::Instruction => self.cpu.refetch = true,
        }
    }

    #[inline(always)]
    fn fpr(&mut self, n: u32) -> u64 {
        (self.cpu.st.vsr[n as usize & 63] >> 64) as u64
    }
    #[inline(always)]
    fn set_fpr(&mut self, n: u32, v: u64) {
        self.cpu.st.vsr[n as usize & 63] = (v as u128) << 64;
    }
    #[inline(always)]
    fn vsr(&mut self, n: u32) -> u128 {
        self.cpu.st.vsr[n as usize & 63]
    }
    #[inline(always)]
    fn set_vsr(&mut self, n: u32, w: u128) {
        self.cpu.st.vsr[n as usize & 63] = w;
    }
    #[inline(always)]
    fn single_to_double(&mut self, v: u64) -> u64 {
        rare::single_to_double(v as u32)
    }
    #[inline(always)]
    fn double_to_single(&mut self, v: u64) -> u64 {
        rare::double_to_single(v) as u64
    }
    #[inline(always)]
    fn w_imm(&mut self, x: u128) -> u128 {
        x
    }
    #[inline(always)]
    fn w_pair(&mut self, hi: u64, lo: u64) -> u128 {
        (hi as u128) << 64 | lo as u128
    }
    #[inline(always)]
    fn w_hi(&mut self, w: u128) -> u64 {
        (w >> 64) as u64
    }
    #[inline(always)]
    fn w_lo(&mut self, w: u128) -> u64 {
        w as u64
    }
    #[inline(always)]
    fn w1(&mut self, op: W1, a: u128) -> u128 {
        wide::eval1(op, a)
    }
    #[inline(always)]
    fn w2(&mut self, op: W2, a: u128, b: u128) -> u128 {
        wide::eval2(op, a, b)
    }
    #[inline(always)]
    fn w3(&mut self, op: W3, a: u128, b: u128, c: u128) -> u128 {
        wide::eval3(op, a, b, c)
    }
    fn w2_sat(&mut self, op: W2, a: u128, b: u128) -> u128 {
        let (w, sat) = wide::eval2_sat(op, a, b);
        self.cpu.st.vscr |= sat as u32;
        w
    }
    fn w3_sat(&mut self, op: W3, a: u128, b: u128, c: u128) -> u128 {
        let (w, sat) = wide::eval3_sat(op, a, b, c);
        self.cpu.st.vscr |= sat as u32;
        w
    }
    #[inline(never)]
    fn fp_insn(&mut self, f: FpInsn) -> Result<(), Stop> {
        self.cpu.fp_insn(f)
    }

    #[inline(never)]
    fn helper(&mut self, h: Helper, i: Insn) -> Result<(), Stop> {
        debug_assert!(self.cpu.st.level <= Level::V3_1);
        self.cpu.helper(h, i, self.cia)
    }
}

impl Machine<'_> {
    #[inline(always)]
    fn wrap(&self, ea: u64) -> u64 {
        if self.cpu.st.mode.sf { ea } else { ea & 0xffff_ffff }
    }
}

/// The inverse of [`elements`].
#[inline(always)]
fn unelements(w: u128, lane: Lane, le: bool) -> u128 {
    if !le {
        return w.swap_bytes();
    }
    match lane {
        16 => w,
        8 => w.rotate_left(64),
        4 => {
            const M: u128 = 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
            ((w & M) << 32 | (w >> 32) & M).rotate_left(64)
        }
        2 => {
            const M: u128 = 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
            ((w & M) << 8 | (w >> 8) & M).swap_bytes()
        }
        _ => w.swap_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_elements_follow_the_byte_order() {
        let bytes: [u8; 16] = std::array::from_fn(|n| n as u8);
        let raw = u128::from_le_bytes(bytes);
        let be = u128::from_be_bytes(bytes);
        for lane in [1, 2, 4, 8, 16] {
            assert_eq!(elements(raw, lane, false), be);
            let mut expect = bytes;
            for e in expect.chunks_mut(lane as usize) {
                e.reverse();
            }
            assert_eq!(elements(raw, lane, true), u128::from_be_bytes(expect), "lane {lane}");
            for le in [false, true] {
                assert_eq!(unelements(elements(raw, lane, le), lane, le), raw);
            }
        }
    }
}
