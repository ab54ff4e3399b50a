//! The hashed page table of a partition (Book III, 6.7.9) and the hypercalls that change it (LoPAR 14.5.4.1).
//!
//! The table lives outside the partition's memory. Entries keep the format of ISA 2.07, which is also the one of the
//! hypercalls on every processor. There is no lock for the table: each entry has a lock bit in its first doubleword,
//! held for a few instructions by whoever changes the entry. Translation ([`crate::mmu`]) takes no lock; it reads both
//! doublewords, then looks again whether they still are what they were.
//!
//! **Who may hold a translation.** Beside each entry stands the processor that translated by it, or "several". The
//! changing side makes its change first and reads that note afterwards; the translating side writes the note first and
//! checks the entry afterwards; all of it sequentially consistent. So either the translator sees the change and begins
//! again, or the changer sees the translator and names it in the [`Flush`] it returns. The caller has the flush done
//! before it answers the hypercall.

mod entry;
mod ops;
mod resize;
mod state;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

pub use entry::{PAGE_SIZES, SegmentPageSize, VirtualPage, page_shifts, pteh, ptel};
pub(crate) use entry::{allowed, segment_hash};
pub use ops::{Removed, flag};
pub use resize::Resize;
pub use state::{HptState, Run};

/// Entries of a group.
pub const GROUP: u64 = 8;

/// Why a hypercall on the table was not done, with the number PAPR gives it (LoPAR 14.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i64)]
pub enum HpteError {
    /// H_CLOSED: no resize is prepared, or one to another size.
    Closed = 2,
    /// H_PARTIAL: some of the entries were not removed.
    Partial = 5,
    /// H_PARAMETER: an argument is out of range.
    Parameter = -4,
    /// H_PTEG_FULL: no free entry.
    PtegFull = -6,
    /// H_NOT_FOUND: the entry is not there, or not the one meant.
    NotFound = -7,
    /// H_RESOURCE: a table of that size is not given.
    Resource = -16,
}

impl HpteError {
    /// The return code, as in r3.
    pub const fn code(self) -> i64 {
        self as i64
    }
}

/// Whose software TLB may hold translations by an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Users {
    /// Only that of the processor with this index ([`crate::mmu::MmuCache::new`]).
    One(u16),
    /// Any.
    Many,
}

/// What must leave the software TLBs before a hypercall answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flush {
    /// Nothing.
    None,
    /// One virtual page; [`crate::mmu::slb::effective`] finds where a processor sees it.
    Page(VirtualPage, Users),
    /// Everything translated.
    All,
}

/// One group, as a cache line of the architecture.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Group([AtomicU64; 2 * GROUP as usize]);

impl Group {
    /// The entries: first and second doubleword of each.
    #[inline]
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&AtomicU64, &AtomicU64)> {
        self.0.chunks_exact(2).map(|e| (&e[0], &e[1]))
    }
}

/// Values of the note beside an entry; others are a processor's index plus 1.
const NOBODY: u16 = 0;
const SEVERAL: u16 = u16::MAX;

/// A hashed page table: groups of eight 16-byte entries.
pub struct Hpt {
    groups: Box<[Group]>,
    users: Box<[AtomicU16]>,
    shift: u32,
    retired: AtomicBool,
}

/// log2 of the smallest table: 256 KiB.
pub const MIN_SHIFT: u32 = 18;
/// log2 of the largest table the architecture has.
pub const MAX_SHIFT: u32 = 46;

impl Hpt {
    /// An empty table of 2^`shift` bytes. The caller bounds `shift` by what it is ready to spend.
    ///
    /// [`HpteError::Parameter`] when no table can have that size, [`HpteError::Resource`] when there is no memory.
    pub fn new(shift: u32) -> Result<Self, HpteError> {
        if !(MIN_SHIFT..=MAX_SHIFT).contains(&shift) {
            return Err(HpteError::Parameter);
        }
        let groups = 1usize.checked_shl(shift - 7).ok_or(HpteError::Resource)?;
        Ok(Hpt {
            groups: zeroed(groups)?,
            users: zeroed(groups * GROUP as usize)?,
            shift,
            retired: AtomicBool::new(false),
        })
    }

    /// log2 of the size in bytes (`ibm,pft-size`).
    #[inline]
    pub fn shift(&self) -> u32 {
        self.shift
    }

    /// Number of entries.
    #[inline]
    pub fn entries(&self) -> u64 {
        1 << (self.shift - 4)
    }

    /// Number of valid entries; a walk over the whole table.
    pub fn count_valid(&self) -> u64 {
        (0..self.entries()).filter(|&n| self.high(n).load(Ordering::Relaxed) & pteh::V != 0).count() as u64
    }

    /// Put `new` in force in `slot` ([`crate::Shared::hpt`]) and have processors notice; returns the old table. The
    /// caller flushes all TLBs.
    pub fn replace(slot: &RwLock<Option<Arc<Hpt>>>, new: Option<Arc<Hpt>>) -> Option<Arc<Hpt>> {
        let old = std::mem::replace(&mut *slot.write().unwrap_or_else(|e| e.into_inner()), new);
        if let Some(old) = &old {
            old.retired.store(true, Ordering::SeqCst);
        }
        old
    }

    /// Whether another table has taken this one's place.
    #[inline]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Number of the group that `hash` names.
    #[inline]
    pub(crate) fn group_number(&self, hash: u64) -> u64 {
        hash & (self.groups.len() as u64 - 1)
    }

    /// A group by its number.
    #[inline]
    pub(crate) fn group(&self, number: u64) -> &Group {
        &self.groups[number as usize]
    }

    #[inline]
    pub(crate) fn high(&self, index: u64) -> &AtomicU64 {
        &self.groups[(index / GROUP) as usize].0[(index % GROUP) as usize * 2]
    }

    #[inline]
    pub(crate) fn low(&self, index: u64) -> &AtomicU64 {
        &self.groups[(index / GROUP) as usize].0[(index % GROUP) as usize * 2 + 1]
    }

    /// Note that processor `cpu` is about to translate by an entry; true when the note had to be written, and the
    /// entry must be checked again.
    #[inline]
    pub(crate) fn note_user(&self, index: u64, cpu: u16) -> bool {
        let me = if cpu < SEVERAL - 1 { cpu + 1 } else { SEVERAL };
        let note = &self.users[index as usize];
        let old = note.load(Ordering::Relaxed);
        if old == me || old == SEVERAL {
            return false;
        }
        if old != NOBODY || note.compare_exchange(NOBODY, me, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            note.store(SEVERAL, Ordering::SeqCst);
        }
        true
    }

    /// The flush for what an entry was, given the note beside it.
    fn flush_for(&self, index: u64, h: u64, l: u64, note: u16) -> Flush {
        let users = match note {
            NOBODY => return Flush::None,
            SEVERAL => Users::Many,
            n => Users::One(n - 1),
        };
        match VirtualPage::of(index, h, l) {
            Some(page) => Flush::Page(page, users),
            // No processor translates by an entry with a reserved page size.
            None => Flush::None,
        }
    }
}

fn zeroed<T: Default>(n: usize) -> Result<Box<[T]>, HpteError> {
    let mut v = Vec::new();
    v.try_reserve_exact(n).map_err(|_| HpteError::Resource)?;
    v.resize_with(n, T::default);
    Ok(v.into_boxed_slice())
}
