//! Where each value of a graph lies, for a part of it, and in which order the work is done.
//!
//! What is concatenated is written into its place by whatever computes it, where that is possible; then a concatenation is
//! no work at all, and neither is one of values that lie side by side in a larger one already. Buffers whose values nothing
//! reads any more are used again.

use super::Graph;
use super::action::{Action, Kind};
use super::operation::Operation;
use super::part::Part;
use super::program::{Program, Step, Work, may_transform};
use crate::error::Result;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a backend allows of steps that read and write the same buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sharing {
    /// A layer may read some channels of a buffer and write others where a channel begins at a multiple of so many elements.
    pub(crate) alignment: usize,
    /// Whether layers that Winograd's transforms may compute read and write whole tensors only.
    pub(crate) whole_transforms: bool,
}

/// The buffers and the tasks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schedule {
    /// Of what is computed, or given.
    pub(crate) shapes: Vec<Vec<usize>>,
    /// Of the values as a whole, within which a pad looks.
    pub(crate) whole: Arc<Vec<Vec<usize>>>,
    /// The values that are given, and those that are wanted.
    pub(crate) inputs: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
    pub(crate) tasks: Vec<Task>,
    /// The elements of each buffer between the inputs and the outputs.
    pub(crate) slots: Vec<usize>,
    places: Vec<Option<Place>>,
}

/// What is done, and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) action: Action,
    pub(crate) place: Place,
}

/// Some channels of a tensor in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: Slot,
    pub(crate) first: usize,
    pub(crate) of: usize,
}

/// A buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Slot {
    Input(usize),
    Output(usize),
    Between(usize),
}

impl Schedule {
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for pads beyond all bounds.
    pub(crate) fn new(graph: &Graph, program: &Program, part: &Part, sharing: Sharing) -> Result<Self> {
        let within = Within::new(graph, program, part, sharing);
        let mut buffers = BTreeMap::new();
        for (number, &input) in part.inputs.iter().enumerate() {
            buffers.insert(input, Slot::Input(number));
        }
        for (number, &output) in part.outputs.iter().enumerate() {
            let (root, _) = within.root(output);
            if root == output && !within.is_alias(root) {
                buffers.entry(root).or_insert(Slot::Output(number));
            }
        }
        // What is done, and the value in whose buffer, from which channel on.
        let mut work: Vec<(Kind, usize, usize, bool)> = Vec::new();
        for (index, step) in steps(program, part) {
            let (root, first) = within.root(step.output);
            match &step.work {
                Work::Concatenate(values) => {
                    let mut at = first;
                    for &value in values {
                        if within.root(value) != (root, at) {
                            work.push((Kind::Copy(value, step.output), root, at, false));
                        }
                        at += graph.nodes[value].channels;
                    }
                }
                Work::Layer { residual: Some(residual), .. } if !part.alike(*residual, step.output) => {
                    work.push((Kind::Copy(*residual, step.output), root, first, false));
                    work.push((Kind::Step(index), root, first, true));
                }
                _ => work.push((Kind::Step(index), root, first, false)),
            }
        }
        let touched: Vec<(Vec<usize>, usize)> = work
            .iter()
            .map(|&(kind, root, _, adds)| {
                let reads = match kind {
                    Kind::Copy(value, _) => vec![value],
                    Kind::Step(step) if adds => program.steps[step].reads()[..1].to_vec(),
                    Kind::Step(step) => program.steps[step].reads(),
                };
                (reads.into_iter().map(|value| within.root(value).0).collect(), root)
            })
            .collect();
        let kept: Vec<usize> = part.outputs.iter().map(|&output| within.root(output).0).collect();
        let (slots, buffers) = assign(part, &touched, &kept, buffers);
        let place = |root: usize, first: usize| {
            let of = graph.nodes[root].channels;
            buffers.get(&root).map(|&slot| Place { slot, first, of })
        };
        let mut tasks = Vec::with_capacity(work.len());
        for &(kind, root, first, adds) in &work {
            if let Some(place) = place(root, first) {
                tasks.push(Task { action: part.action(program, kind, adds)?, place });
            }
        }
        let places: Vec<Option<Place>> = (0..graph.nodes.len())
            .map(|value| {
                let (root, first) = within.root(value);
                place(root, first)
            })
            .collect();
        for (number, &output) in part.outputs.iter().enumerate() {
            let whole = Place { slot: Slot::Output(number), first: 0, of: graph.nodes[output].channels };
            if places[output] != Some(whole) {
                let action = part.action(program, Kind::Copy(output, output), false)?;
                tasks.push(Task { action, place: whole });
            }
        }
        let shapes = (0..graph.nodes.len()).map(|value| part.shape(value).to_vec()).collect();
        let (whole, inputs, outputs) = (part.whole.clone(), part.inputs.clone(), part.outputs.clone());
        Ok(Self { shapes, whole, inputs, outputs, tasks, slots, places })
    }

    /// The shape of what is computed of a value.
    pub(crate) fn shape(&self, value: usize) -> &[usize] {
        &self.shapes[value]
    }

    /// Where a value lies; `None` for one that is not computed.
    pub(crate) fn place(&self, value: usize) -> Option<Place> {
        self.places[value]
    }
}

/// Which values lie within others.
struct Within<'a> {
    graph: &'a Graph,
    part: &'a Part,
    sharing: Sharing,
    /// The value that another is a part of, and its first channel there.
    parents: Vec<Option<(usize, usize)>>,
}

impl<'a> Within<'a> {
    fn new(graph: &'a Graph, program: &Program, part: &'a Part, sharing: Sharing) -> Self {
        let mut within = Self { graph, part, sharing, parents: vec![None; graph.nodes.len()] };
        for (index, node) in graph.nodes.iter().enumerate() {
            if let (Operation::Channels(range), false) = (&node.operation, part.inputs.contains(&index)) {
                within.parents[index] = Some((node.inputs[0].0, range.start));
            }
        }
        let written: BTreeMap<usize, usize> = steps(program, part).map(|(index, step)| (step.output, index)).collect();
        // The last ones first: they have most of what the others have too.
        for (_, step) in steps(program, part).rev() {
            let Work::Concatenate(values) = &step.work else { continue };
            let whole = step.output;
            if let Some(larger) = within.larger(program, whole, values) {
                within.parents[whole] = Some(larger);
                continue;
            }
            let mut at = 0;
            for &value in values {
                let free = within.parents[value].is_none() && written.contains_key(&value);
                if free && part.alike(value, whole) && !part.outputs.contains(&value) {
                    within.parents[value] = Some((whole, at));
                }
                at += graph.nodes[value].channels;
            }
        }
        while let Some(value) = within.conflict(program) {
            within.parents[value] = None;
        }
        within
    }

    /// The buffer's value, and the first channel there.
    fn root(&self, value: usize) -> (usize, usize) {
        let (mut root, mut first) = (value, 0);
        while let Some((parent, at)) = self.parents[root] {
            (root, first) = (parent, first + at);
        }
        (root, first)
    }

    fn is_alias(&self, value: usize) -> bool {
        self.part.inputs.contains(&value) || matches!(self.graph.nodes[value].operation, Operation::Channels(_))
    }

    /// A concatenation in which all of these lie side by side already, and where.
    fn larger(&self, program: &Program, whole: usize, values: &[usize]) -> Option<(usize, usize)> {
        if self.part.outputs.contains(&whole) {
            return None;
        }
        steps(program, self.part).rev().find_map(|(_, step)| {
            let fits = step.output > whole && self.part.alike(step.output, whole);
            let (Work::Concatenate(others), true) = (&step.work, fits) else { return None };
            let at = others.windows(values.len()).position(|window| window == values)?;
            let first = others[..at].iter().map(|&value| self.graph.nodes[value].channels).sum();
            self.lie_at(step.output, first, values).then_some((step.output, first))
        })
    }

    /// Whether these lie side by side in a value, from this channel on.
    fn lie_at(&self, whole: usize, first: usize, values: &[usize]) -> bool {
        let mut at = first;
        values.iter().all(|&value| {
            let here = self.parents[value] == Some((whole, at));
            at += self.graph.nodes[value].channels;
            here
        })
    }

    /// A value that cannot stay where it is.
    fn conflict(&self, program: &Program) -> Option<usize> {
        steps(program, self.part).find_map(|(_, step)| self.conflict_of(step))
    }

    fn conflict_of(&self, step: &Step) -> Option<usize> {
        let output = step.output;
        if let Work::Concatenate(values) = &step.work {
            // What is in the same buffer, but elsewhere, cannot be copied from there.
            let (root, mut at) = self.root(output);
            for &value in values {
                let there = self.root(value);
                if there.0 == root && there.1 != at {
                    return Some(self.computed(value));
                }
                at += self.graph.nodes[value].channels;
            }
        }
        if let (Work::Layer { layer, input, .. }, true) = (&step.work, self.sharing.whole_transforms)
            && may_transform(&layer.op)
        {
            // Whether the transforms compute it must not depend on what lies where.
            let read = self.computed(*input);
            if let Some(value) = [read, output].into_iter().find(|&value| self.parents[value].is_some()) {
                return Some(value);
            }
        }
        let (parent, first) = self.parents[output]?;
        if let Work::Concatenate(values) = &step.work {
            // It is a part of a larger one only as long as all that it consists of are.
            let nested = values.iter().all(|&value| self.parents[value].is_none_or(|(whole, _)| whole == output));
            let moved = !self.lie_at(parent, first, values) && !nested;
            return moved.then_some(output);
        }
        let root = self.root(output).0;
        let reads = step.reads();
        let shares = reads.iter().any(|&read| self.root(read).0 == root);
        let plane: usize = self.part.shape(output)[2..].iter().product();
        let adds = match &step.work {
            Work::Layer { residual, .. } => residual.is_some_and(|residual| !self.part.alike(residual, output)),
            _ => true,
        };
        let may = !adds && plane.is_multiple_of(self.sharing.alignment);
        (shares && !may).then_some(output)
    }

    /// The value that some channels are of.
    fn computed(&self, mut value: usize) -> usize {
        while let (Operation::Channels(_), Some((of, _))) = (&self.graph.nodes[value].operation, self.parents[value]) {
            value = of;
        }
        value
    }
}

/// The steps of a part, with their numbers.
fn steps<'a>(program: &'a Program, part: &'a Part) -> impl DoubleEndedIterator<Item = (usize, &'a Step)> {
    let computed = |step: &Step| part.has(step.output) && !part.inputs.contains(&step.output);
    program.steps.iter().enumerate().filter(move |(_, step)| computed(step))
}

/// Gives each value that has a buffer of its own one of those between, which several use one after another. `touched` has
/// the values that each task reads and writes, `kept` those that stay to the end.
fn assign(
    part: &Part,
    touched: &[(Vec<usize>, usize)],
    kept: &[usize],
    mut buffers: BTreeMap<usize, Slot>,
) -> (Vec<usize>, BTreeMap<usize, Slot>) {
    // The first and the last task that touches a buffer.
    let mut spans: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for (at, (reads, root)) in touched.iter().enumerate() {
        for &touched in reads.iter().chain([root]) {
            spans.entry(touched).or_insert((at, at)).1 = at;
        }
    }
    // What an output copies at the end stays.
    for kept in kept {
        if let Some(span) = spans.get_mut(kept) {
            span.1 = touched.len();
        }
    }
    let (mut slots, mut free): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for at in 0..touched.len() {
        for (&root, _) in spans.iter().filter(|(_, span)| span.0 == at) {
            if buffers.contains_key(&root) {
                continue;
            }
            let needed: usize = part.shape(root).iter().product();
            // The smallest that suffices; else the largest, which grows.
            let fits = |&slot: &usize| (slots[slot] < needed, slots[slot].abs_diff(needed));
            let slot = match free.iter().copied().min_by_key(fits) {
                Some(slot) => {
                    free.retain(|&other| other != slot);
                    slot
                }
                None => {
                    slots.push(0);
                    slots.len() - 1
                }
            };
            slots[slot] = slots[slot].max(needed);
            buffers.insert(root, Slot::Between(slot));
        }
        for (root, _) in spans.iter().filter(|(_, span)| span.1 == at) {
            if let Some(Slot::Between(slot)) = buffers.get(root) {
                free.push(*slot);
            }
        }
    }
    (slots, buffers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::graph::Value;
    use crate::op::ConvTranspose;
    use crate::tensor::Tensor;

    fn layer(graph: &mut Graph, x: Value, outputs: usize) -> Value {
        let inputs = graph.node(x).channels();
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([3, 3]).padding([1, 1]);
        let op = op.build().unwrap();
        let weight = Tensor::f32(op.weight_shape(), vec![1.0; inputs * outputs * 9]).unwrap();
        graph.layer(x, &op, weight, None).unwrap()
    }

    fn scheduled(graph: &Graph, side: usize, residuals: bool) -> (Program, Schedule) {
        let program = Program::new(graph, residuals).unwrap();
        let channels = graph.node(graph.inputs()[0]).channels();
        let whole = Arc::new(graph.shapes(&[[1, channels, side, side]]).unwrap());
        let sharing = Sharing { alignment: 64, whole_transforms: false };
        let schedule = Schedule::new(graph, &program, &Part::whole(graph, whole), sharing).unwrap();
        (program, schedule)
    }

    fn copies(schedule: &Schedule) -> usize {
        schedule.tasks.iter().filter(|task| matches!(task.action, Action::Map { .. })).count()
    }

    /// A residual block: two tasks, because the second layer adds and activates itself.
    #[test]
    fn a_layer_takes_over_what_follows_it() {
        let mut graph = Graph::new(2).unwrap();
        let x = graph.input(4).unwrap();
        let y = layer(&mut graph, x, 4);
        let y = graph.activation(y, Activation::Relu).unwrap();
        let y = layer(&mut graph, y, 4);
        let y = graph.affine(y, 0.5, 0.0).unwrap();
        let y = graph.add(y, x).unwrap();
        let y = graph.activation(y, Activation::Relu).unwrap();
        graph.output(y).unwrap();
        let (program, schedule) = scheduled(&graph, 8, true);
        let [first, second] = &program.steps[..] else { panic!("{program:?}") };
        let (Work::Layer { layer: a, residual: None, .. }, Work::Layer { layer: b, residual: Some(0), .. }) =
            (&first.work, &second.work)
        else {
            panic!("{program:?}")
        };
        assert_eq!([a.op.activation(), b.op.activation()], [&Activation::Relu; 2]);
        assert_eq!((a.weight.to_f32()[0], b.weight.to_f32()[0]), (1.0, 0.5));
        assert_eq!((schedule.tasks.len(), schedule.slots.len()), (2, 1));
        // A backend that adds no residuals has a map for it.
        let (program, _) = scheduled(&graph, 8, false);
        assert!(matches!(&program.steps[2].work, Work::Map(map) if map.terms.len() == 2), "{program:?}");
    }

    /// A dense block: each layer reads all before it, and nothing is copied but what comes from outside, where channels begin
    /// at multiples of the alignment.
    #[test]
    fn what_is_concatenated_is_written_into_its_place() {
        let mut graph = Graph::new(2).unwrap();
        let x = graph.input(4).unwrap();
        let mut all = vec![layer(&mut graph, x, 4)];
        for _ in 0..3 {
            let whole = graph.concatenate(&all).unwrap();
            all.push(layer(&mut graph, whole, 2));
        }
        let whole = graph.concatenate(&all).unwrap();
        let last = layer(&mut graph, whole, 4);
        graph.output(last).unwrap();
        let (_, schedule) = scheduled(&graph, 8, true);
        assert_eq!((copies(&schedule), schedule.slots.len()), (0, 1));
        assert_eq!(schedule.slots, [10 * 64]);
        let place = |value: Value| schedule.place(value.index()).unwrap();
        assert_eq!((place(all[2]).first, place(all[2]).of), (6, 10));
        // 7·7 elements are no multiple of the alignment.
        assert!(copies(&scheduled(&graph, 7, true).1) > 0);
    }

    /// Ten layers in a row take two buffers in turn.
    #[test]
    fn buffers_are_used_again() {
        let mut graph = Graph::new(2).unwrap();
        let mut x = graph.input(3).unwrap();
        for _ in 0..10 {
            x = layer(&mut graph, x, 5);
        }
        graph.output(x).unwrap();
        let (_, schedule) = scheduled(&graph, 8, true);
        assert_eq!(schedule.slots, [5 * 64; 2]);
    }

    /// Views cost nothing where a map reads through them, and nodes that no output needs nothing at all.
    #[test]
    fn a_map_reads_through_views() {
        let mut graph = Graph::new(2).unwrap();
        let x = graph.input(4).unwrap();
        let small = graph.crop(x, &[[1, 1]; 2]).unwrap();
        let unused = layer(&mut graph, small, 7);
        let large = graph.nearest(small, &[2, 2]).unwrap();
        let shuffled = graph.pixel_shuffle(x, 2).unwrap();
        let shuffled = graph.crop(shuffled, &[[2, 2]; 2]).unwrap();
        let one = graph.channels(large, 1..2).unwrap();
        let sum = graph.add(one, shuffled).unwrap();
        graph.output(sum).unwrap();
        let (program, _) = scheduled(&graph, 8, true);
        assert!(program.steps.iter().all(|step| step.output != unused.index()));
        // The enlargement is computed, because channels are taken of it; the rest is one map.
        assert_eq!(program.steps.len(), 2, "{program:?}");
        let Work::Map(map) = &program.steps[1].work else { panic!("{program:?}") };
        let views: Vec<usize> = map.operands().map(|operand| operand.views.len()).collect();
        assert_eq!(views, [0, 2]);
    }
}
