//! Pictures, enlarged by a filter or a network.

use crate::device::{Backend, Device, Opened, device};
use crate::work::{ANY_TIME, work};
use numpy::prelude::*;
use numpy::{Element, PyArray1, PyArray3};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::path::Path;
use std::sync::Arc;
use upconv::upscale::picture::{self, AlphaBy, MeanOf, Options, Pixels, Plan, Sample, Shape};
use upconv::upscale::{Method, Model, Network};
use upconv::{DType, Error, Stop};

/// The filters by their names.
const FILTERS: [(&str, Method); 4] = [
    ("nearest", Method::Nearest),
    ("bilinear", Method::Bilinear),
    ("bicubic", Method::Bicubic),
    ("lanczos3", Method::Lanczos3),
];

/// The names of the filters, and those of the networks that are built in.
#[pyfunction]
pub(crate) fn models() -> (Vec<&'static str>, Vec<&'static str>) {
    (FILTERS.map(|(name, _)| name).to_vec(), Model::ALL.map(|model| model.name).to_vec())
}

/// A filter, or a network with its weights on a device.
#[pyclass(frozen, module = "upconv._upconv")]
pub(crate) struct Upscaler {
    device: Arc<Opened>,
    by: By,
    upscaler: picture::Upscaler,
}

enum By {
    Filter(Method),
    Network(Box<Network>),
}

#[pymethods]
impl Upscaler {
    /// A filter or a built-in network by its name, or a network from a file.
    #[new]
    fn new(py: Python<'_>, model: &str, device_name: &Bound<'_, PyAny>) -> PyResult<Self> {
        let by = match FILTERS.iter().find(|(name, _)| *name == model) {
            Some((_, method)) => By::Filter(*method),
            None => {
                let network = work(py, ANY_TIME, || Ok(upconv_cli::network(Path::new(model))))?;
                By::Network(Box::new(network.map_err(|error| PyValueError::new_err(format!("{error:#}")))?))
            }
        };
        let device = device(device_name, DType::F32)?;
        let place = match &device.backend {
            Backend::Gpu(context) => picture::Backend::Gpu(context.clone()),
            Backend::Cpu => picture::Backend::Cpu,
            Backend::Reference => picture::Backend::Reference,
        };
        let upscaler = match &by {
            By::Filter(method) => picture::Upscaler::filter(*method, place),
            By::Network(network) => {
                let network = Network::clone(network);
                device.work(py, ANY_TIME, || picture::Upscaler::network(network, place))?
            }
        };
        Ok(Self { device, by, upscaler })
    }

    /// Enlarges an image `[height, width, channels]` to these sides.
    #[allow(clippy::too_many_arguments, reason = "they are what there is")]
    fn run<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
        sides: [usize; 2],
        memory: u64,
        tile: Option<usize>,
        half: bool,
        alpha_by_network: bool,
        mean_of_tile: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.device.check()?;
        let alpha = if alpha_by_network { AlphaBy::Network } else { AlphaBy::Filter };
        let means = if mean_of_tile { MeanOf::Tile } else { MeanOf::Picture };
        let options = Options { memory, tile, half, alpha, means };
        if let Ok(image) = image.cast::<PyArray3<u8>>() {
            self.enlarge(py, image, sides, options)
        } else if let Ok(image) = image.cast::<PyArray3<u16>>() {
            self.enlarge(py, image, sides, options)
        } else if let Ok(image) = image.cast::<PyArray3<f32>>() {
            self.enlarge(py, image, sides, options)
        } else {
            Err(PyTypeError::new_err("the image is no array [height, width, channels] of uint8, uint16 or float32"))
        }
    }

    /// The factor of a network; none of a filter.
    #[getter]
    fn scale(&self) -> Option<usize> {
        match &self.by {
            By::Filter(_) => None,
            By::Network(network) => Some(network.scale()),
        }
    }

    #[getter]
    fn device(&self) -> Device {
        Device(self.device.clone())
    }
}

impl Upscaler {
    fn enlarge<'py, T: Sample + Element>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyArray3<T>>,
        [height, width]: [usize; 2],
        options: Options,
    ) -> PyResult<Bound<'py, PyAny>> {
        let image =
            image.try_readonly().map_err(|error| PyValueError::new_err(format!("the image is in use: {error}")))?;
        let &[rows, columns, channels] = image.shape() else {
            return Err(PyValueError::new_err(format!("the image has {} axes, expected 3", image.ndim())));
        };
        let samples = image.as_slice().map_err(|_| PyValueError::new_err("the image is not in C order"))?;
        let shape = Shape { width: columns, height: rows, channels, sample_bytes: size_of::<T>() };
        let enlarged = Shape { width, height, ..shape };
        let made = self.device.work(py, ANY_TIME, || {
            let plan = match &self.by {
                By::Filter(method) => Plan::filter(*method, shape, [height, width], options)?,
                By::Network(network) => Plan::network(network, shape, [height, width], options)?,
            };
            if plan.bytes() > options.memory {
                return Ok(Err(plan.bytes()));
            }
            let bytes = enlarged.bytes();
            let mut made = Vec::<T>::new();
            if made.try_reserve_exact(usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<T>()).is_err() {
                return Err(Error::Memory { what: "the enlarged image", bytes: bytes.into() });
            }
            let stop = Stop::watched();
            let emit = |band: Vec<T>| {
                made.extend_from_slice(&band);
                Ok(())
            };
            // Between pieces, where nothing else may hear of it.
            let advance = |_| stop.as_ref().map_or(Ok(()), Stop::check);
            self.upscaler.run(&plan, &Pixels::new(samples, columns, channels)?, emit, advance)?;
            Ok(Ok(made))
        })?;
        let made = made.map_err(|bytes| {
            let problem =
                format!("the work takes {bytes} bytes beside the images, more than memory={} allows", options.memory);
            PyMemoryError::new_err(problem)
        })?;
        Ok(PyArray1::from_vec(py, made).reshape([height, width, channels])?.into_any())
    }
}
