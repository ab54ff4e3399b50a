//! 128-bit values: vector integer operations inline.

use isa::Lane;
use isa::wide::{W1, W2, W3};

use crate::asm::{Alu, Cc, R, RAX, RBP, RCX, RDX, Sh, X, m};
use crate::emit::{Emit, W, st};
use crate::thunk::{TRANSPOSED, consts};

/// The SSE operation of `op` with d = a, s = b.
fn sse2(op: W2) -> Option<u32> {
    Some(match op {
        W2::And => 0x0fdb,
        W2::Or => 0x0feb,
        W2::Xor => 0x0fef,
        W2::AddB => 0x0ffc,
        W2::AddH => 0x0ffd,
        W2::AddW => 0x0ffe,
        W2::AddD => 0x0fd4,
        W2::SubB => 0x0ff8,
        W2::SubH => 0x0ff9,
        W2::SubW => 0x0ffa,
        W2::SubD => 0x0ffb,
        W2::EqB => 0x0f74,
        W2::EqH => 0x0f75,
        W2::EqW => 0x0f76,
        W2::EqD => 0x0f3829,
        W2::GtSB => 0x0f64,
        W2::GtSH => 0x0f65,
        W2::GtSW => 0x0f66,
        W2::GtSD => 0x0f3837,
        W2::MaxUB => 0x0fde,
        W2::MinUB => 0x0fda,
        W2::MaxSH => 0x0fee,
        W2::MinSH => 0x0fea,
        W2::MaxSB => 0x0f383c,
        W2::MinSB => 0x0f3838,
        W2::MaxUH => 0x0f383e,
        W2::MinUH => 0x0f383a,
        W2::MaxSW => 0x0f383d,
        W2::MinSW => 0x0f3839,
        W2::MaxUW => 0x0f383f,
        W2::MinUW => 0x0f383b,
        W2::AvgUB => 0x0fe0,
        W2::AvgUH => 0x0fe3,
        W2::MulW => 0x0f3840,
        _ => return None,
    })
}

/// Rotation counts of SHA-2's functions, right: the last is a shift of the small ones. By word size, then by ST and SIX.
pub const SIGMA: [[[u8; 3]; 4]; 2] = [
    [[7, 18, 3], [17, 19, 10], [2, 13, 22], [6, 11, 25]],
    [[1, 8, 7], [19, 61, 6], [28, 34, 39], [14, 18, 41]],
];

impl Emit<'_> {
    /// Note that `r` is a copy of the low (0) or high (1) half of `x`.
    pub(crate) fn note_half(&mut self, r: R, x: X, half: u8) {
        if let Some(place) = self.halves.iter_mut().find(|h| h.is_none()) {
            *place = Some((r, x, half));
        }
    }

    /// What `r` is a copy of.
    pub(crate) fn half(&self, r: R) -> Option<(X, u8)> {
        self.halves.iter().flatten().find(|h| h.0 == r).map(|h| (h.1, h.2))
    }

    pub(crate) fn x(&mut self, w: W) -> X {
        match w {
            W::Reg(x) => x,
            W::Imm(_) => self.xcopy(w),
        }
    }

    /// A fresh register with a copy of `w`.
    pub(crate) fn xcopy(&mut self, w: W) -> X {
        let d = self.xalloc();
        self.xto(d, w);
        d
    }

    pub(crate) fn xto(&mut self, d: X, w: W) {
        match w {
            W::Reg(s) => self.a.xx(0x66, 0x0f6f, d, s),
            W::Imm(0) => self.a.xx(0x66, 0x0fef, d, d),
            W::Imm(u128::MAX) => self.a.xx(0x66, 0x0f76, d, d),
            W::Imm(n) => {
                self.a.movi(RAX, n as u64);
                self.a.movq_xr(d, RAX);
                self.a.movi(RAX, (n >> 64) as u64);
                self.a.pinsrq(d, RAX);
            }
        }
    }

    pub(crate) fn x2(&mut self, op: u32, a: W, b: W) -> W {
        if self.avx {
            let (v, s) = (self.x(a), self.x(b));
            let d = self.xalloc();
            self.a.v3(0x66, op, d, v, s);
            return W::Reg(d);
        }
        let d = self.xcopy(a);
        let s = self.x(b);
        self.a.xx(0x66, op, d, s);
        W::Reg(d)
    }

    pub(crate) fn xnot(&mut self, w: W) -> W {
        let W::Reg(d) = w else { return self.give_up_w() };
        let c = self.consts(consts::ONES);
        self.a.xrip(0x66, 0x0fef, d, c);
        w
    }

    /// Memory order to register order (and back: each is its own inverse).
    pub(crate) fn lanes(&mut self, d: X, lane: Lane) {
        match lane {
            16 if self.mode.le => {}
            8 if self.mode.le => self.a.xxi(0x66, 0x0f70, d, d, 0x4e),
            4 if self.mode.le => self.a.xxi(0x66, 0x0f70, d, d, 0x1b),
            2 if self.mode.le => {
                let c = self.consts(consts::REVH);
                self.a.xrip(0x66, 0x0f3800, d, c);
            }
            _ => {
                let c = self.consts(consts::REV16);
                self.a.xrip(0x66, 0x0f3800, d, c);
            }
        }
    }

    pub(crate) fn permute(&mut self, a: W, b: W, c: W, flip: u8) -> W {
        if self.avx {
            return self.permute_avx(a, b, c, flip == 0x10);
        }
        let t = self.xcopy(c);
        let low5 = self.consts(consts::LOW5);
        self.a.xrip(0x66, 0x0fdb, t, low5);
        let f = self.x(W::Imm(u128::from_le_bytes([flip; 16])));
        self.a.xx(0x66, 0x0fef, t, f);
        // Bit 7 where the byte comes from b.
        let k = self.x(W::Imm(u128::from_le_bytes([0x70; 16])));
        self.a.xx(0x66, 0x0ffc, t, k);
        let d = self.xcopy(a);
        self.a.xx(0x66, 0x0f3800, d, t);
        let sign = self.consts(consts::SIGN8);
        self.a.xrip(0x66, 0x0fef, t, sign);
        let e = self.xcopy(b);
        self.a.xx(0x66, 0x0f3800, e, t);
        self.a.xx(0x66, 0x0feb, d, e);
        W::Reg(d)
    }

    /// Bit 4 of a selector is made to tell that the byte comes from `a`; the rest counts from the right.
    fn permute_avx(&mut self, a: W, b: W, c: W, from_right: bool) -> W {
        let (a, b, c) = (self.x(a), self.x(b), self.x(c));
        let [low5, seventy, sign] = [consts::LOW5, consts::X70, consts::SIGN8].map(|n| self.consts(n));
        let (t, d) = (self.xalloc(), self.xalloc());
        self.a.vrip(0x66, if from_right { 0x0fdb } else { 0x0fdf }, t, c, low5);
        // Bit 7, which makes the host give zero, where the byte comes from a.
        self.a.vrip(0x66, 0x0ffc, t, t, seventy);
        self.a.v3(0x66, 0x0f3800, d, b, t);
        self.a.vrip(0x66, 0x0fef, t, t, sign);
        self.a.v3(0x66, 0x0f3800, t, a, t);
        self.a.v3(0x66, 0x0feb, d, d, t);
        W::Reg(d)
    }

    /// One operand.
    pub(crate) fn wide1(&mut self, op: W1, a: W) -> W {
        if let W::Imm(x) = a {
            return W::Imm(isa::wide::eval1(op, x));
        }
        match op {
            W1::Not => {
                let d = self.xcopy(a);
                self.xnot(W::Reg(d))
            }
            _ => self.more1(op, a),
        }
    }

    /// Two operands.
    pub(crate) fn wide2(&mut self, op: W2, a: W, b: W) -> W {
        if let (W::Imm(x), W::Imm(y)) = (a, b) {
            return W::Imm(isa::wide::eval2(op, x, y));
        }
        if let Some(o) = sse2(op) {
            return self.x2(o, a, b);
        }
        match op {
            // d = !d & s
            W2::Andc => self.x2(0x0fdf, b, a),
            W2::Nand | W2::Nor | W2::Eqv | W2::NeB | W2::NeH | W2::NeW => {
                let o = match op {
                    W2::Nand => 0x0fdb,
                    W2::Nor => 0x0feb,
                    W2::Eqv => 0x0fef,
                    W2::NeB => 0x0f74,
                    W2::NeH => 0x0f75,
                    _ => 0x0f76,
                };
                let w = self.x2(o, a, b);
                self.xnot(w)
            }
            W2::Orc => {
                let d = self.xcopy(b);
                let n = self.xnot(W::Reg(d));
                self.x2(0x0feb, n, a)
            }
            // a > b where not max(a, b) = b
            W2::GtUB | W2::GtUH | W2::GtUW => {
                let (max, eq) = match op {
                    W2::GtUB => (0x0fde, 0x0f74),
                    W2::GtUH => (0x0f383e, 0x0f75),
                    _ => (0x0f383f, 0x0f76),
                };
                let w = self.x2(max, a, b);
                let w = self.x2(eq, w, b);
                self.xnot(w)
            }
            W2::MergeHiB => self.x2(0x0f68, b, a),
            W2::MergeHiH => self.x2(0x0f69, b, a),
            W2::MergeHiW => self.x2(0x0f6a, b, a),
            W2::MergeLoB => self.x2(0x0f60, b, a),
            W2::MergeLoH => self.x2(0x0f61, b, a),
            W2::MergeLoW => self.x2(0x0f62, b, a),
            W2::SplatB | W2::SplatH | W2::SplatW => {
                let W::Imm(n) = b else { return self.give_up_w() };
                let d = self.xcopy(a);
                match op {
                    W2::SplatW => self.a.xxi(0x66, 0x0f70, d, d, 0x55 * (3 - (n as u8 & 3))),
                    W2::SplatH => {
                        let at = 2 * (7 - (n as u16 & 7));
                        let mask = W::Imm(
                            0x0001_0001_0001_0001_0001_0001_0001_0001u128 * (at | (at + 1) << 8) as u128,
                        );
                        let s = self.x(mask);
                        self.a.xx(0x66, 0x0f3800, d, s);
                    }
                    _ => {
                        let s = self.x(W::Imm(u128::from_le_bytes([15 - (n as u8 & 15); 16])));
                        self.a.xx(0x66, 0x0f3800, d, s);
                    }
                }
                W::Reg(d)
            }
            _ => self.more2(op, a, b),
        }
    }

    /// Two operands, saturating: VSCR[SAT] is set if an element does.
    pub(crate) fn wide2_sat(&mut self, op: W2, a: W, b: W) -> W {
        if !self.avx {
            return self.give_up_w();
        }
        // The operation, and the same without saturation.
        let sum = match op {
            W2::AddSatSB => Some((0x0fec, 0x0ffc)),
            W2::AddSatUB => Some((0x0fdc, 0x0ffc)),
            W2::AddSatSH => Some((0x0fed, 0x0ffd)),
            W2::AddSatUH => Some((0x0fdd, 0x0ffd)),
            W2::SubSatSB => Some((0x0fe8, 0x0ff8)),
            W2::SubSatUB => Some((0x0fd8, 0x0ff8)),
            W2::SubSatSH => Some((0x0fe9, 0x0ff9)),
            W2::SubSatUH => Some((0x0fd9, 0x0ff9)),
            _ => None,
        };
        let halves = matches!(op, W2::PackHSs | W2::PackHSu | W2::PackHUu);
        let (shift, by) = if halves { (0x71, 8) } else { (0x72, 16) };
        let (x, y) = (self.x(a), self.x(b));
        let d = self.xalloc();
        // X15: zero if no element saturates.
        match op {
            W2::PackHSs | W2::PackWSs => {
                for (to, from) in [(X(15), x), (X(14), y)] {
                    self.a.vshi(shift, 6, to, from, by);
                    self.a.vshi(shift, 4, to, to, by);
                    self.a.v3(0x66, 0x0fef, to, to, from);
                }
                self.a.v3(0x66, 0x0feb, X(15), X(15), X(14));
                self.a.v3(0x66, if halves { 0x0f63 } else { 0x0f6b }, d, y, x);
            }
            W2::PackHSu | W2::PackWSu | W2::PackHUu | W2::PackWUu => {
                let pack = if halves { 0x0f67 } else { 0x0f382b };
                if matches!(op, W2::PackHUu | W2::PackWUu) {
                    // The host takes them for signed.
                    let most = self.consts(if halves { consts::H255 } else { consts::W65535 });
                    let least = if halves { 0x0f383a } else { 0x0f383b };
                    self.a.vrip(0x66, least, X(14), x, most);
                    self.a.vrip(0x66, least, d, y, most);
                    self.a.v3(0x66, pack, d, d, X(14));
                } else {
                    self.a.v3(0x66, pack, d, y, x);
                }
                self.a.v3(0x66, 0x0feb, X(15), x, y);
                self.a.vshi(shift, 2, X(15), X(15), by);
            }
            _ => {
                let Some((saturating, plain)) = sum else { return self.give_up_w() };
                self.a.v3(0x66, saturating, d, x, y);
                self.a.v3(0x66, plain, X(15), x, y);
                self.a.v3(0x66, 0x0fef, X(15), X(15), d);
            }
        }
        self.a.v3(0x66, 0x0f3817, X(15), X(0), X(15));
        self.a.setcc(Cc::Ne, RAX);
        self.writes();
        self.a.alum8_to(Alu::Or, m(RBP, st!(vscr)), RAX);
        W::Reg(d)
    }

    /// Three operands.
    pub(crate) fn wide3(&mut self, op: W3, a: W, b: W, c: W) -> W {
        match op {
            W3::Select => {
                let n = self.x2(0x0fdf, c, a);
                let y = self.x2(0x0fdb, b, c);
                self.x2(0x0feb, n, y)
            }
            W3::MulSumUB | W3::MulSumMB | W3::MulSumSH | W3::MulSumUH => self.product_sums(op, a, b, c),
            W3::MulLowAddUH => {
                let product = self.x2(0x0fd5, a, b);
                self.x2(0x0ffd, product, c)
            }
            W3::Perm => self.permute(a, b, c, 0x0f),
            W3::PermR => self.permute(a, b, c, 0x10),
            W3::ShlDouble => {
                let W::Imm(n) = c else { return self.give_up_w() };
                let n = n as u8;
                if n % 8 != 0 || n >= 128 {
                    return self.give_up_w();
                }
                if n == 0 {
                    return a;
                }
                let d = self.xcopy(a);
                let s = self.x(b);
                self.a.xxi(0x66, 0x0f3a0f, d, s, 16 - n / 8);
                W::Reg(d)
            }
            _ => self.give_up_w(),
        }
    }

    /// Products of the elements of words, and a third word: their sum.
    fn product_sums(&mut self, op: W3, a: W, b: W, c: W) -> W {
        if !self.avx {
            return self.give_up_w();
        }
        let (x, y, z) = (self.x(a), self.x(b), self.x(c));
        let d = self.xalloc();
        match op {
            // The host adds neighbours.
            W3::MulSumSH => self.a.v3(0x66, 0x0ff5, d, x, y),
            W3::MulSumUH => {
                self.a.vshi(0x72, 2, X(15), x, 16);
                self.a.vshi(0x72, 2, X(14), y, 16);
                self.a.v3(0x66, 0x0f3840, X(15), X(15), X(14));
                for (to, from) in [(d, x), (X(14), y)] {
                    self.a.vshi(0x72, 6, to, from, 16);
                    self.a.vshi(0x72, 2, to, to, 16);
                }
                self.a.v3(0x66, 0x0f3840, d, d, X(14));
                self.a.v3(0x66, 0x0ffe, d, d, X(15));
            }
            _ => {
                let signed = op == W3::MulSumMB;
                self.bytes_of(X(15), x, false, signed);
                self.bytes_of(X(14), y, false, false);
                self.a.v3(0x66, 0x0ff5, X(15), X(15), X(14));
                self.bytes_of(d, x, true, signed);
                self.bytes_of(X(14), y, true, false);
                self.a.v3(0x66, 0x0ff5, d, d, X(14));
                self.a.v3(0x66, 0x0ffe, d, d, X(15));
            }
        }
        self.a.v3(0x66, 0x0ffe, d, d, z);
        W::Reg(d)
    }

    /// Operations that need AVX2 or more than a table row.
    fn more1(&mut self, op: W1, a: W) -> W {
        if !self.avx {
            return self.give_up_w();
        }
        let s = self.x(a);
        let d = self.xalloc();
        match op {
            W1::NegW | W1::NegD => {
                self.a.v3(0x66, 0x0fef, d, d, d);
                self.a.v3(0x66, if op == W1::NegW { 0x0ffa } else { 0x0ffb }, d, d, s);
            }
            W1::UnpackHiB | W1::UnpackHiH | W1::UnpackHiW => {
                self.a.vshi(0x73, 3, d, s, 8);
                let o = [0x0f3820, 0x0f3823, 0x0f3825][op as usize - W1::UnpackHiB as usize];
                self.a.v3(0x66, o, d, X(0), d);
            }
            W1::UnpackLoB | W1::UnpackLoH | W1::UnpackLoW => {
                let o = [0x0f3820, 0x0f3823, 0x0f3825][op as usize - W1::UnpackLoB as usize];
                self.a.v3(0x66, o, d, X(0), s);
            }
            W1::SwapD => {
                let c = self.consts(consts::REV16);
                self.a.vrip(0x66, 0x0f3800, d, s, c);
                self.a.v3i(0x66, 0x0f70, d, X(0), d, 0x4e);
            }
            W1::SwapW => {
                let c = self.consts(consts::REV16);
                self.a.vrip(0x66, 0x0f3800, d, s, c);
                self.a.v3i(0x66, 0x0f70, d, X(0), d, 0x1b);
            }
            W1::SwapQ => {
                let c = self.consts(consts::REV16);
                self.a.vrip(0x66, 0x0f3800, d, s, c);
            }
            W1::ClzLsb | W1::CtzLsb => {
                self.a.vshi(0x71, 6, d, s, 7);
                self.a.vmovmsk(1, RAX, d);
                // Byte 0 of the register is bit 15 of the mask.
                if op == W1::ClzLsb {
                    self.a.shi(Sh::Shl, false, RAX, 16);
                    self.a.alui(Alu::Or, false, RAX, 0x8000);
                    self.a.lzcnt(false, RAX, RAX);
                } else {
                    self.a.alui(Alu::Or, false, RAX, 0x10000);
                    self.a.tzcnt(false, RAX, RAX);
                }
                self.a.movq_xr(d, RAX);
            }
            W1::PopD | W1::ClzD | W1::CtzD => {
                self.a.movq_rx(RAX, s);
                self.a.pextrq(RCX, s);
                for r in [RAX, RCX] {
                    match op {
                        W1::PopD => self.a.popcnt(r, r),
                        W1::ClzD => self.a.lzcnt(true, r, r),
                        _ => self.a.tzcnt(true, r, r),
                    }
                }
                self.a.movq_xr(d, RAX);
                self.a.pinsrq(d, RCX);
            }
            W1::Gather => {
                let mut from = s;
                for (n, (by, _)) in TRANSPOSED.into_iter().enumerate() {
                    let mask = self.consts(consts::TRANSPOSED + n);
                    self.a.vshi(0x73, 2, X(15), from, by);
                    self.a.v3(0x66, 0x0fef, X(15), X(15), from);
                    self.a.vrip(0x66, 0x0fdb, X(15), X(15), mask);
                    self.a.v3(0x66, 0x0fef, d, from, X(15));
                    self.a.vshi(0x73, 6, X(15), X(15), by);
                    self.a.v3(0x66, 0x0fef, d, d, X(15));
                    from = d;
                }
            }
            _ => return self.give_up_w(),
        }
        W::Reg(d)
    }

    fn more2(&mut self, op: W2, a: W, b: W) -> W {
        if !self.avx {
            return self.give_up_w();
        }
        if let (W2::ShaSigmaW | W2::ShaSigmaD, W::Imm(n)) = (op, b) {
            return self.sigma(op == W2::ShaSigmaW, a, n as u32);
        }
        if let (W2::ShlQ | W2::ShrQ | W2::RotQ, W::Imm(n)) = (op, b)
            && n % 8 == 0
        {
            let (n, s) = (n as u8 & 127, self.x(a));
            let d = self.xalloc();
            match op {
                W2::ShlQ => self.a.vshi(0x73, 7, d, s, n / 8),
                W2::ShrQ => self.a.vshi(0x73, 3, d, s, n / 8),
                _ => self.a.v3i(0x66, 0x0f3a0f, d, s, s, (16 - n / 8) & 15),
            }
            return W::Reg(d);
        }
        let (x, y) = (self.x(a), self.x(b));
        let d = self.xalloc();
        match op {
            W2::ShlW | W2::ShrW | W2::SarW | W2::ShlD | W2::ShrD | W2::RotW | W2::RotD => {
                self.shifts(op, d, x, y);
            }
            W2::MulOddUW => self.a.v3(0x66, 0x0ff4, d, x, y),
            W2::MulOddSW => self.a.v3(0x66, 0x0f3828, d, x, y),
            W2::MulEvenUW | W2::MulEvenSW => {
                self.a.vshi(0x73, 2, d, x, 32);
                self.a.vshi(0x73, 2, X(15), y, 32);
                self.a.v3(0x66, if op == W2::MulEvenUW { 0x0ff4 } else { 0x0f3828 }, d, d, X(15));
            }
            W2::MergeEvenW => {
                self.a.vshi(0x73, 2, d, y, 32);
                self.a.v3i(0x66, 0x0f3a02, d, x, d, 5);
            }
            W2::MergeOddW => {
                self.a.vshi(0x73, 6, d, x, 32);
                self.a.v3i(0x66, 0x0f3a02, d, y, d, 10);
            }
            W2::ShlB | W2::ShrB | W2::SarB | W2::RotB => self.byte_shifts(op, d, x, y),
            W2::ShlH | W2::ShrH | W2::SarH => self.halfword_shifts(op, d, x, y),
            W2::ShlQ | W2::ShrQ => self.quad_shift(op == W2::ShlQ, d, x, y),
            W2::BitPermQ => {
                let [low3, low4, low5, powers] =
                    [consts::LOW3, consts::LOW4, consts::LOW5, consts::POWERS_DOWN].map(|n| self.consts(n));
                // The byte that has the bit; none, where there is no such bit.
                self.a.vshi(0x71, 2, X(15), y, 3);
                self.a.vrip(0x66, 0x0fdb, X(15), X(15), low5);
                self.a.vrip(0x66, 0x0f6f, X(14), X(0), low4);
                self.a.v3(0x66, 0x0ff8, X(15), X(14), X(15));
                self.a.v3(0x66, 0x0f3800, d, x, X(15));
                // The bit in it.
                self.a.vrip(0x66, 0x0fdb, X(15), y, low3);
                self.a.vrip(0x66, 0x0f6f, X(14), X(0), powers);
                self.a.v3(0x66, 0x0f3800, X(15), X(14), X(15));
                self.a.v3(0x66, 0x0fdb, d, d, X(15));
                self.a.v3(0x66, 0x0f74, d, d, X(15));
                self.a.vmovmsk(1, RAX, d);
                self.a.movq_xr(d, RAX);
                self.a.vshi(0x73, 7, d, d, 8);
            }
            W2::MulEvenUB | W2::MulEvenSB | W2::MulOddUB | W2::MulOddSB => {
                let (odd, signed) =
                    (matches!(op, W2::MulOddUB | W2::MulOddSB), matches!(op, W2::MulEvenSB | W2::MulOddSB));
                self.bytes_of(d, x, odd, signed);
                self.bytes_of(X(15), y, odd, signed);
                self.a.v3(0x66, 0x0fd5, d, d, X(15));
            }
            W2::MulEvenSH | W2::MulOddSH => {
                // The sum of two products, of which one is zero.
                let (away, back) = if op == W2::MulEvenSH { (2, 6) } else { (6, 2) };
                self.a.vshi(0x72, away, d, x, 16);
                self.a.vshi(0x72, back, d, d, 16);
                self.a.v3(0x66, 0x0ff5, d, d, y);
            }
            W2::MulEvenUH | W2::MulOddUH => {
                let mut halves = |to, mut from| {
                    if op == W2::MulOddUH {
                        self.a.vshi(0x72, 6, to, from, 16);
                        from = to;
                    }
                    self.a.vshi(0x72, 2, to, from, 16);
                };
                halves(d, x);
                halves(X(15), y);
                self.a.v3(0x66, 0x0f3840, d, d, X(15));
            }
            W2::PackH | W2::PackW => {
                let (shift, by, pack) =
                    if op == W2::PackH { (0x71, 8, 0x0f67) } else { (0x72, 16, 0x0f382b) };
                for (to, from) in [(d, y), (X(15), x)] {
                    self.a.vshi(shift, 6, to, from, by);
                    self.a.vshi(shift, 2, to, to, by);
                }
                self.a.v3(0x66, pack, d, d, X(15));
            }
            W2::PackD => self.a.v3i(0, 0x0fc6, d, y, x, 0x88),
            W2::AbsDiffUB | W2::AbsDiffUH | W2::AbsDiffUW => {
                let (max, min, sub) = match op {
                    W2::AbsDiffUB => (0x0fde, 0x0fda, 0x0ff8),
                    W2::AbsDiffUH => (0x0f383e, 0x0f383a, 0x0ff9),
                    _ => (0x0f383f, 0x0f383b, 0x0ffa),
                };
                self.a.v3(0x66, max, d, x, y);
                self.a.v3(0x66, min, X(15), x, y);
                self.a.v3(0x66, sub, d, d, X(15));
            }
            W2::NezB | W2::NezH | W2::NezW => {
                let equal = [0x0f74, 0x0f75, 0x0f76][op as usize - W2::NezB as usize];
                let (zero, ones) = (self.consts(consts::ZERO), self.consts(consts::ONES));
                self.a.vrip(0x66, equal, d, x, zero);
                self.a.v3(0x66, equal, X(15), x, y);
                self.a.v3(0x66, 0x0fdf, d, d, X(15));
                self.a.vrip(0x66, 0x0fef, d, d, ones);
            }
            W2::AddQ | W2::SubQ => {
                let (first, second) =
                    if op == W2::AddQ { (Alu::Add, Alu::Adc) } else { (Alu::Sub, Alu::Sbb) };
                self.a.movq_rx(RAX, x);
                self.a.movq_rx(RCX, y);
                self.a.alu(first, true, RAX, RCX);
                self.a.pextrq(RCX, x);
                self.a.pextrq(RDX, y);
                self.a.alu(second, true, RCX, RDX);
                self.a.movq_xr(d, RAX);
                self.a.pinsrq(d, RCX);
            }
            W2::PolyMulD if self.crypto => {
                self.a.v3i(0x66, 0x0f3a44, d, x, y, 0);
                self.a.v3i(0x66, 0x0f3a44, X(15), x, y, 0x11);
                self.a.v3(0x66, 0x0fef, d, d, X(15));
            }
            W2::Cipher | W2::CipherLast | W2::Ncipher | W2::NcipherLast if self.crypto => {
                // The host's byte 0 is the other end.
                let c = self.consts(consts::REV16);
                self.a.vrip(0x66, 0x0f3800, d, x, c);
                self.a.vrip(0x66, 0x0f3800, X(15), y, c);
                if op == W2::Ncipher {
                    self.a.v3(0x66, 0x0f38db, X(15), X(0), X(15));
                }
                let o = match op {
                    W2::Cipher => 0x0f38dc,
                    W2::CipherLast => 0x0f38dd,
                    W2::Ncipher => 0x0f38de,
                    _ => 0x0f38df,
                };
                self.a.v3(0x66, o, d, d, X(15));
                self.a.vrip(0x66, 0x0f3800, d, d, c);
            }
            _ => return self.give_up_w(),
        }
        W::Reg(d)
    }

    /// The odd (even) bytes of halfwords, counted from the left, as halfwords.
    fn bytes_of(&mut self, d: X, s: X, odd: bool, signed: bool) {
        let from = if odd { d } else { s };
        if odd {
            self.a.vshi(0x71, 6, d, s, 8);
        }
        self.a.vshi(0x71, if signed { 4 } else { 2 }, d, from, 8);
    }

    /// Shifts of quadwords, modulo 128.
    fn quad_shift(&mut self, left: bool, d: X, x: X, y: X) {
        self.a.movq_rx(RCX, y);
        self.a.movq_rx(RAX, x);
        self.a.pextrq(RDX, x);
        let (to, from) = if left { (RDX, RAX) } else { (RAX, RDX) };
        self.a.shift_in(left, to, from);
        self.a.shcl(if left { Sh::Shl } else { Sh::Shr }, true, from);
        // From 64 on the one is what is left of the other, which is zero.
        self.a.alui(Alu::And, false, RCX, 64);
        self.a.cmov(Cc::Ne, to, from);
        self.a.shi(Sh::Shr, false, RCX, 6);
        self.a.alui(Alu::Sub, true, RCX, 1);
        self.a.alu(Alu::And, true, from, RCX);
        self.a.movq_xr(d, RAX);
        self.a.pinsrq(d, RDX);
    }

    /// Shifts and rotates of bytes by bytes, modulo 8: as products of halfwords.
    fn byte_shifts(&mut self, op: W2, d: X, x: X, y: X) {
        let down = matches!(op, W2::ShrB | W2::SarB);
        let low3 = self.consts(consts::LOW3);
        let powers = self.consts(if down { consts::POWERS_DOWN } else { consts::POWERS });
        self.a.vrip(0x66, 0x0fdb, X(15), y, low3);
        self.a.vrip(0x66, 0x0f6f, X(14), X(0), powers);
        self.a.v3(0x66, 0x0f3800, X(15), X(14), X(15));
        // What is wanted of the product of even bytes, then of odd ones, comes into the left byte.
        for odd in [false, true] {
            let (to, factor) = if odd { (d, X(15)) } else { (X(14), d) };
            self.bytes_of(to, x, odd, op == W2::SarB);
            self.bytes_of(factor, X(15), odd, false);
            self.a.v3(0x66, 0x0fd5, to, to, factor);
            match op {
                W2::ShlB => self.a.vshi(0x71, 6, to, to, 8),
                W2::RotB => {
                    self.a.vshi(0x71, 2, factor, to, 8);
                    self.a.v3(0x66, 0x0feb, to, to, factor);
                    self.a.vshi(0x71, 6, to, to, 8);
                }
                _ => self.a.vshi(0x71, 6, to, to, 1),
            }
            self.a.vshi(0x71, 2, to, to, 8);
        }
        self.a.vshi(0x71, 6, X(14), X(14), 8);
        self.a.v3(0x66, 0x0feb, d, d, X(14));
    }

    /// Shifts of halfwords by halfwords, modulo 16: as words.
    fn halfword_shifts(&mut self, op: W2, d: X, x: X, y: X) {
        let mask = self.consts(consts::W15);
        let (widen, o) = match op {
            W2::ShlH => (2, 0x47),
            W2::ShrH => (2, 0x45),
            _ => (4, 0x46),
        };
        // Even ones, then odd ones.
        self.a.vshi(0x72, 2, X(15), y, 16);
        self.a.vrip(0x66, 0x0fdb, X(15), X(15), mask);
        self.a.vshi(0x72, widen, X(14), x, 16);
        self.a.vex(1, 2, false, o, 14, 14, 15);
        self.a.vshi(0x72, 6, X(14), X(14), 16);
        self.a.vrip(0x66, 0x0fdb, X(15), y, mask);
        self.a.vshi(0x72, 6, d, x, 16);
        self.a.vshi(0x72, widen, d, d, 16);
        self.a.vex(1, 2, false, o, d.0, d.0, 15);
        self.a.v3i(0x66, 0x0f3a0e, d, d, X(14), 0xaa);
    }

    /// Shifts and rotates of elements by elements, modulo their width.
    fn shifts(&mut self, op: W2, d: X, x: X, y: X) {
        let word = matches!(op, W2::ShlW | W2::ShrW | W2::SarW | W2::RotW);
        let mask = self.consts(if word { consts::W31 } else { consts::D63 });
        self.a.vrip(0x66, 0x0fdb, X(15), y, mask);
        let o = match op {
            W2::ShrW | W2::ShrD => 0x45,
            W2::SarW => 0x46,
            _ => 0x47,
        };
        self.a.vex(1, 2, !word, o, d.0, x.0, 15);
        if matches!(op, W2::RotW | W2::RotD) {
            // A shift by all of the width gives zero.
            let width = self.consts(if word { consts::W32 } else { consts::D64 });
            self.a.v3(0x66, 0x0fef, X(14), X(14), X(14));
            self.a.v3(0x66, if word { 0x0ffa } else { 0x0ffb }, X(15), X(14), X(15));
            self.a.vrip(0x66, if word { 0x0ffe } else { 0x0fd4 }, X(15), X(15), width);
            self.a.vex(1, 2, !word, 0x45, 15, x.0, 15);
            self.a.v3(0x66, 0x0feb, d, d, X(15));
        }
    }

    /// `vshasigmaw`, `vshasigmad` with the same function in all elements; n = ST * 16 + SIX.
    fn sigma(&mut self, word: bool, a: W, n: u32) -> W {
        // Doublewords look at two bits of SIX only.
        let (six, all) = if word { (n & 15, 15) } else { (n & 0b1010, 0b1010) };
        if six != 0 && six != all {
            return self.give_up_w();
        }
        let big = n & 16 != 0;
        let counts = SIGMA[!word as usize][(big as usize) * 2 + (six != 0) as usize];
        let s = self.x(a);
        let d = self.xalloc();
        let (op, width) = if word { (0x72, 32) } else { (0x73, 64) };
        for (n, count) in counts.into_iter().enumerate() {
            let into = if n == 0 { d } else { X(15) };
            self.a.vshi(op, 2, into, s, count);
            if n != 0 {
                self.a.v3(0x66, 0x0fef, d, d, X(15));
            }
            if n < 2 || big {
                self.a.vshi(op, 6, X(15), s, width - count);
                self.a.v3(0x66, 0x0fef, d, d, X(15));
            }
        }
        W::Reg(d)
    }
}
