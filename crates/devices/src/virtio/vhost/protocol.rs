//! The vhost-user protocol, the front end's side (QEMU project, "Vhost-user Protocol"): messages over a stream socket,
//! numbers in the host's byte order, descriptors beside them.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

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

/// The way to a back end.
pub struct Backend {
    socket: UnixStream,
    /// Every request is answered.
    acknowledged: bool,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("vhost-user: {what}"))
}

impl Backend {
    /// Talks through this socket.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Backend { socket, acknowledged: false })
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

    fn answer(&mut self, request: u32) -> io::Result<Vec<u8>> {
        let mut head = [0; 12];
        self.socket.read_exact(&mut head)?;
        let word = |n: usize| u32::from_ne_bytes([head[n], head[n + 1], head[n + 2], head[n + 3]]);
        let (kind, flags, len) = (word(0), word(4), word(8));
        if kind != request || flags & REPLY == 0 || len > MAX_BODY {
            return Err(broken("an answer to something else"));
        }
        let mut body = vec![0; len as usize];
        self.socket.read_exact(&mut body)?;
        Ok(body)
    }

    /// A request that has no answer but, if that was agreed upon, whether it went well.
    pub fn tell(&mut self, request: u32, body: &[u8], fds: &[BorrowedFd]) -> io::Result<()> {
        if !self.acknowledged {
            return self.send(request, 0, body, fds);
        }
        self.send(request, NEED_REPLY, body, fds)?;
        match number(&self.answer(request)?)? {
            0 => Ok(()),
            _ => Err(broken("the back end refuses a request")),
        }
    }

    /// A request with a body as answer.
    pub fn ask(&mut self, request: u32, body: &[u8]) -> io::Result<Vec<u8>> {
        self.send(request, 0, body, &[])?;
        self.answer(request)
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
