//! stress-ng, checking its own results, on four processors.

use crate::Suite;
use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Images, Outcome, patience};
use guests::KernelVersion;
use std::time::Duration;

/// How many of each run side by side.
const STRESSORS: &[(&str, u32)] = &[
    ("cpu", 1),
    ("vm", 1),
    ("matrix", 1),
    ("atomic", 2),
    ("futex", 1),
    ("signal", 1),
    ("fork", 1),
    ("mmap", 1),
    ("tlb-shootdown", 1),
];

/// Adds the test of this file.
pub fn register(suite: &mut Suite) {
    suite.add("stress::results_are_right_under_load", false, stress);
}

/// Seconds of load: `$RHYP_STRESS`, else 30.
fn seconds() -> u64 {
    std::env::var("RHYP_STRESS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

fn stress(case: &mut Case, images: &Images) -> Result<()> {
    let version = KernelVersion::V6_12;
    let kernel = images.kernel(version).or(images.kernel(KernelVersion::V6_1)).context("no kernel")?;
    let what: String = STRESSORS.iter().map(|(name, count)| format!("--{name} {count} ")).collect();
    let script = format!(
        "cd /tmp\nstress-ng --verify --metrics-brief --vm-bytes 64m --mmap-bytes 64m --timeout {} {what}\n\
         echo STRESS-STATUS $?\npoweroff -f\n",
        seconds()
    );
    let initramfs = images.userland(&script).programs(&images.programs()?, &["usr/bin/stress-ng"])?;
    let initrd = images.write("stress", &initramfs)?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    spec.cpus = 4;
    let mut guest = case.boot(&spec)?;
    let limit = Duration::from_secs(seconds()) * 2 + patience();
    let status = guest.expect(r"STRESS-STATUS (\d+)", limit)?[1].clone();
    ensure!(status == "0", "stress-ng ends with {status}");
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}
