//! What the processors of a partition have in common: translated code, and everything known about it.
//!
//! Code is made, linked and forgotten under a lock, while other processors run code that is there. Three rules make that
//! safe. What is written anew is reached by nobody before it is complete. What is changed while it may run (the
//! displacement of a jump, the page that one between pages expects) is a word that is naturally aligned and written at
//! once, and whatever pair of old and new words a processor meets leads to code that is right for it: a jump between pages
//! is never made for another page than the first one, and one that is not made yet goes on by a look-up. And the memory of
//! code is used again only when no processor is inside of translated code: [`Common::members`] says who is.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Options;
use crate::asm::Asm;
use crate::buf::CodeBuf;
use crate::cache::Cache;
use crate::emit::{ExitPoint, Lists};
use crate::perf::PerfMap;
use crate::thunk::{self, Thunks};

/// Code bytes that one block never exceeds.
pub const BLOCK_ROOM: usize = 128 << 10;

/// Changes that are kept for processors that have not followed them yet.
const LOG: usize = 4096;

/// Translated code that the processors of one partition share: same memory, same model.
pub struct CodeCache {
    common: Mutex<Common>,
}

/// What the lock is for.
pub struct Common {
    pub buf: CodeBuf,
    pub pos: usize,
    /// Where pieces that seldom run go, in the buffer's other half.
    pub cold: usize,
    /// Where blocks begin, behind the common pieces.
    pub start: usize,
    pub thunks: Thunks,
    pub cache: Cache,
    pub lists: Lists,
    pub perf: Option<PerfMap>,
    #[cfg(feature = "tier2")]
    pub tier2: Option<Box<crate::tier2::Regions>>,
    pub options: Options,
    pub host: Host,
    /// How often everything was forgotten.
    pub generation: u64,
    /// Everything is to be forgotten when nobody is inside of code; with the memory given back (`true`) or not.
    pub full: Option<bool>,
    /// Processors; whether each is inside of code, and may come back to it.
    members: Vec<Arc<AtomicBool>>,
    /// The last changes of where blocks begin: tags, and addresses or 0.
    log: VecDeque<(u64, u64)>,
    /// How many there were in all.
    logged: u64,
}

/// What the host's processor has beyond what is needed.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub bmi2: bool,
    /// AVX2 and FMA.
    pub avx: bool,
    /// AES and carry-less multiplication.
    pub crypto: bool,
}

impl CodeCache {
    /// An empty cache; `None` when the host's processor lacks what emitted code needs, or its kernel refuses the
    /// memory.
    pub fn new(o: &Options) -> Option<Arc<Self>> {
        let has = std::arch::is_x86_feature_detected!("sse4.2")
            && std::arch::is_x86_feature_detected!("ssse3")
            && std::arch::is_x86_feature_detected!("popcnt")
            && std::arch::is_x86_feature_detected!("lzcnt")
            && std::arch::is_x86_feature_detected!("bmi1");
        if !has {
            return None;
        }
        let len = o.code_bytes.max(4 * BLOCK_ROOM).next_multiple_of(1 << 16).min(1 << 30);
        let mut buf = match CodeBuf::new(len) {
            Ok(b) => b,
            Err(e) => {
                tracing::warn!("no memory for translated code: {e}");
                return None;
            }
        };
        let mut a = Asm { buf: buf.bytes(), pos: 0 };
        let thunks = thunk::emit(&mut a);
        let start = a.pos;
        let mut perf = if o.perf_map || o.perf_ops { PerfMap::open() } else { None };
        if let Some(m) = &mut perf {
            let names = thunks.names();
            let ends = names.iter().skip(1).map(|n| n.0).chain([start]);
            names.iter().zip(ends).for_each(|(n, end)| m.add_piece(buf.address(n.0), end - n.0, n.1));
        }
        let host = Host {
            bmi2: std::arch::is_x86_feature_detected!("bmi2"),
            avx: std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma"),
            crypto: std::arch::is_x86_feature_detected!("aes")
                && std::arch::is_x86_feature_detected!("pclmulqdq"),
        };
        let common = Common {
            cold: buf.cold(),
            buf,
            pos: start,
            start,
            thunks,
            cache: Cache::new(),
            lists: Lists::default(),
            perf,
            #[cfg(feature = "tier2")]
            tier2: crate::tier2::Regions::new(o.tier2).map(Box::new),
            options: o.clone(),
            host,
            generation: 0,
            full: None,
            members: Vec::new(),
            log: VecDeque::new(),
            logged: 0,
        };
        Some(Arc::new(CodeCache { common: Mutex::new(common) }))
    }

    /// Whoever has it waits for no other processor.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Common> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Common {
    /// One more processor; what it gets says that it is inside of code.
    pub fn join(&mut self) -> Arc<AtomicBool> {
        let inside = Arc::new(AtomicBool::new(false));
        self.members.retain(|m| Arc::strong_count(m) > 1);
        self.members.push(inside.clone());
        inside
    }

    /// Whether the memory of code may be used again. Nobody enters code while the lock is held.
    fn is_quiet(&self) -> bool {
        // Pairs with the release when one leaves code: all that it did with it is done.
        !self.members.iter().any(|m| m.load(Ordering::Acquire))
    }

    /// Bytes of code made since everything was forgotten.
    pub fn kept(&self) -> usize {
        self.pos - self.start + self.cold - self.buf.cold()
    }

    /// Whether there is room for another block.
    pub fn has_room(&self) -> bool {
        self.pos + BLOCK_ROOM <= self.buf.cold() && self.cold + BLOCK_ROOM <= self.buf.len()
    }

    /// Forget everything, as was asked for. False while some processor is inside of code.
    pub fn forget(&mut self) -> bool {
        if !self.is_quiet() {
            return false;
        }
        let release = self.full.take() == Some(true);
        self.generation += 1;
        self.log.clear();
        self.pos = self.start;
        self.cold = self.buf.cold();
        self.cache.clear();
        #[cfg(feature = "tier2")]
        if let Some(t) = &mut self.tier2 {
            t.forget(|_| true);
            t.cool();
        }
        if release {
            self.buf.release(self.start);
            self.cache = Cache::new();
            self.lists = Lists::default();
        }
        true
    }

    /// Changes so far.
    pub fn changes(&self) -> u64 {
        self.logged
    }

    /// The changes from number `from` on; `None` when they are not kept any more.
    pub fn changes_from(&self, from: u64) -> Option<impl Iterator<Item = (u64, u64)> + '_> {
        let first = self.logged - self.log.len() as u64;
        let skip = from.checked_sub(first)?;
        Some(self.log.iter().skip(skip as usize).copied())
    }

    fn change(log: &mut VecDeque<(u64, u64)>, logged: &mut u64, tag: u64, address: u64) {
        if log.len() >= LOG {
            log.pop_front();
        }
        log.push_back((tag, address));
        *logged += 1;
    }

    /// Let exit `e` jump to block `n` of the page at real address `page`, host address `host`.
    pub fn link(&mut self, e: u32, n: u32, page: u64, host: u64) {
        let from = &self.cache.exits[e as usize];
        if from.point.page == 0 && from.home() != page {
            // The page is mapped elsewhere by now: this way goes through the look-up.
            return;
        }
        let b = self.cache.block(n);
        if !from.is_in_mode_of(b.tag) {
            return;
        }
        let code = b.code as usize;
        if !self.cache.link(e, n, page) {
            return;
        }
        let p = self.cache.exits[e as usize].point;
        self.buf.point(p.jump as usize, code);
        if p.page != 0 {
            self.buf.put(p.page as usize, host);
        }
    }

    fn unlink(buf: &mut CodeBuf, p: &ExitPoint) {
        if p.page != 0 {
            buf.put(p.page as usize, 0);
        }
        buf.point(p.jump as usize, p.stub as usize);
    }

    /// Forget the blocks of a page. True if there was one.
    pub fn drop_page(&mut self, page: u64) -> bool {
        let Common { buf, cache, log, logged, .. } = self;
        let was = cache.drop_page(page, |p| Self::unlink(buf, p), |tag| Self::change(log, logged, tag, 0));
        #[cfg(feature = "tier2")]
        self.forget_regions(page);
        was
    }

    /// Let all ways to block `n` go to the code at `offset`.
    #[cfg(feature = "tier2")]
    pub fn point_at(&mut self, n: u32, offset: usize) {
        let Common { buf, cache, log, logged, .. } = self;
        let tag = cache.replace(n, offset, |p| buf.point(p.jump as usize, offset));
        Self::change(log, logged, tag, buf.address(offset));
    }
}
