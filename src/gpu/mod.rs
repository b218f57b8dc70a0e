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

mod chain;
mod device;
mod dispatch;
#[cfg(test)]
mod hardware;
mod kernels;
mod layer;
mod plan;
mod prepared;
mod profile;
mod storage;
#[cfg(test)]
mod texture;
mod timing;
mod tune;

pub use chain::{BoundChain, Chain, Pending, PreparedChain};
pub use device::adapter::{AdapterRequest, adapters};
pub use device::context::Context;
pub use dispatch::{Band, Dispatch, Window};
pub use kernels::variant::wgsl;
pub use layer::Layer;
pub use plan::{Candidate, Plan, candidates, plan, plan_candidate, plan_with};
pub use prepared::{Bound, Prepared};
pub use profile::{DeviceClass, DeviceProfile, Matrices};
pub use storage::Storage;
pub use texture::{BoundTexture, Encoding, TextureReader, TextureWriter};
pub use timing::{DispatchTime, Timestamps};
pub use tune::Tuning;
#[cfg(not(target_family = "wasm"))]
pub use tune::{Effort, Outcome, Trial};
