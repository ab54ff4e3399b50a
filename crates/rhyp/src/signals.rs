//! Being asked to end: SIGTERM, SIGINT and SIGHUP end the partition as Ctrl-A x does, so that what its disks hold back
//! is written before the process goes. A second request, or one before there is a partition, ends the process at once.

use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{SigSet, Signal};
use partition::Partition;

use crate::error::Failure;

/// The signals that ask for the end.
const ALL: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Whoever hears the signals.
#[derive(Clone, Default)]
pub struct Requests(Arc<Mutex<Option<End>>>);

/// Ends what is to end; `false` if that is gone already.
type End = Box<dyn FnOnce() -> bool + Send>;

impl Requests {
    /// Hears them from now on. Threads that are made later leave the signals to the one made here; child processes begin
    /// without any blocked.
    pub fn listen() -> Result<Self, Failure> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut set = SigSet::empty();
        ALL.into_iter().filter(|&s| !ignored(&status, s)).for_each(|s| set.add(s));
        let host = |e: std::io::Error| Failure::internal(format!("signals cannot be waited for: {e}"));
        set.thread_block().map_err(|e| host(e.into()))?;
        let requests = Requests::default();
        let heard = requests.clone();
        let wait = move || {
            while let Ok(signal) = set.wait() {
                let first = std::mem::take(&mut *heard.0.lock().unwrap_or_else(PoisonError::into_inner));
                if !first.is_some_and(|end| end()) {
                    std::process::exit(128 + signal as i32);
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(host)?;
        Ok(requests)
    }

    /// What is to end.
    pub fn end(&self, p: &Arc<Partition>) {
        let p = Arc::downgrade(p);
        self.end_by(move || p.upgrade().map(|p| p.stop()).is_some());
    }

    /// How to end it; `false` says that it is gone already.
    pub fn end_by(&self, end: impl FnOnce() -> bool + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(end));
    }
}

/// Whether whoever started this process wants a signal ignored (`nohup`, jobs in the background of a script), by
/// `/proc/PID/status`.
fn ignored(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal as u32 - 1) & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ignored_stays_ignored() {
        let status = "Name:\trhyp\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(ignored(status, Signal::SIGHUP) && !ignored(status, Signal::SIGTERM));
        assert!(!ignored("", Signal::SIGHUP));
    }
}
