//! Writer of cpio archives in the "newc" form, the one the Linux kernel unpacks as its initramfs.
//!
//! Each entry is a 110-character header (the magic `070701`, then 13 fields of 8 hexadecimal digits), the name with
//! its closing NUL padded to 4 bytes, and the data padded to 4 bytes.

use std::io::{self, Write};

const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_LINK: u32 = 0o120_000;
const TYPE_CHARACTER: u32 = 0o020_000;

/// Writes entries one after the other; `finish` must be called last.
pub(crate) struct Cpio<W: Write> {
    out: W,
    inode: u32,
}

impl<W: Write> Cpio<W> {
    /// Starts an archive.
    pub(crate) fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    /// A directory, all of whose parents were written before.
    pub(crate) fn directory(&mut self, name: &str, permissions: u32) -> io::Result<()> {
        self.entry(name, TYPE_DIRECTORY | permissions, (0, 0), &[])
    }

    /// A regular file.
    pub(crate) fn file(&mut self, name: &str, permissions: u32, data: &[u8]) -> io::Result<()> {
        self.entry(name, TYPE_FILE | permissions, (0, 0), data)
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.entry(name, TYPE_LINK | 0o777, (0, 0), target.as_bytes())
    }

    /// A character device.
    pub(crate) fn character_device(
        &mut self,
        name: &str,
        permissions: u32,
        device: (u32, u32),
    ) -> io::Result<()> {
        self.entry(name, TYPE_CHARACTER | permissions, device, &[])
    }

    /// Writes the closing entry and gives the output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inode = u32::MAX; // wraps to 0, as the closing entry has it
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) -> io::Result<()> {
        let too_large =
            |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{name}: too large for an initramfs"));
        let size = u32::try_from(data.len()).map_err(too_large)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
        self.inode = self.inode.wrapping_add(1);
        let links = if mode & TYPE_DIRECTORY != 0 { 2 } else { 1 };
        // inode, mode, uid, gid, links, time, size, device of the file, device named by it, name size, checksum
        let fields = [self.inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0];
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08X}")?;
        }
        self.out.write_all(name.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(110 + name.len() + 1)?;
        self.out.write_all(data)?;
        self.pad(data.len())
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        let rest = written.wrapping_neg() & 3;
        self.out.write_all(&[0; 3][..rest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_closed() {
        let mut cpio = Cpio::new(Vec::new());
        cpio.directory("a", 0o755).unwrap();
        cpio.file("a/b", 0o644, b"hello").unwrap();
        cpio.link("l", "a/b").unwrap();
        cpio.character_device("c", 0o600, (5, 1)).unwrap();
        let bytes = cpio.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let mut seen = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            assert_eq!(&rest[..6], b"070701");
            let field = |i: usize| {
                let text = std::str::from_utf8(&rest[6 + 8 * i..14 + 8 * i]).unwrap();
                u32::from_str_radix(text, 16).unwrap() as usize
            };
            let (mode, size, major, minor, name_size) = (field(1), field(6), field(9), field(10), field(11));
            let name = String::from_utf8(rest[110..110 + name_size - 1].to_vec()).unwrap();
            let data = (110 + name_size).next_multiple_of(4);
            seen.push((name, mode, rest[data..data + size].to_vec(), major, minor));
            rest = &rest[(data + size).next_multiple_of(4)..];
        }
        let names: Vec<_> = seen.iter().map(|e| e.0.as_str()).collect();
        assert_eq!(names, ["a", "a/b", "l", "c", "TRAILER!!!"]);
        assert_eq!((seen[1].1, seen[1].2.as_slice()), (0o100_644, b"hello".as_slice()));
        assert_eq!((seen[2].1, seen[2].2.as_slice()), (0o120_777, b"a/b".as_slice()));
        assert_eq!((seen[3].1, seen[3].3, seen[3].4), (0o020_600, 5, 1));
    }
}
