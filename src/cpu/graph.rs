//! A graph on the CPU.

use super::layer::{Layer, to_f32};
use super::map::{Elements, Rows};
use super::memory::{filled, product};
use super::simd::{Instructions, Level};
use super::{channel_sums, threads};
use crate::error::{Error, Result};
use crate::graph;
use crate::graph::program::{Map, Operand, Program, Work};
use crate::graph::schedule::{self, Kind, Place, Schedule, Sharing, Slot, Task};
use crate::tensor::{Bias, DType, Data, Tensor, TensorView};
use half::f16;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// A [graph](graph::Graph) with its weights packed for the CPU. Cheap to clone; usable from many threads.
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
    /// The last one.
    scheduled: Mutex<Option<Scheduled>>,
    /// The buffers between the inputs and the outputs: as many sets as there were ever runs at the same time.
    free: Mutex<Vec<Vec<Vec<f32>>>>,
}

/// A schedule with the shapes of the inputs that it is for.
#[derive(Debug)]
struct Scheduled {
    shapes: Vec<Vec<usize>>,
    schedule: Arc<Schedule>,
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
        let (graph, scheduled, free) = (graph.clone(), Mutex::default(), Mutex::default());
        Ok(Self {
            inner: Arc::new(Inner { graph, program, instructions: level.instructions(), layers, scheduled, free }),
        })
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
        let shapes = inputs.iter().map(|shape| shape.as_ref().to_vec()).collect();
        Ok(self.schedule(shapes)?.slots.iter().map(|&elements| 4 * elements as u64).sum())
    }

    /// Computes the outputs, on rayon's current pool, in f32.
    ///
    /// The outputs have the first input's element type, except that bf16 gives f32.
    ///
    /// # Errors
    /// [`Error::DType`] for an input of f64; those of [`graph::Graph::shapes`], [`Error::Memory`], and [`Error::Threads`].
    pub fn run<'a, T>(&self, inputs: &'a [T]) -> Result<Vec<Tensor>>
    where
        &'a T: Into<TensorView<'a>>,
    {
        let inputs: Vec<TensorView<'a>> = inputs.iter().map(Into::into).collect();
        if let Some(input) = inputs.iter().find(|input| input.dtype() == DType::F64) {
            let (what, expected) = ("input", "float32, float16 or bfloat16: a graph is computed in float32");
            return Err(Error::DType { what, given: input.dtype(), expected });
        }
        threads::ensure()?;
        let schedule = self.schedule(inputs.iter().map(|input| input.shape().to_vec()).collect())?;
        let half = inputs.first().is_some_and(|input| input.dtype() == DType::F16);
        let graph = &self.inner.graph;
        let mut buffers = Buffers {
            inputs: inputs.iter().map(|&input| to_f32("the input", input)).collect::<std::result::Result<_, _>>()?,
            outputs: Vec::new(),
            between: self.take(&schedule)?,
        };
        for output in graph.outputs() {
            buffers.outputs.push(filled("the output", 0.0, product(schedule.shapes[output.0].iter().copied()))?);
        }
        schedule.tasks.iter().try_for_each(|task| self.task(&schedule, task, &mut buffers))?;
        let Buffers { outputs, between, .. } = buffers;
        self.inner.free.lock().unwrap_or_else(PoisonError::into_inner).push(between);
        let tensor = |(value, elements): (&graph::Value, Vec<f32>)| {
            let data = match half {
                true => Data::F16(elements.into_iter().map(f16::from_f32).collect()),
                false => Data::F32(elements),
            };
            Tensor::new(schedule.shapes[value.0].clone(), data)
        };
        graph.outputs().iter().zip(outputs).map(tensor).collect()
    }

    /// The schedule; that of the last run where it had the same shapes.
    fn schedule(&self, shapes: Vec<Vec<usize>>) -> Result<Arc<Schedule>> {
        let Inner { graph, program, scheduled, .. } = &*self.inner;
        let mut scheduled = scheduled.lock().unwrap_or_else(PoisonError::into_inner);
        match &*scheduled {
            Some(Scheduled { shapes: of, schedule }) if *of == shapes => Ok(schedule.clone()),
            _ => {
                let schedule = Arc::new(Schedule::new(graph, program, &shapes, Sharing { alignment: 1 })?);
                *scheduled = Some(Scheduled { shapes, schedule: schedule.clone() });
                Ok(schedule)
            }
        }
    }

    /// Buffers for a schedule: those of an earlier run where they are as many.
    fn take(&self, schedule: &Schedule) -> Result<Vec<Vec<f32>>> {
        let mut between = self.inner.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        between.resize_with(schedule.slots.len(), Vec::new);
        for (buffer, &len) in between.iter_mut().zip(&schedule.slots) {
            super::memory::grow(buffer, len)?;
        }
        Ok(between)
    }

    fn task(&self, schedule: &Schedule, task: &Task, buffers: &mut Buffers<'_>) -> Result<()> {
        let Inner { program, layers, instructions, .. } = &*self.inner;
        let copy;
        let (value, map) = match task.kind {
            Kind::Copy(value) => {
                copy = Map { first: Operand { of: value, value, views: Vec::new() }, terms: Vec::new() };
                (value, &copy)
            }
            Kind::Step(step) => match (&program.steps[step].work, &layers[step]) {
                (Work::Layer { input, .. }, Some(layer)) => {
                    let output = program.steps[step].output;
                    return run_layer(schedule, layer, (*input, output), task.place, buffers);
                }
                (Work::Mean(input), _) => return run_mean(schedule, *input, task.place, *instructions, buffers),
                (Work::Map(map), _) => (program.steps[step].output, map),
                (Work::Layer { .. } | Work::Concatenate(_), _) => return Ok(()),
            },
        };
        let extents = |value: usize| extents(&schedule.shapes[value]);
        let mut result = buffers.take(task.place.slot);
        let item = product(extents(value));
        for (number, result) in items(&mut result, task.place, &schedule.shapes[value]).enumerate() {
            let elements = |value: usize| {
                let there = product(extents(value));
                Elements {
                    values: buffers.item(schedule, value, number).get(..there).unwrap_or_default(),
                    extents: extents(value),
                }
            };
            Rows::new(map, extents(value), extents, elements)?.run(&mut result[..item])?;
        }
        buffers.put(task.place.slot, result);
        Ok(())
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
        let plane = product(schedule.shapes[value][2..].iter().copied());
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
    (input, output): (usize, usize),
    place: Place,
    buffers: &mut Buffers<'_>,
) -> Result<()> {
    let (from, Some(read)) = (&schedule.shapes[input], schedule.place(input)) else { return Ok(()) };
    let to = &schedule.shapes[output];
    let (read_plane, plane) = (product(from[2..].iter().copied()), product(to[2..].iter().copied()));
    if read.slot != place.slot && read.of == from[1] && place.of == to[1] {
        let mut result = buffers.take(place.slot);
        let x = &buffers.slot(read.slot)[..product(from.iter().copied())];
        layer.run_into(TensorView::f32(from, x)?, &mut result[..product(to.iter().copied())])?;
        buffers.put(place.slot, result);
        return Ok(());
    }
    // Some channels of larger tensors: item by item, each of which lies together.
    let one = |shape: &[usize]| std::iter::once(1).chain(shape[1..].iter().copied()).collect::<Vec<_>>();
    let (one_from, count) = (one(from), from[1] * read_plane);
    let mut result = buffers.take(place.slot);
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
        layer.run_into(TensorView::f32(&one_from, x)?, y)?;
    }
    buffers.put(place.slot, result);
    Ok(())
}

fn run_mean(
    schedule: &Schedule,
    input: usize,
    place: Place,
    instructions: Instructions,
    buffers: &mut Buffers<'_>,
) -> Result<()> {
    let shape = &schedule.shapes[input];
    let plane = product(shape[2..].iter().copied());
    let mut result = buffers.take(place.slot);
    let means = [&shape[..2], &vec![1; shape.len() - 2][..]].concat();
    for (number, result) in items(&mut result, place, &means).enumerate() {
        let values = &buffers.item(schedule, input, number)[..shape[1] * plane];
        let sums = channel_sums::channel_sums(values, shape[1], plane, instructions)?;
        result.iter_mut().zip(sums).for_each(|(mean, sum)| *mean = (sum / plane as f64) as f32);
    }
    buffers.put(place.slot, result);
    Ok(())
}

/// `[channels, d, h, w]`
fn extents(shape: &[usize]) -> [usize; 4] {
    let [d, h, w] = schedule::extents(shape);
    [shape[1], d, h, w]
}
