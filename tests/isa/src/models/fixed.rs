//! Fixed-point, condition register and branch instructions (Book I, chapters 2 and 3).

use super::{Expected, exact, start};
use crate::state::{End, Output};
use crate::values::declet;
use crate::vector::Vector;

const SO: u64 = 1 << 31;
const OV: u64 = 1 << 30;
const CA: u64 = 1 << 29;
const OV32: u64 = 1 << 19;
const CA32: u64 = 1 << 18;

fn set(x: &mut u64, bit: u64, on: bool) {
    *x = if on { *x | bit } else { *x & !bit };
}

/// Overflow bits; SO is sticky.
fn overflow(o: &mut Output, v: &Vector, ov: bool, ov32: bool) {
    set(&mut o.state.xer, OV, ov);
    if v.model != "power8" {
        set(&mut o.state.xer, OV32, ov32);
    }
    if ov {
        o.state.xer |= SO;
    }
}

fn field(o: &mut Output, n: u32, value: u64) {
    let at = 28 - 4 * n;
    o.state.cr = o.state.cr & !(15 << at) | value << at;
}

fn compared(o: &Output, order: std::cmp::Ordering) -> u64 {
    let f = match order {
        std::cmp::Ordering::Less => 8,
        std::cmp::Ordering::Greater => 4,
        std::cmp::Ordering::Equal => 2,
    };
    f | u64::from(o.state.xer & SO != 0)
}

fn record(o: &mut Output, result: u64) {
    let f = compared(o, (result as i64).cmp(&0));
    field(o, 0, f);
}

/// a + b + c with the bits asked for.
fn add(v: &Vector, o: &mut Output, a: u64, b: u64, c: u64, carries: bool, overflows: bool) -> u64 {
    let wide = u128::from(a) + u128::from(b) + u128::from(c);
    let low = (a & 0xffff_ffff) + (b & 0xffff_ffff) + c;
    let r = wide as u64;
    if carries {
        set(&mut o.state.xer, CA, wide >> 64 != 0);
        if v.model != "power8" {
            set(&mut o.state.xer, CA32, low >> 32 != 0);
        }
    }
    if overflows {
        let exact = i128::from(a as i64) + i128::from(b as i64) + i128::from(c);
        let exact32 = i64::from(a as i32) + i64::from(b as i32) + c as i64;
        overflow(o, v, i64::try_from(exact).is_err(), i32::try_from(exact32).is_err());
    }
    r
}

fn mask(mb: u32, me: u32) -> u64 {
    (0..64)
        .filter(|&k| if mb <= me { k >= mb && k <= me } else { k >= mb || k <= me })
        .fold(0, |m, k| m | 1 << (63 - k))
}

fn word_rotated(x: u64, n: u32) -> u64 {
    let r = (x as u32).rotate_left(n & 31);
    u64::from(r) << 32 | u64::from(r)
}

/// Digits of a declet, any encoding.
fn digits(d: u32) -> u32 {
    // The canonical ones by search; the 24 others have two redundant bits.
    let canonical = |d: u32| (0..1000).find(|&n| declet(n) == d);
    let n = canonical(d).or_else(|| canonical(d & 0xff)).unwrap_or(0);
    n / 100 << 8 | n / 10 % 10 << 4 | n % 10
}

fn two_operands(v: &Vector, o: &mut Output) -> Option<u64> {
    let (i, s) = (v.insn, &v.input);
    let (a, b) = (s.gpr[i.ra() as usize], s.gpr[i.rb() as usize]);
    let c = s.gpr[i.rc_reg() as usize];
    let a0 = if i.ra() == 0 { 0 } else { a };
    let ca = u64::from(s.xer & CA != 0);
    let oe = i.oe();
    let (aw, bw) = (a as u32, b as u32);
    let (ai, bi) = (aw as i32, bw as i32);
    let (al, bl) = (a as i64, b as i64);
    let si = i64::from(i.raw as i16) as u64;
    let quotient = |o: &mut Output, q: Option<u64>| {
        if oe {
            overflow(o, v, q.is_none(), q.is_none());
        }
        Some(q.unwrap_or(0))
    };
    Some(match v.row.mnemonic {
        "addi" => a0.wrapping_add(si),
        "addis" => a0.wrapping_add(si << 16),
        "paddi" if i.pcrel() => v.at.wrapping_add(i.d34() as u64),
        "paddi" => a0.wrapping_add(i.d34() as u64),
        "addpcis" => (v.at + 4).wrapping_add((i.dx() << 16) as u64),
        "addic" | "addic." => add(v, o, a, si, 0, true, false),
        "subfic" => add(v, o, !a, si, 1, true, false),
        "mulli" => a.wrapping_mul(si),
        "add" => add(v, o, a, b, 0, false, oe),
        "subf" => add(v, o, !a, b, 1, false, oe),
        "addc" => add(v, o, a, b, 0, true, oe),
        "subfc" => add(v, o, !a, b, 1, true, oe),
        "adde" => add(v, o, a, b, ca, true, oe),
        "subfe" => add(v, o, !a, b, ca, true, oe),
        "addme" => add(v, o, a, u64::MAX, ca, true, oe),
        "subfme" => add(v, o, !a, u64::MAX, ca, true, oe),
        "addze" => add(v, o, a, 0, ca, true, oe),
        "subfze" => add(v, o, !a, 0, ca, true, oe),
        "neg" => add(v, o, !a, 0, 1, false, oe),
        "addex" => {
            let wide = u128::from(a) + u128::from(b) + u128::from(s.xer & OV != 0);
            let low = (a & 0xffff_ffff) + (b & 0xffff_ffff) + u64::from(s.xer & OV != 0);
            set(&mut o.state.xer, OV, wide >> 64 != 0);
            set(&mut o.state.xer, OV32, low >> 32 != 0);
            wide as u64
        }
        "mullw" => {
            let p = i64::from(ai) * i64::from(bi);
            if oe {
                let bad = i32::try_from(p).is_err();
                overflow(o, v, bad, bad);
            }
            p as u64
        }
        "mulld" => {
            let p = i128::from(al) * i128::from(bl);
            if oe {
                let bad = i64::try_from(p).is_err();
                overflow(o, v, bad, bad);
            }
            p as u64
        }
        "mulhw" => (i64::from(ai) * i64::from(bi) >> 32) as u64,
        "mulhwu" => u64::from(aw) * u64::from(bw) >> 32,
        "mulhd" => (i128::from(al) * i128::from(bl) >> 64) as u64,
        "mulhdu" => (u128::from(a) * u128::from(b) >> 64) as u64,
        "maddhd" => (i128::from(al) * i128::from(bl) + i128::from(c as i64) >> 64) as u64,
        "maddhdu" => (u128::from(a) * u128::from(b) + u128::from(c) >> 64) as u64,
        "maddld" => (i128::from(al) * i128::from(bl) + i128::from(c as i64)) as u64,
        "divw" => return quotient(o, ai.checked_div(bi).map(|q| u64::from(q as u32))),
        "divwu" => return quotient(o, aw.checked_div(bw).map(u64::from)),
        "divd" => return quotient(o, al.checked_div(bl).map(|q| q as u64)),
        "divdu" => return quotient(o, a.checked_div(b)),
        "divwe" => {
            let q = (i64::from(ai) << 32).checked_div(bi.into());
            return quotient(o, q.and_then(|q| i32::try_from(q).ok()).map(|q| u64::from(q as u32)));
        }
        "divweu" => {
            let q = (u64::from(aw) << 32).checked_div(bw.into());
            return quotient(o, q.and_then(|q| u32::try_from(q).ok()).map(u64::from));
        }
        "divde" => {
            let q = (i128::from(al) << 64).checked_div(bl.into());
            return quotient(o, q.and_then(|q| i64::try_from(q).ok()).map(|q| q as u64));
        }
        "divdeu" => {
            let q = (u128::from(a) << 64).checked_div(b.into());
            return quotient(o, q.and_then(|q| u64::try_from(q).ok()));
        }
        "modsw" => ai.checked_rem(bi).map_or(0, |q| i64::from(q) as u64),
        "moduw" => aw.checked_rem(bw).map_or(0, u64::from),
        "modsd" => al.checked_rem(bl).unwrap_or(0) as u64,
        "modud" => a.checked_rem(b).unwrap_or(0),
        "isel" => {
            if s.cr >> (31 - i.rc_reg()) & 1 != 0 {
                a0
            } else {
                b
            }
        }
        "addg6s" => {
            let mut r = 0;
            for k in 0..16 {
                let m = if k == 15 { u128::MAX } else { (1u128 << (4 * k + 4)) - 1 };
                let (x, y) = (u128::from(a) & m, u128::from(b) & m);
                if (x + y) >> (4 * k + 4) & 1 == 0 {
                    r |= 6 << (4 * k);
                }
            }
            r
        }
        _ => return None,
    })
}

fn shifts(v: &Vector, o: &mut Output) -> Option<u64> {
    let (i, s) = (v.insn, &v.input);
    let (x, b) = (s.gpr[i.rs() as usize], s.gpr[i.rb() as usize]);
    let old = s.gpr[i.ra() as usize];
    let xw = x as u32;
    let mut arithmetic = |value: i128, width: u32, n: u32| {
        let n = n.min(127);
        let r = value >> n;
        let lost = value < 0 && (r << n) != value;
        let _ = width;
        set(&mut o.state.xer, CA, lost);
        if v.model != "power8" {
            set(&mut o.state.xer, CA32, lost);
        }
        r as i64 as u64
    };
    Some(match v.row.mnemonic {
        "slw" => {
            if b & 32 != 0 {
                0
            } else {
                u64::from(xw << (b & 31))
            }
        }
        "srw" => {
            if b & 32 != 0 {
                0
            } else {
                u64::from(xw >> (b & 31))
            }
        }
        "sld" => {
            if b & 64 != 0 {
                0
            } else {
                x << (b & 63)
            }
        }
        "srd" => {
            if b & 64 != 0 {
                0
            } else {
                x >> (b & 63)
            }
        }
        "srawi" => arithmetic((xw as i32).into(), 32, i.bits(16, 20)),
        "sraw" => arithmetic((xw as i32).into(), 32, (b & 63) as u32),
        "sradi" => arithmetic((x as i64).into(), 64, i.bits(16, 20) | i.bits(30, 30) << 5),
        "srad" => arithmetic((x as i64).into(), 64, (b & 127) as u32),
        "extswsli" => (i64::from(xw as i32) as u64) << (i.bits(16, 20) | i.bits(30, 30) << 5),
        m if m.starts_with("rlw") => {
            let n = if m == "rlwnm" { b as u32 } else { i.bits(16, 20) };
            let m32 = mask(i.bits(21, 25) + 32, i.bits(26, 30) + 32);
            let r = word_rotated(x, n) & m32;
            if m == "rlwimi" { r | old & !m32 } else { r }
        }
        m if m.starts_with("rld") => {
            let immediate = i.bits(16, 20) | i.bits(30, 30) << 5;
            let n = if matches!(m, "rldcl" | "rldcr") { (b & 63) as u32 } else { immediate };
            let bound = i.bits(21, 25) | i.bits(26, 26) << 5;
            let m64 = match m {
                "rldicl" | "rldcl" => mask(bound, 63),
                "rldicr" | "rldcr" => mask(0, bound),
                _ => mask(bound, 63 - n),
            };
            let r = x.rotate_left(n) & m64;
            if m == "rldimi" { r | old & !m64 } else { r }
        }
        _ => return None,
    })
}

/// Bits of `x` where `m` is 1, together at the right end, in order.
pub(super) fn gather(x: u64, m: u64) -> u64 {
    let mut r = 0;
    for (n, k) in (0..64).filter(|k| m >> k & 1 != 0).enumerate() {
        r |= (x >> k & 1) << n;
    }
    r
}

/// The right bits of `x` to where `m` is 1, in order.
pub(super) fn scatter(x: u64, m: u64) -> u64 {
    let mut r = 0;
    for (n, k) in (0..64).filter(|k| m >> k & 1 != 0).enumerate() {
        r |= (x >> n & 1) << k;
    }
    r
}

fn logical(v: &Vector) -> Option<u64> {
    let (i, s) = (v.insn, &v.input);
    let (x, b) = (s.gpr[i.rs() as usize], s.gpr[i.rb() as usize]);
    let ui = u64::from(i.raw as u16);
    let words = |f: &dyn Fn(u32) -> u32| u64::from(f((x >> 32) as u32)) << 32 | u64::from(f(x as u32));
    let bytes = |f: &dyn Fn(u32) -> u64| (0..8).fold(0, |r, k| r | f(k) << (8 * k));
    Some(match v.row.mnemonic {
        "andi." => x & ui,
        "andis." => x & ui << 16,
        "ori" => x | ui,
        "oris" => x | ui << 16,
        "xori" => x ^ ui,
        "xoris" => x ^ ui << 16,
        "and" => x & b,
        "or" => x | b,
        "xor" => x ^ b,
        "nand" => !(x & b),
        "nor" => !(x | b),
        "eqv" => !(x ^ b),
        "andc" => x & !b,
        "orc" => x | !b,
        "extsb" => x as i8 as u64,
        "extsh" => x as i16 as u64,
        "extsw" => x as i32 as u64,
        "cntlzw" => (x as u32).leading_zeros().into(),
        "cntlzd" => x.leading_zeros().into(),
        "cnttzw" => (x as u32).trailing_zeros().into(),
        "cnttzd" => x.trailing_zeros().into(),
        "cntlzdm" => {
            let picked: Vec<bool> =
                (0..64).rev().filter(|k| b >> k & 1 != 0).map(|k| x >> k & 1 != 0).collect();
            picked.iter().take_while(|p| !**p).count() as u64
        }
        "cnttzdm" => {
            let picked: Vec<bool> = (0..64).filter(|k| b >> k & 1 != 0).map(|k| x >> k & 1 != 0).collect();
            picked.iter().take_while(|p| !**p).count() as u64
        }
        "popcntb" => bytes(&|k| u64::from((x >> (8 * k) & 255).count_ones())),
        "popcntw" => words(&|w| w.count_ones()),
        "popcntd" => x.count_ones().into(),
        "prtyw" => words(&|w| (w & 0x0101_0101).count_ones() & 1),
        "prtyd" => u64::from((x & 0x0101_0101_0101_0101).count_ones() & 1),
        "cmpb" => bytes(&|k| if (x ^ b) >> (8 * k) & 255 == 0 { 255 } else { 0 }),
        "bpermd" => (0..8).fold(0, |r, k| {
            let n = x >> (8 * k) & 255;
            r | if n < 64 { (b >> (63 - n) & 1) << k } else { 0 }
        }),
        "cfuged" => gather(x, b) | gather(x, !b).checked_shl(b.count_ones()).unwrap_or(0),
        "pdepd" => scatter(x, b),
        "pextd" => gather(x, b),
        "brh" => (0..4).fold(0, |r, k| r | u64::from((x >> (16 * k)) as u16).swap_bytes() >> 48 << (16 * k)),
        "brw" => words(&u32::swap_bytes),
        "brd" => x.swap_bytes(),
        "cdtbcd" => words(&|w| digits(w >> 10 & 0x3ff) << 12 | digits(w & 0x3ff)),
        "cbcdtd" => words(&|w| {
            let n = |t: u32| (t >> 8 & 15) * 100 + (t >> 4 & 15) * 10 + (t & 15);
            declet(n(w >> 12).min(999)) << 10 | declet(n(w).min(999))
        }),
        _ => return None,
    })
}

fn compares(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, s) = (v.insn, &v.input);
    let (a, b) = (s.gpr[i.ra() as usize], s.gpr[i.rb() as usize]);
    let si = i64::from(i.raw as i16) as u64;
    let ui = u64::from(i.raw as u16);
    let wide = i.bits(10, 10) != 0;
    let signed =
        |a: u64, b: u64| if wide { (a as i64).cmp(&(b as i64)) } else { (a as i32).cmp(&(b as i32)) };
    let unsigned = |a: u64, b: u64| if wide { a.cmp(&b) } else { (a as u32).cmp(&(b as u32)) };
    let f = match v.row.mnemonic {
        "cmpi" => compared(o, signed(a, si)),
        "cmp" => compared(o, signed(a, b)),
        "cmpli" => compared(o, unsigned(a, ui)),
        "cmpl" => compared(o, unsigned(a, b)),
        "cmprb" => {
            let x = a as u8;
            let range = |at: u32| (b >> at) as u8 <= x && x <= (b >> (at + 8)) as u8;
            u64::from(range(0) || wide && range(16)) << 2
        }
        "cmpeqb" => u64::from((0..8).any(|k| (b >> (8 * k)) as u8 == a as u8)) << 2,
        _ => return None,
    };
    field(o, i.bf(), f);
    Some(())
}

fn traps(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, s) = (v.insn, &v.input);
    let (a, b) = (s.gpr[i.ra() as usize], s.gpr[i.rb() as usize]);
    let si = i64::from(i.raw as i16) as u64;
    let (a, b, wide) = match v.row.mnemonic {
        "tw" => (a, b, false),
        "td" => (a, b, true),
        "twi" => (a, si, false),
        "tdi" => (a, si, true),
        _ => return None,
    };
    let (sa, sb, ua, ub) = if wide {
        (a as i64, b as i64, a, b)
    } else {
        (i64::from(a as i32), i64::from(b as i32), u64::from(a as u32), u64::from(b as u32))
    };
    let to = i.to();
    let hit = [sa < sb, sa > sb, sa == sb, ua < ub, ua > ub];
    if hit.iter().enumerate().any(|(k, h)| *h && to >> (4 - k) & 1 != 0) {
        o.end = End::Trap;
    }
    Some(())
}

fn conditions(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, s) = (v.insn, &v.input);
    let bit = |n: u32| s.cr >> (31 - n) & 1 != 0;
    let (a, b) = (bit(i.ba()), bit(i.bb()));
    let rt = i.rt() as usize;
    let m = v.row.mnemonic;
    let logical = match m {
        "crand" => a && b,
        "cror" => a || b,
        "crxor" => a != b,
        "crnand" => !(a && b),
        "crnor" => !(a || b),
        "creqv" => a == b,
        "crandc" => a && !b,
        "crorc" => a || !b,
        "setbc" | "setbcr" | "setnbc" | "setnbcr" => {
            let yes = bit(i.bi()) != m.ends_with('r');
            o.state.gpr[rt] = match (yes, m.starts_with("setn")) {
                (false, _) => 0,
                (true, false) => 1,
                (true, true) => u64::MAX,
            };
            return Some(());
        }
        "setb" => {
            let f = s.cr >> (28 - 4 * i.bfa()) & 15;
            o.state.gpr[rt] = if f & 8 != 0 { u64::MAX } else { u64::from(f & 4 != 0) };
            return Some(());
        }
        "mcrf" => {
            field(o, i.bf(), s.cr >> (28 - 4 * i.bfa()) & 15);
            return Some(());
        }
        "mcrxrx" => {
            let x = |b: u64, n: u32| u64::from(s.xer & b != 0) << n;
            field(o, i.bf(), x(OV, 3) | x(OV32, 2) | x(CA, 1) | x(CA32, 0));
            return Some(());
        }
        "mfcr" | "mfocrf" => {
            o.state.gpr[rt] = s.cr;
            return Some(());
        }
        "mtcrf" | "mtocrf" => {
            let rs = s.gpr[rt];
            for k in (0..8).filter(|k| i.fxm() >> (7 - k) & 1 != 0) {
                field(o, k, rs >> (28 - 4 * k) & 15);
            }
            return Some(());
        }
        _ => return None,
    };
    set(&mut o.state.cr, 1 << (31 - i.bt()), logical);
    Some(())
}

fn branches(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, s) = (v.insn, &v.input);
    let base = if i.aa() { 0 } else { v.at };
    let target = match v.row.mnemonic {
        "b" => base.wrapping_add(i.li() as u64),
        "bc" => base.wrapping_add(i.bd() as u64),
        "bclr" => s.lr & !3,
        "bcctr" => s.ctr & !3,
        "bctar" => s.tar & !3,
        _ => return None,
    };
    let mut taken = true;
    if v.row.mnemonic != "b" {
        let bo = i.bo();
        if bo & 4 == 0 {
            o.state.ctr = s.ctr.wrapping_sub(1);
        }
        let count = bo & 4 != 0 || (o.state.ctr != 0) != (bo & 2 != 0);
        let condition = bo & 16 != 0 || (s.cr >> (31 - i.bi()) & 1 != 0) == (bo & 8 != 0);
        taken = count && condition;
    }
    if i.lk() {
        o.state.lr = v.at + 4;
    }
    if taken {
        o.end = End::Next(target);
    }
    Some(())
}

/// The result of a fixed-point, condition register or branch instruction.
pub fn model(v: &Vector) -> Option<Expected> {
    let mut o = start(v);
    let i = v.insn;
    let m = v.row.mnemonic;
    // Which register takes the result, and whether bit 31 records it.
    let rt = v.row.operands.starts_with("RT");
    let never = ["addi", "addis", "addpcis", "paddi", "addic", "subfic", "mulli", "isel", "addex", "addg6s"];
    let result = match v.row.chapter {
        "fixed" => two_operands(v, &mut o).or_else(|| shifts(v, &mut o)).or_else(|| logical(v)),
        _ => None,
    };
    if let Some(r) = result {
        o.state.gpr[if rt { i.rt() } else { i.ra() } as usize] = r;
        let plain = never.contains(&m)
            || [
                "popcnt", "prty", "cmpb", "bperm", "cfuge", "pdep", "pext", "br", "cdt", "cbc", "madd",
                "mod", "ori",
            ]
            .iter()
            .any(|p| m.starts_with(p))
            || m.starts_with("xori")
            || m.ends_with("dm");
        if m.ends_with('.') || !plain && i.rc() {
            record(&mut o, r);
        }
        return exact(o);
    }
    compares(v, &mut o)
        .or_else(|| traps(v, &mut o))
        .or_else(|| conditions(v, &mut o))
        .or_else(|| branches(v, &mut o))?;
    exact(o)
}
