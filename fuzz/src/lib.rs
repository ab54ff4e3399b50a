//! What the fuzz targets have in common.
#![forbid(unsafe_code)]

/// The fuzzer's bytes, as a program for a target reads them; nothing once they are used up.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// The next bytes.
    pub fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[b]| b)
    }

    /// Eight bytes as a little-endian number.
    pub fn word(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A number that is more often small, then up to 65535 times `small`.
    pub fn number(&mut self, small: u64) -> Option<u64> {
        let how = self.byte()?;
        if how & 3 == 0 {
            return self.word();
        }
        Some(u64::from(u16::from_le_bytes(self.bytes()?)) * small >> (how >> 6))
    }
}
