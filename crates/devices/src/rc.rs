//! Answers to the guest other than success.

/// Why a hypercall is refused: the return codes that devices use (LoPAR, table "Hypervisor call return
/// code values").
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(i64)]
pub enum HcallError {
    /// H_BUSY: not now; the caller shall try again.
    #[error("H_BUSY")]
    Busy = 1,
    /// H_HARDWARE: the caller cannot help it.
    #[error("H_HARDWARE")]
    Hardware = -1,
    /// H_FUNCTION: the call does not exist (in the present mode).
    #[error("H_FUNCTION")]
    Function = -2,
    /// H_PARAMETER: a parameter is wrong.
    #[error("H_PARAMETER")]
    Parameter = -4,
    /// H_P2: the second parameter is wrong.
    #[error("H_P2")]
    P2 = -55,
    /// H_P3: the third parameter is wrong.
    #[error("H_P3")]
    P3 = -56,
    /// H_P4: the fourth parameter is wrong.
    #[error("H_P4")]
    P4 = -57,
    /// H_P5: the fifth parameter is wrong.
    #[error("H_P5")]
    P5 = -58,
}

impl HcallError {
    /// The value for register r3.
    pub fn code(self) -> i64 {
        self as i64
    }
}

/// Why an RTAS call failed: the status words that devices use (LoPAR, table "RTAS status word values").
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(i32)]
pub enum RtasError {
    /// Hardware error.
    #[error("RTAS hardware error")]
    Hardware = -1,
    /// A parameter is wrong.
    #[error("RTAS parameter error")]
    Parameter = -3,
}

impl RtasError {
    /// The status word.
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// What a hypercall answers.
pub type HResult<T> = Result<T, HcallError>;
/// What an RTAS call answers.
pub type RtasResult<T> = Result<T, RtasError>;
