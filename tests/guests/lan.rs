//! What people do over a network between partitions: ssh, measuring, and fetching packages from outside through a
//! partition that is the way out.

use crate::served::{ask, log_in};
use crate::system::Up;
use crate::{Suite, disk_boot};
use anyhow::{Context, Result, ensure};
use guest_tests::{Case, Guest, Images, Peer, patience};
use guests::KernelVersion;

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    let name = "lan::debians_with_ssh_iperf_and_a_way_out";
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join("passt").is_file()) {
        suite.add_for(Peer::Rhyp, name, false, debians);
    } else {
        suite.leave_out(name, "passt is not installed");
    }
}

/// The way out: a trunk adapter, behind which everybody has the address that passt gave.
const GATE: &str = r#"
ip link set lo up
ip address add 10.9.0.1/24 dev eth0
for i in eth0 eth1; do ip link set $i up; done
cat > /tmp/lease <<'X'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add $ip/$mask dev $interface
ip route add default via $router
echo "LEASE dns=$dns."
X
chmod 755 /tmp/lease
udhcpc -i eth1 -s /tmp/lease -q -n -t 20
echo 1 > /proc/sys/net/ipv4/ip_forward
nft add table ip out
nft add chain ip out post '{ type nat hook postrouting priority 100; }'
nft add rule ip out post oifname eth1 masquerade
nft list ruleset
export PS1='shell> '
echo USERLAND
while true; do setsid cttyhack sh; done
"#;

/// Sets addresses by drivers, of the pairs `DRIVER=ADDRESS` in `WORDS`.
const ADDRESSES: &str = "systemctl -q stop systemd-networkd.socket systemd-networkd; \
    sysctl -q -w net.ipv4.conf.all.arp_ignore=1; \
    for i in /sys/class/net/*; do n=${i##*/}; d=$(readlink $i/device/driver); \
    for a in WORDS; do if [ \"${a%%=*}\" = \"${d##*/}\" ]; then \
    ip address flush dev $n; ip address add ${a#*=} dev $n; ip link set $n up; fi; done; done; ip -br address";

fn addresses(guest: &mut Guest, words: &str) -> Result<()> {
    let told = ask(guest, &ADDRESSES.replace("WORDS", words), patience())?;
    let missing = words.split(' ').filter_map(|w| w.split_once('=')).find(|(_, a)| !told.contains(a));
    ensure!(missing.is_none(), "{missing:?} is not in {told}");
    Ok(())
}

/// The rate that iperf3 saw at the receiver, in MB/s.
fn iperf(guest: &mut Guest, words: &str) -> Result<f64> {
    let told = ask(guest, &format!("iperf3 -f M -t 4 {words} 2>&1"), patience())?;
    let line = told.lines().find(|l| l.contains("receiver")).with_context(|| told.clone())?;
    line.split_whitespace().nth(6).and_then(|r| r.parse().ok()).with_context(|| told.clone())
}

/// Two Debians and the way out.
fn debians(case: &mut Case, images: &Images) -> Result<()> {
    let image = disk_boot::image(case)?;
    let newest = images.kernel(KernelVersion::V6_12).context("Debian's 6.12 kernel is missing")?;
    let initrd = case.file("initrd", &[])?;
    images
        .userland(GATE)
        .programs(&images.firewall()?, &["usr/sbin/nft"])?
        .modules(newest, &["ibmveth", "crc32c_generic", "nft_masq", "nft_chain_nat"])?
        .write(&initrd)?;
    let gate = "entitlement = 0.4\nnet = [\"switch=lan,model=veth,trunk=1\", \"user,model=veth\"]";
    let mut text = format!("[node]\nprocessors = 2\n{}", Up::section("gate", &newest.vmlinux, &initrd, gate));
    let veth = "\"switch=lan,model=veth\"";
    for (name, net) in [("one", veth.to_owned()), ("two", format!("{veth}, \"switch=lan,model=virtio\""))] {
        text.push_str(&format!(
            "[[partition]]\nname = \"{name}\"\nmemory = \"768M\"\nentitlement = 0.7\n\
             disk = [\"{},snapshot,bus=vscsi\"]\nnet = [{net}]\n",
            image.display()
        ));
    }
    let up = Up::boot(case, &text, &[])?;
    let mut gate = up.console(case, "gate")?;
    let dns = gate.expect(r"LEASE dns=([0-9.]+[0-9])[^\r\n]*\.\r?\n", patience())?[1].clone();
    gate.expect("(?s)masquerade.*USERLAND", patience())?;
    let (mut one, mut two) = (up.console(case, "one")?, up.console(case, "two")?);
    for (guest, name, words) in [
        (&mut one, "one", "ibmveth=10.9.0.2/24"),
        (&mut two, "two", "ibmveth=10.9.0.3/24 virtio_net=10.10.0.3/24"),
    ] {
        log_in(guest)?;
        ask(guest, &format!("hostname {name}"), patience())?;
        addresses(guest, words)?;
    }
    // One adapter of the one has an address in both networks of the other.
    let more = "ip address add 10.10.0.2/24 dev $(ip -o route get 10.9.0.3 | sed 's/.*dev //; s/ .*//')";
    ask(&mut one, more, patience())?;
    for (target, of) in [("10.9.0.3", "ibmveth"), ("10.10.0.3", "virtio-net"), ("10.9.0.1", "the trunk")] {
        let told = ask(&mut one, &format!("ping -q -c 3 -s 1400 {target} 2>&1"), patience())?;
        ensure!(told.contains(" 3 received"), "{of}: {told}");
    }
    secure_shell(&mut one, &mut two)?;
    measure(&mut one, &mut two)?;
    packages(&mut one, &dns)?;
    for (guest, name) in [(&mut one, "one"), (&mut two, "two")] {
        guest.send("poweroff\n")?;
        up.expect_state(name, "powered off")?;
    }
    up.down()
}

/// A key of the one lets it in at the other; what goes there comes back as it was.
fn secure_shell(one: &mut Guest, two: &mut Guest) -> Result<()> {
    let make = "mkdir -p /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; \
                cat /root/.ssh/id_ed25519.pub";
    let told = ask(one, make, patience())?;
    let key = told.lines().find(|l| l.starts_with("ssh-ed25519 ")).with_context(|| told.clone())?.trim();
    ask(two, &format!("mkdir -p /root/.ssh; echo '{key}' >> /root/.ssh/authorized_keys"), patience())?;
    let ssh = "ssh -o StrictHostKeyChecking=accept-new -o BatchMode=yes root@10.9.0.3";
    let told = ask(one, &format!("{ssh} 'echo I am $(hostname)' 2>&1"), patience())?;
    ensure!(told.contains("I am two"), "{told}");
    let copy = format!(
        "dd if=/dev/urandom of=/tmp/f bs=1M count=16 2>/dev/null; {ssh} 'cat > /tmp/g' < /tmp/f; \
         {ssh} 'cat /tmp/g' | cmp - /tmp/f && echo THE SAME; {ssh} 'sha256sum < /tmp/g'; sha256sum < /tmp/f"
    );
    let told = ask(one, &copy, patience())?;
    let sums: Vec<&str> = told.lines().map(str::trim).filter(|l| l.ends_with('-')).collect();
    ensure!(told.contains("THE SAME") && sums.len() == 2 && sums[0] == sums[1], "{told}");
    Ok(())
}

/// iperf3 both ways, from `ibmveth` to either kind of adapter.
fn measure(one: &mut Guest, two: &mut Guest) -> Result<()> {
    ask(two, "iperf3 -s -D", patience())?;
    for (address, kind) in [("10.9.0.3", "ibmveth"), ("10.10.0.3", "virtio-net")] {
        let (out, back) = (iperf(one, &format!("-c {address}"))?, iperf(one, &format!("-R -c {address}"))?);
        eprintln!("iperf3, ibmveth to {kind}: {out:.0} MB/s, back {back:.0} MB/s");
        ensure!(out > 0.0 && back > 0.0, "nothing goes through");
    }
    Ok(())
}

/// apt through the way out: the lists, and a package that is then installed and works.
fn packages(one: &mut Guest, dns: &str) -> Result<()> {
    let setup = format!(
        "ip route add default via 10.9.0.1; rm -f /etc/resolv.conf; echo nameserver {dns} > /etc/resolv.conf; \
         awk '/^URIs:/ {{ uri = $2 }} /^Suites:/ && / bookworm( |$)/ {{ print \"deb\", uri, \"bookworm main\"; exit }}' \
         /etc/apt/sources.list.d/debian.sources > /tmp/list; cat /tmp/list"
    );
    let told = ask(one, &setup, patience())?;
    ensure!(told.contains("deb http"), "no archive: {told}");
    let apt = "apt-get -q -o Dir::Etc::sourcelist=/tmp/list -o Dir::Etc::sourceparts=/dev/null";
    let told = ask(one, &format!("{apt} update 2>&1; echo ENDED $?"), patience() * 2)?;
    ensure!(told.contains("ENDED 0") && told.contains("Packages"), "{told}");
    let install = format!("DEBIAN_FRONTEND=noninteractive {apt} install -y bc 2>&1; echo ENDED $?");
    let told = ask(one, &install, patience())?;
    ensure!(told.contains("ENDED 0"), "{told}");
    let told = ask(one, "echo '2^100' | bc", patience())?;
    ensure!(told.contains("1267650600228229401496703205376"), "{told}");
    Ok(())
}
