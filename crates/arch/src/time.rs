//! The timebase: 512 MHz from the host's monotonic clock plus an offset per partition.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Ticks per second.
pub const TB_HZ: u64 = 512_000_000;

/// The partition's clock. The timebase counts from the partition's creation plus the offset.
#[derive(Debug)]
pub struct Timebase {
    start: Instant,
    offset: AtomicU64,
}

impl Default for Timebase {
    fn default() -> Self {
        Timebase { start: Instant::now(), offset: AtomicU64::new(0) }
    }
}

impl Timebase {
    /// Now, in ticks.
    #[inline]
    pub fn now(&self) -> u64 {
        let d = self.start.elapsed();
        // 512 MHz: 0.512 ticks a nanosecond.
        let ticks = d.as_secs().wrapping_mul(TB_HZ).wrapping_add(d.subsec_nanos() as u64 * 64 / 125);
        ticks.wrapping_add(self.offset.load(Ordering::Relaxed))
    }

    /// Set the clock so that now is `tb` (restore, migration).
    pub fn set(&self, tb: u64) {
        self.offset.store(0, Ordering::Relaxed);
        let now = self.now();
        self.offset.store(tb.wrapping_sub(now), Ordering::Relaxed);
    }

    /// Host time from now until the timebase reaches `tb`; zero when it is past.
    pub fn until(&self, tb: u64) -> Duration {
        let left = tb.wrapping_sub(self.now()) as i64;
        if left <= 0 { Duration::ZERO } else { ticks(left as u64) }
    }
}

/// Host time of a number of ticks, rounded up.
pub fn ticks(n: u64) -> Duration {
    Duration::new(n / TB_HZ, ((n % TB_HZ) * 125).div_ceil(64) as u32)
}

/// Ticks of a number of nanoseconds.
pub fn of_nanos(n: u64) -> u64 {
    (u128::from(n) * 64 / 125) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_up_from_where_it_is_set() {
        let t = Timebase::default();
        t.set(1 << 40);
        let a = t.now();
        assert!(a >= 1 << 40);
        assert!(t.now() >= a);
        assert_eq!(t.until(a), Duration::ZERO);
        assert_eq!(ticks(TB_HZ), Duration::from_secs(1));
    }
}
