//! An operation with its weights on a device: packed once, prepared for a shape, bound to buffers, recorded.

use super::cache::Cache;
use super::context::Context;
use super::direct::{self, PackParams};
use super::gather::{self, pack};
use super::matrix;
use super::shader::Variant;
use super::slice;
use super::span::span;
use super::step::{Recorder, Step, piece};
use super::sum;
use super::transfer::{Download, Reading, storage_for};
use super::winograd;
use crate::convention::Convention;
use crate::error::{Error, Result};
use crate::op::{Axis, ConvTranspose, Geometry};
use crate::plan::bands::folded;
use crate::plan::{
    Band, Candidate, Dispatch, Kernel, Matrices, Matrix, Plan, Record, Storage, Window, Winograd, candidates,
    plan_candidate, plan_split, plan_with,
};
use crate::tensor::{DType, Tensor};
use std::sync::{Arc, OnceLock};
use wgpu::{
    BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferSize, BufferSlice, BufferUsages,
    CommandEncoder, ComputePass, ComputePassDescriptor, ComputePipeline,
};

/// A transposed convolution with its weights on a device. Cheap to clone; usable from many threads.
#[derive(Clone, Debug)]
pub struct Layer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    op: ConvTranspose,
    /// In the order of `gather`.
    weights: Buffer,
    /// In the order of `direct` and `tiled`, packed when one of them is first used.
    direct_weights: OnceLock<Buffer>,
    /// In the order of `matrix`, packed when it is first used.
    matrix_weights: OnceLock<Buffer>,
    /// The products of Winograd's filtering, made when it is first used.
    product: OnceLock<Layer>,
    /// Whether no weight is NaN or infinite. `direct` and `tiled` multiply weights by 0 where `gather` skips them.
    finite: bool,
    /// A weight that is no number of f16, where the device has cooperative matrices of f16 and there is one.
    beyond_f16: Option<f32>,
    prepared: Cache<Key, Prepared>,
}

/// All that the preparations of a layer differ in.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    /// Conventions change the padding.
    axes: [Axis; 3],
    input_shape: Vec<usize>,
    storage: Storage,
    wish: Wish,
}

/// At most this many preparations are kept for each layer.
const MAX_PREPARED: usize = 32;

/// A layer planned for one input shape. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    context: Context,
    /// The layer's, but for its padding.
    op: Arc<ConvTranspose>,
    geometry: Geometry,
    plan: Arc<Plan>,
    machine: Machine,
}

/// What runs a plan.
#[derive(Clone, Debug)]
enum Machine {
    Kernel(Compiled),
    Winograd(Arc<winograd::Machine>),
}

/// A compiled kernel.
#[derive(Clone, Debug)]
struct Compiled {
    pipeline: ComputePipeline,
    /// What adds up the splits of the input channels, where there are any.
    sum: Option<ComputePipeline>,
    /// In the kernel's order.
    weights: Buffer,
    /// In the order of `gather`, for the biases that `sum` and `matrix` add.
    records: Buffer,
}

/// A prepared layer with the caller's buffers.
#[derive(Clone, Debug)]
pub struct Bound {
    context: Context,
    /// In the order in which they run.
    steps: Vec<Step>,
}

/// What one dispatch is made of: its parameters at binding 0, behind them the parts of the buffers that it sees.
struct Call<'a> {
    pipeline: &'a ComputePipeline,
    params: Vec<u8>,
    buffers: Vec<(&'a Buffer, Window)>,
    workgroups: [u32; 3],
    kernel: &'static str,
    band: &'a Band,
    /// See [`Step`].
    multiply_adds: u64,
}

/// What a plan is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    /// What was measured or else estimated to be the fastest.
    Fastest,
    /// What is estimated to be the fastest without splits.
    Unsplit,
    Kernel(Kernel),
}

impl Layer {
    /// Packs the weights onto the device.
    ///
    /// `weight` has [`ConvTranspose::weight_shape`], `bias` `[out_channels]`; any [`DType`], converted to f32.
    ///
    /// # Errors
    /// Shapes that do not fit the operation, [`Error::Limit`] for weights beyond the device's largest buffer,
    /// [`Error::Device`].
    pub fn new(context: &Context, op: &ConvTranspose, weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        span!("pack", shape = ?weight.shape(), bytes = weight.data().len() as u64 * 4);
        let packed = pack(op, weight, bias)?;
        let weights = context.upload_bytes("upconv weights", bytemuck::cast_slice(&packed))?;
        let finite = packed.iter().all(|weight| weight.is_finite());
        let halved = context.profile().matrices.is_some_and(|matrices| matrices.factors == Storage::F16);
        let beyond_f16 = if halved { beyond_f16(op, &packed) } else { None };
        Ok(Self::with_records(context, op, weights, finite, beyond_f16))
    }

    /// A layer of weights that are on the device, finite, in the order of `gather`.
    /// Nobody asks for the kernel `matrix` of it, which wants to know more of them.
    pub(super) fn of_records(context: &Context, op: &ConvTranspose, weights: Buffer) -> Self {
        Self::with_records(context, op, weights, true, None)
    }

    fn with_records(
        context: &Context,
        op: &ConvTranspose,
        weights: Buffer,
        finite: bool,
        beyond_f16: Option<f32>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                context: context.clone(),
                op: op.clone(),
                weights,
                direct_weights: OnceLock::new(),
                matrix_weights: OnceLock::new(),
                product: OnceLock::new(),
                finite,
                beyond_f16,
                prepared: Cache::new(MAX_PREPARED),
            }),
        }
    }

    /// The operation.
    pub fn op(&self) -> &ConvTranspose {
        &self.inner.op
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// Plans the layer for an input shape, in the order of the operation's layout, and compiles its kernel. The last
    /// few preparations are kept, so that preparing again costs next to nothing.
    ///
    /// Compiling takes from 10 ms to seconds. So that an application goes on meanwhile, prepare and
    /// [`warm up`](Prepared::warm_up) on a thread:
    ///
    /// ```no_run
    /// # fn example(layer: upconv::gpu::Layer) {
    /// use upconv::{Result, Storage};
    ///
    /// let (shape, other) = ([1, 64, 128, 128], layer.clone());
    /// let warming = std::thread::spawn(move || other.prepare(&shape, Storage::F32)?.warm_up());
    /// // Meanwhile other layers run. Once `warming.is_finished()`:
    /// let prepared: Result<_> = layer.prepare(&shape, Storage::F32); // at hand
    /// # }
    /// ```
    ///
    /// Whoever needs the same kernel meanwhile waits for it, and nobody else.
    ///
    /// # Errors
    /// What [`ConvTranspose::at`] and [`Context::plan`] refuse, [`Error::Device`].
    pub fn prepare(&self, input_shape: &[usize], storage: Storage) -> Result<Prepared> {
        self.prepare_op(&self.inner.op, input_shape, storage, Wish::Fastest)
    }

    /// As [`prepare`](Self::prepare), with the padding and output padding that a convention means at this shape. The
    /// weights are packed for any of them.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and what [`Convention::resolve`] refuses.
    pub fn prepare_to(&self, convention: &Convention, input_shape: &[usize], storage: Storage) -> Result<Prepared> {
        self.prepare_op(&convention.resolve(&self.inner.op, input_shape)?, input_shape, storage, Wish::Fastest)
    }

    /// As [`prepare`](Self::prepare), with a kernel of the caller's choice.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and [`Error::Kernel`] saying why the kernel cannot run this layer.
    pub fn prepare_with(&self, input_shape: &[usize], storage: Storage, kernel: Kernel) -> Result<Prepared> {
        self.prepare_op(&self.inner.op, input_shape, storage, Wish::Kernel(kernel))
    }

    /// As [`prepare`](Self::prepare), without splits and whatever was measured: a part of a picture is planned as the
    /// whole is, but for its size.
    pub(super) fn prepare_unsplit(&self, input_shape: &[usize], storage: Storage) -> Result<Prepared> {
        self.prepare_op(&self.inner.op, input_shape, storage, Wish::Unsplit)
    }

    /// As planned, for an input that the plan is for.
    pub(super) fn prepare_as(&self, input_shape: &[usize], plan: &Plan) -> Result<Prepared> {
        let op = &self.inner.op;
        self.prepare_plan(op, op.at(input_shape)?, plan.clone())
    }

    /// The ways in which the layer may be computed at an input shape, those with the least estimated cost first.
    ///
    /// # Errors
    /// What [`ConvTranspose::at`] refuses.
    pub fn candidates(&self, input_shape: &[usize]) -> Result<Vec<Candidate>> {
        let Inner { context, op, finite, .. } = &*self.inner;
        let mut candidates = candidates(op, &op.at(input_shape)?, context.profile());
        candidates.retain(|candidate| *finite || candidate.kernel() == Kernel::Gather);
        Ok(candidates)
    }

    /// As [`prepare`](Self::prepare), with one of [`candidates`](Self::candidates).
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and [`Error::Kernel`] for what is no candidate at this shape.
    pub fn prepare_candidate(
        &self,
        input_shape: &[usize],
        storage: Storage,
        candidate: &Candidate,
    ) -> Result<Prepared> {
        self.check_weights(candidate.kernel())?;
        let Inner { context, op, .. } = &*self.inner;
        let geometry = op.at(input_shape)?;
        let plan = plan_candidate(op, &geometry, storage, context.profile(), candidate, "it was asked for")?;
        self.prepare_plan(op, geometry, plan)
    }

    /// Refuses kernels that would multiply NaN and infinity by 0, or round weights.
    fn check_weights(&self, kernel: Kernel) -> Result<()> {
        let reason = match (kernel, self.inner.beyond_f16) {
            (Kernel::Gather, _) => return Ok(()),
            _ if !self.inner.finite => {
                "a weight is NaN or infinite, and taps outside the input are multiplied by 0".to_string()
            }
            (Kernel::Matrix, Some(weight)) => format!(
                "the device's matrices are of f16, to which the weight {weight} would be rounded; cast the weights to \
                 float16 to have them so"
            ),
            _ => return Ok(()),
        };
        Err(Error::Kernel { kernel, reason })
    }

    fn prepare_op(&self, op: &ConvTranspose, input_shape: &[usize], storage: Storage, wish: Wish) -> Result<Prepared> {
        let key = Key { axes: *op.axes3(), input_shape: input_shape.to_vec(), storage, wish };
        self.inner.prepared.get(&key, || self.prepare_anew(op, input_shape, storage, wish))
    }

    fn prepare_anew(
        &self,
        op: &ConvTranspose,
        input_shape: &[usize],
        storage: Storage,
        wish: Wish,
    ) -> Result<Prepared> {
        span!("prepare", shape = ?input_shape, storage = ?storage);
        let Inner { context, finite, .. } = &*self.inner;
        let (geometry, profile) = (op.at(input_shape)?, context.profile());
        let plan = match wish {
            Wish::Kernel(kernel) => {
                self.check_weights(kernel)?;
                plan_with(op, &geometry, storage, profile, kernel)?
            }
            _ if !finite => plan_with(op, &geometry, storage, profile, Kernel::Gather)?,
            Wish::Fastest => context.plan(op, &geometry, storage)?,
            Wish::Unsplit => plan_split(op, &geometry, storage, profile, 1)?,
        };
        self.prepare_plan(op, geometry, plan)
    }

    fn prepare_plan(&self, op: &ConvTranspose, geometry: Geometry, plan: Plan) -> Result<Prepared> {
        let Inner { context, weights, .. } = &*self.inner;
        if let Some(matrix) = &plan.matrix {
            context.check_matrices(&matrix.matrices)?;
        }
        let machine = match &plan.winograd {
            Some(laid) => {
                let product = self.product(laid)?;
                Machine::Winograd(Arc::new(winograd::Machine::new(
                    &product,
                    weights,
                    op,
                    &geometry,
                    plan.storage,
                    laid,
                )?))
            }
            None => Machine::Kernel(Compiled {
                pipeline: context.pipeline(&Variant::of(op, &plan))?,
                sum: Variant::sum(op, &plan).map(|variant| context.pipeline(&variant)).transpose()?,
                records: weights.clone(),
                weights: match (&plan.tile, &plan.matrix) {
                    (Some(_), _) => self.direct_weights()?,
                    (None, Some(matrix)) => self.matrix_weights(matrix)?,
                    (None, None) => weights.clone(),
                },
            }),
        };
        let (context, op, plan) = (context.clone(), Arc::new(op.clone()), Arc::new(plan));
        Ok(Prepared { context, op, geometry, plan, machine })
    }

    /// The products of Winograd's filtering as a layer of their own.
    fn product(&self, laid: &Winograd) -> Result<Layer> {
        let Inner { context, op, weights, product, .. } = &*self.inner;
        if let Some(made) = product.get() {
            return Ok(made.clone());
        }
        let made = winograd::product(context, op, weights, &laid.product)?;
        // Two threads may both have made it; either will do.
        Ok(product.get_or_init(|| made).clone())
    }

    /// The weights in the order of `direct` and `tiled`.
    fn direct_weights(&self) -> Result<Buffer> {
        let Inner { context, op, direct_weights, .. } = &*self.inner;
        if let Some(packed) = direct_weights.get() {
            return Ok(packed.clone());
        }
        let params = PackParams::new(op);
        let workgroups = params.workgroups(context.profile().max_workgroups);
        let packed = self.pack(&Variant::Pack, bytemuck::bytes_of(&params), workgroups, direct::packed_bytes(op))?;
        // Two threads may both have packed them; either will do.
        Ok(direct_weights.get_or_init(|| packed).clone())
    }

    /// The weights in the order of `matrix`.
    fn matrix_weights(&self, matrix: &Matrix) -> Result<Buffer> {
        let Inner { context, op, matrix_weights, .. } = &*self.inner;
        if let Some(packed) = matrix_weights.get() {
            return Ok(packed.clone());
        }
        let Matrices { side, factors, .. } = matrix.matrices;
        let params = matrix::PackParams::new(op, side);
        let workgroups = params.workgroups(context.profile().max_workgroups);
        let (variant, size) = (Variant::MatrixWeights { factors }, params.bytes(factors));
        let packed = self.pack(&variant, bytemuck::bytes_of(&params), workgroups, size)?;
        Ok(matrix_weights.get_or_init(|| packed).clone())
    }

    /// The weights in another order, which takes so many bytes.
    fn pack(&self, variant: &Variant, params: &[u8], [x, y]: [u32; 2], size: u64) -> Result<Buffer> {
        let Inner { context, weights, .. } = &*self.inner;
        span!("pack", bytes = size);
        let packed = context.buffer("upconv packed weights", size, BufferUsages::STORAGE)?;
        let uniform = context.uniform(params)?;
        let pipeline = context.pipeline(variant)?;
        context.checked("packing weights", || {
            let entries = [
                entry(0, &uniform, whole(&uniform)),
                entry(1, weights, whole(weights)),
                entry(2, &packed, whole(&packed)),
            ];
            let layout = pipeline.get_bind_group_layout(0);
            let descriptor = BindGroupDescriptor { label: Some("upconv packing"), layout: &layout, entries: &entries };
            let bind_group = context.device().create_bind_group(&descriptor);
            let mut encoder = context.device().create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &bind_group, &[]);
                pass.dispatch_workgroups(x, y, 1);
            }
            context.queue().submit([encoder.finish()]);
        })?;
        Ok(packed)
    }

    /// Uploads the input, computes, and reads the output back.
    ///
    /// The output has the input's element type; f16 is stored as f32 on devices without `SHADER_F16`, and bf16 gives
    /// f32.
    ///
    /// # Errors
    /// What [`Layer::prepare`] refuses, [`Error::DType`] for f64, [`Error::Limit`] for tensors beyond the device's
    /// largest buffer, [`Error::Device`], [`Error::DeviceLost`].
    #[cfg(not(target_family = "wasm"))]
    pub fn run(&self, input: &Tensor) -> Result<Tensor> {
        let (download, dtype) = self.start(input, Wish::Fastest)?;
        Ok(download.wait()?.into_dtype(dtype))
    }

    /// As [`run`](Self::run), with a kernel of the caller's choice.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`Error::Kernel`] saying why the kernel cannot run this layer.
    #[cfg(not(target_family = "wasm"))]
    pub fn run_with(&self, input: &Tensor, kernel: Kernel) -> Result<Tensor> {
        let (download, dtype) = self.start(input, Wish::Kernel(kernel))?;
        Ok(download.wait()?.into_dtype(dtype))
    }

    /// [`Layer::run`] as a future. The device must be polled meanwhile, as for every `map_async` of wgpu; a browser
    /// does so by itself.
    ///
    /// # Errors
    /// As [`Layer::run`].
    pub async fn run_async(&self, input: &Tensor) -> Result<Tensor> {
        let (download, dtype) = self.start(input, Wish::Fastest)?;
        Ok(download.finish().await?.into_dtype(dtype))
    }

    fn start(&self, input: &Tensor, wish: Wish) -> Result<(Download, DType)> {
        span!("run", shape = ?input.shape());
        let context = &self.inner.context;
        let storage = storage_for(input.dtype(), context)?;
        let prepared = self.prepare_op(&self.inner.op, input.shape(), storage, wish)?;
        let x = context.upload(input, storage)?;
        let y =
            context.buffer("upconv output", prepared.output_bytes(), BufferUsages::STORAGE | BufferUsages::COPY_SRC)?;
        let bound = prepared.bind(x.slice(..), y.slice(..))?;
        let steps: Vec<&Step> = bound.steps.iter().collect();
        context.submit("upconv layer", &steps, |_| {})?;
        let download = context.start_download(&y, &prepared.geometry.output_shape(), storage)?;
        let dtype = if input.dtype() == DType::Bf16 { DType::F32 } else { input.dtype() };
        Ok((download, dtype))
    }
}

impl Prepared {
    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What was decided.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The bytes the input buffer must have.
    pub fn input_bytes(&self) -> u64 {
        bytes(self.geometry.input_len(), self.plan.storage)
    }

    /// The bytes the output buffer must have.
    pub fn output_bytes(&self) -> u64 {
        bytes(self.geometry.output_len(), self.plan.storage)
    }

    /// Binds the caller's buffers: two different ones, with usage STORAGE, from offsets that are multiples of the
    /// device's `min_storage_buffer_offset_alignment`, holding at least [`input_bytes`](Self::input_bytes) and
    /// [`output_bytes`](Self::output_bytes).
    ///
    /// # Errors
    /// [`Error::Buffer`] saying which of this does not hold, [`Error::Device`].
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Bound> {
        let context = &self.context;
        span!("bind", kernel = self.plan.kernel.name(), dispatches = self.plan.dispatch_count());
        slice::check(context, "input", &input, self.input_bytes())?;
        slice::check(context, "output", &output, self.output_bytes())?;
        if input.buffer() == output.buffer() {
            let problem = "is the input's buffer too; wgpu tracks each buffer as a whole, so it must be another".into();
            return Err(Error::Buffer { what: "output", problem });
        }
        let kernel = match &self.machine {
            Machine::Kernel(kernel) => kernel,
            Machine::Winograd(machine) => {
                let bytes = [self.input_bytes(), self.output_bytes()];
                let steps = machine.steps(context, &self.op, &self.geometry, input, output, bytes)?;
                return Ok(Bound { context: context.clone(), steps });
            }
        };
        let scratch = match self.plan.scratch {
            0 => None,
            size => Some(context.buffer("upconv sums", size, BufferUsages::STORAGE)?),
        };
        let calls = self.calls(kernel, &input, &output, scratch.as_ref());
        let (uniform, windows) = context.uniforms(&calls.iter().map(|call| &call.params[..]).collect::<Vec<_>>())?;
        let steps = context.checked("binding buffers", || {
            let bind = |(call, &params): (&Call<'_>, &Window)| {
                let buffers = std::iter::once((&uniform, params)).chain(call.buffers.iter().copied());
                let entries: Vec<_> =
                    (0..).zip(buffers).map(|(binding, (buffer, window))| entry(binding, buffer, window)).collect();
                let layout = &call.pipeline.get_bind_group_layout(0);
                let descriptor = BindGroupDescriptor { label: Some("upconv layer"), layout, entries: &entries };
                Step {
                    pipeline: call.pipeline.clone(),
                    bind_group: context.device().create_bind_group(&descriptor),
                    workgroups: call.workgroups,
                    kernel: call.kernel,
                    band: Some(call.band.clone()),
                    multiply_adds: call.multiply_adds,
                }
            };
            calls.iter().zip(&windows).map(bind).collect()
        })?;
        Ok(Bound { context: context.clone(), steps })
    }

    /// Makes the driver do now what it would leave to the first dispatch: some compile only then. Runs one workgroup of
    /// each kernel, on buffers of its own that it lets go; waits until the device is done.
    ///
    /// Meanwhile other threads record and submit as usual; the device does what is submitted in its order.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), [`Error::Limit`] where the device has no buffer that large, [`Error::DeviceLost`].
    #[cfg(not(target_family = "wasm"))]
    pub fn warm_up(&self) -> Result<()> {
        self.start_warming_up()?.wait(|_| ())
    }

    /// [`warm_up`](Self::warm_up) as a future. The device must be polled meanwhile; a browser does so by itself.
    ///
    /// # Errors
    /// As [`warm_up`](Self::warm_up).
    pub async fn warm_up_async(&self) -> Result<()> {
        self.start_warming_up()?.finish(|_| ()).await
    }

    fn start_warming_up(&self) -> Result<Reading> {
        span!("warm up", kernel = self.plan.kernel.name());
        let context = &self.context;
        let x = context.buffer("upconv input", self.input_bytes(), BufferUsages::STORAGE)?;
        let y = context.buffer("upconv output", self.output_bytes(), BufferUsages::STORAGE | BufferUsages::COPY_SRC)?;
        let mut steps = self.bind(x.slice(..), y.slice(..))?.steps;
        steps.dedup_by(|next, step| next.pipeline == step.pipeline);
        for step in &mut steps {
            (step.workgroups, step.multiply_adds) = ([1; 3], 0);
        }
        context.submit("upconv warming up", &steps.iter().collect::<Vec<_>>(), |_| {})?;
        context.start_reading(&y, 0)
    }

    /// [`bind`](Self::bind) and [`Bound::encode`] in a pass of its own.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn encode(&self, encoder: &mut CommandEncoder, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<()> {
        let bound = self.bind(input, output)?;
        let descriptor = ComputePassDescriptor { label: Some("upconv layer"), timestamp_writes: None };
        bound.encode(&mut encoder.begin_compute_pass(&descriptor));
        Ok(())
    }

    /// The plan's dispatches, each followed by the sum of its splits where these are complete.
    fn calls<'a>(
        &'a self,
        kernel: &'a Compiled,
        input: &BufferSlice<'a>,
        output: &BufferSlice<'a>,
        scratch: Option<&'a Buffer>,
    ) -> Vec<Call<'a>> {
        let Self { context, op, .. } = self;
        let scratch = scratch.map(|buffer| (buffer, whole(buffer)));
        let mut calls = Vec::new();
        for dispatch in &self.plan.dispatches {
            let x = (input.buffer(), shifted(dispatch.input, input));
            let w = (&kernel.weights, dispatch.weights);
            let y = (output.buffer(), shifted(dispatch.output, output));
            let (params, workgroups) = (self.params(dispatch), dispatch.workgroups);
            let buffers = match (&kernel.sum, scratch) {
                (Some(_), Some(sums)) => vec![x, w, sums],
                _ if self.plan.matrix.is_some() => vec![x, w, (&kernel.records, whole(&kernel.records)), y],
                _ => [x, w, y].into_iter().chain(scratch).collect(),
            };
            let (name, band, multiply_adds) = (self.plan.kernel.name(), &dispatch.band, dispatch.multiply_adds);
            let pipeline = &kernel.pipeline;
            calls.push(Call { pipeline, params, buffers, workgroups, kernel: name, band, multiply_adds });
            let last = dispatch.band.group_in_channels.end == op.in_channels() / op.groups();
            if let (Some(sum), Some(sums), true) = (&kernel.sum, scratch, last) {
                let params = sum::Params::new(&self.op, &self.geometry, &self.plan, dispatch);
                calls.push(Call {
                    pipeline: sum,
                    params: bytemuck::bytes_of(&params).to_vec(),
                    buffers: vec![sums, (&kernel.records, whole(&kernel.records)), y],
                    workgroups: folded(band, context.profile()),
                    kernel: "sum",
                    band,
                    // It reads what the dispatches before it left.
                    multiply_adds: 0,
                });
            }
        }
        calls
    }

    /// The kernel's parameters for a dispatch.
    fn params(&self, dispatch: &Dispatch) -> Vec<u8> {
        let (op, geometry) = (&self.op, &self.geometry);
        if let Some(matrix) = &self.plan.matrix {
            return matrix::uniforms(op, geometry, matrix);
        }
        match &self.plan.tile {
            None => bytemuck::bytes_of(&gather::Params::new(op, geometry, &self.plan, dispatch)).to_vec(),
            Some(tile) => {
                bytemuck::bytes_of(&direct::Params::new(op, geometry, self.plan.storage, tile, dispatch)).to_vec()
            }
        }
    }
}

impl Bound {
    /// Records the dispatches. Nothing is submitted, copied or read back.
    ///
    /// Systems reset a device that is busy with one submission for some seconds. A single dispatch stays within the
    /// [`max_multiply_adds`](crate::DeviceProfile::max_multiply_adds) of the device's profile; where a layer needs more
    /// of them, encode its [`pieces`](Self::pieces) into a submission each.
    pub fn encode(&self, pass: &mut ComputePass<'_>) {
        let mut recorder = Recorder::default();
        self.steps.iter().for_each(|step| recorder.record(step, pass));
    }

    /// The same dispatches in as few pieces as stay within
    /// [`max_multiply_adds`](crate::DeviceProfile::max_multiply_adds) each; in their order they give the same bits.
    pub fn pieces(&self) -> impl Iterator<Item = Bound> + '_ {
        let mut left = &self.steps[..];
        std::iter::from_fn(move || {
            let steps = left.split_off(..piece(left, self.context.profile().max_multiply_adds))?.to_vec();
            (!steps.is_empty()).then(|| Bound { context: self.context.clone(), steps })
        })
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The dispatches.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn steps_mut(&mut self) -> &mut [Step] {
        &mut self.steps
    }
}

/// The first of the weights, in the order of `gather`, that is no number of f16.
fn beyond_f16(op: &ConvTranspose, packed: &[f32]) -> Option<f32> {
    let Record { stride, .. } = Record::new(op);
    let taps = packed.chunks_exact(stride).flat_map(|record| &record[1..stride - 1]);
    taps.copied().find(|&weight| half::f16::from_f32(weight).to_f32() != weight)
}

fn bytes(elements: usize, storage: Storage) -> u64 {
    (elements as u64 * storage.size()).next_multiple_of(4).max(4)
}

pub(super) fn whole(buffer: &Buffer) -> Window {
    Window { offset: 0, size: buffer.size() }
}

fn shifted(window: Window, slice: &BufferSlice<'_>) -> Window {
    Window { offset: window.offset + slice.offset(), ..window }
}

pub(super) fn entry(binding: u32, buffer: &Buffer, window: Window) -> BindGroupEntry<'_> {
    let resource =
        BindingResource::Buffer(BufferBinding { buffer, offset: window.offset, size: BufferSize::new(window.size) });
    BindGroupEntry { binding, resource }
}
