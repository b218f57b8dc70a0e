//! What happens when the program is told to stop: its temporary files are removed, and it ends with 128 and the number of
//! the signal: 130 for an interruption, 143 for a termination, 129 for a hangup.
//!
//! Temporary files are created under a lock. Who stops the program takes that lock and keeps it: from then on nothing new
//! is created, and what exists is removed last.

use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::NamedTempFile;

/// The temporary files there are: an interrupted program drops nothing.
static TEMPORARY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn temporary() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a temporary file that is removed when the program is told to stop.
pub(crate) fn create(create: impl FnOnce() -> io::Result<NamedTempFile>) -> io::Result<Temporary> {
    let mut all = temporary();
    let file = create()?;
    all.insert(file.path().to_owned());
    Ok(Temporary { path: file.path().to_owned(), file: Some(file) })
}

/// A temporary file, removed when it is dropped or the program is told to stop.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    /// `None` once it was kept or dropped.
    file: Option<NamedTempFile>,
}

impl Temporary {
    pub(crate) fn get(&mut self) -> io::Result<&mut NamedTempFile> {
        self.file.as_mut().ok_or_else(|| io::Error::other("the temporary file is gone"))
    }

    /// Has the file put in its place: it is temporary until that is done.
    pub(crate) fn keep<T>(mut self, keep: impl FnOnce(NamedTempFile) -> T) -> Option<T> {
        self.file.take().map(keep)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The file goes before its name is forgotten.
        self.file = None;
        temporary().remove(&self.path);
    }
}

/// Removes all temporary files. Whoever wants to create another waits for the lock, which is never released.
fn remove_all() {
    let all = temporary();
    for path in &*all {
        // The program ends either way.
        let _ = fs::remove_file(path);
    }
    std::mem::forget(all);
}

/// Has the program stop by these signals, and go on after a write beyond the limit on a file's size (SIGXFSZ), so that
/// the write fails and is reported.
#[cfg(unix)]
pub(crate) fn handle() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).context("cannot handle SIGXFSZ")?;
    // `nohup` has a hangup ignored: the run is to go on.
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(signal));
    let mut signals = signal_hook::iterator::Signals::new(heard).context("cannot handle interruptions")?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            remove_all();
            // Without the destructors of drivers, whose threads are at work.
            signal_hook::low_level::exit(128 + signal);
        }
    };
    crate::threads::builder("signals").spawn(wait).context("cannot start the thread that waits for signals")?;
    Ok(())
}

/// Whether the program was started with this signal ignored.
#[cfg(unix)]
#[allow(unsafe_code, reason = "only the system knows it")]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: `sigaction` is a struct of integers and pointers, for which zeros are valid. Without a new action the call
    // only writes the present one to it.
    unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut present) == 0 && present.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(not(unix))]
pub(crate) fn handle() -> Result<()> {
    let stop = || {
        remove_all();
        std::process::exit(130)
    };
    ctrlc::set_handler(stop).context("cannot handle interruptions")
}
