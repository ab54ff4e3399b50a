//! Engine 0: the interpreter. Instruction semantics come from `isa`; here stand the concrete values ([`Machine`])
//! and the loop over predecoded instructions ([`Interpreter::run`]).
#![forbid(unsafe_code)]

mod code;
mod machine;

pub use code::{CodeCache, CodePage};
pub use machine::Machine;

use std::rc::Rc;
use std::sync::atomic::Ordering;

use arch::{Cpu, Exit, Stop, msr};
use isa::{Insn, Op};

/// The interpreter of one processor: its cache of predecoded pages.
#[derive(Default)]
pub struct Interpreter {
    cache: CodeCache,
}

impl Interpreter {
    /// Run until something must be done outside, or about `budget` instructions are done. An interrupt counts too, so
    /// that one whose handler can not be fetched comes to an end.
    pub fn run(&mut self, cpu: &mut Cpu, budget: u64) -> Exit {
        let end = cpu.retired.saturating_add(budget);
        let mut turns = 0;
        loop {
            if cpu.link.exit.load(Ordering::Relaxed) != 0
                && let Some(e) = cpu.take_events()
            {
                return e;
            }
            turns += 1;
            if cpu.retired >= end || turns > budget {
                return Exit::Budget;
            }
            if cpu.retired >= cpu.pmu.deadline {
                cpu.pmu_due();
                continue;
            }
            let end = end.min(cpu.pmu.deadline);
            cpu.refetch = false;
            let cia = cpu.st.nia;
            let page = match cpu.fetch_real(cia) {
                Ok(ra) => self.cache.page(cpu, ra),
                Err(s) => {
                    if let Some(e) = cpu.handle_stop(s, cia, cia.wrapping_add(4)) {
                        return e;
                    }
                    continue;
                }
            };
            if let Some(e) = run_page(cpu, &page, end) {
                return e;
            }
        }
    }
}

/// How an instruction carried out by [`exec_one`] ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum One {
    /// Complete; the next in sequence follows.
    Next,
    /// Complete; this address (not yet truncated in 32-bit mode) follows.
    Jump(u64),
    /// Left; for [`Cpu::handle_stop`] with the address after the instruction.
    Stop(Stop, u64),
}

/// Carry out one decoded instruction at `cia`, for engines that meet one they do not do themselves. Neither counts it
/// nor delivers anything.
#[inline(never)]
pub fn exec_one(cpu: &mut Cpu, op: Op, i: Insn, cia: u64) -> One {
    let prefixed = i.prefix != 0;
    let next = cia.wrapping_add(if prefixed { 8 } else { 4 });
    if prefixed {
        cpu.prefixed = true;
        if cia & 63 == 60 {
            return One::Stop(cpu.alignment(cia), cia);
        }
    }
    let wrapped = if cpu.st.mode.sf { next } else { next & 0xffff_ffff };
    let mut m = Machine { cia, nia: next, branched: false, cpu };
    let r = isa::exec(op, &mut m, i);
    let (nia, branched) = (m.nia, m.branched);
    if prefixed && r != Err(Stop::Fault) {
        cpu.prefixed = false;
    }
    match r {
        Err(s) => One::Stop(s, wrapped),
        Ok(()) if branched => One::Jump(nia),
        Ok(()) => One::Next,
    }
}

/// Run inside one page of instructions. `None`: look around (events, another page), then go on at `nia`.
fn run_page(cpu: &mut Cpu, page: &Rc<CodePage>, end: u64) -> Option<Exit> {
    let mut m = Machine { cia: cpu.st.nia, nia: 0, branched: false, cpu };
    let base = m.cia & !4095;
    let mode = m.cpu.st.mode;
    // Trace interrupts: after one instruction, as the MSR said before it.
    let trace = m.cpu.st.msr & (msr::SE | msr::BE);
    let breakpoint = m.cpu.ciabr_armed();
    loop {
        let slot = (m.cia as usize & 4095) >> 2;
        let mut d = page.get(slot);
        if d.op == Op::Undecoded {
            d = page.decode(slot, mode.le, mode.level, &m.cpu.sh.ram);
        }
        let mut i = Insn::new(d.raw);
        let mut len = 4;
        if d.prefixed {
            if m.cia & 63 == 60 {
                // A prefixed instruction must not cross a 64-byte boundary (Book I, 1.6).
                let cia = m.cia;
                let s = m.cpu.alignment(cia);
                m.cpu.prefixed = true;
                return m.cpu.handle_stop(s, cia, cia);
            }
            i = Insn::prefixed(d.raw, page.raw(slot + 1, mode.le, &m.cpu.sh.ram));
            m.cpu.prefixed = true;
            len = 8;
        }
        m.nia = m.cia.wrapping_add(len);
        m.cpu.retired += 1;
        match isa::exec(d.op, &mut m, i) {
            Ok(()) => {}
            Err(s) => {
                let (cia, next) = (m.cia, if mode.sf { m.nia } else { m.nia & 0xffff_ffff });
                if matches!(s, Stop::Fault) {
                    m.cpu.retired -= 1;
                } else {
                    m.cpu.prefixed = false;
                }
                let exit = m.cpu.handle_stop(s, cia, next);
                if breakpoint && matches!(s, Stop::Events) && m.cpu.ciabr_matches(cia) {
                    m.cpu.deliver_ciabr(cia, next);
                } else if trace & msr::SE != 0 && matches!(s, Stop::Events) {
                    m.cpu.deliver_trace(cia, next);
                }
                return exit;
            }
        }
        if d.prefixed {
            m.cpu.prefixed = false;
        }
        let done = m.cia;
        m.cia = m.nia;
        if !mode.sf {
            m.cia &= 0xffff_ffff;
        }
        if breakpoint && m.cpu.ciabr_matches(done) {
            m.cpu.st.nia = m.cia;
            let next = m.cia;
            m.cpu.prefixed = d.prefixed;
            m.cpu.deliver_ciabr(done, next);
            return None;
        }
        if trace != 0 {
            let branch = d.op.row().is_some_and(|r| r.chapter == "branch");
            m.cpu.st.nia = m.cia;
            if trace & msr::SE != 0 || branch {
                let next = m.cia;
                m.cpu.prefixed = d.prefixed;
                m.cpu.deliver_trace(done, next);
            }
            return None;
        }
        if m.cia & !4095 != base {
            m.cpu.st.nia = m.cia;
            return None;
        }
        if m.branched || m.cpu.refetch {
            m.branched = false;
            if m.cpu.refetch || m.cpu.link.exit.load(Ordering::Relaxed) != 0 || m.cpu.retired >= end {
                m.cpu.st.nia = m.cia;
                return None;
            }
        }
    }
}
