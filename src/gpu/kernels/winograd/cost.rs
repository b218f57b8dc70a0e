//! What Winograd's filtering is estimated to cost.

use super::layout::{Winograd, winograd};
use crate::gpu::kernels::tiles::cost::SECOND_DISPATCH;
use crate::gpu::kernels::tiles::register_search::{self, Sums};
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::kernel::Refusal;
use crate::op::Geometry;

/// The cost in multiply-adds of one lane, as that of tiles: the products, and the two transforms around them.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn cost(geometry: &Geometry, profile: &DeviceProfile) -> Result<f64, Refusal> {
    // What fits with elements of f32 fits with those of f16.
    let laid = winograd(geometry, Storage::F32, profile)?;
    let shape = laid.product_shape();
    let products = laid.product.at(&shape).map_err(|_| Refusal::NotFiltered)?;
    let (products, _) = register_search::best(&products, profile, Sums::OneOrder)?;
    let hardware = profile.class.hardware();
    let tiles = geometry.batch * laid.tiles[0] * laid.tiles[1];
    let transform = |channels: usize, depth: usize, [reads, writes, sums]: [usize; 3]| {
        let invocations = ((tiles * channels * depth) as f64).max(hardware.invocations);
        invocations * ((reads + writes) as f64 * hardware.read + sums as f64)
    };
    let [to_points, to_outputs] = work(&laid);
    let transforms = transform(geometry.op.in_channels(), laid.depths[0], to_points)
        + transform(geometry.op.out_channels(), laid.depths[1], to_outputs);
    let waiting = 2.0 * hardware.invocations * SECOND_DISPATCH;
    Ok(transforms + laid.chunks as f64 * (products + waiting))
}

/// Numbers that an invocation of each transform reads and writes, and multiply-adds.
fn work(laid: &Winograd) -> [[usize; 3]; 2] {
    let [h, w] = laid.filters;
    let terms = |rows: Vec<&[f64]>| rows.concat().iter().filter(|&&factor| factor != 0.0).count();
    let input = [terms(h.input()) * h.classes(), terms(w.input()) * w.classes()];
    let output = [terms(h.output()) * h.stride, terms(w.output()) * w.stride];
    let points = [h.points() * h.classes(), w.points() * w.classes()];
    let products = h.points() * h.stride * w.points() * w.stride;
    [
        [h.patch() * w.patch(), points[0] * points[1], input[0] * w.patch() + input[1] * points[0]],
        [products, h.outputs() * w.outputs(), output[0] * w.points() * w.stride + output[1] * h.outputs()],
    ]
}
