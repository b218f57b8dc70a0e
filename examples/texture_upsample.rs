//! The shape of a render loop: a frame in a texture is upsampled into another texture, in the pass of the frame. Runs
//! without a window and writes the last frame as a picture.
//!
//! `cargo run --release --example texture_upsample [OUT.png]`

use std::fs::File;
use std::io::BufWriter;
use upconv::gpu::{AdapterRequest, Context, Encoding, Layer, TextureReader, TextureWriter};
use upconv::upscale::Method;
use upconv::{Storage, wgpu};

const WIDTH: u32 = 160;
const HEIGHT: u32 = 90;
const SCALE: u32 = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "texture_upsample.png".into());
    let context = Context::request(&AdapterRequest::default())?;
    println!("{}", context.adapter_name());

    let frame = texture(&context, WIDTH, HEIGHT, wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST);
    let large = texture(
        &context,
        WIDTH * SCALE,
        HEIGHT * SCALE,
        wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_SRC,
    );

    // Once: reader, layer and writer, and the buffers between them.
    let up = Method::Lanczos3.upsampler(SCALE as usize, 3)?;
    let reader = TextureReader::new(&context, 3, up.border, Storage::F32)?;
    let layer = Layer::new(&context, &up.op, &up.weight, None)?;
    let writer = TextureWriter::new(&context, 3, wgpu::TextureFormat::Rgba8Unorm, Encoding::Linear, Storage::F32)?;
    let prepared = layer.prepare(&reader.shape(WIDTH, HEIGHT), Storage::F32)?;
    let buffer = |size| {
        let usage = wgpu::BufferUsages::STORAGE;
        context.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let (x, y) = (buffer(prepared.input_bytes()), buffer(prepared.output_bytes()));
    let read = reader.bind(&view(&frame), x.slice(..))?;
    let upsample = prepared.bind(x.slice(..), y.slice(..))?;
    let write = writer.bind(y.slice(..), &view(&large))?;

    // Every frame: draw it (here: computed on the CPU), then three calls in the frame's pass.
    for number in 0..10 {
        draw(&context, &frame, number);
        let mut encoder = context.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            read.encode(&mut pass);
            upsample.encode(&mut pass);
            write.encode(&mut pass);
        }
        context.queue().submit([encoder.finish()]);
    }

    save(&context, &large, &path)?;
    println!("{path}: {WIDTH}x{HEIGHT} to {}x{}", WIDTH * SCALE, HEIGHT * SCALE);
    Ok(())
}

fn texture(context: &Context, width: u32, height: u32, usage: wgpu::TextureUsages) -> wgpu::Texture {
    context.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage,
        view_formats: &[],
    })
}

fn view(texture: &wgpu::Texture) -> wgpu::TextureView {
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}

/// Rings of colour that travel from frame to frame.
fn draw(context: &Context, frame: &wgpu::Texture, number: u32) {
    let pixels: Vec<u8> = (0..WIDTH * HEIGHT)
        .flat_map(|at| {
            let (x, y) = ((at % WIDTH) as f32 - WIDTH as f32 / 2.0, (at / WIDTH) as f32 - HEIGHT as f32 / 2.0);
            let ring = (x.hypot(y) / 4.0 - number as f32 / 2.0).sin();
            let wave = |phase: f32| ((ring + (x / 30.0 + phase).sin()) * 63.0 + 127.0) as u8;
            [wave(0.0), wave(2.0), wave(4.0), 255]
        })
        .collect();
    context.queue().write_texture(
        frame.as_image_copy(),
        &pixels,
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(WIDTH * 4), rows_per_image: None },
        frame.size(),
    );
}

/// Reads a texture back and writes it as a picture. Rows of the copy are aligned to 256 bytes.
fn save(context: &Context, texture: &wgpu::Texture, path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (width, height) = (texture.width(), texture.height());
    let row = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
    let buffer = context.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(row * height),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = context.device().create_command_encoder(&Default::default());
    encoder.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo {
            buffer: &buffer,
            layout: wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None },
        },
        texture.size(),
    );
    context.queue().submit([encoder.finish()]);
    buffer.map_async(wgpu::MapMode::Read, .., |_| {});
    context.device().poll(wgpu::PollType::wait_indefinitely())?;
    let mapped = buffer.get_mapped_range(..)?;

    let mut png = png::Encoder::new(BufWriter::new(File::create(path)?), width, height);
    png.set_color(png::ColorType::Rgba);
    let mut writer = png.write_header()?;
    let rows: Vec<u8> = mapped.chunks(row as usize).flat_map(|row| &row[..width as usize * 4]).copied().collect();
    writer.write_image_data(&rows)?;
    writer.finish()?;
    Ok(())
}
