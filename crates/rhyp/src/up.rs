//! `rhyp up`: a managed system in this process.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use node::{Ended, Equipment, Mistake, Outfit, PartitionProfile, Profile, Source, System};
use partition::io::IoSlots;
use partition::net::switch::Switches;
use partition::papr::Limits;
use partition::{BootImages, Nvram};

use crate::args::{Cli, Command, RunArgs, UpArgs};
use crate::error::Failure;
use crate::{cloud_init, device, disk, net, run, share};

/// Runs the system that a profile describes.
pub fn up(a: &UpArgs) -> Result<ExitCode, Failure> {
    let source = Source::read(&a.profile).map_err(Failure::usage)?;
    let profile = source.profile().map_err(Failure::usage)?;
    check(&profile).map_err(|m| Failure::usage(source.complain(&m)))?;
    if a.check {
        return Ok(ExitCode::SUCCESS);
    }
    // Before any thread is made.
    let requests = crate::signals::Requests::listen()?;
    let switches = Switches::default();
    let outside = net::open_with(&profile.node.net, &profile.node.name, &switches)?;
    let control = a.control.control.clone().or_else(|| profile.node.control.clone());
    let control = control.unwrap_or_else(node::client::usual_path);
    let listener = node::server::bind(&control).map_err(Failure::usage)?;
    let internal = |e: std::io::Error| Failure::internal(e.to_string());
    let system = System::new(profile, Box::new(Host { switches })).map_err(internal)?;
    system.ignore_confer(a.ignore_confer);
    node::server::serve(listener, &system).map_err(internal)?;
    let told = system.clone();
    requests.end_by(move || {
        told.close();
        true
    });
    let started = system.start_all();
    match &started {
        Ok(()) if a.once => drop(system.wait()),
        Ok(()) => system.wait_closed(),
        Err(_) => system.close(),
    }
    let ended = system.wait();
    system.end();
    // The socket may be another's by now only if somebody took it away.
    let _ = std::fs::remove_file(&control);
    drop(outside);
    started.map_err(Failure::usage)?;
    Ok(ExitCode::from(match ended {
        Ended::Well => 0,
        Ended::Failed => 1,
        Ended::Died => 3,
    }))
}

/// What the profile says in the words of options.
fn options(p: &PartitionProfile) -> Result<Box<RunArgs>, String> {
    let mut words = vec!["rhyp".to_owned(), "run".into()];
    let mut add = |name: &str, value: String| words.push(format!("--{name}={value}"));
    let path = |p: &Path| p.display().to_string();
    let texts = [
        ("append", &p.append),
        ("cpu", &p.cpu),
        ("accel", &p.accel),
        ("mmu", &p.mmu),
        ("irqchip", &p.irqchip),
        ("cloud-init", &p.cloud_init),
    ];
    texts.into_iter().for_each(|(name, v)| v.iter().for_each(|v| add(name, v.clone())));
    let files =
        [("kernel", &p.kernel), ("firmware", &p.firmware), ("initrd", &p.initrd), ("nvram", &p.nvram)];
    files.into_iter().for_each(|(name, v)| v.iter().for_each(|v| add(name, path(v))));
    for (name, list) in [("disk", &p.disk), ("net", &p.net), ("share", &p.share), ("device", &p.device)] {
        list.iter().for_each(|v| add(name, v.clone()));
    }
    add("name", p.name.clone());
    add("threads", p.threads.to_string());
    add("cpus", (p.processors.desired.0 * p.threads).to_string());
    add("memory", p.memory.desired.0.to_string());
    add("console", "null".into());
    let cli = Cli::try_parse_from(words).map_err(|e| {
        let text = e.render().to_string();
        let line = text.lines().next().unwrap_or("bad options").trim_start_matches("error: ").to_owned();
        let more: Vec<_> = text.lines().skip(1).map(str::trim).take_while(|l| !l.is_empty()).collect();
        format!("{line} {}", more.join(" "))
    })?;
    match cli.command {
        Command::Run(a) => Ok(a),
        _ => Err("no options".into()),
    }
}

/// What of a profile cannot be, beside what the profile itself knows.
fn check(profile: &Profile) -> Result<(), Mistake> {
    for (i, word) in profile.node.net.iter().enumerate() {
        net::check(word).map_err(|f| Mistake::node("net", Some(i), f.text))?;
        if !word.contains("uplink=") {
            let text = format!("net {word}: a node's network needs uplink=SWITCH");
            return Err(Mistake::node("net", Some(i), text));
        }
    }
    for (n, p) in profile.partitions.iter().enumerate() {
        check_partition(p).map_err(|(key, index, text)| Mistake::partition(n, key, index, text))?;
    }
    Ok(())
}

type Wrong = (&'static str, Option<usize>, String);

fn check_partition(p: &PartitionProfile) -> Result<(), Wrong> {
    let files = [("kernel", &p.kernel), ("initrd", &p.initrd), ("firmware", &p.firmware)];
    for (key, path) in files {
        let Some(path) = path.as_deref().filter(|f| key != "firmware" || *f != Path::new("builtin")) else {
            continue;
        };
        match std::fs::metadata(path) {
            Ok(m) if m.is_dir() => {
                return Err((key, None, format!("{key} {}: it is a directory, not a file", path.display())));
            }
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err((key, None, format!("{key} {}: there is no such file", path.display())));
            }
            Err(e) => return Err((key, None, format!("{key} {}: {e}", path.display()))),
        }
    }
    type Check = fn(&str) -> Result<(), Failure>;
    let lists: [(_, _, Check); 4] = [
        ("disk", &p.disk, disk::check),
        ("net", &p.net, net::check),
        ("share", &p.share, share::check),
        ("device", &p.device, device::check),
    ];
    for (key, list, check) in lists {
        for (i, word) in list.iter().enumerate() {
            check(word).map_err(|f| (key, Some(i), f.text))?;
        }
    }
    // Options that take one of few words, one by one, so that the line is known.
    let of = |change: &dyn Fn(&mut PartitionProfile)| {
        let mut q = PartitionProfile { cpu: None, accel: None, mmu: None, irqchip: None, ..p.clone() };
        change(&mut q);
        options(&q).and_then(|a| run::config(&a.machine).map_err(|f| f.text))
    };
    of(&|q| q.cpu = p.cpu.clone()).map_err(|e| ("cpu", None, e))?;
    of(&|q| q.accel = p.accel.clone()).map_err(|e| ("accel", None, e))?;
    let with_cpu = |q: &mut PartitionProfile| q.cpu = p.cpu.clone();
    of(&|q| (with_cpu(q), q.mmu = p.mmu.clone()).1).map_err(|e| ("mmu", None, e))?;
    of(&|q| (with_cpu(q), q.irqchip = p.irqchip.clone()).1).map_err(|e| ("irqchip", None, e))?;
    Ok(())
}

/// Opens what partitions name, on this host.
struct Host {
    switches: Switches,
}

impl Equipment for Host {
    fn outfit(&self, p: &PartitionProfile) -> Result<Outfit, String> {
        self.open(p).map_err(|f| f.text)
    }
}

impl Host {
    fn open(&self, p: &PartitionProfile) -> Result<Outfit, Failure> {
        let a = options(p).map_err(Failure::usage)?;
        let m = &a.machine;
        let firmware = a.firmware.as_deref().filter(|p| *p != Path::new("builtin"));
        let images = BootImages {
            firmware: firmware.map(|p| run::image("firmware", p)).transpose()?,
            kernel: a.kernel.as_deref().map(|p| run::image("kernel", p)).transpose()?,
            initrd: a.initrd.as_deref().map(|p| run::image("initrd", p)).transpose()?,
            append: a.append.clone(),
        };
        let mut config = run::config(m)?;
        let cores = (p.processors.min.0, p.processors.max.0);
        config.limits = Some(Limits {
            cores,
            entitled: p.entitlement.map_or((cores.0 * 100, cores.1 * 100), |e| (e.min.0, e.max.0)),
            memory: (p.memory.min.0, p.memory.max.0),
        });
        let nvram = match &m.nvram {
            None => Nvram::volatile(),
            Some(f) => Nvram::open(f).map_err(|e| Failure::usage(format!("nvram {}: {e}", f.display())))?,
        };
        let mut disks = disk::open_all(&m.disks)?;
        if let Some(orders) = &m.cloud_init {
            disks.push(cloud_init::open(orders, &m.name)?);
        }
        let networks = net::open_with(&m.nets, &m.name, &self.switches)?;
        let shares = share::open_all(&m.shares)?;
        let mut extras = shares.devices.clone();
        extras.extend(device::open_all(&m.devices)?);
        let slots = IoSlots { disks, nics: networks.slots.clone(), extras, ..IoSlots::default() };
        let disks = slots.disks.clone();
        let finish = move || disk::finish(&disks).map_err(|f| f.text);
        Ok(Outfit {
            config,
            images,
            slots,
            nvram,
            accel: run::accel(m),
            keep: Box::new((networks, shares)),
            finish: Box::new(finish),
        })
    }
}
