//! Real Power guests, made ready on the user's own machine.
//!
//! Debian's ppc64el packages (kernels, a static busybox, the installer, a few tools) are fetched through the host's
//! own apt into a private cache: no root, no change of the host, signatures checked by apt, nothing fetched twice.
//! On top of them [`Initramfs`] builds the small userland that `rhyp demo` and the tests boot.
//!
//! ```no_run
//! use guests::{CacheDir, Guests, Progress};
//! let guests = Guests::open(CacheDir::user()?, Progress::auto());
//! let demo = guests.demo()?;
//! println!("rhyp run --kernel {} --initrd {}", demo.kernel.vmlinux.display(), demo.initrd.display());
//! # Ok::<(), guests::GuestsError>(())
//! ```
#![forbid(unsafe_code)]

mod apt;
mod cache;
mod cpio;
mod elf;
mod error;
pub mod image;
mod initramfs;
mod modules;
mod progress;
#[cfg(test)]
mod scratch;
mod ten;

pub use cache::CacheDir;
pub use error::{GuestsError, Result};
pub use initramfs::{Initramfs, MODULE_LIST};
pub use progress::{Progress, Step};

use apt::Apt;
use error::at;
use std::fs;
use std::path::{Path, PathBuf};

/// Head of every `/init` script here: shell line, environment, `/proc`, `/sys`, `/dev`, listed kernel modules.
pub const INIT_MOUNTS: &str = include_str!("init/mounts.sh");

const INIT_DEMO: &str = include_str!("init/demo.sh");
const DEMO_INITTAB: &[u8] = include_bytes!("init/inittab");
const DEMO_PROFILE: &[u8] = include_bytes!("init/profile");

/// The kernels the project is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelVersion {
    /// Debian 12's kernel; 64 KiB pages.
    V6_1,
    /// The kernel of Debian 12's backports; 4 KiB pages.
    V6_12,
}

impl KernelVersion {
    /// All of them, oldest first.
    pub const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    /// `6.1` or `6.12`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    /// Bytes of the base page the kernel is built for.
    pub fn page_size(self) -> u32 {
        match self {
            Self::V6_1 => 65536,
            Self::V6_12 => 4096,
        }
    }
}

impl std::fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// An unpacked kernel package.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Which kernel it is.
    pub version: KernelVersion,
    /// Its release as `uname -r` says it.
    pub release: String,
    /// The uncompressed ELF image.
    pub vmlinux: PathBuf,
    /// The directory of its modules (`lib/modules/RELEASE`).
    pub modules: PathBuf,
}

impl Kernel {
    /// Whether it has a module of that name; what it has built in is none.
    pub fn has_module(&self, name: &str) -> bool {
        modules::exists(&self.modules, name)
    }
}

/// A statically linked busybox.
#[derive(Clone, Debug)]
pub struct Busybox {
    /// The program.
    pub program: PathBuf,
    /// The names it answers to.
    pub applets: Vec<String>,
}

/// The Debian installer's kernel and initramfs for booting from the network.
#[derive(Clone, Debug)]
pub struct Installer {
    /// The uncompressed ELF image.
    pub vmlinux: PathBuf,
    /// Its gzip'd initramfs.
    pub initrd: PathBuf,
}

/// What `rhyp demo` boots.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The kernel.
    pub kernel: Kernel,
    /// An initramfs that ends in a root shell on the console.
    pub initrd: PathBuf,
}

/// The guests of one cache. Every method fetches what is not there yet and else works offline.
pub struct Guests {
    cache: CacheDir,
    progress: Progress,
}

impl Guests {
    /// Guests kept in `cache`; nothing is touched before something is asked for.
    pub fn open(cache: CacheDir, progress: Progress) -> Self {
        Self { cache, progress }
    }

    /// The cache the guests are kept in.
    pub fn cache(&self) -> &CacheDir {
        &self.cache
    }

    /// A Debian kernel.
    ///
    /// # Errors
    /// [`GuestsError::NoApt`], [`GuestsError::NoDebianSource`] or [`GuestsError::NotFound`] if the host cannot fetch
    /// it; others if a program or the file system fails.
    pub fn kernel(&self, version: KernelVersion) -> Result<Kernel> {
        let dir = self.cache.get(&format!("kernel-{version}"), self.progress, |dir| {
            self.with_apt(|apt| {
                let package = kernel_package(apt, version)?;
                self.fetch_one(apt, &package, dir, &format!("fetching Debian's Linux {version} for Power"))
            })
        })?;
        let vmlinux = only_child(&dir.join("boot"), "vmlinux-")?;
        let name = vmlinux.file_name().unwrap_or_default().to_string_lossy();
        let release = name.trim_start_matches("vmlinux-").to_owned();
        let places = ["lib/modules", "usr/lib/modules"].map(|base| dir.join(base).join(&release));
        let modules = places.iter().find(|path| path.is_dir()).unwrap_or(&places[0]).clone();
        Ok(Kernel { version, release, vmlinux, modules })
    }

    /// Debian's static busybox.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn busybox(&self) -> Result<Busybox> {
        let package = "busybox-static";
        let dir = self.cache.get(package, self.progress, |dir| {
            self.with_apt(|apt| self.fetch_one(apt, package, dir, "fetching busybox for Power"))
        })?;
        let places = ["bin/busybox", "usr/bin/busybox"].map(|path| dir.join(path));
        let program = places.iter().find(|path| path.is_file()).unwrap_or(&places[0]).clone();
        let bytes = fs::read(&program).map_err(at(&program))?;
        let no_table =
            || GuestsError::BadFile { path: program.clone(), what: "no list of applets in it".to_owned() };
        let applets = applet_table(&bytes).ok_or_else(no_table)?;
        Ok(Busybox { program, applets })
    }

    /// The text installer of Debian 12.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn installer(&self) -> Result<Installer> {
        let package = "debian-installer-12-netboot-ppc64el";
        let dir = self.cache.get(package, self.progress, |dir| {
            self.with_apt(|apt| self.fetch_one(apt, package, dir, "fetching the Debian installer for Power"))
        })?;
        let images = dir.join("usr/lib/debian-installer/images/12/ppc64el/text/debian-installer/ppc64el");
        Ok(Installer { vmlinux: images.join("vmlinux"), initrd: images.join("initrd.gz") })
    }

    /// The address of the archive that the host gets Debian 12 from, if there is one.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn archive(&self) -> Result<Option<String>> {
        Ok(Apt::open(self.cache.apt(), self.progress)?.archives()?.into_iter().next())
    }

    /// The folder of the private source list: the archives that the host uses, with Debian 12's suites and its backports.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn sources(&self) -> Result<PathBuf> {
        Ok(Apt::open(self.cache.apt(), self.progress)?.sources())
    }

    /// The address of an archive from which the installer can install, if the host uses one: not every mirror has what
    /// it needs.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn installer_archive(&self) -> Result<Option<String>> {
        Apt::open(self.cache.apt(), self.progress)?.installer_archive()
    }

    /// SLOF, the firmware of QEMU's machine, as a raw image.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn slof(&self) -> Result<PathBuf> {
        let package = "qemu-system-data";
        let dir = self.cache.get(package, self.progress, |dir| {
            self.with_apt(|apt| self.fetch_one(apt, package, dir, "fetching the firmware SLOF"))
        })?;
        Ok(dir.join("usr/share/qemu/slof.bin"))
    }

    /// A tree of Debian packages with all they depend on, unpacked over each other; `name` is its name in the cache.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn tree(&self, name: &str, packages: &[&str]) -> Result<PathBuf> {
        self.cache.get(&format!("tree-{name}"), self.progress, |dir| {
            self.with_apt(|apt| {
                let archives = dir.join(".archives");
                fs::create_dir_all(&archives).map_err(at(&archives))?;
                let debs =
                    apt.download_closure(packages, &archives, &format!("fetching {name} for Power"))?;
                let step = self.progress.step(&format!("unpacking {name}"));
                for (done, deb) in debs.iter().enumerate() {
                    step.percent(done as f64 * 100.0 / debs.len() as f64);
                    apt.unpack(deb, dir)?;
                }
                fs::remove_dir_all(&archives).map_err(at(&archives))
            })
        })
    }

    /// kexec-tools, powerpc-utils, util-linux and systemd with their libraries, for use with
    /// [`Initramfs::programs`].
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn tools(&self) -> Result<PathBuf> {
        self.tree("tools", &["kexec-tools", "powerpc-utils", "util-linux", "systemd"])
    }

    /// python3, gcc, openssl, xz, sqlite3 and stress-ng with all they need: real programs to measure and to strain a
    /// partition with.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn programs(&self) -> Result<PathBuf> {
        self.tree("programs", &["python3", "gcc", "openssl", "xz-utils", "sqlite3", "stress-ng"])
    }

    /// python3 and the tests of its library.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn python(&self) -> Result<PathBuf> {
        self.tree("python", &["python3", "libpython3.11-testsuite"])
    }

    /// fio with its libraries: what measures and checks disks.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn fio(&self) -> Result<PathBuf> {
        self.tree("fio", &["fio"])
    }

    /// nftables with its libraries: what filters packets and translates addresses.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn firewall(&self) -> Result<PathBuf> {
        self.tree("firewall", &["nftables"])
    }

    /// iperf3 with its libraries, to measure networks.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn iperf(&self) -> Result<PathBuf> {
        self.tree("iperf", &["iperf3"])
    }

    /// Kernel and initramfs of the demonstration: mounts, a banner, a root shell with job control.
    ///
    /// # Errors
    /// As [`Guests::kernel`].
    pub fn demo(&self) -> Result<Demo> {
        let kernel = self.kernel(KernelVersion::V6_1)?;
        let busybox = self.busybox()?;
        let initrd = self.cache.root().join("demo-initrd.gz");
        Self::demo_initramfs(&busybox).write(&initrd)?;
        Ok(Demo { kernel, initrd })
    }

    /// The initramfs of [`Guests::demo`], to which more can be added.
    pub fn demo_initramfs(busybox: &Busybox) -> Initramfs {
        Initramfs::new()
            .busybox(busybox)
            .file("etc/inittab", 0o644, DEMO_INITTAB)
            .file("etc/profile", 0o644, DEMO_PROFILE)
            .file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/sh\n")
            .init(&format!("{INIT_MOUNTS}{INIT_DEMO}"))
    }

    /// Downloads the newest version of one package and unpacks it into `dir`.
    fn fetch_one(&self, apt: &mut Apt, package: &str, dir: &Path, what: &str) -> Result<()> {
        let record = apt.find(package, |record| record.contains_key("Version"))?;
        let version = record.get("Version").map(String::as_str).unwrap_or_default();
        let archives = dir.join(".archives");
        fs::create_dir_all(&archives).map_err(at(&archives))?;
        let deb = apt.download(package, version, &archives, what)?;
        let _step = self.progress.step(&format!("unpacking {package} {version}"));
        apt.unpack(&deb, dir)?;
        fs::remove_dir_all(&archives).map_err(at(&archives))
    }

    /// Runs `fetch` with the private apt; once more with new lists if a download failed with old ones.
    fn with_apt(&self, fetch: impl Fn(&mut Apt) -> Result<()>) -> Result<()> {
        let mut apt = Apt::open(self.cache.apt(), self.progress)?;
        match fetch(&mut apt) {
            Err(GuestsError::Program { .. }) if apt.lists_may_be_old() => {
                apt.update()?;
                fetch(&mut apt)
            }
            outcome => outcome,
        }
    }
}

/// The name of the newest kernel package of a version: the meta package of each release depends on exactly one.
fn kernel_package(apt: &mut Apt, version: KernelVersion) -> Result<String> {
    let meta = "linux-image-powerpc64le";
    let prefix = format!("{version}.");
    let wanted = |record: &apt::Record| record.get("Version").is_some_and(|v| v.starts_with(&prefix));
    let record = apt.find(meta, wanted).map_err(|error| match error {
        GuestsError::NotFound { detail, .. } => {
            GuestsError::NotFound { package: format!("{meta} {version}"), detail }
        }
        other => other,
    })?;
    let depends = record.get("Depends").map(String::as_str).unwrap_or_default();
    let mut names = depends.split(',').filter_map(|dependency| dependency.split_whitespace().next());
    let not_found =
        || GuestsError::NotFound { package: format!("linux-image {version}"), detail: String::new() };
    names.find(|name| name.starts_with("linux-image-")).map(str::to_owned).ok_or_else(not_found)
}

/// The one file of `dir` whose name starts with `prefix`.
fn only_child(dir: &Path, prefix: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    Err(GuestsError::BadFile { path: dir.to_path_buf(), what: format!("no file {prefix}* in it") })
}

/// The names of busybox's applets, from the table in its image: NUL-terminated names in order, closed by an empty one.
fn applet_table(image: &[u8]) -> Option<Vec<String>> {
    let head = b"\0[\0[[\0";
    let start = image.windows(head.len()).position(|window| window == head)? + 1;
    let mut names = Vec::new();
    for name in image[start..].split(|&byte| byte == 0).take_while(|name| !name.is_empty()) {
        let plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"[_.-".contains(byte));
        if !plain || name.len() > 40 {
            return None;
        }
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    names.iter().any(|name| name == "sh").then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applets_are_read_from_the_image() {
        let image = b"junk[\0x\0[\0[[\0ash\0sh\0zcat\0\0more\0";
        assert_eq!(applet_table(image).unwrap(), ["[", "[[", "ash", "sh", "zcat"]);
        assert_eq!(applet_table(b"\0[\0[[\0ash\0\0"), None, "no sh");
        assert_eq!(applet_table(b"\0[\0[[\0a b\0sh\0\0"), None, "not names");
        assert_eq!(applet_table(b""), None);
    }

    #[test]
    fn a_host_without_apt_is_told_what_to_do() {
        let line = GuestsError::NoApt { missing: "apt-get" }.to_string();
        assert!(line.contains("rhyp run --kernel") && !line.contains('\n'), "{line}");
    }
}
