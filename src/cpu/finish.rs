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

    /// Applies the activation to whole vectors of sums of a row, the bias being in them.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(self, simd: S, row: &Row, sums: &mut [f32]) {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let (alpha, beta) = (simd.splat_f32s(row.alpha), simd.splat_f32s(row.beta));
        let sums = S::as_mut_simd_f32s(sums).0.iter_mut();
        match self {
            Finish::Linear | Finish::Later => {}
            Finish::Relu => {
                for y in sums {
                    *y = simd.select_f32s(simd.less_than_f32s(*y, zero), zero, *y);
                }
            }
            Finish::Leaky => {
                for y in sums {
                    *y = simd.select_f32s(simd.less_than_f32s(*y, zero), simd.mul_f32s(alpha, *y), *y);
                }
            }
            Finish::Clip => {
                for y in sums {
                    *y = clip(simd, *y, alpha, beta);
                }
            }
            Finish::HardSwish => {
                for y in sums {
                    let inner = multiply_add(simd, alpha, *y, beta);
                    *y = simd.mul_f32s(*y, clip(simd, inner, zero, one));
                }
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
