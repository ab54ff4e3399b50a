//! The vhost-user protocol, the front end's side (QEMU project, "Vhost-user Protocol"): messages over a stream socket,
//! numbers in the host's byte order, descriptors beside them.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Requests.
pub mod request {
    #![allow(missing_docs)]
    pub const GET_FEATURES: u32 = 1;
    pub const SET_FEATURES: u32 = 2;
    pub const SET_OWNER: u32 = 3;
    pub const SET_MEM_TABLE: u32 = 5;
    pub const SET_VRING_NUM: u32 = 8;
    pub const SET_VRING_ADDR: u32 = 9;
    pub const SET_VRING_BASE: u32 = 10;
    pub const GET_VRING_BASE: u32 = 11;
    pub const SET_VRING_KICK: u32 = 12;
    pub const SET_VRING_CALL: u32 = 13;
    pub const GET_PROTOCOL_FEATURES: u32 = 15;
    pub const SET_PROTOCOL_FEATURES: u32 = 16;
    pub const SET_VRING_ENABLE: u32 = 18;
    pub const GET_CONFIG: u32 = 24;
}

/// The feature bit that says there are protocol features.
pub const PROTOCOL_FEATURES: u64 = 1 << 30;
/// Protocol features: several queues, answers to every request, configuration space.
pub const PROTOCOL_MQ: u64 = 1 << 0;
pub const PROTOCOL_REPLY_ACK: u64 = 1 << 3;
pub const PROTOCOL_CONFIG: u64 = 1 << 9;

/// Bits of a message's flags: version, answer, wish for one.
const VERSION: u32 = 1;
const REPLY: u32 = 1 << 2;
const NEED_REPLY: u32 = 1 << 3;
/// Longest answer.
const MAX_BODY: u32 = 4096;
/// How long the back end may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The way to a back end. One that fails once, or takes too long, is never asked again: what it might still say would
/// be taken for an answer to something else.
pub struct Backend {
    socket: UnixStream,
    /// Every request is answered.
    acknowledged: bool,
    patience: Duration,
    given_up: bool,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("vhost-user: {what}"))
}

impl Backend {
    /// Talks through this socket.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        let mut backend = Backend { socket, acknowledged: false, patience: PATIENCE, given_up: false };
        backend.set_patience(PATIENCE)?;
        Ok(backend)
    }

    /// Sets how long one request may take.
    pub fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.patience = patience;
        self.socket.set_write_timeout(Some(patience))
    }

    /// Whether it has failed before.
    pub fn given_up(&self) -> bool {
        self.given_up
    }

    /// The socket, to be watched for its end.
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Whether requests without an answer of their own are acknowledged from now on.
    pub fn set_acknowledged(&mut self, on: bool) {
        self.acknowledged = on;
    }

    fn send(&mut self, request: u32, flags: u32, body: &[u8], fds: &[BorrowedFd]) -> io::Result<()> {
        let mut message = Vec::with_capacity(12 + body.len());
        for word in [request, VERSION | flags, body.len() as u32] {
            message.extend(word.to_ne_bytes());
        }
        message.extend(body);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(broken("too many descriptors"));
        }
        let n = sendmsg(&self.socket, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL)?;
        if n == message.len() { Ok(()) } else { Err(broken("a message could not be sent whole")) }
    }

    /// Reads all of `out` before `end`.
    fn read(&mut self, out: &mut [u8], end: Instant) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(broken("no answer in time"));
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(&mut out[done..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => done += n,
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn answer(&mut self, request: u32) -> io::Result<Vec<u8>> {
        let end = Instant::now() + self.patience;
        let mut head = [0; 12];
        self.read(&mut head, end)?;
        let word = |n: usize| u32::from_ne_bytes([head[n], head[n + 1], head[n + 2], head[n + 3]]);
        let (kind, flags, len) = (word(0), word(4), word(8));
        if kind != request || flags & REPLY == 0 || len > MAX_BODY {
            return Err(broken("an answer to something else"));
        }
        let mut body = vec![0; len as usize];
        self.read(&mut body, end)?;
        Ok(body)
    }

    /// Does something with the back end, for the last time if it fails.
    fn attempt<T>(&mut self, what: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if self.given_up {
            return Err(broken("the back end was given up"));
        }
        let result = what(self);
        if result.is_err() {
            self.given_up = true;
            // Whoever watches the socket learns of it; one that is closed already is as good.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
        result
    }

    /// A request that has no answer but, if that was agreed upon, whether it went well.
    pub fn tell(&mut self, request: u32, body: &[u8], fds: &[BorrowedFd]) -> io::Result<()> {
        let refused = self.attempt(|b| {
            if !b.acknowledged {
                return b.send(request, 0, body, fds).map(|()| 0);
            }
            b.send(request, NEED_REPLY, body, fds)?;
            number(&b.answer(request)?)
        })?;
        // Which is an answer like another: what is refused may be the driver's fault.
        if refused == 0 { Ok(()) } else { Err(broken("the back end refuses a request")) }
    }

    /// A request with a body as answer.
    pub fn ask(&mut self, request: u32, body: &[u8]) -> io::Result<Vec<u8>> {
        self.attempt(|b| {
            b.send(request, 0, body, &[])?;
            b.answer(request)
        })
    }

    /// A request with a number as answer.
    pub fn ask_number(&mut self, request: u32) -> io::Result<u64> {
        number(&self.ask(request, &[])?)
    }
}

fn number(body: &[u8]) -> io::Result<u64> {
    let b = body.first_chunk().ok_or_else(|| broken("an answer is too short"))?;
    Ok(u64::from_ne_bytes(*b))
}

/// Words of 32 bits as a body.
pub fn words(list: &[u32]) -> Vec<u8> {
    list.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

/// Numbers of 64 bits as a body.
pub fn numbers(list: &[u64]) -> Vec<u8> {
    list.iter().flat_map(|w| w.to_ne_bytes()).collect()
}
