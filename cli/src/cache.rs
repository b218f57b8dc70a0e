//! The program's folder in the user's cache folder, and the files in it.
//!
//! A file is opened without following a link and without waiting, and replaced by a rename; on Unix, only in a folder that
//! belongs to the user, and readable by nobody else.

use crate::atomic::AtomicFile;
use crate::{input, regular};
use anyhow::{Context as _, Result};
use etcetera::BaseStrategy as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The path of a file in the folder, where the system says where that is; neither need exist.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    Some(etcetera::base_strategy::choose_native_strategy().ok()?.cache_dir().join("upconv").join(name))
}

/// Reads a file of at most so many bytes; `None` where there is none.
pub(crate) fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let bytes = || {
        let Some(file) = regular::open(path)? else { return Ok(None) };
        ensure_own(path.parent().context("it is in no folder")?)?;
        let length = file.metadata()?.len();
        input::up_to(file, Some(length), most).map(Some)
    };
    bytes().with_context(|| path.display().to_string())
}

/// Replaces a file, in a folder that is made where there is none.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file's path has a parent")?;
    create(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    ensure_own(folder)?;
    let mut file = AtomicFile::create_private(path)?;
    file.write_all(bytes)?;
    file.commit()
}

#[cfg(unix)]
fn create(folder: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    if !folder.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(folder)?;
    }
    // Earlier versions made it with the usual permissions.
    let found = fs::metadata(folder)?;
    if is_own(&found) && found.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn create(folder: &Path) -> Result<()> {
    Ok(fs::create_dir_all(folder)?)
}

/// Refuses a folder that belongs to another user, or a link of another user to one.
#[cfg(unix)]
fn ensure_own(folder: &Path) -> Result<()> {
    for found in [fs::symlink_metadata(folder)?, fs::metadata(folder)?] {
        anyhow::ensure!(is_own(&found), "the folder {} belongs to another user", folder.display());
    }
    Ok(())
}

#[cfg(not(unix))]
fn ensure_own(_folder: &Path) -> Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_own(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    found.uid() == rustix::process::geteuid().as_raw()
}
