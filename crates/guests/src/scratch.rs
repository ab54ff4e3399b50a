//! A directory for one unit test, removed when the test is over.

use std::path::{Path, PathBuf};

/// A fresh directory under the system's temporary directory.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty directory whose name carries `name` and this process.
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("rhyp-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("temporary directory");
        Self(dir)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
