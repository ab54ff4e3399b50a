//! Run-time abstraction services (LoPAR chapter 7): the table of all of them and the way to one.
//!
//! A call is a block of big-endian 32-bit cells in guest memory below 4 GiB: token, number of arguments, number of
//! results, the arguments, then room for the results, the first of which is the status.

pub mod cpu;
pub mod dlpar;
pub mod events;
pub mod fwnmi;
pub mod irq;
pub mod nvram;
pub mod pci;
pub mod power;
pub mod sysparm;
pub mod time;
pub mod vio;

use arch::{Cpu, Shared};
use mem::GuestRam;

use crate::hcall::Ctx;
use crate::platform::{HcallFlow, Platform};
use crate::rc::{HResult, Rc, RtasResult, Status};
use crate::state::PaprState;

/// One service.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its name: the property of `/rtas` that tells the token.
    pub name: &'static str,
    /// Arguments it must get at least.
    pub args: u8,
    /// Results there must be room for at least, the status included; 0 if it does not return.
    pub rets: u8,
    /// What it does.
    pub handler: fn(&mut Call) -> RtasResult,
}

/// A row; short, as there are many.
const fn row(name: &'static str, args: u8, rets: u8, handler: fn(&mut Call) -> RtasResult) -> Row {
    Row { name, args, rets, handler }
}

const FAMILIES: &[&[Row]] = &[
    time::ROWS,
    power::ROWS,
    cpu::ROWS,
    sysparm::ROWS,
    irq::ROWS,
    events::ROWS,
    nvram::ROWS,
    pci::ROWS,
    dlpar::ROWS,
    fwnmi::ROWS,
    vio::ROWS,
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

/// All services; the place of one gives its token.
pub static TABLE: [Row; COUNT] = ALL;

/// Token of the first service.
const TOKEN_BASE: u32 = 0x2000;

/// The token of the service in this place of [`TABLE`].
pub const fn token(row: usize) -> u32 {
    TOKEN_BASE + row as u32
}

/// The token of a service by name.
pub fn token_of(name: &str) -> Option<u32> {
    TABLE.iter().position(|r| r.name == name).map(token)
}

/// Most cells of arguments, and of results.
const MAX_CELLS: usize = 16;

/// A call under way.
pub struct Call<'a> {
    /// The partition.
    pub p: &'a dyn Platform,
    /// The processor that calls.
    pub cpu: &'a mut Cpu,
    /// What it does next.
    pub flow: HcallFlow,
    args: [u32; MAX_CELLS],
    nargs: usize,
    rets: [u32; MAX_CELLS],
    nrets: usize,
}

impl<'a> Call<'a> {
    /// Argument `n`, counted from 0; 0 if the caller gave fewer.
    pub fn arg(&self, n: usize) -> u32 {
        self.args[..self.nargs].get(n).copied().unwrap_or(0)
    }

    /// Number of arguments given.
    pub fn nargs(&self) -> usize {
        self.nargs
    }

    /// Number of results there is room for, the status included.
    pub fn nrets(&self) -> usize {
        self.nrets
    }

    /// Sets result `n`, counted from 1 as the status is number 0.
    pub fn set(&mut self, n: usize, v: u32) {
        if let Some(r) = self.rets.get_mut(n) {
            *r = v;
        }
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

    /// Whether all of a range is memory of the partition.
    pub fn is_memory(&self, addr: u32, len: u32) -> bool {
        addr as u64 + len as u64 <= self.ram().size()
    }
}

/// H_RTAS: carries out the call whose block stands where the hypercall's argument says.
pub(crate) fn call(c: &mut Ctx) -> HResult {
    // Stubs are 32-bit code: the address is one of those.
    let block = c.arg(0) & 0xffff_ffff;
    let ram = c.ram();
    let cell = |n: usize| ram.read_u32_be(block + 4 * n as u64);
    let (token, nargs, nrets) = (cell(0)?, cell(1)? as usize, cell(2)? as usize);
    if nargs > MAX_CELLS || nrets > MAX_CELLS {
        return Err(Rc::PARAMETER);
    }
    let mut call = Call {
        p: c.p,
        cpu: c.cpu,
        flow: HcallFlow::Continue,
        args: [0; MAX_CELLS],
        nargs,
        rets: [0; MAX_CELLS],
        nrets,
    };
    for n in 0..nargs {
        call.args[n] = cell(3 + n)?;
    }
    // All of the block must be there before anything is done.
    for n in 0..nrets {
        cell(3 + nargs + n)?;
    }
    let status = dispatch(&mut call, token, nrets);
    let (flow, mut rets) = (call.flow, call.rets);
    rets[0] = match status {
        Ok(()) => 0,
        Err(s) => s.0 as u32,
    };
    for (n, v) in rets.into_iter().take(nrets).enumerate() {
        ram.write_u32_be(block + 4 * (3 + nargs + n) as u64, v)?;
    }
    c.flow = flow;
    Ok(())
}

fn dispatch(call: &mut Call, token: u32, nrets: usize) -> RtasResult {
    let place = token.wrapping_sub(TOKEN_BASE) as usize;
    let Some(row) = TABLE.get(place) else {
        if call.papr().count_unknown_rtas(token as u64) {
            tracing::info!("unknown RTAS token {token:#x}");
        }
        return Err(Status::HARDWARE);
    };
    call.papr().count_rtas(place);
    tracing::trace!(name = row.name, args = ?&call.args[..call.nargs], "RTAS call");
    if call.nargs < row.args as usize || nrets < row.rets as usize {
        return Err(Status::PARAMETER);
    }
    (row.handler)(call)
}

#[cfg(test)]
mod tests;
