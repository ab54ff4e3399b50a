//! Profiles, and what is told about wrong ones.

use std::path::PathBuf;
use std::sync::Arc;

use partition::io::{CableSlot, Side, Sink};

use crate::joints::{Joints, Terminal};
use crate::profile::{Mode, Profile, Source};
use crate::quantity::{Bytes, Count, Hundredths, Span};

/// A profile in a file of its own.
fn read(name: &str, text: &str) -> Result<Profile, String> {
    let path = std::env::temp_dir().join(format!("rhyp-node-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let r = Source::read(&path).and_then(|s| s.profile());
    std::fs::remove_file(&path).unwrap();
    r.map_err(|e| e.replace(&PathBuf::from(&path).display().to_string(), "FILE"))
}

const GOOD: &str = r#"
[node]
name = "attic"
processors = 2
memory = "4G"
net = ["user,uplink=lan"]

[[partition]]
name = "a"
processors = { min = 1, desired = 2, max = 4 }
memory = { min = "128M", desired = "512M" }
entitlement = 0.5
mode = "capped"
kernel = "vmlinux"
net = ["switch=lan,model=veth,vlan=2"]

[[partition]]
name = "b"
number = 7
entitlement = { min = 0.05, desired = 0.10, max = 1 }
weight = 255
order = 1
autostart = false
"#;

#[test]
fn a_profile_says_what_it_says() {
    let p = read("good.toml", GOOD).unwrap();
    assert_eq!((p.processors(), p.number(0), p.number(1)), (2, 1, 7));
    let [a, b] = &p.partitions[..] else { panic!() };
    assert_eq!(a.processors, Span { min: Count(1), desired: Count(2), max: Count(4) });
    assert_eq!(a.memory, Span { min: Bytes(128 << 20), desired: Bytes(512 << 20), max: Bytes(512 << 20) });
    assert_eq!((a.mode(), b.mode(), a.autostart, b.autostart), (Mode::Capped, Mode::Uncapped, true, false));
    let e = Span { min: Hundredths(5), desired: Hundredths(10), max: Hundredths(100) };
    assert_eq!((b.entitlement, b.weight), (Some(e), Some(255)));
    // The same in JSON.
    let json = serde_json::to_string(&serde_json::json!({
        "node": { "processors": 2 },
        "partition": [{ "name": "a", "entitlement": 0.5, "memory": "1G", "cloud-init": "x" }],
    }));
    let p = read("good.json", &json.unwrap()).unwrap();
    assert_eq!(p.partitions[0].entitlement, Some(Span::of(Hundredths(50))));
    assert_eq!((p.partitions[0].memory, p.partitions[0].mode()), (Span::of(Bytes(1 << 30)), Mode::Uncapped));
}

#[test]
fn wrong_profiles_are_told_with_their_line() {
    let part = |text: &str| format!("[node]\nprocessors = 1\n\n[[partition]]\nname = \"a\"\n{text}\n");
    for (text, line, word) in [
        (part("memory = \"12Q\""), 6, "512M"),
        (part("memory = \"1M\""), 6, "64M"),
        (part("memory = { desired = \"1G\", max = \"17T\" }"), 6, "16T"),
        (part("memory = { min = \"2G\", desired = \"1G\" }"), 6, "min <= desired"),
        (part("memory = { least = 1 }"), 6, "desired"),
        (part("\ncolour = 3"), 7, "entitlement"),
        (part("processors = 0"), 6, "1 to 256"),
        (part("processors = -1"), 6, "whole number"),
        (part("processors = 2"), 6, "an entitlement"),
        (part("threads = 3"), 6, "1, 2, 4 or 8"),
        (part("entitlement = 0.123"), 6, "two decimals"),
        (part("entitlement = 0.04"), 6, "0.05 to 1.00"),
        (part("entitlement = 1.01"), 6, "0.05 to 1.00"),
        (part("mode = \"capped\""), 6, "needs an entitlement"),
        (part("mode = \"fair\""), 6, "uncapped"),
        (part("mode = \"capped\"\nentitlement = 0.5\nweight = 1"), 8, "uncapped"),
        (part("entitlement = 0.5\nweight = 256"), 7, "256"),
        (part("entitlement = 0.5\ndonate = true"), 7, "dedicated"),
        (part("mode = \"dedicated\"\nentitlement = 0.5"), 7, "capped"),
        (part("number = 65535"), 6, "65534"),
        (part("[[partition]]\nname = \"a\""), 7, "already"),
        (part("vscsi-client = [\"a\"]\n[[partition]]\nname = \"b\""), 6, "another partition: b"),
        (part("vscsi-client = [\"b\"]\n[[partition]]\nname = \"b\""), 6, "vscsi-server = [\"a\"]"),
        (
            part("vscsi-client = [\"b\",\n \"b\"]\n[[partition]]\nname = \"b\"\nvscsi-server = [\"a\"]"),
            7,
            "vscsi-server",
        ),
        (part("vscsi-server = [\"b\"]\n[[partition]]\nname = \"b\""), 6, "vscsi-client = [\"a\"]"),
        (part("vty-server = [\"*\", \"c\"]"), 6, "vty-server \"c\""),
        (
            part("entitlement = 0.6\n[[partition]]\nname = \"b\"\nentitlement = 0.5"),
            9,
            "0.40 of the node's 1.00",
        ),
        (part("[[partition]]\nname = \"b c\""), 7, "letters"),
        (part("disk = \"x\""), 6, "sequence"),
        ("[node]\nprocessors = 1\n".into(), 1, "no partition"),
        ("[node]\nmemory = \"1G\"\n[[partition]]\nname=\"a\"\nmemory=\"2G\"\n".into(), 5, "too little"),
        ("[[partition]\n".into(), 1, ""),
    ] {
        let e = read("wrong.toml", &text).unwrap_err();
        assert!(e.starts_with(&format!("FILE:{line}: ")), "line {line} for\n{text}\n{e}");
        assert!(e.contains(word) && !e.contains('\n'), "{text}\n{e}");
    }
    for (text, line, word) in [
        (
            "{\n \"partition\": [\n  {\"name\": \"a\"},\n  {\"name\": \"b\",\n   \"threads\": 5}\n ]\n}",
            5,
            "threads",
        ),
        (
            "{\n \"partition\": [\n  {\"name\": \"a\", \"disk\": [\"{\", \"]\"]},\n  {\"name\": \"a\"}\n ]\n}",
            4,
            "already",
        ),
        ("{\n \"partition\": [\n  {\"nam\": \"a\"}]}", 3, "name"),
        ("{", 1, ""),
    ] {
        let e = read("wrong.json", text).unwrap_err();
        assert!(e.starts_with(&format!("FILE:{line}: ")) && e.contains(word), "{text}\n{e}");
    }
    assert!(Source::read(&PathBuf::from("/no/such")).err().unwrap().contains("no such file"));
}

#[test]
fn last_words_steer_no_terminal() {
    assert_eq!(crate::system::last_words("\x1b]0;x\x07one\ntwo\u{9b}2J\n\0"), " ]0;x one two 2J");
    assert_eq!(crate::system::last_words("\n\0 "), "it gave no reason");
}

#[test]
fn a_control_socket_takes_no_file_s_place() {
    let path = std::env::temp_dir().join(format!("rhyp-node-{}-file", std::process::id()));
    std::fs::write(&path, "precious").unwrap();
    assert!(crate::server::bind(&path).unwrap_err().contains("no socket"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
    // What nobody listens at any more is replaced; what somebody listens at stays.
    drop(crate::server::bind(&path).unwrap());
    let listener = crate::server::bind(&path).unwrap();
    assert!(crate::server::bind(&path).unwrap_err().contains("another system"));
    drop(listener);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn cables_join_the_adapters_that_name_each_other() {
    let text = "[[partition]]\nname = \"io\"\nvscsi-server = [\"b\", \"a\", \"b\"]\nvty-server = [\"*\"]\n\
                [[partition]]\nname = \"a\"\nvscsi-client = [\"io\"]\nentitlement = 0.1\n\
                [[partition]]\nname = \"b\"\nvscsi-client = [\"io\", \"io\"]\nentitlement = 0.1\n";
    let p = read("cables.toml", &format!("[node]\nprocessors = 2\n{text}")).unwrap();
    assert_eq!(p.cables(), [(1, 0), (2, 0), (2, 0)]);
    let terminals: Vec<_> = (0..3).map(|n| Terminal::new(&p.partitions[n].name, p.number(n))).collect();
    let joints = Joints::new(&p, &terminals);
    let [io, a, b] = [0, 1, 2].map(|n| joints.cables(n, &p));
    assert!(io.iter().all(|s| s.side == Side::Server) && a.iter().chain(&b).all(|s| s.side == Side::Client));
    let same = |s: usize, c: &CableSlot| Arc::ptr_eq(&io[s].cable, &c.cable);
    assert!(same(0, &b[0]) && same(1, &a[0]) && same(2, &b[1]));
    let partners = joints.vty_servers(0)[0].partners();
    assert_eq!(partners.iter().map(|p| p.partition).collect::<Vec<_>>(), [2, 3]);
    // A console has one server at a time.
    struct Nowhere;
    impl Sink for Nowhere {
        fn output(&self, _: &[u8]) {}
    }
    let line = joints.vty_servers(0)[0].connect(&partners[0], Arc::new(Nowhere)).unwrap();
    assert!(joints.vty_servers(0)[0].connect(&partners[0], Arc::new(Nowhere)).is_none());
    assert_eq!(line.input(b"nobody"), 6);
    drop(line);
    assert!(joints.vty_servers(0)[0].connect(&partners[0], Arc::new(Nowhere)).is_some());
}
