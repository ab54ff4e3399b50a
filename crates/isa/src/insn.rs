//! An instruction word and its fields, named as the Power ISA names them (Book I, section 1.6).

/// One instruction: a 32-bit word, or a prefix word and its suffix word (ISA 3.1, Book I 1.6.3).
///
/// Field accessors read the suffix (or only) word; bit 0 is the most significant, as in the manual.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Insn {
    /// The word instruction, or the suffix of a prefixed one.
    pub raw: u32,
    /// The prefix word; 0 when there is none (0 is not a valid prefix).
    pub prefix: u32,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $first:literal .. $last:literal;)*) => {
        $($(#[$doc])* #[inline(always)] pub const fn $name(self) -> u32 { self.bits($first, $last) })*
    };
}

impl Insn {
    /// A word instruction.
    #[inline(always)]
    pub const fn new(raw: u32) -> Self {
        Insn { raw, prefix: 0 }
    }

    /// A prefixed instruction.
    #[inline(always)]
    pub const fn prefixed(prefix: u32, suffix: u32) -> Self {
        Insn { raw: suffix, prefix }
    }

    /// Length in bytes: 4 or 8.
    #[inline(always)]
    pub const fn len(self) -> u64 {
        if self.prefix != 0 { 8 } else { 4 }
    }

    /// Never true; present because there is a `len`.
    pub const fn is_empty(self) -> bool {
        false
    }

    /// Bits `first..=last` of the word, numbered from the most significant, as an unsigned number.
    #[inline(always)]
    pub const fn bits(self, first: u32, last: u32) -> u32 {
        (self.raw >> (31 - last)) & (u32::MAX >> (31 - (last - first)))
    }

    /// Bits `first..=last` of the prefix word.
    #[inline(always)]
    pub const fn pbits(self, first: u32, last: u32) -> u32 {
        (self.prefix >> (31 - last)) & (u32::MAX >> (31 - (last - first)))
    }

    /// One bit as a boolean.
    #[inline(always)]
    pub const fn bit(self, n: u32) -> bool {
        (self.raw >> (31 - n)) & 1 != 0
    }

    fields! {
        /// Primary opcode.
        po = 0 .. 5;
        /// Target GPR.
        rt = 6 .. 10;
        /// Source GPR.
        rs = 6 .. 10;
        /// Operand GPR A.
        ra = 11 .. 15;
        /// Operand GPR B.
        rb = 16 .. 20;
        /// Operand GPR C.
        rc_reg = 21 .. 25;
        /// Target FPR.
        frt = 6 .. 10;
        /// Operand FPR A.
        fra = 11 .. 15;
        /// Operand FPR B.
        frb = 16 .. 20;
        /// Operand FPR C.
        frc = 21 .. 25;
        /// Target VR.
        vrt = 6 .. 10;
        /// Operand VR A.
        vra = 11 .. 15;
        /// Operand VR B.
        vrb = 16 .. 20;
        /// Operand VR C.
        vrc = 21 .. 25;
        /// Trap conditions.
        to = 6 .. 10;
        /// Branch options.
        bo = 6 .. 10;
        /// CR bit tested by a branch.
        bi = 11 .. 15;
        /// Branch hint.
        bh = 19 .. 20;
        /// Target CR bit.
        bt = 6 .. 10;
        /// Operand CR bit A.
        ba = 11 .. 15;
        /// Operand CR bit B.
        bb = 16 .. 20;
        /// Target CR or FPSCR field.
        bf = 6 .. 8;
        /// Source CR or FPSCR field.
        bfa = 11 .. 13;
        /// Unsigned 16-bit immediate.
        ui = 16 .. 31;
        /// Five-bit shift amount.
        sh32 = 16 .. 20;
        /// First mask bit of a word rotate.
        mb32 = 21 .. 25;
        /// Last mask bit of a word rotate.
        me32 = 26 .. 30;
        /// CR field mask.
        fxm = 12 .. 19;
        /// Byte count of string moves.
        nb = 16 .. 20;
        /// Field mask of `mtfsf`.
        flm = 7 .. 14;
        /// Immediate of `mtfsfi`.
        u4 = 16 .. 19;
        /// Element number or 5-bit immediate in the A position (vector splats, extracts).
        uim5 = 11 .. 15;
        /// Shift count of `vsldoi`.
        shb = 22 .. 25;
        /// Level of `sc` and `scv`.
        lev = 20 .. 26;
    }

    /// Signed 16-bit immediate or displacement, sign-extended.
    #[inline(always)]
    pub const fn si(self) -> i64 {
        self.raw as i16 as i64
    }

    /// DS-form displacement (low two bits zero), sign-extended.
    #[inline(always)]
    pub const fn ds(self) -> i64 {
        (self.raw as i16 & !3) as i64
    }

    /// DQ-form displacement (low four bits zero), sign-extended.
    #[inline(always)]
    pub const fn dq(self) -> i64 {
        (self.raw as i16 & !15) as i64
    }

    /// I-form branch displacement, sign-extended.
    #[inline(always)]
    pub const fn li(self) -> i64 {
        (((self.raw & 0x03ff_fffc) << 6) as i32 >> 6) as i64
    }

    /// B-form branch displacement, sign-extended.
    #[inline(always)]
    pub const fn bd(self) -> i64 {
        (self.raw as i16 & !3) as i64
    }

    /// DX-form immediate of `addpcis`: d0 || d1 || d2, sign-extended.
    #[inline(always)]
    pub const fn dx(self) -> i64 {
        (((self.bits(16, 25) << 6) | (self.bits(11, 15) << 1) | self.bits(31, 31)) as i16) as i64
    }

    /// 34-bit displacement of a prefixed instruction (prefix d0, suffix d1), sign-extended.
    #[inline(always)]
    pub const fn d34(self) -> i64 {
        ((((self.prefix & 0x3_ffff) as u64) << 16 | (self.raw & 0xffff) as u64) << 30) as i64 >> 30
    }

    /// The R bit of an 8LS/MLS prefix: addressing relative to the instruction.
    #[inline(always)]
    pub const fn pcrel(self) -> bool {
        (self.prefix >> 20) & 1 != 0
    }

    /// 32-bit immediate of 8RR prefixed instructions (`xxsplti*`).
    #[inline(always)]
    pub const fn imm32(self) -> u32 {
        (self.prefix & 0xffff) << 16 | (self.raw & 0xffff)
    }

    /// The record bit: update CR0, CR1 or nothing.
    #[inline(always)]
    pub const fn rc(self) -> bool {
        self.raw & 1 != 0
    }

    /// The link bit of branches.
    #[inline(always)]
    pub const fn lk(self) -> bool {
        self.raw & 1 != 0
    }

    /// The absolute-address bit of branches.
    #[inline(always)]
    pub const fn aa(self) -> bool {
        self.raw & 2 != 0
    }

    /// The overflow-enable bit of XO-form.
    #[inline(always)]
    pub const fn oe(self) -> bool {
        self.bit(21)
    }

    /// The 64-bit comparison bit.
    #[inline(always)]
    pub const fn l(self) -> bool {
        self.bit(10)
    }

    /// SPR number (the two halves swapped back).
    #[inline(always)]
    pub const fn spr(self) -> u32 {
        self.bits(16, 20) << 5 | self.bits(11, 15)
    }

    /// Six-bit shift amount of MD/XS-form.
    #[inline(always)]
    pub const fn sh64(self) -> u32 {
        self.bits(30, 30) << 5 | self.bits(16, 20)
    }

    /// Six-bit mask begin or end of MD/MDS-form.
    #[inline(always)]
    pub const fn mb64(self) -> u32 {
        self.bits(26, 26) << 5 | self.bits(21, 25)
    }

    /// Target VSR, TX at bit 31 (XX1, XX2, XX3).
    #[inline(always)]
    pub const fn xt(self) -> u32 {
        self.bits(31, 31) << 5 | self.bits(6, 10)
    }

    /// Operand VSR A, AX at bit 29.
    #[inline(always)]
    pub const fn xa(self) -> u32 {
        self.bits(29, 29) << 5 | self.bits(11, 15)
    }

    /// Operand VSR B, BX at bit 30.
    #[inline(always)]
    pub const fn xb(self) -> u32 {
        self.bits(30, 30) << 5 | self.bits(16, 20)
    }

    /// Operand VSR C, CX at bit 28 (XX4).
    #[inline(always)]
    pub const fn xc(self) -> u32 {
        self.bits(28, 28) << 5 | self.bits(21, 25)
    }

    /// Target VSR of DQ-form `lxv`/`stxv`, TX at bit 28.
    #[inline(always)]
    pub const fn xt_dq(self) -> u32 {
        self.bits(28, 28) << 5 | self.bits(6, 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_the_manual() {
        let i = Insn::new(0x3860_ffff); // li r3,-1
        assert_eq!((i.po(), i.rt(), i.ra(), i.si()), (14, 3, 0, -1));
        let i = Insn::new(0x7c08_02a6); // mflr r0
        assert_eq!((i.po(), i.rt(), i.spr()), (31, 0, 8));
        let i = Insn::new(0x4bff_fffc); // b .-4
        assert_eq!(i.li(), -4);
        let i = Insn::new(0x7863_0020); // clrldi r3,r3,32
        assert_eq!((i.sh64(), i.mb64()), (0, 32));
        let i = Insn::prefixed(0x0610_0000 | 0x3_ffff, 0xe460_fff8); // pld r3,-8(pc) form
        assert_eq!((i.d34(), i.len()), (-8, 8));
    }
}
