//! Trained networks that enlarge pictures: [graphs](crate::graph) with one picture as input and one as output, and how the
//! picture lies in both.
//!
//! # The frame
//! A network reads some pixels around what it enlarges: [`Frame::border`] on each side, and at the ends as many more as
//! make the sides multiples of [`Frame::multiple`]. Beyond the picture its outermost pixels are replicated, or those inside
//! mirrored ([`Network::pad`]). What it makes beyond `scale` times the picture is cut off ([`Network::trim`]).
//!
//! # Tiles
//! A picture in tiles is the same picture, bit for bit, whatever the tiles: each computes the [region](crate::graph::Region)
//! of every value that it needs ([`Network::wanted`]). A mean over the picture, as squeeze-and-excitation has it, is
//! computed before, in passes over the tiles ([`Graph::means`](crate::graph::Graph::means)).
//!
//! # The file
//! A safetensors file: the tensors, of type F16, BF16, F32 or F64, and in its `__metadata__` under the key `upconv` a
//! JSON object. That of a network whose layers follow one another may be of version 1:
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
//! | `version` | 1, or 2 for a graph |
//! | `scale` | the factor, 1 to [`MAX_SCALE`](super::MAX_SCALE) |
//! | `border` | the pixels on each side that the network reads, 0 to [`MAX_BORDER`] |
//! | `colour` | `"rgb"`: three planes, red first, from 0 to 1 |
//! | `encoding` | what the values of colours are: `"srgb"`, those that files store; `"linear"`, linear light. If it is missing, `"srgb"` |
//! | `layers` | of version 1: 1 to [`MAX_LAYERS`] of them, in their order |
//! | `nodes`, `output` | of version 2: the [nodes](#nodes), and the number of the one that makes the picture |
//! | `beyond` | of version 2: what stands beyond the picture, `"replicate"` or `"reflect"`. If it is missing, `"replicate"` |
//! | `multiple` | of version 2: [`Frame::multiple`]. If it is missing, 1 |
//!
//! and of a layer:
//!
//! | key | what it says | if it is missing |
//! |---|---|---|
//! | `kind` | `"conv"`, a convolution; `"deconv"`, a transposed one | |
//! | `weight` | the name of its tensor: `[out, in / groups, h, w]` of a convolution, `[in, out / groups, h, w]` of a transposed one, as PyTorch has them | |
//! | `bias` | the name of its tensor, `[out]` | none |
//! | `stride`, `padding`, `dilation` | one number, or two for (h, w); in version 1 a convolution has stride 1; padding adds zeros around the input of a convolution and crops the output of a transposed one | 1, 0, 1 |
//! | `groups` | as in PyTorch | 1 |
//! | `activation` | an activation as [`describe`](crate::describe#activations) has it, but with the name of a tensor for the `slopes` of a prelu and the `alphas` of a snake | none |
//!
//! Other keys are refused, so that a misspelt one is not overlooked. Tensors that no layer names are allowed, other
//! keys of `__metadata__` too. Layers may name the same tensor, which is kept once; it is packed for each of them, so
//! that all that layers name may have at most 1 GiB more, as f32, than the file's tensors.
//! [`Network::from_safetensors`] trusts nothing it reads: a file that is cut, lies about lengths, offsets or shapes, has
//! a key twice, or a weight that is NaN or infinite, gives one error that says where.
//!
//! ## Nodes
//! Of version 2. The picture is number 0; nodes follow, numbered from 1, each with the numbers of those that it reads under
//! `of`: one number, or a list. Beside the layers, with their keys, there are
//!
//! | kind | its keys | what it is |
//! |---|---|---|
//! | `activation` | `activation` | a function of each element, as a layer has it |
//! | `add`, `multiply`, `concatenate` | | of two, two, and several; a factor may be a number for each channel |
//! | `affine` | `scale`, `offset` | `scale · x + offset` |
//! | `channels` | `first`, `count` | some neighbouring channels |
//! | `crop` | `borders` | `[[top, bottom], [left, right]]` |
//! | `pad` | `borders`, `beyond` | `"zero"`, `"replicate"` or `"reflect"` |
//! | `nearest` | `factors` | `[h, w]` |
//! | `pixel_shuffle` | `factor` | depth to space |
//! | `mean` | | of each channel |

mod check;
mod format;
mod frame;
mod layer;
mod nodes;
mod safetensors;
mod turned;

use super::encoding::Encoding;
use super::padded::padded;
#[cfg(feature = "cpu")]
use crate::cpu;
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::graph::part::Part;
use crate::graph::program::Program;
use crate::graph::schedule::{Schedule, Sharing};
use crate::graph::{Graph, Operation, Value};
use crate::tensor::{Tensor, TensorView};
use check::problem;
use std::ops::Range;
use std::sync::Arc;

pub use check::{CHANNELS, MAX_LAYERS};
pub use frame::{Frame, MAX_BORDER, MAX_MULTIPLE};
pub use layer::{Kind, Layer};

/// A network that enlarges pictures `[batch, 3, h, w]`, which it takes in a [frame](Frame). Valid once built.
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
/// let graph = network.on_gpu(&context)?; // packs the weights once
/// let output = graph.prepare(&[input.shape()], Storage::F32)?.run(&[input])?.remove(0);
///
/// let enlarged = network.trim(&output, [45, 67])?;
/// assert_eq!(enlarged.shape(), [1, 3, 90, 134]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    graph: Graph,
    frame: Frame,
    /// Before the output that is kept.
    crop: usize,
    encoding: Encoding,
}

/// What a tile takes on its way through a network, in elements: see [`Network::tile_cost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileCost {
    /// Of what is read and what is made.
    pub ends: u64,
    /// Of all that stands between at the same time.
    pub between: u64,
    /// Of the largest value.
    pub largest: u64,
}

impl Network {
    /// Reads a network from the bytes of a safetensors file in the [format](self#the-file) described above.
    ///
    /// # Errors
    /// [`Error::Safetensors`] for a file that is unsound or lacks a tensor, [`Error::Network`] for a description that is
    /// wrong, and what [`Network::new`] and [`Network::of_graph`] refuse.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        format::read(bytes)
    }

    /// The network as the bytes of a safetensors file of version 2, its tensors as they are, each once even where layers
    /// share it. `notes` are further keys of `__metadata__`: a licence, say; a note under `upconv` is left out.
    ///
    /// # Errors
    /// [`Error::Safetensors`] for a file larger than memory can be; [`Error::Network`] for a layer that the format has no
    /// keys for.
    pub fn to_safetensors(&self, notes: &[(&str, &str)]) -> Result<Vec<u8>> {
        format::write(self, notes)
    }

    /// Layers one after another: checks that they fit together, and that a border of so many replicated pixels suffices,
    /// so that no output that is kept depends on anything beyond it.
    ///
    /// # Errors
    /// [`Error::Network`] naming the layer: channels that do not meet, a border that does not suffice, an output that is
    /// not `scale` times the picture, a weight that is NaN or infinite; and what [`Layer::operation`] refuses.
    pub fn new(layers: &[Layer], scale: usize, border: usize) -> Result<Self> {
        let operations = check::operations(layers)?;
        let frame = Frame::new(scale, border);
        let network = Self::of_graph(check::line(layers)?, frame)?;
        frame::suffices(&operations, frame, network.crop).map_err(problem)?;
        Ok(network)
    }

    /// As [`new`](Self::new), with the product of the strides as scale and the least border that suffices.
    ///
    /// # Errors
    /// As [`new`](Self::new), where no border up to [`MAX_BORDER`] suffices.
    pub fn with_least_border(layers: &[Layer]) -> Result<Self> {
        let operations = check::operations(layers)?;
        let scales = [0, 1]
            .map(|axis| operations.iter().try_fold(1, |scale: usize, op| scale.checked_mul(op.axes()[axis].stride)));
        let scale = match scales {
            [Some(y), Some(x)] if y == x => y,
            given => {
                return Err(problem(format!("the strides multiply to {given:?} along (h, w), expected one factor")));
            }
        };
        let graph = check::line(layers)?;
        let mut refusal = String::new();
        for border in 0..=MAX_BORDER {
            let frame = Frame::new(scale, border);
            match frame.crop(&graph).and_then(|crop| frame::suffices(&operations, frame, crop)) {
                Ok(()) => return Self::of_graph(graph, frame),
                Err(error) => refusal = error,
            }
        }
        Err(problem(refusal))
    }

    /// A graph on two axes, with a picture of three channels as its input and another as its output. Wide layers of
    /// kernel 3×3 are allowed [`Accuracy::Normwise`](crate::Accuracy::Normwise).
    ///
    /// # Errors
    /// [`Error::Network`] for another graph, and where what it makes in this frame is not `scale` times the picture, or the
    /// same number of pixels more on all sides.
    pub fn of_graph(graph: Graph, frame: Frame) -> Result<Self> {
        check::graph(&graph)?;
        let crop = frame.crop(&graph).map_err(problem)?;
        let graph = graph.allowing_transforms()?;
        Ok(Self { graph, frame, crop, encoding: Encoding::default() })
    }

    /// As [`of_graph`](Self::of_graph), for a graph of which nothing else is known: the scale that its extents grow by, the
    /// least multiple for which its shapes fit together, and the least border with which it makes enough. Where that is
    /// none, but layers see zeros beyond what they read, a border of 10.
    ///
    /// # Errors
    /// [`Error::Network`] as [`of_graph`](Self::of_graph), and where there is no such border.
    pub fn from_graph(graph: Graph) -> Result<Self> {
        check::graph(&graph)?;
        let frame = Frame::of(&graph)?;
        Self::of_graph(graph, frame)
    }

    /// The same for colours of this encoding.
    #[must_use]
    pub fn with_encoding(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// The same in another frame.
    ///
    /// # Errors
    /// As [`of_graph`](Self::of_graph).
    pub fn with_frame(self, frame: Frame) -> Result<Self> {
        let crop = frame.crop(&self.graph).map_err(problem)?;
        Ok(Self { frame, crop, ..self })
    }

    /// The network with what it reads, enlarged to the nearest pixel, added to what it makes: for those that were trained to
    /// give the difference.
    ///
    /// # Errors
    /// [`Error::Network`] where it reads less than it makes.
    pub fn with_picture_added(self) -> Result<Self> {
        let Self { mut graph, frame: Frame { scale, border, .. }, crop, .. } = self;
        let ([input], [output]) = (graph.inputs(), graph.outputs()) else { return Err(problem("no picture".into())) };
        let (input, output) = (*input, *output);
        let more = (scale * border).checked_sub(crop);
        let more =
            more.ok_or_else(|| problem(format!("{crop} pixels made around {scale} times a border of {border}")))?;
        let enlarged = graph.nearest(input, &[scale; 2])?;
        let enlarged = graph.crop(enlarged, &[[more; 2]; 2])?;
        let sum = graph.add(output, enlarged)?;
        Ok(Self { graph: graph.giving(sum), ..self })
    }

    /// The graph: what it reads is the picture in its frame.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How the picture lies in what the network reads.
    pub fn frame(&self) -> Frame {
        self.frame
    }

    /// The factor.
    pub fn scale(&self) -> usize {
        self.frame.scale
    }

    /// The pixels on each side that the network reads.
    pub fn border(&self) -> usize {
        self.frame.border
    }

    /// What the values of colours are, in the input and the output. [`new`](Self::new) takes it to be
    /// [`Encoding::Srgb`].
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The pixels that are cut off the top and the left of the output.
    pub fn crop(&self) -> usize {
        self.crop
    }

    /// The numbers in its weights and biases.
    pub fn parameters(&self) -> u64 {
        let of = |tensor: &Tensor| tensor.shape().iter().product::<usize>() as u64;
        let layers = self.graph.nodes().iter().map(|node| match node.operation() {
            Operation::Layer(layer) => of(&layer.weight) + layer.bias.as_deref().map_or(0, of),
            _ => 0,
        });
        layers.sum()
    }

    /// The multiply-adds for a picture of this height and width.
    ///
    /// # Errors
    /// [`Error::Overflow`] for sizes beyond all bounds.
    pub fn multiply_adds(&self, picture: [usize; 2]) -> Result<u128> {
        let shapes = self.graph.shapes(&[self.input_shape(picture)])?;
        let of = |node: &crate::graph::Node| match node.operation() {
            Operation::Layer(layer) => Ok(layer.op.at(&shapes[node.inputs()[0].index()])?.useful_multiply_adds()),
            _ => Ok(0),
        };
        self.graph.nodes().iter().map(of).sum()
    }

    /// The shape of what the network reads of a picture of this height and width.
    pub fn input_shape(&self, [height, width]: [usize; 2]) -> [usize; 4] {
        [1, CHANNELS, self.frame.read(height), self.frame.read(width)]
    }

    /// Which pixel of so many in a row or column stands at a coordinate of what the network reads.
    pub fn pixel(&self, coordinate: usize, pixels: usize) -> usize {
        self.frame.pixel(coordinate as i64 - self.frame.border as i64, pixels)
    }

    /// Where the graph's output has what the network makes of some rows and columns of a picture.
    pub fn wanted(&self, rows: &Range<usize>, columns: &Range<usize>) -> Option<(Value, Vec<Range<usize>>)> {
        let made = |pixels: &Range<usize>| {
            self.crop + pixels.start * self.frame.scale..self.crop + pixels.end * self.frame.scale
        };
        self.graph.outputs().first().map(|&output| (output, vec![made(rows), made(columns)]))
    }

    /// What a tile takes, for each of some sides, out of the middle of a picture that is large enough, or of this one where
    /// it is smaller.
    ///
    /// # Errors
    /// [`Error::Overflow`] for sizes beyond all bounds.
    pub fn tile_cost(&self, picture: [usize; 2]) -> Result<impl Fn([usize; 2]) -> Result<TileCost>> {
        let program = Program::new(&self.graph, true)?;
        let whole = Arc::new(self.graph.shapes(&[self.input_shape(picture)])?);
        Ok(move |tile: [usize; 2]| {
            let middle = |axis: usize| {
                let first = picture[axis].saturating_sub(tile[axis]) / 2;
                first..(first + tile[axis]).min(picture[axis])
            };
            let given: Vec<Value> = self.graph.means().into_iter().flatten().collect();
            let wanted: Vec<_> = self.wanted(&middle(0), &middle(1)).into_iter().collect();
            let part = Part::new(&self.graph, &program, whole.clone(), &given, &wanted)?;
            let sharing = Sharing { alignment: 64, whole_transforms: true };
            let schedule = Schedule::new(&self.graph, &program, &part, sharing)?;
            let elements = |value: usize| part.shape(value).iter().product::<usize>() as u64;
            Ok(TileCost {
                ends: part.inputs.iter().chain(&part.outputs).map(|&value| elements(value)).sum(),
                between: schedule.slots.iter().map(|&elements| elements as u64).sum(),
                largest: (0..whole.len()).map(elements).max().unwrap_or_default(),
            })
        })
    }

    /// A picture `[batch, 3, h, w]` in its frame, as f32: what the network reads.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of axes or channels or for a picture without pixels.
    pub fn pad<'a>(&self, picture: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let Frame { border, .. } = self.frame;
        let around = |pixels: usize| [border, self.frame.read(pixels) - pixels - border];
        padded(picture.into(), CHANNELS, around, |at, pixels| self.frame.pixel(at, pixels))
    }

    /// Cuts off the output what is beyond `scale` times the picture, which had this height and width, as f32.
    ///
    /// # Errors
    /// [`Error::Shape`] for an output that is smaller.
    pub fn trim<'a>(&self, output: impl Into<TensorView<'a>>, picture: [usize; 2]) -> Result<Tensor> {
        let output = output.into();
        let made = picture.map(|pixels| self.crop..self.crop + self.frame.scale * pixels);
        let [rows, columns] = &made;
        let [batch, c, h, w] = match *output.shape() {
            [n, c, h, w] if h >= rows.end && w >= columns.end => [n, c, h, w],
            ref given => {
                let expected =
                    format!("[batch, channels, h, w] with h from {} and w from {} on", rows.end, columns.end);
                return Err(Error::Shape { what: "output", given: given.to_vec(), expected });
            }
        };
        let output = output.f32_cow();
        let kept = output.chunks_exact(w).enumerate().filter(|(row, _)| rows.contains(&(row % h)));
        let data: Vec<f32> = kept.flat_map(|(_, row)| &row[columns.clone()]).copied().collect();
        Tensor::f32([batch, c, rows.len(), columns.len()], data)
    }

    /// Packs the weights onto a device.
    ///
    /// # Errors
    /// What [`gpu::Graph::new`] refuses.
    #[cfg(feature = "gpu")]
    pub fn on_gpu(&self, context: &gpu::Context) -> Result<gpu::Graph> {
        gpu::Graph::new(context, &self.graph)
    }

    /// Packs the weights for the CPU.
    ///
    /// # Errors
    /// What [`cpu::Graph::new`] refuses.
    #[cfg(feature = "cpu")]
    pub fn on_cpu(&self) -> Result<cpu::Graph> {
        cpu::Graph::new(&self.graph)
    }

    /// Runs it on the reference; between its layers, values are rounded to the input's type.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of axes or channels.
    pub fn on_reference(&self, input: &Tensor) -> Result<Tensor> {
        let mut made = self.graph.on_reference(std::slice::from_ref(input))?;
        made.pop().ok_or_else(|| problem("no output".into()))
    }
}
