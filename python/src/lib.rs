//! `upconv._upconv`: the library for Python, on whose arrays it computes. What users call is in `upconv/*.py`, which gives
//! everything here its names, defaults and documentation.
//!
//! - `array.rs`: NumPy's arrays, borrowed as tensors, and tensors as NumPy's arrays
//! - `parameters.rs`, `operation.rs`: what is computed, from Python's arguments or as JSON, resolved at shapes
//! - `device.rs`: where it is computed, by name, opened once for each process
//! - `layer.rs`, `gradient.rs`, `network.rs`: operations with weights, backward passes, networks
//! - `device_array.rs`: arrays that stay on a device
//! - `upscale.rs`: pictures, enlarged
//! - `work.rs`: without the interpreter's lock, stopped by signals, panics caught
//! - `program.rs`: the program `upconv`, which comes along

mod array;
mod device;
mod device_array;
mod error;
mod gradient;
mod layer;
mod network;
mod operation;
mod parameters;
mod program;
mod upscale;
mod work;

use pyo3::prelude::*;

#[pymodule]
mod _upconv {
    #[pymodule_export]
    use super::device::{Device, adapters, processor};
    #[pymodule_export]
    use super::device_array::DeviceArray;
    #[pymodule_export]
    use super::error::DeviceError;
    #[pymodule_export]
    use super::gradient::backward;
    #[pymodule_export]
    use super::layer::{Layer, run};
    #[pymodule_export]
    use super::network::Network;
    #[pymodule_export]
    use super::operation::Operation;
    #[pymodule_export]
    use super::program::{main, verify};
    #[pymodule_export]
    use super::upscale::{Upscaler, models};
    use super::{PyModule, PyModuleMethods, PyResult, work};

    #[pymodule_init]
    fn init(module: &super::Bound<'_, PyModule>) -> PyResult<()> {
        work::note_process();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
