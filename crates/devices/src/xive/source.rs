//! Interrupt sources: the state bits P and Q, and the assignment to a queue.

use device::irq::IrqKind;

/// P and Q clear: nothing sent.
pub const PQ_RESET: u8 = 0b00;
/// Only Q set: the source is off, events are dropped.
pub const PQ_OFF: u8 = 0b01;
/// Only P set: an event was sent and not ended.
pub const PQ_PENDING: u8 = 0b10;
/// Both set: another event came before the first was ended.
pub const PQ_QUEUED: u8 = 0b11;

/// Takes an event; answers whether to send it on.
pub(super) fn trigger(pq: &mut u8) -> bool {
    let (next, send) = match *pq {
        PQ_RESET => (PQ_PENDING, true),
        PQ_OFF => (PQ_OFF, false),
        _ => (PQ_QUEUED, false),
    };
    *pq = next;
    send
}

/// Ends an event; answers whether the one that came meanwhile is to be sent.
pub(super) fn end(pq: &mut u8) -> bool {
    let (next, send) = match *pq {
        PQ_QUEUED => (PQ_PENDING, true),
        PQ_OFF => (PQ_OFF, false),
        _ => (PQ_RESET, false),
    };
    *pq = next;
    send
}

/// What a load from a management page does, by the low 12 bits of its address.
pub(super) enum Load {
    End,
    Get,
    Set(u8),
}

impl Load {
    pub(super) fn decode(offset: u64) -> Load {
        match offset & 0xfff {
            0..0x800 => Load::End,
            0x800..0xc00 => Load::Get,
            at => Load::Set((at >> 8) as u8 & 0b11),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Source {
    /// `None`: not claimed.
    pub kind: Option<IrqKind>,
    pub pq: u8,
    /// Level of a level source.
    pub asserted: bool,
    /// Events are dropped on their way to the queue.
    pub masked: bool,
    /// Place of the server in the tables.
    pub place: u16,
    /// Priority, less than 8.
    pub priority: u8,
    /// What is written into the queue, 31 bits.
    pub eisn: u32,
}

impl Source {
    pub const FREE: Source =
        Source { kind: None, pq: PQ_OFF, asserted: false, masked: true, place: 0, priority: 0, eisn: 0 };

    /// A source as it is when it has just been claimed.
    pub fn claimed(number: u32, kind: IrqKind) -> Source {
        Source { kind: Some(kind), eisn: number, ..Source::FREE }
    }

    /// An event on an edge source; answers whether to send it on.
    pub fn trigger(&mut self) -> bool {
        trigger(&mut self.pq)
    }

    /// Looks at a level source's level; answers whether to send an event on.
    pub fn sample(&mut self) -> bool {
        self.kind == Some(IrqKind::Lsi) && self.asserted && self.pq == PQ_RESET && self.trigger()
    }

    fn end(&mut self) -> bool {
        let again = end(&mut self.pq);
        self.sample() || again
    }

    /// A load from the management page: the value, and whether to send an event on.
    pub fn load(&mut self, offset: u64) -> Option<(u64, bool)> {
        Some(match Load::decode(offset) {
            Load::End => {
                let again = self.end();
                (again as u64, again)
            }
            Load::Get => (self.pq as u64, false),
            Load::Set(pq) => {
                let old = std::mem::replace(&mut self.pq, pq);
                (old as u64, self.sample())
            }
        })
    }

    /// A store to the management page; answers whether to send an event on.
    pub fn store(&mut self, offset: u64) -> bool {
        match offset & 0xfff {
            0..0x400 => self.kind == Some(IrqKind::Msi) && self.trigger(),
            0x400..0x800 => self.end(),
            0x800..0xc00 => false,
            at => {
                self.pq = (at >> 8) as u8 & 0b11;
                self.sample()
            }
        }
    }
}
