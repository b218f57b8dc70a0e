//! How an activation changes an error, and what evaluating it adds.

use crate::activation::Activation;

/// A bound on the slope for an output channel: by how much the activation can enlarge an error of its argument.
pub(super) fn lipschitz(activation: &Activation, channel: usize) -> f64 {
    let (alpha, beta) = activation.parameters(channel);
    let (alpha, beta) = (f64::from(alpha).abs(), f64::from(beta));
    match activation {
        Activation::None | Activation::Relu | Activation::Clip { .. } | Activation::Tanh => 1.0,
        Activation::LeakyRelu { .. } | Activation::Prelu { .. } => alpha.max(1.0),
        Activation::Sigmoid => 0.25,
        // Between its two kinks the slope is 2·alpha·y + beta, which runs from −beta to 2 − beta.
        Activation::HardSwish { .. } => beta.abs().max((2.0 - beta).abs()).max(1.0),
        Activation::Mish => 1.09,
        Activation::Gelu => 1.13,
        Activation::Silu => 1.1,
        Activation::Elu { .. } => alpha.max(1.0),
        // 1 + sin(2·alpha·y)
        Activation::Snake { .. } => 2.0,
    }
}

/// The error of evaluating the function itself in single precision, at the argument `y`: WGSL grants `exp` an error of
/// 3 + 2·|x| ulp, and the GPU's erf is an approximation with an absolute error of 1.5e-7. The argument of a sine is rounded.
pub(super) fn evaluation_error(activation: &Activation, channel: usize, y: f64) -> f64 {
    let ulp = f64::from(f32::EPSILON);
    let alpha = f64::from(activation.parameters(channel).0).abs();
    match activation {
        Activation::None | Activation::Relu | Activation::Clip { .. } => 0.0,
        Activation::LeakyRelu { .. } | Activation::Prelu { .. } => ulp * y.abs(),
        Activation::HardSwish { .. } => 4.0 * ulp * y.abs().max(y * y),
        Activation::Sigmoid | Activation::Tanh => 16.0 * ulp,
        Activation::Mish | Activation::Gelu | Activation::Silu => 16.0 * ulp * y.abs().max(1.0),
        Activation::Elu { .. } => 16.0 * ulp * alpha,
        // Where alpha is small, sin²(alpha·y) / alpha is so too.
        Activation::Snake { .. } => 16.0 * ulp * (y.abs() + (1.0 / alpha).min(alpha * y * y)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::tests::all;

    #[test]
    fn the_slope_never_exceeds_its_bound() {
        for activation in all() {
            let steepest = (-4000..4000)
                .map(|i| {
                    let (a, b) = (f64::from(i) / 500.0, f64::from(i + 1) / 500.0);
                    ((activation.apply(0, b) - activation.apply(0, a)) * 500.0).abs()
                })
                .fold(0.0, f64::max);
            let bound = lipschitz(&activation, 0);
            assert!(
                steepest <= bound * (1.0 + 1e-9) && steepest > 0.8 * bound,
                "{activation:?}: {steepest} of {bound}"
            );
        }
    }
}
