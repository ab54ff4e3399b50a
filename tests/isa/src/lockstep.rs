//! Interpreter and translator side by side: random programs and blocks of real programs, every register and every
//! byte compared, interrupts at every instruction boundary.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use arch::shared::{Shared, event};
use arch::{Cpu, CpuState, Env, Exit, Flow, Model, msr};
use fpu::FpRegs;
use interp::Interpreter;
use isa::{Insn, Level, ROWS, Row, audit};
use jit::{Jit, Options, Tier2Options};
use mem::GuestRam;

use crate::rng::Rng;
use crate::state::CODE;
use crate::vector;

/// `sc 1`: the end of a program, and all of an interrupt handler.
const SC1: u32 = 0x4400_0022;
const SIZE: u64 = 0x6_0000;
/// Where data is.
const DATA: u64 = 0x4_0000;
const DATA_SIZE: usize = 0x2000;
/// Longest run.
const BUDGET: u64 = 2000;

/// Outside of a processor: interrupt handlers that go on after the interrupted instruction.
struct Outside {
    interrupts: AtomicU64,
}

impl Env for Outside {
    fn hcall(&self, cpu: &mut Cpu) -> Flow {
        let at = cpu.st.nia.wrapping_sub(4);
        if !(0x100..0x4000).contains(&at) || cpu.st.mode.pr {
            return Flow::Exit(Exit::Stop);
        }
        self.interrupts.fetch_add(1, Ordering::Relaxed);
        // External interrupts and system calls leave the address of the next instruction.
        let skip = match at {
            0x500 => {
                cpu.link.clear(event::EXTERNAL);
                0
            }
            0x900 | 0xa00 | 0xc00 | 0x3000.. => 0,
            _ => 4,
        };
        let (to, bits) = if at >= 0x3000 { (cpu.st.lr, cpu.st.ctr) } else { (cpu.st.srr0, cpu.st.srr1) };
        // A program that went elsewhere has ended.
        if !(CODE..CODE + 0x1000).contains(&to) {
            return Flow::Exit(Exit::Stop);
        }
        let bits = if at >= 0x3000 { cpu.st.msr | bits & 0xf000 } else { bits };
        let keep = msr::IR | msr::DR | msr::PR | msr::LE | msr::ME;
        let bits = bits & !keep & !(msr::SE | msr::BE) | cpu.st.msr & keep;
        cpu.set_msr(bits);
        cpu.st.nia = to.wrapping_add(skip) & !3;
        Flow::Resume
    }
    fn mmio_load(&self, _: usize, _: u64, _: u8) -> Option<u64> {
        None
    }
    fn mmio_store(&self, _: usize, _: u64, _: u64, _: u8) -> bool {
        false
    }
    fn set_decrementer(&self, _: usize, _: u64) {}
    fn doorbell(&self, _: usize, _: u32) {}
    fn absent(&self, _: &'static str, _: u32) {}
    fn threads_per_core(&self) -> u32 {
        1
    }
    fn random(&self) -> Option<u64> {
        Some(0x1234_5678_9abc_def0)
    }
}

struct Side {
    cpu: Cpu,
    outside: Arc<Outside>,
}

impl Side {
    fn new(model: &str, le: bool) -> Option<Self> {
        let sh = Arc::new(Shared {
            ram: Arc::new(GuestRam::new(SIZE).ok()?),
            lpcr: AtomicU64::new(if le { msr::lpcr::ILE } else { 0 }),
            prtb: AtomicU64::new(0),
            tb: Default::default(),
            vcpus: vec![Default::default()],
            invalidations: Default::default(),
            hpt: Default::default(),
        });
        let outside = Arc::new(Outside { interrupts: AtomicU64::new(0) });
        let cpu = Cpu::new(Model::by_name(model)?, sh, outside.clone(), 0);
        Some(Side { cpu, outside })
    }

    fn put(&self, at: u64, word: u32, le: bool) {
        let word = if le { word } else { word.swap_bytes() };
        self.cpu.sh.ram.store_le(at, word.into(), 4).expect("an address of memory");
    }

    fn clear(&self, le: bool) {
        self.cpu.sh.ram.fill(0, SIZE, 0).expect("all of memory");
        self.vectors(le);
        // A program ends where it leaves its code.
        for at in (CODE..CODE + 0x1000).step_by(4) {
            self.put(at, SC1, le);
        }
    }

    /// Puts the handlers where programs overwrote them.
    fn vectors(&self, le: bool) {
        for v in (0x100..0x1000).chain(0x3000..0x4000).step_by(0x20) {
            let have = self.cpu.sh.ram.load_le(v, 4).expect("an address of memory") as u32;
            if (if le { have } else { have.swap_bytes() }) != SC1 {
                self.put(v, SC1, le);
            }
        }
    }
}

/// Both engines with a processor each.
struct Pair {
    a: Side,
    b: Side,
    interp: Interpreter,
    jit: Jit,
    le: bool,
    blank: Box<CpuState>,
}

/// What was run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Programs compared.
    pub programs: u64,
    /// Programs that did not end in time, left out.
    pub endless: u64,
    /// Instructions retired in them.
    pub instructions: u64,
    /// Interrupts taken in them.
    pub interrupts: u64,
}

impl Report {
    fn add(&mut self, o: Report) {
        self.programs += o.programs;
        self.endless += o.endless;
        self.instructions += o.instructions;
        self.interrupts += o.interrupts;
    }
}

impl Pair {
    fn new(model: &str, le: bool, tier2: Tier2Options) -> Option<Self> {
        let (a, b) = (Side::new(model, le)?, Side::new(model, le)?);
        let jit = Jit::new(&Options { code_bytes: 4 << 20, tier2, ..Options::default() })?;
        let blank = CpuState::new(a.cpu.st.level, a.cpu.st.pvr, 0);
        let p = Pair { a, b, interp: Interpreter::default(), jit, le, blank };
        p.a.clear(le);
        p.b.clear(le);
        Some(p)
    }

    /// Sets both up alike.
    fn start(&mut self, code: &[u32], at: u64, bits: u64, fill: impl Fn(&mut CpuState), pending: bool) {
        for s in [&mut self.a, &mut self.b] {
            for (k, &w) in code.iter().chain([SC1; 4].iter()).enumerate() {
                s.put(at + 4 * k as u64, w, self.le);
            }
            s.vectors(self.le);
            *s.cpu.st = (*self.blank).clone();
            fill(&mut s.cpu.st);
            s.cpu.tlb.flush();
            s.cpu.retired = 0;
            s.cpu.prefixed = false;
            s.cpu.fault = arch::Fault::plain(arch::Vector::Program);
            s.cpu.st.nia = at;
            s.cpu.set_msr(bits | if self.le { msr::LE } else { 0 });
            s.cpu.link.clear(!0);
            if pending {
                s.cpu.link.post(event::EXTERNAL);
            }
        }
    }

    /// Runs both; `Err` says what differs.
    fn run(&mut self) -> Result<Report, String> {
        let before = self.a.outside.interrupts.load(Ordering::Relaxed);
        if self.interp.run(&mut self.a.cpu, BUDGET) == Exit::Budget {
            // They stop at different places. What was stored is not compared: begin with clean memories.
            self.a.clear(self.le);
            self.b.clear(self.le);
            return Ok(Report { endless: 1, ..Report::default() });
        }
        self.jit.run(&mut self.b.cpu, 4 * BUDGET);
        let (x, y) = (seen(&self.a.cpu.st), seen(&self.b.cpu.st));
        let mut d = String::new();
        if x != y {
            let (x, y) = (format!("{x:#x?}"), format!("{y:#x?}"));
            let mut name = "";
            for (l, r) in x.lines().zip(y.lines()) {
                if l.starts_with("    ") && !l.starts_with("     ") {
                    name = l.trim();
                }
                if l != r {
                    d += &format!("  {name} interpreter {} translator {}\n", l.trim(), r.trim());
                }
            }
        }
        if self.a.cpu.retired != self.b.cpu.retired {
            d += &format!("  retired {} and {}\n", self.a.cpu.retired, self.b.cpu.retired);
        }
        let mut mem = [[0; DATA_SIZE]; 2];
        self.a.cpu.sh.ram.read(DATA, &mut mem[0]).expect("the data");
        self.b.cpu.sh.ram.read(DATA, &mut mem[1]).expect("the data");
        if let Some(k) = (0..DATA_SIZE).find(|&k| mem[0][k] != mem[1][k]) {
            d += &format!("  byte {:#x}: {:02x} and {:02x}\n", DATA + k as u64, mem[0][k], mem[1][k]);
        }
        let interrupts = self.a.outside.interrupts.load(Ordering::Relaxed) - before;
        if d.is_empty() {
            Ok(Report { programs: 1, endless: 0, instructions: self.a.cpu.retired, interrupts })
        } else {
            Err(d)
        }
    }

    /// All of both memories; `Err` says where they differ.
    fn memories(&self) -> Result<(), String> {
        let mut mem = [vec![0; SIZE as usize], vec![0; SIZE as usize]];
        self.a.cpu.sh.ram.read(0, &mut mem[0]).expect("memory");
        self.b.cpu.sh.ram.read(0, &mut mem[1]).expect("memory");
        match (0..SIZE as usize).find(|&k| mem[0][k] != mem[1][k]) {
            Some(k) => Err(format!("  byte {k:#x}: {:02x} and {:02x}\n", mem[0][k], mem[1][k])),
            None => Ok(()),
        }
    }
}

/// What a guest sees of the registers.
fn seen(s: &CpuState) -> Box<CpuState> {
    let mut s = Box::new(s.clone());
    let v = s.fpscr();
    s.set_fpscr(v);
    s.settle_so();
    s.engine.fill(0);
    s.dec_expiry = 0;
    s
}

/// Registers with addresses and numbers in them.
fn fill(st: &mut CpuState, seed: u64) {
    let mut r = Rng(seed);
    let r = &mut r;
    for g in &mut st.gpr {
        *g = match r.below(8) {
            0 => crate::values::int(r, 64) as u64,
            1 => r.below(64),
            2 => DATA + 0xff0 + r.below(32),
            _ => DATA + 0x200 + 16 * r.below(0x180),
        };
    }
    for v in &mut st.vsr {
        let k = crate::values::any_kind(r);
        *v = crate::values::vector(r, k);
    }
    st.set_cr_word(r.bits() as u32);
    let xer = r.bits() & 0xe00c_0000 | r.below(40);
    st.set_xer(xer);
    st.lr = CODE + 4 * r.below(64);
    st.ctr = if r.chance(2) { r.below(4) } else { CODE + 4 * r.below(64) };
    st.tar = CODE + 4 * r.below(64);
    st.fscr = if r.chance(16) { 0 } else { u64::MAX >> 8 };
    let v = if r.chance(3) { crate::vector::fpscr(r) } else { r.below(4) };
    st.set_fpscr(v);
    st.vscr = 0x1_0000 * r.below(2) as u32;
}

fn text(code: &[u32], level: Level) -> String {
    code.iter()
        .fold(String::new(), |s, &w| s + &format!("  {w:08x} {}\n", isa::disasm(Insn::new(w), 0, level)))
}

/// Rows that change what the rest of a program is, or depend on time.
const LEFT_OUT: &[&str] = &["mftb", "mtmsr", "mtmsrd", "rfid", "rfscv", "rfebb", "wait", "stop"];

/// One in so many programs is a loop.
const LOOPS: u64 = 16;

fn program(r: &mut Rng, rows: &[&'static Row]) -> Vec<u32> {
    let len = 4 + r.below(36) as usize;
    body(r, rows, len, 1)
}

/// A loop with ways of different lengths through it, which the second tier compiles in its first turns.
fn turns(r: &mut Rng, rows: &[&'static Row]) -> Vec<u32> {
    // li r31,turns; mtctr r31; 1: ...; bdnz 1b
    let mut code =
        vec![14 << 26 | 31 << 21 | (8 + r.below(40) as u32), 31 << 26 | 31 << 21 | 9 << 16 | 467 << 1];
    let len = 4 + r.below(20) as usize;
    code.extend(body(r, rows, len, 4));
    let back = 4 * (code.len() as u32 - 2);
    code.push(16 << 26 | 16 << 21 | back.wrapping_neg() & 0xfffc);
    code
}

/// Instructions, so many of 24 of them branches forward.
fn body(r: &mut Rng, rows: &[&'static Row], len: usize, branches: u64) -> Vec<u32> {
    let mut code = Vec::new();
    while code.len() < len {
        match (r.below(24) + 1).saturating_sub(branches) {
            0 => {
                // A conditional branch forward.
                let (bo, bi, to) = (r.below(32) as u32, r.below(32) as u32, 8 + 4 * r.below(6) as u32);
                code.push(16 << 26 | bo << 21 | bi << 16 | to);
            }
            1 => {
                // li r31,-0x8000 and mtmsrd r31,1: external interrupts on; off when r31 is 0.
                let on = if r.chance(3) { 0 } else { 0x8000 };
                code.extend([14 << 26 | 31 << 21 | on, 31 << 26 | 31 << 21 | 1 << 16 | 178 << 1]);
            }
            _ => {
                let row = r.pick(rows);
                if LEFT_OUT.contains(&row.mnemonic) || row.chapter == "branch" && !r.chance(4) {
                    continue;
                }
                let mut i = vector::encode(r, row);
                // Displacements near the base.
                if i.prefix == 0 && row.operands.contains("(RA)") && row.enc.mask & 0xff00 == 0 {
                    i.raw &= !0xff00;
                }
                if i.prefix != 0 {
                    if row.operands.contains("(RA)") && !r.chance(4) {
                        i.prefix &= !0x13_ffff;
                        i.raw &= !0xff00;
                    }
                    code.push(i.prefix);
                }
                code.push(i.raw);
            }
        }
    }
    code
}

/// Random programs until `count` instructions have been compared.
pub fn random(count: u64, seed: u64, mut progress: impl FnMut(&Report)) -> Result<Report> {
    let mut total = Report::default();
    let models = ["power8", "power9", "power10"];
    let share = count / 6;
    for model in models {
        for le in [true, false] {
            let none = "this host has no translator";
            let mut straight = Pair::new(model, le, Tier2Options::default()).context(none)?;
            let eager = Tier2Options { threshold: 3, wait: true, ..Tier2Options::default() };
            let mut looped = Pair::new(model, le, eager).context(none)?;
            let level = straight.blank.level;
            let rows: Vec<&'static Row> = ROWS
                .iter()
                .filter(|r| r.since <= level && (r.enc.pmask == 0 || level >= Level::V3_1))
                .collect();
            let mut part = Report::default();
            let mut n = 0u64;
            while part.instructions < share {
                let id = seed.wrapping_mul(0x1_0000_0001).wrapping_add(n << 3 | u64::from(le))
                    ^ u64::from(level as u8) << 56;
                let mut r = Rng(id);
                let (p, code) = match r.chance(LOOPS) {
                    true => (&mut looped, turns(&mut r, &rows)),
                    false => (&mut straight, program(&mut r, &rows)),
                };
                let at = CODE + 0x100 * r.below(8) + 4 * r.below(32);
                let mut bits = msr::SF | msr::ME;
                for b in [msr::FP, msr::VEC, msr::VSX] {
                    bits |= if r.chance(16) { 0 } else { b };
                }
                if r.chance(6) {
                    bits |= msr::FE0;
                }
                if r.chance(8) {
                    bits &= !msr::SF;
                }
                // Twice, so that what the first run made of the code is met again.
                for _ in 0..2 {
                    let (state, pending) = (r.bits(), r.chance(2));
                    p.start(&code, at, bits, |st| fill(st, state), pending);
                    match p.run() {
                        Ok(d) => part.add(d),
                        Err(d) => bail!(
                            "program {id:#x} ({model}, little-endian {le}) at {at:#x}:\n{}{d}",
                            text(&code, level)
                        ),
                    }
                }
                n += 1;
                if n % 1024 == 0
                    && let Err(d) = straight.memories().and_then(|()| looped.memories())
                {
                    bail!("memories after program {id:#x} ({model}): {d}");
                }
            }
            total.add(part);
            progress(&total);
        }
    }
    Ok(total)
}

/// Blocks of real programs, as [`write_blocks`] stores them.
pub fn read_blocks(path: &Path) -> Result<Vec<Vec<u32>>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut blocks = Vec::new();
    let mut at = &bytes[..];
    while let Some((&n, rest)) = at.split_first() {
        let len = 4 * usize::from(n);
        ensure!(rest.len() >= len, "{}: cut short", path.display());
        blocks.push(rest[..len].chunks(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect());
        at = &rest[len..];
    }
    Ok(blocks)
}

/// Takes `count` different blocks out of a log that `qemu-system-ppc64 -d in_asm` made of a little-endian Linux boot,
/// a third of them of user programs, and writes them: a byte with the number of words, the words (little-endian).
pub fn write_blocks(log: &Path, path: &Path, count: usize) -> Result<usize> {
    let log = std::fs::read_to_string(log).with_context(|| log.display().to_string())?;
    let (mut kernel, mut user) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    let mut started = false;
    for block in log.split("IN:").skip(1) {
        let mut words = Vec::new();
        let mut first = None;
        for line in block.lines() {
            let Some((address, rest)) = line.strip_prefix("0x").and_then(|l| l.split_once(':')) else {
                continue;
            };
            first = first.or(u64::from_str_radix(address, 16).ok());
            words.extend(
                rest.split_whitespace()
                    .take_while(|w| w.len() == 8)
                    .filter_map(|w| u32::from_str_radix(w, 16).ok()),
            );
        }
        let Some(first) = first else { continue };
        started |= first >= 0xc000_0000_0000_0000;
        if !started || words.len() < 2 || words.len() > 60 {
            continue;
        }
        let set = if first >= 0xc000_0000_0000_0000 { &mut kernel } else { &mut user };
        set.insert(words);
    }
    let mut out = Vec::new();
    let mut chosen = 0;
    for (set, n) in [(kernel, count - count / 3), (user, count / 3)] {
        // In a random order that is always the same.
        let mut all: Vec<(u64, Vec<u32>)> = set
            .into_iter()
            .map(|w| (w.iter().fold(1, |h: u64, &x| Rng(h ^ u64::from(x)).bits()), w))
            .collect();
        all.sort();
        for (_, w) in all.into_iter().take(n) {
            out.push(w.len() as u8);
            out.extend(w.iter().flat_map(|x| x.to_le_bytes()));
            chosen += 1;
        }
    }
    std::fs::write(path, out).with_context(|| path.display().to_string())?;
    Ok(chosen)
}

/// Every block from several states, as it is, and with an interrupt at each of its instruction boundaries: a trap, and
/// an external interrupt that becomes possible there.
pub fn blocks(blocks: &[Vec<u32>]) -> Result<Report> {
    let mut total = Report::default();
    let mut p = Pair::new("power9", true, Tier2Options::default()).context("this host has no translator")?;
    let bits = msr::SF | msr::ME | msr::FP | msr::VEC | msr::VSX;
    let mode = isa::Mode {
        sf: true,
        le: true,
        fp: true,
        vec: true,
        vsx: true,
        level: Level::V3_0,
        ..Default::default()
    };
    for (n, block) in blocks.iter().enumerate() {
        let used = block.iter().fold(0, |u, &w| {
            let i = Insn::new(w);
            let t = audit::audit(isa::decode(i, Level::V3_0), i, mode);
            u | t.read.gpr | t.write.gpr
        });
        let free = (0..32u32).rev().find(|k| used >> k & 1 == 0);
        let mut run = |code: &[u32], seed: u64, pending: bool| -> Result<()> {
            p.start(code, CODE + 0x100, bits, |st| fill(st, seed), pending);
            match p.run() {
                Ok(d) => total.add(d),
                Err(d) => bail!("block {n}, state {seed:#x}:\n{}{d}", text(code, Level::V3_0)),
            }
            Ok(())
        };
        for k in 0..4u64 {
            run(block, (n as u64) << 16 | k, k % 2 == 1)?;
        }
        for k in 0..=block.len() {
            let with = |words: &[u32]| [&block[..k], words, &block[k..]].concat();
            let seed = (n as u64) << 16 | 0x100 | k as u64;
            run(&with(&[0x7fe0_0008]), seed, false)?;
            if let Some(x) = free {
                run(
                    &with(&[14 << 26 | x << 21 | 0x8000, 31 << 26 | x << 21 | 1 << 16 | 178 << 1]),
                    seed,
                    true,
                )?;
            }
        }
    }
    p.memories().map_err(|d| anyhow::anyhow!("memories after the blocks: {d}"))?;
    Ok(total)
}
