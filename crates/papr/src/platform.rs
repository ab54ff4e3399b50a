//! What hypercalls ask of the partition they belong to.

use std::sync::Arc;

use arch::{Cpu, Shared};
use devices::intc::Intc;
use devices::nvram::Nvram;
use devices::phb::Phb;
use devices::rtc::Rtc;
use devices::vterm::Vterms;

use crate::config::{Capacity, PartitionConfig};
use crate::rc::{HResult, Rc};
use crate::state::PaprState;
use crate::vio::VioBus;

/// How the guest asked the partition to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// `power-off`.
    PowerOff,
    /// `system-reboot`, and reset by firmware.
    Reboot,
    /// `ibm,os-term`: the operating system gave up, with its last words (at most 1 KiB).
    OsTerm(String),
}

/// What the processor that made a hypercall does next. All registers are as the guest is to see them when it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HcallFlow {
    /// Goes on behind the call.
    Continue,
    /// Sleeps until an interrupt it may take, [`arch::shared::event::PROD`], or a request to leave. MSR\[EE\] is set.
    /// Whoever wakes it takes the PROD event back.
    Cede,
    /// Lets the virtual processor of this index, or any other, have its host processor for a while.
    Confer(Option<usize>),
    /// Sleeps until [`arch::shared::event::PROD`] (or a request to leave), whatever interrupts are pending: H_JOIN, and
    /// H_CONFER to oneself. Whoever wakes it takes the event back.
    WaitProd,
    /// Is stopped: [`PaprState::take_start`] says when and where it begins again.
    Stop,
    /// Leaves the run loop: the guest has asked for [`End`] by [`Platform::end`].
    Leave,
    /// Registers, MSR and address were replaced (a client program was started by firmware): goes on there.
    Resume,
}

/// The partition, as hypercalls see it. All methods may be called from any virtual processor's thread; none may wait
/// for another virtual processor to do something.
pub trait Platform: Send + Sync {
    /// What the partition was made of.
    fn config(&self) -> &PartitionConfig;
    /// The state of the PAPR interface.
    fn papr(&self) -> &PaprState;
    /// Memory, processors' mailboxes, LPCR, page table.
    fn shared(&self) -> &Arc<Shared>;
    /// The interrupt controller.
    fn intc(&self) -> &Intc;
    /// The terminals; the first one is the console.
    fn terminals(&self) -> &Vterms;
    /// The non-volatile memory.
    fn nvram(&self) -> &Nvram;
    /// The time-of-day clock.
    fn rtc(&self) -> &Rtc;
    /// Virtual I/O adapters.
    fn vio(&self) -> &VioBus;
    /// The PCI host bridge, if there is one.
    fn phb(&self) -> Option<&Phb>;
    /// A call of the client interface by `cpu`, whose arguments stand at the real address `args` (see
    /// [`firmware::of_client::OfClient::call`]; its result goes to r3). Without firmware: H_FUNCTION.
    fn of_client(&self, cpu: &mut Cpu, args: u64) -> HcallFlow;
    /// `ibm,client-architecture-support` by firmware in guest memory: the structure of vectors at the real address
    /// `vectors` is negotiated, and the version number 1 (a 32-bit cell) and the whole flattened tree as it is now are
    /// written to `buffer`, which has `size` bytes. Without such firmware: H_FUNCTION.
    fn firmware_cas(&self, _cpu: &mut Cpu, _vectors: u64, _buffer: u64, _size: u64) -> HResult {
        Err(Rc::FUNCTION)
    }
    /// How the partition has its processors now; its own unless it shares them.
    fn capacity(&self) -> Capacity {
        self.config().dedicated()
    }
    /// H_SET_PPP: another entitlement (in hundredths of a processor) and weight.
    fn set_capacity(&self, _entitled: u32, _weight: u8) -> HResult {
        Err(Rc::AUTHORITY)
    }
    /// The guest asks for its end. The processor that did leaves its run loop next; the others have to be told.
    fn end(&self, how: End);
}
