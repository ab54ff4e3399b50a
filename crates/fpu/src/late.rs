//! What a translator still owes the FPSCR: FR, FI and FPRF of the last scalar operation, computed when somebody looks.
//!
//! The exceptions of an operation are sticky and recorded by whoever carries it out; the rest of what it leaves
//! behind is overwritten by the next one and seldom read. So only its operands are kept.

use isa::fp::{FpForm, FpInsn, FpOp, IntTy, Rint};

use crate::fpscr::{FI, FPCC, FPRF, FPRF_SHIFT, FR};
use crate::{FpRegs, exec};

/// The last scalar operation, as far as the FPSCR does not show it yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Late {
    /// [`Late::code`] of the operation; 0: none.
    pub code: u32,
    /// 0x80 | FPCC of a compare that came after the operation; 0: none.
    pub fpcc: u8,
    /// 0x80 | FR << 1 | FI of a conversion to an integer that came after the operation; 0: none.
    pub frfi: u8,
    /// Nothing.
    pub unused: u16,
    /// Doubleword 0 of operands A, B and C.
    pub a: u64,
    /// B
    pub b: u64,
    /// C
    pub c: u64,
}

/// The operations that can be late.
const OPS: [FpOp; 17] = [
    FpOp::Add,
    FpOp::Sub,
    FpOp::Mul,
    FpOp::Div,
    FpOp::Sqrt,
    FpOp::Madd,
    FpOp::Msub,
    FpOp::Nmadd,
    FpOp::Nmsub,
    FpOp::RoundSp,
    FpOp::FromInt(IntTy::I64),
    FpOp::FromInt(IntTy::U64),
    FpOp::Rint(Rint::Zero),
    FpOp::Rint(Rint::Up),
    FpOp::Rint(Rint::Down),
    FpOp::Rint(Rint::Even),
    FpOp::Rint(Rint::Away),
];

/// Four registers and an FPSCR.
struct Apart {
    vsr: [u128; 4],
    fpscr: u64,
}

impl FpRegs for Apart {
    fn vsr(&self, n: usize) -> u128 {
        self.vsr[n & 3]
    }
    fn set_vsr(&mut self, n: usize, v: u128) {
        self.vsr[n & 3] = v;
    }
    fn fpscr(&self) -> u64 {
        self.fpscr
    }
    fn set_fpscr(&mut self, v: u64) {
        self.fpscr = v;
    }
    fn set_cr_field(&mut self, _: u32, _: u8) {}
    fn vscr(&self) -> u32 {
        0
    }
    fn set_vscr(&mut self, _: u32) {}
    fn msr_fe(&self) -> bool {
        false
    }
}

impl Late {
    /// The number of a scalar operation; `None`: it can not be late.
    pub fn code(op: FpOp, form: FpForm) -> Option<u32> {
        let single = match form {
            FpForm::F64 => 0,
            FpForm::F32 => 1,
            _ => return None,
        };
        OPS.iter().position(|&o| o == op).map(|n| 2 * n as u32 + 2 + single)
    }

    /// Whether the FPSCR is complete without it.
    pub fn is_none(&self) -> bool {
        (self.code, self.fpcc, self.frfi) == (0, 0, 0)
    }

    /// `fpscr` with what is owed to it.
    pub fn apply(&self, mut fpscr: u64) -> u64 {
        let at = (self.code as usize / 2).wrapping_sub(1);
        if let Some(&op) = OPS.get(at) {
            let form = if self.code & 1 == 0 { FpForm::F64 } else { FpForm::F32 };
            let [a, b, c] = [self.a, self.b, self.c].map(|x| (x as u128) << 64);
            let mut regs = Apart { vsr: [a, b, c, 0], fpscr };
            let insn = FpInsn { op, form, t: 3, a: 0, b: 1, c: 2, rc: false };
            // The interrupt of an enabled exception was not late.
            let _ = exec(&mut regs, insn);
            let fields = (FR | FI | FPRF) as u64;
            fpscr = fpscr & !fields | regs.fpscr & fields;
        }
        if self.fpcc & 0x80 != 0 {
            fpscr = fpscr & !(FPCC as u64) | ((self.fpcc & 15) as u64) << FPRF_SHIFT;
        }
        if self.frfi & 0x80 != 0 {
            fpscr &= !((FR | FI) as u64);
            fpscr |= if self.frfi & 2 != 0 { FR as u64 } else { 0 };
            fpscr |= if self.frfi & 1 != 0 { FI as u64 } else { 0 };
        }
        fpscr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_made_up_for() {
        let third = Late { a: 1f64.to_bits(), b: (-3f64).to_bits(), ..Late::default() };
        let late = Late { code: Late::code(FpOp::Div, FpForm::F64).unwrap(), ..third };
        // Inexact, not incremented, negative normal; what stood there before is gone.
        assert_eq!(late.apply(0x8204_5000), 0x8202_8000);
        let two = Late { code: Late::code(FpOp::Mul, FpForm::F64).unwrap(), ..third };
        assert_eq!(two.apply(0x8206_8000), 0x8200_8000, "exact");
        let compared = Late { fpcc: 0x82, ..late };
        assert_eq!(compared.apply(0), 0x0002_2000);
        let truncated = Late { frfi: 0x81, ..two };
        assert_eq!(truncated.apply(0), 0x0002_8000);
        assert!(Late::default().is_none() && !late.is_none());
        assert_eq!(Late::default().apply(0x1234), 0x1234);
        assert_eq!(Late::code(FpOp::Add, FpForm::V64), None);
    }
}
