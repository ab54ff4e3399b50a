//! The console: the guest's first terminal on the user's, in raw mode, with its keys; or on pipes, bytes in and bytes
//! out.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use partition::{CharBackend, Partition};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{self, OptionalActions, Termios};

use crate::error::Failure;

/// Sees all that the guest prints.
pub type Watch = Box<dyn FnMut(&[u8]) + Send>;

/// Where the console is.
pub enum ConsoleKind {
    /// Standard input and output.
    Stdio,
    /// A new pseudo-terminal, whose name is told on standard error.
    Pty,
    /// A socket that one client at a time connects to; output without a client is lost.
    Unix(PathBuf),
    /// Output to a file, no input.
    File(PathBuf),
    /// Nowhere.
    Null,
}

impl ConsoleKind {
    /// From `--console`.
    pub fn parse(s: &str) -> Result<Self, Failure> {
        match s.split_once(':') {
            None if s == "stdio" => Ok(ConsoleKind::Stdio),
            None if s == "pty" => Ok(ConsoleKind::Pty),
            None if s == "null" => Ok(ConsoleKind::Null),
            Some(("unix", p)) if !p.is_empty() => Ok(ConsoleKind::Unix(p.into())),
            Some(("file", p)) if !p.is_empty() => Ok(ConsoleKind::File(p.into())),
            _ => Err(Failure::usage(format!(
                "--console {s}: right would be stdio, pty, unix:PATH, file:PATH or null"
            ))),
        }
    }
}

/// Most bytes of output that wait for the host.
const MOST_WAITING: usize = 64 << 10;

struct Shared {
    out: Mutex<Output>,
    more: Condvar,
    /// Input was refused and there is room again.
    room: AtomicBool,
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    closed: bool,
    busy: bool,
}

/// The guest's side of the console.
pub struct Backend(Arc<Shared>);

impl CharBackend for Backend {
    fn write(&self, bytes: &[u8]) -> bool {
        let mut o = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        if o.bytes.len() + bytes.len() > MOST_WAITING {
            return false;
        }
        o.bytes.extend_from_slice(bytes);
        drop(o);
        self.0.more.notify_one();
        true
    }
    fn input_room(&self) {
        self.0.room.store(true, Ordering::SeqCst);
    }
}

/// The console of one partition.
pub struct Console {
    kind: ConsoleKind,
    shared: Arc<Shared>,
    watch: Mutex<Option<Watch>>,
}

/// While it lives, the terminal is the guest's; dropping it writes what is left and restores the terminal.
pub struct Attached {
    shared: Arc<Shared>,
    writer: Option<std::thread::JoinHandle<()>>,
    _raw: Option<Raw>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared.out.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.more.notify_all();
        if let Some(w) = self.writer.take() {
            let _ = w.join();
        }
    }
}

/// The terminal as it was before; put back when dropped.
pub struct Raw(Termios);

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.0);
    }
}

impl Console {
    /// A console that is not attached yet.
    pub fn new(kind: ConsoleKind, watch: Option<Watch>) -> Result<Self, Failure> {
        let shared =
            Arc::new(Shared { out: Mutex::default(), more: Condvar::new(), room: AtomicBool::new(false) });
        Ok(Console { kind, shared, watch: Mutex::new(watch) })
    }

    /// The guest's side.
    pub fn backend(&self) -> Backend {
        Backend(self.shared.clone())
    }

    /// Start carrying bytes between the host and the partition.
    pub fn attach(&self, p: &Arc<Partition>) -> Result<Attached, Failure> {
        let mut raw = None;
        let (p, shared) = (p.clone(), self.shared.clone());
        let sink: Box<dyn Write + Send> = match &self.kind {
            ConsoleKind::Stdio => {
                raw = enter_raw();
                let keys = raw.is_some();
                spawn("console input", move || read_input(&std::io::stdin(), &p, &shared, keys))?;
                Box::new(std::io::stdout())
            }
            ConsoleKind::Pty => {
                let (master, slave, name) =
                    open_pty().map_err(|e| Failure::internal(format!("--console pty: {e}")))?;
                eprintln!("rhyp: console on {name}");
                let writer =
                    master.try_clone().map_err(|e| Failure::internal(format!("--console pty: {e}")))?;
                spawn("console input", move || {
                    read_input(&master, &p, &shared, false);
                    // Held open so that the other end may come and go.
                    drop(slave);
                })?;
                Box::new(std::fs::File::from(writer))
            }
            ConsoleKind::Unix(path) => {
                let bad =
                    |e: std::io::Error| Failure::usage(format!("--console unix:{}: {e}", path.display()));
                let listener = UnixListener::bind(path).map_err(bad)?;
                let client = Client::default();
                let other = client.clone();
                spawn("console input", move || serve(&listener, &other, &p, &shared))?;
                Box::new(client)
            }
            ConsoleKind::Null => Box::new(std::io::sink()),
            ConsoleKind::File(path) => Box::new(
                std::fs::File::create(path)
                    .map_err(|e| Failure::usage(format!("--console file:{}: {e}", path.display())))?,
            ),
        };
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        let shared = self.shared.clone();
        let writer = spawn("console output", move || write_output(&shared, sink, watch))?;
        Ok(Attached { shared: self.shared.clone(), writer: Some(writer), _raw: raw })
    }
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>, Failure> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(f)
        .map_err(|e| Failure::internal(format!("no host thread for the {name}: {e}")))
}

/// Raw mode, when standard input is a terminal.
pub fn enter_raw() -> Option<Raw> {
    let fd = rustix::stdio::stdin();
    let old = termios::tcgetattr(fd).ok()?;
    let mut t = old.clone();
    t.make_raw();
    termios::tcsetattr(fd, OptionalActions::Drain, &t).ok()?;
    Some(Raw(old))
}

/// A pseudo-terminal in raw mode: its two ends and the name of the second.
fn open_pty() -> std::io::Result<(OwnedFd, OwnedFd, String)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?.to_string_lossy().into_owned();
    let slave = OwnedFd::from(std::fs::File::options().read(true).write(true).open(&name)?);
    let mut t = termios::tcgetattr(&slave)?;
    t.make_raw();
    termios::tcsetattr(&slave, OptionalActions::Now, &t)?;
    Ok((master, slave, name))
}

/// The client of a socket console, when there is one.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Option<UnixStream>>>);

impl Write for Client {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(s) = slot.as_mut()
            && s.write_all(data).is_err()
        {
            *slot = None;
        }
        Ok(data.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn serve(listener: &UnixListener, client: &Client, p: &Arc<Partition>, shared: &Shared) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let Ok(writer) = stream.try_clone() else { continue };
        *client.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        read_input(&stream, p, shared, false);
        *client.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn write_output(shared: &Shared, mut sink: Box<dyn Write + Send>, mut watch: Option<Watch>) {
    loop {
        let mut o = shared.out.lock().unwrap_or_else(PoisonError::into_inner);
        o.busy = false;
        while o.bytes.is_empty() {
            if o.closed {
                return;
            }
            o = shared.more.wait(o).unwrap_or_else(PoisonError::into_inner);
        }
        let bytes = std::mem::take(&mut o.bytes);
        o.busy = true;
        drop(o);
        if let Some(w) = &mut watch {
            w(&bytes);
        }
        // A reader that went away does not stop the guest.
        let _ = sink.write_all(&bytes).and_then(|()| sink.flush());
    }
}

const ESCAPE: u8 = 1; // Ctrl-A

fn read_input(source: &impl AsFd, p: &Arc<Partition>, shared: &Shared, keys: bool) {
    let mut buf = [0u8; 256];
    let mut escaped = false;
    loop {
        let mut fds = [PollFd::new(source, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        }
        let n = match rustix::io::read(source, &mut buf) {
            Ok(0) => return,
            Ok(n) => n,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
            Err(_) => return,
        };
        let mut out = Vec::with_capacity(n);
        for &b in &buf[..n] {
            if !keys {
                out.push(b);
                continue;
            }
            match (std::mem::take(&mut escaped), b) {
                (false, ESCAPE) => escaped = true,
                (false, b) => out.push(b),
                (true, b'x' | b'X') => {
                    p.stop();
                    return;
                }
                (true, ESCAPE | b'a') => out.push(ESCAPE),
                (true, b'?' | b'h') => {
                    let help = "\r\nCtrl-A x  end the partition\r\nCtrl-A a  send Ctrl-A to the guest\r\nCtrl-A ?  this help\r\n";
                    let _ = std::io::stderr().write_all(help.as_bytes());
                }
                (true, b) => out.extend([ESCAPE, b]),
            }
        }
        let mut rest = &out[..];
        while !rest.is_empty() {
            let taken = p.console_input(rest);
            rest = &rest[taken..];
            if !rest.is_empty() {
                // The guest does not read as fast as the host writes: wait until it has room.
                while !shared.room.swap(false, Ordering::SeqCst) {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    if shared.out.lock().unwrap_or_else(PoisonError::into_inner).closed {
                        return;
                    }
                }
            }
        }
    }
}
