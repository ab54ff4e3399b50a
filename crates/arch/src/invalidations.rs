//! What was invalidated lately in a partition, for processors that were elsewhere meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mmu::tlbie::TlbInvalidate;

/// Invalidations that are remembered one by one, and how many are remembered as one.
const SINGLE: u64 = 32;
/// How many times [`SINGLE`] are remembered at all.
const BLOCKS: u64 = 64;

/// The latest invalidations of a partition, counted: the number of the last one is the epoch.
///
/// Who invalidates writes it down here once, however many processors there are, and disturbs only those that run; the
/// others make up for what they missed when they enter the guest again.
#[derive(Debug, Default)]
pub struct Invalidations {
    epoch: AtomicU64,
    latest: Mutex<Latest>,
}

#[derive(Debug)]
struct Latest {
    single: [TlbInvalidate; SINGLE as usize],
    /// Joined, by blocks of [`SINGLE`] epochs.
    joined: [TlbInvalidate; BLOCKS as usize],
    /// The last that was of everything.
    everything: u64,
}

impl Default for Latest {
    fn default() -> Self {
        Latest {
            single: [TlbInvalidate::None; SINGLE as usize],
            joined: [TlbInvalidate::None; BLOCKS as usize],
            everything: 0,
        }
    }
}

/// What a processor has to drop.
#[derive(Debug, PartialEq, Eq)]
pub enum Missed {
    /// These.
    List(Vec<TlbInvalidate>),
    /// Everything, real mode too.
    Everything,
}

impl Invalidations {
    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last one.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Writes one down (`None`: everything), after the tables were changed; its number.
    pub fn add(&self, what: Option<TlbInvalidate>) -> u64 {
        let mut latest = self.lock();
        // Only who holds the lock counts up.
        let epoch = self.epoch.load(Ordering::Relaxed) + 1;
        latest.single[(epoch % SINGLE) as usize] = what.unwrap_or(TlbInvalidate::All);
        let joined = &mut latest.joined[(epoch / SINGLE % BLOCKS) as usize];
        *joined = match what.unwrap_or(TlbInvalidate::All) {
            w if epoch % SINGLE == 0 => w,
            w => joined.join(w),
        };
        if what.is_none() {
            latest.everything = epoch;
        }
        self.epoch.store(epoch, Ordering::SeqCst);
        epoch
    }

    /// What came after `seen`, at least, and the number of the last of them.
    pub fn since(&self, seen: u64) -> (u64, Missed) {
        let latest = self.lock();
        let epoch = self.epoch.load(Ordering::Relaxed);
        let missed = epoch - seen;
        let mut list = Vec::new();
        if latest.everything > seen {
            return (epoch, Missed::Everything);
        } else if missed <= SINGLE {
            for n in seen + 1..=epoch {
                let what = latest.single[(n % SINGLE) as usize];
                if !list.iter().any(|&l: &TlbInvalidate| l.join(what) == l) {
                    list.push(what);
                }
            }
        } else if missed <= (BLOCKS - 1) * SINGLE {
            let blocks = (seen + 1) / SINGLE..=epoch / SINGLE;
            let joined = blocks.map(|b| latest.joined[(b % BLOCKS) as usize]);
            list.push(joined.fold(TlbInvalidate::None, TlbInvalidate::join));
        } else {
            list.push(TlbInvalidate::All);
        }
        (epoch, Missed::List(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TlbInvalidate::{All, Page, Pid};

    fn page(n: u64) -> TlbInvalidate {
        Page { ea: n << 12, shift: 12, pid: 3 }
    }

    #[test]
    fn few_are_told_one_by_one_and_more_as_one() {
        let all = Invalidations::default();
        assert_eq!(all.since(0), (0, Missed::List(vec![])));
        for n in 0..SINGLE {
            assert_eq!(all.add(Some(page(n))), n + 1);
        }
        assert_eq!(all.since(0), (SINGLE, Missed::List((0..SINGLE).map(page).collect())));
        assert_eq!(all.since(SINGLE - 2), (SINGLE, Missed::List(vec![page(SINGLE - 2), page(SINGLE - 1)])));
        all.add(Some(page(1)));
        assert_eq!(all.since(0), (SINGLE + 1, Missed::List(vec![Pid(3)])));
        assert_eq!(all.since(SINGLE + 1), (SINGLE + 1, Missed::List(vec![])));
        all.add(Some(page(1)));
        assert_eq!(all.since(SINGLE), (SINGLE + 2, Missed::List(vec![page(1)])), "once is enough");
    }

    #[test]
    fn everything_is_told_as_that() {
        let all = Invalidations::default();
        all.add(Some(page(1)));
        all.add(None);
        all.add(Some(page(2)));
        assert_eq!(all.since(0), (3, Missed::Everything));
        assert_eq!(all.since(1), (3, Missed::Everything));
        assert_eq!(all.since(2), (3, Missed::List(vec![page(2)])));
        for n in 0..2 * BLOCKS * SINGLE {
            all.add(Some(page(n)));
        }
        assert_eq!(all.since(1).1, Missed::Everything, "however long ago");
        assert_eq!(all.since(2).1, Missed::List(vec![All]));
    }

    /// Whatever was missed is dropped by what is told, wherever one stopped looking.
    #[test]
    fn nothing_is_missed() {
        let what = |n: u64| match n % 97 {
            0 => Pid(n % 5),
            1 => Page { ea: n << 12, shift: 12, pid: 0 },
            2 => TlbInvalidate::Segment { ea: n << 28, shift: 28 },
            _ => page(n),
        };
        let all = Invalidations::default();
        let last = 3 * BLOCKS * SINGLE + 5;
        for n in 1..=last {
            all.add(Some(what(n)));
            for seen in
                [n - 1, n.saturating_sub(SINGLE), n.saturating_sub(n % 1009), n.saturating_sub(n % 3001)]
            {
                let (epoch, Missed::List(list)) = all.since(seen) else { panic!("everything") };
                assert_eq!(epoch, n);
                for m in seen + 1..=n {
                    assert!(list.iter().any(|l| l.join(what(m)) == *l), "{m} of {seen}..={n}: {list:?}");
                }
            }
        }
    }
}
