//! A vocoder: HiFi-GAN's generator, from a mel spectrogram to sound, in one pass and without a shader of its own.
//!
//! Its transposed convolutions, its dilated convolutions of stride 1, the activation before each of them and the residual
//! behind every second are all layers of upconv. A small generator with random weights; what it makes is compared with
//! what PyTorch makes of them.
//!
//! `cargo run --release --example hifigan`

mod values;

use upconv::gpu::{AdapterRequest, Context, Layer, Request};
use upconv::wgpu::{self, Buffer};
use upconv::{Activation, ConvTranspose, Storage, Tensor};
use values::{Values, check};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The residual blocks of a stage, and the dilations of the pairs of convolutions in each.
const BLOCKS: usize = 3;
const DILATIONS: [usize; 3] = [1, 3, 5];

const STRIDES: [usize; 2] = [8, 2];

fn main() -> Result<()> {
    let values = Values::read("hifigan.safetensors")?;
    let context = Context::request(&AdapterRequest::default())?;
    println!("{}", context.adapter_name());
    let input = values.tensor("input")?;
    let mut net = Net { context: &context, values: &values, shape: input.shape().to_vec(), bound: Vec::new() };

    let storage = Request::new(Storage::F32);
    let mel = context.upload(&input, Storage::F32)?;
    let mut x = net.run(net.conv("conv_pre", 1, Activation::None, 1.0)?, storage, &mel, None)?;
    // The mean of a stage's blocks is their sum here; what reads it has weights divided by their number.
    let mut share = 1.0;
    for (stage, stride) in STRIDES.into_iter().enumerate() {
        let up = net.up(&format!("ups.{stage}"), stride, share)?;
        x = net.run(up, storage, &x, None)?;
        let mut sum = None;
        for block in (0..BLOCKS).map(|block| BLOCKS * stage + block) {
            let mut y = x.clone();
            for (index, dilation) in DILATIONS.into_iter().enumerate() {
                let conv = |convs: &str, dilation| {
                    net.conv(&format!("resblocks.{block}.{convs}.{index}"), dilation, slope(0.1), 1.0)
                };
                let (first, second) = (conv("convs1", dilation)?, conv("convs2", 1)?);
                let inner = net.run(first, storage, &y, None)?;
                y = match &sum {
                    Some(sum) if index + 1 == DILATIONS.len() => {
                        // Into the sum goes y and what the second convolution adds to it.
                        net.add_into(sum, &y)?;
                        net.run(second, storage.accumulating(), &inner, Some(sum))?
                    }
                    _ => net.run_adding(second, &inner, &y)?,
                };
            }
            sum = Some(y);
        }
        x = sum.unwrap_or(x);
        share = 1.0 / BLOCKS as f32;
    }
    let last = net.conv("conv_post", 1, slope(0.01), share)?;
    let last = (last.0.to_builder().activation(Activation::Tanh).build()?, last.1, last.2);
    let sound = net.run(last, storage, &x, None)?;

    let mut encoder = context.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        net.bound.iter().for_each(|bound| bound.encode(&mut pass));
    }
    context.queue().submit([encoder.finish()]);
    println!("{} layers in one pass", net.bound.len());
    let got = context.download(&sound, &net.shape, Storage::F32)?;
    check(&got, &values.tensor("expected")?, 1e-5)
}

fn slope(alpha: f32) -> Activation {
    Activation::LeakyRelu { alpha }
}

/// An operation, its weight and its bias.
type Parameters = (ConvTranspose, Tensor, Option<Tensor>);

/// A network under construction: the shape that its last layer leaves, and all layers with their buffers.
struct Net<'a> {
    context: &'a Context,
    values: &'a Values,
    shape: Vec<usize>,
    bound: Vec<upconv::gpu::Bound>,
}

impl Net<'_> {
    fn parameters(&self, name: &str, share: f32) -> Result<(Tensor, Option<Tensor>)> {
        let weight = self.values.tensor(&format!("{name}.weight"))?;
        let scaled: Vec<f32> = weight.to_f32().iter().map(|w| w * share).collect();
        Ok((Tensor::f32(weight.shape(), scaled)?, Some(self.values.tensor(&format!("{name}.bias"))?)))
    }

    /// A convolution that keeps the length, behind an activation of its input.
    fn conv(&self, name: &str, dilation: usize, before: Activation, share: f32) -> Result<Parameters> {
        let (weight, bias) = self.parameters(name, share)?;
        let padding = dilation * (weight.shape()[2] - 1) / 2;
        let (op, weight) = ConvTranspose::from_convolution(&weight, [padding], [dilation], 1)?;
        Ok((op.to_builder().pre_activation(before).build()?, weight, bias))
    }

    /// A transposed convolution that makes the sound `stride` times as long.
    fn up(&self, name: &str, stride: usize, share: f32) -> Result<Parameters> {
        let (weight, bias) = self.parameters(name, share)?;
        let [inputs, outputs, kernel] = *weight.shape() else { return Err("a weight has three axes".into()) };
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([kernel]).stride([stride]);
        let op = op.padding([(kernel - stride) / 2]).pre_activation(slope(0.1)).build()?;
        Ok((op, weight, bias))
    }

    /// Adds a layer that writes a buffer of its own, or this one; returns what it writes.
    fn run(&mut self, layer: Parameters, request: Request, input: &Buffer, output: Option<&Buffer>) -> Result<Buffer> {
        let (op, weight, bias) = layer;
        let prepared = Layer::new(self.context, &op, &weight, bias.as_ref())?.prepare(&self.shape, request)?;
        let output = output.cloned().unwrap_or_else(|| self.buffer(prepared.output_bytes()));
        self.bound.push(prepared.bind(input.slice(..), output.slice(..))?);
        self.shape = prepared.geometry().output_shape();
        Ok(output)
    }

    /// Adds a layer whose output is the residual and what it computes.
    fn run_adding(&mut self, (op, weight, bias): Parameters, input: &Buffer, residual: &Buffer) -> Result<Buffer> {
        let layer = Layer::new(self.context, &op, &weight, bias.as_ref())?;
        let prepared = layer.prepare(&self.shape, Request::new(Storage::F32).adding())?;
        let output = self.buffer(prepared.output_bytes());
        self.bound.push(prepared.bind_adding(input.slice(..), residual.slice(..), output.slice(..))?);
        Ok(output)
    }

    /// Adds a tensor to another: a depthwise convolution with a single 1.
    fn add_into(&mut self, sum: &Buffer, tensor: &Buffer) -> Result<()> {
        let channels = self.shape[1];
        let ones = Tensor::f32([channels, 1, 1], vec![1.0; channels])?;
        let (op, weight) = ConvTranspose::from_convolution(&ones, [0], [1], channels)?;
        self.run((op, weight, None), Request::new(Storage::F32).accumulating(), tensor, Some(sum))?;
        Ok(())
    }

    fn buffer(&self, size: u64) -> Buffer {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        self.context.device().create_buffer(&descriptor)
    }
}
