pub(crate) mod layout;
pub(crate) mod params;
pub(crate) mod wgsl;
