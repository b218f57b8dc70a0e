pub(crate) mod cost;
pub(crate) mod params;
