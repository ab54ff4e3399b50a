//! Rare whole instructions ([`isa::Helper`]), carried out on a processor.

use std::sync::atomic::{Ordering, fence};

use isa::{Helper, Insn, Level};
use mem::Access;

use crate::cpu::{Cpu, Exit, Flow, Stop};
use crate::mmu::{slb, tlbie};
use crate::msr::{self, lpcr, srr1};
use crate::shared::event;
use crate::{Fault, Vector};

/// Bits of SRR1 that `rfid` copies to the MSR (the rest of MSR is kept or absent for a partition).
const RFID: u64 = msr::WRITABLE;

impl Cpu {
    /// (RA|0) + (RB) in the mode's width.
    fn ea_x(&self, i: Insn) -> u64 {
        let a = if i.ra() == 0 { 0 } else { self.st.gpr[i.ra() as usize] };
        let ea = a.wrapping_add(self.st.gpr[i.rb() as usize]);
        if self.st.mode.sf { ea } else { ea & 0xffff_ffff }
    }

    fn rb(&self, i: Insn) -> u64 {
        self.st.gpr[i.rb() as usize]
    }

    fn rs(&self, i: Insn) -> u64 {
        self.st.gpr[i.rs() as usize]
    }

    fn illegal(&mut self) -> Result<(), Stop> {
        Err(self.raise(Fault::program(srr1::ILLEGAL)))
    }

    /// Carry out `h` for the instruction `i` at `cia`.
    pub fn helper(&mut self, h: Helper, i: Insn, cia: u64) -> Result<(), Stop> {
        match h {
            Helper::Sc => self.sc(i, cia),
            Helper::Scv => {
                self.need_scv()?;
                let next = cia.wrapping_add(4);
                self.deliver_scv(i.lev() as u64, if self.st.mode.sf { next } else { next & 0xffff_ffff });
                Err(Stop::Jumped)
            }
            Helper::Rfid => {
                let (pc, m) = (self.st.srr0, self.st.srr1);
                self.return_to(pc, m)
            }
            Helper::Rfscv => {
                let (pc, m) = (self.st.lr, self.st.ctr);
                self.return_to(pc, m)
            }
            Helper::Hrfid
            | Helper::Stop
            | Helper::Msgsnd
            | Helper::Msgclr
            | Helper::Msgsync
            | Helper::Attn => Err(self.raise(Fault::program(srr1::PRIVILEGED))),
            Helper::Pause => self.pause(),
            Helper::Mtmsr | Helper::Mtmsrd => self.mtmsr(h == Helper::Mtmsrd, i),
            Helper::Mfmsr => {
                self.st.gpr[i.rt() as usize] = self.st.msr;
                Ok(())
            }
            Helper::Mfspr | Helper::Mftb => self.mfspr(i),
            Helper::Mtspr => self.mtspr(i),
            Helper::Icbi => {
                // Code is dropped when it is stored to; what is left is the access check of a load, and a fresh
                // look at the instructions.
                let ea = self.ea_x(i);
                self.load(ea, 1)?;
                self.refetch = true;
                Err(Stop::Events)
            }
            Helper::Lswx => self.lswx(i),
            Helper::Stswx => self.stswx(i),
            Helper::Darn => self.darn(i),
            Helper::Amo => self.amo(i),
            Helper::Copy => {
                let ea = self.ea_x(i);
                if ea & 127 != 0 { Err(self.alignment(ea)) } else { Ok(()) }
            }
            Helper::Paste => {
                // Only accelerators take a paste and none is offered: the paste fails, CR0 = 0 || 0 || 0 || SO.
                self.st.cr[0] = self.st.xer_so;
                Ok(())
            }
            Helper::CpAbort => Ok(()),
            Helper::ClrBhrb | Helper::MfBhrbe => {
                // A problem-state program has the branch history where MMCR0[BHRBA] says so (Book III, 10.4.4); there
                // is never an entry in it.
                if self.st.mode.pr
                    && self.st.plain[crate::spr::num::MMCR0 as usize] & crate::pmu::mmcr0::BHRBA == 0
                {
                    self.st.fscr = self.st.fscr & !(0xff << 56) | 4 << 56;
                    return Err(self.raise(Fault::plain(Vector::FacilityUnavailable)));
                }
                if h == Helper::MfBhrbe {
                    self.st.gpr[i.rt() as usize] = 0;
                }
                Ok(())
            }
            Helper::Rfebb => self.rfebb(i),
            Helper::Tm => {
                // Transactional memory is not offered: HFSCR would keep it from the partition.
                if self.st.level >= Level::V3_1 {
                    return self.illegal();
                }
                // treclaim. and trechkpt. are privileged.
                if self.st.mode.pr && matches!(i.bits(21, 30), 942 | 1006) {
                    return Err(self.raise(Fault::program(srr1::PRIVILEGED)));
                }
                self.st.fscr = self.st.fscr & !(0xff << 56) | 5 << 56;
                Err(self.raise(Fault::plain(Vector::FacilityUnavailable)))
            }
            Helper::HashSt | Helper::HashChk | Helper::HashStP | Helper::HashChkP => self.hash(h, i),
            Helper::Mfvscr => {
                self.st.vsr[32 + i.vrt() as usize] = self.st.vscr as u128;
                Ok(())
            }
            Helper::Mtvscr => {
                self.st.vscr = self.st.vsr[32 + i.vrb() as usize] as u32 & 0x0001_0001;
                Ok(())
            }
            Helper::Msgsndp => {
                // Message type 5 (bits 32..36), thread in bits 57..63.
                let b = self.rb(i);
                if b >> 27 & 31 == 5 {
                    self.env.doorbell(self.index, b as u32 & 0x7f);
                }
                Ok(())
            }
            Helper::Msgclrp => {
                if self.rb(i) >> 27 & 31 == 5 {
                    self.link.clear(event::DOORBELL);
                    self.st.doorbell = false;
                }
                Ok(())
            }
            Helper::Tlbsync | Helper::Slbsync => Ok(()),
            Helper::Tlbie | Helper::Tlbiel => self.tlbie(h == Helper::Tlbie, i),
            Helper::Slbie
            | Helper::Slbieg
            | Helper::Slbia
            | Helper::Slbiag
            | Helper::Slbmte
            | Helper::Slbmfev
            | Helper::Slbmfee
            | Helper::Slbfee => self.slb_insn(h, i),
        }
    }

    /// `sc`: system call interrupt, or hypercall for LEV = 1.
    fn sc(&mut self, i: Insn, cia: u64) -> Result<(), Stop> {
        if i.lev() & 0x3f != 1 {
            self.fault = Fault::plain(Vector::SystemCall);
            return Err(Stop::FaultNext);
        }
        if self.st.mode.pr {
            // H_PRIVILEGE
            self.st.gpr[3] = -3i64 as u64;
            return Ok(());
        }
        let env = self.env.clone();
        self.st.nia = cia.wrapping_add(4);
        match env.hcall(self) {
            Flow::Continue => Err(Stop::Events),
            Flow::Exit(e) => Err(Stop::Exit(e)),
            Flow::Resume => Err(Stop::Jumped),
        }
    }

    fn return_to(&mut self, pc: u64, m: u64) -> Result<(), Stop> {
        // A partition does not change ME (Book III, 4.3.1).
        let mut new = m & RFID & !msr::ME | self.st.msr & msr::ME;
        if new & msr::PR != 0 {
            new |= msr::EE | msr::IR | msr::DR;
        }
        self.st.nia = if new & msr::SF != 0 { pc & !3 } else { pc & 0xffff_fffc };
        self.set_msr(new);
        Err(Stop::Jumped)
    }

    fn mtmsr(&mut self, doubleword: bool, i: Insn) -> Result<(), Stop> {
        let v = self.rs(i);
        let old = self.st.msr;
        if i.bit(15) {
            // L = 1: EE and RI only.
            let m = msr::EE | msr::RI;
            self.st.msr = old & !m | v & m;
            if self.st.msr & msr::EE != 0 && self.link.pending() != 0 {
                self.link.exit.store(1, Ordering::Relaxed);
            }
            return Err(Stop::Events);
        }
        let mut new = if doubleword { v } else { old & !0xffff_ffff | v & 0xffff_ffff };
        // LE and ME are not changed by mtmsr(d) (Book III, 5.4.4); PR sets EE, IR and DR.
        let keep = msr::LE | msr::ME;
        new = new & !keep | old & keep;
        if new & msr::PR != 0 {
            new |= msr::EE | msr::IR | msr::DR;
        }
        self.set_msr(new);
        Err(Stop::Events)
    }

    fn rfebb(&mut self, i: Insn) -> Result<(), Stop> {
        if self.st.fscr >> crate::spr::FSCR_EBB & 1 == 0 {
            self.st.fscr = self.st.fscr & !(0xff << 56) | 7 << 56;
            return Err(self.raise(Fault::plain(Vector::FacilityUnavailable)));
        }
        // BESCR[GE] takes S; return to EBBRR.
        let ge = 1u64 << 63;
        let bescr = self.st.plain[806];
        self.st.plain[806] = if i.bit(20) { bescr | ge } else { bescr & !ge };
        self.st.nia = self.st.plain[805] & !3;
        self.ebb_update();
        Err(Stop::Jumped)
    }

    fn lswx(&mut self, i: Insn) -> Result<(), Stop> {
        let ea = self.ea_x(i);
        if self.st.mode.le {
            return Err(self.alignment(ea));
        }
        let n = self.st.xer_count as u64;
        let mut regs = [0u64; 32];
        for k in 0..n {
            let v = self.load(ea.wrapping_add(k), 1)?;
            regs[k as usize / 4] |= v << (24 - 8 * (k % 4));
        }
        // With RA or RB among the registers to be loaded the form is invalid (Book I, 3.3.6); they are left as they
        // were, as processors do.
        for k in 0..n.div_ceil(4) as usize {
            let rt = (i.rt() as usize + k) % 32;
            if rt != i.rb() as usize && (rt != i.ra() as usize || rt == 0) {
                self.st.gpr[rt] = regs[k];
            }
        }
        Ok(())
    }

    fn stswx(&mut self, i: Insn) -> Result<(), Stop> {
        let ea = self.ea_x(i);
        if self.st.mode.le {
            return Err(self.alignment(ea));
        }
        for k in 0..self.st.xer_count as u64 {
            let v = self.st.gpr[(i.rs() as usize + k as usize / 4) % 32];
            self.store(ea.wrapping_add(k), v >> (24 - 8 * (k % 4)), 1)?;
        }
        Ok(())
    }

    fn darn(&mut self, i: Insn) -> Result<(), Stop> {
        let l = i.bits(14, 15);
        let r = if l == 3 { u64::MAX } else { self.env.random().unwrap_or(u64::MAX) };
        self.st.gpr[i.rt() as usize] = if l == 0 { r & 0xffff_ffff } else { r };
        Ok(())
    }

    /// Atomic memory operations (Book II, 4.5): `lwat`, `ldat`, `stwat`, `stdat`.
    fn amo(&mut self, i: Insn) -> Result<(), Stop> {
        let (store, size) = match i.bits(21, 30) {
            582 => (false, 4u64),
            614 => (false, 8),
            710 => (true, 4),
            _ => (true, 8),
        };
        let fc = i.rb();
        let ea = if i.ra() == 0 { 0 } else { self.st.gpr[i.ra() as usize] };
        let ea = if self.st.mode.sf { ea } else { ea & 0xffff_ffff };
        // The operands are at EA, and for some functions at EA + size too: within an aligned block of 32 bytes.
        let pair = !store && matches!(fc, 24 | 25 | 28) || store && fc == 24;
        if ea & (size - 1) != 0 || pair && ea & 31 > 32 - 2 * size {
            return Err(self.alignment(ea));
        }
        let swap = |v: u64, le: bool| if le { v } else { v.swap_bytes() >> (64 - 8 * size as u32) };
        let le = self.st.mode.le;
        self.real_of(ea, Access::Write)?;
        self.watch(ea, size, Access::Write)?;
        let m = if size == 4 { 0xffff_ffff } else { u64::MAX };
        let signed = |v: u64| if size == 4 { v as i32 as i64 } else { v as i64 };
        let t = i.rt() as usize;
        // Load forms compare and use RT+1 (and RT+2 for compare and swap not equal).
        let (x, y) = if store {
            (self.st.gpr[t] & m, 0)
        } else {
            (self.st.gpr[(t + 1) % 32] & m, self.st.gpr[(t + 2) % 32] & m)
        };
        loop {
            let raw = self.load(ea, size as u8)?;
            let old = swap(raw, le) & m;
            let other = if pair { swap(self.load(ea.wrapping_add(size), size as u8)?, le) & m } else { 0 };
            let (new, result) = match (store, fc) {
                (_, 0) => (old.wrapping_add(x), old),
                (_, 1) => (old ^ x, old),
                (_, 2) => (old | x, old),
                (_, 3) => (old & x, old),
                (_, 4) => (old.max(x), old),
                (_, 5) => (if signed(old) >= signed(x) { old } else { x }, old),
                (_, 6) => (old.min(x), old),
                (_, 7) => (if signed(old) <= signed(x) { old } else { x }, old),
                (false, 8) => (x, old),
                (false, 16) => (if old != x { y } else { old }, old),
                (false, 24) => {
                    if old != other {
                        (old.wrapping_add(1), old)
                    } else {
                        (old, 1 << (8 * size - 1))
                    }
                }
                (false, 25) => {
                    if old == other {
                        (old.wrapping_add(1), old)
                    } else {
                        (old, 1 << (8 * size - 1))
                    }
                }
                (false, 28) => {
                    if old != other {
                        (old.wrapping_sub(1), old)
                    } else {
                        (old, 1 << (8 * size - 1))
                    }
                }
                (true, 24) => {
                    // Store twin: both take the value when they are equal.
                    if old == other {
                        self.store(ea.wrapping_add(size), swap(x, le), size as u8)?;
                        (x, 0)
                    } else {
                        (old, 0)
                    }
                }
                _ => {
                    // Undefined function code: data storage interrupt (Book II, 4.5).
                    return Err(self.raise(Fault {
                        vector: Vector::Dsi,
                        srr1: 0,
                        dar: Some(ea),
                        dsisr: Some(0x0010_0000),
                    }));
                }
            };
            let new = swap(new & m, le);
            let (ra, _) = self.real_of(ea, Access::Write)?;
            let done = match self.tlb.cas(self.dmode, ea, raw, new, size as u8) {
                Some(ok) => ok,
                None => {
                    self.refetch = true;
                    self.sh.ram.cas_le(ra, raw, new, size as u8).unwrap_or(true)
                }
            };
            if done {
                if !store {
                    self.st.gpr[t] = result & m;
                }
                return Ok(());
            }
        }
    }

    /// ROP protection (Book I, 3.3.17): the digest of the manual, stored or compared.
    fn hash(&mut self, h: Helper, i: Insn) -> Result<(), Stop> {
        let privileged = matches!(h, Helper::HashStP | Helper::HashChkP);
        let key = if privileged { self.st.hashpkey } else { self.st.hashkey };
        // Displacement: -512 + 8 * (D || DX) of a six-bit field.
        let d = (i.raw & 1) << 5 | i.bits(6, 10);
        let disp = (-512i64) + 8 * d as i64;
        let a = if i.ra() == 0 { 0 } else { self.st.gpr[i.ra() as usize] };
        let ea = a.wrapping_add(disp as u64);
        let ea = if self.st.mode.sf { ea } else { ea & 0xffff_ffff };
        if ea & 7 != 0 {
            return Err(self.alignment(ea));
        }
        let digest = hash_digest(a, self.rb(i), key);
        let le = self.st.mode.le;
        let swap = |v: u64| if le { v } else { v.swap_bytes() };
        if matches!(h, Helper::HashSt | Helper::HashStP) {
            return self.store(ea, swap(digest), 8);
        }
        if swap(self.load(ea, 8)?) != digest {
            return Err(self.raise(Fault::program(srr1::TRAP)));
        }
        Ok(())
    }

    // ---- storage control ----

    fn tlbie(&mut self, global: bool, i: Insn) -> Result<(), Stop> {
        let (rb, rs) = (self.rb(i), self.rs(i));
        // RIC, PRS and R stand in bits 12..13, 14 and 15.
        let decode = if global { tlbie::decode } else { tlbie::decode_local };
        let what = decode(rb, rs, i.bits(12, 13), i.bit(14), i.bit(15));
        if what == tlbie::TlbInvalidate::None {
            return Ok(());
        }
        self.invalidate(what);
        self.refetch = true;
        if global {
            self.shoot_down_named(what);
        }
        Err(Stop::Events)
    }

    fn slb_insn(&mut self, h: Helper, i: Insn) -> Result<(), Stop> {
        let (rb, rs) = (self.rb(i), self.rs(i));
        let st = &mut *self.st;
        match h {
            Helper::Slbmfev => st.gpr[i.rt() as usize] = slb::slbmfev(st, rb),
            Helper::Slbmfee => st.gpr[i.rt() as usize] = slb::slbmfee(st, rb),
            Helper::Slbfee => {
                let found = slb::slbfee(st, rb);
                st.gpr[i.rt() as usize] = found.unwrap_or(0);
                st.cr[0] = (found.is_some() as u8) << 1 | st.xer_so;
            }
            Helper::Slbmte => {
                if slb::slbmte(st, rb, rs) {
                    self.slb_displaced = true;
                }
                return Ok(());
            }
            Helper::Slbie => {
                let what = slb::slbie(st, rb);
                self.invalidate(what);
            }
            Helper::Slbieg => {
                let what = slb::slbieg(rs, rb);
                self.invalidate(what);
            }
            Helper::Slbiag => {
                let what = slb::slbiag(rs);
                self.invalidate(what);
            }
            _ => {
                let what = slb::slbia(st, i.bits(8, 10));
                // With a radix tree there are no segments, and no other look-aside information than what `tlbie` drops.
                if self.sh.lpcr.load(Ordering::Relaxed) & lpcr::HR == 0 {
                    self.invalidate(what);
                }
            }
        }
        Err(Stop::Events)
    }

    /// One more turn of a loop that waits, by the hints such loops give: what is waited for may need the physical
    /// processor that the loop has.
    fn pause(&mut self) -> Result<(), Stop> {
        let Some(patience) = self.patience else { return Ok(()) };
        self.pauses += 1;
        if self.pauses < patience {
            return Ok(());
        }
        self.pauses = 0;
        Err(Stop::Exit(Exit::Confer(None)))
    }

    /// A full barrier on the host.
    #[inline]
    pub fn barrier(&self) {
        fence(Ordering::SeqCst);
    }

    /// What a run loop does with a stop: `next` is the address after the instruction at `cia`. The reason to return
    /// to the caller, if there is one.
    #[inline(never)]
    pub fn handle_stop(&mut self, s: Stop, cia: u64, next: u64) -> Option<Exit> {
        match s {
            Stop::Fault => {
                let f = self.fault;
                self.deliver(f, cia);
            }
            Stop::FaultNext => {
                let f = self.fault;
                self.deliver(f, next);
            }
            Stop::Jumped => {}
            Stop::Events => self.st.nia = next,
            Stop::Exit(e) => {
                self.st.nia = next;
                return Some(e);
            }
        }
        None
    }
}

/// The digest of `hashst` (Book I, 3.3.17): four rounds of the SIMON-like lanes of the manual over the key.
pub fn hash_digest(a: u64, b: u64, key: u64) -> u64 {
    let mut stage0_h = 0u64;
    let mut stage0_l = 0u64;
    for i in 0..4u32 {
        stage0_h |= (b >> (i * 16) & 0xff) << (i * 16 + 8);
        stage0_h |= (a >> (i * 16 + 8) & 0xff) << (i * 16);
        stage0_l |= (b >> (i * 16 + 8) & 0xff) << (i * 16 + 8);
        stage0_l |= (a >> (i * 16) & 0xff) << (i * 16);
    }
    simon(stage0_h, key) ^ simon(stage0_l, key)
}

/// Simon-like cipher on 32-bit blocks with a 64-bit key (the manual's `hash_digest`), both halves of the word at once.
fn simon(x: u64, key: u64) -> u64 {
    let lane = |lo: u32| -> u32 { simon32(lo, key) };
    (lane((x >> 32) as u32) as u64) << 32 | lane(x as u32) as u64
}

fn simon32(block: u32, key: u64) -> u32 {
    const Z0: u64 = 0xfa25_61cd_f44a_c398;
    let mut k = [0u16; 32];
    let mut z = Z0;
    for i in 0..4 {
        k[i] = (key >> (16 * i)) as u16;
    }
    for i in 0..28 {
        let mut t = k[i + 3].rotate_right(3) ^ k[i + 1];
        t ^= t.rotate_right(1);
        k[i + 4] = !k[i] ^ t ^ (z & 1) as u16 ^ 3;
        z = z.rotate_right(1);
    }
    let f = |x: u16| (x.rotate_left(1) & x.rotate_left(8)) ^ x.rotate_left(2);
    let (mut hi, mut lo) = ((block >> 16) as u16, block as u16);
    for k in k {
        (hi, lo) = (lo ^ f(hi) ^ k, hi);
    }
    (hi as u32) << 16 | lo as u32
}
