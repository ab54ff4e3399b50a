//! The hypercalls on entries.

use std::sync::atomic::Ordering;

use mem::GuestRam;

use super::entry::{allowed, page_shifts, pteh, ptel};
use super::{Flush, Hpt, HpteError, NOBODY};

/// Flags of the calls (LoPAR table 14.5.4.1): bit n of the manual is `1 << (63 - n)`.
pub mod flag {
    /// H_ENTER: into the entry given, not any of its group.
    pub const EXACT: u64 = 1 << 39;
    /// H_ENTER: set the page to zero first.
    pub const ZERO_PAGE: u64 = 1 << 15;
    /// H_READ: four entries.
    pub const READ_4: u64 = 1 << 37;
    /// H_REMOVE, H_PROTECT: only when the entry's AVPN is the one given.
    pub const AVPN: u64 = 1 << 31;
    /// H_REMOVE: only when the first doubleword has none of the bits given.
    pub const ANDCOND: u64 = 1 << 30;
}

/// What of the first doubleword an AVPN argument is compared with.
const AVPN_COMPARED: u64 = !0x7f;
/// What of the first doubleword the guest gives and gets.
pub(super) const HIGH: u64 = pteh::B | pteh::AVPN | pteh::SOFTWARE | pteh::L | pteh::H | pteh::V;
/// What of the second doubleword H_PROTECT changes.
const PROTECTED: u64 = ptel::PP0 | ptel::KEY_HI | ptel::KEY_LO | ptel::N | ptel::PP;

/// An entry that was removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Removed {
    /// Its first doubleword.
    pub pteh: u64,
    /// Its second, with the final reference and change bits.
    pub ptel: u64,
    /// What must leave the TLBs.
    pub flush: Flush,
}

/// A request or answer word of H_BULK_REMOVE and H_BLOCK_REMOVE: type in the top two bits.
mod translation {
    pub const TYPE: u64 = 3 << 62;
    pub const REQUEST: u64 = 1 << 62;
    pub const RESPONSE: u64 = 2 << 62;
    pub const END: u64 = 3 << 62;
    pub const FLAGS: u64 = 3 << 56;
    pub const INDEX: u64 = (1 << 56) - 1;
}

impl Hpt {
    /// Lock an entry; returns its first doubleword without the lock bit.
    pub(super) fn lock(&self, index: u64) -> u64 {
        let high = self.high(index);
        let mut spins = 0u32;
        loop {
            let h = high.load(Ordering::Relaxed);
            let free = h & pteh::LOCK == 0;
            let take = |h| high.compare_exchange_weak(h, h | pteh::LOCK, Ordering::SeqCst, Ordering::Relaxed);
            if free && take(h).is_ok() {
                return h;
            }
            // The holder may have lost its host processor.
            spins += 1;
            if spins % 128 == 0 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Unlock by giving the first doubleword.
    pub(super) fn unlock(&self, index: u64, h: u64) {
        self.high(index).store(h & !pteh::LOCK, Ordering::SeqCst);
    }

    fn check_index(&self, index: u64) -> Result<(), HpteError> {
        if index < self.entries() { Ok(()) } else { Err(HpteError::Parameter) }
    }

    /// Lock an entry when it is free, without waiting.
    fn try_take(&self, index: u64) -> bool {
        let h = self.high(index).load(Ordering::Relaxed);
        h & (pteh::V | pteh::LOCK) == 0
            && self.high(index).compare_exchange(h, pteh::LOCK, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Lock an entry when it is free, waiting for whoever changes it.
    fn take(&self, index: u64) -> bool {
        let h = self.lock(index);
        if h & pteh::V != 0 {
            self.unlock(index, h);
            return false;
        }
        true
    }

    /// Write a locked, free entry and unlock it.
    pub(super) fn fill(&self, index: u64, h: u64, l: u64) {
        self.users[index as usize].store(NOBODY, Ordering::SeqCst);
        self.low(index).store(l, Ordering::SeqCst);
        self.unlock(index, h);
    }

    /// Empty a locked entry and unlock it; returns its second doubleword as it last was, and what to flush.
    pub(super) fn empty(&self, index: u64, h: u64) -> (u64, Flush) {
        // Invalid first, so that a processor that sets the second doubleword's bits later sees it and begins again.
        self.high(index).store(pteh::LOCK, Ordering::SeqCst);
        let l = self.low(index).swap(0, Ordering::SeqCst);
        let note = self.users[index as usize].swap(NOBODY, Ordering::SeqCst);
        self.unlock(index, 0);
        (l, self.flush_for(index, h, l, note))
    }

    /// H_ENTER (LoPAR 14.5.4.1.2): make an entry in the group of `index`, or at `index` itself with [`flag::EXACT`].
    /// Returns where. `ram` bounds what may be mapped as memory and what as I/O.
    ///
    /// `Parameter`: index, page or segment size, a page partly in memory, storage attributes that do not fit memory
    /// (coherent, not inhibited) or I/O (inhibited, not written through). `PtegFull`: no free entry.
    pub fn enter(&self, ram: &GuestRam, flags: u64, index: u64, h: u64, l: u64) -> Result<u64, HpteError> {
        self.check_index(index)?;
        let (_, shift) = page_shifts(h, l).ok_or(HpteError::Parameter)?;
        if h >> 63 != 0 {
            return Err(HpteError::Parameter);
        }
        let h = h & HIGH | pteh::V;
        let l = l & !ptel::RESERVED;
        let ra = l & ptel::RPN & (u64::MAX << shift);
        let wim = l & (ptel::W | ptel::I | ptel::M);
        if ra < ram.size() {
            // Strong access ordering (all three) is memory, too.
            let memory = wim == ptel::M && l & ptel::G == 0 || wim == ptel::W | ptel::I | ptel::M;
            if !memory || ram.size() - ra < 1 << shift {
                return Err(HpteError::Parameter);
            }
        } else if wim & (ptel::W | ptel::I) != ptel::I {
            return Err(HpteError::Parameter);
        }
        let index = if flags & flag::EXACT != 0 {
            if !self.take(index) {
                return Err(HpteError::PtegFull);
            }
            index
        } else {
            let group = index & !(super::GROUP - 1);
            let mut slots = group..group + super::GROUP;
            let found = slots.clone().find(|&n| self.try_take(n)).or_else(|| slots.find(|&n| self.take(n)));
            found.ok_or(HpteError::PtegFull)?
        };
        if flags & flag::ZERO_PAGE != 0 && ra < ram.size() {
            // The range was checked above; a failure could only leave the page as it is.
            let _ = ram.fill(ra, 1 << shift, 0);
        }
        self.fill(index, h, l);
        Ok(index)
    }

    /// Whether a first doubleword is the one that flags and argument of a call mean.
    fn is_meant(h: u64, flags: u64, avpn: u64) -> bool {
        h & pteh::V != 0
            && !(flags & flag::AVPN != 0 && h & AVPN_COMPARED != avpn)
            && !(flags & flag::ANDCOND != 0 && h & HIGH & avpn != 0)
    }

    /// H_REMOVE (LoPAR 14.5.4.1.1). `avpn` is compared as the flags say. `NotFound` when the entry is not valid or not
    /// the one meant.
    pub fn remove(&self, flags: u64, index: u64, avpn: u64) -> Result<Removed, HpteError> {
        self.check_index(index)?;
        let h = self.lock(index);
        if !Self::is_meant(h, flags, avpn) {
            self.unlock(index, h);
            return Err(HpteError::NotFound);
        }
        let (l, flush) = self.empty(index, h);
        Ok(Removed { pteh: h & HIGH, ptel: l, flush })
    }

    /// H_BULK_REMOVE (LoPAR 14.5.4.1.7): `args` are r4 to r11, pairs of request and argument; answers are left in the
    /// requests. `flush` is called for each page that must leave the TLBs, whatever the result.
    pub fn bulk_remove(&self, args: &mut [u64], mut flush: impl FnMut(Flush)) -> Result<(), HpteError> {
        use translation::{END, FLAGS, INDEX, REQUEST, RESPONSE, TYPE};
        for pair in args.chunks_exact_mut(2) {
            let request = pair[0];
            if request & TYPE == END {
                break;
            }
            let kind = request >> 56 & 3;
            let echo = RESPONSE | request & (FLAGS | INDEX);
            let flags = [0, flag::ANDCOND, flag::AVPN][kind.min(2) as usize];
            let result = if request & TYPE == REQUEST && kind != 3 {
                self.remove(flags, request & INDEX, pair[1])
            } else {
                Err(HpteError::Parameter)
            };
            match result {
                Ok(done) => {
                    // Reference and change are bits 4 and 5 of the answer.
                    pair[0] = echo | (done.ptel & (ptel::R | ptel::C)) << 51;
                    if done.flush != Flush::None {
                        flush(done.flush);
                    }
                }
                Err(HpteError::NotFound) => pair[0] = echo | 1 << 60,
                Err(e) => {
                    pair[0] = echo | 2 << 60;
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// H_BLOCK_REMOVE (LoPAR 14.5.4.1.8): remove entries of up to eight pages of one aligned block of eight.
    /// `avpn` (r4) is the block's first doubleword's AVPN, `requests` are r5 to r12, left with their answers.
    ///
    /// `Partial` when an entry was not found, `Parameter` when a request is not one.
    pub fn block_remove(
        &self,
        avpn: u64,
        requests: &mut [u64],
        mut flush: impl FnMut(Flush),
    ) -> Result<(), HpteError> {
        use translation::{END, INDEX, REQUEST, RESPONSE, TYPE};
        /// Compare the entry with the block.
        const COMPARE: u64 = 1 << 56;
        let mut all = true;
        for word in requests.iter_mut() {
            let request = *word;
            if request & TYPE == END {
                break;
            }
            let index = request & INDEX;
            if request & TYPE != REQUEST || index >= self.entries() {
                *word = RESPONSE | 2 << 59 | index;
                return Err(HpteError::Parameter);
            }
            let h = self.lock(index);
            // Eight pages of 16 MiB share less of the AVPN than the field holds.
            let shift =
                page_shifts(h, self.low(index).load(Ordering::Relaxed)).map_or(12, |(_, actual)| actual);
            let block = AVPN_COMPARED << (shift + 3).saturating_sub(23);
            let meant = h & pteh::V != 0 && (request & COMPARE == 0 || (h ^ avpn) & block == 0);
            if !meant {
                self.unlock(index, h);
                *word = RESPONSE | 1 << 59 | index;
                all = false;
                continue;
            }
            let (l, f) = self.empty(index, h);
            *word = RESPONSE | (l & (ptel::R | ptel::C)) << 50 | index;
            if f != Flush::None {
                flush(f);
            }
        }
        if all { Ok(()) } else { Err(HpteError::Partial) }
    }

    /// H_PROTECT (LoPAR 14.5.4.1.6): PP, N and key from the low bits of `flags`, [`flag::AVPN`] honoured.
    pub fn protect(&self, flags: u64, index: u64, avpn: u64) -> Result<Flush, HpteError> {
        self.check_index(index)?;
        let h = self.lock(index);
        if !Self::is_meant(h, flags & flag::AVPN, avpn) {
            self.unlock(index, h);
            return Err(HpteError::NotFound);
        }
        let bits = flags << 55 & ptel::PP0
            | flags << 48 & ptel::KEY_HI
            | flags & (ptel::PP | ptel::N | ptel::KEY_LO);
        let old = self.change_low(index, |l| l & !PROTECTED | bits);
        let flush = if lost_rights(old, old & !PROTECTED | bits) {
            let note = self.users[index as usize].load(Ordering::SeqCst);
            self.flush_for(index, h, old, note)
        } else {
            // A TLB entry with fewer rights sends the access here again.
            Flush::None
        };
        self.unlock(index, h);
        Ok(flush)
    }

    /// Change a locked entry's second doubleword against processors that set reference and change bits; returns the
    /// old one.
    fn change_low(&self, index: u64, f: impl Fn(u64) -> u64) -> u64 {
        let low = self.low(index);
        match low.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |l| Some(f(l))) {
            Ok(old) | Err(old) => old,
        }
    }

    fn clear_bit(&self, index: u64, bit: u64) -> Result<(u64, Flush), HpteError> {
        self.check_index(index)?;
        let h = self.lock(index);
        if h & pteh::V == 0 {
            self.unlock(index, h);
            return Err(HpteError::NotFound);
        }
        let old = self.change_low(index, |l| l & !bit);
        let flush = if old & bit != 0 {
            let note = self.users[index as usize].load(Ordering::SeqCst);
            self.flush_for(index, h, old, note)
        } else {
            Flush::None
        };
        self.unlock(index, h);
        Ok((old, flush))
    }

    /// H_CLEAR_REF (LoPAR 14.5.4.1.5): clear the reference bit; returns the second doubleword as it was.
    pub fn clear_ref(&self, index: u64) -> Result<(u64, Flush), HpteError> {
        self.clear_bit(index, ptel::R)
    }

    /// H_CLEAR_MOD (LoPAR 14.5.4.1.4): clear the change bit; returns the second doubleword as it was.
    pub fn clear_mod(&self, index: u64) -> Result<(u64, Flush), HpteError> {
        self.clear_bit(index, ptel::C)
    }

    /// H_READ (LoPAR 14.5.4.1.3): one entry, or with [`flag::READ_4`] the four aligned ones, as pairs of doublewords
    /// into `out`; returns how many doublewords. Real page numbers are the partition's own.
    pub fn read(&self, flags: u64, index: u64, out: &mut [u64; 8]) -> Result<usize, HpteError> {
        self.check_index(index)?;
        let (first, n) = if flags & flag::READ_4 != 0 { (index & !3, 4) } else { (index, 1) };
        for (pair, i) in out.chunks_exact_mut(2).zip(first..first + n) {
            let (h, l) = self.pair(i);
            pair[0] = h & HIGH;
            pair[1] = l;
        }
        Ok(2 * n as usize)
    }

    /// Both doublewords of an entry as they were at one time.
    pub(super) fn pair(&self, index: u64) -> (u64, u64) {
        let h = self.lock(index);
        let l = self.low(index).load(Ordering::SeqCst);
        self.unlock(index, h);
        (h, l)
    }

    /// H_CLEAR_HPT (LoPAR 14.5.4.1.9): remove all entries.
    pub fn clear_all(&self) -> Flush {
        for index in 0..self.entries() {
            if self.high(index).load(Ordering::Relaxed) != 0 {
                let h = self.lock(index);
                self.empty(index, h);
            }
        }
        Flush::All
    }
}

/// Whether a change of protection takes anything away from anybody.
fn lost_rights(old: u64, new: u64) -> bool {
    if (old ^ new) & (ptel::KEY_HI | ptel::KEY_LO) != 0 || new & !old & ptel::N != 0 {
        return true;
    }
    [false, true].into_iter().any(|key| {
        let (before, after) = (allowed(old, key), allowed(new, key));
        before.0 && !after.0 || before.1 && !after.1
    })
}
