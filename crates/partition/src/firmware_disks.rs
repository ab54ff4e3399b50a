//! Disks as the built-in firmware sees them: nodes of the device tree, and which of them to boot.

use std::sync::Arc;

use block::Disk;
use device::{DeviceTree, NodeId};
use devices::nvram::Nvram;
use devices::vscsi::initiator::Served;
use firmware::boot::{self, BootOrder, BootPlace, BootProgram};
use firmware::of_client::{DiskError, DiskInfo};
use firmware::partition_table;

use crate::served_disks::ServedDisks;

/// Bytes of a CD-ROM's block.
const CDROM_BLOCK: u32 = 2048;

/// What is behind a disk.
#[derive(Clone)]
pub(crate) enum Medium {
    /// An image of the host's.
    Image(Arc<dyn Disk>),
    /// What another partition has.
    Served(Arc<ServedDisks>, Served),
}

/// A disk that firmware can read.
#[derive(Clone)]
pub(crate) struct FirmwareDisk {
    /// Path of its node. What of it is missing in the device tree is added.
    pub path: String,
    /// What it holds.
    pub medium: Medium,
    /// Whether it is a CD-ROM.
    pub cdrom: bool,
}

/// A boot program and where it was found.
pub(crate) struct Found {
    /// The program.
    pub program: BootProgram,
    /// `/chosen` `bootpath`.
    pub path: String,
    /// `/chosen` `bootargs`.
    pub args: String,
}

impl FirmwareDisk {
    /// Its geometry.
    pub fn info(&self) -> DiskInfo {
        match &self.medium {
            Medium::Image(disk) => {
                let block_size = if self.cdrom { CDROM_BLOCK } else { block::SECTOR as u32 };
                DiskInfo { block_size, blocks: disk.size() / u64::from(block_size) }
            }
            Medium::Served(_, unit) => DiskInfo { block_size: unit.block_size, blocks: unit.blocks },
        }
    }

    /// Reads at a byte offset, whatever the blocks. `go_on` is asked now and then where it may take long.
    pub fn read(&self, offset: u64, out: &mut [u8], go_on: &dyn Fn() -> bool) -> Result<(), DiskError> {
        let size = match &self.medium {
            Medium::Image(_) => block::SECTOR,
            Medium::Served(_, unit) => unit.block_size.into(),
        };
        let blocks = |first: u64, out: &mut [u8]| match &self.medium {
            Medium::Image(disk) => disk.read_now(first, out).map_err(|_| DiskError),
            Medium::Served(server, unit) => server.read(unit, first / size, out, go_on),
        };
        let first = offset / size * size;
        let end = offset.checked_add(out.len() as u64).and_then(|e| e.checked_next_multiple_of(size));
        let end = end.ok_or(DiskError)?;
        if first == offset && end == offset + out.len() as u64 {
            return blocks(offset, out);
        }
        let mut whole = vec![0; (end - first) as usize];
        blocks(first, &mut whole)?;
        out.copy_from_slice(&whole[(offset - first) as usize..][..out.len()]);
        Ok(())
    }

    fn find_boot_program(&self, place: &BootPlace, go_on: &dyn Fn() -> bool) -> Option<BootProgram> {
        let DiskInfo { block_size, blocks } = self.info();
        let mut read = |offset: u64, out: &mut [u8]| self.read(offset, out, go_on).is_ok();
        boot::find(&mut partition_table::Disk { block_size, blocks, read: &mut read }, place)
    }
}

/// Adds the disks' nodes to the device tree of the built-in firmware, and names for them to `/aliases`.
pub(crate) fn describe(disks: &[FirmwareDisk], tree: &mut DeviceTree) {
    let (mut hard, mut optical) = (0, 0);
    for d in disks {
        let mut at = DeviceTree::ROOT;
        for name in d.path.split('/').filter(|n| !n.is_empty()) {
            at = find_or_add(tree, at, name);
        }
        tree.set_str(at, "device_type", "block");
        let (name, count) = if d.cdrom { ("cdrom", &mut optical) } else { ("disk", &mut hard) };
        alias(tree, name, *count, &d.path);
        *count += 1;
    }
    let networks: Vec<NodeId> =
        tree.walk().filter(|&n| tree.prop_str(n, "device_type") == Some("network")).collect();
    for (count, node) in networks.into_iter().enumerate() {
        let path = tree.path(node);
        alias(tree, "net", count, &path);
    }
}

/// A child by its whole name; a new one gets what its unit address says as `reg`.
fn find_or_add(tree: &mut DeviceTree, parent: NodeId, name: &str) -> NodeId {
    let there = tree.children(parent).iter().copied().find(|&c| tree.name(c) == name);
    if let Some(node) = there {
        return node;
    }
    let node = tree.add_node(parent, name);
    if let Some(unit) = name.split_once('@').and_then(|(_, u)| u64::from_str_radix(u, 16).ok()) {
        if tree.prop(parent, "#address-cells").is_none() {
            tree.set_u32(parent, "#address-cells", 2);
            tree.set_u32(parent, "#size-cells", 0);
        }
        tree.set_u64(node, "reg", unit);
    }
    node
}

/// The first of a kind has a name without a number, too.
fn alias(tree: &mut DeviceTree, name: &str, count: usize, path: &str) {
    let aliases = tree.ensure_node(DeviceTree::ROOT, "aliases");
    if count == 0 {
        tree.set_str(aliases, name, path);
    }
    tree.set_str(aliases, &format!("{name}{count}"), path);
}

/// What NVRAM says of booting.
pub(crate) fn boot_order(nvram: &Nvram) -> BootOrder {
    BootOrder::from_nvram(&nvram.fetch(0, nvram.size() as u32).unwrap_or_default())
}

/// Finds what to boot: where the order says, else the first disk that has something.
pub(crate) fn find(
    disks: &[FirmwareDisk],
    tree: &DeviceTree,
    order: &BootOrder,
    go_on: &dyn Fn() -> bool,
) -> Option<Found> {
    let found = |d: &FirmwareDisk, place: &BootPlace| {
        let program = d.find_boot_program(place, go_on)?;
        let path = format!("{}:{}", d.path, program.place);
        let args = if order.file.is_empty() { program.args.clone() } else { order.file.clone() };
        Some(Found { program, path, args })
    };
    let named = order.devices.iter().find_map(|device| {
        let (node, args) = tree.resolve(device).ok()?;
        let path = tree.path(node);
        let disk = disks.iter().find(|d| d.path == path)?;
        found(disk, &BootPlace::parse(args.unwrap_or("")))
    });
    named.or_else(|| disks.iter().find_map(|d| found(d, &BootPlace::default())))
}
