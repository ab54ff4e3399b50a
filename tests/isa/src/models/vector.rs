//! Vector integer, logical, permute, pack and shift instructions on elements as numbers (Book I, chapter 6).

use super::fixed::{gather, scatter};
use super::{Expected, exact, start};
use crate::state::Output;
use crate::vector::Vector;

/// Element `k` from the left, zero-extended.
fn u(x: u128, w: u32, k: u32) -> u128 {
    x << (w * k) >> (128 - w)
}

/// Element `k` from the left, sign-extended.
fn s(x: u128, w: u32, k: u32) -> i128 {
    ((x << (w * k)) as i128) >> (128 - w)
}

/// A register of elements of `w` bits, each cut to its width.
fn build(w: u32, f: impl Fn(u32) -> u128) -> u128 {
    (0..128 / w).fold(0, |r, k| {
        let x = f(k) & (u128::MAX >> (128 - w));
        if w == 128 { x } else { r << w | x }
    })
}

fn width(c: u8) -> Option<u32> {
    Some(match c {
        b'b' => 8,
        b'h' => 16,
        b'w' => 32,
        b'd' => 64,
        b'q' => 128,
        _ => return None,
    })
}

/// A number cut to `w` bits, noting that it did not fit.
fn saturate(x: i128, w: u32, signed: bool, hit: &mut bool) -> u128 {
    let (low, high) =
        if signed { (-(1i128 << (w - 1)), (1i128 << (w - 1)) - 1) } else { (0, (1i128 << w) - 1) };
    *hit |= x < low || x > high;
    x.clamp(low, high) as u128
}

struct Operands {
    a: u128,
    b: u128,
    c: u128,
    t: u128,
}

/// Two registers, element by element: v<operation><sign><width><way>.
fn lanes(m: &str, x: &Operands, sat: &mut bool) -> Option<u128> {
    let Operands { a, b, .. } = *x;
    let name = m.strip_prefix('v')?;
    // add, sub with u/s, the width, and m (modulo) or s (saturate).
    for (op, sign) in [("add", 1), ("sub", -1)] {
        if let Some(r) = name.strip_prefix(op)
            && let &[signed, w, way] = r.as_bytes()
            && matches!(signed, b'u' | b's')
            && matches!(way, b'm' | b's')
        {
            let w = width(w)?;
            if way == b'm' {
                return Some(build(w, |k| {
                    let (p, q) = (u(a, w, k), u(b, w, k));
                    if sign > 0 { p.wrapping_add(q) } else { p.wrapping_sub(q) }
                }));
            }
            let signed = signed == b's';
            let get = |v, k| if signed { s(v, w, k) } else { u(v, w, k) as i128 };
            let hit = std::cell::Cell::new(false);
            let r = build(w, |k| {
                let mut h = false;
                let v = saturate(get(a, k) + sign * get(b, k), w, signed, &mut h);
                hit.set(hit.get() | h);
                v
            });
            *sat |= hit.get();
            return Some(r);
        }
    }
    for op in ["avg", "absd", "max", "min", "cmpgt"] {
        let Some(&[signed, w]) = name.strip_prefix(op).map(str::as_bytes) else { continue };
        let (signed, w) = (signed == b's', width(w)?);
        return Some(build(w, |k| {
            let less = if signed { s(a, w, k) < s(b, w, k) } else { u(a, w, k) < u(b, w, k) };
            let equal = u(a, w, k) == u(b, w, k);
            let (p, q) = (u(a, w, k), u(b, w, k));
            match op {
                "max" => {
                    if less {
                        q
                    } else {
                        p
                    }
                }
                "min" => {
                    if less {
                        p
                    } else {
                        q
                    }
                }
                "cmpgt" => {
                    if less || equal {
                        0
                    } else {
                        u128::MAX
                    }
                }
                "absd" => {
                    if less {
                        q - p
                    } else {
                        p - q
                    }
                }
                _ if signed => ((s(a, w, k) + s(b, w, k) + 1) >> 1) as u128,
                _ => (p + q + 1) >> 1,
            }
        }));
    }
    for op in ["cmpequ", "cmpnez", "cmpne", "rl", "sl", "sr", "sra", "clz", "ctz", "popcnt", "neg"] {
        let Some(&[w]) = name.strip_prefix(op).map(str::as_bytes) else { continue };
        let Some(w) = width(w) else { continue };
        if w == 128 && matches!(op, "rl" | "sl" | "sr" | "sra") {
            // The amount stands in bits 57:63 of VRB.
            let n = (b >> 64) as u32 & 127;
            return Some(match op {
                "rl" => a.rotate_left(n),
                "sl" => a << n,
                "sr" => a >> n,
                _ => (a as i128 >> n) as u128,
            });
        }
        return Some(build(w, |k| {
            let (p, q) = (u(a, w, k), u(b, w, k));
            let n = (q % u128::from(w)) as u32;
            let all = |yes: bool| if yes { u128::MAX } else { 0 };
            match op {
                "cmpequ" => all(p == q),
                "cmpne" => all(p != q),
                "cmpnez" => all(p != q || p == 0 || q == 0),
                "rl" => p << n | if n == 0 { 0 } else { p >> (w - n) },
                "sl" => p << n,
                "sr" => p >> n,
                "sra" => (s(a, w, k) >> n) as u128,
                "clz" => u128::from(q.leading_zeros() - (128 - w)),
                "ctz" => u128::from(q.trailing_zeros().min(w)),
                "popcnt" => q.count_ones().into(),
                _ => q.wrapping_neg(),
            }
        }));
    }
    None
}

fn products(m: &str, x: &Operands, sat: &mut bool) -> Option<u128> {
    let Operands { a, b, c, .. } = *x;
    for (op, odd) in [("vmule", 0), ("vmulo", 1)] {
        if let Some(&[signed, w]) = m.strip_prefix(op).map(str::as_bytes) {
            let w = width(w)?;
            return Some(build(2 * w, |k| {
                let n = 2 * k + odd;
                if signed == b's' {
                    s(a, w, n).wrapping_mul(s(b, w, n)) as u128
                } else {
                    u(a, w, n).wrapping_mul(u(b, w, n))
                }
            }));
        }
    }
    let sum = |w: u32, k: u32, signed: (bool, bool)| -> i128 {
        let n = 32 / w;
        (0..n)
            .map(|e| {
                let e = n * k + e;
                let p = if signed.0 { s(a, w, e) } else { u(a, w, e) as i128 };
                let q = if signed.1 { s(b, w, e) } else { u(b, w, e) as i128 };
                p * q
            })
            .sum()
    };
    let hit = std::cell::Cell::new(false);
    let clamp = |v: i128, w: u32, signed: bool| {
        let mut h = false;
        let r = saturate(v, w, signed, &mut h);
        hit.set(hit.get() | h);
        r
    };
    let r = match m {
        "vmuluwm" => build(32, |k| u(a, 32, k) * u(b, 32, k)),
        "vmulld" => build(64, |k| u(a, 64, k).wrapping_mul(u(b, 64, k))),
        "vmulhsw" => build(32, |k| (s(a, 32, k) * s(b, 32, k) >> 32) as u128),
        "vmulhuw" => build(32, |k| u(a, 32, k) * u(b, 32, k) >> 32),
        "vmulhsd" => build(64, |k| (s(a, 64, k) * s(b, 64, k) >> 64) as u128),
        "vmulhud" => build(64, |k| u(a, 64, k) * u(b, 64, k) >> 64),
        "vmladduhm" => build(16, |k| u(a, 16, k) * u(b, 16, k) + u(c, 16, k)),
        "vmhaddshs" => build(16, |k| clamp((s(a, 16, k) * s(b, 16, k) >> 15) + s(c, 16, k), 16, true)),
        "vmhraddshs" => {
            build(16, |k| clamp((s(a, 16, k) * s(b, 16, k) + 0x4000 >> 15) + s(c, 16, k), 16, true))
        }
        "vmsumubm" => build(32, |k| (sum(8, k, (false, false)) + u(c, 32, k) as i128) as u128),
        "vmsummbm" => build(32, |k| (sum(8, k, (true, false)) + s(c, 32, k)) as u128),
        "vmsumuhm" => build(32, |k| (sum(16, k, (false, false)) + u(c, 32, k) as i128) as u128),
        "vmsumshm" => build(32, |k| (sum(16, k, (true, true)) + s(c, 32, k)) as u128),
        "vmsumuhs" => build(32, |k| clamp(sum(16, k, (false, false)) + u(c, 32, k) as i128, 32, false)),
        "vmsumshs" => build(32, |k| clamp(sum(16, k, (true, true)) + s(c, 32, k), 32, true)),
        "vmsumudm" => (u(a, 64, 0) * u(b, 64, 0)).wrapping_add(u(a, 64, 1) * u(b, 64, 1)).wrapping_add(c),
        "vmsumcud" => {
            let (x, o1) = (u(a, 64, 0) * u(b, 64, 0)).overflowing_add(u(a, 64, 1) * u(b, 64, 1));
            u128::from(o1) + u128::from(x.overflowing_add(c).1)
        }
        "vsum4ubs" => build(32, |k| {
            clamp((0..4).map(|e| u(a, 8, 4 * k + e) as i128).sum::<i128>() + u(b, 32, k) as i128, 32, false)
        }),
        "vsum4sbs" => {
            build(32, |k| clamp((0..4).map(|e| s(a, 8, 4 * k + e)).sum::<i128>() + s(b, 32, k), 32, true))
        }
        "vsum4shs" => {
            build(32, |k| clamp((0..2).map(|e| s(a, 16, 2 * k + e)).sum::<i128>() + s(b, 32, k), 32, true))
        }
        "vsum2sws" => {
            build(64, |k| clamp(s(a, 32, 2 * k) + s(a, 32, 2 * k + 1) + s(b, 32, 2 * k + 1), 32, true))
        }
        "vsumsws" => clamp((0..4).map(|e| s(a, 32, e)).sum::<i128>() + s(b, 32, 3), 32, true),
        _ => return None,
    };
    // Parts of doublewords and quadwords beside the 32 bits of a sum are zero.
    let r = match m {
        "vsum2sws" => build(64, |k| u(r, 64, k) & 0xffff_ffff),
        "vsumsws" => r & 0xffff_ffff,
        _ => r,
    };
    *sat |= hit.get();
    Some(r)
}

fn wide(m: &str, x: &Operands) -> Option<u128> {
    let Operands { a, b, c, .. } = *x;
    let carry = |p: u128, q: u128, n: u128| {
        let (r, o1) = p.overflowing_add(q);
        u128::from(o1 || r.overflowing_add(n).1)
    };
    let divide = |w: u32, signed: bool, f: &dyn Fn(i128, i128) -> i128, g: &dyn Fn(u128, u128) -> u128| {
        build(w, |k| {
            if u(b, w, k) == 0 {
                0
            } else if signed {
                f(s(a, w, k), s(b, w, k)) as u128
            } else {
                g(u(a, w, k), u(b, w, k))
            }
        })
    };
    for (op, rem) in [("vdiv", false), ("vmod", true)] {
        if let Some(&[signed, w]) = m.strip_prefix(op).map(str::as_bytes) {
            let signed = signed == b's';
            let f = |p: i128, q: i128| if rem { p.wrapping_rem(q) } else { p.wrapping_div(q) };
            let g = |p: u128, q: u128| if rem { p % q } else { p / q };
            return Some(divide(width(w)?, signed, &f, &g));
        }
    }
    if let Some(&[signed, w]) = m.strip_prefix("vdive").map(str::as_bytes)
        && let w = width(w)?
        && w < 64
    {
        return Some(divide(w, signed == b's', &|p, q| (p << w) / q, &|p, q| (p << w) / q));
    }
    Some(match m {
        "vaddcuw" => build(32, |k| (u(a, 32, k) + u(b, 32, k)) >> 32),
        "vsubcuw" => build(32, |k| u128::from(u(a, 32, k) >= u(b, 32, k))),
        "vaddcuq" => carry(a, b, 0),
        "vsubcuq" => carry(a, !b, 1),
        "vaddeuqm" => a.wrapping_add(b).wrapping_add(c & 1),
        "vaddecuq" => carry(a, b, c & 1),
        "vsubeuqm" => a.wrapping_add(!b).wrapping_add(c & 1),
        "vsubecuq" => carry(a, !b, c & 1),
        "vextsb2w" => build(32, |k| s(b, 8, 4 * k + 3) as u128),
        "vextsh2w" => build(32, |k| s(b, 16, 2 * k + 1) as u128),
        "vextsb2d" => build(64, |k| s(b, 8, 8 * k + 7) as u128),
        "vextsh2d" => build(64, |k| s(b, 16, 4 * k + 3) as u128),
        "vextsw2d" => build(64, |k| s(b, 32, 2 * k + 1) as u128),
        "vextsd2q" => s(b, 64, 1) as u128,
        "vprtybw" => build(32, |k| u128::from((u(b, 32, k) & 0x0101_0101).count_ones() & 1)),
        "vprtybd" => build(64, |k| u128::from((u(b, 64, k) & 0x0101_0101_0101_0101).count_ones() & 1)),
        "vprtybq" => u128::from((b & u128::MAX / 255).count_ones() & 1),
        "vsl" => a << (b & 7),
        "vsr" => a >> (b & 7),
        "vslo" => a << (b & 0x78),
        "vsro" => a >> (b & 0x78),
        "vslv" => build(8, |k| {
            let next = if k == 15 { 0 } else { u(a, 8, k + 1) };
            (u(a, 8, k) << 8 | next) << (u(b, 8, k) & 7) >> 8
        }),
        "vsrv" => build(8, |k| {
            let before = if k == 0 { 0 } else { u(a, 8, k - 1) };
            (before << 8 | u(a, 8, k)) >> (u(b, 8, k) & 7)
        }),
        "vrlwnm" | "vrlwmi" => masked_rotate(32, m, x),
        "vrldnm" | "vrldmi" => masked_rotate(64, m, x),
        _ => return None,
    })
}

fn masked_rotate(w: u32, m: &str, x: &Operands) -> u128 {
    let bits = w.trailing_zeros();
    build(w, |k| {
        let (p, q, old) = (u(x.a, w, k), u(x.b, w, k), u(x.t, w, k));
        let f = |at: u32| (q >> at) as u32 & ((1 << bits) - 1);
        let (n, me, mb) = (f(0), f(8), f(16));
        let r = p << n | if n == 0 { 0 } else { p >> (w - n) };
        let mask = (0..w)
            .filter(|&b| if mb <= me { b >= mb && b <= me } else { b >= mb || b <= me })
            .fold(0u128, |v, b| v | 1 << (w - 1 - b));
        if m.ends_with("mi") { r & mask | old & !mask } else { r & mask }
    })
}

/// Byte `n` of two registers, one after the other.
fn byte(p: u128, q: u128, n: u128) -> u128 {
    if n < 16 { u(p, 8, n as u32) } else { u(q, 8, n as u32 - 16) }
}

/// Element `k` of two registers, one after the other.
fn both(x: &Operands, w: u32, k: u32) -> u128 {
    if k < 128 / w { u(x.a, w, k) } else { u(x.b, w, k - 128 / w) }
}

/// Elements of the left or right halves by turns.
fn merge(x: &Operands, w: u32, high: bool) -> u128 {
    build(w, |k| {
        let n = k / 2 + if high { 0 } else { 64 / w };
        if k % 2 == 0 { u(x.a, w, n) } else { u(x.b, w, n) }
    })
}

fn moves(v: &Vector, x: &Operands, sat: &mut bool) -> Option<u128> {
    let Operands { a, b, c, .. } = *x;
    let (i, m) = (v.insn, v.row.mnemonic);
    let hit = std::cell::Cell::new(false);
    let clamp = |v: i128, w: u32, signed: bool| {
        let mut h = false;
        let r = saturate(v, w, signed, &mut h);
        hit.set(hit.get() | h);
        r
    };
    let both_signed = |w: u32, k: u32| if k < 128 / w { s(a, w, k) } else { s(b, w, k - 128 / w) };
    let pack = |w: u32, from: bool, to: bool| {
        build(w, |k| clamp(if from { both_signed(2 * w, k) } else { both(x, 2 * w, k) as i128 }, w, to))
    };
    let pixel = |x: u128, k: u32| {
        let p = u(x, 16, k);
        let sign = if p >> 15 != 0 { 0xff } else { 0 };
        sign << 24 | (p >> 10 & 31) << 16 | (p >> 5 & 31) << 8 | p & 31
    };
    let shift = i.bits(22, 25);
    let r = match m {
        "vand" => a & b,
        "vandc" => a & !b,
        "vor" => a | b,
        "vxor" => a ^ b,
        "vnor" => !(a | b),
        "vnand" => !(a & b),
        "vorc" => a | !b,
        "veqv" => !(a ^ b),
        "vsel" => a & !c | b & c,
        "vperm" => build(8, |k| byte(a, b, u(c, 8, k) & 31)),
        "vpermr" => build(8, |k| byte(a, b, 31 - (u(c, 8, k) & 31))),
        "vsldoi" => build(8, |k| byte(a, b, (k + shift).into())),
        "vsldbi" => match i.bits(23, 25) {
            0 => a,
            n => a << n | b >> (128 - n),
        },
        "vsrdbi" => match i.bits(23, 25) {
            0 => b,
            n => b >> n | a << (128 - n),
        },
        "vspltb" => build(8, |_| u(b, 8, i.bits(12, 15))),
        "vsplth" => build(16, |_| u(b, 16, i.bits(13, 15))),
        "vspltw" => build(32, |_| u(b, 32, i.bits(14, 15))),
        "vspltisb" | "vspltish" | "vspltisw" => {
            let n = ((i.bits(11, 15) << 27) as i32 >> 27) as i128;
            build(width(m.as_bytes()[7])?, |_| n as u128)
        }
        "vmrghb" => merge(x, 8, true),
        "vmrghh" => merge(x, 16, true),
        "vmrghw" => merge(x, 32, true),
        "vmrglb" => merge(x, 8, false),
        "vmrglh" => merge(x, 16, false),
        "vmrglw" => merge(x, 32, false),
        "vmrgew" => build(32, |k| if k % 2 == 0 { u(a, 32, k) } else { u(b, 32, k - 1) }),
        "vmrgow" => build(32, |k| if k % 2 == 0 { u(a, 32, k + 1) } else { u(b, 32, k) }),
        "vpkuhum" => build(8, |k| both(x, 16, k)),
        "vpkuwum" => build(16, |k| both(x, 32, k)),
        "vpkudum" => build(32, |k| both(x, 64, k)),
        "vpkpx" => build(16, |k| {
            let p = both(x, 32, k);
            (p >> 24 & 1) << 15 | (p >> 19 & 31) << 10 | (p >> 11 & 31) << 5 | p >> 3 & 31
        }),
        "vpkshss" => pack(8, true, true),
        "vpkshus" => pack(8, true, false),
        "vpkuhus" => pack(8, false, false),
        "vpkswss" => pack(16, true, true),
        "vpkswus" => pack(16, true, false),
        "vpkuwus" => pack(16, false, false),
        "vpksdss" => pack(32, true, true),
        "vpksdus" => pack(32, true, false),
        "vpkudus" => pack(32, false, false),
        "vupkhsb" => build(16, |k| s(b, 8, k) as u128),
        "vupklsb" => build(16, |k| s(b, 8, k + 8) as u128),
        "vupkhsh" => build(32, |k| s(b, 16, k) as u128),
        "vupklsh" => build(32, |k| s(b, 16, k + 4) as u128),
        "vupkhsw" => build(64, |k| s(b, 32, k) as u128),
        "vupklsw" => build(64, |k| s(b, 32, k + 2) as u128),
        "vupkhpx" => build(32, |k| pixel(b, k)),
        "vupklpx" => build(32, |k| pixel(b, k + 4)),
        "vpdepd" => build(64, |k| scatter(u(a, 64, k) as u64, u(b, 64, k) as u64).into()),
        "vpextd" => build(64, |k| gather(u(a, 64, k) as u64, u(b, 64, k) as u64).into()),
        "vcfuged" => build(64, |k| {
            let (x, m) = (u(a, 64, k) as u64, u(b, 64, k) as u64);
            (gather(x, m) | gather(x, !m).checked_shl(m.count_ones()).unwrap_or(0)).into()
        }),
        "vgbbd" => build(64, |d| {
            let x = u(b, 64, d);
            (0..64).fold(0, |r, n| r | (x >> n & 1) << (n % 8 * 8 + n / 8))
        }),
        "vbpermd" => build(64, |d| {
            (0..8).fold(0, |r, k| {
                let n = u(b, 8, 8 * d + k);
                r << 1 | if n < 64 { u(a, 64, d) >> (63 - n) & 1 } else { 0 }
            })
        }),
        "vbpermq" => {
            let r = (0..16).fold(0, |r, k| {
                let n = u(b, 8, k);
                r << 1 | if n < 128 { a >> (127 - n) & 1 } else { 0 }
            });
            r << 64
        }
        "vpmsumb" | "vpmsumh" | "vpmsumw" | "vpmsumd" => {
            let w = width(m.as_bytes()[6])?;
            let product =
                |k: u32| (0..w).filter(|n| u(a, w, k) >> n & 1 != 0).fold(0u128, |r, n| r ^ u(b, w, k) << n);
            build(2 * w, |k| product(2 * k) ^ product(2 * k + 1))
        }
        "vpermxor" => build(8, |k| {
            let n = u(c, 8, k);
            u(a, 8, (n >> 4) as u32) ^ u(b, 8, (n & 15) as u32)
        }),
        "vclrlb" | "vclrrb" => {
            let n = v.input.gpr[i.rb() as usize].min(16) as u32;
            match (n, m) {
                (0, _) => 0,
                (_, "vclrlb") => a & (u128::MAX >> (128 - 8 * n)),
                _ => a & (u128::MAX << (128 - 8 * n)),
            }
        }
        _ => return None,
    };
    *sat |= hit.get();
    Some(r)
}

/// VSX moves.
fn vsx_moves(v: &Vector, x: &Operands) -> Option<u128> {
    let Operands { a, b, c, t } = *x;
    let (i, m) = (v.insn, v.row.mnemonic);
    Some(match m {
        "xxland" => a & b,
        "xxlandc" => a & !b,
        "xxlor" => a | b,
        "xxlxor" => a ^ b,
        "xxlnor" => !(a | b),
        "xxlnand" => !(a & b),
        "xxlorc" => a | !b,
        "xxleqv" => !(a ^ b),
        "xxmrghw" => merge(x, 32, true),
        "xxmrglw" => merge(x, 32, false),
        "xxsel" => a & !c | b & c,
        "xxperm" => build(8, |k| byte(a, t, u(b, 8, k) & 31)),
        "xxpermr" => build(8, |k| byte(a, t, 31 - (u(b, 8, k) & 31))),
        "xxpermdi" => u(a, 64, i.bits(22, 22)) << 64 | u(b, 64, i.bits(23, 23)),
        "xxsldwi" => build(32, |k| both(x, 32, k + i.bits(22, 23))),
        "xxspltw" => build(32, |_| u(b, 32, i.bits(14, 15))),
        "xxspltib" => build(8, |_| i.bits(13, 20).into()),
        "xxbrh" => build(16, |k| (u(b, 16, k) as u16).swap_bytes().into()),
        "xxbrw" => build(32, |k| (u(b, 32, k) as u32).swap_bytes().into()),
        "xxbrd" => build(64, |k| (u(b, 64, k) as u64).swap_bytes().into()),
        "xxbrq" => b.swap_bytes(),
        "xxspltiw" => build(32, |_| i.imm32().into()),
        "xxblendvb" | "xxblendvh" | "xxblendvw" | "xxblendvd" => {
            let w = width(m.as_bytes()[8])?;
            build(w, |k| if s(c, w, k) < 0 { u(b, w, k) } else { u(a, w, k) })
        }
        "xxeval" => (0..128).fold(0, |r, n| {
            let k = (a >> n & 1) << 2 | (b >> n & 1) << 1 | c >> n & 1;
            r | u128::from(i.pbits(24, 31) >> (7 - k) & 1) << n
        }),
        "xxpermx" => build(8, |k| {
            let n = u(c, 8, k);
            if n as u32 >> 5 == i.pbits(29, 31) { byte(a, b, n & 31) } else { 0 }
        }),
        _ => return None,
    })
}

/// Bits of elements in general registers.
fn to_general(v: &Vector, b: u128) -> Option<u64> {
    let m = v.row.mnemonic;
    let i = v.insn;
    let signs = |w: u32| (0..128 / w).fold(0, |r, k| r << 1 | u64::from(s(b, w, k) < 0));
    Some(match m {
        "vextractbm" => signs(8),
        "vextracthm" => signs(16),
        "vextractwm" => signs(32),
        "vextractdm" => signs(64),
        "vextractqm" => signs(128),
        "vclzlsbb" => (0..16).take_while(|&k| u(b, 8, k) & 1 == 0).count() as u64,
        "vctzlsbb" => (0..16).take_while(|&k| u(b, 8, 15 - k) & 1 == 0).count() as u64,
        "vcntmbb" | "vcntmbh" | "vcntmbw" | "vcntmbd" => {
            let w = width(m.as_bytes()[6])?;
            let n = (0..128 / w).filter(|&k| (s(b, w, k) < 0) == (i.bits(15, 15) != 0)).count() as u64;
            n << (56 + w.trailing_zeros() - 3)
        }
        "vgnb" => {
            let n = i.bits(13, 15);
            if n < 2 {
                return None;
            }
            (0..128)
                .step_by(n as usize)
                .enumerate()
                .fold(0, |r, (k, at)| r | ((b >> (127 - at) & 1) as u64) << (63 - k))
        }
        _ => return None,
    })
}

fn from_general(v: &Vector) -> Option<u128> {
    let i = v.insn;
    let x = v.input.gpr[i.rb() as usize];
    let masks = |w: u32| build(w, |k| if x >> (128 / w - 1 - k) & 1 != 0 { u128::MAX } else { 0 });
    let b = v.input.vsr[32 + i.vrb() as usize];
    let expand = |w: u32| build(w, |k| if s(b, w, k) < 0 { u128::MAX } else { 0 });
    Some(match v.row.mnemonic {
        "mtvsrbm" => masks(8),
        "mtvsrhm" => masks(16),
        "mtvsrwm" => masks(32),
        "mtvsrdm" => masks(64),
        "mtvsrqm" => masks(128),
        "vexpandbm" => expand(8),
        "vexpandhm" => expand(16),
        "vexpandwm" => expand(32),
        "vexpanddm" => expand(64),
        "vexpandqm" => expand(128),
        _ => return None,
    })
}

/// The result of a vector instruction.
pub fn model(v: &Vector) -> Option<Expected> {
    let mut o: Output = start(v);
    let (i, m) = (v.insn, v.row.mnemonic);
    let vsx = v.row.operands.starts_with("XT");
    let get = |n: u32| v.input.vsr[n as usize];
    let x = if vsx {
        let t = if m == "xxspltiw" { i.bits(15, 15) << 5 | i.bits(6, 10) } else { i.xt() };
        Operands { a: get(i.xa()), b: get(i.xb()), c: get(i.xc()), t: get(t) }
    } else {
        Operands { a: get(32 + i.vra()), b: get(32 + i.vrb()), c: get(32 + i.vrc()), t: get(32 + i.vrt()) }
    };
    if let Some(r) = to_general(v, x.b) {
        o.state.gpr[i.rt() as usize] = r;
        return exact(o);
    }
    let mut sat = false;
    let result = from_general(v)
        .or_else(|| moves(v, &x, &mut sat))
        .or_else(|| vsx_moves(v, &x))
        .or_else(|| lanes(m, &x, &mut sat))
        .or_else(|| products(m, &x, &mut sat))
        .or_else(|| wide(m, &x))?;
    let t = match m {
        "xxspltiw" => i.bits(15, 15) << 5 | i.bits(6, 10),
        _ if vsx => i.xt(),
        _ => 32 + i.vrt(),
    };
    o.state.vsr[t as usize] = result;
    o.state.vscr |= u64::from(sat);
    if m.starts_with("vcmp") && i.bits(21, 21) != 0 {
        let f = u64::from(result == u128::MAX) << 3 | u64::from(result == 0) << 1;
        o.state.cr = o.state.cr & !0xf0 | f << 4;
    }
    exact(o)
}
