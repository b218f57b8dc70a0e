//! An ordinary convolution of stride 1 as the transposed one that does the same.

use super::builder::{Builder, Pad, check_pad};
use super::conv_transpose::{ConvTranspose, axis_count};
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
    /// first axis, and what [`Builder::build`] refuses.
    pub fn from_convolution<'a, P: Into<Pad>>(
        weight: impl Into<TensorView<'a>>,
        padding: impl IntoIterator<Item = P>,
        dilation: impl IntoIterator<Item = usize>,
        groups: usize,
    ) -> Result<(Self, Tensor)> {
        let weight = weight.into();
        let padding: Vec<Pad> = padding.into_iter().map(Into::into).collect();
        let dilation: Vec<usize> = dilation.into_iter().collect();
        let op = convolution(weight.shape(), &padding, &dilation, groups)?.build()?;
        Ok((op, rotated(weight, groups)?))
    }
}

/// The description without the weight, from its shape.
pub(crate) fn convolution(weight: &[usize], padding: &[Pad], dilation: &[usize], groups: usize) -> Result<Builder> {
    let [out_channels, in_group, kernel @ ..] = weight else { return Err(not_a_weight(weight)) };
    if !(1..=3).contains(&kernel.len()) {
        return Err(not_a_weight(weight));
    }
    axis_count("padding", padding.len(), kernel.len())?;
    axis_count("dilation", dilation.len(), kernel.len())?;
    if groups == 0 || !out_channels.is_multiple_of(groups) {
        let expected = format!("a divisor of the {out_channels} output channels");
        return Err(Error::OutOfRange { what: "groups".into(), given: groups as i128, expected });
    }
    let in_channels = in_group.checked_mul(groups).ok_or_else(|| Error::Overflow {
        what: "number of channels",
        detail: format!("{in_group} in each of {groups} groups"),
    })?;
    for (index, pad) in padding.iter().enumerate() {
        check_pad(index, pad.begin)?;
        check_pad(index, pad.end)?;
    }
    let crop = |axis: usize| {
        let reach = i64::try_from(dilation[axis].checked_mul(kernel[axis].checked_sub(1)?)?).ok()?;
        Some((reach.checked_sub(padding[axis].begin)?, reach.checked_sub(padding[axis].end)?))
    };
    let crops = (0..kernel.len()).map(crop).collect::<Option<Vec<_>>>().ok_or_else(|| Error::Overflow {
        what: "padding of a convolution",
        detail: format!("kernel {kernel:?}, dilation {dilation:?}, padding {padding:?}"),
    })?;
    Ok(ConvTranspose::builder()
        .in_channels(in_channels)
        .out_channels(*out_channels)
        .groups(groups)
        .kernel(kernel.iter().copied())
        .dilation(dilation.iter().copied())
        .padding(crops))
}

/// The weight, of a shape that [`convolution`] accepts: each kernel read backwards, the channels swapped.
pub(crate) fn rotated(weight: TensorView<'_>, groups: usize) -> Result<Tensor> {
    let [out_channels, in_group, kernel @ ..] = weight.shape() else { return Err(not_a_weight(weight.shape())) };
    let (out_group, taps) = (out_channels / groups, kernel.iter().product::<usize>());
    let mut order = Vec::with_capacity(out_channels * in_group * taps);
    for group in 0..groups {
        for ci in 0..*in_group {
            for co in group * out_group..(group + 1) * out_group {
                order.extend((0..taps).rev().map(|tap| (co * in_group + ci) * taps + tap));
            }
        }
    }
    weight.select([&[groups * in_group, out_group], kernel].concat(), order)
}

fn not_a_weight(given: &[usize]) -> Error {
    let expected = "three to five axes: [out, in / groups, …kernel]".into();
    Error::Shape { what: "weight of a convolution", given: given.to_vec(), expected }
}
