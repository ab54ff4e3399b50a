//! Disks as devices see them: a size, and requests that are carried out elsewhere and answer when they are done.
//! What lies behind one (a raw file, qcow2, ...) stands in a file of its own.
#![forbid(unsafe_code)]

pub mod image;
pub mod overlay;
pub mod pool;
pub mod qcow2;
mod qcow2_check;
pub mod qcow2_write;
pub mod raw;
#[cfg(test)]
mod testing;

use mem::Pieces;

pub use image::Format;
pub use overlay::Overlay;
pub use qcow2::Qcow2;
pub use raw::Raw;

/// Bytes of a sector: the unit of sizes, and what every request is a multiple of.
pub const SECTOR: u64 = 512;

/// Why a request failed, as far as a guest can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IoError {
    /// Beyond the end, or not a multiple of a sector.
    #[error("the request lies outside the disk")]
    OutOfRange,
    /// The disk cannot be written.
    #[error("the disk is read-only")]
    ReadOnly,
    /// The host has no room left.
    #[error("no space left on the host")]
    NoSpace,
    /// The disk does not know this request.
    #[error("the disk cannot do that")]
    Unsupported,
    /// The host failed, with its error number.
    #[error("the host failed: error {0}")]
    Host(i32),
}

impl From<std::io::Error> for IoError {
    fn from(e: std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => IoError::NoSpace,
            _ => IoError::Host(e.raw_os_error().unwrap_or(5)),
        }
    }
}

/// One request. Offsets and lengths are bytes, multiples of [`SECTOR`].
pub enum Op {
    /// Disk to memory, as many bytes as the pieces have.
    Read {
        /// Where on the disk.
        offset: u64,
        /// Where to.
        into: Pieces,
    },
    /// Memory to disk.
    Write {
        /// Where on the disk.
        offset: u64,
        /// Where from.
        from: Pieces,
    },
    /// Everything whose completion was told before this was submitted is on stable storage when this completes.
    Flush,
    /// The range's contents are no longer needed; they read as zeros or as before.
    Discard {
        /// Start.
        offset: u64,
        /// Length.
        len: u64,
    },
    /// The range reads as zeros; the host may take the space back if `unmap`.
    WriteZeroes {
        /// Start.
        offset: u64,
        /// Length.
        len: u64,
        /// Whether space may be given back.
        unmap: bool,
    },
}

/// Called once when a request has ended: on a thread of the disk's, or on the caller's before `submit` returns. So
/// nobody holds a lock over `submit` that this takes.
pub type Done = Box<dyn FnOnce(Result<(), IoError>) + Send>;

/// A disk.
pub trait Disk: Send + Sync {
    /// Size in bytes, a multiple of [`SECTOR`].
    fn size(&self) -> u64;
    /// Whether writing is refused.
    fn read_only(&self) -> bool;
    /// Starts a request and returns at once; `done` hears of its end, also if it is refused. Requests may overtake
    /// each other.
    fn submit(&self, op: Op, done: Done);
    /// Reads now, on the caller's thread (firmware, partition tables).
    fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError>;
    /// Waits until no request is under way.
    fn drain(&self);
}

/// What a disk does with the host's page cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cache {
    /// Writes are done when the host's cache has them; flushes make them stable.
    #[default]
    Writeback,
    /// Every write is stable when it is done.
    Writethrough,
    /// Past the host's page cache where it lets us; flushes are still needed.
    None,
    /// Flushes do nothing: for what may be lost.
    Unsafe,
}

/// Refuses a request that a disk of `size` bytes cannot carry out.
pub fn refuse(op: &Op, size: u64, read_only: bool) -> Result<(), IoError> {
    let (offset, len, writes) = match op {
        Op::Read { offset, into } => (*offset, into.len(), false),
        Op::Write { offset, from } => (*offset, from.len(), true),
        Op::Flush => (0, 0, false),
        Op::Discard { offset, len } | Op::WriteZeroes { offset, len, .. } => (*offset, *len, true),
    };
    if writes && read_only {
        return Err(IoError::ReadOnly);
    }
    check_range(size, offset, len)
}

/// Refuses what lies outside a disk of `size` bytes or is not a multiple of a sector.
pub fn check_range(size: u64, offset: u64, len: u64) -> Result<(), IoError> {
    let inside = len <= size && offset <= size - len;
    if inside && offset % SECTOR == 0 && len % SECTOR == 0 { Ok(()) } else { Err(IoError::OutOfRange) }
}
