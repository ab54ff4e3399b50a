//! Accesses off one base register that share one look-up in the TLB.
//!
//! The first of several loads (or stores) with displacements off the same register looks up the page of all of them at
//! once, and keeps the way to host memory in a register of its own, under a number behind those of the guest's
//! registers. The others use it as long as it is there. It is 0 when the bytes do not lie in one page, when the page
//! is not in the TLB, and after anything was left to the interpreter; then each access looks its page up by itself,
//! behind the block.

use isa::Acc;

use crate::asm::{Alu, Cc, M, R, RAX, RCX, Sh, m, mx};
use crate::emit::{Emit, V};
use crate::regs::{GROUP, GROUPS};

/// Most bytes from the first to the last of a group: rare enough to leave a page.
const SPAN: i32 = 512;

/// Instructions looked at for more accesses.
const AHEAD: u32 = 20;

/// Bytes `lo..hi` off the present value of a register that are known to lie in one page.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    base: u8,
    write: bool,
    lo: i32,
    hi: i32,
}

/// An access with its group's register, to be made again with a look-up of its own when that is 0.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    base: R,
    disp: i32,
    addend: R,
    what: What,
    /// Code offset behind the access.
    after: usize,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Load(R, Acc),
    Store(V, Acc),
}

/// What a word of code does to a base register, as far as can be told at a glance.
enum Glance {
    /// An access: stores, bytes, displacement, whether the register is the address afterwards.
    Access(bool, i32, i32, bool),
    /// The register moves by this much.
    Moves(i32),
    /// Nothing.
    Other,
    /// The register is lost, or control.
    Lost,
}

/// A glance at `w` for register `g`. Mistakes only cost time.
fn glance(w: u32, g: u8) -> Glance {
    let g = g as u32;
    let (rt, ra) = (w >> 21 & 31, w >> 16 & 31);
    let si = w as i16 as i32;
    let op = w >> 26;
    let (store, size, update, gpr) = match op {
        32 | 33 => (false, 4, op & 1 != 0, true),
        34 | 35 => (false, 1, op & 1 != 0, true),
        36 | 37 => (true, 4, op & 1 != 0, false),
        38 | 39 => (true, 1, op & 1 != 0, false),
        40..=43 => (false, 2, op & 1 != 0, true),
        44 | 45 => (true, 2, op & 1 != 0, false),
        48 | 49 => (false, 4, op & 1 != 0, false),
        50 | 51 => (false, 8, op & 1 != 0, false),
        52 | 53 => (true, 4, op & 1 != 0, false),
        54 | 55 => (true, 8, op & 1 != 0, false),
        58 => (false, if w & 3 == 2 { 4 } else { 8 }, w & 3 == 1, true),
        62 if w & 3 < 2 => (true, 8, w & 3 == 1, false),
        1 | 17 | 18 | 19 => return Glance::Lost,
        16 => return if w & 1 != 0 { Glance::Lost } else { Glance::Other },
        14 if rt == g && ra == g => return Glance::Moves(si),
        7 | 8 | 12..=15 => return if rt == g { Glance::Lost } else { Glance::Other },
        20..=30 => return if ra == g { Glance::Lost } else { Glance::Other },
        31 => return if rt == g || ra == g { Glance::Lost } else { Glance::Other },
        _ => return Glance::Other,
    };
    if ra == g {
        let disp = if matches!(op, 58 | 62) { si & !3 } else { si };
        if gpr && rt == g {
            return Glance::Lost;
        }
        return Glance::Access(store, size, disp, update);
    }
    if gpr && rt == g { Glance::Lost } else { Glance::Other }
}

impl Emit<'_> {
    /// The bytes off `g` that this access and others to come need; `None` when there are no others.
    fn span(&self, g: u8, disp: i32, size: i32, write: bool) -> Option<(i32, i32)> {
        let (mut lo, mut hi) = (disp, disp + size);
        let (mut moved, mut more) = (0i32, false);
        for n in 0..AHEAD {
            let off = self.off + self.len + 4 * n;
            let Some(w) = self.word(off) else { break };
            match glance(w, g) {
                Glance::Access(store, size, d, update) => {
                    let at = moved + d;
                    let (l, h) = (lo.min(at), hi.max(at + size));
                    if store == write && h - l <= SPAN {
                        (lo, hi, more) = (l, h, true);
                    }
                    if update {
                        moved += d;
                    }
                }
                Glance::Moves(d) => moved += d,
                Glance::Other => {}
                Glance::Lost => break,
            }
        }
        more.then_some((lo, hi))
    }

    /// Use a group for the access at `ea`, or begin one: base, displacement and the register to add.
    fn grouped(&mut self, ea: V, size: u8, write: bool) -> Option<(R, i32, R)> {
        let (r, disp) = match ea {
            V::Reg(r) => (r, 0),
            V::Off(r, o) => (r, o),
            V::Imm(_) => return None,
        };
        let g = self.regs.guest(r).filter(|&g| g < 32)?;
        if !self.fresh() || disp.unsigned_abs() > 0x8000 {
            return None;
        }
        let size = size as i32;
        let mut free = 0;
        for k in 0..GROUPS {
            match (self.groups[k], self.regs.peek(GROUP + k as u8)) {
                (Some(q), Some(_))
                    if q.base == g && q.write == write && q.lo <= disp && disp + size <= q.hi =>
                {
                    let h = self.regs.host(GROUP + k as u8)?;
                    self.a.test(true, h, h);
                    self.cold(Cc::E);
                    return Some((r, disp, h));
                }
                (Some(_), Some(_)) => {}
                _ => free = k,
            }
        }
        let (lo, hi) = self.span(g, disp, size, write)?;
        let h = self.regs.alloc()?;
        self.probe_range(V::Off(r, lo), hi - lo, write, h);
        self.regs.assign(GROUP + free as u8, h);
        self.groups[free] = Some(Group { base: g, write, lo, hi });
        Some((r, disp, h))
    }

    /// Register `n` gets the value `v`: groups off it follow or end.
    pub(crate) fn move_groups(&mut self, n: u8, v: V) {
        let by = match v {
            V::Off(r, o) if self.regs.guest(r) == Some(n) => Some(o),
            V::Reg(r) if self.regs.guest(r) == Some(n) => Some(0),
            _ => None,
        };
        for q in self.groups.iter_mut().filter(|q| q.is_some_and(|q| q.base == n)) {
            *q = match (*q, by) {
                (Some(g), Some(o)) => match (g.lo.checked_sub(o), g.hi.checked_sub(o)) {
                    (Some(lo), Some(hi)) => Some(Group { lo, hi, ..g }),
                    _ => None,
                },
                _ => None,
            };
        }
    }

    /// Load a scalar.
    pub(crate) fn load_scalar(&mut self, ea: V, acc: Acc) -> V {
        if let Some((r, disp, h)) = self.grouped(ea, acc.size, false) {
            let d = self.alloc();
            self.load_from(mx(r, h, disp), d, acc);
            self.retry =
                Some(Retry { base: r, disp, addend: h, what: What::Load(d, acc), after: self.a.pos });
            return V::Reg(d);
        }
        let at = self.probe(ea, acc.size, false);
        let d = self.alloc();
        self.load_from(at, d, acc);
        V::Reg(d)
    }

    /// Store a scalar.
    pub(crate) fn store_scalar(&mut self, ea: V, v: V, acc: Acc) {
        if let Some((r, disp, h)) = self.grouped(ea, acc.size, true) {
            self.store_to(mx(r, h, disp), v, acc);
            self.retry =
                Some(Retry { base: r, disp, addend: h, what: What::Store(v, acc), after: self.a.pos });
            self.writes();
            return;
        }
        let at = self.probe(ea, acc.size, true);
        self.writes();
        self.store_to(at, v, acc);
    }

    fn load_from(&mut self, at: M, d: R, acc: Acc) {
        if !self.swaps(acc) {
            if acc.signed {
                self.a.loads(d, at, acc.size);
            } else {
                self.a.loadz(d, at, acc.size);
            }
            return;
        }
        self.a.loadz(d, at, acc.size);
        match acc.size {
            2 => self.a.swap16(d),
            4 => self.a.bswap(false, d),
            _ => self.a.bswap(true, d),
        }
        if acc.signed && acc.size < 8 {
            self.a.exts(d, d, 8 * acc.size);
        }
    }

    fn store_to(&mut self, at: M, v: V, acc: Acc) {
        let s = if self.swaps(acc) {
            self.to(RAX, v);
            match acc.size {
                2 => self.a.swap16(RAX),
                4 => self.a.bswap(false, RAX),
                _ => self.a.bswap(true, RAX),
            }
            RAX
        } else if let V::Reg(r) = v {
            r
        } else {
            self.to(RAX, v);
            RAX
        };
        self.a.store(at, s, acc.size);
    }

    /// The access of `t` with a look-up of its own. Gives the site of a branch for when that fails too.
    pub(crate) fn retry(&mut self, t: Retry) -> usize {
        let (write, acc) = match t.what {
            What::Load(_, acc) => (false, acc),
            What::Store(_, acc) => (true, acc),
        };
        self.a.alu(Alu::Xor, false, t.addend, t.addend);
        self.a.lea(RAX, m(t.base, t.disp));
        self.a.movi32(RCX, acc.size as u32 - 1);
        self.a.call_to(self.thunks.look[write as usize]);
        let miss = self.a.jcc(Cc::Ne);
        let at = mx(t.base, RCX, t.disp);
        match t.what {
            What::Load(d, acc) => self.load_from(at, d, acc),
            What::Store(v, acc) => self.store_to(at, v, acc),
        }
        self.a.jmp_to(t.after);
        miss
    }
}

/// Emits the piece that looks up the page of `ecx + 1` bytes at rax in the table that engine word `slot` names: zero
/// flag, and the distance to host memory in rcx, when all are in one page that is there. Changes rdx too.
pub fn look(a: &mut crate::asm::Asm, slot: usize) -> usize {
    use crate::asm::RDX;
    let at = a.pos;
    let entry = std::mem::size_of::<mem::TlbEntry>() as i32;
    a.mov32(RDX, RAX);
    a.shi(Sh::Shr, false, RDX, (mem::PAGE_SHIFT - entry.trailing_zeros()) as u8);
    a.alui(Alu::And, false, RDX, ((1 << mem::TLB_BITS) - 1) * entry);
    a.alum(Alu::Add, true, RDX, crate::thunk::engine(slot));
    a.alu(Alu::Add, true, RCX, RAX);
    a.alui(Alu::And, true, RCX, -4096);
    a.alum(Alu::Cmp, true, RCX, m(RDX, std::mem::offset_of!(mem::TlbEntry, tag) as i32));
    a.load(RCX, m(RDX, std::mem::offset_of!(mem::TlbEntry, addend) as i32));
    a.ret();
    at
}
