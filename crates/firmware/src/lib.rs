//! The firmware a partition meets when it starts: the loader that puts a kernel into its memory, the few
//! instructions the kernel calls back through, and the Open Firmware client interface behind them.
//!
//! Nothing here knows a processor or a machine: guest memory is reached through [`elf::LoadTarget`] and
//! [`of_client::OfHost`], the device tree is a [`device::DeviceTree`].
#![forbid(unsafe_code)]

pub mod boot;
pub mod cas;
pub mod claims;
pub mod elf;
pub mod files;
pub mod of_client;
pub mod partition_table;
pub mod stub;
