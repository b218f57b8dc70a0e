//! The epilogue: the activation, in f32, of accumulators that hold the bias already.

use super::smooth::{clip, elu, gelu, mish, sigmoid, silu, snake, tanh};
use crate::activation::Activation;

/// Applies the activation with a channel's parameters to some results. To be inlined where vector instructions are enabled: each of the loops
/// then becomes one over vectors.
#[inline(always)]
pub(super) fn epilogue(activation: &Activation, (alpha, beta): (f32, f32), results: &mut [f32]) {
    match activation {
        Activation::None => {}
        Activation::Relu => each(results, |y| if y < 0.0 { 0.0 } else { y }),
        Activation::LeakyRelu { .. } | Activation::Prelu { .. } => {
            each(results, |y| if y < 0.0 { alpha * y } else { y });
        }
        Activation::Clip { .. } => each(results, |y| clip(y, alpha, beta)),
        Activation::Sigmoid => each(results, sigmoid),
        Activation::Tanh => each(results, tanh),
        Activation::HardSwish { .. } => each(results, |y| y * clip(alpha * y + beta, 0.0, 1.0)),
        Activation::Mish => each(results, mish),
        Activation::Gelu => each(results, gelu),
        Activation::Silu => each(results, silu),
        Activation::Elu { .. } => each(results, |y| elu(y, alpha)),
        Activation::Snake { .. } => each(results, |y| snake(y, alpha)),
    }
}

#[inline(always)]
fn each(results: &mut [f32], function: impl Fn(f32) -> f32) {
    for y in results {
        *y = function(*y);
    }
}
