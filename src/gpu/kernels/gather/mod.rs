//! `shaders/gather.wgsl`: one invocation for one output element; any operation.

pub(crate) mod params;
