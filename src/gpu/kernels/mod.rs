//! The kernels: one folder for each, from what it costs to its WGSL.

pub(crate) mod activation;
pub(crate) mod fused;
pub(crate) mod gather;
pub(crate) mod header;
pub(crate) mod map;
pub(crate) mod matrix;
pub(crate) mod means;
pub(crate) mod pack;
pub(crate) mod params;
pub(crate) mod pointwise;
pub(crate) mod sum;
pub(crate) mod tiles;
pub(crate) mod variant;
pub(crate) mod weight_gradient;
pub(crate) mod winograd;
