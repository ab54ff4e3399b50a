//! Debian packages unpacked as dpkg would have left them before configuring, and dpkg's records of that, without root.
//!
//! Owners other than the caller and set-id bits cannot be given to files without root; they are listed for the guest.

use crate::error::{GuestsError, Result, at};
use md5::{Digest, Md5};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use tar::EntryType;

/// Directories that are links into `/usr`.
const MERGED: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];
/// Files of a package's control area that are not kept.
const NOT_KEPT: &[&str] = &["control"];

/// A file system tree under construction.
pub(crate) struct Tree {
    root: PathBuf,
    status: String,
    extended: String,
    file_triggers: String,
    named_triggers: BTreeMap<String, String>,
    owners: String,
    preinsts: Vec<String>,
    packages: usize,
}

/// What a package says about itself that matters here.
struct Control {
    text: String,
    package: String,
    architecture: String,
    multi_arch_same: bool,
}

impl Control {
    fn parse(text: String) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
            line.map(|v| v.trim().to_owned())
        };
        // Becomes part of file names.
        let plain = |s: &String| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let package = field("Package").filter(plain)?;
        let architecture = field("Architecture").filter(plain)?;
        let multi_arch_same = field("Multi-Arch").as_deref() == Some("same");
        Some(Self { text: text.trim_end().to_owned(), package, architecture, multi_arch_same })
    }

    /// How dpkg names the package in its records.
    fn record_name(&self) -> String {
        if self.multi_arch_same {
            format!("{}:{}", self.package, self.architecture)
        } else {
            self.package.clone()
        }
    }
}

impl Tree {
    /// An empty tree in a directory that exists.
    pub(crate) fn new(root: &Path) -> Result<Self> {
        for base in ["bin", "sbin", "lib", "lib64"] {
            let to = root.join("usr").join(base);
            fs::create_dir_all(&to).map_err(at(&to))?;
            let link = root.join(base);
            symlink(format!("usr/{base}"), &link).map_err(at(&link))?;
        }
        for dir in ["info", "updates", "triggers", "alternatives", "parts"] {
            let dir = root.join("var/lib/dpkg").join(dir);
            fs::create_dir_all(&dir).map_err(at(&dir))?;
        }
        Ok(Self {
            root: root.to_path_buf(),
            status: String::new(),
            extended: String::new(),
            file_triggers: String::new(),
            named_triggers: BTreeMap::new(),
            owners: String::new(),
            preinsts: Vec::new(),
            packages: 0,
        })
    }

    /// Number of packages.
    pub(crate) fn packages(&self) -> usize {
        self.packages
    }

    /// Packages with a script to run before they are configured, in order.
    pub(crate) fn preinsts(&self) -> &[String] {
        &self.preinsts
    }

    /// Lines `UID GID MODE PATH` of files whose owner or set-id bits the guest has to set.
    pub(crate) fn owners(&self) -> &str {
        &self.owners
    }

    /// Unpacks a package; `wanted` if it was asked for and not only depended on.
    pub(crate) fn add(&mut self, deb: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
        let bad = |what: &str| GuestsError::BadFile { path: deb.to_path_buf(), what: what.to_owned() };
        let mut control = None;
        let mut scripts = Vec::new();
        let mut stream = DebTar::open("--ctrl-tarfile", deb)?;
        for entry in stream.archive.entries().map_err(at(deb))? {
            let mut entry = entry.map_err(at(deb))?;
            let name = entry.path().map_err(at(deb))?.file_name().map(|n| n.to_string_lossy().into_owned());
            let (Some(name), EntryType::Regular) = (name, entry.header().entry_type()) else { continue };
            let mode = entry.header().mode().map_err(at(deb))? & 0o777;
            let mut data = Vec::new();
            entry.read_to_end(&mut data).map_err(at(deb))?;
            if name == "control" {
                control = Control::parse(String::from_utf8_lossy(&data).into_owned());
            }
            scripts.push((name, mode, data));
        }
        stream.finish(deb)?;
        let control = control.ok_or_else(|| bad("no usable control file in it"))?;
        let info = self.root.join("var/lib/dpkg/info");
        let record = control.record_name();
        let mut conffiles = Vec::new();
        for (name, mode, data) in scripts {
            let text = || String::from_utf8_lossy(&data).into_owned();
            match name.as_str() {
                "conffiles" => conffiles = text().lines().map(str::to_owned).collect(),
                "triggers" => self.triggers(&text(), &record),
                "preinst" => self.preinsts.push(record.clone()),
                _ => {}
            }
            if !NOT_KEPT.contains(&name.as_str()) {
                write(&info.join(format!("{record}.{name}")), mode, &data)?;
            }
        }
        let list = self.unpack(deb)?;
        write(&info.join(format!("{record}.list")), 0o644, list.as_bytes())?;
        self.record(&control, &conffiles, wanted(&control.package))
    }

    /// Adds a package to the records.
    fn record(&mut self, control: &Control, conffiles: &[String], wanted: bool) -> Result<()> {
        let mut lines = control.text.lines();
        let _ = writeln!(self.status, "{}", lines.next().unwrap_or_default());
        self.status.push_str("Status: install ok unpacked\n");
        lines.for_each(|l| {
            let _ = writeln!(self.status, "{l}");
        });
        let mut sums = String::new();
        for file in conffiles.iter().filter(|f| f.starts_with('/')) {
            let path = self.place(Path::new(file));
            if let Ok(data) = path.map_or_else(|| Ok(Vec::new()), fs::read) {
                let _ = write!(sums, " {file} ");
                for byte in Md5::digest(&data) {
                    let _ = write!(sums, "{byte:02x}");
                }
                sums.push('\n');
            }
        }
        if !sums.is_empty() {
            let _ = write!(self.status, "Conffiles:\n{sums}");
        }
        self.status.push('\n');
        if !wanted {
            let (package, architecture) = (&control.package, &control.architecture);
            let architecture = if architecture == "all" { "ppc64el" } else { architecture };
            let _ = writeln!(
                self.extended,
                "Package: {package}\nArchitecture: {architecture}\nAuto-Installed: 1\n"
            );
        }
        self.packages += 1;
        Ok(())
    }

    /// Notes what a package wants to be told of.
    fn triggers(&mut self, text: &str, record: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(verb), Some(name)) = (words.next(), words.next()) else { continue };
            let suffix = match verb {
                "interest" | "interest-await" => "",
                "interest-noawait" => "/noawait",
                _ => continue,
            };
            if name.starts_with('/') {
                let _ = writeln!(self.file_triggers, "{name} {record}{suffix}");
            } else if !name.contains('/') {
                let list = self.named_triggers.entry(name.to_owned()).or_default();
                let _ = writeln!(list, "{record}{suffix}");
            }
        }
    }

    /// Where a path of a package goes: below the root, through the links into `/usr`. `None` if it climbs out.
    fn place(&self, path: &Path) -> Option<PathBuf> {
        use std::path::Component;
        let mut out = self.root.clone();
        let mut first = true;
        for part in path.components() {
            match part {
                Component::Normal(name) => {
                    if first && name.to_str().is_some_and(|n| MERGED.contains(&n)) {
                        out.push("usr");
                    }
                    first = false;
                    out.push(name);
                }
                Component::RootDir | Component::CurDir => {}
                _ => return None,
            }
        }
        Some(out)
    }

    /// Unpacks a package's files; answers the list of its paths as dpkg keeps it.
    fn unpack(&mut self, deb: &Path) -> Result<String> {
        let bad = |what: String| GuestsError::BadFile { path: deb.to_path_buf(), what };
        let mut list = String::new();
        let mut stream = DebTar::open("--fsys-tarfile", deb)?;
        for entry in stream.archive.entries().map_err(at(deb))? {
            let mut entry = entry.map_err(at(deb))?;
            let path = entry.path().map_err(at(deb))?.into_owned();
            let name = path.to_str().ok_or_else(|| bad("a file name in it is not UTF-8".into()))?;
            let name = name.trim_start_matches('.').trim_matches('/').to_owned();
            let _ = writeln!(list, "/{}", if name.is_empty() { "." } else { &name });
            let to = self.place(&path).ok_or_else(|| bad(format!("{name} is not a path for a package")))?;
            let header = entry.header().clone();
            let mode = header.mode().map_err(at(deb))? & 0o7777;
            let link = entry.link_name().map_err(at(deb))?.map(std::borrow::Cow::into_owned);
            match (header.entry_type(), link) {
                (EntryType::Directory, _) => {
                    if !to.is_dir() {
                        fs::create_dir_all(&to).map_err(at(&to))?;
                    }
                    let is_link = to.symlink_metadata().is_ok_and(|m| m.is_symlink());
                    if !is_link {
                        let mode = fs::Permissions::from_mode(mode & 0o1777 | 0o700);
                        fs::set_permissions(&to, mode).map_err(at(&to))?;
                    }
                }
                (EntryType::Regular | EntryType::Continuous, _) => {
                    let mut file = create(&to, mode & 0o777 | 0o600)?;
                    std::io::copy(&mut entry, &mut file).map_err(at(&to))?;
                }
                (EntryType::Symlink, Some(target)) => {
                    remove(&to)?;
                    symlink(target, &to).map_err(at(&to))?;
                    // Links have no mode, and their owner is nobody's business.
                    continue;
                }
                (EntryType::Link, Some(target)) => {
                    let from = self.place(&target).ok_or_else(|| bad(format!("{name}: bad link")))?;
                    remove(&to)?;
                    fs::hard_link(from, &to).map_err(at(&to))?;
                    continue;
                }
                (kind, _) => return Err(bad(format!("{name} is a special file ({kind:?})"))),
            }
            let (uid, gid) = (header.uid().map_err(at(deb))?, header.gid().map_err(at(deb))?);
            let kept = if header.entry_type().is_dir() { 0o700 } else { 0o600 };
            if uid != 0 || gid != 0 || mode & 0o6000 != 0 || mode & kept != kept {
                let _ = writeln!(self.owners, "{uid} {gid} {mode:o} /{name}");
            }
        }
        stream.finish(deb)?;
        Ok(list)
    }

    /// Writes dpkg's and apt's records.
    pub(crate) fn write_records(&self) -> Result<()> {
        let dpkg = self.root.join("var/lib/dpkg");
        write(&dpkg.join("status"), 0o644, self.status.as_bytes())?;
        write(&dpkg.join("available"), 0o644, b"")?;
        write(&dpkg.join("info/format"), 0o644, b"1\n")?;
        write(&dpkg.join("triggers/File"), 0o644, self.file_triggers.as_bytes())?;
        for (name, text) in &self.named_triggers {
            write(&dpkg.join("triggers").join(name), 0o644, text.as_bytes())?;
        }
        let apt = self.root.join("var/lib/apt");
        fs::create_dir_all(&apt).map_err(at(&apt))?;
        write(&apt.join("extended_states"), 0o644, self.extended.as_bytes())
    }

    /// Writes a file of our own.
    pub(crate) fn file(&self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        let to = self.place(Path::new(path)).unwrap_or_else(|| self.root.join("ignored"));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        write(&to, mode, data)
    }
}

/// One of the two archives in a package, as dpkg-deb hands it out.
struct DebTar {
    child: Child,
    archive: tar::Archive<ChildStdout>,
}

impl DebTar {
    fn open(which: &str, deb: &Path) -> Result<Self> {
        let program = Path::new("dpkg-deb");
        let mut child = Command::new(program)
            .arg(which)
            .arg(deb)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(at(program))?;
        let out = child
            .stdout
            .take()
            .ok_or(GuestsError::Program { program: "dpkg-deb", detail: "it has no output".to_owned() })?;
        Ok(Self { child, archive: tar::Archive::new(out) })
    }

    fn finish(self, deb: &Path) -> Result<()> {
        let Self { mut child, archive } = self;
        // What follows the archive's end is padding.
        let mut rest = archive.into_inner();
        std::io::copy(&mut rest, &mut std::io::sink()).map_err(at(deb))?;
        let status = child.wait().map_err(at(deb))?;
        if status.success() {
            return Ok(());
        }
        Err(GuestsError::Program { program: "dpkg-deb", detail: format!("{}: {status}", deb.display()) })
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(at(path)(e)),
        _ => Ok(()),
    }
}

/// A new file in the place of what is there.
fn create(path: &Path, mode: u32) -> Result<fs::File> {
    if path.symlink_metadata().is_ok() {
        remove(path)?;
    }
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let file = file.map_err(at(path))?;
    // The process' mask has taken bits away.
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(at(path))?;
    Ok(file)
}

fn write(path: &Path, mode: u32, data: &[u8]) -> Result<()> {
    create(path, mode)?.write_all(data).map_err(at(path))
}

/// The packages that were asked for, for [`Tree::add`].
pub(crate) fn wanted(packages: &[&str]) -> BTreeSet<String> {
    packages.iter().map(|p| (*p).to_owned()).collect()
}
