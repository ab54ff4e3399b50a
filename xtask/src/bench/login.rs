//! `cargo xtask bench --login`: from the start of the hypervisor to `login:` of a Debian that `rhyp image` made, through
//! GRUB, side by side with QEMU: with SLOF and GRUB, and with the image's own kernel given to it. Every round runs each
//! machine once, one after the other; medians are compared.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Most of the peer's time that is wanted.
const BAR: f64 = 0.6;
/// Slower than this is hung.
const LIMIT: Duration = Duration::from_secs(1800);
/// Where the root file system of an image starts, in bytes.
const ROOT: u64 = 9 << 20;

/// How much is measured.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginOptions {
    /// Runs of each machine.
    pub rounds: u32,
    /// Beside QEMU.
    pub peer: bool,
    /// An image that is there, in place of a new one.
    pub image: Option<PathBuf>,
}

impl LoginOptions {
    /// Reads the words after `--login`.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut o = LoginOptions { rounds: 3, peer: true, image: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--rounds" => {
                    let number = words.next().and_then(|n| n.parse::<u32>().ok());
                    o.rounds = number.context("--rounds needs a number")?.max(1);
                }
                "--no-peer" => o.peer = false,
                "--image" => o.image = Some(words.next().context("--image needs a file")?.into()),
                w => bail!("unknown word {w}: --rounds N, --no-peer, --image FILE"),
            }
        }
        Ok(o)
    }
}

/// What boots.
struct Bench {
    rhyp: PathBuf,
    image: PathBuf,
    /// Kernel and RAM disk of the image, and its command line, for the peer.
    direct: Option<(PathBuf, PathBuf, String)>,
}

impl Bench {
    fn rhyp(&self) -> Command {
        let mut c = Command::new(&self.rhyp);
        let mut disk = OsString::from(&self.image);
        disk.push(",snapshot");
        c.args(["run", "--cpus", "2", "--memory", "2G", "--disk"]).arg(disk);
        c
    }

    fn qemu(&self, direct: bool) -> Command {
        let mut c = Command::new("qemu-system-ppc64");
        let mut drive = OsString::from("if=none,id=d,snapshot=on,format=qcow2,file=");
        drive.push(&self.image);
        let machine = if direct { "pseries,x-vof=on" } else { "pseries" };
        c.args(["-M", machine, "-cpu", "POWER9", "-smp", "2", "-m", "2G", "-display", "none", "-nodefaults"]);
        c.args(["-serial", "stdio", "-drive"]).arg(drive).args(["-device", "virtio-blk-pci,drive=d"]);
        if let (true, Some((kernel, initrd, append))) = (direct, &self.direct) {
            c.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd).arg("-append").arg(append);
        }
        c
    }
}

/// Seconds from the start of a machine to its `login:`; then it is ended.
fn until_login(mut command: Command) -> Result<f64> {
    let start = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let mut out = child.stdout.take().context("no console")?;
    // Reading may block for ever; the thread ends with the machine.
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = out.read(&mut buffer) {
            text.extend_from_slice(&buffer[..n]);
            if text.windows(7).any(|w| w == b" login:") {
                let _ = tell.send(Ok(start.elapsed().as_secs_f64()));
                return;
            }
        }
        let _ = tell.send(Err(String::from_utf8_lossy(&text[text.len().saturating_sub(800)..]).into_owned()));
    });
    let found = told.recv_timeout(LIMIT);
    let _ = child.kill();
    let _ = child.wait();
    match found {
        Ok(Ok(seconds)) => Ok(seconds),
        Ok(Err(last)) => bail!("{command:?} ended before its login: {last}"),
        Err(_) => bail!("{command:?}: no login within {LIMIT:?}"),
    }
}

/// Takes kernel and RAM disk out of an image's file system.
fn take_out(image: &Path, out: &Path) -> Result<(PathBuf, PathBuf, String)> {
    let raw = out.join("login.raw");
    let made = Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(image).arg(&raw).status()?;
    ensure!(made.success(), "qemu-img convert failed");
    let debugfs = |request: &str| -> Result<String> {
        let program = ["/usr/sbin/debugfs", "/sbin/debugfs"].into_iter().find(|p| Path::new(p).exists());
        let mut c = Command::new(program.context("debugfs (package e2fsprogs) is missing")?);
        let result = c.args(["-R", request]).arg(format!("{}?offset={ROOT}", raw.display())).output()?;
        Ok(String::from_utf8_lossy(&result.stdout).into_owned())
    };
    let list = debugfs("ls -p /boot")?;
    let mut found = Vec::new();
    for start in ["vmlinux-", "initrd.img-"] {
        let name =
            list.split('/').find(|n| n.starts_with(start)).with_context(|| format!("no {start} in /boot"))?;
        let to = out.join(format!("login-{start}"));
        debugfs(&format!("dump /boot/{name} {}", to.display()))?;
        ensure!(to.metadata().is_ok_and(|m| m.len() > 0), "{name} cannot be read");
        found.push(to);
    }
    let _ = std::fs::remove_file(&raw);
    let initrd = found.pop().context("no RAM disk")?;
    Ok((found.pop().context("no kernel")?, initrd, "root=/dev/vda2 ro console=hvc0".to_owned()))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Measures, and prints the table.
pub fn run(root: &Path, words: &[&str]) -> Result<()> {
    let options = LoginOptions::parse(words)?;
    if options.peer {
        crate::test::install_missing(root, &[("qemu-img", "qemu-utils")])?;
        crate::peer::install(root)?;
    }
    let build = ["build", "--release", "--quiet", "--package", "rhyp"];
    ensure!(
        Command::new(crate::cargo()).args(build).current_dir(root).status()?.success(),
        "building rhyp failed"
    );
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let out = target.join("bench");
    std::fs::create_dir_all(&out)?;
    let rhyp = target.join("release/rhyp");
    let image = options.image.clone().unwrap_or_else(|| out.join("login.qcow2"));
    if !image.exists() {
        let made = Command::new(&rhyp).arg("image").arg(&image).status()?;
        ensure!(made.success(), "rhyp image failed");
    }
    let direct = if options.peer { Some(take_out(&image, &out)?) } else { None };
    let bench = Bench { rhyp, image, direct };
    let (mut ours, mut slof, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        ours.push(until_login(bench.rhyp())?);
        if options.peer {
            slof.push(until_login(bench.qemu(false))?);
            direct.push(until_login(bench.qemu(true))?);
        }
    }
    println!("Debian to login:, 2 processors, 2 GiB, virtio-blk, seconds, medians of {}:", options.rounds);
    println!("{:<32}{:>10}{:>10}{:>10}", "machine", "seconds", "ratio", "at most");
    let rhyp = median(&mut ours);
    println!("{:<32}{rhyp:>10.1}", "rhyp, GRUB");
    for (name, times) in [("QEMU, SLOF and GRUB", &mut slof), ("QEMU, kernel given", &mut direct)] {
        if !times.is_empty() {
            let peer = median(times);
            println!("{name:<32}{peer:>10.1}{:>10.2}{BAR:>10.1}", rhyp / peer);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_consoles_are_read() {
        let o = LoginOptions::parse(&["--rounds", "2", "--image", "x"]).unwrap();
        assert_eq!(o, LoginOptions { rounds: 2, peer: true, image: Some("x".into()) });
        assert!(LoginOptions::parse(&["--rounds"]).is_err() && LoginOptions::parse(&["x"]).is_err());
        let mut c = Command::new("sh");
        c.args(["-c", "printf 'a\\nhost lo'; printf 'gin: '; exec sleep 1000"]);
        assert!(until_login(c).unwrap() < LIMIT.as_secs_f64());
        let mut c = Command::new("sh");
        c.args(["-c", "echo no such luck"]);
        assert!(until_login(c).unwrap_err().to_string().contains("luck"));
    }
}
