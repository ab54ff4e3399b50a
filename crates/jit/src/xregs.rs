//! Which vector registers of the guest stand in which host registers, and in what form.

use crate::asm::X;

/// No register.
const NONE: u8 = 0xff;
/// Host registers for values; 14 and 15 are scratch.
const POOL: u8 = 14;

/// What a host register has of a VSR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Number of the VSR.
    pub vsr: u8,
    /// All of it; else doubleword 0 in the low lane.
    pub full: bool,
    /// Not `full`: doubleword 1 is zero.
    pub zero: bool,
    /// Not `full`: a number that is a single, unless it is a NaN.
    pub single: bool,
}

/// The cache: the memory of every VSR is current too, so an entry may be dropped at any time.
#[derive(Clone, Copy)]
pub struct XRegs {
    held: [Option<Held>; POOL as usize],
    full_in: [u8; 64],
    scalar_in: [u8; 64],
    stamp: [u32; POOL as usize],
    clock: u32,
    /// Registers whose values this instruction still needs.
    pinned: u16,
    /// Registers that the late operation needs.
    pub late: u16,
}

impl Default for XRegs {
    fn default() -> Self {
        XRegs {
            held: [None; POOL as usize],
            full_in: [NONE; 64],
            scalar_in: [NONE; 64],
            stamp: [0; POOL as usize],
            clock: 0,
            pinned: 0,
            late: 0,
        }
    }
}

impl XRegs {
    /// An instruction begins.
    pub fn unpin(&mut self) {
        self.pinned = 0;
    }

    fn touch(&mut self, x: u8) {
        self.clock += 1;
        self.stamp[x as usize] = self.clock;
        self.pinned |= 1 << x;
    }

    /// Where VSR `n` is, as a whole or its doubleword 0.
    pub fn find(&mut self, n: u8, full: bool) -> Option<(X, Held)> {
        let x = if full { self.full_in[n as usize & 63] } else { self.scalar_in[n as usize & 63] };
        let held = (*self.held.get(x as usize)?)?;
        self.touch(x);
        Some((X(x), held))
    }

    /// A register for a new value; `None` when all are in use.
    pub fn alloc(&mut self) -> Option<X> {
        let mut best: Option<(u32, u8)> = None;
        for x in 0..POOL {
            if (self.pinned | self.late) >> x & 1 != 0 {
                continue;
            }
            let age = if self.held[x as usize].is_none() { 0 } else { self.stamp[x as usize] + 1 };
            if best.is_none_or(|(a, _)| age < a) {
                best = Some((age, x));
            }
        }
        let x = best?.1;
        self.free(x);
        self.touch(x);
        Some(X(x))
    }

    fn free(&mut self, x: u8) {
        if let Some(h) = self.held[x as usize].take() {
            let table = if h.full { &mut self.full_in } else { &mut self.scalar_in };
            table[h.vsr as usize] = NONE;
        }
    }

    /// Whether a register may become the home of a new value as it is.
    pub fn is_fresh(&self, x: X) -> bool {
        x.0 < POOL && self.held[x.0 as usize].is_none() && self.late >> x.0 & 1 == 0
    }

    /// VSR `n` was written: what was held of it is old.
    pub fn forget(&mut self, n: u8) {
        for full in [true, false] {
            let table = if full { &self.full_in } else { &self.scalar_in };
            let x = table[n as usize & 63];
            if x != NONE {
                self.free(x);
            }
        }
    }

    /// `x` holds this; it held nothing before.
    pub fn assign(&mut self, x: X, held: Held) {
        let table = if held.full { &mut self.full_in } else { &mut self.scalar_in };
        let old = std::mem::replace(&mut table[held.vsr as usize & 63], x.0);
        if old != NONE {
            self.held[old as usize] = None;
        }
        self.held[x.0 as usize] = Some(Held { vsr: held.vsr & 63, ..held });
        self.touch(x.0);
    }

    /// What is held of VSR `n`, to be loaded again.
    pub fn of(&self, n: u8) -> impl Iterator<Item = (X, bool)> {
        let n = n as usize & 63;
        [(self.full_in[n], true), (self.scalar_in[n], false)]
            .into_iter()
            .filter(|r| r.0 != NONE)
            .map(|(x, full)| (X(x), full))
    }

    /// Whether any register holds something that must outlive a call.
    pub fn in_use(&self) -> bool {
        self.late != 0 || self.held.iter().any(Option::is_some)
    }
}
