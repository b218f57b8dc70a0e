//! `direct`: each invocation reads its inputs and weights from the buffers, for itself.

use super::axis::{InBounds, TileAxis};
use super::products::multiply;
use super::program::{AxisLoad, Condition, DistanceOf, Input, InputAt, Statement, Weight, WeightAt, line};
use super::register_tile::RegisterTile;
use super::source::Source;
use crate::gpu::hardware::Order;
use crate::gpu::kernels::pack::tiles::Packing;
use crate::kernel::Kernel;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Buffers {
    /// Invocations of a workgroup.
    pub(crate) workgroup: u32,
    /// How inputs are read along w.
    pub(crate) reading: Reading,
    /// Whether inputs that are neighbours along w are neighbours in memory.
    pub(crate) contiguous: bool,
    /// The reads along each axis that are not tested.
    pub(crate) in_bounds: [InBounds; 3],
    /// See [`Source::split_k`].
    pub(crate) split_k: usize,
    /// The unroll factor of the loop over input channels: it divides those of a group, of a split and of each part.
    pub(crate) unroll: usize,
    /// Whether these are all input channels, so that there is no loop.
    pub(crate) fully_unrolled: bool,
    /// The order of products; accumulators are counted in vectors.
    pub(crate) order: Order,
}

/// How many inputs are read at once along w.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    Single,
    /// Aligned vectors of four; cell 0 begins `lead` elements (0 to 3) into one.
    Vectors {
        lead: usize,
    },
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
    match reading {
        Reading::Single => {
            reads.into_iter().map(|offset| Load { offset, in_bounds: in_bounds.contains(offset), used: 1 }).collect()
        }
        Reading::Vectors { lead } => {
            let lead = lead as i64;
            let vectors: BTreeSet<i64> = reads.iter().map(|read| (read + lead).div_euclid(4) * 4 - lead).collect();
            let load = |offset| Load {
                offset,
                in_bounds: in_bounds.contains(offset) && in_bounds.contains(offset + 3),
                used: reads.iter().filter(|read| (offset..offset + 4).contains(read)).count(),
            };
            vectors.into_iter().map(load).collect()
        }
    }
}

impl Buffers {
    fn loads(&self, tile: &RegisterTile) -> [Vec<Load>; 3] {
        [0, 1, 2].map(|a| loads(&tile.axes[a], self.in_bounds[a], if a == 2 { self.reading } else { Reading::Single }))
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
        for (axis, letter, _) in tile.used_axes() {
            let carry = if tile.phase_parts() > 1 { format!(" + carry_{letter}") } else { String::new() };
            out.push(line(format!("let first_{letter} = {letter} + params.axes[{axis}].origin{carry};")));
            for (number, &Load { offset, in_bounds, .. }) in loads[axis].iter().enumerate() {
                let load = AxisLoad { axis, number, offset };
                if !in_bounds {
                    out.push(Statement::Test(load));
                }
                if self.base(&loads[axis], axis, number) == number {
                    out.push(Statement::Distance { load, clamped: !in_bounds });
                }
            }
        }
        let first = format!("(channel_group * params.group_in_channels + {})", self.first_channel());
        let at = format!("n * params.input_batch_stride + {first} * params.input_channel_stride - params.input_window");
        out.push(line(format!("var at = {};", if self.reads_vectors() { format!("({at}) >> 2u") } else { at })));
    }
}

impl Source for Buffers {
    fn kernel(&self) -> Kernel {
        Kernel::Direct
    }

    fn invocations(&self) -> usize {
        self.workgroup as usize
    }

    fn workgroups(&self, batch: usize, boxes: usize) -> usize {
        (batch * boxes).div_ceil(self.invocations())
    }

    fn split_k(&self) -> usize {
        self.split_k
    }

    /// Whole splits, whose accumulators no other dispatch continues; or whole rounds of the unrolled loop.
    fn channel_unit(&self, channels: usize) -> usize {
        if self.split_k > 1 { channels.div_ceil(self.split_k) } else { self.unroll }
    }

    fn reads_vectors(&self) -> bool {
        self.reading != Reading::Single
    }

    /// Where the phases are parted, the first tap is known only when the kernel runs: it is a multiple of the phases of a
    /// part and of whole rows.
    fn unit(&self, tile: &RegisterTile, packing: &Packing) -> usize {
        if tile.phase_parts() == 1 {
            return packing.unit;
        }
        let x = &tile.axes[2];
        let together =
            |unit: usize| x.kernel.is_multiple_of(unit) && (x.phase_parts() == 1 || x.phases.is_multiple_of(unit));
        [4, 2].into_iter().find(|&unit| packing.unit.is_multiple_of(unit) && together(unit)).unwrap_or(1)
    }

    fn place(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement> {
        let RegisterTile { vectors, .. } = *tile;
        let (channels, parts, unit) = (tile.channels(), tile.phase_parts(), self.unit(tile, packing));
        let in_units = |distance: String| if unit > 1 { format!("({distance}) / {unit}") } else { distance };
        // Not negative, and divided without a test for signs.
        let mut out = vec![
            line(format!("var rest = group.x * {}u + lane;", self.workgroup)),
            Statement::If(Condition::Index("rest >= u32(params.invocations)".into()), vec![Statement::Return]),
        ];
        for (a, letter, axis) in tile.used_axes() {
            let (cells, tiles) = (axis.cells, format!("u32(params.axes[{a}].tiles)"));
            out.push(line(format!("let {letter} = params.axes[{a}].first_cell + i32(rest % {tiles}) * {cells};")));
            out.push(line(format!("rest /= {tiles};")));
        }
        out.push(line("let n = params.batch_begin + i32(rest);"));
        out.push(line("// The channels are the same for the whole workgroup, and so are its weights."));
        out.push(line("let block = params.first_block + i32(group.y);"));
        out.push(line("let channel_group = block / params.blocks_per_group;"));
        out.push(line(format!("let first_channel = block % params.blocks_per_group * {channels};")));
        for vector in 0..vectors {
            let record = format!("(block * {vectors} + {vector}) * params.record_stride - params.weight_window");
            out.push(line(format!("let record{vector} = {};", in_units(record))));
        }
        if parts > 1 {
            place_phases(tile, &mut out);
        }
        if self.split_k > 1 {
            out.push(line(format!("let split = i32(group.z) / {parts};")));
            out.push(line("let first_ci = params.input_channel_begin + split * params.split_channels;"));
            out.push(line("let end_ci = min(first_ci + params.split_channels, params.input_channel_end);"));
        }
        self.place_inputs(tile, &mut out);
        let mut tap = String::new();
        if parts > 1 {
            let rows = |a: usize| tile.axes[a + 1..].iter().map(|axis| axis.kernel).product::<usize>();
            let taps: Vec<String> =
                tile.used_axes().map(|(a, letter, _)| format!("tap_{letter} * {}", rows(a))).collect();
            tap = format!(" + {}", in_units(taps.join(" + ")));
        }
        let (biases, channel, first) = (packing.unit / unit, packing.channel / unit, self.first_channel());
        for vector in 0..vectors {
            out.push(line(format!("var w{vector} = record{vector} + {biases} + {first} * {channel}{tap};")));
        }
        out
    }

    fn accumulate(&self, tile: &RegisterTile, packing: &Packing) -> Vec<Statement> {
        let (loads, unit) = (self.loads(tile), self.unit(tile, packing));
        let offsets = [0, 1, 2].map(|a| loads[a].iter().map(|load| load.offset).collect::<Vec<_>>());
        let elements = if self.reads_vectors() { 4 } else { 1 };
        let distance = |axis: usize, number: usize| {
            let base = self.base(&loads[axis], axis, number);
            let beyond = (loads[axis][number].offset - loads[axis][base].offset) / elements;
            DistanceOf { axis, base, beyond }
        };
        let used = 3 - tile.rank..3;
        let input = |Input { channel, at }| InputAt::Buffer {
            channel,
            distances: used.clone().map(|a| distance(a, at[a])).collect(),
            tests: used.clone().filter(|&a| !loads[a][at[a]].in_bounds).map(|a| (a, at[a])).collect(),
        };
        let weight = |Weight { index, .. }| WeightAt::Buffer { unit: index / unit, vec4: index % unit };
        // Accumulators that come one after the other take all channels of the unrolled loop at once.
        let channels = if matches!(self.order, Order::Accumulators(_)) { self.unroll } else { 1 };
        let mut round =
            multiply((tile, packing), (self.order, channels), (&offsets, self.reads_vectors()), input, weight);
        round.push(Statement::AdvanceInputs { channels });
        let units = channels * packing.channel / unit;
        round.extend((0..tile.vectors).map(|number| Statement::AdvanceWeights { number, units }));
        let mut body =
            vec![line("// Outside is 0, which adds nothing: the weights are finite where this kernel is used.")];
        match self.unroll / channels {
            1 => body.extend(round),
            rounds => body.extend(vec![Statement::Block(round); rounds]),
        }
        vec![if self.fully_unrolled { Statement::Block(body) } else { Statement::Loop(self.unroll, body) }]
    }
}

/// Which part of the phases.
fn place_phases(tile: &RegisterTile, out: &mut Vec<Statement>) {
    out.push(line("// The first phase of this part, its first tap, and whether it begins in the next cell."));
    out.push(line("var part = i32(group.z);"));
    for (_, letter, axis) in tile.used_axes() {
        let TileAxis { stride, shift, phases, .. } = *axis;
        let parts = axis.phase_parts();
        out.push(line(format!("let phase_{letter} = part % {parts} * {phases};")));
        out.push(line(format!("part /= {parts};")));
        // Where the phases of this axis are not parted, its taps are numbered from 0 and the shift is in them.
        let first = |operator| match parts {
            1 => "0".into(),
            _ => format!("(phase_{letter} + {shift}) {operator} {stride}"),
        };
        out.push(line(format!("let tap_{letter} = {};", first("%"))));
        out.push(line(format!("let carry_{letter} = {};", first("/"))));
    }
}
