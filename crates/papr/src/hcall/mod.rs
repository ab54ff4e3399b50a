//! The hypercalls (`sc 1`; LoPAR chapter 14): the table of all of them and the way to one.
//!
//! Number in r3, arguments from r4 up; return code in r3, results from r4 up. A call never changes another register,
//! and in 32-bit mode the upper halves of its arguments do not count.

pub mod firmware;
pub mod irq;
pub mod lan;
pub mod misc;
pub mod mmu;
pub mod mode;
pub mod sched;
pub mod term;
pub mod vio;
pub mod vpa;
pub mod xive;

use arch::{Cpu, Shared, msr};
use mem::GuestRam;

use crate::platform::{HcallFlow, Platform};
use crate::rc::{HResult, Rc};
use crate::state::PaprState;

/// One hypercall.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its number.
    pub number: u64,
    /// Its name in LoPAR.
    pub name: &'static str,
    /// Number of its arguments.
    pub args: u8,
    /// Where LoPAR describes it; empty for private calls of firmware.
    pub section: &'static str,
    /// What it does.
    pub handler: fn(&mut Ctx) -> HResult,
}

/// A row; short, as there are many.
const fn row(
    number: u64,
    name: &'static str,
    args: u8,
    section: &'static str,
    handler: fn(&mut Ctx) -> HResult,
) -> Row {
    Row { number, name, args, section, handler }
}

const FAMILIES: &[&[Row]] = &[
    mmu::ROWS,
    mode::ROWS,
    sched::ROWS,
    vpa::ROWS,
    irq::ROWS,
    xive::ROWS,
    term::ROWS,
    vio::ROWS,
    lan::ROWS,
    misc::ROWS,
    firmware::ROWS,
];

const COUNT: usize = {
    let (mut n, mut f) = (0, 0);
    while f < FAMILIES.len() {
        n += FAMILIES[f].len();
        f += 1;
    }
    n
};

const ALL: [Row; COUNT] = {
    let mut all = [FAMILIES[0][0]; COUNT];
    let (mut n, mut f) = (0, 0);
    while f < FAMILIES.len() {
        let mut r = 0;
        while r < FAMILIES[f].len() {
            all[n] = FAMILIES[f][r];
            n += 1;
            r += 1;
        }
        f += 1;
    }
    all
};

/// All hypercalls.
pub static TABLE: [Row; COUNT] = ALL;

const NONE: u8 = u8::MAX;
/// Rows by number: multiples of 4 from 0, then everything from 0xF000.
const LOW: usize = 0x480 / 4;
const HIGH: usize = 0x100;
const HIGH_BASE: u64 = 0xf000;

static INDEX: [u8; LOW + HIGH] = {
    let mut index = [NONE; LOW + HIGH];
    assert!(COUNT < NONE as usize);
    let mut n = 0;
    while n < COUNT {
        let at = place(ALL[n].number).expect("a number outside of the index");
        assert!(index[at] == NONE, "two hypercalls of one number");
        index[at] = n as u8;
        n += 1;
    }
    index
};

/// Place of a number in the index.
const fn place(number: u64) -> Option<usize> {
    if number < LOW as u64 * 4 && number % 4 == 0 {
        Some(number as usize / 4)
    } else if number >= HIGH_BASE && number < HIGH_BASE + HIGH as u64 {
        Some(LOW + (number - HIGH_BASE) as usize)
    } else {
        None
    }
}

/// The row of a number, as its place in [`TABLE`].
pub fn find(number: u64) -> Option<usize> {
    match INDEX[place(number)?] {
        NONE => None,
        n => Some(n as usize),
    }
}

/// A hypercall under way.
pub struct Ctx<'a> {
    /// The partition.
    pub p: &'a dyn Platform,
    /// The processor that calls.
    pub cpu: &'a mut Cpu,
    /// What it does next.
    pub flow: HcallFlow,
}

impl<'a> Ctx<'a> {
    /// Argument `n`, counted from 0: r4 and up.
    #[inline]
    pub fn arg(&self, n: usize) -> u64 {
        let v = self.cpu.st.gpr[4 + n];
        if self.cpu.st.mode.sf { v } else { v & 0xffff_ffff }
    }

    /// Sets result `n`, counted from 0: r4 and up.
    #[inline]
    pub fn set(&mut self, n: usize, v: u64) {
        self.cpu.st.gpr[4 + n] = v;
    }

    /// The state of the interface. It lives as long as the partition, not only as long as the call.
    pub fn papr(&self) -> &'a PaprState {
        self.p.papr()
    }

    /// What the processors share.
    pub fn shared(&self) -> &'a Shared {
        self.p.shared()
    }

    /// Memory of the partition.
    pub fn ram(&self) -> &'a GuestRam {
        &self.p.shared().ram
    }

    /// Interrupt server number of the calling processor.
    pub fn server(&self) -> u32 {
        self.cpu.index as u32
    }

    /// Whether all of a range is memory of the partition.
    pub fn is_memory(&self, addr: u64, len: u64) -> bool {
        addr.checked_add(len).is_some_and(|end| end <= self.ram().size())
    }

    /// Has every processor drop everything it remembers of translations before this call ends.
    pub fn flush_all(&mut self) {
        self.cpu.tlb.flush();
        self.cpu.refetch = true;
        self.cpu.shoot_down_others();
    }
}

/// Carries out the hypercall in `cpu`'s registers.
pub fn hcall(p: &dyn Platform, cpu: &mut Cpu) -> HcallFlow {
    let number = if cpu.st.mode.sf { cpu.st.gpr[3] } else { cpu.st.gpr[3] & 0xffff_ffff };
    if cpu.st.msr & msr::PR != 0 {
        cpu.st.gpr[3] = Rc::PRIVILEGE.0 as u64;
        return HcallFlow::Continue;
    }
    let Some(row) = find(number) else {
        if p.papr().count_unknown_hcall(number) {
            tracing::info!("unknown hypercall {number:#x} from {:#x}", cpu.st.nia);
        }
        cpu.st.gpr[3] = Rc::FUNCTION.0 as u64;
        return HcallFlow::Continue;
    };
    p.papr().count_hcall(cpu.index, row);
    let mut ctx = Ctx { p, cpu, flow: HcallFlow::Continue };
    let result = (TABLE[row].handler)(&mut ctx);
    let flow = ctx.flow;
    if flow != HcallFlow::Resume {
        cpu.st.gpr[3] = match result {
            Ok(()) => 0,
            Err(rc) => rc.0 as u64,
        };
    }
    flow
}

#[cfg(test)]
mod answers;
#[cfg(test)]
mod tests;
