//! Predecoded pages of instructions.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use arch::Cpu;
use isa::{Insn, Level, Op};
use mem::GuestRam;

/// One predecoded word.
#[derive(Clone, Copy, Default)]
pub struct Decoded {
    /// The operation; `Undecoded` until first met.
    pub op: Op,
    /// The word is a prefix; the suffix follows.
    pub prefixed: bool,
    /// The word.
    pub raw: u32,
}

/// The instructions of one 4 KiB page of real memory under one byte order and level.
pub struct CodePage {
    ra: u64,
    version: u32,
    words: [Cell<Decoded>; 1024],
}

impl CodePage {
    /// The predecoded word at `slot`.
    #[inline(always)]
    pub fn get(&self, slot: usize) -> Decoded {
        self.words[slot & 1023].get()
    }

    /// The word at `slot` as it stands in memory (0 past the page's end).
    pub fn raw(&self, slot: usize, le: bool, ram: &GuestRam) -> u32 {
        if slot >= 1024 {
            return 0;
        }
        let w = ram.load_le(self.ra + 4 * slot as u64, 4).unwrap_or(0) as u32;
        if le { w } else { w.swap_bytes() }
    }

    /// Decode the word at `slot`.
    #[cold]
    #[inline(never)]
    pub fn decode(&self, slot: usize, le: bool, level: Level, ram: &GuestRam) -> Decoded {
        let raw = self.raw(slot, le, ram);
        let d = if raw >> 26 == 1 && level >= Level::V3_1 {
            let op = isa::decode(Insn::prefixed(raw, self.raw(slot + 1, le, ram)), level);
            Decoded { op, prefixed: true, raw }
        } else {
            Decoded { op: isa::decode(Insn::new(raw), level), prefixed: false, raw }
        };
        self.words[slot & 1023].set(d);
        d
    }
}

/// Pages by real address and byte order; a page whose memory changed is made anew.
pub struct CodeCache {
    pages: HashMap<u64, Rc<CodePage>>,
    recent: [Option<(u64, Rc<CodePage>)>; 64],
}

impl Default for CodeCache {
    fn default() -> Self {
        CodeCache { pages: HashMap::new(), recent: [const { None }; 64] }
    }
}

/// Most pages kept (8 bytes a word: 8 KiB a page).
const MOST: usize = 8192;

impl CodeCache {
    /// The page holding real address `ra` for the processor's byte order.
    #[inline]
    pub fn page(&mut self, cpu: &mut Cpu, ra: u64) -> Rc<CodePage> {
        let key = (ra & !4095) | cpu.st.mode.le as u64 | (cpu.st.level as u64) << 1;
        let slot = (ra >> 12) as usize & 63;
        if let Some((k, p)) = &self.recent[slot]
            && *k == key
            && p.version == cpu.sh.ram.code_version(ra)
        {
            return p.clone();
        }
        self.find(cpu, key, slot)
    }

    fn find(&mut self, cpu: &mut Cpu, key: u64, slot: usize) -> Rc<CodePage> {
        let ra = key & !4095;
        // The mark comes before the version is read, and the version before any word.
        cpu.mark_code(ra);
        let version = cpu.sh.ram.code_version(ra);
        let fresh = match self.pages.get(&key) {
            Some(p) if p.version == version => p.clone(),
            _ => {
                if self.pages.len() >= MOST {
                    self.pages.clear();
                }
                let p = Rc::new(CodePage { ra, version, words: [const { Cell::new(Decoded::EMPTY) }; 1024] });
                self.pages.insert(key, p.clone());
                p
            }
        };
        self.recent[slot] = Some((key, fresh.clone()));
        fresh
    }
}

impl Decoded {
    const EMPTY: Decoded = Decoded { op: Op::Undecoded, prefixed: false, raw: 0 };
}
