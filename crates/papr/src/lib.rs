//! The PAPR interface of one partition (LoPAR, "Linux on Power Architecture Reference").
//!
//! - [`hcall`](mod@hcall): the hypercalls, one row each in the file of their family;
//! - [`rtas`]: the run-time abstraction services behind one of them, one row each;
//! - [`fdt`]: the device tree a partition starts with;
//! - [`cas`]: what guest and platform agree upon (`ibm,client-architecture-support`);
//! - [`drc`]: connectors of dynamic reconfiguration;
//! - [`PaprState`]: what all these remember;
//! - [`Platform`]: what they ask of their partition.
//!
//! To add a hypercall or an RTAS call: a row in the table of its family and the function the row names.
#![forbid(unsafe_code)]

pub mod cas;
pub mod config;
pub mod drc;
pub mod fdt;
pub mod hcall;
pub mod platform;
pub mod rc;
pub mod rtas;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod vio;

pub use config::{Capacity, IrqChoice, Limits, MmuChoice, PartitionConfig};
pub use hcall::hcall;
pub use platform::{End, HcallFlow, Platform};
pub use state::{PaprState, StartRequest};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after another holder panicked: a partition in which that happened is stopped as a whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
