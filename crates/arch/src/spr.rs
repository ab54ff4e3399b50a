//! Special purpose registers (Power ISA Book III, 5.4.4) as a partition sees them.

use std::sync::atomic::Ordering;

use isa::{Insn, Level};

use crate::cpu::{Cpu, Stop};
use crate::msr::{lpcr, srr1};
use crate::{Fault, Vector};

/// SPR numbers.
#[allow(missing_docs)] // each is the register of its name; `_U` is the problem-state number
pub mod num {
    pub const DSCR_U: u32 = 3;
    pub const AMR_U: u32 = 13;
    pub const DSCR: u32 = 17;
    pub const DSISR: u32 = 18;
    pub const DAR: u32 = 19;
    pub const DEC: u32 = 22;
    pub const SRR0: u32 = 26;
    pub const SRR1: u32 = 27;
    pub const CFAR: u32 = 28;
    pub const AMR: u32 = 29;
    pub const PIDR: u32 = 48;
    pub const IAMR: u32 = 61;
    pub const TFHAR: u32 = 128;
    pub const TEXASRU: u32 = 131;
    pub const CTRL_R: u32 = 136;
    pub const CTRL_W: u32 = 152;
    pub const FSCR: u32 = 153;
    pub const UAMOR: u32 = 157;
    pub const PSPB: u32 = 159;
    pub const DPDES: u32 = 176;
    pub const VRSAVE: u32 = 256;
    pub const SPRG3_U: u32 = 259;
    pub const TB: u32 = 268;
    pub const TBU: u32 = 269;
    pub const SPRG0: u32 = 272;
    pub const SPRG3: u32 = 275;
    pub const PVR: u32 = 287;
    pub const PURR: u32 = 308;
    pub const SPURR: u32 = 309;
    pub const TIR: u32 = 446;
    pub const HASHKEYR: u32 = 468;
    pub const HASHPKEYR: u32 = 469;
    pub const SIER2_U: u32 = 736;
    pub const MMCR3_U: u32 = 738;
    pub const SIER2: u32 = 752;
    pub const MMCR3: u32 = 754;
    pub const PMU_FIRST: u32 = 768;
    pub const SIER: u32 = 784;
    pub const MMCR2: u32 = 785;
    pub const MMCRA: u32 = 786;
    pub const PMU_PRIV: u32 = 784;
    pub const PMC1: u32 = 787;
    pub const PMC5: u32 = 791;
    pub const PMC6: u32 = 792;
    pub const MMCR0: u32 = 795;
    pub const SIAR: u32 = 796;
    pub const MMCR1: u32 = 798;
    pub const PMU_LAST: u32 = 799;
    pub const BESCRS: u32 = 800;
    pub const EBBHR: u32 = 804;
    pub const EBBRR: u32 = 805;
    pub const BESCR: u32 = 806;
    pub const RESERVED_FIRST: u32 = 808;
    pub const RESERVED_LAST: u32 = 811;
    pub const TAR: u32 = 815;
    pub const PSSCR: u32 = 823;
    pub const IC: u32 = 848;
    pub const VTB: u32 = 849;
    pub const WORT: u32 = 895;
    pub const PPR: u32 = 896;
    pub const PPR32: u32 = 898;
    pub const PIR: u32 = 1023;
}

/// FSCR: event-based branches, and the number of the performance monitor.
pub(crate) const FSCR_EBB: u32 = 7;
pub(crate) const FSCR_PM: u32 = 3;

/// FSCR bits (Book III, 6.2.11): facility n is bit n from the least significant.
mod fscr {
    pub const DSCR: u32 = 2;
    pub const EBB: u32 = super::FSCR_EBB;
    pub const TAR: u32 = 8;
    pub const SCV: u32 = 12;
}

impl Cpu {
    /// Facility unavailable (0xF60) unless the FSCR bit is on; only problem state asks for it.
    fn facility(&mut self, bit: u32) -> Result<(), Stop> {
        if !self.st.mode.pr || self.st.fscr >> bit & 1 != 0 {
            return Ok(());
        }
        self.facility_unavailable(bit)
    }

    pub(crate) fn facility_unavailable(&mut self, bit: u32) -> Result<(), Stop> {
        // FSCR[0:7]: the facility's number.
        self.st.fscr = self.st.fscr & !(0xff << 56) | (bit as u64) << 56;
        Err(self.raise(Fault::plain(Vector::FacilityUnavailable)))
    }

    /// Target address register.
    pub fn tar(&mut self) -> Result<u64, Stop> {
        self.facility(fscr::TAR)?;
        Ok(self.st.tar)
    }

    /// Whether `scv` may be used: FSCR[SCV].
    pub fn need_scv(&mut self) -> Result<(), Stop> {
        if self.st.fscr >> fscr::SCV & 1 != 0 { Ok(()) } else { self.facility_unavailable(fscr::SCV) }
    }

    /// An SPR that does not exist for this processor or state (Book III, 5.4.4): numbers with bit 0x10 are
    /// privileged; 0, 4, 5 and 6 are illegal; in privileged state the others do nothing.
    fn no_such_spr(&mut self, n: u32) -> Result<(), Stop> {
        if self.st.mode.pr {
            let why = if n & 0x10 != 0 { srr1::PRIVILEGED } else { srr1::ILLEGAL };
            return Err(self.raise(Fault::program(why)));
        }
        if matches!(n, 0 | 4 | 5 | 6) {
            return Err(self.raise(Fault::program(srr1::ILLEGAL)));
        }
        Ok(())
    }

    /// DEC now: 32 bits, or the model's width sign-extended in large decrementer mode.
    fn dec(&self) -> u64 {
        let v = self.st.dec_expiry.wrapping_sub(self.sh.tb.now());
        if self.sh.lpcr.load(Ordering::Relaxed) & lpcr::LD != 0 && self.model.dec_bits > 32 {
            let spare = 64 - self.model.dec_bits;
            ((v << spare) as i64 >> spare) as u64
        } else {
            v & 0xffff_ffff
        }
    }

    /// `mtdec`. Values that are negative in the decrementer's width interrupt at once.
    fn set_dec(&mut self, v: u64) {
        let wide = self.sh.lpcr.load(Ordering::Relaxed) & lpcr::LD != 0 && self.model.dec_bits > 32;
        let spare = if wide { 64 - self.model.dec_bits } else { 32 };
        let v = ((v << spare) as i64 >> spare) as u64;
        let expiry = self.sh.tb.now().wrapping_add(v);
        self.set_dec_expiry(expiry);
    }

    /// `mfspr` of a register that is not LR, CTR or XER.
    pub fn mfspr(&mut self, i: Insn) -> Result<(), Stop> {
        use num::*;
        let n = i.spr();
        if n & 0x10 != 0 && self.st.mode.pr {
            return self.no_such_spr(n);
        }
        let v2_07 = self.st.level >= Level::V2_07;
        let v3_0 = self.st.level >= Level::V3_0;
        let v3_1 = self.st.level >= Level::V3_1;
        let st = &*self.st;
        let v = match n {
            TB => self.sh.tb.now(),
            TBU => self.sh.tb.now() >> 32,
            DSCR_U if v2_07 => {
                self.facility(fscr::DSCR)?;
                self.st.dscr
            }
            DSCR => st.dscr,
            AMR_U | AMR => st.amr,
            DSISR => st.dsisr as u64,
            DAR => st.dar,
            DEC => self.dec(),
            SRR0 => st.srr0,
            SRR1 => st.srr1,
            PIDR if v3_0 => st.pidr,
            IAMR if v2_07 => st.iamr,
            FSCR if v2_07 => st.fscr,
            UAMOR => st.uamor,
            DPDES if v2_07 => st.doorbell as u64,
            VRSAVE => st.vrsave as u64,
            SPRG3_U => st.sprg[3],
            SPRG0..=SPRG3 => st.sprg[(n - SPRG0) as usize],
            PVR => st.pvr as u64,
            PURR => self.sh.tb.now().wrapping_add(st.purr_offset),
            SPURR => self.sh.tb.now().wrapping_add(st.spurr_offset),
            VTB if v2_07 => self.sh.tb.now().wrapping_add(st.purr_offset),
            TIR if v2_07 => st.pir as u64 % self.env.threads_per_core() as u64,
            PIR => st.pir as u64,
            TAR if v2_07 => self.tar()?,
            HASHKEYR if v3_1 => st.hashkey,
            HASHPKEYR if v3_1 => st.hashpkey,
            PPR32 if v2_07 => st.plain[PPR as usize] >> 32,
            CTRL_R => st.plain[CTRL_W as usize],
            // Problem-state numbers of the registers 16 above them.
            PMU_FIRST..PMU_PRIV => self.pmu_read(n + 16, true)?,
            PMU_PRIV..=PMU_LAST => self.pmu_read(n, false)?,
            SIER2_U..=MMCR3_U if v3_1 => st.plain[n as usize + 16],
            BESCRS..=BESCR if v2_07 => {
                self.facility(fscr::EBB)?;
                // BESCRS, BESCRSU, BESCRR, BESCRRU read BESCR.
                let at = if n < 804 { 806 } else { n };
                let v = self.st.plain[at as usize];
                if matches!(n, 801 | 803) { v >> 32 } else { v }
            }
            CFAR | CTRL_W | PPR => st.plain[n as usize],
            PSPB | RESERVED_FIRST..=RESERVED_LAST | IC | WORT if v2_07 => st.plain[n as usize],
            PSSCR if v3_0 => st.plain[n as usize],
            SIER2..=MMCR3 if v3_1 => st.plain[n as usize],
            _ => return self.no_such_spr(n),
        };
        self.st.gpr[i.rt() as usize] = v;
        Ok(())
    }

    /// `mtspr` of a register that is not LR, CTR or XER.
    pub fn mtspr(&mut self, i: Insn) -> Result<(), Stop> {
        use num::*;
        let n = i.spr();
        if n & 0x10 != 0 && self.st.mode.pr {
            return self.no_such_spr(n);
        }
        let v2_07 = self.st.level >= Level::V2_07;
        let v3_0 = self.st.level >= Level::V3_0;
        let v3_1 = self.st.level >= Level::V3_1;
        let v = self.st.gpr[i.rs() as usize];
        match n {
            DSCR_U if v2_07 => {
                self.facility(fscr::DSCR)?;
                self.st.dscr = v & 0x1ff_ffff;
            }
            DSCR => self.st.dscr = v & 0x1ff_ffff,
            AMR_U => {
                // Problem state changes only what UAMOR allows.
                let m = self.st.uamor;
                self.set_amr(self.st.amr & !m | v & m);
            }
            AMR => self.set_amr(v),
            DSISR => self.st.dsisr = v as u32,
            DAR => self.st.dar = v,
            DEC => {
                self.set_dec(v);
                return Err(Stop::Events);
            }
            SRR0 => self.st.srr0 = v,
            SRR1 => self.st.srr1 = v,
            PIDR if v3_0 => {
                let v = v & 0xffff_ffff;
                if self.st.pidr != v {
                    self.st.pidr = v;
                    self.flush_process();
                    return Err(Stop::Events);
                }
            }
            IAMR if v2_07 => {
                if self.st.iamr != v {
                    self.st.iamr = v;
                    self.flush_translated();
                    return Err(Stop::Events);
                }
            }
            FSCR if v2_07 => self.st.fscr = v,
            UAMOR => self.st.uamor = v,
            DPDES if v2_07 => self.st.doorbell = v & 1 != 0,
            VRSAVE => self.st.vrsave = v as u32,
            SPRG0..=SPRG3 => self.st.sprg[(n - SPRG0) as usize] = v,
            TAR if v2_07 => {
                self.tar()?;
                self.st.tar = v;
            }
            HASHKEYR if v3_1 => self.st.hashkey = v,
            HASHPKEYR if v3_1 => self.st.hashpkey = v,
            PPR32 if v2_07 => self.st.plain[PPR as usize] = v << 32,
            PMU_FIRST..PMU_PRIV => {
                self.pmu_write(n + 16, v, true)?;
                return Err(Stop::Events);
            }
            PMU_PRIV..=PMU_LAST => {
                self.pmu_write(n, v, false)?;
                return Err(Stop::Events);
            }
            CTRL_W => self.st.plain[n as usize] = v & 0xffff_ffff,
            PSPB if v2_07 => self.st.plain[n as usize] = v & 0xffff_ffff,
            BESCRS..=BESCR if v2_07 => {
                self.facility(fscr::EBB)?;
                let p = &mut self.st.plain;
                match n {
                    800 => p[806] |= v,
                    801 => p[806] |= v << 32,
                    802 => p[806] &= !v,
                    803 => p[806] &= !(v << 32),
                    _ => p[n as usize] = v,
                }
                self.ebb_update();
                return Err(Stop::Events);
            }
            CFAR | PPR => self.st.plain[n as usize] = v,
            RESERVED_FIRST..=RESERVED_LAST | WORT if v2_07 => self.st.plain[n as usize] = v,
            PSSCR if v3_0 => self.st.plain[n as usize] = v,
            SIER2..=MMCR3 if v3_1 => self.st.plain[n as usize] = v,
            // Read-only here; writes by a partition do nothing.
            PURR | SPURR | PVR | PIR | TIR | IC | VTB if !self.st.mode.pr => {}
            _ => return self.no_such_spr(n),
        }
        Ok(())
    }

    /// Write the AMR and let the TLB follow.
    fn set_amr(&mut self, v: u64) {
        if self.st.amr == v {
            return;
        }
        self.st.amr = v;
        // Under a radix tree only key 0 is obeyed (Book III, 6.7.14.3), and for that there are tables of their own.
        if self.sh.lpcr.load(Ordering::Relaxed) & lpcr::HR == 0 {
            self.flush_translated();
        }
        self.set_tables();
    }
}
