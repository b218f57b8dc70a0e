//! The forward pass that keeps what the backward pass needs.

use super::backward::Saved;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::gpu::device::binding::check;
use crate::gpu::device::span::span;
use crate::gpu::kernels::pointwise::Function;
use crate::gpu::layer::Layer;
use crate::gpu::pointwise::Pointwise;
use crate::gpu::prepared::{Bound, Prepared};
use crate::gpu::request::Request;
use crate::op::{Operands, Residual};
use wgpu::BufferSlice;

/// A layer planned for one input shape, whose sums before the activation are kept where the backward pass needs them. Cheap
/// to clone.
///
/// ```no_run
/// use upconv::Storage;
/// use upconv::gpu::{Layer, Saved};
/// use upconv::wgpu::{Buffer, ComputePass};
/// # fn example(layer: Layer, x: &Buffer, sums: &Buffer, y: &Buffer, pass: &mut ComputePass<'_>) -> upconv::Result<()> {
/// let shape = [8, 64, 32, 32];
/// let saved = layer.prepare_backward(&shape, Storage::F32)?.saved();
/// let forward = layer.prepare_for_training(&shape, saved, Storage::F32)?;
/// let kept = (saved == Saved::Sum).then(|| sums.slice(..));
/// forward.bind(x.slice(..), kept, y.slice(..))?.encode(pass);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PreparedTraining {
    /// The whole layer, or its sums alone.
    sums: Prepared,
    activation: Option<Pointwise>,
}

impl Layer {
    /// Plans the forward pass of a layer that is trained. Where the [backward pass](Self::prepare_backward) needs the sums
    /// before the activation ([`Saved::Sum`]), it leaves them in a buffer of their own and applies the activation in a
    /// dispatch behind it; otherwise it is [`prepare`](Self::prepare).
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare); [`Error::Gradient`] where the sums are kept and the request writes among other channels
    /// or adds to the output.
    pub fn prepare_for_training(
        &self,
        input_shape: &[usize],
        saved: Saved,
        request: impl Into<Request>,
    ) -> Result<PreparedTraining> {
        let request = request.into();
        if saved != Saved::Sum {
            return Ok(PreparedTraining { sums: self.prepare(input_shape, request)?, activation: None });
        }
        let Operands { output, residual, .. } = request.operands;
        if output.is_some() || residual != Residual::None {
            let problem =
                "of sums that are kept, with an output among other channels or something added, is not computed";
            return Err(Error::Gradient { problem: problem.into() });
        }
        let op = self.op().to_builder().activation(Activation::None).build()?;
        let sums = self.prepare_op(&op, input_shape, request)?;
        let function = Function::activation(self.op().activation());
        let geometry = self.op().at(input_shape)?;
        let activation = Pointwise::new(self.context(), &geometry, sums.plan().storage(), function)?;
        Ok(PreparedTraining { sums, activation: Some(activation) })
    }
}

impl PreparedTraining {
    /// What computes the sums, or all of the layer: its sizes and its plan.
    pub fn prepared(&self) -> &Prepared {
        &self.sums
    }

    /// Binds the caller's buffers, as [`Prepared::bind`] does; `sums`, of the output's size, where sums are kept.
    ///
    /// # Errors
    /// As [`Prepared::bind`]; [`Error::Buffer`] where `sums` is missing, or is the output's buffer.
    pub fn bind(
        &self,
        input: BufferSlice<'_>,
        sums: Option<BufferSlice<'_>>,
        output: BufferSlice<'_>,
    ) -> Result<Bound> {
        span!("bind", kernel = "training");
        let Some(activation) = &self.activation else { return self.sums.bind(input, output) };
        let context = self.sums.context();
        let refused = |problem: &str| Error::Buffer { what: "sums", problem: problem.into() };
        let sums = sums.ok_or_else(|| refused("is missing: the sums before the activation are kept in it"))?;
        if sums.buffer() == output.buffer() {
            return Err(refused("is the output's buffer too, which wgpu does not allow a dispatch that writes to it"));
        }
        check(context, "output", &output, self.sums.output_bytes())?;
        let mut steps = self.sums.bind(input, sums)?.steps().to_vec();
        steps.extend(activation.steps(sums, sums, output)?);
        Ok(Bound::new(context, steps))
    }
}
