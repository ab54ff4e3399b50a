//! `rhyp demo`: from nothing to a root shell inside a Power partition.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

use guests::{CacheDir, Guests, GuestsError, Progress};
use partition::BootImages;

use crate::args::DemoArgs;
use crate::console::Watch;
use crate::error::Failure;
use crate::run;

/// What the demonstration's shell prints right before its first prompt.
const READY: &[u8] = b"starts it again.";

/// Fetch, build, boot.
pub fn demo(a: &DemoArgs) -> Result<ExitCode, Failure> {
    let cache = CacheDir::user().map_err(fetch)?;
    let found = Guests::open(cache, Progress::auto()).demo().map_err(fetch)?;
    let read = |p: &std::path::Path| {
        std::fs::read(p).map_err(|e| Failure::internal(format!("{}: {e}", p.display())))
    };
    let images = BootImages {
        firmware: None,
        kernel: Some(read(&found.kernel.vmlinux)?.into()),
        initrd: Some(read(&found.initrd)?.into()),
        append: format!("console=hvc0 {}", a.append).trim_end().to_owned(),
    };
    eprintln!("rhyp: booting Linux {} ({})", found.kernel.release, a.machine.cpu);
    if std::io::stdin().is_terminal() {
        eprintln!("rhyp: 'poweroff' switches the partition off, Ctrl-A x ends it at once");
    }
    let name = |p: &std::path::Path| p.display().to_string();
    let names = run::FileNames {
        firmware: String::new(),
        kernel: name(&found.kernel.vmlinux),
        initrd: name(&found.initrd),
    };
    run::start(&a.machine, images, &names, Some(stopwatch()))
}

fn fetch(e: GuestsError) -> Failure {
    Failure::internal(e.to_string())
}

/// Tells how long the boot took when the shell is there.
fn stopwatch() -> Watch {
    let start = Instant::now();
    let mut seen: Vec<u8> = Vec::new();
    let mut told = false;
    Box::new(move |bytes| {
        if told {
            return;
        }
        seen.extend_from_slice(bytes);
        if seen.windows(READY.len()).any(|w| w == READY) {
            told = true;
            eprint!("\r\nrhyp: the shell is up {:.2} s after the start\r\n", start.elapsed().as_secs_f64());
        } else if seen.len() > 4096 {
            seen.drain(..seen.len() - READY.len());
        }
    })
}
