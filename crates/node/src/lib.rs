//! A managed system: partitions in one process that share its processors, disks and networks, and the socket through
//! which they are managed. The only room that knows more than one partition.
#![forbid(unsafe_code)]

pub mod api;
pub mod client;
mod console;
mod joints;
mod keeper;
mod locate;
pub mod profile;
pub mod quantity;
pub mod server;
pub mod size;
mod system;

#[cfg(test)]
mod tests;

pub use dispatch;
pub use profile::{Mistake, PartitionProfile, Profile, Source};
pub use system::{Ended, Equipment, Outfit, System};
