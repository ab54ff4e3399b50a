//! What a user program sees of a processor, and how one instruction ended.

/// Address of the window of memory that vectors use.
pub const DATA: u64 = 0x4_0f00;
/// Its size in bytes; a page ends in its middle.
pub const MEM: usize = 512;
/// Address of the page of code.
pub const CODE: u64 = 0x5_0000;
/// Its size in bytes.
pub const CODE_SIZE: u64 = 0x1000;

/// Registers and memory.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct State {
    pub gpr: [u64; 32],
    pub vsr: [u128; 64],
    pub cr: u64,
    pub xer: u64,
    pub lr: u64,
    pub ctr: u64,
    pub tar: u64,
    pub fpscr: u64,
    pub vscr: u64,
    /// The window at [`DATA`].
    pub mem: [u8; MEM],
}

/// How an instruction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It completed and this address follows.
    Next(u64),
    /// Program interrupt: illegal, or facility unavailable (a user program sees no difference).
    Illegal,
    /// Program interrupt: privileged.
    Privileged,
    /// Program interrupt: trap.
    Trap,
    /// Program interrupt: floating-point enabled exception.
    FpEnabled,
    /// Alignment interrupt.
    Alignment,
    /// Data or instruction storage interrupt.
    Storage,
    /// Another interrupt, by its vector.
    Other(u64),
}

impl End {
    fn number(self) -> u64 {
        match self {
            End::Next(a) => a << 4,
            End::Illegal => 1,
            End::Privileged => 2,
            End::Trap => 3,
            End::FpEnabled => 4,
            End::Alignment => 5,
            End::Storage => 6,
            End::Other(v) => v << 4 | 7,
        }
    }
}

/// What an instruction left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// How it ended.
    pub end: End,
    /// Registers and memory afterwards.
    pub state: State,
    /// For supervisor vectors: a digest of the whole processor.
    pub whole: u64,
}

/// A running digest of words.
#[derive(Clone, Copy)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Digest(0x243f_6a88_85a3_08d3)
    }
}

impl Digest {
    /// Takes in a word.
    pub fn word(&mut self, w: u64) {
        self.0 = (self.0 ^ w).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    /// 16 bits of it.
    pub fn short(self) -> u64 {
        (self.0 ^ self.0 >> 16 ^ self.0 >> 32 ^ self.0 >> 48) & 0xffff
    }

    /// All of it.
    pub fn long(self) -> u64 {
        self.0
    }
}

/// The parts of an output that a digest tells apart.
pub const PARTS: [&str; 4] = ["end, CR, XER, LR, CTR, TAR", "GPRs", "VSRs", "FPSCR, VSCR, memory"];

impl Output {
    /// 16 bits for each of [`PARTS`], the first in the least significant.
    pub fn digest(&self) -> u64 {
        let s = &self.state;
        let mut d = [Digest::default(); 4];
        for w in [self.end.number(), s.cr, s.xer, s.lr, s.ctr, s.tar, self.whole] {
            d[0].word(w);
        }
        for &w in &s.gpr {
            d[1].word(w);
        }
        for &w in &s.vsr {
            d[2].word((w >> 64) as u64);
            d[2].word(w as u64);
        }
        d[3].word(s.fpscr);
        d[3].word(s.vscr);
        for w in s.mem.chunks(8) {
            d[3].word(w.iter().fold(0, |v, &b| v << 8 | u64::from(b)));
        }
        d.iter().rev().fold(0, |v, d| v << 16 | d.short())
    }
}

/// One difference between two outputs: the field's name and both values as numbers where they have one.
pub type Difference = (String, String, String);

/// All differences. Names: `end`, `gpr3`, `vsr40`, `cr`, `xer`, `lr`, `ctr`, `tar`, `fpscr`, `vscr`, `mem`.
pub fn differences(a: &Output, b: &Output) -> Vec<Difference> {
    let mut d = Vec::new();
    let mut push = |name: String, x: String, y: String| d.push((name, x, y));
    if a.end != b.end {
        push("end".into(), format!("{:x?}", a.end), format!("{:x?}", b.end));
    }
    let (s, t) = (&a.state, &b.state);
    for (n, (x, y)) in s.gpr.iter().zip(&t.gpr).enumerate() {
        if x != y {
            push(format!("gpr{n}"), format!("{x:016x}"), format!("{y:016x}"));
        }
    }
    for (n, (x, y)) in s.vsr.iter().zip(&t.vsr).enumerate() {
        if x != y {
            push(format!("vsr{n}"), format!("{x:032x}"), format!("{y:032x}"));
        }
    }
    let scalars = |s: &State| {
        [
            ("cr", s.cr),
            ("xer", s.xer),
            ("lr", s.lr),
            ("ctr", s.ctr),
            ("tar", s.tar),
            ("fpscr", s.fpscr),
            ("vscr", s.vscr),
        ]
    };
    for ((name, x), (_, y)) in scalars(s).into_iter().zip(scalars(t)) {
        if x != y {
            push(name.into(), format!("{x:x}"), format!("{y:x}"));
        }
    }
    if s.mem != t.mem {
        let at = s.mem.iter().zip(&t.mem).position(|(x, y)| x != y).unwrap_or(0) & !15;
        push(
            "mem".into(),
            format!("+{at:x} {:02x?}", &s.mem[at..at + 16]),
            format!("{:02x?}", &t.mem[at..at + 16]),
        );
    }
    if a.whole != b.whole {
        push("whole".into(), format!("{:x}", a.whole), format!("{:x}", b.whole));
    }
    d
}
