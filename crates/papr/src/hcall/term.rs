//! Virtual terminals (LoPAR 16.6).

use device::VtyServer;

use super::{Ctx, Row, row};
use crate::rc::{HResult, Rc};

pub(super) const ROWS: &[Row] = &[
    row(0x54, "H_GET_TERM_CHAR", 1, "16.6.2.2", get_term_char),
    row(0x58, "H_PUT_TERM_CHAR", 4, "16.6.2.3", put_term_char),
    row(0x150, "H_VTERM_PARTNER_INFO", 4, "16.6.3.1", partner_info),
    row(0x154, "H_REGISTER_VTERM", 3, "16.6.3.2", register),
    row(0x158, "H_FREE_VTERM", 1, "16.6.3.3", free),
];

/// Bytes of a location code with the zero behind it.
const LOCATION: usize = 80;

/// What a server answers; H_PARAMETER if the unit address is none of a server.
fn server<T>(c: &Ctx, what: impl FnOnce(&dyn VtyServer) -> Result<T, device::vio::Rc>) -> Result<T, Rc> {
    let device = c.p.vio().find(c.arg(0))?;
    what(device.vty_server().ok_or(Rc::PARAMETER)?).map_err(Rc)
}

/// ( unit -- count, 16 bytes in two registers )
fn get_term_char(c: &mut Ctx) -> HResult {
    let (len, [high, low]) = match c.p.terminals().find(c.arg(0)) {
        Ok(terminal) => terminal.get(),
        Err(_) => server(c, |s| s.get())?,
    };
    c.set(0, len);
    c.set(1, high);
    c.set(2, low);
    Ok(())
}

/// ( unit count two-registers -- )
fn put_term_char(c: &mut Ctx) -> HResult {
    let (len, words) = (c.arg(1), [c.arg(2), c.arg(3)]);
    match c.p.terminals().find(c.arg(0)) {
        Ok(terminal) => Ok(terminal.put(len, words)?),
        Err(_) => server(c, |s| s.put(len, words)),
    }
}

/// ( unit partition partner-unit page -- ): into the page go number, unit address and location code of the partner that
/// comes after the one named, of the first one if all bits are set; all bits set if there is none.
fn partner_info(c: &mut Ctx) -> HResult {
    let (after, page) = ((c.arg(1), c.arg(2)), c.arg(3));
    if page % 4096 != 0 || !c.is_memory(page, 4096) {
        return Err(Rc::PARAMETER);
    }
    let all = server(c, |s| Ok(s.partners()))?;
    let first = after == (u64::MAX, u64::MAX);
    let mut rest = all.into_iter();
    if !first && !rest.any(|p| (u64::from(p.partition), u64::from(p.unit)) == after) {
        return Err(Rc::PARAMETER);
    }
    let mut info = vec![0xff; 16];
    if let Some(p) = rest.next() {
        info = [u64::from(p.partition).to_be_bytes(), u64::from(p.unit).to_be_bytes()].concat();
        info.extend(p.location.bytes().take(LOCATION - 1));
        info.resize(16 + LOCATION, 0);
    }
    Ok(c.ram().write(page, &info)?)
}

/// ( unit partition partner-unit -- )
fn register(c: &mut Ctx) -> HResult {
    server(c, |s| s.register(c.arg(1), c.arg(2)))
}

/// ( unit -- )
fn free(c: &mut Ctx) -> HResult {
    server(c, |s| s.free())
}
