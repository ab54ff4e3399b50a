//! Networks as adapters see them: a port that takes frames and hands frames over.
//! What lies behind one (passt, a tap device, a switch, ...) stands in a file of its own.
#![forbid(unsafe_code)]

pub mod finish;
pub mod join;
pub mod passt;
pub mod socket;
pub mod stream;
pub mod switch;
pub mod tap;
#[cfg(test)]
mod testing;

use std::sync::Arc;

/// Longest frame without offloads: 64 KiB and an Ethernet header with one tag.
pub const MAX_FRAME: usize = 65536 + 18;

/// What is left to do to a frame, in the terms of virtio 1.2 section 5.1.6 (`virtio_net_hdr`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offload {
    /// The checksum from `.0` to the end belongs at `.0 + .1`: (start, offset) in bytes.
    pub checksum: Option<(u16, u16)>,
    /// The checksum has been verified (towards the guest).
    pub checked: bool,
    /// Segmentation that is left to do.
    pub gso: Gso,
    /// Bytes of headers before the payload to be cut, if `gso` says anything.
    pub header_len: u16,
    /// Payload bytes of a segment.
    pub segment: u16,
}

/// Segmentation left to the receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Gso {
    /// None.
    #[default]
    None,
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
}

/// An adapter, as a network hands frames to it; called on the network's threads. No method has a default, so that who
/// stands in front of another adapter cannot forget to pass one on.
pub trait Nic: Send + Sync {
    /// Takes a frame. `false`: no room; the network drops it, or holds it back until [`Port::room`] is called.
    /// A frame that the adapter does not want, now or ever, counts as taken.
    fn deliver(&self, frame: &[u8], offload: Offload) -> bool;
    /// Whether frames with [`Offload::checksum`] and [`Offload::gso`] may be handed over now.
    fn takes_offloads(&self) -> bool;
    /// Whether a sender outside may be told to send TCP segments of up to 64 KiB.
    fn takes_large_segments(&self) -> bool;
    /// A batch has been handed over: whoever held an interrupt back raises it now. Every network calls this after one
    /// or more frames, on the same thread.
    fn done(&self);
    /// The address the adapter has now, or none if it takes frames of any address (a bridge to somewhere else).
    fn mac(&self) -> Option<[u8; 6]>;
}

/// The end of a network that an adapter is plugged into. When the last reference goes, threads and child processes
/// behind it end. No method has a default, as with [`Nic`].
pub trait Port: Send + Sync {
    /// Plugs the adapter in; frames begin to arrive. The port does not keep the adapter alive.
    fn connect(&self, nic: Arc<dyn Nic>);
    /// A frame from the adapter; must not block for long. A frame that finds no room is dropped. Checksum and
    /// segmentation may be left to do in any frame: what the network cannot hand on, the port does itself.
    fn send(&self, frame: &[u8], offload: Offload);
    /// The adapter has room again after it refused a frame.
    fn room(&self);
    /// Whether checksum and segmentation left to do cost nothing here.
    fn takes_offloads(&self) -> bool;
    /// The priority of a trunk adapter: what matches no address of a switch goes to the one with the lowest.
    fn trunk(&self) -> Option<u8>;
}
