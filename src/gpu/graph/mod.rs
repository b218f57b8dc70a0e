//! A graph on a device.

mod kernel;
mod map;
mod mean;
mod on_device;
mod packed;
mod prepared;

pub use on_device::Graph;
pub use prepared::{PendingGraph, PreparedGraph};
