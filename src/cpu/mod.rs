//! The multithreaded CPU backend.
//!
//! [`Layer`] mirrors [`gpu::Layer`](crate::gpu::Layer), and [`Graph`] a network of them: weights are packed once, and it
//! may be run on any number of inputs and threads. Work is spread over rayon's current pool, so that the number of
//! threads is the caller's; where there is none and the system gives no threads, that is
//! [`Error::Threads`](crate::Error::Threads):
//!
//! ```
//! # fn main() -> Result<(), upconv::Error> {
//! use upconv::{ConvTranspose, Tensor};
//! let op = ConvTranspose::builder().kernel([2, 2]).stride([2, 2]).build()?;
//! let layer = upconv::cpu::Layer::new(&op, &Tensor::f32([1, 1, 2, 2], [1.0, 2.0, 3.0, 4.0])?, None)?;
//! let output = layer.run(&Tensor::f32([1, 1, 1, 1], [10.0])?)?;
//! assert_eq!(output, Tensor::f32([1, 1, 2, 2], [10.0, 20.0, 30.0, 40.0])?);
//! # Ok(())
//! # }
//! ```
//!
//! An ordinary convolution is a layer too ([`Layer::convolution`]), and a layer has the gradients that training needs, one by
//! one or all at once ([`Layer::backward`]).
//!
//! Each element of a result is accumulated in an order that the operation alone fixes, so that every run gives the same bits,
//! whatever the number of threads. They differ between [levels](Level) of vector instructions.
//!
//! How it works: by the phase table (`phase.rs`) each phase is a convolution of stride 1, computed as a matrix
//! product. `choice` chooses how, and how the work is cut into tasks, by the estimates of `cost`; a task fills a panel with
//! its part of the input (`boxed`, `im2col` or `batched`), the `microkernel` multiplies it with the `packed` weights in
//! registers, the `epilogue` applies the activation, and `interleave` stores the phases side by side in the output. Where an
//! error in proportion to the largest sum is allowed, `winograd` computes wide layers with fewer multiplications. All
//! else is left to `gather`: weights that are infinite or NaN (which must not be multiplied with the zeros around an input),
//! and huge dilations. f64 goes the same way as f32, with half as many elements in a vector.
//!
//! An ordinary convolution with a stride has one phase, whose neighbouring outputs read inputs
//! a step apart: a panel has these side by side.
//!
//! A backward pass (`gradient`) first takes the gradient of the output through the activation's `derivative`. The input's
//! gradient is then the ordinary convolution with the same weights, as a layer of its own; the weight's is a `correlation`,
//! computed by the same microkernel as sums of `outer` products, literally where an infinity forbids that; the bias's
//! are `channel_sums`.

mod batched;
mod boxed;
mod cache;
mod channel_sums;
mod choice;
mod computation;
mod correlation;
mod cost;
mod derivative;
mod element;
mod elementwise;
mod epilogue;
mod explain;
mod gather;
mod gradient;
mod graph;
mod im2col;
mod interleave;
mod layer;
mod map;
mod mean;
mod memory;
mod microkernel;
mod order;
mod outer;
mod output;
mod packed;
mod panel;
mod pre_activation;
mod products;
mod range;
mod scratch;
mod simd;
mod smooth;
mod task;
mod threads;
mod winograd;
mod work;

pub use explain::Explanation;
pub use graph::{Graph, PreparedGraph};
pub use layer::Layer;
pub use simd::Level;
#[cfg(feature = "picture")]
pub(crate) use threads::ensure as ensure_threads;
