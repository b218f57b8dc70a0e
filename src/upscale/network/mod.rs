//! Trained networks that enlarge pictures: convolutions and transposed convolutions, one after another.
//!
//! # One operation
//! A convolution of stride 1 is a transposed convolution of stride 1 with the kernel rotated by 180°, input and output
//! channels swapped, and the rest of the full output cropped: with kernel K, dilation d and padding p,
//!
//! ```text
//! w'[ci, co, ky, kx] = w[co, ci, K − 1 − ky, K − 1 − kx]        p' = d·(K − 1) − p
//! ```
//!
//! ([`ConvTranspose::from_convolution`]). So a whole network is a [chain](crate::gpu::Chain) of this library's one operation: its
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
//! | `scale` | the factor, 1 to [`MAX_SCALE`](super::MAX_SCALE) |
//! | `border` | the pixels on each side that the network reads, 0 to [`MAX_BORDER`] |
//! | `colour` | `"rgb"`: three planes, red first, from 0 to 1 |
//! | `encoding` | what the values of colours are: `"srgb"`, those that files store; `"linear"`, linear light. If it is missing, `"srgb"` |
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
//! | `activation` | an activation as [`describe`](crate::describe#activations) has it, but with the name of a tensor for the `slopes` of a prelu and the `alphas` of a snake | none |
//!
//! Other keys are refused, so that a misspelt one is not overlooked. Tensors that no layer names are allowed, other
//! keys of `__metadata__` too. Layers may name the same tensor, which is kept once; it is packed for each of them, so
//! that all that layers name may have at most 1 GiB more, as f32, than the file's tensors.
//! [`Network::from_safetensors`] trusts nothing it reads: a file that is cut, lies about lengths, offsets or shapes, has
//! a key twice, or a weight that is NaN or infinite, gives one error that says where.

mod blocks;
mod border;
mod check;
mod format;
mod from_graph;
mod layer;
mod run;
mod safetensors;

use super::encoding::Encoding;
use super::replicate::replicate;
#[cfg(feature = "cpu")]
use crate::cpu;
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::op::ConvTranspose;
use crate::tensor::{Tensor, TensorView};
use blocks::{Blocks, blocks};
use border::fit;
use check::problem;
use format::Described;
use run::Parameters;

pub use border::MAX_BORDER;
pub use check::{CHANNELS, MAX_LAYERS};
pub use layer::{Kind, Layer};

/// The network `waifu2x-photo`, which doubles photographs, as the file that [`Network::from_safetensors`] reads: the
/// model `upconv_7` of waifu2x. Copyright © 2015 nagadomi; converted © 2019 nihui; under the MIT licence, whose two
/// texts stand beside the file.
#[cfg(feature = "waifu2x")]
pub const WAIFU2X_PHOTO: &[u8] = include_bytes!("../../../assets/waifu2x-photo.safetensors");

/// A network that enlarges pictures `[batch, 3, h, w]`, which it takes with a border, `scale` times. Valid once built.
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
    encoding: Encoding,
}

impl Network {
    /// Reads a network from the bytes of a safetensors file in the [format](self#the-file) described above.
    ///
    /// # Errors
    /// [`Error::Safetensors`] for a file that is unsound or lacks a tensor, [`Error::Network`] for a description that is
    /// wrong, and what [`Network::new`] refuses.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        let Described { layers, scale, border, encoding } = format::read(bytes)?;
        Ok(Self::new(layers, scale, border)?.with_encoding(encoding))
    }

    /// The network as the bytes of a safetensors file, its tensors as they are, each once even where layers
    /// share it. `notes` are further keys of `__metadata__`: a licence, say; a note under `upconv` is left out.
    ///
    /// # Errors
    /// [`Error::Safetensors`] for a file larger than memory can be.
    pub fn to_safetensors(&self, notes: &[(&str, &str)]) -> Result<Vec<u8>> {
        format::write(&self.layers, self.scale, self.border(), self.encoding, notes)
    }

    /// Checks that the layers fit together, and that a border of so many pixels suffices.
    ///
    /// # Errors
    /// [`Error::Network`] naming the layer: channels that do not meet, a border that does not suffice, an output that is
    /// not `scale` times the picture, a weight that is NaN or infinite; and what [`Layer::operation`] refuses.
    pub fn new(layers: Vec<Layer>, scale: usize, border: usize) -> Result<Self> {
        let operations = check::operations(&layers)?;
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
        let encoding = Encoding::default();
        Ok(match blocks(&operations, crop, border)? {
            Some(Blocks { operations, blocked, border_end }) => {
                Self { layers, operations, blocked, scale, border: [border, border_end], crop: [crop, 0], encoding }
            }
            None => {
                let blocked = vec![false; operations.len()];
                Self { layers, operations, blocked, scale, border: [border; 2], crop: [crop; 2], encoding }
            }
        })
    }

    /// The same for colours of this encoding.
    #[must_use]
    pub fn with_encoding(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// As [`new`](Self::new), with the product of the strides as scale and the least border that suffices.
    ///
    /// # Errors
    /// As [`new`](Self::new), where no border up to [`MAX_BORDER`] suffices.
    pub fn with_least_border(layers: Vec<Layer>) -> Result<Self> {
        let operations = check::operations(&layers)?;
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

    /// What the values of colours are, in the input and the output. [`new`](Self::new) takes it to be
    /// [`Encoding::Srgb`].
    pub fn encoding(&self) -> Encoding {
        self.encoding
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
        replicate(picture.into(), CHANNELS, self.border)
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

    /// Packs the weights onto a device. Wide layers of kernel 3×3 ask for [`Kernel::Winograd`](crate::Kernel::Winograd).
    ///
    /// # Errors
    /// What [`gpu::Chain::new`] refuses.
    #[cfg(feature = "gpu")]
    pub fn on_gpu(&self, context: &gpu::Context) -> Result<gpu::Chain> {
        run::on_gpu(context, &self.parameters().collect::<Result<Vec<_>>>()?, &self.blocked)
    }

    /// Packs the weights for the CPU. Wide layers of kernel 3×3 allow
    /// [`Accuracy::Normwise`](crate::Accuracy::Normwise).
    ///
    /// # Errors
    /// What [`cpu::Chain::new`] refuses.
    #[cfg(feature = "cpu")]
    pub fn on_cpu(&self) -> Result<cpu::Chain> {
        cpu::Chain::new(&self.parameters().collect::<Result<Vec<_>>>()?)
    }

    /// Runs all layers on the reference; between them, values are rounded to the input's type.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of axes or channels.
    pub fn on_reference<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        run::on_reference(self.parameters(), input.into())
    }

    /// The operations with their weights and biases.
    fn parameters(&self) -> impl Iterator<Item = Result<Parameters>> {
        self.layers.iter().zip(&self.operations).map(|(layer, op)| {
            let (_, weight) = layer.operation()?;
            Ok((op.clone(), weight, layer.bias.as_deref().cloned()))
        })
    }
}
