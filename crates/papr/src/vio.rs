//! Virtual I/O adapters by their unit address, and their DMA windows, as hypercalls reach them (LoPAR chapter 17).

use crate::rc::{HResult, Rc};

/// The adapters of a partition. A method for an adapter that does not exist, or is of another kind, answers as LoPAR
/// says for a bad unit address: H_PARAMETER, which is what the default methods do.
pub trait VioBus: Send + Sync {
    /// H_VIO_SIGNAL: enables (mode 1) or disables (mode 0) an adapter's interrupt.
    fn signal(&self, _unit: u64, _mode: u64) -> HResult {
        Err(Rc::PARAMETER)
    }
    /// H_REG_CRQ: `len` bytes at the I/O address `queue` become the adapter's command queue.
    fn register_crq(&self, _unit: u64, _queue: u64, _len: u64) -> HResult {
        Err(Rc::PARAMETER)
    }
    /// H_FREE_CRQ.
    fn free_crq(&self, _unit: u64) -> HResult {
        Err(Rc::PARAMETER)
    }
    /// H_SEND_CRQ: one 16-byte message.
    fn send_crq(&self, _unit: u64, _message: [u64; 2]) -> HResult {
        Err(Rc::PARAMETER)
    }
    /// H_ENABLE_CRQ.
    fn enable_crq(&self, _unit: u64) -> HResult {
        Err(Rc::PARAMETER)
    }
}

/// A partition without adapters.
pub struct NoVio;

impl VioBus for NoVio {}
