//! The private cache: items appear in it whole or not at all, and one process at a time fills it.

use crate::error::{GuestsError, Result, at};
use crate::progress::Progress;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Version of the layout below; a new number makes old caches be fetched again instead of misread.
const LAYOUT: &str = "v1";

/// The directory everything fetched is kept in.
#[derive(Clone, Debug)]
pub struct CacheDir {
    root: PathBuf,
}

impl CacheDir {
    /// The user's cache: `$XDG_CACHE_HOME/rhyp`, else `$HOME/.cache/rhyp`.
    ///
    /// # Errors
    /// [`GuestsError::NoCacheDir`] if neither variable is set to an absolute path.
    pub fn user() -> Result<Self> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        base.map(|base| Self { root: base.join("rhyp") }).ok_or(GuestsError::NoCacheDir)
    }

    /// A cache at a place of the caller's choice.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the private apt keeps its lists.
    pub(crate) fn apt(&self) -> PathBuf {
        self.root.join("apt")
    }

    /// Where the item called `name` is, or will be.
    pub(crate) fn item(&self, name: &str) -> PathBuf {
        self.root.join(LAYOUT).join(name)
    }

    /// Returns the item, made by `fill` in an empty directory first if it is not there yet.
    ///
    /// The directory gets its name only when `fill` succeeded, so an interrupted run leaves nothing that looks
    /// complete; a second process waits for the first.
    pub(crate) fn get(
        &self,
        name: &str,
        progress: Progress,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let item = self.item(name);
        if item.is_dir() {
            return Ok(item);
        }
        let parent = self.root.join(LAYOUT);
        fs::create_dir_all(&parent).map_err(at(&parent))?;
        let _lock = self.lock(progress)?;
        if item.is_dir() {
            return Ok(item);
        }
        self.sweep(&parent)?;
        let temporary = parent.join(format!(".tmp-{name}"));
        fs::create_dir(&temporary).map_err(at(&temporary))?;
        let filled = fill(&temporary);
        if filled.is_err() {
            // The failure to report is that of `fill`; the next run sweeps what stays.
            let _ = fs::remove_dir_all(&temporary);
        }
        filled?;
        fs::rename(&temporary, &item).map_err(at(&item))?;
        Ok(item)
    }

    /// Takes the lock of this cache, waiting for its holder; it is given back when the file is closed.
    fn lock(&self, progress: Progress) -> Result<File> {
        let path = self.root.join("lock");
        let file = File::create(&path).map_err(at(&path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            progress.note("waiting for another rhyp that is filling the cache");
            flock(&file, FlockOperation::LockExclusive).map_err(|e| at(&path)(e.into()))?;
        }
        Ok(file)
    }

    /// Removes what killed runs left. Call with the lock held.
    fn sweep(&self, parent: &Path) -> Result<()> {
        for entry in fs::read_dir(parent).map_err(at(parent))? {
            let entry = entry.map_err(at(parent))?;
            if entry.file_name().to_string_lossy().starts_with(".tmp-") {
                fs::remove_dir_all(entry.path()).map_err(at(&entry.path()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn an_item_is_filled_once_and_kept() {
        let scratch = Scratch::new("cache-once");
        let cache = CacheDir::at(scratch.path());
        let fill = |dir: &Path| fs::write(dir.join("x"), b"1").map_err(at(dir));
        let item = cache.get("a", Progress::Silent, fill).unwrap();
        assert_eq!(fs::read(item.join("x")).unwrap(), b"1");
        let again = cache.get("a", Progress::Silent, |_| panic!("filled twice")).unwrap();
        assert_eq!(item, again);
    }

    #[test]
    fn a_failed_fill_leaves_nothing_and_a_killed_one_is_swept() {
        let scratch = Scratch::new("cache-fail");
        let cache = CacheDir::at(scratch.path());
        let fail = |dir: &Path| {
            fs::write(dir.join("half"), b"").map_err(at(dir))?;
            Err(GuestsError::NoDebianSource)
        };
        assert!(cache.get("a", Progress::Silent, fail).is_err());
        assert!(!cache.item("a").exists());
        // What a killed run leaves:
        let stale = cache.root().join(LAYOUT).join(".tmp-a");
        fs::create_dir_all(&stale).unwrap();
        fs::write(stale.join("half"), b"").unwrap();
        let item = cache.get("a", Progress::Silent, |_| Ok(())).unwrap();
        assert!(!item.join("half").exists());
        assert!(!stale.exists());
    }

    #[test]
    fn two_at_once_fill_once() {
        let scratch = Scratch::new("cache-two");
        let cache = CacheDir::at(scratch.path());
        let count = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let fill = |_: &Path| {
                        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        std::thread::yield_now();
                        Ok(())
                    };
                    cache.get("a", Progress::Silent, fill).unwrap();
                });
            }
        });
        assert_eq!(count.into_inner(), 1);
    }
}
