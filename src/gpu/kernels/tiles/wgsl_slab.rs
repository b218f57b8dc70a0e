//! What the generator writes for `tiled` alone: inputs and weights come from the workgroup's memory, and before that
//! its invocations bring them there together.

use super::wgsl::Generator;
use crate::gpu::kernels::tiles::slab::Slab;
use std::fmt::{self, Write};

impl Generator<'_> {
    /// The workgroup's memory.
    pub(crate) fn memory(&mut self, slab: &Slab) -> fmt::Result {
        let Slab { chunk, blocks, .. } = *slab;
        let (unit, positions) = (Slab::unit(self.tile), slab.positions(self.tile));
        writeln!(
            self.out,
            "// For each input channel of a chunk the inputs that the box reads, {unit} a unit: no vector, whose"
        )?;
        writeln!(self.out, "// components several invocations may not write.")?;
        writeln!(self.out, "var<workgroup> inputs: array<array<array<f32, {unit}>, {positions}>, {chunk}>;")?;
        writeln!(self.out, "// For each vector of output channels its weights for the chunk.")?;
        let (vectors, weights) = (blocks * self.tile.vectors, chunk * self.packing.channel);
        writeln!(self.out, "var<workgroup> factors: array<array<vec4<f32>, {weights}>, {vectors}>;\n")
    }

    /// Which box is the workgroup's, and which cells and channels of it the invocation's.
    pub(crate) fn place_in_box(&mut self, slab: &Slab) -> fmt::Result {
        writeln!(
            self.out,
            "    // The box of cells that the workgroup computes, and the tile of this invocation in it."
        )?;
        writeln!(self.out, "    var rest = i32(group.x);")?;
        writeln!(self.out, "    var own = i32(lane);")?;
        for (a, letter, axis) in self.axes() {
            let (cells, lanes) = (axis.cells, slab.lanes[a]);
            writeln!(
                self.out,
                "    let box_{letter} = params.axes[{a}].first_cell + rest % params.axes[{a}].tiles * {};",
                cells * lanes
            )?;
            writeln!(self.out, "    rest /= params.axes[{a}].tiles;")?;
            writeln!(self.out, "    let own_{letter} = own % {lanes} * {cells};")?;
            writeln!(self.out, "    own /= {lanes};")?;
            writeln!(self.out, "    let {letter} = box_{letter} + own_{letter};")?;
        }
        let Slab { items, blocks, .. } = *slab;
        let (vectors, channels) = (self.tile.vectors, self.tile.channels());
        writeln!(self.out, "    let box_n = params.batch_begin + rest * {items};")?;
        writeln!(self.out, "    let own_n = own % {items};")?;
        writeln!(self.out, "    own /= {items};")?;
        writeln!(self.out, "    let n = box_n + own_n;")?;
        writeln!(
            self.out,
            "    // What is left of the invocation's number is its block of channels in the workgroup's."
        )?;
        writeln!(self.out, "    let block = params.first_block + i32(group.y);")?;
        writeln!(self.out, "    let channel_group = block / params.blocks_per_group;")?;
        writeln!(self.out, "    let first_channel = (block % params.blocks_per_group * {blocks} + own) * {channels};")?;
        for vector in 0..vectors {
            writeln!(
                self.out,
                "    let record{vector} = ((block * {blocks} + own) * {vectors} + {vector}) * params.record_stride - params.weight_window;"
            )?;
        }
        Ok(())
    }

    /// Which inputs and weights the invocation brings, and where it reads its own inputs.
    pub(crate) fn sources(&mut self, slab: &Slab) -> fmt::Result {
        for (a, letter, axis) in self.axes() {
            let at = format!("box_{letter} + params.axes[{a}].origin + {}", Slab::reach(&axis).0).replace("+ -", "- ");
            writeln!(self.out, "    let first_{letter} = {at};")?;
        }
        self.source_inputs(slab)?;
        self.source_weights(slab)?;
        let (unit, extents) = (Slab::unit(self.tile), slab.extents(self.tile));
        writeln!(self.out, "    // The unit where its own inputs begin.")?;
        writeln!(self.out, "    var own_unit = own_n;")?;
        for (a, letter, _) in self.axes().into_iter().rev() {
            let own = if a == 2 { format!("own_x / {unit}") } else { format!("own_{letter}") };
            writeln!(self.out, "    own_unit = own_unit * {} + {own};", extents[a])?;
        }
        Ok(())
    }

    /// For each input that the invocation brings: its number in the box, where it is, and whether it is inside.
    fn source_inputs(&mut self, slab: &Slab) -> fmt::Result {
        let (lanes, unit, extents) = (slab.invocations(), Slab::unit(self.tile), slab.extents(self.tile));
        writeln!(self.out, "    // The inputs that this invocation brings, and where they are.")?;
        for number in 0..slab.brought_inputs(self.tile) {
            writeln!(self.out, "    let e{number} = i32(lane) + {};", number * lanes)?;
            writeln!(self.out, "    rest = e{number} / {unit};")?;
            let (mut has, mut from) = (Vec::new(), Vec::new());
            for (a, letter, _) in self.axes() {
                let at = format!("first_{letter} + rest % {}", extents[a]);
                let at = if a == 2 { format!("{at} * {unit} + e{number} % {unit}") } else { at };
                writeln!(self.out, "    let {letter}{number} = {at};")?;
                writeln!(self.out, "    rest /= {};", extents[a])?;
                has.push(format!("inside({letter}{number}, params.axes[{a}].input_extent)"));
                from.push(format!("keep({letter}{number}, {a}) * params.axes[{a}].input_stride"));
            }
            writeln!(self.out, "    let n{number} = box_n + rest;")?;
            has.push(format!("n{number} < params.batch_end"));
            from.push(format!("min(n{number}, params.batch_end - 1) * params.input_batch_stride"));
            writeln!(self.out, "    let has{number} = {};", has.join(" && "))?;
            writeln!(self.out, "    let from{number} = {};", from.join(" + "))?;
        }
        let first = "channel_group * params.group_in_channels + params.input_channel_begin";
        writeln!(self.out, "    var at = ({first}) * params.input_channel_stride - params.input_window;")
    }

    /// For each vec4 of weights that the invocation brings: its number, and where it is.
    fn source_weights(&mut self, slab: &Slab) -> fmt::Result {
        let (lanes, vectors) = (slab.invocations(), slab.blocks * self.tile.vectors);
        let (header, channel, each) = (self.packing.unit, self.packing.channel, slab.chunk * self.packing.channel);
        writeln!(self.out, "    // The weights that it brings.")?;
        for number in 0..slab.brought_weights(self.tile, self.packing) {
            writeln!(self.out, "    let f{number} = i32(lane) + {};", number * lanes)?;
            let record = format!("(block * {vectors} + f{number} / {each}) * params.record_stride");
            let first = format!("{header} + params.input_channel_begin * {channel} + f{number} % {each}");
            writeln!(self.out, "    var w{number} = {record} - params.weight_window + {first};")?;
        }
        Ok(())
    }

    /// The loop over chunks of input channels.
    pub(crate) fn accumulate_chunks(&mut self, slab: &Slab) -> fmt::Result {
        let chunk = slab.chunk;
        writeln!(
            self.out,
            "    for (var ci = params.input_channel_begin; ci < params.input_channel_end; ci += {chunk}) {{"
        )?;
        self.bring(slab)?;
        writeln!(self.out, "        workgroupBarrier();")?;
        let (reads, unit) = (self.tile.axes.map(|axis| axis.reads()), Slab::unit(self.tile));
        let [_, rows, width] = slab.extents(self.tile);
        for ci in 0..chunk {
            writeln!(self.out, "        {{")?;
            for (z, read_z) in reads[0].iter().enumerate() {
                for (y, read_y) in reads[1].iter().enumerate() {
                    let row = (read_z - reads[0][0]) as usize * rows + (read_y - reads[1][0]) as usize;
                    for (x, read_x) in reads[2].iter().enumerate() {
                        let from_first = (read_x - reads[2][0]) as usize;
                        let (at, number) = (row * width + from_first / unit, from_first % unit);
                        writeln!(self.out, "        let i{z}_{y}_{x} = inputs[{ci}][own_unit + {at}][{number}];")?;
                    }
                }
            }
            self.multiply(&reads, ci, 1)?;
            writeln!(self.out, "        }}")?;
        }
        writeln!(self.out, "        workgroupBarrier();")?;
        writeln!(self.out, "    }}")
    }

    /// Fills the workgroup's memory: every element of it is written, by one invocation.
    fn bring(&mut self, slab: &Slab) -> fmt::Result {
        let (lanes, unit) = (slab.invocations(), Slab::unit(self.tile));
        let total = slab.positions(self.tile) * unit;
        for number in 0..slab.brought_inputs(self.tile) {
            let last = (number + 1) * lanes > total;
            let indent = if last { "    " } else { "" };
            if last {
                writeln!(self.out, "        if e{number} < {total} {{")?;
            }
            for ci in 0..slab.chunk {
                let from = format!("at + {ci} * params.input_channel_stride + from{number}");
                let to = format!("inputs[{ci}][e{number} / {unit}][e{number} % {unit}]");
                writeln!(self.out, "        {indent}{to} = select(0.0, f32(input[{from}]), has{number});")?;
            }
            if last {
                writeln!(self.out, "        }}")?;
            }
        }
        writeln!(self.out, "        at += {} * params.input_channel_stride;", slab.chunk)?;
        let each = slab.chunk * self.packing.channel;
        let total = slab.blocks * self.tile.vectors * each;
        for number in 0..slab.brought_weights(self.tile, self.packing) {
            let last = (number + 1) * lanes > total;
            let (open, close) = if last { (format!("if f{number} < {total} {{ "), " }") } else { (String::new(), "") };
            let to = format!("factors[f{number} / {each}][f{number} % {each}]");
            writeln!(self.out, "        {open}{to} = weights[w{number}][0];{close}")?;
            writeln!(self.out, "        w{number} += {each};")?;
        }
        Ok(())
    }

    /// The vec4 of weights at `index` of channel `ci` of the chunk.
    pub(crate) fn factor(&self, vector: usize, ci: usize, index: usize) -> String {
        format!("factors[own * {} + {vector}][{}]", self.tile.vectors, ci * self.packing.channel + index)
    }
}
