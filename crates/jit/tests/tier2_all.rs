//! The programs of the other tests with everything compiled by the second tier, in place.
#![allow(clippy::duplicate_mod)] // both bring their own pair of machines

#[path = "carries.rs"]
mod carries;
#[path = "programs.rs"]
mod programs;
#[path = "random.rs"]
mod random;
