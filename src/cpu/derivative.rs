//! The gradient of the sums: that of the output times the derivative of the activation.

use super::element::Element;
use super::elementwise::Runs;
use super::memory::Result;
use super::simd::Instructions;
use super::smooth::{exp, gelu_slope, mish_slope, sigmoid, silu_slope, snake_slope, tanh};
use crate::activation::Activation;
use crate::op::Geometry;
use pulp::{Simd, WithSimd};

/// What the forward pass left, which tells the derivative.
#[derive(Clone, Copy)]
pub(super) enum Left<'a, T> {
    Output(&'a [T]),
    Sum(&'a [T]),
}

fn runs(geometry: &Geometry) -> Runs {
    let op = geometry.op();
    let (channels, length) = (op.out_channels(), geometry.output_strides().channel);
    Runs { channels, length, alike: op.activation().by_channel().is_none() }
}

/// The gradient of the sums, in f32.
pub(super) fn of_sums(
    geometry: &Geometry,
    dy: &[f32],
    left: Left<'_, f32>,
    instructions: Instructions,
) -> Result<Vec<f32>> {
    let activation = geometry.op().activation();
    let (by_output, left) = match left {
        Left::Output(y) => (true, y),
        Left::Sum(z) => (false, z),
    };
    runs(geometry).map("the gradient of the sums", dy, |channel, at, gradient| {
        let parameters = activation.parameters(channel);
        instructions.run(Times { activation, parameters, by_output, left: &left[at], gradient });
    })
}

/// The gradient of the sums, in f64.
pub(super) fn of_sums_f64(geometry: &Geometry, dy: &[f64], left: Left<'_, f64>) -> Result<Vec<f64>> {
    let activation = geometry.op().activation();
    let (left, derivative): (_, fn(&Activation, usize, f64) -> f64) = match left {
        Left::Output(y) => (y, Activation::derivative_at_value),
        Left::Sum(z) => (z, Activation::derivative),
    };
    runs(geometry).map("the gradient of the sums", dy, |channel, at, gradient| {
        for (gradient, &left) in gradient.iter_mut().zip(&left[at]) {
            let factor = derivative(activation, channel, left);
            *gradient = if factor == 0.0 { 0.0 } else { *gradient * factor };
        }
    })
}

/// What each element adds to the gradient of its channel's slope: `dy·z` where `z` is not positive.
pub(super) fn of_slopes<T: Element + PartialOrd>(geometry: &Geometry, dy: &[T], z: &[T]) -> Result<Vec<T>> {
    let zero = T::default();
    runs(geometry).map("the gradient of the slopes", dy, |_, at, gradient| {
        for (gradient, &z) in gradient.iter_mut().zip(&z[at]) {
            *gradient = if z >= zero { zero } else { *gradient * z };
        }
    })
}

/// Multiplies a run of one channel by the derivative, and makes it 0 where that is 0, whatever it was.
struct Times<'a> {
    activation: &'a Activation,
    parameters: (f32, f32),
    by_output: bool,
    left: &'a [f32],
    gradient: &'a mut [f32],
}

impl Times<'_> {
    #[inline(always)]
    fn each(self, derivative: impl Fn(f32) -> f32) {
        for (gradient, &left) in self.gradient.iter_mut().zip(self.left) {
            let factor = derivative(left);
            *gradient = if factor == 0.0 { 0.0 } else { *gradient * factor };
        }
    }
}

impl WithSimd for Times<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (alpha, beta) = self.parameters;
        match (self.activation, self.by_output) {
            (Activation::None, _) => {}
            (Activation::Relu, _) => self.each(|z| if z <= 0.0 { 0.0 } else { 1.0 }),
            (Activation::LeakyRelu { .. } | Activation::Prelu { .. }, _) => {
                self.each(|z| if z > 0.0 { 1.0 } else { alpha });
            }
            (Activation::Clip { .. }, _) => self.each(|z| if z >= alpha && z <= beta { 1.0 } else { 0.0 }),
            (Activation::Sigmoid, true) => self.each(|y| y * (1.0 - y)),
            (Activation::Sigmoid, false) => self.each(|z| sigmoid(z) * sigmoid(-z)),
            (Activation::Tanh, true) => self.each(|y| 1.0 - y * y),
            (Activation::Tanh, false) => self.each(|z| {
                let y = tanh(z);
                1.0 - y * y
            }),
            (Activation::HardSwish { .. }, _) => self.each(|z| {
                let (inside, slope) = (alpha * z + beta, 2.0 * alpha * z + beta);
                let slope = if inside >= 1.0 { 1.0 } else { slope };
                if inside <= 0.0 { 0.0 } else { slope }
            }),
            (Activation::Mish, _) => self.each(mish_slope),
            (Activation::Gelu, _) => self.each(gelu_slope),
            (Activation::Silu, _) => self.each(silu_slope),
            (Activation::Elu { .. }, true) => self.each(|y| if y <= 0.0 { y + alpha } else { 1.0 }),
            (Activation::Elu { .. }, false) => self.each(|z| if z <= 0.0 { alpha * exp(z) } else { 1.0 }),
            (Activation::Snake { .. }, _) => self.each(|z| snake_slope(z, alpha)),
        }
    }
}
