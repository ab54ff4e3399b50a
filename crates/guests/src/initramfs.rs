//! Builds an initramfs: a gzip'd newc cpio archive made without root and without any program of the host.

use crate::cpio::Cpio;
use crate::elf::{self, Part};
use crate::error::{GuestsError, Result, at};
use crate::modules;
use crate::{Busybox, Kernel};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// File in the initramfs that lists the paths of its kernel modules, one a line, in the order of insertion.
pub const MODULE_LIST: &str = "/etc/modules";

enum Node {
    Directory { permissions: u32 },
    Bytes { permissions: u32, data: Vec<u8> },
    Host { permissions: u32, path: PathBuf },
    Link { target: String },
    Device { permissions: u32, number: (u32, u32) },
}

/// The content of an initramfs, put together piece by piece; parents of every path are added by themselves.
///
/// Paths are those in the guest, with or without a leading slash. A later piece replaces an earlier one at the same
/// path.
pub struct Initramfs {
    nodes: BTreeMap<String, Node>,
    modules: Vec<String>,
}

impl Default for Initramfs {
    fn default() -> Self {
        Self::new()
    }
}

impl Initramfs {
    /// An initramfs with the mount points, `/root`, `/tmp`, `/dev/console` and `/dev/null`.
    pub fn new() -> Self {
        let mut new = Self { nodes: BTreeMap::new(), modules: Vec::new() };
        for (path, permissions) in [
            ("dev", 0o755),
            ("proc", 0o555),
            ("sys", 0o555),
            ("root", 0o700),
            ("tmp", 0o1777),
            ("run", 0o755),
        ] {
            new.insert(path, Node::Directory { permissions });
        }
        // The kernel opens /dev/console for init before anything can mount devtmpfs.
        new.insert("dev/console", Node::Device { permissions: 0o600, number: (5, 1) });
        new.insert("dev/null", Node::Device { permissions: 0o666, number: (1, 3) });
        new
    }

    /// Adds busybox as `/bin/busybox` with a link in `/bin` for each of its applets.
    #[must_use]
    pub fn busybox(mut self, busybox: &Busybox) -> Self {
        self.insert("bin/busybox", Node::Host { permissions: 0o755, path: busybox.program.clone() });
        for applet in busybox.applets.iter().filter(|applet| *applet != "busybox") {
            self.insert(&format!("bin/{applet}"), Node::Link { target: "busybox".to_owned() });
        }
        self
    }

    /// Sets the text of `/init`, the first program the kernel starts.
    #[must_use]
    pub fn init(self, script: &str) -> Self {
        self.file("init", 0o755, script.as_bytes())
    }

    /// Adds a file with the given permission bits.
    #[must_use]
    pub fn file(mut self, path: &str, permissions: u32, data: &[u8]) -> Self {
        self.insert(path, Node::Bytes { permissions, data: data.to_vec() });
        self
    }

    /// Adds a file of the host, read when the archive is written, with the host's permission bits.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn host_file(mut self, path: &str, host: &Path) -> Result<Self> {
        let permissions = fs::metadata(host).map_err(at(host))?.permissions().mode() & 0o7777;
        self.insert(path, Node::Host { permissions, path: host.to_path_buf() });
        Ok(self)
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.insert(path, Node::Link { target: target.to_owned() });
        self
    }

    /// Adds all directories, files and symbolic links of a tree of the host under `path`.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn tree(mut self, path: &str, host: &Path) -> Result<Self> {
        self.add_tree(path, host)?;
        Ok(self)
    }

    /// Adds programs of an unpacked package tree (paths in the tree) with the libraries they need.
    ///
    /// # Errors
    /// A program or library is not in the tree.
    pub fn programs(mut self, tree: &Path, programs: &[&str]) -> Result<Self> {
        for part in elf::closure(tree, programs)? {
            match part {
                Part::File(path) => self = self.host_file(&path, &tree.join(&path))?,
                Part::Link(path, target) => self.insert(&path, Node::Link { target }),
            }
        }
        Ok(self)
    }

    /// Adds kernel modules by name with those they depend on, as `/lib/modules/RELEASE/NAME.ko`, and appends them to
    /// [`MODULE_LIST`] in an order in which they can be inserted.
    ///
    /// # Errors
    /// The kernel has no module of that name (it may be built in).
    pub fn modules(mut self, kernel: &Kernel, names: &[&str]) -> Result<Self> {
        for module in modules::load(&kernel.modules, names)? {
            let path = format!("lib/modules/{}/{}", kernel.release, module.file_name);
            self.insert(&path, Node::Bytes { permissions: 0o644, data: module.data });
            let path = format!("/{path}\n");
            if !self.modules.contains(&path) {
                self.modules.push(path);
            }
        }
        let list = self.modules.concat();
        Ok(self.file(MODULE_LIST, 0o644, list.as_bytes()))
    }

    /// Writes the archive to `path`, which gets its name only when it is complete.
    ///
    /// # Errors
    /// Reading a file named before, or writing, failed.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".tmp-{}-{:?}", std::process::id(), std::thread::current().id()));
        let temporary = path.with_file_name(name);
        let file = fs::File::create(&temporary).map_err(at(&temporary))?;
        let written = self.write_to(BufWriter::new(file));
        if written.is_err() {
            // The failure to report is the first one.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        fs::rename(&temporary, path).map_err(at(path))
    }

    /// Writes the gzip'd archive to `out`.
    ///
    /// # Errors
    /// Reading a file named before, or writing, failed.
    pub fn write_to(&self, out: impl Write) -> Result<()> {
        let archive = Path::new("initramfs");
        let mut cpio = Cpio::new(GzEncoder::new(out, Compression::new(6)));
        for (name, node) in &self.nodes {
            let written = match node {
                Node::Directory { permissions } => cpio.directory(name, *permissions),
                Node::Bytes { permissions, data } => cpio.file(name, *permissions, data),
                Node::Host { permissions, path } => {
                    let data = fs::read(path).map_err(at(path))?;
                    cpio.file(name, *permissions, &data)
                }
                Node::Link { target } => cpio.link(name, target),
                Node::Device { permissions, number } => cpio.character_device(name, *permissions, *number),
            };
            written.map_err(at(archive))?;
        }
        let mut out = cpio.finish().and_then(GzEncoder::finish).map_err(at(archive))?;
        out.flush().map_err(at(archive))
    }

    fn insert(&mut self, path: &str, node: Node) {
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
        for end in 1..parts.len() {
            self.nodes.entry(parts[..end].join("/")).or_insert(Node::Directory { permissions: 0o755 });
        }
        if !parts.is_empty() {
            self.nodes.insert(parts.join("/"), node);
        }
    }

    fn add_tree(&mut self, path: &str, host: &Path) -> Result<()> {
        for entry in fs::read_dir(host).map_err(at(host))? {
            let entry = entry.map_err(at(host))?;
            let from = entry.path();
            let name = entry.file_name();
            let utf8 = |name: &str| format!("{path}/{name}");
            let not_utf8 =
                || GuestsError::BadFile { path: from.clone(), what: "file name is not UTF-8".to_owned() };
            let to = name.to_str().map(utf8).ok_or_else(not_utf8)?;
            let meta = from.symlink_metadata().map_err(at(&from))?;
            let permissions = meta.permissions().mode() & 0o7777;
            if meta.is_dir() {
                self.insert(&to, Node::Directory { permissions });
                self.add_tree(&to, &from)?;
            } else if meta.is_symlink() {
                let target = fs::read_link(&from).map_err(at(&from))?.to_string_lossy().into_owned();
                self.insert(&to, Node::Link { target });
            } else if meta.is_file() {
                self.insert(&to, Node::Host { permissions, path: from });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::io::Read as _;

    fn unpacked(initramfs: &Initramfs) -> String {
        let mut gz = Vec::new();
        initramfs.write_to(&mut gz).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(gz.as_slice()).read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn parents_come_before_children_and_later_pieces_replace() {
        let initramfs =
            Initramfs::new().file("/a/b/c", 0o644, b"old").file("a/b/c", 0o600, b"new-text").init("#!x");
        let text = unpacked(&initramfs);
        let place = |name: &str| text.find(&format!("{name}\0")).unwrap_or_else(|| panic!("{name} missing"));
        assert!(place("a") < place("a/b") && place("a/b") < place("a/b/c"));
        assert!(text.contains("new-text") && !text.contains("old"));
        assert!(text.contains("dev/console\0") && text.contains("init\0"));
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
    }

    #[test]
    fn paths_cannot_climb_out() {
        let initramfs = Initramfs::new().file("../../etc//./x", 0o644, b"");
        assert!(initramfs.nodes.contains_key("etc/x"));
    }

    #[test]
    fn a_tree_is_taken_over_and_write_is_atomic() {
        let scratch = Scratch::new("initramfs");
        let tree = scratch.path().join("tree");
        fs::create_dir_all(tree.join("d")).unwrap();
        fs::write(tree.join("d/f"), b"payload").unwrap();
        std::os::unix::fs::symlink("d/f", tree.join("s")).unwrap();
        let initramfs = Initramfs::new().tree("t", &tree).unwrap();
        let text = unpacked(&initramfs);
        assert!(text.contains("t/d/f\0") && text.contains("payload") && text.contains("t/s\0"));
        let out = scratch.path().join("out.gz");
        initramfs.write(&out).unwrap();
        fs::remove_file(tree.join("d/f")).unwrap();
        assert!(initramfs.write(&scratch.path().join("other.gz")).is_err());
        let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}
