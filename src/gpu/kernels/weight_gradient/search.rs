//! The tile of least estimated cost.

use super::tile::{Read, WeightTile};
use crate::gpu::profile::{DeviceClass, DeviceProfile};
use crate::op::Geometry;

/// What limits the tiles of a class of devices.
struct Most {
    accumulators: usize,
    /// Those and the factors that are live beside them, where these are in registers too.
    registers: usize,
    /// Multiply-adds of a round.
    unrolled: usize,
    /// The cost of reading four neighbours at once, and of choosing between a number and 0.
    vector: f64,
    select: f64,
}

/// In software reading costs so much that tiles pay which no registers hold; but twice as many accumulators take the
/// compiler of lavapipe 22.3 ten times as long, seconds at 512, for a tenth of the time.
fn most(class: DeviceClass) -> Most {
    let hardware = class.hardware();
    let registers = hardware.registers;
    let most = Most { accumulators: registers, registers, unrolled: 256, vector: 16.0, select: 1.0 };
    match class {
        DeviceClass::Software => {
            let (vector, select) = (hardware.vector, 0.0);
            Most { accumulators: 256, registers: usize::MAX, unrolled: 2048, vector, select }
        }
        DeviceClass::Desktop => Most { vector: 9.0, ..most },
        // It keeps every accumulator twice, and tests each number that is read.
        DeviceClass::Nvidia => Most { accumulators: 40, vector: 20.0, ..most },
        DeviceClass::Mobile | DeviceClass::Unknown => most,
    }
}

/// The sizes of tiles that are tried.
const CHANNELS: [&[usize]; 2] =
    [&[1, 2, 3, 4, 6, 7, 8, 10, 12, 14, 16, 20, 21, 24, 28, 32], &[1, 2, 3, 4, 5, 6, 7, 8, 12, 16]];
const TAPS: [&[usize]; 2] = [&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 16, 24, 32]];
const POSITIONS: &[usize] = &[1, 2, 4, 8, 16, 32];

/// The multiply-adds that finding the place of a segment and the address of a round are worth.
const SEGMENT: f64 = 60.0;
const ROUND: f64 = 16.0;

/// The tile of least cost, and the cost in multiply-adds of one lane.
pub(crate) fn best(geometry: &Geometry, profile: &DeviceProfile) -> (f64, WeightTile) {
    let op = &geometry.op;
    let [_, y, x] = op.axes3();
    let workgroup = profile.class.hardware().workgroup.min(profile.max_invocations);
    let single = WeightTile { stride: x.stride, dilation: x.dilation, workgroup, ..WeightTile::single() };
    let Most { accumulators, registers, unrolled, .. } = most(profile.class);
    // No more than there are.
    let up_to = |sizes: &'static [usize], most: usize| sizes.iter().copied().filter(move |&size| size <= most);
    let [inputs, outputs] = [(CHANNELS[0], op.in_channels()), (CHANNELS[1], op.out_channels())]
        .map(|(sizes, channels)| up_to(sizes, channels / op.groups()).collect::<Vec<_>>());
    let mut best = (f64::INFINITY, single);
    for taps in up_to(TAPS[0], y.kernel).flat_map(|y| up_to(TAPS[1], x.kernel).map(move |x| [y, x])) {
        for positions in up_to(POSITIONS, geometry.input[2]) {
            let columns = Columns::of(&WeightTile { taps, positions, ..single }.reading(geometry));
            for &inputs in &inputs {
                for &outputs in &outputs {
                    let tile = WeightTile { inputs, outputs, taps, positions, ..single };
                    // In hardware what a round reads is in registers too, because compilers read all of it first.
                    let factors = inputs * positions + outputs * columns.numbers * taps[0];
                    let (sums, products) = (tile.weights(), tile.weights() * positions);
                    if sums > accumulators || sums + factors > registers || products > unrolled {
                        continue;
                    }
                    let tile = tile.reading(geometry);
                    let cost = estimate(&tile, columns, geometry, profile);
                    if cost < best.0 {
                        best = (cost, tile);
                    }
                }
            }
        }
    }
    best
}

/// The cost of `weight_gradient.wgsl`, in multiply-adds of one lane.
pub(crate) fn readable(geometry: &Geometry, profile: &DeviceProfile) -> f64 {
    let single = WeightTile::single();
    estimate(&single, Columns::of(&single), geometry, profile)
}

/// What a round reads along w of the output's gradient: numbers, and vectors of four of them.
#[derive(Clone, Copy)]
struct Columns {
    numbers: usize,
    vectors: usize,
}

impl Columns {
    fn of(tile: &WeightTile) -> Self {
        Self { numbers: tile.columns().len(), vectors: tile.reads().len() }
    }
}

fn estimate(tile: &WeightTile, columns: Columns, geometry: &Geometry, profile: &DeviceProfile) -> f64 {
    let (hardware, most) = (profile.class.hardware(), most(profile.class));
    let WeightTile { inputs, outputs, taps: [rows, _], positions, .. } = *tile;
    let input = match tile.input {
        Read::Numbers => (inputs * positions) as f64 * hardware.read,
        Read::Columns { .. } => (inputs * positions.div_ceil(4)) as f64 * most.vector,
        Read::Channels => (inputs / 4 * positions) as f64 * most.vector,
    };
    let gradient = match tile.gradient {
        Read::Numbers => (outputs * columns.numbers) as f64 * hardware.read,
        Read::Columns { .. } => (outputs * columns.vectors) as f64 * most.vector,
        Read::Channels => (outputs / 4 * columns.numbers) as f64 * most.vector,
    };
    let products = tile.weights() as f64 * (positions as f64 + hardware.carry);
    let chosen = if tile.is_guarded() && rows == 1 { 0 } else { outputs * columns.numbers };
    let gradient = gradient + hardware.test * columns.vectors as f64 + most.select * chosen as f64;
    let round = input + rows as f64 * gradient + products + ROUND;
    let segment = geometry.input[2].div_ceil(positions) as f64 * round + SEGMENT;
    // A row that none of a tile's taps reaches is left out.
    let [_, y, _] = geometry.op.axes3();
    let reached = match rows {
        1 => y.landings(geometry.input[1], geometry.output[1]) as f64 / y.kernel as f64,
        _ => geometry.input[1] as f64,
    };
    let tiles = tile.tiles(geometry) as f64;
    // Parts occupy the device where tiles do not; they have to be written, and read again.
    let parts = (hardware.invocations / tiles).max(1.0);
    let sums = parts * tile.weights() as f64 * 2.0 * hardware.read;
    tiles * (geometry.batch as f64 * geometry.input[0] as f64 * reached * segment + sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::plan::field;

    #[test]
    fn the_fields_operations_get_tiles_that_fit() {
        for class in DeviceClass::ALL {
            let profile = DeviceProfile { class, ..DeviceProfile::default() };
            for (name, op, shape) in field::operations() {
                let geometry = op.at(&shape).unwrap();
                let (cost, tile) = best(&geometry, &profile);
                assert!(cost < readable(&geometry, &profile), "{name} on {class:?}: {tile}");
                assert!(tile.weights() <= most(class).accumulators, "{name} on {class:?}: {tile}");
                // A depthwise layer's are the taps alone.
                let least = if op.groups() > 1 { 4 } else { 8 };
                assert!(tile.weights() >= least, "{name} on {class:?}: {tile}");
            }
        }
    }
}
