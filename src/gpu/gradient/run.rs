//! The gradients of a layer for tensors of the host: upload, compute, read back.

use super::backward::{BackwardBuffers, PreparedBackward};
use super::request::{GradientRequest, Wanted};
use crate::error::Result;
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
use crate::gpu::device::step::Step;
use crate::gpu::device::transfer::{Download, storage_for};
use crate::gpu::layer::Layer;
use crate::gpu::storage::Storage;
use crate::gradient::{Gradients, OutputGradient};
use crate::tensor::{DType, Tensor, TensorView};
use wgpu::{Buffer, BufferUsages};

/// A backward pass with its operands on the device.
struct Pass<'a> {
    context: &'a Context,
    prepared: PreparedBackward,
    storage: Storage,
    input: Buffer,
    gradient: Buffer,
    saved: Option<Buffer>,
    /// The element type of the input's gradient.
    dtype: DType,
}

impl Layer {
    /// The gradient of the input, of `input_shape`, from that of the output: uploads, computes, and reads back.
    ///
    /// The result has the element type of the gradient, as [`run`](Self::run) says of input and output. Its error is within
    /// what [`reference::input_gradient`](crate::reference::input_gradient) expects.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn input_gradient<'a>(&self, input_shape: &[usize], gradient: impl Into<OutputGradient<'a>>) -> Result<Tensor> {
        let pass = self.pass(input_shape, None, gradient.into(), Wanted::INPUT)?;
        let dx = pass.result(pass.prepared.input_bytes())?;
        pass.run(&BackwardBuffers { input_gradient: Some(dx.slice(..)), ..pass.operands() })?;
        Ok(pass.input_gradient(&dx, input_shape)?.wait()?.into_dtype(pass.dtype))
    }

    /// The gradient of the weight, f32 of the shape and in the order of the weight that the layer was made of: uploads,
    /// computes, and reads back. Its error is within what
    /// [`reference::weight_gradient`](crate::reference::weight_gradient) expects.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn weight_gradient<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        gradient: impl Into<OutputGradient<'a>>,
    ) -> Result<Tensor> {
        let input = input.into();
        let pass = self.pass(input.shape(), Some(input), gradient.into(), Wanted::WEIGHT)?;
        let dw = pass.result(pass.prepared.weight_bytes())?;
        pass.run(&BackwardBuffers { weight_gradient: Some(dw.slice(..)), ..pass.operands() })?;
        pass.read(&dw, &pass.prepared.weight_shape())?.wait()
    }

    /// The gradient of the bias, f32 of `[out_channels]`, whether or not the layer was made with one: uploads, computes,
    /// and reads back.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn bias_gradient<'a>(&self, input_shape: &[usize], gradient: impl Into<OutputGradient<'a>>) -> Result<Tensor> {
        let pass = self.pass(input_shape, None, gradient.into(), Wanted::CHANNELS)?;
        let db = pass.result(pass.prepared.bias_bytes())?;
        pass.run(&BackwardBuffers { bias_gradient: Some(db.slice(..)), ..pass.operands() })?;
        pass.read(&db, &[self.op().out_channels()])?.wait()
    }

    /// All gradients at once, with what they share: uploads, computes, and reads back.
    ///
    /// The gradient of the output may come with the sums of the forward pass or, where that suffices and the activation is
    /// no prelu, with its output; see [`OutputGradient`]. The tensors are stored as f16 where input and gradient are f16, the
    /// device has `SHADER_F16` and there is no activation, and as f32 otherwise; the gradients of weight, bias and slopes are f32.
    ///
    /// # Errors
    /// [`Error::Gradient`](crate::Error::Gradient) where [`OutputGradient`] lacks what the activation needs, for operations
    /// with an activation before the products, and for that of a weight in the transposed form of an ordinary convolution
    /// with a stride, which [`Layer::convolution`] has in the convolution's own form; [`Error::Shape`](crate::Error::Shape), [`Error::DType`](crate::Error::DType) for f64,
    /// [`Error::Limit`](crate::Error::Limit), [`Error::Device`](crate::Error::Device),
    /// [`Error::DeviceLost`](crate::Error::DeviceLost).
    pub fn backward<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        gradient: impl Into<OutputGradient<'a>>,
    ) -> Result<Gradients> {
        let input = input.into();
        let pass = self.pass(input.shape(), Some(input), gradient.into(), Wanted::ALL)?;
        let (prepared, channels) = (&pass.prepared, [self.op().out_channels()]);
        let (dx, dw) = (pass.result(prepared.input_bytes())?, pass.result(prepared.weight_bytes())?);
        let db = pass.result(prepared.bias_bytes())?;
        let slopes = prepared.has_slopes().then(|| pass.result(prepared.bias_bytes())).transpose()?;
        pass.run(&BackwardBuffers {
            input_gradient: Some(dx.slice(..)),
            weight_gradient: Some(dw.slice(..)),
            bias_gradient: Some(db.slice(..)),
            slope_gradient: slopes.as_ref().map(|slopes| slopes.slice(..)),
            ..pass.operands()
        })?;
        // All are on their way before the first is waited for.
        let dx = pass.input_gradient(&dx, input.shape())?;
        let (dw, db) = (pass.read(&dw, &prepared.weight_shape())?, pass.read(&db, &channels)?);
        let slopes = slopes.map(|slopes| pass.read(&slopes, &channels)).transpose()?;
        Ok(Gradients {
            input: dx.wait()?.into_dtype(pass.dtype),
            weight: dw.wait()?,
            bias: db.wait()?,
            slopes: slopes.map(Download::wait).transpose()?,
        })
    }

    /// Prepares the pass and uploads its operands. Without an input, the gradient of the weight must not be asked for.
    fn pass(
        &self,
        input_shape: &[usize],
        input: Option<TensorView<'_>>,
        gradient: OutputGradient<'_>,
        wanted: Wanted,
    ) -> Result<Pass<'_>> {
        span!("run", shape = ?input_shape);
        let context = self.context();
        let given = gradient.check(&self.op().at(input_shape)?)?;
        let dy = gradient.gradient();
        let of_gradient = storage_for(dy.dtype(), context)?;
        let of_input = input.map_or(Ok(of_gradient), |input| storage_for(input.dtype(), context))?;
        // What is led back through an activation is stored on the way, and is not rounded there.
        let narrow = of_gradient == of_input && given.tensor().is_none();
        let storage = if narrow { of_gradient } else { Storage::F32 };
        let prepared =
            self.prepare_backward_with(input_shape, GradientRequest::new(storage).wanting(wanted), given.into())?;
        Ok(Pass {
            context,
            input: match input {
                Some(input) => context.upload(input, storage)?,
                None => context.buffer("upconv input", prepared.input_bytes(), BufferUsages::STORAGE)?,
            },
            gradient: context.upload(dy, storage)?,
            saved: given.tensor().map(|saved| context.upload(saved, storage)).transpose()?,
            dtype: if dy.dtype() == DType::Bf16 { DType::F32 } else { dy.dtype() },
            prepared,
            storage,
        })
    }
}

impl Pass<'_> {
    /// What is read, and no gradient yet.
    fn operands(&self) -> BackwardBuffers<'_> {
        BackwardBuffers {
            saved: self.saved.as_ref().map(|saved| saved.slice(..)),
            ..BackwardBuffers::new(self.input.slice(..), self.gradient.slice(..))
        }
    }

    fn result(&self, size: u64) -> Result<Buffer> {
        self.context.buffer("upconv gradient", size, BufferUsages::STORAGE | BufferUsages::COPY_SRC)
    }

    fn run(&self, buffers: &BackwardBuffers<'_>) -> Result<()> {
        let bound = self.prepared.bind(buffers)?;
        let steps: Vec<&Step> = bound.steps().iter().collect();
        self.context.submit("upconv gradient", &steps, |_| {})?;
        Ok(())
    }

    fn input_gradient(&self, buffer: &Buffer, shape: &[usize]) -> Result<Download> {
        self.context.start_download(buffer, shape, self.storage)
    }

    /// The gradient of a parameter.
    fn read(&self, buffer: &Buffer, shape: &[usize]) -> Result<Download> {
        self.context.start_download(buffer, shape, Storage::F32)
    }
}
