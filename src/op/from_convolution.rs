//! An ordinary convolution of stride 1 as the transposed one that does the same.

use super::builder::Pad;
use super::conv_transpose::ConvTranspose;
use super::convolution::{Convolution, ConvolutionBuilder};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, TensorView};

impl ConvTranspose {
    /// The transposed convolution that does what an ordinary convolution of stride 1 does, and its weight.
    ///
    /// `weight` is the convolution's, `[out, in / groups, …kernel]` with 1 to 3 spatial axes, of any
    /// [`DType`](crate::DType), `padding` the zeros around its input. What is returned has every kernel rotated by 180°,
    /// in the order `[in, out / groups, …kernel]`, and crops `dilation·(kernel − 1) − padding` where the convolution pads.
    /// For an activation or another layout, build on with [`to_builder`](Self::to_builder).
    ///
    /// ```
    /// use upconv::{ConvTranspose, Tensor, reference};
    /// # fn main() -> upconv::Result<()> {
    /// // A convolution with [1 2 3] slides over 4 inputs: 1·x₀ + 2·x₁ + 3·x₂ and 1·x₁ + 2·x₂ + 3·x₃.
    /// let weight = Tensor::f32([1, 1, 3], [1.0, 2.0, 3.0])?;
    /// let (op, weight) = ConvTranspose::from_convolution(&weight, [0], [1], 1)?;
    /// let x = Tensor::f32([1, 1, 4], [1.0, 10.0, 100.0, 1000.0])?;
    /// assert_eq!(reference::run(&op, &x, &weight, None)?.to_f32(), [321.0, 3210.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] for a weight that has not three to five axes, [`Error::AxisCount`] for another number of paddings
    /// or dilations than the weight has spatial axes, [`Error::OutOfRange`] for groups that do not divide the weight's
    /// first axis, and what [`Builder::build`](super::Builder::build) refuses.
    pub fn from_convolution<'a, P: Into<Pad>>(
        weight: impl Into<TensorView<'a>>,
        padding: impl IntoIterator<Item = P>,
        dilation: impl IntoIterator<Item = usize>,
        groups: usize,
    ) -> Result<(Self, Tensor)> {
        let weight = weight.into();
        let padding: Vec<Pad> = padding.into_iter().map(Into::into).collect();
        let dilation: Vec<usize> = dilation.into_iter().collect();
        let convolution = described(weight.shape(), &padding, &dilation, groups)?.build()?;
        Ok((convolution.transposed().clone(), convolution.turned(weight)?))
    }
}

/// The description of a convolution of stride 1, but for what its weight's shape, `[out, in / groups, …kernel]`, does not
/// tell.
pub(crate) fn described(
    weight: &[usize],
    padding: &[Pad],
    dilation: &[usize],
    groups: usize,
) -> Result<ConvolutionBuilder> {
    let [out_channels, in_group, kernel @ ..] = weight else { return Err(not_a_weight(weight)) };
    if !(1..=3).contains(&kernel.len()) {
        return Err(not_a_weight(weight));
    }
    if groups == 0 || !out_channels.is_multiple_of(groups) {
        let expected = format!("a divisor of the {out_channels} output channels");
        return Err(Error::OutOfRange { what: "groups".into(), given: groups as i128, expected });
    }
    let in_channels = in_group.checked_mul(groups).ok_or_else(|| Error::Overflow {
        what: "number of channels",
        detail: format!("{in_group} in each of {groups} groups"),
    })?;
    Ok(Convolution::builder()
        .in_channels(in_channels)
        .out_channels(*out_channels)
        .groups(groups)
        .kernel(kernel.iter().copied())
        .dilation(dilation.iter().copied())
        .padding(padding.iter().copied()))
}

fn not_a_weight(given: &[usize]) -> Error {
    let expected = "three to five axes: [out, in / groups, …kernel]".into();
    Error::Shape { what: "weight of a convolution", given: given.to_vec(), expected }
}
