//! Disks that one partition serves to another, beyond what `joints` has: a whole Debian on one, checks under load, and a
//! server that means ill.

use crate::Suite;
use crate::processor::built;
use crate::system::{Part, Up};
use anyhow::{Result, ensure};
use guest_tests::{Case, Images, Peer, patience};

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    suite.add_for(Peer::Rhyp, "served::a_server_that_steals_gets_nothing", true, thief);
}

/// The end of every script: a shell.
const SHELL: &str = "export PS1='shell> '\necho USERLAND\nwhile true; do setsid cttyhack sh; done\n";

/// A server that copies whatever it likes, from a client that looks at each byte of its memory, and from a Linux.
fn thief(case: &mut Case, images: &Images) -> Result<()> {
    let program = built("thief")?.join("thief");
    let linux = Part {
        name: "linux",
        script: SHELL,
        modules: &["ibmvscsi", "sd_mod"],
        profile: "entitlement = 0.6\nvscsi-client = [\"thief\"]\nautostart = false",
    };
    let mut text = Up::profile(case, images, "processors = 1", &[linux])?;
    for (name, adapters) in
        [("thief", "vscsi-server = [\"linux\", \"prey\"]"), ("prey", "vscsi-client = [\"thief\"]")]
    {
        text.push_str(&format!(
            "[[partition]]\nname = \"{name}\"\nkernel = \"{}\"\nmemory = \"64M\"\nentitlement = 0.2\nmode = \"capped\"\n\
             {adapters}\nautostart = false\n",
            program.display()
        ));
    }
    let up = Up::boot(case, &text, &[])?;
    let mut thief = up.console(case, "thief")?;
    let mut prey = up.console(case, "prey")?;
    up.ask(&["start", "prey"])?;
    up.ask(&["start", "thief"])?;
    prey.expect("PREY-DONE", patience())?;
    thief.expect("PREY-ROBBED", patience())?;
    up.ask(&["start", "linux"])?;
    let mut linux = up.console(case, "linux")?;
    thief.expect("LINUX-ROBBED", patience())?;
    // It has an adapter with nothing behind it, and is well.
    linux.expect("(?s)USERLAND.*shell> ", patience())?;
    linux.send("echo st''ill; cat /sys/class/scsi_host/host0/state\n")?;
    linux.expect(r"(?s)still.*running", patience())?;
    linux.is_healthy()?;
    up.ask(&["stop", "linux", "--now"])?;
    thief.expect("THIEF-DONE", patience())?;
    let told = format!("{}{}", thief.console(), prey.console());
    let failed: Vec<&str> = told.lines().filter(|l| l.contains("FAIL")).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    let good = told.lines().filter(|l| l.starts_with("OK ")).count();
    eprintln!("{good} checks");
    ensure!(good >= 75, "only {good} checks:\n{told}");
    up.down()
}
