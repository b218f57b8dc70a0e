//! The whole backward pass of a layer: its gradients with what they share, prepared for a shape and bound to the caller's
//! buffers.

use super::prepared::{PreparedWeightGradient, bytes};
use super::request::{GradientRequest, Wanted};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::gpu::device::binding::check_apart;
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
use crate::gpu::kernels::pointwise::Function;
use crate::gpu::layer::Layer;
use crate::gpu::pointwise::Pointwise;
use crate::gpu::prepared::{Bound, Prepared};
use crate::gpu::request::Request;
use crate::gpu::storage::Storage;
use crate::gradient;
use crate::op::Geometry;
use wgpu::{BufferSlice, BufferUsages};

/// What the backward pass needs of the forward pass for the activation's derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Nothing: there is no activation.
    Nothing,
    /// The output.
    Output,
    /// The sums before the activation, which [`PreparedTraining`](super::PreparedTraining) keeps.
    Sum,
}

impl From<gradient::Saved<'_>> for Saved {
    fn from(saved: gradient::Saved<'_>) -> Self {
        match saved {
            gradient::Saved::Nothing => Saved::Nothing,
            gradient::Saved::Output(_) => Saved::Output,
            gradient::Saved::Sum(_) => Saved::Sum,
        }
    }
}

/// The gradients of a layer, planned for one input shape: of the input, the weight, the bias, and the slopes of a prelu.
/// Cheap to clone.
///
/// ```no_run
/// use upconv::Storage;
/// use upconv::gpu::{BackwardBuffers, Layer};
/// use upconv::wgpu::{Buffer, ComputePass};
/// # fn example(layer: Layer, x: &Buffer, dy: &Buffer, y: &Buffer, dw: &Buffer, pass: &mut ComputePass<'_>) -> upconv::Result<()> {
/// let backward = layer.prepare_backward(&[8, 64, 32, 32], Storage::F32)?;
/// let bound = backward.bind(&BackwardBuffers {
///     saved: Some(y.slice(..)), // what `backward.saved()` asks for: here the output, as a ReLU has it
///     weight_gradient: Some(dw.slice(..)),
///     ..BackwardBuffers::new(x.slice(..), dy.slice(..))
/// })?;
/// bound.encode(pass);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PreparedBackward {
    context: Context,
    saved: Saved,
    /// The gradient of the sums, where there is an activation.
    through: Option<Pointwise>,
    /// What is summed to the gradient of a prelu's slopes.
    slopes: Option<Pointwise>,
    geometry: Geometry,
    storage: Storage,
    input: Option<Prepared>,
    /// Of the weight and the bias, or of the bias alone.
    parameters: Option<PreparedWeightGradient>,
    wanted: Wanted,
}

/// The caller's buffers for a backward pass: what is read, and which gradients are wanted. They have usage STORAGE and begin
/// at multiples of the device's `min_storage_buffer_offset_alignment`; none that is written may be in the buffer of
/// another.
#[derive(Clone, Copy, Debug)]
pub struct BackwardBuffers<'a> {
    /// The input of the forward pass, of [`input_bytes`](PreparedBackward::input_bytes).
    pub input: BufferSlice<'a>,
    /// The gradient of the output, of [`output_bytes`](PreparedBackward::output_bytes).
    pub gradient: BufferSlice<'a>,
    /// What is [`saved`](PreparedBackward::saved) of the forward pass, as many bytes.
    pub saved: Option<BufferSlice<'a>>,
    /// Where the gradient of the input goes, of [`input_bytes`](PreparedBackward::input_bytes).
    pub input_gradient: Option<BufferSlice<'a>>,
    /// Where the gradient of the weight goes, f32 in the weight's order, of
    /// [`weight_bytes`](PreparedBackward::weight_bytes).
    pub weight_gradient: Option<BufferSlice<'a>>,
    /// Where the gradient of the bias goes, f32, of [`bias_bytes`](PreparedBackward::bias_bytes).
    pub bias_gradient: Option<BufferSlice<'a>>,
    /// Where the gradient of the slopes of a prelu goes, as many bytes.
    pub slope_gradient: Option<BufferSlice<'a>>,
}

impl<'a> BackwardBuffers<'a> {
    /// The input and the gradient of the output; nothing saved, and no gradient wanted yet.
    pub fn new(input: BufferSlice<'a>, gradient: BufferSlice<'a>) -> Self {
        Self {
            input,
            gradient,
            saved: None,
            input_gradient: None,
            weight_gradient: None,
            bias_gradient: None,
            slope_gradient: None,
        }
    }
}

impl Layer {
    /// Plans the backward pass for an input shape: the gradients of the input, the weight and the bias, through the
    /// activation, and of the slopes of a prelu. Each is what [`prepare_input_gradient`](Self::prepare_input_gradient) and
    /// [`prepare_weight_gradient`](Self::prepare_weight_gradient) compute of the gradient of the sums, which they share:
    /// it is stored once, as the operands are: with f16 it is rounded there, and so are the products that are summed to the
    /// gradient of a prelu's slopes. All have the same bits on every run.
    ///
    /// With [`GradientRequest::accumulating`] all gradients are added to what their buffers hold.
    ///
    /// # Errors
    /// [`Error::Gradient`] for an operation with an activation before the products; as the two.
    pub fn prepare_backward(
        &self,
        input_shape: &[usize],
        request: impl Into<GradientRequest>,
    ) -> Result<PreparedBackward> {
        let saved = match self.op().activation() {
            Activation::None => Saved::Nothing,
            // The output tells the slope, but not what the slope was multiplied with.
            Activation::Prelu { .. } => Saved::Sum,
            activation if activation.tells_derivative() => Saved::Output,
            _ => Saved::Sum,
        };
        self.prepare_backward_with(input_shape, request.into(), saved)
    }

    /// As [`prepare_backward`](Self::prepare_backward), with what was saved, which must suffice.
    pub(crate) fn prepare_backward_with(
        &self,
        input_shape: &[usize],
        request: GradientRequest,
        saved: Saved,
    ) -> Result<PreparedBackward> {
        let (op, context) = (self.op(), self.context());
        span!("prepare", shape = ?input_shape, storage = ?request.storage);
        let geometry = op.at(input_shape)?;
        let prelu = saved == Saved::Sum && matches!(op.activation(), Activation::Prelu { .. });
        let pointwise = |function| Pointwise::new(context, &geometry, request.storage, function);
        let function = Function::gradient(op.activation(), saved == Saved::Output);
        let mut input = Request::new(request.storage);
        if request.accumulate {
            input = input.accumulating();
        }
        let wanted = request.wanted;
        let parameters = wanted.weight || wanted.channels;
        Ok(PreparedBackward {
            context: context.clone(),
            saved,
            through: (saved != Saved::Nothing).then(|| pointwise(function)).transpose()?,
            slopes: (prelu && wanted.channels).then(|| pointwise(Function::SLOPES)).transpose()?,
            input: wanted.input.then(|| self.prepare_input_gradient(input_shape, input)).transpose()?,
            parameters: parameters.then(|| self.prepare_parameters(input_shape, request, wanted.weight)).transpose()?,
            storage: request.storage,
            geometry,
            wanted,
        })
    }
}

impl PreparedBackward {
    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What has to be kept of the forward pass.
    pub fn saved(&self) -> Saved {
        self.saved
    }

    /// The gradient of the input: its plan, and what it takes alone. `None` where it was prepared
    /// [without](GradientRequest::without_input_gradient).
    pub fn input_gradient(&self) -> Option<&Prepared> {
        self.input.as_ref()
    }

    /// The gradients of weight and bias: their plan, and what they take alone.
    pub fn weight_gradient(&self) -> Option<&PreparedWeightGradient> {
        self.parameters.as_ref()
    }

    /// The shape of the weight's gradient, where that was prepared.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn weight_shape(&self) -> Vec<usize> {
        let shape = || self.geometry.op().weight_shape();
        self.parameters.as_ref().map_or_else(shape, |parameters| parameters.plan().weight_shape())
    }

    /// Whether it can compute the gradient of slopes.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn has_slopes(&self) -> bool {
        self.slopes.is_some()
    }

    /// The bytes of the input, and of its gradient.
    pub fn input_bytes(&self) -> u64 {
        bytes(self.geometry.input_len(), self.storage)
    }

    /// The bytes of the output's gradient, and of what is saved.
    pub fn output_bytes(&self) -> u64 {
        bytes(self.geometry.output_len(), self.storage)
    }

    /// The bytes of the weight's gradient.
    pub fn weight_bytes(&self) -> u64 {
        bytes(self.geometry.op().weight_shape().iter().product(), Storage::F32)
    }

    /// The bytes of the bias's gradient.
    pub fn bias_bytes(&self) -> u64 {
        bytes(self.geometry.op().out_channels(), Storage::F32)
    }

    /// Binds the caller's buffers. It makes bind groups and scratch memory; nothing is written.
    ///
    /// # Errors
    /// [`Error::Gradient`] where what is saved is missing, where slopes are asked of another activation than prelu, or where
    /// no gradient is wanted; [`Error::Buffer`] for a buffer that is too small, not aligned, without usage STORAGE, or
    /// one's that is written and another's too; [`Error::Device`].
    pub fn bind(&self, buffers: &BackwardBuffers<'_>) -> Result<Bound> {
        span!("bind", kernel = "backward");
        self.check(buffers)?;
        let (context, gradient) = (&self.context, buffers.gradient);
        let usage = BufferUsages::STORAGE;
        let of_outputs = || context.buffer("upconv gradient of sums", self.output_bytes(), usage);
        let mut steps = Vec::new();
        // A residual's gradient is that of the sums; here it is scratch.
        let sums = match (&self.through, buffers.saved) {
            (Some(through), Some(saved)) => {
                let sums = of_outputs()?;
                steps.extend(through.steps(gradient, saved, sums.slice(..))?);
                Some(sums)
            }
            _ => None,
        };
        let dz = sums.as_ref().map_or(gradient, |sums| sums.slice(..));
        if let (Some(input), Some(dx)) = (&self.input, buffers.input_gradient) {
            steps.extend_from_slice(input.bind(dz, dx)?.steps());
        }
        if let Some(parameters) = &self.parameters {
            if let Some(dw) = buffers.weight_gradient {
                steps.extend_from_slice(parameters.bind(buffers.input, dz, dw, buffers.bias_gradient)?.steps());
            } else if let Some(db) = buffers.bias_gradient {
                steps.extend(parameters.bias_steps(dz, db)?);
            }
            if let (Some(slopes), Some(saved), Some(da)) = (&self.slopes, buffers.saved, buffers.slope_gradient) {
                let products = of_outputs()?;
                steps.extend(slopes.steps(gradient, saved, products.slice(..))?);
                steps.extend(parameters.bias_steps(products.slice(..), da)?);
            }
        }
        Ok(Bound::new(context, steps))
    }

    fn check(&self, buffers: &BackwardBuffers<'_>) -> Result<()> {
        let BackwardBuffers { input, gradient, saved, .. } = *buffers;
        let needs = |what: &str| {
            let name = self.geometry().op().activation().name();
            Err(Error::Gradient { problem: format!("through {name} needs {what} as `saved`") })
        };
        match (self.saved, saved) {
            (Saved::Output, None) => return needs("the output of the forward pass"),
            (Saved::Sum, None) => return needs("the sums before it, which the forward pass for training keeps,"),
            _ => {}
        }
        let outputs = self.output_bytes();
        let saved = saved.filter(|_| self.saved != Saved::Nothing).map(|slice| ("saved", slice, outputs));
        let read: Vec<_> = [("input", input, self.input_bytes()), ("output gradient", gradient, outputs)]
            .into_iter()
            .chain(saved)
            .collect();
        let written: Vec<_> = [
            buffers.input_gradient.map(|slice| ("input gradient", slice, self.input_bytes())),
            buffers.weight_gradient.map(|slice| ("weight gradient", slice, self.weight_bytes())),
            buffers.bias_gradient.map(|slice| ("bias gradient", slice, self.bias_bytes())),
            buffers.slope_gradient.map(|slice| ("slope gradient", slice, self.bias_bytes())),
        ]
        .into_iter()
        .flatten()
        .collect();
        if buffers.slope_gradient.is_some() && self.slopes.is_none() {
            let name = self.geometry().op().activation().name();
            return Err(Error::Gradient {
                problem: format!("of slopes is that of a prelu, and the activation is {name}"),
            });
        }
        if buffers.input_gradient.is_some() && !self.wanted.input {
            return Err(Error::Gradient {
                problem: "of the input was not prepared: the request was without it".into(),
            });
        }
        if written.is_empty() {
            return Err(Error::Gradient { problem: "of nothing is wanted: no buffer to write to was given".into() });
        }
        check_apart(&self.context, &read, &written)
    }
}
