//! A processor's software TLB: effective pages to host addresses.
//!
//! Direct-mapped, one table for each relocation/privilege mode and kind of access, so that code, what it reads and what
//! it writes do not displace each other. An entry holds the effective page as its tag, all-ones when the access must
//! take the slow path, and the distance from effective to host address. The layout is `repr(C)` because translated
//! code probes it.

use std::sync::Arc;

use crate::host;
use crate::ram::{self, GuestRam, PAGE_SHIFT, PAGE_SIZE};

/// Which table an access uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum TlbMode {
    /// Relocation off.
    Real = 0,
    /// Relocation on, problem state.
    User = 1,
    /// Relocation on, privileged.
    Kernel = 2,
    /// Privileged, stores to problem-state pages denied (AMR key 0).
    KernelNoWrite = 3,
    /// Privileged, loads from problem-state pages denied.
    KernelNoRead = 4,
    /// Privileged, problem-state pages denied.
    KernelNoUser = 5,
}

/// Number of tables.
pub const TLB_MODES: usize = 6;

/// Kind of access.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Access {
    /// Data load.
    Read = 0,
    /// Data store.
    Write = 1,
    /// Instruction fetch.
    Exec = 2,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct TlbEntry {
    /// Effective page address, or [`no_page`].
    pub tag: u64,
    /// Host address minus effective address.
    pub addend: u64,
}

/// The tag of nobody's entry at `index`: not page-aligned, and no address of a page that stands there. So it differs both
/// from the page of an access's last byte and, in bits above those of places in a page, from the access's address.
#[inline(always)]
const fn no_page(index: usize) -> u64 {
    if index == SIZE - 1 { 1 } else { u64::MAX }
}

#[inline(always)]
const fn empty(index: usize) -> TlbEntry {
    TlbEntry { tag: no_page(index), addend: 0 }
}

/// Whether the entry at `index` is nobody's. Zeroes are that, too, so that tables cost the host nothing where they were
/// not used: the tag 0 is effective page 0, which stands at index 0 or, for an access that wraps round at the end of the
/// address space, is looked for at the last index; those two hold a real [`no_page`] from the start.
#[inline(always)]
fn is_empty(tag: u64, index: usize) -> bool {
    tag == no_page(index) || (tag == 0 && index != 0)
}

/// log2 of the entries of one table: 256 MiB of pages. Memory of the host is only there for what was used of it.
pub const TLB_BITS: u32 = 16;
const SIZE: usize = 1 << TLB_BITS;
const MASK: u64 = !(PAGE_SIZE - 1);
const KINDS: usize = 3;

/// The tables of one mode, by [`Access`].
type Tables = [[TlbEntry; SIZE]; KINDS];

/// Distance in bytes of the table of `mode` and `access` from [`Tlb::tables`].
pub const fn table_offset(mode: TlbMode, access: Access) -> usize {
    mode as usize * size_of::<Tables>() + access as usize * size_of::<[TlbEntry; SIZE]>()
}

#[inline(always)]
fn index(ea: u64) -> usize {
    (ea >> PAGE_SHIFT) as usize & (SIZE - 1)
}

/// The TLB of one processor. Entries are made by [`Tlb::insert`] alone, from pages of `ram`, which the TLB keeps
/// alive: an entry's host address is always valid.
pub struct Tlb {
    tables: Box<[Tables; TLB_MODES]>,
    /// What was entered in the lowest quarter of the effective addresses, by mode.
    low: [Log; TLB_MODES],
    /// What was entered elsewhere.
    high: [Log; TLB_MODES],
    /// What was entered elsewhere of large pages ([`Tlb::insert_large`]).
    large: [Log; TLB_MODES],
    ram: Arc<GuestRam>,
    /// How often something was to be forgotten, from 1 on.
    generation: u64,
}

/// Entries made since a part of a mode's tables was last emptied, so that emptying it costs as much as filling it did.
#[derive(Default)]
struct Log {
    /// Of each, the slot, `access * SIZE + index`, in the lower [`SLOT_BITS`]; above them the low bits of its host page's
    /// number, so that those of a page are found without a look at the tables.
    slots: Vec<u32>,
    /// There were more than the list takes: every entry has to be looked at.
    over: bool,
}

/// Bits that a slot's number takes.
const SLOT_BITS: u32 = (KINDS * SIZE).next_power_of_two().trailing_zeros();
const SLOT: u32 = (1 << SLOT_BITS) - 1;

/// What a log says of the page at a host address.
fn of_page(host: u64) -> u32 {
    ((host >> PAGE_SHIFT) as u32) << SLOT_BITS
}

/// Most entries of a log: to look at every entry of the tables costs more.
const LOG: usize = SIZE / 2;

impl Log {
    #[inline]
    fn note(&mut self, access: usize, index: usize, host: u64) {
        if !self.over {
            self.slots.push((access * SIZE + index) as u32 | of_page(host));
        }
    }

    /// List anew what is there.
    fn list(&mut self, tables: &Tables, low: bool) {
        self.slots.clear();
        for (n, e) in tables.as_flattened().iter().enumerate() {
            if !is_empty(e.tag, n % SIZE) && (e.tag >> 62 == 0) == low {
                self.slots.push(n as u32 | of_page(e.tag.wrapping_add(e.addend)));
            }
        }
        if self.slots.len() > LOG / 2 {
            self.clear();
            self.over = true;
        }
    }

    /// Empty those of the entries noted for whose tags `gone`, and maybe others.
    fn empty_where(&self, tables: &mut Tables, gone: impl Fn(u64) -> bool) {
        let check = |n: usize, e: &mut TlbEntry| {
            if gone(e.tag) {
                *e = empty(n);
            }
        };
        if self.over {
            for t in tables {
                t.iter_mut().enumerate().for_each(|(n, e)| check(n, e));
            }
            return;
        }
        for &n in &self.slots {
            let n = (n & SLOT) as usize;
            check(n % SIZE, &mut tables[n / SIZE][n % SIZE]);
        }
    }

    /// Empty the entries noted that let stores to the host page `page` pass.
    fn empty_stores_to(&self, tables: &mut Tables, page: u64) {
        let check = |n: usize, e: &mut TlbEntry| {
            if !is_empty(e.tag, n) && e.tag.wrapping_add(e.addend) == page {
                *e = empty(n);
            }
        };
        let table = &mut tables[Access::Write as usize];
        if self.over {
            return table.iter_mut().enumerate().for_each(|(n, e)| check(n, e));
        }
        let of = of_page(page);
        for &n in self.slots.iter().filter(|&&n| n & !SLOT == of) {
            let n = (n & SLOT) as usize;
            if n / SIZE == Access::Write as usize {
                check(n % SIZE, &mut table[n % SIZE]);
            }
        }
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.over = false;
    }
}

impl Tlb {
    /// An empty TLB over `ram`.
    pub fn new(ram: Arc<GuestRam>) -> Self {
        let layout = std::alloc::Layout::new::<[Tables; TLB_MODES]>();
        // SAFETY: memory of this very layout from the allocator that `Box` uses; zeroes are numbers.
        let tables = unsafe {
            let p = std::alloc::alloc_zeroed(layout).cast::<[Tables; TLB_MODES]>();
            if p.is_null() {
                std::alloc::handle_alloc_error(layout);
            }
            Box::from_raw(p)
        };
        let [low, high, large] = Default::default();
        let mut tlb = Tlb { tables, low, high, large, ram, generation: 1 };
        tlb.mark_empty();
        tlb
    }

    /// Makes tables of zeroes empty ones (see [`is_empty`]).
    fn mark_empty(&mut self) {
        for table in self.tables.as_flattened_mut() {
            (table[0], table[SIZE - 1]) = (empty(0), empty(SIZE - 1));
        }
    }

    /// Forget everything, and give the memory of the tables back to the host until it is needed again.
    pub fn trim(&mut self) {
        self.flush();
        let Tlb { tables, low, high, large, ram: _, generation: _ } = self;
        for log in low.iter_mut().chain(high).chain(large) {
            *log = Log::default();
        }
        host::zero(tables.as_flattened_mut().as_flattened_mut());
        self.mark_empty();
    }

    /// The tables, at the distances of [`table_offset`], each of `1 << TLB_BITS` entries; the entry of an effective page
    /// is that of its low page number bits. For translated code, which probes them as `load` and `store` do and never
    /// writes; they stay where they are as long as the TLB lives.
    pub fn tables(&self) -> *const TlbEntry {
        self.tables.as_ptr().cast()
    }

    /// The memory behind it.
    #[inline(always)]
    pub fn ram(&self) -> &Arc<GuestRam> {
        &self.ram
    }

    #[inline(always)]
    fn slot(&self, mode: TlbMode, access: Access, ea: u64) -> &TlbEntry {
        &self.tables[mode as usize][access as usize][index(ea)]
    }

    /// Load 1, 2, 4 or 8 bytes (little-endian number) when the page is present and the access does not leave it.
    #[inline(always)]
    pub fn load(&self, mode: TlbMode, ea: u64, size: u8) -> Option<u64> {
        let e = self.slot(mode, Access::Read, ea);
        if ea.wrapping_add(size as u64 - 1) & MASK != e.tag {
            return None;
        }
        // SAFETY: the tag matched, so `ea + addend` lies in a page of `ram` (invariant of `Tlb`), and the last byte
        // is in the same page.
        Some(unsafe { ram::load_host(ea.wrapping_add(e.addend) as *const u8, size) })
    }

    /// Store 1, 2, 4 or 8 bytes (little-endian number); false when the slow path must do it.
    #[inline(always)]
    pub fn store(&self, mode: TlbMode, ea: u64, v: u64, size: u8) -> bool {
        let e = self.slot(mode, Access::Write, ea);
        if ea.wrapping_add(size as u64 - 1) & MASK != e.tag {
            return false;
        }
        // SAFETY: as in `load`.
        unsafe { ram::store_host(ea.wrapping_add(e.addend) as *mut u8, v, size) };
        true
    }

    /// Load 16 bytes as a little-endian number; each half is atomic when aligned.
    #[inline(always)]
    pub fn load16(&self, mode: TlbMode, ea: u64) -> Option<u128> {
        let e = self.slot(mode, Access::Read, ea);
        if ea.wrapping_add(15) & MASK != e.tag {
            return None;
        }
        let p = ea.wrapping_add(e.addend) as *const u8;
        // SAFETY: as in `load`.
        unsafe { Some(ram::load_host(p, 8) as u128 | (ram::load_host(p.add(8), 8) as u128) << 64) }
    }

    /// Store 16 bytes of a little-endian number; false when the slow path must do it.
    #[inline(always)]
    pub fn store16(&self, mode: TlbMode, ea: u64, v: u128) -> bool {
        let e = self.slot(mode, Access::Write, ea);
        if ea.wrapping_add(15) & MASK != e.tag {
            return false;
        }
        let p = ea.wrapping_add(e.addend) as *mut u8;
        // SAFETY: as in `load`.
        unsafe {
            ram::store_host(p, v as u64, 8);
            ram::store_host(p.add(8), (v >> 64) as u64, 8);
        }
        true
    }

    /// Compare and swap an aligned scalar; `None` when the slow path must do it.
    #[inline]
    pub fn cas(&self, mode: TlbMode, ea: u64, old: u64, new: u64, size: u8) -> Option<bool> {
        let e = self.slot(mode, Access::Write, ea);
        if ea & MASK != e.tag || ea & (size as u64 - 1) != 0 {
            return None;
        }
        // SAFETY: as in `load`; aligned, checked above.
        Some(unsafe { ram::cas_host(ea.wrapping_add(e.addend) as *mut u8, old, new, size) })
    }

    /// Compare and swap an aligned quadword (little-endian numbers), returning what was found; `None` when the slow
    /// path must do it. A compare and swap of equal values is an atomic quadword load of a writable page.
    #[inline]
    pub fn cas16(&self, mode: TlbMode, ea: u64, old: u128, new: u128) -> Option<u128> {
        let e = self.slot(mode, Access::Write, ea);
        if ea & MASK != e.tag || ea & 15 != 0 {
            return None;
        }
        // SAFETY: as in `cas`.
        Some(unsafe { ram::cas16_host(ea.wrapping_add(e.addend) as *mut u8, old, new) })
    }

    /// Set the aligned 128-byte block holding `ea` to zero; false when the slow path must do it.
    #[inline]
    pub fn zero_block(&self, mode: TlbMode, ea: u64) -> bool {
        let ea = ea & !127;
        let e = self.slot(mode, Access::Write, ea);
        if ea & MASK != e.tag {
            return false;
        }
        // SAFETY: as in `load`; an aligned block does not leave its page.
        unsafe { std::ptr::write_bytes(ea.wrapping_add(e.addend) as *mut u8, 0, 128) };
        true
    }

    /// Real address of `ea` when the access is present.
    #[inline(always)]
    pub fn real(&self, mode: TlbMode, ea: u64, access: Access) -> Option<u64> {
        let e = self.slot(mode, access, ea);
        (ea & MASK == e.tag).then(|| ea.wrapping_add(e.addend).wrapping_sub(self.ram.host_base() as u64))
    }

    /// Enter the 4 KiB page of `ea`, at real address `ra`, with the given rights, because of an `access`. Other kinds of
    /// access are entered too where that displaces no other page. Stores stay on the slow path when code was made from
    /// the page. False (and nothing entered) when `ra` is not memory.
    pub fn insert(
        &mut self,
        mode: TlbMode,
        ea: u64,
        ra: u64,
        rights: (bool, bool, bool),
        access: Access,
    ) -> bool {
        self.enter(mode, ea, ra, rights, access, false)
    }

    /// As [`Tlb::insert`], for a page that [`Tlb::flush_high`] may leave.
    pub fn insert_large(
        &mut self,
        mode: TlbMode,
        ea: u64,
        ra: u64,
        rights: (bool, bool, bool),
        access: Access,
    ) -> bool {
        self.enter(mode, ea, ra, rights, access, true)
    }

    #[inline]
    fn enter(
        &mut self,
        mode: TlbMode,
        ea: u64,
        ra: u64,
        (r, w, x): (bool, bool, bool),
        access: Access,
        large: bool,
    ) -> bool {
        let Some(host) = self.ram.page(ra) else { return false };
        self.ram.huge.note_use(ra);
        let page = ea & MASK;
        let low = ea >> 62 == 0;
        let logs = if low {
            &mut self.low
        } else if large {
            &mut self.large
        } else {
            &mut self.high
        };
        let log = &mut logs[mode as usize];
        let addend = (host as u64).wrapping_sub(page);
        for (kind, right) in [(Access::Read, r), (Access::Write, w), (Access::Exec, x)] {
            let e = &mut self.tables[mode as usize][kind as usize][index(ea)];
            if kind == access || e.tag == page || is_empty(e.tag, index(ea)) {
                let on = right && (kind != Access::Write || self.ram.allow_quiet_stores(ra));
                if on {
                    if e.tag != page || e.addend != addend {
                        log.note(kind as usize, index(ea), host as u64);
                    }
                    *e = TlbEntry { tag: page, addend };
                } else if e.tag == page {
                    *e = empty(index(ea));
                }
            }
        }
        if log.slots.len() >= LOG {
            self.shorten(mode as usize, low);
        }
        true
    }

    /// List anew what is there of a part of a mode's tables. Large pages are those of any size from here on.
    #[cold]
    fn shorten(&mut self, mode: usize, low: bool) {
        let log = if low { &mut self.low[mode] } else { &mut self.high[mode] };
        log.list(&self.tables[mode], low);
        if !low {
            self.large[mode].clear();
        }
    }

    /// A number that is another one after anything was to be forgotten. What was entered under the present number is
    /// still true, whether or not its entry was displaced since.
    #[inline(always)]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Forget everything.
    pub fn flush(&mut self) {
        self.flush_from(0);
    }

    /// Forget the translated modes; real mode stays.
    pub fn flush_translated(&mut self) {
        self.flush_from(1);
    }

    /// Forget the lowest quarter of the effective addresses in the translated modes: the addresses of a process, under
    /// a radix tree.
    pub fn flush_low(&mut self) {
        self.generation += 1;
        for (t, log) in self.tables.iter_mut().zip(&mut self.low).skip(1) {
            log.empty_where(t, |tag| tag >> 62 == 0);
            log.clear();
        }
    }

    /// Forget what is not in that quarter in the translated modes, large pages only if told to.
    pub fn flush_high(&mut self, large: bool) {
        self.generation += 1;
        for (n, t) in self.tables.iter_mut().enumerate().skip(1) {
            let logs = [Some(&mut self.high[n]), large.then_some(&mut self.large[n])];
            for log in logs.into_iter().flatten() {
                log.empty_where(t, |tag| tag >> 62 != 0);
                log.clear();
            }
        }
    }

    fn flush_from(&mut self, first: usize) {
        self.generation += 1;
        for (n, t) in self.tables.iter_mut().enumerate().skip(first) {
            for log in [&mut self.low[n], &mut self.high[n], &mut self.large[n]] {
                log.empty_where(t, |_| true);
                log.clear();
            }
        }
    }

    /// Forget one 4 KiB effective page in the translated modes.
    pub fn flush_page(&mut self, ea: u64) {
        self.generation += 1;
        let page = ea & MASK;
        for t in self.tables.iter_mut().skip(1).flatten() {
            let e = &mut t[index(ea)];
            if e.tag == page {
                *e = empty(index(ea));
            }
        }
    }

    /// Forget the 4 KiB pages of an effective range in the translated modes.
    pub fn flush_range(&mut self, ea: u64, len: u64) {
        if len <= 64 * PAGE_SIZE {
            let mut at = ea & MASK;
            for _ in 0..len.div_ceil(PAGE_SIZE) {
                self.flush_page(at);
                at = at.wrapping_add(PAGE_SIZE);
            }
            return;
        }
        self.generation += 1;
        for (n, t) in self.tables.iter_mut().enumerate().skip(1) {
            for log in [&self.low[n], &self.high[n], &self.large[n]] {
                log.empty_where(t, |tag| tag.wrapping_sub(ea & MASK) < len);
            }
        }
    }

    /// Send stores to the page at real address `ra` to the slow path in every mode (code was made from it).
    pub fn protect(&mut self, ra: u64) {
        let Some(host) = self.ram.page(ra) else { return };
        self.generation += 1;
        for (n, t) in self.tables.iter_mut().enumerate() {
            for log in [&self.low[n], &self.high[n], &self.large[n]] {
                log.empty_stores_to(t, host as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlb() -> Tlb {
        Tlb::new(Arc::new(GuestRam::new(1 << 20).unwrap()))
    }

    #[test]
    fn only_what_was_entered_is_reached() {
        let mut t = tlb();
        assert_eq!(t.load(TlbMode::User, 0x7000_1000, 8), None);
        assert!(t.insert(TlbMode::User, 0x7000_1234, 0x3000, (true, false, false), Access::Read));
        t.ram().write_u64_be(0x3ff8, 0x0102_0304_0506_0708).unwrap();
        assert_eq!(t.load(TlbMode::User, 0x7000_1ff8, 8), Some(0x0807_0605_0403_0201));
        assert_eq!(t.load(TlbMode::User, 0x7000_1ff9, 8), None, "leaves the page");
        assert!(!t.store(TlbMode::User, 0x7000_1000, 1, 1), "not writable");
        assert_eq!(t.load(TlbMode::Kernel, 0x7000_1000, 1), None, "other mode");
        assert!(!t.insert(TlbMode::User, 0, 1 << 20, (true, true, true), Access::Read), "outside memory");
        assert_eq!(t.real(TlbMode::User, 0x7000_1010, Access::Read), Some(0x3010));
        t.flush_page(0x7000_1fff);
        assert_eq!(t.load(TlbMode::User, 0x7000_1000, 1), None);
    }

    #[test]
    fn stores_to_a_page_of_code_are_noticed_wherever_it_is() {
        let mut t = tlb();
        let all = (true, true, true);
        let ea = [0x7000_1000, !0 << 62 | 0x5000, 0x7000_2000];
        let modes = [TlbMode::User, TlbMode::Kernel, TlbMode::User];
        // A page that is elsewhere later, one of the kernel's, and one that is elsewhere.
        assert!(t.insert(modes[0], ea[0], 0x8000, all, Access::Write));
        assert!(t.insert(modes[0], ea[0], 0x3000, all, Access::Write));
        assert!(t.insert(modes[1], ea[1], 0x3000, all, Access::Read));
        assert!(t.insert(modes[2], ea[2], 0x4000, all, Access::Write));
        for over in [false, true] {
            t.protect(0x8000);
            assert!(modes.iter().zip(ea).all(|(&m, ea)| t.store(m, ea, 8, 1)), "others stay");
            if over {
                let logs = t.low.iter_mut().chain(&mut t.high).chain(&mut t.large);
                logs.for_each(|l| (l.slots, l.over) = (Vec::new(), true));
            }
            t.protect(0x3000);
            let stores: Vec<_> = modes.iter().zip(ea).map(|(&m, ea)| t.store(m, ea, 8, 1)).collect();
            assert_eq!(stores, [false, false, true]);
            assert!(t.load(modes[0], ea[0], 8).is_some(), "loads are there as before");
            (0..2).for_each(|n| assert!(t.insert(modes[n], ea[n], 0x3000, all, Access::Write)));
        }
    }

    #[test]
    fn nothing_is_there_before_it_is_entered() {
        let mut t = tlb();
        let modes = [TlbMode::Real, TlbMode::User, TlbMode::Kernel, TlbMode::KernelNoUser];
        for round in 0..2 {
            for mode in modes {
                // Zeroed entries look like those of page 0; the last access wraps round to it.
                for ea in
                    [0, 8, 0x1000, 0xffff_f000, 0xffff_fffe, PAGE_SIZE << TLB_BITS, !0 << 62, !0xfff, !0, !6]
                {
                    assert_eq!(t.load(mode, ea, 8), None, "{ea:#x} in round {round}");
                    let tag = t.slot(mode, Access::Read, ea).tag;
                    assert!(ea ^ tag >= PAGE_SIZE, "{ea:#x} is found by bits above the page's");
                    assert_eq!(t.load16(mode, ea), None);
                    assert!(!t.store(mode, ea, 1, 8) && !t.store16(mode, ea, 1));
                    assert!(!t.zero_block(mode, ea));
                    assert_eq!(t.real(mode, ea, Access::Exec), None);
                }
                let rights = (true, true, true);
                for (ea, ra) in [(0, 0x3000), (0x5000, 0x5000), (!0xfff, 0x7000), (!0 << 62, 0x9000)] {
                    assert!(t.insert(mode, ea, ra, rights, Access::Write));
                    assert!(t.store(mode, ea, 7, 8));
                    assert_eq!(t.ram().load_le(ra, 8), Ok(7));
                }
            }
            t.trim();
        }
    }

    #[test]
    fn a_process_is_forgotten_alone() {
        let mut t = tlb();
        let kernel = 0xc000_0000_0000_1000;
        assert!(t.insert(TlbMode::Kernel, kernel, 0x3000, (true, true, true), Access::Read));
        assert!(t.insert(TlbMode::Kernel, 0x3000, 0x5000, (true, true, false), Access::Read));
        assert!(t.insert(TlbMode::User, 0x3fff_ffff_ffff_f000, 0x5000, (true, true, true), Access::Read));
        t.flush_low();
        assert!(t.load(TlbMode::Kernel, kernel, 8).is_some());
        assert!(t.load(TlbMode::Kernel, 0x3000, 8).is_none());
        assert!(t.load(TlbMode::User, 0x3fff_ffff_ffff_f000, 8).is_none());
        assert!(t.insert(TlbMode::User, 0x3000, 0x5000, (true, true, true), Access::Read));
        t.flush_low();
        assert!(t.load(TlbMode::User, 0x3000, 8).is_none());
        t.flush_translated();
        assert!(t.load(TlbMode::Kernel, kernel, 8).is_none());
    }

    #[test]
    fn many_entries_are_forgotten_as_well_as_few() {
        for count in [3, 200, 3 * LOG as u64] {
            let mut t = Tlb::new(Arc::new(GuestRam::new(1 << 20).unwrap()));
            let low = |n: u64| 0x7000_0000 + n * PAGE_SIZE;
            let high = |n: u64| 0xc000_0000_0000_0000 + n * PAGE_SIZE;
            let fill = |t: &mut Tlb| {
                for n in 0..count {
                    assert!(t.insert(TlbMode::Kernel, high(n), 0x3000, (true, true, true), Access::Read));
                    assert!(t.insert(TlbMode::User, low(n), 0x3000, (true, true, true), Access::Read));
                }
            };
            let held = |t: &Tlb, f: &dyn Fn(u64) -> u64, mode| {
                (0..count).filter(|&n| t.load(mode, f(n), 1).is_some()).count() as u64
            };
            fill(&mut t);
            let most = count.min(SIZE as u64);
            assert_eq!(held(&t, &low, TlbMode::User), most);
            t.flush_range(low(count - 2), PAGE_SIZE << 20);
            assert_eq!(held(&t, &low, TlbMode::User), most - 2);
            t.flush_low();
            assert_eq!(held(&t, &low, TlbMode::User), 0);
            assert_eq!(held(&t, &high, TlbMode::Kernel), most);
            fill(&mut t);
            t.protect(0x3000);
            assert!((0..count).all(|n| !t.store(TlbMode::User, low(n), 1, 1)));
            assert_eq!(held(&t, &low, TlbMode::User), most);
            t.flush_translated();
            assert_eq!(held(&t, &low, TlbMode::User) + held(&t, &high, TlbMode::Kernel), 0);
        }
    }

    #[test]
    fn large_pages_stay_until_they_are_too_many() {
        for count in [5, LOG as u64] {
            let mut t = tlb();
            let all = (true, true, true);
            let (low, small) = (0x7000_0000, 0xc008_0000_0000_0000u64);
            let large = |n: u64| 0xc000_0000_0000_1000 + n * PAGE_SIZE;
            assert!(t.insert(TlbMode::User, low, 0x3000, all, Access::Read));
            assert!(t.insert(TlbMode::Kernel, small, 0x3000, all, Access::Read));
            assert!((0..count).all(|n| t.insert_large(TlbMode::Kernel, large(n), 0x3000, all, Access::Read)));
            t.protect(0x3000);
            assert!((0..count).all(|n| !t.store(TlbMode::Kernel, large(n), 1, 1)));
            t.flush_high(false);
            let held =
                |t: &Tlb| (0..count).filter(|&n| t.load(TlbMode::Kernel, large(n), 1).is_some()).count();
            // Those after the list was made anew are large ones again.
            assert!(if count == 5 { held(&t) == 5 } else { held(&t) < LOG / 2 });
            assert_eq!(t.load(TlbMode::Kernel, small, 1), None);
            t.flush_high(true);
            assert_eq!(held(&t), 0);
            assert!(t.load(TlbMode::User, low, 1).is_some());
            assert!(t.insert_large(TlbMode::Kernel, large(0), 0x3000, all, Access::Read));
            t.flush_translated();
            assert_eq!(held(&t), 0);
        }
    }

    #[test]
    fn reads_and_writes_do_not_displace_each_other() {
        let mut t = tlb();
        let far = 0x7000_1000 + (PAGE_SIZE << TLB_BITS);
        assert!(t.insert(TlbMode::User, 0x7000_1000, 0x3000, (true, true, false), Access::Read));
        assert!(t.store(TlbMode::User, 0x7000_1000, 1, 1), "entered too");
        assert!(t.insert(TlbMode::User, far, 0x5000, (true, true, false), Access::Write));
        assert!(t.store(TlbMode::User, far, 2, 1));
        assert_eq!(t.load(TlbMode::User, 0x7000_1000, 1), Some(1), "still there");
        assert!(!t.store(TlbMode::User, 0x7000_1000, 1, 1), "displaced");
        // A new translation of a page replaces the old one for all kinds.
        assert!(t.insert(TlbMode::User, 0x7000_1000, 0x5000, (true, true, false), Access::Write));
        assert_eq!(t.load(TlbMode::User, 0x7000_1000, 1), Some(2));
        assert!(t.insert(TlbMode::User, 0x7000_1000, 0x5000, (false, true, false), Access::Write));
        assert_eq!(t.load(TlbMode::User, 0x7000_1000, 1), None);
    }

    #[test]
    fn a_code_page_is_not_quietly_writable() {
        let mut t = tlb();
        t.ram().mark_code(0x3000);
        assert!(t.insert(TlbMode::Real, 0x3000, 0x3000, (true, true, true), Access::Read));
        assert!(!t.store(TlbMode::Real, 0x3000, 1, 4));
        assert!(t.insert(TlbMode::Real, 0x5000, 0x5000, (true, true, true), Access::Read));
        assert!(t.store(TlbMode::Real, 0x5000, 1, 4));
        assert!(t.ram().mark_code(0x5000), "an entry exists");
        t.protect(0x5000);
        assert!(!t.store(TlbMode::Real, 0x5000, 1, 4));
        assert_eq!(t.load(TlbMode::Real, 0x5000, 4), Some(1));
    }
}
