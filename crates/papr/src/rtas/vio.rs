//! Virtual I/O as firmware in guest memory uses it; the numbers are QEMU's, no part of LoPAR.

use super::{Call, Row, row};
use crate::rc::{RtasResult, Status};

pub(super) const ROWS: &[Row] = &[row("ibm,set-tce-bypass", 2, 0, set_tce_bypass)];

/// ( unit on -- ): a virtual adapter's I/O addresses are real ones, as firmware wants it. An adapter's window has
/// the number of its unit.
fn set_tce_bypass(c: &mut Call) -> RtasResult {
    let (unit, on) = (c.arg(0), c.arg(1) != 0);
    let may = c.p.vio().find(unit.into()).is_ok_and(|d| d.may_bypass());
    if !may || !c.papr().tces.set_bypass(unit, on) {
        return Err(Status::PARAMETER);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{TestPlatform, config};

    #[test]
    fn only_adapters_have_windows_to_pass() {
        let p = TestPlatform::new(config("power9"));
        let windows = p.papr.dma_windows();
        windows.create(0x7100_0000, 0, 12, 4).unwrap();
        let w = windows.get(0x7100_0000).unwrap();
        assert_eq!(p.rtas(&mut p.cpu(0), "ibm,set-tce-bypass", &[0x7100_0000, 1], 1)[0] as i32, -3);
        assert_eq!(w.translate(0x9000, true), None);
        assert!(windows.set_bypass(0x7100_0000, true) && !windows.set_bypass(1, true));
        assert_eq!(w.translate(0x9010, true), Some((0x9010, u64::MAX - 0x9010)));
        assert!(windows.save().windows[0].bypass);
        p.rtas(&mut p.cpu(0), "quiesce", &[], 0);
        assert_eq!(w.translate(0x9000, true), None);
    }
}
