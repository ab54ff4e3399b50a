//! Booting from disk: a Debian that `rhyp image` makes, through GRUB, from the built-in firmware and from SLOF.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Guest, Images, Outcome, Peer, patience};
use guests::KernelVersion;

use crate::Suite;

/// Adds the tests.
pub fn add(suite: &mut Suite) {
    suite.add_for(Peer::Rhyp, "disk_boot::nothing_to_boot", true, |case, _| {
        let blank = case.file("raw", &vec![0; 1 << 20])?;
        for (arguments, words) in [
            (vec![], "--kernel FILE or a disk with --disk FILE"),
            (vec!["--disk".into(), blank.clone().into_os_string()], "not bootable"),
        ] {
            let mut full: Vec<OsString> = vec!["run".into()];
            full.extend(arguments);
            let mut guest = case.start(&full)?;
            let status = guest.wait(patience())?;
            let said = guest.stderr();
            ensure!(status.code() == Some(2) && said.lines().count() == 1, "{status}: {said}");
            ensure!(said.contains(words), "{words:?} is not in: {said}");
        }
        Ok(())
    });
    suite.add_for(Peer::Rhyp, "disk_boot::slof_starts_linux", true, slof_starts_linux);
    for (bus, cpus, slof) in [
        ("virtio", 1, false),
        ("virtio", 4, false),
        ("vscsi", 1, false),
        ("vscsi", 4, false),
        ("virtio", 1, true),
        ("virtio", 4, true),
        ("vscsi", 1, true),
        ("vscsi", 4, true),
    ] {
        let firmware = if slof { "slof" } else { "builtin" };
        let name = format!("disk_boot::debian_{firmware}_{bus}_{cpus}");
        suite.add_for(Peer::Rhyp, &name, false, move |case, images| debian(case, images, bus, cpus, slof));
    }
}

/// What of Debian the shared image has for the tests, beside what every image has.
const PACKAGES: &str = "fio,iperf3,openssh-client,targetcli-fb";

/// The image all tests share: `$RHYP_DEBIAN` (with [`PACKAGES`]), else made by the first that needs it.
pub fn image(case: &mut Case) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("RHYP_DEBIAN") {
        return Ok(path.into());
    }
    static IMAGE: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut made = IMAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*made {
        return Ok(path.clone());
    }
    let path = case.file("none", b"")?.with_file_name("shared-debian.qcow2");
    let mut arguments: Vec<OsString> = vec!["image".into(), path.clone().into()];
    arguments.extend(["--force", "--size", "4G", "--packages", PACKAGES].map(OsString::from));
    let mut maker = case.start(&arguments)?;
    let status = maker.wait(patience() * 4)?;
    ensure!(status.success(), "rhyp image: {status}: {}", maker.stderr());
    *made = Some(path.clone());
    Ok(path)
}

/// SLOF starts a kernel that was loaded for it, with its RAM disk: what a tree has to say for that, and what they
/// negotiate, is right.
fn slof_starts_linux(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = images.kernel(KernelVersion::V6_1).context("Debian's 6.1 kernel is missing")?;
    let initrd = images
        .write("slof", &images.userland("echo CPUS $(nproc) MMU $(grep MMU /proc/cpuinfo)\npoweroff -f\n"))?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    spec.cpus = 2;
    spec.rhyp_options = vec!["--firmware".into(), images.slof()?.into()];
    let mut guest = case.boot(&spec)?;
    guest.expect("Booting from memory", patience())?;
    guest.expect(r"CPUS 2 MMU MMU\s*: Radix", patience())?;
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}

fn debian(case: &mut Case, images: &Images, bus: &str, cpus: u32, slof: bool) -> Result<()> {
    let image = image(case)?;
    let mut disk = image.into_os_string();
    disk.push(format!(",snapshot,bus={bus}"));
    let mut arguments: Vec<OsString> = vec!["run".into(), "--disk".into(), disk];
    arguments.extend(["--memory", "2G", "--cpus", &cpus.to_string()].map(OsString::from));
    if slof {
        arguments.extend(["--firmware".into(), images.slof()?.into()]);
    }
    let mut guest = case.start(&arguments)?;
    guest.expect("GNU GRUB", patience())?;
    guest.expect("login: ", patience() * 3)?;
    guest.send("root\n")?;
    let limit = patience();
    guest.expect("root@debian:", limit)?;
    let failed =
        ask(&mut guest, "systemctl is-system-running --wait; systemctl --failed --no-legend | wc -l", limit)?;
    ensure!(failed.contains("running") && failed.trim_end().ends_with('0'), "systemd: {failed}");
    let online = ask(&mut guest, "nproc", limit)?;
    ensure!(online.trim() == cpus.to_string(), "{online} processors");
    guest.send("poweroff\n")?;
    guest.ends(Outcome::PowerOff)
}

/// What a command prints.
fn ask(guest: &mut Guest, command: &str, limit: Duration) -> Result<String> {
    // The command line itself does not match: the marks are put together by the shell.
    guest.send(&format!("echo BEG''IN; {command}; echo EN''D\n"))?;
    let found = guest.expect(r"BEGIN\r?\n((?s).*?)END\r?\n", limit)?;
    found.get(1).cloned().context("no answer")
}
