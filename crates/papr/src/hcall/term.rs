//! Virtual terminals (LoPAR 16.6).

use super::{Ctx, Row, row};
use crate::rc::HResult;

pub(super) const ROWS: &[Row] = &[
    row(0x54, "H_GET_TERM_CHAR", 1, "16.6.2.2", get_term_char),
    row(0x58, "H_PUT_TERM_CHAR", 4, "16.6.2.3", put_term_char),
];

/// ( unit -- count, 16 bytes in two registers )
fn get_term_char(c: &mut Ctx) -> HResult {
    let terminal = c.p.terminals().find(c.arg(0))?;
    let (len, [high, low]) = terminal.get();
    c.set(0, len);
    c.set(1, high);
    c.set(2, low);
    Ok(())
}

/// ( unit count two-registers -- )
fn put_term_char(c: &mut Ctx) -> HResult {
    let terminal = c.p.terminals().find(c.arg(0))?;
    Ok(terminal.put(c.arg(1), [c.arg(2), c.arg(3)])?)
}
