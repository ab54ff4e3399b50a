//! One test: which peer runs it, where its logs go, where the peer's program is.

use crate::guest::Guest;
use crate::spec::{BootSpec, Peer};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The context of one running test. Its console logs stay under `target/guest-logs` only if it fails.
pub struct Case {
    peer: Peer,
    name: String,
    logs: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Case {
    /// Runs `test` under `name`.
    ///
    /// # Errors
    /// What the test failed with, and where its logs are.
    pub fn run(peer: Peer, name: &str, test: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let mut case = Self { peer, name: name.to_owned(), logs: Vec::new(), files: Vec::new() };
        let outcome = test(&mut case);
        match outcome {
            Ok(()) => {
                for path in case.logs.iter().chain(&case.files) {
                    std::fs::remove_file(path).with_context(|| format!("{}", path.display()))?;
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
        let log = self.path("log", self.logs.len())?;
        self.logs.push(log.clone());
        Guest::spawn(self.peer, program, arguments, &log)
    }

    /// Makes a file for this test; it is removed when the test succeeds.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn file(&mut self, extension: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.path(extension, self.files.len())?;
        std::fs::write(&path, content).with_context(|| format!("{}", path.display()))?;
        self.files.push(path.clone());
        Ok(path)
    }

    /// `NAME.EXTENSION`, or `NAME-2.EXTENSION` if there is one before it, and so on.
    fn path(&self, extension: &str, before: usize) -> Result<PathBuf> {
        let dir = target_dir()?.join("guest-logs");
        std::fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let name: String = self.name.chars().map(plain).collect();
        let number = if before > 0 { format!("-{}", before + 1) } else { String::new() };
        Ok(dir.join(format!("{name}{number}.{extension}")))
    }
}

/// The directory cargo builds into: found from where this test program is (`TARGET/PROFILE/deps/NAME`), or, for a copy
/// of it elsewhere, the one cargo would use.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let deps = program.parent().filter(|dir| dir.ends_with("deps"));
    if let Some(target) = deps.and_then(Path::parent).and_then(Path::parent) {
        return Ok(target.to_path_buf());
    }
    let given = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    Ok(given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")))
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
