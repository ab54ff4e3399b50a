//! User-mode networking through `passt`, a program that turns a guest's packets into the host's own sockets: no root, no
//! interface, no change to the host.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stream::{Peer, Stream, large_buffers};
use crate::{Nic, Offload, Port};

/// How long passt may take to answer its first frame.
const START: Duration = Duration::from_secs(10);
/// Largest packet the guest is told to send; larger TCP data goes as frames left to cut.
const MTU: &str = "1500";

/// What kind of port is forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host that leads to one of the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// What kind of port.
    pub protocol: Protocol,
    /// Address to listen on; none for all.
    pub address: Option<IpAddr>,
    /// Port of the host.
    pub host: u16,
    /// Port of the guest.
    pub guest: u16,
}

/// Why there is no user-mode network.
#[derive(Debug, thiserror::Error)]
pub enum PasstError {
    /// The program is not there.
    #[error("the program 'passt' is not installed (Debian's package is called passt)")]
    Missing,
    /// A port is in use or not to be had.
    #[error("{address}: {why}")]
    Port {
        /// What was to be listened on.
        address: SocketAddr,
        /// Why not.
        why: std::io::Error,
    },
    /// passt ended at once.
    #[error("passt does not start: {0}")]
    Failed(String),
    /// The host.
    #[error("passt cannot be started: {0}")]
    Host(#[from] std::io::Error),
}

/// A user-mode network. passt ends with it, also when this process is killed.
pub struct Passt {
    /// Goes first, and with it the socket: passt then ends by itself.
    stream: Option<Stream>,
    child: Child,
}

impl Passt {
    /// Starts passt. `mac` is the adapter's address.
    pub fn start(forwards: &[Forward], mac: [u8; 6]) -> Result<Passt, PasstError> {
        Passt::start_program("passt", forwards, mac)
    }

    fn start_program(program: &str, forwards: &[Forward], mac: [u8; 6]) -> Result<Passt, PasstError> {
        forwards.iter().try_for_each(free)?;
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        large_buffers(&theirs);
        // passt shall inherit this one, so it must not close by itself when the program starts.
        let inherited = rustix::io::dup(&theirs).map_err(std::io::Error::from)?;
        drop(theirs);
        let mut command = Command::new(program);
        command.args(["--foreground", "--stderr", "--mtu", MTU, "--fd", &inherited.as_raw_fd().to_string()]);
        for f in forwards {
            let address = f.address.map(|a| format!("{a}/")).unwrap_or_default();
            let option = if f.protocol == Protocol::Tcp { "-t" } else { "-u" };
            command.args([option, &format!("{address}{}:{}", f.host, f.guest)]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => PasstError::Missing,
            _ => PasstError::Host(e),
        })?;
        drop(inherited);
        let mut passt = Passt { stream: None, child };
        passt.wait_until_it_runs(&ours, mac)?;
        passt.stream = Some(Stream::new(ours.into(), Peer::Passt, "passt".into())?);
        Ok(passt)
    }

    /// Asks for a hardware address, which passt always answers, and so tells it the adapter's as well.
    fn wait_until_it_runs(&mut self, mut socket: &UnixStream, mac: [u8; 6]) -> Result<(), PasstError> {
        let mut frame = vec![0, 0, 0, 42];
        frame.extend([0xff; 6]);
        frame.extend(mac);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(mac);
        frame.extend([0; 10]);
        frame.extend([10, 0, 2, 2]);
        // A program that has ended already shows below.
        let _ = std::io::Write::write_all(&mut socket, &frame);
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut answer = [0; 46];
        let mut have = 0;
        let limit = Instant::now() + START;
        while have < answer.len() {
            match socket.read(&mut answer[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    if self.child.try_wait()?.is_some() || Instant::now() > limit {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        if have == answer.len() {
            self.drain_messages();
            return Ok(());
        }
        let _ = self.child.kill();
        Err(PasstError::Failed(self.last_words()))
    }

    /// What passt says from now on is for the log.
    fn drain_messages(&mut self) {
        let Some(errors) = self.child.stderr.take() else { return };
        let _ = std::thread::Builder::new().name("passt".into()).spawn(move || {
            use std::io::BufRead;
            let lines = std::io::BufReader::new(errors).lines().map_while(Result::ok);
            // It would like to tell the host's log as well, which it often may not.
            for line in lines.filter(|l| !l.starts_with("Failed to send")) {
                tracing::debug!("passt: {line}");
            }
        });
    }

    /// Why it ended: the last line that is not about its own log.
    fn last_words(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut e) = self.child.stderr.take() {
            let _ = e.read_to_string(&mut text);
        }
        let mut told =
            text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("Failed to send"));
        told.next_back().unwrap_or("it gives no reason").to_owned()
    }
}

/// Whether a port can be listened on; passt's own words about it are hard to understand.
fn free(f: &Forward) -> Result<(), PasstError> {
    let any = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
    let address = SocketAddr::new(f.address.unwrap_or(any), f.host);
    let tried = match f.protocol {
        Protocol::Tcp => TcpListener::bind(address).map(drop),
        Protocol::Udp => UdpSocket::bind(address).map(drop),
    };
    tried.map_err(|why| PasstError::Port { address, why })
}

impl Drop for Passt {
    fn drop(&mut self) {
        self.stream = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Port for Passt {
    fn connect(&self, nic: Arc<dyn Nic>) {
        if let Some(s) = &self.stream {
            s.connect(nic);
        }
    }
    fn send(&self, frame: &[u8], offload: Offload) {
        if let Some(s) = &self.stream {
            s.send(frame, offload);
        }
    }
    fn room(&self) {
        if let Some(s) = &self.stream {
            s.room();
        }
    }
    fn takes_offloads(&self) -> bool {
        true
    }
    fn trunk(&self) -> Option<u8> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

    #[test]
    fn what_goes_wrong_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let forward =
            |host| Forward { protocol: Protocol::Tcp, address: Some(address.ip()), host, guest: 22 };
        let e = Passt::start(&[forward(address.port())], MAC).err().unwrap().to_string();
        assert!(e.contains(&address.to_string()) && e.contains("in use"), "{e}");
        let e = Passt::start_program("no-such-program", &[], MAC).err().unwrap().to_string();
        assert!(e.contains("package") && e.contains("passt"), "{e}");
        let e = Passt::start_program("false", &[], MAC).err().unwrap().to_string();
        assert!(e.contains("does not start"), "{e}");
    }
}
