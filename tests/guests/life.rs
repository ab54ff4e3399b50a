//! Life of a partition: the interactive shell, reboot, panic, kexec, idleness, the demonstration.

use crate::Suite;
use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Cpu, Guest, Images, Outcome, PATIENCE, Peer};
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
        guest.expect("ppc64le", PATIENCE)?;
        // Job control: a stopped job comes back.
        guest.send("cat\n")?;
        guest.send("echoed\n")?;
        guest.expect("echoed\r?\nechoed", PATIENCE)?;
        guest.send("\x1a")?;
        guest.expect("Stopped", PATIENCE)?;
        guest.send("fg\n")?;
        guest.expect("cat", PATIENCE)?;
        guest.send("\x03")?;
        guest.expect("shell> ", PATIENCE)?;
        guest.send("poweroff -f\n")?;
        guest.ends(Outcome::PowerOff)?;
        guest.is_healthy()
    });
    for (cpu, quick) in [(Cpu::Power9, true), (Cpu::Power8, false)] {
        suite.add(&format!("life::reboots_three_times_{cpu}"), quick, move |case, images| {
            let mut guest = shell(case, images, cpu)?;
            for _ in 0..3 {
                guest.send("reboot -f\n")?;
                guest.expect("USERLAND", PATIENCE)?;
                guest.expect("shell> ", PATIENCE)?;
            }
            guest.send("poweroff -f\n")?;
            guest.ends(Outcome::PowerOff)?;
            guest.is_healthy()
        });
    }
    suite.add("life::a_panic_ends_with_the_status_of_a_death", true, |case, images| {
        let mut guest = shell(case, images, Cpu::Power9)?;
        guest.send("echo c > /proc/sysrq-trigger\n")?;
        guest.expect("Kernel panic", PATIENCE)?;
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
        guest.expect("settled", PATIENCE)?;
        guest.expect("shell> ", PATIENCE)?;
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
        guest.expect(r"root@rhyp:~# ", PATIENCE)?;
        guest.send("uname -m\n")?;
        guest.expect("ppc64le", PATIENCE)?;
        guest.send("poweroff\n")?;
        guest.ends(Outcome::PowerOff)?;
        guest.is_healthy()
    });
    suite.add("life::demo_userland", false, |case, images| {
        let demo = images.demo()?;
        let mut guest = case.boot(&BootSpec::new(&demo.kernel.vmlinux, &demo.initrd))?;
        guest.expect("in a Power partition of rhyp", PATIENCE)?;
        guest.expect(r"root@rhyp:~# ", PATIENCE)?;
        guest.send("sleep 1000\n")?;
        guest.send("\x03")?;
        guest.expect(r"root@rhyp:~# ", PATIENCE)?;
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
    guest.expect("USERLAND", PATIENCE)?;
    guest.expect("shell> ", PATIENCE)?;
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
    guest.expect("FIRST-USERLAND", PATIENCE)?;
    let seen = guest.expect("KEXEC-FAILED|JUMP", PATIENCE)?;
    ensure!(seen[0] == "JUMP", "kexec -l failed");
    let seen = guest.expect(r"SECOND-USERLAND online=(\d+)", PATIENCE)?;
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
