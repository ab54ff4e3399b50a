//! The boot matrix: kernels x processors x address translation x interrupt controllers x processor counts.
//!
//! The table covers every pair of values that can occur together (checked by a test), and every combination of
//! processor, translation and interrupt controller.

use crate::Suite;
use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Cpu, IrqChip, Mmu, Outcome, patience};
use guests::KernelVersion::{self, V6_1, V6_12};

use Cpu::{Power8, Power9, Power10};
use IrqChip::{Xics, Xive};
use Mmu::{Hash, Radix};

/// One boot: kernel, processor, translation, interrupts, processors, threads per core, part of the quick subset.
pub type Row = (KernelVersion, Cpu, Mmu, IrqChip, u32, u32, bool);

/// The boots.
#[rustfmt::skip]
pub const MATRIX: &[Row] = &[
    (V6_12, Power9,  Radix, Xive, 1, 1, true),
    (V6_1,  Power9,  Radix, Xive, 4, 4, true),
    (V6_12, Power9,  Radix, Xics, 1, 1, false),
    (V6_1,  Power9,  Hash,  Xics, 2, 1, true),
    (V6_1,  Power9,  Hash,  Xive, 4, 2, false),
    (V6_12, Power10, Radix, Xive, 2, 2, true),
    (V6_12, Power10, Radix, Xics, 4, 2, false),
    (V6_1,  Power10, Hash,  Xive, 1, 1, false),
    (V6_1,  Power10, Hash,  Xics, 4, 4, false),
    (V6_1,  Power8,  Hash,  Xics, 1, 1, false),
    (V6_1,  Power8,  Hash,  Xics, 2, 2, true),
    (V6_1,  Power8,  Hash,  Xics, 4, 1, false),
    (V6_12, Power8,  Hash,  Xics, 4, 4, false),
];

/// What the guest does: says what it sees, keeps all its processors busy for a moment, powers off.
const SCRIPT: &str = r#"
echo "SEEN kernel=$(uname -r) machine=$(uname -m)"
echo "SEEN online=$(nproc) list=$(cat /sys/devices/system/cpu/online)"
echo "SEEN siblings=$(cat /sys/devices/system/cpu/cpu0/topology/thread_siblings_list)"
echo "SEEN cpu=$(sed -n 's/^cpu[[:space:]]*: \([A-Za-z0-9]*\).*/\1/p;/^cpu/q' /proc/cpuinfo)"
echo "SEEN mmu=$(sed -n 's/^MMU[[:space:]]*: //p' /proc/cpuinfo)"
grep -q XIVE /proc/interrupts && echo "SEEN irqchip=xive"
grep -q XICS /proc/interrupts && echo "SEEN irqchip=xics"
for i in $(seq "$(nproc)"); do
    taskset "$(printf %x $((1 << (i - 1))))" dd if=/dev/zero bs=65536 count=16 2>/dev/null | md5sum > /tmp/sum$i &
done
wait
echo "SEEN sums=$(cat /tmp/sum* | sort -u | wc -l) first=$(cut -c1-32 /tmp/sum1)"
sleep 1
echo "SEEN end"
poweroff -f
"#;

/// MD5 of a mebibyte of zeros.
const MD5_OF_ZEROS: &str = "b6d81b360a5672d80c27430f39153e2c";

/// Adds the rows whose kernel is there.
pub fn register(suite: &mut Suite) {
    for &row in MATRIX {
        let (version, cpu, mmu, irqchip, cpus, threads, quick) = row;
        let name = format!("matrix::{version}-{cpu}-{mmu}-{irqchip}-c{cpus}-t{threads}");
        if suite.images().kernel(version).is_some() {
            suite.add(&name.clone(), quick, move |case, images| {
                let kernel = images.kernel(version).context("kernel went away")?;
                let initrd = images.write("matrix", &images.userland(SCRIPT))?;
                let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
                (spec.cpu, spec.mmu, spec.irqchip, spec.cpus, spec.threads) =
                    (cpu, mmu, irqchip, cpus, threads);
                boots(case, &spec, &kernel.release)
            });
        } else {
            suite.leave_out(&name, "this host's archive has no such kernel");
        }
    }
}

fn boots(case: &mut Case, spec: &BootSpec, release: &str) -> Result<()> {
    let mut guest = case.boot(spec)?;
    let seen = guest.expect(r"SEEN kernel=(\S+) machine=(\S+)\s", patience())?;
    ensure!(seen[1] == release && seen[2] == "ppc64le", "wrong kernel: {}", seen[0]);
    let seen = guest.expect(r"SEEN online=(\d+) list=(\S+)\s", patience())?;
    ensure!(seen[1] == spec.cpus.to_string(), "{} processors asked for, {}", spec.cpus, seen[0]);
    let seen = guest.expect(r"SEEN siblings=(\d+)(?:[-,](?:\d+,)*(\d+))?\s", patience())?;
    let last = if seen[2].is_empty() { 0 } else { seen[2].parse()? };
    ensure!(seen[1] == "0" && last + 1 == spec.threads, "{} threads asked for, {}", spec.threads, seen[0]);
    let seen = guest.expect(r"SEEN cpu=(\w+)\s", patience())?;
    ensure!(seen[1].eq_ignore_ascii_case(spec.cpu.name()), "wrong processor: {}", seen[0]);
    let seen = guest.expect(r"SEEN mmu=(\w+)\s", patience())?;
    ensure!(seen[1].eq_ignore_ascii_case(&spec.mmu.to_string()), "wrong translation: {}", seen[0]);
    let seen = guest.expect(r"SEEN irqchip=(\w+)\s", patience())?;
    ensure!(seen[1] == spec.irqchip.to_string(), "wrong interrupt controller: {}", seen[0]);
    let seen = guest.expect(r"SEEN sums=(\d+) first=(\w+)\s", patience())?;
    ensure!(seen[1] == "1" && seen[2] == MD5_OF_ZEROS, "processors do not agree: {}", seen[0]);
    guest.expect(r"SEEN end\s", patience())?;
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}

/// The values of a row by which pairs are counted.
fn values(row: &Row) -> [String; 6] {
    let &(version, cpu, mmu, irqchip, cpus, threads, _) = row;
    [
        version.to_string(),
        cpu.to_string(),
        mmu.to_string(),
        irqchip.to_string(),
        format!("cpus {cpus}"),
        format!("threads {threads}"),
    ]
}

/// Every row that can exist: a POWER8 has only hash and XICS; a core is full.
fn possible() -> Vec<Row> {
    let mut rows = Vec::new();
    for version in KernelVersion::ALL {
        for (cpu, mmu, irqchip) in [Power8, Power9, Power10]
            .into_iter()
            .flat_map(|cpu| [Radix, Hash].map(|mmu| (cpu, mmu)))
            .flat_map(|(cpu, mmu)| [Xics, Xive].map(|irqchip| (cpu, mmu, irqchip)))
            .filter(|&(cpu, mmu, irqchip)| cpu != Power8 || (mmu, irqchip) == (Hash, Xics))
        {
            for (cpus, threads) in [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)] {
                rows.push((version, cpu, mmu, irqchip, cpus, threads, false));
            }
        }
    }
    rows
}

/// The table's own test: every pair of values of a possible row is in some row of the table.
pub fn covers_every_pair() -> Result<()> {
    let has = |rows: &[Row], a: &str, b: &str| {
        rows.iter().map(values).any(|v| v.iter().any(|x| x == a) && v.iter().any(|x| x == b))
    };
    for row in possible() {
        let values = values(&row);
        for (i, a) in values.iter().enumerate() {
            for b in &values[i + 1..] {
                ensure!(has(MATRIX, a, b), "no row has {a} with {b}");
            }
        }
    }
    Ok(())
}
