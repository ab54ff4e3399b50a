//! Event queues: rings of 32-bit entries in guest memory.

use super::GuestMemory;
use super::source::{Load, PQ_OFF, end, trigger};

/// The queue of a server and a priority.
#[derive(Clone, Copy)]
pub(super) struct Queue {
    /// Whether there is a ring.
    pub enabled: bool,
    /// Notify the thread of every event rather than once until the guest ends the notification.
    pub always_notify: bool,
    /// Real address of the ring, a multiple of its size.
    pub addr: u64,
    /// log2 of the ring's size in bytes.
    pub shift: u8,
    /// Entry that is written next.
    pub index: u32,
    /// The top bit of the entries of this round.
    pub generation: bool,
    /// P and Q of the notification.
    pub notify_pq: u8,
    /// P and Q of the escalation, which nothing triggers.
    pub escalate_pq: u8,
}

impl Queue {
    pub const RESET: Queue = Queue {
        enabled: false,
        always_notify: false,
        addr: 0,
        shift: 0,
        index: 0,
        generation: false,
        notify_pq: PQ_OFF,
        escalate_pq: PQ_OFF,
    };

    /// Writes an event into the ring; answers whether to notify the thread.
    pub fn accept(&mut self, eisn: u32, memory: &dyn GuestMemory) -> bool {
        if !self.enabled {
            return false;
        }
        let entry = (self.generation as u32) << 31 | eisn;
        // The memory was there when the queue was set; if the guest gave it away since, the event has no
        // place to go, as on hardware.
        let _ = memory.write_u32_be(self.addr + self.index as u64 * 4, entry);
        self.index = (self.index + 1) & ((1 << (self.shift - 2)) - 1);
        self.generation ^= self.index == 0;
        self.always_notify || trigger(&mut self.notify_pq)
    }

    /// A load from one of the two ESB pages: the value, and whether to notify the thread.
    pub fn load(&mut self, offset: u64) -> Option<(u64, bool)> {
        if !self.enabled {
            return None;
        }
        let is_escalation = offset >> super::PAGE_SHIFT & 1 != 0;
        let pq = if is_escalation { &mut self.escalate_pq } else { &mut self.notify_pq };
        Some(match Load::decode(offset) {
            Load::End => {
                let again = end(pq);
                (again as u64, again && !is_escalation)
            }
            Load::Get => (*pq as u64, false),
            Load::Set(new) => (std::mem::replace(pq, new) as u64, false),
        })
    }
}
