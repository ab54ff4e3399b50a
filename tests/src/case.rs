//! One test: which peer runs it, where its logs go, where the peer's program is.

use crate::guest::Guest;
use crate::spec::{BootSpec, Peer};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The context of one running test. Its console logs stay under `target/guest-logs` only if it fails.
pub struct Case {
    peer: Peer,
    name: String,
    logs: Vec<PathBuf>,
}

impl Case {
    /// Runs `test` under `name`.
    ///
    /// # Errors
    /// What the test failed with, and where its logs are.
    pub fn run(peer: Peer, name: &str, test: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let mut case = Self { peer, name: name.to_owned(), logs: Vec::new() };
        let outcome = test(&mut case);
        match outcome {
            Ok(()) => {
                for log in &case.logs {
                    std::fs::remove_file(log).with_context(|| format!("{}", log.display()))?;
                }
                Ok(())
            }
            Err(error) => {
                let logs: Vec<_> = case.logs.iter().map(|log| log.display().to_string()).collect();
                Err(error.context(format!("console log kept: {}", logs.join(" "))))
            }
        }
    }

    /// Who runs the guests of this test.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Boots a guest.
    ///
    /// # Errors
    /// The peer's program is missing or cannot be started.
    pub fn boot(&mut self, spec: &BootSpec) -> Result<Guest> {
        self.start(&spec.arguments(self.peer))
    }

    /// Starts the peer with any arguments.
    ///
    /// # Errors
    /// The peer's program is missing or cannot be started.
    pub fn start(&mut self, arguments: &[OsString]) -> Result<Guest> {
        let program = match self.peer {
            Peer::Rhyp => rhyp_program()?,
            Peer::Qemu => PathBuf::from("qemu-system-ppc64"),
        };
        self.start_program(&program, arguments)
    }

    /// Starts a program in the peer's place.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_program(&mut self, program: &Path, arguments: &[OsString]) -> Result<Guest> {
        let log = self.file("log")?;
        self.logs.push(log.clone());
        Guest::spawn(self.peer, program, arguments, &log)
    }

    /// A path for a file of this test: `NAME.EXTENSION`, or `NAME-2.EXTENSION` after a second boot, and so on.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn file(&self, extension: &str) -> Result<PathBuf> {
        let dir = target_dir()?.join("guest-logs");
        std::fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let name: String = self.name.chars().map(plain).collect();
        let count = self.logs.len() + 1;
        let number = if count > 1 { format!("-{count}") } else { String::new() };
        Ok(dir.join(format!("{name}{number}.{extension}")))
    }
}

/// The directory cargo builds into, found from where this test program is (`TARGET/PROFILE/deps/NAME`).
pub(crate) fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let profile =
        program.ancestors().nth(2).filter(|dir| program.parent().is_some_and(|p| p.parent() == Some(dir)));
    let target = profile.and_then(Path::parent).context("this program is not where cargo puts it")?;
    ensure!(target.is_dir(), "{} is no directory", target.display());
    Ok(target.to_path_buf())
}

/// The rhyp under test: `$RHYP`, else the release build beside this test program.
///
/// # Errors
/// There is none.
pub fn rhyp_program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("RHYP") {
        return Ok(path.into());
    }
    let path = target_dir()?.join("release/rhyp");
    if !path.is_file() {
        bail!("{} does not exist: `cargo build --release -p rhyp` first, or set RHYP", path.display());
    }
    Ok(path)
}
