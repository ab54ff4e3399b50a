//! `cargo xtask bench --io`: Debian's fio in a guest on virtual SCSI and virtio-blk, side by side with QEMU on the same
//! kinds of images with the same caching. Every round runs each machine once, one after the other; medians are compared.
//! Beside the requests a second stands what one costs: processor time of the machine's process, guest and all.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use guests::{CacheDir, Guests, INIT_MOUNTS, Initramfs, KernelVersion, Progress};

/// Drivers of disks.
const MODULES: &[&str] = &["ibmvscsi", "sd_mod", "virtio_blk"];
/// Size of the disk: fits the host's cache, so that the way to it is measured and not the device.
const MEGABYTES: u64 = 256;

/// What fio does, by the name in the table: pattern, block size, depth, least ratio to the peer.
const JOBS: &[(&str, &str, &str, u32, f64)] = &[
    ("4k random read, depth 1", "randread", "4k", 1, 1.5),
    ("4k random read, depth 32", "randread", "4k", 32, 1.5),
    ("4k random write, depth 1", "randwrite", "4k", 1, 1.5),
    ("4k random write, depth 32", "randwrite", "4k", 32, 1.5),
    ("1M sequential read", "read", "1M", 4, 1.0),
    ("1M sequential write", "write", "1M", 4, 1.0),
];

/// How much is measured.
#[derive(Debug, PartialEq, Eq)]
pub struct IoOptions {
    /// Runs of each machine.
    pub rounds: u32,
    /// Seconds of each job.
    pub seconds: u32,
    /// Beside QEMU.
    pub peer: bool,
    /// Only these kinds of disks.
    pub only: Vec<String>,
}

impl IoOptions {
    /// Reads the words after `--io`.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut o = IoOptions { rounds: 3, seconds: 5, peer: true, only: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || -> Result<u32> {
                words.next().and_then(|n| n.parse().ok()).with_context(|| format!("{word} needs a number"))
            };
            match *word {
                "--rounds" => o.rounds = number()?.max(1),
                "--seconds" => o.seconds = number()?.max(1),
                "--no-peer" => o.peer = false,
                w if DISKS.iter().any(|d| d.0 == w) => o.only.push(w.to_owned()),
                w => bail!("unknown word {w}: --rounds N, --seconds N, --no-peer, or names of disks"),
            }
        }
        Ok(o)
    }
}

/// Kinds of disks: name, bus, format.
const DISKS: &[(&str, &str, &str)] = &[
    ("vscsi-raw", "vscsi", "raw"),
    ("virtio-raw", "virtio", "raw"),
    ("vscsi-qcow2", "vscsi", "qcow2"),
    ("virtio-qcow2", "virtio", "qcow2"),
];

/// The guest's part: it fills the disk once, then measures.
fn script(seconds: u32) -> String {
    let mut s = format!(
        r#"{INIT_MOUNTS}
i=0; while [ ! -b /dev/sda ] && [ ! -b /dev/vda ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done
D=sda; [ -b /dev/vda ] && D=vda
echo none > /sys/block/$D/queue/scheduler
dd if=/dev/urandom of=/tmp/r bs=1M count=16 2>/dev/null
for i in $(seq 0 {}); do dd if=/tmp/r of=/dev/$D bs=1M seek=$((i*16)) 2>/dev/null; done; sync
"#,
        MEGABYTES / 16 - 1
    );
    for (n, (_, pattern, size, depth, _)) in JOBS.iter().enumerate() {
        // Of the terse output, fields 7 and 48 are kB/s read and written, one later the requests a second.
        s.push_str(&format!(
            "echo IO-BEGIN; fio --name=j --filename=/dev/$D --direct=1 --ioengine=libaio --time_based --runtime={seconds} --randrepeat=1 \
             --minimal --terse-version=3 --rw={pattern} --bs={size} --iodepth={depth} > /tmp/o 2>&1; \
             awk -F';' '/^3;/ {{ print \"IO {n} \" $8+$49 }}' /tmp/o\n"
        ));
    }
    s.push_str("echo IO-END; poweroff -f\n");
    s
}

struct Bench {
    rhyp: PathBuf,
    kernel: PathBuf,
    initrd: PathBuf,
    image: PathBuf,
}

impl Bench {
    fn rhyp(&self, bus: &str, format: &str) -> Command {
        let mut c = Command::new(&self.rhyp);
        let mut disk = OsString::from(&self.image);
        disk.push(format!(",bus={bus},format={format}"));
        c.args(["run", "--memory", "1G", "--append", "console=hvc0 quiet", "--kernel"]).arg(&self.kernel);
        c.arg("--initrd").arg(&self.initrd).arg("--disk").arg(disk);
        c
    }

    fn qemu(&self, bus: &str, format: &str) -> Command {
        let mut c = Command::new("qemu-system-ppc64");
        let mut drive = OsString::from(format!("if=none,id=d,format={format},file="));
        drive.push(&self.image);
        c.args(["-M", "pseries,x-vof=on", "-cpu", "POWER9", "-m", "1G", "-display", "none", "-nodefaults"]);
        c.args(["-serial", "stdio", "-append", "console=hvc0 quiet", "-kernel"]).arg(&self.kernel);
        c.arg("-initrd").arg(&self.initrd).arg("-drive").arg(drive);
        match bus {
            "vscsi" => c.args(["-device", "spapr-vscsi,id=s", "-device", "scsi-hd,drive=d,bus=s.0"]),
            _ => c.args(["-device", "virtio-blk-pci,drive=d"]),
        };
        c
    }

    /// A new image; requests a second of each job, and microseconds of processor time for each.
    fn run(&self, mut command: Command, format: &str, seconds: u32) -> Result<Vec<(f64, f64)>> {
        let _ = std::fs::remove_file(&self.image);
        if format == "raw" {
            std::fs::File::create(&self.image)?.set_len(MEGABYTES << 20)?;
        } else {
            let mut c = Command::new("qemu-img");
            let made = c.args(["create", "-q", "-f", format]).arg(&self.image).arg(format!("{MEGABYTES}M"));
            if !made.status()?.success() {
                bail!("qemu-img create failed");
            }
        }
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (mut found, mut tail, mut begin) = (BTreeMap::new(), VecDeque::new(), 0);
        for line in BufReader::new(stdout).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).trim().to_owned();
            if line == "IO-BEGIN" {
                begin = ticks(child.id());
            } else if let Some((job, rate)) = read(&line) {
                let microseconds = (ticks(child.id()) - begin) as f64 * 1e6 / TICKS_PER_SECOND;
                found.insert(job, (rate, microseconds / (rate * f64::from(seconds)).max(1.0)));
            }
            tail.push_front(line);
            tail.truncate(10);
        }
        child.wait()?;
        if found.len() != JOBS.len() {
            bail!("{command:?}: {} of {} results: {tail:?}", found.len(), JOBS.len());
        }
        Ok(found.into_values().collect())
    }
}

/// A line `IO number rate`.
fn read(line: &str) -> Option<(usize, f64)> {
    let mut words = line.trim().strip_prefix("IO ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// Clock ticks a second in `/proc/PID/stat`; fixed by the kernel's interface to user programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time a process has used so far; nothing once it has ended.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name come the state as field 3, user and system time as 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
    fields.filter_map(|f| f.parse::<u64>().ok()).sum()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Measures, and prints the table.
pub fn run(root: &Path, words: &[&str]) -> Result<()> {
    let options = IoOptions::parse(words)?;
    let needed = [("qemu-img", "qemu-utils")];
    if options.peer {
        crate::peer::install(root)?;
    }
    crate::test::install_missing(root, &needed)?;
    let status = Command::new(crate::cargo())
        .args(["build", "--release", "--quiet", "--package", "rhyp"])
        .current_dir(root)
        .status()?;
    if !status.success() {
        bail!("building rhyp failed");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let out = target.join("bench");
    std::fs::create_dir_all(&out)?;
    let guests = Guests::open(CacheDir::user()?, Progress::auto());
    let kernel = guests.kernel(KernelVersion::V6_12)?;
    let initrd = out.join("io.gz");
    Initramfs::new()
        .busybox(&guests.busybox()?)
        .programs(&guests.fio()?, &["usr/bin/fio"])?
        .modules(&kernel, MODULES)?
        .init(&script(options.seconds))
        .write(&initrd)?;
    let bench = Bench {
        rhyp: target.join("release/rhyp"),
        kernel: kernel.vmlinux,
        initrd,
        image: out.join("io.img"),
    };

    println!("fio, Linux 6.12, POWER9, 1 processor, requests a second, medians of {}:", options.rounds);
    let head = ["rhyp", "QEMU", "ratio", "at least", "rhyp", "QEMU"].map(|h| format!("{h:>9}")).concat();
    println!("{:<14}{:<28}{head} us of processor each", "disk", "job");
    for (name, bus, format) in DISKS {
        if !options.only.is_empty() && !options.only.iter().any(|o| o == name) {
            continue;
        }
        let mut results = vec![[const { Vec::new() }; 4]; JOBS.len()];
        for _ in 0..options.rounds {
            let ours = bench.run(bench.rhyp(bus, format), format, options.seconds)?;
            let theirs = match options.peer {
                true => bench.run(bench.qemu(bus, format), format, options.seconds)?,
                false => Vec::new(),
            };
            for (n, [a, b, c, d]) in results.iter_mut().enumerate() {
                for (list, rates, costs) in [(&ours, a, c), (&theirs, b, d)] {
                    rates.extend(list.get(n).map(|x| x.0));
                    costs.extend(list.get(n).map(|x| x.1));
                }
            }
        }
        for ((job, _, _, _, least), lists) in JOBS.iter().zip(results) {
            let [a, b, c, d] = lists.map(|mut list| median(&mut list));
            if b > 0.0 {
                println!("{name:<14}{job:<28}{a:>9.0}{b:>9.0}{:>9.2}{least:>9.1}{c:>9.0}{d:>9.0}", a / b);
            } else {
                println!("{name:<14}{job:<28}{a:>9.0}{:>27}{c:>9.0}", "");
            }
        }
    }
    let _ = std::fs::remove_file(&bench.image);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_options_are_read() {
        assert_eq!(read("IO 0 1234.5\r"), Some((0, 1234.5)));
        assert_eq!((read("noise"), read("IO x y"), read("IO-END")), (None, None, None));
        assert_eq!(ticks(u32::MAX), 0);
        let o = IoOptions::parse(&["--rounds", "1", "vscsi-raw", "--no-peer"]).unwrap();
        assert_eq!(o, IoOptions { rounds: 1, seconds: 5, peer: false, only: vec!["vscsi-raw".into()] });
        assert!(IoOptions::parse(&["vscsi"]).is_err() && IoOptions::parse(&["--rounds"]).is_err());
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
    }
}
