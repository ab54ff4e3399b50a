//! `rhyp run`: from arguments to a partition, and from its end to an exit status.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use partition::io::IoSlots;
use partition::papr::{IrqChoice, MmuChoice, PartitionConfig};
use partition::{Accel, JitOptions};
use partition::{BootError, BootImages, Image, MODELS, Model, Nvram, Outcome, Partition};

use crate::args::{Irqchip, MachineArgs, Mmu, RunArgs};
use crate::console::{Console, ConsoleKind};
use crate::error::Failure;
use crate::size;

/// Least memory of a partition; Debian's kernels want 128 MiB.
const LEAST_MEMORY: u64 = 64 << 20;
/// Most memory (the address space below the interrupt controller's pages).
const MOST_MEMORY: u64 = 16 << 40;
/// Most virtual processors.
const MOST_CPUS: u32 = 256;

/// Run what the arguments describe.
pub fn run(a: &RunArgs) -> Result<ExitCode, Failure> {
    let firmware = a.firmware.as_deref().filter(|p| *p != Path::new("builtin"));
    let images = BootImages {
        firmware: firmware.map(|p| image("--firmware", p)).transpose()?,
        kernel: a.kernel.as_deref().map(|p| image("--kernel", p)).transpose()?,
        initrd: a.initrd.as_deref().map(|p| image("--initrd", p)).transpose()?,
        append: a.append.clone(),
    };
    let name = |p: &Path| p.display().to_string();
    let names = FileNames {
        firmware: firmware.map(name).unwrap_or_default(),
        kernel: a.kernel.as_deref().map(name).unwrap_or_default(),
        initrd: a.initrd.as_deref().map(name).unwrap_or_default(),
    };
    start(&a.machine, images, &names, None)
}

/// Where boot images came from, for messages.
#[derive(Default)]
pub struct FileNames {
    /// Of the firmware.
    pub firmware: String,
    /// Of the kernel.
    pub kernel: String,
    /// Of the initial RAM disk.
    pub initrd: String,
}

/// Make the partition, run it, and say how it ended. `on_output` sees everything the guest prints.
pub fn start(
    m: &MachineArgs,
    images: BootImages,
    names: &FileNames,
    on_output: Option<crate::console::Watch>,
) -> Result<ExitCode, Failure> {
    let boot_failure = |e: BootError| match e {
        BootError::Kernel(e) => Failure::usage(format!("--kernel {}: {e}", names.kernel)),
        BootError::Firmware(e) => Failure::usage(format!("--firmware {}: {e}", names.firmware)),
        BootError::Initrd(e) => Failure::usage(format!("--initrd {}: {e}", names.initrd)),
        BootError::NothingToBoot(_) | BootError::BootProgram(..) | BootError::File(..) => {
            Failure::usage(e.to_string())
        }
        BootError::Memory(_) | BootError::Internal(_) => Failure::internal(e.to_string()),
    };
    let config = config(m)?;
    let requests = crate::signals::Requests::listen()?;
    let kind = ConsoleKind::parse(&m.console)?;
    let nvram = match &m.nvram {
        None => Nvram::volatile(),
        Some(p) => Nvram::open(p).map_err(|e| Failure::usage(format!("--nvram {}: {e}", p.display())))?,
    };
    let mut disks = crate::disk::open_all(&m.disks)?;
    if let Some(orders) = &m.cloud_init {
        disks.push(crate::cloud_init::open(orders, &m.name)?);
    }
    let networks = crate::net::open_all(&m.nets, &m.name)?;
    let shares = crate::share::open_all(&m.shares)?;
    let mut extras = shares.devices.clone();
    extras.extend(crate::device::open_all(&m.devices)?);
    let slots = IoSlots { disks, nics: networks.slots.clone(), extras, ..IoSlots::default() };
    let console = Console::new(kind, on_output)?;
    let partition =
        Partition::new(config, images, Arc::new(console.backend()), nvram, &slots).map_err(boot_failure)?;
    partition.set_accel(accel(m));
    let started = std::time::Instant::now();
    let guard = console.attach(&partition)?;
    requests.end(&partition);
    let outcome = partition.run(m.no_reboot);
    let elapsed = started.elapsed();
    // Before the console, whose reader may make us wait for ever.
    let finished = crate::disk::finish(&slots.disks);
    drop(guard);
    finished?;
    statistics(m, &partition, elapsed)?;
    match outcome.map_err(boot_failure)? {
        Outcome::PoweredOff | Outcome::Stopped => Ok(ExitCode::SUCCESS),
        Outcome::RebootRefused => {
            eprintln!("rhyp: the guest asked for a reboot and --no-reboot refuses it");
            Ok(ExitCode::from(3))
        }
        Outcome::Died(words) => {
            let words = words.trim_end_matches(['\0', '\n', ' ']).replace('\n', " ");
            let words = if words.is_empty() { "it gave no reason; its console may" } else { &words };
            eprintln!("rhyp: the guest died: {words}");
            Ok(ExitCode::from(3))
        }
    }
}

/// `RHYP_JIT` is for those who work on the translator: words `perf` (write a map for the profiler), `perfops` (one
/// that names operations), `profile` (count what it leaves to the interpreter), `tier1` (no second tier) and `hot=N`
/// (turns of a loop before the second tier).
pub fn accel(m: &MachineArgs) -> Accel {
    match m.accel {
        crate::args::Accel::Interp => Accel::Interp,
        crate::args::Accel::Jit => {
            let words = std::env::var("RHYP_JIT").unwrap_or_default();
            let has = |w: &str| words.split(',').any(|x| x == w);
            let mut o = JitOptions {
                perf_map: has("perf"),
                perf_ops: has("perfops"),
                profile: has("profile"),
                ..JitOptions::default()
            };
            if let Some(n) = words.split(',').find_map(|w| w.strip_prefix("hot=")?.parse().ok()) {
                o.tier2.threshold = n;
            }
            if has("tier1") {
                o.tier2.threshold = 0;
            }
            Accel::Jit(o)
        }
    }
}

/// A file that an option names.
pub fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(cannot_read(option, path))
}

/// What to boot: an ordinary file is read when the partition boots; a pipe, for example, can only be read now.
pub fn image(option: &str, path: &Path) -> Result<Image, Failure> {
    if std::fs::metadata(path).is_ok_and(|m| m.is_file()) {
        std::fs::File::open(path).map_err(cannot_read(option, path))?;
        return Ok(Image::File(path.to_owned()));
    }
    read(option, path).map(Image::Bytes)
}

fn cannot_read(option: &str, path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| {
        let why = match e.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::IsADirectory => "it is a directory, not a file".to_owned(),
            _ => e.to_string(),
        };
        Failure::usage(format!("{option} {}: {why}", path.display()))
    }
}

/// The partition that the options describe.
pub fn config(m: &MachineArgs) -> Result<PartitionConfig, Failure> {
    let mut parts = m.cpu.split(',');
    let model = model(parts.next().unwrap_or(""))?;
    let memory = size::parse(&m.memory).map_err(|e| Failure::usage(format!("--memory: {e}")))?;
    if !(LEAST_MEMORY..=MOST_MEMORY).contains(&memory) {
        return Err(Failure::usage(format!("--memory {}: a partition has 64M to 16T of memory", m.memory)));
    }
    let mut c = PartitionConfig::new(model, memory.next_multiple_of(1 << 16));
    for p in parts {
        match p.split_once('=') {
            Some(("compat", name)) => c.compat = Some(self::model(name)?),
            _ => {
                return Err(Failure::usage(format!(
                    "--cpu {}: '{p}' is unknown; right would be compat=NAME",
                    m.cpu
                )));
            }
        }
    }
    let count = |option: &str, s: &str, what: &str, ok: &dyn Fn(u32) -> bool| {
        s.parse().ok().filter(|&n| ok(n)).ok_or_else(|| Failure::usage(format!("{option} {s}: {what}")))
    };
    c.threads =
        count("--threads", &m.threads, "a core has 1, 2, 4 or 8 threads", &|n| matches!(n, 1 | 2 | 4 | 8))?;
    c.vcpus = count("--cpus", &m.cpus, "a partition has 1 to 256 virtual processors", &|n| {
        (1..=MOST_CPUS).contains(&n)
    })?;
    c.mmu = match m.mmu {
        None => MmuChoice::Any,
        Some(Mmu::Radix) => MmuChoice::Radix,
        Some(Mmu::Hash) => MmuChoice::Hash,
    };
    c.irqchip = match m.irqchip {
        Irqchip::Dual => IrqChoice::Dual,
        Irqchip::Xics => IrqChoice::Xics,
        Irqchip::Xive => IrqChoice::Xive,
    };
    if c.mmu == MmuChoice::Radix && !c.newest().radix {
        return Err(Failure::usage(format!(
            "--mmu radix: {} has hashed page tables only; leave the option out",
            m.cpu
        )));
    }
    if c.irqchip == IrqChoice::Xive && !c.newest().xive {
        return Err(Failure::usage(format!("--irqchip xive: {} has XICS only; leave the option out", m.cpu)));
    }
    c.name = m.name.clone();
    Ok(c)
}

/// A model by name; an unknown one is answered with the nearest there is.
fn model(name: &str) -> Result<&'static Model, Failure> {
    Model::by_name(name).ok_or_else(|| {
        let near = MODELS.iter().map(|m| m.name).min_by_key(|n| distance(n, &name.to_ascii_lowercase()));
        let near = near.unwrap_or("power9");
        Failure::usage(format!(
            "--cpu {name}: no such processor model; did you mean {near}? ('rhyp cpus' lists them)"
        ))
    })
}

/// Number of letters to change, add or remove.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut last = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let here = (last + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            last = std::mem::replace(&mut row[j + 1], here);
        }
    }
    row[b.len()]
}

fn statistics(m: &MachineArgs, p: &Partition, elapsed: std::time::Duration) -> Result<(), Failure> {
    let (hcalls, rtas) = p.calls();
    if m.stats {
        eprintln!("wall time            {:>12.3} s", elapsed.as_secs_f64());
        eprintln!("instructions retired {:>12}", p.retired());
        if let Some(s) = p.translated() {
            translation(&s, &p.interpreted());
        }
        for (what, list) in [("hypercall", &hcalls), ("RTAS call", &rtas)] {
            for c in list {
                eprintln!("{what} {:#06x} {:<36} {:>10}", c.number, c.name.unwrap_or("(unknown)"), c.count);
            }
        }
    }
    if let Some(path) = &m.stats_json {
        let list = |l: &[partition::papr::state::CallCount]| {
            l.iter()
                .map(|c| serde_json::json!({ "number": c.number, "name": c.name, "count": c.count }))
                .collect::<Vec<_>>()
        };
        let v = serde_json::json!({
            "seconds": elapsed.as_secs_f64(),
            "instructions": p.retired(),
            "translator": p.translated().map(|s| serde_json::json!({
                "blocks": s.blocks,
                "instructions": s.instructions,
                "calls": s.calls,
                "bytes": s.bytes,
                "translate_seconds": s.translate_ns as f64 / 1e9,
                "entries": s.entries,
                "links": s.links,
                "lookups": s.lookups,
                "interpreted": s.interpreted,
                "dropped_pages": s.dropped_pages,
                "flushes": s.flushes,
                "regions": s.regions,
                "region_instructions": s.region_instructions,
                "region_bytes": s.region_bytes,
                "region_seconds": s.region_ns as f64 / 1e9,
                "region_entries": s.region_entries,
                "region_refusals": s.refused,
                "region_stale": s.stale,
                "regions_retired": s.retired_regions,
            })),
            "hypercalls": list(&hcalls),
            "rtas": list(&rtas),
        });
        std::fs::write(path, format!("{v:#}\n"))
            .map_err(|e| Failure::internal(format!("--stats-json {}: {e}", path.display())))?;
    }
    Ok(())
}

/// Print what the translator did.
fn translation(s: &partition::TranslationStats, left: &[(&'static str, u64)]) {
    eprintln!(
        "blocks translated    {:>12} of {} instructions, {} of them calls",
        s.blocks, s.instructions, s.calls
    );
    eprintln!("host code            {:>12} bytes", s.bytes);
    eprintln!("time translating     {:>12.3} s", s.translate_ns as f64 / 1e9);
    eprintln!("entries              {:>12}: {} to link, {} to look up", s.entries, s.links, s.lookups);
    eprintln!("interpreted          {:>12}", s.interpreted);
    eprintln!("pages dropped        {:>12}, cache emptied {} times", s.dropped_pages, s.flushes);
    eprintln!(
        "regions              {:>12} of {} instructions, {} bytes, in {:.3} s; {} refused, {} stale, {} retired",
        s.regions,
        s.region_instructions,
        s.region_bytes,
        s.region_ns as f64 / 1e9,
        s.refused,
        s.stale,
        s.retired_regions
    );
    eprintln!("regions entered      {:>12} times", s.region_entries);
    for (name, n) in left.iter().take(40) {
        eprintln!("interpreted {name:<12} {n:>12}");
    }
}

/// `rhyp cpus`.
pub fn cpus(json: bool) -> Result<ExitCode, Failure> {
    if json {
        let list: Vec<_> = MODELS
            .iter()
            .map(|m| serde_json::json!({ "name": m.name, "pvr": m.pvr, "radix": m.radix, "xive": m.xive }))
            .collect();
        println!("{:#}", serde_json::Value::from(list));
    } else {
        for m in MODELS {
            let mmu = if m.radix { "radix, hash" } else { "hash" };
            let irq = if m.xive { "XIVE, XICS" } else { "XICS" };
            println!("{:<10} PVR {:08x}  ISA {:<5} {mmu:<12} {irq}", m.name, m.pvr, level(m.level));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn level(l: impl std::fmt::Debug) -> String {
    format!("{l:?}").trim_start_matches('V').replace('_', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_model_names_the_nearest() {
        let e = model("power99").unwrap_err();
        assert!(e.text.contains("did you mean power9?"), "{}", e.text);
        assert_eq!(e.status, 2);
        assert_eq!(model("POWER10").unwrap().name, "power10");
    }
}
