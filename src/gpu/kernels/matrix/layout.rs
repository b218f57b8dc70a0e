//! How a layer is laid out for cooperative matrices: what a workgroup computes, and what it keeps in its memory.
//!
//! Each phase is a sum of matrix products, one for each of its taps: the inputs that the tap reads for some
//! neighbouring cells, times the weights of the tap. A workgroup brings the inputs of a box of cells with its halo into
//! its memory, so that a tap is a distance there; each of its subgroups multiplies them for one phase and one block of
//! output channels.

use crate::accuracy::Accuracy;
use crate::gpu::dispatch::{Band, Dispatch, MAX_ELEMENTS, Window, products, rows};
use crate::gpu::kernels::pack::matrix::Packing;
use crate::gpu::kernels::pack::records::Record;
use crate::gpu::profile::{DeviceProfile, Matrices, loop_iterations};
use crate::gpu::storage::Storage;
use crate::kernel::Refusal;
use crate::op::{ConvTranspose, Geometry};
use crate::phase::AxisPhases;
use std::fmt;

/// The cells and the output channels that a subgroup computes at a time, at most.
const SUBGROUP_CELLS: usize = 32;

/// Subgroups that share inputs, where there are as many phases and blocks of channels.
const PAIRS: usize = 4;

/// The most products of matrices that are written out, for the channels that are brought at a time: a device in software
/// takes long to compile them.
const MAX_WRITTEN_OUT: usize = 32;

/// The memory of a workgroup in bytes, beyond which fewer input channels are brought at a time.
const MEMORY: u64 = 16 << 10;

/// Phases and taps are looked up in a table of at most so many entries, two for each phase and one for each tap: with
/// the parameters before it, in 208 bytes, that is as much of a uniform buffer as every Vulkan device can see.
pub(crate) const MAX_ENTRIES: usize = ((16 << 10) - 208) / 16;

/// How a layer is laid out; a kernel is written for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Matrix {
    /// The device's matrices.
    pub(crate) matrices: Matrices,
    /// The matrices of a box along (d, h, w); the cells of one are neighbours along w.
    pub(crate) rows: [usize; 3],
    /// Matrices of a block of output channels.
    pub(crate) columns: usize,
    /// How many pairs of a phase and a block a workgroup computes, each by one subgroup.
    pub(crate) pairs: usize,
    /// Invocations of a workgroup.
    pub(crate) workgroup: u32,
    /// Input channels at a time.
    pub(crate) chunk: usize,
    /// Inputs of a box along (d, h, w), its halo included.
    pub(crate) extents: [usize; 3],
    /// Entries of the table of phases and taps.
    pub(crate) entries: usize,
}

impl Matrix {
    /// Output channels of a block.
    pub(crate) fn channels(&self) -> usize {
        self.columns * self.matrices.side
    }

    /// Cells of a box along (d, h, w).
    pub(crate) fn cells(&self) -> [usize; 3] {
        let [z, y, x] = self.rows;
        [z, y, x * self.matrices.side]
    }

    /// From the channels of one input to those of the next in the workgroup's memory: 16 bytes more than the channels,
    /// so that neighbours do not lie in the same bank.
    pub(crate) fn pitch(&self) -> usize {
        self.chunk + 16 / self.matrices.factors.size() as usize
    }

    /// The numbers in a workgroup's memory: inputs, and the results of one matrix of cells for each pair.
    pub(crate) fn shared(&self) -> [usize; 2] {
        [self.extents.iter().product::<usize>() * self.pitch(), self.pairs * self.matrices.side * self.channels()]
    }

    /// The most iterations of loops that an invocation runs, each counted as [`DeviceProfile::max_iterations`] says: for
    /// each K-chunk those that bring inputs and those over taps, and at the end those that store.
    fn iterations(&self, op: &ConvTranspose, packed_in_channels: usize) -> u64 {
        let turns = self.pairs.div_ceil((self.workgroup / self.matrices.largest_subgroup) as usize) as u64;
        let [inputs, results] = [self.extents.iter().product::<usize>() * self.chunk, self.shared()[1]];
        let share = |elements: usize| loop_iterations(elements.div_ceil(self.workgroup as usize) as u64, 0);
        let taps = op.axes3().map(|axis| AxisPhases::new(&axis).most_taps() as u64).iter().product();
        let chunks =
            loop_iterations((packed_in_channels / self.chunk) as u64, share(inputs) + loop_iterations(taps, 0));
        let rows = self.rows.iter().product::<usize>() as u64;
        loop_iterations(turns, chunks + rows * share(results))
    }

    /// The memory of a workgroup, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let [inputs, results] = self.shared();
        inputs as u64 * self.matrices.factors.size() + results as u64 * 4
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Matrix { matrices: Matrices { side, factors, .. }, rows: [z, y, x], columns, pairs, chunk, .. } = self;
        let factors = if *factors == Storage::F16 { "f16" } else { "f32" };
        write!(
            f,
            "{z}x{y}x{x} matrices of {side} cells times {columns} of {side} channels by a subgroup, {pairs} of them; \
             {chunk} input channels at a time in {side}x{side} matrices of {factors}"
        )
    }
}

/// A phase of all axes: its place in a cell, and the taps that reach it, each with the place in the box of the input
/// that it reads for the first cell.
pub(crate) struct BoxPhase {
    pub(crate) residues: [usize; 3],
    pub(crate) taps: Vec<(usize, usize)>,
}

/// The inputs that the cells read along one axis.
struct Reach {
    /// For each phase the taps and the offsets of their inputs, backwards from the cell.
    phases: Vec<Vec<(usize, i64)>>,
    most: i64,
    halo: usize,
}

fn reach(op: &ConvTranspose) -> [Reach; 3] {
    op.axes3().map(|axis| {
        let table = AxisPhases::new(&axis);
        let taps = |residue| table.at(residue as i64).map(|(phase, _)| table.taps(phase).collect());
        let phases: Vec<Vec<(usize, i64)>> = (0..axis.stride).map(|r| taps(r).unwrap_or_default()).collect();
        let offsets = || phases.iter().flatten().map(|&(_, offset)| offset);
        let (least, most) = (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0));
        Reach { phases, most, halo: (most - least) as usize }
    })
}

/// How far before a cell the first input lies that it reads, along (d, h, w).
pub(crate) fn first_reads(op: &ConvTranspose) -> [i64; 3] {
    reach(op).map(|axis| axis.most)
}

/// The phases in the order of their places in a cell, with their taps in a box of so many inputs.
pub(crate) fn box_phases(op: &ConvTranspose, extents: [usize; 3]) -> Vec<BoxPhase> {
    let ([_, kh, kw], [z, y, x]) = (op.axes3().map(|axis| axis.kernel), reach(op));
    let [_, height, width] = extents;
    let mut phases = Vec::new();
    for (rz, taps_z) in z.phases.iter().enumerate() {
        for (ry, taps_y) in y.phases.iter().enumerate() {
            for (rx, taps_x) in x.phases.iter().enumerate() {
                let mut taps = Vec::with_capacity(taps_z.len() * taps_y.len() * taps_x.len());
                for &(tz, oz) in taps_z {
                    for &(ty, oy) in taps_y {
                        taps.extend(taps_x.iter().map(|&(tx, ox)| {
                            let [pz, py, px] = [z.most - oz, y.most - oy, x.most - ox].map(|place| place as usize);
                            ((tz * kh + ty) * kw + tx, (pz * height + py) * width + px)
                        }));
                    }
                }
                phases.push(BoxPhase { residues: [rz, ry, rx], taps });
            }
        }
    }
    phases
}

/// The first cell of the output along each axis, and how many there are.
pub(crate) fn cells(geometry: &Geometry) -> [(i64, usize); 3] {
    [0, 1, 2].map(|a| {
        let (axis, output) = (&geometry.op.axes3()[a], geometry.output[a].max(1) as i64);
        let cell = |o: i64| (o + axis.pad_begin).div_euclid(axis.stride as i64);
        (cell(0), (cell(output - 1) - cell(0) + 1) as usize)
    })
}

/// Lays out an operation and its one dispatch, or says why it cannot be.
pub(crate) fn matrix(
    geometry: &Geometry,
    storage: Storage,
    profile: &DeviceProfile,
) -> Result<(Matrix, Option<Dispatch>), Refusal> {
    let op = &geometry.op;
    let Some(matrices) = profile.matrices else {
        return Err(Refusal::NoMatrices);
    };
    let Matrices { side, factors, subgroup, largest_subgroup } = matrices;
    if !matches!(side, 8 | 16) || subgroup == 0 || largest_subgroup == 0 {
        return Err(Refusal::UnsupportedMatrices { side, least_subgroup: subgroup, largest_subgroup });
    }
    if factors == Storage::F16 && storage == Storage::F32 && op.accuracy() != Accuracy::Half {
        return Err(Refusal::RoundedTensor);
    }
    let all = |sizes: [usize; 3]| sizes.iter().fold(1usize, |product, &size| product.saturating_mul(size));
    let (strides, kernel) = (op.axes3().map(|axis| axis.stride), op.axes3().map(|axis| axis.kernel));
    let (phases, taps) = (all(strides), all(kernel));
    let entries = phases.saturating_mul(2).saturating_add(taps);
    if entries > MAX_ENTRIES {
        return Err(Refusal::TableEntries { taps, phases, entries, limit: MAX_ENTRIES });
    }
    let packing = Packing::new(op, side);
    let tensor = geometry.input_len().max(geometry.output_len());
    // It also reads the records of `gather`: the weights that are packed, and the biases.
    let records = op.out_channels().saturating_mul(Record::new(op).stride);
    let most = tensor.max(packing.elements).max(records) as u64;
    if most > MAX_ELEMENTS {
        return Err(Refusal::Elements { elements: most, limit: MAX_ELEMENTS });
    }
    let bytes = |elements: usize, size: u64| (elements as u64 * size).next_multiple_of(4).max(4);
    let packed = bytes(packing.elements, factors.size());
    let largest = bytes(tensor, storage.size()).max(packed).max(bytes(records, 4));
    if largest > profile.max_binding {
        let what = "a tensor or its weights";
        return Err(Refusal::Binding { what, bytes: largest, limit: profile.max_binding });
    }

    let (cells, reach) = (cells(geometry), reach(op));
    let boxes = |matrix: &Matrix| [0, 1, 2].map(|a| cells[a].1.div_ceil(matrix.cells()[a]));
    let pairs = phases * packing.blocks;
    let with = |rows: [usize; 3], chunk: usize| {
        let (pairs, columns) = (pairs.min(PAIRS), packing.columns);
        let workgroup = (pairs as u32 * subgroup).next_multiple_of(largest_subgroup);
        let matrix = Matrix { matrices, rows, columns, pairs, workgroup, chunk, extents: [0; 3], entries };
        let extents = [0, 1, 2].map(|a| matrix.cells()[a] + reach[a].halo);
        Matrix { extents, ..matrix }
    };
    // The box that covers the cells the fewest times, and of those the one with the smallest halo.
    let most_rows = SUBGROUP_CELLS / side;
    let splits = |whole: usize| (0..=whole.ilog2()).map(|bits| 1 << bits);
    let shapes = splits(most_rows)
        .flat_map(|z| splits(most_rows / z).map(move |y| [z, y, most_rows / z / y]))
        .map(|rows| with(rows, side));
    let Some(shape) = shapes.min_by_key(|shape| (all(boxes(shape)), all(shape.extents))) else {
        return Err(Refusal::UnsupportedMatrices { side, least_subgroup: subgroup, largest_subgroup });
    };
    let matrix = [4, 2]
        .into_iter()
        .filter(|steps| steps * most_rows * packing.columns <= MAX_WRITTEN_OUT)
        .map(|steps| Matrix { chunk: steps * side, ..shape })
        .find(|matrix| packing.in_channels.is_multiple_of(matrix.chunk) && matrix.bytes() <= MEMORY)
        .unwrap_or(shape);
    if matrix.bytes() > profile.max_workgroup_memory {
        let (extents, limit) = (matrix.extents.to_vec(), profile.max_workgroup_memory);
        return Err(Refusal::WorkgroupMemory { extents, bytes: matrix.bytes(), limit });
    }
    if matrix.workgroup > profile.max_invocations {
        return Err(Refusal::Invocations { invocations: matrix.workgroup, limit: profile.max_invocations });
    }

    let count = all(boxes(&matrix)).saturating_mul(geometry.batch);
    let sets = op.groups() * pairs.div_ceil(matrix.pairs);
    let most = profile.max_workgroups as usize;
    let [x, y] = rows(count as u64, profile.max_workgroups);
    if y as usize > most || sets > most {
        let what = format!("{count} boxes of cells and {sets} of channels and phases");
        return Err(Refusal::Workgroups { what, limit: most as u64 });
    }
    // Taps differ from phase to phase; together the phases of a cell have each tap once.
    let multiply_adds = (count * SUBGROUP_CELLS) as u64 * packing.elements as u64;
    if multiply_adds > profile.max_multiply_adds {
        return Err(Refusal::MultiplyAdds { multiply_adds, limit: profile.max_multiply_adds });
    }
    let (channels, taps) = products(geometry);
    let iterations = matrix.iterations(op, packing.in_channels);
    if iterations > profile.max_iterations {
        return Err(Refusal::Iterations { iterations, limit: profile.max_iterations });
    }
    let window = |elements: usize, size: u64| Window { offset: 0, size: bytes(elements, size) };
    let dispatch = Dispatch {
        residual: None,
        band: Band {
            batch: 0..geometry.batch,
            out_channels: 0..op.out_channels(),
            output: geometry.output.map(|extent| 0..extent),
            group_in_channels: 0..channels,
            taps: taps.map(|count| 0..count),
        },
        input: window(geometry.input_len(), storage.size()),
        weights: window(packing.elements, factors.size()),
        output: window(geometry.output_len(), storage.size()),
        workgroups: [x, y, sets as u32],
        multiply_adds,
    };
    Ok((matrix, (geometry.output_len() > 0).then_some(dispatch)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::gpu::plan::body::Plan;
    use crate::kernel::Kernel;

    /// The matrices of lavapipe, of AMD's and NVIDIA's devices, and of Apple's.
    pub(crate) const ALL: [Matrices; 4] = [
        Matrices { side: 8, factors: Storage::F16, subgroup: 8, largest_subgroup: 8 },
        Matrices { side: 16, factors: Storage::F16, subgroup: 32, largest_subgroup: 64 },
        Matrices { side: 16, factors: Storage::F16, subgroup: 32, largest_subgroup: 32 },
        Matrices { side: 8, factors: Storage::F32, subgroup: 32, largest_subgroup: 64 },
    ];

    pub(crate) fn profile(matrices: Matrices) -> DeviceProfile {
        DeviceProfile { matrices: Some(matrices), f16: true, ..DeviceProfile::default() }
    }

    fn deep() -> ConvTranspose {
        let builder = ConvTranspose::builder().in_channels(64).out_channels(40).kernel([4, 4]).stride([2, 2]);
        builder.padding([1, 1]).build().unwrap()
    }

    #[test]
    fn it_is_never_chosen_unless_asked_for() {
        let geometry = deep().at(&[4, 64, 32, 32]).unwrap();
        for matrices in ALL {
            let profile = profile(matrices);
            assert_ne!(Plan::new(&geometry, Storage::F16, &profile).unwrap().kernel(), Kernel::Matrix);
            let plan = Plan::with_kernel(&geometry, Storage::F16, &profile, Kernel::Matrix).unwrap();
            assert_eq!((plan.kernel(), plan.dispatches().len()), (Kernel::Matrix, 1));
            // 33x33 cells in boxes of 32, 4 phases times 2 blocks in sets of 4.
            let [x, y, z] = plan.dispatches()[0].workgroups;
            assert!(x * y * 32 >= 4 * 33 * 33 && z == 2, "{:?}", plan.dispatches());
            assert!(plan.workgroup_memory() > 0 && plan.workgroup_memory() <= 16 << 10);
            assert!(plan.explain().to_string().contains("input channels at a time"));
        }
    }

    #[test]
    fn every_tap_is_in_one_phase_and_inside_the_box() {
        for (_, op, shape) in crate::gpu::plan::field::operations() {
            let geometry = op.at(&shape).unwrap();
            let Ok((matrix, _)) = matrix(&geometry, Storage::F16, &profile(ALL[0])) else { continue };
            let phases = box_phases(&op, matrix.extents);
            let mut taps: Vec<usize> = phases.iter().flat_map(|phase| &phase.taps).map(|&(tap, _)| tap).collect();
            taps.sort_unstable();
            assert!(taps.into_iter().eq(0..Packing::new(&op, 8).taps));
            let [_, height, width] = matrix.extents;
            let last = matrix.cells().map(|cells| cells - 1);
            let last = (last[0] * height + last[1]) * width + last[2];
            let inputs = matrix.extents.iter().product::<usize>();
            assert!(phases.iter().flat_map(|phase| &phase.taps).all(|&(_, place)| place + last < inputs));
            assert_eq!(2 * phases.len() + Packing::new(&op, 8).taps, matrix.entries);
        }
    }

    #[test]
    fn what_it_is_not_for_is_refused_with_the_numbers() {
        let refusal = |op: &ConvTranspose, shape: &[usize], storage, profile: &DeviceProfile| {
            matrix(&op.at(shape).unwrap(), storage, profile).unwrap_err().to_string()
        };
        let (op, shape, f16) = (deep(), [1, 64, 32, 32], Storage::F16);
        assert!(refusal(&op, &shape, f16, &DeviceProfile::default()).contains("no cooperative matrices"));
        assert!(refusal(&op, &shape, Storage::F32, &profile(ALL[0])).contains("rounded"));
        let small = DeviceProfile { max_binding: 1 << 10, ..profile(ALL[0]) };
        assert!(refusal(&op, &shape, f16, &small).contains("327680 bytes, which exceed a binding of 1024"));
        // The records that the weights are packed from take more than the packed ones, and more than these tensors.
        let small = DeviceProfile { max_binding: 150_000, ..profile(ALL[1]) };
        assert!(refusal(&op, &[1, 64, 4, 4], f16, &small).contains("164160 bytes, which exceed a binding of 150000"));
        for (side, subgroup) in [(0, 8), (64, 8), (8, 0)] {
            let odd = profile(Matrices { side, subgroup, ..ALL[0] });
            assert!(
                refusal(&op, &shape, f16, &odd).contains(&format!("matrices of {side}x{side} for {subgroup} to 8"))
            );
        }
        let slow = DeviceProfile { max_multiply_adds: 1 << 20, ..profile(ALL[0]) };
        assert!(refusal(&op, &shape, f16, &slow).contains("exceed the 1048576 of a dispatch"));
        let few = DeviceProfile { max_invocations: 16, ..profile(ALL[0]) };
        assert!(refusal(&op, &shape, f16, &few).contains("32 invocations exceed the 16"));
        let poor = DeviceProfile { max_workgroup_memory: 1 << 10, ..profile(ALL[0]) };
        assert!(refusal(&op, &shape, f16, &poor).contains("which has 1024"));
        let huge = ConvTranspose::builder().kernel([64, 64]).stride([32, 32]).build().unwrap();
        assert!(refusal(&huge, &[1, 1, 4, 4], f16, &profile(ALL[0])).contains("6144 entries, which exceed 1011"));
    }
}
