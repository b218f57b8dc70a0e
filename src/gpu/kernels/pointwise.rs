//! `shaders/pointwise.wgsl`: an activation of sums that were kept, and the gradient of sums from that of their activation.

use super::activation;
use super::fused::{ACTIVATION, guarded};
use super::header::{body, elem};
use super::params::shader_struct;
use crate::activation::Activation;
use crate::gpu::storage::Storage;
use crate::op::Geometry;

const POINTWISE: &str = include_str!("../../../shaders/pointwise.wgsl");
const DERIVATIVE: &str = include_str!("../../../shaders/derivative.wgsl");

/// A slope that is NaN where its argument is, which has to be said: compilers turn the tests of `clip` into instructions that
/// drop NaN. Of the slopes without it comparisons with NaN decide, as in PyTorch.
macro_rules! or_nan {
    ($slope:literal) => {
        concat!("select(", $slope, ", second, is_nan(second))")
    };
}

/// What is computed of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Function {
    /// The activation of the first operand: a call of `activation.wgsl`.
    Activation(&'static str),
    /// The first operand times the slope that the second one tells: a call of `derivative.wgsl`.
    Gradient(&'static str),
}

impl Function {
    /// What a prelu's slope was multiplied with, times the gradient: what is summed to the slope's own.
    pub(crate) const SLOPES: Self = Self::Gradient("select(second, 0.0, second > 0.0)");

    pub(crate) fn activation(activation: &Activation) -> Self {
        Self::Activation(activation::call(activation))
    }

    /// The gradient of the sums, which the function's value tells or its argument, `z`.
    pub(crate) fn gradient(activation: &Activation, by_value: bool) -> Self {
        Self::Gradient(match (activation, by_value) {
            (Activation::None, _) => "1.0",
            (Activation::Relu, _) => "relu_slope(second)",
            (Activation::LeakyRelu { .. } | Activation::Prelu { .. }, _) => "leaky_relu_slope(second, alpha)",
            (Activation::Clip { .. }, _) => "clip_slope(second, alpha, beta)",
            (Activation::Sigmoid, false) => or_nan!("sigmoid_slope(second)"),
            (Activation::Sigmoid, true) => or_nan!("sigmoid_slope_at_value(second)"),
            (Activation::Tanh, false) => or_nan!("tanh_slope(second)"),
            (Activation::Tanh, true) => or_nan!("tanh_slope_at_value(second)"),
            (Activation::HardSwish { .. }, _) => or_nan!("hard_swish_slope(second, alpha, beta)"),
            (Activation::Mish, _) => or_nan!("mish_slope(second)"),
            (Activation::Gelu, _) => or_nan!("gelu_slope(second)"),
            (Activation::Silu, _) => or_nan!("silu_slope(second)"),
            (Activation::Elu { .. }, false) => "elu_slope(second, alpha)",
            (Activation::Elu { .. }, true) => "elu_slope_at_value(second, alpha)",
            (Activation::Snake { .. }, _) => or_nan!("snake_slope(second, alpha)"),
        })
    }

    /// Whether it has a second operand.
    pub(crate) fn has_second(self) -> bool {
        matches!(self, Self::Gradient(_))
    }

    pub(crate) fn source(self, storage: Storage) -> String {
        let second = match self {
            Self::Activation(_) => "fn second_at(index: u32) -> f32 { return 0.0; }\n",
            Self::Gradient(_) => {
                "@group(0) @binding(2) var<storage, read> second: array<Elem>;\n\
                 fn second_at(index: u32) -> f32 { return f32(second[index]); }\n"
            }
        };
        let value = match self {
            Self::Activation(call) => format!("let y = first; return {};", guarded(call)),
            // Where the slope is 0, so is the gradient, even an infinite one.
            Self::Gradient(slope) => format!("let slope = {slope}; return select(first * slope, 0.0, slope == 0.0);"),
        };
        let function = format!("fn value(first: f32, second: f32, alpha: f32, beta: f32) -> f32 {{ {value} }}\n");
        let functions = [body(ACTIVATION), DERIVATIVE].concat();
        format!("{}\n{second}{function}{functions}\n{}", elem(storage), body(POINTWISE))
    }
}

shader_struct! {
    /// `Params` of `pointwise.wgsl`, field by field.
    Params {
        elements: u32,
        begin: u32,
        channel_stride: u32,
        channels: u32,
        beta: f32,
        padding_1: u32,
        padding_2: u32,
        padding_3: u32,
    }
}

impl Params {
    /// Those of `elements` of the outputs of an operation, from one on.
    pub(crate) fn new(geometry: &Geometry, begin: usize, elements: usize) -> Self {
        let (op, strides) = (&geometry.op, geometry.op.layout().strides(geometry.op.out_channels(), &geometry.output));
        Self {
            elements: elements as u32,
            begin: (begin % strides.batch.max(1)) as u32,
            channel_stride: strides.channel as u32,
            channels: op.out_channels() as u32,
            beta: op.activation().parameters(0).1,
            ..Self::default()
        }
    }
}
