//! Huge pages of the host for the parts of guest memory that are much used: the host's own page tables are walked often
//! otherwise, twice over in a virtual machine. (Hosts mostly give no huge pages to shared memory by themselves.)

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::ram::zeroed_u32;

/// Size of the host's huge pages.
pub(crate) const HUGE: u64 = 2 << 20;

/// A piece of [`HUGE`] bytes whose pages were asked for this often is given a huge page.
const BUSY: u32 = 300;

/// Which pieces of a mapping are busy, and a thread that has the host make huge pages of them: it copies what is there,
/// which a processor need not wait for.
pub(crate) struct HugePages {
    /// Host address of the first piece.
    base: usize,
    /// How often pages of each piece were asked for, up to [`BUSY`].
    uses: Box<[AtomicU32]>,
    work: Arc<Mutex<Work>>,
}

#[derive(Default)]
struct Work {
    /// Pieces to be made huge, by host address.
    pieces: Vec<usize>,
    /// The last thread that was started; it ends when there are no more pieces.
    thread: Option<JoinHandle<()>>,
    running: bool,
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HugePages {
    /// Nothing is busy yet of `size` bytes at `base`.
    ///
    /// # Safety
    ///
    /// They are a mapping of our own that stays until [`HugePages::stop`] was called.
    pub unsafe fn new(base: *mut u8, size: u64) -> Self {
        // What is left at the end is no whole piece.
        HugePages { base: base as usize, uses: zeroed_u32((size / HUGE) as usize), work: Arc::default() }
    }

    /// A page of a TLB is about to be the one at `offset`.
    #[inline]
    pub fn note_use(&self, offset: u64) {
        let piece = (offset / HUGE) as usize;
        if let Some(n) = self.uses.get(piece)
            && n.load(Ordering::Relaxed) < BUSY
            && n.fetch_add(1, Ordering::Relaxed) + 1 == BUSY
        {
            self.make_huge(self.base + piece * HUGE as usize);
        }
    }

    /// The piece with a byte at `offset` has to be busy anew to be given a huge page.
    pub fn calm_down(&self, offset: u64) {
        if let Some(n) = self.uses.get((offset / HUGE) as usize) {
            n.store(0, Ordering::Relaxed);
        }
    }

    /// All pieces have.
    pub fn calm_all(&self) {
        self.uses.iter().for_each(|n| n.store(0, Ordering::Relaxed));
    }

    #[cold]
    fn make_huge(&self, at: usize) {
        let mut w = lock(&self.work);
        w.pieces.push(at);
        if w.running {
            return;
        }
        let work = self.work.clone();
        match std::thread::Builder::new().name("huge pages".into()).spawn(move || serve(&work)) {
            Ok(t) => (w.thread, w.running) = (Some(t), true),
            // It only costs time.
            Err(_) => w.pieces.clear(),
        }
    }

    /// Nothing is done to the mapping from the return on, if nobody notes a use.
    pub fn stop(&self) {
        let mut w = lock(&self.work);
        w.pieces.clear();
        let thread = w.thread.take();
        drop(w);
        if let Some(t) = thread {
            let _ = t.join();
        }
    }
}

fn serve(work: &Mutex<Work>) {
    loop {
        let mut w = lock(work);
        let Some(at) = w.pieces.pop() else {
            w.running = false;
            return;
        };
        drop(w);
        // SAFETY: advice about a part of our own mapping, which stays until this thread was joined; its contents stay
        // as they are. What the host refuses only costs time.
        unsafe { libc::madvise(at as *mut libc::c_void, HUGE as usize, libc::MADV_COLLAPSE) };
    }
}

#[cfg(test)]
mod tests {
    use crate::{GuestRam, PAGE_SIZE};

    use super::*;

    fn fill(ram: &GuestRam) {
        for page in 0..ram.size() / PAGE_SIZE {
            ram.write_u64_be(page * PAGE_SIZE, page + 1).expect("inside");
        }
    }

    #[test]
    fn busy_pieces_keep_what_is_in_them() {
        let ram = GuestRam::new(4 * HUGE + PAGE_SIZE).expect("memory");
        fill(&ram);
        for n in 0..BUSY as u64 + 5 {
            // The last one is of no whole piece.
            [0, HUGE, 3 * HUGE, 4 * HUGE, u64::MAX].iter().for_each(|&at| ram.huge.note_use(at ^ (n & 511)));
        }
        ram.huge.stop();
        assert!(lock(&ram.huge.work).pieces.is_empty());
        let uses = |k: usize| ram.huge.uses[k].load(Ordering::Relaxed);
        assert_eq!([uses(0), uses(1), uses(2), uses(3)], [BUSY, BUSY, 0, BUSY]);
        for page in 0..ram.size() / PAGE_SIZE {
            assert_eq!(ram.read_u64_be(page * PAGE_SIZE), Ok(page + 1));
        }
        ram.huge.calm_down(HUGE + 5);
        assert_eq!([uses(0), uses(1)], [BUSY, 0]);
    }

    #[test]
    fn memory_goes_while_pieces_are_made_huge() {
        for _ in 0..20 {
            let ram = GuestRam::new(16 * HUGE).expect("memory");
            fill(&ram);
            for _ in 0..BUSY {
                (0..16).for_each(|k| ram.huge.note_use(k * HUGE));
            }
        }
    }
}
