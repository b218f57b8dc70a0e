//! Running a network: on a device, on the CPU, on the reference.

#[cfg(feature = "gpu")]
use crate::Kernel;
#[cfg(feature = "cpu")]
use crate::cpu;
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

/// A network with its weights packed for the CPU. Cheap to clone.
#[cfg(feature = "cpu")]
#[derive(Clone, Debug)]
pub struct OnCpu {
    layers: Vec<cpu::Layer>,
    /// The input and output of one layer: as many pairs as there were ever runs at the same time.
    between: std::sync::Arc<std::sync::Mutex<Vec<[Vec<f32>; 2]>>>,
}

#[cfg(feature = "cpu")]
impl OnCpu {
    /// Packs the weights; layers in blocks are computed by Winograd's transforms.
    pub(super) fn new(layers: impl Iterator<Item = Result<Parameters>>, blocked: &[bool]) -> Result<Self> {
        let layers = layers.zip(blocked).map(|(layer, &blocked)| {
            let (op, weight, bias) = layer?;
            if blocked {
                cpu::Layer::with_winograd(&op, &weight, bias.as_ref())
            } else {
                cpu::Layer::new(&op, &weight, bias.as_ref())
            }
        });
        Ok(Self { layers: layers.collect::<Result<_>>()?, between: Default::default() })
    }

    /// Runs all layers, in memory that it keeps for the next run. With an input of f16, the values between the layers are
    /// rounded to f16, as on a device that stores them so.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for another number of axes or channels.
    pub fn run<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let input = input.into();
        let ([layers @ .., last], Some(_)) = (&self.layers[..], input.as_f32()) else {
            return self.layers.iter().try_fold(input.to_tensor(), |x, layer| layer.run(&x));
        };
        let between = || self.between.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let [mut x, mut y] = between().pop().unwrap_or_default();
        let mut shape = input.shape().to_vec();
        for (index, layer) in layers.iter().enumerate() {
            let input = if index == 0 { input } else { TensorView::f32(&shape, &x)? };
            let (geometry, result) = layer.run_again(input, y)?;
            shape = geometry.output_shape();
            y = std::mem::replace(&mut x, result);
        }
        let output = last.run(if layers.is_empty() { input } else { TensorView::f32(&shape, &x)? })?;
        between().push([x, y]);
        Ok(output)
    }
}
