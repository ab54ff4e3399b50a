//! VMX floating point (Book I, 6.10): four singles, no FPSCR.
#![allow(missing_docs)] // each function is the instruction of its name

use crate::{
    Builder, Facility, Insn,
    fp::{FpForm, FpInsn, FpOp, FpOp::*, IntTy::*, Rint, fp_fns},
};

macro_rules! vmx_fp_rows {
    ($k:ident [$($rest:ident)*] {$($acc:tt)*}) => { $k!{ [$($rest)*] { $($acc)* vmx_fp {
        Vaddfp    "vaddfp"    vx(10)               V2_06 "VRT,VRA,VRB"     vaddfp;
        Vcfsx     "vcfsx"     vx(842)              V2_06 "VRT,VRB,UIM"     vcfsx;
        Vcfux     "vcfux"     vx(778)              V2_06 "VRT,VRB,UIM"     vcfux;
        Vcmpbfp   "vcmpbfp"   vc(966)              V2_06 "VRT,VRA,VRB"     vcmpbfp;
        Vcmpeqfp  "vcmpeqfp"  vc(198)              V2_06 "VRT,VRA,VRB"     vcmpeqfp;
        Vcmpgefp  "vcmpgefp"  vc(454)              V2_06 "VRT,VRA,VRB"     vcmpgefp;
        Vcmpgtfp  "vcmpgtfp"  vc(710)              V2_06 "VRT,VRA,VRB"     vcmpgtfp;
        Vctsxs    "vctsxs"    vx(970)              V2_06 "VRT,VRB,UIM"     vctsxs;
        Vctuxs    "vctuxs"    vx(906)              V2_06 "VRT,VRB,UIM"     vctuxs;
        Vexptefp  "vexptefp"  vx(394)              V2_06 "VRT,VRB"         vexptefp;
        Vlogefp   "vlogefp"   vx(458)              V2_06 "VRT,VRB"         vlogefp;
        Vmaddfp   "vmaddfp"   va(46)               V2_06 "VRT,VRA,VRC,VRB" vmaddfp;
        Vmaxfp    "vmaxfp"    vx(1034)             V2_06 "VRT,VRA,VRB"     vmaxfp;
        Vminfp    "vminfp"    vx(1098)             V2_06 "VRT,VRA,VRB"     vminfp;
        Vnmsubfp  "vnmsubfp"  va(47)               V2_06 "VRT,VRA,VRC,VRB" vnmsubfp;
        Vrefp     "vrefp"     vx(266)              V2_06 "VRT,VRB"         vrefp;
        Vrfim     "vrfim"     vx(714)              V2_06 "VRT,VRB"         vrfim;
        Vrfin     "vrfin"     vx(522)              V2_06 "VRT,VRB"         vrfin;
        Vrfip     "vrfip"     vx(650)              V2_06 "VRT,VRB"         vrfip;
        Vrfiz     "vrfiz"     vx(586)              V2_06 "VRT,VRB"         vrfiz;
        Vrsqrtefp "vrsqrtefp" vx(330)              V2_06 "VRT,VRB"         vrsqrtefp;
        Vsubfp    "vsubfp"    vx(74)               V2_06 "VRT,VRA,VRB"     vsubfp;
    } } } };
}
pub(crate) use vmx_fp_rows;

/// Rc of vector compares (bit 21) records into CR6.
fn v_cmp_rc(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.vrt() + 32, i.vra() + 32, i.vrb() + 32, 0, i.bit(21))
}
fn v_ab(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.vrt() + 32, i.vra() + 32, i.vrb() + 32, 0, false)
}
fn v_acb(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.vrt() + 32, i.vra() + 32, i.vrb() + 32, i.vrc() + 32, false)
}
fn v_b(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.vrt() + 32, 32, i.vrb() + 32, 0, false)
}
fn v_imm(i: Insn, op: FpOp, form: FpForm) -> FpInsn {
    FpInsn::new(op, form, i.vrt() + 32, 32, i.vrb() + 32, i.uim5(), false)
}

fp_fns! {
    vaddfp: Vec, v_ab, Add, Vmx;
    vcfsx: Vec, v_imm, FromInt(I32), Vmx;
    vcfux: Vec, v_imm, FromInt(U32), Vmx;
    vcmpbfp: Vec, v_cmp_rc, CmpB, Vmx;
    vcmpeqfp: Vec, v_cmp_rc, CmpEq, Vmx;
    vcmpgefp: Vec, v_cmp_rc, CmpGe, Vmx;
    vcmpgtfp: Vec, v_cmp_rc, CmpGt, Vmx;
    vctsxs: Vec, v_imm, ToInt(I32, true), Vmx;
    vctuxs: Vec, v_imm, ToInt(U32, true), Vmx;
    vexptefp: Vec, v_b, Exp2e, Vmx;
    vlogefp: Vec, v_b, Log2e, Vmx;
    vmaddfp: Vec, v_acb, Madd, Vmx;
    vmaxfp: Vec, v_ab, Max, Vmx;
    vminfp: Vec, v_ab, Min, Vmx;
    vnmsubfp: Vec, v_acb, Nmsub, Vmx;
    vrefp: Vec, v_b, Re, Vmx;
    vrfim: Vec, v_b, Rint(Rint::Down), Vmx;
    vrfin: Vec, v_b, Rint(Rint::Even), Vmx;
    vrfip: Vec, v_b, Rint(Rint::Up), Vmx;
    vrfiz: Vec, v_b, Rint(Rint::Zero), Vmx;
    vrsqrtefp: Vec, v_b, Rsqrte, Vmx;
    vsubfp: Vec, v_ab, Sub, Vmx;
}

#[cfg(test)]
mod tests {
    use crate::ROWS;

    #[test]
    fn every_instruction_of_the_chapter_has_a_row() {
        let names = "\
            vaddfp vcfsx vcfux vcmpbfp vcmpeqfp vcmpgefp vcmpgtfp vctsxs vctuxs vexptefp vlogefp \
            vmaddfp vmaxfp vminfp vnmsubfp vrefp vrfim vrfin vrfip vrfiz vrsqrtefp vsubfp";
        for name in names.split_whitespace() {
            assert!(ROWS.iter().any(|r| r.mnemonic == name), "{name} has no row");
        }
    }
}
