//! The Power processor apart from its instructions: state, models, interrupts, address translation, time.
#![forbid(unsafe_code)]

pub mod cpu;
pub mod debug;
pub mod fault;
mod fp;
mod helpers;
pub mod hpt;
pub mod invalidations;
pub mod mmu;
pub mod model;
pub mod msr;
pub mod pmu;
mod save;
pub mod shared;
pub mod spr;
pub mod state;
pub mod time;

pub use cpu::{Cpu, Env, Exit, Flow, Stop};
pub use fault::{Fault, Vector};
pub use model::Model;
pub use save::{BadCpuState, CpuSaved};
pub use shared::{Shared, VcpuLink};
pub use state::{CpuState, SO_OWED, SlbEntry};
