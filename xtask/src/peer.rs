//! QEMU, which figures and results are compared with: the one in the backports of Debian 12 where that is the host, as
//! that is the newer by three years.

use std::path::Path;

use anyhow::Result;
use guests::{CacheDir, Guests, Progress};

use crate::test::{as_root, install_missing, installed};

/// Its program, ...
pub const QEMU: &str = "qemu-system-ppc64";
/// ... and the package.
const PACKAGE: &str = "qemu-system-ppc";
/// The release, and where it keeps newer packages.
const RELEASE: &str = "bookworm";
const NEWER: &str = "bookworm-backports";

/// Installs QEMU if it is missing.
///
/// # Errors
/// apt has none, or may not install it.
pub fn install(root: &Path) -> Result<()> {
    if !installed(QEMU) {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        if release.lines().any(|l| l.split_once('=') == Some(("VERSION_CODENAME", RELEASE)))
            && let Err(e) = install_newer(root)
        {
            eprintln!("no QEMU from {NEWER}: {e}");
        }
    }
    install_missing(root, &[(QEMU, PACKAGE)])
}

/// With lists of its own: nothing of the host's sources is changed.
fn install_newer(root: &Path) -> Result<()> {
    let cache = CacheDir::user()?;
    let sources = Guests::open(cache, Progress::auto()).sources()?;
    let lists = sources.with_file_name("host-lists");
    std::fs::create_dir_all(lists.join("partial"))?;
    let options = [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        format!("Dir::Etc::sourceparts={}", sources.display()),
        format!("Dir::State::lists={}", lists.display()),
        "Acquire::Languages=none".to_owned(),
    ];
    let apt = |rest: &[&str]| {
        let mut words = vec!["apt-get"];
        options.iter().for_each(|o| words.extend(["--option", o]));
        words.extend(rest);
        as_root(root, &words)
    };
    apt(&["--quiet", "update"])?;
    apt(&["install", "--yes", "--no-remove", "--no-install-recommends", "--target-release", NEWER, PACKAGE])
}
