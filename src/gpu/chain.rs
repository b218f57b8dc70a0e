//! Layers one after another, whose activations stay on the device.

use crate::error::{Error, Result};
use crate::gpu::device::arena::{Arena, For};
use crate::gpu::device::context::Context;
use crate::gpu::device::lock::lock;
use crate::gpu::device::span::span;
use crate::gpu::device::step::Step;
use crate::gpu::device::transfer::{Reading, elements, with_bytes};
use crate::gpu::layer::Layer;
use crate::gpu::prepared::{Bound, Prepared};
use crate::gpu::request::Request;
use crate::gpu::storage::Storage;
use crate::kernel::Kernel;
use crate::op::{ConvTranspose, check_chain};
use crate::tensor::{Tensor, TensorView};
use std::sync::{Arc, Mutex};
use wgpu::{Buffer, BufferSlice, BufferUsages};

/// Layers of which each reads what the one before has written, with their weights on a device. Cheap to clone.
///
/// ```no_run
/// # fn example(context: upconv::gpu::Context, operations: Vec<(upconv::ConvTranspose, upconv::Tensor, Option<upconv::Tensor>)>,
/// #     input: upconv::wgpu::Buffer, output: upconv::wgpu::Buffer, mut pass: upconv::wgpu::ComputePass<'_>) -> upconv::Result<()> {
/// let chain = upconv::gpu::Chain::new(&context, &operations)?; // packs the weights
/// let prepared = chain.prepare(&[1, 3, 142, 142], upconv::Storage::F32)?; // plans, compiles, allocates
/// prepared.bind(input.slice(..), output.slice(..))?.encode(&mut pass); // records; submits and reads back nothing
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Chain {
    context: Context,
    layers: Vec<Layer>,
    /// The kernels that were asked for; layers beyond the list have no wish.
    wishes: Vec<Option<Kernel>>,
}

/// A chain planned for one input shape. Cheap to clone; may be used from many threads.
///
/// What stands between its layers are two buffers, which they use in turn. All chains and graphs of a context share them, once for
/// [runs](Self::run) and once for what callers [record](Self::bind); they grow with the largest need.
#[derive(Clone, Debug)]
pub struct PreparedChain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    stages: Vec<Prepared>,
    for_runs: Arc<Arena>,
    for_callers: Arc<Arena>,
    /// What finished runs left for the next.
    slots: Mutex<Vec<Slot>>,
}

/// The buffers of a run over some inputs.
#[derive(Debug)]
struct Slot {
    input: Buffer,
    output: Buffer,
    /// Those between the layers, as they were when the chains were bound.
    between: Vec<Option<Buffer>>,
    chains: Vec<Bound>,
}

/// A run on its way: the device computes while the caller does something else.
#[derive(Debug)]
pub struct Pending {
    chain: PreparedChain,
    slot: Slot,
    reading: Reading,
}

impl Chain {
    /// Packs the weights of all layers onto the device; each is an operation, its weight and its bias.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for no layer, [`Error::Shape`] where a layer's channels are not those that the one before
    /// gives, and what [`Layer::new`] refuses.
    pub fn new(context: &Context, operations: &[(ConvTranspose, Tensor, Option<Tensor>)]) -> Result<Self> {
        check_chain(operations.iter().map(|(op, ..)| op))?;
        let layers = operations.iter().map(|(op, weight, bias)| Layer::new(context, op, weight, bias.as_ref()));
        Ok(Self { context: context.clone(), layers: layers.collect::<Result<_>>()?, wishes: Vec::new() })
    }

    /// The chain with a kernel wished for some of its layers, in their order. A layer that the kernel cannot run takes
    /// the one that is planned.
    #[must_use]
    pub fn with_kernels(self, wishes: impl IntoIterator<Item = Option<Kernel>>) -> Self {
        Self { wishes: wishes.into_iter().collect(), ..self }
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Plans all layers for an input shape and compiles their kernels, for running often. Input channels are not split and
    /// measured choices not used, so that the tiles of a picture are planned alike.
    ///
    /// # Errors
    /// What [`Layer::prepare`] refuses, [`Error::Limit`] where the device has no buffer as large as what stands between two
    /// layers, [`Error::Device`].
    pub fn prepare(&self, input_shape: &[usize], storage: Storage) -> Result<PreparedChain> {
        let mut stages: Vec<Prepared> = Vec::with_capacity(self.layers.len());
        let wishes = self.wishes.iter().copied().chain(std::iter::repeat(None));
        for (layer, wish) in self.layers.iter().zip(wishes) {
            let shape = stages.last().map_or_else(|| input_shape.to_vec(), |before| before.geometry().output_shape());
            let request = Request::new(storage);
            stages.push(match wish.map(|kernel| layer.prepare(&shape, request.kernel(kernel))) {
                None | Some(Err(Error::Kernel { .. })) => layer.prepare(&shape, request.unsplit())?,
                Some(prepared) => prepared?,
            });
        }
        let context = self.context.clone();
        let limit = context.profile().max_buffer;
        if let Some(needed) = between_bytes(&stages).into_iter().flatten().find(|&bytes| bytes > limit) {
            let what = "what stands between two layers".into();
            return Err(Error::Limit { what, needed, limit, limit_name: "max_buffer_size" });
        }
        let [for_runs, for_callers] = [For::Runs, For::Callers].map(|whose| context.arena(whose));
        for_callers.expect(&between_bytes(&stages));
        let inner = Inner { context, stages, for_runs, for_callers, slots: Mutex::default() };
        Ok(PreparedChain { inner: Arc::new(inner) })
    }
}

/// The bytes of the buffers between layers; none where no layer writes one.
fn between_bytes(stages: &[Prepared]) -> [Option<u64>; 2] {
    let passed_on = &stages[..stages.len().saturating_sub(1)];
    [0, 1].map(|turn| passed_on.iter().skip(turn).step_by(2).map(Prepared::output_bytes).max())
}

impl PreparedChain {
    /// The device.
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// The layers, each planned for its shape.
    pub fn stages(&self) -> &[Prepared] {
        &self.inner.stages
    }

    /// The bytes the input buffer must have.
    pub fn input_bytes(&self) -> u64 {
        self.inner.stages.first().map_or(0, Prepared::input_bytes)
    }

    /// The bytes the output buffer must have.
    pub fn output_bytes(&self) -> u64 {
        self.inner.stages.last().map_or(0, Prepared::output_bytes)
    }

    /// The bytes that the chain needs between its layers.
    pub fn between_bytes(&self) -> u64 {
        between_bytes(&self.inner.stages).into_iter().flatten().sum()
    }

    /// The bytes that all chains of the context have between their layers at present.
    pub fn shared_bytes(&self) -> u64 {
        self.inner.for_runs.bytes() + self.inner.for_callers.bytes()
    }

    /// Binds the caller's buffers, on the terms of [`Prepared::bind`].
    ///
    /// What is encoded of several chains of a context in one pass runs one after another: they share the buffers between
    /// their layers. So all [pieces](Bound::pieces) of one are submitted before anything of another. The buffers are made
    /// for the largest chain that is prepared by then; what is bound keeps those it has, also when a larger one comes, so
    /// that those who prepare all of their chains before they bind the first have the buffers once.
    ///
    /// # Errors
    /// As [`Prepared::bind`].
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Bound> {
        let between = self.between(&self.inner.for_callers)?;
        self.bind_between(&between, input, output)
    }

    /// The buffers between the layers.
    fn between(&self, arena: &Arena) -> Result<Vec<Option<Buffer>>> {
        let Inner { context, stages, .. } = &*self.inner;
        let make = |bytes| context.buffer("upconv activations", bytes, BufferUsages::STORAGE);
        arena.buffers(&between_bytes(stages), make)
    }

    fn bind_between(
        &self,
        between: &[Option<Buffer>],
        input: BufferSlice<'_>,
        output: BufferSlice<'_>,
    ) -> Result<Bound> {
        let Inner { context, stages, .. } = &*self.inner;
        let last = stages.len() - 1;
        let bind = |(index, stage): (usize, &Prepared)| {
            let slice = |turn: usize| between[turn % 2].as_ref().map(|buffer| buffer.slice(..));
            let from = if index == 0 { input } else { slice(index - 1).unwrap_or(input) };
            let to = if index == last { output } else { slice(index).unwrap_or(output) };
            stage.bind(from, to)
        };
        let parts = stages.iter().enumerate().map(bind).collect::<Result<Vec<_>>>()?;
        Ok(Bound::joined(context, parts))
    }

    /// [`Prepared::warm_up`] of all layers, one after another.
    ///
    /// # Errors
    /// As [`Prepared::warm_up`].
    #[cfg(not(target_family = "wasm"))]
    pub fn warm_up(&self) -> Result<()> {
        self.inner.stages.iter().try_for_each(Prepared::warm_up)
    }

    /// [`warm_up`](Self::warm_up) as a future. The device must be polled meanwhile; a browser does so by itself.
    ///
    /// # Errors
    /// As [`Prepared::warm_up`].
    pub async fn warm_up_async(&self) -> Result<()> {
        for stage in &self.inner.stages {
            stage.warm_up_async().await?;
        }
        Ok(())
    }

    /// Uploads inputs of the prepared shape, runs all layers on each, and reads the outputs back.
    ///
    /// The layers are submitted together, or in pieces where they would exceed the
    /// [`max_multiply_adds`](crate::DeviceProfile::max_multiply_adds) of the device's profile.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`Pending::wait`].
    #[cfg(not(target_family = "wasm"))]
    pub fn run<'a, T>(&self, inputs: &'a [T]) -> Result<Vec<Tensor>>
    where
        &'a T: Into<TensorView<'a>>,
    {
        self.start(inputs)?.wait()
    }

    /// [`run`](Self::run) as a future. The device must be polled meanwhile, as for every `map_async` of wgpu; a
    /// browser does so by itself.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`Pending::finish`].
    pub async fn run_async<'a, T>(&self, inputs: &'a [T]) -> Result<Vec<Tensor>>
    where
        &'a T: Into<TensorView<'a>>,
    {
        self.start(inputs)?.finish().await
    }

    /// Uploads inputs of the prepared shape and submits all layers on each, without waiting.
    ///
    /// # Errors
    /// [`Error::Shape`] for an input of another shape or for none, [`Error::Limit`] where the device has no buffer for
    /// so many, [`Error::Device`].
    pub fn start<'a, T>(&self, inputs: &'a [T]) -> Result<Pending>
    where
        &'a T: Into<TensorView<'a>>,
    {
        self.start_views(&inputs.iter().map(Into::into).collect::<Vec<_>>())
    }

    fn start_views(&self, inputs: &[TensorView<'_>]) -> Result<Pending> {
        let Inner { context, stages, .. } = &*self.inner;
        let (Some(first), false) = (stages.first(), inputs.is_empty()) else {
            return Err(Error::OutOfRange { what: "inputs".into(), given: 0, expected: "at least 1".into() });
        };
        let shape = first.geometry().input_shape();
        if let Some(other) = inputs.iter().find(|input| input.shape() != shape) {
            let expected = format!("{shape:?}, for which the chain was prepared");
            return Err(Error::Shape { what: "input", given: other.shape().to_vec(), expected });
        }
        span!("run chain", shape = ?shape, inputs = inputs.len(), layers = stages.len());
        let slot = self.slot(inputs.len())?;
        let (distance, storage) = (self.distance(self.input_bytes()), first.plan().storage());
        for (index, input) in (0..).zip(inputs) {
            with_bytes(*input, storage, |bytes| context.write(&slot.input, index * distance, bytes))?;
        }
        let bytes = slot.output.size();
        let staging = context.take_staging(bytes)?;
        let steps: Vec<&Step> = slot.chains.iter().flat_map(Bound::steps).collect();
        let submission = {
            let _submitting = self.inner.for_runs.submitting();
            context.submit("upconv chain", &steps, |encoder| {
                encoder.copy_buffer_to_buffer(&slot.output, 0, &staging, 0, bytes);
            })?
        };
        let reading = context.map(staging, bytes, submission)?;
        Ok(Pending { chain: self.clone(), slot, reading })
    }

    /// The outputs of a run, from the bytes of its output buffer.
    fn outputs(&self, bytes: &[u8]) -> Result<Vec<Tensor>> {
        let Some(last) = self.inner.stages.last() else { return Ok(Vec::new()) };
        let (geometry, storage) = (last.geometry(), last.plan().storage());
        let length = geometry.output_len() * storage.size() as usize;
        let tensor = |bytes: &[u8]| Tensor::new(geometry.output_shape(), elements(&bytes[..length], storage));
        bytes.chunks_exact(self.distance(self.output_bytes()) as usize).map(tensor).collect()
    }

    /// From one input to the next in the buffer that holds them all: bindings begin at multiples of the alignment.
    fn distance(&self, bytes: u64) -> u64 {
        bytes.next_multiple_of(self.inner.context.profile().binding_alignment)
    }

    /// The buffers for `count` inputs: those of an earlier run, or new ones.
    fn slot(&self, count: usize) -> Result<Slot> {
        let between = self.between(&self.inner.for_runs)?;
        let mut slots = lock(&self.inner.slots);
        let fits = |slot: &Slot| slot.chains.len() == count && slot.between == between;
        if let Some(index) = slots.iter().position(fits) {
            return Ok(slots.swap_remove(index));
        }
        // The others are in the way.
        slots.clear();
        drop(slots);
        let Inner { context, .. } = &*self.inner;
        let (input_distance, output_distance) = (self.distance(self.input_bytes()), self.distance(self.output_bytes()));
        let (input_size, output_size) = (input_distance * count as u64, output_distance * count as u64);
        let input = context.buffer("upconv inputs", input_size, BufferUsages::STORAGE | BufferUsages::COPY_DST)?;
        let output = context.buffer("upconv outputs", output_size, BufferUsages::STORAGE | BufferUsages::COPY_SRC)?;
        let bind = |index: u64| {
            let (from, to) = (index * input_distance, index * output_distance);
            let (input, output) = (input.slice(from..from + input_distance), output.slice(to..to + output_distance));
            self.bind_between(&between, input, output)
        };
        let chains = (0..count as u64).map(bind).collect::<Result<_>>()?;
        Ok(Slot { input, output, between, chains })
    }
}

impl Pending {
    /// Waits for the device to finish this run, and gives the outputs, one for each input.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    #[cfg(not(target_family = "wasm"))]
    pub fn wait(self) -> Result<Vec<Tensor>> {
        let Pending { chain, slot, reading } = self;
        let outputs = reading.wait(|bytes| chain.outputs(bytes))?;
        lock(&chain.inner.slots).push(slot);
        outputs
    }

    /// [`wait`](Self::wait) as a future. The device must be polled meanwhile; a browser does so by itself.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn finish(self) -> Result<Vec<Tensor>> {
        let Pending { chain, slot, reading } = self;
        let outputs = reading.finish(|bytes| chain.outputs(bytes)).await?;
        lock(&chain.inner.slots).push(slot);
        outputs
    }
}
