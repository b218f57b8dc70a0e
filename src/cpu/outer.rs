//! The weight gradient as matrix products, each a sum of outer products: at every position, a vector of row channels times
//! the vectors of what its taps meet.
//!
//! The microkernel's weights are the rows, its panel is a box of the columns with the channels last, and its taps are the
//! positions of the box. With neighbouring taps side by side, what a position meets along the last axis is one run of
//! taps × channels in the panel. The sums of a box are added to those of the boxes before, so that an error grows with the
//! positions of a box plus the number of boxes, and not with their product.

use super::correlation::{Correlation, meeting};
use super::element::Element;
use super::memory::{Result, filled, grow, product, reserve, reserved, unless_stopped};
use super::microkernel::{Product, Row, Tap, most_rows, tiles};
use super::panel::Finite;
use super::scratch::{Pool, Scratch};
use super::simd::{Instructions, Level};
use crate::activation::Activation;
use crate::op::Axis;
use crate::stop::Stop;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// The largest panel, in bytes: a second-level cache of 512 KiB has room for it.
const PANEL: usize = 256 << 10;
/// The most positions of a box: what one tile reads of them stays in the first-level cache.
const MOST_POSITIONS: usize = 512;
/// Boxes of fewer positions are avoided, because the sums of each must be added.
const FEW_POSITIONS: usize = 64;
/// The multiply-adds of a task that pay for its start and for adding up its sums.
const TASK: u128 = 1 << 22;
/// The most tasks that are wanted: enough to keep as many threads busy.
const TASKS: u128 = 32;
/// Sums of parts that may always be kept, in elements.
const KEPT: usize = 1 << 18;
/// How many neighbours are copied before the next channel.
const NEIGHBOURS: usize = 16;

/// The axes of a box of positions: items, then (d, h, w).
type Box4 = [Range<usize>; 4];

/// How the work is cut; it depends on the shapes and on the length of a vector alone, and so do the sums.
#[derive(Debug)]
struct Cut {
    /// The columns and the taps on each axis that are summed together.
    block: [usize; 4],
    /// The positions of a panel.
    boxes: [usize; 4],
    /// The parts into which the boxes are dealt, each with its own sums.
    parts: usize,
}

/// The sums `[group][row][column][tap]`; `None` where a row is infinite or NaN that meets the zeros around the columns.
pub(super) fn run<T: Element>(of: &Correlation<'_, T>, level: Level, pool: &Pool<T>) -> Result<Option<Vec<T>>> {
    if of.batch == 0 {
        return Ok(Some(filled("the weight's gradient", T::default(), of.len())?));
    }
    let cut = Cut::new(of, level.lanes::<T>());
    let [blocks, boxes] = [ranges(cut.block, of.block()), ranges(cut.boxes, of.positions())];
    let parts: Vec<Range<usize>> = tiles(boxes.len(), boxes.len().div_ceil(cut.parts)).collect();
    let count = product([of.groups, blocks.len(), parts.len()]);
    let instructions = level.instructions();
    let mut sums = reserved("the parts of the weight's gradient", count)?;
    let stop = Stop::watched();
    (0..count)
        .into_par_iter()
        .with_max_len(1)
        .map(|index| {
            unless_stopped(stop.as_ref())?;
            let (rest, part) = (index / parts.len(), index % parts.len());
            let task =
                Task { of, group: rest / blocks.len(), block: &blocks[rest % blocks.len()], level, instructions };
            pool.with(|scratch| task.run(&boxes[parts[part].clone()], scratch))
        })
        .collect_into_vec(&mut sums);
    let mut finite = reserved("the parts of the weight's gradient", count)?;
    for sums in sums {
        let Some(sums) = sums? else { return Ok(None) };
        finite.push(sums);
    }
    let [rows, taps] = [of.rows.channels, of.taps()];
    let mut gradient = filled("the weight's gradient", T::default(), of.len())?;
    gradient.par_chunks_mut(of.columns.channels * taps).enumerate().for_each(|(index, gradient)| {
        let (group, row) = (index / rows, index % rows);
        for (number, block) in blocks.iter().enumerate() {
            let first = (group * blocks.len() + number) * parts.len();
            collect_row(of, block, level.lanes::<T>(), row, &finite[first..first + parts.len()], gradient);
        }
    });
    Ok(Some(gradient))
}

/// Adds up the parts of a row of a block, in their order, into `[column][tap]`.
fn collect_row<T: Element>(
    of: &Correlation<'_, T>,
    block: &Box4,
    lanes: usize,
    row: usize,
    parts: &[Vec<T>],
    gradient: &mut [T],
) {
    let [columns, kz, ky, kx] = block;
    let [_, kh, kw] = of.axes.map(|axis| axis.kernel);
    let pitch = (kx.len() * columns.len()).next_multiple_of(lanes);
    let taps = of.taps();
    let lines = kz.clone().flat_map(|z| ky.clone().map(move |y| (z * kh + y) * kw));
    for (line, first_tap) in lines.enumerate() {
        let first = (row * kz.len() * ky.len() + line) * pitch;
        for part in parts {
            for (number, sums) in part[first..].chunks_exact(columns.len()).take(kx.len()).enumerate() {
                let to = gradient[columns.start * taps + first_tap + kx.start + number..].iter_mut().step_by(taps);
                to.zip(sums).for_each(|(to, &sum)| *to += sum);
            }
        }
    }
}

/// Cuts each extent into ranges of at most these sizes, and lists all their combinations, the last axis varying fastest.
fn ranges(sizes: [usize; 4], extents: [usize; 4]) -> Vec<Box4> {
    let along = |axis: usize| {
        let (size, extent) = (sizes[axis], extents[axis]);
        (0..extent).step_by(size.max(1)).map(move |start| start..(start + size).min(extent))
    };
    let outer = along(0).flat_map(|a| along(1).map(move |b| (a.clone(), b)));
    outer
        .flat_map(|(a, b)| {
            along(2).flat_map(move |c| {
                let (a, b) = (a.clone(), b.clone());
                along(3).map(move |d| [a.clone(), b.clone(), c.clone(), d])
            })
        })
        .collect()
}

impl<T: Element> Correlation<'_, T> {
    /// All columns of a group, and all taps.
    fn block(&self) -> [usize; 4] {
        let [kd, kh, kw] = self.axes.map(|axis| axis.kernel);
        [self.columns.channels, kd, kh, kw]
    }

    /// All positions.
    fn positions(&self) -> [usize; 4] {
        let [d, h, w] = self.rows.extents;
        [self.batch, d, h, w]
    }

    /// How a panel with so many positions and taps is laid out.
    fn panel(&self, positions: [usize; 4], block: [usize; 4]) -> Panel {
        let along = |axis: usize| Along::new(&self.axes[axis], positions[axis + 1], block[axis + 1], axis == 2);
        Panel { items: positions[0], axes: [along(0), along(1), along(2)], channels: block[0] }
    }
}

impl Cut {
    fn new<T: Element>(of: &Correlation<'_, T>, lanes: usize) -> Self {
        let (all, positions) = (of.block(), of.positions());
        let wanted = FEW_POSITIONS.min(product(positions));
        let (mut block, mut boxes) = (all, largest_box(of, all));
        while (product(boxes) < wanted || of.panel(boxes, block).len() > most::<T>()) && halve(&mut block, lanes) {
            boxes = largest_box(of, block);
        }
        let count = |sizes: [usize; 4], extents: [usize; 4]| {
            product((0..4).map(|axis| extents[axis].div_ceil(sizes[axis].max(1))))
        };
        let work =
            positions.iter().chain(&all).chain(&[of.groups, of.rows.channels]).map(|&n| n as u128).product::<u128>();
        let tasks = (work / TASK).clamp(1, TASKS) as usize;
        // Parts of the positions cost memory for their sums, parts of the columns the packing of the rows.
        let kept = KEPT.max((of.rows.values.len() + of.columns.values.len()) / 2) / of.len();
        let parts = |block: [usize; 4], boxes: [usize; 4]| {
            tasks.div_ceil(product([of.groups, count(block, all)])).min(kept).min(count(boxes, positions)).max(1)
        };
        while product([of.groups, count(block, all), parts(block, boxes)]) < tasks && block[0] >= 2 * lanes {
            block[0] = block[0].div_ceil(2).next_multiple_of(lanes);
            boxes = largest_box(of, block);
        }
        Self { block, boxes, parts: parts(block, boxes) }
    }
}

/// Halves the columns while they fill two vectors, then the taps, then what is left of the columns; `false` where there is
/// nothing left to halve.
fn halve(block: &mut [usize; 4], lanes: usize) -> bool {
    if block[0] >= 2 * lanes {
        block[0] = block[0].div_ceil(2).next_multiple_of(lanes);
        return true;
    }
    let axis = [2, 1, 3, 0].into_iter().find(|&axis| block[axis] > 1);
    axis.map(|axis| block[axis] = block[axis].div_ceil(2)).is_some()
}

/// The most positions whose panel fits, cut evenly: along the last axis first.
fn largest_box<T: Element>(of: &Correlation<'_, T>, block: [usize; 4]) -> [usize; 4] {
    let extents = of.positions();
    let mut boxes = [1; 4];
    for axis in [3, 2, 1, 0] {
        let others = product(boxes);
        let fits = |length: usize| {
            let mut boxes = boxes;
            boxes[axis] = length;
            of.panel(boxes, block).len() <= most::<T>()
        };
        let most = extents[axis].min(MOST_POSITIONS / others);
        let length = greatest(most, fits).max(1);
        boxes[axis] = extents[axis].div_ceil(extents[axis].div_ceil(length).max(1)).max(1);
        if boxes[axis] < extents[axis] {
            break;
        }
    }
    boxes
}

/// The most elements of a panel.
fn most<T>() -> usize {
    PANEL / size_of::<T>()
}

/// The greatest number up to `most` that fits, where all smaller ones do too; 0 where none does.
fn greatest(most: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut fitting, mut end) = (0, most + 1);
    while end - fitting > 1 {
        let middle = fitting + (end - fitting) / 2;
        if fits(middle) { fitting = middle } else { end = middle }
    }
    fitting
}

/// How one axis of a panel is laid out.
#[derive(Clone, Copy)]
struct Along {
    entries: usize,
    /// The distances, in entries, of neighbouring positions and of neighbouring taps.
    position: usize,
    tap: usize,
    positions: usize,
    taps: usize,
    /// Whether each position has entries of its own; otherwise the entries are neighbours in the columns, each once.
    own: bool,
}

/// What is copied along an axis: `count` elements from `from` on, `from_step` apart, become entries.
#[derive(Clone, Copy)]
struct Segment {
    entry: usize,
    entry_step: usize,
    from: usize,
    from_step: usize,
    count: usize,
}

impl Along {
    /// The layout that has fewer entries; where taps must be neighbours, of those in which they are.
    fn new(axis: &Axis, positions: usize, taps: usize, neighbours: bool) -> Self {
        let span = |count: usize, step: usize| count.saturating_sub(1).saturating_mul(step);
        let shared = span(positions, axis.stride).saturating_add(span(taps, axis.dilation)).saturating_add(1);
        let apart = positions.saturating_mul(taps);
        if shared <= apart && (!neighbours || axis.dilation == 1 || taps == 1) {
            Self { entries: shared, position: axis.stride, tap: axis.dilation, positions, taps, own: false }
        } else {
            Self { entries: apart, position: taps, tap: 1, positions, taps, own: true }
        }
    }

    /// What is copied for the positions and taps from these on, of columns with this extent; all other entries are 0.
    fn segments(&self, axis: &Axis, position: usize, tap: usize, extent: usize) -> Vec<Segment> {
        let lead =
            |tap: usize| position as i64 * axis.stride as i64 + tap as i64 * axis.dilation as i64 - axis.pad_begin;
        let segment = |lead: i64, step: usize, count: usize, entry: usize, entry_step: usize| {
            let within = meeting(lead, step, count, extent);
            let from = (lead + within.start as i64 * step as i64).max(0) as usize;
            let (entry, count) = (entry + within.start * entry_step, within.len());
            Segment { entry, entry_step, from, from_step: step, count }
        };
        let mut segments: Vec<Segment> = if self.own {
            (0..self.taps).map(|t| segment(lead(tap + t), axis.stride, self.positions, t, self.taps)).collect()
        } else {
            vec![segment(lead(tap), 1, self.entries, 0, 1)]
        };
        segments.retain(|segment| segment.count > 0);
        segments
    }

    /// The element of the columns that each entry is; `None` for a 0.
    fn entries(&self, segments: &[Segment]) -> Vec<Option<usize>> {
        let mut entries = vec![None; self.entries];
        for segment in segments {
            for place in 0..segment.count {
                entries[segment.entry + place * segment.entry_step] = Some(segment.from + place * segment.from_step);
            }
        }
        entries
    }
}

/// The layout of a panel: `[item][z][y][x][channel]`.
struct Panel {
    items: usize,
    axes: [Along; 3],
    channels: usize,
}

impl Panel {
    fn len(&self) -> usize {
        product(self.axes.iter().map(|axis| axis.entries).chain([self.items, self.channels]))
    }

    /// The distances between neighbouring entries along each axis.
    fn pitches(&self) -> [usize; 3] {
        let [_, y, x] = self.axes.map(|axis| axis.entries);
        [y * x * self.channels, x * self.channels, self.channels]
    }

    /// The distance between items.
    fn item(&self) -> usize {
        self.len() / self.items.max(1)
    }
}

/// The sums of one block of one group over some boxes.
struct Task<'a, T> {
    of: &'a Correlation<'a, T>,
    group: usize,
    block: &'a Box4,
    level: Level,
    instructions: Instructions,
}

impl<T: Element> Task<'_, T> {
    /// The sums `[row][kz][ky][kx × column, padded to vectors]`.
    fn run(&self, boxes: &[Box4], scratch: &mut Scratch<T>) -> Result<Option<Vec<T>>> {
        let Scratch { panel, results, starts, lines: weights, .. } = scratch;
        let (lanes, most) = (self.level.lanes::<T>(), most_rows(self.level));
        let lengths = self.block.each_ref().map(Range::len);
        let vectors = (lengths[0] * lengths[3]).div_ceil(lanes);
        let pitch = product([lengths[1], lengths[2], vectors, lanes]);
        let rows = self.of.rows.channels;
        let mut sums = filled("the parts of the weight's gradient", T::default(), product([rows, pitch]))?;
        grow(results, product([most, pitch]))?;
        for positions in boxes {
            let counts = positions.each_ref().map(Range::len);
            let layout = self.of.panel(counts, lengths);
            // The last vector of a run may read beyond it.
            let size = layout.len().saturating_add(lanes);
            grow(panel, size)?;
            let zeros = self.fill(positions, &layout, panel);
            let (pitches, taps) = (layout.pitches(), layout.axes.map(|axis| axis.tap));
            starts.clear();
            reserve(starts, pitch / lanes)?;
            for z in 0..lengths[1] {
                for y in 0..lengths[2] {
                    let run = z * taps[0] * pitches[0] + y * taps[1] * pitches[1];
                    starts.extend((0..vectors).map(|vector| run + vector * lanes));
                }
            }
            let taps = positions_as_taps(counts, &layout)?;
            grow(weights, product([most, taps.len()]))?;
            for tile in tiles(rows, most) {
                let weights = &mut weights[..tile.len() * taps.len()];
                self.pack(positions, tile.clone(), weights);
                if zeros && !self.instructions.run(Finite(weights)) {
                    return Ok(None);
                }
                self.instructions.run(Product {
                    weights,
                    rows: &[Row::default(); 8][..tile.len()],
                    most_rows: most,
                    activation: &Activation::None,
                    panel: &panel[..size],
                    channels: 1,
                    channel_stride: 0,
                    taps_packed: taps.len(),
                    taps: &taps,
                    starts,
                    results,
                    pitch,
                });
                let sums = &mut sums[tile.start * pitch..tile.end * pitch];
                self.instructions.run(Add { sums, results });
            }
        }
        Ok(Some(sums))
    }

    /// Fills the panel; returns whether there is a zero in it that is none of the columns'.
    fn fill(&self, positions: &Box4, layout: &Panel, panel: &mut [T]) -> bool {
        let (axes, columns) = (&self.of.axes, &self.of.columns);
        let segments = |axis: usize| {
            let (position, tap) = (positions[axis + 1].start, self.block[axis + 1].start);
            layout.axes[axis].segments(&axes[axis], position, tap, columns.extents[axis])
        };
        let [zs, ys] = [0, 1].map(|axis| layout.axes[axis].entries(&segments(axis)));
        let xs = segments(2);
        let zero = xs.iter().map(|segment| segment.count).sum::<usize>() < layout.axes[2].entries;
        let first = self.group * columns.channels + self.block[0].start;
        let [_, pitch, _] = layout.pitches();
        let lines = positions[0].clone().flat_map(|item| {
            let (zs, ys) = (&zs, &ys);
            zs.iter().flat_map(move |&z| ys.iter().map(move |&y| (item, z, y)))
        });
        let mut zeros = zero;
        for ((item, z, y), line) in lines.zip(panel.chunks_exact_mut(pitch)) {
            let (Some(z), Some(y)) = (z, y) else {
                line.fill(T::default());
                zeros = true;
                continue;
            };
            if zero {
                line.fill(T::default());
            }
            let strides = &columns.strides;
            let from = item * strides.batch + first * strides.channel + z * strides.spatial[0] + y * strides.spatial[1];
            for segment in &xs {
                self.copy(segment, &columns.values[from..], line);
            }
        }
        zeros
    }

    /// Copies a segment of a row of the columns, the channels last.
    fn copy(&self, segment: &Segment, from: &[T], line: &mut [T]) {
        let (strides, channels) = (&self.of.columns.strides, self.block[0].len());
        let Segment { entry, entry_step, from: first, from_step, count } = *segment;
        let (step, to_step) = (from_step * strides.spatial[2], entry_step * channels);
        if strides.channel == 1 {
            for place in 0..count {
                let from = &from[first * strides.spatial[2] + place * step..][..channels];
                line[entry * channels + place * to_step..][..channels].copy_from_slice(from);
            }
            return;
        }
        // A few at a time, so that the lines of the panel's memory stay in the first-level cache.
        let together = if channels == 1 { count } else { NEIGHBOURS };
        for start in (0..count).step_by(together) {
            let length = together.min(count - start);
            for channel in 0..channels {
                let from = &from[channel * strides.channel + first * strides.spatial[2] + start * step..];
                let to = line[entry * channels + start * to_step + channel..].iter_mut().step_by(to_step).take(length);
                if step == 1 {
                    to.zip(from).for_each(|(to, &from)| *to = from);
                } else {
                    to.zip(from.iter().step_by(step)).for_each(|(to, &from)| *to = from);
                }
            }
        }
    }

    /// Packs some rows as `[position][row]`.
    fn pack(&self, positions: &Box4, tile: Range<usize>, weights: &mut [T]) {
        let [items, zs, ys, xs] = positions;
        let (rows, most) = (&self.of.rows, tile.len());
        let strides = &rows.strides;
        let lines = items.clone().flat_map(|item| zs.clone().flat_map(move |z| ys.clone().map(move |y| [item, z, y])));
        for ([item, z, y], weights) in lines.zip(weights.chunks_exact_mut(xs.len() * most)) {
            let line =
                item * strides.batch + z * strides.spatial[0] + y * strides.spatial[1] + xs.start * strides.spatial[2];
            for (place, row) in tile.clone().enumerate() {
                let from = &rows.values[line + (self.group * rows.channels + row) * strides.channel..];
                let to = weights[place..].iter_mut().step_by(most);
                if strides.spatial[2] == 1 {
                    to.zip(from).for_each(|(to, &from)| *to = from);
                } else {
                    to.zip(from.iter().step_by(strides.spatial[2])).for_each(|(to, &from)| *to = from);
                }
            }
        }
    }
}

/// Where in the panel each position meets its first tap.
fn positions_as_taps([items, d, h, w]: [usize; 4], layout: &Panel) -> Result<Vec<Tap>> {
    let (pitches, step) = (layout.pitches(), layout.axes.map(|axis| axis.position));
    let [sz, sy, sx] = [0, 1, 2].map(|axis| step[axis] * pitches[axis]);
    let mut taps = reserved("the positions of a panel", product([items, d, h, w]))?;
    for item in 0..items {
        for z in 0..d {
            for y in 0..h {
                let line = item * layout.item() + z * sz + y * sy;
                for x in 0..w {
                    taps.push(Tap { index: taps.len(), shift: line + x * sx });
                }
            }
        }
    }
    Ok(taps)
}

/// Adds what a product gave.
struct Add<'a, T> {
    sums: &'a mut [T],
    results: &'a [T],
}

impl<T: Element> WithSimd for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.sums.iter_mut().zip(self.results).for_each(|(sum, &result)| *sum += result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::ConvTranspose;

    /// The cut for an operation at an input shape, channels first.
    fn cut(op: &ConvTranspose, input: &[usize]) -> (Cut, [usize; 4], [usize; 4]) {
        let geometry = op.at(input).unwrap();
        let (x, dz) = (vec![0.0; geometry.input_len()], vec![0.0; geometry.output_len()]);
        let of = Correlation::new(&geometry, &x, &dz);
        let cut = Cut::new(&of, 8);
        let largest = of.panel(cut.boxes, cut.block).len();
        assert!(largest <= most::<f32>(), "{largest} elements: {op:?}, {cut:?}");
        (cut, of.block(), of.positions())
    }

    fn op(inputs: usize, outputs: usize, [kernel, stride, dilation]: [usize; 3]) -> ConvTranspose {
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([kernel; 2]);
        op.stride([stride; 2]).dilation([dilation; 2]).build().unwrap()
    }

    #[test]
    fn panels_fit_and_there_is_work_for_many_threads() {
        for (op, input) in [
            (op(512, 256, [4, 2, 1]), [16, 512, 4, 4]),
            (op(128, 64, [2, 2, 1]), [1, 128, 128, 128]),
            (op(56, 1, [9, 2, 1]), [1, 56, 256, 256]),
            (op(21, 21, [64, 32, 1]), [1, 21, 10, 15]),
            (op(64, 64, [3, 1, 2]), [1, 64, 64, 64]),
            (op(64, 64, [3, 4, 9]), [1, 64, 64, 64]),
        ] {
            let (cut, all, positions) = cut(&op, &input);
            let (blocks, boxes) = (ranges(cut.block, all).len(), ranges(cut.boxes, positions).len());
            assert!(product(cut.boxes) >= FEW_POSITIONS, "{op:?}, {cut:?}");
            assert!((1..=boxes).contains(&cut.parts), "{op:?}, {cut:?}");
            assert!(blocks * cut.parts >= 16, "{op:?}, {cut:?}");
        }
        // More taps than fit, far apart, all but one of which are cropped.
        let [dilation, kernel] = [1 << 21, 1 << 9];
        let op = op(1, 1, [kernel, 1 << 20, dilation]).to_builder().padding([((kernel - 1) * dilation) as i64; 2]);
        let op = op.output_padding([(kernel - 1) * dilation; 2]);
        let op = op.output_padding_policy(crate::OutputPaddingPolicy::Lenient).build().unwrap();
        let (cut, ..) = cut(&op, &[1, 1, 1, 1]);
        assert_eq!(cut.boxes, [1; 4]);
    }

    #[test]
    fn ranges_cover_everything_once() {
        let mut covered = [[[[0; 3]; 5]; 2]; 7];
        for [a, b, c, d] in ranges([3, 1, 5, 2], [7, 2, 5, 3]) {
            for (a, b) in a.flat_map(|a| b.clone().map(move |b| (a, b))) {
                for (c, d) in c.clone().flat_map(|c| d.clone().map(move |d| (c, d))) {
                    covered[a][b][c][d] += 1;
                }
            }
        }
        assert_eq!(covered, [[[[1; 3]; 5]; 2]; 7]);
        assert!(ranges([1; 4], [0, 2, 2, 2]).is_empty());
    }

    /// In either layout, position i and tap k meet in the entry where their element of the columns was copied.
    #[test]
    fn entries_are_what_positions_and_taps_meet() {
        let mut layouts = [0; 2];
        for (stride, dilation) in [(1, 1), (2, 1), (1, 2), (3, 2), (5, 1), (2, 7)] {
            for (positions, taps) in [(1, 1), (1, 4), (6, 1), (5, 3), (2, 4)] {
                for neighbours in [false, true] {
                    let axis = Axis { kernel: 9, stride, dilation, pad_begin: 4, ..Axis::UNIT };
                    let along = Along::new(&axis, positions, taps, neighbours);
                    layouts[usize::from(along.own)] += 1;
                    let (position, tap, extent) = (2, 1, 11);
                    let entries = along.entries(&along.segments(&axis, position, tap, extent));
                    for i in 0..positions {
                        for k in 0..taps {
                            let met = ((position + i) * stride + (tap + k) * dilation).checked_sub(4);
                            let met = met.filter(|&met| met < extent);
                            assert_eq!(entries[i * along.position + k * along.tap], met, "{axis:?}");
                        }
                    }
                    assert!(!neighbours || along.tap == 1 || taps == 1);
                }
            }
        }
        assert!(layouts.iter().all(|&count| count > 10), "{layouts:?}");
    }

    #[test]
    fn the_greatest_that_fits_is_found() {
        for limit in 0..20 {
            for most in 0..20 {
                assert_eq!(greatest(most, |n| n <= limit), limit.min(most));
            }
        }
    }
}
