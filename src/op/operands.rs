//! How the operands of an operation lie in their buffers.

use crate::layout::Channels;

/// How the operands lie in their buffers, and whether there is a residual among them. By default the input and the
/// output are tensors of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Operands {
    /// Where the input is some channels of a larger tensor.
    pub(crate) input: Option<Channels>,
    /// Where the output is.
    pub(crate) output: Option<Channels>,
    /// What is added to each output before its activation.
    pub(crate) residual: Residual,
    /// Whether they may all lie in one buffer.
    pub(crate) one_buffer: bool,
}

/// What is added to each output before its activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Residual {
    #[default]
    None,
    /// What the output's place holds.
    Output,
    /// A tensor of the output's shape, or some channels of a larger one.
    Tensor(Option<Channels>),
}
