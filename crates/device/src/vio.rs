//! Adapters below `/vdevice` (LoPAR chapter 17): what the VIO bus asks of each.

use std::any::Any;

use crate::{DeviceTree, LogicalLan, NodeId};

/// Return code of a hypercall as LoPAR numbers them; negative for failures.
pub type Rc = i64;

/// H_PARAMETER: a bad argument, or an adapter of another kind.
pub const H_PARAMETER: Rc = -4;

/// A DMA window that an adapter needs: the partition makes the table of translation control entries before it makes
/// the adapter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VioWindow {
    /// Logical I/O bus number.
    pub liobn: u32,
    /// Size in bytes, a multiple of 4 KiB.
    pub size: u64,
}

impl VioWindow {
    /// Adds to an adapter's node where its window is: number, I/O address 0, size.
    pub fn describe(&self, tree: &mut DeviceTree, node: NodeId) {
        let size = [(self.size >> 32) as u32, self.size as u32];
        tree.set_u32s(node, "ibm,my-dma-window", &[self.liobn, 0, 0, size[0], size[1]]);
        tree.set_u32(node, "ibm,#dma-address-cells", 2);
        tree.set_u32(node, "ibm,#dma-size-cells", 2);
    }
}

/// A virtual I/O adapter. Hypercalls come on any virtual processor's thread; they must not block for long.
pub trait VioDevice: Any + Send + Sync {
    /// Unit address.
    fn unit(&self) -> u32;
    /// Adds the adapter's node below `/vdevice`.
    fn describe(&self, tree: &mut DeviceTree, vdevice: NodeId) -> NodeId;
    /// Back to the state at power-on: queues are forgotten, requests under way are dropped or awaited, interrupts off.
    fn reset(&self);
    /// The guest-visible state; requests under way are awaited first.
    fn save(&self) -> serde_json::Value;
    /// Takes a saved state over, or says what does not fit.
    fn restore(&self, state: serde_json::Value) -> Result<(), String>;
    /// H_VIO_SIGNAL: enables (mode 1) or disables (mode 0) the interrupt.
    fn signal(&self, _mode: u64) -> Result<(), Rc> {
        Err(H_PARAMETER)
    }
    /// H_REG_CRQ: `len` bytes at the I/O address `queue` become the command queue.
    fn register_crq(&self, _queue: u64, _len: u64) -> Result<(), Rc> {
        Err(H_PARAMETER)
    }
    /// H_FREE_CRQ.
    fn free_crq(&self) -> Result<(), Rc> {
        Err(H_PARAMETER)
    }
    /// H_SEND_CRQ: one 16-byte message, as two big-endian words.
    fn send_crq(&self, _message: [u64; 2]) -> Result<(), Rc> {
        Err(H_PARAMETER)
    }
    /// H_ENABLE_CRQ.
    fn enable_crq(&self) -> Result<(), Rc> {
        Err(H_PARAMETER)
    }
    /// The adapter as the hypercalls of the logical LAN see it, if it is one.
    fn lan(&self) -> Option<&dyn LogicalLan> {
        None
    }
}
