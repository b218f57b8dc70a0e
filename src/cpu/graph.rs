//! A graph on the CPU.

use super::layer::{Layer, to_f32};
use super::map::{Elements, Rows};
use super::memory::{filled, product};
use super::simd::{Instructions, Level};
use super::{mean, threads};
use crate::error::{Error, Result};
use crate::graph::action::{self, Action};
use crate::graph::part::Part;
use crate::graph::program::{Map, Program, Work};
use crate::graph::schedule::{Place, Schedule, Sharing, Slot, Task};
use crate::graph::{self, Region, Value};
use crate::op::ConvTranspose;
use crate::tensor::{Bias, DType, Data, Tensor, TensorView};
use half::f16;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A [graph](graph::Graph) with its weights packed for the CPU. Cheap to clone; usable from many threads.
///
/// ```
/// use upconv::{ConvTranspose, Tensor, cpu, graph};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder().kernel([2]).stride([2]).build()?;
/// let weight = Tensor::f32(op.weight_shape(), [1.0, 10.0])?;
/// let graph = graph::Graph::of_layers(&[(op, weight, None)])?;
/// let y = cpu::Graph::new(&graph)?.run(&[Tensor::f32([1, 1, 2], [3.0, 5.0])?])?;
/// assert_eq!(y[0].to_f32(), [3.0, 30.0, 5.0, 50.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Graph {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    graph: graph::Graph,
    program: Program,
    instructions: Instructions,
    /// For each step that is one.
    layers: Vec<Option<Layer>>,
    last: Mutex<Option<Last>>,
    /// The buffers between the inputs and the outputs: as many sets as there were ever runs at the same time.
    free: Mutex<Vec<Vec<Vec<f32>>>>,
}

/// What was prepared for the last run, with the shapes that it is for.
#[derive(Debug)]
struct Last {
    shapes: Vec<Vec<usize>>,
    planned: Arc<Planned>,
}

/// A graph, or a part of one, planned for some shapes. Cheap to clone; usable from many threads.
#[derive(Clone, Debug)]
pub struct PreparedGraph {
    graph: Graph,
    planned: Arc<Planned>,
}

#[derive(Debug)]
struct Planned {
    part: Part,
    schedule: Schedule,
}

/// The buffers of a run.
struct Buffers<'a> {
    inputs: Vec<Cow<'a, [f32]>>,
    outputs: Vec<Vec<f32>>,
    between: Vec<Vec<f32>>,
}

impl Graph {
    /// Packs the weights of all layers.
    ///
    /// # Errors
    /// What [`Layer::new`] refuses.
    pub fn new(graph: &graph::Graph) -> Result<Self> {
        Self::with_level(graph, Level::best())
    }

    /// As [`Graph::new`], for given vector instructions.
    ///
    /// # Errors
    /// As [`Graph::new`].
    pub fn with_level(graph: &graph::Graph, level: Level) -> Result<Self> {
        let program = Program::new(graph, false)?;
        let level = if level.is_available() { level } else { Level::Scalar };
        let layer = |work: &Work| match work {
            Work::Layer { layer, .. } => {
                let bias = Bias::from(layer.bias.as_deref());
                Layer::with_level(&layer.op, &*layer.weight, bias, level).map(Some)
            }
            _ => Ok(None),
        };
        let layers = program.steps.iter().map(|step| layer(&step.work)).collect::<Result<_>>()?;
        let (graph, last, free) = (graph.clone(), Mutex::default(), Mutex::default());
        Ok(Self { inner: Arc::new(Inner { graph, program, instructions: level.instructions(), layers, last, free }) })
    }

    /// The graph.
    pub fn graph(&self) -> &graph::Graph {
        &self.inner.graph
    }

    /// The bytes of what stands between inputs of these shapes and the outputs.
    ///
    /// # Errors
    /// Those of [`graph::Graph::shapes`].
    pub fn between_bytes<S: AsRef<[usize]>>(&self, inputs: &[S]) -> Result<u64> {
        Ok(self.prepare(inputs)?.between_bytes())
    }

    /// Plans the graph for these shapes of its inputs; what was prepared last is kept.
    ///
    /// # Errors
    /// Those of [`graph::Graph::shapes`].
    pub fn prepare<S: AsRef<[usize]>>(&self, inputs: &[S]) -> Result<PreparedGraph> {
        let mut last = self.inner.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Last { shapes, planned }) = &*last
            && shapes.iter().eq(inputs.iter().map(AsRef::as_ref))
        {
            return Ok(PreparedGraph { graph: self.clone(), planned: planned.clone() });
        }
        let whole = Arc::new(self.graph().shapes(inputs)?);
        let prepared = self.planned(Part::whole(self.graph(), whole))?;
        let shapes = inputs.iter().map(|shape| shape.as_ref().to_vec()).collect();
        *last = Some(Last { shapes, planned: prepared.planned.clone() });
        Ok(prepared)
    }

    /// Plans what some regions of values need, where the whole graph's inputs have these shapes and the `given` values are
    /// inputs beside them. What is computed has the same bits in each part: in a picture in tiles, and in the whole.
    ///
    /// The values that can be given or wanted are those that [`steps`](Self::steps) computes.
    ///
    /// # Errors
    /// [`Error::Graph`] for ranges beyond a value, and for a value that cannot be wanted; those of
    /// [`graph::Graph::shapes`].
    pub fn prepare_part<S: AsRef<[usize]>>(
        &self,
        inputs: &[S],
        given: &[Value],
        wanted: &[(Value, Vec<Range<usize>>)],
    ) -> Result<PreparedGraph> {
        let whole = Arc::new(self.graph().shapes(inputs)?);
        self.planned(Part::new(self.graph(), &self.inner.program, whole, given, wanted)?)
    }

    /// The values that are computed by themselves, in their order; the others are parts of what a layer or a map does.
    pub fn steps(&self) -> impl Iterator<Item = Value> {
        self.inner.program.steps.iter().map(|step| Value(step.output))
    }

    fn planned(&self, part: Part) -> Result<PreparedGraph> {
        let sharing = Sharing { alignment: 1, whole_transforms: false };
        let schedule = Schedule::new(&self.inner.graph, &self.inner.program, &part, sharing)?;
        Ok(PreparedGraph { graph: self.clone(), planned: Arc::new(Planned { part, schedule }) })
    }

    /// Computes the outputs, on rayon's current pool, in f32.
    ///
    /// The outputs have the first input's element type, except that bf16 gives f32.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`PreparedGraph::run`].
    pub fn run<'a, T>(&self, inputs: &'a [T]) -> Result<Vec<Tensor>>
    where
        &'a T: Into<TensorView<'a>>,
    {
        let inputs: Vec<TensorView<'a>> = inputs.iter().map(Into::into).collect();
        self.prepare(&inputs.iter().map(TensorView::shape).collect::<Vec<_>>())?.run_views(&inputs)
    }
}

impl PreparedGraph {
    /// What is read: for a whole graph its inputs, for a [part](Graph::prepare_part) the regions that it needs.
    pub fn inputs(&self) -> impl Iterator<Item = &Region> {
        let part = &self.planned.part;
        part.inputs.iter().filter_map(|&input| part.region(input).ok())
    }

    /// What is written, in the order in which it was wanted: for a part, regions that have at least what was wanted.
    pub fn outputs(&self) -> impl Iterator<Item = &Region> {
        let part = &self.planned.part;
        part.outputs.iter().filter_map(|&output| part.region(output).ok())
    }

    /// The bytes that it needs between its inputs and its outputs.
    pub fn between_bytes(&self) -> u64 {
        self.planned.schedule.slots.iter().map(|&elements| 4 * elements as u64).sum()
    }

    /// Computes the outputs, on rayon's current pool, in f32.
    ///
    /// The outputs have the first input's element type, except that bf16 gives f32.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for another number of inputs, [`Error::Shape`] for other shapes, [`Error::DType`] for an input
    /// of f64; [`Error::Memory`] and [`Error::Threads`].
    pub fn run<'a, T>(&self, inputs: &'a [T]) -> Result<Vec<Tensor>>
    where
        &'a T: Into<TensorView<'a>>,
    {
        self.run_views(&inputs.iter().map(Into::into).collect::<Vec<_>>())
    }

    fn run_views(&self, inputs: &[TensorView<'_>]) -> Result<Vec<Tensor>> {
        let Planned { part, schedule } = &*self.planned;
        if inputs.len() != part.inputs.len() {
            let (what, given) = ("inputs".into(), inputs.len() as i128);
            return Err(Error::OutOfRange { what, given, expected: part.inputs.len().to_string() });
        }
        for (input, &value) in inputs.iter().zip(&part.inputs) {
            if input.shape() != part.shape(value) {
                let expected = format!("{:?}, for which the graph was prepared", part.shape(value));
                return Err(Error::Shape { what: "input", given: input.shape().to_vec(), expected });
            }
        }
        if let Some(input) = inputs.iter().find(|input| input.dtype() == DType::F64) {
            let (what, expected) = ("input", "float32, float16 or bfloat16: a graph is computed in float32");
            return Err(Error::DType { what, given: input.dtype(), expected });
        }
        threads::ensure()?;
        let half = inputs.first().is_some_and(|input| input.dtype() == DType::F16);
        let mut buffers = Buffers {
            inputs: inputs.iter().map(|&input| to_f32("the input", input)).collect::<std::result::Result<_, _>>()?,
            outputs: Vec::new(),
            between: self.take(schedule)?,
        };
        for &output in &part.outputs {
            buffers.outputs.push(filled("the output", 0.0, product(part.shape(output).iter().copied()))?);
        }
        schedule.tasks.iter().try_for_each(|task| self.act(task, &mut buffers))?;
        let Buffers { outputs, between, .. } = buffers;
        self.graph.inner.free.lock().unwrap_or_else(PoisonError::into_inner).push(between);
        let tensor = |(&value, elements): (&usize, Vec<f32>)| {
            let data = match half {
                true => Data::F16(elements.into_iter().map(f16::from_f32).collect()),
                false => Data::F32(elements),
            };
            Tensor::new(part.shape(value), data)
        };
        part.outputs.iter().zip(outputs).map(tensor).collect()
    }

    /// Buffers for a schedule: those of an earlier run where they are as many.
    fn take(&self, schedule: &Schedule) -> Result<Vec<Vec<f32>>> {
        let free = &self.graph.inner.free;
        let mut between = free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        between.resize_with(schedule.slots.len(), Vec::new);
        for (buffer, &len) in between.iter_mut().zip(&schedule.slots) {
            super::memory::grow(buffer, len)?;
        }
        Ok(between)
    }

    fn act(&self, Task { action, place }: &Task, buffers: &mut Buffers<'_>) -> Result<()> {
        let (schedule, Inner { layers, instructions, .. }) = (&self.planned.schedule, &*self.graph.inner);
        match action {
            Action::Layer { step, op, input, output, .. } => match &layers[*step] {
                Some(layer) => run_layer(schedule, layer, op, (*input, *output), *place, buffers),
                None => Ok(()),
            },
            Action::Map { map, shape, .. } => run_map(schedule, map, shape, *place, buffers),
            Action::BlockSums { of, output, begin } => {
                let (shape, blocks) = (schedule.shape(*of), schedule.shape(*output));
                each_item(schedule, (*of, *output), *place, buffers, |values, sums| {
                    mean::block_sums(values, (shape, *begin), sums, blocks, *instructions);
                })
            }
            Action::Mean { sums, output, elements } => {
                each_item(schedule, (*sums, *output), *place, buffers, |sums, means| {
                    mean::means(sums, *elements, means);
                })
            }
            Action::Nothing => Ok(()),
        }
    }
}

impl Buffers<'_> {
    /// A buffer, to be written while others are read.
    fn take(&mut self, slot: Slot) -> Vec<f32> {
        match slot {
            Slot::Input(_) => Vec::new(),
            Slot::Output(number) => std::mem::take(&mut self.outputs[number]),
            Slot::Between(number) => std::mem::take(&mut self.between[number]),
        }
    }

    fn put(&mut self, slot: Slot, buffer: Vec<f32>) {
        match slot {
            Slot::Input(_) => {}
            Slot::Output(number) => self.outputs[number] = buffer,
            Slot::Between(number) => self.between[number] = buffer,
        }
    }

    fn slot(&self, slot: Slot) -> &[f32] {
        match slot {
            Slot::Input(number) => &self.inputs[number],
            Slot::Output(number) => &self.outputs[number],
            Slot::Between(number) => &self.between[number],
        }
    }

    /// The elements of a value from those of an item on.
    fn item(&self, schedule: &Schedule, value: usize, number: usize) -> &[f32] {
        let Some(place) = schedule.place(value) else { return &[] };
        let plane = product(schedule.shape(value)[2..].iter().copied());
        &self.slot(place.slot)[(number * place.of + place.first) * plane..]
    }
}

/// The elements of each item of a value in its buffer.
fn items<'a>(buffer: &'a mut [f32], place: Place, shape: &[usize]) -> impl Iterator<Item = &'a mut [f32]> {
    let plane = product(shape[2..].iter().copied());
    let (all, first, count) = (place.of * plane, place.first * plane, shape[1] * plane);
    buffer.chunks_exact_mut(all.max(1)).take(shape[0]).map(move |item| &mut item[first..first + count])
}

fn run_layer(
    schedule: &Schedule,
    layer: &Layer,
    op: &ConvTranspose,
    (input, output): (usize, usize),
    place: Place,
    buffers: &mut Buffers<'_>,
) -> Result<()> {
    let (from, Some(read)) = (schedule.shape(input), schedule.place(input)) else { return Ok(()) };
    let to = schedule.shape(output);
    let (read_plane, plane) = (product(from[2..].iter().copied()), product(to[2..].iter().copied()));
    let mut result = buffers.take(place.slot);
    if read.slot != place.slot && read.of == from[1] && place.of == to[1] {
        let x = &buffers.slot(read.slot)[..product(from.iter().copied())];
        layer.run_padded(op, from, x, &mut result[..product(to.iter().copied())])?;
        buffers.put(place.slot, result);
        return Ok(());
    }
    // Some channels of larger tensors: item by item, each of which lies together.
    let one: Vec<usize> = std::iter::once(1).chain(from[1..].iter().copied()).collect();
    let count = from[1] * read_plane;
    for number in 0..to[0] {
        let written = number * place.of * plane + place.first * plane;
        let (y, x) = if read.slot == place.slot {
            // Other channels of the same tensor, before or behind those that are written.
            let at = number * read.of * read_plane + read.first * read_plane;
            let (before, rest) = result.split_at_mut(written);
            let (y, behind) = rest.split_at_mut(to[1] * plane);
            let x = if at < written { &before[at..at + count] } else { &behind[at - written - y.len()..][..count] };
            (y, x)
        } else {
            (&mut result[written..written + to[1] * plane], &buffers.item(schedule, input, number)[..count])
        };
        layer.run_padded(op, &one, x, y)?;
    }
    buffers.put(place.slot, result);
    Ok(())
}

fn run_map(schedule: &Schedule, map: &Map, shape: &[usize], place: Place, buffers: &mut Buffers<'_>) -> Result<()> {
    let target = extents(shape);
    let mut result = buffers.take(place.slot);
    for (number, result) in items(&mut result, place, shape).enumerate() {
        let elements = |value: usize| {
            let extents = extents(schedule.shape(value));
            let values = buffers.item(schedule, value, number).get(..product(extents)).unwrap_or_default();
            Elements { values, extents }
        };
        let whole = |value: usize| action::extents(&schedule.whole[value]);
        Rows::new(map, target, whole, elements)?.run(&mut result[..product(target)])?;
    }
    buffers.put(place.slot, result);
    Ok(())
}

/// Gives the elements of each item of a value, and where those of another go, to `compute`.
fn each_item(
    schedule: &Schedule,
    (input, output): (usize, usize),
    place: Place,
    buffers: &mut Buffers<'_>,
    compute: impl Fn(&[f32], &mut [f32]),
) -> Result<()> {
    let count = product(schedule.shape(input)[1..].iter().copied());
    let mut result = buffers.take(place.slot);
    for (number, result) in items(&mut result, place, schedule.shape(output)).enumerate() {
        compute(&buffers.item(schedule, input, number)[..count], result);
    }
    buffers.put(place.slot, result);
    Ok(())
}

/// `[channels, d, h, w]`
fn extents(shape: &[usize]) -> [usize; 4] {
    let [d, h, w] = action::extents(shape);
    [shape[1], d, h, w]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

    /// What is kept for the next run does not hold the graph.
    #[test]
    fn a_graph_is_dropped_with_its_last_handle() {
        let mut described = graph::Graph::new(1).unwrap();
        let x = described.input(1).unwrap();
        let y = described.activation(x, Activation::Relu).unwrap();
        described.output(y).unwrap();
        let graph = Graph::new(&described).unwrap();
        let prepared = graph.prepare(&[[1, 1, 2]]).unwrap();
        assert_eq!(graph.run(&[Tensor::f32([1, 1, 2], [-1.0, 2.0]).unwrap()]).unwrap()[0].to_f32(), [0.0, 2.0]);
        let inner = Arc::downgrade(&graph.inner);
        drop((graph, prepared));
        assert!(inner.upgrade().is_none());
    }
}
