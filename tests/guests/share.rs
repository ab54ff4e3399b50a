//! `--share`: a directory of the host in the guest, through the real virtiofsd.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Images, Outcome, Peer, patience};
use guests::KernelVersion;

use crate::Suite;

/// Where the program is when the search path does not have it.
const PLACES: &[&str] = &["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    let name = "share::both_sides_read_and_write";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).any(|dir| dir.join("virtiofsd").is_file());
    if in_path || PLACES.iter().any(|p| Path::new(p).is_file()) {
        suite.add_for(Peer::Rhyp, name, false, both_sides);
    } else {
        suite.leave_out(
            name,
            "virtiofsd is not installed (Debian's package of that name, or `cargo install virtiofsd`)",
        );
    }
}

fn both_sides(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = images.kernel(KernelVersion::V6_1).context("Debian's 6.1 kernel is missing")?;
    let script = r#"
mkdir /mnt; mount -t virtiofs "the tag" /mnt && echo MOUNTED
echo GREETING $(cat /mnt/greeting)
dd if=/dev/urandom of=/mnt/big bs=64k count=64 2>/dev/null; sync
mkdir /mnt/new; echo written > /mnt/new/a; mv /mnt/new/a /mnt/new/b; rm /mnt/greeting
echo SUM $(md5sum < /mnt/big)
umount /mnt && echo UNMOUNTED
poweroff -f
"#;
    let initramfs = images.userland(script).modules(kernel, &["virtio_pci", "virtiofs"])?;
    let initrd = images.write("share", &initramfs)?;
    // A directory of this test's own; what is left of it after a failure is looked at, or replaced by the next run.
    let dir = case.file("none", b"")?.with_extension("shared");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir(&dir)?;
    std::fs::write(dir.join("greeting"), "from the host\n")?;
    let mut option = dir.clone().into_os_string();
    option.push("=the tag");
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    spec.cpus = 2;
    spec.rhyp_options = vec!["--share".into(), option];
    let mut guest = case.boot(&spec)?;
    guest.expect("MOUNTED", patience())?;
    guest.expect("GREETING from the host", patience())?;
    let sum = guest.expect("SUM ([0-9a-f]{32})", patience())?[1].clone();
    guest.expect("UNMOUNTED", patience())?;
    guest.ends(Outcome::PowerOff)?;
    let big = std::process::Command::new("md5sum").arg(dir.join("big")).output()?;
    ensure!(String::from_utf8_lossy(&big.stdout).starts_with(&sum), "the host sees another file than {sum}");
    ensure!(std::fs::metadata(dir.join("big"))?.len() == 4 << 20, "a short file");
    ensure!(std::fs::read_to_string(dir.join("new/b"))? == "written\n", "what the guest wrote");
    ensure!(!dir.join("greeting").exists(), "what the guest removed is there");
    std::fs::remove_dir_all(&dir)?;
    guest.is_healthy()
}
