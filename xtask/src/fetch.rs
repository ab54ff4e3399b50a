//! `cargo xtask guests`: everything the tests boot, fetched once.

use anyhow::Result;
use guests::{CacheDir, Guests, KernelVersion, Progress};

/// Fetches all guests and says where they are.
pub fn all() -> Result<()> {
    let guests = Guests::open(CacheDir::user()?, Progress::auto());
    for version in KernelVersion::ALL {
        match guests.kernel(version) {
            Ok(kernel) => println!("kernel {version} ({}): {}", kernel.release, kernel.vmlinux.display()),
            // Backports may be missing where the host's mirror does not carry them.
            Err(error @ guests::GuestsError::NotFound { .. }) => println!("kernel {version}: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    println!("busybox: {}", guests.busybox()?.program.display());
    println!("installer: {}", guests.installer()?.vmlinux.display());
    println!("tools: {}", guests.tools()?.display());
    println!("programs: {}", guests.programs()?.display());
    println!("fio: {}", guests.fio()?.display());
    println!("firewall: {}", guests.firewall()?.display());
    println!("demo: {}", guests.demo()?.initrd.display());
    Ok(())
}
