//! The scheduler as a value.
//!
//! Time is cut into windows of 10 ms. In each, a partition that shares processors has a budget: its entitlement, which
//! is used or lost. What it can still use of it is *promised* to it, at the start of the window or when it has
//! something to do: as much as is there after what was promised to others before. So whoever comes late takes nothing
//! from anybody, and since all entitlements together fit into the pool, everybody is promised all of it at the start
//! of a window. Promised time goes first. It is enough to run any of those who wait, until one has no more time than it
//! was promised: then that one goes before all others. What is left is surplus, by weight, for those who may have it.
//!
//! A host has other things to do: who was told to leave leaves late, and nobody looks at the clock for a while. What
//! somebody has had meanwhile that others were promised is a debt; what those were not given is owed to them. Both are
//! part of the budgets of the windows that follow, owed time after the entitlement of all, until they are made up for.
//! What nobody was promised is surplus, however it was had, and makes whoever had it wait while others have theirs.
//!
//! A dispatch unit is a virtual core. Its threads have the processor together.

use std::collections::BTreeMap;

/// Nanoseconds.
pub type Ns = u64;

/// Length of a dispatch window.
pub const WINDOW: Ns = 10_000_000;
/// Hundredths of a whole processor.
pub const WHOLE: u32 = 100;
/// Least entitlement of a virtual core, in hundredths.
pub const LEAST_ENTITLEMENT: u32 = 5;
/// Most threads of a core.
pub const MOST_THREADS: u32 = 8;

/// Nobody is put on a processor for less than this if it can be helped.
const LEAST_SLICE: Ns = 200_000;
/// Whoever has no more than this left to spare has nothing left to spare.
const GRAIN: Ns = 64;
/// Windows' worth of entitlement that are kept of what somebody ran too long or was not given.
const MEMORY: i64 = 100;
/// Windows' worth of surplus that somebody may be behind its share: enough for what a busy host keeps from it, and little
/// enough for whoever has too few cores to use its share.
const SAVED: u64 = 16;
/// Virtual time runs so much faster than time, divided by the weight.
const SCALE: u128 = 1 << 16;

/// How a partition has its processors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Out of the pool.
    Shared {
        /// Hundredths of a processor in each window.
        entitled: u32,
        /// Weight (1 to 255) by which it shares what others leave; `None`: capped, it never has more than it is
        /// entitled to. Weight 0 is as good as capped.
        weight: Option<u8>,
    },
    /// A processor for each core.
    Dedicated {
        /// Lends a processor to the pool while its core has nothing to do.
        donate: bool,
    },
}

/// What a partition is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Virtual cores.
    pub cores: u32,
    /// Threads of each, 1 to 8.
    pub threads: u32,
    /// Where from.
    pub sharing: Sharing,
}

/// A partition that was added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartId(u32);

/// A thread of a virtual core, a virtual processor as the guest counts them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Thread {
    /// Its partition.
    pub part: PartId,
    /// Its number: `core * threads + thread`.
    pub index: u32,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The thread runs from now on; its time counts.
    Run(Thread),
    /// The thread is to leave its processor; [`Dispatcher::left`] tells that it has. Its time counts until then.
    Leave(Thread),
}

impl Order {
    /// Who it is for.
    pub fn thread(self) -> Thread {
        match self {
            Order::Run(t) | Order::Leave(t) => t,
        }
    }
}

/// Why something is impossible.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Cores or threads that no partition has.
    #[error(
        "{cores} cores of {threads} threads: a partition has at least one core, and cores of 1 to 8 threads"
    )]
    Shape {
        /// Cores asked for.
        cores: u32,
        /// Threads asked for.
        threads: u32,
    },
    /// Too little or too much for its cores.
    #[error("entitlement {entitled}: {cores} virtual cores take {least} to {most} hundredths")]
    Entitlement {
        /// Hundredths asked for.
        entitled: u32,
        /// Cores that are to have them.
        cores: u32,
        /// Fewest.
        least: u32,
        /// Most.
        most: u32,
    },
    /// More than there is.
    #[error("{wanted} hundredths of a processor are wanted and {free} are free")]
    Exhausted {
        /// Hundredths asked for.
        wanted: u32,
        /// Hundredths there are.
        free: u32,
    },
}

/// What a partition has had since it was added; nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// On processors, by cores.
    pub consumed: Ns,
    /// Of that beyond its entitlement.
    pub surplus: Ns,
    /// Cores had something to do and no processor.
    pub waited: Ns,
    /// Lent to the pool by idle dedicated cores.
    pub donated: Ns,
    /// How often a core was put on a processor.
    pub dispatches: u64,
}

/// The pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolUsage {
    /// Processors that are shared.
    pub processors: u32,
    /// Time of shared processors that nobody had; nanoseconds.
    pub idle: Ns,
    /// Hundredths that are entitled to nobody.
    pub free: u32,
}

type CoreId = (u32, u32);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Conferred {
    To(u32),
    All,
}

#[derive(Clone, Copy, Default, Debug)]
struct ThreadTime {
    consumed: Ns,
    waited: Ns,
}

#[derive(Default, Debug)]
struct Core {
    /// Threads that have something to do.
    ready: u8,
    /// Threads that are on the processor.
    inside: u8,
    /// Threads that wait for another core to be dispatched.
    conferring: u8,
    conferred: Option<Conferred>,
    /// The slot it has.
    slot: Option<usize>,
    /// It was told to leave the slot.
    leaving: bool,
    /// Somebody conferred to it.
    favoured: bool,
    slice_end: Ns,
    /// The slice was given while nobody waited.
    open: bool,
    /// In this window.
    used: Ns,
    last_slot: Option<usize>,
    threads: [ThreadTime; MOST_THREADS as usize],
}

impl Core {
    fn wants(&self) -> bool {
        self.ready & !self.conferring != 0
    }
    fn runs(&self) -> bool {
        self.slot.is_some() && !self.leaving
    }
}

#[derive(Debug)]
struct Part {
    share: Share,
    /// Takes effect with the next window.
    next: Option<Sharing>,
    cores: Vec<Core>,
    /// Entitlement left in this window; negative: it ran too long.
    budget: i64,
    /// What it can count on of that.
    promise: Ns,
    /// What of its promise there is no time for any more, because others were slow to leave.
    late: Ns,
    /// What of the budget it was owed when the window began; that is used last.
    credit: Ns,
    /// What it could have used when the window began, was owed or entitled to, and was not promised.
    owed: Ns,
    /// Surplus it has had in this window after it was to leave.
    over: Ns,
    /// Cores that had something to do when promises were made last.
    wanted: u64,
    /// Order in which promises were made.
    admitted: Option<u64>,
    /// Surplus it has had, by weight.
    vtime: u128,
    /// It has had something to do since its virtual time was last looked after.
    contending: bool,
    usage: Usage,
}

impl Part {
    /// Nanoseconds of a window.
    fn entitled(&self) -> i64 {
        match self.share.sharing {
            Sharing::Shared { entitled, .. } => i64::from(entitled) * (WINDOW / u64::from(WHOLE)) as i64,
            Sharing::Dedicated { .. } => 0,
        }
    }
    fn weight(&self) -> Option<u128> {
        match self.share.sharing {
            Sharing::Shared { weight: Some(w), .. } if w != 0 => Some(w.into()),
            _ => None,
        }
    }
    fn is_dedicated(&self) -> bool {
        matches!(self.share.sharing, Sharing::Dedicated { .. })
    }
    fn wanting(&self) -> u64 {
        self.cores.iter().filter(|c| c.wants()).count() as u64
    }
    fn running(&self) -> u64 {
        self.cores.iter().filter(|c| c.slot.is_some()).count() as u64
    }
    /// Charges time, of which the last `over` went by after the slice had ended or the core was told to leave.
    fn charge(&mut self, dt: Ns, over: Ns) {
        self.usage.consumed += dt;
        if self.is_dedicated() {
            return;
        }
        self.promise = self.promise.saturating_sub(dt);
        let within = dt.min(self.budget.max(0) as u64);
        let rest = dt - within;
        self.budget -= within as i64;
        self.usage.surplus += rest;
        match self.weight() {
            Some(w) => {
                self.over += rest.min(over);
                self.vtime += u128::from(rest) * SCALE / w;
            }
            // It was slow to leave.
            None => self.budget -= rest as i64,
        }
    }

    /// Makes surplus that others had been promised a debt.
    fn owe(&mut self, debt: Ns) {
        let Some(w) = self.weight() else { return };
        self.budget -= debt as i64;
        self.usage.surplus -= debt;
        self.vtime = self.vtime.saturating_sub(u128::from(debt) * SCALE / w);
    }

    /// What of the budget remains when the window ends.
    fn kept(&self) -> i64 {
        self.budget.min((self.promise + self.late + self.owed) as i64)
    }

    /// What it was to be given in this window and was not.
    fn missed(&self) -> Ns {
        (self.budget.max(0) as u64).min(self.promise + self.late + self.owed.saturating_sub(self.credit))
    }

    /// What of the budget it is entitled to in this window and cannot lose to others.
    fn base(&self) -> Ns {
        (self.budget.max(0) as u64).saturating_sub(self.credit)
    }
}

/// Who goes first. The lower the earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    /// Has a processor of its own.
    Own,
    /// Has no more time than it was promised.
    Must,
    /// Was promised time.
    Promised,
    /// Entitled to more than was there to be promised.
    Entitled,
    /// Gets what is left.
    Surplus,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rank {
    class: Class,
    /// 0 conferred to, 1 running and not for long enough yet, 2 others.
    turn: u8,
    order: u128,
    used: Ns,
    core: CoreId,
}

/// The scheduler of a node.
#[derive(Debug)]
pub struct Dispatcher {
    /// What each processor runs.
    slots: Vec<Option<CoreId>>,
    parts: BTreeMap<u32, Part>,
    next_id: u32,
    now: Ns,
    window_end: Ns,
    windows: u64,
    admissions: u64,
    pool_idle: Ns,
    unserved: Ns,
    orders: Vec<Order>,
}

impl Dispatcher {
    /// A node with this many processors (at least one), at time `now`.
    pub fn new(processors: u32, now: Ns) -> Self {
        Dispatcher {
            slots: vec![None; processors.max(1) as usize],
            parts: BTreeMap::new(),
            next_id: 0,
            now,
            window_end: now + WINDOW,
            windows: 0,
            admissions: 0,
            pool_idle: 0,
            unserved: 0,
            orders: Vec::new(),
        }
    }

    // ---- partitions ----

    /// Adds a partition; none of its threads has anything to do yet.
    pub fn add(&mut self, now: Ns, share: Share) -> Result<PartId, Refused> {
        self.advance(now);
        check(&share)?;
        self.fits(need(&share), None)?;
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let left = self.window_end - now;
        let mut part = Part {
            share,
            next: None,
            cores: (0..share.cores).map(|_| Core::default()).collect(),
            budget: 0,
            promise: 0,
            late: 0,
            credit: 0,
            owed: 0,
            over: 0,
            wanted: 0,
            admitted: None,
            vtime: 0,
            contending: false,
            usage: Usage::default(),
        };
        // It is entitled to its part of what is left of the window.
        part.budget = (part.entitled() as u64 * left / WINDOW) as i64;
        self.parts.insert(id, part);
        Ok(PartId(id))
    }

    /// Takes a partition away, with whatever of it is running.
    pub fn remove(&mut self, now: Ns, id: PartId) {
        self.account(now);
        self.parts.remove(&id.0);
        self.slots.iter_mut().filter(|s| s.is_some_and(|c| c.0 == id.0)).for_each(|s| *s = None);
        self.choose();
    }

    /// Gives a partition another entitlement and weight, with the next window.
    pub fn change(&mut self, now: Ns, id: PartId, entitled: u32, weight: Option<u8>) -> Result<(), Refused> {
        self.advance(now);
        let Some(p) = self.parts.get(&id.0) else { return Ok(()) };
        if p.is_dedicated() {
            return Ok(());
        }
        let sharing = Sharing::Shared { entitled, weight };
        let share = Share { sharing, ..p.share };
        check(&share)?;
        self.fits(need(&share), Some(id))?;
        if let Some(p) = self.parts.get_mut(&id.0) {
            p.next = Some(sharing);
        }
        Ok(())
    }

    /// What a partition is given now, or from the next window on if that was changed.
    pub fn share(&self, id: PartId) -> Option<Share> {
        self.parts.get(&id.0).map(|p| Share { sharing: p.next.unwrap_or(p.share.sharing), ..p.share })
    }

    fn fits(&self, wanted: u32, instead_of: Option<PartId>) -> Result<(), Refused> {
        let others = self.parts.iter().filter(|(n, _)| instead_of.is_none_or(|i| i.0 != **n));
        let taken: u32 = others
            .map(|(_, p)| need(&p.share).max(p.next.map_or(0, |s| need(&Share { sharing: s, ..p.share }))))
            .sum();
        let free = (self.slots.len() as u32 * WHOLE).saturating_sub(taken);
        if wanted > free { Err(Refused::Exhausted { wanted, free }) } else { Ok(()) }
    }

    // ---- threads ----

    /// The thread has something to do: it was started, an interrupt came, or another prodded it.
    pub fn wake(&mut self, now: Ns, t: Thread) {
        self.account(now);
        if let Some((core, bit)) = self.core(t) {
            core.ready |= bit;
            core.conferring &= !bit;
        }
        self.choose();
    }

    /// The thread has nothing to do until it is woken. It is off its processor.
    pub fn cede(&mut self, now: Ns, t: Thread) {
        self.account(now);
        if let Some((core, bit)) = self.core(t) {
            core.ready &= !bit;
            core.conferring &= !bit;
        }
        self.out(t);
        self.choose();
    }

    /// The thread, which runs, lets another of its partition go first, or all others. `false`: there is nobody who
    /// waits, and it goes on. Else it is off its processor, until the other has been dispatched, it is prodded, or the
    /// window ends.
    pub fn confer(&mut self, now: Ns, t: Thread, to: Option<u32>) -> bool {
        self.account(now);
        let Some(part) = self.parts.get_mut(&t.part.0) else { return false };
        let threads = part.share.threads;
        let me = t.index / threads;
        let waits = |n: u32, c: &Core| n != me && c.wants() && !c.runs();
        let found = match to.map(|to| to / threads) {
            None => part.cores.iter().enumerate().any(|(n, c)| waits(n as u32, c)).then_some(Conferred::All),
            Some(to) => part.cores.get(to as usize).filter(|c| waits(to, c)).map(|_| Conferred::To(to)),
        };
        if let (Some(c), Some((core, bit))) = (found, self.core(t)) {
            core.conferring |= bit;
            core.conferred = Some(c);
            // The other threads of its core have not given anything away.
            let gives = core.inside & !bit == 0;
            self.out(t);
            let part = self.parts.get_mut(&t.part.0);
            if let (Conferred::To(n), true, Some(part)) = (c, gives, part) {
                part.cores[n as usize].favoured = true;
            }
        }
        self.choose();
        found.is_some()
    }

    /// The thread is off its processor, as it was told, or because it has something else to do; it still wants to run.
    pub fn left(&mut self, now: Ns, t: Thread) {
        self.account(now);
        self.out(t);
        self.choose();
    }

    /// Whether the thread has a processor and need not leave it.
    pub fn may_run(&self, t: Thread) -> bool {
        self.core_ref(t).is_some_and(|(core, bit)| core.inside & bit != 0 && !core.leaving)
    }

    /// Whether the thread counts as being on a processor, perhaps to leave it.
    pub fn is_inside(&self, t: Thread) -> bool {
        self.core_ref(t).is_some_and(|(core, bit)| core.inside & bit != 0)
    }

    fn core(&mut self, t: Thread) -> Option<(&mut Core, u8)> {
        let part = self.parts.get_mut(&t.part.0)?;
        let (core, bit) = (t.index / part.share.threads, 1u8 << (t.index % part.share.threads));
        Some((part.cores.get_mut(core as usize)?, bit))
    }

    fn core_ref(&self, t: Thread) -> Option<(&Core, u8)> {
        let part = self.parts.get(&t.part.0)?;
        let (core, bit) = (t.index / part.share.threads, 1u8 << (t.index % part.share.threads));
        Some((part.cores.get(core as usize)?, bit))
    }

    /// Takes a thread off; the last one frees the processor.
    fn out(&mut self, t: Thread) {
        let Some((core, bit)) = self.core(t) else { return };
        core.inside &= !bit;
        if core.inside != 0 {
            return;
        }
        let Some(slot) = core.slot.take() else { return };
        core.last_slot = Some(slot);
        core.leaving = false;
        core.favoured = false;
        self.slots[slot] = None;
    }

    // ---- time ----

    /// Does what is due by `now`. Times never go back.
    pub fn advance(&mut self, now: Ns) {
        self.account(now);
        self.choose();
    }

    /// When [`Self::advance`] has something to do next, if nothing else happens before.
    pub fn next_event(&self) -> Ns {
        let left = self.window_end - self.now;
        let mut next = left;
        for part in self.parts.values() {
            let (wanting, running) = (part.wanting(), part.running());
            for c in part.cores.iter().filter(|c| c.runs()) {
                if c.slice_end > self.now {
                    next = next.min(c.slice_end - self.now);
                }
            }
            if part.is_dedicated() {
                continue;
            }
            for n in [part.promise, part.budget.max(0) as u64] {
                if running != 0 && n != 0 {
                    next = next.min(n.div_ceil(running));
                }
            }
            if part.promise != 0 && wanting > running {
                let spare = (wanting * left).saturating_sub(part.promise + GRAIN);
                if spare != 0 {
                    next = next.min(spare / (wanting - running));
                }
            }
        }
        self.now + next.max(1)
    }

    /// What is to be done since the last call, in order.
    pub fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// Charges time until `now`, window by window.
    fn account(&mut self, now: Ns) {
        let now = now.max(self.now);
        if now >= self.window_end && self.is_idle() {
            self.pass_idle(now);
        }
        // The host slept: what nobody saw is not made up for.
        let lost = (now - self.now) / WINDOW;
        if lost > MEMORY as u64 {
            let skip = (lost - MEMORY as u64) * WINDOW;
            self.now += skip;
            self.window_end += skip;
        }
        while now >= self.window_end {
            self.charge(self.window_end);
            self.next_window();
        }
        self.charge(now);
    }

    /// Whether nobody has anything to do: then nothing happens before somebody is woken.
    pub fn is_idle(&self) -> bool {
        let asleep = |p: &Part| p.cores.iter().all(|c| c.ready == 0 && c.slot.is_none());
        self.parts.values().all(asleep)
    }

    /// Goes to the window of `now` in one step.
    fn pass_idle(&mut self, now: Ns) {
        self.charge(now);
        let passed = (now - self.window_end) / WINDOW;
        self.window_end += passed * WINDOW;
        self.windows += passed;
        for part in self.parts.values_mut().filter(|p| p.budget < 0) {
            let entitled = part.entitled();
            part.budget = part.budget.saturating_add(entitled.saturating_mul(passed as i64)).min(0);
        }
        self.next_window();
    }

    fn charge(&mut self, now: Ns) {
        let dt = now - self.now;
        self.now = now;
        if dt == 0 {
            return;
        }
        let mut occupied = 0;
        for part in self.parts.values_mut() {
            let donates = matches!(part.share.sharing, Sharing::Dedicated { donate: true });
            let dedicated = part.is_dedicated();
            for n in 0..part.cores.len() {
                let core = &mut part.cores[n];
                let inside = core.inside.count_ones().max(1) as u64;
                for (t, time) in core.threads.iter_mut().enumerate() {
                    if core.inside >> t & 1 != 0 {
                        time.consumed += dt / inside;
                    } else if core.ready >> t & 1 != 0 {
                        time.waited += dt;
                    }
                }
                if core.slot.is_some() {
                    core.used += dt;
                    occupied += u64::from(!dedicated);
                    let over = match core.leaving {
                        true => dt,
                        // While nobody waits a slice ends for nothing.
                        false if core.open => 0,
                        false => now.saturating_sub(core.slice_end).min(dt),
                    };
                    part.charge(dt, over);
                } else if core.ready != 0 {
                    part.usage.waited += dt;
                } else if donates {
                    part.usage.donated += dt;
                }
            }
        }
        self.pool_idle += (u64::from(self.shared()).saturating_sub(occupied)) * dt;
    }

    fn next_window(&mut self) {
        self.window_end += WINDOW;
        self.windows += 1;
        // What was had too long is a debt as far as others were not given what they were to have in this window.
        let missed: Ns = self.parts.values().map(Part::missed).sum();
        let over: Ns = self.parts.values().map(|p| p.over).sum();
        for part in self.parts.values_mut() {
            let over = u128::from(part.over) * u128::from(missed) / u128::from(over.max(missed).max(1));
            part.owe(over as u64);
            part.over = 0;
        }
        for part in self.parts.values_mut() {
            if let Some(sharing) = part.next.take() {
                part.share.sharing = sharing;
            }
            // Ran too long, or was not given what it was promised or owed because others did.
            let entitled = part.entitled();
            let kept = part.kept().clamp(-MEMORY * entitled, MEMORY * entitled);
            self.unserved += part.promise + part.late;
            part.late = 0;
            part.budget = entitled + kept;
            part.credit = kept.max(0) as u64;
            part.owed = 0;
            part.promise = 0;
            part.admitted = None;
            for core in &mut part.cores {
                core.used = 0;
                core.conferring = 0;
                core.favoured = false;
            }
        }
        self.bound_vtime();
        // Also if nobody looks before the window ends.
        self.promise();
        let left = self.window_end - self.now;
        for part in self.parts.values_mut() {
            let wanting = part.wanting();
            if wanting != 0 && part.budget > 0 {
                part.owed = (part.base().min(wanting * left) + part.credit).saturating_sub(part.promise);
            }
        }
    }

    /// Nobody saves up surplus that it could not use.
    fn bound_vtime(&mut self) {
        let shares =
            || self.parts.values().filter(|p| p.contending).filter_map(|p| Some((p.vtime, p.weight()?)));
        let weights: u128 = shares().map(|(_, w)| w).sum();
        let Some(mean) = shares().map(|(v, w)| v * w).sum::<u128>().checked_div(weights) else { return };
        for p in self.parts.values_mut() {
            if let Some(w) = p.weight() {
                p.vtime = p.vtime.max(mean.saturating_sub(u128::from(SAVED * WINDOW) * SCALE / w));
            }
        }
    }

    // ---- choosing ----

    /// Processors that are no partition's own.
    fn shared(&self) -> u32 {
        let own: u32 = self.parts.values().filter(|p| p.is_dedicated()).map(|p| p.share.cores).sum();
        (self.slots.len() as u32).saturating_sub(own)
    }

    /// Brings promises up to what everybody has to do now.
    fn promise(&mut self) {
        let left = self.window_end - self.now;
        let mut sum = 0;
        let mut order: Vec<(u64, u32)> = Vec::new();
        let turn = self.windows as u32;
        let count = self.next_id.max(1);
        let mut fresh: Vec<u32> = Vec::new();
        for (&id, part) in self.parts.iter_mut().filter(|(_, p)| !p.is_dedicated()) {
            let wanting = part.wanting();
            let want = (part.budget.max(0) as u64).min(wanting * left);
            if wanting >= part.wanted {
                part.late += part.promise.saturating_sub(want);
            }
            part.wanted = wanting;
            part.promise = part.promise.min(want);
            sum += part.promise;
            match part.admitted {
                _ if want == 0 => part.admitted = None,
                Some(n) => order.push((n, id)),
                None => fresh.push(id),
            }
        }
        // Not always the same one first.
        fresh.sort_by_key(|id| id.wrapping_add(turn) % count);
        for id in fresh {
            self.admissions += 1;
            order.push((self.admissions, id));
        }
        order.sort_unstable();
        let mut free = (u64::from(self.shared()) * left).saturating_sub(sum);
        for owed in [false, true] {
            for &(n, id) in &order {
                let Some(part) = self.parts.get_mut(&id) else { continue };
                part.admitted = Some(n);
                let budget = if owed { part.budget.max(0) as u64 } else { part.base() };
                let want = budget.min(part.wanting() * left);
                let more = want.saturating_sub(part.promise).min(free);
                part.promise += more;
                part.owed = part.owed.saturating_sub(more);
                free -= more;
            }
        }
    }

    /// Whoever begins to have something to do begins where the others are.
    fn catch_up(&mut self) {
        let active = |p: &&Part| p.contending && p.weight().is_some();
        let least = self.parts.values().filter(active).map(|p| p.vtime).min();
        for p in self.parts.values_mut() {
            let has_work = p.cores.iter().any(|c| c.ready != 0);
            if has_work && !p.contending {
                p.vtime = p.vtime.max(least.unwrap_or(0));
            }
            p.contending = has_work;
        }
    }

    fn rank(&self) -> Vec<Rank> {
        let left = self.window_end - self.now;
        let mut all = Vec::new();
        for (&id, part) in &self.parts {
            let wanting = part.wanting();
            let class = match part.share.sharing {
                Sharing::Dedicated { .. } => Class::Own,
                _ if part.promise != 0 && part.promise + GRAIN >= wanting * left => Class::Must,
                _ if part.promise != 0 => Class::Promised,
                _ if part.budget > 0 => Class::Entitled,
                _ if part.weight().is_some() => Class::Surplus,
                _ => continue,
            };
            for (n, core) in part.cores.iter().enumerate().filter(|(_, c)| c.wants() && !c.leaving) {
                let turn = match core {
                    c if c.runs() && self.now >= c.slice_end => 2,
                    c if c.favoured => 0,
                    c if c.runs() => 1,
                    _ => 2,
                };
                let order = match class {
                    Class::Surplus => part.vtime,
                    _ => part.admitted.unwrap_or(u64::MAX).into(),
                };
                all.push(Rank { class, turn, order, used: core.used, core: (id, n as u32) });
            }
        }
        all.sort_unstable();
        all
    }

    /// Processors that may be given to others than their owners now.
    fn places(&self) -> usize {
        let withheld = |p: &Part| match p.share.sharing {
            Sharing::Dedicated { donate: false } => {
                p.cores.iter().filter(|c| !c.wants() && !c.leaving).count()
            }
            _ => 0,
        };
        self.slots.len().saturating_sub(self.parts.values().map(withheld).sum())
    }

    /// Puts the processors to their best use.
    fn choose(&mut self) {
        // A core that is dispatched may end a confer, and that changes who wants what.
        for _ in 0..3 {
            self.catch_up();
            self.promise();
            let ranks = self.rank();
            let places = self.places();
            let chosen = &ranks[..places.min(ranks.len())];
            let weights: u128 = self.surplus_weights(&ranks);
            self.send_away(chosen);
            if !self.put(chosen, weights, ranks.len() > places) {
                break;
            }
        }
    }

    fn surplus_weights(&self, ranks: &[Rank]) -> u128 {
        let surplus = ranks.iter().filter(|r| r.class == Class::Surplus);
        surplus.filter_map(|r| self.parts[&r.core.0].weight()).sum()
    }

    /// Tells those who run and are not chosen to leave.
    fn send_away(&mut self, chosen: &[Rank]) {
        for slot in 0..self.slots.len() {
            let Some(id) = self.slots[slot] else { continue };
            let Some(part) = self.parts.get_mut(&id.0) else { continue };
            let threads = part.share.threads;
            let core = &mut part.cores[id.1 as usize];
            let stays = chosen.iter().any(|r| r.core == id);
            if core.leaving || stays {
                continue;
            }
            core.leaving = true;
            for t in (0..threads).filter(|t| core.inside >> t & 1 != 0) {
                self.orders.push(Order::Leave(Thread { part: PartId(id.0), index: id.1 * threads + t }));
            }
        }
    }

    /// Puts those who are chosen on processors that are free. Whether a confer ended by that.
    fn put(&mut self, chosen: &[Rank], weights: u128, contended: bool) -> bool {
        let left = self.window_end - self.now;
        let mut ended = false;
        for r in chosen {
            let Some(part) = self.parts.get_mut(&r.core.0) else { continue };
            let wanting = part.wanting().max(1);
            let (promise, weight) = (part.promise, part.weight().unwrap_or(1));
            let threads = part.share.threads;
            let core = &mut part.cores[r.core.1 as usize];
            let slice = match r.class {
                Class::Own | Class::Must => left,
                Class::Promised => (promise / wanting).max(LEAST_SLICE.min(promise)),
                Class::Entitled => LEAST_SLICE,
                Class::Surplus => {
                    let places = self.slots.len() as u128;
                    let part = u128::from(left) * places * weight / weights.max(1);
                    (part as u64).clamp(LEAST_SLICE, left.max(LEAST_SLICE))
                }
            };
            let slice_end = self.now + if contended { slice } else { left };
            if core.slot.is_some() {
                if self.now >= core.slice_end || (contended && core.open) {
                    (core.slice_end, core.open) = (slice_end, !contended);
                    core.favoured = false;
                }
            } else {
                let free = |n: &usize| self.slots[*n].is_none();
                let slot = core.last_slot.filter(free).or_else(|| (0..self.slots.len()).find(free));
                let Some(slot) = slot else { continue };
                self.slots[slot] = Some(r.core);
                core.slot = Some(slot);
                (core.slice_end, core.open) = (slice_end, !contended);
                part.usage.dispatches += 1;
                ended |= end_confers(part, r.core.1);
            }
            let core = &mut part.cores[r.core.1 as usize];
            let entering = core.ready & !core.conferring & !core.inside;
            core.inside |= entering;
            for t in (0..threads).filter(|t| entering >> t & 1 != 0) {
                self.orders
                    .push(Order::Run(Thread { part: PartId(r.core.0), index: r.core.1 * threads + t }));
            }
        }
        ended
    }

    // ---- what was ----

    /// What a partition has had.
    pub fn usage(&self, id: PartId) -> Usage {
        self.parts.get(&id.0).map(|p| p.usage).unwrap_or_default()
    }

    /// Time that a thread was charged with (what its PURR counts): a core's time, divided among the threads that ran.
    pub fn thread_consumed(&self, t: Thread) -> Ns {
        self.thread_time(t).consumed
    }

    /// Time that a thread had something to do and did not run.
    pub fn thread_waited(&self, t: Thread) -> Ns {
        self.thread_time(t).waited
    }

    fn thread_time(&self, t: Thread) -> ThreadTime {
        let Some(part) = self.parts.get(&t.part.0) else { return ThreadTime::default() };
        let core = part.cores.get((t.index / part.share.threads) as usize);
        core.map(|c| c.threads[(t.index % part.share.threads) as usize]).unwrap_or_default()
    }

    /// The pool.
    pub fn pool(&self) -> PoolUsage {
        let taken: u32 = self.parts.values().map(|p| need(&p.share)).sum();
        let free = (self.slots.len() as u32 * WHOLE).saturating_sub(taken);
        PoolUsage { processors: self.shared(), idle: self.pool_idle, free }
    }

    /// Promised time that was not given by the end of its window, in all: 0 as long as whoever is told to leave leaves
    /// at once.
    pub fn unserved(&self) -> Ns {
        self.unserved
    }

    /// Processors of the node.
    pub fn processors(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The time up to which everything was done.
    pub fn now(&self) -> Ns {
        self.now
    }
}

/// Ends the confers that wait for a core of the partition to be dispatched; whether there were any.
fn end_confers(part: &mut Part, core: u32) -> bool {
    let mut any = false;
    for c in &mut part.cores {
        if c.conferring != 0
            && matches!(c.conferred, Some(Conferred::All)) | (c.conferred == Some(Conferred::To(core)))
        {
            c.conferring = 0;
            c.conferred = None;
            any = true;
        }
    }
    any
}

/// Hundredths that a partition needs.
fn need(s: &Share) -> u32 {
    match s.sharing {
        Sharing::Shared { entitled, .. } => entitled,
        Sharing::Dedicated { .. } => s.cores.saturating_mul(WHOLE),
    }
}

fn check(s: &Share) -> Result<(), Refused> {
    let Share { cores, threads, sharing } = *s;
    if cores == 0 || cores > 1 << 16 || !(1..=MOST_THREADS).contains(&threads) {
        return Err(Refused::Shape { cores, threads });
    }
    if let Sharing::Shared { entitled, .. } = sharing {
        let (least, most) = (cores * LEAST_ENTITLEMENT, cores * WHOLE);
        if !(least..=most).contains(&entitled) {
            return Err(Refused::Entitlement { entitled, cores, least, most });
        }
    }
    Ok(())
}
