//! The time of day and the operator panel (LoPAR 7.3.3, 7.3.5).

use devices::rtc::TimeOfDay;

use super::{Call, Row, row};
use crate::rc::RtasResult;

pub(super) const ROWS: &[Row] = &[
    row("display-character", 1, 1, display_character),
    row("get-time-of-day", 0, 8, get_time_of_day),
    row("set-time-of-day", 7, 1, set_time_of_day),
];

/// ( character -- status )
///
/// The operator panel, not the console: its text goes to the log, so that the console's bytes stay the guest's own.
fn display_character(c: &mut Call) -> RtasResult {
    tracing::trace!(target: "panel", character = %char::from(c.arg(0) as u8).escape_default());
    Ok(())
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
