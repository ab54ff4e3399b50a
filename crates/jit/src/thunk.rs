//! The way into translated code and out of it, and the functions translated code calls.
//!
//! Convention inside translated code: rbp = the processor's registers + [`BIAS`], r15 = its TLB tables, r14 =
//! instructions left of the budget, rsp aligned to 16. Everything else is free at the start of a block.
#![allow(unsafe_code)]

use std::panic::AssertUnwindSafe;

use arch::{Cpu, Exit, Stop};
use interp::One;
use isa::{Insn, ROWS};

use crate::asm::{Alu, Asm, Cc, M, R, R14, R15, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, Sh, X, m};

/// rbp points this far into [`arch::CpuState`], so that the general registers but r0 and the fields of the CR have short
/// displacements.
pub const BIAS: i32 = 136;

/// Words of [`arch::CpuState::engine`].
pub mod slot {
    /// Effective address of the page whose code runs.
    pub const BASE: usize = 0;
    /// Address of [`arch::VcpuLink::exit`].
    pub const EXIT: usize = 1;
    /// Address of the [`super::Run`].
    pub const RUN: usize = 2;
    /// Address of the table of blocks.
    pub const TABLE: usize = 3;
    /// The mode of the running code, shifted to the top 16 bits.
    pub const KEY: usize = 4;
    /// Instructions to take off the budget on leaving.
    pub const ADJUST: usize = 5;
    /// Budget left, on leaving.
    pub const LEFT: usize = 6;
    /// Address of the count of code drops.
    pub const DROPS: usize = 7;
    /// That count when it was last obeyed.
    pub const SEEN: usize = 8;
    /// Host address of real address 0.
    pub const HOST: usize = 9;
    /// Address of the TLB table of instruction fetches in the present mode.
    pub const FETCH: usize = 10;
    /// Address of [`arch::VcpuLink::events`].
    pub const EVENTS: usize = 11;
    /// Addresses of the TLB tables of loads and stores in the present mode.
    pub const DATA: [usize; 2] = [12, 13];
    /// The address that [`super::Thunks::window`] is asked for.
    #[cfg(feature = "tier2")]
    pub const ASKED: usize = 14;
    /// A place for a word of a few instructions.
    pub const SCRATCH: usize = 15;
    /// Where the last note of [`RETURNS`] is, 16 times its number.
    pub const TOP: usize = 16;
    /// [`mem::Tlb::generation`] of the notes in [`RETURNS`] and of the second tier's windows.
    pub const GENERATION: usize = 17;
    /// Notes of the last calls, in a ring: what is returned to, and the code to go on with then. They hold in the present
    /// mode, while the TLB forgets nothing and no code is dropped.
    pub const RETURNS: usize = 18;
    /// How many of them.
    pub const NOTES: usize = 16;
    /// Which region of the second tier has the windows of each bank; 0: none has. They hold as long as the notes do.
    pub const OWNERS: usize = RETURNS + 2 * NOTES;
    /// Banks of windows.
    pub const BANKS: usize = 4;
    /// The windows, three words each, bank by bank.
    #[cfg(feature = "tier2")]
    pub const WINDOWS: usize = OWNERS + BANKS;
    /// How many of them there are in a bank.
    #[cfg(feature = "tier2")]
    pub const WINDOW_COUNT: usize = 16;
    /// Budget that a region of the second tier has not taken yet.
    #[cfg(feature = "tier2")]
    pub const REST: usize = WINDOWS + 3 * BANKS * WINDOW_COUNT;
    /// Address of the processor's [`crate::counts::Counts`].
    pub const COUNTS: usize = 247;
    /// Address of [`super::JUMPS`] pairs: where indirect branches of problem state went, and the code there. They hold in
    /// the mode of [`JUMPS_KEY`], while the TLB forgets nothing and no code is dropped.
    pub const JUMPS: usize = 248;
    /// Whether there are any.
    pub const JUMPS_USED: usize = 249;
    /// The mode, as in [`KEY`].
    pub const JUMPS_KEY: usize = 250;
    /// Halves of products that a block asks for later, see `emit::carry`.
    pub const PRODUCTS: usize = 251;
    /// How many of them.
    pub const PRODUCT_COUNT: usize = 8;
    /// An operand that CA32 is owed of, see `emit::carry`.
    pub const ADDED: usize = PRODUCTS + PRODUCT_COUNT;
    /// Where [`super::piece`]s leave their results, two words each.
    #[cfg(feature = "tier2")]
    pub const PIECES: usize = ADDED + 1;
    /// Address of the counters of the region with windows that was entered last, see [`crate::counts::region`].
    #[cfg(feature = "tier2")]
    pub const USES: usize = PIECES + 2 * super::piece::ALL.len();
}

/// Translated code reaches all of the words without a look at how many there are.
#[cfg(feature = "tier2")]
const _: () = {
    const fn words<const N: usize>(_: fn(&arch::CpuState) -> &[u64; N]) -> usize {
        N
    }
    assert!(slot::USES < words(|s| &s.engine));
};

/// Displacement off rbp of a byte of [`arch::CpuState`].
pub const fn field(offset: usize) -> i32 {
    offset as i32 - BIAS
}

/// An engine word.
pub fn engine(n: usize) -> M {
    m(RBP, field(std::mem::offset_of!(arch::CpuState, engine) + 8 * n))
}

/// Entries of the table behind [`slot::JUMPS`].
pub const JUMPS: usize = 512;

/// No instruction has this address.
pub const NOWHERE: u64 = 1;

/// What the functions below need while translated code runs.
pub struct Run {
    /// The processor; set for the time of [`enter`].
    pub cpu: *mut Cpu,
    /// The run loop is to return this.
    pub exit: Option<Exit>,
    /// Where [`arch::Cpu::retired`] is when no budget is left.
    pub end: u64,
    /// A panic on its way to the run loop.
    pub panic: Option<Box<dyn std::any::Any + Send>>,
    /// Instructions carried out by the interpreter.
    pub interpreted: u64,
    /// By operation, when asked for.
    pub by_op: Option<Box<[u64; 4096]>>,
}

/// What leaves translated code, in rax.
pub mod leave {
    /// `nia` says where to go on.
    pub const LOOK: u64 = u32::MAX as u64;
    /// With the number of an exit: it was taken often.
    pub const HOT: u64 = 1 << 31;
}

/// Code offsets of the common pieces.
#[derive(Clone, Copy, Default, Debug)]
pub struct Thunks {
    /// `extern "sysv64" fn(code, state + BIAS, tlb, left) -> why`
    pub enter: usize,
    /// Call with edx = where, esi = word, ecx = prefix: carries out one instruction.
    pub one: usize,
    /// The same, and xmm0 to xmm13 survive.
    pub one_keep: usize,
    /// Jump with eax = exit number.
    pub leave: usize,
    /// Jump with rax = the effective address to go on at.
    pub leave_to: usize,
    /// Call with eax = pages to go, signed, in bytes, by the mode's SF: goes on behind the call if that page is the host
    /// page whose address stands 5 bytes further; else leaves with the exit number that stands 13 bytes further.
    pub cross: [usize; 2],
    /// Jump with rax = the effective address to go on at, of whose page the TLB knows nothing.
    pub far: usize,
    /// Jump with rax = the effective address to go on at, which [`slot::JUMPS`] does not have.
    pub seek: usize,
    /// Jump with rax = the effective address to return to, ecx = 16 times the number of a note that it is not.
    pub unnoted: usize,
    /// Call with rax = address, ecx = bytes - 1: looks up the page of a load, of a store, see [`crate::group::look`].
    pub look: [usize; 2],
    /// Call with the flags of a comparison: the CR field of an unsigned, a signed one in eax.
    pub field: [usize; 2],
    /// Call to have the fields of the CR hold their own SO, see [`crate::emit::own_so`].
    pub own_so: usize,
    /// 16-byte constants, see [`consts`].
    pub consts: usize,
    /// Call with rdi = state + BIAS, an effective address in [`slot::ASKED`] and an [`Ask`] in [`slot::SCRATCH`]: enters the
    /// TLB if that can be done, and has the window show the page; changes no register.
    #[cfg(feature = "tier2")]
    pub window: usize,
    /// See [`piece`].
    #[cfg(feature = "tier2")]
    pub pieces: [usize; piece::ALL.len()],
}

impl Thunks {
    /// The pieces that profiles name, and where they begin.
    pub fn names(&self) -> Vec<(usize, &'static str)> {
        let mut v = vec![
            (self.enter, "enter"),
            (self.one, "one"),
            (self.one_keep, "one_keep"),
            (self.leave_to, "leave"),
            (self.cross[0], "cross"),
            (self.cross[1], "cross"),
            (self.far, "far"),
            (self.seek, "seek"),
            (self.unnoted, "unnoted"),
            (self.look[0], "look"),
            (self.look[1], "look"),
            (self.field[0], "field"),
            (self.field[1], "field"),
            (self.own_so, "own_so"),
        ];
        #[cfg(feature = "tier2")]
        v.push((self.window, "window"));
        v.sort_unstable();
        v
    }
}

/// What [`Thunks::window`] is to do.
#[cfg(feature = "tier2")]
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Bytes of the access, at most 512. They are in one page, or else nothing is found.
    pub len: u32,
    /// It stores.
    pub write: bool,
    /// The window's first word, 0: none.
    pub word: u32,
    /// What the window's limit becomes if the page is found, else it becomes 0.
    pub limit: u32,
}

#[cfg(feature = "tier2")]
impl Ask {
    /// As 32 bits.
    pub fn packed(self) -> u32 {
        (self.len - 1) & 511 | (self.write as u32) << 10 | self.word << 11 | self.limit << 19
    }
}

/// Operations of the host that the second tier's compiler does not know. Call with rdi = state + BIAS, operands in
/// xmm0 and xmm1: the result goes to [`slot::PIECES`]; changes no register.
#[cfg(feature = "tier2")]
pub mod piece {
    /// Whether of doublewords, and opcode.
    pub const ALL: [(bool, u8); 9] = [
        (false, 0x47),
        (false, 0x45),
        (false, 0x46),
        (true, 0x47),
        (true, 0x45),
        (false, 0xdc),
        (false, 0xdd),
        (false, 0xde),
        (false, 0xdf),
    ];
    /// Words shifted left by those of the second operand.
    pub const SHL_W: usize = 0;
    /// To the right.
    pub const SHR_W: usize = 1;
    /// With sign.
    pub const SAR_W: usize = 2;
    /// Doublewords shifted left.
    pub const SHL_D: usize = 3;
    /// To the right.
    pub const SHR_D: usize = 4;
    /// A round of AES, bytes in the host's order.
    pub const CIPHER: usize = 5;
    /// The last one.
    pub const CIPHER_LAST: usize = 6;
    /// A round of the inverse as the host has it: the key is added last.
    pub const NCIPHER: usize = 7;
    /// The last one.
    pub const NCIPHER_LAST: usize = 8;
}

/// Constants of shuffles, in the order of `Thunks::consts`.
pub mod consts {
    /// All bytes reversed.
    pub const REV16: usize = 0;
    /// Bytes of each halfword swapped, then all reversed: halfwords in reverse order.
    pub const REVH: usize = 1;
    /// All ones.
    pub const ONES: usize = 2;
    /// 0x1f in every byte.
    pub const LOW5: usize = 3;
    /// Sign bit of every byte.
    pub const SIGN8: usize = 4;
    /// Zero.
    pub const ZERO: usize = 5;
    /// Sign bits of doubles.
    pub const SIGN64: usize = 6;
    /// Sign bits of singles.
    pub const SIGN32: usize = 7;
    /// All but the sign bits of doubles.
    pub const ABS64: usize = 8;
    /// All but the sign bits of singles.
    pub const ABS32: usize = 9;
    /// Greatest double of the two smallest exponents: what is greater cannot have been tiny before rounding.
    pub const LOW64: usize = 10;
    /// The same of singles.
    pub const LOW32: usize = 11;
    /// Greatest finite double.
    pub const MAX64: usize = 12;
    /// Greatest finite single.
    pub const MAX32: usize = 13;
    /// 31 in every word.
    pub const W31: usize = 14;
    /// 63 in every doubleword.
    pub const D63: usize = 15;
    /// 32 in every word.
    pub const W32: usize = 16;
    /// 64 in every doubleword.
    pub const D64: usize = 17;
    /// 0x70 in every byte.
    pub const X70: usize = 18;
    /// 7 in every byte.
    pub const LOW3: usize = 19;
    /// 15 in every byte.
    pub const LOW4: usize = 20;
    /// One shifted left by each number below 8, twice.
    pub const POWERS: usize = 21;
    /// 128 shifted right by each number below 8, twice.
    pub const POWERS_DOWN: usize = 22;
    /// What changes places in the three steps of [`super::TRANSPOSED`].
    pub const TRANSPOSED: usize = 23;
    /// 15 in every word.
    pub const W15: usize = 26;
    /// 255 in every halfword.
    pub const H255: usize = 27;
    /// 65535 in every word.
    pub const W65535: usize = 28;
}

/// An 8 x 8 matrix of bits changes rows and columns when bits of these masks change places with those so many to the left
/// of them, in three steps.
pub const TRANSPOSED: [(u8, u64); 3] =
    [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)];

/// What a byte is multiplied with to shift it left (`down`: right, with seven bits behind it) by each number below 8.
pub fn powers(down: bool) -> [u8; 8] {
    std::array::from_fn(|n| if down { 0x80 >> n } else { 1 << n })
}

/// Packs where an instruction stands: its offset in the page, those complete before it, its operation.
pub fn place(off: u32, done: u32, op: u16) -> u32 {
    (off >> 2) | done << 10 | (op as u32) << 18
}

/// Emits the common pieces.
pub fn emit(a: &mut Asm) -> Thunks {
    let mut t = Thunks { consts: a.pos, ..Default::default() };
    let rev: [u8; 16] = std::array::from_fn(|n| 15 - n as u8);
    let revh: [u8; 16] = std::array::from_fn(|n| (14 - 2 * (n as u8 / 2)) + n as u8 % 2);
    for c in [rev, revh, [0xff; 16], [0x1f; 16], [0x80; 16], [0; 16]] {
        c.iter().for_each(|&x| a.b(x));
    }
    let doubles = |x: u64| [x, x];
    let singles = |x: u32| [(x as u64) << 32 | x as u64; 2];
    let more = [
        doubles(1 << 63),
        singles(1 << 31),
        doubles(u64::MAX >> 1),
        singles(u32::MAX >> 1),
        doubles((2 << 52) - 1),
        singles((2 << 23) - 1),
        doubles((0x7ff << 52) - 1),
        singles((0xff << 23) - 1),
        singles(31),
        doubles(63),
        singles(32),
        doubles(64),
        doubles(0x7070_7070_7070_7070),
        doubles(0x0707_0707_0707_0707),
        doubles(0x0f0f_0f0f_0f0f_0f0f),
        doubles(u64::from_le_bytes(powers(false))),
        doubles(u64::from_le_bytes(powers(true))),
        doubles(TRANSPOSED[0].1),
        doubles(TRANSPOSED[1].1),
        doubles(TRANSPOSED[2].1),
        singles(15),
        singles(0x00ff_00ff),
        singles(0xffff),
    ];
    more.iter().flatten().for_each(|&x| a.q(x));
    let align = |a: &mut Asm| {
        while a.pos % 16 != 0 {
            a.b(0xcc);
        }
    };
    align(a);
    t.enter = a.pos;
    let saved = [RBX, RBP, R(12), R(13), R14, R15];
    saved.iter().for_each(|&r| a.push(r));
    a.alui(Alu::Sub, true, RSP, 8);
    a.mov(RBP, RSI);
    a.mov(R15, RDX);
    a.mov(R14, RCX);
    a.jmp_r(RDI);
    align(a);
    t.leave_to = a.pos;
    a.store(m(RBP, field(std::mem::offset_of!(arch::CpuState, nia))), RAX, 8);
    a.movi32(RAX, leave::LOOK as u32);
    t.leave = a.pos;
    a.store(engine(slot::LEFT), R14, 8);
    a.alui(Alu::Add, true, RSP, 8);
    saved.iter().rev().for_each(|&r| a.pop(r));
    a.ret();
    align(a);
    t.one = a.pos;
    a.load(RDI, engine(slot::RUN));
    a.store(engine(slot::LEFT), R14, 8);
    a.alui(Alu::Sub, true, RSP, 8);
    a.movi(RAX, one as *const () as u64);
    a.call_r(RAX);
    a.alui(Alu::Add, true, RSP, 8);
    a.test(false, RAX, RAX);
    let out = a.jcc(Cc::Ne);
    a.ret();
    a.here(out);
    let after = a.pos;
    a.alui(Alu::Add, true, RSP, 8);
    a.alum(Alu::Sub, true, R14, engine(slot::ADJUST));
    let over = a.jcc(Cc::S);
    a.alui(Alu::Cmp, false, RAX, ELSEWHERE as i32);
    let look = a.jcc(Cc::Ne);
    dispatch(a, [over, look], t.leave);
    for sf in [false, true] {
        align(a);
        t.cross[sf as usize] = cross(a, sf, t.leave);
    }
    align(a);
    t.far = far(a, t.leave_to);
    align(a);
    t.unnoted = unnoted(a, t.far, t.leave_to);
    align(a);
    t.seek = seek(a, t.far, t.leave_to);
    for write in [0, 1] {
        align(a);
        t.look[write] = crate::group::look(a, slot::DATA[write]);
    }
    for signed in [0, 1] {
        align(a);
        t.field[signed] = a.pos;
        crate::emit::field_of(a, signed != 0);
        a.ret();
    }
    align(a);
    t.own_so = a.pos;
    crate::emit::own_so(a);
    align(a);
    t.one_keep = a.pos;
    let room = 14 * 16 + 8;
    let place = |n: u8| m(RSP, 16 * n as i32);
    a.load(RDI, engine(slot::RUN));
    a.store(engine(slot::LEFT), R14, 8);
    a.alui(Alu::Sub, true, RSP, room);
    (0..14).for_each(|n| a.xstore(place(n), X(n)));
    a.movi(RAX, one as *const () as u64);
    a.call_r(RAX);
    (0..14).for_each(|n| a.xload(X(n), place(n)));
    a.alui(Alu::Add, true, RSP, room);
    a.test(false, RAX, RAX);
    let leaves = a.jcc(Cc::Ne);
    a.patch(leaves, after);
    a.ret();
    align(a);
    #[cfg(feature = "tier2")]
    {
        t.window = window(a);
    }
    #[cfg(feature = "tier2")]
    if std::arch::is_x86_feature_detected!("avx2") {
        for (n, &(wide, op)) in piece::ALL.iter().enumerate() {
            align(a);
            if op >= 0xdc && !std::arch::is_x86_feature_detected!("aes") {
                continue;
            }
            t.pieces[n] = a.pos;
            // Below the stack pointer nothing else comes by.
            a.xstore(m(RSP, -24), X(0));
            a.vex(1, 2, wide, op, 0, 0, 1);
            a.xstore(M { base: RDI, ..engine(slot::PIECES + 2 * n) }, X(0));
            a.xload(X(0), m(RSP, -24));
            a.ret();
        }
    }
    align(a);
    t
}

/// [`Thunks::window`]
#[cfg(feature = "tier2")]
fn window(a: &mut Asm) -> usize {
    let fill_at = a.pos;
    // rsi: the address, rdx: kind of access.
    let all = [RAX, RCX, RDX, RSI, RDI, R(8), R(9), R(10), R(11)];
    all.iter().for_each(|&r| a.push(r));
    // rsp is aligned to 16 here.
    a.alui(Alu::Sub, true, RSP, 264);
    (0..16u8).for_each(|n| a.xstore(m(RSP, 16 * n as i32), X(n)));
    a.load(RDI, M { base: RDI, ..engine(slot::RUN) });
    a.movi(RAX, fill as *const () as u64);
    a.call_r(RAX);
    (0..16u8).for_each(|n| a.xload(X(n), m(RSP, 16 * n as i32)));
    a.alui(Alu::Add, true, RSP, 264);
    all.iter().rev().for_each(|&r| a.pop(r));
    a.ret();
    while a.pos % 16 != 0 {
        a.b(0xcc);
    }
    let at = a.pos;
    let word = |n: usize| M { base: RDI, ..engine(n) };
    let saved = [RAX, RCX, RDX, RSI];
    saved.iter().for_each(|&r| a.push(r));
    a.load(RSI, word(slot::ASKED));
    a.load32(RCX, word(slot::SCRATCH));
    a.mov32(RDX, RCX);
    a.alui(Alu::And, false, RDX, 511);
    a.alu(Alu::Add, true, RDX, RSI);
    a.alui(Alu::And, true, RDX, -4096);
    a.mov(RAX, RSI);
    a.alui(Alu::And, true, RAX, -4096);
    a.alu(Alu::Cmp, true, RAX, RDX);
    let crosses = a.jcc(Cc::Ne);
    a.shi(Sh::Shr, false, RAX, (mem::PAGE_SHIFT - ENTRY.trailing_zeros()) as u8);
    a.alui(Alu::And, false, RAX, ((1 << mem::TLB_BITS) - 1) * ENTRY);
    // The tables of loads and stores are words side by side.
    a.shi(Sh::Shr, false, RCX, 10);
    a.alui(Alu::And, false, RCX, 1);
    a.alum(Alu::Add, true, RAX, M { index: Some((RCX, 3)), ..word(slot::DATA[0]) });
    a.alum(Alu::Cmp, true, RDX, m(RAX, TAG));
    let miss = a.jcc(Cc::Ne);
    let found = a.pos;
    a.load(RSI, m(RAX, ADDEND));
    a.load32(RCX, word(slot::SCRATCH));
    a.mov32(RAX, RCX);
    a.shi(Sh::Shr, false, RCX, 11);
    a.alui(Alu::And, false, RCX, 255);
    let none = a.jcc(Cc::E);
    a.shi(Sh::Shr, false, RAX, 19);
    let part = |k: usize| M { index: Some((RCX, 3)), ..word(k) };
    a.store(part(0), RDX, 8);
    a.store(part(1), RSI, 8);
    a.store(part(2), RAX, 8);
    a.here(none);
    let done = a.pos;
    saved.iter().rev().for_each(|&r| a.pop(r));
    a.ret();
    a.here(miss);
    a.mov(RAX, RDX);
    a.mov32(RDX, RCX);
    a.call_to(fill_at);
    a.mov(RDX, RAX);
    a.shi(Sh::Shr, false, RAX, (mem::PAGE_SHIFT - ENTRY.trailing_zeros()) as u8);
    a.alui(Alu::And, false, RAX, ((1 << mem::TLB_BITS) - 1) * ENTRY);
    a.alum(Alu::Add, true, RAX, M { index: Some((RCX, 3)), ..word(slot::DATA[0]) });
    a.alum(Alu::Cmp, true, RDX, m(RAX, TAG));
    let now = a.jcc(Cc::E);
    a.patch(now, found);
    a.here(crosses);
    a.load32(RCX, word(slot::SCRATCH));
    a.shi(Sh::Shr, false, RCX, 11);
    a.alui(Alu::And, false, RCX, 255);
    let none = a.jcc(Cc::E);
    a.patch(none, done);
    a.movi32(RAX, 0);
    a.store(part(2), RAX, 8);
    a.jmp_to(done);
    at
}

const TAG: i32 = std::mem::offset_of!(mem::TlbEntry, tag) as i32;
const ADDEND: i32 = std::mem::offset_of!(mem::TlbEntry, addend) as i32;

/// TLB entry of instruction fetches from the page of rax to rcx. Changes rcx alone.
fn fetch_entry(a: &mut Asm) {
    a.mov32(RCX, RAX);
    a.shi(Sh::Shr, false, RCX, (mem::PAGE_SHIFT - ENTRY.trailing_zeros()) as u8);
    a.alui(Alu::And, false, RCX, ((1 << mem::TLB_BITS) - 1) * ENTRY);
    a.alum(Alu::Add, true, RCX, engine(slot::FETCH));
}

/// [`Thunks::cross`]
fn cross(a: &mut Asm, sf: bool, leave: usize) -> usize {
    let at = a.pos;
    a.exts(RAX, RAX, 32);
    a.alum(Alu::Add, true, RAX, engine(slot::BASE));
    if !sf {
        a.mov32(RAX, RAX);
    }
    // Around 32 bits there are ways of pages that the TLB knows all at once.
    let mut leaves = Vec::new();
    if !sf {
        a.load(RDX, m(RSP, 0));
        a.test(true, R14, R14);
        leaves.extend(poll(a));
    }
    fetch_entry(a);
    a.load(RDX, m(RSP, 0));
    a.alum(Alu::Cmp, true, RAX, m(RCX, TAG));
    let miss = a.jcc(Cc::Ne);
    let entry = a.pos;
    a.load(RCX, m(RCX, ADDEND));
    a.alu(Alu::Add, true, RCX, RAX);
    a.alum(Alu::Cmp, true, RCX, m(RDX, 5));
    let other = a.jcc(Cc::Ne);
    a.store(engine(slot::BASE), RAX, 8);
    a.ret();
    a.here(miss);
    fill_fetch(a, 8);
    a.load(RDX, m(RSP, 0));
    // Who goes forward only looks nowhere else whether it is to leave.
    a.test(true, R14, R14);
    leaves.extend(poll(a));
    fetch_entry(a);
    a.alum(Alu::Cmp, true, RAX, m(RCX, TAG));
    let found = a.jcc(Cc::E);
    a.patch(found, entry);
    a.here(other);
    for s in leaves {
        a.here(s);
    }
    a.load32(RAX, m(RDX, 13));
    a.alui(Alu::Add, true, RSP, 8);
    a.jmp_to(leave);
    at
}

/// With the flags of the budget: branches that are taken when it is used up, and when something is posted. Changes rcx
/// alone.
pub fn poll(a: &mut Asm) -> [usize; 2] {
    let over = a.jcc(Cc::S);
    a.load(RCX, engine(slot::EXIT));
    a.alumi(Alu::Cmp, false, m(RCX, 0), 0);
    [over, a.jcc(Cc::Ne)]
}

/// Enter the TLB for a fetch from rax, which stays; `room` bytes of stack below align it. Other registers are lost.
fn fill_fetch(a: &mut Asm, room: i32) {
    a.alui(Alu::Sub, true, RSP, room);
    a.store(m(RSP, 0), RAX, 8);
    a.load(RDI, engine(slot::RUN));
    a.mov(RSI, RAX);
    a.movi32(RDX, FETCHES);
    a.movi(RAX, fill as *const () as u64);
    a.call_r(RAX);
    a.load(RAX, m(RSP, 0));
    a.alui(Alu::Add, true, RSP, room);
}

/// [`Thunks::far`]
fn far(a: &mut Asm, leave_to: usize) -> usize {
    let at = a.pos;
    fill_fetch(a, 16);
    let leaves = find_page(a);
    a.jmp_m(m(RDX, 8));
    for s in leaves {
        a.patch(s, leave_to);
    }
    at
}

/// Part of the note that `top` says.
pub fn noted(top: R, part: i32) -> M {
    M { index: Some((top, 0)), disp: engine(slot::RETURNS).disp + part, ..engine(0) }
}

/// Return to the effective address in rax if it is the one noted last. Gives the site of the branch that is taken when it
/// is not.
pub fn go_back(a: &mut Asm) -> usize {
    a.load32(RCX, engine(slot::TOP));
    noted_last(a)
}

/// The same with 16 times the number of the note in ecx.
fn noted_last(a: &mut Asm) -> usize {
    a.alum(Alu::Cmp, true, RAX, noted(RCX, 0));
    let other = a.jcc(Cc::Ne);
    a.load(RDX, noted(RCX, 8));
    a.alui8(Alu::Sub, RCX, 16);
    a.store(engine(slot::TOP), RCX, 4);
    a.alui(Alu::And, true, RAX, -4096);
    a.store(engine(slot::BASE), RAX, 8);
    a.jmp_r(RDX);
    other
}

/// [`Thunks::unnoted`]
fn unnoted(a: &mut Asm, far: usize, leave_to: usize) -> usize {
    let at = a.pos;
    // A call may have been left otherwise, and then its note is in the way.
    a.alui8(Alu::Sub, RCX, 16);
    let other = noted_last(a);
    a.here(other);
    let [miss, other] = find_page(a);
    a.jmp_m(m(RDX, 8));
    a.patch(miss, far);
    a.patch(other, leave_to);
    at
}

/// Go on at the effective address in rax by the table of where branches went. Gives the site of the branch that is taken when
/// it does not have it.
pub fn go_where_others_went(a: &mut Asm) -> usize {
    let entry = |part| M { index: Some((RCX, 2)), ..m(RDX, part) };
    a.load(RDX, engine(slot::JUMPS));
    a.mov32(RCX, RAX);
    a.alui(Alu::And, false, RCX, 4 * (JUMPS as i32 - 1));
    a.alum(Alu::Cmp, true, RAX, entry(0));
    let other = a.jcc(Cc::Ne);
    a.alui(Alu::And, true, RAX, -4096);
    a.store(engine(slot::BASE), RAX, 8);
    a.jmp_m(entry(8));
    other
}

/// [`Thunks::seek`]
fn seek(a: &mut Asm, far: usize, leave_to: usize) -> usize {
    let at = a.pos;
    let [miss, other] = find_page(a);
    a.patch(miss, far);
    a.patch(other, leave_to);
    a.load(RDX, m(RDX, 8));
    a.mov32(RCX, RAX);
    a.alui(Alu::And, false, RCX, 4 * (JUMPS as i32 - 1));
    a.shi(Sh::Shl, false, RCX, 2);
    a.alum(Alu::Add, true, RCX, engine(slot::JUMPS));
    a.store(m(RCX, 0), RAX, 8);
    a.store(m(RCX, 8), RDX, 8);
    a.storei(engine(slot::JUMPS_USED), 1);
    a.jmp_r(RDX);
    at
}

/// Go on at `nia` in whatever mode the engine's words say, or leave to have the run loop find the way; `leaves` do too.
fn dispatch(a: &mut Asm, leaves: [usize; 2], leave: usize) {
    a.load(RAX, m(RBP, field(std::mem::offset_of!(arch::CpuState, nia))));
    let others = find_page(a);
    a.jmp_m(m(RDX, 8));
    for s in leaves.into_iter().chain(others) {
        a.here(s);
    }
    a.movi32(RAX, leave::LOOK as u32);
    a.jmp_to(leave);
}

const ENTRY: i32 = std::mem::size_of::<mem::TlbEntry>() as i32;

/// The entry of the table of blocks for the effective address in rax, in the mode that the engine's words say, to rdx, and
/// its page to the engine's words. Gives the sites of branches that are taken when there is none.
pub fn find_page(a: &mut Asm) -> [usize; 2] {
    fetch_entry(a);
    a.mov(RDX, RAX);
    a.alui(Alu::And, true, RDX, -4096);
    a.alum(Alu::Cmp, true, RDX, m(RCX, TAG));
    let miss = a.jcc(Cc::Ne);
    a.load(RCX, m(RCX, ADDEND));
    a.alu(Alu::Add, true, RCX, RAX);
    a.store(engine(slot::BASE), RDX, 8);
    [miss, find(a)]
}

/// The entry of the table of blocks for the host address of instructions in rcx, in the mode that the engine's words say,
/// to rdx. Gives the site of a branch that is taken when the table does not have it.
pub fn find(a: &mut Asm) -> usize {
    a.alum(Alu::Xor, true, RCX, engine(slot::KEY));
    a.mov32(RDX, RCX);
    a.alui(Alu::And, false, RDX, ((crate::TABLE - 1) << 2) as i32);
    a.alum_lea4(RDX);
    a.alum(Alu::Cmp, true, RCX, m(RDX, 0));
    a.jcc(Cc::Ne)
}

/// Kind of access of [`fill`]: instructions. 0: a load, 1: a store.
const FETCHES: u32 = 2;

/// Enters the TLB for an access of kind `kind` to `ea`, if the guest may make it. Whoever probed looks again.
extern "sysv64" fn fill(run: *mut Run, ea: u64, kind: u64) {
    // SAFETY: as in `one`.
    let run = unsafe { &mut *run };
    // SAFETY: as in `one`.
    let cpu = unsafe { &mut *run.cpu };
    let access = match kind as u32 {
        0 => mem::Access::Read,
        FETCHES => mem::Access::Exec,
        _ => mem::Access::Write,
    };
    let r = std::panic::catch_unwind(AssertUnwindSafe(|| {
        // A fault is met again by the instruction when it is carried out whole.
        let _ = cpu.real_of(ea, access);
    }));
    if let Err(p) = r {
        run.panic = Some(p);
    }
}

/// Run translated code at `code` until it leaves; `left` instructions of budget. Gives why.
///
/// # Safety
/// `enter` and `code` are addresses of the entry thunk and of a block of the same code cache, which is for processors of
/// this partition, for the present mode and the page of `nia`. The processor is marked as inside of code, so that its
/// memory stays as it is. `run.cpu` and the words of `CpuState::engine` are set for `cpu`, of which no reference is used
/// until the return.
pub unsafe fn enter(enter: u64, code: u64, cpu: *mut Cpu, left: i64) -> u64 {
    // SAFETY: the caller's: `cpu` is valid, `enter` is a function of this type.
    unsafe {
        let f: extern "sysv64" fn(u64, *mut u8, *const mem::TlbEntry, i64) -> u64 =
            std::mem::transmute(enter);
        let st = (&raw mut *(*cpu).st).cast::<u8>().add(BIAS as usize);
        let tlb = (*cpu).tlb.tables();
        f(code, st, tlb, left)
    }
}

/// The address of `exit` for translated code to read.
pub fn exit_at(cpu: &Cpu) -> u64 {
    cpu.link.exit.as_ptr() as u64
}

/// What [`one`] answers: the code that called it goes on.
const STAY: u32 = 0;
/// Leave for the run loop.
const LEAVE: u32 = 1;
/// The instruction is complete and `nia` is elsewhere, maybe in another mode: go on there.
const ELSEWHERE: u32 = 2;

/// Carries out one instruction for translated code: [`STAY`], [`LEAVE`] or [`ELSEWHERE`].
extern "sysv64" fn one(run: *mut Run, raw: u32, place: u32, prefix: u32) -> u32 {
    // SAFETY: `run` is the `Run` of the run loop that entered the code, which is suspended in `enter` and holds no
    // reference to it or to its processor.
    let run = unsafe { &mut *run };
    // SAFETY: as above; `cpu` was set by that run loop.
    let cpu = unsafe { &mut *run.cpu };
    match std::panic::catch_unwind(AssertUnwindSafe(|| one_inner(cpu, run.end, raw, place, prefix))) {
        Ok((then, exit)) => {
            run.exit = exit;
            run.interpreted += 1;
            if let Some(n) = run.by_op.as_mut().and_then(|t| t.get_mut((place >> 18) as usize)) {
                *n += 1;
            }
            then
        }
        Err(p) => {
            run.panic = Some(p);
            LEAVE
        }
    }
}

fn one_inner(cpu: &mut Cpu, end: u64, raw: u32, place: u32, prefix: u32) -> (u32, Option<Exit>) {
    let off = (place & 0x3ff) as u64 * 4;
    let done = (place >> 10 & 0xff) as u64;
    let cia = cpu.st.engine[slot::BASE] | off;
    let i = if prefix != 0 { Insn::prefixed(prefix, raw) } else { Insn::new(raw) };
    let op =
        ((place >> 18) as usize).checked_sub(2).and_then(|n| ROWS.get(n)).map_or(isa::Op::Invalid, |r| r.op);
    let sf = cpu.st.mode.sf;
    cpu.refetch = false;
    let next = cia.wrapping_add(if prefix != 0 { 8 } else { 4 });
    let next = if sf { next } else { next & 0xffff_ffff };
    cpu.st.engine[slot::ADJUST] = done + 1;
    // As the interpreter counts: the instruction is among them until it turns out to fault.
    cpu.retired = end.wrapping_sub(cpu.st.engine[slot::LEFT]).wrapping_add(done + 1);
    match interp::exec_one(cpu, op, i, cia) {
        One::Next => {
            // A store that dropped no code leaves everything as it was.
            if stays(cpu) {
                renew_returns(cpu);
                return (STAY, None);
            }
            cpu.st.nia = next;
        }
        One::Jump(to) => cpu.st.nia = if sf { to } else { to & 0xffff_ffff },
        One::Stop(Stop::Events, after) => {
            cpu.st.nia = after;
            if stays(cpu) {
                renew_returns(cpu);
                return (STAY, None);
            }
        }
        One::Stop(s, after) => {
            cpu.retired = cpu.retired.wrapping_sub((s == Stop::Fault) as u64);
            let exit = cpu.handle_stop(s, cia, after);
            cpu.st.engine[slot::ADJUST] = done + (s != Stop::Fault) as u64;
            if exit.is_some() {
                return (LEAVE, exit);
            }
        }
    }
    (if turn(cpu) { ELSEWHERE } else { LEAVE }, None)
}

/// Have the engine's words say the processor's present mode; false when the run loop has something to do first.
fn turn(cpu: &mut Cpu) -> bool {
    use std::sync::atomic::Ordering;
    let ok = !cpu.stepping()
        && cpu.link.exit.load(Ordering::Relaxed) == 0
        && cpu.sh.ram.code_drops() == cpu.st.engine[slot::SEEN];
    if ok {
        set_mode(cpu);
    }
    ok
}

/// Set the words that depend on the processor's mode.
pub fn set_mode(cpu: &mut Cpu) {
    let fetch = mem::table_offset(cpu.imode, mem::Access::Exec) as u64;
    let data = [mem::Access::Read, mem::Access::Write].map(|a| mem::table_offset(cpu.dmode, a) as u64);
    let key = (crate::key_of(cpu) as u64) << 48;
    let w = &mut cpu.st.engine;
    let tables = cpu.tlb.tables() as u64;
    w[slot::FETCH] = tables + fetch;
    w[slot::DATA[0]] = tables + data[0];
    w[slot::DATA[1]] = tables + data[1];
    let problem_state = cpu.st.mode.pr;
    if problem_state && std::mem::replace(&mut w[slot::JUMPS_KEY], key) != key {
        forget_jumps(cpu);
    }
    if std::mem::replace(&mut cpu.st.engine[slot::KEY], key) != key {
        forget_returns(cpu);
    }
    renew_returns(cpu);
}

/// Have no return go where the TLB's forgetting may have changed what is there.
fn renew_returns(cpu: &mut Cpu) {
    if cpu.st.engine[slot::GENERATION] != cpu.tlb.generation() {
        forget_returns(cpu);
    }
}

/// Have no return go where code was noted, and no window show a page.
pub fn forget_returns(cpu: &mut Cpu) {
    if cpu.st.engine[slot::GENERATION] != cpu.tlb.generation() {
        forget_jumps(cpu);
    }
    let w = &mut cpu.st.engine;
    w[slot::OWNERS..][..slot::BANKS].fill(0);
    w[slot::GENERATION] = cpu.tlb.generation();
    for note in w[slot::RETURNS..][..2 * slot::NOTES].iter_mut().step_by(2) {
        *note = NOWHERE;
    }
}

/// Have no indirect branch go where others went.
pub fn forget_jumps(cpu: &mut Cpu) {
    let w = &mut cpu.st.engine;
    if std::mem::take(&mut w[slot::JUMPS_USED]) == 0 {
        return;
    }
    // SAFETY: the table of the run loop that set the word, which uses it by this address only; entries are there only
    // while it is on the stack, or since.
    let table = unsafe { std::slice::from_raw_parts_mut(w[slot::JUMPS] as *mut [u64; 2], JUMPS) };
    table.iter_mut().for_each(|e| e[0] = NOWHERE);
}

/// Whether the code that runs may go on after an instruction: same mode, nothing posted, no code dropped.
fn stays(cpu: &Cpu) -> bool {
    use std::sync::atomic::Ordering;
    let st = &cpu.st;
    !cpu.stepping()
        && crate::key_of(cpu) as u64 == st.engine[slot::KEY] >> 48
        && cpu.link.exit.load(Ordering::Relaxed) == 0
        && cpu.sh.ram.code_drops() == st.engine[slot::SEEN]
        && (!cpu.refetch || cpu.tlb.real(cpu.imode, st.engine[slot::BASE], mem::Access::Exec).is_some())
}
