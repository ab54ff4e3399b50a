//! Commands that speak to a system that is up.

use std::io::{Read, Write};
use std::process::ExitCode;

use node::api::{Answer, NodeStatus, PartitionStatus, Request};
use node::client::Client;
use node::quantity::{Bytes, Hundredths};

use crate::args::{ControlArgs, ListArgs, NameArgs, SetArgs, ShowArgs, StopArgs};
use crate::console;
use crate::error::Failure;

/// A connection to the system that is meant.
pub fn connect(a: &ControlArgs) -> Result<Client, Failure> {
    let path = a.control.clone().unwrap_or_else(node::client::usual_path);
    Client::connect(&path).map_err(Failure::usage)
}

fn ask(a: &ControlArgs, r: &Request) -> Result<Answer, Failure> {
    connect(a)?.ask(r).map_err(Failure::usage)
}

fn do_it(a: &ControlArgs, r: &Request) -> Result<ExitCode, Failure> {
    ask(a, r).map(|_| ExitCode::SUCCESS)
}

/// The node as it is.
pub fn status(client: &mut Client) -> Result<NodeStatus, Failure> {
    match client.ask(&Request::List).map_err(Failure::usage)? {
        Answer::List(n) => Ok(n),
        _ => Err(Failure::internal("the system gave another answer")),
    }
}

/// What a partition is given, in few words.
pub fn given(p: &PartitionStatus) -> String {
    match (p.mode.as_str(), p.weight) {
        ("dedicated", _) => "dedicated".into(),
        (mode, None) => format!("{} {mode}", Hundredths(p.entitled)),
        (mode, Some(w)) => format!("{} {mode} {w}", Hundredths(p.entitled)),
    }
}

/// `rhyp ls`.
pub fn list(a: &ListArgs) -> Result<ExitCode, Failure> {
    let node = status(&mut connect(&a.control)?)?;
    if a.json {
        println!("{:#}", serde_json::to_value(&node).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{:>3} {:<16} {:<8} {:>5} {:<20} {:>7}  ",
        "NO", "NAME", "STATE", "CPUS", "PROCESSORS", "MEMORY"
    );
    for p in &node.partitions {
        let cpus = p.cores * p.threads;
        let memory = Bytes(p.memory).to_string();
        let line = format!(
            "{:>3} {:<16} {:<8} {cpus:>5} {:<20} {memory:>7}  {}",
            p.number,
            p.name,
            p.phase.name(),
            given(p),
            p.why
        );
        println!("{}", line.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// `rhyp show`.
pub fn show(a: &ShowArgs) -> Result<ExitCode, Failure> {
    let Answer::Show(shown) = ask(&a.control, &Request::Show { name: a.name.clone() })? else {
        return Err(Failure::internal("the system gave another answer"));
    };
    if a.json {
        println!("{:#}", serde_json::to_value(&shown).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let (s, seconds) = (&shown.status, |ns: u64| ns as f64 / 1e9);
    println!("{} (number {}) is {} {}", s.name, s.number, s.phase.name(), s.why);
    println!("processors  {} cores of {} threads, {}", s.cores, s.threads, given(s));
    println!("memory      {}", Bytes(s.memory));
    println!("up          {:.1} s", seconds(s.uptime_ns));
    println!("consumed    {:.3} s, {:.3} s of it surplus", seconds(s.consumed_ns), seconds(s.surplus_ns));
    println!("waited      {:.3} s", seconds(s.waited_ns));
    println!("donated     {:.3} s", seconds(s.donated_ns));
    println!("dispatches  {}", s.dispatches);
    println!("hypercalls  {}", s.hypercalls);
    const MOST: usize = 12;
    for (name, count) in shown.calls.iter().take(MOST) {
        println!("            {count:>12} {name}");
    }
    for (key, value) in shown.profile.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null()) {
        println!("profile     {key} = {value}");
    }
    Ok(ExitCode::SUCCESS)
}

/// `rhyp start`.
pub fn start(a: &NameArgs) -> Result<ExitCode, Failure> {
    do_it(&a.control, &Request::Start { name: a.name.clone() })
}

/// `rhyp stop`.
pub fn stop(a: &StopArgs) -> Result<ExitCode, Failure> {
    do_it(&a.control, &Request::Stop { name: a.name.clone(), now: a.now })
}

/// `rhyp restart`.
pub fn restart(a: &NameArgs) -> Result<ExitCode, Failure> {
    do_it(&a.control, &Request::Restart { name: a.name.clone() })
}

/// `rhyp set`.
pub fn set(a: &SetArgs) -> Result<ExitCode, Failure> {
    let hundredths = |v: f64| {
        let n = (v * 100.0).round();
        let fits = (v * 100.0 - n).abs() < 1e-6 && (1.0..1e6).contains(&n);
        let right = "right would be processors with at most two decimals, for example 0.25";
        if fits { Ok(n as u32) } else { Err(Failure::usage(format!("--entitlement {v}: {right}"))) }
    };
    let entitled = a.entitlement.map(hundredths).transpose()?;
    if entitled.is_none() && a.weight.is_none() {
        return Err(Failure::usage("nothing is to be set; right would be --entitlement or --weight"));
    }
    do_it(&a.control, &Request::Set { name: a.name.clone(), entitled, weight: a.weight })
}

/// `rhyp down`.
pub fn down(a: &ListArgs) -> Result<ExitCode, Failure> {
    do_it(&a.control, &Request::Down)
}

/// `rhyp console`.
pub fn console(a: &NameArgs) -> Result<ExitCode, Failure> {
    let mut client = connect(&a.control)?;
    client.ask(&Request::Console { name: a.name.clone() }).map_err(Failure::usage)?;
    let (stream, first) = client.into_stream();
    let failed = |e: std::io::Error| Failure::internal(e.to_string());
    let raw = console::enter_raw();
    let keys = raw.is_some();
    let writer = stream.try_clone().map_err(failed)?;
    std::thread::Builder::new()
        .name("console input".into())
        .spawn(move || type_in(writer, keys))
        .map_err(failed)?;
    let mut out = std::io::stdout();
    let mut show = |bytes: &[u8]| out.write_all(bytes).and_then(|()| out.flush());
    let mut reader = stream;
    let mut buf = [0; 4096];
    let mut shown = show(&first);
    while shown.is_ok() {
        match reader.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => shown = show(&buf[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    drop(raw);
    Ok(ExitCode::SUCCESS)
}

/// Carries what is typed until the end of input, or Ctrl-A x.
fn type_in(mut stream: std::os::unix::net::UnixStream, keys: bool) {
    const ESCAPE: u8 = 1;
    let mut escaped = false;
    let mut buf = [0; 256];
    let mut input = std::io::stdin();
    loop {
        let n = match input.read(&mut buf) {
            // A pipe that ends leaves the console to be read.
            Ok(0) | Err(_) => return,
            Ok(n) => n,
        };
        let mut out = Vec::with_capacity(n);
        for &b in &buf[..n] {
            match (std::mem::take(&mut escaped), b) {
                (false, ESCAPE) if keys => escaped = true,
                (true, b'x' | b'X') => {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                    return;
                }
                (true, ESCAPE | b'a') => out.push(ESCAPE),
                (true, b) => out.extend([ESCAPE, b]),
                (false, b) => out.push(b),
            }
        }
        if stream.write_all(&out).is_err() {
            return;
        }
    }
}
