//! The second tier: regions with loops, compiled by Cranelift on threads of their own.
//!
//! Tier 1 counts how often backward branches are taken. When one was taken often, the page of its target is copied
//! and handed to a thread, which picks the blocks that the loop runs through ([`region`]), makes intermediate code
//! of them with the same semantic functions ([`lower`], [`build`]) and compiles it ([`compile`]). An engine
//! takes the answer between two entries of translated code, looks whether the page is still the same, and lets the
//! block at the loop's head be the region's code from then on.
//!
//! A region is a function of the processor's registers, the TLB and the budget, which gives the number of an exit
//! and the budget left. It has the guest's registers in variables and writes those back that it changed on its ways
//! out; each way out goes on in tier 1, as does whatever is not done here: the exit is at the instruction's start.
#![deny(unsafe_code)]

mod build;
mod compile;
mod fp;
mod group;
mod inline;
mod install;
mod lower;
mod places;
mod region;
mod strip;
mod vec;

pub use install::Regions;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arch::VcpuLink;
use isa::Op;

use compile::Compiler;
use places::{HOME_SLOT, Places, SLOTS, SPAN};
use region::Item;

/// How long a compiler's thread waits for work before it gives its memory back.
const IDLE: Duration = Duration::from_millis(200);

/// A way out of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// To this place relative to the head's page.
    Go(i64),
    /// To tier 1's code of the head.
    Head,
    /// The same, before anything was done, because the processor is in no state the region was made for.
    Guard,
    /// To the address in the processor's `nia`.
    Indirect,
    /// The same from a branch to the count register, whose targets are noted.
    Computed,
}

/// Why there is no region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The head is in no loop inside its pages.
    NoLoop,
    /// It may be in one that is too large.
    TooLarge,
    /// The head's first instruction, or too many others, are not done here.
    Instruction,
    /// The compiler refused.
    Compiler,
    /// Mostly chains of carries, which tier 1 keeps in the host's flag.
    Carries,
    /// The loop is entered at this offset: its region had better begin there.
    Entry(u32),
    /// Functions in these pages are called, counted from the head's.
    More(Vec<i32>),
}

/// A region asked for.
pub struct Request {
    /// Which block of which state of the code cache asks.
    pub ticket: Ticket,
    /// A number that no other region of the processor has, less than 2^31, not 0.
    pub number: u32,
    /// Whom to make look when the answer is there.
    pub link: Arc<VcpuLink>,
    /// Offset of the head.
    pub head: u32,
    /// Mode of the code.
    pub key: crate::Key,
    /// The pages.
    pub words: Box<[u8; SPAN as usize]>,
    /// Displacements of the TLB tables for loads and stores.
    pub tables: [i32; 2],
    /// The same of instruction fetches.
    pub exec_table: i32,
    /// Address of [`crate::thunk::Thunks::window`].
    pub window: u64,
    /// Addresses of the pieces that compute, 0 for what the host has not.
    pub pieces: [u64; crate::thunk::piece::ALL.len()],
    /// Where tier 1's blocks begin, by a quarter of the offset: where control came to so far.
    pub begun: Box<[bool; SPAN as usize / 4]>,
    /// Take all that follows the head, loop or not.
    pub all: bool,
    /// Offsets of loops that have regions of their own and stay in them for long.
    pub own: BTreeSet<u32>,
    /// Let accesses off one register share a probe. Where they often straddle pages, that does not pay.
    pub grouped: bool,
}

/// Who asked for a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// Key of the block.
    pub block: u64,
    /// Real address of the page.
    pub page: u64,
    /// Version of its code.
    pub version: u32,
    /// The pages of the other slots, where they are known.
    pub others: [Option<Other>; SLOTS],
    /// Mode of the code.
    pub key: crate::Key,
    /// Effective address of the head, for its name only.
    pub ea: u64,
    /// As in the request.
    pub grouped: bool,
    /// Only the innermost loop.
    pub inner: bool,
    /// It may be large.
    pub large: bool,
    /// Accesses have windows.
    pub windowed: bool,
    /// The head is where the loop is entered, not where it turns back to.
    pub moved: bool,
    /// How often more pages may still be asked for.
    pub rounds: u32,
    /// Where branches to the count register may go.
    pub targets: Targets,
}

/// Some places, relative to the head's page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Targets {
    count: usize,
    rel: [i64; 24],
}

impl Targets {
    /// One more, if there is room and it is not among them.
    pub fn add(&mut self, rel: i64) {
        let new =
            rel & 3 == 0 && rel.unsigned_abs() < 4096 * places::FAR as u64 && !self.all().contains(&rel);
        if let (true, Some(p)) = (new, self.rel.get_mut(self.count)) {
            *p = rel;
            self.count += 1;
        }
    }

    /// All of them.
    pub fn all(&self) -> &[i64] {
        &self.rel[..self.count]
    }
}

/// A page beside the head's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Other {
    /// Where it is, in pages from the head's.
    pub delta: i32,
    /// Its real address.
    pub page: u64,
    /// Its host address.
    pub host: u64,
    /// Version of its code.
    pub version: u32,
}

impl Request {
    fn places(&self) -> Places {
        let mut p = self.ticket.others.map(|o| o.map(|o| o.delta));
        p[HOME_SLOT] = Some(0);
        Places(p)
    }
}

/// A region's code, for any address.
pub struct Code {
    /// Machine code, entered at its first byte.
    pub bytes: Vec<u8>,
    /// What each exit number means.
    pub exits: Vec<Exit>,
    /// Which slots' pages it is in.
    pub pages: [bool; SLOTS],
    /// There is a loop round it that it could have had in it.
    pub inner: bool,
    /// Accesses in it have windows.
    pub windowed: bool,
    /// Blocks in it.
    pub blocks: u32,
    /// Guest instructions in it.
    pub instructions: u32,
    /// Loads and stores in it.
    pub accesses: u32,
}

/// What became of a request.
pub struct Answer {
    /// From the request.
    pub ticket: Ticket,
    /// The code or why there is none.
    pub code: Result<Code, Refusal>,
    /// Time it took, nanoseconds.
    pub ns: u64,
}

/// Whether `i` calls what is not followed: conditionally, or by absolute address.
fn links(i: &Item) -> bool {
    matches!(i.op, Op::B | Op::Bc) && i.insn.lk() && !calls(i)
}

/// Whether `i` is a call that is followed where its target is known.
fn calls(i: &Item) -> bool {
    i.op == Op::B && i.insn.lk() && !i.insn.aa()
}

/// Whether `i` goes to the address in the count register.
fn computed(i: &Item) -> bool {
    i.op == Op::Bcctr && i.insn.bo() & 0b10100 == 0b10100
}

/// Whether `i` may return from a call.
fn returns(i: &Item) -> bool {
    i.op == Op::Bclr && !i.insn.lk()
}

/// Most threads that compile for one partition, where the host has processors for them.
const MOST_WORKERS: usize = 4;

/// What waits for the compilers' threads.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Condvar,
    /// Answers that nobody took yet.
    answers: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// The newest comes first: it is the one that runs now.
    requests: Vec<Request>,
    answers: Vec<Answer>,
    /// Threads, and those of them that wait.
    workers: usize,
    idle: usize,
    /// Nobody wants answers any more.
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request; `None`: there is no more work. What the compiler kept is given back when there is none for long.
    fn next(&self, kept: &mut Option<Box<Compiler>>) -> Option<Request> {
        let mut s = self.lock();
        s.idle += 1;
        let mut waited = false;
        while s.requests.is_empty() && !s.closed {
            if kept.is_none() || waited {
                if kept.take().is_some() {
                    drop(s);
                    crate::buf::give_back();
                    s = self.lock();
                    continue;
                }
                s = self.more.wait(s).unwrap_or_else(PoisonError::into_inner);
            } else {
                let (g, t) = self.more.wait_timeout(s, IDLE).unwrap_or_else(PoisonError::into_inner);
                (s, waited) = (g, t.timed_out());
            }
        }
        s.idle -= 1;
        if s.closed { None } else { s.requests.pop() }
    }

    fn serve(&self, verify: bool) {
        crate::buf::be_nice();
        let mut compiler = None;
        while let Some(r) = self.next(&mut compiler) {
            if compiler.is_none() {
                compiler = Compiler::new(verify).map(Box::new);
            }
            let Some(c) = &mut compiler else { break };
            let a = guarded(c, &r);
            if matches!(a.code, Err(Refusal::Compiler)) {
                // Whatever it stumbled over may have left it in disorder.
                compiler = None;
            }
            self.lock().answers.push(a);
            self.answers.fetch_add(1, Ordering::SeqCst);
            // The loop may run for long until something else makes it look.
            r.link.exit.store(1, Ordering::SeqCst);
        }
        self.lock().workers -= 1;
    }
}

/// The face of the second tier.
pub struct Tier2 {
    /// The compiler, where it works in place.
    here: Option<Box<Compiler>>,
    ready: Vec<Answer>,
    queue: Arc<Queue>,
    /// Threads there may be.
    most: usize,
    wait: bool,
    verify: bool,
}

impl Drop for Tier2 {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.more.notify_all();
    }
}

impl Tier2 {
    /// A second tier that starts threads when requests come; `wait`: it compiles in place instead.
    pub fn new(wait: bool, verify: bool) -> Self {
        let host = std::thread::available_parallelism().map_or(1, |n| n.get());
        let most = (host - 1).clamp(1, MOST_WORKERS);
        Tier2 { here: None, ready: Vec::new(), queue: Arc::default(), most, wait, verify }
    }

    /// Ask for a region.
    pub fn request(&mut self, r: Request) {
        if self.wait {
            if self.here.is_none() {
                self.here = Compiler::new(self.verify).map(Box::new);
            }
            // Nothing of the compiler's is swallowed under test.
            let answer = if self.verify { answer } else { guarded };
            let a = self.here.as_mut().map(|c| answer(c, &r));
            self.ready.extend(a);
            return;
        }
        let mut s = self.queue.lock();
        s.requests.push(r);
        if s.idle >= s.requests.len() || s.workers >= self.most {
            self.queue.more.notify_one();
            return;
        }
        let (queue, verify) = (self.queue.clone(), self.verify);
        match std::thread::Builder::new().name("tier2".into()).spawn(move || queue.serve(verify)) {
            Ok(_) => s.workers += 1,
            // Those that are there do it.
            Err(_) if s.workers > 0 => {}
            Err(e) => {
                tracing::warn!("no thread for the second tier: {e}");
                s.requests.clear();
            }
        }
    }

    /// Take an answer, if there is one.
    #[inline]
    pub fn take(&mut self) -> Option<Answer> {
        if let Some(a) = self.ready.pop() {
            return Some(a);
        }
        if self.queue.answers.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let a = self.queue.lock().answers.pop()?;
        self.queue.answers.fetch_sub(1, Ordering::SeqCst);
        Some(a)
    }
}

fn answer(c: &mut Compiler, r: &Request) -> Answer {
    let t = Instant::now();
    let code = c.compile(r);
    Answer { ticket: r.ticket, code, ns: t.elapsed().as_nanos() as u64 }
}

/// The same where a panic of the compiler's only costs the region.
fn guarded(c: &mut Compiler, r: &Request) -> Answer {
    std::panic::catch_unwind(AssertUnwindSafe(|| answer(c, r))).unwrap_or_else(|_| {
        tracing::warn!(ea = r.ticket.ea, "the second tier's compiler failed");
        Answer { ticket: r.ticket, code: Err(Refusal::Compiler), ns: 0 }
    })
}
