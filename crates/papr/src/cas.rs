//! What guest and platform agree upon: `ibm,client-architecture-support` (LoPAR B.6.2.3).
//!
//! The guest says what it knows, the platform answers by the device tree and by being what it says. A partition may
//! negotiate more than once: a boot loader does, then the kernel.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arch::hpt::{Hpt, HpteError};
use arch::model::MODELS;
use arch::msr::lpcr;
use device::DeviceTree;
use devices::intc::IrqMode;
use firmware::cas::CasVectors;
use firmware::of_client::CasOutcome;
use isa::Level;
use serde::{Deserialize, Serialize};

use crate::config::PartitionConfig;
use crate::fdt;
use crate::platform::Platform;

/// Bytes of option vector 5 by number (LoPAR table B.6.2.3.5) and what the platform has of each.
mod vec5 {
    /// Logical partitioning, shared processors, large pages, donation of idle dedicated processors.
    pub const PARTITION: (usize, u8) = (2, 0x80 | 0x40 | 0x10 | 0x02);
    /// Associativity of form 1.
    pub const AFFINITY: (usize, u8) = (5, 0x80);
    /// Resizing the hashed page table.
    pub const HPT_RESIZE: (usize, u8) = (6, 0x01);
    /// Random numbers as a platform facility.
    pub const FACILITIES: (usize, u8) = (17, 0x80);
    /// Parts of processors.
    pub const SUB_PROCESSORS: (usize, u8) = (21, 0x01);
    pub const XIVE: usize = 23;
    pub const MMU: usize = 24;
    pub const RADIX: usize = 26;
    /// Length of the answer, without its first byte.
    pub const LENGTH: usize = 26;
    /// In XIVE and MMU: the choice, in the top two bits.
    pub const CHOICE: u8 = 0xc0;
    pub const EXPLOITATION: u8 = 0x40;
    pub const RADIX_TREES: u8 = 0x40;
    pub const EITHER: u8 = 0x80;
    /// In RADIX: the guest may invalidate translations by instruction.
    pub const GTSE: u8 = 0x40;
}

/// The outcome of a negotiation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Agreement {
    /// Processor version, logical or real, whose architecture level is in force.
    pub logical_pvr: u32,
    /// `cpu-version` of the tree.
    pub cpu_version: u32,
    /// Radix trees are in use rather than a hashed table.
    pub radix: bool,
    /// XIVE is in use rather than XICS.
    pub xive: bool,
    /// `/chosen` `ibm,architecture-vec-5`; empty before any negotiation.
    pub vec5: Vec<u8>,
    /// How often the guest has negotiated.
    pub rounds: u32,
}

impl Agreement {
    /// What holds before the guest has said anything.
    pub fn before(config: &PartitionConfig) -> Self {
        let newest = config.newest();
        let compatible = newest.logical_pvr < config.model.logical_pvr;
        Agreement {
            logical_pvr: newest.logical_pvr,
            cpu_version: if compatible { newest.logical_pvr } else { config.model.pvr },
            radix: config.offers_radix(),
            xive: !config.offers_xics(),
            vec5: Vec::new(),
            rounds: 0,
        }
    }

    /// The controller in use.
    pub fn irq_mode(&self) -> IrqMode {
        if self.xive { IrqMode::Xive } else { IrqMode::Xics }
    }
}

/// The architecture level of a logical or real processor version; the oldest for one that is unknown.
pub fn level_of(pvr: u32) -> Level {
    match pvr {
        0x0f00_0003 | 0x0f10_0003 => Level::V2_06,
        0x0f00_0004 => Level::V2_07,
        0x0f00_0005 => Level::V3_0,
        // Nothing in 0x0f00_0007 (POWER11) is newer than ISA 3.1.
        0x0f00_0006 | 0x0f00_0007 => Level::V3_1,
        _ => MODELS.iter().find(|m| m.pvr >> 16 == pvr >> 16).map_or(Level::V2_06, |m| m.level),
    }
}

/// Logical processor versions that can be offered, best first.
const LOGICAL: [u32; 5] = [0x0f00_0007, 0x0f00_0006, 0x0f00_0005, 0x0f00_0004, 0x0f00_0003];

/// Puts the partition into the state in which its first instruction is executed: LPCR, page table, interrupt
/// controller, as [`Agreement::before`] has it. For start and reboot, after [`crate::PaprState::reset`]; no processor
/// may run.
pub fn power_on(p: &dyn Platform) -> Result<(), HpteError> {
    let agreement = Agreement::before(p.config());
    let mut bits = 0;
    if p.config().model.dec_bits > 32 {
        bits |= lpcr::LD;
    }
    if agreement.radix {
        bits |= lpcr::HR;
    }
    p.shared().lpcr.store(bits, Ordering::SeqCst);
    p.shared().prtb.store(0, Ordering::SeqCst);
    drop(Hpt::replace(&p.shared().hpt, None));
    switch_mmu(p, agreement.radix)?;
    p.intc().reset(agreement.irq_mode());
    p.papr().set_agreement(agreement);
    Ok(())
}

/// Makes or frees the hashed page table as a translation needs it. LPCR is the caller's, and so is flushing.
pub(crate) fn switch_mmu(p: &dyn Platform, radix: bool) -> Result<(), HpteError> {
    let slot = &p.shared().hpt;
    if radix {
        drop(Hpt::replace(slot, None));
        return Ok(());
    }
    let missing = slot.read().unwrap_or_else(|e| e.into_inner()).is_none();
    if missing {
        let hpt = Arc::new(Hpt::new(p.config().hpt_shift())?);
        drop(Hpt::replace(slot, Some(hpt)));
    }
    Ok(())
}

/// The answer to what a guest says of itself; `None` if they cannot go together.
fn agree(config: &PartitionConfig, v: &CasVectors) -> Option<Agreement> {
    let newest = config.newest();
    let logical = LOGICAL.into_iter().filter(|&l| l <= newest.logical_pvr).find(|&l| v.supports(l));
    let version = match logical {
        Some(l) => l,
        None if newest.logical_pvr == config.model.logical_pvr && v.supports(config.model.pvr) => {
            config.model.pvr
        }
        None => return None,
    };
    let isa3 = level_of(version) >= Level::V3_0;
    let choose =
        |byte: usize, new: u8, new_offered: bool, old_offered: bool| match v.vec5(byte) & vec5::CHOICE {
            vec5::EITHER => Some(new_offered && isa3),
            c if c == new && new_offered && isa3 => Some(true),
            // A guest that asks for what is not offered, but would work with the old one.
            _ if old_offered => Some(false),
            _ => None,
        };
    let radix = match v.vec5(vec5::MMU) & vec5::CHOICE {
        // Radix or nothing.
        vec5::RADIX_TREES if !(config.offers_radix() && isa3) => None,
        _ => choose(vec5::MMU, vec5::RADIX_TREES, config.offers_radix(), config.offers_hash()),
    }?;
    let xive = choose(vec5::XIVE, vec5::EXPLOITATION, config.offers_xive(), config.offers_xics())?;

    let mut answer = vec![0; vec5::LENGTH + 1];
    // The first byte counts those after it less one.
    answer[0] = vec5::LENGTH as u8 - 1;
    for (byte, have) in [vec5::PARTITION, vec5::AFFINITY, vec5::FACILITIES, vec5::SUB_PROCESSORS] {
        answer[byte] = v.vec5(byte) & have;
    }
    if !radix {
        answer[vec5::HPT_RESIZE.0] = v.vec5(vec5::HPT_RESIZE.0) & vec5::HPT_RESIZE.1;
    }
    if xive {
        answer[vec5::XIVE] = vec5::EXPLOITATION;
    }
    if radix {
        answer[vec5::MMU] = vec5::RADIX_TREES;
        answer[vec5::RADIX] = v.vec5(vec5::RADIX) & vec5::GTSE;
    }
    Some(Agreement { logical_pvr: version, cpu_version: version, radix, xive, vec5: answer, rounds: 0 })
}

/// `ibm,client-architecture-support`: `vectors` is the structure the guest gave (see [`firmware::cas`]). If an
/// agreement is found the partition is switched to it and `tree` changed to say so; if not, nothing changes. Only the
/// calling processor may run.
pub fn negotiate(p: &dyn Platform, tree: &mut DeviceTree, vectors: &[u8]) -> CasOutcome {
    let Ok(v) = CasVectors::parse(vectors) else { return CasOutcome::Rejected };
    let old = p.papr().agreement();
    let Some(mut new) = agree(p.config(), &v) else {
        tracing::warn!("the guest supports none of what the partition has to offer");
        return CasOutcome::Rejected;
    };
    if switch_mmu(p, new.radix).is_err() {
        tracing::warn!("no memory for the hashed page table");
        return CasOutcome::Rejected;
    }
    let set_mmu = |l: u64| {
        let kept = l & !(lpcr::HR | lpcr::UPRT | lpcr::GTSE);
        Some(if new.radix { kept | lpcr::HR } else { kept })
    };
    let _ = p.shared().lpcr.fetch_update(Ordering::SeqCst, Ordering::SeqCst, set_mmu);
    p.shared().prtb.store(0, Ordering::SeqCst);
    p.intc().reset(new.irq_mode());
    new.rounds = old.rounds.saturating_add(1);
    tracing::debug!(pvr = new.logical_pvr, radix = new.radix, xive = new.xive, "architecture agreed upon");
    fdt::show_agreement(tree, p.config(), &new);
    p.intc().describe(tree);
    p.papr().set_agreement(new);
    CasOutcome::Accepted
}

/// Agrees with a client that never negotiates, because it is entered with a flattened tree: as if it had asked for all
/// that Linux asks for.
pub fn assume(p: &dyn Platform, tree: &mut DeviceTree) -> CasOutcome {
    let mut vectors = Vec::new();
    let logical = LOGICAL.into_iter().map(|l| (u32::MAX, l));
    for (mask, value) in logical.chain([(0xffff_fffe, 0x0f00_0001)]) {
        vectors.extend_from_slice(&mask.to_be_bytes());
        vectors.extend_from_slice(&value.to_be_bytes());
    }
    // Five vectors, the first four empty.
    vectors.extend_from_slice(&[4, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut v5 = vec![0; vec5::LENGTH];
    for (byte, value) in
        [vec5::PARTITION, vec5::AFFINITY, vec5::HPT_RESIZE, vec5::FACILITIES, vec5::SUB_PROCESSORS]
    {
        v5[byte - 1] = value;
    }
    v5[vec5::XIVE - 1] = vec5::EITHER;
    v5[vec5::MMU - 1] = vec5::EITHER;
    v5[vec5::RADIX - 1] = vec5::GTSE;
    vectors.push(vec5::LENGTH as u8 - 1);
    vectors.extend_from_slice(&v5);
    negotiate(p, tree, &vectors)
}

#[cfg(test)]
mod tests;
