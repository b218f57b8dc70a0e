//! A layer's gradients.

use super::plan::GradientPlan;
use super::prepared::PreparedWeightGradient;
use super::request::GradientRequest;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::gpu::device::span::span;
use crate::gpu::layer::Layer;
#[cfg(not(target_family = "wasm"))]
use {
    crate::gpu::device::step::Step,
    crate::gpu::device::transfer::storage_for,
    crate::gpu::storage::Storage,
    crate::tensor::{Tensor, TensorView},
    wgpu::BufferUsages,
};

impl Layer {
    /// Plans the gradients of the weight and the bias for an input shape, in the order of the operation's layout, and
    /// compiles their kernels.
    ///
    /// With the input x and the gradient dy of the output, the gradient of a weight is
    /// `dw[ci, co, k] = Σ x[n, ci, i]·dy[n, co, i·stride + k·dilation − pad_begin]` over the batch and all inputs that
    /// land in the output, that of a bias `db[co] = Σ dy[n, co, o]`. Both are f32, dw in the order of the operation's
    /// weight. Neither weights nor biases have a part in it.
    ///
    /// Each sum is cut into parts, which are added up on their own, one product after another by `fma`, and then from
    /// the first to the last; nothing is added atomically. A device gives the same bits each time, and limits that cut the
    /// work into several dispatches leave the order as it is. With p products in the longest part and q parts, the error
    /// of a weight's gradient is at most (p + q)·ε·Σ|x·dy| to first order, ε = 2⁻²⁴: at most the n·ε·Σ|x·dy| of a plain
    /// sum of all n products, and far less where there are many parts. Integers are exact as long as all partial sums are
    /// below 2²⁴.
    ///
    /// # Errors
    /// [`Error::Activation`] for an operation with an activation, whose gradient has to be taken first;
    /// what [`ConvTranspose::at`](crate::ConvTranspose::at) and [`GradientPlan::new`] refuse; [`Error::Device`].
    pub fn prepare_weight_gradient(
        &self,
        input_shape: &[usize],
        request: impl Into<GradientRequest>,
    ) -> Result<PreparedWeightGradient> {
        for (place, activation) in [("", self.op().activation()), ("pre-", self.op().pre_activation())] {
            if *activation != Activation::None {
                return Err(Error::Activation {
                    what: "a weight gradient",
                    given: format!("the {place}activation {}", activation.name()),
                });
            }
        }
        self.prepare_weight_gradient_before_activation(input_shape, request.into())
    }

    /// As [`prepare_weight_gradient`](Self::prepare_weight_gradient) of the operation without its activation: what is
    /// bound as the output's gradient is the gradient before the activation.
    pub(crate) fn prepare_weight_gradient_before_activation(
        &self,
        input_shape: &[usize],
        request: GradientRequest,
    ) -> Result<PreparedWeightGradient> {
        span!("prepare", shape = ?input_shape, storage = ?request.storage);
        let context = self.context();
        let plan = GradientPlan::new(&self.op().at(input_shape)?, request, context.profile())?;
        PreparedWeightGradient::new(context, plan)
    }

    /// Uploads the input and the gradient of the output, computes the gradients of the weight and of the bias, and reads
    /// them back: f32, of [`weight_shape`](crate::ConvTranspose::weight_shape) and `[out_channels]`, as
    /// [`prepare_weight_gradient`](Self::prepare_weight_gradient) says. That of the bias costs little, and is there
    /// whether or not the layer was made with one.
    ///
    /// Both tensors are stored as f16 where both are, on devices with `SHADER_F16`, and as f32 otherwise.
    ///
    /// # Errors
    /// What [`prepare_weight_gradient`](Self::prepare_weight_gradient) refuses, [`Error::Shape`] where `gradient` has not
    /// the output's shape, [`Error::DType`] for f64, [`Error::Limit`] for tensors beyond the device's largest buffer,
    /// [`Error::Device`], [`Error::DeviceLost`].
    #[cfg(not(target_family = "wasm"))]
    pub fn weight_gradient<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        gradient: impl Into<TensorView<'a>>,
    ) -> Result<(Tensor, Tensor)> {
        let (input, gradient, context) = (input.into(), gradient.into(), self.context());
        span!("run", shape = ?input.shape());
        let expected = self.op().at(input.shape())?.output_shape();
        if gradient.shape() != expected {
            let given = gradient.shape().to_vec();
            return Err(Error::Shape { what: "output gradient", given, expected: format!("{expected:?}") });
        }
        let storages = (storage_for(input.dtype(), context)?, storage_for(gradient.dtype(), context)?);
        let storage = if storages == (Storage::F16, Storage::F16) { Storage::F16 } else { Storage::F32 };
        let prepared = self.prepare_weight_gradient(input.shape(), storage)?;
        let (x, dy) = (context.upload(input, storage)?, context.upload(gradient, storage)?);
        let buffer = |size| context.buffer("upconv gradient", size, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
        let (dw, db) = (buffer(prepared.weight_gradient_bytes())?, buffer(prepared.bias_gradient_bytes())?);
        let bound = prepared.bind(x.slice(..), dy.slice(..), dw.slice(..), Some(db.slice(..)))?;
        let steps: Vec<&Step> = bound.steps().iter().collect();
        context.submit("upconv gradient", &steps, |_| {})?;
        let weight = context.start_download(&dw, &self.op().weight_shape(), Storage::F32)?;
        let bias = context.start_download(&db, &[self.op().out_channels()], Storage::F32)?;
        Ok((weight.wait()?, bias.wait()?))
    }
}
