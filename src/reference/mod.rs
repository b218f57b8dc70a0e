//! The oracle: transposed convolution as it is defined, by scattering, in f64; and its gradients.
//!
//! Each input element multiplies the whole kernel and adds the result to the output where it lands. Nothing here uses
//! the phase table (`phase.rs`): the backends gather, the reference scatters, so that a mistake in an index is
//! unlikely to be made twice. Beside each value it keeps the number of products and the sum of their magnitudes, from
//! which [`Expected::compare`] derives how far a backend may be off. The gradients sum over the same products, each of
//! which joins an input, a weight and an output.

mod activation;
mod adjoint;
mod compare;
mod gradient;
mod product;

pub use adjoint::{Matrix, conv, matrix};
pub use compare::{Comparison, Expected};
pub use gradient::{bias_gradient, input_gradient, slope_gradient, sum_gradient, weight_gradient};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::op::{ConvTranspose, Geometry};
use crate::tensor::{Bias, DType, DataMut, Tensor, TensorView, check_len, filled};
use product::{Sums, each_product};

/// The transposed convolution of `input` with `weight`, plus `bias`, through the activation, in f64.
///
/// Shapes: `input` as [`ConvTranspose::at`] takes it, `weight` of [`ConvTranspose::weight_shape`], `bias` of
/// `[out_channels]`; any [`DType`], converted to f64 exactly. The tests' judge: right, single-threaded and slow (about
/// 2·10⁸ multiply-adds a second).
///
/// # Errors
/// Shapes that do not fit the operation.
pub fn conv_transpose<'a>(
    op: &ConvTranspose,
    input: impl Into<TensorView<'a>>,
    weight: impl Into<TensorView<'a>>,
    bias: impl Into<Bias<'a>>,
) -> Result<Expected> {
    expect(op, input.into(), weight.into(), bias.into(), None)
}

/// As [`conv_transpose`], with a residual of the output's shape that is added before the activation.
///
/// # Errors
/// As [`conv_transpose`], and [`Error::Shape`] for a residual of another shape.
pub fn conv_transpose_adding<'a>(
    op: &ConvTranspose,
    input: impl Into<TensorView<'a>>,
    weight: impl Into<TensorView<'a>>,
    bias: impl Into<Bias<'a>>,
    residual: impl Into<TensorView<'a>>,
) -> Result<Expected> {
    expect(op, input.into(), weight.into(), bias.into(), Some(residual.into()))
}

fn expect(
    op: &ConvTranspose,
    input: TensorView<'_>,
    weight: TensorView<'_>,
    Bias(bias): Bias<'_>,
    residual: Option<TensorView<'_>>,
) -> Result<Expected> {
    op.check_parameters(weight.shape(), bias.map(|bias| bias.shape()))?;
    let geometry = op.at(input.shape())?;
    if let Some(residual) = residual.filter(|residual| residual.shape() != geometry.output_shape()) {
        let expected = format!("{:?}, the output's", geometry.output_shape());
        return Err(Error::Shape { what: "residual", given: residual.shape().to_vec(), expected });
    }
    let mut sums = Sums::new("the reference's output", geometry.output_len())?;
    let (mut x, w, bias) = (input.to_f64(), weight.to_f64(), bias.map(|bias| bias.to_f64()));
    let errors = pre_activate(&geometry, &mut x)?;
    each_product(&geometry, |at| sums.add(at.output, x[at.input] * w[at.weight]))?;
    if errors.iter().any(|&error| error != 0.0) {
        sums.inherited = filled("the errors of the sums", 0.0, geometry.output_len())?;
        each_product(&geometry, |at| sums.inherited[at.output] += errors[at.input] * w[at.weight].abs())?;
    }
    let largest = largest_sums(&geometry, &x, &w, bias.as_deref())?;
    let [largest_input, largest_weight] = [&x, &w].map(|all| all.iter().fold(0.0_f64, |most, one| most.max(one.abs())));
    let channel_stride = geometry.output_strides().channel;
    if let Some(bias) = &bias {
        for index in 0..geometry.output_len() {
            sums.add(index, bias[index / channel_stride % op.out_channels()]);
        }
    }
    for (index, &residual) in residual.map(|residual| residual.to_f64()).iter().flatten().enumerate() {
        sums.add(index, residual);
    }
    let value = sums
        .value
        .iter()
        .enumerate()
        .map(|(index, &sum)| op.activation().apply(index / channel_stride % op.out_channels(), sum))
        .collect();
    Ok(Expected::output(geometry, value, sums, (largest, largest_input + largest_weight)))
}

/// As [`conv_transpose`], with the result as a tensor of the input's element type (bf16 gives f32): the reference as
/// a backend.
///
/// # Errors
/// As [`conv_transpose`].
pub fn run<'a>(
    op: &ConvTranspose,
    input: impl Into<TensorView<'a>>,
    weight: impl Into<TensorView<'a>>,
    bias: impl Into<Bias<'a>>,
) -> Result<Tensor> {
    let input = input.into();
    let dtype = if input.dtype() == DType::Bf16 { DType::F32 } else { input.dtype() };
    expect(op, input, weight.into(), bias.into(), None)?.into_tensor(dtype)
}

/// As [`run`], into the caller's memory: each value is rounded once to `output`'s element type. Returns the sizes.
///
/// # Errors
/// As [`conv_transpose`], and [`Error::DataLength`] where `output` has another number of
/// elements than the result.
pub fn run_into<'a>(
    op: &ConvTranspose,
    input: impl Into<TensorView<'a>>,
    weight: impl Into<TensorView<'a>>,
    bias: impl Into<Bias<'a>>,
    output: impl Into<DataMut<'a>>,
) -> Result<Geometry> {
    let (input, mut output) = (input.into(), output.into());
    let geometry = op.at(input.shape())?;
    check_len(&geometry.output_shape(), output.len())?;
    output.round_from(expect(op, input, weight.into(), bias.into(), None)?.value());
    Ok(geometry)
}

/// Puts the inputs through the pre-activation, and says how far off each may be where that is evaluated in f32: nothing
/// where there is none.
fn pre_activate(geometry: &Geometry, x: &mut [f64]) -> Result<Vec<f64>> {
    let op = geometry.op();
    if *op.pre_activation() == Activation::None {
        return Ok(Vec::new());
    }
    let channel_stride = geometry.input_strides().channel;
    let mut errors = filled("the errors of the inputs", 0.0, x.len())?;
    for (index, (x, error)) in x.iter_mut().zip(&mut errors).enumerate() {
        let channel = index / channel_stride % op.in_channels();
        *error = activation::evaluation_error(op.pre_activation(), channel, *x);
        *x = op.pre_activation().apply(channel, *x);
    }
    Ok(errors)
}

/// The largest sum that an output could have, by items of the batch and output channels: of each input channel the
/// largest input times all taps, and the bias.
fn largest_sums(geometry: &Geometry, x: &[f64], w: &[f64], bias: Option<&[f64]>) -> Result<Vec<f64>> {
    let op = geometry.op();
    let (inputs, outputs) = (op.in_channels(), op.out_channels());
    let (in_group, out_group) = (inputs / op.groups(), outputs / op.groups());
    let xs = geometry.input_strides();
    let ws = op.weight_layout().strides(inputs, out_group, &op.axes3().map(|axis| axis.kernel));
    let mut largest_inputs = filled("the largest inputs", 0.0_f64, geometry.batch * inputs)?;
    for (index, x) in x.iter().enumerate() {
        let largest = &mut largest_inputs[index / xs.batch * inputs + index / xs.channel % inputs];
        *largest = largest.max(x.abs());
    }
    let mut taps = filled("the sums of taps", 0.0, inputs * out_group)?;
    for (index, w) in w.iter().enumerate() {
        taps[index / ws.input % inputs * out_group + index / ws.output % out_group] += w.abs();
    }
    let mut sums = filled("the largest sums", 0.0, geometry.batch * outputs)?;
    for (index, sum) in sums.iter_mut().enumerate() {
        let (item, co) = (index / outputs, index % outputs);
        let first = co / out_group * in_group;
        let products = (first..first + in_group)
            .map(|ci| largest_inputs[item * inputs + ci] * taps[ci * out_group + co % out_group]);
        *sum = products.sum::<f64>() + bias.map_or(0.0, |bias| bias[co].abs());
    }
    Ok(sums)
}
