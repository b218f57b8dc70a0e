//! Transposed convolution (fractionally-strided convolution, deconvolution, up-convolution) on any GPU that [`wgpu`]
//! reaches: Vulkan, Metal, DX12, GL, and WebGPU in a browser; with a multithreaded CPU backend and an f64 reference
//! beside it.
//!
//! | you have | begin with |
//! |---|---|
//! | a tensor | [`ConvTranspose`] or [`Convolution`] describes the operation, or [`Convention`] in the words of a framework; [`gpu::Layer::run`], [`cpu::Layer::run`] or [`reference::run`] computes it |
//! | a device of your own | [`gpu::Context::new`], then [`gpu::Layer::prepare`] for a shape, [`gpu::Prepared::bind`] for your buffers, [`gpu::Bound::encode`] into your pass |
//! | textures | [`gpu::TextureReader`], [`gpu::TextureWriter`] and [`gpu::TextureRenderer`] around a layer; [`upscale::OnTextures`] for a whole upscaler |
//! | a picture | [`upscale::picture::Upscaler`], by a filter ([`upscale::Method`]) or a network ([`upscale::Network`]), in whatever memory there is |
//! | a network in a file | [`graph::onnx::read`] or [`graph::ncnn::read`], then [`gpu::Graph`] or [`cpu::Graph`] |
//! | something to train | [`gpu::PreparedTraining`], [`gpu::PreparedBackward`] and [`gpu::Layer::set_weights`] on a device; [`cpu::Layer::backward`] on the CPU |
//! | a doubt | [`reference::Expected::compare`], which judges each element by its own error bound |
//!
//! # The operation
//! On one axis, input `i` and tap `k` land on `u = i·stride + k·dilation`; the output at `o = u − pad_begin` is the sum
//! of all products that land there, plus the bias:
//!
//! ```text
//! y[n, co, o] = bias[co] + Σ x[n, ci, i] · w[ci, co, k]   over ci and all i, k with i·stride + k·dilation = o + pad_begin
//! ```
//!
//! A kernel computes each output element by *gathering* those products, so that no two invocations write the same
//! place: no atomics, no races, the same bits on every run. Which taps reach which output is a table of phases, one for
//! each remainder of `u` by the stride.
//!
//! The first example of [*Dive into Deep Learning*, 14.10](https://d2l.ai/chapter_computer-vision/transposed-conv.html):
//!
//! ```
//! use upconv::{ConvTranspose, Tensor, reference};
//! # fn main() -> upconv::Result<()> {
//! let op = ConvTranspose::builder().kernel([2, 2]).build()?;
//! let x = Tensor::f32([1, 1, 2, 2], [0.0, 1.0, 2.0, 3.0])?;
//! let k = Tensor::f32([1, 1, 2, 2], [0.0, 1.0, 2.0, 3.0])?;
//! let y = reference::run(&op, &x, &k, None)?;
//! assert_eq!(y.shape(), [1, 1, 3, 3]);
//! assert_eq!(y.to_f32(), [0.0, 0.0, 1.0, 0.0, 4.0, 6.0, 4.0, 12.0, 9.0]);
//! # Ok(())
//! # }
//! ```
//!
//! On a GPU, with the weights packed once:
//!
//! ```no_run
//! use upconv::gpu::{AdapterRequest, Context, Layer};
//! use upconv::{ConvTranspose, Tensor};
//! # fn main() -> upconv::Result<()> {
//! # let (weight, bias, x) = (Tensor::f32([], [0.0])?, Tensor::f32([], [0.0])?, Tensor::f32([], [0.0])?);
//! let context = Context::request(&AdapterRequest::default())?;
//! let op = ConvTranspose::builder()
//!     .in_channels(64)
//!     .out_channels(32)
//!     .kernel([4, 4])
//!     .stride([2, 2])
//!     .padding([1, 1])
//!     .build()?;
//! let layer = Layer::new(&context, &op, &weight, Some(&bias))?;
//! let y = layer.run(&x)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! | module | what it holds |
//! |---|---|
//! | [`op`], [`layout`], [`activation`] | the description of the operation, and the one formula of its output size |
//! | [`tensor`] | host arrays, owned and borrowed; [`ndarray`](mod@ndarray)'s with the feature of that name |
//! | [`convention`] | PyTorch, ONNX, WebNN, TensorFlow, Keras, JAX, MXNet: each resolves to one [`op`] |
//! | [`describe`] | operations, conventions and activations as JSON and back (feature `serde`) |
//! | [`graph`] | networks that branch, and ncnn's files as such |
//! | [`gpu`] | plans, layers, graphs, textures, tuning (feature `gpu`) |
//! | [`cpu`] | the CPU backend (feature `cpu`) |
//! | [`upscale`] | pictures: resampling filters and networks as transposed convolutions (feature `picture`) |
//! | [`reference`](mod@reference) | the f64 oracle, and the error bounds that judge the backends |
//!
//! # What is promised
//!
//! - **Sizes.** The output has the input's element type and the extents of [`Axis::output_extent`]. A batch of 0 gives an
//!   empty output. A spatial extent or a channel count of 0, and an output size below 1, are errors.
//! - **Types.** f16 is summed in f32; bf16 is converted to f32; f64 is for the CPU backend and the reference.
//! - **Bounds.** Under [`Accuracy::Elementwise`], the default, an output that sums n products is within `n·2⁻²³·Σ|x·w|` of
//!   the exact sum, the bias counted in both; on integers whose sums stay below 2²⁴ it is exact. An activation multiplies
//!   that by its Lipschitz constant, and adds what evaluating it costs. [`Accuracy::Normwise`] and [`Accuracy::Half`] allow more where
//!   that is faster, by bounds of their own. [`reference::Expected::compare`] is the judge, and the tests and
//!   `upconv verify` hold every kernel to it.
//! - **Bits.** The same call gives the same bits on every run: nothing is added atomically, and on the CPU the number of
//!   threads changes nothing. What limits cut into pieces has the bits of the whole, as far as the backend rounds `fma`
//!   alike: [where that holds](gpu#which-bits-are-the-same). Different kernels, devices, drivers and
//!   [levels](cpu::Level) of vector instructions may differ in the last bits.
//! - **NaN and infinities.** A tap outside the input contributes nothing, whatever its weight: under
//!   [`Accuracy::Elementwise`] a NaN or an infinity reaches the outputs that its window covers, and no others. Outputs that
//!   no tap reaches hold exactly the bias. Activations propagate NaN on every device tested, though WGSL promises nothing
//!   about it. Of the gradients, that of a weight may carry a NaN to all weights of its channel
//!   ([`gpu::GradientKernel::Tiles`]).
//! - **Errors.** What does not fit is an [`Error`], with what was given and what was expected, before anything is computed. A
//!   device that runs out of memory or is lost is an error too.
//!
//! # Features
#![cfg_attr(feature = "document-features", doc = document_features::document_features!())]
#![cfg_attr(not(feature = "document-features"), doc = "They are listed, with what each is for, in `Cargo.toml`.")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accuracy;
pub mod activation;
pub mod convention;
#[cfg(feature = "cpu")]
pub mod cpu;
#[cfg(feature = "serde")]
pub mod describe;
mod dtype;
pub mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
mod gradient;
pub mod graph;
mod kernel;
pub mod layout;
#[cfg(feature = "ndarray")]
pub mod ndarray;
pub mod op;
#[cfg_attr(not(all(feature = "gpu", feature = "cpu")), allow(dead_code, reason = "each backend uses its part"))]
mod phase;
pub mod reference;
mod rounding;
mod stop;
pub mod tensor;
#[cfg(feature = "picture")]
pub mod upscale;
mod view;
#[cfg_attr(not(all(feature = "gpu", feature = "cpu")), allow(dead_code, reason = "each backend uses its part"))]
mod winograd;

pub use accuracy::Accuracy;
pub use activation::Activation;
pub use convention::Convention;
pub use error::{Error, Result};
#[cfg(feature = "gpu")]
pub use gpu::{Candidate, DeviceClass, DeviceProfile, Plan, Storage};
pub use gradient::{Gradients, OutputGradient};
pub use kernel::{Kernel, Refusal};
pub use layout::{Layout, WeightLayout};
pub use op::{Axis, ConvTranspose, Convolution, Geometry, OutputPaddingPolicy};
pub use stop::Stop;
pub use tensor::{Bias, DType, Data, DataMut, DataView, Tensor, TensorView};
#[cfg(feature = "gpu")]
pub use wgpu;

/// The examples of the README and of docs/embedding.md, kept compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/embedding.md")]
struct Readme;
