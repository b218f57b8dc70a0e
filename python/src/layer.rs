//! Operations with their weights: once, or kept for many calls.

use crate::array::{Array, OutArray, copy, numpy, optional};
use crate::device::{Backend, Device, Opened, check_same, device as named};
use crate::device_array::{DeviceArray, Elements};
use crate::error::python;
use crate::operation::{Operation, Resolved};
use crate::work::work;
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};
use upconv::{Bias, ConvTranspose, DType, DataMut, Tensor, TensorView, cpu, gpu, reference};

/// An operation with its weights where it is computed.
#[derive(Clone)]
pub(crate) enum Made {
    Gpu(gpu::Layer),
    Cpu(cpu::Layer),
    Reference(Arc<Oracle>),
}

/// The reference keeps an operation as it was given.
pub(crate) struct Oracle {
    op: ConvTranspose,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Made {
    /// Packs the weights.
    pub(crate) fn new(
        device: &Opened,
        resolved: &Resolved,
        weight: TensorView<'_>,
        bias: Bias<'_>,
    ) -> upconv::Result<Self> {
        resolved.check(weight.shape(), bias)?;
        let flipped = resolved.flip(weight)?;
        let weight = flipped.as_ref().map_or(weight, Tensor::view);
        Ok(match (&device.backend, resolved) {
            (Backend::Gpu(context), Resolved::Transposed { op, .. }) => {
                Made::Gpu(gpu::Layer::new(context, op, weight, bias)?)
            }
            (Backend::Gpu(context), Resolved::Ordinary(convolution)) => {
                Made::Gpu(gpu::Layer::convolution(context, convolution, weight, bias)?)
            }
            (Backend::Cpu, Resolved::Transposed { op, .. }) => Made::Cpu(cpu::Layer::new(op, weight, bias)?),
            (Backend::Cpu, Resolved::Ordinary(convolution)) => {
                Made::Cpu(cpu::Layer::convolution(convolution, weight, bias)?)
            }
            (Backend::Reference, _) => {
                let weight = match resolved {
                    Resolved::Transposed { .. } => weight.to_tensor(),
                    Resolved::Ordinary(convolution) => convolution.turned(weight)?,
                };
                let bias = bias.0.map(|bias| bias.to_tensor());
                Made::Reference(Arc::new(Oracle { op: resolved.op().clone(), weight, bias }))
            }
        })
    }

    /// The output, in the input's type.
    pub(crate) fn run(&self, input: TensorView<'_>) -> upconv::Result<Tensor> {
        let output = match self {
            Made::Gpu(layer) => layer.run(input)?,
            Made::Cpu(layer) => layer.run(input)?,
            Made::Reference(oracle) => reference::run(&oracle.op, input, &oracle.weight, oracle.bias.as_ref())?,
        };
        Ok(output.into_dtype(input.dtype()))
    }

    /// The output into memory of the input's type.
    fn run_into(&self, input: TensorView<'_>, output: DataMut<'_>) -> upconv::Result<()> {
        match (self, output) {
            // What is computed in f32 is rounded once.
            (_, output @ DataMut::Bf16(_)) | (Made::Reference(_), output) => copy(&self.run(input)?, output),
            (Made::Gpu(layer), output) => layer.run_into(input, output).map(drop),
            (Made::Cpu(layer), output) => layer.run_into(input, output).map(drop),
        }
    }

    /// The output on the device.
    fn run_there(&self, input: &Elements, shape: &[usize], dtype: DType) -> upconv::Result<Elements> {
        match (self, input) {
            (Made::Gpu(layer), Elements::Gpu(input, storage)) => {
                let prepared = layer.prepare(shape, *storage)?;
                let output = layer.context().allocate(prepared.geometry().output_len(), *storage)?;
                prepared.bind(input.slice(..), output.slice(..))?.submit()?;
                Ok(Elements::Gpu(output, *storage))
            }
            (_, Elements::Host(input)) => Ok(Elements::Host(self.run(input.view())?.into_dtype(dtype).into())),
            (_, Elements::Gpu(..)) => {
                let (what, problem) = ("input", "is on a GPU, and the layer is not".into());
                Err(upconv::Error::Buffer { what, problem })
            }
        }
    }
}

/// Computes an operation with its weights once.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "they are what there is")]
#[pyo3(signature = (operation, input, weight, bias, out, device))]
pub(crate) fn run<'py>(
    py: Python<'py>,
    operation: &Bound<'py, Operation>,
    input: &Bound<'py, PyAny>,
    weight: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
    device: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (x, w, b) = (Array::new("input", input)?, Array::new("weight", weight)?, optional("bias", bias)?);
    let device = named(device, x.dtype())?;
    let resolved = operation.get().resolve(x.shape(), w.shape(), Some(b.is_some())).map_err(python)?;
    let (w, b) = (w.view()?, Bias(b.as_ref().map(Array::view).transpose()?));
    finish(py, &device, &resolved, &x, out, || Made::new(&device, &resolved, w, b))
}

/// Computes the output by what `make` makes, and gives it to Python.
fn finish<'py>(
    py: Python<'py>,
    device: &Opened,
    resolved: &Resolved,
    input: &Array<'py>,
    out: Option<&Bound<'py, PyAny>>,
    make: impl FnOnce() -> upconv::Result<Made> + Send,
) -> PyResult<Bound<'py, PyAny>> {
    let geometry = resolved.op().at(input.shape()).map_err(python)?;
    let (cost, x) = (geometry.effective_multiply_adds(), input.view()?);
    match out {
        None => numpy(py, device.work(py, cost, || make()?.run(x))?),
        Some(out) => {
            let mut array = OutArray::new(out, input.dtype(), &geometry.output_shape())?;
            let y = array.data()?;
            device.work(py, cost, || make()?.run_into(x, y))?;
            Ok(out.clone())
        }
    }
}

/// So many resolutions are kept for each layer: those of the last input shapes, where they differ in the padding.
const MOST_KEPT: usize = 4;

/// An operation with its weights on a device, for many calls.
#[pyclass(frozen, module = "upconv._upconv")]
pub(crate) struct Layer {
    device: Arc<Opened>,
    operation: Py<Operation>,
    weight: Tensor,
    bias: Option<Tensor>,
    /// The last used first.
    made: Mutex<Vec<(Resolved, Made)>>,
}

#[pymethods]
impl Layer {
    /// Copies the weights. They are packed at the first call.
    #[new]
    fn new(
        py: Python<'_>,
        operation: Py<Operation>,
        weight: &Bound<'_, PyAny>,
        bias: Option<&Bound<'_, PyAny>>,
        device: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let (w, b) = (Array::new("weight", weight)?, optional("bias", bias)?);
        let device = named(device, w.dtype())?;
        let (w, b) = (w.view()?, b.as_ref().map(Array::view).transpose()?);
        let (weight, bias) = work(py, 0, || Ok((w.to_tensor(), b.map(|b| b.to_tensor()))))?;
        Ok(Self { device, operation, weight, bias, made: Mutex::default() })
    }

    /// Computes the output of an array, or of one on the device, where it then stays. `operation` may place the output
    /// otherwise than the layer's own.
    #[pyo3(signature = (input, out, operation))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        input: &Bound<'py, PyAny>,
        out: Option<&Bound<'py, PyAny>>,
        operation: Option<&Bound<'py, Operation>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.device.check()?;
        let operation = operation.map_or_else(|| self.operation.bind(py).get(), |operation| operation.get());
        let resolve =
            |shape: &[usize]| operation.resolve(shape, self.weight.shape(), Some(self.bias.is_some())).map_err(python);
        let Ok(input) = input.cast::<DeviceArray>() else {
            let x = Array::new("input", input)?;
            let resolved = resolve(x.shape())?;
            return finish(py, &self.device, &resolved, &x, out, || self.made(&resolved));
        };
        if out.is_some() {
            let problem = "out is for arrays of the host: of a DeviceArray the output is a new DeviceArray";
            return Err(pyo3::exceptions::PyTypeError::new_err(problem));
        }
        let input = input.get();
        check_same("input", input.device(), &self.device)?;
        let (elements, shape) = (input.elements()?, input.shape());
        let resolved = resolve(shape)?;
        let geometry = resolved.op().at(shape).map_err(python)?;
        let dtype = input.dtype();
        let run = || self.made(&resolved)?.run_there(&elements, shape, dtype);
        let output = self.device.work(py, geometry.effective_multiply_adds(), run)?;
        let output = DeviceArray::new(self.device.clone(), geometry.output_shape(), dtype, output);
        Ok(Bound::new(py, output)?.into_any())
    }

    /// The device.
    #[getter]
    fn device(&self) -> Device {
        Device(self.device.clone())
    }
}

impl Layer {
    /// The layer with its weights packed, by an earlier call where the operation was the same.
    fn made(&self, resolved: &Resolved) -> upconv::Result<Made> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = made.iter().position(|(of, _)| of == resolved) {
            made[..=at].rotate_right(1);
            return Ok(made[0].1.clone());
        }
        let new = Made::new(&self.device, resolved, self.weight.view(), self.bias.as_ref().into())?;
        made.truncate(MOST_KEPT - 1);
        made.insert(0, (resolved.clone(), new.clone()));
        Ok(new)
    }
}
