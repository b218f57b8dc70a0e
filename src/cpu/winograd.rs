//! Kernels 3×3 at stride 1 by Winograd's transforms, where a caller allows their error (see [`crate::winograd`]).
//!
//! The output is cut into tiles of 4×4, numbered row by row. A task takes some rows of tiles, and as many of their tiles
//! at a time as fit with their inputs into a second-level cache: it transforms the inputs, multiplies them at each of the
//! 36 points with the weights of some output channels, and transforms the products into the output. Vectors are along
//! tiles. The results of a tile depend on its 6×6 inputs alone, and not on how the work is cut.

use super::cache;
use super::choice::{Cut, Panel};
use super::element::{Element, Stored};
use super::memory::{Result, grow, product, reserve, reserved};
use super::microkernel::{Product, Row, all_taps, most_rows, tiles};
use super::output::Slot;
use super::panel::Source;
use super::range::{all_q, length};
use super::scratch::{Pool, Scratch};
use super::simd::{Instructions, Level};
use super::task::{Parts, Task, TaskShape};
use crate::accuracy::Accuracy;
use crate::activation::Activation;
use crate::layout::Layout;
use crate::op::{ConvTranspose, Geometry};
use crate::winograd::{F4_3, THREE_BY_THREE, weights, wide_three_by_three};
use half::f16;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// The sides of a tile's output and input.
const M: usize = F4_3.output.len();
const N: usize = F4_3.input.len();
/// The most output channels that are computed before their products are transformed.
const CHANNELS: usize = 32;
/// The most transformed inputs at a time for a second-level cache of 1 MiB, in elements, and the fewest tiles.
const PANEL: usize = 224 << 10;
const FEWEST_TILES: usize = 32;
/// The tasks for each thread.
const TASKS: usize = 4;

/// The weights of an operation at the points of a transform.
#[derive(Clone, Debug)]
pub(super) struct Winograd {
    level: Level,
    instructions: Instructions,
    blocks: Vec<Block>,
}

/// Those of some output channels.
#[derive(Clone, Debug)]
struct Block {
    channels: Range<usize>,
    /// In the order of [`Product`], point after point.
    weights: Vec<f32>,
    rows: Vec<Row<f32>>,
}

/// Whether an operation allows the error of the transforms, and they are faster: whatever its shape, so that a picture in
/// tiles stays the same picture.
pub(super) fn pays(op: &ConvTranspose) -> bool {
    op.accuracy() != Accuracy::Elementwise && op.layout() == Layout::ChannelsFirst && wide_three_by_three(op)
}

impl Winograd {
    /// Transforms the weights of an operation that they [can compute](serves); `bias` may be empty.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn new(op: &ConvTranspose, weight: &[f32], bias: &[f32], level: Level) -> crate::Result<Self> {
        let (inputs, outputs) = (op.in_channels(), op.out_channels());
        let points = weights(op, THREE_BY_THREE, weight)?;
        let block = |channels: Range<usize>| {
            let mut weights = reserved("the weights", product([N * N, inputs, channels.len()]))?;
            for point in points.chunks_exact(inputs * outputs) {
                for tile in tiles(channels.len(), most_rows(level)) {
                    let from = channels.start + tile.start..channels.start + tile.end;
                    weights.extend(point.chunks_exact(outputs).flat_map(|row| &row[from.clone()]));
                }
            }
            let row = |co: usize| Row { bias: bias.get(co).copied().unwrap_or(0.0), channel: co };
            Ok(Block { weights, rows: channels.clone().map(row).collect(), channels })
        };
        let blocks = tiles(outputs, CHANNELS).map(block).collect::<Result<_>>()?;
        Ok(Self { level, instructions: level.instructions(), blocks })
    }

    /// Computes the output, and returns how many of its elements were written: all.
    pub(super) fn run<T: Stored<Computed = f32>>(
        &self,
        geometry: &Geometry,
        pool: &Pool<f32>,
        x: &[f32],
        y: &mut [Slot<T>],
    ) -> Result<usize> {
        let (op, output) = (geometry.op(), geometry.output());
        let all: [Range<i64>; 3] = std::array::from_fn(|axis| all_q(&op.axes3()[axis], output[axis]));
        let [planes, rows, columns] = all;
        let rows_of_tiles = output[1].div_ceil(M);
        let each = rows_of_tiles.div_ceil(TASKS * rayon::current_num_threads());
        let bands = tiles(rows_of_tiles, each)
            .map(|band| rows.start + (band.start * M) as i64..(rows.start + (band.end * M) as i64).min(rows.end));
        let bands = [vec![planes], bands.collect(), vec![columns]];
        let channels = std::iter::once(0..op.out_channels()).collect();
        let cut = Cut { panel: Panel::Box, items: 1, channels, bands };
        let run = |Task { shape, mut parts }: Task<'_, T>| {
            pool.with(|scratch| self.task(geometry, x, &shape, &mut parts, scratch))
        };
        Task::all(geometry, &cut, y)?.into_par_iter().with_max_len(1).map(run).sum()
    }

    /// Returns how many outputs were written.
    fn task<T: Stored<Computed = f32>>(
        &self,
        geometry: &Geometry,
        x: &[f32],
        shape: &TaskShape,
        parts: &mut Parts<'_, T>,
        scratch: &mut Scratch<f32>,
    ) -> Result<usize> {
        let op = geometry.op();
        let Scratch { panel, results, rounded, starts, lines } = scratch;
        let (lanes, inputs) = (self.level.lanes::<f32>(), op.in_channels());
        let [height, width] = [1, 2].map(|axis| length(&shape.outputs[axis]));
        let columns = width.div_ceil(M);
        let count = height.div_ceil(M) * columns;
        let fits =
            (cache::elements::<f32>(PANEL) / product([N * N, inputs])).max(FEWEST_TILES) / FEWEST_TILES * FEWEST_TILES;
        let chunk = fits.min(count);
        // A vector may reach beyond the last tile. Points are an odd number of vectors apart: with a power of two all
        // would compete for one set of a cache.
        let pitch = chunk.next_multiple_of(lanes) + lanes;
        let point_pitch = |rows: usize| product([(product([rows, pitch]) / lanes) | 1, lanes]);
        let from = [1, 2].map(|axis| shape.outputs[axis].start + op.axes3()[axis].pad_begin - 2);
        let source = Source::new(geometry, x, shape.items.start, 0);
        let mut written = 0;
        for first in (0..count).step_by(chunk) {
            let segments = segments(first..(first + chunk).min(count), columns);
            let tiles = chunk.min(count - first);
            grow(panel, product([N * N, point_pitch(inputs)]))?;
            self.instructions.run(Input {
                source,
                segments: &segments,
                inputs,
                from,
                lines,
                panel,
                pitch,
                point_pitch: point_pitch(inputs),
            })?;
            starts.clear();
            reserve(starts, tiles.div_ceil(lanes))?;
            starts.extend((0..tiles).step_by(lanes));
            for block in &self.blocks {
                let rows = block.rows.len();
                grow(results, product([N * N, point_pitch(rows)]))?;
                let bare = vec![Row::default(); rows];
                for (point, weights) in block.weights.chunks_exact(inputs * rows).enumerate() {
                    self.instructions.run(Product {
                        weights,
                        rows: &bare,
                        most_rows: most_rows(self.level),
                        activation: &Activation::None,
                        panel: &panel[point * point_pitch(inputs)..],
                        channels: inputs,
                        channel_stride: pitch,
                        taps_packed: 1,
                        taps: &all_taps([0].into_iter()),
                        starts,
                        results: &mut results[point * point_pitch(rows)..],
                        pitch,
                    });
                }
                written += self.instructions.run(Output {
                    activation: op.activation(),
                    block,
                    segments: &segments,
                    extents: [height, width],
                    lines,
                    rounded,
                    products: results,
                    pitch,
                    point_pitch: point_pitch(rows),
                    parts,
                })?;
            }
        }
        Ok(written)
    }
}

/// Neighbouring tiles of one row.
struct Segment {
    row: usize,
    columns: Range<usize>,
    /// The place of the first among the tiles that are computed together.
    at: usize,
}

/// These tiles by rows.
fn segments(tiles: Range<usize>, columns: usize) -> Vec<Segment> {
    let rows = tiles.start / columns..tiles.end.div_ceil(columns);
    rows.map(|row| {
        let start = (row * columns).max(tiles.start);
        let end = ((row + 1) * columns).min(tiles.end);
        Segment { row, columns: start - row * columns..end - row * columns, at: start - tiles.start }
    })
    .collect()
}

/// Transforms the inputs of some tiles into `panel[point][channel][tile]`.
struct Input<'a> {
    source: Source<'a, f32>,
    segments: &'a [Segment],
    inputs: usize,
    /// The first input of the task's first tile.
    from: [i64; 2],
    lines: &'a mut Vec<f32>,
    panel: &'a mut [f32],
    pitch: usize,
    point_pitch: usize,
}

impl WithSimd for Input<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<()> {
        let Input { source, segments, inputs, from, lines, panel, pitch, point_pitch } = self;
        let lanes = S::F32_LANES;
        for Segment { row, columns, at } in segments {
            let count = columns.len();
            let width = M * count + N - M;
            let line_pitch = (M * (count + 1)).next_multiple_of(lanes);
            let phase_pitch = count + 1 + lanes;
            grow(lines, N * line_pitch + M * phase_pitch)?;
            let (lines, phases) = lines.split_at_mut(N * line_pitch);
            let [y, x] = [row, &columns.start].map(|&tile| (tile * M) as i64);
            let in_bounds: [_; N] =
                std::array::from_fn(|i| source.in_bounds([0, from[0] + y + i as i64], from[1] + x, width));
            for channel in 0..inputs {
                for ((range, at), line) in in_bounds.iter().zip(lines.chunks_exact_mut(line_pitch)) {
                    source.copy_row(channel, (range, *at), &mut line[..width]);
                }
                for x in (0..line_pitch).step_by(lanes) {
                    let column = load::<S, N>(simd, &lines[x..], line_pitch);
                    let column = apply(simd, &F4_3.input, column);
                    for i in 0..N {
                        f32::store(simd, &mut lines[i * line_pitch + x..], column[i]);
                    }
                }
                for (i, line) in lines.chunks_exact(line_pitch).enumerate() {
                    apart(&line[..M * (count + 1)], phases, phase_pitch);
                    for tile in (0..count).step_by(lanes) {
                        let [a, b, c, d] = load::<S, M>(simd, &phases[tile..], phase_pitch);
                        let [e, f] = load::<S, 2>(simd, &phases[tile + 1..], phase_pitch);
                        let row = apply(simd, &F4_3.input, [a, b, c, d, e, f]);
                        let to = &mut panel[i * N * point_pitch + channel * pitch + at + tile..];
                        for j in 0..N {
                            f32::store(simd, &mut to[j * point_pitch..], row[j]);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Transforms the products of some tiles and channels into the output.
struct Output<'a, 'y, T> {
    activation: &'a Activation,
    block: &'a Block,
    segments: &'a [Segment],
    /// Rows and columns of the task's output.
    extents: [usize; 2],
    lines: &'a mut Vec<f32>,
    rounded: &'a mut Vec<f16>,
    products: &'a [f32],
    pitch: usize,
    point_pitch: usize,
    parts: &'a mut Parts<'y, T>,
}

impl<T: Stored<Computed = f32>> WithSimd for Output<'_, '_, T> {
    /// How many outputs were written.
    type Output = Result<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<usize> {
        let Output { activation, block, segments, extents, lines, rounded, products, pitch, point_pitch, parts } = self;
        let lanes = S::F32_LANES;
        let mut written = 0;
        for (index, row) in block.rows.iter().enumerate() {
            let bias = simd.splat_f32s(row.bias);
            for Segment { row: tiles, columns, at } in segments {
                let count = columns.len();
                let phase_pitch = count.next_multiple_of(lanes);
                grow(lines, M * M * phase_pitch)?;
                let phases = &mut lines[..M * M * phase_pitch];
                for tile in (0..count).step_by(lanes) {
                    let from = &products[index * pitch + at + tile..];
                    let mut columns = [[bias; M]; N];
                    for j in 0..N {
                        let column = load::<S, N>(simd, &from[j * point_pitch..], N * point_pitch);
                        columns[j] = apply(simd, &F4_3.output, column);
                    }
                    for i in 0..M {
                        let mut row = [bias; N];
                        for j in 0..N {
                            row[j] = columns[j][i];
                        }
                        let row = apply(simd, &F4_3.output, row);
                        for j in 0..M {
                            let to = &mut phases[(i * M + j) * phase_pitch + tile..];
                            f32::store(simd, to, simd.add_f32s(row[j], bias));
                        }
                    }
                }
                f32::activate_all(activation, row.channel, phases);
                let phases = T::all_of(phases, rounded)?;
                let first = columns.start * M;
                let wide = (M * count).min(extents[1] - first);
                for i in 0..M.min(extents[0] - tiles * M) {
                    let to = parts.row(0, block.channels.start + index, 0, tiles * M + i);
                    together(&phases[i * M * phase_pitch..], phase_pitch, &mut to[first..][..wide]);
                    written += wide;
                }
            }
        }
        Ok(written)
    }
}

/// A matrix times a vector of vectors. With a constant matrix the compiler leaves out products with 0.
#[inline(always)]
fn apply<S: Simd, const R: usize, const C: usize>(
    simd: S,
    matrix: &'static [[f64; C]; R],
    x: [S::f32s; C],
) -> [S::f32s; R] {
    let mut accumulators = [simd.splat_f32s(0.0); R];
    for r in 0..R {
        let mut first = true;
        for c in 0..C {
            let factor = matrix[r][c];
            if factor != 0.0 {
                let weighted = simd.splat_f32s(factor as f32);
                accumulators[r] = match (first, factor == 1.0) {
                    (true, true) => x[c],
                    (true, false) => simd.mul_f32s(x[c], weighted),
                    (false, true) => simd.add_f32s(accumulators[r], x[c]),
                    (false, false) => f32::multiply_add(simd, x[c], weighted, accumulators[r]),
                };
                first = false;
            }
        }
    }
    accumulators
}

/// Vectors that are `pitch` apart.
#[inline(always)]
fn load<S: Simd, const C: usize>(simd: S, x: &[f32], pitch: usize) -> [S::f32s; C] {
    let mut vectors = [simd.splat_f32s(0.0); C];
    for c in 0..C {
        vectors[c] = S::as_simd_f32s(&x[c * pitch..][..S::F32_LANES]).0[0];
    }
    vectors
}

/// Splits a line into `M` phases, rows that are `pitch` apart: every `M`-th element, from each of the first `M` on.
#[inline(always)]
fn apart(line: &[f32], phases: &mut [f32], pitch: usize) {
    let line = line.as_chunks::<M>().0;
    let mut rows = phases.chunks_exact_mut(pitch);
    let [a, b, c, d] = std::array::from_fn(|_| &mut rows.next().unwrap_or_default()[..line.len()]);
    for ((((a, b), c), d), from) in a.iter_mut().zip(b).zip(c).zip(d).zip(line) {
        [*a, *b, *c, *d] = *from;
    }
}

/// The reverse of [`apart`]: fills `line`; panics where the phases are too short for it.
#[inline(always)]
fn together<T: Copy>(phases: &[T], pitch: usize, line: &mut [Slot<T>]) {
    let (whole, rest) = line.as_chunks_mut::<M>();
    let [a, b, c, d] = std::array::from_fn(|i| &phases[i * pitch..][..pitch]);
    let [wa, wb, wc, wd] = [a, b, c, d].map(|phase| &phase[..whole.len()]);
    for ((((a, b), c), d), to) in wa.iter().zip(wb).zip(wc).zip(wd).zip(&mut *whole) {
        *to = [Slot::new(*a), Slot::new(*b), Slot::new(*c), Slot::new(*d)];
    }
    for (phase, to) in [a, b, c, d].into_iter().zip(rest) {
        *to = Slot::new(phase[whole.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::output::slots;
    use crate::reference;
    use crate::tensor::Tensor;
    use fastrand::Rng;

    fn tensor(rng: &mut Rng, shape: &[usize]) -> Tensor {
        let len = shape.iter().product();
        Tensor::f32(shape, (0..len).map(|_| rng.f32() * 2.0 - 1.0).collect::<Vec<_>>()).unwrap()
    }

    fn run(op: &ConvTranspose, x: &Tensor, weight: &Tensor, bias: &Tensor, level: Level) -> Vec<f32> {
        let winograd = Winograd::new(op, weight.as_f32().unwrap(), bias.as_f32().unwrap(), level).unwrap();
        let geometry = op.at(x.shape()).unwrap();
        let mut y = vec![f32::NAN; geometry.output_len()];
        let written = winograd.run(&geometry, &Pool::default(), x.as_f32().unwrap(), slots(&mut y)).unwrap();
        assert_eq!(written, y.len(), "{op:?} at {:?}", x.shape());
        y
    }

    #[test]
    fn errors_are_within_the_bound_in_all_shapes() {
        let mut rng = Rng::with_seed(81);
        for number in 0..24 {
            let (inputs, outputs) = (rng.usize(1..=20), rng.usize(1..=40));
            let mut pads = || (rng.i64(-1..=4), rng.i64(-1..=4));
            let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([3, 3]);
            let op = op.padding([pads(), pads()]).build().unwrap();
            let shape = [rng.usize(1..=2), inputs, rng.usize(7..=24), rng.usize(7..=90)];
            let (x, weight) = (tensor(&mut rng, &shape), tensor(&mut rng, &op.weight_shape()));
            let bias = tensor(&mut rng, &[outputs]);
            let expected = reference::conv_transpose(&op, &x, &weight, Some(&bias)).unwrap();
            for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
                let got = run(&op, &x, &weight, &bias, level);
                let got = Tensor::f32(expected.shape(), got).unwrap();
                let share = expected.compare_normwise(&got).unwrap().worst_share;
                assert!(
                    share > 0.0 && share <= 0.25,
                    "case {number}, {level:?}: {share} of the bound: {op:?} {shape:?}"
                );
            }
        }
    }

    /// Rows are cut where tiles begin; a tile's outputs come from its inputs alone.
    #[test]
    fn a_part_has_the_bits_of_the_whole_on_any_number_of_threads() {
        let mut rng = Rng::with_seed(82);
        let op = ConvTranspose::builder().in_channels(70).out_channels(8).kernel([3, 3]).padding([2, 2]);
        let op = op.activation(Activation::LeakyRelu { alpha: 0.1 }).build().unwrap();
        let (weight, bias) = (tensor(&mut rng, &op.weight_shape()), tensor(&mut rng, &[8]));
        let whole = tensor(&mut rng, &[1, 70, 30, 70]);
        let pools = [1, 2, 5].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
        let [one, two, five] =
            pools.each_ref().map(|pool| pool.install(|| run(&op, &whole, &weight, &bias, Level::best())));
        assert!(one == two && one == five);
        // From the 8th row and the 12th column on, 14×22 of them.
        let (top, left, h, w) = (8, 12, 14, 22);
        let x = whole.as_f32().unwrap();
        let rows = (0..70).flat_map(|ci| (top..top + h).map(move |y| (ci * 30 + y) * 70 + left));
        let part = rows.flat_map(|at| &x[at..at + w]).copied().collect::<Vec<_>>();
        let part = run(&op, &Tensor::f32([1, 70, h, w], part).unwrap(), &weight, &bias, Level::best());
        for (index, value) in part.into_iter().enumerate() {
            let (co, y, x) = (index / (12 * 20), index / 20 % 12, index % 20);
            assert_eq!(value, one[(co * 28 + top + y) * 68 + left + x], "{co} {y} {x}");
        }
    }
}
