//! Life of a partition: the interactive shell, reboot, panic, kexec, idleness, the demonstration.

use crate::Suite;
use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Cpu, Guest, Images, Outcome, Peer, patience};
use guests::{Initramfs, Kernel, KernelVersion};
use std::path::Path;
use std::time::{Duration, Instant};

/// A shell on the console with job control, started again when it ends.
const SHELL: &str = r#"
export PS1='shell> '
echo USERLAND
while true; do setsid cttyhack sh; done
"#;

/// How long the idle guest is watched.
const IDLE_SPAN: Duration = Duration::from_secs(10);

/// Share of one host processor an idle guest may use.
const IDLE_SHARE: f64 = 0.03;

/// Clock ticks a second in `/proc/PID/stat`; fixed by the kernel's interface to user programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the tests of this file.
pub fn register(suite: &mut Suite) {
    suite.add("life::shell_answers_and_powers_off", true, |case, images| {
        let mut guest = shell(case, images, Cpu::Power9)?;
        guest.send("uname -m\n")?;
        guest.expect("(?s)ppc64le.*shell> ", patience())?;
        // Job control: a stopped job comes back, an interrupt ends it.
        // (What is typed before the program runs would go to the shell.)
        guest.send("sh -c \"echo star''ted; while read word; do echo '<'\\$word'>'; done\"\n")?;
        guest.expect("started", patience())?;
        guest.send("first\n")?;
        guest.expect("<first>", patience())?;
        guest.send("\x1a")?;
        guest.expect("(?s)Stopped.*shell> ", patience())?;
        guest.send("fg; echo en''ded\n")?;
        guest.expect("(?s)fg;.*while read.*\n", patience())?;
        guest.send("last\n")?;
        guest.expect("<last>", patience())?;
        guest.send("\x03")?;
        guest.expect("shell> ", patience())?;
        guest.send("poweroff -f\n")?;
        guest.ends(Outcome::PowerOff)?;
        guest.is_healthy()
    });
    for (cpu, quick) in [(Cpu::Power9, true), (Cpu::Power8, false)] {
        suite.add(&format!("life::reboots_three_times_{cpu}"), quick, move |case, images| {
            let mut guest = shell(case, images, cpu)?;
            for _ in 0..3 {
                guest.send("reboot -f\n")?;
                guest.expect("USERLAND", patience())?;
                guest.expect("shell> ", patience())?;
            }
            guest.send("poweroff -f\n")?;
            guest.ends(Outcome::PowerOff)?;
            guest.is_healthy()
        });
    }
    suite.add("life::a_panic_ends_with_the_status_of_a_death", true, |case, images| {
        let mut guest = shell(case, images, Cpu::Power9)?;
        guest.send("echo c > /proc/sysrq-trigger\n")?;
        guest.expect("Kernel panic", patience())?;
        guest.ends(Outcome::Died)?;
        if case.peer() == Peer::Rhyp {
            ensure!(guest.stderr().contains("panic"), "rhyp says nothing of the panic: {:?}", guest.stderr());
        }
        Ok(())
    });
    for (version, cpu, quick) in [
        (KernelVersion::V6_1, Cpu::Power9, true),
        (KernelVersion::V6_1, Cpu::Power8, false),
        (KernelVersion::V6_12, Cpu::Power9, false),
    ] {
        let name = format!("life::kexec_{version}_{cpu}");
        if suite.images().kernel(version).is_some() {
            suite.add(&name, quick, move |case, images| kexec(case, images, version, cpu));
        } else {
            suite.leave_out(&name, "this host's archive has no such kernel");
        }
    }
    suite.add("life::idle_guest_uses_little", true, |case, images| {
        let mut guest = shell(case, images, Cpu::Power9)?;
        guest.send("sleep 5; echo set''tled\n")?;
        guest.expect("settled", patience())?;
        guest.expect("shell> ", patience())?;
        let (begin, before) = (Instant::now(), guest.cpu_ticks()?);
        std::thread::sleep(IDLE_SPAN);
        let used = (guest.cpu_ticks()? - before) as f64 / TICKS_PER_SECOND;
        let share = used / begin.elapsed().as_secs_f64();
        ensure!(share < IDLE_SHARE, "an idle guest uses {:.1} % of a host processor", share * 100.0);
        guest.send("poweroff -f\n")?;
        guest.ends(Outcome::PowerOff)
    });
    suite.add_for(Peer::Rhyp, "life::demo", true, |case, _| {
        let mut guest = case.start(&["demo".into()])?;
        guest.expect(r"root@rhyp:/root# ", patience())?;
        guest.send("uname -m\n")?;
        guest.expect("ppc64le", patience())?;
        guest.send("poweroff\n")?;
        guest.ends(Outcome::PowerOff)?;
        guest.is_healthy()
    });
    suite.add("life::demo_userland", false, |case, images| {
        let demo = images.demo()?;
        let mut guest = case.boot(&BootSpec::new(&demo.kernel.vmlinux, &demo.initrd))?;
        guest.expect("in a Power partition of rhyp", patience())?;
        guest.expect(r"root@rhyp:/root# ", patience())?;
        guest.send("sh -c \"echo star''ted; exec sleep 1000\"\n")?;
        guest.expect("started", patience())?;
        guest.send("\x03")?;
        guest.expect(r"root@rhyp:/root# ", patience())?;
        guest.send("poweroff\n")?;
        guest.ends(Outcome::PowerOff)?;
        guest.is_healthy()
    });
}

/// Boots to the prompt of an interactive shell.
fn shell(case: &mut Case, images: &Images, cpu: Cpu) -> Result<Guest> {
    let kernel = first_kernel(images)?;
    let initrd = images.write("shell", &images.userland(SHELL))?;
    let mut guest = case.boot(&BootSpec::new(&kernel.vmlinux, &initrd).on(cpu))?;
    guest.expect("USERLAND", patience())?;
    guest.expect("shell> ", patience())?;
    Ok(guest)
}

fn first_kernel(images: &Images) -> Result<&Kernel> {
    images.kernel(KernelVersion::V6_1).context("Debian's 6.1 kernel is missing")
}

/// Loads the same kernel with another initramfs, and jumps into it.
fn kexec(case: &mut Case, images: &Images, version: KernelVersion, cpu: Cpu) -> Result<()> {
    let kernel = images.kernel(version).context("kernel went away")?;
    let second = images.userland("echo SECOND-USERLAND online=$(nproc)\npoweroff -f\n");
    let second = images.write(&format!("kexec-second-{version}-{cpu}"), &second)?;
    let script = r#"
echo FIRST-USERLAND
kexec -l /boot/vmlinux --initrd=/boot/initrd.gz --append="console=hvc0 second" || echo KEXEC-FAILED
echo JUMP
kexec -e
"#;
    let first = with_kexec(images.userland(script), images, &kernel.vmlinux, &second)?;
    let first = images.write(&format!("kexec-first-{version}-{cpu}"), &first)?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &first).on(cpu);
    (spec.memory, spec.cpus) = ("2G".to_owned(), 2);
    let mut guest = case.boot(&spec)?;
    guest.expect("FIRST-USERLAND", patience())?;
    let seen = guest.expect("KEXEC-FAILED|JUMP", patience())?;
    ensure!(seen[0] == "JUMP", "kexec -l failed");
    let seen = guest.expect(r"SECOND-USERLAND online=(\d+)\s", patience())?;
    ensure!(seen[1] == "2", "2 processors before kexec, after it {}", seen[0]);
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}

fn with_kexec(base: Initramfs, images: &Images, vmlinux: &Path, initrd: &Path) -> Result<Initramfs> {
    Ok(base
        .programs(&images.tools()?, &["sbin/kexec"])?
        .host_file("boot/vmlinux", vmlinux)?
        .host_file("boot/initrd.gz", initrd)?)
}
