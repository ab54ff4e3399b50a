//! For the tests of this crate.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::{Nic, Offload};

/// An adapter that keeps what it is given.
pub struct TestNic {
    pub got: Mutex<Vec<(Vec<u8>, Offload)>>,
    /// How many frames it takes.
    pub room: AtomicUsize,
    pub refused: AtomicUsize,
    pub batches: AtomicUsize,
    pub offloads: AtomicBool,
    pub mac: Option<[u8; 6]>,
}

impl Default for TestNic {
    fn default() -> Self {
        TestNic {
            got: Mutex::default(),
            room: AtomicUsize::new(usize::MAX),
            refused: AtomicUsize::default(),
            batches: AtomicUsize::default(),
            offloads: AtomicBool::default(),
            mac: None,
        }
    }
}

impl Nic for TestNic {
    fn deliver(&self, frame: &[u8], offload: Offload) -> bool {
        let mut got = self.got.lock().unwrap();
        if got.len() >= self.room.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return false;
        }
        got.push((frame.to_vec(), offload));
        true
    }
    fn takes_offloads(&self) -> bool {
        self.offloads.load(Ordering::SeqCst)
    }
    fn takes_large_segments(&self) -> bool {
        self.takes_offloads()
    }
    fn done(&self) {
        self.batches.fetch_add(1, Ordering::SeqCst);
    }
    fn mac(&self) -> Option<[u8; 6]> {
        self.mac
    }
}

/// Waits until that holds, and fails if it never does.
pub fn wait_for(mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}
