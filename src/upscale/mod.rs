//! Pictures enlarged by whole factors, as transposed convolutions: by a resampling filter ([`Method`]) or by a trained
//! network ([`Network`]).

pub mod network;
mod replicate;
pub mod resample;

pub use network::Network;
pub use resample::{MAX_SCALE, Method, Upsampler, bilinear_kernel};
