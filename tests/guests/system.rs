//! Managed systems: several partitions in one process.

use crate::Suite;
use crate::processor::built;
use anyhow::{Context, Result, bail, ensure};
use guest_tests::{Case, Guest, Images, Peer, patience, rhyp_program};
use guests::KernelVersion;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Works for ever, and tells, now and then, what its processor was charged with and how far it came.
const BUSY: &str = "echo USERLAND\n/toil\n";

/// Works for ever.
const LOOP: &str = "echo USERLAND\nwhile :; do :; done\n";

/// A shell.
const SHELL: &str = r#"
export PS1='shell> '
echo USERLAND
while true; do setsid cttyhack sh; done
"#;

/// Ticks of PURR a second.
const PURR_HZ: f64 = 512e6;

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    suite.add_for(Peer::Rhyp, "system::wrong_profiles_are_refused_with_their_line", true, wrong_profiles);
    suite.add_for(Peer::Rhyp, "system::capped_partitions_keep_to_their_entitlement", true, capped);
    suite.add_for(Peer::Rhyp, "system::shares_of_a_minute", false, minute);
    suite.add_for(Peer::Rhyp, "system::surplus_goes_by_weight", true, uncapped);
    suite.add_for(Peer::Rhyp, "system::surplus_of_a_minute", false, surplus_minute);
    suite.add_for(Peer::Rhyp, "system::a_dedicated_processor_is_lent_and_comes_back", true, donation);
    suite.add_for(Peer::Rhyp, "system::a_partition_that_dies_is_no_other_s_business", true, containment);
}

fn wrong_profiles(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = kernel(images)?;
    let head = format!("[[partition]]\nname = \"a\"\nkernel = \"{}\"\n", kernel.display());
    for (text, line, word) in [
        ("entitlement = 1.5\n", 4, "0.05 to 1.00"),
        ("memory = \"1M\"\n", 4, "64M"),
        ("initrd = \"/nonexistent/i\"\n", 4, "no such file"),
        ("net = [\n \"switch=lan\",\n \"usr\"\n]\n", 6, "user"),
        ("disk = [\"/nonexistent/d\"]\n", 4, "no such file"),
        ("cpu = \"powr9\"\n", 4, "power9"),
        ("mmu = \"radish\"\n", 4, "radix"),
    ] {
        let file = case.file("toml", format!("{head}{text}").as_bytes())?;
        let out = Command::new(rhyp_program()?).arg("up").arg(&file).arg("--check").output()?;
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        let at = format!("{}:{line}: ", file.display());
        ensure!(out.status.code() == Some(2), "{text}: status {:?}, {told}", out.status);
        ensure!(told.contains(&at) && told.contains(word), "{text}: {told}");
        ensure!(told.lines().count() == 1, "{text}: {told}");
    }
    let file =
        case.file("toml", head.replace("name = \"a\"", "name = \"a\"\nentitlement = 0.1").as_bytes())?;
    let out = Command::new(rhyp_program()?).arg("up").arg(&file).arg("--check").output()?;
    ensure!(out.status.success(), "a right profile: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

fn kernel(images: &Images) -> Result<PathBuf> {
    Ok(images.kernel(KernelVersion::V6_1).context("no kernel")?.vmlinux.clone())
}

/// Systems that were started.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// A partition of a system under test.
#[derive(Default)]
pub struct Part<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its userland does.
    pub script: &'a str,
    /// Modules that are loaded before.
    pub modules: &'a [&'a str],
    /// More lines of its profile.
    pub profile: &'a str,
}

/// Linux's target over configfs (`$T`): `/dev/vda`, the file `/d/file` of `$SIZE` bytes and `/dev/loop0`, as disks of the
/// served adapter, which stays closed.
pub const THREE_DISKS: &str = r#"
mount -t configfs none /sys/kernel/config
T=/sys/kernel/config/target
mkdir -p $T/ibmvscsis $T/core/iblock_0/disk $T/core/fileio_0/file $T/core/iblock_1/loop
echo udev_path=/dev/vda > $T/core/iblock_0/disk/control
echo fd_dev_name=/d/file,fd_dev_size=$SIZE > $T/core/fileio_0/file/control
echo udev_path=/dev/loop0 > $T/core/iblock_1/loop/control
U=71004000
mkdir -p $T/ibmvscsis/$U/tpgt_1
n=0
for d in iblock_0/disk fileio_0/file iblock_1/loop; do
    echo 1 > $T/core/$d/enable
    mkdir $T/ibmvscsis/$U/tpgt_1/lun/lun_$n
    ln -s $T/core/$d $T/ibmvscsis/$U/tpgt_1/lun/lun_$n/port
    n=$((n+1))
done
"#;

/// Opens the served adapter of `ibmvscsis` (`$T`: configfs's target) to its client, and makes no process until the client
/// has logged in. At the first login Linux allocates the session in a tasklet and takes a mutex there that `fork` takes
/// too (`pcpu_alloc_mutex`): if `fork` has it at that moment the kernel says "scheduling while atomic" and stops. So
/// clients of these tests are switched on when their server is at its shell, or wait for it to open.
pub const OPEN_TO_CLIENT: &str =
    "sleep 5 &\npause=$!\nsleep 1\necho 1 > $T/ibmvscsis/71004000/tpgt_1/enable\nwait $pause\n";

/// A managed system under test.
pub struct Up {
    process: Guest,
    control: PathBuf,
}

impl Up {
    /// Starts partitions `names`, each with `more` in its profile, all with the same userland.
    fn start(case: &mut Case, images: &Images, script: &str, partitions: &[(&str, &str)]) -> Result<Self> {
        let initrd = case.file("initrd", &[])?;
        images.userland(script).host_file("toil", &built("toil")?.join("toil"))?.write(&initrd)?;
        let kernel = kernel(images)?;
        let text = partitions.iter().map(|(name, more)| Self::section(name, &kernel, &initrd, more));
        Self::boot(case, &format!("[node]\nprocessors = 1\n{}", text.collect::<String>()), &[])
    }

    /// Starts partitions of different userlands, with the newest kernel there is.
    pub fn start_parts(case: &mut Case, images: &Images, node: &str, parts: &[Part]) -> Result<Self> {
        let text = Self::profile(case, images, node, parts)?;
        Self::boot(case, &text, &[])
    }

    /// A profile of partitions of different userlands, with the newest kernel there is.
    pub fn profile(case: &mut Case, images: &Images, node: &str, parts: &[Part]) -> Result<String> {
        let mut text = format!("[node]\n{node}\n");
        let newest = images.kernel(KernelVersion::V6_12).or(images.kernel(KernelVersion::V6_1));
        let kernel = newest.context("no kernel")?;
        for p in parts {
            let initrd = case.file("initrd", &[])?;
            images.userland(p.script).modules(kernel, p.modules)?.write(&initrd)?;
            text.push_str(&Self::section(p.name, &kernel.vmlinux, &initrd, p.profile));
        }
        Ok(text)
    }

    /// Part of a profile: a Linux.
    pub fn section(name: &str, kernel: &Path, initrd: &Path, more: &str) -> String {
        format!(
            "[[partition]]\nname = \"{name}\"\nmemory = \"256M\"\nkernel = \"{}\"\ninitrd = \"{}\"\n\
             append = \"console=hvc0 quiet\"\n{more}\n",
            kernel.display(),
            initrd.display()
        )
    }

    /// Starts what a profile says, with more options of `rhyp up`.
    pub fn boot(case: &mut Case, text: &str, options: &[&str]) -> Result<Self> {
        let profile = case.file("toml", text.as_bytes())?;
        // A socket's name has to be short.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let control = std::env::temp_dir().join(format!("rhyp-{}-{number}.sock", std::process::id()));
        let mut words: Vec<OsString> = vec!["up".into(), profile.into(), "--control".into()];
        words.push(control.clone().into());
        words.extend(options.iter().map(OsString::from));
        let process = case.start_program(&rhyp_program()?, &words)?;
        let up = Up { process, control };
        let deadline = Instant::now() + patience();
        while !up.control.exists() || up.ask(&["ls"]).is_err() {
            ensure!(Instant::now() < deadline, "no system came up: {}", up.process.stderr());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(up)
    }

    /// A command of the system's.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        let out = Command::new(rhyp_program()?).args(words).arg("--control").arg(&self.control).output()?;
        ensure!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8(out.stdout)?)
    }

    pub fn console(&self, case: &mut Case, name: &str) -> Result<Guest> {
        let control = self.control.as_os_str();
        let words: [OsString; 4] = ["console".into(), name.into(), "--control".into(), control.into()];
        case.start_program(Path::new(&rhyp_program()?), &words)
    }

    /// Waits until `rhyp ls` shows a partition in this state.
    pub fn expect_state(&self, name: &str, state: &str) -> Result<()> {
        let deadline = Instant::now() + patience();
        loop {
            let list = self.ask(&["ls"])?;
            let line = list.lines().find(|l| l.split_whitespace().nth(1) == Some(name));
            if line.is_some_and(|l| l.contains(state)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{name} is not {state}:\n{list}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Bytes of the process's own memory, without its partitions'.
    pub fn anonymous_memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).context("no RssAnon")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Bytes of its proportional set size, partitions and all.
    pub fn proportional_set(&self) -> Result<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:")).context("no Pss")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Hundredths of seconds of processor time that the process has used.
    pub fn ticks(&self) -> Result<u64> {
        self.process.cpu_ticks()
    }

    /// Seconds that its virtual processors had of the host.
    fn processor_time(&self) -> Result<f64> {
        let mut all = 0.0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let dir = task?.path();
            // A thread may end meanwhile.
            let Ok(name) = std::fs::read_to_string(dir.join("comm")) else { continue };
            if name.starts_with("vcpu") {
                let times = std::fs::read_to_string(dir.join("schedstat"))?;
                all += times.split_whitespace().next().context("no time")?.parse::<f64>()? / 1e9;
            }
        }
        Ok(all)
    }

    /// Switches everything off.
    pub fn down(mut self) -> Result<()> {
        self.ask(&["down"])?;
        let status = self.process.wait(patience())?;
        ensure!(status.success(), "rhyp up ended with {status}: {}", self.process.stderr());
        ensure!(!self.control.exists(), "the control socket is left");
        Ok(())
    }
}

/// Uptime and PURR in seconds, as the guest tells them next.
fn purr(console: &mut Guest) -> Result<(f64, f64)> {
    progress(console).map(|[at, purr, _]| (at, purr))
}

/// Uptime and PURR in seconds and how far it came, as the guest tells them next.
fn progress(console: &mut Guest) -> Result<[f64; 3]> {
    let told = console.expect(r"AT ([0-9.]+) PURR ([0-9a-f]+) DONE ([0-9]+)\r?\n", patience())?;
    Ok([told[1].parse()?, u64::from_str_radix(&told[2], 16)? as f64 / PURR_HZ, told[3].parse()?])
}

/// Three that are capped, and what each is entitled to.
const CAPPED: [(&str, f64); 3] = [("half", 0.50), ("third", 0.30), ("fifth", 0.20)];

/// Partitions with these profiles that work for ever, and their consoles.
fn busy(case: &mut Case, images: &Images, profiles: &[(&str, String)]) -> Result<(Up, Vec<Guest>)> {
    let all: Vec<(&str, &str)> = profiles.iter().map(|(name, profile)| (*name, profile.as_str())).collect();
    let up = Up::start(case, images, BUSY, &all)?;
    let mut consoles = Vec::new();
    for (name, _) in all {
        let mut console = up.console(case, name)?;
        console.expect("USERLAND", patience())?;
        consoles.push(console);
    }
    Ok((up, consoles))
}

/// How partitions did over a while, in processors.
struct Did {
    /// By the system's account.
    charged: f64,
    /// By its PURR.
    purr: f64,
    /// What it got done, as a part of all that was done by all of them.
    work: f64,
}

/// How partitions that are [`busy`] do for a minute, and the part of a processor that their virtual processors did not get
/// of the host.
fn a_minute(up: &Up, names: &[&str], consoles: &mut [Guest]) -> Result<(Vec<Did>, f64)> {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut first = Vec::new();
    for console in &mut *consoles {
        // What was compiled and read at first is not the rule.
        (0..5).try_for_each(|_| progress(console).map(drop))?;
        first.push(progress(console)?);
    }
    let (given, start) = (up.processor_time()?, Instant::now());
    let charged = charged(up, names, MINUTE)?;
    let given = (up.processor_time()? - given) / start.elapsed().as_secs_f64();
    let mut rates = Vec::new();
    for (console, [at, had, done]) in consoles.iter_mut().zip(first) {
        let mut now = progress(console)?;
        while now[0] < at + MINUTE.as_secs_f64() {
            now = progress(console)?;
        }
        rates.push([(now[1] - had) / (now[0] - at), (now[2] - done) / (now[0] - at)]);
    }
    let all: f64 = rates.iter().map(|[_, done]| done).sum();
    eprintln!("the host gave {given:.4} of a processor");
    let mut did = Vec::new();
    for ((name, (charged, _)), [purr, done]) in names.iter().zip(charged).zip(rates) {
        let work = done / all;
        eprintln!("{name:<8} charged {charged:.4}, PURR {purr:.4}, work {work:.4}");
        did.push(Did { charged, purr, work });
    }
    Ok((did, (1.0 - given).max(0.0)))
}

/// A minute of three that are capped: each has what it is entitled to and no more, by the system's account, by PURR, and
/// by what it gets done, less the timer interrupts of its kernel, which are as many for a fifth as for a half.
fn minute(case: &mut Case, images: &Images) -> Result<()> {
    let profiles = CAPPED.map(|(name, e)| (name, format!("entitlement = {e:.2}\nmode = \"capped\"")));
    let (up, mut consoles) = busy(case, images, &profiles)?;
    let (did, stolen) = a_minute(&up, &CAPPED.map(|(name, _)| name), &mut consoles)?;
    // While the host has other things to do a partition has its processor and does not get on: what was stolen from one
    // of them may have been stolen from each.
    for ((name, entitled), Did { charged, purr, work }) in CAPPED.iter().zip(did) {
        ensure!(
            (charged / entitled - 1.0).abs() < 0.01,
            "{name} was charged with {charged:.4} of {entitled}"
        );
        ensure!((purr / entitled - 1.0).abs() < 0.01, "{name}'s PURR grew by {purr:.4} of {entitled}");
        let off = 0.02 * entitled;
        ensure!(
            work > (entitled - stolen) / (1.0 - stolen) - off && work < entitled / (1.0 - stolen) + off,
            "{name} did {work:.4} of all that was done, while {stolen:.4} was stolen"
        );
    }
    up.down()
}

/// Three of a tenth each that share the rest of a processor by their weights, and the weights.
const WEIGHED: [(&str, u32); 3] = [("half", 128), ("quarter", 64), ("other", 64)];

/// What [`WEIGHED`] are each entitled to.
const TENTH: f64 = 0.1;

fn weighed() -> [(&'static str, String); 3] {
    WEIGHED.map(|(name, w)| (name, format!("entitlement = {TENTH}\nweight = {w}")))
}

/// The surplus that each of [`WEIGHED`] had is as its weight, give or take.
fn is_by_weight(used: &[f64], what: &str, off: f64) -> Result<()> {
    let surplus: Vec<f64> = used.iter().map(|u| u - TENTH).collect();
    let all: f64 = surplus.iter().sum();
    let weights: u32 = WEIGHED.iter().map(|(_, w)| w).sum();
    for ((name, weight), s) in WEIGHED.iter().zip(&surplus) {
        let due = f64::from(*weight) / f64::from(weights);
        ensure!(
            (s / all - due).abs() < 0.03 * due + off,
            "{name} has {:.4} of the surplus by {what}: {used:.4?}",
            s / all
        );
    }
    Ok(())
}

/// A minute in which the surplus goes by weight: by the system's account, by PURR, and by what is done.
fn surplus_minute(case: &mut Case, images: &Images) -> Result<()> {
    let (up, mut consoles) = busy(case, images, &weighed())?;
    let (did, stolen) = a_minute(&up, &WEIGHED.map(|(name, _)| name), &mut consoles)?;
    let of = |f: fn(&Did) -> f64| did.iter().map(f).collect::<Vec<f64>>();
    is_by_weight(&of(|d| d.charged), "the account", 0.0)?;
    is_by_weight(&of(|d| d.purr), "PURR", 0.0)?;
    is_by_weight(&of(|d| d.work), "what was done", stolen)?;
    up.down()
}

fn capped(case: &mut Case, images: &Images) -> Result<()> {
    let (up, mut consoles) = busy(
        case,
        images,
        &CAPPED.map(|(name, e)| (name, format!("entitlement = {e:.2}\nmode = \"capped\""))),
    )?;
    // All are busy now.
    let mut shares = Vec::new();
    let mut first = Vec::new();
    for console in &mut consoles {
        purr(console)?;
        first.push(purr(console)?);
    }
    // What is there is divided as it was promised, however much of it the host gives.
    let names = CAPPED.map(|(name, _)| name);
    let charged = charged(&up, &names, Duration::from_secs(15))?;
    for ((name, entitled), (used, _)) in CAPPED.iter().zip(&charged) {
        ensure!(*used < 1.03 * entitled, "{name} was charged with {used:.4}");
    }
    for ((console, (at, had)), (name, entitled)) in consoles.iter_mut().zip(first).zip(CAPPED) {
        // What it wrote meanwhile waits to be read: the last of it.
        let (mut now, mut purr_now) = purr(console)?;
        while now < at + 12.0 {
            (now, purr_now) = purr(console)?;
        }
        let share = (purr_now - had) / (now - at);
        // A host with other things to do may give less than was promised; more than the cap is ours to prevent.
        ensure!(
            share < 1.03 * entitled,
            "{name} was charged with {share:.4} of a processor, more than its {entitled}"
        );
        shares.push(share);
    }
    eprintln!("charged {charged:.4?}, by PURR {shares:.4?}");
    ensure!(shares.is_sorted_by(|a, b| a > b), "not by entitlement: {shares:?}");
    up.down()
}

/// What partitions were charged with over a while, in processors, by the system's own clock; and how long each waited
/// for a processor in the mean, in seconds.
fn charged(up: &Up, names: &[&str], while_: Duration) -> Result<Vec<(f64, f64)>> {
    let look = || -> Result<serde_json::Value> { Ok(serde_json::from_str(&up.ask(&["ls", "--json"])?)?) };
    let before = look()?;
    std::thread::sleep(while_);
    let after = look()?;
    let time =
        after["uptime_ns"].as_f64().context("no time")? - before["uptime_ns"].as_f64().context("no time")?;
    let of = |name: &str| {
        let grown = |key: &str| -> Option<f64> {
            let find = |v: &serde_json::Value| {
                let all = v["partitions"].as_array()?.clone();
                all.into_iter().find(|p| p["name"] == *name)?[key].as_f64()
            };
            Some(find(&after)? - find(&before)?)
        };
        let (used, waited) = grown("consumed_ns").zip(grown("waited_ns")).with_context(|| name.to_owned())?;
        Ok((used / time, waited / 1e9 / grown("dispatches").unwrap_or(0.0).max(1.0)))
    };
    names.iter().map(|n| of(n)).collect()
}

/// Three of a tenth each share the rest of a processor by their weights; who comes later has what is promised, and takes
/// nothing of what was promised to them.
fn uncapped(case: &mut Case, images: &Images) -> Result<()> {
    let mut profiles = weighed().to_vec();
    profiles.push(("late", "entitlement = 0.3\nmode = \"capped\"\nautostart = false".into()));
    let profiles: Vec<(&str, &str)> = profiles.iter().map(|(n, p)| (*n, p.as_str())).collect();
    let up = Up::start(case, images, LOOP, &profiles)?;
    for (name, _) in WEIGHED {
        let mut console = up.console(case, name)?;
        console.expect("USERLAND", patience())?;
    }
    let names = ["half", "quarter", "other", "late"];
    let used = charged(&up, &names[..3], Duration::from_secs(15))?;
    let used: Vec<f64> = used.iter().map(|(u, _)| *u).collect();
    let all = used.iter().sum::<f64>() - 3.0 * TENTH;
    ensure!((0.65..0.72).contains(&all), "a surplus of {all:.3}: {used:?}");
    is_by_weight(&used, "the account", 0.0)?;
    up.ask(&["start", "late"])?;
    up.console(case, "late")?.expect("USERLAND", patience())?;
    let used = charged(&up, &names, Duration::from_secs(10))?;
    ensure!((used[3].0 - 0.3).abs() < 0.01, "late has {:.4} of 0.3", used[3].0);
    ensure!(used[..3].iter().all(|(u, _)| *u > 0.099), "some have less than a tenth: {used:?}");
    up.down()
}

/// A dedicated processor that idles works for another partition, and is back at once when there is work.
fn donation(case: &mut Case, images: &Images) -> Result<()> {
    let parts = [
        Part {
            name: "owner",
            script: SHELL,
            profile: "mode = \"dedicated\"\ndonate = true",
            ..Part::default()
        },
        Part {
            name: "busy",
            script: "(while :; do :; done) &\necho USERLAND\nwhile :; do :; done\n",
            profile: "entitlement = 1.0\nprocessors = 2",
            ..Part::default()
        },
    ];
    let up = Up::start_parts(case, images, "processors = 2", &parts)?;
    let mut owner = up.console(case, "owner")?;
    owner.expect("(?s)USERLAND.*shell> ", patience())?;
    up.console(case, "busy")?.expect("USERLAND", patience())?;
    let names = ["owner", "busy"];
    let lent = charged(&up, &names, Duration::from_secs(8))?;
    ensure!(lent[1].0 > 1.7 && lent[0].0 < 0.2, "lent: {lent:?}");
    owner.send("while :; do :; done &\n")?;
    owner.expect("shell> ", patience())?;
    let back = charged(&up, &names, Duration::from_secs(8))?;
    ensure!(back[0].0 > 0.97 && (back[1].0 - 1.0).abs() < 0.03, "taken back: {back:?}");
    owner.send("kill $!\n")?;
    owner.expect("shell> ", patience())?;
    // Short work again and again: each time the processor has to come back.
    owner.send("while :; do usleep 20000; done &\n")?;
    owner.expect("shell> ", patience())?;
    let often = charged(&up, &names, Duration::from_secs(8))?;
    ensure!(often[0].1 < 0.010, "it waits for its processor longer than a window: {often:?}");
    ensure!(often[1].0 > 1.3, "lent between: {often:?}");
    eprintln!("lent {lent:.3?}, taken back {back:.3?}, taken often {often:.4?}");
    up.down()
}

fn containment(case: &mut Case, images: &Images) -> Result<()> {
    let shared = "entitlement = 0.3";
    let up = Up::start(
        case,
        images,
        SHELL,
        &[("good", shared), ("bad", shared), ("late", "autostart = false\nentitlement = 0.1")],
    )?;
    let mut good = up.console(case, "good")?;
    let mut bad = up.console(case, "bad")?;
    good.expect("shell> ", patience())?;
    bad.expect("shell> ", patience())?;
    bad.send("echo c > /proc/sysrq-trigger\n")?;
    bad.expect("Kernel panic", patience())?;
    up.expect_state("bad", "died")?;
    up.expect_state("late", "off")?;
    good.send("echo still he''re\n")?;
    good.expect("still here", patience())?;
    // It can be switched on again, and off without being asked; its console stays.
    ensure!(up.ask(&["start", "good"]).is_err_and(|e| e.to_string().contains("already")));
    ensure!(up.ask(&["start", "nobody"]).is_err_and(|e| e.to_string().contains("good, bad, late")));
    up.ask(&["start", "bad"])?;
    bad.expect("(?s)USERLAND.*shell> ", patience())?;
    up.ask(&["set", "bad", "--weight", "7"])?;
    ensure!(up.ask(&["show", "bad"])?.contains("uncapped 7"));
    up.ask(&["restart", "bad"])?;
    bad.expect("(?s)USERLAND.*shell> ", patience())?;
    up.ask(&["stop", "bad", "--now"])?;
    up.expect_state("bad", "stopped")?;
    good.send("poweroff -f\n")?;
    up.expect_state("good", "powered off")?;
    up.down()
}
