//! A tap device of the host, with checksums and segmentation left to the host's kernel (`virtio_net_hdr`, virtio 1.2
//! section 5.1.6, as Linux's tun driver uses it).

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::finish::{LEAST_SEGMENT, finish, split_datagrams};
use crate::{Gso, MAX_FRAME, Nic, Offload, Port};

/// Bytes of the header before each frame.
const HEADER: usize = 10;
/// Frames handed over before the adapter may raise its interrupt.
const BATCH: usize = 32;

const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Why a tap device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// No interface of that name.
    #[error("there is no interface of that name ('ip tuntap add dev {0} mode tap' makes one)")]
    Missing(String),
    /// It is an interface, but another kind.
    #[error("it is no tap device")]
    NotTap,
    /// Another program has it.
    #[error("another program uses it")]
    InUse,
    /// It belongs to somebody else.
    #[error("it may not be used by this user ('ip tuntap add ... user NAME' makes one that may)")]
    Permission,
    /// The host.
    #[error("{0}")]
    Host(#[from] std::io::Error),
}

/// What the header before a frame says. `None`: something nobody asked for.
fn decode(h: &[u8; HEADER]) -> Option<(Offload, bool)> {
    let half = |at: usize| u16::from_ne_bytes([h[at], h[at + 1]]);
    let mut o = Offload {
        checksum: (h[0] & NEEDS_CHECKSUM != 0).then(|| (half(6), half(8))),
        checked: h[0] & DATA_VALID != 0,
        ..Offload::default()
    };
    let mut udp = false;
    match h[1] & !GSO_ECN {
        0 => return Some((o, false)),
        GSO_TCP4 => o.gso = Gso::Tcp4,
        GSO_TCP6 => o.gso = Gso::Tcp6,
        GSO_UDP => udp = true,
        _ => return None,
    }
    (o.header_len, o.segment) = (half(2), half(4));
    (o.segment >= LEAST_SEGMENT).then_some((o, udp))
}

fn encode(o: &Offload) -> [u8; HEADER] {
    let mut h = [0; HEADER];
    let mut put = |at: usize, v: u16| h[at..at + 2].copy_from_slice(&v.to_ne_bytes());
    if o.gso != Gso::None {
        put(2, o.header_len);
        put(4, o.segment);
    }
    if let Some((start, at)) = o.checksum {
        put(6, start);
        put(8, at);
        h[0] = NEEDS_CHECKSUM;
    } else if o.checked {
        h[0] = DATA_VALID;
    }
    h[1] = match o.gso {
        Gso::None => 0,
        Gso::Tcp4 => GSO_TCP4,
        Gso::Tcp6 => GSO_TCP6,
    };
    h
}

struct Inner {
    device: SyncDevice,
    wake: OwnedFd,
    name: String,
    nic: Mutex<Option<Weak<dyn Nic>>>,
    stop: AtomicBool,
}

/// A tap device.
pub struct Tap {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tap {
    /// Attaches to the tap device of that name, which must exist.
    pub fn open(name: &str) -> Result<Tap, TapError> {
        let class = Path::new("/sys/class/net").join(name);
        if name.is_empty() || name.contains('/') || !class.exists() {
            return Err(TapError::Missing(name.to_owned()));
        }
        let flags = std::fs::read_to_string(class.join("tun_flags")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
        const IFF_TAP: u32 = 2;
        if flags & IFF_TAP == 0 {
            return Err(TapError::NotTap);
        }
        let device = DeviceBuilder::new().name(name).layer(Layer::L2).offload(true).inherit_enable_state();
        let device = device.build_sync().map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::BUSY) => TapError::InUse,
            Some(Errno::PERM | Errno::ACCESS) => TapError::Permission,
            _ => TapError::Host(e),
        })?;
        let host = std::io::Error::from;
        rustix::io::ioctl_fionbio(device.as_fd(), true).map_err(host)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(host)?;
        let (name, nic, stop) = (name.to_owned(), Mutex::default(), AtomicBool::new(false));
        Ok(Tap { inner: Arc::new(Inner { device, wake, name, nic, stop }), thread: Mutex::default() })
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Release);
        self.inner.wake();
        if let Some(t) = lock(&self.thread).take()
            && t.thread().id() != std::thread::current().id()
        {
            let _ = t.join();
        }
    }
}

impl Port for Tap {
    fn connect(&self, nic: Arc<dyn Nic>) {
        *lock(&self.inner.nic) = Some(Arc::downgrade(&nic));
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let inner = self.inner.clone();
            match std::thread::Builder::new().name("net".into()).spawn(move || inner.receive()) {
                Ok(t) => *thread = Some(t),
                Err(e) => tracing::error!("{}: no thread for the network: {e}", self.inner.name),
            }
        }
    }

    fn send(&self, frame: &[u8], offload: Offload) {
        let header = encode(&offload);
        // A frame that the host's kernel has no room for is lost, as on any wire.
        let _ = rustix::io::writev(self.inner.device.as_fd(), &[IoSlice::new(&header), IoSlice::new(frame)]);
    }

    fn room(&self) {
        self.inner.wake();
    }

    fn takes_offloads(&self) -> bool {
        true
    }

    fn trunk(&self) -> Option<u8> {
        None
    }
}

impl Inner {
    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Waits for a frame if asked, else only for [`Inner::wake`], and not for ever.
    fn wait(&self, frame: bool) {
        let events = if frame { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.device.as_fd(), events),
        ];
        let limit = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let _ = poll(&mut fds, (!frame).then_some(&limit));
        if !fds[0].revents().is_empty() {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
    }

    fn receive(&self) {
        let mut buffer = vec![0; HEADER + MAX_FRAME];
        let mut handed = 0;
        while !self.stop.load(Ordering::Acquire) {
            let got = rustix::io::read(self.device.as_fd(), &mut buffer);
            let nic = lock(&self.nic).as_ref().and_then(Weak::upgrade);
            if let Some(nic) = nic.as_ref().filter(|_| handed > 0 && (got.is_err() || handed >= BATCH)) {
                nic.done();
                handed = 0;
            }
            match got {
                Ok(n) => {
                    if let Some(nic) = nic {
                        self.hand_over(&*nic, &buffer[..n]);
                        handed += 1;
                    }
                }
                Err(Errno::AGAIN) => self.wait(true),
                Err(Errno::INTR) => {}
                Err(e) => {
                    tracing::warn!("{}: the network has gone away: {e}", self.name);
                    return;
                }
            }
        }
    }

    fn hand_over(&self, nic: &dyn Nic, bytes: &[u8]) {
        let Some((header, frame)) = bytes.split_first_chunk::<HEADER>() else { return };
        let Some((offload, udp)) = decode(header) else { return };
        let work = offload.gso != Gso::None || offload.checksum.is_some();
        if udp {
            split_datagrams(frame, offload.segment, &mut |f| self.deliver(nic, f, Offload::default()));
        } else if work && !nic.takes_offloads() {
            finish(frame, offload, &mut |f| self.deliver(nic, f, Offload::default()));
        } else {
            self.deliver(nic, frame, offload);
        }
    }

    /// Waits for an adapter that has no room; meanwhile the host's kernel keeps what comes.
    fn deliver(&self, nic: &dyn Nic, frame: &[u8], offload: Offload) {
        while !nic.deliver(frame, offload) {
            nic.done();
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            self.wait(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let plain = Offload::default();
        let cases = [
            plain,
            Offload { checked: true, ..plain },
            Offload { checksum: Some((34, 16)), ..plain },
            Offload {
                checksum: Some((54, 16)),
                gso: Gso::Tcp6,
                header_len: 74,
                segment: 1440,
                checked: false,
            },
        ];
        for o in cases {
            assert_eq!(decode(&encode(&o)), Some((o, false)));
        }
        let mut h = encode(&cases[3]);
        h[1] = GSO_TCP4 | GSO_ECN;
        assert_eq!(decode(&h).map(|d| d.0.gso), Some(Gso::Tcp4));
        h[1] = 3;
        assert_eq!(decode(&h), None);
        h[1] = GSO_UDP;
        assert_eq!(decode(&h).map(|d| d.1), Some(true));
        h[4..6].fill(0);
        assert_eq!(decode(&h), None);
    }

    #[test]
    fn what_is_no_tap_is_told() {
        let text = |name| Tap::open(name).err().unwrap().to_string();
        assert!(text("no-such-if").contains("ip tuntap add dev no-such-if"));
        assert!(text("../lo").contains("no interface"));
        assert!(text("lo").contains("no tap device"));
    }
}
