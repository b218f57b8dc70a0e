//! Transposed convolution on any GPU that wgpu reaches.

pub mod activation;
#[cfg(feature = "cpu")]
pub mod cpu;
pub mod error;
pub mod gpu;
pub mod layout;
pub mod op;
pub mod phase;
pub mod plan;
pub mod reference;
pub mod tensor;
#[cfg(feature = "picture")]
pub mod upscale;

pub use activation::Activation;
pub use error::{Error, Result};
pub use layout::{Layout, WeightLayout};
pub use op::{Axis, ConvTranspose, Geometry, OutputPaddingPolicy};
pub use plan::{DeviceProfile, Plan, Storage};
pub use tensor::{DType, Data, Tensor};
pub use wgpu;
