//! The register state of one processor.

use isa::{Level, Mode};

use crate::msr;

/// One SLB entry, as `slbmte` gives it.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(C)]
pub struct SlbEntry {
    /// RB of `slbmte` without the index: ESID in the high bits, V at 1 << 27.
    pub esid: u64,
    /// RS of `slbmte`: B (bits 63..62), VSID, Ks Kp N L C, LP.
    pub vsid: u64,
}

/// SLB entries of every model offered.
pub const SLB_SIZE: usize = 32;

/// In a byte of [`CpuState::cr`]: bit 0 is XER[SO], as after most comparisons.
pub const SO_OWED: u8 = 0x10;

/// Register state. The first fields are the hot ones, in a layout that translated code may rely on.
#[derive(Clone, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct CpuState {
    /// General registers.
    pub gpr: [u64; 32],
    /// CR fields, LT GT EQ SO in bits 3..0 of each, or with [`SO_OWED`]: read them by [`CpuState::cr_field`].
    pub cr: [u8; 8],
    /// Link register.
    pub lr: u64,
    /// Count register.
    pub ctr: u64,
    /// Current instruction address between instructions.
    pub nia: u64,
    /// XER[SO], 0 or 1; the next four likewise.
    pub xer_so: u8,
    /// XER[OV]
    pub xer_ov: u8,
    /// XER[CA]
    pub xer_ca: u8,
    /// XER[OV32]
    pub xer_ov32: u8,
    /// XER[CA32]
    pub xer_ca32: u8,
    /// XER bits 57..63: byte count of string instructions.
    pub xer_count: u8,
    /// Scratch of the engine that runs the processor; holds nothing between runs.
    pub engine: [u64; 280],
    /// Machine state register. Write it through [`CpuState::set_msr`].
    pub msr: u64,
    /// Mode bits derived from MSR and level.
    pub mode: Mode,
    /// Target address register.
    pub tar: u64,
    /// FPSCR, 64-bit, without what [`CpuState::fp_late`] owes it: read and write it through `fpu::FpRegs`.
    pub fpscr: u64,
    /// What translated code left to be computed when the FPSCR is read.
    pub fp_late: fpu::Late,
    /// What keeps translated code from host arithmetic: see [`fp_gate`].
    pub fp_gate: u32,
    /// Reservation: valid, its real address (as found), size and the little-endian value loaded.
    pub reserve: Reserve,
    /// VSRs; FPR n is the high half of 0..32, VR n is 32 + n. Byte 0 is the most significant byte.
    pub vsr: [u128; 64],
    /// VSCR: NJ at bit 16, SAT at bit 0.
    pub vscr: u32,
    /// VRSAVE
    pub vrsave: u32,
    /// Level of instructions in force (model, PCR).
    pub level: Level,

    // ---- privileged ----
    /// Save/restore registers.
    pub srr0: u64,
    /// SRR1
    pub srr1: u64,
    /// Data address register.
    pub dar: u64,
    /// DSISR
    pub dsisr: u32,
    /// SPRG0..3
    pub sprg: [u64; 4],
    /// Timebase value at which the decrementer passes zero.
    pub dec_expiry: u64,
    /// Process id.
    pub pidr: u64,
    /// Facility status and control.
    pub fscr: u64,
    /// Protection registers.
    pub amr: u64,
    /// IAMR
    pub iamr: u64,
    /// UAMOR
    pub uamor: u64,
    /// AMOR is hypervisor state; all ones for a partition.
    pub dscr: u64,
    /// Debug: data address watchpoints and completed instruction address breakpoint, set by H_SET_MODE.
    pub dawr: [u64; 2],
    /// DAWRX
    pub dawrx: [u64; 2],
    /// CIABR
    pub ciabr: u64,
    /// Processor identification (thread number in PIR and TIR).
    pub pir: u32,
    /// Processor version.
    pub pvr: u32,
    /// Segment look-aside buffer.
    pub slb: [SlbEntry; SLB_SIZE],
    /// Pending privileged doorbell (msgsndp).
    pub doorbell: bool,
    /// Hash keys of ROP protection.
    pub hashkey: u64,
    /// HASHPKEY
    pub hashpkey: u64,
    /// PURR and SPURR bases: value minus timebase.
    pub purr_offset: u64,
    /// SPURR
    pub spurr_offset: u64,
    /// Other registers that only hold what was written: performance monitor, BESCR, EBB, CTRL, PPR, PSPB and kin, by
    /// SPR number.
    pub plain: Box<[u64; 1024]>,
}

/// A load-and-reserve's reservation.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Reserve {
    /// Effective address; all ones when there is none.
    pub ea: u64,
    /// Real address.
    pub ra: u64,
    /// Bytes.
    pub size: u64,
    /// Value loaded, little-endian number of the bytes.
    pub value: u128,
}

/// Why an FPSCR value asks for care: 1 another rounding than to nearest, an enabled exception or NI; 2 XX is off, so
/// an inexact result has an exception to record. 0: the host's arithmetic on normal numbers is all there is to do.
pub fn fp_gate(fpscr: u64) -> u32 {
    (fpscr & 0xff != 0) as u32 | ((fpscr >> 25 & 1 == 0) as u32) << 1
}

impl CpuState {
    /// All zero but for the version; 64-bit big-endian real mode.
    pub fn new(level: Level, pvr: u32, pir: u32) -> Box<Self> {
        let mut s = Box::new(CpuState {
            gpr: [0; 32],
            lr: 0,
            ctr: 0,
            nia: 0,
            cr: [0; 8],
            xer_so: 0,
            xer_ov: 0,
            xer_ca: 0,
            xer_ov32: 0,
            xer_ca32: 0,
            xer_count: 0,
            engine: [0; 280],
            msr: 0,
            mode: Mode::default(),
            tar: 0,
            fpscr: 0,
            fp_late: fpu::Late::default(),
            fp_gate: fp_gate(0),
            reserve: Reserve { ea: u64::MAX, ..Reserve::default() },
            vsr: [0; 64],
            vscr: 0x0001_0000,
            vrsave: 0,
            level,
            srr0: 0,
            srr1: 0,
            dar: 0,
            dsisr: 0,
            sprg: [0; 4],
            dec_expiry: 0,
            pidr: 0,
            fscr: 0,
            amr: 0,
            iamr: 0,
            uamor: 0,
            dscr: 0,
            dawr: [0; 2],
            dawrx: [0; 2],
            ciabr: 0,
            pir,
            pvr,
            slb: [SlbEntry::default(); SLB_SIZE],
            doorbell: false,
            hashkey: 0,
            hashpkey: 0,
            purr_offset: 0,
            spurr_offset: 0,
            plain: Box::new([0; 1024]),
        });
        s.plain[crate::spr::num::MMCR0 as usize] = crate::pmu::mmcr0::FC;
        s.set_msr(msr::SF | msr::ME);
        s
    }

    /// Write the MSR and what is derived from it. Bits a partition can not have stay 0; PR forces EE, IR and DR only
    /// where the instruction says so (Book III, 4.2.1): that is the caller's.
    pub fn set_msr(&mut self, v: u64) {
        let v = v & msr::WRITABLE;
        self.msr = v;
        self.mode = Mode {
            sf: v & msr::SF != 0,
            le: v & msr::LE != 0,
            pr: v & msr::PR != 0,
            fp: v & msr::FP != 0,
            vec: v & msr::VEC != 0,
            vsx: v & msr::VSX != 0,
            fe: v & (msr::FE0 | msr::FE1) != 0,
            level: self.level,
        };
    }

    /// CR field `n`, 0 to 7: LT GT EQ SO in bits 3..0.
    pub fn cr_field(&self, n: usize) -> u8 {
        let f = self.cr[n];
        (f | f / SO_OWED & self.xer_so) & 15
    }

    /// Have all CR fields hold their own SO, before XER[SO] changes.
    pub fn settle_so(&mut self) {
        self.cr = std::array::from_fn(|n| self.cr_field(n));
    }

    /// CR as one word.
    pub fn cr_word(&self) -> u32 {
        (0..8).fold(0, |w, n| w << 4 | u32::from(self.cr_field(n)))
    }

    /// Set CR from one word.
    pub fn set_cr_word(&mut self, w: u32) {
        for (n, f) in self.cr.iter_mut().enumerate() {
            *f = (w >> (28 - 4 * n)) as u8 & 15;
        }
    }

    /// XER as `mfxer` gives it.
    pub fn xer(&self) -> u64 {
        let w = (self.xer_so as u64) << 31
            | (self.xer_ov as u64) << 30
            | (self.xer_ca as u64) << 29
            | self.xer_count as u64;
        if self.level >= Level::V3_0 {
            w | (self.xer_ov32 as u64) << 19 | (self.xer_ca32 as u64) << 18
        } else {
            w
        }
    }

    /// Set XER as `mtxer` does.
    pub fn set_xer(&mut self, v: u64) {
        self.settle_so();
        let bit = |n: u32| (v >> n) as u8 & 1;
        self.xer_so = bit(31);
        self.xer_ov = bit(30);
        self.xer_ca = bit(29);
        self.xer_ov32 = bit(19);
        self.xer_ca32 = bit(18);
        self.xer_count = v as u8 & 0x7f;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_cr_keeps_the_so_it_had() {
        let mut st = CpuState::new(Level::V3_0, 0, 0);
        st.xer_so = 1;
        (st.cr[0], st.cr[1], st.cr[2]) = (8 | SO_OWED, 4, 2 | 1);
        assert_eq!(st.cr_word(), 0x9430_0000);
        st.set_xer(0);
        assert_eq!((st.cr_word(), st.cr_field(0)), (0x9430_0000, 9));
        st.cr[7] = 2 | SO_OWED;
        assert_eq!(st.cr_field(7), 2);
        st.set_xer(1 << 31);
        assert_eq!(st.cr_field(7), 2);
    }
}
