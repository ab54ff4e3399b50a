//! What goes wrong, as one line and an exit status.

/// Ends the program with a line on standard error.
#[derive(Debug)]
pub struct Failure {
    /// What is wrong and what would be right.
    pub text: String,
    /// 1: rhyp failed; 2: bad usage or bad input.
    pub status: u8,
}

impl Failure {
    /// Bad usage or bad input.
    pub fn usage(text: impl Into<String>) -> Self {
        Failure { text: text.into(), status: 2 }
    }
    /// rhyp or its host failed.
    pub fn internal(text: impl Into<String>) -> Self {
        Failure { text: text.into(), status: 1 }
    }
}
