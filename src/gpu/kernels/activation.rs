//! What the shaders take of an activation.

use crate::activation::Activation;

/// What `activation.wgsl` makes of `y`, with the [parameters] as `alpha` and `beta`.
pub(crate) fn call(activation: &Activation) -> &'static str {
    match activation {
        Activation::None => "y",
        Activation::Relu => "relu(y)",
        Activation::LeakyRelu { .. } | Activation::Prelu { .. } => "leaky_relu(y, alpha)",
        Activation::Clip { .. } => "clip(y, alpha, beta)",
        Activation::Sigmoid => "sigmoid(y)",
        Activation::Tanh => "tanh_of(y)",
        Activation::HardSwish { .. } => "hard_swish(y, alpha, beta)",
        Activation::Mish => "mish(y)",
        Activation::Gelu => "gelu(y)",
        Activation::Silu => "silu(y)",
        Activation::Elu { .. } => "elu(y, alpha)",
        Activation::Snake { .. } => "snake(y, alpha)",
    }
}

/// The parameters `(alpha, beta)` for an output channel.
pub(crate) fn parameters(activation: &Activation, channel: usize) -> (f32, f32) {
    match activation {
        // What may be added to anything and leaves it as it is; +0 would turn -0.
        Activation::None => (0.0, -0.0),
        _ => activation.parameters(channel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_beta_changes_nothing_where_there_is_no_activation() {
        let (_, beta) = parameters(&Activation::None, 0);
        for y in [0.0_f32, -0.0, 1.5, f32::MIN_POSITIVE, f32::NEG_INFINITY] {
            assert_eq!((y + beta).to_bits(), y.to_bits(), "{y}");
        }
    }
}
