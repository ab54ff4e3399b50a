//! From files to a first processor that knows where to start.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::PoisonError;

use device::DeviceTree;
use firmware::elf::{self, Layout, LoadError, LoadTarget, TargetError};
use firmware::of_client::{CasOutcome, OfClient, OfConfig};
use firmware::stub;
use mem::GuestRam;
use papr::rc::{HResult, Rc};

use crate::firmware_disks::{self, FirmwareDisk};
use crate::{Entry, Partition, served_disks};

/// The contents of a file.
#[derive(Clone, Debug)]
pub enum Image {
    /// At hand.
    Bytes(Vec<u8>),
    /// To be read each time it is needed, and kept no longer.
    File(PathBuf),
}

impl From<Vec<u8>> for Image {
    fn from(bytes: Vec<u8>) -> Self {
        Image::Bytes(bytes)
    }
}

impl Image {
    fn bytes(&self) -> Result<Cow<'_, [u8]>, BootError> {
        match self {
            Image::Bytes(b) => Ok(Cow::Borrowed(b)),
            Image::File(path) => {
                let read = std::fs::read(path).map(Cow::Owned);
                read.map_err(|e| BootError::File(path.display().to_string(), e))
            }
        }
    }
}

/// What a partition boots.
#[derive(Clone, Debug, Default)]
pub struct BootImages {
    /// Firmware to run instead of the built-in one: a raw image for real address 0, entered at 0x100 with the address
    /// of a flattened device tree in r3, which tells it where the kernel is.
    pub firmware: Option<Image>,
    /// Kernel (or another Open Firmware client). `None`: firmware boots from a disk.
    pub kernel: Option<Image>,
    /// Initial RAM disk.
    pub initrd: Option<Image>,
    /// `/chosen` `bootargs`.
    pub append: String,
}

/// Why a partition can not be made or booted.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The host has no memory for it.
    #[error("cannot make the partition's memory: {0}")]
    Memory(std::io::Error),
    /// A file is there no longer.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// The kernel is not one.
    #[error("kernel: {0}")]
    Kernel(LoadError),
    /// The firmware image does not fit.
    #[error("firmware: {0}")]
    Firmware(LoadError),
    /// No disk has something to boot.
    #[error("{0}")]
    NothingToBoot(String),
    /// What the disk has cannot be loaded.
    #[error("boot program at {0}: {1}")]
    BootProgram(String, LoadError),
    /// The initial RAM disk does not fit.
    #[error("initrd: {0}")]
    Initrd(LoadError),
    /// A mistake of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Largest firmware image: it ends below where kernels are loaded.
const FIRMWARE_LIMIT: u64 = elf::DEFAULT_KERNEL_BASE;
/// The flattened tree and RTAS stand below this address.
const FIRMWARE_TREE_TOP: u64 = 256 << 20;
/// Room for the flattened tree, in bytes.
const TREE_ROOM: u64 = 1 << 20;
/// Room for RTAS, in bytes.
const RTAS_ROOM: u64 = 64 << 10;

/// Guest memory as a target of loading.
struct Target<'a>(&'a GuestRam);

impl LoadTarget for Target<'_> {
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), TargetError> {
        self.0.write(addr, data).map_err(|e| TargetError(e.addr))
    }
    fn zero(&mut self, addr: u64, len: u64) -> Result<(), TargetError> {
        self.0.fill(addr, len, 0).map_err(|e| TargetError(e.addr))
    }
}

/// What firmware in guest memory was given.
#[derive(Clone, Debug)]
pub(crate) struct PlacedFirmware {
    /// Where RTAS stands.
    rtas_base: u64,
    /// Address and size of the initial RAM disk.
    initrd: Option<(u64, u64)>,
    /// Address and size of the kernel, and whether it is little-endian.
    boot_kernel: Option<(u64, u64, bool)>,
}

impl Partition {
    /// Top of the stack that firmware gives its clients: below the client interface's entry.
    pub(crate) fn of_stack(&self) -> u64 {
        stub::OF_CLIENT_ADDR - 0x100
    }

    /// Put kernel, initial RAM disk and firmware into memory.
    pub(crate) fn load(&self) -> Result<Entry, BootError> {
        papr::cas::power_on(self).map_err(|e| BootError::Internal(format!("page table: {e:?}")))?;
        match &self.images.firmware {
            Some(image) => self.load_firmware(&image.bytes()?),
            None => self.load_client(),
        }
    }

    /// Random bytes for the kernel's start.
    fn rng_seed() -> [u8; 32] {
        let mut seed = [0u8; 32];
        for word in seed.chunks_mut(8) {
            if let Ok(r) = devices::rng::h_random() {
                word.copy_from_slice(&r.to_be_bytes());
            }
        }
        seed
    }

    /// Firmware in guest memory: it finds everything in the flattened tree below 256 MiB (or the end of memory).
    fn load_firmware(&self, image: &[u8]) -> Result<Entry, BootError> {
        let ram_size = self.config.memory;
        let too_large = |needed| {
            BootError::Firmware(LoadError::TooLarge { what: "firmware", needed, available: FIRMWARE_LIMIT })
        };
        let mut target = Target(&self.sh.ram);
        if image.len() as u64 > FIRMWARE_LIMIT {
            return Err(too_large(image.len() as u64));
        }
        target.write(0, image).map_err(|_| too_large(image.len() as u64))?;
        let layout = Layout::new(self.config.rma_size(), ram_size);
        let (mut boot_kernel, mut initrd) = (None, None);
        if let Some(image) = &self.images.kernel {
            let kernel =
                elf::load_kernel(&image.bytes()?, &layout, &mut target).map_err(BootError::Kernel)?;
            let little = kernel.endian == elf::ByteOrder::Little;
            boot_kernel = Some((kernel.low, kernel.high - kernel.low, little));
            if let Some(data) = &self.images.initrd {
                let data = data.bytes()?;
                let at = elf::load_initrd(&data, &layout, &kernel, &mut target).map_err(BootError::Initrd)?;
                initrd = Some((at, data.len() as u64));
            }
        }
        let top = ram_size.min(FIRMWARE_TREE_TOP);
        let rtas_base = top - TREE_ROOM - RTAS_ROOM;
        let placed = PlacedFirmware { rtas_base, initrd, boot_kernel };
        self.papr.set_rtas_base(rtas_base);
        let fdt = self.flattened_tree(&placed, &self.images.append).to_fdt();
        *self.placed.lock().unwrap_or_else(PoisonError::into_inner) = Some(placed);
        let internal = |e: mem::OutOfRange| BootError::Internal(e.to_string());
        if fdt.len() as u64 > TREE_ROOM {
            return Err(BootError::Internal("the device tree is too large".into()));
        }
        self.sh.ram.write(rtas_base, &stub::stub_rtas()).map_err(internal)?;
        self.sh.ram.write(top - TREE_ROOM, &fdt).map_err(internal)?;
        Ok(Entry { nia: 0x100, is_64bit: true, r1: 0, toc: 0, args: [top - TREE_ROOM, 0, 0, 0, 0] })
    }

    /// The partition's tree, with what firmware in guest memory is told besides.
    fn tree(
        &self,
        initrd: Option<(u64, u64)>,
        bootargs: &str,
        placed: Option<&PlacedFirmware>,
    ) -> DeviceTree {
        papr::fdt::build(&papr::fdt::TreeInput {
            config: &self.config,
            agreement: &self.papr.agreement(),
            intc: &self.intc,
            terminals: &self.terminals,
            nvram: &self.nvram,
            vio: &self.io.vio,
            phb: self.io.phb.as_ref(),
            bootargs,
            initrd,
            boot_kernel: placed.and_then(|p| p.boot_kernel),
            rtas_base: placed.map(|p| p.rtas_base as u32),
            rng_seed: &Self::rng_seed(),
        })
    }

    /// The tree as firmware in guest memory gets it.
    fn flattened_tree(&self, placed: &PlacedFirmware, bootargs: &str) -> DeviceTree {
        let mut tree = self.tree(placed.initrd, bootargs, Some(placed));
        // PCI functions are placed and described already: SLOF need not look for them.
        let bridges: Vec<_> =
            tree.walk().filter(|&n| tree.prop_str(n, "device_type") == Some("pci")).collect();
        for bridge in bridges {
            tree.set_empty(bridge, "qemu,phb-enumerated");
        }
        tree.reserve(placed.rtas_base, RTAS_ROOM);
        tree
    }

    /// See [`papr::Platform::firmware_cas`].
    pub(crate) fn negotiate_for_firmware(&self, vectors: u64, buffer: u64, size: u64) -> HResult {
        let slot = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        let placed = slot.as_ref().ok_or(Rc::FUNCTION)?;
        let room = self.sh.ram.size().checked_sub(vectors).ok_or(Rc::PARAMETER)?;
        let mut bytes = vec![0; room.min(firmware::cas::MAX_SIZE as u64) as usize];
        self.sh.ram.read(vectors, &mut bytes).map_err(|_| Rc::PARAMETER)?;
        // What firmware or a boot loader has put into /chosen meanwhile stays.
        let mut tree =
            self.flattened_tree(&PlacedFirmware { initrd: None, boot_kernel: None, ..*placed }, "");
        if papr::cas::negotiate(self, &mut tree, &bytes) != CasOutcome::Accepted {
            return Err(Rc::HARDWARE);
        }
        let mut out = 1u32.to_be_bytes().to_vec();
        out.extend(tree.to_fdt());
        if out.len() as u64 > size {
            return Err(Rc::PARAMETER);
        }
        self.sh.ram.write(buffer, &out).map_err(|_| Rc::PARAMETER)
    }

    /// The built-in firmware: a kernel, or a boot program that a disk has, is its client.
    fn load_client(&self) -> Result<Entry, BootError> {
        let layout = Layout::new(self.config.rma_size(), self.config.memory);
        let mut target = Target(&self.sh.ram);
        let given = self.images.kernel.as_ref().map(Image::bytes).transpose()?;
        let from_disk = if given.is_none() { Some(self.find_boot_program()?) } else { None };
        let (image, bootargs) = match (&from_disk, &given) {
            (Some(found), _) => (&found.program.image[..], found.args.as_str()),
            (None, image) => (image.as_deref().unwrap_or_default(), self.images.append.as_str()),
        };
        let kernel = elf::load_kernel(image, &layout, &mut target).map_err(|e| match &from_disk {
            Some(found) => BootError::BootProgram(found.path.clone(), e),
            None => BootError::Kernel(e),
        })?;
        let mut claimed = vec![(kernel.low, kernel.high - kernel.low)];
        let mut initrd = None;
        if let (Some(data), None) = (&self.images.initrd, &from_disk) {
            let data = data.bytes()?;
            let at = elf::load_initrd(&data, &layout, &kernel, &mut target).map_err(BootError::Initrd)?;
            claimed.push((at, data.len() as u64));
            initrd = Some((at, data.len() as u64));
        }
        tracing::info!("{} at {:#x}, entry {:#x}", kernel.name, kernel.low, kernel.entry);
        let mut tree = self.firmware_tree(bootargs, initrd);
        if let Some(found) = &from_disk {
            tracing::info!("booting from {}", found.path);
            let chosen = tree.ensure_node(DeviceTree::ROOT, "chosen");
            tree.set_str(chosen, "bootpath", &found.path);
            tree.set_str(chosen, "bootargs", &found.args);
        }
        let config = OfConfig {
            rma_size: layout.rma_size,
            claimed,
            console: Some(format!("/vdevice/vty@{:x}", crate::CONSOLE_UNIT)),
            boot_cpu: Some(format!("/cpus/PowerPC,{}@0", self.config.model.tree_name)),
        };
        let client = OfClient::new(tree, &config);
        self.sh
            .ram
            .write(stub::OF_CLIENT_ADDR, &stub::stub_of_client())
            .map_err(|e| BootError::Internal(e.to_string()))?;
        *self.of.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
        let (r3, r4) = initrd.unwrap_or((0, 0));
        Ok(Entry {
            nia: kernel.entry,
            toc: kernel.toc.unwrap_or(0),
            is_64bit: kernel.is_64bit,
            r1: self.of_stack(),
            args: [r3, r4, stub::OF_CLIENT_ADDR, 0, 0],
        })
    }

    /// What the built-in firmware shows its client.
    fn firmware_tree(&self, bootargs: &str, initrd: Option<(u64, u64)>) -> DeviceTree {
        let mut tree = self.tree(initrd, bootargs, None);
        let found = self.found_disks.lock().unwrap_or_else(PoisonError::into_inner);
        let disks: Vec<_> = self.io.firmware_disks.iter().chain(&*found).cloned().collect();
        firmware_disks::describe(&disks, &mut tree);
        tree
    }

    /// Looks for something to boot on the disks: first on those of its own, unless NVRAM names one that is served.
    fn find_boot_program(&self) -> Result<firmware_disks::Found, BootError> {
        let order = firmware_disks::boot_order(&self.nvram);
        let go_on = || !self.is_ending();
        let look = |disks: &[FirmwareDisk]| {
            firmware_disks::find(disks, &self.firmware_tree("", None), &order, &go_on)
        };
        let mut disks = self.io.firmware_disks.clone();
        let served = &self.io.served;
        let set = |found| *self.found_disks.lock().unwrap_or_else(PoisonError::into_inner) = found;
        set(Vec::new());
        let named = order.devices.iter().any(|d| served.iter().any(|s| s.is_on(d)));
        let mut found = if named { None } else { look(&disks) };
        if found.is_none() && !served.is_empty() {
            let say = |text: &str| {
                self.console.write(text.as_bytes());
            };
            let others = served_disks::find(served, &go_on, &say);
            disks.extend(others.iter().cloned());
            set(others);
            found = look(&disks);
        }
        found.ok_or_else(|| {
            BootError::NothingToBoot(match disks.len() {
                0 => "there is nothing to boot: name a kernel with --kernel FILE or a disk with --disk FILE".into(),
                1 => "the disk is not bootable: it has no PReP boot partition with a boot program, and no boot \
                      script"
                    .into(),
                n => format!(
                    "none of the {n} disks is bootable: they have no PReP boot partition with a boot program, and \
                     no boot script"
                ),
            })
        })
    }
}
