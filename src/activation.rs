//! Functions applied to each output element after the bias, or to each input element before the products.

use crate::error::{Error, Result};
use std::f64::consts::FRAC_1_SQRT_2;

/// A function fused into an operation: behind the bias ([`activation`](crate::op::Builder::activation)), or before the
/// products ([`pre_activation`](crate::op::Builder::pre_activation)).
///
/// All of them propagate NaN, as PyTorch's do, on the reference, the CPU backend and every GPU tested (lavapipe,
/// SwiftShader, GL on llvmpipe): WGSL itself promises nothing about NaN.
///
/// ```
/// use upconv::{Activation, ConvTranspose, Tensor, reference};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder().kernel([1]).activation(Activation::LeakyRelu { alpha: 0.5 }).build()?;
/// let x = Tensor::f32([1, 1, 2], [-4.0, 4.0])?;
/// let y = reference::run(&op, &x, &Tensor::f32([1, 1, 1], [1.0])?, None)?;
/// assert_eq!(y.to_f32(), [-2.0, 4.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `y`
    #[default]
    None,
    /// `y` where it is positive, else 0.
    Relu,
    /// `y` where it is positive, else `alpha·y`.
    LeakyRelu {
        /// The slope below 0.
        alpha: f32,
    },
    /// `y` where it is positive, else `slope·y` with one slope for each channel.
    Prelu {
        /// The slopes below 0, one for each channel of what it is applied to.
        slopes: Vec<f32>,
    },
    /// `y` kept within `min` to `max`; ReLU6 is 0 to 6.
    Clip {
        /// The least value.
        min: f32,
        /// The greatest value.
        max: f32,
    },
    /// `1 / (1 + exp(−y))`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `y·clip(alpha·y + beta, 0, 1)`; PyTorch's and ONNX's has alpha 1/6 and beta 1/2.
    HardSwish {
        /// The slope inside.
        alpha: f32,
        /// The offset inside.
        beta: f32,
    },
    /// `y·tanh(ln(1 + exp(y)))`
    Mish,
    /// `y·Φ(y)` with the normal distribution function Φ, through erf.
    Gelu,
    /// `y / (1 + exp(−y))`, also called swish.
    Silu,
    /// `y` where it is positive, else `alpha·(exp(y) − 1)`; PyTorch's and ONNX's has alpha 1.
    Elu {
        /// What is approached below 0, negated.
        alpha: f32,
    },
    /// `y + sin²(alpha·y) / alpha`, of Ziyin et al., 2020, with one alpha for each channel; `y` where alpha is 0.
    Snake {
        /// The frequencies, one for each channel of what it is applied to.
        alphas: Vec<f32>,
    },
}

impl Activation {
    /// Checks the parameters against the number of channels of what it is applied to: the "input" or the "output".
    pub(crate) fn validate(&self, channels: usize, of: &str) -> Result<()> {
        if let Some((what, values)) = self.by_channel()
            && values.len() != channels
        {
            let expected = format!("[{channels}], one for each {of} channel");
            return Err(Error::Shape { what, given: vec![values.len()], expected });
        }
        match self {
            Activation::Clip { min, max } if min > max || min.is_nan() || max.is_nan() => {
                Err(Error::Clip { min: *min, max: *max })
            }
            _ => Ok(()),
        }
    }

    /// The function's name in the words of ONNX.
    pub fn name(&self) -> &'static str {
        match self {
            Activation::None => "none",
            Activation::Relu => "relu",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::Prelu { .. } => "prelu",
            Activation::Clip { .. } => "clip",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::HardSwish { .. } => "hard_swish",
            Activation::Mish => "mish",
            Activation::Gelu => "gelu",
            Activation::Silu => "silu",
            Activation::Elu { .. } => "elu",
            Activation::Snake { .. } => "snake",
        }
    }

    /// The parameters of each channel, and what they are, where each has one of its own.
    pub(crate) fn by_channel(&self) -> Option<(&'static str, &[f32])> {
        match self {
            Activation::Prelu { slopes } => Some(("prelu slopes", slopes)),
            Activation::Snake { alphas } => Some(("snake alphas", alphas)),
            _ => None,
        }
    }

    /// The numbers `(alpha, beta)` of a channel: the slope below 0, the frequency or the limit as alpha, the bounds of a
    /// clip, or slope and offset inside; 0 for what the function lacks.
    pub(crate) fn parameters(&self, channel: usize) -> (f32, f32) {
        match self {
            Activation::LeakyRelu { alpha } | Activation::Elu { alpha } => (*alpha, 0.0),
            Activation::Prelu { slopes: values } | Activation::Snake { alphas: values } => (values[channel], 0.0),
            Activation::Clip { min, max } => (*min, *max),
            Activation::HardSwish { alpha, beta } => (*alpha, *beta),
            _ => (0.0, 0.0),
        }
    }

    /// The function's value for a channel, in f64.
    pub fn apply(&self, channel: usize, y: f64) -> f64 {
        let (alpha, beta) = self.parameters(channel);
        let (alpha, beta) = (f64::from(alpha), f64::from(beta));
        match self {
            Activation::None => y,
            Activation::Relu => {
                if y < 0.0 {
                    0.0
                } else {
                    y
                }
            }
            Activation::LeakyRelu { .. } | Activation::Prelu { .. } => {
                if y < 0.0 {
                    alpha * y
                } else {
                    y
                }
            }
            Activation::Clip { .. } => clip(y, alpha, beta),
            Activation::Sigmoid => 1.0 / (1.0 + (-y).exp()),
            Activation::Tanh => y.tanh(),
            Activation::HardSwish { .. } => y * clip(alpha * y + beta, 0.0, 1.0),
            Activation::Mish => y * y.exp().ln_1p().tanh(),
            Activation::Gelu => 0.5 * y * libm::erfc(-y * FRAC_1_SQRT_2),
            Activation::Silu => y / (1.0 + (-y).exp()),
            Activation::Elu { .. } => {
                if y < 0.0 {
                    alpha * y.exp_m1()
                } else {
                    y
                }
            }
            Activation::Snake { .. } => {
                // It follows y, from which it is never further than 1 / alpha: to infinity, too.
                if alpha == 0.0 || y.is_infinite() { y } else { y + (alpha * y).sin().powi(2) / alpha }
            }
        }
    }
}

/// Derivatives. At kinks, and where comparisons meet NaN, they are PyTorch's.
impl Activation {
    /// The derivative for a channel at the argument `z`, in f64.
    pub(crate) fn derivative(&self, channel: usize, z: f64) -> f64 {
        let (alpha, beta) = self.parameters(channel);
        let (alpha, beta) = (f64::from(alpha), f64::from(beta));
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        match self {
            Activation::None => 1.0,
            Activation::Relu => {
                if z <= 0.0 {
                    0.0
                } else {
                    1.0
                }
            }
            Activation::LeakyRelu { .. } | Activation::Prelu { .. } => {
                if z > 0.0 {
                    1.0
                } else {
                    alpha
                }
            }
            Activation::Clip { .. } => {
                if z >= alpha && z <= beta {
                    1.0
                } else {
                    0.0
                }
            }
            Activation::Sigmoid => sigmoid(z) * sigmoid(-z),
            Activation::Tanh => 1.0 - z.tanh().powi(2),
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
                let tanh = z.exp().ln_1p().tanh();
                tanh + z * sigmoid(z) * (1.0 - tanh * tanh)
            }
            Activation::Gelu => {
                let density = (-0.5 * z * z).exp() * 0.5 * std::f64::consts::FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
                0.5 * libm::erfc(-z * FRAC_1_SQRT_2) + z * density
            }
            Activation::Silu => sigmoid(z) * (1.0 + z * sigmoid(-z)),
            Activation::Elu { .. } => {
                if z <= 0.0 {
                    alpha * z.exp()
                } else {
                    1.0
                }
            }
            Activation::Snake { .. } => {
                // At an infinity, which the function keeps, it has no limit; 1 is its mean.
                if alpha == 0.0 || z.is_infinite() { 1.0 } else { 1.0 + (2.0 * alpha * z).sin() }
            }
        }
    }

    /// The derivative for a channel where the function has the value `y`, if that [tells](Self::tells_derivative) it.
    pub(crate) fn derivative_at_value(&self, channel: usize, y: f64) -> f64 {
        let alpha = f64::from(self.parameters(channel).0);
        match self {
            Activation::Sigmoid => y * (1.0 - y),
            Activation::Tanh => 1.0 - y * y,
            Activation::Elu { .. } if y <= 0.0 => y + alpha,
            Activation::Elu { .. } => 1.0,
            // The others that tell it are positive where their argument is.
            _ => self.derivative(channel, y),
        }
    }

    /// Whether the function's value tells its derivative. It does not where two arguments with different derivatives have
    /// one value.
    pub(crate) fn tells_derivative(&self) -> bool {
        match self {
            Activation::None | Activation::Relu | Activation::Sigmoid | Activation::Tanh => true,
            Activation::LeakyRelu { alpha } | Activation::Elu { alpha } => *alpha >= 0.0,
            Activation::Prelu { slopes } => slopes.iter().all(|&slope| slope >= 0.0),
            // At its bounds the derivative is 1, and beyond them, where the value is the same, 0.
            Activation::Clip { .. } => false,
            Activation::HardSwish { .. }
            | Activation::Mish
            | Activation::Gelu
            | Activation::Silu
            | Activation::Snake { .. } => false,
        }
    }
}

fn clip(y: f64, min: f64, max: f64) -> f64 {
    if y < min {
        min
    } else if y > max {
        max
    } else {
        y
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One of each.
    pub(crate) fn all() -> Vec<Activation> {
        vec![
            Activation::None,
            Activation::Relu,
            Activation::LeakyRelu { alpha: 0.25 },
            Activation::Prelu { slopes: vec![-2.0] },
            Activation::Clip { min: -1.0, max: 6.0 },
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 },
            Activation::Mish,
            Activation::Gelu,
            Activation::Silu,
            Activation::Elu { alpha: 0.5 },
            Activation::Snake { alphas: vec![3.5] },
        ]
    }

    #[test]
    fn nan_passes_through_all() {
        for activation in all() {
            assert!(activation.apply(0, f64::NAN).is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn values_from_pytorch() {
        // torch.nn.functional of torch.tensor(-0.75, dtype=torch.float64)
        let expected = [
            -0.75,
            0.0,
            -0.1875,
            1.5,
            -0.75,
            0.320821300824607,
            -0.6351489523872873,
            -0.28125,
            -0.27649471450546514,
            -0.16997051428265114,
            -0.24061597561845527,
            -0.2638167236294927,
            -0.680297925320263,
        ];
        for (activation, expected) in all().iter().zip(expected) {
            let value = activation.apply(0, -0.75);
            assert!((value - expected).abs() < 1e-7, "{activation:?}: {value}");
        }
    }

    /// The slope between two neighbours of a point.
    fn slope(activation: &Activation, z: f64) -> f64 {
        let step = 1e-5;
        (activation.apply(0, z + step) - activation.apply(0, z - step)) / (2.0 * step)
    }

    #[test]
    fn derivatives_are_the_slopes() {
        for activation in all() {
            for z in (-700..700).map(|i| f64::from(i) * 0.01 + 0.005) {
                let (slope, derivative) = (slope(&activation, z), activation.derivative(0, z));
                assert!((slope - derivative).abs() < 1e-8, "{activation:?} at {z}: {derivative}, expected {slope}");
                let at_value = activation.derivative_at_value(0, activation.apply(0, z));
                let told = !activation.tells_derivative() || (at_value - derivative).abs() < 1e-12;
                assert!(told, "{activation:?} at {z}: {at_value}, expected {derivative}");
            }
            // Nothing overflows on the way.
            for z in [-1e4, 1e4] {
                let derivative = activation.derivative(0, z);
                assert!((slope(&activation, z) - derivative).abs() < 1e-4, "{activation:?} at {z}: {derivative}");
            }
        }
        // The branches of the derivative by value that `all` has.
        let told: Vec<&str> = all().iter().filter(|a| a.tells_derivative()).map(Activation::name).collect();
        assert_eq!(told, ["none", "relu", "leaky_relu", "sigmoid", "tanh", "elu"]);
    }

    #[test]
    fn derivatives_at_kinks_are_those_of_pytorch() {
        // The gradient of torch.nn.functional of a tensor with these elements; hardtanh is not clamp, which `clip` is.
        let clip = Activation::Clip { min: -1.0, max: 6.0 };
        let hard_swish = Activation::HardSwish { alpha: 0.25, beta: 0.5 };
        for (activation, z, expected) in [
            (Activation::Relu, 0.0, 0.0),
            (Activation::LeakyRelu { alpha: 0.25 }, 0.0, 0.25),
            (Activation::Prelu { slopes: vec![-2.0] }, 0.0, -2.0),
            (Activation::Elu { alpha: 0.5 }, 0.0, 0.5),
            (clip.clone(), -1.0, 1.0),
            (clip.clone(), 6.0, 1.0),
            (clip, 6.5, 0.0),
            (hard_swish.clone(), -2.0, 0.0),
            (hard_swish, 2.0, 1.0),
        ] {
            assert_eq!(activation.derivative(0, z), expected, "{activation:?} at {z}");
            if activation.tells_derivative() {
                let at_value = activation.derivative_at_value(0, activation.apply(0, z));
                assert_eq!(at_value, expected, "{activation:?} at {z}");
            }
        }
    }

    #[test]
    fn a_value_with_two_derivatives_tells_none() {
        for activation in [
            Activation::LeakyRelu { alpha: -0.5 },
            Activation::LeakyRelu { alpha: f32::NAN },
            Activation::Prelu { slopes: vec![0.5, -0.5] },
            Activation::Elu { alpha: -1.0 },
        ] {
            assert!(!activation.tells_derivative(), "{activation:?}");
        }
        let prelu = Activation::Prelu { slopes: vec![0.5, 0.0] };
        assert!(prelu.tells_derivative() && prelu.derivative_at_value(1, 0.0) == 0.0);
    }

    #[test]
    fn parameters_are_checked() {
        let slopes = Activation::Prelu { slopes: vec![0.5; 3] };
        assert_eq!(
            slopes.validate(4, "output").unwrap_err().to_string(),
            "prelu slopes has shape [3], expected [4], one for each output channel"
        );
        assert!(Activation::Clip { min: 1.0, max: 0.0 }.validate(1, "output").is_err());
        assert!(Activation::Clip { min: f32::NAN, max: 0.0 }.validate(1, "output").is_err());
    }
}
