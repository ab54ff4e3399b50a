//! The project's chores, started as `cargo xtask CHORE`.
#![forbid(unsafe_code)]

mod fetch;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE
  guests         fetch every guest the tests boot (kernels, busybox, installer, tools) into the user's cache";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["guests"] => fetch::all(),
        _ => bail!("{USAGE}"),
    }
}
