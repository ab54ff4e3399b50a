//! Address translation: the hashed page table (LoPAR 14.5.4.1), the process table and invalidations.
//!
//! The calls on entries are the busiest of all (some 400,000 in a boot with 4 KiB pages): they take no lock and
//! allocate nothing.

use std::sync::atomic::Ordering;

use arch::hpt::{Flush, Hpt, HpteError, Resize};
use arch::mmu::tlbie::TlbInvalidate;
use arch::msr::lpcr;

use super::{Ctx, Row, row};
use crate::cas;
use crate::lock;
use crate::rc::{HResult, Rc};

/// A change of the page table's size under way.
pub(crate) type Resizing = Resize;

const PFT: &str = "14.5.4.1";

pub(super) const ROWS: &[Row] = &[
    row(0x04, "H_REMOVE", 3, PFT, remove),
    row(0x08, "H_ENTER", 4, PFT, enter),
    row(0x0c, "H_READ", 2, PFT, read),
    row(0x10, "H_CLEAR_MOD", 2, PFT, clear_mod),
    row(0x14, "H_CLEAR_REF", 2, PFT, clear_ref),
    row(0x18, "H_PROTECT", 3, PFT, protect),
    row(0x124, "H_BULK_REMOVE", 8, PFT, bulk_remove),
    row(0x328, "H_BLOCK_REMOVE", 9, PFT, block_remove),
    row(0x358, "H_CLEAR_HPT", 0, PFT, clear_hpt),
    row(0x36c, "H_RESIZE_HPT_PREPARE", 2, "14.5.4.4.6", resize_prepare),
    row(0x370, "H_RESIZE_HPT_COMMIT", 2, "14.5.4.4.7", resize_commit),
    row(0x374, "H_CLEAN_SLB", 3, "14.5.4.3.6", clean_slb),
    row(0x378, "H_INVALIDATE_PID", 1, "14.5.4.3.7", invalidate_pid),
    row(0x37c, "H_REGISTER_PROC_TBL", 4, "14.5.4.3.8", register_process_table),
    row(0x448, "H_RPT_INVALIDATE", 6, "14.5.4.3.9", rpt_invalidate),
];

impl From<HpteError> for Rc {
    fn from(e: HpteError) -> Self {
        Rc(e.code())
    }
}

/// The page table; without one its calls do not exist.
#[inline]
fn hpt<'a>(c: &'a mut Ctx) -> Result<&'a Hpt, Rc> {
    c.cpu.hpt().map(|h| &**h).ok_or(Rc::FUNCTION)
}

/// ( flags index pteh ptel -- index )
fn enter(c: &mut Ctx) -> HResult {
    let [flags, index, h, l] = [0, 1, 2, 3].map(|n| c.arg(n));
    let ram = c.ram();
    let at = hpt(c)?.enter(ram, flags, index, h, l)?;
    c.set(0, at);
    Ok(())
}

/// ( flags index avpn -- pteh ptel )
fn remove(c: &mut Ctx) -> HResult {
    let [flags, index, avpn] = [0, 1, 2].map(|n| c.arg(n));
    let done = hpt(c)?.remove(flags, index, avpn)?;
    c.cpu.flush_hpt(done.flush);
    c.set(0, done.pteh);
    c.set(1, done.ptel);
    Ok(())
}

/// ( flags index -- pteh ptel ... )
fn read(c: &mut Ctx) -> HResult {
    let [flags, index] = [0, 1].map(|n| c.arg(n));
    let mut out = [0; 8];
    let count = hpt(c)?.read(flags, index, &mut out)?;
    for (n, v) in out.into_iter().take(count).enumerate() {
        c.set(n, v);
    }
    Ok(())
}

/// ( flags index -- ptel )
fn clear_ref(c: &mut Ctx) -> HResult {
    let index = c.arg(1);
    let (l, flush) = hpt(c)?.clear_ref(index)?;
    c.cpu.flush_hpt(flush);
    c.set(0, l);
    Ok(())
}

/// ( flags index -- ptel )
fn clear_mod(c: &mut Ctx) -> HResult {
    let index = c.arg(1);
    let (l, flush) = hpt(c)?.clear_mod(index)?;
    c.cpu.flush_hpt(flush);
    c.set(0, l);
    Ok(())
}

/// ( flags index avpn -- )
fn protect(c: &mut Ctx) -> HResult {
    let [flags, index, avpn] = [0, 1, 2].map(|n| c.arg(n));
    let flush = hpt(c)?.protect(flags, index, avpn)?;
    c.cpu.flush_hpt(flush);
    Ok(())
}

/// What several removals leave to be flushed.
struct Flushes {
    list: [Flush; 8],
    count: usize,
}

impl Flushes {
    fn new() -> Self {
        Flushes { list: [Flush::None; 8], count: 0 }
    }

    fn add(&mut self, f: Flush) {
        match self.list.get_mut(self.count) {
            Some(place) => *place = f,
            None => self.list[0] = Flush::All,
        }
        self.count += 1;
    }

    /// Flushes one page by itself, more than one by a single round to the other processors.
    fn carry_out(self, c: &mut Ctx) {
        match self.count {
            0 => {}
            1 => c.cpu.flush_hpt(self.list[0]),
            _ => {
                use arch::hpt::Users;
                let me = c.cpu.index as u16;
                let used = &self.list[..self.count.min(self.list.len())];
                let mine = |f: &Flush| matches!(f, Flush::Page(_, Users::One(n)) if *n == me);
                let all_mine = used.iter().all(mine);
                if all_mine {
                    used.iter().for_each(|&f| c.cpu.flush_hpt(f));
                } else {
                    c.cpu.flush_hpt(Flush::All);
                }
            }
        }
    }
}

/// ( four pairs of request and argument -- answers in the requests )
fn bulk_remove(c: &mut Ctx) -> HResult {
    let mut args: [u64; 8] = std::array::from_fn(|n| c.arg(n));
    let mut flushes = Flushes::new();
    let result = hpt(c)?.bulk_remove(&mut args, |f| flushes.add(f));
    flushes.carry_out(c);
    for (n, v) in args.into_iter().enumerate() {
        c.set(n, v);
    }
    Ok(result?)
}

/// ( avpn eight-requests -- eight-answers ): the answer to the first request is in r4.
fn block_remove(c: &mut Ctx) -> HResult {
    let avpn = c.arg(0);
    let mut requests: [u64; 8] = std::array::from_fn(|n| c.arg(n + 1));
    let mut flushes = Flushes::new();
    let result = hpt(c)?.block_remove(avpn, &mut requests, |f| flushes.add(f));
    flushes.carry_out(c);
    for (n, v) in requests.into_iter().enumerate() {
        c.set(n, v);
    }
    Ok(result?)
}

fn clear_hpt(c: &mut Ctx) -> HResult {
    let flush = hpt(c)?.clear_all();
    c.cpu.flush_hpt(flush);
    Ok(())
}

/// ( flags shift -- )
fn resize_prepare(c: &mut Ctx) -> HResult {
    hpt(c)?;
    let max = c.p.config().max_hpt_shift();
    Ok(lock(&c.papr().resize).prepare(c.arg(0), c.arg(1), max)?)
}

/// ( flags shift -- )
fn resize_commit(c: &mut Ctx) -> HResult {
    hpt(c)?;
    let flush = lock(&c.papr().resize).commit(c.arg(0), c.arg(1), &c.shared().hpt)?;
    c.cpu.flush_hpt(flush);
    Ok(())
}

/// Segment tables are not offered, so all there can be is what the TLBs remember.
fn clean_slb(c: &mut Ctx) -> HResult {
    c.cpu.flush_hpt(Flush::All);
    Ok(())
}

/// ( pid -- )
fn invalidate_pid(c: &mut Ctx) -> HResult {
    c.cpu.flush_hpt(Flush::All);
    Ok(())
}

/// Flags of H_REGISTER_PROC_TBL.
mod table {
    pub const GTSE: u64 = 0x01;
    pub const HASH_SEGMENT_TABLES: u64 = 0x02;
    pub const RADIX: u64 = 0x04;
    pub const REGISTER: u64 = 0x08;
    pub const CHANGE: u64 = 0x10;
    pub const ALL: u64 = 0x1f;
}

/// ( flags address page-size size -- ): the process table has 2^(size + 12) bytes.
fn register_process_table(c: &mut Ctx) -> HResult {
    let [flags, addr, page_size, size] = [0, 1, 2, 3].map(|n| c.arg(n));
    if !c.p.config().newest().radix {
        return Err(Rc::FUNCTION);
    }
    if flags & !table::ALL != 0 || flags & table::HASH_SEGMENT_TABLES != 0 {
        return Err(Rc::PARAMETER);
    }
    let radix = flags & table::RADIX != 0;
    let is_radix = c.shared().lpcr.load(Ordering::SeqCst) & lpcr::HR != 0;
    let offered = if radix { c.p.config().offers_radix() } else { c.p.config().offers_hash() };
    let mut prtb = c.shared().prtb.load(Ordering::SeqCst);
    match (flags & table::CHANGE != 0, flags & table::REGISTER != 0) {
        (true, true) if radix => {
            if addr & 0xfff != 0 || addr >> 60 != 0 {
                return Err(Rc::P2);
            }
            if page_size != 0 {
                return Err(Rc::P3);
            }
            if size > 24 {
                return Err(Rc::P4);
            }
            prtb = addr | size;
        }
        (true, true) => {
            if addr >> 38 != 0 {
                return Err(Rc::P2);
            }
            if page_size & !7 != 0 {
                return Err(Rc::P3);
            }
            if size > 24 {
                return Err(Rc::P4);
            }
            // Without segment tables nothing in it is used.
            prtb = 0;
        }
        (true, false) => prtb = 0,
        (false, _) if radix != is_radix => return Err(Rc::PARAMETER),
        (false, _) => {}
    }
    if !offered {
        return Err(Rc::PARAMETER);
    }
    cas::switch_mmu(c.p, radix).map_err(|_| Rc::RESOURCE)?;
    c.shared().prtb.store(prtb, Ordering::SeqCst);
    let gtse = if radix && flags & table::GTSE != 0 { lpcr::GTSE } else { 0 };
    let tables = if radix { lpcr::UPRT | lpcr::HR } else { 0 };
    super::mode::change_lpcr(c, lpcr::UPRT | lpcr::HR | lpcr::GTSE, tables | gtse);
    c.flush_all();
    Ok(())
}

/// Arguments of H_RPT_INVALIDATE.
mod rpt {
    pub const TARGET_PARTITION: u64 = 1;
    pub const TARGET_LOCAL: u64 = 2;
    pub const TARGET_NEST: u64 = 4;
    pub const NESTED: u64 = 1;
    pub const TLB: u64 = 2;
    pub const ALL_TYPES: u64 = 0xe;
    pub const PAGE_SIZES: [(u64, u32); 4] = [(1, 12), (2, 16), (4, 21), (8, 30)];
    /// More pages than this are invalidated with their process.
    pub const MOST_PAGES: u64 = 64;
}

/// ( pid target types page-sizes start end -- )
fn rpt_invalidate(c: &mut Ctx) -> HResult {
    let [pid, target, types, sizes, start, end] = [0, 1, 2, 3, 4, 5].map(|n| c.arg(n));
    if c.shared().lpcr.load(Ordering::Relaxed) & lpcr::HR == 0 {
        return Err(Rc::FUNCTION);
    }
    if pid >> 32 != 0 {
        return Err(Rc::PARAMETER);
    }
    let places = rpt::TARGET_PARTITION | rpt::TARGET_LOCAL | rpt::TARGET_NEST;
    if target & !places != 0 || target & (rpt::TARGET_PARTITION | rpt::TARGET_LOCAL) == 0 {
        return Err(Rc::P2);
    }
    if types & rpt::NESTED != 0 || types & !rpt::ALL_TYPES != 0 {
        return Err(Rc::P3);
    }
    if start > end {
        return Err(Rc::P5);
    }
    if types == 0 {
        return Ok(());
    }
    let page = rpt::PAGE_SIZES.iter().find(|(bit, _)| sizes == *bit).map(|p| p.1);
    let pages = |shift: u32| (end >> shift).wrapping_sub(start >> shift);
    match page {
        Some(shift) if types == rpt::TLB && pages(shift) < rpt::MOST_PAGES => {
            let mut ea = start & (u64::MAX << shift);
            loop {
                c.cpu.invalidate(TlbInvalidate::Page { ea, shift, pid });
                match ea.checked_add(1 << shift) {
                    Some(next) if next < end => ea = next,
                    _ => break,
                }
            }
        }
        _ => c.cpu.invalidate(TlbInvalidate::Pid(pid)),
    }
    if target & rpt::TARGET_PARTITION != 0 {
        c.cpu.shoot_down_others();
    }
    Ok(())
}
