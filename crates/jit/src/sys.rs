//! Supervisor instructions that the emitter does itself: moves to and from special purpose registers, MSR[EE RI],
//! `icbi`. Whatever is not named here, or has an effect beyond a register, is the interpreter's.

use arch::msr::{EE, RI};
use arch::shared::event;
use arch::spr::num::*;
use isa::{Acc, Barrier, Builder, Helper, Insn, Level};

use crate::asm::{Alu, Cc, M, RAX, RBP, RCX, Sh, m};
use crate::emit::{Emit, V, st};
use crate::thunk::{engine, slot};

/// Events that wait for MSR[EE].
const MASKED: u8 =
    (event::EXTERNAL | event::DECREMENTER | event::DOORBELL | event::PERFORMANCE_MONITOR) as u8;

/// A register that is memory and nothing else: where, its bytes, and the bits of it that exist.
#[derive(Clone, Copy)]
enum Place {
    State(i32, u8),
    Low(i32, u32),
    Plain(u32, u8),
}

impl Emit<'_> {
    /// Emit `h`; `None`: the interpreter does it.
    pub(crate) fn system(&mut self, h: Helper, i: Insn) -> Option<()> {
        match h {
            Helper::Mfspr => self.get_spr(i),
            Helper::Mtspr => self.put_spr(i),
            Helper::Mfmsr => {
                let d = self.alloc();
                self.a.load(d, m(RBP, st!(msr)));
                self.set_gpr(i.rt(), V::Reg(d));
                Some(())
            }
            Helper::Mtmsr | Helper::Mtmsrd if i.bit(15) => {
                self.set_ee_ri(i);
                Some(())
            }
            Helper::Icbi => {
                let (a, b) = (if i.ra() == 0 { V::Imm(0) } else { self.gpr(i.ra()) }, self.gpr(i.rb()));
                let ea = self.op2(isa::Op2::Add, a, b);
                let ea = if self.mode.sf { ea } else { self.op1(isa::Op1::Extu32, ea) };
                self.load(ea, Acc::u(1)).ok()?;
                self.barrier(Barrier::Instruction);
                Some(())
            }
            Helper::Tlbsync | Helper::Slbsync | Helper::CpAbort => Some(()),
            _ => None,
        }
    }

    /// `mtmsr(d)` with L = 1.
    fn set_ee_ri(&mut self, i: Insn) {
        let v = self.gpr(i.rs());
        let r = self.reg(v);
        self.a.testi(r, EE as u32);
        let off = self.a.jcc(Cc::E);
        self.a.load(RCX, engine(slot::EVENTS));
        self.a.test_m8(m(RCX, 0), MASKED);
        self.cold(Cc::Ne);
        self.a.here(off);
        self.writes();
        self.a.load(RAX, m(RBP, st!(msr)));
        self.a.alui(Alu::And, true, RAX, !((EE | RI) as i32));
        self.a.mov32(RCX, r);
        self.a.alui(Alu::And, false, RCX, (EE | RI) as i32);
        self.a.alu(Alu::Or, true, RAX, RCX);
        self.a.store(m(RBP, st!(msr)), RAX, 8);
    }

    /// Where register `n` is, when reading it has no condition but privilege.
    fn readable(&self, n: u32) -> Option<Place> {
        let pr = self.mode.pr;
        if n & 0x10 != 0 && pr {
            return None;
        }
        let v2_07 = self.mode.level >= Level::V2_07;
        Some(match n {
            AMR_U | AMR => Place::State(st!(amr), 8),
            DSCR_U if pr || !v2_07 => return None,
            DSCR_U | DSCR => Place::State(st!(dscr), 8),
            DSISR => Place::State(st!(dsisr), 4),
            DAR => Place::State(st!(dar), 8),
            SRR0 => Place::State(st!(srr0), 8),
            SRR1 => Place::State(st!(srr1), 8),
            PIDR if self.mode.level >= Level::V3_0 => Place::State(st!(pidr), 8),
            IAMR if v2_07 => Place::State(st!(iamr), 8),
            FSCR if v2_07 => Place::State(st!(fscr), 8),
            UAMOR => Place::State(st!(uamor), 8),
            VRSAVE => Place::State(st!(vrsave), 4),
            SPRG3_U => Place::State(st!(sprg) + 24, 8),
            SPRG0..=SPRG3 => Place::State(st!(sprg) + 8 * (n - SPRG0) as i32, 8),
            PVR => Place::State(st!(pvr), 4),
            PIR => Place::State(st!(pir), 4),
            TAR if v2_07 && !pr => Place::State(st!(tar), 8),
            CTRL_R => Place::Plain(CTRL_W, 8),
            PSSCR if self.mode.level < Level::V3_0 => return None,
            PSPB if !v2_07 => return None,
            CFAR | CTRL_W | PSPB | PSSCR | PPR => Place::Plain(n, 8),
            _ => return None,
        })
    }

    /// Where register `n` is, when writing it does nothing else.
    fn writable(&self, n: u32) -> Option<Place> {
        let pr = self.mode.pr;
        if n & 0x10 != 0 && pr {
            return None;
        }
        let v2_07 = self.mode.level >= Level::V2_07;
        Some(match n {
            DSCR_U if pr || !v2_07 => return None,
            DSCR_U | DSCR => Place::Low(st!(dscr), 0x1ff_ffff),
            DSISR => Place::State(st!(dsisr), 4),
            DAR => Place::State(st!(dar), 8),
            SRR0 => Place::State(st!(srr0), 8),
            SRR1 => Place::State(st!(srr1), 8),
            FSCR if v2_07 => Place::State(st!(fscr), 8),
            UAMOR => Place::State(st!(uamor), 8),
            VRSAVE => Place::State(st!(vrsave), 4),
            SPRG0..=SPRG3 => Place::State(st!(sprg) + 8 * (n - SPRG0) as i32, 8),
            TAR if v2_07 && !pr => Place::State(st!(tar), 8),
            PSSCR if self.mode.level < Level::V3_0 => return None,
            PSPB if !v2_07 => return None,
            CTRL_W | PSPB => Place::Plain(n, 4),
            CFAR | PSSCR | PPR => Place::Plain(n, 8),
            _ => return None,
        })
    }

    /// The operand of a register that only holds what was written; rcx is part of it.
    fn plain(&mut self, n: u32) -> M {
        self.a.load(RCX, m(RBP, st!(plain)));
        m(RCX, 8 * n as i32)
    }

    fn get_spr(&mut self, i: Insn) -> Option<()> {
        let (at, size) = match self.readable(i.spr())? {
            Place::State(at, size) => (m(RBP, at), size),
            Place::Low(at, _) => (m(RBP, at), 8),
            Place::Plain(n, size) => (self.plain(n), size),
        };
        let d = self.alloc();
        self.a.loadz(d, at, size);
        self.set_gpr(i.rt(), V::Reg(d));
        Some(())
    }

    fn put_spr(&mut self, i: Insn) -> Option<()> {
        let n = i.spr();
        let v = self.gpr(i.rs());
        let r = self.reg(v);
        // What has consequences when it changes is written back unchanged most often.
        let same = match n {
            AMR if !self.mode.pr => Some(st!(amr)),
            IAMR if !self.mode.pr && self.mode.level >= Level::V2_07 => Some(st!(iamr)),
            PIDR if !self.mode.pr && self.mode.level >= Level::V3_0 => Some(st!(pidr)),
            _ => None,
        };
        if let Some(at) = same {
            self.a.alum(Alu::Cmp, true, r, m(RBP, at));
            self.cold(Cc::Ne);
            return Some(());
        }
        match self.writable(n)? {
            Place::State(at, size) => {
                self.writes();
                self.a.store(m(RBP, at), r, size);
            }
            Place::Low(at, mask) => {
                self.writes();
                self.a.mov32(RAX, r);
                self.a.alui(Alu::And, false, RAX, mask as i32);
                self.a.store(m(RBP, at), RAX, 8);
            }
            Place::Plain(n, size) => {
                self.writes();
                let at = self.plain(n);
                if size == 4 {
                    self.a.mov32(RAX, r);
                    self.a.store(at, RAX, 8);
                } else {
                    self.a.store(at, r, 8);
                }
            }
        }
        Some(())
    }

    /// XER as one value.
    pub(crate) fn get_xer(&mut self) -> V {
        let d = self.alloc();
        self.a.loadz(d, m(RBP, st!(xer_count)), 1);
        let v3_0 = self.mode.level >= Level::V3_0;
        let parts = [
            (st!(xer_so), 31, true),
            (st!(xer_ov), 30, true),
            (st!(xer_ca), 29, true),
            (st!(xer_ov32), 19, v3_0),
            (st!(xer_ca32), 18, v3_0),
        ];
        for (at, n, _) in parts.into_iter().filter(|p| p.2) {
            self.a.loadz(RAX, m(RBP, at), 1);
            self.a.shi(Sh::Shl, false, RAX, n);
            self.a.alu(Alu::Or, false, d, RAX);
        }
        V::Reg(d)
    }

    /// Write XER.
    pub(crate) fn put_xer(&mut self, v: V) {
        self.settle_all();
        let r = self.reg(v);
        self.writes();
        self.a.call_to(self.thunks.own_so);
        let parts = [
            (st!(xer_so), 31, 1),
            (st!(xer_ov), 30, 1),
            (st!(xer_ca), 29, 1),
            (st!(xer_ov32), 19, 1),
            (st!(xer_ca32), 18, 1),
            (st!(xer_count), 0, 0x7f),
        ];
        for (at, n, mask) in parts {
            self.a.mov32(RAX, r);
            if n != 0 {
                self.a.shi(Sh::Shr, false, RAX, n);
            }
            self.a.alui(Alu::And, false, RAX, mask);
            self.a.store(m(RBP, at), RAX, 1);
        }
    }
}
