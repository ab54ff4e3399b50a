//! A partition for tests and fuzzing: real memory, interrupt controller, terminals and page table, no processors that run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use arch::model::Model;
use arch::time::Timebase;
use arch::{Cpu, Env, Flow, Shared, VcpuLink};
use device::irq::{IrqController, IrqKind, VcpuLines, lisn};
use devices::intc::{Intc, IrqMode};
use devices::nvram::Nvram;
use devices::phb::Phb;
use devices::rtc::Rtc;
use devices::vterm::{CONSOLE_UNIT, CharBackend, Vterm, Vterms};
use devices::xive::{GuestMemory, NotMemory};
use mem::GuestRam;

use crate::config::PartitionConfig;
use crate::platform::{End, HcallFlow, Platform};
use crate::state::PaprState;
use crate::vio::VioBus;

/// What the console was sent.
#[derive(Default)]
pub struct Console(pub Mutex<Vec<u8>>);

impl CharBackend for Console {
    fn write(&self, bytes: &[u8]) -> bool {
        self.0.lock().unwrap().extend_from_slice(bytes);
        true
    }
    fn input_room(&self) {}
}

struct NoLines;

impl VcpuLines for NoLines {
    fn set_external(&self, _: u32, _: bool) {}
}

struct Ram(Arc<GuestRam>);

impl GuestMemory for Ram {
    fn contains(&self, addr: u64, len: u64) -> bool {
        addr.checked_add(len).is_some_and(|end| end <= self.0.size())
    }
    fn write_u32_be(&self, addr: u64, value: u32) -> Result<(), NotMemory> {
        self.0.write_u32_be(addr, value).map_err(|_| NotMemory)
    }
}

/// Where a device answers loads with what was stored last.
pub const MMIO: u64 = 0x2000_0000_0000;

#[derive(Default)]
struct TestEnv {
    mmio: AtomicU64,
}

impl Env for TestEnv {
    fn hcall(&self, _: &mut Cpu) -> Flow {
        Flow::Continue
    }
    fn mmio_load(&self, _: usize, ra: u64, _: u8) -> Option<u64> {
        (ra & !0xff == MMIO).then(|| self.mmio.load(Ordering::Relaxed))
    }
    fn mmio_store(&self, _: usize, ra: u64, v: u64, _: u8) -> bool {
        self.mmio.store(v, Ordering::Relaxed);
        ra & !0xff == MMIO
    }
    fn set_decrementer(&self, _: usize, _: u64) {}
    fn doorbell(&self, _: usize, _: u32) {}
    fn absent(&self, _: &'static str, _: u32) {}
    fn threads_per_core(&self) -> u32 {
        1
    }
    fn random(&self) -> Option<u64> {
        Some(0x0123_4567_89ab_cdef)
    }
}

/// The partition.
pub struct TestPlatform {
    /// Its description.
    pub config: PartitionConfig,
    /// The state of the PAPR interface.
    pub papr: PaprState,
    /// Memory and the processors' mailboxes.
    pub shared: Arc<Shared>,
    /// The interrupt controller.
    pub intc: Intc,
    /// The console, as the guest reaches it.
    pub terminals: Vterms,
    /// The console's other end.
    pub console: Arc<Console>,
    /// The non-volatile memory.
    pub nvram: Nvram,
    /// The clock.
    pub rtc: Rtc,
    /// Its adapters.
    pub vio: VioBus,
    /// Its PCI host bridge.
    pub phb: Option<Phb>,
    /// What ends the guest asked for.
    pub ended: Mutex<Vec<End>>,
}

impl Platform for TestPlatform {
    fn config(&self) -> &PartitionConfig {
        &self.config
    }
    fn papr(&self) -> &PaprState {
        &self.papr
    }
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
    fn intc(&self) -> &Intc {
        &self.intc
    }
    fn terminals(&self) -> &Vterms {
        &self.terminals
    }
    fn nvram(&self) -> &Nvram {
        &self.nvram
    }
    fn rtc(&self) -> &Rtc {
        &self.rtc
    }
    fn vio(&self) -> &VioBus {
        &self.vio
    }
    fn phb(&self) -> Option<&Phb> {
        self.phb.as_ref()
    }
    fn of_client(&self, cpu: &mut Cpu, args: u64) -> HcallFlow {
        cpu.st.gpr[3] = if args == 0 { u64::MAX } else { 0 };
        HcallFlow::Continue
    }
    fn end(&self, how: End) {
        self.ended.lock().unwrap().push(how);
    }
}

/// Memory of a test partition.
pub const MEMORY: u64 = 64 << 20;

/// A configuration of this model with four processors, two threads to a core.
pub fn config(model: &str) -> PartitionConfig {
    let model = Model::by_name(model).unwrap();
    PartitionConfig { vcpus: 4, threads: 2, ..PartitionConfig::new(model, MEMORY) }
}

impl TestPlatform {
    /// A partition, powered on.
    pub fn new(config: PartitionConfig) -> Self {
        let ram = Arc::new(GuestRam::new(config.memory).unwrap());
        let vcpus = config.vcpus;
        let shared = Arc::new(Shared {
            ram: ram.clone(),
            lpcr: AtomicU64::new(0),
            prtb: AtomicU64::new(0),
            tb: Timebase::default(),
            vcpus: (0..vcpus).map(|_| Arc::new(VcpuLink::default())).collect(),
            invalidations: Default::default(),
            hpt: RwLock::new(None),
        });
        let servers: Vec<u32> = (0..vcpus).collect();
        let intc = Intc::new(&servers, IrqMode::Xics, Arc::new(NoLines), Arc::new(Ram(ram)));
        let console = Arc::new(Console::default());
        let mut terminals = Vterms::default();
        let line = intc.claim(lisn::VIO.start, IrqKind::Msi).unwrap();
        terminals.add(Arc::new(Vterm::new(CONSOLE_UNIT, line, console.clone())));
        intc.claim(lisn::EPOW, IrqKind::Msi).unwrap();
        let p = TestPlatform {
            papr: PaprState::new(&config),
            config,
            shared,
            intc,
            terminals,
            console,
            nvram: Nvram::volatile(),
            rtc: Rtc::new(),
            vio: VioBus::default(),
            phb: None,
            ended: Mutex::default(),
        };
        crate::cas::power_on(&p).unwrap();
        p
    }

    /// One of its processors.
    pub fn cpu(&self, index: usize) -> Cpu {
        Cpu::new(self.config.model, self.shared.clone(), Arc::new(TestEnv::default()), index)
    }

    /// Makes a hypercall; answers r3.
    pub fn hcall(&self, cpu: &mut Cpu, number: u64, args: &[u64]) -> i64 {
        self.hcall_flow(cpu, number, args).0
    }

    /// Makes a hypercall; answers r3 and what comes next.
    pub fn hcall_flow(&self, cpu: &mut Cpu, number: u64, args: &[u64]) -> (i64, HcallFlow) {
        cpu.st.gpr[3] = number;
        cpu.st.gpr[4..4 + args.len()].copy_from_slice(args);
        let flow = crate::hcall(self, cpu);
        (cpu.st.gpr[3] as i64, flow)
    }

    /// Makes an RTAS call with room for `nrets` results; answers those.
    pub fn rtas(&self, cpu: &mut Cpu, name: &str, args: &[u32], nrets: usize) -> Vec<u32> {
        let token = crate::rtas::token_of(name).unwrap();
        const BLOCK: u64 = 0x10_0000;
        let cells = [&[token, args.len() as u32, nrets as u32], args].concat();
        for (n, c) in cells.iter().enumerate() {
            self.shared.ram.write_u32_be(BLOCK + 4 * n as u64, *c).unwrap();
        }
        assert_eq!(self.hcall(cpu, 0xf000, &[BLOCK]), 0);
        let at = BLOCK + 4 * cells.len() as u64;
        (0..nrets).map(|n| self.shared.ram.read_u32_be(at + 4 * n as u64).unwrap()).collect()
    }
}

/// Small deterministic random numbers (xorshift64*).
pub struct Rng(pub u64);

impl Rng {
    /// The next number.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
