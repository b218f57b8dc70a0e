//! The program `upconv`, which comes along, and its checks.

use crate::error::DeviceError;
use crate::work::{ANY_TIME, bug, work};
use pyo3::prelude::*;
use std::ffi::OsString;
use std::panic::catch_unwind;

/// Runs the program with these arguments, of which the first is its name, and returns its exit status. It takes the
/// process over: an interruption ends it.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    py.detach(|| catch_unwind(|| upconv_cli::run(arguments)).map_err(|panic| bug(&*panic)))
}

/// The results of `upconv verify`, as JSON.
#[pyfunction]
pub(crate) fn verify(py: Python<'_>, adapter: Option<String>) -> PyResult<String> {
    let report = work(py, ANY_TIME, || Ok(upconv_cli::verify(adapter)))?;
    report.map_err(|error| DeviceError::new_err(format!("{error:#}")))
}
