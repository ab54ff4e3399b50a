//! The hashed page table of a partition (Book III, 6.7.9), owned by the hypervisor.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Hashed page table: PTE groups of eight 16-byte entries, outside the partition's memory.
pub struct Hpt {
    /// Two doublewords an entry.
    pub words: Box<[AtomicU64]>,
    /// log2 of the size in bytes.
    pub shift: u32,
    retired: AtomicBool,
}

impl Hpt {
    /// Whether another table has taken this one's place.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}
