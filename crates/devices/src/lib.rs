//! The devices of the machines, one file or folder each.
//!
//! A device knows the device tree it describes itself in and its interrupt line (crate `device`) and
//! declares as traits whatever else it needs from its partition. It knows no hypercall numbers and no
//! register conventions: those stand in the tables that call it.
#![forbid(unsafe_code)]

pub mod crq;
pub mod intc;
pub mod nvram;
pub mod phb;
pub mod rc;
pub mod rng;
pub mod rtc;
pub mod scsi;
pub mod servers;
#[cfg(test)]
mod testing;
pub mod veth;
pub mod virtio;
pub mod vscsi;
pub mod vterm;
pub mod vty_server;
pub mod xics;
pub mod xive;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after another holder panicked: a partition in which that happened is stopped as a whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A saved state does not fit the machine it is restored into, or contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("saved {device} state cannot be restored: {reason}")]
pub struct BadState {
    /// The device's name.
    pub device: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl BadState {
    pub(crate) fn new(device: &'static str, reason: impl Into<String>) -> Self {
        BadState { device, reason: reason.into() }
    }
}
