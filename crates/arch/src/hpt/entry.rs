//! The format of an entry (Power ISA 2.07 Book III-S, 5.7.7.1) and its page sizes.

/// First doubleword.
pub mod pteh {
    /// Segment size.
    pub const B: u64 = 3 << 62;
    /// Abbreviated virtual page number: virtual address from the 8 MiB bit up.
    pub const AVPN: u64 = 0x3fff_ffff_ffff_ff80;
    /// Software's bits that are kept.
    pub const SOFTWARE: u64 = 0x18;
    /// The software bit by which Linux marks entries that must stay.
    pub const BOLTED: u64 = 0x10;
    /// Large page: the page size stands in the second doubleword.
    pub const L: u64 = 4;
    /// The entry is in its secondary group.
    pub const H: u64 = 2;
    /// Valid.
    pub const V: u64 = 1;
    /// The hypervisor's lock: another thread is changing the entry. Never shown to the guest.
    pub(crate) const LOCK: u64 = 0x40;
}

/// Second doubleword.
pub mod ptel {
    /// Page protection, bit 0.
    pub const PP0: u64 = 1 << 63;
    /// Reserved bit, kept 0.
    pub const RESERVED: u64 = 1 << 62;
    /// Virtual page class key, bits 0 and 1.
    pub const KEY_HI: u64 = 3 << 60;
    /// Real page number, and page size in its low bits for large pages.
    pub const RPN: u64 = 0x0fff_ffff_ffff_f000;
    /// Virtual page class key, bits 2 to 4.
    pub const KEY_LO: u64 = 0xe00;
    /// Reference.
    pub const R: u64 = 0x100;
    /// Change.
    pub const C: u64 = 0x80;
    /// Write through.
    pub const W: u64 = 0x40;
    /// Caching inhibited.
    pub const I: u64 = 0x20;
    /// Memory coherence.
    pub const M: u64 = 0x10;
    /// Guarded.
    pub const G: u64 = 8;
    /// No execute.
    pub const N: u64 = 4;
    /// Page protection, bits 1 and 2.
    pub const PP: u64 = 3;
}

/// A base page size of segments and the actual page sizes within (`ibm,segment-page-sizes`).
#[derive(Debug)]
pub struct SegmentPageSize {
    /// log2 of the base page size.
    pub shift: u32,
    /// Its L and LP in the SLB (second operand of `slbmte`).
    pub slb: u64,
    /// log2 of each actual page size and its encoding in the low bits of an entry's real page number.
    pub actual: &'static [(u32, u64)],
}

/// The page sizes offered: 4 KiB, 64 KiB and 16 MiB, and the larger ones in segments of the smaller.
pub static PAGE_SIZES: [SegmentPageSize; 3] = [
    SegmentPageSize { shift: 12, slb: 0, actual: &[(12, 0), (16, 7), (24, 0x38)] },
    SegmentPageSize { shift: 16, slb: 0x110, actual: &[(16, 1), (24, 8)] },
    SegmentPageSize { shift: 24, slb: 0x100, actual: &[(24, 0)] },
];

/// log2 of base and actual page size by the LP field of a large page's entry; 0 where reserved.
static BY_LP: [(u8, u8); 256] = by_lp();

const fn by_lp() -> [(u8, u8); 256] {
    let sizes = [(12, 16, 7), (12, 24, 0x38), (16, 16, 1), (16, 24, 8), (24, 24, 0)];
    let mut table = [(0, 0); 256];
    let mut lp = 0;
    while lp < 256 {
        let mut n = 0;
        while n < sizes.len() {
            let (base, actual, encoding) = sizes[n];
            // Bits of the field that lie within the page are the encoding, those above belong to its number.
            let within = if actual == 16 { 0xf } else { 0xff };
            if lp & within == encoding {
                table[lp] = (base, actual);
            }
            n += 1;
        }
        lp += 1;
    }
    table
}

/// log2 of base and actual page size of an entry; `None` for a reserved encoding.
#[inline]
pub fn page_shifts(h: u64, l: u64) -> Option<(u32, u32)> {
    if h & pteh::L == 0 {
        return Some((12, 12));
    }
    match BY_LP[(l >> 12 & 0xff) as usize] {
        (0, _) => None,
        (base, actual) => Some((base as u32, actual as u32)),
    }
}

/// Protection by PP alone: whether loads and stores are allowed for a storage key (Book III, 6.7.14.2).
#[inline]
pub(crate) fn allowed(l: u64, key: bool) -> (bool, bool) {
    match (l >> 61 & 4 | l & ptel::PP, key) {
        (0..=1, false) | (2, _) => (true, true),
        (3, _) | (6, false) | (1, true) => (true, false),
        _ => (false, false),
    }
}

/// A page of virtual storage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VirtualPage {
    /// log2 of the segment's size: 28 or 40.
    pub segment_shift: u32,
    /// Virtual segment id.
    pub vsid: u64,
    /// Offset of the page in the segment, in bytes.
    pub offset: u64,
    /// log2 of the page's size in bytes.
    pub shift: u32,
}

/// The part of the hash that the segment gives (Book III, 6.7.9.2).
#[inline]
pub(crate) fn segment_hash(segment_shift: u32, vsid: u64) -> u64 {
    if segment_shift == 40 { vsid ^ vsid << 25 } else { vsid }
}

impl VirtualPage {
    /// The page that the entry `h`, `l` at `index` maps. The offset's bits below 8 MiB are not in the entry; they
    /// follow from the group it is in. `None` for reserved sizes.
    pub fn of(index: u64, h: u64, l: u64) -> Option<Self> {
        let (base, shift) = page_shifts(h, l)?;
        let segment_shift = if h & pteh::B == 1 << 62 { 40 } else { 28 };
        let avpn = (h & pteh::AVPN) >> 7;
        let vsid = avpn >> (segment_shift - 23);
        let mut offset = avpn << 23 & ((1 << segment_shift) - 1);
        if base < 23 {
            let group = index / super::GROUP;
            let hash = if h & pteh::H != 0 { !group } else { group } ^ segment_hash(segment_shift, vsid);
            // The smallest table has as many groups as 8 MiB have pages of 4 KiB: these bits are all there.
            offset |= (hash & ((1 << (23 - base)) - 1)) << base;
        }
        offset &= u64::MAX << shift;
        Some(VirtualPage { segment_shift, vsid, offset, shift })
    }
}
