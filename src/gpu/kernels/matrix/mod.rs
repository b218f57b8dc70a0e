//! `shaders/matrix.wgsl`: matrix products, phase by phase, on cooperative matrices.

pub(crate) mod cost;
pub(crate) mod layout;
pub(crate) mod params;
pub(crate) mod wgsl;
