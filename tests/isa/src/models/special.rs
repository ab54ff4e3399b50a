//! Cryptography through other crates, SHA-2's functions from FIPS 180-4, decimal numbers in vectors, and elements
//! taken out of and put into vectors (Book I, 6.8, 6.11, 6.12 and 6.14).

use aes::{Block, hazmat};

use super::{Expected, exact, start};
use crate::vector::Vector;

fn block(x: u128) -> Block {
    x.to_be_bytes().into()
}

fn number(b: Block) -> u128 {
    u128::from_be_bytes(b.into())
}

/// One round without its mixing of columns, without key.
fn last(x: u128) -> u128 {
    let mut b = block(x);
    hazmat::cipher_round(&mut b, &block(0));
    hazmat::inv_mix_columns(&mut b);
    number(b)
}

fn crypto(v: &Vector, a: u128, b: u128) -> Option<u128> {
    let i = v.insn;
    Some(match v.row.mnemonic {
        "vcipher" => {
            let mut x = block(a);
            hazmat::cipher_round(&mut x, &block(b));
            number(x)
        }
        "vcipherlast" => last(a) ^ b,
        "vncipher" => {
            let (mut x, mut k) = (block(a), block(b));
            hazmat::inv_mix_columns(&mut k);
            hazmat::equiv_inv_cipher_round(&mut x, &k);
            number(x)
        }
        "vncipherlast" => {
            let mut x = block(a);
            hazmat::equiv_inv_cipher_round(&mut x, &block(0));
            hazmat::mix_columns(&mut x);
            number(x) ^ b
        }
        "vsbox" => {
            // The bytes of a round, back in their rows.
            let r = last(a).to_be_bytes();
            let mut out = [0; 16];
            for (k, byte) in r.into_iter().enumerate() {
                let (row, column) = (k % 4, k / 4);
                out[row + 4 * ((column + row) % 4)] = byte;
            }
            u128::from_be_bytes(out)
        }
        "vshasigmaw" => (0..4).fold(0, |r, k| {
            let x = (a >> (96 - 32 * k)) as u32;
            let f = match (i.bits(16, 16), i.bits(17, 20) >> (3 - k) & 1) {
                (0, 0) => x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3,
                (0, _) => x.rotate_right(17) ^ x.rotate_right(19) ^ x >> 10,
                (_, 0) => x.rotate_right(2) ^ x.rotate_right(13) ^ x.rotate_right(22),
                _ => x.rotate_right(6) ^ x.rotate_right(11) ^ x.rotate_right(25),
            };
            r << 32 | u128::from(f)
        }),
        "vshasigmad" => (0..2).fold(0, |r, k| {
            let x = (a >> (64 - 64 * k)) as u64;
            let f = match (i.bits(16, 16), i.bits(17, 20) >> (3 - 2 * k) & 1) {
                (0, 0) => x.rotate_right(1) ^ x.rotate_right(8) ^ x >> 7,
                (0, _) => x.rotate_right(19) ^ x.rotate_right(61) ^ x >> 6,
                (_, 0) => x.rotate_right(28) ^ x.rotate_right(34) ^ x.rotate_right(39),
                _ => x.rotate_right(14) ^ x.rotate_right(18) ^ x.rotate_right(41),
            };
            r << 64 | u128::from(f)
        }),
        _ => return None,
    })
}

const LIMIT: i128 = 10i128.pow(31);

/// A signed decimal of 31 digits: its magnitude and whether it is negative.
fn decimal(x: u128) -> Option<(i128, bool)> {
    let negative = match x & 15 {
        0xa | 0xc | 0xe | 0xf => false,
        0xb | 0xd => true,
        _ => return None,
    };
    let mut n = 0i128;
    for k in (1..32).rev() {
        let d = x >> (4 * k) & 15;
        if d > 9 {
            return None;
        }
        n = n * 10 + d as i128;
    }
    Some((n, negative))
}

fn digits(mut n: i128) -> u128 {
    let mut x = 0;
    for k in 1..32 {
        x |= ((n % 10) as u128) << (4 * k);
        n /= 10;
    }
    x
}

/// Result and CR6 of a decimal instruction on valid operands.
fn bcd(v: &Vector, a: u128, b: u128) -> Option<(u128, u64)> {
    let ps = v.insn.bits(22, 22) != 0;
    let plus = if ps { 0xf } else { 0xc };
    let order = |negative: bool, zero: bool| {
        if zero {
            2
        } else if negative {
            8
        } else {
            4
        }
    };
    let sum = |x: i128| {
        let zero = x == 0;
        let over = x.abs() >= LIMIT;
        let sign = if x < 0 { 0xd } else { plus };
        Some((digits(x.abs() % LIMIT) | sign, order(x < 0, zero) | u64::from(over)))
    };
    let signed = |(n, negative): (i128, bool)| if negative { -n } else { n };
    match v.row.mnemonic {
        "bcdadd." => sum(signed(decimal(a)?) + signed(decimal(b)?)),
        "bcdsub." => sum(signed(decimal(a)?) - signed(decimal(b)?)),
        "bcdcfsq." => {
            let x = b as i128;
            if x.unsigned_abs() >= LIMIT as u128 { None } else { sum(x) }
        }
        "bcdctsq." => {
            let (n, negative) = decimal(b)?;
            Some((signed((n, negative)) as u128, order(negative, n == 0)))
        }
        _ => None,
    }
}

/// An element of `size` bytes at byte `at`.
fn part(x: u128, at: u32, size: u32) -> u128 {
    x << (8 * at) >> (128 - 8 * size)
}

fn put(x: u128, at: u32, size: u32, value: u128) -> u128 {
    let shift = 128 - 8 * (at + size);
    let mask = (u128::MAX >> (128 - 8 * size)) << shift;
    x & !mask | value << shift & mask
}

/// Element `size` named by a letter.
fn size(c: u8) -> Option<u32> {
    [(b'b', 1), (b'h', 2), (b'w', 4), (b'd', 8)].into_iter().find(|s| s.0 == c).map(|s| s.1)
}

/// Extractions and insertions whose element is within the register.
fn elements(v: &Vector, b: u128) -> Option<u128> {
    let (i, m) = (v.insn, v.row.mnemonic);
    let t = v.input.vsr[32 + i.vrt() as usize];
    let gpr = |n: u32| v.input.gpr[n as usize];
    let uim = i.bits(12, 15);
    let fits = |at: u32, n: u32| (at + n <= 16).then_some(at);
    if let Some(n) = m.strip_prefix("vextractu").or_else(|| m.strip_prefix("vextract"))
        && let &[c] = n.as_bytes()
    {
        let n = size(c)?;
        return Some(part(b, fits(uim, n)?, n) << 64);
    }
    if let Some(&[c]) = m.strip_prefix("vinsert").map(str::as_bytes) {
        let n = size(c)?;
        return Some(put(t, fits(uim, n)?, n, part(b, 8 - n, n)));
    }
    let name = m.strip_prefix("vins")?;
    let n = size(*name.as_bytes().first()?)?;
    let index = (gpr(i.ra()) & 15) as u32;
    match &name[1..] {
        "" => Some(put(t, fits(uim, n)?, n, gpr(i.rb()).into())),
        "lx" => Some(put(t, fits(index, n)?, n, gpr(i.rb()).into())),
        "rx" => Some(put(t, 16 - n - fits(index, n)?, n, gpr(i.rb()).into())),
        "vlx" => Some(put(t, fits(index, n)?, n, part(b, 8 - n, n))),
        "vrx" => Some(put(t, 16 - n - fits(index, n)?, n, part(b, 8 - n, n))),
        _ => None,
    }
}

/// The result of such an instruction.
pub fn model(v: &Vector) -> Option<Expected> {
    let i = v.insn;
    let mut o = start(v);
    let vr = |n: u32| v.input.vsr[32 + n as usize];
    let (a, b) = (vr(i.vra()), vr(i.vrb()));
    if let Some((r, cr6)) = bcd(v, a, b) {
        o.state.vsr[32 + i.vrt() as usize] = r;
        o.state.cr = o.state.cr & !0xf0 | cr6 << 4;
        return exact(o);
    }
    let m = v.row.mnemonic;
    if let Some(name) = m.strip_prefix("vextu").map(str::as_bytes)
        && let &[c, side, b'x'] = name
    {
        let n = size(c)?;
        let at = (v.input.gpr[i.ra() as usize] & 15) as u32;
        if at + n > 16 {
            return None;
        }
        let at = if side == b'l' { at } else { 16 - n - at };
        o.state.gpr[i.rt() as usize] = part(b, at, n) as u64;
        return exact(o);
    }
    o.state.vsr[32 + i.vrt() as usize] = crypto(v, a, b).or_else(|| elements(v, b))?;
    exact(o)
}
