//! The programs of the other tests with everything compiled by the second tier, in place.

#[path = "programs.rs"]
mod programs;
#[path = "random.rs"]
mod random;
