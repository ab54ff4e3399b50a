//! MSI-X (PCI Local Bus 3.0, 6.8.2): the table of messages and the bits of those that wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::Capability;
use crate::IrqLine;

/// Bus address of all messages; the data is the number of an interrupt source.
pub const MSI_ADDRESS: u64 = 0x400_0000_0000;

/// Identity of the capability.
const ID: u8 = 0x11;
/// Bits of the capability's control word.
const ENABLE: u16 = 1 << 15;
const MASK_ALL: u16 = 1 << 14;
/// Bytes of a row of the table.
const ROW: u64 = 16;
/// Most vectors: their table takes half a page.
pub const MAX_VECTORS: u16 = 128;
/// Offset of the bits of what waits.
const PENDING: u64 = 0x800;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    address: u64,
    data: u32,
    control: u32,
}

const FRESH: Row = Row { address: 0, data: 0, control: 1 };

struct Table {
    enabled: bool,
    masked: bool,
    rows: Vec<Row>,
    pending: u128,
    lines: Vec<IrqLine>,
}

/// The MSI-X side of a function. Table and bits stand in 4 KiB behind one base address register.
pub struct Msix {
    table: Mutex<Table>,
}

/// Saved form of a [`Msix`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MsixState {
    enabled: bool,
    masked: bool,
    rows: Vec<Row>,
    pending: u128,
    /// Interrupt sources that were given to the function.
    pub sources: Vec<u32>,
}

impl Msix {
    /// Bytes behind the base address register.
    pub const SIZE: u64 = 0x1000;

    /// So many vectors (1 to [`MAX_VECTORS`]).
    pub fn new(vectors: u16) -> Self {
        let rows = vec![FRESH; vectors.clamp(1, MAX_VECTORS) as usize];
        Msix {
            table: Mutex::new(Table { enabled: false, masked: false, rows, pending: 0, lines: Vec::new() }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of vectors.
    pub fn vectors(&self) -> u16 {
        self.lock().rows.len() as u16
    }

    /// The capability of a function whose table stands behind base address register `bar`.
    pub fn capability(&self, bar: usize) -> Capability {
        let mut body = vec![0; 10];
        body[..2].copy_from_slice(&(self.vectors() - 1).to_le_bytes());
        body[2..6].copy_from_slice(&(bar as u32).to_le_bytes());
        body[6..].copy_from_slice(&(PENDING as u32 | bar as u32).to_le_bytes());
        Capability { id: ID, body, writable: vec![0, ((ENABLE | MASK_ALL) >> 8) as u8] }
    }

    /// The capability's control word has this value now.
    pub fn set_control(&self, control: u16) {
        let mut t = self.lock();
        (t.enabled, t.masked) = (control & ENABLE != 0, control & MASK_ALL != 0);
        t.send_pending();
    }

    /// Whether the function signals by messages.
    pub fn enabled(&self) -> bool {
        self.lock().enabled
    }

    /// Gives interrupt sources to the vectors from 0 on and writes their messages. Those that were given before are
    /// returned.
    pub fn connect(&self, lines: Vec<IrqLine>) -> Vec<IrqLine> {
        let mut t = self.lock();
        for (row, line) in t.rows.iter_mut().zip(&lines) {
            (row.address, row.data) = (MSI_ADDRESS, line.lisn());
        }
        std::mem::replace(&mut t.lines, lines)
    }

    /// The interrupt source of a vector.
    pub fn source(&self, vector: u32) -> Option<u32> {
        self.lock().lines.get(vector as usize).map(IrqLine::lisn)
    }

    /// Signals a vector. False: messages are off, and the pin is to be used.
    pub fn signal(&self, vector: u16) -> bool {
        let mut t = self.lock();
        if !t.enabled {
            return false;
        }
        t.send(vector as usize);
        true
    }

    /// Loads 4 or 8 bytes of the table or of the bits; other sizes read as 0.
    pub fn load(&self, offset: u64, size: u8) -> u64 {
        match size {
            4 if offset % 4 == 0 => self.word(offset) as u64,
            8 if offset % 8 == 0 => self.word(offset) as u64 | (self.word(offset + 4) as u64) << 32,
            _ => 0,
        }
    }

    fn word(&self, offset: u64) -> u32 {
        let t = self.lock();
        if (PENDING..PENDING + 16).contains(&offset) {
            return (t.pending >> (8 * (offset - PENDING))) as u32;
        }
        let Some(row) = t.rows.get((offset / ROW) as usize) else { return 0 };
        match offset % ROW {
            0 => row.address as u32,
            4 => (row.address >> 32) as u32,
            8 => row.data,
            _ => row.control,
        }
    }

    /// Stores 4 or 8 bytes to the table.
    pub fn store(&self, offset: u64, value: u64, size: u8) {
        match size {
            4 if offset % 4 == 0 => self.set_word(offset, value as u32),
            8 if offset % 8 == 0 => {
                self.set_word(offset, value as u32);
                self.set_word(offset + 4, (value >> 32) as u32);
            }
            _ => {}
        }
    }

    fn set_word(&self, offset: u64, value: u32) {
        let mut t = self.lock();
        let Some(row) = t.rows.get_mut((offset / ROW) as usize) else { return };
        match offset % ROW {
            0 => row.address = row.address & !0xffff_ffff | (value & !3) as u64,
            4 => row.address = row.address & 0xffff_ffff | (value as u64) << 32,
            8 => row.data = value,
            _ => {
                row.control = value & 1;
                t.send_pending();
            }
        }
    }

    /// Back to power-on. The sources that were given are returned.
    pub fn reset(&self) -> Vec<IrqLine> {
        let mut t = self.lock();
        let Table { enabled, masked, rows, pending, lines } = &mut *t;
        (*enabled, *masked, *pending) = (false, false, 0);
        rows.fill(FRESH);
        std::mem::take(lines)
    }

    /// The state.
    pub fn save(&self) -> MsixState {
        let Table { enabled, masked, rows, pending, lines } = &*self.lock();
        MsixState {
            enabled: *enabled,
            masked: *masked,
            rows: rows.clone(),
            pending: *pending,
            sources: lines.iter().map(IrqLine::lisn).collect(),
        }
    }

    /// Takes a saved state over; `line` makes the line of a source that is claimed already.
    pub fn restore(&self, state: MsixState, line: &dyn Fn(u32) -> IrqLine) -> Result<(), String> {
        let MsixState { enabled, masked, rows, pending, sources } = state;
        let mut t = self.lock();
        if rows.len() != t.rows.len() || sources.len() > rows.len() {
            return Err("another number of interrupt vectors".into());
        }
        let lines = sources.into_iter().map(line).collect();
        *t = Table { enabled, masked, rows, pending, lines };
        Ok(())
    }
}

impl Table {
    fn send(&mut self, vector: usize) {
        let Some(&row) = self.rows.get(vector) else { return };
        if self.masked || row.control & 1 != 0 {
            self.pending |= 1 << vector;
            return;
        }
        self.pending &= !(1 << vector);
        // A message that the guest made up reaches only sources of this function.
        if row.address == MSI_ADDRESS
            && let Some(first) = self.lines.first()
            && let Some(line) = self.lines.get(row.data.wrapping_sub(first.lisn()) as usize)
        {
            line.pulse();
        }
    }

    fn send_pending(&mut self) {
        if !self.enabled || self.masked {
            return;
        }
        let mut left = self.pending;
        while left != 0 {
            let vector = left.trailing_zeros() as usize;
            left &= left - 1;
            self.send(vector);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::irq::{IrqKind, IrqSink};

    #[derive(Default)]
    struct Log(Mutex<Vec<u32>>);

    impl IrqSink for Log {
        fn pulse(&self, lisn: u32) {
            self.0.lock().unwrap().push(lisn);
        }
        fn set_level(&self, _: u32, _: bool) {}
    }

    #[test]
    fn masked_messages_wait_and_forged_ones_go_nowhere() {
        let log = Arc::new(Log::default());
        let line = |n| IrqLine::new(n, IrqKind::Msi, log.clone());
        let m = Msix::new(3);
        assert!(m.connect((0x1310..0x1313).map(line).collect()).is_empty());
        assert!(!m.signal(0));
        m.set_control(ENABLE | MASK_ALL);
        assert!(m.signal(1));
        assert_eq!(m.load(PENDING, 8), 2);
        m.set_control(ENABLE);
        assert_eq!(m.load(PENDING, 4), 2, "the row is masked");
        m.store(0x1c, 0, 4);
        assert_eq!(*log.0.lock().unwrap(), [0x1311]);
        assert_eq!(m.load(PENDING, 4), 0);
        // A vector may be given the message of another one, but no source of another function.
        m.store(0x18, 0x1310, 4);
        m.signal(1);
        m.store(0x18, 0x1300, 4);
        m.signal(1);
        m.store(0x10, 0x1000, 8);
        m.signal(1);
        m.signal(77);
        assert_eq!(*log.0.lock().unwrap(), [0x1311, 0x1310]);
        let saved = m.save();
        assert_eq!(m.reset().len(), 3);
        assert_ne!(m.save(), saved);
        m.restore(saved.clone(), &line).unwrap();
        assert_eq!(m.save(), saved);
        assert_eq!(m.source(2), Some(0x1312));
    }
}
