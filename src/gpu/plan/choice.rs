//! Which kernel, and which tile: the one with the least estimated cost.
//!
//! The estimate counts what an invocation does for one input channel: it reads inputs, reads weights and multiplies.
//! A larger tile reads less for each multiply-add, until its sums no longer fit the registers, until it computes more
//! beyond the output's edge than it saves, or until too few invocations are left to occupy the device.

use crate::gpu::dispatch::MAX_ELEMENTS;
use crate::gpu::hardware::Traits;
use crate::gpu::kernels::pack::tiles::{Packing, lanes};
use crate::gpu::kernels::tiles::tile::{Load, Order, Tile, TileAxis};
use crate::gpu::kernels::tiles::tiled::tiled;
use crate::gpu::profile::DeviceProfile;
use crate::kernel::Refusal;
use crate::op::{Axis, ConvTranspose, Geometry};

/// What was chosen, and why.
pub(crate) struct Choice {
    /// The tile of `direct`; `None` for `gather`.
    pub(crate) tile: Option<Tile>,
    pub(crate) reason: String,
}

impl Choice {
    pub(crate) fn gather(reason: &str) -> Self {
        let reason = format!("one invocation for one output element; {reason}");
        Self { tile: None, reason }
    }
}

/// The sizes a tile may have, in cells along (d, h, w), and in vectors of channels: few, so that few kernels exist.
pub(crate) const CELLS: [&[usize]; 3] = [&[1, 2, 4], &[1, 2, 4], &[1, 2, 4, 8, 16]];
pub(crate) const VECTORS: [usize; 4] = [1, 2, 3, 4];

/// The parts into which the phases of an axis may be cut, in phases.
const PHASES: [usize; 4] = [1, 2, 4, 8];

/// Into how many parts the input channels may be split, to be added up side by side.
const SPLITS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// The fewest input channels of a split.
const LEAST_SPLIT: usize = 8;

/// The most bytes of scratch memory that splits may leave their sums in, for the whole output.
const MAX_SPLIT_BYTES: usize = 64 << 20;

/// What the kernel that adds up the splits costs by having to wait for them: some 4 µs, in multiply-adds of each of the
/// invocations that occupy the device.
const SECOND_DISPATCH: f64 = 1500.0;

/// The most multiply-adds of vectors written out: beyond it compilers take seconds.
pub(crate) const MAX_WRITTEN_OUT: usize = 1300;

/// Input channels in a turn of the loop over them, the most first: the bound that wgpu puts on a loop, and the addresses,
/// are counted once for all of them.
const TURNS: [usize; 2] = [4, 2];

/// The most workgroups along z, which WebGPU guarantees: parts of the phases cannot be spread over dispatches.
const MAX_PARTS: usize = 65_535;

/// Counting, and moving on to the next input channel, in multiply-adds.
const LOOP: f64 = 8.0;

/// With fewer useful multiply-adds, `gather` is done before a kernel of the operation's own is compiled: 10 to 500 ms.
const LEAST_MULTIPLY_ADDS: u128 = 1 << 22;

/// The kernel with the least estimated cost.
pub(crate) fn choose(op: &ConvTranspose, geometry: &Geometry, profile: &DeviceProfile, most_splits: usize) -> Choice {
    let useful = geometry.useful_multiply_adds();
    if useful < LEAST_MULTIPLY_ADDS {
        return Choice::gather(&format!(
            "below {LEAST_MULTIPLY_ADDS} multiply-adds it is done before another kernel is compiled"
        ));
    }
    match direct(op, geometry, profile, most_splits) {
        Err(reason) => Choice::gather(&format!("`direct` cannot: {reason}")),
        Ok((direct, tile)) => {
            let traits = profile.class.traits();
            let ratio = gather(geometry, profile) / direct;
            if ratio < 1.0 {
                return Choice::gather(&format!("`direct` is estimated at {:.1} times its cost", 1.0 / ratio));
            }
            if let (Some(_), Ok((tiled, tile))) = (traits.shared, tiled(op, geometry, profile))
                && tiled < direct
            {
                let (ratio, direct) = (ratio * direct / tiled, direct / tiled);
                let reason = format!(
                    "the workgroup's memory shared; `direct` is estimated at {direct:.2} times its cost, `gather` at {ratio:.1}"
                );
                return Choice { tile: Some(tile), reason };
            }
            let reason = format!("a tile in registers; `gather` is estimated at {ratio:.1} times its cost");
            Choice { tile: Some(tile), reason }
        }
    }
}

/// The tile of `direct` with the least estimated cost among those of at most so many splits, behind that cost, or why
/// there is none.
pub(crate) fn direct(
    op: &ConvTranspose,
    geometry: &Geometry,
    profile: &DeviceProfile,
    most_splits: usize,
) -> Result<(f64, Tile), Refusal> {
    let mut best = (f64::INFINITY, None);
    visit_tiles(op, geometry, profile, |cost, tile| {
        if cost < best.0 && tile.splits <= most_splits {
            best = (cost, Some(tile));
        }
    })?;
    let (cost, tile) = best;
    Ok((cost, tile.ok_or_else(|| too_many_taps(op))?))
}

/// Every tile that `direct` may have, behind its estimated cost, or why there is none.
pub(crate) fn visit_tiles(
    op: &ConvTranspose,
    geometry: &Geometry,
    profile: &DeviceProfile,
    mut visit: impl FnMut(f64, Tile),
) -> Result<(), Refusal> {
    let traits = profile.class.traits();
    let packing = packed_weights(op, profile)?;
    let options = [0, 1, 2].map(|a| axis_options(&op.axes3()[a], geometry.input[a], geometry.output[a], CELLS[a]));
    let mut found = false;
    let mut visit = |cost: f64, tile: Tile| {
        found = true;
        visit(cost, tile);
    };
    for &vectors in VECTORS.iter().filter(|vectors| packing.vectors.is_multiple_of(**vectors)) {
        for z in &options[0] {
            for y in &options[1] {
                for x in &options[2] {
                    let tile = Tile {
                        rank: op.rank(),
                        axes: [z.axis, y.axis, x.axis],
                        width: packing.width,
                        vectors,
                        workgroup: traits.workgroup.min(profile.max_invocations),
                        ragged: !(op.out_channels() / op.groups()).is_multiple_of(packing.width),
                        input_quads: None,
                        output_quads: false,
                        rows: geometry.input_strides().spatial[2] == 1,
                        splits: 1,
                        turn: 1,
                        once: false,
                        order: Order::Taps,
                        slab: None,
                    };
                    let reads = [z, y, x].map(|option| option.reads);
                    let fits = |inputs: usize| tile.sums() + inputs.max(4) <= traits.registers;
                    let all_at_once = fits(reads.iter().product());
                    let tile = Tile { order: traits.order.of(&tile, all_at_once), ..tile };
                    let parted = tile.phase_parts() > 1;
                    if tile.written_out() > MAX_WRITTEN_OUT
                        || !(all_at_once || tile.order == Order::Rows && fits(z.axis.cells * y.axis.cells * reads[2]))
                        || parted && lanes(packing.width) < 4
                        || tile.phase_parts() > MAX_PARTS
                    {
                        continue;
                    }
                    let (tile, reading) = with_quads(&traits, op, geometry, profile, tile);
                    for tile in SPLITS.map(|splits| Tile { splits, ..tile }) {
                        if may_split(op, geometry, &tile) {
                            let tile = with_turns(&traits, op, geometry, profile, tile);
                            visit(cost(&traits, op, geometry, &packing, &tile, reading), tile);
                        }
                    }
                }
            }
        }
    }
    found.then_some(()).ok_or_else(|| too_many_taps(op))
}

fn too_many_taps(op: &ConvTranspose) -> Refusal {
    Refusal::TooManyTaps {
        kernel: op.axes().iter().map(|axis| axis.kernel).collect(),
        stride: op.axes().iter().map(|axis| axis.stride).collect(),
    }
}

/// The order of the weights, or why they cannot be read in it.
pub(crate) fn packed_weights(op: &ConvTranspose, profile: &DeviceProfile) -> Result<Packing, Refusal> {
    let packing = Packing::new(op);
    let weights = (op.groups() * packing.vectors * packing.record) as u64 * 16;
    if weights > profile.max_binding {
        return Err(Refusal::Binding { what: "its weights", bytes: weights, limit: profile.max_binding });
    }
    Ok(packing)
}

/// Whether outputs can be written four at a time along w.
pub(crate) fn writes_quads(geometry: &Geometry, profile: &DeviceProfile, x: &TileAxis) -> bool {
    profile.binding_alignment.is_multiple_of(16)
        && geometry.output_strides().spatial[2] == 1
        && geometry.output[2].is_multiple_of(4)
        && (x.phases.is_multiple_of(4) || x.phases == x.stride && (x.cells * x.stride).is_multiple_of(4))
}

/// Reads and writes four elements at a time where rows are whole quads and the tile fits them; with the cost of
/// reading for one input channel.
fn with_quads(
    traits: &Traits,
    op: &ConvTranspose,
    geometry: &Geometry,
    profile: &DeviceProfile,
    tile: Tile,
) -> (Tile, f64) {
    let x = tile.axes[2];
    let aligned = profile.binding_alignment.is_multiple_of(16);
    let tile = Tile { output_quads: writes_quads(geometry, profile, &x), ..tile };
    let one_by_one = reading(traits, &tile);
    let rows = geometry.input_strides().spatial[2] == 1 && geometry.input[2].is_multiple_of(4);
    // Distances that wrap cannot be turned into quads.
    let near = i32::try_from(geometry.input_len()).is_ok();
    if aligned && rows && near && x.cells.is_multiple_of(4) && x.phase_parts() == 1 {
        let axis = &op.axes3()[2];
        let lead = axis.pad_begin.div_euclid(axis.stride as i64).rem_euclid(4) as usize;
        let quads = Tile { input_quads: Some(lead), ..tile };
        let in_quads = reading(traits, &quads);
        if in_quads < one_by_one {
            return (quads, in_quads);
        }
    }
    (tile, one_by_one)
}

/// The cost of reading the inputs of one channel.
fn reading(traits: &Traits, tile: &Tile) -> f64 {
    let loads = [0, 1, 2].map(|a| tile.loads(a));
    let all: usize = loads.iter().map(Vec::len).product();
    let wanted = |which: fn(&Load) -> bool| -> usize {
        loads
            .iter()
            .map(|loads| loads.iter().filter(|load| which(load)).map(|load| load.wanted).sum::<usize>())
            .product()
    };
    let tested = wanted(|_| true) - wanted(|load| load.sure);
    let each = if tile.input_quads.is_some() { traits.quad } else { traits.read };
    all as f64 * each + tested as f64 * traits.test
}

/// As many input channels in a turn of the loop as its length allows. A part of the channels has whole turns, and has to
/// fit a binding; no bit depends on it.
fn with_turns(traits: &Traits, op: &ConvTranspose, geometry: &Geometry, profile: &DeviceProfile, tile: Tile) -> Tile {
    let channels = op.in_channels() / op.groups();
    let split = tile.split_channels(channels);
    let plane = geometry.input_strides().channel.saturating_mul(4) as u64;
    let fits = |turn: usize| {
        channels.is_multiple_of(turn)
            && split.is_multiple_of(turn)
            && turn * tile.multiply_adds() <= traits.turn
            && plane.saturating_mul(turn as u64) <= profile.max_binding.min(MAX_ELEMENTS * 4) / 2
    };
    let turn = TURNS.into_iter().find(|&turn| fits(turn)).unwrap_or(1);
    Tile { turn, once: turn == channels, ..tile }
}

/// What an invocation may compute along one axis, and the number of inputs it reads for it.
pub(crate) struct AxisOption {
    pub(crate) axis: TileAxis,
    reads: usize,
}

/// The sensible ones.
pub(crate) fn axis_options(axis: &Axis, input: usize, output: usize, cells: &[usize]) -> Vec<AxisOption> {
    // Beyond these neither the sums nor the written-out taps of a cell could fit; and the table would be long.
    let whole = (axis.stride <= 64 && axis.kernel <= 256).then_some(axis.stride);
    let phases = whole.into_iter().chain(PHASES.into_iter().filter(|&phases| phases < axis.stride));
    let extent = output.div_ceil(axis.stride);
    phases
        .flat_map(|phases| {
            cells.iter().filter_map(move |&cells| TileAxis::new(axis, cells, phases)).filter(|tile| {
                // A tile of twice the output's extent computes half of its sums for nothing.
                (tile.cells == 1 || tile.cells < 2 * extent) && tile.tap_count() <= 256
            })
        })
        .map(|tile| AxisOption { axis: tile.at(axis, input, output), reads: tile.reads().len() })
        .collect()
}

/// Whether the input channels may be split as the tile says: into parts that are none too small, with sums that are
/// none too many. It depends on no limit of the device, so that the order of additions does not either.
fn may_split(op: &ConvTranspose, geometry: &Geometry, tile: &Tile) -> bool {
    let channels = op.in_channels() / op.groups();
    let split = tile.split_channels(channels);
    let bytes = geometry.output_len().saturating_mul(tile.splits).saturating_mul(4);
    tile.splits == 1
        || split >= LEAST_SPLIT
            && channels.div_ceil(split) == tile.splits
            && bytes <= MAX_SPLIT_BYTES
            && tile.splits * tile.phase_parts() <= MAX_PARTS
}

/// The estimate, where reading the inputs of one channel costs `reading`.
fn cost(traits: &Traits, op: &ConvTranspose, geometry: &Geometry, packing: &Packing, tile: &Tile, reading: f64) -> f64 {
    let tiles: usize =
        (0..3).map(|a| geometry.output[a].div_ceil(tile.axes[a].stride).div_ceil(tile.axes[a].cells)).product();
    let blocks = packing.vectors / tile.vectors * op.groups();
    let invocations = (geometry.batch * tiles * blocks * tile.phase_parts() * tile.splits) as f64;
    let channels = tile.split_channels(op.in_channels() / op.groups()) as f64;
    let weights = (tile.taps() * tile.vectors * lanes(tile.width)).div_ceil(4) as f64;
    let weights = weights * (traits.weights + traits.unit / tile.unit(packing) as f64);
    let channel = reading + weights + tile.multiply_adds() as f64 + LOOP;
    let writing = if tile.output_quads { traits.quad / 4.0 } else { traits.read };
    let summing = if tile.splits == 1 { 0.0 } else { sum_cost(traits, geometry, tile.splits) };
    invocations.max(traits.invocations) * (channels * channel + tile.sums() as f64 * writing) + summing
}

/// The same for `sum`, which reads a sum of each split and writes an output.
fn sum_cost(traits: &Traits, geometry: &Geometry, splits: usize) -> f64 {
    let outputs = (geometry.output_len() as f64).max(traits.invocations);
    outputs * (splits + 1) as f64 * traits.read + traits.invocations * SECOND_DISPATCH
}

/// The same estimate for `gather`, which reads an input and a weight for each multiply-add.
pub(crate) fn gather(geometry: &Geometry, profile: &DeviceProfile) -> f64 {
    let traits = profile.class.traits();
    let useful = geometry.useful_multiply_adds() as f64;
    let outputs = geometry.output_len() as f64;
    let occupied = (traits.invocations / outputs.max(1.0)).max(1.0);
    occupied * (useful * (2.0 * traits.read + 1.0) + outputs * traits.read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::plan::field;
    use crate::gpu::profile::DeviceClass;

    const CLASSES: [DeviceClass; 5] =
        [DeviceClass::Software, DeviceClass::Desktop, DeviceClass::Nvidia, DeviceClass::Mobile, DeviceClass::Unknown];

    fn profile(class: DeviceClass) -> DeviceProfile {
        DeviceProfile { class, ..DeviceProfile::default() }
    }

    #[test]
    fn the_fields_operations_get_a_tile_on_every_class() {
        for class in CLASSES {
            for (name, op, shape) in field::operations() {
                let choice = choose(&op, &op.at(&shape).unwrap(), &profile(class), usize::MAX);
                assert!(choice.tile.is_some(), "{name} on {class:?}: {}", choice.reason);
                assert!(
                    choice.reason.contains("is estimated at") && choice.reason.contains("`gather`"),
                    "{}",
                    choice.reason
                );
            }
        }
    }

    #[test]
    fn a_tile_stays_within_its_bounds() {
        for class in CLASSES {
            for max_invocations in [1, 32, 256] {
                let profile = DeviceProfile { max_invocations, ..profile(class) };
                for (name, op, shape) in field::operations() {
                    let (cost, tile) = direct(&op, &op.at(&shape).unwrap(), &profile, usize::MAX).unwrap();
                    assert!(cost.is_finite() && cost > 0.0, "{name}: {cost}");
                    assert!(tile.workgroup <= max_invocations, "{name}: {tile:?}");
                    assert!(tile.written_out() <= MAX_WRITTEN_OUT, "{name}: {tile:?}");
                    assert!(tile.sums() < class.traits().registers, "{name}: {tile:?}");
                    assert!(Packing::new(&op).vectors.is_multiple_of(tile.vectors), "{name}: {tile:?}");
                }
            }
        }
    }

    #[test]
    fn more_work_never_gets_a_smaller_tile() {
        for class in CLASSES {
            for (name, op, mut shape) in field::operations() {
                let mut least = 0;
                for batch in [1, 2, 4, 8, 16, 64, 256] {
                    shape[0] = batch;
                    let (_, tile) = direct(&op, &op.at(&shape).unwrap(), &profile(class), 1).unwrap();
                    assert!(tile.sums() >= least, "{name} on {class:?}, batch {batch}: {tile}, {least} before");
                    least = tile.sums();
                }
            }
        }
    }

    /// A layer of kernel 2 and stride 2, whose cells have one tap for each output.
    fn unet(in_channels: usize) -> ConvTranspose {
        ConvTranspose::builder()
            .in_channels(in_channels)
            .out_channels(64)
            .kernel([2, 2])
            .stride([2, 2])
            .build()
            .unwrap()
    }

    #[test]
    fn a_turn_of_the_loop_has_as_many_channels_as_divide_those_of_a_split_and_keep_it_short() {
        for class in CLASSES {
            for (name, op, shape) in field::operations() {
                let (geometry, channels) = (op.at(&shape).unwrap(), op.in_channels() / op.groups());
                visit_tiles(&op, &geometry, &profile(class), |_, tile| {
                    assert!(channels.is_multiple_of(tile.turn), "{name}: {tile:?}");
                    assert!(tile.split_channels(channels).is_multiple_of(tile.turn), "{name}: {tile:?}");
                    assert!(
                        tile.turn == 1 || tile.turn * tile.multiply_adds() <= class.traits().turn,
                        "{name}: {tile:?}"
                    );
                    assert_eq!(tile.once, tile.turn == channels, "{name}: {tile:?}");
                })
                .unwrap();
            }
        }
        let turn = |channels: usize, width: usize, profile: &DeviceProfile| {
            let (op, shape) = (unet(channels), [1, channels, 128, width]);
            let (_, tile) = direct(&op, &op.at(&shape).unwrap(), profile, 1).unwrap();
            (tile.turn, tile.once)
        };
        let desktop = profile(DeviceClass::Desktop);
        let turns = [1, 2, 3, 4, 6, 8].map(|channels| turn(channels, 128, &desktop));
        assert_eq!(turns, [(1, true), (2, true), (1, false), (4, true), (2, false), (4, false)]);
        // 64 KiB for each channel, of which parts of the channels have whole turns.
        for (max_binding, expected) in [(1 << 19, 4), ((1 << 19) - 1, 2), ((1 << 18) - 1, 1)] {
            let desktop = DeviceProfile { max_binding, ..profile(DeviceClass::Desktop) };
            assert_eq!(turn(64, 128, &desktop).0, expected, "{max_binding}");
        }
    }

    #[test]
    fn inputs_are_read_by_rows_only_where_they_do_not_fit_beside_the_sums() {
        let mut by_rows = 0;
        for class in CLASSES {
            let traits = class.traits();
            for (name, op, shape) in field::operations() {
                visit_tiles(&op, &op.at(&shape).unwrap(), &profile(class), |_, tile| {
                    let inputs = tile.axes.map(|axis| axis.reads().len());
                    let all = tile.sums() + inputs.iter().product::<usize>().max(4);
                    let row = tile.sums() + tile.axes[0].cells * tile.axes[1].cells * inputs[2];
                    let rows = tile.order == Order::Rows;
                    assert_eq!(rows, all > traits.registers, "{name}: {tile:?}");
                    assert!(!rows || traits.order == Order::Rows && row <= traits.registers, "{name}: {tile:?}");
                    by_rows += usize::from(rows);
                })
                .unwrap();
            }
        }
        assert!(by_rows > 10, "{by_rows}");
    }

    #[test]
    fn small_work_is_left_to_gather() {
        // 16 multiply-adds for each input: 2^18 inputs are the least.
        let op = ConvTranspose::builder().kernel([4, 4]).stride([4, 4]).build().unwrap();
        let desktop = profile(DeviceClass::Desktop);
        let choice = |width: usize| choose(&op, &op.at(&[1, 1, 512, width]).unwrap(), &desktop, 1);
        assert!(choice(511).reason.contains("below 4194304 multiply-adds"), "{}", choice(511).reason);
        assert!(!choice(512).reason.contains("below"), "{}", choice(512).reason);
    }

    #[test]
    fn what_direct_cannot_do_is_said() {
        let refusal = |op: &ConvTranspose, shape: &[usize]| {
            let geometry = op.at(shape).unwrap();
            let reason = direct(op, &geometry, &profile(DeviceClass::Desktop), usize::MAX).unwrap_err().to_string();
            let choice = choose(op, &geometry, &profile(DeviceClass::Desktop), usize::MAX);
            assert!(choice.tile.is_none() && choice.reason.contains(&reason), "{}", choice.reason);
            reason
        };
        // A dilation keeps the phases together, and their 300 taps are too many.
        let long = ConvTranspose::builder().kernel([300]).stride([2]).dilation([3]).build().unwrap();
        assert_eq!(refusal(&long, &[1, 1, 100_000]), "300 taps for 2 phases are too many to write out");
        let heavy = ConvTranspose::builder().in_channels(4096).out_channels(1024).kernel([3, 3]).build().unwrap();
        let reason = refusal(&heavy, &[1, 4096, 8, 8]);
        assert_eq!(reason, "its weights take 167788544 bytes, which exceed a binding of 134217728");
    }
}
