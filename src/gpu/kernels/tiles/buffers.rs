//! `direct`: each invocation reads its inputs and weights from the buffers, for itself.

use super::axis::{InBounds, TileAxis};
use super::products::multiply;
use super::program::{Input, InputAt, Operands, Statement, Weight, WeightAt, text, times};
use super::register_tile::{Access, RegisterTile};
use super::source::{Grid, Source};
use crate::gpu::hardware::Order;
use crate::gpu::kernels::pack::tiles::{Packing, lanes};
use crate::gpu::storage::Storage;
use crate::kernel::Kernel;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Buffers {
    /// Invocations of a workgroup.
    pub(crate) workgroup: u32,
    /// How inputs are read.
    pub(crate) reading: Reading,
    /// Whether inputs that are neighbours along w are neighbours in memory.
    pub(crate) contiguous: bool,
    /// The reads along each axis that are not tested.
    pub(crate) in_bounds: [InBounds; 3],
    /// See [`Grid::split_k`].
    pub(crate) split_k: usize,
    /// The unroll factor of the loop over input channels: it divides those of a group, of a split and of each part.
    pub(crate) unroll: usize,
    /// Whether these are all input channels, so that there is no loop.
    pub(crate) fully_unrolled: bool,
    /// The order of products; accumulators are counted in vectors.
    pub(crate) order: Order,
    /// What inputs and weights are rounded to before they are multiplied. Products of f16 are added up in f16 for the
    /// channels of one round of the loop, at most [`MOST_IN_F16`] of them, and then in f32.
    pub(crate) factors: Storage,
}

/// The most products of f16 that are added up in f16: nine taps of four channels.
pub(crate) const MOST_IN_F16: usize = 36;

/// What is read of the input at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    Element,
    /// Aligned vectors of four neighbours along w; cell 0 begins so many elements (0 to 3) into one.
    Columns(usize),
    /// Four channels.
    Channels,
}

impl Reading {
    pub(crate) fn access(self) -> Access {
        match self {
            Reading::Element => Access::Element,
            Reading::Columns(_) => Access::Columns,
            Reading::Channels => Access::Channels,
        }
    }
}

/// What is read at once on one axis: an input, or a vector of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Of its first element from the input of the first cell.
    pub(crate) offset: i64,
    /// Whether it is inside the input for every invocation.
    pub(crate) in_bounds: bool,
    /// How many of its elements are used.
    pub(crate) used: usize,
}

/// The loads along an axis.
pub(crate) fn loads(axis: &TileAxis, in_bounds: InBounds, reading: Reading) -> Vec<Load> {
    let reads = axis.reads();
    let (width, lead) = match reading {
        Reading::Element | Reading::Channels => (1, 0),
        Reading::Columns(lead) => (4, lead as i64),
    };
    let offsets: BTreeSet<i64> = reads.iter().map(|read| (read + lead).div_euclid(width) * width - lead).collect();
    let load = |offset| Load {
        offset,
        in_bounds: in_bounds.contains(offset) && in_bounds.contains(offset + width - 1),
        used: reads.iter().filter(|read| (offset..offset + width).contains(read)).count(),
    };
    offsets.into_iter().map(load).collect()
}

impl Buffers {
    pub(crate) fn loads(&self, tile: &RegisterTile) -> [Vec<Load>; 3] {
        let reading = [Reading::Element, Reading::Element, self.reading];
        [0, 1, 2].map(|a| loads(&tile.axes[a], self.in_bounds[a], reading[a]))
    }

    /// vec4s of weights that are read at once. Where the phases are parted, the first tap is known only when the kernel
    /// runs: it is a multiple of the phases of a part and of whole rows. A round begins behind the taps of those before.
    pub(crate) fn unit(tile: &RegisterTile, packing: &Packing) -> usize {
        let x = &tile.axes[2];
        let together = |unit: usize| {
            let of_parts = x.kernel.is_multiple_of(unit) && (x.phase_parts() == 1 || x.phases.is_multiple_of(unit));
            (tile.phase_parts() == 1 || of_parts)
                && (tile.rounds() == 1 || tile.taps().is_multiple_of(unit * 4 / lanes(tile.width)))
        };
        [4, 2].into_iter().find(|&unit| packing.unit.is_multiple_of(unit) && together(unit)).unwrap_or(1)
    }

    /// The load from which the distance of load `number` along an axis is known: the first of a row that is in bounds
    /// for all that are, so that compilers see which inputs are neighbours; itself for the others.
    fn base(&self, loads: &[Load], a: usize, number: usize) -> usize {
        let first = loads.iter().position(|load| load.in_bounds).unwrap_or(number);
        if a == 2 && self.contiguous && loads[number].in_bounds { first } else { number }
    }

    /// The first input channel that an invocation adds.
    fn first_channel(&self) -> &'static str {
        if self.split_k > 1 { "first_ci" } else { "params.input_channel_begin" }
    }

    /// Which inputs: their distances along each axis, kept inside, and whether they were.
    fn place_inputs(&self, tile: &RegisterTile, out: &mut Vec<Statement>) {
        let loads = self.loads(tile);
        for (axis, letter, along) in tile.used_axes() {
            let carry = if tile.phase_parts() > 1 { format!(" + carry_{letter}") } else { String::new() };
            let first = times(letter, along.step);
            let name = if along.rounds() > 1 { "start" } else { "first" };
            text!(out; "let {name}_{letter} = {first} + params.axes[{axis}].origin{carry};");
            if along.rounds() == 1 {
                self.place_along(axis, &loads[axis], out);
            }
        }
        let first = format!("(channel_group * params.group_in_channels + {})", self.first_channel());
        let at = format!("n * params.input_batch_stride + {first} * params.input_channel_stride - params.input_window");
        let at = if self.reading == Reading::Element { at } else { format!("({at}) >> 2u") };
        text!(out; "var at = {at};");
    }
}

impl Buffers {
    /// Where the inputs are along an axis, counted from the first.
    fn place_along(&self, axis: usize, loads: &[Load], out: &mut Vec<Statement>) {
        for (number, &Load { offset, in_bounds, .. }) in loads.iter().enumerate() {
            if !in_bounds {
                out.push(Statement::Test { axis, number, offset });
            }
            if self.base(loads, axis, number) == number {
                out.push(Statement::Distance { axis, number, offset, clamped: !in_bounds });
            }
        }
    }

    /// What is done in each round, in the rounds through the taps of each axis that has them.
    fn in_rounds(&self, tile: &RegisterTile, loads: &[Vec<Load>; 3], round: Vec<Statement>) -> Vec<Statement> {
        tile.used_axes().filter(|(_, _, along)| along.rounds() > 1).fold(round, |inner, (axis, _, along)| {
            let mut body = Vec::new();
            self.place_along(axis, &loads[axis], &mut body);
            body.extend(inner);
            vec![Statement::Rounds { axis, rounds: along.rounds(), back: along.written * along.dilation, body }]
        })
    }
}

impl Source for Buffers {
    fn grid(&self) -> Grid {
        let (invocations, split_k) = (self.workgroup as usize, self.split_k);
        Grid { kernel: Kernel::Direct, invocations, lanes: [1; 3], blocks: 1, split_k }
    }

    fn workgroups(&self, batch: usize, boxes: usize) -> usize {
        (batch * boxes).div_ceil(self.workgroup as usize)
    }

    fn channels_per_iteration(&self) -> usize {
        self.unroll
    }

    /// Whole splits, whose accumulators no other dispatch continues; or whole rounds of the unrolled loop.
    fn channel_unit(&self, channels: usize) -> usize {
        if self.split_k > 1 { channels.div_ceil(self.split_k) } else { self.unroll }
    }

    fn operands(&self, tile: &RegisterTile, packing: &Packing) -> Operands {
        Operands { reads: self.reading.access(), unit: Self::unit(tile, packing), memory: None, factors: self.factors }
    }

    fn place(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement> {
        let (vectors, channels, parts) = (tile.vectors, tile.channels(), tile.phase_parts());
        let unit = Self::unit(tile, packing);
        let in_units = |distance: String| if unit > 1 { format!("({distance}) / {unit}") } else { distance };
        let mut out = Vec::new();
        // Not negative, and divided without a test for signs.
        text!(out; "var rest = group.x * {}u + lane;", self.workgroup);
        text!(out; "if rest >= u32(params.invocations) {{ return; }}");
        for (a, letter, axis) in tile.used_axes() {
            let (cells, tiles) = (axis.cells, format!("u32(params.axes[{a}].tiles)"));
            text!(out; "let {letter} = params.axes[{a}].first_cell + i32(rest % {tiles}) * {cells};
                rest /= {tiles};");
        }
        text!(out; "let n = params.batch_begin + i32(rest);
            // The channels are the same for the whole workgroup, and so are its weights.
            let block = params.first_block + i32(group.y);
            let channel_group = block / params.blocks_per_group;
            let first_channel = block % params.blocks_per_group * {channels};");
        for vector in 0..vectors {
            let record = format!("(block * {vectors} + {vector}) * params.record_stride - params.weight_window");
            text!(out; "let record{vector} = {};", in_units(record));
        }
        if parts > 1 {
            place_phases(tile, &mut out);
        }
        if self.split_k > 1 {
            text!(out; "let split = i32(group.z) / {parts};
                let first_ci = params.input_channel_begin + split * params.split_channels;
                let end_ci = min(first_ci + params.split_channels, params.input_channel_end);");
        }
        self.place_inputs(tile, &mut out);
        let rows = |a: usize| tile.axes[a + 1..].iter().map(|axis| axis.kernel).product::<usize>();
        let taps: Vec<String> = tile.used_axes().map(|(a, letter, _)| format!("tap_{letter} * {}", rows(a))).collect();
        let tap = if parts > 1 { format!(" + {}", in_units(taps.join(" + "))) } else { String::new() };
        let (biases, channel, first) = (packing.head / unit, packing.channel / unit, self.first_channel());
        for vector in 0..vectors {
            text!(out; "var w{vector} = record{vector} + {biases} + {first} * {channel}{tap};");
        }
        out
    }

    fn accumulate(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement> {
        let (loads, Operands { reads, unit, .. }) = (self.loads(tile), self.operands(tile, packing));
        let offsets = [0, 1, 2].map(|a| loads[a].iter().map(|load| load.offset).collect::<Vec<_>>());
        let distance = |axis: usize, number: usize| {
            let base = self.base(&loads[axis], axis, number);
            let beyond = offsets[axis][number] - offsets[axis][base];
            (axis, base, beyond / reads.columns() as i64)
        };
        let used = || 3 - tile.rank..3;
        let input = |Input { channel, at }| InputAt::Buffer {
            channel,
            distances: used().map(|a| distance(a, at[a])).collect(),
            tests: used().filter(|&a| !loads[a][at[a]].in_bounds).map(|a| (a, at[a])).collect(),
        };
        let weight = |Weight { index, .. }| WeightAt::Buffer { unit: index / unit, vec4: index % unit };
        // Accumulators that come one after the other take all channels of the unrolled loop at once, and so do vectors
        // of channels.
        let at_once = matches!(self.order, Order::Accumulators(_)) || reads == Access::Channels;
        let channels = if at_once { self.unroll } else { 1 };
        let order = (self.order, channels);
        let advance = |vec4s: usize| {
            let units = vec4s / unit;
            (0..tile.vectors).map(move |number| Statement::AdvanceWeights { number, units }).filter(move |_| units > 0)
        };
        let mut round = multiply((tile, packing), order, (&offsets, reads), input, weight);
        let mut rest = channels * packing.channel;
        if tile.rounds() > 1 {
            let of_round = tile.taps() * lanes(tile.width) / 4;
            round.extend(advance(of_round));
            round = self.in_rounds(tile, &loads, round);
            rest -= tile.rounds() * of_round;
        }
        round.push(Statement::AdvanceInputs(channels));
        round.extend(advance(rest));
        let mut body = Vec::new();
        text!(body; "// Outside is 0, which adds nothing: the weights are finite where this kernel is used.");
        match self.unroll / channels {
            1 => body.extend(round),
            rounds => body.extend(vec![Statement::Block(round); rounds]),
        }
        if self.factors == Storage::F16 {
            let accumulators = 0..tile.accumulators().len();
            let begin: String = accumulators.clone().map(|number| format!("var sum{number} = Sum();\n")).collect();
            body.insert(0, Statement::Text(begin));
            let add = accumulators.map(|number| format!("acc{number} += Accumulator(sum{number});\n")).collect();
            body.push(Statement::Text(add));
        }
        vec![if self.fully_unrolled { Statement::Block(body) } else { Statement::Loop(self.unroll, body) }]
    }
}

/// Which part of the phases.
fn place_phases(tile: &RegisterTile, out: &mut Vec<Statement>) {
    text!(out; "// The first phase of this part, its first tap, and whether it begins in the next cell.
        var part = i32(group.z);");
    for (_, letter, axis) in tile.used_axes() {
        let TileAxis { stride, shift, phases, .. } = *axis;
        let parts = axis.phase_parts();
        // Where the phases of this axis are not parted, its taps are numbered from 0 and the shift is in them.
        let [tap, carry] = ["%", "/"].map(|operator| match parts {
            1 => "0".into(),
            _ => format!("(phase_{letter} + {shift}) {operator} {stride}"),
        });
        text!(out; "let phase_{letter} = part % {parts} * {phases};
            part /= {parts};
            let tap_{letter} = {tap};
            let carry_{letter} = {carry};");
    }
}
