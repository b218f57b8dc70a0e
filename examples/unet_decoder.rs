//! The decoder of a U-Net for a batch of two, as a graph: each stage enlarges with a transposed convolution, concatenates
//! what the encoder left, and convolves twice. The transposed convolution writes its channels into the concatenation; the
//! skip connections, which are inputs here, are copied there. With the encoder in the same graph they too are written into
//! their place, and `Request::writing` does it for a layer outside a graph.
//!
//! A small decoder with random weights; what it makes, on the device and on the CPU, is compared with what PyTorch makes of
//! them.
//!
//! `cargo run --release --example unet_decoder`

mod values;

use upconv::gpu::{AdapterRequest, Context};
use upconv::graph::{Graph, Value};
use upconv::{Activation, ConvTranspose, Storage, Tensor, cpu, gpu};
use values::{Values, check};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What enters the decoder, and then each of its stages.
const INPUTS: [&str; 3] = ["bottleneck", "skips.0", "skips.1"];

fn main() -> Result<()> {
    let values = Values::read("unet.safetensors")?;
    let inputs = INPUTS.map(|name| values.tensor(name)).into_iter().collect::<Result<Vec<Tensor>>>()?;
    let expected = values.tensor("expected")?;
    let graph = decoder(&values, &inputs)?;

    let context = Context::request(&AdapterRequest::default())?;
    let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
    let prepared = gpu::Graph::new(&context, &graph)?.prepare(&shapes, Storage::F32)?;
    println!("{} layers in {} dispatches", prepared.layers().count(), prepared.dispatch_count());
    check(&context.adapter_name(), &prepared.run(&inputs)?[0], &expected, 2e-5)?;
    check("CPU", &cpu::Graph::new(&graph)?.run(&inputs)?[0], &expected, 2e-5)
}

/// The decoder, for inputs of these channels.
fn decoder(values: &Values, inputs: &[Tensor]) -> Result<Graph> {
    let mut net = Net { graph: Graph::new(2)?, values };
    let [bottleneck, skips @ ..] = inputs else { return Err("a decoder has an input".into()) };
    let mut x = net.graph.input(bottleneck.shape()[1])?;
    for (stage, skip) in skips.iter().enumerate() {
        let skip = net.graph.input(skip.shape()[1])?;
        x = net.up(&format!("ups.{stage}"), x)?;
        x = net.graph.concatenate(&[x, skip])?;
        for convs in ["convs1", "convs2"] {
            x = net.conv(&format!("{convs}.{stage}"), x)?;
            x = net.graph.activation(x, Activation::Relu)?;
        }
    }
    x = net.conv("last", x)?;
    net.graph.output(x)?;
    Ok(net.graph)
}

/// A graph to which layers of the file are added.
struct Net<'a> {
    graph: Graph,
    values: &'a Values,
}

impl Net<'_> {
    /// A transposed convolution of kernel 2 and stride 2.
    fn up(&mut self, name: &str, x: Value) -> Result<Value> {
        let weight = self.values.tensor(&format!("{name}.weight"))?;
        let [inputs, outputs, ..] = *weight.shape() else { return Err("a weight has four axes".into()) };
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([2, 2]).stride([2, 2]);
        self.layer(name, x, &op.build()?, weight)
    }

    /// A convolution that keeps the extents.
    fn conv(&mut self, name: &str, x: Value) -> Result<Value> {
        let weight = self.values.tensor(&format!("{name}.weight"))?;
        let padding = weight.shape()[2] / 2;
        let (op, weight) = ConvTranspose::from_convolution(&weight, [padding; 2], [1; 2], 1)?;
        self.layer(name, x, &op, weight)
    }

    fn layer(&mut self, name: &str, x: Value, op: &ConvTranspose, weight: Tensor) -> Result<Value> {
        let bias = self.values.tensor(&format!("{name}.bias"))?;
        Ok(self.graph.layer(x, op, weight, Some(bias.into()))?)
    }
}
