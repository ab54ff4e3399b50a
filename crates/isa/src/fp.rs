//! Scalar floating point (Book I, chapter 4): the description of one instruction handed to the engine.

/// Operation of a floating-point instruction, operands as in the manual's register-transfer text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum FpOp {
    Add,
}

/// One floating-point instruction: operation and register numbers (VSR numbers; FPR n is VSR n).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FpInsn {
    /// What to compute.
    pub op: FpOp,
    /// Target VSR (or CR field).
    pub t: u8,
    /// Operand VSRs.
    pub a: u8,
    /// Operand B.
    pub b: u8,
    /// Operand C.
    pub c: u8,
    /// Copy FPSCR[FX,FEX,VX,OX] to CR1 (Rc).
    pub rc: bool,
}
