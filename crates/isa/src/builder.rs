//! The language in which instruction semantics are written, once, for every engine.
//!
//! A semantic function is generic over a [`Builder`]. What is known when the instruction is decoded (fields, mode
//! bits, the processor's level) is plain Rust; what is known only when the guest runs is an opaque [`Builder::V`],
//! [`Builder::W`] or [`Builder::C`], so Rust code can not branch on guest data by accident. An interpreter computes
//! with the values, a translator emits code for them, [`crate::audit::Audit`] records what is touched.
//!
//! Order inside an instruction: read, compute, access memory, then write registers. Every primitive that can leave
//! the instruction returns `Result<_, Stop>` and must be followed by `?` before the first register is written.

use crate::{
    Helper, Insn,
    fp::FpInsn,
    wide::{W1, W2, W3},
};

/// Power ISA version whose instructions a processor model (or its compatibility mode) has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Level {
    /// Version 2.06 and everything before it (POWER7).
    #[default]
    V2_06,
    /// Version 2.07 (POWER8).
    V2_07,
    /// Version 3.0B (POWER9).
    V3_0,
    /// Version 3.1 (POWER10).
    V3_1,
}

/// The part of the machine state that translated code depends on: MSR bits and the ISA level.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Mode {
    /// MSR[SF]: 64-bit mode.
    pub sf: bool,
    /// MSR[LE]: little-endian data and instructions.
    pub le: bool,
    /// MSR[PR]: problem state.
    pub pr: bool,
    /// MSR[FP]: floating point available.
    pub fp: bool,
    /// MSR[VEC]: VMX available.
    pub vec: bool,
    /// MSR[VSX]: VSX available.
    pub vsx: bool,
    /// MSR[FE0] or MSR[FE1]: enabled floating-point exceptions interrupt.
    pub fe: bool,
    /// Instructions that exist.
    pub level: Level,
}

/// A facility whose MSR bit may be off (Book III, interrupts 0x800, 0xF20, 0xF40).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Facility {
    /// Floating-point unavailable.
    Fp,
    /// Vector unavailable.
    Vec,
    /// VSX unavailable.
    Vsx,
}

/// Carry-in of [`Builder::add_xer`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CarryIn {
    /// 0
    Zero,
    /// 1
    One,
    /// XER[CA]
    Ca,
}

/// Relations between two values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rel {
    /// equal
    Eq,
    /// not equal
    Ne,
    /// signed less than
    Lts,
    /// signed greater than
    Gts,
    /// unsigned less than
    Ltu,
    /// unsigned greater than
    Gtu,
}

/// Two-operand integer operations on 64-bit values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op2 {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// low half of a * b
    Mul,
    /// high half of the signed product
    Mulhs,
    /// high half of the unsigned product
    Mulhu,
    /// signed quotient; 0 where the quotient is not representable or b is 0
    Divs,
    /// unsigned quotient; 0 where b is 0
    Divu,
    /// signed 32-bit quotient of the low words, zero-extended; 0 where not representable
    DivsW,
    /// unsigned 32-bit quotient of the low words; 0 where b is 0
    DivuW,
    /// signed remainder; 0 where undefined
    Rems,
    /// unsigned remainder; 0 where undefined
    Remu,
    /// signed 32-bit remainder of the low words, sign-extended; 0 where undefined
    RemsW,
    /// unsigned 32-bit remainder of the low words; 0 where undefined
    RemuW,
    /// a & b
    And,
    /// a | b
    Or,
    /// a ^ b
    Xor,
    /// a & !b
    Andc,
    /// a | !b
    Orc,
    /// !(a & b)
    Nand,
    /// !(a | b)
    Nor,
    /// !(a ^ b)
    Eqv,
    /// a shifted left by b & 63
    Shl,
    /// a shifted right by b & 63, zeros in
    Shr,
    /// a shifted right by b & 63, sign in
    Sar,
    /// a rotated left by b & 63
    Rotl,
    /// low word of a rotated left by b & 31, zero-extended
    RotlW,
}

/// One-operand integer operations on 64-bit values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op1 {
    /// bitwise complement
    Not,
    /// two's complement
    Neg,
    /// sign-extended byte
    Exts8,
    /// sign-extended halfword
    Exts16,
    /// sign-extended word
    Exts32,
    /// zero-extended byte
    Extu8,
    /// zero-extended halfword
    Extu16,
    /// zero-extended word
    Extu32,
    /// leading zeros of the doubleword
    Clz64,
    /// leading zeros of the low word
    Clz32,
    /// trailing zeros of the doubleword
    Ctz64,
    /// trailing zeros of the low word
    Ctz32,
    /// ones in each byte
    Popcnt8,
    /// ones in each word
    Popcnt32,
    /// ones in the doubleword
    Popcnt64,
    /// bytes of the doubleword reversed
    Bswap64,
    /// bytes of each word reversed
    Bswap32,
    /// bytes of each halfword reversed
    Bswap16,
}

/// Two-operand operations seldom met, computed by [`crate::rare::eval`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // each is the instruction of its name
pub enum Rare2 {
    Cntlzdm,
    Cnttzdm,
    Cfuged,
    Pdepd,
    Pextd,
    Addg6s,
    Cdtbcd,
    Cbcdtd,
}

/// How a scalar of memory is accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acc {
    /// 1, 2, 4 or 8 bytes.
    pub size: u8,
    /// Loads: sign-extend.
    pub signed: bool,
    /// Byte-reversed relative to the mode's byte order.
    pub rev: bool,
}

impl Acc {
    /// Zero-extending access of `size` bytes in the mode's byte order.
    pub const fn u(size: u8) -> Self {
        Acc { size, signed: false, rev: false }
    }
    /// Sign-extending access of `size` bytes.
    pub const fn s(size: u8) -> Self {
        Acc { size, signed: true, rev: false }
    }
    /// Byte-reversed access of `size` bytes.
    pub const fn r(size: u8) -> Self {
        Acc { size, signed: false, rev: true }
    }
}

/// Element size, in bytes, of a 16-byte vector access: each element is in the mode's byte order, element 0 at the
/// lowest address (16: the quadword as a whole).
pub type Lane = u8;

/// Memory barriers (Book II, 4.6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Barrier {
    /// `sync` / `hwsync` / `ptesync`
    Full,
    /// `lwsync`
    Light,
    /// `eieio`
    Io,
    /// `isync`: context synchronizing, instructions are fetched anew
    Instruction,
}

/// Why a program interrupt is raised (SRR1 bits 42..47 of Book III 7.5.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// SRR1[44]: the instruction does not exist (also raised as HEAI by real hardware for a partition).
    Illegal,
    /// SRR1[45]: privileged instruction in problem state.
    Privileged,
    /// SRR1[46]: trap instruction.
    Trap,
}

/// An engine, seen by the semantics of an instruction.
pub trait Builder {
    /// A 64-bit value.
    type V: Copy;
    /// A 128-bit value; its most significant byte is byte 0 of the register.
    type W: Copy;
    /// A truth value.
    type C: Copy;
    /// Reason to leave the instruction.
    type Stop;

    // ---- context, known at decode time ----
    /// Mode bits in force.
    fn mode(&self) -> Mode;
    /// Address of the current instruction.
    fn cia(&self) -> u64;

    /// Address of the current instruction plus `n`, not truncated in 32-bit mode.
    #[inline(always)]
    fn cia_plus(&mut self, n: i64) -> Self::V {
        let v = self.cia().wrapping_add(n as u64);
        self.imm(v)
    }

    // ---- leaving ----
    /// A program interrupt.
    fn program(&mut self, why: Program) -> Self::Stop;
    /// A facility-unavailable interrupt.
    fn unavailable(&mut self, f: Facility) -> Self::Stop;
    /// An alignment interrupt for the access at `ea`.
    fn alignment(&mut self, ea: Self::V) -> Self::Stop;
    /// The encoding is defined but this program has no semantics for it: reported by name once, then the program
    /// interrupt of an illegal instruction.
    fn absent(&mut self, i: Insn) -> Self::Stop;
    /// Trap (program interrupt, SRR1[46]) when `c`.
    fn trap_if(&mut self, c: Self::C) -> Result<(), Self::Stop>;

    // ---- integer values ----
    /// A constant.
    fn imm(&mut self, x: u64) -> Self::V;
    /// One-operand operation.
    fn op1(&mut self, op: Op1, a: Self::V) -> Self::V;
    /// Two-operand operation.
    fn op2(&mut self, op: Op2, a: Self::V, b: Self::V) -> Self::V;
    /// Two-operand operation with a constant.
    #[inline(always)]
    fn op2i(&mut self, op: Op2, a: Self::V, b: u64) -> Self::V {
        let b = self.imm(b);
        self.op2(op, a, b)
    }
    /// Two-operand operation seldom met.
    fn rare2(&mut self, op: Rare2, a: Self::V, b: Self::V) -> Self::V;
    /// Quotient of (`a` followed by 64 zeros) by `b` and whether it is not representable; the quotient is then 0.
    fn divide_ext(&mut self, a: Self::V, b: Self::V, signed: bool) -> (Self::V, Self::C);
    /// `a rel b`, 64-bit.
    fn rel(&mut self, r: Rel, a: Self::V, b: Self::V) -> Self::C;
    /// Bit `n` of `a`, 0 = least significant.
    fn test_bit(&mut self, a: Self::V, n: u32) -> Self::C;
    /// `c ? a : b`
    fn select(&mut self, c: Self::C, a: Self::V, b: Self::V) -> Self::V;
    /// 1 when `c`, else 0.
    fn c_value(&mut self, c: Self::C) -> Self::V;
    /// A constant condition.
    fn c_const(&mut self, c: bool) -> Self::C;
    /// a && b
    fn c_and(&mut self, a: Self::C, b: Self::C) -> Self::C;
    /// a || b
    fn c_or(&mut self, a: Self::C, b: Self::C) -> Self::C;
    /// a != b
    fn c_xor(&mut self, a: Self::C, b: Self::C) -> Self::C;
    /// !a
    fn c_not(&mut self, a: Self::C) -> Self::C;

    // ---- fixed-point registers ----
    /// GPR `n`.
    fn gpr(&mut self, n: u32) -> Self::V;
    /// Write GPR `n`.
    fn set_gpr(&mut self, n: u32, v: Self::V);
    /// Link register.
    fn lr(&mut self) -> Self::V;
    /// Write the link register.
    fn set_lr(&mut self, v: Self::V);
    /// Count register.
    fn ctr(&mut self) -> Self::V;
    /// Write the count register.
    fn set_ctr(&mut self, v: Self::V);
    /// Target address register (facility unavailable when FSCR[TAR] is off).
    fn tar(&mut self) -> Result<Self::V, Self::Stop>;

    // ---- condition register ----
    /// CR field `n` as LT, GT, EQ, SO in bits 3..0.
    fn cr_field(&mut self, n: u32) -> Self::V;
    /// Write CR field `n` from the low four bits.
    fn set_cr_field(&mut self, n: u32, v: Self::V);
    /// CR bit `n` (0..32, 0 = LT of CR0).
    fn cr_bit(&mut self, n: u32) -> Self::C;
    /// Write CR bit `n`.
    fn set_cr_bit(&mut self, n: u32, c: Self::C);
    /// Compare `a` with `b` into CR field `n`, XER[SO] into its last bit; `wide`: doublewords, else low words.
    fn cr_compare(&mut self, n: u32, signed: bool, wide: bool, a: Self::V, b: Self::V);
    /// The whole CR in the low word.
    fn cr(&mut self) -> Self::V;

    // ---- XER ----
    /// XER as `mfxer` gives it.
    fn xer(&mut self) -> Self::V;
    /// Write XER as `mtxer` does.
    fn set_xer(&mut self, v: Self::V);
    /// XER[SO].
    fn so(&mut self) -> Self::C;
    /// XER[CA].
    fn ca(&mut self) -> Self::C;
    /// Write XER[OV], XER[OV32] (from level 3.0) and accumulate XER[SO].
    fn set_ov(&mut self, ov: Self::C, ov32: Self::C);
    /// Write XER[CA] and XER[CA32] (from level 3.0).
    fn set_ca(&mut self, ca: Self::C, ca32: Self::C);
    /// `a + b + carry`, recording carry (`ca`) and signed overflow (`ov`, with SO) in XER. In 32-bit mode CA and OV
    /// describe the low word.
    fn add_xer(&mut self, a: Self::V, b: Self::V, cin: CarryIn, ca: bool, ov: bool) -> Self::V;

    // ---- control flow (last in an instruction) ----
    /// Continue at a constant address (not yet truncated to 32 bits).
    fn jump(&mut self, target: u64);
    /// Continue at a constant address when `c`, else after this instruction.
    fn jump_if(&mut self, c: Self::C, target: u64);
    /// Continue at the address of this instruction plus `n`.
    #[inline(always)]
    fn jump_rel(&mut self, n: i64) {
        let target = self.cia().wrapping_add(n as u64);
        self.jump(target);
    }
    /// Continue at the address of this instruction plus `n` when `c`, else after this instruction.
    #[inline(always)]
    fn jump_rel_if(&mut self, c: Self::C, n: i64) {
        let target = self.cia().wrapping_add(n as u64);
        self.jump_if(c, target);
    }
    /// Continue at the address in `v` (low two bits ignored) when `c` (always when `None`).
    fn jump_to(&mut self, c: Option<Self::C>, v: Self::V);

    // ---- memory: effective addresses are already truncated in 32-bit mode by `crate::load_store::ea_*` ----
    /// Load a scalar.
    fn load(&mut self, ea: Self::V, acc: Acc) -> Result<Self::V, Self::Stop>;
    /// Store a scalar.
    fn store(&mut self, ea: Self::V, v: Self::V, acc: Acc) -> Result<(), Self::Stop>;
    /// Load 16 bytes as elements of `lane` bytes.
    fn load_w(&mut self, ea: Self::V, lane: Lane) -> Result<Self::W, Self::Stop>;
    /// Store 16 bytes as elements of `lane` bytes.
    fn store_w(&mut self, ea: Self::V, v: Self::W, lane: Lane) -> Result<(), Self::Stop>;
    /// Load a quadword (`lq`) as one number in the mode's byte order; unaligned: alignment interrupt.
    fn load_q(&mut self, ea: Self::V) -> Result<Self::W, Self::Stop>;
    /// Store a quadword (`stq`) as one number in the mode's byte order; unaligned: alignment interrupt.
    fn store_q(&mut self, ea: Self::V, v: Self::W) -> Result<(), Self::Stop>;
    /// Load `n` (0 to 16) bytes, the rest zero. `lane` 1: to the left end of the register in the order of memory; 16:
    /// to its right end as a number in the mode's byte order in little-endian mode, else as for 1.
    fn load_part(&mut self, ea: Self::V, n: Self::V, lane: Lane) -> Result<Self::W, Self::Stop>;
    /// Store `n` (0 to 16) bytes, taken from where [`Builder::load_part`] puts them.
    fn store_part(&mut self, ea: Self::V, v: Self::W, n: Self::V, lane: Lane) -> Result<(), Self::Stop>;
    /// Load and reserve `size` bytes (1, 2, 4, 8). Unaligned: alignment interrupt.
    fn larx(&mut self, ea: Self::V, size: u8) -> Result<Self::V, Self::Stop>;
    /// Store conditional; true when stored.
    fn stcx(&mut self, ea: Self::V, v: Self::V, size: u8) -> Result<Self::C, Self::Stop>;
    /// Quadword load and reserve: the 16 bytes as one number in the mode's byte order.
    fn lqarx(&mut self, ea: Self::V) -> Result<Self::W, Self::Stop>;
    /// Quadword store conditional.
    fn stqcx(&mut self, ea: Self::V, v: Self::W) -> Result<Self::C, Self::Stop>;
    /// Set the cache block (128 bytes) holding `ea` to zero.
    fn dcbz(&mut self, ea: Self::V) -> Result<(), Self::Stop>;
    /// Memory barrier.
    fn barrier(&mut self, k: Barrier);

    // ---- vector and floating-point registers ----
    /// Doubleword 0 of VSR `n`: FPR `n` for n < 32.
    fn fpr(&mut self, n: u32) -> Self::V;
    /// Write FPR `n`; doubleword 1 of the VSR becomes 0.
    fn set_fpr(&mut self, n: u32, v: Self::V);
    /// VSR `n` (0..64); VR `n` is VSR `n + 32`.
    fn vsr(&mut self, n: u32) -> Self::W;
    /// Write VSR `n`.
    fn set_vsr(&mut self, n: u32, w: Self::W);
    /// DOUBLE of the manual (Book I, 4.6.2): the single in the low word to double format, changing no NaN.
    fn single_to_double(&mut self, v: Self::V) -> Self::V;
    /// SINGLE of the manual (Book I, 4.6.3): a double to single format for storing, without rounding.
    fn double_to_single(&mut self, v: Self::V) -> Self::V;
    /// A 128-bit constant.
    fn w_imm(&mut self, x: u128) -> Self::W;
    /// Doublewords `hi` (0) and `lo` (1) side by side.
    fn w_pair(&mut self, hi: Self::V, lo: Self::V) -> Self::W;
    /// Doubleword 0.
    fn w_hi(&mut self, w: Self::W) -> Self::V;
    /// Doubleword 1.
    fn w_lo(&mut self, w: Self::W) -> Self::V;
    /// One-operand vector operation.
    fn w1(&mut self, op: W1, a: Self::W) -> Self::W;
    /// Two-operand vector operation.
    fn w2(&mut self, op: W2, a: Self::W, b: Self::W) -> Self::W;
    /// Three-operand vector operation.
    fn w3(&mut self, op: W3, a: Self::W, b: Self::W, c: Self::W) -> Self::W;
    /// Two-operand saturating vector operation: sets VSCR[SAT] when an element saturated.
    fn w2_sat(&mut self, op: W2, a: Self::W, b: Self::W) -> Self::W;
    /// Three-operand saturating vector operation: sets VSCR[SAT] when an element saturated.
    fn w3_sat(&mut self, op: W3, a: Self::W, b: Self::W, c: Self::W) -> Self::W;
    /// CR6 from the mask of a vector comparison: LT when it is all ones, EQ when all zeros.
    #[inline(always)]
    fn cr6_from_mask(&mut self, w: Self::W) {
        let (hi, lo) = (self.w_hi(w), self.w_lo(w));
        let (all, any) = (self.op2(Op2::And, hi, lo), self.op2(Op2::Or, hi, lo));
        let (ones, zero) = (self.imm(u64::MAX), self.imm(0));
        let (all, none) = (self.rel(Rel::Eq, all, ones), self.rel(Rel::Eq, any, zero));
        let (all, none) = (self.c_value(all), self.c_value(none));
        let (all, none) = (self.op2i(Op2::Shl, all, 3), self.op2i(Op2::Shl, none, 1));
        let field = self.op2(Op2::Or, all, none);
        self.set_cr_field(6, field);
    }
    /// A whole floating-point instruction, register operands to register results with its FPSCR effects (and CR1, CR
    /// field or XER results), including the floating-point enabled program interrupt.
    fn fp_insn(&mut self, f: FpInsn) -> Result<(), Self::Stop>;

    // ---- everything rare ----
    /// A whole rare instruction as a named helper of the processor.
    fn helper(&mut self, h: Helper, i: Insn) -> Result<(), Self::Stop>;

    // ---- conveniences, the same for every engine ----
    /// Leave unless the facility's MSR bit is on.
    #[inline(always)]
    fn need(&mut self, f: Facility) -> Result<(), Self::Stop> {
        let m = self.mode();
        let on = match f {
            Facility::Fp => m.fp,
            Facility::Vec => m.vec,
            Facility::Vsx => m.vsx,
        };
        if on { Ok(()) } else { Err(self.unavailable(f)) }
    }
    /// Leave with a privileged-instruction program interrupt in problem state.
    #[inline(always)]
    fn need_privilege(&mut self) -> Result<(), Self::Stop> {
        if self.mode().pr { Err(self.program(Program::Privileged)) } else { Ok(()) }
    }
    /// Leave with an illegal-instruction program interrupt.
    #[inline(always)]
    fn illegal(&mut self) -> Result<(), Self::Stop> {
        Err(self.program(Program::Illegal))
    }
    /// Record CR0 from a result (Rc = 1): signed comparison with zero in the mode's width.
    #[inline(always)]
    fn cr0(&mut self, v: Self::V) {
        let zero = self.imm(0);
        let wide = self.mode().sf;
        self.cr_compare(0, true, wide, v, zero);
    }
}
