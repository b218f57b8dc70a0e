//! Layers one after another, whose activations stay on the device.

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
use crate::gpu::device::step::{Step, keep_together};
use crate::gpu::layer::Layer;
use crate::gpu::prepared::{Bound, Prepared};
use crate::gpu::storage::Storage;
use crate::kernel::Kernel;
use crate::op::ConvTranspose;
use crate::tensor::{Data, DataView, Tensor, TensorView};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use half::f16;
use std::sync::{Arc, Mutex, PoisonError};
use wgpu::{Buffer, BufferSlice, BufferUsages, ComputePass, MapMode, SubmissionIndex};

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
    /// What is written by the first, third … layer and by the second, fourth …, as far as a layer reads it.
    between: [Option<Buffer>; 2],
    /// All layers but the first and the last, which see the caller's buffers.
    middle: Vec<Bound>,
    /// What finished runs left for the next.
    slots: Mutex<Vec<Slot>>,
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
    staging: Buffer,
    chains: Vec<BoundChain>,
}

/// A run on its way: the device computes while the caller does something else.
#[derive(Debug)]
pub struct Pending {
    chain: PreparedChain,
    slot: Slot,
    receiver: OneshotReceiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    #[cfg_attr(target_family = "wasm", allow(dead_code, reason = "a browser polls by itself"))]
    submission: SubmissionIndex,
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
        let passed_on = &stages[..stages.len() - 1];
        let buffer = |turn: usize| {
            let size = passed_on.iter().skip(turn).step_by(2).map(Prepared::output_bytes).max();
            size.map(|size| self.context.buffer("upconv activations", size, BufferUsages::STORAGE)).transpose()
        };
        let between = [buffer(0)?, buffer(1)?];
        let mut middle = Vec::new();
        for (index, stage) in stages.iter().enumerate().skip(1).take(stages.len().saturating_sub(2)) {
            if let (Some(input), Some(output)) = (&between[(index - 1) % 2], &between[index % 2]) {
                middle.push(stage.bind(input.slice(..), output.slice(..))?);
            }
        }
        let context = self.context.clone();
        Ok(PreparedChain { inner: Arc::new(Inner { context, stages, between, middle, slots: Mutex::default() }) })
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

    /// The bytes of the buffers between the layers.
    pub fn between_bytes(&self) -> u64 {
        self.inner.between.iter().flatten().map(Buffer::size).sum()
    }

    /// Binds the caller's buffers, on the terms of [`Prepared::bind`].
    ///
    /// What is encoded of several of them in one pass runs one after another: they share the buffers between the
    /// layers.
    ///
    /// # Errors
    /// As [`Prepared::bind`].
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<BoundChain> {
        let Inner { stages, between, middle, .. } = &*self.inner;
        let layers = match &stages[..] {
            [] => Vec::new(),
            [only] => vec![only.bind(input, output)?],
            [first, .., last] => {
                let written = between[0].as_ref().map_or(output, |buffer| buffer.slice(..));
                let read = between[stages.len() % 2].as_ref().map_or(input, |buffer| buffer.slice(..));
                let mut layers = vec![first.bind(input, written)?];
                layers.extend_from_slice(middle);
                layers.push(last.bind(read, output)?);
                // All runs use the same buffers between the layers.
                keep_together(&mut layers.iter_mut().flat_map(Bound::steps_mut).collect::<Vec<_>>());
                layers
            }
        };
        Ok(BoundChain { layers })
    }

    /// Uploads inputs of the prepared shape, runs all layers on each in one pass and one submission, and reads the
    /// outputs back.
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
        let distance = self.distance(self.input_bytes());
        for (index, input) in inputs.iter().enumerate() {
            write(context, &slot.input, index as u64 * distance, *input, first.plan().storage())?;
        }
        let (sender, receiver) = oneshot_channel();
        let steps: Vec<&Step> = slot.chains.iter().flat_map(BoundChain::steps).collect();
        let submission = context.submit("upconv chain", &steps, |encoder| {
            encoder.copy_buffer_to_buffer(&slot.output, 0, &slot.staging, 0, slot.staging.size());
        })?;
        context.checked("reading a buffer", || {
            slot.staging.map_async(MapMode::Read, .., move |result| {
                // The receiver may be gone: the run was dropped.
                let _ = sender.send(result);
            });
        })?;
        Ok(Pending { chain: self.clone(), slot, receiver, submission })
    }

    /// From one input to the next in the buffer that holds them all: bindings begin at multiples of the alignment.
    fn distance(&self, bytes: u64) -> u64 {
        bytes.next_multiple_of(self.inner.context.profile().binding_alignment)
    }

    /// The buffers for `count` inputs: those of an earlier run, or new ones.
    fn slot(&self, count: usize) -> Result<Slot> {
        let mut slots = self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner);
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
        let staging = context.buffer("upconv staging", output_size, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?;
        let bind = |index: u64| {
            let (from, to) = (index * input_distance, index * output_distance);
            self.bind(input.slice(from..from + input_distance), output.slice(to..to + output_distance))
        };
        let chains = (0..count as u64).map(bind).collect::<Result<_>>()?;
        Ok(Slot { input, output, staging, chains })
    }
}

impl BoundChain {
    /// Records all layers. Nothing is submitted, copied or read back.
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
        let poll = wgpu::PollType::Wait { submission_index: Some(self.submission.clone()), timeout: None };
        self.chain.inner.context.device().poll(poll).map_err(|error| lost(&error))?;
        crate::gpu::device::block_on(self.finish())
    }

    /// [`wait`](Self::wait) as a future. The device must be polled meanwhile; a browser does so by itself.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn finish(self) -> Result<Vec<Tensor>> {
        match self.receiver.receive().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(lost(&error)),
            None => return Err(lost(&"its mapping was dropped")),
        }
        let Some(last) = self.chain.inner.stages.last() else { return Ok(Vec::new()) };
        let (shape, storage, length) =
            (last.geometry().output_shape(), last.plan().storage(), last.geometry().output_len());
        let distance = self.chain.distance(self.chain.output_bytes()) as usize;
        span!("take", bytes = self.slot.staging.size());
        let bytes = self.slot.staging.get_mapped_range(..).map_err(|error| lost(&error))?;
        let tensor = |index: usize| {
            let bytes = &bytes[index * distance..][..length * storage.size() as usize];
            // A mapped range need not be aligned for f32.
            let data = match storage {
                Storage::F32 => Data::F32(bytemuck::pod_collect_to_vec(bytes)),
                Storage::F16 => Data::F16(bytemuck::pod_collect_to_vec(bytes)),
            };
            Tensor::new(shape.clone(), data)
        };
        let outputs = (0..self.slot.chains.len()).map(tensor).collect::<Result<_>>()?;
        drop(bytes);
        self.slot.staging.unmap();
        self.chain.inner.slots.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
        Ok(outputs)
    }
}

/// Queues the elements of a tensor for a buffer, rounded where the storage is narrower. The offset is a multiple of 4,
/// and after the elements there is room for two bytes more.
fn write(context: &Context, buffer: &Buffer, offset: u64, tensor: TensorView<'_>, storage: Storage) -> Result<()> {
    let queue =
        |bytes: &[u8]| context.checked("writing a buffer", || context.queue().write_buffer(buffer, offset, bytes));
    match (storage, tensor.data()) {
        (Storage::F32, DataView::F32(v)) => queue(bytemuck::cast_slice(v)),
        (Storage::F32, _) => queue(bytemuck::cast_slice(&tensor.to_f32())),
        (Storage::F16, _) => {
            let mut narrowed = tensor.to_f16();
            if narrowed.len() % 2 == 1 {
                narrowed.push(f16::ZERO);
            }
            queue(bytemuck::cast_slice(&narrowed))
        }
    }
}

fn lost(reason: &dyn std::fmt::Display) -> Error {
    Error::DeviceLost { during: "running a chain of layers", reason: reason.to_string() }
}
