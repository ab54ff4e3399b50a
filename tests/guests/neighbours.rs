//! What partitions of a managed system cannot do to each other, and what they gain by conferring their turns.

use crate::Suite;
use crate::processor::built;
use crate::system::{OPEN_TO_CLIENT, Part, Up};
use anyhow::{Context, Result, ensure};
use guest_tests::{Case, Images, Peer, patience};
use guests::KernelVersion;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Adds the tests of this file. They are about rhyp alone.
pub fn register(suite: &mut Suite) {
    let seconds = if suite.all() { 600 } else { 20 };
    suite.add_for(Peer::Rhyp, "system::hostile_neighbours_harm_nobody", true, move |case, images| {
        hostile(case, images, Duration::from_secs(seconds))
    });
    suite.add_for(Peer::Rhyp, "system::pages_kept_once_are_everybody_s_own", true, |case, _| alike(case));
    suite.add_for(Peer::Rhyp, "system::conferring_pays", false, confer);
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join("passt").is_file()) {
        suite.add_for(Peer::Rhyp, "system::ten_on_one", false, ten);
    } else {
        suite.leave_out("system::ten_on_one", "passt is not installed");
    }
}

/// Storms on the kernel's locks by four processors that share one: forks, maps, pages that are discarded, descriptors; and
/// the first three in turn.
const STORM: &str = r#"
for s in fork map discard files all; do /storm $s 8 SECONDS; done
echo STORM-OVER
"#;

fn confer(case: &mut Case, images: &Images) -> Result<()> {
    let kernel = images.kernel(KernelVersion::V6_12).context("Debian's 6.12 kernel is missing")?;
    let seconds = std::env::var("RHYP_STORM_SECONDS").unwrap_or_else(|_| "10".into());
    let script = STORM.replace("SECONDS", &seconds);
    let initrd = case.file("initrd", &[])?;
    images.userland(&script).host_file("storm", &built("storm")?.join("storm"))?.write(&initrd)?;
    let shape = "processors = 4\nentitlement = 1.0\nmode = \"capped\"";
    let section = Up::section("storm", &kernel.vmlinux, &initrd, shape).replace("256M", "1G");
    let text = format!("[node]\nprocessors = 1\n{section}");
    // Of the single kinds.
    let mut sums = [0.0; 2];
    let mut all = [0.0; 2];
    let mut table = String::new();
    for (n, (name, options)) in
        [("conferred", &[][..]), ("kept", &["--ignore-confer"][..])].into_iter().enumerate()
    {
        let up = Up::boot(case, &text, options)?;
        let mut console = up.console(case, "storm")?;
        let told = console.expect("(?s)(OPS.*)STORM-OVER", patience())?[1].clone();
        for line in told.lines().filter(|l| l.starts_with("OPS")) {
            let words: Vec<_> = line.split_whitespace().collect();
            let rate: f64 = words[2].parse()?;
            table.push_str(&format!("turns {name:<9} {:<10} {rate:>10.1} operations/s\n", words[1]));
            match words[1] {
                "all" => all[n] = rate,
                _ => sums[n] += rate.max(1e-3).ln(),
            }
        }
        let shown = up.ask(&["show", "storm"])?;
        let calls = shown.lines().filter(|l| ["H_CONFER", "H_PROD", "H_CEDE"].iter().any(|c| l.ends_with(c)));
        calls.for_each(|l| table.push_str(&format!("turns {name:<9} {}\n", l.trim())));
        up.down()?;
    }
    eprint!("{table}");
    let gain = ((sums[0] - sums[1]) / 4.0).exp();
    let together = all[0] / all[1];
    eprintln!("turns conferred over kept, geometric mean: {gain:.2}; in turn: {together:.2}");
    ensure!(gain >= 2.0, "{gain:.2} times as much only:\n{table}");
    Ok(())
}

/// The end of every script: a shell.
const SHELL: &str = "export PS1='shell> '\necho USERLAND\nwhile true; do setsid cttyhack sh; done\n";

/// A server of a disk, and its client, which writes and reads all the time and compares.
const SERVE: &str = r#"
mount -t configfs none /sys/kernel/config
mkdir /d; mount -t tmpfs none /d
T=/sys/kernel/config/target
mkdir -p $T/ibmvscsis $T/core/fileio_0/file
echo fd_dev_name=/d/file,fd_dev_size=33554432 > $T/core/fileio_0/file/control
echo 1 > $T/core/fileio_0/file/enable
mkdir -p $T/ibmvscsis/71004000/tpgt_1/lun/lun_0
ln -s $T/core/fileio_0/file $T/ibmvscsis/71004000/tpgt_1/lun/lun_0/port
ip address add 10.9.0.1/24 dev eth0; ip link set eth0 up
httpd -p 80 -h /d
"#;

const LOAD: &str = r#"
ip address add 10.9.0.2/24 dev eth0; ip link set eth0 up
until [ -b /dev/sda ]; do
    for h in /sys/class/scsi_host/*/scan; do echo '- - -' > $h; done
    sleep 0.5
done
echo USERLAND
n=0
while true; do
    dd if=/dev/urandom of=/tmp/block bs=256k count=1 2>/dev/null
    dd if=/tmp/block of=/dev/sda bs=256k count=1 seek=$((n % 100)) oflag=direct 2>/dev/null || echo WRITE-FAILED
    dd if=/dev/sda of=/tmp/back bs=256k count=1 skip=$((n % 100)) iflag=direct 2>/dev/null || echo READ-FAILED
    cmp /tmp/block /tmp/back || echo DIFFERENT
    [ $((n % 8)) = 0 ] && { ping -c 1 -W 10 10.9.0.1 > /dev/null || echo PING-FAILED; }
    n=$((n+1))
    echo "ROUND $n."
done
"#;

/// Two partitions that do nothing but nonsense, towards the hypervisor and each other, beside two that work.
fn hostile(case: &mut Case, images: &Images, length: Duration) -> Result<()> {
    let program = built("hostile")?.join("hostile");
    let (serve, load) = (format!("{SERVE}{OPEN_TO_CLIENT}{SHELL}"), LOAD);
    let parts = [
        Part {
            name: "store",
            script: &serve,
            modules: &["ibmveth", "ibmvscsis", "target_core_file", "configfs"],
            profile: "entitlement = 0.3\nvscsi-server = [\"client\"]\nnet = [\"switch=lan,model=veth\"]",
        },
        Part {
            name: "client",
            script: load,
            modules: &["ibmveth", "ibmvscsi", "sd_mod"],
            profile: "entitlement = 0.3\nvscsi-client = [\"store\"]\nnet = [\"switch=lan,model=veth\"]\n\
                      autostart = false",
        },
    ];
    let mut text = Up::profile(case, images, "processors = 1", &parts)?;
    for (name, other) in [("evil", "twin"), ("twin", "evil")] {
        text.push_str(&format!(
            "[[partition]]\nname = \"{name}\"\nkernel = \"{}\"\nmemory = \"64M\"\nentitlement = 0.2\n\
             net = [\"switch=lan,model=veth\"]\nvscsi-client = [\"{other}\"]\n\
             vscsi-server = [\"{other}\"]\nvty-server = [\"{other}\"]\n",
            program.display()
        ));
    }
    let up = Up::boot(case, &text, &[])?;
    let mut store = up.console(case, "store")?;
    store.expect("(?s)USERLAND.*shell> ", patience())?;
    up.ask(&["start", "client"])?;
    let mut client = up.console(case, "client")?;
    client.expect("USERLAND", patience())?;
    let round = |c: &mut guest_tests::Guest| -> Result<u64> {
        Ok(c.expect(r"ROUND (\d+)\.", patience())?[1].parse()?)
    };
    round(&mut client)?;
    let start = Instant::now();
    let (mut calls, mut restarts, mut rounds) = ([0u64; 2], 0, 0);
    let mut memory = Vec::new();
    while start.elapsed() < length {
        for _ in 0..4 {
            rounds = round(&mut client)?;
        }
        for (n, name) in ["evil", "twin"].into_iter().enumerate() {
            let mut shown = up.ask(&["show", name])?;
            let deadline = Instant::now() + patience();
            // It was told to begin anew, and the host has other things to do.
            while shown.contains(" is stopping") {
                ensure!(Instant::now() < deadline, "{name} does not stop:\n{shown}");
                std::thread::sleep(Duration::from_millis(50));
                shown = up.ask(&["show", name])?;
            }
            let count = shown.lines().find_map(|l| l.strip_prefix("hypercalls "));
            let now: u64 = count.context("no count of hypercalls")?.trim().parse()?;
            // What has hurt itself so much that it does nothing any more begins anew.
            if !shown.contains(" is running") {
                up.ask(&["start", name])?;
                restarts += 1;
            } else if now == calls[n] {
                up.ask(&["restart", name])?;
                restarts += 1;
            }
            calls[n] = now;
        }
        memory.push(up.anonymous_memory()?);
    }
    // Heap and translated code: what nonsense makes the hypervisor keep has bounds.
    let (first, last) = (memory[memory.len() / 4], memory[memory.len() - 1]);
    ensure!(last < first + (96 << 20), "the hypervisor's own memory grew from {first} to {last} bytes");
    eprintln!("{rounds} rounds beside {calls:?} hypercalls, {restarts} restarts, {first} to {last} bytes");
    up.expect_state("store", "running")?;
    let told = client.kill()?;
    ensure!(!told.contains("FAILED") && !told.contains("DIFFERENT"), "the client's work went wrong:\n{told}");
    store.send("echo st''ill\n")?;
    store.expect("still", patience())?;
    up.down()
}

/// Two partitions of the same memory, whose pages are kept once: what one of them changes, by whatever kind of store, it
/// has at once, its translated code too, and the other never; also while the pages are being joined.
fn alike(case: &mut Case) -> Result<()> {
    const PAGES: u64 = 512;
    let program = built("alike")?.join("alike");
    let mut text = "[node]\nprocessors = 1\n".to_owned();
    for name in ["one", "two"] {
        text.push_str(&format!(
            "[[partition]]\nname = \"{name}\"\nkernel = \"{}\"\nmemory = \"64M\"\nentitlement = 0.4\n",
            program.display()
        ));
    }
    let up = Up::boot(case, &text, &[])?;
    let mut both = [up.console(case, "one")?, up.console(case, "two")?];
    for guest in &mut both {
        guest.expect("READY", patience())?;
    }
    let shared = || -> Result<(u64, u64)> {
        let told: serde_json::Value = serde_json::from_str(&up.ask(&["ls", "--json"])?)?;
        let count = |name: &str| told[name].as_u64().with_context(|| format!("no {name}: {told}"));
        Ok((count("pages_kept")?, count("pages_shared")?))
    };
    // What each of them is told, and then says; first to all, then what they say.
    let mut order = |orders: [&str; 2]| -> Result<()> {
        let to_obey = both.iter_mut().zip(orders).filter(|(_, order)| !order.is_empty());
        let mut obeying = Vec::new();
        for (guest, order) in to_obey {
            guest.send(order)?;
            obeying.push((guest, order));
        }
        for (guest, order) in obeying {
            for letter in order.chars() {
                let told = guest.expect(r"(OK|FAIL) (.) (\d+) (\d+)\.", patience())?;
                ensure!(told[1] == "OK" && told[2] == letter.to_string(), "{orders:?}: {}", told[0]);
            }
        }
        Ok(())
    };
    // With long pauses, in which pages are joined.
    order(["+?", "+?"])?;
    // The half that this has not changed are among them for certain, all but a few.
    let deadline = Instant::now() + patience();
    loop {
        let (kept, places) = shared()?;
        if kept >= PAGES * 7 / 8 && places >= 2 * kept {
            eprintln!("{kept} pages in {places} places");
            break;
        }
        ensure!(Instant::now() < deadline, "only {kept} pages in {places} places");
        std::thread::sleep(Duration::from_millis(100));
    }
    order(["c?", ""])?;
    order(["", "?k?"])?;
    order(["?", "?"])?;
    order(["!?", ""])?;
    order(["", "?!?"])?;
    order(["x?!?", "y?!?"])?;
    up.down()
}

/// `examples/ten.toml`: all ten answer from the host, through one disk and one way in.
fn ten(case: &mut Case, images: &Images) -> Result<()> {
    let dir = images.scratch().join("ten");
    images.ten(&dir)?;
    let mut text = include_str!("../../examples/ten.toml").replace("target/ten", &dir.display().to_string());
    // Ports that were free a moment ago.
    let listeners = (0..10).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let ports = listeners.iter().map(|l| Ok(l.local_addr()?.port())).collect::<Result<Vec<u16>>>()?;
    drop(listeners);
    for (n, port) in ports.iter().enumerate() {
        text = text.replace(&format!("127.0.0.1:80{:02}-", n + 1), &format!("127.0.0.1:{port}-"));
    }
    let start = Instant::now();
    let up = Up::boot(case, &text, &[])?;
    let limit = start + 2 * patience();
    for (n, port) in ports.iter().enumerate() {
        let wanted = format!("partition {}", n + 1);
        while !page(*port).contains(&wanted) {
            ensure!(Instant::now() < limit, "partition {} does not answer:\n{}", n + 1, up.ask(&["ls"])?);
            std::thread::sleep(Duration::from_millis(500));
        }
    }
    eprintln!("all ten answer after {:.0} s", start.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_secs(10));
    let (ticks, at) = (up.ticks()?, Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    let busy = (up.ticks()? - ticks) as f64 / at.elapsed().as_secs_f64();
    eprintln!(
        "idle: {busy:.1} % of a processor, {} MiB of proportional set size",
        up.proportional_set()? >> 20
    );
    for (n, port) in ports.iter().enumerate() {
        ensure!(page(*port).contains("partition"), "partition {} is silent", n + 1);
    }
    up.down()
}

/// What a web server on a port of the host's says, if anything.
fn page(port: u16) -> String {
    let mut told = Vec::new();
    if let Ok(mut s) = TcpStream::connect(("127.0.0.1", port)) {
        let timeout = s.set_read_timeout(Some(Duration::from_secs(10)));
        if timeout.and_then(|()| s.write_all(b"GET / HTTP/1.0\r\n\r\n")).is_ok() {
            // Whatever came before it broke off.
            let _ = s.read_to_end(&mut told);
        }
    }
    String::from_utf8_lossy(&told).into_owned()
}
