//! A graph that is planned and compiled for the shapes of its inputs.

use super::map::{MapStage, placed};
use super::mean::MeanStage;
use super::packed::Packed;
use crate::error::{Error, Result};
use crate::gpu::device::arena::{Arena, For};
use crate::gpu::device::cache::Cache;
use crate::gpu::device::context::Context;
use crate::gpu::device::lock::lock;
use crate::gpu::device::span::span;
use crate::gpu::device::step::Step;
use crate::gpu::device::transfer::{Reading, elements, with_bytes};
use crate::gpu::layer::Layer;
use crate::gpu::prepared::{Bound, Prepared};
use crate::gpu::request::{Request, Wish};
use crate::gpu::storage::Storage;
use crate::graph::Region;
use crate::graph::action::{Action, Residual};
use crate::graph::part::Part;
use crate::graph::program::may_transform;
use crate::graph::schedule::{Place, Schedule, Sharing, Slot, Task};
use crate::kernel::Kernel;
use crate::op::ConvTranspose;
use crate::tensor::{Tensor, TensorView};
use crate::winograd::wide_three_by_three;
use std::sync::{Arc, Mutex};
use wgpu::{Buffer, BufferSlice, BufferUsages};

/// A graph planned for some shapes. Cheap to clone; may be used from many threads.
///
/// What stands between its inputs and its outputs are buffers that its values use in turn. All graphs of a
/// context share them, once for [runs](Self::run) and once for what callers [record](Self::bind); they grow with the
/// largest need.
///
/// ```no_run
/// use upconv::Storage;
/// use upconv::gpu::Graph;
/// use upconv::wgpu::{Buffer, ComputePass};
/// # fn example(graph: Graph, x: &Buffer, y: &Buffer, pass: &mut ComputePass<'_>) -> upconv::Result<()> {
/// let prepared = graph.prepare(&[[1, 3, 64, 64]], Storage::F32)?;
/// prepared.bind(&[x.slice(..)], &[y.slice(..)])?.encode(pass);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PreparedGraph {
    graph: Arc<Packed>,
    inner: Arc<Stages>,
    part: Arc<Part>,
}

/// What parts that are alike share.
#[derive(Debug)]
pub(super) struct Stages {
    storage: Storage,
    schedule: Schedule,
    /// One for each task.
    stages: Vec<Stage>,
    for_runs: Arc<Arena>,
    for_callers: Arc<Arena>,
    /// What finished runs left for the next.
    free: Mutex<Vec<Set>>,
}

/// What was prepared for parts, by how values are stored.
pub(super) type Kept = Cache<(Storage, Schedule), Arc<Stages>>;

/// What one task runs.
#[derive(Debug)]
enum Stage {
    Layer {
        layer: Box<Prepared>,
        input: Place,
        residual: Option<Place>,
    },
    Map(MapStage),
    Mean(MeanStage),
    /// A concatenation whose parts are in their places.
    Nothing,
}

/// The buffers of a run.
#[derive(Debug)]
struct Set {
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
    /// Those between, as they were when the stages were bound.
    between: Vec<Option<Buffer>>,
    bound: Bound,
}

/// A run on its way: the device computes while the caller does something else.
#[derive(Debug)]
pub struct PendingGraph {
    graph: PreparedGraph,
    set: Set,
    reading: Reading,
}

impl Stages {
    fn new(graph: &Packed, schedule: Schedule, as_one: bool, storage: Storage) -> Result<Self> {
        let context = &graph.context;
        let limit = context.profile().max_buffer;
        if let Some(needed) = bytes_of(&schedule, storage).into_iter().flatten().find(|&bytes| bytes > limit) {
            let what = "a value of a graph".into();
            return Err(Error::Limit { what, needed, limit, limit_name: "max_buffer_size" });
        }
        let request = if as_one { Request::new(storage).unsplit() } else { Request::new(storage) };
        let stages = schedule.tasks.iter().map(|task| stage(graph, &schedule, task, request));
        let stages = stages.collect::<Result<_>>()?;
        let [for_runs, for_callers] = [For::Runs, For::Callers].map(|whose| context.arena(whose));
        for_callers.expect(&bytes_of(&schedule, storage));
        Ok(Self { storage, schedule, stages, for_runs, for_callers, free: Mutex::default() })
    }
}

impl PreparedGraph {
    /// With what is `kept` for parts, each has the bits that it has in any other.
    pub(super) fn new(graph: &Arc<Packed>, part: Part, kept: Option<&Kept>, storage: Storage) -> Result<Self> {
        let context = &graph.context;
        let alignment = (context.profile().binding_alignment / storage.size()).max(1) as usize;
        let sharing = Sharing { alignment, whole_transforms: kept.is_some() };
        let schedule = Schedule::new(&graph.graph, &graph.program, &part, sharing)?;
        let inner = match kept {
            // A caller has many parts, one after another.
            Some(kept) => {
                kept.get(&(storage, schedule.clone()), || Ok((Stages::new(graph, schedule, true, storage)?.into(), 1)))?
            }
            None => Stages::new(graph, schedule, false, storage)?.into(),
        };
        Ok(Self { graph: graph.clone(), inner, part: part.into() })
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.graph.context
    }

    /// What is read: for a whole graph its inputs, for a [part](super::Graph::prepare_part) the regions that it needs.
    pub fn inputs(&self) -> impl Iterator<Item = &Region> {
        self.part.inputs.iter().filter_map(|&input| self.part.region(input).ok())
    }

    /// What is written, in the order in which it was wanted: for a part, regions that have at least what was wanted.
    pub fn outputs(&self) -> impl Iterator<Item = &Region> {
        self.part.outputs.iter().filter_map(|&output| self.part.region(output).ok())
    }

    /// The shape of an input, by its number.
    ///
    /// # Panics
    /// Where there is none.
    pub fn input_shape(&self, number: usize) -> &[usize] {
        self.part.shape(self.part.inputs[number])
    }

    /// The shape of an output, by its number.
    ///
    /// # Panics
    /// Where there is none.
    pub fn output_shape(&self, number: usize) -> &[usize] {
        self.part.shape(self.part.outputs[number])
    }

    /// The bytes that the buffer of an input must have.
    ///
    /// # Panics
    /// Where there is none.
    pub fn input_bytes(&self, number: usize) -> u64 {
        self.bytes(self.input_shape(number))
    }

    /// The bytes that the buffer of an output must have.
    ///
    /// # Panics
    /// Where there is none.
    pub fn output_bytes(&self, number: usize) -> u64 {
        self.bytes(self.output_shape(number))
    }

    /// The bytes that it needs between its inputs and its outputs.
    pub fn between_bytes(&self) -> u64 {
        bytes_of(&self.inner.schedule, self.inner.storage).into_iter().flatten().sum()
    }

    /// The bytes that all graphs of the context have between their inputs and outputs at present.
    pub fn shared_bytes(&self) -> u64 {
        self.inner.for_runs.bytes() + self.inner.for_callers.bytes()
    }

    /// [`Prepared::warm_up`] of all layers, one after another.
    ///
    /// # Errors
    /// As [`Prepared::warm_up`].
    #[cfg(not(target_family = "wasm"))]
    pub fn warm_up(&self) -> Result<()> {
        self.layers().try_for_each(Prepared::warm_up)
    }

    /// [`warm_up`](Self::warm_up) as a future. The device must be polled meanwhile; a browser does so by itself.
    ///
    /// # Errors
    /// As [`Prepared::warm_up`].
    pub async fn warm_up_async(&self) -> Result<()> {
        for layer in self.layers() {
            layer.warm_up_async().await?;
        }
        Ok(())
    }

    /// The layers, each planned for its shape.
    pub fn layers(&self) -> impl Iterator<Item = &Prepared> {
        self.inner.stages.iter().filter_map(|stage| match stage {
            Stage::Layer { layer, .. } => Some(&**layer),
            Stage::Map(_) | Stage::Mean(_) | Stage::Nothing => None,
        })
    }

    /// The dispatches of a run.
    pub fn dispatch_count(&self) -> usize {
        let count = |stage: &Stage| match stage {
            Stage::Layer { layer, .. } => layer.plan().dispatch_count(),
            Stage::Map(_) | Stage::Mean(_) => 1,
            Stage::Nothing => 0,
        };
        self.inner.stages.iter().map(count).sum()
    }

    fn bytes(&self, shape: &[usize]) -> u64 {
        (shape.iter().product::<usize>() as u64 * self.inner.storage.size()).next_multiple_of(4).max(4)
    }

    /// Binds the caller's buffers: inputs and outputs in their order, each on the terms of [`Prepared::bind`], and each
    /// output in a buffer that is no other's.
    ///
    /// What is encoded of several graphs of a context in one pass runs one after another: they share the
    /// buffers between. So all [pieces](Bound::pieces) of one are submitted before anything of another.
    ///
    /// # Errors
    /// [`Error::Buffer`] for another number of buffers; as [`Prepared::bind`].
    pub fn bind(&self, inputs: &[BufferSlice<'_>], outputs: &[BufferSlice<'_>]) -> Result<Bound> {
        let part = &self.part;
        for (what, given, expected) in
            [("inputs", inputs.len(), part.inputs.len()), ("outputs", outputs.len(), part.outputs.len())]
        {
            if given != expected {
                return Err(Error::Buffer { what, problem: format!("are {given}, expected {expected}") });
            }
        }
        let between = self.between(&self.inner.for_callers)?;
        self.bind_between(&between, inputs, outputs)
    }

    fn between(&self, arena: &Arena) -> Result<Vec<Option<Buffer>>> {
        let Stages { schedule, storage, .. } = &*self.inner;
        let make = |bytes| self.graph.context.buffer("upconv graph", bytes, BufferUsages::STORAGE);
        arena.buffers(&bytes_of(schedule, *storage), make)
    }

    fn bind_between(
        &self,
        between: &[Option<Buffer>],
        inputs: &[BufferSlice<'_>],
        outputs: &[BufferSlice<'_>],
    ) -> Result<Bound> {
        let Stages { schedule, stages, .. } = &*self.inner;
        let missing = |what| Error::Buffer { what, problem: "is missing".into() };
        let slice = |slot: Slot| match slot {
            Slot::Input(number) => inputs.get(number).copied().ok_or_else(|| missing("input")),
            Slot::Output(number) => outputs.get(number).copied().ok_or_else(|| missing("output")),
            Slot::Between(number) => {
                let buffer = between.get(number).and_then(Option::as_ref);
                buffer.map(|buffer| buffer.slice(..)).ok_or_else(|| missing("buffer between"))
            }
        };
        let bind = |(stage, task): (&Stage, &Task)| {
            let output = slice(task.place.slot)?;
            let steps = match stage {
                Stage::Layer { layer, input, residual: None } => return layer.bind(slice(input.slot)?, output),
                Stage::Layer { layer, input, residual: Some(residual) } => {
                    return layer.bind_adding(slice(input.slot)?, slice(residual.slot)?, output);
                }
                Stage::Map(map) => vec![map.step(&self.graph.context, &slice, output)?],
                Stage::Mean(mean) => vec![mean.step(&self.graph.context, &slice, output)?],
                Stage::Nothing => Vec::new(),
            };
            Ok(Bound::new(&self.graph.context, steps))
        };
        let parts = stages.iter().zip(&schedule.tasks).map(bind).collect::<Result<Vec<_>>>()?;
        Ok(Bound::joined(&self.graph.context, parts))
    }

    /// Uploads the inputs, in their order, runs the graph, and reads the outputs back.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`PendingGraph::wait`].
    #[cfg(not(target_family = "wasm"))]
    pub fn run<'a, T>(&self, inputs: &'a [T]) -> Result<Vec<Tensor>>
    where
        &'a T: Into<TensorView<'a>>,
    {
        self.start(inputs)?.wait()
    }

    /// [`run`](Self::run) as a future. The device must be polled meanwhile, as for every `map_async` of wgpu; a browser
    /// does so by itself.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`PendingGraph::finish`].
    pub async fn run_async<'a, T>(&self, inputs: &'a [T]) -> Result<Vec<Tensor>>
    where
        &'a T: Into<TensorView<'a>>,
    {
        self.start(inputs)?.finish().await
    }

    /// Uploads the inputs, in their order, and submits the graph, without waiting.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for another number of inputs, [`Error::Shape`] for other shapes, [`Error::Device`].
    pub fn start<'a, T>(&self, inputs: &'a [T]) -> Result<PendingGraph>
    where
        &'a T: Into<TensorView<'a>>,
    {
        self.start_views(&inputs.iter().map(Into::into).collect::<Vec<_>>())
    }

    fn start_views(&self, inputs: &[TensorView<'_>]) -> Result<PendingGraph> {
        let Stages { storage, .. } = &*self.inner;
        let (context, count) = (&self.graph.context, self.part.inputs.len());
        if inputs.len() != count {
            let (what, given) = ("inputs".into(), inputs.len() as i128);
            return Err(Error::OutOfRange { what, given, expected: count.to_string() });
        }
        for (number, input) in inputs.iter().enumerate() {
            if input.shape() != self.input_shape(number) {
                let expected = format!("{:?}, for which the graph was prepared", self.input_shape(number));
                return Err(Error::Shape { what: "input", given: input.shape().to_vec(), expected });
            }
        }
        span!("run graph", steps = self.inner.stages.len());
        let set = self.set()?;
        for (input, buffer) in inputs.iter().zip(&set.inputs) {
            with_bytes(*input, *storage, |bytes| context.write(buffer, 0, bytes))?;
        }
        let bytes: u64 = set.outputs.iter().map(Buffer::size).sum();
        let staging = context.take_staging(bytes)?;
        let steps: Vec<&Step> = set.bound.steps().iter().collect();
        let submission = {
            let _submitting = self.inner.for_runs.submitting();
            context.submit("upconv graph", &steps, |encoder| {
                let mut at = 0;
                for output in &set.outputs {
                    encoder.copy_buffer_to_buffer(output, 0, &staging, at, output.size());
                    at += output.size();
                }
            })?
        };
        let reading = context.map(staging, bytes, submission)?;
        Ok(PendingGraph { graph: self.clone(), set, reading })
    }

    /// The outputs of a run, from the bytes of their buffers one behind another.
    fn outputs_of(&self, set: &Set, mut bytes: &[u8]) -> Result<Vec<Tensor>> {
        let storage = self.inner.storage;
        let mut outputs = Vec::with_capacity(set.outputs.len());
        for (number, buffer) in set.outputs.iter().enumerate() {
            let shape = self.output_shape(number);
            let length = shape.iter().product::<usize>() * storage.size() as usize;
            outputs.push(Tensor::new(shape, elements(&bytes[..length], storage)?)?);
            bytes = &bytes[buffer.size() as usize..];
        }
        Ok(outputs)
    }

    /// The buffers for a run: those of an earlier one, or new ones.
    fn set(&self) -> Result<Set> {
        let Stages { schedule, for_runs, free, .. } = &*self.inner;
        let between = self.between(for_runs)?;
        let mut sets = lock(free);
        if let Some(index) = sets.iter().position(|set| set.between == between) {
            return Ok(sets.swap_remove(index));
        }
        // The others are in the way.
        sets.clear();
        drop(sets);
        let context = &self.graph.context;
        let make = |what, bytes, usage| context.buffer(what, bytes, BufferUsages::STORAGE | usage);
        let inputs = (0..schedule.inputs.len())
            .map(|number| make("upconv input", self.input_bytes(number), BufferUsages::COPY_DST))
            .collect::<Result<Vec<_>>>()?;
        let outputs = (0..schedule.outputs.len())
            .map(|number| make("upconv output", self.output_bytes(number), BufferUsages::COPY_SRC))
            .collect::<Result<Vec<_>>>()?;
        let [x, y] =
            [&inputs, &outputs].map(|buffers| buffers.iter().map(|buffer| buffer.slice(..)).collect::<Vec<_>>());
        let bound = self.bind_between(&between, &x, &y)?;
        Ok(Set { inputs, outputs, between, bound })
    }
}

impl PendingGraph {
    /// Waits for the device to finish this run, and gives the outputs, in their order.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    #[cfg(not(target_family = "wasm"))]
    pub fn wait(self) -> Result<Vec<Tensor>> {
        let Self { graph, set, reading } = self;
        let outputs = reading.wait(|bytes| graph.outputs_of(&set, bytes))?;
        lock(&graph.inner.free).push(set);
        outputs
    }

    /// [`wait`](Self::wait) as a future. The device must be polled meanwhile; a browser does so by itself.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn finish(self) -> Result<Vec<Tensor>> {
        let Self { graph, set, reading } = self;
        let outputs = reading.finish(|bytes| graph.outputs_of(&set, bytes)).await?;
        lock(&graph.inner.free).push(set);
        outputs
    }
}

/// The bytes of the buffers between.
fn bytes_of(schedule: &Schedule, storage: Storage) -> Vec<Option<u64>> {
    let bytes = |&elements: &usize| Some((elements as u64 * storage.size()).next_multiple_of(4).max(4));
    schedule.slots.iter().map(bytes).collect()
}

fn stage(graph: &Packed, schedule: &Schedule, task: &Task, request: Request) -> Result<Stage> {
    let (context, place, storage) = (&graph.context, task.place, request.storage);
    Ok(match &task.action {
        Action::Map { map, shape, .. } => Stage::Map(MapStage::new(context, schedule, map, shape, place, storage)?),
        Action::BlockSums { of, output, begin } => {
            Stage::Mean(MeanStage::block_sums(context, schedule, [*of, *output], *begin, place, storage)?)
        }
        Action::Mean { sums, output, elements } => {
            Stage::Mean(MeanStage::means(context, schedule, [*sums, *output], *elements, place, storage)?)
        }
        Action::Layer { step, op, input, output, residual } => match &graph.layers[*step] {
            Some(layer) => layer_stage(layer, schedule, (op, *input, *output, *residual), place, request)?,
            None => Stage::Nothing,
        },
        Action::Nothing => Stage::Nothing,
    })
}

fn layer_stage(
    layer: &Layer,
    schedule: &Schedule,
    (op, input, output, residual): (&ConvTranspose, usize, usize, Residual),
    place: Place,
    mut request: Request,
) -> Result<Stage> {
    let (shape, input) = (schedule.shape(input), placed(schedule, input)?);
    let is_part = |place: Place, channels: usize| (place.first, place.of) != (0, channels);
    let channels = schedule.shape(output)[1];
    if is_part(input, shape[1]) {
        request = request.reading(input.first, input.of);
    }
    if is_part(place, channels) {
        request = request.writing(place.first, place.of);
    }
    let residual = match residual {
        Residual::None => None,
        Residual::InPlace => {
            request = request.accumulating();
            None
        }
        Residual::Value(value) => {
            let residual = placed(schedule, value)?;
            request = match is_part(residual, channels) {
                true => request.adding_channels(residual.first, residual.of),
                false => request.adding(),
            };
            Some(residual)
        }
    };
    if input.slot == place.slot || residual.is_some_and(|residual| residual.slot == place.slot) {
        request = request.in_one_buffer();
    }
    // One kernel for all parts, which the operation alone decides.
    let transforms = request.wish == Wish::Unsplit && may_transform(op) && wide_three_by_three(op);
    let transformed = transforms.then(|| layer.prepare_op(op, shape, request.kernel(Kernel::Winograd)));
    let layer = match transformed {
        None | Some(Err(Error::Kernel { .. })) => layer.prepare_op(op, shape, request)?,
        Some(prepared) => prepared?,
    };
    Ok(Stage::Layer { layer: Box::new(layer), input, residual })
}
