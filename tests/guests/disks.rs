//! Disks: what guests read and write, other programs' images, bad images, and what a killed host process leaves
//! (`$RHYP_LIVES` kills of each format).

use crate::Suite;
use anyhow::{Context, Result, bail, ensure};
use guest_tests::{BootSpec, Case, Images, Outcome, Peer, patience, rhyp_program};
use guests::{Kernel, KernelVersion};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Drivers of disks.
const MODULES: &[&str] = &["ibmvscsi", "sd_mod", "sr_mod", "virtio_blk", "ext4"];

/// Waits for devices, which are probed in the background; finds a SCSI disk by its number on the adapter.
const HELPERS: &str = r#"
wait_for() { i=0; while [ ! -b /dev/$1 ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; [ -b /dev/$1 ] || echo "MISSING $1"; }
scsi() { i=0; while [ $i -lt 300 ]; do for d in /sys/class/scsi_disk/0:0:$1:0/device/block/*; do [ -e "$d" ] && { echo ${d##*/}; return; }; done; sleep 0.1; i=$((i+1)); done; echo none; }
"#;

/// Adds the tests of this file.
pub fn register(suite: &mut Suite) {
    for (version, quick) in [(KernelVersion::V6_12, true), (KernelVersion::V6_1, false)] {
        suite.add_for(Peer::Rhyp, &format!("disks::vscsi_{version}"), quick, move |case, images| {
            vscsi(case, images, version)
        });
    }
    suite.add_for(Peer::Rhyp, "disks::nothing_is_lost_without_a_flush", true, unflushed);
    for (n, signal) in ["TERM", "INT", "HUP"].into_iter().enumerate() {
        let name = format!("disks::nothing_is_lost_when_asked_to_end_by_{signal}");
        suite.add_for(Peer::Rhyp, &name, n == 0, move |case, images| asked_to_end(case, images, signal));
    }
    suite.add_for(Peer::Rhyp, "disks::locks_are_those_of_the_other_tools", true, locks);
    let lives = std::env::var("RHYP_LIVES").ok().and_then(|text| text.parse().ok());
    let lives = lives.unwrap_or(if suite.all() { 50 } else { 2 });
    for format in ["qcow2", "raw"] {
        if have("mke2fs") && have("qemu-img") {
            let name = format!("disks::kills_lose_nothing_{format}");
            let quick = format == "qcow2";
            suite.add_for(Peer::Rhyp, &name, quick, move |case, images| kills(case, images, format, lives));
        } else {
            suite.leave_out(
                "disks::kills_lose_nothing",
                "mke2fs (e2fsprogs) or qemu-img (qemu-utils) is missing",
            );
        }
    }
    for format in ["raw", "qcow2"] {
        let name = format!("disks::images_go_both_ways_{format}");
        if have("mke2fs") && have("debugfs") && have("qemu-img") {
            suite.add_for(Peer::Rhyp, &name, format == "qcow2", move |case, images| {
                both_ways(case, images, format)
            });
        } else {
            suite.leave_out(&name, "debugfs (e2fsprogs) or qemu-img (qemu-utils) is missing");
        }
    }
    suite.add_for(Peer::Rhyp, "disks::fio_verifies_what_it_wrote", false, fio);
}

fn have(program: &str) -> bool {
    Command::new(program).arg("-V").output().is_ok()
}

fn kernel(images: &Images, version: KernelVersion) -> Result<&Kernel> {
    images.kernel(version).or(images.kernel(KernelVersion::V6_1)).context("no kernel")
}

fn tool(program: &str, args: &[&str]) -> Result<String> {
    let out = Command::new(program).args(args).output().with_context(|| format!("{program} {args:?}"))?;
    let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    ensure!(out.status.success(), "{program} {args:?}: {}: {text}", out.status);
    Ok(text)
}

fn disk(path: &Path, more: &str) -> [OsString; 2] {
    let mut value = path.as_os_str().to_owned();
    value.push(more);
    ["--disk".into(), value]
}

/// Two disks and a CD-ROM on the virtual SCSI adapter.
fn vscsi(case: &mut Case, images: &Images, version: KernelVersion) -> Result<()> {
    let kernel = kernel(images, version)?;
    let script = format!(
        r#"{HELPERS}
A=$(scsi 0); B=$(scsi 1); S=$(scsi 2); wait_for sr0
echo SIZES $(cat /sys/block/$A/size /sys/block/$B/size /sys/block/sr0/size /sys/block/$S/size)
echo CD $(dd if=/dev/sr0 bs=2048 skip=3 count=1 2>/dev/null | head -c 11)
echo READ $(dd if=/dev/$A bs=1M 2>/dev/null | md5sum)
yes from-the-guest | head -c 3000000 | dd of=/dev/$A bs=4k seek=10 conv=fsync 2>/dev/null
yes to-be-forgotten | head -c 65536 | dd of=/dev/$S bs=4k conv=fsync 2>/dev/null
echo FORGOTTEN $(dd if=/dev/$S bs=16 count=1 2>/dev/null)
dd if=/dev/zero of=/dev/$B bs=512 count=1 2>/dev/null && echo READONLY-WRITTEN
mount -t ext2 /dev/$A /mnt 2>/dev/null && echo MOUNTED-RUBBISH
echo POWERING-OFF; poweroff -f
"#
    );
    let initrd =
        images.write(&format!("disks-{version}"), &images.userland(&script).modules(kernel, MODULES)?)?;
    let mut bytes: Vec<u8> = (0..8u32 << 20).map(|n| (n / 512 % 251) as u8).collect();
    let a = case.file("a", &bytes)?;
    let b = case.file("b", &[7; 1 << 20])?;
    let mut cd = vec![0; 3 * 2048];
    cd.extend(b"cd-contents");
    cd.resize(400 * 2048, 0);
    let cd = case.file("iso", &cd)?;
    let s = case.file("snap", &vec![0x55; 1 << 20])?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    for words in [
        disk(&a, ",bus=vscsi"),
        disk(&b, ",bus=vscsi,readonly"),
        disk(&s, ",bus=vscsi,snapshot"),
        disk(&cd, ",cdrom"),
    ] {
        spec.rhyp_options.extend(words);
    }
    let mut guest = case.boot(&spec)?;
    guest.expect("SIZES 16384 2048 1600 2048", patience())?;
    guest.expect("CD cd-contents", patience())?;
    let md5 = tool("md5sum", &[&a.to_string_lossy()])?;
    guest.expect(&format!("READ {}", &md5[..32]), patience())?;
    guest.expect("FORGOTTEN to-be-forgotten", patience())?;
    guest.expect("POWERING-OFF", patience())?;
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()?;
    let console = guest.console();
    ensure!(!console.contains("READONLY-WRITTEN") && !console.contains("MOUNTED"), "{console}");
    let written: Vec<u8> = b"from-the-guest\n".iter().copied().cycle().take(3_000_000).collect();
    bytes[40960..40960 + written.len()].copy_from_slice(&written);
    ensure!(std::fs::read(&a)? == bytes, "the image does not hold what the guest wrote");
    ensure!(std::fs::read(&b)? == [7; 1 << 20], "the read-only image was changed");
    ensure!(std::fs::read(&s)? == vec![0x55; 1 << 20], "the snapshot's image was changed");
    Ok(())
}

/// A guest that leaves without a flush loses nothing all the same.
fn unflushed(case: &mut Case, images: &Images) -> Result<()> {
    if !have("qemu-img") {
        return Ok(());
    }
    let kernel = kernel(images, KernelVersion::V6_12)?;
    let script = format!(
        r#"{HELPERS}
wait_for vda
yes never-flushed | head -c 3000000 | dd of=/dev/vda bs=4096 iflag=fullblock oflag=direct 2>/dev/null
poweroff -f
"#
    );
    let initrd = images.write("disks-unflushed", &images.userland(&script).modules(kernel, MODULES)?)?;
    let (image, raw) = (case.file("qcow2", &[])?, case.file("raw", &[])?);
    let name = |p: &Path| p.to_string_lossy().into_owned();
    tool("qemu-img", &["create", "-q", "-f", "qcow2", &name(&image), "8M"])?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    spec.rhyp_options.extend(disk(&image, ""));
    let mut guest = case.boot(&spec)?;
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()?;
    tool("qemu-img", &["check", "-q", &name(&image)])?;
    tool("qemu-img", &["convert", "-O", "raw", &name(&image), &name(&raw)])?;
    let want: Vec<u8> = b"never-flushed\n".iter().copied().cycle().take(3_000_000 / 4096 * 4096).collect();
    ensure!(std::fs::read(&raw)?.starts_with(&want), "what was written is not there");
    Ok(())
}

/// A process that is asked to end by a signal writes what its disks hold back, and ends as if all were well.
fn asked_to_end(case: &mut Case, images: &Images, signal: &str) -> Result<()> {
    if !have("qemu-img") {
        return Ok(());
    }
    let kernel = kernel(images, KernelVersion::V6_12)?;
    let script = format!(
        r#"{HELPERS}
wait_for vda
yes never-flushed | head -c 3000000 | dd of=/dev/vda bs=4096 iflag=fullblock oflag=direct 2>/dev/null
echo WRITTEN
while true; do dd if=/dev/vda of=/dev/null bs=1M iflag=direct 2>/dev/null; done
"#
    );
    let initrd =
        images.write(&format!("disks-{signal}"), &images.userland(&script).modules(kernel, MODULES)?)?;
    let (image, raw) = (case.file("qcow2", &[])?, case.file("raw", &[])?);
    let name = |p: &Path| p.to_string_lossy().into_owned();
    tool("qemu-img", &["create", "-q", "-f", "qcow2", &name(&image), "8M"])?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    spec.cpus = 2;
    spec.rhyp_options.extend(disk(&image, ""));
    let mut guest = case.boot(&spec)?;
    guest.expect("WRITTEN", patience())?;
    guest.signal(signal)?;
    let status = guest.wait(patience())?;
    ensure!(status.code() == Some(0), "{status}: {}", guest.stderr());
    let check = tool("qemu-img", &["check", &name(&image)])?;
    ensure!(check.contains("No errors"), "{check}");
    tool("qemu-img", &["convert", "-O", "raw", &name(&image), &name(&raw)])?;
    let want: Vec<u8> = b"never-flushed\n".iter().copied().cycle().take(3_000_000 / 4096 * 4096).collect();
    ensure!(std::fs::read(&raw)?.starts_with(&want), "what was written is not there");
    // Whoever never gets as far as a guest ends at once.
    let socket = case.file("sock", &[])?;
    std::fs::remove_file(&socket)?;
    let net = OsString::from(format!("socket={},listen", socket.display()));
    spec.rhyp_options = vec!["--net".into(), net];
    let mut waiting = case.boot(&spec)?;
    let limit = Instant::now() + patience();
    while !socket.exists() {
        ensure!(Instant::now() < limit, "nobody listens at {}", socket.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    waiting.signal(signal)?;
    let status = waiting.wait(patience())?;
    ensure!(status.code().is_some_and(|c| c > 128), "{status}: {}", waiting.stderr());
    // The socket is still there, and goes with the test.
    Ok(())
}

/// A running partition's image is refused to a second one and to qemu-img, and the other way round.
fn locks(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = kernel(images, KernelVersion::V6_12)?;
    let initrd = images.write("disks-locks", &images.userland("echo UP; sleep 1000\n"))?;
    let image = case.file("img", &[0; 1 << 20])?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    spec.rhyp_options.extend(disk(&image, ",bus=vscsi"));
    let mut guest = case.boot(&spec)?;
    guest.expect("UP", patience())?;
    let second = Command::new(rhyp_program()?).args(spec.arguments(Peer::Rhyp)).output()?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(second.status.code() == Some(2) && said.lines().count() == 1, "{}: {said}", second.status);
    ensure!(said.contains("another program"), "{said}");
    if have("qemu-img") {
        let copy = case.file("copy", &[])?;
        let convert = ["convert", "-f", "raw", "-O", "raw"];
        let out = Command::new("qemu-img").args(convert).arg(&image).arg(copy).output()?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(!out.status.success() && said.contains("lock"), "qemu-img: {said}");
    }
    guest.kill()?;
    Ok(())
}

/// A file system that the host made is mounted by the guest, and the other way round.
fn both_ways(case: &mut Case, images: &Images, format: &str) -> Result<()> {
    let kernel = kernel(images, KernelVersion::V6_12)?;
    let script = format!(
        r#"{HELPERS}
wait_for vda; wait_for vdb
mkdir -p /theirs /ours
mount -t ext4 /dev/vda /theirs && echo HOSTS $(md5sum < /theirs/file)
mke2fs -q -b 4096 /dev/vdb > /dev/null; mount -t ext4 /dev/vdb /ours
cp /theirs/file /ours/copy
dd if=/dev/urandom of=/ours/random bs=65536 count=64 2>/dev/null
rm /theirs/file
echo GUESTS $(md5sum < /ours/random)
umount /theirs /ours; poweroff -f
"#
    );
    let modules = [MODULES, &["crc32c_generic"]].concat();
    let userland = images.userland(&script).modules(kernel, &modules)?;
    let initrd = images.write(&format!("disks-both-ways-{format}"), &userland)?;
    let name = |p: &Path| p.to_string_lossy().into_owned();
    // More than a cluster, some of it empty.
    let mut file: Vec<u8> =
        (0..3u32 << 18).flat_map(|n| (n / 77).wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    file[1 << 20..2 << 20].fill(0);
    let dir = case.file("dir", &[])?;
    std::fs::remove_file(&dir)?;
    std::fs::create_dir(&dir)?;
    std::fs::write(dir.join("file"), &file)?;
    let plain = case.file("plain", &[])?;
    std::fs::File::options().write(true).open(&plain)?.set_len(32 << 20)?;
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-d", &name(&dir), &name(&plain)])?;
    std::fs::remove_dir_all(&dir)?;
    std::fs::write(&dir, [])?;
    let (theirs, ours) = (case.file("theirs", &[])?, case.file("ours", &[])?);
    let compressed: &[&str] = if format == "qcow2" { &["-c"] } else { &[] };
    let (from, to) = (name(&plain), name(&theirs));
    tool("qemu-img", &[&["convert", "-O", format], compressed, &[&*from, &*to]].concat())?;
    tool("qemu-img", &["create", "-q", "-f", format, &name(&ours), "32M"])?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    for image in [&theirs, &ours] {
        spec.rhyp_options.extend(disk(image, &format!(",format={format}")));
    }
    let mut guest = case.boot(&spec)?;
    let copy = case.file("copy", &file)?;
    let sum = tool("md5sum", &[&name(&copy)])?;
    guest.expect(&format!("HOSTS {}", &sum[..32]), patience())?;
    let random = guest.expect("GUESTS ([0-9a-f]{32})", patience())?[1].clone();
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()?;
    for image in [&theirs, &ours] {
        if format == "qcow2" {
            let check = tool("qemu-img", &["check", &name(image)])?;
            ensure!(check.contains("No errors"), "{check}");
        }
        tool("qemu-img", &["convert", "-f", format, "-O", "raw", &name(image), &name(&plain)])?;
        tool("e2fsck", &["-fn", &name(&plain)])?;
    }
    for (path, want) in [("/copy", &sum[..32]), ("/random", &random)] {
        tool("debugfs", &["-R", &format!("dump {path} {}", name(&copy)), &name(&plain)])?;
        ensure!(tool("md5sum", &[&name(&copy)])?[..32] == *want, "{path} is another file on the host");
    }
    Ok(())
}

/// Blocks of the disk that is written in turn.
const SLOTS: u64 = 512;
/// Bytes of one of them.
const BLOCK: usize = 4096;

/// What block `n` in turn holds.
fn block(n: u64) -> Vec<u8> {
    format!("block {n}\n").into_bytes().into_iter().cycle().take(BLOCK).collect()
}

/// The guest writes block after block and line after line, telling of each when its fsync is done; the host process is
/// killed in the midst of it, many times, with the same images.
fn kills(case: &mut Case, images: &Images, format: &str, lives: u32) -> Result<()> {
    let kernel = kernel(images, KernelVersion::V6_12)?;
    let script = format!(
        r#"{HELPERS}
D=$(scsi 0); wait_for vda
mkdir -p /mnt; mount -t ext4 /dev/vda /mnt || echo NO-MOUNT
touch /mnt/log
awk '{{ if ($1 != NR - 1) bad = 1 }} END {{ print "LOG " NR (bad ? " BROKEN" : " WHOLE") }}' /mnt/log
n=$(wc -l < /mnt/log)
while true; do
  yes "block $n" | head -c {BLOCK} | dd of=/dev/$D bs={BLOCK} iflag=fullblock seek=$((n % {SLOTS})) conv=notrunc,fsync 2>/dev/null && echo "BLOCK $n DONE"
  echo $n | dd of=/mnt/log oflag=append conv=notrunc,fsync 2>/dev/null && echo "LINE $n DONE"
  n=$((n+1))
done
"#
    );
    // ext4 asks for the checksum of its metadata by a name that no module is found by here.
    let modules = [MODULES, &["crc32c_generic"]].concat();
    let userland = images.userland(&script).modules(kernel, &modules)?;
    let initrd = images.write(&format!("disks-kills-{format}"), &userland)?;
    let blocks = case.file("blocks", &[])?;
    let files = case.file("ext4", &[])?;
    let name = |p: &Path| p.to_string_lossy().into_owned();
    let plain = case.file("plain", &[])?;
    std::fs::File::options().write(true).open(&plain)?.set_len(64 << 20)?;
    tool("mke2fs", &["-q", "-F", "-t", "ext4", &name(&plain)])?;
    tool("qemu-img", &["convert", "-O", format, &name(&plain), &name(&files)])?;
    tool("qemu-img", &["create", "-q", "-f", format, &name(&blocks), "8M"])?;
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let mut random = seed | 1;
    let mut below = |n: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % n
    };
    // The first number not yet known to be on the disk, of blocks and of lines.
    let (mut next, mut lines) = (0, 0);
    for life in 0..lives {
        let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
        // A host with much else to do is no damage.
        spec.append = "console=hvc0 quiet nowatchdog".into();
        spec.memory = "512M".into();
        let more = format!(",format={format}");
        // One of them past the host's page cache.
        let cache = if format == "raw" { ",cache=none" } else { "" };
        spec.rhyp_options.extend(disk(&blocks, &format!("{more},bus=vscsi{cache}")));
        spec.rhyp_options.extend(disk(&files, &format!("{more},bus=virtio")));
        let mut guest = case.boot(&spec)?;
        let in_this_life = || format!("life {life} of seed {seed}, {format}");
        let log = guest.expect(r"LOG (\d+) (\w+)\r?\n", patience()).with_context(in_this_life)?;
        let had: u64 = log[1].parse()?;
        // A line may be there whose completion was not told any more.
        let all_there = log[2] == "WHOLE" && (lines..=lines + 1).contains(&had);
        ensure!(all_there, "{log:?}, {lines} lines were told of: {}", in_this_life());
        guest.expect(&format!("LINE {} DONE", had + below(40)), patience()).with_context(in_this_life)?;
        std::thread::sleep(Duration::from_micros(below(30_000)));
        let console = guest.kill()?;
        ensure!(!console.contains("NO-MOUNT"), "no mount: {}", in_this_life());
        guest.is_healthy()?;
        next = told(&console, "BLOCK").unwrap_or(next);
        lines = told(&console, "LINE").unwrap_or(had);
        check_blocks(&blocks, &plain, format, next).with_context(in_this_life)?;
        if format == "qcow2" {
            check_tables(&files).with_context(in_this_life)?;
        }
    }
    Ok(())
}

/// The number after the last one of which the guest told that it is done.
fn told(console: &str, what: &str) -> Option<u64> {
    let mut done = console.lines().filter_map(|l| {
        let mut words = l.split_whitespace();
        let number = (words.next() == Some(what)).then(|| words.next())??;
        (words.next() == Some("DONE")).then(|| number.parse::<u64>().ok())?
    });
    done.next_back().map(|n| n + 1)
}

/// Every block below `next` that was not written again must be there, whole.
fn check_blocks(image: &Path, plain: &Path, format: &str, next: u64) -> Result<()> {
    let name = |p: &Path| p.to_string_lossy().into_owned();
    if format == "qcow2" {
        check_tables(image)?;
    }
    tool("qemu-img", &["convert", "-f", format, "-O", "raw", &name(image), &name(plain)])?;
    let bytes = std::fs::read(plain)?;
    for n in next.saturating_sub(SLOTS)..next {
        // The slot of the block that was under way holds either, or a mixture.
        if n + SLOTS == next {
            continue;
        }
        let at = (n % SLOTS) as usize * BLOCK;
        if bytes[at..at + BLOCK] != block(n) {
            bail!("block {n} is lost: there is {:?}", String::from_utf8_lossy(&bytes[at..at + 40]));
        }
    }
    Ok(())
}

/// The tables of a qcow2 image are consistent; clusters that nobody uses are no damage.
fn check_tables(image: &Path) -> Result<()> {
    const LEAKS_ONLY: i32 = 3;
    let out = Command::new("qemu-img").arg("check").arg(image).output()?;
    let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    ensure!(matches!(out.status.code(), Some(0 | LEAKS_ONLY)), "qemu-img check {}: {text}", out.status);
    Ok(())
}

/// fio writes at random, with flushes between, and reads it all back.
fn fio(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = kernel(images, KernelVersion::V6_12)?;
    let script = format!(
        r#"{HELPERS}
D=$(scsi 0); wait_for vda
for d in $D vda; do
fio --name=$d --filename=/dev/$d --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bsrange=4k-128k \
    --size=48M --fsync=32 --verify=crc32c --verify_fatal=1 --do_verify=1 > /tmp/out 2>&1
echo "FIO $d $?"; grep -iE "verify|err=" /tmp/out
done
poweroff -f
"#
    );
    let userland = images.userland(&script).modules(kernel, MODULES)?;
    let initrd = images.write("disks-fio", &userland.programs(&images.fio()?, &["usr/bin/fio"])?)?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    spec.cpus = 2;
    let make = |case: &mut Case| -> Result<PathBuf> {
        let path = case.file("img", &[])?;
        std::fs::File::options().write(true).open(&path)?.set_len(64 << 20)?;
        Ok(path)
    };
    let (a, b) = (make(case)?, make(case)?);
    spec.rhyp_options.extend(disk(&a, ",bus=vscsi"));
    spec.rhyp_options.extend(disk(&b, ",bus=virtio"));
    let mut guest = case.boot(&spec)?;
    for _ in 0..2 {
        let end = guest.expect(r"FIO (\w+) (\d+)", patience())?;
        ensure!(end[2] == "0", "fio on {} ends with {}", end[1], end[2]);
    }
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}
