//! `isa-corpus`: check all vectors, or record them anew.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use isa::Row;
use isa_corpus::engines::Machine;
use isa_corpus::errata::{self, Erratum};
use isa_corpus::lockstep;
use isa_corpus::models;
use isa_corpus::peer::Peer;
use isa_corpus::recorded::{self, Recorded, Results, Source};
use isa_corpus::state::{End, Output, PARTS, differences};
use isa_corpus::undefined;
use isa_corpus::vector::{self, COUNT, Vector};

const USAGE: &str = "\
usage: isa-corpus [OPTION]...
  --only PATTERN   only instructions of this mnemonic (* for any text)
  --every N        only every Nth vector
  --record         run the peer and record its results
  --compare        run the peer and print what differs, recording nothing
  --explain N      with --only: print vector N, our result and the peer's
  --lockstep N     interpreter and translator on N random instructions and on the recorded blocks of real programs
  --seed N         another series of random instructions
  --blocks LOG     record blocks from a log of `qemu-system-ppc64 -d in_asm` of a Linux boot";

#[derive(Default)]
struct Options {
    only: Option<String>,
    every: u32,
    record: bool,
    compare: bool,
    explain: Option<u32>,
    lockstep: Option<u64>,
    seed: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("isa-corpus: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let mut o = Options { every: 1, ..Options::default() };
    let mut words = std::env::args().skip(1);
    while let Some(w) = words.next() {
        let mut value = || words.next().with_context(|| format!("{w} needs a value"));
        match w.as_str() {
            "--only" => o.only = Some(value()?),
            "--every" => o.every = value()?.parse::<u32>()?.max(1),
            "--record" => o.record = true,
            "--compare" => o.compare = true,
            "--lockstep" => o.lockstep = Some(value()?.parse()?),
            "--seed" => o.seed = value()?.parse()?,
            "--blocks" => {
                let n = lockstep::write_blocks(Path::new(&value()?), &folder().join("blocks.bin"), 1000)?;
                println!("{n} blocks");
                return Ok(true);
            }
            "--explain" => o.explain = Some(value()?.parse()?),
            _ => bail!("{USAGE}"),
        }
    }
    if let Some(n) = o.lockstep {
        return run_lockstep(n, o.seed);
    }
    let pattern = o.only.clone().unwrap_or_else(|| "*".into());
    let rows: Vec<&'static Row> = vector::rows(|m| errata::matches(&pattern, m)).collect();
    let list = errata::read(&folder().join("../insns/qemu-errata"))?;
    if let Some(n) = o.explain {
        return explain(&rows, n, &list);
    }
    if o.record || o.compare { record(&rows, &list, &o) } else { check(&rows, &list, &o) }
}

fn run_lockstep(count: u64, seed: u64) -> Result<bool> {
    let say = |what: &str, r: &lockstep::Report| {
        println!(
            "{what}: {} instructions in {} programs agree, {} interrupts ({} programs without end left out)",
            r.instructions, r.programs, r.interrupts, r.endless
        );
    };
    let blocks = lockstep::read_blocks(&folder().join("blocks.bin"))?;
    let r = lockstep::blocks(&blocks)?;
    say(&format!("{} blocks of real programs", blocks.len()), &r);
    let r = lockstep::random(count, seed, |r| say("random so far", r))?;
    say("random", &r);
    Ok(true)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn file() -> PathBuf {
    folder().join("recorded.bin")
}

/// Processors of all kinds, made when first needed.
#[derive(Default)]
struct Machines(BTreeMap<(&'static str, bool, bool, bool), Option<Machine>>);

impl Machines {
    /// `None`: there is no such engine here; `Some(None)`: it did not end.
    fn run(&mut self, v: &Vector, translate: bool) -> Option<Option<Output>> {
        let key = (v.model, v.le, v.pr, translate);
        let m = self.0.entry(key).or_insert_with(|| Machine::new(v.model, v.le, v.pr, translate));
        m.as_mut().map(|m| {
            let mut out = m.run(v)?;
            undefined::clear(v, &mut out);
            Some(out)
        })
    }
}

fn name(v: &Vector) -> String {
    let order = if v.le { "" } else { ", big-endian" };
    let who = if v.pr { "" } else { ", supervisor" };
    format!("{} #{} ({}{order}{who})", v.row.mnemonic, v.n, v.model)
}

/// The instruction and the registers it reads.
fn operands(v: &Vector) -> String {
    let text = isa::disasm(v.insn, v.at, isa::Level::V3_1);
    let t = isa::audit::audit(
        v.row.op,
        v.insn,
        isa::Mode { fp: true, vec: true, vsx: true, sf: true, ..Default::default() },
    );
    let mut s = format!("{:08x?} {text}", v.code);
    let used = t.read.union(t.write);
    for n in (0..32).filter(|n| used.gpr >> n & 1 != 0) {
        s += &format!(" r{n}={:016x}", v.input.gpr[n]);
    }
    for n in (0..64).filter(|n| used.vsr >> n & 1 != 0) {
        s += &format!(" vs{n}={:032x}", v.input.vsr[n]);
    }
    let i = &v.input;
    s + &format!(" cr={:08x} xer={:08x} fpscr={:x} vscr={:x}", i.cr, i.xer, i.fpscr, i.vscr)
}

fn show(d: &[(String, String, String)]) -> String {
    d.iter().map(|(f, a, b)| format!("    {f}: {a} not {b}\n")).collect()
}

fn check(rows: &[&'static Row], list: &[Erratum], o: &Options) -> Result<bool> {
    let all = recorded::read(&file())?;
    let mut machines = Machines::default();
    let (mut covered, mut vectors, mut listed, mut own) = (0, 0, 0, 0);
    let mut modelled = (0, std::collections::BTreeSet::new());
    let mut bad: BTreeMap<&str, (u32, String)> = BTreeMap::new();
    for row in rows {
        let Some(results) = all.get(row.mnemonic) else {
            bad.insert(row.mnemonic, (COUNT, "  not recorded\n".into()));
            continue;
        };
        covered += 1;
        for n in (0..COUNT).filter(|n| (n + row.op as u32) % o.every == 0) {
            let v = vector::vector(row, n);
            vectors += 1;
            let mut fail = |what: String| {
                let e = bad.entry(row.mnemonic).or_default();
                e.0 += 1;
                if e.0 <= 3 {
                    e.1 += &format!("  {}: {what}\n  {}\n", name(&v), operands(&v));
                }
            };
            match results.source(n) {
                Source::Peer => {}
                Source::Own => own += 1,
                Source::Listed => {
                    listed += 1;
                    if !list.iter().any(|e| e.of(row.mnemonic)) {
                        fail("recorded as listed, but not in the list".into());
                    }
                }
            }
            let Some(Some(a)) = machines.run(&v, false) else {
                fail("did not end".into());
                continue;
            };
            if let Some(e) = models::model(&v) {
                modelled.0 += 1;
                modelled.1.insert(row.mnemonic);
                let d = models::wrong(&v, &a, e);
                if !d.is_empty() {
                    fail(format!("not as the model says\n{}", show(&d)));
                }
            }
            let x = a.digest() ^ results.digests[n as usize];
            if x != 0 {
                let parts: Vec<&str> =
                    (0..4).filter(|k| x >> (16 * k) & 0xffff != 0).map(|k| PARTS[k]).collect();
                fail(format!("not as recorded in: {}", parts.join("; ")));
            }
            match machines.run(&v, true) {
                None => {}
                Some(None) => fail("did not end in the translator".into()),
                Some(Some(b)) if a != b => {
                    fail(format!("the translator differs\n{}", show(&differences(&a, &b))))
                }
                Some(Some(_)) => {}
            }
        }
    }
    for (mnemonic, (count, text)) in &bad {
        println!("{mnemonic}: {count} mismatches\n{text}");
    }
    let failures: u32 = bad.values().map(|b| b.0).sum();
    println!("instructions covered: {covered} of {} defined", rows.len());
    println!(
        "vectors: {vectors} on each engine, {own} of them without a peer, {listed} where the peer differs for a listed reason"
    );
    println!(
        "checked against an independent model too: {} vectors of {} instructions",
        modelled.0,
        modelled.1.len()
    );
    let (tried, wrong) = beyond(rows, &mut machines);
    for w in &wrong {
        println!("not illegal: {w}");
    }
    println!("instructions newer than the model: {tried} tried, {} not illegal", wrong.len());
    println!("mismatches: {failures} in {} instructions", bad.len());
    Ok(bad.is_empty() && wrong.is_empty())
}

/// On a model (or in a compatibility mode) of an older level the instructions of newer ones are illegal; how many were
/// tried, and which were not.
fn beyond(rows: &[&'static Row], machines: &mut Machines) -> (u32, Vec<String>) {
    let (mut tried, mut wrong) = (0, Vec::new());
    for (model, level) in [("power8", isa::Level::V2_07), ("power9", isa::Level::V3_0)] {
        for row in rows.iter().filter(|r| r.since > level) {
            let mut v = vector::vector(row, 0);
            if !v.pr || v.insn.prefix == 0 && isa::decode(v.insn, level) != isa::Op::Invalid {
                continue;
            }
            v.model = model;
            tried += 1;
            for translate in [false, true] {
                match machines.run(&v, translate) {
                    None => {}
                    Some(Some(o)) if o.end == End::Illegal => {}
                    Some(o) => wrong.push(format!("{} on {model}: {:x?}", row.mnemonic, o.map(|o| o.end))),
                }
            }
        }
    }
    (tried, wrong)
}

fn explain(rows: &[&'static Row], n: u32, list: &[Erratum]) -> Result<bool> {
    let mut machines = Machines::default();
    let peer = Peer::new()?;
    for row in rows {
        let v = vector::vector(row, n);
        println!("{}\n{}", name(&v), operands(&v));
        let ours = machines.run(&v, false).flatten().context("did not end")?;
        let start = Output { end: ours.end, state: v.input.clone(), whole: ours.whole };
        println!("  changes {:x?}:\n{}", ours.end, show(&differences(&ours, &start)));
        if v.peer {
            let mut theirs = peer.run(v.model, v.le, &[&v])?.remove(0);
            undefined::clear(&v, &mut theirs);
            let d = differences(&ours, &theirs);
            println!("  differences from the peer:\n{}", show(&d));
            for e in errata::excuse(list, row.mnemonic, ours.end == End::FpEnabled, &d).into_iter().flatten()
            {
                println!("  {}: {}", e.section, e.reason);
            }
        }
    }
    Ok(true)
}

fn record(rows: &[&'static Row], list: &[Erratum], o: &Options) -> Result<bool> {
    println!("{}", Peer::version()?);
    let peer = Peer::new()?;
    let mut all: Recorded =
        if o.only.is_some() { recorded::read(&file()).unwrap_or_default() } else { Recorded::new() };
    let mut machines = Machines::default();
    let mut bad: BTreeMap<&str, (u32, String)> = BTreeMap::new();
    let mut masks: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    let mut used: BTreeMap<String, (u32, Vec<&str>)> = BTreeMap::new();
    for rows in rows.chunks(64) {
        let vectors: Vec<Vector> =
            rows.iter().flat_map(|&row| (0..COUNT).map(move |n| vector::vector(row, n))).collect();
        let mut theirs: Vec<Option<Output>> = vec![None; vectors.len()];
        for model in ["power8", "power9", "power10"] {
            for le in [true, false] {
                let of: Vec<usize> = (0..vectors.len())
                    .filter(|&k| vectors[k].model == model && vectors[k].le == le && vectors[k].peer)
                    .collect();
                let batch: Vec<&Vector> = of.iter().map(|&k| &vectors[k]).collect();
                for (k, mut out) in of.into_iter().zip(peer.run(model, le, &batch)?) {
                    undefined::clear(&vectors[k], &mut out);
                    theirs[k] = Some(out);
                }
            }
        }
        for (v, theirs) in vectors.iter().zip(theirs) {
            let results = all.entry(v.row.mnemonic.to_owned()).or_default();
            if v.n == 0 {
                *results = Results::default();
            }
            let Some(ours) = machines.run(v, false).flatten() else {
                bail!("{}: did not end\n{}", name(v), operands(v));
            };
            let Some(theirs) = theirs else {
                results.push(ours.digest(), Source::Own);
                continue;
            };
            let d = differences(&ours, &theirs);
            if d.is_empty() {
                results.push(theirs.digest(), Source::Peer);
                continue;
            }
            match errata::excuse(list, v.row.mnemonic, ours.end == End::FpEnabled, &d) {
                Some(why) => {
                    for e in why {
                        let u = used.entry(format!("{}: {}", e.section, e.reason)).or_default();
                        u.0 += 1;
                        if !u.1.contains(&v.row.mnemonic) {
                            u.1.push(v.row.mnemonic);
                        }
                    }
                    results.push(ours.digest(), Source::Listed);
                }
                None => {
                    results.push(theirs.digest(), Source::Peer);
                    let e = bad.entry(v.row.mnemonic).or_default();
                    e.0 += 1;
                    if e.0 <= 3 {
                        e.1 += &format!("  {}\n  {}\n{}", name(v), operands(v), show(&d));
                    }
                    let bits = masks.entry(v.row.mnemonic).or_default();
                    for (f, a, b) in &d {
                        let f = f.trim_end_matches(|c: char| c.is_ascii_digit());
                        let n = |s: &str| u64::from_str_radix(s, 16).unwrap_or(u64::MAX);
                        let trap = if ours.end == End::FpEnabled { "/trap" } else { "" };
                        *bits.entry(format!("{f}{trap}")).or_default() |=
                            n(a) ^ n(b) | u64::from(n(a) == u64::MAX) << 63;
                    }
                }
            }
        }
    }
    for (mnemonic, (count, text)) in &bad {
        println!("{mnemonic}: {count} differ\n{text}");
    }
    for (mnemonic, fields) in &masks {
        let text: Vec<String> = fields.iter().map(|(f, m)| format!("{f}:{m:x}")).collect();
        println!("bits: {mnemonic} {}", text.join(" "));
    }
    for (why, (count, rows)) in &used {
        println!("listed, {count} vectors of {} instructions: {why}", rows.len());
    }
    println!("unexplained: {} instructions", bad.len());
    if o.record {
        recorded::write(&file(), &all)?;
    }
    Ok(bad.is_empty())
}
