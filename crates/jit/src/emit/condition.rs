//! Conditions and the condition register: computed where they are used, compared late, written when somebody may look.

use isa::Rel;

use super::{C, Compared, Cond, Emit, Fields, Operand, V, guest_at, st};
use crate::asm::{Alu, Asm, Cc, R, RAX, RBP, RCX, RDX, m};

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
            self.compare_again(x, ra, rb);
            self.a.call_to(self.thunks.field[x.signed as usize]);
            self.a.store(m(RBP, st!(cr) + n as i32), RAX, 1);
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
                Operand::Guest(g) => self.a.load(RAX, guest_at(g)),
                Operand::Imm(n) => self.a.movi(RAX, n),
            }
            RAX
        });
        match (x.b, rb) {
            (_, Some(rb)) => self.a.alu(Alu::Cmp, x.wide, ra, rb),
            (Operand::Guest(g), _) => self.a.alum(Alu::Cmp, x.wide, ra, guest_at(g)),
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
        Fields(first, list.len())
    }

    /// Write CR fields in a piece behind the block, from guest registers in memory.
    pub(super) fn write_fields(&mut self, f: Fields) {
        for k in f.0..f.1 {
            let (n, x) = self.l.fields[k];
            self.compare_again(x, None, None);
            self.a.call_to(self.thunks.field[x.signed as usize]);
            self.a.store(m(RBP, st!(cr) + n as i32), RAX, 1);
        }
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
            self.compared[n as usize & 7] = Some(Compared { signed, wide, a, b });
            self.unwritten |= 1 << (n & 7);
            return;
        }
        self.compare(wide, a, b);
        field_of(&mut self.a, signed);
        self.a.store(m(RBP, st!(cr) + n as i32), RAX, 1);
    }
}

/// The CR field that the flags of a comparison mean, with XER[SO], in eax. Changes rcx and rdx.
pub fn field_of(a: &mut Asm, signed: bool) {
    a.movi32(RAX, 8);
    a.movi32(RCX, 4);
    a.movi32(RDX, 2);
    a.cmov(if signed { Cc::G } else { Cc::A }, RAX, RCX);
    a.cmov(Cc::E, RAX, RDX);
    a.alum8(Alu::Or, RAX, m(RBP, st!(xer_so)));
}
