//! What was measured to be the fastest on an adapter, remembered: a plan's estimate knows the adapter's class alone.
//!
//! ```no_run
//! use upconv::gpu::{AdapterRequest, Context, Effort, Layer, Tuning};
//! use upconv::{Storage, Tensor, reference};
//! # fn example(op: upconv::ConvTranspose, weight: upconv::Tensor, input: Tensor) -> upconv::Result<()> {
//! let context = Context::request(&AdapterRequest::default())?;
//! let layer = Layer::new(&context, &op, &weight, None)?;
//! let expected = reference::conv_transpose(&op, &input, &weight, None)?;
//! let mut tuning = Tuning::default(); // or Tuning::from_json(&text)?
//! let passed = |output: &Tensor| -> upconv::Result<bool> { Ok(expected.compare(output)?.passed()) };
//! tuning.measure(&layer, &input, Effort::default(), passed)?;
//! let text = tuning.to_json(); // to be kept for the next run
//!
//! let layer = Layer::new(&context.tuned(tuning), &op, &weight, None)?;
//! let prepared = layer.prepare(input.shape(), Storage::F32)?; // the fastest, from now on
//! # Ok::<(), upconv::Error>(())
//! # }
//! ```

pub(crate) mod choices;
#[cfg(feature = "tune")]
mod json;
mod measure;
mod plan;

pub use choices::Tuning;
pub use measure::{Effort, Outcome, Trial};
