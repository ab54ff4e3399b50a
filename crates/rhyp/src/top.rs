//! `rhyp top`: what partitions use and wait for.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use node::api::{NodeStatus, PartitionStatus};
use node::quantity::{Bytes, Hundredths};

use crate::args::TopArgs;
use crate::error::Failure;
use crate::manage::{connect, given, status};

/// Looks again and again.
pub fn top(a: &TopArgs) -> Result<ExitCode, Failure> {
    if !(0.05..=3600.0).contains(&a.interval) {
        return Err(Failure::usage(format!(
            "--interval {}: right would be 0.05 to 3600 seconds",
            a.interval
        )));
    }
    let mut client = connect(&a.control)?;
    let mut before = status(&mut client)?;
    let screen = std::io::stdout().is_terminal() && !a.json;
    let mut looks = 0;
    while a.count.is_none_or(|n| looks < n) {
        std::thread::sleep(Duration::from_secs_f64(a.interval));
        let now = status(&mut client)?;
        let text = if a.json { json(&before, &now) } else { table(&before, &now) };
        let clear = if screen { "\x1b[H\x1b[2J" } else { "" };
        let mut out = std::io::stdout();
        if write!(out, "{clear}{text}").and_then(|()| out.flush()).is_err() {
            break;
        }
        before = now;
        looks += 1;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a partition did between two looks, in processors.
struct Rates {
    consumed: f64,
    surplus: f64,
    waited: f64,
    donated: f64,
    dispatches: f64,
    hypercalls: f64,
    disk: [f64; 2],
    net: [f64; 2],
}

fn rates(before: &NodeStatus, now: &NodeStatus, p: &PartitionStatus) -> Rates {
    let time = now.uptime_ns.saturating_sub(before.uptime_ns).max(1) as f64;
    let old = before.partitions.iter().find(|o| o.name == p.name && o.uptime_ns <= p.uptime_ns);
    let rate = |f: fn(&PartitionStatus) -> u64| f(p).saturating_sub(old.map_or(0, f)) as f64 / time;
    Rates {
        consumed: rate(|p| p.consumed_ns),
        surplus: rate(|p| p.surplus_ns),
        waited: rate(|p| p.waited_ns),
        donated: rate(|p| p.donated_ns),
        dispatches: rate(|p| p.dispatches) * 1e9,
        hypercalls: rate(|p| p.hypercalls) * 1e9,
        disk: [rate(|p| p.disk_read) * 1e9, rate(|p| p.disk_written) * 1e9],
        net: [rate(|p| p.net_received) * 1e9, rate(|p| p.net_sent) * 1e9],
    }
}

fn idle(before: &NodeStatus, now: &NodeStatus) -> f64 {
    let time = now.uptime_ns.saturating_sub(before.uptime_ns).max(1) as f64;
    now.pool_idle_ns.saturating_sub(before.pool_idle_ns) as f64 / time
}

fn table(before: &NodeStatus, now: &NodeStatus) -> String {
    let mut out = format!(
        "{} up {} s, {} processors: {} in the pool, {} entitled to nobody, {:.2} idle\n\n",
        if now.name.is_empty() { "node" } else { &now.name },
        now.uptime_ns / 1_000_000_000,
        now.processors,
        now.pool_processors,
        Hundredths(now.free),
        idle(before, now)
    );
    out.push_str(&format!(
        "{:<16} {:<8} {:<20} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10} {:>9} {:>8} {:>7}  {}\n",
        "NAME",
        "STATE",
        "PROCESSORS",
        "CONSUMED",
        "SURPLUS",
        "WAITING",
        "DONATED",
        "DISPATCH/S",
        "HCALLS/S",
        "DISK MB/S",
        "NET MB/S",
        "MEMORY",
        "WHY"
    ));
    for p in &now.partitions {
        let r = rates(before, now, p);
        let line = format!(
            "{:<16} {:<8} {:<20} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {:>10.0} {:>10.0} {:>9.1} {:>8.1} {:>7}  {}",
            p.name,
            p.phase.name(),
            given(p),
            r.consumed,
            r.surplus,
            r.waited,
            r.donated,
            r.dispatches,
            r.hypercalls,
            r.disk.iter().sum::<f64>() / 1e6,
            r.net.iter().sum::<f64>() / 1e6,
            Bytes(p.memory).to_string(),
            p.why
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn json(before: &NodeStatus, now: &NodeStatus) -> String {
    let partitions: Vec<_> = now
        .partitions
        .iter()
        .map(|p| {
            let r = rates(before, now, p);
            serde_json::json!({
                "name": p.name, "state": p.phase.name(), "why": p.why, "consumed": r.consumed, "surplus": r.surplus,
                "waiting": r.waited, "donated": r.donated, "dispatches": r.dispatches,
                "hypercalls": r.hypercalls, "disk-read": r.disk[0], "disk-written": r.disk[1],
                "net-received": r.net[0], "net-sent": r.net[1], "memory": p.memory,
            })
        })
        .collect();
    let seconds = now.uptime_ns.saturating_sub(before.uptime_ns) as f64 / 1e9;
    let all = serde_json::json!({ "seconds": seconds, "idle": idle(before, now), "partitions": partitions });
    format!("{all}\n")
}
