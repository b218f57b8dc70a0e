//! Transposed convolution (fractionally-strided convolution, deconvolution, up-convolution) on any GPU that [`wgpu`]
//! reaches: Vulkan, Metal, DX12, GL, and WebGPU in a browser; with a multithreaded CPU backend and an f64 reference
//! beside it.
//!
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
//! # Semantics
//!
//! - A tap outside the input contributes nothing, whatever its weight: a NaN or an infinity reaches the outputs its
//!   window covers, and no others. Outputs that no tap reaches hold exactly the bias.
//! - The output has the input's element type. f16 is summed in f32; bf16 is converted to f32; f64 is for the CPU
//!   backend and the reference.
//! - A batch of 0 gives an empty output. A spatial extent or a channel count of 0, and an output size below 1, are
//!   errors.

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
