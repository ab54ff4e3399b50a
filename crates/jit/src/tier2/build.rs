//! [`isa::Builder`] for regions.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F64, I8, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Opcode, Value};

use isa::audit::{CA, OV, Regs, SO};
use isa::builder::Rare2;
use isa::fp::FpInsn;
use isa::wide::{W1, W2, W3};
use isa::{Acc, Barrier, Builder, CarryIn, Facility, Helper, Insn, Lane, Mode, Op1, Op2, Program, Rel};

use super::fp::{loads_double, loads_single};
use super::lower::{C, Lower};
use super::vec::W;

impl Lower<'_> {
    fn swaps(&self, acc: Acc) -> bool {
        self.mode.le == acc.rev && acc.size > 1
    }

    /// (a op b) on the low words, zero- or sign-extended.
    fn word(
        &mut self,
        a: Value,
        b: Value,
        signed: bool,
        op: impl Fn(&mut Self, Value, Value) -> Value,
    ) -> Value {
        let (x, y) = (self.low(a), self.low(b));
        let v = op(self, x, y);
        if signed { self.f.ins().sextend(I64, v) } else { self.f.ins().uextend(I64, v) }
    }

    /// To tier 1 where the divisor or the quotient is out of range.
    fn divisible(&mut self, signed: bool, wide: bool, b: Value) {
        let b = if wide { b } else { self.low(b) };
        let bad = if signed {
            // 0 and -1
            let b = self.f.ins().iadd_imm_s(b, 1);
            self.f.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, b, 1)
        } else {
            self.f.ins().icmp_imm_u(IntCC::Equal, b, 0)
        };
        if self.known(b).is_some_and(|x| {
            let x = if wide { x as i64 } else { x as i32 as i64 };
            x != 0 && !(signed && x == -1)
        }) {
            return;
        }
        self.leave_if(Self::cond(bad));
    }

    /// The double whose bits `v` is, or `v`.
    fn as_stored(&self, v: Value) -> Value {
        let dfg = &self.f.func.dfg;
        let from = dfg
            .value_def(dfg.resolve_aliases(v))
            .inst()
            .filter(|&i| dfg.insts[i].opcode() == Opcode::Bitcast);
        from.map_or(v, |i| dfg.inst_args(i)[0])
    }

    fn xer_write(&mut self, k: usize, v: Value) {
        self.f.def_var(self.vars.xer[k], v);
        let bits = [SO, OV, CA, OV, CA][k];
        self.write(Regs { xer: bits, ..Regs::NONE });
    }

    /// The operand of the complement that `v` is.
    fn complemented(&self, v: Value) -> Option<Value> {
        let dfg = &self.f.func.dfg;
        let i = dfg
            .value_def(dfg.resolve_aliases(v))
            .inst()
            .filter(|&i| dfg.insts[i].opcode() == Opcode::Bnot)?;
        Some(dfg.resolve_aliases(dfg.inst_args(i)[0]))
    }

    /// Sum and carry of `a` + `b` + `cin`.
    fn carried(&mut self, a: Value, b: Value, cin: CarryIn) -> (Value, Value) {
        let taken = self.complemented(a);
        let (s, carry) = match (cin, taken) {
            (CarryIn::One, Some(x)) => {
                let s = self.f.ins().isub(b, x);
                (s, self.f.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, b, x))
            }
            (CarryIn::Ca, Some(x)) if x == self.f.func.dfg.resolve_aliases(b) => {
                let c = self.f.use_var(self.vars.xer[2]);
                return (self.f.ins().iadd_imm_s(c, -1), c);
            }
            (CarryIn::Zero, _) => self.f.ins().uadd_overflow(a, b),
            (CarryIn::Ca, _) if self.known(b) == Some(0) => {
                let c = self.f.use_var(self.vars.xer[2]);
                self.f.ins().uadd_overflow(a, c)
            }
            _ => {
                // The carry of the low half is `cin`: an add and an adc of the host.
                let c = match cin {
                    CarryIn::Ca => self.f.use_var(self.vars.xer[2]),
                    _ => self.iconst(1),
                };
                let ones = self.iconst(u64::MAX);
                let (x, y) = (self.f.ins().iconcat(c, a), self.f.ins().iconcat(ones, b));
                let (sum, carry) = self.f.ins().uadd_overflow(x, y);
                (self.f.ins().isplit(sum).1, carry)
            }
        };
        (s, self.f.ins().uextend(I64, carry))
    }

    fn set_overflow(&mut self, ov: Value, ov32: Value) {
        let so = self.f.use_var(self.vars.xer[0]);
        let so = self.f.ins().bor(so, ov);
        self.xer_write(0, so);
        self.xer_write(1, ov);
        self.xer_write(3, ov32);
    }
}

impl Builder for Lower<'_> {
    type V = Value;
    type W = W;
    type C = C;
    type Stop = ();

    fn mode(&self) -> Mode {
        self.mode
    }
    fn cia(&self) -> u64 {
        // Code does not know its address: what needs it goes through `cia_plus` and the relative jumps.
        0
    }
    fn cia_plus(&mut self, n: i64) -> Value {
        let base = self.base;
        let at = self.here() + n;
        self.f.ins().iadd_imm_s(base, at)
    }

    fn program(&mut self, _: Program) {}
    fn unavailable(&mut self, _: Facility) {}
    fn alignment(&mut self, _: Value) {}
    fn absent(&mut self, _: Insn) {}
    fn trap_if(&mut self, c: C) -> Result<(), ()> {
        self.leave_if(c);
        Ok(())
    }

    fn imm(&mut self, x: u64) -> Value {
        self.iconst(x)
    }
    fn op1(&mut self, op: Op1, a: Value) -> Value {
        match op {
            Op1::Not => self.f.ins().bnot(a),
            Op1::Neg => self.f.ins().ineg(a),
            Op1::Exts8 => self.ext(I8, a, true),
            Op1::Exts16 => self.ext(I16, a, true),
            Op1::Exts32 => self.ext(I32, a, true),
            Op1::Extu8 => self.ext(I8, a, false),
            Op1::Extu16 => self.ext(I16, a, false),
            Op1::Extu32 => self.ext(I32, a, false),
            Op1::Clz64 => self.f.ins().clz(a),
            Op1::Ctz64 => self.f.ins().ctz(a),
            Op1::Popcnt64 => self.f.ins().popcnt(a),
            Op1::Bswap64 => self.f.ins().bswap(a),
            Op1::Clz32 | Op1::Ctz32 => {
                let x = self.low(a);
                let v = if op == Op1::Clz32 { self.f.ins().clz(x) } else { self.f.ins().ctz(x) };
                self.f.ins().uextend(I64, v)
            }
            Op1::Bswap32 => {
                let v = self.f.ins().bswap(a);
                self.f.ins().rotl_imm_u(v, 32)
            }
            Op1::Popcnt8 | Op1::Popcnt32 | Op1::Bswap16 => self.fail(),
        }
    }
    fn op2(&mut self, op: Op2, a: Value, b: Value) -> Value {
        match op {
            Op2::Add => self.f.ins().iadd(a, b),
            Op2::Sub => self.f.ins().isub(a, b),
            Op2::Mul => self.f.ins().imul(a, b),
            Op2::Mulhs => self.f.ins().smulhi(a, b),
            Op2::Mulhu => self.f.ins().umulhi(a, b),
            Op2::Divs | Op2::Rems => {
                self.divisible(true, true, b);
                if op == Op2::Divs { self.f.ins().sdiv(a, b) } else { self.f.ins().srem(a, b) }
            }
            Op2::Divu | Op2::Remu => {
                self.divisible(false, true, b);
                if op == Op2::Divu { self.f.ins().udiv(a, b) } else { self.f.ins().urem(a, b) }
            }
            Op2::DivsW => {
                self.divisible(true, false, b);
                self.word(a, b, false, |s, x, y| s.f.ins().sdiv(x, y))
            }
            Op2::RemsW => {
                self.divisible(true, false, b);
                self.word(a, b, true, |s, x, y| s.f.ins().srem(x, y))
            }
            Op2::DivuW => {
                self.divisible(false, false, b);
                self.word(a, b, false, |s, x, y| s.f.ins().udiv(x, y))
            }
            Op2::RemuW => {
                self.divisible(false, false, b);
                self.word(a, b, false, |s, x, y| s.f.ins().urem(x, y))
            }
            Op2::And => match self.known(b) {
                // Moves of the host; as masks they would be constants in memory, or take another instruction.
                Some(0xff) => self.ext(I8, a, false),
                Some(0xffff) => self.ext(I16, a, false),
                Some(0xffff_ffff) => self.ext(I32, a, false),
                _ => self.f.ins().band(a, b),
            },
            Op2::Or => self.f.ins().bor(a, b),
            Op2::Xor => self.f.ins().bxor(a, b),
            Op2::Andc => {
                let n = self.f.ins().bnot(b);
                self.f.ins().band(a, n)
            }
            Op2::Orc => {
                let n = self.f.ins().bnot(b);
                self.f.ins().bor(a, n)
            }
            Op2::Nand => {
                let v = self.f.ins().band(a, b);
                self.f.ins().bnot(v)
            }
            Op2::Nor => {
                let v = self.f.ins().bor(a, b);
                self.f.ins().bnot(v)
            }
            Op2::Eqv => {
                let v = self.f.ins().bxor(a, b);
                self.f.ins().bnot(v)
            }
            Op2::Shl => self.f.ins().ishl(a, b),
            Op2::Shr => self.f.ins().ushr(a, b),
            Op2::Sar => self.f.ins().sshr(a, b),
            Op2::Rotl => self.f.ins().rotl(a, b),
            Op2::RotlW => self.word(a, b, false, |s, x, y| s.f.ins().rotl(x, y)),
        }
    }
    fn rare2(&mut self, _: Rare2, _: Value, _: Value) -> Value {
        self.fail()
    }
    fn divide_ext(&mut self, _: Value, _: Value, _: bool) -> (Value, C) {
        let v = self.fail();
        (v, Self::cond(v))
    }
    fn rel(&mut self, r: Rel, a: Value, b: Value) -> C {
        if let (Some(x), Some(y)) = (self.known(a), self.known(b)) {
            return self.c_const(isa::rare::rel(r, x, y));
        }
        Self::cond(self.f.ins().icmp(Self::rel_code(r), a, b))
    }
    fn test_bit(&mut self, a: Value, n: u32) -> C {
        if let Some(x) = self.known(a) {
            return self.c_const(x >> n & 1 != 0);
        }
        if n == 6 && self.fast.as_ref().is_some_and(|f| f.short.contains(&self.item.off)) {
            return self.c_const(false);
        }
        if n == 63 {
            return Self::cond(self.f.ins().icmp_imm_s(IntCC::SignedLessThan, a, 0));
        }
        let mask = self.iconst(1 << n);
        let v = self.f.ins().band(a, mask);
        let v = self.f.ins().icmp_imm_u(IntCC::NotEqual, v, 0);
        self.tested = Some((v, a, n));
        Self::cond(v)
    }
    fn select(&mut self, c: C, a: Value, b: Value) -> Value {
        match (self.sure(c), self.tested) {
            (Some(true), _) => a,
            (Some(false), _) => b,
            // A shift by too much: its mask may not change in a loop.
            (None, Some((v, x, n))) if v == c.v && !c.not && self.known(a) == Some(0) => {
                let m = self.f.ins().ishl_imm_u(x, 63 - n as i64);
                let m = self.f.ins().sshr_imm_u(m, 63);
                self.f.ins().band_not(b, m)
            }
            _ => self.choose(c, a, b),
        }
    }
    fn c_value(&mut self, c: C) -> Value {
        self.number(c)
    }
    fn c_const(&mut self, c: bool) -> C {
        Self::cond(self.f.ins().iconst(I8, c as i64))
    }
    fn c_and(&mut self, a: C, b: C) -> C {
        match (self.sure(a), self.sure(b)) {
            (Some(true), _) | (_, Some(false)) => b,
            (_, Some(true)) | (Some(false), _) => a,
            _ => {
                let (x, y) = (self.flag(a), self.flag(b));
                Self::cond(self.f.ins().band(x, y))
            }
        }
    }
    fn c_or(&mut self, a: C, b: C) -> C {
        match (self.sure(a), self.sure(b)) {
            (Some(false), _) | (_, Some(true)) => b,
            (_, Some(false)) | (Some(true), _) => a,
            _ => {
                let (x, y) = (self.flag(a), self.flag(b));
                Self::cond(self.f.ins().bor(x, y))
            }
        }
    }
    fn c_xor(&mut self, a: C, b: C) -> C {
        if let (Some(x), Some(y)) = (self.sure(a), self.sure(b)) {
            return self.c_const(x != y);
        }
        let (x, y) = (self.flag(a), self.flag(b));
        Self::cond(self.f.ins().bxor(x, y))
    }
    fn c_not(&mut self, a: C) -> C {
        C { not: !a.not, ..a }
    }

    fn gpr(&mut self, n: u32) -> Value {
        self.f.use_var(self.vars.gpr[n as usize & 31])
    }
    fn set_gpr(&mut self, n: u32, v: Value) {
        self.f.def_var(self.vars.gpr[n as usize & 31], v);
        self.write(Regs::gpr(n));
    }
    fn lr(&mut self) -> Value {
        self.f.use_var(self.vars.lr)
    }
    fn set_lr(&mut self, v: Value) {
        self.f.def_var(self.vars.lr, v);
        self.write(Regs { lr: true, ..Regs::NONE });
    }
    fn ctr(&mut self) -> Value {
        self.f.use_var(self.vars.ctr)
    }
    fn set_ctr(&mut self, v: Value) {
        self.f.def_var(self.vars.ctr, v);
        self.write(Regs { ctr: true, ..Regs::NONE });
    }
    fn tar(&mut self) -> Result<Value, ()> {
        Err(())
    }

    fn cr_field(&mut self, n: u32) -> Value {
        self.field_value(n)
    }
    fn set_cr_field(&mut self, n: u32, v: Value) {
        self.set_field(n, v);
    }
    fn cr_bit(&mut self, n: u32) -> C {
        self.bit(n & 31)
    }
    fn set_cr_bit(&mut self, n: u32, c: C) {
        let (f, bit) = (n >> 2 & 7, 3 - (n & 3));
        let v = self.field_value(f);
        let v = self.f.ins().band_imm_u(v, 15 & !(1i64 << bit));
        let x = self.number(c);
        let x = self.f.ins().ishl_imm_u(x, bit as i64);
        let v = self.f.ins().bor(v, x);
        self.set_field(f, v);
    }
    fn cr_compare(&mut self, n: u32, signed: bool, wide: bool, a: Value, b: Value) {
        self.compare(n & 7, signed, wide, a, b);
    }
    fn cr(&mut self) -> Value {
        let mut v = self.field_value(0);
        for n in 1..8 {
            let x = self.field_value(n);
            v = self.f.ins().ishl_imm_u(v, 4);
            v = self.f.ins().bor(v, x);
        }
        v
    }

    fn xer(&mut self) -> Value {
        self.fail()
    }
    fn set_xer(&mut self, _: Value) {
        self.failed = true;
    }
    fn so(&mut self) -> C {
        let v = self.f.use_var(self.vars.xer[0]);
        Self::cond(self.f.ins().icmp_imm_u(IntCC::NotEqual, v, 0))
    }
    fn ca(&mut self) -> C {
        let v = self.f.use_var(self.vars.xer[2]);
        Self::cond(self.f.ins().icmp_imm_u(IntCC::NotEqual, v, 0))
    }
    fn set_ov(&mut self, ov: C, ov32: C) {
        let (x, y) = (self.number(ov), self.number(ov32));
        self.set_overflow(x, y);
    }
    fn set_ca(&mut self, ca: C, ca32: C) {
        let (x, y) = (self.number(ca), self.number(ca32));
        let y = self.f.ins().ishl_imm_u(y, 32);
        self.xer_write(2, x);
        self.xer_write(4, y);
    }
    fn add_xer(&mut self, a: Value, b: Value, cin: CarryIn, ca: bool, ov: bool) -> Value {
        let (s, carry) = self.carried(a, b, cin);
        if ca {
            let x = self.f.ins().bxor(a, b);
            let x = self.f.ins().bxor(x, s);
            let carry = if self.mode.sf { carry } else { self.ca32(x) };
            self.xer_write(2, carry);
            self.xer_write(4, x);
        }
        if ov {
            let x = self.f.ins().bxor(a, s);
            let y = self.f.ins().bxor(b, s);
            let x = self.f.ins().band(x, y);
            let o64 = self.f.ins().ushr_imm_u(x, 63);
            let o32 = self.f.ins().ushr_imm_u(x, 31);
            let o32 = self.f.ins().band_imm_u(o32, 1);
            self.set_overflow(if self.mode.sf { o64 } else { o32 }, o32);
        }
        s
    }

    fn jump(&mut self, target: u64) {
        let v = self.iconst(target);
        self.go_indirect(None, v);
    }
    fn jump_if(&mut self, c: C, target: u64) {
        let v = self.iconst(target);
        self.go_indirect(Some(c), v);
    }
    fn jump_rel(&mut self, n: i64) {
        self.go(self.here() + n);
    }
    fn jump_rel_if(&mut self, c: C, n: i64) {
        self.go_if(c, self.here() + n);
    }
    fn jump_to(&mut self, c: Option<C>, v: Value) {
        self.go_indirect(c, v);
    }

    fn load(&mut self, ea: Value, acc: Acc) -> Result<Value, ()> {
        let (at, d) = self.probe(ea, acc.size, false);
        let ty = Self::scalar(acc.size);
        let flags = self.guest_flags();
        if !self.swaps(acc) {
            if acc.size == 8 && loads_double(self.item.op) {
                let x = self.f.ins().load(F64, flags, at, d);
                return Ok(self.bits(x));
            }
            if acc.size == 4 && loads_single(self.item.op) {
                let s = self.f.ins().load(F32, flags, at, d);
                let w = self.f.ins().bitcast(I32, MemFlagsData::new(), s);
                return Ok(self.f.ins().uextend(I64, w));
            }
        }
        if self.swaps(acc) {
            let v = self.f.ins().load(ty, flags, at, d);
            let v = self.f.ins().bswap(v);
            return Ok(match (acc.size, acc.signed) {
                (8, _) => v,
                (_, true) => self.f.ins().sextend(I64, v),
                (_, false) => self.f.ins().uextend(I64, v),
            });
        }
        // The host extends as it loads: who wants part of that need not extend it again.
        let i = self.f.ins();
        Ok(match (acc.size, acc.signed) {
            (1, true) => i.sload8(I64, flags, at, d),
            (1, false) => i.uload8(I64, flags, at, d),
            (2, true) => i.sload16(I64, flags, at, d),
            (2, false) => i.uload16(I64, flags, at, d),
            (4, true) => i.sload32(flags, at, d),
            (4, false) => i.uload32(flags, at, d),
            _ => i.load(I64, flags, at, d),
        })
    }
    fn store(&mut self, ea: Value, v: Value, acc: Acc) -> Result<(), ()> {
        let (at, d) = self.probe(ea, acc.size, true);
        let ty = Self::scalar(acc.size);
        let v = match (acc.size, self.swaps(acc)) {
            (8, false) => self.as_stored(v),
            (8, _) => v,
            (4, false) => self.unextended(v, F32).unwrap_or_else(|| self.low(v)),
            _ => self.f.ins().ireduce(ty, v),
        };
        let v = if self.swaps(acc) { self.f.ins().bswap(v) } else { v };
        let flags = self.guest_flags();
        self.f.ins().store(flags, v, at, d);
        Ok(())
    }
    fn load_w(&mut self, ea: Value, lane: Lane) -> Result<W, ()> {
        let (at, d) = self.probe(ea, 16, false);
        Ok(self.load_vector(at, d, lane))
    }
    fn store_w(&mut self, ea: Value, v: W, lane: Lane) -> Result<(), ()> {
        let v = self.for_store(v, lane);
        let (at, d) = self.probe(ea, 16, true);
        self.store_vector(at, d, v);
        Ok(())
    }
    fn load_part(&mut self, _: Value, _: Value, _: Lane) -> Result<W, ()> {
        Err(())
    }
    fn store_part(&mut self, _: Value, _: W, _: Value, _: Lane) -> Result<(), ()> {
        Err(())
    }
    fn load_q(&mut self, _: Value) -> Result<W, ()> {
        Err(())
    }
    fn store_q(&mut self, _: Value, _: W) -> Result<(), ()> {
        Err(())
    }
    fn larx(&mut self, _: Value, _: u8) -> Result<Value, ()> {
        Err(())
    }
    fn stcx(&mut self, _: Value, _: Value, _: u8) -> Result<C, ()> {
        Err(())
    }
    fn lqarx(&mut self, _: Value) -> Result<W, ()> {
        Err(())
    }
    fn stqcx(&mut self, _: Value, _: W) -> Result<C, ()> {
        Err(())
    }
    fn dcbz(&mut self, _: Value) -> Result<(), ()> {
        Err(())
    }
    fn barrier(&mut self, k: Barrier) {
        match k {
            Barrier::Full => {
                self.f.ins().fence();
            }
            Barrier::Light | Barrier::Io => {
                self.f.ins().sequence_point();
            }
            Barrier::Instruction => self.failed = true,
        }
    }

    fn fpr(&mut self, n: u32) -> Value {
        if let W::Vec(v) = self.vsr(n) {
            return self.half_of(v, 1);
        }
        let d = self.fp_get(n as u8);
        self.bits(d)
    }
    fn set_fpr(&mut self, n: u32, v: Value) {
        let d = self.double_of(v);
        self.fp_set(n as u8, d);
    }
    fn vsr(&mut self, n: u32) -> W {
        if self.wide >> (n & 63) & 1 != 0 {
            return W::Vec(self.f.use_var(self.vars.vec[n as usize & 63]));
        }
        let d = self.fp_get(n as u8);
        W::Pair(self.bits(d), self.low_half(n))
    }
    fn set_vsr(&mut self, n: u32, w: W) {
        self.set_whole(n, w);
    }
    fn single_to_double(&mut self, v: Value) -> Value {
        self.widen(v)
    }
    fn double_to_single(&mut self, v: Value) -> Value {
        self.narrow(v)
    }
    fn w_imm(&mut self, x: u128) -> W {
        W::Imm(x)
    }
    fn w_pair(&mut self, hi: Value, lo: Value) -> W {
        W::Pair(hi, lo)
    }
    fn w_hi(&mut self, w: W) -> Value {
        self.halves(w).0
    }
    fn w_lo(&mut self, w: W) -> Value {
        self.halves(w).1
    }
    fn w1(&mut self, op: W1, a: W) -> W {
        self.wide1(op, a)
    }
    fn w2(&mut self, op: W2, a: W, b: W) -> W {
        self.wide2(op, a, b)
    }
    fn w3(&mut self, op: W3, a: W, b: W, c: W) -> W {
        self.wide3(op, a, b, c)
    }
    fn cr6_from_mask(&mut self, w: W) {
        self.mask_to_cr6(w);
    }
    fn w2_sat(&mut self, op: W2, a: W, b: W) -> W {
        self.wide2_sat(op, a, b)
    }
    fn w3_sat(&mut self, _: W3, _: W, _: W, _: W) -> W {
        self.fail_w()
    }
    fn fp_insn(&mut self, f: FpInsn) -> Result<(), ()> {
        self.fp(f).ok_or(())
    }
    fn helper(&mut self, _: Helper, _: Insn) -> Result<(), ()> {
        Err(())
    }
}
