//! What an instruction touches, and whether its semantics keep the order of [`crate::builder`].
//!
//! [`audit`] runs the semantics of one encoding with values that stand for nothing and records the primitives used.
//! Semantics can not depend on guest data, so one run says what every execution of that encoding may do.

use crate::{
    Acc, Barrier, Builder, CarryIn, Facility, Helper, Insn, Lane, Level, Mode, Op, Op1, Op2, Program, Rel,
    builder::Rare2,
    dfp::DfpOp,
    fp::{FpForm, FpInsn, FpOp, GerElem},
    wide::{W1, W2, W3},
};

/// XER[SO] in [`Regs::xer`].
pub const SO: u32 = 1 << 31;
/// XER[OV] in [`Regs::xer`].
pub const OV: u32 = 1 << 30;
/// XER[CA] in [`Regs::xer`].
pub const CA: u32 = 1 << 29;
/// XER[OV32] in [`Regs::xer`].
pub const OV32: u32 = 1 << 19;
/// XER[CA32] in [`Regs::xer`].
pub const CA32: u32 = 1 << 18;

/// A set of registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Regs {
    /// Bit n: GPR n.
    pub gpr: u32,
    /// Bit n: VSR n (FPR n is VSR n, VR n is VSR n + 32).
    pub vsr: u64,
    /// Bits of the condition register, where they stand in it.
    pub cr: u32,
    /// Bits of the XER, where they stand in its low word.
    pub xer: u32,
    /// Link register.
    pub lr: bool,
    /// Count register.
    pub ctr: bool,
    /// Target address register.
    pub tar: bool,
    /// FPSCR.
    pub fpscr: bool,
    /// VSCR.
    pub vscr: bool,
}

impl Regs {
    /// No register.
    pub const NONE: Regs =
        Regs { gpr: 0, vsr: 0, cr: 0, xer: 0, lr: false, ctr: false, tar: false, fpscr: false, vscr: false };
    /// Every register.
    pub const ALL: Regs = Regs {
        gpr: u32::MAX,
        vsr: u64::MAX,
        cr: u32::MAX,
        xer: u32::MAX,
        lr: true,
        ctr: true,
        tar: true,
        fpscr: true,
        vscr: true,
    };

    /// The registers in either.
    pub fn union(self, o: Regs) -> Regs {
        Regs {
            gpr: self.gpr | o.gpr,
            vsr: self.vsr | o.vsr,
            cr: self.cr | o.cr,
            xer: self.xer | o.xer,
            lr: self.lr | o.lr,
            ctr: self.ctr | o.ctr,
            tar: self.tar | o.tar,
            fpscr: self.fpscr | o.fpscr,
            vscr: self.vscr | o.vscr,
        }
    }

    /// Whether every register of `o` is in this set.
    pub fn contains(self, o: Regs) -> bool {
        self.union(o) == self
    }

    /// CR field `n`.
    pub const fn cr_field(n: u32) -> Regs {
        Regs { cr: 0xf000_0000 >> (4 * (n & 7)), ..Regs::NONE }
    }

    /// GPR `n`.
    pub const fn gpr(n: u32) -> Regs {
        Regs { gpr: 1 << (n & 31), ..Regs::NONE }
    }

    /// `count` VSRs from `n` on.
    pub const fn vsrs(n: u32, count: u32) -> Regs {
        let mut vsr = 0;
        let mut k = 0;
        while k < count {
            vsr |= 1u64 << ((n + k) & 63);
            k += 1;
        }
        Regs { vsr, ..Regs::NONE }
    }
}

/// How semantics break the order read, compute, memory, write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// This primitive may leave the instruction after a register was written.
    StopAfterWrite(&'static str),
    /// This primitive reads a register after one was written.
    ReadAfterWrite(&'static str),
    /// This primitive follows a jump or an operation that is the whole instruction.
    AfterEnd(&'static str),
    /// This primitive has an operand out of its range.
    Range(&'static str),
}

/// Why an encoding does not complete in a given mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// A program interrupt.
    Program(Program),
    /// A facility is off.
    Unavailable(Facility),
    /// An alignment interrupt, whatever the address.
    Alignment,
    /// No semantics.
    Absent,
}

/// What one encoding does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Touched {
    /// Registers that may be read.
    pub read: Regs,
    /// Registers that may be written.
    pub write: Regs,
    /// Memory may be read.
    pub load: bool,
    /// Memory may be written (a reservation counts as memory).
    pub store: bool,
    /// It is a barrier.
    pub barrier: bool,
    /// It may continue elsewhere than after itself.
    pub jump: bool,
    /// It may end in an interrupt.
    pub may_stop: bool,
    /// It always ends in this interrupt.
    pub leaves: Option<Leave>,
    /// A floating-point instruction handed to the engine; its registers are in `read` and `write`.
    pub fp: Option<FpInsn>,
    /// A helper handed to the engine: any register may be read and written and the machine state changed; `read` and
    /// `write` do not say so.
    pub helper: Option<Helper>,
    /// The first breach of the order.
    pub fault: Option<Fault>,
}

/// What the encoding `i` of `op` does in a mode.
pub fn audit(op: Op, i: Insn, mode: Mode) -> Touched {
    let mut a = Audit { mode, touched: Touched::default(), wrote: false, ended: false };
    let left = crate::exec(op, &mut a, i).err();
    a.touched.leaves = left;
    a.touched
}

/// A value that stands for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Value(());

/// The engine that records.
#[derive(Clone, Debug)]
pub struct Audit {
    mode: Mode,
    touched: Touched,
    /// A register has been written.
    wrote: bool,
    /// A jump or a whole operation has been met.
    ended: bool,
}

const V: Value = Value(());

impl Audit {
    fn fault(&mut self, f: Fault) {
        self.touched.fault.get_or_insert(f);
    }

    /// Every primitive: nothing follows the end.
    fn step(&mut self, name: &'static str) {
        if self.ended {
            self.fault(Fault::AfterEnd(name));
        }
    }

    fn check(&mut self, ok: bool, name: &'static str) {
        if !ok {
            self.fault(Fault::Range(name));
        }
    }

    fn read(&mut self, r: Regs, name: &'static str) -> Value {
        self.step(name);
        if self.wrote {
            self.fault(Fault::ReadAfterWrite(name));
        }
        self.touched.read = self.touched.read.union(r);
        V
    }

    fn write(&mut self, r: Regs, name: &'static str) {
        self.step(name);
        self.wrote = true;
        self.touched.write = self.touched.write.union(r);
    }

    /// A primitive that may leave the instruction.
    fn may_stop(&mut self, name: &'static str) {
        self.step(name);
        self.touched.may_stop = true;
        if self.wrote {
            self.fault(Fault::StopAfterWrite(name));
        }
    }

    fn access(&mut self, load: bool, store: bool, name: &'static str) -> Result<Value, Leave> {
        self.may_stop(name);
        self.touched.load |= load;
        self.touched.store |= store;
        Ok(V)
    }

    fn scalar(&mut self, size: u8, name: &'static str) {
        self.check(matches!(size, 1 | 2 | 4 | 8), name);
    }

    fn lane(&mut self, lane: Lane, name: &'static str) {
        self.check(matches!(lane, 1 | 2 | 4 | 8 | 16), name);
    }

    fn xer(&self, bits: u32) -> Regs {
        let bits = if self.mode.level >= Level::V3_0 { bits } else { bits & !(OV32 | CA32) };
        Regs { xer: bits, ..Regs::NONE }
    }
}

/// Registers that a floating-point instruction may read and may write.
pub fn fp_registers(f: FpInsn) -> (Regs, Regs) {
    let one = |n: u8| Regs::vsrs(n.into(), 1);
    let fpscr = Regs { fpscr: true, ..Regs::NONE };
    let field = Regs::cr_field(f.t.into());
    let abc = one(f.a).union(one(f.b)).union(one(f.c));
    let mut read = fpscr;
    let mut write = fpscr;
    match f.op {
        FpOp::Dfp(op) => {
            (read, write) = dfp_registers(f, op);
        }
        FpOp::Cr1 => return (fpscr, Regs::cr_field(1)),
        FpOp::Mcrfs => write = write.union(field),
        FpOp::Mffs | FpOp::Mffsl => write = one(f.t),
        FpOp::Mffsce | FpOp::Mffscdrni | FpOp::Mffscrni => write = write.union(one(f.t)),
        FpOp::Mffscdrn | FpOp::Mffscrn => {
            read = read.union(one(f.b));
            write = write.union(one(f.t));
        }
        FpOp::Mtfsb0 | FpOp::Mtfsb1 | FpOp::Mtfsfi => {}
        FpOp::Mtfsf => read = read.union(one(f.b)),
        FpOp::CmpU | FpOp::CmpO | FpOp::CmpExp => {
            read = read.union(one(f.a)).union(one(f.b));
            write = write.union(field);
        }
        FpOp::TestDiv | FpOp::TestSqrt => {
            read = one(f.a).union(one(f.b));
            write = field;
        }
        FpOp::TestClass if matches!(f.form, FpForm::V32 | FpForm::V64) => {
            (read, write) = (one(f.b), one(f.t));
        }
        FpOp::TestClass => {
            read = read.union(one(f.b));
            write = write.union(field);
        }
        FpOp::Ger(elem, ..) => {
            let a = if elem == GerElem::F64 { Regs::vsrs(f.a.into(), 2) } else { one(f.a) };
            let acc = Regs::vsrs(f.t.into(), 4);
            read = read.union(a).union(one(f.b)).union(acc);
            write = write.union(acc);
        }
        _ if f.form == FpForm::Vmx => {
            read = abc.union(Regs { vscr: true, ..Regs::NONE });
            // Conversions to integers set VSCR[SAT].
            write = one(f.t).union(Regs { vscr: true, ..Regs::NONE });
        }
        _ => {
            read = read.union(abc);
            write = write.union(one(f.t));
        }
    }
    if f.rc {
        let compare = matches!(f.op, FpOp::CmpEq | FpOp::CmpGt | FpOp::CmpGe | FpOp::CmpB);
        write = write.union(Regs::cr_field(if compare { 6 } else { 1 }));
        read.fpscr |= !compare;
    }
    (read, write)
}

/// The same of decimal instructions.
fn dfp_registers(f: FpInsn, op: DfpOp) -> (Regs, Regs) {
    let fpscr = Regs { fpscr: true, ..Regs::NONE };
    let wide = f.form == FpForm::Dec128;
    let number = |n: u8| if wide { Regs::vsrs((n & 30).into(), 2) } else { Regs::vsrs((n & 31).into(), 1) };
    let (a, b, t) = (number(f.a), number(f.b), number(f.t));
    let single = |n: u8| Regs::vsrs(n.into(), 1);
    let field = Regs::cr_field(f.t.into());
    use DfpOp::*;
    let (read, write) = match op {
        Add | Sub | Mul | Div | Quantize => (a.union(b), t),
        CmpU | CmpO | TestExp => (a.union(b), field),
        TestClass | TestGroup => (a, field),
        TestSig => (single(f.a).union(b), field),
        TestSigImm => (b, field),
        Reround | InsertExp => (single(f.a).union(b), t),
        QuantizeImm | RintX | RintN | LongToShort | ExtToLong | ToBcd | FromBcd => (b, t),
        ShortToLong | LongToExt | FromI64 | FromI128 => (single(f.b), t),
        ToI64 | ToI128 | ExtractExp => (b, single(f.t)),
        ShiftLeft | ShiftRight => (a, t),
    };
    let keeps = matches!(op, ToBcd | ExtractExp | InsertExp | ShiftLeft | ShiftRight);
    (read.union(fpscr), if keeps { write } else { write.union(fpscr) })
}

impl Builder for Audit {
    type V = Value;
    type W = Value;
    type C = Value;
    type Stop = Leave;

    fn mode(&self) -> Mode {
        self.mode
    }
    fn cia(&self) -> u64 {
        0
    }
    fn program(&mut self, why: Program) -> Leave {
        self.may_stop("program");
        Leave::Program(why)
    }
    fn unavailable(&mut self, f: Facility) -> Leave {
        self.may_stop("unavailable");
        Leave::Unavailable(f)
    }
    fn alignment(&mut self, _: Value) -> Leave {
        self.may_stop("alignment");
        Leave::Alignment
    }
    fn absent(&mut self, _: Insn) -> Leave {
        self.may_stop("absent");
        Leave::Absent
    }
    fn trap_if(&mut self, _: Value) -> Result<(), Leave> {
        self.may_stop("trap_if");
        Ok(())
    }
    fn imm(&mut self, _: u64) -> Value {
        V
    }
    fn op1(&mut self, _: Op1, _: Value) -> Value {
        V
    }
    fn op2(&mut self, _: Op2, _: Value, _: Value) -> Value {
        V
    }
    fn rare2(&mut self, _: Rare2, _: Value, _: Value) -> Value {
        V
    }
    fn divide_ext(&mut self, _: Value, _: Value, _: bool) -> (Value, Value) {
        (V, V)
    }
    fn rel(&mut self, _: Rel, _: Value, _: Value) -> Value {
        V
    }
    fn test_bit(&mut self, _: Value, n: u32) -> Value {
        self.check(n < 64, "test_bit");
        V
    }
    fn select(&mut self, _: Value, _: Value, _: Value) -> Value {
        V
    }
    fn c_value(&mut self, _: Value) -> Value {
        V
    }
    fn c_const(&mut self, _: bool) -> Value {
        V
    }
    fn c_and(&mut self, _: Value, _: Value) -> Value {
        V
    }
    fn c_or(&mut self, _: Value, _: Value) -> Value {
        V
    }
    fn c_xor(&mut self, _: Value, _: Value) -> Value {
        V
    }
    fn c_not(&mut self, _: Value) -> Value {
        V
    }
    fn gpr(&mut self, n: u32) -> Value {
        self.check(n < 32, "gpr");
        self.read(Regs::gpr(n), "gpr")
    }
    fn set_gpr(&mut self, n: u32, _: Value) {
        self.check(n < 32, "set_gpr");
        self.write(Regs::gpr(n), "set_gpr");
    }
    fn lr(&mut self) -> Value {
        self.read(Regs { lr: true, ..Regs::NONE }, "lr")
    }
    fn set_lr(&mut self, _: Value) {
        self.write(Regs { lr: true, ..Regs::NONE }, "set_lr");
    }
    fn ctr(&mut self) -> Value {
        self.read(Regs { ctr: true, ..Regs::NONE }, "ctr")
    }
    fn set_ctr(&mut self, _: Value) {
        self.write(Regs { ctr: true, ..Regs::NONE }, "set_ctr");
    }
    fn tar(&mut self) -> Result<Value, Leave> {
        self.may_stop("tar");
        Ok(self.read(Regs { tar: true, ..Regs::NONE }, "tar"))
    }
    fn cr_field(&mut self, n: u32) -> Value {
        self.check(n < 8, "cr_field");
        self.read(Regs::cr_field(n), "cr_field")
    }
    fn set_cr_field(&mut self, n: u32, _: Value) {
        self.check(n < 8, "set_cr_field");
        self.write(Regs::cr_field(n), "set_cr_field");
    }
    fn cr_bit(&mut self, n: u32) -> Value {
        self.check(n < 32, "cr_bit");
        self.read(Regs { cr: 1 << (31 - (n & 31)), ..Regs::NONE }, "cr_bit")
    }
    fn set_cr_bit(&mut self, n: u32, _: Value) {
        self.check(n < 32, "set_cr_bit");
        self.write(Regs { cr: 1 << (31 - (n & 31)), ..Regs::NONE }, "set_cr_bit");
    }
    fn cr_compare(&mut self, n: u32, _: bool, _: bool, _: Value, _: Value) {
        self.check(n < 8, "cr_compare");
        // SO as the instruction itself may have left it.
        self.touched.read.xer |= SO;
        self.write(Regs::cr_field(n), "cr_compare");
    }
    fn cr(&mut self) -> Value {
        self.read(Regs { cr: u32::MAX, ..Regs::NONE }, "cr")
    }
    fn xer(&mut self) -> Value {
        self.read(Regs { xer: u32::MAX, ..Regs::NONE }, "xer")
    }
    fn set_xer(&mut self, _: Value) {
        self.write(Regs { xer: u32::MAX, ..Regs::NONE }, "set_xer");
    }
    fn so(&mut self) -> Value {
        self.read(Regs { xer: SO, ..Regs::NONE }, "so")
    }
    fn ca(&mut self) -> Value {
        self.read(Regs { xer: CA, ..Regs::NONE }, "ca")
    }
    fn set_ov(&mut self, _: Value, _: Value) {
        self.write(Audit::xer(self, SO | OV | OV32), "set_ov");
    }
    fn set_ca(&mut self, _: Value, _: Value) {
        self.write(Audit::xer(self, CA | CA32), "set_ca");
    }
    fn add_xer(&mut self, _: Value, _: Value, cin: CarryIn, ca: bool, ov: bool) -> Value {
        if cin == CarryIn::Ca {
            self.read(Regs { xer: CA, ..Regs::NONE }, "add_xer");
        }
        let bits = if ca { CA | CA32 } else { 0 } | if ov { SO | OV | OV32 } else { 0 };
        if bits != 0 {
            self.write(Audit::xer(self, bits), "add_xer");
        }
        V
    }
    fn jump(&mut self, _: u64) {
        self.step("jump");
        self.touched.jump = true;
        self.ended = true;
    }
    fn jump_if(&mut self, _: Value, _: u64) {
        self.jump(0);
    }
    fn jump_to(&mut self, _: Option<Value>, _: Value) {
        self.jump(0);
    }
    fn load(&mut self, _: Value, acc: Acc) -> Result<Value, Leave> {
        self.scalar(acc.size, "load");
        self.access(true, false, "load")
    }
    fn store(&mut self, _: Value, _: Value, acc: Acc) -> Result<(), Leave> {
        self.scalar(acc.size, "store");
        self.access(false, true, "store").map(|_| ())
    }
    fn load_w(&mut self, _: Value, lane: Lane) -> Result<Value, Leave> {
        self.lane(lane, "load_w");
        self.access(true, false, "load_w")
    }
    fn store_w(&mut self, _: Value, _: Value, lane: Lane) -> Result<(), Leave> {
        self.lane(lane, "store_w");
        self.access(false, true, "store_w").map(|_| ())
    }
    fn load_q(&mut self, _: Value) -> Result<Value, Leave> {
        self.access(true, false, "load_q")
    }
    fn store_q(&mut self, _: Value, _: Value) -> Result<(), Leave> {
        self.access(false, true, "store_q").map(|_| ())
    }
    fn load_part(&mut self, _: Value, _: Value, lane: Lane) -> Result<Value, Leave> {
        self.check(matches!(lane, 1 | 16), "load_part");
        self.access(true, false, "load_part")
    }
    fn store_part(&mut self, _: Value, _: Value, _: Value, lane: Lane) -> Result<(), Leave> {
        self.check(matches!(lane, 1 | 16), "store_part");
        self.access(false, true, "store_part").map(|_| ())
    }
    fn larx(&mut self, _: Value, size: u8) -> Result<Value, Leave> {
        self.scalar(size, "larx");
        self.access(true, true, "larx")
    }
    fn stcx(&mut self, _: Value, _: Value, size: u8) -> Result<Value, Leave> {
        self.scalar(size, "stcx");
        self.access(false, true, "stcx")
    }
    fn lqarx(&mut self, _: Value) -> Result<Value, Leave> {
        self.access(true, true, "lqarx")
    }
    fn stqcx(&mut self, _: Value, _: Value) -> Result<Value, Leave> {
        self.access(false, true, "stqcx")
    }
    fn dcbz(&mut self, _: Value) -> Result<(), Leave> {
        self.access(false, true, "dcbz").map(|_| ())
    }
    fn barrier(&mut self, _: Barrier) {
        self.step("barrier");
        self.touched.barrier = true;
    }
    fn fpr(&mut self, n: u32) -> Value {
        self.check(n < 64, "fpr");
        self.read(Regs::vsrs(n, 1), "fpr")
    }
    fn set_fpr(&mut self, n: u32, _: Value) {
        self.check(n < 64, "set_fpr");
        self.write(Regs::vsrs(n, 1), "set_fpr");
    }
    fn vsr(&mut self, n: u32) -> Value {
        self.check(n < 64, "vsr");
        self.read(Regs::vsrs(n, 1), "vsr")
    }
    fn set_vsr(&mut self, n: u32, _: Value) {
        self.check(n < 64, "set_vsr");
        self.write(Regs::vsrs(n, 1), "set_vsr");
    }
    fn single_to_double(&mut self, _: Value) -> Value {
        V
    }
    fn double_to_single(&mut self, _: Value) -> Value {
        V
    }
    fn w_imm(&mut self, _: u128) -> Value {
        V
    }
    fn w_pair(&mut self, _: Value, _: Value) -> Value {
        V
    }
    fn w_hi(&mut self, _: Value) -> Value {
        V
    }
    fn w_lo(&mut self, _: Value) -> Value {
        V
    }
    fn w1(&mut self, _: W1, _: Value) -> Value {
        V
    }
    fn w2(&mut self, _: W2, _: Value, _: Value) -> Value {
        V
    }
    fn w3(&mut self, _: W3, _: Value, _: Value, _: Value) -> Value {
        V
    }
    fn w2_sat(&mut self, _: W2, _: Value, _: Value) -> Value {
        self.write(Regs { vscr: true, ..Regs::NONE }, "w2_sat");
        V
    }
    fn w3_sat(&mut self, _: W3, _: Value, _: Value, _: Value) -> Value {
        self.write(Regs { vscr: true, ..Regs::NONE }, "w3_sat");
        V
    }
    fn fp_insn(&mut self, f: FpInsn) -> Result<(), Leave> {
        let (read, write) = fp_registers(f);
        self.read(read, "fp_insn");
        self.may_stop("fp_insn");
        self.write(write, "fp_insn");
        // A move to an FPR may follow the copy to CR1; every other operation is the whole instruction.
        if f.op != FpOp::Cr1 {
            self.touched.fp = Some(f);
            self.ended = true;
        }
        Ok(())
    }
    fn helper(&mut self, h: Helper, _: Insn) -> Result<(), Leave> {
        self.may_stop("helper");
        self.touched.helper = Some(h);
        self.touched.jump = true;
        self.ended = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ROWS;

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Encodings of every row: all values of each five-bit field with random others.
    fn every_encoding(mut f: impl FnMut(&'static crate::Row, Insn, Mode)) {
        let mut s = 1;
        for row in ROWS {
            let e = row.enc;
            for shift in [0, 1, 5, 6, 10, 11, 16, 21] {
                for v in 0..32u32 {
                    for _ in 0..4 {
                        let r = random(&mut s);
                        let field = 31u32.wrapping_shl(shift);
                        let raw = e.value | (r as u32 & !field | v << shift) & !e.mask;
                        let i = if e.pmask != 0 {
                            Insn::prefixed(e.pvalue | (r >> 32) as u32 & !e.pmask, raw)
                        } else {
                            Insn::new(raw)
                        };
                        let m = random(&mut s);
                        let on = |n: u32| m >> n & 1 != 0;
                        // Facilities are mostly on.
                        let mode = Mode {
                            sf: on(0),
                            le: on(1),
                            pr: on(2),
                            fp: m >> 3 & 7 != 0,
                            vec: m >> 6 & 7 != 0,
                            vsx: m >> 9 & 7 != 0,
                            fe: on(12),
                            level: if on(13) { Level::V3_1 } else { row.since },
                        };
                        f(row, i, mode);
                    }
                }
            }
        }
    }

    #[test]
    fn every_row_keeps_the_order() {
        let mut bad = std::collections::BTreeMap::new();
        every_encoding(|row, i, mode| {
            if let Some(f) = audit(row.op, i, mode).fault {
                bad.entry(row.mnemonic).or_insert((f, i));
            }
        });
        assert!(
            bad.is_empty(),
            "{}",
            bad.iter().map(|(m, (f, _))| format!("{m} {f:?}\n")).collect::<String>()
        );
    }

    const MODE: Mode =
        Mode { sf: true, le: true, pr: false, fp: true, vec: true, vsx: true, fe: false, level: Level::V3_1 };

    fn of(word: u32) -> Touched {
        let i = Insn::new(word);
        audit(crate::decode(i, Level::V3_1), i, MODE)
    }

    #[test]
    fn known_sets() {
        // addeo. r3,r4,r5
        let t = of(31 << 26 | 3 << 21 | 4 << 16 | 5 << 11 | 1 << 10 | 138 << 1 | 1);
        assert_eq!((t.read.gpr, t.write.gpr), (1 << 4 | 1 << 5, 1 << 3));
        assert_eq!((t.read.xer, t.write.xer), (CA | SO, SO | OV | CA | OV32 | CA32));
        assert_eq!((t.write.cr, t.may_stop, t.load, t.jump), (0xf000_0000, false, false, false));
        // lwzu r3,8(r4)
        let t = of(33 << 26 | 3 << 21 | 4 << 16 | 8);
        assert_eq!((t.read.gpr, t.write.gpr), (1 << 4, 1 << 3 | 1 << 4));
        assert_eq!((t.load, t.store, t.may_stop), (true, false, true));
        // bdnzl 2,.+8
        let t = of(16 << 26 | 2 << 16 | 9);
        assert_eq!(
            (t.read.cr, t.read.ctr, t.write.ctr, t.write.lr, t.jump),
            (1 << 29, true, true, true, true)
        );
        // xvf64gerpp a1,vs8,vs10
        let t = of(59 << 26 | 1 << 23 | 8 << 16 | 10 << 11 | 58 << 3);
        assert_eq!((t.read.vsr, t.write.vsr), (0xf << 4 | 3 << 8 | 1 << 10, 0xf << 4));
        // daddq. f2,f4,f6
        let t = of(63 << 26 | 2 << 21 | 4 << 16 | 6 << 11 | 2 << 1 | 1);
        assert_eq!((t.read.vsr, t.write.vsr, t.write.cr), (0b1111 << 4, 0b11 << 2, 0x0f00_0000));
        // fmr. f1,f2
        let t = of(63 << 26 | 1 << 21 | 2 << 11 | 72 << 1 | 1);
        assert_eq!((t.read.vsr, t.write.vsr, t.write.cr, t.fp), (4, 2, 0x0f00_0000, None));
        // sc, and what is not there.
        assert_eq!(of(17 << 26 | 2).helper, Some(Helper::Sc));
        assert_eq!(of(0).leaves, Some(Leave::Program(Program::Illegal)));
        let i = Insn::new(63 << 26 | 21 << 1);
        let t = audit(Op::Fadd, i, Mode { fp: false, ..MODE });
        assert_eq!((t.leaves, t.write), (Some(Leave::Unavailable(Facility::Fp)), Regs::NONE));
    }

    /// The register fields of the operand strings are among the registers touched, and targets among those written.
    #[test]
    fn sets_agree_with_the_operands() {
        every_encoding(|row, i, mode| {
            let t = audit(row.op, i, Mode { pr: false, fp: true, vec: true, vsx: true, ..mode });
            if t.leaves.is_some() || t.helper.is_some() {
                return;
            }
            let any = t.read.union(t.write);
            for field in row.operands.split(',') {
                let (set, written) = match field {
                    // The invalid form, which leaves RA alone.
                    "RT" if row.mnemonic == "lswi" && i.rt() == i.ra() => continue,
                    "RT" => (Regs::gpr(i.rt()), true),
                    "RS" => (Regs::gpr(i.rs()), false),
                    "FRT" => (Regs::vsrs(i.frt(), 1), true),
                    "FRTp" => (Regs::vsrs(i.frt() & !1, 1), true),
                    "FRA" => (Regs::vsrs(i.fra(), 1), false),
                    "FRAp" => (Regs::vsrs(i.fra() & !1, 2), false),
                    "FRB" => (Regs::vsrs(i.frb(), 1), false),
                    "FRBp" => (Regs::vsrs(i.frb() & !1, 2), false),
                    "VRT" => (Regs::vsrs(i.vrt() + 32, 1), true),
                    "VRB" => (Regs::vsrs(i.vrb() + 32, 1), false),
                    "XA" => (Regs::vsrs(i.xa(), 1), false),
                    "XB" => (Regs::vsrs(i.xb(), 1), false),
                    _ => continue,
                };
                let have = if written { t.write } else { any };
                assert!(have.contains(set), "{} {field} {i:x?} {t:?}", row.mnemonic);
            }
        });
    }
}
