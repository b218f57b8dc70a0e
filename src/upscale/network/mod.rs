//! Trained networks that enlarge pictures: convolutions and transposed convolutions, one after another.
//!
//! # One operation
//! A convolution of stride 1 is a transposed convolution of stride 1 whose kernel is turned by half a circle, whose
//! channels trade places, and which crops what is left of the full output: with kernel K, dilation d and padding p,
//!
//! ```text
//! w'[ci, co, ky, kx] = w[co, ci, K − 1 − ky, K − 1 − kx]        p' = d·(K − 1) − p
//! ```
//!
//! ([`from_convolution`]). So a whole network is a [chain](crate::gpu::Chain) of this library's one operation: its
//! weights are packed once, its activations stay on the device.
//!
//! # Borders and tiles
//! A network reads `border` pixels on each side of what it enlarges, and below and to the right of it a few more where
//! its layers are computed in blocks ([`Network::border_end`]). Beyond the picture its outermost pixels are
//! replicated ([`Network::pad`]); between the tiles of a picture the neighbours stand there. What a network makes
//! beyond `scale` times the picture is cut off ([`Network::trim`]). [`Network::new`] proves that no output that is kept
//! depends on anything beyond the border, at any layer: a picture in tiles is the same picture.
//!
//! # The file
//! A safetensors file: the tensors, of type F16, BF16, F32 or F64, and in its `__metadata__` under the key `upconv` a
//! JSON object:
//!
//! ```json
//! {
//!   "version": 1,
//!   "scale": 2,
//!   "border": 7,
//!   "colour": "rgb",
//!   "layers": [
//!     {"kind": "conv", "weight": "conv1.weight", "bias": "conv1.bias",
//!      "activation": {"kind": "leaky_relu", "alpha": 0.1}},
//!     {"kind": "deconv", "weight": "deconv.weight", "bias": "deconv.bias", "stride": 2, "padding": 3}
//!   ]
//! }
//! ```
//!
//! | key | what it says |
//! |---|---|
//! | `version` | 1 |
//! | `scale` | the factor, 1 to [`MAX_SCALE`] |
//! | `border` | the pixels on each side that the network reads, 0 to [`MAX_BORDER`] |
//! | `colour` | `"rgb"`: three planes, red first, of the stored values over the largest: 0 to 1 |
//! | `layers` | 1 to [`MAX_LAYERS`] of them, in their order |
//!
//! and of a layer:
//!
//! | key | what it says | if it is missing |
//! |---|---|---|
//! | `kind` | `"conv"`, a convolution; `"deconv"`, a transposed one | |
//! | `weight` | the name of its tensor: `[out, in / groups, h, w]` of a convolution, `[in, out / groups, h, w]` of a transposed one, as PyTorch has them | |
//! | `bias` | the name of its tensor, `[out]` | none |
//! | `stride`, `padding`, `dilation` | one number, or two for (h, w); a convolution has stride 1; padding adds zeros around the input of a convolution and crops the output of a transposed one | 1, 0, 1 |
//! | `groups` | as in PyTorch | 1 |
//! | `activation` | `{"kind": "none"}`, `"relu"`, `"sigmoid"`, `"tanh"`, `"mish"`, `"gelu"`; `{"kind": "leaky_relu", "alpha": a}`; `{"kind": "prelu", "slopes": tensor's name}`; `{"kind": "clip", "min": a, "max": b}`; `{"kind": "hard_swish", "alpha": a, "beta": b}` | none |
//!
//! Other keys are refused, so that a misspelt one is not overlooked. Tensors that no layer names are allowed, other
//! keys of `__metadata__` too. [`Network::from_safetensors`] trusts nothing it reads: a file that is cut, lies about
//! lengths, offsets or shapes, or has a weight that is NaN or infinite gives one error that says where.

mod blocks;
mod description;
mod safetensors;

use super::MAX_SCALE;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::op::ConvTranspose;
use crate::reference;
use crate::tensor::{Tensor, TensorView};
#[cfg(feature = "gpu")]
use crate::{Kernel, gpu};
use blocks::{Blocks, blocks};

/// The most layers of a network.
pub const MAX_LAYERS: usize = 1024;

/// The largest border of a network.
pub const MAX_BORDER: usize = 1024;

/// The planes of a picture, and the channels of a network's input and output: red, green, blue.
pub const CHANNELS: usize = 3;

/// The network `waifu2x-photo`, which doubles photographs, as the file that [`Network::from_safetensors`] reads: the
/// model `upconv_7` of waifu2x. Copyright © 2015 nagadomi; converted © 2019 nihui; under the MIT licence, whose two
/// texts stand beside the file.
#[cfg(feature = "waifu2x")]
pub const WAIFU2X_PHOTO: &[u8] = include_bytes!("../../../assets/waifu2x-photo.safetensors");

/// The two kinds of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A convolution of stride 1, weight `[out, in / groups, h, w]`.
    Convolution,
    /// A transposed convolution, weight `[in, out / groups, h, w]`.
    Transposed,
}

/// A layer, as training frameworks describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Which of the two.
    pub kind: Kind,
    /// Its weight, of any [`DType`](crate::DType).
    pub weight: Tensor,
    /// Its bias, `[out]`.
    pub bias: Option<Tensor>,
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
    pub fn new(kind: Kind, weight: Tensor) -> Self {
        let activation = Activation::None;
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
            Kind::Transposed => self.weight.clone(),
            Kind::Convolution => from_convolution(&self.weight, self.groups)?,
        };
        Ok((op, weight))
    }

    /// The operation alone.
    fn op(&self) -> Result<ConvTranspose> {
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
/// w]` to `[in, out / groups, h, w]`, each kernel turned by half a circle. It crops `dilation·(kernel − 1) − padding`
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
                // Turned by half a circle, the taps are read backwards.
                order.extend((0..taps).rev().map(|tap| (co * in_group + ci) * taps + tap));
            }
        }
    }
    weight.select([groups * in_group, out_group, h, w], order)
}

/// A network that makes of `[batch, 3, h, w]` with its borders a picture `scale` times as large. Valid once built.
///
/// ```no_run
/// use upconv::gpu::{AdapterRequest, Context};
/// use upconv::upscale::Network;
/// use upconv::{Storage, Tensor};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = Network::from_safetensors(&std::fs::read("assets/waifu2x-photo.safetensors")?)?;
/// let picture = Tensor::f32([1, 3, 45, 67], vec![0.5; 3 * 45 * 67])?; // red, green, blue, 0 to 1
/// let input = network.pad(&picture)?;
///
/// let context = Context::request(&AdapterRequest::default())?;
/// let chain = network.on_gpu(&context)?; // packs the weights once
/// let output = chain.prepare(input.shape(), Storage::F32)?.run(&[input])?.remove(0);
///
/// let enlarged = network.trim(&output)?;
/// assert_eq!(enlarged.shape(), [1, 3, 90, 134]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    layers: Vec<Layer>,
    operations: Vec<ConvTranspose>,
    /// The layers that are computed in blocks of 4×4 outputs.
    blocked: Vec<bool>,
    scale: usize,
    /// Before the first pixel, and after the last.
    border: [usize; 2],
    /// Before the output that is kept, and after it.
    crop: [usize; 2],
}

impl Network {
    /// Checks that the layers fit together, and that a border of so many pixels suffices.
    ///
    /// # Errors
    /// [`Error::Network`] naming the layer: channels that do not meet, a border that does not suffice, an output that is
    /// not `scale` times the picture, a weight that is NaN or infinite; and what [`Layer::operation`] refuses.
    pub fn new(layers: Vec<Layer>, scale: usize, border: usize) -> Result<Self> {
        let operations = check_layers(&layers)?;
        let crop = fit(&operations, scale, border).map_err(problem)?;
        Self::with_crop(layers, operations, scale, border, crop)
    }

    fn with_crop(
        layers: Vec<Layer>,
        operations: Vec<ConvTranspose>,
        scale: usize,
        border: usize,
        crop: usize,
    ) -> Result<Self> {
        Ok(match blocks(&operations, crop, border)? {
            Some(Blocks { operations, blocked, border_end }) => {
                Self { layers, operations, blocked, scale, border: [border, border_end], crop: [crop, 0] }
            }
            None => {
                let blocked = vec![false; operations.len()];
                Self { layers, operations, blocked, scale, border: [border; 2], crop: [crop; 2] }
            }
        })
    }

    /// As [`new`](Self::new), with the product of the strides as scale and the least border that suffices.
    ///
    /// # Errors
    /// As [`new`](Self::new), where no border up to [`MAX_BORDER`] suffices.
    pub fn with_least_border(layers: Vec<Layer>) -> Result<Self> {
        let operations = check_layers(&layers)?;
        let scales = [0, 1]
            .map(|axis| operations.iter().try_fold(1, |scale: usize, op| scale.checked_mul(op.axes()[axis].stride)));
        let scale = match scales {
            [Some(y), Some(x)] if y == x => y,
            given => {
                return Err(problem(format!("the strides multiply to {given:?} along (h, w), expected one factor")));
            }
        };
        let mut refusal = String::new();
        for border in 0..=MAX_BORDER {
            match fit(&operations, scale, border) {
                Ok(crop) => return Self::with_crop(layers, operations, scale, border, crop),
                Err(error) => refusal = error,
            }
        }
        Err(problem(refusal))
    }

    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layers as the one operation. What they crop at the ends is what nothing reads.
    pub fn operations(&self) -> &[ConvTranspose] {
        &self.operations
    }

    /// The factor.
    pub fn scale(&self) -> usize {
        self.scale
    }

    /// The pixels that the network reads above and to the left of what it enlarges.
    pub fn border(&self) -> usize {
        self.border[0]
    }

    /// The pixels that it reads below and to the right: no fewer. Wide layers of kernel 3×3 are computed in blocks of
    /// 4×4 outputs, of which the last ones read further. A picture in tiles is the same picture bit for bit where tiles
    /// begin at multiples of 4 and have extents that are multiples of 4.
    pub fn border_end(&self) -> usize {
        self.border[1]
    }

    /// The pixels that are cut off the top and the left of the output.
    pub fn crop(&self) -> usize {
        self.crop[0]
    }

    /// The multiply-adds for a picture or tile of this size.
    ///
    /// # Errors
    /// [`Error::Overflow`] for sizes beyond all bounds.
    pub fn multiply_adds(&self, height: usize, width: usize) -> Result<u128> {
        let shapes = self.shapes(height, width)?;
        let layers = self.operations.iter().zip(&shapes);
        layers.map(|(op, shape)| Ok(op.at(shape)?.useful_multiply_adds())).sum()
    }

    /// The shapes of the input, of what stands between the layers, and of the output, for a picture or tile of this
    /// size.
    ///
    /// # Errors
    /// [`Error::Overflow`] for sizes beyond all bounds.
    pub fn shapes(&self, height: usize, width: usize) -> Result<Vec<Vec<usize>>> {
        let padded = |extent: usize| extent.saturating_add(self.border[0] + self.border[1]);
        let mut shapes = vec![vec![1, CHANNELS, padded(height), padded(width)]];
        for op in &self.operations {
            let next = op.at(shapes.last().map_or(&[][..], Vec::as_slice))?.output_shape();
            shapes.push(next);
        }
        Ok(shapes)
    }

    /// Replicates the outermost pixels of a picture `[batch, 3, h, w]` to all sides, as f32: [`border`](Self::border)
    /// times above and to the left, [`border_end`](Self::border_end) times below and to the right.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of axes or channels or for a picture without pixels.
    pub fn pad<'a>(&self, picture: impl Into<TensorView<'a>>) -> Result<Tensor> {
        super::replicate(picture.into(), CHANNELS, self.border)
    }

    /// Cuts off the output what is beyond `scale` times the picture, as f32.
    ///
    /// # Errors
    /// [`Error::Shape`] for an output that is no larger than what is cut off.
    pub fn trim<'a>(&self, output: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let output = output.into();
        let [before, after] = self.crop;
        let [batch, c, h, w] = match *output.shape() {
            [n, c, h, w] if h > before + after && w > before + after => [n, c, h, w],
            ref given => {
                let expected = format!("[batch, channels, h, w] with h and w above {}", before + after);
                return Err(Error::Shape { what: "output", given: given.to_vec(), expected });
            }
        };
        let output = output.f32_cow();
        let rows = output.chunks_exact(w).enumerate();
        let kept = rows.filter(|(row, _)| (before..h - after).contains(&(row % h)));
        let data: Vec<f32> = kept.flat_map(|(_, row)| &row[before..w - after]).copied().collect();
        Tensor::f32([batch, c, h - before - after, w - before - after], data)
    }

    /// Packs the weights onto a device. Wide layers of kernel 3×3 ask for
    /// [`Kernel::Winograd`].
    ///
    /// # Errors
    /// What [`gpu::Chain::new`] refuses.
    #[cfg(feature = "gpu")]
    pub fn on_gpu(&self, context: &gpu::Context) -> Result<gpu::Chain> {
        let chain = gpu::Chain::new(context, &self.parameters().collect::<Result<Vec<_>>>()?)?;
        Ok(chain.with_kernels(self.blocked.iter().map(|blocked| blocked.then_some(Kernel::Winograd))))
    }

    /// Packs the weights for the CPU. Wide layers of kernel 3×3 are computed as
    /// [`cpu::Layer::with_winograd`](crate::cpu::Layer::with_winograd) does.
    ///
    /// # Errors
    /// What [`cpu::Layer::new`](crate::cpu::Layer::new) refuses.
    #[cfg(feature = "cpu")]
    pub fn on_cpu(&self) -> Result<OnCpu> {
        let layers = self.parameters().zip(&self.blocked).map(|(layer, &blocked)| {
            let (op, weight, bias) = layer?;
            if blocked {
                crate::cpu::Layer::with_winograd(&op, &weight, bias.as_ref())
            } else {
                crate::cpu::Layer::new(&op, &weight, bias.as_ref())
            }
        });
        Ok(OnCpu { layers: layers.collect::<Result<_>>()?, between: Default::default() })
    }

    /// Runs all layers on the reference; between them stands what the input's type holds.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of axes or channels.
    pub fn on_reference<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        self.parameters().try_fold(input.into().to_tensor(), |x, layer| {
            let (op, weight, bias) = layer?;
            reference::run(&op, &x, &weight, bias.as_ref())
        })
    }

    /// The operations with their weights and biases.
    fn parameters(&self) -> impl Iterator<Item = Result<(ConvTranspose, Tensor, Option<Tensor>)>> {
        self.layers.iter().zip(&self.operations).map(|(layer, op)| {
            let (_, weight) = layer.operation()?;
            Ok((op.clone(), weight, layer.bias.clone()))
        })
    }
}

/// A network with its weights packed for the CPU. Cheap to clone.
#[cfg(feature = "cpu")]
#[derive(Clone, Debug)]
pub struct OnCpu {
    layers: Vec<crate::cpu::Layer>,
    /// What stands between two layers, before and after one: as many pairs as runs were ever under way at once.
    between: std::sync::Arc<std::sync::Mutex<Vec<[Vec<f32>; 2]>>>,
}

#[cfg(feature = "cpu")]
impl OnCpu {
    /// Runs all layers, in memory that it keeps for the next run. With f16 as input what stands between them is rounded to f16, as on a device that stores it so.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of axes or channels.
    pub fn run<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let input = input.into();
        let ([layers @ .., last], Some(_)) = (&self.layers[..], input.as_f32()) else {
            return self.layers.iter().try_fold(input.to_tensor(), |x, layer| layer.run(&x));
        };
        let between = || self.between.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let [mut x, mut y] = between().pop().unwrap_or_default();
        let mut shape = input.shape().to_vec();
        for (index, layer) in layers.iter().enumerate() {
            let input = if index == 0 { input } else { TensorView::f32(&shape, &x)? };
            let (geometry, result) = layer.run_again(input, y)?;
            shape = geometry.output_shape();
            y = std::mem::replace(&mut x, result);
        }
        let output = last.run(if layers.is_empty() { input } else { TensorView::f32(&shape, &x)? })?;
        between().push([x, y]);
        Ok(output)
    }
}

fn problem(problem: String) -> Error {
    Error::Network { problem }
}

/// Each layer by itself, and with its neighbours.
fn check_layers(layers: &[Layer]) -> Result<Vec<ConvTranspose>> {
    if !(1..=MAX_LAYERS).contains(&layers.len()) {
        return Err(problem(format!("{} layers, expected 1 to {MAX_LAYERS}", layers.len())));
    }
    let mut channels = CHANNELS;
    let mut operations = Vec::with_capacity(layers.len());
    for (index, layer) in layers.iter().enumerate() {
        let named = |error: &Error| problem(format!("layer {index}: {error}"));
        let op = layer.op().map_err(|error| named(&error))?;
        if let Some(bias) = &layer.bias {
            let expected = [op.out_channels()];
            if bias.shape() != expected {
                let given = bias.shape();
                return Err(problem(format!("layer {index}: bias has shape {given:?}, expected {expected:?}")));
            }
        }
        if op.in_channels() != channels {
            let (given, from) = (op.in_channels(), if index == 0 { "the picture" } else { "the layer before" });
            return Err(problem(format!("layer {index} takes {given} channels, but {from} has {channels}")));
        }
        channels = op.out_channels();
        let tensors = [("weight", Some(&layer.weight)), ("bias", layer.bias.as_ref())];
        for (what, tensor) in tensors.into_iter().filter_map(|(what, tensor)| Some((what, tensor?))) {
            let values = tensor.to_f64();
            // What f32 cannot hold becomes infinite on its way to a device.
            if let Some(at) = values.iter().position(|&value| !(value as f32).is_finite()) {
                return Err(problem(format!("layer {index}: {what}[{at}] of {} is {}", values.len(), values[at])));
            }
        }
        if let Some(value) = parameters(&layer.activation).into_iter().find(|value| !value.is_finite()) {
            let name = layer.activation.name();
            return Err(problem(format!("layer {index}: a parameter of its {name} is {value}")));
        }
        operations.push(op);
    }
    if channels != CHANNELS {
        return Err(problem(format!("the last layer gives {channels} channels, expected {CHANNELS}")));
    }
    Ok(operations)
}

fn parameters(activation: &Activation) -> Vec<f32> {
    match activation {
        Activation::LeakyRelu { alpha } => vec![*alpha],
        Activation::Prelu { slopes } => slopes.clone(),
        Activation::Clip { min, max } => vec![*min, *max],
        Activation::HardSwish { alpha, beta } => vec![*alpha, *beta],
        _ => Vec::new(),
    }
}

/// How much is to be cut off each side of the output; or why the border or the scale is wrong.
///
/// A layer's extents grow by its stride with each pixel of the picture, and what an output reads lies at fixed
/// distances from both ends, so that two sizes of a picture speak for all.
fn fit(operations: &[ConvTranspose], scale: usize, border: usize) -> std::result::Result<usize, String> {
    if !(1..=MAX_SCALE).contains(&scale) {
        return Err(format!("scale is {scale}, expected 1 to {MAX_SCALE}"));
    }
    if border > MAX_BORDER {
        return Err(format!("border is {border}, expected 0 to {MAX_BORDER}"));
    }
    let mut crops = Vec::new();
    for axis in 0..2 {
        for pixels in [1, 2] {
            let mut extents = vec![pixels + 2 * border];
            for (index, op) in operations.iter().enumerate() {
                let before = extents[index];
                let extent = op.axes()[axis].output_extent(axis, before);
                extents.push(extent.map_err(|error| format!("layer {index}, with a border of {border}: {error}"))?);
            }
            let made = extents[operations.len()];
            let surplus = made.checked_sub(scale * pixels).filter(|surplus| surplus % 2 == 0).ok_or_else(|| {
                format!(
                    "of {pixels} pixels with a border of {border} the layers make {made} on axis {axis}, expected \
                     {scale} times the pixels or an even number more"
                )
            })?;
            crops.push(surplus / 2);
            let crop = (surplus / 2) as i64;
            let (mut least, mut most) = (crop, crop + (scale * pixels) as i64 - 1);
            for (index, op) in operations.iter().enumerate().rev() {
                let a = &op.axes()[axis];
                let (stride, reach) = (a.stride as i64, (a.dilation * (a.kernel - 1)) as i64);
                least = -(reach - least - a.pad_begin).div_euclid(stride);
                most = (most + a.pad_begin).div_euclid(stride);
                let last = extents[index] as i64 - 1;
                if least < 0 || most > last {
                    return Err(format!(
                        "a border of {border} does not suffice: on axis {axis} layer {index} reads its input from \
                         {least} to {most}, which goes from 0 to {last}"
                    ));
                }
            }
        }
    }
    match crops[..] {
        [crop, ..] if crops.iter().all(|&other| other == crop) => Ok(crop),
        _ => Err(format!(
            "with a border of {border} the layers make {} times the pixels and not always the same number more \
             ({:?} of 1 and 2 pixels along h, then w)",
            scale,
            crops.iter().map(|crop| 2 * crop).collect::<Vec<_>>()
        )),
    }
}
