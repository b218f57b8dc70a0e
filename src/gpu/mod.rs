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
//!
//! # Which bits are the same
//!
//! The products of an output are added in an order that the operation and the kernel fix, each by `fma`, and nothing is
//! added atomically: with the same driver a layer gives the same bits each time. Limits that cut the work into bands, parts
//! of the input channels or submissions leave the order as it is. So the bits are the same as well, as far as the backend
//! rounds `fma` in the same way in every kernel. WGSL leaves open whether it is rounded once or twice:
//!
//! - Vulkan: `fma` is one instruction of SPIR-V; the drivers this was run on treat it alike in all kernels.
//! - Metal: `fma` is rounded once. But wgpu leaves Metal's fast math on, which may reorder what is not `fma`: activations,
//!   and the transforms of [`Kernel::Winograd`](crate::Kernel::Winograd).
//! - Direct3D 12: it becomes `mad`, which a compiler may round once or twice. Nothing is promised between cut and uncut.
//! - OpenGL: it is `fma` from GLSL 4.00 and GLSL ES 3.20 on; before, a product and a sum, as on Direct3D 12.
//! - In a browser: as on the backend that it uses.
//!
//! Other kernels, devices and drivers may differ in the last bits, within the bounds of the
//! [reference](crate::reference).

mod compiled;
mod device;
mod dispatch;
mod gradient;
mod graph;
mod hardware;
mod kernels;
mod layer;
mod plan;
mod pointwise;
mod prepared;
mod profile;
mod request;
mod storage;
mod texture;
mod timing;
mod tune;
mod warm;
mod weights;

pub use device::adapter::{AdapterRequest, adapter_number, adapters, check_environment};
pub use device::context::Context;
pub use dispatch::Band;
pub use gradient::{
    BackwardBuffers, GradientKernel, GradientPlan, GradientRequest, PreparedBackward, PreparedTraining,
    PreparedWeightGradient, Saved,
};
pub use graph::{Graph, PendingGraph, PreparedGraph};
pub use layer::Layer;
pub use plan::body::Plan;
pub use plan::candidate::{Candidate, candidates};
pub use plan::choice::Reuse;
pub use prepared::{Bound, Prepared};
pub use profile::{DeviceClass, DeviceProfile, Matrices};
pub use request::Request;
pub use storage::Storage;
pub use texture::{
    BoundDraw, BoundTarget, BoundTexture, Components, Curve, Pixels, Planes, Rectangle, TextureReader, TextureRegion,
    TextureRenderer, TextureWriter,
};
pub use timing::{DispatchTime, Timestamps};
pub use tune::{Effort, Outcome, Trial, Tuning};
