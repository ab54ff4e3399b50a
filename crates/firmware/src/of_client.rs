//! The Open Firmware client interface (IEEE 1275-1994 section 6.3 and its PowerPC binding), as far as Linux
//! `prom_init`, GRUB and yaboot-class loaders use it.
//!
//! A client calls the entry it got in r5 with the real address of an argument array: service name, number of
//! arguments, number of results, then the arguments and room for the results, all big-endian 32-bit cells.
//! The stub behind the entry ([`crate::stub`]) makes a hypercall of it, and that ends in [`OfClient::call`].
//!
//! The client is not to be trusted: names, sizes, counts and the memory it can make firmware keep are
//! bounded by the constants below.

mod methods;
mod services;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use device::{DeviceTree, NodeId};
use serde::{Deserialize, Serialize};

use crate::claims::Claims;
use crate::partition_table::Extent;
use crate::stub;

/// Most cells of arguments and results in one call.
pub const MAX_CELLS: usize = 32;
/// Longest service or method name, its zero included.
pub const MAX_NAME: usize = 128;
/// Longest path or command, its zero included.
pub const MAX_TEXT: usize = 1024;
/// Most instances open at a time.
pub const MAX_INSTANCES: usize = 256;
/// Longest value `setprop` takes, in bytes.
pub const MAX_PROP: usize = 64 << 10;
/// Bytes that all calls of `setprop` together may store.
pub const SETPROP_BUDGET: u64 = 4 << 20;
/// Most bytes one `read` or `write` moves; a client sees a short transfer beyond that.
pub const MAX_TRANSFER: usize = 16 << 20;

/// The value of a result cell that says "failed".
pub(crate) const ERROR: u32 = u32::MAX;
/// Addresses of the client interface are 32-bit cells.
const ADDRESS_LIMIT: u64 = 1 << 32;
/// Most unknown service names that are remembered.
const MAX_UNKNOWN: usize = 32;

/// A real address is outside of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no guest memory there")]
pub struct BadAddress;

/// What came of `ibm,client-architecture-support`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CasOutcome {
    /// Agreed; the tree says upon what.
    Accepted,
    /// The client cannot be supported.
    Rejected,
}

/// Geometry of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskInfo {
    /// Bytes in a block, a power of two from 512 to 64 KiB.
    pub block_size: u32,
    /// Number of blocks.
    pub blocks: u64,
}

/// A disk did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("disk error")]
pub struct DiskError;

/// What firmware needs of the partition it serves. Paths are canonical device paths without arguments.
pub trait OfHost {
    /// Reads guest real memory; all or nothing.
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), BadAddress>;
    /// Writes guest real memory; all or nothing.
    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), BadAddress>;
    /// Sends bytes to the console.
    fn console_write(&mut self, data: &[u8]);
    /// Takes bytes that came from the console; answers how many.
    fn console_read(&mut self, buf: &mut [u8]) -> usize;
    /// Negotiates capabilities: `vectors` is the whole structure, see [`crate::cas`]. May change the tree.
    fn cas(&mut self, tree: &mut DeviceTree, vectors: &[u8]) -> CasOutcome;
    /// RTAS now stands at this real address (its code is written already).
    fn instantiate_rtas(&mut self, base: u64);
    /// The client is finished and wants back into firmware: the partition ends.
    fn exit(&mut self);
    /// The client asks for a reboot with this boot specification.
    fn boot(&mut self, spec: &str);
    /// Milliseconds since some point of time; wraps.
    fn milliseconds(&mut self) -> u32;

    /// The client will not use devices through firmware any more.
    fn quiesce(&mut self) {}
    /// The client asks for a reset.
    fn reset(&mut self) {
        self.boot("");
    }
    /// The client asks to be switched off.
    fn power_off(&mut self) {
        self.exit();
    }
    /// Starts a program in the client's place: entry, then address and length of its arguments (r6 and r7).
    /// `false` if that is not possible.
    fn chain(&mut self, _entry: u64, _args: u64, _len: u64) -> bool {
        false
    }
    /// Starts the processor whose node has `reg` at a real address with this value in r3.
    fn start_cpu(&mut self, _reg: u32, _entry: u64, _r3: u64) -> bool {
        false
    }
    /// The disk at a path.
    fn disk_info(&mut self, _path: &str) -> Option<DiskInfo> {
        None
    }
    /// Reads from a disk at a byte offset; the range is inside of what [`OfHost::disk_info`] said.
    fn disk_read(&mut self, _path: &str, _offset: u64, _buf: &mut [u8]) -> Result<(), DiskError> {
        Err(DiskError)
    }
    /// Writes to a disk at a byte offset; the range is inside of what [`OfHost::disk_info`] said.
    fn disk_write(&mut self, _path: &str, _offset: u64, _data: &[u8]) -> Result<(), DiskError> {
        Err(DiskError)
    }
    /// Whether the network adapter at a path can be used.
    fn net_open(&mut self, _path: &str) -> bool {
        false
    }
    /// Sends an Ethernet frame.
    fn net_send(&mut self, _path: &str, _frame: &[u8]) -> bool {
        false
    }
    /// Takes the next received frame; answers its length, 0 if there is none. A frame that is too long for
    /// the buffer is cut.
    fn net_receive(&mut self, _path: &str, _buf: &mut [u8]) -> usize {
        0
    }
}

/// What the client interface starts from.
#[derive(Clone, Debug, Default)]
pub struct OfConfig {
    /// Bytes of memory that are accessible with translation off.
    pub rma_size: u64,
    /// Memory in use from the start besides [`stub::FIRMWARE_SIZE`]: address and size of kernel, initrd...
    pub claimed: Vec<(u64, u64)>,
    /// Path of the console; it becomes `/chosen` `stdin` and `stdout`.
    pub console: Option<String>,
    /// Path of the node of the processor that boots; it becomes `/chosen` `cpu`.
    pub boot_cpu: Option<String>,
}

/// What of a disk an instance stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Area {
    block_size: u32,
    extent: Extent,
}

impl Area {
    fn blocks(&self) -> u64 {
        self.extent.size / u64::from(self.block_size)
    }

    /// Whether it can be one; a saved state might say otherwise.
    fn is_sane(&self) -> bool {
        self.block_size.is_power_of_two() && self.extent.start.checked_add(self.extent.size).is_some()
    }
}

/// What an open instance can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Console,
    Disk(Area),
    Net,
}

/// An open instance of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Instance {
    node: NodeId,
    /// Canonical path of the node when it was opened.
    path: String,
    args: String,
    kind: Kind,
    /// Byte position for `read` and `write`.
    position: u64,
}

/// The client interface of one partition with its device tree.
#[derive(Clone, Debug, PartialEq)]
pub struct OfClient {
    tree: DeviceTree,
    claims: Claims,
    instances: BTreeMap<u32, Instance>,
    next_ihandle: u32,
    console: Option<NodeId>,
    memory: Option<NodeId>,
    setprop_budget: u64,
    lun_table: Option<u32>,
    quiesced: bool,
    calls: u64,
    unknown: BTreeMap<String, u64>,
}

/// Saved state of an [`OfClient`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OfClientState {
    tree: DeviceTree,
    claims: Claims,
    instances: Vec<(u32, InstanceState)>,
    next_ihandle: u32,
    console: Option<NodeId>,
    memory: Option<NodeId>,
    setprop_budget: u64,
    lun_table: Option<u32>,
    quiesced: bool,
    calls: u64,
    unknown: Vec<(String, u64)>,
}

/// Saved state of an open instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceState(Instance);

/// Why a service has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fail {
    /// The first result says so.
    Value,
    /// There is no such service, or not with these arguments: the call itself fails.
    Call,
}

impl From<BadAddress> for Fail {
    fn from(_: BadAddress) -> Self {
        Fail::Value
    }
}

impl OfClient {
    /// Firmware for a machine with this tree. Adds to it what a client expects of firmware: `/chosen` with
    /// its instance handles, `/options`, `/openprom`, and the memory node's `available`.
    pub fn new(tree: DeviceTree, config: &OfConfig) -> Self {
        let mut claims = Claims::new(config.rma_size.min(ADDRESS_LIMIT));
        claims.reserve(0, stub::FIRMWARE_SIZE);
        for &(addr, size) in &config.claimed {
            claims.reserve(addr, size);
        }
        let mut client = OfClient {
            console: config.console.as_deref().and_then(|p| tree.find(p)),
            memory: find_memory(&tree),
            tree,
            claims,
            instances: BTreeMap::new(),
            next_ihandle: 1,
            setprop_budget: SETPROP_BUDGET,
            lun_table: None,
            quiesced: false,
            calls: 0,
            unknown: BTreeMap::new(),
        };
        let root = DeviceTree::ROOT;
        let options = client.tree.ensure_node(root, "options");
        client.tree.set_str(options, "real-mode?", "true");
        let openprom = client.tree.ensure_node(root, "openprom");
        if client.tree.prop(openprom, "model").is_none() {
            client.tree.set_str(openprom, "model", "rhyp");
        }
        let chosen = client.tree.ensure_node(root, "chosen");
        let cpu = config.boot_cpu.as_deref().and_then(|p| client.tree.find(p));
        for (name, node) in [
            ("stdout", client.console),
            ("stdin", client.console),
            ("memory", client.memory),
            ("mmu", cpu),
            ("cpu", cpu),
        ] {
            if let Some(node) = node {
                let kind = if client.console == Some(node) { Kind::Console } else { Kind::Plain };
                if let Some(ihandle) = client.add_instance(node, "", kind) {
                    client.tree.set_u32(chosen, name, ihandle);
                }
            }
        }
        client.update_available();
        client
    }

    /// Writes the client interface's entry into guest memory and answers its address, a kernel's r5.
    pub fn install(&self, host: &mut dyn OfHost) -> Result<u64, BadAddress> {
        host.write(stub::OF_CLIENT_ADDR, &stub::stub_of_client())?;
        Ok(stub::OF_CLIENT_ADDR)
    }

    /// The device tree as the client sees it.
    pub fn tree(&self) -> &DeviceTree {
        &self.tree
    }

    /// The device tree, for the platform to change.
    pub fn tree_mut(&mut self) -> &mut DeviceTree {
        &mut self.tree
    }

    /// The device tree as the client left it.
    pub fn into_tree(self) -> DeviceTree {
        self.tree
    }

    /// Whether the client has said that it will not need devices any more.
    pub fn quiesced(&self) -> bool {
        self.quiesced
    }

    /// Number of calls so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Services that were asked for but do not exist, with how often.
    pub fn unknown_services(&self) -> impl Iterator<Item = (&str, u64)> {
        self.unknown.iter().map(|(name, &count)| (name.as_str(), count))
    }

    /// Serves one call; `args_ea` is the real address of the argument array, of which 32 bits count. The
    /// result goes into the client's r3: 0, or -1 if there is no such service.
    pub fn call(&mut self, host: &mut dyn OfHost, args_ea: u64) -> u64 {
        self.calls = self.calls.wrapping_add(1);
        match self.try_call(host, args_ea & (ADDRESS_LIMIT - 1)) {
            Ok(()) => 0,
            Err(_) => u64::MAX,
        }
    }

    fn try_call(&mut self, host: &mut dyn OfHost, array: u64) -> Result<(), Fail> {
        let [service, nargs, nret] = read_cells::<3>(host, array)?;
        let (nargs, nret) = (nargs as usize, nret as usize);
        if nargs > MAX_CELLS || nret > MAX_CELLS || nargs + nret > MAX_CELLS {
            return Err(Fail::Call);
        }
        let mut bytes = [0; MAX_CELLS * 4];
        let bytes = &mut bytes[..nargs * 4];
        host.read(array + 12, bytes)?;
        let args: Vec<u32> =
            bytes.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]])).collect();
        let name = read_string(host, service, MAX_NAME)?;

        let mut rets = [0; MAX_CELLS];
        let outcome = self.service(host, &name, &args, &mut rets[1..]);
        rets[0] = match outcome {
            Ok(value) => value,
            Err(_) => ERROR,
        };
        if outcome == Err(Fail::Call)
            && (self.unknown.len() < MAX_UNKNOWN || self.unknown.contains_key(&name))
        {
            *self.unknown.entry(name).or_insert(0) += 1;
        }
        let out: Vec<u8> = rets[..nret].iter().flat_map(|r| r.to_be_bytes()).collect();
        store(host, array + 12 + nargs as u64 * 4, &out)?;
        match outcome {
            Err(Fail::Call) => Err(Fail::Call),
            Ok(_) | Err(Fail::Value) => Ok(()),
        }
    }

    /// Claims memory on the platform's behalf, as the client could.
    pub fn claim(&mut self, size: u64, align: u64) -> Option<u64> {
        let at = self.claims.claim(size, align)?;
        self.update_available();
        Some(at)
    }

    fn add_instance(&mut self, node: NodeId, args: &str, kind: Kind) -> Option<u32> {
        if self.instances.len() >= MAX_INSTANCES {
            return None;
        }
        // Handles are not used again soon, so that a stale one is noticed.
        while matches!(self.next_ihandle, 0 | ERROR) || self.instances.contains_key(&self.next_ihandle) {
            self.next_ihandle = self.next_ihandle.wrapping_add(1);
        }
        let ihandle = self.next_ihandle;
        self.next_ihandle = ihandle.wrapping_add(1);
        let path = self.tree.path(node);
        self.instances.insert(ihandle, Instance { node, path, args: args.into(), kind, position: 0 });
        Some(ihandle)
    }

    /// The node of an instance; if the platform has replaced it, the one in its place.
    fn instance_node(&self, ihandle: u32) -> Option<NodeId> {
        let instance = self.instances.get(&ihandle)?;
        if self.tree.contains(instance.node) {
            return Some(instance.node);
        }
        self.tree.find(&instance.path)
    }

    /// Brings the memory node's list of unclaimed memory up to date.
    fn update_available(&mut self) {
        let Some(memory) = self.memory else { return };
        let cells = |name, default| match self.tree.prop_u32(DeviceTree::ROOT, name) {
            Some(n @ 1..=2) => n as usize,
            _ => default,
        };
        let (address, size) = (cells("#address-cells", 2), cells("#size-cells", 1));
        let mut value = Vec::new();
        for (start, len) in self.claims.available() {
            // One cell is enough for what the client interface can address, but for 4 GiB in one piece.
            let len = if size == 1 { len.min(u64::from(u32::MAX) & !(crate::claims::PAGE - 1)) } else { len };
            value.extend_from_slice(&start.to_be_bytes()[8 - address * 4..]);
            value.extend_from_slice(&len.to_be_bytes()[8 - size * 4..]);
        }
        self.tree.set_bytes(memory, "available", value);
    }

    /// All state.
    pub fn save(&self) -> OfClientState {
        let OfClient {
            tree,
            claims,
            instances,
            next_ihandle,
            console,
            memory,
            setprop_budget,
            lun_table,
            quiesced,
            calls,
            unknown,
        } = self;
        OfClientState {
            tree: tree.clone(),
            claims: claims.clone(),
            instances: instances.iter().map(|(&h, i)| (h, InstanceState(i.clone()))).collect(),
            next_ihandle: *next_ihandle,
            console: *console,
            memory: *memory,
            setprop_budget: *setprop_budget,
            lun_table: *lun_table,
            quiesced: *quiesced,
            calls: *calls,
            unknown: unknown.clone().into_iter().collect(),
        }
    }

    /// Firmware in a saved state. Instances and names beyond the limits, and disks that cannot be, are left
    /// out.
    pub fn restore(state: OfClientState) -> Self {
        let OfClientState {
            tree,
            claims,
            instances,
            next_ihandle,
            console,
            memory,
            setprop_budget,
            lun_table,
            quiesced,
            calls,
            unknown,
        } = state;
        OfClient {
            tree,
            claims,
            instances: instances
                .into_iter()
                .map(|(ihandle, InstanceState(i))| (ihandle, i))
                .filter(|(_, i)| !matches!(i.kind, Kind::Disk(area) if !area.is_sane()))
                .take(MAX_INSTANCES)
                .collect(),
            next_ihandle,
            console,
            memory,
            setprop_budget: setprop_budget.min(SETPROP_BUDGET),
            lun_table,
            quiesced,
            calls,
            unknown: unknown.into_iter().take(MAX_UNKNOWN).collect(),
        }
    }
}

/// The memory node that starts at 0.
fn find_memory(tree: &DeviceTree) -> Option<NodeId> {
    let is_memory = |n: NodeId| tree.prop_str(n, "device_type") == Some("memory");
    let starts_at_0 = |n: NodeId| match tree.prop_u32(DeviceTree::ROOT, "#address-cells") {
        Some(1) => tree.prop_u32(n, "reg") == Some(0),
        _ => tree.prop_u64(n, "reg") == Some(0),
    };
    tree.children(DeviceTree::ROOT)
        .iter()
        .copied()
        .find(|&n| is_memory(n) && starts_at_0(n))
        .or_else(|| tree.find("/memory"))
}

fn read_cells<const N: usize>(host: &dyn OfHost, addr: u64) -> Result<[u32; N], BadAddress> {
    let mut cells = [0; N];
    for (i, cell) in cells.iter_mut().enumerate() {
        let mut bytes = [0; 4];
        host.read(addr + i as u64 * 4, &mut bytes)?;
        *cell = u32::from_be_bytes(bytes);
    }
    Ok(cells)
}

/// Reads what is there of `max` bytes, in pieces that do not straddle 64-byte lines, until `done` says so.
fn read_while(host: &dyn OfHost, addr: u32, max: usize, done: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = u64::from(addr);
    while out.len() < max {
        let len = (64 - at as usize % 64).min(max - out.len());
        let mut piece = [0; 64];
        if host.read(at, &mut piece[..len]).is_err() {
            break;
        }
        out.extend_from_slice(&piece[..len]);
        at += len as u64;
        if done(&piece[..len]) {
            break;
        }
    }
    out
}

/// Reads a zero-terminated string of at most `max` bytes.
fn read_string(host: &dyn OfHost, addr: u32, max: usize) -> Result<String, Fail> {
    let mut bytes = read_while(host, addr, max, |piece| piece.contains(&0));
    let end = bytes.iter().position(|&b| b == 0).ok_or(Fail::Value)?;
    bytes.truncate(end);
    String::from_utf8(bytes).map_err(|_| Fail::Value)
}

/// Writes as much of a text as fits, with a zero after it if that fits too. Answers its whole length.
fn write_text(host: &mut dyn OfHost, addr: u32, room: u32, text: &str) -> Result<u32, Fail> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes.truncate(room as usize);
    store(host, addr.into(), &bytes)?;
    Ok(text.len() as u32)
}

/// Writes bytes; none may go anywhere, clients pass null pointers with them.
fn store(host: &mut dyn OfHost, addr: u64, data: &[u8]) -> Result<(), BadAddress> {
    if data.is_empty() { Ok(()) } else { host.write(addr, data) }
}
