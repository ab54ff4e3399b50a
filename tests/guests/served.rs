//! Disks that one partition serves to another, beyond what `joints` has: a whole Debian on one, checks under load, and a
//! server that means ill.

use crate::joints::SERVE;
use crate::processor::built;
use crate::system::{OPEN_TO_CLIENT, Part, THREE_DISKS, Up};
use crate::{Suite, boot_order, disk_boot};
use anyhow::{Context, Result, ensure};
use guest_tests::{Case, Guest, Images, Peer, patience};
use guests::KernelVersion;
use std::time::Duration;

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    suite.add_for(Peer::Rhyp, "served::a_server_that_steals_gets_nothing", true, thief);
    suite.add_for(Peer::Rhyp, "served::firmware_boots_from_a_served_disk", true, firmware);
    let seconds = std::env::var("RHYP_FIO_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(300);
    suite.add_for(Peer::Rhyp, "served::a_debian_on_a_served_disk", false, move |case, images| {
        debian(case, images, Duration::from_secs(seconds))
    });
}

/// Linux's target: a whole disk of the host's, and a file and a loop device on another, which outlive the server. What a
/// client was told is written is on the host's disk: the file is written through, and the loop device goes past the
/// server's page cache.
const STORE: &str = r#"
mkdir /d
mount -t ext4 /dev/vdb /d 2>/dev/null || {
    mke2fs /dev/vdb > /dev/null
    mount -t ext4 /dev/vdb /d
    dd if=/dev/zero of=/d/file bs=1M count=96 2>/dev/null
    dd if=/dev/zero of=/d/loop bs=1M count=64 2>/dev/null
    sync
}
/sbin/losetup --direct-io=on /dev/loop0 /d/loop
SIZE=100663296
"#;

/// The built-in firmware finds a boot program on one of the disks that Linux serves, whenever that is there.
fn firmware(case: &mut Case, images: &Images) -> Result<()> {
    let image = case.file("img", &boot_order::disk())?;
    let serve = format!("{SERVE}{THREE_DISKS}{OPEN_TO_CLIENT}{SHELL}");
    let store = format!("entitlement = 0.5\nvscsi-server = [\"client\"]\ndisk = [\"{}\"]", image.display());
    let modules = ["virtio_blk", "loop", "ibmvscsis", "target_core_iblock", "target_core_file", "configfs"];
    let store = Part { name: "store", script: &serve, modules: &modules, profile: &store };
    let mut text = Up::profile(case, images, "processors = 1", &[store])?;
    text.push_str(
        "[[partition]]\nname = \"client\"\nmemory = \"64M\"\nentitlement = 0.5\nvscsi-client = [\"store\"]\n",
    );
    let up = Up::boot(case, &text, &[])?;
    let mut client = up.console(case, "client")?;
    client.expect("Waiting for the partition that serves /vdevice/v-scsi@71003000", patience())?;
    client.expect("FROM /vdevice/v-scsi@71003000/disk@8[0-9a-f]{15}:1", patience())?;
    up.expect_state("client", "powered off")?;
    // One that waits can be switched off.
    up.ask(&["stop", "store", "--now"])?;
    up.ask(&["start", "client"])?;
    client.expect("Waiting for the partition", patience())?;
    up.ask(&["stop", "client", "--now"])?;
    up.expect_state("client", "stopped")?;
    // And one whose server comes only then.
    up.ask(&["start", "client"])?;
    up.ask(&["start", "store"])?;
    client.expect("FROM /vdevice/v-scsi@71003000/disk@8[0-9a-f]{15}:1", patience())?;
    up.expect_state("client", "powered off")?;
    up.down()
}

/// Debian, booted by GRUB from a disk which Linux serves in another partition; then checks by fio of a file and of a loop
/// device there, and the same while the server's partition is switched off, and dies, and comes back.
fn debian(case: &mut Case, images: &Images, length: Duration) -> Result<()> {
    let image = disk_boot::image(case)?;
    let disk = case.file("qcow2", &[])?;
    std::fs::copy(image, &disk)?;
    let data = case.file("img", &[])?;
    std::fs::File::options().write(true).open(&data)?.set_len(256 << 20)?;
    let newest = images.kernel(KernelVersion::V6_12).context("Debian's 6.12 kernel is missing")?;
    let modules = [
        "virtio_blk",
        "loop",
        "ext4",
        "crc32c_generic",
        "ibmvscsis",
        "target_core_iblock",
        "target_core_file",
        "configfs",
    ];
    let store = images
        .userland(&format!("{STORE}{THREE_DISKS}{OPEN_TO_CLIENT}{SHELL}"))
        .programs(&images.tools()?, &["sbin/losetup"])?
        .modules(newest, &modules)?;
    let store_initrd = case.file("initrd", &[])?;
    store.write(&store_initrd)?;
    let store = format!(
        "number = 5\nentitlement = 0.5\nvscsi-server = [\"debian\"]\ndisk = [\"{}\", \"{},format=raw\"]",
        disk.display(),
        data.display()
    );
    let client = "name = \"debian\"\nmemory = \"1G\"\nentitlement = 0.5\nvscsi-client = [\"store\"]\nautostart = false";
    let text = format!(
        "[node]\nprocessors = 1\n{}[[partition]]\n{client}\n",
        Up::section("store", &newest.vmlinux, &store_initrd, &store).replace("256M", "512M"),
    );
    let up = Up::boot(case, &text, &[])?;
    let mut store = up.console(case, "store")?;
    store.expect("(?s)USERLAND.*shell> ", patience())?;
    up.ask(&["start", "debian"])?;
    let mut debian = up.console(case, "debian")?;
    log_in(&mut debian)?;
    let state = ask(&mut debian, "systemctl is-system-running --wait; findmnt -no SOURCE /", patience())?;
    ensure!(state.contains("running") && state.contains("/dev/sd"), "{state}");
    // By what they hold: their names say nothing.
    let find = "for d in sda sdb sdc; do case $(cat /sys/block/$d/size) in 196608) ln -sf $d /dev/file ;; \
                131072) ln -sf $d /dev/memory ;; esac; done; ls /dev/file /dev/memory | wc -l";
    ensure!(ask(&mut debian, find, patience())?.trim() == "2", "the disks are not there");
    let fio = |seconds: u64| {
        let one = |name: &str, size: &str| format!("--name={name} --filename=/dev/{name} --size={size}");
        format!(
            "fio --rw=randrw --bs=16k --direct=1 --ioengine=libaio --iodepth=8 --verify=crc32c --verify_fatal=1 \
             --verify_backlog=256 --time_based --runtime={seconds} --eta=never --output=/tmp/fio {} {}; echo FIO $?; \
             grep -E 'err=|IOPS=' /tmp/fio",
            one("file", "96m"),
            one("memory", "64m")
        )
    };
    let told = ask(&mut debian, &fio(length.as_secs()), patience() + 2 * length)?;
    ensure!(told.contains("FIO 0") && told.matches("err= 0").count() == 2, "{told}");
    eprintln!("{} s of checks:\n{told}", length.as_secs());
    // The same with a server that goes and comes.
    let done = |debian: &mut Guest| -> Result<u64> {
        let count = "awk '{ n += $1 + $5 } END { printf \"DONE-%d.\\n\", n }' /sys/block/sd[abc]/stat";
        debian.send(&format!("{count}\n"))?;
        Ok(debian.expect(r"DONE-(\d+)\.", patience())?[1].parse()?)
    };
    debian.send(&format!("({}; echo OV''ER) > /tmp/told 2>&1 &\n", fio(90)))?;
    let start = done(&mut debian)?;
    let wait_for = |debian: &mut Guest, more: u64| -> Result<u64> {
        let from = done(debian)?;
        let deadline = std::time::Instant::now() + patience();
        loop {
            let now = done(debian)?;
            if now >= from + more {
                return Ok(now);
            }
            ensure!(std::time::Instant::now() < deadline, "{more} requests more are not done");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    wait_for(&mut debian, 200)?;
    for dies in [false, true] {
        if dies {
            store.send("echo c > /proc/sysrq-trigger\n")?;
            up.expect_state("store", "died")?;
        } else {
            up.ask(&["stop", "store", "--now"])?;
            up.expect_state("store", "stopped")?;
        }
        let stood = done(&mut debian)?;
        std::thread::sleep(Duration::from_secs(5));
        let still = done(&mut debian)?;
        ensure!(stood == still, "{} requests were done without a server", still - stood);
        up.ask(&["start", "store"])?;
        store.expect("(?s)USERLAND.*shell> ", patience())?;
        wait_for(&mut debian, 200)?;
    }
    let told =
        ask(&mut debian, "until grep -q OVER /tmp/told; do sleep 0.5; done; cat /tmp/told", patience())?;
    ensure!(told.contains("FIO 0") && told.matches("err= 0").count() == 2, "{told}");
    eprintln!("{} requests, with a server that went twice:\n{told}", done(&mut debian)? - start);
    let state = ask(
        &mut debian,
        "systemctl is-system-running; touch /root/here && sync && echo SYN''CED",
        patience(),
    )?;
    ensure!(state.contains("running") && state.contains("SYNCED"), "{state}");
    debian.send("poweroff\n")?;
    up.expect_state("debian", "powered off")?;
    up.down()
}

/// Logs in at the console of [`disk_boot::image`], to a shell that echoes nothing and asks for nothing.
pub fn log_in(guest: &mut Guest) -> Result<()> {
    guest.expect("login: ", patience() * 3)?;
    guest.send("root\n")?;
    guest.expect("root@debian:", patience())?;
    guest.send("exec sh\n")?;
    guest.expect("# ", patience())?;
    guest.send("stty -echo; set +m; PS1=; echo REA''DY\n")?;
    guest.expect("READY", patience())?;
    Ok(())
}

/// What a command prints at root's shell.
pub fn ask(guest: &mut Guest, command: &str, limit: Duration) -> Result<String> {
    // The command line itself does not match: the marks are put together by the shell.
    guest.send(&format!("echo BEG''IN; {command}; echo EN''D\n"))?;
    let found = guest.expect(r"BEGIN\r?\n((?s).*?)END\r?\n", limit)?;
    found.get(1).cloned().context("no answer")
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
