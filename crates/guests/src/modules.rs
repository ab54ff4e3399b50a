//! Kernel modules of a fetched kernel: finding them by name, with those they depend on, uncompressed.

use crate::error::{GuestsError, Result, at};
use object::{Object as _, ObjectSection as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A module ready to be put into an initramfs.
pub(crate) struct Module {
    /// Its file name, `NAME.ko`.
    pub(crate) file_name: String,
    /// Its uncompressed bytes.
    pub(crate) data: Vec<u8>,
}

/// Reads the modules `names` and all they depend on, in an order in which they can be inserted.
///
/// # Errors
/// A name that is no module under `dir`, an unreadable file, an unknown compression.
pub(crate) fn load(dir: &Path, names: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(dir, &mut files)?;
    let mut loaded = Vec::new();
    let mut seen = BTreeSet::new();
    for name in names {
        visit(dir, &files, name, &mut seen, &mut loaded)?;
    }
    Ok(loaded)
}

/// Whether there is a module of that name under `dir`.
pub(crate) fn exists(dir: &Path, name: &str) -> bool {
    let mut files = BTreeMap::new();
    index(dir, &mut files).is_ok() && files.contains_key(&canonical(name))
}

fn visit(
    dir: &Path,
    files: &BTreeMap<String, PathBuf>,
    name: &str,
    seen: &mut BTreeSet<String>,
    loaded: &mut Vec<Module>,
) -> Result<()> {
    let name = canonical(name);
    if !seen.insert(name.clone()) {
        return Ok(());
    }
    let missing =
        || GuestsError::BadFile { path: dir.to_path_buf(), what: format!("no kernel module {name} here") };
    let path = files.get(&name).ok_or_else(missing)?;
    let data = uncompressed(path)?;
    for dependency in dependencies(&data) {
        visit(dir, files, &dependency, seen, loaded)?;
    }
    loaded.push(Module { file_name: format!("{name}.ko"), data });
    Ok(())
}

/// Modules are named with hyphens and underscores mixed; the kernel means the same by both.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

fn index(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let path = entry.path();
        if entry.file_type().map_err(at(&path))?.is_dir() {
            index(&path, files)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(canonical(name), path);
        }
    }
    Ok(())
}

fn uncompressed(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(at(path))?;
    let mut data = Vec::new();
    match path.extension().and_then(|e| e.to_str()) {
        Some("ko") => data = bytes,
        Some("gz") => {
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut data).map_err(at(path))?;
        }
        Some("xz") => lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut data)
            .map_err(|e| GuestsError::BadFile { path: path.to_path_buf(), what: format!("{e}") })?,
        _ => {
            let what = "unknown compression of a kernel module".to_owned();
            return Err(GuestsError::BadFile { path: path.to_path_buf(), what });
        }
    }
    Ok(data)
}

/// The names after `depends=` in the module's `.modinfo` section.
fn dependencies(data: &[u8]) -> Vec<String> {
    let Ok(file) = object::File::parse(data) else { return Vec::new() };
    let Some(Ok(info)) = file.section_by_name(".modinfo").map(|section| section.data()) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for entry in info.split(|&b| b == 0) {
        if let Some(list) = entry.strip_prefix(b"depends=") {
            let list = String::from_utf8_lossy(list).into_owned();
            names.extend(list.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn modules_are_found_by_either_spelling() {
        let scratch = Scratch::new("modules");
        let dir = scratch.path().join("kernel/net");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("some-net.ko"), b"x").unwrap();
        let found = load(scratch.path(), &["some_net", "some-net"]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].file_name, "some_net.ko");
        assert!(load(scratch.path(), &["other"]).is_err());
        fs::write(dir.join("odd.ko.zst"), b"x").unwrap();
        assert!(load(scratch.path(), &["odd"]).is_err());
    }
}
