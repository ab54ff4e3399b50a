//! Systems that are installed by a guest onto an empty disk, and then boot from that disk: by the Debian installer,
//! unattended, and by Debian's own tools from a system that runs already.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Guest, Images, Outcome, Peer, patience};
use guests::Initramfs;

use crate::{Suite, disk_boot};

/// Adds the tests of this file, as far as the host's mirror has what they install.
pub fn register(suite: &mut Suite) {
    let name = "installer::installs_and_boots";
    if !suite.all() {
        return;
    }
    suite.add_for(Peer::Rhyp, "installer::asks_the_mirror", false, asks_the_mirror);
    suite.add_for(Peer::Rhyp, "installer::a_guest_installs_another_system", false, by_hand);
    match suite.images().installer_archive() {
        Ok(Some(archive)) => {
            suite.add_for(Peer::Rhyp, name, false, move |case, images| install(case, images, &archive));
        }
        Ok(None) => suite.leave_out(name, "the host's mirror has no packages of the installer (udebs)"),
        Err(error) => suite.leave_out(name, &error.to_string()),
    }
}

/// The installer's orders.
fn orders(archive: &str) -> Result<String> {
    let (protocol, rest) = archive.split_once("://").context("an archive without a protocol")?;
    let (host, directory) = rest.split_once('/').context("an archive without a directory")?;
    let mut text = String::new();
    for line in [
        "debian-installer/locale string en_US.UTF-8",
        "keyboard-configuration/xkb-keymap select us",
        "netcfg/choose_interface select auto",
        "netcfg/get_hostname string installed",
        "netcfg/get_domain string example",
        "hw-detect/load_firmware boolean false",
        "mirror/country string manual",
        &format!("mirror/protocol string {protocol}"),
        &format!("mirror/{protocol}/hostname string {host}"),
        &format!("mirror/{protocol}/directory string /{directory}"),
        &format!("mirror/{protocol}/proxy string"),
        "passwd/make-user boolean false",
        "passwd/root-password password rhyp",
        "passwd/root-password-again password rhyp",
        "clock-setup/ntp boolean false",
        "time/zone string UTC",
        "partman-auto/method string regular",
        "partman-auto/choose_recipe select atomic",
        "partman-partitioning/confirm_write_new_label boolean true",
        "partman/choose_partition select finish",
        "partman/confirm boolean true",
        "partman/confirm_nooverwrite boolean true",
        "base-installer/install-recommends boolean false",
        "apt-setup/services-select multiselect",
        "apt-setup/enable-source-repositories boolean false",
        "pkgsel/run_tasksel boolean false",
        "pkgsel/upgrade select none",
        "finish-install/reboot_in_progress note",
        "debian-installer/exit/poweroff boolean true",
    ] {
        text.push_str(&format!("d-i {line}\n"));
    }
    Ok(text)
}

/// An empty disk of 4 GiB.
fn empty(case: &mut Case) -> Result<PathBuf> {
    let disk = case.file("qcow2", b"")?;
    let made =
        Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&disk).arg("4G").status()?;
    ensure!(made.success(), "qemu-img create failed");
    Ok(disk)
}

/// The image is consistent.
fn check(disk: &Path) -> Result<()> {
    let checked = Command::new("qemu-img").arg("check").arg(disk).output()?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    Ok(())
}

fn drive(disk: &Path, more: &str) -> [OsString; 2] {
    let mut drive: OsString = disk.into();
    drive.push(more);
    ["--disk".into(), drive]
}

/// Starts the installer with its orders.
fn start(case: &mut Case, images: &Images, archive: &str, options: &[OsString]) -> Result<Guest> {
    let installer = images.installer()?;
    // A second archive behind the installer's own adds a file to it.
    let more = Initramfs::new().file("preseed.cfg", 0o644, orders(archive)?.as_bytes());
    let mut initrd = std::fs::read(&installer.initrd)?;
    initrd.extend(std::fs::read(images.write("preseed", &more)?)?);
    let initrd = case.file("initrd", &initrd)?;
    let mut spec = BootSpec::new(&installer.vmlinux, &initrd);
    spec.append = "console=hvc0 auto=true priority=critical DEBIAN_FRONTEND=text".to_owned();
    spec.cpus = 2;
    spec.rhyp_options = options.to_vec();
    case.boot(&spec)
}

/// The installer finds its orders, its network and the mirror, and reads there what it could load. It goes no further
/// than that here: many mirrors have the lists, but not the files.
fn asks_the_mirror(case: &mut Case, images: &Images) -> Result<()> {
    let archive = images.archive()?.context("the host uses no archive of Debian 12")?;
    let mut guest = start(case, images, &archive, &["--net".into(), "user".into()])?;
    for step in [
        "Configuring the network with DHCP",
        "Checking the Debian archive mirror",
        "Loading additional components",
    ] {
        guest.expect(step, patience() * 2)?;
    }
    guest.kill()?;
    guest.is_healthy()
}

/// What an administrator does to install Debian on another disk.
const STEPS: &str = r#"set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
target=$1
eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
export http_proxy
# A list that cannot be had may not be needed.
apt-get -q update || true
apt-get -q install -y --no-install-recommends debootstrap parted
echo STEP partitions
parted -s "$target" mklabel gpt mkpart prep 1MiB 9MiB set 1 prep on mkpart root ext4 9MiB 100%
udevadm settle
mkfs.ext4 -q "${target}2"
mount "${target}2" /mnt
archive=$(awk '/^URIs:/ { uri = $2 } /^Suites:/ && / bookworm( |$)/ { print uri; exit }'     /etc/apt/sources.list.d/debian.sources)
echo STEP packages
# Quick rather than small.
mkdir -p /mnt/etc/initramfs-tools/conf.d
printf 'COMPRESS=gzip\nCOMPRESSLEVEL=1\n' > /mnt/etc/initramfs-tools/conf.d/quick
packages=linux-image-powerpc64le,initramfs-tools,grub-ieee1275,systemd-sysv,udev,dbus,e2fsprogs,kmod
debootstrap --variant=minbase --include=$packages bookworm /mnt "$archive" > /tmp/log 2>&1 || { tail -n 30 /tmp/log; exit 1; }
echo STEP loader
for d in dev proc sys; do mount --rbind /$d /mnt/$d; done
echo "UUID=$(blkid -s UUID -o value "${target}2") / ext4 errors=remount-ro 0 1" > /mnt/etc/fstab
echo installed > /mnt/etc/hostname
chroot /mnt sh -c "echo root:rhyp | chpasswd &&
    grub-install --target=powerpc-ieee1275 --no-nvram ${target}1 && update-grub"
sync
umount -l -R /mnt
"#;

/// A guest partitions an empty disk, fills it from the host's mirror and makes it bootable; then that disk boots alone,
/// from the built-in firmware and from SLOF, on either bus.
fn by_hand(case: &mut Case, images: &Images) -> Result<()> {
    let image = disk_boot::image(case)?;
    let disk = empty(case)?;
    let mut steps = STEPS.as_bytes().to_vec();
    steps.resize(steps.len().next_multiple_of(512), b'\n');
    let steps = case.file("sh", &steps)?;
    let mut arguments: Vec<OsString> =
        ["run", "--memory", "2G", "--cpus", "2", "--net", "user"].map(OsString::from).into();
    arguments.extend(drive(&image, ",snapshot,bus=virtio"));
    arguments.extend(drive(&steps, ",format=raw,readonly,bus=virtio"));
    arguments.extend(drive(&disk, ",bus=vscsi"));
    let mut guest = case.start(&arguments)?;
    guest.expect("login: ", patience() * 3)?;
    guest.send("root\n")?;
    guest.expect("root@debian:", patience())?;
    guest.send("cat /dev/vdb > /tmp/steps; sh /tmp/steps /dev/sda; echo STEP OVER $?\n")?;
    for step in ["partitions", "packages", "loader"] {
        guest.expect(&format!(r"STEP {step}\r?\n"), patience() * 12)?;
    }
    guest.expect(r"STEP OVER 0\r?\n", patience() * 2)?;
    guest.send("poweroff\n")?;
    guest.ends(Outcome::PowerOff)?;
    check(&disk)?;
    for (bus, slof) in [("vscsi", false), ("virtio", true)] {
        let mut arguments: Vec<OsString> =
            ["run", "--memory", "1G", "--cpus", "2"].map(OsString::from).into();
        arguments.extend(drive(&disk, &format!(",bus={bus}")));
        if slof {
            arguments.extend(["--firmware".into(), images.slof()?.into()]);
        }
        let mut guest = case.start(&arguments)?;
        log_in(&mut guest)?;
        guest.send("systemctl is-system-running --wait\n")?;
        guest.expect(r"[\r\n]running\r?\n", patience())?;
        guest.send("poweroff\n")?;
        guest.ends(Outcome::PowerOff)?;
        check(&disk)?;
    }
    Ok(())
}

/// Through the boot loader of an installed system, to root's shell.
fn log_in(guest: &mut Guest) -> Result<()> {
    guest.expect("GNU GRUB", patience())?;
    guest.expect("installed login: ", patience() * 3)?;
    guest.send("root\n")?;
    guest.expect("Password: ", patience())?;
    guest.send("rhyp\n")?;
    guest.expect("root@installed:", patience())?;
    Ok(())
}

fn install(case: &mut Case, images: &Images, archive: &str) -> Result<()> {
    let disk = empty(case)?;
    let drive = drive(&disk, ",bus=vscsi");
    let options = [&drive[..], &["--net".into(), "user".into()]].concat();
    let mut guest = start(case, images, archive, &options)?;
    for step in ["Installing the base system", "(?i)Installing GRUB", "(?i)Finishing the installation"] {
        guest.expect(step, patience() * 12)?;
    }
    guest.ends(Outcome::PowerOff)?;
    check(&disk)?;
    let arguments: Vec<OsString> = ["run", "--memory", "1G", "--cpus", "2"].map(OsString::from).into();
    let mut guest = case.start(&[arguments, drive.into()].concat())?;
    log_in(&mut guest)?;
    guest.send("poweroff\n")?;
    guest.ends(Outcome::PowerOff)
}
