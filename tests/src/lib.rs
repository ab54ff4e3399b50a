//! Harness for tests that boot real guests: describe a boot, start it, talk to its console, judge its log.
//!
//! The same description can be started under rhyp or under QEMU ([`Peer`]), so the tests themselves can be tested
//! and a difference in behaviour can be looked at side by side.
#![forbid(unsafe_code)]

mod case;
mod console;
mod guest;
mod images;
mod spec;

pub use case::{Case, rhyp_program};
pub use console::complaints;
pub use guest::{Guest, patience};
pub use images::Images;
pub use spec::{BootSpec, Cpu, IrqChip, Mmu, Outcome, Peer};
