//! The gradients of a loss with respect to what the operation reads, from its gradient with respect to the output.
//!
//! With `o = i·stride + k·dilation − pad_begin` on each axis, and `dz` the gradient of the sums, before the activation:
//!
//! ```text
//! dx[n, ci, i]  = Σ dz[n, co, o]·w[ci, co, k]     over co and k
//! dw[ci, co, k] = Σ x[n, ci, i]·dz[n, co, o]      over n and i
//! db[co]        = Σ dz[n, co, o]                  over n and o
//! ```

use super::activation::derivative_error;
use super::compare::Expected;
use super::product::{Sums, each_product};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::gradient::{OutputGradient, Saved};
use crate::op::{ConvTranspose, Geometry};
use crate::tensor::{TensorView, filled};

/// The gradient with respect to the input, `dx`, in f64: the ordinary convolution of `dz` with the weight.
///
/// Shapes: `input_shape` as [`ConvTranspose::at`] takes it, the gradient that of the output there, `weight` of
/// [`ConvTranspose::weight_shape`]; the result has `input_shape`, in the operation's layout. Any
/// [`DType`](crate::DType), converted to f64 exactly.
///
/// # Errors
/// Shapes that do not fit the operation; [`Error::Gradient`] where [`OutputGradient`] lacks what the activation needs,
/// and for operations with an activation before the products.
pub fn input_gradient<'a>(
    op: &ConvTranspose,
    input_shape: &[usize],
    gradient: impl Into<OutputGradient<'a>>,
    weight: impl Into<TensorView<'a>>,
) -> Result<Expected> {
    let weight = weight.into();
    op.check_parameters(weight.shape(), None)?;
    let geometry = op.at(input_shape)?;
    let (dz, w) = (OfSums::new(&geometry, gradient.into())?, weight.to_f64());
    let mut sums = Sums::new("the input's gradient", geometry.input_len())?;
    each_product(&geometry, |at| sums.add(at.input, dz.value[at.output] * w[at.weight]))?;
    if !dz.error.is_empty() {
        sums.inherited = filled("the errors of the input's gradient", 0.0, geometry.input_len())?;
        each_product(&geometry, |at| sums.inherited[at.input] += dz.error[at.output] * w[at.weight].abs())?;
    }
    Ok(Expected::sums(geometry.input_shape(), sums))
}

/// The gradient with respect to the weight, `dw`, in f64: for each tap, the input times `dz` where the tap lands, summed
/// over the batch and the input's positions.
///
/// Shapes: `input` as [`ConvTranspose::at`] takes it, the gradient that of the output there; the result has
/// [`ConvTranspose::weight_shape`], in the operation's weight layout. For a batch of 0 it is 0, and so is the gradient of
/// a tap that padding crops everywhere.
///
/// # Errors
/// As [`input_gradient`].
pub fn weight_gradient<'a>(
    op: &ConvTranspose,
    input: impl Into<TensorView<'a>>,
    gradient: impl Into<OutputGradient<'a>>,
) -> Result<Expected> {
    let input = input.into();
    let geometry = op.at(input.shape())?;
    let (dz, x) = (OfSums::new(&geometry, gradient.into())?, input.to_f64());
    let (shape, len) = (op.weight_shape(), op.weight_shape().iter().product());
    let mut sums = Sums::new("the weight's gradient", len)?;
    each_product(&geometry, |at| sums.add(at.weight, x[at.input] * dz.value[at.output]))?;
    if !dz.error.is_empty() {
        sums.inherited = filled("the errors of the weight's gradient", 0.0, len)?;
        each_product(&geometry, |at| sums.inherited[at.weight] += x[at.input].abs() * dz.error[at.output])?;
    }
    Ok(Expected::sums(shape, sums))
}

/// The gradient with respect to the bias, `db`, in f64: `dz` summed over the batch and the output's positions; its shape
/// is `[out_channels]`.
///
/// # Errors
/// As [`input_gradient`].
pub fn bias_gradient<'a>(
    op: &ConvTranspose,
    input_shape: &[usize],
    gradient: impl Into<OutputGradient<'a>>,
) -> Result<Expected> {
    let geometry = op.at(input_shape)?;
    let dz = OfSums::new(&geometry, gradient.into())?;
    by_channel(&geometry, "the bias's gradient", |index| (dz.value[index], dz.error.get(index).copied()))
}

/// The gradient with respect to the sums before the activation, `dz = dy·f'(z)`, in f64, of the output's shape: the
/// gradient of a residual, and what the other gradients are sums of.
///
/// # Errors
/// As [`input_gradient`].
pub fn sum_gradient<'a>(
    op: &ConvTranspose,
    input_shape: &[usize],
    gradient: impl Into<OutputGradient<'a>>,
) -> Result<Expected> {
    let geometry = op.at(input_shape)?;
    let dz = OfSums::new(&geometry, gradient.into())?;
    let mut sums = Sums::new("the gradient of the sums", geometry.output_len())?;
    dz.value.iter().enumerate().for_each(|(index, &dz)| sums.add(index, dz));
    sums.inherited = dz.error;
    Ok(Expected::sums(geometry.output_shape(), sums))
}

/// The gradient with respect to the slopes of an operation whose activation is [`Activation::Prelu`], in f64: `dy·z` summed
/// where `z` is not positive; its shape is `[out_channels]`. The gradient must be given
/// [`with_sum`](OutputGradient::with_sum).
///
/// # Errors
/// As [`input_gradient`], and [`Error::Gradient`] for another activation, or without the sum.
pub fn slope_gradient<'a>(
    op: &ConvTranspose,
    input_shape: &[usize],
    gradient: impl Into<OutputGradient<'a>>,
) -> Result<Expected> {
    let (geometry, gradient) = (op.at(input_shape)?, gradient.into());
    let problem = match (op.activation(), gradient.check(&geometry)?) {
        (Activation::Prelu { .. }, Saved::Sum(z)) => {
            let (dy, z) = (gradient.gradient().to_f64(), z.to_f64());
            return by_channel(&geometry, "the slopes' gradient", |index| {
                (if z[index] >= 0.0 { 0.0 } else { dy[index] * z[index] }, None)
            });
        }
        (Activation::Prelu { .. }, _) => "of the slopes of prelu needs the sum before it (with_sum)".into(),
        (other, _) => format!("of slopes is for prelu, the operation's activation is {}", other.name()),
    };
    Err(Error::Gradient { problem })
}

/// The gradient of the sums.
struct OfSums {
    value: Vec<f64>,
    /// How far off each may be where it is computed in f32; empty where nothing is computed.
    error: Vec<f64>,
}

impl OfSums {
    fn new(geometry: &Geometry, gradient: OutputGradient<'_>) -> Result<Self> {
        let saved = gradient.check(geometry)?;
        let mut value = gradient.gradient().to_f64();
        let (saved, derivative): (_, fn(&Activation, usize, f64) -> f64) = match saved {
            Saved::Nothing => return Ok(Self { value, error: Vec::new() }),
            Saved::Sum(z) => (z.to_f64(), Activation::derivative),
            Saved::Output(y) => (y.to_f64(), Activation::derivative_at_value),
        };
        let (op, activation) = (geometry.op(), geometry.op().activation());
        let mut error = filled("the errors of the gradient", 0.0, value.len())?;
        let channel_stride = geometry.output_strides().channel;
        for (index, ((value, error), saved)) in value.iter_mut().zip(&mut error).zip(saved).enumerate() {
            let channel = index / channel_stride % op.out_channels();
            let derivative = derivative(activation, channel, saved);
            // Where a piece is constant, nothing is taken back, as in PyTorch: not even an infinity.
            let times = |value: f64, factor: f64| if factor == 0.0 { 0.0 } else { value * factor };
            *error = times(value.abs(), derivative_error(activation, channel, saved));
            *value = times(*value, derivative);
            // A multiplication by 1 is exact.
            if derivative != 0.0 && derivative != 1.0 {
                *error += rounding(*value);
            }
        }
        Ok(Self { value, error })
    }
}

/// The error of one multiplication in f32 with this result, which may be flushed to zero.
fn rounding(product: f64) -> f64 {
    f64::from(f32::EPSILON) * product.abs() + f64::from(f32::MIN_POSITIVE)
}

/// What each output element gives, with its error, summed by channels.
fn by_channel(geometry: &Geometry, what: &'static str, of: impl Fn(usize) -> (f64, Option<f64>)) -> Result<Expected> {
    let (channels, stride) = (geometry.op().out_channels(), geometry.output_strides().channel);
    let mut sums = Sums::new(what, channels)?;
    let mut inherited = filled(what, 0.0, channels)?;
    for index in 0..geometry.output_len() {
        let (channel, (value, error)) = (index / stride % channels, of(index));
        sums.add(channel, value);
        inherited[channel] += error.unwrap_or(0.0);
    }
    sums.inherited = inherited;
    Ok(Expected::sums(vec![channels], sums))
}
