//! Virtual I/O adapters by their unit address, as hypercalls reach them (LoPAR chapter 17).

use std::collections::BTreeMap;
use std::sync::Arc;

use device::VioDevice;
use serde::{Deserialize, Serialize};

use crate::rc::{HResult, Rc};

/// The adapters of a partition below `/vdevice`, terminals and NVRAM apart.
#[derive(Default)]
pub struct VioBus(BTreeMap<u32, Arc<dyn VioDevice>>);

impl VioBus {
    /// Adds an adapter. False: its unit address is taken.
    pub fn add(&mut self, device: Arc<dyn VioDevice>) -> bool {
        let free = !self.0.contains_key(&device.unit());
        if free {
            self.0.insert(device.unit(), device);
        }
        free
    }

    /// The adapters by their unit addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn VioDevice>> {
        self.0.values()
    }

    /// The adapter at a unit address; H_PARAMETER if there is none.
    pub fn find(&self, unit: u64) -> Result<&Arc<dyn VioDevice>, Rc> {
        u32::try_from(unit).ok().and_then(|u| self.0.get(&u)).ok_or(Rc::PARAMETER)
    }

    /// What an adapter answers to a hypercall.
    pub(crate) fn call(
        &self,
        unit: u64,
        what: impl FnOnce(&dyn VioDevice) -> Result<(), device::vio::Rc>,
    ) -> HResult {
        what(&**self.find(unit)?).map_err(Rc)
    }

    /// All adapters back to power-on.
    pub fn reset(&self) {
        self.iter().for_each(|d| d.reset());
    }

    /// State of all adapters.
    pub fn save(&self) -> VioState {
        VioState { devices: self.0.iter().map(|(&unit, d)| (unit, d.save())).collect() }
    }

    /// Takes saved states over; every adapter must have one, and every one an adapter.
    pub fn restore(&self, mut state: VioState) -> Result<(), String> {
        for (unit, d) in &self.0 {
            let saved = state.devices.remove(unit);
            let saved = saved.ok_or_else(|| format!("no saved state for the adapter at {unit:#x}"))?;
            d.restore(saved)?;
        }
        match state.devices.keys().next() {
            Some(unit) => Err(format!("saved state for an adapter at {unit:#x}, which is not there")),
            None => Ok(()),
        }
    }
}

/// Saved form of [`VioBus`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VioState {
    /// State of each adapter by unit address.
    pub devices: BTreeMap<u32, serde_json::Value>,
}
