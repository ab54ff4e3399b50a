//! `rhyp`, the open Power hypervisor: the command line.
#![forbid(unsafe_code)]

mod args;
mod cloud_init;
mod console;
mod demo;
mod device;
mod disk;
mod error;
mod image;
mod manage;
mod net;
mod run;
mod share;
mod signals;
mod size;
mod top;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use error::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let filter = cli.log.as_deref().unwrap_or("warn");
    let filter = match tracing_subscriber::EnvFilter::try_new(filter) {
        Ok(f) => f,
        Err(e) => {
            return report(Failure::usage(format!(
                "--log {filter}: {e}; right would be, for example, --log papr=debug"
            )));
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
    let result = match cli.command {
        Command::Run(a) => run::run(&a),
        Command::Demo(a) => demo::demo(&a),
        Command::Image(a) => image::image(&a),
        Command::Up(a) => up::up(&a),
        Command::Ls(a) => manage::list(&a),
        Command::Show(a) => manage::show(&a),
        Command::Start(a) => manage::start(&a),
        Command::Stop(a) => manage::stop(&a),
        Command::Restart(a) => manage::restart(&a),
        Command::Set(a) => manage::set(&a),
        Command::Console(a) => manage::console(&a),
        Command::Top(a) => top::top(&a),
        Command::Down(a) => manage::down(&a),
        Command::Cpus(a) => run::cpus(a.json),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "rhyp", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => {
            let done = clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout());
            done.map(|()| ExitCode::SUCCESS).map_err(|e| Failure::internal(e.to_string()))
        }
    };
    result.unwrap_or_else(report)
}

/// One line on standard error; the status says whose fault it is.
fn report(f: Failure) -> ExitCode {
    eprintln!("rhyp: {}", f.text.replace('\n', " "));
    ExitCode::from(f.status)
}

/// Help and version as asked for; anything else is one line and status 2.
fn usage(e: &clap::Error) -> ExitCode {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if matches!(
        e.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let _ = e.print();
        return if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            ExitCode::from(2)
        } else {
            ExitCode::SUCCESS
        };
    }
    let text = e.render().to_string();
    let mut line = text.lines().next().unwrap_or("bad usage").trim_start_matches("error: ").to_owned();
    if let Some(s) = e.get(ContextKind::SuggestedArg).or_else(|| e.get(ContextKind::SuggestedSubcommand)) {
        line.push_str(&format!(" (did you mean {s}?)"));
    } else if line.ends_with(':') {
        // Lists what is missing on the lines after.
        let rest: Vec<&str> = text.lines().skip(1).map(str::trim).take_while(|l| !l.is_empty()).collect();
        line.push_str(&format!(" {}", rest.join(" ")));
    }
    if let Some(ContextValue::Strings(values)) = e.get(ContextKind::ValidValue) {
        line.push_str(&format!("; right would be {}", values.join(", ")));
    }
    report(Failure::usage(line))
}
