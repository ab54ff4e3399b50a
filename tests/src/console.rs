//! What a guest wrote, collected by a thread while the test waits for parts of it.

use regex::bytes::Regex;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Everything read from one stream so far.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    ended: bool,
}

/// A stream of a child process, kept whole.
#[derive(Clone, Default)]
pub(crate) struct Console {
    shared: Arc<(Mutex<Text>, Condvar)>,
}

/// Why waiting for a pattern ended without it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// The stream ended.
    End,
    /// Time ran out.
    Timeout,
}

impl Console {
    /// Starts collecting `stream`; every byte also goes to `log`.
    pub(crate) fn collect(mut stream: impl Read + Send + 'static, mut log: File) -> Self {
        let console = Self::default();
        let collected = console.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let count = match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                // The log on disk is a convenience; the test judges by the copy in memory.
                let _ = log.write_all(&buffer[..count]);
                collected.lock().bytes.extend_from_slice(&buffer[..count]);
                collected.shared.1.notify_all();
            }
            collected.lock().ended = true;
            collected.shared.1.notify_all();
        });
        console
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `pattern` matches at or after byte `from`; returns the end of the match and its groups' texts.
    pub(crate) fn wait(
        &self,
        pattern: &Regex,
        from: usize,
        limit: Duration,
    ) -> Result<(usize, Vec<String>), Missed> {
        let deadline = Instant::now() + limit;
        let mut text = self.lock();
        loop {
            if let Some(found) = pattern.captures_at(&text.bytes, from.min(text.bytes.len())) {
                let end = found.get(0).map_or(from, |all| all.end());
                let group = |g: Option<regex::bytes::Match<'_>>| {
                    g.map_or_else(String::new, |g| String::from_utf8_lossy(g.as_bytes()).into_owned())
                };
                return Ok((end, found.iter().map(group).collect()));
            }
            if text.ended {
                return Err(Missed::End);
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Err(Missed::Timeout);
            };
            text = self.shared.1.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the end of the stream; false if it did not come in time.
    pub(crate) fn wait_end(&self, limit: Duration) -> bool {
        let text = self.lock();
        let waited = self.shared.1.wait_timeout_while(text, limit, |text| !text.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Everything so far, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }
}

/// Lines of a console log that a healthy Linux does not write.
///
/// The kernel's own alarms are looked for, not every line that carries a word of worry.
pub fn complaints(log: &str) -> Vec<&str> {
    static ALARM: LazyLock<regex::Regex> = LazyLock::new(|| {
        let pattern = r"(?x)
            WARNING: | \bBUG\b | \bOops\b | soft\ lockup | [Hh]ard\ LOCKUP | rcu.*\bstall | detected\ stalls
            | Kernel\ panic | Call\ Trace | Unable\ to\ handle | unrecoverable | Bad\ page | \bblocked\ for\ more\ than
            | Unrecoverable | [Ii]llegal\ instruction | [Ss]egfault | stack-protector | invalid\ opcode
            | Debug:\ sleeping | INFO:\ task";
        regex::Regex::new(pattern).expect("a constant pattern")
    });
    log.lines().filter(|line| ALARM.is_match(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(bytes: &'static [u8]) -> Console {
        Console::collect(bytes, File::create("/dev/null").unwrap())
    }

    #[test]
    fn patterns_are_found_after_the_last_one() {
        let console = console(b"one=1\none=2\n");
        let pattern = Regex::new(r"one=(\d)").unwrap();
        let minute = Duration::from_secs(60);
        let (end, groups) = console.wait(&pattern, 0, minute).unwrap();
        assert_eq!((end, groups[1].as_str()), (5, "1"));
        let (end, groups) = console.wait(&pattern, end, minute).unwrap();
        assert_eq!(groups[1], "2");
        assert_eq!(console.wait(&pattern, end, minute), Err(Missed::End));
        assert!(console.wait_end(minute));
        assert_eq!(console.text(), "one=1\none=2\n");
    }

    #[test]
    fn silence_is_a_timeout() {
        let console = Console::default();
        let pattern = Regex::new("x").unwrap();
        assert_eq!(console.wait(&pattern, 0, Duration::from_millis(1)), Err(Missed::Timeout));
        assert!(!console.wait_end(Duration::from_millis(1)));
    }

    #[test]
    fn alarms_are_told_from_ordinary_lines() {
        for line in [
            "[    1.0] WARNING: CPU: 0 PID: 1 at kernel/x.c:1 y+0x1/0x2",
            "[    1.0] BUG: Unable to handle kernel data access on read at 0x0",
            "[    1.0] Oops: Kernel access of bad area, sig: 11 [#1]",
            "[   30.0] watchdog: BUG: soft lockup - CPU#0 stuck for 23s!",
            "[   21.0] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
            "[   21.0] rcu: INFO: rcu_sched self-detected stall on CPU",
            "[    1.0] Kernel panic - not syncing: x",
        ] {
            assert_eq!(complaints(line), [line]);
        }
        let healthy =
            "[ 0.0] rcu: Hierarchical RCU implementation.\n[ 0.0] Debug patch\nstalling for rcu? no\n";
        assert!(complaints(healthy).iter().all(|l| l.contains("stalling")), "{:?}", complaints(healthy));
    }
}
