//! Private calls of firmware in guest memory: of our own stubs (see [`firmware::stub`]), and of firmware written for
//! QEMU's machine, whose numbers these are.

use super::{Ctx, Row, row};
use crate::platform::HcallFlow;
use crate::rc::{HResult, Rc};
use crate::rtas;

pub(super) const ROWS: &[Row] = &[
    row(firmware::stub::H_RTAS, "H_RTAS", 1, "", h_rtas),
    row(0xf002, "H_CAS", 3, "", cas),
    row(0xf003, "H_UPDATE_DT", 1, "", update_dt),
    row(firmware::stub::H_OF_CLIENT, "H_OF_CLIENT", 1, "", of_client),
];

/// ( argument-block -- )
fn h_rtas(c: &mut Ctx) -> HResult {
    rtas::call(c)
}

/// Negotiation may have chosen another architecture level.
fn take_level(c: &mut Ctx) {
    let level = c.papr().level();
    if c.cpu.st.level != level {
        c.cpu.st.level = level;
        let m = c.cpu.st.msr;
        c.cpu.set_msr(m);
    }
}

/// ( vectors buffer size -- )
fn cas(c: &mut Ctx) -> HResult {
    let [vectors, buffer, size] = [0, 1, 2].map(|n| c.arg(n));
    c.p.firmware_cas(c.cpu, vectors, buffer, size)?;
    take_level(c);
    Ok(())
}

/// ( flattened-tree -- ): firmware shows the tree as its client will see it. Nothing here is made from that.
fn update_dt(c: &mut Ctx) -> HResult {
    const MAGIC: u32 = 0xd00d_feed;
    let at = c.arg(0);
    if c.ram().read_u32_be(at)? != MAGIC { Err(Rc::PARAMETER) } else { Ok(()) }
}

/// ( argument-array -- ); the result is the client interface's, not a hypercall's.
fn of_client(c: &mut Ctx) -> HResult {
    let args = c.arg(0);
    c.flow = c.p.of_client(c.cpu, args);
    take_level(c);
    if c.flow == HcallFlow::Resume {
        return Ok(());
    }
    match c.cpu.st.gpr[3] {
        0 => Ok(()),
        v => Err(Rc(v as i64)),
    }
}
