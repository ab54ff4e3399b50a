//! A bootable Debian disk made without root: partition table and file system with unpacked packages by the host,
//! everything that has to run on Power (configuring the packages, the boot loader) by a guest that is booted on the
//! disk once.

mod gpt;
mod packages;

use crate::apt::{self, Apt};
use crate::error::{GuestsError, Result, at};
use crate::initramfs::Initramfs;
use crate::{Guests, INIT_MOUNTS, Kernel, KernelVersion, only_child};
use gpt::Part;
use packages::Tree;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Debian release of an image unless another is asked for.
pub const RELEASE: &str = apt::RELEASE;
/// Least bytes of a disk: the packages, and as much again to work with.
pub const LEAST_SIZE: u64 = 1536 << 20;
/// What the guest's console says when the disk is done.
pub const DONE: &str = "rhyp-image: done";
/// What it says, with a reason behind it, when it is not.
pub const FAILED: &str = "rhyp-image: failed:";
/// What stands before each name of a package that has been configured; a colon and its state follow.
pub const STATUS: &str = "status: ";
/// What stands before the words for what is being done.
pub const STEP: &str = "rhyp-image: step:";

const INIT: &str = include_str!("init/image-init.sh");
const SETUP: &[u8] = include_bytes!("init/image-setup.sh");
/// Bytes of the partition for the boot loader.
const PREP_SIZE: u64 = 8 << 20;

/// What every Debian system has, and what makes it a machine to log in to.
const PACKAGES: &[&str] = &[
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "debconf",
    "debianutils",
    "diffutils",
    "dpkg",
    "e2fsprogs",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "libc-bin",
    "libpam-modules",
    "libpam-modules-bin",
    "libpam-runtime",
    "login",
    "mawk",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "passwd",
    "perl-base",
    "sed",
    "sysvinit-utils",
    "tar",
    "tzdata",
    "util-linux",
    "usr-is-merged",
    "apt",
    "dbus",
    "debian-archive-keyring",
    "grub-ieee1275",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libnss-resolve",
    "libpam-systemd",
    "linux-image-powerpc64le",
    "lz4",
    "netbase",
    "openssh-server",
    "procps",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
    "vim-tiny",
];

/// Drivers that the first guest needs to reach its disk.
const DRIVERS: &[&str] = &["virtio_pci", "virtio_blk", "ibmvscsi", "sd_mod", "ext4", "crc32c_generic"];

/// What an image is to be.
#[derive(Clone, Debug)]
pub struct ImageRequest {
    /// Bytes of the disk.
    pub size: u64,
    /// Debian release, such as `bookworm`.
    pub release: String,
    /// Name of the machine.
    pub hostname: String,
    /// More packages.
    pub packages: Vec<String>,
    /// Password of root; without one, root logs in on the console without being asked.
    pub root_password: Option<String>,
    /// Lines for root's `authorized_keys`.
    pub ssh_keys: Vec<String>,
}

/// A disk with everything on it, and the guest that has to run on it once.
#[derive(Debug)]
pub struct Staged {
    /// The kernel.
    pub vmlinux: PathBuf,
    /// Its initramfs.
    pub initrd: PathBuf,
    /// Its command line.
    pub append: String,
    /// Packages to be configured.
    pub packages: usize,
    /// Its files are in the tree as long as it is there.
    _scratch: Scratch,
}

/// A directory that goes away.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is found by the next run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Guests {
    /// Makes the raw disk `disk` (which must not exist) with partitions, file system and unpacked packages.
    ///
    /// # Errors
    /// As [`Guests::kernel`]; [`GuestsError::NoMkfs`] without `mkfs.ext4`.
    pub fn stage_image(&self, disk: &Path, request: &ImageRequest) -> Result<Staged> {
        let scratch = Scratch(self.cache().root().join(format!("image-{}", std::process::id())));
        let root = scratch.0.join("tree");
        fs::create_dir_all(&root).map_err(at(&root))?;
        let mut wanted: Vec<&str> = PACKAGES.to_vec();
        wanted.extend(request.packages.iter().map(String::as_str));
        let (tree, reach) = self.unpack_image(&root, request, &mut wanted)?;
        let id = random_id()?;
        let fs_id = uuid_text(id);
        configure(&tree, request, &reach, &fs_id)?;
        tree.write_records()?;
        let boot = root.join("boot");
        let vmlinux = only_child(&boot, "vmlinux-")?;
        let release = vmlinux.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let release = release.trim_start_matches("vmlinux-").to_owned();
        let kernel = Kernel {
            version: KernelVersion::V6_1,
            modules: root.join("usr/lib/modules").join(&release),
            release,
            vmlinux: scratch.0.join("vmlinux"),
        };
        fs::hard_link(&vmlinux, &kernel.vmlinux).map_err(at(&kernel.vmlinux))?;
        let initrd = scratch.0.join("initrd.gz");
        let modules = DRIVERS.iter().copied().filter(|&d| kernel.has_module(d)).collect::<Vec<_>>();
        let own = fs::metadata(&root).map_err(at(&root))?;
        let is_root = std::os::unix::fs::MetadataExt::uid(&own) == 0;
        Initramfs::new()
            .busybox(&self.busybox()?)
            .modules(&kernel, &modules)?
            .file("setup/run", 0o755, SETUP)
            .file("setup/preinsts", 0o644, tree.preinsts().join("\n").as_bytes())
            .file("setup/owners", 0o644, tree.owners().as_bytes())
            .file("setup/foreign", 0o644, if is_root { b"" } else { b"yes\n" })
            .file("setup/uuid", 0o644, format!("{fs_id}\n").as_bytes())
            .file("setup/password", 0o600, request.root_password.as_deref().unwrap_or_default().as_bytes())
            .init(&format!("{INIT_MOUNTS}{INIT}"))
            .write(&initrd)?;
        {
            let _step = self.progress.step("making the file system");
            make_disk(disk, &root, request.size, id)?;
        }
        fs::remove_dir_all(&root).map_err(at(&root))?;
        Ok(Staged {
            vmlinux: kernel.vmlinux,
            initrd,
            append: "console=hvc0 quiet loglevel=3".to_owned(),
            packages: tree.packages(),
            _scratch: scratch,
        })
    }

    /// Fetches and unpacks packages; answers the tree, and how the guest gets more of them.
    fn unpack_image(
        &self,
        root: &Path,
        request: &ImageRequest,
        wanted: &mut Vec<&str>,
    ) -> Result<(Tree, Archive)> {
        let release = &request.release;
        let apt_root = if release == RELEASE {
            self.cache().apt()
        } else {
            self.cache().root().join(format!("apt-{release}"))
        };
        let archives = self.cache().root().join(format!("debs-{release}"));
        let what = format!("fetching Debian {release} for Power");
        let mut apt = Apt::open_release(apt_root, release, self.progress)?;
        let archive = Archive { sources: apt.sources_for_guest()?, proxies: apt.proxies_for_guest()? };
        if archive.sources.contains("https:") {
            wanted.push("ca-certificates");
        }
        let debs = match apt.download_in_order(wanted, &archives, &what) {
            Err(GuestsError::Program { .. }) if apt.lists_may_be_old() => {
                apt.update()?;
                apt.download_in_order(wanted, &archives, &what)?
            }
            other => other?,
        };
        let names = packages::wanted(wanted);
        let step = self.progress.step(&format!("unpacking {} packages", debs.len()));
        let total: u64 = debs.iter().map(|d| size_of_file(d)).sum();
        let mut done = 0;
        let mut tree = Tree::new(root)?;
        for deb in &debs {
            tree.add(deb, &|name| names.contains(name))?;
            done += size_of_file(deb);
            step.percent(done as f64 * 100.0 / total.max(1) as f64);
        }
        Ok((tree, archive))
    }
}

/// Where a guest gets packages.
struct Archive {
    /// Sources, in the form of `*.sources` files.
    sources: String,
    /// The host's proxies, as lines of apt's configuration.
    proxies: String,
}

/// The files that make the system this machine's.
fn configure(tree: &Tree, request: &ImageRequest, archive: &Archive, fs_id: &str) -> Result<()> {
    let host = &request.hostname;
    let text = |path: &str, text: String| tree.file(path, 0o644, text.as_bytes());
    text("etc/hostname", format!("{host}\n"))?;
    text("etc/hosts", format!("127.0.0.1\tlocalhost\n127.0.1.1\t{host}\n::1\tlocalhost ip6-localhost\n"))?;
    text("etc/fstab", format!("UUID={fs_id} / ext4 errors=remount-ro 0 1\n"))?;
    text("etc/apt/sources.list.d/debian.sources", archive.sources.clone())?;
    if !archive.proxies.is_empty() {
        text("etc/apt/apt.conf.d/80proxy", archive.proxies.clone())?;
    }
    // Adapters of all kinds, whatever they are called.
    text(
        "etc/systemd/network/80-dhcp.network",
        "[Match]\nType=ether\n\n[Network]\nDHCP=yes\n\n[Link]\nRequiredForOnline=no\n".to_owned(),
    )?;
    text("etc/default/grub.d/timeout.cfg", "GRUB_TIMEOUT=2\nGRUB_CMDLINE_LINUX_DEFAULT=\"\"\n".to_owned())?;
    // A RAM disk for every bus a disk may be on, and no more than that, is a quarter of the usual one.
    text("etc/initramfs-tools/conf.d/small", "MODULES=list\nCOMPRESS=lz4\nCOMPRESSLEVEL=1\n".to_owned())?;
    let mut modules = String::new();
    for m in ["virtio_pci", "virtio_blk", "virtio_scsi", "ibmvscsi", "sd_mod", "sr_mod", "nvme", "ext4"] {
        let _ = writeln!(modules, "{m}");
    }
    text("etc/initramfs-tools/modules", modules)?;
    if !request.ssh_keys.is_empty() {
        let keys = request.ssh_keys.iter().fold(String::new(), |s, k| s + k.trim() + "\n");
        tree.file("root/.ssh/authorized_keys", 0o600, keys.as_bytes())?;
    }
    Ok(())
}

/// The disk: a sparse file with partitions, the second of them a file system with the tree's files.
fn make_disk(disk: &Path, root: &Path, size: u64, id: [u8; 16]) -> Result<()> {
    let size = size / gpt::ALIGN * gpt::ALIGN;
    let root_start = gpt::ALIGN + PREP_SIZE;
    let root_size = size - gpt::ALIGN - root_start;
    let parts = [
        Part { kind: gpt::PREP, id: random_id()?, start: gpt::ALIGN, size: PREP_SIZE, name: "PReP boot" },
        Part { kind: gpt::LINUX, id: random_id()?, start: root_start, size: root_size, name: "root" },
    ];
    let file = fs::OpenOptions::new().write(true).read(true).create_new(true).open(disk).map_err(at(disk))?;
    file.set_len(size).map_err(at(disk))?;
    let program = ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4", "/usr/bin/mkfs.ext4"];
    let program = program.iter().find(|p| Path::new(p).exists()).ok_or(GuestsError::NoMkfs)?;
    // Only what the boot loader of every Debian release can read.
    let features = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
    let output = Command::new(program)
        .args(["-q", "-F", "-L", "root", "-m", "1", "-O", features, "-U", &uuid_text(id), "-E"])
        .arg(format!("offset={root_start},root_owner=0:0,lazy_itable_init=0"))
        .arg("-d")
        .args([root, disk])
        .arg(format!("{}k", root_size >> 10))
        .stdin(Stdio::null())
        .output()
        .map_err(at(Path::new(program)))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let detail = words.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("no reason given");
        return Err(GuestsError::Program { program: "mkfs.ext4", detail: detail.to_owned() });
    }
    for (offset, bytes) in gpt::table(size, random_id()?, &parts) {
        file.write_all_at(&bytes, offset).map_err(at(disk))?;
    }
    Ok(())
}

fn size_of_file(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// A random identity (RFC 9562, version 4).
fn random_id() -> Result<[u8; 16]> {
    let source = Path::new("/dev/urandom");
    let mut id = [0; 16];
    fs::File::open(source).and_then(|mut f| f.read_exact(&mut id)).map_err(at(source))?;
    id[6] = id[6] & 0x0F | 0x40;
    id[8] = id[8] & 0x3F | 0x80;
    Ok(id)
}

fn uuid_text(id: [u8; 16]) -> String {
    let mut text = String::new();
    for (i, byte) in id.iter().enumerate() {
        let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_written_as_people_write_them() {
        let id = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(uuid_text(id), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        let (a, b) = (random_id().unwrap(), random_id().unwrap());
        assert_ne!(a, b);
        assert_eq!((a[6] >> 4, a[8] >> 6), (4, 2));
    }
}
