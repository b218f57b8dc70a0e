//! `direct` and `tiled`: an invocation computes a tile of outputs in its registers.

pub(crate) mod axis;
pub(crate) mod buffers;
pub(crate) mod build;
pub(crate) mod cost;
pub(crate) mod grid;
pub(crate) mod params;
pub(crate) mod products;
pub(crate) mod program;
pub(crate) mod register_search;
pub(crate) mod register_tile;
pub(crate) mod source;
pub(crate) mod tile;
pub(crate) mod wgsl;
pub(crate) mod workgroup_search;
pub(crate) mod workgroup_tile;
