//! A device's view of its partition's memory: I/O addresses behind a window (LoPAR 14.5.4.2, translation control
//! entries), or real addresses where there is no window.

use mem::Pieces;

/// The window does not map an address, or not for this access, or maps it to where there is no memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the I/O address {0:#x} is not mapped for this access")]
pub struct DmaFault(pub u64);

/// What a device wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DmaAccess {
    /// The device reads memory.
    Read,
    /// The device writes memory.
    Write,
}

/// One space of I/O addresses. A mapping may change at any time; what was looked up before stays good for the request
/// in hand, as on hardware.
pub trait DmaSpace: Send + Sync {
    /// The memory behind `len` bytes at the I/O address `ioba`, all of which must be mapped for the access.
    fn map(&self, ioba: u64, len: u64, access: DmaAccess) -> Result<Pieces, DmaFault>;

    /// Whether all of a range is mapped for the access.
    fn allows(&self, ioba: u64, len: u64, access: DmaAccess) -> bool {
        self.map(ioba, len, access).is_ok()
    }

    /// Copies out of memory.
    fn read(&self, ioba: u64, out: &mut [u8]) -> Result<(), DmaFault> {
        self.map(ioba, out.len() as u64, DmaAccess::Read)?.read(0, out);
        Ok(())
    }

    /// Copies into memory.
    fn write(&self, ioba: u64, data: &[u8]) -> Result<(), DmaFault> {
        self.map(ioba, data.len() as u64, DmaAccess::Write)?.write(0, data);
        Ok(())
    }
}
