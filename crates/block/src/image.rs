//! Image files: telling formats apart, and locks that keep two programs from writing one image.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// What an image file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The disk, byte for byte.
    Raw,
    /// QEMU's format, version 2 or 3.
    Qcow2,
}

/// The first bytes of a qcow2 image.
const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";

impl Format {
    /// The format that a file's first bytes show; raw if they show none.
    pub fn probe(file: &File) -> std::io::Result<Format> {
        let mut magic = [0; 4];
        let is = match file.read_exact_at(&mut magic, 0) {
            Ok(()) => magic == QCOW2_MAGIC,
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => false,
            Err(e) => return Err(e),
        };
        Ok(if is { Format::Qcow2 } else { Format::Raw })
    }

    /// By the name that command lines use: `raw` or `qcow2`.
    pub fn by_name(name: &str) -> Option<Format> {
        match name {
            "raw" => Some(Format::Raw),
            "qcow2" => Some(Format::Qcow2),
            _ => None,
        }
    }
}

/// How files of formats that are not supported begin.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"KDMV", "vmdk"),
    (b"# Disk DescriptorFile", "vmdk"),
    (b"vhdxfile", "vhdx"),
    (b"conectix", "vpc"),
    (b"<<< ", "vdi"),
    (b"QED\0", "qed"),
];

/// The format that other tools give a file which looks raw: they are refused by name rather than shown to a guest as
/// a disk of rubbish.
pub fn foreign_format(file: &File) -> std::io::Result<Option<&'static str>> {
    let mut head = Vec::new();
    (&*file).seek(SeekFrom::Start(0))?;
    file.take(64).read_to_end(&mut head)?;
    Ok(FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)).map(|k| k.1))
}

/// Whether the first bytes of a disk are those of any format but raw.
pub(crate) fn looks_foreign(head: &[u8]) -> bool {
    head.starts_with(&QCOW2_MAGIC) || FOREIGN.iter().any(|(magic, _)| head.starts_with(magic))
}

/// What a program that has an image open may do to it, and whether it lets others do the same, as bits. QEMU locks
/// one byte of the file for each, from these places on.
const PERMISSIONS_AT: i64 = 100;
const UNSHARED_AT: i64 = 200;
const READ: u32 = 0;
const WRITE: u32 = 1;
const RESIZE: u32 = 3;

/// Another program has the image open in a way that does not go together with what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody uses it.
    #[error("another program has it open{0}")]
    InUse(&'static str),
    /// The host cannot lock it.
    #[error("it cannot be locked: {0}")]
    Host(std::io::Error),
}

/// Locks an image until the file (and all its duplicates) are closed, in the way QEMU and its tools understand: who
/// writes lets nobody else write, and keeps out those who want an image that does not change. Locks of this kind
/// belong to the open file, not to the process. File systems without such locks go unlocked.
pub fn lock(file: &File, write: bool) -> Result<(), LockError> {
    let (held, unshared): (&[u32], &[u32]) =
        if write { (&[READ, WRITE, RESIZE], &[WRITE, RESIZE]) } else { (&[READ], &[WRITE, RESIZE]) };
    let byte = |kind: libc::c_int, at: i64| libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: at,
        l_len: 1,
        l_pid: 0,
    };
    let places = held.iter().map(|&b| PERMISSIONS_AT + i64::from(b));
    for at in places.chain(unshared.iter().map(|&b| UNSHARED_AT + i64::from(b))) {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&byte(libc::F_RDLCK, at))) {
            Ok(_) => {}
            Err(Errno::EINVAL | Errno::ENOLCK | Errno::EOPNOTSUPP) => return Ok(()),
            Err(Errno::EAGAIN | Errno::EACCES) => return Err(LockError::InUse("")),
            Err(e) => return Err(LockError::Host(e.into())),
        }
    }
    // Now that ours are seen: does anybody refuse what we hold, or hold what we refuse?
    let refused = held.iter().map(|&b| UNSHARED_AT + i64::from(b));
    for at in refused.chain(unshared.iter().map(|&b| PERMISSIONS_AT + i64::from(b))) {
        let mut other = byte(libc::F_WRLCK, at);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut other)).map_err(|e| LockError::Host(e.into()))?;
        if i32::from(other.l_type) != libc::F_UNLCK {
            return Err(LockError::InUse(if at < UNSHARED_AT { " for writing" } else { "" }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file that others can open by its path, removed when dropped.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("rhyp-image-{}-{name}", std::process::id()));
            File::create(&path).unwrap().write_all(bytes).unwrap();
            Scratch(path)
        }
        fn open(&self) -> File {
            File::options().read(true).write(true).open(&self.0).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn formats_are_told_apart() {
        let probe = |name, bytes: &[u8]| {
            let s = Scratch::new(name, bytes);
            (Format::probe(&s.open()).unwrap(), foreign_format(&s.open()).unwrap())
        };
        assert_eq!(probe("q", b"QFI\xfb\0\0\0\x03"), (Format::Qcow2, None));
        assert_eq!(probe("r", &[0; 512]), (Format::Raw, None));
        assert_eq!(probe("e", b"QF"), (Format::Raw, None));
        assert_eq!(probe("v", b"KDMV\x01"), (Format::Raw, Some("vmdk")));
    }

    #[test]
    fn one_writer_or_many_readers() {
        let s = Scratch::new("lock", &[0; 512]);
        let (a, b) = (s.open(), s.open());
        lock(&a, true).unwrap();
        assert!(matches!(lock(&b, true), Err(LockError::InUse(_))));
        assert!(matches!(lock(&s.open(), false), Err(LockError::InUse(_))));
        drop((a, b));
        let (a, b) = (s.open(), s.open());
        lock(&a, false).unwrap();
        lock(&b, false).unwrap();
        assert!(matches!(lock(&s.open(), true), Err(LockError::InUse(_))));
        drop((a, b));
        lock(&s.open(), true).unwrap();
    }
}
