//! Where we are right and the peer is wrong, or the manual leaves a result to the processor.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::state::Difference;

/// One entry: results of these instructions may differ in these fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erratum {
    /// Mnemonics; `*` stands for any text.
    pub mnemonics: Vec<String>,
    /// Fields, with the bits that may differ (all when not said).
    pub fields: Vec<(String, u64)>,
    /// Only for vectors that end in the interrupt of an enabled floating-point exception.
    pub trap: bool,
    /// Section of the Power ISA.
    pub section: String,
    /// Why.
    pub reason: String,
}

/// Whether `text` is of the form `pattern`, in which `*` stands for any text.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|k| rest.is_char_boundary(k) && matches(tail, &rest[k..]))
        }),
    }
}

/// Reads the list: lines of `mnemonics | fields | section | reason`, `#` for comments; `if-trap` among the fields
/// restricts the entry to vectors that end in a floating-point enabled program interrupt.
pub fn read(path: &Path) -> Result<Vec<Erratum>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text)
}

/// Reads the text of the list.
pub fn parse(text: &str) -> Result<Vec<Erratum>> {
    let words = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    text.lines()
        .enumerate()
        .filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
        .map(|(n, line)| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let &[mnemonics, fields, section, reason] = parts.as_slice() else {
                anyhow::bail!("line {}: four columns are wanted", n + 1);
            };
            ensure!(
                !section.is_empty() && !reason.is_empty(),
                "line {}: a section and a reason are wanted",
                n + 1
            );
            let trap = words(fields).iter().any(|f| f == "if-trap");
            let fields = words(fields)
                .into_iter()
                .filter(|f| f != "if-trap")
                .map(|f| match f.split_once(':') {
                    None => Ok((f, u64::MAX)),
                    Some((name, mask)) => Ok((name.to_owned(), u64::from_str_radix(mask, 16)?)),
                })
                .collect::<Result<_>>()?;
            Ok(Erratum {
                mnemonics: words(mnemonics),
                fields,
                trap,
                section: section.into(),
                reason: reason.into(),
            })
        })
        .collect()
}

impl Erratum {
    /// Whether it speaks of this instruction.
    pub fn of(&self, mnemonic: &str) -> bool {
        self.mnemonics.iter().any(|p| matches(p, mnemonic))
    }
}

/// The entries that excuse all of the differences of one result, or none if one is not excused.
pub fn excuse<'a>(
    list: &'a [Erratum],
    mnemonic: &str,
    trapped: bool,
    differences: &[Difference],
) -> Option<Vec<&'a Erratum>> {
    let mut used: Vec<&Erratum> = Vec::new();
    for (field, ours, theirs) in differences {
        let name = field.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = |s: &str| u64::from_str_radix(s, 16).ok();
        let bits = match (number(ours), number(theirs)) {
            (Some(x), Some(y)) => x ^ y,
            _ => u64::MAX,
        };
        // Several entries may share a field's bits.
        let of: Vec<&Erratum> = list.iter().filter(|e| e.of(mnemonic) && (trapped || !e.trap)).collect();
        let masks = |e: &Erratum| e.fields.iter().filter(|f| f.0 == name).fold(0, |m, f| m | f.1);
        let all = of.iter().fold(0, |m, e| m | masks(e));
        if bits & !all != 0 || all == 0 {
            return None;
        }
        for e in of.into_iter().filter(|e| masks(e) & bits != 0) {
            if !used.contains(&e) {
                used.push(e);
            }
        }
    }
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_excuse_what_they_name() {
        let list = parse("# c\nx* y | fpscr:30 vsr | 4.2 | wrong\nx | fpscr:c | 4.3 | too\n").unwrap();
        let d = |f: &str, a: &str, b: &str| (f.to_owned(), a.to_owned(), b.to_owned());
        assert_eq!(excuse(&list, "xab", false, &[d("fpscr", "10", "20")]).unwrap().len(), 1);
        assert_eq!(
            excuse(&list, "x", false, &[d("fpscr", "10", "4"), d("vsr7", "0", "1")]).unwrap().len(),
            2
        );
        assert!(excuse(&list, "xab", false, &[d("fpscr", "10", "4")]).is_none());
        assert!(excuse(&list, "z", false, &[d("vsr1", "10", "4")]).is_none());
        assert!(excuse(&list, "y", false, &[d("end", "a", "b")]).is_none());
        assert!(parse("a | b | c").is_err());
        assert!(matches("v*q", "vmuloq") && !matches("v*q", "vmulod") && matches("a", "a"));
    }
}
