//! Interrupts as values.

/// Interrupt vectors (Book III, 7.5), by offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Vector {
    SystemReset = 0x100,
    MachineCheck = 0x200,
    Dsi = 0x300,
    DataSegment = 0x380,
    Isi = 0x400,
    InstructionSegment = 0x480,
    External = 0x500,
    Alignment = 0x600,
    Program = 0x700,
    FpUnavailable = 0x800,
    Decrementer = 0x900,
    PrivilegedDoorbell = 0xa00,
    SystemCall = 0xc00,
    Trace = 0xd00,
    PerformanceMonitor = 0xf00,
    VectorUnavailable = 0xf20,
    VsxUnavailable = 0xf40,
    FacilityUnavailable = 0xf60,
    SystemCallVectored = 0x3000,
}

impl Vector {
    /// Whether SRR1 says that the instruction that caused the interrupt is prefixed: those that an instruction causes
    /// by itself, but for system calls and fetches.
    pub fn tells_prefix(self) -> bool {
        matches!(
            self,
            Vector::Dsi
                | Vector::DataSegment
                | Vector::Alignment
                | Vector::Program
                | Vector::FpUnavailable
                | Vector::VectorUnavailable
                | Vector::VsxUnavailable
                | Vector::FacilityUnavailable
                | Vector::Trace
        )
    }
}

/// An interrupt to be delivered, with everything it writes besides SRR0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which interrupt.
    pub vector: Vector,
    /// Bits to set in SRR1 (only those of [`crate::msr::srr1::DEFINED`]).
    pub srr1: u64,
    /// New DAR, where the interrupt sets it.
    pub dar: Option<u64>,
    /// New DSISR, where the interrupt sets it.
    pub dsisr: Option<u32>,
}

impl Fault {
    /// An interrupt that sets nothing but SRR0 and SRR1.
    pub const fn plain(vector: Vector) -> Self {
        Fault { vector, srr1: 0, dar: None, dsisr: None }
    }
    /// A program interrupt with its SRR1 bit.
    pub const fn program(srr1: u64) -> Self {
        Fault { vector: Vector::Program, srr1, dar: None, dsisr: None }
    }
}
