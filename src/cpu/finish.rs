//! What happens to the sums of a row, the bias being in them: the activation, in f32.

use super::smooth::{gelu, mish, sigmoid, tanh};
use crate::activation::Activation;

/// The bias and the activation's parameters of one row of sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) bias: f32,
    pub(super) alpha: f32,
    pub(super) beta: f32,
}

/// Applies the activation to the sums of a row. To be inlined where vector instructions are enabled: each of the loops
/// then becomes one over vectors.
#[inline(always)]
pub(super) fn finish(activation: &Activation, &Row { alpha, beta, .. }: &Row, sums: &mut [f32]) {
    match activation {
        Activation::None => {}
        Activation::Relu => each(sums, |y| if y < 0.0 { 0.0 } else { y }),
        Activation::LeakyRelu { .. } | Activation::Prelu { .. } => each(sums, |y| if y < 0.0 { alpha * y } else { y }),
        Activation::Clip { .. } => each(sums, |y| clip(y, alpha, beta)),
        Activation::Sigmoid => each(sums, sigmoid),
        Activation::Tanh => each(sums, tanh),
        Activation::HardSwish { .. } => each(sums, |y| y * clip(alpha * y + beta, 0.0, 1.0)),
        Activation::Mish => each(sums, mish),
        Activation::Gelu => each(sums, gelu),
    }
}

#[inline(always)]
fn each(sums: &mut [f32], function: impl Fn(f32) -> f32) {
    for y in sums {
        *y = function(*y);
    }
}

/// `y` within these bounds, by comparison, so that NaN stays.
#[inline(always)]
pub(super) fn clip(y: f32, min: f32, max: f32) -> f32 {
    let y = if y < min { min } else { y };
    if y > max { max } else { y }
}
