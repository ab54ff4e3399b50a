//! Private calls of the firmware stubs in guest memory (see [`firmware::stub`]).

use super::{Ctx, Row, row};
use crate::platform::HcallFlow;
use crate::rc::HResult;
use crate::rtas;

pub(super) const ROWS: &[Row] = &[
    row(firmware::stub::H_RTAS, "H_RTAS", 1, "", h_rtas),
    row(firmware::stub::H_OF_CLIENT, "H_OF_CLIENT", 1, "", of_client),
];

/// ( argument-block -- )
fn h_rtas(c: &mut Ctx) -> HResult {
    rtas::call(c)
}

/// ( argument-array -- ); the result is the client interface's, not a hypercall's.
fn of_client(c: &mut Ctx) -> HResult {
    let args = c.arg(0);
    c.flow = c.p.of_client(c.cpu, args);
    // Negotiation may have chosen another architecture level.
    let level = c.papr().level();
    if c.cpu.st.level != level {
        c.cpu.st.level = level;
        let m = c.cpu.st.msr;
        c.cpu.set_msr(m);
    }
    if c.flow == HcallFlow::Resume {
        return Ok(());
    }
    match c.cpu.st.gpr[3] {
        0 => Ok(()),
        v => Err(crate::rc::Rc(v as i64)),
    }
}
