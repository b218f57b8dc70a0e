//! The library's errors as Python's.

use pyo3::PyErr;
use pyo3::create_exception;
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use std::error::Error as _;
use upconv::Error;

create_exception!(
    upconv,
    DeviceError,
    PyRuntimeError,
    "A device is missing, was closed or lost, lacks a feature, or is too small for what was asked of it."
);

/// An error with its causes in one line.
fn message(error: &Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let message = causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"));
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The exception that an error is for Python.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn python(error: Error) -> PyErr {
    let message = message(&error);
    match error {
        Error::DType { .. } => PyTypeError::new_err(message),
        Error::Memory { .. } => PyMemoryError::new_err(message),
        Error::Limit { .. }
        | Error::Feature { .. }
        | Error::NoAdapter { .. }
        | Error::Adapters { .. }
        | Error::Backend { .. }
        | Error::Threads { .. }
        | Error::NoDevice { .. }
        | Error::Device { .. }
        | Error::DeviceLost { .. } => DeviceError::new_err(message),
        Error::Stopped => PyKeyboardInterrupt::new_err(message),
        _ => PyValueError::new_err(message),
    }
}
