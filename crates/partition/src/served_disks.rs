//! Disks that another partition serves, as the built-in firmware reads them: it is a client of that server until a kernel
//! takes the adapter over.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use devices::crq::Crq;
use devices::vscsi::initiator::{Initiator, NoAnswer, Served};
use firmware::of_client::DiskError;

use crate::firmware_disks::{FirmwareDisk, Medium};

/// How long a server may be silent before that is told.
const SILENCE: Duration = Duration::from_secs(2);
/// Between attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks what there is behind all adapters. Once one of the servers has disks the others are not waited for much longer;
/// a wait that is long is told with `say`.
pub(crate) fn find(
    all: &[Arc<ServedDisks>],
    go_on: &(dyn Fn() -> bool + Sync),
    say: &(dyn Fn(&str) + Sync),
) -> Vec<FirmwareDisk> {
    let (begin, first) = (Instant::now(), OnceLock::new());
    let look = |s: &Arc<ServedDisks>| {
        let told = Cell::new(false);
        let disks = s.find(&|| {
            if begin.elapsed() > SILENCE && !told.replace(true) {
                say(&format!("Waiting for the partition that serves {}\r\n", s.path));
            }
            go_on() && first.get().is_none_or(|at: &Instant| at.elapsed() < SILENCE)
        });
        if !disks.is_empty() {
            let _ = first.set(Instant::now());
        }
        disks
    };
    std::thread::scope(|scope| {
        let looking: Vec<_> = all.iter().map(|s| scope.spawn(|| look(s))).collect();
        looking.into_iter().flat_map(|l| l.join().unwrap_or_default()).collect()
    })
}

/// The disks behind an adapter.
pub(crate) struct ServedDisks {
    /// Path of the adapter's node.
    path: String,
    adapter: Arc<Crq>,
    connection: Mutex<Option<Initiator>>,
}

impl ServedDisks {
    /// Behind an adapter whose node has this path.
    pub fn new(path: String, adapter: Arc<Crq>) -> Arc<Self> {
        Arc::new(ServedDisks { path, adapter, connection: Mutex::default() })
    }

    /// Whether a device path leads through the adapter.
    pub fn is_on(&self, device: &str) -> bool {
        device.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn connection(&self) -> MutexGuard<'_, Option<Initiator>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest has its adapter to itself.
    pub fn disconnect(&self) {
        *self.connection() = None;
    }

    /// Does something with a connection, and again with a new one if the server goes meanwhile.
    fn with<R>(
        &self,
        go_on: &dyn Fn() -> bool,
        work: &mut dyn FnMut(&mut Initiator) -> Result<R, NoAnswer>,
    ) -> Result<R, NoAnswer> {
        let mut slot = self.connection();
        loop {
            if slot.is_none() {
                *slot = match Initiator::connect(&self.adapter, go_on) {
                    Err(NoAnswer::Gone) => None,
                    other => Some(other?),
                };
            }
            match slot.as_mut().map_or(Err(NoAnswer::Gone), &mut *work) {
                Err(NoAnswer::Gone) if go_on() => {
                    *slot = None;
                    std::thread::sleep(PAUSE);
                }
                other => return other,
            }
        }
    }

    /// Looks what there is, as soon as there is a server.
    pub fn find(self: &Arc<Self>, go_on: &dyn Fn() -> bool) -> Vec<FirmwareDisk> {
        let units = self.with(go_on, &mut |c| c.units(go_on)).unwrap_or_default();
        let disk = |unit: Served| {
            let name = if unit.cdrom { "cdrom" } else { "disk" };
            FirmwareDisk {
                path: format!("{}/{name}@{:016x}", self.path, unit.lun),
                medium: Medium::Served(self.clone(), unit),
                cdrom: unit.cdrom,
            }
        };
        units.into_iter().map(disk).collect()
    }

    /// Reads whole blocks.
    pub fn read(
        &self,
        unit: &Served,
        block: u64,
        out: &mut [u8],
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), DiskError> {
        self.with(go_on, &mut |c| c.read(unit, block, out, go_on)).map_err(|_| DiskError)
    }
}
