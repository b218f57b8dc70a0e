//! How an activation changes an error, and what evaluating it or its derivative adds.

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

/// The error of evaluating the derivative in single precision, at the argument `z`, by the grants of
/// [`evaluation_error`]: a sum `1 − tanh²` has twice the error of the tangent, a factor multiplies it, and beside a kink of
/// `hard_swish`, where rounding decides the side, either is right.
pub(super) fn derivative_error(activation: &Activation, channel: usize, z: f64) -> f64 {
    let ulp = f64::from(f32::EPSILON);
    let (alpha, beta) = activation.parameters(channel);
    let (alpha, beta) = (f64::from(alpha), f64::from(beta));
    match activation {
        // What is compared is exact.
        Activation::None
        | Activation::Relu
        | Activation::Clip { .. }
        | Activation::LeakyRelu { .. }
        | Activation::Prelu { .. } => 0.0,
        Activation::HardSwish { .. } => {
            let rounded = 4.0 * ulp * ((alpha * z).abs() + beta.abs());
            let (inside, slope) = (alpha * z + beta, 2.0 * alpha * z + beta);
            let jump = if inside.abs() <= rounded {
                slope.abs()
            } else if (inside - 1.0).abs() <= rounded {
                (slope - 1.0).abs()
            } else {
                0.0
            };
            jump + rounded
        }
        Activation::Sigmoid | Activation::Gelu => 16.0 * ulp,
        Activation::Tanh => 40.0 * ulp,
        Activation::Silu => 16.0 * ulp * z.abs().max(1.0),
        // Far out the derivative is 1 or 0, and so is what is computed.
        Activation::Mish => 56.0 * ulp * z.abs().clamp(1.0, 100.0),
        Activation::Elu { .. } => 16.0 * ulp * alpha.abs(),
        // An angle so large that its rounding is a turn leaves nothing but 0 to 2.
        Activation::Snake { .. } => (16.0 * ulp * (1.0 + (2.0 * alpha * z).abs())).min(2.0),
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

    /// The derivative in f32, as a backend might compute it, with `exp` within 3 + 2·|z| ulp.
    fn derivative_in_f32(activation: &Activation, z: f32) -> f32 {
        let exp = |z: f32| z.exp() * (1.0 + (3.0 + 2.0 * z.abs()) * f32::EPSILON);
        let sigmoid = |z: f32| 1.0 / (1.0 + exp(-z));
        let (alpha, beta) = activation.parameters(0);
        match activation {
            Activation::Sigmoid => sigmoid(z) * (1.0 - sigmoid(z)),
            Activation::Tanh => {
                let tanh = 2.0 * sigmoid(2.0 * z) - 1.0;
                1.0 - tanh * tanh
            }
            Activation::HardSwish { .. } => {
                let inside = alpha * z + beta;
                if inside <= 0.0 {
                    0.0
                } else if inside >= 1.0 {
                    1.0
                } else {
                    2.0 * alpha * z + beta
                }
            }
            Activation::Mish => {
                let e = exp(z.min(20.0));
                let n = e * (e + 2.0);
                let tanh = n / (n + 2.0);
                tanh + z * sigmoid(z) * (1.0 - tanh * tanh)
            }
            Activation::Gelu => {
                let phi = 0.5 * (1.0 + libm::erff(z * std::f32::consts::FRAC_1_SQRT_2)) + 0.75e-7;
                phi + z * exp(-0.5 * z * z) * 0.398_942_3
            }
            Activation::Silu => sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z))),
            Activation::Elu { .. } if z <= 0.0 => alpha * exp(z),
            Activation::Snake { .. } => 1.0 + (2.0 * alpha * z).sin(),
            _ => activation.derivative(0, f64::from(z)) as f32,
        }
    }

    #[test]
    fn derivatives_in_single_precision_are_within_their_bound() {
        for activation in all() {
            let mut worst = 0.0_f64;
            for z in (-60_000..60_000).map(|i| i as f32 * 0.0005).chain([1e4, -1e4, 1e8]) {
                let expected = activation.derivative(0, f64::from(z));
                let error = (f64::from(derivative_in_f32(&activation, z)) - expected).abs();
                let bound = derivative_error(&activation, 0, f64::from(z));
                assert!(error <= bound, "{activation:?} at {z}: {error} of {bound}");
                worst = worst.max(if bound > 0.0 { error / bound } else { 0.0 });
            }
            let exact = derivative_error(&activation, 0, 1.0) == 0.0;
            assert!(exact || worst > 0.03, "{activation:?}: {worst} of the bound at most");
        }
    }
}
