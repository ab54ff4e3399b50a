//! Judges of the processor that are built from source: a big-endian Linux, and the kernel's own selftests for powerpc.
//! The scripts below `guests/` build them once into the user's cache.

use crate::Suite;
use anyhow::{Context, Result, bail, ensure};
use guest_tests::{BootSpec, Case, Cpu, Images, Mmu, Outcome, Peer, patience};
use guests::{CacheDir, KernelVersion};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What a selftest that runs EBB beside another event finds in Linux 6.1 and 6.12.
const REPLAYED: &str = "Linux has the alert of an overflow that it finds when it sets the monitor going again, also where \
                        that belongs to a program, and so takes the monitor away from that program";

/// Selftests that do not pass, and why.
const KNOWN: &[(&str, &str)] = &[
    ("pmu/ebb/cpu_event_vs_ebb_test", REPLAYED),
    ("pmu/ebb/ebb_vs_cpu_event_test", REPLAYED),
    ("pmu/ebb/task_event_vs_ebb_test", REPLAYED),
    ("ptrace/ptrace-perf-hwbreak", "fails in the same cases under QEMU: it expects one watchpoint"),
];

/// Adds the tests of this file.
pub fn register(suite: &mut Suite) {
    for (name, cpu, mmu) in [
        ("processor::big_endian_linux_power8", Cpu::Power8, Mmu::Hash),
        ("processor::big_endian_linux_power9", Cpu::Power9, Mmu::Radix),
        ("processor::big_endian_linux_power9_hash", Cpu::Power9, Mmu::Hash),
    ] {
        suite.add(name, false, move |case, _| big_endian(case, cpu, mmu));
    }
    suite.add("processor::kernel_selftests", false, |case, images| {
        selftests(case, images, Cpu::Power9, include_str!("../../guests/kselftests/list"))
    });
    // POWER9 has no watchpoints that Linux uses, and QEMU no event-based branches.
    suite.add_for(Peer::Rhyp, "processor::kernel_selftests_of_events_power10", false, |case, images| {
        selftests(case, images, Cpu::Power10, include_str!("../../guests/kselftests/list-events"))
    });
}

/// Runs `guests/NAME/build.sh` for a directory of the user's cache and answers that; not again as long as the files it
/// was built from are the same.
pub fn built(name: &str) -> Result<PathBuf> {
    let out = CacheDir::user()?.root().join(name);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
    let mut files = vec![sources.join("sources.sh")];
    for entry in std::fs::read_dir(sources.join(name)).with_context(|| name.to_owned())? {
        files.push(entry?.path());
    }
    files.sort();
    let mut from = Vec::new();
    for file in &files {
        from.extend(std::fs::read(file).with_context(|| file.display().to_string())?);
    }
    let stamp = out.join("built-from");
    if std::fs::read(&stamp).is_ok_and(|old| old == from) {
        return Ok(out);
    }
    let script = sources.join(name).join("build.sh");
    let status = Command::new("sh").arg(&script).arg(&out).status().context("sh")?;
    ensure!(status.success(), "{} failed", script.display());
    std::fs::write(&stamp, from).with_context(|| stamp.display().to_string())?;
    Ok(out)
}

fn big_endian(case: &mut Case, cpu: Cpu, mmu: Mmu) -> Result<()> {
    let dir = built("big-endian")?;
    let mut spec = BootSpec::new(&dir.join("vmlinux"), &dir.join("initrd.gz")).on(cpu);
    (spec.mmu, spec.cpus) = (mmu, 2);
    let mut guest = case.boot(&spec)?;
    guest.expect("RHYP-USERLAND-OK ppc64 ", patience())?;
    guest.expect("# ", patience())?;
    guest.send(
        "printf '\\001\\002' | od -An -tx2 | tr -d ' ' | sed 's/^/order-/'; echo processors-$(nproc)\n",
    )?;
    guest.expect("order-0102", patience())?;
    guest.expect("processors-2", patience())?;
    guest.send("poweroff -f\n")?;
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}

fn selftests(case: &mut Case, images: &Images, cpu: Cpu, list: &str) -> Result<()> {
    let kernel = images.kernel(KernelVersion::V6_12).context("Debian's 6.12 kernel is missing")?;
    let bin = built("kselftests")?.join("bin");
    let mut initramfs = images.userland(include_str!("../../guests/kselftests/run.sh"));
    initramfs = initramfs.file("kst/list", 0o644, list.as_bytes());
    let names = list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next());
    let mut count = 0;
    for name in names.filter(|name| !name.is_empty()) {
        let path = bin.join(name);
        let program = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
        initramfs = initramfs.file(&format!("kst/{name}"), 0o755, &program);
        count += 1;
    }
    let name = format!("kselftests-{cpu}");
    let mut spec = BootSpec::new(&kernel.vmlinux, &images.write(&name, &initramfs)?).on(cpu);
    (spec.cpus, spec.memory) = (2, "2G".to_owned());
    let mut guest = case.boot(&spec)?;
    let mut results = BTreeMap::new();
    while results.len() < count {
        let line = guest.expect(r"KST (\S+/\S+) (\w+) (\d+)", patience().max(Duration::from_secs(3100)))?;
        eprintln!("{}: status {}, {} s", line[1], line[2], line[3]);
        results.insert(line[1].clone(), line[2].clone());
    }
    guest.expect("KST-DONE", patience())?;
    guest.ends(Outcome::PowerOff)?;
    let failed: Vec<_> = results
        .iter()
        .filter(|(name, status)| {
            !matches!(status.as_str(), "0" | "4") && !KNOWN.iter().any(|(known, _)| *known == name.as_str())
        })
        .map(|(name, status)| format!("{name} ({status})"))
        .collect();
    let passed = results.values().filter(|status| *status == "0").count();
    eprintln!("kernel selftests: {passed} of {count} passed");
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
