//! Answers: hypercall return codes and RTAS status words.

use devices::rc::{HcallError, RtasError};

/// A hypercall's return code other than H_SUCCESS, as it goes into r3 (LoPAR table 14.1.3, "Hypervisor call return
/// code values").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rc(pub i64);

#[allow(missing_docs)] // each constant is the code of its name
impl Rc {
    pub const BUSY: Rc = Rc(1);
    pub const CLOSED: Rc = Rc(2);
    pub const NOT_AVAILABLE: Rc = Rc(3);
    pub const CONSTRAINED: Rc = Rc(4);
    pub const PARTIAL: Rc = Rc(5);
    pub const PAGE_REGISTERED: Rc = Rc(15);
    pub const CONTINUE: Rc = Rc(18);
    pub const HARDWARE: Rc = Rc(-1);
    pub const FUNCTION: Rc = Rc(-2);
    pub const PRIVILEGE: Rc = Rc(-3);
    pub const PARAMETER: Rc = Rc(-4);
    pub const BAD_MODE: Rc = Rc(-5);
    pub const NOT_FOUND: Rc = Rc(-7);
    pub const RESERVED_DABR: Rc = Rc(-8);
    pub const AUTHORITY: Rc = Rc(-10);
    pub const PERMISSION: Rc = Rc(-11);
    pub const SOURCE_PARM: Rc = Rc(-13);
    pub const DEST_PARM: Rc = Rc(-14);
    pub const RESOURCE: Rc = Rc(-16);
    pub const P2: Rc = Rc(-55);
    pub const P3: Rc = Rc(-56);
    pub const P4: Rc = Rc(-57);
    pub const P5: Rc = Rc(-58);
    pub const NOOP: Rc = Rc(-63);
    pub const UNSUPPORTED: Rc = Rc(-67);
    /// H_UNSUPPORTED_FLAG: minus 256 less the number of the flag's bit, counted from the most significant.
    pub const UNSUPPORTED_FLAG: Rc = Rc(-256);
}

impl From<HcallError> for Rc {
    fn from(e: HcallError) -> Self {
        Rc(e.code())
    }
}

impl From<mem::OutOfRange> for Rc {
    fn from(_: mem::OutOfRange) -> Self {
        Rc::PARAMETER
    }
}

/// What a hypercall's handler answers; `Ok` is H_SUCCESS.
pub type HResult = Result<(), Rc>;

/// An RTAS status word other than 0 (LoPAR table "RTAS status word values").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(pub i32);

#[allow(missing_docs)]
impl Status {
    /// Of `event-scan` and `check-exception`: nothing to report. Of `rtas-last-error`: no error.
    pub const NOTHING: Status = Status(1);
    pub const HARDWARE: Status = Status(-1);
    pub const BUSY: Status = Status(-2);
    pub const PARAMETER: Status = Status(-3);
    /// Of system parameters, sensors and indicators: there is no such one.
    pub const NOT_SUPPORTED: Status = Status(-3);
    /// Of `ibm,configure-connector`: the resource cannot be configured in its state.
    pub const NOT_CONFIGURABLE: Status = Status(-9003);
    pub const NOT_AUTHORIZED: Status = Status(-9002);
    /// A buffer is too short or outside of memory.
    pub const BAD_BUFFER: Status = Status(-9999);
}

impl From<RtasError> for Status {
    fn from(e: RtasError) -> Self {
        Status(e.code())
    }
}

impl From<mem::OutOfRange> for Status {
    fn from(_: mem::OutOfRange) -> Self {
        Status::PARAMETER
    }
}

/// What an RTAS call's handler answers; `Ok` is status 0.
pub type RtasResult = Result<(), Status>;
