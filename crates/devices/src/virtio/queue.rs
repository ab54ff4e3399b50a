//! Split virtqueues (2.7), the device's side. Everything in them is the guest's: every address and number is checked,
//! and no walk is longer than the queue.

use std::sync::atomic::{Ordering, fence};

use mem::{GuestRam, OutOfRange, Pieces};
use serde::{Deserialize, Serialize};

/// Flags of a descriptor.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
/// Flag of the available ring: no interrupts, please.
const NO_INTERRUPT: u16 = 1;
/// Flag of the used ring: no notifications, please.
const NO_NOTIFY: u16 = 1;
/// Bytes of a descriptor.
const DESCRIPTOR: u64 = 16;
/// Most descriptors of a chain with an indirect table.
pub const MAX_CHAIN: u32 = 1024;
/// No MSI-X vector.
pub const NO_VECTOR: u16 = 0xffff;

/// The driver broke a rule; the queue cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the driver's queue is broken: {0}")]
pub struct Broken(pub &'static str);

impl From<OutOfRange> for Broken {
    fn from(_: OutOfRange) -> Self {
        Broken("an address outside of memory")
    }
}

/// A queue as the driver set it up, and how far the device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Most descriptors.
    pub max: u16,
    /// Descriptors, a power of two.
    pub size: u16,
    /// Whether the driver has enabled it.
    pub ready: bool,
    /// MSI-X vector or [`NO_VECTOR`].
    pub vector: u16,
    /// Real address of the descriptors.
    pub desc: u64,
    /// Real address of the available ring.
    pub avail: u64,
    /// Real address of the used ring.
    pub used: u64,
    /// VIRTIO_F_EVENT_IDX was agreed upon.
    pub event_idx: bool,
    /// VIRTIO_F_INDIRECT_DESC was agreed upon.
    pub indirect: bool,
    next_avail: u16,
    next_used: u16,
    /// `next_used` when the driver was interrupted last.
    signalled: u16,
    /// Chains taken and not given back.
    #[serde(skip)]
    pub out: u32,
}

/// A chain of descriptors as found.
pub struct Found {
    /// Its number.
    pub head: u16,
    /// What the device may read.
    pub readable: Pieces,
    /// What the device may write.
    pub writable: Pieces,
}

struct Descriptor {
    addr: u64,
    len: u32,
    flags: u16,
    next: u16,
}

fn descriptor(ram: &GuestRam, table: u64, n: u16) -> Result<Descriptor, Broken> {
    let mut b = [0; DESCRIPTOR as usize];
    let at = table.checked_add(n as u64 * DESCRIPTOR).ok_or(Broken("an address outside of memory"))?;
    ram.read(at, &mut b)?;
    let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = b;
    Ok(Descriptor {
        addr: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
        len: u32::from_le_bytes([l0, l1, l2, l3]),
        flags: u16::from_le_bytes([f0, f1]),
        next: u16::from_le_bytes([n0, n1]),
    })
}

impl Queue {
    /// A queue that is not set up.
    pub fn new(max: u16) -> Self {
        Queue {
            max,
            size: max,
            ready: false,
            vector: NO_VECTOR,
            desc: 0,
            avail: 0,
            used: 0,
            event_idx: false,
            indirect: false,
            next_avail: 0,
            next_used: 0,
            signalled: 0,
            out: 0,
        }
    }

    /// Whether it could be enabled with this size.
    pub fn good_size(&self) -> bool {
        self.size.is_power_of_two() && self.size <= self.max
    }

    fn slot(&self, n: u16) -> u64 {
        (n & (self.size - 1)) as u64
    }

    fn at(base: u64, offset: u64) -> u64 {
        // Past the end of the address space is outside of memory, which the access says.
        base.saturating_add(offset)
    }

    fn u16_at(ram: &GuestRam, base: u64, offset: u64) -> Result<u16, Broken> {
        Ok(ram.load_le(Self::at(base, offset), 2)? as u16)
    }

    /// Chains that wait.
    pub fn waiting(&self, ram: &GuestRam) -> Result<u16, Broken> {
        if !self.ready {
            return Ok(0);
        }
        let n = Self::u16_at(ram, self.avail, 2)?.wrapping_sub(self.next_avail);
        if n > self.size { Err(Broken("more chains than the queue has room for")) } else { Ok(n) }
    }

    /// Takes the next chain.
    pub fn pop(&mut self, ram: &std::sync::Arc<GuestRam>) -> Result<Option<Found>, Broken> {
        if self.waiting(ram)? == 0 {
            return Ok(None);
        }
        // Descriptors of a chain under way are the device's: there is no chain left that could be offered.
        if self.out >= self.size as u32 {
            return Err(Broken("more chains under way than the queue has room for"));
        }
        fence(Ordering::Acquire);
        let head = Self::u16_at(ram, self.avail, 4 + 2 * self.slot(self.next_avail))?;
        let found = self.walk(ram, head)?;
        self.next_avail = self.next_avail.wrapping_add(1);
        self.out += 1;
        Ok(Some(found))
    }

    /// Looks at the chains offered since `seen`, without taking them: tells memory of what may be written to it, and
    /// the caller of each.
    pub fn survey(
        &self,
        ram: &std::sync::Arc<GuestRam>,
        seen: &mut u16,
        each: &mut dyn FnMut(u16, &Found),
    ) -> Result<(), Broken> {
        if !self.ready {
            return Ok(());
        }
        let end = Self::u16_at(ram, self.avail, 2)?;
        if end.wrapping_sub(*seen) > self.size {
            return Err(Broken("more chains than the queue has room for"));
        }
        fence(Ordering::Acquire);
        while *seen != end {
            let head = Self::u16_at(ram, self.avail, 4 + 2 * self.slot(*seen))?;
            let found = self.walk(ram, head)?;
            found.writable.list().iter().for_each(|&(addr, len)| ram.written(addr, len));
            each(*seen & (self.size - 1), &found);
            *seen = seen.wrapping_add(1);
        }
        Ok(())
    }

    /// The next chain that nobody has taken.
    pub fn next(&self) -> u16 {
        self.next_avail
    }

    /// Puts the chain taken last back, as if it had not been taken.
    pub fn unpop(&mut self) {
        self.next_avail = self.next_avail.wrapping_sub(1);
        self.out = self.out.saturating_sub(1);
    }

    fn walk(&self, ram: &std::sync::Arc<GuestRam>, head: u16) -> Result<Found, Broken> {
        let mut found =
            Found { head, readable: Pieces::new(ram.clone()), writable: Pieces::new(ram.clone()) };
        let (mut table, mut count, mut n) = (self.desc, self.size as u32, head);
        let mut left = count;
        let mut indirect = false;
        loop {
            if n as u32 >= count {
                return Err(Broken("a descriptor beyond the table"));
            }
            left = left.checked_sub(1).ok_or(Broken("a chain that does not end"))?;
            let d = descriptor(ram, table, n)?;
            if d.flags & INDIRECT != 0 {
                let len = d.len;
                if indirect || !self.indirect || d.flags & (NEXT | WRITE) != 0 {
                    return Err(Broken("an indirect table where none may be"));
                }
                if len == 0 || len % DESCRIPTOR as u32 != 0 || len / DESCRIPTOR as u32 > MAX_CHAIN {
                    return Err(Broken("an indirect table of impossible size"));
                }
                (table, count, n, indirect) = (d.addr, len / DESCRIPTOR as u32, 0, true);
                left = count;
                continue;
            }
            if d.flags & WRITE != 0 {
                found.writable.push(d.addr, d.len as u64)?;
            } else if !found.writable.list().is_empty() {
                return Err(Broken("something to read behind something to write"));
            } else {
                found.readable.push(d.addr, d.len as u64)?;
            }
            if d.flags & NEXT == 0 {
                return Ok(found);
            }
            n = d.next;
        }
    }

    /// Gives chains back, numbers and how many bytes were written; the driver sees all of them at once.
    pub fn push(&mut self, ram: &GuestRam, chains: &[(u16, u32)]) -> Result<(), Broken> {
        self.out = self.out.saturating_sub(chains.len() as u32);
        if !self.ready {
            return Ok(());
        }
        for &(head, written) in chains {
            let at = Self::at(self.used, 4 + 8 * self.slot(self.next_used));
            ram.store_le(at, head as u64 | (written as u64) << 32, 8)?;
            self.next_used = self.next_used.wrapping_add(1);
        }
        fence(Ordering::Release);
        ram.store_le(Self::at(self.used, 2), self.next_used as u64, 2)?;
        Ok(())
    }

    /// Whether the driver wants to be interrupted for what was given back since it was last.
    pub fn wants_interrupt(&mut self, ram: &GuestRam) -> Result<bool, Broken> {
        if !self.ready {
            return Ok(false);
        }
        // The ring's index must be seen before the driver's wish is looked at.
        fence(Ordering::SeqCst);
        let (old, new) = (self.signalled, self.next_used);
        let wanted = if self.event_idx {
            let event = Self::u16_at(ram, self.avail, 4 + 2 * self.size as u64)?;
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            new != old && Self::u16_at(ram, self.avail, 0)? & NO_INTERRUPT == 0
        };
        self.signalled = new;
        Ok(wanted)
    }

    fn ask(&self, ram: &GuestRam, event: u16) -> Result<(), Broken> {
        if self.event_idx {
            ram.store_le(Self::at(self.used, 4 + 8 * self.size as u64), event as u64, 2)?;
        } else {
            ram.store_le(self.used, 0, 2)?;
        }
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Asks the driver to notify of the next chain. Answers whether one waits already.
    pub fn want_notify(&mut self, ram: &GuestRam) -> Result<bool, Broken> {
        if !self.ready {
            return Ok(false);
        }
        self.ask(ram, self.next_avail)?;
        Ok(self.waiting(ram)? != 0)
    }

    /// Asks the driver to notify when it adds to what is there. Answers whether it has done so meanwhile.
    pub fn want_more(&mut self, ram: &GuestRam) -> Result<bool, Broken> {
        if !self.ready {
            return Ok(false);
        }
        let there = self.waiting(ram)?;
        self.ask(ram, self.next_avail.wrapping_add(there))?;
        Ok(self.waiting(ram)? != there)
    }

    /// Asks the driver for no notifications, as far as that can be said.
    pub fn want_none(&mut self, ram: &GuestRam) -> Result<(), Broken> {
        if self.ready && !self.event_idx {
            ram.store_le(self.used, NO_NOTIFY as u64, 2)?;
        }
        Ok(())
    }
}
