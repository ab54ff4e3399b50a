//! Vectors in regions: 128-bit values of the host, as little-endian numbers.
//!
//! A VSR that some instruction of the region treats as a vector is a variable of 16 bytes; the others are a double and
//! perhaps what stands behind it. Which VSRs those are turns out when intermediate code is made the first time.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F64X2, I8, I8X16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{self, ConstantData, InstBuilder, MemFlagsData, Opcode, Type, Value};

use isa::Lane;
use isa::audit::audit;
use isa::wide::{W1, W2, W3};

use super::lower::{Field, Lower, st};
use super::region::Region;
use crate::thunk::{TRANSPOSED, piece, powers};
use crate::vec::SIGMA;

/// A 128-bit value.
#[derive(Clone, Copy, Debug)]
pub enum W {
    /// Known now.
    Imm(u128),
    /// Doublewords 0 and 1.
    Pair(Value, Value),
    /// 16 bytes, the last one of the register first.
    Vec(Value),
}

/// The bytes of a vector with its doublewords exchanged.
const SWAP: [u8; 16] = [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7];

/// All bytes in reverse order.
fn reverse() -> [u8; 16] {
    std::array::from_fn(|n| 15 - n as u8)
}

/// Bytes of elements of `size` in reverse order inside each.
fn reverse_in(size: u8) -> [u8; 16] {
    std::array::from_fn(|n| n as u8 ^ (size - 1))
}

/// Elements of `size` bytes of two vectors (numbers 0 to 15 and 16 to 31) by turns, from byte `from` of each on.
fn merged(size: u8, from: u8) -> [u8; 16] {
    std::array::from_fn(|n| {
        let n = n as u8;
        let (pair, second) = (n / (2 * size), n / size % 2);
        from + pair * size + n % size + 16 * second
    })
}

/// Every second element of `size` bytes of the first vector in the place of its neighbour of lower number, between
/// those of the second one; with `low` the elements of lower numbers.
fn every_second(size: u8, low: bool) -> [u8; 16] {
    std::array::from_fn(|n| {
        let n = n as u8;
        let place = n / size % 2;
        let from = n / (2 * size) * 2 * size + n % size + if low { 0 } else { size };
        from + 16 * place
    })
}

/// The low halves of elements of `2 * size` bytes of the first vector, then of the second.
fn packed(size: u8) -> [u8; 16] {
    std::array::from_fn(|n| {
        let n = n as u8;
        n / size * 2 * size + n % size
    })
}

/// The VSRs that are vectors when those of `wide` are: what an instruction that is no arithmetic moves between one and
/// others.
pub fn spread(r: &Region, mode: isa::Mode, mut wide: u64) -> u64 {
    let sets: Vec<u64> = r
        .blocks
        .values()
        .flat_map(|b| &b.items)
        .map(|i| audit(i.op, i.insn, mode))
        .filter(|t| t.fp.is_none_or(|f| f.form == isa::fp::FpForm::V64))
        .map(|t| t.read.vsr | t.write.vsr)
        .filter(|s| s.count_ones() > 1)
        .collect();
    loop {
        let more = sets.iter().filter(|&&s| s & wide != 0).fold(wide, |w, s| w | s);
        if more == wide {
            return wide;
        }
        wide = more;
    }
}

impl Lower<'_> {
    // ---- forms ----

    fn flags() -> MemFlagsData {
        MemFlagsData::new().with_endianness(ir::Endianness::Little)
    }

    /// `v` as a vector of other elements.
    pub(super) fn as_type(&mut self, ty: Type, v: Value) -> Value {
        if self.f.func.dfg.value_type(v) == ty {
            return v;
        }
        let dfg = &self.f.func.dfg;
        if let Some(i) = dfg.value_def(dfg.resolve_aliases(v)).inst()
            && dfg.insts[i].opcode() == Opcode::Bitcast
        {
            let from = dfg.inst_args(i)[0];
            if dfg.value_type(from) == ty {
                return from;
            }
            if dfg.value_type(from).is_vector() {
                return self.f.ins().bitcast(ty, Self::flags(), from);
            }
        }
        self.f.ins().bitcast(ty, Self::flags(), v)
    }

    fn bytes(&mut self, v: Value) -> Value {
        self.as_type(I8X16, v)
    }

    pub(super) fn constant(&mut self, x: u128) -> Value {
        let c = self.f.func.dfg.constants.insert(ConstantData::from(&x.to_le_bytes()[..]));
        self.f.ins().vconst(I8X16, c)
    }

    /// The constant that a vector is.
    fn known_vector(&self, v: Value) -> Option<u128> {
        let dfg = &self.f.func.dfg;
        let mut v = dfg.resolve_aliases(v);
        loop {
            let i = dfg.value_def(v).inst()?;
            match dfg.insts[i] {
                ir::InstructionData::UnaryConst { opcode: Opcode::Vconst, constant_handle } => {
                    let c = dfg.constants.get(constant_handle).as_slice();
                    return c.try_into().ok().map(u128::from_le_bytes);
                }
                _ if dfg.insts[i].opcode() == Opcode::Bitcast => v = dfg.resolve_aliases(dfg.inst_args(i)[0]),
                _ => return None,
            }
        }
    }

    /// The constant that `w` is.
    fn known_w(&self, w: W) -> Option<u128> {
        match w {
            W::Imm(x) => Some(x),
            W::Pair(hi, lo) => Some((self.known(hi)? as u128) << 64 | self.known(lo)? as u128),
            W::Vec(v) => self.known_vector(v),
        }
    }

    /// Doublewords 0 and 1.
    pub(super) fn halves(&mut self, w: W) -> (Value, Value) {
        match w {
            W::Imm(x) => (self.iconst((x >> 64) as u64), self.iconst(x as u64)),
            W::Pair(hi, lo) => (hi, lo),
            W::Vec(v) => (self.half_of(v, 1), self.half_of(v, 0)),
        }
    }

    /// Doubleword 0 (`lane` 1) or 1 of a vector.
    pub(super) fn half_of(&mut self, v: Value, lane: u8) -> Value {
        let q = self.as_type(I64X2, v);
        self.f.ins().extractlane(q, lane)
    }

    /// The vector and the lane that a doubleword comes from.
    fn lane_of(&self, v: Value) -> Option<(Value, u8)> {
        let dfg = &self.f.func.dfg;
        let mut i = dfg.value_def(dfg.resolve_aliases(v)).inst()?;
        if dfg.insts[i].opcode() == Opcode::Bitcast {
            i = dfg.value_def(dfg.resolve_aliases(dfg.inst_args(i)[0])).inst()?;
        }
        match dfg.insts[i] {
            ir::InstructionData::BinaryImm8 { opcode: Opcode::Extractlane, arg, imm } => {
                let x = dfg.resolve_aliases(arg);
                (dfg.value_type(x).lane_bits() == 64).then_some((x, imm))
            }
            _ => None,
        }
    }

    /// All 16 bytes in a register of the host.
    pub(super) fn vector(&mut self, w: W) -> Value {
        match w {
            W::Imm(x) => self.constant(x),
            W::Vec(v) => self.bytes(v),
            W::Pair(hi, lo) => {
                if let Some(x) = self.known_w(w) {
                    return self.constant(x);
                }
                match (self.lane_of(hi), self.lane_of(lo)) {
                    (Some((x, 1)), Some((y, 0))) if x == y => self.bytes(x),
                    (Some((x, 0)), Some((y, 1))) if x == y => {
                        let x = self.bytes(x);
                        self.swapped(x)
                    }
                    (Some((x, m)), Some((y, n))) => {
                        let (x, y) = (self.bytes(x), self.bytes(y));
                        let from = |lane: u8, n: u8| 8 * lane + n % 8;
                        let mask = std::array::from_fn(|k| {
                            let k = k as u8;
                            if k < 8 { from(n, k) } else { 16 + from(m, k) }
                        });
                        self.shuffled(y, x, mask)
                    }
                    _ => {
                        let v = self.f.ins().scalar_to_vector(I64X2, lo);
                        let v =
                            if self.known(hi) == Some(0) { v } else { self.f.ins().insertlane(v, hi, 1u8) };
                        self.bytes(v)
                    }
                }
            }
        }
    }

    /// The bytes of `a`, 0 to 15, and `b`, 16 to 31, that `mask` names.
    fn shuffled(&mut self, a: Value, b: Value, mut mask: [u8; 16]) -> Value {
        let (mut a, mut b) = (self.bytes(a), self.bytes(b));
        // What was shuffled to get there need not be.
        if a == b
            && let Some((x, y, before)) = self.shuffle_of(a)
        {
            (a, b) = (x, y);
            mask = mask.map(|k| before[k as usize & 15]);
        }
        if a == b {
            mask = mask.map(|k| k & 15);
            if mask.iter().enumerate().all(|(n, &k)| n == k as usize) {
                return a;
            }
        }
        // The compiler knows equal shuffles by the mask's number.
        let m = match self.masks.get(&mask) {
            Some(&m) => m,
            None => {
                let m = self.f.func.dfg.immediates.push(ConstantData::from(&mask[..]));
                *self.masks.entry(mask).or_insert(m)
            }
        };
        self.f.ins().shuffle(a, b, m)
    }

    /// The shuffle that `v` is.
    fn shuffle_of(&self, v: Value) -> Option<(Value, Value, [u8; 16])> {
        let dfg = &self.f.func.dfg;
        let i = dfg.value_def(dfg.resolve_aliases(v)).inst()?;
        let ir::InstructionData::Shuffle { args, imm, .. } = dfg.insts[i] else { return None };
        Some((args[0], args[1], dfg.immediates.get(imm)?.as_slice().try_into().ok()?))
    }

    /// Doublewords exchanged.
    fn swapped(&mut self, v: Value) -> Value {
        self.shuffled(v, v, SWAP)
    }

    /// Memory order to register order, and back.
    fn in_lanes(&mut self, v: Value, lane: Lane) -> Value {
        match lane {
            16 if self.mode.le => v,
            8 if self.mode.le => self.swapped(v),
            4 if self.mode.le => self.shuffled(v, v, [12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3]),
            2 if self.mode.le => self.shuffled(v, v, [14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1]),
            _ => self.shuffled(v, v, reverse()),
        }
    }

    // ---- which registers are vectors ----

    /// VSRs of this instruction.
    fn of_item(&self) -> u64 {
        let t = audit(self.item.op, self.item.insn, self.mode);
        t.read.vsr | t.write.vsr
    }

    /// The VSRs of this instruction had better be vectors.
    pub(super) fn want_vectors(&mut self) {
        let set = self.of_item();
        self.more_wide |= set & !self.wide;
    }

    // ---- memory ----

    /// 16 bytes at a host address.
    pub(super) fn load_vector(&mut self, at: Value, d: i32, lane: Lane) -> W {
        let flags = self.guest_flags();
        let vector = self.of_item() & self.wide != 0 || lane == 2 && self.mode.le;
        if vector {
            if lane == 2 {
                self.want_vectors();
            }
            let v = self.f.ins().load(I8X16, flags, at, d);
            return W::Vec(self.in_lanes(v, lane));
        }
        let x = self.f.ins().load(I64, flags, at, d);
        let y = self.f.ins().load(I64, flags, at, d + 8);
        self.lanes(x, y, lane)
    }

    /// The value in the order of memory: before the access, which may leave.
    pub(super) fn for_store(&mut self, w: W, lane: Lane) -> W {
        if let (W::Pair(hi, lo), false) = (w, lane == 2 && self.mode.le) {
            return self.lanes(hi, lo, lane);
        }
        let v = self.vector(w);
        W::Vec(self.in_lanes(v, lane))
    }

    /// Store what is in the order of memory.
    pub(super) fn store_vector(&mut self, at: Value, d: i32, w: W) {
        let flags = self.guest_flags();
        if let W::Pair(hi, lo) = w {
            self.f.ins().store(flags, hi, at, d);
            self.f.ins().store(flags, lo, at, d + 8);
        } else {
            let v = self.vector(w);
            self.f.ins().store(flags, v, at, d);
        }
    }

    /// Doublewords in the order of memory to those of a register, and back; not of halfwords.
    fn lanes(&mut self, hi: Value, lo: Value, lane: Lane) -> W {
        match lane {
            8 if self.mode.le => W::Pair(hi, lo),
            16 if self.mode.le => W::Pair(lo, hi),
            4 if self.mode.le => W::Pair(self.f.ins().rotl_imm_u(hi, 32), self.f.ins().rotl_imm_u(lo, 32)),
            _ => W::Pair(self.f.ins().bswap(hi), self.f.ins().bswap(lo)),
        }
    }

    // ---- operations ----

    pub(super) fn fail_w(&mut self) -> W {
        let v = self.fail();
        W::Pair(v, v)
    }

    /// Each element shifted by a constant.
    fn shift(&mut self, op: Opcode, ty: Type, v: Value, by: u32) -> Value {
        let v = self.as_type(ty, v);
        if by == 0 {
            return v;
        }
        let n = self.f.ins().iconst(I32, by as i64);
        match op {
            Opcode::Ishl => self.f.ins().ishl(v, n),
            Opcode::Ushr => self.f.ins().ushr(v, n),
            _ => self.f.ins().sshr(v, n),
        }
    }

    /// One operand.
    pub(super) fn wide1(&mut self, op: W1, a: W) -> W {
        if let Some(x) = self.known_w(a) {
            return W::Imm(isa::wide::eval1(op, x));
        }
        if let (W1::Not, W::Pair(hi, lo)) = (op, a) {
            return W::Pair(self.f.ins().bnot(hi), self.f.ins().bnot(lo));
        }
        if matches!(op, W1::PopD | W1::ClzD | W1::CtzD) {
            let (hi, lo) = self.halves(a);
            let [hi, lo] = [hi, lo].map(|x| match op {
                W1::PopD => self.f.ins().popcnt(x),
                W1::ClzD => self.f.ins().clz(x),
                _ => self.f.ins().ctz(x),
            });
            return W::Pair(hi, lo);
        }
        self.want_vectors();
        let v = self.vector(a);
        let sign = |s: &mut Self, ty: Type| {
            let x = s.as_type(ty, v);
            s.shift(Opcode::Sshr, ty, x, ty.lane_bits() - 1)
        };
        let extend = |s: &mut Self, ty: Type, by: u32| {
            let x = s.shift(Opcode::Ishl, ty, v, by);
            s.shift(Opcode::Sshr, ty, x, by)
        };
        W::Vec(match op {
            W1::Not => self.f.ins().bnot(v),
            W1::NegW | W1::NegD => {
                let x = self.as_type(if op == W1::NegW { I32X4 } else { I64X2 }, v);
                self.f.ins().ineg(x)
            }
            W1::SwapH => self.shuffled(v, v, reverse_in(2)),
            W1::SwapW => self.shuffled(v, v, reverse_in(4)),
            W1::SwapD => self.shuffled(v, v, reverse_in(8)),
            W1::SwapQ => self.shuffled(v, v, reverse()),
            W1::ExtBW => extend(self, I32X4, 24),
            W1::ExtHW => extend(self, I32X4, 16),
            W1::UnpackHiB | W1::UnpackHiH | W1::UnpackHiW | W1::UnpackLoB | W1::UnpackLoH | W1::UnpackLoW => {
                let (ty, high) = match op {
                    W1::UnpackHiB => (I8X16, true),
                    W1::UnpackHiH => (I16X8, true),
                    W1::UnpackHiW => (I32X4, true),
                    W1::UnpackLoB => (I8X16, false),
                    W1::UnpackLoH => (I16X8, false),
                    _ => (I32X4, false),
                };
                let x = self.as_type(ty, v);
                if high { self.f.ins().swiden_high(x) } else { self.f.ins().swiden_low(x) }
            }
            W1::ExpandH => sign(self, I16X8),
            W1::ExpandW => sign(self, I32X4),
            W1::ClzLsb | W1::CtzLsb => {
                let x = self.shift(Opcode::Ishl, I16X8, v, 7);
                let x = self.bytes(x);
                let m = self.f.ins().vhigh_bits(I32, x);
                let n = if op == W1::ClzLsb {
                    // Byte 0 of the register is bit 15 of the mask.
                    let m = self.f.ins().ishl_imm_u(m, 16);
                    let m = self.f.ins().bor_imm_u(m, 0x8000);
                    self.f.ins().clz(m)
                } else {
                    let m = self.f.ins().bor_imm_u(m, 0x10000);
                    self.f.ins().ctz(m)
                };
                let (zero, n) = (self.iconst(0), self.f.ins().uextend(I64, n));
                return W::Pair(zero, n);
            }
            W1::Gather => {
                let mut x = self.as_type(I64X2, v);
                for (by, mask) in TRANSPOSED {
                    let mask = self.constant(u128::from(mask) << 64 | u128::from(mask));
                    let mask = self.as_type(I64X2, mask);
                    let t = self.shift(Opcode::Ushr, I64X2, x, by.into());
                    let t = self.f.ins().bxor(t, x);
                    let t = self.f.ins().band(t, mask);
                    x = self.f.ins().bxor(x, t);
                    let t = self.shift(Opcode::Ishl, I64X2, t, by.into());
                    x = self.f.ins().bxor(x, t);
                }
                x
            }
            W1::MaskB => {
                let m = self.f.ins().vhigh_bits(I32, v);
                let (zero, m) = (self.iconst(0), self.f.ins().uextend(I64, m));
                return W::Pair(zero, m);
            }
            _ => return self.fail_w(),
        })
    }

    /// Two operands.
    pub(super) fn wide2(&mut self, op: W2, a: W, b: W) -> W {
        if let (Some(x), Some(y)) = (self.known_w(a), self.known_w(b)) {
            return W::Imm(isa::wide::eval2(op, x, y));
        }
        let same = match (a, b) {
            (W::Vec(x), W::Vec(y)) => x == y,
            (W::Pair(x, y), W::Pair(z, w)) => (x, y) == (z, w),
            _ => false,
        };
        match op {
            W2::Or | W2::And if same => return a,
            W2::Xor | W2::Andc if same => return W::Imm(0),
            _ => {}
        }
        if !matches!((a, b), (W::Vec(_), _) | (_, W::Vec(_))) {
            let (x, y) = (self.halves(a), self.halves(b));
            if let Some(w) = self.pairs2(op, x, y) {
                return w;
            }
        }
        self.want_vectors();
        if let Some(n) = self.known_w(b)
            && let Some(w) = self.with_constant(op, a, n)
        {
            return w;
        }
        if matches!(op, W2::ShlQ | W2::ShrQ) {
            return self.quad_shift(op == W2::ShlQ, a, b);
        }
        let (x, y) = (self.vector(a), self.vector(b));
        if op == W2::BitPermQ {
            return self.bits_of(x, y);
        }
        match self.plain2(op, x, y).or_else(|| self.moves2(op, x, y)).or_else(|| self.pieces2(op, x, y)) {
            Some(v) => W::Vec(v),
            None => self.fail_w(),
        }
    }

    /// Operations on doublewords that are no vector.
    fn pairs2(&mut self, op: W2, a: (Value, Value), b: (Value, Value)) -> Option<W> {
        use isa::{Builder, Op2};
        let op = match op {
            W2::And => Op2::And,
            W2::Or => Op2::Or,
            W2::Xor => Op2::Xor,
            W2::Andc => Op2::Andc,
            W2::Orc => Op2::Orc,
            W2::Nand => Op2::Nand,
            W2::Nor => Op2::Nor,
            W2::Eqv => Op2::Eqv,
            W2::AddD => Op2::Add,
            W2::SubD => Op2::Sub,
            W2::AddQ | W2::SubQ => {
                let (x, y) = (self.f.ins().iconcat(a.1, a.0), self.f.ins().iconcat(b.1, b.0));
                let r = if op == W2::AddQ { self.f.ins().iadd(x, y) } else { self.f.ins().isub(x, y) };
                let (lo, hi) = self.f.ins().isplit(r);
                return Some(W::Pair(hi, lo));
            }
            _ => return None,
        };
        Some(W::Pair(self.op2(op, a.0, b.0), self.op2(op, a.1, b.1)))
    }

    /// Operations with a constant.
    fn with_constant(&mut self, op: W2, a: W, n: u128) -> Option<W> {
        if let (W2::SplatB, W::Pair(_, lo)) = (op, a)
            && n & 15 == 15
        {
            let x = self.f.ins().ireduce(I8, lo);
            return Some(W::Vec(self.f.ins().splat(I8X16, x)));
        }
        let v = self.vector(a);
        let splat = |size: u8| {
            // Elements are counted from the left.
            let at = 16 - size - size * (n as u8 & (16 / size - 1));
            std::array::from_fn(|k| at + k as u8 % size)
        };
        let shifts = |s: &mut Self, o: Opcode, ty: Type| {
            let bits = ty.lane_bits();
            let by = n as u32 & (bits - 1);
            let ones = u128::MAX >> (128 - bits);
            let mask = (bits - 1) as u128;
            let same = (0..128 / bits).all(|k| n >> (k * bits) & ones & mask == by as u128);
            same.then(|| s.shift(o, ty, v, by))
        };
        let rotate = |s: &mut Self, ty: Type| {
            let x = shifts(s, Opcode::Ishl, ty)?;
            let bits = ty.lane_bits();
            let by = n as u32 & (bits - 1);
            if by == 0 {
                return Some(x);
            }
            let y = s.shift(Opcode::Ushr, ty, v, bits - by);
            Some(s.f.ins().bor(x, y))
        };
        let r = match op {
            W2::SplatB => self.shuffled(v, v, splat(1)),
            W2::SplatH => self.shuffled(v, v, splat(2)),
            W2::SplatW => self.shuffled(v, v, splat(4)),
            W2::ShlQ | W2::ShrQ | W2::RotQ if n & 7 == 0 => {
                let by = (n as u8 & 127) / 8;
                let zero = self.constant(0);
                let (x, y, from) = match op {
                    W2::ShlQ => (zero, v, 16 - by),
                    W2::ShrQ => (v, zero, by),
                    _ => (v, v, (16 - by) & 15),
                };
                if by == 0 {
                    return Some(a);
                }
                self.shuffled(x, y, std::array::from_fn(|k| from + k as u8))
            }
            W2::ShlB => shifts(self, Opcode::Ishl, I8X16)?,
            W2::ShrB => shifts(self, Opcode::Ushr, I8X16)?,
            W2::SarB => shifts(self, Opcode::Sshr, I8X16)?,
            W2::ShlH => shifts(self, Opcode::Ishl, I16X8)?,
            W2::ShlW => shifts(self, Opcode::Ishl, I32X4)?,
            W2::ShlD => shifts(self, Opcode::Ishl, I64X2)?,
            W2::ShrH => shifts(self, Opcode::Ushr, I16X8)?,
            W2::ShrW => shifts(self, Opcode::Ushr, I32X4)?,
            W2::ShrD => shifts(self, Opcode::Ushr, I64X2)?,
            W2::SarH => shifts(self, Opcode::Sshr, I16X8)?,
            W2::SarW => shifts(self, Opcode::Sshr, I32X4)?,
            W2::RotH => rotate(self, I16X8)?,
            W2::RotW => rotate(self, I32X4)?,
            W2::RotD => rotate(self, I64X2)?,
            W2::ShaSigmaW | W2::ShaSigmaD => self.sigma(op == W2::ShaSigmaW, v, n as u32)?,
            _ => return None,
        };
        Some(W::Vec(r))
    }

    /// `vshasigmaw`, `vshasigmad` with the same function in all elements; n = ST * 16 + SIX.
    fn sigma(&mut self, word: bool, v: Value, n: u32) -> Option<Value> {
        // Doublewords look at two bits of SIX only.
        let (six, all) = if word { (n & 15, 15) } else { (n & 0b1010, 0b1010) };
        if six != 0 && six != all {
            return None;
        }
        let big = n & 16 != 0;
        let counts = SIGMA[!word as usize][(big as usize) * 2 + (six != 0) as usize];
        let ty = if word { I32X4 } else { I64X2 };
        let mut parts = Vec::new();
        for (k, by) in counts.into_iter().enumerate() {
            parts.push(self.shift(Opcode::Ushr, ty, v, by.into()));
            if k < 2 || big {
                parts.push(self.shift(Opcode::Ishl, ty, v, ty.lane_bits() - by as u32));
            }
        }
        // As a tree: others wait for the result.
        while parts.len() > 1 {
            let pairs = parts.chunks(2).map(|p| match *p {
                [x, y] => self.f.ins().bxor(x, y),
                _ => p[0],
            });
            parts = pairs.collect();
        }
        parts.pop()
    }

    /// Operations of the host on elements.
    fn plain2(&mut self, op: W2, x: Value, y: Value) -> Option<Value> {
        use IntCC::{Equal, SignedGreaterThan as GtS, UnsignedGreaterThan as GtU};
        let ty = match op {
            W2::AddH | W2::SubH | W2::AddSatSH | W2::MaxSH | W2::MaxUH | W2::MinSH | W2::MinUH => I16X8,
            W2::EqH | W2::GtSH | W2::GtUH | W2::NeH | W2::NezH | W2::AvgUH | W2::AbsDiffUH => I16X8,
            W2::AddW | W2::SubW | W2::MaxSW | W2::MaxUW | W2::MinSW | W2::MinUW | W2::MulW => I32X4,
            W2::EqW | W2::GtSW | W2::GtUW | W2::NeW | W2::NezW | W2::AbsDiffUW => I32X4,
            W2::AddD | W2::SubD | W2::EqD | W2::GtSD | W2::GtUD => I64X2,
            _ => I8X16,
        };
        let (a, b) = (self.as_type(ty, x), self.as_type(ty, y));
        Some(match op {
            W2::And => self.f.ins().band(a, b),
            W2::Or => self.f.ins().bor(a, b),
            W2::Xor => self.f.ins().bxor(a, b),
            W2::Andc => self.f.ins().band_not(a, b),
            W2::Orc => {
                let n = self.f.ins().bnot(b);
                self.f.ins().bor(a, n)
            }
            W2::Nand | W2::Nor | W2::Eqv => {
                let r = match op {
                    W2::Nand => self.f.ins().band(a, b),
                    W2::Nor => self.f.ins().bor(a, b),
                    _ => self.f.ins().bxor(a, b),
                };
                self.f.ins().bnot(r)
            }
            W2::AddB | W2::AddH | W2::AddW | W2::AddD => self.f.ins().iadd(a, b),
            W2::SubB | W2::SubH | W2::SubW | W2::SubD => self.f.ins().isub(a, b),
            W2::EqB | W2::EqH | W2::EqW | W2::EqD => self.f.ins().icmp(Equal, a, b),
            W2::GtSB | W2::GtSH | W2::GtSW | W2::GtSD => self.f.ins().icmp(GtS, a, b),
            W2::GtUB | W2::GtUH | W2::GtUW | W2::GtUD => self.f.ins().icmp(GtU, a, b),
            W2::NeB | W2::NeH | W2::NeW => self.f.ins().icmp(IntCC::NotEqual, a, b),
            W2::NezB | W2::NezH | W2::NezW => {
                let zero = self.constant(0);
                let zero = self.as_type(ty, zero);
                let same = self.f.ins().icmp(Equal, a, b);
                let none = self.f.ins().icmp(Equal, a, zero);
                let both = self.f.ins().band_not(same, none);
                self.f.ins().bnot(both)
            }
            W2::MaxSB | W2::MaxSH | W2::MaxSW => self.f.ins().smax(a, b),
            W2::MaxUB | W2::MaxUH | W2::MaxUW => self.f.ins().umax(a, b),
            W2::MinSB | W2::MinSH | W2::MinSW => self.f.ins().smin(a, b),
            W2::MinUB | W2::MinUH | W2::MinUW => self.f.ins().umin(a, b),
            W2::AvgUB | W2::AvgUH => self.f.ins().avg_round(a, b),
            W2::AbsDiffUB | W2::AbsDiffUH | W2::AbsDiffUW => {
                let (p, q) = (self.f.ins().umax(a, b), self.f.ins().umin(a, b));
                self.f.ins().isub(p, q)
            }
            W2::MulW => self.f.ins().imul(a, b),
            W2::ShlB | W2::ShrB | W2::SarB | W2::RotB => self.byte_shifts(op, a, b),
            W2::MulEvenUB | W2::MulEvenSB | W2::MulEvenUH | W2::MulEvenSH => self.products(op, false, a, b),
            W2::MulOddUB | W2::MulOddSB | W2::MulOddUH | W2::MulOddSH => self.products(op, true, a, b),
            _ => return None,
        })
    }

    /// The odd (even) halves of elements, counted from the left, as elements.
    fn halves_of(&mut self, ty: Type, v: Value, odd: bool, signed: bool) -> Value {
        let by = ty.lane_bits() / 2;
        let v = if odd { self.shift(Opcode::Ishl, ty, v, by) } else { v };
        self.shift(if signed { Opcode::Sshr } else { Opcode::Ushr }, ty, v, by)
    }

    /// Products of the odd (even) halves of elements.
    fn products(&mut self, op: W2, odd: bool, a: Value, b: Value) -> Value {
        let bytes = matches!(op, W2::MulEvenUB | W2::MulEvenSB | W2::MulOddUB | W2::MulOddSB);
        let signed = matches!(op, W2::MulEvenSB | W2::MulEvenSH | W2::MulOddSB | W2::MulOddSH);
        let ty = if bytes { I16X8 } else { I32X4 };
        let (a, b) = (self.halves_of(ty, a, odd, signed), self.halves_of(ty, b, odd, signed));
        self.f.ins().imul(a, b)
    }

    /// A table of eight bytes, looked up by the low three bits of bytes.
    fn looked_up(&mut self, table: [u8; 8], by: Value) -> Value {
        let low3 = self.constant(u128::MAX / 255 * 7);
        let table = u64::from_le_bytes(table);
        let table = self.constant(u128::from(table) << 64 | u128::from(table));
        let n = self.f.ins().band(by, low3);
        self.f.ins().x86_pshufb(table, n)
    }

    /// Shifts and rotates of bytes by bytes, modulo 8: as products of halfwords.
    fn byte_shifts(&mut self, op: W2, a: Value, b: Value) -> Value {
        let factors = self.looked_up(powers(matches!(op, W2::ShrB | W2::SarB)), b);
        let [even, odd] = [false, true].map(|odd| {
            let x = self.halves_of(I16X8, a, odd, op == W2::SarB);
            let m = self.halves_of(I16X8, factors, odd, false);
            let p = self.f.ins().imul(x, m);
            // What is wanted comes into the left byte.
            let p = match op {
                W2::ShlB => self.shift(Opcode::Ishl, I16X8, p, 8),
                W2::RotB => {
                    let over = self.shift(Opcode::Ushr, I16X8, p, 8);
                    let all = self.f.ins().bor(p, over);
                    self.shift(Opcode::Ishl, I16X8, all, 8)
                }
                _ => self.shift(Opcode::Ishl, I16X8, p, 1),
            };
            self.shift(Opcode::Ushr, I16X8, p, 8)
        });
        let even = self.shift(Opcode::Ishl, I16X8, even, 8);
        self.f.ins().bor(even, odd)
    }

    /// Shifts of quadwords, modulo 128.
    fn quad_shift(&mut self, left: bool, a: W, b: W) -> W {
        let ((hi, lo), n) = (self.halves(a), self.halves(b).1);
        let (to, from) = if left { (hi, lo) } else { (lo, hi) };
        // One, and the rest of 63: a shift by 64 does nothing.
        let rest = self.f.ins().bxor_imm_u(n, 63);
        let (to, over, from) = if left {
            let over = self.f.ins().ushr_imm_u(from, 1);
            (self.f.ins().ishl(to, n), self.f.ins().ushr(over, rest), self.f.ins().ishl(from, n))
        } else {
            let over = self.f.ins().ishl_imm_u(from, 1);
            (self.f.ins().ushr(to, n), self.f.ins().ishl(over, rest), self.f.ins().ushr(from, n))
        };
        let to = self.f.ins().bor(to, over);
        let (big, zero) = (self.f.ins().band_imm_u(n, 64), self.iconst(0));
        let to = self.f.ins().select(big, from, to);
        let from = self.f.ins().select(big, zero, from);
        if left { W::Pair(to, from) } else { W::Pair(from, to) }
    }

    /// `vbpermq`
    fn bits_of(&mut self, a: Value, b: Value) -> W {
        let (a, b) = (self.bytes(a), self.bytes(b));
        // The byte that has the bit; none, where there is no such bit.
        let (low4, low5) = (self.constant(u128::MAX / 255 * 0x0f), self.constant(u128::MAX / 255 * 0x1f));
        let n = self.shift(Opcode::Ushr, I16X8, b, 3);
        let n = self.bytes(n);
        let n = self.f.ins().band(n, low5);
        let n = self.f.ins().isub(low4, n);
        let has = self.f.ins().x86_pshufb(a, n);
        // The bit in it.
        let bit = self.looked_up(powers(true), b);
        let is = self.f.ins().band(has, bit);
        let is = self.f.ins().icmp(IntCC::Equal, is, bit);
        let m = self.f.ins().vhigh_bits(I32, is);
        let (zero, m) = (self.iconst(0), self.f.ins().uextend(I64, m));
        W::Pair(m, zero)
    }

    /// Operations that move elements.
    fn moves2(&mut self, op: W2, a: Value, b: Value) -> Option<Value> {
        let mask = match op {
            W2::MergeHiB => merged(1, 8),
            W2::MergeHiH => merged(2, 8),
            W2::MergeHiW => merged(4, 8),
            W2::MergeLoB => merged(1, 0),
            W2::MergeLoH => merged(2, 0),
            W2::MergeLoW => merged(4, 0),
            // Elements are counted from the left: even ones are the odd ones of the host.
            W2::MergeEvenW => every_second(4, false),
            W2::MergeOddW => every_second(4, true),
            W2::PackH => packed(1),
            W2::PackW => packed(2),
            W2::PackD => packed(4),
            _ => return None,
        };
        Some(self.shuffled(b, a, mask))
    }

    /// What a piece outside computes of two vectors.
    fn piece(&mut self, n: usize, x: Value, y: Value) -> Option<Value> {
        let at = *self.pieces.get(n).filter(|&&p| p != 0)?;
        let (x, y) = (self.bytes(x), self.bytes(y));
        let at = self.iconst(at);
        let (sig, st) = (self.piece_sig, self.st);
        self.f.ins().call_indirect(sig, at, &[st, x, y]);
        let flags = MemFlagsData::new().with_notrap().with_alias_region(self.state_region);
        Some(self.f.ins().load(I8X16, flags, st, super::inline::result_of(n)))
    }

    /// Operations that pieces compute.
    fn pieces2(&mut self, op: W2, a: Value, b: Value) -> Option<Value> {
        match op {
            W2::ShlW | W2::ShrW | W2::SarW | W2::RotW => self.shift_by(op, 32, a, b),
            W2::ShlD | W2::ShrD | W2::RotD => self.shift_by(op, 64, a, b),
            W2::ShlH | W2::ShrH | W2::SarH => self.halfword_shifts(op, a, b),
            W2::Cipher | W2::CipherLast | W2::NcipherLast => {
                // The host's byte 0 is the other end.
                let (a, b) = (self.shuffled(a, a, reverse()), self.shuffled(b, b, reverse()));
                let n = match op {
                    W2::Cipher => piece::CIPHER,
                    W2::CipherLast => piece::CIPHER_LAST,
                    _ => piece::NCIPHER_LAST,
                };
                let v = self.piece(n, a, b)?;
                Some(self.shuffled(v, v, reverse()))
            }
            W2::Ncipher => {
                // The host adds the key after it has mixed columns. So the last round's work goes first; a last round
                // there and a round back do nothing but mix columns.
                let (a, b) = (self.shuffled(a, a, reverse()), self.shuffled(b, b, reverse()));
                let zero = self.constant(0);
                let x = self.piece(piece::NCIPHER_LAST, a, b)?;
                let y = self.piece(piece::CIPHER_LAST, x, zero)?;
                let v = self.piece(piece::NCIPHER, y, zero)?;
                Some(self.shuffled(v, v, reverse()))
            }
            _ => None,
        }
    }

    /// Shifts of halfwords by halfwords, modulo 16: as words.
    fn halfword_shifts(&mut self, op: W2, a: Value, b: Value) -> Option<Value> {
        let n = match op {
            W2::ShlH => piece::SHL_W,
            W2::ShrH => piece::SHR_W,
            _ => piece::SAR_W,
        };
        let every = u128::MAX / u128::from(u32::MAX);
        let (low4, low16) = (self.constant(15 * every), self.constant(0xffff * every));
        let mut parts = [a; 2];
        for (odd, part) in [false, true].into_iter().zip(&mut parts) {
            let x = self.halves_of(I32X4, a, odd, op == W2::SarH);
            let by = if odd { b } else { self.shift(Opcode::Ushr, I32X4, b, 16) };
            let by = self.bytes(by);
            let by = self.f.ins().band(by, low4);
            *part = self.piece(n, x, by)?;
        }
        let even = self.shift(Opcode::Ishl, I32X4, parts[0], 16);
        let even = self.bytes(even);
        let odd = self.f.ins().band(parts[1], low16);
        Some(self.f.ins().bor(even, odd))
    }

    /// Shifts and rotates of elements of `bits` by elements, modulo their width.
    fn shift_by(&mut self, op: W2, bits: u32, a: Value, b: Value) -> Option<Value> {
        let every = u128::MAX / (u128::MAX >> (128 - bits));
        let mask = self.constant(every * (bits - 1) as u128);
        let n = self.f.ins().band(b, mask);
        let (left, right) =
            if bits == 32 { (piece::SHL_W, piece::SHR_W) } else { (piece::SHL_D, piece::SHR_D) };
        match op {
            W2::ShlW | W2::ShlD => self.piece(left, a, n),
            W2::ShrW | W2::ShrD => self.piece(right, a, n),
            W2::SarW => self.piece(piece::SAR_W, a, n),
            _ => {
                // A shift by all of the width gives zero.
                let ty = if bits == 32 { I32X4 } else { I64X2 };
                let width = self.constant(every * bits as u128);
                let (width, m) = (self.as_type(ty, width), self.as_type(ty, n));
                let rest = self.f.ins().isub(width, m);
                let (x, y) = (self.piece(left, a, n)?, self.piece(right, a, rest)?);
                Some(self.f.ins().bor(x, y))
            }
        }
    }

    /// Two operands, saturating: VSCR[SAT] is set if an element does.
    pub(super) fn wide2_sat(&mut self, op: W2, a: W, b: W) -> W {
        self.want_vectors();
        let (x, y) = (self.vector(a), self.vector(b));
        let Some((v, over)) = self.saturated(op, x, y) else { return self.fail_w() };
        let over = self.bytes(over);
        let any = self.f.ins().vany_true(over);
        let any = self.f.ins().uextend(I64, any);
        let sat = self.state_load8(st!(vscr));
        let sat = self.f.ins().bor(sat, any);
        self.state_store8(st!(vscr), sat);
        W::Vec(v)
    }

    /// The result of an operation that saturates, and what is zero if no element does.
    fn saturated(&mut self, op: W2, a: Value, b: Value) -> Option<(Value, Value)> {
        use W2::*;
        let ty = match op {
            AddSatSB | AddSatUB | SubSatSB | SubSatUB => I8X16,
            AddSatSH | AddSatUH | SubSatSH | SubSatUH | PackHSs | PackHSu | PackHUu => I16X8,
            PackWSs | PackWSu | PackWUu => I32X4,
            _ => return None,
        };
        let (a, b) = (self.as_type(ty, a), self.as_type(ty, b));
        let by = ty.lane_bits() / 2;
        Some(match op {
            AddSatSB | AddSatUB | AddSatSH | AddSatUH | SubSatSB | SubSatUB | SubSatSH | SubSatUH => {
                let (v, plain) = match op {
                    AddSatSB | AddSatSH => (self.f.ins().sadd_sat(a, b), self.f.ins().iadd(a, b)),
                    AddSatUB | AddSatUH => (self.f.ins().uadd_sat(a, b), self.f.ins().iadd(a, b)),
                    SubSatSB | SubSatSH => (self.f.ins().ssub_sat(a, b), self.f.ins().isub(a, b)),
                    _ => (self.f.ins().usub_sat(a, b), self.f.ins().isub(a, b)),
                };
                (v, self.f.ins().bxor(v, plain))
            }
            PackHSs | PackWSs => {
                let [x, y] = [a, b].map(|v| {
                    let narrow = self.halves_of(ty, v, true, true);
                    self.f.ins().bxor(narrow, v)
                });
                (self.f.ins().snarrow(b, a), self.f.ins().bor(x, y))
            }
            _ => {
                let both = self.f.ins().bor(a, b);
                let over = self.shift(Opcode::Ushr, ty, both, by);
                let (mut x, mut y) = (a, b);
                if matches!(op, PackHUu | PackWUu) {
                    // The host takes them for signed.
                    let most = self.constant(u128::MAX / ((1 << ty.lane_bits()) - 1) * ((1 << by) - 1));
                    let most = self.as_type(ty, most);
                    (x, y) = (self.f.ins().umin(a, most), self.f.ins().umin(b, most));
                }
                (self.f.ins().unarrow(y, x), over)
            }
        })
    }

    /// Three operands.
    pub(super) fn wide3(&mut self, op: W3, a: W, b: W, c: W) -> W {
        if let (W3::Select, W::Pair(..), W::Pair(..), W::Pair(..)) = (op, a, b, c) {
            let (x, y) = (self.wide2(W2::Andc, a, c), self.wide2(W2::And, b, c));
            return self.wide2(W2::Or, x, y);
        }
        self.want_vectors();
        match op {
            W3::Select => {
                let (a, b, c) = (self.vector(a), self.vector(b), self.vector(c));
                W::Vec(self.f.ins().bitselect(c, b, a))
            }
            W3::MulSumUB | W3::MulSumMB | W3::MulSumSH | W3::MulSumUH => {
                let [a, b, c] = [a, b, c].map(|w| self.vector(w));
                let signed = op == W3::MulSumSH;
                let mut sum = self.as_type(I32X4, c);
                let halves: &[(bool, bool)] = match op {
                    W3::MulSumUB | W3::MulSumMB => {
                        &[(false, false), (false, true), (true, false), (true, true)]
                    }
                    _ => &[(false, false), (true, true)],
                };
                for &(outer, inner) in halves {
                    let [x, y] = [(a, signed || op == W3::MulSumMB), (b, signed)].map(|(v, signed)| {
                        if matches!(op, W3::MulSumSH | W3::MulSumUH) {
                            return self.halves_of(I32X4, v, outer, signed);
                        }
                        let v = self.halves_of(I16X8, v, inner, signed);
                        self.halves_of(I32X4, v, outer, signed)
                    });
                    let product = self.f.ins().imul(x, y);
                    sum = self.f.ins().iadd(sum, product);
                }
                W::Vec(sum)
            }
            W3::MulLowAddUH => {
                let [a, b, c] = [a, b, c].map(|w| {
                    let v = self.vector(w);
                    self.as_type(I16X8, v)
                });
                let product = self.f.ins().imul(a, b);
                W::Vec(self.f.ins().iadd(product, c))
            }
            W3::Perm | W3::PermR => {
                let (a, b) = (self.vector(a), self.vector(b));
                let sel = self.known_w(c);
                let c = self.vector(c);
                W::Vec(self.permute(a, b, c, sel, op == W3::PermR))
            }
            W3::ShlDouble => match self.known_w(c) {
                Some(0) => a,
                Some(n) if n % 8 == 0 && n < 128 => {
                    let (a, b) = (self.vector(a), self.vector(b));
                    let from = 16 - n as u8 / 8;
                    W::Vec(self.shuffled(b, a, std::array::from_fn(|k| from + k as u8)))
                }
                _ => self.fail_w(),
            },
            _ => self.fail_w(),
        }
    }

    fn permute(&mut self, a: Value, b: Value, c: Value, sel: Option<u128>, from_right: bool) -> Value {
        if let Some(s) = sel {
            // Byte 0 of a || b from the left is the last of the second half.
            let s = s.to_le_bytes();
            let mask = s.map(|n| if from_right { n & 31 } else { 31 - (n & 31) });
            return self.shuffled(b, a, mask);
        }
        let low5 = self.constant(u128::MAX / 255 * 0x1f);
        // Bit 4 is to tell that the byte comes from a; the rest counts from the right.
        let n = if from_right { self.f.ins().band(c, low5) } else { self.f.ins().band_not(low5, c) };
        if a == b {
            let low4 = self.constant(u128::MAX / 255 * 0x0f);
            let n = self.f.ins().band(n, low4);
            return self.f.ins().x86_pshufb(a, n);
        }
        // Bit 7 makes the host give zero.
        let (seventy, sign) = (self.constant(u128::MAX / 255 * 0x70), self.constant(u128::MAX / 255 * 0x80));
        let t = self.f.ins().iadd(n, seventy);
        let u = self.f.ins().bxor(t, sign);
        let x = self.f.ins().x86_pshufb(b, t);
        let y = self.f.ins().x86_pshufb(a, u);
        self.f.ins().bor(x, y)
    }

    /// CR6 from the mask of a comparison.
    pub(super) fn mask_to_cr6(&mut self, w: W) {
        let v = self.vector(w);
        let m = self.f.ins().vhigh_bits(I32, v);
        let all = self.f.ins().icmp_imm_u(IntCC::Equal, m, 0xffff);
        let none = self.f.ins().icmp_imm_u(IntCC::Equal, m, 0);
        let (all, none) = (self.f.ins().uextend(I64, all), self.f.ins().uextend(I64, none));
        let (all, none) = (self.f.ins().ishl_imm_u(all, 3), self.f.ins().ishl_imm_u(none, 1));
        let bits = self.f.ins().bor(all, none);
        self.set_field(6, bits);
        self.fields[6] = Some(Field::Mask { m, bits });
    }

    /// A double as a whole register with zeros behind it.
    pub(super) fn of_double(&mut self, d: Value) -> Value {
        let v = self.f.ins().scalar_to_vector(F64X2, d);
        let zero = self.constant(0);
        self.shuffled(zero, v, std::array::from_fn(|k| if k < 8 { k as u8 } else { k as u8 + 8 }))
    }

    /// Doubleword 0 as a double.
    pub(super) fn double_in(&mut self, v: Value) -> Value {
        let q = self.as_type(F64X2, v);
        self.f.ins().extractlane(q, 1u8)
    }
}
