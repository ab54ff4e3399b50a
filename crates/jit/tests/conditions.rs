//! Comparisons, branches on what they found, and everything that looks at the fields of the CR or changes XER[SO]: the
//! translator against the interpreter. Most programs have far more ways out than instructions between them.

mod pair;

use arch::msr;
use isa::Insn;
use isa::Op::{self, *};
use pair::{Pair, Rng, SC1};

const COMPARE: [Op; 4] = [Cmp, Cmpi, Cmpl, Cmpli];

/// What reads fields or bits of the CR, and what writes them.
const FIELDS: [Op; 12] = [Mfcr, Mfcr, Mtcrf, Mcrf, Mcrxrx, Crand, Cror, Crnor, Crxor, Isel, Setb, Creqv];

/// The operation with random fields: registers 0 to 3, CR fields 0, 1, 6 or 7.
fn word_of(op: Op, r: &mut Rng) -> u32 {
    let e = op.row().unwrap().enc;
    let mut w = r.next() as u32 & !(0b11100_11100_11100 << 11);
    let field = [0, 1, 6, 7][r.below(4) as usize];
    match op {
        Cmp | Cmpi | Cmpl | Cmpli | Mcrf | Mcrxrx => {
            w = w & !(31 << 21) | field << 23 | (r.below(2) as u32) << 21
        }
        Isel | Setb => w = w & !(31 << 6) | (r.below(32) as u32) << 6,
        _ => {}
    }
    if matches!(op, Cmpi | Cmpli) {
        w = w & !0xffff | [0, 0, 1, 0xffff][r.below(4) as usize];
    }
    if matches!(op, Crand | Cror | Crnor | Crxor | Creqv) {
        w |= r.next() as u32 & 0x03ff_f800;
    }
    w & !e.mask | e.value
}

fn program(r: &mut Rng, len: u64) -> Vec<u32> {
    let mut code = Vec::new();
    for _ in 0..len {
        let pick = |ops: &[Op], r: &mut Rng| word_of(ops[r.below(ops.len() as u64) as usize], r);
        let (bi, likely) = (r.below(32) as u32, [4, 12][r.below(2) as usize] << 21);
        code.push(match r.below(20) {
            0..6 => pick(&COMPARE, r),
            // bc, bclr, bcctr
            6..12 => 16 << 26 | likely | bi << 16 | 4 * (2 + r.below(6) as u32),
            12 => 19 << 26 | likely | bi << 16 | 16 << 1,
            13 => 19 << 26 | likely | bi << 16 | 528 << 1,
            14 | 15 => pick(&FIELDS, r),
            // With OE.
            16 => pick(&[Add, Subf, Neg, Mulld, Addc], r) | 1 << 10,
            // mtxer
            17 => 31 << 26 | (r.below(4) as u32) << 21 | 1 << 16 | 467 << 1,
            // ld, sometimes where nothing is
            18 => 58 << 26 | (r.below(4) as u32) << 21 | (9 + r.chance(4) as u32) << 16,
            _ => pick(&[Add, AddicRc, Andi, Or, Addi], r),
        });
    }
    code
}

/// The same numbers for both: few, so that all outcomes happen.
fn numbers(p: &mut Pair, r: &mut Rng, at: u64, len: u64, wide: bool) {
    let seed = r.next();
    p.both(|c| {
        let mut r = Rng(seed);
        pair::renew(c);
        for n in 0..4 {
            c.st.gpr[n] = [0, 1, u64::MAX, 1 << 63, i64::MAX as u64, 0xffff_ffff, 1 << 31, 0x7fff_ffff]
                [r.below(8) as usize];
        }
        (c.st.gpr[9], c.st.gpr[12]) = (0x4_0000, 0x80_0000_0000_0000);
        (c.st.lr, c.st.ctr) = (at + 4 * r.below(len), at + 4 * r.below(len));
        c.st.set_cr_word(r.next() as u32);
        let x = if r.chance(2) { r.next() } else { 0 };
        c.st.set_xer(x);
        c.set_msr(msr::ME | msr::LE | if wide { msr::SF } else { 0 });
    });
}

#[test]
fn fields_of_the_cr() {
    let count = if cfg!(debug_assertions) { 3000 } else { 40_000 };
    for (k, model) in ["power8", "power9", "power10"].into_iter().enumerate() {
        let mut r = Rng(901 + k as u64);
        let mut p = Pair::new(model, true);
        let (mut endless, mut owed) = (0, 0);
        for n in 0..count {
            let at = 0x1_0000 + if r.chance(8) { 0x1000 - 4 * (1 + r.below(24)) } else { 0 };
            let len = 2 + r.below(40);
            let mut code = program(&mut r, len);
            code.extend([SC1; 8]);
            numbers(&mut p, &mut r, at, len, n % 8 != 0);
            p.load(at, &code);
            let Some(d) = p.run(1000) else {
                endless += 1;
                continue;
            };
            let show = |w: &u32| format!("{w:08x} {}\n", isa::disasm(Insn::new(*w), 0, p.a.st.level));
            assert!(
                d.is_empty(),
                "{model} {n}: {}\n{}",
                code.iter().map(show).collect::<String>(),
                d.join("\n")
            );
            owed += u64::from(p.b.st.xer_so != 0 && p.b.st.cr.iter().any(|f| f & arch::SO_OWED != 0));
        }
        assert!(endless < count / 3, "{endless} without end");
        assert!(owed > count / 100, "{owed} ends with an SO that is owed");
    }
}
