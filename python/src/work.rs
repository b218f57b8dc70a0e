//! Work without the interpreter's lock: signals are heard meanwhile, and a panic becomes an exception.

use crate::error::python;
use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyErr, PyResult, Python};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use upconv::{Error, Stop};

/// The multiply-adds that take milliseconds everywhere, so that a thread may be started for them.
const LONG: u128 = 1 << 26;

/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Work that may take any time.
pub(crate) const ANY_TIME: u128 = u128::MAX;

/// Does work of so many multiply-adds without the interpreter's lock. Where these are many, a signal for which Python has
/// a handler that raises, as it has for Ctrl-C, stops the work at its next part.
///
/// # Errors
/// Python's exception for the work's error, for a panic (`RuntimeError`), or what the signal's handler raised.
pub(crate) fn work<T: Send>(
    py: Python<'_>,
    multiply_adds: u128,
    work: impl FnOnce() -> upconv::Result<T> + Send,
) -> PyResult<T> {
    py.detach(|| if multiply_adds < LONG { caught(work) } else { interruptible(work) })
}

/// Does the work here, on this process's own threads.
fn caught<T: Send>(work: impl FnOnce() -> upconv::Result<T> + Send) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(|| on_threads(work))) {
        Ok(result) => result.map_err(python),
        Err(panic) => Err(bug(&*panic)),
    }
}

/// A panic is a bug of ours, and no reason to end the interpreter.
pub(crate) fn bug(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    PyRuntimeError::new_err(format!("this is a bug in upconv, please report it: {}", text.unwrap_or("a panic")))
}

/// Does the work on another thread, while this one looks for signals.
fn interruptible<T: Send>(work: impl FnOnce() -> upconv::Result<T> + Send) -> PyResult<T> {
    let stop = Stop::new();
    // Nothing is ever sent: it is closed at the end of the work, however that ends.
    let (open, closed) = channel::<()>();
    thread::scope(|scope| {
        let worker = || {
            let _open = open;
            caught(|| stop.watch(work))
        };
        let worker = thread::Builder::new().name("upconv".into()).spawn_scoped(scope, worker);
        let worker = worker.map_err(|error| python(Error::Threads { reason: error.to_string() }))?;
        let mut raised = None;
        while closed.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if raised.is_none() {
                raised = signal();
                if raised.is_some() {
                    stop.request();
                }
            }
        }
        let result = worker.join().unwrap_or_else(|panic| Err(bug(&*panic)));
        raised.map_or(result, Err)
    })
}

/// What a signal's handler raised, if a signal came and its handler raised.
#[allow(clippy::redundant_closure_for_method_calls, reason = "the method alone is of one lifetime")]
fn signal() -> Option<PyErr> {
    Python::attach(|py| py.check_signals()).err()
}

/// The process that loaded this module.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// The threads of a process that was forked off it.
static FORKED: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Notes which process has rayon's global threads.
pub(crate) fn note_process() {
    PROCESS.store(std::process::id(), Ordering::Relaxed);
}

/// Does the work where there are threads: those of rayon's global pool do not survive a fork, after which they would be
/// waited for in vain.
fn on_threads<T: Send>(work: impl FnOnce() -> upconv::Result<T> + Send) -> upconv::Result<T> {
    let process = std::process::id();
    if process == PROCESS.load(Ordering::Relaxed) {
        return work();
    }
    let pool = {
        let mut forked = FORKED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*forked {
            Some((of, pool)) if *of == process => pool.clone(),
            _ => {
                let pool = ThreadPoolBuilder::new().build();
                let pool = Arc::new(pool.map_err(|error| Error::Threads { reason: error.to_string() })?);
                // Those of the process before are not there to be ended.
                std::mem::forget(forked.replace((process, pool.clone())));
                pool
            }
        }
    };
    // What is watched is watched by the thread that works.
    pool.install(work)
}
