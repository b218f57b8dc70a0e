//! Pictures enlarged by whole factors, as transposed convolutions: by a resampling filter ([`Method`]) or by a trained
//! network ([`Network`]).

mod encoding;
#[cfg(feature = "waifu2x")]
pub mod models;
pub mod network;
#[cfg(feature = "gpu")]
mod on_textures;
mod padded;
pub mod picture;
pub mod resample;

pub use encoding::Encoding;
#[cfg(feature = "waifu2x")]
pub use models::Model;
pub use network::Network;
#[cfg(feature = "gpu")]
pub use on_textures::{BoundOnTextures, OnTextures, PlacedOnTextures, PreparedOnTextures};
pub use resample::{MAX_SCALE, Method, Upsampler, bilinear_kernel};
