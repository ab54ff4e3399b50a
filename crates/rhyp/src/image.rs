//! `rhyp image`: a bootable Debian disk, made by the host's apt and by a partition that runs once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use guests::image::{DONE, FAILED, ImageRequest, LEAST_SIZE, STATUS, STEP, Staged};
use guests::{CacheDir, Guests, GuestsError, Progress, Step};
use partition::block::{Cache, Raw, qcow2_write};
use partition::io::{DiskBus, DiskSlot, IoSlots};
use partition::papr::PartitionConfig;
use partition::{Accel, BootImages, CharBackend, JitOptions, Model, Nvram, Partition};

use crate::args::ImageArgs;
use crate::error::Failure;
use crate::size;

/// Memory of the partition that finishes the disk.
const MEMORY: u64 = 1 << 30;
/// Last lines of its console that are kept for a failure.
const LAST_LINES: usize = 30;

/// Make the image.
pub fn image(a: &ImageArgs) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let request = request(a)?;
    let qcow2 = match (a.format.as_deref(), a.out.extension().and_then(|e| e.to_str())) {
        (Some("qcow2"), _) | (None, Some("qcow2")) => true,
        (Some("raw"), _) | (None, Some("raw" | "img")) => false,
        (Some(name), _) => {
            return Err(Failure::usage(format!("--format {name}: right would be qcow2 or raw")));
        }
        (None, _) => {
            let name = a.out.display();
            return Err(Failure::usage(format!("{name}: call it NAME.qcow2 or NAME.raw, or say --format")));
        }
    };
    let wrong = |why: String| Failure::usage(format!("{}: {why}", a.out.display()));
    if a.out.exists() && !a.force {
        return Err(wrong("it exists; --force replaces it".into()));
    }
    let scratch = Scratch::new(&a.out).map_err(|e| wrong(e.to_string()))?;
    let progress = Progress::auto();
    let fetch = |e: GuestsError| Failure::internal(e.to_string());
    let guests = Guests::open(CacheDir::user().map_err(fetch)?, progress);
    let staged = guests.stage_image(&scratch.0, &request).map_err(fetch)?;
    finish(&scratch.0, &staged, progress)?;
    let failed = |e: std::io::Error| Failure::internal(format!("{}: {e}", a.out.display()));
    if qcow2 {
        let step = progress.step("writing the image");
        let packed = Scratch::new(&a.out).map_err(failed)?;
        let raw = File::open(&scratch.0).map_err(failed)?;
        let out = File::create_new(&packed.0).map_err(failed)?;
        let mut told = |done: u64, all: u64| step.percent(done as f64 * 100.0 / all.max(1) as f64);
        qcow2_write::copy(&raw, &out, &mut told).map_err(failed)?;
        std::fs::rename(&packed.0, &a.out).map_err(failed)?;
    } else {
        std::fs::rename(&scratch.0, &a.out).map_err(failed)?;
    }
    let name = a.out.display();
    eprintln!("{name}: Debian {} in {:.0} s", a.suite, start.elapsed().as_secs_f64());
    if request.root_password.is_none() {
        eprintln!("root logs in on the console without a password");
    }
    eprintln!("start it with: rhyp run --disk {name} --net user,hostfwd=tcp:127.0.0.1:2222-:22");
    Ok(ExitCode::SUCCESS)
}

fn request(a: &ImageArgs) -> Result<ImageRequest, Failure> {
    let size = size::parse(&a.size).map_err(|e| Failure::usage(format!("--size: {e}")))?;
    if size < LEAST_SIZE {
        return Err(Failure::usage(format!("--size {}: a Debian needs at least 1536M", a.size)));
    }
    let plain = |s: &str, more: &str| {
        let ok = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !s.is_empty() && s.len() <= 63 && s.chars().all(ok) && !s.starts_with(['-', '+', '.'])
    };
    if !plain(&a.hostname, "-") {
        return Err(Failure::usage(format!("--hostname {}: letters, digits and hyphens", a.hostname)));
    }
    if !plain(&a.suite, "-") {
        return Err(Failure::usage(format!("--suite {}: a release, such as bookworm", a.suite)));
    }
    let packages: Vec<String> =
        a.packages.iter().flat_map(|p| p.split([',', ' '])).map(str::to_owned).collect();
    let packages: Vec<String> = packages.into_iter().filter(|p| !p.is_empty()).collect();
    if let Some(bad) = packages.iter().find(|p| !plain(p, "-+.:")) {
        return Err(Failure::usage(format!("--packages {bad}: not the name of a package")));
    }
    if a.root_password.as_deref().is_some_and(|p| p.is_empty() || p.contains(['\n', '\0'])) {
        return Err(Failure::usage("--root-password: leave the option out for a root without a password"));
    }
    Ok(ImageRequest {
        size,
        release: a.suite.clone(),
        hostname: a.hostname.clone(),
        packages,
        root_password: a.root_password.clone(),
        ssh_keys: ssh_keys(&a.ssh_key)?,
    })
}

/// The keys that were named, else the user's own.
fn ssh_keys(files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let is_key =
        |l: &&str| l.split_whitespace().next().is_some_and(|w| w.starts_with("ssh-") || w.contains("sha2-"));
    let keys = |text: &str| text.lines().filter(is_key).map(str::to_owned).collect::<Vec<_>>();
    if files.is_empty() {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let names = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];
        let texts = names.iter().filter_map(|n| std::fs::read_to_string(home.join(".ssh").join(n)).ok());
        return Ok(texts.flat_map(|t| keys(&t)).collect());
    }
    let mut all = Vec::new();
    for f in files {
        let wrong = |why: String| Failure::usage(format!("--ssh-key {}: {why}", f.display()));
        let found = keys(&std::fs::read_to_string(f).map_err(|e| wrong(e.to_string()))?);
        if found.is_empty() {
            return Err(wrong("no public key in it".into()));
        }
        all.extend(found);
    }
    Ok(all)
}

/// A file next to the result that goes away unless it is renamed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(out: &Path) -> std::io::Result<Self> {
        for n in 0..100 {
            let mut name = out.file_name().unwrap_or_default().to_owned();
            name.push(format!(".part{}-{n}", std::process::id()));
            let path = out.with_file_name(name);
            if !path.exists() {
                // Says now whether the directory can be written.
                File::create_new(&path)?;
                std::fs::remove_file(&path)?;
                return Ok(Scratch(path));
            }
        }
        Err(std::io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the finishing guest prints, line by line.
struct Listener {
    state: Mutex<Heard>,
    progress: Progress,
    packages: usize,
}

#[derive(Default)]
struct Heard {
    line: Vec<u8>,
    last: Vec<String>,
    step: Option<Step>,
    configured: std::collections::BTreeSet<String>,
    done: bool,
    failed: Option<String>,
}

impl CharBackend for Listener {
    fn write(&self, bytes: &[u8]) -> bool {
        let mut h = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for &b in bytes {
            match b {
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut h.line);
                    self.line(&mut h, String::from_utf8_lossy(&line).trim());
                }
                _ if h.line.len() < 1000 => h.line.push(b),
                _ => {}
            }
        }
        true
    }
    fn input_room(&self) {}
}

impl Listener {
    fn line(&self, h: &mut Heard, line: &str) {
        if line.is_empty() {
            return;
        }
        if let Some(what) = line.strip_prefix(STEP) {
            h.step = None;
            h.step = Some(self.progress.step(what.trim()));
        } else if let Some(state) = line.strip_prefix(STATUS) {
            if let Some((package, "installed")) = state.rsplit_once(": ") {
                h.configured.insert(package.to_owned());
                let percent = h.configured.len() as f64 * 100.0 / self.packages.max(1) as f64;
                h.step.iter().for_each(|s| s.percent(percent));
            }
        } else if line.starts_with(DONE) {
            h.done = true;
        } else if let Some(why) = line.strip_prefix(FAILED) {
            h.failed = Some(why.trim().to_owned());
        } else if !line.starts_with("processing: ") {
            if h.last.len() == LAST_LINES {
                h.last.remove(0);
            }
            h.last.push(line.to_owned());
        }
    }
}

/// Boots the staged disk once: its guest configures the packages and installs the boot loader.
fn finish(disk: &Path, staged: &Staged, progress: Progress) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::internal(format!("{}: {e}", disk.display()));
    let read = |p: &Path| std::fs::read(p).map_err(|e| Failure::internal(format!("{}: {e}", p.display())));
    let file = File::options().read(true).write(true).open(disk).map_err(failed)?;
    let raw = Raw::with_cache(file, None, false, Cache::Unsafe).map_err(failed)?;
    let disks = vec![DiskSlot { disk: Arc::new(raw), bus: DiskBus::Virtio, cdrom: false }];
    let model = Model::by_name("power9").ok_or_else(|| Failure::internal("no POWER9 model"))?;
    let mut config = PartitionConfig::new(model, MEMORY);
    // Packages are configured one after the other; a second processor would translate the same programs once more.
    config.vcpus = 1;
    let images = BootImages {
        firmware: None,
        kernel: Some(read(&staged.vmlinux)?.into()),
        initrd: Some(read(&staged.initrd)?.into()),
        append: staged.append.clone(),
    };
    let listener = Arc::new(Listener { state: Mutex::default(), progress, packages: staged.packages });
    listener.state.lock().unwrap_or_else(PoisonError::into_inner).step =
        Some(progress.step("starting a partition to finish it"));
    let slots = IoSlots { disks, ..IoSlots::default() };
    let internal = |e: partition::BootError| Failure::internal(e.to_string());
    let partition =
        Partition::new(config, images, listener.clone(), Nvram::volatile(), &slots).map_err(internal)?;
    partition.set_accel(Accel::Jit(JitOptions::default()));
    let outcome = partition.run(true).map_err(internal)?;
    let mut h = listener.state.lock().unwrap_or_else(PoisonError::into_inner);
    h.step = None;
    if h.done && h.failed.is_none() {
        return Ok(());
    }
    for line in &h.last {
        eprintln!("  {line}");
    }
    let why = h.failed.clone().unwrap_or_else(|| format!("its guest ended early ({outcome:?})"));
    Err(Failure::internal(format!("the disk could not be finished: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_is_understood_in_pieces() {
        let l = Listener { state: Mutex::default(), progress: Progress::Silent, packages: 4 };
        for piece in [
            "rhyp-image: step: x\r\nsta",
            "tus: libc6:ppc64el: installed\n",
            "status: bash: unpacked\nstatus: bash: installed\n",
            "odd words\nrhyp-image: failed: grub-install\n",
        ] {
            assert!(l.write(piece.as_bytes()));
        }
        let h = l.state.lock().unwrap();
        assert_eq!(h.configured.len(), 2);
        assert!(!h.done);
        assert_eq!((h.failed.as_deref(), h.last.len()), (Some("grub-install"), 1));
    }
}
