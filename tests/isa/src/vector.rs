//! The generator: vector `n` of a row is always the same.

use std::sync::OnceLock;

use isa::{Insn, Level, Mode, Op, ROWS, Row, audit};

use crate::rng::Rng;
use crate::state::{CODE, CODE_SIZE, DATA, MEM, State};
use crate::values::{self, BF16, F16, F32, F64, F128, Kind, any_kind};

/// Vectors of each row.
pub const COUNT: u32 = 208;

/// One instruction with everything it starts from.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Its row.
    pub row: &'static Row,
    /// Its number in the row.
    pub n: u32,
    /// Processor model.
    pub model: &'static str,
    /// Little-endian.
    pub le: bool,
    /// A user program; else the supervisor, for which there is no peer.
    pub pr: bool,
    /// Results can be recorded from the peer.
    pub peer: bool,
    /// Words from `start` on; the instruction is the last one or, prefixed, the last two.
    pub code: Vec<u32>,
    /// Address of the first word.
    pub start: u64,
    /// Address of the instruction.
    pub at: u64,
    /// The instruction.
    pub insn: Insn,
    /// Registers and memory before.
    pub input: State,
}

/// Rows whose result is not a function of the operands, or that the peer takes for something else (a system call, a
/// halt): only our two engines are compared.
const NO_PEER: &[&str] =
    &["sc", "scv", "darn", "mftb", "wait", "rfebb", "attn", "copy", "paste.", "cpabort", "hashst", "hashchk"];

/// The bits of a row's words that are operands: those that change its text. The prefix's are in the upper half.
fn operand_bits(row: &'static Row) -> u64 {
    static ALL: OnceLock<Vec<u64>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let mut r = Rng(1);
        ROWS.iter()
            .map(|row| {
                let e = row.enc;
                let mut bits = 0u64;
                for k in 0..8 {
                    let noise = if k == 0 { 0 } else { r.bits() };
                    let word = |x: u64| {
                        let raw = e.value | x as u32 & !e.mask;
                        if e.pmask == 0 {
                            Insn::new(raw)
                        } else {
                            Insn::prefixed(e.pvalue | (x >> 32) as u32 & !e.pmask, raw)
                        }
                    };
                    let level = if row.since <= Level::V2_07 { Level::V2_07 } else { Level::V3_1 };
                    let text = |x: u64| isa::disasm(word(x), 0x5_0000, level);
                    if text(noise).op != row.op {
                        continue;
                    }
                    let base = text(noise).to_string();
                    let known = bits;
                    for b in (0..64).filter(|b| known >> b & 1 == 0) {
                        let other = text(noise ^ 1 << b);
                        if other.op == row.op && other.to_string() != base {
                            bits |= 1 << b;
                        }
                    }
                }
                bits
            })
            .collect()
    });
    all[row.op as usize - 2]
}

/// Where the address of a memory operand comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Address {
    None,
    /// RA (or nothing) and a displacement in the instruction.
    Displacement,
    /// RA (or nothing) and RB.
    Indexed,
    /// RA (or nothing) alone.
    Base,
    /// RA (or nothing) alone, and a length in the upper byte of RB.
    Length,
}

fn address(row: &Row) -> Address {
    let m = row.mnemonic;
    if ["D(RA)", "DS(RA)", "DQ(RA)"].iter().any(|t| row.operands.contains(t)) {
        return Address::Displacement;
    }
    if ["lxvl", "lxvll", "stxvl", "stxvll"].contains(&m) {
        return Address::Length;
    }
    if row.operands.contains("RA,NB") || row.operands.contains("RA,FC") {
        return Address::Base;
    }
    let loads = ["lv", "stv", "lx", "stx"].iter().any(|p| m.starts_with(p)) && !m.starts_with("lvs");
    let memory =
        row.chapter == "load_store" || ["vmx", "vsx"].contains(&row.chapter) && loads || m.ends_with("cix");
    if memory && row.operands.contains("RA,RB") { Address::Indexed } else { Address::None }
}

fn update(row: &Row) -> bool {
    let m = row.mnemonic;
    row.chapter == "load_store"
        && (m.ends_with('u') || m.ends_with("ux"))
        && (row.operands.contains("(RA)") || row.operands.contains("RA,RB"))
}

/// Whether the manual calls the form invalid or leaves its result undefined for the registers named.
fn invalid(row: &Row, i: Insn) -> bool {
    let m = row.mnemonic;
    let o = row.operands;
    let (rt, ra, rb) = (i.rt(), i.ra(), i.rb());
    let has = |t: &str| o.split(',').any(|x| x == t);
    let base = address(row);
    let odd = (has("RTp") || has("RSp") || has("FRTp") || has("FRSp")) && rt & 1 != 0
        || has("FRAp") && ra & 1 != 0
        || has("FRBp") && rb & 1 != 0;
    let updates = update(row) && (ra == 0 || has("RT") && ra == rt);
    // R = 1 takes no base; without it a displacement of 16 bits does not reach the window.
    let relative = i.prefix != 0 && has("R") && i.pcrel() && ra != 0;
    let no_base = base == Address::Displacement && i.prefix == 0 && ra == 0
        || matches!(base, Address::Base | Address::Length) && ra == 0;
    let list = |n: u32| -> bool { (0..n).any(|k| (rt + k) % 32 == ra) };
    let lists = match m {
        "lmw" => ra >= rt,
        "lswi" => list(if i.nb() == 0 { 8 } else { i.nb().div_ceil(4) }),
        "lq" | "plq" => ra == rt,
        "lqarx" => ra == rt || rb == rt,
        _ => false,
    };
    // The string in registers must not cover its own address: 20 bytes from a register on, see `prepare`.
    let lists = if m == "lswx" { (0..5).any(|k| [ra, rb].contains(&((rt + k) % 32))) } else { lists };
    let one_field = matches!(m, "mtocrf" | "mfocrf") && i.fxm().count_ones() != 1;
    let one_field = one_field
        || m.starts_with("xxgenpcv") && i.bits(11, 15) > 3
        || m == "dcbf" && ![0, 1, 3, 4, 6].contains(&i.bits(8, 10));
    let counts = m == "bcctr" && i.bo() & 4 == 0;
    let reserved = m == "addex" && i.bits(21, 22) != 0 || m == "mtspr" && i.spr() == 0;
    let accumulator = row.chapter == "mma" && has("AT") && {
        let acc = i.bf() * 4;
        let over = |v: u32, n: u32| (v..v + n).any(|x| (acc..acc + 4).contains(&x));
        has("XAp") && (over(i.xa() & !1, 2) || i.xa() & 1 != 0)
            || has("XA") && over(i.xa(), 1)
            || has("XB") && over(i.xb(), 1)
    };
    odd || updates || relative || no_base || lists || one_field || counts || reserved || accumulator
}

/// The kinds of numbers a row is about.
fn kinds(row: &Row) -> Vec<Kind> {
    let m = row.mnemonic;
    let has = |s: &str| m.contains(s);
    match row.chapter {
        "fp" if m.starts_with("fcfid") => vec![Kind::Int(64), Kind::Int(32)],
        "fp" if single_arithmetic(row) => vec![Kind::Single],
        "fp" => vec![F64],
        "vmx_fp" if m.starts_with("vcf") => vec![Kind::Int(32)],
        "vmx_fp" => vec![F32],
        "dfp" if m.starts_with("dcffix") => vec![Kind::Int(64), Kind::Int(128)],
        "dfp" if m.starts_with("denbcd") => vec![Kind::Bcd, Kind::Bcd, Kind::Zoned],
        "dfp" if m == "dctdp" => vec![Kind::Dec64, Kind::Int(32)],
        "dfp" if m.starts_with("diex") => vec![Kind::Dec64, Kind::Int(64), Kind::Int(16)],
        "dfp" if m.ends_with('q') && m != "dctqpq" => vec![Kind::Dec128, Kind::Dec64],
        "dfp" => vec![Kind::Dec64],
        "vsx_fp" if m.starts_with("xscvs") && has("qp") || m.starts_with("xscvu") && has("qp") => {
            vec![Kind::Int(64), Kind::Int(128)]
        }
        "vsx_fp" if m.starts_with("xscvsx") || m.starts_with("xscvux") => vec![Kind::Int(64)],
        "vsx_fp" if m.starts_with("xvcvsxd") || m.starts_with("xvcvuxd") => vec![Kind::Int(64)],
        "vsx_fp" if m.starts_with("xvcvsxw") || m.starts_with("xvcvuxw") => vec![Kind::Int(32)],
        "vsx_fp" if has("cvhp") => vec![F16],
        "vsx_fp" if has("bf16spn") => vec![BF16],
        "vsx_fp" if m.starts_with("xscvsp") || m.starts_with("xvcvsp") => vec![F32],
        "vsx_fp" if has("iexp") => vec![F64, F32, F128, Kind::Int(16)],
        "vsx_fp" if has("qp") || m.starts_with("xsrqp") => vec![F128],
        "vsx_fp" if m.starts_with("xv") && m.trim_end_matches('.').ends_with("sp") => vec![F32],
        "vsx_fp" if single_arithmetic(row) => vec![Kind::Single],
        "vsx_fp" => vec![F64],
        "mma" if has("bf16") => vec![BF16, F32],
        "mma" if has("f16") => vec![F16, F32],
        "mma" if has("f32") => vec![F32],
        "mma" if has("f64") => vec![F64],
        "mma" => vec![Kind::Int(8), Kind::Int(16), Kind::Int(32)],
        _ if m.starts_with("bcd") => vec![Kind::Bcd, Kind::Bcd, Kind::Zoned, Kind::Int(128)],
        _ if m.starts_with("vmul10") => vec![Kind::Bcd, Kind::Int(128)],
        _ if has("fp") || has("lfs") || has("stfs") || has("ssp") => vec![F32, F64, Kind::Single],
        _ => vec![Kind::Int(8), Kind::Int(16), Kind::Int(32), Kind::Int(64), Kind::Int(128)],
    }
}

/// Arithmetic in single precision: operands that no single can hold give undefined results (Book I, 4.3.2 and 7.3.2).
fn single_arithmetic(row: &Row) -> bool {
    let m = row.mnemonic;
    let operation = ["add", "sub", "mul", "div", "sqrt", "re"].iter().any(|o| m.contains(o));
    operation && (row.chapter == "fp" && m.ends_with('s') || m.starts_with("xs") && m.ends_with("sp"))
}

/// A floating-point status with any rounding modes and no exception that is both enabled and present.
pub fn fpscr(r: &mut Rng) -> u64 {
    let mut v = r.below(4) | r.below(8) << 32;
    if r.chance(2) {
        return v & 3;
    }
    if r.chance(3) {
        v |= r.bits() & 0xf8;
    }
    // FPRF, FR and FI.
    v |= r.bits() & 0x7_f000;
    if r.chance(2) {
        v |= r.bits() & 0x9ff8_0700;
        let enabled = |n: u32, v: u64| v >> n & 1 != 0;
        let vx = 0x01f8_0700;
        for (enable, sticky) in [(7, vx), (6, 1 << 28), (5, 1 << 27), (4, 1 << 26), (3, 1 << 25)] {
            if enabled(enable, v) {
                v &= !sticky;
            }
        }
        if v & vx != 0 {
            v |= 1 << 29;
        }
    }
    v
}

fn input(r: &mut Rng, row: &Row) -> State {
    let mine = kinds(row);
    let single = single_arithmetic(row);
    let kind = |r: &mut Rng| if !single && r.chance(5) { any_kind(r) } else { r.pick(&mine) };
    let mut s = State {
        gpr: [0; 32],
        vsr: [0; 64],
        cr: u64::from(r.bits() as u32),
        xer: r.bits() & 0xe00c_0000 | r.below(21),
        lr: r.bits(),
        ctr: r.bits(),
        tar: r.bits(),
        fpscr: fpscr(r),
        vscr: u64::from(r.chance(4)) << 16 | u64::from(r.chance(4)),
        mem: [0; MEM],
    };
    for g in &mut s.gpr {
        *g = if r.chance(3) { values::int(r, 32) as u64 } else { values::int(r, 64) as u64 };
    }
    for v in &mut s.vsr {
        let k = kind(r);
        *v = values::vector(r, k);
    }
    for c in s.mem.chunks_mut(16) {
        let k = kind(r);
        c.copy_from_slice(&values::vector(r, k).to_be_bytes());
        // Half of it in the other byte order.
        if r.chance(2) {
            c.reverse();
        }
    }
    s
}

/// Makes one register equal to another now and then.
fn alias(r: &mut Rng, bits: u32, raw: u32) -> u32 {
    let field = |at: u32| 31u32 << at;
    let free = |at: u32| bits & field(at) == field(at);
    let (to, from) = r.pick(&[(21, 16), (21, 11), (16, 11), (21, 6), (16, 6), (11, 6)]);
    if !free(to) || !free(from) {
        return raw;
    }
    raw & !field(to) | (raw >> from & 31) << to
}

/// A random valid form of a row.
pub fn encode(r: &mut Rng, row: &'static Row) -> Insn {
    let e = row.enc;
    let bits = operand_bits(row);
    for _ in 0..10_000 {
        let x = r.bits() & bits;
        let mut raw = e.value | x as u32;
        if r.chance(3) {
            raw = alias(r, bits as u32, raw);
        }
        if matches!(row.mnemonic, "mtocrf" | "mfocrf") {
            raw = raw & !(0xff << 12) | 1 << (12 + r.below(8));
        }
        if matches!(row.mnemonic, "mfspr" | "mtspr") {
            let spr = r.pick(&[1u32, 8, 9, 256, 815, 1, 8, 9, 3, 13, 18, 26, 272, 287, 48]);
            raw = raw & !(0x3ff << 11) | (spr & 31) << 16 | (spr >> 5) << 11;
        }
        // Displacements and RA of prefixed accesses: to the window in several ways.
        let mut prefix = e.pvalue | (x >> 32) as u32;
        if e.pmask != 0 && address(row) == Address::Displacement {
            match r.below(3) {
                0 => raw &= !(31 << 16),
                1 => prefix &= !(1 << 20),
                _ => {
                    raw &= !(31 << 16);
                    prefix &= !(1 << 20);
                }
            }
        }
        let i = if e.pmask == 0 { Insn::new(raw) } else { Insn::prefixed(prefix, raw) };
        if invalid(row, i) || (0..4).all(|l| isa::decode(i, LEVELS[l]) != row.op) {
            continue;
        }
        return i;
    }
    panic!("{}: no valid form found", row.mnemonic);
}

const LEVELS: [Level; 4] = [Level::V2_06, Level::V2_07, Level::V3_0, Level::V3_1];

/// Puts the operands so that memory operands are in the window and branches stay in the page of code. The instruction
/// may change (its displacement).
fn aim(r: &mut Rng, row: &Row, mut i: Insn, at: u64, s: &mut State) -> Insn {
    let ea = DATA + 0x40 + r.below(0x140);
    let ea = match r.below(8) {
        0..=4 => ea & !15,
        5 | 6 => ea & !3,
        _ => ea,
    };
    let ea = if row.mnemonic.starts_with("hash") && !r.chance(16) { ea & !7 } else { ea };
    let (ra, rb) = (i.ra() as usize, i.rb() as usize);
    match address(row) {
        Address::None => {}
        Address::Displacement if i.prefix != 0 && ra == 0 => {
            let by = if i.pcrel() { ea.wrapping_sub(at) } else { ea };
            i.prefix = i.prefix & !0x3_ffff | (by >> 16) as u32 & 0x3_ffff;
            i.raw = i.raw & !0xffff | by as u32 & 0xffff;
        }
        Address::Displacement => {
            let by = match row.operands {
                _ if i.prefix != 0 => i.d34(),
                o if o.contains("DS(RA)") => i.ds(),
                o if o.contains("DQ(RA)") => i.dq(),
                _ if row.mnemonic.starts_with("hash") => {
                    i64::from(i.bits(31, 31) << 5 | i.bits(6, 10)) * 8 - 512
                }
                _ => i.si(),
            };
            s.gpr[ra] = ea.wrapping_sub(by as u64);
        }
        Address::Base => s.gpr[ra] = ea,
        Address::Length => {
            s.gpr[rb] = (if r.chance(3) { r.bits() } else { r.below(20) }) << 56 | r.bits() >> 8;
            s.gpr[ra] = ea;
        }
        Address::Indexed if ra == rb && ra != 0 => s.gpr[ra] = (ea & !1) / 2,
        Address::Indexed if ra == 0 => s.gpr[rb] = ea,
        Address::Indexed => s.gpr[ra] = ea.wrapping_sub(s.gpr[rb]),
    }
    if row.chapter == "branch" {
        // Somewhere in the page, away from the instruction.
        let land = CODE + r.pick(&[0, 0x800]) + 4 * r.below(0x100);
        for v in [&mut s.lr, &mut s.ctr, &mut s.tar] {
            *v = land | r.below(4);
        }
        if r.chance(2) && row.mnemonic != "bcctr" {
            s.ctr = r.pick(&[0, 1, 2, u64::MAX, 1 << 32, 1 << 32 | 1]);
        }
        let low = i.raw & 3;
        match row.mnemonic {
            "b" => {
                let to = if i.aa() { land } else { land.wrapping_sub(at) };
                i.raw = i.raw & !0x03ff_ffff | to as u32 & 0x03ff_fffc | low;
            }
            "bc" => {
                let to = if i.aa() { 0x6000 + 4 * (1 + r.below(0x100)) } else { land.wrapping_sub(at) };
                i.raw = i.raw & !0xffff | to as u32 & 0xfffc | low;
            }
            _ => {}
        }
    }
    i
}

/// A load-and-reserve for a store conditional, most often of the same place.
fn reserve(r: &mut Rng, row: &Row, i: Insn) -> Option<u32> {
    let xo = match row.mnemonic {
        "stbcx." => 52,
        "sthcx." => 116,
        "stwcx." => 20,
        "stdcx." => 84,
        "stqcx." => 276,
        _ => return None,
    };
    if r.chance(5) {
        return None;
    }
    let used = [i.ra(), i.rb(), i.rs(), i.rs() | 1];
    let scratch = (1..16).map(|k| 2 * k).find(|t| !used.contains(t) && !used.contains(&(t + 1)))?;
    Some(31 << 26 | scratch << 21 | i.ra() << 16 | i.rb() << 11 | xo << 1)
}

/// Vector `n` of `row`.
pub fn vector(row: &'static Row, n: u32) -> Vector {
    let mut r = Rng::of(row.mnemonic, n);
    let r = &mut r;
    let model = match n % 8 {
        6 if row.since <= Level::V3_0 => "power9",
        7 if row.since <= Level::V2_07 => "power8",
        _ => "power10",
    };
    let i = encode(r, row);
    let t = audit::audit(row.op, i, MODE);
    let memory = t.load || t.store || address(row) != Address::None;
    let le = !memory || n % 4 < 2;
    let supervisor = row.chapter == "system"
        || ["mfmsr", "mtmsr", "mtmsrd", "mfspr", "mtspr", "hashstp", "hashchkp"].contains(&row.mnemonic);
    let pr = !(supervisor && n % 2 == 1);
    let mut input = input(r, row);
    // Words before a 64-byte boundary are rare for prefixed instructions: those must not cross it.
    let slot = r.below(16) * 64;
    let word = if i.prefix != 0 && r.chance(24) { 15 } else { r.below(15) };
    let at = CODE + 0x400 + slot + 4 * word;
    let i = aim(r, row, i, at, &mut input);
    let mut code = Vec::new();
    let before = if at > CODE + 0x400 { reserve(r, row, i) } else { None };
    code.extend(before);
    if i.prefix != 0 {
        code.push(i.prefix);
    }
    code.push(i.raw);
    // A user-mode emulator has no DSCR and AMR, and shows the PVR as Linux does.
    let hidden = matches!(row.mnemonic, "mfspr" | "mtspr") && matches!(i.spr(), 3 | 13 | 287);
    let peer = pr && !hidden && !NO_PEER.contains(&row.mnemonic);
    let start = if before.is_some() { at - 4 } else { at };
    debug_assert!(start + 32 <= CODE + CODE_SIZE);
    Vector { row, n, model, le, pr, peer, code, start, at, insn: i, input }
}

const MODE: Mode =
    Mode { sf: true, le: true, pr: true, fp: true, vec: true, vsx: true, fe: true, level: Level::V3_1 };

/// Vectors of all rows whose mnemonic `wanted` says yes to.
pub fn rows(wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |r| wanted(r.mnemonic))
}

/// Whether an operation is a branch, which may go anywhere.
pub fn is_branch(op: Op) -> bool {
    op.row().is_some_and(|r| r.chapter == "branch")
}
