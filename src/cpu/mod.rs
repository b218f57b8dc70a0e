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
//! whatever the number of threads.

mod choice;
mod element;
mod finish;
mod gather;
mod lay;
mod layer;
mod output;
mod packed;
mod panel;
mod product;
mod products;
mod simd;
mod task;

pub use layer::Layer;
pub use simd::Level;
