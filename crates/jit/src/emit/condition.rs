//! Conditions and the condition register: computed where they are used, compared late, written when somebody may look.

use arch::SO_OWED;
use isa::Rel;

use super::{C, Compared, Cond, EQ, Emit, Fields, GT, LT, Operand, V, st};
use crate::asm::{Alu, Asm, Cc, M, R, RAX, RBP, RCX, RDX, Sh, m};

impl Emit<'_> {
    // ---- conditions ----

    pub(crate) fn new_cond(&mut self, c: Cond) -> C {
        self.l.conds.push(c);
        C(self.l.conds.len() as u16 - 1)
    }

    pub(crate) fn cond(&self, c: C) -> Cond {
        self.l.conds[c.0 as usize]
    }

    fn compare(&mut self, wide: bool, a: V, b: V) {
        let ra = self.reg(a);
        match b {
            V::Imm(0) => self.a.test(wide, ra, ra),
            V::Imm(x) if !wide => self.a.alui(Alu::Cmp, false, ra, x as i32),
            V::Imm(x) if x as i32 as i64 as u64 == x => self.a.alui(Alu::Cmp, true, ra, x as i32),
            _ => {
                let rb = self.reg(b);
                self.a.alu(Alu::Cmp, wide, ra, rb);
            }
        }
    }

    /// Set the flags so that the condition given back holds when `c` does. Not for constants.
    fn flags(&mut self, c: C) -> Cc {
        match self.cond(c) {
            Cond::Rel(r, a, b) => {
                self.compare(true, a, b);
                match r {
                    Rel::Eq => Cc::E,
                    Rel::Ne => Cc::Ne,
                    Rel::Lts => Cc::L,
                    Rel::Gts => Cc::G,
                    Rel::Ltu => Cc::B,
                    Rel::Gtu => Cc::A,
                }
            }
            Cond::Bit(v, n) => {
                let r = self.reg(v);
                self.a.bt(r, n as u8);
                Cc::B
            }
            Cond::Cr(n) => {
                let (f, k) = (n as usize >> 2, n & 3);
                match self.compared[f] {
                    Some(x) if k < 3 => {
                        let a = self.operand(x.a);
                        let b = self.operand(x.b);
                        self.compare(x.wide, a, b);
                        match (k, x.signed) {
                            (0, true) => Cc::L,
                            (0, false) => Cc::B,
                            (1, true) => Cc::G,
                            (1, false) => Cc::A,
                            _ => Cc::E,
                        }
                    }
                    _ => {
                        self.a.test_m8(m(RBP, st!(cr) + f as i32), 8 >> k);
                        Cc::Ne
                    }
                }
            }
            Cond::So => {
                self.a.test_m8(m(RBP, st!(xer_so)), 1);
                Cc::Ne
            }
            Cond::Ca => {
                self.a.test_m8(m(RBP, st!(xer_ca)), 1);
                Cc::Ne
            }
            Cond::Not(x) => self.flags(x).not(),
            Cond::Const(_) | Cond::And(..) | Cond::Or(..) | Cond::Xor(..) => {
                let d = self.alloc();
                self.value(d, c);
                self.a.test(false, d, d);
                Cc::Ne
            }
        }
    }

    fn operand(&mut self, o: Operand) -> V {
        match o {
            Operand::Guest(g) => self.guest(g),
            Operand::Imm(x) => V::Imm(x),
        }
    }

    /// 0 or 1 into `d`, a register of this instruction's own.
    pub(crate) fn value(&mut self, d: R, c: C) {
        match self.cond(c) {
            Cond::Const(b) => self.a.movi(d, b as u64),
            Cond::Not(x) => {
                self.value(d, x);
                self.a.alui(Alu::Xor, false, d, 1);
            }
            Cond::And(x, y) | Cond::Or(x, y) | Cond::Xor(x, y) => {
                let op = match self.cond(c) {
                    Cond::And(..) => Alu::And,
                    Cond::Or(..) => Alu::Or,
                    _ => Alu::Xor,
                };
                self.value(d, x);
                let e = self.alloc();
                self.value(e, y);
                self.a.alu(op, false, d, e);
            }
            Cond::So => self.a.loadz(d, m(RBP, st!(xer_so)), 1),
            Cond::Ca => self.a.loadz(d, m(RBP, st!(xer_ca)), 1),
            _ => {
                let cc = self.flags(c);
                self.a.setcc(cc, d);
                self.a.extu(d, d, 8);
            }
        }
    }

    /// Branch when `c` is `sense`; the sites are appended to `l.sites`.
    pub(crate) fn branch(&mut self, c: C, sense: bool) {
        // What a second part loads would be loaded on one path only: have its registers loaded before.
        self.preload(c);
        match (self.cond(c), sense) {
            (Cond::Const(b), _) => {
                if b == sense {
                    let s = self.a.jmp();
                    self.l.sites.push(s);
                }
            }
            (Cond::Not(x), _) => self.branch(x, !sense),
            (Cond::And(x, y), false) | (Cond::Or(x, y), true) => {
                self.branch(x, sense);
                self.branch(y, sense);
            }
            (Cond::And(x, y), true) | (Cond::Or(x, y), false) => {
                let first = self.l.sites.len();
                self.branch(x, !sense);
                let mid = self.l.sites.len();
                self.branch(y, sense);
                for k in first..mid {
                    self.a.here(self.l.sites[k]);
                }
                self.l.sites.drain(first..mid);
            }
            _ => {
                let cc = self.flags(c);
                let cc = if sense { cc } else { cc.not() };
                let s = self.a.jcc(cc);
                self.l.sites.push(s);
            }
        }
    }

    /// Load the guest registers that computing `c` will ask for.
    fn preload(&mut self, c: C) {
        match self.cond(c) {
            Cond::Cr(n) => {
                if let Some(x) = self.compared[n as usize >> 2]
                    && n & 3 < 3
                {
                    self.operand(x.a);
                    self.operand(x.b);
                }
            }
            Cond::Not(x) => self.preload(x),
            Cond::And(x, y) | Cond::Or(x, y) | Cond::Xor(x, y) => {
                self.preload(x);
                self.preload(y);
            }
            _ => {}
        }
    }

    /// To the cold piece when `cc`. Only before anything is written.
    pub(crate) fn cold(&mut self, cc: Cc) {
        if self.wrote {
            self.failed = true;
        }
        let s = self.a.jcc(cc);
        self.l.sites.push(s);
    }

    /// To the cold piece when `c`.
    pub(crate) fn cold_if(&mut self, c: C) {
        if self.wrote {
            self.failed = true;
        }
        self.branch(c, true);
    }

    /// `c ? a : b`
    pub(crate) fn choose(&mut self, c: C, a: V, b: V) -> V {
        let ra = self.reg(a);
        let d = self.copy(b);
        let cc = self.flags(c);
        self.a.cmov(cc, d, ra);
        V::Reg(d)
    }

    /// Note that the instruction writes to the processor's state.
    pub(crate) fn writes(&mut self) {
        self.wrote = true;
    }

    // ---- condition register ----

    pub(crate) fn forget_compare(&mut self, n: u32) {
        self.compared[n as usize & 7] = None;
        self.unwritten &= !(1 << (n & 7));
    }

    /// Have memory hold CR field `n`.
    pub(crate) fn settle(&mut self, n: u32) {
        let n = n as usize & 7;
        if self.unwritten >> n & 1 == 0 {
            return;
        }
        self.unwritten &= !(1 << n);
        if let Some(x) = self.compared[n] {
            self.put_carry();
            let at = |s: &Self, o| match o {
                Operand::Guest(g) => s.regs.peek(g),
                Operand::Imm(_) => None,
            };
            let (ra, rb) = (at(self, x.a), at(self, x.b));
            self.put_field(n as u8, x, [ra, rb], false);
        }
    }

    /// Have memory hold all of CR.
    pub(crate) fn settle_all(&mut self) {
        if self.unwritten != 0 {
            (0..8).for_each(|n| self.settle(n));
        }
    }

    /// Have memory hold the CR fields that follow from register `g`.
    pub(super) fn settle_those_of(&mut self, g: u8) {
        let unwritten = self.unwritten;
        for n in (0..8).filter(|n| unwritten >> n & 1 != 0) {
            let x = self.compared[n];
            if x.is_some_and(|c| c.a == Operand::Guest(g) || c.b == Operand::Guest(g)) {
                self.settle(n as u32);
            }
        }
    }

    /// The flags of a remembered comparison; operands in host registers, or in memory. Changes rax and rcx.
    fn compare_again(&mut self, x: Compared, ra: Option<R>, rb: Option<R>) {
        let ra = ra.unwrap_or_else(|| {
            match x.a {
                Operand::Guest(g) => {
                    let at = self.memory(g);
                    self.a.load(RAX, at);
                }
                Operand::Imm(n) => self.a.movi(RAX, n),
            }
            RAX
        });
        match (x.b, rb) {
            (_, Some(rb)) => self.a.alu(Alu::Cmp, x.wide, ra, rb),
            (Operand::Guest(g), _) => {
                let at = self.memory(g);
                self.a.alum(Alu::Cmp, x.wide, ra, at);
            }
            (Operand::Imm(0), _) => self.a.test(x.wide, ra, ra),
            (Operand::Imm(n), _) if !x.wide => self.a.alui(Alu::Cmp, false, ra, n as i32),
            (Operand::Imm(n), _) if n as i32 as i64 as u64 == n => {
                self.a.alui(Alu::Cmp, true, ra, n as i32);
            }
            (Operand::Imm(n), _) => {
                self.a.movi(RCX, n);
                self.a.alu(Alu::Cmp, true, ra, RCX);
            }
        }
    }

    /// Note the unwritten CR fields for a piece behind the block.
    pub(super) fn list_fields(
        list: &mut Vec<(u8, Compared)>,
        compared: &[Option<Compared>; 8],
        mask: u8,
    ) -> Fields {
        let first = list.len();
        if mask != 0 {
            let of = compared.iter().enumerate().filter(|(n, _)| mask >> n & 1 != 0);
            list.extend(of.filter_map(|(n, c)| c.map(|c| (n as u8, c))));
        }
        Fields(first, list.len(), false)
    }

    /// Write CR fields in a piece behind the block, from guest registers in memory.
    pub(super) fn write_fields(&mut self, f: Fields) {
        for k in f.0..f.1 {
            let (n, x) = self.l.fields[k];
            self.put_field(n, x, [None; 2], f.2 && k == f.0);
        }
    }

    /// Write a CR field that follows from a comparison, whose operands are in these host registers or in memory; the
    /// host's flags may already be those of the comparison. Changes rax, rcx and rdx.
    fn put_field(&mut self, n: u8, x: Compared, [ra, rb]: [Option<R>; 2], flags: bool) {
        self.factor = None;
        let at = m(RBP, st!(cr) + i32::from(n));
        if x.may.is_power_of_two() {
            self.a.storei8(at, x.may | SO_OWED);
            return;
        }
        if !flags {
            self.compare_again(x, ra, rb);
        }
        let less = if x.signed { Cc::L } else { Cc::B };
        let of = |scale, disp| M { base: RAX, index: Some((RAX, scale)), disp };
        match x.may {
            // Of the numbers below only the low eight bits are looked at.
            may if may == LT | GT => {
                self.a.setcc(less, RAX);
                self.a.shi(Sh::Shl, false, RAX, 2);
                self.a.alui8(Alu::Add, RAX, GT | SO_OWED);
            }
            may if may == GT | EQ => {
                self.a.setcc(Cc::Ne, RAX);
                self.a.lea32(RAX, of(0, i32::from(EQ | SO_OWED)));
            }
            may if may == LT | EQ => {
                self.a.setcc(Cc::Ne, RAX);
                self.a.lea32(RAX, of(1, 0));
                self.a.lea32(RAX, of(0, i32::from(EQ | SO_OWED)));
            }
            _ => self.a.call_to(self.thunks.field[x.signed as usize]),
        }
        self.a.store(at, RAX, 1);
    }

    /// The compared CR field that `c` looks at, and the outcomes for which it holds.
    fn looks_at(&self, c: C) -> Option<(usize, u8)> {
        match self.cond(c) {
            Cond::Cr(n) if n & 3 < 3 => {
                let f = n as usize >> 2;
                self.compared[f].map(|_| (f, LT >> (n & 3)))
            }
            Cond::Not(x) => self.looks_at(x).map(|(f, when)| (f, (LT | GT | EQ) & !when)),
            _ => None,
        }
    }

    /// `c` was found not to hold.
    pub(super) fn learn_not(&mut self, c: C) {
        if let Some((f, when)) = self.looks_at(c)
            && let Some(x) = &mut self.compared[f]
        {
            x.may &= !when;
        }
    }

    /// Note the unwritten CR fields for a piece that is reached where the branch at `c` has just been taken.
    pub(super) fn fields_when(&mut self, c: C) -> Fields {
        let Some((f, when)) = self.looks_at(c).filter(|l| self.unwritten >> l.0 & 1 != 0) else {
            return Self::list_fields(&mut self.l.fields, &self.compared, self.unwritten);
        };
        let first = self.l.fields.len();
        self.l.fields.extend(self.compared[f].map(|x| (f as u8, Compared { may: x.may & when, ..x })));
        let rest = Self::list_fields(&mut self.l.fields, &self.compared, self.unwritten & !(1 << f));
        Fields(first, rest.1, true)
    }

    /// Have CR field `n` in memory hold its own SO. Changes rax and rcx.
    pub(crate) fn settle_so(&mut self, n: u32) {
        self.settle(n);
        self.put_carry();
        let at = m(RBP, st!(cr) + (n as i32 & 7));
        self.a.loadz(RAX, at, 1);
        self.a.mov32(RCX, RAX);
        self.a.shi(Sh::Shr, false, RCX, SO_OWED.trailing_zeros() as u8);
        self.a.alum8(Alu::And, RCX, m(RBP, st!(xer_so)));
        self.a.alu(Alu::Or, false, RAX, RCX);
        self.a.alui(Alu::And, false, RAX, 15);
        self.a.store(at, RAX, 1);
    }

    /// XER[SO] becomes 1 if the register is not 0. Changes rax, rcx and rdx.
    pub(crate) fn or_so(&mut self, ov: R) {
        self.a.extu(RDX, ov, 8);
        self.a.test(false, RDX, RDX);
        let none = self.a.jcc(Cc::E);
        self.a.call_to(self.thunks.own_so);
        self.a.storei8(m(RBP, st!(xer_so)), 1);
        self.a.here(none);
    }

    pub(crate) fn cr_compare_(&mut self, n: u32, signed: bool, wide: bool, a: V, b: V) {
        self.wrote = true;
        self.forget_compare(n);
        let operand = |v: V| match v {
            V::Imm(x) => Some(Operand::Imm(x)),
            V::Reg(r) => self.regs.guest(r).filter(|&g| g < 32).map(Operand::Guest),
            V::Off(..) => None,
        };
        if let (Some(a), Some(b)) = (operand(a), operand(b)) {
            let never = if !signed && b == Operand::Imm(0) { LT } else { 0 };
            let may = (LT | GT | EQ) & !never;
            self.compared[n as usize & 7] = Some(Compared { signed, wide, a, b, may });
            self.unwritten |= 1 << (n & 7);
            return;
        }
        self.compare(wide, a, b);
        field_of(&mut self.a, signed);
        self.a.store(m(RBP, st!(cr) + n as i32), RAX, 1);
    }
}

/// The CR field that the flags of a comparison mean, in eax. Changes rcx and rdx.
pub fn field_of(a: &mut Asm, signed: bool) {
    for (r, bit) in [(RAX, LT), (RCX, GT), (RDX, EQ)] {
        a.movi32(r, u32::from(bit | SO_OWED));
    }
    a.cmov(if signed { Cc::G } else { Cc::A }, RAX, RCX);
    a.cmov(Cc::E, RAX, RDX);
}

/// Code to be called that has all CR fields in memory hold their own SO. Changes rax, rcx and rdx.
pub fn own_so(a: &mut Asm) {
    let bytes = |x: u8| u64::from_ne_bytes([x; 8]);
    a.load(RAX, m(RBP, st!(cr)));
    a.mov(RCX, RAX);
    a.shi(Sh::Shr, true, RCX, SO_OWED.trailing_zeros() as u8);
    a.movi(RDX, bytes(1));
    a.alu(Alu::And, true, RCX, RDX);
    a.loadz(RDX, m(RBP, st!(xer_so)), 1);
    a.imul(RCX, RDX);
    a.alu(Alu::Or, true, RAX, RCX);
    a.movi(RCX, bytes(15));
    a.alu(Alu::And, true, RAX, RCX);
    a.store(m(RBP, st!(cr)), RAX, 8);
    a.ret();
}
