//! The multithreaded CPU backend.
//!
//! [`Layer`] mirrors [`gpu::Layer`](crate::gpu::Layer): its weights are packed once, and it may be run on any number of
//! inputs and threads. Work is spread over rayon's current pool, so that the number of threads is the caller's:
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
//! Each output element is summed in an order that the operation alone fixes, so that every run gives the same bits,
//! whatever the number of threads. They differ between [levels](Level) of vector instructions.
//!
//! How it works: by the [phase table](crate::phase) each phase is a convolution of stride 1, computed as a matrix
//! product. `choice` decides how, and how the work is cut into tasks; a task fills a panel with its part of the input
//! (`boxed`, `gathered` or `batched`), `product` multiplies it with the `packed` weights in registers, `finish` applies
//! the activation, and `lay` puts the phases side by side into the output. What that does not serve is left to
//! `gather`: f64, weights that are infinite or NaN (the zeros around an input must not meet them), and huge dilations.

mod batched;
mod boxed;
mod choice;
mod element;
mod finish;
mod gather;
mod gathered;
mod lay;
mod layer;
mod output;
mod packed;
mod panel;
mod product;
mod products;
mod simd;
mod smooth;
mod task;
mod winograd;

pub use layer::Layer;
pub use simd::Level;
