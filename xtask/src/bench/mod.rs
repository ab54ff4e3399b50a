//! `cargo xtask bench`: speed, as ratios. Absolute figures are printed for orientation only: machines differ.
//!
//! Every round runs each set natively, under rhyp and under the peer, one after the other, so that a machine that gets
//! slower in between slows all of them; medians over the rounds are compared. A benchmark's checksum must be the same
//! everywhere, and what a guest's clock says of a whole set is compared with the host's.

pub mod io;
pub mod login;
mod machine;
pub mod net;
mod options;
mod programs;
mod table;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

pub use options::{Options, USAGE};

use machine::{Job, Machine};
use programs::Images;
use table::{Column, Table};

/// What is measured together: one boot of a guest a round, or a few for `Boot` and `Smp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// Whole boots, from the start of the process to its end.
    Boot,
    /// Integer programs.
    Integer,
    /// Floating point programs.
    Float,
    /// Strings and vector instructions.
    Vector,
    /// Kernel paths.
    System,
    /// The same parallel load on one and on two processors.
    Smp,
    /// Real programs from Debian.
    Programs,
}

impl Set {
    /// All of them, in the order they are run and printed.
    pub const ALL: [Self; 7] =
        [Self::Boot, Self::Integer, Self::Float, Self::Vector, Self::System, Self::Smp, Self::Programs];

    /// Its name on the command line and in the guest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Vector => "vector",
            Self::System => "system",
            Self::Smp => "smp",
            Self::Programs => "programs",
        }
    }

    /// Least peer's time over rhyp's: as the geometric mean of the set, and of each row.
    fn bars(self) -> (Option<f64>, Option<f64>) {
        match self {
            Self::Boot => (None, Some(1.0 / 0.6)),
            Self::Integer => (Some(2.0), Some(0.95)),
            Self::Float => (Some(12.0), None),
            Self::Vector => (Some(4.0), None),
            Self::System => (Some(1.7), Some(1.0)),
            Self::Smp => (None, None),
            Self::Programs => (Some(2.5), Some(1.5)),
        }
    }
}

/// Measures what `options` ask for and prints the table.
///
/// # Errors
/// A machine does not run, a checksum or a clock is wrong, or a needed program cannot be installed.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let cargo = |arguments: &[&str]| -> Result<()> {
        let status = Command::new(crate::cargo()).args(arguments).current_dir(root).status()?;
        if status.success() { Ok(()) } else { bail!("`cargo {}` failed", arguments.join(" ")) }
    };
    if options.whole() && !options.peer && !options.json {
        println!("interpreter, integer loop:");
        cargo(&["run", "--release", "--quiet", "--package", "interp", "--example", "speed"])?;
    }
    if options.rhyp.is_none() {
        cargo(&["build", "--release", "--quiet", "--package", "rhyp"])?;
    }
    let images = Images::prepare(root, options)?;
    let mut table = Table::new(options.peer_title()?);
    for round in 0..options.rounds {
        for set in Set::ALL.into_iter().filter(|set| options.wants(*set)) {
            eprintln!("round {} of {}: {}", round + 1, options.rounds, set.name());
            for job in jobs(set, options) {
                let mut machines = vec![(Column::Native, Machine::Native(images.native.clone()))];
                machines.push((Column::Rhyp, images.rhyp(options)));
                if let Some(peer) = images.peer(options) {
                    machines.push((Column::Peer, peer));
                }
                // Whoever comes later in a round may find a warmer or a slower machine.
                if round % 2 == 1 {
                    machines.reverse();
                }
                for (column, machine) in machines {
                    for result in machine.run(&images, &job)? {
                        table.add(set, column, result)?;
                    }
                }
            }
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&table.json())?);
    } else {
        print!("{}", table.text());
    }
    Ok(())
}

/// The boots of a set in one round.
fn jobs(set: Set, options: &Options) -> Vec<Job> {
    let job = |row: Option<&str>, cpus, append: &str| Job {
        set,
        names: options.names(set),
        row: row.map(str::to_owned),
        cpus,
        append: append.to_owned(),
    };
    let named = |row: &str| options.wants_row(set, row);
    let all = match set {
        Set::Boot => vec![job(Some("radix"), 1, ""), job(Some("hash"), 1, "disable_radix")],
        Set::Smp => vec![job(Some("make-on-1"), 1, ""), job(Some("make-on-2"), 2, "")],
        _ => vec![job(None, 1, "")],
    };
    all.into_iter().filter(|job| job.row.as_deref().is_none_or(named)).collect()
}
