//! Laws of the scheduler, under simulated time, on schedules drawn at random.

use std::collections::BTreeMap;

use dispatch::{Dispatcher, Ns, Order, PartId, Refused, Share, Sharing, Thread, WINDOW};

const MS: Ns = 1_000_000;
const HUNDREDTH: Ns = WINDOW / 100;

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    fn between(&mut self, a: u64, b: u64) -> u64 {
        a + self.below(b - a + 1)
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Habit {
    Busy,
    /// Runs and sleeps for random times up to these.
    Naps(Ns, Ns),
    /// Busy, and now and then confers to another.
    Confers(Ns),
    Idle,
}

struct Actor {
    habit: Habit,
    ready: bool,
    running: bool,
    /// Waits for what it conferred to.
    conferred: bool,
    /// When it does something next: wakes, or cedes if it has run that long.
    next: Ns,
}

/// A node whose threads do what their habits say, at once when told to leave, or up to `sloth` late, or now and then much
/// later. Now and then it does not look at the clock for as long.
struct World {
    d: Dispatcher,
    now: Ns,
    actors: BTreeMap<Thread, Actor>,
    leaving: Vec<(Ns, Thread)>,
    sloth: Ns,
    /// How often in a hundred the host has other things to do, and for how long at most.
    hiccups: (u64, Ns),
    random: Random,
}

impl World {
    fn new(processors: u32, seed: u64) -> Self {
        World {
            d: Dispatcher::new(processors, 0),
            now: 0,
            actors: BTreeMap::new(),
            leaving: Vec::new(),
            sloth: 0,
            hiccups: (0, 0),
            random: Random::new(seed),
        }
    }

    fn add(&mut self, share: Share, habits: &[Habit]) -> Result<PartId, Refused> {
        let part = self.d.add(self.now, share)?;
        for index in 0..share.cores * share.threads {
            let habit = habits[index as usize % habits.len()];
            let t = Thread { part, index };
            let a = Actor { habit, ready: false, running: false, conferred: false, next: self.now };
            self.actors.insert(t, a);
            if habit != Habit::Idle {
                self.wake(t);
            }
        }
        Ok(part)
    }

    fn wake(&mut self, t: Thread) {
        let a = self.actors.get_mut(&t).unwrap();
        (a.ready, a.conferred) = (true, false);
        a.next = self.now
            + match a.habit {
                Habit::Naps(run, _) => self.random.between(1, run),
                Habit::Confers(every) => self.random.between(1, every),
                _ => u64::MAX / 2,
            };
        self.d.wake(self.now, t);
        self.obey();
    }

    fn cede(&mut self, t: Thread, sleep: Ns) {
        let a = self.actors.get_mut(&t).unwrap();
        (a.ready, a.running) = (false, false);
        a.next = self.now + sleep;
        self.leaving.retain(|l| l.1 != t);
        self.d.cede(self.now, t);
        self.obey();
    }

    fn confer(&mut self, t: Thread, to: Option<u32>) -> bool {
        let waits = self.d.confer(self.now, t, to);
        if waits {
            let a = self.actors.get_mut(&t).unwrap();
            (a.running, a.conferred) = (false, true);
            self.leaving.retain(|l| l.1 != t);
        }
        self.obey();
        waits
    }

    fn obey(&mut self) {
        loop {
            let orders = self.d.take_orders();
            if orders.is_empty() {
                return;
            }
            for o in orders {
                match o {
                    Order::Run(t) => {
                        let a = self.actors.get_mut(&t).unwrap();
                        assert!(a.ready, "{t:?} sleeps and is run");
                        a.running = true;
                        a.conferred = false;
                    }
                    Order::Leave(t) => {
                        let late = self.random.below(self.sloth) + self.hiccup();
                        if late == 0 {
                            self.leave(t);
                        } else {
                            self.leaving.push((self.now + late, t));
                        }
                    }
                }
            }
        }
    }

    fn hiccup(&mut self) -> Ns {
        let (percent, most) = self.hiccups;
        if self.random.chance(percent) { self.random.below(most) } else { 0 }
    }

    fn leave(&mut self, t: Thread) {
        self.actors.get_mut(&t).unwrap().running = false;
        self.d.left(self.now, t);
    }

    /// Goes on until `end`; `look` sees the world whenever something has happened.
    fn run(&mut self, end: Ns, mut look: impl FnMut(&World)) {
        while self.now < end {
            let acting = self.actors.values().filter(|a| !a.ready || a.running).map(|a| a.next).min();
            let leaving = self.leaving.iter().map(|l| l.0).min();
            let next = [Some(self.d.next_event()), acting, leaving].into_iter().flatten().min().unwrap();
            let next = next.clamp(self.now, end).max(self.now + 1);
            self.now = (next + self.hiccup()).min(end);
            self.d.advance(self.now);
            self.obey();
            while let Some(n) = self.leaving.iter().position(|l| l.0 <= self.now) {
                let (_, t) = self.leaving.swap_remove(n);
                self.leave(t);
                self.obey();
            }
            let due: Vec<Thread> = self
                .actors
                .iter()
                .filter(|(_, a)| a.next <= self.now && (a.running || !a.ready))
                .map(|(t, _)| *t)
                .collect();
            for t in due {
                let (habit, ready, running) = {
                    let a = &self.actors[&t];
                    (a.habit, a.ready, a.running)
                };
                match habit {
                    Habit::Naps(_, sleep) if ready && running => {
                        let sleep = self.random.between(1, sleep);
                        self.cede(t, sleep);
                    }
                    Habit::Naps(..) if !ready => self.wake(t),
                    Habit::Confers(every) if running => {
                        let others = self.actors.keys().filter(|o| o.part == t.part).count() as u64;
                        let to = (!self.random.chance(30)).then(|| self.random.below(others) as u32);
                        let after = self.random.between(1, every);
                        self.actors.get_mut(&t).unwrap().next = self.now + after;
                        self.confer(t, to);
                    }
                    _ => self.actors.get_mut(&t).unwrap().next = u64::MAX / 2,
                }
            }
            look(self);
        }
    }

    fn consumed(&self, p: PartId) -> Ns {
        self.d.usage(p).consumed
    }

    fn running(&self) -> usize {
        self.actors.values().filter(|a| a.running).count()
    }
}

fn shared(cores: u32, entitled: u32, weight: Option<u8>) -> Share {
    Share { cores, threads: 1, sharing: Sharing::Shared { entitled, weight } }
}

/// A node with random partitions, some dedicated, that come at random times; what is expected of each.
struct Drawn {
    world: World,
    parts: Vec<(PartId, Share, Vec<Habit>)>,
}

fn draw(seed: u64) -> Drawn {
    let mut r = Random::new(seed);
    let processors = r.between(1, 4) as u32;
    let mut world = World::new(processors, seed ^ 0x5555);
    let mut parts = Vec::new();
    for _ in 0..r.between(1, 6) {
        // Some come late, in the middle of a window.
        if r.chance(40) {
            let until = world.now + r.between(1, 25 * MS);
            world.run(until, |_| {});
        }
        let free = world.d.pool().free;
        let cores = r.between(1, 3) as u32;
        let threads = if r.chance(20) { 2 } else { 1 };
        let sharing = if r.chance(15) {
            Sharing::Dedicated { donate: r.chance(50) }
        } else {
            let most = free.min(cores * 100);
            if most < cores * 5 {
                continue;
            }
            let entitled = r.between((cores * 5).into(), most.into()) as u32;
            let weight = if r.chance(50) { None } else { Some(r.below(256) as u8) };
            Sharing::Shared { entitled, weight }
        };
        let habits: Vec<Habit> = (0..cores * threads)
            .map(|_| match r.below(8) {
                0..=4 => Habit::Busy,
                5 => Habit::Naps(r.between(1, 8 * MS), r.between(1, 20 * MS)),
                6 => Habit::Confers(r.between(100_000, 5 * MS)),
                _ => Habit::Idle,
            })
            .collect();
        let share = Share { cores, threads, sharing };
        if let Ok(id) = world.add(share, &habits) {
            parts.push((id, share, habits));
        }
    }
    Drawn { world, parts }
}

/// Cores of which one thread is always busy.
fn busy_cores(share: &Share, habits: &[Habit]) -> u32 {
    let threads = share.threads as usize;
    (0..share.cores as usize)
        .filter(|c| habits[c * threads..(c + 1) * threads].contains(&Habit::Busy))
        .count() as u32
}

#[test]
fn ten_thousand_random_schedules_keep_the_laws() {
    for seed in 0..10_000 {
        let Drawn { mut world, parts } = draw(seed);
        // To the start of a window.
        let start = world.now.next_multiple_of(WINDOW);
        world.run(start, |_| {});
        let mut last_run: BTreeMap<(PartId, u32), Ns> = BTreeMap::new();
        for window in 0..4 {
            let before: Vec<Ns> = parts.iter().map(|(p, ..)| world.consumed(*p)).collect();
            let shares: BTreeMap<PartId, Share> = parts.iter().map(|(p, s, _)| (*p, *s)).collect();
            world.run(start + (window + 1) * WINDOW, |w| {
                let mut cores: BTreeMap<(PartId, u32), (bool, bool)> = BTreeMap::new();
                for (t, a) in &w.actors {
                    let core = cores.entry((t.part, t.index / shares[&t.part].threads)).or_default();
                    core.0 |= a.ready && !a.conferred;
                    core.1 |= a.running;
                    // A thread runs exactly when the scheduler says so.
                    assert_eq!(a.running, w.d.may_run(*t), "seed {seed}: {t:?}");
                }
                let running = cores.values().filter(|c| c.1).count();
                assert!(running <= w.d.processors() as usize, "seed {seed}: more cores than processors");
                let mut withheld = 0;
                let mut starving = false;
                for (&(part, n), &(ready, runs)) in &cores {
                    if runs {
                        last_run.insert((part, n), w.now);
                    }
                    match shares[&part].sharing {
                        Sharing::Dedicated { donate } => {
                            // Its own processor comes back at once.
                            assert_eq!(ready, runs, "seed {seed}: dedicated {part:?}");
                            withheld += usize::from(!runs && !donate);
                        }
                        Sharing::Shared { weight: Some(1..), .. } => starving |= ready && !runs,
                        Sharing::Shared { .. } => {}
                    }
                }
                // No processor idles while somebody may take surplus.
                let idle = w.d.processors() as usize - running - withheld;
                assert!(idle == 0 || !starving, "seed {seed} at {}: {idle} idle", w.now);
            });
            assert!(world.d.unserved() < 2_000, "seed {seed}: {} ns unserved", world.d.unserved());
            for ((p, share, habits), before) in parts.iter().zip(before) {
                let Sharing::Shared { entitled, weight } = share.sharing else { continue };
                let had = world.consumed(*p) - before;
                let entitled = Ns::from(entitled) * HUNDREDTH;
                let busy = Ns::from(busy_cores(share, habits));
                // With all of its cores' habits steady it has all it is entitled to as far as its cores can use it;
                // else what its busy cores are entitled to.
                let steady = habits.iter().all(|h| matches!(h, Habit::Busy | Habit::Idle));
                let due = if steady {
                    entitled.min(busy * WINDOW)
                } else {
                    entitled * busy / Ns::from(share.cores)
                };
                assert!(
                    had + 2_000 >= due,
                    "seed {seed} window {window}: {p:?} had {had} of {due}: {parts:?}"
                );
                if weight.is_none_or(|w| w == 0) {
                    assert!(
                        had <= entitled + 2_000,
                        "seed {seed} window {window}: {p:?} had {had} > {entitled}"
                    );
                }
            }
        }
        // Nobody who always has something to do waits for ever.
        for (p, share, habits) in &parts {
            for core in 0..share.cores {
                let threads = (core * share.threads) as usize;
                if habits[threads..threads + share.threads as usize].contains(&Habit::Busy) {
                    let last = last_run.get(&(*p, core)).copied().unwrap_or(0);
                    assert!(
                        last + 2 * WINDOW >= world.now,
                        "seed {seed}: core {core} of {p:?} starves: {parts:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn surplus_goes_by_weight() {
    for seed in 0..300 {
        let mut r = Random::new(seed + 77);
        let mut world = World::new(1, seed);
        let count = r.between(2, 5);
        let mut parts = Vec::new();
        for _ in 0..count {
            let weight = r.between(1, 255) as u8;
            let entitled = r.between(5, 100 / count - 5) as u32;
            parts.push((
                world.add(shared(1, entitled, Some(weight)), &[Habit::Busy]).unwrap(),
                weight,
                entitled,
            ));
        }
        world.run(400 * WINDOW, |_| {});
        let weights: u64 = parts.iter().map(|p| u64::from(p.1)).sum();
        let surplus: u64 = parts.iter().map(|p| world.d.usage(p.0).surplus).sum();
        for (p, weight, entitled) in parts {
            let usage = world.d.usage(p);
            let due = surplus as f64 * f64::from(weight) / weights as f64;
            let off = (usage.surplus as f64 - due).abs();
            assert!(
                off <= due * 0.03 + LEAST_SLICE_ERROR,
                "seed {seed}: weight {weight}: {} of {due}",
                usage.surplus
            );
            assert!(usage.consumed - usage.surplus + 400 * 100 >= 400 * Ns::from(entitled) * HUNDREDTH);
        }
    }
}

/// The last slice of somebody with little weight.
const LEAST_SLICE_ERROR: f64 = 500_000.0;

#[test]
fn the_shares_of_the_book() {
    // Capped 0.50, 0.30 and 0.20 on one processor.
    let mut w = World::new(1, 1);
    let parts = [50, 30, 20].map(|e| w.add(shared(1, e, None), &[Habit::Busy]).unwrap());
    w.run(100 * WINDOW, |_| {});
    let had = parts.map(|p| w.consumed(p));
    assert_eq!(had, [500 * MS, 300 * MS, 200 * MS]);
    // Uncapped 0.10 each with weights 128, 64, 64.
    let mut w = World::new(1, 2);
    let parts = [128, 64, 64].map(|x| w.add(shared(1, 10, Some(x)), &[Habit::Busy]).unwrap());
    w.run(100 * WINDOW, |_| {});
    let had = parts.map(|p| w.d.usage(p).surplus as f64 / MS as f64);
    assert!(
        (had[0] - 350.0).abs() < 5.0 && (had[1] - 175.0).abs() < 3.0 && (had[2] - 175.0).abs() < 3.0,
        "{had:?}"
    );
    // One with two cores of which one sleeps has all of its entitlement with the other.
    let mut w = World::new(1, 3);
    let p = w.add(shared(2, 80, None), &[Habit::Busy, Habit::Idle]).unwrap();
    w.run(10 * WINDOW, |_| {});
    assert_eq!(w.consumed(p), 80 * MS);
}

#[test]
fn late_leavers_pay_and_in_the_end_everybody_has_what_is_due() {
    for seed in 0..100 {
        let mut r = Random::new(seed + 5);
        let mut w = World::new(1, seed);
        w.sloth = 400_000;
        let first = r.between(20, 60) as u32;
        let second = r.between(10, 90 - u64::from(first)) as u32;
        let entitled = [first, second, 100 - first - second];
        let parts = entitled.map(|e| w.add(shared(1, e, None), &[Habit::Busy]).unwrap());
        w.run(300 * WINDOW, |_| {});
        for (p, e) in parts.into_iter().zip(entitled) {
            let (had, due) = (w.consumed(p) as f64, 300.0 * f64::from(e) * HUNDREDTH as f64);
            assert!((had / due - 1.0).abs() < 0.01, "seed {seed}: {e}: {had} of {due}");
        }
    }
}

/// A host that has other things to do: whoever was held up pays, and nobody loses what is due in 60 seconds.
#[test]
fn a_busy_host_takes_nothing_from_anybody() {
    for (seed, weight) in (0..60).zip([None, Some(128), Some(0)].into_iter().cycle()) {
        let mut r = Random::new(seed + 99);
        let mut w = World::new(1, seed);
        w.sloth = 100_000;
        w.hiccups = (r.between(1, 20), r.between(1, 60) * MS);
        let entitled = match seed {
            0..3 => [50, 30, 20],
            _ => {
                let first = r.between(20, 60) as u32;
                let second = r.between(10, 90 - u64::from(first)) as u32;
                [first, second, 100 - first - second]
            }
        };
        let parts = entitled.map(|e| w.add(shared(1, e, weight), &[Habit::Busy]).unwrap());
        w.run(6000 * WINDOW, |_| {});
        for (p, e) in parts.into_iter().zip(entitled) {
            let (had, due) = (w.consumed(p) as f64, 6000.0 * f64::from(e) * HUNDREDTH as f64);
            assert!((had / due - 1.0).abs() < 0.01, "seed {seed}: {e}, {weight:?}: {had} of {due}");
        }
    }
}

/// A host that has other things to do: what nobody is entitled to still goes by weight, in 60 seconds.
#[test]
fn a_busy_host_spoils_no_weights() {
    for seed in 0..40 {
        let mut r = Random::new(seed + 777);
        let mut w = World::new(1, seed);
        w.sloth = 100_000;
        w.hiccups = (r.between(1, 10), r.between(1, 50) * MS);
        let weights = [128, 64, 64];
        let parts = weights.map(|x| w.add(shared(1, 10, Some(x)), &[Habit::Busy]).unwrap());
        w.run(6000 * WINDOW, |_| {});
        let surplus = parts.map(|p| (w.consumed(p) - 6000 * 10 * HUNDREDTH) as f64);
        let all: f64 = surplus.iter().sum();
        for (had, weight) in surplus.into_iter().zip(weights) {
            let due = all * f64::from(weight) / 256.0;
            assert!((had / due - 1.0).abs() < 0.02, "seed {seed}: weight {weight}: {had} of {due}");
        }
    }
}

/// A partition whose cores are too few for its share saves little of it up.
#[test]
fn surplus_that_cannot_be_used_is_not_saved_up() {
    let mut w = World::new(2, 5);
    let heavy = w.add(shared(1, 10, Some(200)), &[Habit::Busy]).unwrap();
    let light = [0; 2].map(|_| w.add(shared(2, 10, Some(20)), &[Habit::Busy]).unwrap());
    w.run(1000 * WINDOW, |_| {});
    assert!(w.consumed(heavy) > 900 * WINDOW);
    let had = light.map(|p| w.d.usage(p).surplus);
    w.add(shared(1, 10, Some(200)), &[Habit::Busy]).unwrap();
    w.run(1400 * WINDOW, |_| {});
    let due = 400 * (200 - 40) * HUNDREDTH * 20 / 440;
    for (p, had) in light.into_iter().zip(had) {
        let more = w.d.usage(p).surplus - had;
        assert!(more + 16 * WINDOW > due, "{more} of {due}");
    }
}

#[test]
fn a_dedicated_processor_is_lent_and_comes_back_at_once() {
    let mut w = World::new(2, 9);
    let own = Share { cores: 1, threads: 1, sharing: Sharing::Dedicated { donate: true } };
    let owner = w.add(own, &[Habit::Naps(3 * MS, 5 * MS)]).unwrap();
    let guest = w.add(shared(2, 100, Some(128)), &[Habit::Busy]).unwrap();
    let t = Thread { part: owner, index: 0 };
    w.run(100 * WINDOW, |w| assert_eq!(w.actors[&t].ready, w.actors[&t].running));
    let (lent, had) = (w.d.usage(owner).donated, w.d.usage(guest));
    assert!(lent > 100 * MS && w.d.usage(owner).waited == 0);
    assert_eq!(had.surplus, lent);
    assert_eq!(had.consumed, 1000 * MS + lent);
    // Without donation nothing is lent.
    let mut w = World::new(2, 9);
    let own = Share { cores: 1, threads: 1, sharing: Sharing::Dedicated { donate: false } };
    w.add(own, &[Habit::Idle]).unwrap();
    let guest = w.add(shared(2, 100, Some(128)), &[Habit::Busy]).unwrap();
    w.run(10 * WINDOW, |w| assert_eq!(w.running(), 1));
    assert_eq!(w.consumed(guest), 100 * MS);
}

#[test]
fn who_comes_late_takes_nothing_that_was_promised() {
    for seed in 0..2_000 {
        let mut r = Random::new(seed + 31);
        let mut w = World::new(1, seed);
        let first = r.between(30, 70) as u32;
        let weight = if r.chance(50) { None } else { Some(200) };
        let a = w.add(shared(1, first, weight), &[Habit::Idle]).unwrap();
        let b = w.add(shared(1, 100 - first, Some(255)), &[Habit::Idle]).unwrap();
        let busy = w.add(shared(1, 5, Some(1)), &[Habit::Busy]);
        assert!(matches!(busy, Err(Refused::Exhausted { wanted: 5, free: 0 })));
        w.run(5 * WINDOW, |_| {});
        // A wakes somewhere in the window, B after it.
        let (at_a, at_b) = (r.below(WINDOW), r.below(WINDOW));
        let (at_a, at_b) = (at_a.min(at_b), at_a.max(at_b));
        let start = w.now;
        w.run(start + at_a, |_| {});
        w.wake(Thread { part: a, index: 0 });
        w.run(start + at_b, |_| {});
        w.wake(Thread { part: b, index: 0 });
        w.run(start + WINDOW, |_| {});
        let due_a = (Ns::from(first) * HUNDREDTH).min(WINDOW - at_a);
        assert!(w.consumed(a) + 200 >= due_a, "seed {seed}: {} of {due_a}", w.consumed(a));
        let left = (WINDOW - at_b).min(WINDOW - at_a - due_a);
        let due_b = (Ns::from(100 - first) * HUNDREDTH).min(left);
        assert!(w.consumed(b) + 200 >= due_b, "seed {seed}: {} of {due_b}", w.consumed(b));
    }
}

#[test]
fn cede_prod_and_confer() {
    let mut w = World::new(1, 4);
    let p = w.add(shared(3, 100, None), &[Habit::Busy]).unwrap();
    let t = |index| Thread { part: p, index };
    w.run(MS, |_| {});
    let running = |w: &World| (0..3).find(|&n| w.actors[&t(n)].running);
    let first = running(&w).unwrap();
    let (second, third) = ((first + 1) % 3, (first + 2) % 3);
    // Conferring gives the processor to the one that is named, now.
    assert!(w.confer(t(first), Some(third)));
    assert_eq!(running(&w), Some(third));
    // Which was dispatched, so that the one who conferred may go on when its turn comes.
    assert!(w.confer(t(third), Some(first)));
    assert_eq!(running(&w), Some(first));
    // Nobody can confer to one who runs or sleeps.
    w.cede(t(first), 1000 * MS);
    let now = running(&w).unwrap();
    assert_ne!(now, first);
    assert!(!w.confer(t(now), Some(first)), "it sleeps");
    assert!(!w.confer(t(now), Some(now)));
    assert_eq!(running(&w), Some(now));
    // Who ceded is not run before it is prodded; then it is.
    let other = if now == second { third } else { second };
    w.cede(t(other), 1000 * MS);
    w.cede(t(now), 1000 * MS);
    assert_eq!(w.running(), 0);
    w.run(w.now + 3 * WINDOW, |w| assert_eq!(w.running(), 0));
    w.wake(t(first));
    assert_eq!(running(&w), Some(first));
    // To all: nobody waits, so it goes on; then somebody does.
    assert!(!w.confer(t(first), None));
    w.wake(t(second));
    assert!(running(&w) == Some(first) && w.confer(t(first), None));
    assert_eq!(running(&w), Some(second));
    // Prodding one that confers makes it a candidate again, and a confer ends with the window at the latest.
    w.cede(t(second), 1000 * MS);
    assert_eq!(running(&w), Some(first));
}

#[test]
fn threads_of_a_core_have_it_together() {
    let mut w = World::new(1, 6);
    let two = Share { cores: 1, threads: 2, sharing: Sharing::Shared { entitled: 50, weight: None } };
    let a = w.add(two, &[Habit::Busy]).unwrap();
    let b = w.add(two, &[Habit::Busy, Habit::Idle]).unwrap();
    w.run(10 * WINDOW, |w| {
        let on = |p, index| w.actors[&Thread { part: p, index }].running;
        assert_eq!(on(a, 0), on(a, 1));
        assert!(!(on(a, 0) && on(b, 0)));
    });
    let had = |p, index| w.d.thread_consumed(Thread { part: p, index });
    // A nanosecond that cannot be halved is lost.
    let near = |had: Ns, due: Ns| had.abs_diff(due) < 1000;
    assert!(near(had(a, 0), 25 * MS) && near(had(a, 1), 25 * MS) && near(had(b, 0), 50 * MS));
    assert_eq!(had(b, 1), 0);
    assert_eq!(w.consumed(a), 50 * MS);
}

#[test]
fn an_idle_node_passes_time_in_one_step() {
    let mut d = Dispatcher::new(2, 0);
    let p = d.add(0, shared(1, 50, None)).unwrap();
    let t = Thread { part: p, index: 0 };
    assert!(d.is_idle());
    let hour = 360_000 * WINDOW;
    d.advance(hour + 3 * MS);
    assert_eq!(d.pool().idle, 2 * (hour + 3 * MS));
    assert_eq!(d.next_event(), hour + WINDOW);
    // What it used too much is forgotten by and by.
    d.wake(hour + 3 * MS, t);
    assert!(d.may_run(t) && !d.is_idle());
    d.advance(hour + 9 * MS);
    assert!(!d.may_run(t));
    d.cede(hour + 40 * MS, t);
    d.wake(hour + 50 * MS, t);
    assert!(!d.may_run(t), "it was slow to leave");
    d.cede(hour + 50 * MS, t);
    d.wake(hour + 200 * MS, t);
    assert!(d.may_run(t));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut d = Dispatcher::new(2, 0);
    let dedicated = Share { cores: 1, threads: 1, sharing: Sharing::Dedicated { donate: false } };
    d.add(0, dedicated).unwrap();
    let p = d.add(0, shared(1, 60, None)).unwrap();
    assert_eq!(d.add(0, dedicated).unwrap_err(), Refused::Exhausted { wanted: 100, free: 40 });
    assert!(matches!(
        d.add(0, shared(2, 9, None)).unwrap_err(),
        Refused::Entitlement { least: 10, most: 200, .. }
    ));
    assert!(matches!(d.add(0, shared(0, 9, None)).unwrap_err(), Refused::Shape { .. }));
    assert!(d.change(0, p, 101, None).is_err() && d.change(0, p, 4, None).is_err());
    d.change(0, p, 100, Some(3)).unwrap();
    // What was given up comes free with the next window, what was asked for is taken now.
    assert!(d.add(0, shared(1, 5, None)).is_err());
    d.change(0, p, 20, Some(3)).unwrap();
    assert!(d.add(0, shared(1, 50, None)).is_err());
    d.advance(WINDOW);
    d.add(WINDOW, shared(1, 50, None)).unwrap();
    assert_eq!(d.pool().free, 30);
    d.remove(WINDOW, p);
    assert_eq!(d.pool().free, 50);
}
