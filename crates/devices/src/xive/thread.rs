//! Thread contexts: the operating system's ring of the thread interrupt management area.
//!
//! Registers of the ring, one byte each from 0x10: NSR, CPPR, IPB, LSMFB, ACK_CNT, INC, AGE, PIPR. The
//! operating system may load them all and store CPPR. The quadwords of the other rings read as zero.

/// The bits of an address that say which operation it is.
pub(super) const OPERATION_MASK: u64 = 0xc3f;
/// Byte store: current priority.
pub(super) const CPPR: u64 = 0x11;
/// Halfword load: accept the most favoured pending interrupt and answer NSR and CPPR.
pub(super) const ACK: u64 = 0x810;
/// Byte store: make a priority pending.
pub(super) const SET_PENDING: u64 = 0x812;
/// Byte store: accept, and write the context to the reporting line.
pub(super) const ACK_TO_LINE: u64 = 0xc10;

/// NSR: an interrupt for the operating system is signalled.
const NSR_EO: u8 = 0x80;
/// Where the operating system's ring starts.
const RING: usize = 0x10;
/// A CPPR less favoured than all priorities, and the PIPR of nothing pending.
const LEAST_FAVOURED: u8 = 0xff;

/// Registers that serve groups of threads, in the state they have without any. AGE is not for the
/// operating system and reads as zero.
const LSMFB: u8 = 0xff;
const ACK_CNT: u8 = 0xff;
const INC: u8 = 0;
const AGE: u8 = 0;

#[derive(Clone, Copy)]
pub(super) struct Thread {
    pub cppr: u8,
    /// Pending priorities, 0 in the top bit.
    pub ipb: u8,
    /// Real address of the reporting cache line pair.
    pub report: Option<u64>,
    /// Level of the processor's external input as it was last told.
    pub line: bool,
}

impl Thread {
    pub fn new() -> Self {
        Thread { cppr: 0, ipb: 0, report: None, line: false }
    }

    /// Priority of the most favoured pending interrupt.
    fn pipr(&self) -> u8 {
        if self.ipb == 0 { LEAST_FAVOURED } else { self.ipb.leading_zeros() as u8 }
    }

    /// Whether an interrupt is pending that the current priority lets through.
    pub fn signals(&self) -> bool {
        self.pipr() < self.cppr
    }

    fn nsr(&self) -> u8 {
        if self.signals() { NSR_EO } else { 0 }
    }

    pub fn set_cppr(&mut self, cppr: u8) {
        self.cppr = if cppr < 8 { cppr } else { LEAST_FAVOURED };
    }

    pub fn set_pending(&mut self, priority: u8) {
        if priority < 8 {
            self.ipb |= 0x80 >> priority;
        }
    }

    /// Accepts what is signalled: its priority becomes the current one. Answers the NSR of before and the
    /// CPPR of after.
    fn acknowledge(&mut self) -> u16 {
        let nsr = self.nsr();
        if nsr != 0 {
            let priority = self.pipr();
            self.cppr = priority;
            self.ipb &= !(0x80 >> priority);
        }
        (nsr as u16) << 8 | self.cppr as u16
    }

    /// Accepts, and answers the context to report: 16 words, NSR and CPPR as [`Self::acknowledge`] says.
    pub fn acknowledge_to_line(&mut self) -> [u32; 16] {
        let [nsr, cppr] = self.acknowledge().to_be_bytes();
        let mut bytes = self.registers();
        bytes[RING] = nsr;
        bytes[RING + 1] = cppr;
        std::array::from_fn(|i| {
            u32::from_be_bytes([bytes[i * 4], bytes[i * 4 + 1], bytes[i * 4 + 2], bytes[i * 4 + 3]])
        })
    }

    fn registers(&self) -> [u8; 64] {
        let ring = [self.nsr(), self.cppr, self.ipb, LSMFB, ACK_CNT, INC, AGE, self.pipr()];
        let mut all = [0; 64];
        all[RING..RING + ring.len()].copy_from_slice(&ring);
        all
    }

    /// A load from the operating system's page.
    pub fn load(&mut self, offset: u64, size: u32) -> Option<u64> {
        let operation = offset & OPERATION_MASK;
        if operation & 0x800 != 0 {
            return (operation == ACK && size == 2).then(|| self.acknowledge() as u64);
        }
        let start = (offset & 0x3f) as usize;
        let aligned = matches!(size, 1 | 2 | 4 | 8) && start % size as usize == 0;
        if !aligned || start < RING {
            return None;
        }
        let all = self.registers();
        Some(all[start..start + size as usize].iter().fold(0, |value, &b| value << 8 | b as u64))
    }
}
