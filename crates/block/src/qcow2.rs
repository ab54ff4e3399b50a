//! qcow2 images, with their backing files, through `imago`.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use imago::file::File as Storage;
use imago::format::builder::FormatDriverBuilder;
use imago::format::gate::ImplicitOpenGate;
use imago::{FormatAccess, StorageOpenOptions, qcow2::Qcow2 as Driver};
use mem::Pieces;

use crate::pool::Pool;
use crate::{Cache, Disk, Done, IoError, Op, SECTOR, image, refuse};

/// Threads a disk has at most.
const THREADS: usize = 16;
/// Bytes that go through a thread's buffer at once.
const STEP: u64 = 1 << 20;
/// Most images in a chain of backing files.
const MAX_CHAIN: u32 = 64;

type Image = FormatAccess<Storage>;

/// A qcow2 image.
pub struct Qcow2 {
    inner: Arc<Inner>,
    pool: Pool,
}

struct Inner {
    /// Held for writing where no other request may be under way.
    image: RwLock<Image>,
    size: u64,
    read_only: bool,
    cache: Cache,
}

/// Opens the files that an image names: backing files and external data files, the former locked against writers.
struct Gate {
    depth: u32,
}

impl ImplicitOpenGate<Storage> for Gate {
    fn open_format<F: FormatDriverBuilder<Storage>>(&mut self, builder: F) -> std::io::Result<Image> {
        let name = builder.get_image_path().map_or_else(String::new, |p| p.display().to_string());
        let depth = self.depth + 1;
        if depth > MAX_CHAIN {
            return Err(Error::other(format!("backing file {name}: more than {MAX_CHAIN} in a chain")));
        }
        let image = builder.open(Gate { depth });
        Ok(FormatAccess::new(image.map_err(|e| Error::new(e.kind(), format!("backing file {name}: {e}")))?))
    }

    fn open_storage(&mut self, options: StorageOpenOptions) -> std::io::Result<Storage> {
        let path = options.get_filename().ok_or_else(|| Error::from(ErrorKind::InvalidInput))?;
        let write = options.get_writable();
        let file = File::options().read(true).write(write).open(path)?;
        image::lock(&file, write).map_err(Error::other)?;
        Storage::from_open_file(file, options)
    }
}

thread_local! {
    /// What a thread moves data through.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn with_buffer<T>(len: u64, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    BUFFER.with_borrow_mut(|b| {
        b.resize(len as usize, 0);
        work(b)
    })
}

impl Qcow2 {
    /// Opens an image. `path` is where `file` is, for names in the image that are relative to it.
    pub fn open(file: File, path: &Path, read_only: bool, cache: Cache) -> std::io::Result<Self> {
        let opened = catch_unwind(AssertUnwindSafe(|| Self::try_open(file, path, read_only, cache)));
        opened.unwrap_or_else(|_| Err(Error::new(ErrorKind::InvalidData, "it is damaged")))
    }

    fn try_open(file: File, path: &Path, read_only: bool, cache: Cache) -> std::io::Result<Self> {
        let direct = cache == Cache::None;
        if !read_only {
            crate::qcow2_check::check(&file)?;
        }
        let options = StorageOpenOptions::new().filename(path).write(!read_only);
        // Past the page cache only if the file was opened so: a second descriptor is.
        let storage = if direct {
            let past = Storage::open_direct(path, !read_only);
            past.or_else(|_| Storage::from_open_file(file, options))?
        } else {
            Storage::from_open_file(file, options)?
        };
        let image = Driver::<Storage>::builder(storage).write(!read_only).open(Gate { depth: 0 })?;
        let image = FormatAccess::new(image);
        let size = image.size() / SECTOR * SECTOR;
        let inner = Arc::new(Inner { image: RwLock::new(image), size, read_only, cache });
        Ok(Qcow2 { inner, pool: Pool::new("qcow2", THREADS) })
    }
}

/// `O_DIRECT` on its own descriptor.
trait OpenDirect: Sized {
    fn open_direct(path: &Path, write: bool) -> std::io::Result<Self>;
}

impl OpenDirect for Storage {
    fn open_direct(path: &Path, write: bool) -> std::io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = File::options();
        let file = options.read(true).write(write).custom_flags(nix::libc::O_DIRECT).open(path)?;
        let options = StorageOpenOptions::new().filename(path).write(write).direct(true);
        Storage::from_open_file(file, options)
    }
}

impl Inner {
    fn image(&self) -> RwLockReadGuard<'_, Image> {
        self.image.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes through a range and its memory in steps.
    fn steps(
        memory: &Pieces,
        offset: u64,
        mut step: impl FnMut(&mut Vec<u8>, u64, u64) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let mut done = 0;
        while done < memory.len() {
            let n = (memory.len() - done).min(STEP);
            with_buffer(n, |b| step(b, offset + done, done))?;
            done += n;
        }
        Ok(())
    }

    fn carry_out(&self, op: Op) -> Result<(), IoError> {
        let changes = matches!(op, Op::Write { .. } | Op::WriteZeroes { .. });
        match op {
            Op::Read { offset, into } => Self::steps(&into, offset, |b, at, done| {
                self.image().read(&mut *b, at)?;
                into.write(done, b);
                Ok(())
            })?,
            Op::Write { offset, from } => Self::steps(&from, offset, |b, at, done| {
                from.read(done, b);
                self.image().write(&*b, at)
            })?,
            Op::Flush if self.cache == Cache::Unsafe || self.read_only => {}
            Op::Flush => self.flush()?,
            Op::Discard { offset, len } => {
                let mut image = self.image.write().unwrap_or_else(PoisonError::into_inner);
                match image.discard_to_any(offset, len) {
                    // Old versions of the format cannot; it was only advice.
                    Err(e) if e.kind() == ErrorKind::Unsupported => {}
                    r => r?,
                }
            }
            Op::WriteZeroes { offset, len, unmap } => {
                let freed = unmap && {
                    let mut image = self.image.write().unwrap_or_else(PoisonError::into_inner);
                    image.discard_to_zero(offset, len).is_ok()
                };
                if !freed {
                    match self.image().write_zeroes(offset, len) {
                        // Old versions of the format have no zeros but written ones.
                        Err(e) if e.kind() == ErrorKind::Unsupported => self.write_zeros(offset, len)?,
                        r => r?,
                    }
                }
            }
        }
        if changes && self.cache == Cache::Writethrough {
            self.flush()?;
        }
        Ok(())
    }

    fn write_zeros(&self, offset: u64, len: u64) -> std::io::Result<()> {
        let mut done = 0;
        while done < len {
            let n = (len - done).min(STEP);
            with_buffer(n, |b| {
                b.fill(0);
                self.image().write(&*b, offset + done)
            })?;
            done += n;
        }
        Ok(())
    }

    /// Data and tables to stable storage.
    fn flush(&self) -> std::io::Result<()> {
        let image = self.image();
        image.flush()?;
        image.sync()
    }
}

impl Disk for Qcow2 {
    fn size(&self) -> u64 {
        self.inner.size
    }

    fn read_only(&self) -> bool {
        self.inner.read_only
    }

    fn submit(&self, op: Op, done: Done) {
        if let Err(e) = refuse(&op, self.inner.size, self.inner.read_only) {
            return done(Err(e));
        }
        let inner = self.inner.clone();
        self.pool.run(move || {
            // Tables that contradict each other may surprise the library: then it is the request that fails.
            let result = catch_unwind(AssertUnwindSafe(|| inner.carry_out(op)));
            done(result.unwrap_or(Err(IoError::Host(nix::libc::EIO))));
        });
    }

    fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        let inside = offset.checked_add(out.len() as u64).is_some_and(|end| end <= self.inner.size);
        if !inside {
            return Err(IoError::OutOfRange);
        }
        let read = AssertUnwindSafe(|| {
            let mut done = 0;
            for part in out.chunks_mut(STEP as usize) {
                with_buffer(part.len() as u64, |b| {
                    self.inner.image().read(&mut *b, offset + done)?;
                    part.copy_from_slice(b);
                    Ok::<(), IoError>(())
                })?;
                done += part.len() as u64;
            }
            Ok(())
        });
        // As in `submit`.
        catch_unwind(read).unwrap_or(Err(IoError::Host(nix::libc::EIO)))
    }

    fn drain(&self) {
        self.pool.drain();
    }
}

impl Drop for Qcow2 {
    fn drop(&mut self) {
        self.pool.drain();
        if !self.inner.read_only {
            // A clean end: nothing left in caches, no cluster leaked.
            let _ = self.inner.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::testing::{Model, memory, wait};

    const SIZE: usize = 8 << 20;

    /// A directory that goes away.
    struct Dir(std::path::PathBuf);

    impl Dir {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let dir = std::env::temp_dir().join(format!("rhyp-qcow2-{}-{n}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            Dir(dir)
        }

        /// Runs `qemu-img`; `None` where there is none.
        fn tool(&self, args: &[&str]) -> Option<String> {
            let out = Command::new("qemu-img").args(args).current_dir(&self.0).output().ok()?;
            let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
            assert!(out.status.success(), "qemu-img {args:?}: {text}");
            Some(text)
        }

        fn open(&self, name: &str, read_only: bool, cache: Cache) -> std::io::Result<Qcow2> {
            let path = self.0.join(name);
            let file = File::options().read(true).write(!read_only).open(&path)?;
            image::lock(&file, !read_only).map_err(Error::other)?;
            Qcow2::open(file, &path, read_only, cache)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn pattern() -> Vec<u8> {
        (0..SIZE).map(|n| (n / 512 % 251) as u8).collect()
    }

    #[test]
    fn what_is_written_the_other_tool_reads() {
        for (n, options) in
            ["compat=1.1", "compat=0.10", "cluster_size=4096", "lazy_refcounts=on"].iter().enumerate()
        {
            let dir = Dir::new();
            if dir.tool(&["create", "-q", "-f", "qcow2", "-o", options, "a", "8M"]).is_none() {
                eprintln!("left out: there is no qemu-img");
                return;
            }
            let ram = memory();
            let cache = [Cache::Writeback, Cache::Writethrough, Cache::None, Cache::Unsafe][n];
            let disk = dir.open("a", false, cache).unwrap();
            let mut model = Model::new(&disk, &ram, vec![0; SIZE]);
            model.work(200, n as u64 + 1);
            let want = model.bytes;
            drop(disk);
            dir.tool(&["check", "-q", "a"]);
            dir.tool(&["convert", "-O", "raw", "a", "raw"]);
            assert!(std::fs::read(dir.0.join("raw")).unwrap() == want, "{options}");
        }
    }

    #[test]
    fn what_the_other_tool_wrote_is_read_and_backing_files_stay() {
        let dir = Dir::new();
        std::fs::write(dir.0.join("raw"), pattern()).unwrap();
        if dir.tool(&["convert", "-c", "-O", "qcow2", "raw", "base"]).is_none() {
            return;
        }
        dir.tool(&["create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", "mid"]);
        dir.tool(&["create", "-q", "-f", "qcow2", "-b", "mid", "-F", "qcow2", "top"]);
        dir.tool(&["create", "-q", "-f", "qcow2", "-b", "raw", "-F", "raw", "over-raw"]);
        let before = std::fs::read(dir.0.join("base")).unwrap();
        for name in ["top", "over-raw"] {
            let (ram, disk) = (memory(), dir.open(name, false, Cache::Writeback).unwrap());
            let mut model = Model::new(&disk, &ram, pattern());
            model.work(200, 9);
            let want = model.bytes;
            // The backing files are locked against writers.
            assert!(dir.open("base", false, Cache::Writeback).is_err() || name == "over-raw");
            drop(disk);
            dir.tool(&["check", "-q", name]);
            dir.tool(&["convert", "-O", "raw", name, "out"]);
            assert!(std::fs::read(dir.0.join("out")).unwrap() == want);
        }
        assert!(std::fs::read(dir.0.join("base")).unwrap() == before);
        assert!(std::fs::read(dir.0.join("raw")).unwrap() == pattern());
        std::fs::remove_file(dir.0.join("base")).unwrap();
        let error = dir.open("top", false, Cache::Writeback).err().unwrap().to_string();
        assert!(error.contains("base") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn a_flush_reaches_the_file_while_the_image_is_open() {
        let dir = Dir::new();
        if dir.tool(&["create", "-q", "-f", "qcow2", "a", "8M"]).is_none() {
            return;
        }
        let (ram, disk) = (memory(), dir.open("a", false, Cache::Writeback).unwrap());
        let mut model = Model::new(&disk, &ram, vec![0; SIZE]);
        for round in 0..10 {
            model.work(40, 100 + round);
            wait(&disk, Op::Flush).unwrap();
            // What would be there after a kill.
            std::fs::copy(dir.0.join("a"), dir.0.join("copy")).unwrap();
            let copy = dir.open("copy", true, Cache::Writeback).unwrap();
            let mut bytes = vec![0; SIZE];
            copy.read_now(0, &mut bytes).unwrap();
            assert!(bytes == model.bytes);
            dir.tool(&["convert", "-O", "raw", "copy", "raw"]);
            assert!(std::fs::read(dir.0.join("raw")).unwrap() == model.bytes);
        }
    }

    #[test]
    fn requests_side_by_side_do_not_mix() {
        let dir = Dir::new();
        if dir.tool(&["create", "-q", "-f", "qcow2", "a", "8M"]).is_none() {
            return;
        }
        let (ram, disk) = (memory(), dir.open("a", false, Cache::Writeback).unwrap());
        let (tell, hear) = std::sync::mpsc::channel();
        // Each in its own 8 KiB, all in the same clusters.
        for n in 0..256u64 {
            let mut from = Pieces::new(ram.clone());
            from.push(n * 8192, 8192).unwrap();
            from.fill(n as u8);
            let tell = tell.clone();
            let done = Box::new(move |r: Result<(), IoError>| tell.send(r).unwrap());
            disk.submit(Op::Write { offset: n * 8192, from }, done);
        }
        (0..256).for_each(|_| hear.recv().unwrap().unwrap());
        let mut bytes = vec![0; 256 * 8192];
        disk.read_now(0, &mut bytes).unwrap();
        assert!(bytes.chunks(8192).enumerate().all(|(n, c)| c.iter().all(|&b| b == n as u8)));
        drop(disk);
        dir.tool(&["check", "-q", "a"]);
    }
}
