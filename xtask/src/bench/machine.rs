//! One run of one set on one machine.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Set;
use super::programs::Images;
use crate::peer::QEMU;

/// What the guest prints when its userland is there.
pub const UP: &str = "userland is up";
/// Longest run of one set on one machine; slow hosts and interpreters included.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How far a guest's clock may be from the host's over a set: a share of the time, and what the console may take.
const CLOCK_SHARE: f64 = 0.02;
const CLOCK_SLACK: f64 = 0.2;

/// Where benchmarks run.
#[derive(Clone, Debug)]
pub enum Machine {
    /// This machine, running the program at this path.
    Native(PathBuf),
    /// A program that is rhyp, and more arguments for it.
    Rhyp(PathBuf, Vec<String>),
    /// QEMU with its fastest firmware.
    Qemu,
}

/// A boot, or its native counterpart.
#[derive(Clone, Debug)]
pub struct Job {
    /// What to run.
    pub set: Set,
    /// Words one of which a benchmark's name must contain; none: all.
    pub names: Vec<String>,
    /// The row's name when the whole job is one.
    pub row: Option<String>,
    /// Virtual processors.
    pub cpus: u32,
    /// More words for the kernel.
    pub append: String,
}

/// One measured benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// Its time.
    pub seconds: f64,
    /// What it computed; `None` where that need not be the same everywhere.
    pub sum: Option<String>,
}

impl Machine {
    /// The command of a job; `None` where the machine has no such thing.
    fn command(&self, images: &Images, job: &Job) -> Option<Command> {
        let append = format!(
            "console=hvc0 quiet {} BENCH_SET={} BENCH_NAMES={}",
            job.append,
            job.set.name(),
            job.names.join(",")
        );
        let cpus = job.cpus.to_string();
        let memory = if job.set == Set::Programs { "2G" } else { "1G" };
        Some(match self {
            Self::Native(_) if job.set == Set::Boot => return None,
            Self::Native(program) => {
                let mut c = Command::new("taskset");
                c.args(["--cpu-list", if job.cpus == 1 && job.set == Set::Smp { "0" } else { "0-4095" }]);
                if let (Set::Programs, Some(p)) = (job.set, &images.programs) {
                    c.arg("sh").args([&p.script, program, &p.data, &p.python]);
                } else {
                    c.arg(program).arg(job.set.name());
                }
                if job.set != Set::Smp {
                    c.args(&job.names);
                }
                c
            }
            Self::Rhyp(program, arguments) => {
                let mut c = Command::new(program);
                c.args(["run", "--cpu", "power9", "--memory", memory, "--cpus", &cpus]);
                c.args(["--append", append.as_str()]);
                c.arg("--kernel").arg(&images.kernel).arg("--initrd").arg(images.initrd(job.set));
                c.args(arguments);
                c
            }
            Self::Qemu => {
                let mut c = Command::new(QEMU);
                c.args([
                    "-M",
                    "pseries,x-vof=on",
                    "-accel",
                    "tcg",
                    "-cpu",
                    "POWER9",
                    "-m",
                    "1G",
                    "-smp",
                    &cpus,
                ]);
                c.args(["-nographic", "-nodefaults", "-serial", "stdio", "-append", append.as_str()]);
                c.arg("-kernel").arg(&images.kernel).arg("-initrd").arg(images.initrd(job.set));
                c
            }
        })
    }

    /// Runs a job and returns what it measured.
    ///
    /// # Errors
    /// The machine fails, hangs, or its clock is not the host's.
    pub fn run(&self, images: &Images, job: &Job) -> Result<Vec<Measured>> {
        let Some(command) = self.command(images, job) else { return Ok(Vec::new()) };
        let shown = format!("{command:?}");
        let (seconds, lines) = lines_of(command).with_context(|| shown.clone())?;
        if job.set == Set::Boot {
            if !lines.iter().any(|(_, line)| line.contains(UP)) {
                bail!("{shown} did not reach userland");
            }
            let name = job.row.clone().unwrap_or_default();
            return Ok(vec![Measured { name, seconds, sum: None }]);
        }
        let mut measured = read(&lines).with_context(|| {
            let tail: Vec<&str> = lines.iter().rev().take(20).rev().map(|(_, line)| line.as_str()).collect();
            format!("{shown}\n{}", tail.join("\n"))
        })?;
        if let (Some(row), [only]) = (&job.row, measured.as_mut_slice()) {
            only.name.clone_from(row);
        }
        if let (Self::Native(_), Set::Programs) = (self, job.set) {
            // Other versions of the programs, and a compiler for another machine.
            measured.iter_mut().for_each(|m| m.sum = None);
        }
        Ok(measured)
    }
}

/// Runs a command to its end: its wall seconds and the lines it wrote, with the seconds at which they came.
fn lines_of(mut command: Command) -> Result<(f64, Vec<(f64, String)>)> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let stdout = child.stdout.take().context("no standard output")?;
    let lines = Mutex::new(Vec::new());
    let status = std::thread::scope(|scope| {
        let (done, ended) = mpsc::channel();
        let lines = &lines;
        scope.spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(std::io::Result::ok) {
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if let Ok(mut lines) = lines.lock() {
                    lines.push((start.elapsed().as_secs_f64(), line));
                }
            }
            // The receiver is gone when patience ran out.
            let _ = done.send(());
        });
        let in_time = ended.recv_timeout(PATIENCE).is_ok();
        if !in_time {
            child.kill()?;
        }
        let status = child.wait()?;
        anyhow::Ok((in_time, status))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let lines = lines.into_inner().unwrap_or_default();
    let tail = || {
        let tail: Vec<&str> = lines.iter().rev().take(20).rev().map(|(_, line)| line.as_str()).collect();
        tail.join("\n")
    };
    match status {
        (false, _) => bail!("did not end within {} s:\n{}", PATIENCE.as_secs(), tail()),
        (true, status) if !status.success() => bail!("{status}:\n{}", tail()),
        _ => Ok((seconds, lines)),
    }
}

/// The measurements among the lines of a set, whose clock must be the host's.
fn read(lines: &[(f64, String)]) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let mut start = None;
    for (at, line) in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["START", _] => start = Some(at),
            ["BENCH", _, name, nanoseconds, sum] => measured.push(Measured {
                name: (*name).to_owned(),
                seconds: nanoseconds.parse::<f64>()? * 1e-9,
                sum: (*sum != "-").then(|| (*sum).to_owned()),
            }),
            ["SPAN", _, nanoseconds] => {
                let guest = nanoseconds.parse::<f64>()? * 1e-9;
                let host = at - start.context("an end without a start")?;
                if (guest - host).abs() > host * CLOCK_SHARE + CLOCK_SLACK {
                    bail!("the guest's clock saw {guest:.3} s, the host's {host:.3} s");
                }
                return Ok(measured);
            }
            _ => {}
        }
    }
    bail!("the benchmarks did not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(span: &str) -> Vec<(f64, String)> {
        let text = ["[    0.1] noise", "START integer", "BENCH integer crc 1500000000 00ff", span];
        [0.5, 1.0, 2.5, 2.51].into_iter().zip(text.map(str::to_owned)).collect()
    }

    #[test]
    fn measurements_are_read_and_clocks_compared() {
        let sum = Some("00ff".to_owned());
        let crc = Measured { name: "crc".to_owned(), seconds: 1.5, sum };
        assert_eq!(read(&lines("SPAN integer 1500000000")).unwrap(), [crc]);
        assert!(read(&lines("SPAN integer 1200000000")).is_err(), "a slow clock");
        assert!(read(&lines("SPAN integer 1900000000")).is_err(), "a fast clock");
        assert!(read(&lines("Kernel panic")).is_err());
    }
}
