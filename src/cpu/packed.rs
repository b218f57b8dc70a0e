//! Packing: the weights as the microkernel reads them, and which outputs are computed together.
//!
//! A *block* is one matrix product: its rows are the output channels of a tile, once for each phase that the block
//! computes; its depth is the input channels times the taps of these phases. Where a group has enough output channels,
//! each phase is a block of its own. Where it has few, phases share a block, so that a loaded input is used more often;
//! a tap that one of its phases lacks has the weight 0 there.

use super::element::Element;
use super::memory::{Result, collect, filled, product, reserve, reserved};
use super::microkernel::{Row, most_rows, tiles};
use super::order::Order;
use super::simd::{Instructions, Level};
use crate::layout::Layout;
use crate::op::ConvTranspose;
use crate::phase::{AxisPhases, Phase};
use std::ops::Range;

/// Below this many rows, phases share a block.
const ENOUGH_ROWS: usize = 6;
/// The most phases of an axis in a block, and of the last axis in a row group: their results are kept until all of them
/// are stored.
const TOGETHER: usize = 64;

/// Blocks whose rows of output interleave: their phases differ on the last axis only.
#[derive(Clone, Debug)]
pub(super) struct RowGroup {
    /// The phases on the first two axes.
    pub(super) outer: Vec<[Phase; 2]>,
    pub(super) blocks: Vec<Block>,
}

/// One matrix product for each channel tile.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The phases on the last axis.
    pub(super) inner: Vec<Phase>,
    /// How far before `q` each tap reads, on each axis.
    pub(super) offsets: Vec<[i64; 3]>,
    number: usize,
}

/// The packed weights of an operation.
#[derive(Clone, Debug)]
pub(super) struct Packed<T> {
    pub(super) level: Level,
    pub(super) instructions: Instructions,
    pub(super) groups: Vec<RowGroup>,
    /// The output channels of one group of the operation, cut into tiles.
    pub(super) channel_tiles: Vec<Range<usize>>,
    /// The phases of each axis.
    pub(super) tables: [AxisPhases; 3],
    /// The least and greatest offset on each axis.
    pub(super) reach: [(i64, i64); 3],
    weights: Vec<T>,
    rows: Vec<Row<T>>,
    bias: Vec<T>,
    /// Whether a block has taps that one of its phases lacks: inputs are then multiplied by 0, and must be finite.
    pub(super) has_zero_taps: bool,
    /// Where each (group of the operation, channel tile, block) starts in `weights` and `rows`.
    starts: Vec<(usize, usize)>,
    blocks: usize,
}

impl<T: Element> Packed<T> {
    /// As [`Packed::ordered`], in the order of the operation's weight layout.
    #[cfg(test)]
    pub(super) fn new(op: &ConvTranspose, weight: &[T], bias: &[T], level: Level, share: bool) -> Result<Self> {
        Self::ordered(op, Order::given(op), weight, bias, level, share)
    }

    /// Packs a weight in this order; `bias` may be empty.
    ///
    /// Phases share blocks where `share` allows it and there would be few rows otherwise.
    pub(super) fn ordered(
        op: &ConvTranspose,
        order: Order,
        weight: &[T],
        bias: &[T],
        level: Level,
        share: bool,
    ) -> Result<Self> {
        let out_group = op.out_channels() / op.groups();
        let tables = op.axes3().map(|axis| AxisPhases::new(&axis));
        let groups = row_groups(&tables, if share { out_group } else { ENOUGH_ROWS });
        let most = most_rows(level);
        let share = groups.iter().any(|group| group.outer.len() > 1 || group.blocks.iter().any(|b| b.inner.len() > 1));
        // Where phases share a block, its rows are cut into register tiles, and not its channels. Channels last, a tile
        // has most of a line of memory, so that few tiles write to the same one.
        let channel_tiles = match (share, op.layout()) {
            (true, _) => tiles(out_group, out_group).collect(),
            (false, Layout::ChannelsFirst) => tiles(out_group, most).collect(),
            (false, Layout::ChannelsLast) => {
                let whole = (0..out_group).step_by(4 * most);
                whole.map(|first| first..(first + 4 * most).min(out_group)).collect()
            }
        };
        let reach = tables.each_ref().map(|table| {
            let offsets = || table.iter().flat_map(|phase| table.taps(phase)).map(|(_, offset)| offset);
            (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0))
        });
        let blocks = groups.iter().map(|group| group.blocks.len()).sum();
        let mut packed = Self {
            level,
            instructions: level.instructions(),
            groups: Vec::new(),
            channel_tiles,
            tables,
            reach,
            weights: Vec::new(),
            rows: Vec::new(),
            bias: collect("the bias", bias.len(), bias.iter().copied())?,
            has_zero_taps: false,
            starts: Vec::new(),
            blocks,
        };
        for group in 0..op.groups() {
            for tile in packed.channel_tiles.clone() {
                let channels = group * out_group + tile.start..group * out_group + tile.end;
                for row_group in &groups {
                    for block in &row_group.blocks {
                        reserve(&mut packed.starts, 1)?;
                        packed.starts.push((packed.weights.len(), packed.rows.len()));
                        packed.pack(op, (order, weight), row_group, block, channels.clone())?;
                    }
                }
            }
        }
        packed.groups = groups;
        Ok(packed)
    }

    fn pack(
        &mut self,
        op: &ConvTranspose,
        (order, weight): (Order, &[T]),
        row_group: &RowGroup,
        block: &Block,
        channels: Range<usize>,
    ) -> Result<()> {
        let rows = rows(row_group, block, channels.clone())?;
        reserve(&mut self.rows, rows.len())?;
        for &(_, co) in &rows {
            self.rows.push(Row { bias: self.bias(co), channel: co });
        }
        let group = channels.start / (op.out_channels() / op.groups());
        let places = Places::new(self, op, (order, group), block, &rows)?;
        self.has_zero_taps |= places.taps.contains(&None);
        reserve(&mut self.weights, places.len())?;
        places.each(|rows, channel| {
            self.weights.extend(rows.iter().map(|at| at.map_or(T::default(), |at| weight[at + channel])));
        });
        Ok(())
    }

    /// The weights that were packed, `[out_channels][in_channels / groups][tap]`, and the bias.
    pub(super) fn unpack(&self, op: &ConvTranspose) -> Result<(Vec<T>, Vec<T>)> {
        let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
        let taps: usize = op.axes3().iter().map(|axis| axis.kernel).product();
        let order = Order::by_output(op);
        let mut weight = filled("the weights", T::default(), product([op.out_channels(), in_group, taps]))?;
        for group in 0..op.groups() {
            for (index, tile) in self.channel_tiles.iter().enumerate() {
                let channels = group * out_group + tile.start..group * out_group + tile.end;
                for row_group in &self.groups {
                    for block in &row_group.blocks {
                        let rows = rows(row_group, block, channels.clone())?;
                        let mut packed = self.block(group, index, block).0;
                        Places::new(self, op, (order, group), block, &rows)?.each(|rows, channel| {
                            let (now, rest) = packed.split_at(rows.len());
                            for (at, &packed) in rows.iter().zip(now) {
                                if let Some(at) = at {
                                    weight[at + channel] = packed;
                                }
                            }
                            packed = rest;
                        });
                    }
                }
            }
        }
        Ok((weight, collect("the bias", self.bias.len(), self.bias.iter().copied())?))
    }

    /// The elements of one vector.
    pub(super) fn lanes(&self) -> usize {
        self.level.lanes::<T>()
    }

    /// How many phases have taps.
    pub(super) fn phases(&self) -> usize {
        let phases = |group: &RowGroup| group.outer.len() * group.blocks.iter().map(|b| b.inner.len()).sum::<usize>();
        self.groups.iter().map(phases).sum()
    }

    /// The bias of an output channel.
    pub(super) fn bias(&self, channel: usize) -> T {
        self.bias.get(channel).copied().unwrap_or_default()
    }

    /// The weights and rows of a block, for one channel tile of one group of the operation.
    pub(super) fn block(&self, group: usize, tile: usize, block: &Block) -> (&[T], &[Row<T>]) {
        let index = (group * self.channel_tiles.len() + tile) * self.blocks + block.number;
        let (weights, rows) = self.starts[index];
        let (weights_end, rows_end) =
            self.starts.get(index + 1).copied().unwrap_or((self.weights.len(), self.rows.len()));
        (&self.weights[weights..weights_end], &self.rows[rows..rows_end])
    }
}

/// The phases and the output channel of a row of a block.
type BlockRow = ([Phase; 3], usize);

fn rows(row_group: &RowGroup, block: &Block, channels: Range<usize>) -> Result<Vec<BlockRow>> {
    let count = product([row_group.outer.len(), block.inner.len(), channels.len()]);
    let phases = row_group.outer.iter().flat_map(|&[z, y]| block.inner.iter().map(move |&x| [z, y, x]));
    collect("the weights", count, phases.flat_map(|phases| channels.clone().map(move |co| (phases, co))))
}

/// Where each weight of a block is in a weight.
struct Places {
    /// For each tap and row, the place in the first input channel; `None` for a tap that the row's phase lacks.
    taps: Vec<Option<usize>>,
    rows: usize,
    most_rows: usize,
    /// The places of the input channels.
    channels: Vec<usize>,
}

impl Places {
    /// Of one group.
    fn new(
        packed: &Packed<impl Element>,
        op: &ConvTranspose,
        (Order { strides, group: group_stride }, group): (Order, usize),
        block: &Block,
        rows: &[BlockRow],
    ) -> Result<Self> {
        let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
        let mut taps = reserved("the weights", product([block.offsets.len(), rows.len()]))?;
        for offsets in &block.offsets {
            for &(phases, co) in rows {
                let tap = |axis: usize| {
                    Some(packed.tables[axis].tap_at(phases[axis], offsets[axis])? * strides.spatial[axis])
                };
                let place = || Some(tap(0)? + tap(1)? + tap(2)? + co % out_group * strides.output);
                taps.push(place());
            }
        }
        let channels =
            collect("the weights", in_group, (0..in_group).map(|ci| group * group_stride + ci * strides.input))?;
        Ok(Self { taps, rows: rows.len(), most_rows: most_rows(packed.level), channels })
    }

    fn len(&self) -> usize {
        self.taps.len() * self.channels.len()
    }

    /// Calls `visit` with the rows of a tile, for each input channel, whose place it is given too, and each tap: in the
    /// order in which the weights are packed.
    fn each(&self, mut visit: impl FnMut(&[Option<usize>], usize)) {
        for tile in tiles(self.rows, self.most_rows) {
            for &channel in &self.channels {
                for tap in self.taps.chunks_exact(self.rows) {
                    visit(&tap[tile.clone()], channel);
                }
            }
        }
    }
}

/// Which phases share a block: on the last axis first, then on those before it, while there are too few rows.
fn row_groups(tables: &[AxisPhases; 3], channels: usize) -> Vec<RowGroup> {
    let mut rows = channels;
    let mut share = [false; 3];
    for axis in [2, 1, 0] {
        if rows < ENOUGH_ROWS && tables[axis].phase_count() > 1 {
            share[axis] = true;
            rows *= tables[axis].phase_count();
        }
    }
    let sets = |axis: usize| -> Vec<Vec<Phase>> {
        let phases: Vec<Phase> = tables[axis].iter().collect();
        phases.chunks(if share[axis] { TOGETHER } else { 1 }).map(<[Phase]>::to_vec).collect()
    };
    let inner_sets = sets(2);
    let mut groups = Vec::new();
    let mut number = 0;
    for zs in sets(0) {
        for ys in sets(1) {
            let outer: Vec<[Phase; 2]> = zs.iter().flat_map(|&z| ys.iter().map(move |&y| [z, y])).collect();
            for inner_sets in inner_sets.chunks(if share[2] { 1 } else { TOGETHER }) {
                let mut blocks = Vec::new();
                for inner in inner_sets {
                    let [oz, oy, ox] = [(0, &zs), (1, &ys), (2, inner)].map(|(axis, set)| offsets(&tables[axis], set));
                    let offsets = oz
                        .iter()
                        .flat_map(|&z| oy.iter().map(move |&y| (z, y)))
                        .flat_map(|(z, y)| ox.iter().map(move |&x| [z, y, x]))
                        .collect();
                    blocks.push(Block { inner: inner.clone(), offsets, number });
                    number += 1;
                }
                groups.push(RowGroup { outer: outer.clone(), blocks });
            }
        }
    }
    groups
}

/// The offsets of all taps of these phases, each once, in order.
fn offsets(table: &AxisPhases, phases: &[Phase]) -> Vec<i64> {
    let mut offsets: Vec<i64> = phases.iter().flat_map(|&phase| table.taps(phase)).map(|(_, offset)| offset).collect();
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}
