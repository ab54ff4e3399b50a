//! The argument of `ibm,client-architecture-support` (LoPAR section B.6.2.3): what a client can do.
//!
//! A list of processor versions it supports, then numbered option vectors. This module reads the bytes;
//! what is agreed upon is the platform's business.

use serde::{Deserialize, Serialize};

/// Most processor versions that are read.
pub const MAX_PVRS: usize = 256;
/// Most bytes the structure may have.
pub const MAX_SIZE: usize = 16 << 10;

/// One line of the list of processor versions: it fits a processor if `pvr & mask == value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PvrEntry {
    /// The bits that count.
    pub mask: u32,
    /// What they have to be. 0x0F00_000n stands for all processors of an architecture level.
    pub value: u32,
}

impl PvrEntry {
    /// Whether a processor (or logical) version is meant.
    pub fn matches(self, pvr: u32) -> bool {
        pvr & self.mask == self.value
    }
}

/// The bytes of one option vector, without the length byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionVector(Vec<u8>);

impl OptionVector {
    /// A vector of these bytes; the first is byte 1.
    pub fn new(bytes: &[u8]) -> Self {
        OptionVector(bytes.to_vec())
    }

    /// Byte `number`, counted from 1 as in LoPAR's tables (byte 0 is the length); 0 beyond the end.
    pub fn byte(&self, number: usize) -> u8 {
        number.checked_sub(1).and_then(|i| self.0.get(i)).copied().unwrap_or(0)
    }

    /// Bit `bit` of byte `number`; bit 0 is the most significant one.
    pub fn bit(&self, number: usize, bit: u32) -> bool {
        bit < 8 && self.byte(number) & (0x80 >> bit) != 0
    }

    /// Four bytes from `number` on as a big-endian number.
    pub fn word(&self, number: usize) -> u32 {
        (0..4).fold(0, |v, i| v << 8 | u32::from(self.byte(number + i)))
    }

    /// The bytes, byte 1 first.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The client asks for this vector to be ignored (byte 1 bit 0).
    pub fn ignored(&self) -> bool {
        self.bit(1, 0)
    }

    /// The client would rather not run than do without an option of this vector (byte 1 bit 1).
    pub fn cessation(&self) -> bool {
        self.bit(1, 1)
    }
}

/// What a client says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CasVectors {
    /// Supported processors, in the order given; the entry that ends the list is the last one.
    pub pvrs: Vec<PvrEntry>,
    /// The option vectors; the first is vector 1.
    pub vectors: Vec<OptionVector>,
    /// Bytes the structure occupies.
    pub size: usize,
}

/// Why the bytes are no architecture description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CasError {
    /// The structure runs beyond the bytes.
    #[error("architecture vector is truncated")]
    Truncated,
    /// The list of processors does not end.
    #[error("architecture vector names more than {MAX_PVRS} processors")]
    TooManyPvrs,
}

impl CasVectors {
    /// Reads the structure at the start of `bytes`, which may go on after it.
    ///
    /// The list of processors ends with the first entry whose value has bits outside of its mask; Linux
    /// uses that for "everything older", so the entry is kept.
    pub fn parse(bytes: &[u8]) -> Result<Self, CasError> {
        let mut input = Input(bytes);
        let mut pvrs = Vec::new();
        loop {
            let entry = PvrEntry { mask: input.word()?, value: input.word()? };
            pvrs.push(entry);
            if entry.value & !entry.mask != 0 {
                break;
            }
            if pvrs.len() == MAX_PVRS {
                return Err(CasError::TooManyPvrs);
            }
        }
        // Both counts stand in the structure less one.
        let count = usize::from(input.byte()?) + 1;
        let mut vectors = Vec::with_capacity(count);
        for _ in 0..count {
            let len = usize::from(input.byte()?) + 1;
            vectors.push(OptionVector::new(input.take(len)?));
        }
        Ok(CasVectors { pvrs, vectors, size: bytes.len() - input.0.len() })
    }

    /// Option vector `number`, counted from 1, unless it is missing or to be ignored.
    pub fn vector(&self, number: usize) -> Option<&OptionVector> {
        self.vectors.get(number.checked_sub(1)?).filter(|v| !v.ignored())
    }

    /// Byte `byte` of option vector 5 (platform options); 0 if there is none.
    pub fn vec5(&self, byte: usize) -> u8 {
        self.vector(5).map_or(0, |v| v.byte(byte))
    }

    /// Smallest real-mode area the client wants, in MiB (vector 2 bytes 24 to 27).
    pub fn min_rma_mib(&self) -> Option<u32> {
        self.vector(2).map(|v| v.word(24)).filter(|&v| v != 0 && v != u32::MAX)
    }

    /// Largest hashed page table the client can use, as log2 of its bytes (vector 2 byte 33).
    pub fn max_pft_size(&self) -> Option<u8> {
        self.vector(2).map(|v| v.byte(33)).filter(|&v| v != 0)
    }

    /// Most processors the client can use (vector 5 bytes 9 to 12).
    pub fn max_cpus(&self) -> Option<u32> {
        self.vector(5).map(|v| v.word(9)).filter(|&v| v != 0)
    }

    /// Whether a processor version is among the supported ones.
    pub fn supports(&self, pvr: u32) -> bool {
        self.pvrs.iter().any(|e| e.matches(pvr))
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], CasError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(CasError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, CasError> {
        Ok(self.take(1)?[0])
    }

    fn word(&mut self) -> Result<u32, CasError> {
        Ok(self.take(4)?.iter().fold(0, |v, &b| v << 8 | u32::from(b)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a current Linux kernel sends, shortened: seven vectors of which six are announced.
    pub(crate) fn linux_sample() -> Vec<u8> {
        let mut b = Vec::new();
        for (mask, value) in [
            (0xffff_0000_u32, 0x004d_0000_u32),
            (0xffff_0000, 0x004e_0000),
            (0xffff_ffff, 0x0f00_0006),
            (0xffff_ffff, 0x0f00_0005),
            (0xffff_fffe, 0x0f00_0001),
        ] {
            b.extend(mask.to_be_bytes());
            b.extend(value.to_be_bytes());
        }
        b.push(5);
        b.extend([2, 0, 0xff, 0xc0]);
        let mut v2 = vec![0x20, 0, 0];
        v2.extend([0xff; 20]);
        v2.extend(512_u32.to_be_bytes());
        v2.extend([0xff; 4]);
        v2.extend([0, 48]);
        b.push(v2.len() as u8 - 1);
        b.extend(v2);
        b.extend([1, 0, 0xe0]);
        b.extend([1, 0x80, 0x0a]);
        let v5 = [
            0, 0xf3, 0, 0, 0xe0, 5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0xe0, 0, 0, 0, 1, 0xc0, 0x40, 0x40, 0, 0x40,
        ];
        b.push(v5.len() as u8 - 1);
        b.extend(v5);
        b.extend([2, 0, 0, 2]);
        b
    }

    #[test]
    fn linux() {
        let mut bytes = linux_sample();
        let size = bytes.len();
        bytes.extend([0xff; 300]);
        let v = CasVectors::parse(&bytes).unwrap();
        assert_eq!((v.size, v.pvrs.len(), v.vectors.len()), (size, 5, 6));
        assert_eq!(v.pvrs[4], PvrEntry { mask: 0xffff_fffe, value: 0x0f00_0001 });
        assert!(v.supports(0x004e_1203) && v.supports(0x0f00_0005));
        assert!(!v.supports(0x0080_0200) && !v.supports(0x0f00_0004));
        assert_eq!(v.vector(1).unwrap().bytes(), [0, 0xff, 0xc0]);
        assert_eq!((v.min_rma_mib(), v.max_pft_size(), v.max_cpus()), (Some(512), Some(48), Some(2048)));
        assert_eq!((v.vec5(2), v.vec5(22), v.vec5(24), v.vec5(26)), (0xf3, 0xc0, 0x40, 0x40));
        assert_eq!((v.vec5(0), v.vec5(27)), (0, 0));
        assert!(v.vector(5).unwrap().bit(24, 1) && !v.vector(5).unwrap().bit(24, 0));
        assert!(!v.vector(5).unwrap().bit(24, 9));
        // To be ignored, not there, not a number.
        assert_eq!((v.vector(4), v.vector(7), v.vector(0)), (None, None, None));
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = linux_sample();
        for cut in 0..bytes.len() {
            assert_eq!(CasVectors::parse(&bytes[..cut]), Err(CasError::Truncated), "cut at {cut}");
        }
        assert_eq!(CasVectors::parse(&[0; 8 * MAX_PVRS + 8]), Err(CasError::TooManyPvrs));
    }

    #[test]
    fn random_bytes_do_no_harm() {
        let mut seed = 0x0123_4567_89ab_cdef_u64;
        let mut parsed = 0;
        for round in 0..20_000_u64 {
            let mut bytes = linux_sample();
            for _ in 0..1 + round % 5 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % bytes.len();
                bytes[at] = (seed >> 20) as u8;
            }
            if let Ok(v) = CasVectors::parse(&bytes) {
                parsed += 1;
                assert!(v.size <= bytes.len() && !v.vectors.is_empty() && !v.pvrs.is_empty());
                assert!(v.vectors.iter().all(|v| !v.bytes().is_empty()));
            }
        }
        assert!(parsed > 1000);
    }
}
