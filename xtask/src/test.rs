//! `cargo xtask test`: everything that must hold before a change is taken.

use crate::lint;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The full guest tests, not the quick subset.
    pub all: bool,
    /// Run the guests under QEMU instead of rhyp, to test the tests.
    pub qemu: bool,
    /// Only guest tests whose names contain this.
    pub filter: Option<String>,
    /// Only the instruction corpus, all of it.
    pub isa: bool,
    /// Record the corpus anew from the peer.
    pub record: bool,
}

impl Options {
    /// Reads the words after `cargo xtask test`.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--all" => options.all = true,
                "--isa" => options.isa = true,
                "--record" => (options.isa, options.record) = (true, true),
                "--peer" => match words.next() {
                    Some(&"qemu") => options.qemu = true,
                    Some(&"rhyp") => options.qemu = false,
                    _ => bail!("--peer is rhyp or qemu"),
                },
                "--guests" => {
                    options.filter = Some((*words.next().context("--guests needs a name")?).to_owned())
                }
                other => {
                    bail!("unknown option {other}: --all, --isa, --record, --peer rhyp|qemu, --guests NAME")
                }
            }
        }
        Ok(options)
    }
}

/// Programs that some tests start and a bare Debian lacks; what is not to be had leaves those tests out.
const TEST_PACKAGES: &[(&str, &str)] = &[("passt", "passt"), ("qemu-img", "qemu-utils")];
/// What recording the instruction corpus takes.
const RECORD_PACKAGES: &[(&str, &str)] =
    &[("qemu-ppc64le", "qemu-user"), ("powerpc64le-linux-gnu-gcc", "gcc-powerpc64le-linux-gnu")];
/// The instruction corpus.
const CORPUS: &[&str] = &["run", "--release", "--quiet", "--package", "isa-corpus", "--"];

/// Runs all steps in `root`; stops at the first that fails. With a filter only the guest tests run.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let cargo = |arguments: &[&str]| step(root, &crate::cargo(), arguments);
    if options.isa {
        let mut corpus = CORPUS.to_vec();
        if options.record {
            install_missing(root, RECORD_PACKAGES)?;
            corpus.push("--record");
        }
        return cargo(&corpus);
    }
    if options.qemu {
        crate::peer::install(root)?;
    }
    for package in TEST_PACKAGES {
        if let Err(e) = install_missing(root, &[*package]) {
            eprintln!("tests that need it are left out: {e}");
        }
    }
    if options.filter.is_none() {
        cargo(&["fmt", "--all", "--check"])?;
        eprintln!("== house rules");
        lint::run(root)?;
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])?;
        cargo(&["test", "--workspace", "--exclude", "guest-tests", "--quiet"])?;
        cargo(&["test", "--package", "guest-tests", "--lib", "--quiet"])?;
        // A part of the corpus and of the engines' comparison, or all of both.
        let (every, count) = if options.all { ("1", "10000000") } else { ("8", "200000") };
        cargo(&[CORPUS, &["--every", every]].concat())?;
        cargo(&[CORPUS, &["--lockstep", count]].concat())?;
    }
    if !options.qemu {
        cargo(&["build", "--release", "--package", "rhyp"])?;
    }
    let mut guests = vec!["test", "--release", "--package", "guest-tests", "--test", "guests", "--"];
    if options.all {
        guests.push("--all");
    }
    if options.qemu {
        guests.extend(["--peer", "qemu"]);
    }
    guests.extend(options.filter.as_deref());
    cargo(&guests)
}

/// Runs one command, saying what it is and how long it took.
fn step(root: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let name = Path::new(program).file_stem().and_then(OsStr::to_str).unwrap_or(program);
    let shown = format!("{name} {}", arguments.join(" "));
    eprintln!("== {shown}");
    let begin = Instant::now();
    let status = Command::new(program).args(arguments).current_dir(root).status().context(shown.clone())?;
    if !status.success() {
        bail!("`{shown}` failed");
    }
    eprintln!("== done in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Whether a program is there.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Installs the packages whose programs are missing, as root or through sudo.
pub fn install_missing(root: &Path, wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| !installed(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut arguments = vec!["apt-get", "install", "--yes", "--no-remove", "--no-install-recommends"];
    arguments.extend(&missing);
    let shown = arguments.join(" ");
    as_root(root, &arguments)
        .with_context(|| format!("these tests need {}: install with `{shown}`", missing.join(", ")))
}

/// Runs a command as root, or through sudo where that asks for no password.
pub fn as_root(root: &Path, words: &[&str]) -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().nth(1));
    match words.split_first() {
        Some((program, rest)) if uid == Some("0") => step(root, program, rest),
        _ => step(root, "sudo", &[&["--non-interactive"], words].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
        let options = Options::parse(&["--all", "--peer", "qemu", "--guests", "matrix"]).unwrap();
        assert!(options.all && options.qemu);
        assert_eq!(options.filter.as_deref(), Some("matrix"));
        assert!(Options::parse(&["--isa"]).unwrap().isa && Options::parse(&["--record"]).unwrap().isa);
        for bad in [&["--peer"][..], &["--peer", "kvm"], &["--guests"], &["--everything"]] {
            assert!(Options::parse(bad).is_err(), "{bad:?}");
        }
    }
}
