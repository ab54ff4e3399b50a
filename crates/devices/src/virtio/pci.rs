//! The PCI transport (4.1), without the legacy interface: firmware and kernels of this platform know the modern one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use device::pci::{Bar, BarKind, Capability, Header, HeaderState, Ids, Intx, Msix, MsixState, PciFunction};
use device::{DeviceTree, IrqLine, NodeId};
use mem::GuestRam;
use serde::{Deserialize, Serialize};

use super::queue::{NO_VECTOR, Queue};
use super::{Link, VirtioDevice, feature, status};
use crate::lock;

const VENDOR: u16 = 0x1af4;
/// First device identity; the kind is added.
const DEVICE: u16 = 0x1040;
/// Base address registers: interrupt vectors, and everything else.
const MSIX_BAR: usize = 1;
const MAIN_BAR: usize = 4;
/// Offsets in the latter, 4 KiB each.
const COMMON: u64 = 0;
const ISR: u64 = 0x1000;
const CONFIG: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;
const MAIN_SIZE: u64 = 0x4000;
/// Bytes between the notification addresses of two queues.
const NOTIFY_STEP: u32 = 4;
/// Capability identities: vendor-specific, and that of messages.
const CAP_VENDOR: u8 = 9;
const CAP_MSIX: u8 = 0x11;
/// Kinds of vendor-specific capabilities (4.1.4).
const CFG_COMMON: u8 = 1;
const CFG_NOTIFY: u8 = 2;
const CFG_ISR: u8 = 3;
const CFG_DEVICE: u8 = 4;
const CFG_PCI: u8 = 5;
/// Offsets in the window capability, CFG_PCI.
const WINDOW_BAR: usize = 4;
const WINDOW_OFFSET: usize = 8;
const WINDOW_LEN: usize = 12;
const WINDOW_DATA: usize = 16;

/// A virtio device as a PCI function.
pub struct VirtioPci {
    link: Arc<Link>,
    device: Arc<dyn VirtioDevice>,
    common: Mutex<Common>,
    changing: Arc<Changing>,
    /// Place of the window capability.
    window: usize,
    msix_control: usize,
}

/// The starts and stops of the device, one at a time. The lock is held over those that wait for nobody.
#[derive(Default)]
struct Changing {
    what: Mutex<Change>,
    over: Condvar,
}

#[derive(Default)]
struct Change {
    /// A thread is at it.
    busy: bool,
    /// The driver wants a reset after that.
    reset: bool,
}

impl Changing {
    /// Waits until no thread is at it.
    fn settled(&self) -> MutexGuard<'_, Change> {
        let mut what = lock(&self.what);
        while what.busy {
            what = self.over.wait(what).unwrap_or_else(PoisonError::into_inner);
        }
        what
    }

    /// What a thread does: a start or a reset, and the reset that was asked for meanwhile.
    fn carry_out(&self, link: &Arc<Link>, device: &dyn VirtioDevice, start: bool) {
        if start {
            device.start(link)
        } else {
            stop(link, device)
        }
        let mut what = lock(&self.what);
        while std::mem::take(&mut what.reset) {
            drop(what);
            stop(link, device);
            what = lock(&self.what);
        }
        what.busy = false;
        self.over.notify_all();
    }
}

/// Stops a device and takes back what its driver has set.
fn stop(link: &Link, device: &dyn VirtioDevice) {
    link.running.store(false, Ordering::SeqCst);
    device.stop();
    link.stop_queues();
    link.features.store(0, Ordering::SeqCst);
    link.config_vector.store(NO_VECTOR, Ordering::SeqCst);
    link.isr.store(0, Ordering::SeqCst);
    link.show_pin();
    link.status.store(0, Ordering::SeqCst);
}

/// Registers of the common configuration that belong to no queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Common {
    device_select: u32,
    driver_select: u32,
    driver_features: u64,
    queue_select: u16,
}

/// Saved form of a [`VirtioPci`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VirtioPciState {
    header: HeaderState,
    msix: MsixState,
    common: Common,
    status: u8,
    features: u64,
    config_vector: u16,
    isr: u8,
    generation: u8,
    queues: Vec<Queue>,
    device: serde_json::Value,
}

fn capability(kind: u8, offset: u64, len: u32, extra: &[u8], writable: &[u8]) -> Capability {
    let mut body = vec![16 + extra.len() as u8, kind, MAIN_BAR as u8, 0, 0, 0];
    body.extend((offset as u32).to_le_bytes());
    body.extend(len.to_le_bytes());
    body.extend(extra);
    Capability { id: CAP_VENDOR, body, writable: writable.to_vec() }
}

impl VirtioPci {
    /// A function for a device, with one interrupt vector for each queue and one for changes.
    pub fn new(device: Arc<dyn VirtioDevice>, ram: Arc<GuestRam>, intx: Intx) -> Self {
        let sizes = device.queue_sizes();
        let msix = Msix::new(sizes.len() as u16 + 1);
        let ids = Ids {
            vendor: VENDOR,
            device: DEVICE + device.kind(),
            revision: 1,
            class: device.class(),
            subsystem_vendor: VENDOR,
            subsystem: DEVICE,
        };
        let bars = [
            Bar { index: MSIX_BAR, kind: BarKind::Memory32, size: Msix::SIZE },
            Bar { index: MAIN_BAR, kind: BarKind::Memory64, size: MAIN_SIZE },
        ];
        // The window's place, offset and length can be set, and its data.
        let mut window = vec![0; 18];
        window[WINDOW_BAR - 2] = 0xff;
        window[WINDOW_OFFSET - 2..].fill(0xff);
        let capabilities = [
            msix.capability(MSIX_BAR),
            capability(CFG_COMMON, COMMON, 0x1000, &[], &[]),
            capability(CFG_ISR, ISR, 0x1000, &[], &[]),
            capability(CFG_DEVICE, CONFIG, 0x1000, &[], &[]),
            capability(CFG_NOTIFY, NOTIFY, 0x1000, &NOTIFY_STEP.to_le_bytes(), &[]),
            capability(CFG_PCI, 0, 0, &[0; 4], &window),
        ];
        let header = Header::new(ids, &bars, &capabilities);
        let place = |id| header.capabilities().iter().rfind(|c| c.0 == id).map_or(0, |c| c.1);
        let (window, msix_control) = (place(CAP_VENDOR), place(CAP_MSIX) + 2);
        VirtioPci {
            link: Arc::new(Link::new(ram, &sizes, msix, header, intx)),
            device,
            common: Mutex::default(),
            changing: Arc::default(),
            window,
            msix_control,
        }
    }

    /// What the device shares with its driver.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn offered(&self) -> u64 {
        self.device.features() | self.device.common_features()
    }

    // ---- common configuration (4.1.4.3) ----

    fn common_image(&self) -> [u8; 64] {
        let c = *lock(&self.common);
        let half = |bits: u64, select: u32| match select {
            0 => bits as u32,
            1 => (bits >> 32) as u32,
            _ => 0,
        };
        let queue = self.link.queue(c.queue_select as usize).map(|q| q.clone());
        let absent = Queue::new(0);
        let (q, there) = (queue.as_ref().unwrap_or(&absent), queue.is_some());
        let mut b = [0; 64];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &c.device_select.to_le_bytes());
        put(4, &half(self.offered(), c.device_select).to_le_bytes());
        put(8, &c.driver_select.to_le_bytes());
        put(12, &half(c.driver_features, c.driver_select).to_le_bytes());
        put(16, &self.link.config_vector.load(Ordering::SeqCst).to_le_bytes());
        put(18, &(self.link.queue_count() as u16).to_le_bytes());
        put(20, &[self.link.status.load(Ordering::SeqCst), self.link.generation.load(Ordering::SeqCst)]);
        put(22, &c.queue_select.to_le_bytes());
        put(24, &q.size.to_le_bytes());
        put(26, &q.vector.to_le_bytes());
        put(28, &u16::from(q.ready).to_le_bytes());
        put(30, &(if there { c.queue_select } else { 0 }).to_le_bytes());
        put(32, &q.desc.to_le_bytes());
        put(40, &q.avail.to_le_bytes());
        put(48, &q.used.to_le_bytes());
        b
    }

    fn common_load(&self, at: u64, size: u8) -> u64 {
        let image = self.common_image();
        let bytes = usize::try_from(at).ok().and_then(|at| image.get(at..at + size as usize));
        bytes.map_or(0, |b| b.iter().rev().fold(0, |v, &x| v << 8 | x as u64))
    }

    fn vector(&self, value: u16) -> u16 {
        if value < self.link.msix.vectors() { value } else { NO_VECTOR }
    }

    fn common_store(&self, at: u64, value: u64, size: u8) {
        if size == 8 {
            // Only the queues' addresses are that wide.
            if matches!(at, 32 | 40 | 48) {
                self.common_store(at, value & 0xffff_ffff, 4);
                self.common_store(at + 4, value >> 32, 4);
            }
            return;
        }
        let agreed = self.link.status.load(Ordering::SeqCst) & status::FEATURES_OK != 0;
        match (at, size) {
            (0, 4) => lock(&self.common).device_select = value as u32,
            (8, 4) => lock(&self.common).driver_select = value as u32,
            (12, 4) if !agreed => {
                let mut c = lock(&self.common);
                let shift = match c.driver_select {
                    0 => 0,
                    1 => 32,
                    _ => return,
                };
                c.driver_features = c.driver_features & !(0xffff_ffff << shift) | value << shift;
            }
            (16, 2) => self.link.config_vector.store(self.vector(value as u16), Ordering::SeqCst),
            (20, 1) => self.set_status(value as u8),
            (22, 2) => lock(&self.common).queue_select = value as u16,
            _ => self.queue_store(at, value, size),
        }
    }

    fn queue_store(&self, at: u64, value: u64, size: u8) {
        let select = lock(&self.common).queue_select;
        let vector = self.vector(value as u16);
        let features = self.link.features();
        let Some(mut q) = self.link.queue(select as usize) else { return };
        let low = |old: u64| old & !0xffff_ffff | value;
        let high = |old: u64| old & 0xffff_ffff | value << 32;
        match (at, size) {
            (26, 2) => q.vector = vector,
            // The rest is not to be touched once it is in use.
            _ if q.ready => {}
            (24, 2) => q.size = value as u16,
            (28, 2) if value == 1 && q.good_size() => {
                q.event_idx = features & feature::EVENT_IDX != 0;
                q.indirect = features & feature::INDIRECT_DESC != 0;
                q.ready = true;
            }
            (32, 4) => q.desc = low(q.desc),
            (36, 4) => q.desc = high(q.desc),
            (40, 4) => q.avail = low(q.avail),
            (44, 4) => q.avail = high(q.avail),
            (48, 4) => q.used = low(q.used),
            (52, 4) => q.used = high(q.used),
            _ => {}
        }
    }

    fn set_status(&self, value: u8) {
        let link = &self.link;
        if value == 0 {
            let mut what = lock(&self.changing.what);
            *lock(&self.common) = Common::default();
            link.running.store(false, Ordering::SeqCst);
            if what.busy {
                what.reset = true;
                return;
            }
            return self.change(what, false);
        }
        // Only a driver that does not wait for the end of a reset has to wait here.
        let what = self.changing.settled();
        let old = link.status.load(Ordering::SeqCst);
        let mut new = value & !status::NEEDS_RESET;
        if new & status::FEATURES_OK != 0 && old & status::FEATURES_OK == 0 {
            let wanted = lock(&self.common).driver_features;
            if wanted & !self.offered() != 0 || wanted & feature::VERSION_1 == 0 {
                new &= !status::FEATURES_OK;
            } else {
                link.features.store(wanted, Ordering::SeqCst);
            }
        }
        // Bits are only taken back by a reset.
        new |= old;
        link.status.store(new, Ordering::SeqCst);
        if new & !old & status::DRIVER_OK != 0 && new & status::FEATURES_OK != 0 {
            link.running.store(true, Ordering::SeqCst);
            self.change(what, true);
        }
    }

    /// Starts the device or resets it, on a thread if that may take long.
    fn change(&self, mut what: MutexGuard<'_, Change>, start: bool) {
        let (link, device, changing) = (self.link.clone(), self.device.clone(), self.changing.clone());
        if !device.waits_for_others() {
            return if start { device.start(&link) } else { stop(&link, &*device) };
        }
        what.busy = true;
        drop(what);
        let work = Arc::new(move || changing.carry_out(&link, &*device, start));
        let there = work.clone();
        let name = format!("virtio-{}", self.device.node_name());
        if std::thread::Builder::new().name(name).spawn(move || there()).is_err() {
            // Then here, however long it takes.
            work();
        }
    }

    /// Back to before the driver came; the caller has made sure that nobody is at it.
    fn reset_device(&self) {
        stop(&self.link, &*self.device);
        *lock(&self.common) = Common::default();
    }

    /// Waits until the device has started or stopped.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        drop(self.changing.settled());
    }

    // ---- the other parts ----

    fn config_load(&self, at: u64, size: u8) -> u64 {
        let mut b = [0; 8];
        self.device.read_config(at as usize, &mut b[..size as usize]);
        u64::from_le_bytes(b)
    }

    fn read_isr(&self) -> u64 {
        let bits = self.link.isr.swap(0, Ordering::SeqCst);
        self.link.show_pin();
        bits as u64
    }

    fn main_load(&self, offset: u64, size: u8) -> u64 {
        let at = offset & 0xfff;
        match offset & !0xfff {
            COMMON => self.common_load(at, size),
            ISR if at == 0 => self.read_isr(),
            CONFIG => self.config_load(at, size),
            _ => 0,
        }
    }

    fn main_store(&self, offset: u64, value: u64, size: u8) {
        let at = offset & 0xfff;
        match offset & !0xfff {
            NOTIFY => {
                let queue = (at / NOTIFY_STEP as u64) as usize;
                if queue < self.link.queue_count() && self.link.running() {
                    self.device.notify(&self.link, queue);
                }
            }
            COMMON => self.common_store(at, value, size),
            CONFIG => {
                self.device.write_config(&self.link, at as usize, &value.to_le_bytes()[..size as usize])
            }
            _ => {}
        }
    }

    /// What the window capability points at, if that can be accessed.
    fn windowed(&self) -> Option<(usize, u64, u8)> {
        let h = &self.link.header;
        let size = h.read(self.window + WINDOW_LEN, 4);
        let offset = h.read(self.window + WINDOW_OFFSET, 4) as u64;
        let bar = h.read(self.window + WINDOW_BAR, 1) as usize;
        let limit = h.bars().iter().find(|b| b.index == bar)?.size;
        (matches!(size, 1 | 2 | 4) && offset % size as u64 == 0 && offset + size as u64 <= limit)
            .then_some((bar, offset, size as u8))
    }
}

impl PciFunction for VirtioPci {
    fn header(&self) -> &Header {
        &self.link.header
    }

    fn msix(&self) -> Option<&Msix> {
        Some(&self.link.msix)
    }

    fn node_name(&self) -> &'static str {
        self.device.node_name()
    }

    fn load(&self, bar: usize, offset: u64, size: u8) -> u64 {
        match bar {
            MSIX_BAR => self.link.msix.load(offset, size),
            MAIN_BAR => self.main_load(offset, size),
            _ => 0,
        }
    }

    fn store(&self, bar: usize, offset: u64, value: u64, size: u8) {
        match bar {
            MSIX_BAR => self.link.msix.store(offset, value, size),
            MAIN_BAR => self.main_store(offset, value, size),
            _ => {}
        }
    }

    fn read_config(&self, at: usize, size: u8) -> u32 {
        if at & !3 == self.window + WINDOW_DATA
            && let Some((bar, offset, size)) = self.windowed()
        {
            let v = self.load(bar, offset, size) as u32;
            self.link.header.poke(self.window + WINDOW_DATA, &v.to_le_bytes());
        }
        self.link.header.read(at, size)
    }

    fn write_config(&self, at: usize, value: u32, size: u8) {
        let h = &self.link.header;
        h.write(at, value, size);
        if at & !3 == self.window + WINDOW_DATA
            && let Some((bar, offset, size)) = self.windowed()
        {
            let v = h.read(self.window + WINDOW_DATA, 4) as u64;
            self.store(bar, offset, v & (u64::MAX >> (64 - 8 * size as u32)), size);
        } else if at & !3 == self.msix_control & !3 {
            self.link.msix.set_control(h.read(self.msix_control, 2) as u16);
        } else if at & !3 == device::pci::reg::COMMAND {
            self.link.show_pin();
        }
    }

    fn describe(&self, tree: &mut DeviceTree, node: NodeId) {
        self.device.describe(tree, node);
    }

    fn reset(&self) {
        let VirtioPci { link: _, device: _, common: _, changing, window: _, msix_control: _ } = self;
        let _changing = changing.settled();
        self.reset_device();
    }

    fn save(&self) -> serde_json::Value {
        let VirtioPci { link, device, common, changing, window: _, msix_control: _ } = self;
        let _changing = changing.settled();
        link.settle();
        let state = VirtioPciState {
            header: link.header.save(),
            msix: link.msix.save(),
            common: *lock(common),
            status: link.status.load(Ordering::SeqCst),
            features: link.features(),
            config_vector: link.config_vector.load(Ordering::SeqCst),
            isr: link.isr.load(Ordering::SeqCst),
            generation: link.generation.load(Ordering::SeqCst),
            queues: link.queues.iter().map(|q| lock(q).clone()).collect(),
            device: device.save(),
        };
        serde_json::to_value(state).unwrap_or_default()
    }

    fn restore(&self, state: serde_json::Value, line: &dyn Fn(u32) -> IrqLine) -> Result<(), String> {
        let state: VirtioPciState = serde_json::from_value(state).map_err(|e| e.to_string())?;
        let VirtioPciState {
            header,
            msix,
            common,
            status,
            features,
            config_vector,
            isr,
            generation,
            queues,
            device,
        } = state;
        let _changing = self.changing.settled();
        let link = &self.link;
        let fits = |(q, s): (&Mutex<Queue>, &Queue)| lock(q).max == s.max && (!s.ready || s.good_size());
        if queues.len() != link.queues.len() || !link.queues.iter().zip(&queues).all(fits) {
            return Err("other queues".into());
        }
        if features & !self.offered() != 0 {
            return Err("the driver uses features that are not offered any more".into());
        }
        self.reset_device();
        link.header.restore(header)?;
        link.msix.restore(msix, line)?;
        *lock(&self.common) = common;
        for (q, s) in link.queues.iter().zip(queues) {
            *lock(q) = s;
        }
        link.features.store(features, Ordering::SeqCst);
        link.config_vector.store(config_vector, Ordering::SeqCst);
        link.isr.store(isr, Ordering::SeqCst);
        link.generation.store(generation, Ordering::SeqCst);
        link.status.store(status, Ordering::SeqCst);
        link.show_pin();
        self.device.restore(device)?;
        if status & (status::DRIVER_OK | status::FEATURES_OK | status::NEEDS_RESET)
            == status::DRIVER_OK | status::FEATURES_OK
        {
            link.running.store(true, Ordering::SeqCst);
            self.device.start(link);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
