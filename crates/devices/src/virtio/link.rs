//! What a device shares with its transport: queues, memory, interrupts.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use device::pci::{Intx, Msix, command};
use mem::{GuestRam, Pieces};

use super::queue::{Broken, Found, NO_VECTOR, Queue};
use super::status;
use crate::lock;

/// Bits of the interrupt status register (4.1.4.5).
const ISR_QUEUE: u8 = 1;
const ISR_CONFIG: u8 = 2;

/// The shared part of one device.
pub struct Link {
    /// The partition's memory.
    pub ram: Arc<GuestRam>,
    pub(super) queues: Vec<Mutex<Queue>>,
    /// Signalled when a queue that is being stopped has all its chains back.
    idle: Condvar,
    pub(super) features: AtomicU64,
    pub(super) status: AtomicU8,
    pub(super) running: AtomicBool,
    pub(super) generation: AtomicU8,
    pub(super) config_vector: AtomicU16,
    pub(super) isr: AtomicU8,
    pub(super) msix: Msix,
    pub(super) header: device::pci::Header,
    intx: Intx,
    complained: AtomicBool,
}

/// A chain that was taken out of a queue. It goes back when dropped, too, with nothing written.
pub struct Chain {
    link: Arc<Link>,
    queue: u16,
    head: u16,
    /// What the device may read.
    pub readable: Pieces,
    /// What the device may write.
    pub writable: Pieces,
    given_back: bool,
}

/// A queue as the driver laid it out: number of descriptors, real addresses, and the next chain.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Descriptors.
    pub size: u16,
    /// Their table.
    pub desc: u64,
    /// Available ring.
    pub avail: u64,
    /// Used ring.
    pub used: u64,
    /// Number of the next chain.
    pub next: u16,
}

/// What [`Link::take`] found.
pub enum Taken {
    /// Chains with enough room.
    Chains(Vec<Chain>),
    /// As many chains as may be taken have too little room.
    TooSmall,
    /// The driver has not offered enough yet.
    None,
}

impl Link {
    pub(super) fn new(
        ram: Arc<GuestRam>,
        sizes: &[u16],
        msix: Msix,
        header: device::pci::Header,
        intx: Intx,
    ) -> Self {
        Link {
            ram,
            queues: sizes.iter().map(|&n| Mutex::new(Queue::new(n))).collect(),
            idle: Condvar::new(),
            features: AtomicU64::new(0),
            status: AtomicU8::new(0),
            running: AtomicBool::new(false),
            generation: AtomicU8::new(0),
            config_vector: AtomicU16::new(NO_VECTOR),
            isr: AtomicU8::new(0),
            msix,
            header,
            intx,
            complained: AtomicBool::new(false),
        }
    }

    /// The features agreed upon.
    pub fn features(&self) -> u64 {
        self.features.load(Ordering::Acquire)
    }

    /// Whether the driver is ready and has not broken anything.
    pub fn running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Number of queues.
    pub fn queue_count(&self) -> usize {
        self.queues.len()
    }

    pub(super) fn queue(&self, n: usize) -> Option<MutexGuard<'_, Queue>> {
        self.queues.get(n).map(lock)
    }

    /// What a look at a queue says; a broken one stops the device.
    fn judged<T>(&self, r: Result<T, Broken>) -> Option<T> {
        match r {
            Ok(v) => Some(v),
            Err(e) => {
                self.broken(e);
                None
            }
        }
    }

    /// Takes the next chain out of a queue.
    pub fn pop(self: &Arc<Self>, n: usize) -> Option<Chain> {
        if !self.running() {
            return None;
        }
        let found = self.queue(n)?.pop(&self.ram);
        let f = self.judged(found)??;
        Some(self.chain(n, f))
    }

    fn chain(self: &Arc<Self>, n: usize, f: Found) -> Chain {
        let Found { head, readable, writable } = f;
        Chain { link: self.clone(), queue: n as u16, head, readable, writable, given_back: false }
    }

    /// Whether a queue has a chain.
    pub fn has(&self, n: usize) -> bool {
        if !self.running() {
            return false;
        }
        let Some(q) = self.queue(n) else { return false };
        let waiting = q.waiting(&self.ram);
        drop(q);
        self.judged(waiting).is_some_and(|w| w != 0)
    }

    fn ask<T>(&self, n: usize, what: impl FnOnce(&mut Queue, &GuestRam) -> Result<T, Broken>) -> Option<T> {
        if !self.running() {
            return None;
        }
        let mut q = self.queue(n)?;
        let answer = what(&mut q, &self.ram);
        drop(q);
        self.judged(answer)
    }

    /// Asks the driver to notify of the next chain. Answers whether one waits already.
    pub fn want_notify(&self, n: usize) -> bool {
        self.ask(n, Queue::want_notify).unwrap_or(false)
    }

    /// Asks the driver to notify when it adds to what is there. Answers whether it has done so meanwhile.
    pub fn want_more(&self, n: usize) -> bool {
        self.ask(n, Queue::want_more).unwrap_or(false)
    }

    /// Asks the driver for no notifications: the queue is being looked at.
    pub fn want_none(&self, n: usize) {
        self.ask(n, Queue::want_none);
    }

    /// Puts the chain taken last back; nobody may have taken another since.
    fn put_back(&self, n: usize) {
        let Some(mut q) = self.queue(n) else { return };
        if q.ready {
            q.unpop();
        } else {
            q.out = q.out.saturating_sub(1);
            if q.out == 0 {
                self.idle.notify_all();
            }
        }
    }

    /// Takes chains out of a queue until they have room for `len` bytes, `most` chains at most. All or none.
    pub fn take(self: &Arc<Self>, n: usize, len: u64, most: usize) -> Taken {
        if !self.running() {
            return Taken::None;
        }
        let Some(mut q) = self.queue(n) else { return Taken::None };
        let (mut found, mut room) = (Vec::new(), 0);
        let missed = loop {
            if room >= len {
                break None;
            }
            if found.len() == most {
                break Some(Ok(Taken::TooSmall));
            }
            match q.pop(&self.ram) {
                Ok(Some(f)) => {
                    room += f.writable.len();
                    found.push(f);
                }
                Ok(None) => break Some(Ok(Taken::None)),
                Err(e) => break Some(Err(e)),
            }
        };
        if let Some(why) = missed {
            found.iter().for_each(|_| q.unpop());
            drop(q);
            return self.judged(why).unwrap_or(Taken::None);
        }
        drop(q);
        Taken::Chains(found.into_iter().map(|f| self.chain(n, f)).collect())
    }

    /// Gives back what [`Link::take`] took, with the bytes written to each. The interrupt is left to [`Link::signal`].
    pub fn complete_together(&self, chains: Vec<Chain>, written: &[u32]) {
        let Some(queue) = chains.first().map(|c| c.queue) else { return };
        let list: Vec<(u16, u32)> = chains.iter().zip(written).map(|(c, &n)| (c.head, n)).collect();
        if list.len() == chains.len() {
            chains.into_iter().for_each(|mut c| c.given_back = true);
            self.give_back(queue as usize, &list, false);
        }
    }

    /// Gives chains of one queue back together: number and bytes written.
    fn give_back(&self, n: usize, chains: &[(u16, u32)], signal: bool) {
        let Some(mut q) = self.queue(n) else { return };
        let result = q.push(&self.ram, chains);
        let wanted = result.and_then(|()| if signal { q.wants_interrupt(&self.ram) } else { Ok(false) });
        let vector = q.vector;
        if q.out == 0 && !q.ready {
            self.idle.notify_all();
        }
        drop(q);
        if self.judged(wanted) == Some(true) {
            self.interrupt(vector, ISR_QUEUE);
        }
    }

    /// Where a queue that is enabled stands, for somebody else to serve it.
    pub fn layout(&self, n: usize) -> Option<Layout> {
        let q = self.queue(n)?;
        let Queue { size, desc, avail, used, .. } = *q;
        q.ready.then(|| Layout { size, desc, avail, used, next: q.next() })
    }

    /// Looks at what the driver has offered since `seen` (see [`Queue::survey`]): the slot in the ring and the chain.
    pub fn survey(&self, n: usize, seen: &mut u16, each: &mut dyn FnMut(u16, &Found)) {
        self.ask(n, |q, _| q.survey(&self.ram, seen, each));
    }

    /// Interrupts the driver because somebody else has given chains of a queue back.
    pub fn interrupt_queue(&self, n: usize) {
        let Some(vector) = self.queue(n).map(|q| q.vector) else { return };
        if self.running() {
            self.interrupt(vector, ISR_QUEUE);
        }
    }

    /// Interrupts the driver if it wants to hear of what was given back quietly.
    pub fn signal(&self, n: usize) {
        let Some(mut q) = self.queue(n) else { return };
        let (wanted, vector) = (q.wants_interrupt(&self.ram), q.vector);
        drop(q);
        if self.judged(wanted) == Some(true) {
            self.interrupt(vector, ISR_QUEUE);
        }
    }

    fn interrupt(&self, vector: u16, bit: u8) {
        if vector != NO_VECTOR && self.msix.signal(vector) || self.msix.enabled() {
            return;
        }
        self.isr.fetch_or(bit, Ordering::SeqCst);
        self.show_pin();
    }

    /// Drives the interrupt pin as the interrupt status register and the command register say.
    pub(super) fn show_pin(&self) {
        let pending = self.isr.load(Ordering::SeqCst) != 0;
        self.header.show_interrupt(pending);
        self.intx.set(pending && self.header.command() & command::NO_INTX == 0);
    }

    /// The configuration is another one: tells the driver.
    pub fn config_changed(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        if self.status.load(Ordering::SeqCst) & status::DRIVER_OK != 0 {
            self.interrupt(self.config_vector.load(Ordering::SeqCst), ISR_CONFIG);
        }
    }

    /// The driver broke a rule: nothing is done any more until it resets the device.
    pub fn broken(&self, why: Broken) {
        if self.running.swap(false, Ordering::SeqCst) {
            // Once is enough: the guest can do it again and again.
            if !self.complained.swap(true, Ordering::SeqCst) {
                tracing::warn!("virtio device {:#x}: {why}", self.header.read(device::pci::reg::DEVICE, 2));
            }
            self.status.fetch_or(status::NEEDS_RESET, Ordering::SeqCst);
            self.interrupt(self.config_vector.load(Ordering::SeqCst), ISR_CONFIG);
        }
    }

    /// Stops all queues and waits for the chains that were taken out of them.
    pub(super) fn stop_queues(&self) {
        for q in &self.queues {
            let mut q = lock(q);
            q.ready = false;
            while q.out > 0 {
                q = self.idle.wait(q).unwrap_or_else(PoisonError::into_inner);
            }
            *q = Queue::new(q.max);
        }
    }

    /// Waits until all chains are back; nobody takes any.
    pub(super) fn settle(&self) {
        for q in &self.queues {
            while lock(q).out > 0 {
                // Only for saving: requests end by themselves soon.
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
    }
}

impl Chain {
    /// Puts the chain back as if it had not been taken. It must be the last that was taken from its queue.
    pub fn put_back(mut self) {
        self.given_back = true;
        self.link.put_back(self.queue as usize);
    }

    /// Gives the chain back with so many bytes written, and interrupts the driver if it wants that.
    pub fn complete(mut self, written: u32) {
        self.given_back = true;
        self.link.give_back(self.queue as usize, &[(self.head, written)], true);
    }

    /// The same, but the interrupt is left to [`Link::signal`].
    pub fn complete_quietly(mut self, written: u32) {
        self.given_back = true;
        self.link.give_back(self.queue as usize, &[(self.head, written)], false);
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if !self.given_back {
            self.link.give_back(self.queue as usize, &[(self.head, 0)], true);
        }
    }
}
