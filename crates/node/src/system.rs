//! The partitions of a node and their lives.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dispatch::{Seat, Shell, Usage};
use partition::io::IoSlots;
use partition::mem::Shared;
use partition::meter::Meter;
use partition::papr::PartitionConfig;
use partition::{Accel, BootError, BootImages, Nvram, Outcome, Partition};

use crate::api::{Answer, NodeStatus, PartitionStatus, Phase, Request, Shown};
use crate::console::Viewer;
use crate::joints::{Joints, Terminal};
use crate::keeper::{Keeper, Tenant};
use crate::profile::{Mode, PartitionProfile, Profile};

/// What a partition is given when it is switched on.
pub struct Outfit {
    /// Names and model; processors and memory are the node's to give.
    pub config: PartitionConfig,
    /// What it boots.
    pub images: BootImages,
    /// Its devices.
    pub slots: IoSlots,
    /// Its non-volatile memory.
    pub nvram: Nvram,
    /// Its engine.
    pub accel: Accel,
    /// What has to live as long as it.
    pub keep: Box<dyn Any + Send>,
    /// Done when it has ended: what it wrote becomes stable. An error is one line.
    pub finish: Box<dyn FnOnce() -> Result<(), String> + Send>,
}

/// Opens what profiles name.
pub trait Equipment: Send + Sync {
    /// For a partition that is switched on; an error is one line.
    fn outfit(&self, p: &PartitionProfile) -> Result<Outfit, String>;
}

/// How a partition's life ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// As it was to.
    Well,
    /// The guest died, or was refused a reboot.
    Died,
    /// It could not be run.
    Failed,
}

/// Milliseconds for those who look at a partition that has ended.
const PATIENCE: u32 = 2000;

/// A managed system.
pub struct System {
    profile: Profile,
    equipment: Box<dyn Equipment>,
    shell: Arc<Shell>,
    units: Vec<Unit>,
    joints: Joints,
    started: Instant,
    /// Bytes that running partitions have.
    memory: Mutex<u64>,
    closing: AtomicBool,
    ignore_confer: AtomicBool,
    /// Counts changes of phase.
    changes: Mutex<u64>,
    changed: Condvar,
    /// Pages that partitions share.
    shared: Mutex<Shared>,
}

struct Unit {
    profile: PartitionProfile,
    number: u32,
    terminal: Arc<Terminal>,
    life: Mutex<Life>,
}

struct Life {
    phase: Phase,
    why: String,
    ended: Option<Ended>,
    again: bool,
    running: Option<Running>,
    /// What the last life had.
    last: Usage,
}

#[derive(Clone)]
struct Running {
    partition: Arc<Partition>,
    seat: Arc<Seat>,
    meter: Arc<Meter>,
    since: Instant,
    memory: u64,
    cores: u32,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl System {
    /// A system of which everything is switched off. Its dispatcher works until [`System::close`].
    pub fn new(profile: Profile, equipment: Box<dyn Equipment>) -> std::io::Result<Arc<Self>> {
        let shell = Shell::new(profile.processors());
        let unit = |(n, p): (usize, &PartitionProfile)| Unit {
            profile: p.clone(),
            number: profile.number(n),
            terminal: Terminal::new(&p.name, profile.number(n)),
            life: Mutex::new(Life {
                phase: Phase::Off,
                why: String::new(),
                ended: None,
                again: false,
                running: None,
                last: Usage::default(),
            }),
        };
        let units: Vec<Unit> = profile.partitions.iter().enumerate().map(unit).collect();
        let terminals: Vec<_> = units.iter().map(|u| u.terminal.clone()).collect();
        let joints = Joints::new(&profile, &terminals);
        let at_work = shell.clone();
        std::thread::Builder::new().name("dispatcher".into()).spawn(move || at_work.run())?;
        let system = Arc::new(System {
            profile,
            equipment,
            shell,
            units,
            joints,
            started: Instant::now(),
            memory: Mutex::new(0),
            closing: AtomicBool::new(false),
            ignore_confer: AtomicBool::new(false),
            changes: Mutex::new(0),
            changed: Condvar::new(),
            shared: Mutex::default(),
        });
        let mut keeper = Keeper::new(&system.profile);
        let weak = Arc::downgrade(&system);
        std::thread::Builder::new().name("keeper".into()).spawn(move || {
            while let Some(system) = weak.upgrade() {
                let tenants = (0..system.units.len()).map(|n| system.tenant(n)).collect();
                let pause = keeper.turn(tenants);
                *lock(&system.shared) = keeper.shared();
                drop(system);
                std::thread::sleep(pause);
            }
        })?;
        Ok(system)
    }

    /// A partition that runs, as the [`Keeper`] sees it.
    fn tenant(&self, n: usize) -> Option<Tenant> {
        let running = lock(&self.units[n].life).running.clone()?;
        Some(Tenant { consumed: running.seat.usage().consumed, partition: running.partition })
    }

    /// For measurements: H_CONFER of partitions that are switched on from now on does nothing.
    pub fn ignore_confer(&self, on: bool) {
        self.ignore_confer.store(on, Ordering::SeqCst);
    }

    fn unit(&self, name: &str) -> Result<usize, String> {
        let found = self.units.iter().position(|u| u.profile.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.units.iter().map(|u| u.profile.name.as_str()).collect();
            format!("there is no partition {name}; right would be {}", names.join(", "))
        })
    }

    /// Switches on all partitions that start with the node, in order.
    pub fn start_all(self: &Arc<Self>) -> Result<(), String> {
        let mut all: Vec<usize> =
            (0..self.units.len()).filter(|&n| self.units[n].profile.autostart).collect();
        all.sort_by_key(|&n| (self.units[n].profile.order, self.units[n].number));
        all.into_iter().try_for_each(|n| self.start(n))
    }

    /// Switches a partition on.
    fn start(self: &Arc<Self>, n: usize) -> Result<(), String> {
        let unit = &self.units[n];
        let name = &unit.profile.name;
        let mut life = lock(&unit.life);
        if life.phase != Phase::Off {
            return Err(format!("{name} is {} already", life.phase.name()));
        }
        if self.closing.load(Ordering::SeqCst) {
            return Err("the node is going down".into());
        }
        let named = |e: String| format!("{name}: {e}");
        let mut outfit = self.equipment.outfit(&unit.profile).map_err(named)?;
        let (running, keep, finish) = self.build(n, &mut outfit).map_err(named)?;
        (life.phase, life.why, life.ended) = (Phase::Running, String::new(), None);
        life.running = Some(running.clone());
        drop(life);
        let me = self.clone();
        let work = move || me.live(n, running, keep, finish);
        let spawned = std::thread::Builder::new().name(format!("partition {name}")).spawn(work);
        if let Err(e) = spawned {
            if let Some(r) = lock(&self.units[n].life).running.take() {
                *lock(&self.memory) -= r.memory;
            }
            self.off(n, Ended::Failed, format!("no host thread: {e}"), Usage::default());
        }
        self.note();
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "the two boxes of an outfit")]
    fn build(
        &self,
        n: usize,
        outfit: &mut Outfit,
    ) -> Result<(Running, Box<dyn Any + Send>, Box<dyn FnOnce() -> Result<(), String> + Send>), String> {
        let unit = &self.units[n];
        let p = &unit.profile;
        let memory = self.take_memory(p)?;
        let give_back = |e: String| {
            *lock(&self.memory) -= memory;
            e
        };
        // As much as is there of what it wants.
        let free = self.shell.pool().free;
        let (mut cores, mut entitled) = (p.processors.desired.0, 0);
        match p.entitlement {
            None => cores = cores.min(free / dispatch::WHOLE).max(p.processors.min.0),
            Some(e) => entitled = e.desired.0.min(free).max(e.min.0),
        }
        if entitled != 0 {
            cores = cores.min(entitled / dispatch::LEAST_ENTITLEMENT).max(p.processors.min.0);
        }
        let Outfit { config, images, slots, nvram, accel, keep, finish } = outfit;
        config.vcpus = cores * p.threads;
        config.threads = p.threads;
        config.memory = memory;
        config.name = p.name.clone();
        config.number = unit.number;
        let nvram = std::mem::replace(nvram, Nvram::volatile());
        let images = std::mem::take(images);
        slots.cables = self.joints.cables(n, &self.profile);
        slots.vty_servers = self.joints.vty_servers(n);
        let meter = Arc::<Meter>::default();
        meter.attach(slots);
        let made = Partition::new(config.clone(), images, unit.terminal.console.clone(), nvram, slots);
        let partition = made.map_err(|e| give_back(e.to_string()))?;
        partition.set_accel(accel.clone());
        partition.ignore_confer(self.ignore_confer.load(Ordering::SeqCst));
        let seat = self.shell.seat(p.share(cores, entitled), partition.runners());
        let seat = Arc::new(seat.map_err(|e| give_back(e.to_string()))?);
        partition.take_seat(Some(seat.clone()));
        unit.terminal.set_reader(Arc::downgrade(&partition));
        let running = Running { partition, seat, meter, since: Instant::now(), memory, cores };
        let keep = std::mem::replace(keep, Box::new(()));
        let finish = std::mem::replace(finish, Box::new(|| Ok(())));
        Ok((running, keep, finish))
    }

    /// Memory for a partition: what it wants, or what is left if that is enough.
    fn take_memory(&self, p: &PartitionProfile) -> Result<u64, String> {
        let mut taken = lock(&self.memory);
        let left = self.profile.node.memory.map_or(u64::MAX, |m| m.0.saturating_sub(*taken));
        let whole = |bytes: u64| bytes.next_multiple_of(1 << 16);
        let given = whole(p.memory.desired.0).min(left & !0xff_ffff).max(whole(p.memory.min.0));
        if given > left {
            return Err(format!("{} of memory are wanted and {left} bytes are left", p.memory.min));
        }
        *taken += given;
        Ok(given)
    }

    /// The life of a partition, on its own thread.
    fn live(
        self: Arc<Self>,
        n: usize,
        running: Running,
        keep: Box<dyn Any + Send>,
        finish: Box<dyn FnOnce() -> Result<(), String> + Send>,
    ) {
        let unit = &self.units[n];
        let outcome = catch_unwind(AssertUnwindSafe(|| running.partition.run(unit.profile.no_reboot)));
        let (mut ended, mut why) = tell(outcome.ok());
        let usage = running.seat.usage();
        running.partition.take_seat(None);
        if let Ok(Err(e)) = catch_unwind(AssertUnwindSafe(finish)) {
            (ended, why) = (Ended::Failed, e);
        }
        // All of it goes before anybody may switch it on again: images are locked, processors taken.
        lock(&unit.life).running = None;
        *lock(&self.memory) -= running.memory;
        for _ in 0..PATIENCE {
            // Whoever just looks at it soon looks away.
            if Arc::strong_count(&running.partition) == 1 && Arc::strong_count(&running.seat) == 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(running);
        drop(keep);
        self.off(n, ended, why, usage);
    }

    fn off(self: &Arc<Self>, n: usize, ended: Ended, why: String, usage: Usage) {
        let unit = &self.units[n];
        let mut life = lock(&unit.life);
        match ended {
            Ended::Well => tracing::info!("{}: {why}", unit.profile.name),
            _ => tracing::error!("{}: {why}", unit.profile.name),
        }
        let again = std::mem::take(&mut life.again);
        (life.phase, life.why, life.ended, life.last) = (Phase::Off, why, Some(ended), usage);
        drop(life);
        if again {
            if let Err(e) = self.start(n) {
                tracing::error!("{e}");
                lock(&unit.life).why = e;
            }
        }
        self.note();
    }

    fn note(&self) {
        *lock(&self.changes) += 1;
        self.changed.notify_all();
    }

    /// Asks a partition to end, or ends it.
    fn stop(&self, n: usize, now: bool, again: bool) -> Result<(), String> {
        let unit = &self.units[n];
        let mut life = lock(&unit.life);
        let Some(r) = life.running.clone() else { return Err(format!("{} is off", unit.profile.name)) };
        life.again = again;
        if now || life.phase == Phase::Stopping {
            life.phase = Phase::Stopping;
            drop(life);
            r.partition.stop();
        } else {
            life.phase = Phase::Stopping;
            drop(life);
            r.partition.ask_to_power_off();
        }
        self.note();
        Ok(())
    }

    /// Waits until nothing runs: everything was switched off, or ended by itself; how the worst of it ended.
    pub fn wait(&self) -> Ended {
        let mut changes = lock(&self.changes);
        while self.units.iter().any(|u| lock(&u.life).phase != Phase::Off) {
            changes = self.changed.wait(changes).unwrap_or_else(PoisonError::into_inner);
        }
        drop(changes);
        let all: Vec<_> = self.units.iter().filter_map(|u| lock(&u.life).ended).collect();
        [Ended::Failed, Ended::Died].into_iter().find(|e| all.contains(e)).unwrap_or(Ended::Well)
    }

    /// Waits until [`System::close`].
    pub fn wait_closed(&self) {
        let mut changes = lock(&self.changes);
        while !self.closing.load(Ordering::SeqCst) {
            changes = self.changed.wait(changes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Switches everything off for good.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for n in 0..self.units.len() {
            // What is off is as it is to be.
            let _ = self.stop(n, true, false);
        }
        self.note();
    }

    /// Ends the dispatcher, when nothing runs any more.
    pub fn end(&self) {
        self.shell.quit();
        self.units.iter().for_each(|u| u.terminal.console.close());
    }

    // ---- requests ----

    /// Does what is asked; [`Request::Console`] is only granted here.
    pub fn answer(self: &Arc<Self>, r: &Request) -> Answer {
        let done = |r: Result<(), String>| r.map_or_else(Answer::Refused, |()| Answer::Done);
        let with = |name: &str, f: &dyn Fn(usize) -> Result<(), String>| done(self.unit(name).and_then(f));
        match r {
            Request::List => Answer::List(self.status()),
            Request::Show { name } => match self.unit(name) {
                Err(e) => Answer::Refused(e),
                Ok(n) => {
                    let profile = serde_json::to_value(&self.units[n].profile).unwrap_or_default();
                    let (status, calls) = (self.partition_status(n), self.calls(n));
                    Answer::Show(Box::new(Shown { status, profile, calls }))
                }
            },
            Request::Start { name } => with(name, &|n| self.start(n)),
            Request::Stop { name, now } => with(name, &|n| self.stop(n, *now, false)),
            Request::Restart { name } => with(name, &|n| self.stop(n, true, true)),
            Request::Console { name } => with(name, &|_| Ok(())),
            Request::Set { name, entitled, weight } => with(name, &|n| self.set(n, *entitled, *weight)),
            Request::Down => {
                self.close();
                Answer::Done
            }
        }
    }

    /// Begins to look at the console of a partition.
    pub(crate) fn view(&self, name: &str) -> Option<Arc<Viewer>> {
        self.unit(name).ok().map(|n| self.units[n].terminal.console.view())
    }

    /// Types into the console of a partition; what is typed into nothing is gone.
    pub(crate) fn type_in(&self, name: &str, viewer: &Viewer, bytes: &[u8]) {
        let Ok(n) = self.unit(name) else { return };
        let unit = &self.units[n];
        unit.terminal.console.feed(viewer, bytes, |b| {
            let running = lock(&unit.life).running.clone();
            running.map_or(b.len(), |r| r.partition.console_input(b))
        });
    }

    fn set(&self, n: usize, entitled: Option<u32>, weight: Option<u8>) -> Result<(), String> {
        let unit = &self.units[n];
        let running = lock(&unit.life).running.clone();
        let r = running.ok_or_else(|| format!("{} is off", unit.profile.name))?;
        r.partition.change_capacity(entitled, weight).map_err(|e| format!("{}: {e}", unit.profile.name))
    }

    fn status(&self) -> NodeStatus {
        let (pool, shared) = (self.shell.pool(), *lock(&self.shared));
        NodeStatus {
            name: self.profile.node.name.clone(),
            uptime_ns: self.started.elapsed().as_nanos() as u64,
            processors: self.profile.processors(),
            pool_processors: pool.processors,
            free: pool.free,
            pool_idle_ns: pool.idle,
            pages_kept: shared.kept,
            pages_shared: shared.mapped,
            partitions: (0..self.units.len()).map(|n| self.partition_status(n)).collect(),
        }
    }

    /// How often a partition made each hypercall.
    fn calls(&self, n: usize) -> Vec<(String, u64)> {
        let Some(running) = lock(&self.units[n].life).running.clone() else { return Vec::new() };
        let name = |c: &partition::papr::state::CallCount| match c.name {
            Some(name) => name.to_owned(),
            None => format!("{:#x}", c.number),
        };
        let mut calls: Vec<_> = running.partition.calls().0.iter().map(|c| (name(c), c.count)).collect();
        calls.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        calls
    }

    fn partition_status(&self, n: usize) -> PartitionStatus {
        let unit = &self.units[n];
        let p = &unit.profile;
        let life = lock(&unit.life);
        let running = life.running.clone();
        let (phase, why, last) = (life.phase, life.why.clone(), life.last);
        drop(life);
        let usage = running.as_ref().map_or(last, |r| r.seat.usage());
        let share = running.as_ref().and_then(|r| r.seat.share());
        let share = share
            .unwrap_or_else(|| p.share(p.processors.desired.0, p.entitlement.map_or(0, |e| e.desired.0)));
        let (entitled, weight) = match share.sharing {
            dispatch::Sharing::Shared { entitled, weight } => (entitled, weight),
            dispatch::Sharing::Dedicated { .. } => (share.cores * dispatch::WHOLE, None),
        };
        let traffic = running.as_ref().map(|r| r.meter.traffic()).unwrap_or_default();
        let hypercalls = |r: &Running| r.partition.calls().0.iter().map(|c| c.count).sum();
        PartitionStatus {
            number: unit.number,
            name: p.name.clone(),
            phase,
            why,
            mode: match p.mode() {
                Mode::Dedicated => "dedicated",
                Mode::Capped => "capped",
                Mode::Uncapped => "uncapped",
            }
            .into(),
            cores: running.as_ref().map_or(share.cores, |r| r.cores),
            threads: p.threads,
            entitled,
            weight,
            memory: running.as_ref().map_or(p.memory.desired.0, |r| r.memory),
            uptime_ns: running.as_ref().map_or(0, |r| r.since.elapsed().as_nanos() as u64),
            consumed_ns: usage.consumed,
            surplus_ns: usage.surplus,
            waited_ns: usage.waited,
            donated_ns: usage.donated,
            dispatches: usage.dispatches,
            hypercalls: running.as_ref().map_or(0, hypercalls),
            disk_read: traffic.read,
            disk_written: traffic.written,
            net_received: traffic.received,
            net_sent: traffic.sent,
        }
    }
}

fn tell(outcome: Option<Result<Outcome, BootError>>) -> (Ended, String) {
    match outcome {
        None => (Ended::Failed, "internal error in the hypervisor: the partition check-stopped".into()),
        Some(Err(e)) => (Ended::Failed, e.to_string()),
        Some(Ok(Outcome::PoweredOff)) => (Ended::Well, "powered off".into()),
        Some(Ok(Outcome::Stopped)) => (Ended::Well, "stopped".into()),
        Some(Ok(Outcome::RebootRefused)) => (Ended::Died, "asked for a reboot that no-reboot refuses".into()),
        Some(Ok(Outcome::Died(words))) => (Ended::Died, format!("died: {}", last_words(&words))),
    }
}

/// What a guest said at its end, on one line. A terminal may be shown it: whatever could steer that is left out.
pub(crate) fn last_words(words: &str) -> String {
    let words = words.trim_end_matches(['\0', '\n', ' ']);
    if words.is_empty() {
        return "it gave no reason".into();
    }
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
