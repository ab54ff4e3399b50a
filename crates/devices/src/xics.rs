//! The XICS interrupt controller as a PAPR guest sees it (LoPAR, "PowerPC External Interrupt option" and
//! the H_XIRR family of hypercalls).
//!
//! Each server (virtual processor) has a presentation controller: CPPR (current priority), XISR (the
//! source that is being presented, 0 for none) and MFRR (the priority of its inter-processor interrupt).
//! Lower numbers are more favoured; a source is presented only if its priority is more favoured than the
//! CPPR. Each source has a server and a priority, 0xff meaning masked.
//!
//! What a presentation controller cannot take at the moment, or gives up for something more favoured, it
//! notes in its own resend set, under its own lock. Whoever makes room takes the whole set out and presents
//! its sources again, each under its source's lock, to the server the source has by then. So an
//! interrupt is always in exactly one place: presented, in a resend set, in the hands of a thread that is
//! presenting it, or latched in its masked source; and no lock is shared by two processors that do not
//! interrupt each other.
//!
//! Locks are taken in the order source, presentation controller; never two of a kind.

use crate::rc::{HResult, HcallError, RtasError, RtasResult};
use crate::servers::ServerMap;
use crate::{BadState, lock};
use device::irq::{IrqError, IrqKind, VcpuLines, lisn};
use device::{DeviceTree, NodeId};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};

/// XISR value of an inter-processor interrupt.
pub const XISR_IPI: u32 = 2;
/// The priority of no interrupt, and the CPPR that lets all through.
pub const LEAST_FAVOURED: u8 = 0xff;

const SOURCES: usize = (lisn::END - lisn::DEVICES) as usize;
const XISR_MASK: u32 = 0x00ff_ffff;

/// A set of sources.
struct LisnSet {
    words: Box<[u64; SOURCES / 64]>,
    any: bool,
}

impl LisnSet {
    fn new() -> Self {
        LisnSet { words: Box::new([0; SOURCES / 64]), any: false }
    }

    fn insert(&mut self, number: u32) {
        let at = (number - lisn::DEVICES) as usize;
        self.words[at / 64] |= 1 << (at % 64);
        self.any = true;
    }

    /// Takes a number out; answers whether it was in.
    fn remove(&mut self, number: u32) -> bool {
        let at = (number - lisn::DEVICES) as usize;
        let bit = 1 << (at % 64);
        let was = self.words[at / 64] & bit != 0;
        self.words[at / 64] &= !bit;
        was
    }

    /// Empties the set and answers what was in it.
    fn take(&mut self) -> Vec<u32> {
        if !self.any {
            return Vec::new();
        }
        let all = self.numbers();
        self.words.fill(0);
        self.any = false;
        all
    }

    fn numbers(&self) -> Vec<u32> {
        let mut all = Vec::new();
        for (i, &word) in self.words.iter().enumerate() {
            let mut rest = word;
            while rest != 0 {
                all.push(lisn::DEVICES + i as u32 * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        all
    }
}

/// A presentation controller.
struct Icp {
    cppr: u8,
    mfrr: u8,
    /// Priority of what is presented, [`LEAST_FAVOURED`] if nothing is.
    pending: u8,
    /// What is presented: 0, [`XISR_IPI`] or a source.
    xisr: u32,
    resend: LisnSet,
    /// Level of the processor's external input as it was last told.
    line: bool,
}

impl Icp {
    fn new() -> Self {
        Icp { cppr: 0, mfrr: 0xff, pending: LEAST_FAVOURED, xisr: 0, resend: LisnSet::new(), line: false }
    }

    fn xirr(&self) -> u32 {
        (self.cppr as u32) << 24 | self.xisr
    }

    /// Stops presenting; a source goes to the resend set, an IPI stays known by its MFRR.
    fn give_up(&mut self) {
        if self.xisr >= lisn::DEVICES {
            self.resend.insert(self.xisr);
        }
        self.xisr = 0;
        self.pending = LEAST_FAVOURED;
    }

    /// Sets the current priority and gives up what is not more favoured.
    fn set_cppr(&mut self, cppr: u8) {
        self.cppr = cppr;
        if self.xisr != 0 && self.pending >= cppr {
            self.give_up();
        }
    }

    /// Presents a source or notes it for later.
    fn offer(&mut self, number: u32, priority: u8) {
        if priority >= self.cppr || (self.xisr != 0 && self.pending <= priority) {
            self.resend.insert(number);
            return;
        }
        self.give_up();
        self.xisr = number;
        self.pending = priority;
    }

    /// Presents the inter-processor interrupt if it is the most favoured thing there is.
    fn check_ipi(&mut self) {
        if self.mfrr < self.cppr && (self.xisr == 0 || self.mfrr < self.pending) {
            self.give_up();
            self.xisr = XISR_IPI;
            self.pending = self.mfrr;
        }
    }
}

#[derive(Clone, Copy)]
struct Source {
    /// `None`: not claimed.
    kind: Option<IrqKind>,
    server: u32,
    priority: u8,
    /// Priority to return to when `ibm,int-on` lifts the mask.
    saved_priority: u8,
    /// Level of a level source.
    asserted: bool,
    /// Level source: presented or to be presented, and not yet ended by an EOI.
    sent: bool,
    /// Edge source: an event came while it was masked.
    masked_pending: bool,
}

impl Source {
    const FREE: Source = Source {
        kind: None,
        server: 0,
        priority: LEAST_FAVOURED,
        saved_priority: LEAST_FAVOURED,
        asserted: false,
        sent: false,
        masked_pending: false,
    };
}

/// The XICS of a partition.
pub struct Xics {
    lines: Arc<dyn VcpuLines>,
    servers: ServerMap,
    icps: Box<[Mutex<Icp>]>,
    sources: Box<[Mutex<Source>]>,
}

impl Xics {
    /// A controller for these servers, all at CPPR 0 (nothing gets through), no source claimed.
    pub fn new(servers: ServerMap, lines: Arc<dyn VcpuLines>) -> Self {
        let icps = (0..servers.len()).map(|_| Mutex::new(Icp::new())).collect();
        let sources = (0..SOURCES).map(|_| Mutex::new(Source::FREE)).collect();
        Xics { lines, servers, icps, sources }
    }

    /// Back to power-on: CPPR 0, no IPI, nothing pending, all sources masked. Claims and the levels of
    /// level sources stay.
    pub fn reset(&self) {
        for source in &self.sources {
            let mut s = lock(source);
            *s = Source { kind: s.kind, asserted: s.asserted, ..Source::FREE };
        }
        for place in 0..self.icps.len() {
            self.with_icp(place, |icp| *icp = Icp { line: icp.line, ..Icp::new() });
        }
    }

    // ---- hypercalls ------------------------------------------------------------------------------

    /// H_CPPR: sets the calling server's priority to the low byte of `cppr`.
    pub fn h_cppr(&self, server: u32, cppr: u64) -> HResult<()> {
        let place = self.own_place(server)?;
        self.set_cppr(place, cppr as u8);
        Ok(())
    }

    /// H_IPI: sets `target`'s MFRR to the low byte of `mfrr`; 0xff takes the request back, though what is
    /// presented already stays so. No such target: H_PARAMETER.
    pub fn h_ipi(&self, target: u64, mfrr: u64) -> HResult<()> {
        let place = self.servers.place(target).ok_or(HcallError::Parameter)?;
        self.with_icp(place, |icp| {
            icp.mfrr = mfrr as u8;
            icp.check_ipi();
        });
        Ok(())
    }

    /// H_IPOLL: `target`'s XIRR (CPPR in the top byte of 32 bits, XISR below) and MFRR, without accepting
    /// anything. No such target: H_PARAMETER.
    pub fn h_ipoll(&self, target: u64) -> HResult<(u64, u64)> {
        let place = self.servers.place(target).ok_or(HcallError::Parameter)?;
        let icp = lock(&self.icps[place]);
        Ok((icp.xirr() as u64, icp.mfrr as u64))
    }

    /// H_XIRR, and H_XIRR_X but for its time stamp: accepts what is presented. Answers the XIRR of before
    /// (old CPPR and the source); the CPPR becomes the source's priority. Nothing presented: XISR is 0 and
    /// nothing changes.
    pub fn h_xirr(&self, server: u32) -> HResult<u64> {
        let place = self.own_place(server)?;
        Ok(self.with_icp(place, |icp| {
            let xirr = icp.xirr();
            if icp.xisr != 0 {
                icp.cppr = icp.pending;
                icp.pending = LEAST_FAVOURED;
                icp.xisr = 0;
            }
            xirr as u64
        }))
    }

    /// H_EOI: ends the interrupt in the low 24 bits of `xirr` and sets the CPPR to the byte above them. A
    /// source number that cannot exist: H_PARAMETER, but the CPPR is set.
    pub fn h_eoi(&self, server: u32, xirr: u64) -> HResult<()> {
        let place = self.own_place(server)?;
        self.with_icp(place, |icp| icp.set_cppr((xirr >> 24) as u8));
        let number = xirr as u32 & XISR_MASK;
        let done = match self.source(number) {
            Some(source) => {
                let mut s = lock(source);
                if s.kind == Some(IrqKind::Lsi) {
                    s.sent = false;
                    self.present_level(number, &mut s);
                }
                Ok(())
            }
            None if number == 0 || number == XISR_IPI => Ok(()),
            None => Err(HcallError::Parameter),
        };
        self.resend(place);
        done
    }

    // ---- RTAS ------------------------------------------------------------------------------------

    /// `ibm,set-xive`: routes a source to a server at a priority; 0xff masks it.
    pub fn set_xive(&self, number: u32, server: u32, priority: u32) -> RtasResult<()> {
        let source = self.source(number).ok_or(RtasError::Parameter)?;
        let priority = u8::try_from(priority).map_err(|_| RtasError::Parameter)?;
        self.servers.place(server as u64).ok_or(RtasError::Parameter)?;
        let mut s = lock(source);
        if s.kind.is_none() {
            return Err(RtasError::Parameter);
        }
        self.route(number, &mut s, server, priority, priority);
        Ok(())
    }

    /// `ibm,get-xive`: a source's server and priority.
    pub fn get_xive(&self, number: u32) -> RtasResult<(u32, u32)> {
        let s = lock(self.source(number).ok_or(RtasError::Parameter)?);
        match s.kind {
            Some(_) => Ok((s.server, s.priority as u32)),
            None => Err(RtasError::Parameter),
        }
    }

    /// `ibm,int-off`: masks a source and remembers its priority.
    pub fn int_off(&self, number: u32) -> RtasResult<()> {
        self.remask(number, |s| {
            let saved = if s.priority == LEAST_FAVOURED { s.saved_priority } else { s.priority };
            (LEAST_FAVOURED, saved)
        })
    }

    /// `ibm,int-on`: gives a source the priority that was last set or remembered.
    pub fn int_on(&self, number: u32) -> RtasResult<()> {
        self.remask(number, |s| (s.saved_priority, s.saved_priority))
    }

    // ---- sources ---------------------------------------------------------------------------------

    /// Claims a source for a device.
    pub fn claim(&self, number: u32, kind: IrqKind) -> Result<(), IrqError> {
        let mut s = lock(self.source(number).ok_or(IrqError::OutOfRange(number))?);
        if s.kind.is_some() {
            return Err(IrqError::InUse(number));
        }
        *s = Source { kind: Some(kind), ..Source::FREE };
        Ok(())
    }

    /// Gives a source back and withdraws it wherever it is presented.
    pub fn free(&self, number: u32) {
        let Some(source) = self.source(number) else { return };
        *lock(source) = Source::FREE;
        for place in 0..self.icps.len() {
            let withdrawn = self.with_icp(place, |icp| {
                icp.resend.remove(number);
                let presented = icp.xisr == number;
                if presented {
                    icp.give_up();
                    icp.resend.remove(number);
                }
                presented
            });
            if withdrawn {
                self.resend(place);
            }
        }
    }

    /// An event on an edge source.
    pub fn pulse(&self, number: u32) {
        let Some(source) = self.source(number) else { return };
        let mut s = lock(source);
        if s.kind == Some(IrqKind::Msi) {
            self.present_edge(number, &mut s);
        }
    }

    /// The level of a level source.
    pub fn set_level(&self, number: u32, asserted: bool) {
        let Some(source) = self.source(number) else { return };
        let mut s = lock(source);
        if s.kind == Some(IrqKind::Lsi) {
            s.asserted = asserted;
            self.present_level(number, &mut s);
        }
    }

    // ---- description and state -------------------------------------------------------------------

    /// Adds the node `/interrupt-controller` (`ibm,ppc-xicp`), with this phandle if it is free.
    pub fn describe(&self, tree: &mut DeviceTree, phandle: u32) -> NodeId {
        describe_xics(tree, self.servers.limit(), phandle)
    }

    /// What the guest can see and what is under way. The partition must not run.
    pub fn save(&self) -> XicsState {
        let icps = std::iter::zip(self.servers.numbers(), &self.icps)
            .map(|(&server, icp)| {
                let Icp { cppr, mfrr, pending, xisr, resend, line: _ } = &*lock(icp);
                IcpState {
                    server,
                    cppr: *cppr,
                    mfrr: *mfrr,
                    pending: *pending,
                    xisr: *xisr,
                    resend: resend.numbers(),
                }
            })
            .collect();
        let sources = std::iter::zip(lisn::DEVICES.., &self.sources)
            .filter_map(|(number, source)| {
                let Source { kind, server, priority, saved_priority, asserted, sent, masked_pending } =
                    *lock(source);
                let lsi = kind? == IrqKind::Lsi;
                Some(SourceState {
                    lisn: number,
                    lsi,
                    server,
                    priority,
                    saved_priority,
                    asserted,
                    sent,
                    masked_pending,
                })
            })
            .collect();
        XicsState { version: XicsState::VERSION, icps, sources }
    }

    /// Takes over a saved state, also the claims, and sets the processors' lines to match. A state that is
    /// refused changes nothing. The partition must not run.
    pub fn restore(&self, state: XicsState) -> Result<(), BadState> {
        let XicsState { version, icps, sources } = state;
        let bad = |reason: String| Err(BadState::new("XICS", reason));
        if version != XicsState::VERSION {
            return bad(format!("version {version}"));
        }
        if !icps.iter().map(|i| i.server).eq(self.servers.numbers().iter().copied()) {
            return bad("it is for other interrupt servers".into());
        }
        let is_source = |n: u32| self.source(n).is_some();
        for i in &icps {
            let presentable = i.xisr == XISR_IPI || is_source(i.xisr);
            let idle = i.xisr == 0 && i.pending == LEAST_FAVOURED;
            if !(presentable || idle) || !i.resend.iter().all(|&n| is_source(n)) {
                return bad(format!("server {} names an unknown source", i.server));
            }
        }
        for s in &sources {
            if !is_source(s.lisn) || self.servers.place(s.server as u64).is_none() && s.server != 0 {
                return bad(format!("source {:#x} or its server does not exist", s.lisn));
            }
        }
        for source in &self.sources {
            *lock(source) = Source::FREE;
        }
        for s in sources {
            let SourceState { lisn, lsi, server, priority, saved_priority, asserted, sent, masked_pending } =
                s;
            if let Some(source) = self.source(lisn) {
                let kind = Some(if lsi { IrqKind::Lsi } else { IrqKind::Msi });
                *lock(source) =
                    Source { kind, server, priority, saved_priority, asserted, sent, masked_pending };
            }
        }
        for (place, i) in icps.into_iter().enumerate() {
            let IcpState { server: _, cppr, mfrr, pending, xisr, resend: numbers } = i;
            let mut resend = LisnSet::new();
            numbers.into_iter().for_each(|n| resend.insert(n));
            self.with_icp(place, |icp| *icp = Icp { cppr, mfrr, pending, xisr, resend, line: icp.line });
        }
        Ok(())
    }

    // ---- inside ----------------------------------------------------------------------------------

    fn source(&self, number: u32) -> Option<&Mutex<Source>> {
        self.sources.get(number.checked_sub(lisn::DEVICES)? as usize)
    }

    /// The caller's place. A processor that is no server here is a fault of the machine.
    fn own_place(&self, server: u32) -> HResult<usize> {
        self.servers.place(server as u64).ok_or(HcallError::Hardware)
    }

    /// Works on a presentation controller, then sets the processor's line to match.
    fn with_icp<R>(&self, place: usize, work: impl FnOnce(&mut Icp) -> R) -> R {
        let mut icp = lock(&self.icps[place]);
        let result = work(&mut icp);
        let level = icp.xisr != 0;
        if icp.line != level {
            icp.line = level;
            self.lines.set_external(self.servers.numbers()[place], level);
        }
        result
    }

    fn set_cppr(&self, place: usize, cppr: u8) {
        let room = self.with_icp(place, |icp| {
            let more_room = cppr > icp.cppr;
            icp.set_cppr(cppr);
            more_room && icp.xisr == 0
        });
        if room {
            self.resend(place);
        }
    }

    /// After room was made: presents the IPI, and all sources that wait for this server, again.
    fn resend(&self, place: usize) {
        let waiting = self.with_icp(place, |icp| {
            icp.check_ipi();
            if icp.cppr == 0 { Vec::new() } else { icp.resend.take() }
        });
        for number in waiting {
            if let Some(source) = self.source(number) {
                self.present_again(number, &mut lock(source));
            }
        }
    }

    /// Presents a source that was taken out of a resend set.
    fn present_again(&self, number: u32, s: &mut Source) {
        match s.kind {
            Some(IrqKind::Msi) => self.present_edge(number, s),
            Some(IrqKind::Lsi) => {
                s.sent = false;
                self.present_level(number, s);
            }
            None => {}
        }
    }

    fn present_edge(&self, number: u32, s: &mut Source) {
        if s.priority == LEAST_FAVOURED {
            s.masked_pending = true;
        } else {
            s.masked_pending = false;
            self.offer(number, s);
        }
    }

    fn present_level(&self, number: u32, s: &mut Source) {
        if s.asserted && !s.sent && s.priority != LEAST_FAVOURED {
            s.sent = true;
            self.offer(number, s);
        }
    }

    fn offer(&self, number: u32, s: &Source) {
        // The server was checked when it was set; a partition without server 0 may have it as default.
        if let Some(place) = self.servers.place(s.server as u64) {
            self.with_icp(place, |icp| icp.offer(number, s.priority));
        }
    }

    fn remask(&self, number: u32, choose: impl FnOnce(&Source) -> (u8, u8)) -> RtasResult<()> {
        let mut s = lock(self.source(number).ok_or(RtasError::Parameter)?);
        if s.kind.is_none() {
            return Err(RtasError::Parameter);
        }
        let (priority, saved) = choose(&s);
        let server = s.server;
        self.route(number, &mut s, server, priority, saved);
        Ok(())
    }

    /// Gives a source a new server and priority and moves an interrupt that waits for the old server.
    fn route(&self, number: u32, s: &mut Source, server: u32, priority: u8, saved: u8) {
        let waiting = self
            .servers
            .place(s.server as u64)
            .is_some_and(|place| self.with_icp(place, |icp| icp.resend.remove(number)));
        s.server = server;
        s.priority = priority;
        s.saved_priority = saved;
        if waiting {
            self.present_again(number, s);
        } else if s.kind == Some(IrqKind::Lsi) {
            self.present_level(number, s);
        } else if s.masked_pending {
            self.present_edge(number, s);
        }
    }
}

/// Adds the node `/interrupt-controller` of a XICS with servers `0..nservers` (LoPAR, "PowerPC External
/// Interrupt Presentation controller node"), with this phandle if it is free.
pub fn describe_xics(tree: &mut DeviceTree, nservers: u32, phandle: u32) -> NodeId {
    let node = tree.ensure_node(DeviceTree::ROOT, "interrupt-controller");
    tree.set_str(node, "device_type", "PowerPC-External-Interrupt-Presentation");
    tree.set_str(node, "compatible", "IBM,ppc-xicp");
    tree.set_empty(node, "interrupt-controller");
    tree.set_u32s(node, "ibm,interrupt-server-ranges", &[0, nservers]);
    tree.set_u32(node, "#interrupt-cells", 2);
    tree.set_phandle(node, phandle);
    node
}

/// Saved state of a [`Xics`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XicsState {
    /// Format, [`XicsState::VERSION`].
    pub version: u32,
    /// Presentation controllers by rising server number.
    pub icps: Vec<IcpState>,
    /// Claimed sources.
    pub sources: Vec<SourceState>,
}

impl XicsState {
    /// The present format.
    pub const VERSION: u32 = 1;
}

/// Saved state of one presentation controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcpState {
    /// Interrupt server number.
    pub server: u32,
    /// Current processor priority.
    pub cppr: u8,
    /// Priority of the IPI, 0xff for none.
    pub mfrr: u8,
    /// Priority of what is presented.
    pub pending: u8,
    /// What is presented.
    pub xisr: u32,
    /// Sources to present again.
    pub resend: Vec<u32>,
}

/// Saved state of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Logical interrupt source number.
    pub lisn: u32,
    /// Level rather than edge.
    pub lsi: bool,
    /// Interrupt server number.
    pub server: u32,
    /// Priority, 0xff for masked.
    pub priority: u8,
    /// Priority to return to.
    pub saved_priority: u8,
    /// The level.
    pub asserted: bool,
    /// Sent and not yet ended.
    pub sent: bool,
    /// An event came while masked.
    pub masked_pending: bool,
}

#[cfg(test)]
mod tests;
