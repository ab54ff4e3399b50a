//! Console device (5.3) with one port: a pipe for bytes in both directions.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Link, VirtioDevice, Worker};
use crate::lock;

/// Queues: to the driver, from the driver.
const IN: usize = 0;
const OUT: usize = 1;
/// Descriptors of a queue.
const QUEUE_SIZE: u16 = 64;
/// Bytes handed over at a time.
const PIECE: usize = 4096;

/// The device.
pub struct Console {
    inner: Arc<Inner>,
    worker: Worker,
}

struct Inner {
    link: Mutex<Option<Arc<Link>>>,
    /// Signalled when the driver has offered buffers, or has come or gone.
    offered: Condvar,
    sink: Sink,
}

/// Where output goes.
type Sink = Box<dyn Fn(&[u8]) + Send + Sync>;

/// The host's end: bytes for the guest go in here.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

impl Console {
    /// A console whose output goes to `sink`, which is called on the device's own thread and must return before long.
    pub fn new(sink: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        let inner = Arc::new(Inner { link: Mutex::default(), offered: Condvar::new(), sink: Box::new(sink) });
        let served = inner.clone();
        Console { inner, worker: Worker::new("virtio-console", move |_| served.carry_out()) }
    }

    /// The way in.
    pub fn feed(&self) -> Feed {
        Feed(self.inner.clone())
    }
}

impl Feed {
    /// Hands bytes to the guest, as many as it has room for within `patience`; how many that were.
    pub fn input(&self, bytes: &[u8], patience: Duration) -> usize {
        let (mut done, mut idle) = (0, 0);
        // A driver may offer buffers without room; not for ever.
        while done < bytes.len() && idle < QUEUE_SIZE {
            let slot = lock(&self.0.link);
            match slot.clone().and_then(|link| link.pop(IN)) {
                Some(chain) => {
                    drop(slot);
                    let n = chain.writable.write(0, &bytes[done..]);
                    done += n;
                    idle += u16::from(n == 0);
                    chain.complete(n as u32);
                }
                // Nobody can offer anything between this look and the waiting: that takes the lock.
                None if slot.as_ref().is_some_and(|link| link.want_notify(IN)) => idle += 1,
                None => {
                    let waited = self.0.offered.wait_timeout(slot, patience);
                    if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
                        break;
                    }
                }
            }
        }
        done
    }
}

impl Inner {
    fn carry_out(&self) {
        loop {
            // The driver may have gone meanwhile.
            let Some(link) = lock(&self.link).clone() else { return };
            let Some(chain) = link.pop(OUT) else {
                if link.want_notify(OUT) {
                    continue;
                }
                return;
            };
            let (mut at, mut bytes) = (0, [0; PIECE]);
            // A chain that says it has more than memory has is cut.
            while at < chain.readable.len().min(1 << 20) {
                let n = chain.readable.read(at, &mut bytes);
                if n == 0 {
                    break;
                }
                (self.sink)(&bytes[..n]);
                at += n as u64;
            }
            chain.complete(0);
        }
    }
}

impl VirtioDevice for Console {
    fn kind(&self) -> u16 {
        3
    }

    fn class(&self) -> u32 {
        0x07_8000
    }

    fn node_name(&self) -> &'static str {
        "communication-controller"
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 2]
    }

    fn read_config(&self, _: usize, _: &mut [u8]) {}

    fn start(&self, link: &Arc<Link>) {
        *lock(&self.inner.link) = Some(link.clone());
        self.inner.offered.notify_all();
        self.worker.kick(OUT);
    }

    fn notify(&self, _: &Arc<Link>, queue: usize) {
        if queue == IN {
            drop(lock(&self.inner.link));
            self.inner.offered.notify_all();
        } else {
            self.worker.kick(OUT);
        }
    }

    fn stop(&self) {
        *lock(&self.inner.link) = None;
        self.inner.offered.notify_all();
    }

    fn save(&self) -> serde_json::Value {
        let Console { inner, worker: _ } = self;
        let Inner { link: _, offered: _, sink: _ } = &**inner;
        serde_json::Value::Null
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        if state.is_null() { Ok(()) } else { Err("a console has no state of its own".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BUFFERS, Driver, battery};
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn bytes_go_both_ways() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = heard.clone();
        let console = Arc::new(Console::new(move |b: &[u8]| lock(&sink).extend_from_slice(b)));
        let feed = console.feed();
        assert_eq!(feed.input(b"too early", SOON), 0);
        let mut d = Driver::up(console, 0);
        d.ram.write(BUFFERS, b"out!").unwrap();
        d.exchange(OUT, &[(BUFFERS, 2, false), (BUFFERS + 2, 2, false)]);
        assert_eq!(*lock(&heard), b"out!");
        d.ram.fill(BUFFERS, 5000, b'x').unwrap();
        d.exchange(OUT, &[(BUFFERS, 5000, false)]);
        assert_eq!(lock(&heard).len(), 5004);
        d.offer(IN, 0, &[(BUFFERS, 4, true)]);
        assert_eq!(feed.input(b"inside", SOON), 4);
        assert_eq!(d.wait(IN), (0, 4));
        assert_eq!(d.bytes(BUFFERS, 4), b"insi");
        // One that waits is woken by the offer.
        std::thread::scope(|s| {
            let waits = s.spawn(|| feed.input(b"de", Duration::from_secs(60)));
            d.offer(IN, 1, &[(BUFFERS, 4, true)]);
            d.notify(IN);
            assert_eq!(waits.join().unwrap(), 2);
        });
        assert_eq!(d.wait(IN), (1, 2));
        battery(&|| Arc::new(Console::new(|_| ())), &|d| {
            d.exchange(OUT, &[(BUFFERS, 3, false)]);
        });
    }
}
