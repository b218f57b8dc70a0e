//! upconv in an application with its own device, queue, buffers and pass.
//!
//! `cargo run --release --example own_device`

use upconv::gpu::{Context, Layer};
use upconv::{ConvTranspose, Storage, Tensor, wgpu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The application's own device.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let buffer =
        |size| device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });

    // Once: the operation with its weights, planned for a shape.
    let context = Context::new(device.clone(), queue.clone());
    let op = ConvTranspose::builder().kernel([2, 2]).stride([2, 2]).build()?;
    let layer = Layer::new(&context, &op, &Tensor::f32([1, 1, 2, 2], [0.0, 1.0, 2.0, 3.0])?, None)?;
    let prepared = layer.prepare(&[1, 1, 2, 2], Storage::F32)?;
    let (input, output) = (buffer(prepared.input_bytes()), buffer(prepared.output_bytes()));
    let bound = prepared.bind(input.slice(..), output.slice(..))?;

    // Every frame: record it beside the application's other work, and submit.
    queue.write_buffer(&input, 0, bytemuck::cast_slice(&[0.0f32, 1.0, 2.0, 3.0]));
    let mut encoder = device.create_command_encoder(&Default::default());
    bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
    queue.submit([encoder.finish()]);

    let y = context.download(&output, &prepared.geometry().output_shape(), Storage::F32)?;
    for row in y.to_f32().chunks(4) {
        println!("{row:?}");
    }
    Ok(())
}
