//! XER[CA] in the host's carry flag.
//!
//! Sums of many words are chains of `addc`, `adde`, `addze` with multiplications and moves between them. As long as
//! nothing changes the host's flags, the carry from one to the next stays in CF; it is stored before the first
//! instruction that may change them or look. CA32 is not made at all where another carry follows before anybody can
//! see it: at the end of the block, in whatever reads the XER. The rare cases of memory accesses in between make it first.
//!
//! The halves of the products that are summed come from one multiplication.

use isa::audit::audit;
use isa::{CarryIn, Insn, Op};

use super::{Emit, Owed, Product, V, guest_at, st};
use crate::MOST;
use crate::asm::{Alu, Cc, R, RAX, RBP, RCX, RDX, Sh, m};
use crate::thunk::{engine, slot};

/// Instructions looked at for the next carry.
const AHEAD: u32 = 16;

/// The same for the next one that replaces CA32.
const FAR: u32 = 24;

/// Instructions looked at for the other half of a product.
const PARTNER: u32 = 40;

/// Whether `op` writes CA and CA32, both, whatever happens.
fn carries(op: Op) -> bool {
    use Op::*;
    matches!(op, Addic | AddicRc | Subfic | Addc | Subfc | Adde | Subfe | Addme | Subfme | Addze | Subfze)
}

/// Whether `op` neither looks at the XER's carries nor leaves the block nor has a rare case.
fn passes(op: Op, i: Insn) -> bool {
    use Op::*;
    match op {
        Addi | Addis | Mulli | Cmpi | Cmpli | Cmp | Cmpl | Andi | Andis | Ori | Oris | Xori | Xoris | And
        | Or | Xor | Nand | Nor | Eqv | Andc | Orc | Extsb | Extsh | Extsw | Rlwinm | Rldicl | Rldicr => true,
        Add | Subf | Neg | Mullw | Mulld | Mulhw | Mulhwu | Mulhd | Mulhdu => !i.oe() && !i.rc(),
        _ => false,
    }
}

/// Whether `op` is an access of general registers to memory.
fn accesses(op: Op) -> bool {
    use Op::*;
    matches!(
        op,
        Lbz | Lbzx
            | Lhz
            | Lhzx
            | Lha
            | Lhax
            | Lwz
            | Lwzx
            | Lwa
            | Lwax
            | Ld
            | Ldx
            | Ldu
            | Ldux
            | Stb
            | Stbx
            | Sth
            | Sthx
            | Stw
            | Stwx
            | Std
            | Stdx
            | Stdu
            | Stdux
    )
}

impl Emit<'_> {
    /// Whether host code of `op` leaves CF alone, or makes a carry of its own of it.
    pub(super) fn keeps_carry(&self, op: Op, i: Insn) -> bool {
        use Op::*;
        match op {
            Addi | Addis => true,
            Add => !i.oe() && !i.rc(),
            Or => i.rs() == i.rb() && !i.rc(),
            Mulld | Mulhdu => self.bmi2 && !i.oe() && !i.rc(),
            _ => self.chains(op, i),
        }
    }

    /// Whether `op` makes a carry that may stay in CF.
    pub(super) fn chains(&self, op: Op, i: Insn) -> bool {
        let plain = matches!(op, Op::Addic | Op::Subfic) || !i.oe() && !i.rc();
        carries(op) && op != Op::AddicRc && plain && self.mode.sf
    }

    /// Have memory hold CA.
    pub(crate) fn put_carry(&mut self) {
        if std::mem::take(&mut self.carry_in_flag) {
            self.a.setcc_m(Cc::B, m(RBP, st!(xer_ca)));
        }
    }

    /// Whether another carry is made within `most` instructions after this one, with nothing but those for which `between`
    /// before it.
    fn carry_after(&self, most: u32, between: impl Fn(Op, Insn) -> bool) -> bool {
        for n in 1..most {
            // The block ends there at the latest.
            let at = self.off + self.len + 4 * (n - 1);
            let Some(w) = self.word(at).filter(|_| self.done + n < MOST) else { return false };
            let i = Insn::new(w);
            let op = isa::decode(i, self.mode.level);
            if carries(op) {
                return true;
            }
            if !between(op, i) {
                return false;
            }
        }
        false
    }

    /// Whether another carry is made after this instruction before anybody can look at this one's CA32.
    fn carry_passes(&self) -> bool {
        self.carry_after(AHEAD, passes)
    }

    /// Whether another carry is made after this instruction with nothing but rare cases of accesses to look at this one's
    /// CA32, and until then the registers of `kept` do not change.
    fn may_owe(&self, kept: u32) -> bool {
        let keeps = |op, i| audit(op, i, self.mode).write.gpr & kept == 0;
        self.carry_after(FAR, |op, i| (passes(op, i) || accesses(op)) && keeps(op, i))
    }

    /// Have memory hold CA32. Changes rax.
    pub(super) fn put_owed(&mut self) {
        let Some(Owed { x, not, y, sum }) = self.owed.take() else { return };
        self.a.load(RAX, x.map_or(engine(slot::ADDED), guest_at));
        if not {
            self.a.not(RAX);
        }
        match y {
            Ok(n) => self.a.alum(Alu::Xor, true, RAX, guest_at(n)),
            Err(0) => {}
            Err(n) => self.a.alui(Alu::Xor, true, RAX, n),
        }
        self.a.alum(Alu::Xor, true, RAX, guest_at(sum));
        self.a.bt(RAX, 32);
        self.a.setcc_m(Cc::B, m(RBP, st!(xer_ca32)));
    }

    /// What CA32 is to be owed of after this instruction, a carry of `x`, perhaps complemented, and `y`, if it is.
    fn owes(&self, i: Insn, not: bool, y: Source) -> Option<Owed> {
        let [t, a, b] = [i.rt(), i.ra(), i.rb()].map(|n| n as u8 & 31);
        let y = if let Source::Imm(n) = y { Err(n) } else { Ok(b) };
        // An operand whose register takes the sum is kept aside. Which of them is the complement makes no difference.
        let (x, y) = match (a == t, y == Ok(t)) {
            (true, true) => return None,
            (false, true) => (None, Ok(a)),
            (aside, false) => ((!aside).then_some(a), y),
        };
        let bit = |n: u8| 1u32 << n;
        let kept = bit(t) | x.map_or(0, bit) | y.map_or(0, bit);
        self.may_owe(kept).then_some(Owed { x, not, y, sum: t })
    }

    /// A plain instruction of a chain straight from its fields: operands that are in no host register are taken from
    /// memory, where the chains' many registers mostly are. False: not one of them.
    pub(super) fn straight(&mut self, op: Op, i: Insn) -> bool {
        use Op::*;
        if matches!(op, Mulld | Mulhdu) && self.bmi2 && !i.oe() && !i.rc() {
            let (t, of, upper) = (i.rt() as u8 & 31, (i.ra() as u8, i.rb() as u8), op == Mulhdu);
            if let Some(k) = self.products.iter().position(|&p| p == Some(Product { of, upper })) {
                self.products[k] = None;
                let d = self.alloc();
                self.a.load(d, engine(slot::PRODUCTS + k));
                self.set_guest(t, V::Reg(d));
                return true;
            }
            let other = Product { of, upper: !upper };
            let place = self.products.iter().position(Option::is_none).filter(|_| self.wants(t, other));
            if place.is_some() || self.carry_in_flag {
                self.multiply(i, upper, place);
                if let Some(k) = place {
                    self.products[k] = Some(other);
                }
                return true;
            }
        }
        if !self.chain {
            return false;
        }
        let (cin, not) = match op {
            Addic | Addc => (CarryIn::Zero, false),
            Subfic | Subfc => (CarryIn::One, true),
            Adde | Addme | Addze => (CarryIn::Ca, false),
            _ => (CarryIn::Ca, true),
        };
        let y = match op {
            Addic | Subfic => Source::Imm(i.si() as i32),
            Addze | Subfze => Source::Imm(0),
            Addme | Subfme => Source::Imm(-1),
            _ => self.source(i.rb() as u8),
        };
        let x = self.source(i.ra() as u8);
        let d = self.alloc();
        self.take(d, x);
        if not {
            self.a.not(d);
        }
        self.carry_in(cin);
        let op = if cin == CarryIn::Zero { Alu::Add } else { Alu::Adc };
        self.operate(op, d, y);
        self.writes();
        // A carry of before is no more.
        self.owed = None;
        self.carry_in_flag = self.carry_passes();
        if !self.carry_in_flag {
            self.a.setcc_m(Cc::B, m(RBP, st!(xer_ca)));
            self.owed = self.owes(i, not, y);
        }
        if let Some(Owed { x: None, .. }) = self.owed {
            let aside = if i.ra() == i.rt() { x } else { y };
            let h = if let Source::Host(h) = aside { h } else { RAX };
            self.take(h, aside);
            self.a.store(engine(slot::ADDED), h, 8);
        } else if !self.carry_in_flag && self.owed.is_none() {
            self.take(RAX, x);
            if not {
                self.a.not(RAX);
            }
            if !matches!(y, Source::Imm(0)) {
                self.operate(Alu::Xor, RAX, y);
            }
            self.a.alu(Alu::Xor, true, RAX, d);
            self.a.bt(RAX, 32);
            self.a.setcc_m(Cc::B, m(RBP, st!(xer_ca32)));
        }
        self.set_guest(i.rt() as u8 & 31, V::Reg(d));
        true
    }

    /// Whether the other half of a product is asked for later in the block, after this half has gone to `t`. Mistakes only cost
    /// time.
    fn wants(&self, t: u8, other: Product) -> bool {
        let (a, b) = other.of;
        let code =
            31 << 26 | u32::from(a) << 16 | u32::from(b) << 11 | if other.upper { 9 } else { 233 } << 1;
        let mut new = t;
        for n in 0..PARTNER {
            let at = self.off + self.len + 4 * n;
            let Some(w) = self.word(at).filter(|_| self.done + n + 1 < MOST) else { return false };
            if new == a || new == b {
                return false;
            }
            if w & !(31 << 21) == code {
                return true;
            }
            new = match w >> 26 {
                1 | 17..=19 => return false,
                // Of what stands here the register is no result.
                10 | 11 | 16 | 36..=39 | 44 | 45 | 47 | 52..=55 | 60..=63 => 32,
                20..=30 => (w >> 16 & 31) as u8,
                _ => (w >> 21 & 31) as u8,
            };
        }
        false
    }

    /// General register `n` changes.
    pub(super) fn forget_products(&mut self, n: u8) {
        for p in self.products.iter_mut().filter(|p| p.is_some_and(|p| p.of.0 == n || p.of.1 == n)) {
            *p = None;
        }
    }

    /// A product's upper or lower half, with the flags left alone; the other goes to `place`.
    fn multiply(&mut self, i: Insn, upper: bool, place: Option<usize>) {
        let of = [i.ra(), i.rb()].map(|n| n as u8 & 31);
        // Products often have a factor in common: that is the one in rdx, else one that is at hand.
        let common = match (self.factor, of.map(|n| self.regs.host(n))) {
            (Some(f), _) if of.contains(&f) => f,
            (_, [Some(_), None]) => of[0],
            _ => of[1],
        };
        let other = if of[0] == common { of[1] } else { of[0] };
        if self.factor != Some(common) {
            let V::Reg(r) = self.guest(common) else { return };
            self.a.mov(RDX, r);
        }
        let y = self.source(other);
        let d = self.alloc();
        let (hi, lo) = match place {
            None if upper => (d, d),
            _ if upper => (d, RAX),
            _ => (RAX, d),
        };
        match y {
            Source::Host(y) => self.a.mulx(hi, lo, y),
            Source::Memory(n) => {
                let at = self.memory(n);
                self.a.mulx_m(hi, lo, at);
            }
            Source::Imm(_) => return,
        }
        self.factor = Some(common);
        if let Some(k) = place {
            self.a.store(engine(slot::PRODUCTS + k), RAX, 8);
        }
        self.set_guest(i.rt() as u8 & 31, V::Reg(d));
    }

    fn source(&mut self, n: u8) -> Source {
        self.regs.host(n & 31).map_or(Source::Memory(n & 31), Source::Host)
    }

    fn take(&mut self, d: R, x: Source) {
        match x {
            Source::Host(r) => self.a.mov(d, r),
            Source::Memory(n) => {
                let at = self.memory(n);
                self.a.load(d, at);
            }
            Source::Imm(n) => self.a.movi(d, n as i64 as u64),
        }
    }

    fn operate(&mut self, op: Alu, d: R, y: Source) {
        match y {
            Source::Host(r) => self.a.alu(op, true, d, r),
            Source::Memory(n) => {
                let at = self.memory(n);
                self.a.alum(op, true, d, at);
            }
            Source::Imm(n) => self.a.alui(op, true, d, n),
        }
    }

    /// Have CF be the carry that an addition takes.
    fn carry_in(&mut self, cin: CarryIn) {
        match cin {
            CarryIn::One => self.a.stc(),
            CarryIn::Ca if !self.carry_in_flag => {
                self.a.loadz(RAX, m(RBP, st!(xer_ca)), 1);
                self.a.alui8(Alu::Add, RAX, 0xff);
            }
            _ => {}
        }
    }

    /// a + b + carry, and what the XER gets of it.
    pub(crate) fn add_xer_(&mut self, a: V, b: V, cin: CarryIn, ca: bool, ov: bool) -> V {
        if ov {
            self.settle_all();
        }
        let (x, y) = (self.reg(a), self.reg(b));
        let d = self.alloc();
        self.a.mov(d, x);
        self.carry_in(cin);
        let op = if cin == CarryIn::Zero { Alu::Add } else { Alu::Adc };
        self.a.alu(op, true, d, y);
        self.writes();
        if self.mode.sf {
            if ca {
                self.a.setcc_m(Cc::B, m(RBP, st!(xer_ca)));
            }
            if ov {
                self.a.setcc(Cc::O, RDX);
            }
        }
        if ca {
            self.owed = None;
            self.a.mov(RAX, x);
            self.a.alu(Alu::Xor, true, RAX, y);
            self.a.alu(Alu::Xor, true, RAX, d);
            self.a.shi(Sh::Shr, true, RAX, 32);
            self.a.alui(Alu::And, false, RAX, 1);
            self.a.store(m(RBP, st!(xer_ca32)), RAX, 1);
            if !self.mode.sf {
                self.a.store(m(RBP, st!(xer_ca)), RAX, 1);
            }
        }
        if ov {
            self.a.mov(RAX, x);
            self.a.alu(Alu::Xor, true, RAX, d);
            self.a.mov(RCX, y);
            self.a.alu(Alu::Xor, true, RCX, d);
            self.a.alu(Alu::And, true, RAX, RCX);
            self.a.shi(Sh::Shr, false, RAX, 31);
            if !self.mode.sf {
                self.a.mov32(RDX, RAX);
            }
            self.a.store(m(RBP, st!(xer_ov32)), RAX, 1);
            self.a.store(m(RBP, st!(xer_ov)), RDX, 1);
            self.or_so(RDX);
        }
        V::Reg(d)
    }
}

/// Where an operand is.
#[derive(Clone, Copy)]
enum Source {
    Host(R),
    /// A guest register that no host register holds.
    Memory(u8),
    Imm(i32),
}
