pub(crate) mod grid;
pub(crate) mod params;
pub(crate) mod products;
pub(crate) mod slab;
pub(crate) mod tile;
pub(crate) mod tiled;
pub(crate) mod wgsl;
mod wgsl_slab;
