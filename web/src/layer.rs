//! The operation on arrays.

use crate::array::zeros;
use crate::device::Device;
use crate::failure::{Failure, Result};
use js_sys::{Array, Float32Array, Uint32Array};
use upconv::convention::flip_kernel;
use upconv::describe::Operation;
use upconv::{OutputPaddingPolicy, Tensor};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// A transposed convolution, described in the keys of [`upconv::describe`]; by a kernel of this name if one is given.
/// Returns the output's elements, a `Float32Array`, and its shape.
///
/// # Errors
/// What [`Operation::from_json`], [`Operation::resolve`] and the device refuse.
#[wasm_bindgen]
#[expect(clippy::too_many_arguments, reason = "three arrays with their shapes")]
pub async fn conv_transpose(
    device: &Device,
    x: Float32Array,
    x_shape: Vec<u32>,
    weight: Float32Array,
    weight_shape: Vec<u32>,
    bias: Option<Float32Array>,
    description: String,
    kernel: Option<String>,
) -> std::result::Result<Array, JsValue> {
    let x = tensor("the input", &x, &x_shape)?;
    let weight = tensor("the weight", &weight, &weight_shape)?;
    let bias = bias.map(|bias| tensor("the bias", &bias, &[bias.length()])).transpose()?;
    let y = compute(device, &x, weight, bias, &description, kernel.as_deref()).await?;
    let shape: Vec<u32> = y.shape().iter().map(|&extent| extent as u32).collect();
    let elements = y.as_f32().ok_or_else(|| Failure::Said("the device gave no f32".into()))?;
    Ok(Array::of2(&Float32Array::from(elements), &Uint32Array::from(&shape[..])))
}

async fn compute(
    device: &Device,
    x: &Tensor,
    mut weight: Tensor,
    bias: Option<Tensor>,
    description: &str,
    kernel: Option<&str>,
) -> Result<Tensor> {
    let described = Operation::from_json(description)?;
    let op = described.resolve(x.shape(), weight.shape(), OutputPaddingPolicy::Strict)?;
    match (described.bias(), &bias) {
        (Some(true), None) => return Err(Failure::Said("there is to be a bias, but none is given".into())),
        (Some(false), Some(_)) => return Err(Failure::Said("there is to be no bias, but one is given".into())),
        _ => op.check_parameters(weight.shape(), bias.as_ref().map(Tensor::shape))?,
    }
    if described.flips_kernel() {
        weight = flip_kernel(&op, &weight)?;
    }
    let y = device.compute(&op, &weight, bias.as_ref(), x, kernel).await?;
    device.check()?;
    Ok(y)
}

/// An array of JavaScript's with its shape.
fn tensor(what: &'static str, elements: &Float32Array, shape: &[u32]) -> Result<Tensor> {
    let length = elements.length() as usize;
    let mut copied = zeros::<f32>(what, length)?;
    elements.copy_to(&mut copied);
    Ok(Tensor::f32(shape.iter().map(|&extent| extent as usize).collect::<Vec<_>>(), copied)?)
}
