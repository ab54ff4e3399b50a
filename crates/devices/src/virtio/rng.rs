//! Entropy device (5.4).

use std::sync::Arc;

use super::{Link, VirtioDevice, Worker};
use crate::lock;

/// Descriptors of the queue.
const QUEUE_SIZE: u16 = 8;
/// Most bytes of one request that are filled.
const MOST: u64 = 4096;

/// The device.
pub struct Rng {
    worker: Worker,
    link: Arc<std::sync::Mutex<Option<Arc<Link>>>>,
}

impl Default for Rng {
    fn default() -> Self {
        Rng::new()
    }
}

impl Rng {
    /// A device that gives the host's random numbers.
    pub fn new() -> Self {
        let link: Arc<std::sync::Mutex<Option<Arc<Link>>>> = Arc::default();
        let served = link.clone();
        Rng { worker: Worker::new("virtio-rng", move |_| serve(&served)), link }
    }
}

/// Fills what waits.
fn serve(link: &std::sync::Mutex<Option<Arc<Link>>>) {
    loop {
        // The driver may have gone meanwhile.
        let Some(link) = lock(link).clone() else { return };
        let Some(chain) = link.pop(0) else {
            if link.want_notify(0) {
                continue;
            }
            return;
        };
        let mut bytes = vec![0; chain.writable.len().min(MOST) as usize];
        let n = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
        let written = chain.writable.write(0, &bytes[..n.unwrap_or(0)]);
        chain.complete(written as u32);
    }
}

impl VirtioDevice for Rng {
    fn kind(&self) -> u16 {
        4
    }

    fn class(&self) -> u32 {
        0x00_ff00
    }

    fn node_name(&self) -> &'static str {
        "rng"
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    fn read_config(&self, _: usize, _: &mut [u8]) {}

    fn start(&self, link: &Arc<Link>) {
        *lock(&self.link) = Some(link.clone());
        self.worker.kick(0);
    }

    fn notify(&self, _: &Arc<Link>, _: usize) {
        self.worker.kick(0);
    }

    fn stop(&self) {
        *lock(&self.link) = None;
    }

    fn save(&self) -> serde_json::Value {
        let Rng { worker: _, link: _ } = self;
        serde_json::Value::Null
    }

    fn restore(&self, state: serde_json::Value) -> Result<(), String> {
        if state.is_null() { Ok(()) } else { Err("an entropy device has no state of its own".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BUFFERS, Driver, battery};
    use super::*;

    fn works(d: &mut Driver) {
        d.ram.fill(BUFFERS, 200, 0).unwrap();
        let len = d.exchange(0, &[(BUFFERS, 100, true), (BUFFERS + 100, 100, true)]);
        assert_eq!(len, 200);
        let bytes = d.bytes(BUFFERS, 200);
        // Chance of failure below 2^-100.
        assert!(bytes.iter().filter(|&&b| b == 0).count() < 20);
    }

    #[test]
    fn it_fills_what_it_is_given_and_stands_the_battery() {
        let mut d = Driver::up(Arc::new(Rng::new()), 0);
        assert_eq!(d.exchange(0, &[(BUFFERS, 0x1_0000, true)]), MOST as u32);
        assert_eq!(d.exchange(0, &[(BUFFERS, 16, false)]), 0);
        battery(&|| Arc::new(Rng::new()), &works);
    }
}
