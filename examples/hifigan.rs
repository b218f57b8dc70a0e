//! A vocoder: HiFi-GAN's generator, from a mel spectrogram to sound, as a graph and without a shader of its own.
//!
//! Its transposed convolutions, its dilated convolutions of stride 1, the activation before each of them, the residual
//! behind every second and the mean of the residual blocks are nodes of the graph. A small generator with random weights;
//! what it makes, on the device and on the CPU, is compared with what PyTorch makes of them.
//!
//! `cargo run --release --example hifigan`

mod values;

use upconv::gpu::{AdapterRequest, Context};
use upconv::graph::{Graph, Value};
use upconv::{Activation, ConvTranspose, Storage, Tensor, cpu, gpu};
use values::{Values, check};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const MEL_BANDS: usize = 80;

/// How many times as long each stage makes the sound.
const STRIDES: [usize; 2] = [8, 2];

/// The residual blocks of a stage, and the dilations of the pairs of convolutions in each.
const BLOCKS: usize = 3;
const DILATIONS: [usize; 3] = [1, 3, 5];

fn main() -> Result<()> {
    let values = Values::read("hifigan.safetensors")?;
    let graph = generator(&values)?;
    let (inputs, expected) = ([values.tensor("input")?], values.tensor("expected")?);

    let context = Context::request(&AdapterRequest::default())?;
    let prepared = gpu::Graph::new(&context, &graph)?.prepare(&[inputs[0].shape()], Storage::F32)?;
    println!("{} layers in {} dispatches", prepared.layers().count(), prepared.dispatch_count());
    check(&context.adapter_name(), &prepared.run(&inputs)?[0], &expected, 1e-5)?;
    check("CPU", &cpu::Graph::new(&graph)?.run(&inputs)?[0], &expected, 1e-5)
}

fn generator(values: &Values) -> Result<Graph> {
    let mut net = Net { graph: Graph::new(1)?, values };
    let mel = net.graph.input(MEL_BANDS)?;
    let mut x = net.conv("conv_pre", mel, 1)?;
    for (stage, stride) in STRIDES.into_iter().enumerate() {
        x = net.leaky(x, 0.1)?;
        x = net.up(&format!("ups.{stage}"), x, stride)?;
        let mut sum = net.block(BLOCKS * stage, x)?;
        for block in 1..BLOCKS {
            let block = net.block(BLOCKS * stage + block, x)?;
            sum = net.graph.add(sum, block)?;
        }
        x = net.graph.affine(sum, 1.0 / BLOCKS as f32, 0.0)?;
    }
    x = net.leaky(x, 0.01)?;
    x = net.conv("conv_post", x, 1)?;
    let sound = net.graph.activation(x, Activation::Tanh)?;
    net.graph.output(sound)?;
    Ok(net.graph)
}

/// A graph to which layers of the file are added.
struct Net<'a> {
    graph: Graph,
    values: &'a Values,
}

impl Net<'_> {
    fn leaky(&mut self, x: Value, alpha: f32) -> Result<Value> {
        Ok(self.graph.activation(x, Activation::LeakyRelu { alpha })?)
    }

    /// A convolution that keeps the length.
    fn conv(&mut self, name: &str, x: Value, dilation: usize) -> Result<Value> {
        let weight = self.values.tensor(&format!("{name}.weight"))?;
        let padding = dilation * (weight.shape()[2] - 1) / 2;
        let (op, weight) = ConvTranspose::from_convolution(&weight, [padding], [dilation], 1)?;
        self.layer(name, x, &op, weight)
    }

    /// A transposed convolution that makes the sound `stride` times as long.
    fn up(&mut self, name: &str, x: Value, stride: usize) -> Result<Value> {
        let weight = self.values.tensor(&format!("{name}.weight"))?;
        let [inputs, outputs, kernel] = *weight.shape() else { return Err("a weight has three axes".into()) };
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([kernel]).stride([stride]);
        let op = op.padding([(kernel - stride) / 2]).build()?;
        self.layer(name, x, &op, weight)
    }

    /// Pairs of convolutions, each added to what enters it.
    fn block(&mut self, number: usize, mut x: Value) -> Result<Value> {
        for (index, dilation) in DILATIONS.into_iter().enumerate() {
            let mut y = x;
            for (convs, dilation) in [("convs1", dilation), ("convs2", 1)] {
                y = self.leaky(y, 0.1)?;
                y = self.conv(&format!("resblocks.{number}.{convs}.{index}"), y, dilation)?;
            }
            x = self.graph.add(x, y)?;
        }
        Ok(x)
    }

    fn layer(&mut self, name: &str, x: Value, op: &ConvTranspose, weight: Tensor) -> Result<Value> {
        let bias = self.values.tensor(&format!("{name}.bias"))?;
        Ok(self.graph.layer(x, op, weight, Some(bias.into()))?)
    }
}
