//! `cargo xtask bench`: speed, as ratios. Absolute figures are printed for orientation only: machines differ.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use guests::{CacheDir, Guests, INIT_MOUNTS, Initramfs, KernelVersion, Progress};

/// Runs of each boot.
const RUNS: usize = 5;
/// What the guest prints when its userland is there.
const UP: &str = "userland is up";

/// Measures the engines on a loop, and whole boots against QEMU with `peer`.
pub fn run(root: &Path, peer: bool) -> Result<()> {
    let cargo = crate::cargo();
    let build = |arguments: &[&str]| -> Result<()> {
        let status = Command::new(&cargo).args(arguments).current_dir(root).status()?;
        if status.success() { Ok(()) } else { bail!("`cargo {}` failed", arguments.join(" ")) }
    };
    println!("interpreter, integer loop:");
    build(&["run", "--release", "--quiet", "--package", "interp", "--example", "speed"])?;
    build(&["build", "--release", "--quiet", "--package", "rhyp"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let rhyp = target.join("release/rhyp");

    let guests = Guests::open(CacheDir::user()?, Progress::auto());
    let kernel = guests.kernel(KernelVersion::V6_12)?.vmlinux;
    let initrd = target.join("bench-initrd.gz");
    let script = format!("{INIT_MOUNTS}echo {UP}\npoweroff -f\n");
    Initramfs::new().busybox(&guests.busybox()?).init(&script).write(&initrd)?;
    if peer {
        crate::test::install_missing(root, &[("qemu-system-ppc64", "qemu-system-ppc")])?;
        let version = Command::new("qemu-system-ppc64").arg("--version").output()?.stdout;
        println!("peer: {}", String::from_utf8_lossy(&version).lines().next().unwrap_or("?"));
    }
    println!("boot to userland and power-off, whole process, Linux 6.12, POWER9, 1 GiB, medians of {RUNS}:");
    for (mmu, append) in [("radix", "console=hvc0 quiet"), ("hash", "console=hvc0 quiet disable_radix")] {
        let ours = || {
            let mut c = Command::new(&rhyp);
            c.args(["run", "--cpu", "power9", "--memory", "1G", "--append", append]);
            c.arg("--kernel").arg(&kernel).arg("--initrd").arg(&initrd);
            c
        };
        let theirs = || {
            let mut c = Command::new("qemu-system-ppc64");
            c.args(["-M", "pseries,x-vof=on", "-cpu", "POWER9", "-m", "1G", "-nographic", "-nodefaults"]);
            c.args(["-serial", "stdio", "-append", append]);
            c.arg("-kernel").arg(&kernel).arg("-initrd").arg(&initrd);
            c
        };
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            a.push(timed(ours())?);
            if peer {
                b.push(timed(theirs())?);
            }
        }
        let (a, b) = (median(a), median(b));
        match b {
            Some(b) => println!(
                "{mmu:<6} rhyp {a:>7.2} s  QEMU {b:>7.2} s  rhyp/QEMU {:.2}",
                a.unwrap_or(0.0) / b,
                a = a.unwrap_or(0.0)
            ),
            None => println!("{mmu:<6} rhyp {:>7.2} s", a.unwrap_or(0.0)),
        }
    }
    Ok(())
}

/// Wall seconds of one run, which must reach userland and end well.
fn timed(mut c: Command) -> Result<f64> {
    let start = Instant::now();
    let out = c.stdin(Stdio::null()).stderr(Stdio::null()).output().with_context(|| format!("{c:?}"))?;
    let seconds = start.elapsed().as_secs_f64();
    if !out.status.success() || !String::from_utf8_lossy(&out.stdout).contains(UP) {
        bail!("{c:?} did not reach userland: {}", out.status);
    }
    Ok(seconds)
}

fn median(mut v: Vec<f64>) -> Option<f64> {
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied()
}
