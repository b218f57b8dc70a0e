//! The operation on arrays.

use crate::device::Device;
use crate::failure::{Failure, Result};
use js_sys::{Array, Float32Array, Promise, Uint32Array};
use upconv::convention::flip_kernel;
use upconv::describe::Operation;
use upconv::gpu::{Layer, Request};
use upconv::wgpu::{Buffer, BufferDescriptor, BufferUsages, CommandEncoderDescriptor, ComputePassDescriptor, MapMode};
use upconv::{Error, Kernel, OutputPaddingPolicy, Storage, Tensor};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

/// A transposed convolution, described in the keys of [`upconv::describe`]; by a kernel of this name if one is given.
/// Returns the output's elements, a `Float32Array`, and its shape.
///
/// # Errors
/// What [`Operation::from_json`], [`Operation::resolve`] and [`Layer`] refuse.
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
    let layer = Layer::new(device.context(), &op, &weight, bias.as_ref())?;
    let y = match kernel {
        None => layer.run_async(x).await?,
        Some(name) => run_with(&layer, x, named(name)?).await?,
    };
    device.check()?;
    Ok(y)
}

fn named(name: &str) -> Result<Kernel> {
    let known = || Kernel::ALL.iter().map(|kernel| kernel.name()).collect::<Vec<_>>().join(", ");
    let unknown = || Failure::Said(format!("there is no kernel {name:?}; there are {}", known()));
    Kernel::ALL.iter().copied().find(|kernel| kernel.name() == name).ok_or_else(unknown)
}

/// Runs a layer by a kernel of the caller's choice.
async fn run_with(layer: &Layer, x: &Tensor, kernel: Kernel) -> Result<Tensor> {
    let (device, queue) = (layer.context().device(), layer.context().queue());
    let prepared = layer.prepare(x.shape(), Request::new(Storage::F32).kernel(kernel))?;
    let buffer = |size, usage| {
        device.create_buffer(&BufferDescriptor { label: Some("upconv"), size, usage, mapped_at_creation: false })
    };
    let (read, made) = (prepared.input_bytes(), prepared.output_bytes());
    let input = buffer(read, BufferUsages::STORAGE | BufferUsages::COPY_DST);
    let output = buffer(made, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
    let staging = buffer(made, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
    queue.write_buffer(&input, 0, &bytes(x));
    let bound = prepared.bind(input.slice(..), output.slice(..))?;
    for piece in bound.pieces() {
        let mut encoder = device.create_command_encoder(&CommandEncoderDescriptor::default());
        piece.encode(&mut encoder.begin_compute_pass(&ComputePassDescriptor::default()));
        queue.submit([encoder.finish()]);
    }
    let mut encoder = device.create_command_encoder(&CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(&output, 0, &staging, 0, made);
    queue.submit([encoder.finish()]);
    let shape = prepared.geometry().output_shape();
    let length = shape.iter().product();
    let elements = read_back(&staging, length).await?;
    Ok(Tensor::f32(shape, elements)?)
}

fn bytes(x: &Tensor) -> Vec<u8> {
    x.to_f32().iter().flat_map(|value| value.to_le_bytes()).collect()
}

async fn read_back(staging: &Buffer, length: usize) -> Result<Vec<f32>> {
    let lost = |reason: String| Error::DeviceLost { during: "reading back", reason };
    let mapped = Promise::new(&mut |resolve, reject| {
        staging.map_async(MapMode::Read, .., move |result| {
            let told = match result {
                Ok(()) => resolve.call0(&JsValue::NULL),
                Err(error) => reject.call1(&JsValue::NULL, &error.to_string().into()),
            };
            // The promise's own functions throw nothing.
            drop(told);
        });
    });
    JsFuture::from(mapped).await.map_err(|reason| lost(reason.as_string().unwrap_or_default()))?;
    let range = staging.get_mapped_range(..).map_err(|error| lost(error.to_string()))?;
    Ok(range
        .chunks_exact(4)
        .take(length)
        .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect())
}

/// An array of JavaScript's with its shape.
fn tensor(what: &str, elements: &Float32Array, shape: &[u32]) -> Result<Tensor> {
    let length = elements.length() as usize;
    let mut copied = crate::array::zeros::<f32>(length)
        .map_err(|_| Failure::Said(format!("no memory for {what}: {} bytes", length as u64 * 4)))?;
    elements.copy_to(&mut copied);
    Ok(Tensor::f32(shape.iter().map(|&extent| extent as usize).collect::<Vec<_>>(), copied)?)
}
