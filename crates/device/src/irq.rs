//! Interrupts between devices, the interrupt controller and the virtual processors.
//!
//! A device asks an [`IrqController`] for a source by its logical interrupt source number and gets an
//! [`IrqLine`], the only thing it needs to interrupt the partition. The controller in turn drives the
//! external interrupt input of the virtual processors through [`VcpuLines`]. Which controller architecture
//! is in force (XICS or XIVE, LoPAR chapter "Interrupt controllers") is none of the device's business: the
//! numbers are the same in both.

use std::fmt;
use std::sync::Arc;

/// The map of logical interrupt source numbers, the same under XICS and XIVE. All numbers are below
/// [`lisn::END`].
pub mod lisn {
    use std::ops::Range;

    /// Inter-processor interrupts under XIVE, allotted by the guest. XICS does not number those.
    pub const IPIS: Range<u32> = 0..0x1000;
    /// Environmental and power warnings (`/event-sources/epow-events`).
    pub const EPOW: u32 = 0x1000;
    /// Hot-plug events (`/event-sources/hot-plug-events`).
    pub const HOTPLUG: u32 = 0x1001;
    /// Internal errors and I/O events, one number each.
    pub const EVENTS: Range<u32> = 0x1002..0x1100;
    /// Virtual devices below `/vdevice`.
    pub const VIO: Range<u32> = 0x1100..0x1200;
    /// Level-signalled interrupts of PCI host bridges, four to a bridge.
    pub const LSI: Range<u32> = 0x1200..0x1300;
    /// Message-signalled interrupts, allotted as devices ask for them.
    pub const MSI: Range<u32> = 0x1300..0x2000;
    /// First number that belongs to a device rather than to a processor.
    pub const DEVICES: u32 = 0x1000;
    /// First number that does not exist.
    pub const END: u32 = 0x2000;
}

/// How a source signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqKind {
    /// Edge: each pulse is an event. Message-signalled interrupts and virtual devices.
    Msi,
    /// Level: interrupts as long as it is asserted.
    Lsi,
}

impl IrqKind {
    /// The second cell of an `interrupts` property: 0 for edge, 1 for level.
    pub fn sense_cell(self) -> u32 {
        match self {
            IrqKind::Msi => 0,
            IrqKind::Lsi => 1,
        }
    }
}

/// Why a source is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IrqError {
    /// The number is none a device may have.
    #[error("interrupt source number {0:#x} does not belong to devices")]
    OutOfRange(u32),
    /// Another device has it.
    #[error("interrupt source number {0:#x} is in use")]
    InUse(u32),
    /// No run of free numbers is long enough.
    #[error("no {0} free interrupt source numbers in a row")]
    Exhausted(u32),
}

/// The external interrupt inputs of a partition's virtual processors.
///
/// The interrupt controller calls this from any thread with its lock for that one server held, so that the
/// calls for a server arrive in the order of the states they tell. An implementation must be quick, must
/// not block for long and must not call the controller.
pub trait VcpuLines: Send + Sync {
    /// Raises or lowers the external interrupt input (a level) of the virtual processor with interrupt
    /// server number `server`. A processor that sleeps in H_CEDE wakes when it rises.
    fn set_external(&self, server: u32, asserted: bool);
}

/// The controller's end of a device's line. Both methods may be called from any thread; numbers that are
/// not claimed are ignored.
pub trait IrqSink: Send + Sync {
    /// An event on an edge source.
    fn pulse(&self, lisn: u32);
    /// The new level of a level source. Repeating the present level changes nothing.
    fn set_level(&self, lisn: u32, asserted: bool);
}

/// What gives out interrupt sources.
pub trait IrqController: Send + Sync {
    /// Claims the source `lisn`, which starts masked and not asserted.
    fn claim(&self, lisn: u32, kind: IrqKind) -> Result<IrqLine, IrqError>;
    /// Claims `count` free edge sources with consecutive numbers in [`lisn::MSI`], the first a multiple of
    /// `align` (a power of two; 0 counts as 1) as multi-message MSI wants it. Answers them in order.
    fn claim_msis(&self, count: u32, align: u32) -> Result<Vec<IrqLine>, IrqError>;
    /// The line of an edge source that is claimed already, for one who held it before a state was saved.
    fn message_line(&self, lisn: u32) -> IrqLine;
    /// Gives a source back and forgets what was pending on it. Not claimed: nothing happens.
    fn free(&self, lisn: u32);
}

/// A device's interrupt line.
#[derive(Clone)]
pub struct IrqLine {
    lisn: u32,
    kind: IrqKind,
    sink: Arc<dyn IrqSink>,
}

impl IrqLine {
    /// A line that ends at `sink`; for controllers.
    pub fn new(lisn: u32, kind: IrqKind, sink: Arc<dyn IrqSink>) -> Self {
        IrqLine { lisn, kind, sink }
    }

    /// A line that leads nowhere.
    pub fn unconnected() -> Self {
        struct Nowhere;
        impl IrqSink for Nowhere {
            fn pulse(&self, _: u32) {}
            fn set_level(&self, _: u32, _: bool) {}
        }
        IrqLine { lisn: 0, kind: IrqKind::Msi, sink: Arc::new(Nowhere) }
    }

    /// The logical interrupt source number, for the `interrupts` property.
    pub fn lisn(&self) -> u32 {
        self.lisn
    }

    /// How the line signals.
    pub fn kind(&self) -> IrqKind {
        self.kind
    }

    /// The two cells of an `interrupts` property that name this line.
    pub fn cells(&self) -> [u32; 2] {
        [self.lisn, self.kind.sense_cell()]
    }

    /// Signals one event. On a level line this does nothing: it has no event without a level.
    pub fn pulse(&self) {
        if self.kind == IrqKind::Msi {
            self.sink.pulse(self.lisn);
        }
    }

    /// Sets the level. On an edge line asserting signals one event and deasserting does nothing.
    pub fn set(&self, asserted: bool) {
        match self.kind {
            IrqKind::Lsi => self.sink.set_level(self.lisn, asserted),
            IrqKind::Msi if asserted => self.sink.pulse(self.lisn),
            IrqKind::Msi => {}
        }
    }
}

impl fmt::Debug for IrqLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IrqLine({:#x} {:?})", self.lisn, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Log(Mutex<Vec<(u32, Option<bool>)>>);

    impl IrqSink for Log {
        fn pulse(&self, lisn: u32) {
            self.0.lock().unwrap().push((lisn, None));
        }
        fn set_level(&self, lisn: u32, asserted: bool) {
            self.0.lock().unwrap().push((lisn, Some(asserted)));
        }
    }

    #[test]
    fn lines_signal_as_their_kind_says() {
        let log = Arc::new(Log::default());
        let msi = IrqLine::new(0x1300, IrqKind::Msi, log.clone());
        let lsi = IrqLine::new(0x1200, IrqKind::Lsi, log.clone());
        msi.pulse();
        msi.set(true);
        msi.set(false);
        lsi.pulse();
        lsi.set(true);
        lsi.set(false);
        let want = [(0x1300, None), (0x1300, None), (0x1200, Some(true)), (0x1200, Some(false))];
        assert_eq!(*log.0.lock().unwrap(), want);
        assert_eq!((msi.cells(), lsi.cells()), ([0x1300, 0], [0x1200, 1]));
        IrqLine::unconnected().pulse();
    }
}
