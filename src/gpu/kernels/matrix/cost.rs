//! What `matrix` is estimated to cost, beside the other kernels.

use super::layout::matrix;
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::op::Geometry;

/// Reading an input into the workgroup's memory, and a share of it from there, beside reading it from the buffer.
const BRING: f64 = 2.0;

/// The cost in multiply-adds of one lane, as that of tiles; `None` where the kernel cannot run, or is not known to pay.
pub(crate) fn cost(geometry: &Geometry, profile: &DeviceProfile) -> Option<f64> {
    let hardware = profile.class.hardware();
    let each = hardware.matrix?;
    // What fits with elements of f32 fits with those of f16.
    let (matrix, dispatch) = matrix(geometry, Storage::F32, profile).ok()?;
    let dispatch = dispatch?;
    let workgroups: f64 = dispatch.workgroups.map(f64::from).iter().product();
    let inputs = (matrix.extents.iter().product::<usize>() * dispatch.band.group_in_channels.len()) as f64;
    Some(dispatch.multiply_adds as f64 * each + workgroups * inputs * BRING * hardware.read)
}
