//! What is done for the regions of a part, with nothing of where in the whole they are: parts that are alike do the same.

use super::part::{BLOCK, Part};
use super::program::{Map, Operand, Program, View, Work};
use crate::error::Result;
use crate::graph::Layer;
use crate::op::{Axis, ConvTranspose};

/// What a task comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The step with this index.
    Step(usize),
    /// A copy of the first of two values, as much of it as there is of the second.
    Copy(usize, usize),
}

/// What a task does; values are the indices of their nodes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Layer {
        /// The number of the step.
        step: usize,
        /// With the padding between the two regions.
        op: Box<ConvTranspose>,
        input: usize,
        output: usize,
        residual: Residual,
    },
    /// To a value, of this shape.
    Map { map: Map, output: usize, shape: Vec<usize> },
    /// `begin` is where the first block begins in the region of what they are of.
    BlockSums { of: usize, output: usize, begin: [usize; 3] },
    /// Of channels of so many elements.
    Mean { sums: usize, output: usize, elements: usize },
    /// A concatenation whose parts are in their places.
    Nothing,
}

/// What a layer adds before its activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residual {
    None,
    Value(usize),
    /// What its output holds.
    InPlace,
}

impl Part {
    /// What is done; `in_place` says that a layer's residual has been copied to where its output goes.
    pub(crate) fn action(&self, program: &Program, kind: Kind, in_place: bool) -> Result<Action> {
        let step = match kind {
            Kind::Step(step) => step,
            Kind::Copy(value, output) => {
                let operand = Operand { of: value, value, views: Vec::new(), single: false };
                let map = self.map(&Map { first: operand, terms: Vec::new() }, output)?;
                let (channels, axes) = (&self.shape(value)[..2], &self.shape(output)[2..]);
                return Ok(Action::Map { map, output, shape: [channels, axes].concat() });
            }
        };
        let output = program.steps[step].output;
        Ok(match &program.steps[step].work {
            Work::Layer { layer, input, residual } => {
                let residual = match residual {
                    _ if in_place => Residual::InPlace,
                    Some(value) => Residual::Value(*value),
                    None => Residual::None,
                };
                Action::Layer { step, op: self.op(layer, *input, output)?.into(), input: *input, output, residual }
            }
            Work::Map(map) => Action::Map { map: self.map(map, output)?, output, shape: self.shape(output).to_vec() },
            Work::BlockSums(of) => {
                let (read, written) = (self.begin(*of)?, self.begin(output)?);
                let begin = [written[0] - read[0], written[1] * BLOCK - read[1], written[2] * BLOCK - read[2]];
                Action::BlockSums { of: *of, output, begin }
            }
            Work::Mean { sums, of } => {
                Action::Mean { sums: *sums, output, elements: self.whole[*of][2..].iter().product() }
            }
            Work::Concatenate(_) => Action::Nothing,
        })
    }

    /// What a layer computes between the regions of two values.
    fn op(&self, layer: &Layer, input: usize, output: usize) -> Result<ConvTranspose> {
        let (from, to) = (self.region(input)?, self.region(output)?);
        if from.shape == self.whole[input] && to.shape == self.whole[output] {
            return Ok(layer.op.clone());
        }
        let pads = |(axis, a): (usize, &Axis)| {
            let [i0, o0, inputs, outputs] =
                [from.begin[axis], to.begin[axis], from.shape[axis + 2], to.shape[axis + 2]].map(|at| at as i64);
            let (stride, step) = (a.stride as i64, a.decimation as i64);
            let begin = a.pad_begin + o0 * step - i0 * stride;
            let full = (inputs - 1) * stride + a.reach() + 1;
            (begin, full - begin - (outputs - 1) * step - 1, 0)
        };
        let pads: Vec<(i64, i64, usize)> = layer.op.axes().iter().enumerate().map(pads).collect();
        layer.op.with_pads(&pads)
    }

    /// A map between regions.
    fn map(&self, map: &Map, output: usize) -> Result<Map> {
        let mut map = map.clone();
        for operand in map.operands_mut() {
            operand.single = extents(&self.whole[operand.of]) == [1; 3] && extents(&self.whole[output]) != [1; 3];
            operand.views = self.views(operand, output)?;
        }
        Ok(map)
    }

    /// The views that lead from a place in the region of a map's output to that in the region of an operand.
    fn views(&self, operand: &Operand, output: usize) -> Result<Vec<View>> {
        let (to, from) = (self.region(output)?, self.region(operand.value)?);
        // Places at hand are `first` less than those of the whole, of which there are `count`.
        let (mut first, mut count) = match operand.single {
            true => (vec![0; to.begin.len()], vec![1; to.begin.len()]),
            false => (to.begin.iter().map(|&at| at as i64).collect::<Vec<_>>(), to.shape[2..].to_vec()),
        };
        let mut views = Vec::new();
        let mut push = |view: View| {
            if !matches!(&view, View::Crop(begin) if begin.iter().all(|&at| at == 0)) {
                views.push(view);
            }
        };
        for view in &operand.views {
            match view {
                View::Crop(begin) => first.iter_mut().zip(begin).for_each(|(first, begin)| *first += begin),
                View::Nearest(_) | View::Shuffle(..) => {
                    let factor = |axis: usize| match view {
                        View::Nearest(factors) => factors[axis],
                        View::Shuffle(factor, _) => *factor,
                        View::Crop(_) | View::Pad(..) => 1,
                    };
                    // What is left of a factor stays with the places at hand.
                    let rest = |(axis, first): (usize, &i64)| first.rem_euclid(factor(axis) as i64);
                    let rests: Vec<i64> = first.iter().enumerate().map(rest).collect();
                    for (axis, rest) in rests.iter().enumerate() {
                        first[axis] = first[axis].div_euclid(factor(axis) as i64);
                        count[axis] = (*rest as usize + count[axis]).div_ceil(factor(axis));
                    }
                    push(View::Crop(rests));
                    push(view.clone());
                }
                View::Pad(begin, _, of) => {
                    let inside = |axis: usize| {
                        let first = first[axis] - begin[axis] as i64;
                        first >= 0 && first + count[axis] as i64 <= self.whole[*of][axis + 2] as i64
                    };
                    if (0..first.len()).all(inside) {
                        first.iter_mut().zip(begin).for_each(|(first, &begin)| *first -= begin as i64);
                    } else {
                        push(View::Crop(std::mem::replace(&mut first, vec![0; begin.len()])));
                        push(view.clone());
                        count = self.whole[*of][2..].to_vec();
                    }
                }
            }
        }
        push(View::Crop(first.iter().zip(&from.begin).map(|(first, &begin)| first - begin as i64).collect()));
        Ok(views)
    }
}

/// `[d, h, w]` of a tensor `[batch, channels, …]`: axes that it has not are the first ones, of extent 1.
pub(crate) fn extents(shape: &[usize]) -> [usize; 3] {
    let (mut extents, axes) = ([1; 3], &shape[2..]);
    extents[3 - axes.len()..].copy_from_slice(axes);
    extents
}
