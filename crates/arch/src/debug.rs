//! Watchpoints and breakpoints (Power ISA 3.1 Book III, chapter 9 "Debug Facilities"): DAWR0, DAWR1 and CIABR, which a
//! partition sets by H_SET_MODE.
//!
//! A page with watched bytes has no entry in the TLB for the accesses that may match, so these take the slow way, and
//! that one looks. While a CIABR match is possible, instructions are interpreted one after another. Nothing of it
//! costs anything while nothing is armed.

use mem::{Access, TlbMode};

use crate::cpu::{Cpu, Stop};
use crate::msr::{self, dsisr, srr1};
use crate::{Fault, Vector};

/// DAWRXn bits (Book III, 9.3).
pub mod dawrx {
    /// Matches in problem state.
    pub const PROBLEM: u64 = 1 << 0;
    /// Matches in privileged, non-hypervisor state.
    pub const PRIVILEGED: u64 = 1 << 1;
    /// Matches in hypervisor state.
    pub const HYPERVISOR: u64 = 1 << 2;
    /// MSR[DR] does not matter.
    pub const WTI: u64 = 1 << 3;
    /// Matches with MSR[DR] = 1; else with 0.
    pub const WT: u64 = 1 << 4;
    /// Loads match.
    pub const DR: u64 = 1 << 5;
    /// Stores match.
    pub const DW: u64 = 1 << 6;
    /// Doublewords watched, less one.
    pub const MRD_SHIFT: u32 = 10;
    /// Greatest value of that field.
    pub const MRD: u64 = 0x3f;
}

impl Cpu {
    /// Set DAWRn and DAWRXn.
    pub fn set_watchpoint(&mut self, n: usize, address: u64, control: u64) {
        (self.st.dawr[n], self.st.dawrx[n]) = (address, control);
        self.watching = self.st.dawrx.iter().any(|c| c & (dawrx::DR | dawrx::DW) != 0);
        // Whatever the TLB lets pass was judged by the old ones.
        self.tlb.flush();
        self.refetch = true;
        self.set_tables();
    }

    /// Set CIABR.
    pub fn set_ciabr(&mut self, v: u64) {
        self.st.ciabr = v;
        self.refetch = true;
    }

    /// A processor is started: nothing is watched, and nothing is counted, whatever it was told before it was stopped.
    pub fn monitors_off(&mut self) {
        (0..self.st.dawr.len()).for_each(|n| self.set_watchpoint(n, 0, 0));
        self.set_ciabr(0);
        self.pmu_freeze();
    }

    /// Whether instructions must be carried out one by one, with a look after each: single steps, branch tracing, or
    /// a CIABR that may match in the present state.
    #[inline]
    pub fn stepping(&self) -> bool {
        self.st.msr & (msr::SE | msr::BE) != 0 || self.ciabr_armed()
    }

    /// Whether CIABR[PRIV] is the present state.
    #[inline]
    pub fn ciabr_armed(&self) -> bool {
        self.st.ciabr & 3 == if self.st.mode.pr { 1 } else { 2 }
    }

    /// Whether completing the instruction at `cia` is a CIABR match.
    #[inline]
    pub fn ciabr_matches(&self, cia: u64) -> bool {
        self.ciabr_armed() && (cia ^ self.st.ciabr) & !3 == 0
    }

    /// The trace interrupt of a CIABR match at `cia` (Book III, 7.5.15); `next` is where it went on.
    pub fn deliver_ciabr(&mut self, cia: u64, next: u64) {
        self.st.plain[crate::spr::num::SIAR as usize] = cia;
        let bits = srr1::TRACED | srr1::CIABR;
        self.deliver(Fault { vector: Vector::Trace, srr1: bits, dar: None, dsisr: None }, next);
    }

    /// The watched bytes of DAWRn (first and last) if it may match `access` in the present state.
    fn watched(&self, n: usize, access: Access, mode: TlbMode) -> Option<(u64, u64)> {
        let c = self.st.dawrx[n];
        let kind = if access == Access::Write { dawrx::DW } else { dawrx::DR };
        let state = if self.st.mode.pr { dawrx::PROBLEM } else { dawrx::PRIVILEGED };
        let relocates = mode != TlbMode::Real;
        if c & kind == 0 || c & state == 0 || c & dawrx::WTI == 0 && (c & dawrx::WT != 0) != relocates {
            return None;
        }
        let first = self.st.dawr[n] & !7;
        Some((first, first.saturating_add(8 * (c >> dawrx::MRD_SHIFT & dawrx::MRD) + 7)))
    }

    /// Whether the page of `ea` has bytes that `access` may match.
    pub(crate) fn page_watched(&self, ea: u64, access: Access, mode: TlbMode) -> bool {
        let page = ea & !4095;
        let hits = |(first, last): (u64, u64)| first <= page | 4095 && last >= page;
        self.watching && (0..2).any(|n| self.watched(n, access, mode).is_some_and(hits))
    }

    /// The data storage interrupt of an access that matches a watchpoint.
    #[inline]
    pub(crate) fn watch(&mut self, ea: u64, size: u64, access: Access) -> Result<(), Stop> {
        if !self.watching { Ok(()) } else { self.watch_slow(ea, size, access) }
    }

    #[cold]
    fn watch_slow(&mut self, ea: u64, size: u64, access: Access) -> Result<(), Stop> {
        let end = ea.saturating_add(size - 1);
        let hits = |(first, last): (u64, u64)| first <= end && last >= ea;
        if !(0..2).any(|n| self.watched(n, access, self.dmode).is_some_and(hits)) {
            return Ok(());
        }
        let store = if access == Access::Write { dsisr::STORE } else { 0 };
        Err(self.raise(Fault {
            vector: Vector::Dsi,
            srr1: 0,
            dar: Some(ea),
            dsisr: Some((dsisr::DAWR | store) as u32),
        }))
    }
}
