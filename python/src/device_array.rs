//! Arrays that stay on a device.

use crate::array::{Array, numpy};
use crate::device::{Backend, Device, Opened, device as named};
use crate::work::ANY_TIME;
use numpy::PyArrayDescr;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::{Arc, Mutex, PoisonError};
use upconv::wgpu::Buffer;
use upconv::{DType, Storage, Tensor, gpu};

/// Where the elements are. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Elements {
    Gpu(Buffer, Storage),
    /// On the CPU and the reference.
    Host(Arc<Tensor>),
}

/// An array on a device.
#[pyclass(frozen, name = "DeviceArray", module = "upconv")]
pub(crate) struct DeviceArray {
    device: Arc<Opened>,
    shape: Vec<usize>,
    dtype: DType,
    /// `None` once it was freed.
    elements: Mutex<Option<Elements>>,
}

impl DeviceArray {
    pub(crate) fn new(device: Arc<Opened>, shape: Vec<usize>, dtype: DType, elements: Elements) -> Self {
        Self { device, shape, dtype, elements: Mutex::new(Some(elements)) }
    }

    /// The elements, which stay where they are for as long as they are used.
    ///
    /// # Errors
    /// `ValueError` where the array was freed, `DeviceError` where the device was closed.
    pub(crate) fn elements(&self) -> PyResult<Elements> {
        self.device.check()?;
        let elements = self.elements.lock().unwrap_or_else(PoisonError::into_inner).clone();
        elements.ok_or_else(|| PyValueError::new_err(format!("the DeviceArray of shape {:?} was freed", self.shape)))
    }

    pub(crate) fn device(&self) -> &Arc<Opened> {
        &self.device
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }
}

#[pymethods]
impl DeviceArray {
    /// Copies an array to a device.
    #[new]
    #[pyo3(signature = (array, device = None))]
    fn from_numpy(py: Python<'_>, array: &Bound<'_, PyAny>, device: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let array = py.import("upconv._arrays")?.call_method1("as_array", ("array", array))?;
        let array = Array::new("array", &array)?;
        let device = named(device.unwrap_or(&"auto".into_pyobject(py)?.into_any()), array.dtype())?;
        let (x, dtype) = (array.view()?, array.dtype());
        let elements = device.work(py, ANY_TIME, || match &device.backend {
            Backend::Gpu(context) => {
                let storage = storage(context, dtype)?;
                Ok(Elements::Gpu(context.upload(x, storage)?, storage))
            }
            Backend::Cpu | Backend::Reference => Ok(Elements::Host(x.to_tensor().into())),
        })?;
        Ok(Self::new(device, x.shape().to_vec(), dtype, elements))
    }

    /// The elements as an array of the host, a copy.
    fn numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let elements = self.elements()?;
        let tensor = self.device.work(py, ANY_TIME, || match (&elements, &self.device.backend) {
            (Elements::Gpu(buffer, storage), Backend::Gpu(context)) => context.download(buffer, &self.shape, *storage),
            (Elements::Host(tensor), _) => Ok(Tensor::clone(tensor)),
            (Elements::Gpu(..), _) => {
                let (what, problem) = ("downloaded", "is of a GPU, and the device is none".into());
                Err(upconv::Error::Buffer { what, problem })
            }
        })?;
        numpy(py, tensor.into_dtype(self.dtype))
    }

    #[pyo3(name = "shape")]
    #[getter]
    fn python_shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.shape)
    }

    /// The type of the elements, which on a device may be stored in a wider one.
    #[pyo3(name = "dtype")]
    #[getter]
    fn python_dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDescr>> {
        PyArrayDescr::new(py, self.dtype.name())
    }

    /// The bytes that it takes on the device; 0 once it was freed.
    #[getter]
    fn nbytes(&self) -> u64 {
        match &*self.elements.lock().unwrap_or_else(PoisonError::into_inner) {
            None => 0,
            Some(Elements::Gpu(buffer, _)) => buffer.size(),
            Some(Elements::Host(tensor)) => (tensor.data().len() * tensor.dtype().size()) as u64,
        }
    }

    #[pyo3(name = "device")]
    #[getter]
    fn python_device(&self) -> Device {
        Device(self.device.clone())
    }

    /// Gives the memory back once what is under way is done; without it, that happens with the last reference.
    fn free(&self) {
        self.elements.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// An implicit copy to the host would hide what it costs.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __array__(&self, _args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        Err(PyTypeError::new_err("a DeviceArray is on a device: .numpy() copies it"))
    }

    fn __repr__(&self) -> String {
        format!("<upconv.DeviceArray {:?}, {}, on {:?}>", self.shape, self.dtype, self.device.name())
    }
}

/// How a device stores elements of this type.
pub(crate) fn storage(context: &gpu::Context, dtype: DType) -> upconv::Result<Storage> {
    match dtype {
        DType::F16 if context.profile().f16 => Ok(Storage::F16),
        DType::F64 => {
            let (what, expected) = ("array", "float16, bfloat16 or float32 on a GPU");
            Err(upconv::Error::DType { what, given: dtype, expected })
        }
        _ => Ok(Storage::F32),
    }
}
