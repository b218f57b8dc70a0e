//! One task: some rows of tiles of some items, for some output channels.

use super::axis::{Group, Planes};
use super::cut::FEWEST_TILES;
use super::input::{Input, Patches};
use super::matrix::Sums;
use super::output::{Output, Products};
use super::segment::{Numbering, Segment};
use super::weights::{Block, Weights};
use super::{Winograd, aligned};
use crate::activation::Activation;
use crate::cpu::element::Stored;
use crate::cpu::memory::{Result, product, reserve};
use crate::cpu::microkernel::Row;
use crate::cpu::microkernel::{Product, Tap, all_taps, most_rows};
use crate::cpu::panel::Source;
use crate::cpu::range::{length, output_of};
use crate::cpu::scratch::Scratch;
use crate::cpu::task::{Parts, TaskShape};
use crate::op::{Axis, Geometry};
use crate::winograd::Transform;
use std::ops::Range;

/// What a task reads, and what it computes.
pub(super) struct Work<'a> {
    winograd: &'a Winograd,
    activation: &'a Activation,
    axis_d: Axis,
    source: Source<'a, f32>,
    shape: &'a TaskShape,
    planes: Planes,
    numbering: Numbering,
    /// The first input that the first tile reads.
    from: [i64; 3],
    /// How far behind a tile those of other planes are that its outputs read.
    behind: usize,
    blocks: Vec<&'a Block>,
}

/// The points of some tiles, as the products read them, for each group along w.
struct Panel<'a> {
    values: &'a [f32],
    channel_pitch: usize,
    point_pitch: usize,
    /// Where each vector of tiles starts.
    starts: &'a [usize],
}

impl<'a> Work<'a> {
    pub(super) fn new(winograd: &'a Winograd, geometry: &'a Geometry, x: &'a [f32], shape: &'a TaskShape) -> Self {
        let op = geometry.op();
        let [d, h, w] = op.axes3();
        let [height, width] = [1, 2].map(|axis| length(&shape.outputs[axis]));
        let planes = winograd.depth.planes(d, &shape.outputs[0]);
        let numbering = Numbering {
            planes: planes.count + winograd.depth.span,
            rows: height.div_ceil(winograd.filters[0].outputs()),
            columns: width.div_ceil(winograd.filters[1].outputs()),
        };
        let first_row = shape.outputs[1].start / h.stride as i64;
        let [y, x0] = [winograd.filters[0].first_input(h.pad_begin), winograd.filters[1].first_input(w.pad_begin)];
        Self {
            winograd,
            activation: op.activation(),
            axis_d: *d,
            source: Source::new(geometry, x, shape.items.start, 0),
            shape,
            from: [planes.from, y + first_row, x0],
            planes,
            numbering,
            behind: winograd.depth.span * numbering.plane(),
            blocks: winograd.blocks.iter().filter(|block| shape.channels.contains(&block.channels.start)).collect(),
        }
    }

    /// Returns how many outputs were written.
    pub(super) fn run<T: Stored<Computed = f32>, const TAPS: usize, const POINTS: usize>(
        &self,
        parts: &mut Parts<'_, T>,
        scratch: &mut Scratch<f32>,
    ) -> Result<usize>
    where
        Transform<TAPS, POINTS>: Sums<TAPS, POINTS>,
    {
        let all = product([self.shape.items.len(), self.numbering.planes, self.numbering.plane()]);
        // Those after the last plane of outputs have none.
        let count = all.saturating_sub(self.behind);
        let at_once = self.winograd.at_once().saturating_sub(self.behind).max(FEWEST_TILES).min(count).max(1);
        let mut written = 0;
        for first in (0..count).step_by(at_once) {
            let tiles = first..(first + at_once).min(count);
            written += self.tiles::<T, TAPS, POINTS>(tiles, parts, scratch)?;
        }
        Ok(written)
    }

    /// Computes some tiles.
    fn tiles<T: Stored<Computed = f32>, const TAPS: usize, const POINTS: usize>(
        &self,
        tiles: Range<usize>,
        parts: &mut Parts<'_, T>,
        scratch: &mut Scratch<f32>,
    ) -> Result<usize>
    where
        Transform<TAPS, POINTS>: Sums<TAPS, POINTS>,
    {
        let Self { winograd, numbering, source, .. } = self;
        let Scratch { panel, results, rounded, starts, lines } = scratch;
        let (lanes, inputs, points) = (winograd.level.lanes::<f32>(), winograd.inputs, POINTS * POINTS);
        let [of_rows, of_columns] = &winograd.groups;
        let made = numbering.segments(tiles.clone());
        let read_tiles = tiles.len() + self.behind;
        let read = numbering.segments(tiles.start..tiles.end + self.behind);
        // A vector may reach beyond the last tile that is read. A product reads its channels one after the other, so that
        // they lie side by side; but where it also reads tiles of other planes, its vectors may begin anywhere.
        let pitch = read_tiles.next_multiple_of(lanes) + if self.behind > 0 { lanes } else { 0 };
        let [channel_pitch, vector_pitch] =
            if self.behind > 0 { [pitch, lanes] } else { [lanes, product([inputs, lanes])] };
        let vectors = tiles.len().div_ceil(lanes);
        starts.clear();
        reserve(starts, vectors)?;
        starts.extend((0..vectors).map(|vector| vector * vector_pitch));
        let patch = winograd.groups.each_ref().map(|groups| POINTS + groups.last().map_or(0, |group| group.shift));
        let layout = Patches::new(*source, &read, self.from, patch, pitch);
        // Both groups along h read the same patches, which are then kept for all channels.
        let kept = of_rows.len() > 1;
        let point_pitch = odd(product([inputs, pitch]), lanes);
        let lens = [
            product([of_columns.len(), points, point_pitch]),
            product([layout.len(), if kept { inputs } else { 1 }]),
            product([POINTS, patch[1], pitch]),
        ];
        let panel = aligned(panel, lens.into_iter().fold(0, usize::saturating_add))?;
        let (panel, patches) = panel.split_at_mut(lens[0]);
        let (patches, transformed) = patches.split_at_mut(lens[1]);
        let mut written = 0;
        for group in of_rows {
            winograd.instructions.run(Input::<TAPS, POINTS> {
                x: source.x,
                channel_stride: source.strides.channel,
                inputs,
                tiles: read_tiles,
                layout: &layout,
                patches,
                kept,
                shift: group.shift,
                groups: of_columns,
                transformed,
                panel,
                channel_pitch,
                vector_pitch,
                point_pitch,
            });
            let panel = Panel { values: panel, channel_pitch, point_pitch, starts };
            for block in &self.blocks {
                for (z, (phase_d, taps)) in winograd.depth.phases.iter().enumerate() {
                    let distance = |&(_, offset): &(usize, i64)| winograd.depth.distance(offset) * numbering.plane();
                    let taps = all_taps(taps.iter().map(distance));
                    let plane = |segment: &Segment| self.plane(segment, phase_d.residue);
                    let planes: Vec<Option<usize>> = made.iter().map(plane).collect();
                    for y in group.phases.clone() {
                        let products = self.products::<TAPS, POINTS>(&panel, block, (y, z), &taps, results)?;
                        let first = self.shape.channels.start;
                        written += winograd.instructions.run(Output::<T, TAPS, POINTS> {
                            activation: self.activation,
                            channels: block.channels.start - first..block.channels.end - first,
                            rows: &block.rows,
                            phase: y,
                            strides: winograd.filters.map(|filter| filter.stride),
                            segments: &made,
                            planes: &planes,
                            extents: [1, 2].map(|axis| length(&self.shape.outputs[axis])),
                            lines,
                            rounded,
                            products,
                            parts,
                        })?;
                    }
                }
            }
        }
        Ok(written)
    }

    /// The plane of the task's output that the outputs of a segment with this residue are in, if any.
    fn plane(&self, segment: &Segment, residue: usize) -> Option<usize> {
        let outputs = &self.shape.outputs[0];
        let z = output_of(&self.axis_d, self.planes.first + segment.plane as i64, residue);
        (segment.plane < self.planes.count && outputs.contains(&z)).then(|| (z - outputs.start) as usize)
    }

    /// The products at all points for the phase `y` along h, that numbered `z` along d, and all phases along w.
    fn products<'b, const TAPS: usize, const POINTS: usize>(
        &self,
        panel: &Panel<'_>,
        block: &Block,
        (y, z): (usize, usize),
        taps: &[Tap],
        results: &'b mut Vec<f32>,
    ) -> Result<Products<'b>>
    where
        Transform<TAPS, POINTS>: Sums<TAPS, POINTS>,
    {
        let Winograd { level, instructions, filters, groups, depth, inputs, .. } = self.winograd;
        let (lanes, points, channels) = (level.lanes::<f32>(), POINTS * POINTS, block.rows.len());
        let pitch = panel.starts.len() * lanes;
        let point_pitch = odd(product([channels, pitch]), lanes);
        let phase_pitch = product([points, point_pitch]);
        let in_products = product([filters[1].stride, phase_pitch]);
        let len = product([*inputs, taps.len(), channels]);
        let weight_pitch = len.next_multiple_of(lanes);
        let results = aligned(results, in_products.saturating_add(product([points, weight_pitch])))?;
        let (products, weights) = results.split_at_mut(in_products);
        let bare = vec![Row::default(); channels];
        let by_group = groups[1].iter().enumerate();
        for (group, x) in by_group.flat_map(|(g, Group { phases, .. })| phases.clone().map(move |x| (g, x))) {
            instructions.run(Weights::<TAPS, POINTS> {
                taps: block.of_phase((y * filters[1].stride + x) * depth.phases.len() + z),
                points: weights,
                pitch: weight_pitch,
            });
            for point in 0..points {
                instructions.run(Product {
                    weights: &weights[point * weight_pitch..][..len],
                    rows: &bare,
                    most_rows: most_rows(*level),
                    activation: &Activation::None,
                    panel: &panel.values[(group * points + point) * panel.point_pitch..],
                    channels: *inputs,
                    channel_stride: panel.channel_pitch,
                    taps_packed: taps.len(),
                    taps,
                    starts: panel.starts,
                    results: &mut products[x * phase_pitch + point * point_pitch..],
                    pitch,
                });
            }
        }
        Ok(Products { values: products, pitch, point_pitch, phase_pitch })
    }
}

/// The next odd number of vectors: a power of two apart, all points would compete for one set of a cache.
fn odd(elements: usize, lanes: usize) -> usize {
    product([(elements / lanes) | 1, lanes])
}
