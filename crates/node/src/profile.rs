//! What a managed system is made of, as its file says: TOML, or JSON with the same names. What a partition has in common
//! with `rhyp run` is called as the options are called there.

use std::path::{Path, PathBuf};

use dispatch::{LEAST_ENTITLEMENT, Share, Sharing, WHOLE};
use serde::{Deserialize, Serialize};

use crate::locate::{self, Format, Step};
use crate::quantity::{Bytes, Count, Hundredths, Span};

/// Least memory of a partition.
pub const LEAST_MEMORY: u64 = 64 << 20;
/// Most memory of a partition.
pub const MOST_MEMORY: u64 = 16 << 40;
/// Most virtual processors of a partition.
pub const MOST_CPUS: u32 = 256;
/// Weight where nothing is said.
const USUAL_WEIGHT: u8 = 128;
/// What stands for all other partitions.
pub const ALL: &str = "*";
/// Most adapters of a kind that join a partition to others.
const MOST_ADAPTERS: usize = 32;
/// Longest name.
const LONGEST_NAME: usize = 47;

/// A profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// The node.
    #[serde(default)]
    pub node: NodeProfile,
    /// Its partitions.
    #[serde(default, rename = "partition")]
    pub partitions: Vec<PartitionProfile>,
}

/// The node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodeProfile {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Processors; those of the host if nothing is said.
    pub processors: Option<Count>,
    /// Memory that all partitions that run have together; as much as the host gives if nothing is said.
    pub memory: Option<Bytes>,
    /// Networks with `uplink=SWITCH`: ways out of the node's switches, as `rhyp run --net` has them.
    #[serde(default)]
    pub net: Vec<String>,
    /// The control socket.
    pub control: Option<PathBuf>,
    /// Partitions' pages of the same contents are kept once, copy-on-write; yes if nothing is said.
    pub share_pages: Option<bool>,
}

/// How a partition has its processors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Processors of its own.
    Dedicated,
    /// Its entitlement and no more.
    Capped,
    /// Its entitlement, and by its weight of what others leave.
    Uncapped,
}

fn yes() -> bool {
    true
}
fn one() -> Span<Count> {
    Span::of(Count(1))
}
fn one_thread() -> u32 {
    1
}
fn one_gib() -> Span<Bytes> {
    Span::of(Bytes(1 << 30))
}

/// A partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PartitionProfile {
    /// Its name.
    pub name: String,
    /// Its number, 1 to 65534; its place in the file if nothing is said.
    pub number: Option<u32>,
    /// It starts with the node.
    #[serde(default = "yes")]
    pub autostart: bool,
    /// Partitions of lower order start before those of a higher one.
    #[serde(default)]
    pub order: u32,
    /// Virtual cores.
    #[serde(default = "one")]
    pub processors: Span<Count>,
    /// Threads of each.
    #[serde(default = "one_thread")]
    pub threads: u32,
    /// Memory.
    #[serde(default = "one_gib")]
    pub memory: Span<Bytes>,
    /// How it has its processors: dedicated, or, when there is an entitlement, uncapped, if nothing is said.
    pub mode: Option<Mode>,
    /// Processors that it is entitled to in each window.
    pub entitlement: Option<Span<Hundredths>>,
    /// Weight, 0 to 255, by which it shares what others leave.
    pub weight: Option<u8>,
    /// Lends dedicated processors that have nothing to do.
    pub donate: Option<bool>,
    /// Kernel.
    pub kernel: Option<PathBuf>,
    /// Firmware instead of the built-in one.
    pub firmware: Option<PathBuf>,
    /// Initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    pub append: Option<String>,
    /// Processor model.
    pub cpu: Option<String>,
    /// Execution engine.
    pub accel: Option<String>,
    /// Address translation to offer.
    pub mmu: Option<String>,
    /// Interrupt controllers to offer.
    pub irqchip: Option<String>,
    /// File of the non-volatile memory.
    pub nvram: Option<PathBuf>,
    /// Disks.
    #[serde(default)]
    pub disk: Vec<String>,
    /// Networks.
    #[serde(default)]
    pub net: Vec<String>,
    /// Directories.
    #[serde(default)]
    pub share: Vec<String>,
    /// Other devices.
    #[serde(default)]
    pub device: Vec<String>,
    /// Virtual SCSI client adapters: the partition that serves each.
    #[serde(default)]
    pub vscsi_client: Vec<String>,
    /// Virtual SCSI server adapters: the partition that each serves.
    #[serde(default)]
    pub vscsi_server: Vec<String>,
    /// Servers of virtual terminals: the partition whose console each may connect to, or "*" for all others.
    #[serde(default)]
    pub vty_server: Vec<String>,
    /// Orders for cloud-init.
    pub cloud_init: Option<String>,
    /// Whether its pages are among those that are kept once (`share-pages` of the node); yes if nothing is said.
    pub share_pages: Option<bool>,
    /// Ends when the guest reboots.
    #[serde(default)]
    pub no_reboot: bool,
}

impl PartitionProfile {
    /// How it has its processors.
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or(if self.entitlement.is_some() { Mode::Uncapped } else { Mode::Dedicated })
    }

    /// What it is given with this many cores and this much entitlement.
    pub fn share(&self, cores: u32, entitled: u32) -> Share {
        let sharing = match self.mode() {
            Mode::Dedicated => Sharing::Dedicated { donate: self.donate.unwrap_or(false) },
            Mode::Capped => Sharing::Shared { entitled, weight: None },
            Mode::Uncapped => Sharing::Shared { entitled, weight: Some(self.weight.unwrap_or(USUAL_WEIGHT)) },
        };
        Share { cores, threads: self.threads, sharing }
    }

    /// Hundredths of a processor without which it does not start.
    pub fn least(&self) -> u32 {
        match self.entitlement {
            Some(e) => e.min.0,
            None => self.processors.min.0.saturating_mul(WHOLE),
        }
    }
}

/// What is wrong with a profile, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Way to what is wrong.
    pub path: Vec<Step>,
    /// What is wrong and what would be right.
    pub text: String,
}

impl Mistake {
    /// In a key of a partition (`index` of it, if it is a list).
    pub fn partition(n: usize, key: &str, index: Option<usize>, text: impl Into<String>) -> Self {
        let mut path = vec![Step::key("partition"), Step::Index(n), Step::key(key)];
        path.extend(index.map(Step::Index));
        Mistake { path, text: text.into() }
    }

    /// In a key of the node.
    pub fn node(key: &str, index: Option<usize>, text: impl Into<String>) -> Self {
        let mut path = vec![Step::key("node"), Step::key(key)];
        path.extend(index.map(Step::Index));
        Mistake { path, text: text.into() }
    }
}

/// A profile's file as it was read, to tell lines.
pub struct Source {
    name: String,
    text: String,
    format: Format,
}

impl Source {
    /// Reads a file; JSON if its name ends so.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => format!("{name}: there is no such file"),
            _ => format!("{name}: {e}"),
        })?;
        let format = if path.extension().is_some_and(|e| e == "json") { Format::Json } else { Format::Toml };
        Ok(Source { name, text, format })
    }

    /// One line: file, line, what is wrong.
    pub fn complain(&self, m: &Mistake) -> String {
        let line = locate::line(&self.text, self.format, &m.path);
        format!("{}:{line}: {}", self.name, m.text)
    }

    /// The profile, if it is one; else one line that names file and line.
    pub fn profile(&self) -> Result<Profile, String> {
        let at = |line: usize, text: &str| {
            let text = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            format!("{}:{line}: {text}", self.name)
        };
        let profile: Profile = match self.format {
            Format::Toml => toml::from_str(&self.text).map_err(|e| {
                let offset = e.span().map_or(0, |s| s.start);
                at(locate::line_of(&self.text, offset), e.message())
            })?,
            Format::Json => serde_json::from_str(&self.text).map_err(|e| {
                let text = e.to_string();
                let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(t, _)| t);
                at(e.line().max(1), text)
            })?,
        };
        match check(&profile) {
            Ok(()) => Ok(profile),
            Err(m) => Err(self.complain(&m)),
        }
    }
}

/// What does not go together in a profile.
pub fn check(p: &Profile) -> Result<(), Mistake> {
    if p.partitions.is_empty() {
        let text = "there is no partition; right would be [[partition]] with name, kernel, ...";
        return Err(Mistake { path: Vec::new(), text: text.into() });
    }
    if p.node.processors.is_some_and(|c| !(1..=1024).contains(&c.0)) {
        return Err(Mistake::node("processors", None, "a node has 1 to 1024 processors"));
    }
    for (n, part) in p.partitions.iter().enumerate() {
        check_names(p, n, part)?;
        check_sizes(n, part)?;
        check_share(n, part)?;
        check_joints(p, n, part)?;
    }
    check_sums(p)
}

fn check_names(p: &Profile, n: usize, part: &PartitionProfile) -> Result<(), Mistake> {
    let letters = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = &part.name;
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(letters) {
        let text = format!("name \"{name}\": right would be 1 to {LONGEST_NAME} letters, digits, -, _ or .");
        return Err(Mistake::partition(n, "name", None, text));
    }
    if let Some(other) = p.partitions[..n].iter().position(|o| o.name == *name) {
        let text = format!("name \"{name}\" is that of partition {} already", other + 1);
        return Err(Mistake::partition(n, "name", None, text));
    }
    let number = p.number(n);
    if !(1..=65534).contains(&number) {
        let text = format!("number {number}: right would be 1 to 65534");
        return Err(Mistake::partition(n, "number", None, text));
    }
    if let Some(other) = (0..n).find(|&o| p.number(o) == number) {
        let text = format!("number {number} is that of {} already", p.partitions[other].name);
        return Err(Mistake::partition(n, "number", None, text));
    }
    Ok(())
}

fn check_sizes(n: usize, part: &PartitionProfile) -> Result<(), Mistake> {
    let wrong = |key: &str, text: String| Err(Mistake::partition(n, key, None, text));
    if !matches!(part.threads, 1 | 2 | 4 | 8) {
        return wrong("threads", format!("threads {}: a core has 1, 2, 4 or 8 threads", part.threads));
    }
    if !part.processors.is_ordered() || !part.memory.is_ordered() {
        let key = if part.processors.is_ordered() { "memory" } else { "processors" };
        return wrong(key, format!("{key}: right would be min <= desired <= max"));
    }
    let most = MOST_CPUS / part.threads;
    if part.processors.min.0 == 0 || part.processors.max.0 > most {
        let text = format!("processors: a partition has 1 to {most} cores of {} threads", part.threads);
        return wrong("processors", text);
    }
    if part.memory.max.0 > MOST_MEMORY {
        return wrong("memory", format!("memory {}: a partition has at most 16T", part.memory.max));
    }
    if part.memory.min.0 < LEAST_MEMORY {
        return wrong("memory", format!("memory {}: a partition has at least 64M", part.memory.min));
    }
    Ok(())
}

fn check_share(n: usize, part: &PartitionProfile) -> Result<(), Mistake> {
    let wrong = |key: &str, text: String| Err(Mistake::partition(n, key, None, text));
    let mode = part.mode();
    let Some(e) = part.entitlement else {
        if mode != Mode::Dedicated {
            return wrong("mode", "a partition that shares needs an entitlement, for example 0.25".into());
        }
        if part.weight.is_some() {
            return wrong("weight", "weight belongs to mode = \"uncapped\" with an entitlement".into());
        }
        return Ok(());
    };
    if mode == Mode::Dedicated {
        return wrong("entitlement", "entitlement belongs to mode = \"capped\" or \"uncapped\"".into());
    }
    if part.donate.is_some() {
        return wrong("donate", "donate belongs to mode = \"dedicated\"".into());
    }
    if mode == Mode::Capped && part.weight.is_some() {
        return wrong("weight", "weight belongs to mode = \"uncapped\"".into());
    }
    if !e.is_ordered() {
        return wrong("entitlement", "entitlement: right would be min <= desired <= max".into());
    }
    let cores = part.processors.desired.0;
    let (least, most) = (Hundredths(cores * LEAST_ENTITLEMENT), Hundredths(cores * WHOLE));
    if !(least..=most).contains(&e.desired) {
        let text = format!("entitlement {}: {cores} virtual processors take {least} to {most}", e.desired);
        return wrong("entitlement", text);
    }
    Ok(())
}

/// Whether the adapters that lead to other partitions have partners there.
fn check_joints(p: &Profile, n: usize, part: &PartitionProfile) -> Result<(), Mistake> {
    let lists = [
        ("vscsi-client", &part.vscsi_client),
        ("vscsi-server", &part.vscsi_server),
        ("vty-server", &part.vty_server),
    ];
    for (key, list) in lists {
        if list.len() > MOST_ADAPTERS {
            let text = format!("{key}: a partition has at most {MOST_ADAPTERS} such adapters");
            return Err(Mistake::partition(n, key, None, text));
        }
        for (i, name) in list.iter().enumerate() {
            let wrong = |text: String| Err(Mistake::partition(n, key, Some(i), text));
            let others = || p.partitions.iter().map(|o| &*o.name).filter(|o| *o != part.name);
            if key == "vty-server" && name == ALL {
                continue;
            }
            let Some(other) = p.partitions.iter().find(|o| o.name == *name && o.name != part.name) else {
                let names = others().collect::<Vec<_>>().join(", ");
                return wrong(format!("{key} \"{name}\": right would be another partition: {names}"));
            };
            // The n-th adapter here that names the other goes with the n-th there that names this one.
            let (back, far) = match key {
                "vscsi-client" => ("vscsi-server", &other.vscsi_server),
                "vscsi-server" => ("vscsi-client", &other.vscsi_client),
                _ => continue,
            };
            let here = list[..=i].iter().filter(|o| *o == name).count();
            if far.iter().filter(|o| **o == part.name).count() < here {
                return wrong(format!("{key} \"{name}\": {name} has no {back} = [\"{}\"] for it", part.name));
            }
        }
    }
    Ok(())
}

/// Whether everything that starts with the node fits into it.
fn check_sums(p: &Profile) -> Result<(), Mistake> {
    let have = p.processors().saturating_mul(WHOLE);
    let (mut taken, mut bytes) = (0u32, 0u64);
    for (n, part) in p.partitions.iter().enumerate().filter(|(_, part)| part.autostart) {
        let key = if part.entitlement.is_some() { "entitlement" } else { "processors" };
        taken = taken.saturating_add(part.least());
        if taken > have {
            let (wants, left) = (Hundredths(part.least()), Hundredths(have - (taken - part.least())));
            let text = format!(
                "{} wants {wants} processors and {left} of the node's {} are left; right would be less, \
                 an entitlement, or autostart = false",
                part.name,
                Hundredths(have)
            );
            return Err(Mistake::partition(n, key, None, text));
        }
        bytes = bytes.saturating_add(part.memory.min.0);
        if let Some(most) = p.node.memory.filter(|m| bytes > m.0) {
            let text = format!("{} is the partition with which {most} of memory are too little", part.name);
            return Err(Mistake::partition(n, "memory", None, text));
        }
    }
    Ok(())
}

impl Profile {
    /// Processors of the node.
    pub fn processors(&self) -> u32 {
        let host = || std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        self.node.processors.map_or_else(host, |c| c.0)
    }

    /// The cables between virtual SCSI adapters: client's and server's partition, in the order of the clients.
    pub fn cables(&self) -> Vec<(usize, usize)> {
        let place = |name: &String| self.partitions.iter().position(|o| o.name == *name);
        let clients = self.partitions.iter().enumerate();
        clients.flat_map(|(n, c)| c.vscsi_client.iter().filter_map(move |s| Some((n, place(s)?)))).collect()
    }

    /// The number of a partition.
    pub fn number(&self, n: usize) -> u32 {
        self.partitions[n].number.unwrap_or(n as u32 + 1)
    }
}
