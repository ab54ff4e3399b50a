//! The memory of one partition.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::huge::{HUGE, HugePages};
use crate::share::Places;

/// log2 of the host-side management page: flags, code tracking and TLB entries use 4 KiB.
pub const PAGE_SHIFT: u32 = 12;
/// 4 KiB.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// Flags kept for each 4 KiB page of guest memory.
pub mod page_flag {
    /// Decoded or translated code was made from this page: stores to it must be noticed.
    pub const CODE: u8 = 1;
    /// A processor may hold a TLB entry that lets it store to this page unnoticed.
    pub const WRITABLE: u8 = 2;
    /// Written since the dirty log was last taken.
    pub const DIRTY: u8 = 4;
}

/// A real address range that is not inside the partition's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("guest real address {addr:#x} (+{len:#x}) is outside the partition's memory")]
pub struct OutOfRange {
    /// First byte.
    pub addr: u64,
    /// Length in bytes.
    pub len: u64,
}

/// The memory of one partition: real addresses from 0 to [`GuestRam::size`].
pub struct GuestRam {
    pub(crate) base: *mut u8,
    size: u64,
    reservation: (*mut libc::c_void, usize),
    pub(crate) fd: OwnedFd,
    /// What of it is shared.
    pub(crate) places: Mutex<Places>,
    flags: Box<[AtomicU8]>,
    versions: Box<[AtomicU32]>,
    /// How many are inside of [`GuestRam::mark_code_and`].
    marking: AtomicU32,
    /// Pages whose code was dropped, counted, and the newest of them: number of the event and page.
    drops: AtomicU64,
    dropped: Box<[AtomicU64]>,
    pub(crate) huge: HugePages,
}

/// Newest dropped pages remembered.
const DROPS: u64 = 1024;

// SAFETY: `base` points to a shared mapping that lives as long as `self`; all accesses through it are atomic or
// volatile, so sharing between threads is what the type is for.
unsafe impl Send for GuestRam {}
// SAFETY: as above.
unsafe impl Sync for GuestRam {}

/// Unmapped space kept before and after guest memory; also the alignment of its start (host huge pages).
const GUARD: usize = HUGE as usize;

impl GuestRam {
    /// Reserve and map `size` bytes (rounded up to 64 KiB) of zeroed guest memory.
    pub fn new(size: u64) -> std::io::Result<Self> {
        let too_large = || std::io::Error::other("memory size too large for this host");
        let size = size.checked_next_multiple_of(1 << 16).ok_or_else(too_large)?;
        let len = usize::try_from(size).map_err(|_| too_large())?;
        let reserved = len.checked_add(3 * GUARD).ok_or_else(too_large)?;
        // SAFETY: memfd_create with a valid C string; the returned descriptor is owned by us alone.
        let fd = unsafe {
            let fd = libc::memfd_create(c"rhyp-ram".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return Err(std::io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: plain system calls on our own descriptor; the fixed mapping lies inside the range just reserved.
        let (reservation, base) = unsafe {
            if libc::ftruncate(fd.as_raw_fd(), len as libc::off_t) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let p = libc::mmap(std::ptr::null_mut(), reserved, libc::PROT_NONE, flags, -1, 0);
            if p == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error());
            }
            let at = (p as usize + GUARD).next_multiple_of(GUARD) as *mut libc::c_void;
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
            let m = libc::mmap(at, len, prot, flags, fd.as_raw_fd(), 0);
            if m == libc::MAP_FAILED {
                let e = std::io::Error::last_os_error();
                libc::munmap(p, reserved);
                return Err(e);
            }
            libc::madvise(m, len, libc::MADV_HUGEPAGE);
            (p, m as *mut u8)
        };
        let pages = (size >> PAGE_SHIFT) as usize;
        Ok(GuestRam {
            base,
            size,
            reservation: (reservation, reserved),
            fd,
            places: Mutex::default(),
            flags: zeroed_u8(pages),
            // SAFETY: `drop` stops it before the mapping goes.
            huge: unsafe { HugePages::new(base, size) },
            versions: zeroed_u32(pages),
            marking: AtomicU32::new(0),
            drops: AtomicU64::new(0),
            dropped: (0..DROPS).map(|_| Default::default()).collect(),
        })
    }

    /// Size in bytes.
    #[inline]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The memfd behind the memory (for back ends that map it: nothing is shared with other partitions from here on).
    pub fn fd(&self) -> &OwnedFd {
        self.lend();
        &self.fd
    }

    #[inline]
    fn at(&self, addr: u64, len: u64) -> Result<*mut u8, OutOfRange> {
        if len <= self.size && addr <= self.size - len {
            // SAFETY: inside the mapping, checked just above.
            Ok(unsafe { self.base.add(addr as usize) })
        } else {
            Err(OutOfRange { addr, len })
        }
    }

    /// Host address of the page holding `ra`, for TLB entries.
    #[inline]
    pub(crate) fn page(&self, ra: u64) -> Option<*mut u8> {
        self.at(ra & !(PAGE_SIZE - 1), PAGE_SIZE).ok()
    }

    /// Host address of real address 0. For translated code, which reaches memory only through TLB entries.
    pub fn host_base(&self) -> *mut u8 {
        self.base
    }

    /// Copy out of guest memory.
    pub fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), OutOfRange> {
        let p = self.at(addr, out.len() as u64)?;
        // SAFETY: `p..p+len` is inside the mapping; guest memory is only ever accessed through raw pointers, and a
        // racing guest store can at worst make the copied bytes a mixture, which the caller treats as guest data.
        unsafe { std::ptr::copy_nonoverlapping(p, out.as_mut_ptr(), out.len()) };
        Ok(())
    }

    /// Copy into guest memory; code made from the pages is dropped.
    pub fn write(&self, addr: u64, data: &[u8]) -> Result<(), OutOfRange> {
        let p = self.at(addr, data.len() as u64)?;
        // SAFETY: as in `read`.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), p, data.len()) };
        self.written(addr, data.len() as u64);
        Ok(())
    }

    /// Set a range to `byte`; code made from the pages is dropped.
    pub fn fill(&self, addr: u64, len: u64, byte: u8) -> Result<(), OutOfRange> {
        let p = self.at(addr, len)?;
        // SAFETY: as in `read`.
        unsafe { std::ptr::write_bytes(p, byte, len as usize) };
        self.written(addr, len);
        Ok(())
    }

    /// Give all pages back to the host: the memory is zero again, and code made from it is dropped.
    pub fn clear(&self) {
        self.forget_shared(0, self.size);
        // SAFETY: our own descriptor; punching a hole in a memfd zeroes what is mapped and moves nothing.
        let done = unsafe {
            libc::fallocate(
                self.fd.as_raw_fd(),
                libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                0,
                self.size as libc::off_t,
            )
        };
        if done != 0 {
            // SAFETY: the whole mapping.
            unsafe { std::ptr::write_bytes(self.base, 0, self.size as usize) };
        }
        self.huge.calm_all();
        self.written(0, self.size);
    }

    /// Give the whole pages of a range back to the host: they are zero when they are touched next. A host that cannot
    /// leaves them as they are, which is no failure. Pages are 64 KiB here, as the host's may be larger than 4 KiB.
    pub fn discard(&self, addr: u64, len: u64) -> Result<(), OutOfRange> {
        const PAGE: u64 = 1 << 16;
        self.at(addr, len)?;
        let (from, to) = (addr.next_multiple_of(PAGE), (addr + len) & !(PAGE - 1));
        if from < to {
            let shared = self.forget_shared(from, to - from);
            // SAFETY: our own descriptor; as in `clear`.
            let done = unsafe {
                libc::fallocate(
                    self.fd.as_raw_fd(),
                    libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                    from as libc::off_t,
                    (to - from) as libc::off_t,
                )
            };
            if done == 0 || shared {
                self.written(from, to - from);
            }
        }
        Ok(())
    }

    /// Note that a range changed behind the processors' back: drops code made from it and marks it dirty.
    pub fn written(&self, addr: u64, len: u64) {
        if len == 0 {
            return;
        }
        let last = (addr.saturating_add(len - 1) >> PAGE_SHIFT) as usize;
        for n in (addr >> PAGE_SHIFT) as usize..=last.min(self.flags.len().saturating_sub(1)) {
            self.drop_code(n);
        }
    }

    fn drop_code(&self, page: usize) {
        let f = &self.flags[page];
        if f.load(Ordering::Relaxed) & page_flag::CODE != 0 {
            f.fetch_and(!page_flag::CODE, Ordering::AcqRel);
            self.versions[page].fetch_add(1, Ordering::AcqRel);
            let n = self.drops.fetch_add(1, Ordering::AcqRel) + 1;
            self.dropped[(n % DROPS) as usize].store(n << 32 | page as u64, Ordering::Release);
        }
    }

    /// How often the code of a page was dropped.
    #[inline(always)]
    pub fn code_drops(&self) -> u64 {
        self.drops.load(Ordering::Acquire)
    }

    /// Where [`GuestRam::code_drops`] counts, for translated code to watch.
    pub fn code_drops_at(&self) -> *const AtomicU64 {
        &self.drops
    }

    /// Real address of the page whose code the `n`-th drop concerned; `None` when that is no longer (or not yet)
    /// known: any page may have changed.
    pub fn dropped_page(&self, n: u64) -> Option<u64> {
        let e = self.dropped[(n % DROPS) as usize].load(Ordering::Acquire);
        (e >> 32 == n & 0xffff_ffff).then_some((e & 0xffff_ffff) << PAGE_SHIFT)
    }

    /// Version of the code in the page holding `ra`; changes when code made from the page is no longer good.
    #[inline]
    pub fn code_version(&self, ra: u64) -> u32 {
        self.versions.get((ra >> PAGE_SHIFT) as usize).map_or(0, |v| v.load(Ordering::Acquire))
    }

    /// Note that code is about to be made from the page holding `ra`, and `flush` when processors may hold entries that let
    /// them store to it unnoticed: afterwards none does, also where another processor noted it first and still flushes.
    pub fn mark_code_and(&self, ra: u64, flush: impl FnOnce()) {
        self.marking.fetch_add(1, Ordering::SeqCst);
        if self.mark_code(ra) || self.marking.load(Ordering::SeqCst) > 1 {
            flush();
        }
        self.marking.fetch_sub(1, Ordering::SeqCst);
    }

    /// Note that code is about to be made from the page holding `ra`. True when processors may hold entries that let them
    /// store to it unnoticed.
    pub(crate) fn mark_code(&self, ra: u64) -> bool {
        let Some(f) = self.flags.get((ra >> PAGE_SHIFT) as usize) else { return false };
        if f.load(Ordering::Acquire) & page_flag::CODE != 0 {
            return false;
        }
        let old = f.fetch_or(page_flag::CODE, Ordering::AcqRel);
        if old & page_flag::WRITABLE != 0 {
            f.fetch_and(!page_flag::WRITABLE, Ordering::AcqRel);
            return true;
        }
        false
    }

    /// Whether a TLB entry may let stores to the page pass unnoticed; remembers that one does.
    pub(crate) fn allow_quiet_stores(&self, ra: u64) -> bool {
        let Some(f) = self.flags.get((ra >> PAGE_SHIFT) as usize) else { return false };
        let now = f.load(Ordering::Acquire);
        if now & page_flag::CODE != 0 {
            return false;
        }
        let noted = page_flag::WRITABLE | page_flag::DIRTY;
        if now & noted == noted {
            // Who marks the page from here on finds it writable and has our entry flushed.
            return true;
        }
        f.fetch_or(page_flag::WRITABLE | page_flag::DIRTY, Ordering::AcqRel) & page_flag::CODE == 0
    }

    /// Flags of the page holding `ra` (see [`page_flag`]).
    pub fn page_flags(&self, ra: u64) -> u8 {
        self.flags.get((ra >> PAGE_SHIFT) as usize).map_or(0, |f| f.load(Ordering::Acquire))
    }

    /// Load 1, 2, 4 or 8 bytes as a little-endian number. An aligned access is single-copy atomic.
    #[inline]
    pub fn load_le(&self, addr: u64, size: u8) -> Result<u64, OutOfRange> {
        let p = self.at(addr, size as u64)?;
        // SAFETY: inside the mapping.
        Ok(unsafe { load_host(p, size) })
    }

    /// Store 1, 2, 4 or 8 bytes of a little-endian number; code made from the page is dropped.
    #[inline]
    pub fn store_le(&self, addr: u64, v: u64, size: u8) -> Result<(), OutOfRange> {
        let p = self.at(addr, size as u64)?;
        // SAFETY: inside the mapping.
        unsafe { store_host(p, v, size) };
        self.written(addr, size as u64);
        Ok(())
    }

    /// Big-endian 32-bit load.
    pub fn read_u32_be(&self, addr: u64) -> Result<u32, OutOfRange> {
        Ok((self.load_le(addr, 4)? as u32).swap_bytes())
    }
    /// Big-endian 64-bit load.
    pub fn read_u64_be(&self, addr: u64) -> Result<u64, OutOfRange> {
        Ok(self.load_le(addr, 8)?.swap_bytes())
    }
    /// Big-endian 16-bit store.
    pub fn write_u16_be(&self, addr: u64, v: u16) -> Result<(), OutOfRange> {
        self.store_le(addr, v.swap_bytes() as u64, 2)
    }
    /// Big-endian 32-bit store.
    pub fn write_u32_be(&self, addr: u64, v: u32) -> Result<(), OutOfRange> {
        self.store_le(addr, v.swap_bytes() as u64, 4)
    }
    /// Big-endian 64-bit store.
    pub fn write_u64_be(&self, addr: u64, v: u64) -> Result<(), OutOfRange> {
        self.store_le(addr, v.swap_bytes(), 8)
    }

    /// Compare and swap an aligned scalar of 1, 2, 4 or 8 bytes, little-endian numbers, sequentially consistent.
    /// `Err` when outside memory or unaligned.
    pub fn cas_le(&self, addr: u64, old: u64, new: u64, size: u8) -> Result<bool, OutOfRange> {
        let p = self.at(addr, size as u64)?;
        if addr % size as u64 != 0 {
            return Err(OutOfRange { addr, len: size as u64 });
        }
        // SAFETY: inside the mapping and aligned.
        let ok = unsafe { cas_host(p, old, new, size) };
        if ok {
            self.written(addr, size as u64);
        }
        Ok(ok)
    }
}

impl Drop for GuestRam {
    fn drop(&mut self) {
        self.huge.stop();
        // SAFETY: the reservation was made by `new` and nothing refers to it after `self`.
        unsafe { libc::munmap(self.reservation.0, self.reservation.1) };
    }
}

/// Zeroed bytes that cost the host nothing until they are touched.
fn zeroed_u8(n: usize) -> Box<[AtomicU8]> {
    let b = vec![0u8; n].into_boxed_slice();
    // SAFETY: `AtomicU8` has the size and alignment of `u8`, and every value is valid for both; ownership moves.
    unsafe { Box::from_raw(Box::into_raw(b) as *mut [AtomicU8]) }
}

/// Zeroed words that cost the host nothing until they are touched.
pub(crate) fn zeroed_u32(n: usize) -> Box<[AtomicU32]> {
    let b = vec![0u32; n].into_boxed_slice();
    // SAFETY: `AtomicU32` has the size of `u32` and, on every host with 32-bit atomics, its alignment; every value is
    // valid for both; ownership moves.
    unsafe { Box::from_raw(Box::into_raw(b) as *mut [AtomicU32]) }
}

const _: () = assert!(align_of::<AtomicU32>() == align_of::<u32>());

/// Load `size` bytes at host address `p`, little-endian; atomic when aligned.
///
/// # Safety
/// `p..p+size` lies in a guest memory mapping.
#[inline(always)]
pub(crate) unsafe fn load_host(p: *const u8, size: u8) -> u64 {
    // SAFETY: the caller's; aligned accesses use atomics, others volatile bytes that no Rust reference aliases.
    unsafe {
        match size {
            1 => (*(p as *const AtomicU8)).load(Ordering::Relaxed) as u64,
            2 if p as usize & 1 == 0 => {
                u16::from_le((*(p as *const AtomicU16)).load(Ordering::Relaxed)) as u64
            }
            4 if p as usize & 3 == 0 => {
                u32::from_le((*(p as *const AtomicU32)).load(Ordering::Relaxed)) as u64
            }
            8 if p as usize & 7 == 0 => u64::from_le((*(p as *const AtomicU64)).load(Ordering::Relaxed)),
            2 => u16::from_le((p as *const u16).read_unaligned()) as u64,
            4 => u32::from_le((p as *const u32).read_unaligned()) as u64,
            _ => u64::from_le((p as *const u64).read_unaligned()),
        }
    }
}

/// Store `size` bytes at host address `p`, little-endian; atomic when aligned.
///
/// # Safety
/// `p..p+size` lies in a guest memory mapping.
#[inline(always)]
pub(crate) unsafe fn store_host(p: *mut u8, v: u64, size: u8) {
    // SAFETY: as in `load_host`.
    unsafe {
        match size {
            1 => (*(p as *const AtomicU8)).store(v as u8, Ordering::Relaxed),
            2 if p as usize & 1 == 0 => {
                (*(p as *const AtomicU16)).store((v as u16).to_le(), Ordering::Relaxed)
            }
            4 if p as usize & 3 == 0 => {
                (*(p as *const AtomicU32)).store((v as u32).to_le(), Ordering::Relaxed)
            }
            8 if p as usize & 7 == 0 => (*(p as *const AtomicU64)).store(v.to_le(), Ordering::Relaxed),
            2 => (p as *mut u16).write_unaligned((v as u16).to_le()),
            4 => (p as *mut u32).write_unaligned((v as u32).to_le()),
            _ => (p as *mut u64).write_unaligned(v.to_le()),
        }
    }
}

/// Compare and swap.
///
/// # Safety
/// `p..p+size` lies in a guest memory mapping and is aligned to `size`.
#[inline]
pub(crate) unsafe fn cas_host(p: *mut u8, old: u64, new: u64, size: u8) -> bool {
    const O: Ordering = Ordering::SeqCst;
    // SAFETY: the caller's.
    unsafe {
        match size {
            1 => (*(p as *const AtomicU8)).compare_exchange(old as u8, new as u8, O, O).is_ok(),
            2 => {
                let a = &*(p as *const AtomicU16);
                a.compare_exchange((old as u16).to_le(), (new as u16).to_le(), O, O).is_ok()
            }
            4 => {
                let a = &*(p as *const AtomicU32);
                a.compare_exchange((old as u32).to_le(), (new as u32).to_le(), O, O).is_ok()
            }
            _ => (*(p as *const AtomicU64)).compare_exchange(old.to_le(), new.to_le(), O, O).is_ok(),
        }
    }
}

/// Compare and swap 16 bytes given as a little-endian number; returns the value found.
///
/// # Safety
/// `p..p+16` lies in a guest memory mapping and is aligned to 16.
pub(crate) unsafe fn cas16_host(p: *mut u8, old: u128, new: u128) -> u128 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("cmpxchg16b") {
        let (lo, hi): (u64, u64);
        // SAFETY: the caller's; the feature was checked; rbx, which the compiler keeps for itself, is restored.
        unsafe {
            std::arch::asm!(
                "xchg rbx, {new_lo}",
                "lock cmpxchg16b [{p}]",
                "mov rbx, {new_lo}",
                new_lo = inout(reg) new as u64 => _,
                p = in(reg) p,
                inout("rax") old as u64 => lo,
                inout("rdx") (old >> 64) as u64 => hi,
                in("rcx") (new >> 64) as u64,
                options(nostack),
            );
        }
        return lo as u128 | (hi as u128) << 64;
    }
    // Hosts without a 16-byte compare and swap: all quadword atomics of the process take turns. Doubleword accesses
    // of other processors to the same quadword can then be seen half done, as the ISA allows for mixed sizes.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    // SAFETY: the caller's.
    unsafe {
        let found = u128::from_le((p as *const u128).read_volatile());
        if found == old {
            (p as *mut u128).write_volatile(new.to_le());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_while_another_marks_a_page_flushes_too() {
        let m = GuestRam::new(1 << 20).unwrap();
        assert!(m.allow_quiet_stores(0x3000));
        let mut flushed = 0;
        m.mark_code_and(0x3000, || {
            // The page is marked, but the other's stores may still be unnoticed.
            m.mark_code_and(0x3000, || flushed += 1);
            flushed += 1;
        });
        assert_eq!(flushed, 2);
        m.mark_code_and(0x3000, || flushed += 1);
        assert_eq!(flushed, 2, "nobody has the page any more");
    }

    #[test]
    fn accesses_outside_are_refused() {
        let m = GuestRam::new(1 << 20).unwrap();
        assert_eq!(m.size(), 1 << 20);
        let mut b = [0; 8];
        assert!(m.read((1 << 20) - 8, &mut b).is_ok());
        assert!(m.read((1 << 20) - 7, &mut b).is_err());
        assert!(m.read(u64::MAX - 3, &mut b).is_err());
        assert!(m.store_le(1 << 20, 0, 1).is_err());
        assert!(m.cas_le(4, 0, 1, 8).is_err(), "unaligned");
        assert!(GuestRam::new(u64::MAX).is_err());
    }

    #[test]
    fn numbers_keep_their_byte_order() {
        let m = GuestRam::new(1 << 16).unwrap();
        m.write(0, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(m.load_le(0, 8).unwrap(), 0x0807_0605_0403_0201);
        assert_eq!(m.read_u64_be(0).unwrap(), 0x0102_0304_0506_0708);
        assert_eq!(m.load_le(1, 4).unwrap(), 0x0504_0302);
        m.write_u32_be(3, 0xaabb_ccdd).unwrap();
        assert_eq!(m.read_u32_be(3).unwrap(), 0xaabb_ccdd);
    }

    #[test]
    fn stores_drop_code() {
        let m = GuestRam::new(1 << 16).unwrap();
        assert!(!m.mark_code(0x1000));
        let v = m.code_version(0x1000);
        m.store_le(0x1ffc, 1, 8).unwrap();
        assert_ne!(m.code_version(0x1000), v);
        assert_eq!(m.page_flags(0x1000) & page_flag::CODE, 0);
        let v = m.code_version(0x1000);
        m.store_le(0x1000, 1, 8).unwrap();
        assert_eq!(m.code_version(0x1000), v, "no code there any more");
    }

    #[test]
    fn discarded_pages_are_whole_and_zero() {
        let m = GuestRam::new(1 << 20).unwrap();
        m.fill(0, 1 << 20, 0xff).unwrap();
        m.mark_code(0x2_0000);
        let v = m.code_version(0x2_0000);
        m.discard(0x1_0001, 0x2_ffff).unwrap();
        let byte = |at| m.load_le(at, 1).unwrap();
        assert_eq!([0xffff, 0x1_ffff, 0x2_0000, 0x3_ffff, 0x4_0000].map(byte), [0xff, 0xff, 0, 0, 0xff]);
        assert_ne!(m.code_version(0x2_0000), v);
        assert!(m.discard(1 << 20, 1).is_err() && m.discard(u64::MAX, 2).is_err());
        m.discard(0x5_0001, 5).unwrap();
        assert_eq!(byte(0x5_0001), 0xff);
    }

    #[test]
    fn quadword_cas() {
        let m = GuestRam::new(1 << 16).unwrap();
        let p = m.page(0).unwrap();
        // SAFETY: start of the mapping.
        unsafe {
            assert_eq!(cas16_host(p, 0, 5), 0);
            assert_eq!(cas16_host(p, 0, 6), 5);
        }
        assert_eq!(m.load_le(0, 8).unwrap(), 5);
    }
}
