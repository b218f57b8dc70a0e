//! A layer of a network, by itself: what it means as the one operation.

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::op::ConvTranspose;
use crate::tensor::{Tensor, TensorView};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The two kinds of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A convolution of stride 1, weight `[out, in / groups, h, w]`.
    #[serde(rename = "conv")]
    Convolution,
    /// A transposed convolution, weight `[in, out / groups, h, w]`.
    #[serde(rename = "deconv")]
    Transposed,
}

/// A layer, as training frameworks describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Which of the two.
    pub kind: Kind,
    /// Its weight, of any [`DType`](crate::DType). Layers may share one.
    pub weight: Arc<Tensor>,
    /// Its bias, `[out]`.
    pub bias: Option<Arc<Tensor>>,
    /// The stride along (h, w).
    pub stride: [usize; 2],
    /// The padding at both ends of (h, w): zeros around a convolution's input, elements cropped off a transposed
    /// one's output.
    pub padding: [usize; 2],
    /// The dilation along (h, w).
    pub dilation: [usize; 2],
    /// The number of groups.
    pub groups: usize,
    /// What follows the bias.
    pub activation: Activation,
}

impl Layer {
    /// A layer without bias and activation, with stride 1, no padding, dilation 1 and one group.
    pub fn new(kind: Kind, weight: impl Into<Arc<Tensor>>) -> Self {
        let (weight, activation) = (weight.into(), Activation::None);
        Self { kind, weight, bias: None, stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1, activation }
    }

    /// The layer as the one operation, with the weight that it takes.
    ///
    /// # Errors
    /// [`Error::Shape`] for a weight that has not four axes, [`Error::OutOfRange`] for a convolution with a stride, and
    /// what [`Builder::build`](crate::op::Builder::build) refuses.
    pub fn operation(&self) -> Result<(ConvTranspose, Tensor)> {
        let op = self.op()?;
        let weight = match self.kind {
            Kind::Transposed => Tensor::clone(&self.weight),
            Kind::Convolution => from_convolution(&*self.weight, self.groups)?,
        };
        Ok((op, weight))
    }

    /// The operation alone.
    pub(super) fn op(&self) -> Result<ConvTranspose> {
        let [first, second, kernel @ ..] = four_axes(self.weight.shape())?;
        let groups = self.groups;
        let channels = |per_group: usize| {
            per_group.checked_mul(groups).ok_or_else(|| Error::Overflow {
                what: "number of channels",
                detail: format!("{per_group} in each of {groups} groups"),
            })
        };
        let builder = ConvTranspose::builder()
            .groups(groups)
            .kernel(kernel)
            .stride(self.stride)
            .dilation(self.dilation)
            .activation(self.activation.clone());
        let builder = match self.kind {
            Kind::Transposed => builder.in_channels(first).out_channels(channels(second)?).padding(self.padding),
            Kind::Convolution => {
                if self.stride != [1; 2] {
                    let given = self.stride.into_iter().max().unwrap_or_default() as i128;
                    return Err(Error::OutOfRange {
                        what: "stride of a convolution".into(),
                        given,
                        expected: "1".into(),
                    });
                }
                let mut crop = [0; 2];
                for (axis, crop) in crop.iter_mut().enumerate() {
                    *crop = kernel[axis]
                        .checked_sub(1)
                        .and_then(|last| i64::try_from(self.dilation[axis].checked_mul(last)?).ok())
                        .and_then(|reach| reach.checked_sub(i64::try_from(self.padding[axis]).ok()?))
                        .ok_or_else(|| Error::Overflow {
                            what: "padding of a convolution",
                            detail: format!("kernel {kernel:?}, dilation {:?}, {:?}", self.dilation, self.padding),
                        })?;
                }
                builder.in_channels(channels(second)?).out_channels(first).padding(crop)
            }
        };
        builder.build()
    }
}

fn four_axes(weight: &[usize]) -> Result<[usize; 4]> {
    <[usize; 4]>::try_from(weight).map_err(|_| Error::Shape {
        what: "weight",
        given: weight.to_vec(),
        expected: "four axes: [out, in / groups, h, w] of a convolution, [in, out / groups, h, w] of a transposed one"
            .into(),
    })
}

/// The weight of the transposed convolution that does what a convolution of stride 1 does: from `[out, in / groups, h,
/// w]` to `[in, out / groups, h, w]`, each kernel rotated by 180°. It crops `dilation·(kernel − 1) − padding`
/// where the convolution pads.
///
/// ```
/// use upconv::upscale::network::from_convolution;
/// use upconv::{ConvTranspose, Tensor, reference};
/// # fn main() -> upconv::Result<()> {
/// // A convolution with [1 2 3] slides over 4 inputs: 1·x₀ + 2·x₁ + 3·x₂ and 1·x₁ + 2·x₂ + 3·x₃.
/// let weight = from_convolution(&Tensor::f32([1, 1, 1, 3], [1.0, 2.0, 3.0])?, 1)?;
/// let op = ConvTranspose::builder().kernel([1, 3]).padding([0, 2]).build()?;
/// let x = Tensor::f32([1, 1, 1, 4], [1.0, 10.0, 100.0, 1000.0])?;
/// assert_eq!(reference::run(&op, &x, &weight, None)?.to_f32(), [321.0, 3210.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Shape`] for a weight that has not four axes, [`Error::OutOfRange`] for groups that do not divide its first.
pub fn from_convolution<'a>(weight: impl Into<TensorView<'a>>, groups: usize) -> Result<Tensor> {
    let weight = weight.into();
    let [out_channels, in_group, h, w] = four_axes(weight.shape())?;
    if groups == 0 || !out_channels.is_multiple_of(groups) {
        let expected = format!("a divisor of the {out_channels} output channels");
        return Err(Error::OutOfRange { what: "groups".into(), given: groups as i128, expected });
    }
    let (out_group, taps) = (out_channels / groups, h * w);
    let mut order = Vec::with_capacity(out_channels * in_group * taps);
    for group in 0..groups {
        for ci in 0..in_group {
            for co in group * out_group..(group + 1) * out_group {
                // Rotated by 180°, the taps are read backwards.
                order.extend((0..taps).rev().map(|tap| (co * in_group + ci) * taps + tap));
            }
        }
    }
    weight.select([groups * in_group, out_group, h, w], order)
}
