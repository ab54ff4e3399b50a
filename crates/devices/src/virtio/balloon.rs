//! Memory balloon (5.5): the guest gives pages up, for good or as long as it does not need them, and tells what its
//! free memory is (free page reporting), so that the host has what the guest does not use.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::{Chain, Link, VirtioDevice, Worker, copy_config};
use crate::lock;

/// Feature bits.
mod feature {
    pub const DEFLATE_ON_OOM: u64 = 1 << 2;
    pub const REPORTING: u64 = 1 << 5;
}

/// Queues, as they are numbered with just these features.
const INFLATE: usize = 0;
#[cfg(test)]
const DEFLATE: usize = 1;
const REPORT: usize = 2;
/// Descriptors of a queue.
const QUEUE_SIZE: u16 = 128;
/// log2 of the size of the balloon's pages.
const SHIFT: u32 = 12;
/// Pages of one request that are looked at.
const MOST: u64 = 1 << 14;

/// The device.
pub struct Balloon {
    inner: Arc<Inner>,
    worker: Worker,
}

#[derive(Default)]
struct Inner {
    link: Mutex<Option<Arc<Link>>>,
    /// Pages the guest shall give up.
    target: AtomicU32,
    /// Pages it says it has given up.
    actual: AtomicU32,
    /// Bytes given back to the host, in all.
    returned: AtomicU64,
}

/// Saved form.
#[derive(Serialize, Deserialize)]
struct BalloonState {
    target: u32,
    actual: u32,
}

impl Default for Balloon {
    fn default() -> Self {
        Balloon::new()
    }
}

impl Balloon {
    /// An empty balloon.
    pub fn new() -> Self {
        let inner: Arc<Inner> = Arc::default();
        let served = inner.clone();
        Balloon { inner, worker: Worker::new("virtio-balloon", move |bits| served.serve_all(bits)) }
    }

    /// Asks the guest to give up so many bytes of memory in all.
    pub fn set_target(&self, bytes: u64) {
        let pages = u32::try_from(bytes >> SHIFT).unwrap_or(u32::MAX);
        self.inner.target.store(pages, Ordering::SeqCst);
        if let Some(link) = lock(&self.inner.link).clone() {
            link.config_changed();
        }
    }

    /// Bytes that the guest has given up.
    pub fn size(&self) -> u64 {
        (self.inner.actual.load(Ordering::SeqCst) as u64) << SHIFT
    }

    /// Bytes given back to the host so far, whether the guest took them again or not.
    pub fn returned(&self) -> u64 {
        self.inner.returned.load(Ordering::SeqCst)
    }
}

impl Inner {
    fn serve_all(&self, bits: u64) {
        for queue in (INFLATE..=REPORT).filter(|n| bits >> n & 1 != 0) {
            loop {
                // The driver may have gone meanwhile.
                let Some(link) = lock(&self.link).clone() else { return };
                match link.pop(queue) {
                    Some(chain) => self.serve(&link, queue, chain),
                    None if !link.want_notify(queue) => break,
                    None => {}
                }
            }
        }
    }

    fn serve(&self, link: &Link, queue: usize, chain: Chain) {
        match queue {
            INFLATE => self.inflate(link, &chain),
            REPORT => {
                for &(addr, len) in chain.writable.list() {
                    self.give_back(link, addr, len);
                }
            }
            // Pages taken back are zero when they are touched; nothing is to be done.
            _ => {}
        }
        chain.complete(0);
    }

    fn give_back(&self, link: &Link, addr: u64, len: u64) {
        if link.ram.discard(addr, len).is_ok() {
            self.returned.fetch_add(len, Ordering::SeqCst);
        }
    }

    /// A list of page numbers, 32 bits each.
    fn inflate(&self, link: &Link, chain: &Chain) {
        let n = (chain.readable.len() / 4).min(MOST) as usize;
        let mut bytes = vec![0; 4 * n];
        chain.readable.read(0, &mut bytes);
        let mut pages: Vec<u32> =
            bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        // The host takes large pages only, and neighbours often come in falling order.
        pages.sort_unstable();
        pages.dedup();
        let mut rest = &pages[..];
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first as u64..).take_while(|&(&p, want)| p as u64 == want).count();
            self.give_back(link, (first as u64) << SHIFT, (run as u64) << SHIFT);
            rest = &rest[run..];
        }
    }
}

impl VirtioDevice for Balloon {
    fn kind(&self) -> u16 {
        5
    }

    fn class(&self) -> u32 {
        0x00_ff00
    }

    fn node_name(&self) -> &'static str {
        "balloon"
    }

    fn features(&self) -> u64 {
        feature::DEFLATE_ON_OOM | feature::REPORTING
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; REPORT + 1]
    }

    fn read_config(&self, offset: usize, out: &mut [u8]) {
        let words = [&self.inner.target, &self.inner.actual].map(|w| w.load(Ordering::SeqCst));
        copy_config(&words.map(u32::to_le_bytes).concat(), offset, out);
    }

    fn write_config(&self, _: &Arc<Link>, offset: usize, data: &[u8]) {
        if let (4, Some(&word)) = (offset, data.first_chunk::<4>()) {
            self.inner.actual.store(u32::from_le_bytes(word), Ordering::SeqCst);
        }
    }

    fn start(&self, link: &Arc<Link>) {
        *lock(&self.inner.link) = Some(link.clone());
        (INFLATE..=REPORT).for_each(|queue| self.worker.kick(queue));
    }

    fn notify(&self, _: &Arc<Link>, queue: usize) {
        self.worker.kick(queue);
    }

    fn stop(&self) {
        let Inner { link, target: _, actual, returned: _ } = &*self.inner;
        *lock(link) = None;
        actual.store(0, Ordering::SeqCst);
    }

    fn save(&self) -> serde_json::Value {
        let Balloon { inner, worker: _ } = self;
        let Inner { link: _, target, actual, returned: _ } = &**inner;
        let state =
            BalloonState { target: target.load(Ordering::SeqCst), actual: actual.load(Ordering::SeqCst) };
        serde_json::to_value(state).unwrap_or_default()
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        let BalloonState { target, actual } = serde_json::from_value(state).map_err(|e| e.to_string())?;
        self.inner.target.store(target, Ordering::SeqCst);
        self.inner.actual.store(actual, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BUFFERS, Driver, battery};
    use super::*;

    /// Memory that no queue and no buffer is in.
    const FREE: u64 = 3 << 20;

    fn works(d: &mut Driver) {
        d.ram.fill(FREE, 0x4_0000, 0xff).unwrap();
        // The first 64 KiB in falling order and a page more, which is too little alone.
        for n in 0..16 {
            d.ram.store_le(BUFFERS + 4 * n, (FREE >> SHIFT) + 15 - n, 4).unwrap();
        }
        d.ram.store_le(BUFFERS + 64, (FREE >> SHIFT) + 32, 4).unwrap();
        d.exchange(INFLATE, &[(BUFFERS, 68, false)]);
        assert_eq!(d.bytes(FREE + 0xffff, 2), [0, 0xff]);
        assert_eq!(d.bytes(FREE + 0x2_0000, 1), [0xff]);
        d.exchange(DEFLATE, &[(BUFFERS, 68, false)]);
        d.exchange(REPORT, &[(FREE + 0x2_0000, 0x1_0000, true), (FREE, 0, true)]);
        assert_eq!(d.bytes(FREE + 0x2_ffff, 2), [0, 0xff]);
    }

    #[test]
    fn pages_go_back_to_the_host() {
        let balloon = Arc::new(Balloon::new());
        let mut d = Driver::up(balloon.clone(), feature::REPORTING);
        works(&mut d);
        assert_eq!(balloon.returned(), 0x1_0000 + 0x1000 + 0x1_0000);
        balloon.set_target(1 << 20);
        assert_eq!((d.config(0, 4), d.ear.0.load(Ordering::SeqCst)), (256, 1));
        d.set(0x2004, 77, 4);
        assert_eq!(balloon.size(), 77 << SHIFT);
        // Pages outside of memory are nobody's.
        d.ram.store_le(BUFFERS, u64::MAX, 8).unwrap();
        d.exchange(INFLATE, &[(BUFFERS, 8, false)]);
    }

    #[test]
    fn it_stands_the_battery() {
        battery(&|| Arc::new(Balloon::new()), &works);
    }
}
