//! `cargo xtask bench --net`: Debian's iperf3 from a guest to the host and back, and between two guests, of two processes
//! joined by a socket or of one system on its switch, side by side with QEMU, which always has the socket. Every round
//! runs each machine once, one after the other; medians are compared.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use guests::{CacheDir, Guests, INIT_MOUNTS, Initramfs, KernelVersion, Progress};

/// Drivers of network adapters.
const MODULES: &[&str] = &["ibmveth", "virtio_net"];
/// What is measured: a name and the least ratio to the peer.
const ROWS: &[(&str, f64)] = &[("out", 2.0), ("in", 2.0)];
/// How long a machine may take in all.
const LIMIT: Duration = Duration::from_secs(600);

/// How much is measured.
#[derive(Debug, PartialEq, Eq)]
pub struct NetOptions {
    /// Runs of each machine.
    pub rounds: u32,
    /// Seconds of each transfer.
    pub seconds: u32,
    /// Beside QEMU.
    pub peer: bool,
    /// The program to measure instead of the one built here.
    pub rhyp: Option<PathBuf>,
    /// Only rows with this in their names.
    pub only: Option<String>,
}

impl NetOptions {
    /// Reads the words after `--net`.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut o = NetOptions { rounds: 3, seconds: 5, peer: true, rhyp: None, only: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match *word {
                "--rounds" => o.rounds = value()?.parse::<u32>()?.max(1),
                "--seconds" => o.seconds = value()?.parse::<u32>()?.max(1),
                "--rhyp" => o.rhyp = Some(value()?.into()),
                "--only" => o.only = Some((*value()?).to_owned()),
                "--no-peer" => o.peer = false,
                w => bail!("unknown word {w}: --rounds N, --seconds N, --rhyp FILE, --only NAME, --no-peer"),
            }
        }
        Ok(o)
    }
}

/// The guests' part; the last word of the kernel's command line says which: `host-PORT`, `server` or `client`.
fn script(seconds: u32) -> String {
    format!(
        r#"{INIT_MOUNTS}
ip link set lo up
IF=$(ls /sys/class/net | grep '^e' | head -1)
ip link set $IF up
cat > /tmp/lease <<'X'
#!/bin/sh
[ "$1" = bound ] && ip address add $ip/$mask dev $interface && ip route add default via $router
X
chmod 755 /tmp/lease
set -- $(cat /proc/cmdline)
while [ $# -gt 1 ]; do shift; done
measure() {{
    iperf3 -f M -t {seconds} "$@" > /tmp/out; iperf3 -f M -t {seconds} -R "$@" > /tmp/in
    for way in out in; do awk -v w=$way '/receiver/ {{ print "NET " w " " $7 }}' /tmp/$way; done
}}
case $1 in
host-*) udhcpc -i $IF -s /tmp/lease -n -q -t 10 > /dev/null
    measure -c $(ip route | sed -n 's/default via \([^ ]*\).*/\1/p') -p ${{1#host-}};;
server) ip address add 10.7.0.1/24 dev $IF; iperf3 -s -1 > /dev/null; iperf3 -s -1 > /dev/null;;
client) ip address add 10.7.0.2/24 dev $IF
    until ping -c 1 -W 1 10.7.0.1 > /dev/null; do sleep 0.2; done; sleep 2
    iperf3 -f M -t {seconds} -c 10.7.0.1 > /tmp/out; sleep 1; iperf3 -f M -t {seconds} -R -c 10.7.0.1 > /tmp/in
    for way in out in; do awk -v w=$way '/receiver/ {{ print "NET " w " " $7 }}' /tmp/$way; done;;
esac
echo NET-END; poweroff -f
"#
    )
}

/// A child process that does not outlive its owner.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    fn new(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stderr(Stdio::null());
        Ok(Killed(command.spawn().with_context(|| format!("{command:?}"))?))
    }

    /// Everything it says until it ends.
    fn output(mut self) -> Result<String> {
        let mut pipe = self.0.stdout.take().context("no output")?;
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let limit = Instant::now() + LIMIT;
        while self.0.try_wait()?.is_none() {
            if Instant::now() > limit {
                bail!("a guest does not end");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        reader.join().ok().context("reading failed")
    }
}

struct Bench {
    rhyp: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
    socket: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Rhyp,
    Qemu,
}

/// What lies between the two ends.
#[derive(Clone, Copy)]
enum Way {
    Host,
    Socket,
    Switch,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Host => "guest and host",
            Way::Socket => "two guests",
            Way::Switch => "two guests, switch",
        }
    }
}

impl Bench {
    fn machine(&self, who: Who, model: &str, role: &str) -> Command {
        let append = format!("console=hvc0 quiet {role}");
        let socket = self.socket.display();
        let mut c = match who {
            Who::Rhyp => {
                let net = match role {
                    "server" => format!("socket={socket},listen"),
                    "client" => format!("socket={socket}"),
                    _ => "user".to_owned(),
                };
                let mut c = Command::new(&self.rhyp);
                c.args(["run", "--memory", "512M", "--append", &append]);
                c.args(["--net", &format!("{net},model={model}"), "--kernel"]).arg(&self.kernel);
                c.arg("--initrd").arg(&self.initrd);
                c
            }
            Who::Qemu => {
                let net = match role {
                    "server" => format!("stream,id=n,server=on,addr.type=unix,addr.path={socket}"),
                    "client" => format!("stream,id=n,server=off,addr.type=unix,addr.path={socket}"),
                    _ => "user,id=n".to_owned(),
                };
                let (device, mac) =
                    if model == "veth" { ("spapr-vlan", 1) } else { ("virtio-net-pci,romfile=", 2) };
                let end = u8::from(role == "client");
                let mut c = Command::new("qemu-system-ppc64");
                c.args(["-M", "pseries,x-vof=on", "-cpu", "POWER9", "-m", "512M", "-display", "none"]);
                c.args(["-nodefaults", "-serial", "stdio", "-append", &append, "-netdev", &net, "-device"]);
                c.arg(format!("{device},netdev=n,mac=52:54:00:00:{mac:02x}:{end:02x}"));
                c.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&self.initrd);
                c
            }
        };
        c.stdout(Stdio::piped());
        c
    }

    /// Guest and host: MB/s out and in.
    fn user(&self, who: Who, model: &str) -> Result<[f64; 2]> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let mut server = Command::new("iperf3");
        let _server = Killed::new(server.args(["-s", "-B", "127.0.0.1", "-p", &port]).stdout(Stdio::null()))?;
        let text = Killed::new(&mut self.machine(who, model, &format!("host-{port}")))?.output()?;
        read(&text)
    }

    /// Two guests.
    fn pair(&self, who: Who, model: &str) -> Result<[f64; 2]> {
        let _ = std::fs::remove_file(&self.socket);
        let _server = Killed::new(self.machine(who, model, "server").stdout(Stdio::null()))?;
        let limit = Instant::now() + LIMIT;
        while !self.socket.exists() {
            if Instant::now() > limit {
                bail!("the first of two guests does not listen");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = Killed::new(&mut self.machine(who, model, "client"))?.output()?;
        read(&text)
    }

    /// Two partitions of one system, on its switch.
    fn system(&self, model: &str) -> Result<[f64; 2]> {
        let (profile, control) = (self.socket.with_extension("toml"), self.socket.with_extension("control"));
        let mut text = "[node]\nprocessors = 2\n".to_owned();
        for role in ["server", "client"] {
            text.push_str(&format!(
                "[[partition]]\nname = \"{role}\"\nmemory = \"512M\"\nkernel = {:?}\ninitrd = {:?}\n\
                 append = \"console=hvc0 quiet {role}\"\nnet = [\"switch=lan,model={model}\"]\n",
                self.kernel, self.initrd
            ));
        }
        std::fs::write(&profile, text)?;
        let _ = std::fs::remove_file(&control);
        let mut up = Command::new(&self.rhyp);
        up.args(["up", "--once", "--control"]).arg(&control).arg(&profile).stdout(Stdio::null());
        let mut system = Killed::new(&mut up)?;
        let limit = Instant::now() + LIMIT;
        while !control.exists() {
            if Instant::now() > limit || system.0.try_wait()?.is_some() {
                bail!("a system of two guests does not start");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        loop {
            let mut console = Command::new(&self.rhyp);
            console.args(["console", "client", "--control"]).arg(&control).stdout(Stdio::piped());
            let text = Killed::new(&mut console)?.output()?;
            // A socket that is there may not be listened to yet.
            if !text.is_empty() || Instant::now() > limit || system.0.try_wait()?.is_some() {
                return read(&text);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The lines `NET way rate`.
fn read(text: &str) -> Result<[f64; 2]> {
    let rate = |way: &str| {
        let mut lines = text.lines().filter_map(|l| l.trim().strip_prefix("NET ")?.strip_prefix(way));
        lines.next().and_then(|r| r.trim().parse::<f64>().ok())
    };
    match (rate("out "), rate("in ")) {
        (Some(out), Some(back)) => Ok([out, back]),
        _ => {
            let tail: Vec<&str> = text.lines().rev().take(10).collect();
            bail!("a guest gives no result: {tail:?}")
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Measures, and prints the table.
pub fn run(root: &Path, words: &[&str]) -> Result<()> {
    let options = NetOptions::parse(words)?;
    let needed = [("passt", "passt"), ("iperf3", "iperf3")];
    if options.peer {
        crate::peer::install(root)?;
    }
    crate::test::install_missing(root, &needed)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let rhyp = match options.rhyp {
        Some(file) => file,
        None => {
            let mut build = Command::new(crate::cargo());
            build.args(["build", "--release", "--quiet", "--package", "rhyp"]).current_dir(root);
            if !build.status()?.success() {
                bail!("building rhyp failed");
            }
            target.join("release/rhyp")
        }
    };
    let out = target.join("bench");
    std::fs::create_dir_all(&out)?;
    let guests = Guests::open(CacheDir::user()?, Progress::auto());
    let kernel = guests.kernel(KernelVersion::V6_12)?;
    let initrd = out.join("net.gz");
    Initramfs::new()
        .busybox(&guests.busybox()?)
        .programs(&guests.iperf()?, &["usr/bin/iperf3"])?
        .modules(&kernel, MODULES)?
        .init(&script(options.seconds))
        .write(&initrd)?;
    let bench = Bench { rhyp, kernel: kernel.vmlinux, initrd, socket: out.join("net.sock") };

    println!("iperf3, Linux 6.12, POWER9, 1 processor, MB/s, medians of {}:", options.rounds);
    println!("{:<36}{:>10}{:>10}{:>8}{:>8}", "", "rhyp", "QEMU", "ratio", "at least");
    for model in ["veth", "virtio"] {
        for what in [Way::Host, Way::Socket, Way::Switch] {
            let skipped = |name: &String| !format!("{model}, {}", what.name()).contains(name);
            if options.only.as_ref().is_some_and(skipped) {
                continue;
            }
            let go = |who| match (what, who) {
                (Way::Host, _) => bench.user(who, model),
                // QEMU has one guest a process.
                (Way::Switch, Who::Rhyp) => bench.system(model),
                (Way::Socket | Way::Switch, _) => bench.pair(who, model),
            };
            let what = what.name();
            let (mut ours, mut theirs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
            for _ in 0..options.rounds {
                ours.iter_mut().zip(go(Who::Rhyp)?).for_each(|(all, rate)| all.push(rate));
                if options.peer {
                    theirs.iter_mut().zip(go(Who::Qemu)?).for_each(|(all, rate)| all.push(rate));
                }
            }
            for (n, (way, least)) in ROWS.iter().enumerate() {
                let name = format!("{model}, {what}, {way}");
                let (a, b) = (median(&mut ours[n]), median(&mut theirs[n]));
                if b > 0.0 {
                    println!("{name:<36}{a:>10.0}{b:>10.0}{:>8.2}{least:>8.1}", a / b);
                } else {
                    println!("{name:<36}{a:>10.0}");
                }
            }
        }
    }
    let _ = std::fs::remove_file(&bench.socket);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_options_are_read() {
        assert_eq!(read("noise\r\nNET out 12.5\r\nNET in 7\r\nNET-END\r\n").unwrap(), [12.5, 7.0]);
        assert!(read("NET out 12.5\n").is_err());
        let o =
            NetOptions::parse(&["--rounds", "0", "--seconds", "2", "--only", "veth", "--no-peer"]).unwrap();
        let only = Some("veth".into());
        assert_eq!(o, NetOptions { rounds: 1, seconds: 2, peer: false, rhyp: None, only });
        assert!(NetOptions::parse(&["--round"]).is_err() && NetOptions::parse(&["--rounds"]).is_err());
    }
}
