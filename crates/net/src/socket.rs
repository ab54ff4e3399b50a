//! A network at the other end of a stream socket, as QEMU's `-netdev stream` speaks it: another hypervisor's adapter.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::stream::{Peer, Stream};

/// Where the other end is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(p) => p.display().fmt(f),
            Address::Tcp(a) => a.fmt(f),
        }
    }
}

/// Connects to a socket that another program listens on.
pub fn connect(address: &Address) -> std::io::Result<Stream> {
    let fd: OwnedFd = match address {
        Address::Unix(path) => UnixStream::connect(path)?.into(),
        Address::Tcp(a) => tcp(TcpStream::connect(a)?)?,
    };
    Stream::new(fd, Peer::Plain, address.to_string())
}

/// Listens and waits for the other program.
pub fn listen(address: &Address) -> std::io::Result<Stream> {
    let fd: OwnedFd = match address {
        Address::Unix(path) => {
            let listener = bind(path)?;
            let accepted = listener.accept();
            let _ = std::fs::remove_file(path);
            accepted?.0.into()
        }
        Address::Tcp(a) => tcp(TcpListener::bind(a)?.accept()?.0)?,
    };
    Stream::new(fd, Peer::Plain, address.to_string())
}

/// A socket that nobody listens on any more makes room for ours.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            let dead =
                UnixStream::connect(path).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
            if !dead {
                return Err(e);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
}

fn tcp(s: TcpStream) -> std::io::Result<OwnedFd> {
    s.set_nodelay(true)?;
    Ok(s.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestNic, wait_for};
    use crate::{Offload, Port};
    use std::sync::Arc;

    #[test]
    fn two_ends_meet() {
        let path = std::env::temp_dir().join(format!("rhyp-net-{}.sock", std::process::id()));
        // Left over from a process that is gone: in truth gone once no child that another test is just starting holds a copy of it.
        drop(UnixListener::bind(&path).unwrap());
        wait_for(|| UnixStream::connect(&path).is_err());
        let address = Address::Unix(path.clone());
        let server = std::thread::spawn({
            let address = address.clone();
            move || listen(&address).unwrap()
        });
        let mut client = None;
        wait_for(|| {
            client = connect(&address).ok();
            client.is_some()
        });
        let (a, b) = (server.join().unwrap(), client.unwrap());
        let nics = [Arc::new(TestNic::default()), Arc::new(TestNic::default())];
        a.connect(nics[0].clone());
        b.connect(nics[1].clone());
        a.send(&[1; 60], Offload::default());
        b.send(&[2; 60], Offload::default());
        wait_for(|| nics.iter().all(|n| n.got.lock().unwrap().len() == 1));
        assert_eq!(nics[0].got.lock().unwrap()[0].0, [2; 60]);
        assert!(!path.exists());
        assert!(connect(&address).is_err());
    }
}
