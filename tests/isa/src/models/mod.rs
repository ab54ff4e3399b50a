//! Independent models: what an instruction does, written from the manual as plain code on numbers, sharing nothing
//! with `isa`, `fpu` and `arch` but the names of fields. Libraries do the arithmetic of floating point.

mod compare;
mod convert;
mod decimal;
mod fixed;
mod float;
mod outer;
mod rest;
mod special;
mod status;
mod storage;
mod vector;

use crate::state::{Difference, End, Output, differences};
use crate::undefined;
use crate::vector::Vector;

/// What a model says of one vector.
pub struct Expected {
    /// The result.
    pub out: Output,
    /// The model says nothing of FPSCR, CR and the way it ended.
    pub values_only: bool,
    /// Bits of the FPSCR that the manual leaves undefined.
    pub ignore: u64,
}

/// The model's result; `None` when there is no model for the instruction, or it leaves this vector alone.
pub fn model(v: &Vector) -> Option<Expected> {
    // A prefixed instruction over a 64-byte boundary has an interrupt of its own.
    if !v.pr || v.insn.prefix != 0 && v.at & 63 == 60 {
        return None;
    }
    let found = match v.row.chapter {
        "fixed" | "cr_spr" | "branch" => fixed::model(v),
        "load_store" => storage::model(v),
        "vsx" | "vmx" => storage::model(v).or_else(|| special::model(v)).or_else(|| vector::model(v)),
        "vmx_int" | "vmx_bits" => special::model(v).or_else(|| vector::model(v)),
        "fp" | "vsx_fp" => float::model(v).or_else(|| compare::model(v)).or_else(|| convert::model(v)),
        "vmx_fp" => compare::model(v).or_else(|| convert::model(v)),
        "dfp" => decimal::model(v),
        "mma" => outer::model(v),
        _ => None,
    };
    found.or_else(|| rest::model(v))
}

/// Where our result is not the model's.
pub fn wrong(v: &Vector, ours: &Output, e: Expected) -> Vec<Difference> {
    let mut want = e.out;
    if e.values_only {
        // An enabled exception may leave the target.
        if ours.end != want.end {
            return Vec::new();
        }
        (want.state.fpscr, want.state.cr, want.state.vscr) =
            (ours.state.fpscr, ours.state.cr, ours.state.vscr);
    }
    undefined::clear(v, &mut want);
    want.state.fpscr = want.state.fpscr & !e.ignore | ours.state.fpscr & e.ignore;
    differences(ours, &want)
}

/// The result of doing nothing.
fn start(v: &Vector) -> Output {
    let mut state = v.input.clone();
    if v.model == "power8" {
        // No OV32 and CA32 there.
        state.xer &= !0xc_0000;
    }
    Output { end: End::Next(v.at + v.insn.len()), state, whole: 0 }
}

fn exact(out: Output) -> Option<Expected> {
    Some(Expected { out, values_only: false, ignore: 0 })
}
