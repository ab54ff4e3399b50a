//! Amounts in profiles: a number of processors, hundredths of a processor, bytes; each as one value or as what is
//! least, wanted and most.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Something that is counted.
pub trait Quantity: Copy + Ord + fmt::Debug {
    /// What would be right.
    const RIGHT: &'static str;
    /// From a whole number.
    fn whole(n: u64) -> Option<Self>;
    /// From a fraction.
    fn fraction(_: f64) -> Option<Self> {
        None
    }
    /// From words.
    fn words(_: &str) -> Option<Self> {
        None
    }
}

/// A number of things.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Count(pub u32);

impl Quantity for Count {
    const RIGHT: &'static str = "a whole number";
    fn whole(n: u64) -> Option<Self> {
        u32::try_from(n).ok().map(Count)
    }
}

/// Hundredths of a processor; written as processors, 0.25 for instance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Hundredths(pub u32);

impl Quantity for Hundredths {
    const RIGHT: &'static str = "processors with at most two decimals, for example 0.25";
    fn whole(n: u64) -> Option<Self> {
        u32::try_from(n).ok()?.checked_mul(100).map(Hundredths)
    }
    fn fraction(v: f64) -> Option<Self> {
        let n = (v * 100.0).round();
        let exact = (v * 100.0 - n).abs() < 1e-6 && (0.0..1e7).contains(&n);
        exact.then_some(Hundredths(n as u32))
    }
}

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// Bytes; written with K, M, G or T.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Quantity for Bytes {
    const RIGHT: &'static str = "a size like \"512M\" or \"2G\"";
    fn whole(n: u64) -> Option<Self> {
        Some(Bytes(n))
    }
    fn words(s: &str) -> Option<Self> {
        crate::size::parse(s).ok().map(Bytes)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
        match units.into_iter().find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

struct OneVisitor<T>(PhantomData<T>);

impl<T: Quantity> Visitor<'_> for OneVisitor<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(T::RIGHT)
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<T, E> {
        T::whole(n).ok_or_else(|| E::custom(format!("{n} is impossible; right would be {}", T::RIGHT)))
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<T, E> {
        let v = u64::try_from(n).ok().and_then(T::whole);
        v.ok_or_else(|| E::custom(format!("{n} is impossible; right would be {}", T::RIGHT)))
    }
    fn visit_f64<E: Error>(self, n: f64) -> Result<T, E> {
        T::fraction(n).ok_or_else(|| E::custom(format!("{n} is impossible; right would be {}", T::RIGHT)))
    }
    fn visit_str<E: Error>(self, s: &str) -> Result<T, E> {
        T::words(s).ok_or_else(|| E::custom(format!("\"{s}\" is impossible; right would be {}", T::RIGHT)))
    }
}

macro_rules! deserialize {
    ($($t:ty),*) => {$(
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_any(OneVisitor(PhantomData))
            }
        }
    )*};
}
deserialize!(Count, Hundredths, Bytes);

/// Least, wanted, most. One value stands for all three.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Span<T> {
    /// Without this much the partition does not start.
    pub min: T,
    /// What it gets if it is there.
    pub desired: T,
    /// What it may be given later.
    pub max: T,
}

impl<T: Copy> Span<T> {
    /// The same for all.
    pub fn of(v: T) -> Self {
        Span { min: v, desired: v, max: v }
    }
}

impl<T: Quantity> Span<T> {
    /// Whether least is no more than wanted, and that no more than most.
    pub fn is_ordered(&self) -> bool {
        self.min <= self.desired && self.desired <= self.max
    }
}

struct SpanVisitor<T>(PhantomData<T>);

impl<'de, T: Quantity + Deserialize<'de>> Visitor<'de> for SpanVisitor<T> {
    type Value = Span<T>;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}, or {{ min = ..., desired = ..., max = ... }}", T::RIGHT)
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<Span<T>, E> {
        OneVisitor(PhantomData).visit_u64(n).map(Span::of)
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<Span<T>, E> {
        OneVisitor(PhantomData).visit_i64(n).map(Span::of)
    }
    fn visit_f64<E: Error>(self, n: f64) -> Result<Span<T>, E> {
        OneVisitor(PhantomData).visit_f64(n).map(Span::of)
    }
    fn visit_str<E: Error>(self, s: &str) -> Result<Span<T>, E> {
        OneVisitor(PhantomData).visit_str(s).map(Span::of)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Span<T>, A::Error> {
        let (mut min, mut desired, mut max) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let slot = match key.as_str() {
                "min" => &mut min,
                "desired" => &mut desired,
                "max" => &mut max,
                _ => return Err(A::Error::unknown_field(&key, &["min", "desired", "max"])),
            };
            *slot = Some(map.next_value::<T>()?);
        }
        let desired = desired.ok_or_else(|| A::Error::missing_field("desired"))?;
        Ok(Span { min: min.unwrap_or(desired), desired, max: max.unwrap_or(desired) })
    }
}

impl<'de, T: Quantity + Deserialize<'de>> Deserialize<'de> for Span<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(SpanVisitor(PhantomData))
    }
}
