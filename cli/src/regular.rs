//! Files that are opened without following a link and without waiting: in folders where others might have put something.

use anyhow::{Result, ensure};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens a regular file to read; `None` where there is none.
///
/// # Errors
/// Anything else of that name: a symbolic link, a folder, a FIFO, a device; and a file that cannot be opened.
pub(crate) fn open(path: &Path) -> Result<Option<File>> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    ensure!(!found.is_symlink(), "is a symbolic link, which is not followed there");
    ensure!(found.is_file(), "is not a regular file");
    let file = without_following(path)?;
    // What was found may have been replaced before it was opened.
    ensure!(file.metadata()?.is_file(), "is not a regular file");
    Ok(Some(file))
}

#[cfg(unix)]
fn without_following(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

#[cfg(not(unix))]
fn without_following(path: &Path) -> io::Result<File> {
    File::open(path)
}
