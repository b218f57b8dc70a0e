//! How Winograd's filtering is laid out on a device: into how many tiles, and how many of them at a time.

use super::{DeviceProfile, Kernel, Plan, Storage};
use crate::error::Result;
use crate::op::{ConvTranspose, Geometry};
use crate::winograd::serves;

pub(crate) use crate::winograd::{PATCH, TILE};

/// The points at which a tile's products are taken: for each of them there is one matrix product over the channels.
pub(crate) const POINTS: usize = PATCH * PATCH;

/// The most bytes that stand between the kernels: what exceeds it is computed in chunks of tiles, one after another.
/// Measured on lavapipe: from 16 to 64 MiB make no difference, and more leaves the processor's cache.
const SCRATCH: u64 = 32 << 20;

/// Tiles of a chunk come in multiples of this, which is what the widest tile of `direct` takes along a row.
const CHUNK: usize = 16;

/// The tiles of an operation on two axes, and the products between the two transforms.
#[derive(Clone, Debug, PartialEq)]
pub struct Winograd {
    /// Tiles of 4×4 outputs along (h, w); along w as many more as make whole quads of them.
    pub tiles: [usize; 2],
    /// Tiles that are computed at a time.
    pub chunk: usize,
    /// How many such chunks there are; the last one may hold fewer tiles.
    pub chunks: usize,
    /// The products of a chunk as the one operation: 36 groups of channels, one for each point, along one axis of tiles.
    pub product: ConvTranspose,
    /// The plan of `product`.
    pub plan: Box<Plan>,
}

impl Winograd {
    /// The bytes between the kernels: inputs at their points, and the products.
    pub fn scratch(&self) -> [u64; 2] {
        [self.product.in_channels(), self.product.out_channels()].map(|channels| (channels * self.chunk) as u64 * 4)
    }

    /// The dispatches: two transforms and the products for each chunk.
    pub fn dispatches(&self) -> usize {
        self.chunks * (2 + self.plan.dispatches.len())
    }
}

/// Lays out an operation, or says why it cannot be.
pub(super) fn winograd(
    op: &ConvTranspose,
    geometry: &Geometry,
    storage: Storage,
    profile: &DeviceProfile,
) -> Result<std::result::Result<Winograd, String>> {
    if !serves(op) {
        return Ok(Err("it is for kernel 3x3, stride 1, dilation 1 and one group on two axes".into()));
    }
    let largest = geometry.input_len().max(geometry.output_len()) as u64 * storage.size();
    if largest > profile.max_binding {
        return Ok(Err(format!("a tensor takes {largest} bytes, which exceed a binding of {}", profile.max_binding)));
    }
    let channels = op.in_channels().max(op.out_channels());
    if channels > profile.max_workgroups as usize {
        return Ok(Err(format!("{channels} channels exceed the {} workgroups of a dispatch", profile.max_workgroups)));
    }
    let product = ConvTranspose::builder()
        .in_channels(POINTS * op.in_channels())
        .out_channels(POINTS * op.out_channels())
        .groups(POINTS)
        .kernel([1])
        .build()?;

    let [_, height, width] = geometry.output;
    let tiles = [height.div_ceil(TILE), width.div_ceil(TILE).next_multiple_of(4)];
    let all = geometry.batch * tiles[0] * tiles[1];
    let bytes = |channels: usize| (POINTS * channels) as u64 * 4;
    let most = (SCRATCH / (bytes(op.in_channels()) + bytes(op.out_channels())))
        .min(profile.max_binding / bytes(channels))
        .max(1) as usize;
    let chunks = all.div_ceil(most.next_multiple_of(CHUNK)).max(1);
    let chunk = all.div_ceil(chunks).next_multiple_of(CHUNK).max(CHUNK);
    let chunks = all.div_ceil(chunk);

    let at = product.at(&[1, product.in_channels(), chunk])?;
    let plan = super::plan_with(&product, &at, Storage::F32, profile, Kernel::Direct)
        .or_else(|_| super::plan_with(&product, &at, Storage::F32, profile, Kernel::Gather))?;
    Ok(Ok(Winograd { tiles, chunk, chunks, product, plan: Box::new(plan) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(channels: [usize; 2]) -> ConvTranspose {
        let builder = ConvTranspose::builder().in_channels(channels[0]).out_channels(channels[1]);
        builder.kernel([3, 3]).padding([2, 2]).build().unwrap()
    }

    fn laid_out(op: &ConvTranspose, shape: &[usize], profile: &DeviceProfile) -> Winograd {
        winograd(op, &op.at(shape).unwrap(), Storage::F32, profile).unwrap().unwrap()
    }

    #[test]
    fn chunks_cover_all_tiles_within_the_scratch() {
        for (channels, shape) in
            [([128, 256], [1, 128, 262, 262]), ([3, 16], [2, 3, 20, 33]), ([512, 512], [1, 512, 9, 300])]
        {
            let op = op(channels);
            let laid = laid_out(&op, &shape, &DeviceProfile::default());
            let [height, width] = [shape[2] - 2, shape[3] - 2];
            assert!(laid.tiles[0] * TILE >= height && laid.tiles[1] * TILE >= width && laid.tiles[1].is_multiple_of(4));
            let all = shape[0] * laid.tiles[0] * laid.tiles[1];
            assert!(laid.chunks * laid.chunk >= all && (laid.chunks - 1) * laid.chunk < all);
            // One chunk of the least size may be more than that, but not by more than itself.
            let least = (POINTS * (channels[0] + channels[1]) * CHUNK * 4) as u64;
            assert!(laid.scratch().iter().sum::<u64>() <= SCRATCH + least);
        }
    }

    #[test]
    fn what_it_is_not_for_is_refused() {
        let refusal = |op: ConvTranspose, shape: &[usize], profile: &DeviceProfile| {
            winograd(&op, &op.at(shape).unwrap(), Storage::F32, profile).unwrap().unwrap_err()
        };
        let strided = ConvTranspose::builder().kernel([3, 3]).stride([2, 2]).build().unwrap();
        assert!(refusal(strided, &[1, 1, 4, 4], &DeviceProfile::default()).contains("stride 1"));
        let small = DeviceProfile { max_binding: 1024, ..DeviceProfile::default() };
        assert!(refusal(op([1, 1]), &[1, 1, 40, 40], &small).contains("6400 bytes"));
        let few = DeviceProfile { max_workgroups: 8, ..DeviceProfile::default() };
        assert!(refusal(op([9, 2]), &[1, 9, 5, 5], &few).contains("9 channels exceed the 8"));
    }
}
