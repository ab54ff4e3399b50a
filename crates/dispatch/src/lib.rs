//! Who runs when: the processors of a node are shared among partitions by hundredths (LoPAR 14.11).
//!
//! [`Dispatcher`] is a pure value: time is an argument, what is to be done comes out as [`Order`]s. [`Shell`] gives it
//! a clock and a thread, and carries the orders to the host threads that run virtual processors.
#![forbid(unsafe_code)]

mod core;
mod shell;

pub use core::{
    Dispatcher, LEAST_ENTITLEMENT, MOST_THREADS, Ns, Order, PartId, PoolUsage, Refused, Share, Sharing,
    Thread, Usage, WHOLE, WINDOW,
};
pub use shell::{Runner, Seat, Shell};
