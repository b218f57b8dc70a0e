//! The ordinary convolution, whose transpose this library is about: its description, and the transposed convolution that
//! computes it.

use super::axis::Axis;
use super::builder::{Pad, per_axis};
use super::conv_transpose::ConvTranspose;
use super::geometry::Geometry;
use crate::accuracy::Accuracy;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layout::{Layout, WeightLayout};
use crate::tensor::{Tensor, TensorView};

/// The description of an ordinary convolution over 1, 2 or 3 spatial axes, with stride, dilation, groups and padding;
/// immutable and valid once built.
///
/// Output `o` and tap `k` of an axis read input `o·stride + k·dilation − pad_begin`, which is 0 outside the input
/// (what machine learning calls convolution: the kernel is not turned).
///
/// It is the adjoint of the transposed convolution of the same stride, dilation and padding, whose [input
/// gradient](crate::reference::input_gradient) it computes; [`adjoint`](Self::adjoint) leads from one to the other. And it
/// is itself computed as a transposed convolution: that of stride 1 with the kernel turned by 180°, of whose output every
/// stride-th element is kept ([`transposed`](Self::transposed)), so that every kernel, layout, type and
/// fusion of this library serves it.
///
/// ```
/// use upconv::{Convolution, Tensor, reference};
/// # fn main() -> upconv::Result<()> {
/// let conv = Convolution::builder().kernel([3]).stride([2]).padding([1]).build()?;
/// let x = Tensor::f32([1, 1, 5], [1.0, 2.0, 3.0, 4.0, 5.0])?;
/// let weight = Tensor::f32([1, 1, 3], [1.0, 10.0, 100.0])?;
/// let y = reference::run(conv.transposed(), &x, &conv.turned(&weight)?, None)?;
/// assert_eq!(y.to_f32(), [210.0, 432.0, 54.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// What computes it, with weights in the order `iohw`.
    op: ConvTranspose,
    /// The order of its own weights.
    weight_layout: WeightLayout,
}

/// Collects the description of a [`Convolution`]; [`build`](ConvolutionBuilder::build) validates it.
#[derive(Clone, Debug, Default)]
pub struct ConvolutionBuilder {
    in_channels: Option<usize>,
    out_channels: Option<usize>,
    groups: Option<usize>,
    kernel: Vec<usize>,
    stride: Option<Vec<usize>>,
    padding: Option<Vec<Pad>>,
    dilation: Option<Vec<usize>>,
    layout: Layout,
    weight_layout: Option<WeightLayout>,
    activation: Activation,
    pre_activation: Activation,
    accuracy: Accuracy,
}

impl ConvolutionBuilder {
    /// Number of input channels over all groups; 1 by default.
    pub fn in_channels(mut self, in_channels: usize) -> Self {
        self.in_channels = Some(in_channels);
        self
    }

    /// Number of output channels over all groups; 1 by default.
    pub fn out_channels(mut self, out_channels: usize) -> Self {
        self.out_channels = Some(out_channels);
        self
    }

    /// Number of groups, each of which connects its own share of input and output channels; 1 by default.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = Some(groups);
        self
    }

    /// The kernel's extents, in the order (d, h, w); their number is the operation's rank. Required.
    pub fn kernel(mut self, kernel: impl IntoIterator<Item = usize>) -> Self {
        self.kernel = kernel.into_iter().collect();
        self
    }

    /// The distance between the inputs of neighbouring outputs on each axis; 1 by default.
    pub fn stride(mut self, stride: impl IntoIterator<Item = usize>) -> Self {
        self.stride = Some(stride.into_iter().collect());
        self
    }

    /// The zeros around the input on each axis: a number for both ends, or a pair (begin, end); 0 by default. Negative ones
    /// crop it.
    pub fn padding<P: Into<Pad>>(mut self, padding: impl IntoIterator<Item = P>) -> Self {
        self.padding = Some(padding.into_iter().map(Into::into).collect());
        self
    }

    /// The distance between the inputs of neighbouring taps on each axis; 1 by default.
    pub fn dilation(mut self, dilation: impl IntoIterator<Item = usize>) -> Self {
        self.dilation = Some(dilation.into_iter().collect());
        self
    }

    /// The order of the input's and the output's axes; channels first by default.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// The order of the weight's axes, in which `o` stands for all output channels and `i` for the input channels of one
    /// group; `oihw`, PyTorch's and ONNX's, by default.
    pub fn weight_layout(mut self, layout: WeightLayout) -> Self {
        self.weight_layout = Some(layout);
        self
    }

    /// What is applied after the bias; nothing by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// What is applied to each input element before the products; nothing by default. The zeros around the input stay
    /// zeros.
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
    /// As [`Builder::build`](super::Builder::build); [`Error::Overflow`] where a window reaches beyond 64 bits.
    pub fn build(self) -> Result<Convolution> {
        let rank = self.kernel.len();
        let stride = per_axis("stride", self.stride, rank, 1)?;
        let padding = per_axis("padding", self.padding, rank, Pad { begin: 0, end: 0 })?;
        let dilation = per_axis("dilation", self.dilation, rank, 1)?;
        let (in_channels, out_channels) = (self.in_channels.unwrap_or(1), self.out_channels.unwrap_or(1));
        // The transposed convolution of the same numbers has the same restrictions, and says so in the same words.
        let mirror = ConvTranspose::builder()
            .in_channels(in_channels)
            .out_channels(out_channels)
            .groups(self.groups.unwrap_or(1))
            .kernel(self.kernel)
            .stride(stride)
            .padding(padding)
            .dilation(dilation)
            .layout(self.layout)
            .activation(self.activation)
            .pre_activation(self.pre_activation)
            .accuracy(self.accuracy)
            .build()?;
        Ok(Convolution { op: turned(&mirror), weight_layout: self.weight_layout.unwrap_or(WeightLayout::Oihw) })
    }
}

/// The axes of a convolution with these strides, paddings and dilations, as those of the transposed one that computes it;
/// and back.
fn turned(op: &ConvTranspose) -> ConvTranspose {
    let mut turned = op.clone();
    for axis in &mut turned.axes {
        let (reach, stride, decimation) = (axis.reach(), axis.decimation, axis.stride);
        let (pad_begin, pad_end) = (reach - axis.pad_begin, reach - axis.pad_end);
        *axis = Axis { stride, decimation, pad_begin, pad_end, output_padding: 0, ..*axis };
    }
    turned
}

impl Convolution {
    /// Starts a description.
    pub fn builder() -> ConvolutionBuilder {
        ConvolutionBuilder::default()
    }

    /// Number of input channels, over all groups.
    pub fn in_channels(&self) -> usize {
        self.op.in_channels()
    }

    /// Number of output channels, over all groups.
    pub fn out_channels(&self) -> usize {
        self.op.out_channels()
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.op.groups()
    }

    /// Number of spatial axes: 1, 2 or 3.
    pub fn rank(&self) -> usize {
        self.op.rank()
    }

    /// The extents of the kernel, in the order (d, h, w).
    pub fn kernel(&self) -> Vec<usize> {
        self.op.axes().iter().map(|axis| axis.kernel).collect()
    }

    /// The distance between the inputs of neighbouring outputs on each axis.
    pub fn stride(&self) -> Vec<usize> {
        self.op.axes().iter().map(|axis| axis.decimation).collect()
    }

    /// The zeros before and after the input on each axis.
    pub fn padding(&self) -> Vec<(i64, i64)> {
        let padding = |axis: &Axis| (axis.reach() - axis.pad_begin, axis.reach() - axis.pad_end);
        self.op.axes().iter().map(padding).collect()
    }

    /// The distance between the inputs of neighbouring taps on each axis.
    pub fn dilation(&self) -> Vec<usize> {
        self.op.axes().iter().map(|axis| axis.dilation).collect()
    }

    /// The order of the input's and the output's axes.
    pub fn layout(&self) -> Layout {
        self.op.layout()
    }

    /// The order of the weight's axes, in which `o` stands for all output channels and `i` for the input channels of one
    /// group.
    pub fn weight_layout(&self) -> WeightLayout {
        self.weight_layout
    }

    /// What is applied after the bias.
    pub fn activation(&self) -> &Activation {
        self.op.activation()
    }

    /// What is applied to each input element before the products.
    pub fn pre_activation(&self) -> &Activation {
        self.op.pre_activation()
    }

    /// How exact the result has to be.
    pub fn accuracy(&self) -> Accuracy {
        self.op.accuracy()
    }

    /// The shape the weight must have, in the order of [`weight_layout`](Self::weight_layout).
    pub fn weight_shape(&self) -> Vec<usize> {
        self.weight_layout.shape(self.in_channels() / self.groups(), self.out_channels(), &self.kernel())
    }

    /// The operation at one input shape, its batch optional: the output has
    /// `⌊(input + pad_begin + pad_end − dilation·(kernel − 1) − 1) / stride⌋ + 1` elements on each axis.
    ///
    /// # Errors
    /// As [`ConvTranspose::at`].
    pub fn at(&self, input_shape: &[usize]) -> Result<Geometry> {
        self.op.at(input_shape)
    }

    /// The same convolution with other zeros around its input, `(begin, end)` for each axis.
    pub(crate) fn with_padding(&self, padding: &[(i64, i64)]) -> Result<Self> {
        let reach = self.op.axes().iter().map(Axis::reach);
        let pads: Vec<_> = padding.iter().zip(reach).map(|(pad, reach)| (reach - pad.0, reach - pad.1, 0)).collect();
        Ok(Self { op: self.op.with_pads(&pads)?, weight_layout: self.weight_layout })
    }

    /// The transposed convolution that computes it, of stride 1, of whose output every
    /// [`stride`](Self::stride)-th element is kept. Its weight, in the order `iohw`, is the convolution's own,
    /// [`turned`](Self::turned).
    pub fn transposed(&self) -> &ConvTranspose {
        &self.op
    }

    /// A weight of [`weight_shape`](Self::weight_shape) as [`transposed`](Self::transposed) takes it: every kernel turned
    /// by 180°, in the order `iohw`. The element type stays.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn turned<'a>(&self, weight: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let weight = weight.into();
        let expected = self.weight_shape();
        if weight.shape() != expected {
            let expected = format!("{expected:?} ({})", self.weight_layout.letters(self.rank()));
            return Err(Error::Shape { what: "weight of a convolution", given: weight.shape().to_vec(), expected });
        }
        weight.select(self.op.weight_shape(), self.order())
    }

    /// A weight, or the gradient of one, that is as [`transposed`](Self::transposed) has it in the convolution's own order,
    /// of [`weight_shape`](Self::weight_shape): what [`turned`](Self::turned) did is undone.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn turned_back<'a>(&self, weight: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let weight = weight.into();
        let expected = self.op.weight_shape();
        if weight.shape() != expected {
            let expected = format!("{expected:?} (the transposed form's)");
            return Err(Error::Shape { what: "weight of a convolution", given: weight.shape().to_vec(), expected });
        }
        let mut back = vec![0; expected.iter().product()];
        for (turned, own) in self.order().into_iter().enumerate() {
            back[own] = turned;
        }
        weight.select(self.weight_shape(), back)
    }

    /// Where each element of the turned weight lies in the convolution's own.
    fn order(&self) -> Vec<usize> {
        let groups = self.groups();
        let kernel = self.op.axes3().map(|axis| axis.kernel);
        let (in_group, out_group) = (self.in_channels() / groups, self.out_channels() / groups);
        let strides = self.weight_layout.strides(in_group, self.out_channels(), &kernel);
        let [kd, kh, kw] = kernel;
        let mut order = Vec::with_capacity(self.op.weight_shape().iter().product());
        for ci in 0..self.in_channels() {
            for co in ci / in_group * out_group..(ci / in_group + 1) * out_group {
                let channels = ci % in_group * strides.input + co * strides.output;
                let [sd, sh, sw] = strides.spatial;
                let rows = (0..kd).rev().flat_map(|z| (0..kh).rev().map(move |y| channels + z * sd + y * sh));
                order.extend(rows.flat_map(|row| (0..kw).rev().map(move |x| row + x * sw)));
            }
        }
        order
    }

    /// The transposed convolution whose adjoint this is: with the same weight, in the order of the same letters with `i`
    /// and `o` exchanged, it computes this convolution's input gradient, and turns its output shape into its input shape
    /// where the stride leaves nothing over. Activations are dropped: they have no adjoint.
    pub fn adjoint(&self) -> ConvTranspose {
        let mut op = swapped(&turned(&self.op));
        op.weight_layout = self.weight_layout.exchanged();
        op
    }
}

impl ConvTranspose {
    /// The ordinary convolution whose transpose this is: with the same weight, in the order of the same letters with `i`
    /// and `o` exchanged (`iohw` is a convolution's `oihw`), it computes this operation's input gradient. It turns the
    /// output's shape into the input's: where the output padding reaches the stride, the convolution pads less at the end.
    /// Activations are dropped: they have no adjoint.
    ///
    /// ```
    /// use upconv::ConvTranspose;
    /// # fn main() -> upconv::Result<()> {
    /// let op = ConvTranspose::builder().in_channels(8).out_channels(3).kernel([4, 4]).stride([2, 2]).padding([1, 1]).build()?;
    /// let conv = op.adjoint();
    /// let output = op.at(&[1, 8, 5, 7])?.output_shape();
    /// assert_eq!(conv.at(&output)?.output_shape(), [1, 8, 5, 7]);
    /// assert_eq!(conv.weight_shape(), op.weight_shape());
    /// assert_eq!(conv.adjoint(), op);
    /// # Ok(())
    /// # }
    /// ```
    pub fn adjoint(&self) -> Convolution {
        let mut op = self.clone();
        for axis in &mut op.axes {
            axis.pad_end -= (axis.output_padding / axis.stride * axis.stride) as i64;
        }
        let mut op = turned(&swapped(&op));
        op.weight_layout = WeightLayout::Iohw;
        Convolution { op, weight_layout: self.weight_layout.exchanged() }
    }
}

/// The operation with its inputs and outputs exchanged, its axes as they are.
fn swapped(op: &ConvTranspose) -> ConvTranspose {
    ConvTranspose {
        in_channels: op.out_channels,
        out_channels: op.in_channels,
        activation: Activation::None,
        pre_activation: Activation::None,
        // Gradients are computed element by element.
        accuracy: Accuracy::Elementwise,
        ..op.clone()
    }
}

impl Geometry {
    /// The operation that computes the input gradient at these shapes, from outputs to inputs: its weight is this one's
    /// with the channels exchanged and every kernel turned.
    #[cfg(any(feature = "gpu", feature = "cpu"))]
    pub(crate) fn adjoint(&self) -> ConvTranspose {
        let mut op = swapped(&self.op);
        for (a, axis) in op.axes.iter_mut().enumerate() {
            *axis = axis.adjoint(self.input[a], self.output[a]);
        }
        op
    }
}
