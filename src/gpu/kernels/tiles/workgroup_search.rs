//! The tiles of `tiled`. The register tiles are those of `direct`; how a workgroup lies for each of them follows from a
//! rule and a table.

use super::cost;
use super::register_search::Space;
use super::register_tile::RegisterTile;
use super::tile::{Reads, Tile};
use super::workgroup_tile::{WorkgroupTile, input_unit, spans};
use crate::gpu::profile::DeviceProfile;
use crate::kernel::Refusal;
use crate::op::Geometry;

/// How a workgroup may lie: its invocations, and of them the most along the output channels. More invocations share more,
/// but wait longer for each other; more along the channels leave fewer to neighbours, whose inputs overlap and whose rows are
/// read together.
const ARRANGEMENTS: [(usize, usize); 4] = [(128, 8), (128, 2), (256, 8), (256, 2)];

/// Input channels at a time, the most first.
const K_CHUNKS: [usize; 4] = [8, 4, 2, 1];

/// The most multiply-adds written out for several input channels: more would share what a K-chunk costs among more of
/// them, but compilers take longer.
const MAX_CHUNK_MULTIPLY_ADDS: usize = 2400;

/// The workgroup's memory for each invocation, in bytes, that lets the registers and not the memory limit how many
/// waves a device holds: on AMD 10 waves of 32 for each SIMD, on NVIDIA 1024 invocations in the 96 KiB of a core.
const MEMORY: u64 = 96;

/// The tile with the least estimated cost, behind that cost, or why there is none. What only measuring can judge is left
/// out: how a workgroup of another arrangement lies, and reading ahead.
pub(crate) fn best(geometry: &Geometry, profile: &DeviceProfile) -> Result<(f64, Tile), Refusal> {
    best_of(&Space::new(geometry, profile)?)
}

fn best_of(space: &Space<'_>) -> Result<(f64, Tile), Refusal> {
    let mut best: Option<(f64, Tile)> = None;
    for (shape, _) in space.register_tiles() {
        let read = spans(&shape).iter().product::<usize>() * input_unit(&shape);
        // All phases of a cell read the same inputs: they stay together.
        if shape.phase_parts() > 1 || shape.rounds() > 1 || shape.outputs() + read.max(4) > space.hardware.registers {
            continue;
        }
        if let Some(workgroup) = workgroup(space, &shape, ARRANGEMENTS[0]) {
            let cost = cost::tiled(&space.hardware, space.geometry, &space.packing, (&shape, &workgroup));
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, Tile { shape, reads: Reads::Memory(workgroup) }));
            }
        }
    }
    best.ok_or(Refusal::NoTile { workgroup_memory: space.profile.max_workgroup_memory })
}

/// Gives that tile, and the others that are worth measuring beside it, with what `best` estimates of it: its register tile
/// in every arrangement, with and without reading ahead.
pub(crate) fn visit(
    geometry: &Geometry,
    profile: &DeviceProfile,
    mut visitor: impl FnMut(f64, Tile),
) -> Result<(), Refusal> {
    let space = Space::new(geometry, profile)?;
    let (cost, Tile { shape, .. }) = best_of(&space)?;
    let mut seen = Vec::new();
    for arrangement in ARRANGEMENTS {
        let Some(laid) = workgroup(&space, &shape, arrangement).filter(|laid| !seen.contains(laid)) else { continue };
        seen.push(laid);
        for ahead in [false, true] {
            visitor(cost, Tile { shape, reads: Reads::Memory(WorkgroupTile { ahead, ..laid }) });
        }
    }
    Ok(())
}

/// Lays a workgroup's invocations out and lets them share as many input channels as there is room for; `None` where
/// there is not enough for one.
fn workgroup(
    space: &Space<'_>,
    tile: &RegisterTile,
    (invocations, most_blocks): (usize, usize),
) -> Option<WorkgroupTile> {
    let Space { geometry, profile, packing, .. } = space;
    let most = invocations.min(profile.max_invocations as usize);
    let mut laid = WorkgroupTile { lanes: [1; 3], items: 1, blocks: 1, k_chunk: 1, ahead: false };
    let vectors = packing.vectors / tile.vectors;
    while laid.blocks < most_blocks && vectors.is_multiple_of(laid.blocks * 2) && laid.blocks * 2 <= most {
        laid.blocks *= 2;
    }
    // A box as cubic as it can be has the least halo.
    let tiles = [0, 1, 2].map(|a| geometry.output[a].div_ceil(tile.axes[a].stride).div_ceil(tile.axes[a].cells));
    while laid.invocations() * 2 <= most {
        let narrowest =
            (0..3).filter(|&a| laid.lanes[a] < tiles[a]).min_by_key(|&a| laid.lanes[a] * tile.axes[a].cells);
        match narrowest {
            Some(a) => laid.lanes[a] *= 2,
            None if laid.items < geometry.batch => laid.items *= 2,
            None => break,
        }
    }
    let channels = geometry.op.in_channels() / geometry.op.groups();
    let fits = |laid: &WorkgroupTile| {
        let bytes = laid.memory(tile, packing).bytes();
        let ample = bytes <= MEMORY * laid.invocations() as u64
            && laid.k_chunk * tile.multiply_adds() <= MAX_CHUNK_MULTIPLY_ADDS;
        bytes <= profile.max_workgroup_memory && (ample || laid.k_chunk == 1)
    };
    let chunks = K_CHUNKS.into_iter().filter(|&k_chunk| channels.is_multiple_of(k_chunk));
    chunks.map(|k_chunk| WorkgroupTile { k_chunk, ..laid }).find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::kernels::pack::tiles::Packing;
    use crate::gpu::plan::body::Plan;
    use crate::gpu::profile::DeviceClass;
    use crate::gpu::storage::Storage;
    use crate::kernel::Kernel;
    use crate::op::ConvTranspose;

    /// The second half of an image decoder: 512 channels of 128x128 to 256 of 256x256.
    fn decoder() -> Geometry {
        let op = ConvTranspose::builder().in_channels(512).out_channels(256).kernel([3, 3]).stride([2, 2]);
        let op = op.padding([1, 1]).output_padding([1, 1]).build().unwrap();
        op.at(&[1, 512, 128, 128]).unwrap()
    }

    #[test]
    fn it_is_chosen_for_deep_layers_on_nvidia_alone() {
        let geometry = decoder();
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
        let geometry = decoder();
        for class in [DeviceClass::Nvidia, DeviceClass::Software, DeviceClass::Unknown] {
            for max_workgroup_memory in [2 << 10, 4 << 10, 16 << 10, 64 << 10] {
                for max_invocations in [1, 24, 64, 1024] {
                    let profile =
                        DeviceProfile { class, max_workgroup_memory, max_invocations, ..DeviceProfile::default() };
                    let Ok((_, tile)) = best(&geometry, &profile) else {
                        assert!(max_workgroup_memory < 16 << 10, "16 KiB are enough: {class:?}, {max_invocations}");
                        continue;
                    };
                    let laid = *tile.workgroup().unwrap();
                    let bytes = laid.memory(&tile.shape, &Packing::new(&geometry.op, Storage::F32)).bytes();
                    assert!(bytes <= max_workgroup_memory, "{bytes} of {max_workgroup_memory}: {laid}");
                    assert!(laid.invocations() <= max_invocations as usize, "{laid}");
                    assert!(geometry.op.in_channels().is_multiple_of(laid.k_chunk), "{laid}");
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
            let (_, tile) = best(&op.at(&shape).unwrap(), &DeviceProfile::default()).unwrap();
            let laid = *tile.workgroup().unwrap();
            assert_eq!(laid.invocations(), ARRANGEMENTS[0].0, "{shape:?}: {laid}");
            assert!(
                laid.items <= shape[0] && laid.lanes[1] * tile.shape.axes[1].cells <= 2 * shape[2],
                "{shape:?}: {laid}"
            );
        }
    }
}
