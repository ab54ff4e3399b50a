//! Loads and stores: where the bytes come from and go to, in both byte orders (Book I, 3.3.2 to 3.3.5, 4.6.2, 6.7.2
//! and 7.6.2).

use super::{Expected, exact, start};
use crate::state::{DATA, Output};
use crate::vector::Vector;

/// Bytes of the window from an address on, or none when they are not in it.
pub fn bytes(v: &Vector, ea: u64, n: usize) -> Option<&[u8]> {
    let at = usize::try_from(ea.checked_sub(DATA)?).ok()?;
    v.input.mem.get(at..at + n)
}

/// Puts bytes into the window; none when they are not in it.
pub fn put(o: &mut Output, ea: u64, data: &[u8]) -> Option<()> {
    let at = usize::try_from(ea.checked_sub(DATA)?).ok()?;
    o.state.mem.get_mut(at..at + data.len())?.copy_from_slice(data);
    Some(())
}

/// A number of bytes in an order.
pub fn number(b: &[u8], le: bool) -> u128 {
    if le {
        b.iter().rev().fold(0, |v, &x| v << 8 | u128::from(x))
    } else {
        b.iter().fold(0, |v, &x| v << 8 | u128::from(x))
    }
}

/// A number as bytes in an order.
pub fn of_number(x: u128, n: usize, le: bool) -> Vec<u8> {
    let mut b = x.to_be_bytes()[16 - n..].to_vec();
    if le {
        b.reverse();
    }
    b
}

/// A single as a double without changing a NaN.
pub fn widen(s: u32) -> u64 {
    let (sign, e, f) = (u64::from(s >> 31) << 63, s >> 23 & 0xff, u64::from(s & 0x7f_ffff));
    match e {
        255 => sign | 0x7ff << 52 | f << 29,
        0 => sign | (f as f64 * 2f64.powi(-149)).to_bits(),
        _ => sign | u64::from(e + 896) << 52 | f << 29,
    }
}

/// A double as a single for storing: bits are dropped, small numbers are denormalized.
fn narrow(d: u64) -> Option<u32> {
    let e = d >> 52 & 0x7ff;
    let sign = (d >> 32) as u32 & 1 << 31;
    if e > 896 || d & !(1 << 63) == 0 {
        return Some((d >> 32) as u32 & 0xc000_0000 | (d >> 29) as u32 & 0x3fff_ffff);
    }
    if e >= 874 {
        let f = (d & (1 << 52) - 1 | 1 << 52) >> 29;
        return Some(sign | (f >> (897 - e)) as u32);
    }
    // The manual leaves it undefined.
    None
}

/// Address and whether the base is updated.
pub fn address(v: &Vector) -> Option<u64> {
    let (i, s, o) = (v.insn, &v.input, v.row.operands);
    let base = if i.ra() == 0 { 0 } else { s.gpr[i.ra() as usize] };
    Some(if i.prefix != 0 {
        if i.pcrel() { v.at.wrapping_add(i.d34() as u64) } else { base.wrapping_add(i.d34() as u64) }
    } else if o.contains("DS(RA)") {
        base.wrapping_add((i.raw as i16 & !3) as u64)
    } else if o.contains("DQ(RA)") {
        base.wrapping_add((i.raw as i16 & !15) as u64)
    } else if o.contains("D(RA)") {
        base.wrapping_add(i.raw as i16 as u64)
    } else if o.contains("RA,RB") {
        base.wrapping_add(s.gpr[i.rb() as usize])
    } else {
        return None;
    })
}

fn integer(v: &Vector, o: &mut Output, ea: u64) -> Option<()> {
    let (i, le) = (v.insn, v.le);
    let m = v.row.mnemonic.trim_start_matches('p');
    let load = m.starts_with('l');
    let m = m.strip_prefix('l').or_else(|| m.strip_prefix("st"))?;
    let size = match m.as_bytes().first()? {
        b'b' => 1,
        b'h' => 2,
        b'w' => 4,
        b'd' => 8,
        _ => return None,
    };
    let rest = &m[1..];
    let (algebraic, reversed, update) = match rest {
        "z" | "zx" | "" | "x" => (false, false, false),
        "zu" | "zux" | "u" | "ux" => (false, false, true),
        "a" | "ax" => (true, false, false),
        "au" | "aux" => (true, false, true),
        "brx" => (false, true, false),
        _ => return None,
    };
    let order = le != reversed;
    let t = i.rt() as usize;
    if load {
        let x = number(bytes(v, ea, size)?, order) as u64;
        let shift = 64 - 8 * size as u32;
        o.state.gpr[t] = if algebraic { ((x << shift) as i64 >> shift) as u64 } else { x };
    } else {
        put(o, ea, &of_number(v.input.gpr[t].into(), size, order))?;
    }
    if update {
        o.state.gpr[i.ra() as usize] = ea;
    }
    Some(())
}

fn floating(v: &Vector, o: &mut Output, ea: u64) -> Option<()> {
    let (i, le) = (v.insn, v.le);
    let t = i.frt() as usize;
    let m = v.row.mnemonic.trim_start_matches('p');
    let value = (v.input.vsr[t] >> 64) as u64;
    let mut set = |x: u64| o.state.vsr[t] = u128::from(x) << 64;
    match m {
        "lfs" | "lfsu" | "lfsx" | "lfsux" => set(widen(number(bytes(v, ea, 4)?, le) as u32)),
        "lfd" | "lfdu" | "lfdx" | "lfdux" => set(number(bytes(v, ea, 8)?, le) as u64),
        "lfiwax" => set(number(bytes(v, ea, 4)?, le) as i32 as u64),
        "lfiwzx" => set(number(bytes(v, ea, 4)?, le) as u64),
        "stfs" | "stfsu" | "stfsx" | "stfsux" => put(o, ea, &of_number(narrow(value)?.into(), 4, le))?,
        "stfd" | "stfdu" | "stfdx" | "stfdux" => put(o, ea, &of_number(value.into(), 8, le))?,
        "stfiwx" => put(o, ea, &of_number(u128::from(value as u32), 4, le))?,
        _ => return None,
    }
    if m.ends_with('u') || m.ends_with("ux") {
        o.state.gpr[i.ra() as usize] = ea;
    }
    Some(())
}

/// Elements of `lane` bytes in the byte order, the first at the lowest address and at the left end.
fn elements(b: &[u8], lane: usize, le: bool) -> u128 {
    b.chunks(lane).fold(0, |v, c| if lane == 16 { number(c, le) } else { v << (8 * lane) | number(c, le) })
}

fn of_elements(x: u128, lane: usize, le: bool) -> Vec<u8> {
    x.to_be_bytes().chunks(lane).flat_map(|c| of_number(number(c, false), lane, le)).collect()
}

fn vectors(v: &Vector, o: &mut Output, ea: u64) -> Option<()> {
    let (i, le) = (v.insn, v.le);
    let m = v.row.mnemonic;
    let t = match m {
        "lxv" | "stxv" => i.bits(28, 28) << 5 | i.bits(6, 10),
        "plxv" | "pstxv" => i.bits(5, 10),
        "lxsd" | "lxssp" | "plxsd" | "plxssp" | "stxsd" | "stxssp" | "pstxsd" | "pstxssp" => 32 + i.vrt(),
        "lvx" | "lvxl" | "stvx" | "stvxl" => 32 + i.vrt(),
        _ => i.bits(31, 31) << 5 | i.bits(6, 10),
    } as usize;
    let ea = if m.contains("vx") && v.row.chapter == "vmx" { ea & !15 } else { ea };
    let value = v.input.vsr[t];
    let high = (value >> 64) as u64;
    let full = |lane: usize| bytes(v, ea, 16).map(|b| elements(b, lane, le));
    let scalar = |n: usize| bytes(v, ea, n).map(|b| number(b, le) as u64);
    let r = match m {
        "lvx" | "lvxl" | "lxv" | "lxvx" | "plxv" => full(16)?,
        "lxvb16x" => full(1)?,
        "lxvh8x" => full(2)?,
        "lxvw4x" => full(4)?,
        "lxvd2x" => full(8)?,
        "lxvdsx" => u128::from(scalar(8)?) << 64 | u128::from(scalar(8)?),
        "lxvwsx" => u128::from(scalar(4)?) * 0x1_0000_0001_0000_0001_0000_0001,
        "lxsd" | "lxsdx" | "plxsd" => u128::from(scalar(8)?) << 64,
        "lxsiwax" => u128::from(scalar(4)? as i32 as u64) << 64,
        "lxsiwzx" => u128::from(scalar(4)?) << 64,
        "lxsibzx" => u128::from(scalar(1)?) << 64,
        "lxsihzx" => u128::from(scalar(2)?) << 64,
        "lxssp" | "lxsspx" | "plxssp" => u128::from(widen(scalar(4)? as u32)) << 64,
        "lxvrbx" => scalar(1)?.into(),
        "lxvrhx" => scalar(2)?.into(),
        "lxvrwx" => scalar(4)?.into(),
        "lxvrdx" => scalar(8)?.into(),
        _ => {
            let data = match m {
                "stvx" | "stvxl" | "stxv" | "stxvx" | "pstxv" => of_elements(value, 16, le),
                "stxvb16x" => of_elements(value, 1, le),
                "stxvh8x" => of_elements(value, 2, le),
                "stxvw4x" => of_elements(value, 4, le),
                "stxvd2x" => of_elements(value, 8, le),
                "stxsd" | "stxsdx" | "pstxsd" => of_number(high.into(), 8, le),
                "stxsiwx" => of_number(u128::from(high as u32), 4, le),
                "stxsibx" => of_number(u128::from(high as u8), 1, le),
                "stxsihx" => of_number(u128::from(high as u16), 2, le),
                "stxssp" | "stxsspx" | "pstxssp" => of_number(narrow(high)?.into(), 4, le),
                "stxvrbx" => of_number(value & 0xff, 1, le),
                "stxvrhx" => of_number(value & 0xffff, 2, le),
                "stxvrwx" => of_number(value & 0xffff_ffff, 4, le),
                "stxvrdx" => of_number(value & u128::from(u64::MAX), 8, le),
                _ => return None,
            };
            return put(o, ea, &data);
        }
    };
    o.state.vsr[t] = r;
    Some(())
}

/// The result of a load or store that completes.
pub fn model(v: &Vector) -> Option<Expected> {
    let mut o = start(v);
    let ea = address(v)?;
    if v.row.chapter == "load_store" {
        integer(v, &mut o, ea).or_else(|| floating(v, &mut o, ea))?;
    } else {
        vectors(v, &mut o, ea)?;
    }
    exact(o)
}
