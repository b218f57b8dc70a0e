//! An operation with its weights on a device: packed once, and prepared for a shape.

use crate::convention::Convention;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::gpu::device::cache::Cache;
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
use crate::gpu::device::step::Step;
use crate::gpu::device::transfer::{Download, storage_for};
use crate::gpu::kernels::pack::set::SetParams;
use crate::gpu::kernels::tiles::register_search::Sums;
use crate::gpu::plan::body::Plan;
use crate::gpu::plan::candidate::{Candidate, candidates};
use crate::gpu::plan::choice::Reuse;
use crate::gpu::prepared::Prepared;
use crate::gpu::request::{Request, Wish};
use crate::gpu::weights::Weights;
use crate::gradient::refuse_pre_activation;
use crate::kernel::Kernel;
use crate::layout::WeightLayout;
use crate::op::{Axis, ConvTranspose, Convolution};
use crate::tensor::{Bias, DType, Tensor, TensorView};
use std::sync::{Arc, OnceLock};
use wgpu::{BufferSlice, BufferUsages};
#[cfg(not(target_family = "wasm"))]
use {
    crate::op::Geometry,
    crate::tensor::{DataMut, check_len},
};

/// A transposed convolution with its weights on a device. Cheap to clone; usable from many threads.
///
/// ```no_run
/// use upconv::gpu::{Context, Layer};
/// use upconv::{ConvTranspose, Storage, Tensor};
/// # fn example(context: Context, op: ConvTranspose, weight: Tensor, x: Tensor) -> upconv::Result<()> {
/// let layer = Layer::new(&context, &op, &weight, None)?; // packs the weights, once
/// let y = layer.run(&x)?; // from host memory to host memory
/// let prepared = layer.prepare(x.shape(), Storage::F32)?; // for buffers of your own
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Layer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    weights: Arc<Weights>,
    /// How a weight is read that is given as the layer's first one was.
    given: SetParams,
    /// The order of the weight of the ordinary convolution that the layer was made of.
    convolution: Option<WeightLayout>,
    prepared: Cache<Key, Prepared>,
    /// The layer whose forward pass is this one's input gradient, made when it is first needed.
    adjoint: OnceLock<Layer>,
}

/// All that the preparations of a layer differ in.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    /// Conventions change the padding.
    axes: [Axis; 3],
    /// Whether the activation is in it, which training leaves out.
    activates: bool,
    input_shape: Vec<usize>,
    request: Request,
}

/// At most this many preparations are kept for each layer.
const MAX_PREPARED: usize = 32;

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
        Ok(Self::of(Weights::new(context, op, weight, bias)?.into(), SetParams::new(op), None))
    }

    /// An ordinary convolution as a layer: that of its [`transposed`](Convolution::transposed) form, which
    /// [`op`](Self::op) then is.
    ///
    /// `weight` has [`Convolution::weight_shape`], `bias` `[out_channels]`; any [`DType`], converted to f32.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn convolution<'a>(
        context: &Context,
        convolution: &Convolution,
        weight: impl Into<TensorView<'a>>,
        bias: impl Into<Bias<'a>>,
    ) -> Result<Self> {
        let (weight, Bias(bias)) = (convolution.turned(weight)?, bias.into());
        let weights = Weights::new(context, convolution.transposed(), weight.view(), bias)?;
        Ok(Self::of(weights.into(), SetParams::convolution(convolution), Some(convolution.weight_layout())))
    }

    fn of(weights: Arc<Weights>, given: SetParams, convolution: Option<WeightLayout>) -> Self {
        let (prepared, adjoint) = (Cache::new(MAX_PREPARED), OnceLock::new());
        Self { inner: Arc::new(Inner { weights, given, convolution, prepared, adjoint }) }
    }

    /// Gives the layer new weights from buffers on the device, as an optimiser leaves them: nothing is read back or
    /// uploaded. Everything that was prepared or bound stays valid, and computes with the new weights what is submitted
    /// from now on; input gradients as well. It submits by itself, so that what the caller submitted before is done with
    /// the old weights, and what fills the buffers must have been submitted.
    ///
    /// `weight` is f32 of the shape and the order that the layer's first one had, which are those of its
    /// [gradient](crate::gpu::PreparedBackward::weight_bytes): the operation's, or for a layer that was made by
    /// [`convolution`](Self::convolution) the convolution's own. `bias` is f32 of `[out_channels]`; without it the biases
    /// stay as they are. Both have usage STORAGE and begin at multiples of the device's
    /// `min_storage_buffer_offset_alignment`; they may be in one buffer.
    ///
    /// The host does not know the values. Where one is NaN or infinite, kernels other than [`Kernel::Gather`] may spread
    /// NaN beyond the outputs that it reaches; a layer that was made with such a weight stays with `gather`.
    /// [`Kernel::Matrix`] with matrices of f16 rounds the weights to f16, and is refused to what is prepared from now on.
    ///
    /// # Errors
    /// [`Error::Buffer`] for a buffer that is too small, not aligned or without usage STORAGE; [`Error::Limit`] for
    /// weights beyond the device's largest binding; [`Error::Device`]. The layer keeps its weights then.
    pub fn set_weights(&self, weight: BufferSlice<'_>, bias: Option<BufferSlice<'_>>) -> Result<()> {
        self.inner.weights.set(self.inner.given, weight, bias)
    }

    /// The order of the weight of the ordinary convolution that the layer was made of.
    pub(crate) fn convolution_layout(&self) -> Option<WeightLayout> {
        self.inner.convolution
    }

    /// The operation.
    pub fn op(&self) -> &ConvTranspose {
        &self.inner.weights.op
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.inner.weights.context
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
    /// What [`ConvTranspose::at`] and [`Plan::new`] refuse, [`Error::OutOfRange`] for channels beyond those of a larger
    /// tensor, [`Error::Kernel`] saying why a kernel that was asked for cannot run the layer; [`Error::Device`].
    pub fn prepare(&self, input_shape: &[usize], request: impl Into<Request>) -> Result<Prepared> {
        self.prepare_op(self.op(), input_shape, request.into())
    }

    /// As [`prepare`](Self::prepare), with the padding and output padding that a convention means at this shape. The
    /// weights are packed for any of them.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and what [`Convention::resolve`] refuses.
    pub fn prepare_to(
        &self,
        convention: &Convention,
        input_shape: &[usize],
        request: impl Into<Request>,
    ) -> Result<Prepared> {
        self.prepare_op(&convention.resolve(self.op(), input_shape)?, input_shape, request.into())
    }

    /// The ways in which the layer may be computed at an input shape, those with the least estimated cost first.
    ///
    /// # Errors
    /// What [`ConvTranspose::at`] refuses.
    pub fn candidates(&self, input_shape: &[usize]) -> Result<Vec<Candidate>> {
        let mut candidates = candidates(&self.op().at(input_shape)?, self.context().profile());
        candidates.retain(|candidate| self.inner.weights.finite || candidate.kernel() == Kernel::Gather);
        Ok(candidates)
    }

    /// Plans the input gradient at an input shape: what is prepared reads the gradient with respect to the sums before the
    /// activation, of the output's shape, and writes the one with respect to the input. It is the ordinary convolution
    /// with this layer's weights, for which [`Request::accumulating`] adds to what the gradient's buffer holds.
    ///
    /// The weights are turned on the device when they are first needed.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and [`Error::Gradient`] for an operation with an activation before the products.
    pub fn prepare_input_gradient(&self, input_shape: &[usize], request: impl Into<Request>) -> Result<Prepared> {
        refuse_pre_activation(self.op())?;
        let geometry = self.op().at(input_shape)?;
        let adjoint = match self.inner.adjoint.get() {
            Some(adjoint) => adjoint,
            None => {
                let weights = self.inner.weights.adjoint()?;
                let given = SetParams::new(&weights.op);
                self.inner.adjoint.get_or_init(|| Self::of(weights, given, None))
            }
        };
        adjoint.prepare_op(&geometry.adjoint(), &geometry.output_shape(), request.into())
    }

    pub(crate) fn prepare_op(&self, op: &ConvTranspose, input_shape: &[usize], request: Request) -> Result<Prepared> {
        if matches!(request.wish, Wish::Candidate(_)) {
            // Of many, which are tried in turn, none is worth another's place.
            return self.prepare_anew(op, input_shape, request);
        }
        let (axes, activates) = (*op.axes3(), op.activation() == self.op().activation());
        let key = Key { axes, activates, input_shape: input_shape.to_vec(), request };
        self.inner.prepared.get(&key, || Ok((self.prepare_anew(op, input_shape, request)?, 1)))
    }

    fn prepare_anew(&self, op: &ConvTranspose, input_shape: &[usize], request: Request) -> Result<Prepared> {
        let Request { storage, operands, wish } = request;
        span!("prepare", shape = ?input_shape, storage = ?storage);
        let (weights, context) = (&self.inner.weights, self.context());
        let (geometry, profile) = (op.at(input_shape)?.with_operands(operands)?, context.profile());
        let plan = match wish {
            Wish::Kernel(kernel) => {
                weights.check(kernel)?;
                Plan::with_kernel(&geometry, storage, profile, kernel)?
            }
            Wish::Candidate(candidate) => {
                weights.check(candidate.kernel())?;
                Plan::with_candidate(&geometry, storage, profile, &candidate, "it was asked for")?
            }
            _ if !weights.finite => Plan::with_kernel(&geometry, storage, profile, Kernel::Gather)?,
            Wish::Fastest(reuse) => context.plan_for(&geometry, storage, reuse)?,
            Wish::Unsplit => Plan::adding(&geometry, storage, profile, Sums::OneOrder, Reuse::Often)?,
        };
        Prepared::new(weights, plan)
    }

    /// Uploads the input, computes, and reads the output back. Planned as for running [once](Reuse::Once).
    ///
    /// The output has the input's element type; f16 is stored as f32 on devices without `SHADER_F16`, and bf16 gives
    /// f32.
    ///
    /// # Errors
    /// What [`Layer::prepare`] refuses, [`Error::DType`] for f64, [`Error::Limit`] for tensors beyond the device's
    /// largest buffer, [`Error::Device`], [`Error::DeviceLost`].
    #[cfg(not(target_family = "wasm"))]
    pub fn run<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let (download, dtype) = self.start(input.into(), Wish::Fastest(Reuse::Once))?;
        Ok(download.wait()?.into_dtype(dtype))
    }

    /// As [`run`](Self::run), into the caller's memory: what the device gives is rounded to `output`'s element type where
    /// that is narrower. Returns the sizes.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`Error::DataLength`] where `output` has another number of elements than the result.
    #[cfg(not(target_family = "wasm"))]
    pub fn run_into<'a>(&self, input: impl Into<TensorView<'a>>, output: impl Into<DataMut<'a>>) -> Result<Geometry> {
        let (input, output) = (input.into(), output.into());
        let geometry = self.op().at(input.shape())?;
        check_len(&geometry.output_shape(), output.len())?;
        let (download, _) = self.start(input, Wish::Fastest(Reuse::Once))?;
        download.wait_into(output)?;
        Ok(geometry)
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
    /// As [`Layer::run`]. In a browser also what the device reports of making the layer, and of what else was done with the
    /// context and not heard yet ([`Context::reported`]).
    pub async fn run_async<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        self.finish(self.start(input.into(), Wish::Fastest(Reuse::Once))?).await
    }

    /// As [`run_async`](Self::run_async), with a kernel of the caller's choice.
    ///
    /// # Errors
    /// As [`run_async`](Self::run_async), and [`Error::Kernel`] saying why the kernel cannot run this layer.
    pub async fn run_with_async<'a>(&self, input: impl Into<TensorView<'a>>, kernel: Kernel) -> Result<Tensor> {
        self.finish(self.start(input.into(), Wish::Kernel(kernel))?).await
    }

    async fn finish(&self, (download, dtype): (Download, DType)) -> Result<Tensor> {
        let finished = download.finish().await;
        // In a browser what was prepared may turn out to be invalid only now.
        if finished.is_err() {
            self.inner.prepared.clear();
        }
        Ok(finished?.into_dtype(dtype))
    }

    fn start(&self, input: TensorView<'_>, wish: Wish) -> Result<(Download, DType)> {
        span!("run", shape = ?input.shape());
        let context = self.context();
        let storage = storage_for(input.dtype(), context)?;
        let prepared = self.prepare(input.shape(), Request { wish, ..storage.into() })?;
        let x = context.upload(input, storage)?;
        let y =
            context.buffer("upconv output", prepared.output_bytes(), BufferUsages::STORAGE | BufferUsages::COPY_SRC)?;
        let bound = prepared.bind(x.slice(..), y.slice(..))?;
        let steps: Vec<&Step> = bound.steps().iter().collect();
        context.submit("upconv layer", &steps, |_| {})?;
        let download = context.start_download(&y, &prepared.geometry().output_shape(), storage)?;
        let dtype = if input.dtype() == DType::Bf16 { DType::F32 } else { input.dtype() };
        Ok((download, dtype))
    }
}
