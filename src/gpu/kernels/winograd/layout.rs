//! How Winograd's filtering is laid out on a device: into how many tiles, and how many of them at a time.

use crate::error::{Error, Result};
use crate::gpu::kernels::pack::records::record_bytes;
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::kernel::{Kernel, Refusal};
use crate::op::{ConvTranspose, Geometry};
use crate::winograd::{POINTS, TILE, serves};

/// The most bytes that stand between the kernels: what exceeds it is computed in chunks of tiles, one after another.
/// Measured on lavapipe: from 16 to 64 MiB make no difference, and more leaves the processor's cache.
const SCRATCH: u64 = 32 << 20;

/// Tiles of a chunk come in multiples of this, which is what the widest tile of `direct` takes along a row.
const CHUNK: usize = 16;

/// The tiles of an operation on two axes, and the products between the two transforms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Winograd {
    /// Tiles of 4×4 outputs along (h, w); along w as many more as make whole quads of them.
    pub(crate) tiles: [usize; 2],
    /// Tiles that are computed at a time.
    pub(crate) chunk: usize,
    /// How many such chunks there are; the last one may hold fewer tiles.
    pub(crate) chunks: usize,
    /// The products of a chunk as the one operation: 36 groups of channels, one for each point, along one axis of tiles.
    pub(crate) product: ConvTranspose,
}

impl Winograd {
    /// The bytes between the kernels: inputs at their points, and the products.
    pub(crate) fn scratch(&self) -> [u64; 2] {
        [self.product.in_channels(), self.product.out_channels()].map(|channels| (channels * self.chunk) as u64 * 4)
    }
}

/// Lays out an operation.
///
/// # Errors
/// [`Error::Kernel`] saying why it cannot be: another kind of operation, or a tensor, its weights as they are or at the
/// points, or the scratch of one chunk beyond a binding.
pub(crate) fn winograd(geometry: &Geometry, storage: Storage, profile: &DeviceProfile) -> Result<Winograd> {
    let op = &geometry.op;
    let refuse = |reason| Err(Error::Kernel { kernel: Kernel::Winograd, reason });
    if !serves(op) {
        return refuse(Refusal::NotThreeByThree);
    }
    let limit = profile.max_binding;
    let elements = geometry.input_len().max(geometry.output_len()) as u64;
    let (weights, at_points) = (record_bytes(op), op.in_channels() as u64 * op.out_channels() as u64);
    let bindings = [
        ("a tensor's elements", elements.saturating_mul(storage.size())),
        ("the weights", weights),
        ("the weights at the points", at_points.saturating_mul(POINTS as u64 * 4)),
    ];
    if let Some(&(what, bytes)) = bindings.iter().find(|&&(_, bytes)| bytes > limit) {
        return refuse(Refusal::Binding { what, bytes, limit });
    }
    let channels = op.in_channels().max(op.out_channels());
    if channels > profile.max_workgroups as usize {
        let (what, limit) = (format!("{channels} channels"), profile.max_workgroups.into());
        return refuse(Refusal::Workgroups { what, limit });
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
    // A chunk is submitted as a whole: other work may use the scratch as soon as a submission ends.
    let allowed = profile.max_multiply_adds / at_points.saturating_mul(POINTS as u64);
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX) / CHUNK * CHUNK;
    let chunks = all.div_ceil(most.next_multiple_of(CHUNK).min(allowed.max(CHUNK))).max(1);
    let chunk = all.div_ceil(chunks).next_multiple_of(CHUNK).max(CHUNK);
    let chunks = all.div_ceil(chunk);

    let winograd = Winograd { tiles, chunk, chunks, product };
    let records = ("the weights at the points", record_bytes(&winograd.product));
    let scratch = winograd.scratch().map(|bytes| ("the tiles of a chunk", bytes));
    match [records, scratch[0], scratch[1]].into_iter().find(|&(_, bytes)| bytes > limit) {
        Some((what, bytes)) => refuse(Refusal::Binding { what, bytes, limit }),
        None => Ok(winograd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(channels: [usize; 2]) -> ConvTranspose {
        let builder = ConvTranspose::builder().in_channels(channels[0]).out_channels(channels[1]);
        builder.kernel([3, 3]).padding([2, 2]).build().unwrap()
    }

    fn laid_out(op: &ConvTranspose, shape: &[usize], profile: &DeviceProfile) -> Winograd {
        winograd(&op.at(shape).unwrap(), Storage::F32, profile).unwrap()
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
    fn a_chunk_stays_within_the_multiply_adds_of_a_submission() {
        let (op, shape) = (op([64, 32]), [1, 64, 200, 200]);
        let tile = (POINTS * 64 * 32) as u64;
        for tiles in [16, 40, 100] {
            let profile = DeviceProfile { max_multiply_adds: tiles * tile, ..DeviceProfile::default() };
            assert!(laid_out(&op, &shape, &profile).chunk as u64 <= tiles);
        }
        // Fewer than the least make no smaller chunk.
        let profile = DeviceProfile { max_multiply_adds: 1, ..DeviceProfile::default() };
        assert_eq!(laid_out(&op, &shape, &profile).chunk, CHUNK);
    }

    #[test]
    fn what_it_is_not_for_is_refused() {
        let refusal = |op: ConvTranspose, shape: &[usize], profile: &DeviceProfile| {
            winograd(&op.at(shape).unwrap(), Storage::F32, profile).unwrap_err().to_string()
        };
        let strided = ConvTranspose::builder().kernel([3, 3]).stride([2, 2]).build().unwrap();
        assert!(refusal(strided, &[1, 1, 4, 4], &DeviceProfile::default()).contains("stride 1"));
        let small = DeviceProfile { max_binding: 1024, ..DeviceProfile::default() };
        assert!(refusal(op([1, 1]), &[1, 1, 40, 40], &small).contains("6400 bytes"));
        let few = DeviceProfile { max_workgroups: 8, ..DeviceProfile::default() };
        assert!(refusal(op([9, 2]), &[1, 9, 5, 5], &few).contains("9 channels exceed the 8"));
        // The weights fit a binding of 128 MiB; at the points, four times as many, they do not.
        let deep = refusal(op([1024, 1024]), &[1, 1024, 8, 8], &DeviceProfile::default());
        assert!(deep.contains("the weights at the points take 150994944 bytes, which exceed a binding of 134217728"));
        // Of few channels, one chunk of the least size is what does not fit.
        let tiny = DeviceProfile { max_binding: 2048, ..DeviceProfile::default() };
        assert!(refusal(op([1, 1]), &[1, 1, 8, 8], &tiny).contains("the tiles of a chunk take 2304 bytes"));
    }
}
