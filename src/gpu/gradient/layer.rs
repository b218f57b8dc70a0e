//! A layer's gradients.

use super::plan::GradientPlan;
use super::prepared::PreparedWeightGradient;
use super::request::GradientRequest;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::gpu::device::span::span;
use crate::gpu::layer::Layer;
use crate::gradient::refuse_pre_activation;

impl Layer {
    /// Plans the gradients of the weight and the bias for an input shape, in the order of the operation's layout, and
    /// compiles their kernels.
    ///
    /// With the input x and the gradient dy of the output, the gradient of a weight is
    /// `dw[ci, co, k] = Σ x[n, ci, i]·dy[n, co, i·stride + k·dilation − pad_begin]` over the batch and all inputs that
    /// land in the output, that of a bias `db[co] = Σ dy[n, co, o]`. Both are f32, dw in the order of the weight that the
    /// layer was made of: for one made by [`convolution`](Self::convolution), `dw[co, ci, k]` in the convolution's own.
    /// Neither weights nor biases have a part in it.
    ///
    /// Each sum is cut into parts, which are added up on their own, one product after another by `fma`, and then from
    /// the first to the last; nothing is added atomically. A device gives the same bits each time, and limits that cut the
    /// work into several dispatches leave the order as it is. With p products in the longest part and q parts, the error
    /// of a weight's gradient is at most (p + q)·ε·Σ|x·dy| to first order, ε = 2⁻²⁴: at most the n·ε·Σ|x·dy| of a plain
    /// sum of all n products, and far less where there are many parts. Integers are exact as long as all partial sums are
    /// below 2²⁴.
    ///
    /// # Errors
    /// [`Error::Gradient`] for an operation with an activation, through which
    /// [`prepare_backward`](Self::prepare_backward) leads; what [`ConvTranspose::at`](crate::ConvTranspose::at) and
    /// [`GradientPlan::new`] refuse; [`Error::Device`].
    pub fn prepare_weight_gradient(
        &self,
        input_shape: &[usize],
        request: impl Into<GradientRequest>,
    ) -> Result<PreparedWeightGradient> {
        let activation = self.op().activation();
        if *activation != Activation::None {
            let problem = format!("of a weight through {} is what `prepare_backward` computes", activation.name());
            return Err(Error::Gradient { problem });
        }
        self.prepare_parameters(input_shape, request.into(), true)
    }

    /// As [`prepare_weight_gradient`](Self::prepare_weight_gradient) of the operation without its activation: what is
    /// bound as the output's gradient is the gradient before the activation. Without `weight`, only the gradient of the bias
    /// is compiled.
    pub(crate) fn prepare_parameters(
        &self,
        input_shape: &[usize],
        request: GradientRequest,
        weight: bool,
    ) -> Result<PreparedWeightGradient> {
        span!("prepare", shape = ?input_shape, storage = ?request.storage);
        let context = self.context();
        refuse_pre_activation(self.op())?;
        let (geometry, convolution) = (self.op().at(input_shape)?, self.convolution_layout());
        let plan = GradientPlan::of(&geometry, convolution, request, context.profile())?;
        PreparedWeightGradient::new(context, plan, weight)
    }
}
