//! [`isa::Builder`] for the emitter.

use isa::builder::Rare2;
use isa::fp::FpInsn;
use isa::wide::{W1, W2, W3};
use isa::{Acc, Barrier, Builder, CarryIn, Facility, Helper, Insn, Lane, Mode, Op1, Op2, Program, Rel, rare};

use crate::asm::{Alu, Cc, R, RAX, RBP, RCX, RDX, Sh, X, m};
use crate::emit::{C, Cond, Emit, V, W, st};
use crate::regs::{CTR, LR};
use crate::thunk::{consts, engine, slot};

impl Emit<'_> {
    /// The emitter does not do this: the instruction becomes a call.
    fn give_up(&mut self) -> V {
        self.failed = true;
        V::Imm(0)
    }

    pub(crate) fn give_up_w(&mut self) -> W {
        self.failed = true;
        W::Imm(0)
    }

    /// d = d op b
    fn alu(&mut self, op: Alu, d: R, b: V) {
        match b {
            V::Imm(x) if x as i32 as i64 as u64 == x => self.a.alui(op, true, d, x as i32),
            V::Reg(r) => self.a.alu(op, true, d, r),
            _ => {
                self.to(RAX, b);
                self.a.alu(op, true, d, RAX);
            }
        }
    }

    fn and(&mut self, a: V, b: V) -> V {
        match b {
            V::Imm(0xffff_ffff) => self.extu(a, 32),
            V::Imm(0xffff) => self.extu(a, 16),
            V::Imm(0xff) => self.extu(a, 8),
            V::Imm(x) if x <= 0xffff_ffff => {
                let d = match a {
                    V::Reg(r) => {
                        let d = self.alloc();
                        self.a.mov32(d, r);
                        d
                    }
                    _ => self.copy(a),
                };
                self.a.alui(Alu::And, false, d, x as u32 as i32);
                V::Reg(d)
            }
            _ => {
                let d = self.copy(a);
                self.alu(Alu::And, d, b);
                V::Reg(d)
            }
        }
    }

    fn extu(&mut self, a: V, bits: u8) -> V {
        let r = self.reg(a);
        let d = self.alloc();
        self.a.extu(d, r, bits);
        V::Reg(d)
    }

    fn shift(&mut self, op: Sh, w: bool, a: V, b: V) -> V {
        let m = if w { 63 } else { 31 };
        if let V::Imm(n) = b {
            if n & m == 0 && w {
                return a;
            }
            let d = self.copy(a);
            if n & m == 0 {
                self.a.mov32(d, d);
            } else {
                self.a.shi(op, w, d, (n & m) as u8);
            }
            return V::Reg(d);
        }
        let d = self.copy(a);
        self.to(RCX, b);
        if !w {
            // A count of zero must still clear the upper half.
            self.a.mov32(d, d);
        }
        self.a.shcl(op, w, d);
        V::Reg(d)
    }

    fn divide(&mut self, signed: bool, w: bool, a: V, b: V, rem: bool) -> V {
        let rb = self.reg(b);
        if signed {
            // 0 and -1 are the divisors with undefined or overflowing results.
            self.a.lea(RAX, m(rb, 1));
            self.a.alui(Alu::Cmp, w, RAX, 1);
            self.cold(Cc::Be);
        } else {
            self.a.test(w, rb, rb);
            self.cold(Cc::E);
        }
        self.to(RAX, a);
        if signed {
            self.a.cqo(w);
        } else {
            self.a.movi32(RDX, 0);
        }
        self.a.div(signed, w, rb);
        let d = self.alloc();
        let from = if rem { RDX } else { RAX };
        if w {
            self.a.mov(d, from);
        } else if signed && rem {
            self.a.exts(d, from, 32);
        } else {
            self.a.mov32(d, from);
        }
        V::Reg(d)
    }

    pub(crate) fn swaps(&self, acc: Acc) -> bool {
        self.mode.le == acc.rev && acc.size > 1
    }
}

impl Builder for Emit<'_> {
    type V = V;
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
    fn cia_plus(&mut self, n: i64) -> V {
        let d = self.alloc();
        self.a.load(d, engine(slot::BASE));
        let at = n + self.off as i64;
        self.alu(Alu::Add, d, V::Imm(at as u64));
        if n == 4 {
            self.note_return(d);
        }
        V::Reg(d)
    }

    fn program(&mut self, _: Program) {}
    fn unavailable(&mut self, _: Facility) {}
    fn alignment(&mut self, _: V) {}
    fn absent(&mut self, _: Insn) {}
    fn trap_if(&mut self, c: C) -> Result<(), ()> {
        match self.cond(c) {
            Cond::Const(false) => Ok(()),
            Cond::Const(true) => Err(()),
            _ => {
                self.cold_if(c);
                Ok(())
            }
        }
    }

    fn imm(&mut self, x: u64) -> V {
        V::Imm(x)
    }
    fn op1(&mut self, op: Op1, a: V) -> V {
        if let V::Imm(x) = a {
            return V::Imm(rare::op1(op, x));
        }
        let (d, r) = match op {
            Op1::Not | Op1::Neg | Op1::Bswap64 | Op1::Bswap32 => (self.copy(a), RAX),
            Op1::Popcnt8 | Op1::Popcnt32 | Op1::Bswap16 => return self.give_up(),
            _ => {
                let r = self.reg(a);
                (self.alloc(), r)
            }
        };
        match op {
            Op1::Not => self.a.not(d),
            Op1::Neg => self.a.neg(d),
            Op1::Bswap64 => self.a.bswap(true, d),
            Op1::Bswap32 => {
                self.a.bswap(true, d);
                self.a.shi(Sh::Rol, true, d, 32);
            }
            Op1::Exts8 => self.a.exts(d, r, 8),
            Op1::Exts16 => self.a.exts(d, r, 16),
            Op1::Exts32 => self.a.exts(d, r, 32),
            Op1::Extu8 => self.a.extu(d, r, 8),
            Op1::Extu16 => self.a.extu(d, r, 16),
            Op1::Extu32 => self.a.extu(d, r, 32),
            Op1::Clz64 => self.a.lzcnt(true, d, r),
            Op1::Clz32 => self.a.lzcnt(false, d, r),
            Op1::Ctz64 => self.a.tzcnt(true, d, r),
            Op1::Ctz32 => self.a.tzcnt(false, d, r),
            _ => self.a.popcnt(d, r),
        }
        V::Reg(d)
    }
    fn op2(&mut self, op: Op2, a: V, b: V) -> V {
        if let (V::Imm(x), V::Imm(y)) = (a, b) {
            return V::Imm(rare::op2(op, x, y));
        }
        let small = |x: u64| x as i32 as i64 as u64 == x;
        match op {
            Op2::Add => match (a, b) {
                (V::Imm(_), _) => self.op2(op, b, a),
                (V::Reg(r), V::Imm(x)) if small(x) => V::Off(r, x as i32),
                (V::Off(r, o), V::Imm(x)) if small(x.wrapping_add(o as i64 as u64)) => {
                    V::Off(r, x.wrapping_add(o as i64 as u64) as i32)
                }
                (V::Reg(x), V::Reg(y)) => {
                    let d = self.alloc();
                    self.a.lea(d, crate::asm::mx(x, y, 0));
                    V::Reg(d)
                }
                _ => {
                    let d = self.copy(a);
                    self.alu(Alu::Add, d, b);
                    V::Reg(d)
                }
            },
            Op2::Sub => match b {
                V::Imm(x) if small(x.wrapping_neg()) => self.op2(Op2::Add, a, V::Imm(x.wrapping_neg())),
                _ => {
                    let d = self.copy(a);
                    self.alu(Alu::Sub, d, b);
                    V::Reg(d)
                }
            },
            Op2::Mul => match (a, b) {
                (V::Imm(_), _) => self.op2(op, b, a),
                (_, V::Imm(x)) if small(x) => {
                    let r = self.reg(a);
                    let d = self.alloc();
                    self.a.imuli(d, r, x as i32);
                    V::Reg(d)
                }
                _ => {
                    let y = self.reg(b);
                    let d = self.copy(a);
                    self.a.imul(d, y);
                    V::Reg(d)
                }
            },
            Op2::Mulhu if self.bmi2 => {
                let y = self.reg(b);
                let d = self.alloc();
                self.to(RDX, a);
                self.a.mulx(d, d, y);
                V::Reg(d)
            }
            Op2::Mulhs | Op2::Mulhu => {
                let y = self.reg(b);
                let d = self.alloc();
                self.to(RAX, a);
                self.a.mul(op == Op2::Mulhs, y);
                self.a.mov(d, RDX);
                V::Reg(d)
            }
            Op2::Divs => self.divide(true, true, a, b, false),
            Op2::Divu => self.divide(false, true, a, b, false),
            Op2::DivsW => self.divide(true, false, a, b, false),
            Op2::DivuW => self.divide(false, false, a, b, false),
            Op2::Rems => self.divide(true, true, a, b, true),
            Op2::Remu => self.divide(false, true, a, b, true),
            Op2::RemsW => self.divide(true, false, a, b, true),
            Op2::RemuW => self.divide(false, false, a, b, true),
            Op2::And => match a {
                V::Imm(_) => self.and(b, a),
                _ => self.and(a, b),
            },
            Op2::Or | Op2::Xor => {
                let (a, b) = if matches!(a, V::Imm(_)) { (b, a) } else { (a, b) };
                let d = self.copy(a);
                self.alu(if op == Op2::Or { Alu::Or } else { Alu::Xor }, d, b);
                V::Reg(d)
            }
            Op2::Andc | Op2::Orc => {
                let n = self.op1(Op1::Not, b);
                self.op2(if op == Op2::Andc { Op2::And } else { Op2::Or }, a, n)
            }
            Op2::Nand | Op2::Nor | Op2::Eqv => {
                let inner = match op {
                    Op2::Nand => Op2::And,
                    Op2::Nor => Op2::Or,
                    _ => Op2::Xor,
                };
                // A register of its own: none of these gives back an operand.
                let v = self.op2(inner, a, b);
                let d = self.reg(v);
                self.a.not(d);
                V::Reg(d)
            }
            Op2::Shl => self.shift(Sh::Shl, true, a, b),
            Op2::Shr => self.shift(Sh::Shr, true, a, b),
            Op2::Sar => self.shift(Sh::Sar, true, a, b),
            Op2::Rotl => self.shift(Sh::Rol, true, a, b),
            Op2::RotlW => self.shift(Sh::Rol, false, a, b),
        }
    }
    fn rare2(&mut self, _: Rare2, _: V, _: V) -> V {
        self.give_up()
    }
    fn divide_ext(&mut self, a: V, _: V, _: bool) -> (V, C) {
        self.failed = true;
        (a, self.new_cond(Cond::Const(false)))
    }
    fn rel(&mut self, r: Rel, a: V, b: V) -> C {
        self.new_cond(match (a, b) {
            (V::Imm(x), V::Imm(y)) => Cond::Const(rare::rel(r, x, y)),
            _ => Cond::Rel(r, a, b),
        })
    }
    fn test_bit(&mut self, a: V, n: u32) -> C {
        self.new_cond(match a {
            V::Imm(x) => Cond::Const(x >> n & 1 != 0),
            _ => Cond::Bit(a, n),
        })
    }
    fn select(&mut self, c: C, a: V, b: V) -> V {
        match self.cond(c) {
            Cond::Const(true) => a,
            Cond::Const(false) => b,
            _ => self.choose(c, a, b),
        }
    }
    fn c_value(&mut self, c: C) -> V {
        if let Cond::Const(b) = self.cond(c) {
            return V::Imm(b as u64);
        }
        let d = self.alloc();
        self.value(d, c);
        V::Reg(d)
    }
    fn c_const(&mut self, c: bool) -> C {
        self.new_cond(Cond::Const(c))
    }
    fn c_and(&mut self, a: C, b: C) -> C {
        match (self.cond(a), self.cond(b)) {
            (Cond::Const(true), _) | (_, Cond::Const(false)) => b,
            (_, Cond::Const(true)) | (Cond::Const(false), _) => a,
            _ => self.new_cond(Cond::And(a, b)),
        }
    }
    fn c_or(&mut self, a: C, b: C) -> C {
        match (self.cond(a), self.cond(b)) {
            (Cond::Const(false), _) | (_, Cond::Const(true)) => b,
            (_, Cond::Const(false)) | (Cond::Const(true), _) => a,
            _ => self.new_cond(Cond::Or(a, b)),
        }
    }
    fn c_xor(&mut self, a: C, b: C) -> C {
        match (self.cond(a), self.cond(b)) {
            (Cond::Const(x), Cond::Const(y)) => self.new_cond(Cond::Const(x != y)),
            _ => self.new_cond(Cond::Xor(a, b)),
        }
    }
    fn c_not(&mut self, a: C) -> C {
        let c = match self.cond(a) {
            Cond::Const(b) => Cond::Const(!b),
            _ => Cond::Not(a),
        };
        self.new_cond(c)
    }

    fn gpr(&mut self, n: u32) -> V {
        self.guest(n as u8 & 31)
    }
    fn set_gpr(&mut self, n: u32, v: V) {
        self.set_guest(n as u8 & 31, v);
    }
    fn lr(&mut self) -> V {
        self.guest(LR)
    }
    fn set_lr(&mut self, v: V) {
        self.set_guest(LR, v);
    }
    fn ctr(&mut self) -> V {
        self.guest(CTR)
    }
    fn set_ctr(&mut self, v: V) {
        self.set_guest(CTR, v);
    }
    fn tar(&mut self) -> Result<V, ()> {
        Err(())
    }

    fn cr_field(&mut self, n: u32) -> V {
        self.settle_so(n);
        let d = self.alloc();
        self.a.loadz(d, m(RBP, st!(cr) + (n as i32 & 7)), 1);
        V::Reg(d)
    }
    fn set_cr_field(&mut self, n: u32, v: V) {
        self.writes();
        self.forget_compare(n);
        let at = m(RBP, st!(cr) + (n as i32 & 7));
        if let V::Imm(x) = v {
            self.a.storei8(at, x as u8 & 15);
        } else {
            self.to(RAX, v);
            self.a.alui(Alu::And, false, RAX, 15);
            self.a.store(at, RAX, 1);
        }
    }
    fn cr_bit(&mut self, n: u32) -> C {
        if n & 3 == 3 {
            self.settle_so(n >> 2);
        }
        self.new_cond(Cond::Cr(n & 31))
    }
    fn set_cr_bit(&mut self, n: u32, c: C) {
        let (f, bit) = (n >> 2 & 7, 3 - (n & 3) as u8);
        let d = self.alloc();
        self.value(d, c);
        self.writes();
        self.settle_so(f);
        self.forget_compare(f);
        let at = m(RBP, st!(cr) + f as i32);
        if bit != 0 {
            self.a.shi(Sh::Shl, false, d, bit);
        }
        self.a.loadz(RAX, at, 1);
        self.a.alui(Alu::And, false, RAX, !(1 << bit));
        self.a.alu(Alu::Or, false, RAX, d);
        self.a.store(at, RAX, 1);
    }
    fn cr_compare(&mut self, n: u32, signed: bool, wide: bool, a: V, b: V) {
        self.cr_compare_(n & 7, signed, wide, a, b);
    }
    fn cr(&mut self) -> V {
        if !self.bmi2 {
            return self.give_up();
        }
        self.settle_all();
        let d = self.alloc();
        // An SO that is owed is 0, as it stands in memory, mostly.
        self.a.test_m8(m(RBP, st!(xer_so)), 1);
        let clear = self.a.jcc(Cc::E);
        self.a.call_to(self.thunks.own_so);
        self.a.here(clear);
        self.a.load(d, m(RBP, st!(cr)));
        self.a.bswap(true, d);
        self.a.movi(RAX, 0x0f0f_0f0f_0f0f_0f0f);
        self.a.pext(d, d, RAX);
        V::Reg(d)
    }

    fn xer(&mut self) -> V {
        self.get_xer()
    }
    fn set_xer(&mut self, v: V) {
        self.put_xer(v);
    }
    fn so(&mut self) -> C {
        self.new_cond(Cond::So)
    }
    fn ca(&mut self) -> C {
        self.new_cond(Cond::Ca)
    }
    fn set_ov(&mut self, ov: C, ov32: C) {
        self.settle_all();
        let (d, e) = (self.alloc(), self.alloc());
        self.value(d, ov);
        self.value(e, ov32);
        self.writes();
        self.a.store(m(RBP, st!(xer_ov)), d, 1);
        self.a.store(m(RBP, st!(xer_ov32)), e, 1);
        self.or_so(d);
    }
    fn set_ca(&mut self, ca: C, ca32: C) {
        let d = self.alloc();
        self.value(d, ca);
        let e = if ca == ca32 {
            d
        } else {
            let e = self.alloc();
            self.value(e, ca32);
            e
        };
        self.writes();
        self.a.store(m(RBP, st!(xer_ca)), d, 1);
        self.a.store(m(RBP, st!(xer_ca32)), e, 1);
    }
    fn add_xer(&mut self, a: V, b: V, cin: CarryIn, ca: bool, ov: bool) -> V {
        self.add_xer_(a, b, cin, ca, ov)
    }

    fn jump(&mut self, target: u64) {
        self.jump_to_(None, V::Imm(target));
    }
    fn jump_if(&mut self, c: C, target: u64) {
        self.jump_to_(Some(c), V::Imm(target));
    }
    fn jump_rel(&mut self, n: i64) {
        self.jump_rel_(n);
    }
    fn jump_rel_if(&mut self, c: C, n: i64) {
        self.jump_rel_if_(c, n);
    }
    fn jump_to(&mut self, c: Option<C>, v: V) {
        self.jump_to_(c, v);
    }

    fn load(&mut self, ea: V, acc: Acc) -> Result<V, ()> {
        Ok(self.load_scalar(ea, acc))
    }
    fn store(&mut self, ea: V, v: V, acc: Acc) -> Result<(), ()> {
        self.store_scalar(ea, v, acc);
        Ok(())
    }
    fn load_w(&mut self, ea: V, lane: Lane) -> Result<W, ()> {
        let at = self.probe(ea, 16, false);
        let d = self.xalloc();
        self.a.xload(d, at);
        self.lanes(d, lane);
        Ok(W::Reg(d))
    }
    fn store_w(&mut self, ea: V, v: W, lane: Lane) -> Result<(), ()> {
        let d = if self.mode.le && lane == 16 { self.x(v) } else { self.xcopy(v) };
        self.lanes(d, lane);
        let at = self.probe(ea, 16, true);
        self.writes();
        self.a.xstore(at, d);
        Ok(())
    }
    fn load_part(&mut self, _: V, _: V, _: Lane) -> Result<W, ()> {
        Err(())
    }
    fn store_part(&mut self, _: V, _: W, _: V, _: Lane) -> Result<(), ()> {
        Err(())
    }
    fn load_q(&mut self, _: V) -> Result<W, ()> {
        Err(())
    }
    fn store_q(&mut self, _: V, _: W) -> Result<(), ()> {
        Err(())
    }
    fn larx(&mut self, ea: V, size: u8) -> Result<V, ()> {
        if size < 4 {
            return Err(());
        }
        let r = self.reg(ea);
        self.a.testi(r, size as u32 - 1);
        self.cold(Cc::Ne);
        let at = self.probe(V::Reg(r), size, false);
        self.a.lea(RDX, at);
        self.a.alum(Alu::Sub, true, RDX, engine(slot::HOST));
        let d = self.alloc();
        self.a.loadz(d, at, size);
        self.writes();
        self.a.store(m(RBP, st!(reserve.ea)), r, 8);
        self.a.store(m(RBP, st!(reserve.ra)), RDX, 8);
        self.a.storei(m(RBP, st!(reserve.size)), size as i32);
        self.a.store(m(RBP, st!(reserve.value)), d, 8);
        self.a.storei(m(RBP, st!(reserve.value) + 8), 0);
        if self.swaps(Acc::u(size)) {
            self.a.bswap(size == 8, d);
        }
        Ok(V::Reg(d))
    }
    fn stcx(&mut self, ea: V, v: V, size: u8) -> Result<C, ()> {
        if size < 4 {
            return Err(());
        }
        let r = self.reg(ea);
        let s = self.copy(v);
        if self.swaps(Acc::u(size)) {
            self.a.bswap(size == 8, s);
        }
        self.a.testi(r, size as u32 - 1);
        self.cold(Cc::Ne);
        self.a.alum(Alu::Cmp, true, r, m(RBP, st!(reserve.ea)));
        self.cold(Cc::Ne);
        self.a.alumi(Alu::Cmp, true, m(RBP, st!(reserve.size)), size as i32);
        self.cold(Cc::Ne);
        let at = self.probe(V::Reg(r), size, true);
        self.a.lea(RDX, at);
        self.a.mov(RCX, RDX);
        self.a.alum(Alu::Sub, true, RCX, engine(slot::HOST));
        self.a.alum(Alu::Cmp, true, RCX, m(RBP, st!(reserve.ra)));
        self.cold(Cc::Ne);
        self.a.load(RAX, m(RBP, st!(reserve.value)));
        self.writes();
        self.a.cmpxchg(size == 8, m(RDX, 0), s);
        let d = self.alloc();
        self.a.setcc(Cc::E, d);
        self.a.extu(d, d, 8);
        self.a.storei(m(RBP, st!(reserve.ea)), -1);
        Ok(self.new_cond(Cond::Bit(V::Reg(d), 0)))
    }
    fn lqarx(&mut self, _: V) -> Result<W, ()> {
        Err(())
    }
    fn stqcx(&mut self, _: V, _: W) -> Result<C, ()> {
        Err(())
    }
    fn dcbz(&mut self, ea: V) -> Result<(), ()> {
        let r = self.copy(ea);
        self.a.alui(Alu::And, true, r, -128);
        let at = self.probe(V::Reg(r), 1, true);
        let x = self.xcopy(W::Imm(0));
        self.writes();
        for n in 0..8 {
            self.a.xstore(crate::asm::M { disp: at.disp + 16 * n, ..at }, x);
        }
        Ok(())
    }
    fn barrier(&mut self, k: Barrier) {
        match k {
            Barrier::Full => self.a.mfence(),
            Barrier::Light | Barrier::Io => {}
            Barrier::Instruction => {
                self.a.load(RAX, engine(slot::DROPS));
                self.a.load(RAX, m(RAX, 0));
                self.a.alum(Alu::Cmp, true, RAX, engine(slot::SEEN));
                self.cold(Cc::Ne);
            }
        }
    }

    fn fpr(&mut self, n: u32) -> V {
        let d = self.alloc();
        match self.x.find(n as u8 & 63, false) {
            Some((x, _)) => {
                self.a.movq_rx(d, x);
                self.note_half(d, x, 0);
            }
            None => self.a.load(d, m(RBP, st!(vsr) + 16 * (n as i32 & 63) + 8)),
        }
        V::Reg(d)
    }
    fn set_fpr(&mut self, n: u32, v: V) {
        let (x, single) = match v {
            V::Reg(r) if self.half(r).is_some_and(|h| h.1 == 0) => {
                let x = self.half(r).map_or(X(0), |h| h.0);
                (x, self.single_made == Some(x))
            }
            _ => {
                let r = self.reg(v);
                let x = self.xalloc();
                self.a.movq_xr(x, r);
                (x, false)
            }
        };
        self.set_held(n as u8 & 63, x, false, single);
    }
    fn vsr(&mut self, n: u32) -> W {
        W::Reg(self.full(n as u8 & 63))
    }
    fn set_vsr(&mut self, n: u32, w: W) {
        let x = self.x(w);
        self.set_held(n as u8 & 63, x, true, false);
    }
    fn single_to_double(&mut self, v: V) -> V {
        if let V::Imm(_) = v {
            return self.give_up();
        }
        let r = self.reg(v);
        let d = self.alloc();
        let x = self.xalloc();
        self.a.movq_xr(x, r);
        // A NaN would be made quiet.
        self.a.xx(0, 0x0f2e, x, x);
        self.cold(Cc::P);
        self.a.xx(0xf3, 0x0f5a, x, x);
        self.a.movq_rx(d, x);
        self.note_half(d, x, 0);
        self.single_made = Some(x);
        V::Reg(d)
    }
    fn double_to_single(&mut self, v: V) -> V {
        if let V::Imm(_) = v {
            return self.give_up();
        }
        let r = self.reg(v);
        let d = self.alloc();
        // Exponents of single denormals are the interpreter's, zero is not.
        self.a.mov(RAX, r);
        self.a.shi(Sh::Shl, true, RAX, 1);
        let zero = self.a.jcc(Cc::E);
        self.a.shi(Sh::Shr, true, RAX, 53);
        self.a.alui(Alu::Cmp, false, RAX, 896);
        self.cold(Cc::Be);
        self.a.here(zero);
        self.a.mov(RAX, r);
        self.a.shi(Sh::Shr, true, RAX, 32);
        self.a.alui(Alu::And, false, RAX, 0xc000_0000u32 as i32);
        self.a.mov(d, r);
        self.a.shi(Sh::Shr, true, d, 29);
        self.a.alui(Alu::And, false, d, 0x3fff_ffff);
        self.a.alu(Alu::Or, false, d, RAX);
        V::Reg(d)
    }
    fn w_imm(&mut self, x: u128) -> W {
        W::Imm(x)
    }
    fn w_pair(&mut self, hi: V, lo: V) -> W {
        if let (V::Imm(h), V::Imm(l)) = (hi, lo) {
            return W::Imm((h as u128) << 64 | l as u128);
        }
        let half = |s: &Self, v: V| if let V::Reg(r) = v { s.half(r) } else { None };
        if let (true, Some((xh, sh)), Some((xl, sl))) = (self.avx, half(self, hi), half(self, lo)) {
            let d = self.xalloc();
            // shufpd: the low lane from the first operand, the high one from the second.
            self.a.v3i(0x66, 0x0fc6, d, xl, xh, sl | sh << 1);
            return W::Reg(d);
        }
        let d = self.xalloc();
        let l = self.reg(lo);
        self.a.movq_xr(d, l);
        let h = self.reg(hi);
        self.a.pinsrq(d, h);
        W::Reg(d)
    }
    fn w_hi(&mut self, w: W) -> V {
        match w {
            W::Imm(x) => V::Imm((x >> 64) as u64),
            W::Reg(x) => {
                let d = self.alloc();
                self.a.pextrq(d, x);
                self.note_half(d, x, 1);
                V::Reg(d)
            }
        }
    }
    fn w_lo(&mut self, w: W) -> V {
        match w {
            W::Imm(x) => V::Imm(x as u64),
            W::Reg(x) => {
                let d = self.alloc();
                self.a.movq_rx(d, x);
                self.note_half(d, x, 0);
                V::Reg(d)
            }
        }
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
    fn w2_sat(&mut self, op: W2, a: W, b: W) -> W {
        self.wide2_sat(op, a, b)
    }
    fn w3_sat(&mut self, _: W3, _: W, _: W, _: W) -> W {
        self.give_up_w()
    }
    fn cr6_from_mask(&mut self, w: W) {
        let x = self.x(w);
        let ones = self.consts(consts::ONES);
        // Zero flag: none; carry: all.
        self.a.xrip(0x66, 0x0f3817, x, ones);
        self.a.setcc(Cc::B, RAX);
        self.a.setcc(Cc::E, RCX);
        self.a.extu(RAX, RAX, 8);
        self.a.extu(RCX, RCX, 8);
        self.a.shi(Sh::Shl, false, RAX, 3);
        self.a.lea32(RAX, crate::asm::M { base: RAX, index: Some((RCX, 1)), disp: 0 });
        self.writes();
        self.forget_compare(6);
        self.a.store(m(RBP, st!(cr) + 6), RAX, 1);
    }
    fn fp_insn(&mut self, f: FpInsn) -> Result<(), ()> {
        self.fp(f).ok_or(())
    }
    fn helper(&mut self, h: Helper, i: Insn) -> Result<(), ()> {
        self.system(h, i).ok_or(())
    }
}
