//! Frames over a byte stream, each behind its length as four big-endian bytes: what QEMU calls `-netdev stream` and what
//! passt speaks.
//!
//! Two ends of this program find each other out by a first frame that means nothing to anybody else. From then on what is
//! left to do to frames stays left: such a frame's length has its highest bit set and counts a [`Head`] as well.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use crate::finish::{
    LEAST_SEGMENT, acknowledging, finish, layers, prepare_checksum, raise_announced_segment,
};
use crate::join::Joiner;
use crate::{Gso, MAX_FRAME, Nic, Offload, Port};

/// Bytes of a length.
const LENGTH: usize = 4;
/// Bytes read at once.
const BUFFER: usize = 256 << 10;
/// Most bytes that wait for room in the stream, some more than a TCP connection has under way.
const MOST_UNSENT: usize = 8 << 20;
/// Bytes of passt's that wait for the adapter at most. It throws away what the stream does not take at once, and a
/// connection that lost a segment stands still for seconds: more than a guest's TCP window (6 MiB) has to fit.
const MOST_WAITING: usize = 16 << 20;
/// Bytes the host is asked to keep in the stream.
const SOCKET_BUFFER: usize = 1 << 20;
/// Longest frame that passt takes.
const PASST_FRAME: usize = 65535;
/// The segment announced to passt in place of the guest's: what fills an IP packet, in words.
const LARGE_SEGMENT: u16 = 65492;

/// Set in the length of a frame behind a [`Head`].
const WITH_HEAD: u32 = 1 << 31;
/// Bytes of it: kind of segmentation, whether there is a checksum to do, length of the headers, payload of a segment,
/// start and place of the checksum, as big-endian numbers.
const HEAD: usize = 12;
type Head = [u8; HEAD];
/// The first frame: to nobody's address, of an experimental type (IEEE 802, 9.2.3).
const HELLO: &[u8; 60] =
    b"\x02\0\0\0\0\0\x02\0\0\0\0\0\x88\xb5rhyp: what is left to do may stay left; form 1";

fn encode(o: &Offload) -> Head {
    let mut h = [0; HEAD];
    h[0] = match o.gso {
        Gso::None => 0,
        Gso::Tcp4 => 1,
        Gso::Tcp6 => 2,
    };
    let (start, place) = o.checksum.unwrap_or_default();
    h[1] = u8::from(o.checksum.is_some());
    for (n, v) in [o.header_len, o.segment, start, place].into_iter().enumerate() {
        h[2 + 2 * n..4 + 2 * n].copy_from_slice(&v.to_be_bytes());
    }
    h
}

/// What is left to do to a frame of `len` bytes; `None` if that makes no sense.
fn decode(h: &Head, len: usize) -> Option<Offload> {
    let word = |n: usize| u16::from_be_bytes([h[2 + 2 * n], h[3 + 2 * n]]);
    let gso = *[Gso::None, Gso::Tcp4, Gso::Tcp6].get(usize::from(h[0]))?;
    let checksum = (h[1] != 0).then(|| (word(2), word(3)));
    let inside = checksum.is_none_or(|(start, place)| usize::from(start) + usize::from(place) + 2 <= len);
    let cut = gso == Gso::None || checksum.is_some() && word(1) >= LEAST_SEGMENT;
    let (header_len, segment) = if gso == Gso::None { (0, 0) } else { (word(0), word(1)) };
    (inside && cut).then_some(Offload { checksum, checked: false, gso, header_len, segment })
}

/// A length that no frame has: what comes after it cannot be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a frame of {0} bytes")]
pub struct BadLength(pub u32);

/// A frame in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Framed<'a> {
    /// Its bytes.
    pub frame: &'a [u8],
    /// What is left to do to it; none: what the other end says of it makes no sense.
    pub left: Option<Offload>,
}

/// Finds the frames in a stream of bytes.
pub struct Deframer {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for Deframer {
    fn default() -> Self {
        Deframer::of(BUFFER)
    }
}

impl Deframer {
    /// One that keeps that many bytes at most.
    fn of(bytes: usize) -> Self {
        Deframer { buffer: vec![0; bytes], start: 0, end: 0 }
    }

    /// Room for more bytes of the stream, never empty as long as [`Deframer::peek`] is asked in between.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.start < LENGTH + HEAD + MAX_FRAME {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// That many bytes of the room hold data now.
    pub fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.buffer.len());
    }

    /// The next frame, if all of it is there.
    pub fn peek(&self) -> Result<Option<Framed<'_>>, BadLength> {
        let rest = &self.buffer[self.start..self.end];
        let Some((len, rest)) = rest.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let len = u32::from_be_bytes(*len);
        let head = if len & WITH_HEAD == 0 { 0 } else { HEAD };
        let all = (len & !WITH_HEAD) as usize;
        if all < head || all > MAX_FRAME + head {
            return Err(BadLength(len));
        }
        let Some((head, frame)) = rest.get(..all).and_then(|f| f.split_at_checked(head)) else {
            return Ok(None);
        };
        Ok(Some(match head.first_chunk() {
            None => Framed { frame, left: Some(Offload::default()) },
            Some(head) => Framed { frame, left: decode(head, frame.len()) },
        }))
    }

    /// Done with the frame that [`Deframer::peek`] showed.
    pub fn next(&mut self) {
        if let Ok(Some(f)) = self.peek() {
            let plain = self.buffer[self.start] & 0x80 == 0;
            self.start += LENGTH + f.frame.len() + if plain { 0 } else { HEAD };
        }
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peer {
    /// Somebody who wants whole frames as they go over a wire.
    Plain,
    /// passt: checks no checksums, cuts and joins TCP data as it likes, and whatever it sends is right.
    Passt,
}

struct Inner {
    fd: OwnedFd,
    /// Wakes the receiving thread.
    wake: OwnedFd,
    peer: Peer,
    name: String,
    nic: Mutex<Option<Weak<dyn Nic>>>,
    /// What the stream has not taken yet, from the middle of a frame on.
    unsent: Mutex<VecDeque<u8>>,
    stop: AtomicBool,
    /// The other end is one of ours.
    ours: AtomicBool,
    /// What the guest announced last, for IPv4 and IPv6.
    announced: [AtomicU16; 2],
}

/// A network at the other end of a stream.
pub struct Stream {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    /// A network at the other end of this connected socket. `name` is for messages.
    pub(crate) fn new(fd: OwnedFd, peer: Peer, name: String) -> std::io::Result<Stream> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        large_buffers(&fd);
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let inner = Inner {
            fd,
            wake,
            peer,
            name,
            nic: Mutex::default(),
            unsent: Mutex::default(),
            stop: AtomicBool::new(false),
            ours: AtomicBool::new(false),
            announced: [AtomicU16::new(1460), AtomicU16::new(1440)],
        };
        if peer == Peer::Plain {
            inner.write(HELLO);
        }
        Ok(Stream { inner: Arc::new(inner), thread: Mutex::default() })
    }
}

/// More room in the socket than the host gives by itself, as far as it lets us.
pub(crate) fn large_buffers(fd: &OwnedFd) {
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(fd, SOCKET_BUFFER);
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(fd, SOCKET_BUFFER);
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Release);
        self.inner.wake();
        if let Some(t) = lock(&self.thread).take() {
            // The last reference may go on that very thread.
            if t.thread().id() != std::thread::current().id() {
                let _ = t.join();
            }
        }
    }
}

impl Port for Stream {
    fn connect(&self, nic: Arc<dyn Nic>) {
        *lock(&self.inner.nic) = Some(Arc::downgrade(&nic));
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let inner = self.inner.clone();
            let spawned = std::thread::Builder::new().name("net".into()).spawn(move || inner.receive());
            match spawned {
                Ok(t) => *thread = Some(t),
                Err(e) => tracing::error!("{}: no thread for the network: {e}", self.inner.name),
            }
        }
    }

    fn send(&self, frame: &[u8], offload: Offload) {
        let left = offload.gso != Gso::None || offload.checksum.is_some();
        match self.inner.peer {
            Peer::Plain if left && self.inner.ours.load(Ordering::Relaxed) => {
                self.inner.write_unfinished(frame, &offload);
            }
            Peer::Plain if offload.gso == Gso::None => {
                finish(frame, offload, &mut |f| self.inner.write(f));
            }
            // All segments go in one system call.
            Peer::Plain => {
                let mut all = Vec::with_capacity(frame.len() + frame.len() / 8);
                finish(frame, offload, &mut |f| {
                    all.extend_from_slice(&(f.len() as u32).to_be_bytes());
                    all.extend_from_slice(f);
                });
                self.inner.put(&[], &all);
            }
            Peer::Passt => self.inner.to_passt(frame, offload),
        }
    }

    fn room(&self) {
        self.inner.wake();
    }

    fn takes_offloads(&self) -> bool {
        self.inner.peer == Peer::Passt
    }

    fn trunk(&self) -> Option<u8> {
        None
    }
}

impl Inner {
    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn nic(&self) -> Option<Arc<dyn Nic>> {
        lock(&self.nic).as_ref().and_then(Weak::upgrade)
    }

    fn to_passt(&self, frame: &[u8], offload: Offload) {
        const SYN: u8 = 2;
        if frame.len() > PASST_FRAME {
            finish(frame, offload, &mut |f| self.write(f));
            return;
        }
        let l = (frame.len() < 256).then(|| layers(frame)).flatten();
        let opens = l.filter(|l| l.tcp_header(frame).is_some() && frame[l.payload + 13] & SYN != 0);
        let Some(l) = opens else {
            self.write(frame);
            return;
        };
        // TCP data towards the guest then comes in pieces of up to 64 KiB, which go to the guest as a network card that
        // joins segments would hand them over.
        if self.nic().is_some_and(|n| n.takes_large_segments()) {
            let mut copy = frame.to_vec();
            if let Some(old) = raise_announced_segment(&mut copy, LARGE_SEGMENT) {
                self.announced[usize::from(l.v6)].store(old, Ordering::Relaxed);
            }
            self.write(&copy);
        } else {
            self.write(frame);
        }
    }

    /// Puts a frame into the stream, whole or not at all.
    fn write(&self, frame: &[u8]) {
        if !frame.is_empty() && frame.len() <= MAX_FRAME {
            self.put(&(frame.len() as u32).to_be_bytes(), frame);
        }
    }

    /// The same with what is left to do.
    fn write_unfinished(&self, frame: &[u8], offload: &Offload) {
        if frame.len() <= MAX_FRAME {
            let mut head = [0; LENGTH + HEAD];
            head[..LENGTH].copy_from_slice(&((HEAD + frame.len()) as u32 | WITH_HEAD).to_be_bytes());
            head[LENGTH..].copy_from_slice(&encode(offload));
            self.put(&head, frame);
        }
    }

    /// Puts bytes into the stream, all or none; what does not fit now waits, up to a limit.
    fn put(&self, head: &[u8], body: &[u8]) {
        let mut unsent = lock(&self.unsent);
        let mut done = 0;
        if self.flush(&mut unsent) {
            done = loop {
                match rustix::io::writev(&self.fd, &[IoSlice::new(head), IoSlice::new(body)]) {
                    Ok(n) => break n,
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break 0,
                    // Nobody at the other end.
                    Err(_) => return,
                }
            };
        }
        if done == 0 && unsent.len() + head.len() + body.len() > MOST_UNSENT {
            return;
        }
        unsent.extend(&head[done.min(head.len())..]);
        unsent.extend(&body[done.saturating_sub(head.len()).min(body.len())..]);
        if !unsent.is_empty() {
            // The receiving thread goes on with it.
            self.wake();
        }
    }

    /// Writes what is left from before. False: some is still left.
    fn flush(&self, unsent: &mut VecDeque<u8>) -> bool {
        while !unsent.is_empty() {
            let (a, b) = unsent.as_slices();
            match rustix::io::writev(&self.fd, &[IoSlice::new(a), IoSlice::new(b)]) {
                Ok(n) => drop(unsent.drain(..n)),
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Waits for [`Inner::wake`], and for the stream if it is asked for anything.
    fn poll(&self, events: PollFlags, milliseconds: Option<i64>) {
        let mut fds =
            [PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN), PollFd::new(&self.fd, events)];
        // An end that has hung up always answers.
        let fds = &mut fds[..1 + usize::from(!events.is_empty())];
        let limit = milliseconds
            .map(|ms| rustix::time::Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 });
        let _ = poll(fds, limit.as_ref());
        if !fds[0].revents().is_empty() {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
    }

    /// The receiving thread at passt's: reads on while the adapter has no room.
    fn receive_from_passt(&self) {
        let mut frames = Deframer::of(MOST_WAITING);
        while !self.stop.load(Ordering::Acquire) {
            let mut want = PollFlags::empty();
            while !frames.room().is_empty() {
                match rustix::io::read(&self.fd, frames.room()) {
                    Ok(n) if n > 0 => frames.filled(n),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => {
                        want = PollFlags::IN;
                        break;
                    }
                    _ => {
                        tracing::warn!("{}: the network has gone away", self.name);
                        return;
                    }
                }
            }
            let waits = match self.hand_over_of_passt(&mut frames) {
                Ok(waits) => waits,
                Err(e) => {
                    tracing::warn!("{}: the other end sends {e}; the network is gone", self.name);
                    return;
                }
            };
            if waits || !want.is_empty() {
                let more = self.send_on();
                self.poll(want | more, waits.then_some(100));
            }
        }
    }

    /// Hands over what the adapter takes; whether something still waits for it.
    fn hand_over_of_passt(&self, frames: &mut Deframer) -> Result<bool, BadLength> {
        let nic = self.nic();
        let mut waits = false;
        let result = loop {
            match frames.peek() {
                Ok(Some(Framed { frame, left })) => {
                    if let (Some(nic), Some(_)) = (&nic, left)
                        && !self.deliver(&**nic, frame)
                    {
                        waits = true;
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(e) => break Err(e),
            }
            frames.next();
        };
        if let Some(nic) = nic {
            nic.done();
        }
        result.map(|()| waits)
    }

    /// The receiving thread.
    fn receive(&self) {
        if self.peer == Peer::Passt {
            return self.receive_from_passt();
        }
        let mut frames = Deframer::default();
        while !self.stop.load(Ordering::Acquire) {
            match rustix::io::read(&self.fd, frames.room()) {
                Ok(0) => {
                    tracing::warn!("{}: the network has gone away", self.name);
                    return;
                }
                Ok(n) => frames.filled(n),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    let more = self.send_on();
                    self.poll(PollFlags::IN | more, None);
                    continue;
                }
                Err(e) => {
                    tracing::warn!("{}: the network has gone away: {e}", self.name);
                    return;
                }
            }
            if let Err(e) = self.hand_over(&mut frames) {
                tracing::warn!("{}: the other end sends {e}; the network is gone", self.name);
                return;
            }
        }
    }

    /// Hands all whole frames to the adapter, waiting for it where it has no room.
    fn hand_over(&self, frames: &mut Deframer) -> Result<(), BadLength> {
        let Some(nic) = self.nic() else {
            while frames.peek()?.is_some() {
                frames.next();
            }
            return Ok(());
        };
        let joins = nic.takes_offloads();
        let mut joiner = Joiner::default();
        let mut wait = |f: &[u8], o: Offload| self.wait_until_taken(&*nic, || nic.deliver(f, o));
        let result = loop {
            match frames.peek() {
                Ok(Some(Framed { left: None, .. })) => {}
                Ok(Some(Framed { frame, .. })) if frame == HELLO => self.ours.store(true, Ordering::Relaxed),
                Ok(Some(Framed { frame, left: Some(left) })) if left != Offload::default() => {
                    joiner.flush(&mut wait);
                    if nic.takes_offloads() {
                        wait(frame, left);
                    } else {
                        finish(frame, left, &mut |f| wait(f, Offload::default()));
                    }
                }
                Ok(Some(Framed { frame, .. })) if joins => joiner.add(frame, &mut wait),
                Ok(Some(Framed { frame, .. })) => wait(frame, Offload::default()),
                Ok(None) => break Ok(()),
                Err(e) => break Err(e),
            }
            frames.next();
        };
        joiner.flush(&mut wait);
        nic.done();
        result
    }

    /// Until the adapter takes a frame, or all ends.
    fn wait_until_taken(&self, nic: &dyn Nic, mut deliver: impl FnMut() -> bool) {
        while !deliver() {
            nic.done();
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            let more = self.send_on();
            self.poll(more, Some(100));
        }
    }

    /// Sends what waits; what to wait for if some still does.
    fn send_on(&self) -> PollFlags {
        let done = self.flush(&mut lock(&self.unsent));
        if done { PollFlags::empty() } else { PollFlags::OUT }
    }

    /// A frame of passt's.
    fn deliver(&self, nic: &dyn Nic, frame: &[u8]) -> bool {
        let mut offload = Offload { checked: true, ..Offload::default() };
        if let Some(l) = (frame.len() > 512).then(|| layers(frame)).flatten() {
            let announced = self.announced[usize::from(l.v6)].load(Ordering::Relaxed);
            // What is announced has no room for options: with a time stamp in each segment less fits a packet, and a guest
            // that passes them on would find them too long.
            if let Some(header) = l.tcp_header(frame)
                && let segment = announced.saturating_sub(header.saturating_sub(20) as u16).max(LEAST_SEGMENT)
                && l.end - l.payload - header > segment as usize
            {
                offload.gso = if l.v6 { Gso::Tcp6 } else { Gso::Tcp4 };
                offload.header_len = (l.payload + header) as u16;
                offload.segment = segment;
            }
        }
        if offload.gso == Gso::None {
            // Debian 12's passt changes its window in segments without a flag. Guests drop them, but one that translates
            // addresses takes such a segment for damaged, thus for its own, and resets the connection.
            let acknowledging = acknowledging(frame);
            return nic.deliver(acknowledging.as_deref().unwrap_or(frame), offload);
        }
        if nic.takes_offloads() {
            // The segments' checksums are to be made anew, by whoever cuts them: a guest that passes it on may be that.
            let mut frame = frame.to_vec();
            offload.checksum = prepare_checksum(&mut frame);
            offload.checked = offload.checksum.is_none();
            return nic.deliver(&frame, offload);
        }
        // The guest has changed its mind since the connection was made.
        finish(frame, offload, &mut |f| {
            let _ = nic.deliver(f, Offload { checked: true, ..Offload::default() });
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::tests::tcp;
    use crate::testing::{TestNic, wait_for};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn port(peer: Peer) -> (UnixStream, Stream, Arc<TestNic>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let stream = Stream::new(ours.into(), peer, "test".into()).unwrap();
        let nic = Arc::new(TestNic::default());
        stream.connect(nic.clone());
        if peer == Peer::Plain {
            let mut hello = [0; 4 + HELLO.len()];
            theirs.read_exact(&mut hello).unwrap();
            assert_eq!(hello[..], framed(HELLO));
        }
        (theirs, stream, nic)
    }

    fn framed(f: &[u8]) -> Vec<u8> {
        [&(f.len() as u32).to_be_bytes(), f].concat()
    }

    #[test]
    fn frames_arrive_however_the_stream_is_cut() {
        let (mut far, _s, nic) = port(Peer::Plain);
        let frames: Vec<Vec<u8>> = (0..200).map(|n| vec![n as u8; 14 + n * 37]).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(|f| framed(f)).collect();
        for part in bytes.chunks(911) {
            far.write_all(part).unwrap();
        }
        wait_for(|| nic.got.lock().unwrap().len() == frames.len());
        assert!(nic.got.lock().unwrap().iter().map(|g| &g.0).eq(&frames));
        wait_for(|| nic.batches.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn a_full_adapter_is_waited_for() {
        let (mut far, s, nic) = port(Peer::Plain);
        nic.room.store(2, Ordering::SeqCst);
        for n in 0..5u8 {
            far.write_all(&framed(&[n; 60])).unwrap();
        }
        wait_for(|| nic.refused.load(Ordering::SeqCst) > 0);
        assert_eq!(nic.got.lock().unwrap().len(), 2);
        nic.room.store(usize::MAX, Ordering::SeqCst);
        s.room();
        wait_for(|| nic.got.lock().unwrap().len() == 5);
        assert!(nic.got.lock().unwrap().iter().enumerate().all(|(n, g)| g.0[0] == n as u8));
    }

    #[test]
    fn impossible_lengths_end_the_network() {
        let (mut far, s, nic) = port(Peer::Plain);
        far.write_all(&framed(&[1; 60])).unwrap();
        far.write_all(&u32::MAX.to_be_bytes()).unwrap();
        far.write_all(&framed(&[1; 60])).unwrap();
        wait_for(|| lock(&s.thread).as_ref().is_none_or(|t| t.is_finished()));
        assert_eq!(nic.got.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_was_left_to_do_is_done_for_a_wire() {
        let (mut far, s, _nic) = port(Peer::Plain);
        let whole = tcp(false, 3000, 0x10, &[]);
        s.send(&whole, Offload { gso: Gso::Tcp4, segment: 1000, ..Offload::default() });
        let mut got = vec![0; 3 * (4 + 1054)];
        far.read_exact(&mut got).unwrap();
        assert_eq!(got[..4], 1054u32.to_be_bytes());
    }

    #[test]
    fn two_of_ours_leave_to_the_other_what_is_left_to_do() {
        let (a, b) = UnixStream::pair().unwrap();
        let stream = |s: UnixStream| Stream::new(s.into(), Peer::Plain, "test".into()).unwrap();
        let (a, b) = (stream(a), stream(b));
        let nic = Arc::new(TestNic::default());
        nic.offloads.store(true, Ordering::SeqCst);
        let other = Arc::new(TestNic::default());
        a.connect(other.clone());
        b.connect(nic.clone());
        wait_for(|| a.inner.ours.load(Ordering::SeqCst) && b.inner.ours.load(Ordering::SeqCst));
        assert!(nic.got.lock().unwrap().is_empty(), "the greeting is nobody's");
        let whole = tcp(false, 60000, 0x10, &[]);
        let left = Offload {
            gso: Gso::Tcp4,
            segment: 1000,
            header_len: 54,
            checksum: Some((34, 16)),
            ..Offload::default()
        };
        let checksum = Offload { gso: Gso::None, segment: 0, header_len: 0, ..left };
        let opening = tcp(false, 0, 2, &[]);
        for (frame, o) in [(&whole, left), (&opening, checksum), (&opening, Offload::default())] {
            a.send(frame, o);
        }
        wait_for(|| nic.got.lock().unwrap().len() == 3);
        assert_eq!(nic.got.lock().unwrap()[0], (whole.clone(), left));
        assert_eq!(nic.got.lock().unwrap()[1], (opening.clone(), checksum));
        // An adapter that does not take such frames gets finished ones.
        nic.offloads.store(false, Ordering::SeqCst);
        a.send(&whole, left);
        wait_for(|| nic.got.lock().unwrap().len() == 3 + 60);
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let (mut far, s, nic) = port(Peer::Plain);
        nic.offloads.store(true, Ordering::SeqCst);
        let frame = tcp(false, 3000, 0x10, &[]);
        let good = Offload { gso: Gso::Tcp4, segment: 1000, checksum: Some((34, 16)), ..Offload::default() };
        for o in [
            Offload { checksum: Some((frame.len() as u16 - 1, 0)), ..Offload::default() },
            Offload { checksum: Some((u16::MAX, u16::MAX)), ..Offload::default() },
            Offload { segment: 7, ..good },
            Offload { checksum: None, ..good },
            good,
        ] {
            let len = (HEAD + frame.len()) as u32 | WITH_HEAD;
            far.write_all(&[&len.to_be_bytes(), &encode(&o)[..], &frame].concat()).unwrap();
        }
        far.write_all(&framed(&[1; 60])).unwrap();
        wait_for(|| nic.got.lock().unwrap().len() == 2);
        assert_eq!(nic.got.lock().unwrap()[0].1.segment, 1000);
        // A head that is not there ends the network.
        far.write_all(&(WITH_HEAD | 11).to_be_bytes()).unwrap();
        far.write_all(&framed(&[1; 60])).unwrap();
        wait_for(|| lock(&s.thread).as_ref().is_none_or(|t| t.is_finished()));
    }

    #[test]
    fn nobody_reads_and_nothing_is_torn() {
        let (mut far, s, _nic) = port(Peer::Plain);
        let frame = vec![7; 60000];
        for _ in 0..200 {
            s.send(&frame, Offload::default());
        }
        // Some were dropped; those that were not are whole.
        drop(s);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).unwrap();
        let whole = bytes.len() / 60004;
        assert!(whole > 0 && whole < 200);
        assert!(bytes.chunks_exact(60004).all(|c| c[..4] == 60000u32.to_be_bytes() && c[4..] == frame));
    }

    /// What passt cannot write at once it throws away.
    #[test]
    fn passt_never_waits_for_a_full_adapter() {
        let (mut far, s, nic) = port(Peer::Passt);
        nic.room.store(0, Ordering::SeqCst);
        far.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        let frames: Vec<_> = (0..100u8).map(|n| vec![n; 60000]).collect();
        frames.iter().for_each(|f| far.write_all(&framed(f)).unwrap());
        wait_for(|| nic.refused.load(Ordering::SeqCst) > 0);
        assert_eq!(nic.got.lock().unwrap().len(), 0);
        nic.room.store(usize::MAX, Ordering::SeqCst);
        s.room();
        wait_for(|| nic.got.lock().unwrap().len() == frames.len());
        assert!(nic.got.lock().unwrap().iter().zip(&frames).all(|(got, f)| got.0 == *f));
        // More than any window goes through in the end, too.
        for _ in 0..4 {
            frames.iter().for_each(|f| far.write_all(&framed(f)).unwrap());
        }
        wait_for(|| nic.got.lock().unwrap().len() == 5 * frames.len());
    }

    /// Debian 12's passt changes its window in segments without a flag (RFC 9293, 3.10.7.4: dropped unread). A guest that
    /// translates addresses takes one for damaged and for its own, and resets the connection.
    #[test]
    fn all_segments_of_passt_acknowledge() {
        for v6 in [false, true] {
            let (mut far, _s, nic) = port(Peer::Passt);
            for (sent, arrives) in [(0, 0x10), (8, 0x18), (4, 4), (2, 2), (0x10, 0x10), (0x14, 0x14)] {
                far.write_all(&framed(&tcp(v6, 0, sent, &[]))).unwrap();
                wait_for(|| nic.got.lock().unwrap().len() == 1);
                let got = nic.got.lock().unwrap().pop().unwrap();
                assert_eq!(got, (tcp(v6, 0, arrives, &[]), Offload { checked: true, ..Offload::default() }));
            }
        }
        // What is no TCP segment, or half of one, comes as it is.
        let (mut far, _s, nic) = port(Peer::Passt);
        let segment = tcp(false, 0, 0, &[]);
        let mut datagram = segment.clone();
        datagram[23] = crate::finish::UDP;
        let sent = [&segment[..50], &segment[..20], &segment[..2], &datagram];
        sent.iter().for_each(|f| far.write_all(&framed(f)).unwrap());
        wait_for(|| nic.got.lock().unwrap().len() == sent.len());
        assert!(nic.got.lock().unwrap().iter().zip(sent).all(|(got, sent)| got.0 == sent));
    }

    #[test]
    fn passt_gets_large_frames_and_gives_them() {
        let (mut far, s, nic) = port(Peer::Passt);
        nic.offloads.store(true, Ordering::SeqCst);
        let whole = tcp(false, 30000, 0x10, &[]);
        s.send(
            &whole,
            Offload { gso: Gso::Tcp4, segment: 1000, checksum: Some((34, 16)), ..Offload::default() },
        );
        let mut got = vec![0; 4 + whole.len()];
        far.read_exact(&mut got).unwrap();
        assert_eq!(got, framed(&whole));
        let opening = tcp(false, 0, 2, &[2, 4, 0x20, 0]);
        s.send(&opening, Offload::default());
        let mut got = vec![0; 4 + opening.len()];
        far.read_exact(&mut got).unwrap();
        assert_eq!(got[got.len() - 2..], LARGE_SEGMENT.to_be_bytes());
        far.write_all(&framed(&whole)).unwrap();
        far.write_all(&framed(&tcp(false, 0x2000, 0x10, &[]))).unwrap();
        wait_for(|| nic.got.lock().unwrap().len() == 2);
        let got = nic.got.lock().unwrap();
        assert_eq!((got[0].1.gso, got[0].1.segment, got[0].1.header_len), (Gso::Tcp4, 0x2000, 54));
        assert_eq!(got[1].1, Offload { checked: true, ..Offload::default() });
        drop(got);
        // Options take of the room of each segment.
        far.write_all(&framed(&tcp(false, 30000, 0x10, &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]))).unwrap();
        wait_for(|| nic.got.lock().unwrap().len() == 3);
        let got = nic.got.lock().unwrap();
        assert_eq!((got[2].1.gso, got[2].1.segment, got[2].1.header_len), (Gso::Tcp4, 0x2000 - 12, 66));
        // Whoever cuts it makes checksums from what is in their place, as for a guest's own segments.
        assert_eq!((got[0].1.checksum, got[0].1.checked), (Some((34, 16)), false));
        let cut = |frame: &[u8], o: Offload| {
            let mut all = Vec::new();
            assert!(finish(frame, o, &mut |f| all.push(f.to_vec())));
            all
        };
        assert_eq!(cut(&got[0].0, got[0].1), cut(&whole, Offload { checksum: None, ..got[0].1 }));
        assert_ne!(got[0].0, whole);
        let (part, place) = (&got[0].0, 34 + 16);
        let mut prepared = whole.clone();
        prepare_checksum(&mut prepared);
        assert_eq!(part[place..place + 2], prepared[place..place + 2]);
    }
}
