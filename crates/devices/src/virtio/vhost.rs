//! Devices whose queues another program serves (vhost-user): file systems (5.11) by virtiofsd, and whatever else there
//! is. The program maps the partition's memory and works on the queues itself; here are only the transport, the
//! notifications both ways, and the care for code.
//!
//! **Code.** What another program writes to memory, nobody here sees. So when the driver offers a buffer to be written,
//! code that was made from it is dropped then: until the buffer comes back the guest has no business in it.
//!
//! **Available rings.** The back end sees copies of them, in memory of their own: so it takes no chain before it has been
//! looked at here. For file systems the looking also puts the flags of open files, whose numbers differ between
//! Power and other architectures, into the host's terms.

mod protocol;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::queue::{Broken, Found};
use super::{Link, VirtioDevice, copy_config, feature};
use crate::lock;
use protocol::{Backend, numbers, request, words};

/// Why a device stops when its back end closes the socket.
const ENDED: &str = "the program behind it has ended";
/// Kind of a file system.
const FS: u16 = 26;
/// Bytes of a file system's tag.
pub const TAG_LEN: usize = 36;
/// Descriptors of a queue.
const QUEUE_SIZE: u16 = 1024;
/// Features that need something of the front end which is not here: logging of writes, events by index (they would let
/// the driver offer buffers unseen), packed queues, orders and resets of queues.
const NOT_HERE: u64 = 1 << 26
    | feature::EVENT_IDX
    | protocol::PROTOCOL_FEATURES
    | 1 << 33
    | 1 << 34
    | 1 << 35
    | 1 << 38
    | 1 << 40;

/// Where the back end finds the copies of the available rings: an address that is no memory of the partition.
const COPIES: u64 = 1 << 50;
/// Bytes of one copy.
const COPY: u64 = 0x1000;

/// The device.
pub struct VhostUser {
    inner: Arc<Inner>,
    kind: u16,
    class: u32,
    name: &'static str,
    config: Vec<u8>,
    features: u64,
    /// Both ends speak of protocol features.
    protocol: bool,
    watcher: Option<JoinHandle<()>>,
}

struct Inner {
    backend: Mutex<Backend>,
    queues: Vec<Ends>,
    link: Mutex<Option<Arc<Link>>>,
    /// The copies of the available rings.
    copies: std::fs::File,
    /// Flags of open files are to be translated.
    files: bool,
    /// Written to end the watcher.
    quit: OwnedFd,
    over: AtomicBool,
    /// The back end has closed its socket.
    ended: AtomicBool,
}

/// Notifications of one queue, to and from the back end.
struct Ends {
    kick: OwnedFd,
    call: OwnedFd,
    /// Chains up to here have been looked at.
    seen: Mutex<u16>,
    started: AtomicBool,
}

fn event() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

fn ring(fd: &OwnedFd) {
    // A counter that is full has not been read yet.
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

impl VhostUser {
    /// A file system with this tag (36 bytes at most) behind a socket that virtiofsd answers.
    pub fn fs(socket: UnixStream, tag: &str) -> io::Result<Self> {
        let mut config = vec![0; TAG_LEN];
        let n = tag.len().min(TAG_LEN);
        config[..n].copy_from_slice(&tag.as_bytes()[..n]);
        // One queue for requests, beside the one for urgent ones.
        config.extend(1u32.to_le_bytes());
        Self::new(socket, FS, 0x01_8000, "filesystem", 2, Some(config))
    }

    /// A device of any kind with so many queues. Without `config` the back end is asked for the configuration space.
    pub fn new(
        socket: UnixStream,
        kind: u16,
        class: u32,
        name: &'static str,
        queues: usize,
        config: Option<Vec<u8>>,
    ) -> io::Result<Self> {
        let mut backend = Backend::new(socket)?;
        backend.tell(request::SET_OWNER, &[], &[])?;
        let offered = backend.ask_number(request::GET_FEATURES)?;
        let protocol = offered & protocol::PROTOCOL_FEATURES != 0;
        let mut agreed = 0;
        if protocol {
            let all = protocol::PROTOCOL_MQ | protocol::PROTOCOL_REPLY_ACK | protocol::PROTOCOL_CONFIG;
            agreed = backend.ask_number(request::GET_PROTOCOL_FEATURES)? & all;
            backend.tell(request::SET_PROTOCOL_FEATURES, &numbers(&[agreed]), &[])?;
            backend.set_acknowledged(agreed & protocol::PROTOCOL_REPLY_ACK != 0);
        }
        let config = match config {
            Some(c) => c,
            None if agreed & protocol::PROTOCOL_CONFIG != 0 => {
                let mut ask = words(&[0, 256, 0]);
                ask.resize(12 + 256, 0);
                let mut answer = backend.ask(request::GET_CONFIG, &ask)?;
                answer.drain(..answer.len().min(12));
                answer
            }
            None => Vec::new(),
        };
        let ends = || -> io::Result<Ends> {
            Ok(Ends { kick: event()?, call: event()?, seen: Mutex::new(0), started: AtomicBool::new(false) })
        };
        let copies = rustix::fs::memfd_create("vhost-rings", rustix::fs::MemfdFlags::CLOEXEC)?;
        let copies = std::fs::File::from(copies);
        copies.set_len(COPY * queues as u64)?;
        let inner = Arc::new(Inner {
            copies,
            files: kind == FS,
            backend: Mutex::new(backend),
            queues: (0..queues).map(|_| ends()).collect::<io::Result<_>>()?,
            link: Mutex::default(),
            quit: event()?,
            over: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let watched = inner.clone();
        let watcher =
            std::thread::Builder::new().name(format!("vhost-{name}")).spawn(move || watched.watch())?;
        let features = offered & !NOT_HERE;
        Ok(VhostUser { inner, kind, class, name, config, features, protocol, watcher: Some(watcher) })
    }

    /// Hands memory and queues to the back end.
    fn hand_over(&self, link: &Link) -> io::Result<()> {
        let mut b = lock(&self.inner.backend);
        let protocol = if self.protocol { protocol::PROTOCOL_FEATURES } else { 0 };
        b.tell(request::SET_FEATURES, &numbers(&[link.features() | protocol]), &[])?;
        // Memory, whose addresses are real addresses everywhere, and the copies of the rings.
        let mut table = words(&[2, 0]);
        table.extend(numbers(&[0, link.ram.size(), 0, 0]));
        table.extend(numbers(&[COPIES, COPY * self.inner.queues.len() as u64, COPIES, 0]));
        b.tell(request::SET_MEM_TABLE, &table, &[link.ram.fd().as_fd(), self.inner.copies.as_fd()])?;
        for (n, ends) in self.inner.queues.iter().enumerate() {
            let Some(q) = link.layout(n) else { continue };
            let index = n as u32;
            *lock(&ends.seen) = q.next;
            let copy = COPY * n as u64;
            self.inner.copies.write_all_at(&[[0; 2], q.next.to_le_bytes()].concat(), copy)?;
            b.tell(request::SET_VRING_NUM, &words(&[index, q.size as u32]), &[])?;
            let mut addresses = words(&[index, 0]);
            addresses.extend(numbers(&[q.desc, q.used, COPIES + copy, 0]));
            b.tell(request::SET_VRING_ADDR, &addresses, &[])?;
            b.tell(request::SET_VRING_BASE, &words(&[index, q.next as u32]), &[])?;
            b.tell(request::SET_VRING_KICK, &numbers(&[index as u64]), &[ends.kick.as_fd()])?;
            b.tell(request::SET_VRING_CALL, &numbers(&[index as u64]), &[ends.call.as_fd()])?;
            if self.protocol {
                b.tell(request::SET_VRING_ENABLE, &words(&[index, 1]), &[])?;
            }
            ends.started.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Inner {
    fn link(&self) -> Option<Arc<Link>> {
        lock(&self.link).clone()
    }

    /// Passes on what the driver has offered, and drops code made from what the back end may write.
    fn look_at(&self, link: &Link, queue: usize) {
        // One that is still being handed over is looked at when that is done.
        let Some(ends) = self.queues.get(queue).filter(|q| q.started.load(Ordering::SeqCst)) else { return };
        let mut seen = lock(&ends.seen);
        let (before, copy) = (*seen, COPY * queue as u64);
        let mut result = Ok(());
        link.survey(queue, &mut seen, &mut |slot, found| {
            if self.files {
                translate_flags(found);
            }
            let at = copy + 4 + 2 * slot as u64;
            if result.is_ok() {
                result = self.copies.write_all_at(&found.head.to_le_bytes(), at);
            }
        });
        if *seen != before && result.is_ok() {
            // Chains before their number, for the back end may look at any time.
            result = self.copies.write_all_at(&seen.to_le_bytes(), copy + 2);
        }
        if result.is_err() {
            link.broken(Broken("the copy of a ring cannot be written"));
        }
    }

    /// Waits for the back end's notifications, on a thread of its own.
    fn watch(&self) {
        let Ok(socket) = lock(&self.backend).socket().try_clone() else { return };
        let mut alive = true;
        while !self.over.load(Ordering::SeqCst) {
            let mut fds = vec![PollFd::new(&self.quit, PollFlags::IN)];
            fds.extend(self.queues.iter().map(|q| PollFd::new(&q.call, PollFlags::IN)));
            if alive {
                // Only its end: what comes in is for those who asked.
                fds.push(PollFd::new(&socket, PollFlags::RDHUP));
            }
            if poll(&mut fds, None).is_err_and(|e| e != rustix::io::Errno::INTR) {
                return;
            }
            let ready: Vec<bool> = fds.iter().map(|f| !f.revents().is_empty()).collect();
            let link = self.link();
            for (n, ends) in self.queues.iter().enumerate().filter(|(n, _)| ready[n + 1]) {
                let mut count = [0; 8];
                let _ = rustix::io::read(&ends.call, &mut count);
                if let Some(link) = &link {
                    self.look_at(link, n);
                    link.interrupt_queue(n);
                }
            }
            if alive && ready.last() == Some(&true) {
                alive = false;
                // Said before the link is looked for: a device that is just being started finds it.
                self.ended.store(true, Ordering::SeqCst);
                if let Some(link) = self.link() {
                    link.broken(Broken(ENDED));
                }
            }
        }
    }
}

/// FUSE requests with flags of open files: number, and the place of the flags behind the request's head.
const FLAGGED: [(u32, u64); 6] = [(14, 0), (15, 32), (16, 32), (27, 0), (35, 0), (51, 0)];
/// Bytes of the head, and the request's number in it.
const FUSE_HEAD: u64 = 40;
const FUSE_NUMBER: u64 = 4;
/// Flags with other numbers elsewhere: Power's, and those of x86. (Others are the same.)
#[cfg(target_arch = "x86_64")]
const FLAGS: [(u32, u32); 4] =
    [(0o40000, 0o200000), (0o100000, 0o400000), (0o200000, 0o100000), (0o400000, 0o40000)];
#[cfg(not(target_arch = "x86_64"))]
const FLAGS: [(u32, u32); 0] = [];

/// Puts the flags of open files in a request into the host's terms. Big-endian drivers, which virtiofsd does not
/// understand, are left alone by the numbers.
fn translate_flags(found: &Found) {
    let word = |at: u64| {
        let mut b = [0; 4];
        (found.readable.read(at, &mut b) == 4).then(|| u32::from_le_bytes(b))
    };
    let place = word(FUSE_NUMBER).and_then(|n| FLAGGED.iter().find(|f| f.0 == n)).map(|f| FUSE_HEAD + f.1);
    if let Some((at, flags)) = place.and_then(|at| Some((at, word(at)?))) {
        let others = FLAGS.iter().fold(flags, |f, x| f & !x.0);
        let new = FLAGS.iter().filter(|x| flags & x.0 != 0).fold(others, |f, x| f | x.1);
        found.readable.slice(at, 4).write(0, &new.to_le_bytes());
    }
}

impl VirtioDevice for VhostUser {
    fn kind(&self) -> u16 {
        self.kind
    }

    fn class(&self) -> u32 {
        self.class
    }

    fn node_name(&self) -> &'static str {
        self.name
    }

    fn features(&self) -> u64 {
        self.features & !feature::ALL
    }

    fn common_features(&self) -> u64 {
        self.features & feature::ALL
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; self.inner.queues.len()]
    }

    fn read_config(&self, offset: usize, out: &mut [u8]) {
        copy_config(&self.config, offset, out);
    }

    fn waits_for_others(&self) -> bool {
        true
    }

    fn start(&self, link: &Arc<Link>) {
        if let Err(e) = self.hand_over(link) {
            tracing::warn!("{}: {e}", self.name);
            return link.broken(Broken("the program behind it does not take the queues"));
        }
        *lock(&self.inner.link) = Some(link.clone());
        if self.inner.ended.load(Ordering::SeqCst) {
            return link.broken(Broken(ENDED));
        }
        for queue in 0..self.inner.queues.len() {
            self.notify(link, queue);
        }
    }

    fn notify(&self, link: &Arc<Link>, queue: usize) {
        self.inner.look_at(link, queue);
        if let Some(ends) = self.inner.queues.get(queue) {
            ring(&ends.kick);
        }
    }

    fn stop(&self) {
        *lock(&self.inner.link) = None;
        let mut b = lock(&self.inner.backend);
        for (n, ends) in self.inner.queues.iter().enumerate() {
            if ends.started.swap(false, Ordering::SeqCst) && !b.given_up() {
                // After the answer the back end touches the queue no more; one that is gone does not either.
                if let Err(e) = b.ask(request::GET_VRING_BASE, &words(&[n as u32, 0])) {
                    tracing::warn!("{}: the program behind it does not give its queues back: {e}", self.name);
                }
            }
        }
    }

    fn save(&self) -> serde_json::Value {
        let VhostUser { inner: _, kind: _, class: _, name, config: _, features: _, protocol: _, watcher: _ } =
            self;
        serde_json::json!({ "elsewhere": name })
    }

    fn restore(&self, _: serde_json::Value) -> Result<(), String> {
        Err(format!("the state of the {} is in another program", self.name))
    }
}

impl Drop for VhostUser {
    fn drop(&mut self) {
        self.inner.over.store(true, Ordering::SeqCst);
        ring(&self.inner.quit);
        if let Some(t) = self.watcher.take() {
            let _ = t.join();
        }
    }
}

#[cfg(test)]
mod tests;
