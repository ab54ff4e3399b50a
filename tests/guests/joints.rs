//! What joins the partitions of a managed system, by Linux's own drivers at both ends: virtual Ethernet, consoles, disks
//! that one partition serves to another.

use crate::Suite;
use crate::system::{OPEN_TO_CLIENT, Part, THREE_DISKS, Up};
use anyhow::{Context, Result, ensure};
use guest_tests::{Case, Guest, Images, Peer, patience};

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    suite.add_for(Peer::Rhyp, "system::partitions_of_a_vlan_reach_each_other", true, network);
    suite.add_for(Peer::Rhyp, "system::a_console_in_another_partition", true, consoles);
    suite.add_for(Peer::Rhyp, "system::a_disk_that_another_partition_serves", true, disk);
}

/// The end of every script: a shell.
const SHELL: &str = "export PS1='shell> '\necho USERLAND\nwhile true; do setsid cttyhack sh; done\n";

/// Does a command at a shell and waits for what it writes.
fn run(console: &mut Guest, command: &str, pattern: &str) -> Result<Vec<String>> {
    console.send(&format!("{command}\n"))?;
    let found = console.expect(pattern, patience()).with_context(|| command.to_owned())?;
    console.expect("shell> ", patience())?;
    Ok(found)
}

/// A partition's console with a shell.
fn shell(up: &Up, case: &mut Case, name: &str) -> Result<Guest> {
    let mut console = up.console(case, name)?;
    console.expect("(?s)USERLAND.*shell> ", patience())?;
    Ok(console)
}

/// Two in one VLAN, one in another, and one that all frames with strange addresses go to.
fn network(case: &mut Case, images: &Images) -> Result<()> {
    let script = |n: u32| {
        format!("ip address add 10.9.0.{n}/24 dev eth0; ip link set eth0 up\nhttpd -p 80 -h /etc\n{SHELL}")
    };
    let scripts = [script(1), script(2), script(3)];
    // The trunk bridges the outside, a network of its own, to the VLAN of the first two.
    let bridge = format!(
        "for i in eth0 eth1; do ip link set $i up; done\n\
         ip link add br0 type bridge; ip link set eth0 master br0; ip link set eth1 master br0\n\
         ip address add 10.9.0.9/24 dev br0; ip link set br0 up\n{SHELL}"
    );
    let profile = |n: u32, net: &str| format!("entitlement = 0.2\nnumber = {n}\nnet = [{net}]");
    let profiles = [
        profile(1, "\"switch=lan,model=veth,vlan=10\""),
        profile(2, "\"switch=lan,model=veth,vlan=10\""),
        profile(3, "\"switch=lan,model=veth,vlan=20\""),
        profile(4, "\"switch=lan,model=veth,vlan=10,trunk=1\", \"switch=far,model=veth,trunk=1\""),
        profile(5, "\"switch=far,model=virtio\""),
    ];
    let outside = format!("ip address add 10.9.0.5/24 dev eth0; ip link set eth0 up\n{SHELL}");
    let part = |name, script, profile| Part { name, script, profile, modules: &["ibmveth"] };
    let parts = [
        part("one", &scripts[0], &profiles[0]),
        part("two", &scripts[1], &profiles[1]),
        part("other", &scripts[2], &profiles[2]),
        Part { modules: &["ibmveth", "bridge"], ..part("bridge", &bridge, &profiles[3]) },
        Part { modules: &["virtio_net"], ..part("outside", &outside, &profiles[4]) },
    ];
    let up = Up::start_parts(case, images, "processors = 1", &parts)?;
    let mut one = shell(&up, case, "one")?;
    let mut outside = shell(&up, case, "outside")?;
    for name in ["two", "other", "bridge"] {
        shell(&up, case, name)?;
    }
    // All are up: what does not answer now does not reach.
    run(&mut one, "ping -c 3 -s 1400 10.9.0.2", "3 packets transmitted, 3 packets received")?;
    run(&mut one, "wget -q -O - http://10.9.0.2/modules", "ibmveth.ko")?;
    run(&mut one, "ping -c 2 -W 2 10.9.0.3; echo DO''NE", "(?s), 0 packets received.*DONE")?;
    // Through the trunk's bridge into the other switch and back.
    run(&mut one, "ping -c 3 10.9.0.9", "3 packets received")?;
    run(&mut one, "ping -c 3 10.9.0.5", "3 packets received")?;
    run(&mut outside, "ping -c 3 10.9.0.2", "3 packets received")?;
    run(&mut outside, "ping -c 2 -W 2 10.9.0.3; echo DO''NE", "(?s), 0 packets received.*DONE")?;
    up.down()
}

/// One partition logs in to another's console, types and reads, lets go and takes it again.
fn consoles(case: &mut Case, images: &Images) -> Result<()> {
    let keeper = "entitlement = 0.3\nvty-server = [\"guest\", \"*\"]";
    let parts = [
        Part { name: "keeper", script: SHELL, modules: &["hvcs"], profile: keeper },
        Part { name: "guest", script: SHELL, profile: "entitlement = 0.3", ..Part::default() },
        Part {
            name: "third",
            script: SHELL,
            profile: "entitlement = 0.3\nautostart = false",
            ..Part::default()
        },
    ];
    let up = Up::start_parts(case, images, "processors = 1", &parts)?;
    let mut keeper = shell(&up, case, "keeper")?;
    let mut guest = shell(&up, case, "guest")?;
    let sys = "/sys/bus/vio/drivers/hvcs/71000100";
    run(&mut keeper, &format!("cat {sys}/partner_clcs; ls -l /dev/hvcs*"), "guest-V2-C0")?;
    // `cat` reads the terminal and writes a file; whatever else a shell writes stays out of the terminal.
    let script = "exec 3<>/dev/hvcs0; stty raw -echo <&3; cat <&3 >/tmp/seen & sleep 1; \
                  printf 'echo fr%s\\r' om-keeper >&3; \
                  until grep -q '^from-keeper' /tmp/seen; do sleep 0.2; done; kill $!; exec 3>&-; echo DO''NE";
    run(&mut keeper, script, "DONE")?;
    guest.expect("\nfrom-keeper", patience())?;
    // Whoever sits at the host's end sees and types as before; the line can be taken once more.
    run(&mut guest, "echo he''re", "here")?;
    run(&mut keeper, &script.replace("om-keeper", "om-keeper-again"), "DONE")?;
    guest.expect("\nfrom-keeper-again", patience())?;
    // The console of a partition that is off is there as well, and silent.
    run(
        &mut keeper,
        "ls /sys/bus/vio/drivers/hvcs/71000101/ | tr '\\n' ' '; cat /sys/bus/vio/drivers/hvcs/71000101/partner_clcs",
        "third-V3-C0",
    )?;
    up.ask(&["start", "third"])?;
    shell(&up, case, "third")?;
    up.down()
}

/// What stands behind Linux's target besides a disk of the host's: a file and a loop device.
pub const SERVE: &str = r#"
mkdir /d; mount -t tmpfs none /d
dd if=/dev/zero of=/d/loop bs=1M count=16 2>/dev/null
losetup /dev/loop0 /d/loop
SIZE=33554432
"#;

/// Waits for the server's disks. They come in any order: each gets a name by what is behind it.
const WAIT: &str = r#"
until [ -b /dev/sdc ]; do
    for h in /sys/class/scsi_host/*/scan; do echo '- - -' > $h; done
    sleep 0.5
done
for disk in sda sdb sdc; do
    case $(cat /sys/block/$disk/size) in
        131072) ln -s $disk /dev/image ;;
        65536) ln -s $disk /dev/file ;;
        32768) ln -s $disk /dev/memory ;;
    esac
done
"#;

/// Writes blocks that nobody has seen before until told to stop, then reads them all.
const LOAD: &str = r#"
n=0
while [ ! -e /tmp/stop ]; do
    dd if=/dev/urandom of=/tmp/block bs=64k count=1 2>/dev/null
    sha256sum < /tmp/block >> /tmp/wanted
    dd if=/tmp/block of=/dev/image bs=64k count=1 seek=$n oflag=direct conv=notrunc 2>/tmp/err || { cat /tmp/err; echo WRITE-FAILED; }
    echo $n > /tmp/n
    n=$((n+1))
    [ $n = 1000 ] && break
done
i=0
while [ $i -lt $n ]; do
    dd if=/dev/image bs=64k count=1 skip=$i iflag=direct 2>/dev/null | sha256sum >> /tmp/got
    i=$((i+1))
done
cmp /tmp/wanted /tmp/got && echo "VERIFIED $n"
"#;

fn disk(case: &mut Case, images: &Images) -> Result<()> {
    let image = case.file("img", &[])?;
    std::fs::File::options().write(true).open(&image)?.set_len(64 << 20)?;
    let (serve, client) = (
        format!("{SERVE}{THREE_DISKS}{OPEN_TO_CLIENT}{SHELL}"),
        format!("cat > /load <<'X'\n{LOAD}\nX\n{WAIT}{SHELL}"),
    );
    let store = format!(
        "entitlement = 0.4\nvscsi-server = [\"client\"]\ndisk = [\"{}\"]\nnumber = 5",
        image.display()
    );
    let server_modules =
        ["virtio_blk", "loop", "ibmvscsis", "target_core_iblock", "target_core_file", "configfs"];
    let parts = [
        Part { name: "store", script: &serve, modules: &server_modules, profile: &store },
        Part {
            name: "client",
            script: &client,
            modules: &["ibmvscsi", "sd_mod", "crc32c_generic", "ext4"],
            profile: "entitlement = 0.4\nvscsi-client = [\"store\"]\nautostart = false",
        },
    ];
    let up = Up::start_parts(case, images, "processors = 1", &parts)?;
    let mut store = shell(&up, case, "store")?;
    up.ask(&["start", "client"])?;
    let mut client = shell(&up, case, "client")?;
    run(
        &mut client,
        "ls /dev/image /dev/file /dev/memory; ls /sys/block",
        r"/dev/file\s+/dev/image\s+/dev/memory",
    )?;
    // The file and the loop device hold what is written to them.
    for dev in ["file", "memory"] {
        let copy = format!(
            "dd if=/dev/urandom of=/tmp/r bs=1M count=8 2>/dev/null; dd if=/tmp/r of=/dev/{dev} bs=256k oflag=direct; \
             dd if=/dev/{dev} of=/tmp/s bs=1M count=8 iflag=direct; cmp /tmp/r /tmp/s && echo SA''ME"
        );
        run(&mut client, &copy, "SAME")?;
    }
    // A file system on the file.
    let mount = "mke2fs -q /dev/file 2>/dev/null; mkdir -p /m; mount /dev/file /m && cp /tmp/r /bin/busybox /m && umount /m; \
                 echo 3 > /proc/sys/vm/drop_caches; mount /dev/file /m && cmp /m/r /tmp/r && cmp /m/busybox /bin/busybox \
                 && umount /m && echo MOUN''TED";
    run(&mut client, mount, "MOUNTED")?;
    // A load with checks, while the server's partition is switched off and on again.
    run(&mut client, "sh /load > /tmp/log 2>&1 &", "load")?;
    run(
        &mut client,
        "until [ \"$(cat /tmp/n)\" -gt 20 ]; do sleep 0.1; done; echo UN''DER-WAY",
        "UNDER-WAY",
    )?;
    up.ask(&["stop", "store", "--now"])?;
    up.expect_state("store", "stopped")?;
    let stood = run(&mut client, "sleep 3; echo \"AT $(cat /tmp/n)\"", r"AT (\d+)")?[1].parse::<u32>()?;
    let still = run(&mut client, "sleep 3; echo \"AT $(cat /tmp/n)\"", r"AT (\d+)")?[1].parse::<u32>()?;
    ensure!(stood == still, "{stood} blocks and then {still} were written without a server");
    up.ask(&["start", "store"])?;
    store.expect("(?s)USERLAND.*shell> ", patience())?;
    let more = still + 20;
    run(
        &mut client,
        &format!("until [ \"$(cat /tmp/n)\" -gt {more} ]; do sleep 0.1; done; echo WENT''-ON"),
        "WENT-ON",
    )?;
    // And once more, as a server that dies does it.
    store.send("echo c > /proc/sysrq-trigger\n")?;
    up.expect_state("store", "died")?;
    up.ask(&["start", "store"])?;
    store.expect("(?s)USERLAND.*shell> ", patience())?;
    let more = more + 40;
    run(
        &mut client,
        &format!("until [ \"$(cat /tmp/n)\" -gt {more} ]; do sleep 0.1; done; echo WENT''-ON"),
        "WENT-ON",
    )?;
    client.send("touch /tmp/stop; wait; cat /tmp/log; echo EN''D\n")?;
    let told = client.expect(r"(?s)(.*)END", patience())?[1].clone();
    ensure!(told.contains("VERIFIED") && !told.contains("FAILED"), "{told}");
    // A client that goes is no trouble for the server.
    up.ask(&["restart", "client"])?;
    client.expect("(?s)USERLAND.*shell> ", patience())?;
    run(&mut client, "dd if=/dev/image bs=64k count=4 iflag=direct | wc -c", "262144")?;
    up.down()
}
