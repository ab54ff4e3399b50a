//! What can go wrong while guests are fetched or an initramfs is built.

use std::path::{Path, PathBuf};

/// A failure of this crate. Every `Display` is one line that a user can act on.
#[derive(Debug, thiserror::Error)]
pub enum GuestsError {
    /// The host has no apt, so nothing can be fetched.
    #[error(
        "this host has no apt ({missing} not found): give a Power kernel and initramfs of your own, `rhyp run --kernel VMLINUX --initrd INITRD --append console=hvc0`"
    )]
    NoApt {
        /// The program that was looked for in vain.
        missing: &'static str,
    },
    /// The host's apt has no source that points to a Debian archive.
    #[error(
        "this host's apt knows no Debian archive: give a Power kernel and initramfs of your own, `rhyp run --kernel VMLINUX --initrd INITRD --append console=hvc0`"
    )]
    NoDebianSource,
    /// The archive was read, but the package is not in it.
    #[error("package {package} for ppc64el was not found through this host's apt{detail}")]
    NotFound {
        /// Name of the package, with what was asked of its version.
        package: String,
        /// What apt said last, with a leading separator, or nothing.
        detail: String,
    },
    /// An apt or dpkg program ended with an error.
    #[error("{program} failed: {detail}")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// Its last words, on one line.
        detail: String,
    },
    /// A file of the host could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A fetched or given file is not what it should be.
    #[error("{}: {what}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The host cannot make file systems.
    #[error("mkfs.ext4 was not found: install the package e2fsprogs")]
    NoMkfs,
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set, so there is no place for the cache.
    #[error("no place for the cache: set XDG_CACHE_HOME or HOME")]
    NoCacheDir,
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, GuestsError>;

/// Attaches the path to an input/output error.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> GuestsError {
    let path = path.to_path_buf();
    move |source| GuestsError::Io { path, source }
}
