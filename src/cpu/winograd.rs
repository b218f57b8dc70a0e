//! Kernels 3×3 at stride 1 by Winograd's transforms, where a caller allows their error (see [`crate::winograd`]).
//!
//! The output is cut into tiles of 4×4, numbered row by row. A task takes some rows of tiles and, of these, as many tiles
//! at a time as leave their inputs in a second-level cache: it transforms the inputs, multiplies them at each of the
//! 36 points with the weights of some output channels, and transforms the sums into the output. Vectors run along
//! tiles. What a tile gives depends on its 6×6 inputs alone, and not on where the work is cut.

use super::choice::{Cut, Panel, all_q};
use super::finish::{Row, finish};
use super::panel::{Source, resize};
use super::product::{Product, all_taps, most_rows, multiply_add, store, tiles};
use super::products::{Pool, Scratch};
use super::simd::{Instructions, Level};
use super::task::{Parts, Task, TaskShape};
use crate::activation::Activation;
use crate::layout::Layout;
use crate::op::{ConvTranspose, Geometry};
use crate::winograd::F4;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The sides of a tile's output and input.
const M: usize = F4.output.len();
const N: usize = F4.input.len();
/// The most output channels that are computed before their sums are transformed.
const CHANNELS: usize = 32;
/// The most transformed inputs at a time, in elements, and the fewest tiles.
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
    /// As a [`Product`] wants them, point after point.
    weights: Vec<f32>,
    rows: Vec<Row>,
}

/// Whether an operation is of the kind that this serves.
pub(super) fn serves(op: &ConvTranspose) -> bool {
    crate::winograd::serves(op) && op.layout() == Layout::ChannelsFirst
}

impl Winograd {
    /// Transforms the weights of an operation that is served; `bias` may be empty.
    pub(super) fn new(op: &ConvTranspose, weight: &[f32], bias: &[f32], level: Level) -> Self {
        let (inputs, outputs) = (op.in_channels(), op.out_channels());
        let points = F4.weights(op, weight);
        let block = |channels: Range<usize>| {
            let mut weights = Vec::with_capacity(N * N * inputs * channels.len());
            for point in points.chunks_exact(inputs * outputs) {
                for tile in tiles(channels.len(), most_rows(level)) {
                    let from = channels.start + tile.start..channels.start + tile.end;
                    weights.extend(point.chunks_exact(outputs).flat_map(|row| &row[from.clone()]));
                }
            }
            let row = |co: usize| {
                let (alpha, beta) = op.activation().parameters(co);
                Row { bias: bias.get(co).copied().unwrap_or(0.0), alpha, beta }
            };
            Block { weights, rows: channels.clone().map(row).collect(), channels }
        };
        let blocks = tiles(outputs, CHANNELS).map(block).collect();
        Self { level, instructions: level.instructions(), blocks }
    }

    /// Computes the output, and says how many of its elements were written: all.
    pub(super) fn run(
        &self,
        op: &ConvTranspose,
        geometry: &Geometry,
        pool: &Pool,
        x: &[f32],
        y: &mut [MaybeUninit<f32>],
    ) -> usize {
        let all: [Range<i64>; 3] = std::array::from_fn(|axis| all_q(&op.axes3()[axis], geometry.output[axis]));
        let [planes, rows, columns] = all;
        let rows_of_tiles = geometry.output[1].div_ceil(M);
        let each = rows_of_tiles.div_ceil(TASKS * rayon::current_num_threads());
        let bands = tiles(rows_of_tiles, each)
            .map(|band| rows.start + (band.start * M) as i64..(rows.start + (band.end * M) as i64).min(rows.end));
        let bands = [vec![planes], bands.collect(), vec![columns]];
        let channels = std::iter::once(0..op.out_channels()).collect();
        let cut = Cut { panel: Panel::Box, items: 1, channels, bands };
        let run = |task: Task<'_>| {
            let (shape, mut parts) = task.split();
            pool.with(|scratch| self.task(op, geometry, x, &shape, &mut parts, scratch))
        };
        Task::all(op, geometry, &cut, y).into_par_iter().with_max_len(1).map(run).sum()
    }

    /// How many outputs were written.
    fn task(
        &self,
        op: &ConvTranspose,
        geometry: &Geometry,
        x: &[f32],
        shape: &TaskShape,
        parts: &mut Parts<'_>,
        scratch: &mut Scratch,
    ) -> usize {
        let Scratch { panel, sums, starts, lines } = scratch;
        let (lanes, inputs) = (self.level.lanes(), op.in_channels());
        let [height, width] = [1, 2].map(|axis| (shape.outputs[axis].end - shape.outputs[axis].start) as usize);
        let columns = width.div_ceil(M);
        let count = height.div_ceil(M) * columns;
        let fits = (PANEL / (N * N * inputs)).max(FEWEST_TILES) / FEWEST_TILES * FEWEST_TILES;
        let chunk = fits.min(count);
        // A vector may reach beyond the last tile. Points lie an odd number of vectors apart: a power of two would put
        // all into one place of a cache.
        let pitch = chunk.next_multiple_of(lanes) + lanes;
        let point_pitch = |rows: usize| ((rows * pitch / lanes) | 1) * lanes;
        let from = [1, 2].map(|axis| shape.outputs[axis].start + op.axes3()[axis].pad_begin - 2);
        let source = Source::new(geometry, x, shape.items.start, 0);
        let mut written = 0;
        for first in (0..count).step_by(chunk) {
            let segments = segments(first..(first + chunk).min(count), columns);
            let tiles = chunk.min(count - first);
            resize(panel, N * N * point_pitch(inputs));
            self.instructions.run(Input {
                source,
                segments: &segments,
                inputs,
                from,
                lines,
                panel,
                pitch,
                point_pitch: point_pitch(inputs),
            });
            starts.clear();
            starts.extend((0..tiles).step_by(lanes));
            for block in &self.blocks {
                let rows = block.rows.len();
                resize(sums, N * N * point_pitch(rows));
                let bare = vec![Row { bias: 0.0, alpha: 0.0, beta: 0.0 }; rows];
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
                        sums: &mut sums[point * point_pitch(rows)..],
                        pitch,
                    });
                }
                written += self.instructions.run(Output {
                    activation: op.activation(),
                    block,
                    segments: &segments,
                    extents: [height, width],
                    lines,
                    sums,
                    pitch,
                    point_pitch: point_pitch(rows),
                    parts,
                });
            }
        }
        written
    }
}

/// Neighbouring tiles of one row.
struct Segment {
    row: usize,
    columns: Range<usize>,
    /// The place of the first among the tiles that are computed together.
    at: usize,
}

/// The rows that these tiles lie in.
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
    source: Source<'a>,
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
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Input { source, segments, inputs, from, lines, panel, pitch, point_pitch } = self;
        let lanes = S::F32_LANES;
        for Segment { row, columns, at } in segments {
            let count = columns.len();
            let width = M * count + N - M;
            let line_pitch = (M * (count + 1)).next_multiple_of(lanes);
            let phase_pitch = count + 1 + lanes;
            resize(lines, N * line_pitch + M * phase_pitch);
            let (lines, phases) = lines.split_at_mut(N * line_pitch);
            let [y, x] = [row, &columns.start].map(|&tile| (tile * M) as i64);
            let inside: [_; N] =
                std::array::from_fn(|i| source.inside([0, from[0] + y + i as i64], from[1] + x, width));
            for channel in 0..inputs {
                for ((inside, at), line) in inside.iter().zip(lines.chunks_exact_mut(line_pitch)) {
                    source.copy_row(channel, (inside, *at), &mut line[..width]);
                }
                for x in (0..line_pitch).step_by(lanes) {
                    let column = load::<S, N>(simd, &lines[x..], line_pitch);
                    let column = apply(simd, &F4.input, column);
                    for i in 0..N {
                        store(simd, &mut lines[i * line_pitch + x..], column[i]);
                    }
                }
                for (i, line) in lines.chunks_exact(line_pitch).enumerate() {
                    apart(&line[..M * (count + 1)], phases, phase_pitch);
                    for tile in (0..count).step_by(lanes) {
                        let [a, b, c, d] = load::<S, M>(simd, &phases[tile..], phase_pitch);
                        let [e, f] = load::<S, 2>(simd, &phases[tile + 1..], phase_pitch);
                        let row = apply(simd, &F4.input, [a, b, c, d, e, f]);
                        let to = &mut panel[i * N * point_pitch + channel * pitch + at + tile..];
                        for j in 0..N {
                            store(simd, &mut to[j * point_pitch..], row[j]);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the sums of some tiles and channels into the output.
struct Output<'a, 'y> {
    activation: &'a Activation,
    block: &'a Block,
    segments: &'a [Segment],
    /// Rows and columns of the task's output.
    extents: [usize; 2],
    lines: &'a mut Vec<f32>,
    sums: &'a [f32],
    pitch: usize,
    point_pitch: usize,
    parts: &'a mut Parts<'y>,
}

impl WithSimd for Output<'_, '_> {
    /// How many outputs were written.
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let Output { activation, block, segments, extents, lines, sums, pitch, point_pitch, parts } = self;
        let lanes = S::F32_LANES;
        let mut written = 0;
        for (index, row) in block.rows.iter().enumerate() {
            let bias = simd.splat_f32s(row.bias);
            for Segment { row: tiles, columns, at } in segments {
                let count = columns.len();
                let phase_pitch = count.next_multiple_of(lanes);
                resize(lines, M * M * phase_pitch);
                let phases = &mut lines[..M * M * phase_pitch];
                for tile in (0..count).step_by(lanes) {
                    let from = &sums[index * pitch + at + tile..];
                    let mut columns = [[bias; M]; N];
                    for j in 0..N {
                        let column = load::<S, N>(simd, &from[j * point_pitch..], N * point_pitch);
                        columns[j] = apply(simd, &F4.output, column);
                    }
                    for i in 0..M {
                        let mut row = [bias; N];
                        for j in 0..N {
                            row[j] = columns[j][i];
                        }
                        let row = apply(simd, &F4.output, row);
                        for j in 0..M {
                            let to = &mut phases[(i * M + j) * phase_pitch + tile..];
                            store(simd, to, simd.add_f32s(row[j], bias));
                        }
                    }
                }
                finish(activation, row, phases);
                let first = columns.start * M;
                let wide = (M * count).min(extents[1] - first);
                for i in 0..M.min(extents[0] - tiles * M) {
                    let to = parts.row(0, block.channels.start + index, 0, tiles * M + i);
                    together(&phases[i * M * phase_pitch..], phase_pitch, &mut to[first..][..wide]);
                    written += wide;
                }
            }
        }
        written
    }
}

/// A matrix times a vector of vectors. With a constant matrix the compiler leaves out what is multiplied by 0.
#[inline(always)]
fn apply<S: Simd, const R: usize, const C: usize>(
    simd: S,
    matrix: &'static [[f64; C]; R],
    x: [S::f32s; C],
) -> [S::f32s; R] {
    let mut sums = [simd.splat_f32s(0.0); R];
    for r in 0..R {
        let mut first = true;
        for c in 0..C {
            let factor = matrix[r][c];
            if factor != 0.0 {
                let weighted = simd.splat_f32s(factor as f32);
                sums[r] = match (first, factor == 1.0) {
                    (true, true) => x[c],
                    (true, false) => simd.mul_f32s(x[c], weighted),
                    (false, true) => simd.add_f32s(sums[r], x[c]),
                    (false, false) => multiply_add(simd, x[c], weighted, sums[r]),
                };
                first = false;
            }
        }
    }
    sums
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

/// Every `M`-th element of a line, from each of the first `M` on.
#[inline(always)]
fn apart(line: &[f32], phases: &mut [f32], pitch: usize) {
    let [a, b, c, d] = rows(phases, pitch);
    let phases = a.iter_mut().zip(b).zip(c).zip(d);
    for ((((a, b), c), d), from) in phases.zip(line.as_chunks::<M>().0) {
        [*a, *b, *c, *d] = *from;
    }
}

/// The reverse of [`apart`], of as much as `line` takes.
#[inline(always)]
fn together(phases: &[f32], pitch: usize, line: &mut [MaybeUninit<f32>]) {
    let [a, b, c, d] = std::array::from_fn(|i| &phases[i * pitch..][..pitch]);
    let phases = a.iter().zip(b).zip(c).zip(d);
    let (whole, rest) = line.as_chunks_mut::<M>();
    for ((((a, b), c), d), to) in phases.zip(&mut *whole) {
        *to = [MaybeUninit::new(*a), MaybeUninit::new(*b), MaybeUninit::new(*c), MaybeUninit::new(*d)];
    }
    for (from, to) in [a, b, c, d].into_iter().zip(rest) {
        to.write(from[whole.len()]);
    }
}

#[inline(always)]
fn rows(phases: &mut [f32], pitch: usize) -> [&mut [f32]; M] {
    let mut rows = phases.chunks_exact_mut(pitch);
    std::array::from_fn(|_| rows.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::output;
    use crate::reference;
    use crate::tensor::Tensor;
    use fastrand::Rng;

    fn tensor(rng: &mut Rng, shape: &[usize]) -> Tensor {
        let len = shape.iter().product();
        Tensor::f32(shape, (0..len).map(|_| rng.f32() * 2.0 - 1.0).collect::<Vec<_>>()).unwrap()
    }

    fn run(op: &ConvTranspose, x: &Tensor, weight: &Tensor, bias: &Tensor, level: Level) -> Vec<f32> {
        let winograd = Winograd::new(op, weight.as_f32().unwrap(), bias.as_f32().unwrap(), level);
        let geometry = op.at(x.shape()).unwrap();
        let mut y = Vec::new();
        let fill = |y: &mut [_]| winograd.run(op, &geometry, &Pool::default(), x.as_f32().unwrap(), y);
        assert!(output::write(&mut y, geometry.output_len(), fill), "{op:?} at {:?}", x.shape());
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
                let share = expected.compare_winograd(&got).unwrap().worst_share;
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
