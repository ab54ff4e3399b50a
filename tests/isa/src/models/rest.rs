//! What the other models leave: loads and stores of pairs, lists, strings and elements, moves between registers, decimal
//! conversions and shifts, quotients and products of quadwords, and quads rounded to odd (Book I, 3.3, 4.6, 6.7 to
//! 6.14, 7.6).

use std::cmp::Ordering;

use rustc_apfloat::ieee::Quad;
use rustc_apfloat::{Float, Round, Status};

use super::float::{self, Op};
use super::status::XX;
use super::storage::{address, bytes, number, of_number, put, widen};
use super::{Expected, exact, start};
use crate::state::{Output, State};
use crate::vector::Vector;

fn high(x: u128) -> u64 {
    (x >> 64) as u64
}

fn pair(h: u64, l: u64) -> u128 {
    u128::from(h) << 64 | u128::from(l)
}

/// A sum of a base register, or nothing, and nothing else.
fn base(v: &Vector) -> u64 {
    if v.insn.ra() == 0 { 0 } else { v.input.gpr[v.insn.ra() as usize] }
}

/// Loads and stores of VSX that have a length or two registers.
fn vsx_memory(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, le, m) = (v.insn, v.le, v.row.mnemonic);
    if matches!(m, "lxvl" | "lxvll" | "stxvl" | "stxvll") {
        let n = (v.input.gpr[i.rb() as usize] >> 56).min(16) as usize;
        let reversed = le && !m.ends_with("ll");
        let t = i.xt() as usize;
        if m.starts_with('l') {
            let mut r = [0; 16];
            r[..n].copy_from_slice(bytes(v, base(v), n)?);
            o.state.vsr[t] = if reversed { u128::from_le_bytes(r) } else { u128::from_be_bytes(r) };
        } else {
            let x = v.input.vsr[t];
            let r = if reversed { x.to_le_bytes() } else { x.to_be_bytes() };
            put(o, base(v), &r[..n])?;
        }
        return Some(());
    }
    if !matches!(m, "lxvp" | "lxvpx" | "plxvp" | "stxvp" | "stxvpx" | "pstxvp") {
        return None;
    }
    // The pair is one number of 32 bytes.
    let t = (i.bits(10, 10) << 5 | i.bits(6, 9) << 1) as usize;
    let ea = address(v)?;
    let (first, second) = if le { (t + 1, t) } else { (t, t + 1) };
    for (k, n) in [(0, first), (16, second)] {
        if m.contains("lx") {
            o.state.vsr[n] = number(bytes(v, ea + k, 16)?, le);
        } else {
            put(o, ea + k, &of_number(v.input.vsr[n], 16, le))?;
        }
    }
    Some(())
}

/// Control vectors for permutes: lanes of `lane` bytes, chosen by the first bit of each.
fn permute_control(mask: u128, lane: usize, imm: u32) -> u128 {
    let (left, compress) = (imm & 2 == 0, imm & 1 != 0);
    let side = |p: usize| if left { p } else { 15 - p };
    let b = mask.to_be_bytes();
    let mut r = [0u8; 16];
    let mut count = 0;
    for k in 0..16 / lane {
        // The first byte of the lane is its most significant one.
        let first = if left { k * lane } else { 16 - (k + 1) * lane };
        let chosen = b[first] & 0x80 != 0;
        for p in 0..lane {
            let here = k * lane + p;
            let there = count * lane + p;
            match (compress, chosen) {
                (true, true) => r[side(there)] = here as u8,
                (true, false) => {}
                (false, true) => r[side(here)] = there as u8,
                (false, false) => r[side(here)] = here as u8 + 16,
            }
        }
        count += usize::from(chosen);
    }
    u128::from_be_bytes(r)
}

fn vsx(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let s = &v.input;
    let xt = i.xt() as usize;
    let source = s.vsr[xt];
    let ra = s.gpr[i.ra() as usize];
    let xb = s.vsr[i.xb() as usize];
    let control = s.vsr[32 + i.vrb() as usize];
    match m {
        "mfvsrd" => o.state.gpr[i.ra() as usize] = high(source),
        "mfvsrld" => o.state.gpr[i.ra() as usize] = source as u64,
        "mfvsrwz" => o.state.gpr[i.ra() as usize] = high(source) & 0xffff_ffff,
        "mtvsrd" => o.state.vsr[xt] = pair(ra, 0),
        "mtvsrwa" => o.state.vsr[xt] = pair(ra as i32 as u64, 0),
        "mtvsrwz" => o.state.vsr[xt] = pair(ra & 0xffff_ffff, 0),
        "mtvsrdd" => o.state.vsr[xt] = pair(base(v), s.gpr[i.rb() as usize]),
        "mtvsrws" => o.state.vsr[xt] = (0..4).fold(0, |r, _| r << 32 | u128::from(ra as u32)),
        "lxvkq" => {
            let n = i.bits(16, 20);
            let x = match n & 15 {
                k @ 1..=7 => Quad::from_u128(k.into()).value.to_bits(),
                8 => 0x7fff << 112,
                9 if n == 9 => 0xffff << 111,
                0 if n == 16 => 0,
                _ => return None,
            };
            o.state.vsr[xt] = x | u128::from(n >> 4) << 127;
        }
        "xxextractuw" | "xxinsertw" => {
            let at = i.bits(12, 15) as usize;
            if at > 12 {
                return None;
            }
            let b = xb.to_be_bytes();
            let mut t = source.to_be_bytes();
            if m == "xxinsertw" {
                t[at..at + 4].copy_from_slice(&b[4..8]);
            } else {
                t = [0; 16];
                t[4..8].copy_from_slice(&b[at..at + 4]);
            }
            o.state.vsr[xt] = u128::from_be_bytes(t);
        }
        "xvtlsbb" => {
            let b = xb.to_be_bytes();
            let all = u64::from(b.iter().all(|x| x & 1 != 0));
            let none = u64::from(b.iter().all(|x| x & 1 == 0));
            field(o, i.bf(), all << 3 | none << 1);
        }
        "xxgenpcvbm" => o.state.vsr[xt] = permute_control(control, 1, i.bits(11, 15)),
        "xxgenpcvhm" => o.state.vsr[xt] = permute_control(control, 2, i.bits(11, 15)),
        "xxgenpcvwm" => o.state.vsr[xt] = permute_control(control, 4, i.bits(11, 15)),
        "xxgenpcvdm" => o.state.vsr[xt] = permute_control(control, 8, i.bits(11, 15)),
        "xxsplti32dx" | "xxspltidp" => {
            let t = (i.bits(15, 15) << 5 | i.bits(6, 10)) as usize;
            let imm = i.prefix << 16 | i.raw & 0xffff;
            if m == "xxspltidp" {
                // Denormalized numbers are undefined.
                if imm >> 23 & 0xff == 0 && imm << 1 != 0 {
                    return None;
                }
                o.state.vsr[t] = pair(widen(imm), widen(imm));
            } else {
                let up = if i.bits(14, 14) == 0 { 32 } else { 0 };
                let word = 0xffff_ffffu64 << up;
                let both = pair(word, word);
                let x = u64::from(imm) << up;
                o.state.vsr[t] = s.vsr[t] & !both | pair(x, x);
            }
        }
        _ => return vsx_memory(v, o),
    }
    Some(())
}

fn field(o: &mut Output, n: u32, code: u64) {
    let at = 28 - 4 * n;
    o.state.cr = o.state.cr & !(15 << at) | code << at;
}

/// Elements of the vector facility in memory, vectors for shifts, elements of pairs, and the VSCR.
fn vmx(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, m, s) = (v.insn, v.row.mnemonic, &v.input);
    let t = 32 + i.vrt() as usize;
    let vr = |n: u32| s.vsr[32 + n as usize];
    let size = |c: u8| [(b'b', 1), (b'h', 2), (b'w', 4), (b'd', 8)].iter().find(|s| s.0 == c).map(|s| s.1);
    match m {
        "lvebx" | "lvehx" | "lvewx" | "stvebx" | "stvehx" | "stvewx" => {
            let n: usize = size(m.as_bytes()[m.len() - 2])?;
            let ea = address(v)? & !(n as u64 - 1);
            let at = (ea & 15) as usize;
            // Places to the right of the element.
            let right = 8 * if v.le { at } else { 16 - n - at };
            if m.starts_with('l') {
                o.state.vsr[t] = number(bytes(v, ea, n)?, v.le) << right;
            } else {
                let x = s.vsr[t] >> right & (u128::MAX >> (128 - 8 * n));
                put(o, ea, &of_number(x, n, v.le))?;
            }
        }
        "lvsl" | "lvsr" => {
            let low = (base(v).wrapping_add(s.gpr[i.rb() as usize]) & 15) as u8;
            let from = if m == "lvsl" { low } else { 16 - low };
            o.state.vsr[t] = (0..16).fold(0, |r, k| r << 8 | u128::from(from + k));
        }
        "mtvsrbmi" => {
            let bm = i.bits(16, 25) << 6 | i.bits(11, 15) << 1 | i.bits(31, 31);
            o.state.vsr[t] = (0..16).fold(0, |r, k| r << 8 | if bm >> (15 - k) & 1 != 0 { 0xff } else { 0 });
        }
        "mfvscr" => o.state.vsr[t] = s.vscr.into(),
        "mtvscr" => o.state.vscr = u64::from(vr(i.vrb()) as u32),
        _ => {
            // vextd + ub, uh, uw or d + v + side + x.
            let name = m.strip_prefix("vextd")?.strip_suffix('x')?;
            let (name, side) = name.split_once('v')?;
            let n: usize = size(*name.trim_start_matches('u').as_bytes().first()?)?;
            let index = (s.gpr[i.rc_reg() as usize] & 31) as usize;
            let mut b = vr(i.vra()).to_be_bytes().to_vec();
            b.extend(vr(i.vrb()).to_be_bytes());
            let at = if side == "l" { index } else { (32 - n).checked_sub(index)? };
            o.state.vsr[t] = number(b.get(at..at + n)?, false) << 64;
        }
    }
    Some(())
}

/// Zeros from one end of the bits that a mask chooses.
fn masked_zeros(a: u64, mask: u64, left: bool) -> u64 {
    let mut n = 0;
    for k in 0..64 {
        let bit = if left { 63 - k } else { k };
        if mask >> bit & 1 != 0 {
            if a >> bit & 1 != 0 {
                break;
            }
            n += 1;
        }
    }
    n
}

/// The elements up to the first that is zero, and whether there is one.
fn string(x: u128, lane: u32, left: bool) -> (u128, bool) {
    let (mut r, mut found) = (0, false);
    for k in 0..128 / lane {
        let at = if left { 128 - (k + 1) * lane } else { k * lane };
        let e = x >> at & (u128::MAX >> (128 - lane));
        found |= e == 0;
        if !found {
            r |= e << at;
        }
    }
    (r, found)
}

/// Digits, the first the least significant.
type Digits = Vec<u8>;

fn nibbles(x: u128) -> Digits {
    (0..32).map(|k| (x >> (4 * k) & 15) as u8).collect()
}

fn packed(d: &[u8]) -> u128 {
    d.iter().rev().fold(0, |r, &n| r << 4 | u128::from(n))
}

/// 31 digits and whether they are negative.
fn signed(x: u128) -> Option<(Digits, bool)> {
    let mut d = nibbles(x);
    let sign = d.remove(0);
    (sign > 9 && d.iter().all(|&n| n < 10)).then_some((d, matches!(sign, 0xb | 0xd)))
}

fn is_zero(d: &[u8]) -> bool {
    d.iter().all(|&n| n == 0)
}

fn order(d: &[u8], negative: bool) -> u64 {
    if is_zero(d) {
        2
    } else if negative {
        8
    } else {
        4
    }
}

/// Digits shifted by places to the left (negative: to the right); what went out on the left, and the last digit that
/// went out on the right.
fn shifted(d: &[u8], by: i64) -> (Digits, bool, u8) {
    let len = d.len() as i64;
    let get = |k: i64| if (0..len).contains(&k) { d[k as usize] } else { 0 };
    let r = (0..len).map(|k| get(k - by)).collect();
    let lost = by > 0 && (len - by..len).any(|k| get(k) != 0);
    (r, lost, if by < 0 { get(-by - 1) } else { 0 })
}

/// Result and CR6 of a decimal instruction; `None` in the inner one: not valid.
fn bcd(v: &Vector) -> Option<Option<(u128, u64)>> {
    let i = v.insn;
    let vr = |n: u32| v.input.vsr[32 + n as usize];
    let (a, b) = (vr(i.vra()), vr(i.vrb()));
    let ps = i.bits(22, 22) != 0;
    let sign = |negative: bool| match (negative, ps) {
        (true, _) => 0xd,
        (_, true) => 0xf,
        _ => 0xc,
    };
    let with = |d: &[u8], s: u128| packed(d) << 4 | s;
    let run = || -> Option<(u128, u64)> {
        Some(match v.row.mnemonic {
            "bcdcfn." => {
                let h: Vec<u16> = (0..8).map(|k| (b >> (16 * k)) as u16).collect();
                let negative = match h[0] {
                    0x2b => false,
                    0x2d => true,
                    _ => return None,
                };
                if h[1..].iter().any(|x| !(0x30..=0x39).contains(x)) {
                    return None;
                }
                let d: Digits = h[1..].iter().map(|x| (x & 15) as u8).collect();
                (with(&d, sign(negative)), order(&d, negative))
            }
            "bcdctn." => {
                let (d, negative) = signed(b)?;
                let digits = d[..7].iter().rev().fold(0u128, |r, &n| r << 16 | u128::from(n) + 0x30);
                let over = !is_zero(&d[7..]);
                let s = if negative { 0x2d } else { 0x2b };
                (digits << 16 | s, order(&d, negative) | u64::from(over))
            }
            "bcdcfz." => {
                let z = b.to_le_bytes();
                let zone = if ps { 0xf } else { 3 };
                let d: Digits = z.iter().map(|x| x & 15).collect();
                if d.iter().any(|&n| n > 9) || z[1..].iter().any(|x| x >> 4 != zone) {
                    return None;
                }
                let code = z[0] >> 4;
                let negative = match (ps, code) {
                    (false, _) => code & 4 != 0,
                    (_, 0..=9) => return None,
                    _ => matches!(code, 0xb | 0xd),
                };
                (with(&d, if negative { 0xd } else { 0xc }), order(&d, negative))
            }
            "bcdctz." => {
                let (d, negative) = signed(b)?;
                let (zone, code) = match (ps, negative) {
                    (false, false) => (3, 3),
                    (false, true) => (3, 7),
                    (true, false) => (0xf, 0xc),
                    (true, true) => (0xf, 0xd),
                };
                let mut z = [0; 16];
                for (k, x) in z.iter_mut().enumerate() {
                    *x = d[k] | if k == 0 { code } else { zone } << 4;
                }
                let over = !is_zero(&d[16..]);
                (u128::from_le_bytes(z), order(&d, negative) | u64::from(over))
            }
            "bcdcpsgn." => {
                let ((d, _), (_, negative)) = (signed(a)?, signed(b)?);
                (with(&d, b & 15), order(&d, negative))
            }
            "bcdsetsgn." => {
                let (d, negative) = signed(b)?;
                (with(&d, sign(negative)), order(&d, negative))
            }
            "bcds." | "bcdsr." => {
                let (d, negative) = signed(b)?;
                let (mut r, lost, last) = shifted(&d, i64::from(high(a) as i8));
                if v.row.mnemonic == "bcdsr." && last >= 5 {
                    // A one more; it never goes beyond the digits, as there is a zero on the left.
                    for n in &mut r {
                        *n = (*n + 1) % 10;
                        if *n != 0 {
                            break;
                        }
                    }
                }
                (with(&r, sign(negative)), order(&r, negative) | u64::from(lost))
            }
            "bcdus." => {
                let d = nibbles(b);
                if d.iter().any(|&n| n > 9) {
                    return None;
                }
                let (r, lost, _) = shifted(&d, i64::from(high(a) as i8));
                (packed(&r), order(&r, false) | u64::from(lost))
            }
            "bcdtrunc." => {
                let (mut d, negative) = signed(b)?;
                let n = usize::from(high(a) as u16).min(31);
                let over = !is_zero(&d[n..]);
                d[n..].fill(0);
                (with(&d, sign(negative)), order(&d, negative) | u64::from(over))
            }
            "bcdutrunc." => {
                let mut d = nibbles(b);
                if d.iter().any(|&n| n > 9) {
                    return None;
                }
                let n = usize::from(high(a) as u16).min(32);
                let over = !is_zero(&d[n..]);
                d[n..].fill(0);
                (packed(&d), order(&d, false) | u64::from(over))
            }
            _ => return None,
        })
    };
    let mine = [
        "bcdcfn.",
        "bcdctn.",
        "bcdcfz.",
        "bcdctz.",
        "bcdcpsgn.",
        "bcdsetsgn.",
        "bcds.",
        "bcdsr.",
        "bcdus.",
        "bcdtrunc.",
        "bcdutrunc.",
    ];
    mine.contains(&v.row.mnemonic).then(run)
}

fn bits(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let t = 32 + i.vrt() as usize;
    let vr = |n: u32| v.input.vsr[32 + n as usize];
    let (a, b) = (vr(i.vra()), vr(i.vrb()));
    match m {
        "vclzdm" | "vctzdm" => {
            let f = |x: u64, y: u64| masked_zeros(x, y, m == "vclzdm");
            o.state.vsr[t] = pair(f(high(a), high(b)), f(a as u64, b as u64));
        }
        "vstribl" | "vstribr" | "vstrihl" | "vstrihr" => {
            let lane = if m.contains("rib") { 8 } else { 16 };
            let (r, found) = string(b, lane, m.ends_with('l'));
            o.state.vsr[t] = r;
            if i.bits(21, 21) != 0 {
                field(o, 6, u64::from(found) << 1);
            }
        }
        _ => {
            let (r, cr6) = bcd(v)?.unwrap_or((0, 1));
            o.state.vsr[t] = r;
            field(o, 6, cr6);
        }
    }
    Some(())
}

/// The quotient of p * 2^128 and a larger q.
fn extended(p: u128, q: u128) -> u128 {
    let (mut rest, mut quotient) = (p, 0);
    for _ in 0..128 {
        let out = rest >> 127 != 0;
        rest <<= 1;
        quotient <<= 1;
        if out || rest >= q {
            rest = rest.wrapping_sub(q);
            quotient |= 1;
        }
    }
    quotient
}

/// Ten times a number and a digit: both halves of the product.
fn times_ten(a: u128, digit: u128) -> (u128, u128) {
    let low = (a & u128::from(u64::MAX)) * 10 + digit;
    let upper = (a >> 64) * 10 + (low >> 64);
    (upper >> 64, upper << 64 | low & u128::from(u64::MAX))
}

fn integers(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let t = 32 + i.vrt() as usize;
    let vr = |n: u32| v.input.vsr[32 + n as usize];
    let (a, b) = (vr(i.vra()), vr(i.vrb()));
    let digit = b & 15;
    let each = |f: &dyn Fn(u64, u64) -> u64| pair(f(high(a), high(b)), f(a as u64, b as u64));
    let code = |c: Ordering| match c {
        Ordering::Less => 8,
        Ordering::Greater => 4,
        Ordering::Equal => 2,
    };
    let rotated = || {
        let h = high(b);
        let (first, last, by) = ((h >> 16 & 127) as u32, (h >> 8 & 127) as u32, (h & 127) as u32);
        let mask = (0..128u32)
            .filter(|&k| if first <= last { (first..=last).contains(&k) } else { k >= first || k <= last })
            .fold(0u128, |r, k| r | 1 << (127 - k));
        (a.rotate_left(by), mask)
    };
    o.state.vsr[t] = match m {
        // Quotients that do not exist are undefined.
        "vdivesd" => each(&|x, y| {
            let n = i128::from(x as i64) << 64;
            n.checked_div(i128::from(y as i64)).unwrap_or(0) as u64
        }),
        "vdiveud" => each(&|x, y| (u128::from(x) << 64).checked_div(y.into()).unwrap_or(0) as u64),
        "vdiveuq" => {
            if a < b {
                extended(a, b)
            } else {
                0
            }
        }
        "vdivesq" => {
            let (x, y) = (a as i128, b as i128);
            let (p, q) = (x.unsigned_abs(), y.unsigned_abs());
            let r = if p < q { extended(p, q) } else { 0 };
            if (x < 0) == (y < 0) { r } else { r.wrapping_neg() }
        }
        "vmul10uq" => times_ten(a, 0).1,
        "vmul10cuq" => times_ten(a, 0).0,
        "vmul10euq" => times_ten(a, digit).1,
        "vmul10ecuq" => times_ten(a, digit).0,
        "vrlqnm" => {
            let (x, mask) = rotated();
            x & mask
        }
        "vrlqmi" => {
            let (x, mask) = rotated();
            x & mask | v.input.vsr[t] & !mask
        }
        "vcmpsq" => {
            field(o, i.bf(), code((a as i128).cmp(&(b as i128))));
            return Some(());
        }
        "vcmpuq" => {
            field(o, i.bf(), code(a.cmp(&b)));
            return Some(());
        }
        _ => return None,
    };
    Some(())
}

/// A root and whether it is exact, digit by digit.
fn root(x: Quad, round: Round) -> (Quad, bool) {
    let leading = Quad::from_bits(0x7fff_8000 << 96);
    if x.is_nan() {
        return (float::quiet(x), true);
    }
    if x.is_zero() {
        return (x, true);
    }
    if x.is_negative() {
        return (leading, true);
    }
    if x.is_infinite() {
        return (x, true);
    }
    // x = m * 2^e with an even e and m of 114 bits or less.
    let mut e = x.ilogb() - 112;
    let mut m = x.scalbn(-e).to_u128(128).value;
    if e & 1 != 0 {
        m <<= 1;
        e -= 1;
    }
    let (mut r, mut rest) = (0u128, 0u128);
    for k in 0..117 {
        let two = if k < 57 { m >> (112 - 2 * k) & 3 } else { 0 };
        rest = rest << 2 | two;
        r <<= 1;
        if rest > 2 * r {
            rest -= 2 * r + 1;
            r += 1;
        }
    }
    let s = Quad::from_u128_r(r << 1 | u128::from(rest != 0), round);
    (s.value.scalbn(e / 2 - 61), !s.status.contains(Status::INEXACT))
}

/// Quads: roots, and results rounded to odd; values only.
fn quads(v: &Vector, o: &mut Output) -> Option<()> {
    // An enabled exception may leave the target.
    if v.input.fpscr & 0xf8 != 0 {
        return None;
    }
    let i = v.insn;
    let name = v.row.mnemonic.strip_prefix("xs")?;
    let get = |n: u32| Quad::from_bits(v.input.vsr[32 + n as usize]);
    let (t, a, b) = (get(i.vrt()), get(i.vra()), get(i.vrb()));
    let n = 32 + i.vrt() as usize;
    if name == "sqrtqp" {
        o.state.vsr[n] = root(b, float::rounding(v)).0.to_bits();
        return Some(());
    }
    let fused = |sub, neg| {
        let d = float::compute(Op::Fused { sub, neg }, a, t, b, Round::TowardZero);
        (d.value, d.exc & XX == 0)
    };
    let plain = |op| {
        let d = float::compute(op, a, b, b, Round::TowardZero);
        (d.value, d.exc & XX == 0)
    };
    let (r, whole) = match name {
        "addqpo" => plain(Op::Add),
        "subqpo" => plain(Op::Sub),
        "mulqpo" => plain(Op::Mul),
        "divqpo" => plain(Op::Div),
        "sqrtqpo" => root(b, Round::TowardZero),
        "maddqpo" => fused(false, false),
        "msubqpo" => fused(true, false),
        "nmaddqpo" => fused(false, true),
        "nmsubqpo" => fused(true, true),
        _ => return None,
    };
    o.state.vsr[n] = r.to_bits() | u128::from(!whole);
    Some(())
}

/// A word of a string in registers.
fn word(s: &State, n: usize) -> [u8; 4] {
    (s.gpr[n % 32] as u32).to_be_bytes()
}

/// Pairs, lists and strings.
fn lists(v: &Vector, o: &mut Output) -> Option<()> {
    let (i, le, m) = (v.insn, v.le, v.row.mnemonic);
    let t = i.rt() as usize;
    match m {
        "lq" | "plq" | "stq" | "pstq" => {
            let ea = address(v)?;
            // The prefixed ones have an order of registers of their own in little-endian mode: no model for it.
            if ea & 15 != 0 || le && i.prefix != 0 {
                return None;
            }
            if m.contains('l') {
                let x = number(bytes(v, ea, 16)?, le);
                (o.state.gpr[t], o.state.gpr[t + 1]) = (high(x), x as u64);
            } else {
                let x = pair(v.input.gpr[t], v.input.gpr[t + 1]);
                put(o, ea, &of_number(x, 16, le))?;
            }
        }
        "lfdp" | "lfdpx" | "stfdp" | "stfdpx" => {
            let ea = address(v)?;
            let (first, second) = if le { (t + 1, t) } else { (t, t + 1) };
            for (k, n) in [(0, first), (8, second)] {
                if m.starts_with('l') {
                    o.state.vsr[n] = number(bytes(v, ea + k, 8)?, le) << 64;
                } else {
                    put(o, ea + k, &of_number(v.input.vsr[n] >> 64, 8, le))?;
                }
            }
        }
        // Not in little-endian mode.
        _ if le => return None,
        "lmw" | "stmw" => {
            let ea = address(v)?;
            for (k, n) in (t..32).enumerate() {
                let ea = ea + 4 * k as u64;
                if m == "lmw" {
                    o.state.gpr[n] = number(bytes(v, ea, 4)?, false) as u64;
                } else {
                    put(o, ea, &word(&v.input, n))?;
                }
            }
        }
        "lswi" | "lswx" | "stswi" | "stswx" => {
            let (ea, count) = if m.ends_with('x') {
                (address(v)?, (v.input.xer & 127) as usize)
            } else {
                (base(v), if i.nb() == 0 { 32 } else { i.nb() as usize })
            };
            if m.starts_with('l') {
                // Without a byte the register is undefined.
                if count == 0 {
                    return None;
                }
                for (k, c) in bytes(v, ea, count)?.chunks(4).enumerate() {
                    let mut w = [0; 4];
                    w[..c.len()].copy_from_slice(c);
                    o.state.gpr[(t + k) % 32] = u32::from_be_bytes(w).into();
                }
            } else {
                let all: Vec<u8> = (0..count).map(|k| word(&v.input, t + k / 4)[k % 4]).collect();
                put(o, ea, &all)?;
            }
        }
        _ => return None,
    }
    Some(())
}

/// The result of such an instruction.
pub fn model(v: &Vector) -> Option<Expected> {
    let mut o = start(v);
    match v.row.chapter {
        "vsx" => vsx(v, &mut o)?,
        "vmx" => vmx(v, &mut o)?,
        "vmx_bits" => bits(v, &mut o)?,
        "vmx_int" => integers(v, &mut o)?,
        "load_store" => lists(v, &mut o)?,
        "vsx_fp" => {
            quads(v, &mut o)?;
            return Some(Expected { out: o, values_only: true, ignore: 0 });
        }
        _ => return None,
    }
    exact(o)
}
