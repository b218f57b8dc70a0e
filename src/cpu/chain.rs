//! Layers one after another on the CPU.

use super::layer::Layer;
use crate::error::Result;
use crate::op::{ConvTranspose, check_chain};
use crate::tensor::{Tensor, TensorView};
use std::sync::{Arc, Mutex, PoisonError};

/// Layers of which each reads what the one before has written, with their weights packed for the CPU. Cheap to clone;
/// usable from many threads.
#[derive(Clone, Debug)]
pub struct Chain {
    layers: Vec<Layer>,
    /// The input and output of one layer: as many pairs as there were ever runs at the same time.
    between: Arc<Mutex<Vec<[Vec<f32>; 2]>>>,
}

impl Chain {
    /// Packs the weights of all layers; each is an operation, its weight and its bias.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for no layer, [`Error::Shape`](crate::Error::Shape) where a layer's
    /// channels are not those that the one before gives, and what [`Layer::new`] refuses.
    pub fn new(operations: &[(ConvTranspose, Tensor, Option<Tensor>)]) -> Result<Self> {
        check_chain(operations.iter().map(|(op, ..)| op))?;
        let layers = operations.iter().map(|(op, weight, bias)| Layer::new(op, weight, bias.as_ref()));
        Ok(Self { layers: layers.collect::<Result<_>>()?, between: Arc::default() })
    }

    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Runs all layers, in memory that it keeps for the next run. With an input of f16, the values between the layers are
    /// rounded to f16, as on a device that stores them so.
    ///
    /// # Errors
    /// As [`Layer::run`], of any of the layers.
    pub fn run<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let input = input.into();
        let ([layers @ .., last], Some(_)) = (&self.layers[..], input.as_f32()) else {
            return self.layers.iter().try_fold(input.to_tensor(), |x, layer| layer.run(&x));
        };
        let between = || self.between.lock().unwrap_or_else(PoisonError::into_inner);
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
