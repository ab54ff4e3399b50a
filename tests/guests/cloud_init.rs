//! The disk of `--cloud-init`, as cloud-init looks for it: by its label and the names of its files.

use crate::Suite;
use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Images, Outcome, Peer, patience};
use guests::KernelVersion;

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    suite.add_for(Peer::Rhyp, "cloud_init::the_guest_reads_its_orders", true, orders);
}

fn orders(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = images.kernel(KernelVersion::V6_12).context("Debian's 6.12 kernel is missing")?;
    let script = r"
echo LABEL $(dd if=/dev/vda bs=1 skip=32808 count=32 2>/dev/null)
mkdir /mnt; mount -t iso9660 -o ro /dev/vda /mnt
echo FILES $(ls /mnt)
echo ORDERS $(cat /mnt/user-data)
echo META $(cat /mnt/meta-data)
poweroff -f
";
    let initramfs = images.userland(script).modules(kernel, &["virtio_blk", "isofs"])?;
    let initrd = images.write("cloud-init", &initramfs)?;
    let file = case.file("user-data", b"#cloud-config to be carried out\n")?;
    let mut arguments = BootSpec::new(&kernel.vmlinux, &initrd).arguments(case.peer());
    arguments.extend(["--cloud-init".into(), file.into(), "--name".into(), "somebody".into()]);
    let mut guest = case.start(&arguments)?;
    guest.expect(r"LABEL cidata\s", patience())?;
    guest.expect("FILES meta-data user-data", patience())?;
    guest.expect("ORDERS #cloud-config to be carried out", patience())?;
    let meta = guest.expect(r"META (.*)\r?\n", patience())?[1].clone();
    ensure!(meta.contains("instance-id: rhyp-") && meta.contains("local-hostname: somebody"), "{meta}");
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}
