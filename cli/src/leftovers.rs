//! Temporary files that a killed run left behind: the next run that writes in their folder removes them.
//!
//! A temporary file is locked by the program that writes it, and the system releases the lock of a program that is gone.
//! So a file of such a name that can be locked belongs to nobody. Where a file system has no locks nothing is removed.

use crate::regular;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::NamedTempFile;

const PREFIX: &str = ".upconv-";

/// The end of the name of temporary files.
pub(crate) const SUFFIX: &str = ".part";

/// The folders that were looked through in this run.
static SEEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The beginning of the name of this run's temporary files: with the number of the process, for people who look.
pub(crate) fn prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// Creates a temporary file that is locked before anybody can take it for a leftover.
pub(crate) fn create_locked(create: impl Fn() -> io::Result<NamedTempFile>) -> io::Result<NamedTempFile> {
    loop {
        let file = create()?;
        match file.as_file().lock() {
            // Between its creation and its lock another run may have taken it for a leftover and removed it.
            Ok(()) if !is_at(file.as_file(), file.path()) => {}
            // Without locks nobody removes leftovers.
            Ok(()) | Err(_) => return Ok(file),
        }
    }
}

/// Removes what killed runs left in a folder; once in a run. What cannot be removed stays: this run does without it.
pub(crate) fn sweep(folder: &Path) {
    if !SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_ours(&entry.file_name()) {
            remove_if_left(&entry.path());
        }
    }
}

fn remove_if_left(path: &Path) {
    if let Ok(Some(file)) = regular::open(path)
        && file.try_lock().is_ok()
        && is_at(&file, path)
    {
        let _ = fs::remove_file(path);
    }
}

/// Whether a name is that of a temporary file: `.upconv-PID-RANDOM.part`.
fn is_ours(name: &OsStr) -> bool {
    let middle = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
    let Some((pid, random)) = middle.and_then(|middle| middle.split_once('-')) else { return false };
    let all = |text: &str, is: fn(&u8) -> bool| !text.is_empty() && text.as_bytes().iter().all(is);
    all(pid, u8::is_ascii_digit) && all(random, u8::is_ascii_alphanumeric)
}

/// Whether the open file is the one at the path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(found)) => (open.dev(), open.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let alive = create_locked(|| tempfile::Builder::new().prefix(&prefix()).suffix(SUFFIX).tempfile_in(&folder));
        let alive = alive.unwrap();
        for name in [".upconv-12-aB3.part", ".upconv-aB3.part", ".upconv-12-a.b.part", "upconv-12-aB3.part", "a.png"] {
            fs::write(at(name), "left").unwrap();
        }
        fs::create_dir(at(".upconv-13-x.part")).unwrap();
        sweep(folder.path());
        assert!(!at(".upconv-12-aB3.part").exists() && alive.path().exists());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 6);
    }
}
