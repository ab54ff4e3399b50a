//! Simplified mnemonics (Book I, appendix C), those that the GNU disassembler prefers.

use core::fmt::{Display, Formatter, Result};

use super::{Disasm, operand};
use crate::{Insn, Row};

/// Operands of an instruction by the names in the rows.
struct Operands<'a>(&'a Disasm, &'static Row, &'a [&'a str]);

impl Display for Operands<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (n, token) in self.2.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            operand(f, self.0, self.1, token)?;
        }
        Ok(())
    }
}

/// The simplified text; `None`: the basic one is used.
pub(super) fn text(d: &Disasm, row: &'static Row) -> Option<String> {
    match row.chapter {
        "branch" => branch(d, row),
        "fixed" => fixed(d, row),
        "cr_spr" => moves(d, row),
        "load_store" | "system" | "fp" => shorter(d, row),
        _ if d.insn.prefix != 0 => shorter(d, row),
        _ => vector(d, row),
    }
}

/// A mnemonic and operands by name.
fn with(d: &Disasm, row: &'static Row, name: &str, tokens: &[&str]) -> Option<String> {
    let list = Operands(d, row, tokens);
    Some(if tokens.is_empty() { name.to_string() } else { format!("{name} {list}") })
}

fn branch(d: &Disasm, row: &'static Row) -> Option<String> {
    let i = d.insn;
    let (bo, bi) = (i.bo(), i.bi());
    let tail = match row.mnemonic {
        "bc" => "",
        "bclr" => "lr",
        "bcctr" => "ctr",
        "bctar" => "tar",
        _ => return None,
    };
    let relative = tail.is_empty();
    let link = match (i.lk(), relative && i.aa()) {
        (true, true) => "la",
        (true, false) => "l",
        (false, true) => "a",
        (false, false) => "",
    };
    let hint = |at: u32| ["", "?", "-", "+"][at as usize & 3];
    // Without BH when that is 0.
    let plain = || {
        let shown = !relative && i.bh() == 0;
        shown.then(|| format!("b{}{link} {}", &row.mnemonic[1..], Operands(d, row, &["BO", "BI"])))
    };
    // Condition, hint, and the operands before the target.
    let (name, hint, mut list) = match bo {
        20 if !relative && bi == 0 && i.bh() == 0 => (String::new(), "", vec![]),
        4..=7 | 12..=15 => {
            let names = if bo & 8 != 0 { ["lt", "gt", "eq", "so"] } else { ["ge", "le", "ne", "ns"] };
            let field =
                if bi >= 4 || !relative && i.bh() != 0 { vec![format!("cr{}", bi / 4)] } else { vec![] };
            (names[bi as usize % 4].to_string(), hint(bo), field)
        }
        24..=27 if bi != 0 || tail == "ctr" => return None,
        _ if tail == "ctr" => return plain(),
        16 | 18 | 24..=27 if bi == 0 => {
            let zero = if bo & 2 != 0 { "dz" } else { "dnz" };
            (zero.to_string(), if bo & 8 != 0 { hint(2 | bo & 1) } else { "" }, vec![])
        }
        0 | 2 | 8 | 10 => {
            let zero = if bo & 2 != 0 { "dz" } else { "dnz" };
            let when = if bo & 8 != 0 { "t" } else { "f" };
            (format!("{zero}{when}"), "", vec![Operands(d, row, &["BI"]).to_string()])
        }
        _ => return plain(),
    };
    if hint == "?" {
        return None;
    }
    if relative {
        list.push(Operands(d, row, &["BD"]).to_string());
    } else if i.bh() != 0 {
        list.push(i.bh().to_string());
    }
    let space = if list.is_empty() { "" } else { " " };
    Some(format!("b{name}{tail}{link}{hint}{space}{}", list.join(",")))
}

/// Conditions of traps.
fn trap_name(to: u32) -> Option<&'static str> {
    Some(match to {
        1 => "lgt",
        2 => "llt",
        4 => "eq",
        5 => "lge",
        6 => "lle",
        8 => "gt",
        12 => "ge",
        16 => "lt",
        20 => "le",
        24 => "ne",
        31 => "u",
        _ => return None,
    })
}

/// Rotates that are shifts, clears or rotates alone: name and count.
fn rotate(row: &Row, i: Insn) -> Option<(&'static str, u32)> {
    let (sh, mb, me) = (i.sh32(), i.mb32(), i.me32());
    let (sh6, m6) = (i.sh64(), i.mb64());
    Some(match row.mnemonic {
        "rlwinm" if mb == 0 && me == 31 => ("rotlwi", sh),
        "rlwinm" if sh == 0 && me == 31 => ("clrlwi", mb),
        "rlwinm" if sh == 0 && mb == 0 => ("clrrwi", 31 - me),
        "rlwinm" if mb == 0 && me == 31 - sh => ("slwi", sh),
        "rlwinm" if me == 31 && sh != 0 && mb == 32 - sh => ("srwi", mb),
        "rldicl" if m6 == 0 => ("rotldi", sh6),
        "rldicl" if sh6 == 0 => ("clrldi", m6),
        "rldicl" if m6 == 64 - sh6 => ("srdi", m6),
        "rldicr" if sh6 == 0 => ("clrrdi", 63 - m6),
        "rldicr" if m6 == 63 - sh6 => ("sldi", sh6),
        _ => return None,
    })
}

fn fixed(d: &Disasm, row: &'static Row) -> Option<String> {
    let i = d.insn;
    let dot = if i.rc() { "." } else { "" };
    let m = row.mnemonic;
    if let Some((name, n)) = rotate(row, i) {
        return Some(format!("{name}{dot} {},{n}", Operands(d, row, &["RA", "RS"])));
    }
    match m {
        "ori" if i.raw << 6 == 0 => with(d, row, "nop", &[]),
        "xori" if i.raw << 6 == 0 => with(d, row, "xnop", &[]),
        "addi" if i.ra() == 0 => with(d, row, "li", &["RT", "SI"]),
        "addis" if i.ra() == 0 => with(d, row, "lis", &["RT", "SI"]),
        "addpcis" if i.dx() == 0 => with(d, row, "lnia", &["RT"]),
        "paddi" if i.pcrel() => with(d, row, "pla", &["RT", "SI"]),
        "paddi" if i.ra() == 0 => with(d, row, "pli", &["RT", "SI"]),
        "paddi" => with(d, row, "paddi", &["RT", "RA", "SI"]),
        "or" if i.rs() == i.rb() => with(d, row, &format!("mr{dot}"), &["RA", "RS"]),
        "nor" if i.rs() == i.rb() => with(d, row, &format!("not{dot}"), &["RA", "RS"]),
        "rlwnm" if i.mb32() == 0 && i.me32() == 31 => {
            with(d, row, &format!("rotlw{dot}"), &["RA", "RS", "RB"])
        }
        "rldcl" if i.mb64() == 0 => with(d, row, &format!("rotld{dot}"), &["RA", "RS", "RB"]),
        "cmp" | "cmpi" | "cmpl" | "cmpli" => {
            let size = if i.l() { "d" } else { "w" };
            let (stem, imm) = m.strip_suffix('i').map_or((m, ""), |s| (s, "i"));
            let last = row.operands.rsplit(',').next()?;
            let list: &[&str] = if i.bf() == 0 { &["RA", last] } else { &["BF", "RA", last] };
            with(d, row, &format!("{stem}{size}{imm}"), list)
        }
        "tw" if i.to() == 31 && i.ra() == 0 && i.rb() == 0 => with(d, row, "trap", &[]),
        "tw" | "td" => with(d, row, &format!("{m}{}", trap_name(i.to())?), &["RA", "RB"]),
        "twi" | "tdi" => with(d, row, &format!("{}{}i", &m[..2], trap_name(i.to())?), &["RA", "SI"]),
        "isel" if i.rc_reg() < 3 && !i.rc() => {
            let name = ["isellt", "iselgt", "iseleq"][i.rc_reg() as usize];
            with(d, row, name, &["RT", "RA", "RB"])
        }
        _ => None,
    }
}

/// Special purpose registers with names of their own.
fn spr_name(n: u32) -> Option<&'static str> {
    Some(match n {
        1 => "xer",
        3 => "udscr",
        8 => "lr",
        9 => "ctr",
        17 => "dscr",
        18 => "dsisr",
        19 => "dar",
        22 => "dec",
        26 => "srr0",
        27 => "srr1",
        28 => "cfar",
        256 => "vrsave",
        _ => return None,
    })
}

fn moves(d: &Disasm, row: &'static Row) -> Option<String> {
    let i = d.insn;
    let same = i.ba() == i.bb();
    let all = same && i.bt() == i.ba();
    match row.mnemonic {
        "creqv" if all => with(d, row, "crset", &["BT"]),
        "crxor" if all => with(d, row, "crclr", &["BT"]),
        "cror" if same => with(d, row, "crmove", &["BT", "BA"]),
        "crnor" if same => with(d, row, "crnot", &["BT", "BA"]),
        "mtcrf" if i.fxm() == 255 => with(d, row, "mtcr", &["RS"]),
        "mfspr" | "mftb" if matches!(i.spr(), 268 | 269) => {
            with(d, row, if i.spr() == 268 { "mftb" } else { "mftbu" }, &["RT"])
        }
        "mfspr" if i.spr() == 287 => with(d, row, "mfpvr", &["RT"]),
        "mfspr" => with(d, row, &format!("mf{}", spr_name(i.spr())?), &["RT"]),
        "mtspr" => with(d, row, &format!("mt{}", spr_name(i.spr())?), &["RS"]),
        "mtmsrd" if !i.bit(15) => with(d, row, "mtmsrd", &["RS"]),
        "mtmsr" if !i.bit(15) => with(d, row, "mtmsr", &["RS"]),
        _ => None,
    }
}

/// Last operands that are 0 and not printed, and barriers and flushes by their kinds.
fn shorter(d: &Disasm, row: &'static Row) -> Option<String> {
    let i = d.insn;
    let all: Vec<&str> = row.operands.split(',').collect();
    let less =
        |n: usize| with(d, row, &format!("{}{}", row.mnemonic, super::suffix(row, i)), &all[..all.len() - n]);
    if i.prefix != 0 && row.operands.ends_with("D(RA),R") {
        return if i.pcrel() {
            Some(format!("{} {},{}", row.mnemonic, Operands(d, row, &all[..1]), i.d34()))
        } else {
            less(1)
        };
    }
    match row.mnemonic {
        "sync" => match (i.bits(8, 10), i.bits(14, 15)) {
            (0, 0) => with(d, row, "hwsync", &[]),
            (1, 0) => with(d, row, "lwsync", &[]),
            (2, 0) => with(d, row, "ptesync", &[]),
            (4, 0) => with(d, row, "phwsync", &[]),
            (5, 0) => with(d, row, "plwsync", &[]),
            _ => None,
        },
        "dcbf" => {
            let name = match i.bits(8, 10) {
                0 => "dcbf",
                1 => "dcbfl",
                3 => "dcbflp",
                4 => "dcbfps",
                6 => "dcbstps",
                _ => return None,
            };
            with(d, row, name, &all[..2])
        }
        "sc" if i.lev() == 0 => less(1),
        "slbia" if i.bits(8, 10) == 0 => less(1),
        "slbiag" | "slbmfev" | "slbmfee" if !i.bit(15) => less(1),
        "tlbie" | "tlbiel" => match (i.bits(12, 13), i.bit(14), i.bit(15)) {
            (0, false, false) if i.rs() == 0 && row.mnemonic == "tlbiel" => less(4),
            (0, false, false) => less(3),
            (_, false, false) => less(2),
            (_, _, false) => less(1),
            _ => None,
        },
        "paste." if i.bit(10) => less(1),
        "wait" if i.bits(9, 10) == 0 && i.bits(14, 15) == 0 => less(2),
        "mtfsf" if !i.bit(6) && !i.bit(15) => less(2),
        "mtfsf" if !i.bit(15) => less(1),
        "mtfsfi" if !i.bit(15) => less(1),
        "tend." if !i.bit(6) => less(1),
        "tbegin." if !i.bit(10) => less(1),
        m if m.ends_with("arx") && !i.rc() => less(1),
        _ => None,
    }
}

fn vector(d: &Disasm, row: &'static Row) -> Option<String> {
    let i = d.insn;
    let same = i.xa() == i.xb();
    let both = |name: &str| with(d, row, name, &["XT", "XA"]);
    // A VSR by its older name: FPR or VR.
    let old = |name: &str, from: bool| {
        let (rest, vsr) = (&name[5..], i.xt());
        let (kind, letter) = if vsr < 32 { ("fpr", 'f') } else { ("vr", 'v') };
        let (reg, gpr) = (format!("{letter}{}", vsr & 31), format!("r{}", i.ra()));
        Some(if from { format!("mf{kind}{rest} {gpr},{reg}") } else { format!("mt{kind}{rest} {reg},{gpr}") })
    };
    match row.mnemonic {
        "vor" if i.vra() == i.vrb() => with(d, row, "vmr", &["VRT", "VRA"]),
        "vnor" if i.vra() == i.vrb() => with(d, row, "vnot", &["VRT", "VRA"]),
        "xxlor" if same => both("xxmr"),
        "xxlnor" if same => both("xxlnot"),
        "xvcpsgndp" if same => both("xvmovdp"),
        "xvcpsgnsp" if same => both("xvmovsp"),
        "xxpermdi" => match (i.bits(22, 23), same) {
            (0, true) => both("xxspltd").map(|s| s + ",0"),
            (3, true) => both("xxspltd").map(|s| s + ",1"),
            (2, true) => both("xxswapd"),
            (0, false) => with(d, row, "xxmrghd", &["XT", "XA", "XB"]),
            (3, false) => with(d, row, "xxmrgld", &["XT", "XA", "XB"]),
            _ => None,
        },
        m @ ("mfvsrd" | "mfvsrwz") => old(m, true),
        m @ ("mtvsrd" | "mtvsrwz" | "mtvsrwa") => old(m, false),
        _ => None,
    }
}
