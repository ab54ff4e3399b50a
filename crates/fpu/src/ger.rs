//! Floating-point outer products of the matrix-multiply assist (Book I, 7.7).

use isa::fp::{FpInsn, FpOp, GerElem, GerSum};

use crate::{
    FpRegs,
    arith::{Kind, arith, single_bits},
    element, env,
    fpscr::raise,
    reg,
    soft::{BF16, DOUBLE, Env, Fmt, HALF, SINGLE},
};

/// Carry out one outer product. Exceptions set their FPSCR bits, FR and FI stay; all results are written.
pub fn exec<R: FpRegs>(r: &mut R, f: FpInsn, elem: GerElem, sum: GerSum, products: u8) {
    let old = r.fpscr();
    let e = Env { oe: false, ue: false, ..env(old) };
    let (width, columns) = if elem == GerElem::F64 { (64, 2) } else { (32, 4) };
    let b = reg(r, f.b);
    let mut exc = 0;
    let mut rows = [0u128; 4];
    for (n, row) in rows.iter_mut().enumerate() {
        let n = n as u8;
        let x = match elem {
            GerElem::F64 => element(reg(r, f.a + n / 2), 64, u32::from(n) % 2),
            _ => element(reg(r, f.a), 32, n.into()),
        };
        let acc = reg(r, f.t + n);
        for k in 0..columns {
            let (y, z) = (element(b, width, k), element(acc, width, k));
            let value = match (f.c >> (7 - n) & 1, f.c >> (3 - k) & 1) {
                (1, 1) => match elem {
                    GerElem::F64 => single_product(Kind::F64, e, sum, x, y, z, &mut exc),
                    GerElem::F32 => single_product(Kind::V32, e, sum, x, y, z, &mut exc),
                    GerElem::F16 => two_products(HALF, e, sum, products, x, y, z, &mut exc),
                    GerElem::Bf16 => two_products(BF16, e, sum, products, x, y, z, &mut exc),
                },
                _ => 0,
            };
            *row = *row << width | value;
        }
    }
    for (n, row) in rows.into_iter().enumerate() {
        r.set_vsr((f.t as usize + n) & 63, row);
    }
    r.set_fpscr(raise(old, exc));
}

/// Product and sum of one element, rounded once; signs as the multiply-add instructions of the same letters (negated
/// after rounding).
fn single_product(k: Kind, e: Env, sum: GerSum, x: u128, y: u128, z: u128, exc: &mut u32) -> u128 {
    let res = match sum {
        GerSum::None => arith(FpOp::Mul, k, e, x, y, 0),
        GerSum::Pp => arith(FpOp::Madd, k, e, x, z, y),
        GerSum::Pn => arith(FpOp::Msub, k, e, x, z, y),
        GerSum::Np => arith(FpOp::Nmsub, k, e, x, z, y),
        GerSum::Nn => arith(FpOp::Nmadd, k, e, x, z, y),
    };
    *exc |= res.exc;
    res.bits
}

/// Sum of the products of the two halves of a word that `products` (first in bit 1) keeps, rounded to single; then
/// the sum with the accumulator, rounded again. The first product is exact.
fn two_products(
    fmt: Fmt,
    e: Env,
    sum: GerSum,
    products: u8,
    x: u128,
    y: u128,
    z: u128,
    exc: &mut u32,
) -> u128 {
    let mut go = |op, k, a, b, c| {
        let res = arith(op, k, e, a, b, c);
        *exc |= res.exc;
        res.bits
    };
    let mut half = |word: u128, n: u32| match products >> (1 - n) & 1 {
        0 => 0,
        _ => go(FpOp::HpDp, Kind::convert(fmt, DOUBLE), 0, word >> (16 - 16 * n) & 0xffff, 0),
    };
    let first = (half(x, 0), half(y, 0));
    let second = (half(x, 1), half(y, 1));
    let p = go(FpOp::Mul, Kind::F64, first.0, first.1, 0);
    let p = go(FpOp::Madd, Kind::F32, second.0, p, second.1);
    if sum == GerSum::None {
        return single_bits(p as u64).into();
    }
    let z = go(FpOp::SpDp, Kind::convert(SINGLE, DOUBLE), 0, z, 0);
    let p = if matches!(sum, GerSum::Np | GerSum::Nn) { negated(p) } else { p };
    let z = if matches!(sum, GerSum::Pn | GerSum::Nn) { negated(z) } else { z };
    single_bits(go(FpOp::Add, Kind::F32, p, z, 0) as u64).into()
}

/// A double with its sign inverted, NaNs unchanged.
fn negated(d: u128) -> u128 {
    if d & (i64::MAX as u128) > 0x7ff << 52 { d } else { d ^ 1 << 63 }
}
