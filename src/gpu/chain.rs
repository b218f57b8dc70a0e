//! Layers one after another, whose activations stay on the device.

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::device::lock::lock;
use crate::gpu::device::span::span;
use crate::gpu::device::step::Step;
use crate::gpu::device::transfer::{Reading, elements, with_bytes};
use crate::gpu::layer::Layer;
use crate::gpu::prepared::{Bound, Prepared};
use crate::gpu::storage::Storage;
use crate::kernel::Kernel;
use crate::op::ConvTranspose;
use crate::tensor::{Tensor, TensorView};
use std::sync::{Arc, Mutex, OnceLock};
use wgpu::{Buffer, BufferSlice, BufferUsages, ComputePass};

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

/// A chain planned for one input shape, with the buffers between its layers: two, which they use in turn. Cheap to
/// clone; clones share the buffers, and may be used from many threads.
#[derive(Clone, Debug)]
pub struct PreparedChain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    stages: Vec<Prepared>,
    /// Made when the chain was prepared, for runs or for what is recorded, whichever comes first.
    spare: Mutex<Option<Between>>,
    /// Of all runs.
    for_runs: OnceLock<Between>,
    /// Of all that callers record. They may submit it at any time, also between the pieces of a run.
    for_callers: OnceLock<Between>,
    /// Held while the pieces of a run are submitted: they use the same buffers as those of every other run.
    submitting: Mutex<()>,
    /// What finished runs left for the next.
    slots: Mutex<Vec<Slot>>,
}

/// What stands between the first layer and the last.
#[derive(Debug)]
struct Between {
    /// What is written by the first, third … layer and by the second, fourth …, as far as a layer reads it.
    buffers: [Option<Buffer>; 2],
    /// All layers but the first and the last, which see the caller's buffers.
    middle: Vec<Bound>,
}

/// A prepared chain with the caller's buffers.
#[derive(Clone, Debug)]
pub struct BoundChain {
    layers: Vec<Bound>,
}

/// The buffers of a run over some inputs.
#[derive(Debug)]
struct Slot {
    input: Buffer,
    output: Buffer,
    chains: Vec<BoundChain>,
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
        if operations.is_empty() {
            return Err(Error::OutOfRange { what: "layers".into(), given: 0, expected: "at least 1".into() });
        }
        for pair in operations.windows(2) {
            let (given, next) = (pair[0].0.out_channels(), &pair[1].0);
            if given != next.in_channels() || pair[0].0.rank() != next.rank() || pair[0].0.layout() != next.layout() {
                let expected =
                    format!("[{}], the channels of the next layer, and its rank and layout", next.in_channels());
                return Err(Error::Shape { what: "a layer's output", given: vec![given], expected });
            }
        }
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

    /// Plans all layers for an input shape, compiles their kernels, and allocates what stands between them. Input
    /// channels are not split and measured choices not used, so that the tiles of a picture are planned alike.
    ///
    /// # Errors
    /// What [`Layer::prepare`] refuses, [`Error::Limit`] where the device has no buffer that large, [`Error::Device`].
    pub fn prepare(&self, input_shape: &[usize], storage: Storage) -> Result<PreparedChain> {
        let mut stages: Vec<Prepared> = Vec::with_capacity(self.layers.len());
        let wishes = self.wishes.iter().copied().chain(std::iter::repeat(None));
        for (layer, wish) in self.layers.iter().zip(wishes) {
            let shape = stages.last().map_or_else(|| input_shape.to_vec(), |before| before.geometry().output_shape());
            stages.push(match wish.map(|kernel| layer.prepare_with(&shape, storage, kernel)) {
                None | Some(Err(Error::Kernel { .. })) => layer.prepare_unsplit(&shape, storage)?,
                Some(prepared) => prepared?,
            });
        }
        let context = self.context.clone();
        let spare = Mutex::new(Some(Between::new(&context, &stages)?));
        let (for_runs, for_callers, submitting, slots) = Default::default();
        let inner = Inner { context, stages, spare, for_runs, for_callers, submitting, slots };
        Ok(PreparedChain { inner: Arc::new(inner) })
    }
}

/// The bytes of the buffers between layers; none where no layer writes one.
fn between_bytes(stages: &[Prepared]) -> [Option<u64>; 2] {
    let passed_on = &stages[..stages.len().saturating_sub(1)];
    [0, 1].map(|turn| passed_on.iter().skip(turn).step_by(2).map(Prepared::output_bytes).max())
}

impl Between {
    fn new(context: &Context, stages: &[Prepared]) -> Result<Self> {
        let buffer = |size: Option<u64>| {
            size.map(|size| context.buffer("upconv activations", size, BufferUsages::STORAGE)).transpose()
        };
        let [odd, even] = between_bytes(stages);
        let buffers = [buffer(odd)?, buffer(even)?];
        let mut middle = Vec::new();
        for (index, stage) in stages.iter().enumerate().skip(1).take(stages.len().saturating_sub(2)) {
            if let (Some(input), Some(output)) = (&buffers[(index - 1) % 2], &buffers[index % 2]) {
                middle.push(stage.bind(input.slice(..), output.slice(..))?);
            }
        }
        Ok(Self { buffers, middle })
    }

    /// Binds the buffers of the first layer and the last.
    fn bind(&self, stages: &[Prepared], input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<BoundChain> {
        let layers = match stages {
            [] => Vec::new(),
            [only] => vec![only.bind(input, output)?],
            [first, .., last] => {
                let written = self.buffers[0].as_ref().map_or(output, |buffer| buffer.slice(..));
                let read = self.buffers[stages.len() % 2].as_ref().map_or(input, |buffer| buffer.slice(..));
                let mut layers = vec![first.bind(input, written)?];
                layers.extend_from_slice(&self.middle);
                layers.push(last.bind(read, output)?);
                layers
            }
        };
        Ok(BoundChain { layers })
    }
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

    /// The bytes of the buffers between the layers. A chain that is both [run](Self::run) and [bound](Self::bind) has
    /// them twice.
    pub fn between_bytes(&self) -> u64 {
        between_bytes(&self.inner.stages).into_iter().flatten().sum()
    }

    /// The buffers between the layers for runs or for callers.
    fn between<'a>(&'a self, kept: &'a OnceLock<Between>) -> Result<&'a Between> {
        if let Some(between) = kept.get() {
            return Ok(between);
        }
        let Inner { context, stages, spare, .. } = &*self.inner;
        let spare = lock(spare).take();
        let between = spare.map_or_else(|| Between::new(context, stages), Ok)?;
        // Two threads may both have come with some; either will do.
        Ok(kept.get_or_init(|| between))
    }

    /// Binds the caller's buffers, on the terms of [`Prepared::bind`].
    ///
    /// What is encoded of several of them in one pass runs one after another: they share the buffers between the
    /// layers. All layers of one belong into one submission.
    ///
    /// # Errors
    /// As [`Prepared::bind`].
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<BoundChain> {
        self.between(&self.inner.for_callers)?.bind(&self.inner.stages, input, output)
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
        let steps: Vec<&Step> = slot.chains.iter().flat_map(BoundChain::steps).collect();
        let submission = {
            let _submitting = lock(&self.inner.submitting);
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
        let mut slots = lock(&self.inner.slots);
        if let Some(index) = slots.iter().position(|slot| slot.chains.len() == count) {
            return Ok(slots.swap_remove(index));
        }
        // Those of another number are in the way.
        slots.clear();
        drop(slots);
        let Inner { context, .. } = &*self.inner;
        let (input_distance, output_distance) = (self.distance(self.input_bytes()), self.distance(self.output_bytes()));
        let (input_size, output_size) = (input_distance * count as u64, output_distance * count as u64);
        let input = context.buffer("upconv inputs", input_size, BufferUsages::STORAGE | BufferUsages::COPY_DST)?;
        let output = context.buffer("upconv outputs", output_size, BufferUsages::STORAGE | BufferUsages::COPY_SRC)?;
        let between = self.between(&self.inner.for_runs)?;
        let bind = |index: u64| {
            let (from, to) = (index * input_distance, index * output_distance);
            let (input, output) = (input.slice(from..from + input_distance), output.slice(to..to + output_distance));
            between.bind(&self.inner.stages, input, output)
        };
        let chains = (0..count as u64).map(bind).collect::<Result<_>>()?;
        Ok(Slot { input, output, chains })
    }
}

impl BoundChain {
    /// Records all layers. Nothing is submitted, copied or read back.
    ///
    /// Systems reset a device that is busy with one submission for some seconds, see [`Bound::encode`]. Whoever has more
    /// to do than the device's profile allows lets the chain [run](PreparedChain::run), which submits in pieces.
    pub fn encode(&self, pass: &mut ComputePass<'_>) {
        self.layers.iter().for_each(|layer| layer.encode(pass));
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.layers.iter().flat_map(Bound::steps)
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
