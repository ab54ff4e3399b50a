//! Arithmetic as programs of the guest see it: the operations of float and double against integers, the C library's
//! functions against correctly rounded results, and Python's own tests of numbers and compression.

use crate::Suite;
use crate::processor::built;
use anyhow::{Context, Result, ensure};
use guest_tests::{BootSpec, Case, Cpu, Images, Outcome, Peer, patience};
use guests::{Initramfs, KernelVersion};
use regex::Regex;
use std::time::Duration;

/// The parts of Python's test suite that judge numbers.
const PYTHON_TESTS: &[&str] =
    &["test_float", "test_math", "test_decimal", "test_struct", "test_zlib", "test_hashlib"];

/// Adds the tests of this file.
pub fn register(suite: &mut Suite) {
    for cpu in [Cpu::Power8, Cpu::Power9, Cpu::Power10] {
        suite.add(&format!("arithmetic::float_and_double_{cpu}"), false, move |case, images| {
            operations(case, images, cpu)
        });
    }
    suite.add("arithmetic::libm_is_near_the_exact_results", false, libm);
    for test in PYTHON_TESTS {
        suite.add(&format!("arithmetic::python_{test}"), false, |case, images| python(case, images, test));
    }
}

/// The engines to compare.
fn engines(peer: Peer) -> &'static [&'static str] {
    if peer == Peer::Rhyp { &["jit", "interp"] } else { &["tcg"] }
}

fn boot(images: &Images, name: &str, initramfs: &Initramfs, engine: &str) -> Result<BootSpec> {
    let kernel = images.kernel(KernelVersion::V6_1).context("Debian's 6.1 kernel is missing")?;
    let mut spec = BootSpec::new(&kernel.vmlinux, &images.write(name, initramfs)?);
    spec.rhyp_options = vec!["--accel".into(), engine.into()];
    Ok(spec)
}

fn operations(case: &mut Case, images: &Images, cpu: Cpu) -> Result<()> {
    let program = std::fs::read(built("arithmetic")?.join("arithmetic")).context("arithmetic")?;
    for engine in engines(case.peer()) {
        let initramfs = images.userland("/arithmetic\npoweroff -f\n").file("arithmetic", 0o755, &program);
        let spec = boot(images, &format!("arithmetic-{cpu}"), &initramfs, engine)?.on(cpu);
        let mut guest = case.boot(&spec)?;
        let seen = guest
            .expect(r"((?:ARITHMETIC-FAIL .*\n)*)ARITHMETIC (\d+) checks, (\d+) failures", patience())?;
        ensure!(&seen[3] == "0", "{engine}: {} of {} checks fail:\n{}", seen[3], seen[2], seen[1]);
        ensure!(seen[2].parse::<u64>()? > 500_000, "{engine}: only {} checks", seen[2]);
        guest.ends(Outcome::PowerOff)?;
        guest.is_healthy()?;
    }
    Ok(())
}

/// Python and its library.
fn with_python(images: &Images, script: &str) -> Result<Initramfs> {
    let tree = images.python()?;
    let library = "usr/lib/python3.11";
    // The modules that need libraries of their own.
    let modules = ["_ctypes", "_decimal", "_hashlib", "_lzma", "_bz2"]
        .map(|name| format!("{library}/lib-dynload/{name}.cpython-311-powerpc64le-linux-gnu.so"));
    let mut programs: Vec<&str> = modules.iter().map(String::as_str).collect();
    programs.push("usr/bin/python3.11");
    let mut initramfs = images.userland(script).programs(&tree, &programs)?;
    initramfs = initramfs.tree(library, &tree.join(library))?.link("usr/bin/python3", "python3.11");
    Ok(initramfs)
}

fn libm(case: &mut Case, images: &Images) -> Result<()> {
    let script = "python3 /libm.py /libm.txt\npoweroff -f\n";
    let initramfs = with_python(images, script)?
        .file("libm.py", 0o644, include_bytes!("../../guests/arithmetic/libm.py"))
        .file("libm.txt", 0o644, include_bytes!("../../guests/arithmetic/libm.txt"));
    let mut tables = Vec::new();
    for engine in engines(case.peer()) {
        let mut spec = boot(images, "libm", &initramfs, engine)?;
        spec.memory = "2G".to_owned();
        let mut guest = case.boot(&spec)?;
        let seen = guest.expect(
            r"(?s)(LIBM.*)LIBM-DONE (\d+) functions (\d+) results (\d+) failures",
            patience().max(Duration::from_secs(900)),
        )?;
        eprintln!("libm, {engine}: {} functions, {} results", seen[2], seen[3]);
        ensure!(&seen[4] == "0", "{engine}: {} results are too far away:\n{}", seen[4], seen[1]);
        tables.push(seen[1].replace('\r', ""));
        guest.ends(Outcome::PowerOff)?;
        guest.is_healthy()?;
    }
    ensure!(tables.iter().all(|t| *t == tables[0]), "the engines differ:\n{}", tables.join("\n"));
    Ok(())
}

fn python(case: &mut Case, images: &Images, test: &str) -> Result<()> {
    let script = format!(
        "cd /tmp\npython3 -m test -v {test} >log 2>&1\necho PYTHON-STATUS $?\n\
         grep -E '^(Ran [0-9]+ tests? in|OK)' log\ntail -n 40 log\necho PYTHON-DONE\npoweroff -f\n"
    );
    let initramfs = with_python(images, &script)?;
    let mut spec = boot(images, &format!("python-{test}"), &initramfs, engines(case.peer())[0])?;
    spec.memory = "3G".to_owned();
    let mut guest = case.boot(&spec)?;
    let seen =
        guest.expect(r"(?s)PYTHON-STATUS (\d+)(.*)PYTHON-DONE", patience().max(Duration::from_secs(1800)))?;
    ensure!(&seen[1] == "0", "{test} ends with {}:\n{}", seen[1], seen[2]);
    // Status 0 is also that of a test that was left out.
    let ran = Regex::new(r"Ran (\d+) tests? in [^\n]*\n\s*OK")?
        .captures(&seen[2])
        .with_context(|| seen[2].clone())?;
    let (count, result) =
        (&ran[1], seen[2].contains("Tests result: SUCCESS") || seen[2].contains("Result: SUCCESS"));
    eprintln!("{test}: {count} tests");
    ensure!(result && count != "0", "{test}:\n{}", seen[2]);
    guest.ends(Outcome::PowerOff)?;
    guest.is_healthy()
}
