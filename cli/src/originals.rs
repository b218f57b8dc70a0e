//! The inputs of this run, none of which is ever written to, by whatever path or link it is reached.
//!
//! A file is known by its device and its number there, so that symbolic links, hard links and names in another case on a
//! file system that does not tell them apart all lead to the same. Elsewhere than on Unix it is known by its canonical
//! path, whatever the case; there hard links are not recognised, and an output that replaces one by a rename leaves the
//! other names as they were.

use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static KNOWN: Mutex<Known> = Mutex::new(Known { inputs: BTreeMap::new(), results: None });

/// The files of this run.
#[derive(Debug)]
pub(crate) struct Known {
    inputs: BTreeMap<Identity, PathBuf>,
    /// What was written, where two outputs must not become one.
    results: Option<BTreeMap<Identity, PathBuf>>,
}

/// The files of this run, which nobody else changes meanwhile.
pub(crate) fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Protects an input. A path that leads nowhere protects nothing: reading it will fail.
pub(crate) fn protect(path: &Path) {
    if let Some(identity) = identity(path) {
        known().inputs.entry(identity).or_insert_with(|| path.to_owned());
    }
}

/// Protects the file that standard input is redirected from, if it is.
pub(crate) fn protect_standard_input() {
    #[cfg(unix)]
    if let Ok(found) = rustix::fs::fstat(std::io::stdin()) {
        // The types of these numbers differ between systems.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "they differ between systems")]
        let identity = (found.st_dev as u64, found.st_ino as u64);
        known().inputs.entry(identity).or_insert_with(|| "standard input".into());
    }
}

/// From now on no output replaces another of this run.
pub(crate) fn protect_results() {
    known().results.get_or_insert_default();
}

impl Known {
    /// Refuses an output that is an input of this run, or another output where these are protected.
    pub(crate) fn check(&self, output: &Path) -> Result<()> {
        let Some(identity) = identity(output) else { return Ok(()) };
        let shown = output.display();
        if let Some(input) = self.inputs.get(&identity) {
            bail!("{shown}: is the input itself ({}); write to another name", input.display());
        }
        if let Some(other) = self.results.as_ref().and_then(|results| results.get(&identity)) {
            bail!("{shown}: is {}, which this run has just written", other.display());
        }
        Ok(())
    }

    /// Remembers what was written.
    pub(crate) fn add_result(&mut self, output: &Path) {
        if let Some(results) = &mut self.results
            && let Some(identity) = identity(output)
        {
            results.insert(identity, output.to_owned());
        }
    }
}

#[cfg(unix)]
type Identity = (u64, u64);

#[cfg(not(unix))]
type Identity = String;

/// What a path leads to, through links.
#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    Some(fs::canonicalize(path).ok()?.to_string_lossy().to_lowercase())
}
