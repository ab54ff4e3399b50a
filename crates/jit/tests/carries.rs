//! Chains of carries with all kinds of instructions between them: the translator against the interpreter.

mod pair;

use arch::{Cpu, Exit, msr};
use interp::One;
use isa::Op::{self, *};
use isa::{Insn, Level};
use pair::{Pair, Rng, SC1};

const CHAIN: [Op; 10] = [Addc, Adde, Addze, Addme, Subfc, Subfe, Subfze, Subfme, Addic, Subfic];

/// Instructions that leave the host's flags alone.
const QUIET: [Op; 6] = [Mulld, Mulhdu, Addi, Addis, Add, Or];

/// Instructions that do not, or look at the XER.
const LOUD: [Op; 26] = [
    AddicRc, Andi, Cmp, Cmpl, Cmpi, Mulhd, Mulli, Mullw, Divdu, Divd, Neg, Subf, And, Xor, Rlwinm, Rldicl,
    Sradi, Srad, Sraw, Cntlzd, Addex, Mcrxrx, Isel, Ori, Mfcr, Cmpli,
];

/// The operation with random fields: few registers, and mostly neither Rc nor OE.
fn word_of(op: Op, r: &mut Rng) -> u32 {
    let e = op.row().unwrap().enc;
    let mut w = r.next() as u32 & !(0b11000_11000_11000 << 11);
    if !r.chance(12) {
        w &= !(1 << 10 | 1);
    }
    if op == Or && r.chance(2) {
        // mr
        w = w & !(31 << 11) | (w >> 21 & 31) << 11;
    }
    w & !e.mask | e.value
}

fn of(ops: &[Op], r: &mut Rng) -> u32 {
    word_of(ops[r.below(ops.len() as u64) as usize], r)
}

fn chain(r: &mut Rng, len: u64, loud: u64) -> Vec<u32> {
    let mut code = Vec::new();
    while (code.len() as u64) < len {
        let t = r.below(8) as u32;
        let w = match r.below(100) {
            n if n < 50 => of(&CHAIN, r),
            // The other half of a product that was made before, maybe.
            n if n < 60 && !code.is_empty() => match code[r.below(code.len() as u64) as usize] {
                w if w & !(0x7fff << 11) == 31 << 26 | 233 << 1 => {
                    w & !(31 << 21) & !0x7ff | t << 21 | 9 << 1
                }
                w if w & !(0x7fff << 11) == 31 << 26 | 9 << 1 => {
                    w & !(31 << 21) & !0x7ff | t << 21 | 233 << 1
                }
                w => w,
            },
            n if n < 80 => of(&QUIET, r),
            n if n < 80 + loud => match r.below(12) {
                // ld and std, some of which fault; mfxer and mtxer; a branch over the next instruction
                0 | 1 => 58 << 26 | t << 21 | 9 << 16 | 8 * r.below(16) as u32,
                2 | 3 => 62 << 26 | t << 21 | 9 << 16 | 8 * r.below(16) as u32,
                4 if r.chance(3) => (58 + 4 * r.below(2) as u32) << 26 | t << 21 | 10 << 16,
                5 => 31 << 26 | t << 21 | 1 << 16 | 339 << 1,
                6 => 31 << 26 | t << 21 | 1 << 16 | 467 << 1,
                7 => 16 << 26 | [4, 12][r.below(2) as usize] << 21 | (r.below(8) as u32) << 16 | 8,
                _ => of(&LOUD, r),
            },
            _ => continue,
        };
        code.push(w);
    }
    code
}

/// The same numbers for both.
fn numbers(p: &mut Pair, r: &mut Rng, wide: bool) {
    let seed = r.next();
    p.both(|c| {
        let mut r = Rng(seed);
        pair::renew(c);
        for n in 0..8 {
            c.st.gpr[n] = match r.below(6) {
                0 => 0,
                1 => u64::MAX,
                2 => u64::MAX >> r.below(64),
                3 => u64::MAX << r.below(64),
                4 => r.below(4),
                _ => r.next(),
            };
        }
        (c.st.gpr[9], c.st.gpr[10]) = (0x4_0000, 0x80_0000_0000_0000);
        for k in 0..16 {
            c.sh.ram.store_le(0x4_0000 + 8 * k, r.next() >> r.below(64), 8).unwrap();
        }
        let x = r.next();
        c.st.set_xer(x);
        let sf = if wide { msr::SF } else { 0 };
        c.set_msr(msr::ME | msr::LE | sf);
    });
}

fn show(code: &[u32], level: Level) -> String {
    code.iter().map(|&w| format!("{w:08x} {}\n", isa::disasm(Insn::new(w), 0, level))).collect()
}

fn count() -> u64 {
    if cfg!(debug_assertions) { 600 } else { 6000 }
}

#[test]
fn chains_of_carries() {
    for (k, model) in ["power8", "power9", "power10"].into_iter().enumerate() {
        let mut r = Rng(501 + k as u64);
        let mut p = Pair::new(model, true);
        for n in 0..count() {
            // Some end with their page, some are longer than a block.
            let at = 0x1_0000 + if r.chance(4) { 0x1000 - 4 * (1 + r.below(24)) } else { 0 };
            let len = if r.chance(8) { 60 + r.below(12) } else { 2 + r.below(30) };
            let loud = r.below(21);
            let mut code = chain(&mut r, len, loud);
            code.extend([SC1; 4]);
            numbers(&mut p, &mut r, n % 8 != 0);
            p.load(at, &code);
            let d = p.run(1000).unwrap_or_else(|| panic!("{n}: no end"));
            assert!(d.is_empty(), "{model} {n}: {}\n{}", show(&code, p.a.st.level), d.join("\n"));
        }
    }
}

/// One instruction, unless it does not complete.
fn step(c: &mut Cpu) -> bool {
    let cia = c.st.nia;
    let i = Insn::new(c.sh.ram.load_le(cia, 4).unwrap() as u32);
    c.st.nia = match interp::exec_one(c, isa::decode(i, c.st.level), i, cia) {
        One::Next => cia + 4,
        One::Jump(to) => to,
        One::Stop(..) => return false,
    };
    c.retired += 1;
    true
}

/// Wherever the engine comes back, the XER is what it is by then.
#[test]
fn a_carry_is_whole_where_control_comes_back() {
    let mut r = Rng(77);
    let mut p = Pair::new("power9", true);
    let mut stops = 0;
    for n in 0..count() / 4 {
        let len = 2 + r.below(80);
        let loud = r.below(8);
        let mut code = chain(&mut r, len, loud);
        // Several turns.
        let back = -4 * code.len() as i32;
        code.push(16 << 26 | 16 << 21 | back as u32 & 0xfffc);
        code.push(SC1);
        numbers(&mut p, &mut r, true);
        p.both(|c| c.st.ctr = 4);
        p.load(0x1_0000, &code);
        // To the end, or to the first interrupt.
        while p.jit.run(&mut p.b, 1) == Exit::Budget {
            while p.a.retired < p.b.retired && step(&mut p.a) {}
            if p.a.retired != p.b.retired || p.b.st.nia < 0x1000 {
                break;
            }
            let d = pair::differences(&p.a, &p.b);
            assert!(d.is_empty(), "{n}: {}\n{}", show(&code, p.a.st.level), d.join("\n"));
            stops += 1;
        }
    }
    assert!(stops > count() / 4, "{stops}");
}
