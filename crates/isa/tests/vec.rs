//! The vector chapters against recorded results of another implementation.
#![forbid(unsafe_code)]

mod common;

use std::collections::BTreeMap;

use common::{BASE, Machine};
use isa::Insn;

const VECTORS: &str = include_str!("../../../tests/insns/vec.vec");

/// What a line says of a machine after the instruction, in the words of the file.
fn outcome(m: &Machine, expected: &str) -> String {
    let mut got = Vec::new();
    let rows = expected.split(' ').filter(|e| e.len() == 32).count();
    for (n, e) in expected.split(' ').enumerate() {
        got.push(match e.as_bytes() {
            _ if rows == 4 && n < 4 => format!("{:032x}", m.vsr[8 + n]),
            _ if e.len() == 32 => format!("{:032x}", m.vsr[34]),
            [b'r', ..] => format!("r{:x}", m.gpr[3]),
            [b'h', ..] => format!("h{:016x}", m.vsr[34] >> 64),
            [b'n', ..] => format!("n{:032x}", m.vsr[35]),
            [b'w', ..] => m.mem[..64].iter().fold("w".into(), |s, b| format!("{s}{b:02x}")),
            [b'f', ..] => format!("f{:x}", m.cr),
            _ => continue,
        });
    }
    if m.sat {
        got.push("s".into());
    }
    got.join(" ")
}

#[test]
fn recorded_results() {
    let (mut values, mut numbers) = (Vec::new(), Vec::new());
    let (mut lines, mut bad) = (0, BTreeMap::<&str, Vec<String>>::new());
    for line in VECTORS.lines().filter(|l| !l.starts_with('#')) {
        if let Some(v) = line.strip_prefix("v ") {
            values.push(u128::from_str_radix(v, 16).unwrap());
            continue;
        }
        if let Some(g) = line.strip_prefix("g ") {
            numbers.push(u64::from_str_radix(g, 16).unwrap());
            continue;
        }
        let Some((input, expected)) = line.split_once(" > ") else { continue };
        let mut m = Machine::new(true);
        let mut words = Vec::new();
        let mut k = 8;
        for item in input.split(' ') {
            if item.len() == 8 {
                words.push(u32::from_str_radix(item, 16).unwrap());
                continue;
            }
            if let Some(q) = item.strip_prefix('q') {
                m.gpr[7] = u64::from_str_radix(q, 16).unwrap();
                continue;
            }
            let at: usize = item[1..].parse().unwrap();
            match &item[..1] {
                "o" => {
                    m.gpr[6] = BASE + 16 + at as u64;
                    for n in 0..4 {
                        m.mem[16 * n..][..16].copy_from_slice(&values[26 + n].to_be_bytes());
                    }
                }
                r @ ("t" | "a" | "b" | "c") => {
                    let n = "tabc".find(r).unwrap();
                    m.vsr[34 + n] = values[at];
                    m.vsr[2 + n] = values[at];
                }
                "k" => {
                    m.vsr[k] = values[at];
                    k += 1;
                }
                r => m.gpr[6 + "xyz".find(r).unwrap()] = numbers[at],
            }
        }
        let i = match words[..] {
            [w] => Insn::new(w),
            [p, w] => Insn::prefixed(p, w),
            _ => panic!("{line}"),
        };
        lines += 1;
        let name = isa::decode(i, m.mode.level).row().map_or("?", |r| r.mnemonic);
        let got = match m.run(i) {
            Ok(()) => outcome(&m, expected),
            Err(e) => format!("{e:?}"),
        };
        if got != expected {
            bad.entry(name).or_default().push(format!("{line}\n  got {got}"));
        }
    }
    assert!(lines > 4000, "only {lines} vectors");
    for (name, lines) in &bad {
        println!("{name}: {} wrong\n{}", lines.len(), lines[..lines.len().min(2)].join("\n"));
    }
    assert!(bad.is_empty(), "{} instructions differ", bad.len());
}
