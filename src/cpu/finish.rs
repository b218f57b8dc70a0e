//! What happens to a sum before it is stored: the bias, and the activation where it is cheap.

use super::product::multiply_add;
use crate::activation::Activation;
use pulp::Simd;

/// The bias and the activation's parameters of one row of sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) bias: f32,
    pub(super) alpha: f32,
    pub(super) beta: f32,
}

/// An activation as it is applied to vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Finish {
    Linear,
    Relu,
    Leaky,
    Clip,
    HardSwish,
    /// By [`Activation::apply`], one element at a time, when the sum is stored.
    Later,
}

impl Finish {
    pub(super) fn new(activation: &Activation) -> Self {
        match activation {
            Activation::None => Finish::Linear,
            Activation::Relu => Finish::Relu,
            Activation::LeakyRelu { .. } | Activation::Prelu { .. } => Finish::Leaky,
            Activation::Clip { .. } => Finish::Clip,
            Activation::HardSwish { .. } => Finish::HardSwish,
            Activation::Sigmoid | Activation::Tanh | Activation::Mish | Activation::Gelu => Finish::Later,
        }
    }

    #[inline(always)]
    pub(super) fn apply<S: Simd>(self, simd: S, row: &Row, sum: S::f32s) -> S::f32s {
        let y = simd.add_f32s(sum, simd.splat_f32s(row.bias));
        let (zero, alpha) = (simd.splat_f32s(0.0), simd.splat_f32s(row.alpha));
        match self {
            Finish::Linear | Finish::Later => y,
            Finish::Relu => simd.select_f32s(simd.less_than_f32s(y, zero), zero, y),
            Finish::Leaky => simd.select_f32s(simd.less_than_f32s(y, zero), simd.mul_f32s(alpha, y), y),
            Finish::Clip => clip(simd, y, alpha, simd.splat_f32s(row.beta)),
            Finish::HardSwish => {
                let inner = multiply_add(simd, alpha, y, simd.splat_f32s(row.beta));
                simd.mul_f32s(y, clip(simd, inner, zero, simd.splat_f32s(1.0)))
            }
        }
    }
}

/// By comparison, so that NaN stays.
#[inline(always)]
fn clip<S: Simd>(simd: S, y: S::f32s, min: S::f32s, max: S::f32s) -> S::f32s {
    let y = simd.select_f32s(simd.less_than_f32s(y, min), min, y);
    simd.select_f32s(simd.greater_than_f32s(y, max), max, y)
}
