//! Non-volatile memory (LoPAR, "NVRAM" and RTAS `nvram-fetch` and `nvram-store`), kept in a host file or
//! only as long as the partition.
//!
//! The contents are a row of partitions with 16-byte headers: signature, checksum, length in units of 16
//! bytes (big-endian), name. Blank contents are given a `common` partition for the firmware's variables and
//! one of free space, in which operating systems make their own.

use crate::rc::{RtasError, RtasResult};
use crate::{BadState, lock};
use device::{DeviceTree, NodeId};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Size in bytes of a memory that is made new.
pub const DEFAULT_SIZE: usize = 64 << 10;
/// Smallest size of a file that is accepted, in bytes.
pub const MIN_SIZE: usize = 8 << 10;
/// Largest size, in bytes.
pub const MAX_SIZE: usize = 1 << 20;
/// Unit address on the virtual I/O bus.
pub const UNIT: u32 = 0x7100_0001;

const HEADER: usize = 16;
const SIGNATURE_SYSTEM: u8 = 0x70;
const SIGNATURE_FREE: u8 = 0x7f;
/// Size of the `common` partition.
const COMMON_SIZE: usize = 4 << 10;

/// Why a file cannot be the non-volatile memory.
#[derive(Debug, thiserror::Error)]
pub enum NvramError {
    /// It cannot be opened or made.
    #[error("cannot open NVRAM file {path}: {error}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It may only be read.
    #[error("NVRAM file {0} is read-only")]
    ReadOnly(PathBuf),
    /// Another partition has it.
    #[error("NVRAM file {0} is in use by another partition")]
    InUse(PathBuf),
    /// It is not a file.
    #[error("NVRAM path {0} is not a regular file")]
    NotAFile(PathBuf),
    /// Its size fits no non-volatile memory.
    #[error("NVRAM file {path} has {size} bytes; it must have a multiple of 16 from 8K to 1M")]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// It cannot be read or written.
    #[error("cannot access NVRAM file {path}: {error}")]
    Access {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A partition's non-volatile memory.
#[derive(Debug)]
pub struct Nvram {
    size: usize,
    contents: Mutex<Contents>,
}

#[derive(Debug)]
struct Contents {
    bytes: Vec<u8>,
    file: Option<File>,
}

impl Nvram {
    /// A new memory of [`DEFAULT_SIZE`] that no file keeps.
    pub fn volatile() -> Self {
        let mut bytes = vec![0; DEFAULT_SIZE];
        format(&mut bytes);
        Nvram { size: bytes.len(), contents: Mutex::new(Contents { bytes, file: None }) }
    }

    /// The memory that a file keeps. A file that is missing or empty is made with [`DEFAULT_SIZE`]; one
    /// that is blank (all zeros or all ones) is given its partitions; any other is taken as it is. The
    /// file is locked against a second partition.
    pub fn open(path: &Path) -> Result<Self, NvramError> {
        let named = || path.to_path_buf();
        let access = |error| NvramError::Access { path: named(), error };
        if let Ok(meta) = std::fs::metadata(path) {
            if !meta.is_file() {
                return Err(NvramError::NotAFile(named()));
            }
            // Who may do everything may also write to it, but was told not to.
            if meta.permissions().readonly() {
                return Err(NvramError::ReadOnly(named()));
            }
        }
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => NvramError::ReadOnly(named()),
            _ => NvramError::Open { path: named(), error },
        })?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
            rustix::io::Errno::WOULDBLOCK => NvramError::InUse(named()),
            e => access(e.into()),
        })?;
        let length = file.metadata().map_err(access)?.len();
        let size = match usize::try_from(length) {
            Ok(0) => DEFAULT_SIZE,
            Ok(size) if (MIN_SIZE..=MAX_SIZE).contains(&size) && size % HEADER == 0 => size,
            _ => return Err(NvramError::Size { path: named(), size: length }),
        };
        let mut bytes = vec![0; size];
        if length != 0 {
            file.read_exact_at(&mut bytes, 0).map_err(access)?;
        }
        if bytes.iter().all(|&b| b == 0) || bytes.iter().all(|&b| b == 0xff) {
            format(&mut bytes);
            file.write_all_at(&bytes, 0).map_err(access)?;
        }
        Ok(Nvram { size, contents: Mutex::new(Contents { bytes, file: Some(file) }) })
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// `nvram-fetch`: `len` bytes from `offset`, at most all there are. Out of range: a parameter error.
    pub fn fetch(&self, offset: u32, len: u32) -> RtasResult<Vec<u8>> {
        let range = self.range(offset, len as usize)?;
        Ok(lock(&self.contents).bytes[range].to_vec())
    }

    /// `nvram-store`: stores bytes from `offset`. Out of range: a parameter error, and nothing is stored.
    /// The file cannot be written: a hardware error.
    pub fn store(&self, offset: u32, data: &[u8]) -> RtasResult<()> {
        let range = self.range(offset, data.len())?;
        let mut contents = lock(&self.contents);
        if let Some(file) = &contents.file {
            file.write_all_at(data, offset as u64).map_err(|_| RtasError::Hardware)?;
        }
        contents.bytes[range].copy_from_slice(data);
        Ok(())
    }

    /// Whether `len` bytes from `offset` exist; for callers that have to fetch the data for
    /// [`Self::store`] first.
    pub fn in_range(&self, offset: u32, len: u32) -> bool {
        self.range(offset, len as usize).is_ok()
    }

    fn range(&self, offset: u32, len: usize) -> RtasResult<std::ops::Range<usize>> {
        let start = offset as usize;
        let end = start.checked_add(len).filter(|&end| end <= self.size).ok_or(RtasError::Parameter)?;
        Ok(start..end)
    }

    /// Adds the node `nvram@...` below the virtual I/O bus `vdevice`.
    pub fn describe(&self, tree: &mut DeviceTree, vdevice: NodeId) -> NodeId {
        let node = tree.ensure_node(vdevice, &format!("nvram@{UNIT:x}"));
        tree.set_str(node, "device_type", "nvram");
        tree.set_str(node, "compatible", "qemu,spapr-nvram");
        tree.set_u32(node, "reg", UNIT);
        tree.set_u32(node, "#bytes", self.size as u32);
        node
    }

    /// The contents.
    pub fn save(&self) -> NvramState {
        let Nvram { size: _, contents } = self;
        let Contents { bytes, file: _ } = &*lock(contents);
        NvramState { version: NvramState::VERSION, bytes: bytes.clone() }
    }

    /// Takes over saved contents, into the file, too.
    pub fn restore(&self, state: NvramState) -> Result<(), BadState> {
        let NvramState { version, bytes } = state;
        let bad = |reason: String| Err(BadState::new("NVRAM", reason));
        if version != NvramState::VERSION {
            return bad(format!("version {version}"));
        }
        if bytes.len() != self.size {
            return bad(format!("{} bytes instead of {}", bytes.len(), self.size));
        }
        match self.store(0, &bytes) {
            Ok(()) => Ok(()),
            Err(_) => bad("the file cannot be written".into()),
        }
    }
}

/// Makes the partitions of a blank memory.
fn format(bytes: &mut [u8]) {
    bytes.fill(0);
    let (common, free) = bytes.split_at_mut(COMMON_SIZE);
    header(common, SIGNATURE_SYSTEM, b"common");
    header(free, SIGNATURE_FREE, b"wwwwwwwwwwww");
}

/// Writes the header of a partition that fills `bytes`.
fn header(bytes: &mut [u8], signature: u8, name: &[u8]) {
    let units = (bytes.len() / HEADER) as u16;
    bytes[0] = signature;
    bytes[2..4].copy_from_slice(&units.to_be_bytes());
    bytes[4..4 + name.len()].copy_from_slice(name);
    bytes[1] = checksum(&bytes[..HEADER]);
}

/// The checksum of a header: its other bytes added with end-around carry.
fn checksum(header: &[u8]) -> u8 {
    let others = header[..1].iter().chain(&header[2..HEADER]);
    others.fold(0u8, |sum, &byte| {
        let (sum, carry) = sum.overflowing_add(byte);
        sum + carry as u8
    })
}

/// Saved state of an [`Nvram`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NvramState {
    /// Format, [`NvramState::VERSION`].
    pub version: u32,
    /// The contents.
    pub bytes: Vec<u8>,
}

impl NvramState {
    /// The present format.
    pub const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;
    use std::os::unix::fs::PermissionsExt;

    /// A file name in the host's temporary directory that is removed at the end.
    struct Temp(PathBuf);

    impl Temp {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("rhyp-nvram-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Temp(path)
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// Walks over the partitions as an operating system does: signature, length in bytes, name.
    fn partitions(bytes: &[u8]) -> Vec<(u8, usize, String)> {
        let (mut at, mut all) = (0, Vec::new());
        while at < bytes.len() {
            let h = &bytes[at..at + 16];
            // The sum of the 16-bit words and the signature, folded.
            let words = h[2..].chunks(2).map(|w| u16::from_be_bytes([w[0], w[1]]) as u32);
            let mut sum = words.sum::<u32>() + h[0] as u32;
            while sum > 0xff {
                sum = (sum >> 8) + (sum & 0xff);
            }
            assert_eq!(sum as u8, h[1]);
            let len = u16::from_be_bytes([h[2], h[3]]) as usize * 16;
            assert!(len > 0);
            let name = h[4..].iter().take_while(|&&b| b != 0).map(|&b| b as char).collect();
            all.push((h[0], len, name));
            at += len;
        }
        assert_eq!(at, bytes.len());
        all
    }

    #[test]
    fn a_new_memory_has_room_for_the_operating_system() {
        let n = Nvram::volatile();
        let parts = partitions(&n.fetch(0, DEFAULT_SIZE as u32).unwrap());
        let want = [(0x70, 0x1000, "common".to_string()), (0x7f, 0xf000, "wwwwwwwwwwww".to_string())];
        assert_eq!(parts, want);
        let mut t = DeviceTree::new();
        let vdevice = t.add_node(DeviceTree::ROOT, "vdevice");
        let node = n.describe(&mut t, vdevice);
        assert_eq!(t.path(node), "/vdevice/nvram@71000001");
        assert_eq!(
            (t.prop_u32(node, "#bytes"), t.prop_str(node, "device_type")),
            (Some(0x10000), Some("nvram"))
        );
    }

    #[test]
    fn bounds() {
        let n = Nvram::volatile();
        let bad = RtasError::Parameter;
        assert_eq!(n.store(0xffff, &[7]), Ok(()));
        assert_eq!(n.fetch(0xfffe, 2), Ok(vec![0, 7]));
        assert_eq!(n.fetch(0x10000, 0), Ok(vec![]));
        assert_eq!((n.fetch(0xffff, 2), n.fetch(0x10001, 0)), (Err(bad), Err(bad)));
        assert_eq!((n.fetch(u32::MAX, u32::MAX), n.fetch(0, u32::MAX)), (Err(bad), Err(bad)));
        assert_eq!((n.store(0xffff, &[1, 2]), n.store(u32::MAX, &[1])), (Err(bad), Err(bad)));
        assert_eq!(n.fetch(0xffff, 1), Ok(vec![7]));
        assert!(n.in_range(0, 0x10000) && !n.in_range(1, 0x10000));
        let mut r = Rng::new(4);
        for _ in 0..20_000 {
            let (offset, len) = (r.odd() as u32, r.odd() as u32);
            assert_eq!(n.fetch(offset, len).is_ok(), n.in_range(offset, len));
            let data = vec![r.next() as u8; r.below(40) as usize];
            if n.store(offset, &data).is_ok() {
                assert_eq!(n.fetch(offset, data.len() as u32), Ok(data));
            }
        }
    }

    #[test]
    fn a_file_keeps_it() {
        let t = Temp::new("keep");
        let n = Nvram::open(&t.0).unwrap();
        assert_eq!(partitions(&n.fetch(0, n.size() as u32).unwrap()).len(), 2);
        n.store(0x2000, b"kept").unwrap();
        assert!(matches!(Nvram::open(&t.0), Err(NvramError::InUse(_))));
        let saved = n.save();
        drop(n);
        let n = Nvram::open(&t.0).unwrap();
        assert_eq!(n.fetch(0x2000, 4), Ok(b"kept".to_vec()));
        assert_eq!(n.save(), saved);
        n.restore(Nvram::volatile().save()).unwrap();
        assert_eq!(std::fs::read(&t.0).unwrap(), Nvram::volatile().save().bytes);
        assert!(n.restore(NvramState { version: 1, bytes: vec![0; 16] }).is_err());
        assert!(n.restore(NvramState { version: 2, ..saved }).is_err());
    }

    #[test]
    fn other_files() {
        let t = Temp::new("other");
        // Blank ones are given partitions, whatever blank looks like.
        for blank in [0u8, 0xff] {
            std::fs::write(&t.0, vec![blank; MIN_SIZE]).unwrap();
            let n = Nvram::open(&t.0).unwrap();
            assert_eq!((n.size(), partitions(&n.save().bytes).len()), (MIN_SIZE, 2));
        }
        // Others are left alone.
        std::fs::write(&t.0, vec![5; MAX_SIZE]).unwrap();
        assert_eq!(Nvram::open(&t.0).unwrap().fetch(0, 2), Ok(vec![5, 5]));
        for size in [1, MIN_SIZE - 16, MIN_SIZE + 1, MAX_SIZE + 16] {
            std::fs::write(&t.0, vec![5; size]).unwrap();
            assert!(matches!(Nvram::open(&t.0), Err(NvramError::Size { .. })), "{size}");
        }
        std::fs::write(&t.0, b"").unwrap();
        std::fs::set_permissions(&t.0, std::fs::Permissions::from_mode(0o444)).unwrap();
        let e = Nvram::open(&t.0).unwrap_err();
        assert!(matches!(e, NvramError::ReadOnly(_)) && e.to_string().ends_with("is read-only"));
        assert!(matches!(Nvram::open(&std::env::temp_dir()), Err(NvramError::NotAFile(_))));
        assert!(matches!(Nvram::open(&t.0.join("below")), Err(NvramError::Open { .. })));
    }
}
