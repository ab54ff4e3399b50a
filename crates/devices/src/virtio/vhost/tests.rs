//! A back end in this program: it gives every chain back with a letter written to its first buffer.

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use device::PciFunction;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::super::testing::{BUFFERS, Driver, SIZE};
use super::protocol::*;
use super::*;
use crate::virtio::status::NEEDS_RESET;

const FEATURES: u64 =
    feature::VERSION_1 | feature::EVENT_IDX | feature::INDIRECT_DESC | PROTOCOL_FEATURES | 5;

/// What the front end has said.
#[derive(Default)]
struct Heard {
    requests: Vec<u32>,
    memory: Option<std::fs::File>,
    copies: Option<std::fs::File>,
    /// Addresses and notifications of queue 1.
    addresses: [u64; 3],
    kick: Option<OwnedFd>,
    call: Option<OwnedFd>,
    features: u64,
}

fn word64(body: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(body[at..at + 8].try_into().unwrap())
}

/// Serves the control socket until it ends or `until` is asked.
fn serve(mut socket: &UnixStream, heard: &Mutex<Heard>, until: u32) {
    loop {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes[..12])], &mut control, RecvFlags::empty());
        if got.map_or(0, |g| g.bytes) != 12 {
            return;
        }
        let word = |n: usize| u32::from_ne_bytes(bytes[n..n + 4].try_into().unwrap());
        let (kind, flags, len) = (word(0), word(4), word(8) as usize);
        let fds: Vec<OwnedFd> = control
            .drain()
            .flat_map(|m| match m {
                RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        let mut body = vec![0; len];
        std::io::Read::read_exact(&mut socket, &mut body).unwrap();
        let mut h = lock(heard);
        h.requests.push(kind);
        let mut fds = fds.into_iter();
        let mut fd = fds.next();
        let answer = match kind {
            request::GET_FEATURES => Some(numbers(&[FEATURES])),
            request::GET_PROTOCOL_FEATURES => Some(numbers(&[PROTOCOL_REPLY_ACK | PROTOCOL_CONFIG])),
            request::GET_CONFIG => {
                let mut b = words(&[0, 256, 0]);
                b.resize(12 + 256, 7);
                Some(b)
            }
            request::GET_VRING_BASE => Some(words(&[body[0] as u32, 0])),
            _ => {
                match kind {
                    request::SET_FEATURES => h.features = word64(&body, 0),
                    request::SET_MEM_TABLE => {
                        h.memory = fd.take().map(std::fs::File::from);
                        h.copies = fds.next().map(std::fs::File::from);
                    }
                    request::SET_VRING_ADDR if body[0] == 1 => {
                        h.addresses = [8, 16, 24].map(|at| word64(&body, at));
                    }
                    request::SET_VRING_KICK if body[0] == 1 => h.kick = fd.take(),
                    request::SET_VRING_CALL if body[0] == 1 => h.call = fd.take(),
                    _ => {}
                }
                (flags & 8 != 0).then(|| numbers(&[0]))
            }
        };
        drop(h);
        if let Some(a) = answer {
            let mut m = words(&[kind, 1 | 4, a.len() as u32]);
            m.extend(a);
            socket.write_all(&m).unwrap();
        }
        if kind == until {
            return;
        }
    }
}

/// Waits for a notification of queue 1, gives its first chain back.
fn work(heard: &Mutex<Heard>, n: u16) {
    let h = lock(heard);
    let kick = h.kick.as_ref().unwrap();
    let mut count = [0; 8];
    loop {
        poll(&mut [PollFd::new(kick, PollFlags::IN)], None).unwrap();
        let _ = rustix::io::read(kick, &mut count);
        let memory = h.memory.as_ref().unwrap();
        let [desc, used, avail] = h.addresses;
        let mut b = [0; 2];
        let (copies, avail) = (h.copies.as_ref().unwrap(), avail - COPIES);
        copies.read_exact_at(&mut b, avail + 2).unwrap();
        if u16::from_le_bytes(b) == n {
            continue;
        }
        copies.read_exact_at(&mut b, avail + 4 + 2 * (n % SIZE) as u64).unwrap();
        let head = u16::from_le_bytes(b);
        let mut addr = [0; 8];
        memory.read_exact_at(&mut addr, desc + 16 * head as u64).unwrap();
        memory.write_all_at(b"x", u64::from_le_bytes(addr)).unwrap();
        let mut e = (head as u32).to_le_bytes().to_vec();
        e.extend(1u32.to_le_bytes());
        memory.write_all_at(&e, used + 4 + 8 * (n % SIZE) as u64).unwrap();
        memory.write_all_at(&(n + 1).to_le_bytes(), used + 2).unwrap();
        return ring(h.call.as_ref().unwrap());
    }
}

#[test]
fn another_program_serves_the_queues() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let heard = Mutex::new(Heard::default());
    std::thread::scope(|s| {
        let control = s.spawn(|| serve(&theirs, &heard, u32::MAX));
        let fs = VhostUser::fs(ours, "a tag").unwrap();
        assert_eq!(fs.features(), 5);
        let mut d = Driver::up(Arc::new(fs), 1);
        assert_eq!(d.config(0, 8), u64::from_le_bytes(*b"a tag\0\0\0"));
        assert_eq!(d.config(TAG_LEN as u64, 4), 1);
        assert_eq!(lock(&heard).features, feature::VERSION_1 | PROTOCOL_FEATURES | 1);
        for n in 0..3 {
            d.ram.mark_code_and(BUFFERS, || ());
            let version = d.ram.code_version(BUFFERS);
            d.offer(1, n, &[(BUFFERS, 8, true)]);
            d.notify(1);
            // Gone before the other program writes, for nobody would notice afterwards.
            assert_ne!(d.ram.code_version(BUFFERS), version);
            work(&heard, n);
            assert_eq!(d.wait(1), (n as u32, 1));
            assert_eq!(d.bytes(BUFFERS, 1), b"x");
            let begin = Instant::now();
            while d.get(0x1000, 1) == 0 {
                assert!(begin.elapsed() < Duration::from_secs(60), "no interrupt");
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        // Opening a file: Power's O_LARGEFILE and O_DIRECT are x86's O_DIRECTORY and O_NOFOLLOW.
        #[cfg(target_arch = "x86_64")]
        {
            d.ram.store_le(BUFFERS + 0x100, 14 << 32, 8).unwrap();
            d.ram.store_le(BUFFERS + 0x200, 0o600002, 4).unwrap();
            d.offer(1, 3, &[(BUFFERS + 0x100, 40, false), (BUFFERS + 0x200, 8, false)]);
            d.notify(1);
            assert_eq!(d.ram.load_le(BUFFERS + 0x200, 4).unwrap(), 0o140002);
        }
        // A queue that makes no sense is not handed on.
        d.offer(1, 0, &[(u64::MAX - 1, 8, true)]);
        d.notify(1);
        assert_ne!(d.status() & NEEDS_RESET, 0);
        d.f.reset();
        let r = lock(&heard).requests.clone();
        assert_eq!(r.iter().filter(|&&k| k == request::GET_VRING_BASE).count(), 2);
        assert!(d.f.restore(d.f.save(), &|_| device::IrqLine::unconnected()).is_err());
        d.start(0);
        drop(d);
        control.join().unwrap();
    });
}

#[test]
fn an_answer_that_is_too_short_is_no_configuration() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let device = std::thread::spawn(move || VhostUser::new(ours, 5, 0xff_0000, "odd", 1, None));
    for kind in [
        request::SET_OWNER,
        request::GET_FEATURES,
        request::GET_PROTOCOL_FEATURES,
        request::SET_PROTOCOL_FEATURES,
        request::GET_CONFIG,
    ] {
        let mut head = [0; 12];
        std::io::Read::read_exact(&mut theirs, &mut head).unwrap();
        assert_eq!(u32::from_ne_bytes([head[0], head[1], head[2], head[3]]), kind);
        let len = u32::from_ne_bytes([head[8], head[9], head[10], head[11]]);
        std::io::Read::read_exact(&mut theirs, &mut vec![0; len as usize]).unwrap();
        let answer = match kind {
            request::GET_FEATURES => numbers(&[FEATURES]),
            request::GET_PROTOCOL_FEATURES => numbers(&[PROTOCOL_CONFIG]),
            request::GET_CONFIG => vec![1, 2, 3],
            _ => continue,
        };
        theirs.write_all(&words(&[kind, 1 | 4, answer.len() as u32])).unwrap();
        theirs.write_all(&answer).unwrap();
    }
    let device = device.join().unwrap().unwrap();
    let mut config = [9; 4];
    device.read_config(0, &mut config);
    assert_eq!(config, [9; 4]);
}

#[test]
fn a_back_end_that_ends_stops_the_device() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let heard = Mutex::new(Heard::default());
    std::thread::scope(|s| {
        s.spawn(|| {
            // The last request of a driver that comes up.
            serve(&theirs, &heard, request::SET_OWNER);
            while lock(&heard).requests.iter().filter(|&&r| r == request::SET_VRING_ENABLE).count() < 3 {
                serve(&theirs, &heard, request::SET_VRING_ENABLE);
            }
            theirs.shutdown(std::net::Shutdown::Both).unwrap();
        });
        let device = VhostUser::new(ours, 5, 0xff_0000, "odd", 3, None).unwrap();
        let d = Driver::up(Arc::new(device), 0);
        assert_eq!(d.config(0, 4), 0x0707_0707);
        let begin = Instant::now();
        while d.status() & NEEDS_RESET == 0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "nobody noticed");
            std::thread::sleep(Duration::from_micros(50));
        }
        d.f.reset();
    });
}

#[test]
fn a_back_end_that_hangs_holds_nobody_up() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let heard = Mutex::new(Heard::default());
    std::thread::scope(|s| {
        // It takes the queues, and says nothing any more.
        let control = s.spawn(|| {
            while lock(&heard).requests.iter().filter(|&&r| r == request::SET_VRING_ENABLE).count() < 2 {
                serve(&theirs, &heard, request::SET_VRING_ENABLE);
            }
        });
        let fs = VhostUser::fs(ours, "a tag").unwrap();
        // So that a reset that waited for it would never end.
        lock(&fs.inner.backend).set_patience(Duration::from_secs(3600)).unwrap();
        let fs = Arc::new(fs);
        let mut d = Driver::up(fs.clone(), 0);
        control.join().unwrap();
        assert_eq!(d.status() & NEEDS_RESET, 0);
        d.set(20, 0, 1);
        // Not yet reset, and a driver that asks once more only waits.
        d.set(20, 0, 1);
        assert_ne!(d.status(), 0);
        assert!(!d.f.link().running());
        // An answer to something else ends it.
        (&theirs).write_all(&words(&[request::GET_FEATURES, 1 | 4, 0])).unwrap();
        // It is never asked again: the driver that comes back finds a device that needs a reset.
        d.start(0);
        assert_ne!(d.status() & NEEDS_RESET, 0);
        d.f.reset();
        assert_eq!(d.status(), 0);
    });
}

#[test]
fn an_answer_in_small_pieces_is_not_waited_for_for_ever() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut backend = Backend::new(ours).unwrap();
    backend.set_patience(Duration::from_millis(300)).unwrap();
    std::thread::scope(|s| {
        s.spawn(|| {
            // Each byte in time, all of them never.
            while (&theirs).write_all(&[1]).is_ok() {
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        assert!(backend.ask_number(request::GET_FEATURES).is_err());
        assert!(backend.given_up());
        assert!(backend.tell(request::SET_OWNER, &[], &[]).is_err());
    });
}

#[test]
fn a_back_end_that_refuses_something_is_asked_again() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut backend = Backend::new(ours).unwrap();
    backend.set_acknowledged(true);
    for answer in [1, 0] {
        let body = numbers(&[answer]);
        theirs.write_all(&words(&[request::SET_VRING_ADDR, 1 | 4, body.len() as u32])).unwrap();
        theirs.write_all(&body).unwrap();
        assert_eq!(backend.tell(request::SET_VRING_ADDR, &[], &[]).is_ok(), answer == 0);
        assert!(!backend.given_up());
    }
}
