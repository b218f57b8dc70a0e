//! From the products of some tiles to their outputs.

use super::aligned;
use super::matrix::{Sums, load};
use super::segment::Segment;
use crate::activation::Activation;
use crate::cpu::element::{Element, Stored};
use crate::cpu::memory::Result;
use crate::cpu::microkernel::Row;
use crate::cpu::output::Slot;
use crate::cpu::task::Parts;
use crate::winograd::{TILE, Transform};
use half::f16;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// The products at the points of some tiles: `[phase w][point][channel][tile]`.
pub(super) struct Products<'a> {
    pub(super) values: &'a [f32],
    pub(super) pitch: usize,
    pub(super) point_pitch: usize,
    pub(super) phase_pitch: usize,
}

/// Transforms the products of some tiles and channels into rows of the output.
pub(super) struct Output<'a, 'y, T, const TAPS: usize, const POINTS: usize> {
    pub(super) activation: &'a Activation,
    /// The channels within the task, and the bias and the activation's parameters of each.
    pub(super) channels: Range<usize>,
    pub(super) rows: &'a [Row<f32>],
    /// The phase along h.
    pub(super) phase: usize,
    pub(super) strides: [usize; 2],
    pub(super) segments: &'a [Segment],
    /// For each segment, the plane of the task's output that it is of, if it is of one.
    pub(super) planes: &'a [Option<usize>],
    /// Rows and columns of the task's output.
    pub(super) extents: [usize; 2],
    pub(super) lines: &'a mut Vec<f32>,
    pub(super) rounded: &'a mut Vec<f16>,
    pub(super) products: Products<'a>,
    pub(super) parts: &'a mut Parts<'y, T>,
}

impl<T: Stored<Computed = f32>, const TAPS: usize, const POINTS: usize> WithSimd for Output<'_, '_, T, TAPS, POINTS>
where
    Transform<TAPS, POINTS>: Sums<TAPS, POINTS>,
{
    /// How many outputs were written.
    type Output = Result<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<usize> {
        let Output { activation, channels, rows: parameters, phase, strides, segments, planes, .. } = self;
        let Output { extents, lines, rounded, products, parts, .. } = self;
        let Products { values: products, pitch, point_pitch, phase_pitch } = products;
        let lanes = S::F32_LANES;
        let count = segments.last().map_or(0, |last| last.at + last.columns.len());
        let (line_pitch, vectors) = (count.next_multiple_of(lanes), count.div_ceil(lanes));
        let point_vectors = point_pitch / lanes;
        // Outputs of a tile along w.
        let across = TILE * strides[1];
        let lines = aligned(lines, TILE * across * line_pitch)?;
        let mut written = 0;
        for (index, row) in parameters.iter().enumerate() {
            let bias = simd.splat_f32s(row.bias);
            let to = S::as_mut_simd_f32s(lines).0;
            for phase_x in 0..strides[1] {
                let from = S::as_simd_f32s(&products[phase_x * phase_pitch + index * pitch..]).0;
                for tile in 0..vectors {
                    let mut columns = [[bias; TILE]; POINTS];
                    for (j, to) in columns.iter_mut().enumerate() {
                        let column = load::<S, POINTS>(simd, from, j * point_vectors + tile, POINTS * point_vectors);
                        *to = Transform::<TAPS, POINTS>::outputs(simd, column);
                    }
                    for i in 0..TILE {
                        let mut row = [bias; POINTS];
                        for j in 0..POINTS {
                            row[j] = columns[j][i];
                        }
                        let row = Transform::<TAPS, POINTS>::outputs(simd, row);
                        for j in 0..TILE {
                            to[(i * across + j * strides[1] + phase_x) * vectors + tile] = simd.add_f32s(row[j], bias);
                        }
                    }
                }
            }
            f32::activate_all(activation, row.channel, lines);
            let lines = T::all_of(lines, rounded)?;
            for (segment, plane) in segments.iter().zip(planes) {
                let Some(plane) = *plane else { continue };
                let first = segment.columns.start * across;
                let wide = (across * segment.columns.len()).min(extents[1] - first);
                for i in 0..TILE {
                    let y = (segment.row * TILE + i) * strides[0] + phase;
                    if y >= extents[0] {
                        break;
                    }
                    let to = &mut parts.row(segment.item, channels.start + index, plane, y)[first..][..wide];
                    let from = &lines[i * across * line_pitch + segment.at..];
                    match strides[1] {
                        1 => together::<T, TILE>(from, line_pitch, to),
                        2 => together::<T, { 2 * TILE }>(from, line_pitch, to),
                        _ => spread(from, line_pitch, across, to),
                    }
                    written += wide;
                }
            }
        }
        Ok(written)
    }
}

/// Fills `line` with the elements of `N` rows in turn, which are `pitch` apart; panics where they are too short for it.
#[inline(always)]
fn together<T: Copy, const N: usize>(rows: &[T], pitch: usize, line: &mut [Slot<T>]) {
    let (whole, rest) = line.as_chunks_mut::<N>();
    let mut starts: [&[T]; N] = [&[]; N];
    for i in 0..N {
        starts[i] = &rows[i * pitch..][..whole.len()];
    }
    for (at, to) in whole.iter_mut().enumerate() {
        for i in 0..N {
            to[i] = Slot::new(starts[i][at]);
        }
    }
    for (i, to) in rest.iter_mut().enumerate() {
        *to = Slot::new(rows[i * pitch + whole.len()]);
    }
}

/// As [`together`], for any number of rows.
#[inline(always)]
fn spread<T: Copy>(rows: &[T], pitch: usize, count: usize, line: &mut [Slot<T>]) {
    for row in 0..count.min(line.len()) {
        let to = line[row..].iter_mut().step_by(count);
        let from = &rows[row * pitch..][..to.len()];
        for (to, &from) in to.zip(from) {
            *to = Slot::new(from);
        }
    }
}
