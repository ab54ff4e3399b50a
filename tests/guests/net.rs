//! Networks: Debian's own virtual Ethernet driver against the adapter, the switch, passt and another partition.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::Suite;
use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Guest, Images, Outcome, Peer, patience};
use guests::KernelVersion;

/// Brings all adapters up.
const UP: &str = r#"
ip link set lo up
for i in /sys/class/net/e*; do ip link set ${i##*/} up; done
IF=$(ls /sys/class/net | grep '^e' | head -1)
cat > /tmp/lease <<'X'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add $ip/$mask dev $interface
ip route add default via $router
echo "LEASE $ip router=$router dns=$dns"
X
chmod 755 /tmp/lease
"#;

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    let versions =
        [("net::passt_6.12", KernelVersion::V6_12, true), ("net::passt_6.1", KernelVersion::V6_1, false)];
    let passt = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("passt").is_file()));
    for (name, version, quick) in versions {
        if passt {
            suite.add_for(Peer::Rhyp, name, quick, move |case, images| user_network(case, images, version));
        } else {
            suite.leave_out(name, "passt is not installed");
        }
    }
    suite.add_for(Peer::Rhyp, "net::two_partitions_over_a_socket", true, two_partitions);
    suite.add_for(Peer::Rhyp, "net::vlans_of_a_switch", true, vlans);
}

fn boot(
    case: &mut Case,
    images: &Images,
    name: &str,
    version: KernelVersion,
    script: &str,
    nets: &[&str],
) -> Result<Guest> {
    let kernel = images.kernel(version).context("the kernel is missing")?;
    let initramfs = images.userland(&format!("{UP}{script}\npoweroff -f\n")).modules(kernel, &["ibmveth"])?;
    let initrd = images.write(name, &initramfs)?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &initrd);
    spec.memory = "512M".into();
    let mut arguments = spec.arguments(case.peer());
    for net in nets {
        arguments.extend([OsString::from("--net"), OsString::from(format!("{net},model=veth"))]);
    }
    case.start(&arguments)
}

/// DHCP, a transfer in, and one out through a forwarded port; not a byte may be wrong. (Debian 12's passt stalls where
/// a guest closes one direction of a connection, so that no test does.)
fn user_network(case: &mut Case, images: &Images, version: KernelVersion) -> Result<()> {
    const BYTES: usize = 24 << 20;
    let mut word = 1u64;
    let data = std::iter::repeat_with(|| {
        word = word.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (word >> 56) as u8
    });
    let data: Vec<u8> = data.take(BYTES).collect();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let body = data.clone();
    let server = std::thread::spawn(move || -> Result<()> {
        let (mut guest, _) = listener.accept()?;
        guest.set_read_timeout(Some(patience()))?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            guest.read_exact(&mut byte)?;
            request.push(byte[0]);
        }
        guest.write_all(format!("HTTP/1.0 200 OK\r\nContent-Length: {BYTES}\r\n\r\n").as_bytes())?;
        guest.write_all(&body)?;
        guest.shutdown(Shutdown::Write)?;
        Ok(())
    });
    // A port that was free a moment ago.
    let forwarded = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let script = format!(
        r#"
udhcpc -i $IF -s /tmp/lease -n -q -t 10 || echo NO-LEASE
ROUTER=$(ip route | sed -n 's/default via \([^ ]*\).*/\1/p')
mkdir /tmp/www
wget -q -O /tmp/www/f http://$ROUTER:{port}/f && echo FETCHED
httpd -p 80 -h /tmp/www
echo SERVING
read end
"#
    );
    let net = format!("user,hostfwd=tcp:127.0.0.1:{forwarded}-:80");
    let mut guest = boot(case, images, &format!("net-passt-{}", version.name()), version, &script, &[&net])?;
    guest.expect(r"LEASE [0-9.]+ router=[0-9.]+", patience())?;
    guest.expect("FETCHED", patience())?;
    guest.expect("SERVING", patience())?;
    server.join().ok().context("the server panicked")??;
    let got = fetch(forwarded)?;
    ensure!(got == data, "{} bytes came through the forwarded port, and not those", got.len());
    guest.send("\n")?;
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}

/// The body of `/f` from a web server of the guest's.
fn fetch(port: u16) -> Result<Vec<u8>> {
    let limit = Instant::now() + patience();
    loop {
        let mut s = TcpStream::connect(("127.0.0.1", port))?;
        s.set_read_timeout(Some(patience()))?;
        s.write_all(b"GET /f HTTP/1.0\r\n\r\n")?;
        let mut all = Vec::new();
        // The server may not listen yet: passt then ends the connection.
        let _ = s.read_to_end(&mut all);
        if let Some(at) = all.windows(4).position(|w| w == b"\r\n\r\n") {
            return Ok(all.split_off(at + 4));
        }
        ensure!(Instant::now() < limit, "the guest's web server does not answer");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Two partitions in two processes, one wire.
fn two_partitions(case: &mut Case, images: &Images) -> Result<()> {
    let socket = case.file("sock", &[])?;
    std::fs::remove_file(&socket)?;
    let path = socket.display();
    let server = "ip address add 10.7.0.1/24 dev $IF\n\
                  dd if=/dev/urandom of=/tmp/f bs=1M count=16 2>/dev/null\n\
                  httpd -p 80 -h /tmp; sha256sum < /tmp/f; echo SERVING; read end\n";
    let client = "ip address add 10.7.0.2/24 dev $IF\n\
                  until ping -c 1 -W 1 10.7.0.1 > /dev/null; do sleep 0.2; done\n\
                  ping -c 3 -s 1400 10.7.0.1\n\
                  wget -q -O - http://10.7.0.1/f | sha256sum; echo FETCHED\n";
    let version = KernelVersion::V6_12;
    let mut a = boot(case, images, "net-a", version, server, &[&format!("socket={path},listen")])?;
    let limit = Instant::now() + patience();
    while !socket.exists() {
        ensure!(Instant::now() < limit, "nobody listens at {path}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut b = boot(case, images, "net-b", version, client, &[&format!("socket={path}")])?;
    // The file is the other program's, and it removes it once somebody has come.
    let sum = a.expect("([0-9a-f]{64})  -", patience())?[1].clone();
    a.expect("SERVING", patience())?;
    b.expect("3 packets transmitted, 3 packets received", patience())?;
    let got = b.expect("([0-9a-f]{64})  -", patience())?[1].clone();
    ensure!(got == sum, "sent {sum}, fetched {got}");
    b.ends(Outcome::PowerOff)?;
    a.send("\n")?;
    a.ends(Outcome::PowerOff)?;
    std::fs::write(&socket, [])?;
    a.is_healthy()?;
    b.is_healthy()
}

/// Adapters of one partition on a switch: those of one VLAN see each other, others do not.
fn vlans(case: &mut Case, images: &Images) -> Result<()> {
    // The question whether somebody has that address is answered also by an adapter of the same system.
    let script = r#"
set -- $(ls /sys/class/net | grep '^e')
ip address add 10.8.0.2/24 dev $2
ip address add 10.8.0.3/24 dev $3
sysctl -q -w net.ipv4.conf.all.arp_ignore=1
arping -D -I $1 -c 3 10.8.0.2 > /tmp/o; echo "SAME-VLAN $(grep -c 'eply' /tmp/o)"
arping -D -I $1 -c 3 10.8.0.3 > /tmp/o; echo "OTHER-VLAN $(grep -c 'eply' /tmp/o)"
"#;
    let nets = ["switch=s,vlan=10", "switch=s,vlan=10", "switch=s,vlan=20"];
    let mut guest = boot(case, images, "net-vlans", KernelVersion::V6_12, script, &nets)?;
    let same = guest.expect(r"SAME-VLAN (\d+)", patience())?[1].clone();
    let other = guest.expect(r"OTHER-VLAN (\d+)", patience())?[1].clone();
    ensure!(same != "0" && other == "0", "{same} answers in the same VLAN, {other} from the other");
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}
