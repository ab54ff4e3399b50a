//! The control socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use crate::api::{Answer, Request};
use crate::system::System;

/// Longest request, in bytes.
const LONGEST: u64 = 64 << 10;

/// A socket at `path` that only the user may open. One that nobody listens at is replaced.
pub fn bind(path: &Path) -> Result<UnixListener, String> {
    let at = |e: std::io::Error| format!("control socket {}: {e}", path.display());
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).map_err(at)?;
    }
    let bound = match UnixListener::bind(path) {
        Err(e) if e.kind() == ErrorKind::AddrInUse => match UnixStream::connect(path) {
            Ok(_) => {
                let text = "another system is up there; --control names another socket";
                return Err(format!("control socket {}: {text}", path.display()));
            }
            // Only what a system left behind may go.
            Err(_) if is_socket(path) => std::fs::remove_file(path).and_then(|()| UnixListener::bind(path)),
            Err(_) => Err(std::io::Error::other("it is a file and no socket")),
        },
        other => other,
    };
    let listener = bound.map_err(at)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(at)?;
    Ok(listener)
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

/// Serves clients on threads of their own, for ever.
pub fn serve(listener: UnixListener, system: &Arc<System>) -> std::io::Result<()> {
    let system = system.clone();
    let work = move || {
        for stream in listener.incoming().flatten() {
            let system = system.clone();
            // Without a thread there is no answer.
            let _ = std::thread::Builder::new().name("control".into()).spawn(move || client(&system, stream));
        }
    };
    std::thread::Builder::new().name("control".into()).spawn(work).map(drop)
}

/// Whether the other end may manage this system: it is the same user, or root.
fn may(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|c| c.uid == rustix::process::geteuid() || c.uid.is_root())
}

fn say(mut stream: &UnixStream, a: &Answer) -> bool {
    let Ok(mut line) = serde_json::to_vec(a) else { return false };
    line.push(b'\n');
    stream.write_all(&line).is_ok()
}

fn client(system: &Arc<System>, stream: UnixStream) {
    if !may(&stream) {
        say(&stream, &Answer::Refused("only the user who started the system may manage it".into()));
        return;
    }
    let Ok(writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        match (&mut reader).take(LONGEST).read_line(&mut line) {
            Ok(n) if n > 0 && line.ends_with('\n') => {}
            _ => return,
        }
        let request: Request = match serde_json::from_str(&line) {
            Ok(r) => r,
            Err(e) => {
                say(&writer, &Answer::Refused(format!("this is no request: {e}")));
                return;
            }
        };
        if !say(&writer, &system.answer(&request)) {
            return;
        }
        if let Request::Console { name } = request {
            console(system, &name, &mut reader, &writer);
            return;
        }
    }
}

/// Carries bytes between a client and a console until either goes.
fn console(system: &System, name: &str, reader: &mut impl Read, writer: &UnixStream) {
    let Some(viewer) = system.view(name) else { return };
    std::thread::scope(|s| {
        let (shown, mut out) = (viewer.clone(), writer);
        s.spawn(move || {
            loop {
                let bytes = shown.next();
                if bytes.is_empty() || out.write_all(&bytes).is_err() {
                    break;
                }
            }
            shown.close();
            // The reader wakes up.
            let _ = out.shutdown(std::net::Shutdown::Both);
        });
        let mut buf = [0; 1024];
        loop {
            match reader.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => system.type_in(name, &viewer, &buf[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        viewer.close();
    });
}
