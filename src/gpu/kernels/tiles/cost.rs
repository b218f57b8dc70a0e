//! What a tile is estimated to cost, in multiply-adds of one lane: what the statements of its program cost for each
//! input channel, and its stores.
//!
//! A larger tile reads less for each multiply-add, until its accumulators no longer fit the registers, until it
//! computes more beyond the output's edge than it saves, or until too few invocations are left to occupy the device.

use super::buffers::{Buffers, Load};
use super::register_tile::{Access, RegisterTile};
use super::source::Source;
use super::workgroup_tile::{WorkgroupTile, input_unit, spans};
use crate::gpu::hardware::Hardware;
use crate::gpu::kernels::pack::tiles::{Packing, lanes};
use crate::gpu::storage::Storage;
use crate::op::Geometry;

/// Counting, and moving on to the next input channel.
const LOOP: f64 = 8.0;

/// Finding out where an input is along an axis, and whether it is inside, in each round.
pub(crate) const PLACE: f64 = 24.0;

/// Waiting for each other twice and computing addresses anew, for each K-chunk.
const K_CHUNK: f64 = 24.0;

/// What the kernel that adds up the splits costs by having to wait for them, for each of the invocations that occupy
/// the device: some 4 µs.
pub(crate) const SECOND_DISPATCH: f64 = 1500.0;

/// The loads of inputs on one axis, or of all: how many there are, how many elements of them are used, and how many of
/// these are in bounds for every invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loads {
    pub(crate) loads: usize,
    pub(crate) used: usize,
    pub(crate) in_bounds: usize,
}

impl Loads {
    pub(crate) fn of(loads: &[Load]) -> Self {
        let used = |loads: &mut dyn Iterator<Item = &Load>| loads.map(|load| load.used).sum();
        Self {
            loads: loads.len(),
            used: used(&mut loads.iter()),
            in_bounds: used(&mut loads.iter().filter(|load| load.in_bounds)),
        }
    }

    /// Those of all axes.
    pub(crate) fn crossed(axes: [Self; 3]) -> Self {
        let product = |of: fn(&Self) -> usize| axes.iter().map(of).product();
        Self {
            loads: product(|axis| axis.loads),
            used: product(|axis| axis.used),
            in_bounds: product(|axis| axis.in_bounds),
        }
    }

    /// The cost of reading them, for each channel.
    pub(crate) fn cost(&self, hardware: &Hardware, reads: Access) -> f64 {
        let each = match reads {
            Access::Element => hardware.read,
            Access::Columns => hardware.vector,
            Access::Channels => hardware.vector / 4.0,
        };
        self.loads as f64 * each + (self.used - self.in_bounds) as f64 * hardware.test
    }
}

/// The vec4s of weights that an invocation reads for one input channel and round.
pub(crate) fn weight_loads(tile: &RegisterTile) -> usize {
    (tile.taps() * tile.vectors * lanes(tile.width)).div_ceil(4)
}

/// The cost of storing what an invocation has added up.
fn storing(hardware: &Hardware, tile: &RegisterTile) -> f64 {
    let each = if tile.writes == Access::Element { hardware.read } else { hardware.vector / 4.0 };
    tile.outputs() as f64 * each
}

/// The cells of the output along an axis.
fn cells(geometry: &Geometry, tile: &RegisterTile, a: usize) -> usize {
    geometry.output[a].div_ceil(tile.axes[a].stride)
}

/// The cost of `direct`, where loading the inputs of one channel costs `loading`.
pub(crate) fn direct(
    hardware: &Hardware,
    geometry: &Geometry,
    packing: &Packing,
    (tile, buffers): (&RegisterTile, &Buffers),
    loading: f64,
) -> f64 {
    let op = &geometry.op;
    let tiles: usize = (0..3).map(|a| cells(geometry, tile, a).div_ceil(tile.axes[a].cells)).product();
    let blocks = packing.vectors / tile.vectors * op.groups();
    let splits = buffers.split_k;
    // Lanes without a tile are idle.
    let lanes = (geometry.batch * tiles).next_multiple_of(hardware.lanes);
    let invocations = (lanes * blocks * tile.phase_parts() * splits) as f64;
    let channels = (op.in_channels() / op.groups()).div_ceil(splits) as f64;
    let each = hardware.weights + hardware.weight_unit / Buffers::unit(tile, packing) as f64;
    let reading = loading + weight_loads(tile) as f64 * each;
    let rounds = tile.rounds();
    let one_tap = rounds == 1 && tile.multiply_adds() == tile.outputs();
    // Where a channel has several products for an accumulator, and no rounds, what carrying it costs is little beside them.
    let (reading, carried) = match (rounds, one_tap) {
        (1, true) => (reading * hardware.one_tap, 1.0 / buffers.unroll as f64),
        (1, false) => (reading, 0.0),
        _ => (reading, 1.0),
    };
    let carrying = tile.outputs() as f64 * hardware.carry * carried;
    let (product, adding) = match buffers.factors {
        Storage::F32 => (1.0, 0.0),
        Storage::F16 => (hardware.f16, 1.0 / buffers.unroll as f64),
    };
    let multiplying = tile.multiply_adds() as f64 * product + tile.outputs() as f64 * adding;
    let channel = rounds as f64 * (reading + multiplying + LOOP + carrying);
    let summing = if splits == 1 { 0.0 } else { sum(hardware, geometry, splits) };
    invocations.max(hardware.invocations) * (channels * channel + storing(hardware, tile)) + summing
}

/// The cost of `sum`, which reads what each split left of an output and writes it.
fn sum(hardware: &Hardware, geometry: &Geometry, splits: usize) -> f64 {
    let outputs = (geometry.output_len() as f64).max(hardware.invocations);
    outputs * (splits + 1) as f64 * hardware.read + hardware.invocations * SECOND_DISPATCH
}

/// The cost of `tiled`: reading the workgroup's memory, and an invocation's share of filling it.
pub(crate) fn tiled(
    hardware: &Hardware,
    geometry: &Geometry,
    packing: &Packing,
    (tile, workgroup): (&RegisterTile, &WorkgroupTile),
) -> f64 {
    let op = &geometry.op;
    // Where it is not chosen of itself, the memory is no better than the buffers.
    let shared = hardware.shared.unwrap_or(hardware.vector);
    let box_cells = |a: usize| tile.axes[a].cells * workgroup.lanes[a];
    let boxes = (0..3).map(|a| cells(geometry, tile, a).div_ceil(box_cells(a))).product::<usize>();
    let blocks = packing.vectors / (tile.vectors * workgroup.blocks) * op.groups();
    let invocations = (workgroup.workgroups(geometry.batch, boxes) * blocks * workgroup.invocations()) as f64;
    let channels = (op.in_channels() / op.groups()) as f64;
    let memory = workgroup.memory(tile, packing);
    let reading = (spans(tile).iter().product::<usize>() + weight_loads(tile)) as f64 * shared;
    let share = |all: usize| all as f64 / workgroup.invocations() as f64;
    let filling = share(memory.units * input_unit(tile)) * (hardware.read + shared)
        + share(memory.vectors * packing.channel) * (hardware.vector + shared)
        + K_CHUNK / workgroup.k_chunk as f64;
    let channel = reading + filling + tile.multiply_adds() as f64;
    invocations.max(hardware.invocations) * (channels * channel + storing(hardware, tile))
}
