//! One logical partition: it owns the memory, the virtual processors, the devices and the PAPR state; it boots, runs,
//! resets and ends.
#![forbid(unsafe_code)]

mod boot;
mod env;
mod firmware_disks;
pub mod io;
pub mod meter;
mod place;
mod platform;
mod served_disks;
mod timer;
mod vcpu;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use arch::shared::event;
use arch::{Shared, VcpuLink};
use device::irq::{IrqController, IrqKind, IrqLine, VcpuLines, lisn};
use devices::intc::{Intc, IrqMode};
use devices::rtc::Rtc;
use devices::vterm::{Vterm, Vterms};
use devices::xive::{GuestMemory, NotMemory};
use firmware::of_client::OfClient;
use io::{Backplane, Io, IoSlots};
use mem::GuestRam;
use papr::{End, PaprState, PartitionConfig};

pub use arch::model::{MODELS, Model};
pub use block;
pub use boot::{BootError, BootImages, Image};
pub use cpu::{Accel, JitOptions, Stats as TranslationStats};
pub use devices::nvram::{Nvram, NvramError};
pub use devices::virtio;
pub use devices::vterm::CharBackend;
pub use mem;
pub use net;
pub use papr;
use timer::Timer;

/// Unit address of the console terminal.
pub const CONSOLE_UNIT: u32 = 0x7100_0000;

/// How a partition's life ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The guest switched itself off.
    PoweredOff,
    /// The guest asked for a reboot and was not to have one.
    RebootRefused,
    /// The guest died, with its last words.
    Died(String),
    /// Somebody outside ended it.
    Stopped,
}

/// Where and with what the first processor starts: big-endian, 64-bit, translation off.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Address of the first instruction.
    pub nia: u64,
    /// 64-bit mode.
    pub is_64bit: bool,
    /// Stack.
    pub r1: u64,
    /// Table of contents (r2).
    pub toc: u64,
    /// r3 to r7.
    pub args: [u64; 5],
}

/// One logical partition.
pub struct Partition {
    config: PartitionConfig,
    images: BootImages,
    sh: Arc<Shared>,
    papr: PaprState,
    intc: Intc,
    terminals: Vterms,
    console: Arc<dyn CharBackend>,
    nvram: Nvram,
    rtc: Rtc,
    io: io::Io,
    of: Mutex<Option<OfClient>>,
    placed: Mutex<Option<boot::PlacedFirmware>>,
    /// Disks that other partitions serve, as they were found when firmware looked.
    found_disks: Mutex<Vec<firmware_disks::FirmwareDisk>>,
    timer: Timer,
    /// Signals environmental and power warnings.
    _epow: IrqLine,
    ending: Mutex<Option<End>>,
    wake_up: Condvar,
    stopped: AtomicBool,
    absent: Mutex<BTreeSet<&'static str>>,
    retired: AtomicU64,
    accel: Mutex<Accel>,
    translated: Mutex<Option<cpu::Stats>>,
    interpreted: Mutex<BTreeMap<&'static str, u64>>,
    /// Its place where processors are shared.
    seat: Mutex<Option<Arc<dispatch::Seat>>>,
    /// The weight it was given from outside.
    granted_weight: AtomicU8,
    ignore_confer: AtomicBool,
    /// How often its processors were asked to give memory back.
    trims: AtomicU32,
    /// Of its processors' threads.
    places: Vec<Arc<place::Place>>,
}

/// [`arch::Cpu::patience`]: loops of fewer turns end before another processor would have begun.
const PATIENCE: u32 = 32;

/// External interrupt lines of the processors.
struct Lines(Vec<Arc<VcpuLink>>);

impl VcpuLines for Lines {
    fn set_external(&self, server: u32, asserted: bool) {
        if let Some(link) = self.0.get(server as usize) {
            if asserted { link.post(event::EXTERNAL) } else { link.clear(event::EXTERNAL) }
        }
    }
}

/// Memory as the interrupt controller sees it.
struct QueueMemory(Arc<GuestRam>);

impl GuestMemory for QueueMemory {
    fn contains(&self, addr: u64, len: u64) -> bool {
        len <= self.0.size() && addr <= self.0.size() - len
    }
    fn write_u32_be(&self, addr: u64, value: u32) -> Result<(), NotMemory> {
        self.0.write_u32_be(addr, value).map_err(|_| NotMemory)
    }
}

impl Partition {
    /// A partition that is switched off. `console` is the other end of its first terminal, `slots` its disks and
    /// network adapters.
    pub fn new(
        config: PartitionConfig,
        images: BootImages,
        console: Arc<dyn CharBackend>,
        nvram: Nvram,
        slots: &IoSlots,
    ) -> Result<Arc<Self>, BootError> {
        let ram = Arc::new(GuestRam::new(config.memory).map_err(BootError::Memory)?);
        let places = (0..config.vcpus.max(1)).map(|_| Default::default()).collect();
        let links: Vec<Arc<VcpuLink>> = (0..config.vcpus.max(1)).map(|_| Default::default()).collect();
        let sh = Arc::new(Shared {
            ram: ram.clone(),
            lpcr: AtomicU64::new(0),
            prtb: AtomicU64::new(0),
            tb: Default::default(),
            vcpus: links.clone(),
            invalidations: Default::default(),
            hpt: Default::default(),
        });
        let servers: Vec<u32> = (0..links.len() as u32).collect();
        let intc =
            Intc::new(&servers, IrqMode::Xics, Arc::new(Lines(links)), Arc::new(QueueMemory(ram.clone())));
        let claim = |n, kind| intc.claim(n, kind).map_err(|e| BootError::Internal(e.to_string()));
        let line = claim(lisn::VIO.start, IrqKind::Msi)?;
        let epow = claim(lisn::EPOW, IrqKind::Msi)?;
        let mut terminals = Vterms::default();
        terminals.add(Arc::new(Vterm::new(CONSOLE_UNIT, line, console.clone())));
        let papr = PaprState::new(&config);
        let mut backplane = Backplane {
            intc: &intc,
            papr: &papr,
            ram: &ram,
            next_vio: lisn::VIO.start + 1,
            owner: io::Owner { number: config.number, name: config.name.clone() },
            vcpus: config.vcpus,
        };
        let io = Io::build(slots, &mut backplane)?;
        Ok(Arc::new(Partition {
            papr,
            config,
            images,
            timer: Timer::new(sh.clone()),
            sh,
            intc,
            terminals,
            console,
            nvram,
            rtc: Rtc::new(),
            io,
            _epow: epow,
            of: Mutex::new(None),
            placed: Mutex::new(None),
            found_disks: Mutex::default(),
            ending: Mutex::new(None),
            wake_up: Condvar::new(),
            stopped: AtomicBool::new(false),
            absent: Mutex::default(),
            retired: AtomicU64::new(0),
            accel: Mutex::default(),
            translated: Mutex::default(),
            interpreted: Mutex::default(),
            seat: Mutex::default(),
            granted_weight: AtomicU8::new(0),
            ignore_confer: AtomicBool::new(false),
            trims: AtomicU32::new(0),
            places,
        }))
    }

    /// Boot and run until the guest ends. Reboots are obeyed unless `no_reboot`.
    pub fn run(self: &Arc<Self>, no_reboot: bool) -> Result<Outcome, BootError> {
        loop {
            self.reset();
            let entry = match self.load() {
                // It waited for another partition's disks.
                Err(_) if self.stopped.load(Ordering::SeqCst) => return Ok(Outcome::Stopped),
                other => other?,
            };
            let engines = cpu::Engines::new(&self.accel());
            std::thread::scope(|s| {
                let builder = |name: String| std::thread::Builder::new().name(name).stack_size(2 << 20);
                let mut threads = Vec::new();
                for n in 0..self.sh.vcpus.len() {
                    let (p, engines, entry) = (self.clone(), engines.clone(), (n == 0).then_some(entry));
                    let work = move || {
                        let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                            vcpu::life(p.clone(), &engines, n, entry)
                        }));
                        match r {
                            Ok(done) => drop(p.retired.fetch_add(done, Ordering::Relaxed)),
                            Err(_) => p.finish(End::OsTerm(
                                "internal error in the hypervisor: the partition check-stopped".into(),
                            )),
                        }
                    };
                    match builder(format!("vcpu{n}")).spawn_scoped(s, work) {
                        Ok(t) => threads.push(t),
                        Err(e) => {
                            self.finish(End::OsTerm(format!("no host thread for a virtual processor: {e}")));
                            break;
                        }
                    }
                }
                let timer = s.spawn(|| self.timer.run());
                let mut slot = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
                while slot.is_none() && !self.stopped.load(Ordering::SeqCst) {
                    slot = self.wake_up.wait(slot).unwrap_or_else(PoisonError::into_inner);
                }
                drop(slot);
                for t in threads {
                    // A panicking processor has been dealt with on its own thread.
                    let _ = t.join();
                }
                self.timer.quit();
                let _ = timer.join();
            });
            if self.stopped.load(Ordering::SeqCst) {
                return Ok(Outcome::Stopped);
            }
            let how = self.ending.lock().unwrap_or_else(PoisonError::into_inner).take();
            match how {
                Some(End::PowerOff) => return Ok(Outcome::PoweredOff),
                Some(End::OsTerm(words)) => return Ok(Outcome::Died(words)),
                Some(End::Reboot) if no_reboot => return Ok(Outcome::RebootRefused),
                Some(End::Reboot) | None => {}
            }
        }
    }

    /// End the partition from outside.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(self.ending.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake_up.notify_all();
        for link in &self.sh.vcpus {
            link.post(event::LEAVE);
        }
    }

    /// Its memory.
    pub fn memory(&self) -> &Arc<GuestRam> {
        &self.sh.ram
    }

    /// Has its processors give back the memory of what can be made again, translated code above all: they have little
    /// to do.
    pub fn trim(&self) {
        self.trims.fetch_add(1, Ordering::SeqCst);
        for link in &self.sh.vcpus {
            link.post(event::LEAVE);
        }
    }

    /// Asks the guest to power itself off; what does not listen goes on.
    pub fn ask_to_power_off(&self) {
        if self.papr.request_shutdown(self.rtc.get_time_of_day()) {
            self._epow.pulse();
        }
    }

    // ---- shared processors ----

    /// Its virtual processors, as a scheduler gives orders to them.
    pub fn runners(&self) -> Vec<Arc<dyn dispatch::Runner>> {
        let both = self.sh.vcpus.iter().cloned().zip(self.places.iter().cloned());
        both.map(|(link, place)| Arc::new(vcpu::Mailbox { link, place }) as Arc<dyn dispatch::Runner>)
            .collect()
    }

    /// Runs by the leave of a scheduler from the next boot on, or of none.
    pub fn take_seat(&self, seat: Option<Arc<dispatch::Seat>>) {
        if let Some(dispatch::Sharing::Shared { weight, .. }) =
            seat.as_ref().and_then(|s| s.share()).map(|s| s.sharing)
        {
            self.granted_weight.store(weight.unwrap_or(0), Ordering::Relaxed);
        }
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner) = seat;
    }

    /// For measurements: a processor that confers its turn to another goes on instead.
    pub fn ignore_confer(&self, on: bool) {
        self.ignore_confer.store(on, Ordering::Relaxed);
    }

    /// How long its processors wait in loops before they let another go first ([`arch::Cpu::patience`]): only where there may
    /// be fewer processors of the host than of the partition.
    pub(crate) fn patience(&self) -> Option<u32> {
        let own = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = self.seat().is_some() || self.sh.vcpus.len() > own;
        (shared && !self.ignore_confer.load(Ordering::Relaxed)).then_some(PATIENCE)
    }

    pub(crate) fn seat(&self) -> Option<Arc<dispatch::Seat>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another entitlement (hundredths of a processor) or weight, within its limits.
    pub fn change_capacity(&self, entitled: Option<u32>, weight: Option<u8>) -> Result<(), String> {
        self.change_share(entitled, weight)?;
        if let Some(w) = weight {
            self.granted_weight.store(w, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The most weight that the guest may take by itself.
    pub(crate) fn granted_weight(&self) -> u8 {
        self.granted_weight.load(Ordering::Relaxed)
    }

    pub(crate) fn change_share(&self, entitled: Option<u32>, weight: Option<u8>) -> Result<(), String> {
        let (least, most) = self.config.limits().entitled;
        if let Some(e) = entitled.filter(|e| !(least..=most).contains(e)) {
            return Err(format!("{e} hundredths of a processor are outside of its {least} to {most}"));
        }
        let seat = self.seat().ok_or("it does not share processors")?;
        let share = seat.share().map(|s| s.sharing);
        let Some(dispatch::Sharing::Shared { entitled: old, weight: was }) = share else {
            return Err("its processors are dedicated".into());
        };
        if weight.is_some() && was.is_none() {
            return Err("it is capped and has no weight".into());
        }
        seat.change(entitled.unwrap_or(old), weight.or(was)).map_err(|e| e.to_string())
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
            || self.ending.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Bytes from outside for the console; how many were taken.
    pub fn console_input(&self, bytes: &[u8]) -> usize {
        self.terminals.find(0).map_or(0, |t| t.input(bytes))
    }

    /// Instructions retired in all processors that have ended.
    pub fn retired(&self) -> u64 {
        self.retired.load(Ordering::Relaxed)
    }

    /// Which engine carries out instructions from the next boot on; the interpreter unless said otherwise.
    pub fn set_accel(&self, accel: Accel) {
        *self.accel.lock().unwrap_or_else(PoisonError::into_inner) = accel;
    }

    pub(crate) fn accel(&self) -> Accel {
        self.accel.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count_engine(&self, e: &cpu::Engine) {
        if let Some(s) = e.stats() {
            let mut t = self.translated.lock().unwrap_or_else(PoisonError::into_inner);
            t.get_or_insert_default().add(&s);
        }
        let mut t = self.interpreted.lock().unwrap_or_else(PoisonError::into_inner);
        e.profile().into_iter().for_each(|(name, n)| *t.entry(name).or_default() += n);
    }

    /// What the translators of all processors that have ended did; `None` without a translator.
    pub fn translated(&self) -> Option<cpu::Stats> {
        *self.translated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Instructions that the translators left to the interpreter, by name, the most frequent first.
    pub fn interpreted(&self) -> Vec<(&'static str, u64)> {
        let t = self.interpreted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut v: Vec<_> = t.iter().map(|(name, n)| (*name, *n)).collect();
        v.sort_by_key(|x| std::cmp::Reverse(x.1));
        v
    }

    /// How often each hypercall and each RTAS call was made.
    pub fn calls(&self) -> (Vec<papr::state::CallCount>, Vec<papr::state::CallCount>) {
        (self.papr.hcall_counts(), self.papr.rtas_counts())
    }

    pub(crate) fn report_absent(&self, mnemonic: &'static str, raw: u32) {
        if self.absent.lock().unwrap_or_else(PoisonError::into_inner).insert(mnemonic) {
            tracing::warn!(
                "instruction {mnemonic} ({raw:#010x}) is not implemented: illegal instruction interrupt"
            );
        }
    }

    /// Everything the guest can change back to the start; no processor runs.
    fn reset(&self) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for link in &self.sh.vcpus {
            link.clear(u32::MAX);
            link.exit.store(0, Ordering::SeqCst);
        }
        self.sh.lpcr.store(0, Ordering::SeqCst);
        self.sh.prtb.store(0, Ordering::SeqCst);
        self.papr.reset(&self.config);
        self.io.reset(&self.papr);
        for t in self.terminals.iter() {
            t.reset();
        }
        self.timer.reset();
        *self.of.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.placed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.sh.ram.clear();
    }
}
