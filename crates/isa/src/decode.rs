//! From instruction words to [`Op`].

use std::sync::LazyLock;

use crate::{Insn, Level, Op, ROWS};

/// Rows that may match a word with a given primary opcode and, for the crowded opcodes, low bits 21..31.
struct Index {
    /// Which of bits 21..31 tell anything, by primary opcode.
    low: [u32; 64],
    /// Start and end in `list` per key.
    spans: Vec<(u32, u32)>,
    /// What may match, most specific first.
    list: Vec<Candidate>,
}

/// What decoding needs of a row.
#[derive(Clone, Copy)]
struct Candidate {
    enc: crate::Enc,
    since: Level,
    op: Op,
}

const KEYS: usize = 64 * 2048;

impl Index {
    fn key(&self, word: u32) -> usize {
        let po = (word >> 26) as usize;
        po << 11 | (word & self.low[po]) as usize
    }
}

fn build(prefixed: bool) -> Index {
    let mut order: Vec<u16> =
        (0..ROWS.len() as u16).filter(|&n| (ROWS[n as usize].enc.pmask != 0) == prefixed).collect();
    order.sort_by_key(|&n| {
        let e = ROWS[n as usize].enc;
        std::cmp::Reverse(e.mask.count_ones() + e.pmask.count_ones())
    });
    let mut per: Vec<Vec<u16>> = vec![Vec::new(); 64];
    for &n in &order {
        // Part of the primary opcode may be an operand (TX of `plxv`).
        let (mask, value) = (ROWS[n as usize].enc.mask >> 26, ROWS[n as usize].enc.value >> 26);
        for po in (0..64).filter(|po| po & mask == value) {
            per[po as usize].push(n);
        }
    }
    let mut ix = Index { low: [0; 64], spans: vec![(0, 0); KEYS], list: Vec::new() };
    for (po, rows) in per.iter().enumerate() {
        // Opcodes without extended bits share one span.
        let low: u32 = rows.iter().map(|&n| ROWS[n as usize].enc.mask & 0x7ff).fold(0, |a, b| a | b);
        ix.low[po] = low;
        let mut seen: Vec<Option<(u32, u32)>> = vec![None; 2048];
        for k in 0..2048usize {
            let canon = k & low as usize;
            let span = *seen[canon].get_or_insert_with(|| {
                let start = ix.list.len() as u32;
                for &n in rows {
                    let row = &ROWS[n as usize];
                    if canon as u32 & row.enc.mask & 0x7ff == row.enc.value & 0x7ff {
                        ix.list.push(Candidate { enc: row.enc, since: row.since, op: row.op });
                    }
                }
                (start, ix.list.len() as u32)
            });
            ix.spans[po << 11 | k] = span;
        }
    }
    ix
}

static WORDS: LazyLock<Index> = LazyLock::new(|| build(false));
static PREFIXED: LazyLock<Index> = LazyLock::new(|| build(true));

/// The operation of an instruction at `level`; [`Op::Invalid`] when nothing is defined there.
pub fn decode(i: Insn, level: Level) -> Op {
    let ix = if i.prefix != 0 { &*PREFIXED } else { &*WORDS };
    let (start, end) = ix.spans[ix.key(i.raw)];
    let fits = |c: &&Candidate| c.enc.matches(i) && c.since <= level;
    ix.list[start as usize..end as usize].iter().find(fits).map_or(Op::Invalid, |c| c.op)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_decodes_to_itself() {
        for row in ROWS {
            let i = if row.enc.pmask != 0 {
                Insn::prefixed(row.enc.pvalue, row.enc.value)
            } else {
                Insn::new(row.enc.value)
            };
            assert_eq!(decode(i, Level::V3_1), row.op, "{} shadowed", row.mnemonic);
        }
    }

    #[test]
    fn no_two_rows_claim_the_same_words_at_equal_weight() {
        for (n, a) in ROWS.iter().enumerate() {
            for b in &ROWS[n + 1..] {
                let (a, b) = (a, b);
                let common = a.enc.mask & b.enc.mask;
                let pcommon = a.enc.pmask & b.enc.pmask;
                let overlap = a.enc.value & common == b.enc.value & common
                    && (a.enc.pmask != 0) == (b.enc.pmask != 0)
                    && a.enc.pvalue & pcommon == b.enc.pvalue & pcommon;
                if overlap {
                    let weight = |e: crate::Enc| e.mask.count_ones() + e.pmask.count_ones();
                    assert_ne!(weight(a.enc), weight(b.enc), "{} and {} overlap", a.mnemonic, b.mnemonic);
                }
            }
        }
    }

    #[test]
    fn known_words() {
        assert_eq!(decode(Insn::new(0x4e80_0020), Level::V2_07), Op::Bclr);
        assert_eq!(decode(Insn::new(0), Level::V3_1), Op::Invalid);
        // pld r3,-8 relative to the instruction; plxv vs63,0(r4); xxspltiw vs34,1
        assert_eq!(decode(Insn::prefixed(0x0413_ffff, 0xe460_fff8), Level::V3_1), Op::Pld);
        assert_eq!(decode(Insn::prefixed(0x0613_ffff, 0x3860_fff8), Level::V3_1), Op::Paddi);
        assert_eq!(decode(Insn::prefixed(0x0400_0000, 0xcfe4_0000), Level::V3_1), Op::Plxv);
        assert_eq!(decode(Insn::prefixed(0x0500_0000, 0x8047_0001), Level::V3_1), Op::Xxspltiw);
        assert_eq!(decode(Insn::prefixed(0x0500_0000, 0x8047_0001), Level::V3_0), Op::Invalid);
    }
}
