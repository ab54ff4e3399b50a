//! Which real memory the client has claimed (IEEE 1275-1994 section 6.3.2.4).

use serde::{Deserialize, Serialize};

/// Most separate claimed ranges; a claim beyond that fails.
pub const MAX_RANGES: usize = 1024;
/// Granule of the list of available memory, in bytes.
pub const PAGE: u64 = 0x1000;

/// Claimed memory below a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ClaimsState", into = "ClaimsState")]
pub struct Claims {
    /// First address that cannot be claimed.
    limit: u64,
    /// Claimed ranges, start and end, in order, not touching each other, not empty, below the limit.
    ranges: Vec<(u64, u64)>,
}

/// The saved form of [`Claims`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimsState {
    limit: u64,
    ranges: Vec<(u64, u64)>,
}

impl From<Claims> for ClaimsState {
    fn from(claims: Claims) -> Self {
        let Claims { limit, ranges } = claims;
        ClaimsState { limit, ranges }
    }
}

impl TryFrom<ClaimsState> for Claims {
    type Error = &'static str;

    fn try_from(state: ClaimsState) -> Result<Self, Self::Error> {
        let ClaimsState { limit, ranges } = state;
        let in_order = ranges.windows(2).all(|w| w[0].1 < w[1].0);
        let sane = ranges.iter().all(|r| r.0 < r.1 && r.1 <= limit);
        if !in_order || !sane || ranges.len() > MAX_RANGES {
            return Err("saved list of claimed memory is inconsistent");
        }
        Ok(Claims { limit, ranges })
    }
}

impl Claims {
    /// Nothing claimed; memory ends at `limit`.
    pub fn new(limit: u64) -> Self {
        Claims { limit, ranges: Vec::new() }
    }

    /// First address that cannot be claimed.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Claims exactly this range. `false` if a part of it is taken or does not exist.
    pub fn claim_at(&mut self, start: u64, size: u64) -> bool {
        let Some(end) = start.checked_add(size) else { return false };
        if size == 0 || end > self.limit {
            return false;
        }
        let index = self.ranges.partition_point(|r| r.1 <= start);
        if self.ranges.get(index).is_some_and(|r| r.0 < end) {
            return false;
        }
        let joins_before = index > 0 && self.ranges[index - 1].1 == start;
        let joins_after = self.ranges.get(index).is_some_and(|r| r.0 == end);
        match (joins_before, joins_after) {
            (true, true) => {
                self.ranges[index - 1].1 = self.ranges[index].1;
                self.ranges.remove(index);
            }
            (true, false) => self.ranges[index - 1].1 = end,
            (false, true) => self.ranges[index].0 = start,
            (false, false) if self.ranges.len() >= MAX_RANGES => return false,
            (false, false) => self.ranges.insert(index, (start, end)),
        }
        true
    }

    /// Claims what is free of a range: for memory the platform has used already.
    pub fn reserve(&mut self, start: u64, size: u64) {
        let end = start.saturating_add(size).min(self.limit);
        let wanted: Vec<(u64, u64)> =
            self.free().map(|(s, e)| (s.max(start), e.min(end))).filter(|(s, e)| s < e).collect();
        for (s, e) in wanted {
            self.claim_at(s, e - s);
        }
    }

    /// Claims `size` bytes at the lowest free multiple of `align`. An alignment that is no power of two is
    /// rounded up to one.
    pub fn claim(&mut self, size: u64, align: u64) -> Option<u64> {
        let align = align.max(1).checked_next_power_of_two()?;
        let start = self.free().find_map(|(s, e)| {
            let at = s.checked_next_multiple_of(align)?;
            (at.checked_add(size)? <= e).then_some(at)
        })?;
        self.claim_at(start, size).then_some(start)
    }

    /// Frees a range, all of which has to be claimed. `false` if it is not, or the list would grow too long.
    pub fn release(&mut self, start: u64, size: u64) -> bool {
        let Some(end) = start.checked_add(size) else { return false };
        let index = self.ranges.partition_point(|r| r.1 <= start);
        let Some(&(s, e)) = self.ranges.get(index) else { return false };
        if size == 0 || s > start || e < end {
            return false;
        }
        match (s == start, e == end) {
            (true, true) => drop(self.ranges.remove(index)),
            (true, false) => self.ranges[index].0 = end,
            (false, true) => self.ranges[index].1 = start,
            (false, false) if self.ranges.len() >= MAX_RANGES => return false,
            (false, false) => {
                self.ranges[index].1 = start;
                self.ranges.insert(index + 1, (end, e));
            }
        }
        true
    }

    /// The free ranges, start and end, in order.
    pub fn free(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let starts = std::iter::once(0).chain(self.ranges.iter().map(|r| r.1));
        let ends = self.ranges.iter().map(|r| r.0).chain(std::iter::once(self.limit));
        starts.zip(ends).filter(|(s, e)| s < e)
    }

    /// The free ranges in whole pages, as start and size.
    pub fn available(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.free().filter_map(|(s, e)| {
            let s = s.checked_next_multiple_of(PAGE)?;
            let e = e & !(PAGE - 1);
            (s < e).then(|| (s, e - s))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_release() {
        let mut c = Claims::new(0x10_0000);
        assert!(c.claim_at(0, 0x4000));
        assert!(!c.claim_at(0x3fff, 2) && !c.claim_at(0x8000, 0) && !c.claim_at(0xf_ffff, 2));
        assert!(!c.claim_at(u64::MAX, 2));
        assert!(c.claim_at(0x8000, 0x1000) && c.claim_at(0x4000, 0x4000));
        assert_eq!(c.ranges, [(0, 0x9000)]);
        assert!(c.claim_at(0xa000, 0x800));
        assert_eq!(c.available().collect::<Vec<_>>(), [(0x9000, 0x1000), (0xb000, 0xf_5000)]);
        assert_eq!(c.claim(0x1000, 0x1000), Some(0x9000));
        assert_eq!(c.claim(0x1000, 0x1_0000), Some(0x1_0000));
        assert_eq!(c.claim(0x10, 3), Some(0xa800));
        assert_eq!(c.claim(0x10_0000, 1), None);
        assert_eq!(c.claim(1, u64::MAX), None);
        assert!(!c.release(0x1_0800, 0x1000) && !c.release(0x2_0000, 1) && !c.release(0, 0));
        assert!(c.release(0x1_0400, 0x400));
        assert!(c.ranges.contains(&(0x1_0000, 0x1_0400)) && c.ranges.contains(&(0x1_0800, 0x1_1000)));
        c.reserve(0x1_0000, 0x1_0000);
        assert!(c.ranges.contains(&(0x1_0000, 0x2_0000)));
        c.reserve(0xf_0000, u64::MAX);
        assert!(c.ranges.contains(&(0xf_0000, 0x10_0000)));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut c = Claims::new(1 << 30);
        let done = (0..5000).filter(|i| c.claim_at(i * 0x2000, 0x1000)).count();
        assert_eq!(done, MAX_RANGES);
        assert!(!c.release(0x100, 0x100), "a hole would make another range");
        assert!(c.release(0, 0x1000));
    }

    #[test]
    fn random_against_a_bitmap() {
        let mut c = Claims::new(256);
        let mut map = [false; 256];
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (start, size) = ((seed >> 40) % 256, 1 + (seed >> 50) % 16);
            let range = start as usize..((start + size) as usize).min(256);
            let inside = start + size <= 256;
            if seed >> 63 == 0 {
                let want = inside && !map[range.clone()].contains(&true);
                assert_eq!(c.claim_at(start, size), want);
                if want {
                    map[range].fill(true);
                }
            } else {
                let want = inside && !map[range.clone()].contains(&false);
                assert_eq!(c.release(start, size), want);
                if want {
                    map[range].fill(false);
                }
            }
            let free: u64 = c.free().map(|(s, e)| e - s).sum();
            assert_eq!(free as usize, map.iter().filter(|b| !**b).count());
        }
        let saved = serde_json::to_string(&c).unwrap();
        assert_eq!(serde_json::from_str::<Claims>(&saved).unwrap(), c);
        assert!(serde_json::from_str::<Claims>(r#"{"limit":9,"ranges":[[4,8],[1,2]]}"#).is_err());
        assert!(serde_json::from_str::<Claims>(r#"{"limit":9,"ranges":[[4,10]]}"#).is_err());
    }
}
