//! The one error type: every message carries what was given and what was expected.

use crate::dtype::DType;
use crate::kernel::{Kernel, Refusal};

/// Why an operation, a tensor or a device was refused.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each message names its fields")]
#[non_exhaustive]
pub enum Error {
    /// A list with one value for each spatial axis has the wrong length.
    #[error("{what} has {given} values, expected {expected}: one for each spatial axis")]
    AxisCount { what: &'static str, given: usize, expected: usize },

    /// The kernel does not have 1, 2 or 3 axes.
    #[error("the kernel has {given} axes, expected 1, 2 or 3")]
    Rank { given: usize },

    /// A quantity that must lie in a range does not.
    #[error("{what} is {given}, expected {expected}")]
    OutOfRange { what: String, given: i128, expected: String },

    /// The groups do not divide the channels.
    #[error(
        "groups {groups} must divide in_channels {in_channels} and out_channels {out_channels} \
         (remainders {} and {})", in_channels % groups, out_channels % groups
    )]
    Groups { groups: usize, in_channels: usize, out_channels: usize },

    /// `output_padding` is not below `max(stride, dilation)`, the bound of PyTorch and of ONNX's text.
    #[error(
        "output_padding {output_padding} on axis {axis} must be smaller than stride {stride} or dilation {dilation}"
    )]
    OutputPadding { axis: usize, output_padding: usize, stride: usize, dilation: usize },

    /// Padding leaves nothing of the output.
    #[error(
        "output size on axis {axis} is {computed}, expected at least 1: (input {input} - 1) * stride {stride} \
         + dilation {dilation} * (kernel {kernel} - 1) + 1 + output_padding {output_padding} \
         - padding ({pad_begin}, {pad_end})"
    )]
    OutputSize {
        axis: usize,
        computed: i64,
        input: usize,
        stride: usize,
        dilation: usize,
        kernel: usize,
        output_padding: usize,
        pad_begin: i64,
        pad_end: i64,
    },

    /// The bounds of a clip are not in order.
    #[error("clip has min {min} and max {max}, expected min <= max")]
    Clip { min: f32, max: f32 },

    /// An output size that a convention cannot reach.
    #[error("output size {given} on axis {axis} is out of reach, expected {least} to {most} with these parameters")]
    Unreachable { axis: usize, given: usize, least: i64, most: i64 },

    /// A size does not fit the integers that hold it.
    #[error("{what} overflows: {detail}")]
    Overflow { what: &'static str, detail: String },

    /// The host has no memory for a tensor.
    #[error("no memory for {what}: {bytes} bytes")]
    Memory { what: &'static str, bytes: u128 },

    /// A tensor's shape is not the one the operation needs.
    #[error("{what} has shape {given:?}, expected {expected}")]
    Shape { what: &'static str, given: Vec<usize>, expected: String },

    /// A tensor's data do not fill its shape.
    #[error("shape {shape:?} holds {expected} elements, but {given} were given")]
    DataLength { shape: Vec<usize>, expected: usize, given: usize },

    /// An array's elements are not in C order, or not one beside another.
    #[error(
        "the array of shape {shape:?} has strides {strides:?}, expected C order without gaps: copy it, for instance \
         with as_standard_layout()"
    )]
    Strides { shape: Vec<usize>, strides: Vec<isize> },

    /// A tensor's element type cannot be used here.
    #[error("{what} is {given}, expected {expected}")]
    DType { what: &'static str, given: DType, expected: &'static str },

    /// A gradient cannot be computed of what is given.
    #[error("the gradient {problem}")]
    Gradient { problem: String },

    /// A limit of the device is exceeded.
    #[error("{what}: {needed} needed, but the device's limit {limit_name} is {limit}")]
    Limit { what: String, needed: u64, limit: u64, limit_name: &'static str },

    /// The device lacks a feature.
    #[error("{what} needs the feature {feature}, which the device lacks")]
    Feature { what: &'static str, feature: &'static str },

    /// Timestamps that no time can be told from.
    #[error("the device's timestamps {ticks:?} run backwards, or were not written: were the commands submitted?")]
    Timestamps { ticks: Vec<u64> },

    /// The kernel that was asked for cannot run the operation.
    #[error("kernel {kernel} cannot run this: {reason}")]
    Kernel { kernel: Kernel, reason: Refusal },

    /// A buffer given for a binding cannot be used.
    #[error("{what} buffer: {problem}")]
    Buffer { what: &'static str, problem: String },

    /// The description of an operation, in JSON, is wrong.
    #[error("{problem}")]
    Description { problem: String },

    /// A safetensors file is unsound.
    #[error("safetensors: {problem}")]
    Safetensors { problem: String },

    /// A node does not fit into a graph, or a graph does not fit to shapes.
    #[error("graph: {problem}")]
    Graph { problem: String },

    /// A network's description is wrong, or its layers do not fit together.
    #[error("network: {problem}")]
    Network { problem: String },

    /// What was measured on a device cannot be read.
    #[error("tuning: {problem}")]
    Tuning { problem: String },

    /// A texture given for a binding cannot be used.
    #[error("texture: {problem}")]
    Texture { problem: String },

    /// No adapter answers the request.
    #[error("no GPU adapter {wanted}; adapters here: {}", list(.found))]
    NoAdapter { wanted: String, found: Vec<String> },

    /// A name is part of those of several adapters, listed with their numbers.
    #[error("{name:?} names {} adapters, give the number of one: {}", .found.len(), list(.found))]
    Adapters { name: String, found: Vec<String> },

    /// The environment names a backend that does not exist.
    #[error("WGPU_BACKEND is {value:?}, and there is no backend {wrong:?}; there are {}", .known.join(", "))]
    Backend { value: String, wrong: String, known: Vec<&'static str> },

    /// The work was stopped by a [`Stop`](crate::Stop).
    #[error("stopped on request")]
    Stopped,

    /// The system gave no threads.
    #[error("no threads for the CPU backend: {reason}")]
    Threads { reason: String },

    /// The adapter gave no device.
    #[error("adapter {adapter} gave no device")]
    #[cfg(feature = "gpu")]
    NoDevice { adapter: String, source: wgpu::RequestDeviceError },

    /// The device reported a validation error, an internal one, or that memory ran out.
    #[error("the device reported an error while {during}")]
    #[cfg(feature = "gpu")]
    Device { during: &'static str, source: wgpu::Error },

    /// The device was lost or destroyed; a new [`Context`](crate::gpu::Context) is needed.
    #[error("the device was lost while {during}: {reason}")]
    DeviceLost { during: &'static str, reason: String },
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_string() } else { names.join(", ") }
}
