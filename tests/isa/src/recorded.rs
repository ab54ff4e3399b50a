//! The recorded results: for each vector 64 bits of digest, and how it came to be.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::vector::COUNT;

/// Where a digest comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The peer's result (and ours, where nothing fails).
    Peer,
    /// Our result; the peer's differs where the list of errata says so.
    Listed,
    /// Our result; there is no peer for it.
    Own,
}

/// Results of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// One for each vector.
    pub digests: Vec<u64>,
    /// The vectors that are not the peer's.
    pub others: BTreeMap<u16, u8>,
}

impl Results {
    /// Where vector `n` comes from.
    pub fn source(&self, n: u32) -> Source {
        match self.others.get(&(n as u16)) {
            None => Source::Peer,
            Some(1) => Source::Listed,
            Some(_) => Source::Own,
        }
    }

    /// Notes a result.
    pub fn push(&mut self, digest: u64, source: Source) {
        let n = self.digests.len() as u16;
        self.digests.push(digest);
        match source {
            Source::Peer => {}
            Source::Listed => drop(self.others.insert(n, 1)),
            Source::Own => drop(self.others.insert(n, 2)),
        }
    }
}

/// All results, by mnemonic.
pub type Recorded = BTreeMap<String, Results>;

const MAGIC: &[u8; 8] = b"isarec1\n";

/// Reads the file: magic, then for each row a length and the mnemonic, [`COUNT`] digests (little-endian), the number
/// of exceptions (two bytes) and for each the vector's number (two bytes) and source.
pub fn read(path: &Path) -> Result<Recorded> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut at = &bytes[..];
    let mut take = |n: usize| -> Result<&[u8]> {
        ensure!(at.len() >= n, "{}: cut short", path.display());
        let (head, tail) = at.split_at(n);
        at = tail;
        Ok(head)
    };
    ensure!(take(8)? == MAGIC, "{}: not a record", path.display());
    let mut all = Recorded::new();
    loop {
        let Ok(len) = take(1) else { break };
        let name = String::from_utf8(take(len[0].into())?.to_vec())?;
        let digests = take(8 * COUNT as usize)?.chunks(8);
        let digests = digests.map(|c| c.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b))).collect();
        let mut r = Results { digests, ..Results::default() };
        let two = |b: &[u8]| u16::from(b[0]) | u16::from(b[1]) << 8;
        for _ in 0..two(take(2)?) {
            let b = take(3)?;
            r.others.insert(two(b), b[2]);
        }
        all.insert(name, r);
    }
    Ok(all)
}

/// Writes the file.
pub fn write(path: &Path, all: &Recorded) -> Result<()> {
    let mut out = MAGIC.to_vec();
    for (name, r) in all {
        out.push(name.len() as u8);
        out.extend(name.bytes());
        out.extend(r.digests.iter().flat_map(|d| d.to_le_bytes()));
        out.extend((r.others.len() as u16).to_le_bytes());
        for (n, s) in &r.others {
            out.extend(n.to_le_bytes());
            out.push(*s);
        }
    }
    std::fs::write(path, out).with_context(|| path.display().to_string())
}
