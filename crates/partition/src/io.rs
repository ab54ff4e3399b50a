//! Disks and network adapters of a partition: from what was asked for to devices on their buses.

use std::sync::Arc;

use block::Disk;
use device::irq::lisn;
use device::{IrqController, IrqKind, IrqLine, VioWindow};
use devices::crq::{self, Crq};
use devices::intc::Intc;
use devices::phb::Phb;
use devices::scsi::{Kind, Target, Unit};
use devices::veth::{self, Veth};
use devices::virtio::blk::Blk;
use devices::virtio::net::Net;
use devices::virtio::{VirtioDevice, VirtioPci, scsi};
use devices::vscsi::{self, Vscsi};
use devices::vty_server::{self, VtyServerAdapter};
use mem::GuestRam;
use net::Port;
use papr::PaprState;
use papr::hcall::vio::TceSpace;
use papr::vio::VioBus;

pub use device::VtyPartner;
pub use devices::crq::{Cable, Owner, Side};
pub use devices::vty_server::{Exchange, Line, Sink};

use crate::BootError;
use crate::firmware_disks::{FirmwareDisk, Medium};
use crate::served_disks::ServedDisks;

/// Unit address of the first virtual Ethernet adapter.
const VETH_UNIT: u32 = 0x7100_0200;

/// Most disks with [`DiskBus::Vscsi`].
pub const MOST_VSCSI: usize = vscsi::MAX_UNITS;

/// Where a disk is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskBus {
    /// virtio-blk on the PCI host bridge.
    Virtio,
    /// A logical unit of the partition's virtual SCSI adapter.
    Vscsi,
    /// A logical unit of a virtio-scsi adapter on the PCI host bridge.
    VirtioScsi,
}

/// One disk.
#[derive(Clone)]
pub struct DiskSlot {
    /// What it holds.
    pub disk: Arc<dyn Disk>,
    /// Where it is attached.
    pub bus: DiskBus,
    /// A CD-ROM: 2,048-byte blocks, removable, read-only.
    pub cdrom: bool,
}

/// What kind of adapter a network is reached through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NicModel {
    /// virtio-net on the PCI host bridge.
    Virtio,
    /// `IBM,l-lan`, the virtual Ethernet of LoPAR.
    Veth,
}

/// One network adapter.
#[derive(Clone)]
pub struct NicSlot {
    /// The network.
    pub port: Arc<dyn Port>,
    /// The adapter.
    pub model: NicModel,
    /// Its address.
    pub mac: [u8; 6],
}

/// One end of a cable to another partition.
#[derive(Clone)]
pub struct CableSlot {
    /// The cable.
    pub cable: Arc<Cable>,
    /// Which end.
    pub side: Side,
}

/// The devices to make, in the order they were asked for.
#[derive(Clone, Default)]
pub struct IoSlots {
    /// Disks.
    pub disks: Vec<DiskSlot>,
    /// Network adapters.
    pub nics: Vec<NicSlot>,
    /// Virtual SCSI adapters whose partners are in other partitions.
    pub cables: Vec<CableSlot>,
    /// Servers of other partitions' terminals.
    pub vty_servers: Vec<Arc<dyn Exchange>>,
    /// Other virtio devices on the PCI host bridge.
    pub extras: Vec<Arc<dyn VirtioDevice>>,
}

/// The devices of a partition that stand on a bus.
#[derive(Default)]
pub(crate) struct Io {
    /// Below `/vdevice`.
    pub vio: VioBus,
    /// The disks as firmware reaches them, in the order they were asked for.
    pub firmware_disks: Vec<FirmwareDisk>,
    /// What other partitions serve.
    pub served: Vec<Arc<ServedDisks>>,
    /// The PCI host bridge, if anything is on it.
    pub phb: Option<Phb>,
}

/// What devices are connected to while a partition is put together.
pub(crate) struct Backplane<'a> {
    pub intc: &'a Intc,
    pub papr: &'a PaprState,
    pub ram: &'a Arc<GuestRam>,
    /// The next free interrupt source of [`lisn::VIO`].
    pub next_vio: u32,
    /// The partition, as others are told of it.
    pub owner: Owner,
    /// Virtual processors.
    pub vcpus: u32,
}

impl Backplane<'_> {
    /// An edge interrupt for a virtual adapter.
    pub fn vio_line(&mut self) -> Result<IrqLine, BootError> {
        let n = self.next_vio;
        if n >= lisn::VIO.end {
            return Err(BootError::Internal("too many virtual adapters".into()));
        }
        self.next_vio += 1;
        self.intc.claim(n, IrqKind::Msi).map_err(|e| BootError::Internal(e.to_string()))
    }

    /// A DMA window of 4 KiB pages from I/O address 0.
    pub fn window(&self, w: VioWindow) -> Result<Arc<TceSpace>, BootError> {
        let full = || BootError::Internal(format!("DMA window {:#x} cannot be made", w.liobn));
        let windows = self.papr.dma_windows();
        windows.create(w.liobn, 0, 12, (w.size >> 12) as usize).map_err(|_| full())?;
        let table = windows.get(w.liobn.into()).ok_or_else(full)?;
        Ok(Arc::new(TceSpace { table, ram: self.ram.clone() }))
    }
}

impl Io {
    /// Makes the devices.
    pub fn build(slots: &IoSlots, b: &mut Backplane) -> Result<Io, BootError> {
        let mut io = Io::default();
        let IoSlots { disks, nics, cables, vty_servers, extras } = slots;
        // Where firmware finds each disk.
        let mut paths = vec![String::new(); disks.len()];
        io.add_vscsi(disks, &mut paths, b)?;
        for (n, slot) in disks.iter().enumerate().filter(|(_, d)| d.bus == DiskBus::Virtio) {
            paths[n] = io.plug(b, Arc::new(virtio_disk(n, slot, b.vcpus)))?;
        }
        io.add_virtio_scsi(disks, &mut paths, b)?;
        let found = disks.iter().zip(paths);
        let found = found.map(|(d, path)| FirmwareDisk {
            path,
            medium: Medium::Image(d.disk.clone()),
            cdrom: d.cdrom,
        });
        io.firmware_disks = found.collect();
        for nic in nics {
            match nic.model {
                NicModel::Veth => io.add_veth(nic, b)?,
                NicModel::Virtio => drop(io.plug(b, Arc::new(virtio_nic(nic, b.vcpus)))?),
            }
        }
        io.add_cables(cables, b)?;
        for (n, exchange) in vty_servers.iter().enumerate() {
            let adapter = VtyServerAdapter::new(vty_server::UNIT + n as u32, b.vio_line()?, exchange.clone());
            io.vio.add(Arc::new(adapter));
        }
        for device in extras {
            io.plug(b, device.clone())?;
        }
        Ok(io)
    }

    /// Adds the virtual SCSI adapter with the disks that want to be its units.
    fn add_vscsi(
        &mut self,
        disks: &[DiskSlot],
        paths: &mut [String],
        b: &mut Backplane,
    ) -> Result<(), BootError> {
        let mut target = Target::default();
        let mut number = 0;
        for (d, path) in disks.iter().zip(paths).filter(|(d, _)| d.bus == DiskBus::Vscsi) {
            let (kind, name) = if d.cdrom { (Kind::Cdrom, "cdrom") } else { (Kind::Disk, "disk") };
            let lun = vscsi::lun(number);
            target.add(lun, Unit::new(d.disk.clone(), kind, &format!("vscsi-{number}")));
            *path = format!("/vdevice/v-scsi@{:x}/{name}@{lun:016x}", vscsi::UNIT);
            number += 1;
            if usize::from(number) > vscsi::MAX_UNITS {
                return Err(BootError::Internal(format!("more than {} disks on vscsi", vscsi::MAX_UNITS)));
            }
        }
        if number > 0 {
            let space = b.window(vscsi::window(vscsi::UNIT))?;
            let adapter = Vscsi::new(vscsi::UNIT, b.vio_line()?, space, b.ram.clone(), target);
            self.vio.add(Arc::new(adapter));
        }
        Ok(())
    }

    /// Adds the adapters at ends of cables.
    fn add_cables(&mut self, cables: &[CableSlot], b: &mut Backplane) -> Result<(), BootError> {
        for side in [Side::Client, Side::Server] {
            for (n, slot) in cables.iter().filter(|s| s.side == side).enumerate() {
                let unit = side.unit(n as u32);
                let space = b.window(crq::window(unit))?;
                let adapter = Crq::new(side, unit, b.owner.clone(), slot.cable.clone(), b.vio_line()?, space);
                let adapter = Arc::new(adapter);
                self.vio.add(adapter.clone());
                if side == Side::Client {
                    self.served.push(ServedDisks::new(format!("/vdevice/v-scsi@{unit:x}"), adapter));
                }
            }
        }
        Ok(())
    }

    /// Adds a virtual Ethernet adapter; its window has the number of its unit address.
    fn add_veth(&mut self, nic: &NicSlot, b: &mut Backplane) -> Result<(), BootError> {
        let unit = (VETH_UNIT..).find(|&u| self.vio.find(u.into()).is_err()).unwrap_or(VETH_UNIT);
        let window = VioWindow { liobn: unit, size: veth::WINDOW };
        let space = b.window(window)?;
        let device = Arc::new(Veth::new(unit, b.vio_line()?, window, space, nic.port.clone(), nic.mac));
        nic.port.connect(device.clone());
        self.vio.add(device);
        Ok(())
    }

    /// Adds the virtio-scsi adapter with its disks, if there are any.
    fn add_virtio_scsi(
        &mut self,
        disks: &[DiskSlot],
        paths: &mut [String],
        b: &Backplane,
    ) -> Result<(), BootError> {
        let mut target = Target::default();
        let mut found = Vec::new();
        for (d, path) in disks.iter().zip(paths).filter(|(d, _)| d.bus == DiskBus::VirtioScsi) {
            let (kind, name) = if d.cdrom { (Kind::Cdrom, "cdrom") } else { (Kind::Disk, "disk") };
            let n = u8::try_from(found.len()).ok().filter(|&n| usize::from(n) < scsi::MAX_UNITS);
            let n = n.ok_or_else(|| BootError::Internal("too many disks on virtio-scsi".into()))?;
            target.add(scsi::lun(n), Unit::new(d.disk.clone(), kind, &format!("virtio-scsi-{n}")));
            // Channel, target and unit as SLOF's nodes have them.
            let unit = 1 << 56 | (0x4000 | n as u64) << 32;
            *path = format!("/{name}@{unit:x}");
            found.push(path);
        }
        if !found.is_empty() {
            let queues = u16::try_from(b.vcpus).unwrap_or(u16::MAX);
            let bridge = self.plug(b, Arc::new(scsi::Scsi::new(target, queues)))?;
            found.into_iter().for_each(|path| path.insert_str(0, &bridge));
        }
        Ok(())
    }

    /// Puts a virtio device into the next slot of the PCI host bridge; answers the path of its node.
    fn plug(&mut self, b: &Backplane, device: Arc<dyn VirtioDevice>) -> Result<String, BootError> {
        let full = || BootError::Internal("more than 32 PCI devices".into());
        if self.phb.is_none() {
            let phb = Phb::new(Arc::new(b.intc.clone()));
            self.phb = Some(phb.map_err(|e| BootError::Internal(e.to_string()))?);
            papr::rtas::pci::reset_windows(b.papr);
        }
        let phb = self.phb.as_mut().ok_or_else(full)?;
        let (slot, pin) = phb.next_slot().ok_or_else(full)?;
        let function = Arc::new(VirtioPci::new(device, b.ram.clone(), pin));
        let path = Phb::path(slot, &*function);
        phb.plug(function);
        Ok(path)
    }

    /// Everything back to power-on.
    pub fn reset(&self, papr: &PaprState) {
        let Io { vio, firmware_disks: _, served, phb } = self;
        served.iter().for_each(|s| s.disconnect());
        vio.reset();
        if let Some(phb) = phb {
            phb.reset();
            papr::rtas::pci::reset_windows(papr);
        }
    }
}

/// The `n`-th disk as virtio-blk, with a queue for each processor.
fn virtio_disk(n: usize, slot: &DiskSlot, vcpus: u32) -> Blk {
    Blk::new(slot.disk.clone(), u16::try_from(vcpus).unwrap_or(u16::MAX), &format!("rhyp-disk{n}"))
}

/// A network adapter as virtio-net, with a pair of queues for each processor.
fn virtio_nic(slot: &NicSlot, vcpus: u32) -> Net {
    Net::new(slot.port.clone(), slot.mac, u16::try_from(vcpus).unwrap_or(u16::MAX))
}
