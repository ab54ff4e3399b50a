//! A running guest: its console, its process, its end.

use crate::console::{Console, Missed, complaints};
use crate::spec::{BootSpec, Outcome, Peer};
use anyhow::{Context, Result, bail, ensure};
use regex::bytes::Regex;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How long a guest may be silent about what is waited for: `$RHYP_PATIENCE` seconds, else five minutes.
///
/// It only has to tell slow from hung.
pub fn patience() -> Duration {
    static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
        let seconds = std::env::var("RHYP_PATIENCE").ok().and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or(300))
    });
    *PATIENCE
}

/// A guest in a child process, killed when dropped.
pub struct Guest {
    peer: Peer,
    child: Child,
    stdin: ChildStdin,
    stdout: Console,
    stderr: Console,
    /// Bytes of the console that `expect` is done with.
    seen: usize,
    command: String,
}

impl Guest {
    /// Starts `program` with `arguments`; console bytes also go to `log`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(peer: Peer, program: &Path, arguments: &[OsString], log: &Path) -> Result<Self> {
        // Tests that run in the background of a script, or under nohup, ignore signals; what they start is not to.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT,HUP").arg(program).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            bail!("a piped stream is missing");
        };
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let stderr = Console::collect(stderr, file.try_clone()?);
        let stdout = Console::collect(stdout, file);
        Ok(Self { peer, child, stdin, stdout, stderr, seen: 0, command: format!("{command:?}") })
    }

    /// Starts the boot `spec` describes.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn boot(peer: Peer, program: &Path, spec: &BootSpec, log: &Path) -> Result<Self> {
        Self::spawn(peer, program, &spec.arguments(peer), log)
    }

    /// Waits until the console shows `pattern` after what was expected before; returns the texts of its groups,
    /// number 0 being the whole match.
    ///
    /// # Errors
    /// The guest ended or stayed silent for `limit`.
    pub fn expect(&mut self, pattern: &str, limit: Duration) -> Result<Vec<String>> {
        let regex = Regex::new(pattern)?;
        match self.stdout.wait(&regex, self.seen, limit) {
            Ok((end, groups)) => {
                self.seen = end;
                Ok(groups)
            }
            Err(Missed::End) => {
                bail!("the guest ended before it wrote /{pattern}/\n{}", self.last_words())
            }
            Err(Missed::Timeout) => bail!("no /{pattern}/ within {limit:?}\n{}", self.last_words()),
        }
    }

    /// Types into the console.
    ///
    /// # Errors
    /// The guest is gone.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.stdin
            .write_all(text.as_bytes())
            .and_then(|()| self.stdin.flush())
            .context("typing into the console")
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// It does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        // The streams end with the process unless it left children behind; ask the process itself as well.
        self.stdout.wait_end(limit);
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.stdout.wait_end(Duration::from_secs(5));
                self.stderr.wait_end(Duration::from_secs(5));
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "still running after {limit:?}\n{}", self.last_words());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end and checks that the exit status reports `outcome`.
    ///
    /// # Errors
    /// Another exit status, or no end within [`patience`].
    pub fn ends(&mut self, outcome: Outcome) -> Result<()> {
        let status = self.wait(patience())?;
        let wanted = self.peer.status(outcome);
        ensure!(
            status.code() == Some(wanted),
            "{outcome:?} should give status {wanted}, got {status}\n{}",
            self.last_words()
        );
        Ok(())
    }

    /// Kills the process as no signal handler can prevent (SIGKILL); answers all that its console showed.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self) -> Result<String> {
        self.child.kill().context("killing the process")?;
        self.child.wait()?;
        self.stdout.wait_end(Duration::from_secs(5));
        Ok(self.stdout.text())
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the process a signal, by the name that `kill` knows it by.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let script = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status()?;
        ensure!(status.success(), "{script}: {status}");
        Ok(())
    }

    /// Checks that the kernel raised no alarm so far.
    ///
    /// # Errors
    /// It did; the lines are in the message.
    pub fn is_healthy(&self) -> Result<()> {
        let log = self.stdout.text();
        let mut found = complaints(&log);
        if self.peer == Peer::Qemu {
            // QEMU's NVRAM starts without partitions; the kernel says so.
            found.retain(|line| !line.contains("nvram corruption detected"));
        }
        ensure!(found.is_empty(), "the kernel complains:\n{}", found.join("\n"));
        Ok(())
    }

    /// Processor time the process has used, in clock ticks (the unit of `/proc/PID/stat`).
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu_ticks(&self) -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        cpu_ticks(&stat).context("no times in /proc/PID/stat")
    }

    /// Everything the console showed.
    pub fn console(&self) -> String {
        self.stdout.text()
    }

    /// Everything the peer itself said.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    fn last_words(&self) -> String {
        let tail = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(25)..].join("\n")
        };
        format!(
            "--- command: {}\n--- console, last lines:\n{}\n--- standard error:\n{}",
            self.command,
            tail(self.stdout.text()),
            tail(self.stderr.text())
        )
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself; both calls then do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// utime + stime + cutime + cstime: fields 14 to 17, counted after the parenthesised name.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let after_name = stat.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let times = fields.get(11..15)?;
    times.iter().map(|time| time.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Guest {
        let log = std::env::temp_dir().join(format!("rhyp-guest-{}-{}", std::process::id(), script.len()));
        let arguments = ["-c".into(), script.into()];
        let guest = Guest::spawn(Peer::Rhyp, Path::new("/bin/sh"), &arguments, &log).unwrap();
        std::fs::remove_file(log).unwrap();
        guest
    }

    #[test]
    fn a_dialogue_with_a_process() {
        let mut guest = shell("echo ready; read word; echo got $word; exit 3");
        guest.expect("ready", patience()).unwrap();
        guest.send("hello\n").unwrap();
        assert_eq!(guest.expect(r"got (\w+)", patience()).unwrap()[1], "hello");
        guest.ends(Outcome::Died).unwrap();
    }

    #[test]
    fn an_early_end_and_a_wrong_status_are_failures() {
        let mut guest = shell("echo words; echo trouble >&2; exit 1");
        let error = guest.expect("never", patience()).unwrap_err().to_string();
        assert!(error.contains("ended before") && error.contains("words"), "{error}");
        let error = guest.ends(Outcome::PowerOff).unwrap_err().to_string();
        assert!(error.contains("status 0") && error.contains("trouble"), "{error}");
        assert_eq!(guest.stderr(), "trouble\n");
    }

    #[test]
    fn silence_is_a_failure() {
        let mut guest = shell("sleep 100 & exec sleep 100");
        assert!(guest.expect("x", Duration::from_millis(5)).is_err());
        assert!(guest.wait(Duration::from_millis(5)).is_err());
    }

    #[test]
    fn processor_time_is_read_past_odd_names() {
        let stat = "7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 100 20 3 0 20 0 1 0 99";
        assert_eq!(cpu_ticks(stat), Some(123));
        assert_eq!(cpu_ticks("7 (x) S 1"), None);
    }
}
