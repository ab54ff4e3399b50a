//! Areas in guest memory that belong to a virtual processor (LoPAR 14.11.3.1): the virtual processor area (VPA), the SLB
//! shadow buffer, the dispatch trace log.

use arch::Shared;
use mem::GuestRam;
use serde::{Deserialize, Serialize};

use super::{Ctx, Row, row};
use crate::lock;
use crate::rc::{HResult, Rc};
use crate::state::PaprState;

pub(super) const ROWS: &[Row] = &[row(0xdc, "H_REGISTER_VPA", 3, "14.11.3.2", register_vpa)];

/// Fields of the VPA by offset; numbers are big-endian.
mod field {
    /// u16: size of the area, by the guest.
    pub const SIZE: u64 = 4;
    /// u8: bit 0x02 tells that the processor is shared. The old status byte.
    pub const STATUS: u64 = 9;
    /// u8: which dispatches are to be logged, see [`super::Preempted`].
    pub const DTL_MASK: u64 = 0xb8;
    /// u32: even while the processor is dispatched.
    pub const YIELD_COUNT: u64 = 0x100;
    /// u64: ticks that the processor had something to do and was not dispatched.
    pub const ENQUEUE_DISPATCH: u64 = 0x158;
    /// u64: entries ever written to the dispatch trace log.
    pub const DTL_INDEX: u64 = 0x218;
}

/// Bit of [`field::STATUS`].
const SHARED_PROCESSOR: u8 = 2;
/// Smallest VPA, in bytes.
const VPA_SIZE: u64 = 640;
/// Alignment of the VPA: a cache line.
const VPA_ALIGN: u64 = 128;
/// No area may cross such a boundary.
const PAGE: u64 = 4096;
/// Size of an entry of the dispatch trace log.
const DTL_ENTRY: u64 = 48;
/// Smallest SLB shadow buffer.
const SLB_SHADOW_SIZE: u64 = 8;

/// Why a virtual processor was taken off its host processor, as bits of the VPA's dispatch trace log mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Preempted {
    /// It ceded or conferred.
    #[default]
    Ceded,
    /// Its time was over.
    Preempted,
    /// The hypervisor had to fetch a page for it.
    Faulted,
}

impl Preempted {
    fn mask(self) -> u8 {
        match self {
            Preempted::Ceded => 1,
            Preempted::Preempted => 2,
            Preempted::Faulted => 4,
        }
    }
    /// Preempt reasons of the log (LoPAR table "Dispatch Trace Log Entry").
    fn preempt_reason(self) -> u8 {
        match self {
            Preempted::Ceded => 4,
            Preempted::Preempted => 6,
            Preempted::Faulted => 0,
        }
    }
    /// Dispatch reasons of the log: 4 external interrupt ends a cede, 1 time slice, 2 fault resolved.
    fn dispatch_reason(self) -> u8 {
        match self {
            Preempted::Ceded => 4,
            Preempted::Preempted => 1,
            Preempted::Faulted => 2,
        }
    }
}

/// The areas of one virtual processor, by real address.
#[derive(Clone, Default, Debug)]
pub(crate) struct Areas {
    vpa: Option<u64>,
    slb_shadow: Option<(u64, u64)>,
    dtl: Option<(u64, u64)>,
    dtl_index: u64,
    off_since: u64,
    off_reason: Preempted,
}

/// Saved form of a virtual processor's areas.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AreasState {
    /// Address of the VPA.
    pub vpa: Option<u64>,
    /// Address and size of the SLB shadow buffer.
    pub slb_shadow: Option<(u64, u64)>,
    /// Address and size of the dispatch trace log.
    pub dtl: Option<(u64, u64)>,
    /// Entries ever written to it.
    pub dtl_index: u64,
    /// Timebase when the processor was last taken off, and why.
    pub off: (u64, Preempted),
}

impl Areas {
    pub(crate) fn save(&self) -> AreasState {
        let Areas { vpa, slb_shadow, dtl, dtl_index, off_since, off_reason } = self.clone();
        AreasState { vpa, slb_shadow, dtl, dtl_index, off: (off_since, off_reason) }
    }

    pub(crate) fn restore(state: AreasState) -> Self {
        let AreasState { vpa, slb_shadow, dtl, dtl_index, off: (off_since, off_reason) } = state;
        Areas { vpa, slb_shadow, dtl, dtl_index, off_since, off_reason }
    }
}

/// Bits 16 to 18 of the flags.
const SUBFUNCTION: u64 = 7 << 45;

/// ( flags processor address -- ): the subfunction is all there may be in the flags.
fn register_vpa(c: &mut Ctx) -> HResult {
    let (flags, addr) = (c.arg(0), c.arg(2));
    if flags & !SUBFUNCTION != 0 {
        return Err(Rc::PARAMETER);
    }
    let vcpu = c.papr().vcpu_of(c.arg(1)).ok_or(Rc::PARAMETER)?;
    let mut areas = lock(&c.papr().vcpus[vcpu].areas);
    match flags >> SUBFUNCTION.trailing_zeros() {
        1 => {
            check_address(addr)?;
            let size = u16_be(c.ram(), addr.checked_add(field::SIZE))? as u64;
            if addr % VPA_ALIGN != 0 || size < VPA_SIZE || !one_page(addr, size) || !c.is_memory(addr, size) {
                return Err(Rc::PARAMETER);
            }
            areas.vpa = Some(addr);
            // A kernel that takes dedicated processors for shared ones confers at every held lock.
            let shared = if c.p.capacity().shared { SHARED_PROCESSOR } else { 0 };
            let status = byte(c.ram(), addr + field::STATUS)? & !SHARED_PROCESSOR | shared;
            c.ram().write(addr + field::STATUS, &[status])?;
            make_count(c.ram(), addr, 0);
        }
        2 => {
            let size = area_size(c.ram(), addr)?;
            if size < DTL_ENTRY || !c.is_memory(addr, size) {
                return Err(Rc::PARAMETER);
            }
            let vpa = areas.vpa.ok_or(Rc::RESOURCE)?;
            areas.dtl = Some((addr, size));
            areas.dtl_index = 0;
            c.ram().write_u64_be(vpa + field::DTL_INDEX, 0)?;
        }
        3 => {
            let size = area_size(c.ram(), addr)?;
            if size < SLB_SHADOW_SIZE || !one_page(addr, size) || !c.is_memory(addr, size) {
                return Err(Rc::PARAMETER);
            }
            areas.vpa.ok_or(Rc::RESOURCE)?;
            areas.slb_shadow = Some((addr, size));
        }
        5 => {
            if areas.slb_shadow.is_some() || areas.dtl.is_some() {
                return Err(Rc::RESOURCE);
            }
            // A processor without an area is not known to be dispatched.
            if let Some(vpa) = areas.vpa.take() {
                make_count(c.ram(), vpa, 1);
            }
        }
        6 => areas.dtl = None,
        7 => areas.slb_shadow = None,
        _ => return Err(Rc::PARAMETER),
    }
    Ok(())
}

fn check_address(addr: u64) -> HResult {
    if addr == 0 { Err(Rc::HARDWARE) } else { Ok(()) }
}

/// The size that an SLB shadow buffer or a trace log gives of itself in its second word.
fn area_size(ram: &GuestRam, addr: u64) -> Result<u64, Rc> {
    check_address(addr)?;
    Ok(ram.read_u32_be(addr.checked_add(4).ok_or(Rc::PARAMETER)?)? as u64)
}

fn one_page(addr: u64, size: u64) -> bool {
    addr % PAGE + size <= PAGE
}

fn u16_be(ram: &GuestRam, addr: Option<u64>) -> Result<u16, Rc> {
    let mut b = [0; 2];
    ram.read(addr.ok_or(Rc::PARAMETER)?, &mut b)?;
    Ok(u16::from_be_bytes(b))
}

fn byte(ram: &GuestRam, addr: u64) -> Result<u8, Rc> {
    let mut b = [0];
    ram.read(addr, &mut b)?;
    Ok(b[0])
}

/// Counts the yield count up unless its lowest bit is as wanted. Only the hypervisor writes it.
fn make_count(ram: &GuestRam, vpa: u64, odd: u32) {
    if let Ok(count) = ram.read_u32_be(vpa + field::YIELD_COUNT)
        && count & 1 != odd
    {
        // The area was inside of memory when it was registered, and memory does not shrink.
        let _ = ram.write_u32_be(vpa + field::YIELD_COUNT, count.wrapping_add(1));
    }
}

impl PaprState {
    /// The yield count of a processor that has a VPA.
    pub(crate) fn yield_count(&self, ram: &GuestRam, vcpu: usize) -> Option<u32> {
        let vpa = lock(&self.vcpus.get(vcpu)?.areas).vpa?;
        ram.read_u32_be(vpa + field::YIELD_COUNT).ok()
    }

    /// To be called when a virtual processor is about to run guest instructions again after [`Self::vpa_preempt`]: the
    /// yield count becomes even, and the dispatch is logged if the guest wants it. `nia` and `msr` are where it goes
    /// on.
    pub fn vpa_dispatch(&self, sh: &Shared, vcpu: usize, nia: u64, msr: u64) {
        let Some(v) = self.vcpus.get(vcpu) else { return };
        let mut areas = lock(&v.areas);
        let Some(vpa) = areas.vpa else { return };
        make_count(&sh.ram, vpa, 0);
        let Some((log, size)) = areas.dtl else { return };
        let mask = byte(&sh.ram, vpa + field::DTL_MASK).unwrap_or(0);
        let entries = size / DTL_ENTRY;
        if mask & areas.off_reason.mask() == 0 || entries == 0 {
            return;
        }
        let now = sh.tb.now();
        let waited = u32::try_from(now.wrapping_sub(areas.off_since)).unwrap_or(u32::MAX);
        let mut entry = [0; DTL_ENTRY as usize];
        entry[0] = areas.off_reason.dispatch_reason();
        entry[1] = areas.off_reason.preempt_reason();
        entry[2..4].copy_from_slice(&(vcpu as u16).to_be_bytes());
        // Either it waited for a processor or for something to do.
        let at = if areas.off_reason == Preempted::Preempted { 4 } else { 12 };
        entry[at..at + 4].copy_from_slice(&waited.to_be_bytes());
        entry[16..24].copy_from_slice(&now.to_be_bytes());
        entry[32..40].copy_from_slice(&nia.to_be_bytes());
        entry[40..48].copy_from_slice(&msr.to_be_bytes());
        let at = log + areas.dtl_index % entries * DTL_ENTRY;
        areas.dtl_index = areas.dtl_index.wrapping_add(1);
        let _ = sh.ram.write(at, &entry);
        let _ = sh.ram.write_u64_be(vpa + field::DTL_INDEX, areas.dtl_index);
    }

    /// Tells the guest how long the processor has waited for a host processor since it started, in ticks.
    pub fn vpa_stolen(&self, sh: &Shared, vcpu: usize, ticks: u64) {
        let vpa = self.vcpus.get(vcpu).and_then(|v| lock(&v.areas).vpa);
        if let Some(vpa) = vpa {
            let _ = sh.ram.write_u64_be(vpa + field::ENQUEUE_DISPATCH, ticks);
        }
    }

    /// To be called when a virtual processor will not run for a while (it sleeps in H_CEDE, or its host processor is
    /// given to another one): the yield count becomes odd.
    pub fn vpa_preempt(&self, sh: &Shared, vcpu: usize, why: Preempted) {
        let Some(v) = self.vcpus.get(vcpu) else { return };
        let mut areas = lock(&v.areas);
        areas.off_reason = why;
        if let Some(vpa) = areas.vpa {
            make_count(&sh.ram, vpa, 1);
            if areas.dtl.is_some() {
                areas.off_since = sh.tb.now();
            }
        }
    }
}
