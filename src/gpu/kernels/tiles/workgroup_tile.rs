//! `tiled`: the invocations of a workgroup bring inputs and weights into its memory together, and read them there. For
//! a few input channels at a time (a K-chunk) the memory holds the inputs of a box of cells with its halo, each once,
//! and the weights of the workgroup's output channels.

use super::axis::TileAxis;
use super::products::multiply;
use super::program::{
    Brought, Condition, Input, InputAt, Memory, Operands, Statement, Weight, WeightAt, plus, text, times,
};
use super::register_tile::{Access, RegisterTile};
use super::source::{Grid, Source};
use crate::gpu::hardware::Order;
use crate::gpu::kernels::pack::tiles::Packing;
use crate::gpu::storage::Storage;
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
    /// Whether the next K-chunk is read into registers while this one multiplies, so that nobody waits for the buffers.
    pub(crate) ahead: bool,
}

/// Elements of one unit of inputs along w: 4, 2 or 1, so that what an invocation reads begins with a whole one.
pub(crate) fn input_unit(tile: &RegisterTile) -> usize {
    let inputs = tile.axes[2].cells * tile.axes[2].step;
    [4, 2].into_iter().find(|unit| inputs.is_multiple_of(*unit)).unwrap_or(1)
}

/// The first input that a tile reads along an axis, counted from that of its first cell at offset 0, and how many
/// there are to the last.
fn span(axis: &TileAxis) -> (i64, usize) {
    let reads = axis.reads();
    let (first, last) = (reads.first().copied().unwrap_or(0), reads.last().copied().unwrap_or(0));
    (first, (last - first) as usize + 1)
}

/// Rows along d and h, and units along w, from the first to the last that an invocation reads.
pub(crate) fn spans(tile: &RegisterTile) -> [usize; 3] {
    let [z, y, x] = tile.axes.map(|axis| span(&axis).1);
    [z, y, x.div_ceil(input_unit(tile))]
}

impl WorkgroupTile {
    /// The invocations of a workgroup.
    pub(crate) fn invocations(&self) -> usize {
        self.lanes.iter().product::<usize>() * self.items * self.blocks
    }

    /// Rows along d and h, and units along w, of one item and channel: what all tiles of the box read.
    pub(crate) fn extents(&self, tile: &RegisterTile) -> [usize; 3] {
        let [z, y, x] = [0, 1, 2].map(|a| (self.lanes[a] - 1) * tile.axes[a].cells * tile.axes[a].step);
        let [rows_z, rows_y, units] = spans(tile);
        [z + rows_z, y + rows_y, x / input_unit(tile) + units]
    }

    /// What a workgroup keeps in its memory.
    pub(crate) fn memory(&self, tile: &RegisterTile, packing: &Packing) -> Memory {
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
        let (invocations, unit, extents) = (self.invocations(), memory.unit, self.extents(tile));
        text!(out; "// The inputs that this invocation brings, and where they are.");
        for number in 0..(memory.units * unit).div_ceil(invocations) {
            text!(out; "let e{number} = i32(lane) + {};
                rest = e{number} / {unit};",
                number * invocations);
            let (mut has, mut from) = (String::new(), String::new());
            for (a, letter, _) in tile.used_axes() {
                let (extent, at) = (extents[a], format!("first_{letter} + rest % {}", extents[a]));
                let at = if a == 2 { format!("{at} * {unit} + e{number} % {unit}") } else { at };
                text!(out; "let {letter}{number} = {at};
                    rest /= {extent};");
                has += &format!("inside({letter}{number}, params.axes[{a}].input_extent) && ");
                from += &format!("keep({letter}{number}, {a}) * params.axes[{a}].input_stride + ");
            }
            let item = format!("min(n{number}, params.batch_end - 1)");
            text!(out; "let n{number} = box_n + rest;
                let has{number} = {has}n{number} < params.batch_end;
                let from{number} = {from}{item} * params.input_batch_stride;");
        }
        let first = "channel_group * params.group_in_channels + params.input_channel_begin";
        text!(out; "var at = ({first}) * params.input_channel_stride - params.input_window;");
    }

    /// For each vec4 of weights that the invocation brings: its number, and where it is.
    fn place_weights(&self, packing: &Packing, memory: &Memory, out: &mut Vec<Statement>) {
        let (Memory { vectors, weights, .. }, Packing { head, channel, .. }) = (*memory, *packing);
        text!(out; "// The weights that it brings.");
        for number in 0..(vectors * weights).div_ceil(self.invocations()) {
            let first = number * self.invocations();
            let record = format!("(block * {vectors} + f{number} / {weights}) * params.record_stride");
            let tap = format!("{head} + params.input_channel_begin * {channel} + f{number} % {weights}");
            text!(out; "let f{number} = i32(lane) + {first};
                var w{number} = {record} - params.weight_window + {tap};");
        }
    }

    /// Everything that the invocation brings for a K-chunk, each as `with` has it. Only the last of its inputs and of its
    /// weights may be beyond the memory.
    fn bring(&self, memory: &Memory, with: fn(Brought) -> Statement) -> Vec<Statement> {
        let invocations = self.invocations();
        let guarded = |number: usize, total: usize, condition: Condition, body: Vec<Statement>| {
            if (number + 1) * invocations > total { vec![Statement::If(condition, body)] } else { body }
        };
        let total = memory.units * memory.unit;
        let inputs = (0..total.div_ceil(invocations)).flat_map(|number| {
            let brought = (0..self.k_chunk).map(|channel| with(Brought::Input { number, channel })).collect();
            guarded(number, total, Condition::IsInput { number, total }, brought)
        });
        let mut out: Vec<_> = inputs.collect();
        let total = memory.vectors * memory.weights;
        for number in 0..total.div_ceil(invocations) {
            let brought = vec![with(Brought::Weight { number })];
            out.extend(guarded(number, total, Condition::IsWeight { number, total }, brought));
        }
        out
    }

    /// On to the next K-chunk in the buffers.
    fn advance(&self, memory: &Memory) -> Vec<Statement> {
        let weights = (0..(memory.vectors * memory.weights).div_ceil(self.invocations()))
            .map(|number| Statement::AdvanceWeights { number, units: memory.weights });
        [Statement::AdvanceInputs(self.k_chunk)].into_iter().chain(weights).collect()
    }

    /// The registers for what is read ahead, and the first K-chunk in them.
    fn read_first(&self, memory: &Memory) -> Vec<Statement> {
        let (invocations, mut out) = (self.invocations(), Vec::new());
        text!(out; "// What is read ahead: the K-chunk that goes into the memory next.");
        for number in 0..(memory.units * memory.unit).div_ceil(invocations) {
            for channel in 0..self.k_chunk {
                text!(out; "var {} = 0.0;", Brought::Input { number, channel });
            }
        }
        for number in 0..(memory.vectors * memory.weights).div_ceil(invocations) {
            text!(out; "var {} = vec4<f32>();", Brought::Weight { number });
        }
        out.extend(self.bring(memory, Statement::ReadAhead));
        out
    }

    /// Fills the workgroup's memory: every element of it is written, by one invocation.
    fn fill(&self, memory: &Memory) -> Vec<Statement> {
        let mut out = self.bring(memory, if self.ahead { Statement::FillAhead } else { Statement::Fill });
        let mut next = self.advance(memory);
        if self.ahead {
            next.extend(self.bring(memory, Statement::ReadAhead));
            out.extend([Statement::Barrier, Statement::If(Condition::IsMore { channels: self.k_chunk }, next)]);
        } else {
            out.extend(next);
            out.push(Statement::Barrier);
        }
        out
    }
}

impl Source for WorkgroupTile {
    fn grid(&self) -> Grid {
        let Self { lanes, blocks, .. } = *self;
        Grid { kernel: Kernel::Tiled, invocations: self.invocations(), lanes, blocks, split_k: 1 }
    }

    fn workgroups(&self, batch: usize, boxes: usize) -> usize {
        batch.div_ceil(self.items) * boxes
    }

    fn channels_per_iteration(&self) -> usize {
        self.k_chunk
    }

    fn channel_unit(&self, _channels: usize) -> usize {
        self.k_chunk
    }

    /// Each invocation brings vec4s of its own.
    fn operands(&self, tile: &RegisterTile, packing: &Packing) -> Operands {
        Operands { reads: Access::Element, unit: 1, memory: Some(self.memory(tile, packing)), factors: Storage::F32 }
    }

    /// Which box is the workgroup's, and which cells and channels of it the invocation's.
    fn place(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement> {
        let Self { lanes, items, blocks, .. } = *self;
        let (vectors, channels, memory) = (tile.vectors, tile.channels(), self.memory(tile, packing));
        let mut out = Vec::new();
        text!(out; "// The box of cells that the workgroup computes, and the tile of this invocation in it.
            var rest = i32(group.x);
            var own = i32(lane);");
        for (a, letter, axis) in tile.used_axes() {
            let (cells, lanes, box_cells) = (axis.cells, lanes[a], axis.cells * lanes[a]);
            text!(out; "let box_{letter} = params.axes[{a}].first_cell + rest % params.axes[{a}].tiles * {box_cells};
                rest /= params.axes[{a}].tiles;
                let own_{letter} = own % {lanes} * {cells};
                own /= {lanes};
                let {letter} = box_{letter} + own_{letter};");
        }
        text!(out; "let box_n = params.batch_begin + rest * {items};
            let own_n = own % {items};
            own /= {items};
            let n = box_n + own_n;
            // What is left of the invocation's number is its block of channels in the workgroup's.
            let block = params.first_block + i32(group.y);
            let channel_group = block / params.blocks_per_group;
            let first_channel = (block % params.blocks_per_group * {blocks} + own) * {channels};");
        for vector in 0..vectors {
            let record = format!("((block * {blocks} + own) * {vectors} + {vector}) * params.record_stride");
            text!(out; "let record{vector} = {record} - params.weight_window;");
        }
        for (a, letter, axis) in tile.used_axes() {
            let origin = format!("{} + params.axes[{a}].origin", times(&format!("box_{letter}"), axis.step));
            let first = plus(&origin, span(axis).0);
            text!(out; "let first_{letter} = {first};");
        }
        self.place_inputs(tile, &memory, &mut out);
        self.place_weights(packing, &memory, &mut out);
        text!(out; "// The unit where its own inputs begin.
            var own_unit = own_n;");
        for (a, letter, axis) in tile.used_axes().rev() {
            let own = times(&format!("own_{letter}"), axis.step);
            let own = if a == 2 { format!("{own} / {}", memory.unit) } else { own };
            text!(out; "own_unit = own_unit * {} + {own};", self.extents(tile)[a]);
        }
        out
    }

    /// The loop over K-chunks.
    fn accumulate(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement> {
        let reads = tile.axes.map(|axis| axis.reads());
        let ([_, rows, units], unit) = (self.extents(tile), input_unit(tile));
        let memory = self.memory(tile, packing);
        let mut body = self.fill(&memory);
        for channel in 0..self.k_chunk {
            let input = |Input { at, .. }| {
                let [z, y, x] = [0, 1, 2].map(|a| (reads[a][at[a]] - reads[a][0]) as usize);
                InputAt::Memory { channel, unit: (z * rows + y) * units + x / unit, element: x % unit }
            };
            let weight = |weight: Weight| {
                let index = channel * packing.channel + weight.index;
                WeightAt::Memory { vectors: tile.vectors, index }
            };
            let products = multiply((tile, packing), (Order::Taps, 1), (&reads, Access::Element), input, weight);
            body.push(Statement::Block(products));
        }
        body.push(Statement::Barrier);
        let mut out = if self.ahead { self.read_first(&memory) } else { Vec::new() };
        out.push(Statement::Loop(self.k_chunk, body));
        out
    }
}

impl fmt::Display for WorkgroupTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lanes: [z, y, x], items, blocks, k_chunk, ahead } = self;
        write!(
            f,
            "{} invocations: {z}x{y}x{x} tiles, {items} of the batch, {blocks} blocks of channels; \
             {k_chunk} input channels at a time",
            self.invocations()
        )?;
        if *ahead { write!(f, ", read ahead") } else { Ok(()) }
    }
}
