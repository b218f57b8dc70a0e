//! `tiled`: the invocations of a workgroup bring inputs and weights into its memory together, and read them there. For a
//! few input channels at a time (a K-chunk) the memory holds the inputs of a box of cells with its halo, each once, and
//! the weights of the workgroup's output channels.

use super::axis::TileAxis;
use super::products::multiply;
use super::program::{Condition, Input, InputAt, Memory, Statement, Weight, WeightAt, line, plus};
use super::register_tile::RegisterTile;
use super::source::Source;
use crate::gpu::hardware::Order;
use crate::gpu::kernels::pack::tiles::Packing;
use crate::kernel::Kernel;
use std::fmt;

/// How the invocations of a workgroup lie, and what they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WorkgroupTile {
    /// Invocations along (d, h, w): a box of register tiles.
    pub(crate) lanes: [usize; 3],
    /// Invocations along the batch.
    pub(crate) items: usize,
    /// Invocations along the output channels.
    pub(crate) blocks: usize,
    /// Input channels at a time; it divides those of a group, and those of each part of them.
    pub(crate) k_chunk: usize,
}

/// Elements of one unit of inputs along w: 4, 2 or 1, so that what an invocation reads begins with a whole one.
pub(crate) fn input_unit(tile: &RegisterTile) -> usize {
    [4, 2].into_iter().find(|unit| tile.axes[2].cells.is_multiple_of(*unit)).unwrap_or(1)
}

/// The first input that a tile reads along an axis, counted from that of its first cell at offset 0, and how many
/// there are to the last.
fn span(axis: &TileAxis) -> (i64, usize) {
    match axis.reads()[..] {
        [first, .., last] => (first, (last - first) as usize + 1),
        [only] => (only, 1),
        [] => (0, 1),
    }
}

/// Rows along d and h, and units along w, from the first to the last that an invocation reads.
pub(crate) fn spans(tile: &RegisterTile) -> [usize; 3] {
    let [z, y, x] = tile.axes.map(|axis| span(&axis).1);
    [z, y, x.div_ceil(input_unit(tile))]
}

impl WorkgroupTile {
    /// Rows along d and h, and units along w, of one item and channel: what all tiles of the box read.
    pub(crate) fn extents(&self, tile: &RegisterTile) -> [usize; 3] {
        let [z, y, x] = [0, 1, 2].map(|a| (self.lanes[a] - 1) * tile.axes[a].cells);
        let [rows_z, rows_y, units] = spans(tile);
        [z + rows_z, y + rows_y, x / input_unit(tile) + units]
    }

    /// What a workgroup keeps in its memory.
    pub(crate) fn contents(&self, tile: &RegisterTile, packing: &Packing) -> Memory {
        Memory {
            k_chunk: self.k_chunk,
            units: self.items * self.extents(tile).iter().product::<usize>(),
            unit: input_unit(tile),
            vectors: self.blocks * tile.vectors,
            weights: self.k_chunk * packing.channel,
        }
    }

    /// For each input that the invocation brings: its number in the box, where it is, and whether it is inside.
    fn place_inputs(&self, tile: &RegisterTile, memory: &Memory, out: &mut Vec<Statement>) {
        let (lanes, unit, extents) = (self.invocations(), memory.unit, self.extents(tile));
        out.push(line("// The inputs that this invocation brings, and where they are."));
        for number in 0..(memory.units * unit).div_ceil(lanes) {
            out.push(line(format!("let e{number} = i32(lane) + {};", number * lanes)));
            out.push(line(format!("rest = e{number} / {unit};")));
            let (mut has, mut from) = (Vec::new(), Vec::new());
            for (a, letter, _) in tile.used_axes() {
                let at = format!("first_{letter} + rest % {}", extents[a]);
                let at = if a == 2 { format!("{at} * {unit} + e{number} % {unit}") } else { at };
                out.push(line(format!("let {letter}{number} = {at};")));
                out.push(line(format!("rest /= {};", extents[a])));
                has.push(format!("inside({letter}{number}, params.axes[{a}].input_extent)"));
                from.push(format!("keep({letter}{number}, {a}) * params.axes[{a}].input_stride"));
            }
            out.push(line(format!("let n{number} = box_n + rest;")));
            has.push(format!("n{number} < params.batch_end"));
            from.push(format!("min(n{number}, params.batch_end - 1) * params.input_batch_stride"));
            out.push(line(format!("let has{number} = {};", has.join(" && "))));
            out.push(line(format!("let from{number} = {};", from.join(" + "))));
        }
        let first = "channel_group * params.group_in_channels + params.input_channel_begin";
        out.push(line(format!("var at = ({first}) * params.input_channel_stride - params.input_window;")));
    }

    /// For each vec4 of weights that the invocation brings: its number, and where it is.
    fn place_weights(&self, packing: &Packing, memory: &Memory, out: &mut Vec<Statement>) {
        let (lanes, Memory { vectors, weights, .. }) = (self.invocations(), *memory);
        out.push(line("// The weights that it brings."));
        for number in 0..(vectors * weights).div_ceil(lanes) {
            out.push(line(format!("let f{number} = i32(lane) + {};", number * lanes)));
            let record = format!("(block * {vectors} + f{number} / {weights}) * params.record_stride");
            let first = format!("params.input_channel_begin * {} + f{number} % {weights}", packing.channel);
            out.push(line(format!("var w{number} = {record} - params.weight_window + {} + {first};", packing.unit)));
        }
    }

    /// Fills the workgroup's memory: every element of it is written, by one invocation.
    fn fill(&self, memory: &Memory) -> Vec<Statement> {
        let (lanes, chunk) = (self.invocations(), self.k_chunk);
        // Only the last of them may be beyond the memory.
        let guarded = |number: usize, total: usize, condition: Condition, body: Vec<Statement>| {
            if (number + 1) * lanes > total { vec![Statement::If(condition, body)] } else { body }
        };
        let (inputs, weights) = (memory.units * memory.unit, memory.vectors * memory.weights);
        let mut out = Vec::new();
        for number in 0..inputs.div_ceil(lanes) {
            let brought = (0..chunk).map(|channel| Statement::FillInput { number, channel }).collect();
            out.extend(guarded(number, inputs, Condition::IsInput { number, total: inputs }, brought));
        }
        out.push(Statement::AdvanceInputs { channels: chunk });
        for number in 0..weights.div_ceil(lanes) {
            let brought = vec![Statement::FillWeight { number }];
            out.extend(guarded(number, weights, Condition::IsWeight { number, total: weights }, brought));
            out.push(Statement::AdvanceWeights { number, units: memory.weights });
        }
        out
    }
}

impl Source for WorkgroupTile {
    fn kernel(&self) -> Kernel {
        Kernel::Tiled
    }

    fn invocations(&self) -> usize {
        self.lanes.iter().product::<usize>() * self.items * self.blocks
    }

    fn workgroups(&self, batch: usize, boxes: usize) -> usize {
        batch.div_ceil(self.items) * boxes
    }

    fn lanes(&self) -> [usize; 3] {
        self.lanes
    }

    fn blocks(&self) -> usize {
        self.blocks
    }

    fn channel_unit(&self, _channels: usize) -> usize {
        self.k_chunk
    }

    fn memory(&self, tile: &RegisterTile, packing: &Packing) -> Option<Memory> {
        Some(self.contents(tile, packing))
    }

    /// Which box is the workgroup's, and which cells and channels of it the invocation's.
    fn place(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement> {
        let Self { lanes, items, blocks, .. } = *self;
        let (vectors, channels) = (tile.vectors, tile.channels());
        let memory = self.contents(tile, packing);
        let mut out = vec![
            line("// The box of cells that the workgroup computes, and the tile of this invocation in it."),
            line("var rest = i32(group.x);"),
            line("var own = i32(lane);"),
        ];
        for (a, letter, axis) in tile.used_axes() {
            let (cells, lanes, tiles) = (axis.cells, lanes[a], format!("params.axes[{a}].tiles"));
            let first = format!("params.axes[{a}].first_cell + rest % {tiles} * {}", cells * lanes);
            out.push(line(format!("let box_{letter} = {first};")));
            out.push(line(format!("rest /= {tiles};")));
            out.push(line(format!("let own_{letter} = own % {lanes} * {cells};")));
            out.push(line(format!("own /= {lanes};")));
            out.push(line(format!("let {letter} = box_{letter} + own_{letter};")));
        }
        out.push(line(format!("let box_n = params.batch_begin + rest * {items};")));
        out.push(line(format!("let own_n = own % {items};")));
        out.push(line(format!("own /= {items};")));
        out.push(line("let n = box_n + own_n;"));
        out.push(line("// What is left of the invocation's number is its block of channels in the workgroup's."));
        out.push(line("let block = params.first_block + i32(group.y);"));
        out.push(line("let channel_group = block / params.blocks_per_group;"));
        let first = format!("(block % params.blocks_per_group * {blocks} + own) * {channels}");
        out.push(line(format!("let first_channel = {first};")));
        for vector in 0..vectors {
            let record = format!("((block * {blocks} + own) * {vectors} + {vector}) * params.record_stride");
            out.push(line(format!("let record{vector} = {record} - params.weight_window;")));
        }
        for (a, letter, axis) in tile.used_axes() {
            let first = plus(&format!("box_{letter} + params.axes[{a}].origin"), span(axis).0);
            out.push(line(format!("let first_{letter} = {first};")));
        }
        self.place_inputs(tile, &memory, &mut out);
        self.place_weights(packing, &memory, &mut out);
        out.push(line("// The unit where its own inputs begin."));
        out.push(line("var own_unit = own_n;"));
        let extents = self.extents(tile);
        for (a, letter, _) in tile.used_axes().rev() {
            let own = if a == 2 { format!("own_x / {}", memory.unit) } else { format!("own_{letter}") };
            out.push(line(format!("own_unit = own_unit * {} + {own};", extents[a])));
        }
        out
    }

    /// The loop over K-chunks.
    fn accumulate(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement> {
        let reads = tile.axes.map(|axis| axis.reads());
        let ([_, rows, units], unit) = (self.extents(tile), input_unit(tile));
        let mut body = self.fill(&self.contents(tile, packing));
        body.push(Statement::Barrier);
        for channel in 0..self.k_chunk {
            let input = |Input { at, .. }| {
                let [z, y, x] = [0, 1, 2].map(|a| (reads[a][at[a]] - reads[a][0]) as usize);
                InputAt::Memory { channel, unit: (z * rows + y) * units + x / unit, element: x % unit }
            };
            let weight = |Weight { index, .. }| WeightAt::Memory {
                vectors: tile.vectors,
                index: channel * packing.channel + index,
            };
            body.push(Statement::Block(multiply((tile, packing), (Order::Taps, 1), (&reads, false), input, weight)));
        }
        body.push(Statement::Barrier);
        vec![Statement::Loop(self.k_chunk, body)]
    }
}

impl fmt::Display for WorkgroupTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lanes: [z, y, x], items, blocks, k_chunk } = self;
        write!(
            f,
            "{} invocations: {z}x{y}x{x} tiles, {items} of the batch, {blocks} blocks of channels; \
             {k_chunk} input channels at a time",
            self.invocations()
        )
    }
}
