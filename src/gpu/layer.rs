//! An operation with its weights on a device: packed once, and prepared for a shape.

use crate::convention::Convention;
use crate::error::{Error, Result};
use crate::gpu::device::cache::Cache;
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
use crate::gpu::device::step::Step;
use crate::gpu::device::transfer::{Download, storage_for};
use crate::gpu::kernels::matrix::layout::Matrix;
use crate::gpu::kernels::pack;
use crate::gpu::kernels::pack::records::Record;
use crate::gpu::kernels::pack::records::pack;
use crate::gpu::kernels::variant::Variant;
use crate::gpu::kernels::winograd::layout::Winograd;
use crate::gpu::kernels::winograd::machine as winograd;
use crate::gpu::plan::{Candidate, Plan, candidates, plan_candidate, plan_split, plan_with};
use crate::gpu::prepared::{Compiled, Machine, Prepared, entry, whole};
use crate::gpu::profile::Matrices;
use crate::gpu::storage::Storage;
use crate::kernel::{Kernel, Refusal};
use crate::op::{Axis, ConvTranspose, Geometry};
use crate::tensor::{Bias, DType, Tensor, TensorView};
use std::sync::{Arc, OnceLock};
use wgpu::{BindGroupDescriptor, Buffer, BufferUsages};

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
    pub fn new<'a>(
        context: &Context,
        op: &ConvTranspose,
        weight: impl Into<TensorView<'a>>,
        bias: impl Into<Bias<'a>>,
    ) -> Result<Self> {
        let (weight, Bias(bias)) = (weight.into(), bias.into());
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
    pub(crate) fn of_records(context: &Context, op: &ConvTranspose, weights: Buffer) -> Self {
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
    pub(crate) fn prepare_unsplit(&self, input_shape: &[usize], storage: Storage) -> Result<Prepared> {
        self.prepare_op(&self.inner.op, input_shape, storage, Wish::Unsplit)
    }

    /// As planned, for an input that the plan is for.
    pub(crate) fn prepare_as(&self, input_shape: &[usize], plan: &Plan) -> Result<Prepared> {
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
            _ if !self.inner.finite => Refusal::NonFiniteWeights,
            (Kernel::Matrix, Some(weight)) => Refusal::RoundedWeight { weight },
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
        let params = pack::tiles::PackParams::new(op);
        let workgroups = params.workgroups(context.profile().max_workgroups);
        let (params, size) = (bytemuck::bytes_of(&params), pack::tiles::packed_bytes(op));
        span!("pack", kernel = "direct", bytes = size);
        let packed = self.pack(&Variant::Pack, params, workgroups, size)?;
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
        let params = pack::matrix::PackParams::new(op, side);
        let workgroups = params.workgroups(context.profile().max_workgroups);
        let (variant, size) = (Variant::MatrixWeights { factors }, params.bytes(factors));
        span!("pack", kernel = "matrix", bytes = size);
        let packed = self.pack(&variant, bytemuck::bytes_of(&params), workgroups, size)?;
        Ok(matrix_weights.get_or_init(|| packed).clone())
    }

    /// The weights in another order, which takes so many bytes.
    fn pack(&self, variant: &Variant, params: &[u8], [x, y]: [u32; 2], size: u64) -> Result<Buffer> {
        let Inner { context, weights, .. } = &*self.inner;
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
    pub fn run<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let (download, dtype) = self.start(input.into(), Wish::Fastest)?;
        Ok(download.wait()?.into_dtype(dtype))
    }

    /// As [`run`](Self::run), with a kernel of the caller's choice.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`Error::Kernel`] saying why the kernel cannot run this layer.
    #[cfg(not(target_family = "wasm"))]
    pub fn run_with<'a>(&self, input: impl Into<TensorView<'a>>, kernel: Kernel) -> Result<Tensor> {
        let (download, dtype) = self.start(input.into(), Wish::Kernel(kernel))?;
        Ok(download.wait()?.into_dtype(dtype))
    }

    /// [`Layer::run`] as a future. The device must be polled meanwhile, as for every `map_async` of wgpu; a browser
    /// does so by itself.
    ///
    /// # Errors
    /// As [`Layer::run`].
    pub async fn run_async<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let (download, dtype) = self.start(input.into(), Wish::Fastest)?;
        Ok(download.finish().await?.into_dtype(dtype))
    }

    fn start(&self, input: TensorView<'_>, wish: Wish) -> Result<(Download, DType)> {
        span!("run", shape = ?input.shape());
        let context = &self.inner.context;
        let storage = storage_for(input.dtype(), context)?;
        let prepared = self.prepare_op(&self.inner.op, input.shape(), storage, wish)?;
        let x = context.upload(input, storage)?;
        let y =
            context.buffer("upconv output", prepared.output_bytes(), BufferUsages::STORAGE | BufferUsages::COPY_SRC)?;
        let bound = prepared.bind(x.slice(..), y.slice(..))?;
        let steps: Vec<&Step> = bound.steps().iter().collect();
        context.submit("upconv layer", &steps, |_| {})?;
        let download = context.start_download(&y, &prepared.geometry.output_shape(), storage)?;
        let dtype = if input.dtype() == DType::Bf16 { DType::F32 } else { input.dtype() };
        Ok((download, dtype))
    }
}

/// The first of the weights, in the order of `gather`, that is no number of f16.
fn beyond_f16(op: &ConvTranspose, packed: &[f32]) -> Option<f32> {
    let Record { stride, .. } = Record::new(op);
    let taps = packed.chunks_exact(stride).flat_map(|record| &record[1..stride - 1]);
    taps.copied().find(|&weight| half::f16::from_f32(weight).to_f32() != weight)
}
