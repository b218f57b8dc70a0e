//! From the inputs of some tiles to their points.

use super::axis::Group;
use super::matrix::{Sums, load};
use super::segment::Segment;
use crate::cpu::panel::Source;
use crate::winograd::{TILE, Transform};
use pulp::{Simd, WithSimd};

/// From so many tiles on, a row of them is split into its columns by vectors.
const LONG: usize = 8;

/// What neighbouring tiles read, and so what is stored for them: for each channel `[row][column][tile]`, with zeros for
/// inputs that do not exist.
pub(super) struct Patches {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// From one column to the next: whole vectors.
    pub(super) pitch: usize,
    /// Tiles all of whose inputs in a row exist.
    whole: Vec<Whole>,
    /// Inputs of other tiles: where they go, and where they are in a channel.
    single: Vec<(usize, usize)>,
}

struct Whole {
    to: usize,
    from: usize,
    tiles: usize,
}

impl Patches {
    /// Those of some segments, the first tile of a plane reading from the input `from` on.
    pub(super) fn new(
        source: Source<'_, f32>,
        segments: &[Segment],
        from: [i64; 3],
        [rows, columns]: [usize; 2],
        pitch: usize,
    ) -> Self {
        let (mut whole, mut single) = (Vec::new(), Vec::new());
        for segment in segments {
            let z = from[0] + segment.plane as i64;
            let item = segment.item * source.strides.batch;
            for row in 0..rows {
                let y = from[1] + (segment.row * TILE + row) as i64;
                for (tile, column) in (segment.at..).zip(segment.columns.clone()) {
                    let x = from[2] + (column * TILE) as i64;
                    let (within, at) = source.in_bounds([z, y], x, columns);
                    let place = |column: usize| (row * columns + column) * pitch + tile;
                    if within.len() < columns {
                        let inputs = (item + at..).zip(within);
                        single.extend(inputs.map(|(from, column)| (place(column), from)));
                    } else if let Some(Whole { to, tiles, .. }) = whole.last_mut()
                        && column > segment.columns.start
                        && *to + *tiles == place(0)
                    {
                        *tiles += 1;
                    } else {
                        whole.push(Whole { to: place(0), from: item + at, tiles: 1 });
                    }
                }
            }
        }
        Self { rows, columns, pitch, whole, single }
    }

    /// The elements for one channel.
    pub(super) fn len(&self) -> usize {
        self.rows * self.columns * self.pitch
    }

    /// Copies the inputs of a channel; `patches` has zeros elsewhere.
    #[inline(always)]
    fn gather(&self, x: &[f32], patches: &mut [f32]) {
        if self.columns == 5 {
            self.gather_whole::<5>(x, patches);
        } else {
            self.gather_whole::<6>(x, patches);
        }
        for &(to, from) in &self.single {
            patches[to] = x[from];
        }
    }

    #[inline(always)]
    fn gather_whole<const COLUMNS: usize>(&self, x: &[f32], patches: &mut [f32]) {
        for &Whole { to, from, tiles } in &self.whole {
            let to = &mut patches[to..][..(COLUMNS - 1) * self.pitch + tiles];
            let x = &x[from..][..TILE * (tiles - 1) + COLUMNS];
            if tiles < LONG {
                for tile in 0..tiles {
                    for column in 0..COLUMNS {
                        to[column * self.pitch + tile] = x[TILE * tile + column];
                    }
                }
                continue;
            }
            let (a, rest) = to.split_at_mut(self.pitch);
            let (b, rest) = rest.split_at_mut(self.pitch);
            let (c, rest) = rest.split_at_mut(self.pitch);
            let (d, rest) = rest.split_at_mut(self.pitch);
            let inputs = x[..TILE * tiles].as_chunks::<TILE>().0;
            for ((((a, b), c), d), x) in a.iter_mut().zip(&mut *b).zip(c).zip(d).zip(inputs) {
                [*a, *b, *c, *d] = *x;
            }
            // The first columns of the next tile.
            rest[..tiles - 1].copy_from_slice(&a[1..tiles]);
            rest[tiles - 1] = x[TILE * tiles];
            if COLUMNS > TILE + 1 {
                let rest = &mut rest[self.pitch..];
                rest[..tiles - 1].copy_from_slice(&b[1..tiles]);
                rest[tiles - 1] = x[TILE * tiles + 1];
            }
        }
    }
}

/// Transforms the inputs of some tiles, for the phases of a group along h, into a panel for each group along w and each
/// point of a tile.
pub(super) struct Input<'a, const TAPS: usize, const POINTS: usize> {
    pub(super) x: &'a [f32],
    pub(super) channel_stride: usize,
    pub(super) inputs: usize,
    pub(super) tiles: usize,
    pub(super) layout: &'a Patches,
    /// The patches of all channels if `kept`, or of one at a time.
    pub(super) patches: &'a mut [f32],
    pub(super) kept: bool,
    /// Where the group's rows begin.
    pub(super) shift: usize,
    pub(super) groups: &'a [Group],
    pub(super) transformed: &'a mut [f32],
    pub(super) panel: &'a mut [f32],
    pub(super) channel_pitch: usize,
    pub(super) vector_pitch: usize,
    pub(super) point_pitch: usize,
}

impl<const TAPS: usize, const POINTS: usize> WithSimd for Input<'_, TAPS, POINTS>
where
    Transform<TAPS, POINTS>: Sums<TAPS, POINTS>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Input { x, channel_stride, inputs, tiles, layout, patches, kept, shift, groups, .. } = self;
        let Input { transformed, panel, channel_pitch, vector_pitch, point_pitch, .. } = self;
        let lanes = S::F32_LANES;
        let [transformed, panel] = [transformed, panel].map(|slice| S::as_mut_simd_f32s(slice).0);
        // In vectors.
        let vectors = tiles.div_ceil(lanes);
        let [pitch, channel_pitch] = [layout.pitch / lanes, channel_pitch / lanes];
        let [vector_pitch, point_pitch] = [vector_pitch / lanes, point_pitch / lanes];
        let row_pitch = layout.columns * pitch;
        if shift == 0 {
            patches.fill(0.0);
        }
        for channel in 0..inputs {
            let patches = &mut patches[if kept { channel * layout.len() } else { 0 }..][..layout.len()];
            // The first group gathers for both.
            if shift == 0 {
                layout.gather(&x[channel * channel_stride..], patches);
            }
            let from = S::as_simd_f32s(patches).0;
            for column in 0..layout.columns {
                for at in column * pitch..column * pitch + vectors {
                    let column = load::<S, POINTS>(simd, from, shift * row_pitch + at, row_pitch);
                    let column = Transform::<TAPS, POINTS>::points(simd, column);
                    for i in 0..POINTS {
                        transformed[i * row_pitch + at] = column[i];
                    }
                }
            }
            for (g, group) in groups.iter().enumerate() {
                for i in 0..POINTS {
                    let to = (g * POINTS + i) * POINTS * point_pitch + channel * channel_pitch;
                    for tile in 0..vectors {
                        let from = i * row_pitch + group.shift * pitch + tile;
                        let row = load::<S, POINTS>(simd, transformed, from, pitch);
                        let row = Transform::<TAPS, POINTS>::points(simd, row);
                        for j in 0..POINTS {
                            panel[to + j * point_pitch + tile * vector_pitch] = row[j];
                        }
                    }
                }
            }
        }
    }
}
