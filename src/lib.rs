//! Transposed convolution on any GPU that wgpu reaches.

pub mod activation;
pub mod convention;
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

pub use activation::Activation;
pub use convention::Convention;
pub use error::{Error, Result};
pub use layout::{Layout, WeightLayout};
pub use op::{Axis, ConvTranspose, Geometry, OutputPaddingPolicy};
pub use plan::{DeviceClass, DeviceProfile, Kernel, Plan, Storage};
pub use tensor::{DType, Data, Tensor};
pub use wgpu;
