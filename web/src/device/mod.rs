//! What computes: of a module with the feature `gpu` the browser's device, of one with `cpu` the module itself.

#[cfg(not(any(feature = "gpu", feature = "cpu")))]
compile_error!("the module is built with the feature `gpu` or with `cpu`");
#[cfg(all(feature = "gpu", feature = "cpu"))]
compile_error!("a module has the feature `gpu` or `cpu`, so that a browser loads only what it needs");

#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "gpu")]
mod gpu;

#[cfg(feature = "cpu")]
pub use cpu::Device;
#[cfg(feature = "cpu")]
pub(crate) use cpu::DeviceLayer;
#[cfg(feature = "gpu")]
pub use gpu::Device;
#[cfg(feature = "gpu")]
pub(crate) use gpu::DeviceLayer;
