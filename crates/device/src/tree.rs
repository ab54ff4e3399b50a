//! The device tree as a value.
//!
//! A [`DeviceTree`] is an ordered tree of nodes with ordered properties, as IEEE 1275-1994 chapter 3
//! describes it: every property is a string of bytes, integers in it are big-endian. Builders fill it,
//! the Open Firmware client interface reads and changes it, [`crate::fdt`] turns it into a flattened tree
//! and back.
//!
//! Node identities ([`NodeId`]) and phandles are never used twice within one tree, so one that a guest
//! remembers after the node is gone names nothing. All accessors take a stale [`NodeId`] in their stride:
//! readers answer "nothing", writers do nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Identity of a node within one [`DeviceTree`]; the root is [`DeviceTree::ROOT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(u32);

/// One property: its name and its value as the guest sees it, integers big-endian.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// Name, for instance `reg`.
    pub name: String,
    /// Raw value.
    pub value: Vec<u8>,
}

/// A range of memory that the flattened tree lists as reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Real address of the first byte.
    pub addr: u64,
    /// Length in bytes.
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    name: String,
    parent: Option<NodeId>,
    children: Vec<NodeId>,
    props: Vec<Property>,
    phandle: Option<u32>,
}

/// Why a path names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path is empty.
    #[error("empty device path")]
    Empty,
    /// The path does not start with `/` and its head is no alias.
    #[error("no device alias \"{0}\"")]
    NoAlias(String),
    /// A component names no child.
    #[error("no node \"{0}\"")]
    NoNode(String),
}

/// A device tree: nodes, properties, phandles, the memory reservations and the boot processor's number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TreeState", into = "TreeState")]
pub struct DeviceTree {
    nodes: BTreeMap<NodeId, Node>,
    phandles: BTreeMap<u32, NodeId>,
    next_node: u32,
    next_phandle: u32,
    reservations: Vec<Reservation>,
    boot_cpuid: u32,
}

/// The saved form of a [`DeviceTree`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TreeState {
    nodes: Vec<(NodeId, Node)>,
    next_node: u32,
    next_phandle: u32,
    reservations: Vec<Reservation>,
    boot_cpuid: u32,
}

impl From<DeviceTree> for TreeState {
    fn from(tree: DeviceTree) -> Self {
        // The phandle index follows from the nodes.
        let DeviceTree { nodes, phandles: _, next_node, next_phandle, reservations, boot_cpuid } = tree;
        TreeState { nodes: nodes.into_iter().collect(), next_node, next_phandle, reservations, boot_cpuid }
    }
}

/// A saved tree does not hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("saved device tree is inconsistent: {0}")]
pub struct BadTreeState(&'static str);

impl TryFrom<TreeState> for DeviceTree {
    type Error = BadTreeState;

    fn try_from(state: TreeState) -> Result<Self, BadTreeState> {
        let TreeState { nodes, next_node, next_phandle, reservations, boot_cpuid } = state;
        let count = nodes.len();
        let nodes: BTreeMap<NodeId, Node> = nodes.into_iter().collect();
        let mut phandles = BTreeMap::new();
        if nodes.len() != count {
            return Err(BadTreeState("a node occurs twice"));
        }
        for (&id, node) in &nodes {
            if id.0 >= next_node {
                return Err(BadTreeState("node number not yet given out"));
            }
            if let Some(ph) = node.phandle {
                if !valid_phandle(ph) || phandles.insert(ph, id).is_some() {
                    return Err(BadTreeState("phandle invalid or used twice"));
                }
            }
            for child in &node.children {
                if nodes.get(child).is_none_or(|c| c.parent != Some(id)) {
                    return Err(BadTreeState("child and parent disagree"));
                }
            }
        }
        let tree = DeviceTree { nodes, phandles, next_node, next_phandle, reservations, boot_cpuid };
        match tree.nodes.get(&Self::ROOT) {
            Some(root) if root.parent.is_none() && root.name.is_empty() => {}
            _ => return Err(BadTreeState("no root node")),
        }
        // Each child points back to its one parent, so a walk from the root ends and meets each node once
        // unless a child is listed twice; then the walk is longer than the tree.
        let mut walk = tree.walk();
        let reached = walk.by_ref().take(count + 1).count();
        if reached != count || walk.next().is_some() {
            return Err(BadTreeState("a node is unreachable or listed twice"));
        }
        Ok(tree)
    }
}

/// 0 and all ones are reserved by the flattened-tree specification.
fn valid_phandle(ph: u32) -> bool {
    ph != 0 && ph != u32::MAX
}

impl Default for DeviceTree {
    fn default() -> Self {
        Self::new()
    }
}

impl DeviceTree {
    /// The root node, which every tree has.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree that consists of an empty root.
    pub fn new() -> Self {
        let root = Node { name: String::new(), parent: None, children: vec![], props: vec![], phandle: None };
        DeviceTree {
            nodes: BTreeMap::from([(Self::ROOT, root)]),
            phandles: BTreeMap::new(),
            next_node: 1,
            next_phandle: 1,
            reservations: Vec::new(),
            boot_cpuid: 0,
        }
    }

    // ---- structure -------------------------------------------------------------------------------

    /// Adds a node named `name` (`base` or `base@unit`) after the other children of `parent`.
    ///
    /// A name that a path could not spell (empty, or with `/`, `:` or a control character) is the caller's
    /// mistake: such characters become `_`. With a stale `parent` the node hangs below the root.
    pub fn add_node(&mut self, parent: NodeId, name: &str) -> NodeId {
        debug_assert!(valid_node_name(name), "bad node name {name:?}");
        let parent = if self.nodes.contains_key(&parent) { parent } else { Self::ROOT };
        let name: String = if name.is_empty() {
            "_".into()
        } else {
            name.chars().map(|c| if valid_node_char(c) { c } else { '_' }).collect()
        };
        let id = NodeId(self.next_node);
        self.next_node += 1;
        self.nodes
            .insert(id, Node { name, parent: Some(parent), children: vec![], props: vec![], phandle: None });
        if let Some(p) = self.nodes.get_mut(&parent) {
            p.children.push(id);
        }
        id
    }

    /// The child of `parent` with exactly this name, which is added if there is none.
    pub fn ensure_node(&mut self, parent: NodeId, name: &str) -> NodeId {
        match self.children(parent).iter().copied().find(|&c| self.name(c) == name) {
            Some(c) => c,
            None => self.add_node(parent, name),
        }
    }

    /// Removes a node with everything below it. The root stays. Answers whether a node went.
    pub fn remove_node(&mut self, node: NodeId) -> bool {
        let Some(parent) = self.parent(node) else { return false };
        if let Some(p) = self.nodes.get_mut(&parent) {
            p.children.retain(|&c| c != node);
        }
        let mut todo = vec![node];
        while let Some(id) = todo.pop() {
            if let Some(n) = self.nodes.remove(&id) {
                if let Some(ph) = n.phandle {
                    self.phandles.remove(&ph);
                }
                todo.extend(n.children);
            }
        }
        true
    }

    /// Whether the node (still) exists.
    pub fn contains(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Number of nodes, the root included.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The node's full name, `base` or `base@unit`; empty for the root.
    pub fn name(&self, node: NodeId) -> &str {
        self.nodes.get(&node).map_or("", |n| n.name.as_str())
    }

    /// The node's name without its unit address.
    pub fn base_name(&self, node: NodeId) -> &str {
        let name = self.name(node);
        name.split_once('@').map_or(name, |(base, _)| base)
    }

    /// The text after `@` in the node's name.
    pub fn unit_address(&self, node: NodeId) -> Option<&str> {
        self.name(node).split_once('@').map(|(_, unit)| unit)
    }

    /// The parent; `None` for the root and for a stale identity.
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        self.nodes.get(&node)?.parent
    }

    /// The children in order.
    pub fn children(&self, node: NodeId) -> &[NodeId] {
        self.nodes.get(&node).map_or(&[], |n| &n.children)
    }

    /// The next child of this node's parent.
    pub fn next_sibling(&self, node: NodeId) -> Option<NodeId> {
        let siblings = self.children(self.parent(node)?);
        let at = siblings.iter().position(|&c| c == node)?;
        siblings.get(at + 1).copied()
    }

    /// All nodes, parents before their children, in order.
    pub fn walk(&self) -> Walk<'_> {
        Walk { tree: self, todo: vec![Self::ROOT] }
    }

    /// The absolute path with full names, `/` for the root.
    pub fn path(&self, node: NodeId) -> String {
        let mut parts = Vec::new();
        let mut at = node;
        while let Some(parent) = self.parent(at) {
            parts.push(self.name(at));
            at = parent;
        }
        let mut out = String::new();
        for part in parts.iter().rev() {
            out.push('/');
            out.push_str(part);
        }
        if out.is_empty() { "/".into() } else { out }
    }

    // ---- phandles --------------------------------------------------------------------------------

    /// The node's phandle; it is assigned at the first request and stays. 0 for a stale node.
    pub fn phandle(&mut self, node: NodeId) -> u32 {
        let Some(n) = self.nodes.get_mut(&node) else { return 0 };
        if let Some(ph) = n.phandle {
            return ph;
        }
        // Numbers given explicitly may stand in the way.
        while !valid_phandle(self.next_phandle) || self.phandles.contains_key(&self.next_phandle) {
            self.next_phandle = self.next_phandle.wrapping_add(1);
        }
        let ph = self.next_phandle;
        self.next_phandle = ph.wrapping_add(1);
        n.phandle = Some(ph);
        self.phandles.insert(ph, node);
        ph
    }

    /// The node's phandle if one was assigned.
    pub fn phandle_if_any(&self, node: NodeId) -> Option<u32> {
        self.nodes.get(&node)?.phandle
    }

    /// Gives a node a phandle of the caller's choice. `false` if the number is reserved or taken, the node
    /// has another one already, or does not exist.
    pub fn set_phandle(&mut self, node: NodeId, phandle: u32) -> bool {
        let Some(n) = self.nodes.get_mut(&node) else { return false };
        if n.phandle == Some(phandle) {
            return true;
        }
        if !valid_phandle(phandle) || n.phandle.is_some() || self.phandles.contains_key(&phandle) {
            return false;
        }
        n.phandle = Some(phandle);
        self.phandles.insert(phandle, node);
        true
    }

    /// The node a phandle stands for.
    pub fn by_phandle(&self, phandle: u32) -> Option<NodeId> {
        self.phandles.get(&phandle).copied()
    }

    // ---- properties ------------------------------------------------------------------------------

    /// The properties in order.
    pub fn props(&self, node: NodeId) -> &[Property] {
        self.nodes.get(&node).map_or(&[], |n| &n.props)
    }

    /// The value of a property.
    pub fn prop(&self, node: NodeId, name: &str) -> Option<&[u8]> {
        self.props(node).iter().find(|p| p.name == name).map(|p| p.value.as_slice())
    }

    /// The first four bytes of a property as a number.
    pub fn prop_u32(&self, node: NodeId, name: &str) -> Option<u32> {
        Some(u32::from_be_bytes(*self.prop(node, name)?.first_chunk()?))
    }

    /// The first eight bytes of a property as a number.
    pub fn prop_u64(&self, node: NodeId, name: &str) -> Option<u64> {
        Some(u64::from_be_bytes(*self.prop(node, name)?.first_chunk()?))
    }

    /// The property as a list of 32-bit cells; an incomplete last cell is left out.
    pub fn prop_u32s(&self, node: NodeId, name: &str) -> Option<Vec<u32>> {
        Some(cells(self.prop(node, name)?).collect())
    }

    /// The property as a string: up to its first zero byte, if that is UTF-8.
    pub fn prop_str(&self, node: NodeId, name: &str) -> Option<&str> {
        let bytes = self.prop(node, name)?;
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).ok()
    }

    /// The property as a list of zero-terminated strings; a part that is not UTF-8 is left out.
    pub fn prop_strs(&self, node: NodeId, name: &str) -> Option<Vec<&str>> {
        let bytes = self.prop(node, name)?;
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        Some(bytes.split(|&b| b == 0).filter_map(|s| std::str::from_utf8(s).ok()).collect())
    }

    /// Sets a property to these bytes. An existing one keeps its place in the order.
    pub fn set_bytes(&mut self, node: NodeId, name: &str, value: impl Into<Vec<u8>>) {
        debug_assert!(!name.is_empty() && !name.contains('\0'), "bad property name {name:?}");
        let Some(n) = self.nodes.get_mut(&node) else { return };
        let value = value.into();
        match n.props.iter_mut().find(|p| p.name == name) {
            Some(p) => p.value = value,
            None => n.props.push(Property { name: name.into(), value }),
        }
    }

    /// Sets a property without a value; its presence is what counts.
    pub fn set_empty(&mut self, node: NodeId, name: &str) {
        self.set_bytes(node, name, Vec::new());
    }

    /// Sets a property to one 32-bit cell.
    pub fn set_u32(&mut self, node: NodeId, name: &str, value: u32) {
        self.set_bytes(node, name, value.to_be_bytes());
    }

    /// Sets a property to one 64-bit number (two cells).
    pub fn set_u64(&mut self, node: NodeId, name: &str, value: u64) {
        self.set_bytes(node, name, value.to_be_bytes());
    }

    /// Sets a property to a list of 32-bit cells.
    pub fn set_u32s(&mut self, node: NodeId, name: &str, values: &[u32]) {
        self.set_bytes(node, name, values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>());
    }

    /// Sets a property to a list of 64-bit numbers.
    pub fn set_u64s(&mut self, node: NodeId, name: &str, values: &[u64]) {
        self.set_bytes(node, name, values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>());
    }

    /// Sets a property to one zero-terminated string.
    pub fn set_str(&mut self, node: NodeId, name: &str, value: &str) {
        self.set_strs(node, name, &[value]);
    }

    /// Sets a property to a list of zero-terminated strings.
    pub fn set_strs(&mut self, node: NodeId, name: &str, values: &[&str]) {
        let mut bytes = Vec::new();
        for v in values {
            bytes.extend(v.bytes().filter(|&b| b != 0));
            bytes.push(0);
        }
        self.set_bytes(node, name, bytes);
    }

    /// Sets a property to the phandle of another node (assigning it one), as interrupt parents are named.
    pub fn set_phandle_ref(&mut self, node: NodeId, name: &str, target: NodeId) {
        let ph = self.phandle(target);
        self.set_u32(node, name, ph);
    }

    /// Removes a property. Answers whether there was one.
    pub fn remove_prop(&mut self, node: NodeId, name: &str) -> bool {
        let Some(n) = self.nodes.get_mut(&node) else { return false };
        let before = n.props.len();
        n.props.retain(|p| p.name != name);
        n.props.len() != before
    }

    // ---- the flattened tree's header --------------------------------------------------------------

    /// The reserved memory ranges.
    pub fn reservations(&self) -> &[Reservation] {
        &self.reservations
    }

    /// Adds a reserved memory range; one of size 0 would end the list and is left out.
    pub fn reserve(&mut self, addr: u64, size: u64) {
        if size != 0 {
            self.reservations.push(Reservation { addr, size });
        }
    }

    /// The physical number of the processor that boots.
    pub fn boot_cpuid(&self) -> u32 {
        self.boot_cpuid
    }

    /// Sets the physical number of the processor that boots.
    pub fn set_boot_cpuid(&mut self, id: u32) {
        self.boot_cpuid = id;
    }

    // ---- paths -----------------------------------------------------------------------------------

    /// The node a path names, see [`Self::resolve`]; arguments are ignored.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        self.resolve(path).ok().map(|(node, _)| node)
    }

    /// Resolves a device path (IEEE 1275-1994 section 4.3): `/` components `name@unit:arguments`, or a
    /// head without `/` that is looked up in `/aliases`. A component without a unit address takes the first
    /// child of that name; one that is only `@unit` takes the first child at that address; a name without
    /// its `manufacturer,` part matches too if no child has it in full. Unit addresses compare without
    /// regard to case and leading zeros, but a child that is called exactly so comes first.
    ///
    /// Returns the node and the last component's arguments (the text after its `:`).
    pub fn resolve<'a>(&self, path: &'a str) -> Result<(NodeId, Option<&'a str>), PathError> {
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        if path.starts_with('/') {
            return self.resolve_from(Self::ROOT, path, None);
        }
        let head_len = path.find(['/', ':']).unwrap_or(path.len());
        let (head, rest) = path.split_at(head_len);
        let no_alias = || PathError::NoAlias(head.into());
        let aliases = self.resolve_from(Self::ROOT, "/aliases", None).map_err(|_| no_alias())?.0;
        let target = self.prop_str(aliases, head).filter(|t| t.starts_with('/')).ok_or_else(no_alias)?;
        // Arguments that belong to the alias itself give way to those of the path.
        let (start, _) = self.resolve_from(Self::ROOT, target, None)?;
        match rest.strip_prefix(':') {
            Some(args) => {
                let (own, below) = args.split_at(args.find('/').unwrap_or(args.len()));
                self.resolve_from(start, below, Some(own))
            }
            None => self.resolve_from(start, rest, None),
        }
    }

    fn resolve_from<'a>(
        &self,
        start: NodeId,
        path: &'a str,
        args: Option<&'a str>,
    ) -> Result<(NodeId, Option<&'a str>), PathError> {
        let (mut at, mut args) = (start, args);
        for component in path.split('/').filter(|c| !c.is_empty()) {
            let (name, own_args) = match component.split_once(':') {
                Some((name, args)) => (name, Some(args)),
                None => (component, None),
            };
            args = own_args;
            if !name.is_empty() {
                at = self.match_child(at, name).ok_or_else(|| PathError::NoNode(name.into()))?;
            }
        }
        Ok((at, args))
    }

    fn match_child(&self, parent: NodeId, component: &str) -> Option<NodeId> {
        let (base, unit) = match component.split_once('@') {
            Some((base, unit)) => (base, Some(unit)),
            None => (component, None),
        };
        let children = self.children(parent);
        let unit_fits = |c: NodeId| match unit {
            None => true,
            Some(u) => self.unit_address(c).is_some_and(|have| same_unit(have, u)),
        };
        let first = |fits: &dyn Fn(NodeId) -> bool| children.iter().copied().find(|&c| fits(c));
        let short = |c: NodeId| self.base_name(c).split_once(',').map(|(_, short)| short);
        first(&|c| self.name(c) == component)
            .or_else(|| first(&|c| (base.is_empty() || self.base_name(c) == base) && unit_fits(c)))
            .or_else(|| first(&|c| short(c) == Some(base) && unit_fits(c)))
    }

    // ---- text ------------------------------------------------------------------------------------

    /// The tree as device-tree source text, for people and golden files. Values are shown as strings where
    /// they look like strings, as cells where their length allows, otherwise as bytes.
    pub fn to_dts(&self) -> String {
        let mut out = String::from("/dts-v1/;\n");
        for r in &self.reservations {
            let _ = writeln!(out, "/memreserve/ {:#018x} {:#018x};", r.addr, r.size);
        }
        if self.boot_cpuid != 0 {
            let _ = writeln!(out, "// boot cpuid {:#x}", self.boot_cpuid);
        }
        let mut open: Vec<NodeId> = Vec::new();
        let close = |out: &mut String, depth: usize| {
            let _ = writeln!(out, "{}}};", "\t".repeat(depth));
        };
        for node in self.walk() {
            while open.last().copied() != self.parent(node) {
                open.pop();
                close(&mut out, open.len());
            }
            let indent = "\t".repeat(open.len());
            let name = if node == Self::ROOT { "/" } else { self.name(node) };
            let _ = writeln!(out, "\n{indent}{name} {{");
            if let Some(ph) = self.phandle_if_any(node) {
                let _ = writeln!(out, "{indent}\tphandle = <{ph:#010x}>;");
            }
            for p in self.props(node) {
                let _ = writeln!(out, "{indent}\t{}{};", p.name, dts_value(&p.value));
            }
            open.push(node);
        }
        while open.pop().is_some() {
            close(&mut out, open.len());
        }
        out
    }
}

/// Iterator over all nodes, see [`DeviceTree::walk`].
pub struct Walk<'a> {
    tree: &'a DeviceTree,
    todo: Vec<NodeId>,
}

impl Iterator for Walk<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let node = self.todo.pop()?;
        self.todo.extend(self.tree.children(node).iter().rev());
        Some(node)
    }
}

fn valid_node_char(c: char) -> bool {
    c.is_ascii_graphic() && c != '/' && c != ':'
}

/// Whether a node may be called that: printable ASCII without the characters that divide paths.
pub(crate) fn valid_node_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(valid_node_char)
}

/// Compares unit addresses part by part (`1f,0`), without regard to case and leading zeros.
fn same_unit(a: &str, b: &str) -> bool {
    let norm = |s: &str| -> String {
        s.split(',')
            .map(|p| {
                let t = p.trim_start_matches('0');
                if t.is_empty() && !p.is_empty() { "0".into() } else { t.to_ascii_lowercase() }
            })
            .collect::<Vec<_>>()
            .join(",")
    };
    a == b || norm(a) == norm(b)
}

/// The whole big-endian 32-bit cells of a value.
fn cells(value: &[u8]) -> impl Iterator<Item = u32> + '_ {
    value.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]))
}

fn dts_value(value: &[u8]) -> String {
    if value.is_empty() {
        return String::new();
    }
    if let Some(body) = value.strip_suffix(&[0]) {
        let parts: Vec<&[u8]> = body.split(|&b| b == 0).collect();
        let texty = |p: &&[u8]| !p.is_empty() && p.iter().all(|b| (0x20..0x7f).contains(b));
        if parts.iter().all(texty) {
            let quoted: Vec<String> = parts
                .iter()
                .map(|p| {
                    format!("\"{}\"", String::from_utf8_lossy(p).replace('\\', "\\\\").replace('"', "\\\""))
                })
                .collect();
            return format!(" = {}", quoted.join(", "));
        }
    }
    let mut out = String::from(" = ");
    if value.len() % 4 == 0 {
        let cells: Vec<String> = cells(value).map(|c| format!("{c:#010x}")).collect();
        let _ = write!(out, "<{}>", cells.join(" "));
    } else {
        let bytes: Vec<String> = value.iter().map(|b| format!("{b:02x}")).collect();
        let _ = write!(out, "[{}]", bytes.join(" "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> DeviceTree {
        let mut t = DeviceTree::new();
        t.set_str(DeviceTree::ROOT, "model", "a model");
        let cpus = t.add_node(DeviceTree::ROOT, "cpus");
        let cpu = t.add_node(cpus, "PowerPC,POWER9@0");
        t.set_u32(cpu, "reg", 0);
        let mem = t.add_node(DeviceTree::ROOT, "memory@0");
        t.set_u64s(mem, "reg", &[0, 1 << 28]);
        t.add_node(DeviceTree::ROOT, "memory@10000000");
        let vdev = t.add_node(DeviceTree::ROOT, "vdevice");
        let scsi = t.add_node(vdev, "v-scsi@71000003");
        t.add_node(scsi, "disk@8000000000000000,0");
        t.add_node(vdev, "vty@71000000");
        let aliases = t.add_node(DeviceTree::ROOT, "aliases");
        t.set_str(aliases, "disk", "/vdevice/v-scsi/disk@8000000000000000,0");
        t.set_str(aliases, "scsi", "/vdevice/v-scsi@71000003");
        t.set_str(aliases, "loop", "loop");
        t
    }

    #[test]
    fn paths() {
        let t = sample();
        let path = |p: &str| t.find(p).map(|n| t.path(n));
        assert_eq!(path("/").unwrap(), "/");
        assert_eq!(path("/memory").unwrap(), "/memory@0");
        assert_eq!(path("/memory@10000000/").unwrap(), "/memory@10000000");
        assert_eq!(path("/MEMORY"), None);
        assert_eq!(path("/memory@1"), None);
        assert_eq!(path("/cpus/@0").unwrap(), "/cpus/PowerPC,POWER9@0");
        assert_eq!(path("/cpus/POWER9").unwrap(), "/cpus/PowerPC,POWER9@0");
        assert_eq!(path("/vdevice/vty@071000000").unwrap(), "/vdevice/vty@71000000");
        assert_eq!(path("scsi/disk").unwrap(), "/vdevice/v-scsi@71000003/disk@8000000000000000,0");
        let mut t = t;
        let v = t.find("/vdevice").unwrap();
        let exact = t.add_node(v, "vty@071000000");
        assert_eq!(t.find("/vdevice/vty@071000000"), Some(exact));
        assert_eq!(t.resolve("disk:1,\\boot").unwrap().1, Some("1,\\boot"));
        assert_eq!(t.resolve("/vdevice:x/vty:y").unwrap().1, Some("y"));
        assert_eq!(t.resolve("/vdevice:x/vty").unwrap().1, None);
        assert_eq!(t.resolve("scsi:9/disk").unwrap(), (t.find("disk").unwrap(), None));
        assert_eq!(t.resolve(""), Err(PathError::Empty));
        assert_eq!(t.resolve("nix/a"), Err(PathError::NoAlias("nix".into())));
        assert_eq!(t.resolve("loop"), Err(PathError::NoAlias("loop".into())));
        assert_eq!(t.resolve("/cpus/x"), Err(PathError::NoNode("x".into())));
    }

    #[test]
    fn removal_leaves_nothing_behind() {
        let mut t = sample();
        let scsi = t.find("scsi").unwrap();
        let disk = t.find("disk").unwrap();
        let ph = t.phandle(disk);
        assert_eq!(t.by_phandle(ph), Some(disk));
        assert!(t.remove_node(scsi));
        assert!(!t.remove_node(scsi));
        assert!(!t.remove_node(DeviceTree::ROOT));
        assert_eq!(t.by_phandle(ph), None);
        assert!(!t.contains(disk));
        t.set_u32(disk, "x", 1);
        assert_eq!((t.prop(disk, "x"), t.name(disk)), (None, ""));
        assert_eq!(t.phandle(disk), 0);
        let again = t.add_node(DeviceTree::ROOT, "new");
        assert!(again != scsi && again != disk && t.phandle(again) != ph);
    }

    #[test]
    fn phandles_are_unique() {
        let mut t = sample();
        let (a, b, c) = (t.find("/cpus").unwrap(), t.find("/vdevice").unwrap(), t.find("/memory").unwrap());
        assert!(t.set_phandle(a, 1));
        assert!(!t.set_phandle(b, 1));
        assert!(!t.set_phandle(b, 0) && !t.set_phandle(b, u32::MAX));
        assert_eq!(t.phandle(b), 2);
        t.set_phandle_ref(c, "interrupt-parent", a);
        assert_eq!(t.prop_u32(c, "interrupt-parent"), Some(1));
    }

    #[test]
    fn properties() {
        let mut t = DeviceTree::new();
        let r = DeviceTree::ROOT;
        t.set_strs(r, "compatible", &["qemu,pseries", "IBM,x"]);
        t.set_u32s(r, "c", &[1, 0xdead_beef]);
        t.set_empty(r, "e");
        assert_eq!(t.prop(r, "compatible").unwrap(), b"qemu,pseries\0IBM,x\0");
        assert_eq!(t.prop_strs(r, "compatible").unwrap(), ["qemu,pseries", "IBM,x"]);
        assert_eq!(t.prop_str(r, "compatible").unwrap(), "qemu,pseries");
        assert_eq!(t.prop(r, "c").unwrap(), [0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(t.prop_u64(r, "c"), Some(0x1_dead_beef));
        assert_eq!(t.prop_u32(r, "e"), None);
        t.set_u32(r, "compatible", 5);
        assert_eq!(t.props(r)[0].name, "compatible");
        assert!(t.remove_prop(r, "compatible") && !t.remove_prop(r, "compatible"));
    }

    #[test]
    fn dts_text() {
        let mut t = DeviceTree::new();
        t.reserve(0x1000, 0x2000);
        t.set_str(DeviceTree::ROOT, "model", "a \"b\"");
        let a = t.add_node(DeviceTree::ROOT, "a");
        let b = t.add_node(a, "b@1");
        t.set_bytes(b, "mac", [1, 2, 3, 4, 5, 6]);
        t.set_empty(b, "e");
        let c = t.add_node(DeviceTree::ROOT, "c");
        t.set_u32s(c, "reg", &[0, 16]);
        t.phandle(c);
        let want = "/dts-v1/;\n/memreserve/ 0x0000000000001000 0x0000000000002000;\n\n/ {\n\
                    \tmodel = \"a \\\"b\\\"\";\n\n\ta {\n\n\t\tb@1 {\n\t\t\tmac = [01 02 03 04 05 06];\n\
                    \t\t\te;\n\t\t};\n\t};\n\n\tc {\n\t\tphandle = <0x00000001>;\n\
                    \t\treg = <0x00000000 0x00000010>;\n\t};\n};\n";
        assert_eq!(t.to_dts(), want);
    }

    #[test]
    fn saved_state_is_checked() {
        let mut t = sample();
        t.reserve(1, 2);
        let v = t.find("/vdevice").unwrap();
        t.phandle(v);
        t.remove_node(t.find("/cpus").unwrap());
        let json = serde_json::to_string(&t).unwrap();
        let back: DeviceTree = serde_json::from_str(&json).unwrap();
        assert_eq!(back, t);

        let bad = |edit: &dyn Fn(&mut TreeState)| {
            let mut s = TreeState::from(t.clone());
            edit(&mut s);
            DeviceTree::try_from(s).unwrap_err().0
        };
        assert_eq!(bad(&|s| s.nodes.clear()), "no root node");
        assert_eq!(bad(&|s| s.next_node = 2), "node number not yet given out");
        assert_eq!(bad(&|s| s.nodes[0].1.children.clear()), "a node is unreachable or listed twice");
        assert_eq!(
            bad(&|s| {
                let c = s.nodes[0].1.children[0];
                s.nodes[0].1.children.push(c);
            }),
            "a node is unreachable or listed twice"
        );
        assert_eq!(bad(&|s| s.nodes[1].1.parent = Some(NodeId(99))), "child and parent disagree");
        assert_eq!(bad(&|s| s.nodes[1].1.phandle = Some(0)), "phandle invalid or used twice");
        assert_eq!(bad(&|s| s.nodes.push(s.nodes[1].clone())), "a node occurs twice");
    }
}
