//! Debian's own programs judge the partition.

use crate::Suite;
use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Images, Outcome, Peer, patience};
use guests::KernelVersion;

/// Adds the tests of this file.
pub fn register(suite: &mut Suite) {
    suite.add("userland::debian_tools_accept_the_partition", true, tools);
    suite.add("userland::installer_reaches_its_first_dialogue", false, |case, images| {
        let installer = images.installer()?;
        let mut guest = case.boot(&BootSpec::new(&installer.vmlinux, &installer.initrd))?;
        guest.expect("(?i)select a language", patience())?;
        guest.expect("English", patience())?;
        guest.is_healthy()
    });
}

fn tools(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = images.kernel(KernelVersion::V6_1).context("Debian's 6.1 kernel is missing")?;
    let script = r#"
echo BEGIN-lscpu; lscpu; echo END-lscpu status=$?
echo BEGIN-virt; systemd-detect-virt; echo END-virt status=$?
echo BEGIN-lparstat; lparstat -i 2>&1; echo END-lparstat status=$?
echo BEGIN-model; cat /proc/device-tree/model; echo; echo END-model status=$?
poweroff -f
"#;
    let programs = ["usr/bin/lscpu", "usr/bin/systemd-detect-virt", "usr/sbin/lparstat"];
    let initramfs = images.userland(script).programs(&images.tools()?, &programs)?;
    let initrd = images.write("tools", &initramfs)?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    (spec.cpus, spec.threads) = (4, 2);
    let mut guest = case.boot(&spec)?;
    let peer = case.peer();
    let mut section = |name: &str| -> Result<(String, String)> {
        let pattern = format!(r"(?s)BEGIN-{name}\r?\n(.*?)END-{name} status=(\d+)");
        let seen = guest.expect(&pattern, patience())?;
        Ok((seen[1].replace('\r', ""), seen[2].clone()))
    };
    let (lscpu, status) = section("lscpu")?;
    ensure!(status == "0", "lscpu ends with {status}:\n{lscpu}");
    let field = |name: &str| {
        let mut lines = lscpu.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map_or("", |(_, value)| value.trim()).to_owned()
    };
    ensure!(field("Architecture") == "ppc64le" && field("CPU(s)") == "4", "lscpu:\n{lscpu}");
    ensure!(field("Thread(s) per core") == "2" && field("Model name").contains("POWER9"), "lscpu:\n{lscpu}");
    let (virt, _) = section("virt")?;
    let (lparstat, _) = section("lparstat")?;
    if peer == Peer::Rhyp {
        ensure!(field("Hypervisor vendor") == "pHyp", "lscpu:\n{lscpu}");
        ensure!(field("Virtualization type") == "para", "lscpu:\n{lscpu}");
        ensure!(virt.trim() == "powervm", "systemd-detect-virt says {virt:?}");
        ensure!(!lparstat.contains("not supported"), "lparstat refuses:\n{lparstat}");
    }
    section("model")?;
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}
