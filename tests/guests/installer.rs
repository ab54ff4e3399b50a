//! The Debian installer, unattended, onto an empty disk; then the installed system from that disk.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Images, Outcome, Peer, patience};
use guests::Initramfs;

use crate::Suite;

/// Adds the tests of this file, if the host's mirror has the installer's packages.
pub fn register(suite: &mut Suite) {
    let name = "installer::installs_and_boots";
    if !suite.all() {
        return;
    }
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

fn install(case: &mut Case, images: &Images, archive: &str) -> Result<()> {
    let disk = case.file("qcow2", b"")?;
    let made =
        Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&disk).arg("4G").status()?;
    ensure!(made.success(), "qemu-img create failed");
    let installer = images.installer()?;
    // A second archive behind the installer's own adds a file to it.
    let more = Initramfs::new().file("preseed.cfg", 0o644, orders(archive)?.as_bytes());
    let mut initrd = std::fs::read(&installer.initrd)?;
    initrd.extend(std::fs::read(images.write("preseed", &more)?)?);
    let initrd = case.file("initrd", &initrd)?;
    let mut drive: OsString = disk.clone().into();
    drive.push(",bus=vscsi");
    let mut spec = BootSpec::new(&installer.vmlinux, &initrd);
    spec.append = "console=hvc0 auto=true priority=critical DEBIAN_FRONTEND=text".to_owned();
    spec.cpus = 2;
    spec.rhyp_options = vec!["--disk".into(), drive.clone(), "--net".into(), "user".into()];
    let mut guest = case.boot(&spec)?;
    for step in ["Installing the base system", "(?i)Installing GRUB", "(?i)Finishing the installation"] {
        guest.expect(step, patience() * 12)?;
    }
    guest.ends(Outcome::PowerOff)?;
    let checked = Command::new("qemu-img").arg("check").arg(&disk).output()?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let arguments: Vec<OsString> =
        ["run", "--memory", "1G", "--cpus", "2", "--disk"].map(OsString::from).into();
    let mut guest = case.start(&[arguments, vec![drive]].concat())?;
    guest.expect("GNU GRUB", patience())?;
    guest.expect("installed login: ", patience() * 3)?;
    guest.send("root\n")?;
    guest.expect("Password: ", patience())?;
    guest.send("rhyp\n")?;
    guest.expect("root@installed:", patience())?;
    guest.send("poweroff\n")?;
    guest.ends(Outcome::PowerOff)
}
