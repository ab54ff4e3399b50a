//! The partition's time-of-day clock (LoPAR, RTAS `get-time-of-day` and `set-time-of-day`).
//!
//! It is the host's clock plus an offset, in UTC. Dates are those of the Gregorian calendar from 1970 to
//! 9999.

use crate::rc::{RtasError, RtasResult};
use crate::{BadState, lock};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

const NANOS: i128 = 1_000_000_000;
const DAY: i64 = 86_400;
/// The first second that has no date here: the year 10000.
const END_OF_TIME: i64 = 253_402_300_800;

/// A date and time of day in the order of the words that the RTAS calls pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 1970 to 9999.
    pub year: u32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// 0 to 999,999,999.
    pub nanosecond: u32,
}

impl TimeOfDay {
    /// The words that `set-time-of-day` passes; nothing is checked yet.
    pub fn from_words([year, month, day, hour, minute, second, nanosecond]: [u32; 7]) -> Self {
        TimeOfDay { year, month, day, hour, minute, second, nanosecond }
    }

    /// The words that `get-time-of-day` returns behind its status.
    pub fn to_words(self) -> [u32; 7] {
        let TimeOfDay { year, month, day, hour, minute, second, nanosecond } = self;
        [year, month, day, hour, minute, second, nanosecond]
    }

    /// Nanoseconds since 1970, if that is a date.
    fn to_nanos(self) -> Option<i128> {
        let TimeOfDay { year, month, day, hour, minute, second, nanosecond } = self;
        let is_date = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60
            && (nanosecond as i128) < NANOS;
        if !is_date {
            return None;
        }
        let days = days_before_year(year) + (1..month).map(|m| days_in(year, m) as i64).sum::<i64>();
        let days = days + day as i64 - 1;
        let seconds = days * DAY + (hour * 3600 + minute * 60 + second) as i64;
        Some(seconds as i128 * NANOS + nanosecond as i128)
    }

    /// The date of a number of nanoseconds since 1970; what is out of range gives the nearest date.
    fn from_nanos(nanos: i128) -> Self {
        let nanos = nanos.clamp(0, END_OF_TIME as i128 * NANOS - 1);
        let seconds = (nanos / NANOS) as i64;
        let mut days = seconds / DAY;
        let in_day = (seconds % DAY) as u32;
        // An estimate that is never too late, and off by one at most.
        let mut year = 1970 + (days / 366) as u32;
        while days_before_year(year + 1) <= days {
            year += 1;
        }
        days -= days_before_year(year);
        let mut month = 1;
        while days >= days_in(year, month) as i64 {
            days -= days_in(year, month) as i64;
            month += 1;
        }
        TimeOfDay {
            year,
            month,
            day: days as u32 + 1,
            hour: in_day / 3600,
            minute: in_day / 60 % 60,
            second: in_day % 60,
            nanosecond: (nanos % NANOS) as u32,
        }
    }
}

fn is_leap(year: u32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + is_leap(year) as u32,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the start of 1970 to the start of a later year.
fn days_before_year(year: u32) -> i64 {
    let leaps = |before: i64| before / 4 - before / 100 + before / 400;
    let last = year as i64 - 1;
    (year as i64 - 1970) * 365 + leaps(last) - leaps(1969)
}

/// The time-of-day clock.
#[derive(Debug, Default)]
pub struct Rtc {
    /// Guest's time minus host's time in nanoseconds.
    offset: Mutex<i128>,
}

impl Rtc {
    /// A clock that shows the host's time.
    pub fn new() -> Self {
        Rtc::default()
    }

    /// `get-time-of-day`.
    pub fn get_time_of_day(&self) -> TimeOfDay {
        TimeOfDay::from_nanos(host_now() + *lock(&self.offset))
    }

    /// `set-time-of-day`: sets the clock; the host's clock is not touched. No date: a parameter error.
    pub fn set_time_of_day(&self, time: TimeOfDay) -> RtasResult<()> {
        let nanos = time.to_nanos().ok_or(RtasError::Parameter)?;
        *lock(&self.offset) = nanos - host_now();
        Ok(())
    }

    /// The offset. A restored clock goes on as if it had run all the time.
    pub fn save(&self) -> RtcState {
        let Rtc { offset } = self;
        let offset = *lock(offset);
        RtcState {
            version: RtcState::VERSION,
            offset_seconds: offset.div_euclid(NANOS) as i64,
            offset_nanoseconds: offset.rem_euclid(NANOS) as u32,
        }
    }

    /// Takes over a saved state.
    pub fn restore(&self, state: RtcState) -> Result<(), BadState> {
        let RtcState { version, offset_seconds, offset_nanoseconds } = state;
        if version != RtcState::VERSION || offset_nanoseconds as i128 >= NANOS {
            return Err(BadState::new("time-of-day clock", format!("version {version}")));
        }
        *lock(&self.offset) = offset_seconds as i128 * NANOS + offset_nanoseconds as i128;
        Ok(())
    }
}

/// The host's time in nanoseconds since 1970.
fn host_now() -> i128 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

/// Saved state of an [`Rtc`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcState {
    /// Format, [`RtcState::VERSION`].
    pub version: u32,
    /// Whole seconds by which the guest's clock is ahead of the host's, rounded down.
    pub offset_seconds: i64,
    /// Nanoseconds on top of those.
    pub offset_nanoseconds: u32,
}

impl RtcState {
    /// The present format.
    pub const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    fn at(words: [u32; 7]) -> Option<i128> {
        TimeOfDay::from_words(words).to_nanos()
    }

    #[test]
    fn known_dates() {
        assert_eq!(at([1970, 1, 1, 0, 0, 0, 0]), Some(0));
        assert_eq!(at([2000, 2, 29, 12, 34, 56, 7]), Some(951_827_696 * NANOS + 7));
        assert_eq!(at([2038, 1, 19, 3, 14, 8, 0]), Some((1 << 31) * NANOS));
        assert_eq!(at([2100, 3, 1, 0, 0, 0, 0]), Some(4_107_542_400 * NANOS));
        assert_eq!(at([9999, 12, 31, 23, 59, 59, 999_999_999]), Some(END_OF_TIME as i128 * NANOS - 1));
    }

    #[test]
    fn no_dates() {
        for words in [
            [1969, 12, 31, 23, 59, 59, 0],
            [10000, 1, 1, 0, 0, 0, 0],
            [2023, 2, 29, 0, 0, 0, 0],
            [2100, 2, 29, 0, 0, 0, 0],
            [2024, 0, 1, 0, 0, 0, 0],
            [2024, 13, 1, 0, 0, 0, 0],
            [2024, 4, 31, 0, 0, 0, 0],
            [2024, 4, 0, 0, 0, 0, 0],
            [2024, 4, 1, 24, 0, 0, 0],
            [2024, 4, 1, 0, 60, 0, 0],
            [2024, 4, 1, 0, 0, 60, 0],
            [2024, 4, 1, 0, 0, 0, 1_000_000_000],
            [u32::MAX; 7],
        ] {
            assert_eq!(at(words), None, "{words:?}");
            assert_eq!(Rtc::new().set_time_of_day(TimeOfDay::from_words(words)), Err(RtasError::Parameter));
        }
    }

    #[test]
    fn every_day_there_and_back() {
        for day in 0..(END_OF_TIME / DAY) {
            let nanos = (day * DAY + day % DAY) as i128 * NANOS + 1;
            assert_eq!(TimeOfDay::from_nanos(nanos).to_nanos(), Some(nanos));
        }
        let mut r = Rng::new(3);
        for _ in 0..10_000 {
            let words = std::array::from_fn(|_| r.odd() as u32);
            if let Some(nanos) = at(words) {
                assert_eq!(TimeOfDay::from_nanos(nanos).to_words(), words);
            }
        }
        assert_eq!(TimeOfDay::from_nanos(i128::MAX).to_words(), [9999, 12, 31, 23, 59, 59, 999_999_999]);
        assert_eq!(TimeOfDay::from_nanos(-1).to_words(), [1970, 1, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn set_and_get() {
        let rtc = Rtc::new();
        let host = host_now();
        let shown = rtc.get_time_of_day().to_nanos().unwrap();
        assert!(shown >= host && shown <= host_now());
        for words in [[1999, 12, 31, 23, 59, 59, 500_000_000], [2099, 6, 5, 4, 3, 2, 1]] {
            let before = host_now();
            rtc.set_time_of_day(TimeOfDay::from_words(words)).unwrap();
            let now = rtc.get_time_of_day().to_nanos().unwrap();
            let since = now - at(words).unwrap();
            assert!((0..=host_now() - before).contains(&since), "it goes on from what was set");
        }
        let other = Rtc::new();
        let json = serde_json::to_string(&rtc.save()).unwrap();
        other.restore(serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!((other.save(), other.get_time_of_day().year), (rtc.save(), 2099));
        assert_eq!(*lock(&other.offset), *lock(&rtc.offset));
        assert!(other.restore(RtcState { version: 7, ..rtc.save() }).is_err());
        // Offsets beyond all dates do no harm.
        for offset_seconds in [i64::MIN, i64::MAX] {
            other.restore(RtcState { offset_seconds, ..rtc.save() }).unwrap();
            other.get_time_of_day();
        }
    }
}
