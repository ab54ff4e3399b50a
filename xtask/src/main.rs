//! The project's chores, started as `cargo xtask CHORE`.
#![forbid(unsafe_code)]

mod bench;
mod fetch;
mod lint;
mod peer;
mod ten;
mod test;

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE
  test           format, house rules, clippy, unit tests, release build, quick guest tests
    --all          the whole boot matrix and the slower guest tests too
    --isa          only the instruction corpus, every vector on both engines; says what is covered and what differs
    --record       the corpus recorded anew from qemu-ppc64le and qemu-ppc64
    --guests NAME  only the guest tests whose names contain NAME
    --peer qemu    run the guests under QEMU instead, to test the tests
  lint           the house rules alone
  guests         fetch every guest the tests boot (kernels, busybox, installer, tools) into the user's cache
  ten            what examples/ten.toml boots, into target/ten
    --table        boots it, and ten QEMUs, and says what they take (--no-peer, --rhyp FILE)";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The cargo that started this program, else the one of the search path.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent directory")?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["test", options @ ..] => test::run(root, &test::Options::parse(options)?),
        ["bench", "--io", options @ ..] => bench::io::run(root, options),
        ["bench", "--login", options @ ..] => bench::login::run(root, options),
        ["bench", "--net", options @ ..] => bench::net::run(root, options),
        ["bench", options @ ..] => bench::run(root, &bench::Options::parse(options)?),
        ["lint"] => lint::run(root),
        ["guests"] => fetch::all(),
        ["ten", options @ ..] => ten::run(root, options),
        _ => bail!("{USAGE}\n{}", bench::USAGE),
    }
}
