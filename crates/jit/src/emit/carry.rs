//! XER[CA] in the host's carry flag.
//!
//! Sums of many words are chains of `addc`, `adde`, `addze` with multiplications and moves between them. As long as
//! nothing changes the host's flags, the carry from one to the next stays in CF; it is stored before the first
//! instruction that may change them or look. CA32 is not made at all where another carry follows before anybody can
//! see it: at a memory access, at the end of the block, in whatever reads the XER.

use isa::{CarryIn, Insn, Op};

use super::{Emit, V, guest_at, st};
use crate::MOST;
use crate::asm::{Alu, Cc, R, RAX, RBP, RCX, RDX, Sh, m};

/// Instructions looked at for the next carry.
const AHEAD: u32 = 16;

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

    /// Whether another carry is made after this instruction before anybody can look at this one's CA32.
    fn carry_passes(&self) -> bool {
        let mut off = self.off + self.len;
        for n in 1..AHEAD {
            // The block ends there at the latest.
            let Some(w) = self.word(off).filter(|_| self.done + n < MOST) else { return false };
            let i = Insn::new(w);
            let op = isa::decode(i, self.mode.level);
            if carries(op) {
                return true;
            }
            if !passes(op, i) {
                return false;
            }
            off += 4;
        }
        false
    }

    /// A plain instruction of a chain straight from its fields: operands that are in no host register are taken from
    /// memory, where the chains' many registers mostly are. False: not one of them.
    pub(super) fn straight(&mut self, op: Op, i: Insn) -> bool {
        use Op::*;
        if matches!(op, Mulld | Mulhdu) && self.carry_in_flag {
            self.multiply(op, i);
            return true;
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
        self.carry_in_flag = self.carry_passes();
        if !self.carry_in_flag {
            self.a.setcc_m(Cc::B, m(RBP, st!(xer_ca)));
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

    /// A product, with the flags left alone.
    fn multiply(&mut self, op: Op, i: Insn) {
        let (x, y) = match (self.source(i.ra() as u8), self.source(i.rb() as u8)) {
            // One of them had better be there next time.
            (x @ Source::Memory(_), Source::Memory(b)) => {
                let V::Reg(y) = self.guest(b) else { return };
                (x, y)
            }
            (x, Source::Host(y)) => (x, y),
            (Source::Host(x), y) => (y, x),
            (Source::Imm(_), _) | (_, Source::Imm(_)) => return,
        };
        let d = self.alloc();
        self.take(RDX, x);
        self.a.mulx(if op == Op::Mulld { RAX } else { d }, d, y);
        self.set_guest(i.rt() as u8 & 31, V::Reg(d));
    }

    fn source(&mut self, n: u8) -> Source {
        self.regs.host(n & 31).map_or(Source::Memory(n & 31), Source::Host)
    }

    fn take(&mut self, d: R, x: Source) {
        match x {
            Source::Host(r) => self.a.mov(d, r),
            Source::Memory(n) => self.a.load(d, guest_at(n)),
            Source::Imm(n) => self.a.movi(d, n as i64 as u64),
        }
    }

    fn operate(&mut self, op: Alu, d: R, y: Source) {
        match y {
            Source::Host(r) => self.a.alu(op, true, d, r),
            Source::Memory(n) => self.a.alum(op, true, d, guest_at(n)),
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
