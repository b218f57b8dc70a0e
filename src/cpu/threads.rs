//! The threads to compute with.

use crate::error::{Error, Result};
use std::sync::OnceLock;

/// Makes sure that rayon has threads, for a caller who brings no pool: where the system gives none rayon would panic.
///
/// # Errors
/// [`Error::Threads`], in every later call too, because rayon tries only once.
pub(crate) fn ensure() -> Result<()> {
    static GLOBAL: OnceLock<Option<String>> = OnceLock::new();
    // Without threads at all rayon computes on the caller's.
    if cfg!(target_family = "wasm") || rayon::current_thread_index().is_some() {
        return Ok(());
    }
    // Only a failure to start threads has a source; the other one is that there is a pool, and it serves.
    let start = || {
        let error = rayon::ThreadPoolBuilder::new().build_global().err()?;
        std::error::Error::source(&error).map(ToString::to_string)
    };
    match GLOBAL.get_or_init(start) {
        None => Ok(()),
        Some(reason) => Err(Error::Threads { reason: reason.clone() }),
    }
}
