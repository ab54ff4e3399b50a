//! Systems of different kinds side by side: Linux of either byte order, and a program without an operating system.

use crate::Suite;
use crate::processor::built;
use crate::system::{Part, Up};
use anyhow::{Context, Result, ensure};
use guest_tests::{Case, Guest, Images, Peer, patience};
use std::path::{Path, PathBuf};

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    suite.add_for(Peer::Rhyp, "mixed::both_byte_orders_and_a_bare_program", false, mixed);
}

/// The end of every script: a shell.
const SHELL: &str = "export PS1='shell> '\necho USERLAND\nwhile true; do setsid cttyhack sh; done\n";

/// Tests of kvm-unit-tests that run one after the other in their partition: name, arguments, what they say at last.
const UNIT_TESTS: &[(&str, &str)] =
    &[("sprs", ""), ("spapr_hcall", ""), ("interrupts", ""), ("spapr_vpa", "")];

/// Where kvm-unit-tests were built (the directory with `boot_rom.bin`): `$RHYP_KVM_UNIT_TESTS`.
fn unit_tests() -> Option<PathBuf> {
    std::env::var_os("RHYP_KVM_UNIT_TESTS").map(PathBuf::from)
}

/// Does a command at a shell and answers what its last line with `mark=` says.
fn ask(console: &mut Guest, command: &str, mark: &str) -> Result<String> {
    console.send(&format!("{command}\n"))?;
    let found = console.expect(&format!(r"{mark}=([^\r\n]*)[\r\n]"), patience());
    Ok(found.with_context(|| command.to_owned())?[1].clone())
}

/// A little-endian and a big-endian Linux fetch files from each other over the switch, while a third partition runs
/// programs without an operating system: kvm-unit-tests, if there are any, else one that makes hypercalls at random.
fn mixed(case: &mut Case, images: &Images) -> Result<()> {
    let big = built("big-endian")?;
    let little = format!(
        "ip address add 10.9.0.1/24 dev eth0; ip link set eth0 up\nmkdir /www\n\
         dd if=/dev/urandom of=/www/f bs=1M count=8 2>/dev/null; httpd -p 80 -h /www\n{SHELL}"
    );
    let net = "net = [\"switch=lan,model=veth\"]";
    let part = Part {
        name: "little",
        script: &little,
        modules: &["ibmveth"],
        profile: &format!("entitlement = 0.4\n{net}"),
    };
    let mut text = Up::profile(case, images, "processors = 1", &[part])?;
    text.push_str(&format!(
        "[[partition]]\nname = \"big\"\nmemory = \"256M\"\nentitlement = 0.4\nkernel = \"{}\"\ninitrd = \"{}\"\n\
         append = \"console=hvc0 quiet\"\n{net}\n",
        big.join("vmlinux").display(),
        big.join("initrd.gz").display()
    ));
    let mut bare = Vec::new();
    if let Some(dir) = unit_tests() {
        for (n, (name, append)) in UNIT_TESTS.iter().enumerate() {
            let partition = format!("test{n}");
            text.push_str(&unit_test(&partition, &dir, name, append));
            bare.push((partition, *name));
        }
    } else {
        let program = built("hostile")?.join("hostile");
        text.push_str(&format!(
            "[[partition]]\nname = \"bare\"\nkernel = \"{}\"\nmemory = \"64M\"\nentitlement = 0.1\n{net}\n",
            program.display()
        ));
    }
    let up = Up::boot(case, &text, &[])?;
    let mut little = up.console(case, "little")?;
    let mut big = up.console(case, "big")?;
    little.expect("(?s)USERLAND.*shell> ", patience())?;
    big.expect("RHYP-USERLAND-OK ppc64 ", patience())?;
    let order = "printf '\\001\\002' | od -An -tx2 | tr -d ' ' | sed 's/^/order''=/'";
    ensure!(ask(&mut little, order, "order")? == "0201", "the little-endian system is not");
    ensure!(ask(&mut big, order, "order")? == "0102", "the big-endian system is not");
    let serve = "ifconfig eth0 10.9.0.2 up; mkdir -p /www; dd if=/dev/urandom of=/www/f bs=1M count=8 2>/dev/null; \
                 httpd -p 80 -h /www; echo ready''=$?";
    ensure!(ask(&mut big, serve, "ready")? == "0", "no web server");
    // Each asks the other for its file, several times, and both say what they have.
    for round in 0..4 {
        let ping = |a: &str| {
            format!("ping -c 3 -s 1400 {a} > /tmp/ping; echo lost''=$(grep -c ' 0% packet loss' /tmp/ping)")
        };
        ensure!(
            ask(&mut little, &ping("10.9.0.2"), "lost")? == "1",
            "pings to the big-endian system are lost"
        );
        ensure!(
            ask(&mut big, &ping("10.9.0.1"), "lost")? == "1",
            "pings to the little-endian system are lost"
        );
        let own = "echo own''=$(sha256sum < /www/f)";
        let other = |a: &str| {
            format!("rm -f /tmp/f; wget -q -O /tmp/f http://{a}/f; echo other''=$(sha256sum < /tmp/f)")
        };
        let (a, b) = (ask(&mut little, own, "own")?, ask(&mut big, own, "own")?);
        let (at_a, at_b) =
            (ask(&mut little, &other("10.9.0.2"), "other")?, ask(&mut big, &other("10.9.0.1"), "other")?);
        ensure!(a == at_b && b == at_a && a != b, "round {round}: {a} became {at_b}, {b} became {at_a}");
    }
    if bare.is_empty() {
        let shown = up.ask(&["show", "bare"])?;
        let count = shown.lines().find_map(|l| l.strip_prefix("hypercalls ")).context("no count")?;
        ensure!(count.trim().parse::<u64>()? > 1000, "the bare program does nothing:\n{shown}");
    }
    for (partition, name) in &bare {
        let mut console = up.console(case, partition)?;
        let told = console.expect(r"(?s)(.*)SUMMARY: ([^\r\n]*)", patience())?;
        ensure!(!told[1].contains("FAIL") && !told[2].contains("unexpected"), "{name}: {}", told[0]);
        eprintln!("{name}: {}", told[2]);
    }
    for console in [little.console(), big.console()] {
        ensure!(!console.contains("Oops") && !console.contains("panic"), "{console}");
    }
    up.down()
}

/// The profile of a partition that runs a test.
fn unit_test(partition: &str, dir: &Path, name: &str, append: &str) -> String {
    let dir = dir.display();
    format!(
        "[[partition]]\nname = \"{partition}\"\nmemory = \"256M\"\nentitlement = 0.05\nfirmware = \"{dir}/boot_rom.bin\"\n\
         kernel = \"{dir}/{name}.elf\"\nappend = \"{append}\"\n"
    )
}
