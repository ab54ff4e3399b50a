//! Connectors of dynamic reconfiguration (LoPAR chapter 13): one for each core and each block of memory. Nothing can be
//! added or removed yet, so all are occupied, but the calls about them are answered as LoPAR says.

use device::{DeviceTree, NodeId};
use serde::{Deserialize, Serialize};

use crate::config::PartitionConfig;
use crate::rc::Status;

/// Size of a logical memory block in bytes.
pub const LMB_SIZE: u64 = 256 << 20;
/// Domain of what has no power supply of its own.
const NO_POWER_DOMAIN: u32 = u32::MAX;

/// What hangs on a connector; its number stands in the top four bits of the connector's index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A core.
    Cpu,
    /// A logical memory block.
    Memory,
}

impl Kind {
    const fn bits(self) -> u32 {
        match self {
            Kind::Cpu => 1 << 28,
            Kind::Memory => 8 << 28,
        }
    }

    /// The text of `ibm,drc-types`.
    pub const fn type_name(self) -> &'static str {
        match self {
            Kind::Cpu => "CPU",
            Kind::Memory => "MEM",
        }
    }
}

/// The index of a connector.
pub const fn index(kind: Kind, id: u32) -> u32 {
    kind.bits() | id & 0x0fff_ffff
}

/// Indicator and sensor numbers.
pub mod indicator {
    /// Isolation: 0 isolated, 1 unisolated.
    pub const ISOLATION: u32 = 9001;
    /// Dynamic reconfiguration lamp.
    pub const DR: u32 = 9002;
    /// Allocation: 0 unusable, 1 usable.
    pub const ALLOCATION: u32 = 9003;
    /// Sensor: is something there? 0 empty, 1 present, 2 unusable.
    pub const ENTITY_SENSE: u32 = 9003;
}

/// One connector.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Drc {
    index: u32,
    isolated: bool,
    usable: bool,
    lamp: u32,
}

/// All connectors of a partition.
#[derive(Clone, Debug)]
pub struct Drcs(Vec<Drc>);

/// Saved form of [`Drcs`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrcsState(Vec<Drc>);

impl Drcs {
    /// The connectors of a partition, all with what they hold in use.
    pub fn new(config: &PartitionConfig) -> Self {
        let cpus = (0..config.cores()).map(|core| index(Kind::Cpu, core * config.threads));
        let blocks = config.memory.div_ceil(LMB_SIZE).min(1 << 20) as u32;
        let memory = (0..blocks).map(|n| index(Kind::Memory, n));
        let drc = |index| Drc { index, isolated: false, usable: true, lamp: 0 };
        Drcs(cpus.chain(memory).map(drc).collect())
    }

    fn get(&mut self, index: u32) -> Result<&mut Drc, Status> {
        // Indexes rise, as both kinds are made in order.
        let at = self.0.binary_search_by_key(&index, |d| d.index).map_err(|_| Status::PARAMETER)?;
        Ok(&mut self.0[at])
    }

    /// `set-indicator` for the indicators 9001 to 9003.
    pub fn set(&mut self, which: u32, index: u32, value: u32) -> Result<(), Status> {
        let drc = self.get(index)?;
        match (which, value) {
            (indicator::ISOLATION, 0) => drc.isolated = true,
            (indicator::ISOLATION, 1) if drc.usable => drc.isolated = false,
            (indicator::ISOLATION, 1) => return Err(Status(-9002)),
            (indicator::DR, 0..=3) => drc.lamp = value,
            // What is in use cannot be given back.
            (indicator::ALLOCATION, 0) if !drc.isolated => return Err(Status(-9001)),
            (indicator::ALLOCATION, 0) => drc.usable = false,
            (indicator::ALLOCATION, 1) => drc.usable = true,
            _ => return Err(Status::PARAMETER),
        }
        Ok(())
    }

    /// `get-sensor-state` for the sensor 9003.
    pub fn sense(&mut self, index: u32) -> Result<u32, Status> {
        Ok(if self.get(index)?.usable { 1 } else { 2 })
    }

    /// Whether `ibm,configure-connector` may hand out the node of a connector.
    pub fn configurable(&mut self, index: u32) -> Result<(), Status> {
        let drc = self.get(index)?;
        if drc.isolated || !drc.usable { Err(Status::NOT_CONFIGURABLE) } else { Ok(()) }
    }

    pub(crate) fn save(&self) -> DrcsState {
        let Drcs(drcs) = self.clone();
        DrcsState(drcs)
    }

    /// Whether a saved state is one of these connectors.
    pub(crate) fn fits(&self, state: &DrcsState) -> bool {
        self.0.iter().map(|d| d.index).eq(state.0.iter().map(|d| d.index))
    }

    pub(crate) fn restore(&mut self, state: DrcsState) {
        self.0 = state.0;
    }
}

/// Adds the four properties that list connectors (`ibm,drc-indexes` and kin, LoPAR 13.5.2) to the node above them.
pub fn describe(tree: &mut DeviceTree, node: NodeId, kind: Kind, ids: &[u32], name: impl Fn(u32) -> String) {
    let count = ids.len() as u32;
    let list = |value: &dyn Fn(u32) -> u32| {
        std::iter::once(count).chain(ids.iter().map(|&id| value(id))).collect::<Vec<u32>>()
    };
    tree.set_u32s(node, "ibm,drc-indexes", &list(&|id| index(kind, id)));
    tree.set_u32s(node, "ibm,drc-power-domains", &list(&|_| NO_POWER_DOMAIN));
    let texts = |text: &dyn Fn(u32) -> String| {
        let mut value = count.to_be_bytes().to_vec();
        for &id in ids {
            value.extend_from_slice(text(id).as_bytes());
            value.push(0);
        }
        value
    };
    tree.set_bytes(node, "ibm,drc-names", texts(&name));
    tree.set_bytes(node, "ibm,drc-types", texts(&|_| kind.type_name().into()));
}
