//! The flattened form of a [`DeviceTree`] (Devicetree Specification chapter 5, format version 17).

use crate::tree::{DeviceTree, NodeId, valid_node_name};
use std::collections::HashMap;

/// Largest blob that is read, in bytes.
pub const MAX_FDT_SIZE: usize = 16 << 20;
/// Most nodes that are read.
pub const MAX_NODES: usize = 1 << 16;
/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;
/// Most properties that are read, in all nodes together.
pub const MAX_PROPS: usize = 1 << 17;
/// Most properties of one node that are read.
pub const MAX_NODE_PROPS: usize = 1024;
/// Longest node or property name that is read, in bytes.
pub const MAX_NAME: usize = 255;
/// Most memory reservations that are read.
pub const MAX_RESERVATIONS: usize = 1024;

const MAGIC: u32 = 0xd00d_feed;
const VERSION: u32 = 17;
const LAST_COMPATIBLE: u32 = 16;
const HEADER_SIZE: usize = 40;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Why bytes are no usable flattened device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FdtError {
    /// The first four bytes are not those of a flattened tree.
    #[error("not a flattened device tree")]
    BadMagic,
    /// Another version than 16 and 17.
    #[error("flattened device tree of unsupported version {0}")]
    BadVersion(u32),
    /// The blob, or a part of it, ends too early.
    #[error("flattened device tree is truncated")]
    Truncated,
    /// More than this reader accepts.
    #[error("flattened device tree is too large: too many {0}")]
    TooLarge(&'static str),
    /// The structure block does not follow the rules.
    #[error("flattened device tree is malformed: {0}")]
    Malformed(&'static str),
}

impl DeviceTree {
    /// The tree as a flattened tree of version 17. Nodes that were given a phandle carry it as their first
    /// property.
    pub fn to_fdt(&self) -> Vec<u8> {
        let mut strings = Strings::default();
        let mut body: Vec<u8> = Vec::new();
        let mut open: Vec<NodeId> = Vec::new();
        for node in self.walk() {
            while open.last().copied() != self.parent(node) {
                open.pop();
                push(&mut body, END_NODE);
            }
            push(&mut body, BEGIN_NODE);
            body.extend_from_slice(self.name(node).as_bytes());
            body.push(0);
            pad(&mut body, 4);
            if let Some(ph) = self.phandle_if_any(node) {
                push_prop(&mut body, strings.offset("phandle"), &ph.to_be_bytes());
            }
            for p in self.props(node) {
                push_prop(&mut body, strings.offset(&p.name), &p.value);
            }
            open.push(node);
        }
        for _ in open {
            push(&mut body, END_NODE);
        }
        push(&mut body, END);

        let reserve_at = HEADER_SIZE;
        let struct_at = reserve_at + (self.reservations().len() + 1) * 16;
        let strings_at = struct_at + body.len();
        let total = (strings_at + strings.block.len()).next_multiple_of(8);
        let mut out = Vec::with_capacity(total);
        let header = [
            MAGIC,
            total as u32,
            struct_at as u32,
            strings_at as u32,
            reserve_at as u32,
            VERSION,
            LAST_COMPATIBLE,
            self.boot_cpuid(),
            strings.block.len() as u32,
            body.len() as u32,
        ];
        for word in header {
            push(&mut out, word);
        }
        for r in self.reservations() {
            out.extend_from_slice(&r.addr.to_be_bytes());
            out.extend_from_slice(&r.size.to_be_bytes());
        }
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&body);
        out.extend_from_slice(&strings.block);
        pad(&mut out, 8);
        out
    }

    /// Reads a flattened tree of version 16 or 17 from bytes that need not be trusted. Bytes after the
    /// blob's own size are ignored. `phandle` and `linux,phandle` become the nodes' phandles; the `name`
    /// property, which the format does without, is dropped.
    pub fn from_fdt(blob: &[u8]) -> Result<DeviceTree, FdtError> {
        if word(blob, 0)? != MAGIC {
            return Err(FdtError::BadMagic);
        }
        let at = |index: usize| word(blob, index * 4);
        let total = at(1)? as usize;
        if total > MAX_FDT_SIZE {
            return Err(FdtError::TooLarge("bytes"));
        }
        let blob = blob.get(..total).ok_or(FdtError::Truncated)?;
        let version = word(blob, 20)?;
        let compatible = word(blob, 24)?;
        if version < LAST_COMPATIBLE || compatible > VERSION {
            return Err(FdtError::BadVersion(version));
        }
        let tail = |index: usize| -> Result<&[u8], FdtError> {
            blob.get(word(blob, index * 4)? as usize..).ok_or(FdtError::Truncated)
        };
        let strings = tail(3)?.get(..word(blob, 32)? as usize).ok_or(FdtError::Truncated)?;
        let mut body = tail(2)?;
        if version >= 17 {
            body = body.get(..word(blob, 36)? as usize).ok_or(FdtError::Truncated)?;
        }
        let mut tree = DeviceTree::new();
        tree.set_boot_cpuid(word(blob, 28)?);
        read_reservations(&mut tree, tail(4)?)?;
        Reader { body, strings, at: 0, props: 0 }.read(&mut tree)?;
        Ok(tree)
    }
}

fn read_reservations(tree: &mut DeviceTree, list: &[u8]) -> Result<(), FdtError> {
    for entry in list.chunks(16) {
        let (addr, size) = (double(entry, 0)?, double(entry, 8)?);
        if size == 0 {
            return Ok(());
        }
        if tree.reservations().len() == MAX_RESERVATIONS {
            return Err(FdtError::TooLarge("memory reservations"));
        }
        tree.reserve(addr, size);
    }
    Err(FdtError::Truncated)
}

struct Reader<'a> {
    body: &'a [u8],
    strings: &'a [u8],
    at: usize,
    props: usize,
}

impl<'a> Reader<'a> {
    fn word(&mut self) -> Result<u32, FdtError> {
        let w = word(self.body, self.at)?;
        self.at += 4;
        Ok(w)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(4);
    }

    fn read(&mut self, tree: &mut DeviceTree) -> Result<(), FdtError> {
        let mut open: Vec<NodeId> = Vec::new();
        let mut seen_root = false;
        loop {
            match self.word()? {
                NOP => {}
                BEGIN_NODE => {
                    let name = c_string(self.body, self.at)?;
                    self.at += name.len() + 1;
                    self.align();
                    let node = match open.last() {
                        None if seen_root => return Err(FdtError::Malformed("two root nodes")),
                        None => {
                            seen_root = true;
                            DeviceTree::ROOT
                        }
                        Some(_) if open.len() >= MAX_DEPTH => return Err(FdtError::TooLarge("levels")),
                        Some(_) if tree.node_count() >= MAX_NODES => return Err(FdtError::TooLarge("nodes")),
                        Some(_) if !valid_node_name(name) => {
                            return Err(FdtError::Malformed("bad node name"));
                        }
                        Some(&parent) => tree.add_node(parent, name),
                    };
                    open.push(node);
                }
                END_NODE => {
                    open.pop().ok_or(FdtError::Malformed("end of a node that was not begun"))?;
                }
                PROP => {
                    let node = *open.last().ok_or(FdtError::Malformed("property outside a node"))?;
                    self.property(tree, node)?;
                }
                END if open.is_empty() && seen_root => return Ok(()),
                END => return Err(FdtError::Malformed("a node does not end")),
                _ => return Err(FdtError::Malformed("unknown token")),
            }
        }
    }

    fn property(&mut self, tree: &mut DeviceTree, node: NodeId) -> Result<(), FdtError> {
        let len = self.word()? as usize;
        let name = c_string(self.strings, self.word()? as usize)?;
        let end = self.at.checked_add(len).ok_or(FdtError::Truncated)?;
        let value = self.body.get(self.at..end).ok_or(FdtError::Truncated)?;
        self.at = end;
        self.align();
        self.props += 1;
        if self.props > MAX_PROPS || tree.props(node).len() >= MAX_NODE_PROPS {
            return Err(FdtError::TooLarge("properties"));
        }
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(FdtError::Malformed("bad property name"));
        }
        match name {
            "phandle" | "linux,phandle" => {
                let ph = value.try_into().map(u32::from_be_bytes).unwrap_or(0);
                if !tree.set_phandle(node, ph) {
                    return Err(FdtError::Malformed("bad phandle"));
                }
            }
            "name" => {}
            _ => tree.set_bytes(node, name, value),
        }
        Ok(())
    }
}

/// The strings block under construction, each name once.
#[derive(Default)]
struct Strings {
    block: Vec<u8>,
    known: HashMap<String, u32>,
}

impl Strings {
    fn offset(&mut self, name: &str) -> u32 {
        if let Some(&at) = self.known.get(name) {
            return at;
        }
        let at = self.block.len() as u32;
        self.block.extend_from_slice(name.as_bytes());
        self.block.push(0);
        self.known.insert(name.into(), at);
        at
    }
}

fn push(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_be_bytes());
}

fn pad(out: &mut Vec<u8>, align: usize) {
    out.resize(out.len().next_multiple_of(align), 0);
}

fn push_prop(out: &mut Vec<u8>, name_at: u32, value: &[u8]) {
    push(out, PROP);
    push(out, value.len() as u32);
    push(out, name_at);
    out.extend_from_slice(value);
    pad(out, 4);
}

fn word(bytes: &[u8], at: usize) -> Result<u32, FdtError> {
    let chunk = bytes.get(at..).and_then(|b| b.first_chunk()).ok_or(FdtError::Truncated)?;
    Ok(u32::from_be_bytes(*chunk))
}

fn double(bytes: &[u8], at: usize) -> Result<u64, FdtError> {
    let chunk = bytes.get(at..).and_then(|b| b.first_chunk()).ok_or(FdtError::Truncated)?;
    Ok(u64::from_be_bytes(*chunk))
}

/// The zero-terminated ASCII string at an offset.
fn c_string(bytes: &[u8], at: usize) -> Result<&str, FdtError> {
    let rest = bytes.get(at..).ok_or(FdtError::Truncated)?;
    let window = &rest[..rest.len().min(MAX_NAME + 1)];
    match window.iter().position(|&b| b == 0) {
        Some(end) => std::str::from_utf8(&window[..end]).map_err(|_| FdtError::Malformed("name is not text")),
        None if rest.len() > MAX_NAME => Err(FdtError::Malformed("name too long")),
        None => Err(FdtError::Truncated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> DeviceTree {
        let mut t = DeviceTree::new();
        t.reserve(0x10_0000, 0x4000);
        t.set_boot_cpuid(8);
        t.set_strs(DeviceTree::ROOT, "compatible", &["a,b", "c"]);
        let a = t.add_node(DeviceTree::ROOT, "a@1");
        let b = t.add_node(a, "b");
        t.set_bytes(b, "odd", [1, 2, 3]);
        t.set_empty(b, "e");
        let c = t.add_node(DeviceTree::ROOT, "c");
        t.set_phandle_ref(b, "to", c);
        t.set_str(c, "compatible", "x");
        t
    }

    #[test]
    fn there_and_back() {
        let t = sample();
        let blob = t.to_fdt();
        assert_eq!(blob.len() % 8, 0);
        let back = DeviceTree::from_fdt(&blob).unwrap();
        assert_eq!(back.to_dts(), t.to_dts());
        assert_eq!((back.boot_cpuid(), back.reservations()), (8, t.reservations()));
        assert_eq!(back.to_fdt(), blob);
        // Each property name stands in the strings block once.
        assert_eq!(blob.windows(10).filter(|w| w == b"compatible").count(), 1);
    }

    #[test]
    fn header_words() {
        let blob = DeviceTree::new().to_fdt();
        let words: Vec<u32> = (0..10).map(|i| word(&blob, i * 4).unwrap()).collect();
        assert_eq!(words, [MAGIC, 72, 56, 72, 40, 17, 16, 0, 0, 16]);
        assert_eq!(blob[56..], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 9]);
    }

    fn patched(at: usize, value: u32) -> Result<DeviceTree, FdtError> {
        let mut blob = sample().to_fdt();
        blob[at..at + 4].copy_from_slice(&value.to_be_bytes());
        DeviceTree::from_fdt(&blob)
    }

    #[test]
    fn bad_blobs_are_refused() {
        let body = word(&sample().to_fdt(), 8).unwrap() as usize;
        assert_eq!(DeviceTree::from_fdt(&[]), Err(FdtError::Truncated));
        assert_eq!(patched(0, 0), Err(FdtError::BadMagic));
        assert_eq!(patched(4, 1 << 20), Err(FdtError::Truncated));
        assert_eq!(patched(4, 1 << 30), Err(FdtError::TooLarge("bytes")));
        assert_eq!(patched(8, u32::MAX), Err(FdtError::Truncated));
        assert_eq!(patched(20, 3), Err(FdtError::BadVersion(3)));
        assert_eq!(patched(32, u32::MAX), Err(FdtError::Truncated));
        assert_eq!(patched(body, 7), Err(FdtError::Malformed("unknown token")));
        assert_eq!(patched(body, END), Err(FdtError::Malformed("a node does not end")));
        assert_eq!(patched(body, PROP), Err(FdtError::Malformed("property outside a node")));
        assert_eq!(patched(body, END_NODE), Err(FdtError::Malformed("end of a node that was not begun")));
    }

    /// A blob around a structure block of these words.
    fn with_body(words: &[u32]) -> Vec<u8> {
        let mut blob = DeviceTree::new().to_fdt();
        blob.truncate(56);
        words.iter().for_each(|&w| push(&mut blob, w));
        let size = (words.len() * 4) as u32;
        for (index, v) in [(1, 56 + size), (3, 56 + size), (9, size)] {
            blob[index * 4..index * 4 + 4].copy_from_slice(&u32::to_be_bytes(v));
        }
        blob
    }

    #[test]
    fn limits_hold() {
        let deep: Vec<u32> =
            [BEGIN_NODE, 0].into_iter().chain([BEGIN_NODE, 0x6100_0000].repeat(100)).collect();
        assert_eq!(DeviceTree::from_fdt(&with_body(&deep)), Err(FdtError::TooLarge("levels")));
        let wide: Vec<u32> = [BEGIN_NODE, 0]
            .into_iter()
            .chain([BEGIN_NODE, 0x6100_0000, END_NODE].repeat(MAX_NODES))
            .collect();
        assert_eq!(DeviceTree::from_fdt(&with_body(&wide)), Err(FdtError::TooLarge("nodes")));
        let long: Vec<u32> = [BEGIN_NODE, 0, BEGIN_NODE].into_iter().chain([0x6161_6161; 70]).collect();
        assert_eq!(DeviceTree::from_fdt(&with_body(&long)), Err(FdtError::Malformed("name too long")));
        let two = [BEGIN_NODE, 0, END_NODE, BEGIN_NODE, 0, END_NODE, END];
        assert_eq!(DeviceTree::from_fdt(&with_body(&two)), Err(FdtError::Malformed("two root nodes")));
        // A name with a character that divides paths could never be found again: "a/b", "a:b".
        for name in [0x612f_6200, 0x613a_6200] {
            let body = [BEGIN_NODE, 0, BEGIN_NODE, name, END_NODE, END_NODE, END];
            assert_eq!(DeviceTree::from_fdt(&with_body(&body)), Err(FdtError::Malformed("bad node name")));
        }
    }

    /// Any damage gives an error or a tree that survives another round trip.
    #[test]
    fn damaged_blobs_do_no_harm() {
        let good = sample().to_fdt();
        let mut seed = 0x1234_5678_9abc_def1_u64;
        let mut next = |bound: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % bound as u64) as usize
        };
        let mut parsed = 0;
        for _ in 0..20_000 {
            let mut blob = good.clone();
            for _ in 0..1 + next(4) {
                let at = next(blob.len());
                blob[at] = [0, 1, 0xff, next(256) as u8][next(4)];
            }
            blob.truncate(good.len() - if next(8) == 0 { next(good.len()) } else { 0 });
            if let Ok(t) = DeviceTree::from_fdt(&blob) {
                parsed += 1;
                assert_eq!(DeviceTree::from_fdt(&t.to_fdt()).unwrap().to_dts(), t.to_dts());
            }
        }
        assert!(parsed > 100, "the mutations never leave a readable tree");
    }
}
