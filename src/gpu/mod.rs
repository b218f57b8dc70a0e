//! Everything that touches a device: contexts, packed weights, pipelines, encoding and readback.
//!
//! [`Layer::run`] is the convenience: upload, dispatch, read back. Inside an application that already has a device, a
//! layer is prepared for a shape, bound to the caller's buffers, and recorded into the caller's pass:
//!
//! ```no_run
//! # fn example(device: upconv::wgpu::Device, queue: upconv::wgpu::Queue, input: upconv::wgpu::Buffer,
//! #     output: upconv::wgpu::Buffer, op: upconv::ConvTranspose, weight: upconv::Tensor,
//! #     mut pass: upconv::wgpu::ComputePass<'_>) -> upconv::Result<()> {
//! let context = upconv::gpu::Context::new(device, queue);
//! let layer = upconv::gpu::Layer::new(&context, &op, &weight, None)?;
//! let prepared = layer.prepare(&[1, 64, 128, 128], upconv::Storage::F32)?;
//! let bound = prepared.bind(input.slice(..), output.slice(..))?;
//! bound.encode(&mut pass);
//! # Ok(())
//! # }
//! ```

mod adapter;
mod cache;
mod chain;
mod context;
mod direct;
mod gather;
mod layer;
mod matrix;
mod params;
mod pipeline_cache;
mod prepared;
mod shader;
mod slice;
mod span;
mod staging;
mod step;
mod sum;
mod texture;
mod timing;
mod transfer;
mod tune;
mod winograd;

pub use adapter::{AdapterRequest, adapters};
pub use chain::{BoundChain, Chain, Pending, PreparedChain};
pub use context::Context;
pub use layer::Layer;
pub use prepared::{Bound, Prepared};
pub use shader::wgsl;
pub use texture::{BoundTexture, Encoding, TextureReader, TextureWriter};
pub use timing::{DispatchTime, Timestamps};
pub use tune::Tuning;
#[cfg(not(target_family = "wasm"))]
pub use tune::{Effort, Outcome, Trial};

/// Waits for a future where blocking is possible: everywhere but in a browser.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}
