//! What the hypercalls of the interpartition logical LAN ask of an adapter (LoPAR 17.4).

use crate::vio::Rc;

/// A virtual Ethernet adapter, `IBM,l-lan`. Addresses are I/O addresses in the adapter's window; a buffer descriptor is
/// a word with flags and length in its upper half and an I/O address in its lower.
pub trait LogicalLan {
    /// H_REGISTER_LOGICAL_LAN: buffer list page, descriptor of the receive queue, multicast filter page, address.
    fn register(&self, buffers: u64, queue: u64, filters: u64, mac: u64) -> Result<(), Rc>;
    /// H_FREE_LOGICAL_LAN.
    fn free(&self) -> Result<(), Rc>;
    /// H_ADD_LOGICAL_LAN_BUFFER and H_ADD_LOGICAL_LAN_BUFFERS: descriptors of receive buffers; those behind the first
    /// invalid one do not count, unless that is the first.
    fn add_buffers(&self, descriptors: &[u64]) -> Result<(), Rc>;
    /// H_FREE_LOGICAL_LAN_BUFFER: one buffer of that size comes back through the receive queue.
    fn free_buffer(&self, size: u64) -> Result<(), Rc>;
    /// H_SEND_LOGICAL_LAN: the parts of a frame, and the segment size if it is to be cut.
    fn send(&self, descriptors: [u64; 6], segment: u64) -> Result<(), Rc>;
    /// H_MULTICAST_CTRL.
    fn multicast(&self, flags: u64, mac: u64) -> Result<(), Rc>;
    /// H_CHANGE_LOGICAL_LAN_MAC.
    fn change_mac(&self, mac: u64) -> Result<(), Rc>;
    /// H_ILLAN_ATTRIBUTES: bits to clear, bits to set; the attributes after that.
    fn attributes(&self, clear: u64, set: u64) -> Result<u64, Rc>;
}
