//! What translated code counts, each processor for itself: how often backward branches are taken, and what regions of the
//! second tier do. (Code is common to all; counters that several write would travel between the host's caches.)

/// Most exits that count.
pub const HEATS: usize = 1 << 19;

/// Most regions between two times at which everything is forgotten.
pub const REGIONS: usize = 1 << 13;

/// Words of one region's.
const REGION: usize = 2 * (5 + WENT);

/// Targets kept of branches to the count register that leave a region.
pub const WENT: usize = 32;

/// What is counted of a region, as byte offsets in its part. Each is a doubleword.
#[cfg(feature = "tier2")]
pub mod region {
    /// Entries.
    pub const ENTRIES: i32 = 0;
    /// Instructions done in it.
    pub const INSTRUCTIONS: i32 = 8;
    /// Exits by branches to the count register.
    pub const COMPUTED: i32 = 16;
    /// Accesses that looked up another page than their windows showed.
    pub const MISSED: i32 = 24;
    /// Where the last ones went.
    pub const WENT: i32 = 40;
    /// A word to which [`STEP`] is added at each entry: it is judged when that carries. Behind it what was seen of
    /// [`MISSED`].
    pub const TRIAL: i32 = 32;
    /// See there.
    pub const STEP: i32 = 1 << 21;
    /// Entries from one time that it is judged to the next.
    pub const ENTRIES_UNTIL: u64 = (1 << 32) / STEP as u64;
    /// It is judged at the next entry, too, whenever so many accesses more looked up another page: a loop of many turns is
    /// seldom entered.
    pub const MISSED_UNTIL: u32 = 1 << 14;
}

/// The counters of one processor, all zero at first.
pub struct Counts {
    /// Those of branches, which count down to zero; then the regions'.
    words: Box<[u32]>,
    /// How many of the former were given a start.
    #[cfg(feature = "tier2")]
    begun: usize,
    /// Regions there may be.
    #[cfg(feature = "tier2")]
    regions: u32,
}

impl Counts {
    /// Nothing counted. What is not used costs no memory.
    pub fn new() -> Self {
        Counts {
            words: vec![0; HEATS + REGIONS * REGION].into(),
            #[cfg(feature = "tier2")]
            begun: 0,
            #[cfg(feature = "tier2")]
            regions: 0,
        }
    }

    /// For translated code.
    pub fn address(&mut self) -> u64 {
        self.words.as_mut_ptr() as u64
    }

    /// Let the first `n` counters of branches that have no start yet begin at `start`; there are `regions` by now.
    #[cfg(feature = "tier2")]
    pub fn begin(&mut self, n: usize, start: u32, regions: u32) {
        self.regions = regions;
        if let Some(new) = self.words.get_mut(self.begun..n.min(HEATS)) {
            new.fill(start);
            self.begun += new.len();
        }
    }

    /// Where the counter of a branch is, from [`Counts::address`].
    pub fn heat_at(n: usize) -> i32 {
        4 * n as i32
    }
}

#[cfg(feature = "tier2")]
impl Counts {
    /// Where a region's counters are, from [`Counts::address`].
    pub fn region_at(n: u32) -> i32 {
        4 * (HEATS + n as usize * REGION) as i32
    }

    /// One of them.
    pub fn region(&self, n: u32, which: i32) -> u64 {
        let at = Self::region_at(n) as usize / 4 + which as usize / 4;
        let word = |k: usize| self.words.get(at + k).copied().unwrap_or(0) as u64;
        word(0) | word(1) << 32
    }

    /// Where it was left to by branches to the count register; 0: nowhere yet.
    pub fn went(&self, n: u32) -> impl Iterator<Item = u64> + '_ {
        (0..WENT).map(move |k| self.region(n, region::WENT + 8 * k as i32)).filter(|&w| w != 0)
    }

    /// Have the region whose counters are at `address` judged at its next entry if that is due, see
    /// [`region::MISSED_UNTIL`]. An address from before everything was forgotten is none of a region's, or of another's.
    pub fn look_at(&mut self, address: u64) {
        let Some(at) = address.checked_sub(self.address() + 4 * HEATS as u64) else { return };
        let (n, off) = (at / (4 * REGION as u64), at % (4 * REGION as u64));
        if off != 0 || n >= self.regions.into() {
            return;
        }
        let missed = self.region(n as u32, region::MISSED) as u32;
        let trial = (Self::region_at(n as u32) + region::TRIAL) as usize / 4;
        if let Some([trial, seen]) = self.words.get_mut(trial..trial + 2)
            && missed.wrapping_sub(*seen) >= region::MISSED_UNTIL
        {
            (*trial, *seen) = (region::STEP.wrapping_neg() as u32, missed);
        }
    }

    /// Entries of all regions.
    pub fn entries(&self) -> u64 {
        (0..self.regions).map(|k| self.region(k, region::ENTRIES)).sum()
    }
}

#[cfg(all(test, feature = "tier2"))]
mod tests {
    use super::*;

    #[test]
    fn many_misses_make_a_region_due() {
        let mut c = Counts::new();
        c.begin(0, 1, 2);
        let word = |n: u32, which: i32| (Counts::region_at(n) + which) as usize / 4;
        let at = |c: &mut Counts, n: u32| c.address() + Counts::region_at(n) as u64;
        let trial = |c: &Counts, n: u32| c.words[word(n, region::TRIAL)];
        c.words[word(1, region::TRIAL)] = 5;
        for (missed, due) in [(100, false), (20_000, true), (30_000, false), (40_000, true)] {
            c.words[word(1, region::TRIAL)] = 5;
            c.words[word(1, region::MISSED)] = missed;
            let address = at(&mut c, 1);
            c.look_at(address);
            let (next, carry) = trial(&c, 1).overflowing_add(region::STEP as u32);
            assert_eq!((carry, next == 0), (due, due), "{missed} misses");
        }
        // No region's: of counters elsewhere, between two, and behind the last.
        c.words[word(2, region::MISSED)] = 20_000;
        for address in [0, 8, at(&mut c, 0) - 8, at(&mut c, 1) + 8, at(&mut c, 2), u64::MAX] {
            let before = c.words.clone();
            c.look_at(address);
            assert!(c.words == before, "{address:#x}");
        }
        assert_eq!(trial(&c, 0), 0);
    }
}
