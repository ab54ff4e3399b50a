//! Bits of results that the manual calls undefined, or leaves to the implementation within an accuracy. They take no
//! part in digests and comparisons.

use isa::Level;

use crate::state::Output;
use crate::vector::Vector;

/// Sets the undefined bits of a result to zero.
pub fn clear(v: &Vector, o: &mut Output) {
    // VSCR has two bits (Book I, 6.3.2); the others are reserved.
    o.state.vscr &= 0x0001_0001;
    match v.row.chapter {
        "fixed" => fixed(v, o),
        "load_store" | "vsx" | "vmx" | "cr_spr" => loads_and_moves(v, o),
        "fp" | "vsx_fp" | "vmx_fp" => floating(v, o),
        _ => {}
    }
    match v.row.chapter {
        "vmx" | "vmx_int" | "vmx_bits" => vector_integer(v, o),
        "dfp" => decimal(v, o),
        _ => {}
    }
}

fn cr0(o: &mut Output, bits: u64) {
    o.state.cr &= !(bits << 28);
}

fn fixed(v: &Vector, o: &mut Output) {
    let (i, s) = (v.insn, &v.input);
    let (a, b) = (s.gpr[i.ra() as usize], s.gpr[i.rb() as usize]);
    let rt = i.rt() as usize;
    let m = v.row.mnemonic;
    let rc = i.rc();
    match m {
        // RT[0:31] and the first three bits of CR0 in 64-bit mode (3.3.9).
        "mulhw" | "mulhwu" | "divw" | "divwu" | "divwe" | "divweu" => {
            o.state.gpr[rt] &= 0xffff_ffff;
            if rc {
                cr0(o, 0b1110);
            }
        }
        _ => {}
    }
    let (aw, bw) = (a as u32, b as u32);
    let (ai, bi) = (aw as i32, bw as i32);
    let (al, bl) = (a as i64, b as i64);
    let undefined = match m {
        "divw" => bi == 0 || ai == i32::MIN && bi == -1,
        "divwu" => bw == 0,
        "divd" => bl == 0 || al == i64::MIN && bl == -1,
        "divdu" => b == 0,
        "divwe" => bi == 0 || i32::try_from((i64::from(ai) << 32).wrapping_div(bi.into())).is_err(),
        "divweu" => bw == 0 || aw >= bw,
        "divde" => bl == 0 || i64::try_from((i128::from(al) << 64).wrapping_div(bl.into())).is_err(),
        "divdeu" => b == 0 || a >= b,
        "modsw" => bi == 0 || ai == i32::MIN && bi == -1,
        "moduw" => bw == 0,
        "modsd" => bl == 0 || al == i64::MIN && bl == -1,
        "modud" => b == 0,
        _ => false,
    };
    if undefined {
        o.state.gpr[rt] = 0;
        if rc && m.starts_with("div") {
            cr0(o, 0b1110);
        }
    }
    // Remainders of words, too, have an undefined upper half (3.3.9).
    if matches!(m, "modsw" | "moduw") {
        o.state.gpr[rt] &= 0xffff_ffff;
    }
    // Digits above nine (3.3.15).
    let rs = s.gpr[i.rs() as usize];
    let bad = |w: u32| (0..8).any(|k| w >> (4 * k) & 15 > 9);
    if m == "cbcdtd" {
        let ra = i.ra() as usize;
        for (w, mask) in [(rs as u32, 0xffff_ffff), ((rs >> 32) as u32, 0xffff_ffff << 32)] {
            // Only the six low digits of each word are converted.
            if bad(w & 0xff_ffff) {
                o.state.gpr[ra] &= !mask;
            }
        }
    }
}

/// Doubleword 1 of a VSR.
fn low(o: &mut Output, n: u32) {
    o.state.vsr[n as usize] &= !0 << 64;
}

fn loads_and_moves(v: &Vector, o: &mut Output) {
    let i = v.insn;
    let m = v.row.mnemonic;
    let ea = {
        let base = if i.ra() == 0 { 0 } else { v.input.gpr[i.ra() as usize] };
        base.wrapping_add(v.input.gpr[i.rb() as usize])
    };
    match m {
        // Doubleword 1, before ISA 3.1 (Book I, 7.6.3).
        "lxsdx" | "lxsibzx" | "lxsihzx" | "lxsiwax" | "lxsiwzx" | "lxsspx" | "mtvsrd" | "mtvsrwa"
        | "mtvsrwz" => {
            low(o, i.xt());
        }
        "lxsd" | "lxssp" | "plxsd" | "plxssp" => low(o, i.vrt() + 32),
        // All other elements (6.7.2).
        "lvebx" | "lvehx" | "lvewx" => {
            let size =
                [("lvebx", 1), ("lvehx", 2), ("lvewx", 4)].into_iter().find(|s| s.0 == m).map_or(1, |s| s.1);
            let at = (ea & 15 & !(size - 1)) as u32;
            let at = if v.le { 16 - size as u32 - at } else { at };
            let mask = (!0u128 >> (128 - 8 * size)) << (8 * (16 - size as u32 - at));
            o.state.vsr[i.vrt() as usize + 32] &= mask;
        }
        // Reserved bits of the XER; before ISA 3.0 OV32 and CA32 are among them.
        "mtspr" if i.spr() == 1 => {
            let kept = if v.model == "power8" { 0xe000_007f } else { 0xe00c_007f };
            o.state.xer &= kept;
        }
        "mfspr" if i.spr() == 1 && v.model == "power8" => o.state.gpr[i.rt() as usize] &= 0xe000_007f,
        // The other fields of RT (Book I, 2.3.3).
        "mfocrf" => {
            let k = i.fxm().trailing_zeros();
            o.state.gpr[i.rt() as usize] &= 15 << (4 * k);
        }
        _ => {}
    }
}

fn floating(v: &Vector, o: &mut Output) {
    let i = v.insn;
    let m = v.row.mnemonic;
    let to_integer = m.starts_with("fcti")
        || ["dpsxds", "dpsxws", "dpuxds", "dpuxws"].iter().any(|s| m == format!("xscv{s}"))
        || m.starts_with("xscvqps")
        || m.starts_with("xscvqpu");
    if to_integer {
        // FPRF (4.6.7 and 7.6.3).
        o.state.fpscr &= !0x1_f000;
    }
    if m.starts_with("fctiw") {
        // Upper word of the result.
        o.state.vsr[i.frt() as usize] &= !(0xffff_ffff << 96);
    }
    // Words beside the results.
    let xt = i.xt() as usize;
    match m {
        "xscvdpsxws" | "xscvdpuxws" => {
            o.state.vsr[xt] &= 0xffff_ffff << 64;
        }
        "xscvdpsp" | "xscvdpspn" => o.state.vsr[xt] &= 0xffff_ffff << 96,
        "xvcvdpsp" | "xvcvdpsxws" | "xvcvdpuxws" | "xvcvsxdsp" | "xvcvuxdsp" => {
            o.state.vsr[xt] &= 0xffff_ffff_0000_0000_ffff_ffff_0000_0000;
        }
        // Estimates: accurate to 1 part in 16, and 1 in 32 for the logarithm (6.10.3).
        "vexptefp" | "vlogefp" => o.state.vsr[32 + i.vrt() as usize] = 0,
        _ => {}
    }
    // Doubleword 1 of results of scalars is undefined before ISA 3.1.
    let level = if v.model == "power10" { Level::V3_1 } else { Level::V3_0 };
    if level < Level::V3_1 {
        if v.row.chapter == "fp" && v.row.operands.starts_with("FRT") {
            low(o, i.frt());
        }
        if m.starts_with("xs") && v.row.operands.starts_with("XT") && !m.starts_with("xscmp") {
            low(o, i.xt());
        }
    }
}

fn lanes(a: u128, b: u128, bits: u32, f: impl Fn(u128, u128) -> bool) -> u128 {
    let mask = !0u128 >> (128 - bits);
    (0..128 / bits).fold(0, |m, k| {
        let at = k * bits;
        if f(a >> at & mask, b >> at & mask) { m | mask << at } else { m }
    })
}

fn vector_integer(v: &Vector, o: &mut Output) {
    let (i, s, m) = (v.insn, &v.input, v.row.mnemonic);
    let vr = |n: u32| s.vsr[32 + n as usize];
    let (a, b) = (vr(i.vra()), vr(i.vrb()));
    let rt = 32 + i.vrt() as usize;
    let all = |o: &mut Output, yes: bool| {
        if yes {
            o.state.vsr[rt] = 0;
        }
    };
    // Quotients that do not exist (6.9.1).
    let bits = match m.as_bytes().last() {
        Some(b'w') => 32,
        Some(b'd') => 64,
        _ => 128,
    };
    if m.starts_with("vdiv") || m.starts_with("vmod") {
        let signed = m.as_bytes()[m.len() - 2] == b's';
        let extended = m.starts_with("vdive");
        let sx = |x: u128| ((x << (128 - bits)) as i128) >> (128 - bits);
        let magnitude = |x: u128| if signed { sx(x).unsigned_abs() } else { x };
        let gone = lanes(a, b, bits, |x, y| {
            if y == 0 {
                return true;
            }
            if !extended {
                return signed && sx(y) == -1 && x == 1 << (bits - 1);
            }
            let (p, q) = (magnitude(x), magnitude(y));
            if !signed {
                return p >= q;
            }
            // |x| * 2^bits / |y| must be below 2^(bits-1), or equal to it when negative.
            if p >= q {
                return true;
            }
            let negative = (sx(x) < 0) != (sx(y) < 0);
            // floor(p * 2^bits / q), bit by bit.
            let (mut rest, mut quotient) = (p, 0u128);
            for _ in 0..bits {
                let carry = rest >> 127 != 0;
                rest <<= 1;
                quotient <<= 1;
                if carry || rest >= q {
                    rest = rest.wrapping_sub(q);
                    quotient |= 1;
                }
            }
            let limit = 1u128 << (bits - 1);
            if negative { quotient > limit } else { quotient >= limit }
        });
        o.state.vsr[rt] &= !gone;
    }
    let index = s.gpr[i.rc_reg() as usize] & 31;
    let ra = s.gpr[i.ra() as usize] & 15;
    let uim = i.bits(12, 15);
    match m {
        // An element beyond the end (6.8.7 and 6.8.8).
        "vextduhvlx" | "vextduhvrx" => all(o, index > 30),
        "vextduwvlx" | "vextduwvrx" => all(o, index > 28),
        "vextddvlx" | "vextddvrx" => all(o, index > 24),
        "vextractuh" => all(o, uim > 14),
        "vextractuw" => all(o, uim > 12),
        "vextractd" => all(o, uim > 8),
        "vinserth" => all(o, uim > 14),
        "vinsertw" | "vinsw" => all(o, uim > 12),
        "vinsertd" | "vinsd" => all(o, uim > 8),
        "vinshlx" | "vinshrx" | "vinshvlx" | "vinshvrx" => all(o, ra > 14),
        "vinswlx" | "vinswrx" | "vinswvlx" | "vinswvrx" => all(o, ra > 12),
        "vinsdlx" | "vinsdrx" => all(o, ra > 8),
        "vextuhlx" | "vextuhrx" if ra > 14 => o.state.gpr[i.rt() as usize] = 0,
        "vextuwlx" | "vextuwrx" if ra > 12 => o.state.gpr[i.rt() as usize] = 0,
        // N below 2 (6.11.3).
        "vgnb" if i.bits(13, 15) < 2 => o.state.gpr[i.rt() as usize] = 0,
        _ => {}
    }
    // Invalid digits or signs: CR6 says so, the result is undefined (6.14).
    if m.starts_with("bcd") && o.state.cr >> 4 & 1 != 0 && o.state.cr >> 4 & 14 == 0 {
        o.state.vsr[rt] = 0;
    }
    // A number of more than 31 digits (6.14.3).
    if m == "bcdcfsq." && (b as i128).unsigned_abs() >= 10u128.pow(31) {
        o.state.vsr[rt] = 0;
    }
    // Multiplication by ten of what is no number of digits (6.9.6).
    if m.starts_with("vmul10") {
        let bad = |x: u128| (0..32).any(|k| x >> (4 * k) & 15 > 9);
        let add = m.contains('e') && b & 15 > 9;
        all(o, bad(a) || add);
    }
}

fn decimal(v: &Vector, o: &mut Output) {
    // Conversions to integer leave FPRF undefined (5.6.5.2).
    if v.row.mnemonic.starts_with("dctfix") {
        o.state.fpscr &= !0x1_f000;
    }
}
