//! Sizes as people write them.

pub use node::size::parse;
