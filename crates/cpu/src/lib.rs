//! A virtual processor is an [`arch::Cpu`] and an [`Engine`] that carries out its instructions.
#![forbid(unsafe_code)]

use std::sync::Arc;

use arch::{Cpu, Exit};
use interp::Interpreter;
use jit::{CodeCache, Jit};

pub use jit::{Options as JitOptions, Stats};

/// Which engine carries out guest instructions.
#[derive(Clone, Debug, Default)]
pub enum Accel {
    /// The interpreter.
    #[default]
    Interp,
    /// The translator, where the host has one; else the interpreter.
    Jit(JitOptions),
}

/// Bytes of translated code that are not worth being thrown away.
const LITTLE: usize = 4 << 20;

/// The engine of one processor. What a guest sees does not depend on which it is.
pub enum Engine {
    /// The interpreter.
    Interp(Box<Interpreter>),
    /// The translator.
    Jit(Box<Jit>),
}

/// What the engines of a partition's processors have in common.
#[derive(Clone, Default)]
pub struct Engines(Option<Arc<CodeCache>>);

impl Engines {
    /// For engines of the given kind; nothing is translated yet.
    pub fn new(accel: &Accel) -> Self {
        Engines(match accel {
            Accel::Interp => None,
            Accel::Jit(o) => {
                let code = CodeCache::new(o);
                if code.is_none() {
                    tracing::warn!("no translator for this host: instructions are interpreted");
                }
                code
            }
        })
    }

    /// The engine of one more processor.
    pub fn engine(&self) -> Engine {
        match &self.0 {
            Some(code) => Engine::Jit(Box::new(Jit::with(code.clone()))),
            None => Engine::Interp(Box::default()),
        }
    }
}

impl Engine {
    /// Run `cpu` until something must be done outside, or about `budget` instructions are done. An engine must only
    /// ever be given the same processor.
    pub fn run(&mut self, cpu: &mut Cpu, budget: u64) -> Exit {
        cpu.pmu_enter();
        let exit = match self {
            Engine::Interp(e) => e.run(cpu, budget),
            Engine::Jit(e) => e.run(cpu, budget),
        };
        cpu.pmu_leave();
        exit
    }

    /// Give back the memory of what can be made again, if it is much: for a processor that has little to do. True if it
    /// was.
    pub fn trim(&mut self, cpu: &mut Cpu) -> bool {
        let much = match self {
            Engine::Interp(e) => {
                **e = Interpreter::default();
                true
            }
            Engine::Jit(e) => e.trim(LITTLE),
        };
        if much {
            cpu.trim();
        }
        much
    }

    /// What the translator did, if this is one.
    pub fn stats(&self) -> Option<Stats> {
        match self {
            Engine::Interp(_) => None,
            Engine::Jit(e) => Some(e.stats()),
        }
    }

    /// Names of the instructions that the translator left to the interpreter and how often those ran, the most
    /// frequent first (with [`JitOptions::profile`]).
    pub fn profile(&self) -> Vec<(&'static str, u64)> {
        match self {
            Engine::Interp(_) => Vec::new(),
            Engine::Jit(e) => e.profile(),
        }
    }
}
