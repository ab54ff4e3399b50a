//! The interrupt controller of a partition: XICS and XIVE side by side, one of them in force.
//!
//! Which one is the outcome of client architecture support, which may come more than once in a
//! partition's life (firmware asks first, then a boot loader, then the kernel). Both own all sources that
//! devices claim; events go to the one in force, levels to both, so that a level that was asserted before a
//! change is still seen after it. The other one stays reset, where it asserts nothing, and its hypercalls
//! answer H_FUNCTION.

use crate::rc::{HResult, HcallError, RtasError, RtasResult};
use crate::servers::ServerMap;
use crate::xics::{Xics, XicsState};
use crate::xive::{GuestMemory, Xive, XiveState};
use crate::{BadState, lock};
use device::irq::{IrqController, IrqError, IrqKind, IrqLine, IrqSink, VcpuLines, lisn};
use device::{DeviceTree, NodeId};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The phandle of the interrupt controller's node, whichever it is: `interrupt-parent` of the devices.
pub const INTC_PHANDLE: u32 = 0x1111;

/// Which controller the guest uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IrqMode {
    /// The hypercall-driven controller of old.
    Xics,
    /// XIVE in exploitation mode.
    Xive,
}

/// A partition's interrupt controller. Clones are handles to the same one.
#[derive(Clone)]
pub struct Intc(Arc<Inner>);

struct Inner {
    xics: Xics,
    xive: Xive,
    xive_in_force: AtomicBool,
    /// Held while sources are claimed and freed, so that both controllers agree on them.
    claims: Mutex<()>,
}

impl Intc {
    /// A controller for these interrupt servers.
    pub fn new(
        servers: &[u32],
        mode: IrqMode,
        lines: Arc<dyn VcpuLines>,
        memory: Arc<dyn GuestMemory>,
    ) -> Self {
        let servers = ServerMap::new(servers);
        let xive = Xive::new(servers.clone(), lines.clone(), memory);
        let xive_in_force = AtomicBool::new(mode == IrqMode::Xive);
        Intc(Arc::new(Inner { xics: Xics::new(servers, lines), xive, xive_in_force, claims: Mutex::new(()) }))
    }

    /// The controller in force.
    pub fn mode(&self) -> IrqMode {
        if self.0.is_xive() { IrqMode::Xive } else { IrqMode::Xics }
    }

    /// Resets both controllers and puts one in force. Claims and levels stay. The processors must not run.
    pub fn reset(&self, mode: IrqMode) {
        self.0.xics.reset();
        self.0.xive.reset();
        self.0.xive_in_force.store(mode == IrqMode::Xive, Ordering::SeqCst);
    }

    /// The XICS, for its hypercalls; H_FUNCTION unless it is in force.
    pub fn xics(&self) -> HResult<&Xics> {
        if self.0.is_xive() { Err(HcallError::Function) } else { Ok(&self.0.xics) }
    }

    /// The XICS, for its RTAS calls; a hardware error unless it is in force.
    pub fn xics_rtas(&self) -> RtasResult<&Xics> {
        self.xics().map_err(|_| RtasError::Hardware)
    }

    /// The XIVE, for its hypercalls and pages; H_FUNCTION unless it is in force.
    pub fn xive(&self) -> HResult<&Xive> {
        if self.0.is_xive() { Ok(&self.0.xive) } else { Err(HcallError::Function) }
    }

    /// Adds the node of the controller in force with phandle [`INTC_PHANDLE`]. The node of the other one,
    /// if the tree has it from before, goes.
    pub fn describe(&self, tree: &mut DeviceTree) -> NodeId {
        if let Some(old) = tree.by_phandle(INTC_PHANDLE) {
            tree.remove_node(old);
        }
        tree.remove_prop(DeviceTree::ROOT, "ibm,plat-res-int-priorities");
        match self.mode() {
            IrqMode::Xics => self.0.xics.describe(tree, INTC_PHANDLE),
            IrqMode::Xive => self.0.xive.describe(tree, INTC_PHANDLE),
        }
    }

    /// The state of both. The partition must not run.
    pub fn save(&self) -> IntcState {
        let Inner { xics, xive, xive_in_force: _, claims: _ } = &*self.0;
        IntcState { version: IntcState::VERSION, mode: self.mode(), xics: xics.save(), xive: xive.save() }
    }

    /// Takes over a saved state, also the claims: lines that devices hold keep working by their numbers.
    /// The partition must not run. After an error the controller must be reset.
    pub fn restore(&self, state: IntcState) -> Result<(), BadState> {
        let IntcState { version, mode, xics, xive } = state;
        if version != IntcState::VERSION {
            return Err(BadState::new("interrupt controller", format!("version {version}")));
        }
        let of_xics = xics.sources.iter().map(|s| (s.lisn, s.lsi));
        let of_xive = xive.sources.iter().map(|s| (s.lisn, s.lsi)).filter(|s| s.0 >= lisn::DEVICES);
        if !of_xics.eq(of_xive) {
            return Err(BadState::new("interrupt controller", "XICS and XIVE have different sources"));
        }
        self.0.xics.restore(xics)?;
        self.0.xive.restore(xive)?;
        self.0.xive_in_force.store(mode == IrqMode::Xive, Ordering::SeqCst);
        Ok(())
    }

    /// Claims in both controllers; the caller holds `claims`.
    fn claim_in_both(&self, number: u32, kind: IrqKind) -> Result<IrqLine, IrqError> {
        self.0.xics.claim(number, kind)?;
        if let Err(e) = self.0.xive.claim(number, kind) {
            self.0.xics.free(number);
            return Err(e);
        }
        Ok(IrqLine::new(number, kind, self.0.clone()))
    }
}

impl Inner {
    fn is_xive(&self) -> bool {
        self.xive_in_force.load(Ordering::Acquire)
    }

    fn free(&self, number: u32) {
        self.xics.free(number);
        self.xive.free(number);
    }
}

impl IrqSink for Inner {
    fn pulse(&self, number: u32) {
        if self.is_xive() {
            self.xive.pulse(number);
        } else {
            self.xics.pulse(number);
        }
    }

    fn set_level(&self, number: u32, asserted: bool) {
        self.xics.set_level(number, asserted);
        self.xive.set_level(number, asserted);
    }
}

impl IrqController for Intc {
    fn claim(&self, number: u32, kind: IrqKind) -> Result<IrqLine, IrqError> {
        let _claims = lock(&self.0.claims);
        self.claim_in_both(number, kind)
    }

    fn claim_msis(&self, count: u32, align: u32) -> Result<Vec<IrqLine>, IrqError> {
        let exhausted = IrqError::Exhausted(count);
        let _claims = lock(&self.0.claims);
        let align = align.max(1).checked_next_power_of_two().ok_or(exhausted)?;
        let room = lisn::MSI.end - lisn::MSI.start;
        if count > room || align > room {
            return Err(exhausted);
        }
        let mut first = lisn::MSI.start.next_multiple_of(align);
        while first + count <= lisn::MSI.end {
            let mut lines = Vec::new();
            for number in first..first + count {
                match self.claim_in_both(number, IrqKind::Msi) {
                    Ok(line) => lines.push(line),
                    Err(_) => break,
                }
            }
            if lines.len() == count as usize {
                return Ok(lines);
            }
            // The number after those claimed is taken: go on behind it.
            let taken = first + lines.len() as u32;
            lines.iter().for_each(|line| self.0.free(line.lisn()));
            first = (taken + 1).next_multiple_of(align);
        }
        Err(exhausted)
    }

    fn message_line(&self, number: u32) -> IrqLine {
        IrqLine::new(number, IrqKind::Msi, self.0.clone())
    }

    fn free(&self, number: u32) {
        let _claims = lock(&self.0.claims);
        self.0.free(number);
    }
}

/// Saved state of an [`Intc`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntcState {
    /// Format, [`IntcState::VERSION`].
    pub version: u32,
    /// The controller in force.
    pub mode: IrqMode,
    /// The XICS.
    pub xics: XicsState,
    /// The XIVE.
    pub xive: XiveState,
}

impl IntcState {
    /// The present format.
    pub const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Lines, Ring};

    fn intc(mode: IrqMode) -> (Arc<Lines>, Intc) {
        let lines = Arc::new(Lines::new(2));
        (lines.clone(), Intc::new(&[0, 1], mode, lines, Arc::new(Ring::new(1 << 16))))
    }

    #[test]
    fn only_the_controller_in_force_answers() {
        let (lines, i) = intc(IrqMode::Xics);
        assert!(i.xive().is_err_and(|e| e == HcallError::Function));
        let msi = i.claim(lisn::EPOW, IrqKind::Msi).unwrap();
        let lsi = i.claim(lisn::LSI.start, IrqKind::Lsi).unwrap();
        i.xics().unwrap().set_xive(msi.lisn(), 1, 5).unwrap();
        i.xics().unwrap().h_cppr(1, 0xff).unwrap();
        msi.pulse();
        lsi.set(true);
        assert!(lines.level(1));

        i.reset(IrqMode::Xive);
        assert!(!lines.level(1) && i.mode() == IrqMode::Xive);
        assert!(i.xics().is_err() && i.xics_rtas().is_err_and(|e| e == RtasError::Hardware));
        let x = i.xive().unwrap();
        x.tima_store(0, crate::xive::TIMA_OS - crate::xive::TIMA_BASE + 0x11, 1, 0xff);
        x.set_queue_config(1, 0, 6, 0, 16).unwrap();
        x.set_source_config(2, lsi.lisn() as u64, 0, 6, 77).unwrap();
        assert!(!lines.level(0));
        // The level from before the change counts as soon as the source is switched on.
        assert_eq!(x.esb(0, lsi.lisn() as u64, 0xc00, 0), Ok(1));
        assert!(lines.level(0));
    }

    #[test]
    fn describes_the_one_in_force() {
        let (_, i) = intc(IrqMode::Xics);
        let mut t = DeviceTree::new();
        i.describe(&mut t);
        assert!(t.find("/interrupt-controller").is_some());
        i.reset(IrqMode::Xive);
        let node = i.describe(&mut t);
        assert_eq!(t.path(node), "/interrupt-controller@60302031b0000");
        assert_eq!((t.by_phandle(INTC_PHANDLE), t.children(DeviceTree::ROOT).len()), (Some(node), 1));
        assert!(t.prop(DeviceTree::ROOT, "ibm,plat-res-int-priorities").is_some());
        i.reset(IrqMode::Xics);
        i.describe(&mut t);
        assert_eq!(t.children(DeviceTree::ROOT).len(), 1);
        assert!(t.prop(DeviceTree::ROOT, "ibm,plat-res-int-priorities").is_none());
    }

    #[test]
    fn claims() {
        let (_, i) = intc(IrqMode::Xive);
        let numbers = |r: Result<Vec<IrqLine>, IrqError>| {
            r.map(|lines| lines.iter().map(IrqLine::lisn).collect::<Vec<_>>())
        };
        assert_eq!(numbers(i.claim_msis(3, 0)), Ok(vec![0x1300, 0x1301, 0x1302]));
        assert_eq!(numbers(i.claim_msis(2, 2)), Ok(vec![0x1304, 0x1305]));
        assert_eq!(numbers(i.claim_msis(1, 1)), Ok(vec![0x1303]));
        i.free(0x1301);
        assert_eq!(numbers(i.claim_msis(1, 1)), Ok(vec![0x1301]));
        assert_eq!(numbers(i.claim_msis(0, 1)), Ok(vec![]));
        assert_eq!(numbers(i.claim_msis(0xd00, 1)), Err(IrqError::Exhausted(0xd00)));
        assert_eq!(numbers(i.claim_msis(u32::MAX, u32::MAX)), Err(IrqError::Exhausted(u32::MAX)));
        assert_eq!(i.claim_msis(0xcfa, 1).unwrap().len(), 0xcfa);
        assert_eq!(numbers(i.claim_msis(1, 1)), Err(IrqError::Exhausted(1)));
        assert_eq!(i.claim(5, IrqKind::Msi).unwrap_err(), IrqError::OutOfRange(5));
        assert_eq!(i.claim(0x1301, IrqKind::Lsi).unwrap_err(), IrqError::InUse(0x1301));
    }

    #[test]
    fn saved_and_restored() {
        let (_, i) = intc(IrqMode::Xics);
        let line = i.claim(lisn::VIO.start, IrqKind::Msi).unwrap();
        i.xics().unwrap().set_xive(line.lisn(), 1, 5).unwrap();
        i.xics().unwrap().h_cppr(1, 0xff).unwrap();
        line.pulse();
        let s = i.save();
        let (lines, j) = intc(IrqMode::Xive);
        let json = serde_json::to_string(&s).unwrap();
        j.restore(serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!((j.save(), lines.level(1)), (s.clone(), true));
        let mut bad = s;
        bad.xics.sources.clear();
        assert!(j.restore(bad).is_err());
    }
}
