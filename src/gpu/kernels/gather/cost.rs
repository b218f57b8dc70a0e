//! What `gather` is estimated to cost.

use crate::gpu::profile::{DeviceProfile, loop_iterations};
use crate::op::Geometry;

/// What an invocation counts towards the device's bound on iterations, with so many input channels and taps along
/// (d, h, w): four loops, one inside the other.
pub(crate) fn iterations(channels: usize, [z, y, x]: [usize; 3]) -> u64 {
    [x, y, z, channels].iter().fold(0, |inner, &count| loop_iterations(count as u64, inner))
}

/// The cost in multiply-adds of one lane, as that of tiles: it reads an input and a weight for each multiply-add.
pub(crate) fn cost(geometry: &Geometry, profile: &DeviceProfile) -> f64 {
    let hardware = profile.class.hardware();
    let useful = geometry.useful_multiply_adds() as f64;
    let outputs = geometry.output_len() as f64;
    let occupied = (hardware.invocations / outputs.max(1.0)).max(1.0);
    occupied * (useful * (2.0 * hardware.read + 1.0) + outputs * hardware.read)
}
