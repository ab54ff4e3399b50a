//! The performance monitor (Power ISA 3.1 Book III, chapter 10) as a partition sees it: six counters, freezing,
//! alerts, and the event-based branches that an alert may cause (Book II, chapter 6).
//!
//! Counters are not counted: what they count is read off the processor's own count of instructions, the timebase and
//! the count of failed store-conditionals whenever somebody looks or something changes, and whoever counts is asked to
//! look when an overflow is due. So a frozen monitor, its usual state, costs nothing.
//!
//! Counted are instructions completed, cycles (2 GHz, as the device tree says, while the processor is in the guest and
//! not ceded, so CTRL[RUN] makes no difference) and store-conditional failures. Other events of PMC1 to PMC4 are
//! selected but never happen. The branch history buffer has no entries.

use std::sync::atomic::Ordering;

use isa::Level;

use crate::cpu::{Cpu, Stop};
use crate::msr;
use crate::shared::event;
use crate::spr::num;

/// MMCR0 bits (Book III, 10.4.4).
#[allow(missing_docs)] // each constant is the bit of its name
pub mod mmcr0 {
    pub const FC: u64 = 1 << 31;
    pub const FCS: u64 = 1 << 30;
    pub const FCP: u64 = 1 << 29;
    pub const FCM1: u64 = 1 << 28;
    pub const FCM0: u64 = 1 << 27;
    pub const PMAE: u64 = 1 << 26;
    pub const FCECE: u64 = 1 << 25;
    pub const TBSEL_SHIFT: u32 = 23;
    pub const TBEE: u64 = 1 << 22;
    pub const BHRBA: u64 = 1 << 21;
    pub const EBE: u64 = 1 << 20;
    pub const PMCC_SHIFT: u32 = 18;
    pub const PMC1CE: u64 = 1 << 15;
    pub const PMCJCE: u64 = 1 << 14;
    pub const TRIGGER: u64 = 1 << 13;
    pub const PMCCEXT: u64 = 1 << 9;
    pub const PMAO: u64 = 1 << 7;
    pub const FC14: u64 = 1 << 5;
    pub const FC56: u64 = 1 << 4;
    /// What problem state sees and changes.
    pub const USER: u64 = FC | PMAE | PMAO;
}

/// MMCR2: FCnP0 of each counter, what problem state sees and changes (Book III, 10.4.6).
const MMCR2_USER: u64 = 0x4020_1008_0402_0000;

/// SIER: problem state, SIAR valid (Book III, 10.4.10).
const SIER_SIPR: u64 = 1 << 25;
const SIER_SIAR_VALID: u64 = 1 << 22;

/// Problem state in the MMCRA of processors without SIER.
const MMCRA_SIPR: u64 = 1 << 41;

/// BESCR bits (Book II, 6.2.2).
#[allow(missing_docs)]
pub mod bescr {
    pub const GE: u64 = 1 << 63;
    pub const PME: u64 = 1 << 32;
    pub const PMEO: u64 = 1;
}

/// A counter is negative from here on.
const NEGATIVE: u64 = 1 << 31;

/// Ticks of the timebase for which nobody else is asked to tell the time: 4 microseconds, less than that takes.
const SOON: u64 = 2048;

/// Cycles of a tick of the timebase: 2 GHz / 512 MHz.
const CYCLES: (u64, u64) = (125, 32);

/// What a counter counts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Counts {
    #[default]
    Nothing,
    Instructions,
    Cycles,
    StcxFailures,
}

/// What is derived from the monitor's registers, and where counting stands. The registers themselves are in
/// [`crate::CpuState::plain`].
#[derive(Debug)]
pub struct Pmu {
    /// Something is counted or watched for in some state: changes of the MSR must be noted.
    pub active: bool,
    /// Instructions completed at which [`Cpu::pmu_due`] is to be called.
    pub deadline: u64,
    /// Timebase at which the processor wants to be told, with the same meaning.
    pub(crate) expiry: Option<u64>,
    /// Store-conditionals that failed.
    pub(crate) stcx_failures: u64,
    /// What the timer was set to last: the monitor's time, the decrementer's, or one that has come to nothing.
    pub(crate) armed: u64,
    /// That time is so near that the processor looks for itself at every branch.
    pub(crate) soon: bool,
    /// The processor is out of the guest.
    paused: bool,
    counts: [Counts; 6],
    at_retired: u64,
    at_tb: u64,
    at_failures: u64,
    /// Cycles that were not whole ones yet, in parts of `CYCLES.1`.
    part: u64,
}

impl Default for Pmu {
    fn default() -> Self {
        Pmu {
            active: false,
            deadline: u64::MAX,
            expiry: None,
            armed: 0,
            soon: false,
            stcx_failures: 0,
            paused: false,
            counts: [Counts::Nothing; 6],
            at_retired: 0,
            at_tb: 0,
            at_failures: 0,
            part: 0,
        }
    }
}

/// The event that `MMCR1` selects for counter 0..4 (PMC1..PMC4).
fn selected(mmcr1: u64, n: usize) -> Counts {
    let select = mmcr1 >> (24 - 8 * n) & 0xff;
    let unit = mmcr1 >> (60 - 4 * n) & 15;
    match (n, unit, select) {
        (_, 0, 0x02) | (0, 0, 0xfe) | (3, 0, 0xfa) => Counts::Instructions,
        (_, 0, 0x1e) | (0, 0, 0xf0) | (1, 0, 0xf4) => Counts::Cycles,
        (0, 0xe, 0x58) => Counts::StcxFailures,
        _ => Counts::Nothing,
    }
}

impl Cpu {
    fn mmcr0(&self) -> u64 {
        self.st.plain[num::MMCR0 as usize]
    }

    /// Whether counter `n` is kept from counting in the present state (Book III, 10.4.4 and 10.4.6).
    fn frozen(&self, n: usize) -> bool {
        let (m0, now) = (self.mmcr0(), self.st.msr);
        let mark = now & msr::PMM != 0;
        let user = now & msr::PR != 0;
        // FCnS, FCnP0, FCnP1, FCnM1, FCnM0 of MMCR2; FCnP1 is for problem state below the hypervisor.
        let own = if self.st.level >= Level::V2_07 {
            self.st.plain[num::MMCR2 as usize] >> (55 - 9 * n) & 0x1ff
        } else {
            0
        };
        let by = |bit: u64, mine: u64| m0 & bit != 0 || own & mine != 0;
        m0 & mmcr0::FC != 0
            || !user && by(mmcr0::FCS, 1 << 8)
            || user && by(mmcr0::FCP, 1 << 7)
            || mark && by(mmcr0::FCM1, 1 << 5)
            || !mark && by(mmcr0::FCM0, 1 << 4)
            || n < 4 && m0 & mmcr0::FC14 != 0
            || n >= 4 && (m0 & mmcr0::FC56 != 0 || m0 >> mmcr0::PMCC_SHIFT & 3 == 3)
            || n != 0 && m0 & mmcr0::TRIGGER != 0
    }

    /// Bring the counters to date.
    pub(crate) fn pmu_sync(&mut self) {
        let now = self.sh.tb.now();
        let p = &mut self.pmu;
        let instructions = self.retired.wrapping_sub(p.at_retired);
        let failures = p.stcx_failures.wrapping_sub(p.at_failures);
        let parts = now.wrapping_sub(p.at_tb).wrapping_mul(CYCLES.0).wrapping_add(p.part);
        let cycles = parts / CYCLES.1;
        let before = std::mem::replace(&mut p.at_tb, now);
        (p.at_retired, p.at_failures, p.part) = (self.retired, p.stcx_failures, parts % CYCLES.1);
        let counts = p.counts;
        let m0 = self.mmcr0();
        for (n, what) in counts.into_iter().enumerate() {
            let by = match what {
                Counts::Nothing => continue,
                Counts::Instructions => instructions,
                Counts::Cycles => cycles,
                Counts::StcxFailures => failures,
            };
            let c = &mut self.st.plain[num::PMC1 as usize + n];
            let old = std::mem::replace(c, c.wrapping_add(by) & 0xffff_ffff);
            // Whoever was to tell the time may come late; the counters would have been frozen when it was due.
            let late = what == Counts::Cycles && m0 & mmcr0::FCECE != 0 && Self::condition_enabled(m0, n);
            if late && old & NEGATIVE == 0 && old.saturating_add(by) >= NEGATIVE {
                *c = NEGATIVE;
            }
        }
        if !self.pmu.paused && m0 & mmcr0::TBEE != 0 && m0 & mmcr0::FC == 0 {
            let bit = timebase_bit(m0);
            let rises = |tb: u64| (tb >> bit).wrapping_add(1) >> 1;
            if rises(before) != rises(now) {
                self.enabled_condition();
            }
        }
    }

    /// An enabled condition or event occurred (Book III, 10.3).
    fn enabled_condition(&mut self) {
        let m0 = self.mmcr0();
        let mut new = m0;
        if m0 & mmcr0::FCECE != 0 && m0 & mmcr0::TRIGGER == 0 {
            new |= mmcr0::FC;
        }
        new &= !mmcr0::TRIGGER;
        if m0 & mmcr0::PMAE != 0 {
            new = new & !mmcr0::PMAE | mmcr0::PMAO;
            let user = self.st.msr & msr::PR != 0;
            let plain = &mut self.st.plain;
            plain[num::SIAR as usize] = self.st.nia;
            if self.st.level >= Level::V2_07 {
                plain[num::SIER as usize] = SIER_SIAR_VALID | if user { SIER_SIPR } else { 0 };
            } else {
                let a = &mut plain[num::MMCRA as usize];
                *a = *a & !MMCRA_SIPR | if user { MMCRA_SIPR } else { 0 };
            }
        }
        self.st.plain[num::MMCR0 as usize] = new;
        self.ebb_update();
    }

    /// Whether counter `n` may raise a counter negative condition.
    fn condition_enabled(m0: u64, n: usize) -> bool {
        match n {
            0 => m0 & mmcr0::PMC1CE != 0,
            1..=3 => m0 & mmcr0::PMCJCE != 0,
            _ => m0 & mmcr0::PMCJCE != 0 && m0 & mmcr0::FC56 == 0 && m0 >> mmcr0::PMCC_SHIFT & 3 != 3,
        }
    }

    /// After [`Cpu::pmu_sync`] and a change of the counters, of what controls them, or of the MSR: look for
    /// conditions, note what counts from now on and when the next condition is due.
    pub(crate) fn pmu_update(&mut self) {
        let counter = |cpu: &Self, n: usize| cpu.st.plain[num::PMC1 as usize + n];
        if self.mmcr0() & mmcr0::TRIGGER != 0 && counter(self, 0) & NEGATIVE != 0 {
            self.st.plain[num::MMCR0 as usize] &= !mmcr0::TRIGGER;
        }
        let m0 = self.mmcr0();
        let watched = m0 & mmcr0::PMAE != 0 || m0 & (mmcr0::FCECE | mmcr0::FC) == mmcr0::FCECE;
        if watched && (0..6).any(|n| Self::condition_enabled(m0, n) && counter(self, n) & NEGATIVE != 0) {
            self.enabled_condition();
        }
        let m0 = self.mmcr0();
        let mmcr1 = self.st.plain[num::MMCR1 as usize];
        let watched = m0 & (mmcr0::PMAE | mmcr0::FCECE) != 0;
        let tb = self.pmu.at_tb;
        let (mut deadline, mut expiry) = (u64::MAX, None::<u64>);
        let mut sooner = |at: u64| {
            expiry = Some(expiry.map_or(at, |e| if (at.wrapping_sub(e) as i64) < 0 { at } else { e }))
        };
        let mut any = false;
        for n in 0..6 {
            let what = match n {
                4 => Counts::Instructions,
                5 => Counts::Cycles,
                _ => selected(mmcr1, n),
            };
            any |= what != Counts::Nothing;
            let counts = !self.pmu.paused && !self.frozen(n);
            self.pmu.counts[n] = if counts { what } else { Counts::Nothing };
            let c = counter(self, n);
            let matters = watched && Self::condition_enabled(m0, n) || n == 0 && m0 & mmcr0::TRIGGER != 0;
            if !counts || !matters || c & NEGATIVE != 0 {
                continue;
            }
            let left = NEGATIVE - c;
            match what {
                Counts::Instructions => deadline = deadline.min(self.retired.saturating_add(left)),
                Counts::Cycles => sooner(tb.wrapping_add((left * CYCLES.1).div_ceil(CYCLES.0))),
                _ => {}
            }
        }
        if watched && m0 & mmcr0::TBEE != 0 && m0 & mmcr0::FC == 0 && !self.pmu.paused {
            let bit = timebase_bit(m0);
            sooner((tb >> bit).wrapping_add(if tb >> bit & 1 == 0 { 1 } else { 2 }) << bit);
        }
        self.pmu.active = any && m0 & mmcr0::FC == 0;
        self.pmu.deadline = deadline;
        self.pmu.soon = expiry.is_some_and(|e| e.wrapping_sub(tb) <= SOON);
        if deadline != u64::MAX || self.pmu.soon {
            // Whoever runs with a budget sees to it that it ends there.
            self.link.exit.store(1, Ordering::Relaxed);
        }
        if self.pmu.expiry != expiry {
            self.pmu.expiry = expiry;
            // A timer that comes too early is set anew then: programs that set the monitor off and on again in no
            // time do not move it each time.
            let armed = self.pmu.armed;
            let over = tb.wrapping_sub(armed) as i64 >= 0;
            if expiry.is_some_and(|e| over || (e.wrapping_sub(armed) as i64) < 0) && !self.pmu.soon {
                self.arm_timer();
            }
        }
        let interrupts = m0 & (mmcr0::PMAO | mmcr0::EBE) == mmcr0::PMAO;
        self.post_if(event::PERFORMANCE_MONITOR, interrupts);
        self.ebb_update();
    }

    fn post_if(&mut self, bit: u32, on: bool) {
        if on != (self.link.pending() & bit != 0) {
            if on { self.link.post(bit) } else { self.link.clear(bit) }
        }
    }

    /// After a change of BESCR or MMCR0: whether an event-based branch waits. The exception exists as long as PMAO is
    /// on: a handler that allows the next alert before it sets PME does not lose it (Book II, 6.2.2).
    pub(crate) fn ebb_update(&mut self) {
        let alert = mmcr0::EBE | mmcr0::PMAO;
        let occurs = self.st.level >= Level::V2_07 && self.mmcr0() & alert == alert;
        let b = &mut self.st.plain[num::BESCR as usize];
        if occurs && *b & bescr::PME != 0 {
            *b = *b & !bescr::PME | bescr::PMEO;
        }
        let b = *b;
        self.post_if(event::EVENT_BRANCH, b & bescr::GE != 0 && b & bescr::PMEO != 0);
    }

    /// Take the event-based branch that waits, if problem state may (Book II, 6.4); `st.nia` is the next instruction.
    pub(crate) fn event_branch(&mut self) {
        let b = self.st.plain[num::BESCR as usize];
        let may = self.st.msr & msr::PR != 0 && self.st.fscr >> crate::spr::FSCR_EBB & 1 != 0;
        if !may || b & bescr::GE == 0 || b & bescr::PMEO == 0 {
            return;
        }
        self.st.plain[num::BESCR as usize] = b & !bescr::GE;
        self.st.plain[num::EBBRR as usize] = self.st.nia;
        self.st.nia = self.st.plain[num::EBBHR as usize] & !3;
        self.st.reserve.ea = u64::MAX;
        self.refetch = true;
        self.ebb_update();
    }

    /// The monitor's deadline has come, or its time may have.
    #[cold]
    pub fn pmu_due(&mut self) {
        self.pmu_sync();
        self.pmu_update();
    }

    /// MMCR0 as a processor that is started has it: all counters are frozen, no condition is waited for.
    pub(crate) fn pmu_freeze(&mut self) {
        self.pmu_sync();
        self.st.plain[num::MMCR0 as usize] = mmcr0::FC;
        self.pmu_update();
    }

    /// A store-conditional failed.
    #[cold]
    pub(crate) fn stcx_failed(&mut self) {
        self.pmu.stcx_failures = self.pmu.stcx_failures.wrapping_add(1);
        if self.pmu.active && self.pmu.counts.contains(&Counts::StcxFailures) {
            self.pmu_due();
        }
    }

    /// The processor leaves the guest: time that passes from now on is not its own.
    pub fn pmu_leave(&mut self) {
        if self.pmu.active {
            self.pmu_sync();
            self.pmu.paused = true;
            self.pmu_update();
        }
    }

    /// The processor is in the guest again.
    pub fn pmu_enter(&mut self) {
        if self.pmu.paused {
            self.pmu_sync();
            self.pmu.paused = false;
            self.pmu_update();
        }
    }

    // ---- registers ----

    /// What keeps problem state from a monitor register `n` (its privileged number), by MMCR0[PMCC] (Book III,
    /// 10.4.4): group A is MMCR0, MMCR2, MMCRA and the counters; group B can only be read.
    fn pmu_access(&mut self, n: u32, write: bool) -> Result<(), Stop> {
        let m0 = self.mmcr0();
        let pmcc = m0 >> mmcr0::PMCC_SHIFT & 3;
        let group_a = matches!(n, num::MMCR0 | num::MMCR2 | num::MMCRA | num::PMC1..=num::PMC6);
        let unavailable = match (group_a, write) {
            (true, _) if pmcc == 1 => true,
            (true, _) if pmcc == 3 && matches!(n, num::PMC5 | num::PMC6) => true,
            (true, true) if pmcc == 0 => return Err(self.raise(crate::Fault::program(msr::srr1::ILLEGAL))),
            (true, _) => false,
            (false, true) => return Err(self.raise(crate::Fault::program(msr::srr1::ILLEGAL))),
            (false, false) => self.st.level >= Level::V3_1 && pmcc == 0 && m0 & mmcr0::PMCCEXT != 0,
        };
        if unavailable { self.facility_unavailable(crate::spr::FSCR_PM) } else { Ok(()) }
    }

    /// Read a monitor register by its privileged number; `user`: through the problem-state one.
    pub(crate) fn pmu_read(&mut self, n: u32, user: bool) -> Result<u64, Stop> {
        let user = user && self.st.mode.pr;
        if user {
            self.pmu_access(n, false)?;
        }
        if self.pmu.active {
            self.pmu_due();
        }
        let v = self.st.plain[n as usize];
        Ok(match n {
            num::MMCR0 if user => v & mmcr0::USER,
            num::MMCR2 if user => v & MMCR2_USER,
            _ => v,
        })
    }

    /// Write a monitor register by its privileged number; `user`: through the problem-state one.
    pub(crate) fn pmu_write(&mut self, n: u32, v: u64, user: bool) -> Result<(), Stop> {
        let user = user && self.st.mode.pr;
        if user {
            self.pmu_access(n, true)?;
        }
        self.pmu_sync();
        let old = self.st.plain[n as usize];
        let merge = |mask: u64| if user { old & !mask | v & mask } else { v };
        self.st.plain[n as usize] = match n {
            num::MMCR0 => merge(mmcr0::USER) & 0xffff_ffff,
            num::MMCR2 => merge(MMCR2_USER),
            num::PMC1..=num::PMC6 => v & 0xffff_ffff,
            _ => v,
        };
        self.pmu_update();
        Ok(())
    }
}

/// The bit of the timebase that MMCR0[TBSEL] names, counted from the least significant.
fn timebase_bit(m0: u64) -> u32 {
    match m0 >> mmcr0::TBSEL_SHIFT & 3 {
        0 => 0,
        1 => 8,
        2 => 12,
        _ => 16,
    }
}
