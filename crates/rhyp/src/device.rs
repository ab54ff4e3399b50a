//! `--device`: virtio devices beside disks, networks and shared directories.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use partition::virtio::VirtioDevice;
use partition::virtio::balloon::Balloon;
use partition::virtio::console::{Console, Feed};
use partition::virtio::rng::Rng;
use partition::virtio::vhost::VhostUser;

use crate::disk::words;
use crate::error::Failure;

/// Kinds of devices behind vhost-user that have a name: name, number, PCI class, queues.
const KINDS: &[(&str, u16, u32, usize)] = &[
    ("net", 1, 0x02_0000, 2),
    ("blk", 2, 0x01_0000, 1),
    ("rng", 4, 0x00_ff00, 1),
    ("scsi", 8, 0x01_0000, 3),
    ("gpio", 41, 0xff_0000, 2),
    ("i2c", 34, 0xff_0000, 1),
    ("sound", 25, 0x04_0100, 4),
    ("vsock", 19, 0x07_8000, 3),
];

/// Most queues of a device behind vhost-user.
const MOST_QUEUES: usize = 64;

/// What one `--device` says.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Rng,
    Balloon,
    Console(PathBuf),
    Vhost { socket: PathBuf, kind: u16, class: u32, queues: usize },
}

/// Whether the words of a `--device` are right.
pub fn check(arg: &str) -> Result<(), Failure> {
    parse(arg).map(drop)
}

fn parse(arg: &str) -> Result<Wanted, Failure> {
    let wrong = |what: String| Failure::usage(format!("--device {arg}: {what}"));
    let all = words(arg);
    let mut rest: Vec<(&str, &str)> =
        all.iter().skip(1).map(|w| w.split_once('=').unwrap_or((w, ""))).collect();
    let mut take = |name: &str| {
        let at = rest.iter().position(|w| w.0 == name && !w.1.is_empty())?;
        Some(rest.remove(at).1)
    };
    let wanted = match all.first().map_or("", |w| w) {
        "virtio-rng" => Wanted::Rng,
        "virtio-balloon" => Wanted::Balloon,
        "virtio-console" => {
            let at = take("unix").ok_or_else(|| wrong("it needs unix=PATH".into()))?;
            Wanted::Console(at.into())
        }
        "vhost-user" => {
            let socket = take("socket").ok_or_else(|| wrong("it needs socket=PATH".into()))?;
            let kind = take("kind").unwrap_or("");
            let row = KINDS.iter().find(|k| k.0 == kind);
            let number = kind.parse().ok().filter(|n| (1..64).contains(n));
            let (kind, class, usual) = match (row, number) {
                (Some(&(_, kind, class, queues)), _) => (kind, class, queues),
                (None, Some(n)) => (n, 0xff_0000, 1),
                _ => {
                    let names: Vec<&str> = KINDS.iter().map(|k| k.0).collect();
                    return Err(wrong(format!("right would be kind=NUMBER or one of {}", names.join(", "))));
                }
            };
            let queues = match take("queues") {
                None => usual,
                Some(n) => n
                    .parse()
                    .ok()
                    .filter(|n| (1..=MOST_QUEUES).contains(n))
                    .ok_or_else(|| wrong(format!("a device has 1 to {MOST_QUEUES} queues")))?,
            };
            Wanted::Vhost { socket: socket.into(), kind, class, queues }
        }
        name => {
            let right = "virtio-rng, virtio-balloon, virtio-console or vhost-user";
            return Err(wrong(format!("'{name}' is unknown; right would be {right}")));
        }
    };
    match rest.first() {
        Some((word, _)) => Err(wrong(format!("'{word}' is unknown here, or lacks its value"))),
        None => Ok(wanted),
    }
}

/// Makes all devices, in order.
pub fn open_all(args: &[String]) -> Result<Vec<Arc<dyn VirtioDevice>>, Failure> {
    args.iter().map(|arg| open(arg)).collect()
}

fn open(arg: &str) -> Result<Arc<dyn VirtioDevice>, Failure> {
    let failure = |what: String| Failure::usage(format!("--device {arg}: {what}"));
    Ok(match parse(arg)? {
        Wanted::Rng => Arc::new(Rng::new()),
        Wanted::Balloon => Arc::new(Balloon::new()),
        Wanted::Console(path) => Arc::new(console(&path).map_err(|e| failure(e.to_string()))?),
        Wanted::Vhost { socket, kind, class, queues } => {
            let stream = UnixStream::connect(&socket).map_err(|e| match e.kind() {
                ErrorKind::NotFound => failure("there is no such socket".into()),
                ErrorKind::ConnectionRefused => failure("nobody listens at that socket".into()),
                _ => failure(e.to_string()),
            })?;
            let name = KINDS.iter().find(|k| k.1 == kind).map_or("vhost-user", |k| k.0);
            let device = VhostUser::new(stream, kind, class, name, queues, None);
            Arc::new(device.map_err(|e| failure(e.to_string()))?)
        }
    })
}

/// How long a client may let the guest's output wait, and the guest its input.
const PATIENCE: Duration = Duration::from_millis(200);

/// A console on a socket that one client at a time connects to; output without a client is lost.
fn console(path: &Path) -> std::io::Result<Console> {
    let listener = UnixListener::bind(path)?;
    let client: Arc<Mutex<Option<UnixStream>>> = Arc::default();
    let out = client.clone();
    let console = Console::new(move |bytes| {
        let mut slot = out.lock().unwrap_or_else(PoisonError::into_inner);
        // A client that does not read, or is gone, is let go.
        if slot.as_mut().is_some_and(|s| s.write_all(bytes).is_err()) {
            *slot = None;
        }
    });
    let feed = console.feed();
    std::thread::Builder::new()
        .name("virtio-console".into())
        .spawn(move || serve(&listener, &client, &feed))?;
    Ok(console)
}

fn serve(listener: &UnixListener, client: &Mutex<Option<UnixStream>>, feed: &Feed) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let Ok(writer) = stream.try_clone() else { continue };
        let _ = writer.set_write_timeout(Some(PATIENCE));
        *client.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut bytes) {
            let mut rest = &bytes[..n];
            while !rest.is_empty() {
                rest = &rest[feed.input(rest, PATIENCE)..];
            }
        }
        *client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_and_bad_ones_give_one_clear_line() {
        assert_eq!(parse("virtio-rng").unwrap(), Wanted::Rng);
        assert_eq!(parse("virtio-console,unix=/tmp/x").unwrap(), Wanted::Console("/tmp/x".into()));
        let vhost = Wanted::Vhost { socket: "/s".into(), kind: 19, class: 0x07_8000, queues: 3 };
        assert_eq!(parse("vhost-user,socket=/s,kind=vsock").unwrap(), vhost);
        let odd = Wanted::Vhost { socket: "/s".into(), kind: 20, class: 0xff_0000, queues: 7 };
        assert_eq!(parse("vhost-user,kind=20,queues=7,socket=/s").unwrap(), odd);
        for (arg, what) in [
            ("", "right would be"),
            ("virtio-gpu", "right would be"),
            ("virtio-rng,fast", "'fast' is unknown"),
            ("virtio-console", "unix=PATH"),
            ("vhost-user,kind=vsock", "socket=PATH"),
            ("vhost-user,socket=/s", "kind=NUMBER"),
            ("vhost-user,socket=/s,kind=99", "kind=NUMBER"),
            ("vhost-user,socket=/s,kind=blk,queues=0", "1 to 64"),
            ("vhost-user,socket=/s,kind=blk,queues", "'queues' is unknown"),
        ] {
            let e = parse(arg).unwrap_err();
            assert!(e.text.contains(what) && !e.text.contains('\n'), "{arg}: {}", e.text);
            assert_eq!(e.status, 2);
        }
        let e = open("vhost-user,socket=/does/not/exist,kind=blk").err().unwrap();
        assert!(e.text.contains("no such socket") && e.status == 2, "{}", e.text);
    }
}
