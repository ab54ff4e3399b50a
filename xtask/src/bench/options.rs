//! The words after `cargo xtask bench`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Set;

/// What `cargo xtask` prints about them.
pub const USAGE: &str = "\
  bench          speed: boots and guest programs, natively and under rhyp, as a table
    --peer         beside QEMU
    --versus ARGS  beside rhyp with these arguments instead (\"\" for none)
    --versus-rhyp FILE  beside this rhyp program instead
    --args ARGS    more arguments for rhyp, as in `rhyp run ARGS`
    --rhyp FILE    measure this program instead of building it
    --rounds N     rounds to take the medians of (5)
    --only SET[/NAME]  only this set (boot, integer, float, vector, system, smp, programs), or what
                   NAME occurs in; repeatable
    --json         print the table as JSON
    --io [DISK]..  disks instead: fio on vscsi-raw, virtio-raw, vscsi-qcow2, virtio-qcow2 beside QEMU
                   (--rounds N, --seconds N a job, --no-peer)
    --login        a Debian from its disk to its login instead, beside QEMU with SLOF and with the kernel given
                   (--rounds N, --image FILE, --no-peer)
    --net          networks instead: iperf3 between guest and host and between guests, beside QEMU
                   (--rounds N, --seconds N a transfer, --rhyp FILE, --only NAME, --no-peer)";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Beside QEMU.
    pub peer: bool,
    /// Beside rhyp with these arguments.
    pub versus: Option<Vec<String>>,
    /// Beside rhyp as this program.
    pub versus_rhyp: Option<PathBuf>,
    /// More arguments for rhyp.
    pub arguments: Vec<String>,
    /// The program to measure instead of the one built here.
    pub rhyp: Option<PathBuf>,
    /// Rounds.
    pub rounds: usize,
    /// Sets and parts of names; empty for all.
    pub only: Vec<(String, Option<String>)>,
    /// JSON instead of text.
    pub json: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            peer: false,
            versus: None,
            versus_rhyp: None,
            arguments: Vec::new(),
            rhyp: None,
            rounds: 5,
            only: Vec::new(),
            json: false,
        }
    }
}

impl Options {
    /// Reads the words after `cargo xtask bench`.
    ///
    /// # Errors
    /// An option is unknown, lacks its value, or contradicts another.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            let split = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            match word {
                "--peer" => options.peer = true,
                "--json" => options.json = true,
                "--versus" => options.versus = Some(split(value()?)),
                "--versus-rhyp" => options.versus_rhyp = Some(value()?.into()),
                "--args" => options.arguments = split(value()?),
                "--rhyp" => options.rhyp = Some(value()?.into()),
                "--rounds" => {
                    options.rounds = value()?.parse().context("--rounds needs a number")?;
                    if options.rounds == 0 {
                        bail!("--rounds needs at least 1");
                    }
                }
                "--only" => {
                    let word = value()?;
                    let (set, name) = word.split_once('/').map_or((word, None), |(s, n)| (s, Some(n)));
                    if Set::ALL.iter().all(|known| known.name() != set) {
                        bail!("no set {set}: {}", Set::ALL.map(Set::name).join(", "));
                    }
                    options.only.push((set.to_owned(), name.map(str::to_owned)));
                }
                other => bail!("unknown option {other}\n{USAGE}"),
            }
        }
        if options.peer && (options.versus.is_some() || options.versus_rhyp.is_some()) {
            bail!("--peer is QEMU; --versus and --versus-rhyp are for rhyp beside itself");
        }
        Ok(options)
    }

    /// Whether nothing was left out.
    pub fn whole(&self) -> bool {
        self.only.is_empty()
    }

    /// Whether anything of the set was asked for.
    pub fn wants(&self, set: Set) -> bool {
        self.whole() || self.only.iter().any(|(name, _)| name == set.name())
    }

    /// Words one of which a benchmark's name must contain; none: all of the set.
    pub fn names(&self, set: Set) -> Vec<String> {
        let of_set: Vec<_> = self.only.iter().filter(|(name, _)| name == set.name()).collect();
        if of_set.iter().any(|(_, name)| name.is_none()) {
            return Vec::new();
        }
        of_set.into_iter().filter_map(|(_, name)| name.clone()).collect()
    }

    /// Whether a row that is a boot of its own was asked for.
    pub fn wants_row(&self, set: Set, row: &str) -> bool {
        let names = self.names(set);
        names.is_empty() || names.iter().any(|name| row.contains(name.as_str()))
    }

    /// What the last column is, with QEMU's version; `None`: there is none.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub fn peer_title(&self) -> Result<Option<String>> {
        if self.peer {
            let version = Command::new(crate::peer::QEMU).arg("--version").output()?.stdout;
            let version = String::from_utf8_lossy(&version);
            return Ok(Some(version.lines().next().unwrap_or("QEMU of unknown version").to_owned()));
        }
        if self.versus.is_none() && self.versus_rhyp.is_none() {
            return Ok(None);
        }
        let program =
            self.versus_rhyp.as_ref().map_or_else(|| "rhyp".to_owned(), |p| p.display().to_string());
        Ok(Some(format!("{program} run {}", self.versus.as_deref().unwrap_or_default().join(" "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
        let o = Options::parse(&[
            "--peer",
            "--rounds",
            "3",
            "--only",
            "integer/crc",
            "--only",
            "integer/lz",
            "--only",
            "system",
            "--args",
            "--accel interp",
            "--json",
        ])
        .unwrap();
        assert!(o.peer && o.json && o.rounds == 3 && o.arguments == ["--accel", "interp"]);
        assert!(o.wants(Set::Integer) && o.wants(Set::System) && !o.wants(Set::Boot));
        assert_eq!(o.names(Set::Integer), ["crc", "lz"]);
        assert!(o.names(Set::System).is_empty());
        let o = Options::parse(&["--only", "boot/radix", "--only", "boot"]).unwrap();
        assert!(o.wants_row(Set::Boot, "hash"), "the whole set was asked for too");
        for bad in [
            &["--rounds", "0"][..],
            &["--rounds"],
            &["--only", "intger"],
            &["--peer", "--versus", ""],
            &["--fast"],
        ] {
            assert!(Options::parse(bad).is_err(), "{bad:?}");
        }
    }
}
