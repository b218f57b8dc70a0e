//! The description of a transposed convolution.

use super::axis::Axis;
use crate::accuracy::Accuracy;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layout::{Layout, WeightLayout};

/// The description of a transposed convolution over 1, 2 or 3 spatial axes; immutable and valid once built.
///
/// Input element `i` and tap `k` of an axis land on `u = i·stride + k·dilation` of the full output, of which
/// `padding` crops both ends, so that the output coordinate is `o = u − pad_begin`.
/// Batch and input sizes are not part of it: see [`ConvTranspose::at`].
///
/// ```
/// # fn main() -> Result<(), upconv::Error> {
/// let op = upconv::ConvTranspose::builder()
///     .in_channels(64)
///     .out_channels(32)
///     .kernel([4, 4])
///     .stride([2, 2])
///     .padding([1, 1])
///     .build()?;
/// assert_eq!(op.at(&[1, 64, 16, 20])?.output_shape(), [1, 32, 32, 40]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose {
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) groups: usize,
    pub(super) rank: usize,
    pub(super) axes: [Axis; 3],
    pub(super) layout: Layout,
    pub(super) weight_layout: WeightLayout,
    pub(super) activation: Activation,
    pub(super) pre_activation: Activation,
    pub(super) accuracy: Accuracy,
}

impl ConvTranspose {
    /// Number of input channels.
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Number of output channels, over all groups.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Number of spatial axes: 1, 2 or 3.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The spatial axes, in the order (d, h, w); as many as [`rank`](Self::rank).
    pub fn axes(&self) -> &[Axis] {
        &self.axes[3 - self.rank..]
    }

    /// Always three axes: those of the operation come last, [`Axis::UNIT`] stands for the missing ones.
    pub fn axes3(&self) -> &[Axis; 3] {
        &self.axes
    }

    /// The order of the input's and the output's axes.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The order of the weight's axes.
    pub fn weight_layout(&self) -> WeightLayout {
        self.weight_layout
    }

    /// What is applied after the bias.
    pub fn activation(&self) -> &Activation {
        &self.activation
    }

    /// What is applied to each input element before the products.
    pub fn pre_activation(&self) -> &Activation {
        &self.pre_activation
    }

    /// How exact the result has to be.
    pub fn accuracy(&self) -> Accuracy {
        self.accuracy
    }

    /// Whether it is an ordinary convolution with a stride: see [`Axis::decimation`].
    pub(crate) fn is_decimated(&self) -> bool {
        self.axes.iter().any(|axis| axis.decimation > 1)
    }

    /// This description with other pads and output paddings, one `(pad_begin, pad_end, output_padding)` for each axis.
    ///
    /// # Errors
    /// [`Error::AxisCount`] where the number of axes differs. The bound of `output_padding` is not checked again.
    pub(crate) fn with_pads(&self, pads: &[(i64, i64, usize)]) -> Result<Self> {
        axis_count("padding", pads.len(), self.rank)?;
        let mut op = self.clone();
        for (axis, &(pad_begin, pad_end, output_padding)) in op.axes[3 - self.rank..].iter_mut().zip(pads) {
            *axis = Axis { pad_begin, pad_end, output_padding, ..*axis };
        }
        Ok(op)
    }

    /// The shape the weight must have, in the order of [`weight_layout`](Self::weight_layout).
    pub fn weight_shape(&self) -> Vec<usize> {
        let kernel: Vec<usize> = self.axes().iter().map(|axis| axis.kernel).collect();
        self.weight_layout.shape(self.in_channels, self.out_channels / self.groups, &kernel)
    }

    /// Checks the shapes of a weight and a bias.
    ///
    /// # Errors
    /// [`Error::Shape`] with the shape that is expected.
    pub fn check_parameters(&self, weight: &[usize], bias: Option<&[usize]>) -> Result<()> {
        let expected = self.weight_shape();
        if weight != expected {
            let expected = format!("{expected:?} ({})", self.weight_layout.letters(self.rank));
            return Err(Error::Shape { what: "weight", given: weight.to_vec(), expected });
        }
        match bias {
            Some(bias) if bias != [self.out_channels] => Err(Error::Shape {
                what: "bias",
                given: bias.to_vec(),
                expected: format!("[{}], one for each output channel", self.out_channels),
            }),
            _ => Ok(()),
        }
    }
}

pub(super) fn axis_count(what: &'static str, given: usize, expected: usize) -> Result<()> {
    if given == expected { Ok(()) } else { Err(Error::AxisCount { what, given, expected }) }
}
