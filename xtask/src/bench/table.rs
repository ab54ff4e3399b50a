//! The results: medians, ratios, geometric means, bars.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::Set;
use super::machine::Measured;

/// Where a time was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// On the host itself.
    Native,
    /// Under rhyp.
    Rhyp,
    /// Under what rhyp is compared with.
    Peer,
}

#[derive(Default)]
struct Row {
    order: usize,
    seconds: BTreeMap<Column, Vec<f64>>,
    sum: Option<String>,
}

/// Times of all rounds.
pub struct Table {
    peer: Option<String>,
    rows: BTreeMap<(Set, String), Row>,
}

/// The least ratio two processors must bring on the parallel load.
const SCALING_BAR: f64 = 1.8;

impl Table {
    /// A table whose last column, if any, is `peer`.
    pub fn new(peer: Option<String>) -> Self {
        Self { peer, rows: BTreeMap::new() }
    }

    /// Takes a measurement.
    ///
    /// # Errors
    /// Its checksum differs from an earlier one of the same benchmark.
    pub fn add(&mut self, set: Set, column: Column, measured: Measured) -> Result<()> {
        let order = self.rows.len();
        let name = measured.name;
        let row = self.rows.entry((set, name.clone())).or_insert_with(|| Row { order, ..Row::default() });
        if row.sum.is_some() && measured.sum.is_some() && row.sum != measured.sum {
            let words = [&row.sum, &measured.sum].map(|sum| sum.clone().unwrap_or_default());
            bail!("{}/{name}: checksum {} before, {} on {column:?}", set.name(), words[0], words[1]);
        }
        row.sum = measured.sum.or(row.sum.take());
        row.seconds.entry(column).or_default().push(measured.seconds);
        Ok(())
    }

    fn rows(&self, set: Set) -> Vec<(&str, &Row)> {
        let mut rows: Vec<_> =
            self.rows.iter().filter(|((s, _), _)| *s == set).map(|((_, n), r)| (n.as_str(), r)).collect();
        rows.sort_by_key(|(_, row)| row.order);
        rows
    }

    /// Geometric mean over the rows of a set of one column's time over another's.
    fn mean(&self, set: Set, over: Column, under: Column) -> Option<f64> {
        let logs: Vec<f64> =
            self.rows(set).iter().filter_map(|(_, row)| row.ratio(over, under)).map(f64::ln).collect();
        (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
    }

    /// Time on one processor over time on two.
    fn scaling(&self, column: Column) -> Option<f64> {
        let at = |name: &str| self.rows.get(&(Set::Smp, name.to_owned()))?.median(column);
        Some(at("make-on-1")? / at("make-on-2")?)
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if let Some(peer) = &self.peer {
            let _ = writeln!(out, "peer: {peer}");
        }
        let peer = if self.peer.is_some() { ["peer", "peer/rhyp"] } else { [""; 2] };
        let _ = writeln!(
            out,
            "{:<26} {:>9} {:>9} {:>9} {:>12} {:>10}",
            "seconds, medians", "native", "rhyp", peer[0], "rhyp/native", peer[1]
        );
        for set in Set::ALL {
            for (name, row) in self.rows(set) {
                let times = [Column::Native, Column::Rhyp, Column::Peer].map(|c| text(row.median(c), 3));
                let ratios = [(Column::Rhyp, Column::Native), (Column::Peer, Column::Rhyp)]
                    .map(|(over, under)| text(row.ratio(over, under), 2));
                let low = set.bars().1.filter(|bar| row.ratio(Column::Peer, Column::Rhyp) < Some(*bar));
                let low = low
                    .filter(|_| !ratios[1].is_empty())
                    .map_or_else(String::new, |bar| format!("  below {bar:.2}"));
                let line = format!(
                    "{:<26} {:>9} {:>9} {:>9} {:>12} {:>10}{low}",
                    format!("{}/{name}", set.name()),
                    times[0],
                    times[1],
                    times[2],
                    ratios[0],
                    ratios[1]
                );
                let _ = writeln!(out, "{}", line.trim_end());
            }
            let native = self.mean(set, Column::Rhyp, Column::Native);
            let peer = self.mean(set, Column::Peer, Column::Rhyp);
            if set.bars().0.is_some() && (native.is_some() || peer.is_some()) {
                let bar = match (set.bars().0, peer) {
                    (Some(bar), Some(mean)) => {
                        format!("  bar {bar:.2}: {}", if mean >= bar { "reached" } else { "not reached" })
                    }
                    _ => String::new(),
                };
                let line = format!(
                    "{:<26} {:>9} {:>9} {:>9} {:>12} {:>10}{bar}",
                    format!("{} geometric mean", set.name()),
                    "",
                    "",
                    "",
                    text(native, 2),
                    text(peer, 2)
                );
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        let scaling = [Column::Native, Column::Rhyp, Column::Peer].map(|c| text(self.scaling(c), 2));
        if !scaling[1].is_empty() {
            let _ = writeln!(
                out,
                "{:<26} {:>9} {:>9} {:>9}  bar {SCALING_BAR:.2}",
                "two processors over one", scaling[0], scaling[1], scaling[2]
            );
        }
        out
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let mut rows = Vec::new();
        let mut sets = Vec::new();
        for set in Set::ALL {
            for (name, row) in self.rows(set) {
                rows.push(json!({
                    "set": set.name(),
                    "name": name,
                    "native": row.median(Column::Native),
                    "rhyp": row.median(Column::Rhyp),
                    "peer": row.median(Column::Peer),
                    "checksum": row.sum,
                    "all": { "native": row.seconds.get(&Column::Native), "rhyp": row.seconds.get(&Column::Rhyp),
                             "peer": row.seconds.get(&Column::Peer) },
                }));
            }
            if let Some(mean) = self.mean(set, Column::Peer, Column::Rhyp) {
                let (bar, floor) = set.bars();
                sets.push(json!({ "set": set.name(), "peer_over_rhyp": mean, "bar": bar, "row_bar": floor,
                                  "rhyp_over_native": self.mean(set, Column::Rhyp, Column::Native) }));
            }
        }
        json!({
            "peer": self.peer,
            "rows": rows,
            "sets": sets,
            "scaling": { "rhyp": self.scaling(Column::Rhyp), "peer": self.scaling(Column::Peer), "bar": SCALING_BAR },
        })
    }
}

impl Row {
    fn median(&self, column: Column) -> Option<f64> {
        let mut v = self.seconds.get(&column)?.clone();
        v.sort_by(f64::total_cmp);
        v.get(v.len() / 2).copied()
    }

    fn ratio(&self, over: Column, under: Column) -> Option<f64> {
        Some(self.median(over)? / self.median(under)?)
    }
}

/// A number with `digits` decimals, or nothing.
fn text(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |v| format!("{v:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, seconds: f64, sum: &str) -> Measured {
        Measured { name: name.to_owned(), seconds, sum: Some(sum.to_owned()) }
    }

    #[test]
    fn medians_ratios_and_means() {
        let mut t = Table::new(Some("QEMU".to_owned()));
        for s in [1.0, 9.0, 2.0] {
            t.add(Set::Integer, Column::Rhyp, measured("crc", s, "1")).unwrap();
        }
        t.add(Set::Integer, Column::Peer, measured("crc", 4.0, "1")).unwrap();
        t.add(Set::Integer, Column::Rhyp, measured("lz", 1.0, "2")).unwrap();
        t.add(Set::Integer, Column::Peer, measured("lz", 0.5, "2")).unwrap();
        let mean = t.mean(Set::Integer, Column::Peer, Column::Rhyp).unwrap();
        assert!((mean - 1.0).abs() < 1e-9, "{mean}");
        let text = t.text();
        assert!(text.contains("bar 2.00: not reached") && text.contains("0.50  below 0.95"), "{text}");
        assert!(text.find("integer/crc") < text.find("integer/lz"));
    }

    #[test]
    fn a_wrong_checksum_is_a_failure() {
        let mut t = Table::new(None);
        t.add(Set::Float, Column::Native, measured("fft", 1.0, "1")).unwrap();
        assert!(t.add(Set::Float, Column::Rhyp, measured("fft", 1.0, "2")).is_err());
    }
}
