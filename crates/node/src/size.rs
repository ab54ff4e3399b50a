//! Sizes as people write them.

/// Bytes of `512M`, `1g`, `2T`, `65536`; `Err`: what would be right.
pub fn parse(s: &str) -> Result<u64, String> {
    let wrong = || format!("'{s}' is not a size; right would be a number with K, M, G or T, for example 1G");
    let at = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    let n: u64 = s[..at].parse().map_err(|_| wrong())?;
    let shift = match s[at..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(wrong()),
    };
    n.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes() {
        assert_eq!(parse("1G"), Ok(1 << 30));
        assert_eq!(parse("512m"), Ok(512 << 20));
        assert_eq!(parse("65536"), Ok(65536));
        for bad in ["", "G", "1X", "1GG", "-1M", "99999999999T", "1.5G"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
