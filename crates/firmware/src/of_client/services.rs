//! The services by name.

use super::*;
use crate::partition_table::Disk;

/// Every service, for `test`.
pub(super) const SERVICES: &[&str] = &[
    "test",
    "test-method",
    "finddevice",
    "getproplen",
    "getprop",
    "nextprop",
    "setprop",
    "canon",
    "peer",
    "child",
    "parent",
    "package-to-path",
    "instance-to-package",
    "instance-to-path",
    "instance-to-interposed-path",
    "open",
    "close",
    "read",
    "write",
    "seek",
    "call-method",
    "interpret",
    "claim",
    "release",
    "boot",
    "enter",
    "exit",
    "chain",
    "start-cpu",
    "quiesce",
    "milliseconds",
];

impl OfClient {
    /// Carries out a service. The first result is returned, the others go to `rets` (zero until then).
    pub(super) fn service(
        &mut self,
        host: &mut dyn OfHost,
        name: &str,
        args: &[u32],
        rets: &mut [u32],
    ) -> Result<u32, Fail> {
        let arg = |index: usize| args.get(index).copied().ok_or(Fail::Call);
        match name {
            "test" => {
                let asked = read_string(host, arg(0)?, MAX_NAME)?;
                Ok(if SERVICES.contains(&asked.as_str()) { 0 } else { ERROR })
            }
            "test-method" => {
                let node = self.node(arg(0)?)?;
                let method = read_string(host, arg(1)?, MAX_NAME)?;
                Ok(if self.has_method(node, &method) { 0 } else { ERROR })
            }
            "finddevice" => {
                let path = read_string(host, arg(0)?, MAX_TEXT)?;
                let node = self.tree.find(&path).ok_or(Fail::Value)?;
                Ok(self.tree.phandle(node))
            }
            "getproplen" => {
                let node = self.node(arg(0)?)?;
                let name = read_string(host, arg(1)?, MAX_NAME)?;
                Ok(self.property(node, &name).ok_or(Fail::Value)?.len() as u32)
            }
            "getprop" => {
                let node = self.node(arg(0)?)?;
                let name = read_string(host, arg(1)?, MAX_NAME)?;
                let value = self.property(node, &name).ok_or(Fail::Value)?;
                let fits = value.len().min(arg(3)? as usize);
                store(host, arg(2)?.into(), &value[..fits])?;
                Ok(value.len() as u32)
            }
            "nextprop" => self.nextprop(host, arg(0)?, arg(1)?, arg(2)?),
            "setprop" => self.setprop(host, arg(0)?, arg(1)?, arg(2)?, arg(3)?),
            "canon" => {
                let path = read_string(host, arg(0)?, MAX_TEXT)?;
                let (node, args) = self.tree.resolve(&path).map_err(|_| Fail::Value)?;
                let full = with_args(&self.tree.path(node), args.unwrap_or(""));
                write_text(host, arg(1)?, arg(2)?, &full)
            }
            "peer" | "child" | "parent" => Ok(self.neighbour(name, arg(0)?)),
            "package-to-path" => {
                let path = self.tree.path(self.node(arg(0)?)?);
                write_text(host, arg(1)?, arg(2)?, &path)
            }
            "instance-to-package" => {
                let node = self.instance_node(arg(0)?).ok_or(Fail::Value)?;
                Ok(self.tree.phandle(node))
            }
            "instance-to-path" | "instance-to-interposed-path" => {
                let instance = self.instances.get(&arg(0)?).ok_or(Fail::Value)?;
                let full = with_args(&instance.path, &instance.args);
                write_text(host, arg(1)?, arg(2)?, &full)
            }
            "open" => {
                let path = read_string(host, arg(0)?, MAX_TEXT)?;
                Ok(self.open(host, &path).unwrap_or(0))
            }
            "close" => {
                self.instances.remove(&arg(0)?);
                Ok(0)
            }
            "read" => self.read(host, arg(0)?, arg(1)?, arg(2)?),
            "write" => self.write(host, arg(0)?, arg(1)?, arg(2)?),
            "seek" => self.seek(arg(0)?, u64::from(arg(1)?) << 32 | u64::from(arg(2)?)),
            "call-method" => {
                let method = read_string(host, arg(0)?, MAX_NAME)?;
                self.call_method(host, &method, arg(1)?, &args[2..], rets)
            }
            "interpret" => {
                let command = read_string(host, arg(0)?, MAX_TEXT)?;
                self.interpret(host, &command)
            }
            "claim" => self.claim_service(arg(0)?, arg(1)?, arg(2)?),
            "release" => self.release_service(arg(0)?, arg(1)?),
            "boot" => {
                let spec = read_string(host, arg(0)?, MAX_TEXT)?;
                host.boot(&spec);
                Ok(0)
            }
            // There is no command line to enter.
            "enter" => Ok(0),
            "exit" => {
                host.exit();
                Ok(0)
            }
            "chain" => {
                let (virt, size) = (arg(0)?, arg(1)?);
                let (entry, args, len) = (arg(2)?, arg(3)?, arg(4)?);
                if size != 0 {
                    self.release_service(virt, size)?;
                }
                if host.chain(entry.into(), args.into(), len.into()) { Ok(0) } else { Err(Fail::Value) }
            }
            "start-cpu" => {
                let reg = self.tree.prop_u32(self.node(arg(0)?)?, "reg").ok_or(Fail::Value)?;
                let started = host.start_cpu(reg, arg(1)?.into(), arg(2)?.into());
                if started { Ok(0) } else { Err(Fail::Value) }
            }
            "quiesce" => {
                self.quiesced = true;
                host.quiesce();
                Ok(0)
            }
            "milliseconds" => Ok(host.milliseconds()),
            _ => Err(Fail::Call),
        }
    }

    fn node(&self, phandle: u32) -> Result<NodeId, Fail> {
        self.tree.by_phandle(phandle).ok_or(Fail::Value)
    }

    fn neighbour(&mut self, which: &str, phandle: u32) -> u32 {
        let node = match (which, self.tree.by_phandle(phandle)) {
            ("peer", None) if phandle == 0 => Some(DeviceTree::ROOT),
            (_, None) => None,
            ("peer", Some(n)) => self.tree.next_sibling(n),
            ("child", Some(n)) => self.tree.children(n).first().copied(),
            (_, Some(n)) => self.tree.parent(n),
        };
        node.map_or(0, |n| self.tree.phandle(n))
    }

    /// A property's value; every node has a `name`.
    fn property(&self, node: NodeId, name: &str) -> Option<Vec<u8>> {
        match self.tree.prop(node, name) {
            Some(value) => Some(value.to_vec()),
            None if name == "name" => {
                let mut text = self.tree.base_name(node).as_bytes().to_vec();
                text.push(0);
                Some(text)
            }
            None => None,
        }
    }

    /// The property after `previous`; `name` comes first.
    fn nextprop(
        &mut self,
        host: &mut dyn OfHost,
        phandle: u32,
        previous: u32,
        buf: u32,
    ) -> Result<u32, Fail> {
        let node = self.node(phandle)?;
        let previous = if previous == 0 { String::new() } else { read_string(host, previous, MAX_NAME)? };
        let mut others = self.tree.props(node).iter().map(|p| p.name.as_str()).filter(|n| *n != "name");
        let next = match previous.as_str() {
            "" => Some("name"),
            "name" => others.next(),
            _ => {
                others.find(|n| *n == previous).ok_or(Fail::Value)?;
                others.next()
            }
        };
        match next {
            Some(name) => {
                write_text(host, buf, MAX_NAME as u32, name)?;
                Ok(1)
            }
            None => Ok(0),
        }
    }

    fn setprop(
        &mut self,
        host: &mut dyn OfHost,
        phandle: u32,
        name: u32,
        value: u32,
        len: u32,
    ) -> Result<u32, Fail> {
        let node = self.node(phandle)?;
        let name = read_string(host, name, MAX_NAME)?;
        let size = len as usize;
        if name.is_empty() || name == "name" || !name.bytes().all(|b| b.is_ascii_graphic()) || size > MAX_PROP
        {
            return Err(Fail::Value);
        }
        // What a property costs besides its value.
        let cost = u64::from(len) + name.len() as u64 + 64;
        let left = self.setprop_budget.checked_sub(cost).ok_or(Fail::Value)?;
        let mut bytes = vec![0; size];
        if size != 0 {
            host.read(value.into(), &mut bytes)?;
        }
        self.setprop_budget = left;
        self.tree.set_bytes(node, &name, bytes);
        Ok(len)
    }

    fn open(&mut self, host: &mut dyn OfHost, path: &str) -> Option<u32> {
        let (node, args) = self.tree.resolve(path).ok()?;
        let kind = match self.tree.prop_str(node, "device_type") {
            _ if self.console == Some(node) => Kind::Console,
            Some("block") => {
                let number = partition_number(args.unwrap_or(""))?;
                Kind::Disk(disk_area(host, &self.tree.path(node), number)?)
            }
            Some("network") if host.net_open(&self.tree.path(node)) => Kind::Net,
            Some("network") => return None,
            _ => Kind::Plain,
        };
        self.add_instance(node, args.unwrap_or(""), kind)
    }

    /// `read`: bytes read; -2 if a console or network has none at present.
    pub(super) fn read(
        &mut self,
        host: &mut dyn OfHost,
        ihandle: u32,
        addr: u32,
        len: u32,
    ) -> Result<u32, Fail> {
        const NOTHING_YET: u32 = -2_i32 as u32;
        let instance = self.instances.get_mut(&ihandle).ok_or(Fail::Value)?;
        let len = (len as usize).min(MAX_TRANSFER);
        match instance.kind {
            Kind::Plain => Err(Fail::Value),
            Kind::Console | Kind::Net => {
                let mut buf = vec![0; len.min(64 << 10)];
                let got = if instance.kind == Kind::Net {
                    host.net_receive(&instance.path, &mut buf)
                } else {
                    host.console_read(&mut buf)
                };
                let got = got.min(buf.len());
                if got == 0 {
                    return Ok(if len == 0 { 0 } else { NOTHING_YET });
                }
                host.write(addr.into(), &buf[..got])?;
                Ok(got as u32)
            }
            Kind::Disk(area) => {
                let done = disk_to_memory(host, &instance.path, area, instance.position, addr, len)?;
                instance.position += done;
                Ok(done as u32)
            }
        }
    }

    /// `write`: bytes written.
    pub(super) fn write(
        &mut self,
        host: &mut dyn OfHost,
        ihandle: u32,
        addr: u32,
        len: u32,
    ) -> Result<u32, Fail> {
        let instance = self.instances.get_mut(&ihandle).ok_or(Fail::Value)?;
        let len = (len as usize).min(MAX_TRANSFER);
        match instance.kind {
            Kind::Plain => Err(Fail::Value),
            Kind::Console => {
                let mut done = 0;
                while done < len {
                    let mut piece = [0; 4096];
                    let piece = &mut piece[..(len - done).min(4096)];
                    host.read(u64::from(addr) + done as u64, piece)?;
                    host.console_write(piece);
                    done += piece.len();
                }
                Ok(done as u32)
            }
            Kind::Net => {
                let mut frame = vec![0; len.min(64 << 10)];
                host.read(addr.into(), &mut frame)?;
                if host.net_send(&instance.path, &frame) { Ok(frame.len() as u32) } else { Err(Fail::Value) }
            }
            Kind::Disk(area) => {
                let done = memory_to_disk(host, &instance.path, area, instance.position, addr, len)?;
                instance.position += done;
                Ok(done as u32)
            }
        }
    }

    pub(super) fn seek(&mut self, ihandle: u32, position: u64) -> Result<u32, Fail> {
        let instance = self.instances.get_mut(&ihandle).ok_or(Fail::Value)?;
        match instance.kind {
            Kind::Disk(area) if position <= area.extent.size => {
                instance.position = position;
                Ok(0)
            }
            _ => Err(Fail::Value),
        }
    }

    /// Claims `size` bytes: at `virt` if `align` is 0, otherwise anywhere at a multiple of it.
    pub(super) fn claim_service(&mut self, virt: u32, size: u32, align: u32) -> Result<u32, Fail> {
        let at = match align {
            0 => self.claims.claim_at(virt.into(), size.into()).then_some(virt.into()),
            _ if size == 0 => None,
            _ => self.claims.claim(size.into(), align.into()),
        };
        self.update_available();
        at.and_then(|at| u32::try_from(at).ok()).ok_or(Fail::Value)
    }

    pub(super) fn release_service(&mut self, virt: u32, size: u32) -> Result<u32, Fail> {
        if !self.claims.release(virt.into(), size.into()) {
            return Err(Fail::Value);
        }
        self.update_available();
        Ok(0)
    }
}

/// The partition that a disk's arguments name, 0 for all of it. A file in it is the client's business.
fn partition_number(args: &str) -> Option<u32> {
    match args {
        "" | "nolabel" => Some(0),
        _ => args.strip_suffix(',').unwrap_or(args).parse().ok(),
    }
}

/// Finds a partition of a disk.
fn disk_area(host: &mut dyn OfHost, path: &str, number: u32) -> Option<Area> {
    let DiskInfo { block_size, blocks } = host.disk_info(path)?;
    let mut read = |offset: u64, buf: &mut [u8]| host.disk_read(path, offset, buf).is_ok();
    let extent = Disk { block_size, blocks, read: &mut read }.partition(number)?;
    Some(Area { block_size, extent })
}

fn with_args(path: &str, args: &str) -> String {
    if args.is_empty() { path.into() } else { format!("{path}:{args}") }
}

/// Size of the pieces that disk transfers are done in, in bytes.
const PIECE: usize = 64 << 10;

/// Moves up to `len` bytes from an offset in a disk's area into guest memory; answers how many, fewer at the area's end.
pub(super) fn disk_to_memory(
    host: &mut dyn OfHost,
    path: &str,
    area: Area,
    offset: u64,
    addr: u32,
    len: usize,
) -> Result<u64, Fail> {
    let len = (len as u64).min(area.extent.size.saturating_sub(offset));
    let first = area.extent.start.saturating_add(offset);
    let mut piece = vec![0; PIECE.min(len as usize)];
    let mut done = 0;
    while done < len {
        let part = &mut piece[..PIECE.min((len - done) as usize)];
        host.disk_read(path, first + done, part).map_err(|_| Fail::Value)?;
        host.write(u64::from(addr) + done, part)?;
        done += part.len() as u64;
    }
    Ok(done)
}

/// Moves up to `len` bytes of guest memory to an offset in a disk's area; answers how many, fewer at the area's end.
pub(super) fn memory_to_disk(
    host: &mut dyn OfHost,
    path: &str,
    area: Area,
    offset: u64,
    addr: u32,
    len: usize,
) -> Result<u64, Fail> {
    let len = (len as u64).min(area.extent.size.saturating_sub(offset));
    let first = area.extent.start.saturating_add(offset);
    let mut piece = vec![0; PIECE.min(len as usize)];
    let mut done = 0;
    while done < len {
        let part = &mut piece[..PIECE.min((len - done) as usize)];
        host.read(u64::from(addr) + done, part)?;
        host.disk_write(path, first + done, part).map_err(|_| Fail::Value)?;
        done += part.len() as u64;
    }
    Ok(done)
}
