//! Adapters below `/vdevice` (LoPAR chapter 17): what the VIO bus asks of each.

use std::any::Any;

use crate::{DeviceTree, DmaSpace, LogicalLan, NodeId};

/// Return code of a hypercall as LoPAR numbers them; negative for failures.
pub type Rc = i64;

/// H_PARAMETER: a bad argument, or an adapter of another kind.
pub const H_PARAMETER: Rc = -4;

/// H_NOT_FOUND: there is no such thing.
pub const H_NOT_FOUND: Rc = -7;

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
    /// H_VIOCTL (LoPAR 17.2.1.7): a subfunction and its first two arguments.
    fn control(&self, _function: u64, _args: [u64; 2]) -> Result<(), Rc> {
        Err(H_PARAMETER)
    }
    /// Whether the guest's firmware may have the adapter take I/O addresses for real ones: not where another partition
    /// would reach all of memory by that.
    fn may_bypass(&self) -> bool {
        true
    }
    /// The adapter as H_COPY_RDMA sees it, if it serves a partner.
    fn remote(&self) -> Option<&dyn RemoteWindow> {
        None
    }
    /// The adapter as the hypercalls of virtual terminals see it, if it is a server of them.
    fn vty_server(&self) -> Option<&dyn VtyServer> {
        None
    }
    /// The adapter as the hypercalls of the logical LAN see it, if it is one.
    fn lan(&self) -> Option<&dyn LogicalLan> {
        None
    }
}

/// The memory of an adapter's partner (LoPAR 17.2.1.8, "Remote DMA"): the window that the partner has for the adapter
/// at its own end.
pub trait RemoteWindow {
    /// Logical I/O bus number by which the adapter's own partition names it.
    fn liobn(&self) -> u32;
    /// Works on the partner's window, which stays the partner's until the work is done. H_PERMISSION if there is no
    /// connection.
    fn with(&self, work: &mut dyn FnMut(&dyn DmaSpace) -> Result<(), Rc>) -> Result<(), Rc>;
}

/// What one terminal is that a server may connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VtyPartner {
    /// Number of its partition.
    pub partition: u32,
    /// Its unit address there.
    pub unit: u32,
    /// Location code.
    pub location: String,
}

/// What the hypercalls of virtual terminals ask of a `vty-server` (LoPAR 16.6.3).
pub trait VtyServer {
    /// Terminals it may connect to, in order.
    fn partners(&self) -> Vec<VtyPartner>;
    /// H_REGISTER_VTERM: connects to the terminal `unit` of a partition.
    fn register(&self, partition: u64, unit: u64) -> Result<(), Rc>;
    /// H_FREE_VTERM.
    fn free(&self) -> Result<(), Rc>;
    /// H_GET_TERM_CHAR: number of bytes and two registers.
    fn get(&self) -> Result<(u64, [u64; 2]), Rc>;
    /// H_PUT_TERM_CHAR: as many bytes of two registers.
    fn put(&self, len: u64, registers: [u64; 2]) -> Result<(), Rc>;
}
