//! Hosts without an emitter.

use std::sync::Arc;

use arch::{Cpu, Exit};

use crate::{Options, Stats};

/// Never made here.
pub enum CodeCache {}

impl CodeCache {
    /// There is no translator for this host.
    pub fn new(_: &Options) -> Option<Arc<Self>> {
        None
    }
}

/// Never made here.
pub enum Jit {}

impl Jit {
    /// There is no translator for this host.
    pub fn new(_: &Options) -> Option<Self> {
        None
    }
    /// See the x86-64 host's.
    pub fn with(shared: Arc<CodeCache>) -> Self {
        match *shared {}
    }
    /// See the x86-64 host's.
    pub fn run(&mut self, _: &mut Cpu, _: u64) -> Exit {
        match *self {}
    }
    /// See the x86-64 host's.
    pub fn stats(&self) -> Stats {
        match *self {}
    }
    /// See the x86-64 host's.
    pub fn profile(&self) -> Vec<(&'static str, u64)> {
        match *self {}
    }
    /// See the x86-64 host's.
    pub fn trim(&mut self, _: usize) -> bool {
        match *self {}
    }
}
