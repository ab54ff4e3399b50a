//! The console of a partition of a managed system: what it wrote last, and those who look at it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use partition::CharBackend;
use partition::io::Sink;

/// Bytes that whoever comes later sees.
const KEPT: usize = 64 << 10;
/// Bytes that wait for one who looks; whoever is slower is let go.
const MOST_WAITING: usize = 1 << 20;

/// The host's side.
#[derive(Default)]
pub struct Console {
    state: Mutex<State>,
    room: AtomicBool,
}

#[derive(Default)]
struct State {
    kept: VecDeque<u8>,
    viewers: Vec<Arc<Viewer>>,
    /// The server in another partition that is connected, and the number of the connection.
    server: Option<(u64, Arc<dyn Sink>)>,
    connections: u64,
}

/// One who looks.
#[derive(Default)]
pub struct Viewer {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    closed: bool,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Viewer {
    fn give(&self, bytes: &[u8]) -> bool {
        let mut w = lock(&self.waiting);
        if w.closed || w.bytes.len() + bytes.len() > MOST_WAITING {
            w.closed = true;
            self.more.notify_all();
            return false;
        }
        w.bytes.extend_from_slice(bytes);
        self.more.notify_all();
        true
    }

    /// The next bytes; none when it is over.
    pub fn next(&self) -> Vec<u8> {
        let mut w = lock(&self.waiting);
        while w.bytes.is_empty() && !w.closed {
            w = self.more.wait(w).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut w.bytes)
    }

    /// Looks no longer.
    pub fn close(&self) {
        lock(&self.waiting).closed = true;
        self.more.notify_all();
    }

    fn is_closed(&self) -> bool {
        lock(&self.waiting).closed
    }
}

impl Console {
    /// Begins to look: what was written last, then what comes.
    pub fn view(&self) -> Arc<Viewer> {
        let mut s = lock(&self.state);
        let v = Arc::new(Viewer::default());
        v.give(s.kept.make_contiguous());
        s.viewers.push(v.clone());
        v
    }

    /// Hands bytes to `take`, which says how many it took, until all are gone or `viewer` is.
    pub fn feed(&self, viewer: &Viewer, mut bytes: &[u8], take: impl Fn(&[u8]) -> usize) {
        while !bytes.is_empty() && !viewer.is_closed() {
            bytes = &bytes[take(bytes).min(bytes.len())..];
            if !bytes.is_empty() && !self.room.swap(false, Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Connects a server of another partition; the number of the connection, or none if another is connected.
    pub fn connect(&self, sink: Arc<dyn Sink>) -> Option<u64> {
        let mut s = lock(&self.state);
        if s.server.is_some() {
            return None;
        }
        s.connections += 1;
        let id = s.connections;
        s.server = Some((id, sink));
        Some(id)
    }

    /// Ends a connection.
    pub fn disconnect(&self, id: u64) {
        let mut s = lock(&self.state);
        if s.server.as_ref().is_some_and(|(n, _)| *n == id) {
            s.server = None;
        }
    }

    /// Everybody looks away: the node ends.
    pub fn close(&self) {
        lock(&self.state).viewers.drain(..).for_each(|v| v.close());
    }
}

impl CharBackend for Console {
    fn write(&self, bytes: &[u8]) -> bool {
        let mut s = lock(&self.state);
        s.kept.extend(bytes);
        let over = s.kept.len().saturating_sub(KEPT);
        s.kept.drain(..over);
        s.viewers.retain(|v| v.give(bytes));
        if let Some((_, sink)) = &s.server {
            sink.output(bytes);
        }
        true
    }
    fn input_room(&self) {
        self.room.store(true, Ordering::SeqCst);
    }
}
