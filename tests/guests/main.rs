//! Tests that boot real guests.
//!
//! `cargo test --release -p guest-tests --test guests -- [--all] [--peer qemu] [FILTER]`; the other options are
//! those of the standard test runner. Without `--all` a quick subset runs. Guests are fetched when they are missing.
#![forbid(unsafe_code)]

mod arithmetic;
mod boot_order;
mod cli;
mod cloud_init;
mod disk_boot;
mod disks;
mod installer;
mod joints;
mod lan;
mod life;
mod matrix;
mod mixed;
mod neighbours;
mod net;
mod processor;
mod served;
mod share;
mod stress;
mod system;
mod userland;
mod virtio;

use anyhow::{Result, bail};
use guest_tests::{Case, Images, Peer};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;

/// The tests of one run, as they are collected.
pub struct Suite {
    peer: Peer,
    all: bool,
    images: Arc<Images>,
    trials: Vec<Trial>,
}

impl Suite {
    /// Whether all tests were asked for.
    pub fn all(&self) -> bool {
        self.all
    }

    /// The guests there are.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Adds a test; those that are not `quick` run only with `--all`.
    pub fn add(
        &mut self,
        name: &str,
        quick: bool,
        test: impl FnOnce(&mut Case, &Images) -> Result<()> + Send + 'static,
    ) {
        if !quick && !self.all {
            return;
        }
        let (peer, images, owned) = (self.peer, Arc::clone(&self.images), name.to_owned());
        self.trials.push(Trial::test(name, move || {
            Case::run(peer, &owned, |case| test(case, &images))
                .map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }

    /// Adds a test that makes sense for one peer only.
    pub fn add_for(
        &mut self,
        peer: Peer,
        name: &str,
        quick: bool,
        test: impl FnOnce(&mut Case, &Images) -> Result<()> + Send + 'static,
    ) {
        if self.peer == peer {
            self.add(name, quick, test);
        }
    }

    /// Says that a test cannot run on this host.
    pub fn leave_out(&self, name: &str, why: &str) {
        if self.all {
            eprintln!("left out: {name}: {why}");
        }
    }
}

/// Takes `--all` and `--peer NAME` out of the arguments; the rest belongs to the test runner.
fn own_options(arguments: impl Iterator<Item = String>) -> Result<(bool, Peer, Vec<String>)> {
    let (mut all, mut peer, mut rest) = (false, Peer::Rhyp, Vec::new());
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--all" => all = true,
            "--peer" => {
                peer = match arguments.next().as_deref() {
                    Some("rhyp") => Peer::Rhyp,
                    Some("qemu") => Peer::Qemu,
                    other => bail!("--peer is rhyp or qemu, not {}", other.unwrap_or("missing")),
                }
            }
            _ => rest.push(argument),
        }
    }
    Ok((all, peer, rest))
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("guest tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let (all, peer, rest) = own_options(std::env::args())?;
    let mut arguments = Arguments::from_iter(rest);
    // A guest may have several processors of its own: by default one guest for every two of the host.
    let host = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    arguments.test_threads = arguments.test_threads.or(Some((host / 2).max(1)));
    let mut suite = Suite { peer, all, images: Arc::new(Images::open()?), trials: Vec::new() };
    suite.trials.push(Trial::test("matrix::covers_every_pair", || {
        matrix::covers_every_pair().map_err(|error| Failed::from(error.to_string()))
    }));
    boot_order::register(&mut suite);
    cli::register(&mut suite);
    cloud_init::register(&mut suite);
    disks::register(&mut suite);
    installer::register(&mut suite);
    joints::register(&mut suite);
    lan::register(&mut suite);
    life::register(&mut suite);
    userland::register(&mut suite);
    virtio::register(&mut suite);
    disk_boot::add(&mut suite);
    stress::register(&mut suite);
    matrix::register(&mut suite);
    neighbours::register(&mut suite);
    mixed::register(&mut suite);
    net::register(&mut suite);
    processor::register(&mut suite);
    served::register(&mut suite);
    share::register(&mut suite);
    arithmetic::register(&mut suite);
    system::register(&mut suite);
    Ok(libtest_mimic::run(&arguments, suite.trials).exit_code())
}
