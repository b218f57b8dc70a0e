//! A part of what a graph computes: some regions of some values, and of all others what those need.
//!
//! A picture in tiles is the same picture, bit for bit, because each tile computes what the whole computes, element by
//! element: a layer of a region has other pads and the same products, and begins where the blocks begin that its kernel
//! may compute at once. Regions have the coordinates of the whole.

use super::operation::{Operation, Value};
use super::program::{Operand, Program, Step, View, Work, may_transform};
use super::{Graph, problem};
use crate::error::Result;
use crate::op::{Axis, ConvTranspose};
use crate::winograd;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The side of the blocks along the last two axes whose sums a mean adds up.
pub(crate) const BLOCK: usize = 16;

/// Some of a value: the elements from `begin` on, of which there are as many along each axis as `shape` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// Whose.
    pub value: Value,
    /// Along each axis behind the channels.
    pub begin: Vec<usize>,
    /// `[batch, channels, …]`
    pub shape: Vec<usize>,
}

/// The regions of all values, for whole ones of these shapes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) whole: Arc<Vec<Vec<usize>>>,
    /// None of what is not needed.
    regions: Vec<Option<Region>>,
    /// The values that are given.
    pub(crate) inputs: Vec<usize>,
    /// Those that are wanted.
    pub(crate) outputs: Vec<usize>,
}

impl Part {
    /// All of it.
    pub(crate) fn whole(graph: &Graph, whole: Arc<Vec<Vec<usize>>>) -> Self {
        let all = |(value, shape): (usize, &Vec<usize>)| {
            Some(Region { value: Value(value), begin: vec![0; graph.rank], shape: shape.clone() })
        };
        let regions = whole.iter().enumerate().map(all).collect();
        let [inputs, outputs] =
            [&graph.inputs, &graph.outputs].map(|values| values.iter().map(|value| value.0).collect());
        Self { whole, regions, inputs, outputs }
    }

    /// What is needed of a graph for some regions of values, where some others are given. What is computed may be more
    /// than what is wanted.
    ///
    /// # Errors
    /// [`Error::Graph`](crate::Error::Graph) for ranges beyond a value, and for a value that no step computes by itself.
    pub(crate) fn new(
        graph: &Graph,
        program: &Program,
        whole: Arc<Vec<Vec<usize>>>,
        given: &[Value],
        wanted: &[(Value, Vec<Range<usize>>)],
    ) -> Result<Self> {
        let steps: BTreeMap<usize, &Step> = program.steps.iter().map(|step| (step.output, step)).collect();
        let mut needs = Needs { whole: &whole, ranges: vec![None; whole.len()] };
        for (value, ranges) in wanted {
            let there = whole.get(value.0).map(|shape| &shape[2..]).unwrap_or_default();
            let inside = |(range, &extent): (&Range<usize>, &usize)| !range.is_empty() && range.end <= extent;
            if ranges.len() != there.len() || !ranges.iter().zip(there).all(inside) {
                return Err(problem(format!("{ranges:?} of value {}, whose extents are {there:?}", value.0)));
            }
            needs.add(value.0, ranges.iter().map(signed));
        }
        let mut inputs = Vec::new();
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            let Some(ranges) = needs.ranges[index].clone() else { continue };
            match (&node.operation, steps.get(&index)) {
                _ if given.contains(&Value(index)) => inputs.push(index),
                (Operation::Input, _) => inputs.push(index),
                (Operation::Channels(_), _) => needs.add(node.inputs[0].0, ranges.iter().map(signed)),
                (_, Some(step)) => needs.of_step(step, &ranges),
                (operation, None) => {
                    let name = operation.name();
                    return Err(problem(format!("value {index}, {name}, is not computed by itself, or not at all")));
                }
            }
        }
        inputs.reverse();
        let region = |(value, ranges): (usize, Option<Vec<Range<usize>>>)| {
            let ranges = ranges?;
            let shape = whole[value][..2].iter().copied().chain(ranges.iter().map(Range::len)).collect();
            Some(Region { value: Value(value), begin: ranges.iter().map(|range| range.start).collect(), shape })
        };
        let Needs { ranges, .. } = needs;
        let mut regions: Vec<Option<Region>> = ranges.into_iter().enumerate().map(region).collect();
        for (index, node) in graph.nodes.iter().enumerate() {
            // Some channels of a value are where that is.
            let of = node.inputs.first().and_then(|of| regions[of.0].clone());
            if let (Operation::Channels(_), Some(mut of), Some(_)) = (&node.operation, of, &regions[index]) {
                (of.value, of.shape[1]) = (Value(index), node.channels);
                regions[index] = Some(of);
            }
        }
        let outputs = wanted.iter().map(|(value, _)| value.0).collect();
        Ok(Self { whole, regions, inputs, outputs })
    }

    /// Whether a value is given or computed.
    pub(crate) fn has(&self, value: usize) -> bool {
        self.regions[value].is_some()
    }

    pub(crate) fn region(&self, value: usize) -> Result<&Region> {
        let missing = || problem(format!("value {value} is not computed"));
        self.regions[value].as_ref().ok_or_else(missing)
    }

    /// `[d, h, w]` of where a region begins.
    pub(crate) fn begin(&self, value: usize) -> Result<[usize; 3]> {
        let (mut all, begin) = ([0; 3], &self.region(value)?.begin);
        all[3 - begin.len()..].copy_from_slice(begin);
        Ok(all)
    }

    /// The shape of a region; nothing where there is none.
    pub(crate) fn shape(&self, value: usize) -> &[usize] {
        self.regions[value].as_ref().map(|region| &region.shape[..]).unwrap_or_default()
    }

    /// Whether the regions of two values are at the same place, and equally large.
    pub(crate) fn alike(&self, a: usize, b: usize) -> bool {
        let place = |value: usize| self.regions[value].as_ref().map(|region| (&region.begin, &region.shape[2..]));
        place(a) == place(b)
    }
}

fn signed(range: &Range<usize>) -> Range<i64> {
    range.start as i64..range.end as i64
}

/// What is needed of each value so far.
struct Needs<'a> {
    whole: &'a [Vec<usize>],
    ranges: Vec<Option<Vec<Range<usize>>>>,
}

impl Needs<'_> {
    /// Also these, as far as they exist; at least one element.
    fn add(&mut self, value: usize, ranges: impl Iterator<Item = Range<i64>>) {
        let inside = |(range, &extent): (Range<i64>, &usize)| {
            let last = extent as i64 - 1;
            let start = range.start.clamp(0, last) as usize;
            start..(range.end.clamp(0, last + 1) as usize).max(start + 1)
        };
        let ranges: Vec<Range<usize>> = ranges.zip(&self.whole[value][2..]).map(inside).collect();
        let hull = |(a, b): (&Range<usize>, &Range<usize>)| a.start.min(b.start)..a.end.max(b.end);
        self.ranges[value] = Some(match &self.ranges[value] {
            Some(before) => before.iter().zip(&ranges).map(hull).collect(),
            None => ranges,
        });
    }

    /// What a step reads for these ranges of its output.
    fn of_step(&mut self, step: &Step, ranges: &[Range<usize>]) {
        let same = |ranges: &[Range<usize>]| ranges.iter().map(signed).collect::<Vec<_>>();
        match &step.work {
            Work::Layer { layer, input, residual } => {
                let blocks = self.blocks(&layer.op, ranges);
                // A residual has the region of the output.
                self.add(step.output, blocks.iter().cloned());
                let needed = self.ranges[step.output].clone().unwrap_or_default();
                if let Some(residual) = residual {
                    self.add(*residual, needed.iter().map(signed));
                }
                let axes = layer.op.axes().iter().zip(&blocks);
                self.add(*input, axes.map(|(axis, range)| read_by(axis, range)).collect::<Vec<_>>().into_iter());
            }
            Work::Map(map) => {
                for operand in map.operands() {
                    let ranges = match self.whole[operand.of][2..].iter().all(|&extent| extent == 1) {
                        true => vec![0..1; ranges.len()],
                        false => same(ranges),
                    };
                    let ranges = self.through(operand, ranges);
                    self.add(operand.value, ranges.into_iter());
                }
            }
            Work::BlockSums(input) => {
                let first = ranges.len().saturating_sub(2);
                let whole = ranges.iter().enumerate().map(|(axis, range)| {
                    let side = if axis < first { 1 } else { BLOCK as i64 };
                    range.start as i64 * side..range.end as i64 * side
                });
                self.add(*input, whole);
            }
            Work::Mean { sums: input, .. } => {
                let all = self.whole[*input][2..].to_vec();
                self.add(*input, all.iter().map(|&extent| 0..extent as i64));
            }
            Work::Concatenate(values) => values.iter().for_each(|&value| self.add(value, same(ranges).into_iter())),
        }
    }

    /// The whole blocks of outputs that a kernel may compute at once, and of a stride whole steps: what they read decides
    /// on the last bits of each of them.
    fn blocks(&self, op: &ConvTranspose, ranges: &[Range<usize>]) -> Vec<Range<i64>> {
        let transforms = may_transform(op);
        let axes = op.axes().iter().zip(ranges).enumerate();
        let whole = axes.map(|(index, (axis, range))| {
            let block = match transforms && index + 2 >= op.rank() {
                true => winograd::TILE * axis.stride,
                false => axis.stride,
            };
            let (start, end) = (range.start / block * block, range.end.next_multiple_of(block));
            // A stride alone only begins at a whole step.
            start as i64..if transforms { end as i64 } else { range.end as i64 }
        });
        whole.collect()
    }

    /// Where views lead.
    fn through(&self, operand: &Operand, mut ranges: Vec<Range<i64>>) -> Vec<Range<i64>> {
        for view in &operand.views {
            for (axis, range) in ranges.iter_mut().enumerate() {
                *range = match view {
                    View::Crop(begin) => range.start + begin[axis]..range.end + begin[axis],
                    View::Nearest(factors) => divided(range, factors[axis]),
                    View::Shuffle(factor, _) => divided(range, *factor),
                    View::Pad(begin, beyond, of) => {
                        let (begin, extent) = (begin[axis] as i64, self.whole[*of][axis + 2]);
                        let inside = range.clone().filter_map(|at| beyond.at(at - begin, extent));
                        let (least, most) = inside.fold((extent, 0), |(least, most), at| (least.min(at), most.max(at)));
                        // Nothing but zeros: any element will do.
                        let least = least.min(most);
                        least as i64..most as i64 + 1
                    }
                };
            }
        }
        ranges
    }
}

/// What outputs of a layer read along an axis: input `i` and output `o` meet where `i·stride + k·dilation` is
/// `o·decimation + pad_begin`.
fn read_by(axis: &Axis, outputs: &Range<i64>) -> Range<i64> {
    let (stride, first, last) =
        (axis.stride as i64, axis.full_coordinate(outputs.start), axis.full_coordinate(outputs.end - 1));
    -(axis.reach() - first).div_euclid(stride)..last.div_euclid(stride) + 1
}

fn divided(range: &Range<i64>, factor: usize) -> Range<i64> {
    let factor = factor as i64;
    range.start / factor..(range.end - 1) / factor + 1
}
