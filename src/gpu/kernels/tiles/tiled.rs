//! The tile and the slab of `tiled` with the least estimated cost.
//!
//! The tile is that of an invocation, as for `direct`; the slab of each is made by a rule. What an invocation costs for
//! one input channel is its multiply-adds, what it reads from the workgroup's memory, and its share of bringing it there.

use super::slab::Slab;
use super::tile::{Order, Tile};
use crate::gpu::hardware::Traits;
use crate::gpu::kernels::pack::tiles::{Packing, lanes};
use crate::gpu::plan::choice::{
    AxisOption, CELLS, MAX_WRITTEN_OUT, VECTORS, axis_options, packed_weights, writes_quads,
};
use crate::gpu::profile::DeviceProfile;
use crate::kernel::Refusal;
use crate::op::{ConvTranspose, Geometry};

/// Invocations of a workgroup. More would share more, but wait longer for each other.
const WORKGROUP: usize = 128;

/// The most blocks of output channels of a workgroup: with more, little is left for neighbours, whose inputs overlap.
const MAX_BLOCKS: usize = 8;

/// Input channels at a time, the most first.
const CHUNKS: [usize; 4] = [8, 4, 2, 1];

/// The most multiply-adds written out for several input channels: more would share what a chunk costs among more of
/// them, but compilers take longer.
const MAX_CHUNK_WRITTEN_OUT: usize = 2400;

/// The workgroup's memory for each invocation, in bytes, that lets the registers and not the memory limit how many
/// waves a device holds: on AMD 10 waves of 32 for each SIMD, on NVIDIA 1024 invocations in the 96 KiB of a core.
const MEMORY: u64 = 96;

/// What waiting for each other twice and computing addresses anew costs for each chunk, in multiply-adds.
const CHUNK: f64 = 24.0;

/// The tile with the least estimated cost, behind that cost, or why there is none.
pub(crate) fn tiled(op: &ConvTranspose, geometry: &Geometry, profile: &DeviceProfile) -> Result<(f64, Tile), Refusal> {
    let traits = profile.class.traits();
    let packing = packed_weights(op, profile)?;
    let options = [0, 1, 2].map(|a| axis_options(&op.axes3()[a], geometry.input[a], geometry.output[a], CELLS[a]));
    let mut best: Option<(f64, Tile)> = None;
    for &vectors in VECTORS.iter().filter(|vectors| packing.vectors.is_multiple_of(**vectors)) {
        for [z, y, x] in whole(&options) {
            let tile = Tile {
                rows: geometry.input_strides().spatial[2] == 1,
                splits: 1,
                turn: 1,
                once: false,
                order: Order::Taps,
                rank: op.rank(),
                axes: [z.axis, y.axis, x.axis],
                width: packing.width,
                vectors,
                workgroup: 0,
                ragged: !(op.out_channels() / op.groups()).is_multiple_of(packing.width),
                input_quads: None,
                output_quads: writes_quads(geometry, profile, &x.axis),
                slab: None,
            };
            let read = Slab::reads(&tile).iter().product::<usize>() * Slab::unit(&tile);
            if tile.written_out() > MAX_WRITTEN_OUT || tile.sums() + read.max(4) > traits.registers {
                continue;
            }
            if let Some(slab) = slab(op, geometry, profile, &packing, &tile) {
                let tile = Tile { workgroup: slab.invocations() as u32, slab: Some(slab), ..tile };
                let cost = cost(&traits, op, geometry, &packing, &tile, &slab);
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, tile));
                }
            }
        }
    }
    best.ok_or(Refusal::NoTile { workgroup_memory: profile.max_workgroup_memory })
}

/// The choices of all axes, crossed, with all phases: they read the same inputs.
fn whole(options: &[Vec<AxisOption>; 3]) -> impl Iterator<Item = [&AxisOption; 3]> {
    let [z, y, x] = [0, 1, 2].map(|a| options[a].iter().filter(|option| option.axis.phase_parts() == 1));
    z.flat_map(move |z| {
        let x = x.clone();
        y.clone().flat_map(move |y| x.clone().map(move |x| [z, y, x]))
    })
}

/// Lays a workgroup's invocations out and lets them share as many input channels as there is room for; `None` where
/// there is not enough for one.
fn slab(
    op: &ConvTranspose,
    geometry: &Geometry,
    profile: &DeviceProfile,
    packing: &Packing,
    tile: &Tile,
) -> Option<Slab> {
    let most = WORKGROUP.min(profile.max_invocations as usize);
    let mut slab = Slab { lanes: [1; 3], items: 1, blocks: 1, chunk: 1 };
    let vectors = packing.vectors / tile.vectors;
    while slab.blocks < MAX_BLOCKS && vectors.is_multiple_of(slab.blocks * 2) && slab.blocks * 2 <= most {
        slab.blocks *= 2;
    }
    // A box as cubic as it can be has the least halo.
    let tiles = [0, 1, 2].map(|a| geometry.output[a].div_ceil(tile.axes[a].stride).div_ceil(tile.axes[a].cells));
    while slab.invocations() * 2 <= most {
        let narrowest =
            (0..3).filter(|&a| slab.lanes[a] < tiles[a]).min_by_key(|&a| slab.lanes[a] * tile.axes[a].cells);
        match narrowest {
            Some(a) => slab.lanes[a] *= 2,
            None if slab.items < geometry.batch => slab.items *= 2,
            None => break,
        }
    }
    let channels = op.in_channels() / op.groups();
    let fits = |slab: &Slab| {
        let bytes = slab.bytes(tile, packing);
        let ample =
            bytes <= MEMORY * slab.invocations() as u64 && slab.chunk * tile.multiply_adds() <= MAX_CHUNK_WRITTEN_OUT;
        bytes <= profile.max_workgroup_memory && (ample || slab.chunk == 1)
    };
    CHUNKS.into_iter().filter(|&chunk| channels.is_multiple_of(chunk)).map(|chunk| Slab { chunk, ..slab }).find(fits)
}

/// The estimate, in the units of `direct`'s.
fn cost(traits: &Traits, op: &ConvTranspose, geometry: &Geometry, packing: &Packing, tile: &Tile, slab: &Slab) -> f64 {
    // Where it is not chosen of itself, the memory is no better than the buffers.
    let shared = traits.shared.unwrap_or(traits.quad);
    let cells = [0, 1, 2].map(|a| geometry.output[a].div_ceil(tile.axes[a].stride));
    let boxes = [0, 1, 2].map(|a| cells[a].div_ceil(tile.box_cells(a))).iter().product::<usize>();
    let blocks = packing.vectors / tile.group_vectors() * op.groups();
    let workgroups = geometry.batch.div_ceil(slab.items) * boxes * blocks;
    let invocations = (workgroups * slab.invocations()) as f64;
    let channels = (op.in_channels() / op.groups()) as f64;
    let weights = (tile.taps() * tile.vectors * lanes(tile.width)).div_ceil(4);
    let reading = (Slab::reads(tile).iter().product::<usize>() + weights) as f64 * shared;
    let share = |all: usize| all as f64 / slab.invocations() as f64;
    let bringing = share(slab.positions(tile) * Slab::unit(tile)) * (traits.read + shared)
        + share(tile.group_vectors() * packing.channel) * (traits.quad + shared)
        + CHUNK / slab.chunk as f64;
    let channel = reading + bringing + tile.multiply_adds() as f64;
    let writing = if tile.output_quads { traits.quad / 4.0 } else { traits.read };
    invocations.max(traits.invocations) * (channels * channel + tile.sums() as f64 * writing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::plan::body::Plan;
    use crate::gpu::profile::DeviceClass;
    use crate::gpu::storage::Storage;
    use crate::kernel::Kernel;

    /// The second half of an image decoder: 512 channels of 128x128 to 256 of 256x256.
    fn decoder() -> (ConvTranspose, Geometry) {
        let op = ConvTranspose::builder().in_channels(512).out_channels(256).kernel([3, 3]).stride([2, 2]);
        let op = op.padding([1, 1]).output_padding([1, 1]).build().unwrap();
        let geometry = op.at(&[1, 512, 128, 128]).unwrap();
        (op, geometry)
    }

    #[test]
    fn it_is_chosen_for_deep_layers_on_nvidia_alone() {
        let (_, geometry) = decoder();
        for (class, expected) in [
            (DeviceClass::Nvidia, Kernel::Tiled),
            (DeviceClass::Desktop, Kernel::Direct),
            (DeviceClass::Software, Kernel::Direct),
            (DeviceClass::Mobile, Kernel::Direct),
            (DeviceClass::Unknown, Kernel::Direct),
        ] {
            let profile = DeviceProfile { class, ..DeviceProfile::default() };
            let plan = Plan::new(&geometry, Storage::F32, &profile).unwrap();
            assert_eq!(plan.kernel(), expected, "{class:?}: {}", plan.explain());
        }
        // One channel of 64 groups: nothing is shared by several output channels.
        let op = ConvTranspose::builder().in_channels(64).out_channels(64).groups(64).kernel([4, 4]).stride([2, 2]);
        let op = op.build().unwrap();
        let profile = DeviceProfile { class: DeviceClass::Nvidia, ..DeviceProfile::default() };
        let plan = Plan::new(&op.at(&[1, 64, 128, 128]).unwrap(), Storage::F32, &profile).unwrap();
        assert_eq!(plan.kernel(), Kernel::Direct, "{}", plan.explain());
    }

    #[test]
    fn a_workgroup_stays_within_the_devices_limits() {
        let (op, geometry) = decoder();
        for class in [DeviceClass::Nvidia, DeviceClass::Software, DeviceClass::Unknown] {
            for max_workgroup_memory in [2 << 10, 4 << 10, 16 << 10, 64 << 10] {
                for max_invocations in [1, 24, 64, 1024] {
                    let profile =
                        DeviceProfile { class, max_workgroup_memory, max_invocations, ..DeviceProfile::default() };
                    let Ok((_, tile)) = tiled(&op, &geometry, &profile) else {
                        assert!(max_workgroup_memory < 16 << 10, "16 KiB are enough: {class:?}, {max_invocations}");
                        continue;
                    };
                    let slab = tile.slab.unwrap();
                    let bytes = slab.bytes(&tile, &Packing::new(&op));
                    assert!(bytes <= max_workgroup_memory, "{bytes} of {max_workgroup_memory}: {slab}");
                    assert!(tile.workgroup <= max_invocations, "{slab}");
                    assert_eq!(tile.workgroup as usize, slab.invocations());
                    assert!(op.in_channels().is_multiple_of(slab.chunk), "{slab}");
                }
            }
        }
        let profile = DeviceProfile { max_workgroup_memory: 64, ..DeviceProfile::default() };
        assert_eq!(
            Plan::with_kernel(&geometry, Storage::F32, &profile, Kernel::Tiled).unwrap_err().to_string(),
            "kernel tiled cannot run this: no tile fits the registers with its inputs in 64 bytes of a workgroup's memory"
        );
    }

    #[test]
    fn a_workgroup_is_full_along_whichever_axis_has_work() {
        let op = ConvTranspose::builder().in_channels(16).out_channels(64).kernel([4, 4]).stride([2, 2]);
        let op = op.padding([1, 1]).build().unwrap();
        for shape in [[1, 16, 64, 64], [16, 16, 4, 4], [64, 16, 1, 1], [1, 16, 1, 200]] {
            let (_, tile) = tiled(&op, &op.at(&shape).unwrap(), &DeviceProfile::default()).unwrap();
            let slab = tile.slab.unwrap();
            assert_eq!(slab.invocations(), WORKGROUP, "{shape:?}: {slab}");
            assert!(slab.items <= shape[0] && tile.box_cells(1) <= 2 * shape[2], "{shape:?}: {slab}");
        }
    }
}
