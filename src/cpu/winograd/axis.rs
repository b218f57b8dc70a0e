//! What the transforms do along an axis: which phases read the same points, and which planes an output reads.

use crate::cpu::range::{length, q_of, union};
use crate::op::Axis;
use crate::phase::{AxisPhases, Phase};
use crate::winograd::Filter;
use std::ops::Range;

/// Phases that read the same inputs, and so share their points: one or two such groups are all of an axis.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Where their inputs begin, from those of the first group on: 0 or 1.
    pub(super) shift: usize,
    pub(super) phases: Range<usize>,
}

/// The groups of an axis.
pub(super) fn groups(Filter { stride, residue, .. }: Filter) -> Vec<Group> {
    let cut = stride - residue;
    let both = [Group { shift: 0, phases: 0..cut }, Group { shift: 1, phases: cut..stride }];
    both.into_iter().filter(|group| !group.phases.is_empty()).collect()
}

/// The axis that is not transformed: a plane of outputs is a sum over planes of inputs.
#[derive(Clone, Debug)]
pub(super) struct Depth {
    pub(super) phases: Vec<(Phase, Vec<(usize, i64)>)>,
    /// How far before `q` a tap reads at most, and the distance from there to the one that reads farthest behind.
    most: i64,
    pub(super) span: usize,
}

/// The planes that a task reads.
pub(super) struct Planes {
    /// The first `q` with an output, and how many there are.
    pub(super) first: i64,
    pub(super) count: usize,
    /// The first input.
    pub(super) from: i64,
}

impl Depth {
    /// `None` where an output has no tap at all, so that it is nothing but its bias.
    pub(super) fn new(axis: &Axis) -> Option<Self> {
        let table = AxisPhases::new(axis);
        let phases: Vec<_> = table.iter().map(|phase| (phase, table.taps(phase).collect::<Vec<_>>())).collect();
        let offsets = || phases.iter().flat_map(|(_, taps)| taps).map(|&(_, offset)| offset);
        let (least, most) = (offsets().min()?, offsets().max()?);
        (phases.len() == axis.stride).then_some(Self { most, span: (most - least) as usize, phases })
    }

    /// The planes for these outputs.
    pub(super) fn planes(&self, axis: &Axis, outputs: &Range<i64>) -> Planes {
        let q = union(self.phases.iter().map(|(phase, _)| q_of(axis, phase.residue, outputs)));
        Planes { first: q.start, count: length(&q), from: q.start - self.most }
    }

    /// How many planes after the first that its `q` has an input lies that a tap with this offset reads.
    pub(super) fn distance(&self, offset: i64) -> usize {
        (self.most - offset) as usize
    }
}
