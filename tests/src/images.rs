//! The kernels and initramfs images the tests boot.

use crate::case::target_dir;
use anyhow::{Context, Result};
use guests::{Busybox, CacheDir, Guests, INIT_MOUNTS, Initramfs, Installer, Kernel, KernelVersion, Progress};
use std::path::{Path, PathBuf};

/// All guests, fetched, and the place initramfs images are written to.
pub struct Images {
    guests: Guests,
    busybox: Busybox,
    kernels: Vec<Kernel>,
    dir: PathBuf,
}

impl Images {
    /// Fetches what is missing. A kernel the host's archive does not carry is left out.
    ///
    /// # Errors
    /// Fetching failed otherwise.
    pub fn open() -> Result<Self> {
        let guests = Guests::open(CacheDir::user()?, Progress::auto());
        let mut kernels = Vec::new();
        for version in KernelVersion::ALL {
            match guests.kernel(version) {
                Ok(kernel) => kernels.push(kernel),
                Err(guests::GuestsError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let busybox = guests.busybox()?;
        let dir = target_dir()?.join("guest-images");
        std::fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        Ok(Self { guests, busybox, kernels, dir })
    }

    /// A kernel, if the host's archive has it.
    pub fn kernel(&self, version: KernelVersion) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.version == version)
    }

    /// Busybox and an `/init` that mounts the usual file systems and goes on with `script`.
    pub fn userland(&self, script: &str) -> Initramfs {
        Initramfs::new().busybox(&self.busybox).init(&format!("{INIT_MOUNTS}{script}"))
    }

    /// Writes an image for the test `name` and returns its path.
    ///
    /// # Errors
    /// Writing failed.
    pub fn write(&self, name: &str, initramfs: &Initramfs) -> Result<PathBuf> {
        let path = self.dir.join(format!("{name}.gz"));
        initramfs.write(&path)?;
        Ok(path)
    }

    /// The tree of Debian tools, for [`Initramfs::programs`].
    ///
    /// # Errors
    /// Fetching failed.
    pub fn tools(&self) -> Result<PathBuf> {
        Ok(self.guests.tools()?)
    }

    /// The tree of Debian programs that measure and strain, for [`Initramfs::programs`].
    ///
    /// # Errors
    /// Fetching failed.
    pub fn programs(&self) -> Result<PathBuf> {
        Ok(self.guests.programs()?)
    }

    /// The tree with Python and the tests of its library, for [`Initramfs::programs`].
    ///
    /// # Errors
    /// Fetching failed.
    pub fn python(&self) -> Result<PathBuf> {
        Ok(self.guests.python()?)
    }

    /// The tree with fio, for [`Initramfs::programs`].
    ///
    /// # Errors
    /// Fetching failed.
    pub fn fio(&self) -> Result<PathBuf> {
        Ok(self.guests.fio()?)
    }

    /// The tree with nftables, for [`Initramfs::programs`].
    ///
    /// # Errors
    /// Fetching failed.
    pub fn firewall(&self) -> Result<PathBuf> {
        Ok(self.guests.firewall()?)
    }

    /// The Debian installer.
    ///
    /// # Errors
    /// Fetching failed.
    pub fn installer(&self) -> Result<Installer> {
        Ok(self.guests.installer()?)
    }

    /// The address of an archive that the installer can install from, if the host uses one.
    ///
    /// # Errors
    /// apt failed.
    pub fn installer_archive(&self) -> Result<Option<String>> {
        Ok(self.guests.installer_archive()?)
    }

    /// The address of the archive that the host gets Debian from.
    ///
    /// # Errors
    /// apt failed.
    pub fn archive(&self) -> Result<Option<String>> {
        Ok(self.guests.archive()?)
    }

    /// SLOF, the firmware of QEMU's machine.
    ///
    /// # Errors
    /// Fetching failed.
    pub fn slof(&self) -> Result<PathBuf> {
        Ok(self.guests.slof()?)
    }

    /// Kernel and initramfs of the demonstration.
    ///
    /// # Errors
    /// Fetching failed.
    pub fn demo(&self) -> Result<guests::Demo> {
        Ok(self.guests.demo()?)
    }

    /// Leaves what `examples/ten.toml` boots in a directory.
    ///
    /// # Errors
    /// Fetching or writing failed.
    pub fn ten(&self, dir: &Path) -> Result<()> {
        Ok(self.guests.ten(dir)?)
    }

    /// A directory for files a test makes.
    pub fn scratch(&self) -> &Path {
        &self.dir
    }
}
