//! The decoder of a U-Net for a batch of two: each stage enlarges with a transposed convolution, concatenates what the
//! encoder left, and convolves twice. Nothing is copied to concatenate: the transposed convolution writes its channels
//! beside those of the skip connection, where the convolution reads them together.
//!
//! A small decoder with random weights; what it makes is compared with what PyTorch makes of them.
//!
//! `cargo run --release --example unet_decoder`

mod values;

use upconv::gpu::{AdapterRequest, Bound, Context, Layer, Prepared, Request};
use upconv::wgpu::{self, Buffer};
use upconv::{Activation, ConvTranspose, Storage, Tensor};
use values::{Values, check};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const STAGES: usize = 2;

fn main() -> Result<()> {
    let values = Values::read("unet.safetensors")?;
    let context = Context::request(&AdapterRequest::default())?;
    println!("{}", context.adapter_name());
    let request = Request::new(Storage::F32);

    let input = values.tensor("bottleneck")?;
    let (mut x, mut shape) = (context.upload(&input, Storage::F32)?, input.shape().to_vec());
    let mut bound: Vec<Bound> = Vec::new();
    for stage in 0..STAGES {
        let skip = values.tensor(&format!("skips.{stage}"))?;
        let up = up(&context, &values, &format!("ups.{stage}"))?;
        let (own, skipped) = (up.op().out_channels(), skip.shape()[1]);

        // The concatenation: the first channels are written by the layer, the others by the encoder, here by the host.
        let up = up.prepare(&shape, request.writing(0, own + skipped))?;
        let both = buffer(&context, up.output_bytes());
        fill(&context, &both, &skip, own)?;
        bound.push(up.bind(x.slice(..), both.slice(..))?);

        shape = up.geometry().output_shape();
        shape[1] = own + skipped;
        let first = conv(&context, &values, &format!("convs1.{stage}"), Activation::Relu)?.prepare(&shape, request)?;
        let inner = then(&context, &first, &both, &mut bound)?;
        shape = first.geometry().output_shape();
        let second = conv(&context, &values, &format!("convs2.{stage}"), Activation::Relu)?.prepare(&shape, request)?;
        x = then(&context, &second, &inner, &mut bound)?;
    }
    let last = conv(&context, &values, "last", Activation::None)?.prepare(&shape, request)?;
    let y = then(&context, &last, &x, &mut bound)?;

    let mut encoder = context.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        bound.iter().for_each(|bound| bound.encode(&mut pass));
    }
    context.queue().submit([encoder.finish()]);
    let got = context.download(&y, &last.geometry().output_shape(), Storage::F32)?;
    check(&got, &values.tensor("expected")?, 2e-5)
}

/// A transposed convolution of kernel 2 and stride 2.
fn up(context: &Context, values: &Values, name: &str) -> Result<Layer> {
    let (weight, bias) = (values.tensor(&format!("{name}.weight"))?, values.tensor(&format!("{name}.bias"))?);
    let [inputs, outputs, ..] = *weight.shape() else { return Err("a weight has four axes".into()) };
    let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([2, 2]).stride([2, 2]);
    Ok(Layer::new(context, &op.build()?, &weight, &bias)?)
}

/// A convolution that keeps the extents.
fn conv(context: &Context, values: &Values, name: &str, activation: Activation) -> Result<Layer> {
    let (weight, bias) = (values.tensor(&format!("{name}.weight"))?, values.tensor(&format!("{name}.bias"))?);
    let padding = weight.shape()[2] / 2;
    let (op, weight) = ConvTranspose::from_convolution(&weight, [padding; 2], [1; 2], 1)?;
    Ok(Layer::new(context, &op.to_builder().activation(activation).build()?, &weight, &bias)?)
}

/// Adds a layer that writes a buffer of its own.
fn then(context: &Context, layer: &Prepared, input: &Buffer, bound: &mut Vec<Bound>) -> Result<Buffer> {
    let output = buffer(context, layer.output_bytes());
    bound.push(layer.bind(input.slice(..), output.slice(..))?);
    Ok(output)
}

/// Puts a skip connection behind the first channels of each item, as an encoder on the device does with
/// [`Request::writing`].
fn fill(context: &Context, both: &Buffer, skip: &Tensor, first: usize) -> Result<()> {
    let [batch, channels, height, width] = *skip.shape() else { return Err("a skip connection has four axes".into()) };
    let plane = height * width;
    let data = skip.to_f32();
    for (item, own) in (0..batch).zip(data.chunks(channels * plane)) {
        let at = (item * (first + channels) + first) * plane * size_of::<f32>();
        context.queue().write_buffer(both, at as u64, bytemuck::cast_slice(own));
    }
    Ok(())
}

fn buffer(context: &Context, size: u64) -> Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    context.device().create_buffer(&descriptor)
}
