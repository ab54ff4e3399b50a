//! What `examples/ten.toml` boots: ten Linuxes on one processor, of which one serves a disk and the way out to the others.

use std::fs;
use std::path::Path;

use crate::error::{Result, at};
use crate::{Guests, GuestsError, INIT_MOUNTS, Initramfs, KernelVersion};

const END: &str = include_str!("init/ten_end.sh");
/// Bytes of the disk.
const DISK: u64 = 64 << 20;

impl Guests {
    /// Leaves `vmlinux`, `io.gz`, `part.gz` and `disk.img` in a directory.
    ///
    /// # Errors
    /// As [`Guests::kernel`], and if the files cannot be written.
    pub fn ten(&self, dir: &Path) -> Result<()> {
        let kernel = match self.kernel(KernelVersion::V6_12) {
            Err(GuestsError::NotFound { .. }) => self.kernel(KernelVersion::V6_1)?,
            other => other?,
        };
        let busybox = self.busybox()?;
        fs::create_dir_all(dir).map_err(at(dir))?;
        for (name, script, modules) in [
            (
                "io.gz",
                include_str!("init/ten_io.sh"),
                &["ibmveth", "bridge", "virtio_blk", "configfs", "ibmvscsis", "target_core_iblock"][..],
            ),
            ("part.gz", include_str!("init/ten.sh"), &["ibmveth", "ibmvscsi", "sd_mod"]),
        ] {
            let initramfs = Initramfs::new().busybox(&busybox).modules(&kernel, modules)?;
            initramfs.init(&format!("{INIT_MOUNTS}{script}{END}")).write(&dir.join(name))?;
        }
        let to = dir.join("vmlinux");
        fs::copy(&kernel.vmlinux, &to).map_err(at(&to))?;
        let disk = dir.join("disk.img");
        let file =
            fs::File::options().write(true).create(true).truncate(false).open(&disk).map_err(at(&disk))?;
        file.set_len(DISK).map_err(at(&disk))
    }
}
