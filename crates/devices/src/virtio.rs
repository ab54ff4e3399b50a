//! Virtio 1.2 devices on PCI (OASIS "Virtual I/O Device (VIRTIO) Version 1.2"): what all have in common.
//!
//! A device is a file that implements [`VirtioDevice`]. Its transport ([`VirtioPci`]) shares a [`Link`] with it: the
//! queues, the memory behind them, and the way to interrupt the driver. Devices see real addresses: they do not offer
//! `VIRTIO_F_ACCESS_PLATFORM`, so drivers do not go through the bridge's DMA windows.

pub mod balloon;
pub mod blk;
pub mod console;
mod link;
pub mod net;
mod pci;
pub mod queue;
pub mod rng;
pub mod scsi;
#[cfg(test)]
mod testing;
pub mod vhost;
mod worker;

use std::sync::Arc;

pub use link::{Chain, Layout, Link, Taken};
pub use pci::VirtioPci;
pub use worker::Worker;

/// Feature bits that belong to no kind of device (6).
pub mod feature {
    #![allow(missing_docs)]
    pub const INDIRECT_DESC: u64 = 1 << 28;
    pub const EVENT_IDX: u64 = 1 << 29;
    pub const VERSION_1: u64 = 1 << 32;
    /// What every device here offers.
    pub const ALL: u64 = INDIRECT_DESC | EVENT_IDX | VERSION_1;
}

/// What a driver says of its progress (2.1).
pub mod status {
    #![allow(missing_docs)]
    pub const ACKNOWLEDGE: u8 = 1;
    pub const DRIVER: u8 = 2;
    pub const DRIVER_OK: u8 = 4;
    pub const FEATURES_OK: u8 = 8;
    pub const NEEDS_RESET: u8 = 0x40;
    pub const FAILED: u8 = 0x80;
}

/// A kind of device, without its transport. All methods may be called on any virtual processor's thread and must not
/// block for long, except as noted.
pub trait VirtioDevice: Send + Sync {
    /// Its number (5).
    fn kind(&self) -> u16;
    /// PCI class code, 24 bits.
    fn class(&self) -> u32;
    /// Name of its node in the device tree.
    fn node_name(&self) -> &'static str;
    /// The features of its kind that it offers.
    fn features(&self) -> u64;
    /// The features of no kind that it offers.
    fn common_features(&self) -> u64 {
        feature::ALL
    }
    /// Most descriptors of each of its queues, powers of two; at most 64 queues.
    fn queue_sizes(&self) -> Vec<u16>;
    /// Fills `out` from its configuration at `offset`; what is beyond the end stays 0.
    fn read_config(&self, offset: usize, out: &mut [u8]);
    /// Takes bytes for its configuration.
    fn write_config(&self, _link: &Arc<Link>, _offset: usize, _data: &[u8]) {}
    /// Adds to its node what is not the transport's.
    fn describe(&self, _tree: &mut device::DeviceTree, _node: device::NodeId) {}
    /// Whether [`VirtioDevice::start`] and [`VirtioDevice::stop`] wait for another program. They are then called on
    /// a thread of their own, and the driver sees by the device's status when it has been reset (2.4.1).
    fn waits_for_others(&self) -> bool {
        false
    }
    /// The driver is ready. Queues may have something already.
    fn start(&self, link: &Arc<Link>);
    /// The driver has put something into a queue, or taken something out.
    fn notify(&self, link: &Arc<Link>, queue: usize);
    /// The driver is gone: forget it, drop all chains that only wait. The transport then waits for those under way, so
    /// work on them must come to an end by itself.
    fn stop(&self);
    /// The guest-visible state of its own; called with nothing under way.
    fn save(&self) -> serde_json::Value;
    /// Takes a saved state over.
    fn restore(&self, state: serde_json::Value) -> Result<(), String>;
}

/// Copies what `bytes` has from `offset` on to `out`.
pub(crate) fn copy_config(bytes: &[u8], offset: usize, out: &mut [u8]) {
    if let Some(from) = bytes.get(offset..) {
        let n = from.len().min(out.len());
        out[..n].copy_from_slice(&from[..n]);
    }
}
