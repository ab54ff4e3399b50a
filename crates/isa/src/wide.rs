//! 128-bit vector operations as pure functions on values; byte 0 of a register is the most significant byte.

/// One-operand vector operations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum W1 {
    Not,
}
/// Two-operand vector operations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum W2 {
    And,
}
/// Three-operand vector operations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum W3 {
    Sel,
}
