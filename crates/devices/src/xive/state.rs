//! Saving and restoring.

use super::queue::Queue;
use super::source::Source;
use super::thread::Thread;
use super::{PRIORITIES, Xive};
use crate::{BadState, lock};
use device::irq::{IrqKind, lisn};
use serde::{Deserialize, Serialize};

/// Saved state of a [`Xive`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XiveState {
    /// Format, [`XiveState::VERSION`].
    pub version: u32,
    /// Claimed sources.
    pub sources: Vec<SourceState>,
    /// Queues that have a ring.
    pub queues: Vec<QueueState>,
    /// Threads by rising server number.
    pub threads: Vec<ThreadState>,
}

impl XiveState {
    /// The present format.
    pub const VERSION: u32 = 1;
}

/// Saved state of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Logical interrupt source number.
    pub lisn: u32,
    /// Level rather than edge.
    pub lsi: bool,
    /// P (2) and Q (1).
    pub pq: u8,
    /// The level.
    pub asserted: bool,
    /// Events are dropped.
    pub masked: bool,
    /// Interrupt server number.
    pub server: u32,
    /// Priority, 0 to 7.
    pub priority: u8,
    /// Event number.
    pub eisn: u32,
}

/// Saved state of one queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// Interrupt server number.
    pub server: u32,
    /// Priority, 0 to 7.
    pub priority: u8,
    /// Notify of every event.
    pub always_notify: bool,
    /// Real address of the ring.
    pub addr: u64,
    /// log2 of its size in bytes.
    pub shift: u8,
    /// Entry that is written next.
    pub index: u32,
    /// Its generation bit.
    pub generation: bool,
    /// P and Q of the notification.
    pub notify_pq: u8,
    /// P and Q of the escalation.
    pub escalate_pq: u8,
}

/// Saved state of one thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadState {
    /// Interrupt server number.
    pub server: u32,
    /// Current priority.
    pub cppr: u8,
    /// Pending priorities.
    pub ipb: u8,
    /// Reporting lines.
    pub report: Option<u64>,
}

impl Xive {
    /// What the guest can see and what is under way. The partition must not run.
    pub fn save(&self) -> XiveState {
        let server = |place: usize| self.servers.numbers().get(place).copied().unwrap_or(0);
        let sources = std::iter::zip(0.., &self.sources)
            .filter_map(|(number, source)| {
                let Source { kind, pq, asserted, masked, place, priority, eisn } = *lock(source);
                let (lsi, server) = (kind? == IrqKind::Lsi, server(place as usize));
                Some(SourceState { lisn: number, lsi, pq, asserted, masked, server, priority, eisn })
            })
            .collect();
        let queues = self
            .queues
            .iter()
            .enumerate()
            .filter_map(|(at, queue)| {
                let Queue { enabled, always_notify, addr, shift, index, generation, notify_pq, escalate_pq } =
                    *lock(queue);
                let (server, priority) = (server(at / PRIORITIES), (at % PRIORITIES) as u8);
                enabled.then_some(QueueState {
                    server,
                    priority,
                    always_notify,
                    addr,
                    shift,
                    index,
                    generation,
                    notify_pq,
                    escalate_pq,
                })
            })
            .collect();
        let threads = self
            .threads
            .iter()
            .enumerate()
            .map(|(place, thread)| {
                let Thread { cppr, ipb, report, line: _ } = *lock(thread);
                ThreadState { server: server(place), cppr, ipb, report }
            })
            .collect();
        XiveState { version: XiveState::VERSION, sources, queues, threads }
    }

    /// Takes over a saved state, also the claims, and sets the processors' lines to match. A state that is
    /// refused changes nothing. The partition must not run.
    pub fn restore(&self, state: XiveState) -> Result<(), BadState> {
        let XiveState { version, sources, queues, threads } = state;
        let bad = |reason: String| Err(BadState::new("XIVE", reason));
        if version != XiveState::VERSION {
            return bad(format!("version {version}"));
        }
        if !threads.iter().map(|t| t.server).eq(self.servers.numbers().iter().copied()) {
            return bad("it is for other interrupt servers".into());
        }
        let place = |server: u32| self.servers.place(server as u64);
        for s in &sources {
            let exists = s.lisn < lisn::END && (place(s.server).is_some() || self.servers.is_empty());
            if !exists || s.pq > 3 || s.priority as usize >= PRIORITIES || s.eisn >> 31 != 0 {
                return bad(format!("source {:#x} is out of range", s.lisn));
            }
        }
        for q in &queues {
            let fits = matches!(q.shift, 12 | 16 | 21 | 24) && q.index < 1 << (q.shift - 2);
            let pq = q.notify_pq.max(q.escalate_pq);
            if place(q.server).is_none()
                || q.priority as usize >= PRIORITIES
                || pq > 3
                || !fits
                || q.addr & ((1 << q.shift) - 1) != 0
            {
                return bad(format!("queue {}/{} is out of range", q.server, q.priority));
            }
        }
        for source in &self.sources {
            *lock(source) = Source::FREE;
        }
        for s in sources {
            let SourceState { lisn, lsi, pq, asserted, masked, server, priority, eisn } = s;
            let kind = Some(if lsi { IrqKind::Lsi } else { IrqKind::Msi });
            let place = place(server).unwrap_or(0) as u16;
            *lock(&self.sources[lisn as usize]) =
                Source { kind, pq, asserted, masked, place, priority, eisn };
        }
        for queue in &self.queues {
            *lock(queue) = Queue::RESET;
        }
        for q in queues {
            let QueueState {
                server,
                priority,
                always_notify,
                addr,
                shift,
                index,
                generation,
                notify_pq,
                escalate_pq,
            } = q;
            let at = place(server).unwrap_or(0) * PRIORITIES + priority as usize;
            *lock(&self.queues[at]) = Queue {
                enabled: true,
                always_notify,
                addr,
                shift,
                index,
                generation,
                notify_pq,
                escalate_pq,
            };
        }
        for (place, t) in threads.into_iter().enumerate() {
            let ThreadState { server: _, cppr, ipb, report } = t;
            self.with_thread(place, |t| {
                *t = Thread { cppr, ipb, report, line: t.line };
            });
        }
        Ok(())
    }
}
