//! The tile of least estimated cost.

use super::tile::{Read, WeightTile};
use crate::gpu::profile::{DeviceClass, DeviceProfile};
use crate::op::Geometry;

/// What limits the tiles of a class of devices.
struct Most {
    /// Accumulators and the factors of a round.
    registers: usize,
    /// Multiply-adds of a round.
    unrolled: usize,
    /// The cost of keeping an accumulator through a round, in multiply-adds: in software it lies in memory.
    keeping: f64,
}

fn most(class: DeviceClass) -> Most {
    match class {
        DeviceClass::Software => Most { registers: 1024, unrolled: 2048, keeping: 2.0 },
        _ => Most { registers: class.hardware().registers, unrolled: 256, keeping: 0.0 },
    }
}

/// The tile of least cost, and the cost in multiply-adds of one lane.
pub(crate) fn best(geometry: &Geometry, profile: &DeviceProfile) -> (f64, WeightTile) {
    let tiles = candidates(geometry, profile).into_iter().map(|tile| (cost(&tile, geometry, profile), tile));
    let single = WeightTile { workgroup: workgroup(profile), ..WeightTile::single() };
    tiles.min_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap_or((f64::INFINITY, single))
}

fn workgroup(profile: &DeviceProfile) -> u32 {
    profile.class.hardware().workgroup.min(profile.max_invocations)
}

/// All tiles that fit a device.
fn candidates(geometry: &Geometry, profile: &DeviceProfile) -> Vec<WeightTile> {
    let op = &geometry.op;
    let channels = [op.in_channels() / op.groups(), op.out_channels() / op.groups()];
    let Most { registers, unrolled, .. } = most(profile.class);
    let [_, y, x] = op.axes3();
    // No more than there are, but as many as leave nothing over.
    let up_to = |most: usize, sizes: &[usize]| -> Vec<usize> {
        sizes.iter().copied().filter(|&size| size <= most || size == sizes[0]).collect()
    };
    let mut tiles = Vec::new();
    for inputs in up_to(channels[0], &[1, 2, 3, 4, 6, 7, 8, 10, 12, 14, 16, 20, 21, 24, 28, 32]) {
        for outputs in up_to(channels[1], &[1, 2, 3, 4, 5, 6, 7, 8, 12, 16]) {
            for taps_x in up_to(x.kernel, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 16, 24, 32]) {
                for taps_y in up_to(y.kernel, &[1, 2, 3, 4, 5]) {
                    for positions in up_to(geometry.input[2], &[1, 2, 4, 8]) {
                        let weights = inputs * outputs * taps_x * taps_y;
                        if weights > registers || weights * positions > unrolled {
                            continue;
                        }
                        let tile = WeightTile {
                            inputs,
                            outputs,
                            taps: [taps_y, taps_x],
                            positions,
                            stride: x.stride,
                            dilation: x.dilation,
                            workgroup: workgroup(profile),
                            ..WeightTile::single()
                        };
                        let factors = inputs * positions.min(2) + outputs * taps_y;
                        if profile.class == DeviceClass::Software || weights + factors <= registers {
                            tiles.push(tile.reading(geometry));
                        }
                    }
                }
            }
        }
    }
    tiles
}

/// The estimated cost of a tile, in multiply-adds of one lane.
pub(crate) fn cost(tile: &WeightTile, geometry: &Geometry, profile: &DeviceProfile) -> f64 {
    let hardware = profile.class.hardware();
    let read = |how: Read, numbers: usize, vectors: usize| {
        if how.vectors() { vectors as f64 * hardware.vector } else { numbers as f64 * hardware.read }
    };
    let WeightTile { inputs, outputs, positions, .. } = *tile;
    let columns = tile.columns();
    let input = match tile.input {
        Read::Columns { .. } => inputs * positions.div_ceil(4),
        _ => inputs.div_ceil(4) * positions,
    };
    let gradient = match tile.gradient {
        Read::Columns { first } => {
            let mut vectors: Vec<usize> = columns.iter().map(|column| (column + first) / 4).collect();
            vectors.dedup();
            vectors.len() * outputs
        }
        _ => columns.len() * outputs.div_ceil(4),
    };
    let rows = tile.taps[0];
    let reads = read(tile.input, inputs * positions, input)
        + rows as f64 * read(tile.gradient, outputs * columns.len(), gradient)
        + hardware.test * (rows * columns.len()) as f64;
    let products = tile.weights() as f64;
    let round = reads + products * (positions as f64 + most(profile.class).keeping) + 16.0;
    let [_, y, _] = geometry.op.axes3();
    // Of the rows, those are left out that none of a tile's taps reaches.
    let reached = if rows == 1 {
        y.landings(geometry.input[1], geometry.output[1]) as f64 / y.kernel as f64
    } else {
        geometry.input[1] as f64
    };
    let row = geometry.input[2].div_ceil(positions) as f64 * round + 60.0;
    let rounds = geometry.batch as f64 * geometry.input[0] as f64 * reached * row;
    let tiles = tile.tiles(geometry) as f64;
    // A lane that has nothing to do costs as much.
    let lanes = (tiles / 8.0).ceil() * 8.0;
    let parts = (hardware.invocations / tiles).max(1.0);
    rounds * if tiles < hardware.invocations { tiles } else { lanes }
        + parts * tiles * products * (hardware.read + hardware.read)
}
