//! What every device of a machine shares: the device tree it describes itself in, and its interrupt line.
//!
//! This crate knows no concrete device and no guest memory.
#![forbid(unsafe_code)]

pub mod fdt;
pub mod irq;
pub mod tree;

pub use fdt::FdtError;
pub use irq::{IrqController, IrqError, IrqKind, IrqLine, VcpuLines};
pub use tree::{DeviceTree, NodeId, PathError};
