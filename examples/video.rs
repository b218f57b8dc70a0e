//! Frames of 640 × 360 to 1280 × 720, generated on the fly: frames a second, and the host's time for a frame.
//!
//! `cargo run --release --example video [FRAMES]`, 300 by default

use std::time::{Duration, Instant};
use upconv::gpu::{AdapterRequest, Context, Layer};
use upconv::upscale::Method;
use upconv::{Storage, wgpu};

const WIDTH: usize = 640;
const HEIGHT: usize = 360;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let frames: usize = std::env::args().nth(1).map_or(Ok(300), |frames| frames.parse())?;
    let context = Context::request(&AdapterRequest::default())?;
    println!("{}", context.adapter_name());

    let up = Method::Bicubic.upsampler(2, 3)?;
    let (rows, columns) = (HEIGHT + 2 * up.border, WIDTH + 2 * up.border);
    let layer = Layer::new(&context, &up.op, &up.weight, None)?;
    let prepared = layer.prepare(&[1, 3, rows, columns], Storage::F32)?;
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = |size| {
        context.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    // Two frames are in flight: one is written while the other is computed.
    let mut slots = Vec::new();
    for _ in 0..2 {
        let (input, output) = (buffer(prepared.input_bytes()), buffer(prepared.output_bytes()));
        let bound = prepared.bind(input.slice(..), output.slice(..))?;
        slots.push((input, bound, None::<wgpu::SubmissionIndex>));
    }

    let mut planes = vec![0.0f32; 3 * rows * columns];
    let mut host = Duration::ZERO;
    let started = Instant::now();
    for number in 0..frames {
        for (index, value) in planes.iter_mut().enumerate() {
            *value = ((index + number * 3) % 256) as f32 / 255.0;
        }
        let (input, bound, in_flight) = &mut slots[number % 2];
        if let Some(submission) = in_flight.take() {
            context.device().poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })?;
        }
        let before = Instant::now();
        context.queue().write_buffer(input, 0, bytemuck::cast_slice(&planes));
        let mut encoder = context.device().create_command_encoder(&Default::default());
        bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
        *in_flight = Some(context.queue().submit([encoder.finish()]));
        host += before.elapsed();
    }
    context.device().poll(wgpu::PollType::wait_indefinitely())?;

    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{frames} frames in {seconds:.2} s: {:.1} frames a second, {:.3} ms of the host's time for a frame",
        frames as f64 / seconds,
        host.as_secs_f64() * 1e3 / frames.max(1) as f64
    );
    Ok(())
}
