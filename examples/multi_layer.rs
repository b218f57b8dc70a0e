//! A small decoder, DCGAN's generator with random weights: five layers in one pass, nothing read back between them.
//!
//! `cargo run --release --example multi_layer`

use std::time::Instant;
use upconv::gpu::{AdapterRequest, Context, Layer};
use upconv::{Activation, ConvTranspose, Storage, Tensor, reference, wgpu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let context = Context::request(&AdapterRequest::default())?;
    println!("{}", context.adapter_name());

    // From a vector of 100 numbers to a picture of 64 × 64, halving the channels as the extent doubles.
    let mut rng = fastrand::Rng::with_seed(64);
    let channels = [100, 128, 64, 32, 16, 3];
    let mut layers = Vec::new();
    for (index, pair) in channels.windows(2).enumerate() {
        let (first, last) = (index == 0, index + 2 == channels.len());
        let op = ConvTranspose::builder()
            .in_channels(pair[0])
            .out_channels(pair[1])
            .kernel([4, 4])
            .stride(if first { [1, 1] } else { [2, 2] })
            .padding(if first { [0, 0] } else { [1, 1] })
            .activation(if last { Activation::Tanh } else { Activation::Relu })
            .build()?;
        let weight = random(&mut rng, &op.weight_shape(), (2.0 / (4.0 * pair[0] as f32)).sqrt())?;
        layers.push((Layer::new(&context, &op, &weight, None)?, weight));
    }

    // Plan each layer for the shape that the one before it leaves.
    let mut shape = vec![1, 100, 1, 1];
    let mut prepared = Vec::new();
    for (layer, _) in &layers {
        let next = layer.prepare(&shape, Storage::F32)?;
        shape = next.geometry().output_shape();
        prepared.push(next);
    }

    // Two buffers take turns: what one layer writes, the next one reads.
    let largest = prepared.iter().map(|layer| layer.input_bytes().max(layer.output_bytes())).max().unwrap_or(4);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let buffer = || {
        let descriptor = wgpu::BufferDescriptor { label: None, size: largest, usage, mapped_at_creation: false };
        context.device().create_buffer(&descriptor)
    };
    let buffers = [buffer(), buffer()];
    let mut bound = Vec::new();
    for (index, layer) in prepared.iter().enumerate() {
        bound.push(layer.bind(buffers[index % 2].slice(..), buffers[(index + 1) % 2].slice(..))?);
    }

    let z = random(&mut rng, &[1, 100, 1, 1], 1.0)?;
    let started = Instant::now();
    context.queue().write_buffer(&buffers[0], 0, bytemuck::cast_slice(&z.to_f32()));
    let mut encoder = context.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for layer in &bound {
            layer.encode(&mut pass);
        }
    }
    context.queue().submit([encoder.finish()]);
    let picture = context.download(&buffers[bound.len() % 2], &shape, Storage::F32)?;
    println!("{:?} to {:?} in {:.1} ms", z.shape(), picture.shape(), started.elapsed().as_secs_f64() * 1e3);

    // The reference, layer by layer.
    let mut expected = z;
    for (layer, weight) in &layers {
        expected = reference::run(layer.op(), &expected, weight, None)?;
    }
    let worst = picture.to_f32().iter().zip(expected.to_f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("largest difference from the reference: {worst:.1e}");
    if worst.is_nan() || worst > 1e-4 {
        return Err(format!("{worst} is more than 1e-4").into());
    }
    Ok(())
}

fn random(rng: &mut fastrand::Rng, shape: &[usize], scale: f32) -> upconv::Result<Tensor> {
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| (rng.f32() * 2.0 - 1.0) * scale).collect();
    Tensor::f32(shape, data)
}
