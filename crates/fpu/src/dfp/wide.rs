//! Significands of up to 68 digits.

use super::format::{POW10, digits};

/// Digits of a half.
const HALF: u32 = 34;
const UNIT: u128 = POW10[HALF as usize];

/// An unsigned integer below 10 ** 68.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Wide {
    /// The left 34 digits.
    hi: u128,
    /// The right 34 digits.
    lo: u128,
}

/// What was cut off the right end, compared with half a unit of the last digit kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rest {
    /// Nothing.
    Exact,
    /// More than nothing, less than half.
    Below,
    /// Exactly half.
    Half,
    /// More than half.
    Above,
}

impl Wide {
    /// Most digits a value may have.
    pub const DIGITS: u32 = 2 * HALF;

    /// `x` as it is.
    pub const fn new(x: u128) -> Wide {
        Wide { hi: x / UNIT, lo: x % UNIT }
    }

    /// a * b, each below 10 ** 34.
    pub fn mul(a: u128, b: u128) -> Wide {
        const M: u128 = POW10[HALF as usize / 2];
        let (a1, a0, b1, b0) = (a / M, a % M, b / M, b % M);
        let mid = a1 * b0 + a0 * b1;
        let low = a0 * b0 + mid % M * M;
        Wide { hi: a1 * b1 + mid / M + low / UNIT, lo: low % UNIT }
    }

    /// a + b; the sum must be below 10 ** 68.
    pub fn plus(self, o: Wide) -> Wide {
        let low = self.lo + o.lo;
        Wide { hi: self.hi + o.hi + low / UNIT, lo: low % UNIT }
    }

    /// a - b; b must not be larger.
    pub fn minus(self, o: Wide) -> Wide {
        if self.lo >= o.lo {
            Wide { hi: self.hi - o.hi, lo: self.lo - o.lo }
        } else {
            Wide { hi: self.hi - o.hi - 1, lo: self.lo + UNIT - o.lo }
        }
    }

    /// Decimal digits; 0 of 0.
    pub fn digits(self) -> u32 {
        if self.hi != 0 { HALF + digits(self.hi) } else { digits(self.lo) }
    }

    /// Whether it is 0.
    pub fn is_zero(self) -> bool {
        self == Wide::default()
    }

    /// `n` zeros appended; the result must be below 10 ** 68.
    pub fn left(self, n: u32) -> Wide {
        if self.is_zero() || n == 0 {
            return self;
        }
        if n >= HALF {
            return Wide { hi: self.lo * POW10[(n - HALF) as usize], lo: 0 };
        }
        let (up, down) = (POW10[n as usize], POW10[(HALF - n) as usize]);
        Wide { hi: self.hi * up + self.lo / down, lo: self.lo % down * up }
    }

    /// Without the last `n` digits, and those.
    pub fn right(self, n: u32) -> (Wide, Wide) {
        if n < HALF {
            let (up, down) = (POW10[n as usize], POW10[(HALF - n) as usize]);
            let q = Wide { hi: self.hi / up, lo: self.lo / up + self.hi % up * down };
            (q, Wide { hi: 0, lo: self.lo % up })
        } else if n <= Wide::DIGITS {
            let up = POW10[(n - HALF) as usize];
            (Wide { hi: 0, lo: self.hi / up }, Wide { hi: self.hi % up, lo: self.lo })
        } else {
            (Wide::default(), self)
        }
    }

    /// Without the last `n` digits, and what those were; `sticky`: something not zero followed them.
    pub fn cut(self, n: u32, sticky: bool) -> (Wide, Rest) {
        if n == 0 {
            return (self, if sticky { Rest::Below } else { Rest::Exact });
        }
        let (more, tail) = self.right(n - 1);
        let (kept, first) = more.right(1);
        let sticky = sticky || !tail.is_zero();
        let rest = match (first.lo, sticky) {
            (0, false) => Rest::Exact,
            (5, false) => Rest::Half,
            (0..5, _) => Rest::Below,
            _ => Rest::Above,
        };
        (kept, rest)
    }

    /// As a 128-bit number.
    pub fn to_u128(self) -> Option<u128> {
        self.hi.checked_mul(UNIT)?.checked_add(self.lo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_and_products() {
        let a = Wide::mul(UNIT - 1, UNIT - 1);
        assert_eq!(a, Wide { hi: UNIT - 2, lo: 1 });
        assert_eq!((a.digits(), Wide::new(0).digits(), Wide::new(UNIT).digits()), (68, 0, 35));
        for n in 0..=34 {
            let x = Wide::new(UNIT - 7);
            assert_eq!(x.left(n).right(n), (x, Wide::default()), "{n}");
            let (q, r) = a.right(n);
            assert_eq!(q.left(n).plus(r), a);
            assert_eq!(a.minus(r), q.left(n));
        }
        assert_eq!(Wide::new(12_5000).cut(4, false), (Wide::new(12), Rest::Half));
        assert_eq!(Wide::new(12_5000).cut(4, true), (Wide::new(12), Rest::Above));
        assert_eq!(Wide::new(12_4999).cut(4, false), (Wide::new(12), Rest::Below));
        assert_eq!(Wide::new(12_0000).cut(4, false), (Wide::new(12), Rest::Exact));
        assert_eq!(Wide::new(9).cut(500, false), (Wide::default(), Rest::Below));
        assert_eq!(Wide::new(u128::MAX).to_u128(), Some(u128::MAX));
        assert_eq!(Wide::new(u128::MAX).plus(Wide::new(1)).to_u128(), None);
    }
}
