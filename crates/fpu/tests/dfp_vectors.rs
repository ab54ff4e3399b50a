//! Decimal instructions, decoded and run: vectors recorded from `qemu-ppc64le`, and cases the ISA decides where QEMU
//! differs from it or does nothing (enabled exceptions).

mod machine;

use fpu::{
    dfp::format::{Class, Decimal, EXTENDED, LONG, SHORT, pack},
    fpscr::{
        FEX, FI, FPRF_SHIFT, FR, FX, OE, OX, UE, UX, VE, VX, VXCVI, VXIDI, VXIMZ, VXISI, VXSNAN, VXZDZ, XX,
        ZE, ZX, summarize,
    },
};
use isa::{Insn, Level};
use machine::Machine;

/// Run a recorded line; `Err` says what differs.
fn line(text: &str) -> Result<(), String> {
    let (before, after) = text.split_once('>').ok_or("no >")?;
    let number = |s: &str| u128::from_str_radix(s, 16).map_err(|e| e.to_string());
    let before = before.split_whitespace().map(number).collect::<Result<Vec<_>, _>>()?;
    let after = after.split_whitespace().map(number).collect::<Result<Vec<_>, _>>()?;
    let (&[word, fpscr, t, a, b], &[t2, fpscr2, cr]) = (&before[..], &after[..]) else {
        return Err("wrong number of columns".into());
    };
    let mut m = Machine { fpscr: fpscr as u64, ..Machine::default() };
    for (n, v) in [t, a, b].into_iter().enumerate() {
        (m.vsr[2 + 2 * n], m.vsr[3 + 2 * n]) = (v >> 64 << 64, v << 64);
        m.vsr[34 + 2 * n] = v;
    }
    let row = isa::decode(Insn::new(word as u32), Level::V3_1).row().ok_or("not decoded")?;
    if !m.run(word as u32) {
        return Err("left the instruction".into());
    }
    let out = if row.mnemonic == "dctfixqq" { m.vsr[34] } else { m.vsr[2] | m.vsr[3] >> 64 };
    let got = (out, m.fpscr & !(FR as u64), m.cr());
    let want = (t2, fpscr2 as u64 & !(FR as u64), cr as u32);
    if got != want {
        return Err(format!("{}: {got:x?}, not {want:x?}", row.mnemonic));
    }
    Ok(())
}

#[test]
fn recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/insns/dfp.vec");
    let text = std::fs::read_to_string(path).expect("tests/insns/dfp.vec");
    let mut seen = std::collections::HashSet::new();
    for (n, l) in text.lines().enumerate().filter(|(_, l)| !l.starts_with('#')) {
        if let Err(e) = line(l) {
            panic!("dfp.vec:{}: {l}\n{e}", n + 1);
        }
        let word = u32::from_str_radix(l.split(' ').next().unwrap_or(""), 16).unwrap_or(0);
        seen.extend(isa::decode(Insn::new(word), Level::V3_1).row().map(|r| r.mnemonic));
    }
    // QEMU puts the result of drdpq into the right register of the pair.
    let absent: Vec<_> = isa::ROWS
        .iter()
        .filter(|r| r.chapter == "dfp" && !seen.contains(r.mnemonic))
        .map(|r| r.mnemonic)
        .collect();
    assert_eq!(absent, ["drdpq"]);
}

/// Biased exponents of 0 and digits of a long number.
fn long(sign: bool, coef: u128, exp: i32) -> u128 {
    pack(&LONG, &Decimal::number(sign, coef, exp)) << 64
}

/// An extended number in the pair that begins at `n`.
fn set_pair(m: &mut Machine, n: usize, d: &Decimal) {
    let v = pack(&EXTENDED, d);
    (m.vsr[n], m.vsr[n + 1]) = (v >> 64 << 64, v << 64);
}

fn pair(m: &Machine, n: usize) -> u128 {
    m.vsr[n] | m.vsr[n + 1] >> 64
}

/// An instruction with target 2 and operands 4 and 6.
fn word(po: u32, xo: u32) -> u32 {
    po << 26 | 2 << 21 | 4 << 16 | 6 << 11 | xo << 1
}

/// Run a word on long operands.
fn run(word: u32, fpscr: u64, a: u128, b: u128) -> Machine {
    let mut m = Machine { fpscr, ..Machine::default() };
    (m.vsr[2], m.vsr[4], m.vsr[6]) = (TARGET, a, b);
    assert!(m.run(word), "{word:#x}");
    m
}

/// What the target holds before.
const TARGET: u128 = 0x1234_5678 << 64;
const DADD: u32 = 2;
const DMUL: u32 = 34;
const DDIV: u32 = 546;

/// Preferred exponents (IEEE 754-2008, 5.4.1): 1.20 + 1.3, 1.20 * 1.3, 1.200 / 1.2, 1 / 8, 1 / 3.
#[test]
fn preferred_exponents() {
    let n = |c, e| long(false, c, e);
    for (xo, a, b, want) in [
        (DADD, n(120, -2), n(13, -1), n(250, -2)),
        (DMUL, n(120, -2), n(13, -1), n(1560, -3)),
        (DDIV, n(1200, -3), n(12, -1), n(100, -2)),
        (DDIV, n(1, 0), n(8, 0), n(125, -3)),
        (DDIV, n(1, 0), n(3, 0), n(3_333_333_333_333_333, -16)),
        (DADD, n(1, 300), n(0, 0), n(1_000_000_000_000_000, 285)),
        (DMUL, n(1, 369), n(10, 5), n(1_000_000, 369)),
    ] {
        assert_eq!(run(word(59, xo), 0, a, b).vsr[2], want, "{xo} {a:#x} {b:#x}");
    }
}

/// FR is set when the significand was incremented (Book I, 5.2).
#[test]
fn fraction_rounded() {
    let two_thirds = run(word(59, DDIV), 0, long(false, 2, 0), long(false, 3, 0));
    assert_eq!(two_thirds.vsr[2], long(false, 6_666_666_666_666_667, -16));
    assert_eq!(two_thirds.fpscr as u32, FX | XX | FR | FI | 4 << FPRF_SHIFT);
    let third = run(word(59, DDIV), (FR | FI) as u64, long(false, 1, 0), long(false, 3, 0));
    assert_eq!(third.fpscr as u32, FX | XX | FI | 4 << FPRF_SHIFT);
    let half = run(word(59, DDIV), (FR | FI) as u64, long(false, 1, 0), long(false, 2, 0));
    assert_eq!(half.fpscr as u32, 4 << FPRF_SHIFT);
}

/// Enabled invalid operation and zero divide keep the target and FPRF, clear FR and FI, and interrupt (Book I, 5.5.10).
#[test]
fn enabled_invalid_operation_and_zero_divide() {
    let snan = 0x7e00u128 << 112;
    let old = FR | FI | 5 << FPRF_SHIFT;
    for (xo, enable, a, b, exc) in [
        (DADD, VE, snan, long(false, 1, 0), VX | VXSNAN),
        (DADD, VE, 0x7800 << 112, 0xf800 << 112, VX | VXISI),
        (DMUL, VE, 0x7800 << 112, long(true, 0, 9), VX | VXIMZ),
        (DDIV, VE, 0x7800 << 112, 0x7800 << 112, VX | VXIDI),
        (DDIV, VE, long(false, 0, 0), long(false, 0, 0), VX | VXZDZ),
        (DDIV, ZE, long(false, 1, 0), long(true, 0, 0), ZX),
    ] {
        let m = run(word(59, xo) | 1, (old | enable) as u64, a, b);
        assert_eq!(m.vsr[2], TARGET, "{exc:#x}");
        assert_eq!(m.fpscr as u32, FX | FEX | exc | enable | 5 << FPRF_SHIFT, "{exc:#x}");
        assert_eq!((m.cr[1] & 0xc, m.trapped), (0xc, true));
        // Disabled: the default result.
        let m = run(word(59, xo), old as u64, a, b);
        let want = if exc == ZX { 0xf800 } else { 0x7c00 };
        assert_eq!((m.vsr[2] >> 112, m.fpscr as u32 & exc, m.trapped), (want, exc, false));
    }
}

/// Enabled overflow and underflow: the exponent moves by 576, or 9216 for extended; the class is that of a normal
/// number (Book I, 5.5.10.3 and 5.5.10.4).
#[test]
fn enabled_overflow_and_underflow() {
    let m = run(word(59, DMUL), OE as u64, long(true, 2, 300), long(false, 3, 200));
    assert_eq!(m.vsr[2], long(true, 6, 500 - 576));
    assert_eq!(m.fpscr as u32, FX | FEX | OX | OE | 8 << FPRF_SHIFT);
    assert!(m.trapped);
    let m = run(word(59, DDIV), UE as u64, long(false, 1, -300), long(false, 3, 200));
    assert_eq!(m.vsr[2], long(false, 3_333_333_333_333_333, -516 + 576));
    assert_eq!(m.fpscr as u32, FX | FEX | UX | XX | FI | UE | 4 << FPRF_SHIFT);
    // Tiny and exact: an underflow only when enabled.
    let m = run(word(59, DMUL), UE as u64, long(false, 7, -200), long(false, 1, -198));
    assert_eq!(m.vsr[2], long(false, 7, -398 + 576));
    assert_eq!(m.fpscr as u32, FX | FEX | UX | UE | 4 << FPRF_SHIFT);
    let m = run(word(59, DMUL), 0, long(false, 7, -200), long(false, 1, -198));
    assert_eq!((m.vsr[2], m.fpscr as u32), (long(false, 7, -398), 0x14 << FPRF_SHIFT));
    let mut m = Machine { fpscr: OE as u64, ..Machine::default() };
    set_pair(&mut m, 4, &Decimal::number(false, 5, 6000));
    set_pair(&mut m, 6, &Decimal::number(false, 5, 6000));
    assert!(m.run(word(63, DMUL)));
    assert_eq!(pair(&m, 2), pack(&EXTENDED, &Decimal::number(false, 25, 12000 - 9216)));
}

/// Rounding to a shorter format: an adjusted result has the format of the source and the precision of the target.
#[test]
fn narrowing() {
    let drsp = 770;
    // 1234567.5 to short, and in doubleword 0 nothing but the word.
    let m = run(word(59, drsp), 0, 0, long(false, 12_345_675, -1));
    assert_eq!(m.vsr[2], pack(&SHORT, &Decimal::number(false, 1_234_568, 0)) << 64);
    assert_eq!(m.fpscr as u32 & (XX | FI | FR), XX | FI | FR);
    let m = run(word(59, drsp), OE as u64, 0, long(false, 12_345_675, 300));
    assert_eq!(m.vsr[2], long(false, 1_234_568, 301 - 192));
    assert_eq!(m.fpscr as u32, FX | FEX | OX | XX | OE | FR | FI | 4 << FPRF_SHIFT);
    let m = run(word(59, drsp), UE as u64, 0, long(true, 1, -398));
    assert_eq!(m.vsr[2], long(true, 1, -398 + 192));
    // The short format is for storage: a signalling NaN passes.
    let m = run(word(59, drsp), 0, 0, pack(&LONG, &snan(123_456_789)) << 64);
    assert_eq!(m.vsr[2], pack(&SHORT, &snan(456_789)) << 64);
    assert_eq!(m.fpscr as u32, 1 << FPRF_SHIFT);
    // drdpq: the result in the left register, zero in the right one.
    let mut m = Machine::default();
    set_pair(&mut m, 6, &Decimal::number(true, 12_345_678_901_234_565, 0));
    assert!(m.run(word(63, drsp)));
    assert_eq!((m.vsr[2], m.vsr[3]), (long(true, 1_234_567_890_123_456, 1), 0));
    set_pair(&mut m, 6, &snan(7));
    m.fpscr = 0;
    assert!(m.run(word(63, drsp)));
    assert_eq!(
        (m.vsr[2], m.fpscr as u32),
        (pack(&LONG, &snan(7).quiet()) << 64, FX | VX | VXSNAN | 0x11 << FPRF_SHIFT)
    );
    m.fpscr = OE as u64;
    set_pair(&mut m, 6, &Decimal::number(true, 9, 6000));
    assert!(m.run(word(63, drsp)));
    assert_eq!(pair(&m, 2), pack(&EXTENDED, &Decimal::number(true, 9, 6000 - 3072)));
}

fn snan(coef: u128) -> Decimal {
    Decimal { class: Class::SNan, sign: false, coef, exp: 0 }
}

/// denbcd: a digit over 9 or a sign under 10 is VXCVI and a quiet NaN with its class.
#[test]
fn invalid_packed_decimal() {
    let denbcd =
        |s: u32, v: u64, fpscr| run(word(59, 834) & !(31 << 16) | s << 20, fpscr, 0, (v as u128) << 64);
    for (s, v) in [(0, 0xa0), (0, 0xf), (1, 0x12), (1, 0xac), (1, 0x9)] {
        let m = denbcd(s, v, 0);
        assert_eq!(m.vsr[2], 0x7c00 << 112, "{v:#x}");
        assert_eq!(m.fpscr as u32, FX | VX | VXCVI | 0x11 << FPRF_SHIFT, "{v:#x}");
        assert_eq!(denbcd(s, v, VE as u64).vsr[2], TARGET);
    }
    for (sign, negative) in [(0xa, false), (0xb, true), (0xc, false), (0xd, true), (0xe, false), (0xf, false)]
    {
        assert_eq!(denbcd(1, 0x1230 | sign, 0).vsr[2], long(negative, 123, 0));
    }
}

/// Infinities and NaNs keep the digits of their trailing significand where instructions take them apart, in preferred
/// declets.
#[test]
fn parts_of_special_values() {
    let inf = |coef| pack(&LONG, &Decimal { class: Class::Inf, sign: true, coef, exp: 0 }) << 64;
    // dscri f2,f4,2
    let m = run(59 << 26 | 2 << 21 | 4 << 16 | 2 << 10 | 98 << 1, 0, inf(4321), 0);
    assert_eq!((m.vsr[2], m.fpscr), (inf(43), 0));
    // dscli f2,f4,14: 15 digits.
    let m = run(59 << 26 | 2 << 21 | 4 << 16 | 14 << 10 | 66 << 1, 0, inf(4321), 0);
    assert_eq!(m.vsr[2], inf(100_000_000_000_000));
    // ddedpd 2,f2,f6
    let m = run(word(59, 322) & !(31 << 16) | 2 << 19, 0, 0, inf(4321));
    assert_eq!(m.vsr[2], 0x4321d << 64);
    // diex of -2 with a redundant declet (0x3ff is 999 as 0x0ff is).
    let m = run(word(59, 866), 0, (-2i64 as u64 as u128) << 64, (0x2238u128 << 48 | 0x3ff) << 64);
    assert_eq!(m.vsr[2], (0x7c00u128 << 48 | 0xff) << 64);
}

/// The smallest integer of a format is converted without exception (QEMU takes it as too large for extended numbers).
#[test]
fn smallest_integer() {
    let mut m = Machine::default();
    set_pair(&mut m, 6, &Decimal::number(true, 1 << 63, 0));
    assert!(m.run(word(63, 290)));
    assert_eq!((m.vsr[2], m.fpscr), (1 << 127, 0));
    set_pair(&mut m, 6, &Decimal::number(false, 1 << 63, 0));
    assert!(m.run(word(63, 290)));
    assert_eq!((m.vsr[2] >> 64, m.fpscr as u32), (i64::MAX as u128, FX | VX | VXCVI));
}

/// Pairs begin at even registers.
#[test]
fn odd_pairs_are_illegal() {
    let mut m = Machine::default();
    for row in isa::ROWS.iter().filter(|r| r.chapter == "dfp") {
        for (name, shift) in [("FRTp", 21), ("FRAp", 16), ("FRBp", 11)] {
            if row.operands.contains(name) {
                assert!(m.run(row.enc.value), "{}", row.mnemonic);
                assert!(!m.run(row.enc.value | 1 << shift), "{} {name}", row.mnemonic);
            }
        }
    }
}

/// Any word of any row with any registers: no panic, and the FPSCR stays what an FPSCR can be.
#[test]
fn random_words_keep_the_fpscr_consistent() {
    let mut state = 5u64;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    for row in isa::ROWS.iter().filter(|r| r.chapter == "dfp") {
        for _ in 0..2000 {
            let mut m = Machine { fe: next() & 1 != 0, ..Machine::default() };
            for v in &mut m.vsr {
                let x = (next() as u128) << 64 | next() as u128;
                // Exponents at both ends, few digits.
                *v = match next() % 4 {
                    0 => x & (0x8001u128 << 112 | 0xffff << 64),
                    1 => x | 0x77fcu128 << 112,
                    _ => x,
                };
            }
            m.fpscr = summarize(next() & 0x7_ffff_f7ff);
            let pairs = row.operands.contains("p") as u32 * (1 << 21 | 1 << 16 | 1 << 11);
            let word = row.enc.value | next() as u32 & !row.enc.mask & !pairs;
            assert!(m.run(word), "{} {word:#x}", row.mnemonic);
            assert_eq!(m.fpscr, summarize(m.fpscr), "{} {word:#x}", row.mnemonic);
            assert_eq!(m.fpscr & !0x7_ffff_f7ff, 0, "{} {word:#x}", row.mnemonic);
            assert!(!m.trapped || m.fe && m.fpscr as u32 & FEX != 0, "{} {word:#x}", row.mnemonic);
            assert!(m.cr.iter().all(|&f| f < 16));
        }
    }
}
