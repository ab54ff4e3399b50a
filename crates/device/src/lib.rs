//! What every device of a machine shares: the device tree it describes itself in, its
//! interrupt line, and its way to guest memory.
//!
//! This crate knows no concrete device.
#![forbid(unsafe_code)]

pub mod dma;
pub mod fdt;
pub mod irq;
pub mod lan;
pub mod pci;
pub mod tree;
pub mod vio;

pub use dma::{DmaAccess, DmaFault, DmaSpace};
pub use fdt::FdtError;
pub use irq::{IrqController, IrqError, IrqKind, IrqLine, VcpuLines};
pub use lan::LogicalLan;
pub use pci::PciFunction;
pub use tree::{DeviceTree, NodeId, PathError};
pub use vio::{RemoteWindow, VioDevice, VioWindow, VtyPartner, VtyServer};
