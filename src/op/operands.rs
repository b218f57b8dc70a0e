//! How the operands of an operation lie in their buffers.

use super::geometry::Geometry;
use crate::error::{Error, Result};
use crate::layout::{Channels, Strides};
use crate::tensor::element_count;

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

impl Geometry {
    /// The same operation at the same shape, with operands that lie so.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for channels beyond those of the larger tensor, [`Error::Overflow`] for a tensor beyond all
    /// bounds.
    pub(crate) fn with_operands(mut self, operands: Operands) -> Result<Self> {
        let (inputs, outputs) = (self.op.in_channels(), self.op.out_channels());
        let residual = match operands.residual {
            Residual::Tensor(channels) => channels,
            Residual::None | Residual::Output => None,
        };
        let within = [
            ("input", operands.input, inputs, self.input),
            ("output", operands.output, outputs, self.output),
            ("residual", residual, outputs, self.output),
        ];
        for (what, channels, own, extents) in within {
            let Some(Channels { first, of }) = channels else { continue };
            if first.checked_add(own).is_none_or(|end| end > of) {
                return Err(Error::OutOfRange {
                    what: format!("the first channel of the {what}, which has {own} of {of} channels"),
                    given: first as i128,
                    expected: match of.checked_sub(own) {
                        Some(last) => format!("0 to {last}"),
                        None => "a tensor of at least as many".into(),
                    },
                });
            }
            element_count(&[&[self.batch, of][..], &extents].concat())?;
        }
        self.operands = operands;
        Ok(self)
    }

    /// The elements of the tensor that has the input.
    pub(crate) fn input_tensor_len(&self) -> usize {
        self.tensor_len(self.operands.input, self.op.in_channels(), self.input)
    }

    /// The elements of the tensor that has the output.
    pub(crate) fn output_tensor_len(&self) -> usize {
        self.tensor_len(self.operands.output, self.op.out_channels(), self.output)
    }

    /// The elements of the tensor that has the residual, and its strides; `None` where there is no such tensor.
    pub(crate) fn residual_tensor(&self) -> Option<(usize, Strides)> {
        let Residual::Tensor(channels) = self.operands.residual else { return None };
        let own = self.op.out_channels();
        Some((self.tensor_len(channels, own, self.output), self.strides(channels, own, &self.output)))
    }

    fn tensor_len(&self, channels: Option<Channels>, own: usize, extents: [usize; 3]) -> usize {
        self.batch * channels.map_or(own, |channels| channels.of) * extents.iter().product::<usize>()
    }

    /// The strides of a tensor of `own` channels, or of these channels of a larger one.
    pub(super) fn strides(&self, channels: Option<Channels>, own: usize, extents: &[usize; 3]) -> Strides {
        let Channels { first, of } = channels.unwrap_or(Channels { first: 0, of: own });
        let strides = self.op.layout.strides(of, extents);
        Strides { first: first * strides.channel, ..strides }
    }
}
