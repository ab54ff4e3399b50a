//! Virtual I/O (LoPAR 14.5.4.2 and chapter 17): DMA windows made of translation control entries (TCE), command/response
//! queues (CRQ).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use device::{DmaAccess, DmaFault, DmaSpace, RemoteWindow};
use mem::{GuestRam, Pieces};
use serde::{Deserialize, Serialize};

use super::{Ctx, Row, row};
use crate::rc::{HResult, Rc};

const TCE: &str = "14.5.4.2";

pub(super) const ROWS: &[Row] = &[
    row(0x1c, "H_GET_TCE", 2, TCE, get_tce),
    row(0x20, "H_PUT_TCE", 3, TCE, put_tce),
    row(0x138, "H_STUFF_TCE", 4, TCE, stuff_tce),
    row(0x13c, "H_PUT_TCE_INDIRECT", 4, TCE, put_tce_indirect),
    row(0xfc, "H_REG_CRQ", 3, "17.2.3.1.5.1", reg_crq),
    row(0x100, "H_FREE_CRQ", 1, "17.2.3.1.5.2", free_crq),
    row(0x104, "H_VIO_SIGNAL", 2, "17.2.1.3.1", vio_signal),
    row(0x108, "H_SEND_CRQ", 3, "17.2.3.1.5.3", send_crq),
    row(0x2b0, "H_ENABLE_CRQ", 1, "17.2.3.1.5.4", enable_crq),
    row(0x110, "H_COPY_RDMA", 5, "17.2.3.2.1", copy_rdma),
    row(0x2a8, "H_VIOCTL", 4, "17.2.1.4", vioctl),
];

/// Bits of a TCE that mean something here: page number and the two access rights.
const TCE_READ: u64 = 1;
const TCE_WRITE: u64 = 2;
/// Most windows of a partition.
const MAX_WINDOWS: usize = 1024;
/// Most entries of one window: 2^28 (1 TiB of 4 KiB pages).
const MAX_ENTRIES: usize = 1 << 28;
/// Most entries one H_STUFF_TCE sets. LoPAR lets a call do a part only by H_LONG_BUSY, so more is refused.
const MAX_STUFF: u64 = 1 << 20;
/// Most bytes of one H_COPY_RDMA.
const MAX_RDMA: u64 = 128 << 10;
/// Bytes of it that are on their way at a time.
const RDMA_PIECE: usize = 4096;
/// Most entries of H_PUT_TCE_INDIRECT: a page full.
const MAX_INDIRECT: u64 = 512;

/// One DMA window: what I/O addresses from its start mean.
pub struct TceTable {
    /// First I/O address.
    start: u64,
    /// log2 of the size of an I/O page.
    shift: u32,
    entries: Box<[AtomicU64]>,
    /// I/O addresses are real ones: what firmware has by `ibm,set-tce-bypass` while it uses the device.
    bypass: AtomicBool,
}

impl TceTable {
    /// The entry's place for an I/O address.
    fn place(&self, ioba: u64) -> Result<usize, Rc> {
        let page = ioba.checked_sub(self.start).ok_or(Rc::PARAMETER)? >> self.shift;
        usize::try_from(page).ok().filter(|&p| p < self.entries.len()).ok_or(Rc::PARAMETER)
    }

    fn set(&self, first: usize, count: u64, tce: impl Fn(usize) -> u64) -> HResult {
        let count = usize::try_from(count).map_err(|_| Rc::PARAMETER)?;
        let end = first.checked_add(count).filter(|&e| e <= self.entries.len()).ok_or(Rc::PARAMETER)?;
        for (n, e) in self.entries[first..end].iter().enumerate() {
            e.store(tce(n) & (TCE_READ | TCE_WRITE | u64::MAX << self.shift), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Where DMA by a device goes: the real address for an I/O address and how many bytes on from there belong to the
    /// same page. `None` if the window does not have it or does not allow the access.
    pub fn translate(&self, ioba: u64, write: bool) -> Option<(u64, u64)> {
        if self.bypass.load(Ordering::Relaxed) {
            return Some((ioba, u64::MAX - ioba));
        }
        let tce = self.entries[self.place(ioba).ok()?].load(Ordering::Relaxed);
        let right = if write { TCE_WRITE } else { TCE_READ };
        let offset = ioba & !(u64::MAX << self.shift);
        let page = tce & u64::MAX << self.shift;
        (tce & right != 0).then_some((page | offset, (1 << self.shift) - offset))
    }
}

/// A window and the memory behind it, for a device.
pub struct TceSpace {
    /// The window.
    pub table: Arc<TceTable>,
    /// The memory.
    pub ram: Arc<GuestRam>,
}

impl TceSpace {
    /// Goes through a range page by page: real address, and which of the range's bytes lie there.
    #[inline]
    fn walk(
        &self,
        ioba: u64,
        len: u64,
        access: DmaAccess,
        mut page: impl FnMut(u64, std::ops::Range<usize>) -> Result<(), mem::OutOfRange>,
    ) -> Result<(), DmaFault> {
        let mut done = 0;
        while done < len {
            let at = ioba.checked_add(done).ok_or(DmaFault(ioba))?;
            let (ra, room) = self.table.translate(at, access == DmaAccess::Write).ok_or(DmaFault(at))?;
            let n = room.min(len - done);
            page(ra, done as usize..(done + n) as usize).map_err(|_| DmaFault(at))?;
            done += n;
        }
        Ok(())
    }
}

impl DmaSpace for TceSpace {
    fn map(&self, ioba: u64, len: u64, access: DmaAccess) -> Result<Pieces, DmaFault> {
        let mut pieces = Pieces::new(self.ram.clone());
        let (mut at, mut left) = (ioba, len);
        // A window has at most 2^28 pages: no request goes round more often.
        while left > 0 {
            let fault = DmaFault(at);
            let (ra, room) = self.table.translate(at, access == DmaAccess::Write).ok_or(fault)?;
            let n = room.min(left);
            pieces.push(ra, n).map_err(|_| fault)?;
            left -= n;
            at = at.checked_add(n).ok_or(fault)?;
        }
        Ok(pieces)
    }

    // The three that follow are called per frame of a network: they do without lists of pieces.

    fn allows(&self, ioba: u64, len: u64, access: DmaAccess) -> bool {
        let size = self.ram.size();
        self.walk(ioba, len, access, |ra, part| {
            let n = part.len() as u64;
            if n <= size && ra <= size - n { Ok(()) } else { Err(mem::OutOfRange { addr: ra, len: n }) }
        })
        .is_ok()
    }

    fn read(&self, ioba: u64, out: &mut [u8]) -> Result<(), DmaFault> {
        let len = out.len() as u64;
        self.walk(ioba, len, DmaAccess::Read, |ra, part| self.ram.read(ra, &mut out[part]))
    }

    fn write(&self, ioba: u64, data: &[u8]) -> Result<(), DmaFault> {
        self.walk(ioba, data.len() as u64, DmaAccess::Write, |ra, part| self.ram.write(ra, &data[part]))
    }
}

type Windows = BTreeMap<u32, Arc<TceTable>>;

/// The DMA windows of a partition by their logical I/O bus number (LIOBN). Guests change entries thousands of times for
/// 20 MB of disk, so a look-up takes no lock: windows come and go by replacing the list of them.
#[derive(Default)]
pub struct TceTables {
    list: ArcSwap<Windows>,
    /// Held by who replaces it.
    change: Mutex<()>,
}

/// A window cannot be made: the number is taken, or the size is impossible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadWindow;

impl TceTables {
    /// Makes a window of `pages` pages of 2^`shift` bytes (12 to 34) from the I/O address `start`.
    pub fn create(&self, liobn: u32, start: u64, shift: u32, pages: usize) -> Result<(), BadWindow> {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Windows::clone(&self.list.load());
        let end = (pages as u64).checked_mul(1 << shift.min(63)).and_then(|len| start.checked_add(len));
        if !(12..=34).contains(&shift)
            || pages > MAX_ENTRIES
            || end.is_none()
            || start & !(u64::MAX << shift) != 0
            || all.len() >= MAX_WINDOWS
            || all.contains_key(&liobn)
        {
            return Err(BadWindow);
        }
        let entries = (0..pages).map(|_| AtomicU64::new(0)).collect();
        all.insert(liobn, Arc::new(TceTable { start, shift, entries, bypass: AtomicBool::new(false) }));
        self.list.store(Arc::new(all));
        Ok(())
    }

    /// Takes a window away. Answers whether it was there.
    pub fn remove(&self, liobn: u32) -> bool {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Windows::clone(&self.list.load());
        let was = all.remove(&liobn).is_some();
        self.list.store(Arc::new(all));
        was
    }

    /// A window, for a device that works on it.
    pub fn get(&self, liobn: u64) -> Option<Arc<TceTable>> {
        let liobn = u32::try_from(liobn).ok()?;
        self.list.load().get(&liobn).cloned()
    }

    /// Works on the window for a hypercall.
    fn with<T>(&self, liobn: u64, work: impl FnOnce(&TceTable) -> Result<T, Rc>) -> Result<T, Rc> {
        let liobn = u32::try_from(liobn).map_err(|_| Rc::PARAMETER)?;
        work(self.list.load().get(&liobn).ok_or(Rc::PARAMETER)?)
    }

    /// Empties all windows.
    pub(crate) fn clear(&self) {
        for t in self.list.load().values() {
            t.entries.iter().for_each(|e| e.store(0, Ordering::Relaxed));
        }
        self.end_bypasses();
    }

    /// Has a window pass I/O addresses on as real ones, or not any more. False if there is no such window.
    pub(crate) fn set_bypass(&self, liobn: u32, on: bool) -> bool {
        self.list.load().get(&liobn).map(|t| t.bypass.store(on, Ordering::Relaxed)).is_some()
    }

    /// No window passes addresses on.
    pub(crate) fn end_bypasses(&self) {
        self.list.load().values().for_each(|t| t.bypass.store(false, Ordering::Relaxed));
    }

    pub(crate) fn save(&self) -> TceTablesState {
        let all = self.list.load();
        let windows = all.iter().map(|(&liobn, t)| {
            let TceTable { start, shift, entries, bypass } = &**t;
            let bypass = bypass.load(Ordering::Relaxed);
            let entry = |(n, e): (usize, &AtomicU64)| (n as u64, e.load(Ordering::Relaxed));
            let set = entries.iter().enumerate().map(entry).filter(|e| e.1 != 0).collect();
            WindowState { liobn, start: *start, shift: *shift, pages: entries.len() as u64, set, bypass }
        });
        TceTablesState { windows: windows.collect() }
    }

    pub(crate) fn restore(&self, state: TceTablesState) -> Result<(), &'static str> {
        let fresh = TceTables::default();
        for WindowState { liobn, start, shift, pages, set, bypass } in state.windows {
            let pages = usize::try_from(pages).map_err(|_| "a DMA window is too large")?;
            fresh.create(liobn, start, shift, pages).map_err(|_| "an impossible DMA window")?;
            let table = fresh.get(liobn.into()).ok_or("an impossible DMA window")?;
            table.bypass.store(bypass, Ordering::Relaxed);
            for (n, tce) in set {
                let entry = usize::try_from(n).ok().and_then(|n| table.entries.get(n));
                entry.ok_or("a DMA window with too many entries")?.store(tce, Ordering::Relaxed);
            }
        }
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, mut all) = (self.list.load(), Windows::new());
        for (&liobn, new) in fresh.list.load().iter() {
            // A device may hold the window that was there: it stays the same one.
            let same = |o: &&Arc<TceTable>| {
                (o.start, o.shift, o.entries.len()) == (new.start, new.shift, new.entries.len())
            };
            let kept = match old.get(&liobn).filter(same) {
                Some(o) => {
                    for (to, from) in o.entries.iter().zip(&new.entries) {
                        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                    o.bypass.store(new.bypass.load(Ordering::Relaxed), Ordering::Relaxed);
                    o.clone()
                }
                None => new.clone(),
            };
            all.insert(liobn, kept);
        }
        self.list.store(Arc::new(all));
        Ok(())
    }
}

/// Saved form of [`TceTables`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TceTablesState {
    /// The windows.
    pub windows: Vec<WindowState>,
}

/// Saved form of one DMA window.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WindowState {
    /// Logical I/O bus number.
    pub liobn: u32,
    /// First I/O address.
    pub start: u64,
    /// log2 of the page size.
    pub shift: u32,
    /// Number of entries.
    pub pages: u64,
    /// The entries that are not 0: number and value.
    pub set: Vec<(u64, u64)>,
    /// Whether addresses pass it unchanged.
    #[serde(default)]
    pub bypass: bool,
}

/// ( liobn io-address -- tce )
fn get_tce(c: &mut Ctx) -> HResult {
    let (liobn, ioba) = (c.arg(0), c.arg(1));
    let tce = c.papr().tces.with(liobn, |t| Ok(t.entries[t.place(ioba)?].load(Ordering::Relaxed)))?;
    c.set(0, tce);
    Ok(())
}

/// ( liobn io-address tce -- )
fn put_tce(c: &mut Ctx) -> HResult {
    let (ioba, tce) = (c.arg(1), c.arg(2));
    c.papr().tces.with(c.arg(0), |t| t.set(t.place(ioba)?, 1, |_| tce))
}

/// ( liobn io-address tce count -- )
fn stuff_tce(c: &mut Ctx) -> HResult {
    let (ioba, tce, count) = (c.arg(1), c.arg(2), c.arg(3));
    if count > MAX_STUFF {
        return Err(Rc::PARAMETER);
    }
    c.papr().tces.with(c.arg(0), |t| t.set(t.place(ioba)?, count, |_| tce))
}

/// ( liobn io-address list count -- )
fn put_tce_indirect(c: &mut Ctx) -> HResult {
    let (ioba, list, count) = (c.arg(1), c.arg(2), c.arg(3));
    if count > MAX_INDIRECT || list % 4096 != 0 {
        return Err(Rc::PARAMETER);
    }
    let mut bytes = [0; MAX_INDIRECT as usize * 8];
    let bytes = &mut bytes[..count as usize * 8];
    c.papr().tces.with(c.arg(0), |t| {
        let at = t.place(ioba)?;
        c.ram().read(list, bytes)?;
        let tce = |n: usize| bytes.get(n * 8..).and_then(|b| b.first_chunk()).copied().unwrap_or_default();
        t.set(at, count, |n| u64::from_be_bytes(tce(n)))
    })
}

/// ( unit queue length -- )
fn reg_crq(c: &mut Ctx) -> HResult {
    let (queue, len) = (c.arg(1), c.arg(2));
    c.p.vio().call(c.arg(0), |d| d.register_crq(queue, len))
}

/// ( unit -- )
fn free_crq(c: &mut Ctx) -> HResult {
    c.p.vio().call(c.arg(0), |d| d.free_crq())
}

/// ( unit mode -- )
fn vio_signal(c: &mut Ctx) -> HResult {
    let mode = c.arg(1);
    c.p.vio().call(c.arg(0), |d| d.signal(mode))
}

/// ( unit high low -- )
fn send_crq(c: &mut Ctx) -> HResult {
    let message = [c.arg(1), c.arg(2)];
    c.p.vio().call(c.arg(0), |d| d.send_crq(message))
}

/// ( unit -- )
fn enable_crq(c: &mut Ctx) -> HResult {
    c.p.vio().call(c.arg(0), |d| d.enable_crq())
}

/// ( unit function arguments*2 -- )
fn vioctl(c: &mut Ctx) -> HResult {
    let (function, args) = (c.arg(1), [c.arg(2), c.arg(3)]);
    c.p.vio().call(c.arg(0), |d| d.control(function, args))
}

/// One side of a copy.
enum Window<'a> {
    /// The partition's own.
    Own(TceSpace),
    /// That of an adapter's partner.
    Remote(&'a dyn RemoteWindow),
}

/// The window of a number in the calling partition; `None` if it has none of that number.
fn rdma_window<'a>(c: &Ctx<'a>, liobn: u64) -> Option<Window<'a>> {
    if let Some(table) = c.papr().tces.get(liobn) {
        return Some(Window::Own(TceSpace { table, ram: c.shared().ram.clone() }));
    }
    c.p.vio().iter().filter_map(|d| d.remote()).find(|r| u64::from(r.liobn()) == liobn).map(Window::Remote)
}

/// ( length source-liobn source destination-liobn destination -- ): at most 128 KiB. H_SOURCE_PARM and H_DEST_PARM for
/// windows that the partition does not have, and for two that are both partners'; H_PERMISSION for what a window does
/// not map for this access, and then nothing was copied.
fn copy_rdma(c: &mut Ctx) -> HResult {
    let (len, from, to) = (c.arg(0), c.arg(2), c.arg(4));
    if len == 0 || len > MAX_RDMA {
        return Err(Rc::PARAMETER);
    }
    let source = rdma_window(c, c.arg(1)).ok_or(Rc::SOURCE_PARM)?;
    let target = rdma_window(c, c.arg(3)).ok_or(Rc::DEST_PARM)?;
    let run = |s: &dyn DmaSpace, t: &dyn DmaSpace| copy(s, from, t, to, len).map_err(|_| Rc::PERMISSION.0);
    match (source, target) {
        (Window::Own(s), Window::Own(t)) => run(&s, &t),
        (Window::Own(s), Window::Remote(t)) => t.with(&mut |t| run(&s, t)),
        (Window::Remote(s), Window::Own(t)) => s.with(&mut |s| run(s, &t)),
        (Window::Remote(_), Window::Remote(_)) => return Err(Rc::DEST_PARM),
    }
    .map_err(Rc)
}

fn copy(source: &dyn DmaSpace, from: u64, target: &dyn DmaSpace, to: u64, len: u64) -> Result<(), DmaFault> {
    if !source.allows(from, len, DmaAccess::Read) {
        return Err(DmaFault(from));
    }
    if !target.allows(to, len, DmaAccess::Write) {
        return Err(DmaFault(to));
    }
    let mut piece = [0; RDMA_PIECE];
    let mut done = 0;
    // The windows may change meanwhile: each piece is looked up again. Neither sum overflows, as both ranges are allowed.
    while done < len {
        let n = (len - done).min(RDMA_PIECE as u64);
        let bytes = &mut piece[..n as usize];
        source.read(from.wrapping_add(done), bytes)?;
        target.write(to.wrapping_add(done), bytes)?;
        done += n;
    }
    Ok(())
}
