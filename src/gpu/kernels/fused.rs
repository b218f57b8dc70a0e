//! What is fused around a kernel's sums, as far as it changes the kernel's text: the header that replaces its own.

use super::activation;
use super::header::{body, elem};
use crate::activation::Activation;
use crate::gpu::storage::Storage;
use crate::op::{Geometry, Residual};

pub(crate) const ACTIVATION: &str = include_str!("../../../shaders/activation.wgsl");

/// The binding of the residual, where that is a tensor of its own.
pub(crate) const RESIDUAL: u32 = 5;

/// The binding of a pre-activation's parameters, where each channel has one of its own.
pub(crate) const PRE_ALPHAS: u32 = 6;

/// The most input channels whose pre-activation may have parameters of their own: 16 KiB of a uniform buffer, which every
/// device has.
pub(crate) const MAX_PRE_ALPHAS: usize = 4096;

/// What is fused around the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fused {
    /// The call of `activation.wgsl` that it is.
    pub(crate) activation: &'static str,
    /// That of the inputs.
    pub(crate) pre_activation: &'static str,
    /// Whether each input channel has a parameter of its own.
    pub(crate) pre_by_channel: bool,
    /// What is added before the activation.
    pub(crate) adds: Adds,
    /// Whether all operands may lie in one buffer: then all are declared as written, because a buffer has one usage in
    /// a dispatch.
    pub(crate) one_buffer: bool,
}

/// Where a kernel finds what it adds to a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Adds {
    Nothing,
    /// What it is about to overwrite.
    Output,
    /// The element of another tensor.
    Residual,
}

impl Fused {
    pub(crate) fn of(geometry: &Geometry) -> Self {
        let (op, operands) = (&geometry.op, geometry.operands);
        Self {
            activation: activation::call(op.activation()),
            pre_activation: activation::call(op.pre_activation()),
            pre_by_channel: op.pre_activation().by_channel().is_some(),
            adds: match operands.residual {
                Residual::None => Adds::Nothing,
                Residual::Output => Adds::Output,
                Residual::Tensor(_) => Adds::Residual,
            },
            one_buffer: operands.one_buffer,
        }
    }

    /// With an activation alone.
    pub(crate) fn behind(activation: &'static str) -> Self {
        let none = activation::call(&Activation::None);
        Self { activation, pre_activation: none, pre_by_channel: false, adds: Adds::Nothing, one_buffer: false }
    }

    /// Whether something is done to the inputs.
    pub(crate) fn pre_activates(&self) -> bool {
        self.pre_activation != activation::call(&Activation::None)
    }

    /// The access of an operand that is only read.
    pub(crate) fn read(&self) -> &'static str {
        if self.one_buffer { "read_write" } else { "read" }
    }

    /// What every kernel has above its own text: the type of the stored elements, the activation, and what is done to the
    /// inputs where that is something.
    pub(crate) fn header(&self, storage: Storage) -> String {
        let (value, activates) = match (self.activation, storage) {
            ("y", Storage::F32) => ("y".into(), false),
            // beta is -0 here, and changes nothing. But sums of which nothing is wanted but their f16 are rounded by RADV
            // inside the loop that adds them up, in each of its turns.
            ("y", Storage::F16) => ("y + beta".into(), false),
            (call, _) => (guarded(call), true),
        };
        // No branch that is never taken: the function is called for each output of a tile, and drivers inline all of it
        // everywhere first.
        let functions = if activates || self.pre_activates() { body(ACTIVATION) } else { "" };
        let pre = if self.pre_activates() { self.pre_functions() } else { String::new() };
        let activate = function("activate", &value);
        format!("{}\n{activate}{pre}{functions}", elem(storage))
    }

    /// What is done to the inputs.
    pub(crate) fn pre_functions(&self) -> String {
        let alpha = match self.pre_by_channel {
            true => format!(
                "@group(0) @binding({PRE_ALPHAS}) var<uniform> pre_alphas: array<vec4<f32>, {}>;\n\
                 fn pre_alpha(channel: i32) -> f32 {{ return pre_alphas[channel / 4][channel % 4]; }}\n",
                MAX_PRE_ALPHAS / 4
            ),
            false => "fn pre_alpha(channel: i32) -> f32 { return params.pre_alpha; }\n".into(),
        };
        let value = if self.pre_activates() { guarded(self.pre_activation) } else { "y".into() };
        format!("{}{alpha}", function("pre_activate", &value))
    }

    /// What is added to a sum, for kernels that finish one element at a time.
    pub(crate) fn residual_function(&self) -> String {
        let (binding, value) = match self.adds {
            Adds::Nothing => (String::new(), "-0.0"),
            Adds::Output => (String::new(), "f32(output[at])"),
            Adds::Residual => {
                let read = self.read();
                let binding =
                    format!("@group(0) @binding({RESIDUAL}) var<storage, {read}> residual_tensor: array<Elem>;\n");
                (binding, "f32(residual_tensor[residual])")
            }
        };
        format!("{binding}fn residual_at(at: i32, residual: i32) -> f32 {{ return {value}; }}\n")
    }
}

/// A function of the activations' parameters.
fn function(name: &str, value: &str) -> String {
    format!("fn {name}(y: f32, alpha: f32, beta: f32) -> f32 {{ return {value}; }}\n")
}

/// An activation that leaves NaN as it is.
pub(crate) fn guarded(call: &str) -> String {
    format!("select({call}, y, is_nan(y))")
}
