//! `cargo xtask lint`: the rules of the house that neither rustc nor clippy knows.
//!
//! The length of functions is clippy's business (`too_many_lines`, threshold in `clippy.toml`; an exception is an
//! `#[expect]` with a reason at the function). Here: which crate may name which, the length of files, words that must
//! not be in the tree, and which crates may hold unsafe code.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each crate and the crates of this workspace it may depend on. Tests (dev-dependencies) are free.
const ARROWS: &[(&str, &[&str])] = &[
    ("isa", &[]),
    ("mem", &[]),
    ("state", &[]),
    ("api", &[]),
    ("dispatch", &[]),
    ("guests", &[]),
    ("fpu", &["isa"]),
    ("arch", &["isa", "fpu", "mem"]),
    ("interp", &["isa", "fpu", "mem", "arch"]),
    ("jit", &["isa", "fpu", "mem", "arch", "interp"]),
    ("kvm", &["isa", "mem", "arch"]),
    ("cpu", &["isa", "fpu", "mem", "arch", "interp", "jit", "kvm"]),
    ("block", &["mem"]),
    ("net", &[]),
    ("device", &["mem", "state"]),
    ("devices", &["mem", "state", "device", "block", "net"]),
    ("firmware", &["mem", "state", "device"]),
    ("papr", &["isa", "mem", "arch", "state", "device", "devices", "firmware"]),
    ("machine", &["mem", "state", "arch", "device", "devices"]),
    (
        "partition",
        &[
            "isa", "mem", "arch", "interp", "cpu", "state", "device", "devices", "papr", "firmware",
            "machine", "block", "net", "dispatch",
        ],
    ),
    ("fabric", &["state", "device"]),
    ("migrate", &["mem", "state"]),
    ("node", &["api", "dispatch", "fabric", "migrate", "partition", "guests"]),
    // arch for the names of processor models, devices for the host's ends of a console and of an NVRAM.
    ("rhyp", &["api", "node", "partition", "arch", "devices", "guests", "block", "net"]),
    ("xtask", &["guests"]),
    ("guest-tests", &["guests"]),
    ("isa-corpus", &["isa", "fpu", "mem", "arch", "interp", "jit"]),
];

/// Crates that may hold unsafe code, and why; all others forbid it.
const UNSAFE: &[(&str, &str)] = &[
    ("mem", "guest memory is reached through raw pointers into its mapping"),
    ("jit", "emits and calls machine code"),
    ("kvm", "speaks to /dev/kvm"),
];

/// Longest file, in lines.
const FILE_LIMIT: usize = 1500;

/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// What must not be in any source or text of the project, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "finish it or file an issue"),
    (concat!("FIX", "ME"), "finish it or file an issue"),
    (concat!("todo", "!("), "finish it"),
    (concat!("unimplemented", "!("), "answer as the specification says"),
    (concat!("#[", "ignore"), "a test runs or does not exist"),
    (concat!("deb.", "debian.org"), "the host's own configuration names the archive"),
    (concat!("index.", "crates.io"), "cargo's configuration names the registry"),
    (concat!("static.", "crates.io"), "cargo's configuration names the registry"),
    (concat!("/wo", "rk/"), "a path of one developer's machine"),
    (concat!("/ho", "me/"), "a path of one developer's machine"),
];

/// Checks everything and reports every violation at once.
pub fn run(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    let metadata = metadata(root)?;
    check_arrows(&metadata, &mut faults)?;
    check_unsafe(&metadata, &mut faults)?;
    for file in files(root)? {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        check_text(&name, &text, &mut faults);
    }
    for (name, _) in LONG_FILES {
        if !root.join(name).is_file() {
            faults.push(format!("{name}: listed as a long file, but there is no such file"));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    bail!("{} violation(s) of the house rules", faults.len())
}

fn check_text(name: &str, text: &str, faults: &mut Vec<String>) {
    let lines = text.lines().count();
    let excused = LONG_FILES.iter().any(|(long, _)| *long == name);
    if name.ends_with(".rs") && lines > FILE_LIMIT && !excused {
        faults.push(format!("{name}: {lines} lines, the limit is {FILE_LIMIT}: split it by topic"));
    }
    for (number, line) in text.lines().enumerate() {
        for (word, why) in FORBIDDEN {
            if line.contains(word) {
                faults.push(format!("{name}:{}: {word:?}: {why}", number + 1));
            }
        }
    }
}

/// `cargo metadata` of the members of the workspace.
fn metadata(root: &Path) -> Result<Vec<Value>> {
    let output = Command::new(crate::cargo())
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let value: Value = serde_json::from_slice(&output.stdout)?;
    Ok(value["packages"].as_array().cloned().unwrap_or_default())
}

fn check_arrows(packages: &[Value], faults: &mut Vec<String>) -> Result<()> {
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        let Some((_, allowed)) = ARROWS.iter().find(|(row, _)| *row == name) else {
            faults.push(format!("{name}: no row in xtask/src/lint.rs says what it may depend on"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"] == "dev";
            if ours.contains(other) && !for_tests && !allowed.contains(&other) {
                faults.push(format!("{name}: must not depend on {other} (see ARROWS in xtask/src/lint.rs)"));
            }
        }
    }
    Ok(())
}

fn check_unsafe(packages: &[Value], faults: &mut Vec<String>) -> Result<()> {
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        if UNSAFE.iter().any(|(fenced, _)| *fenced == name) {
            continue;
        }
        for target in package["targets"].as_array().into_iter().flatten() {
            let shipped = |kind: &Value| matches!(kind.as_str(), Some("lib" | "bin" | "custom-build"));
            if !target["kind"].as_array().into_iter().flatten().any(shipped) {
                continue;
            }
            let path = target["src_path"].as_str().unwrap_or_default();
            let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
            if !text.contains("#![forbid(unsafe_code)]") {
                faults.push(format!(
                    "{path}: add #![forbid(unsafe_code)], or {name} to UNSAFE with its reason"
                ));
            }
        }
    }
    Ok(())
}

/// All sources and texts of the project: what git would commit, or every file if this is no clone.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    let mut all = Vec::new();
    match listed {
        Ok(output) if output.status.success() => {
            let names = String::from_utf8_lossy(&output.stdout).into_owned();
            all.extend(names.split('\0').filter(|name| !name.is_empty()).map(|name| root.join(name)));
        }
        _ => walk(root, &mut all)?,
    }
    all.retain(|path| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let ci = path.parent().is_some_and(|dir| dir.file_name().is_some_and(|name| name == ".ci"));
        ["rs", "toml", "md", "sh", "ins", "S", "c"].contains(&extension) || ci
    });
    Ok(all)
}

fn walk(dir: &Path, all: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if !["target", ".git", "corpus", "artifacts"].iter().any(|skip| name == *skip) {
                walk(&entry.path(), all)?;
            }
        } else {
            all.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependency: &str, kind: Value) -> Value {
        serde_json::json!({ "name": name, "dependencies": [{ "name": dependency, "kind": kind }], "targets": [] })
    }

    #[test]
    fn a_wrong_arrow_is_found_and_a_test_may_cross() {
        let isa = package("isa", "serde", Value::Null);
        for (kind, wanted) in [(Value::Null, 1), (Value::from("dev"), 0), (Value::from("build"), 1)] {
            let mut faults = Vec::new();
            check_arrows(&[isa.clone(), package("mem", "isa", kind)], &mut faults).unwrap();
            assert_eq!(faults.len(), wanted, "{faults:?}");
        }
        let mut faults = Vec::new();
        check_arrows(&[package("stranger", "serde", Value::Null)], &mut faults).unwrap();
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn no_arrow_goes_round_in_a_circle() {
        // A crate may only name crates of earlier rows.
        for (index, (name, allowed)) in ARROWS.iter().enumerate() {
            for other in *allowed {
                assert!(ARROWS[..index].iter().any(|(earlier, _)| earlier == other), "{name} -> {other}");
            }
        }
    }

    #[test]
    fn words_and_lengths_are_found() {
        let mut faults = Vec::new();
        check_text("a.rs", concat!("fine\n// TO", "DO later\n"), &mut faults);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("a.rs:2:"), "{faults:?}");
        faults.clear();
        check_text("a.rs", &"x\n".repeat(FILE_LIMIT + 1), &mut faults);
        check_text("a.md", &"x\n".repeat(FILE_LIMIT + 1), &mut faults);
        assert_eq!(faults.len(), 1);
    }
}
