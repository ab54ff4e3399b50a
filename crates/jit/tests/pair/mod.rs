//! Two processors in real mode with 1 MiB of memory each, one for each engine, to be compared in everything.
#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arch::shared::Shared;
use arch::{Cpu, CpuState, Env, Exit, Flow, Model, msr};
use interp::Interpreter;
use jit::{Jit, Options, Tier2Options};
use mem::GuestRam;

struct Bare;

impl Env for Bare {
    fn hcall(&self, cpu: &mut Cpu) -> Flow {
        match cpu.st.gpr[3] {
            // One that goes on.
            0xf00d => {
                cpu.st.gpr[3] = 0xbeef;
                Flow::Continue
            }
            _ => Flow::Exit(Exit::Stop),
        }
    }
    fn mmio_load(&self, _: usize, ra: u64, size: u8) -> Option<u64> {
        (ra >> 20 == 0x80).then_some(ra.wrapping_mul(size as u64) >> (64 - 8 * size as u32))
    }
    fn mmio_store(&self, _: usize, ra: u64, _: u64, _: u8) -> bool {
        ra >> 20 == 0x80
    }
    fn set_decrementer(&self, _: usize, _: u64) {}
    fn doorbell(&self, _: usize, _: u32) {}
    fn absent(&self, _: &'static str, _: u32) {}
    fn threads_per_core(&self) -> u32 {
        1
    }
    fn random(&self) -> Option<u64> {
        Some(4)
    }
}

/// End of a program.
pub const SC1: u32 = 0x4400_0022;
/// Size of memory.
pub const SIZE: u64 = 1 << 20;

/// A processor with its memory.
pub fn machine(model: &str, le: bool) -> Cpu {
    machines(model, le, 1).remove(0)
}

/// Some processors with one memory.
pub fn machines(model: &str, le: bool, count: usize) -> Vec<Cpu> {
    let sh = Arc::new(Shared {
        ram: Arc::new(GuestRam::new(SIZE).unwrap()),
        lpcr: AtomicU64::new(if le { msr::lpcr::ILE } else { 0 }),
        prtb: AtomicU64::new(0),
        tb: Default::default(),
        vcpus: (0..count).map(|_| Default::default()).collect(),
        invalidations: Default::default(),
        hpt: Default::default(),
    });
    let model = Model::by_name(model).unwrap();
    let mut cpus: Vec<_> = (0..count).map(|n| Cpu::new(model, sh.clone(), Arc::new(Bare), n)).collect();
    if le {
        cpus.iter_mut().for_each(|c| c.set_msr(c.st.msr | msr::LE));
    }
    // Every interrupt ends the program.
    for v in (0x100..0x1000).step_by(0x20) {
        word(&cpus[0], v, SC1, le);
    }
    cpus
}

/// Put an instruction.
pub fn word(cpu: &Cpu, at: u64, w: u32, le: bool) {
    let w = if le { w } else { w.swap_bytes() };
    cpu.sh.ram.store_le(at, w as u64, 4).unwrap();
}

/// Options of the translator under test: the name of the test or `JIT_TIER2` makes it compile everything by the second tier (`all`), loops at
/// once (`loops`), loops on its thread (`thread`), or nothing (`off`).
pub fn options() -> Options {
    let base = Tier2Options { threshold: 1, wait: true, all: false, verify: true };
    let of_crate = match module_path!().split("::").next() {
        Some("tier2_all") => Ok("all"),
        Some("tier2_loops") => Ok("loops"),
        _ => Err(()),
    };
    let asked = std::env::var("JIT_TIER2");
    let tier2 = match asked.as_deref().or(of_crate) {
        Ok("all") => Tier2Options { all: true, ..base },
        Ok("loops") => base,
        Ok("thread") => Tier2Options { wait: false, ..base },
        Ok("off") => Tier2Options { threshold: 0, ..base },
        _ => Tier2Options { verify: true, ..Tier2Options::default() },
    };
    Options { code_bytes: 1 << 20, tier2, ..Options::default() }
}

/// Both engines.
pub struct Pair {
    pub a: Cpu,
    pub b: Cpu,
    pub le: bool,
    pub interp: Interpreter,
    pub jit: Jit,
}

impl Pair {
    pub fn new(model: &str, le: bool) -> Self {
        Pair {
            a: machine(model, le),
            b: machine(model, le),
            le,
            interp: Interpreter::default(),
            jit: Jit::new(&options()).unwrap(),
        }
    }

    /// Put code at `at` and start there.
    pub fn load(&mut self, at: u64, code: &[u32]) {
        for (n, &w) in code.iter().enumerate() {
            word(&self.a, at + 4 * n as u64, w, self.le);
            word(&self.b, at + 4 * n as u64, w, self.le);
        }
        self.both(|c| c.st.nia = at);
    }

    pub fn both(&mut self, f: impl Fn(&mut Cpu)) {
        f(&mut self.a);
        f(&mut self.b);
    }

    /// Run both to the end; what differs. `None` when the interpreter does not end in time.
    pub fn run(&mut self, budget: u64) -> Option<Vec<String>> {
        let x = self.interp.run(&mut self.a, budget);
        if x == Exit::Budget {
            return None;
        }
        let y = self.jit.run(&mut self.b, budget + (1 << 20));
        let mut d = differences(&self.a, &self.b);
        if x != y {
            d.push(format!("exit: {x:?} {y:?}"));
        }
        Some(d)
    }
}

/// All that a guest can see of two processors, where it differs.
pub fn differences(a: &Cpu, b: &Cpu) -> Vec<String> {
    let mut d = Vec::new();
    let seen = |s: &CpuState| {
        let mut s = s.clone();
        let v = fpu::FpRegs::fpscr(&s);
        fpu::FpRegs::set_fpscr(&mut s, v);
        s.settle_so();
        s.engine.fill(0);
        s.dec_expiry = 0;
        s
    };
    let (x, y) = (seen(&a.st), seen(&b.st));
    if x != y {
        let (x, y) = (format!("{x:#x?}"), format!("{y:#x?}"));
        let mut name = "";
        let mut nth = 0;
        for (l, r) in x.lines().zip(y.lines()) {
            if !l.starts_with("        ") {
                name = l;
                nth = 0;
            } else {
                nth += 1;
            }
            if l != r {
                d.push(format!("{name} #{nth}: interpreter {} translator {}", l.trim(), r.trim()));
            }
        }
    }
    if a.retired != b.retired {
        d.push(format!("retired: interpreter {} translator {}", a.retired, b.retired));
    }
    if a.fault != b.fault {
        d.push(format!("fault: interpreter {:?} translator {:?}", a.fault, b.fault));
    }
    let (mut x, mut y) = (vec![0u8; SIZE as usize], vec![0u8; SIZE as usize]);
    a.sh.ram.read(0, &mut x).unwrap();
    b.sh.ram.read(0, &mut y).unwrap();
    if x != y {
        let at = x.iter().zip(&y).position(|(l, r)| l != r).unwrap();
        d.push(format!(
            "memory at {at:#x}: interpreter {:02x?} translator {:02x?}",
            &x[at..at + 16],
            &y[at..at + 16]
        ));
    }
    d
}

/// A processor as at its start, interrupts that end the run, and zeroes in the rest of memory.
pub fn renew(c: &mut Cpu) {
    c.sh.ram.fill(0, SIZE, 0).unwrap();
    for v in (0x100..0x1000).step_by(0x20) {
        word(c, v, SC1, true);
    }
    let (level, pvr) = (c.st.level, c.st.pvr);
    c.st = CpuState::new(level, pvr, 0);
    c.tlb.flush();
    c.retired = 0;
    c.fault = arch::Fault::plain(arch::Vector::Program);
}

/// Random numbers, always the same for a seed.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}
