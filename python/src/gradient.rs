//! Backward passes.

use crate::array::{Array, numpy, optional};
use crate::device::{Backend, Opened, device};
use crate::error::python;
use crate::layer::Made;
use crate::operation::{Operation, Resolved};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use upconv::convention::flip_kernel;
use upconv::{Activation, Bias, ConvTranspose, DType, OutputGradient, Tensor, TensorView, cpu, gpu, reference};

/// Something for each gradient: of the input, of the weight, of the bias.
type Each<T> = [T; 3];

/// The gradients of input, weight and bias that the mask wants.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "they are what there is")]
#[pyo3(signature = (operation, grad, input, weight, bias, mask, device_name))]
pub(crate) fn backward<'py>(
    py: Python<'py>,
    operation: &Bound<'py, Operation>,
    grad: &Bound<'py, PyAny>,
    input: &Bound<'py, PyAny>,
    weight: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    mask: Each<bool>,
    device_name: &Bound<'py, PyAny>,
) -> PyResult<Each<Option<Bound<'py, PyAny>>>> {
    let dy = Array::new("grad", grad)?;
    let (x, w, b) = (Array::new("input", input)?, Array::new("weight", weight)?, optional("bias", bias)?);
    if dy.dtype() != x.dtype() {
        return Err(PyTypeError::new_err(format!("grad is {}, expected {} as the input is", dy.dtype(), x.dtype())));
    }
    let resolved = operation.get().resolve(x.shape(), w.shape(), None).map_err(python)?;
    let op = resolved.op();
    let geometry = op.at(x.shape()).map_err(python)?;
    let expected = geometry.output_shape();
    if dy.shape() != expected {
        let problem = format!("grad has shape {:?}, expected {expected:?}, the output's", dy.shape());
        return Err(PyValueError::new_err(problem));
    }
    if !mask.contains(&true) {
        return Ok([const { None }; 3]);
    }
    let device = device(device_name, x.dtype())?;
    let dtypes = [x.dtype(), w.dtype(), b.as_ref().map_or(w.dtype(), Array::dtype)];
    let given = Given { x: x.view()?, w: w.view()?, b: Bias(b.as_ref().map(Array::view).transpose()?), dy: dy.view()? };
    let cost = geometry.effective_multiply_adds().saturating_mul(2);
    let gradients = device.work(py, cost, || given.gradients(&device, &resolved, mask))?;
    let mut arrays = [const { None }; 3];
    for ((array, gradient), dtype) in arrays.iter_mut().zip(gradients).zip(dtypes) {
        *array = gradient.map(|gradient| numpy(py, gradient.into_dtype(dtype))).transpose()?;
    }
    Ok(arrays)
}

/// What a backward pass reads.
struct Given<'a> {
    x: TensorView<'a>,
    w: TensorView<'a>,
    b: Bias<'a>,
    dy: TensorView<'a>,
}

impl Given<'_> {
    fn gradients(
        &self,
        device: &Opened,
        resolved: &Resolved,
        mask: Each<bool>,
    ) -> upconv::Result<Each<Option<Tensor>>> {
        let Given { x, w, b, dy } = *self;
        resolved.check(w.shape(), b)?;
        let op = resolved.op();
        // Through an activation the gradient needs what it was applied to.
        let sums = match op.activation() {
            Activation::None => None,
            _ => Some(self.sums(device, resolved)?),
        };
        let gradient = sums.as_ref().map_or(dy.into(), |sums| OutputGradient::with_sum(dy, sums));
        let flipped = resolved.flip(w)?;
        let weight = flipped.as_ref().map_or(w, Tensor::view);
        let [dx, mut dw, db] = match &device.backend {
            Backend::Gpu(context) => by_gpu(&gpu::Layer::new(context, op, weight, Bias(None))?, x, gradient, mask)?,
            Backend::Cpu => by_cpu(&cpu::Layer::new(op, weight, Bias(None))?, x, gradient, mask)?,
            Backend::Reference => by_reference(op, weight, x, gradient, mask)?,
        };
        if flipped.is_some() {
            dw = dw.map(|dw| flip_kernel(op, &dw)).transpose()?;
        }
        Ok([dx, dw, db])
    }

    /// What the activation was applied to, in f32, or in f64 if the input is.
    fn sums(&self, device: &Opened, resolved: &Resolved) -> upconv::Result<Tensor> {
        let flipped = matches!(resolved, Resolved::Transposed { flipped: true, .. });
        let sums = Resolved::Transposed { op: resolved.sums()?, flipped };
        let made = Made::new(device, &sums, self.w, self.b)?;
        match self.x.dtype() {
            DType::F32 | DType::F64 => made.run(self.x),
            DType::F16 | DType::Bf16 | _ => made.run(self.x.cast(DType::F32).view()),
        }
    }
}

/// Those that are wanted, together where they are several.
fn by_gpu(
    layer: &gpu::Layer,
    x: TensorView<'_>,
    gradient: OutputGradient<'_>,
    mask: Each<bool>,
) -> upconv::Result<Each<Option<Tensor>>> {
    Ok(match mask {
        [true, false, false] => [Some(layer.input_gradient(x.shape(), gradient)?), None, None],
        [false, true, false] => [None, Some(layer.weight_gradient(x, gradient)?), None],
        [false, false, true] => [None, None, Some(layer.bias_gradient(x.shape(), gradient)?)],
        [dx, dw, db] => {
            let all = layer.backward(x, gradient)?;
            [dx.then_some(all.input), dw.then_some(all.weight), db.then_some(all.bias)]
        }
    })
}

fn by_cpu(
    layer: &cpu::Layer,
    x: TensorView<'_>,
    gradient: OutputGradient<'_>,
    [dx, dw, db]: Each<bool>,
) -> upconv::Result<Each<Option<Tensor>>> {
    Ok([
        dx.then(|| layer.input_gradient(x.shape(), gradient)).transpose()?,
        dw.then(|| layer.weight_gradient(x, gradient)).transpose()?,
        db.then(|| layer.bias_gradient(x.shape(), gradient)).transpose()?,
    ])
}

fn by_reference(
    op: &ConvTranspose,
    weight: TensorView<'_>,
    x: TensorView<'_>,
    gradient: OutputGradient<'_>,
    [dx, dw, db]: Each<bool>,
) -> upconv::Result<Each<Option<Tensor>>> {
    let dtype = DType::F64;
    Ok([
        dx.then(|| reference::input_gradient(op, x.shape(), gradient, weight)?.into_tensor(dtype)).transpose()?,
        dw.then(|| reference::weight_gradient(op, x, gradient)?.into_tensor(dtype)).transpose()?,
        db.then(|| reference::bias_gradient(op, x.shape(), gradient)?.into_tensor(dtype)).transpose()?,
    ])
}
