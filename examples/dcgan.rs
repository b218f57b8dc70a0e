//! DCGAN's generator as a graph: from vectors of random numbers to pictures, by transposed convolutions of 4×4, each but the
//! last with batch norm and ReLU behind it.
//!
//! A trained batch norm is a factor and an offset for each channel, and so becomes part of the weight and bias of the layer
//! before it. A small generator with random weights; what it makes, on the device and on the CPU, is compared with what
//! PyTorch makes of them.
//!
//! `cargo run --release --example dcgan`

mod values;

use upconv::gpu::{AdapterRequest, Context};
use upconv::graph::Graph;
use upconv::{Activation, ConvTranspose, Storage, Tensor, cpu, gpu};
use values::{Values, check};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// From the random numbers to the colours.
const CHANNELS: [usize; 5] = [16, 32, 16, 8, 3];

/// What PyTorch adds to a variance by default.
const EPSILON: f32 = 1e-5;

fn main() -> Result<()> {
    let values = Values::read("dcgan.safetensors")?;
    let graph = generator(&values)?;
    let (inputs, expected) = ([values.tensor("input")?], values.tensor("expected")?);

    let context = Context::request(&AdapterRequest::default())?;
    let prepared = gpu::Graph::new(&context, &graph)?.prepare(&[inputs[0].shape()], Storage::F32)?;
    println!("{} layers in {} dispatches", prepared.layers().count(), prepared.dispatch_count());
    check(&context.adapter_name(), &prepared.run(&inputs)?[0], &expected, 1e-5)?;
    check("CPU", &cpu::Graph::new(&graph)?.run(&inputs)?[0], &expected, 1e-5)
}

fn generator(values: &Values) -> Result<Graph> {
    let mut graph = Graph::new(2)?;
    let mut x = graph.input(CHANNELS[0])?;
    for (index, pair) in CHANNELS.windows(2).enumerate() {
        let (first, last) = (index == 0, index + 2 == CHANNELS.len());
        let op = ConvTranspose::builder()
            .in_channels(pair[0])
            .out_channels(pair[1])
            .kernel([4, 4])
            .stride(if first { [1, 1] } else { [2, 2] })
            .padding(if first { [0, 0] } else { [1, 1] })
            .build()?;
        // In PyTorch's tutorial a stage is three modules of one sequence: a layer without a bias, its norm, and ReLU.
        let weight = values.tensor(&format!("main.{}.weight", 3 * index))?;
        if last {
            x = graph.layer(x, &op, weight, None)?;
            x = graph.activation(x, Activation::Tanh)?;
        } else {
            let (weight, bias) = folded(&weight, values, &format!("main.{}", 3 * index + 1))?;
            x = graph.layer(x, &op, weight, Some(bias.into()))?;
            x = graph.activation(x, Activation::Relu)?;
        }
    }
    graph.output(x)?;
    Ok(graph)
}

/// The weight and bias of a layer that does what a layer of this weight, without a bias, and a batch norm do:
/// `norm.weight · (w · x − mean) / √(variance + ε) + norm.bias` is `(scale · w) · x + (norm.bias − scale · mean)`.
fn folded(weight: &Tensor, values: &Values, norm: &str) -> Result<(Tensor, Tensor)> {
    let of = |name: &str| Ok::<_, Box<dyn std::error::Error>>(values.tensor(&format!("{norm}.{name}"))?.into_f32());
    let (factor, offset, mean, variance) = (of("weight")?, of("bias")?, of("running_mean")?, of("running_var")?);
    let scale: Vec<f32> = factor.iter().zip(&variance).map(|(factor, var)| factor / (var + EPSILON).sqrt()).collect();
    let bias: Vec<f32> = (0..scale.len()).map(|channel| offset[channel] - scale[channel] * mean[channel]).collect();
    // A weight is [in_channels, out_channels, 4, 4].
    let mut scaled = weight.to_f32();
    for (index, kernel) in scaled.chunks_exact_mut(4 * 4).enumerate() {
        kernel.iter_mut().for_each(|w| *w *= scale[index % scale.len()]);
    }
    Ok((Tensor::f32(weight.shape(), scaled)?, Tensor::f32([bias.len()], bias)?))
}
