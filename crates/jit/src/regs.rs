//! Which guest registers stand in which host registers.

use crate::asm::R;

/// Guest registers that are cached: 0..32 the general ones, then these.
pub const LR: u8 = 32;
/// Count register.
pub const CTR: u8 = 33;
/// Ways to memory that groups of accesses share, numbered like guest registers.
pub const GROUP: u8 = 34;
/// How many of those.
pub const GROUPS: usize = 3;
const GUEST: usize = 34 + GROUPS;
/// No register.
pub const NONE: u8 = 0xff;

/// Host registers for values: all but rax, rcx, rdx (scratch), rsp, rbp, r14, r15.
pub const POOL: [R; 9] = [R(3), R(6), R(7), R(8), R(9), R(10), R(11), R(12), R(13)];

/// The cache: every guest register's memory is current too, so an entry may be dropped at any time.
#[derive(Clone, Copy)]
pub struct Regs {
    guest_of: [u8; 16],
    host_of: [u8; GUEST],
    /// When each host register was used last, and below that its number, [`Regs::rank`].
    ranks: [u32; 16],
    clock: u32,
    /// Host registers whose values this instruction still needs.
    pinned: u16,
}

impl Default for Regs {
    fn default() -> Self {
        let ranks = std::array::from_fn(|h| Regs::rank(0, h as u8));
        Regs { guest_of: [NONE; 16], host_of: [NONE; GUEST], ranks, clock: 0, pinned: 0 }
    }
}

impl Regs {
    /// An instruction begins: its handles are none.
    pub fn unpin(&mut self) {
        self.pinned = 0;
    }

    /// Where guest register `n` is now.
    pub fn peek(&self, n: u8) -> Option<R> {
        let h = self.host_of[n as usize];
        (h != NONE).then_some(R(h))
    }

    /// Where guest register `n` is; from now on it stays there for this instruction.
    pub fn host(&mut self, n: u8) -> Option<R> {
        let h = self.host_of[n as usize];
        if h == NONE {
            return None;
        }
        self.touch(h);
        Some(R(h))
    }

    /// The lowest goes first: 0 stands for no use. A block has far too few instructions for more than 27 bits.
    fn rank(clock: u32, h: u8) -> u32 {
        clock << 4 | u32::from(h)
    }

    fn touch(&mut self, h: u8) {
        self.clock += 1;
        self.ranks[h as usize] = Regs::rank(self.clock, h);
        self.pinned |= 1 << h;
    }

    /// The guest register whose value `h` holds.
    pub fn guest(&self, h: R) -> Option<u8> {
        let g = self.guest_of[h.0 as usize];
        (g != NONE).then_some(g)
    }

    /// A host register for a new value of this instruction; `None` when all are in use.
    pub fn alloc(&mut self) -> Option<R> {
        // Without branches: which one it is cannot be foreseen.
        let best = POOL.iter().fold(u32::MAX, |best, &R(h)| {
            let pinned = u32::from(self.pinned >> h & 1) << 31;
            best.min(self.ranks[h as usize] | pinned)
        });
        if best >> 31 != 0 {
            return None;
        }
        let h = best as u8 & 15;
        self.free(h);
        self.touch(h);
        Some(R(h))
    }

    fn free(&mut self, h: u8) {
        let g = self.guest_of[h as usize];
        if g != NONE {
            self.host_of[g as usize] = NONE;
            self.unused(h);
        }
    }

    fn unused(&mut self, h: u8) {
        self.guest_of[h as usize] = NONE;
        self.ranks[h as usize] = Regs::rank(0, h);
    }

    /// `h` holds the new value of guest register `n`.
    pub fn assign(&mut self, n: u8, h: R) {
        let old = self.host_of[n as usize];
        if old != NONE {
            self.unused(old);
        }
        self.free(h.0);
        self.guest_of[h.0 as usize] = n;
        self.host_of[n as usize] = h.0;
        self.touch(h.0);
    }

    /// All (host, guest) pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (R, u8)> + '_ {
        POOL.iter().filter_map(|&h| self.guest(h).map(|g| (h, g)))
    }
}
