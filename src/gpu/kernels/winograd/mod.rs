//! Winograd's filtering: two transforms (`shaders/winograd_*.wgsl`) around matrix products, which are the one operation again.

pub(crate) mod cost;
pub(crate) mod layout;
pub(crate) mod machine;
pub(crate) mod wgsl;
