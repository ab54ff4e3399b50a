//! The time of day and the console (LoPAR 7.3.3, 7.3.5).

use devices::rtc::TimeOfDay;

use super::{Call, Row, row};
use crate::rc::{RtasResult, Status};

pub(super) const ROWS: &[Row] = &[
    row("display-character", 1, 1, display_character),
    row("get-time-of-day", 0, 8, get_time_of_day),
    row("set-time-of-day", 7, 1, set_time_of_day),
];

/// How often a character is offered to a console that has no room for it.
const ATTEMPTS: u32 = 1000;

/// ( character -- status )
fn display_character(c: &mut Call) -> RtasResult {
    let console = c.p.terminals().find(0).map_err(|_| Status::HARDWARE)?;
    let register = (c.arg(0) as u64 & 0xff) << 56;
    for _ in 0..ATTEMPTS {
        match console.put(1, [register, 0]) {
            Ok(()) => return Ok(()),
            Err(_) => std::thread::yield_now(),
        }
    }
    Err(Status::HARDWARE)
}

/// ( -- status year month day hour minute second nanosecond )
fn get_time_of_day(c: &mut Call) -> RtasResult {
    for (n, word) in c.p.rtc().get_time_of_day().to_words().into_iter().enumerate() {
        c.set(n + 1, word);
    }
    Ok(())
}

/// ( year month day hour minute second nanosecond -- status )
fn set_time_of_day(c: &mut Call) -> RtasResult {
    let words = std::array::from_fn(|n| c.arg(n));
    Ok(c.p.rtc().set_time_of_day(TimeOfDay::from_words(words))?)
}
