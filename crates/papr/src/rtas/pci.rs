//! PCI functions: configuration space (LoPAR 7.3.1), message interrupts (7.3.10.5), DMA windows (7.3.14) and the calls
//! of enhanced error handling (7.3.11). Functions here are emulated, so they never freeze: each is a partitionable
//! endpoint of its own that works.

use devices::phb::{self, BUID, MsiError, Phb};

use super::{Call, Row, row};
use crate::lock;
use crate::rc::{RtasResult, Status};
use crate::state::PaprState;

pub(super) const ROWS: &[Row] = &[
    row("read-pci-config", 2, 2, read_config_root),
    row("write-pci-config", 3, 1, write_config_root),
    row("ibm,read-pci-config", 4, 2, read_config),
    row("ibm,write-pci-config", 5, 1, write_config),
    row("ibm,change-msi", 6, 3, change_msi),
    row("ibm,query-interrupt-source-number", 4, 3, query_source),
    row(QUERY_WINDOW, 3, 5, query_window),
    row(CREATE_WINDOW, 5, 4, create_window),
    row(REMOVE_WINDOW, 1, 1, remove_window),
    row(RESET_WINDOW, 3, 1, reset_window),
    row("ibm,set-eeh-option", 4, 1, set_eeh_option),
    row("ibm,get-config-addr-info2", 4, 2, config_addr_info),
    row("ibm,read-slot-reset-state2", 3, 4, slot_state),
    row("ibm,set-slot-reset", 4, 1, slot_reset),
    row("ibm,configure-pe", 3, 1, configure_pe),
    row("ibm,slot-error-detail", 8, 1, error_detail),
];

const QUERY_WINDOW: &str = "ibm,query-pe-dma-window";
const CREATE_WINDOW: &str = "ibm,create-pe-dma-window";
const REMOVE_WINDOW: &str = "ibm,remove-pe-dma-window";
const RESET_WINDOW: &str = "ibm,reset-pe-dma-window";

/// The tokens of query, create, remove and reset of DMA windows, for the bridge's node.
pub fn window_tokens() -> [u32; 4] {
    [QUERY_WINDOW, CREATE_WINDOW, REMOVE_WINDOW, RESET_WINDOW]
        .map(|name| super::token_of(name).unwrap_or(u32::MAX))
}

/// The bridge that arguments `at` and `at + 1` name.
fn bridge<'a>(c: &Call<'a>, at: usize) -> Result<&'a Phb, Status> {
    let buid = (c.arg(at) as u64) << 32 | c.arg(at + 1) as u64;
    c.p.phb().filter(|_| buid == BUID).ok_or(Status::PARAMETER)
}

// ---- configuration space ----

fn config_size(size: u32) -> Result<u8, Status> {
    if matches!(size, 1 | 2 | 4) { Ok(size as u8) } else { Err(Status::PARAMETER) }
}

fn read(c: &mut Call, phb: Option<&Phb>, size: u32) -> RtasResult {
    c.set(1, u32::MAX);
    let size = config_size(size)?;
    let v = phb.and_then(|p| p.read_config(c.arg(0), size)).ok_or(Status::HARDWARE)?;
    c.set(1, v);
    Ok(())
}

fn write(c: &Call, phb: Option<&Phb>, size: u32, value: u32) -> RtasResult {
    let size = config_size(size)?;
    phb.and_then(|p| p.write_config(c.arg(0), value, size)).ok_or(Status::HARDWARE)
}

/// ( address size -- status value )
fn read_config_root(c: &mut Call) -> RtasResult {
    let (phb, size) = (c.p.phb(), c.arg(1));
    read(c, phb, size)
}

/// ( address size value -- status )
fn write_config_root(c: &mut Call) -> RtasResult {
    write(c, c.p.phb(), c.arg(1), c.arg(2))
}

/// ( address bridge-high bridge-low size -- status value )
fn read_config(c: &mut Call) -> RtasResult {
    let (phb, size) = (bridge(c, 1).ok(), c.arg(3));
    read(c, phb, size)
}

/// ( address bridge-high bridge-low size value -- status )
fn write_config(c: &mut Call) -> RtasResult {
    write(c, bridge(c, 1).ok(), c.arg(3), c.arg(4))
}

// ---- message interrupts ----

/// Functions of `ibm,change-msi`.
mod change {
    /// Message interrupts of either kind.
    pub const ANY: u32 = 1;
    /// All back to level interrupts.
    pub const RESET: u32 = 2;
    /// MSI, MSI-X.
    pub const MSI: u32 = 3;
    pub const MSIX: u32 = 4;
}

/// ( address bridge-high bridge-low function count sequence -- status count sequence [kind] )
fn change_msi(c: &mut Call) -> RtasResult {
    let phb = bridge(c, 1)?;
    let f = phb.function(c.arg(0)).ok_or(Status::PARAMETER)?;
    let count = match c.arg(3) {
        change::ANY | change::MSIX => c.arg(4),
        change::RESET => 0,
        // No function has plain MSI; none of it can be taken away.
        change::MSI if c.arg(4) == 0 => 0,
        _ => return Err(Status::PARAMETER),
    };
    let got = phb.set_messages(&**f, count).map_err(|e| match e {
        MsiError::None => Status::PARAMETER,
        MsiError::Exhausted => Status::HARDWARE,
    })?;
    c.set(1, got);
    c.set(2, c.arg(5).wrapping_add(1));
    c.set(3, if got == 0 { 0 } else { change::MSIX });
    Ok(())
}

/// ( address bridge-high bridge-low vector -- status source edge? )
fn query_source(c: &mut Call) -> RtasResult {
    let f = bridge(c, 1)?.function(c.arg(0)).ok_or(Status::PARAMETER)?;
    let source = f.msix().and_then(|m| m.source(c.arg(3))).ok_or(Status::PARAMETER)?;
    c.set(1, source);
    c.set(2, 1);
    Ok(())
}

// ---- DMA windows ----

/// Page sizes of `ibm,query-pe-dma-window` that a window can have: bit and log2.
const PAGES: [(u32, u32); 3] = [(1 << 0, 12), (1 << 1, 16), (1 << 8, 21)];
/// Windows of the bridge.
const WINDOWS: u32 = 2;

fn window_count(papr: &PaprState) -> u32 {
    [phb::LIOBN, phb::DYNAMIC_LIOBN].iter().filter(|&&n| papr.tces.get(n as u64).is_some()).count() as u32
}

/// log2 of the largest window: all of memory fits.
fn window_shift(c: &Call) -> u32 {
    c.ram().size().max(1 << 30).next_power_of_two().ilog2()
}

/// ( address bridge-high bridge-low -- status windows largest [largest-low] page-sizes migration )
fn query_window(c: &mut Call) -> RtasResult {
    bridge(c, 1)?;
    let windows = WINDOWS - window_count(c.papr());
    let pages = 1u64 << (window_shift(c) - 12);
    let sizes = PAGES.iter().fold(0, |bits, p| bits | p.0);
    c.set(1, windows);
    if c.nrets() >= 6 {
        c.set(2, (pages >> 32) as u32);
        c.set(3, pages as u32);
        c.set(4, sizes);
        c.set(5, 0);
    } else {
        c.set(2, u32::try_from(pages).unwrap_or(u32::MAX));
        c.set(3, sizes);
        c.set(4, 0);
    }
    Ok(())
}

/// ( address bridge-high bridge-low page-shift window-shift -- status liobn start-high start-low )
fn create_window(c: &mut Call) -> RtasResult {
    bridge(c, 1)?;
    let (page, window) = (c.arg(3), c.arg(4));
    if !PAGES.iter().any(|p| p.1 == page) || window < page || window > window_shift(c) {
        return Err(Status::PARAMETER);
    }
    let _ordered = lock(&c.papr().windows);
    // The first window's number and place are free again once it has been taken away.
    let tces = &c.papr().tces;
    let (liobn, start) = [(phb::DYNAMIC_LIOBN, phb::DYNAMIC_START), (phb::LIOBN, 0)]
        .into_iter()
        .find(|w| tces.get(w.0 as u64).is_none())
        .ok_or(Status::HARDWARE)?;
    tces.create(liobn, start, page, 1 << (window - page)).map_err(|_| Status::HARDWARE)?;
    c.set(1, liobn);
    c.set(2, (start >> 32) as u32);
    c.set(3, start as u32);
    Ok(())
}

/// ( liobn -- status )
fn remove_window(c: &mut Call) -> RtasResult {
    let liobn = c.arg(0);
    if c.p.phb().is_none() || !matches!(liobn, phb::LIOBN | phb::DYNAMIC_LIOBN) {
        return Err(Status::PARAMETER);
    }
    let _ordered = lock(&c.papr().windows);
    if c.papr().tces.remove(liobn) { Ok(()) } else { Err(Status::PARAMETER) }
}

/// ( address bridge-high bridge-low -- status )
fn reset_window(c: &mut Call) -> RtasResult {
    bridge(c, 1)?;
    reset_windows(c.papr());
    Ok(())
}

/// One empty window of 1 GiB, as at power-on, for a partition with a bridge.
pub fn reset_windows(papr: &PaprState) {
    let _ordered = lock(&papr.windows);
    papr.tces.remove(phb::DYNAMIC_LIOBN);
    papr.tces.remove(phb::LIOBN);
    if papr.tces.create(phb::LIOBN, 0, 12, (phb::WINDOW >> 12) as usize).is_err() {
        tracing::warn!("no room for the DMA window of the PCI host bridge");
    }
}

// ---- enhanced error handling ----

/// What a partitionable endpoint's address has in its lowest bits, so that none is 0.
const PE: u32 = 1;

/// The function of a partitionable endpoint, which may also be named by the address of the function.
fn endpoint<'a>(c: &Call<'a>) -> Result<(&'a Phb, &'a dyn device::PciFunction), Status> {
    let phb = bridge(c, 1)?;
    let f = phb.function(c.arg(0)).ok_or(Status::PARAMETER)?;
    Ok((phb, &**f))
}

/// ( address bridge-high bridge-low option -- status ): 0 off, 1 on, 2 and 3 thaw loads and stores, and DMA.
fn set_eeh_option(c: &mut Call) -> RtasResult {
    endpoint(c)?;
    if c.arg(3) <= 3 { Ok(()) } else { Err(Status::PARAMETER) }
}

/// ( address bridge-high bridge-low question -- status answer ): 0 asks for the endpoint's address, 1 whether it is
/// shared (1: it is not).
fn config_addr_info(c: &mut Call) -> RtasResult {
    endpoint(c)?;
    let answer = match c.arg(3) {
        0 => c.arg(0) & 0xff_ff00 | PE,
        1 => 1,
        _ => return Err(Status::PARAMETER),
    };
    c.set(1, answer);
    Ok(())
}

/// ( address bridge-high bridge-low -- status state capable wait [timeout] ): always normal operation.
fn slot_state(c: &mut Call) -> RtasResult {
    endpoint(c)?;
    c.set(1, 0);
    c.set(2, 1);
    c.set(3, 0);
    Ok(())
}

/// ( address bridge-high bridge-low option -- status ): 0 ends a reset, 1 and 3 begin one.
fn slot_reset(c: &mut Call) -> RtasResult {
    let (phb, f) = endpoint(c)?;
    match c.arg(3) {
        0 => Ok(()),
        1 | 3 => {
            phb.reset_function(f);
            Ok(())
        }
        _ => Err(Status::PARAMETER),
    }
}

/// ( address bridge-high bridge-low -- status )
fn configure_pe(c: &mut Call) -> RtasResult {
    endpoint(c).map(drop)
}

/// ( address bridge-high bridge-low log log-length ... -- status ): there is no error to tell of.
fn error_detail(c: &mut Call) -> RtasResult {
    endpoint(c)?;
    Err(Status::NOTHING)
}

#[cfg(test)]
mod tests;
