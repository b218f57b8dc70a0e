//! Collects and validates the description of an operation.

use super::axis::Axis;
use super::conv_transpose::{ConvTranspose, axis_count};
use crate::accuracy::Accuracy;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layout::{Layout, WeightLayout};
use crate::tensor::element_count;

/// The cropping of one axis, as [`Builder::padding`] takes it: one number for both ends, or a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    pub(super) begin: i64,
    pub(super) end: i64,
}

macro_rules! pad_from {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Pad {
            fn from(both: $integer) -> Self {
                (both, both).into()
            }
        }

        impl From<($integer, $integer)> for Pad {
            fn from((begin, end): ($integer, $integer)) -> Self {
                // A pad beyond 63 bits saturates and is then refused by the output size.
                let int = |x: $integer| i64::try_from(x).unwrap_or(i64::MAX);
                Self { begin: int(begin), end: int(end) }
            }
        }
    )*};
}
pad_from!(i32, i64, usize);

/// How large `output_padding` may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutputPaddingPolicy {
    /// Below `max(stride, dilation)`, as PyTorch and the text of ONNX demand: beyond it the extra elements are
    /// nothing but bias.
    #[default]
    Strict,
    /// Any size, as ncnn, burn and candle allow.
    Lenient,
}

/// The largest kernel, stride, dilation, padding or output padding: what keeps all later sums within 64 bits.
const MAX_AXIS_VALUE: i64 = 1 << 40;

/// Collects the description; [`build`](Builder::build) validates it.
#[derive(Clone, Debug)]
pub struct Builder {
    in_channels: usize,
    out_channels: usize,
    groups: usize,
    kernel: Vec<usize>,
    stride: Option<Vec<usize>>,
    padding: Option<Vec<Pad>>,
    dilation: Option<Vec<usize>>,
    output_padding: Option<Vec<usize>>,
    policy: OutputPaddingPolicy,
    /// See [`Axis::decimation`]; one for each axis, and none beside a stride.
    pub(super) decimation: Option<Vec<usize>>,
    layout: Layout,
    weight_layout: WeightLayout,
    activation: Activation,
    pre_activation: Activation,
    accuracy: Accuracy,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            in_channels: 1,
            out_channels: 1,
            groups: 1,
            kernel: Vec::new(),
            stride: None,
            padding: None,
            dilation: None,
            output_padding: None,
            policy: OutputPaddingPolicy::Strict,
            decimation: None,
            layout: Layout::ChannelsFirst,
            weight_layout: WeightLayout::Iohw,
            activation: Activation::None,
            pre_activation: Activation::None,
            accuracy: Accuracy::default(),
        }
    }
}

impl ConvTranspose {
    /// Starts a description.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A description that starts from this one, to be changed and built again. Its output padding may be of any size.
    pub fn to_builder(&self) -> Builder {
        let each = |value: fn(&Axis) -> usize| self.axes().iter().map(value).collect::<Vec<_>>();
        Builder {
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            groups: self.groups,
            kernel: each(|axis| axis.kernel),
            stride: Some(each(|axis| axis.stride)),
            padding: Some(self.axes().iter().map(|axis| Pad { begin: axis.pad_begin, end: axis.pad_end }).collect()),
            dilation: Some(each(|axis| axis.dilation)),
            output_padding: Some(each(|axis| axis.output_padding)),
            policy: OutputPaddingPolicy::Lenient,
            decimation: self.is_decimated().then(|| each(|axis| axis.decimation)),
            layout: self.layout,
            weight_layout: self.weight_layout,
            activation: self.activation.clone(),
            pre_activation: self.pre_activation.clone(),
            accuracy: self.accuracy,
        }
    }
}

impl Builder {
    /// Number of input channels; 1 by default.
    pub fn in_channels(mut self, in_channels: usize) -> Self {
        self.in_channels = in_channels;
        self
    }

    /// Number of output channels over all groups; 1 by default.
    pub fn out_channels(mut self, out_channels: usize) -> Self {
        self.out_channels = out_channels;
        self
    }

    /// Number of groups, each of which connects its own share of input and output channels; 1 by default.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// The kernel's extents, in the order (d, h, w); their number is the operation's rank. Required.
    pub fn kernel(mut self, kernel: impl IntoIterator<Item = usize>) -> Self {
        self.kernel = kernel.into_iter().collect();
        self
    }

    /// The stride of each axis; 1 by default.
    pub fn stride(mut self, stride: impl IntoIterator<Item = usize>) -> Self {
        self.stride = Some(stride.into_iter().collect());
        self
    }

    /// What is cropped from each axis of the output: a number for both ends, or a pair (begin, end); 0 by default.
    pub fn padding<P: Into<Pad>>(mut self, padding: impl IntoIterator<Item = P>) -> Self {
        self.padding = Some(padding.into_iter().map(Into::into).collect());
        self
    }

    /// The dilation of each axis; 1 by default.
    pub fn dilation(mut self, dilation: impl IntoIterator<Item = usize>) -> Self {
        self.dilation = Some(dilation.into_iter().collect());
        self
    }

    /// The elements by which each axis of the output is longer at its end; 0 by default.
    pub fn output_padding(mut self, output_padding: impl IntoIterator<Item = usize>) -> Self {
        self.output_padding = Some(output_padding.into_iter().collect());
        self
    }

    /// How large `output_padding` may be; [`OutputPaddingPolicy::Strict`] by default.
    pub fn output_padding_policy(mut self, policy: OutputPaddingPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The order of the input's and the output's axes; channels first by default.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// The order of the weight's axes; `iohw`, PyTorch's and ONNX's, by default.
    pub fn weight_layout(mut self, layout: WeightLayout) -> Self {
        self.weight_layout = layout;
        self
    }

    /// What is applied after the bias; nothing by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// What is applied to each input element before the products; nothing by default. No input is made up: outside the
    /// input there is nothing to apply it to.
    pub fn pre_activation(mut self, activation: Activation) -> Self {
        self.pre_activation = activation;
        self
    }

    /// How exact the result has to be; [`Accuracy::Elementwise`] by default.
    pub fn accuracy(mut self, accuracy: Accuracy) -> Self {
        self.accuracy = accuracy;
        self
    }

    /// Validates the description.
    ///
    /// # Errors
    /// The first thing that is wrong: the number of axes, a value below 1, groups that do not divide the channels, an
    /// `output_padding` beyond its bound, the activations' parameters.
    pub fn build(self) -> Result<ConvTranspose> {
        let rank = self.kernel.len();
        if !(1..=3).contains(&rank) {
            return Err(Error::Rank { given: rank });
        }
        for (what, value) in
            [("in_channels", self.in_channels), ("groups", self.groups), ("out_channels", self.out_channels)]
        {
            at_least_one(what, value)?;
        }
        if !self.in_channels.is_multiple_of(self.groups) || !self.out_channels.is_multiple_of(self.groups) {
            return Err(Error::Groups {
                groups: self.groups,
                in_channels: self.in_channels,
                out_channels: self.out_channels,
            });
        }
        let stride = per_axis("stride", self.stride, rank, 1)?;
        let dilation = per_axis("dilation", self.dilation, rank, 1)?;
        let output_padding = per_axis("output_padding", self.output_padding, rank, 0)?;
        let padding = per_axis("padding", self.padding, rank, Pad { begin: 0, end: 0 })?;
        let decimation = per_axis("decimation", self.decimation, rank, 1)?;
        if decimation.iter().any(|&step| step > 1) && stride.iter().any(|&step| step > 1) {
            return Err(Error::OutOfRange {
                what: "stride of the transposed form of an ordinary convolution".into(),
                given: stride.iter().copied().max().unwrap_or(1) as i128,
                expected: "1: the convolution's own is the decimation".into(),
            });
        }
        let mut axes = [Axis::UNIT; 3];
        for (index, axis) in axes[3 - rank..].iter_mut().enumerate() {
            *axis = Axis {
                kernel: at_least_one(&format!("kernel on axis {index}"), self.kernel[index])?,
                stride: at_least_one(&format!("stride on axis {index}"), stride[index])?,
                dilation: at_least_one(&format!("dilation on axis {index}"), dilation[index])?,
                pad_begin: padding[index].begin,
                pad_end: padding[index].end,
                output_padding: output_padding[index],
                decimation: decimation[index],
            };
            check_pad(index, axis.pad_begin)?;
            check_pad(index, axis.pad_end)?;
            within(&format!("output_padding on axis {index}"), axis.output_padding as i128, 0)?;
            if self.policy == OutputPaddingPolicy::Strict && axis.output_padding >= axis.stride.max(axis.dilation) {
                return Err(Error::OutputPadding {
                    axis: index,
                    output_padding: axis.output_padding,
                    stride: axis.stride,
                    dilation: axis.dilation,
                });
            }
        }
        self.activation.validate(self.out_channels, "output")?;
        self.pre_activation.validate(self.in_channels, "input")?;
        let op = ConvTranspose {
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            groups: self.groups,
            rank,
            axes,
            layout: self.layout,
            weight_layout: self.weight_layout,
            activation: self.activation,
            pre_activation: self.pre_activation,
            accuracy: self.accuracy,
        };
        element_count(&op.weight_shape())?;
        for (index, axis) in op.axes().iter().enumerate() {
            axis.full_extent(index, 1)?;
        }
        Ok(op)
    }
}

pub(super) fn per_axis<T: Clone>(what: &'static str, given: Option<Vec<T>>, rank: usize, default: T) -> Result<Vec<T>> {
    let values = given.unwrap_or_else(|| vec![default; rank]);
    axis_count(what, values.len(), rank)?;
    Ok(values)
}

fn at_least_one(what: &str, value: usize) -> Result<usize> {
    if value == 0 {
        return Err(Error::OutOfRange { what: what.into(), given: 0, expected: "at least 1".into() });
    }
    within(what, value as i128, 1)?;
    Ok(value)
}

pub(crate) fn check_pad(index: usize, pad: i64) -> Result<()> {
    within(&format!("padding on axis {index}"), pad.into(), -MAX_AXIS_VALUE)
}

fn within(what: &str, given: i128, least: i64) -> Result<()> {
    if (i128::from(least)..=i128::from(MAX_AXIS_VALUE)).contains(&given) {
        return Ok(());
    }
    Err(Error::OutOfRange { what: what.into(), given, expected: format!("{least} to {MAX_AXIS_VALUE}") })
}
