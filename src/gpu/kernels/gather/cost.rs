//! What `gather` is estimated to cost.

use crate::gpu::profile::DeviceProfile;
use crate::op::Geometry;

/// The cost in multiply-adds of one lane, as that of tiles: it reads an input and a weight for each multiply-add.
pub(crate) fn cost(geometry: &Geometry, profile: &DeviceProfile) -> f64 {
    let hardware = profile.class.hardware();
    let useful = geometry.useful_multiply_adds() as f64;
    let outputs = geometry.output_len() as f64;
    let occupied = (hardware.invocations / outputs.max(1.0)).max(1.0);
    occupied * (useful * (2.0 * hardware.read + 1.0) + outputs * hardware.read)
}
