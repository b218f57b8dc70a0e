//! The register tiles that an operation may have, and those of `direct` with their estimated costs.

use super::axis::{InBounds, TileAxis};
use super::buffers::{Buffers, MOST_IN_F16, Reading, loads};
use super::cost::{self, Loads};
use super::register_tile::{Access, RegisterTile};
use super::tile::{Reads, Tile};
use crate::accuracy::Accuracy;
use crate::gpu::dispatch::MAX_ELEMENTS;
use crate::gpu::hardware::{Hardware, Order};
use crate::gpu::kernels::pack::tiles::{Packing, lanes};
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::kernel::Refusal;
use crate::layout::Strides;
use crate::op::{Axis, ConvTranspose, Geometry};
use crate::phase::AxisPhases;
use std::iter;

/// The sizes a tile may have, in cells along (d, h, w), and in vectors of channels: few, so that few kernels exist.
const CELLS: [&[usize]; 3] = [&[1, 2, 4], &[1, 2, 4], &[1, 2, 4, 8, 16]];
const VECTORS: [usize; 4] = [1, 2, 3, 4];

/// The parts into which the phases of an axis may be cut, in phases.
const PHASES: [usize; 4] = [1, 2, 4, 8];

/// Into how many parts the input channels of a group may be split, to be added up by different invocations.
const SPLIT_K: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// The fewest input channels of a split.
const LEAST_SPLIT: usize = 8;

/// The most bytes of scratch memory for the accumulators that splits leave, for the whole output.
const MAX_SPLIT_BYTES: usize = 64 << 20;

/// How an output's products may be added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sums {
    AnyOrder,
    /// The input channels not split.
    Unsplit,
    /// In an order that depends on no extent of the input: not split, and not in f16, because how many are added up there
    /// depends on the tile.
    OneOrder,
}

impl Sums {
    fn allow(self, tile: &Tile) -> bool {
        match self {
            Sums::AnyOrder => true,
            Sums::Unsplit => tile.split_k() == 1,
            Sums::OneOrder => tile.split_k() == 1 && tile.factors() == Storage::F32,
        }
    }
}

/// The most multiply-adds of vectors, each a statement: beyond it compilers take seconds.
pub(crate) const MAX_VECTOR_FMAS: usize = 1300;

/// Unroll factors of the loop over input channels, the largest first: the bound that wgpu puts on a loop, and the
/// addresses, are counted once for all channels of a round.
const UNROLL: [usize; 2] = [4, 2];

/// The same where products are of f16, which are added to the accumulators once in a round.
const UNROLL_F16: [usize; 5] = [16, 8, 4, 2, 1];

/// An operation of more taps may have tiles that go through them in rounds.
const MANY_TAPS: usize = 32;

/// How many taps along w a round may take.
const WRITTEN: [usize; 3] = [4, 8, 16];

/// The most workgroups along z, which WebGPU guarantees: parts of the phases cannot be spread over dispatches.
const MAX_PARTS: usize = 65_535;

/// What an invocation may compute along one axis.
pub(crate) struct AxisOption {
    pub(crate) axis: TileAxis,
    in_bounds: InBounds,
    /// The loads of single inputs, and of vectors of four columns where these are possible.
    single: Loads,
    columns: Option<(Reading, Loads)>,
}

/// What all invocations have in common that compute an operation at a shape.
pub(crate) struct Space<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) profile: &'a DeviceProfile,
    pub(crate) hardware: Hardware,
    pub(crate) packing: Packing,
    options: [Vec<AxisOption>; 3],
    /// Whether a tile must serve at every size: then nothing is known to be in bounds, and neighbours along w to be
    /// aligned.
    any_size: bool,
}

impl<'a> Space<'a> {
    /// The order of the weights, and what an invocation may compute along each axis; or why the weights cannot be read.
    pub(crate) fn new(geometry: &'a Geometry, profile: &'a DeviceProfile) -> Result<Self, Refusal> {
        Self::build(geometry, profile, false)
    }

    fn build(geometry: &'a Geometry, profile: &'a DeviceProfile, any_size: bool) -> Result<Self, Refusal> {
        let op = &geometry.op;
        let packing = Packing::new(op, Storage::F32);
        let bytes = packing.bytes(op.groups());
        if bytes > profile.max_binding {
            return Err(Refusal::Binding { what: "its weights", bytes, limit: profile.max_binding });
        }
        let options = [0, 1, 2].map(|a| axis_options(&op.axes3()[a], a, geometry, profile, any_size));
        Ok(Self { geometry, profile, hardware: profile.class.hardware(), packing, options, any_size })
    }

    /// Every register tile that is not too long to write out, with what it computes along each axis.
    pub(crate) fn register_tiles(&self) -> impl Iterator<Item = (RegisterTile, [&AxisOption; 3])> {
        let Self { packing, options: [z, y, x], .. } = self;
        let op = &self.geometry.op;
        let vectors = VECTORS.into_iter().filter(|vectors| packing.vectors.is_multiple_of(*vectors));
        let axes = move || z.iter().flat_map(move |z| y.iter().flat_map(move |y| x.iter().map(move |x| [z, y, x])));
        let tiles = vectors.flat_map(move |vectors| axes().map(move |options| (vectors, options)));
        tiles.filter(|(_, options)| in_order(options.map(|option| &option.axis))).filter_map(|(vectors, options)| {
            let tile = RegisterTile {
                rank: op.rank(),
                axes: options.map(|option| option.axis),
                width: packing.width,
                vectors,
                ragged: !(op.out_channels() / op.groups()).is_multiple_of(packing.width),
                writes: self.writes(&options[2].axis),
            };
            (tile.vector_fmas() <= MAX_VECTOR_FMAS).then_some((tile, options))
        })
    }

    /// How outputs can be written.
    fn writes(&self, x: &TileAxis) -> Access {
        let Self { geometry, profile, any_size, .. } = self;
        let (strides, group) = (geometry.output_strides(), geometry.op.out_channels() / geometry.op.groups());
        let columns = !any_size
            && strides.spatial[2] == 1
            && geometry.output[2].is_multiple_of(4)
            && (x.phases.is_multiple_of(4) || x.phases == x.stride && (x.cells * x.stride).is_multiple_of(4));
        let residual = geometry.residual_tensor().map(|(_, strides)| strides);
        if !profile.binding_alignment.is_multiple_of(16) {
            Access::Element
        } else if columns {
            Access::Columns
        } else if group.is_multiple_of(4) && [Some(strides), residual].iter().flatten().all(channels_in_fours) {
            Access::Channels
        } else {
            Access::Element
        }
    }

    /// How `direct` reads the inputs of a tile, but for the split and the unrolling, with what loading those of one
    /// channel costs; `None` where it is no tile for it.
    fn buffers(&self, tile: &RegisterTile, options: [&AxisOption; 3]) -> Option<(Buffers, f64)> {
        let Self { geometry, profile, hardware, .. } = self;
        let fits = |inputs: usize| tile.outputs() + inputs.max(4) <= hardware.registers;
        let [z, y, x] = options.map(|option| option.single.loads);
        let channels = self.reads_channels(tile) && fits(z * y * x * 4);
        let all_at_once = fits(z * y * x);
        let order = match hardware.order {
            Order::Rows if all_at_once => Order::Taps,
            Order::Accumulators(numbers) => Order::Accumulators((numbers / tile.width).max(1)),
            order => order,
        };
        let by_rows = || order == Order::Rows && fits(tile.axes[0].cells * tile.axes[1].cells * x);
        let parts = tile.phase_parts();
        let part_of_vec4 = parts > 1 && lanes(tile.width) < 4
            || tile.rounds() > 1 && !(tile.taps() * lanes(tile.width)).is_multiple_of(4);
        if !(all_at_once || by_rows()) || part_of_vec4 || parts > MAX_PARTS {
            return None;
        }
        let loading = |x: Loads, reads: Access| {
            let axes = [options[0].single, options[1].single, x];
            // Rounds are nested: those of the last axis that has them are the most.
            let placed = (0..3).rev().find(|&a| tile.axes[a].rounds() > 1).map_or(0, |a| axes[a].loads);
            Loads::crossed(axes).cost(hardware, reads) + placed as f64 * cost::PLACE
        };
        let of = |reading: Reading, x: Loads| (reading, loading(x, reading.access()));
        let columns = options[2].columns.map(|(reading, loads)| of(reading, loads));
        let channels = channels.then(|| of(Reading::Channels, options[2].single));
        let element = of(Reading::Element, options[2].single);
        let ways = [columns, channels].into_iter().flatten();
        let (reading, loading) = ways.fold(element, |best, way| if way.1 < best.1 { way } else { best });
        let buffers = Buffers {
            workgroup: hardware.workgroup.min(profile.max_invocations),
            reading,
            contiguous: geometry.input_strides().spatial[2] == 1,
            in_bounds: options.map(|option| option.in_bounds),
            split_k: 1,
            unroll: 1,
            fully_unrolled: false,
            order,
            factors: Storage::F32,
        };
        Some((buffers, loading))
    }

    /// The same with products of f16, where the operation allows them and the device has them; of vectors of at least two
    /// channels, of which an instruction multiplies two. An output takes at most [`MOST_IN_F16`] of them in a round.
    fn in_f16(&self, tile: &RegisterTile, buffers: Buffers) -> Option<Buffers> {
        let Self { geometry, profile, hardware, .. } = self;
        let (op, reads_channels) = (&geometry.op, buffers.reading == Reading::Channels);
        let inputs: usize = buffers.loads(tile).map(|loads| loads.len()).iter().product();
        let inputs = inputs * buffers.reading.access().elements();
        let fits = tile.outputs() + (tile.outputs() + inputs) / 2 <= hardware.registers;
        let allowed = op.accuracy() == Accuracy::Half && profile.f16 && !self.any_size;
        if !allowed || !fits || tile.width < 2 || tile.rounds() > 1 {
            return None;
        }
        let most: usize = op.axes3().map(|axis| AxisPhases::new(&axis).most_taps()).iter().product();
        let buffers = Buffers { factors: Storage::F16, ..buffers };
        UNROLL_F16
            .into_iter()
            .filter(|unroll| !reads_channels || unroll.is_multiple_of(4))
            .find(|&unroll| unroll * most <= MOST_IN_F16 && self.may_unroll(tile, &buffers, unroll))
            .map(|unroll| self.of_unroll(buffers, unroll))
    }

    /// Whether inputs can be read four channels at a time, which a round of the loop over them then takes.
    fn reads_channels(&self, tile: &RegisterTile) -> bool {
        channels_in_fours(&self.geometry.input_strides())
            && (self.geometry.op.in_channels() / self.geometry.op.groups()).is_multiple_of(4)
            && self.profile.binding_alignment.is_multiple_of(16)
            && reaches_vectors(self.geometry)
            && tile.rounds() == 1
            && 4 * tile.vector_fmas() <= MAX_VECTOR_FMAS
    }

    /// Whether the input channels may be split: into parts that are not too small, and leave not too much. It depends
    /// on no limit of the device, so that the order of additions does not either.
    fn may_split(&self, tile: &RegisterTile, reading: Reading, split_k: usize) -> bool {
        let channels = self.geometry.op.in_channels() / self.geometry.op.groups();
        let split = channels.div_ceil(split_k);
        let bytes = self.geometry.output_len().saturating_mul(split_k).saturating_mul(4);
        split_k == 1
            || split * tile.rounds() >= LEAST_SPLIT
                && channels.div_ceil(split) == split_k
                && (reading != Reading::Channels || split.is_multiple_of(4))
                && bytes <= MAX_SPLIT_BYTES
                && split_k * tile.phase_parts() <= MAX_PARTS
    }

    /// Unrolls as many input channels as the length of the kernel allows; no bit depends on it.
    fn unrolled(&self, tile: &RegisterTile, buffers: Buffers) -> Buffers {
        let fits = |unroll: usize| {
            buffers.reading == Reading::Channels || tile.rounds() == 1 && self.may_unroll(tile, &buffers, unroll)
        };
        let unroll = UNROLL.into_iter().find(|&unroll| fits(unroll)).unwrap_or(1);
        self.of_unroll(buffers, unroll)
    }

    /// Whether a round of the loop over input channels may take so many. A part of the channels has whole rounds, and has
    /// to fit a binding.
    fn may_unroll(&self, tile: &RegisterTile, buffers: &Buffers, unroll: usize) -> bool {
        let channels = self.geometry.op.in_channels() / self.geometry.op.groups();
        let plane = self.geometry.input_strides().channel.saturating_mul(4) as u64;
        // An instruction has two products of f16.
        let multiply_adds = (unroll * tile.multiply_adds()) as u64 * buffers.factors.size() / 4;
        channels.is_multiple_of(unroll)
            && channels.div_ceil(buffers.split_k).is_multiple_of(unroll)
            && multiply_adds <= self.hardware.unrolled as u64
            && plane.saturating_mul(unroll as u64) <= self.profile.max_binding.min(MAX_ELEMENTS * 4) / 2
    }

    fn of_unroll(&self, buffers: Buffers, unroll: usize) -> Buffers {
        let fully_unrolled = unroll == self.geometry.op.in_channels() / self.geometry.op.groups();
        Buffers { unroll, fully_unrolled, ..buffers }
    }
}

/// The sensible shares along axis `a`.
fn axis_options(
    axis: &Axis,
    a: usize,
    geometry: &Geometry,
    profile: &DeviceProfile,
    any_size: bool,
) -> Vec<AxisOption> {
    // Beyond these neither the accumulators nor the taps of a cell, written out, could fit; and the table would be
    // long.
    let whole = (axis.stride == 1 || axis.stride <= 64 && axis.kernel <= 256).then_some(axis.stride);
    let phases = whole.into_iter().chain(PHASES.into_iter().filter(|&phases| phases < axis.stride));
    let (input, output) = (geometry.input[a], geometry.output[a]);
    let extent = output.div_ceil(axis.stride);
    let lead = axis.pad_begin.div_euclid(axis.stride as i64).rem_euclid(4) as usize;
    let aligned = a == 2
        && !any_size
        && profile.binding_alignment.is_multiple_of(16)
        && geometry.input_strides().spatial[2] == 1
        && input.is_multiple_of(4)
        && reaches_vectors(geometry);
    let taps: usize = geometry.op.axes3().iter().map(|axis| axis.kernel).product();
    let written: &[usize] = match a {
        _ if taps <= MANY_TAPS => &[],
        2 => &WRITTEN,
        _ => &[1],
    };
    phases
        .flat_map(|phases| {
            let shares = CELLS[a].iter().filter_map(move |&cells| TileAxis::new(axis, cells, phases));
            let parted = |tile: TileAxis| written.iter().filter_map(move |&written| tile.in_rounds_of(written));
            shares.flat_map(move |tile| iter::once(tile).chain(parted(tile))).filter(|tile| {
                // A tile of twice the output's extent computes half of its outputs for nothing.
                (tile.cells == 1 || tile.cells < 2 * extent) && tile.tap_count() <= 256
            })
        })
        .map(|tile| {
            let in_bounds = if any_size { InBounds::default() } else { tile.in_bounds(axis, input, output) };
            let of = |reading| Loads::of(&loads(&tile, in_bounds, reading));
            let reading = Reading::Columns(lead);
            let in_fours = tile.rounds() == 1 || tile.written.is_multiple_of(4) || tile.dilation.is_multiple_of(4);
            let columns = aligned && (tile.cells * tile.step).is_multiple_of(4) && tile.phase_parts() == 1 && in_fours;
            AxisOption {
                axis: tile,
                in_bounds,
                single: of(Reading::Element),
                columns: columns.then(|| (reading, of(reading))),
            }
        })
        .collect()
}

/// Whether distances in the input do not wrap: then they can be turned into those of vectors.
fn reaches_vectors(geometry: &Geometry) -> bool {
    i32::try_from(geometry.input_tensor_len()).is_ok()
}

/// Whether the channels lie side by side, beginning at a multiple of four, and are a multiple of four in all.
fn channels_in_fours(strides: &Strides) -> bool {
    strides.channel == 1 && strides.first.is_multiple_of(4) && strides.spatial[2].is_multiple_of(4)
}

/// Whether the rounds of all axes take the taps in the order of their numbers: an axis is gone through in rounds only
/// within rounds of one tap of those before it.
fn in_order(axes: [&TileAxis; 3]) -> bool {
    (1..3).all(|a| axes[a].rounds() == 1 || axes[..a].iter().all(|before| before.written == 1))
}

/// Every tile that `direct` may have, behind its estimated cost, or why there is none.
pub(crate) fn visit(geometry: &Geometry, profile: &DeviceProfile, visit: impl FnMut(f64, Tile)) -> Result<(), Refusal> {
    visit_space(&Space::new(geometry, profile)?, visit)
}

fn visit_space(space: &Space<'_>, mut visit: impl FnMut(f64, Tile)) -> Result<(), Refusal> {
    let geometry = space.geometry;
    let mut found = false;
    for (shape, options) in space.register_tiles() {
        let Some((buffers, loading)) = space.buffers(&shape, options) else { continue };
        for split_k in SPLIT_K.into_iter().filter(|&split_k| space.may_split(&shape, buffers.reading, split_k)) {
            let buffers = Buffers { split_k, ..buffers };
            for buffers in [Some(space.unrolled(&shape, buffers)), space.in_f16(&shape, buffers)].into_iter().flatten()
            {
                let cost = cost::direct(&space.hardware, geometry, &space.packing, (&shape, &buffers), loading);
                visit(cost, Tile { shape, reads: Reads::Buffers(buffers) });
            }
            found = true;
        }
    }
    found.then_some(()).ok_or_else(|| too_many_taps(&geometry.op))
}

/// The tile of `direct` with the least estimated cost among those that add up in this order, behind that cost, or why there
/// is none.
pub(crate) fn best(geometry: &Geometry, profile: &DeviceProfile, sums: Sums) -> Result<(f64, Tile), Refusal> {
    best_of(&Space::new(geometry, profile)?, sums)
}

/// A tile of `direct` that serves at every size, behind its estimated cost at this one, where that is a large one.
pub(crate) fn any_size(geometry: &Geometry, profile: &DeviceProfile) -> Result<(f64, Tile), Refusal> {
    best_of(&Space::build(geometry, profile, true)?, Sums::OneOrder)
}

fn best_of(space: &Space<'_>, sums: Sums) -> Result<(f64, Tile), Refusal> {
    let mut best = (f64::INFINITY, None);
    visit_space(space, |cost, tile| {
        if cost < best.0 && sums.allow(&tile) {
            best = (cost, Some(tile));
        }
    })?;
    let (cost, tile) = best;
    Ok((cost, tile.ok_or_else(|| too_many_taps(&space.geometry.op))?))
}

fn too_many_taps(op: &ConvTranspose) -> Refusal {
    Refusal::TooManyTaps {
        kernel: op.axes().iter().map(|axis| axis.kernel).collect(),
        stride: op.axes().iter().map(|axis| axis.stride).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::plan::field;
    use crate::gpu::profile::DeviceClass;

    fn profile(class: DeviceClass) -> DeviceProfile {
        DeviceProfile { class, ..DeviceProfile::default() }
    }

    fn buffers(tile: &Tile) -> Buffers {
        let Reads::Buffers(buffers) = tile.reads else { panic!("{tile} is for another kernel") };
        buffers
    }

    #[test]
    fn a_tile_stays_within_its_bounds() {
        for class in DeviceClass::ALL {
            for max_invocations in [1, 32, 256] {
                let profile = DeviceProfile { max_invocations, ..profile(class) };
                for (name, op, shape) in field::operations() {
                    let (cost, tile) = best(&op.at(&shape).unwrap(), &profile, Sums::AnyOrder).unwrap();
                    assert!(cost.is_finite() && cost > 0.0, "{name}: {cost}");
                    assert!(buffers(&tile).workgroup <= max_invocations, "{name}: {tile:?}");
                    assert!(tile.shape.vector_fmas() <= MAX_VECTOR_FMAS, "{name}: {tile:?}");
                    assert!(tile.shape.outputs() < class.hardware().registers, "{name}: {tile:?}");
                    assert!(
                        Packing::new(&op, Storage::F32).vectors.is_multiple_of(tile.shape.vectors),
                        "{name}: {tile:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn more_work_never_gets_a_smaller_tile() {
        for class in DeviceClass::ALL {
            for (name, op, mut shape) in field::operations() {
                let mut least = 0;
                for batch in [1, 2, 4, 8, 16, 64, 256] {
                    shape[0] = batch;
                    let (_, tile) = best(&op.at(&shape).unwrap(), &profile(class), Sums::OneOrder).unwrap();
                    assert!(
                        tile.shape.outputs() >= least,
                        "{name} on {class:?}, batch {batch}: {tile}, {least} before"
                    );
                    least = tile.shape.outputs();
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
    fn as_many_channels_are_unrolled_as_divide_those_of_a_split_and_keep_the_loop_short() {
        for class in DeviceClass::ALL {
            for (name, op, shape) in field::operations() {
                let (geometry, channels) = (op.at(&shape).unwrap(), op.in_channels() / op.groups());
                visit(&geometry, &profile(class), |_, tile| {
                    let Buffers { unroll, fully_unrolled, .. } = buffers(&tile);
                    assert!(channels.is_multiple_of(unroll), "{name}: {tile:?}");
                    assert!(tile.split_channels(&op).is_multiple_of(unroll), "{name}: {tile:?}");
                    let multiply_adds = unroll * tile.shape.multiply_adds();
                    assert!(unroll == 1 || multiply_adds <= class.hardware().unrolled, "{name}: {tile:?}");
                    assert_eq!(fully_unrolled, unroll == channels, "{name}: {tile:?}");
                })
                .unwrap();
            }
        }
        let unroll = |channels: usize, width: usize, profile: &DeviceProfile| {
            let (op, shape) = (unet(channels), [1, channels, 128, width]);
            let (_, tile) = best(&op.at(&shape).unwrap(), profile, Sums::OneOrder).unwrap();
            (buffers(&tile).unroll, buffers(&tile).fully_unrolled)
        };
        let desktop = profile(DeviceClass::Desktop);
        let unrolled = [1, 2, 3, 4, 6, 8].map(|channels| unroll(channels, 128, &desktop));
        assert_eq!(unrolled, [(1, true), (2, true), (1, false), (4, true), (2, false), (4, false)]);
        // 64 KiB for each channel, of which parts of the channels have whole rounds.
        for (max_binding, expected) in [(1 << 19, 4), ((1 << 19) - 1, 2), ((1 << 18) - 1, 1)] {
            let desktop = DeviceProfile { max_binding, ..profile(DeviceClass::Desktop) };
            assert_eq!(unroll(64, 128, &desktop).0, expected, "{max_binding}");
        }
    }

    #[test]
    fn inputs_are_read_by_rows_only_where_they_do_not_fit_beside_the_accumulators() {
        let mut by_rows = 0;
        for class in DeviceClass::ALL {
            let hardware = class.hardware();
            for (name, op, shape) in field::operations() {
                visit(&op.at(&shape).unwrap(), &profile(class), |_, tile| {
                    let inputs = tile.shape.axes.map(|axis| axis.reads().len());
                    let all = tile.shape.outputs() + inputs.iter().product::<usize>().max(4);
                    let row = tile.shape.outputs() + tile.shape.cells() / tile.shape.axes[2].cells * inputs[2];
                    let rows = buffers(&tile).order == Order::Rows;
                    assert_eq!(rows, all > hardware.registers, "{name}: {tile:?}");
                    assert!(!rows || hardware.order == Order::Rows && row <= hardware.registers, "{name}: {tile:?}");
                    by_rows += usize::from(rows);
                })
                .unwrap();
            }
        }
        assert!(by_rows > 10, "{by_rows}");
    }
}
