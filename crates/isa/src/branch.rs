//! Branch facility instructions (Book I, chapter 2.4).
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{Builder, Insn, Op2, Rel};

macro_rules! branch_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* branch {
        B        "b"        d(18)      V2_06 "LI"        b;
        Bc       "bc"       d(16)      V2_06 "BO,BI,BD"  bc;
        Bclr     "bclr"     x(19, 16)  V2_06 "BO,BI,BH"  bclr;
        Bcctr    "bcctr"    x(19, 528) V2_06 "BO,BI,BH"  bcctr;
        Bctar    "bctar"    x(19, 560) V2_07 "BO,BI,BH"  bctar;
    } } } };
}
pub(crate) use branch_rows;

fn link<B: Builder>(b: &mut B, i: Insn) {
    if i.lk() {
        let v = b.cia_plus(4);
        let v = if b.mode().sf { v } else { b.op1(crate::Op1::Extu32, v) };
        b.set_lr(v);
    }
}

/// Decrement CTR when BO asks for it and give the branch condition; `None`: always taken.
#[inline(always)]
fn condition<B: Builder>(b: &mut B, i: Insn) -> Option<B::C> {
    let bo = i.bo();
    let cr_ok = if bo & 16 == 0 {
        let c = b.cr_bit(i.bi());
        Some(if bo & 8 != 0 { c } else { b.c_not(c) })
    } else {
        None
    };
    let ctr_ok = if bo & 4 == 0 {
        let ctr = b.ctr();
        let ctr = b.op2i(Op2::Add, ctr, u64::MAX);
        b.set_ctr(ctr);
        let low = if b.mode().sf { ctr } else { b.op1(crate::Op1::Extu32, ctr) };
        let zero = b.imm(0);
        Some(b.rel(if bo & 2 != 0 { Rel::Eq } else { Rel::Ne }, low, zero))
    } else {
        None
    };
    match (ctr_ok, cr_ok) {
        (Some(x), Some(y)) => Some(b.c_and(x, y)),
        (x, y) => x.or(y),
    }
}

pub fn b<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    link(b, i);
    if i.aa() {
        b.jump(i.li() as u64);
    } else {
        b.jump_rel(i.li());
    }
    Ok(())
}

pub fn bc<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    let c = condition(b, i);
    link(b, i);
    match (c, i.aa()) {
        (Some(c), false) => b.jump_rel_if(c, i.bd()),
        (Some(c), true) => b.jump_if(c, i.bd() as u64),
        (None, false) => b.jump_rel(i.bd()),
        (None, true) => b.jump(i.bd() as u64),
    }
    Ok(())
}

pub fn bclr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    let target = b.lr();
    let c = condition(b, i);
    link(b, i);
    b.jump_to(c, target);
    Ok(())
}

pub fn bcctr<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    // BO[2] = 0 (decrement CTR) is an invalid form; the counter is then tested before it is used as the target.
    let target = b.ctr();
    let c = condition(b, i);
    link(b, i);
    b.jump_to(c, target);
    Ok(())
}

pub fn bctar<B: Builder>(b: &mut B, i: Insn) -> Result<(), B::Stop> {
    let target = b.tar()?;
    let c = condition(b, i);
    link(b, i);
    b.jump_to(c, target);
    Ok(())
}
