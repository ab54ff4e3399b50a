//! A private apt for ppc64el packages: the host's own configuration, keyrings and proxies, our own lists and archives.
//!
//! apt is started with a configuration file that is read after the host's and redirects everything apt writes into
//! the cache; nothing of the host is changed and no root is needed. The sources are derived from those of the host:
//! each Debian archive the host uses is asked for the suites of Debian 12 and its backports, under the keyring the
//! host names for it, so signatures are checked as the host would check them. Third-party sources take no part.

use crate::error::{GuestsError, Result, at};
use crate::progress::{Progress, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Lists older than this are renewed before something new is fetched.
const LISTS_ARE_FRESH_FOR: Duration = Duration::from_secs(24 * 3600);

/// Keyring of the Debian archive, used when the host's source entry names none.
const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The Debian release guests are taken from unless another is asked for.
pub(crate) const RELEASE: &str = "bookworm";

/// Suite names by which a source that was never updated is taken for one of Debian's.
const DEBIAN_SUITES: &[&str] = &[
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// Fields of one package record, by name.
pub(crate) type Record = BTreeMap<String, String>;

/// The private apt, set up and with lists.
pub(crate) struct Apt {
    root: PathBuf,
    progress: Progress,
    updated_now: bool,
}

impl Apt {
    /// Sets the private apt up under `root`; fetches the lists if there are none or they are old.
    ///
    /// # Errors
    /// [`GuestsError::NoApt`] or [`GuestsError::NoDebianSource`] if the host cannot serve, others as they come.
    pub(crate) fn open(root: PathBuf, progress: Progress) -> Result<Self> {
        Self::open_release(root, RELEASE, progress)
    }

    /// As [`Apt::open`] for a release of the caller's choice; each needs a root of its own.
    ///
    /// # Errors
    /// As [`Apt::open`].
    pub(crate) fn open_release(root: PathBuf, release: &str, progress: Progress) -> Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            if !in_path(program) {
                return Err(GuestsError::NoApt { missing: program });
            }
        }
        let sources = derive_sources(&host_targets()?, release, &|path| fs::read_to_string(path).ok());
        if sources.is_empty() {
            return Err(GuestsError::NoDebianSource);
        }
        for dir in ["state/lists/partial", "cache/archives/partial", "sources"] {
            let dir = root.join(dir);
            fs::create_dir_all(&dir).map_err(at(&dir))?;
        }
        write_file(&root.join("state/status"), "")?;
        write_file(&root.join("apt.conf"), &configuration(&root))?;
        let sources_path = root.join("sources/rhyp.sources");
        let same = fs::read_to_string(&sources_path).is_ok_and(|old| old == sources);
        write_file(&sources_path, &sources)?;
        let mut apt = Self { root, progress, updated_now: false };
        if !same || !apt.lists_are_fresh() {
            apt.update()?;
        }
        Ok(apt)
    }

    /// All versions of a package, newest first; fetches the lists again if `accept` finds none good.
    pub(crate) fn find(&mut self, package: &str, accept: impl Fn(&Record) -> bool) -> Result<Record> {
        loop {
            let text = self.read("apt-cache", &["show", package]).unwrap_or_default();
            if let Some(record) = parse_records(&text).into_iter().find(|record| accept(record)) {
                return Ok(record);
            }
            if self.updated_now {
                return Err(GuestsError::NotFound {
                    package: package.to_owned(),
                    detail: self.last_complaint(),
                });
            }
            self.update()?;
        }
    }

    /// Downloads one package in the given version into `dir` and returns the file.
    pub(crate) fn download(
        &mut self,
        package: &str,
        version: &str,
        dir: &Path,
        what: &str,
    ) -> Result<PathBuf> {
        let step = self.progress.step(what);
        let spec = format!("{package}={version}");
        self.get(&["download", &spec], dir, &step)?;
        only_deb(dir)
    }

    /// Downloads packages and all they depend on; returns the files.
    pub(crate) fn download_closure(
        &mut self,
        packages: &[&str],
        dir: &Path,
        what: &str,
    ) -> Result<Vec<PathBuf>> {
        for package in packages {
            self.find(package, |_| true)?;
        }
        let step = self.progress.step(what);
        let partial = dir.join("partial");
        fs::create_dir_all(&partial).map_err(at(&partial))?;
        let archives = format!("Dir::Cache::archives={}", dir.display());
        let mut arguments =
            vec!["-o", &archives, "install", "--download-only", "--yes", "--no-install-recommends"];
        arguments.extend_from_slice(packages);
        self.get(&arguments, dir, &step)?;
        debs(dir)
    }

    /// Downloads packages and all they depend on into `dir`, where what is there already stays and is used; returns
    /// their files in the order in which apt would install them.
    pub(crate) fn download_in_order(
        &mut self,
        packages: &[&str],
        dir: &Path,
        what: &str,
    ) -> Result<Vec<PathBuf>> {
        let step = self.progress.step(what);
        let partial = dir.join("partial");
        fs::create_dir_all(&partial).map_err(at(&partial))?;
        let archives = format!("Dir::Cache::archives={}", dir.display());
        let mut arguments = vec!["-o", &archives, "--yes", "--no-install-recommends"];
        let plan = [&arguments[..], &["install", "--simulate", "-qq"], packages].concat();
        let files: Vec<PathBuf> =
            self.read("apt-get", &plan)?.lines().filter_map(planned_file).map(|f| dir.join(f)).collect();
        arguments.extend(["install", "--download-only"]);
        arguments.extend_from_slice(packages);
        self.get(&arguments, dir, &step)?;
        match files.iter().find(|f| !f.is_file()) {
            Some(f) => {
                Err(GuestsError::BadFile { path: f.clone(), what: "apt-get did not download it".to_owned() })
            }
            None => Ok(files),
        }
    }

    /// The folder of the source list.
    pub(crate) fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }

    /// The archives packages come from, as a source list for the guest: its own keyring replaces the host's.
    pub(crate) fn sources_for_guest(&self) -> Result<String> {
        let path = self.root.join("sources/rhyp.sources");
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        Ok(guest_sources(&text))
    }

    /// The archives that the host's sources name for Debian 12.
    pub(crate) fn archives(&self) -> Result<Vec<String>> {
        let path = self.root.join("sources/rhyp.sources");
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        Ok(archives(&text, RELEASE))
    }

    /// An archive that has the installer's own packages (udebs), which not every mirror keeps; a package of each kind
    /// is fetched to see.
    pub(crate) fn installer_archive(&self) -> Result<Option<String>> {
        let dir = self.root.join("probe");
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        let fetch = |uri: &str, name: &str| {
            let to = dir.join(name);
            // What is there from before would be kept.
            let _ = fs::remove_file(&to);
            let mut helper = self.command("/usr/lib/apt/apt-helper");
            let output = helper.args(["download-file", uri]).arg(&to).output();
            output.is_ok_and(|o| o.status.success()).then_some(to)
        };
        Ok(self.archives()?.into_iter().find(|archive| {
            let list = format!("{archive}/dists/{RELEASE}/main/debian-installer/binary-ppc64el/Packages.gz");
            let Some(list) = fetch(&list, "list.gz").and_then(|path| fs::File::open(path).ok()) else {
                return false;
            };
            let lines = BufReader::new(flate2::read::GzDecoder::new(list)).lines();
            let file = lines
                .map_while(std::io::Result::ok)
                .find_map(|l| l.strip_prefix("Filename: ").map(str::to_owned));
            file.is_some_and(|file| fetch(&format!("{archive}/{file}"), "package").is_some())
        }))
    }

    /// The host's proxies as lines of apt's configuration, as far as they can be reached from elsewhere.
    pub(crate) fn proxies_for_guest(&self) -> Result<String> {
        Ok(guest_proxies(&self.read("apt-config", &["dump"])?))
    }

    /// Unpacks a package file into `dir`, over what is there.
    pub(crate) fn unpack(&self, deb: &Path, dir: &Path) -> Result<()> {
        let output = Command::new("dpkg-deb")
            .arg("-x")
            .args([deb, dir])
            .stdin(Stdio::null())
            .output()
            .map_err(at(Path::new("dpkg-deb")))?;
        if output.status.success() {
            return Ok(());
        }
        let detail = complaint(&String::from_utf8_lossy(&output.stderr));
        Err(GuestsError::Program { program: "dpkg-deb", detail })
    }

    /// Fetches the lists. A source that fails is no failure yet: only a package that is then missing is one.
    pub(crate) fn update(&mut self) -> Result<()> {
        let step = self.progress.step("fetching the package lists for ppc64el");
        let root = self.root.clone();
        let outcome = self.get(&["update"], &root, &step);
        self.updated_now = true;
        let words = match &outcome {
            Err(GuestsError::Program { detail, .. }) => detail.as_str(),
            _ => "",
        };
        write_file(&self.root.join("complaint"), words)?;
        // Some lists may have come, or old ones may do: a package missing from them brings us here again.
        match outcome {
            Ok(()) | Err(GuestsError::Program { .. }) => write_file(&self.root.join("updated"), ""),
            Err(other) => Err(other),
        }
    }

    /// Whether the lists in use were fetched by an earlier run.
    pub(crate) fn lists_may_be_old(&self) -> bool {
        !self.updated_now
    }

    fn last_complaint(&self) -> String {
        match fs::read_to_string(self.root.join("complaint")) {
            Ok(words) if !words.is_empty() => format!(" ({words})"),
            _ => String::new(),
        }
    }

    fn lists_are_fresh(&self) -> bool {
        let age =
            fs::metadata(self.root.join("updated")).and_then(|m| m.modified()).map(|time| time.elapsed());
        matches!(age, Ok(Ok(age)) if age < LISTS_ARE_FRESH_FOR)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.root.join("apt.conf")).env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn read(&self, program: &'static str, arguments: &[&str]) -> Result<String> {
        let output = self.command(program).args(arguments).output().map_err(at(Path::new(program)))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let detail = complaint(&String::from_utf8_lossy(&output.stderr));
        Err(GuestsError::Program { program, detail })
    }

    /// Runs apt-get in `dir` and follows its machine-readable progress.
    fn get(&self, arguments: &[&str], dir: &Path, step: &Step) -> Result<()> {
        let mut child = self
            .command("apt-get")
            .args(["-qq", "-o", "APT::Status-Fd=1"])
            .args(arguments)
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(at(Path::new("apt-get")))?;
        let mut stderr = child.stderr.take();
        let errors = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(stderr) = &mut stderr {
                // What was read before an error is still worth showing.
                let _ = stderr.read_to_end(&mut bytes);
            }
            bytes
        });
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).split(b'\n').map_while(std::io::Result::ok) {
                if let Some(percent) = status_percent(&String::from_utf8_lossy(&line)) {
                    step.percent(percent);
                }
            }
        }
        let status = child.wait().map_err(at(Path::new("apt-get")))?;
        let errors = errors.join().unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        let detail = complaint(&String::from_utf8_lossy(&errors));
        Err(GuestsError::Program { program: "apt-get", detail })
    }
}

/// The configuration read after the host's own.
fn configuration(root: &Path) -> String {
    let root = root.display();
    // Hooks of the host act on the host's own archives and services: none of them may run for us.
    let mut text = String::new();
    for hook in ["Pre-Invoke", "Post-Invoke", "Post-Invoke-Success", "Post-Invoke-Stats"] {
        let _ = writeln!(text, "#clear APT::Update::{hook};");
    }
    for hook in ["Pre-Invoke", "Post-Invoke", "Pre-Install-Pkgs"] {
        let _ = writeln!(text, "#clear DPkg::{hook};");
    }
    let _ = write!(
        text,
        "#clear APT::Architectures;
APT::Architecture \"ppc64el\";
APT::Architectures:: \"ppc64el\";
#clear APT::Default-Release;
#clear APT::Install-Recommends;
APT::Install-Recommends \"false\";
Acquire::Languages \"none\";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";
Acquire::Retries \"2\";
Dir::State \"{root}/state\";
Dir::State::lists \"{root}/state/lists\";
Dir::State::status \"{root}/state/status\";
Dir::State::extended_states \"{root}/state/extended_states\";
Dir::Cache \"{root}/cache\";
Dir::Cache::archives \"{root}/cache/archives\";
Dir::Cache::pkgcache \"{root}/cache/pkgcache.bin\";
Dir::Cache::srcpkgcache \"{root}/cache/srcpkgcache.bin\";
Dir::Log \"{root}/log\";
Dir::Etc::sourcelist \"/dev/null\";
Dir::Etc::sourceparts \"{root}/sources\";
Dir::Etc::preferences \"/dev/null\";
Dir::Etc::preferencesparts \"/dev/null\";
"
    );
    text
}

/// What the host's apt says about one of its package indices.
#[derive(Debug, Clone, Default)]
struct HostTarget {
    origin: String,
    release: String,
    component: String,
    repository: String,
    /// File and line of the source entry, as `FILE:LINE`.
    entry: String,
}

/// Asks the host's apt, under the host's own configuration, for its package indices.
///
/// What it fetched before it describes in full; of what it never fetched (a fresh machine or container) it only tells
/// the addresses it would fetch.
fn host_targets() -> Result<Vec<HostTarget>> {
    let ask = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("apt-get")
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(at(Path::new("apt-get")))?;
        if !output.status.success() {
            let detail = complaint(&String::from_utf8_lossy(&output.stderr));
            return Err(GuestsError::Program { program: "apt-get", detail });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut targets = described_targets(&ask(&["indextargets", "Created-By: Packages"])?);
    for address in ask(&["update", "--print-uris"])?.lines().filter_map(|line| line.split('\'').nth(1)) {
        if let Some(target) = address_target(address) {
            let known = |t: &HostTarget| t.repository == target.repository && t.release == target.release;
            if !targets.iter().any(known) {
                targets.push(target);
            }
        }
    }
    Ok(targets)
}

/// The index an address `ARCHIVE/dists/SUITE/COMPONENT/binary-ARCHITECTURE/Packages...` stands for.
fn address_target(address: &str) -> Option<HostTarget> {
    let (archive, rest) = address.split_once("/dists/")?;
    let (place, file) = rest.split_once("/binary-")?;
    if !file.contains("/Packages") {
        return None;
    }
    let (release, component) = place.rsplit_once('/')?;
    let (origin, entry) = (String::new(), String::new());
    let repository = format!("{archive}/");
    Some(HostTarget {
        origin,
        release: release.to_owned(),
        component: component.to_owned(),
        repository,
        entry,
    })
}

/// The records of `apt-get indextargets`.
fn described_targets(text: &str) -> Vec<HostTarget> {
    let field = |record: &Record, name: &str| record.get(name).cloned().unwrap_or_default();
    parse_records(text)
        .iter()
        .map(|record| HostTarget {
            origin: field(record, "Origin"),
            release: field(record, "Release"),
            component: field(record, "Component"),
            repository: field(record, "Repo-URI"),
            entry: field(record, "Sourcesentry"),
        })
        .collect()
}

/// Writes the private source list: one entry for each Debian archive of the host and suite we want.
///
/// `read` returns the text of one of the host's source files. The result is empty if no archive is Debian's.
fn derive_sources(targets: &[HostTarget], release: &str, read: &dyn Fn(&str) -> Option<String>) -> String {
    let mut entries = BTreeSet::new();
    for target in targets.iter().filter(|target| is_debian(target)) {
        let security = target.release.contains("security") || target.release.ends_with("/updates");
        let suites: &[&str] = if security { &["-security"] } else { &["", "-updates", "-backports"] };
        let signed_by = signed_by(&target.entry, read);
        for suite in suites {
            let mut entry = format!(
                "Types: deb\nURIs: {}\nSuites: {release}{suite}\nComponents: main\n",
                target.repository
            );
            if !signed_by.is_empty() {
                let _ = writeln!(entry, "Signed-By: {signed_by}");
            }
            entries.insert(entry);
        }
    }
    Vec::from_iter(entries).join("\n")
}

fn is_debian(target: &HostTarget) -> bool {
    if target.component != "main" || target.repository.is_empty() || target.repository.starts_with("cdrom:") {
        return false;
    }
    if !target.origin.is_empty() {
        return target.origin == "Debian" || target.origin == "Debian Backports";
    }
    // Others use Debian's suite names too; for an archive taken for Debian's by mistake the keyring of `signed_by`
    // does not fit, and apt ignores it.
    let (base, kind) = target.release.split_once(['-', '/']).unwrap_or((&target.release, ""));
    let kinds = ["", "updates", "security", "backports", "backports-sloppy", "proposed-updates"];
    DEBIAN_SUITES.contains(&base) && kinds.contains(&kind)
}

/// The value of `Signed-By` for a private entry: the one of the host's entry, else Debian's keyring, else nothing.
fn signed_by(entry: &str, read: &dyn Fn(&str) -> Option<String>) -> String {
    let named = entry.rsplit_once(':').and_then(|(file, line)| {
        let text = read(file)?;
        let line: usize = line.parse().ok()?;
        if file.ends_with(".sources") { stanza_signed_by(&text, line) } else { line_signed_by(&text, line) }
    });
    named.unwrap_or_else(|| {
        if Path::new(DEBIAN_KEYRING).exists() { DEBIAN_KEYRING.to_owned() } else { String::new() }
    })
}

/// `[signed-by=...]` of line `line` (from 1) of a one-line-style source list.
fn line_signed_by(text: &str, line: usize) -> Option<String> {
    let entry = text.lines().nth(line.checked_sub(1)?)?;
    let options = entry.split_once('[')?.1.split_once(']')?.0;
    let value = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="))?;
    Some(value.replace(',', " "))
}

/// `Signed-By:` with its continuation lines of the stanza that reaches to or over line `line` (from 1).
///
/// apt gives the number of the stanza's first line or one near it, so the stanza is found by its extent.
fn stanza_signed_by(text: &str, line: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let blank = |i: usize| lines.get(i).is_none_or(|line| line.trim().is_empty());
    let mut first = line.checked_sub(1)?.min(lines.len().checked_sub(1)?);
    while blank(first) && first + 1 < lines.len() {
        first += 1;
    }
    while first > 0 && !blank(first - 1) {
        first -= 1;
    }
    let end = (first..lines.len()).find(|&i| blank(i)).unwrap_or(lines.len());
    let stanza = lines.get(first..end)?;
    let is_field = |line: &&str| line.to_ascii_lowercase().starts_with("signed-by:");
    let at = stanza.iter().position(is_field)?;
    let mut value = stanza[at]["signed-by:".len()..].trim().to_owned();
    for more in stanza[at + 1..].iter().take_while(|line| line.starts_with([' ', '\t'])) {
        value.push('\n');
        value.push_str(more);
    }
    Some(value)
}

/// Splits text in the form of Debian control files into records; continuation lines are dropped.
fn parse_records(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut record = Record::new();
        for line in paragraph.lines().filter(|line| !line.starts_with([' ', '\t'])) {
            if let Some((name, value)) = line.split_once(':') {
                record.insert(name.to_owned(), value.trim().to_owned());
            }
        }
        if !record.is_empty() {
            records.push(record);
        }
    }
    records
}

/// The archive file of a line `Inst NAME (VERSION SOURCE... [ARCHITECTURE])` of apt's plan.
fn planned_file(line: &str) -> Option<String> {
    let rest = line.strip_prefix("Inst ")?;
    let (name, rest) = rest.split_once(' ')?;
    let (version, rest) = rest.split_once('(')?.1.split_once(' ')?;
    let architecture = rest.split_once('[')?.1.split_once(']')?.0;
    Some(format!("{name}_{}_{architecture}.deb", version.replace(':', "%3a")))
}

/// A source list with the keyring every Debian system has.
fn guest_sources(text: &str) -> String {
    let stanzas = text.split("\n\n").map(|stanza| {
        let fields = |l: &&str| !l.starts_with([' ', '\t']) && !l.starts_with("Signed-By:");
        let kept: Vec<&str> = stanza.lines().filter(|l| !l.is_empty()).filter(fields).collect();
        format!("{}\nSigned-By: {DEBIAN_KEYRING}\n", kept.join("\n"))
    });
    stanzas.collect::<Vec<_>>().join("\n")
}

/// The archives that sources name for a suite, without a slash at their ends.
fn archives(sources: &str, suite: &str) -> Vec<String> {
    let field = |stanza: &str, name: &str| {
        let line = stanza.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        line.map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default()
    };
    let of_suite = |stanza: &&str| field(stanza, "Suites").iter().any(|s| s == suite);
    let uris = sources.split("\n\n").filter(of_suite).flat_map(|stanza| field(stanza, "URIs"));
    uris.map(|uri| uri.trim_end_matches('/').to_owned()).collect()
}

/// Those lines of a dumped configuration that name proxies, but for proxies on the host's own loopback interface.
fn guest_proxies(dump: &str) -> String {
    let proxy = |line: &&str| {
        let mut words = line.splitn(2, ' ');
        let (Some(name), Some(value)) = (words.next(), words.next()) else { return false };
        let mut parts = name.split("::");
        let schemes = ["http", "https", "ftp"];
        let named = parts.next().is_some_and(|p| p.eq_ignore_ascii_case("acquire"))
            && parts.next().is_some_and(|p| schemes.iter().any(|s| p.eq_ignore_ascii_case(s)))
            && parts.next().is_some_and(|p| p.eq_ignore_ascii_case("proxy"));
        let value = value.trim_matches(['"', ';']);
        let host = value.split_once("://").map_or(value, |(_, rest)| rest);
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let local = ["localhost", "127.", "[::1]"].iter().any(|l| host.starts_with(l));
        named && !value.is_empty() && !local
    };
    dump.lines().filter(proxy).map(|line| format!("{line}\n")).collect()
}

/// Percent of a `dlstatus:ITEM:PERCENT:TEXT` line.
fn status_percent(line: &str) -> Option<f64> {
    line.strip_prefix("dlstatus:")?.split(':').nth(1)?.parse().ok()
}

/// Why an apt program failed, on one line: its first error, else its first warning, else its last words.
fn complaint(stderr: &str) -> String {
    let pick = |mark: &str| stderr.lines().find_map(|line| line.strip_prefix(mark)).map(str::trim);
    let words =
        pick("E:").or_else(|| pick("W:")).or_else(|| stderr.lines().rev().find(|l| !l.trim().is_empty()));
    words.unwrap_or("no reason given").trim().to_owned()
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(at(path))
}

/// The package files of a directory, in order of their names.
fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn only_deb(dir: &Path) -> Result<PathBuf> {
    let missing =
        || GuestsError::BadFile { path: dir.to_path_buf(), what: "apt-get left no package here".to_owned() };
    debs(dir)?.pop().ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_files() {
        let line = "Inst libuuid1 (1:2.38.1-5+deb12u3 Debian:12.11/stable, Debian-Security:12 [ppc64el]) []";
        assert_eq!(planned_file(line).unwrap(), "libuuid1_1%3a2.38.1-5+deb12u3_ppc64el.deb");
        assert_eq!(planned_file("Conf libuuid1 (1 Debian:12 [ppc64el])"), None);
    }

    #[test]
    fn sources_for_a_guest_use_its_keyring() {
        let host = "Types: deb\nURIs: http://x/\nSigned-By: /some/key\n\nTypes: deb\nSigned-By:\n -----BEGIN\n abc\n";
        let want = format!(
            "Types: deb\nURIs: http://x/\nSigned-By: {DEBIAN_KEYRING}\n\nTypes: deb\nSigned-By: {DEBIAN_KEYRING}\n"
        );
        assert_eq!(guest_sources(host), want);
    }

    #[test]
    fn archives_of_a_suite() {
        let sources = "Types: deb\nURIs: http://x/debian/ https://y/d\nSuites: bookworm bookworm-updates\n\n\
            Types: deb\nURIs: http://x/security\nSuites: bookworm-security\n";
        assert_eq!(archives(sources, "bookworm"), ["http://x/debian", "https://y/d"]);
        assert!(archives(sources, "sid").is_empty() && archives("", "bookworm").is_empty());
    }

    #[test]
    fn proxies_for_a_guest_are_those_it_can_reach() {
        let dump = "Acquire \"\";\nAcquire::http::Proxy \"http://cache.example:3142\";\n\
            Acquire::https::Proxy \"http://user:word@127.0.0.1:3128\";\nAcquire::http::Proxy::archive.example \"DIRECT\";\n\
            Acquire::ftp::proxy \"\";\nAcquire::http::Timeout \"30\";\nAcquire::HTTP::Proxy \"http://localhost:1\";\n";
        let want = "Acquire::http::Proxy \"http://cache.example:3142\";\n\
            Acquire::http::Proxy::archive.example \"DIRECT\";\n";
        assert_eq!(guest_proxies(dump), want);
    }

    fn target(origin: &str, release: &str, component: &str, repository: &str, entry: &str) -> HostTarget {
        let owned = |s: &str| s.to_owned();
        HostTarget {
            origin: owned(origin),
            release: owned(release),
            component: owned(component),
            repository: owned(repository),
            entry: owned(entry),
        }
    }

    #[test]
    fn sources_follow_the_hosts_debian_mirrors_only() {
        let targets = [
            target("Debian", "bookworm", "main", "http://mirror.example/debian/", "/e/debian.list:2"),
            target("Debian", "bookworm", "contrib", "http://mirror.example/debian/", "/e/debian.list:2"),
            target("Debian", "bookworm-security", "main", "http://mirror.example/sec/", "/e/debian.list:3"),
            target("", "bookworm", "stable", "http://third.example/", "/e/third.list:1"),
            target("Third", "bookworm", "main", "http://third.example/", "/e/third.list:1"),
            target("", "cloud-sdk-bookworm", "main", "http://third.example/", "/e/third.list:1"),
            target("Debian", "bookworm", "main", "cdrom:[disc]/", "/e/debian.list:4"),
        ];
        let list = "# x\ndeb [arch=amd64 signed-by=/k/a.gpg,/k/b.gpg] http://mirror.example/debian bookworm main\n\
                    deb [signed-by=/k/s.gpg] http://mirror.example/sec bookworm-security main\n";
        let sources = derive_sources(&targets, RELEASE, &|_| Some(list.to_owned()));
        assert!(!sources.contains("third"), "{sources}");
        assert!(!sources.contains("cdrom"), "{sources}");
        let entries: Vec<_> = sources.split("\n\n").collect();
        assert_eq!(entries.len(), 4, "{sources}");
        for suite in ["bookworm", "bookworm-updates", "bookworm-backports"] {
            let wanted = format!(
                "Types: deb\nURIs: http://mirror.example/debian/\nSuites: {suite}\nComponents: main\n\
                 Signed-By: /k/a.gpg /k/b.gpg"
            );
            assert!(entries.iter().any(|e| e.trim() == wanted), "{suite} in {sources}");
        }
        assert!(
            sources.contains("Suites: bookworm-security\nComponents: main\nSigned-By: /k/s.gpg"),
            "{sources}"
        );
    }

    #[test]
    fn a_source_never_updated_is_known_by_its_suite() {
        assert!(is_debian(&target("", "trixie-updates", "main", "http://m/", "")));
        assert!(is_debian(&target("", "stable", "main", "http://m/", "")));
        assert!(!is_debian(&target("", "noble", "main", "http://m/", "")));
        assert!(!is_debian(&target("", "bookworm-pgdg", "main", "http://m/", "")));
        assert!(!is_debian(&target("Ubuntu", "stable", "main", "http://m/", "")));
    }

    #[test]
    fn addresses_tell_archive_suite_and_component() {
        let target =
            address_target("http://m/debian/dists/bookworm/updates/main/binary-amd64/Packages.xz").unwrap();
        assert_eq!(target.repository, "http://m/debian/");
        assert_eq!((target.release.as_str(), target.component.as_str()), ("bookworm/updates", "main"));
        assert!(is_debian(&target));
        for other in
            ["http://m/dists/bookworm/InRelease", "http://m/dists/a/main/dep11/Components-amd64.yml", ""]
        {
            assert!(address_target(other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_key_of_a_stanza_is_found_from_any_of_its_lines() {
        let text =
            "Types: deb\nURIs: a\nSigned-By: /k/1\n\nTypes: deb\nURIs: b\nSigned-By:\n -----BEGIN\n .\n x\n";
        for line in 1..=3 {
            assert_eq!(stanza_signed_by(text, line).as_deref(), Some("/k/1"), "line {line}");
        }
        for line in 4..=40 {
            assert_eq!(stanza_signed_by(text, line).as_deref(), Some("\n -----BEGIN\n .\n x"), "line {line}");
        }
        assert_eq!(stanza_signed_by("", 1), None);
        assert_eq!(stanza_signed_by("Types: deb\n", 0), None);
        assert_eq!(line_signed_by("deb http://m/ bookworm main\n", 1), None);
    }

    #[test]
    fn apts_words_are_understood() {
        assert_eq!(status_percent("dlstatus:2:12.3978:Retrieving file 2 of 2"), Some(12.3978));
        assert_eq!(status_percent("pmstatus:x:1:y"), None);
        assert_eq!(complaint("W: old\nE: first\nE: last\n"), "first");
        assert_eq!(complaint("W: only\n"), "only");
        assert_eq!(complaint("\n"), "no reason given");
        let records =
            parse_records("Package: a\nVersion: 2\nDescription: x\n more\n\nPackage: a\nVersion: 1\n\n");
        assert_eq!(records.len(), 2);
        assert_eq!(records[1]["Version"], "1");
    }

    #[test]
    fn no_hook_of_the_host_survives_and_all_state_is_private() {
        let text = configuration(Path::new("/c"));
        for line in ["#clear APT::Update::Post-Invoke;", "#clear DPkg::Pre-Install-Pkgs;"] {
            assert!(text.contains(line), "{line}");
        }
        for key in ["Dir::State ", "Dir::Cache ", "Dir::State::status ", "Dir::Cache::archives "] {
            assert!(text.contains(&format!("{key}\"/c/")), "{key}");
        }
    }
}
