//! What is computed: the description of a transposed convolution, its validation, and the formula of its output size.

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layout::{Layout, Strides, WeightLayout};
use crate::tensor::element_count;

/// One spatial axis of the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Number of taps, at least 1.
    pub kernel: usize,
    /// Distance on the output between the windows of two neighbouring inputs, at least 1.
    pub stride: usize,
    /// Distance on the output between two neighbouring taps of a window, at least 1.
    pub dilation: usize,
    /// Number of elements cropped from the beginning of the full output; negative pads it instead.
    pub pad_begin: i64,
    /// Number of elements cropped from the end of the full output; negative pads it instead.
    pub pad_end: i64,
    /// Number of elements by which the output is longer at its end.
    pub output_padding: usize,
}

impl Axis {
    /// The axis that changes nothing: what an operation of lower rank has in place of the missing axes.
    pub const UNIT: Axis = Axis { kernel: 1, stride: 1, dilation: 1, pad_begin: 0, pad_end: 0, output_padding: 0 };

    /// The output extent for `input` elements; `index` numbers the axis in the error.
    ///
    /// `(input − 1)·stride + dilation·(kernel − 1) + 1 + output_padding − pad_begin − pad_end`, checked, in 64 bits.
    /// This is the one place where an output size is computed.
    ///
    /// # Errors
    /// [`Error::OutputSize`] where less than one element is left, [`Error::Overflow`] where 64 bits do not suffice,
    /// [`Error::OutOfRange`] for no input.
    pub fn output_extent(&self, index: usize, input: usize) -> Result<usize> {
        if input == 0 {
            let what = format!("input size on axis {index}");
            return Err(Error::OutOfRange { what, given: 0, expected: "at least 1".into() });
        }
        let computed = self.full_extent(index, input)?;
        match usize::try_from(computed) {
            Ok(extent) if extent > 0 => Ok(extent),
            _ => Err(Error::OutputSize {
                axis: index,
                computed,
                input,
                stride: self.stride,
                dilation: self.dilation,
                kernel: self.kernel,
                output_padding: self.output_padding,
                pad_begin: self.pad_begin,
                pad_end: self.pad_end,
            }),
        }
    }

    /// How far a window reaches: the distance of its last tap from its first.
    pub(crate) fn reach(&self) -> i64 {
        (self.kernel as i64 - 1) * self.dilation as i64
    }

    /// The formula, whatever its sign.
    fn full_extent(&self, index: usize, input: usize) -> Result<i64> {
        let int = |x: usize| i64::try_from(x).ok();
        let extent = || {
            int(input - 1)?
                .checked_mul(int(self.stride)?)?
                .checked_add(int(self.dilation)?.checked_mul(int(self.kernel)? - 1)?)?
                .checked_add(1)?
                .checked_add(int(self.output_padding)?)?
                .checked_sub(self.pad_begin)?
                .checked_sub(self.pad_end)
        };
        extent().ok_or_else(|| Error::Overflow {
            what: "output size",
            detail: format!("axis {index} of {self:?} at input {input} does not fit in 64 bits"),
        })
    }
}

/// The cropping of one axis, as [`Builder::padding`] takes it: one number for both ends, or a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    begin: i64,
    end: i64,
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
    in_channels: usize,
    out_channels: usize,
    groups: usize,
    rank: usize,
    axes: [Axis; 3],
    layout: Layout,
    weight_layout: WeightLayout,
    activation: Activation,
}

impl ConvTranspose {
    /// Starts a description.
    pub fn builder() -> Builder {
        Builder::default()
    }

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

    /// The operation at one input shape: batch, channels and spatial extents in the order of
    /// [`layout`](Self::layout); the batch axis may be missing, and is then missing from the output too.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong number of axes or channels, and what [`Axis::output_extent`] refuses. A batch of
    /// 0 is valid and gives an empty output.
    pub fn at(&self, input_shape: &[usize]) -> Result<Geometry> {
        let (batch, spatial) = self.split(input_shape)?;
        let (mut input, mut output) = ([1; 3], [1; 3]);
        let first = 3 - self.rank;
        for (index, (axis, &extent)) in self.axes().iter().zip(spatial).enumerate() {
            input[first + index] = extent;
            output[first + index] = axis.output_extent(index, extent)?;
        }
        let geometry = Geometry {
            batch: batch.unwrap_or(1),
            batched: batch.is_some(),
            rank: self.rank,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            input,
            output,
            layout: self.layout,
        };
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

/// A [`ConvTranspose`] at one input shape: everything about sizes that a backend needs.
///
/// Spatial extents are always three, (d, h, w), those of missing axes being 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Number of independent inputs; may be 0.
    pub batch: usize,
    /// Whether the tensors have a batch axis.
    pub batched: bool,
    /// Number of spatial axes of the tensors.
    pub rank: usize,
    /// Number of input channels.
    pub in_channels: usize,
    /// Number of output channels.
    pub out_channels: usize,
    /// Spatial extents of the input.
    pub input: [usize; 3],
    /// Spatial extents of the output.
    pub output: [usize; 3],
    /// The order of the axes of input and output.
    pub layout: Layout,
}

impl Geometry {
    /// The input's shape, in the order of the layout.
    pub fn input_shape(&self) -> Vec<usize> {
        self.shape(self.in_channels, &self.input)
    }

    /// The output's shape, in the order of the layout.
    pub fn output_shape(&self) -> Vec<usize> {
        self.shape(self.out_channels, &self.output)
    }

    /// The number of input elements.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.input.iter().product::<usize>()
    }

    /// The number of output elements.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_channels * self.output.iter().product::<usize>()
    }

    /// The strides of the input.
    pub fn input_strides(&self) -> Strides {
        self.layout.strides(self.in_channels, &self.input)
    }

    /// The strides of the output.
    pub fn output_strides(&self) -> Strides {
        self.layout.strides(self.out_channels, &self.output)
    }

    fn shape(&self, channels: usize, extents: &[usize; 3]) -> Vec<usize> {
        let spatial = &extents[3 - self.rank..];
        let mut shape = self.layout.shape(channels, spatial);
        if self.batched {
            shape.insert(0, self.batch);
        }
        shape
    }
}

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
    layout: Layout,
    weight_layout: WeightLayout,
    activation: Activation,
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
            layout: Layout::ChannelsFirst,
            weight_layout: WeightLayout::Iohw,
            activation: Activation::None,
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

    /// Validates the description.
    ///
    /// # Errors
    /// The first thing that is wrong: the number of axes, a value below 1, groups that do not divide the channels, an
    /// `output_padding` beyond its bound, the activation's parameters.
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
        let mut axes = [Axis::UNIT; 3];
        for (index, axis) in axes[3 - rank..].iter_mut().enumerate() {
            *axis = Axis {
                kernel: at_least_one(&format!("kernel on axis {index}"), self.kernel[index])?,
                stride: at_least_one(&format!("stride on axis {index}"), stride[index])?,
                dilation: at_least_one(&format!("dilation on axis {index}"), dilation[index])?,
                pad_begin: padding[index].begin,
                pad_end: padding[index].end,
                output_padding: output_padding[index],
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
        self.activation.validate(self.out_channels)?;
        let op = ConvTranspose {
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            groups: self.groups,
            rank,
            axes,
            layout: self.layout,
            weight_layout: self.weight_layout,
            activation: self.activation,
        };
        element_count(&op.weight_shape())?;
        for (index, axis) in op.axes().iter().enumerate() {
            axis.full_extent(index, 1)?;
        }
        Ok(op)
    }
}

fn axis_count(what: &'static str, given: usize, expected: usize) -> Result<()> {
    if given == expected { Ok(()) } else { Err(Error::AxisCount { what, given, expected }) }
}

fn per_axis<T: Clone>(what: &'static str, given: Option<Vec<T>>, rank: usize, default: T) -> Result<Vec<T>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(builder: Builder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn output_size_is_the_formula() {
        let axis = Axis { kernel: 4, stride: 3, dilation: 2, pad_begin: 1, pad_end: 2, output_padding: 1 };
        assert_eq!(axis.output_extent(0, 5).unwrap(), 4 * 3 + 2 * 3 + 1 + 1 - 1 - 2);
        let negative = Axis { pad_begin: -3, pad_end: -1, ..axis };
        assert_eq!(negative.output_extent(0, 1).unwrap(), 6 + 1 + 1 + 4);
    }

    #[test]
    fn an_empty_output_is_refused_with_its_numbers() {
        let op = ConvTranspose::builder().kernel([1, 3]).padding([0, 9]).build().unwrap();
        assert_eq!(
            op.at(&[1, 1, 2, 4]).unwrap_err().to_string(),
            "output size on axis 1 is -12, expected at least 1: (input 4 - 1) * stride 1 + dilation 1 * (kernel 3 - 1) \
             + 1 + output_padding 0 - padding (9, 9)"
        );
    }

    #[test]
    fn padding_beyond_the_kernel_is_valid_while_something_is_left() {
        let op = ConvTranspose::builder().kernel([3]).padding([4]).build().unwrap();
        assert_eq!(op.at(&[1, 1, 7]).unwrap().output, [1, 1, 1]);
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let op = ConvTranspose::builder().kernel([2]).stride([1 << 40]).build().unwrap();
        assert!(matches!(op.at(&[1, 1, 1 << 30]), Err(Error::Overflow { .. })));
        assert_eq!(
            refusal(ConvTranspose::builder().kernel([2]).stride([1 << 41])),
            "stride on axis 0 is 2199023255552, expected 1 to 1099511627776"
        );
        assert!(matches!(
            ConvTranspose::builder().kernel([1 << 30]).dilation([1 << 40]).build(),
            Err(Error::Overflow { .. })
        ));
        let op = ConvTranspose::builder().kernel([1, 1]).stride([1 << 32, 1 << 32]).build().unwrap();
        assert!(matches!(op.at(&[1, 1, 2, 2]), Err(Error::Overflow { .. })));
        assert!(matches!(ConvTranspose::builder().kernel([1 << 33, 1 << 33]).build(), Err(Error::Overflow { .. })));
    }

    #[test]
    fn descriptions_are_refused_with_their_numbers() {
        let base = || ConvTranspose::builder().in_channels(4).out_channels(6).kernel([3, 3]);
        assert_eq!(refusal(ConvTranspose::builder()), "the kernel has 0 axes, expected 1, 2 or 3");
        assert_eq!(
            refusal(base().groups(4)),
            "groups 4 must divide in_channels 4 and out_channels 6 (remainders 0 and 2)"
        );
        assert_eq!(refusal(base().groups(0)), "groups is 0, expected at least 1");
        assert_eq!(refusal(base().stride([1, 0])), "stride on axis 1 is 0, expected at least 1");
        assert_eq!(refusal(base().stride([2])), "stride has 1 values, expected 2: one for each spatial axis");
        assert_eq!(
            refusal(base().stride([2, 2]).dilation([1, 3]).output_padding([1, 3])),
            "output_padding 3 on axis 1 must be smaller than stride 2 or dilation 3"
        );
        let lenient = base().output_padding([5, 5]).output_padding_policy(OutputPaddingPolicy::Lenient);
        assert_eq!(lenient.build().unwrap().at(&[4, 2, 2]).unwrap().output_shape(), [6, 9, 9]);
    }

    #[test]
    fn inputs_may_come_without_a_batch_and_with_the_channels_last() {
        let op = ConvTranspose::builder()
            .in_channels(2)
            .out_channels(3)
            .kernel([2, 2])
            .stride([2, 2])
            .layout(Layout::ChannelsLast)
            .build()
            .unwrap();
        assert_eq!(op.at(&[4, 5, 2]).unwrap().output_shape(), [8, 10, 3]);
        assert_eq!(op.at(&[0, 4, 5, 2]).unwrap().output_shape(), [0, 8, 10, 3]);
        assert_eq!(
            op.at(&[1, 2, 4, 5]).unwrap_err().to_string(),
            "input has shape [1, 2, 4, 5], expected nhwc with 2 channels, the batch optional"
        );
        assert!(op.at(&[0, 5, 2]).is_err(), "a spatial extent of 0 is an error");
    }
}
