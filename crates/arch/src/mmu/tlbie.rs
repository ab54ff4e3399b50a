//! What an invalidation means for a software TLB, and the decoding of `tlbie` and `tlbiel` (Book III, 6.9.3.3).

/// Entries of the translated modes that a processor must drop before it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlbInvalidate {
    /// None: what was invalidated is not kept.
    None,
    /// All of them.
    All,
    /// Those of a process (radix). A processor that runs another process than `0` and this one holds none, provided
    /// that it drops problem-state translations whenever PIDR changes.
    Pid(u64),
    /// Those of all processes but 0 (radix).
    Processes,
    /// Those of one page (radix).
    Page {
        /// Effective address of the page.
        ea: u64,
        /// log2 of its size in bytes.
        shift: u32,
        /// Its process.
        pid: u64,
    },
    /// Those of one segment (hash).
    Segment {
        /// Effective address of the segment.
        ea: u64,
        /// log2 of its size in bytes, 28 or 40.
        shift: u32,
    },
}

impl TlbInvalidate {
    /// The least there is a name for that drops all that either of the two drops.
    pub fn join(self, other: Self) -> Self {
        use TlbInvalidate::{All, None, Page, Pid, Processes};
        let process = |what| match what {
            Pid(p) | Page { pid: p, .. } if p != 0 => Some(Pid(p)),
            Processes => Some(Processes),
            _ => Option::None,
        };
        match (self, other) {
            (a, b) if a == b => a,
            (None, a) | (a, None) => a,
            (a, b) => match (process(a), process(b)) {
                (Some(a), Some(b)) if a == b => a,
                (Some(_), Some(_)) => Processes,
                _ => All,
            },
        }
    }
}

/// log2 of the page size of an actual page size field of `tlbie` (`ibm,processor-radix-AP-encodings`).
pub const fn radix_page_shift(ap: u64) -> Option<u32> {
    match ap {
        0 => Some(12),
        5 => Some(16),
        1 => Some(21),
        2 => Some(30),
        _ => None,
    }
}

/// Decode `tlbie` or `tlbiel` of a partition: contents of RB and RS, and the instruction's RIC, PRS and R fields.
///
/// Page walk caches are not modelled, so RIC = 1 is nothing. Whatever is reserved or meant for hashed tables, which a
/// partition changes by hypercalls only, invalidates everything.
pub fn decode(rb: u64, rs: u64, ric: u32, prs: bool, r: bool) -> TlbInvalidate {
    if r && ric == 1 {
        return TlbInvalidate::None;
    }
    if !r || !prs || ric == 3 {
        return TlbInvalidate::All;
    }
    let pid = rs >> 32;
    match (rb >> 10 & 3, radix_page_shift(rb >> 5 & 7)) {
        (0, Some(shift)) => TlbInvalidate::Page { ea: rb & (u64::MAX << shift), shift, pid },
        (1, _) => TlbInvalidate::Pid(pid),
        _ => TlbInvalidate::All,
    }
}

/// Decode `tlbiel`, as [`decode`]. With a radix tree what is not for one page is for one congruence class of the TLB
/// (bits 40 to 51 of RB), and software goes through as many as the processor has: here all entries are in the first one.
pub fn decode_local(rb: u64, rs: u64, ric: u32, prs: bool, r: bool) -> TlbInvalidate {
    let (is, class) = (rb >> 10 & 3, rb >> 12 & 0xfff);
    if r && is != 0 && class != 0 { TlbInvalidate::None } else { decode(rb, rs, ric, prs, r) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_drops_both() {
        use TlbInvalidate::{All, None, Pid, Processes, Segment};
        let page = |ea, pid| TlbInvalidate::Page { ea, shift: 12, pid };
        for (a, b, joined) in [
            (page(0x1000, 7), page(0x1000, 7), page(0x1000, 7)),
            (page(0x1000, 7), page(0x2000, 7), Pid(7)),
            (page(0x1000, 7), page(0x1000, 8), Processes),
            (page(0x1000, 7), Pid(7), Pid(7)),
            (page(0x1000, 7), Pid(8), Processes),
            (page(0x1000, 0), page(0x2000, 0), All),
            (page(0x1000, 0), Pid(7), All),
            (Pid(7), Processes, Processes),
            (Pid(0), Processes, All),
            (Pid(7), All, All),
            (Segment { ea: 0, shift: 28 }, Segment { ea: 1 << 28, shift: 28 }, All),
            (None, Pid(7), Pid(7)),
            (None, None, None),
        ] {
            assert_eq!((a.join(b), b.join(a)), (joined, joined), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn all_entries_are_of_the_first_congruence_class() {
        let rs = 7 << 32;
        let (class, is) = (1 << 12, 1 << 10);
        assert_eq!(decode_local(is, rs, 2, true, true), TlbInvalidate::Pid(7));
        assert_eq!(decode_local(is | class, rs, 0, true, true), TlbInvalidate::None);
        assert_eq!(decode_local(2 * is | 0xfff * class, rs, 0, true, true), TlbInvalidate::None);
        assert_eq!(decode_local(2 * is, rs, 2, true, true), TlbInvalidate::All);
        assert_eq!(decode_local(is | class, 0, 0, true, false), TlbInvalidate::All, "hashed table");
        let page = TlbInvalidate::Page { ea: 0x5000, shift: 12, pid: 7 };
        assert_eq!(decode_local(0x5000, rs, 0, true, true), page, "of one page");
    }

    #[test]
    fn radix_forms() {
        let page = |ea, shift| TlbInvalidate::Page { ea, shift, pid: 7 };
        let rs = 7 << 32 | 1;
        for (ap, shift) in [(0, 12), (5, 16), (1, 21), (2, 30)] {
            let ea = 0xc00c_0000_4000_0000 + (3 << shift);
            assert_eq!(decode(ea | ap << 5, rs, 0, true, true), page(ea, shift));
            assert_eq!(decode(ea | ap << 5, rs, 2, true, true), page(ea, shift));
        }
        assert_eq!(decode(3 << 5, rs, 0, true, true), TlbInvalidate::All, "no such page size");
        assert_eq!(decode(1 << 10, rs, 0, true, true), TlbInvalidate::Pid(7));
        assert_eq!(decode(1 << 10, rs, 2, true, true), TlbInvalidate::Pid(7));
        assert_eq!(decode(1 << 10, rs, 1, true, true), TlbInvalidate::None);
        assert_eq!(decode(2 << 10, 1, 2, true, true), TlbInvalidate::All);
        assert_eq!(decode(3 << 10, 0, 0, true, true), TlbInvalidate::All);
        assert_eq!(decode(1 << 10, rs, 0, false, true), TlbInvalidate::All, "partition-scoped");
        assert_eq!(decode(0x1000, rs, 0, false, false), TlbInvalidate::All, "hashed table");
    }
}
