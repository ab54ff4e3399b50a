//! `cargo xtask ten`: what `examples/ten.toml` boots; and a table of what it takes, beside ten QEMUs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use guests::{CacheDir, Guests, Progress};

/// The peer's program.
const QEMU: &str = "qemu-system-ppc64";
/// Set for the process inside of the namespaces.
const INSIDE: &str = "RHYP_TEN_INSIDE";
/// How long ten guests may take until all answer.
const PATIENCE: Duration = Duration::from_secs(1200);
/// How long memory may take to come to rest.
const REST: Duration = Duration::from_secs(180);
/// How long idle processor time is measured.
const IDLE: Duration = Duration::from_secs(20);
/// Most bytes of proportional set size, idle.
const MOST_MEMORY: u64 = 1 << 30;
/// Most of a processor, idle, percent.
const MOST_IDLE: f64 = 10.0;

/// What is wanted beside the files.
#[derive(Default)]
struct Options {
    table: bool,
    peer: bool,
    rhyp: Option<PathBuf>,
}

/// Makes what `examples/ten.toml` names; with `--table` runs it and says what it takes.
pub fn run(root: &Path, words: &[&str]) -> Result<()> {
    let mut o = Options { peer: true, ..Options::default() };
    let mut words_left = words.iter();
    while let Some(word) = words_left.next() {
        match *word {
            "--table" => o.table = true,
            "--no-peer" => o.peer = false,
            "--rhyp" => o.rhyp = Some(words_left.next().context("--rhyp needs a file")?.into()),
            w => bail!("unknown word {w}: --table, --no-peer, --rhyp FILE"),
        }
    }
    let dir = root.join("target/ten");
    if std::env::var_os(INSIDE).is_some() {
        let rhyp = o.rhyp.context("no program")?;
        return measure(root, &dir, &rhyp, o.peer);
    }
    Guests::open(CacheDir::user()?, Progress::auto()).ten(&dir)?;
    if !o.table {
        println!("rhyp up examples/ten.toml");
        return Ok(());
    }
    let rhyp = match o.rhyp {
        Some(r) => std::path::absolute(r)?,
        None => build(root)?,
    };
    // A network of its own, where a tap device needs no rights that the user has not.
    let mut inside = Command::new("unshare");
    inside.args(["-rnm", "sh", "-c"]).arg(
        "mount -t sysfs none /sys && ip link set lo up && ip tuntap add rhyp0 mode tap && ip address add 10.9.0.254/24 dev rhyp0 && \
         ip link set rhyp0 up && exec \"$@\"",
    );
    inside.arg("sh").arg(std::env::current_exe()?).args(["ten", "--table", "--rhyp"]).arg(rhyp);
    if !o.peer {
        inside.arg("--no-peer");
    }
    let status = inside.env(INSIDE, "1").status().context("unshare")?;
    ensure!(status.success(), "no table");
    Ok(())
}

fn build(root: &Path) -> Result<PathBuf> {
    let words = ["build", "--release", "--quiet", "--package", "rhyp"];
    let status = Command::new(crate::cargo()).args(words).current_dir(root).status()?;
    ensure!(status.success(), "building rhyp failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(std::path::absolute(target.join("release/rhyp"))?)
}

/// Processes that are ended with this value.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for c in &mut self.0 {
            // What has ended by itself cannot be ended.
            let _ = c.kill();
            let _ = c.wait();
        }
    }
}

impl Running {
    /// Bytes of proportional set size.
    fn memory(&self) -> Result<u64> {
        let one = |c: &Child| -> Result<u64> {
            let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", c.id()))?;
            let line = text.lines().find_map(|l| l.strip_prefix("Pss:")).context("no Pss")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
        };
        self.0.iter().map(one).sum()
    }

    /// Hundredths of seconds of processor time.
    fn ticks(&self) -> Result<u64> {
        let one = |c: &Child| -> Result<u64> {
            let text = std::fs::read_to_string(format!("/proc/{}/stat", c.id()))?;
            let words = text.rsplit_once(')').context("no stat")?.1.split_whitespace();
            words.skip(11).take(2).map(|w| Ok(w.parse::<u64>()?)).sum()
        };
        self.0.iter().map(one).sum()
    }
}

/// What ten guests take.
struct Taken {
    answer: Duration,
    memory: u64,
    idle: f64,
}

/// Waits for all ten, lets them rest, and looks. `at`: where each is.
fn take(running: &mut Running, at: &[String]) -> Result<Taken> {
    let start = Instant::now();
    for (n, address) in at.iter().enumerate() {
        while !answers(address, n + 1) {
            ensure!(start.elapsed() < PATIENCE, "{address} does not answer");
            for c in &mut running.0 {
                ensure!(c.try_wait()?.is_none(), "a machine has ended");
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
    let answer = start.elapsed();
    let rest = Instant::now();
    let mut memory = running.memory()?;
    while rest.elapsed() < REST {
        std::thread::sleep(Duration::from_secs(15));
        let now = running.memory()?;
        if now > memory - memory / 100 {
            break;
        }
        memory = now;
    }
    let (ticks, since) = (running.ticks()?, Instant::now());
    std::thread::sleep(IDLE);
    let idle = (running.ticks()? - ticks) as f64 / since.elapsed().as_secs_f64();
    let memory = running.memory()?;
    for (n, address) in at.iter().enumerate() {
        ensure!(answers(address, n + 1), "{address} is silent now");
    }
    Ok(Taken { answer, memory, idle })
}

/// Whether partition `n` answers at an address.
fn answers(address: &str, n: usize) -> bool {
    let ask = || -> std::io::Result<String> {
        let address = address.parse().map_err(std::io::Error::other)?;
        let mut s = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        s.set_read_timeout(Some(Duration::from_secs(5)))?;
        s.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut told = Vec::new();
        s.read_to_end(&mut told)?;
        Ok(String::from_utf8_lossy(&told).into_owned())
    };
    ask().is_ok_and(|told| told.lines().any(|l| l == format!("partition {n}")))
}

fn measure(root: &Path, dir: &Path, rhyp: &Path, peer: bool) -> Result<()> {
    let line = |who: &str, t: &Taken| {
        let (seconds, mib) = (t.answer.as_secs_f64(), t.memory >> 20);
        println!("{who:<22} {seconds:>10.0} s {mib:>8} MiB {:>8.1} %", t.idle);
    };
    println!("{:<22} {:>12} {:>12} {:>10}", "ten Linuxes", "all answer", "memory", "idle");
    let ours = ours(root, dir, rhyp)?;
    line("rhyp up", &ours);
    if peer {
        let theirs = theirs(dir)?;
        line("QEMU, ten of them", &theirs);
    }
    ensure!(ours.memory <= MOST_MEMORY, "more than {} MiB", MOST_MEMORY >> 20);
    ensure!(ours.idle < MOST_IDLE, "more than {MOST_IDLE} % of a processor");
    Ok(())
}

fn ours(root: &Path, dir: &Path, rhyp: &Path) -> Result<Taken> {
    let text = std::fs::read_to_string(root.join("examples/ten.toml"))?;
    let user = text.split('"').find(|w| w.starts_with("user,")).context("the example has no user network")?;
    let text = text.replace(user, "tap=rhyp0,model=veth").replacen(" quiet\"", " quiet ten=bridge\"", 1);
    let profile = dir.join("table.toml");
    std::fs::write(&profile, text)?;
    let mut up = Command::new(rhyp);
    up.arg("up").arg(&profile).arg("--control").arg(dir.join("table.socket"));
    let mut up = Running(vec![up.current_dir(root).stdin(Stdio::null()).spawn()?]);
    let at: Vec<_> = (1..=10).map(|n| format!("10.9.0.{n}:80")).collect();
    take(&mut up, &at)
}

/// The same guests, each in a QEMU with a disk and a network of its own.
fn theirs(dir: &Path) -> Result<Taken> {
    // It gives no machine less than 256 MiB.
    let (mut all, mut at) = (Running(Vec::new()), Vec::new());
    for n in 1..=10 {
        let disk = dir.join(format!("disk{n}.img"));
        std::fs::File::create(&disk)?.set_len(1 << 20)?;
        let mut q = Command::new(QEMU);
        q.args([
            "-M",
            "pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
            "-accel",
            "tcg",
            "-cpu",
            "POWER9",
            "-m",
            "256M",
            "-nodefaults",
        ]);
        q.args(["-display", "none", "-serial", "null", "-kernel"]).arg(dir.join("vmlinux"));
        q.arg("-initrd").arg(dir.join("part.gz")).arg("-append").arg(format!("console=hvc0 quiet ten={n}"));
        q.args(["-device", "spapr-vscsi,id=s", "-device", "scsi-hd,bus=s.0,drive=d", "-drive"]);
        q.arg(format!("if=none,id=d,format=raw,file={}", disk.display()));
        // Its own addresses are not those of the guests: else it takes 10.9.0.2 and 10.9.0.3 for itself.
        let port = 8000 + n;
        q.arg("-netdev")
            .arg(format!("user,id=n,net=10.9.0.0/24,host=10.9.0.253,dns=10.9.0.252,hostfwd=tcp:127.0.0.1:{port}-10.9.0.{n}:80"))
            .args(["-device", "spapr-vlan,netdev=n"]);
        all.0.push(q.stdin(Stdio::null()).spawn().context(QEMU)?);
        at.push(format!("127.0.0.1:{port}"));
    }
    take(&mut all, &at)
}
