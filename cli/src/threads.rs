//! Threads: where one cannot be started, that is an error like any other.

use anyhow::{Context as _, Result, anyhow};
use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// The stack of a thread that does next to nothing.
#[cfg(unix)]
const SMALL_STACK: usize = 256 << 10;

/// Starts the threads that compute and convert; used without that, rayon panics where it cannot start them.
pub(crate) fn start() -> Result<()> {
    let wanted = std::thread::available_parallelism().map_or(1, usize::from);
    // The error and its source say the same.
    let explain = |error: ThreadPoolBuildError| anyhow!("cannot start {wanted} threads to compute with: {error}");
    ThreadPoolBuilder::new().build_global().map_err(explain)
}

/// A thread with a small stack.
#[cfg(unix)]
pub(crate) fn builder(name: &str) -> Builder {
    Builder::new().name(name.into()).stack_size(SMALL_STACK)
}

/// Starts a thread that ends with the scope.
pub(crate) fn spawn<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new()
        .name(name.into())
        .spawn_scoped(scope, work)
        .with_context(|| format!("cannot start a thread to {name}"))
}
