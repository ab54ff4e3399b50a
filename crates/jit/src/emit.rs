//! The builder that emits code: state of one block in the making.
//!
//! Values live until the end of their instruction, guest registers are cached in host registers through the block and
//! written through to memory, so that the processor's state is exact at every instruction. An instruction that meets
//! something the emitter does not do is emitted anew as a call of the interpreter; a rare case of one that is
//! done inline (a TLB miss, a division by zero, a trap) branches to a cold piece that has the interpreter carry out
//! the instruction from its start, which is why such branches come before any write.

mod carry;
mod condition;

use isa::{Insn, Mode, Rel};

use crate::asm::{Alu, Asm, Cc, M, R, RAX, RBP, RCX, RDX, X, m};
use crate::common::Host;
use crate::counts::{Counts, HEATS};
use crate::group::{Group, Retry};
use crate::regs::{CTR, GROUP, GROUPS, LR, NONE, Regs};
use crate::thunk::{self, Thunks, slot};
use crate::xregs::{Held, XRegs};

pub use condition::{field_of, own_so};

/// A 64-bit value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum V {
    /// Known now.
    Imm(u64),
    /// In a host register that keeps it until the end of the instruction.
    Reg(R),
    /// A register plus a constant.
    Off(R, i32),
}

/// A 128-bit value.
#[derive(Clone, Copy, Debug)]
pub enum W {
    /// Known now.
    Imm(u128),
    /// In an SSE register, as a little-endian number.
    Reg(X),
}

/// A condition: a number in `Emit::conds`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct C(u16);

/// Conditions are computed where they are used.
#[derive(Clone, Copy, Debug)]
pub enum Cond {
    Const(bool),
    Rel(Rel, V, V),
    Bit(V, u32),
    Cr(u32),
    So,
    Ca,
    Not(C),
    And(C, C),
    Or(C, C),
    Xor(C, C),
}

/// An operand of a remembered comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operand {
    Guest(u8),
    Imm(u64),
}

/// A comparison whose operands are still at hand.
#[derive(Clone, Copy, Debug)]
struct Compared {
    signed: bool,
    wide: bool,
    a: Operand,
    b: Operand,
    /// Outcomes that are possible here, as in a CR field: [`LT`], [`GT`], [`EQ`].
    may: u8,
}

/// Bits of a CR field.
const LT: u8 = 8;
const GT: u8 = 4;
const EQ: u8 = 2;

/// A rare case of one instruction, emitted behind the block.
struct Cold {
    first: usize,
    last: usize,
    place: u32,
    raw: u32,
    prefix: u32,
    resume: usize,
    regs: [(u8, u8); 9],
    /// Vector registers to be loaded again: those the instruction writes.
    xregs: [(u8, u8, bool); 6],
    /// Whether vector registers have to survive the call.
    keep: bool,
    /// Offset in the page of what follows, and the instructions complete by then.
    next: (u32, u32),
    /// What the FPSCR is owed before the instruction.
    late: Option<LateOp>,
    /// What CA32 is owed of.
    owed: Option<Owed>,
    /// The first site is for this.
    retry: Option<Retry>,
    fields: Fields,
}

/// A scalar operation whose FR, FI and FPRF nobody asked for yet: the number of [`fpu::Late`] and where its operands
/// are.
#[derive(Clone, Copy)]
pub struct LateOp {
    pub code: u32,
    pub operands: [Option<X>; 3],
}

/// A sum that CA32 is owed of: its operands and where it is.
#[derive(Clone, Copy)]
struct Owed {
    /// `None`: at [`slot::ADDED`].
    x: Option<u8>,
    /// This is the complement of what was added.
    not: bool,
    /// A register, or a constant.
    y: Result<u8, i32>,
    sum: u8,
}

/// Half of the product of two general registers: the upper one or the lower one. They have not changed since.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Product {
    of: (u8, u8),
    upper: bool,
}

/// A seldom case of an instruction that host code can still do, emitted behind the block.
#[derive(Clone, Copy)]
struct Warm {
    site: usize,
    resume: usize,
    /// Number of the instruction's cold piece.
    cold: usize,
    kind: WarmKind,
}

/// What such a piece does.
#[derive(Clone, Copy)]
pub enum WarmKind {
    /// FPSCR[XX] is off: the code from one offset to the other again, to see whether it is inexact.
    Exact { from: usize, to: usize },
    /// A scalar result outside the normal range: good if it is an exact zero. `before`: the double that was rounded;
    /// `needs`: one of these must be zero for the zero to be exact.
    Zero { result: X, before: Option<X>, needs: [Option<X>; 2] },
    /// Likewise elements of a vector; xmm15: those that are normal.
    Zeros { double: bool, result: X, needs: [Option<X>; 2] },
}

/// A conditional exit, emitted behind the block.
struct Side {
    first: usize,
    last: usize,
    rel: i64,
    done: u32,
    poll: bool,
    late: Option<LateOp>,
    fields: Fields,
}

/// CR fields to be computed in a piece behind the block: a range of `Lists::fields`. The host's flags there are those of
/// the comparison for the first one, if the third says so.
#[derive(Clone, Copy)]
struct Fields(usize, usize, bool);

/// A way out of a block to an address known relative to its page.
#[derive(Clone, Copy, Debug)]
pub struct ExitPoint {
    /// Target, relative to the first byte of the page.
    pub rel: i32,
    /// Code offset of the jump's displacement, a multiple of 4.
    pub jump: u32,
    /// Code offset of the host page that the target's page must have, a multiple of 8; 0 inside a page.
    pub page: u32,
    /// Code offset where the jump goes while the target is unknown. (Between pages nobody sets out for it then: no host
    /// page is 0. But who did before may get there, and goes on by a look-up.)
    pub stub: u32,
}

/// How an exit leaves when it can't go on, emitted with the pieces that seldom run.
#[derive(Clone, Copy)]
struct Stub {
    /// Number of the exit, and its place in `Lists::exits`.
    id: u32,
    exit: usize,
    /// Branches to it; 0: none.
    sites: [usize; 3],
    /// The branch that is taken when the exit was taken often, and where its counter is.
    hot: Option<(usize, i32)>,
    /// Between pages: the jump, and the target's offset in its page.
    between: Option<(usize, u32)>,
}

/// What the emitter did in the present instruction, to be undone.
#[derive(Clone, Copy)]
struct Mark {
    pos: usize,
    regs: Regs,
    compared: [Option<Compared>; 8],
    unwritten: u8,
    carry_in_flag: bool,
    owed: Option<Owed>,
    groups: [Option<Group>; GROUPS],
    sides: usize,
    exits: usize,
    stubs: usize,
    sites: usize,
    warms: usize,
    late: Option<LateOp>,
}

/// Lists that outlive a block for their capacity only.
#[derive(Default)]
pub struct Lists {
    conds: Vec<Cond>,
    sites: Vec<usize>,
    colds: Vec<Cold>,
    warms: Vec<Warm>,
    /// Branches of warm pieces to cold ones: the cold piece's number and the place of the displacement.
    chills: Vec<(usize, usize)>,
    sides: Vec<Side>,
    fields: Vec<(u8, Compared)>,
    /// Stores that are in vain if the present instruction is done inline.
    vain: Vec<usize>,
    stubs: Vec<Stub>,
    /// Counters used.
    pub counted: usize,
    /// Exits of the block just made.
    pub exits: Vec<ExitPoint>,
}

/// The page whose instructions are translated.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Memory.
    pub ram: &'a mem::GuestRam,
    /// Real address of the page.
    pub page: u64,
}

/// A block in the making.
pub struct Emit<'a> {
    pub(crate) a: Asm<'a>,
    pub(crate) mode: Mode,
    pub(crate) thunks: Thunks,
    /// Where each general register was stored last, if nothing can have looked at it in memory since; 0: nowhere.
    stored: [usize; 32],
    /// Halves of products in [`slot::PRODUCTS`].
    products: [Option<Product>; slot::PRODUCT_COUNT],
    /// Displacements of the TLB tables of data and instructions off r15.
    dtables: [i32; 2],
    /// Number of the first exit of this block.
    first_exit: usize,
    l: &'a mut Lists,
    pub(crate) regs: Regs,
    compared: [Option<Compared>; 8],
    /// CR fields, bit 0 for field 0, that memory does not hold yet: they follow from `compared`.
    unwritten: u8,
    /// The host's carry flag is XER[CA], which memory does not hold.
    carry_in_flag: bool,
    /// Memory does not hold XER[CA32], which is of this sum.
    owed: Option<Owed>,
    /// The general register that rdx holds, for products.
    factor: Option<u8>,
    /// This instruction may leave its carry there.
    chain: bool,
    pub(crate) groups: [Option<Group>; GROUPS],
    pub(crate) retry: Option<Retry>,
    /// Where the code comes from.
    source: Source<'a>,
    /// Offset of the instruction in its page, those before it in the block.
    pub(crate) off: u32,
    pub(crate) done: u32,
    pub(crate) len: u32,
    /// Sites of branches to this instruction's cold piece from here on in `l.sites`.
    cold_from: usize,
    pub(crate) failed: bool,
    wrote: bool,
    /// The block ends with this instruction.
    pub ended: bool,
    pub(crate) x: XRegs,
    pub(crate) late: Option<LateOp>,
    /// VSRs that this instruction wrote.
    xwrote: ([u8; 3], usize),
    /// General registers of this instruction that copy half of a vector register: low (0) or high (1).
    pub(crate) halves: [Option<(R, X, u8)>; 4],
    /// The register in which this instruction made a double of a single.
    pub(crate) single_made: Option<X>,
    pub(crate) bmi2: bool,
    /// AVX2 and FMA.
    pub(crate) avx: bool,
    /// AES and carry-less multiplication.
    pub(crate) crypto: bool,
    /// Where pieces that seldom run go.
    pub cold: usize,
    /// Number of the first counter for backward branches, and where they begin; 0: no counting.
    pub(crate) heat: (usize, u32),
}

/// Whether host code of `op` only calculates: nothing in it looks at the processor's registers in memory but by
/// [`Emit::memory`], and it never leaves the block.
fn quiet(op: isa::Op) -> bool {
    use isa::Op::*;
    matches!(
        op,
        Addi | Addis
            | Add
            | Addc
            | Adde
            | Addze
            | Addme
            | Addic
            | AddicRc
            | Subf
            | Subfc
            | Subfe
            | Subfze
            | Subfme
            | Subfic
            | Neg
            | Mulld
            | Mulhd
            | Mulhdu
            | Mullw
            | Mulhw
            | Mulhwu
            | Mulli
            | And
            | Andc
            | Andi
            | Andis
            | Or
            | Orc
            | Ori
            | Oris
            | Xor
            | Xori
            | Xoris
            | Nand
            | Nor
            | Eqv
            | Rlwinm
            | Rlwimi
            | Rlwnm
            | Rldicl
            | Rldicr
            | Rldic
            | Rldimi
            | Rldcl
            | Rldcr
            | Sld
            | Srd
            | Srad
            | Sradi
            | Slw
            | Srw
            | Sraw
            | Srawi
            | Extsb
            | Extsh
            | Extsw
            | Cntlzd
            | Cntlzw
            | Cmp
            | Cmpi
            | Cmpl
            | Cmpli
    )
}

/// FPSCR[VE OE UE ZE XE].
const ENABLES: u8 = 0xf8;

const ENTRY: i32 = std::mem::size_of::<mem::TlbEntry>() as i32;
const INDEX_MASK: i32 = ((1 << mem::TLB_BITS) - 1) * ENTRY;

/// Displacement of a field of [`arch::CpuState`] off rbp.
macro_rules! st {
    ($($f:tt)*) => { $crate::thunk::field(std::mem::offset_of!(arch::CpuState, $($f)*)) };
}
pub(crate) use st;

fn guest_at(n: u8) -> M {
    match n {
        LR => m(RBP, st!(lr)),
        CTR => m(RBP, st!(ctr)),
        _ => m(RBP, st!(gpr) + 8 * n as i32),
    }
}

impl<'a> Emit<'a> {
    /// Begin a block of code at `pos` of `buf`.
    pub fn new(
        buf: &'a mut [u8],
        pos: usize,
        thunks: Thunks,
        key: crate::Key,
        source: Source<'a>,
        first_exit: usize,
        l: &'a mut Lists,
        host: Host,
    ) -> Self {
        l.sites.clear();
        l.colds.clear();
        l.warms.clear();
        l.chills.clear();
        l.sides.clear();
        l.fields.clear();
        l.stubs.clear();
        l.counted = 0;
        l.exits.clear();
        let table = |mode, access| mem::table_offset(mode, access) as i32;
        Emit {
            a: Asm { buf, pos },
            mode: key.mode,
            thunks,
            stored: [0; 32],
            products: [None; slot::PRODUCT_COUNT],
            dtables: [table(key.dmode, mem::Access::Read), table(key.dmode, mem::Access::Write)],
            first_exit,
            l,
            regs: Regs::default(),
            compared: [None; 8],
            unwritten: 0,
            carry_in_flag: false,
            owed: None,
            factor: None,
            chain: false,
            groups: [None; GROUPS],
            retry: None,
            source,
            off: 0,
            done: 0,
            len: 4,
            cold_from: 0,
            failed: false,
            wrote: false,
            ended: false,
            x: XRegs::default(),
            late: None,
            xwrote: ([0; 3], 0),
            halves: [None; 4],
            single_made: None,
            bmi2: host.bmi2,
            avx: host.avx,
            crypto: host.crypto,
            cold: 0,
            heat: (0, 0),
        }
    }

    // ---- instructions ----

    /// Emit one instruction that stands at `off` of its page. True when it was done inline.
    pub fn instruction(&mut self, op: isa::Op, i: Insn, off: u32) -> bool {
        self.off = off;
        self.len = i.len() as u32;
        self.l.conds.clear();
        self.regs.unpin();
        self.failed = false;
        self.wrote = false;
        self.x.unpin();
        self.xwrote.1 = 0;
        self.halves = [None; 4];
        self.single_made = None;
        self.retry = None;
        self.cold_from = self.l.sites.len();
        self.chain = self.chains(op, i);
        if self.carry_in_flag && !self.keeps_carry(op, i) {
            self.put_carry();
        }
        let mark = Mark {
            pos: self.a.pos,
            regs: self.regs,
            compared: self.compared,
            unwritten: self.unwritten,
            carry_in_flag: self.carry_in_flag,
            owed: self.owed,
            groups: self.groups,
            sides: self.l.sides.len(),
            exits: self.l.exits.len(),
            stubs: self.l.stubs.len(),
            sites: self.l.sites.len(),
            warms: self.l.warms.len(),
            late: self.late,
        };
        let place = thunk::place(off, self.done, op as u16);
        self.l.vain.clear();
        let crossing = i.prefix != 0 && off & 63 == 60;
        let straight = !crossing && self.straight(op, i);
        if !straight {
            self.factor = None;
        }
        let ok = straight || !crossing && isa::exec(op, self, i).is_ok();
        let ok = ok && !self.failed;
        let seen = self.l.sites.len() > self.cold_from || self.l.warms.len() > mark.warms;
        if !ok || seen || !quiet(op) {
            self.stored = [0; 32];
        } else {
            self.l.vain.drain(..).for_each(|at| self.a.nop_over_store(at));
        }
        if ok {
            let warm = self.l.warms.len() > mark.warms;
            if (warm || self.l.sites.len() > self.cold_from) && self.cold_sites(mark.sides) {
                let mut xregs = [(NONE, NONE, false); 6];
                let (wrote, n) = self.xwrote;
                let of = |&v: &u8| self.x.of(v).map(move |(x, full)| (x.0, v, full));
                wrote[..n].iter().flat_map(of).zip(&mut xregs).for_each(|(h, r)| *r = h);
                let mut regs = [(NONE, NONE); 9];
                self.regs.pairs().zip(&mut regs).for_each(|((h, g), r)| *r = (h.0, g));
                // What the instruction itself compares or settles does not matter to its rare case.
                let fields = Self::list_fields(&mut self.l.fields, &mark.compared, mark.unwritten);
                self.l.colds.push(Cold {
                    retry: self.retry,
                    fields,
                    first: self.cold_from,
                    last: self.l.sites.len(),
                    place,
                    raw: i.raw,
                    prefix: i.prefix,
                    resume: self.a.pos,
                    regs,
                    xregs,
                    keep: self.x.in_use(),
                    next: (off + self.len, self.done + 1),
                    late: mark.late,
                    owed: mark.owed,
                });
            }
        } else {
            self.a.pos = mark.pos;
            self.regs = mark.regs;
            self.compared = mark.compared;
            self.unwritten = mark.unwritten;
            self.carry_in_flag = mark.carry_in_flag;
            self.owed = mark.owed;
            self.factor = None;
            self.groups = mark.groups;
            self.l.sides.truncate(mark.sides);
            self.l.exits.truncate(mark.exits);
            self.l.stubs.truncate(mark.stubs);
            self.l.sites.truncate(mark.sites);
            self.l.warms.truncate(mark.warms);
            self.ended = false;
            self.late = mark.late;
            self.put_carry();
            self.put_owed();
            self.settle_all();
            self.put_late();
            self.call_one(place, i.raw, i.prefix, false);
            self.late = None;
            self.x = XRegs::default();
            self.regs = Regs::default();
            self.compared = [None; 8];
            self.products = [None; slot::PRODUCT_COUNT];
        }
        self.done += 1;
        ok
    }

    /// Whether the sites of this instruction belong to a cold piece and not to a side exit.
    fn cold_sites(&self, sides: usize) -> bool {
        self.l.sides.len() == sides
    }

    /// `keep`: vector registers survive.
    fn call_one(&mut self, place: u32, raw: u32, prefix: u32, keep: bool) {
        self.a.movi32(RDX, place);
        self.a.movi32(crate::asm::RSI, raw);
        self.a.movi32(RCX, prefix);
        self.a.call_to(if keep { self.thunks.one_keep } else { self.thunks.one });
    }

    /// End the block: go on in sequence if it does not end by itself, then the pieces for rare cases.
    pub fn finish(&mut self, next: u32) {
        if !self.ended {
            self.put_carry();
            self.put_owed();
            self.settle_all();
            self.exit(next as i64, self.done, false);
        }
        for n in 0..self.l.warms.len() {
            self.warm_piece(n);
        }
        let here = std::mem::replace(&mut self.a.pos, self.cold);
        for n in 0..self.l.colds.len() {
            let c = &self.l.colds[n];
            let (first, last, retry, fields) = (c.first, c.last, c.retry, c.fields);
            let (xregs, keep, late, owed, next) = (c.xregs, c.keep, c.late, c.owed, c.next);
            let (place, raw, prefix, resume, regs) = (c.place, c.raw, c.prefix, c.resume, c.regs);
            if let Some(t) = retry {
                self.a.here(self.l.sites[first]);
                self.l.sites[first] = self.retry(t);
            }
            for k in first..last {
                self.a.here(self.l.sites[k]);
            }
            for &(cold, site) in &self.l.chills {
                if cold == n {
                    self.a.here(site);
                }
            }
            self.owed = owed;
            self.put_owed();
            self.write_fields(fields);
            self.late = late;
            self.put_late();
            self.call_one(place, raw, prefix, keep);
            // An enabled exception keeps the result from being written. What the code ahead takes for granted of that (a
            // doubleword 1 of zero, a single) may then not hold: leave.
            let scalar = xregs.iter().any(|r| r.0 != NONE && !r.2);
            let left = scalar.then(|| {
                self.a.test_m8(m(RBP, st!(fpscr)), ENABLES);
                self.a.jcc(Cc::Ne)
            });
            for (h, g) in regs.into_iter().filter(|r| r.0 != NONE) {
                if g >= GROUP {
                    self.a.alu(Alu::Xor, false, R(h), R(h));
                } else {
                    self.a.load(R(h), guest_at(g));
                }
            }
            for (x, v, full) in xregs.into_iter().filter(|r| r.0 != NONE) {
                self.load_vsr(X(x), v, full);
            }
            self.a.jmp_to(resume);
            if let Some(site) = left {
                self.a.here(site);
                self.late = None;
                self.exit(next.0 as i64, next.1, false);
            }
        }
        self.cold = std::mem::replace(&mut self.a.pos, here);
        for n in 0..self.l.sides.len() {
            let s = &self.l.sides[n];
            for k in s.first..s.last {
                self.a.here(self.l.sites[k]);
            }
            let (rel, done, poll, fields, late) = (s.rel, s.done, s.poll, s.fields, s.late);
            self.write_fields(fields);
            self.late = late;
            self.exit(rel, done, poll);
        }
        let here = std::mem::replace(&mut self.a.pos, self.cold);
        self.stubs();
        self.cold = std::mem::replace(&mut self.a.pos, here);
    }

    // ---- leaving the block ----

    /// Go on at `rel` (relative to the page) with `done` more instructions complete.
    pub(crate) fn exit(&mut self, rel: i64, done: u32, poll: bool) {
        self.put_late();
        let id = (self.first_exit + self.l.exits.len()) as u32;
        let mut sites = [0usize; 3];
        self.a.alui(Alu::Sub, true, crate::asm::R14, done as i32);
        // Forward ways need no poll: whoever goes round in circles comes back at some time, and where the TLB does not
        // know a page, or the address is of 32 bits, the way between pages polls.
        if poll {
            [sites[0], sites[1]] = thunk::poll(&mut self.a);
        }
        // Before the page changes: what leaves is relative to the old one.
        let hot = if poll { self.count() } else { None };
        let inside = (0..4096).contains(&rel);
        let (mut page, mut between) = (0, None);
        let jump;
        if inside {
            self.a.align_ahead(4, 1);
            jump = self.a.jmp();
            sites[2] = jump;
        } else {
            // Two instructions and the jump, of five bytes each.
            self.a.align_ahead(8, 15);
            self.a.movi32(RAX, (rel & !4095) as u32);
            self.a.call_to(self.thunks.cross[self.mode.sf as usize]);
            jump = self.a.jmp();
            page = self.a.pos;
            self.a.q(0);
            self.a.d(id);
            between = Some((jump, (rel & 4095) as u32));
        }
        self.l.stubs.push(Stub { id, exit: self.l.exits.len(), sites, hot, between });
        self.l.exits.push(ExitPoint { rel: rel as i32, jump: jump as u32, page: page as u32, stub: 0 });
    }

    /// The branch at `site` leaves for the run loop, at `rel`, as when an exit was taken often.
    #[cfg(feature = "tier2")]
    pub(crate) fn hot_exit(&mut self, site: usize, rel: i64) {
        let id = (self.first_exit + self.l.exits.len()) as u32;
        self.a.here(site);
        self.a.movi32(RAX, id | thunk::leave::HOT as u32);
        self.a.jmp_to(self.thunks.leave);
        // What is linked is never reached.
        self.a.align_ahead(4, 1);
        let jump = self.a.jmp();
        let stub = self.a.pos as u32;
        self.l.exits.push(ExitPoint { rel: rel as i32, jump: jump as u32, page: 0, stub });
    }

    /// How the exits made so far leave when they can't go on.
    pub(crate) fn stubs(&mut self) {
        for n in 0..self.l.stubs.len() {
            let Stub { id, exit, sites, hot, between } = self.l.stubs[n];
            self.l.exits[exit].stub = self.a.pos as u32;
            if sites != [0; 3] {
                for s in sites.into_iter().filter(|&s| s != 0) {
                    self.a.here(s);
                }
                self.a.movi32(RAX, id);
                self.a.jmp_to(self.thunks.leave);
            }
            if let Some((jump, off)) = between {
                self.l.exits[exit].stub = self.a.pos as u32;
                self.a.here(jump);
                self.a.movi32(RAX, off);
                self.a.alum(Alu::Add, true, RAX, thunk::engine(slot::BASE));
                self.a.jmp_to(self.thunks.leave_to);
            }
            if let Some((h, counter)) = hot {
                self.a.here(h);
                self.a.storei4(m(RCX, counter), self.heat.1.max(1000));
                self.a.movi32(RAX, id | thunk::leave::HOT as u32);
                self.a.jmp_to(self.thunks.leave);
            }
        }
        self.l.stubs.clear();
    }

    /// Count down once more; gives the site of the branch to what follows when zero is met, and the counter's place off
    /// rcx then.
    fn count(&mut self) -> Option<(usize, i32)> {
        let n = self.heat.0 + self.l.counted;
        if self.heat.1 == 0 || n >= HEATS {
            return None;
        }
        self.l.counted += 1;
        let counter = Counts::heat_at(n);
        self.a.load(RCX, thunk::engine(slot::COUNTS));
        self.a.alumi(Alu::Sub, false, m(RCX, counter), 1);
        Some((self.a.jcc(Cc::E), counter))
    }

    fn index_from_rcx(&mut self) {
        self.a.shi(crate::asm::Sh::Shr, false, RCX, (mem::PAGE_SHIFT - ENTRY.trailing_zeros()) as u8);
        self.a.alui(Alu::And, false, RCX, INDEX_MASK);
    }

    /// Go on at the address in rax (low bits clear), maybe returning from a call.
    pub(crate) fn go_indirect(&mut self, done: u32, returns: bool) {
        self.put_late();
        if !self.mode.sf {
            self.a.mov32(RAX, RAX);
        }
        self.a.alui(Alu::Sub, true, crate::asm::R14, done as i32);
        let [over, posted] = thunk::poll(&mut self.a);
        let leave_to = self.thunks.leave_to;
        let (miss, other) = if returns {
            let other = thunk::go_back(&mut self.a);
            (other, self.thunks.unnoted)
        } else if self.mode.pr {
            (thunk::go_where_others_went(&mut self.a), self.thunks.seek)
        } else {
            let [miss, other] = thunk::find_page(&mut self.a);
            self.a.jmp_m(m(RDX, 8));
            self.a.patch(other, leave_to);
            (miss, self.thunks.far)
        };
        self.a.patch(miss, other);
        self.a.patch(over, leave_to);
        self.a.patch(posted, leave_to);
    }

    /// Note that `ea`, what follows this instruction, will be returned to, see [`thunk::slot::RETURNS`].
    pub(crate) fn note_return(&mut self, ea: R) {
        let back = self.off + self.len;
        // At the end of the page nobody looks whether the next one is where it was. And who asks for his own address
        // does not return.
        let asks = self.word(self.off).is_some_and(|w| w & 0xffe0_ffff == 0x4280_0005);
        if back >= 4096 || asks {
            return;
        }
        let id = (self.first_exit + self.l.exits.len()) as u32;
        self.a.load32(RCX, thunk::engine(slot::TOP));
        self.a.alui8(Alu::Add, RCX, 16);
        self.a.store(thunk::engine(slot::TOP), RCX, 4);
        self.a.store(thunk::noted(RCX, 0), ea, 8);
        self.a.align_ahead(4, 3);
        let site = self.a.lea_rip(RDX);
        self.a.store(thunk::noted(RCX, 8), RDX, 8);
        let sites = [site, 0, 0];
        self.l.stubs.push(Stub { id, exit: self.l.exits.len(), sites, hot: None, between: None });
        self.l.exits.push(ExitPoint { rel: back as i32, jump: site as u32, page: 0, stub: 0 });
    }

    // ---- what the builder says about control flow ----

    pub(crate) fn jump_rel_(&mut self, n: i64) {
        let rel = self.off as i64 + n;
        let done = self.done + 1;
        self.settle_all();
        self.exit(rel, done, n <= 0);
        self.ended = true;
    }

    pub(crate) fn jump_rel_if_(&mut self, c: C, n: i64) {
        if let Cond::Const(b) = self.cond(c) {
            if b {
                self.jump_rel_(n);
            }
            return;
        }
        let first = self.l.sites.len();
        if first != self.cold_from {
            self.failed = true;
            return;
        }
        self.branch(c, true);
        let last = self.l.sites.len();
        let fields = self.fields_when(c);
        self.l.sides.push(Side {
            first,
            last,
            rel: self.off as i64 + n,
            done: self.done + 1,
            poll: n <= 0,
            late: self.late,
            fields,
        });
        self.learn_not(c);
    }

    pub(crate) fn jump_to_(&mut self, c: Option<C>, v: V) {
        let first = self.l.sites.len();
        if first != self.cold_from {
            self.failed = true;
            return;
        }
        if let Some(c) = c {
            self.put_carry();
            self.branch(c, false);
            let fields = self.fields_when(c);
            self.write_fields(fields);
            self.learn_not(c);
        } else {
            self.settle_all();
        }
        self.to(RAX, v);
        self.a.alui(Alu::And, true, RAX, -4);
        let returns = self.word(self.off).is_some_and(|w| w >> 1 & 0x3ff == 16);
        self.go_indirect(self.done + 1, returns);
        if c.is_some() {
            for k in first..self.l.sites.len() {
                self.a.here(self.l.sites[k]);
            }
            self.l.sites.truncate(first);
        } else {
            self.ended = true;
        }
    }

    // ---- values ----

    /// A register for a new value.
    pub(crate) fn alloc(&mut self) -> R {
        match self.regs.alloc() {
            Some(r) => r,
            None => {
                self.failed = true;
                R(3)
            }
        }
    }

    /// An SSE register for a new value.
    pub(crate) fn xalloc(&mut self) -> X {
        // 14 and 15 are scratch.
        self.x.alloc().unwrap_or_else(|| {
            self.failed = true;
            X(0)
        })
    }

    /// A VSR from memory: all of it, or doubleword 0 into the low lane.
    fn load_vsr(&mut self, x: X, n: u8, full: bool) {
        let at = st!(vsr) + 16 * (n as i32 & 63);
        if full {
            self.a.xload(x, m(RBP, at));
        } else {
            self.a.xload8(x, m(RBP, at + 8));
        }
    }

    /// VSR `n` in a register that must not be changed.
    pub(crate) fn full(&mut self, n: u8) -> X {
        if let Some((x, _)) = self.x.find(n, true) {
            return x;
        }
        let scalar = self.x.find(n, false);
        let d = self.xalloc();
        match scalar {
            Some((x, Held { zero: true, .. })) if self.avx => self.a.vshi(0x73, 7, d, x, 8),
            _ => self.load_vsr(d, n, true),
        }
        self.x.assign(d, Held { vsr: n, full: true, zero: false, single: false });
        d
    }

    /// Doubleword 0 of VSR `n` in the low lane of a register that must not be changed; whether it is a single.
    pub(crate) fn scalar(&mut self, n: u8) -> (X, bool) {
        if let Some((x, held)) = self.x.find(n, false) {
            return (x, held.single);
        }
        let full = self.x.find(n, true);
        let d = self.xalloc();
        match full {
            Some((x, _)) if self.avx => self.a.vshi(0x73, 3, d, x, 8),
            _ => self.load_vsr(d, n, false),
        }
        self.x.assign(d, Held { vsr: n, full: false, zero: false, single: false });
        (d, false)
    }

    /// Write VSR `n`: all of it, or doubleword 0 from the low lane with zero behind it.
    pub(crate) fn set_held(&mut self, n: u8, x: X, full: bool, single: bool) {
        self.wrote = true;
        let x = if self.x.is_fresh(x) {
            x
        } else {
            let d = self.xalloc();
            self.a.xx(0x66, 0x0f6f, d, x);
            d
        };
        let at = st!(vsr) + 16 * (n as i32 & 63);
        if full {
            self.a.xstore(m(RBP, at), x);
        } else {
            self.a.xstore8(m(RBP, at + 8), x);
            self.a.storei(m(RBP, at), 0);
        }
        self.x.forget(n);
        if !self.failed {
            self.x.assign(x, Held { vsr: n, full, zero: true, single });
        }
        self.wrote_vsr(n);
    }

    /// Note that VSR `n` is written.
    pub(crate) fn wrote_vsr(&mut self, n: u8) {
        let (list, len) = &mut self.xwrote;
        if *len < list.len() {
            list[*len] = n & 63;
            *len += 1;
        } else {
            self.failed = true;
        }
    }

    // ---- the FPSCR, later ----

    /// This operation is the last one now.
    pub(crate) fn set_late(&mut self, code: u32, operands: [Option<X>; 3]) {
        self.x.late = operands.iter().flatten().fold(0, |mask, x| mask | 1 << x.0);
        self.late = Some(LateOp { code, operands });
    }

    /// Store what the FPSCR is owed.
    fn put_late(&mut self) {
        let Some(LateOp { code, operands }) = self.late else { return };
        let at = [st!(fp_late.a), st!(fp_late.b), st!(fp_late.c)];
        for (x, at) in operands.into_iter().zip(at) {
            if let Some(x) = x {
                self.a.xstore8(m(RBP, at), x);
            }
        }
        // What compares and conversions left goes with it.
        self.a.storei(m(RBP, st!(fp_late.code)), code as i32);
    }

    /// From here on the FPSCR is owed nothing but what is in memory.
    pub(crate) fn flush_late(&mut self) {
        self.put_late();
        self.late = None;
        self.x.late = 0;
    }

    /// Branch to a warm piece of this instruction when `cc`.
    pub(crate) fn warm(&mut self, cc: Cc, kind: WarmKind) {
        if self.wrote {
            self.failed = true;
        }
        let site = self.a.jcc(cc);
        let (resume, cold) = (self.a.pos, self.l.colds.len());
        self.l.warms.push(Warm { site, resume, cold, kind });
    }

    /// From a warm piece to the cold one.
    pub(crate) fn chill(&mut self, cold: usize, cc: Cc) {
        let site = self.a.jcc(cc);
        self.l.chills.push((cold, site));
    }

    fn warm_piece(&mut self, n: usize) {
        let Warm { site, resume, cold, kind } = self.l.warms[n];
        self.a.here(site);
        self.warm_code(cold, kind);
        self.a.jmp_to(resume);
    }

    /// The value of a cached guest register.
    pub(crate) fn guest(&mut self, n: u8) -> V {
        if let Some(h) = self.regs.host(n) {
            return V::Reg(h);
        }
        let h = self.alloc();
        if !self.failed {
            self.regs.assign(n, h);
            let at = self.memory(n);
            self.a.load(h, at);
        }
        V::Reg(h)
    }

    pub(crate) fn set_guest(&mut self, n: u8, v: V) {
        self.wrote = true;
        self.settle_those_of(n);
        let h = match v {
            V::Reg(h) if self.regs.guest(h).is_none() => h,
            _ => {
                let d = self.alloc();
                if self.failed {
                    return;
                }
                self.to(d, v);
                d
            }
        };
        self.move_groups(n, v);
        self.forget_products(n);
        self.factor = self.factor.filter(|&f| f != n);
        for c in self.compared.iter_mut() {
            if c.is_some_and(|c| c.a == Operand::Guest(n) || c.b == Operand::Guest(n)) {
                *c = None;
            }
        }
        self.regs.assign(n, h);
        if let Some(stored) = self.stored.get_mut(n as usize) {
            let before = std::mem::replace(stored, self.a.pos);
            if before != 0 {
                self.l.vain.push(before);
            }
        }
        self.a.store(guest_at(n), h, 8);
    }

    /// A guest register in memory, to be read.
    pub(crate) fn memory(&mut self, n: u8) -> M {
        if let Some(stored) = self.stored.get_mut(n as usize) {
            *stored = 0;
        }
        guest_at(n)
    }

    /// Copy a value to a given register; no flags change.
    pub(crate) fn to(&mut self, d: R, v: V) {
        match v {
            V::Imm(x) => self.a.movi(d, x),
            V::Reg(r) => self.a.mov(d, r),
            V::Off(r, o) => self.a.lea(d, m(r, o)),
        }
    }

    /// The register a value is in.
    pub(crate) fn reg(&mut self, v: V) -> R {
        match v {
            V::Reg(r) => r,
            _ => {
                let d = self.alloc();
                self.to(d, v);
                d
            }
        }
    }

    /// A fresh register with a copy of a value, to be changed.
    pub(crate) fn copy(&mut self, v: V) -> R {
        let d = self.alloc();
        self.to(d, v);
        d
    }

    // ---- memory ----

    /// Probe the TLB for `size` bytes at `ea`: the host address as a memory operand (rcx is part of it).
    pub(crate) fn probe(&mut self, ea: V, size: u8, write: bool) -> M {
        let (r, o) = self.probe_range(ea, size as i32, write, RCX);
        crate::asm::mx(RCX, r, o)
    }

    /// Probe the TLB for `len` bytes at `ea`, at most a page: what to add for the host address goes to `d`. The
    /// address as a register and a displacement.
    pub(crate) fn probe_range(&mut self, ea: V, len: i32, write: bool, d: R) -> (R, i32) {
        let (r, o) = match ea {
            V::Off(r, o) => (r, o),
            _ => (self.reg(ea), 0),
        };
        if o == 0 {
            self.a.mov32(RCX, r);
        } else {
            self.a.lea32(RCX, m(r, o));
        }
        let last = o.wrapping_add(len - 1);
        if o.checked_add(len - 1).is_none() {
            self.failed = true;
        }
        if last == 0 {
            self.a.mov(RAX, r);
        } else {
            self.a.lea(RAX, m(r, last));
        }
        self.index_from_rcx();
        self.a.alui(Alu::And, true, RAX, -4096);
        let entry = |f: usize, s: &Self| M {
            base: crate::asm::R15,
            index: Some((RCX, 0)),
            disp: s.dtables[write as usize] + f as i32,
        };
        let tag = entry(std::mem::offset_of!(mem::TlbEntry, tag), self);
        let addend = entry(std::mem::offset_of!(mem::TlbEntry, addend), self);
        self.a.alum(Alu::Cmp, true, RAX, tag);
        self.cold(Cc::Ne);
        self.a.load(d, addend);
        (r, o)
    }

    /// Whether this instruction has no rare case so far.
    pub(crate) fn fresh(&self) -> bool {
        self.l.sites.len() == self.cold_from && !self.failed
    }

    /// The word of code at `off` of the page.
    pub(crate) fn word(&self, off: u32) -> Option<u32> {
        if off >= 4096 {
            return None;
        }
        let w = self.source.ram.load_le(self.source.page + off as u64, 4).ok()? as u32;
        Some(if self.mode.le { w } else { w.swap_bytes() })
    }

    pub(crate) fn consts(&self, n: usize) -> usize {
        self.thunks.consts + 16 * n
    }
}
