//! The reference corpus: every row of `isa`'s table on operands at the edges, checked against results recorded from
//! `qemu-ppc64le`/`qemu-ppc64` and against models that share nothing with `isa`, on both engines.
//!
//! [`vector::vector`] makes vector `n` of a row, always the same; [`engines`] runs it here, [`peer`] there;
//! [`recorded`] keeps 64 bits of each result, so that checking needs no peer; [`errata`] is the list of places where
//! the results differ from the peer's for a reason the manual gives. `src/main.rs` is the command.
#![forbid(unsafe_code)]

pub mod engines;
pub mod errata;
pub mod lockstep;
pub mod models;
pub mod peer;
pub mod recorded;
pub mod rng;
pub mod state;
pub mod undefined;
pub mod values;
pub mod vector;
