//! An x86-64 assembler of just the instructions the emitter uses, into a slice.

/// A general register by its hardware number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct R(pub u8);

/// An SSE register by its hardware number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct X(pub u8);

pub const RAX: R = R(0);
pub const RCX: R = R(1);
pub const RDX: R = R(2);
pub const RBX: R = R(3);
pub const RSP: R = R(4);
pub const RBP: R = R(5);
pub const RSI: R = R(6);
pub const RDI: R = R(7);
pub const R14: R = R(14);
pub const R15: R = R(15);

/// Condition codes of `jcc`, `setcc`, `cmovcc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(dead_code)]
pub enum Cc {
    O = 0,
    No = 1,
    B = 2,
    Ae = 3,
    E = 4,
    Ne = 5,
    Be = 6,
    A = 7,
    S = 8,
    Ns = 9,
    P = 10,
    Np = 11,
    L = 12,
    Ge = 13,
    Le = 14,
    G = 15,
}

impl Cc {
    /// The opposite condition.
    pub fn not(self) -> Cc {
        const ALL: [Cc; 16] = [
            Cc::O,
            Cc::No,
            Cc::B,
            Cc::Ae,
            Cc::E,
            Cc::Ne,
            Cc::Be,
            Cc::A,
            Cc::S,
            Cc::Ns,
            Cc::P,
            Cc::Np,
            Cc::L,
            Cc::Ge,
            Cc::Le,
            Cc::G,
        ];
        ALL[(self as usize) ^ 1]
    }
}

/// A memory operand: base, optional index and displacement.
#[derive(Clone, Copy, Debug)]
pub struct M {
    pub base: R,
    pub index: Option<(R, u8)>,
    pub disp: i32,
}

/// `[base + disp]`
pub fn m(base: R, disp: i32) -> M {
    M { base, index: None, disp }
}

/// `[base + index + disp]`
pub fn mx(base: R, index: R, disp: i32) -> M {
    M { base, index: Some((index, 0)), disp }
}

/// Two-operand arithmetic by its number in the instruction set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Alu {
    Add = 0,
    Or = 1,
    Adc = 2,
    Sbb = 3,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts by their number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Sh {
    Rol = 0,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// Writes instructions at `pos` of `buf`; what does not fit is dropped, and `pos` then is past the end.
pub struct Asm<'a> {
    pub buf: &'a mut [u8],
    pub pos: usize,
}

/// Instructions that do nothing, by length.
const NOPS: [&[u8]; 8] = [
    &[],
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
];

impl Asm<'_> {
    #[inline(always)]
    pub fn b(&mut self, x: u8) {
        if let Some(p) = self.buf.get_mut(self.pos) {
            *p = x;
        }
        self.pos += 1;
    }
    #[inline]
    pub fn d(&mut self, x: u32) {
        if let Some(p) = self.buf.get_mut(self.pos..self.pos + 4) {
            p.copy_from_slice(&x.to_le_bytes());
        }
        self.pos += 4;
    }
    #[inline]
    pub fn q(&mut self, x: u64) {
        if let Some(p) = self.buf.get_mut(self.pos..self.pos + 8) {
            p.copy_from_slice(&x.to_le_bytes());
        }
        self.pos += 8;
    }

    #[inline]
    fn opcode(&mut self, op: u32) {
        if op > 0xffff {
            self.b((op >> 16) as u8);
        }
        if op > 0xff {
            self.b((op >> 8) as u8);
        }
        self.b(op as u8);
    }

    /// `prefix` (0: none), REX, opcode, register form. `byte`: operands are bytes (REX for sil, dil).
    #[inline]
    fn rr(&mut self, prefix: u8, w: bool, op: u32, reg: u8, rm: u8, byte: bool) {
        if prefix != 0 {
            self.b(prefix);
        }
        let rex = (w as u8) << 3 | (reg >> 3) << 2 | rm >> 3;
        if rex != 0 || byte && (rm >= 4 || reg >= 4) {
            self.b(0x40 | rex);
        }
        self.opcode(op);
        self.b(0xc0 | (reg & 7) << 3 | rm & 7);
    }

    /// The memory form.
    #[inline]
    fn rm(&mut self, prefix: u8, w: bool, op: u32, reg: u8, at: M, byte: bool) {
        if prefix != 0 {
            self.b(prefix);
        }
        let ix = at.index.map_or(0, |(x, _)| x.0);
        let rex = (w as u8) << 3 | (reg >> 3) << 2 | (ix >> 3) << 1 | at.base.0 >> 3;
        if rex != 0 || byte && reg >= 4 {
            self.b(0x40 | rex);
        }
        self.opcode(op);
        self.memory(reg, at);
    }

    /// The bytes of an instruction that say which memory, with `reg` beside it.
    fn memory(&mut self, reg: u8, at: M) {
        let base = at.base.0 & 7;
        let md = if at.disp == 0 && base != 5 {
            0
        } else if at.disp as i8 as i32 == at.disp {
            1
        } else {
            2
        };
        match at.index {
            Some((x, scale)) => {
                self.b(md << 6 | (reg & 7) << 3 | 4);
                self.b(scale << 6 | (x.0 & 7) << 3 | base);
            }
            None if base == 4 => {
                self.b(md << 6 | (reg & 7) << 3 | 4);
                self.b(0x24);
            }
            None => self.b(md << 6 | (reg & 7) << 3 | base),
        }
        match md {
            1 => self.b(at.disp as u8),
            2 => self.d(at.disp as u32),
            _ => {}
        }
    }

    // ---- moves ----

    pub fn mov(&mut self, d: R, s: R) {
        if d != s {
            self.rr(0, true, 0x89, s.0, d.0, false);
        }
    }
    /// Zero-extending 32-bit move.
    pub fn mov32(&mut self, d: R, s: R) {
        self.rr(0, false, 0x89, s.0, d.0, false);
    }
    pub fn movi(&mut self, d: R, x: u64) {
        if x == 0 {
            // Flags are left alone: a `mov`, not a `xor`.
            self.movi32(d, 0);
        } else if x <= u32::MAX as u64 {
            self.movi32(d, x as u32);
        } else if x as i64 >= i32::MIN as i64 && x as i64 <= i32::MAX as i64 {
            self.rr(0, true, 0xc7, 0, d.0, false);
            self.d(x as u32);
        } else {
            self.b(0x48 | d.0 >> 3);
            self.b(0xb8 | d.0 & 7);
            self.q(x);
        }
    }
    pub fn movi32(&mut self, d: R, x: u32) {
        if d.0 >= 8 {
            self.b(0x41);
        }
        self.b(0xb8 | d.0 & 7);
        self.d(x);
    }
    pub fn load(&mut self, d: R, at: M) {
        self.rm(0, true, 0x8b, d.0, at, false);
    }
    pub fn load32(&mut self, d: R, at: M) {
        self.rm(0, false, 0x8b, d.0, at, false);
    }
    /// Zero-extending loads of 1, 2, 4, 8 bytes.
    pub fn loadz(&mut self, d: R, at: M, size: u8) {
        match size {
            1 => self.rm(0, false, 0x0fb6, d.0, at, false),
            2 => self.rm(0, false, 0x0fb7, d.0, at, false),
            4 => self.load32(d, at),
            _ => self.load(d, at),
        }
    }
    /// Sign-extending loads of 1, 2, 4, 8 bytes.
    pub fn loads(&mut self, d: R, at: M, size: u8) {
        match size {
            1 => self.rm(0, true, 0x0fbe, d.0, at, false),
            2 => self.rm(0, true, 0x0fbf, d.0, at, false),
            4 => self.rm(0, true, 0x63, d.0, at, false),
            _ => self.load(d, at),
        }
    }
    /// Stores of 1, 2, 4, 8 bytes.
    pub fn store(&mut self, at: M, s: R, size: u8) {
        match size {
            1 => self.rm(0, false, 0x88, s.0, at, true),
            2 => self.rm(0x66, false, 0x89, s.0, at, false),
            4 => self.rm(0, false, 0x89, s.0, at, false),
            _ => self.rm(0, true, 0x89, s.0, at, false),
        }
    }
    /// Store a sign-extended constant doubleword.
    pub fn storei(&mut self, at: M, x: i32) {
        self.rm(0, true, 0xc7, 0, at, false);
        self.d(x as u32);
    }
    pub fn storei8(&mut self, at: M, x: u8) {
        self.rm(0, false, 0xc6, 0, at, false);
        self.b(x);
    }
    pub fn lea(&mut self, d: R, at: M) {
        self.rm(0, true, 0x8d, d.0, at, false);
    }
    pub fn lea32(&mut self, d: R, at: M) {
        self.rm(0, false, 0x8d, d.0, at, false);
    }
    /// Sign-extend the low 8, 16, 32 bits.
    pub fn exts(&mut self, d: R, s: R, bits: u8) {
        match bits {
            8 => self.rr(0, true, 0x0fbe, d.0, s.0, true),
            16 => self.rr(0, true, 0x0fbf, d.0, s.0, false),
            _ => self.rr(0, true, 0x63, d.0, s.0, false),
        }
    }
    /// Zero-extend the low 8, 16, 32 bits.
    pub fn extu(&mut self, d: R, s: R, bits: u8) {
        match bits {
            8 => self.rr(0, false, 0x0fb6, d.0, s.0, true),
            16 => self.rr(0, false, 0x0fb7, d.0, s.0, false),
            _ => self.mov32(d, s),
        }
    }

    // ---- arithmetic ----

    pub fn alu(&mut self, op: Alu, w: bool, d: R, s: R) {
        self.rr(0, w, (op as u32) << 3 | 1, s.0, d.0, false);
    }
    pub fn alui(&mut self, op: Alu, w: bool, d: R, x: i32) {
        if x as i8 as i32 == x {
            self.rr(0, w, 0x83, op as u8, d.0, false);
            self.b(x as u8);
        } else if d == RAX {
            if w {
                self.b(0x48);
            }
            self.b((op as u8) << 3 | 5);
            self.d(x as u32);
        } else {
            self.rr(0, w, 0x81, op as u8, d.0, false);
            self.d(x as u32);
        }
    }
    /// Register with memory.
    pub fn alum(&mut self, op: Alu, w: bool, d: R, at: M) {
        self.rm(0, w, (op as u32) << 3 | 3, d.0, at, false);
    }
    /// Byte register with memory.
    pub fn alum8(&mut self, op: Alu, d: R, at: M) {
        self.rm(0, false, (op as u32) << 3 | 2, d.0, at, true);
    }
    /// Memory with byte register.
    pub fn alum8_to(&mut self, op: Alu, at: M, s: R) {
        self.rm(0, false, (op as u32) << 3, s.0, at, true);
    }
    /// Memory doubleword (`w`) or word with a small constant.
    pub fn alumi(&mut self, op: Alu, w: bool, at: M, x: i32) {
        if x as i8 as i32 == x {
            self.rm(0, w, 0x83, op as u8, at, false);
            self.b(x as u8);
        } else {
            self.rm(0, w, 0x81, op as u8, at, false);
            self.d(x as u32);
        }
    }
    /// d = 4 * d + the table's address
    pub fn alum_lea4(&mut self, d: R) {
        self.shi(Sh::Shl, false, d, 2);
        self.alum(Alu::Add, true, d, crate::thunk::engine(crate::thunk::slot::TABLE));
    }
    /// Memory word with a small constant.
    pub fn alumi4(&mut self, op: Alu, at: M, x: i8) {
        self.rm(0, false, 0x83, op as u8, at, false);
        self.b(x as u8);
    }
    pub fn alui8(&mut self, op: Alu, d: R, x: u8) {
        self.rr(0, false, 0x80, op as u8, d.0, true);
        self.b(x);
    }
    pub fn test(&mut self, w: bool, a: R, b: R) {
        self.rr(0, w, 0x85, b.0, a.0, false);
    }
    pub fn test_m8(&mut self, at: M, x: u8) {
        self.rm(0, false, 0xf6, 0, at, false);
        self.b(x);
    }
    pub fn testi(&mut self, a: R, x: u32) {
        self.rr(0, false, 0xf7, 0, a.0, false);
        self.d(x);
    }
    pub fn bt(&mut self, a: R, n: u8) {
        self.rr(0, true, 0x0fba, 4, a.0, false);
        self.b(n);
    }
    pub fn not(&mut self, d: R) {
        self.rr(0, true, 0xf7, 2, d.0, false);
    }
    pub fn neg(&mut self, d: R) {
        self.rr(0, true, 0xf7, 3, d.0, false);
    }
    /// rdx:rax = rax * s
    pub fn mul(&mut self, signed: bool, s: R) {
        self.rr(0, true, 0xf7, if signed { 5 } else { 4 }, s.0, false);
    }
    /// rax, rdx = rdx:rax / s
    pub fn div(&mut self, signed: bool, w: bool, s: R) {
        self.rr(0, w, 0xf7, if signed { 7 } else { 6 }, s.0, false);
    }
    /// Sign of rax (eax) into rdx (edx).
    pub fn cqo(&mut self, w: bool) {
        if w {
            self.b(0x48);
        }
        self.b(0x99);
    }
    pub fn imul(&mut self, d: R, s: R) {
        self.rr(0, true, 0x0faf, d.0, s.0, false);
    }
    pub fn imuli(&mut self, d: R, s: R, x: i32) {
        self.rr(0, true, 0x69, d.0, s.0, false);
        self.d(x as u32);
    }
    pub fn shi(&mut self, op: Sh, w: bool, d: R, n: u8) {
        self.rr(0, w, 0xc1, op as u8, d.0, false);
        self.b(n);
    }
    /// Shift by cl.
    pub fn shcl(&mut self, op: Sh, w: bool, d: R) {
        self.rr(0, w, 0xd3, op as u8, d.0, false);
    }
    /// `d` shifted left (right) by CL, with what comes in from `s` (shld, shrd).
    pub fn shift_in(&mut self, left: bool, d: R, s: R) {
        self.rr(0, true, if left { 0x0fa5 } else { 0x0fad }, s.0, d.0, false);
    }
    /// Rotate the low 16 bits by 8.
    pub fn swap16(&mut self, d: R) {
        self.rr(0x66, false, 0xc1, 0, d.0, false);
        self.b(8);
    }
    pub fn bswap(&mut self, w: bool, d: R) {
        let rex = (w as u8) << 3 | d.0 >> 3;
        if rex != 0 {
            self.b(0x40 | rex);
        }
        self.b(0x0f);
        self.b(0xc8 | d.0 & 7);
    }
    pub fn lzcnt(&mut self, w: bool, d: R, s: R) {
        self.rr(0xf3, w, 0x0fbd, d.0, s.0, false);
    }
    pub fn tzcnt(&mut self, w: bool, d: R, s: R) {
        self.rr(0xf3, w, 0x0fbc, d.0, s.0, false);
    }
    pub fn popcnt(&mut self, d: R, s: R) {
        self.rr(0xf3, true, 0x0fb8, d.0, s.0, false);
    }
    /// d = s1 with the bits of `mask` gathered (BMI2).
    pub fn pext(&mut self, d: R, s1: R, mask: R) {
        // VEX.LZ.F3.0F38.W1 F5 /r
        self.b(0xc4);
        self.b(((!d.0 >> 3 & 1) << 7) | 1 << 6 | ((!mask.0 >> 3 & 1) << 5) | 2);
        self.b(1 << 7 | (!s1.0 & 15) << 3 | 2);
        self.b(0xf5);
        self.b(0xc0 | (d.0 & 7) << 3 | mask.0 & 7);
    }
    pub fn setcc(&mut self, c: Cc, d: R) {
        self.rr(0, false, 0x0f90 | c as u32, 0, d.0, true);
    }
    pub fn setcc_m(&mut self, c: Cc, at: M) {
        self.rm(0, false, 0x0f90 | c as u32, 0, at, false);
    }
    pub fn cmov(&mut self, c: Cc, d: R, s: R) {
        self.rr(0, true, 0x0f40 | c as u32, d.0, s.0, false);
    }
    pub fn stc(&mut self) {
        self.b(0xf9);
    }
    pub fn mfence(&mut self) {
        // A locked operation on the stack orders all that mfence does for ordinary memory, in less time.
        self.b(0xf0);
        self.rm(0, false, 0x83, 1, m(RSP, -8), false);
        self.b(0);
    }
    /// `lock cmpxchg [at], s` of 4 or 8 bytes (rax: expected).
    pub fn cmpxchg(&mut self, w: bool, at: M, s: R) {
        self.b(0xf0);
        self.rm(0, w, 0x0fb1, s.0, at, false);
    }

    // ---- control flow ----

    /// `jcc rel32`; gives the place of the displacement.
    pub fn jcc(&mut self, c: Cc) -> usize {
        self.b(0x0f);
        self.b(0x80 | c as u8);
        self.d(0);
        self.pos - 4
    }
    /// `jmp rel32`; gives the place of the displacement.
    pub fn jmp(&mut self) -> usize {
        self.b(0xe9);
        self.d(0);
        self.pos - 4
    }
    /// Instructions that do nothing, until what stands `ahead` bytes further stands at a multiple of `to`, at most 8.
    pub fn align_ahead(&mut self, to: usize, ahead: usize) {
        let at = self.pos + ahead;
        NOPS[(at.next_multiple_of(to) - at) & 7].iter().for_each(|&x| self.b(x));
    }
    /// Nothing instead of a store of a doubleword that was emitted at `at`, off rbp.
    pub fn nop_over_store(&mut self, at: usize) {
        let nop = NOPS[if self.buf[at + 2] >> 6 == 1 { 4 } else { 7 }];
        self.buf[at..at + nop.len()].copy_from_slice(nop);
    }
    /// Point the displacement at `site` to `target`.
    pub fn patch(&mut self, site: usize, target: usize) {
        let rel = (target as i64 - (site as i64 + 4)) as i32;
        if let Some(p) = self.buf.get_mut(site..site + 4) {
            p.copy_from_slice(&rel.to_le_bytes());
        }
    }
    /// Point the displacement at `site` here.
    pub fn here(&mut self, site: usize) {
        self.patch(site, self.pos);
    }
    pub fn jmp_to(&mut self, target: usize) {
        let s = self.jmp();
        self.patch(s, target);
    }
    pub fn call_to(&mut self, target: usize) {
        self.b(0xe8);
        self.d(0);
        self.patch(self.pos - 4, target);
    }
    pub fn jmp_r(&mut self, t: R) {
        self.rr(0, false, 0xff, 4, t.0, false);
    }
    pub fn jmp_m(&mut self, at: M) {
        self.rm(0, false, 0xff, 4, at, false);
    }
    pub fn call_r(&mut self, t: R) {
        self.rr(0, false, 0xff, 2, t.0, false);
    }
    pub fn ret(&mut self) {
        self.b(0xc3);
    }
    pub fn push(&mut self, r: R) {
        if r.0 >= 8 {
            self.b(0x41);
        }
        self.b(0x50 | r.0 & 7);
    }
    pub fn pop(&mut self, r: R) {
        if r.0 >= 8 {
            self.b(0x41);
        }
        self.b(0x58 | r.0 & 7);
    }
    /// Doubleword register against the literal at code offset `lit`, which may be given later; the place of the
    /// displacement.
    pub fn cmp_rip(&mut self, d: R) -> usize {
        self.b(0x48 | (d.0 >> 3) << 2);
        self.b(0x3b);
        self.b((d.0 & 7) << 3 | 5);
        self.d(0);
        self.pos - 4
    }

    // ---- SSE ----

    /// `op` with mandatory prefix, xmm to xmm.
    pub fn xx(&mut self, prefix: u8, op: u32, d: X, s: X) {
        self.rr(prefix, false, op, d.0, s.0, false);
    }
    /// `op` with mandatory prefix and an 8-bit constant.
    pub fn xxi(&mut self, prefix: u8, op: u32, d: X, s: X, i: u8) {
        self.rr(prefix, false, op, d.0, s.0, false);
        self.b(i);
    }
    /// `op` with mandatory prefix, xmm with memory.
    pub fn xm(&mut self, prefix: u8, op: u32, d: X, at: M) {
        self.rm(prefix, false, op, d.0, at, false);
    }
    /// `op` xmm with the constant at code offset `at`.
    pub fn xrip(&mut self, prefix: u8, op: u32, d: X, at: usize) {
        if prefix != 0 {
            self.b(prefix);
        }
        if d.0 >= 8 {
            self.b(0x44);
        }
        self.opcode(op);
        self.b((d.0 & 7) << 3 | 5);
        self.d(0);
        self.patch(self.pos - 4, at);
    }
    /// movdqu load
    pub fn xload(&mut self, d: X, at: M) {
        self.rm(0xf3, false, 0x0f6f, d.0, at, false);
    }
    /// movdqu store
    pub fn xstore(&mut self, at: M, s: X) {
        self.rm(0xf3, false, 0x0f7f, s.0, at, false);
    }
    /// movq xmm <- general
    pub fn movq_xr(&mut self, d: X, s: R) {
        self.rr(0x66, true, 0x0f6e, d.0, s.0, false);
    }
    /// movq general <- xmm
    pub fn movq_rx(&mut self, d: R, s: X) {
        self.rr(0x66, true, 0x0f7e, s.0, d.0, false);
    }
    /// Doubleword 1 of `d` from a general register.
    pub fn pinsrq(&mut self, d: X, s: R) {
        self.rr(0x66, true, 0x0f3a22, d.0, s.0, false);
        self.b(1);
    }
    /// Doubleword 1 of `s` to a general register.
    pub fn pextrq(&mut self, d: R, s: X) {
        self.rr(0x66, true, 0x0f3a16, s.0, d.0, false);
        self.b(1);
    }
    /// An AVX operation of 128 bits, d = v op s. `pp`: 0 none, 1 66, 2 F3, 3 F2; `map`: 1 0F, 2 0F38, 3 0F3A.
    pub fn vex(&mut self, pp: u8, map: u8, w: bool, op: u8, d: u8, v: u8, s: u8) {
        self.b(0xc4);
        self.b((!d >> 3 & 1) << 7 | 1 << 6 | (!s >> 3 & 1) << 5 | map);
        self.b((w as u8) << 7 | (!v & 15) << 3 | pp);
        self.b(op);
        self.b(0xc0 | (d & 7) << 3 | s & 7);
    }
    /// The same with xmm registers, from the legacy prefix and opcode (`0x0f..`, `0x0f38..`, `0x0f3a..`).
    pub fn v3(&mut self, prefix: u8, op: u32, d: X, v: X, s: X) {
        let pp = match prefix {
            0x66 => 1,
            0xf3 => 2,
            0xf2 => 3,
            _ => 0,
        };
        let map = match op >> 8 {
            0x0f38 => 2,
            0x0f3a => 3,
            _ => 1,
        };
        self.vex(pp, map, false, op as u8, d.0, v.0, s.0);
    }
    /// hi:lo = rdx * s, without the flags (BMI2); the same register twice gets hi.
    pub fn mulx(&mut self, hi: R, lo: R, s: R) {
        self.vex(3, 2, true, 0xf6, hi.0, lo.0, s.0);
    }
    /// The same with a factor in memory.
    pub fn mulx_m(&mut self, hi: R, lo: R, at: M) {
        let ix = at.index.map_or(0, |(x, _)| x.0);
        self.b(0xc4);
        self.b((!hi.0 >> 3 & 1) << 7 | (!ix >> 3 & 1) << 6 | (!at.base.0 >> 3 & 1) << 5 | 2);
        self.b(1 << 7 | (!lo.0 & 15) << 3 | 3);
        self.b(0xf6);
        self.memory(hi.0, at);
    }
    /// With an 8-bit constant.
    pub fn v3i(&mut self, prefix: u8, op: u32, d: X, v: X, s: X, i: u8) {
        self.v3(prefix, op, d, v, s);
        self.b(i);
    }
    /// A fused operation, d = v * s + d and the like; `double` or single elements.
    pub fn fma(&mut self, double: bool, op: u8, d: X, v: X, s: X) {
        self.vex(1, 2, double, op, d.0, v.0, s.0);
    }
    /// d = v op the constant at code offset `at`.
    pub fn vrip(&mut self, prefix: u8, op: u32, d: X, v: X, at: usize) {
        self.v3(prefix, op, d, v, X(0));
        // The same with a memory operand.
        self.pos -= 1;
        self.b((d.0 & 7) << 3 | 5);
        self.d(0);
        self.patch(self.pos - 4, at);
    }
    /// vmovaps
    pub fn vmov(&mut self, d: X, s: X) {
        self.vex(0, 1, false, 0x28, d.0, 0, s.0);
    }
    /// Shift of all elements by a constant: d = s shifted; `op`, `/n` as of [`Asm::xshi`].
    pub fn vshi(&mut self, op: u8, n: u8, d: X, s: X, by: u8) {
        self.vex(1, 1, false, op, n, d.0, s.0);
        self.b(by);
    }
    /// Word 3 of `s` to a general register.
    pub fn pextrw3(&mut self, d: R, s: X) {
        self.vex(1, 1, false, 0xc5, d.0, 0, s.0);
        self.b(3);
    }
    /// Sign bits of the elements to a general register: bytes (`0`), singles or doubles.
    pub fn vmovmsk(&mut self, bytes: u8, d: R, s: X) {
        match bytes {
            8 => self.vex(1, 1, false, 0x50, d.0, 0, s.0),
            4 => self.vex(0, 1, false, 0x50, d.0, 0, s.0),
            _ => self.vex(1, 1, false, 0xd7, d.0, 0, s.0),
        }
    }
    /// vucomisd, vucomiss
    pub fn vucomi(&mut self, double: bool, a: X, b: X) {
        self.vex(double as u8, 1, false, 0x2e, a.0, 0, b.0);
    }
    /// Doubleword (movsd) store.
    pub fn xstore8(&mut self, at: M, s: X) {
        self.xm(0xf2, 0x0f11, s, at);
    }
    /// Word (movss) store.
    pub fn xstore4(&mut self, at: M, s: X) {
        self.xm(0xf3, 0x0f11, s, at);
    }
    /// Doubleword load, the rest zero.
    pub fn xload8(&mut self, d: X, at: M) {
        self.xm(0xf3, 0x0f7e, d, at);
    }
    /// ldmxcsr
    pub fn ldmxcsr(&mut self, at: M) {
        self.rm(0, false, 0x0fae, 2, at, false);
    }
    /// stmxcsr
    pub fn stmxcsr(&mut self, at: M) {
        self.rm(0, false, 0x0fae, 3, at, false);
    }
    /// lea d, [rip + x]; gives the place of the displacement.
    pub fn lea_rip(&mut self, d: R) -> usize {
        self.b(0x48 | (d.0 >> 3) << 2);
        self.b(0x8d);
        self.b(0x05 | (d.0 & 7) << 3);
        self.d(0);
        self.pos - 4
    }
    /// Store a word.
    pub fn storei4(&mut self, at: M, x: u32) {
        self.rm(0, false, 0xc7, 0, at, false);
        self.d(x);
    }
    /// Bytes written before, again.
    pub fn again(&mut self, from: usize, to: usize) {
        for n in from..to {
            let x = self.buf.get(n).copied().unwrap_or(0xcc);
            self.b(x);
        }
    }
    pub fn cvttsd2si(&mut self, d: R, s: X) {
        self.rr(0xf2, true, 0x0f2c, d.0, s.0, false);
    }
    pub fn cvtsi2sd(&mut self, d: X, s: R) {
        self.rr(0xf2, true, 0x0f2a, d.0, s.0, false);
    }
    /// movd general <- xmm
    pub fn movd_rx(&mut self, d: R, s: X) {
        self.rr(0x66, false, 0x0f7e, s.0, d.0, false);
    }
    /// Flip the top bit.
    pub fn btc63(&mut self, d: R) {
        self.rr(0, true, 0x0fba, 7, d.0, false);
        self.b(63);
    }
    /// Shift of all elements by a constant: `op`, `/n`.
    pub fn xshi(&mut self, op: u32, n: u8, d: X, by: u8) {
        self.rr(0x66, false, op, n, d.0, false);
        self.b(by);
    }
}
