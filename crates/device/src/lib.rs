//! What every device of a machine shares: the device tree it describes itself in.
//!
//! This crate knows no concrete device and no guest memory.
#![forbid(unsafe_code)]

pub mod fdt;
pub mod tree;

pub use fdt::FdtError;
pub use tree::{DeviceTree, NodeId, PathError};
