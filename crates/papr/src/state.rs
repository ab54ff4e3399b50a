//! What the PAPR interface remembers of a partition, each piece under its own lock.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use arch::Shared;
use arch::shared::event;
use serde::{Deserialize, Serialize};

use crate::cas::Agreement;
use crate::config::PartitionConfig;
use crate::drc::{Drcs, DrcsState};
use crate::hcall::vio::{TceTables, TceTablesState};
use crate::hcall::vpa::{Areas, AreasState};
use crate::lock;
use crate::rtas::events::Events;
use crate::rtas::fwnmi::Nmi;
use crate::{hcall, rtas};

/// Most numbers of unknown calls that are counted apart.
const MAX_UNKNOWN: usize = 64;

/// Where a processor that was started begins: a real address, big-endian, 64-bit, translation off, with this value in
/// r3 (LoPAR 7.3.6.2 `start-cpu`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StartRequest {
    /// Real address of the first instruction.
    pub entry: u64,
    /// Value of r3.
    pub r3: u64,
}

/// Life of a virtual processor as `query-cpu-stopped-state` tells it.
const STOPPED: u8 = 0;
const RUNNING: u8 = 2;

/// What is kept for one virtual processor.
pub(crate) struct Vcpu {
    run: AtomicU8,
    start: Mutex<Option<StartRequest>>,
    /// Registered areas: VPA, SLB shadow, dispatch trace log.
    pub(crate) areas: Mutex<Areas>,
    joined: AtomicBool,
    /// Number of calls of each row of the hypercall table, written by this processor only.
    hcalls: Box<[AtomicU64]>,
}

/// The state of the PAPR interface of one partition.
pub struct PaprState {
    pub(crate) vcpus: Box<[Vcpu]>,
    /// Orders H_JOIN, `stop-self` and `start-cpu`.
    joining: Mutex<()>,
    rtas_calls: Box<[AtomicU64]>,
    unknown_hcalls: Mutex<BTreeMap<u64, u64>>,
    unknown_rtas: Mutex<BTreeMap<u64, u64>>,
    agreement: Mutex<Agreement>,
    /// Logical processor version agreed upon, out of `agreement` for the hot path.
    logical_pvr: std::sync::atomic::AtomicU32,
    pub(crate) drcs: Mutex<Drcs>,
    pub(crate) events: Mutex<Events>,
    pub(crate) nmi: Mutex<Nmi>,
    /// Table being prepared by H_RESIZE_HPT_PREPARE.
    pub(crate) resize: Mutex<hcall::mmu::Resizing>,
    pub(crate) tces: TceTables,
    /// Orders what is done to the PCI host bridge's DMA windows.
    pub(crate) windows: Mutex<()>,
    rtas_base: AtomicU64,
}

/// One line of the statistics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallCount {
    /// Hypercall number or RTAS token.
    pub number: u64,
    /// Its name; `None` for what does not exist.
    pub name: Option<&'static str>,
    /// How often it was called.
    pub count: u64,
}

impl PaprState {
    /// The state of a partition that has just been made: processor 0 runs, the others are stopped.
    pub fn new(config: &PartitionConfig) -> Self {
        let counters = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect::<Box<[_]>>();
        let vcpus = (0..config.vcpus.max(1)).map(|n| Vcpu {
            run: AtomicU8::new(if n == 0 { RUNNING } else { STOPPED }),
            start: Mutex::new(None),
            areas: Mutex::new(Areas::default()),
            joined: AtomicBool::new(false),
            hcalls: counters(hcall::TABLE.len()),
        });
        let agreement = Agreement::before(config);
        PaprState {
            vcpus: vcpus.collect(),
            joining: Mutex::new(()),
            rtas_calls: counters(rtas::TABLE.len()),
            unknown_hcalls: Mutex::new(BTreeMap::new()),
            unknown_rtas: Mutex::new(BTreeMap::new()),
            logical_pvr: agreement.logical_pvr.into(),
            agreement: Mutex::new(agreement),
            drcs: Mutex::new(Drcs::new(config)),
            events: Mutex::new(Events::default()),
            nmi: Mutex::new(Nmi::default()),
            resize: Mutex::new(hcall::mmu::Resizing::default()),
            tces: TceTables::default(),
            windows: Mutex::new(()),
            rtas_base: AtomicU64::new(0),
        }
    }

    /// Back to what [`PaprState::new`] makes, for a reboot. Counters and DMA windows stay, the windows empty. No
    /// processor may run.
    pub fn reset(&self, config: &PartitionConfig) {
        let PaprState {
            vcpus,
            joining: _,
            rtas_calls: _,
            unknown_hcalls: _,
            unknown_rtas: _,
            agreement: _,
            logical_pvr: _,
            drcs,
            events,
            nmi,
            resize,
            tces,
            windows: _,
            rtas_base,
        } = self;
        for (n, v) in vcpus.iter().enumerate() {
            let Vcpu { run, start, areas, joined, hcalls: _ } = v;
            run.store(if n == 0 { RUNNING } else { STOPPED }, Ordering::SeqCst);
            *lock(start) = None;
            *lock(areas) = Areas::default();
            joined.store(false, Ordering::SeqCst);
        }
        *lock(drcs) = Drcs::new(config);
        *lock(events) = Events::default();
        *lock(nmi) = Nmi::default();
        lock(resize).reset();
        tces.clear();
        rtas_base.store(0, Ordering::SeqCst);
        self.set_agreement(Agreement::before(config));
    }

    // ---- virtual processors ----

    /// Number of virtual processors.
    pub fn vcpu_count(&self) -> usize {
        self.vcpus.len()
    }

    /// The index of the virtual processor with this interrupt server number, the number PAPR calls go by: they are
    /// the same.
    pub fn vcpu_of(&self, server: u64) -> Option<usize> {
        usize::try_from(server).ok().filter(|&n| n < self.vcpus.len())
    }

    /// Whether the guest has started the virtual processor and not stopped it.
    pub fn is_running(&self, vcpu: usize) -> bool {
        self.vcpus.get(vcpu).is_some_and(|v| v.run.load(Ordering::SeqCst) == RUNNING)
    }

    /// `start-cpu`: has a stopped processor begin. `false` if it is not stopped.
    pub(crate) fn start(&self, sh: &Shared, vcpu: usize, request: StartRequest) -> bool {
        let _ordered = lock(&self.joining);
        let v = &self.vcpus[vcpu];
        if v.run.load(Ordering::SeqCst) != STOPPED {
            return false;
        }
        *lock(&v.start) = Some(request);
        v.run.store(RUNNING, Ordering::SeqCst);
        if let Some(link) = sh.vcpus.get(vcpu) {
            link.post(event::LEAVE);
        }
        true
    }

    /// Where a stopped processor is to begin, once somebody has started it. [`event::LEAVE`] is posted to it then.
    pub fn take_start(&self, vcpu: usize) -> Option<StartRequest> {
        lock(&self.vcpus.get(vcpu)?.start).take()
    }

    /// `stop-self`.
    pub(crate) fn stop(&self, sh: &Shared, vcpu: usize) {
        let _ordered = lock(&self.joining);
        self.vcpus[vcpu].run.store(STOPPED, Ordering::SeqCst);
        // The last processor that has not joined may just have gone.
        self.wake_if_all_joined(sh, vcpu);
    }

    /// H_JOIN: notes that a processor has joined. `false` if all others that run have joined already, and then it has
    /// not: it is the one that goes on.
    pub(crate) fn join(&self, vcpu: usize) -> bool {
        let _ordered = lock(&self.joining);
        let others_run = self.others(vcpu).any(|v| !v.joined.load(Ordering::SeqCst));
        if others_run {
            self.vcpus[vcpu].joined.store(true, Ordering::SeqCst);
        }
        others_run
    }

    /// H_PROD for a processor that has joined takes it back.
    pub(crate) fn unjoin(&self, vcpu: usize) {
        self.vcpus[vcpu].joined.store(false, Ordering::SeqCst);
    }

    fn others(&self, vcpu: usize) -> impl Iterator<Item = &Vcpu> {
        let running = |v: &&Vcpu| v.run.load(Ordering::SeqCst) == RUNNING;
        self.vcpus.iter().enumerate().filter(move |(n, _)| *n != vcpu).map(|(_, v)| v).filter(running)
    }

    fn wake_if_all_joined(&self, sh: &Shared, leaving: usize) {
        let mut left = self.others(leaving).peekable();
        if left.peek().is_some() && left.all(|v| v.joined.load(Ordering::SeqCst)) {
            let first = self.vcpus.iter().position(|v| v.joined.swap(false, Ordering::SeqCst));
            if let Some(link) = first.and_then(|n| sh.vcpus.get(n)) {
                link.post(event::PROD);
            }
        }
    }

    // ---- agreement, RTAS ----

    /// What guest and platform agree upon now.
    pub fn agreement(&self) -> Agreement {
        lock(&self.agreement).clone()
    }

    pub(crate) fn set_agreement(&self, a: Agreement) {
        self.logical_pvr.store(a.logical_pvr, Ordering::SeqCst);
        *lock(&self.agreement) = a;
    }

    /// The architecture level all processors are to have: [`arch::CpuState::level`].
    pub fn level(&self) -> isa::Level {
        crate::cas::level_of(self.logical_pvr.load(Ordering::Relaxed))
    }

    /// Notes where the guest has placed RTAS.
    pub fn set_rtas_base(&self, base: u64) {
        self.rtas_base.store(base, Ordering::SeqCst);
    }

    /// Where RTAS stands, 0 if nowhere.
    pub fn rtas_base(&self) -> u64 {
        self.rtas_base.load(Ordering::SeqCst)
    }

    // ---- DMA windows ----

    /// The DMA windows, for devices to make and use.
    pub fn dma_windows(&self) -> &TceTables {
        &self.tces
    }

    // ---- counting ----

    #[inline]
    pub(crate) fn count_hcall(&self, vcpu: usize, row: usize) {
        if let Some(c) = self.vcpus.get(vcpu).and_then(|v| v.hcalls.get(row)) {
            // One writer, so no atomic addition.
            c.store(c.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    #[cold]
    pub(crate) fn count_unknown_hcall(&self, number: u64) -> bool {
        count_unknown(&self.unknown_hcalls, number)
    }

    pub(crate) fn count_rtas(&self, row: usize) {
        if let Some(c) = self.rtas_calls.get(row) {
            c.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_unknown_rtas(&self, token: u64) -> bool {
        count_unknown(&self.unknown_rtas, token)
    }

    /// How often each hypercall was made, those never made left out, by number.
    pub fn hcall_counts(&self) -> Vec<CallCount> {
        let known = hcall::TABLE.iter().enumerate().map(|(n, row)| CallCount {
            number: row.number,
            name: Some(row.name),
            count: self.vcpus.iter().map(|v| v.hcalls[n].load(Ordering::Relaxed)).sum(),
        });
        counts(known, &self.unknown_hcalls)
    }

    /// How often each RTAS call was made, those never made left out, by token.
    pub fn rtas_counts(&self) -> Vec<CallCount> {
        let known = rtas::TABLE.iter().enumerate().map(|(n, row)| CallCount {
            number: rtas::token(n) as u64,
            name: Some(row.name),
            count: self.rtas_calls[n].load(Ordering::Relaxed),
        });
        counts(known, &self.unknown_rtas)
    }

    // ---- saving ----

    /// All that the guest can notice; no processor may run. Counters are not part of it, and a table resize that is
    /// being prepared is forgotten, as LoPAR allows.
    pub fn save(&self) -> PaprSaved {
        let PaprState {
            vcpus,
            joining: _,
            rtas_calls: _,
            unknown_hcalls: _,
            unknown_rtas: _,
            agreement,
            logical_pvr: _,
            drcs,
            events,
            nmi,
            resize: _,
            tces,
            windows: _,
            rtas_base,
        } = self;
        let save_vcpu = |v: &Vcpu| {
            let Vcpu { run, start, areas, joined, hcalls: _ } = v;
            VcpuSaved {
                running: run.load(Ordering::SeqCst) == RUNNING,
                start: *lock(start),
                areas: lock(areas).save(),
                joined: joined.load(Ordering::SeqCst),
            }
        };
        PaprSaved {
            version: PaprSaved::VERSION,
            vcpus: vcpus.iter().map(save_vcpu).collect(),
            agreement: lock(agreement).clone(),
            drcs: lock(drcs).save(),
            events: lock(events).clone(),
            nmi: lock(nmi).clone(),
            tces: tces.save(),
            rtas_base: rtas_base.load(Ordering::SeqCst),
        }
    }

    /// Takes over a saved state; no processor may run. A state that is refused changes nothing.
    pub fn restore(&self, saved: PaprSaved) -> Result<(), BadPaprState> {
        let PaprSaved { version, vcpus, agreement, drcs, events, nmi, tces, rtas_base } = saved;
        if version != PaprSaved::VERSION {
            return Err(BadPaprState("another version"));
        }
        if vcpus.len() != self.vcpus.len() {
            return Err(BadPaprState("another number of processors"));
        }
        if !lock(&self.drcs).fits(&drcs) {
            return Err(BadPaprState("other connectors"));
        }
        self.tces.restore(tces).map_err(BadPaprState)?;
        for (v, saved) in self.vcpus.iter().zip(vcpus) {
            let VcpuSaved { running, start, areas, joined } = saved;
            v.run.store(if running { RUNNING } else { STOPPED }, Ordering::SeqCst);
            *lock(&v.start) = start;
            *lock(&v.areas) = Areas::restore(areas);
            v.joined.store(joined, Ordering::SeqCst);
        }
        lock(&self.drcs).restore(drcs);
        *lock(&self.events) = events.bounded();
        *lock(&self.nmi) = nmi;
        lock(&self.resize).reset();
        self.rtas_base.store(rtas_base, Ordering::SeqCst);
        self.set_agreement(agreement);
        Ok(())
    }
}

fn count_unknown(map: &Mutex<BTreeMap<u64, u64>>, number: u64) -> bool {
    let mut map = lock(map);
    if let Some(c) = map.get_mut(&number) {
        *c = c.wrapping_add(1);
        return false;
    }
    // What does not fit any more is counted under a number that does not exist.
    let fits = map.len() < MAX_UNKNOWN;
    let c = map.entry(if fits { number } else { u64::MAX }).or_insert(0);
    *c = c.wrapping_add(1);
    fits
}

fn counts(known: impl Iterator<Item = CallCount>, unknown: &Mutex<BTreeMap<u64, u64>>) -> Vec<CallCount> {
    let unknown: Vec<_> = lock(unknown).iter().map(|(&n, &c)| (n, c)).collect();
    let unknown = unknown.into_iter().map(|(number, count)| CallCount { number, name: None, count });
    let mut all: Vec<_> = known.filter(|c| c.count != 0).chain(unknown).collect();
    all.sort_by_key(|c| c.number);
    all
}

/// Saved state of a [`PaprState`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaprSaved {
    /// Format, [`PaprSaved::VERSION`].
    pub version: u32,
    /// Virtual processors.
    pub vcpus: Vec<VcpuSaved>,
    /// What was agreed upon.
    pub agreement: Agreement,
    /// Connectors.
    pub drcs: DrcsState,
    /// Events that wait for `check-exception`.
    pub events: Events,
    /// Firmware-assisted non-maskable interrupts.
    pub nmi: Nmi,
    /// DMA windows.
    pub tces: TceTablesState,
    /// Where RTAS stands.
    pub rtas_base: u64,
}

impl PaprSaved {
    /// The present format.
    pub const VERSION: u32 = 1;
}

/// Saved state of one virtual processor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VcpuSaved {
    /// Started and not stopped.
    pub running: bool,
    /// Start that the processor has not obeyed yet.
    pub start: Option<StartRequest>,
    /// Registered areas.
    pub areas: AreasState,
    /// Waits in H_JOIN.
    pub joined: bool,
}

/// A saved state does not fit the partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadPaprState(pub &'static str);

impl std::fmt::Display for BadPaprState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "saved PAPR state cannot be restored: {}", self.0)
    }
}

impl std::error::Error for BadPaprState {}
