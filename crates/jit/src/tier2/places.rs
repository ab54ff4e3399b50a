//! The pages that a region may be in: that of its head, those beside it, and those of functions it calls. Offsets of
//! instructions count through the slots; what runs in sequence is in slots by order of address only among the first
//! three.

/// Pages at most.
pub const SLOTS: usize = 8;

/// The slot of the head's page. The pages before and after it have the slots beside it.
pub const HOME_SLOT: usize = 1;

/// The first slot of pages of called functions.
pub const CALLED: usize = 3;

/// Bytes of all slots.
pub const SPAN: u32 = 4096 * SLOTS as u32;

/// Offset of the head's page.
pub const HOME: u32 = 4096 * HOME_SLOT as u32;

/// Pages that a called function may be away from the head's.
pub const FAR: i64 = 1 << 18;

/// Which page each slot is: pages from the head's; `None`: not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Places(pub [Option<i32>; SLOTS]);

impl Places {
    /// Bytes from the head's page to the place of `off`, whose page is known.
    pub fn rel(&self, off: u32) -> i64 {
        let page = self.0.get(off as usize / 4096).copied().flatten().unwrap_or(0);
        4096 * page as i64 + (off & 4095) as i64
    }

    /// The offset of the place `rel` bytes from the head's page.
    pub fn place(&self, rel: i64) -> Option<u32> {
        let page = i32::try_from(rel.div_euclid(4096)).ok()?;
        let slot = self.0.iter().position(|&p| p == Some(page))?;
        Some(4096 * slot as u32 + (rel & 4095) as u32)
    }

    /// The offset `n` bytes further by address.
    pub fn after(&self, off: u32, n: i64) -> Option<u32> {
        self.place(self.rel(off) + n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_address() {
        let p = Places([None, Some(0), Some(1), Some(-7), Some(300), None, None, None]);
        assert_eq!(p.place(0x10), Some(HOME + 0x10));
        assert_eq!(p.place(-4), None);
        assert_eq!(p.after(HOME + 0xffc, 4), Some(HOME + 4096));
        assert_eq!(p.after(HOME + 0x1ffc, 4), None);
        assert_eq!(p.after(HOME + 8, -7 * 4096), Some(4096 * 3 + 8));
        assert_eq!(p.rel(4096 * 4 + 20), 300 * 4096 + 20);
    }
}
