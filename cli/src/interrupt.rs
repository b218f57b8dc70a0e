//! What happens when the program is interrupted: its temporary files are removed, and it ends with status 130.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};

/// The temporary files there are: an interrupted program drops nothing.
static TEMPORARY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Has the files that are [`Temporary`] removed when the program is interrupted.
pub(crate) fn handle() {
    let interrupted = || {
        for path in &*TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner) {
            // The program ends either way.
            let _ = fs::remove_file(path);
        }
        process::exit(130)
    };
    // Without the handler an interruption leaves temporary files behind, and nothing worse.
    let _ = ctrlc::set_handler(interrupted);
}

/// Marks a file as temporary until it is dropped.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn new(path: &Path) -> Self {
        TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}
