//! Keeps the node's memory small: what partitions that have little to do can do without goes back to the host, and what
//! several of them have is kept once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use partition::Partition;
use partition::mem::{self, GuestRam, Pool, Scan, Shared};

use crate::profile::Profile;

/// A partition has little to do when it uses less than this part of a processor ...
const LITTLE: f64 = 0.1;
/// ... for this long.
const QUIET: Duration = Duration::from_secs(4);
/// Processor time after which a partition has made so much anew that it is worth giving back once more.
const MUCH_WORK: u64 = 500_000_000;
/// Time between turns while there is something to look at.
const TURN: Duration = Duration::from_millis(100);
/// Time that a turn may take, so that all this takes a few hundredths of a processor.
const LONGEST: Duration = Duration::from_millis(4);
/// Time between turns while there is not.
const REST: Duration = Duration::from_secs(1);
/// Longest time between two rounds through all memory.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// A partition that runs.
pub struct Tenant {
    /// It.
    pub partition: Arc<Partition>,
    /// Nanoseconds of processors that it has used.
    pub consumed: u64,
}

/// What is known of one.
struct Known {
    ram: Arc<GuestRam>,
    scan: Option<Scan>,
    seen: Instant,
    consumed: u64,
    /// Since when it has had little to do.
    quiet: Option<Instant>,
    /// What it had used when it was last trimmed.
    trimmed: Option<u64>,
    /// The round has been through it.
    done: bool,
}

impl Known {
    fn is_quiet(&self, now: Instant) -> bool {
        self.quiet.is_some_and(|since| now - since >= QUIET)
    }

    /// What it used meanwhile.
    fn look(&mut self, now: Instant, consumed: u64) {
        let time = now.saturating_duration_since(self.seen);
        if time < TURN / 2 {
            return;
        }
        let used = consumed.saturating_sub(self.consumed) as f64 / time.as_nanos() as f64;
        self.quiet = if used < LITTLE { self.quiet.or(Some(now)) } else { None };
        (self.seen, self.consumed) = (now, consumed);
    }
}

/// The keeper of a node.
pub struct Keeper {
    pool: Option<Arc<Pool>>,
    /// By partition: whether its pages may be shared.
    may_share: Vec<bool>,
    known: Vec<Option<Known>>,
    /// Memory was freed, to be given back when this is over.
    tidy: Option<Instant>,
    /// When the next round begins.
    next_round: Option<Instant>,
    pause: Duration,
    /// In this round: pages that were looked at, and that were shared or given back.
    looked: u64,
    gained: u64,
}

impl Keeper {
    /// One that has not seen anything yet.
    pub fn new(profile: &Profile) -> Self {
        let on = profile.node.share_pages.unwrap_or(true);
        let pool =
            if on { Pool::new().map_err(|e| tracing::warn!("no pages are shared: {e}")).ok() } else { None };
        Keeper {
            pool,
            may_share: profile.partitions.iter().map(|p| p.share_pages.unwrap_or(true)).collect(),
            known: profile.partitions.iter().map(|_| None).collect(),
            tidy: None,
            next_round: None,
            pause: REST,
            looked: 0,
            gained: 0,
        }
    }

    /// Pages that are shared.
    pub fn shared(&self) -> Shared {
        self.pool.as_ref().map(|p| p.shared()).unwrap_or_default()
    }

    /// Does a little; when to come again. `tenants`: the partitions, by place; those that run.
    pub fn turn(&mut self, tenants: Vec<Option<Tenant>>) -> Duration {
        let now = Instant::now();
        for (n, tenant) in tenants.into_iter().enumerate() {
            let Some(t) = tenant else {
                self.known[n] = None;
                continue;
            };
            self.see(n, &t, now);
        }
        if self.tidy.is_some_and(|t| now >= t) {
            self.tidy = None;
            mem::give_back();
        }
        if self.scan(now) { TURN } else { REST }
    }

    fn see(&mut self, n: usize, t: &Tenant, now: Instant) {
        let ram = t.partition.memory();
        if self.known[n].as_ref().is_none_or(|k| !Arc::ptr_eq(&k.ram, ram)) {
            self.known[n] = Some(Known {
                ram: ram.clone(),
                scan: None,
                seen: now,
                consumed: t.consumed,
                quiet: None,
                trimmed: None,
                done: true,
            });
        }
        let Some(k) = &mut self.known[n] else { return };
        k.look(now, t.consumed);
        if k.is_quiet(now) && k.trimmed.is_none_or(|at| t.consumed.saturating_sub(at) > MUCH_WORK) {
            k.trimmed = Some(t.consumed);
            t.partition.trim();
            self.tidy = Some(now + REST);
            // Much may be alike now that was not before.
            self.pause = REST;
            self.next_round = self.next_round.map(|r| r.min(now + REST));
        }
    }

    /// Looks through memory for a moment; whether there is more to look at.
    fn scan(&mut self, now: Instant) -> bool {
        let Some(pool) = self.pool.clone() else { return false };
        if self.next_round.is_some_and(|r| now < r) {
            return false;
        }
        for n in 0..self.known.len() {
            let Some(k) = self.known[n].as_mut().filter(|k| !k.done) else { continue };
            if !k.is_quiet(now) {
                k.done = true;
                continue;
            }
            if k.scan.is_none() {
                k.scan = Scan::new(k.ram.clone(), pool.clone());
            }
            let Some(scan) = &mut k.scan else {
                k.done = true;
                continue;
            };
            while !k.done {
                let step = scan.step();
                self.looked += step.looked;
                self.gained += step.shared + step.released;
                k.done = step.end;
                if now.elapsed() > LONGEST {
                    return true;
                }
            }
        }
        self.end_round(now, &pool)
    }

    /// All were looked at: the next round begins, at once or after a while, if there is anybody to look at.
    fn end_round(&mut self, now: Instant, pool: &Pool) -> bool {
        if self.next_round.take().is_none() && self.looked != 0 {
            self.pause =
                if self.gained * 50 > self.looked { REST } else { (self.pause * 2).min(LONGEST_PAUSE) };
            self.next_round = Some(now + self.pause);
            return false;
        }
        (self.looked, self.gained) = (0, 0);
        let (share, known) = (&self.may_share, &mut self.known);
        let mut any = false;
        for (k, _) in known.iter_mut().zip(share).filter(|(_, may)| **may) {
            let Some(k) = k.as_mut().filter(|k| k.is_quiet(now)) else { continue };
            (k.done, any) = (false, true);
        }
        if any {
            pool.new_round();
        }
        any
    }
}
