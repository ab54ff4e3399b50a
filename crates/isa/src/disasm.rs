//! Text of instructions in the syntax of the GNU assembler, made from the operand strings of [`crate::ROWS`].
//!
//! [`disasm`] gives a value that prints the basic mnemonic with all operands (`bclr 20,lt,0`); in the alternate form
//! (`{:#}`) the usual simplified mnemonics (`blr`).

use core::fmt::{Display, Formatter, Result, Write};

use crate::{Insn, Level, Op, Row};

mod simplified;

/// One instruction at an address, to be printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disasm {
    /// Its operation.
    pub op: Op,
    /// Its words.
    pub insn: Insn,
    /// Where it stands: branch targets are printed as addresses.
    pub address: u64,
}

/// The instruction in `i`, which stands at `address`, as a processor of `level` knows it.
pub fn disasm(i: Insn, address: u64, level: Level) -> Disasm {
    Disasm { op: crate::decode(i, level), insn: i, address }
}

impl Display for Disasm {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Some(row) = self.op.row() else {
            if self.insn.prefix != 0 {
                write!(f, ".long 0x{:x},", self.insn.prefix)?;
                return write!(f, "0x{:x}", self.insn.raw);
            }
            return write!(f, ".long 0x{:x}", self.insn.raw);
        };
        match f.alternate().then(|| simplified::text(self, row)).flatten() {
            Some(text) => f.write_str(&text),
            None => basic(f, self, row),
        }
    }
}

/// Fixed-point instructions with Rc and OE.
const OE: &[&str] = &[
    "add", "subf", "addc", "subfc", "adde", "subfe", "addme", "subfme", "addze", "subfze", "neg", "mullw",
    "mulld", "divw", "divwu", "divd", "divdu", "divwe", "divweu", "divde", "divdeu",
];
/// Fixed-point instructions with Rc.
const RC: &[&str] = &[
    "mulhw", "mulhwu", "mulhd", "mulhdu", "and", "or", "xor", "nand", "nor", "eqv", "andc", "orc", "extsb",
    "extsh", "extsw", "cntlzw", "cntlzd", "cnttzw", "cnttzd", "rlwinm", "rlwnm", "rlwimi", "rldicl",
    "rldicr", "rldic", "rldimi", "rldcl", "rldcr", "slw", "srw", "srawi", "sraw", "sld", "srd", "sradi",
    "srad", "extswsli",
];
/// Floating-point instructions without Rc (decimal ones: those that set a CR field, and the conversions of quadwords).
const NO_RC: &[&str] = &[
    "fcmpo",
    "fcmpu",
    "ftdiv",
    "ftsqrt",
    "mcrfs",
    "mffscdrn",
    "mffscdrni",
    "mffsce",
    "mffscrn",
    "mffscrni",
    "mffsl",
    "fmrgew",
    "fmrgow",
    "dcffixqq",
    "dctfixqq",
];

/// What Rc, OE, LK and AA add to the mnemonic.
fn suffix(row: &Row, i: Insn) -> &'static str {
    let m = row.mnemonic;
    match row.chapter {
        "branch" => match (i.lk(), i.aa() && matches!(m, "b" | "bc")) {
            (true, true) => "la",
            (true, false) => "l",
            (false, true) => "a",
            (false, false) => "",
        },
        "load_store" => match m {
            "dst" | "dstst" if i.bit(6) => "t",
            "dss" if i.bit(6) => "all",
            "dcbz" if i.bit(10) => "l",
            _ => "",
        },
        "fixed" if OE.contains(&m) => match (i.oe(), i.rc()) {
            (true, true) => "o.",
            (true, false) => "o",
            (false, true) => ".",
            (false, false) => "",
        },
        "fixed" if i.rc() && RC.contains(&m) => ".",
        "fp" | "dfp"
            if i.rc() && !NO_RC.contains(&m) && !(row.chapter == "dfp" && row.operands.starts_with("BF")) =>
        {
            "."
        }
        // Rc is bit 21 of vector compares and of vstri*.
        _ if i.bit(21)
            && row.enc.mask & 1 << 10 == 0
            && (m.starts_with("vcmp") || m.starts_with("xvcmp") || m.starts_with("vstri")) =>
        {
            "."
        }
        _ => "",
    }
}

/// The basic mnemonic and all operands.
fn basic(f: &mut Formatter<'_>, d: &Disasm, row: &Row) -> Result {
    f.write_str(row.mnemonic)?;
    f.write_str(suffix(row, d.insn))?;
    if row.mnemonic == "dss" && d.insn.bit(6) {
        return Ok(());
    }
    for (n, token) in row.operands.split(',').filter(|t| !t.is_empty()).enumerate() {
        f.write_char(if n == 0 { ' ' } else { ',' })?;
        operand(f, d, row, token)?;
    }
    Ok(())
}

/// A bit of the condition register.
fn cr_bit(f: &mut Formatter<'_>, n: u32) -> Result {
    if n >= 4 {
        write!(f, "4*cr{}+", n / 4)?;
    }
    f.write_str(["lt", "gt", "eq", "so"][n as usize % 4])
}

/// Whether RA = 0 means the number 0.
fn zero_base(row: &Row) -> bool {
    let m = row.mnemonic;
    match m {
        "addi" | "addis" | "paddi" | "isel" | "lvsl" | "lvsr" | "mtvsrdd" | "tlbsrx." => return true,
        "dst" | "dstst" => return false,
        _ if m.starts_with("copy") => return false,
        _ => {}
    }
    let memory = ["load_store", "vmx", "vsx"].contains(&row.chapter) || m.ends_with("cix");
    let update = row.chapter == "load_store" && (m.ends_with('u') || m.ends_with("ux"));
    let address = ["(RA)", "RA,RB", "RA,NB", "RA,FC"].iter().any(|a| row.operands.contains(a));
    memory && address && !update && !m.starts_with("vins")
}

fn base(f: &mut Formatter<'_>, row: &Row, i: Insn) -> Result {
    if i.ra() == 0 && zero_base(row) { f.write_char('0') } else { write!(f, "r{}", i.ra()) }
}

/// Displacement of a memory operand.
fn displacement(row: &Row, i: Insn, token: &str) -> i64 {
    match token {
        _ if i.prefix != 0 => i.d34(),
        "DS(RA)" => i.ds(),
        "DQ(RA)" => i.dq(),
        // Negative doublewords: six bits under a sign that is always 1, the leftmost of them bit 31.
        _ if row.mnemonic.starts_with("hash") => (i.bits(31, 31) << 5 | i.bits(6, 10)) as i64 * 8 - 512,
        _ => i.si(),
    }
}

/// An unsigned field by its name; some names stand at different bits in different instructions.
fn number(row: &Row, i: Insn, token: &str) -> Option<u32> {
    let m = row.mnemonic;
    Some(match token {
        "TO" | "BO" | "TH" | "BT" | "CT" => i.bits(6, 10),
        "BH" => i.bh(),
        "UI" => i.ui(),
        "NB" if i.nb() == 0 => 32,
        "NB" | "FC" => i.bits(16, 20),
        "EH" => i.bits(31, 31),
        "FXM" => i.fxm(),
        "SPR" | "TBR" => i.spr(),
        "CY" | "RMC" | "DM" | "SHW" => {
            if matches!(token, "DM" | "SHW") {
                i.bits(22, 23)
            } else {
                i.bits(21, 22)
            }
        }
        "STRM" => i.bits(9, 10),
        "IH" => i.bits(8, 10),
        "LEV" => i.lev(),
        "WC" => i.bits(9, 10),
        "PL" | "SC" => i.bits(14, 15),
        "RIC" => i.bits(12, 13),
        "PRS" => i.bits(14, 14),
        "BHRBE" => i.bits(11, 20),
        "A" => i.bits(6, 6),
        "FLM" => i.flm(),
        "U" => i.u4(),
        "W" => i.bits(15, 15),
        "DRM" => i.bits(18, 20),
        "RM" => i.bits(19, 20),
        "DCM" | "DGM" => i.bits(16, 21),
        "SP" => i.bits(11, 12),
        "S" => {
            if m == "rfebb" {
                i.bits(20, 20)
            } else {
                i.bits(11, 11)
            }
        }
        "R" => match m {
            _ if i.prefix != 0 => i.pcrel().into(),
            "tbegin." => i.bits(10, 10),
            _ => i.bits(15, 15),
        },
        "L" => match m {
            "cmpi" | "cmpli" | "cmp" | "cmpl" | "cmprb" | "tsr." => i.bits(10, 10),
            "sync" | "dcbf" => i.bits(8, 10),
            "mtfsf" => i.bits(6, 6),
            "darn" => i.bits(14, 15),
            "paste." => i.bits(10, 10),
            _ => i.bits(15, 15),
        },
        "SH" => match m {
            "rldicl" | "rldicr" | "rldic" | "rldimi" | "sradi" | "extswsli" => i.sh64(),
            "vsldbi" | "vsrdbi" => i.bits(23, 25),
            "dscli" | "dscliq" | "dscri" | "dscriq" => i.bits(16, 21),
            _ => i.sh32(),
        },
        "MB" => {
            if m.starts_with("rlw") {
                i.mb32()
            } else {
                i.mb64()
            }
        }
        "ME" => {
            if m.starts_with("rlw") {
                i.me32()
            } else {
                i.mb64()
            }
        }
        "UIM" => match m {
            "dtstsfi" | "dtstsfiq" => i.bits(10, 15),
            "vsplth" => i.bits(13, 15),
            "vspltw" | "xxspltw" => i.bits(14, 15),
            "vspltb" | "vinsw" | "vinsd" | "xxextractuw" | "xxinsertw" => i.bits(12, 15),
            _ if m.starts_with("vextract") || m.starts_with("vinsert") => i.bits(12, 15),
            "xxpermx" => i.pbits(29, 31),
            "lxvkq" => i.bits(16, 20),
            _ => i.bits(11, 15),
        },
        "SHB" => i.shb(),
        "PS" => i.bits(22, 22),
        "ST" => i.bits(16, 16),
        "SIX" => i.bits(17, 20),
        "N" => i.bits(13, 15),
        "MP" => i.bits(15, 15),
        "IMM" if m == "xxeval" => i.pbits(24, 31),
        "IMM" => i.bits(11, 15),
        "IMM8" => i.bits(13, 20),
        "IMM32" => i.imm32(),
        "IX" => i.bits(14, 14),
        "DCMX" if m.starts_with("xv") => i.bits(25, 25) << 6 | i.bits(29, 29) << 5 | i.bits(11, 15),
        "DCMX" => i.bits(9, 15),
        "XMSK" => i.pbits(24, 27),
        "YMSK" if m.starts_with("pmxvf64") => i.pbits(28, 29),
        "YMSK" => i.pbits(28, 31),
        "PMSK" => match m {
            _ if m.starts_with("pmxvi4") => i.pbits(16, 23),
            _ if m.starts_with("pmxvi8") => i.pbits(16, 19),
            _ => i.pbits(16, 17),
        },
        "BF" if m == "mtfsfi" => i.bf(),
        _ => return None,
    })
}

/// A signed field by its name.
fn signed(row: &Row, i: Insn, token: &str) -> Option<i64> {
    let five = |x: u32| ((x as i64) << 59) >> 59;
    Some(match token {
        "SI" if i.prefix != 0 => i.d34(),
        "SI" if row.chapter == "system" => five(i.bits(16, 20)),
        "SI" => i.si(),
        "SIM" | "TE" => five(i.bits(11, 15)),
        "D" => i.dx(),
        "bm" => (i.bits(16, 25) << 6 | i.bits(11, 15) << 1 | i.bits(31, 31)) as i16 as i64,
        _ => return None,
    })
}

/// One operand.
fn operand(f: &mut Formatter<'_>, d: &Disasm, row: &Row, token: &str) -> Result {
    let i = d.insn;
    let pair = |at: u32| i.bits(at + 4, at + 4) << 5 | i.bits(at, at + 3) << 1;
    if let Some(n) = number(row, i, token) {
        return match token {
            "BT" if row.mnemonic.starts_with("cr") => cr_bit(f, n),
            _ => write!(f, "{n}"),
        };
    }
    if let Some(n) = signed(row, i, token) {
        return write!(f, "{n}");
    }
    match token {
        "RT" | "RS" | "RTp" | "RSp" => write!(f, "r{}", i.rt()),
        "RA" => base(f, row, i),
        "RB" => write!(f, "r{}", i.rb()),
        "RC" => write!(f, "r{}", i.rc_reg()),
        "D(RA)" | "DS(RA)" | "DQ(RA)" => {
            write!(f, "{}(", displacement(row, i, token))?;
            base(f, row, i)?;
            f.write_char(')')
        }
        "BF" => write!(f, "cr{}", i.bf()),
        "BFA" => write!(f, "cr{}", i.bfa()),
        "BI" | "BA" => cr_bit(f, i.bi()),
        "BB" => cr_bit(f, i.bb()),
        "BC" => cr_bit(f, i.rc_reg()),
        "LI" | "BD" => {
            let by = if token == "LI" { i.li() } else { i.bd() };
            let from = if i.aa() { 0 } else { d.address };
            write!(f, "0x{:x}", from.wrapping_add(by as u64))
        }
        "FRT" | "FRS" | "FRTp" | "FRSp" => write!(f, "f{}", i.frt()),
        "FRA" | "FRAp" => write!(f, "f{}", i.fra()),
        "FRB" | "FRBp" => write!(f, "f{}", i.frb()),
        "FRC" => write!(f, "f{}", i.frc()),
        "VRT" | "VRS" => write!(f, "v{}", i.vrt()),
        "VRA" => write!(f, "v{}", i.vra()),
        "VRB" => write!(f, "v{}", i.vrb()),
        "VRC" => write!(f, "v{}", i.vrc()),
        "XT" | "XS" => write!(f, "vs{}", target_vsr(row, i)),
        "XTp" | "XSp" => write!(f, "vs{}", pair(6)),
        "XA" | "XAp" => write!(f, "vs{}", i.xa()),
        "XB" => write!(f, "vs{}", i.xb()),
        "XC" => write!(f, "vs{}", i.xc()),
        "AT" | "AS" => write!(f, "a{}", i.bf()),
        _ => f.write_str(token),
    }
}

/// The target or source VSR; its leftmost bit stands in three places.
fn target_vsr(row: &Row, i: Insn) -> u32 {
    match row.mnemonic {
        "lxv" | "stxv" => i.xt_dq(),
        "plxv" | "pstxv" => i.bits(5, 10),
        _ if row.operands.contains("IMM32") => i.bits(15, 15) << 5 | i.bits(6, 10),
        _ => i.xt(),
    }
}
