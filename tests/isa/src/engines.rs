//! Our engines, each with a processor in real mode and 1 MiB of memory.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arch::shared::Shared;
use arch::{Cpu, CpuState, Env, Exit, Flow, Model, msr};
use fpu::FpRegs;
use interp::Interpreter;
use jit::{Jit, Options};
use mem::GuestRam;

use crate::state::{CODE, CODE_SIZE, DATA, Digest, End, MEM, Output, State};
use crate::vector::Vector;

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
        eprintln!("no semantics: {mnemonic} ({raw:#x})");
    }
    fn threads_per_core(&self) -> u32 {
        1
    }
    fn random(&self) -> Option<u64> {
        Some(0x1234_5678_9abc_def0)
    }
}

/// `sc 1`: ends a run.
const SC1: u32 = 0x4400_0022;
/// `trap`
pub const TRAP: u32 = 0x7fe0_0008;
const SIZE: u64 = 1 << 20;

enum Engine {
    Interp(Box<Interpreter>),
    Jit(Box<Jit>),
}

/// One engine with its processor.
pub struct Machine {
    cpu: Cpu,
    engine: Engine,
    le: bool,
    pr: bool,
    blank: Box<CpuState>,
}

impl Machine {
    /// The interpreter, or the translator if the host has one.
    pub fn new(model: &str, le: bool, pr: bool, translate: bool) -> Option<Self> {
        let engine = if translate {
            Engine::Jit(Box::new(Jit::new(&Options { code_bytes: 1 << 20, ..Options::default() })?))
        } else {
            Engine::Interp(Box::default())
        };
        let sh = Arc::new(Shared {
            ram: Arc::new(GuestRam::new(SIZE).ok()?),
            lpcr: AtomicU64::new(if le { msr::lpcr::ILE } else { 0 }),
            prtb: AtomicU64::new(0),
            tb: Default::default(),
            vcpus: vec![Default::default()],
            invalidations: Default::default(),
            hpt: Default::default(),
        });
        let cpu = Cpu::new(Model::by_name(model)?, sh, Arc::new(Bare), 0);
        let blank = CpuState::new(cpu.st.level, cpu.st.pvr, 0);
        let mut m = Machine { cpu, engine, le, pr, blank };
        for v in (0x100..0x1000).chain(0x3000..0x4000).step_by(0x20) {
            m.put(v, SC1);
        }
        for at in (CODE..CODE + CODE_SIZE).step_by(4) {
            m.put(at, m.fill());
        }
        Some(m)
    }

    /// What stands where no instruction of a vector is. A supervisor's run ends without an interrupt.
    fn fill(&self) -> u32 {
        if self.pr { TRAP } else { SC1 }
    }

    fn put(&mut self, at: u64, word: u32) {
        let word = if self.le { word } else { word.swap_bytes() };
        self.cpu.sh.ram.store_le(at, word.into(), 4).expect("an address of memory");
    }

    /// Runs one vector; `None` when it does not end.
    pub fn run(&mut self, v: &Vector) -> Option<Output> {
        let s = &v.input;
        *self.cpu.st = (*self.blank).clone();
        self.cpu.tlb.flush();
        self.cpu.prefixed = false;
        let st = &mut self.cpu.st;
        st.gpr = s.gpr;
        st.vsr = s.vsr;
        st.set_cr_word(s.cr as u32);
        st.set_xer(s.xer);
        (st.lr, st.ctr, st.tar) = (s.lr, s.ctr, s.tar);
        st.set_fpscr(s.fpscr);
        st.vscr = s.vscr as u32;
        st.fscr = u64::MAX >> 8;
        (st.hashkey, st.hashpkey) = (0, 0x0123_4567_89ab_cdef);
        // An interrupt return goes to the middle of the page of code.
        (st.srr0, st.srr1) = (CODE + 0x900, msr::SF | msr::ME | msr::FP);
        let mut bits = msr::SF | msr::ME | msr::FP | msr::VEC | msr::VSX | msr::FE0 | msr::FE1;
        if self.le {
            bits |= msr::LE;
            st.srr1 |= msr::LE;
        }
        if self.pr {
            bits |= msr::PR;
        }
        st.nia = v.start;
        self.cpu.set_msr(bits);
        self.cpu.sh.ram.write(DATA, &s.mem).expect("the window");
        for (k, &w) in v.code.iter().enumerate() {
            self.put(v.start + 4 * k as u64, w);
        }
        let exit = match &mut self.engine {
            Engine::Interp(e) => e.run(&mut self.cpu, 1000),
            Engine::Jit(e) => e.run(&mut self.cpu, 1000),
        };
        for k in 0..v.code.len() as u64 {
            self.put(v.start + 4 * k, self.fill());
        }
        (exit == Exit::Stop).then(|| self.output(v))
    }

    fn output(&mut self, v: &Vector) -> Output {
        let next = v.at + v.insn.len();
        let st = &self.cpu.st;
        let mut mem = [0; MEM];
        self.cpu.sh.ram.read(DATA, &mut mem).expect("the window");
        let state = State {
            gpr: st.gpr,
            vsr: st.vsr,
            cr: st.cr_word().into(),
            xer: st.xer(),
            lr: st.lr,
            ctr: st.ctr,
            tar: st.tar,
            fpscr: st.fpscr(),
            vscr: st.vscr.into(),
            mem,
        };
        let mut whole = Digest::default();
        let ended = st.nia.wrapping_sub(4);
        let end = if v.pr {
            // The interrupt tells: the trap after the instruction, or its own.
            let vector = ended;
            let program = |bit: u64| vector == 0x700 && st.srr1 & bit != 0;
            match vector {
                _ if vector < 0x1000 && st.srr0 != v.at && !matches!(vector, 0xc00) => End::Next(st.srr0),
                _ if program(1 << 20) => End::FpEnabled,
                _ if program(1 << 19) => End::Illegal,
                _ if program(1 << 18) => End::Privileged,
                _ if program(1 << 17) => End::Trap,
                0xf20 | 0xf40 | 0xf60 | 0x800 | 0xe40 | 0xf80 => End::Illegal,
                0x600 => End::Alignment,
                0x300 | 0x380 | 0x400 | 0x480 => End::Storage,
                other => End::Other(other),
            }
        } else {
            for w in [st.nia, st.msr, st.srr0, st.srr1, st.dar, st.dsisr.into(), st.pidr, st.fscr, st.amr] {
                whole.word(w);
            }
            for w in [st.iamr, st.uamor, st.dscr, st.ciabr, st.hashkey, st.hashpkey, st.vrsave.into()] {
                whole.word(w);
            }
            for w in st.sprg.iter().chain(&st.dawr).chain(&st.dawrx) {
                whole.word(*w);
            }
            for e in &st.slb {
                whole.word(e.esid);
                whole.word(e.vsid);
            }
            End::Next(if ended == next { next } else { ended })
        };
        let whole = if v.pr { 0 } else { whole.long() };
        let mut out = Output { end, state, whole };
        if v.row.mnemonic == "mftb" || v.row.mnemonic == "mfspr" && !v.pr {
            out.state.gpr[v.insn.rt() as usize] = 0;
        }
        out
    }
}
