//! An operation at one input shape.

use super::conv_transpose::ConvTranspose;
use super::operands::Operands;
#[cfg(feature = "gpu")]
use super::operands::Residual;
use crate::error::{Error, Result};
use crate::layout::{Channels, Layout, Strides};
use crate::tensor::element_count;

/// A [`ConvTranspose`] at one input shape: everything about sizes that a backend needs.
///
/// Spatial extents are always three, (d, h, w), those of missing axes being 1.
///
/// ```
/// use upconv::ConvTranspose;
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder()
///     .in_channels(64)
///     .out_channels(32)
///     .kernel([4, 4])
///     .stride([2, 2])
///     .padding([1, 1])
///     .build()?;
/// let geometry = op.at(&[1, 64, 16, 24])?;
/// assert_eq!(geometry.output_shape(), [1, 32, 32, 48]);
/// assert_eq!(geometry.output(), [1, 32, 48]); // (d, h, w)
/// assert!(op.at(&[1, 3, 16, 24]).is_err(), "3 channels where 64 are expected");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    pub(crate) op: ConvTranspose,
    pub(crate) batch: usize,
    pub(crate) batched: bool,
    pub(crate) input: [usize; 3],
    pub(crate) output: [usize; 3],
    pub(crate) operands: Operands,
}

impl ConvTranspose {
    /// The operation at one input shape: batch, channels and spatial extents in the order of
    /// [`layout`](Self::layout); the batch axis may be missing, and is then missing from the output too.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong number of axes or channels, and what
    /// [`Axis::output_extent`](crate::Axis::output_extent) refuses. A batch of 0 is valid and gives an empty output.
    pub fn at(&self, input_shape: &[usize]) -> Result<Geometry> {
        let (batch, spatial) = self.split(input_shape)?;
        let (mut input, mut output) = ([1; 3], [1; 3]);
        let first = 3 - self.rank;
        for (index, (axis, &extent)) in self.axes().iter().zip(spatial).enumerate() {
            input[first + index] = extent;
            output[first + index] = axis.output_extent(index, extent)?;
        }
        let (op, batched, batch) = (self.clone(), batch.is_some(), batch.unwrap_or(1));
        let geometry = Geometry { op, batch, batched, input, output, operands: Operands::default() };
        element_count(&geometry.input_shape())?;
        element_count(&geometry.output_shape())?;
        Ok(geometry)
    }

    /// The input's spatial extents, as many as [`rank`](Self::rank).
    pub(crate) fn input_extents(&self, input_shape: &[usize]) -> Result<Vec<usize>> {
        self.split(input_shape).map(|(_, spatial)| spatial.to_vec())
    }

    /// An input shape's batch, if it has one, and its spatial extents.
    fn split<'a>(&self, input_shape: &'a [usize]) -> Result<(Option<usize>, &'a [usize])> {
        let (batch, item) = match input_shape.len().checked_sub(self.rank) {
            Some(2) => (Some(input_shape[0]), &input_shape[1..]),
            _ => (None, input_shape),
        };
        if item.len() == self.rank + 1 {
            let (channels, spatial) = match self.layout {
                Layout::ChannelsFirst => (item[0], &item[1..]),
                Layout::ChannelsLast => (item[self.rank], &item[..self.rank]),
            };
            if channels == self.in_channels {
                return Ok((batch, spatial));
            }
        }
        let letters = self.layout.letters(self.rank, true);
        let expected = format!("{letters} with {} channels, the batch optional", self.in_channels);
        Err(Error::Shape { what: "input", given: input_shape.to_vec(), expected })
    }
}

impl Geometry {
    /// The operation.
    pub fn op(&self) -> &ConvTranspose {
        &self.op
    }

    /// Number of independent inputs; may be 0.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Whether the tensors have a batch axis.
    pub fn is_batched(&self) -> bool {
        self.batched
    }

    /// Spatial extents of the input, (d, h, w); 1 for the axes that the operation lacks.
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    /// Spatial extents of the output, (d, h, w); 1 for the axes that the operation lacks.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// The input's shape, in the order of the layout.
    pub fn input_shape(&self) -> Vec<usize> {
        self.shape(self.op.in_channels, &self.input)
    }

    /// The output's shape, in the order of the layout.
    pub fn output_shape(&self) -> Vec<usize> {
        self.shape(self.op.out_channels, &self.output)
    }

    /// The number of input elements.
    pub fn input_len(&self) -> usize {
        self.batch * self.op.in_channels * self.input.iter().product::<usize>()
    }

    /// The number of output elements.
    pub fn output_len(&self) -> usize {
        self.batch * self.op.out_channels * self.output.iter().product::<usize>()
    }

    /// The strides of the input.
    pub fn input_strides(&self) -> Strides {
        self.strides(self.operands.input, self.op.in_channels, &self.input)
    }

    /// The strides of the output.
    pub fn output_strides(&self) -> Strides {
        self.strides(self.operands.output, self.op.out_channels, &self.output)
    }

    /// The multiply-adds that reach the output: those of taps that fall outside the input or the output are not counted.
    pub fn useful_multiply_adds(&self) -> u128 {
        let extents = self.input.iter().zip(&self.output);
        let spatial: u128 = self.op.axes.iter().zip(extents).map(|(axis, (&i, &o))| axis.landings(i, o)).product();
        spatial * self.batch as u128 * self.op.in_channels as u128 * self.group_out_channels()
    }

    /// The multiply-adds by which all figures here are measured: every input element times every tap and output channel
    /// of its group, those that padding crops included.
    ///
    /// At most the input's elements times the weight's, which both fit in 63 bits.
    pub fn effective_multiply_adds(&self) -> u128 {
        let taps: u128 = self.op.axes.iter().map(|axis| axis.kernel as u128).product();
        self.input_len() as u128 * self.group_out_channels() * taps
    }

    /// Both, for those who explain a plan.
    #[cfg(any(feature = "gpu", feature = "cpu"))]
    pub(crate) fn multiply_adds_in_words(&self) -> String {
        let (useful, effective) = (self.useful_multiply_adds(), self.effective_multiply_adds());
        let share = if effective == 0 { 100.0 } else { useful as f64 / effective as f64 * 100.0 };
        format!("{useful} useful of {effective} ({share:.1} %, the rest is cropped)")
    }

    fn group_out_channels(&self) -> u128 {
        (self.op.out_channels / self.op.groups) as u128
    }

    /// The strides of a tensor of `own` channels, or of these channels of a larger one.
    fn strides(&self, channels: Option<Channels>, own: usize, extents: &[usize; 3]) -> Strides {
        let Channels { first, of } = channels.unwrap_or(Channels { first: 0, of: own });
        let strides = self.op.layout.strides(of, extents);
        Strides { first: first * strides.channel, ..strides }
    }

    fn shape(&self, channels: usize, extents: &[usize; 3]) -> Vec<usize> {
        let spatial = &extents[3 - self.op.rank..];
        let mut shape = self.op.layout.shape(channels, spatial);
        if self.batched {
            shape.insert(0, self.batch);
        }
        shape
    }
}

/// Where the operands lie.
#[cfg(feature = "gpu")]
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
}
