//! Running a network: on a device, on the CPU, on the reference.

#[cfg(feature = "gpu")]
use crate::Kernel;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::op::ConvTranspose;
use crate::reference;
use crate::tensor::{Tensor, TensorView};

/// An operation with its weight and its bias.
pub(super) type Parameters = (ConvTranspose, Tensor, Option<Tensor>);

/// The layers on a device; those in blocks ask for [`Kernel::Winograd`].
#[cfg(feature = "gpu")]
pub(super) fn on_gpu(context: &gpu::Context, layers: &[Parameters], blocked: &[bool]) -> Result<gpu::Chain> {
    let chain = gpu::Chain::new(context, layers)?;
    Ok(chain.with_kernels(blocked.iter().map(|blocked| blocked.then_some(Kernel::Winograd))))
}

/// All layers, one after another, on the reference.
pub(super) fn on_reference(
    mut layers: impl Iterator<Item = Result<Parameters>>,
    input: TensorView<'_>,
) -> Result<Tensor> {
    layers.try_fold(input.to_tensor(), |x, layer| {
        let (op, weight, bias) = layer?;
        reference::run(&op, &x, &weight, bias.as_ref())
    })
}
