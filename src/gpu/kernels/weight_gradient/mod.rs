//! The gradients of the weight and of the bias: parts of long sums, and the sum of the parts.
//!
//! `shaders/weight_gradient.wgsl` is the readable kernel, for any operation; `weight_tiles` computes a tile of weights in
//! an invocation, its text is written by [`wgsl`]. `shaders/bias_gradient.wgsl` is for the bias.
//! `shaders/gradient_sum.wgsl` adds up the parts of all of them.

pub(crate) mod params;
pub(crate) mod search;
pub(crate) mod tile;
pub(crate) mod wgsl;
