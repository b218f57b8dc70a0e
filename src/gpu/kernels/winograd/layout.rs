//! How Winograd's filtering is laid out on a device: into how many tiles, and how many of them at a time.

use crate::gpu::kernels::pack::records::record_bytes;
use crate::gpu::profile::{DeviceClass, DeviceProfile};
use crate::gpu::storage::Storage;
use crate::kernel::Refusal;
use crate::op::{ConvTranspose, Geometry, OutputPaddingPolicy};
use crate::winograd::{Filter, filters};

/// The most bytes that stand between the kernels: what exceeds it is computed in chunks of tiles, one after another.
const SCRATCH: u64 = 32 << 20;

/// The same for a processor, whose caches are smaller. Measured on lavapipe: a layer of 128 channels takes 1.4 times as
/// long with 32 MiB, and half as long again with 1 MiB, of which a chunk has too few tiles.
const SCRATCH_OF_PROCESSORS: u64 = 4 << 20;

/// Tiles of a chunk come in multiples of this, which is what the widest tile of `direct` takes along a row.
const CHUNK: usize = 16;

/// The tiles of an operation, and the products between the two transforms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Winograd {
    /// How (h, w) are computed.
    pub(crate) filters: [Filter; 2],
    /// Tiles along (h, w).
    pub(crate) tiles: [usize; 2],
    /// Tiles that are computed at a time.
    pub(crate) chunk: usize,
    /// How many such chunks there are; the last one may hold fewer tiles.
    pub(crate) chunks: usize,
    /// Slices along d of the input and of the output.
    pub(crate) depths: [usize; 2],
    /// The products of a chunk as the one operation: a group of channels for each point of each class of phases, with the
    /// outputs of its phases one after another; along d what the operation has there, along w the tiles.
    pub(crate) product: ConvTranspose,
}

impl Winograd {
    /// The shape of the products' input.
    pub(crate) fn product_shape(&self) -> Vec<usize> {
        let mut shape = vec![1, self.product.in_channels(), self.depths[0], self.chunk];
        if self.product.rank() == 1 {
            shape.remove(2);
        }
        shape
    }

    /// The bytes between the kernels: inputs at their points, and the products.
    pub(crate) fn scratch(&self) -> [u64; 2] {
        let channels = [self.product.in_channels(), self.product.out_channels()];
        [0, 1].map(|side| bytes([channels[side], self.depths[side], self.chunk]))
    }
}

fn bytes(extents: [usize; 3]) -> u64 {
    extents.into_iter().fold(4, |bytes: u64, extent| bytes.saturating_mul(extent as u64))
}

/// Lays out an operation.
///
/// # Errors
/// Why it cannot be: another kind of operation, or a tensor, its weights as they are or at the points, or the scratch of
/// one chunk beyond a binding.
pub(crate) fn winograd(geometry: &Geometry, storage: Storage, profile: &DeviceProfile) -> Result<Winograd, Refusal> {
    let op = &geometry.op;
    let filters = filters(op).ok_or(Refusal::NotFiltered)?;
    let limit = profile.max_binding;
    let product_of = |of: fn(Filter) -> usize| filters.into_iter().map(of).product::<usize>();
    let groups = product_of(|filter| filter.classes() * filter.points());
    let (phases, axes) = (product_of(Filter::phases), op.axes3());
    let ([inputs, outputs], depth) = ([op.in_channels(), op.out_channels()], axes[0].kernel);
    let elements = geometry.input_len().max(geometry.output_len()) as u64;
    let at_points = bytes([inputs, outputs, depth]).saturating_mul((groups * phases) as u64);
    let bindings = [
        ("a tensor's elements", elements.saturating_mul(storage.size())),
        ("the weights", record_bytes(op)),
        ("the weights at the points", at_points),
    ];
    if let Some(&(what, bytes)) = bindings.iter().find(|&&(_, bytes)| bytes > limit) {
        return Err(Refusal::Binding { what, bytes, limit });
    }
    let depths = [geometry.input[0], geometry.output[0]];
    for (count, what) in [(inputs.max(outputs), "channels"), (depths[0].max(depths[1]), "slices")] {
        let limit = profile.max_workgroups.into();
        if count as u64 > limit {
            return Err(Refusal::Workgroups { what: format!("{count} {what}"), limit });
        }
    }
    let tiles = [1, 2].map(|axis| geometry.output[axis].div_ceil(filters[axis - 1].outputs()));
    let all = geometry.batch * tiles[0] * tiles[1];
    let one = [inputs * depths[0], outputs * phases * depths[1]].map(|numbers| bytes([groups, numbers, 1]));
    let scratch = if profile.class == DeviceClass::Software { SCRATCH_OF_PROCESSORS } else { SCRATCH };
    let most = (scratch / (one[0] + one[1]).max(1)).min(limit / one[0].max(one[1]).max(1)).max(1) as usize;
    // A chunk is submitted as a whole: other work may use the scratch as soon as a submission ends.
    let allowed = profile.max_multiply_adds / (at_points / 4).saturating_mul(depths[1] as u64).max(1);
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX) / CHUNK * CHUNK;
    let chunks = all.div_ceil(most.next_multiple_of(CHUNK).min(allowed.max(CHUNK))).max(1);
    let chunk = all.div_ceil(chunks).next_multiple_of(CHUNK).max(CHUNK);
    let chunks = all.div_ceil(chunk);

    let product = product(op, groups, phases).map_err(|_| Refusal::NotFiltered)?;
    let winograd = Winograd { filters, tiles, chunk, chunks, depths, product };
    let records = ("the weights at the points", record_bytes(&winograd.product));
    let scratch = winograd.scratch().map(|bytes| ("the tiles of a chunk", bytes));
    match [records, scratch[0], scratch[1]].into_iter().find(|&(_, bytes)| bytes > limit) {
        Some((what, bytes)) => Err(Refusal::Binding { what, bytes, limit }),
        None => Ok(winograd),
    }
}

/// The products of so many points of an operation as the one operation.
fn product(op: &ConvTranspose, groups: usize, phases: usize) -> crate::Result<ConvTranspose> {
    let builder = ConvTranspose::builder()
        .in_channels(groups * op.in_channels())
        .out_channels(groups * phases * op.out_channels())
        .groups(groups);
    if op.rank() < 3 {
        return builder.kernel([1]).build();
    }
    let d = op.axes3()[0];
    builder
        .kernel([d.kernel, 1])
        .stride([d.stride, 1])
        .dilation([d.dilation, 1])
        .padding([(d.pad_begin, d.pad_end), (0, 0)])
        .output_padding_policy(OutputPaddingPolicy::Lenient)
        .output_padding([d.output_padding, 0])
        .build()
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
            assert!(laid.tiles[0] * 4 >= height && laid.tiles[1] * 4 >= width);
            let all = shape[0] * laid.tiles[0] * laid.tiles[1];
            assert!(laid.chunks * laid.chunk >= all && (laid.chunks - 1) * laid.chunk < all);
            // One chunk of the least size may be more than that, but not by more than itself.
            let least = (36 * (channels[0] + channels[1]) * CHUNK * 4) as u64;
            assert!(laid.scratch().iter().sum::<u64>() <= SCRATCH + least, "{laid:?}");
        }
    }

    #[test]
    fn a_chunk_stays_within_the_multiply_adds_of_a_submission() {
        let (op, shape) = (op([64, 32]), [1, 64, 200, 200]);
        let tile = 36 * 64 * 32;
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
        assert!(refusal(strided, &[1, 1, 4, 4], &DeviceProfile::default()).contains("kernel 3 at stride 1"));
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
