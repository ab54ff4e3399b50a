//! Resizing (LoPAR 14.5.4.4): a new table is prepared, then filled from the old one and put in its place.

use std::sync::{Arc, RwLock};

use super::entry::{page_shifts, pteh, segment_hash};
use super::{Flush, GROUP, Hpt, HpteError, VirtualPage};

/// A resize under way.
#[derive(Default)]
pub struct Resize {
    prepared: Option<Arc<Hpt>>,
}

impl Resize {
    /// H_RESIZE_HPT_PREPARE: make a table of 2^`shift` bytes, or with 0 forget the one prepared. It is done when the
    /// call returns. `max_shift` is the largest table this partition is given.
    ///
    /// `Parameter`: flags or size; `Resource`: too large, or no memory.
    pub fn prepare(&mut self, flags: u64, shift: u64, max_shift: u32) -> Result<(), HpteError> {
        if flags != 0 {
            return Err(HpteError::Parameter);
        }
        if self.prepared.as_ref().is_some_and(|h| h.shift() as u64 == shift) {
            return Ok(());
        }
        self.prepared = None;
        if shift == 0 {
            return Ok(());
        }
        if !(super::MIN_SHIFT as u64..=super::MAX_SHIFT as u64).contains(&shift) {
            return Err(HpteError::Parameter);
        }
        if shift > max_shift as u64 {
            return Err(HpteError::Resource);
        }
        self.prepared = Some(Arc::new(Hpt::new(shift as u32)?));
        Ok(())
    }

    /// H_RESIZE_HPT_COMMIT: move the entries of the table in `slot` to the prepared one and put that in force. An entry
    /// keeps its place in its group; where two meet, the one not bolted is dropped. The guest keeps its processors from
    /// using the table meanwhile. All TLBs must be flushed.
    ///
    /// `Parameter`: flags; `Closed`: no table of that size was prepared, or there is none in force; `PtegFull`: two
    /// bolted entries meet, and nothing changed.
    pub fn commit(
        &mut self,
        flags: u64,
        shift: u64,
        slot: &RwLock<Option<Arc<Hpt>>>,
    ) -> Result<Flush, HpteError> {
        if flags != 0 {
            return Err(HpteError::Parameter);
        }
        let new = self.prepared.clone().filter(|h| h.shift() as u64 == shift).ok_or(HpteError::Closed)?;
        let old = slot.read().unwrap_or_else(|e| e.into_inner()).clone().ok_or(HpteError::Closed)?;
        self.prepared = None;
        old.move_to(&new)?;
        Hpt::replace(slot, Some(new));
        Ok(Flush::All)
    }

    /// Forget what was prepared (reset of the partition).
    pub fn reset(&mut self) {
        self.prepared = None;
    }
}

impl Hpt {
    /// Enter all valid entries into the empty table `new`.
    fn move_to(&self, new: &Hpt) -> Result<(), HpteError> {
        for index in 0..self.entries() {
            let (h, l) = self.pair(index);
            if h & pteh::V == 0 {
                continue;
            }
            let Some(at) = new.place(index, h, l) else { continue };
            let there = new.lock(at);
            let keep_there = there & pteh::V != 0 && there & pteh::BOLTED != 0;
            if there & pteh::V != 0 && h & pteh::BOLTED == 0 {
                new.unlock(at, there);
            } else if keep_there {
                new.unlock(at, there);
                return Err(HpteError::PtegFull);
            } else {
                new.fill(at, h, l);
            }
        }
        Ok(())
    }

    /// Where an entry of another table, there at `index`, belongs in this one.
    fn place(&self, index: u64, h: u64, l: u64) -> Option<u64> {
        let page = VirtualPage::of(index, h, l)?;
        let (base, actual) = page_shifts(h, l)?;
        let mut number = page.offset >> base;
        if actual > base {
            // Which base page of the larger page the entry stands for follows from its group.
            let group = if h & pteh::H != 0 { !(index / GROUP) } else { index / GROUP };
            let hash = group ^ segment_hash(page.segment_shift, page.vsid);
            number |= hash & ((1 << (actual.min(23) - base)) - 1);
            // The 8 MiB bit of a 16 MiB page stands in the entry.
            number |= (h >> 7 & ((1u64 << actual.saturating_sub(23)) - 1)) << (23 - base);
        }
        let hash = segment_hash(page.segment_shift, page.vsid) ^ number;
        let hash = if h & pteh::H != 0 { !hash } else { hash };
        Some(self.group_number(hash) * GROUP + index % GROUP)
    }
}
