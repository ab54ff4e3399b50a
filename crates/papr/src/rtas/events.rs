//! Events that the platform reports to the guest (LoPAR 7.3.3, chapter 10).

use std::collections::VecDeque;

use devices::rtc::TimeOfDay;
use serde::{Deserialize, Serialize};

use super::{Call, Row, row};
use crate::lock;
use crate::rc::{RtasResult, Status};
use crate::state::PaprState;

pub(super) const ROWS: &[Row] = &[
    row("event-scan", 4, 1, event_scan),
    row("check-exception", 6, 1, check_exception),
    row("rtas-last-error", 2, 1, last_error),
];

/// Longest error log, in bytes: `rtas-error-log-max`.
pub const ERROR_LOG_MAX: u32 = 2048;
/// Most events that wait.
const MAX_EVENTS: usize = 16;

/// Event classes of the mask that the calls take.
mod class {
    pub const INTERNAL_ERRORS: u32 = 1 << 31;
    pub const EPOW: u32 = 1 << 30;
    pub const HOT_PLUG: u32 = 1 << 28;
    pub const ALL: u32 = INTERNAL_ERRORS | EPOW | HOT_PLUG;
}

/// Events that have not been fetched yet.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Events(VecDeque<Event>);

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Event {
    class: u32,
    log: Vec<u8>,
}

impl Events {
    /// What of a saved state is within bounds.
    pub(crate) fn bounded(mut self) -> Self {
        self.0.truncate(MAX_EVENTS);
        self.0.retain(|e| e.class & class::ALL != 0 && e.log.len() <= ERROR_LOG_MAX as usize);
        self
    }

    fn take(&mut self, mask: u32) -> Option<Event> {
        let at = self.0.iter().position(|e| e.class & mask != 0)?;
        self.0.remove(at)
    }
}

impl PaprState {
    /// Asks the guest to power off in an orderly way: an environmental and power warning, for
    /// [`device::irq::lisn::EPOW`] to be pulsed afterwards. `false` if too many events wait already.
    pub fn request_shutdown(&self, now: TimeOfDay) -> bool {
        let mut events = lock(&self.events);
        if events.0.len() >= MAX_EVENTS {
            return false;
        }
        events.0.push_back(Event { class: class::EPOW, log: shutdown_log(now) });
        true
    }
}

/// Two decimal digits in a byte.
fn bcd(v: u32) -> u8 {
    (v / 10 % 10 << 4 | v % 10) as u8
}

/// One section of an error log: its two letters, then its data.
pub(super) fn section(id: &[u8; 2], data: &[u8]) -> Vec<u8> {
    let mut s = id.to_vec();
    s.extend_from_slice(&(8 + data.len() as u16).to_be_bytes());
    // Version, subtype, component.
    s.extend_from_slice(&[1, 0, 0, 0]);
    s.extend_from_slice(data);
    s
}

/// An error log, version 6 (LoPAR 10.3.2): the four bytes of its summary, then sections.
pub(super) fn error_log(summary: u32, sections: &[Vec<u8>]) -> Vec<u8> {
    // Extended header: valid and big-endian, in the format of PowerPC (14), of this company.
    let mut body = vec![0x80, 0, 0x80 | 14, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend_from_slice(b"IBM\0");
    sections.iter().for_each(|s| body.extend_from_slice(s));
    let mut log = summary.to_be_bytes().to_vec();
    log.extend_from_slice(&(body.len() as u32).to_be_bytes());
    log.extend(body);
    log
}

/// An environmental and power warning that says "orderly shutdown, at the operator's wish".
fn shutdown_log(now: TimeOfDay) -> Vec<u8> {
    /// Version 6; severity event, nothing to recover, extended; initiator unknown; type EPOW.
    const SUMMARY: u32 = 0x0624_0040;
    // Main section A: creation date and time in BCD, creator hypervisor, number of sections, identities.
    let mut main_a = vec![bcd(now.year / 100), bcd(now.year), bcd(now.month), bcd(now.day)];
    main_a.extend_from_slice(&[bcd(now.hour), bcd(now.minute), bcd(now.second), 0]);
    main_a.extend_from_slice(&[0; 8]);
    main_a.extend_from_slice(&[b'H', 0, 0, 3]);
    main_a.extend_from_slice(&[0; 16]);
    main_a.extend_from_slice(&1_u32.to_be_bytes());
    main_a.extend_from_slice(&1_u32.to_be_bytes());
    // Main section B: subsystem external environment, informational event, type: normal shutdown.
    let main_b = [0x90, 0, 0, 0x08, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0];
    // EPOW: sensor value 3 (system shutdown), modifier 1 (normal shutdown), extended modifier 0 (whole partition).
    let epow = [3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    error_log(SUMMARY, &[section(b"PH", &main_a), section(b"UH", &main_b), section(b"EP", &epow)])
}

/// Hands the first event of the classes in `mask` out into a buffer.
fn hand_out(c: &mut Call, mask: u32, buffer: u32, len: u32) -> RtasResult {
    if !c.is_memory(buffer, len) {
        return Err(Status::PARAMETER);
    }
    let event = lock(&c.papr().events).take(mask & class::ALL).ok_or(Status::NOTHING)?;
    let fits = event.log.len().min(len as usize);
    c.ram().write(buffer.into(), &event.log[..fits])?;
    Ok(())
}

/// ( mask critical buffer length -- status ): scanning finds errors of the machine, of which there are none; warnings
/// come by interrupt.
fn event_scan(_: &mut Call) -> RtasResult {
    Err(Status::NOTHING)
}

/// ( vector information mask critical buffer length [information-high] -- status )
fn check_exception(c: &mut Call) -> RtasResult {
    hand_out(c, c.arg(2), c.arg(4), c.arg(5))
}

/// ( buffer length -- status )
fn last_error(_: &mut Call) -> RtasResult {
    Err(Status::NOTHING)
}
