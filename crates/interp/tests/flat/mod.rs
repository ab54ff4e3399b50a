//! A processor in real mode with 1 MiB of memory and nothing else; `sc 1` ends a program.
#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arch::shared::Shared;
use arch::{Cpu, Env, Exit, Flow, Model, msr};
use interp::Interpreter;
use mem::GuestRam;

struct Bare;

impl Env for Bare {
    fn hcall(&self, _: &mut Cpu) -> Flow {
        Flow::Exit(Exit::Stop)
    }
    fn mmio_load(&self, _: usize, _: u64, _: u8) -> Option<u64> {
        None
    }
    fn mmio_store(&self, _: usize, _: u64, _: u64, _: u8) -> bool {
        false
    }
    fn set_decrementer(&self, _: usize, _: u64) {}
    fn doorbell(&self, _: usize, _: u32) {}
    fn absent(&self, mnemonic: &'static str, raw: u32) {
        eprintln!("absent: {mnemonic} ({raw:#x})");
    }
    fn threads_per_core(&self) -> u32 {
        1
    }
    fn random(&self) -> Option<u64> {
        Some(4)
    }
}

pub struct Flat {
    pub cpu: Cpu,
    pub interp: Interpreter,
}

impl Flat {
    pub fn new(model: &str, code: &[u32]) -> Self {
        Self::at(model, 0x1000, code)
    }

    pub fn little(model: &str, code: &[u32]) -> Self {
        let mut f = Self::at(model, 0x1000, &[]);
        for (n, w) in code.iter().enumerate() {
            f.cpu.sh.ram.store_le(0x1000 + 4 * n as u64, *w as u64, 4).unwrap();
        }
        f.cpu.set_msr(f.cpu.st.msr | msr::LE);
        f
    }

    pub fn at(model: &str, at: u64, code: &[u32]) -> Self {
        let ram = Arc::new(GuestRam::new(1 << 20).unwrap());
        let sh = Arc::new(Shared {
            ram,
            lpcr: AtomicU64::new(0),
            prtb: AtomicU64::new(0),
            tb: Default::default(),
            vcpus: vec![Default::default(), Default::default()],
            invalidations: Default::default(),
            hpt: Default::default(),
        });
        let mut cpu = Cpu::new(Model::by_name(model).unwrap(), sh, Arc::new(Bare), 0);
        cpu.st.nia = at;
        let f = Flat { cpu, interp: Interpreter::default() };
        for (n, w) in code.iter().enumerate() {
            f.word(at + 4 * n as u64, *w);
        }
        f
    }

    /// The other processor of the partition, which is out of the guest.
    #[allow(dead_code, reason = "not all tests have need of it")]
    pub fn another(&self) -> Cpu {
        Cpu::new(self.cpu.model, self.cpu.sh.clone(), Arc::new(Bare), 1)
    }

    pub fn word(&self, at: u64, w: u32) {
        self.cpu.sh.ram.write_u32_be(at, w).unwrap();
    }

    pub fn run(&mut self) {
        assert_eq!(self.interp.run(&mut self.cpu, 1_000_000), Exit::Stop);
    }
}
