//! Blocks by address, their links, and the pages they were made from.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::TABLE;
use crate::emit::ExitPoint;

/// A hasher for numbers that are well spread in their low bits once multiplied.
#[derive(Default)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(b as u64);
        }
    }
    fn write_u64(&mut self, x: u64) {
        let m = (self.0 ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = m ^ m >> 29;
    }
}

type Map<V> = HashMap<u64, V, BuildHasherDefault<Mix>>;

/// One entry of the table that translated code searches: what is compared, the host address of the instruction with the
/// mode on top (0: nothing); and the address of the code. (An array of numbers, of which zeroes cost nothing.)
type TableEntry = [u64; 2];

/// A block.
pub struct Block {
    /// Code offset of its first instruction.
    pub code: u32,
    /// The first of the exits that jump here; they are chained.
    incoming: u32,
    /// Its tag in the table.
    pub tag: u64,
}

/// The end of a chain of exits.
const NONE: u32 = u32::MAX;

/// A page that blocks were made from.
pub struct Page {
    /// Version of its code.
    pub version: u32,
    blocks: Vec<(u64, u32)>,
}

#[cfg(feature = "tier2")]
impl Page {
    /// Numbers of the instructions in the page that blocks begin with.
    pub fn begun(&self) -> impl Iterator<Item = usize> + '_ {
        self.blocks.iter().map(|b| (b.0 as usize & 4095) / 4)
    }
}

/// An exit of some block.
pub struct ExitRecord {
    /// The places to patch.
    pub point: ExitPoint,
    /// Number of the page of its block.
    home: u32,
    /// Number of the page that it was made to jump to; from then on there is no other for it.
    target: u32,
    /// The next exit that jumps to the same block.
    next: u32,
    /// Mode of the code that it leaves, as a number.
    mode: u16,
    linked: bool,
}

impl ExitRecord {
    /// Real address of the page of its block.
    pub fn home(&self) -> u64 {
        (self.home as u64) << 12
    }

    /// Whether it may go to a block with this tag: a return may be in another mode than the call.
    pub fn is_in_mode_of(&self, tag: u64) -> bool {
        tag >> 48 == self.mode as u64
    }
}

/// Everything there is.
pub struct Cache {
    blocks: Vec<Block>,
    by_key: Map<u32>,
    /// By real page address.
    pub pages: Map<Page>,
    /// By exit number.
    pub exits: Vec<ExitRecord>,
}

/// The table in which the code of one processor looks for blocks.
pub struct Table(Box<[TableEntry]>);

impl Table {
    /// An empty one.
    pub fn new() -> Self {
        Table(vec![[0; 2]; TABLE].into())
    }

    /// Its address.
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    fn entry(&mut self, tag: u64) -> &mut TableEntry {
        &mut self.0[(tag >> 2) as usize & (TABLE - 1)]
    }

    /// Let indirect branches find the block with this tag at `code`.
    pub fn publish(&mut self, tag: u64, code: u64) {
        *self.entry(tag) = [tag, code];
    }

    /// That block, if it is there, is at `code` now; 0: it is gone.
    pub fn change(&mut self, tag: u64, code: u64) {
        let e = self.entry(tag);
        if e[0] == tag {
            *e = if code == 0 { [0; 2] } else { [tag, code] };
        }
    }
}

impl Cache {
    /// Nothing.
    pub fn new() -> Self {
        Cache { blocks: Vec::new(), by_key: Map::default(), pages: Map::default(), exits: Vec::new() }
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        let Cache { blocks, by_key, pages, exits } = self;
        blocks.clear();
        by_key.clear();
        pages.clear();
        exits.clear();
    }

    /// The number of the block for real address and mode `key`.
    pub fn find(&self, key: u64) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    /// A block by number.
    pub fn block(&self, n: u32) -> &Block {
        &self.blocks[n as usize]
    }

    /// Enter a block made from the page at `page`, with its exits.
    pub fn add(&mut self, key: u64, page: u64, code: usize, tag: u64, exits: &[ExitPoint]) -> u32 {
        let n = self.blocks.len() as u32;
        self.blocks.push(Block { code: code as u32, tag, incoming: NONE });
        self.by_key.insert(key, n);
        if let Some(p) = self.pages.get_mut(&page) {
            p.blocks.push((key, n));
        }
        self.add_exits(page, (key >> 48) as u16, exits);
        n
    }

    /// Enter exits of code made from the page at `page`, for mode number `mode`.
    pub fn add_exits(&mut self, page: u64, mode: u16, exits: &[ExitPoint]) {
        let home = (page >> 12) as u32;
        let record = |&point| ExitRecord { point, home, target: NONE, next: NONE, mode, linked: false };
        self.exits.extend(exits.iter().map(record));
    }

    /// Let block `n` be the code at offset `code`; `patch` is called for each exit that jumps to it. Its tag.
    #[cfg(feature = "tier2")]
    pub fn replace(&mut self, n: u32, code: usize, mut patch: impl FnMut(&ExitPoint)) -> u64 {
        let b = &mut self.blocks[n as usize];
        b.code = code as u32;
        let mut x = b.incoming;
        while let Some(r) = self.exits.get(x as usize) {
            patch(&r.point);
            x = r.next;
        }
        b.tag
    }

    /// Note a page whose code is of `version`.
    pub fn add_page(&mut self, page: u64, version: u32) {
        self.pages.insert(page, Page { version, blocks: Vec::new() });
    }

    /// Note that exit `e` will jump to block `n` of the page at real address `page`; false when it jumps already, or had
    /// another page before.
    pub fn link(&mut self, e: u32, n: u32, page: u64) -> bool {
        let r = &mut self.exits[e as usize];
        let page = (page >> 12) as u32;
        if r.target != NONE && r.target != page || std::mem::replace(&mut r.linked, true) {
            return false;
        }
        r.target = page;
        r.next = std::mem::replace(&mut self.blocks[n as usize].incoming, e);
        true
    }

    /// Forget the blocks of a page; `unlink` is called for each exit that jumped to one of them, `gone` for their tags.
    pub fn drop_page(
        &mut self,
        page: u64,
        mut unlink: impl FnMut(&ExitPoint),
        mut gone: impl FnMut(u64),
    ) -> bool {
        let Some(p) = self.pages.remove(&page) else { return false };
        for (key, n) in p.blocks {
            self.by_key.remove(&key);
            let b = &mut self.blocks[n as usize];
            gone(b.tag);
            let mut x = std::mem::replace(&mut b.incoming, NONE);
            while let Some(r) = self.exits.get_mut(x as usize) {
                r.linked = false;
                unlink(&r.point);
                x = std::mem::replace(&mut r.next, NONE);
            }
        }
        true
    }
}
