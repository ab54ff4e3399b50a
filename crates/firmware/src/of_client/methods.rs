//! Methods of packages (`call-method`) and the few commands that clients send to `interpret`.
//!
//! Arguments and results of a method stand in the array top of stack first.

use super::services::{disk_to_memory, memory_to_disk};
use super::*;
use crate::cas::{self, CasVectors};

/// Bytes a disk is asked for at a time, for `max-transfer`.
const MAX_DISK_TRANSFER: u32 = 1 << 20;
/// Most logical units that `vscsi-report-luns` lists.
const MAX_LUNS: usize = 256;

/// What a package is, as far as methods go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Root,
    Rtas,
    Memory,
    Cpu,
    Disk,
    Net,
    Vscsi,
    Other,
}

impl OfClient {
    fn class(&self, node: NodeId) -> Class {
        if node == DeviceTree::ROOT {
            return Class::Root;
        }
        if self.memory == Some(node) {
            return Class::Memory;
        }
        match self.tree.prop_str(node, "device_type") {
            Some("cpu") => Class::Cpu,
            Some("block") => Class::Disk,
            Some("network") => Class::Net,
            Some("vscsi") => Class::Vscsi,
            _ if self.tree.path(node) == "/rtas" => Class::Rtas,
            _ => Class::Other,
        }
    }

    pub(super) fn has_method(&self, node: NodeId, method: &str) -> bool {
        match (self.class(node), method) {
            (_, "open" | "close" | "decode-unit") => true,
            (Class::Root, "ibm,client-architecture-support") => true,
            (Class::Rtas, "instantiate-rtas") => true,
            (Class::Memory, "claim" | "release") => true,
            (Class::Cpu, "claim" | "release" | "map" | "unmap" | "translate") => true,
            (Class::Disk, "block-size" | "#blocks" | "#blocks64" | "max-transfer") => true,
            (Class::Disk, "read" | "write" | "seek" | "read-blocks" | "write-blocks") => true,
            (Class::Net, "read" | "write") => true,
            (Class::Vscsi, "vscsi-report-luns") => true,
            (Class::Other, "read" | "write") => self.console == Some(node),
            _ => false,
        }
    }

    /// Calls a method of an instance. The result is `catch`'s: 0, or not if the method failed or does not
    /// exist.
    pub(super) fn call_method(
        &mut self,
        host: &mut dyn OfHost,
        method: &str,
        ihandle: u32,
        stack: &[u32],
        rets: &mut [u32],
    ) -> Result<u32, Fail> {
        let node = self.instance_node(ihandle).ok_or(Fail::Value)?;
        let arg = |index: usize| stack.get(index).copied().ok_or(Fail::Value);
        let kind = self.instances.get(&ihandle).map_or(Kind::Plain, |i| i.kind.clone());
        let mut put = |values: &[u32]| {
            for (cell, &value) in rets.iter_mut().zip(values) {
                *cell = value;
            }
            Ok(0)
        };
        match (self.class(node), method, kind) {
            (_, "decode-unit", _) => {
                let text = read_sized(host, arg(1)?, arg(0)?)?;
                put(&decode_unit(&self.tree, node, &text).ok_or(Fail::Value)?)
            }
            (Class::Root, "ibm,client-architecture-support", _) => put(&[self.cas(host, arg(0)?)]),
            (Class::Rtas, "instantiate-rtas", _) => {
                let base = arg(0)?;
                host.write(base.into(), &stub::stub_rtas())?;
                host.instantiate_rtas(base.into());
                put(&[base])
            }
            (Class::Memory, "claim", _) => {
                let at = self.claim_service(stack.get(2).copied().unwrap_or(0), arg(1)?, arg(0)?)?;
                put(&[at])
            }
            (Class::Memory, "release", _) => self.release_service(arg(1)?, arg(0)?),
            // Translation is off: every address is its own, and only the memory package counts.
            (Class::Cpu, "claim", _) if arg(0)? == 0 => put(&[arg(2)?]),
            (Class::Cpu, "release" | "map" | "unmap", _) => Ok(0),
            (Class::Cpu, "translate", _) => put(&[ERROR, 0, arg(0)?]),
            (_, "block-size", Kind::Disk(area)) => put(&[area.block_size]),
            (_, "#blocks", Kind::Disk(area)) => put(&[u32::try_from(area.blocks()).unwrap_or(u32::MAX)]),
            (_, "#blocks64", Kind::Disk(area)) => put(&[(area.blocks() >> 32) as u32, area.blocks() as u32]),
            (_, "max-transfer", Kind::Disk(_)) => put(&[MAX_DISK_TRANSFER]),
            (_, "read-blocks" | "write-blocks", Kind::Disk(area)) => {
                let moved = self.blocks(host, method, ihandle, area, arg(0)?, arg(1)?, arg(2)?)?;
                put(&[moved])
            }
            (_, "read", Kind::Disk(_) | Kind::Console | Kind::Net) => {
                let got = self.read(host, ihandle, arg(1)?, arg(0)?)?;
                put(&[got])
            }
            (_, "write", Kind::Disk(_) | Kind::Console | Kind::Net) => {
                let got = self.write(host, ihandle, arg(1)?, arg(0)?)?;
                put(&[got])
            }
            (_, "seek", Kind::Disk(_)) => {
                let status = self.seek(ihandle, u64::from(arg(0)?) << 32 | u64::from(arg(1)?))?;
                put(&[status])
            }
            (Class::Vscsi, "vscsi-report-luns", _) => put(&self.report_luns(host, node)?),
            _ => Err(Fail::Value),
        }
    }

    /// `ibm,client-architecture-support` (LoPAR section B.6.2.3): 0, or not if the client is refused.
    fn cas(&mut self, host: &mut dyn OfHost, addr: u32) -> u32 {
        let bytes = read_while(host, addr, cas::MAX_SIZE, |_| false);
        let Ok(vectors) = CasVectors::parse(&bytes) else { return ERROR };
        let outcome = host.cas(&mut self.tree, &bytes[..vectors.size]);
        // The memory node may be another one now.
        self.memory = find_memory(&self.tree);
        self.update_available();
        match outcome {
            CasOutcome::Accepted => 0,
            CasOutcome::Rejected => ERROR,
        }
    }

    /// `read-blocks` and `write-blocks` ( addr block# #blocks -- #done ).
    fn blocks(
        &mut self,
        host: &mut dyn OfHost,
        method: &str,
        ihandle: u32,
        area: Area,
        count: u32,
        block: u32,
        addr: u32,
    ) -> Result<u32, Fail> {
        let instance = self.instances.get(&ihandle).ok_or(Fail::Value)?;
        let size = u64::from(area.block_size);
        let offset = u64::from(block) * size;
        let len = (u64::from(count) * size).min(MAX_TRANSFER as u64 / size * size);
        if offset > area.extent.size {
            return Err(Fail::Value);
        }
        let done = if method == "read-blocks" {
            disk_to_memory(host, &instance.path, area, offset, addr, len as usize)?
        } else {
            memory_to_disk(host, &instance.path, area, offset, addr, len as usize)?
        };
        Ok((done / size) as u32)
    }

    /// `vscsi-report-luns` ( -- table count ), as SLOF has it and GRUB calls it: the table's entries are a
    /// cell that is not used and the address of a list of 64-bit unit addresses that ends with 0.
    fn report_luns(&mut self, host: &mut dyn OfHost, node: NodeId) -> Result<[u32; 2], Fail> {
        let table = match self.lun_table {
            Some(table) => table,
            None => {
                let page = crate::claims::PAGE as u32;
                let table = self.claim_service(0, page, page)?;
                self.lun_table = Some(table);
                table
            }
        };
        let units = self.tree.children(node).iter().filter_map(|&c| self.tree.unit_address(c));
        let luns = units.filter_map(|u| u64::from_str_radix(u, 16).ok()).filter(|&u| u != 0);
        let list = table.checked_add(8).ok_or(Fail::Value)?;
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&list.to_be_bytes());
        bytes.extend(luns.take(MAX_LUNS).flat_map(u64::to_be_bytes));
        bytes.extend_from_slice(&[0; 8]);
        host.write(table.into(), &bytes)?;
        Ok([1, table])
    }

    /// The commands that real clients send and that mean something here.
    pub(super) fn interpret(&mut self, host: &mut dyn OfHost, command: &str) -> Result<u32, Fail> {
        match command.trim() {
            "reset-all" | "reboot" => host.reset(),
            "power-off" | "poweroff" | "shut-down" => host.power_off(),
            // Asks for memory of firmware to be listed as available, which it is anyway.
            "dev /memory 0 to allow-reclaim" => {}
            _ => return Err(Fail::Value),
        }
        Ok(0)
    }
}

/// A text of given length.
fn read_sized(host: &dyn OfHost, addr: u32, len: u32) -> Result<String, Fail> {
    if len as usize > MAX_NAME {
        return Err(Fail::Value);
    }
    let mut bytes = vec![0; len as usize];
    host.read(addr.into(), &mut bytes)?;
    String::from_utf8(bytes).map_err(|_| Fail::Value)
}

/// A unit address as numbers, most significant first: one per part between commas, or if there is only one
/// part, that split into as many cells as the bus has.
fn decode_unit(tree: &DeviceTree, bus: NodeId, text: &str) -> Option<Vec<u32>> {
    let cells = tree.prop_u32(bus, "#address-cells").unwrap_or(2).clamp(1, 4);
    if text.contains(',') {
        return text.split(',').take(4).map(|part| u32::from_str_radix(part, 16).ok()).collect();
    }
    let value = u128::from_str_radix(text, 16).ok()?;
    Some((0..cells).rev().map(|i| (value >> (32 * i)) as u32).collect())
}
