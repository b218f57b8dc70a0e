//! `shaders/gather.wgsl`: one invocation for one output element; any operation.

pub(crate) mod cost;
pub(crate) mod params;
