//! Virtio devices on the PCI host bridge, with Debian's own drivers.

use std::ffi::OsString;
use std::path::Path;

use crate::Suite;
use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Cpu, Guest, Images, IrqChip, Mmu, Outcome, Peer, patience};
use guests::KernelVersion::{self, V6_1, V6_12};

use Cpu::{Power8, Power9, Power10};
use IrqChip::{Xics, Xive};
use Mmu::{Hash, Radix};

/// Boots with a disk: kernel, processor, translation, interrupts, processors, part of the quick subset.
#[rustfmt::skip]
const DISKS: &[(KernelVersion, Cpu, Mmu, IrqChip, u32, bool)] = &[
    (V6_12, Power9,  Radix, Xive, 4, true),
    (V6_1,  Power8,  Hash,  Xics, 1, true),
    (V6_1,  Power9,  Radix, Xive, 1, false),
    (V6_12, Power10, Radix, Xive, 1, false),
    (V6_1,  Power10, Hash,  Xive, 4, false),
    (V6_12, Power9,  Hash,  Xics, 1, false),
    (V6_12, Power8,  Hash,  Xics, 4, false),
    (V6_1,  Power10, Radix, Xics, 4, false),
];

const MIB: usize = 1 << 20;
/// Size of the disks.
const DISK: usize = 48 * MIB;
/// Where on a disk the host leaves a word for the guest, and the guest one for the host: behind the file system.
const FROM_HOST: usize = 40 * MIB;
const FROM_GUEST: usize = 41 * MIB;

/// What the guest does with a disk `$1`: a file system of 32 MiB, a file that must be the same after it has left the
/// cache, words exchanged with the host, a range that is discarded.
const USE_DISK: &str = r#"
use_disk() {
    for wait in $(seq 100); do [ -b $1 ] && break; sleep 0.1; done
    mke2fs -q -b 4096 $1 8192 > /dev/null
    mkdir -p /mnt
    mount -t ext4 $1 /mnt || echo "SEEN no mount"
    dd if=/dev/urandom of=/mnt/file bs=65536 count=128 conv=fsync 2>/dev/null
    md5sum < /mnt/file > /tmp/before
    umount /mnt
    echo 3 > /proc/sys/vm/drop_caches
    mount -t ext4 $1 /mnt
    md5sum < /mnt/file | cmp - /tmp/before && echo "SEEN same"
    umount /mnt
    echo "SEEN word $(dd if=$1 bs=1M skip=40 count=1 2>/dev/null | head -c 14)"
    printf 'from the guest' | dd of=$1 bs=1M seek=41 conv=notrunc,fsync 2>/dev/null
    sync
}
"#;

/// Adds the tests of this file.
pub fn register(suite: &mut Suite) {
    for &(version, cpu, mmu, irqchip, cpus, quick) in DISKS {
        let name = format!("virtio::disk_{version}-{cpu}-{mmu}-{irqchip}-c{cpus}");
        if suite.images().kernel(version).is_some() {
            suite.add(&name, quick, move |case, images| {
                let spec = |kernel: &Path, initrd: &Path| {
                    let mut spec = BootSpec::new(kernel, initrd);
                    (spec.cpu, spec.mmu, spec.irqchip, spec.cpus) = (cpu, mmu, irqchip, cpus);
                    spec
                };
                disk(case, images, version, &spec)
            });
        } else {
            suite.leave_out(&name, "this host's archive has no such kernel");
        }
    }
    suite.add("virtio::reboots_with_a_mounted_disk", false, reboots);
    suite.add("virtio::scsi_rng_and_balloon", true, others);
    suite.add_for(Peer::Rhyp, "virtio::nonsense_harms_nobody", false, nonsense);
}

/// What the guest does to a device whose registers stand at `$1`, `$2` times: registers and descriptors at random. Queues
/// and buffers stand in memory from 512 MiB on, which the kernel was told to leave alone, or nowhere.
const TORMENT: &str = r#"
low() { V=$(( (RANDOM << 15 | RANDOM) % $1 )); }
anywhere() {
    low 4
    case $V in
    0) low 64; A=$((0x3ffffff0 + V));;
    1) A=$((RANDOM << 45 | RANDOM << 15 | 1 << 60));;
    *) low 0x8000000; A=$((0x28000000 + V));;
    esac
}
bring_up() {
    B=$1
    devmem $((B + 20)) 8 0
    devmem $((B + 20)) 8 3
    for half in 0 1; do
        devmem $B 32 $half; devmem $((B + 8)) 32 $half
        devmem $((B + 12)) 32 $(devmem $((B + 4)) 32)
    done
    devmem $((B + 20)) 8 11
    for q in 0 1 2 3; do
        devmem $((B + 22)) 16 $q
        devmem $((B + 24)) 16 16
        Q=$((0x20000000 + q * 0x10000))
        devmem $((Q + 0x4000)) 32 0
        for r in 32 40 48; do
            devmem $((B + r)) 32 $((Q + (r - 32) * 0x800)); devmem $((B + r + 4)) 32 0
        done
        devmem $((B + 28)) 16 1
    done
    devmem $((B + 20)) 8 15
}
torment() {
    n=0
    while [ $n -lt $2 ]; do
        [ $((n % 60)) = 0 ] && bring_up $1
        low 4; q=$V; Q=$((0x20000000 + q * 0x10000))
        low 16; d=$V
        low 10
        case $V in
        0) low 0xc00; devmem $(($1 + V * 4)) 32 $((RANDOM << 16 | RANDOM));;
        1) devmem $((Q + 0x4002)) 16 $((RANDOM * 2));;
        [2345])
            low 70000; L=$V; low 8; [ $V = 0 ] && L=$((0xffffffff))
            anywhere; devmem $((Q + d * 16)) 64 $A
            low 8; L=$((L | V << 32)); low 17
            devmem $((Q + d * 16 + 8)) 64 $((L | V << 48));;
        *)
            I=$(($(devmem $((Q + 0x4002)) 16)))
            devmem $((Q + 0x4004 + I % 16 * 2)) 16 $d
            devmem $((Q + 0x4002)) 16 $(((I + 1) & 0xffff))
            devmem $(($1 + 0x3000 + q * 4)) 16 $q;;
        esac
        n=$((n + 1))
    done > /dev/null
}
"#;

/// Devices that no driver serves are fed with nonsense while the guest works on a disk, and go on to be devices.
fn nonsense(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = images.kernel(V6_12).context("Debian's 6.12 kernel is missing")?;
    let script = format!(
        r#"{TORMENT}
for wait in $(seq 100); do [ -b /dev/vda ] && break; sleep 0.1; done
mke2fs -q -b 4096 /dev/vda 8192 > /dev/null
mkdir -p /mnt; mount -t ext4 /dev/vda /mnt || echo "SEEN no mount"
[ -c /dev/mem ] || mknod /dev/mem c 1 1
( while [ ! -f /tmp/end ]; do
    dd if=/dev/urandom of=/mnt/file bs=65536 count=32 conv=fsync 2>/dev/null
    md5sum < /mnt/file > /tmp/sum
    umount /mnt; echo 3 > /proc/sys/vm/drop_caches; mount -t ext4 /dev/vda /mnt
    md5sum < /mnt/file | cmp - /tmp/sum && echo "SEEN work" || echo "SEEN damage"
done; echo "SEEN end" ) &
for pci in /sys/bus/pci/devices/*; do
    [ $(cat $pci/device) = 0x1042 ] && continue
    set -- $(sed -n 5p $pci/resource)
    torment $1 {steps}
    echo "SEEN tormented $(cat $pci/device)"
    bring_up $1
    echo "SEEN alive $(( $(devmem $(($1 + 20)) 8) ))"
done
touch /tmp/end
wait
poweroff -f
"#,
        steps = 120
    );
    let initramfs = images.userland(&script).modules(kernel, &modules(V6_12, &["virtio_blk"]))?;
    let initrd = images.write("virtio-nonsense", &initramfs)?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    (spec.cpus, spec.memory) = (2, "1G".into());
    spec.append = "console=hvc0 quiet mem=512M iomem=relaxed".into();
    let (image, other) = (image(case)?, image(case)?);
    spec.rhyp_options.extend(disk_arguments(Peer::Rhyp, &image, false));
    spec.rhyp_options.extend(disk_arguments(Peer::Rhyp, &other, true));
    let more = ["--device", "virtio-rng", "--device", "virtio-balloon", "--net", "switch=s"];
    spec.rhyp_options.extend(more.map(OsString::from));
    let mut guest = case.boot(&spec)?;
    for _ in 0..4 {
        guest.expect(r"SEEN tormented 0x10\w\w\s", patience())?;
        guest.expect(r"SEEN alive 15\s", patience())?;
    }
    guest.expect(r"SEEN end\s", patience())?;
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()?;
    let console = guest.console();
    ensure!(console.contains("SEEN work") && !console.contains("SEEN damage"), "{console}");
    ensure!(!console.contains("SEEN no mount"), "{console}");
    Ok(())
}

/// A disk with the host's word on it.
fn image(case: &mut Case) -> Result<std::path::PathBuf> {
    let mut bytes = vec![0; DISK];
    bytes[FROM_HOST..FROM_HOST + 14].copy_from_slice(b"from the host.");
    case.file("img", &bytes)
}

fn word_for_host(image: &Path) -> Result<()> {
    let bytes = std::fs::read(image)?;
    ensure!(&bytes[FROM_GUEST..FROM_GUEST + 14] == b"from the guest", "the guest's word is not on the disk");
    Ok(())
}

/// Arguments for a disk as virtio-blk or virtio-scsi.
fn disk_arguments(peer: Peer, image: &Path, scsi: bool) -> Vec<OsString> {
    let image = image.display();
    let list = match (peer, scsi) {
        (Peer::Rhyp, false) => vec!["--disk".to_owned(), format!("{image},format=raw")],
        (Peer::Rhyp, true) => vec!["--disk".to_owned(), format!("{image},format=raw,bus=virtio-scsi")],
        (Peer::Qemu, scsi) => {
            let kind = if scsi { "scsi-hd" } else { "virtio-blk-pci" };
            let mut list = vec!["-drive".to_owned(), format!("file={image},if=none,id=d,format=raw")];
            if scsi {
                list.extend(["-device".to_owned(), "virtio-scsi-pci".to_owned()]);
            }
            list.extend(["-device".to_owned(), format!("{kind},drive=d")]);
            list
        }
    };
    list.into_iter().map(OsString::from).collect()
}

/// Modules that a kernel needs, and those of `more`.
fn modules(version: KernelVersion, more: &[&'static str]) -> Vec<&'static str> {
    // What 6.12 has built in is a module in 6.1.
    let pci: &[&str] = if version == V6_1 { &["virtio_pci"] } else { &[] };
    [pci, &["ext4", "crc32c_generic"], more].concat()
}

fn disk(
    case: &mut Case,
    images: &Images,
    version: KernelVersion,
    spec: &dyn Fn(&Path, &Path) -> BootSpec,
) -> Result<()> {
    let kernel = images.kernel(version).context("kernel went away")?;
    let script = format!(
        "{USE_DISK}use_disk /dev/vda\necho \"SEEN queues $(ls /sys/block/vda/mq | wc -l)\"\npoweroff -f\n"
    );
    let modules = modules(version, &["virtio_blk"]);
    let initramfs = images.userland(&script).modules(kernel, &modules)?;
    let initrd = images.write(&format!("virtio-disk-{version}"), &initramfs)?;
    let spec = spec(&kernel.vmlinux, &initrd);
    let image = image(case)?;
    let mut arguments = spec.arguments(case.peer());
    arguments.extend(disk_arguments(case.peer(), &image, false));
    let mut guest = case.start(&arguments)?;
    guest.expect(r"SEEN same\s", patience())?;
    guest.expect(r"SEEN word from the host\.\s", patience())?;
    let seen = guest.expect(r"SEEN queues (\d+)\s", patience())?;
    ensure!(seen[1] == spec.cpus.to_string(), "{} processors, {}", spec.cpus, seen[0]);
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()?;
    word_for_host(&image)
}

/// The device is reset with the machine: each time the driver finds it, and the file that the last one left.
fn reboots(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = images.kernel(V6_12).context("Debian's 6.12 kernel is missing")?;
    let script = r#"
for wait in $(seq 100); do [ -b /dev/vda ] && break; sleep 0.1; done
mkdir -p /mnt
mount -t ext4 /dev/vda /mnt || { mke2fs -q -b 4096 /dev/vda 8192 > /dev/null; mount -t ext4 /dev/vda /mnt; }
N=$(cat /mnt/count || echo 0)
echo "SEEN boot $N"
echo $((N + 1)) > /mnt/count
sync
[ $N = 3 ] && poweroff -f
cat /dev/vda > /dev/null &
reboot -f
"#;
    let initramfs = images.userland(script).modules(kernel, &modules(V6_12, &["virtio_blk"]))?;
    let initrd = images.write("virtio-reboots", &initramfs)?;
    let image = image(case)?;
    let mut arguments = BootSpec::new(&kernel.vmlinux, &initrd).arguments(case.peer());
    arguments.extend(disk_arguments(case.peer(), &image, false));
    let mut guest = case.start(&arguments)?;
    for n in 0..4 {
        guest.expect(&format!(r"SEEN boot {n}\s"), patience())?;
    }
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}

fn others(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = images.kernel(V6_1).context("Debian's 6.1 kernel is missing")?;
    let script = format!(
        r#"{USE_DISK}use_disk /dev/sda
echo "SEEN rng $(cat /sys/class/misc/hw_random/rng_available)"
echo virtio_rng.0 > /sys/class/misc/hw_random/rng_current
echo "SEEN random $(dd if=/dev/hwrng bs=512 count=4 2>/dev/null | wc -c)"
for d in /sys/bus/virtio/devices/*; do echo "SEEN bound $(basename $(readlink $d/driver))"; done
echo "SEEN end"
poweroff -f
"#
    );
    let more = ["virtio_scsi", "sd_mod", "virtio_rng", "virtio_balloon"];
    let initramfs = images.userland(&script).modules(kernel, &modules(V6_1, &more))?;
    let initrd = images.write("virtio-others", &initramfs)?;
    let image = image(case)?;
    let mut arguments = BootSpec::new(&kernel.vmlinux, &initrd).arguments(case.peer());
    arguments.extend(disk_arguments(case.peer(), &image, true));
    let devices = match case.peer() {
        Peer::Rhyp => ["--device", "virtio-rng", "--device", "virtio-balloon"],
        Peer::Qemu => ["-device", "virtio-rng-pci", "-device", "virtio-balloon-pci,free-page-reporting=on"],
    };
    arguments.extend(devices.map(OsString::from));
    let mut guest: Guest = case.start(&arguments)?;
    guest.expect(r"SEEN same\s", patience())?;
    guest.expect(r"SEEN word from the host\.\s", patience())?;
    guest.expect(r"SEEN rng .*virtio_rng\.0", patience())?;
    guest.expect(r"SEEN random 2048\s", patience())?;
    for driver in ["virtio_scsi", "virtio_rng", "virtio_balloon"] {
        guest.expect(&format!(r"SEEN bound {driver}\s"), patience())?;
    }
    guest.expect(r"SEEN end\s", patience())?;
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()?;
    word_for_host(&image)
}
