//! The three decimal formats (Book I, 5.3) and the numbers in them.

use std::sync::LazyLock;

use isa::rare::{bcd_to_dpd, dpd_to_bcd};

/// A decimal interchange format: sign, combination field, exponent continuation, declets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format {
    /// Digits of the significand.
    pub digits: u32,
    /// Bias of the exponent of the last digit.
    pub bias: i32,
    /// Largest biased exponent.
    pub max_biased: i32,
    /// Bits of the exponent continuation.
    cont: u32,
}

/// 32 bits, for storage only.
pub const SHORT: Format = Format { digits: 7, bias: 101, max_biased: 191, cont: 6 };
/// 64 bits.
pub const LONG: Format = Format { digits: 16, bias: 398, max_biased: 767, cont: 8 };
/// 128 bits.
pub const EXTENDED: Format = Format { digits: 34, bias: 6176, max_biased: 12287, cont: 12 };

impl Format {
    /// Smallest exponent of the last digit.
    pub const fn qmin(&self) -> i32 {
        -self.bias
    }
    /// Largest exponent of the last digit.
    pub const fn qmax(&self) -> i32 {
        self.max_biased - self.bias
    }
    /// Exponent of the first digit of the smallest normal number.
    pub const fn emin(&self) -> i32 {
        self.qmin() + self.digits as i32 - 1
    }
    /// Largest significand.
    pub const fn max_coef(&self) -> u128 {
        POW10[self.digits as usize] - 1
    }
    /// Bits of the trailing significand.
    const fn trailing(&self) -> u32 {
        (self.digits - 1) / 3 * 10
    }
    /// Position of the sign, the leftmost bit.
    const fn sign(&self) -> u32 {
        5 + self.cont + self.trailing()
    }
}

/// Powers of ten that fit.
pub const POW10: [u128; 39] = {
    let mut t = [1u128; 39];
    let mut n = 1;
    while n < 39 {
        t[n] = t[n - 1] * 10;
        n += 1;
    }
    t
};

/// Kinds of values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A number, possibly zero.
    Finite,
    /// Infinity.
    Inf,
    /// Quiet NaN.
    QNan,
    /// Signalling NaN.
    SNan,
}

/// An unpacked value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decimal {
    /// What it is.
    pub class: Class,
    /// Negative.
    pub sign: bool,
    /// Significand as an integer; of others than numbers the digits of the trailing significand field.
    pub coef: u128,
    /// Exponent of the last digit; 0 for others than numbers.
    pub exp: i32,
}

impl Decimal {
    /// The NaN of invalid operations.
    pub const DEFAULT_NAN: Decimal = Decimal { class: Class::QNan, sign: false, coef: 0, exp: 0 };

    /// A number.
    pub const fn number(sign: bool, coef: u128, exp: i32) -> Decimal {
        Decimal { class: Class::Finite, sign, coef, exp }
    }
    /// The default infinity.
    pub const fn inf(sign: bool) -> Decimal {
        Decimal { class: Class::Inf, sign, coef: 0, exp: 0 }
    }
    /// Either NaN.
    pub fn is_nan(&self) -> bool {
        matches!(self.class, Class::QNan | Class::SNan)
    }
    /// A signalling NaN.
    pub fn is_snan(&self) -> bool {
        self.class == Class::SNan
    }
    /// A number that is zero.
    pub fn is_zero(&self) -> bool {
        self.class == Class::Finite && self.coef == 0
    }
    /// Exponent of the first digit of a number other than zero.
    pub fn adjusted(&self) -> i32 {
        self.exp + digits(self.coef) as i32 - 1
    }
    /// A number other than zero below the smallest normal number of the format.
    pub fn is_subnormal(&self, f: &Format) -> bool {
        self.class == Class::Finite && self.coef != 0 && self.adjusted() < f.emin()
    }
    /// The NaN made quiet.
    pub fn quiet(self) -> Decimal {
        Decimal { class: Class::QNan, ..self }
    }
}

/// Decimal digits of `x`; 0 of 0.
pub fn digits(x: u128) -> u32 {
    x.checked_ilog10().map_or(0, |n| n + 1)
}

/// Values of the declets.
static FROM_DECLET: LazyLock<[u16; 1024]> = LazyLock::new(|| {
    core::array::from_fn(|d| {
        let b = dpd_to_bcd(d as u16);
        (100 * (b >> 8 & 15) + 10 * (b >> 4 & 15) + (b & 15)) as u16
    })
});

/// Preferred declets of three digits.
static TO_DECLET: LazyLock<[u16; 1000]> =
    LazyLock::new(|| core::array::from_fn(|n| bcd_to_dpd((n / 100 << 8 | n / 10 % 10 << 4 | n % 10) as u16)));

/// The value of a format's bits (right-justified).
pub fn unpack(f: &Format, bits: u128) -> Decimal {
    let t = f.trailing();
    let table = &*FROM_DECLET;
    let mut coef = 0u128;
    for n in (0..t / 10).rev() {
        coef = coef * 1000 + table[(bits >> (10 * n)) as usize & 0x3ff] as u128;
    }
    let sign = bits >> f.sign() & 1 != 0;
    let cont = (bits >> t) as i32 & ((1 << f.cont) - 1);
    let comb = (bits >> (t + f.cont)) as u32 & 31;
    let (high, lead) = match comb {
        0b11111 if cont >> (f.cont - 1) != 0 => return Decimal { class: Class::SNan, sign, coef, exp: 0 },
        0b11111 => return Decimal { class: Class::QNan, sign, coef, exp: 0 },
        0b11110 => return Decimal { class: Class::Inf, sign, coef, exp: 0 },
        0b11000.. => (comb >> 1 & 3, 8 | comb & 1),
        _ => (comb >> 3, comb & 7),
    };
    let coef = coef + lead as u128 * POW10[f.digits as usize - 1];
    Decimal::number(sign, coef, ((high as i32) << f.cont | cont) - f.bias)
}

/// The canonical bits of a value. An exponent or significand outside the format is brought into it.
pub fn pack(f: &Format, d: &Decimal) -> u128 {
    let t = f.trailing();
    let lead_unit = POW10[f.digits as usize - 1];
    let special = |comb: u32| (comb as u128) << (t + f.cont - 1);
    let mut bits = match d.class {
        Class::Finite => {
            let biased = (d.exp + f.bias).clamp(0, f.max_biased) as u32;
            let lead = (d.coef / lead_unit) as u32 % 10;
            let high = biased >> f.cont;
            let comb = if lead >= 8 { 0b11000 | high << 1 | lead & 1 } else { high << 3 | lead };
            ((comb << f.cont | biased & ((1 << f.cont) - 1)) as u128) << t
        }
        Class::Inf => special(0b111100),
        Class::QNan => special(0b111110),
        Class::SNan => special(0b111111),
    };
    let mut rest = d.coef % lead_unit;
    for n in 0..t / 10 {
        bits |= (TO_DECLET[(rest % 1000) as usize] as u128) << (10 * n);
        rest /= 1000;
    }
    bits | (d.sign as u128) << f.sign()
}

/// FPRF of a value (Book I, 5.2).
pub fn class_code(f: &Format, d: &Decimal) -> u8 {
    match (d.class, d.sign) {
        (Class::SNan, _) => 0b00001,
        (Class::QNan, _) => 0b10001,
        (Class::Inf, true) => 0b01001,
        (Class::Inf, false) => 0b00101,
        (Class::Finite, sign) => match (d.coef == 0, d.is_subnormal(f), sign) {
            (true, _, true) => 0b10010,
            (true, _, false) => 0b00010,
            (_, true, true) => 0b11000,
            (_, true, false) => 0b10100,
            (_, false, true) => 0b01000,
            (_, false, false) => 0b00100,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        // 1, -1, the largest number, 12.34 and the smallest subnormal number, as long.
        assert_eq!(unpack(&LONG, 0x2238_0000_0000_0001), Decimal::number(false, 1, 0));
        assert_eq!(unpack(&LONG, 0xa238_0000_0000_0001), Decimal::number(true, 1, 0));
        assert_eq!(unpack(&LONG, 0x77fc_ff3f_cff3_fcff), Decimal::number(false, 9_999_999_999_999_999, 369));
        assert_eq!(unpack(&LONG, 0x2230_0000_0000_0534), Decimal::number(false, 1234, -2));
        assert_eq!(unpack(&LONG, 1), Decimal::number(false, 1, -398));
        assert_eq!(unpack(&SHORT, 0x2250_0001), Decimal::number(false, 1, 0));
        assert_eq!(unpack(&EXTENDED, 0x2208 << 112 | 1), Decimal::number(false, 1, 0));
        assert_eq!(unpack(&LONG, 0x7800 << 48), Decimal::inf(false));
        assert_eq!(unpack(&LONG, 0x7c00 << 48), Decimal::DEFAULT_NAN);
        assert!(unpack(&LONG, 0xfe00 << 48).is_snan());
    }

    #[test]
    fn packing_is_the_inverse_on_canonical_values() {
        for f in [SHORT, LONG, EXTENDED] {
            for class in [Class::Inf, Class::QNan, Class::SNan] {
                let d = Decimal { class, sign: true, coef: 12345, exp: 0 };
                assert_eq!(unpack(&f, pack(&f, &d)), d);
            }
            for coef in [0, 1, 7, 999, 1000, f.max_coef() / 10, f.max_coef() / 9 * 8, f.max_coef()] {
                for exp in [f.qmin(), -1, 0, 1, f.qmax()] {
                    let d = Decimal::number(coef & 1 != 0, coef, exp);
                    assert_eq!(unpack(&f, pack(&f, &d)), d);
                }
            }
        }
    }
}
