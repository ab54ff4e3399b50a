//! Vector and matrix instructions against recorded results of another implementation, through the whole interpreter.

mod flat;

use arch::msr;
use flat::Flat;

const VECTORS: &str = include_str!("../../../tests/insns/vec.vec");
const OUTER: &str = include_str!("../../../tests/insns/mma.vec");
/// Where the instructions stand, 16 bytes for each line.
const CODE: u64 = 0x1_0000;
/// Where the 64 bytes of memory begin.
const DATA: u64 = 0x4000;

/// A little-endian processor with all facilities, and the instructions of all lines in its memory, each followed by
/// `sc 1`.
fn machine<'a>(lines: impl Iterator<Item = Vec<&'a str>>) -> Flat {
    let mut f = Flat::little("power10", &[]);
    f.cpu.set_msr(f.cpu.st.msr | msr::FP | msr::VEC | msr::VSX);
    for (n, words) in lines.enumerate() {
        let code = words.iter().map(|w| u32::from_str_radix(w, 16).unwrap()).chain([0x4400_0022]);
        for (k, w) in code.enumerate() {
            f.cpu.sh.ram.store_le(CODE + 16 * n as u64 + 4 * k as u64, w.into(), 4).unwrap();
        }
    }
    f
}

fn number(x: &str) -> u128 {
    u128::from_str_radix(x, 16).unwrap()
}

fn cr(f: &Flat) -> u32 {
    f.cpu.st.cr.iter().fold(0, |v, &field| v << 4 | u32::from(field))
}

fn memory(f: &Flat) -> String {
    (0..64).fold("w".into(), |s, k| format!("{s}{:02x}", f.cpu.sh.ram.load_le(DATA + k, 1).unwrap()))
}

#[test]
fn vector_instructions() {
    let table = |prefix: &str| -> Vec<u128> {
        VECTORS.lines().filter_map(|l| l.strip_prefix(prefix)).map(number).collect()
    };
    let (values, numbers) = (table("v "), table("g "));
    let lines: Vec<(&str, &str)> =
        VECTORS.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(" > ")).collect();
    assert!(lines.len() > 4000);
    let mut f = machine(lines.iter().map(|l| l.0.split(' ').filter(|w| w.len() == 8).collect()));
    let mut bad = Vec::new();
    for (n, (input, expected)) in lines.iter().enumerate() {
        let st = &mut f.cpu.st;
        st.nia = CODE + 16 * n as u64;
        (st.vscr, st.cr) = (0, [0; 8]);
        let mut k = 8;
        for item in input.split(' ').filter(|w| w.len() != 8) {
            let (kind, at) = item.split_at(1);
            if kind == "q" {
                st.gpr[7] = number(at) as u64;
                continue;
            }
            let at: usize = at.parse().unwrap();
            match kind {
                "o" => {
                    st.gpr[6] = DATA + 16 + at as u64;
                    for (m, b) in (26..30).flat_map(|v| values[v].to_be_bytes()).enumerate() {
                        f.cpu.sh.ram.store_le(DATA + m as u64, b.into(), 1).unwrap();
                    }
                }
                "t" | "a" | "b" | "c" => {
                    let r = "tabc".find(kind).unwrap();
                    (st.vsr[2 + r], st.vsr[34 + r]) = (values[at], values[at]);
                }
                "k" => {
                    st.vsr[k] = values[at];
                    k += 1;
                }
                _ => st.gpr[6 + "xyz".find(kind).unwrap()] = numbers[at] as u64,
            }
        }
        f.run();
        let st = &f.cpu.st;
        let rows = expected.split(' ').filter(|e| e.len() == 32).count();
        let mut got: Vec<String> = Vec::new();
        for (n, e) in expected.split(' ').enumerate() {
            got.push(match e.as_bytes() {
                _ if e.len() == 32 && rows == 4 => format!("{:032x}", st.vsr[8 + n]),
                _ if e.len() == 32 => format!("{:032x}", st.vsr[34]),
                [b'r', ..] => format!("r{:x}", st.gpr[3]),
                [b'h', ..] => format!("h{:016x}", st.vsr[34] >> 64),
                [b'n', ..] => format!("n{:032x}", st.vsr[35]),
                [b'f', ..] => format!("f{:x}", cr(&f)),
                [b'w', ..] => memory(&f),
                _ => continue,
            });
        }
        if st.vscr & 1 != 0 {
            got.push("s".into());
        }
        if got.join(" ") != *expected {
            bad.push(format!("{input} > {expected}\n  got {}", got.join(" ")));
        }
    }
    assert!(
        bad.is_empty(),
        "{} of {} differ:\n{}",
        bad.len(),
        lines.len(),
        bad[..bad.len().min(8)].join("\n")
    );
}

#[test]
fn outer_products() {
    let lines: Vec<(&str, &str)> =
        OUTER.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(" | ")).collect();
    assert!(lines.len() > 300);
    let mut f = machine(lines.iter().map(|l| l.0.split(' ').collect()));
    for (n, (words, rest)) in lines.iter().enumerate() {
        let (input, expected) = rest.split_once(" > ").unwrap();
        let input: Vec<u128> = input.split(' ').map(number).collect();
        let st = &mut f.cpu.st;
        st.nia = CODE + 16 * n as u64;
        (st.vsr[3], st.vsr[4], st.vsr[36], st.vsr[5]) = (input[0], input[1], input[1], input[2]);
        st.vsr[8..12].copy_from_slice(&input[3..7]);
        st.fpscr = input[7] as u64;
        f.run();
        let (v, fpscr) = (&f.cpu.st.vsr[8..12], f.cpu.st.fpscr);
        let got = format!("{:x} {:x} {:x} {:x} {fpscr:x}", v[0], v[1], v[2], v[3]);
        assert_eq!(got, expected, "{words} | {rest}");
    }
}
