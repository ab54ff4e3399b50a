//! The register state of a processor, saved and restored.

use isa::Level;
use serde::{Deserialize, Serialize};

use crate::state::{CpuState, Reserve, SLB_SIZE, SlbEntry};

/// Saved registers of one processor. The decrementer and PURR are kept relative to the timebase at the time of
/// saving, so that time goes on where it stopped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CpuSaved {
    /// Format, [`CpuSaved::VERSION`].
    pub version: u32,
    gpr: Vec<u64>,
    lr: u64,
    ctr: u64,
    nia: u64,
    cr: u32,
    xer: [u8; 6],
    msr: u64,
    tar: u64,
    fpscr: u64,
    vsr: Vec<u128>,
    vscr: u32,
    vrsave: u32,
    level: u8,
    srr: [u64; 2],
    dar: u64,
    dsisr: u32,
    sprg: [u64; 4],
    dec_left: u64,
    pidr: u64,
    fscr: u64,
    amr: [u64; 3],
    dscr: u64,
    dawr: [u64; 2],
    dawrx: [u64; 2],
    ciabr: u64,
    pir: u32,
    pvr: u32,
    slb: Vec<SlbEntry>,
    doorbell: bool,
    hash_keys: [u64; 2],
    purr: [u64; 2],
    plain: Vec<(u16, u64)>,
}

/// A saved state that this program can not have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadCpuState(pub &'static str);

impl std::fmt::Display for BadCpuState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "saved processor state can not be restored: {}", self.0)
    }
}

impl std::error::Error for BadCpuState {}

impl CpuSaved {
    /// The present format.
    pub const VERSION: u32 = 1;
}

impl CpuState {
    /// All registers. `now` is the timebase. A reservation does not survive.
    pub fn save(&self, now: u64) -> CpuSaved {
        let CpuState {
            gpr,
            lr,
            ctr,
            nia,
            cr: _,
            xer_so,
            xer_ov,
            xer_ca,
            xer_ov32,
            xer_ca32,
            xer_count,
            engine: _,
            msr,
            mode: _,
            tar,
            fpscr: _,
            fp_late: _,
            fp_gate: _,
            reserve: _,
            vsr,
            vscr,
            vrsave,
            level,
            srr0,
            srr1,
            dar,
            dsisr,
            sprg,
            dec_expiry,
            pidr,
            fscr,
            amr,
            iamr,
            uamor,
            dscr,
            dawr,
            dawrx,
            ciabr,
            pir,
            pvr,
            slb,
            doorbell,
            hashkey,
            hashpkey,
            purr_offset,
            spurr_offset,
            plain,
        } = self;
        CpuSaved {
            version: CpuSaved::VERSION,
            gpr: gpr.to_vec(),
            lr: *lr,
            ctr: *ctr,
            nia: *nia,
            cr: self.cr_word(),
            xer: [*xer_so, *xer_ov, *xer_ca, *xer_ov32, *xer_ca32, *xer_count],
            msr: *msr,
            tar: *tar,
            fpscr: fpu::FpRegs::fpscr(self),
            vsr: vsr.to_vec(),
            vscr: *vscr,
            vrsave: *vrsave,
            level: *level as u8,
            srr: [*srr0, *srr1],
            dar: *dar,
            dsisr: *dsisr,
            sprg: *sprg,
            dec_left: dec_expiry.wrapping_sub(now),
            pidr: *pidr,
            fscr: *fscr,
            amr: [*amr, *iamr, *uamor],
            dscr: *dscr,
            dawr: *dawr,
            dawrx: *dawrx,
            ciabr: *ciabr,
            pir: *pir,
            pvr: *pvr,
            slb: slb.to_vec(),
            doorbell: *doorbell,
            hash_keys: [*hashkey, *hashpkey],
            purr: [now.wrapping_add(*purr_offset), now.wrapping_add(*spurr_offset)],
            plain: plain.iter().enumerate().filter(|(_, v)| **v != 0).map(|(n, v)| (n as u16, *v)).collect(),
        }
    }

    /// Registers from a saved state; `now` is the timebase. Refuses what does not fit this processor, and then changes
    /// nothing. Whoever owns the processor sets its MSR and decrementer anew, so that what depends on them follows.
    pub fn restore(&mut self, saved: &CpuSaved, now: u64) -> Result<(), BadCpuState> {
        let CpuSaved {
            version,
            gpr,
            lr,
            ctr,
            nia,
            cr,
            xer,
            msr,
            tar,
            fpscr,
            vsr,
            vscr,
            vrsave,
            level,
            srr,
            dar,
            dsisr,
            sprg,
            dec_left,
            pidr,
            fscr,
            amr,
            dscr,
            dawr,
            dawrx,
            ciabr,
            pir,
            pvr,
            slb,
            doorbell,
            hash_keys,
            purr,
            plain,
        } = saved;
        if *version != CpuSaved::VERSION {
            return Err(BadCpuState("another version"));
        }
        if *pvr != self.pvr || *pir != self.pir {
            return Err(BadCpuState("another processor"));
        }
        let levels = [Level::V2_06, Level::V2_07, Level::V3_0, Level::V3_1];
        let level = *levels.get(*level as usize).ok_or(BadCpuState("an unknown level"))?;
        let gpr: &[u64; 32] =
            gpr.as_slice().try_into().map_err(|_| BadCpuState("not 32 general registers"))?;
        let vsr: &[u128; 64] =
            vsr.as_slice().try_into().map_err(|_| BadCpuState("not 64 vector registers"))?;
        let slb: &[SlbEntry; SLB_SIZE] =
            slb.as_slice().try_into().map_err(|_| BadCpuState("another SLB size"))?;
        self.gpr = *gpr;
        (self.lr, self.ctr, self.nia, self.tar) = (*lr, *ctr, *nia, *tar);
        self.set_cr_word(*cr);
        [self.xer_so, self.xer_ov, self.xer_ca, self.xer_ov32, self.xer_ca32] =
            [xer[0] & 1, xer[1] & 1, xer[2] & 1, xer[3] & 1, xer[4] & 1];
        self.xer_count = xer[5] & 0x7f;
        self.level = level;
        self.set_msr(*msr);
        fpu::FpRegs::set_fpscr(self, *fpscr);
        self.reserve = Reserve { ea: u64::MAX, ..Reserve::default() };
        self.vsr = *vsr;
        (self.vscr, self.vrsave) = (*vscr, *vrsave);
        [self.srr0, self.srr1] = *srr;
        (self.dar, self.dsisr, self.sprg) = (*dar, *dsisr, *sprg);
        self.dec_expiry = now.wrapping_add(*dec_left);
        (self.pidr, self.fscr, self.dscr) = (*pidr, *fscr, *dscr);
        [self.amr, self.iamr, self.uamor] = *amr;
        (self.dawr, self.dawrx, self.ciabr) = (*dawr, *dawrx, *ciabr);
        self.slb = *slb;
        self.doorbell = *doorbell;
        [self.hashkey, self.hashpkey] = *hash_keys;
        self.purr_offset = purr[0].wrapping_sub(now);
        self.spurr_offset = purr[1].wrapping_sub(now);
        self.plain.fill(0);
        for (n, v) in plain {
            if let Some(p) = self.plain.get_mut(*n as usize) {
                *p = *v;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back() {
        let mut a = CpuState::new(Level::V3_0, 0x004e_1202, 3);
        for (n, r) in a.gpr.iter_mut().enumerate() {
            *r = n as u64 * 0x0101_0101;
        }
        for (n, r) in a.vsr.iter_mut().enumerate() {
            *r = n as u128 * 0x0123_4567_89ab_cdef_0123;
        }
        a.set_cr_word(0x1234_5678);
        a.set_xer(0xe00c_0011);
        a.set_msr(u64::MAX);
        (a.lr, a.ctr, a.nia, a.tar) = (1, 2, 3, 4);
        (a.srr0, a.srr1, a.dar, a.dsisr) = (5, 6, 7, 8);
        a.dec_expiry = 1000;
        a.slb[31] = SlbEntry { esid: 9, vsid: 10 };
        a.plain[806] = 11;
        let saved = a.save(900);
        let mut b = CpuState::new(Level::V2_07, 0x004e_1202, 3);
        b.restore(&saved, 5000).unwrap();
        assert_eq!(b.dec_expiry, 5100, "as far away as it was");
        assert_eq!(b.save(5000), saved);
        assert_eq!((b.mode, b.xer()), (a.mode, a.xer()));
        let mut c = CpuState::new(Level::V3_0, 0x004e_1202, 4);
        assert_eq!(c.restore(&saved, 0), Err(BadCpuState("another processor")));
    }
}
