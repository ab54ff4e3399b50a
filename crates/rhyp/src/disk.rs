//! `--disk`: from words to disks.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use partition::block::{Cache, Disk, Format, Op, Overlay, Qcow2, Raw, image};
use partition::io::{DiskBus, DiskSlot};
use rustix::fs::OFlags;

use crate::error::Failure;

/// Most disks of the virtual SCSI adapter.
const MOST_VSCSI: usize = partition::io::MOST_VSCSI;

/// What one `--disk` says.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    path: PathBuf,
    format: Option<Format>,
    bus: DiskBus,
    read_only: bool,
    snapshot: bool,
    cdrom: bool,
    cache: Cache,
}

/// The words at commas; two commas in a row stand for one that belongs to a name.
pub(crate) fn words(s: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut chars = s.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, out.last_mut()) {
            (',', Some(last)) if chars.peek() == Some(&',') => {
                chars.next();
                last.push(',');
            }
            (',', _) => out.push(String::new()),
            (_, Some(last)) => last.push(c),
            (_, None) => {}
        }
    }
    out
}

fn parse(arg: &str) -> Result<Wanted, Failure> {
    let wrong = |what: String| Failure::usage(format!("--disk {arg}: {what}"));
    let mut words = words(arg).into_iter();
    let path =
        words.next().filter(|p| !p.is_empty()).ok_or_else(|| wrong("the image's name is missing".into()))?;
    let mut w = Wanted {
        path: path.into(),
        format: None,
        bus: DiskBus::Virtio,
        read_only: false,
        snapshot: false,
        cdrom: false,
        cache: Cache::Writeback,
    };
    let mut bus = None;
    for word in words {
        let (key, value) = word.split_once('=').map_or((word.as_str(), None), |(k, v)| (k, Some(v)));
        match (key, value) {
            ("format", Some(name)) => {
                let unknown = || wrong(format!("format {name} is unknown; right would be raw or qcow2"));
                w.format = Some(Format::by_name(name).ok_or_else(unknown)?);
            }
            ("bus", Some("virtio")) => bus = Some(DiskBus::Virtio),
            ("bus", Some("vscsi")) => bus = Some(DiskBus::Vscsi),
            ("bus", Some("virtio-scsi")) => bus = Some(DiskBus::VirtioScsi),
            ("bus", Some(name)) => {
                return Err(wrong(format!(
                    "bus {name} is unknown; right would be virtio, vscsi or virtio-scsi"
                )));
            }
            ("cache", Some(name)) => {
                w.cache = match name {
                    "writeback" => Cache::Writeback,
                    "writethrough" => Cache::Writethrough,
                    "none" => Cache::None,
                    "unsafe" => Cache::Unsafe,
                    _ => {
                        let right = "writeback, writethrough, none or unsafe";
                        return Err(wrong(format!("cache {name} is unknown; right would be {right}")));
                    }
                }
            }
            ("readonly", None) => w.read_only = true,
            ("snapshot", None) => w.snapshot = true,
            ("cdrom", None) => w.cdrom = true,
            _ => {
                let right = "format=, bus=, cache=, readonly, snapshot or cdrom";
                return Err(wrong(format!("'{word}' is unknown; right would be {right}")));
            }
        }
    }
    if w.cdrom && bus == Some(DiskBus::Virtio) {
        return Err(wrong("a CD-ROM stands on bus=vscsi or bus=virtio-scsi".into()));
    }
    if w.read_only && w.snapshot {
        return Err(wrong("readonly and snapshot exclude each other".into()));
    }
    if w.cdrom && w.snapshot {
        return Err(wrong("a CD-ROM is read-only; leave snapshot out".into()));
    }
    w.bus = bus.unwrap_or(if w.cdrom { DiskBus::Vscsi } else { DiskBus::Virtio });
    w.read_only |= w.cdrom;
    Ok(w)
}

/// Whether the words of a `--disk` are right and its file can be opened.
pub fn check(arg: &str) -> Result<(), Failure> {
    parse(arg).and_then(|w| open_file(&w)).map(drop)
}

/// Opens all disks, in order.
pub fn open_all(args: &[String]) -> Result<Vec<DiskSlot>, Failure> {
    // Device and inode of each image, and whether it is written.
    let mut seen: Vec<((u64, u64), bool)> = Vec::new();
    let mut slots = Vec::new();
    for arg in args {
        let w = parse(arg)?;
        let (file, id) = open_file(&w)?;
        let writes = !w.read_only && !w.snapshot;
        if seen.iter().any(|&(other, wrote)| other == id && (writes || wrote)) {
            return Err(failure(&w, "the same image is given twice; with readonly or snapshot it could be"));
        }
        seen.push((id, writes));
        if w.bus == DiskBus::Vscsi
            && slots.iter().filter(|s: &&DiskSlot| s.bus == w.bus).count() >= MOST_VSCSI
        {
            return Err(failure(&w, format!("there can be no more than {MOST_VSCSI} disks on bus=vscsi")));
        }
        let disk = open_disk(&w, file, writes)?;
        slots.push(DiskSlot { disk, bus: w.bus, cdrom: w.cdrom });
    }
    Ok(slots)
}

/// Waits for what is under way and makes all that was written stable: a guest may have left without a flush.
pub fn finish(slots: &[DiskSlot]) -> Result<(), Failure> {
    for slot in slots.iter().filter(|s| !s.disk.read_only()) {
        slot.disk.drain();
        let (tell, hear) = std::sync::mpsc::channel();
        slot.disk.submit(Op::Flush, Box::new(move |r| tell.send(r).unwrap_or_default()));
        if let Ok(Err(e)) = hear.recv() {
            return Err(Failure::internal(format!(
                "--disk: what the guest wrote last is not on the disk: {e}"
            )));
        }
    }
    Ok(())
}

fn failure(w: &Wanted, what: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("--disk {}: {what}", w.path.display()))
}

fn open_file(w: &Wanted) -> Result<(File, (u64, u64)), Failure> {
    let write = !w.read_only && !w.snapshot;
    // A pipe without a writer must not keep us waiting.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).write(write).custom_flags(flags).open(&w.path);
    let file = file.map_err(|e| match e.kind() {
        ErrorKind::NotFound => failure(w, "there is no such file"),
        ErrorKind::IsADirectory => failure(w, "it is a directory, not an image"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            if write && File::open(&w.path).is_ok() =>
        {
            failure(w, format!("it cannot be written ({e}); readonly or snapshot would do"))
        }
        _ => failure(w, e),
    })?;
    let meta = file.metadata().map_err(|e| failure(w, e))?;
    let kind = meta.file_type();
    if kind.is_dir() {
        return Err(failure(w, "it is a directory, not an image"));
    }
    if !kind.is_file() && !kind.is_block_device() {
        return Err(failure(w, "it is neither a file nor a block device"));
    }
    let id = if kind.is_block_device() { (u64::MAX, meta.rdev()) } else { (meta.dev(), meta.ino()) };
    Ok((file, id))
}

fn open_disk(w: &Wanted, file: File, writes: bool) -> Result<Arc<dyn Disk>, Failure> {
    image::lock(&file, writes).map_err(|e| failure(w, e))?;
    let format = match w.format {
        Some(f) => f,
        None => {
            if let Some(name) = image::foreign_format(&file).map_err(|e| failure(w, e))? {
                return Err(failure(w, format!("its format is {name}; right would be raw or qcow2")));
            }
            Format::probe(&file).map_err(|e| failure(w, e))?
        }
    };
    let disk: Arc<dyn Disk> = match format {
        Format::Raw => {
            let past_cache = || {
                let flags = OFlags::DIRECT.bits() as i32;
                File::options().read(true).write(writes).custom_flags(flags).open(&w.path)
            };
            // Some file systems have no way past the cache: then it is used.
            let direct = (w.cache == Cache::None).then(past_cache).and_then(Result::ok);
            let raw = Raw::with_cache(file, direct, !writes, w.cache).map_err(|e| failure(w, e))?;
            Arc::new(if w.format.is_none() { raw.guarded() } else { raw })
        }
        Format::Qcow2 => {
            let opened = Qcow2::open(file, &w.path, !writes, w.cache);
            Arc::new(opened.map_err(|e| failure(w, format!("this qcow2 image cannot be used: {e}")))?)
        }
    };
    if disk.size() == 0 {
        return Err(failure(w, "it is empty: a disk has at least 512 bytes"));
    }
    if !w.snapshot {
        return Ok(disk);
    }
    let overlay = Overlay::new(disk);
    Ok(Arc::new(overlay.map_err(|e| failure(w, format!("no temporary file for the snapshot: {e}")))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_disks() {
        let w = parse("a,,b.img,format=qcow2,bus=vscsi,readonly,cache=none").unwrap();
        assert_eq!((w.path.to_str(), w.format), (Some("a,b.img"), Some(Format::Qcow2)));
        assert_eq!((w.bus, w.read_only, w.cache), (DiskBus::Vscsi, true, Cache::None));
        let w = parse("x").unwrap();
        assert_eq!((w.format, w.bus, w.read_only, w.cdrom), (None, DiskBus::Virtio, false, false));
        let w = parse("cd.iso,cdrom").unwrap();
        assert_eq!((w.bus, w.read_only), (DiskBus::Vscsi, true));
    }

    #[test]
    fn mistakes_are_one_line() {
        for (arg, word) in [
            ("", "missing"),
            (",readonly", "missing"),
            ("x,format=vmdk", "raw or qcow2"),
            ("x,bus=ide", "virtio, vscsi or virtio-scsi"),
            ("x,cache=fast", "writeback"),
            ("x,read-only", "'read-only' is unknown"),
            ("x,readonly=on", "'readonly=on' is unknown"),
            ("x,", "'' is unknown"),
            ("x,cdrom,bus=virtio", "vscsi"),
            ("x,readonly,snapshot", "exclude"),
        ] {
            let e = parse(arg).unwrap_err();
            assert!(e.status == 2 && e.text.contains(word) && !e.text.contains('\n'), "{arg}: {}", e.text);
        }
        let open = |arg: &str| open_all(&[arg.to_owned()]).err().unwrap().text;
        assert!(open("/nonexistent/x").contains("no such file"));
        assert!(open("/").contains("directory"));
        assert!(open("/dev/null").contains("neither"));
    }

    #[test]
    fn one_image_twice_needs_readers_only() {
        let path = std::env::temp_dir().join(format!("rhyp-disk-{}", std::process::id()));
        std::fs::write(&path, [0; 1024]).unwrap();
        let all = |tail: [&str; 2]| {
            let args = tail.map(|t| format!("{}{t}", path.display()));
            open_all(&args).map(|d| d.len()).map_err(|e| e.text)
        };
        assert!(all(["", ""]).unwrap_err().contains("twice"));
        assert!(all(["", ",readonly"]).unwrap_err().contains("twice"));
        assert_eq!(all([",snapshot", ",readonly"]), Ok(2));
        let held = open_all(&[path.display().to_string()]).unwrap();
        assert!(all([",snapshot", ",readonly"]).unwrap_err().contains("another program"));
        drop(held);
        std::fs::write(&path, []).unwrap();
        assert!(all([",readonly", ",readonly"]).unwrap_err().contains("empty"));
        std::fs::remove_file(&path).unwrap();
    }
}
