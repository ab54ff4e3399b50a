//! Text of instructions against GNU objdump: where it is installed, random encodings of every row; everywhere, a sample
//! recorded from it.

use std::{collections::BTreeMap, process::Command};

use isa::{Insn, Level, Mode, Program, ROWS, disasm};

const OBJDUMP: &str = "powerpc64le-linux-gnu-objdump";

const MODE: Mode =
    Mode { sf: true, le: true, pr: false, fp: true, vec: true, vsx: true, fe: false, level: Level::V3_1 };

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Encodings of a row: fields random or, mostly, zero, so that reserved bits are often zero.
fn encodings(row: &'static isa::Row, count: usize, state: &mut u64) -> Vec<Insn> {
    let mut list = Vec::new();
    while list.len() < count {
        let mut keep = [0u32; 2];
        for k in &mut keep {
            for field in [0x1f << 21, 0x1f << 16, 0x1f << 11, 0x1f << 6, 0x3e, 1] {
                *k |= field & if random(state) % 3 == 0 { 0 } else { u32::MAX };
            }
            *k = match random(state) % 6 {
                0 => u32::MAX,
                1 => 0,
                _ => *k,
            };
        }
        let r = random(state);
        let raw = row.enc.value | r as u32 & keep[0] & !row.enc.mask;
        let i = if row.enc.pmask != 0 {
            Insn::prefixed(row.enc.pvalue | (r >> 32) as u32 & keep[1] & !row.enc.pmask, raw)
        } else {
            Insn::new(raw)
        };
        let odd_pair =
            isa::audit::audit(row.op, i, MODE).leaves == Some(isa::audit::Leave::Program(Program::Illegal));
        if isa::decode(i, Level::V3_1) == row.op && !(odd_pair && row.operands.contains('p')) {
            list.push(i);
        }
    }
    list
}

/// What objdump makes of words at addresses 16 apart; `None` for `.long`.
fn objdump(list: &[Insn], options: &str, name: &str) -> Option<Vec<Option<String>>> {
    let mut bytes = Vec::new();
    for i in list {
        if i.prefix != 0 {
            bytes.extend(i.prefix.to_be_bytes());
        }
        bytes.extend(i.raw.to_be_bytes());
        bytes.resize(bytes.len().next_multiple_of(16), 0);
    }
    let path = std::env::temp_dir().join(format!("isa-disasm-{name}-{}.bin", std::process::id()));
    std::fs::write(&path, bytes).ok()?;
    let out = Command::new(OBJDUMP)
        .args(["-D", "-z", "-b", "binary", "-m", "powerpc:common64", "-EB", "-M", options])
        .arg(&path)
        .output();
    let _ = std::fs::remove_file(&path);
    let text = String::from_utf8(out.ok()?.stdout).ok()?;
    let mut all = vec![None; list.len()];
    for line in text.lines() {
        let mut parts = line.splitn(3, '\t');
        let (Some(at), Some(_), Some(text)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let Ok(at) = usize::from_str_radix(at.trim().trim_end_matches(':'), 16) else { continue };
        if at % 16 == 0 && at / 16 < list.len() && !text.starts_with('.') {
            all[at / 16] = Some(plain(text));
        }
    }
    Some(all)
}

/// One space between mnemonic and operands, no comment; the accumulator instructions under their Power ISA 3.1 names.
fn plain(text: &str) -> String {
    let text = text.split(['#', '<']).next().unwrap_or("").trim();
    // Addresses are cut to 32 bits, and an operand that mfcr does not have is left out.
    let text =
        text.replace("0xffffffff", "0x").replace(",-1", if text.starts_with("mfcr") { "" } else { ",-1" });
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ");
    for (new, old) in [("pmdmxv", "pmxv"), ("dmxv", "xv"), ("dmset", "xxset"), ("dmxx", "xx")] {
        if let Some(rest) = text.strip_prefix(new) {
            return format!("{old}{rest}");
        }
    }
    text
}

/// Rows that objdump 2.40 does not know for these processors, prints as another, or is seldom given with reserved bits 0.
const ABSENT: &[&str] = &["lfdp", "lfdpx", "stfdp", "stfdpx", "mftb", "tend."];

#[test]
fn against_objdump() {
    if Command::new(OBJDUMP).arg("--version").output().is_err() {
        println!("{OBJDUMP} is not installed");
        return;
    }
    let mut s = 3;
    let rows: Vec<_> = ROWS.iter().map(|r| (r, encodings(r, 150, &mut s))).collect();
    let list: Vec<Insn> = rows.iter().flat_map(|r| r.1.iter().copied()).collect();
    let dump = |options, name| objdump(&list, options, name).expect("objdump");
    let (new, old) = (dump("raw,power10", "new"), dump("raw,power8", "old"));
    let short = dump("power10", "short");
    let mut bad = BTreeMap::new();
    let mut absent = Vec::new();
    let mut n = 0;
    for (row, list) in rows {
        let mut met = 0;
        for i in list {
            let text = disasm(i, n as u64 * 16, Level::V3_1);
            if let Some(want) = new[n].as_ref().or(old[n].as_ref()) {
                met += 1;
                let got = plain(&text.to_string());
                if got != *want {
                    bad.entry(row.mnemonic).or_insert((got, want.clone(), i));
                }
            }
            // Where there is a simplified form it is the one of objdump.
            let got = plain(&format!("{text:#}"));
            if let Some(want) = &short[n] {
                if got != *want && got != plain(&text.to_string()) {
                    bad.entry(row.mnemonic).or_insert((got, want.clone(), i));
                }
            }
            n += 1;
        }
        if met == 0 {
            absent.push(row.mnemonic);
        }
    }
    for (m, (got, want, i)) in &bad {
        println!("{m}: {got} :: {want} :: {i:x?}");
    }
    assert!(bad.is_empty());
    assert!(absent.iter().all(|m| ABSENT.contains(m)), "{absent:?}");
}

#[test]
fn recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/insns/disasm.txt");
    let text = std::fs::read_to_string(path).expect("tests/insns/disasm.txt");
    let mut seen = std::collections::HashSet::new();
    for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.starts_with('#')) {
        let at = || format!("disasm.txt:{}: {line}", n + 1);
        let mut parts = line.splitn(3, ' ');
        let mut number =
            || u64::from_str_radix(parts.next().unwrap_or(""), 16).unwrap_or_else(|_| panic!("{}", at()));
        let (address, words) = (number(), number());
        let i = if words >> 32 != 0 {
            Insn::prefixed((words >> 32) as u32, words as u32)
        } else {
            Insn::new(words as u32)
        };
        let text = parts.next().unwrap_or("");
        let (basic, short) = text.split_once(" | ").unwrap_or((text, text));
        let d = disasm(i, address, Level::V3_1);
        assert_eq!(plain(&d.to_string()), basic, "{}", at());
        if short != basic {
            assert_eq!(plain(&format!("{d:#}")), short, "{}", at());
        }
        seen.insert(d.op);
    }
    let absent: Vec<_> = ROWS.iter().filter(|r| !seen.contains(&r.op)).map(|r| r.mnemonic).collect();
    assert_eq!(absent, ABSENT);
}

/// Words without a meaning, pairs that begin at odd registers, and targets about the ends of memory.
#[test]
fn other_words() {
    let text = |i, at| disasm(i, at, Level::V3_1).to_string();
    assert_eq!(text(Insn::new(0), 0), ".long 0x0");
    assert_eq!(text(Insn::prefixed(0x0400_0000, 1), 0), ".long 0x4000000,0x1");
    assert_eq!(text(Insn::new(0x4bff_fffc), 0), "b 0xfffffffffffffffc");
    assert_eq!(text(Insn::new(63 << 26 | 3 << 21 | 5 << 16 | 7 << 11 | 2 << 1), 0), "daddq f3,f5,f7");
    // An instruction of a later version.
    let setbc = Insn::new(31 << 26 | 3 << 21 | 5 << 16 | 384 << 1);
    assert_eq!(disasm(setbc, 0, Level::V3_0).to_string(), ".long 0x7c650300");
}
