//! Guest memory and the software TLB.
//!
//! [`GuestRam`] is the memory of one partition: real addresses `0..size`, backed by a memfd. Everything outside this
//! crate reaches it through checked accessors, or through a [`Tlb`] whose entries can only be made from checked pages.
//! Guest memory is shared between processors and devices, so every access is a relaxed atomic or a volatile copy;
//! no Rust reference to guest bytes ever exists.

mod freeze;
mod host;
mod huge;
mod pieces;
mod ram;
mod share;
mod tlb;

pub use host::give_back;
pub use pieces::Pieces;
pub use ram::{GuestRam, OutOfRange, PAGE_SHIFT, PAGE_SIZE, page_flag};
pub use share::{Pool, Scan, Shared, Step};
pub use tlb::{Access, TLB_BITS, TLB_MODES, Tlb, TlbEntry, TlbMode, table_offset};
