//! The operation on arrays.

use crate::array::zeros;
use crate::device::{Device, DeviceLayer};
use crate::failure::{Failure, Result};
use js_sys::{Array, Float32Array, Uint32Array};
use upconv::convention::flip_kernel;
use upconv::describe::Operation;
use upconv::{ConvTranspose, OutputPaddingPolicy, Tensor};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// A transposed convolution with its weights: packed for the device at the first run, and kept while the shapes of the inputs
/// describe the same operation.
#[wasm_bindgen]
pub struct Layer {
    device: Device,
    described: Operation,
    weight: Tensor,
    bias: Option<Tensor>,
    packed: Option<(ConvTranspose, DeviceLayer)>,
}

#[wasm_bindgen]
impl Layer {
    /// Described in the keys of [`upconv::describe`].
    ///
    /// # Errors
    /// What [`Operation::from_json`] refuses, arrays of another length than their shapes have, and a bias against what the
    /// description says.
    #[wasm_bindgen(constructor)]
    pub fn new(
        device: &Device,
        weight: Float32Array,
        weight_shape: Vec<u32>,
        bias: Option<Float32Array>,
        description: &str,
    ) -> std::result::Result<Layer, JsValue> {
        let weight = tensor("the weight", &weight, &weight_shape)?;
        let bias = bias.map(|bias| tensor("the bias", &bias, &[bias.length()])).transpose()?;
        let described = Operation::from_json(description).map_err(Failure::from)?;
        let refused = match (described.bias(), &bias) {
            (Some(true), None) => "there is to be a bias, but none is given",
            (Some(false), Some(_)) => "there is to be no bias, but one is given",
            _ => return Ok(Self { device: device.clone(), described, weight, bias, packed: None }),
        };
        Err(Failure::Said(refused.into()).into())
    }

    /// Computes the output, by a kernel of this name if one is given: its elements, a `Float32Array`, and its shape.
    ///
    /// # Errors
    /// What [`Operation::resolve`] and the device refuse.
    pub async fn run(
        &mut self,
        x: Float32Array,
        x_shape: Vec<u32>,
        kernel: Option<String>,
    ) -> std::result::Result<Array, JsValue> {
        let x = tensor("the input", &x, &x_shape)?;
        let y = self.compute(&x, kernel.as_deref()).await?;
        let shape: Vec<u32> = y.shape().iter().map(|&extent| extent as u32).collect();
        let elements = y.as_f32().ok_or_else(|| Failure::Said("the device gave no f32".into()))?;
        Ok(Array::of2(&Float32Array::from(elements), &Uint32Array::from(&shape[..])))
    }
}

impl Layer {
    async fn compute(&mut self, x: &Tensor, kernel: Option<&str>) -> Result<Tensor> {
        let op = self.described.resolve(x.shape(), self.weight.shape(), OutputPaddingPolicy::Strict)?;
        let packed = match self.packed.take() {
            Some((packed_op, layer)) if packed_op == op => layer,
            _ => self.pack(&op)?,
        };
        let y = packed.run(x, kernel).await;
        // What failed may have left something behind.
        if y.is_ok() {
            self.packed = Some((op, packed));
        }
        self.device.check()?;
        y
    }

    fn pack(&self, op: &ConvTranspose) -> Result<DeviceLayer> {
        op.check_parameters(self.weight.shape(), self.bias.as_ref().map(Tensor::shape))?;
        if self.described.flips_kernel() {
            return self.device.layer(op, &flip_kernel(op, &self.weight)?, self.bias.as_ref());
        }
        self.device.layer(op, &self.weight, self.bias.as_ref())
    }
}

/// An array of JavaScript's with its shape.
fn tensor(what: &'static str, elements: &Float32Array, shape: &[u32]) -> Result<Tensor> {
    let mut copied = zeros::<f32>(what, elements.length() as usize)?;
    elements.copy_to(&mut copied);
    Ok(Tensor::f32(shape.iter().map(|&extent| extent as usize).collect::<Vec<_>>(), copied)?)
}
