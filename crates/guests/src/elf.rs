//! What a program of an unpacked package tree needs to run: its interpreter and shared libraries.

use crate::error::{GuestsError, Result, at};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where the run-time linker of Debian's ppc64el looks, and the private libraries of systemd and Ceph.
const LIBRARY_DIRECTORIES: &[&str] = &[
    "lib/powerpc64le-linux-gnu",
    "usr/lib/powerpc64le-linux-gnu",
    "lib/systemd",
    "usr/lib/systemd",
    "usr/lib/powerpc64le-linux-gnu/systemd",
    "usr/lib/powerpc64le-linux-gnu/ceph",
];

/// Longest chain of symbolic links that is followed.
const LINK_LIMIT: usize = 16;

/// One thing to take over from the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// A regular file, by its path in the tree.
    File(String),
    /// A symbolic link and what it says.
    Link(String, String),
}

/// The files and links of `tree` that the programs (paths without leading slash) and their libraries consist of.
///
/// # Errors
/// A program, interpreter or library that is not in the tree; a file that cannot be read.
pub(crate) fn closure(tree: &Path, programs: &[&str]) -> Result<BTreeSet<Part>> {
    let mut parts = BTreeSet::new();
    let mut pending: Vec<String> = programs.iter().map(|p| (*p).to_owned()).collect();
    while let Some(path) = pending.pop() {
        let Some(file) = follow(tree, path, &mut parts)? else { continue };
        let full = tree.join(&file);
        let data = fs::read(&full).map_err(at(&full))?;
        if data.starts_with(b"#!") {
            continue;
        }
        let needs = needs(&data).map_err(|e| GuestsError::BadFile {
            path: full.clone(),
            what: format!("not a 64-bit ELF file: {e}"),
        })?;
        if let Some(interpreter) = needs.interpreter {
            pending.push(interpreter.trim_start_matches('/').to_owned());
        }
        for library in needs.libraries {
            let place = LIBRARY_DIRECTORIES.iter().map(|dir| format!("{dir}/{library}"));
            let found = place.into_iter().find(|path| tree.join(path).symlink_metadata().is_ok());
            let missing =
                || GuestsError::BadFile { path: full.clone(), what: format!("needs {library}, not found") };
            pending.push(found.ok_or_else(missing)?);
        }
    }
    Ok(parts)
}

/// Follows links from `path`, noting each; returns the file they end at, or nothing if it was noted before.
fn follow(tree: &Path, mut path: String, parts: &mut BTreeSet<Part>) -> Result<Option<String>> {
    for _ in 0..LINK_LIMIT {
        let full = tree.join(&path);
        let kind = full.symlink_metadata().map_err(at(&full))?.file_type();
        if !kind.is_symlink() {
            return Ok(parts.insert(Part::File(path.clone())).then_some(path));
        }
        let target = fs::read_link(&full).map_err(at(&full))?.to_string_lossy().into_owned();
        let next = match target.strip_prefix('/') {
            Some(absolute) => absolute.to_owned(),
            None => beside(&path, &target),
        };
        parts.insert(Part::Link(path, target));
        path = next;
    }
    Err(GuestsError::BadFile { path: tree.join(path), what: "too many symbolic links".to_owned() })
}

/// Resolves a relative link target against the directory of `path`, inside the tree.
fn beside(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
}

fn needs(data: &[u8]) -> object::Result<Needs> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut interpreter = None;
    for segment in header.program_headers(endian, data)? {
        if let Some(name) = segment.interpreter(endian, data)? {
            interpreter = Some(text(name));
        }
    }
    let sections = header.sections(endian, data)?;
    let mut libraries = Vec::new();
    if let Some((entries, strings)) = sections.dynamic(endian, data)? {
        let strings = sections.strings(endian, data, strings)?;
        for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(DT_NEEDED)) {
            libraries.push(text(entry.string(endian, strings)?));
        }
    }
    Ok(Needs { interpreter, libraries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_taken_with_what_they_point_to() {
        let scratch = Scratch::new("elf-links");
        let tree = scratch.path();
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::create_dir_all(tree.join("usr/lib")).unwrap();
        fs::write(tree.join("usr/lib/script"), "#!/bin/sh\n").unwrap();
        symlink("../usr/lib/second", tree.join("bin/first")).unwrap();
        symlink("/usr/lib/script", tree.join("usr/lib/second")).unwrap();
        let parts = closure(tree, &["bin/first"]).unwrap();
        let wanted = [
            Part::File("usr/lib/script".into()),
            Part::Link("bin/first".into(), "../usr/lib/second".into()),
            Part::Link("usr/lib/second".into(), "/usr/lib/script".into()),
        ];
        assert_eq!(parts.into_iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn loops_and_junk_are_refused() {
        let scratch = Scratch::new("elf-junk");
        let tree = scratch.path();
        symlink("loop", tree.join("loop")).unwrap();
        assert!(closure(tree, &["loop"]).unwrap_err().to_string().contains("too many symbolic links"));
        fs::write(tree.join("junk"), "not a program").unwrap();
        assert!(closure(tree, &["junk"]).unwrap_err().to_string().contains("not a 64-bit ELF"));
        assert!(closure(tree, &["absent"]).is_err());
    }

    #[test]
    fn a_program_of_this_host_names_its_needs() {
        let program = std::env::current_exe().unwrap();
        let data = fs::read(program).unwrap();
        let needs = needs(&data).unwrap();
        assert!(needs.interpreter.is_some_and(|i| i.contains("ld")));
        assert!(needs.libraries.iter().any(|l| l.starts_with("libc.")), "{:?}", needs.libraries);
    }
}
